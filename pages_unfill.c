// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unfill: how pages get out of the domains of a set again, for good.
 *
 * That is read back, unmap, flush, unpin, batch by batch: nothing is unpinned
 * before every member's IOTLB is clean of it (I5), and no step needs memory (I4): a
 * batch that cannot be enlarged is a short batch.
 */
#include <linux/iommu.h>
#include <linux/sched.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

/* Runs unpinned between two looks whether others want the CPU. */
#define IOPT_UNFILL_RESCHED_RUNS 1024

static unsigned long iopt_unfill_domain(struct domain_io *io,
					const struct domain_io_span *span,
					unsigned int nr_runs)
{
	if (nr_runs > IOPT_UNFILL_FEW_RUNS)
		return domain_io_unmap_scattered(io, span);
	return domain_io_unmap(io, span->first_iova, span->length);
}

/*
 * How many pages from the front on nobody maps, of @npages of which so many bytes are
 * unmapped.
 */
static unsigned long iopt_unfill_npages(const struct domain_io_span *span,
					unsigned long npages,
					unsigned long unmapped)
{
	if (likely(unmapped == span->length))
		return npages;
	return (span->page_offset + unmapped) / PAGE_SIZE;
}

/*
 * Unmap one batch from every member; flushed when it returns.
 *
 * Return: bytes, from the front on, that no member maps any more.
 */
static __always_inline unsigned long
iopt_unfill_unmap(struct iopt_slice *slice, const struct domain_io_span *span,
		  unsigned int nr_runs)
{
	unsigned long unmapped = span->length;
	struct iopt_domain *member;

	iopt_slice_for_each_member(slice, member)
		unmapped = min(unmapped, iopt_unfill_domain(&member->io, span,
							    nr_runs));
	return unmapped;
}

/* Unpin pages that a record has a list of. */
static void iopt_pages_unpin_list(struct iopt_pages *pages,
				  const struct pfn_record *record,
				  unsigned long index, unsigned long npages)
{
	while (npages) {
		unsigned long n = npages;
		unsigned long pfn = pfn_record_run(record, index, &n);

		pages->ops->unpin(pages, pfn, n);
		index += n;
		npages -= n;
	}
}

/* The same of one that has extents. */
static void iopt_pages_unpin_record(struct iopt_pages *pages,
				    const struct pfn_record *record,
				    unsigned long index, unsigned long npages)
{
	const struct pfn_extent *extent = pfn_record_extent(record, index);
	unsigned int nr_runs = 0;

	while (npages) {
		unsigned long n = min(npages, pfn_record_rest(record, extent, index));

		pages->ops->unpin(pages, pfn_extent_pfn(extent, index), n);
		index += n;
		npages -= n;
		extent++;
		if (!(++nr_runs % IOPT_UNFILL_RESCHED_RUNS))
			cond_resched();
	}
}

/* Unpin pages of which iopt_slice_is_known() has said that no domain has to be asked. */
static void iopt_slice_unpin_known(struct iopt_slice *slice, unsigned long index,
				   unsigned long npages)
{
	struct iopt_pages *pages = slice->pages;

	if (slice->run_pfn) {
		pages->ops->unpin(pages, slice->run_pfn +
					 (index - slice->span.start), npages);
		return;
	}
	while (npages) {
		unsigned long last_index = index + npages - 1;
		struct pfn_record *record =
			iopt_pages_find_record(pages, index, &last_index);
		unsigned long n = last_index - index + 1;

		if (WARN_ON(!record))
			return;
		if (record->nr_extents)
			iopt_pages_unpin_record(pages, record, index, n);
		else
			iopt_pages_unpin_list(pages, record, index, n);
		index += n;
		npages -= n;
		if (npages)
			cond_resched();
	}
}

/*
 * Does nobody else cover a page? *npages is how many to ask for, and then for how many
 * the answer is the same.
 */
static bool iopt_slice_is_free(struct iopt_slice *slice, unsigned long index,
			       unsigned long *npages)
{
	struct iopt_cover cover = {
		.self = slice,
		.first_index = index,
		.last_index = index + *npages - 1,
	};
	enum iopt_tier tier = iopt_pages_cover(slice->pages, &cover);

	*npages = cover.last_index - index + 1;
	return tier == IOPT_TIER_NONE;
}

