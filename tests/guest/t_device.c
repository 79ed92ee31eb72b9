// SPDX-License-Identifier: GPL-2.0-only
/* Devices: bind, attach, groups, reserved regions, and what they share. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define IOVA		(16 * MIB)
#define MSI_WINDOW	0xfee00000UL
#define MSI_WINDOW_LAST	0xfeefffffUL

static void *touched(size_t bytes)
{
	void *va = anon(bytes);

	fill(va, 1, bytes);
	return va;
}

static uint32_t new_ioas(int iommufd)
{
	uint32_t id;

	EXPECT(iommu_ioas_alloc(iommufd, &id), 0);
	return id;
}

static int attach_to(struct vfio_dev *dev, uint32_t pt_id, uint32_t *hwpt_id)
{
	int rc = vfio_dev_attach(dev, &pt_id);

	if (hwpt_id)
		*hwpt_id = pt_id;
	return rc;
}

static uint32_t attached(struct vfio_dev *dev, uint32_t pt_id)
{
	uint32_t hwpt_id;

	EXPECT(attach_to(dev, pt_id, &hwpt_id), 0);
	return hwpt_id;
}

static void test_bind_errors(void)
{
	struct dma_space space;
	struct vfio_dev dev;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	EXPECT(dma_space_open(&space), 0);
	EXPECT(vfio_dev_open(&dev, bdf_of(EDU)), 0);
	EXPECT(vfio_dev_bind(&dev, null), -EBADFD);
	EXPECT(vfio_dev_bind(&dev, 999), -EBADF);
	EXPECT(attach_to(&dev, space.ioas_id, NULL), -EINVAL);
	EXPECT(vfio_dev_bind(&dev, space.iommufd), 0);
	CHECK((int)dev.dev_id > 0);
	CHECK(dev.dev_id != space.ioas_id);
	EXPECT(vfio_dev_bind(&dev, space.iommufd), -EINVAL);
	EXPECT(attach_to(&dev, space.ioas_id, NULL), 0);
}

/* The ID of a device is its own until it is unbound, then anyone's. */
static void test_device_id(void)
{
	struct rig rig;
	uint32_t id;

	rig_bind(&rig, EDU);
	id = rig.dev.dev_id;
	EXPECT(iommu_destroy(rig.space.iommufd, id), -EBUSY);
	vfio_dev_close(&rig.dev);
	EXPECT(iommu_destroy(rig.space.iommufd, id), -ENOENT);
	bind_device(&rig.dev, EDU, rig.space.iommufd);
	EXPECT(rig.dev.dev_id, id);
}

static void test_attach_errors(void)
{
	struct rig rig;
	uint32_t gone;

	rig_bind(&rig, EDU);
	gone = new_ioas(rig.space.iommufd);
	EXPECT(iommu_destroy(rig.space.iommufd, gone), 0);
	EXPECT(attach_to(&rig.dev, gone, NULL), -ENOENT);
	EXPECT(attach_to(&rig.dev, 0, NULL), -ENOENT);
	EXPECT(attach_to(&rig.dev, UINT32_MAX, NULL), -ENOENT);
	EXPECT(attach_to(&rig.dev, rig.dev.dev_id, NULL), -EINVAL);
	rig_attach(&rig);
}

static void test_destroy_in_use(void)
{
	struct rig rig;

	rig_open(&rig, EDU);
	CHECK(rig.hwpt_id != rig.space.ioas_id);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -EBUSY);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), -EBUSY);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.dev.dev_id), -EBUSY);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	/* An automatic HWPT goes with its last device, at once. */
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
}

