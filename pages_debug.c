// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of pages whenever nobody is in a section over them, derived anew
 * from what is in the trees. Built with CONFIG_IOMMUFD_DEBUG only.
 *
 * Each function takes the long way round on purpose: to share code with what it
 * checks would be to share its mistakes.
 */
#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/mm.h>

#include "debug.h"
#include "held_block.h"
#include "pages.h"
#include "pfn_extents.h"

/* Larger ones would take too long under a spinlock, and too much of the stack. */
#define IOPT_DEBUG_MAX_PAGES 2048

/**
 * struct iopt_pages_census - who keeps which index pinned
 * @shown: a slice does that can be relied on
 * @held: an access does
 * @has_quarantine: there are slices of which nobody knows
 */
struct iopt_pages_census {
	DECLARE_BITMAP(shown, IOPT_DEBUG_MAX_PAGES);
	DECLARE_BITMAP(held, IOPT_DEBUG_MAX_PAGES);
	bool has_quarantine;
};

#define for_each_span(node, tree)                                        \
	for ((node) = span_tree_first((tree), 0, ULONG_MAX); (node);     \
	     (node) = interval_tree_iter_next((node), 0, ULONG_MAX))

/* What the newest record that covers an index says. */
static bool iopt_debug_recorded(struct iopt_pages *pages, unsigned long index,
				unsigned long *pfn)
{
	const struct pfn_record *newest = NULL;
	struct interval_tree_node *span;

	for_each_span(span, &pages->records) {
		const struct pfn_record *record =
			container_of(span, struct pfn_record, span);

		if (index < span->start || index > span->last)
			continue;
		if (!newest || record->seq > newest->seq)
			newest = record;
	}
	if (newest && !newest->nr_extents)
		*pfn = newest->pfns[index - newest->span.start];
	for (u32 i = 0; newest && i < newest->nr_extents; i++) {
		const struct pfn_extent *extent = &newest->extents[i];

		if (extent->first_index <= index)
			*pfn = extent->pfn + (index - extent->first_index);
	}
	return newest;
}

/* A slice that is one run says of its ends what the newest record says. */
static void iopt_census_run(struct iopt_pages *pages,
			    const struct iopt_slice *slice)
{
	unsigned long pfn;

	if (!slice->run_pfn)
		return;
	IOMMUFD_ASSERT(slice->filled_pages == iopt_slice_npages(slice));
	if (iopt_debug_recorded(pages, slice->span.start, &pfn))
		IOMMUFD_ASSERT(pfn == slice->run_pfn);
	if (iopt_debug_recorded(pages, slice->span.last, &pfn))
		IOMMUFD_ASSERT(pfn == slice->run_pfn + slice->filled_pages - 1);
}

/* A slice is in the tree while it shows something, in some domain. */
static void iopt_census_slice(struct iopt_pages *pages,
			      const struct iopt_slice *slice,
			      struct iopt_pages_census *census)
{
	IOMMUFD_ASSERT(slice->pages == pages);
	IOMMUFD_ASSERT(slice->filled_pages);
	IOMMUFD_ASSERT(slice->filled_pages <= iopt_slice_npages(slice));
	iopt_census_run(pages, slice);
	if (slice->quarantined) {
		census->has_quarantine = true;
		return;
	}
	IOMMUFD_ASSERT(slice->run_pfn ||
		       (slice->storage &&
			iopt_slice_in_domain(slice, slice->storage)));
	bitmap_set(census->shown, slice->span.start, slice->filled_pages);
}

static void iopt_census_slices(struct iopt_pages *pages,
			       struct iopt_pages_census *census)
{
	struct interval_tree_node *span;

	for_each_span(span, &pages->slices)
		iopt_census_slice(pages, container_of(span, struct iopt_slice,
						      span), census);
}

/* A PFN that somebody relies on has a page that is pinned. */
static bool iopt_debug_is_pinned(unsigned long pfn)
{
	if (!pfn_valid(pfn))
		return false;
	return is_zero_pfn(pfn) ||
	       folio_maybe_dma_pinned(page_folio(pfn_to_page(pfn)));
}

/* I2: the PFN of a held index is there, and is what everybody else takes it for. */
static void iopt_census_held_page(struct iopt_pages *pages,
				  unsigned long index, unsigned long held_pfn,
				  struct iopt_pages_census *census)
{
	unsigned long pfn = 0;

	__set_bit(index, census->held);
	IOMMUFD_ASSERT(iopt_debug_is_pinned(held_pfn));
	if (test_bit(index, census->shown) &&
	    iopt_debug_recorded(pages, index, &pfn))
		IOMMUFD_ASSERT(pfn == held_pfn);
}

