/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fault queue as an object: page faults of devices, for user space to read and
 * to answer.
 */
#ifndef __IOMMUFD_FAULT_H
#define __IOMMUFD_FAULT_H

#include <linux/container_of.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "iommufd_private.h"

struct device;
struct file;
struct iommu_hwpt_page_response;
struct iommu_hwpt_pgfault;
struct iopf_group;
struct iommufd_attachment;
struct iommufd_fault_source;

/**
 * struct iommufd_fault - a fault queue
 * @obj: the object. Its users are the HWPTs that report to it, and its file
 * @file: the file, NULL once it is closed
 * @mutex: held while answers are given, so that who has taken it and finds no
 *	group of a device knows that no answer to the device is under way
 * @groups: groups of faults without an answer, by cookie, in the order in which
 *	they came; those that nobody has read are marked. Its lock guards what
 *	follows, and iommufd_attachment.sources
 * @next_cookie: for the allocation of cookies
 * @is_closed: nobody will read and answer any more
 * @readers: who polls
 */
struct iommufd_fault {
	struct iommufd_object obj;
	struct file *file;
	struct mutex mutex; /* answers */
	struct xarray groups;
	u32 next_cookie;
	bool is_closed;
	wait_queue_head_t readers;
};

/**
 * struct iommufd_fault_batch - a group of faults on its way to user space
 * @records: as user space sees them
 * @nr_records: so many the group has
 * @capacity: @records is for so many
 * @room: so many may be put there
 * @cookie: of the group
 */
struct iommufd_fault_batch {
	struct iommu_hwpt_pgfault *records;
	size_t nr_records;
	size_t capacity;
	size_t room;
	u32 cookie;
};

static inline struct iommufd_fault *to_fault(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_fault, obj);
}

/* fault.c */
struct iommufd_fault *iommufd_fault_begin(struct iommufd_ctx *ictx);
bool iommufd_fault_queue(struct iommufd_fault *fault, struct iopf_group *group);
bool iommufd_fault_has_unread(struct iommufd_fault *fault);
int iommufd_fault_take(struct iommufd_fault *fault,
		       struct iommufd_fault_batch *batch);
void iommufd_fault_untake(struct iommufd_fault *fault, u32 cookie);
int iommufd_fault_answer(struct iommufd_fault *fault,
			 const struct iommu_hwpt_page_response *response);
struct iommufd_fault_source *
iommufd_fault_dismiss(struct iommufd_fault *fault,
		      struct iommufd_attachment *attachment,
		      const struct device *dev);
void iommufd_fault_close(struct iommufd_fault *fault);

/* fault_file.c */
int iommufd_ucmd_fault_alloc(struct iommufd_ucmd *ucmd);

#endif
