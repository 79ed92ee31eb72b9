/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO's type1 interface: what its files share.
 *
 *	vfio_compat.c	the compat IOAS, and which ioctl is which
 *	vfio_dma.c	map and unmap
 *	vfio_dirty.c	which pages devices have written to
 *	vfio_info.c	what the container can do
 */
#ifndef __IOMMUFD_VFIO_COMPAT_H
#define __IOMMUFD_VFIO_COMPAT_H

#include <linux/sizes.h>

#include "ioas.h"
#include "iommufd_private.h"

struct vfio_bitmap;
struct vfio_iommu_type1_dma_unmap;

/* As much as VFIO's own driver takes: bits for 8 TiB in pages of 4 KiB. */
#define IOMMUFD_VFIO_MAX_BITMAP_BYTES SZ_256M

/* vfio_compat.c */
struct iommufd_ioas *iommufd_vfio_get_ioas(struct iommufd_ctx *ictx);

/* vfio_dma.c */
int iommufd_vfio_map_dma(struct iommufd_ctx *ictx, void __user *arg);
int iommufd_vfio_unmap_dma(struct iommufd_ctx *ictx, void __user *arg);

/* vfio_dirty.c */
bool iommufd_vfio_can_track(struct iommufd_ctx *ictx,
			    struct io_pagetable *iopt);
int iommufd_vfio_report_dirty(struct iommufd_ctx *ictx,
			      struct io_pagetable *iopt,
			      struct vfio_iommu_type1_dma_unmap *unmap,
			      const struct vfio_bitmap *bitmap);
long iommufd_vfio_dirty_pages(struct iommufd_ctx *ictx, void __user *arg);

/* vfio_info.c */
int iommufd_vfio_get_info(struct iommufd_ctx *ictx, void __user *arg);

#endif
