// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of a fault queue: page faults are read from it, answers are written to
 * it.
 *
 * It uses the queue, and keeps the file of /dev/iommu open. No lock is held while
 * memory of the user is touched.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "fault.h"

static int iommufd_fault_grow(struct iommufd_fault_batch *batch)
{
	kvfree(batch->records);
	batch->capacity = 0;
	batch->records = kvmalloc_array(batch->nr_records,
					sizeof(*batch->records),
					GFP_KERNEL_ACCOUNT);
	if (!batch->records)
		return -ENOMEM;
	batch->capacity = batch->nr_records;
	return 0;
}

/* Return: 0; -EINVAL if the first group is of more records than may be; -ENOMEM. */
static int iommufd_fault_take_any(struct iommufd_fault *fault,
				  struct iommufd_fault_batch *batch,
				  size_t max_records)
{
	while (true) {
		int rc;

		batch->room = min(batch->capacity, max_records);
		rc = iommufd_fault_take(fault, batch);
		if (rc != -ENOSPC)
			return rc;
		if (batch->nr_records > max_records)
			return -EINVAL;
		rc = iommufd_fault_grow(batch);
		if (rc)
			return rc;
	}
}

/* Return: bytes, 0 if there is no group, or an error. */
static ssize_t iommufd_fault_read_group(struct iommufd_fault *fault,
					struct iommufd_fault_batch *batch,
					char __user *to, size_t count)
{
	size_t bytes;
	int rc;

	rc = iommufd_fault_take_any(fault, batch,
				    count / sizeof(*batch->records));
	if (rc)
		return rc;
	bytes = batch->nr_records * sizeof(*batch->records);
	if (bytes && copy_to_user(to, batch->records, bytes)) {
		iommufd_fault_untake(fault, batch->cookie);
		return -EFAULT;
	}
	return bytes;
}

static ssize_t iommufd_fault_read(struct file *file, char __user *to,
				  size_t count, loff_t *pos)
{
	struct iommufd_fault *fault = file->private_data;
	struct iommufd_fault_batch batch = {};
	size_t done = 0;
	ssize_t bytes;

	if (*pos || count % sizeof(*batch.records))
		return -ESPIPE;

	do {
		bytes = iommufd_fault_read_group(fault, &batch, to + done,
						 count - done);
		if (bytes > 0)
			done += bytes;
		cond_resched();
	} while (bytes > 0 && !fatal_signal_pending(current));

	kvfree(batch.records);
	return done ?: bytes;
}

static int iommufd_fault_write_one(struct iommufd_fault *fault,
				   const char __user *from)
{
	struct iommu_hwpt_page_response response;

	if (copy_from_user(&response, from, sizeof(response)))
		return -EFAULT;
	return iommufd_fault_answer(fault, &response);
}

static ssize_t iommufd_fault_write(struct file *file, const char __user *from,
				   size_t count, loff_t *pos)
{
	struct iommufd_fault *fault = file->private_data;
	size_t done = 0;

	if (*pos || count % sizeof(struct iommu_hwpt_page_response))
		return -ESPIPE;

	while (done < count && !fatal_signal_pending(current)) {
		int rc = iommufd_fault_write_one(fault, from + done);

		if (rc)
			return done ?: rc;
		done += sizeof(struct iommu_hwpt_page_response);
		cond_resched();
	}
	return done;
}

static __poll_t iommufd_fault_poll(struct file *file, poll_table *wait)
{
	struct iommufd_fault *fault = file->private_data;
	__poll_t events = EPOLLOUT;

	poll_wait(file, &fault->readers, wait);
	if (iommufd_fault_has_unread(fault))
		events |= EPOLLIN | EPOLLRDNORM;
	return events;
}

static int iommufd_fault_release(struct inode *inode, struct file *file)
{
	struct iommufd_fault *fault = file->private_data;
	struct iommufd_ctx *ictx;

	/* The ioctl has failed, and the queue is gone. */
	if (!fault)
		return 0;

	ictx = fault->obj.ictx;
	iommufd_fault_close(fault);
	fault->file = NULL;
	iommufd_object_unuse(&fault->obj);
	iommufd_ctx_put(ictx);
	return 0;
}

static const struct file_operations iommufd_fault_fops = {
	.owner = THIS_MODULE,
	.read = iommufd_fault_read,
	.write = iommufd_fault_write,
	.poll = iommufd_fault_poll,
	.release = iommufd_fault_release,
};

/*
 * Return: the file, which uses the queue and keeps the file of /dev/iommu open, or
 * an ERR_PTR.
 */
static struct file *iommufd_fault_open(struct iommufd_fault *fault)
{
	struct file *file;

	file = anon_inode_getfile("[iommufd-pgfault]", &iommufd_fault_fops,
				  fault, O_RDWR);
	if (IS_ERR(file))
		return file;

	iommufd_ctx_get(fault->obj.ictx);
	/* It is not retired: nobody else knows it. */
	WARN_ON(iommufd_object_use(&fault->obj));
	fault->file = file;
	return file;
}

static struct file *iommufd_fault_make(struct iommufd_ctx *ictx)
{
	struct iommufd_fault *fault;
	struct file *file;

	fault = iommufd_fault_begin(ictx);
	if (IS_ERR(fault))
		return ERR_CAST(fault);
	file = iommufd_fault_open(fault);
	if (IS_ERR(file))
		iommufd_object_abort(&fault->obj);
	return file;
}

/**
 * iommufd_ucmd_fault_alloc - handler of IOMMU_FAULT_QUEUE_ALLOC
 * @ucmd: the ioctl; the queue and its file wait in it for the answer to reach the
 *	user
 *
 * Context: Process context, may sleep.
 * Return: 0; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC.
 */
int iommufd_ucmd_fault_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_fault_alloc *cmd = ucmd->cmd;
	struct iommufd_fault *fault;
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = iommufd_fault_make(ucmd->ictx);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fault = file->private_data;
	ucmd->new_object = &fault->obj;
	ucmd->new_file = file;
	ucmd->new_fd = fd;
	cmd->out_fault_id = fault->obj.id;
	cmd->out_fault_fd = fd;
	return 0;
}
