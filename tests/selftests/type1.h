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

#endif
