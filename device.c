// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device objects: binding a device to a file, and attaching it to a HWPT.
 *
 * The IOMMU tells groups apart, not devices. So the devices of a group that are
 * bound to the same file share a struct iommufd_group, and what is attached to a
 * HWPT is the group: the first device that attaches takes it there, the others
 * join it, the last one that detaches takes it away.
 *
 * All of that is done in the group's turn, iommufd_group.turn. A group that moves
 * to an IOAS and not to a certain HWPT takes the turn of the IOAS,
 * iommufd_ioas.attach_turn, inside. Nobody waits for another group while it is
 * some IOAS's turn, and nothing at all while it is looking an object up, so the
 * holder of a turn goes on as soon as user space and drivers let it.
 *
 * What a device on an IOAS holds there: its reserved regions, for as long as it is
 * on iommufd_group.attached. What the group holds: one use of the HWPT.
 */
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <uapi/linux/iommufd.h>

#include "iommu-priv.h"

#include "attachment.h"
#include "debug.h"
#include "device.h"
#include "hwpt.h"
#include "ioas.h"
#include "test_hooks.h"

static bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Bind devices although the platform cannot keep the interrupts they send apart; who controls such a device can forge the interrupts of others.");

/**
 * struct iommufd_group - the bound devices of an IOMMU group
 * @ictx: the file they are bound to
 * @group: the IOMMU group, referenced
 * @nr_devices: how many; guarded by the lock of iommufd_ctx.groups
 * @kref: one for each device, which it keeps until it does not own the group's DMA
 * @turn: attach, replace and detach of its devices happen one at a time; holding
 *	it guards what follows
 * @attached: the attached ones, struct iommufd_device
 * @hwpt: what they are attached to, NULL exactly if there are none
 * @attachments: for the core, used in turn
 * @attachment_index: which of them is the current one, if there is one
 */
struct iommufd_group {
	struct iommufd_ctx *ictx;
	struct iommu_group *group;
	unsigned int nr_devices;
	struct kref kref;
	struct iommufd_turn turn;
	struct list_head attached;
	struct iommufd_hwpt *hwpt;
	struct iommufd_attachment attachments[IOMMUFD_NR_ATTACHMENTS];
	unsigned int attachment_index;
};

/**
 * struct iommufd_device - a bound device
 * @obj: the object
 * @dev: the device; its driver keeps it until it unbinds it
 * @igroup: its group
 * @held_file: the file, kept open until the device is unbound; NULL for a mock
 * @group_item: in iommufd_group.attached, empty while it is not attached
 * @regions: where it must not have anything mapped, as its driver said when it was
 *	first attached
 * @faulter: as one that reports page faults
 */
struct iommufd_device {
	struct iommufd_object obj;
	struct device *dev;
	struct iommufd_group *igroup;
	struct file *held_file;
	struct list_head group_item;
	struct iopt_device_regions regions;
	struct iommufd_faulter faulter;
};

DEFINE_FREE(iommu_group, struct iommu_group *, iommu_group_put(_T))

/* -- groups -- */

static struct iommufd_group *iommufd_group_alloc(struct iommufd_ctx *ictx,
						 struct iommu_group *group)
{
	struct iommufd_group *igroup;

	igroup = kzalloc(sizeof(*igroup), GFP_KERNEL_ACCOUNT);
	if (!igroup)
		return NULL;

	igroup->ictx = ictx;
	igroup->group = iommu_group_ref_get(group);
	kref_init(&igroup->kref);
	iommufd_turn_init(&igroup->turn);
	INIT_LIST_HEAD(&igroup->attached);
	for (int i = 0; i < IOMMUFD_NR_ATTACHMENTS; i++)
		iommufd_attachment_init(&igroup->attachments[i]);
	return igroup;
}

static void iommufd_group_free(struct kref *kref)
{
	struct iommufd_group *igroup =
		container_of(kref, struct iommufd_group, kref);

	iommu_group_put(igroup->group);
	kfree(igroup);
}

/* The reference to the IOMMU group keeps its ID from being used again. */
static struct iommufd_group *iommufd_group_get(struct iommufd_ctx *ictx,
					       struct iommu_group *group)
{
	struct iommufd_group *new_igroup, *igroup;