/* A disk and edu on one IOAS: one HWPT, one set of mappings. */
static void test_two_devices(void)
{
	char *from_disk = touched(PAGE), *copy = touched(PAGE);
	struct vfio_dev edu_dev;
	struct rig rig;
	struct nvme nvme;
	struct edu edu;

	rig_open(&rig, NVME);
	bind_device(&edu_dev, EDU, rig.space.iommufd);
	EXPECT(attached(&edu_dev, rig.space.ioas_id), rig.hwpt_id);
	edu_open(&edu, &edu_dev);
	EXPECT(nvme_init(&nvme, &rig.space, &rig.dev), 0);
	EXPECT(map_at(&rig, from_disk, PAGE, IOVA), 0);
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	/* The disk's data, put there by one device, moved on by the other. */
	EXPECT(nvme_read(&nvme, 3, 1, IOVA), 0);
	CHECK(!is_filled(from_disk, 1, 512));
	edu_copy(&edu, IOVA, IOVA + HUGE, 512);
	CHECK(!memcmp(from_disk, copy, 512));
	/* When one leaves, the other stays. */
	EXPECT(vfio_dev_detach(&edu_dev), 0);
	CHECK(!edu_reaches(&edu, copy, IOVA + HUGE));
	EXPECT(nvme_read(&nvme, 4, 1, IOVA), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -EBUSY);
	nvme_exit(&nvme);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
}

