// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor that mapping can be measured against: what it costs to pin memory, to
 * have the IOMMU driver map it with one flush at the end, to unmap it again with
 * one, and to unpin it. There is nothing else: no IOVA is looked for, nothing is
 * charged, nothing can be split, shared or asked for. It trusts its user, and it
 * knows VT-d: that driver takes a whole run in one call and finds the largest leaves
 * by itself, and unmaps a range of any leaves in one call.
 *
 * It remembers what it has pinned where that is a few runs. Where most pages are a
 * run of their own it does not, as that would be a second page table: they are read
 * back from the one there is.
 *
 * A device that comes later gets a page table of its own. It is filled before the
 * device has it, so there is no flush, and freed with all that is in it when the
 * device does not have it any more: VT-d's driver takes that out by itself, and has
 * flushed the IOTLB by then.
 *
 * For tools/bench.sh. See iommufd_floor.h.
 */
#include <linux/cleanup.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "iommufd_floor.h"

#define FLOOR_MAX_RUNS	(FLOOR_MAX_LENGTH / PAGE_SIZE)

/* Pages pinned in one call. */
#define FLOOR_BATCH	8192UL

/**
 * struct floor_run - pages that follow each other in physical memory
 * @page: the first
 * @npages: how many
 */
struct floor_run {
	struct page *page;
	unsigned long npages;
};

/**
 * struct floor - an open file
 * @mutex: guards the rest
 * @pdev: the device, or NULL
 * @domain: its page table
 * @claimed: the second device, whose DMA we own, or NULL
 * @group: the IOMMU group of that
 * @joined: its page table, or NULL
 * @range: what is mapped
 * @second: where it is mapped a second time
 * @guard: a page that is mapped as well, or NULL
 * @is_shown: it is mapped a second time
 * @is_alone: only @joined has what is pinned
 * @forgets: @runs are to be read back
 * @batch: pages just pinned
 * @runs: of what is pinned
 * @nr_runs: how many; 0: nothing is mapped
 */
struct floor {
	struct mutex mutex; /* all of it */
	struct pci_dev *pdev;
	struct iommu_domain *domain;
	struct pci_dev *claimed;
	struct iommu_group *group;
	struct iommu_domain *joined;
	struct floor_range range;
	struct floor_range second;
	struct page *guard;
	bool is_shown;
	bool is_alone;
	bool forgets;
	struct page **batch;
	struct floor_run *runs;
	unsigned long nr_runs;
};

/* Add pages to the runs. */
static void floor_add(struct floor *floor, unsigned long npages)
{
	struct floor_run *run = floor->runs + floor->nr_runs;
	struct page **page = floor->batch, **end = page + npages;

	if (floor->nr_runs)
		run--;
	else
		floor->nr_runs = 1;
	while (page != end) {
		struct page *next = run->page + run->npages;
		struct page **first = page;

		/* Four at a time: most of what mapping huge pages costs is here. */
		while (end - page >= 4 && page[0] == next && page[1] == next + 1 &&
		       page[2] == next + 2 && page[3] == next + 3) {
			page += 4;
			next += 4;
		}
		while (page != end && *page == next) {
			page++;
			next++;
		}
		run->npages += page - first;
		if (page == end)
			break;
		/* The very first run has no pages yet. */
		if (run->npages) {
			run++;
			floor->nr_runs++;
		}
		run->page = *page++;
		run->npages = 1;
	}
}

static void floor_unpin(struct floor *floor)
{
	struct floor_run *run = floor->runs;

	for (; floor->nr_runs; floor->nr_runs--, run++)
		unpin_user_page_range_dirty_lock(run->page, run->npages, true);
}

static int floor_pin(struct floor *floor)
{
	unsigned long uptr = floor->range.uptr;
	unsigned long npages = floor->range.length / PAGE_SIZE;

	floor->runs->page = NULL;
	floor->runs->npages = 0;
	while (npages) {
		long pinned = pin_user_pages_fast(uptr, min(npages, FLOOR_BATCH),
						  FOLL_LONGTERM | FOLL_WRITE,
						  floor->batch);

		if (pinned <= 0) {
			floor_unpin(floor);
			return pinned ?: -EFAULT;
		}
		floor_add(floor, pinned);
		uptr += pinned * PAGE_SIZE;
		npages -= pinned;
	}
	floor->forgets = floor->nr_runs > floor->range.length / PAGE_SIZE / 2;
	return 0;
}

