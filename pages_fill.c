// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fill: how pages get into the domains of a set.
 *
 * Every function here, in pages_unfill.c and pages_member.c, keeps one fact true
 * at the end of each section: the first filled_pages of a slice are pinned, charged,
 * and mapped in exactly the members that iopt_slice_in_domain() names; the others
 * are in none of them.
 *
 *	            iopt_slice_fill()             iopt_slice_add_domain()
 *	 nothing ----------------------> filled ---------------------> in one more
 *	         <----------------------        <---------------------
 *	           iopt_slice_unfill(),           iopt_slice_remove_domain()
 *	           iopt_slice_remove_domain()
 *	           of the last member
 */
#include <linux/iommu.h>
#include <linux/sched/signal.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

static void iopt_slice_cover(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;

	spin_lock(&pages->lock);
	span_tree_insert(&pages->slices, &slice->span);
	spin_unlock(&pages->lock);
}

/**
 * iopt_slice_uncover() - nothing of a slice is filled any more
 * @slice: a slice that was
 *
 * Context: a section over the slice.
 */
void iopt_slice_uncover(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;

	spin_lock(&pages->lock);
	iopt_slice_empty(slice);
	spin_unlock(&pages->lock);
	if (!span_tree_is_empty(&pages->records))
		iopt_pages_drop_records(pages, slice->span.start,
					slice->span.last);
}

static struct domain_io_span iopt_fill_span(const struct iopt_slice *slice,
					    unsigned long npages, bool is_all)
{
	return is_all ? iopt_slice_span_all(slice) :
			iopt_slice_span(slice, slice->filled_pages, npages);
}

/* Take out of the members in front of one what could not be mapped in that. */
static noinline int iopt_fill_undo(struct iopt_slice *slice,
				   const struct domain_io_span *span,
				   const struct iopt_domain *failed)
{
	struct iopt_domain *member;
	int rc = 0;

	iopt_slice_for_each_member(slice, member) {
		if (member == failed)
			break;
		if (domain_io_unmap(&member->io, span->first_iova,
				    span->length) != span->length)
			rc = -ENOTRECOVERABLE;
	}
	return rc;
}

/* Map the batch in every member, from the first one on, or in none. */
static __always_inline int iopt_fill_map(struct iopt_slice *slice,
					 const struct pfn_batch *batch,
					 struct iopt_domain *first, bool is_all)
{
	struct domain_io_span span = iopt_fill_span(slice, batch->npfns, is_all);
	struct iopt_domain *member;

	for (member = first; member;
	     member = iopt_slice_next_member(slice, member)) {
		int rc = domain_io_map(&member->io, &span, batch,
				       slice->iommu_prot);

		if (rc)
			return iopt_fill_undo(slice, &span, member) ?: rc;
	}
	return 0;
}

/* The PFN of the first page if the batch is one run, or 0. */
static unsigned long iopt_fill_run(const struct pfn_batch *batch)
{
	if (pfn_batch_nruns(batch) != 1 || !READ_ONCE(iopt_extents))
		return 0;
	return batch->runs[batch->first_run].pfn;
}

/*
 * Map the batch in all members, of which the caller knows the first, and remember
 * what of it no other slice knows. If all has gone well the caller may be the one to
 * cover the slice, before the section ends.
 *
 * What the slice knows by itself needs no record, unless there are any: an older
 * one could say something else of the same indexes.
 *
 * Return: 0 with the pages in use by the slice, or -errno with none of them;
 * -ENOTRECOVERABLE: in use for ever.
 */
static __always_inline int iopt_fill_use(struct iopt_slice *slice,
					 const struct pfn_batch *batch,
					 struct iopt_domain *first,
					 bool has_news, bool caller_covers)
{
	unsigned long first_index = slice->span.start + slice->filled_pages;
	bool is_all = batch->npfns == iopt_slice_npages(slice);
	unsigned long run_pfn = is_all ? iopt_fill_run(batch) : 0;
	struct iopt_pages *pages = slice->pages;
	struct pfn_record *record = NULL;
	int rc = 0;

	if (has_news && !(run_pfn && span_tree_is_empty(&pages->records)))
		rc = iopt_pages_prepare_record(pages, first_index, batch,
					       &record);
	if (rc)
		return rc;
	rc = iopt_fill_map(slice, batch, first, is_all);
	if (rc && rc != -ENOTRECOVERABLE) {
		pfn_record_free(record);
		return rc;
	}
	/* No domain maps all of it, so none can be asked later. */
	if (rc && !record && !run_pfn)
		record = pfn_record_create(first_index, batch);

	/* What a driver failed to take back is shown, too: nobody unpins it. */
	slice->run_pfn = run_pfn;
	if (!slice->filled_pages) {
		slice->storage = run_pfn ? NULL : first;
		if (rc || !caller_covers)
			iopt_slice_cover(slice);
	}
	if (record)
		iopt_pages_insert_record(pages, record);
	WRITE_ONCE(slice->filled_pages, slice->filled_pages + batch->npfns);
	return rc ? iopt_slice_quarantine(slice, 0) : 0;
}