static void test_attach_to_hwpt(void)
{
	char *va = touched(PAGE);
	struct vfio_dev edu_dev;
	struct rig rig;
	struct edu edu;

	rig_open(&rig, NVME);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	bind_device(&edu_dev, EDU, rig.space.iommufd);
	EXPECT(attached(&edu_dev, rig.hwpt_id), rig.hwpt_id);
	edu_open(&edu, &edu_dev);
	CHECK(edu_reaches(&edu, va, IOVA));
	/* It lives as long as any of them. */
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -EBUSY);
	CHECK(edu_reaches(&edu, va, IOVA));
	EXPECT(vfio_dev_detach(&edu_dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
}

static void test_two_ioas(void)
{
	char *va = touched(PAGE), *other_va = touched(PAGE);
	struct vfio_dev edu_dev;
	struct rig rig;
	struct nvme nvme;
	uint32_t ioas;
	struct edu edu;
	struct iommu_mapping map = {
		.va = other_va, .bytes = PAGE, .iova = IOVA,
		.prot = IOMMU_PROT_RW,
	};

	rig_open(&rig, NVME);
	ioas = new_ioas(rig.space.iommufd);
	bind_device(&edu_dev, EDU, rig.space.iommufd);
	CHECK(attached(&edu_dev, ioas) != rig.hwpt_id);
	edu_open(&edu, &edu_dev);
	EXPECT(nvme_init(&nvme, &rig.space, &rig.dev), 0);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	CHECK(!edu_reaches(&edu, va, IOVA));
	EXPECT(iommu_map_fixed(rig.space.iommufd, ioas, &map), 0);
	EXPECT(nvme_read(&nvme, 0, 1, IOVA), 0);
	CHECK(!is_filled(va, 1, 512));
	CHECK(is_filled(other_va, 1, PAGE));
	CHECK(edu_reaches(&edu, other_va, IOVA));
	nvme_exit(&nvme);
}

/* What the kernel says a group's devices cannot use. */
struct region {
	uint64_t start;
	uint64_t last;
};

static int reserved_regions(enum machine_dev which, struct region *regions,
			    int max)
{
	char path[128], line[128], type[64];
	int num = 0;
	FILE *file;

	snprintf(path, sizeof(path),
		 "/sys/kernel/iommu_groups/%d/reserved_regions",
		 iommu_group_of(bdf_of(which)));
	file = fopen(path, "re");
	CHECK(file);
	while (num < max && fgets(line, sizeof(line), file)) {
		EXPECT(sscanf(line, "%lx %lx %63s", &regions[num].start,
			      &regions[num].last, type), 3);
		if (strcmp(type, "direct-relaxable"))
			num++;
	}
	fclose(file);
	CHECK(num > 0 && num < max);
	return num;
}

static int is_reserved(uint64_t iova, const struct region *regions, int num)
{
	for (int i = 0; i < num; i++)
		if (iova >= regions[i].start && iova <= regions[i].last)
			return 1;
	return 0;
}

#define MAX_RANGES	16

struct ranges {
	struct iommu_iova_range range[MAX_RANGES];
	uint32_t num;
	uint64_t alignment;
};

static void get_ranges(struct rig *rig, struct ranges *ranges)
{
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd),
		.ioas_id = rig->space.ioas_id,
		.num_iovas = MAX_RANGES,
		.allowed_iovas = (uintptr_t)ranges->range,
	};

	EXPECT(raw_ioctl(rig->space.iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	ranges->num = cmd.num_iovas;
	ranges->alignment = cmd.out_iova_alignment;
}

/*
 * The ranges are the aperture without the reserved regions: in order, none
 * reserved at either end, and only reserved addresses between two of them.
 */
static void check_ranges(const struct ranges *ranges,
			 const struct region *regions, int num_regions)
{
	const struct iommu_iova_range *range = ranges->range;
	uint64_t end;

	EXPECT(range[0].start, 0);
	for (uint32_t i = 0; i < ranges->num; i++) {
		CHECK(range[i].start <= range[i].last);
		for (int j = 0; j < num_regions; j++)
			CHECK(regions[j].last < range[i].start ||
			      regions[j].start > range[i].last);
		if (!i)
			continue;
		CHECK(range[i].start > range[i - 1].last + 1);
		CHECK(is_reserved(range[i].start - 1, regions, num_regions));
		CHECK(is_reserved(range[i - 1].last + 1, regions, num_regions));
	}
	/* VT-d's aperture ends at a power of two. */
	end = range[ranges->num - 1].last + 1;
	CHECK(end >= 1UL << 32 && !(end & (end - 1)));
}

static void test_iova_ranges(void)
{
	struct region regions[MAX_RANGES];
	struct ranges ranges;
	struct rig rig;
	int num;

	num = reserved_regions(EDU, regions, MAX_RANGES);
	CHECK(is_reserved(MSI_WINDOW, regions, num));
	rig_open(&rig, EDU);
	get_ranges(&rig, &ranges);
	CHECK(ranges.num >= 2);
	EXPECT(ranges.alignment, PAGE);
	check_ranges(&ranges, regions, num);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	get_ranges(&rig, &ranges);
	EXPECT(ranges.num, 1);
	EXPECT(ranges.alignment, 1);
	EXPECT(ranges.range[0].start, 0);
	CHECK(ranges.range[0].last == ULONG_MAX);
}

/* An array that is too small gets what fits, and the number that would. */
static void test_iova_ranges_short(void)
{
	struct iommu_iova_range range[3] = { [1] = { 5, 5 } };
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd), .num_iovas = 1,
		.allowed_iovas = (uintptr_t)range,
	};
	struct ranges ranges;
	struct rig rig;

	rig_open(&rig, EDU);
	get_ranges(&rig, &ranges);
	cmd.ioas_id = rig.space.ioas_id;
	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd),
	       -EMSGSIZE);
	EXPECT(cmd.num_iovas, ranges.num);
	EXPECT(cmd.out_iova_alignment, PAGE);
	EXPECT(range[0].last, ranges.range[0].last);
	EXPECT(range[1].start, 5);
}

/* Scenario 28. */
static void test_map_reserved(void)
{
	char *va = touched(4 * PAGE);
	struct ranges ranges;
	uint64_t end;
	struct rig rig;

	rig_open(&rig, EDU);
	EXPECT(map_at(&rig, va, PAGE, MSI_WINDOW), -EINVAL);
	EXPECT(map_at(&rig, va, 2 * PAGE, MSI_WINDOW - PAGE), -EINVAL);
	EXPECT(map_at(&rig, va, 2 * PAGE, MSI_WINDOW_LAST + 1 - PAGE), -EINVAL);
	EXPECT(map_at(&rig, va, PAGE, MSI_WINDOW - PAGE), 0);
	EXPECT(map_at(&rig, va, PAGE, MSI_WINDOW_LAST + 1), 0);
	get_ranges(&rig, &ranges);
	end = ranges.range[ranges.num - 1].last + 1;
	EXPECT(map_at(&rig, va, PAGE, end), -EINVAL);
	EXPECT(map_at(&rig, va, 2 * PAGE, end - PAGE), -EINVAL);
	EXPECT(map_at(&rig, va, PAGE, end - PAGE), 0);
}