	new_igroup = iommufd_group_alloc(ictx, group);
	if (!new_igroup)
		return ERR_PTR(-ENOMEM);

	xa_lock(&ictx->groups);
	igroup = __xa_cmpxchg(&ictx->groups, iommu_group_id(group), NULL,
			      new_igroup, GFP_KERNEL_ACCOUNT);
	if (!igroup)
		igroup = new_igroup;
	if (xa_is_err(igroup)) {
		igroup = ERR_PTR(xa_err(igroup));
	} else {
		igroup->nr_devices++;
		kref_get(&igroup->kref);
	}
	xa_unlock(&ictx->groups);

	/* Ours; if it has become the group, the device has one, too. */
	kref_put(&new_igroup->kref, iommufd_group_free);
	return igroup;
}

/* The device does not count any more; the caller still has its reference. */
static void iommufd_group_forget(struct iommufd_group *igroup)
{
	struct xarray *groups = &igroup->ictx->groups;

	xa_lock(groups);
	if (!--igroup->nr_devices)
		__xa_erase(groups, iommu_group_id(igroup->group));
	xa_unlock(groups);
}

/**
 * iommufd_ctx_has_group() - is a device of this group bound to this file?
 * @ictx: the file or NULL
 * @group: the IOMMU group or NULL
 *
 * Context: Any. Takes no lock, so a walk over a bus may call it.
 * Return: true if one is, hence no other file or driver can have the group.
 */
bool iommufd_ctx_has_group(struct iommufd_ctx *ictx, struct iommu_group *group)
{
	if (!ictx || !group)
		return false;
	return !!xa_load(&ictx->groups, iommu_group_id(group));
}
EXPORT_SYMBOL_NS_GPL(iommufd_ctx_has_group, IOMMUFD);

/* -- bind -- */

static void iommufd_device_destroy(struct iommufd_object *object)
{
	struct iommufd_device *idev =
		container_of(object, struct iommufd_device, obj);

	/* In this order a group that is known is one that is owned. */
	iommufd_group_forget(idev->igroup);
	iommu_device_release_dma_owner(idev->dev);
	/*
	 * That was the driver's next attach_dev(): until then a report of a page
	 * fault could be under way on an attachment, which is in the group.
	 */
	kref_put(&idev->igroup->kref, iommufd_group_free);
	iopt_forget_regions(&idev->regions);
}

static const struct iommufd_object_ops iommufd_device_ops = {
	.kind = IOMMUFD_DEVICE,
	.kernel_owned = true,
	.destroy = iommufd_device_destroy,
};

/*
 * MSIs are writes to memory. Where the platform does not check which device sent
 * one, the owner of any device can make up those of all others.
 */
static int iommufd_check_isolated_msi(struct device *dev,
				      struct iommu_group *group)
{
	if (iommufd_test_is_mock(dev) || iommu_group_has_isolated_msi(group))
		return 0;
	if (!allow_unsafe_interrupts)
		return -EPERM;
	dev_warn(dev, "bound without isolated MSI, as allow_unsafe_interrupts says\n");
	return 0;
}

/* The group is known to the file only while the file owns its DMA. */
static int iommufd_device_claim(struct iommufd_device *idev,
				struct iommu_group *group)
{
	struct iommufd_ctx *ictx = idev->obj.ictx;
	int rc;

	rc = iommu_device_claim_dma_owner(idev->dev, ictx);
	if (rc)
		return rc;

	idev->igroup = iommufd_group_get(ictx, group);
	if (!IS_ERR(idev->igroup))
		return 0;
	iommu_device_release_dma_owner(idev->dev);
	return PTR_ERR(idev->igroup);
}

static struct iommufd_device *iommufd_device_begin(struct iommufd_ctx *ictx,
						   struct device *dev,
						   struct iommu_group *group)
{
	struct iommufd_device *idev;
	int rc;

	idev = iommufd_object_begin(ictx, struct iommufd_device,
				    &iommufd_device_ops);
	if (IS_ERR(idev))
		return idev;

