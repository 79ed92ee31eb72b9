// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's view of an iommufd: the compat IOAS, and the ioctls of a container.
 *
 * VFIO takes the file for the container of a group, and attaches its devices to
 * the compat IOAS. That one is made when the first group comes, unless user space
 * has chosen one with IOMMU_VFIO_IOAS. The ioctls of a container work on it.
 */
#include <linux/capability.h>
#include <linux/export.h>
#include <linux/iommufd.h>
#include <linux/moduleparam.h>
#include <linux/types.h>
#include <linux/vfio.h>

#include <uapi/linux/iommufd.h>

#include "entry.h"
#include "hwpt.h"
#include "vfio_compat.h"

static bool type1_v1_large_pages;
module_param(type1_v1_large_pages, bool, 0644);
MODULE_PARM_DESC(type1_v1_large_pages,
		 "Version 1 of VFIO's type1 maps large pages, as VFIO's own driver does, and an unmap never cuts a mapping; else a mapping can be cut at any page.");

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

/**
 * iommufd_vfio_get_ioas - hold the compat IOAS for the time of a call
 * @ictx: the file
 *
 * Context: Process context; takes and releases the table's xa_lock.
 * Return: the IOAS, to be given back with iommufd_object_put(), or an ERR_PTR:
 * -ENODEV if there is none.
 */
struct iommufd_ioas *iommufd_vfio_get_ioas(struct iommufd_ctx *ictx)
{
	struct iommufd_object *object;

	xa_lock(&ictx->objects);
	object = ictx->compat_ioas;
	if (object && !iommufd_object_try_get(object))
		object = NULL;
	xa_unlock(&ictx->objects);
	return object ? to_ioas(object) : ERR_PTR(-ENODEV);
}

static void iommufd_vfio_set_compat(struct iommufd_ctx *ictx,
				    struct iommufd_object *ioas)
{
	xa_lock(&ictx->objects);
	WRITE_ONCE(ictx->compat_ioas, ioas);
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
 * There is nothing to map for such groups, now and as long as the file is open.
 *
 * Context: Process context.
 * Return: 0, also if it does already; -EINVAL if there is a compat IOAS.
 */
int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ictx)
{
	int rc = 0;

	xa_lock(&ictx->objects);
	if (ictx->compat_ioas)
		rc = -EINVAL;
	else
		ictx->no_iommu = true;
	xa_unlock(&ictx->objects);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_set_no_iommu, IOMMUFD_VFIO);

/**
 * iommufd_vfio_compat_ioas_create() - have an IOAS for the groups of a container
 * @ictx: the file
 *
 * Context: Process context, may sleep.
 * Return: 0, also if there is one already; -EINVAL if the file serves groups
 * without an IOMMU; -ENOMEM, -ENOSPC.
 */
int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ictx)
{
	struct iommufd_object *old_ioas;
	struct iommufd_ioas *ioas;
	bool is_chosen;
	int rc = 0;

	ioas = iommufd_ioas_begin(ictx);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	xa_lock(&ictx->objects);
	old_ioas = ictx->compat_ioas;
	/* One that is being destroyed is none. */
	is_chosen = !ictx->no_iommu &&
		    !(old_ioas && old_ioas->state == IOMMUFD_OBJECT_PUBLISHED);
	if (is_chosen) {
		iommufd_object_publish_locked(&ioas->obj);
		WRITE_ONCE(ictx->compat_ioas, &ioas->obj);
	} else if (ictx->no_iommu) {
		rc = -EINVAL;
	}
	xa_unlock(&ictx->objects);

	if (!is_chosen)
		iommufd_object_abort(&ioas->obj);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_vfio_compat_ioas_create, IOMMUFD_VFIO);

/* Does DMA snoop caches, whatever a device asks for? */
static int iommufd_vfio_dma_cc(struct iommufd_ctx *ictx)
{
	struct iommufd_ioas *ioas = iommufd_vfio_get_ioas(ictx);
	bool is_coherent;

	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	is_coherent = iommufd_ioas_is_coherent(ioas);
	iommufd_object_put(&ioas->obj);
	return is_coherent;
}

static int iommufd_vfio_check_extension(struct iommufd_ctx *ictx,
					unsigned long extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return !READ_ONCE(ictx->no_iommu);
	case VFIO_NOIOMMU_IOMMU:
		return IS_ENABLED(CONFIG_VFIO_NOIOMMU);
	case VFIO_DMA_CC_IOMMU:
		return iommufd_vfio_dma_cc(ictx);
	default:
		return 0;
	}
}

/*
 * Version 1 lets a program unmap any part of what it has mapped. That is possible
 * only while each page is mapped for itself, which costs the IOTLB dear. VFIO's own
 * driver never cuts instead, and says how much it has unmapped.
 */
static int iommufd_vfio_set_v1(struct iommufd_ctx *ictx,
			       struct iommufd_ioas *ioas)
{
	bool large_pages = READ_ONCE(type1_v1_large_pages);
	int rc = large_pages ? 0 : iopt_set_large_pages(&ioas->iopt, false);

	if (!rc)
		WRITE_ONCE(ictx->unmaps_whole, large_pages);
	return rc;
}

static int iommufd_vfio_set_type1(struct iommufd_ctx *ictx, unsigned long type)
{
	struct iommufd_ioas *ioas = iommufd_vfio_get_ioas(ictx);
	int rc = 0;

	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	if (type == VFIO_TYPE1_IOMMU)
		rc = iommufd_vfio_set_v1(ictx, ioas);
	else
		WRITE_ONCE(ictx->unmaps_whole, false);
	iommufd_object_put(&ioas->obj);
	return rc;
}

static int iommufd_vfio_set_iommu(struct iommufd_ctx *ictx, unsigned long type)
{
	switch (type) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
		return iommufd_vfio_set_type1(ictx, type);
	case VFIO_NOIOMMU_IOMMU:
		if (!IS_ENABLED(CONFIG_VFIO_NOIOMMU) ||
		    !READ_ONCE(ictx->no_iommu))
			return -EINVAL;
		return capable(CAP_SYS_RAWIO) ? 0 : -EPERM;
	default:
		return -EINVAL;
	}
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
		return iommufd_vfio_check_extension(ictx, arg);
	case VFIO_SET_IOMMU:
		return iommufd_vfio_set_iommu(ictx, arg);
	case VFIO_IOMMU_GET_INFO:
		return iommufd_vfio_get_info(ictx, user_struct);
	case VFIO_IOMMU_MAP_DMA:
		return iommufd_vfio_map_dma(ictx, user_struct);
	case VFIO_IOMMU_UNMAP_DMA:
		return iommufd_vfio_unmap_dma(ictx, user_struct);
	case VFIO_IOMMU_DIRTY_PAGES:
		return iommufd_vfio_dirty_pages(ictx, user_struct);
	default:
		return -ENOIOCTLCMD;
	}
}
