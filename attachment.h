/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core keeps of a group's attachment to a domain, and who of the group can
 * report page faults through it.
 */
#ifndef __IOMMUFD_ATTACHMENT_H
#define __IOMMUFD_ATTACHMENT_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct device;
struct iommufd_fault;

/*
 * So many attachments a group has room for: the current one, the next one while
 * there is a change, and the previous one, on which a report can still be under
 * way until the driver has made one more change.
 */
#define IOMMUFD_NR_ATTACHMENTS 3

/**
 * struct iommufd_attachment - one attachment of a group
 * @handle: what the core finds when a device of the group faults
 * @face: what the attachment shows the core instead of its domain
 * @lock: guards @fault against reports
 * @fault: where page faults go; NULL if the domain does not take them, or the
 *	attachment is over. Used by the HWPT
 * @sources: struct iommufd_fault_source, the devices whose faults are taken;
 *	guarded by the lock of iommufd_fault.groups
 */
struct iommufd_attachment {
	struct iommu_attach_handle handle;
	struct iommu_domain face;
	spinlock_t lock; /* fault */
	struct iommufd_fault *fault;
	struct list_head sources;
};

/**
 * struct iommufd_faulter - a bound device, as one that can fault
 * @dev: the device
 * @id: ID of its object
 * @nr_attachments: so many attachments take its faults, two while it moves from
 *	one that does to another; its page requests are on while it is not 0
 */
struct iommufd_faulter {
	struct device *dev;
	u32 id;
	unsigned int nr_attachments;
};

/**
 * struct iommufd_fault_source - a device whose faults an attachment takes
 * @item: in iommufd_attachment.sources
 * @dev: the device
 * @id: ID of its object
 */
struct iommufd_fault_source {
	struct list_head item;
	struct device *dev;
	u32 id;
};

void iommufd_attachment_init(struct iommufd_attachment *attachment);
void iommufd_attachment_begin(struct iommufd_attachment *attachment,
			      struct iommufd_fault *fault);
int iommufd_attachment_join(struct iommufd_attachment *attachment,
			    struct iommufd_faulter *faulter);
void iommufd_attachment_settle(struct iommufd_attachment *attachment);
void iommufd_attachment_leave(struct iommufd_attachment *attachment,
			      struct iommufd_faulter *faulter);
void iommufd_attachment_end(struct iommufd_attachment *attachment);

struct iommufd_attachment *iommufd_group_attachment(struct iopf_group *group);
struct iommufd_fault_source *
iommufd_attachment_source(struct iommufd_attachment *attachment,
			  const struct device *dev);
int iommufd_attachment_report(struct iopf_group *group);

#endif
