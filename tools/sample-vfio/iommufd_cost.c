// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the access API costs its caller, who is in the kernel: an in-kernel user
 * that pins or copies a range piece by piece and takes the time, and does the
 * same without iommufd for comparison. tools/cost.sh uses it, where the clock
 * counts instructions. See iommufd_cost.h.
 */
#include <linux/cleanup.h>
#include <linux/fs.h>
#include <linux/iommufd.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "iommufd_cost.h"

/**
 * struct cost - one request being run
 * @request: what is wanted
 * @access: to do it with
 * @pages: of the range, once they are pinned
 * @buffer: the kernel's side of a copy
 * @rc: the first error
 */
struct cost {
	struct cost_request request;
	struct iommufd_access *access;
	struct page **pages;
	void *buffer;
	int rc;
};

/* One piece of the range. Return: 0 or -errno. */
typedef int (*cost_step)(struct cost *cost, unsigned long offset);

static struct page **cost_pages(struct cost *cost, unsigned long offset)
{
	return cost->pages + offset / PAGE_SIZE;
}

static int cost_nothing(struct cost *cost, unsigned long offset)
{
	return 0;
}

static int cost_pin(struct cost *cost, unsigned long offset)
{
	return iommufd_access_pin_pages(cost->access,
					cost->request.iova + offset,
					cost->request.piece,
					cost_pages(cost, offset),
					IOMMUFD_ACCESS_RW_WRITE);
}

static int cost_unpin(struct cost *cost, unsigned long offset)
{
	iommufd_access_unpin_pages(cost->access, cost->request.iova + offset,
				   cost->request.piece);
	return 0;
}

static int cost_bare_pin(struct cost *cost, unsigned long offset)
{
	long npages = cost->request.piece / PAGE_SIZE;
	long pinned;

	pinned = pin_user_pages_fast(cost->request.uptr + offset, npages,
				     FOLL_LONGTERM | FOLL_WRITE,
				     cost_pages(cost, offset));
	if (pinned == npages)
		return 0;
	if (pinned > 0)
		unpin_user_pages(cost_pages(cost, offset), pinned);
	return -EFAULT;
}

static int cost_bare_unpin(struct cost *cost, unsigned long offset)
{
	unpin_user_pages(cost_pages(cost, offset),
			 cost->request.piece / PAGE_SIZE);
	return 0;
}

static int cost_bare_unpin_dirty(struct cost *cost, unsigned long offset)
{
	unpin_user_pages_dirty_lock(cost_pages(cost, offset),
				    cost->request.piece / PAGE_SIZE, true);
	return 0;
}

static unsigned int cost_rw_flags(struct cost *cost)
{
	return cost->request.flags & COST_KTHREAD ?
		       IOMMUFD_ACCESS_RW_KTHREAD : 0;
}

static int cost_load(struct cost *cost, unsigned long offset)
{
	return iommufd_access_rw(cost->access, cost->request.iova + offset,
				 cost->buffer, cost->request.piece,
				 IOMMUFD_ACCESS_RW_READ | cost_rw_flags(cost));
}

static int cost_store(struct cost *cost, unsigned long offset)
{
	return iommufd_access_rw(cost->access, cost->request.iova + offset,
				 cost->buffer, cost->request.piece,
				 IOMMUFD_ACCESS_RW_WRITE | cost_rw_flags(cost));
}

static int cost_bare_load(struct cost *cost, unsigned long offset)
{
	struct page **pages = cost_pages(cost, offset);

	for (unsigned long at = 0; at != cost->request.piece; at += PAGE_SIZE)
		memcpy(cost->buffer + at, page_address(*pages++), PAGE_SIZE);
	return 0;
}

static int cost_bare_store(struct cost *cost, unsigned long offset)
{
	struct page **pages = cost_pages(cost, offset);

	for (unsigned long at = 0; at != cost->request.piece; at += PAGE_SIZE)
		memcpy(page_address(*pages++), cost->buffer + at, PAGE_SIZE);
	return 0;
}

static int cost_user_load(struct cost *cost, unsigned long offset)
{
	return copy_from_user(cost->buffer,
			      u64_to_user_ptr(cost->request.uptr + offset),
			      cost->request.piece) ? -EFAULT : 0;
}

static int cost_user_store(struct cost *cost, unsigned long offset)
{
	return copy_to_user(u64_to_user_ptr(cost->request.uptr + offset),
			    cost->buffer, cost->request.piece) ? -EFAULT : 0;
}

/**
 * struct cost_kind - how an operation is run
 * @make: done to all pieces of the range
 * @undo: then this is
 * @pins_bare: the range is pinned without iommufd meanwhile
 */
struct cost_kind {
	cost_step make;
	cost_step undo;
	bool pins_bare;
};

static const struct cost_kind cost_kinds[] = {
	[COST_PIN] = { cost_pin, cost_unpin },
	[COST_BARE_PIN] = { cost_bare_pin, cost_bare_unpin },
	[COST_BARE_PIN_DIRTY] = { cost_bare_pin, cost_bare_unpin_dirty },
	[COST_COPY] = { cost_load, cost_store },
	[COST_BARE_COPY] = { cost_bare_load, cost_bare_store, true },
	[COST_USER_COPY] = { cost_user_load, cost_user_store },
};

