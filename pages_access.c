// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages pinned for in-kernel users: how they get there, and how they go back to
 * whoever else needs them.
 */
#include <linux/mm.h>

#include "pages.h"

/* Runs unpinned at a time. */
#define IOPT_UNPIN_RUNS 1024UL

/* Undo iopt_held_pin(): whose the pages were, theirs they are. */
static void iopt_held_forget(struct iopt_held *held, unsigned long first_index,
			     unsigned long npages)
{
	unsigned long end_index = first_index + npages;
	unsigned long index = first_index;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	while (index != end_index) {
		index = iopt_held_unpin(held, index, end_index - 1, &batch);
		pfn_batch_clear(&batch);
	}
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
	iopt_batch_to_pages(gather->batch, out_pages);
	done = iopt_held_pin(held, gather->first_index, out_pages, npages);
	if (done != npages) {
		iopt_held_forget(held, gather->first_index, done);
		return -ENOMEM;
	}
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

/* Pin one page if nobody has, without a section. Return: 0 or -errno. */
static int iopt_access_pin_page(struct iopt_pages *pages, struct iopt_pin *pin,
				unsigned long index)
{
	struct iopt_cover cover = { .first_index = index, .last_index = index };
	long rc;

	pfn_batch_init(&pin->batch);
	if (iopt_pages_cover(pages, &cover) != IOPT_TIER_NONE)
		return 0;
	rc = pages->ops->charge(pages, 1);
	if (rc)
		return rc;
	rc = pages->ops->pin(pages, pin, index, 1);
	if (rc > 0)
		return 0;
	pages->ops->uncharge(pages, 1);
	return rc;
}

/* In a section: hand the page to the access, if it is whose it was taken for. */
static int iopt_access_commit_page(struct iopt_pages *pages,
				   struct iopt_pin *pin, unsigned long index)
{
	bool is_ours = !pfn_batch_is_empty(&pin->batch);
	unsigned long pfn;

	spin_lock(&pages->lock);
	pfn = iopt_pages_peek(pages, index);
	spin_unlock(&pages->lock);
	if (is_ours != !pfn || pfn == IOPT_PFN_UNKNOWN)
		return -EAGAIN;
	if (!is_ours)
		*pin->upages = pfn_to_page(pfn);
	if (iopt_held_pin(pages->held, index, pin->upages, 1) != 1)
		return -ENOMEM;
	if (is_ours) {
		iopt_pages_add_pinned(pages, 1);
		pfn_batch_clear(&pin->batch);
	}
	return 0;
}

/*
 * What most users pin at a time is one page, and that needs none of what finds out
 * whose many pages are.
 *
 * Return: 0; -EAGAIN that was a wrong guess; -errno.
 */
static int iopt_access_add_page(struct iopt_pages *pages, unsigned long index,
				struct page **out_page)
{
	struct iopt_busy busy = { .first_index = index, .last_index = index };
	struct iopt_pin pin __uninitialized;
	int rc;

	if (fatal_signal_pending(current))
		return -EINTR;
	pin.upages = out_page;
	pin.max_upages = 1;
	rc = iopt_access_pin_page(pages, &pin, index);
	if (rc)
		return rc;
	iopt_pages_lock_range(pages, &busy);
	rc = iopt_access_commit_page(pages, &pin, index);
	iopt_pages_unlock_range(pages, &busy);
	if (pfn_batch_is_empty(&pin.batch))
		return rc;
	iopt_pages_unpin_front(pages, &pin.batch, 1);
	pages->ops->uncharge(pages, 1);
	return rc;
}

/* Pin those of the first pages again that accesses have. Return: how many. */
static unsigned long iopt_access_add_held(struct iopt_pages *pages,
					  unsigned long first_index,
					  unsigned long npages,
					  struct page **out_pages)
{
	struct iopt_busy busy = {
		.first_index = first_index,
		.last_index = first_index + npages - 1,
	};
	unsigned long done;

	iopt_pages_lock_range(pages, &busy);
	done = iopt_held_pin_again(pages->held, first_index, npages, out_pages);
	iopt_pages_unlock_range(pages, &busy);
	return done;
}

/**
 * iopt_pages_try_pin_again() - pin a page again that an access has pinned
 * @pages: the pages
 * @index: the page
 * @out_page: written on success: the page
 *
 * As iopt_pages_add_access() would, if nothing has to be waited for: what holds for
 * iopt_slice_rw_page() holds for this.
 *
 * Context: any lock that is taken before @pages->lock; does not sleep.
 * Return: false with nothing done.
 */
bool iopt_pages_try_pin_again(struct iopt_pages *pages, unsigned long index,
			      struct page **out_page)
{
	guard(spinlock)(&pages->lock);

	return hlist_empty(&pages->busy) && pages->held &&
	       iopt_held_try_pin(pages->held, index, out_page);
}

/**
 * iopt_pages_try_unpin() - give up pins of an in-kernel user that are not the last
 * @pages: the pages
 * @first_index: the first page
 * @npages: how many, at least 1
 *
 * As iopt_pages_remove_access() would, if nothing has to be waited for and it comes
 * down to a single number.
 *
 * Context: any lock that is taken before @pages->lock; does not sleep.
 * Return: false with nothing done.
 */
bool iopt_pages_try_unpin(struct iopt_pages *pages, unsigned long first_index,
			  unsigned long npages)
{
	guard(spinlock)(&pages->lock);

	return hlist_empty(&pages->busy) && pages->held &&
	       iopt_held_try_unpin(pages->held, first_index,
				   first_index + npages - 1);
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
	if (npages == 1) {
		rc = iopt_access_add_page(pages, first_index, out_pages);
		if (rc != -EAGAIN)
			return rc;
		rc = 0;
	} else if (iopt_held_peek(held, first_index)) {
		done = iopt_access_add_held(pages, first_index, npages,
					    out_pages);
		if (done == npages)
			return 0;
	}
	gather.pages = pages;
	gather.self = NULL;
	gather.end_index = first_index + npages;
	iopt_gather_init(&gather, first_index + done, out_pages + done);
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
		index = iopt_held_unpin(pages->held, index, cover->last_index,
					batch);
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
	pfn_batch_reserve(&batch, min(npages, IOPT_UNPIN_RUNS),
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
	iopt_pages_add_pinned(pages, -unpinned);
	return unpinned;
}

/* The same of one page. */
static unsigned long iopt_access_release_page(struct iopt_pages *pages,
					      unsigned long index)
{
	struct iopt_cover cover = { .first_index = index, .last_index = index };
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	iopt_held_unpin(pages->held, index, index, &batch);
	if (pfn_batch_is_empty(&batch) ||
	    iopt_pages_cover_slice(pages, &cover) != IOPT_TIER_NONE)
		return 0;
	iopt_pages_unpin_front(pages, &batch, 1);
	iopt_pages_add_pinned(pages, -1);
	return 1;
}

/* Does every page have a pin that can be given up? */
static bool iopt_pages_are_held(struct iopt_pages *pages,
				unsigned long first_index,
				unsigned long last_index)
{
	struct iopt_held *held = READ_ONCE(pages->held);

	if (!held)
		return false;
	if (first_index == last_index)
		return iopt_held_peek(held, first_index);
	return iopt_held_from(held, first_index, last_index) == first_index &&
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
	if (are_held && npages == 1)
		unpinned = iopt_access_release_page(pages, first_index);
	else if (are_held)
		unpinned = iopt_access_release_all(pages, first_index, npages);
	iopt_pages_unlock_range(pages, &busy);
	pages->ops->uncharge(pages, unpinned);
	return are_held;
}
