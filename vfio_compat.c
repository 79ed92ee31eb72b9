// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of a VFIO container, on an iommufd.
 *
 * They work on the compat IOAS of the file, which VFIO asks for when a group is
 * given the file as its container. There is none yet: VFIO's wish is refused, so
 * groups keep to containers of VFIO's own, and the ioctls say what they say
 * without a compat IOAS, after the same checks as with one.
 */
#include <linux/export.h>
#include <linux/iommufd.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "entry.h"

/**
 * iommufd_vfio_compat_ioas_get_id() - the IOAS that VFIO's container ioctls use
 * @ictx: the file
 * @out_ioas_id: written on success: its ID
 *
 * Return: -ENODEV, as there is none.
 */
int iommufd_vfio_compat_ioas_get_id(struct iommufd_ctx *ictx, u32 *out_ioas_id)
{
	return -ENODEV;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_ioas_get_id, IOMMUFD_VFIO);

/**
 * iommufd_vfio_compat_set_no_iommu() - serve a group without an IOMMU
 * @ictx: the file
 *
 * Return: -EOPNOTSUPP.
 */
int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ictx)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_set_no_iommu, IOMMUFD_VFIO);

/**
 * iommufd_vfio_compat_ioas_create() - have an IOAS for the container ioctls
 * @ictx: the file
 *
 * Return: -EOPNOTSUPP.
 */
int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ictx)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_ioas_create, IOMMUFD_VFIO);

static int iommufd_vfio_check_extension(unsigned long extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_NOIOMMU_IOMMU:
		return IS_ENABLED(CONFIG_VFIO_NOIOMMU);
	case VFIO_DMA_CC_IOMMU:
		/* It depends on the HWPTs of the compat IOAS. */
		return -ENODEV;
	default:
		return 0;
	}
}

static int iommufd_vfio_set_iommu(unsigned long type)
{
	switch (type) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
		return -ENODEV;
	default:
		return -EINVAL;
	}
}

static int iommufd_vfio_get_info(void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_info,
					 iova_pgsizes);
	struct vfio_iommu_type1_info info;

	if (copy_from_user(&info, arg, min_size))
		return -EFAULT;
	if (info.argsz < min_size)
		return -EINVAL;
	return -ENODEV;
}

static int iommufd_vfio_map_dma(void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_dma_map, size);
	struct vfio_iommu_type1_dma_map map;

	if (copy_from_user(&map, arg, min_size))
		return -EFAULT;
	if (map.argsz < min_size ||
	    map.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	return -ENODEV;
}

static int iommufd_vfio_unmap_dma(void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_dma_unmap,
					 size);
	struct vfio_iommu_type1_dma_unmap unmap;

	if (copy_from_user(&unmap, arg, min_size))
		return -EFAULT;
	if (unmap.argsz < min_size || unmap.flags & ~VFIO_DMA_UNMAP_FLAG_ALL)
		return -EINVAL;
	return -ENODEV;
}

/**
 * iommufd_vfio_ioctl - an ioctl that is not one of /dev/iommu's own
 * @ictx: the file
 * @cmd: the command word
 * @arg: a value, or the address of a structure
 *
 * Return: as the container ioctl, -errno, or -ENOIOCTLCMD if it is none.
 */
long iommufd_vfio_ioctl(struct iommufd_ctx *ictx, unsigned int cmd,
			unsigned long arg)
{
	void __user *user_struct = (void __user *)arg;

	switch (cmd) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return iommufd_vfio_check_extension(arg);
	case VFIO_SET_IOMMU:
		return iommufd_vfio_set_iommu(arg);
	case VFIO_IOMMU_GET_INFO:
		return iommufd_vfio_get_info(user_struct);
	case VFIO_IOMMU_MAP_DMA:
		return iommufd_vfio_map_dma(user_struct);
	case VFIO_IOMMU_UNMAP_DMA:
		return iommufd_vfio_unmap_dma(user_struct);
	default:
		return -ENOIOCTLCMD;
	}
}
