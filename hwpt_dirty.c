// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking: the ioctls of a paging HWPT.
 */
#include <linux/iommufd.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "hwpt.h"
#include "ioas.h"
#include "iommufd_private.h"

/**
 * iommufd_ucmd_hwpt_set_dirty_tracking - handler of IOMMU_HWPT_SET_DIRTY_TRACKING
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOENT no such HWPT, or a nested one; -EOPNOTSUPP it was not made
 * to track dirty pages; -EINTR fatal signal; or what the driver says.
 */
int iommufd_ucmd_hwpt_set_dirty_tracking(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_set_dirty_tracking *cmd = ucmd->cmd;
	struct iommufd_object *object;
	struct iommufd_hwpt *hwpt;

	object = iommufd_ucmd_get(ucmd, cmd->hwpt_id, IOMMUFD_HWPT);
	if (IS_ERR(object))
		return PTR_ERR(object);
	if (!iommufd_drivers_record_dirty())
		return -EOPNOTSUPP;

	hwpt = to_hwpt(object);
	return iopt_track_dirty(&hwpt->ioas->iopt, &hwpt->member,
				cmd->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
}

static int iommufd_make_dirty_request(const struct iommu_hwpt_get_dirty_bitmap *cmd,
				      struct iopt_dirty_request *request)
{
	if (!cmd->length)
		return -EINVAL;
	if (overflows_type(cmd->iova, request->first_iova) ||
	    check_add_overflow(cmd->iova, cmd->length - 1, &request->last_iova))
		return -EOVERFLOW;
	if (overflows_type(cmd->page_size, request->page_size) ||
	    !is_power_of_2(cmd->page_size))
		return -EINVAL;

	request->first_iova = cmd->iova;
	request->page_size = cmd->page_size;
	request->data = u64_to_user_ptr(cmd->data);
	request->keep = cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
	return 0;
}

/**
 * iommufd_ucmd_hwpt_get_dirty_bitmap - handler of IOMMU_HWPT_GET_DIRTY_BITMAP
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOENT no such HWPT, or a nested one; -EOVERFLOW the range wraps; or
 * as iopt_read_dirty().
 */
int iommufd_ucmd_hwpt_get_dirty_bitmap(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_get_dirty_bitmap *cmd = ucmd->cmd;
	struct iopt_dirty_request request;
	struct iommufd_object *object;
	struct iommufd_hwpt *hwpt;
	int rc;

	object = iommufd_ucmd_get(ucmd, cmd->hwpt_id, IOMMUFD_HWPT);
	if (IS_ERR(object))
		return PTR_ERR(object);
	rc = iommufd_make_dirty_request(cmd, &request);
	if (rc)
		return rc;
	if (!iommufd_drivers_record_dirty())
		return -EOPNOTSUPP;

	hwpt = to_hwpt(object);
	return iopt_read_dirty(&hwpt->ioas->iopt, &hwpt->member, &request);
}
