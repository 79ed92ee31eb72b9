/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO's type1 interface: what its files share.
 *
 *	vfio_compat.c	the compat IOAS, and which ioctl is which
 *	vfio_dma.c	map and unmap
 *	vfio_info.c	what the container can do
 */
#ifndef __IOMMUFD_VFIO_COMPAT_H
#define __IOMMUFD_VFIO_COMPAT_H

#include "ioas.h"
#include "iommufd_private.h"

/* vfio_compat.c */
struct iommufd_ioas *iommufd_vfio_get_ioas(struct iommufd_ctx *ictx);

/* vfio_dma.c */
int iommufd_vfio_map_dma(struct iommufd_ctx *ictx, void __user *arg);
int iommufd_vfio_unmap_dma(struct iommufd_ctx *ictx, void __user *arg);

/* vfio_info.c */
int iommufd_vfio_get_info(struct iommufd_ctx *ictx, void __user *arg);

#endif