/**
 * iopt_slice_unpin() - unpin what nobody else covers of pages that are unmapped
 * @slice: whose pages
 * @first_page: the first of them, counted from the start of the slice
 * @npages: how many
 * @batch: their PFNs, empty then; NULL: the slice or records know all of them
 *
 * Context: a section over the slice; sleeps.
 * Return: pages unpinned.
 */
unsigned long iopt_slice_unpin(struct iopt_slice *slice,
			       unsigned long first_page, unsigned long npages,
			       struct pfn_batch *batch)
{
	unsigned long index = slice->span.start + first_page;
	unsigned long unpinned = 0;

	while (npages) {
		unsigned long n = npages;
		bool is_free = iopt_slice_is_free(slice, index, &n);

		if (is_free)
			unpinned += n;
		if (is_free && batch)
			iopt_pages_unpin_front(slice->pages, batch, n);
		else if (is_free)
			iopt_slice_unpin_known(slice, index, n);
		else if (batch)
			pfn_batch_skip_front(batch, n);
		index += n;
		npages -= n;
	}
	return unpinned;
}

static bool iopt_unfill_is_covered(struct iopt_slice *slice,
				   unsigned long first_page,
				   unsigned long npages)
{
	unsigned long n = npages;

	return !iopt_slice_is_free(slice, slice->span.start + first_page, &n) &&
	       n == npages;
}

/*
 * Is there no page from one on, of @npages, for which a domain has to be asked? Then they
 * need not be read before they are unmapped: whatever knows them stays until the slice
 * shows nothing any more. If only some are known, that says nothing about where an
 * unmap may end: a leaf of ours can lie across the end of a record, which another slice
 * has left. *nr_runs is how many runs they are at most.
 */
static bool iopt_slice_is_known(struct iopt_slice *slice,
				unsigned long first_page, unsigned long npages,
				unsigned int *nr_runs)
{
	unsigned long index = slice->span.start + first_page;
	unsigned long end_index = index + npages;

	*nr_runs = 1;
	if (slice->run_pfn)
		return true;
	while (index != end_index) {
		unsigned long last_index = end_index - 1;
		struct pfn_record *record =
			iopt_pages_find_record(slice->pages, index, &last_index);

		if (!record)
			return false;
		*nr_runs += record->nr_extents ?: last_index - index + 1;
		index = last_index + 1;
	}
	return true;
}

/*
 * Take the next pages out of every member and unpin them.
 *
 * Return: true with *first_page behind them; false when a driver failed, and it is
 * the first page that a member may still show.
 */
static bool iopt_unfill_next(struct iopt_slice *slice,
			     unsigned long *first_page,
			     struct pfn_batch *batch, unsigned long *unpinned)
{
	unsigned long npages = slice->filled_pages - *first_page;
	struct domain_io_span span;
	unsigned int nr_runs = 0;
	bool is_covered, is_known;
	unsigned long done;

	npages = iopt_slice_bound(slice, *first_page, npages);
	is_covered = iopt_unfill_is_covered(slice, *first_page, npages);
	/* What is not going to be unpinned need not be known. */
	is_known = is_covered ||
		   iopt_slice_is_known(slice, *first_page, npages, &nr_runs);
	if (!is_known) {
		npages = iopt_slice_read_many(slice, *first_page, npages,
					      batch);
		nr_runs = pfn_batch_nruns(batch);
	}
	if (!npages)
		return false;
	span = iopt_slice_span(slice, *first_page, npages);
	done = iopt_unfill_unmap(slice, &span, nr_runs);
	done = iopt_unfill_npages(&span, npages, done);
	if (!is_known)
		pfn_batch_trim(batch, done);
	if (!is_covered)
		*unpinned += iopt_slice_unpin(slice, *first_page, done,
					      is_known ? NULL : batch);
	*first_page += done;
	return done == npages;
}

/**
 * iopt_unfill_all() - take all filled pages out of every member and unpin them
 * @slice: filled in part or as a whole
 * @unpinned: counts what the caller has to uncharge, also on error
 *
 * Context: a section over the slice; sleeps.
 * Return: 0 with nothing of it filled; -ENOTRECOVERABLE with it in quarantine.
 */