/* A mapping in the way: the attach fails and has changed nothing. */
static void check_in_the_way(uint64_t iova)
{
	char *va = touched(PAGE);
	long pins = pages_pinned();
	struct ranges ranges;
	struct rig rig;
	struct edu edu;

	rig_bind(&rig, EDU);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	EXPECT(map_at(&rig, va, PAGE, iova), 0);
	EXPECT(attach_to(&rig.dev, rig.space.ioas_id, NULL), -EADDRINUSE);
	EXPECT(pages_pinned() - pins, 0);
	get_ranges(&rig, &ranges);
	EXPECT(ranges.num, 1);
	CHECK(ranges.range[0].last == ULONG_MAX);
	/* No HWPT was left behind: the next object gets the ID it had. */
	EXPECT(new_ioas(rig.space.iommufd), rig.dev.dev_id + 1);
	EXPECT(unmap(&rig, iova, PAGE), 0);
	rig_attach(&rig);
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
	edu_close(&edu);
	rig_close(&rig);
}

/* Scenario 28. */
static void test_attach_over_reserved(void)
{
	check_in_the_way(MSI_WINDOW);
	check_in_the_way(MSI_WINDOW_LAST + 1 - PAGE);
	check_in_the_way(1UL << 62);
	check_in_the_way(-PAGE);
}

/*
 * Everything below the MSI window is taken, by one huge page that appears at
 * all of it: automatic addresses go on behind the window, never into it.
 */
static void test_auto_iova_past_reserved(void)
{
	uint64_t iova;
	struct rig rig;
	char *va;
	int file;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "2"), 0);
	file = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);
	CHECK(file >= 0 && !ftruncate(file, HUGE));
	va = anon_aligned(MSI_WINDOW, HUGE);
	for (uint64_t at = 0; at < MSI_WINDOW; at += HUGE)
		CHECK(mmap(va + at, HUGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
	rig_open(&rig, EDU);
	EXPECT(map_at(&rig, va, MSI_WINDOW - 2 * PAGE, 0), 0);
	/* A hole of two pages in front of the window, and one behind it. */
	EXPECT(map_auto(&rig, touched(PAGE), PAGE), MSI_WINDOW - 2 * PAGE);
	iova = map_auto(&rig, touched(4 * PAGE), 4 * PAGE);
	CHECK(iova > MSI_WINDOW_LAST);
	EXPECT(unmap(&rig, 0, UINT64_MAX), 0);
	munmap(va, MSI_WINDOW);
	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "0"), 0);
}

static void test_attach_same_again(void)
{
	char *va = touched(PAGE);
	struct rig rig;
	struct edu edu;
	uint32_t hwpt_id;
	int rc;

	rig_open(&rig, EDU);
	edu_open(&edu, &rig.dev);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	rc = attach_to(&rig.dev, rig.space.ioas_id, &hwpt_id);
	if (rc == -EOPNOTSUPP)
		test_skip("replace is not there yet");
	EXPECT(rc, 0);
	EXPECT(hwpt_id, rig.hwpt_id);
	EXPECT(attached(&rig.dev, rig.hwpt_id), rig.hwpt_id);
	CHECK(edu_reaches(&edu, va, IOVA));
}

