// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading PFNs back: which tier knows what stands behind an index.
 *
 * A slice that is one run knows that by itself. Then records are asked: they
 * answer for a run at a time. What no record covers was scattered when it was
 * pinned, and a domain that maps it is asked page by page. A reader is in a section
 * over the indexes it asks for and they are pinned, which keeps the records it
 * meets: one is freed only when nothing it covers is pinned.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sizes.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

bool iopt_extents = true;
module_param_named(extents, iopt_extents, bool, 0644);
MODULE_PARM_DESC(extents,
		 "Remember runs of PFNs rather than ask page tables for them (for debugging)");

/* Of the last record, of any pages: what does not cost each of them a number. */
static atomic64_t iopt_record_seq;

/**
 * iopt_slice_span() - where a page range of a slice shows
 * @slice: the slice
 * @first_page: first page, counted from the start of the slice
 * @npages: how many, at least 1
 *
 * All sums may wrap on the way: the first page of a mapping at IOVA 0 can begin
 * before it.
 *
 * Context: any.
 * Return: the span.
 */
struct domain_io_span iopt_slice_span(const struct iopt_slice *slice,
				      unsigned long first_page,
				      unsigned long npages)
{
	unsigned long base_iova = slice->iova.first_iova - slice->page_offset;
	struct domain_io_span span;
	unsigned long last_iova;

	if (first_page) {
		span.first_iova = base_iova + first_page * PAGE_SIZE;
		span.page_offset = 0;
	} else {
		span.first_iova = slice->iova.first_iova;
		span.page_offset = slice->page_offset;
	}
	if (first_page + npages == iopt_slice_npages(slice))
		last_iova = slice->iova.last_iova;
	else
		last_iova = base_iova + (first_page + npages) * PAGE_SIZE - 1;
	span.length = last_iova - span.first_iova + 1;
	span.small_pages = slice->domains->small_pages;
	return span;
}

/**
 * iopt_slice_bound() - how many pages to map or unmap in one go
 * @slice: the slice
 * @first_page: first page, counted from the start of the slice
 * @npages: how many there are to do, at least 1
 *
 * Batches end where a 1 GiB leaf could begin, all of them, those that are mapped
 * as those that are unmapped: so no unmap cuts what was mapped in one call. It
 * keeps the time in driver calls in bounds and costs no large leaf.
 *
 * Context: any.
 * Return: 1 to @npages.
 */
unsigned long iopt_slice_bound(const struct iopt_slice *slice,
			       unsigned long first_page, unsigned long npages)
{
	struct domain_io_span span = iopt_slice_span(slice, first_page, 1);
	unsigned long iova = span.first_iova - span.page_offset;

	return min(npages, PFN_UP((unsigned long)SZ_1G -
					(iova & (SZ_1G - 1))));
}

/**
 * iopt_slice_bound_front() - how many pages in front belong to the same bound
 * @slice: the slice
 * @first_page: a page, counted from the start of the slice
 *
 * Context: any.
 * Return: pages between @first_page and the last place before it at which
 * iopt_slice_bound() has cut; 0 to @first_page.
 */
unsigned long iopt_slice_bound_front(const struct iopt_slice *slice,
				     unsigned long first_page)
{
	struct domain_io_span span = iopt_slice_span(slice, first_page, 1);
	unsigned long iova = span.first_iova - span.page_offset;

	return min(first_page, (iova & (SZ_1G - 1)) / PAGE_SIZE);
}

static bool iopt_pages_has_record(struct iopt_pages *pages,
				  unsigned long first_index,
				  unsigned long last_index)
{
	bool has;

	if (span_tree_is_empty(&pages->records))
		return false;
	spin_lock(&pages->lock);
	has = span_tree_first(&pages->records, first_index, last_index);
	spin_unlock(&pages->lock);
	return has;
}