int iopt_unfill_all(struct iopt_slice *slice, unsigned long *unpinned)
{
	unsigned long first_page = 0;
	struct pfn_batch batch __uninitialized;
	int rc = 0;

	iopt_slice_init_batch(&batch);

	while (first_page != slice->filled_pages) {
		if (!iopt_unfill_next(slice, &first_page, &batch, unpinned)) {
			rc = iopt_slice_quarantine(slice, first_page);
			break;
		}
		cond_resched();
	}

	pfn_batch_destroy(&batch);
	iopt_pages_add_pinned(slice->pages, -*unpinned);
	if (!rc)
		iopt_slice_uncover(slice);
	return rc;
}

/* As iopt_slice_uncover(), at the end of a section. */
static __always_inline void iopt_unfill_end(struct iopt_slice *slice,
					    struct iopt_busy *section)
{
	struct iopt_pages *pages = slice->pages;

	spin_lock(&pages->lock);
	iopt_slice_empty(slice);
	if (unlikely(!span_tree_is_empty(&pages->records))) {
		spin_unlock(&pages->lock);
		iopt_pages_drop_records(pages, slice->span.start,
					slice->span.last);
		spin_lock(&pages->lock);
	}
	iopt_pages_end_range(pages, section);
}

/*
 * Unpin the first pages of a slice that is alone and one run; they are unmapped. That
 * ends the section.
 */
static __always_inline void iopt_unfill_unmapped(struct iopt_slice *slice,
						 struct iopt_busy *section,
						 unsigned long npages)
{
	struct iopt_pages *pages = slice->pages;

	if (npages)
		pages->ops->unpin(pages, slice->run_pfn, npages);
	iopt_pages_add_pinned(pages, -npages);
	if (likely(npages == slice->filled_pages)) {
		iopt_unfill_end(slice, section);
	} else {
		iopt_slice_quarantine(slice, npages);
		iopt_pages_unlock_range(pages, section);
	}
}

/* As iopt_unfill_any(), for a slice that is alone and one run. */
static __always_inline unsigned long iopt_unfill_run(struct iopt_slice *slice,
						     struct iopt_busy *section)
{
	struct domain_io_span span = iopt_slice_span_all(slice);
	unsigned long unmapped = iopt_unfill_unmap(slice, &span, 1);
	unsigned long npages = iopt_unfill_npages(&span, slice->filled_pages,
						  unmapped);

	iopt_unfill_unmapped(slice, section, npages);
	return npages;
}

/* Take a slice out of every domain, and end the section. Return: pages unpinned. */
static noinline unsigned long iopt_unfill_any(struct iopt_slice *slice,
					      struct iopt_busy *section)
{
	unsigned long unpinned = 0;

	if (!slice->quarantined && slice->filled_pages)
		iopt_unfill_all(slice, &unpinned);
	iopt_pages_unlock_range(slice->pages, section);
	return unpinned;
}

/**
 * iopt_slice_unfill() - take a slice out of every domain, for good
 * @slice: a fill that is under way ends without touching it again
 *
 * Context: process, no lock, no section; sleeps, allocates nothing it cannot
 * do without.
 * Return: 0 with nothing of it pinned; -ENOTRECOVERABLE when a driver kept
 * some of it mapped: then it is quarantined and must keep its IOVA.
 */
int iopt_slice_unfill(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;
	struct iopt_busy section __uninitialized;
	unsigned long unpinned;

	section.first_index = slice->span.start;
	section.last_index = slice->span.last;
	iopt_pages_lock_range(pages, &section);
	slice->gone = true;
	if (slice->run_pfn && !slice->quarantined && iopt_slice_is_alone(slice))
		unpinned = iopt_unfill_run(slice, &section);
	else
		unpinned = iopt_unfill_any(slice, &section);
	pages->ops->uncharge(pages, unpinned);
	return slice->quarantined ? -ENOTRECOVERABLE : 0;
}

/* Slices unmapped before the IOTLB is flushed. */
#define IOPT_UNFILL_GROUP 16