static void test_replace(void)
{
	char *va = touched(PAGE), *other_va = touched(PAGE);
	struct iommu_mapping map = {
		.va = other_va, .bytes = PAGE, .iova = IOVA,
		.prot = IOMMU_PROT_RW,
	};
	uint32_t ioas, hwpt_id;
	struct rig rig;
	struct edu edu;
	int rc;

	rig_open(&rig, EDU);
	edu_open(&edu, &rig.dev);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	ioas = new_ioas(rig.space.iommufd);
	EXPECT(iommu_map_fixed(rig.space.iommufd, ioas, &map), 0);
	rc = attach_to(&rig.dev, ioas, &hwpt_id);
	if (rc == -EOPNOTSUPP)
		test_skip("replace is not there yet");
	EXPECT(rc, 0);
	CHECK(hwpt_id != rig.hwpt_id);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
	CHECK(!edu_reaches(&edu, va, IOVA));
	CHECK(edu_reaches(&edu, other_va, IOVA));
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), -EBUSY);
}

/*
 * A replace that fails: the old one translates on, with its ranges.
 * Scenario 27.
 */
static void test_replace_fails(void)
{
	char *va = touched(PAGE);
	struct iommu_mapping bad = {
		.va = (void *)PAGE, .bytes = PAGE, .iova = IOVA,
		.prot = IOMMU_PROT_RW,
	};
	struct ranges before, after;
	struct rig rig;
	uint32_t ioas;
	struct edu edu;
	int rc;

	rig_open(&rig, EDU);
	edu_open(&edu, &rig.dev);
	get_ranges(&rig, &before);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	ioas = new_ioas(rig.space.iommufd);
	EXPECT(iommu_map_fixed(rig.space.iommufd, ioas, &bad), 0);
	rc = attach_to(&rig.dev, ioas, NULL);
	if (rc == -EOPNOTSUPP)
		test_skip("replace is not there yet");
	EXPECT(rc, -EFAULT);
	CHECK(edu_reaches(&edu, va, IOVA));
	get_ranges(&rig, &after);
	EXPECT(after.num, before.num);
	CHECK(!memcmp(before.range, after.range,
		      before.num * sizeof(before.range[0])));
	EXPECT(attach_to(&rig.dev, UINT32_MAX, NULL), -ENOENT);
	EXPECT(attach_to(&rig.dev, rig.dev.dev_id, NULL), -EINVAL);
	CHECK(edu_reaches(&edu, va, IOVA));
	/* The failed one is free to go. */
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), 0);
}

/* Two devices behind one bridge, one of which can do DMA for us. */
static void test_group(void)
{
	char *va = touched(PAGE);
	struct vfio_dev e1000;
	struct rig rig;
	struct edu edu;
	uint32_t other;

	rig_bind(&rig, GROUP_EDU);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	bind_device(&e1000, GROUP_E1000, rig.space.iommufd);
	CHECK(e1000.dev_id != rig.dev.dev_id);
	other = new_ioas(rig.space.iommufd);
	rig_attach(&rig);
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
	/* The group has one translation: another one is refused. */
	EXPECT(attach_to(&e1000, other, NULL), -EINVAL);
	EXPECT(attached(&e1000, rig.space.ioas_id), rig.hwpt_id);
	EXPECT(vfio_dev_detach(&e1000), 0);
	CHECK(edu_reaches(&edu, va, IOVA));
	EXPECT(attached(&e1000, rig.hwpt_id), rig.hwpt_id);
	/* The last one takes it down, whichever that is. */
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -EBUSY);
	EXPECT(vfio_dev_detach(&e1000), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
	CHECK(!edu_reaches(&edu, va, IOVA));
	/* Now the group is free for the other. */
	attached(&e1000, other);
	EXPECT(attach_to(&rig.dev, rig.space.ioas_id, NULL), -EINVAL);
}

