// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gathering: get the PFNs behind a range of indexes, each from whoever knows it.
 *
 * A page that is in use already is not pinned again; what nobody uses is. The
 * first half, iopt_gather_next(), runs without a section, since pinning can take
 * for ever, and can only guess who uses what. The second, iopt_gather_settle(),
 * runs in the section and finds that the guess was right, or has everything
 * dropped and done again.
 *
 * A batch may come from several tiers, so that a page that a driver has pinned
 * in the middle of a huge page does not keep the huge page from being mapped as
 * one.
 */
#include <linux/minmax.h>
#include <linux/sched/signal.h>

#include "pages.h"

/* Runs put together from several tiers before they are used. */
#define IOPT_GATHER_RUNS 2048UL

/**
 * iopt_gather_init() - prepare to gather
 * @gather: its pages, self and end_index are set, nothing else matters
 * @first_index: the first page that will be asked for
 * @upages: scratch, as of iopt_pin_init()
 *
 * Context: process; sleeps.
 */
void iopt_gather_init(struct iopt_gather *gather, unsigned long first_index,
		      struct page **upages)
{
	pfn_batch_init(&gather->pin.batch);
	gather->pin.upages = upages;
	gather->pin.own_upages = NULL;
	iopt_slice_init_batch(&gather->mixed);
	gather->max_pages = gather->end_index - first_index;
	gather->may_pin = false;
	gather->charged_pages = 0;
	gather->npages = 0;
	gather->nr_parts = 0;
	gather->batch = NULL;
}

/* Nothing is allocated for pins before there are any: often there are none. */
static void iopt_gather_prepare_pin(struct iopt_gather *gather)
{
	if (gather->may_pin)
		return;
	iopt_pin_init(&gather->pin, gather->max_pages, gather->pin.upages);
	gather->may_pin = true;
}

/* Pages from an index to the end that we would have to pin. */
static unsigned long iopt_gather_count(struct iopt_gather *gather,
				       unsigned long first_index)
{
	unsigned long npages = 0;

	while (first_index != gather->end_index) {
		struct iopt_cover cover = {
			.self = gather->self,
			.first_index = first_index,
			.last_index = gather->end_index - 1,
		};

		if (iopt_pages_cover(gather->pages, &cover) == IOPT_TIER_NONE)
			npages += cover.last_index - first_index + 1;
		first_index = cover.last_index + 1;
		cond_resched();
	}
	return npages;
}

/*
 * Charge all that is still to be pinned at once, what @cover says nobody has and
 * what follows: a limit answers early. As long as that lasts for the next pages
 * there is no need to look at the rest again, which can be in many pieces.
 */
static int iopt_gather_charge(struct iopt_gather *gather,
			      const struct iopt_cover *cover)
{
	struct iopt_pages *pages = gather->pages;
	unsigned long npages;
	int rc;

	npages = gather->pin.batch.npfns +
		 cover->last_index - cover->first_index + 1;
	if (gather->charged_pages >= npages)
		return 0;
	npages += iopt_gather_count(gather, cover->last_index + 1);
	if (gather->charged_pages >= npages)
		return 0;
	rc = pages->ops->charge(pages, npages - gather->charged_pages);
	if (!rc)
		gather->charged_pages = npages;
	return rc;
}

/*
 * Gather pages of one tier.
 *
 * Return: 1 if more can follow, 0 if not, -errno with nothing gathered by this
 * call.
 */
static int iopt_gather_part(struct iopt_gather *gather,
			    unsigned long last_index)
{
	struct iopt_gather_part *part = &gather->parts[gather->nr_parts];
	struct iopt_cover cover = {
		.self = gather->self,
		.first_index = gather->first_index + gather->npages,
		.last_index = last_index,
	};
	long npages;
	bool is_whole;
	int rc;

	part->tier = iopt_pages_cover(gather->pages, &cover);
	npages = cover.last_index - cover.first_index + 1;
	part->npages = npages;
	if (part->tier == IOPT_TIER_NONE) {
		rc = iopt_gather_charge(gather, &cover);
		if (rc)
			return rc;
		iopt_gather_prepare_pin(gather);
		npages = iopt_pin_gather(gather->pages, &gather->pin,
					 cover.first_index, part->npages);
		if (npages <= 0)
			return npages;
	}
	is_whole = npages == part->npages;
	part->npages = npages;
	gather->npages += npages;
	gather->nr_parts++;
	return is_whole && cover.last_index != last_index;
}

/* Return: whether there is more room for what others have pinned than there was. */
static bool iopt_gather_grow(struct iopt_gather *gather)
{
	return pfn_batch_grow(&gather->mixed,
			      min(gather->max_pages, IOPT_GATHER_RUNS),
			      READ_ONCE(iopt_temp_bytes_limit));
}

/**
 * iopt_gather_next() - pin or find the next pages
 * @gather: empty
 * @first_index: index of the first page
 * @last_index: index of the last page wanted now, inclusive
 *
 * Context: process, no section; sleeps as long as user space likes.
 * Return: 0 with at least one page gathered; -errno with none: -EFAULT, -ENOMEM,
 * -EINTR on a fatal signal, and what the kernel's pinning functions say.
 */
int iopt_gather_next(struct iopt_gather *gather, unsigned long first_index,
		     unsigned long last_index)
{
	int rc;

	if (fatal_signal_pending(current))
		return -EINTR;
	gather->first_index = first_index;
	do {
		rc = iopt_gather_part(gather, last_index);
	} while (rc > 0 && gather->nr_parts != IOPT_GATHER_PARTS);

	if (!gather->npages)
		return rc;
	if (gather->nr_parts > 1)
		iopt_gather_grow(gather);
	return 0;
}

