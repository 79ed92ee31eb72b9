// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues of page faults, and who owns a group of them.
 *
 *	group := queue ( take ( untake take )* )? ( answer | dismiss )
 *
 * queue	It has a cookie and is in iommufd_fault.groups, marked as unread.
 * take		It is not marked any more, and a copy of it is on its way to user
 *		space. The cookie is alive from now on: user space may know it before
 *		the read has returned.
 * untake	The copy did not arrive. The mark is there again, and with it the
 *		place in the queue.
 * answer	By a write.
 * dismiss	The device leaves, or the file is closed.
 *
 * In @groups, a group is everybody's. Who gives an answer takes it off there, so
 * there is one answer, whoever else wants to give one; and has iommufd_fault.mutex
 * meanwhile, so that a device does not leave in the middle. A reader works on a copy:
 * its group can be answered and gone by the time the copy arrives, which is as if it
 * had arrived earlier.
 */
#include <linux/bug.h>
#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/poll.h>

#include <uapi/linux/iommufd.h>

#include "attachment.h"
#include "fault.h"

/* The first one is the array's own, for free cookies. */
#define IOMMUFD_FAULT_UNREAD XA_MARK_1

/* 0 is not a cookie. Once all others have been used, the order starts anew. */
#define IOMMUFD_COOKIE_LIMIT XA_LIMIT(1, U32_MAX)

/* Numbers go from one side to the other as they are. */
static_assert(IOMMU_PGFAULT_FLAGS_PASID_VALID ==
	      IOMMU_FAULT_PAGE_REQUEST_PASID_VALID);
static_assert(IOMMU_PGFAULT_FLAGS_LAST_PAGE ==
	      IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE);
static_assert(IOMMU_PGFAULT_PERM_READ == IOMMU_FAULT_PERM_READ);
static_assert(IOMMU_PGFAULT_PERM_WRITE == IOMMU_FAULT_PERM_WRITE);
static_assert(IOMMU_PGFAULT_PERM_EXEC == IOMMU_FAULT_PERM_EXEC);
static_assert(IOMMU_PGFAULT_PERM_PRIV == IOMMU_FAULT_PERM_PRIV);
static_assert((int)IOMMUFD_PAGE_RESP_SUCCESS == IOMMU_PAGE_RESP_SUCCESS);
static_assert((int)IOMMUFD_PAGE_RESP_INVALID == IOMMU_PAGE_RESP_INVALID);

/* -- the object -- */

/*
 * An object that nobody learns of has a file all the same, which is released some
 * time later. Nobody else has the file by now.
 */
static void iommufd_fault_destroy(struct iommufd_object *object)
{
	struct iommufd_fault *fault = to_fault(object);

	if (fault->file) {
		fault->file->private_data = NULL;
		iommufd_ctx_put(object->ictx);
	}
	WARN_ON(!xa_empty(&fault->groups));
	mutex_destroy(&fault->mutex);
}

static const struct iommufd_object_ops iommufd_fault_ops = {
	.kind = IOMMUFD_FAULT,
	.destroy = iommufd_fault_destroy,
};

/**
 * iommufd_fault_begin - make a fault queue without a file
 * @ictx: the file of /dev/iommu
 *
 * Context: Process context, may sleep.
 * Return: the queue, not published, or an ERR_PTR: -ENOMEM, -ENOSPC.
 */
struct iommufd_fault *iommufd_fault_begin(struct iommufd_ctx *ictx)
{
	struct iommufd_fault *fault;

	fault = iommufd_object_begin(ictx, struct iommufd_fault,
				     &iommufd_fault_ops);
	if (IS_ERR(fault))
		return fault;

	mutex_init(&fault->mutex);
	xa_init_flags(&fault->groups, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	init_waitqueue_head(&fault->readers);
	return fault;
}

/* -- in -- */

static bool iommufd_fault_takes(const struct iommufd_fault *fault,
				struct iopf_group *group)
{
	lockdep_assert_held(&fault->groups.xa_lock);

	return !fault->is_closed &&
	       iommufd_attachment_source(iommufd_group_attachment(group),
					 group->fault_param->dev);
}

/* The slot is there, so no store needs memory. */
static bool __iommufd_fault_queue(struct iommufd_fault *fault,
				  struct iopf_group *group)
{
	struct xarray *groups = &fault->groups;
	bool is_taken;

