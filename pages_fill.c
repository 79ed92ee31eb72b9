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
#include <linux/rculist.h>
#include <linux/sched/signal.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

/* Runs read back before they are unmapped and flushed: at 4 KiB, 16 MiB. */
#define IOPT_UNFILL_RUNS 4096UL

/*
 * The next member that maps the slice after one that does, or the first one
 * after NULL. Members that do not may be freed behind the walker's back, so they
 * are looked at under RCU; one that does cannot leave before the caller's section
 * ends.
 */
static struct iopt_domain *iopt_slice_next_member(struct iopt_slice *slice,
						  struct iopt_domain *member)
{
	struct list_head *members = &slice->domains->members;

	guard(rcu)();

	if (!member)
		member = list_entry(members, struct iopt_domain, item);
	list_for_each_entry_continue_rcu(member, members, item) {
		if (iopt_slice_in_domain(slice, member))
			return member;
	}
	return NULL;
}

#define iopt_slice_for_each_member(slice, member)                         \
	for ((member) = NULL;                                             \
	     ((member) = iopt_slice_next_member((slice), (member))) != NULL;)

static bool iopt_slice_wanted(struct iopt_slice *slice)
{
	return iopt_slice_next_member(slice, NULL);
}

/*
 * The driver broke its promise: devices may still reach pages of this slice.
 * They stay pinned and charged, and their IOVA stays taken.
 */
static int iopt_slice_quarantine(struct iopt_slice *slice)
{
	slice->quarantined = true;
	pr_warn_once("an IOMMU driver did not unmap all of IOVA %#lx-%#lx: its pages stay pinned\n",
		     slice->iova.first_iova, slice->iova.last_iova);
	return -ENOTRECOVERABLE;
}

static void iopt_slice_cover(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;

	slice->storage = iopt_slice_next_member(slice, NULL);
	spin_lock(&pages->lock);
	interval_tree_insert(&slice->span, &pages->slices);
	spin_unlock(&pages->lock);
}

static void iopt_slice_uncover(struct iopt_slice *slice)
{
	struct iopt_pages *pages = slice->pages;

	slice->storage = NULL;
	slice->filled_pages = 0;
	spin_lock(&pages->lock);
	interval_tree_remove(&slice->span, &pages->slices);
	spin_unlock(&pages->lock);
	iopt_pages_drop_records(pages, slice->span.start, slice->span.last);
}

#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
static void iopt_pages_add_pinned(struct iopt_pages *pages, long npages)
{
	spin_lock(&pages->lock);
	pages->npinned += npages;
	spin_unlock(&pages->lock);
}
#else
static void iopt_pages_add_pinned(struct iopt_pages *pages, long npages)
{
}
#endif

/**
 * struct iopt_fill - a fill in progress
 * @slice: what is filled
 * @pin: PFNs that are not mapped yet
 * @first_page: page of the slice that the batch begins with
 * @npages: when @shared, pages to take over from another slice
 * @charged_pages: charged and not yet pinned for good
 * @shared: another slice has pinned what comes next, so we have not
 */
struct iopt_fill {
	struct iopt_slice *slice;
	struct iopt_pin pin;
	unsigned long first_page;
	unsigned long npages;
	unsigned long charged_pages;
	bool shared;
};

/* Charge all that is still to be pinned at once: a limit answers early. */
static int iopt_fill_charge(struct iopt_fill *fill, unsigned long first_index)
{
	struct iopt_slice *slice = fill->slice;
	unsigned long npages;
	int rc;

	npages = iopt_pages_count_uncovered(slice, first_index,
					    slice->span.last);
	if (fill->charged_pages >= npages)
		return 0;
	rc = slice->pages->ops->charge(slice->pages,
				       npages - fill->charged_pages);
	if (!rc)
		fill->charged_pages = npages;
	return rc;
}

/* Pin the next batch. No section: this is where user space can park us. */
static int iopt_fill_gather(struct iopt_fill *fill)
{
	struct iopt_slice *slice = fill->slice;
	unsigned long first_index = slice->span.start + fill->first_page;
	unsigned long npages, last_index;
	long pinned;
	int rc;

	if (fatal_signal_pending(current))
		return -EINTR;
	npages = iopt_slice_bound(slice, fill->first_page,
				  iopt_slice_npages(slice) - fill->first_page);
	last_index = first_index + npages - 1;
	fill->shared = iopt_pages_cover(slice, IOPT_COVER_TO_SHARE,
					first_index, &last_index);
	fill->npages = last_index - first_index + 1;
	if (fill->shared)
		return 0;

	rc = iopt_fill_charge(fill, first_index);
	if (rc)
		return rc;
	pinned = iopt_pin_gather(slice->pages, &fill->pin, first_index,
				 fill->npages);
	return pinned < 0 ? pinned : 0;
}

static void iopt_fill_drop(struct iopt_fill *fill)
{
	if (!fill->shared)
		iopt_pages_unpin_front(fill->slice->pages, &fill->pin.batch,
				       fill->pin.batch.npfns);
	pfn_batch_clear(&fill->pin.batch);
}