	idev->dev = dev;
	idev->faulter.dev = dev;
	idev->faulter.id = idev->obj.id;
	INIT_LIST_HEAD(&idev->group_item);
	rc = iommufd_device_claim(idev, group);
	if (rc) {
		iommufd_object_discard(&idev->obj);
		return ERR_PTR(rc);
	}
	return idev;
}

/*
 * A driver can go on with a device when user space has closed the file. A mock
 * device goes with an object of the file, that is when the file is released.
 */
static void iommufd_device_hold_file(struct iommufd_device *idev)
{
	if (!iommufd_test_is_mock(idev->dev))
		idev->held_file = get_file(idev->obj.ictx->file);
}

/**
 * iommufd_device_bind() - let user space own the DMA of a device
 * @ictx: the file; held open until the device is unbound
 * @dev: the device; the caller is its driver
 * @id: written on success: its object ID, more than 0 as an int
 *
 * On success nothing translates for the device, and its group belongs to the
 * file. Other devices of the group can be bound to the same file only.
 *
 * Context: Process context, may sleep.
 * Return: the device or an ERR_PTR: -EINVAL if its DMA does not snoop caches;
 * -ENODEV if it has no IOMMU group; -EPERM if MSIs are not isolated, or the group
 * has another owner; -EBUSY if another driver uses the group; -ENOMEM, -ENOSPC.
 */
struct iommufd_device *iommufd_device_bind(struct iommufd_ctx *ictx,
					   struct device *dev, u32 *id)
{
	struct iommu_group *group __free(iommu_group) = NULL;
	struct iommufd_device *idev;
	int rc;

	/* There is no way for user space to do the cache maintenance. */
	if (!device_iommu_capable(dev, IOMMU_CAP_CACHE_COHERENCY))
		return ERR_PTR(-EINVAL);
	group = iommu_group_get(dev);
	if (!group)
		return ERR_PTR(-ENODEV);
	rc = iommufd_check_isolated_msi(dev, group);
	if (rc)
		return ERR_PTR(rc);

	idev = iommufd_device_begin(ictx, dev, group);
	if (IS_ERR(idev))
		return idev;

	iommufd_device_hold_file(idev);
	*id = idev->obj.id;
	iommufd_object_publish(&idev->obj);
	return idev;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_bind, IOMMUFD);

/**
 * iommufd_device_unbind() - undo iommufd_device_bind()
 * @idev: the device, not attached; gone on return
 *
 * Context: Process context, may sleep, for as long as ioctls use the device;
 * signals make no difference.
 */
void iommufd_device_unbind(struct iommufd_device *idev)
{
	struct file *file = idev->held_file;

	if (WARN_ON(!list_empty(&idev->group_item)))
		iommufd_device_detach(idev);

	iommufd_object_retire(&idev->obj);
	iommufd_object_destroy_retired(&idev->obj);
	if (file)
		fput(file);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_unbind, IOMMUFD);

/**
 * iommufd_device_to_ictx() - the file a device is bound to
 * @idev: the device
 *
 * Context: Any.
 * Return: the file, without a reference.
 */
struct iommufd_ctx *iommufd_device_to_ictx(struct iommufd_device *idev)
{
	return idev->obj.ictx;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_to_ictx, IOMMUFD);

/**
 * iommufd_device_to_id() - the object ID of a device
 * @idev: the device
 *
 * Context: Any.
 * Return: the ID.
 */
u32 iommufd_device_to_id(struct iommufd_device *idev)
{
	return idev->obj.id;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_to_id, IOMMUFD);

/**
 * iommufd_object_device - the device of a device object
 * @object: an object of kind IOMMUFD_DEVICE
 *
 * Context: Any.
 * Return: the device, for as long as the object is held.
 */
struct device *iommufd_object_device(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_device, obj)->dev;
}

/* -- the attached devices of a group, and what they reserve -- */

static struct iommufd_ioas *iommufd_group_ioas(struct iommufd_group *igroup)
{
	return igroup->hwpt ? igroup->hwpt->ioas : NULL;
}

static void iommufd_group_unreserve(struct iommufd_group *igroup,
				    struct iommufd_ioas *ioas)
{
	struct iommufd_device *idev;

	lockdep_assert_held(&igroup->turn);

	list_for_each_entry(idev, &igroup->attached, group_item)
		iopt_unreserve(&ioas->iopt, idev->dev);
}