	xa_lock(groups);
	is_taken = iommufd_fault_takes(fault, group);
	if (is_taken) {
		WARN_ON(xa_is_err(__xa_store(groups, group->cookie, group, 0)));
		__xa_set_mark(groups, group->cookie, IOMMUFD_FAULT_UNREAD);
	} else {
		__xa_erase(groups, group->cookie);
	}
	xa_unlock(groups);
	return is_taken;
}

static void iommufd_fault_wake(struct iommufd_fault *fault)
{
	wake_up_interruptible_poll(&fault->readers, EPOLLIN | EPOLLRDNORM);
}

/**
 * iommufd_fault_queue - queue a group of faults
 * @fault: the queue, held by the caller
 * @group: off the core's list
 *
 * Context: Process context, may sleep.
 * Return: true if it is queued, and can be gone; false if it is still the caller's,
 * since its device has left, the file is closed, or for want of memory.
 */
bool iommufd_fault_queue(struct iommufd_fault *fault, struct iopf_group *group)
{
	int rc;

	rc = xa_alloc_cyclic(&fault->groups, &group->cookie, NULL,
			     IOMMUFD_COOKIE_LIMIT, &fault->next_cookie,
			     GFP_KERNEL);
	if (rc < 0 || !__iommufd_fault_queue(fault, group))
		return false;
	iommufd_fault_wake(fault);
	return true;
}

/* -- out -- */

static u32 iommufd_group_dev_id(struct iopf_group *group)
{
	struct iommufd_fault_source *source;

	source = iommufd_attachment_source(iommufd_group_attachment(group),
					   group->fault_param->dev);
	/* A source takes its groups with it when it goes. */
	return WARN_ON(!source) ? 0 : source->id;
}

static void iommufd_fault_fill(struct iommufd_fault_batch *batch,
			       struct iopf_group *group)
{
	struct iommu_hwpt_pgfault *record = batch->records;
	u32 dev_id = iommufd_group_dev_id(group);
	struct iopf_fault *iopf;

	static_assert(sizeof(*record) == 7 * sizeof(u32) + sizeof(u64) +
					 sizeof(record->cookie),
		      "no bytes between the members");

	list_for_each_entry(iopf, &group->faults, list) {
		const struct iommu_fault_page_request *prm = &iopf->fault.prm;

		*record++ = (struct iommu_hwpt_pgfault){
			.flags = prm->flags & (IOMMU_PGFAULT_FLAGS_PASID_VALID |
					       IOMMU_PGFAULT_FLAGS_LAST_PAGE),
			.dev_id = dev_id,
			.pasid = prm->pasid,
			.grpid = prm->grpid,
			.perm = prm->perm,
			.addr = prm->addr,
			.cookie = group->cookie,
		};
	}
	batch->cookie = group->cookie;
}

/**
 * iommufd_fault_has_unread - is there anything to read?
 * @fault: the queue
 *
 * Context: Any.
 * Return: whether there is.
 */
bool iommufd_fault_has_unread(struct iommufd_fault *fault)
{
	return xa_marked(&fault->groups, IOMMUFD_FAULT_UNREAD);
}

/**
 * iommufd_fault_take - read the first group that is not read yet
 * @fault: the queue
 * @batch: written: @nr_records; if there is room for them, all of the group
 *
 * Context: Process context.
 * Return: 0, with @nr_records 0 if there is no group; -ENOSPC if there is not enough
 * room: then nothing has happened.
 */
int iommufd_fault_take(struct iommufd_fault *fault,
		       struct iommufd_fault_batch *batch)
{
	struct xarray *groups = &fault->groups;
	struct iopf_group *group;
	unsigned long cookie = 0;
	int rc = 0;

	xa_lock(groups);
	group = xa_find(groups, &cookie, ULONG_MAX, IOMMUFD_FAULT_UNREAD);
	batch->nr_records = group ? group->fault_count : 0;
	if (batch->nr_records > batch->room) {
		rc = -ENOSPC;
	} else if (group) {
		iommufd_fault_fill(batch, group);
		__xa_clear_mark(groups, cookie, IOMMUFD_FAULT_UNREAD);
	}
	xa_unlock(groups);
	return rc;
}

/**
 * iommufd_fault_untake - undo iommufd_fault_take()
 * @fault: the queue
 * @cookie: of the group, which can be gone
 *
 * Context: Process context.
 */
void iommufd_fault_untake(struct iommufd_fault *fault, u32 cookie)
{
	/* Nothing happens where nothing is stored. */
	xa_set_mark(&fault->groups, cookie, IOMMUFD_FAULT_UNREAD);
	iommufd_fault_wake(fault);
}

/* -- answers -- */

static void iommufd_group_answer(struct iommufd_fault *fault,
				 struct iopf_group *group,
				 enum iommu_page_response_code code)
{
	lockdep_assert_held(&fault->mutex);

