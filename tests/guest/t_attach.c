// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bind, attach, replace and detach: who shares what with whom, what is refused
 * and changes nothing, and what happens when all of it happens at once.
 *
 * Nobody needs a device to do anything here; that a device reaches the right
 * memory is what t_map.c is about.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "harness.h"
#include "support.h"

/* Where x86 has its interrupts: a reserved region of every device. */
#define MSI_FIRST	0xfee00000ULL
#define MSI_LAST	0xfeefffffULL

#define MAX_RANGES	16

struct ranges {
	struct iommu_iova_range range[MAX_RANGES];
	unsigned int count;
	uint64_t alignment;
};

static struct ranges ranges_of(int fd, uint32_t ioas_id)
{
	struct ranges ranges = { 0 };
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas_id,
		.num_iovas = MAX_RANGES,
		.allowed_iovas = (uintptr_t)ranges.range,
	};

	EXPECT(raw_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	ranges.count = cmd.num_iovas;
	ranges.alignment = cmd.out_iova_alignment;
	return ranges;
}

static int is_fresh(int fd, uint32_t ioas_id)
{
	struct ranges ranges = ranges_of(fd, ioas_id);

	return ranges.count == 1 && ranges.range[0].start == 0 &&
	       ranges.range[0].last == UINT64_MAX && ranges.alignment == 1;
}

static int is_usable(int fd, uint32_t ioas_id, uint64_t iova)
{
	struct ranges ranges = ranges_of(fd, ioas_id);

	for (unsigned int i = 0; i < ranges.count; i++)
		if (ranges.range[i].start <= iova &&
		    iova <= ranges.range[i].last)
			return 1;
	return 0;
}

static uint32_t new_ioas(int fd)
{
	uint32_t id;

	EXPECT(iommu_ioas_alloc(fd, &id), 0);
	return id;
}

/* Returns the ID of the HWPT. */
static uint32_t attach(struct vfio_dev *dev, uint32_t pt_id)
{
	EXPECT(vfio_dev_attach(dev, &pt_id), 0);
	return pt_id;
}

static int try_attach(struct vfio_dev *dev, uint32_t pt_id)
{
	return vfio_dev_attach(dev, &pt_id);
}

static int map_page_at(int fd, uint32_t ioas_id, uint64_t iova)
{
	struct iommu_mapping map = {
		.va = anon(PAGE), .bytes = PAGE, .iova = iova,
		.prot = IOMMU_PROT_RW,
	};

	return iommu_map_fixed(fd, ioas_id, &map);
}

static void test_shared_hwpt(void)
{
	struct vfio_dev edu;
	uint32_t ioas_id;
	struct rig rig;
	int fd;

	rig_open(&rig, NVME);
	fd = rig.space.iommufd;
	ioas_id = rig.space.ioas_id;
	bind_device(&edu, EDU, fd);

	EXPECT(attach(&edu, ioas_id), rig.hwpt_id);
	EXPECT(iommu_destroy(fd, ioas_id), -EBUSY);
	EXPECT(iommu_destroy(fd, rig.hwpt_id), -EBUSY);
	EXPECT(iommu_destroy(fd, edu.dev_id), -EBUSY);

	/* It is not the maker that keeps it, but any that is left. */
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(fd, rig.hwpt_id), -EBUSY);
	EXPECT(attach(&rig.dev, ioas_id), rig.hwpt_id);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(vfio_dev_detach(&edu), 0);
	EXPECT(iommu_destroy(fd, rig.hwpt_id), -ENOENT);
	CHECK(is_fresh(fd, ioas_id));
	EXPECT(iommu_destroy(fd, ioas_id), 0);
	EXPECT(new_ioas(fd), ioas_id);

	vfio_dev_close(&edu);
	rig_close(&rig);
}

static void test_attach_by_hwpt_id(void)
{
	struct vfio_dev edu;
	struct rig rig;

	rig_open(&rig, NVME);
	bind_device(&edu, EDU, rig.space.iommufd);
	EXPECT(attach(&edu, rig.hwpt_id), rig.hwpt_id);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(attach(&rig.dev, rig.hwpt_id), rig.hwpt_id);
	vfio_dev_close(&edu);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(try_attach(&rig.dev, rig.hwpt_id), -ENOENT);
	rig_close(&rig);
}

