// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sample of an emulated VFIO device: there is no hardware, and the driver
 * reaches the memory of its user with the CPU, through vfio_pin_pages() and
 * vfio_dma_rw(). It does what user space tells it to, see iommufd_sample.h.
 *
 * A device is made and removed like any mediated device:
 *
 *   cd /sys/devices/platform/iommufd_sample/mdev_supported_types
 *   echo $UUID >platform-sample/create
 *   echo 1 >/sys/bus/mdev/devices/$UUID/remove
 *
 * Its regions are few and fixed, so there is no ioctl to ask for them.
 */
#include <linux/cleanup.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "iommufd_sample.h"

#define SAMPLE_MAX_DEVICES	8

/**
 * struct sample - one device
 * @vdev: the device as VFIO knows it; has to be the first member
 * @mutex: guards what follows. Held while pinning, and taken in dma_unmap: an
 *	unmap must not wait for a pin that waits for the unmap
 * @pins: the pinned pages, by IOVA / PAGE_SIZE
 * @state: for user space
 * @mode: of enum sample_mode
 * @memory: the device's
 */
struct sample {
	struct vfio_device vdev;
	struct mutex mutex; /* pins, state, mode, memory */
	struct xarray pins;
	struct sample_state state;
	u32 mode;
	u8 memory[SAMPLE_MEMORY_BYTES];
};

static struct sample *to_sample(struct vfio_device *vdev)
{
	return container_of(vdev, struct sample, vdev);
}

static unsigned long sample_last_index(u64 iova, u64 length)
{
	return (iova + (length - 1)) / PAGE_SIZE;
}

static void sample_unpin_run(struct sample *sample, unsigned long index,
			     unsigned long npages)
{
	if (npages)
		vfio_unpin_pages(&sample->vdev, index * PAGE_SIZE, npages);
	sample->state.pinned_pages -= npages;
}

/*
 * Unpin what is pinned in a range, pages that follow each other in one call:
 * drivers do not keep what they pinned in the pieces they pinned it in.
 */
static void sample_unpin(struct sample *sample, u64 iova, u64 length)
{
	unsigned long last_index = sample_last_index(iova, length);
	unsigned long index, run = 0, npages = 0;
	struct page *page;

	lockdep_assert_held(&sample->mutex);

	xa_for_each_range(&sample->pins, index, page, iova / PAGE_SIZE,
			  last_index) {
		xa_erase(&sample->pins, index);
		if (index != run + npages) {
			sample_unpin_run(sample, run, npages);
			run = index;
			npages = 0;
		}
		npages++;
	}
	sample_unpin_run(sample, run, npages);
}

/* Pages that were pinned are kept by their IOVA, or unpinned. */
static int sample_keep(struct sample *sample, unsigned long index,
		       struct page **pages, unsigned long npages)
{
	int rc = 0;

	for (unsigned long i = 0; !rc && i < npages; i++)
		rc = xa_err(xa_store(&sample->pins, index + i, pages[i],
				     GFP_KERNEL));
	sample->state.pinned_pages += npages;
	if (!rc)
		return 0;
	for (unsigned long i = 0; i < npages; i++)
		xa_erase(&sample->pins, index + i);
	sample_unpin_run(sample, index, npages);
	return rc;
}