	iopf_group_response(group, code);
	iopf_free_group(group);
}

/* Return: the group, the caller's now, or NULL if user space cannot know it. */
static struct iopf_group *iommufd_fault_remove(struct iommufd_fault *fault,
					       u32 cookie)
{
	struct xarray *groups = &fault->groups;
	struct iopf_group *group = NULL;

	lockdep_assert_held(&fault->mutex);

	xa_lock(groups);
	if (!xa_get_mark(groups, cookie, IOMMUFD_FAULT_UNREAD)) {
		group = xa_load(groups, cookie);
		if (group)
			__xa_erase(groups, cookie);
	}
	xa_unlock(groups);
	return group;
}

/**
 * iommufd_fault_answer - answer a group of faults for user space
 * @fault: the queue
 * @response: what user space says
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL for a bad code, or a cookie without a group that was read and
 * not answered.
 */
int iommufd_fault_answer(struct iommufd_fault *fault,
			 const struct iommu_hwpt_page_response *response)
{
	struct iopf_group *group;

	if (response->code != IOMMUFD_PAGE_RESP_SUCCESS &&
	    response->code != IOMMUFD_PAGE_RESP_INVALID)
		return -EINVAL;

	guard(mutex)(&fault->mutex);
	group = iommufd_fault_remove(fault, response->cookie);
	if (!group)
		return -EINVAL;
	iommufd_group_answer(fault, group, response->code);
	return 0;
}

static bool iommufd_group_is_from(struct iopf_group *group,
				  struct iommufd_attachment *attachment,
				  const struct device *dev)
{
	return iommufd_group_attachment(group) == attachment &&
	       group->fault_param->dev == dev;
}

/* Those of a device, or all if @attachment is NULL. */
static void iommufd_fault_move(struct iommufd_fault *fault,
			       struct iommufd_attachment *attachment,
			       const struct device *dev, struct list_head *moved)
{
	struct iopf_group *group;
	unsigned long cookie;

	lockdep_assert_held(&fault->groups.xa_lock);

	xa_for_each(&fault->groups, cookie, group) {
		if (attachment && !iommufd_group_is_from(group, attachment, dev))
			continue;
		__xa_erase(&fault->groups, cookie);
		list_add_tail(&group->node, moved);
	}
}

static void iommufd_fault_answer_moved(struct iommufd_fault *fault,
				       struct list_head *moved)
{
	struct iopf_group *group, *next_group;

	list_for_each_entry_safe(group, next_group, moved, node)
		iommufd_group_answer(fault, group, IOMMU_PAGE_RESP_INVALID);
}

/**
 * iommufd_fault_dismiss - a device leaves: answer all that it has reported
 * @fault: the queue
 * @attachment: what it reported through
 * @dev: the device
 *
 * The answer is that the device shall not try again. On return, no answer to what
 * came through @attachment is under way, and nothing more is queued.
 *
 * Context: Process context, may sleep.
 * Return: what was known of the device, not in @attachment any more and the
 * caller's to free, or NULL if it had not joined.
 */
struct iommufd_fault_source *
iommufd_fault_dismiss(struct iommufd_fault *fault,
		      struct iommufd_attachment *attachment,
		      const struct device *dev)
{
	struct iommufd_fault_source *source;
	LIST_HEAD(moved);

	guard(mutex)(&fault->mutex);

	xa_lock(&fault->groups);
	source = iommufd_attachment_source(attachment, dev);
	if (source) {
		/* Together, for who reads a group looks the source up. */
		iommufd_fault_move(fault, attachment, dev, &moved);
		list_del(&source->item);
	}
	xa_unlock(&fault->groups);
	iommufd_fault_answer_moved(fault, &moved);
	return source;
}

/**
 * iommufd_fault_close - answer all there is, and whatever else comes
 * @fault: the queue; nobody can read or write any more
 *
 * Devices that wait for an answer would wait for ever otherwise.
 *
 * Context: Process context, may sleep.
 */
void iommufd_fault_close(struct iommufd_fault *fault)
{
	LIST_HEAD(moved);

	guard(mutex)(&fault->mutex);

	xa_lock(&fault->groups);
	fault->is_closed = true;
	iommufd_fault_move(fault, NULL, NULL, &moved);
	xa_unlock(&fault->groups);
	iommufd_fault_answer_moved(fault, &moved);
}
