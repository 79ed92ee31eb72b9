// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fill and unfill: how pages get into the domains of a set and out of them.
 *
 * Every function here keeps one fact true at the end of each section: the
 * first filled_pages of a slice are pinned, charged, and mapped in exactly the
 * members that iopt_slice_in_domain() names; the others are in none of them.
 *
 *	            iopt_slice_fill()             iopt_slice_add_domain()
 *	 nothing ----------------------> filled ---------------------> in one more
 *	         <----------------------        <---------------------
 *	           iopt_slice_unfill(),           iopt_slice_remove_domain()
 *	           iopt_slice_remove_domain()
 *	           of the last member
 *
 * Unfilling is read back, unmap, flush, unpin, batch by batch: nothing is
 * unpinned before every member's IOTLB is clean of it (I5), and no step needs
 * memory (I4): a batch that cannot be enlarged is a short batch.
 */
#include <linux/iommu.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

/*
 * Runs read back before they are unmapped and flushed: at 4 KiB, 256 MiB. The array
 * for them is 1 MiB then, else as many runs as there are pages in the slice; if that
 * cannot be had, it is the usual 64 KiB, or none.
 */
#define IOPT_UNFILL_RUNS 65536UL
#define IOPT_UNFILL_FEW_RUNS 4096UL

/**
 * iopt_slice_wanted() - is there a member that shows a slice, or is going to?
 * @slice: the slice
 *
 * Context: a section over the slice.
 * Return: true if there is.
 */
bool iopt_slice_wanted(struct iopt_slice *slice)
{
	return iopt_slice_next_member(slice, NULL);
}

static void iopt_slice_cover(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;

	spin_lock(&pages->lock);
	interval_tree_insert(&slice->span, &pages->slices);
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

	slice->storage = NULL;
	slice->run_pfn = 0;
	WRITE_ONCE(slice->filled_pages, 0);
	spin_lock(&pages->lock);
	interval_tree_remove(&slice->span, &pages->slices);
	spin_unlock(&pages->lock);
	if (!RB_EMPTY_ROOT(&pages->records.rb_root))
		iopt_pages_drop_records(pages, slice->span.start,
					slice->span.last);
}

/* Map the batch in every member, or in none. */
static int iopt_fill_map(struct iopt_slice *slice,
			 const struct pfn_batch *batch)
{
	struct iopt_domain *member, *failed;
	struct domain_io_span span;
	int rc = 0;

	if (batch->npfns == iopt_slice_npages(slice))
		span = iopt_slice_span_all(slice);
	else
		span = iopt_slice_span(slice, slice->filled_pages, batch->npfns);
	iopt_slice_for_each_member(slice, failed) {
		rc = domain_io_map(failed->domain, &span, batch,
				   slice->iommu_prot);
		if (rc)
			break;
	}
	if (!rc)
		return 0;

	iopt_slice_for_each_member(slice, member) {
		if (member == failed)
			break;
		if (domain_io_unmap(member->domain, span.first_iova,
				    span.length) != span.length)
			rc = -ENOTRECOVERABLE;
	}
	return rc;
}

/* The PFN of the first page if the batch is all of the slice, in one run, or 0. */
static unsigned long iopt_fill_run(const struct iopt_slice *slice,
				   const struct pfn_batch *batch)
{
	if (batch->npfns != iopt_slice_npages(slice) ||
	    pfn_batch_nruns(batch) != 1 || !READ_ONCE(iopt_extents))
		return 0;
	return batch->runs[batch->first_run].pfn;
}

/*
 * Map the batch, and remember what of it no other slice knows.
 *
 * What the slice knows by itself needs no record, unless there are any: an older
 * one could say something else of the same indexes.
 *
 * Return: 0 with the pages in use by the slice, or -errno with none of them;
 * -ENOTRECOVERABLE: in use for ever.
 */
static int iopt_fill_use(struct iopt_slice *slice,
			 const struct pfn_batch *batch, bool has_news)
{
	unsigned long first_index = slice->span.start + slice->filled_pages;
	unsigned long run_pfn = iopt_fill_run(slice, batch);
	struct iopt_pages *pages = slice->pages;
	struct pfn_record *record = NULL;
	int rc = 0;

	if (has_news && !(run_pfn && RB_EMPTY_ROOT(&pages->records.rb_root)))
		rc = iopt_pages_prepare_record(pages, first_index, batch,
					       &record);
	if (rc)
		return rc;
	rc = iopt_fill_map(slice, batch);
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
		slice->storage = run_pfn ? NULL :
				 iopt_slice_next_member(slice, NULL);
		iopt_slice_cover(slice);
	}
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
	int rc;

	if (slice->quarantined)
		return -ENOTRECOVERABLE;
	if (slice->gone || !iopt_slice_wanted(slice))
		return 0;
	if (gather_rc)
		return gather_rc;
	if (gather->first_index != slice->span.start + slice->filled_pages)
		return 1;
	rc = iopt_gather_settle(gather);
	if (rc <= 0)
		return rc ?: 1;
	rc = iopt_fill_use(slice, gather->batch, gather->has_news);
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
 * Is the slice the only one that shows its pages, and does no access pin them? Of a
 * slice in an area that nobody else may touch, that stays so.
 */