/**
 * iopt_pages_prepare_record() - make a record of PFNs about to be mapped
 * @pages: whose PFNs
 * @first_index: index of the first
 * @batch: the PFNs
 * @out_record: the record for iopt_pages_insert_record(), or NULL when it is not
 *	worth while
 *
 * An older record of the same indexes can be left from when they were pinned
 * before, because other indexes of it still are. Then there must be a newer one,
 * however scattered the memory is.
 *
 * Context: a section over the indexes; sleeps.
 * Return: 0; -ENOMEM if a record is needed and there is no memory.
 */
int iopt_pages_prepare_record(struct iopt_pages *pages,
			      unsigned long first_index,
			      const struct pfn_batch *batch,
			      struct pfn_record **out_record)
{
	bool needed = iopt_pages_has_record(pages, first_index,
					    first_index + batch->npfns - 1);

	*out_record = NULL;
	if (!needed && (!READ_ONCE(iopt_extents) ||
			!pfn_record_is_compact(batch)))
		return 0;
	*out_record = pfn_record_create(first_index, batch);
	return needed && !*out_record ? -ENOMEM : 0;
}

/* Take a record out of the tree that a newer one says everything of. */
static struct pfn_record *
iopt_pages_take_outdated(struct iopt_pages *pages,
			 const struct interval_tree_node *newer)
{
	struct interval_tree_node *span;

	lockdep_assert_held(&pages->lock);

	span = span_tree_first(&pages->records, newer->start, newer->last);
	while (span && (span->start < newer->start || span->last > newer->last))
		span = interval_tree_iter_next(span, newer->start, newer->last);
	if (!span)
		return NULL;
	span_tree_remove(&pages->records, span);
	return container_of(span, struct pfn_record, span);
}

/* A record that shares an index with a newer one is lone no more. Any such? */
static bool iopt_pages_join_records(struct iopt_pages *pages,
				    const struct interval_tree_node *newer)
{
	struct interval_tree_node *span;
	bool any = false;

	for (span = span_tree_first(&pages->records, newer->start, newer->last);
	     span;
	     span = interval_tree_iter_next(span, newer->start, newer->last)) {
		container_of(span, struct pfn_record, span)->is_lone = false;
		any = true;
	}
	return any;
}

/**
 * iopt_pages_insert_record() - remember PFNs that have just been mapped or read
 * @pages: whose PFNs
 * @record: of them, or NULL
 *
 * Older records that lie within it are freed: next to a page that stays pinned,
 * others may come and go any number of times.
 *
 * Context: the section it was prepared in. A slice covers the indexes, in
 * @pages->slices, before somebody else can drop records: of pages that no other slice
 * shows, when the section ends at the latest.
 */
void iopt_pages_insert_record(struct iopt_pages *pages,
			      struct pfn_record *record)
{
	struct pfn_record *older;

	if (!record)
		return;
	spin_lock(&pages->lock);
	while ((older = iopt_pages_take_outdated(pages, &record->span)))
		pfn_record_free(older);
	record->is_lone = !iopt_pages_join_records(pages, &record->span);
	record->seq = atomic64_inc_return(&iopt_record_seq);
	span_tree_insert(&pages->records, &record->span);
	spin_unlock(&pages->lock);
}

/* Take a record out of the tree that nothing pinned needs any more. */
static struct pfn_record *iopt_pages_take_unused(struct iopt_pages *pages,
						 unsigned long *first_index,
						 unsigned long last_index)
{
	struct interval_tree_node *span;

	lockdep_assert_held(&pages->lock);

	span = span_tree_first(&pages->records, *first_index, last_index);
	while (span && span_tree_first(&pages->slices, span->start, span->last))
		span = interval_tree_iter_next(span, *first_index, last_index);
	if (!span)
		return NULL;
	*first_index = span->start;
	span_tree_remove(&pages->records, span);
	return container_of(span, struct pfn_record, span);
}

/**
 * iopt_pages_drop_records() - forget what nothing pinned needs any more
 * @pages: the pages
 * @first_index: first index that has been unpinned
 * @last_index: the last one, inclusive
 *
 * Context: a section over the indexes, with its slice no longer in
 * @pages->slices.
 */
