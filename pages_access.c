// SPDX-License-Identifier: GPL-2.0-only
/*
 * The xarray tier: pages that in-kernel users have pinned.
 *
 * An access gets its pages one by one and gives them back in whatever pieces it
 * likes. So there is an entry for each page: its PFN, which can thus be told
 * without any domain (I2), and a count for the few pages that are pinned more
 * than once. Not runs: i915 pins single pages and unpins several at a time, and a
 * run that is cut needs memory just when there must be no need of any (I4).
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "pages.h"
#include "test_hooks.h"

/* Entries changed before others get a chance at the lock. */
#define IOPT_HELD_ENTRIES 1024

/*
 * A store that ran out of memory half way may have left a node behind: that it
 * has no entries is all that can be said of an empty array.
 */
static bool iopt_held_has_entries(struct xarray *xa)
{
	unsigned long index = 0;

	return xa_find(xa, &index, ULONG_MAX, XA_PRESENT);
}

/**
 * iopt_held_free() - free an empty tier
 * @held: the tier or NULL
 *
 * Context: any.
 */
void iopt_held_free(struct iopt_held *held)
{
	if (!held)
		return;
	WARN_ON(iopt_held_has_entries(&held->pfns) ||
		iopt_held_has_entries(&held->more_pins));
	xa_destroy(&held->pfns);
	xa_destroy(&held->more_pins);
	kfree(held);
}

static struct iopt_held *iopt_pages_make_held(struct iopt_pages *pages)
{
	struct iopt_held *held, *other;

	held = READ_ONCE(pages->held);
	if (held)
		return held;
	held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
	if (!held)
		return NULL;
	xa_init_flags(&held->pfns, XA_FLAGS_ACCOUNT);
	xa_init_flags(&held->more_pins, XA_FLAGS_ACCOUNT);

	spin_lock(&pages->lock);
	other = pages->held;
	if (!other) {
		/* Those who look without the lock find it initialised. */
		smp_store_release(&pages->held, held);
	}
	spin_unlock(&pages->lock);
	if (!other)
		return held;
	iopt_held_free(held);
	return other;
}

/**
 * iopt_held_from() - the first page that an access has pinned
 * @held: the tier
 * @first_index: first index to look at
 * @last_index: last one, inclusive
 *
 * Context: any; a section over the indexes, or the answer is a guess.
 * Return: its index; more than @last_index if there is none.
 */
unsigned long iopt_held_from(struct iopt_held *held, unsigned long first_index,
			     unsigned long last_index)
{
	unsigned long index = first_index;

	return xa_find(&held->pfns, &index, last_index, XA_PRESENT) ?
		       index : ULONG_MAX;
}

/**
 * iopt_held_last() - how far do pages go that accesses have pinned?
 * @held: the tier
 * @first_index: index of a page that is
 * @last_index: last index to look at, inclusive
 *
 * Context: as iopt_held_from().
 * Return: index of the last page from @first_index on without a gap.
 */
unsigned long iopt_held_last(struct iopt_held *held, unsigned long first_index,
			     unsigned long last_index)
{
	XA_STATE(xas, &held->pfns, first_index);
	unsigned long index = first_index;

	guard(rcu)();
	xas_load(&xas);
	while (index != last_index) {
		void *entry = xas_next(&xas);

		if (xas_retry(&xas, entry)) {
			xas_set(&xas, index);
			xas_load(&xas);
			continue;
		}
		if (!entry)
			break;
		index++;
	}
	return index;
}

/**
 * iopt_held_read() - add PFNs to a batch
 * @held: the tier
 * @first_index: index of the first page
 * @npages: how many at most, all pinned by accesses
 * @batch: what they are added to
 *
 * Context: a section over the indexes.
 * Return: pages added; fewer than @npages when the batch is full.
 */
unsigned long iopt_held_read(struct iopt_held *held, unsigned long first_index,
			     unsigned long npages, struct pfn_batch *batch)
{
	XA_STATE(xas, &held->pfns, first_index);
	unsigned long done = 0;
	void *entry;

	guard(rcu)();
	xas_for_each(&xas, entry, first_index + npages - 1) {
		if (xas_retry(&xas, entry))
			continue;
		if (!pfn_batch_add(batch, xa_to_value(entry), 1))
			break;
		done++;
	}
	return done;
}

/* One more pin on a page that has some. */
static int iopt_held_pin_more(struct iopt_held *held, unsigned long index)
{
	void *entry = xa_load(&held->more_pins, index);
	unsigned long pins = entry ? xa_to_value(entry) : 0;

	return xa_err(xa_store(&held->more_pins, index, xa_mk_value(pins + 1),
			       GFP_KERNEL));
}