static bool iopt_slice_is_alone(const struct iopt_slice *slice)
{
	const struct iopt_pages *pages = slice->pages;

	if (kref_read(&pages->kref) != 1 || READ_ONCE(pages->held))
		return false;
	smp_acquire__after_ctrl_dep(); /* what they did before they let go */
	return true;
}

/* In the section: map all of a slice that nobody has begun to fill. */
static int iopt_fill_whole(struct iopt_slice *slice,
			   const struct pfn_batch *batch)
{
	int rc;

	if (slice->filled_pages || slice->gone || slice->quarantined ||
	    !iopt_slice_wanted(slice))
		return 1;
	rc = iopt_fill_use(slice, batch, true);
	slice->filler = false;
	if (rc)
		slice->gone = true;
	if (!rc || rc == -ENOTRECOVERABLE)
		iopt_pages_add_pinned(slice->pages, batch->npfns);
	return rc;
}

/* Can all of a slice be pinned with nothing allocated for that, and mapped at once? */
static bool iopt_slice_is_small(const struct iopt_slice *slice)
{
	unsigned long npages = iopt_slice_npages(slice);

	return npages <= IOPT_PIN_INLINE_PAGES &&
	       iopt_slice_bound(slice, 0, npages) == npages;
}

/*
 * The short way for a small slice that is alone: there is nobody whose pages could
 * be shared, so all of them are pinned, and mapped.
 *
 * Return: as iopt_slice_fill(), or 1 with nothing done if that takes more.
 */