static int sample_pin(struct sample *sample,
		      const struct sample_command *command)
{
	unsigned long index = command->iova / PAGE_SIZE, found = index;
	unsigned long last_index = sample_last_index(command->iova,
						     command->length);
	unsigned long npages = last_index - index + 1;
	int prot = command->flags & SAMPLE_READ_ONLY ?
		   IOMMU_READ : IOMMU_READ | IOMMU_WRITE;
	struct page **pages __free(kvfree) = NULL;
	int rc;

	if (npages > SAMPLE_MAX_PIN_PAGES)
		return -E2BIG;
	if (xa_find(&sample->pins, &found, last_index, XA_PRESENT))
		return -EEXIST;
	pages = kvmalloc_array(npages, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	rc = vfio_pin_pages(&sample->vdev, command->iova, npages, prot, pages);
	if (rc < 0)
		return rc;
	return sample_keep(sample, index, pages, npages);
}

/* Copy between the device's memory and pinned pages. */
static int sample_copy_pinned(struct sample *sample,
			      const struct sample_command *command)
{
	u64 iova = command->iova;
	unsigned long done, step;
	struct page *page;

	for (done = 0; done < command->length; done += step, iova += step) {
		step = min_t(u64, command->length - done,
			     PAGE_SIZE - offset_in_page(iova));
		page = xa_load(&sample->pins, iova / PAGE_SIZE);
		if (!page)
			return -ENOENT;
		if (command->op == SAMPLE_POKE)
			memcpy_to_page(page, offset_in_page(iova),
				       sample->memory + done, step);
		else
			memcpy_from_page(sample->memory + done, page,
					 offset_in_page(iova), step);
	}
	return 0;
}

static int sample_copy(struct sample *sample,
		       const struct sample_command *command)
{
	if (command->length > SAMPLE_MEMORY_BYTES)
		return -E2BIG;
	switch (command->op) {
	case SAMPLE_LOAD:
	case SAMPLE_STORE:
		return vfio_dma_rw(&sample->vdev, command->iova, sample->memory,
				   command->length,
				   command->op == SAMPLE_STORE);
	case SAMPLE_PEEK:
	case SAMPLE_POKE:
		return sample_copy_pinned(sample, command);
	}
	return -EINVAL;
}

static int sample_run(struct sample *sample,
		      const struct sample_command *command)
{
	if (!command->length && command->op != SAMPLE_SET_MODE)
		return -EINVAL;
	switch (command->op) {
	case SAMPLE_PIN:
		return sample_pin(sample, command);
	case SAMPLE_UNPIN:
		sample_unpin(sample, command->iova, command->length);
		return 0;
	case SAMPLE_SET_MODE:
		sample->mode = command->flags;
		return 0;
	default:
		return sample_copy(sample, command);
	}
}

struct sample_job {
	struct sample *sample;
	const struct sample_command *command;
};

static long sample_do_job(void *arg)
{
	struct sample_job *job = arg;

	return sample_run(job->sample, job->command);
}

static ssize_t sample_take_command(struct sample *sample,
				   const char __user *from, size_t count)
{
	struct sample_command command;
	struct sample_job job = { sample, &command };
	int rc;

	if (count != sizeof(command))
		return -EINVAL;
	if (copy_from_user(&command, from, sizeof(command)))
		return -EFAULT;

	guard(mutex)(&sample->mutex);

	if (command.op != SAMPLE_SET_MODE && command.flags & SAMPLE_KTHREAD)
		rc = work_on_cpu(0, sample_do_job, &job);
	else
		rc = sample_do_job(&job);
	return rc ?: count;
}

static ssize_t sample_write(struct vfio_device *vdev, const char __user *from,
			    size_t count, loff_t *ppos)
{
	struct sample *sample = to_sample(vdev);
	loff_t pos = *ppos - SAMPLE_MEMORY_OFFSET;

	if (*ppos == SAMPLE_COMMAND_OFFSET)
		return sample_take_command(sample, from, count);

	guard(mutex)(&sample->mutex);

	return simple_write_to_buffer(sample->memory, SAMPLE_MEMORY_BYTES, &pos,
				      from, count);
}

static ssize_t sample_read(struct vfio_device *vdev, char __user *to,
			   size_t count, loff_t *ppos)
{
	struct sample *sample = to_sample(vdev);
	loff_t pos = *ppos - SAMPLE_MEMORY_OFFSET;

	guard(mutex)(&sample->mutex);

	if (*ppos == SAMPLE_COMMAND_OFFSET) {
		pos = 0;
		return simple_read_from_buffer(to, count, &pos, &sample->state,
					       sizeof(sample->state));
	}
	return simple_read_from_buffer(to, count, &pos, sample->memory,
				       SAMPLE_MEMORY_BYTES);
}

/* The range need not be pinned, nor be one that PIN was called with. */
static void sample_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct sample *sample = to_sample(vdev);

	guard(mutex)(&sample->mutex);

	sample->state.unmaps++;
	if (!(sample->mode & SAMPLE_HOLD))
		sample_unpin(sample, iova, length);
}