/* Get the PFNs of what another slice has pinned, if it still has. */
static int iopt_fill_share(struct iopt_fill *fill)
{
	struct iopt_slice *slice = fill->slice;
	unsigned long first_index = slice->span.start + fill->first_page;
	unsigned long last_index = first_index + fill->npages - 1;
	struct iopt_slice *other;

	other = iopt_pages_cover(slice, IOPT_COVER_TO_SHARE, first_index,
				 &last_index);
	if (!other)
		return 0;
	if (!iopt_slice_read(other, first_index - other->span.start,
			     last_index - first_index + 1, &fill->pin.batch))
		return -EIO;
	return 1;
}

/*
 * In the section: is what others have pinned still what we took it for? If so
 * and it is theirs, get their PFNs.
 *
 * Return: 1; 0 to try again; -EIO if a driver does not know what it maps.
 */
static int iopt_fill_is_current(struct iopt_fill *fill)
{
	struct iopt_slice *slice = fill->slice;
	unsigned long first_index = slice->span.start + fill->first_page;
	unsigned long npages = fill->pin.batch.npfns;
	unsigned long last_index = first_index + npages - 1;

	if (fill->first_page != slice->filled_pages)
		return 0;
	if (fill->shared)
		return iopt_fill_share(fill);
	/* Others may have come and gone since, and were not charged for. */
	if (fill->charged_pages < npages)
		return 0;
	return !iopt_pages_cover(slice, IOPT_COVER_TO_SHARE, first_index,
				 &last_index) &&
	       last_index == first_index + npages - 1;
}

/* Map the batch in every member, or in none. */
static int iopt_fill_map(struct iopt_fill *fill)
{
	struct iopt_slice *slice = fill->slice;
	struct iopt_domain *member, *failed;
	struct domain_io_span span;
	int rc = 0;

	span = iopt_slice_span(slice, fill->first_page, fill->pin.batch.npfns);
	iopt_slice_for_each_member(slice, failed) {
		rc = domain_io_map(failed->domain, &span, &fill->pin.batch,
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
				    span.length))
			rc = -ENOTRECOVERABLE;
	}
	return rc;
}

/* The batch is mapped, or must never be unpinned: it is the slice's now. */
static void iopt_fill_keep(struct iopt_fill *fill)
{
	unsigned long npages = fill->pin.batch.npfns;

	if (!fill->shared) {
		fill->charged_pages -= npages;
		iopt_pages_add_pinned(fill->slice->pages, npages);
	}
	pfn_batch_clear(&fill->pin.batch);
}

/* What others have pinned has its record already, if any. */
static int iopt_fill_prepare(struct iopt_fill *fill, struct pfn_record **record)
{
	struct iopt_slice *slice = fill->slice;

	*record = NULL;
	if (fill->shared)
		return 0;
	return iopt_pages_prepare_record(slice->pages,
					 slice->span.start + fill->first_page,
					 &fill->pin.batch, record);
}

/*
 * In the section: see what became of the slice while we pinned, and map the
 * batch if it is still what is needed next.
 *
 * Return: 1 to go on, 0 when there is nothing left to do, -errno.
 */
static int iopt_fill_commit(struct iopt_fill *fill, int gather_rc)
{
	struct iopt_slice *slice = fill->slice;
	struct pfn_record *record;
	int rc;

	if (slice->quarantined)
		return -ENOTRECOVERABLE;
	if (slice->gone || !iopt_slice_wanted(slice))
		return 0;
	if (gather_rc)
		return gather_rc;
	rc = iopt_fill_is_current(fill);
	if (rc <= 0)
		return rc ?: 1;

	rc = iopt_fill_prepare(fill, &record);
	if (rc)
		return rc;
	rc = iopt_fill_map(fill);
	if (rc && rc != -ENOTRECOVERABLE) {
		pfn_record_free(record);
		return rc;
	}

	/* What a driver failed to take back is shown, too: nobody unpins it. */
	if (!slice->filled_pages)
		iopt_slice_cover(slice);
	iopt_pages_insert_record(slice->pages, record);
	slice->filled_pages += fill->pin.batch.npfns;
	iopt_fill_keep(fill);
	if (rc)
		return iopt_slice_quarantine(slice);
	return slice->filled_pages != iopt_slice_npages(slice);
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
	struct iopt_pages *pages = slice->pages;
	struct iopt_fill fill = {
		.slice = slice,
		.first_page = READ_ONCE(slice->filled_pages),
	};
	struct iopt_busy busy;
	int rc;

	iopt_pin_init(&fill.pin, iopt_slice_npages(slice) - fill.first_page);
	do {
		rc = iopt_fill_gather(&fill);
		iopt_pages_lock_range(pages, &busy, slice);
		rc = iopt_fill_commit(&fill, rc);
		if (rc <= 0)
			slice->filler = false;
		if (rc < 0 && is_owner)
			slice->gone = true;
		fill.first_page = slice->filled_pages;
		iopt_pages_unlock_range(pages, &busy);
		iopt_fill_drop(&fill);
		cond_resched();
	} while (rc > 0);

	iopt_pin_destroy(&fill.pin);
	pages->ops->uncharge(pages, fill.charged_pages);
	return rc;
}