/* The first pin on a run of pages. Return: those that got it, or -ENOMEM. */
static long iopt_held_pin_first(struct iopt_held *held, unsigned long index,
				unsigned long pfn, unsigned long npages)
{
	XA_STATE(xas, &held->pfns, index);
	unsigned long done = 0;

	if (iommufd_should_fail())
		return -ENOMEM;
	npages = min(npages, IOPT_HELD_ENTRIES);
	do {
		xas_lock(&xas);
		while (done != npages) {
			xas_store(&xas, xa_mk_value(pfn + done));
			if (xas_error(&xas))
				break;
			if (++done != npages)
				xas_next(&xas);
		}
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));
	return done ?: xas_error(&xas);
}

/* One more pin on each of the pages of a batch. Return: those that got it. */
static unsigned long iopt_held_pin(struct iopt_held *held,
				   unsigned long first_index,
				   const struct pfn_batch *batch)
{
	unsigned long index = first_index;
	const struct pfn_run *run;

	pfn_batch_for_each_run(batch, run) {
		unsigned long end_index = index + run->npfns;
		unsigned long pfn = run->pfn - index;
		long done;

		while (index != end_index) {
			unsigned long held_index;

			held_index = iopt_held_from(held, index, end_index - 1);
			if (held_index == index)
				done = iopt_held_pin_more(held, index) ?: 1;
			else
				done = iopt_held_pin_first(held, index,
							   pfn + index,
							   min(end_index,
							       held_index) -
							   index);
			if (done < 0)
				return index - first_index;
			index += done;
			cond_resched();
		}
	}
	return index - first_index;
}

/*
 * Give up one pin of each page that has only one, and add its PFN to the batch.
 * Those with more pins are left as they are.
 *
 * Return: the index to go on from.
 */
static unsigned long iopt_held_unpin_last(struct iopt_held *held,
					  unsigned long first_index,
					  unsigned long last_index,
					  struct pfn_batch *batch)
{
	bool check_more = !xa_empty(&held->more_pins);
	XA_STATE(xas, &held->pfns, first_index);
	unsigned int nr_entries = 0;
	void *entry;

	xas_lock(&xas);
	xas_for_each(&xas, entry, last_index) {
		if (nr_entries++ == IOPT_HELD_ENTRIES)
			break;
		if (check_more && xa_load(&held->more_pins, xas.xa_index))
			continue;
		if (!pfn_batch_add(batch, xa_to_value(entry), 1))
			break;
		xas_store(&xas, NULL);
	}
	xas_unlock(&xas);
	return entry ? xas.xa_index : last_index + 1;
}

/* Give up one pin of each page that has more than one. */
static void iopt_held_unpin_more(struct iopt_held *held,
				 unsigned long first_index,
				 unsigned long last_index)
{
	unsigned long index;
	void *entry;

	xa_for_each_range(&held->more_pins, index, entry, first_index,
			  last_index) {
		unsigned long pins = xa_to_value(entry) - 1;

		/* The slot is there, so this needs no memory. */
		xa_store(&held->more_pins, index,
			 pins ? xa_mk_value(pins) : NULL, 0);
		cond_resched();
	}
}

/* Undo iopt_held_pin(): whose the pages were, theirs they are. */
static void iopt_held_forget(struct iopt_held *held, unsigned long first_index,
			     unsigned long npages)
{
	unsigned long end_index = first_index + npages;
	unsigned long index = first_index;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	while (index != end_index) {
		index = iopt_held_unpin_last(held, index, end_index - 1,
					     &batch);
		pfn_batch_clear(&batch);
	}
	if (npages)
		iopt_held_unpin_more(held, first_index, end_index - 1);
}

static void iopt_batch_to_pages(const struct pfn_batch *batch,
				struct page **out_pages)
{
	const struct pfn_run *run;

	pfn_batch_for_each_run(batch, run) {
		struct page *page = pfn_to_page(run->pfn);
		u32 npages = run->npfns;

		for (u32 i = 0; i < npages; i++)
			*out_pages++ = nth_page(page, i);
	}
}

/*
 * In the section: hand the pages gathered to the access.
 *
 * Return: pages handed over; 0 to gather again; -errno.
 */
static long iopt_access_commit(struct iopt_gather *gather,
			       struct iopt_held *held, struct page **out_pages)
{
	unsigned long npages, done;
	int rc;

	rc = iopt_gather_settle(gather);
	if (rc <= 0)
		return rc;
	npages = gather->npages;
	done = iopt_held_pin(held, gather->first_index, gather->batch);
	if (done != npages) {
		iopt_held_forget(held, gather->first_index, done);
		return -ENOMEM;
	}
	iopt_batch_to_pages(gather->batch, out_pages);
	iopt_gather_keep(gather);
	return npages;
}

static long iopt_access_step(struct iopt_gather *gather, struct iopt_held *held,
			     unsigned long first_index, struct page **out_pages)
{
	struct iopt_busy busy = { .first_index = first_index };
	long rc;

	/* What is written there is overwritten with what is settled. */
	gather->pin.upages = out_pages;
	rc = iopt_gather_next(gather, first_index, gather->end_index - 1);
	if (rc)
		return rc;
	busy.last_index = first_index + gather->npages - 1;
	iopt_pages_lock_range(gather->pages, &busy);
	rc = iopt_access_commit(gather, held, out_pages);
	iopt_pages_unlock_range(gather->pages, &busy);
	iopt_gather_drop(gather);
	cond_resched();
	return rc;
}

