// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cut an area in two, for those who unmap other pieces than they mapped: VFIO's
 * type1 in its first version.
 *
 * A driver can unmap what a map call made, as a whole and at its borders only
 * (I6). So areas can be cut only while domains are mapped such that each page is a
 * border (iopt_domains.small_pages). Nothing is remapped: two slices show what one did.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "iopt_area.h"

/* May the area be cut now? Under the lock nothing that this looks at changes. */
static int iopt_cut_check(const struct io_pagetable *iopt,
			  const struct iopt_area *area, unsigned long iova)
{
	const struct iopt_slice *slice = &area->slice;

	if (!iopt->domains.small_pages ||
	    offset_in_page(iova - slice->iova.first_iova + slice->page_offset))
		return -EINVAL;
	if (area->state != IOPT_AREA_LIVE)
		return area->state == IOPT_AREA_QUARANTINED ? -ENOTRECOVERABLE :
							      -EBUSY;
	if (atomic_long_read(&area->pinned_pages))
		return -EBUSY;
	return 0;
}

/* In the section: give what lies at and above an IOVA to another area. */
static int iopt_cut_area(struct io_pagetable *iopt, struct iopt_area *area,
			 struct iopt_area *upper, unsigned long iova)
{
	struct iopt_slice *slice = &area->slice;
	int rc;

	upper->slice.iova.first_iova = iova;
	upper->slice.iova.last_iova = slice->iova.last_iova;
	rc = iopt_slice_split(slice, &upper->slice,
			      (iova - (slice->iova.first_iova -
				       slice->page_offset)) / PAGE_SIZE);
	if (rc)
		return rc;

	kref_init(&upper->kref);
	upper->state = area->state;
	iova_map_erase(&iopt->areas, &slice->iova);
	slice->iova.last_iova = iova - 1;
	WARN_ON(iova_map_insert(&iopt->areas, &slice->iova));
	WARN_ON(iova_map_insert(&iopt->areas, &upper->slice.iova));
	iopt->nr_areas++;
	return 0;
}

/*
 * Return: 1 if @upper has become a part of the map; 0 if nothing had to be cut;
 * -EAGAIN with *out_pages referenced: wait for @busy and try again; -errno.
 */
static int iopt_try_cut(struct io_pagetable *iopt, unsigned long iova,
			struct iopt_area *upper, struct iopt_busy *busy,
			struct iopt_pages **out_pages)
{
	struct iopt_pages *pages;
	struct iopt_area *area;
	int rc;

	guard(iopt_write)(iopt);

	area = iopt_area_from(iopt, iova);
	if (!area || area->slice.iova.first_iova >= iova)
		return 0;
	rc = iopt_cut_check(iopt, area, iova);
	if (rc)
		return rc;
	pages = area->slice.pages;
	*busy = iopt_slice_range(&area->slice);
	if (!iopt_pages_trylock_range(pages, busy)) {
		*out_pages = iopt_pages_get(pages);
		return -EAGAIN;
	}
	rc = iopt_cut_area(iopt, area, upper, iova);
	iopt_pages_unlock_range(pages, busy);
	return rc ?: 1;
}

/**
 * iopt_cut() - have an area begin at an IOVA
 * @iopt: the map
 * @iova: where, on the border of a page; if an area reaches across, it is cut
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -EINVAL its pages are not mapped one by one, or @iova is inside of
 * one; -EBUSY somebody pins through it, fills, maps or unmaps it; -ENOTRECOVERABLE it
 * is in quarantine; -ENOMEM. Nothing has changed then.
 */
int iopt_cut(struct io_pagetable *iopt, unsigned long iova)
{
	struct iopt_area *upper;
	struct iopt_pages *pages;
	struct iopt_busy busy;
	int rc;

	upper = kzalloc(sizeof(*upper), GFP_KERNEL_ACCOUNT);
	if (!upper)
		return -ENOMEM;
	while ((rc = iopt_try_cut(iopt, iova, upper, &busy, &pages)) ==
	       -EAGAIN) {
		iopt_pages_wait_range(pages, &busy);
		iopt_pages_put(pages);
	}
	if (rc > 0)
		return 0;
	kfree(upper);
	return rc;
}