static int sample_open_device(struct vfio_device *vdev)
{
	struct sample *sample = to_sample(vdev);

	guard(mutex)(&sample->mutex);

	WARN_ON(!xa_empty(&sample->pins));
	memset(&sample->state, 0, sizeof(sample->state));
	memset(sample->memory, 0, sizeof(sample->memory));
	sample->mode = 0;
	return 0;
}

/* VFIO detaches the device after this, and then dma_unmap is called. */
static void sample_close_device(struct vfio_device *vdev)
{
	struct sample *sample = to_sample(vdev);

	guard(mutex)(&sample->mutex);

	sample->mode &= ~SAMPLE_HOLD;
	if (!(sample->mode & SAMPLE_LEAVE))
		sample_unpin(sample, 0, U64_MAX);
}

static int sample_init_device(struct vfio_device *vdev)
{
	struct sample *sample = to_sample(vdev);

	mutex_init(&sample->mutex);
	xa_init(&sample->pins);
	return 0;
}

static const struct vfio_device_ops sample_ops = {
	.name = KBUILD_MODNAME,
	.init = sample_init_device,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	.open_device = sample_open_device,
	.close_device = sample_close_device,
	.read = sample_read,
	.write = sample_write,
	.dma_unmap = sample_dma_unmap,
};

static int sample_probe(struct mdev_device *mdev)
{
	struct sample *sample;
	int rc;

	sample = vfio_alloc_device(sample, vdev, &mdev->dev, &sample_ops);
	if (IS_ERR(sample))
		return PTR_ERR(sample);
	dev_set_drvdata(&mdev->dev, sample);
	rc = vfio_register_emulated_iommu_dev(&sample->vdev);
	if (rc)
		vfio_put_device(&sample->vdev);
	return rc;
}

static void sample_remove(struct mdev_device *mdev)
{
	struct sample *sample = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&sample->vdev);
	vfio_put_device(&sample->vdev);
}

static struct mdev_driver sample_driver = {
	.device_api = VFIO_DEVICE_API_PLATFORM_STRING,
	.max_instances = SAMPLE_MAX_DEVICES,
	.probe = sample_probe,
	.remove = sample_remove,
	.driver = {
		.name = KBUILD_MODNAME,
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

static struct mdev_type sample_type = {
	.sysfs_name = "sample",
	.pretty_name = "device that does what it is told to with memory",
};

static struct mdev_type *sample_types[] = { &sample_type };
static struct platform_device *sample_parent_device;
static struct mdev_parent sample_parent;

static int __init sample_init(void)
{
	int rc;

	rc = mdev_register_driver(&sample_driver);
	if (rc)
		return rc;
	sample_parent_device =
		platform_device_register_simple(KBUILD_MODNAME,
						PLATFORM_DEVID_NONE, NULL, 0);
	rc = PTR_ERR_OR_ZERO(sample_parent_device);
	if (rc)
		goto unregister_driver;
	rc = mdev_register_parent(&sample_parent, &sample_parent_device->dev,
				  &sample_driver, sample_types,
				  ARRAY_SIZE(sample_types));
	if (!rc)
		return 0;
	platform_device_unregister(sample_parent_device);
unregister_driver:
	mdev_unregister_driver(&sample_driver);
	return rc;
}
module_init(sample_init);

static void __exit sample_exit(void)
{
	mdev_unregister_parent(&sample_parent);
	platform_device_unregister(sample_parent_device);
	mdev_unregister_driver(&sample_driver);
}
module_exit(sample_exit);

MODULE_DESCRIPTION("Sample of an emulated VFIO device");
MODULE_LICENSE("GPL");