/* Return: the bytes done before the first error. */
static unsigned long cost_for_each(struct cost *cost, unsigned long length,
				   cost_step step)
{
	unsigned long offset;
	int rc = 0;

	for (offset = 0; offset != length; offset += cost->request.piece) {
		rc = step(cost, offset);
		if (rc)
			break;
	}
	cost->rc = cost->rc ?: rc;
	return offset;
}

static u64 cost_time(struct cost *cost, unsigned long *length, cost_step step)
{
	u64 begin = ktime_get_raw_ns(), between, end;

	cost_for_each(cost, *length, cost_nothing);
	between = ktime_get_raw_ns();
	*length = cost_for_each(cost, *length, step);
	end = ktime_get_raw_ns();
	return end - between - (between - begin);
}

static void cost_count(struct cost *cost)
{
	const struct cost_kind *kind = &cost_kinds[cost->request.op];
	unsigned long length = cost->request.length;

	/* What was not pinned is not unpinned, hence @length is cut. */
	cost->request.make_ns = cost_time(cost, &length, kind->make);
	cost->request.undo_ns = cost_time(cost, &length, kind->undo);
}

static long cost_job(void *arg)
{
	cost_count(arg);
	return 0;
}

/* Prepare what the pieces need, count, and undo it. */
static void cost_run(struct cost *cost)
{
	const struct cost_kind *kind = &cost_kinds[cost->request.op];
	bool holds = cost->request.flags & COST_HOLD;
	unsigned long length = cost->request.length;
	cost_step pin = kind->pins_bare ? cost_bare_pin : cost_pin;
	cost_step unpin = kind->pins_bare ? cost_bare_unpin : cost_unpin;

	if (holds || kind->pins_bare)
		length = cost_for_each(cost, length, pin);
	if (!cost->rc && cost->request.flags & COST_KTHREAD)
		work_on_cpu(0, cost_job, cost);
	else if (!cost->rc)
		cost_count(cost);
	if (holds || kind->pins_bare)
		cost_for_each(cost, length, unpin);
}

/* Nothing is unmapped while a request runs. */
static void cost_unmap(void *data, unsigned long iova, unsigned long length)
{
}

static const struct iommufd_access_ops cost_access_ops = {
	.needs_pin_pages = 1,
	.unmap = cost_unmap,
};

static int cost_run_attached(struct cost *cost, struct iommufd_ctx *ictx)
{
	u32 id;
	int rc;

	cost->access = iommufd_access_create(ictx, &cost_access_ops, cost, &id);
	if (IS_ERR(cost->access))
		return PTR_ERR(cost->access);
	rc = iommufd_access_attach(cost->access, cost->request.ioas_id);
	if (!rc) {
		cost_run(cost);
		rc = cost->rc;
	}
	iommufd_access_destroy(cost->access);
	return rc;
}

static bool cost_is_valid(const struct cost_request *request)
{
	if (request->op >= ARRAY_SIZE(cost_kinds) || !request->piece ||
	    !request->length || request->length > COST_MAX_LENGTH)
		return false;
	if (request->op >= COST_COPY && request->piece > COST_MAX_COPY)
		return false;
	return PAGE_ALIGNED(request->iova | request->uptr | request->piece) &&
	       !(request->length % request->piece);
}

static int cost_start(struct cost *cost)
{
	size_t npages = cost->request.length / PAGE_SIZE;
	struct page **pages __free(kvfree) = NULL;
	void *buffer __free(kvfree) = NULL;
	struct iommufd_ctx *ictx;
	int rc;

	pages = kvmalloc_array(npages, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	buffer = kvzalloc(COST_MAX_COPY, GFP_KERNEL_ACCOUNT);
	if (!pages || !buffer)
		return -ENOMEM;
	cost->pages = pages;
	cost->buffer = buffer;
	ictx = iommufd_ctx_from_fd(cost->request.iommufd);
	if (IS_ERR(ictx))
		return PTR_ERR(ictx);
	rc = cost_run_attached(cost, ictx);
	iommufd_ctx_put(ictx);
	return rc;
}

static long cost_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct cost cost = {};
	int rc;

	if (cmd != COST_RUN)
		return -ENOTTY;
	if (copy_from_user(&cost.request, uarg, sizeof(cost.request)))
		return -EFAULT;
	if (!cost_is_valid(&cost.request))
		return -EINVAL;
	rc = cost_start(&cost);
	if (rc)
		return rc;
	return copy_to_user(uarg, &cost.request, sizeof(cost.request)) ?
		       -EFAULT : 0;
}

static const struct file_operations cost_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = cost_ioctl,
};

static struct miscdevice cost_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &cost_fops,
	.mode = 0600,
};
module_misc_device(cost_device);

MODULE_IMPORT_NS(IOMMUFD);
MODULE_DESCRIPTION("What in-kernel users of iommufd pay");
MODULE_LICENSE("GPL");