void iopt_pages_drop_records(struct iopt_pages *pages,
			     unsigned long first_index,
			     unsigned long last_index)
{
	struct pfn_record *record;

	do {
		spin_lock(&pages->lock);
		record = iopt_pages_take_unused(pages, &first_index,
						last_index);
		spin_unlock(&pages->lock);
		pfn_record_free(record);
	} while (record);
}

static bool iopt_record_is_newer(const struct pfn_record *record,
				 const struct pfn_record *other)
{
	return !other || record->seq > other->seq;
}

/*
 * The record of an index, if it is lone: most are, and then it is where a search
 * would look that knows of no overlap.
 */
static __always_inline struct pfn_record *
iopt_pages_lone_record(struct iopt_pages *pages, unsigned long index)
{
	struct rb_node *rb = pages->records.root.rb_node;

	while (rb) {
		struct interval_tree_node *span =
			rb_entry(rb, struct interval_tree_node, rb);
		struct pfn_record *record =
			container_of(span, struct pfn_record, span);

		if (index < span->start)
			rb = rb->rb_left;
		else if (index > span->last)
			rb = rb->rb_right;
		else
			return record->is_lone ? record : NULL;
	}
	return NULL;
}

/* As iopt_pages_find_record(), with @pages->lock held. */
static struct pfn_record *iopt_pages_newest_record(struct iopt_pages *pages,
						   unsigned long index,
						   unsigned long *last_index)
{
	struct pfn_record *found = NULL;
	struct interval_tree_node *span;

	lockdep_assert_held(&pages->lock);

	for (span = span_tree_first(&pages->records, index, *last_index); span;
	     span = interval_tree_iter_next(span, index, *last_index)) {
		struct pfn_record *record =
			container_of(span, struct pfn_record, span);

		/* In the order of their first index. */
		if (!iopt_record_is_newer(record, found))
			continue;
		if (span->start > index) {
			*last_index = span->start - 1;
			break;
		}
		found = record;
	}
	if (found)
		*last_index = min(*last_index, found->span.last);
	return found;
}

/**
 * iopt_pages_find_record() - find the newest record that covers an index
 * @pages: whose PFNs
 * @index: the index
 * @last_index: the last index of interest; lowered to where the record ends, or
 *	another one, or the first one, takes over
 *
 * Context: a section over the indexes.
 * Return: the record or NULL.
 */
struct pfn_record *iopt_pages_find_record(struct iopt_pages *pages,
					  unsigned long index,
					  unsigned long *last_index)
{
	struct pfn_record *found;

	if (span_tree_is_empty(&pages->records))
		return NULL;
	spin_lock(&pages->lock);
	found = iopt_pages_lone_record(pages, index);
	if (found)
		*last_index = min(*last_index, found->span.last);
	else
		found = iopt_pages_newest_record(pages, index, last_index);
	spin_unlock(&pages->lock);
	return found;
}

/* Some member still maps a page in quarantine, or none, and nobody knows it. */
static unsigned long iopt_slice_read_kept(struct iopt_slice *slice,
					  const struct domain_io_span *span,
					  struct pfn_batch *batch)
{
	struct iopt_domain *member;

	iopt_slice_for_each_member(slice, member) {
		unsigned long npages = domain_io_read(member->io.domain, span,
						      batch);

		if (npages)
			return npages;
	}
	return 0;
}

/**
 * iopt_slice_record() - the record that knows pages of a slice
 * @slice: the slice, which is no run
 * @index: index of the first page; filled
 * @npages: how many are wanted, at least 1; lowered to those it is true for
 *
 * Context: a section over the indexes.
 * Return: the record or NULL.
 */
struct pfn_record *iopt_slice_record(struct iopt_slice *slice,
				     unsigned long index, unsigned long *npages)
{
	unsigned long last_index = index + *npages - 1;
	struct pfn_record *record;

	record = iopt_pages_find_record(slice->pages, index, &last_index);
	*npages = last_index - index + 1;
	return record;
}

