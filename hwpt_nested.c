// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_HWPT_INVALIDATE: user space has changed a page table of its own, on which a
 * nested HWPT is built, and what the IOMMU remembers of it has to go.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <uapi/linux/iommufd.h>

#include "hwpt.h"

#define IOMMUFD_MAX_INVALIDATIONS BIT(19)

/*
 * The driver gets so many requests at a time. It does not look for signals, nor give
 * up the processor, while each of them can make it wait for the hardware.
 */
#define IOMMUFD_INVALIDATIONS_AT_ONCE 1024

/* Without requests only the type is looked at, and that by the driver. */
static int iommufd_check_invalidate(const struct iommu_hwpt_invalidate *cmd)
{
	/* The dispatcher would leave the number of requests as it is. */
	if (cmd->__reserved)
		return -EOPNOTSUPP;
	if (!cmd->entry_num)
		return 0;
	if (!cmd->data_uptr || !cmd->entry_len)
		return -EINVAL;
	if (cmd->entry_len > PAGE_SIZE ||
	    cmd->entry_num > IOMMUFD_MAX_INVALIDATIONS)
		return -EINVAL;
	return 0;
}

/* @done: added to: the requests that are done, also on error. */
static int iommufd_invalidate_some(struct iommu_domain *domain,
				   const struct iommu_hwpt_invalidate *cmd,
				   u32 *done)
{
	struct iommu_user_data_array array = {
		.type = cmd->data_type,
		.uptr = u64_to_user_ptr(cmd->data_uptr) +
			(size_t)*done * cmd->entry_len,
		.entry_len = cmd->entry_len,
		.entry_num = min_t(u32, cmd->entry_num - *done,
				   IOMMUFD_INVALIDATIONS_AT_ONCE),
	};
	int rc;

	rc = domain->ops->cache_invalidate_user(domain, &array);
	*done += array.entry_num;
	return rc;
}

static int iommufd_invalidate(struct iommu_domain *domain,
			      const struct iommu_hwpt_invalidate *cmd,
			      u32 *done)
{
	if (!domain->ops->cache_invalidate_user)
		return -EOPNOTSUPP;
	for (;;) {
		u32 done_before = *done;
		int rc = iommufd_invalidate_some(domain, cmd, done);

		/* It may do less without a reason, but not be asked for ever. */
		if (rc || *done == done_before || *done >= cmd->entry_num)
			return rc;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
}

static int iommufd_find_and_invalidate(struct iommufd_ucmd *ucmd, u32 *done)
{
	const struct iommu_hwpt_invalidate *cmd = ucmd->cmd;
	struct iommufd_object *object;
	int rc;

	rc = iommufd_check_invalidate(cmd);
	if (rc)
		return rc;
	object = iommufd_ucmd_get(ucmd, cmd->hwpt_id, IOMMUFD_HWPT_NESTED);
	if (IS_ERR(object))
		return PTR_ERR(object);
	return iommufd_invalidate(to_hwpt(object)->member.io.domain, cmd, done);
}

/**
 * iommufd_ucmd_hwpt_invalidate - handler of IOMMU_HWPT_INVALIDATE
 * @ucmd: the ioctl; the number of requests becomes that of those carried out,
 *	whatever is returned
 *
 * Context: Process context, may sleep as long as user space likes.
 * Return: 0; -EOPNOTSUPP if a reserved field is not zero or the driver invalidates
 * nothing; -EINVAL for a number or length out of bounds or no address; -ENOENT if
 * there is no such nested HWPT; -EINTR on a fatal signal; or what the driver says
 * of the first request it did not carry out.
 */
int iommufd_ucmd_hwpt_invalidate(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_invalidate *cmd = ucmd->cmd;
	u32 done = 0;
	int rc;

	ucmd->reply_on_error = true;
	rc = iommufd_find_and_invalidate(ucmd, &done);
	cmd->entry_num = done;
	return rc;
}
