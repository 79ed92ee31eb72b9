// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages pinned for in-kernel users: how they get there, and how they go back to
 * whoever else needs them.
 */
#include <linux/mm.h>

#include "pages.h"

/* What more than so many take to be told who has pinned them is not felt. */
#define IOPT_ACCESS_FREE_PAGES 512UL

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
		iopt_held_unpin(held, gather->first_index, done);
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

/* Does nobody keep any page of a range pinned? */
static bool iopt_pages_are_free(struct iopt_pages *pages,
				const struct iopt_busy *busy)
{
	struct iopt_cover cover = {
		.first_index = busy->first_index,
		.last_index = busy->last_index,
	};

	return iopt_pages_cover(pages, &cover) == IOPT_TIER_NONE &&
	       cover.last_index == busy->last_index;
}

/* Give back pages that nobody uses any more. */
static void iopt_pages_unpin_array(struct iopt_pages *pages,
				   struct page **upages, unsigned long npages)
{
	struct pfn_batch batch __uninitialized;

	if (npages == 1) {
		pages->ops->unpin(pages, page_to_pfn(*upages), 1);
		return;
	}
	/* A few runs take less than to have each page looked at. */
	pfn_batch_init(&batch);
	if (pfn_batch_add_pages(&batch, upages, npages) == npages)
		iopt_pages_unpin_front(pages, &batch, npages);
	else
		pages->ops->unpin_pages(pages, upages, npages);
}

/*
 * Pin all of a range for an access, that nobody seems to have pinned.
 *
 * Return: 0 with the pages in @out_pages; -EAGAIN or -errno with nothing pinned.
 */
static int iopt_access_pin_free(struct iopt_pages *pages,
				const struct iopt_busy *busy,
				struct page **out_pages)
{
	unsigned long npages = busy->last_index - busy->first_index + 1;
	long rc;

	if (fatal_signal_pending(current))
		return -EINTR;
	rc = pages->ops->charge(pages, npages);
	if (rc)
		return rc;
	rc = pages->ops->pin_pages(pages, out_pages, busy->first_index, npages);
	if (rc == npages)
		return 0;
	if (rc > 0) {
		iopt_pages_unpin_array(pages, out_pages, rc);
		rc = -EAGAIN;
	}
	pages->ops->uncharge(pages, npages);
	return rc;
}

/* In the section: hand over what was pinned, if nobody else has since. */
static int iopt_access_commit_free(struct iopt_pages *pages,
				   const struct iopt_busy *busy,
				   struct page **out_pages)
{
	unsigned long npages = busy->last_index - busy->first_index + 1;
	unsigned long done;

	if (!iopt_pages_are_free(pages, busy))
		return -EAGAIN;
	done = iopt_held_pin(pages->held, busy->first_index, out_pages, npages);
	if (done != npages) {
		iopt_held_unpin(pages->held, busy->first_index, done);
		return -ENOMEM;
	}
	iopt_pages_add_pinned(pages, npages);
	return 0;
}

/*
 * What is pinned at a time is mostly not much, and nobody else's. That needs none of
 * what finds out whose many pages are.
 *
 * Return: 0; -EAGAIN it is not like that; -errno.
 */
static int iopt_access_add_free(struct iopt_pages *pages,
				struct iopt_busy *busy, struct page **out_pages)
{
	unsigned long npages = busy->last_index - busy->first_index + 1;
	int rc;

	rc = iopt_access_pin_free(pages, busy, out_pages);
	if (rc)
		return rc;
	iopt_pages_lock_range(pages, busy);
	rc = iopt_access_commit_free(pages, busy, out_pages);
	iopt_pages_unlock_range(pages, busy);
	if (rc) {
		iopt_pages_unpin_array(pages, out_pages, npages);
		pages->ops->uncharge(pages, npages);
	}
	return rc;
}

/* Pin one page that somebody has pinned. Return: as iopt_access_add_free(). */
static int iopt_access_add_pinned(struct iopt_pages *pages,
				  struct iopt_busy *busy,
				  struct page **out_page)
{
	unsigned long pfn;
	int rc = -EAGAIN;

	iopt_pages_lock_range(pages, busy);
	spin_lock(&pages->lock);
	pfn = iopt_pages_peek(pages, busy->first_index);
	spin_unlock(&pages->lock);
	if (pfn && pfn != IOPT_PFN_UNKNOWN) {
		*out_page = pfn_to_page(pfn);
		rc = iopt_held_pin(pages->held, busy->first_index, out_page,
				   1) ? 0 : -ENOMEM;
	}
	iopt_pages_unlock_range(pages, busy);
	return rc;
}