/*
 * Read from one tier.
 *
 * Return: pages read, fewer than @npages where the tier ends or the batch is
 * full.
 */
static unsigned long iopt_slice_read_tier(struct iopt_slice *slice,
					  unsigned long first_page,
					  unsigned long npages,
					  struct pfn_batch *batch)
{
	unsigned long index = slice->span.start + first_page;
	struct pfn_record *record;
	struct domain_io_span span;

	if (slice->run_pfn)
		return pfn_batch_add(batch, slice->run_pfn + first_page, npages) ?
			       npages : 0;
	record = iopt_slice_record(slice, index, &npages);
	if (record)
		return pfn_record_read(record, index, npages, batch);

	span = iopt_slice_span(slice, first_page, npages);
	if (slice->quarantined)
		return iopt_slice_read_kept(slice, &span, batch);
	return domain_io_read(slice->storage->io.domain, &span, batch);
}

/*
 * The first page from @first_index on that @slice keeps pinned, of those in front
 * of @end_index; ULONG_MAX if there is none.
 */
static unsigned long iopt_slice_covers_from(const struct iopt_slice *slice,
					    unsigned long first_index,
					    unsigned long end_index)
{
	unsigned long start_index = slice->span.start;

	if (READ_ONCE(slice->quarantined))
		start_index += slice->kept_page;
	if (end_index <= first_index)
		return ULONG_MAX;
	return max(start_index, first_index);
}

/* As iopt_pages_cover_slice(), with @pages->lock held. */
static void iopt_pages_find_cover(struct iopt_pages *pages,
				  struct iopt_cover *cover)
{
	struct interval_tree_node *span;

	lockdep_assert_held(&pages->lock);

	for (span = span_tree_first(&pages->slices, cover->first_index,
				    cover->last_index);
	     span && !cover->slice;
	     span = interval_tree_iter_next(span, cover->first_index,
					    cover->last_index)) {
		struct iopt_slice *slice =
			container_of(span, struct iopt_slice, span);
		unsigned long end_index, index;

		if (slice == cover->self)
			continue;
		/*
		 * Once: without a section it can fall behind the first index, and
		 * an answer that ends before it begins is worse than a wrong one.
		 */
		end_index = span->start + READ_ONCE(slice->filled_pages);
		index = iopt_slice_covers_from(slice, cover->first_index,
					       end_index);
		if (index > cover->last_index)
			continue;
		if (index > cover->first_index) {
			cover->last_index = index - 1;
			break;
		}
		cover->last_index = min(cover->last_index, end_index - 1);
		cover->slice = slice;
	}
}

/**
 * iopt_pages_cover_slice() - does a slice keep a page pinned?
 * @pages: the pages
 * @cover: the question; accesses do not count
 *
 * Context: a section over the indexes; without one the answer is a guess.
 * Return: %IOPT_TIER_SLICE or %IOPT_TIER_NONE.
 */
enum iopt_tier iopt_pages_cover_slice(struct iopt_pages *pages,
				      struct iopt_cover *cover)
{
	cover->slice = NULL;
	if (span_tree_is_empty(&pages->slices))
		return IOPT_TIER_NONE;
	spin_lock(&pages->lock);
	iopt_pages_find_cover(pages, cover);
	spin_unlock(&pages->lock);
	return cover->slice ? IOPT_TIER_SLICE : IOPT_TIER_NONE;
}

/**
 * iopt_pages_cover() - does anybody keep a page pinned?
 * @pages: the pages
 * @cover: the question
 *
 * Slices come first: they know a run at a time.
 *
 * Context: a section over the indexes; without one the answer is a guess.
 * Return: who.
 */
enum iopt_tier iopt_pages_cover(struct iopt_pages *pages,
				struct iopt_cover *cover)
{
	struct iopt_held *held = READ_ONCE(pages->held);
	enum iopt_tier tier = iopt_pages_cover_slice(pages, cover);

