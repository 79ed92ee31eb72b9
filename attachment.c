// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attachments, and how page faults find their way through them.
 *
 *	begin		the attachment is to take page faults, or not
 *	join		so is a device; switches its page requests on, unless another
 *			attachment has done so
 *	(the core has the driver attach the domain)
 *	settle		the core has it, if it takes page faults: others it attaches
 *			without, and finds nobody for what is reported
 *	leave		faults of a device are not taken any more, and those without
 *			an answer are answered
 *	end		what is still under way finds nobody
 *
 * A driver reports a fault in a thread of its own. The core looks the handle up,
 * and goes on with a pointer to it that nobody counts: it relies on the driver to
 * have no report under way when attach_dev() has returned. That is not all there
 * is to it. In a replace the core stores the new handle when the driver is done, so
 * what the device reports in between goes by the old handle, and is still under way
 * when the replace has returned. Until the driver's next attach_dev(), therefore,
 *
 * - the handle stays what it is: a group has room for three, and the next one to be
 *   used is never the previous one;
 * - the domain it shows does, too: as soon as the core has the attachment, that is
 *   a copy of what the core looks at. The domain itself is what a report can have
 *   found before that, which attach_dev() waits for when the next change comes;
 * - the fault queue is looked up in the attachment, under its lock, and is NULL by
 *   then.
 *
 * It holds as far as the driver keeps its part. That of VT-d in 6.12 waits for the
 * requests of PASID 0 only, and takes a device off its queue without the lock under
 * which its interrupt thread reports: what a guest's PASID is asking for at that
 * moment is the driver's to get right.
 */
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "attachment.h"
#include "fault.h"
#include "test_hooks.h"

/**
 * iommufd_attachment_init - an attachment that is not one yet
 * @attachment: zeroed memory
 *
 * Context: Any.
 */
void iommufd_attachment_init(struct iommufd_attachment *attachment)
{
	spin_lock_init(&attachment->lock);
	INIT_LIST_HEAD(&attachment->sources);
}

static void iommufd_attachment_set_fault(struct iommufd_attachment *attachment,
					 struct iommufd_fault *fault)
{
	guard(spinlock)(&attachment->lock);
	attachment->fault = fault;
}

/**
 * iommufd_attachment_begin - say where the page faults go
 * @attachment: not in use
 * @fault: where to; used until the attachment has ended; NULL: nowhere
 *
 * Context: The turn of the group, like all that follows but the reports.
 */
void iommufd_attachment_begin(struct iommufd_attachment *attachment,
			      struct iommufd_fault *fault)
{
	WARN_ON(!list_empty(&attachment->sources));
	iommufd_attachment_set_fault(attachment, fault);
}

/* A function shares the page request interface of its physical function. */
static bool iommufd_is_virtual_function(struct device *dev)
{
	return dev_is_pci(dev) && to_pci_dev(dev)->is_virtfn;
}

static int iommufd_faulter_hold(struct iommufd_faulter *faulter)
{
	int rc = 0;

	if (!faulter->nr_attachments)
		rc = iommu_dev_enable_feature(faulter->dev,
					      IOMMU_DEV_FEAT_IOPF);
	if (!rc)
		faulter->nr_attachments++;
	return rc;
}

static void iommufd_faulter_release(struct iommufd_faulter *faulter)
{
	if (!--faulter->nr_attachments)
		iommu_dev_disable_feature(faulter->dev, IOMMU_DEV_FEAT_IOPF);
}

/**
 * iommufd_attachment_source - find a device among those whose faults are taken
 * @attachment: the attachment
 * @dev: any device
 *
 * Context: The lock of iommufd_fault.groups.
 * Return: what is known of it, or NULL.
 */
struct iommufd_fault_source *
iommufd_attachment_source(struct iommufd_attachment *attachment,
			  const struct device *dev)
{
	struct iommufd_fault_source *source;

	list_for_each_entry(source, &attachment->sources, item) {
		if (source->dev == dev)
			return source;
	}
	return NULL;
}

static int iommufd_attachment_add(struct iommufd_attachment *attachment,
				  const struct iommufd_faulter *faulter)
{
	struct xarray *groups = &attachment->fault->groups;
	struct iommufd_fault_source *source;

	source = kzalloc(sizeof(*source), GFP_KERNEL_ACCOUNT);
	if (!source)
		return -ENOMEM;

	source->dev = faulter->dev;
	source->id = faulter->id;
	xa_lock(groups);
	list_add_tail(&source->item, &attachment->sources);
	xa_unlock(groups);
	return 0;
}