/**
 * iopt_pages_add_access() - pin pages for an in-kernel user
 * @pages: the pages
 * @first_index: the first page
 * @npages: how many, at least 1
 * @out_pages: the pages, @npages of them; means nothing after a failure
 *
 * Pages that somebody has pinned already are not pinned again. Each call needs
 * its own iopt_pages_remove_access(), whole or in pieces.
 *
 * Context: process, no lock, no section; sleeps as long as user space likes.
 * Return: 0; -EFAULT bad memory; -ENOMEM also for the locked-memory limit;
 * -EINTR fatal signal; what the kernel's pinning functions say; nothing is pinned
 * then.
 */
int iopt_pages_add_access(struct iopt_pages *pages, unsigned long first_index,
			  unsigned long npages, struct page **out_pages)
{
	struct iopt_held *held = iopt_pages_make_held(pages);
	unsigned long done = 0;
	struct iopt_gather gather __uninitialized;
	long rc = 0;

	if (!held)
		return -ENOMEM;
	gather.pages = pages;
	gather.self = NULL;
	gather.end_index = first_index + npages;
	iopt_gather_init(&gather, first_index, out_pages);
	while (rc >= 0 && done != npages) {
		rc = iopt_access_step(&gather, held, first_index + done,
				      out_pages + done);
		if (rc > 0)
			done += rc;
	}
	iopt_gather_end(&gather);
	if (rc >= 0)
		return 0;
	if (done)
		iopt_pages_remove_access(pages, first_index, done);
	return rc;
}

/* Unpin what only one access needs of pages that slices cover all or none of. */
static unsigned long iopt_access_release(struct iopt_pages *pages,
					 const struct iopt_cover *cover,
					 struct pfn_batch *batch)
{
	unsigned long index = cover->first_index;
	unsigned long unpinned = 0;

	while (index <= cover->last_index) {
		index = iopt_held_unpin_last(pages->held, index,
					     cover->last_index, batch);
		if (cover->slice) {
			pfn_batch_clear(batch);
		} else {
			unpinned += batch->npfns;
			iopt_pages_unpin_front(pages, batch, batch->npfns);
		}
		cond_resched();
	}
	return unpinned;
}

static unsigned long iopt_access_release_all(struct iopt_pages *pages,
					     unsigned long first_index,
					     unsigned long npages)
{
	unsigned long end_index = first_index + npages;
	unsigned long index = first_index;
	unsigned long unpinned = 0;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	pfn_batch_reserve(&batch, min(npages, IOPT_HELD_ENTRIES),
			  READ_ONCE(iopt_temp_bytes_limit));
	while (index != end_index) {
		struct iopt_cover cover = {
			.first_index = index,
			.last_index = end_index - 1,
		};

		iopt_pages_cover_slice(pages, &cover);
		unpinned += iopt_access_release(pages, &cover, &batch);
		index = cover.last_index + 1;
	}
	pfn_batch_destroy(&batch);
	iopt_held_unpin_more(pages->held, first_index, end_index - 1);
	iopt_pages_add_pinned(pages, -unpinned);
	return unpinned;
}

/* Does every page have a pin that can be given up? */
static bool iopt_pages_are_held(struct iopt_pages *pages,
				unsigned long first_index,
				unsigned long last_index)
{
	struct iopt_held *held = READ_ONCE(pages->held);

	return held &&
	       iopt_held_from(held, first_index, last_index) == first_index &&
	       iopt_held_last(held, first_index, last_index) == last_index;
}

/**
 * iopt_pages_remove_access() - give up pins of an in-kernel user
 * @pages: the pages
 * @first_index: the first page
 * @npages: how many, at least 1; each of them loses one pin, so it does not matter
 *	which calls of iopt_pages_add_access() pinned them
 *
 * Context: process, no lock, no section; sleeps, needs no memory.
 * Return: true; false if there is a page among them that no access has pinned:
 * the caller is wrong, and nothing has changed.
 */
bool iopt_pages_remove_access(struct iopt_pages *pages,
			      unsigned long first_index, unsigned long npages)
{
	struct iopt_busy busy = {
		.first_index = first_index,
		.last_index = first_index + npages - 1,
	};
	unsigned long unpinned = 0;
	bool are_held;

	iopt_pages_lock_range(pages, &busy);
	are_held = iopt_pages_are_held(pages, busy.first_index,
				       busy.last_index);
	if (are_held)
		unpinned = iopt_access_release_all(pages, first_index, npages);
	iopt_pages_unlock_range(pages, &busy);
	pages->ops->uncharge(pages, unpinned);
	return are_held;
}