	if (tier == IOPT_TIER_NONE && held &&
	    iopt_held_cover(held, cover->first_index, &cover->last_index))
		return IOPT_TIER_HELD;
	return tier;
}

/**
 * iopt_slice_read() - read PFNs of a slice back, as many as the batch holds
 * @slice: the slice
 * @first_page: the first page, counted from the start of the slice; filled
 * @npages: how many at most, at least 1; all filled
 * @batch: what they are added to; empty
 *
 * What is read ends at @npages or at the end of a physically contiguous run,
 * so an unmap of it does not cut what was mapped in one call.
 *
 * Context: a section over the slice.
 * Return: pages read; 0 if the domain asked does not know the first of them.
 */
unsigned long iopt_slice_read(struct iopt_slice *slice,
			      unsigned long first_page, unsigned long npages,
			      struct pfn_batch *batch)
{
	unsigned long done = 0;

	while (done < npages) {
		unsigned long n = iopt_slice_read_tier(slice, first_page + done,
						       npages - done, batch);

		if (!n)
			break;
		done += n;
	}
	return done;
}

/**
 * iopt_slice_read_few() - read PFNs back into a batch of the usual size at most
 * @slice: the slice
 * @first_page: as of iopt_slice_read()
 * @npages: as of iopt_slice_read()
 * @batch: from iopt_slice_init_batch(); empty. It takes an array only where runs are
 *	many, which those of large pages are not
 *
 * Context: a section over the slice; sleeps.
 * Return: as iopt_slice_read().
 */
unsigned long iopt_slice_read_few(struct iopt_slice *slice,
				  unsigned long first_page,
				  unsigned long npages,
				  struct pfn_batch *batch)
{
	unsigned long max_runs = min(slice->filled_pages, IOPT_UNFILL_FEW_RUNS);
	unsigned long done = iopt_slice_read(slice, first_page, npages, batch);

	if (done == npages ||
	    !pfn_batch_grow(batch, max_runs, READ_ONCE(iopt_temp_bytes_limit)))
		return done;
	return done + iopt_slice_read(slice, first_page + done, npages - done,
				      batch);
}

/**
 * iopt_slice_read_many() - read PFNs back, as many as are to be flushed at once
 * @slice: the slice
 * @first_page: as of iopt_slice_read()
 * @npages: as of iopt_slice_read()
 * @batch: from iopt_slice_init_batch(); empty; enlarged when that helps and there is
 *	memory
 *
 * Context: a section over the slice; sleeps.
 * Return: as iopt_slice_read().
 */
unsigned long iopt_slice_read_many(struct iopt_slice *slice,
				   unsigned long first_page,
				   unsigned long npages,
				   struct pfn_batch *batch)
{
	unsigned long max_runs = min(slice->filled_pages, IOPT_UNFILL_RUNS);
	size_t limit_bytes = READ_ONCE(iopt_temp_bytes_limit) *
			     DIV_ROUND_UP(max_runs, IOPT_UNFILL_FEW_RUNS);
	unsigned long done = iopt_slice_read_few(slice, first_page, npages,
						 batch);

	if (done == npages || !pfn_batch_grow(batch, max_runs, limit_bytes))
		return done;
	return done + iopt_slice_read(slice, first_page + done, npages - done,
				      batch);
}

/**
 * iopt_slice_init_batch() - prepare a batch for iopt_slice_read_many()
 * @batch: to be destroyed with pfn_batch_destroy()
 *
 * Context: any.
 */
void iopt_slice_init_batch(struct pfn_batch *batch)
{
	pfn_batch_init(batch);
	pfn_batch_reserve(batch, 0, READ_ONCE(iopt_temp_bytes_limit));
}