/* Pin those of the first pages again that accesses have. Return: how many. */
static unsigned long iopt_access_add_held(struct iopt_pages *pages,
					  struct iopt_busy *busy,
					  struct page **out_pages)
{
	unsigned long npages = busy->last_index - busy->first_index + 1;
	unsigned long done;

	iopt_pages_lock_range(pages, busy);
	done = iopt_held_pin_again(pages->held, busy->first_index, npages,
				   out_pages);
	iopt_pages_unlock_range(pages, busy);
	return done;
}

/* All that takes more than the above: @busy from its @done first pages on. */
static int iopt_access_add_mixed(struct iopt_pages *pages,
				 const struct iopt_busy *busy,
				 unsigned long done, struct page **out_pages)
{
	unsigned long first_index = busy->first_index;
	unsigned long npages = busy->last_index - first_index + 1;
	struct iopt_gather gather __uninitialized;
	long rc = 0;

	gather.pages = pages;
	gather.self = NULL;
	gather.end_index = first_index + npages;
	iopt_gather_init(&gather, first_index + done, out_pages + done);
	while (rc >= 0 && done != npages) {
		rc = iopt_access_step(&gather, pages->held, first_index + done,
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
	struct iopt_busy busy = {
		.first_index = first_index,
		.last_index = first_index + npages - 1,
	};
	unsigned long done = 0;
	int rc = -EAGAIN;

	if (!iopt_pages_make_held(pages))
		return -ENOMEM;
	if (npages <= IOPT_ACCESS_FREE_PAGES && iopt_pages_are_free(pages, &busy))
		rc = iopt_access_add_free(pages, &busy, out_pages);
	else if (npages == 1)
		rc = iopt_access_add_pinned(pages, &busy, out_pages);
	else if (iopt_held_peek(pages->held, first_index))
		done = iopt_access_add_held(pages, &busy, out_pages);
	if (done == npages)
		return 0;
	if (rc != -EAGAIN)
		return rc;
	return iopt_access_add_mixed(pages, &busy, done, out_pages);
}

/* Unpin pages that one access needs, and no slice. Return: how many. */
static unsigned long iopt_access_release_uncovered(struct iopt_pages *pages,
						   unsigned long first_index,
						   unsigned long last_index)
{
	unsigned long index = first_index;
	unsigned long unpinned = 0;

	while (index <= last_index) {
		unsigned long npages = last_index - index + 1;
		struct page **upages = iopt_held_last_pins(pages->held, index,
							   &npages);

		if (upages) {
			iopt_pages_unpin_array(pages, upages, npages);
			unpinned += npages;
		}
		index += npages;
		if (index <= last_index)
			cond_resched();
	}
	return unpinned;
}

/*
 * In the section: unpin what nobody will need. The pages are still in their blocks
 * then, where nobody looks at them meanwhile, so it takes no memory to remember them.
 */
static unsigned long iopt_access_release(struct iopt_pages *pages,
					 const struct iopt_busy *busy)
{
	unsigned long index = busy->first_index;
	unsigned long unpinned = 0;

	while (index <= busy->last_index) {
		struct iopt_cover cover = {
			.first_index = index,
			.last_index = busy->last_index,
		};

		if (iopt_pages_cover_slice(pages, &cover) == IOPT_TIER_NONE)
			unpinned += iopt_access_release_uncovered(pages, index,
							cover.last_index);
		index = cover.last_index + 1;
	}
	iopt_held_unpin(pages->held, busy->first_index,
			busy->last_index - busy->first_index + 1);
	iopt_pages_add_pinned(pages, -unpinned);
	return unpinned;
}

/* Does every page have a pin that can be given up? */
static bool iopt_pages_are_held(struct iopt_pages *pages,
				const struct iopt_busy *busy)
{
	struct iopt_held *held = READ_ONCE(pages->held);
	unsigned long last_index = busy->last_index;

	return held && iopt_held_cover(held, busy->first_index, &last_index) &&
	       last_index == busy->last_index;
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
	are_held = iopt_pages_are_held(pages, &busy);
	if (are_held)
		unpinned = iopt_access_release(pages, &busy);
	iopt_pages_unlock_range(pages, &busy);
	pages->ops->uncharge(pages, unpinned);
	return are_held;
}
