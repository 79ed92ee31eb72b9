// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's view of an iommufd: the compat IOAS, and the ioctls of a container.
 *
 * User space chooses the compat IOAS with IOMMU_VFIO_IOAS. Then VFIO takes the
 * file for the container of a group, and attaches its devices there. The ioctls
 * of a container are not served yet: they answer as without a compat IOAS, after
 * the same checks as with one.
 */
#include <linux/export.h>
#include <linux/iommufd.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include <uapi/linux/iommufd.h>

#include "entry.h"
#include "iommufd_private.h"

/**
 * iommufd_vfio_compat_ioas_get_id() - the IOAS that groups are attached to
 * @ictx: the file
 * @out_ioas_id: written on success: its ID
 *
 * Context: Any.
 * Return: 0; -ENODEV if there is none.
 */
int iommufd_vfio_compat_ioas_get_id(struct iommufd_ctx *ictx, u32 *out_ioas_id)
{
	int rc = -ENODEV;

	xa_lock(&ictx->objects);
	if (ictx->compat_ioas &&
	    ictx->compat_ioas->state == IOMMUFD_OBJECT_PUBLISHED) {
		*out_ioas_id = ictx->compat_ioas->id;
		rc = 0;
	}
	xa_unlock(&ictx->objects);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_ioas_get_id, IOMMUFD_VFIO);

static void iommufd_vfio_set_compat(struct iommufd_ctx *ictx,
				    struct iommufd_object *ioas)
{
	xa_lock(&ictx->objects);
	ictx->compat_ioas = ioas;
	xa_unlock(&ictx->objects);
}

/**
 * iommufd_ucmd_vfio_ioas - handler of IOMMU_VFIO_IOAS
 * @ucmd: the ioctl
 *
 * Context: Process context.
 * Return: 0; -EOPNOTSUPP unknown operation; -ENODEV nothing to GET; -ENOENT no
 * such IOAS to SET.
 */
int iommufd_ucmd_vfio_ioas(struct iommufd_ucmd *ucmd)
{
	struct iommu_vfio_ioas *cmd = ucmd->cmd;
	struct iommufd_object *ioas;

	switch (cmd->op) {
	case IOMMU_VFIO_IOAS_GET:
		return iommufd_vfio_compat_ioas_get_id(ucmd->ictx,
						       &cmd->ioas_id);
	case IOMMU_VFIO_IOAS_SET:
		ioas = iommufd_ucmd_get(ucmd, cmd->ioas_id, IOMMUFD_IOAS);
		if (IS_ERR(ioas))
			return PTR_ERR(ioas);
		iommufd_vfio_set_compat(ucmd->ictx, ioas);
		return 0;
	case IOMMU_VFIO_IOAS_CLEAR:
		iommufd_vfio_set_compat(ucmd->ictx, NULL);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/**
 * iommufd_vfio_compat_set_no_iommu() - serve a group without an IOMMU
 * @ictx: the file
 *
 * Context: Process context.
 * Return: -EINVAL if there is a compat IOAS; else -EOPNOTSUPP.
 */
int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ictx)
{
	u32 ioas_id;

	return iommufd_vfio_compat_ioas_get_id(ictx, &ioas_id) ? -EOPNOTSUPP :
								 -EINVAL;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_set_no_iommu, IOMMUFD_VFIO);

/**
 * iommufd_vfio_compat_ioas_create() - have an IOAS for the groups of a container
 * @ictx: the file
 *
 * Context: Process context.
 * Return: 0 if user space has chosen one; else -EOPNOTSUPP.
 */
int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ictx)
{
	u32 ioas_id;

	return iommufd_vfio_compat_ioas_get_id(ictx, &ioas_id) ? -EOPNOTSUPP : 0;
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
 * Context: Process context, may sleep.
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