/* The PFN that the newest record says, or 0. */
static noinline unsigned long iopt_pages_newest_pfn(struct iopt_pages *pages,
						    unsigned long index)
{
	unsigned long last_index = index;
	struct pfn_record *record;

	if (span_tree_is_empty(&pages->records))
		return 0;
	record = iopt_pages_newest_record(pages, index, &last_index);
	return record ? pfn_record_pfn(record, index) : 0;
}

/*
 * The PFN of a page that a slice keeps pinned, if no domain need be asked, or 0. Small
 * copies have time for little more.
 */
static __always_inline unsigned long
iopt_slice_peek_known(struct iopt_slice *slice, unsigned long index)
{
	struct pfn_record *record;

	if (slice->run_pfn)
		return slice->run_pfn + (index - slice->span.start);
	record = iopt_pages_lone_record(slice->pages, index);
	return likely(record) ? pfn_record_pfn(record, index) :
				iopt_pages_newest_pfn(slice->pages, index);
}

/* The same if one has to be. */
static unsigned long iopt_slice_peek_domain(struct iopt_slice *slice,
					    unsigned long index)
{
	unsigned long page = index - slice->span.start;
	unsigned long iova = slice->iova.first_iova;

	/* The driver of SMMUv2 may have to resume the device, and sleep. */
	if (slice->quarantined || IS_ENABLED(CONFIG_ARM_SMMU))
		return IOPT_PFN_UNKNOWN;
	if (page)
		iova += page * PAGE_SIZE - slice->page_offset;
	return domain_io_read_pfn(slice->storage->io.domain, iova) ?:
	       IOPT_PFN_UNKNOWN;
}

/* The same in any case. With @pages->lock held. */
static unsigned long iopt_slice_peek_filled(struct iopt_slice *slice,
					    unsigned long index)
{
	return iopt_slice_peek_known(slice, index) ?:
	       iopt_slice_peek_domain(slice, index);
}

/**
 * iopt_pages_peek() - the PFN of a page, if somebody keeps it pinned
 * @pages: the pages
 * @index: the page
 *
 * Context: @pages->lock, and a section over the index or nobody in one: as none can
 * begin then, that is as good.
 * Return: the PFN; 0 if nobody does, or IOPT_PFN_UNKNOWN if it takes more than a look.
 */
unsigned long iopt_pages_peek(struct iopt_pages *pages, unsigned long index)
{
	struct iopt_cover cover = { .first_index = index, .last_index = index };

	lockdep_assert_held(&pages->lock);

	if (!span_tree_is_empty(&pages->slices))
		iopt_pages_find_cover(pages, &cover);
	if (cover.slice)
		return iopt_slice_peek_filled(cover.slice, index);
	return pages->held ? iopt_held_peek(pages->held, index) : 0;
}

/* What only a domain knows. If it is worth it to note that, it shall be noted. */
static noinline unsigned long iopt_slice_peek_unknown(struct iopt_slice *slice,
						      unsigned long index)
{
	return iopt_note_is_worth(slice->pages, index, 1) ?
		       IOPT_PFN_UNKNOWN : iopt_slice_peek_domain(slice, index);
}

/**
 * iopt_slice_try_peek() - the PFN of a page of a slice, if somebody keeps it pinned
 * @slice: the slice, which may do that or not
 * @index: the page
 *
 * A PFN that it is worth to note is not told: iopt_slice_rw() notes it.
 *
 * Context: the lock of its pages, and nobody in a section.
 * Return: as iopt_pages_peek().
 */
unsigned long iopt_slice_try_peek(struct iopt_slice *slice, unsigned long index)
{
	struct iopt_pages *pages = slice->pages;

	lockdep_assert_held(&pages->lock);

	if (index - slice->span.start < slice->filled_pages &&
	    !slice->quarantined)
		return iopt_slice_peek_known(slice, index) ?:
		       iopt_slice_peek_unknown(slice, index);
	if (!span_tree_is_empty(&pages->slices))
		return iopt_pages_peek(pages, index);
	return pages->held ? iopt_held_try_peek(pages->held, index) : 0;
}
