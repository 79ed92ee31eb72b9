// SPDX-License-Identifier: GPL-2.0-only
/*
 * Quarantine: what becomes of pages that a driver was told to unmap and did not.
 *
 *	filled --(short unmap)--> quarantined --(last domain freed)--> released
 *
 * Devices may reach the pages until the page tables are gone, so they stay pinned
 * and charged until then. Nothing is allocated when that happens. Only when a
 * domain is about to be freed, what it knows of the PFNs is written down, as far
 * as there is memory for that: what could not be stays pinned for ever, which is
 * a leak and no danger.
 */
#include <linux/printk.h>

#include "domain_io.h"
#include "pages.h"
#include "pfn_extents.h"

/* Runs in a record of pages in quarantine. */
#define IOPT_RESCUE_RUNS 1024UL

/**
 * iopt_slice_quarantine() - a driver broke its promise
 * @slice: devices may still reach it
 * @kept_page: pages of it in front of that one are unmapped and unpinned
 *
 * Context: a section over the slice.
 * Return: -ENOTRECOVERABLE.
 */
int iopt_slice_quarantine(struct iopt_slice *slice, unsigned long kept_page)
{
	slice->kept_page = kept_page;
	/* Those who look without a section must not see the old storage. */
	smp_store_release(&slice->quarantined, true);
	pr_warn_once("an IOMMU driver did not unmap all of IOVA %#lx-%#lx: its pages stay pinned until the domain is freed\n",
		     slice->iova.first_iova, slice->iova.last_iova);
	return -ENOTRECOVERABLE;
}

/* Return: pages that are recorded now, or that nothing can be learned of. */
static unsigned long iopt_rescue_part(struct iopt_slice *slice,
				      struct iopt_domain *member,
				      unsigned long first_page,
				      struct pfn_batch *batch)
{
	unsigned long first_index = slice->span.start + first_page;
	unsigned long last_index = slice->span.start + slice->filled_pages - 1;
	struct iopt_pages *pages = slice->pages;
	struct domain_io_span span;
	unsigned long npages;
	bool is_known;

	is_known = iopt_pages_find_record(pages, first_index, &last_index);
	npages = last_index - first_index + 1;
	if (is_known)
		return npages;

	span = iopt_slice_span(slice, first_page, npages);
	npages = domain_io_read(member->io.domain, &span, batch);
	if (!npages)
		return 1;
	iopt_pages_insert_record(pages, pfn_record_create(first_index, batch));
	pfn_batch_clear(batch);
	return npages;
}

/**
 * iopt_slice_rescue() - write down what a domain knows of pages in quarantine
 * @slice: a slice in quarantine
 * @member: the domain; shows the slice, and is going to be freed
 *
 * Context: a section over the slice; sleeps.
 */
void iopt_slice_rescue(struct iopt_slice *slice, struct iopt_domain *member)
{
	unsigned long first_page = slice->kept_page;
	struct pfn_batch batch __uninitialized;

	if (slice->run_pfn)
		return;
	pfn_batch_init(&batch);
	pfn_batch_reserve(&batch, min(slice->filled_pages, IOPT_RESCUE_RUNS),
			  READ_ONCE(iopt_temp_bytes_limit));
	while (first_page < slice->filled_pages)
		first_page += iopt_rescue_part(slice, member, first_page,
					       &batch);
	pfn_batch_destroy(&batch);
}

/* Return: pages dealt with; those with no PFN known are left as they are. */
static unsigned long iopt_release_part(struct iopt_slice *slice,
				       unsigned long first_page,
				       struct pfn_batch *batch,
				       unsigned long *unpinned)
{
	unsigned long first_index = slice->span.start + first_page;
	unsigned long last_index = slice->span.start + slice->filled_pages - 1;
	struct pfn_record *record = NULL;
	unsigned long npages;

	if (!slice->run_pfn)
		record = iopt_pages_find_record(slice->pages, first_index,
						&last_index);
	npages = last_index - first_index + 1;
	if (slice->run_pfn) {
		pfn_batch_add(batch, slice->run_pfn + first_page, npages);
	} else if (record) {
		npages = pfn_record_read(record, first_index, npages, batch);
	} else {
		pr_warn_once("%lu pages of IOVA %#lx-%#lx stay pinned for ever: nobody knows any more which they were\n",
			     npages, slice->iova.first_iova,
			     slice->iova.last_iova);
		return npages;
	}
	*unpinned += iopt_slice_unpin(slice, first_page, npages, batch);
	return npages;
}

/**
 * iopt_slice_release() - end the quarantine of a slice
 * @slice: all domains it was in are freed
 *
 * Context: a section over the slice; sleeps, needs no memory.
 * Return: pages unpinned, for the caller to uncharge.
 */
unsigned long iopt_slice_release(struct iopt_slice *slice)
{
	unsigned long first_page = slice->kept_page;
	unsigned long unpinned = 0;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	while (first_page < slice->filled_pages)
		first_page += iopt_release_part(slice, first_page, &batch,
						&unpinned);
	pfn_batch_destroy(&batch);
	iopt_pages_add_pinned(slice->pages, -unpinned);
	slice->quarantined = false;
	slice->gone = true;
	if (slice->filled_pages)
		iopt_slice_uncover(slice);
	return unpinned;
}