static void test_wrong_ids(void)
{
	struct rig rig;

	rig_bind(&rig, NVME);
	EXPECT(try_attach(&rig.dev, 0), -ENOENT);
	EXPECT(try_attach(&rig.dev, 77), -ENOENT);
	EXPECT(try_attach(&rig.dev, UINT32_MAX), -ENOENT);
	EXPECT(try_attach(&rig.dev, rig.dev.dev_id), -EINVAL);
	CHECK(is_fresh(rig.space.iommufd, rig.space.ioas_id));

	rig_attach(&rig);
	EXPECT(try_attach(&rig.dev, 77), -ENOENT);
	EXPECT(try_attach(&rig.dev, rig.dev.dev_id), -EINVAL);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), rig.hwpt_id);
	rig_close(&rig);
}

static void test_ranges(void)
{
	struct rig rig;
	int fd;

	rig_bind(&rig, NVME);
	fd = rig.space.iommufd;
	CHECK(is_fresh(fd, rig.space.ioas_id));
	rig_attach(&rig);
	CHECK(is_usable(fd, rig.space.ioas_id, 0));
	CHECK(is_usable(fd, rig.space.ioas_id, MSI_FIRST - 1));
	CHECK(!is_usable(fd, rig.space.ioas_id, MSI_FIRST));
	CHECK(!is_usable(fd, rig.space.ioas_id, MSI_LAST));
	CHECK(is_usable(fd, rig.space.ioas_id, MSI_LAST + 1));
	CHECK(!is_usable(fd, rig.space.ioas_id, UINT64_MAX));
	EXPECT(ranges_of(fd, rig.space.ioas_id).alignment, PAGE);
	EXPECT(map_page_at(fd, rig.space.ioas_id, MSI_FIRST), -EINVAL);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	CHECK(is_fresh(fd, rig.space.ioas_id));
	rig_close(&rig);
}

/* Scenario 28. */
static void test_reserved_meets_area(void)
{
	struct rig rig;
	int fd;

	rig_bind(&rig, NVME);
	fd = rig.space.iommufd;
	EXPECT(map_page_at(fd, rig.space.ioas_id, MSI_LAST + 1 - PAGE), 0);
	EXPECT(try_attach(&rig.dev, rig.space.ioas_id), -EADDRINUSE);
	CHECK(is_fresh(fd, rig.space.ioas_id));
	EXPECT(unmap(&rig, MSI_LAST + 1 - PAGE, PAGE), 0);

	/* Past the aperture: found when the device is attached already. */
	EXPECT(map_page_at(fd, rig.space.ioas_id, 1ULL << 60), 0);
	EXPECT(try_attach(&rig.dev, rig.space.ioas_id), -EADDRINUSE);
	CHECK(is_fresh(fd, rig.space.ioas_id));
	EXPECT(unmap(&rig, 1ULL << 60, PAGE), 0);

	rig_attach(&rig);
	rig_close(&rig);
}

/* Scenario 26. */
static void test_group(void)
{
	uint32_t ioas_id, other_id, hwpt_id;
	struct vfio_dev sibling;
	struct rig rig;
	int fd;

	rig_bind(&rig, GROUP_EDU);
	fd = rig.space.iommufd;
	ioas_id = rig.space.ioas_id;
	other_id = new_ioas(fd);
	bind_device(&sibling, GROUP_E1000, fd);

	hwpt_id = attach(&rig.dev, ioas_id);
	EXPECT(try_attach(&sibling, other_id), -EINVAL);
	EXPECT(try_attach(&sibling, 77), -ENOENT);
	EXPECT(attach(&sibling, ioas_id), hwpt_id);
	EXPECT(vfio_dev_detach(&sibling), 0);
	EXPECT(attach(&sibling, hwpt_id), hwpt_id);

	/* The one that came first goes first: the other keeps it all. */
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	CHECK(!is_usable(fd, ioas_id, MSI_FIRST));
	EXPECT(try_attach(&rig.dev, other_id), -EINVAL);
	EXPECT(iommu_destroy(fd, hwpt_id), -EBUSY);

	/* Replace takes the other along. */
	EXPECT(attach(&rig.dev, ioas_id), hwpt_id);
	CHECK(attach(&sibling, other_id) != hwpt_id);
	CHECK(is_fresh(fd, ioas_id));
	EXPECT(try_attach(&rig.dev, other_id), 0);
	EXPECT(iommu_destroy(fd, hwpt_id), -ENOENT);

	vfio_dev_close(&sibling);
	CHECK(!is_usable(fd, other_id, MSI_FIRST));
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	CHECK(is_fresh(fd, other_id));
	rig_close(&rig);
}

