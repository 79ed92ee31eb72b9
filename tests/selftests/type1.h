/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of a type1 container as functions, as in calls.h.
 */
#ifndef IOMMU_SELFTEST_TYPE1_H
#define IOMMU_SELFTEST_TYPE1_H

#include <linux/vfio.h>

#include "calls.h"

#define LARGE_PAGES	"/sys/module/iommufd/parameters/type1_v1_large_pages"

#define DMA_RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define UNMAP_ALL	VFIO_DMA_UNMAP_FLAG_ALL

/* What takes a number and not a structure. */
static inline int container(int fd, unsigned long word, unsigned long number)
{
	int rc = ioctl(fd, word, number);

	return rc < 0 ? -errno : rc;
}

static inline int map_dma(int fd, __u32 flags, __u64 va, __u64 size, __u64 iova)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.vaddr = va,
		.iova = iova,
		.size = size,
	};

	return command(fd, VFIO_IOMMU_MAP_DMA, &arg);
}

/* @size: in: how much; out: how much it was. */
static inline int unmap_dma(int fd, __u32 flags, __u64 iova, __u64 *size)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	int rc = command(fd, VFIO_IOMMU_UNMAP_DMA, &arg);

	*size = arg.size;
	return rc;
}

/* -- dirty pages */

struct get_arg {
	struct vfio_iommu_type1_dirty_bitmap head;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

struct unmap_arg {
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
};

static inline int dirty_pages(int fd, __u32 flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
	};

	return command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static inline __u64 bitmap_bytes(__u64 length)
{
	return (length / page_bytes() + 63) / 64 * 8;
}

static inline struct get_arg get_of(__u64 iova, __u64 size, void *bits)
{
	return (struct get_arg){
		.head = {
			.argsz = sizeof(struct get_arg),
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		},
		.get = {
			.iova = iova,
			.size = size,
			.bitmap = {
				.pgsize = page_bytes(),
				.size = bitmap_bytes(size),
				.data = bits,
			},
		},
	};
}

static inline int get_bitmap(int fd, __u64 iova, __u64 size, void *bits)
{
	struct get_arg arg = get_of(iova, size, bits);

	return command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static inline struct unmap_arg unmap_of(__u64 iova, __u64 size, void *bits)
{
	return (struct unmap_arg){
		.unmap = {
			.argsz = sizeof(struct unmap_arg),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = iova,
			.size = size,
		},
		.bitmap = {
			.pgsize = page_bytes(),
			.size = bitmap_bytes(size),
			.data = bits,
		},
	};
}

/* @size: in: how much; out: how much it was. */
static inline int unmap_bitmap(int fd, __u64 iova, __u64 *size, void *bits)
{
	struct unmap_arg arg = unmap_of(iova, *size, bits);
	int rc = command(fd, VFIO_IOMMU_UNMAP_DMA, &arg);

	*size = arg.unmap.size;
	return rc;
}

#endif