/* Unmap one batch from every member; flushed when it returns. */
static int iopt_unfill_unmap(struct iopt_slice *slice,
			     const struct domain_io_span *span)
{
	struct iopt_domain *member;
	int rc = 0;

	iopt_slice_for_each_member(slice, member)
		rc = domain_io_unmap(member->domain, span->first_iova,
				     span->length) ?: rc;
	return rc;
}

/*
 * Unpin what no other slice covers of a batch that is unmapped.
 *
 * Return: pages unpinned.
 */
static unsigned long iopt_unfill_unpin(struct iopt_slice *slice,
				       unsigned long first_page,
				       struct pfn_batch *batch)
{
	unsigned long index = slice->span.start + first_page;
	unsigned long end_index = index + batch->npfns;
	unsigned long unpinned = 0;

	while (index != end_index) {
		unsigned long last_index = end_index - 1;
		unsigned long npages;
		bool covered;

		covered = iopt_pages_cover(slice, IOPT_COVER_TO_KEEP, index,
					   &last_index);
		npages = last_index - index + 1;
		if (covered) {
			pfn_batch_skip_front(batch, npages);
		} else {
			iopt_pages_unpin_front(slice->pages, batch, npages);
			unpinned += npages;
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

	return iopt_pages_cover(slice, IOPT_COVER_TO_KEEP, first_index,
				&last_index) &&
	       last_index == first_index + npages - 1;
}

/*
 * Take the next pages out of every member and unpin them.
 *
 * Return: so many; 0 when a driver failed.
 */
static unsigned long iopt_unfill_next(struct iopt_slice *slice,
				      unsigned long first_page,
				      struct pfn_batch *batch,
				      unsigned long *unpinned)
{
	unsigned long npages = slice->filled_pages - first_page;
	struct domain_io_span span;
	bool is_covered;

	npages = iopt_slice_bound(slice, first_page, npages);
	is_covered = iopt_unfill_is_covered(slice, first_page, npages);
	/* What is not going to be unpinned need not be known. */
	if (!is_covered)
		npages = iopt_slice_read(slice, first_page, npages, batch);
	if (!npages)
		return 0;
	span = iopt_slice_span(slice, first_page, npages);
	if (iopt_unfill_unmap(slice, &span))
		return 0;
	if (!is_covered)
		*unpinned += iopt_unfill_unpin(slice, first_page, batch);
	return npages;
}

/*
 * Take all filled pages out of every member and unpin them. @unpinned counts
 * what the caller has to uncharge, also on error.
 */
static int iopt_unfill_all(struct iopt_slice *slice, unsigned long *unpinned)
{
	unsigned long first_page = 0;
	struct pfn_batch batch;
	int rc = 0;

	pfn_batch_init(&batch);
	pfn_batch_reserve(&batch, min(slice->filled_pages, IOPT_UNFILL_RUNS),
			  READ_ONCE(iopt_temp_bytes_limit));

	while (first_page != slice->filled_pages) {
		unsigned long npages = iopt_unfill_next(slice, first_page,
							&batch, unpinned);

		if (!npages) {
			rc = iopt_slice_quarantine(slice);
			break;
		}
		first_page += npages;
		cond_resched();
	}

	pfn_batch_destroy(&batch);
	iopt_pages_add_pinned(slice->pages, -*unpinned);
	if (!rc)
		iopt_slice_uncover(slice);
	return rc;
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
	unsigned long unpinned = 0;
	struct iopt_busy busy;
	int rc = 0;

	iopt_pages_lock_range(pages, &busy, slice);
	slice->gone = true;
	if (slice->quarantined)
		rc = -ENOTRECOVERABLE;
	else if (slice->filled_pages)
		rc = iopt_unfill_all(slice, &unpinned);
	iopt_pages_unlock_range(pages, &busy);

	pages->ops->uncharge(pages, unpinned);
	return rc;
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
				    span.length))
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
	struct pfn_batch batch;
	int rc = 0;

	pfn_batch_init(&batch);
	pfn_batch_reserve(&batch, min(slice->filled_pages, IOPT_UNFILL_RUNS),
			  READ_ONCE(iopt_temp_bytes_limit));

	while (first_page != slice->filled_pages) {
		unsigned long npages = slice->filled_pages - first_page;

		npages = iopt_slice_bound(slice, first_page, npages);
		npages = iopt_slice_read(slice, first_page, npages, &batch);
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
		iopt_slice_quarantine(slice);
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
 * Return: 0, or -errno with the slice not in @member.
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
		return iopt_slice_quarantine(slice);
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