/* What a page table has, as runs again. */
static void floor_read_back(struct floor *floor, struct iommu_domain *domain)
{
	unsigned long iova = floor->range.iova;
	struct floor_run *run = floor->runs;
	unsigned long npages;

	run->npages = 0;
	for (npages = floor->range.length / PAGE_SIZE; npages; npages--) {
		phys_addr_t phys = domain->ops->iova_to_phys(domain, iova);
		struct page *page = pfn_to_page(PHYS_PFN(phys));

		if (run->npages && page == run->page + run->npages) {
			run->npages++;
		} else {
			if (run->npages)
				run++;
			run->page = page;
			run->npages = 1;
		}
		iova += PAGE_SIZE;
	}
	floor->nr_runs = run - floor->runs + 1;
}

static void floor_take_out(struct iommu_domain *domain, unsigned long iova,
			   unsigned long length)
{
	struct iommu_iotlb_gather gather;
	size_t unmapped;

	iommu_iotlb_gather_init(&gather);
	unmapped = domain->ops->unmap_pages(domain, iova, PAGE_SIZE,
					    length / PAGE_SIZE, &gather);
	iommu_iotlb_sync(domain, &gather);
	WARN_ON(unmapped != length);
}

static void floor_unmap(struct floor *floor)
{
	if (floor->forgets)
		floor_read_back(floor, floor->domain);
	floor_take_out(floor->domain, floor->range.iova, floor->range.length);
	floor_unpin(floor);
}

static void floor_hide(struct floor *floor)
{
	floor_take_out(floor->domain, floor->second.iova, floor->range.length);
	floor->is_shown = false;
}

static int floor_put_runs(struct floor *floor, struct iommu_domain *domain,
			  unsigned long iova, unsigned long *done)
{
	unsigned long i;

	for (i = 0; i < floor->nr_runs; i++) {
		const struct floor_run *run = &floor->runs[i];
		size_t mapped = 0;
		int rc;

		rc = domain->ops->map_pages(domain, iova + *done,
					    page_to_phys(run->page), PAGE_SIZE,
					    run->npages,
					    IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE,
					    GFP_KERNEL_ACCOUNT, &mapped);
		if (rc)
			return rc;
		*done += mapped;
	}
	return 0;
}

static int floor_put_in(struct floor *floor, unsigned long iova)
{
	struct iommu_domain *domain = floor->domain;
	unsigned long done = 0;
	int rc;

	rc = floor_put_runs(floor, domain, iova, &done);
	if (!rc && domain->ops->iotlb_sync_map)
		rc = domain->ops->iotlb_sync_map(domain, iova, done);
	if (rc && done)
		floor_take_out(domain, iova, done);
	return rc;
}

static int floor_map(struct floor *floor)
{
	int rc = floor_pin(floor);

	if (rc)
		return rc;
	rc = floor_put_in(floor, floor->range.iova);
	if (rc)
		floor_unpin(floor);
	return rc;
}

static int floor_show(struct floor *floor)
{
	int rc;

	if (floor->forgets)
		floor_read_back(floor, floor->domain);
	rc = floor_put_in(floor, floor->second.iova);
	floor->is_shown = !rc;
	return rc;
}

/* Of the kind that the driver makes for user space. */
static struct iommu_domain *floor_alloc_domain(struct device *dev)
{
	const struct iommu_ops *ops = dev->iommu->iommu_dev->ops;
	struct iommu_domain *domain;

	if (!ops->domain_alloc_user)
		return ERR_PTR(-EOPNOTSUPP);
	domain = ops->domain_alloc_user(dev, 0, NULL, NULL);
	if (!IS_ERR(domain))
		domain->owner = ops;
	return domain;
}