/* Return: 0, or as iopt_reserve_device() with nothing reserved. */
static int iommufd_group_reserve(struct iommufd_group *igroup,
				 struct iommufd_ioas *ioas)
{
	struct iommufd_device *idev;
	int rc;

	lockdep_assert_held(&igroup->turn);

	list_for_each_entry(idev, &igroup->attached, group_item) {
		rc = iopt_reserve_device(&ioas->iopt, idev->dev,
					 &idev->regions);
		if (rc) {
			/* Harmless for those that have nothing there yet. */
			iommufd_group_unreserve(igroup, ioas);
			return rc;
		}
	}
	return 0;
}

static int iommufd_device_fit(struct iommufd_device *idev,
			      struct iommufd_hwpt *hwpt)
{
	int rc = iommufd_hwpt_check_device(hwpt, idev->dev);

	return rc ?: iommufd_hwpt_set_msi(hwpt, &idev->regions.msi_window);
}

/* -- moving a group to a HWPT -- */

static struct iommufd_attachment *
iommufd_group_current(struct iommufd_group *igroup)
{
	return &igroup->attachments[igroup->attachment_index];
}

/* Page faults do not go through the attachment any more. */
static void iommufd_group_leave(struct iommufd_group *igroup,
				struct iommufd_attachment *attachment)
{
	struct iommufd_device *idev;

	list_for_each_entry(idev, &igroup->attached, group_item)
		iommufd_attachment_leave(attachment, &idev->faulter);
	iommufd_attachment_end(attachment);
}

/* Page faults go through the attachment as soon as the core has it. */
static int iommufd_group_join(struct iommufd_group *igroup,
			      struct iommufd_attachment *attachment,
			      struct iommufd_fault *fault)
{
	struct iommufd_device *idev;
	int rc;

	iommufd_attachment_begin(attachment, fault);
	list_for_each_entry(idev, &igroup->attached, group_item) {
		rc = iommufd_attachment_join(attachment, &idev->faulter);
		if (rc) {
			iommufd_group_leave(igroup, attachment);
			return rc;
		}
	}
	return 0;
}

static int iommufd_group_attach_first(struct iommufd_group *igroup,
				      struct iommufd_hwpt *hwpt,
				      struct iommu_attach_handle *handle)
{
	struct iommu_domain *domain = hwpt->member.io.domain;
	int rc;

	iommufd_gate_close(iommufd_hwpt_gate(hwpt));
	rc = handle ? iommu_attach_group_handle(domain, igroup->group, handle) :
		      iommu_attach_group(domain, igroup->group);
	iommufd_gate_open(iommufd_hwpt_gate(hwpt));
	return rc;
}

/* What the one gets, the other loses. */
static int iommufd_group_replace(struct iommufd_group *igroup,
				 struct iommufd_hwpt *hwpt,
				 struct iommu_attach_handle *handle)
{
	int rc;

	iommufd_gate_close_both(iommufd_hwpt_gate(hwpt),
				iommufd_hwpt_gate(igroup->hwpt));
	rc = iommu_replace_group_handle(igroup->group, hwpt->member.io.domain,
					handle);
	iommufd_gate_open_both(iommufd_hwpt_gate(hwpt),
			       iommufd_hwpt_gate(igroup->hwpt));
	return rc;
}

/* Have the core and the driver do it. */
static int iommufd_group_attach(struct iommufd_group *igroup,
				struct iommufd_hwpt *hwpt,
				struct iommufd_attachment *attachment)
{
	struct iommu_attach_handle *handle = NULL;
	int rc;

	/* Page faults are what the core keeps it for. */
	if (hwpt->fault)
		handle = &attachment->handle;

	if (igroup->hwpt)
		rc = iommufd_group_replace(igroup, hwpt, handle);
	else
		rc = iommufd_group_attach_first(igroup, hwpt, handle);
	if (!rc && handle)
		iommufd_attachment_settle(attachment);
	return rc;
}

static int iommufd_group_switch(struct iommufd_group *igroup,
				struct iommufd_hwpt *hwpt)
{
	struct iommufd_attachment *old = iommufd_group_current(igroup), *new;
	unsigned int next_index;
	int rc;