static void test_group_has_one_owner(void)
{
	struct vfio_dev sibling;
	struct rig rig;
	int other;

	rig_open(&rig, GROUP_EDU);
	other = iommu_open();
	CHECK(other >= 0);
	EXPECT(vfio_dev_open(&sibling, bdf_of(GROUP_E1000)), 0);
	EXPECT(vfio_dev_bind(&sibling, other), -EPERM);
	/* Nothing of the attempt is left: it has an ID to spare. */
	EXPECT(new_ioas(other), 1);
	EXPECT(vfio_dev_bind(&sibling, rig.space.iommufd), 0);
	vfio_dev_close(&sibling);
	close(other);
	rig_close(&rig);
}

static void test_replace(void)
{
	uint32_t other_id, hwpt_id;
	struct rig rig;
	int fd;

	rig_open(&rig, NVME);
	fd = rig.space.iommufd;
	other_id = new_ioas(fd);
	EXPECT(map_page_at(fd, rig.space.ioas_id, 0), 0);
	EXPECT(map_page_at(fd, other_id, 16 * PAGE), 0);

	EXPECT(attach(&rig.dev, rig.space.ioas_id), rig.hwpt_id);
	EXPECT(attach(&rig.dev, rig.hwpt_id), rig.hwpt_id);
	hwpt_id = attach(&rig.dev, other_id);
	CHECK(hwpt_id != rig.hwpt_id);
	EXPECT(iommu_destroy(fd, rig.hwpt_id), -ENOENT);
	CHECK(is_fresh(fd, rig.space.ioas_id));
	CHECK(!is_usable(fd, other_id, MSI_FIRST));
	EXPECT(iommu_destroy(fd, other_id), -EBUSY);
	EXPECT(iommu_destroy(fd, rig.space.ioas_id), 0);
	vfio_dev_close(&rig.dev);
	CHECK(is_fresh(fd, other_id));
	close(fd);
}

/* Scenario 27. */
static void test_failed_replace(void)
{
	uint32_t reserved_id, aperture_id, memory_id;
	struct rig rig;
	int fd;

	rig_open(&rig, NVME);
	fd = rig.space.iommufd;
	reserved_id = new_ioas(fd);
	aperture_id = new_ioas(fd);
	memory_id = new_ioas(fd);
	EXPECT(map_page_at(fd, reserved_id, MSI_FIRST), 0);
	EXPECT(map_page_at(fd, aperture_id, 1ULL << 60), 0);
	EXPECT(iommu_map_fixed(fd, memory_id,
			       &(struct iommu_mapping){
				       .va = (void *)PAGE, .bytes = PAGE,
				       .prot = IOMMU_PROT_RW }), 0);

	EXPECT(try_attach(&rig.dev, reserved_id), -EADDRINUSE);
	EXPECT(try_attach(&rig.dev, aperture_id), -EADDRINUSE);
	EXPECT(try_attach(&rig.dev, memory_id), -EFAULT);
	CHECK(is_fresh(fd, reserved_id));
	CHECK(is_fresh(fd, aperture_id));
	CHECK(is_fresh(fd, memory_id));
	EXPECT(iommu_destroy(fd, reserved_id), 0);
	EXPECT(iommu_destroy(fd, aperture_id), 0);
	EXPECT(iommu_destroy(fd, memory_id), 0);

	CHECK(!is_usable(fd, rig.space.ioas_id, MSI_FIRST));
	EXPECT(attach(&rig.dev, rig.space.ioas_id), rig.hwpt_id);
	EXPECT(iommu_destroy(fd, rig.hwpt_id), -EBUSY);
	rig_close(&rig);
}

/* -- all at once -- */

static atomic_int race_is_on;
static int race_fd;
static uint32_t race_ioas[2];

static void start_race(int fd)
{
	race_fd = fd;
	race_ioas[0] = new_ioas(fd);
	race_ioas[1] = new_ioas(fd);
	atomic_store(&race_is_on, 1);
}

static void stop_race(pthread_t *threads, unsigned int count)
{
	sleep(3);
	atomic_store(&race_is_on, 0);
	for (unsigned int i = 0; i < count; i++)
		join_within(threads[i], 30, "a racing thread");
}

static void *attach_and_detach(void *arg)
{
	struct vfio_dev *dev = arg;

	for (unsigned int i = 0; atomic_load(&race_is_on); i++) {
		int rc = try_attach(dev, race_ioas[i % 3 == 2]);

		/* A group's other device can be elsewhere. */
		CHECK(!rc || rc == -EINVAL);
		if (!rc && i % 5)
			EXPECT(vfio_dev_detach(dev), 0);
	}
	return NULL;
}

