/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver contract: everything iommufd asks an IOMMU driver to do to a page
 * table, and what it takes care of so that no driver of 6.12 gets it wrong.
 *
 * - A range is only unmapped if it starts and ends where maps did, or where pages
 *   did that were to have leaves of their own, and has no hole in it (I6). A driver
 *   may widen an unmap to the leaf it meets, stop at a hole, or warn: so it never
 *   meets one.
 * - A map that fails leaves nothing behind (I8). A driver may report "nothing
 *   mapped" and have written half of the entries: so what it was asked for is
 *   read back, and whatever is there is unmapped.
 * - When domain_io_unmap() returns, the IOTLB holds nothing of the range (I5).
 * - A driver that unmaps less than it was asked to is believed: the rest may
 *   still be reachable.
 * - Dirty bits are read in a range without a hole, from where a leaf begins: from
 *   any other place, drivers go on by the size of the leaf that they have met, and
 *   step over smaller ones behind. They clear the bit of a whole leaf, and of what
 *   they then record only that finds a place which lies in the bitmap: so a leaf that
 *   is asked for in part keeps its bit, and is reported by every read until it is
 *   asked for as a whole.
 * - The IOTLB remembers that it has set a dirty bit, and does not set it again:
 *   domain_io_end_dirty() flushes it of all leaves that were cleared, also when
 *   a read failed half way. Not every driver can do that for a range.
 * - Drivers serialise calls on different ranges themselves, as they do for the
 *   DMA API. Nobody calls on one range twice at a time: sections see to that.
 * - We have no device attached to the domain or detached while a driver is called for
 *   its page table. VT-d's lets a device reach the domain before it has noted whose IOTLB
 *   is to be flushed, and forgets that before the device is gone: a flush in between
 *   leaves it out, and what is unpinned then the device still reaches. AMD's copies
 *   the root of the table without the lock under which a map makes the table grow.
 *   Both set a device up for dirty tracking by what the domain was before that.
 */
#ifndef __IOMMUFD_DOMAIN_IO_H
#define __IOMMUFD_DOMAIN_IO_H

#include <linux/iommu.h>
#include <linux/types.h>

#include "gate.h"

struct iova_bitmap;
struct pfn_batch;

/**
 * struct domain_io - a domain that iommufd maps in
 * @domain: paging domain
 * @gate: who has its driver change or flush the page table, or switch dirty tracking,
 *	is inside; closed by who has it attach or detach a device
 */
struct domain_io {
	struct iommu_domain *domain;
	struct iommufd_gate gate;
};

/**
 * struct domain_io_span - where a batch of PFNs shows
 * @first_iova: IOVA of the first byte
 * @length: bytes; the batch's pages less @page_offset and an unused tail
 * @page_offset: bytes of the first page that lie before @first_iova
 * @small_pages: map with no leaf larger than a page, so that an unmap can begin and
 *	end at any page
 */
struct domain_io_span {
	unsigned long first_iova;
	unsigned long length;
	unsigned int page_offset;
	bool small_pages;
};

/**
 * struct domain_io_unmap - unmaps, until the IOTLB is flushed
 * @io: where; the gate is entered meanwhile
 * @domain: that of @io
 * @gather: what the IOTLB is to be flushed of
 */
struct domain_io_unmap {
	struct domain_io *io;
	struct iommu_domain *domain;
	struct iommu_iotlb_gather gather;
};

/**
 * struct domain_io_dirty - reads of dirty bits, until the IOTLB is flushed
 * @io: where
 * @bitmap: records what is dirty; NULL: nothing does, the bits are forgotten
 * @keep: clear none
 * @gather: what the IOTLB is to be flushed of
 */
struct domain_io_dirty {
	struct domain_io *io;
	struct iova_bitmap *bitmap;
	bool keep;
	struct iommu_iotlb_gather gather;
};

int domain_io_map(struct domain_io *io, const struct domain_io_span *span,
		  const struct pfn_batch *batch, int iommu_prot);
void domain_io_begin_unmap(struct domain_io_unmap *unmap, struct domain_io *io);
unsigned long domain_io_unmap_range(struct domain_io_unmap *unmap,
				    unsigned long first_iova,
				    unsigned long length);
void domain_io_end_unmap(struct domain_io_unmap *unmap);
unsigned long domain_io_unmap(struct domain_io *io, unsigned long first_iova,
			      unsigned long length);
unsigned long domain_io_unmap_scattered(struct domain_io *io,
					const struct domain_io_span *span);
unsigned long domain_io_read_pfn(struct iommu_domain *domain,
				 unsigned long iova);
unsigned long domain_io_read(struct iommu_domain *domain,
			     const struct domain_io_span *span,
			     struct pfn_batch *batch);

int domain_io_track_dirty(struct domain_io *io, bool enable);
void domain_io_begin_dirty(struct domain_io_dirty *dirty);
int domain_io_read_dirty(struct domain_io_dirty *dirty,
			 const struct domain_io_span *span,
			 unsigned long first_iova, unsigned long last_iova);
void domain_io_end_dirty(struct domain_io_dirty *dirty);

#endif