	next_index = (igroup->attachment_index + 1) % IOMMUFD_NR_ATTACHMENTS;
	new = &igroup->attachments[next_index];
	rc = iommufd_group_join(igroup, new, hwpt->fault);
	if (rc)
		return rc;
	rc = iommufd_group_attach(igroup, hwpt, new);
	if (rc) {
		iommufd_group_leave(igroup, new);
		return rc;
	}
	igroup->attachment_index = next_index;
	if (igroup->hwpt)
		iommufd_group_leave(igroup, old);
	return 0;
}

/* Undo iommufd_group_switch() of a group that was not attached. */
static void iommufd_group_detach(struct iommufd_group *igroup,
				 struct iommufd_hwpt *hwpt)
{
	struct iommu_domain *domain = hwpt->member.io.domain;

	iommufd_gate_close(iommufd_hwpt_gate(hwpt));
	if (hwpt->fault)
		iommu_detach_group_handle(domain, igroup->group);
	else
		iommu_detach_group(domain, igroup->group);
	iommufd_gate_open(iommufd_hwpt_gate(hwpt));
	iommufd_group_leave(igroup, iommufd_group_current(igroup));
}

/* Undo iommufd_device_fit() for the devices in front of one, NULL for all. */
static void iommufd_group_unfit(struct iommufd_group *igroup,
				struct iommufd_hwpt *hwpt,
				const struct iommufd_device *end_idev)
{
	struct iommufd_device *idev;

	list_for_each_entry(idev, &igroup->attached, group_item) {
		if (idev == end_idev)
			break;
		iommufd_hwpt_unset_msi(hwpt, &idev->regions.msi_window);
	}
}

static int iommufd_group_fit(struct iommufd_group *igroup,
			     struct iommufd_hwpt *hwpt)
{
	struct iommufd_device *idev;
	int rc;

	list_for_each_entry(idev, &igroup->attached, group_item) {
		rc = iommufd_device_fit(idev, hwpt);
		if (rc) {
			iommufd_group_unfit(igroup, hwpt, idev);
			return rc;
		}
	}
	return 0;
}

/* Return: 0; -EINVAL if another HWPT may do; another error. */
static int iommufd_group_enter(struct iommufd_group *igroup,
			       struct iommufd_hwpt *hwpt)
{
	int rc;

	lockdep_assert_held(&igroup->turn);

	rc = iommufd_group_fit(igroup, hwpt);
	if (rc)
		return rc;
	rc = iommufd_group_switch(igroup, hwpt);
	if (rc)
		iommufd_group_unfit(igroup, hwpt, NULL);
	return rc;
}

/*
 * A group that is on the move must not meet an empty domain, so that one is filled
 * first; and so are others, as no IOTLB has to be flushed for that. But some drivers
 * make the page table when the first device is attached: so a group that translates
 * nothing so far is attached to their empty domain.
 */
static int iommufd_group_enter_new(struct iommufd_group *igroup,
				   struct iommufd_hwpt *hwpt)
{
	int rc;

	if (igroup->hwpt || iommufd_hwpt_is_complete(hwpt)) {
		rc = iommufd_hwpt_mirror(hwpt);
		return rc ?: iommufd_group_enter(igroup, hwpt);
	}

	rc = iommufd_group_enter(igroup, hwpt);
	if (rc)
		return rc;
	rc = iommufd_hwpt_mirror(hwpt);
	if (rc)
		iommufd_group_detach(igroup, hwpt);
	return rc;
}

/*
 * Programs of VFIO's type1 do not say that they want to track dirty pages before
 * they do, so all that their devices are attached to is made for it.
 */
static u32 iommufd_group_auto_flags(struct iommufd_group *igroup,
				    const struct iommufd_ioas *ioas)
{
	struct iommufd_device *idev;

	if (!iommufd_drivers_record_dirty() || !iommufd_ioas_is_compat(ioas))
		return 0;
	list_for_each_entry(idev, &igroup->attached, group_item) {
		if (!device_iommu_capable(idev->dev, IOMMU_CAP_DIRTY_TRACKING))
			return 0;
	}
	return IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
}

