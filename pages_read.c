// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading PFNs back: which tier knows what stands behind an index.
 *
 * Records are asked first: they answer for a run at a time. What no record
 * covers was scattered when it was pinned, and a domain that maps it is asked
 * page by page. A reader is in a section over the indexes it asks for and they
 * are pinned, which keeps the records it meets: one is freed only when nothing
 * it covers is pinned.
 */
#include <linux/module.h>
#include <linux/sizes.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

static bool iopt_extents = true;
module_param_named(extents, iopt_extents, bool, 0644);
MODULE_PARM_DESC(extents,
		 "Remember runs of PFNs rather than ask page tables for them (for debugging)");

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
 * iopt_pages_keep_record() - remember PFNs that have just been mapped
 * @pages: whose PFNs
 * @first_index: index of the first
 * @batch: the PFNs
 *
 * Context: a section over the indexes; sleeps.
 */
void iopt_pages_keep_record(struct iopt_pages *pages, unsigned long first_index,
			    const struct pfn_batch *batch)
{
	struct pfn_record *record;

	if (!READ_ONCE(iopt_extents))
		return;
	record = pfn_record_create(first_index, batch);
	if (!record)
		return;
	spin_lock(&pages->lock);
	interval_tree_insert(&record->span, &pages->records);
	spin_unlock(&pages->lock);
}

/* Take a record out of the tree that nothing pinned needs any more. */
static struct pfn_record *iopt_pages_take_unused(struct iopt_pages *pages,
						 unsigned long *first_index,
						 unsigned long last_index)
{
	struct interval_tree_node *span;

	lockdep_assert_held(&pages->lock);

	span = interval_tree_iter_first(&pages->records, *first_index,
					last_index);
	while (span && interval_tree_iter_first(&pages->slices, span->start,
						span->last))
		span = interval_tree_iter_next(span, *first_index, last_index);
	if (!span)
		return NULL;
	*first_index = span->start;
	interval_tree_remove(span, &pages->records);
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

/* The first record that ends at or behind an index, up to another index. */
static struct pfn_record *iopt_pages_find_record(struct iopt_pages *pages,
						 unsigned long first_index,
						 unsigned long last_index)
{
	struct interval_tree_node *span;

	if (RB_EMPTY_ROOT(&pages->records.rb_root))
		return NULL;
	spin_lock(&pages->lock);
	span = interval_tree_iter_first(&pages->records, first_index,
					last_index);
	spin_unlock(&pages->lock);
	return span ? container_of(span, struct pfn_record, span) : NULL;
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
	unsigned long first_index = slice->span.start + first_page;
	struct pfn_record *record;
	struct domain_io_span span;

	record = iopt_pages_find_record(slice->pages, first_index,
					first_index + npages - 1);
	if (record && record->span.start <= first_index)
		return pfn_record_read(record, first_index, npages, batch);
	if (record)
		npages = record->span.start - first_index;

	span = iopt_slice_span(slice, first_page, npages);
	return domain_io_read(slice->storage->domain, &span, batch);
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