/* A group belongs to one iommufd at a time. */
static void test_group_other_iommufd(void)
{
	struct dma_space other;
	struct vfio_dev e1000;
	struct rig rig;

	rig_bind(&rig, GROUP_EDU);
	EXPECT(dma_space_open(&other), 0);
	EXPECT(vfio_dev_open(&e1000, bdf_of(GROUP_E1000)), 0);
	EXPECT(vfio_dev_bind(&e1000, other.iommufd), -EPERM);
	vfio_dev_close(&rig.dev);
	EXPECT(vfio_dev_bind(&e1000, other.iommufd), 0);
	EXPECT(attach_to(&e1000, other.ioas_id, NULL), 0);
	EXPECT(vfio_dev_open(&rig.dev, bdf_of(GROUP_EDU)), 0);
	EXPECT(vfio_dev_bind(&rig.dev, rig.space.iommufd), -EPERM);
}

/* Reserved regions of a group's devices go with the last that has them. */
static void test_group_ranges(void)
{
	struct ranges before, after;
	struct vfio_dev e1000;
	struct rig rig;

	rig_open(&rig, GROUP_EDU);
	get_ranges(&rig, &before);
	CHECK(before.num >= 2);
	bind_device(&e1000, GROUP_E1000, rig.space.iommufd);
	attached(&e1000, rig.space.ioas_id);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	get_ranges(&rig, &after);
	EXPECT(after.num, before.num);
	EXPECT(vfio_dev_detach(&e1000), 0);
	get_ranges(&rig, &after);
	EXPECT(after.num, 1);
}

#define HOT_RESET_DEVICES	8