static struct iommufd_hwpt *iommufd_group_make_auto(struct iommufd_group *igroup,
						    struct iommufd_ioas *ioas,
						    u32 flags)
{
	struct iommufd_hwpt_request request = { .flags = flags };
	struct iommufd_device *idev;
	struct iommufd_hwpt *hwpt;
	int rc;

	idev = list_first_entry(&igroup->attached, struct iommufd_device,
				group_item);
	request.dev = idev->dev;
	hwpt = iommufd_hwpt_begin(ioas, &request);
	if (IS_ERR(hwpt))
		return hwpt;

	rc = iommufd_group_enter_new(igroup, hwpt);
	if (rc) {
		iommufd_object_abort(&hwpt->obj);
		return ERR_PTR(rc);
	}
	iommufd_hwpt_publish_auto(hwpt);
	return hwpt;
}

/*
 * Share the first automatic HWPT that is acceptable, and as it would be made with
 * @flags. Return: it, used; NULL if there is none; ERR_PTR of an error that has nothing
 * to do with the HWPT.
 */
static struct iommufd_hwpt *
iommufd_group_share_auto(struct iommufd_group *igroup,
			 struct iommufd_ioas *ioas, u32 flags)
{
	struct iommufd_hwpt *hwpt = NULL;
	int rc;

	while ((hwpt = iommufd_hwpt_next_auto(ioas, hwpt))) {
		if (flags && !hwpt->member.io.domain->dirty_ops)
			continue;
		rc = iommufd_group_enter(igroup, hwpt);
		if (!rc)
			return hwpt;
		if (rc != -EINVAL) {
			iommufd_hwpt_put(hwpt);
			return ERR_PTR(rc);
		}
	}
	return NULL;
}

static struct iommufd_hwpt *
iommufd_group_enter_auto(struct iommufd_group *igroup,
			 struct iommufd_ioas *ioas, u32 flags)
{
	return iommufd_group_share_auto(igroup, ioas, flags) ?:
	       iommufd_group_make_auto(igroup, ioas, flags);
}

/* Return: the HWPT the group is attached to now, used, or an ERR_PTR. */
static struct iommufd_hwpt *
iommufd_group_enter_ioas(struct iommufd_group *igroup,
			 struct iommufd_ioas *ioas)
{
	u32 flags = iommufd_group_auto_flags(igroup, ioas);
	struct iommufd_hwpt *hwpt;
	int rc;

	rc = iommufd_turn_take_killable(&ioas->attach_turn);
	if (rc)
		return ERR_PTR(rc);
	hwpt = iommufd_group_enter_auto(igroup, ioas, flags);
	/* What a driver says it can do it may not do for this device. */
	if (flags && (hwpt == ERR_PTR(-EOPNOTSUPP) || hwpt == ERR_PTR(-EINVAL)))
		hwpt = iommufd_group_enter_auto(igroup, ioas, 0);
	iommufd_turn_end(&ioas->attach_turn);
	return hwpt;
}

/* As iommufd_group_enter_ioas(), for a HWPT the caller has a use of already. */
static struct iommufd_hwpt *
iommufd_group_enter_hwpt(struct iommufd_group *igroup,
			 struct iommufd_hwpt *hwpt)
{
	int rc = iommufd_group_enter(igroup, hwpt);

	return ERR_PTR(rc) ?: iommufd_hwpt_get(hwpt);
}

/* -- where to -- */

/**
 * struct iommufd_target - where the user wants a device to be
 * @ioas: the IOAS that is named, kept for the time of the call, or what @hwpt
 *	mirrors
 * @hwpt: the HWPT that is named, with a use of it, or NULL if any automatic one of
 *	@ioas will do
 */
struct iommufd_target {
	struct iommufd_ioas *ioas;
	struct iommufd_hwpt *hwpt;
};

/*
 * A HWPT that is named is used and not just held by the call. Whoever gives back
 * the last use of an automatic one destroys it, and waits for all calls before it
 * does, which must not be the one it is in.
 */
static int iommufd_target_use_hwpt(struct iommufd_target *target,
				   struct iommufd_object *object)
{
	int rc = iommufd_object_use(object);

	if (!rc) {
		target->hwpt = to_hwpt(object);
		target->ioas = target->hwpt->ioas;
	}
	iommufd_object_put(object);
	return rc;
}