/**
 * struct iopt_unfill_group - slices that are flushed together
 * @unmap: from the one domain that shows them
 * @nr_slices: entries in the others
 * @slices: each alone with its pages, and one run
 * @sections: over each of them
 * @npages: so many pages of each are unmapped, from the first on
 */
struct iopt_unfill_group {
	struct domain_io_unmap unmap;
	unsigned int nr_slices;
	struct iopt_slice *slices[IOPT_UNFILL_GROUP];
	struct iopt_busy sections[IOPT_UNFILL_GROUP];
	unsigned long npages[IOPT_UNFILL_GROUP];
};

/* The one domain that shows a slice, or NULL if there are more, or none. */
static struct domain_io *iopt_slice_only_domain(struct iopt_slice *slice)
{
	struct iopt_domain *member = iopt_slice_next_member(slice, NULL);

	if (!member || iopt_slice_next_member(slice, member))
		return NULL;
	return &member->io;
}

/* The domain that a slice can be unmapped from together with the group, or NULL. */
static struct domain_io *
iopt_group_domain(const struct iopt_unfill_group *group,
		  struct iopt_slice *slice)
{
	struct domain_io *io;

	if (!slice->run_pfn || slice->quarantined ||
	    !iopt_slice_is_alone(slice))
		return NULL;
	io = iopt_slice_only_domain(slice);
	if (group->nr_slices && io != group->unmap.io)
		return NULL;
	return io;
}

/*
 * Unmap one more slice, and stay in its section. Sections are tried, never waited
 * for: nobody waits with one held.
 *
 * Return: whether it is in the group.
 */
static bool iopt_group_add(struct iopt_unfill_group *group,
			   struct iopt_slice *slice)
{
	struct iopt_busy *section = &group->sections[group->nr_slices];
	struct domain_io_span span;
	unsigned long unmapped;
	struct domain_io *io;

	if (group->nr_slices == IOPT_UNFILL_GROUP)
		return false;
	*section = iopt_slice_range(slice);
	if (!iopt_pages_trylock_range(slice->pages, section))
		return false;
	io = iopt_group_domain(group, slice);
	if (!io) {
		iopt_pages_unlock_range(slice->pages, section);
		return false;
	}
	if (!group->nr_slices)
		domain_io_begin_unmap(&group->unmap, io);
	slice->gone = true;
	span = iopt_slice_span_all(slice);
	unmapped = domain_io_unmap_range(&group->unmap, span.first_iova,
					 span.length);
	group->npages[group->nr_slices] =
		iopt_unfill_npages(&span, slice->filled_pages, unmapped);
	group->slices[group->nr_slices++] = slice;
	return true;
}

/*
 * Flush, and then unpin. The charges go back when all sections have ended: that can
 * take the owner's mmap lock, and so as long as a page fault.
 */
static void iopt_group_end(struct iopt_unfill_group *group)
{
	unsigned int i;

	if (!group->nr_slices)
		return;
	domain_io_end_unmap(&group->unmap);
	for (i = 0; i < group->nr_slices; i++) {
		struct iopt_slice *slice = group->slices[i];

		iopt_unfill_unmapped(slice, &group->sections[i],
				     group->npages[i]);
		cond_resched();
	}
	for (i = 0; i < group->nr_slices; i++) {
		struct iopt_pages *pages = group->slices[i]->pages;

		pages->ops->uncharge(pages, group->npages[i]);
	}
	group->nr_slices = 0;
}

/**
 * iopt_slices_unfill() - take several slices out of every domain, for good
 * @slices: as for iopt_slice_unfill(); their @quarantined tells how it went
 * @nr_slices: how many
 *
 * Those that are alone with their pages share one flush of the IOTLB.
 *
 * Context: as iopt_slice_unfill().
 */
void iopt_slices_unfill(struct iopt_slice *const *slices, unsigned int nr_slices)
{
	struct iopt_unfill_group group __uninitialized;

	group.nr_slices = 0;
	for (unsigned int i = 0; i < nr_slices; i++) {
		if (!iopt_group_add(&group, slices[i])) {
			iopt_group_end(&group);
			iopt_slice_unfill(slices[i]);
		}
		cond_resched();
	}
	iopt_group_end(&group);
}