/*
 * In the section: see what became of the slice while we pinned, and map the
 * batch if it is still what is needed next.
 *
 * Return: 1 to go on, 0 when there is nothing left to do, -errno.
 */
static int iopt_fill_commit(struct iopt_slice *slice,
			    struct iopt_gather *gather, int gather_rc)
{
	struct iopt_domain *first = iopt_slice_next_member(slice, NULL);
	int rc;

	if (slice->quarantined)
		return -ENOTRECOVERABLE;
	if (slice->gone || !first)
		return 0;
	if (gather_rc)
		return gather_rc;
	if (gather->first_index != slice->span.start + slice->filled_pages)
		return 1;
	rc = iopt_gather_settle(gather);
	if (rc <= 0)
		return rc ?: 1;
	rc = iopt_fill_use(slice, gather->batch, first, gather->has_news,
			   false);
	if (!rc || rc == -ENOTRECOVERABLE)
		iopt_gather_keep(gather);
	if (rc)
		return rc;
	return slice->filled_pages != iopt_slice_npages(slice);
}

/* Gather what comes behind the pages that were filled when we last looked. */
static int iopt_fill_gather(struct iopt_slice *slice,
			    struct iopt_gather *gather,
			    unsigned long first_page)
{
	unsigned long npages;

	npages = iopt_slice_bound(slice, first_page,
				  iopt_slice_npages(slice) - first_page);
	return iopt_gather_next(gather, slice->span.start + first_page,
				slice->span.start + first_page + npages - 1);
}

/*
 * In the section: map all of a slice that nobody has begun to fill. Without an error it
 * is yet to be covered.
 *
 * Return: as iopt_fill_use(), or 1 with nothing done if there is more to it.
 */
static __always_inline int iopt_fill_whole(struct iopt_slice *slice,
					   const struct pfn_batch *batch,
					   bool has_news)
{
	struct iopt_domain *first = iopt_slice_next_member(slice, NULL);
	int rc;

	if (slice->filled_pages || slice->gone || slice->quarantined || !first)
		return 1;
	rc = iopt_fill_use(slice, batch, first, has_news, true);
	slice->filler = false;
	return rc;
}

/* The end of iopt_fill_whole()'s section. */
static __always_inline void iopt_fill_end(struct iopt_slice *slice,
					  struct iopt_busy *section, bool is_filled)
{
	struct iopt_pages *pages = slice->pages;

	spin_lock(&pages->lock);
	if (likely(is_filled))
		span_tree_insert(&pages->slices, &slice->span);
	iopt_pages_end_range(pages, section);
}

/* Can all of a slice be pinned with nothing allocated for that, and mapped at once? */
static bool iopt_slice_is_small(const struct iopt_slice *slice)
{
	unsigned long npages = iopt_slice_npages(slice);

	return npages == 1 || (npages <= IOPT_PIN_INLINE_PAGES &&
			       iopt_slice_bound(slice, 0, npages) == npages);
}

static noinline int iopt_fill_small_failed(struct iopt_slice *slice,
					   struct pfn_batch *batch, int rc)
{
	struct iopt_pages *pages = slice->pages;

	if (rc != -ENOTRECOVERABLE) {
		iopt_pages_unpin_front(pages, batch, batch->npfns);
		pages->ops->uncharge(pages, iopt_slice_npages(slice));
	}
	return rc;
}

/*
 * The short way for a small slice that is alone: there is nobody whose pages could
 * be shared, so all of them are pinned, and mapped.
 *
 * Return: as iopt_slice_fill(), or 1 with nothing done if that takes more.
 */