static int iommufd_target_get(struct iommufd_ctx *ictx, u32 pt_id,
			      struct iommufd_target *target)
{
	struct iommufd_object *object;

	object = iommufd_object_get(ictx, pt_id, IOMMUFD_ANY_KIND);
	if (IS_ERR(object))
		return PTR_ERR(object);

	switch (object->ops->kind) {
	case IOMMUFD_IOAS:
		target->ioas = to_ioas(object);
		return 0;
	case IOMMUFD_HWPT:
	case IOMMUFD_HWPT_NESTED:
		return iommufd_target_use_hwpt(target, object);
	default:
		iommufd_object_put(object);
		return -EINVAL;
	}
}

static void iommufd_target_put(const struct iommufd_target *target)
{
	if (target->hwpt)
		iommufd_hwpt_put(target->hwpt);
	else
		iommufd_object_put(&target->ioas->obj);
}

static bool iommufd_target_is(const struct iommufd_target *target,
			      const struct iommufd_hwpt *hwpt)
{
	if (target->hwpt)
		return target->hwpt == hwpt;
	return hwpt->automatic && hwpt->ioas == target->ioas;
}

/*
 * Take a group, the devices on its list, from where it is, if anywhere, to the
 * target. On error it is where it was, and so are its reserved regions.
 */
static int iommufd_group_move(struct iommufd_group *igroup,
			      const struct iommufd_target *target)
{
	struct iommufd_ioas *old_ioas = iommufd_group_ioas(igroup);
	struct iommufd_hwpt *old_hwpt = igroup->hwpt;
	struct iommufd_ioas *ioas = target->ioas;
	struct iommufd_hwpt *hwpt;
	int rc;

	lockdep_assert_held(&igroup->turn);

	if (ioas != old_ioas) {
		rc = iommufd_group_reserve(igroup, ioas);
		if (rc)
			return rc;
	}

	hwpt = target->hwpt ? iommufd_group_enter_hwpt(igroup, target->hwpt) :
			      iommufd_group_enter_ioas(igroup, ioas);
	if (IS_ERR(hwpt)) {
		if (ioas != old_ioas)
			iommufd_group_unreserve(igroup, ioas);
		return PTR_ERR(hwpt);
	}

	igroup->hwpt = hwpt;
	if (old_ioas && ioas != old_ioas)
		iommufd_group_unreserve(igroup, old_ioas);
	if (old_hwpt)
		iommufd_hwpt_put(old_hwpt);
	return 0;
}

static int iommufd_device_enter(struct iommufd_device *idev,
				struct iommufd_hwpt *hwpt)
{
	int rc;

	rc = iommufd_device_fit(idev, hwpt);
	if (rc)
		return rc;
	rc = iommufd_attachment_join(iommufd_group_current(idev->igroup),
				     &idev->faulter);
	if (rc)
		iommufd_hwpt_unset_msi(hwpt, &idev->regions.msi_window);
	return rc;
}

/* Attach a device of a group that is attached. */
static int iommufd_device_join(struct iommufd_device *idev)
{
	struct iommufd_group *igroup = idev->igroup;
	struct io_pagetable *iopt = &igroup->hwpt->ioas->iopt;
	int rc;

	lockdep_assert_held(&igroup->turn);

	rc = iopt_reserve_device(iopt, idev->dev, &idev->regions);
	if (rc)
		return rc;
	rc = iommufd_device_enter(idev, igroup->hwpt);
	if (rc) {
		iopt_unreserve(iopt, idev->dev);
		return rc;
	}
	list_add_tail(&idev->group_item, &igroup->attached);
	return 0;
}

static int iommufd_device_attach_target(struct iommufd_device *idev,
					const struct iommufd_target *target)
{
	struct iommufd_group *igroup = idev->igroup;
	int rc;

	if (!list_empty(&idev->group_item))
		return -EINVAL;
	if (igroup->hwpt) {
		if (!iommufd_target_is(target, igroup->hwpt))
			return -EINVAL;
		return iommufd_device_join(idev);
	}

	list_add_tail(&idev->group_item, &igroup->attached);
	rc = iommufd_group_move(igroup, target);
	if (rc)
		list_del_init(&idev->group_item);
	return rc;
}