static int floor_fill(struct floor *floor, struct iommu_domain *domain,
		      unsigned long iova)
{
	unsigned long done = 0;
	int rc = floor_put_runs(floor, domain, iova, &done);

	return rc ?: iommu_attach_group(domain, floor->group);
}

static int floor_join_pinned(struct floor *floor, unsigned long iova)
{
	struct iommu_domain *domain = floor_alloc_domain(&floor->claimed->dev);
	int rc;

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	rc = floor_fill(floor, domain, iova);
	if (rc) {
		iommu_domain_free(domain);
		return rc;
	}
	floor->joined = domain;
	return 0;
}

static int floor_join(struct floor *floor, const struct floor_range *range)
{
	int rc;

	floor->is_alone = !floor->nr_runs;
	if (!floor->is_alone) {
		if (floor->forgets)
			floor_read_back(floor, floor->domain);
		return floor_join_pinned(floor, range->iova);
	}
	floor->range = *range;
	rc = floor_pin(floor);
	if (rc)
		return rc;
	rc = floor_join_pinned(floor, range->iova);
	if (rc)
		floor_unpin(floor);
	return rc;
}

static int floor_leave(struct floor *floor)
{
	if (!floor->joined)
		return -ENOENT;
	iommu_detach_group(floor->joined, floor->group);
	if (floor->is_alone && floor->forgets)
		floor_read_back(floor, floor->joined);
	iommu_domain_free(floor->joined);
	floor->joined = NULL;
	if (floor->is_alone)
		floor_unpin(floor);
	return 0;
}

static int floor_guard(struct floor *floor, unsigned long iova)
{
	int rc;

	if (floor->guard)
		return -EBUSY;
	floor->guard = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!floor->guard)
		return -ENOMEM;
	rc = iommu_map(floor->domain, iova, page_to_phys(floor->guard), PAGE_SIZE,
		       IOMMU_READ | IOMMU_CACHE, GFP_KERNEL_ACCOUNT);
	if (rc) {
		__free_page(floor->guard);
		floor->guard = NULL;
	}
	return rc;
}

static void floor_detach(struct floor *floor)
{
	if (!floor->pdev)
		return;
	iommu_detach_device(floor->domain, &floor->pdev->dev);
	iommu_domain_free(floor->domain);
	pci_dev_put(floor->pdev);
	floor->pdev = NULL;
	if (floor->guard)
		__free_page(floor->guard);
}

static struct pci_dev *floor_find(const struct floor_device *device)
{
	return pci_get_domain_bus_and_slot(0, device->bus, device->devfn);
}

static void floor_unclaim(struct floor *floor)
{
	if (!floor->claimed)
		return;
	iommu_device_release_dma_owner(&floor->claimed->dev);
	iommu_group_put(floor->group);
	pci_dev_put(floor->claimed);
}

static int floor_claim(struct floor *floor, const struct floor_device *device)
{
	struct pci_dev *pdev;
	int rc;

	if (floor->claimed)
		return -EBUSY;
	pdev = floor_find(device);
	if (!pdev)
		return -ENODEV;
	rc = iommu_device_claim_dma_owner(&pdev->dev, floor);
	if (rc) {
		pci_dev_put(pdev);
		return rc;
	}
	floor->group = iommu_group_get(&pdev->dev);
	floor->claimed = pdev;
	return 0;
}

static int floor_attach(struct floor *floor, const struct floor_device *device)
{
	struct pci_dev *pdev;
	int rc;

	if (floor->pdev)
		return -EBUSY;
	pdev = floor_find(device);
	if (!pdev)
		return -ENODEV;
	floor->domain = iommu_paging_domain_alloc(&pdev->dev);
	rc = PTR_ERR_OR_ZERO(floor->domain);
	if (rc)
		goto put;
	rc = iommu_attach_device(floor->domain, &pdev->dev);
	if (rc)
		goto free;
	floor->pdev = pdev;
	return 0;
free:
	iommu_domain_free(floor->domain);
put:
	pci_dev_put(pdev);
	return rc;
}