static __always_inline int iopt_slice_fill_small(struct iopt_slice *slice)
{
	unsigned long npages = iopt_slice_npages(slice);
	struct iopt_pages *pages = slice->pages;
	struct page *upages[IOPT_PIN_INLINE_PAGES] __uninitialized;
	struct pfn_batch batch __uninitialized;
	struct iopt_busy busy __uninitialized;
	long pinned;
	int rc = 1;

	static_assert(IOPT_PIN_INLINE_PAGES <= PFN_BATCH_INLINE_RUNS);

	if (pages->ops->charge(pages, npages))
		return 1;
	pinned = pages->ops->pin_pages(pages, upages, slice->span.start, npages);
	pfn_batch_init(&batch);
	if (pinned > 0)
		pfn_batch_add_pages(&batch, upages, pinned);
	if (pinned == npages) {
		busy.first_index = slice->span.start;
		busy.last_index = slice->span.last;
		iopt_pages_lock_range(pages, &busy);
		rc = iopt_fill_whole(slice, &batch, true);
		if (rc < 0)
			slice->gone = true;
		if (!rc || rc == -ENOTRECOVERABLE)
			iopt_pages_add_pinned(pages, npages);
		iopt_fill_end(slice, &busy, !rc);
	}
	return likely(!rc) ? 0 : iopt_fill_small_failed(slice, &batch, rc);
}

/* In the section: where pages begin that another slice shows as one run, or 0. */
static unsigned long iopt_fill_shared_pfn(const struct iopt_slice *slice)
{
	struct iopt_cover cover = {
		.self = slice,
		.first_index = slice->span.start,
		.last_index = slice->span.last,
	};
	const struct iopt_slice *other;

	iopt_pages_cover_slice(slice->pages, &cover);
	other = cover.slice;
	if (!other || !other->run_pfn || cover.last_index != slice->span.last)
		return 0;
	return other->run_pfn + (slice->span.start - other->span.start);
}

/*
 * The short way for what another slice shows as one run: it is pinned, and there is
 * nothing to be found out about it.
 *
 * Return: as iopt_slice_fill(), or 1 with nothing done if it is not like that.
 */
static noinline int iopt_slice_fill_shared(struct iopt_slice *slice,
					   bool is_owner)
{
	unsigned long npages = iopt_slice_npages(slice);
	struct iopt_busy busy = iopt_slice_range(slice);
	struct pfn_batch batch __uninitialized;
	unsigned long pfn;
	int rc = 1;

	/* The long way has an answer to that. */
	if (fatal_signal_pending(current) ||
	    iopt_slice_bound(slice, 0, npages) != npages)
		return 1;
	iopt_pages_lock_range(slice->pages, &busy);
	pfn = iopt_fill_shared_pfn(slice);
	if (pfn) {
		pfn_batch_init(&batch);
		pfn_batch_add_run(&batch, pfn, npages);
		rc = iopt_fill_whole(slice, &batch, false);
	}
	if (rc < 0 && is_owner)
		slice->gone = true;
	iopt_fill_end(slice, &busy, !rc);
	return rc;
}

/* The long way, for any slice. */
static noinline int iopt_slice_fill_any(struct iopt_slice *slice, bool is_owner)
{
	struct iopt_busy busy = iopt_slice_range(slice);
	unsigned long first_page = READ_ONCE(slice->filled_pages);
	struct iopt_gather gather __uninitialized;
	int rc;

	gather.pages = slice->pages;
	gather.self = slice;
	gather.end_index = slice->span.last + 1;
	iopt_gather_init(&gather, slice->span.start + first_page, NULL);
	do {
		rc = iopt_fill_gather(slice, &gather, first_page);
		iopt_pages_lock_range(slice->pages, &busy);
		rc = iopt_fill_commit(slice, &gather, rc);
		if (rc <= 0)
			slice->filler = false;
		if (rc < 0 && is_owner)
			slice->gone = true;
		first_page = slice->filled_pages;
		iopt_pages_unlock_range(slice->pages, &busy);
		iopt_gather_drop(&gather);
		cond_resched();
	} while (rc > 0);

	iopt_gather_end(&gather);
	return rc;
}

/**
 * iopt_slice_fill() - pin a slice and map it in every member that wants it
 * @slice: with @filler set by the caller, which must keep it referenced
 * @is_owner: an error is the end of the slice: nobody else shall try
 *
 * Members may come and go meanwhile, and the owner may tear the slice down:
 * that ends the fill without an error.
 *
 * Context: process, no lock, no section; sleeps as long as user space likes.
 * Return: 0; -EFAULT, -ENOMEM, -EINTR or a driver's -errno, and then the pages
 * in front of the failure stay filled until the caller takes them out.
 */
int iopt_slice_fill(struct iopt_slice *slice, bool is_owner)
{
	int rc = 1;

	if (!iopt_slice_is_alone(slice))
		rc = iopt_slice_fill_shared(slice, is_owner);
	else if (is_owner && iopt_slice_is_small(slice))
		rc = iopt_slice_fill_small(slice);
	return rc <= 0 ? rc : iopt_slice_fill_any(slice, is_owner);
}