static int iommufd_device_replace_target(struct iommufd_device *idev,
					 const struct iommufd_target *target)
{
	struct iommufd_group *igroup = idev->igroup;

	if (list_empty(&idev->group_item))
		return -EINVAL;
	if (iommufd_target_is(target, igroup->hwpt))
		return 0;
	return iommufd_group_move(igroup, target);
}

typedef int (*iommufd_change_fn)(struct iommufd_device *idev,
				 const struct iommufd_target *target);

static int iommufd_device_change_in_turn(struct iommufd_device *idev,
					 u32 *pt_id, iommufd_change_fn change)
{
	struct iommufd_target target = {};
	int rc;

	rc = iommufd_target_get(idev->obj.ictx, *pt_id, &target);
	if (rc)
		return rc;
	rc = change(idev, &target);
	iommufd_target_put(&target);
	if (!rc)
		*pt_id = idev->igroup->hwpt->obj.id;
	return rc;
}

static int iommufd_device_change(struct iommufd_device *idev, u32 *pt_id,
				 iommufd_change_fn change)
{
	struct iommufd_turn *turn = &idev->igroup->turn;
	int rc;

	rc = iommufd_turn_take_killable(turn);
	if (rc)
		return rc;
	rc = iommufd_device_change_in_turn(idev, pt_id, change);
	iommufd_turn_end(turn);
	return rc;
}

/**
 * iommufd_device_attach() - have a HWPT translate for a device
 * @idev: the device, not attached
 * @pt_id: ID of an IOAS or a HWPT; written on success: ID of the HWPT
 *
 * For an IOAS, an automatic HWPT of it is shared if the device's IOMMU can use
 * it, and made otherwise. On error nothing has changed.
 *
 * Context: Process context, may sleep as long as user space likes: attaching to a
 * new HWPT pins memory.
 * Return: 0; -ENOENT no such ID; -EINVAL neither an IOAS nor a HWPT, attached
 * already, another device of the group is attached elsewhere, or the HWPT and the
 * device do not go together; -EADDRINUSE if something is mapped or wanted where
 * the device must not have it; -EFAULT, -ENOMEM, -EINTR on a fatal signal, or what
 * the driver says.
 */
int iommufd_device_attach(struct iommufd_device *idev, u32 *pt_id)
{
	return iommufd_device_change(idev, pt_id, iommufd_device_attach_target);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_attach, IOMMUFD);

/**
 * iommufd_device_replace() - have another HWPT translate for a device
 * @idev: the device, attached; the other attached devices of its group go with it
 * @pt_id: as for iommufd_device_attach()
 *
 * In between, the device sees either the old or the new HWPT. On error it stays
 * attached to the old one.
 *
 * Context: As iommufd_device_attach().
 * Return: 0, also if it is attached there already; -EINVAL if it is not attached;
 * or as iommufd_device_attach().
 */
int iommufd_device_replace(struct iommufd_device *idev, u32 *pt_id)
{
	return iommufd_device_change(idev, pt_id,
				     iommufd_device_replace_target);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_replace, IOMMUFD);

/**
 * iommufd_device_detach() - stop translating for a device
 * @idev: the device, attached
 *
 * DMA of the last attached device of a group is blocked on return, and a HWPT
 * that was made for it is gone.
 *
 * Context: Process context, may sleep, until other changes of the group are
 * through; signals make no difference.
 */
void iommufd_device_detach(struct iommufd_device *idev)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_hwpt *hwpt;
	bool is_last;

	guard(iommufd_turn)(&igroup->turn);
	if (WARN_ON(list_empty(&idev->group_item)))
		return;

	hwpt = igroup->hwpt;
	is_last = list_is_singular(&igroup->attached);
	if (is_last)
		iommufd_group_detach(igroup, hwpt);
	else
		iommufd_attachment_leave(iommufd_group_current(igroup),
					 &idev->faulter);
	list_del_init(&idev->group_item);
	iopt_unreserve(&hwpt->ioas->iopt, idev->dev);
	if (is_last) {
		igroup->hwpt = NULL;
		iommufd_hwpt_put(hwpt);
	}
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_detach, IOMMUFD);
