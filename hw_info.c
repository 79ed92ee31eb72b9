// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_GET_HW_INFO: what a device can do together with its IOMMU.
 *
 * The device is held while it is asked, and what it says is kept in memory of our
 * own. Then it is given back, and only then is user memory touched: that can wait
 * in a page fault for as long as user space likes, and whoever unbinds the device
 * would wait with it.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "iommu-priv.h"

#include "device.h"
#include "iommufd_private.h"

/**
 * struct iommufd_hw_data - what only programs know that know the IOMMU
 * @data: from the driver, to be freed; NULL if it has nothing to say
 * @bytes: of it
 * @type: of enum iommu_hw_info_type
 */
struct iommufd_hw_data {
	void *data;
	u32 bytes;
	u32 type;
};

static int iommufd_ask_driver(struct device *dev, struct iommufd_hw_data *hw)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	void *data;

	hw->type = IOMMU_HW_INFO_TYPE_NONE;
	if (!ops->hw_info)
		return 0;
	data = ops->hw_info(dev, &hw->bytes, &hw->type);
	if (IS_ERR(data))
		return PTR_ERR(data);
	hw->data = data;
	return 0;
}

/* Permissions can be asked for with a PASID only if they have been enabled. */
static u64 iommufd_pasid_capabilities(struct device *dev)
{
	u64 capabilities = 0;
	int status;

	if (!dev->iommu->max_pasids || !dev_is_pci(dev))
		return 0;
	status = pci_pasid_status(to_pci_dev(dev));
	if (status < 0)
		return 0;
	if (status & PCI_PASID_CTRL_EXEC)
		capabilities |= IOMMU_HW_CAP_PCI_PASID_EXEC;
	if (status & PCI_PASID_CTRL_PRIV)
		capabilities |= IOMMU_HW_CAP_PCI_PASID_PRIV;
	return capabilities;
}

static u64 iommufd_capabilities(struct device *dev)
{
	u64 capabilities = iommufd_pasid_capabilities(dev);

	if (iommufd_drivers_record_dirty() &&
	    device_iommu_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		capabilities |= IOMMU_HW_CAP_DIRTY_TRACKING;
	return capabilities;
}

/* Fill in all of the answer but the length. */
static int iommufd_describe_device(struct device *dev,
				   struct iommu_hw_info *cmd,
				   struct iommufd_hw_data *hw)
{
	u32 max_pasids = dev->iommu->max_pasids;
	int rc;

	rc = iommufd_ask_driver(dev, hw);
	if (rc)
		return rc;
	/* 6.12's drivers have one type each, so they need not be told which. */
	if (cmd->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE &&
	    cmd->in_data_type != IOMMU_HW_INFO_TYPE_DEFAULT &&
	    cmd->in_data_type != hw->type)
		return -EOPNOTSUPP;

	cmd->out_data_type = hw->type;
	cmd->out_max_pasid_log2 = max_pasids ? ilog2(max_pasids) : 0;
	cmd->out_capabilities = iommufd_capabilities(dev);
	return 0;
}

/* @bytes can be gigabytes, so it goes in pieces. */
static int iommufd_clear_user(u8 __user *start, u32 bytes)
{
	u32 piece;

	for (u32 done = 0; done < bytes; done += piece) {
		piece = min_t(u32, bytes - done, SZ_1M);
		if (clear_user(start + done, piece))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int iommufd_give_hw_data(struct iommu_hw_info *cmd,
				const struct iommufd_hw_data *hw)
{
	u8 __user *room = u64_to_user_ptr(cmd->data_uptr);
	u32 room_bytes = cmd->data_len;
	u32 bytes = min(room_bytes, hw->bytes);

	if (copy_to_user(room, hw->data, bytes))
		return -EFAULT;
	cmd->data_len = hw->bytes;
	return iommufd_clear_user(room + bytes, room_bytes - bytes);
}

/**
 * iommufd_ucmd_get_hw_info - handler of IOMMU_GET_HW_INFO
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep as long as user space likes, but does not
 * hold the device meanwhile.
 * Return: 0; -ENOENT no such device; -EOPNOTSUPP if the driver has not got data of
 * the type asked for; -EFAULT; -EINTR on a fatal signal; or what the driver says.
 */
int iommufd_ucmd_get_hw_info(struct iommufd_ucmd *ucmd)
{
	struct iommu_hw_info *cmd = ucmd->cmd;
	struct iommufd_hw_data hw = {};
	struct iommufd_object *object;
	int rc;

	object = iommufd_object_get(ucmd->ictx, cmd->dev_id, IOMMUFD_DEVICE);
	if (IS_ERR(object))
		return PTR_ERR(object);
	rc = iommufd_describe_device(iommufd_object_device(object), cmd, &hw);
	iommufd_object_put(object);

	if (!rc)
		rc = iommufd_give_hw_data(cmd, &hw);
	kfree(hw.data);
	return rc;
}
