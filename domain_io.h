/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver contract: everything iommufd asks an IOMMU driver to do to a page
 * table, and what it takes care of so that no driver of 6.12 gets it wrong.
 *
 * - A range is only unmapped if it starts and ends where maps did and has no
 *   hole in it (I6). A driver may widen an unmap to the leaf it meets, stop at
 *   a hole, or warn: so it never meets one.
 * - A map that fails leaves nothing behind (I8). A driver may report "nothing
 *   mapped" and have written half of the entries: so what it was asked for is
 *   read back, and whatever is there is unmapped.
 * - When domain_io_unmap() returns, the IOTLB holds nothing of the range (I5).
 * - A driver that unmaps less than it was asked to is believed: the rest may
 *   still be reachable.
 * - Drivers serialise calls on different ranges themselves, as they do for the
 *   DMA API. Nobody calls on one range twice at a time: sections see to that.
 */
#ifndef __IOMMUFD_DOMAIN_IO_H
#define __IOMMUFD_DOMAIN_IO_H

#include <linux/types.h>

struct iommu_domain;
struct pfn_batch;

/**
 * struct domain_io_span - where a batch of PFNs shows
 * @first_iova: IOVA of the first byte
 * @length: bytes; the batch's pages less @page_offset and an unused tail
 * @page_offset: bytes of the first page that lie before @first_iova
 * @small_pages: map each page in a call of its own, with no larger leaf, so that
 *	an unmap can begin and end at any page
 */
struct domain_io_span {
	unsigned long first_iova;
	unsigned long length;
	unsigned int page_offset;
	bool small_pages;
};

int domain_io_map(struct iommu_domain *domain,
		  const struct domain_io_span *span,
		  const struct pfn_batch *batch, int iommu_prot);
unsigned long domain_io_unmap(struct iommu_domain *domain,
			      unsigned long first_iova, unsigned long length);
unsigned long domain_io_read(struct iommu_domain *domain,
			     const struct domain_io_span *span,
			     struct pfn_batch *batch);

#endif