static int iopt_slice_fill_small(struct iopt_slice *slice)
{
	struct iopt_busy busy = iopt_slice_range(slice);
	unsigned long npages = iopt_slice_npages(slice);
	struct iopt_pages *pages = slice->pages;
	struct iopt_pin pin __uninitialized;
	int rc = 1;

	if (pages->ops->charge(pages, npages))
		return 1;
	iopt_pin_init_inline(&pin);
	if (pages->ops->pin(pages, &pin, slice->span.start, npages) == npages) {
		iopt_pages_lock_range(pages, &busy);
		rc = iopt_fill_whole(slice, &pin.batch);
		iopt_pages_unlock_range(pages, &busy);
	}
	if (rc && rc != -ENOTRECOVERABLE) {
		iopt_pages_unpin_front(pages, &pin.batch, pin.batch.npfns);
		pages->ops->uncharge(pages, npages);
	}
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
	struct iopt_busy busy = iopt_slice_range(slice);
	unsigned long first_page = READ_ONCE(slice->filled_pages);
	struct iopt_gather gather __uninitialized;
	int rc;

	if (is_owner && iopt_slice_is_small(slice) &&
	    iopt_slice_is_alone(slice)) {
		rc = iopt_slice_fill_small(slice);
		if (rc <= 0)
			return rc;
	}
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

static unsigned long iopt_unfill_domain(struct iommu_domain *domain,
					const struct domain_io_span *span,
					unsigned int nr_runs)
{
	if (nr_runs > IOPT_UNFILL_FEW_RUNS)
		return domain_io_unmap_scattered(domain, span);
	return domain_io_unmap(domain, span->first_iova, span->length);
}

/* How many pages from the front on nobody maps, of which so many bytes are unmapped. */
static unsigned long iopt_unfill_npages(const struct domain_io_span *span,
					unsigned long unmapped)
{
	if (unmapped == span->length)
		return PFN_UP(span->page_offset + unmapped);
	return (span->page_offset + unmapped) / PAGE_SIZE;
}

/*
 * Unmap one batch from every member; flushed when it returns.
 *
 * Return: pages, from the front on, that no member maps any more.
 */
static unsigned long iopt_unfill_unmap(struct iopt_slice *slice,
				       const struct domain_io_span *span,
				       unsigned int nr_runs)
{
	unsigned long unmapped = span->length;
	struct iopt_domain *member;

	iopt_slice_for_each_member(slice, member)
		unmapped = min(unmapped, iopt_unfill_domain(member->domain, span,
							    nr_runs));
	return iopt_unfill_npages(span, unmapped);
}

/**
 * iopt_slice_unpin() - unpin what nobody else covers of a batch that is unmapped
 * @slice: whose pages
 * @first_page: the first of them, counted from the start of the slice
 * @batch: their PFNs; empty then
 *
 * Context: a section over the slice.
 * Return: pages unpinned.
 */
unsigned long iopt_slice_unpin(struct iopt_slice *slice,
			       unsigned long first_page,
			       struct pfn_batch *batch)
{
	unsigned long index = slice->span.start + first_page;
	unsigned long end_index = index + batch->npfns;
	unsigned long unpinned = 0;

	while (index != end_index) {
		struct iopt_cover cover = {
			.self = slice,
			.first_index = index,
			.last_index = end_index - 1,
		};
		enum iopt_tier tier = iopt_pages_cover(slice->pages, &cover);
		unsigned long npages = cover.last_index - index + 1;

		if (tier == IOPT_TIER_NONE) {
			iopt_pages_unpin_front(slice->pages, batch, npages);
			unpinned += npages;
		} else {
			pfn_batch_skip_front(batch, npages);
		}
		index += npages;
	}
	return unpinned;
}

static bool iopt_unfill_is_covered(struct iopt_slice *slice,
				   unsigned long first_page,
				   unsigned long npages)
{
	unsigned long first_index = slice->span.start + first_page;
	unsigned long last_index = first_index + npages - 1;
	struct iopt_cover cover = {
		.self = slice,
		.first_index = first_index,
		.last_index = last_index,
	};

	return iopt_pages_cover(slice->pages, &cover) != IOPT_TIER_NONE &&
	       cover.last_index == last_index;
}

/*
 * Read PFNs back into a batch of the usual size at most. It takes an array only where
 * runs are many, which those of large pages are not.
 */
static unsigned long iopt_slice_read_few(struct iopt_slice *slice,
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

/* Read PFNs back, as many as are to be flushed at once. */
static unsigned long iopt_slice_read_many(struct iopt_slice *slice,
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

static void iopt_slice_init_batch(struct pfn_batch *batch)
{
	pfn_batch_init(batch);
	pfn_batch_reserve(batch, 0, READ_ONCE(iopt_temp_bytes_limit));
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
	unsigned long done;
	bool is_covered;

	npages = iopt_slice_bound(slice, *first_page, npages);
	is_covered = iopt_unfill_is_covered(slice, *first_page, npages);
	/* What is not going to be unpinned need not be known. */
	if (!is_covered)
		npages = iopt_slice_read_many(slice, *first_page, npages,
					      batch);
	if (!npages)
		return false;
	span = iopt_slice_span(slice, *first_page, npages);
	done = iopt_unfill_unmap(slice, &span, pfn_batch_nruns(batch));
	if (!is_covered) {
		pfn_batch_trim(batch, done);
		*unpinned += iopt_slice_unpin(slice, *first_page, batch);
	}
	*first_page += done;
	return done == npages;
}

/*
 * Take all filled pages out of every member and unpin them. @unpinned counts
 * what the caller has to uncharge, also on error.
 */
static int iopt_unfill_all(struct iopt_slice *slice, unsigned long *unpinned)
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

/* Unpin the first pages of a slice that is alone and one run; they are unmapped. */
static int iopt_unfill_unmapped(struct iopt_slice *slice, unsigned long npages)
{
	struct iopt_pages *pages = slice->pages;

	if (npages)
		pages->ops->unpin(pages, slice->run_pfn, npages);
	iopt_pages_add_pinned(pages, -npages);
	if (npages != slice->filled_pages)
		return iopt_slice_quarantine(slice, npages);
	iopt_slice_uncover(slice);
	return 0;
}

/* As iopt_unfill_all(), for a slice that is alone and one run. */
static int iopt_unfill_run(struct iopt_slice *slice, unsigned long *unpinned)
{
	struct domain_io_span span = iopt_slice_span_all(slice);

	*unpinned = iopt_unfill_unmap(slice, &span, 1);
	return iopt_unfill_unmapped(slice, *unpinned);
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
	struct iopt_busy busy = iopt_slice_range(slice);
	struct iopt_pages *pages = slice->pages;
	unsigned long unpinned = 0;
	int rc = 0;

	iopt_pages_lock_range(pages, &busy);
	slice->gone = true;
	if (slice->quarantined)
		rc = -ENOTRECOVERABLE;
	else if (slice->run_pfn && iopt_slice_is_alone(slice))
		rc = iopt_unfill_run(slice, &unpinned);
	else if (slice->filled_pages)
		rc = iopt_unfill_all(slice, &unpinned);
	iopt_pages_unlock_range(pages, &busy);

	pages->ops->uncharge(pages, unpinned);
	return rc;
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
static struct iommu_domain *iopt_slice_only_domain(struct iopt_slice *slice)
{
	struct iopt_domain *member = iopt_slice_next_member(slice, NULL);

	if (!member || iopt_slice_next_member(slice, member))
		return NULL;
	return member->domain;
}

/* The domain that a slice can be unmapped from together with the group, or NULL. */
static struct iommu_domain *
iopt_group_domain(const struct iopt_unfill_group *group,
		  struct iopt_slice *slice)
{
	struct iommu_domain *domain;

	if (!slice->run_pfn || slice->quarantined ||
	    !iopt_slice_is_alone(slice))
		return NULL;
	domain = iopt_slice_only_domain(slice);
	if (group->nr_slices && domain != group->unmap.domain)
		return NULL;
	return domain;
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
	struct iommu_domain *domain;
	unsigned long unmapped;

	if (group->nr_slices == IOPT_UNFILL_GROUP)
		return false;
	*section = iopt_slice_range(slice);
	if (!iopt_pages_trylock_range(slice->pages, section))
		return false;
	domain = iopt_group_domain(group, slice);
	if (!domain) {
		iopt_pages_unlock_range(slice->pages, section);
		return false;
	}
	if (!group->nr_slices)
		domain_io_begin_unmap(&group->unmap, domain);
	slice->gone = true;
	span = iopt_slice_span_all(slice);
	unmapped = domain_io_unmap_range(&group->unmap, span.first_iova,
					 span.length);
	group->npages[group->nr_slices] = iopt_unfill_npages(&span, unmapped);
	group->slices[group->nr_slices++] = slice;
	return true;
}

/* Flush, and then unpin. */
static void iopt_group_end(struct iopt_unfill_group *group)
{
	if (!group->nr_slices)
		return;
	domain_io_end_unmap(&group->unmap);
	for (unsigned int i = 0; i < group->nr_slices; i++) {
		struct iopt_slice *slice = group->slices[i];
		struct iopt_pages *pages = slice->pages;
		unsigned long npages = group->npages[i];

		iopt_unfill_unmapped(slice, npages);
		iopt_pages_unlock_range(pages, &group->sections[i]);
		pages->ops->uncharge(pages, npages);
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
		if (iopt_group_add(&group, slices[i]))
			continue;
		iopt_group_end(&group);
		iopt_slice_unfill(slices[i]);
		cond_resched();
	}
	iopt_group_end(&group);
}

/* Unmap the first pages of a slice from one member, which maps them. */
static int iopt_slice_unmap_from(struct iopt_slice *slice,
				 struct iopt_domain *member,
				 unsigned long npages)
{
	unsigned long first_page = 0;

	while (first_page != npages) {
		struct domain_io_span span;
		unsigned long n;

		n = iopt_slice_bound(slice, first_page, npages - first_page);
		span = iopt_slice_span(slice, first_page, n);
		if (domain_io_unmap(member->domain, span.first_iova,
				    span.length) != span.length)
			return -ENOTRECOVERABLE;
		first_page += n;
		cond_resched();
	}
	return 0;
}

/* Map what is filled in one more member, reading PFNs from another. */
static int iopt_slice_copy(struct iopt_slice *slice, struct iopt_domain *member)
{
	unsigned long first_page = 0;
	struct domain_io_span span;
	struct pfn_batch batch __uninitialized;
	int rc = 0;

	iopt_slice_init_batch(&batch);

	while (first_page != slice->filled_pages) {
		unsigned long npages = slice->filled_pages - first_page;

		npages = iopt_slice_bound(slice, first_page, npages);
		npages = iopt_slice_read_few(slice, first_page, npages,
					     &batch);
		if (WARN_ON_ONCE(!npages)) {
			rc = -ENOTRECOVERABLE;
			break;
		}
		span = iopt_slice_span(slice, first_page, npages);
		rc = domain_io_map(member->domain, &span, &batch,
				   slice->iommu_prot);
		if (rc)
			break;
		pfn_batch_clear(&batch);
		first_page += npages;
		cond_resched();
	}
	pfn_batch_destroy(&batch);

	if (rc && iopt_slice_unmap_from(slice, member, first_page))
		rc = -ENOTRECOVERABLE;
	if (rc == -ENOTRECOVERABLE)
		iopt_slice_quarantine(slice, 0);
	return rc;
}

/**
 * iopt_slice_add_domain() - apply the addition of a member to a slice
 * @slice: the slice
 * @member: the member that is being added
 * @needs_fill: set when pages are missing and nobody is at it: the caller must
 *	call iopt_slice_fill() after the section, @filler is set already
 *
 * Context: a section over the slice, held by the caller; sleeps.
 * Return: 0; -ENOTRECOVERABLE with the slice in quarantine, in @member as in
 * those that had it; or another -errno with the slice not in @member.
 */
int iopt_slice_add_domain(struct iopt_slice *slice, struct iopt_domain *member,
			  bool *needs_fill)
{
	int rc;

	*needs_fill = false;
	if (slice->gone || slice->quarantined)
		return 0;
	if (slice->filled_pages) {
		rc = iopt_slice_copy(slice, member);
		/* What the member shows of it has to outlive the member. */
		if (rc == -ENOTRECOVERABLE)
			slice->seq = member->add_seq;
		if (rc)
			return rc;
	}
	slice->seq = member->add_seq;
	if (slice->filled_pages != iopt_slice_npages(slice) && !slice->filler) {
		slice->filler = true;
		*needs_fill = true;
	}
	return 0;
}

/* Some other member that maps the slice, or NULL. */
static struct iopt_domain *iopt_slice_other(struct iopt_slice *slice,
					    const struct iopt_domain *member)
{
	struct iopt_domain *other;

	iopt_slice_for_each_member(slice, other) {
		if (other != member)
			return other;
	}
	return NULL;
}

/* Unmap from one member while another keeps the pages. */
static int iopt_slice_unmap_member(struct iopt_slice *slice,
				   struct iopt_domain *member,
				   struct iopt_domain *other)
{
	if (iopt_slice_unmap_from(slice, member, slice->filled_pages))
		return iopt_slice_quarantine(slice, 0);
	slice->storage = other;
	return 0;
}

/**
 * iopt_slice_remove_domain() - apply the removal of a member to a slice
 * @slice: the slice
 * @member: the member that is leaving, its leave_seq is set
 * @unpinned: pages the caller has to uncharge after the section
 *
 * When no other member maps the slice, its pages are unpinned.
 *
 * Context: a section over the slice, held by the caller; sleeps.
 * Return: 0 with nothing of the slice in @member; -ENOTRECOVERABLE when the
 * driver kept some of it: then the slice is quarantined.
 */
int iopt_slice_remove_domain(struct iopt_slice *slice,
			     struct iopt_domain *member,
			     unsigned long *unpinned)
{
	struct iopt_domain *other;
	int rc = 0;

	*unpinned = 0;
	if (slice->quarantined || !iopt_slice_in_domain(slice, member))
		return 0;
	if (slice->filled_pages) {
		other = iopt_slice_other(slice, member);
		if (other)
			rc = iopt_slice_unmap_member(slice, member, other);
		else
			rc = iopt_unfill_all(slice, unpinned);
	}
	if (!rc)
		slice->seq = member->leave_seq;
	return rc;
}

static void iopt_slice_cover_part(struct iopt_slice *slice,
				  unsigned long filled_pages)
{
	slice->filled_pages = filled_pages;
	if (filled_pages)
		interval_tree_insert(&slice->span, &slice->pages->slices);
	else
		slice->storage = NULL;
}

/**
 * iopt_slice_split() - give the upper part of a slice to another slice
 * @slice: the slice, mapped page by page
 * @upper: zeroed, but for its IOVAs; gets a reference to the pages
 * @first_page: the first page of the upper part, counted from the start of
 *	@slice, not 0
 *
 * Context: a section over @slice; never sleeps.
 * Return: 0; -EBUSY somebody is filling it.
 */
int iopt_slice_split(struct iopt_slice *slice, struct iopt_slice *upper,
		     unsigned long first_page)
{
	struct iopt_pages *pages = slice->pages;
	unsigned long filled_pages = slice->filled_pages;

	if (slice->filler || slice->gone || slice->quarantined)
		return -EBUSY;

	upper->span.start = slice->span.start + first_page;
	upper->span.last = slice->span.last;
	upper->pages = iopt_pages_get(pages);
	upper->domains = slice->domains;
	upper->storage = slice->storage;
	upper->run_pfn = slice->run_pfn ? slice->run_pfn + first_page : 0;
	upper->seq = slice->seq;
	upper->iommu_prot = slice->iommu_prot;

	spin_lock(&pages->lock);
	if (filled_pages)
		interval_tree_remove(&slice->span, &pages->slices);
	slice->span.last = upper->span.start - 1;
	iopt_slice_cover_part(slice, min(filled_pages, first_page));
	iopt_slice_cover_part(upper, filled_pages - slice->filled_pages);
	spin_unlock(&pages->lock);
	return 0;
}