static void *map_and_unmap(void *arg)
{
	char *memory = anon(64 * PAGE);

	(void)arg;
	while (atomic_load(&race_is_on)) {
		struct iommu_mapping map = {
			.va = memory, .bytes = 64 * PAGE,
			.prot = IOMMU_PROT_RW,
		};

		EXPECT(iommu_map(race_fd, race_ioas[0], &map), 0);
		EXPECT(iommu_unmap(race_fd, race_ioas[0], map.iova, map.bytes,
				   NULL), 0);
	}
	return NULL;
}

/* Has no business with any of these, and must not get in. */
static void *destroy_anything(void *arg)
{
	(void)arg;
	while (atomic_load(&race_is_on))
		for (uint32_t id = 7; id < 14; id++) {
			int rc = iommu_destroy(race_fd, id);

			CHECK(rc == -EBUSY || rc == -ENOENT);
		}
	return NULL;
}

static void *read_fdinfo(void *arg)
{
	char path[64];

	(void)arg;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", race_fd);
	while (atomic_load(&race_is_on))
		CHECK(number_in(path, "iommufd-ioas:") == 2);
	return NULL;
}

/* Scenarios 20 and 26. */
static void test_all_at_once(void)
{
	static void *(*const others[])(void *) = {
		map_and_unmap, destroy_anything, read_fdinfo,
	};
	static const enum machine_dev which[] = {
		NVME, EDU, GROUP_EDU, GROUP_E1000,
	};
	pthread_t threads[7];
	struct vfio_dev devs[4];
	int fd = iommu_open();

	CHECK(fd >= 0);
	start_race(fd);
	for (int i = 0; i < 4; i++)
		bind_device(&devs[i], which[i], fd);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, attach_and_detach, &devs[i]);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[4 + i], NULL, others[i], NULL);
	stop_race(threads, 7);

	for (int i = 0; i < 4; i++)
		vfio_dev_close(&devs[i]);
	CHECK(is_fresh(fd, race_ioas[0]));
	CHECK(is_fresh(fd, race_ioas[1]));
	EXPECT(iommu_destroy(fd, race_ioas[0]), 0);
	EXPECT(iommu_destroy(fd, race_ioas[1]), 0);
	EXPECT(new_ioas(fd), 1);
	close(fd);
}

static void *destroy_ioas(void *arg)
{
	(void)arg;
	while (atomic_load(&race_is_on)) {
		int rc = iommu_destroy(race_fd, race_ioas[0]);
		uint32_t id;

		CHECK(!rc || rc == -EBUSY);
		if (rc)
			continue;
		/* The ID is free, and nobody but us makes objects of it. */
		EXPECT(iommu_ioas_alloc(race_fd, &id), 0);
		race_ioas[0] = id;
	}
	return NULL;
}

static void *attach_to_dying(void *arg)
{
	struct vfio_dev *dev = arg;

	while (atomic_load(&race_is_on)) {
		int rc = try_attach(dev, race_ioas[0]);

		/* Meanwhile the ID can be that of a HWPT or of nothing. */
		CHECK(!rc || rc == -ENOENT || rc == -EINVAL);
		if (!rc)
			EXPECT(vfio_dev_detach(dev), 0);
	}
	return NULL;
}

/* Scenario 20. */
static void test_destroy_against_attach(void)
{
	struct vfio_dev nvme, edu;
	pthread_t threads[3];
	int fd = iommu_open();

	CHECK(fd >= 0);
	start_race(fd);
	bind_device(&nvme, NVME, fd);
	bind_device(&edu, EDU, fd);
	pthread_create(&threads[0], NULL, attach_to_dying, &nvme);
	pthread_create(&threads[1], NULL, attach_to_dying, &edu);
	pthread_create(&threads[2], NULL, destroy_ioas, NULL);
	stop_race(threads, 3);
	vfio_dev_close(&nvme);
	vfio_dev_close(&edu);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "attach.shared_hwpt", test_shared_hwpt, 0 },
		{ "attach.by_hwpt_id", test_attach_by_hwpt_id, 0 },
		{ "attach.wrong_ids", test_wrong_ids, 0 },
		{ "attach.ranges", test_ranges, 0 },
		{ "attach.reserved_meets_area", test_reserved_meets_area, 0 },
		{ "attach.group", test_group, 0 },
		{ "attach.group_has_one_owner", test_group_has_one_owner, 0 },
		{ "attach.replace", test_replace, 0 },
		{ "attach.failed_replace", test_failed_replace, 0 },
		{ "attach.all_at_once", test_all_at_once, 120 },
		{ "attach.destroy_against_attach", test_destroy_against_attach,
		  120 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