/* A reset of the bus: VFIO asks whose the group is, and for the IDs. */
static void test_group_hot_reset(void)
{
	struct {
		struct vfio_pci_hot_reset_info info;
		struct vfio_pci_dependent_device dev[HOT_RESET_DEVICES];
	} arg = { .info.argsz = sizeof(arg) };
	struct vfio_pci_hot_reset reset = { .argsz = sizeof(reset) };
	struct vfio_dev e1000;
	struct rig rig;
	int found = 0;

	rig_open(&rig, GROUP_EDU);
	bind_device(&e1000, GROUP_E1000, rig.space.iommufd);
	attached(&e1000, rig.space.ioas_id);
	EXPECT(raw_ioctl(rig.dev.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg),
	       0);
	CHECK(arg.info.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
	CHECK(arg.info.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
	for (uint32_t i = 0; i < arg.info.count; i++)
		found += arg.dev[i].devid == rig.dev.dev_id ||
			 arg.dev[i].devid == e1000.dev_id;
	EXPECT(found, 2);
	EXPECT(raw_ioctl(rig.dev.fd, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	/* The sibling is not bound, but nobody else can have it. */
	vfio_dev_close(&e1000);
	memset(&arg, 0, sizeof(arg));
	arg.info.argsz = sizeof(arg);
	EXPECT(raw_ioctl(rig.dev.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg),
	       0);
	CHECK(arg.info.flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
}

struct attacher {
	struct vfio_dev *dev;
	uint32_t pt_id;
	uint32_t hwpt_id;
	pthread_barrier_t *barrier;
};

static void *attach_thread(void *arg)
{
	struct attacher *attacher = arg;

	pthread_barrier_wait(attacher->barrier);
	attacher->hwpt_id = attached(attacher->dev, attacher->pt_id);
	return NULL;
}

static void *detach_thread(void *arg)
{
	struct attacher *attacher = arg;

	pthread_barrier_wait(attacher->barrier);
	EXPECT(vfio_dev_detach(attacher->dev), 0);
	return NULL;
}

static void both(struct attacher *attachers, void *(*run)(void *))
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, run, &attachers[i]);
	for (int i = 0; i < 2; i++)
		join_within(threads[i], 10, "a parallel attach or detach");
}

/* However two attaches meet, there is one HWPT, and none when both left. */
static void check_parallel(enum machine_dev first, enum machine_dev second)
{
	pthread_barrier_t barrier;
	struct vfio_dev other;
	struct rig rig;

	pthread_barrier_init(&barrier, NULL, 2);
	rig_bind(&rig, first);
	bind_device(&other, second, rig.space.iommufd);
	EXPECT(map_at(&rig, touched(64 * PAGE), 64 * PAGE, IOVA), 0);
	for (int i = 0; i < 50; i++) {
		struct attacher attachers[2] = {
			{ &rig.dev, rig.space.ioas_id, 0, &barrier },
			{ &other, rig.space.ioas_id, 0, &barrier },
		};

		both(attachers, attach_thread);
		EXPECT(attachers[0].hwpt_id, attachers[1].hwpt_id);
		both(attachers, detach_thread);
		EXPECT(iommu_destroy(rig.space.iommufd, attachers[0].hwpt_id),
		       -ENOENT);
	}
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
}

/* Scenario 26. */
static void test_parallel_attach(void)
{
	check_parallel(NVME, EDU);
}

/* Scenario 26. */
static void test_group_parallel_attach(void)
{
	check_parallel(GROUP_EDU, GROUP_E1000);
}

static int race_stop;

static void *map_unmap_thread(void *arg)
{
	char *va = touched(16 * PAGE);
	struct rig *rig = arg;

	while (!__atomic_load_n(&race_stop, __ATOMIC_SEQ_CST)) {
		EXPECT(map_at(rig, va, 16 * PAGE, IOVA), 0);
		EXPECT(map_at(rig, va, 4 * PAGE, IOVA + 16 * PAGE), 0);
		EXPECT(unmap(rig, IOVA, 20 * PAGE), 0);
	}
	return NULL;
}

/* Maps and unmaps go on while a domain comes and goes. */
static void test_attach_under_maps(void)
{
	char *va = touched(PAGE);
	pthread_t thread;
	struct rig rig;
	struct edu edu;

	rig_bind(&rig, EDU);
	EXPECT(map_at(&rig, va, PAGE, IOVA + HUGE), 0);
	pthread_create(&thread, NULL, map_unmap_thread, &rig);
	for (int i = 0; i < 200; i++) {
		rig_attach(&rig);
		if (i % 2)
			usleep(500);
		EXPECT(vfio_dev_detach(&rig.dev), 0);
	}
	__atomic_store_n(&race_stop, 1, __ATOMIC_SEQ_CST);
	join_within(thread, 5, "a thread that maps");
	rig_attach(&rig);
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA + HUGE));
	CHECK(!edu_reaches(&edu, va, IOVA));
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "device.bind_errors", test_bind_errors, 0 },
		{ "device.id", test_device_id, 0 },
		{ "device.attach_errors", test_attach_errors, 0 },
		{ "device.destroy_in_use", test_destroy_in_use, 0 },
		{ "device.two_devices", test_two_devices, 0 },
		{ "device.attach_to_hwpt", test_attach_to_hwpt, 0 },
		{ "device.two_ioas", test_two_ioas, 0 },
		{ "device.iova_ranges", test_iova_ranges, 0 },
		{ "device.iova_ranges_short", test_iova_ranges_short, 0 },
		{ "device.map_reserved", test_map_reserved, 0 },
		{ "device.attach_over_reserved", test_attach_over_reserved, 0 },
		{ "device.auto_iova_past_reserved",
		  test_auto_iova_past_reserved, 60 },
		{ "device.attach_same_again", test_attach_same_again, 0 },
		{ "device.replace", test_replace, 0 },
		{ "device.replace_fails", test_replace_fails, 0 },
		{ "device.group", test_group, 0 },
		{ "device.group_other_iommufd", test_group_other_iommufd, 0 },
		{ "device.group_ranges", test_group_ranges, 0 },
		{ "device.group_hot_reset", test_group_hot_reset, 0 },
		{ "device.parallel_attach", test_parallel_attach, 60 },
		{ "device.group_parallel_attach", test_group_parallel_attach,
		  60 },
		{ "device.attach_under_maps", test_attach_under_maps, 60 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
