/* SPDX-License-Identifier: GPL-2.0-only */
/* What user space asks of iommufd_floor.c. */
#ifndef IOMMUFD_FLOOR_H
#define IOMMUFD_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of a range. */
#define FLOOR_MAX_LENGTH	0x40000000

/**
 * struct floor_device - argument of FLOOR_ATTACH
 * @bus: of a PCI device that is alone in its IOMMU group
 * @devfn: likewise
 *
 * A driver has to have it, vfio-pci for one, and nobody may use it.
 */
struct floor_device {
	__u32 bus;
	__u32 devfn;
};

/**
 * struct floor_range - argument of the others
 * @iova: where devices see the range
 * @uptr: its user address
 * @length: its bytes
 *
 * All are multiples of the page size. The opposites take no argument: a file has
 * one range at a time.
 */
struct floor_range {
	__aligned_u64 iova;
	__aligned_u64 uptr;
	__aligned_u64 length;
};

/* Give a device a page table, for as long as the file is open. */
#define FLOOR_ATTACH	_IOW('f', 0, struct floor_device)
/* Pin, and map what is pinned; unmap, and unpin. */
#define FLOOR_MAP	_IOW('f', 1, struct floor_range)
#define FLOOR_UNMAP	_IO('f', 2)
/* Map what is mapped a second time, at this IOVA; unmap that. */
#define FLOOR_SHOW	_IOW('f', 3, struct floor_range)
#define FLOOR_HIDE	_IO('f', 4)
/* Map a page of the kernel at this IOVA, for as long as the file is open. */
#define FLOOR_GUARD	_IOW('f', 5, struct floor_range)
/* Look at the argument. */
#define FLOOR_NOTHING	_IOW('f', 6, struct floor_range)
/* Own the DMA of a second device, for as long as the file is open. */
#define FLOOR_CLAIM	_IOW('f', 7, struct floor_device)
/*
 * Give that a page table with what is mapped, at this IOVA, or if nothing is, with
 * what is pinned for it; take it away, and unpin what was.
 */
#define FLOOR_JOIN	_IOW('f', 8, struct floor_range)
#define FLOOR_LEAVE	_IO('f', 9)

#endif
