// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a slice that is filled, or about to be: one more domain shows it,
 * or one less, or it is cut in two. The picture is in pages_fill.c.
 */
#include <linux/iommu.h>
#include <linux/sched.h>

#include "domain_io.h"
#include "pages.h"

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
		if (domain_io_unmap(&member->io, span.first_iova,
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
		rc = domain_io_map(&member->io, &span, &batch,
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
		span_tree_insert(&slice->pages->slices, &slice->span);
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
		span_tree_remove(&pages->slices, &slice->span);
	slice->span.last = upper->span.start - 1;
	iopt_slice_cover_part(slice, min(filled_pages, first_page));
	iopt_slice_cover_part(upper, filled_pages - slice->filled_pages);
	spin_unlock(&pages->lock);
	return 0;
}