/* Move pages that we have pinned from one batch to another. */
static unsigned long iopt_gather_move(struct iopt_gather *gather,
				      unsigned long npages)
{
	struct pfn_batch *pinned = &gather->pin.batch;
	unsigned long done = 0;

	while (done != npages) {
		const struct pfn_run *run = pinned->runs + pinned->first_run;
		unsigned long n = min(npages - done, (unsigned long)run->npfns);

		if (!pfn_batch_add(gather->batch, run->pfn, n))
			break;
		pfn_batch_skip_front(pinned, n);
		done += n;
	}
	return done;
}

static unsigned long iopt_gather_read(struct iopt_gather *gather,
				      const struct iopt_cover *cover)
{
	unsigned long npages = cover->last_index - cover->first_index + 1;

	if (cover->slice)
		return iopt_slice_read(cover->slice, cover->first_index -
						     cover->slice->span.start,
				       npages, gather->batch);
	return iopt_held_read(gather->pages->held, cover->first_index, npages,
			      gather->batch);
}

/*
 * Add the PFNs of a part to the batch.
 *
 * Return: 1; 0 if the part is not what it was taken for; -ENOSPC if the batch
 * is full.
 */
static int iopt_gather_settle_part(struct iopt_gather *gather,
				   const struct iopt_gather_part *part)
{
	unsigned long end_index = gather->first_index + gather->npages +
				  part->npages;
	bool was_ours = part->tier == IOPT_TIER_NONE;

	while (gather->first_index + gather->npages != end_index) {
		struct iopt_cover cover = {
			.self = gather->self,
			.first_index = gather->first_index + gather->npages,
			.last_index = end_index - 1,
		};
		enum iopt_tier tier = iopt_pages_cover(gather->pages, &cover);
		unsigned long npages = cover.last_index - cover.first_index + 1;
		bool is_ours = tier == IOPT_TIER_NONE;
		unsigned long done = npages;

		if (is_ours != was_ours)
			return 0;
		if (tier != IOPT_TIER_SLICE)
			gather->has_news = true;
		if (!is_ours)
			done = iopt_gather_read(gather, &cover);
		else if (gather->batch != &gather->pin.batch)
			done = iopt_gather_move(gather, npages);
		gather->npages += done;
		if (done != npages && !iopt_gather_grow(gather))
			return -ENOSPC;
	}
	return 1;
}

/**
 * iopt_gather_settle() - see whether what was gathered is still true
 * @gather: from iopt_gather_next()
 *
 * On success @gather->batch has the PFNs from @gather->first_index on,
 * @gather->npages of them, perhaps fewer than iopt_gather_next() found.
 *
 * Context: a section over the indexes; sleeps.
 * Return: 1; 0 if it is not: drop it and gather again; -EIO if a driver does not
 * know what it maps.
 */
int iopt_gather_settle(struct iopt_gather *gather)
{
	bool is_pinned = gather->nr_parts == 1 &&
			 gather->parts[0].tier == IOPT_TIER_NONE;
	int rc = 1;

	/* Others may have come and gone since, and were not charged for. */
	if (gather->charged_pages < gather->pin.batch.npfns)
		return 0;
	gather->npages = 0;
	gather->has_news = false;
	gather->batch = is_pinned ? &gather->pin.batch : &gather->mixed;
	for (unsigned int i = 0; i < gather->nr_parts && rc > 0; i++)
		rc = iopt_gather_settle_part(gather, &gather->parts[i]);
	if (rc == -ENOSPC)
		rc = gather->npages ? 1 : -EIO;
	return rc;
}

/* How many of the pages at the front of the batch are of the nth part. */
static unsigned long iopt_gather_in_batch(const struct iopt_gather *gather,
					  unsigned int nth)
{
	return min(gather->parts[nth].npages, gather->batch->npfns);
}

/**
 * iopt_gather_keep() - the pages of the batch are in use now
 * @gather: settled
 *
 * Those that we have pinned are no longer ours, the others never were.
 *
 * Context: the section they were settled in.
 */
void iopt_gather_keep(struct iopt_gather *gather)
{
	unsigned long pinned = 0;

	for (unsigned int i = 0; i < gather->nr_parts; i++) {
		unsigned long npages = iopt_gather_in_batch(gather, i);

		if (gather->parts[i].tier == IOPT_TIER_NONE)
			pinned += npages;
		pfn_batch_skip_front(gather->batch, npages);
	}
	gather->charged_pages -= pinned;
	iopt_pages_add_pinned(gather->pages, pinned);
}

/**
 * iopt_gather_drop() - unpin what was pinned and not kept
 * @gather: empty then
 *
 * Context: process, no section.
 */
void iopt_gather_drop(struct iopt_gather *gather)
{
	for (unsigned int i = 0; gather->batch && i < gather->nr_parts; i++) {
		unsigned long npages = iopt_gather_in_batch(gather, i);

		if (gather->parts[i].tier == IOPT_TIER_NONE)
			iopt_pages_unpin_front(gather->pages, gather->batch,
					       npages);
		else
			pfn_batch_skip_front(gather->batch, npages);
	}
	iopt_pages_unpin_front(gather->pages, &gather->pin.batch,
			       gather->pin.batch.npfns);
	gather->batch = NULL;
	gather->nr_parts = 0;
	gather->npages = 0;
}

/**
 * iopt_gather_end() - give back what was charged for nothing
 * @gather: empty
 *
 * Context: process, no section; may take the owner's mmap lock.
 */
void iopt_gather_end(struct iopt_gather *gather)
{
	pfn_batch_destroy(&gather->mixed);
	iopt_pin_destroy(&gather->pin);
	gather->pages->ops->uncharge(gather->pages, gather->charged_pages);
}