/* Those that need something mapped. */
static int floor_undo(struct floor *floor, unsigned int cmd)
{
	bool shows = cmd == FLOOR_HIDE;

	if (!floor->nr_runs || floor->is_shown != shows || floor->joined)
		return -ENOENT;
	if (shows)
		floor_hide(floor);
	else
		floor_unmap(floor);
	return 0;
}

static bool floor_range_is_valid(const struct floor_range *range)
{
	return PAGE_ALIGNED(range->iova | range->uptr | range->length) &&
	       range->length && range->length <= FLOOR_MAX_LENGTH;
}

static int floor_do(struct floor *floor, unsigned int cmd,
		    const struct floor_range *range)
{
	bool is_mapped = cmd == FLOOR_SHOW;

	if (cmd == FLOOR_NOTHING)
		return 0;
	if (!floor->pdev || !floor_range_is_valid(range))
		return -EINVAL;
	if (cmd == FLOOR_GUARD)
		return floor_guard(floor, range->iova);
	if (cmd == FLOOR_JOIN)
		return floor->claimed && !floor->joined ?
			       floor_join(floor, range) : -ENOENT;
	if (floor->joined || floor->is_shown || !!floor->nr_runs != is_mapped)
		return -EBUSY;
	if (is_mapped) {
		floor->second = *range;
		return floor_show(floor);
	}
	floor->range = *range;
	return floor_map(floor);
}

static long floor_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct floor *floor = file->private_data;
	void __user *uarg = (void __user *)arg;
	struct floor_device device;
	struct floor_range range;

	guard(mutex)(&floor->mutex);

	switch (cmd) {
	case FLOOR_ATTACH:
	case FLOOR_CLAIM:
		if (copy_from_user(&device, uarg, sizeof(device)))
			return -EFAULT;
		return cmd == FLOOR_ATTACH ? floor_attach(floor, &device) :
					     floor_claim(floor, &device);
	case FLOOR_LEAVE:
		return floor_leave(floor);
	case FLOOR_UNMAP:
	case FLOOR_HIDE:
		return floor_undo(floor, cmd);
	case FLOOR_MAP:
	case FLOOR_SHOW:
	case FLOOR_GUARD:
	case FLOOR_JOIN:
	case FLOOR_NOTHING:
		if (copy_from_user(&range, uarg, sizeof(range)))
			return -EFAULT;
		return floor_do(floor, cmd, &range);
	}
	return -ENOTTY;
}

static void floor_free(struct floor *floor)
{
	kvfree(floor->batch);
	kvfree(floor->runs);
	kfree(floor);
}

static int floor_open(struct inode *inode, struct file *file)
{
	struct floor *floor = kzalloc(sizeof(*floor), GFP_KERNEL);

	if (!floor)
		return -ENOMEM;
	mutex_init(&floor->mutex);
	floor->batch = kvcalloc(FLOOR_BATCH, sizeof(*floor->batch), GFP_KERNEL);
	floor->runs = kvcalloc(FLOOR_MAX_RUNS, sizeof(*floor->runs), GFP_KERNEL);
	if (!floor->batch || !floor->runs) {
		floor_free(floor);
		return -ENOMEM;
	}
	file->private_data = floor;
	return 0;
}

static int floor_release(struct inode *inode, struct file *file)
{
	struct floor *floor = file->private_data;

	if (floor->joined)
		floor_leave(floor);
	if (floor->is_shown)
		floor_hide(floor);
	if (floor->nr_runs)
		floor_unmap(floor);
	floor_unclaim(floor);
	floor_detach(floor);
	floor_free(floor);
	return 0;
}

static const struct file_operations floor_fops = {
	.owner = THIS_MODULE,
	.open = floor_open,
	.release = floor_release,
	.unlocked_ioctl = floor_ioctl,
};

static struct miscdevice floor_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &floor_fops,
	.mode = 0600,
};
module_misc_device(floor_misc);

MODULE_DESCRIPTION("The least that mapping memory for devices can cost");
MODULE_LICENSE("GPL");