/* A block is behind the one in front of it, and counts what is pinned in it. */
static void iopt_census_block(struct iopt_pages *pages,
			      const struct iopt_held_block *block,
			      struct iopt_pages_census *census)
{
	const u32 *counts = (const u32 *)&block->pages[block->npages];
	u32 nr_counted = 0;

	for (u32 i = 0; i < block->npages; i++) {
		u32 count = block->has_counts ? counts[i] : 0;

		if (count)
			nr_counted++;
		if (count || block->pins)
			iopt_census_held_page(pages, block->first_index + i,
					      page_to_pfn(block->pages[i]),
					      census);
	}
	IOMMUFD_ASSERT(nr_counted == block->nr_counted);
	IOMMUFD_ASSERT(nr_counted || block->pins);
}

static void iopt_census_held(struct iopt_pages *pages,
			     struct iopt_pages_census *census)
{
	unsigned long end_index = 0;
	struct rb_node *rb;

	if (!pages->held)
		return;
	for (rb = rb_first(&pages->held->blocks); rb; rb = rb_next(rb)) {
		const struct iopt_held_block *block =
			rb_entry(rb, struct iopt_held_block, node);

		IOMMUFD_ASSERT(block->first_index >= end_index);
		IOMMUFD_ASSERT(block->npages);
		end_index = block->first_index + block->npages;
		iopt_census_block(pages, block, census);
	}
}

static bool iopt_record_is_needed(struct iopt_pages *pages,
				  const struct pfn_record *record)
{
	struct interval_tree_node *slice;

	for_each_span(slice, &pages->slices) {
		if (slice->start <= record->span.last &&
		    slice->last >= record->span.start)
			return true;
	}
	return false;
}

/* What is shown, and known from a record, is pinned. */
static void iopt_debug_shown(struct iopt_pages *pages, unsigned long index,
			     const struct iopt_pages_census *census)
{
	unsigned long pfn = 0;

	if (test_bit(index, census->shown) &&
	    iopt_debug_recorded(pages, index, &pfn))
		IOMMUFD_ASSERT(iopt_debug_is_pinned(pfn));
}

/* The same of each page of a list, and of the first one of each extent. */
static void iopt_debug_record(struct iopt_pages *pages,
			      const struct pfn_record *record,
			      const struct iopt_pages_census *census)
{
	unsigned long index = record->span.start;

	for (u32 i = 0; i < record->nr_extents; i++)
		iopt_debug_shown(pages, record->extents[i].first_index, census);
	while (!record->nr_extents && index <= record->span.last)
		iopt_debug_shown(pages, index++, census);
}

/* I3: a record is kept only as long as there is a slice that may need it. */
static void iopt_debug_records(struct iopt_pages *pages,
			       const struct iopt_pages_census *census)
{
	struct interval_tree_node *span;

	for_each_span(span, &pages->records) {
		const struct pfn_record *record =
			container_of(span, struct pfn_record, span);

		IOMMUFD_ASSERT(iopt_record_is_needed(pages, record));
		IOMMUFD_ASSERT(!record->nr_extents ||
			       record->extents[0].first_index == span->start);
		iopt_debug_record(pages, record, census);
	}
}

/* I1 and I7: as many pages are pinned, and so charged, as are in use. */
static void iopt_debug_count(const struct iopt_pages *pages,
			     struct iopt_pages_census *census)
{
	unsigned long in_use;

	bitmap_or(census->shown, census->shown, census->held,
		  IOPT_DEBUG_MAX_PAGES);
	in_use = bitmap_weight(census->shown, IOPT_DEBUG_MAX_PAGES);
	if (census->has_quarantine)
		IOMMUFD_ASSERT(pages->npinned >= in_use);
	else
		IOMMUFD_ASSERT(pages->npinned == in_use);
}

static bool iopt_pages_are_many(struct iopt_pages *pages)
{
	unsigned long index = IOPT_DEBUG_MAX_PAGES;
	struct rb_node *rb = pages->held ? rb_last(&pages->held->blocks) : NULL;
	const struct iopt_held_block *block =
		rb_entry_safe(rb, struct iopt_held_block, node);

	return span_tree_first(&pages->slices, index, ULONG_MAX) ||
	       (block && block->first_index + block->npages > index);
}

/**
 * iopt_pages_assert() - see that pages are in order
 * @pages: the pages
 *
 * Large ones, and those in which somebody else is at work, are passed over.
 *
 * Context: at the end of a section, with @pages->lock.
 */
void iopt_pages_assert(struct iopt_pages *pages)
{
	struct iopt_pages_census census = {};

	lockdep_assert_held(&pages->lock);

	/* No section can begin as long as we have the lock. */
	if (!pages->busy.first || pages->busy.first->next ||
	    iopt_pages_are_many(pages))
		return;
	iopt_census_slices(pages, &census);
	iopt_census_held(pages, &census);
	iopt_debug_records(pages, &census);
	iopt_debug_count(pages, &census);
}