/* Return: whether the device was there. */
static bool iommufd_attachment_remove(struct iommufd_attachment *attachment,
				      const struct device *dev)
{
	struct iommufd_fault_source *source;

	source = iommufd_fault_dismiss(attachment->fault, attachment, dev);
	kfree(source);
	return source;
}

/**
 * iommufd_attachment_join - take the faults of a device, if any
 * @attachment: begun
 * @faulter: the device, not part of it
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL for a virtual function; -ENOMEM, or what the driver says.
 */
int iommufd_attachment_join(struct iommufd_attachment *attachment,
			    struct iommufd_faulter *faulter)
{
	int rc;

	if (!attachment->fault)
		return 0;
	if (iommufd_is_virtual_function(faulter->dev))
		return -EINVAL;

	/* In this order, what it reports first is taken already. */
	rc = iommufd_attachment_add(attachment, faulter);
	if (rc)
		return rc;
	rc = iommufd_faulter_hold(faulter);
	if (rc)
		iommufd_attachment_remove(attachment, faulter->dev);
	return rc;
}

/**
 * iommufd_attachment_settle - the core has the attachment
 * @attachment: begun, takes page faults, and was given to the core
 *
 * Context: As iommufd_attachment_begin().
 */
void iommufd_attachment_settle(struct iommufd_attachment *attachment)
{
	struct iommu_domain *domain = attachment->handle.domain;

	attachment->face.type = domain->type;
	attachment->face.iopf_handler = domain->iopf_handler;
	/* Pairs with the core's reads, which depend on the address. */
	smp_store_release(&attachment->handle.domain, &attachment->face);
}

/**
 * iommufd_attachment_leave - do not take the faults of a device any more
 * @attachment: begun
 * @faulter: the device; if it has not joined, nothing happens
 *
 * On return, its faults have been answered, and no answer to one that came through
 * @attachment is under way.
 *
 * Context: Process context, may sleep.
 */
void iommufd_attachment_leave(struct iommufd_attachment *attachment,
			      struct iommufd_faulter *faulter)
{
	if (attachment->fault &&
	    iommufd_attachment_remove(attachment, faulter->dev))
		iommufd_faulter_release(faulter);
}

/**
 * iommufd_attachment_end - forget where the page faults go
 * @attachment: begun; all devices have left
 *
 * Context: As iommufd_attachment_begin().
 */
void iommufd_attachment_end(struct iommufd_attachment *attachment)
{
	WARN_ON(!list_empty(&attachment->sources));
	iommufd_attachment_set_fault(attachment, NULL);
}

/* -- reports -- */

/**
 * iommufd_group_attachment - what a group of faults came through
 * @group: the group
 *
 * Context: Any.
 * Return: the attachment.
 */
struct iommufd_attachment *iommufd_group_attachment(struct iopf_group *group)
{
	return container_of(group->attach_handle, struct iommufd_attachment,
			    handle);
}

/* Return: where the faults go, held for the time of a call, or NULL. */
static struct iommufd_fault *
iommufd_attachment_get_fault(struct iommufd_attachment *attachment)
{
	struct iommufd_fault *fault;

	guard(spinlock)(&attachment->lock);

	fault = attachment->fault;
	if (fault)
		iommufd_object_hold(&fault->obj);
	return fault;
}

static bool iommufd_attachment_queue(struct iommufd_attachment *attachment,
				     struct iopf_group *group)
{
	struct iommufd_fault *fault = iommufd_attachment_get_fault(attachment);
	bool is_queued;

	if (!fault)
		return false;
	is_queued = iommufd_fault_queue(fault, group);
	iommufd_object_put(&fault->obj);
	return is_queued;
}

/**
 * iommufd_attachment_report - the iopf_handler of our domains
 * @group: the core's, and ours to answer from here on
 *
 * Who does not find anybody to take the faults gives the answer that the device
 * shall not try again.
 *
 * Context: Process context, may sleep; the driver's report of a fault.
 * Return: 0.
 */
int iommufd_attachment_report(struct iopf_group *group)
{
	iommufd_test_slow_report(group->last_fault.fault.prm.addr);
	/* Otherwise the core answers as well when the device goes. */
	iopf_group_dequeue(group);
	if (!iommufd_attachment_queue(iommufd_group_attachment(group), group)) {
		iopf_group_response(group, IOMMU_PAGE_RESP_INVALID);
		iopf_free_group(group);
	}
	return 0;
}
