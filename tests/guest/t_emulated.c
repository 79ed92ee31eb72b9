// SPDX-License-Identifier: GPL-2.0-only
/* An emulated VFIO device: a driver that reaches memory with the CPU. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "edu.h"
#include "harness.h"
#include "sample.h"
#include "support.h"

#define IOVA		(16 * MIB)
#define PAGES		16
#define BYTES		(PAGES * PAGE)
#define LIMIT_PAGES	PAGES
#define USER		1001
#define RACE_SECONDS	2

static struct rig rig;

/* Memory in which every word is another. */
static void *marked(size_t bytes)
{
	static uint64_t next;
	uint64_t *va = anon(bytes);

	for (size_t i = 0; i < bytes / sizeof(*va); i++)
		va[i] = ++next;
	return va;
}

static uint32_t new_ioas(void)
{
	uint32_t id;

	EXPECT(iommu_ioas_alloc(rig.space.iommufd, &id), 0);
	return id;
}

static int attach(struct vfio_dev *dev, uint32_t pt_id)
{
	return vfio_dev_attach(dev, &pt_id);
}

static int map_in(uint32_t ioas_id, void *va, size_t bytes, uint64_t iova)
{
	struct iommu_mapping map = {
		.va = va, .bytes = bytes, .iova = iova, .prot = IOMMU_PROT_RW,
	};

	return iommu_map_fixed(rig.space.iommufd, ioas_id, &map);
}

static int copy_to(uint32_t ioas_id, uint64_t iova, uint64_t bytes)
{
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.dst_ioas_id = ioas_id,
		.src_ioas_id = rig.space.ioas_id,
		.length = bytes,
		.dst_iova = iova,
		.src_iova = iova,
	};

	return raw_ioctl(rig.space.iommufd, IOMMU_IOAS_COPY, &cmd);
}

static int pin(uint64_t iova, uint64_t bytes)
{
	return sample_run(&rig.dev, SAMPLE_PIN, iova, bytes);
}

static int unpin(uint64_t iova, uint64_t bytes)
{
	return sample_run(&rig.dev, SAMPLE_UNPIN, iova, bytes);
}

static int load(uint64_t iova, uint64_t bytes)
{
	return sample_run(&rig.dev, SAMPLE_LOAD, iova, bytes);
}

static int sees(enum sample_op op, uint64_t iova, const void *va, size_t bytes)
{
	return sample_sees(&rig.dev, op, iova, va, bytes);
}

static long long pinned_kib(void)
{
	return number_in("/proc/self/status", "VmPin");
}

/* An attached device, and memory for it; @pages of it are pinned. */
static char *open_pinned(unsigned int pages)
{
	char *va = marked(BYTES);

	rig_open_sample(&rig);
	EXPECT(map_at(&rig, va, BYTES, IOVA), 0);
	if (pages)
		EXPECT(pin(IOVA, pages * PAGE), 0);
	return va;
}

static void test_bind(void)
{
	struct rig again;

	rig_bind_sample(&rig);
	CHECK((int)rig.dev.dev_id > 0);
	CHECK(rig.dev.dev_id != rig.space.ioas_id);
	EXPECT(vfio_dev_bind(&rig.dev, rig.space.iommufd), -EINVAL);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.dev.dev_id), -EBUSY);
	EXPECT(map_at(&rig, marked(PAGE), PAGE, IOVA), 0);
	EXPECT(pin(IOVA, PAGE), -ENOENT);
	EXPECT(load(IOVA, 1), -ENOENT);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(attach(&rig.dev, 12345), -ENOENT);
	EXPECT(attach(&rig.dev, rig.dev.dev_id), -ENOENT);
	EXPECT(load(IOVA, 1), -ENOENT);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
	EXPECT(load(IOVA, 1), 0);
	/* Somebody else's turn comes when it is closed. */
	EXPECT(dma_space_open(&again.space), 0);
	sample_open(&again.dev, 1);
	vfio_dev_close(&again.dev);
	vfio_dev_close(&rig.dev);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.dev.dev_id), -ENOENT);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
	sample_open(&again.dev, 0);
	EXPECT(vfio_dev_bind(&again.dev, again.space.iommufd), 0);
	EXPECT(attach(&again.dev, again.space.ioas_id), 0);
}

static uint64_t alignment(void)
{
	struct iommu_iova_range range;
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd),
		.ioas_id = rig.space.ioas_id,
		.num_iovas = 1,
		.allowed_iovas = (uintptr_t)&range,
	};

	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	EXPECT(range.start, 0);
	CHECK(range.last == UINT64_MAX);
	return cmd.out_iova_alignment;
}

/* Pins are of pages, so areas have to be made of them. */
static void test_alignment(void)
{
	char *va = marked(2 * PAGE);

	rig_bind_sample(&rig);
	EXPECT(alignment(), 1);
	EXPECT(map_at(&rig, va + 1, 100, IOVA), 0);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), -EADDRINUSE);
	EXPECT(alignment(), 1);
	EXPECT(unmap(&rig, IOVA, 100), 0);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
	EXPECT(alignment(), PAGE);
	EXPECT(map_at(&rig, va + 1, 100, IOVA), -EINVAL);
	EXPECT(map_at(&rig, va, 2 * PAGE, IOVA), 0);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(alignment(), 1);
	EXPECT(map_at(&rig, va + 1, 100, IOVA + HUGE), 0);
}

/* Pins span areas, are of the right pages, and are given back in any pieces. */
static void test_pin(void)
{
	long pins = pages_pinned();
	char *va = marked(BYTES);
	char *other_va = marked(BYTES);

	rig_open_sample(&rig);
	EXPECT(map_at(&rig, va, BYTES, IOVA), 0);
	EXPECT(map_at(&rig, other_va, BYTES, IOVA + BYTES), 0);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(pin(IOVA, PAGE), 0);
	EXPECT(pin(IOVA + PAGE, 2 * BYTES - PAGE), 0);
	EXPECT(pages_pinned() - pins, 2 * PAGES);
	EXPECT(pinned_kib(), 2 * PAGES * 4);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	CHECK(sees(SAMPLE_PEEK, IOVA + BYTES, other_va, BYTES));
	/* From the middle of one area to the middle of the other. */
	EXPECT(unpin(IOVA + BYTES / 2, BYTES), 0);
	EXPECT(pages_pinned() - pins, PAGES);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES / 2));
	EXPECT(sample_run(&rig.dev, SAMPLE_PEEK, IOVA + BYTES / 2, 1), -ENOENT);
	EXPECT(unpin(IOVA + PAGE, PAGE), 0);
	EXPECT(pin(IOVA + PAGE, PAGE), 0);
	EXPECT(unpin(0, UINT64_MAX), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(pinned_kib(), 0);
	/* Nothing of this was asked for by an unmap. */
	EXPECT(sample_unmaps(&rig.dev), 0);
}

static void test_poke(void)
{
	char *va = open_pinned(PAGES), *wanted = marked(BYTES);

	memcpy(wanted, va, BYTES);
	fill(wanted + 5, 0x5a, 3 * PAGE);
	sample_write_memory(&rig.dev, wanted + 5, 3 * PAGE);
	EXPECT(sample_run(&rig.dev, SAMPLE_POKE, IOVA + 5, 3 * PAGE), 0);
	CHECK(!memcmp(va, wanted, BYTES));
}

static void test_pin_errors(void)
{
	struct sample_command read_only = {
		.op = SAMPLE_PIN, .flags = SAMPLE_READ_ONLY, .length = PAGE,
	};
	struct iommu_mapping map = {
		.va = marked(PAGE), .bytes = PAGE, .prot = IOMMU_PROT_READ,
	};
	long pins;

	open_pinned(1);
	pins = pages_pinned();
	EXPECT(pin(IOVA + BYTES, PAGE), -ENOENT);
	EXPECT(pin(IOVA - PAGE, PAGE), -ENOENT);
	EXPECT(pin(IOVA + PAGE, BYTES), -ENOENT);
	EXPECT(pin(-PAGE, PAGE), -ENOENT);
	EXPECT(map_at(&rig, (void *)PAGE, PAGE, IOVA + BYTES), 0);
	EXPECT(pin(IOVA + PAGE, BYTES), -EFAULT);
	EXPECT(iommu_map(rig.space.iommufd, rig.space.ioas_id, &map), 0);
	EXPECT(pin(map.iova, PAGE), -EPERM);
	EXPECT(sample_run(&rig.dev, SAMPLE_STORE, map.iova, 1), -EPERM);
	EXPECT(pages_pinned() - pins, 0);
	read_only.iova = map.iova;
	EXPECT(sample_run_flags(&rig.dev, &read_only), 0);
	CHECK(sees(SAMPLE_PEEK, map.iova, map.va, PAGE));
	CHECK(sees(SAMPLE_LOAD, map.iova, map.va, PAGE));
	EXPECT(pages_pinned() - pins, 1);
	EXPECT(sample_pinned(&rig.dev), 2);
}

/* LOAD and STORE over the border of two areas, at odd places. */
static void check_copies(void *areas)
{
	char **va = areas;
	char both[2 * PAGE];

	memcpy(both, va[0] + BYTES - PAGE - 3, PAGE + 3);
	memcpy(both + PAGE + 3, va[1], PAGE - 3);
	CHECK(sees(SAMPLE_LOAD, IOVA + BYTES - PAGE - 3, both, sizeof(both)));
	CHECK(sees(SAMPLE_LOAD, IOVA + BYTES - 1, both + PAGE + 2, 1));
	fill(both, 0x77, sizeof(both));
	sample_write_memory(&rig.dev, both, sizeof(both));
	EXPECT(sample_run(&rig.dev, SAMPLE_STORE, IOVA + BYTES - PAGE - 3,
			  sizeof(both)), 0);
}

static void check_stored(char **va)
{
	CHECK(!is_filled(va[0] + BYTES - PAGE - 4, 0x77, 1));
	CHECK(is_filled(va[0] + BYTES - PAGE - 3, 0x77, PAGE + 3));
	CHECK(is_filled(va[1], 0x77, PAGE - 3));
	CHECK(!is_filled(va[1] + PAGE - 3, 0x77, 1));
}

static void open_two_areas(char **va)
{
	va[0] = marked(BYTES);
	va[1] = marked(BYTES);
	rig_open_sample(&rig);
	EXPECT(map_at(&rig, va[0], BYTES, IOVA), 0);
	EXPECT(map_at(&rig, va[1], BYTES, IOVA + BYTES), 0);
}

/* Scenario 10. */
static void test_copy(void)
{
	long pins = pages_pinned();
	char *va[2];

	open_two_areas(va);
	check_copies(va);
	check_stored(va);
	EXPECT(pages_pinned() - pins, 0);
}

/* What it copies is the memory of who has mapped, whoever asks for it. */
static void test_copy_by_child(void)
{
	char *va[2];

	open_two_areas(va);
	finish_child(start_child(check_copies, va));
	check_stored(va);
}

static void test_copy_of_pinned(void)
{
	char *va[2];

	open_two_areas(va);
	EXPECT(pin(IOVA + BYTES / 2, BYTES), 0);
	check_copies(va);
	check_stored(va);
	CHECK(sees(SAMPLE_PEEK, IOVA + BYTES, va[1], BYTES / 2));
}

/* A kernel thread has no memory of its own, and takes that of who has mapped. */
static void test_copy_in_kthread(void)
{
	struct sample_command command = {
		.op = SAMPLE_LOAD, .flags = SAMPLE_KTHREAD,
		.iova = IOVA + BYTES - 5, .length = 2 * PAGE,
	};
	char *va[2], seen[2 * PAGE];

	open_two_areas(va);
	EXPECT(sample_run_flags(&rig.dev, &command), 0);
	sample_read_memory(&rig.dev, seen, sizeof(seen));
	CHECK(!memcmp(seen, va[0] + BYTES - 5, 5));
	CHECK(!memcmp(seen + 5, va[1], sizeof(seen) - 5));
	/* Memory that was never touched, and then some that is. */
	va[0] = anon(BYTES);
	EXPECT(map_at(&rig, va[0], BYTES, IOVA + HUGE), 0);
	command.op = SAMPLE_STORE;
	command.iova = IOVA + HUGE + 7;
	EXPECT(sample_run_flags(&rig.dev, &command), 0);
	CHECK(!memcmp(va[0] + 7, seen, sizeof(seen)));
	command.op = SAMPLE_PIN;
	command.iova = IOVA + HUGE;
	command.length = BYTES;
	EXPECT(sample_run_flags(&rig.dev, &command), 0);
	CHECK(sees(SAMPLE_PEEK, IOVA + HUGE, va[0], BYTES));
	EXPECT(pinned_kib(), PAGES * 4);
}

/* Scenario 10. */
static void test_copy_errors(void)
{
	char *va = open_pinned(0), seen[PAGE];

	fill(seen, 0, PAGE);
	sample_write_memory(&rig.dev, seen, PAGE);
	EXPECT(load(IOVA + BYTES - 10, 20), -ENOENT);
	/* What lies before the hole was copied, and nothing else. */
	sample_read_memory(&rig.dev, seen, PAGE);
	CHECK(!memcmp(seen, va + BYTES - 10, 10));
	CHECK(is_filled(seen + 10, 0, PAGE - 10));
	EXPECT(load(IOVA - 1, 2), -ENOENT);
	EXPECT(load(UINT64_MAX, 1), -ENOENT);
	EXPECT(load(UINT64_MAX, 2), -EOVERFLOW);
	munmap(va + PAGE, PAGE);
	EXPECT(load(IOVA + PAGE - 1, 2), -EFAULT);
	EXPECT(load(IOVA + PAGE - 1, 1), 0);
}

static void test_unmap(void)
{
	long pins = pages_pinned();

	open_pinned(PAGES);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	CHECK(sample_unmaps(&rig.dev) >= 1);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(load(IOVA, 1), -ENOENT);
	EXPECT(pin(IOVA, PAGE), -ENOENT);
}

/* Pins through one of two areas that meet: only that one goes. */
static void test_unmap_one_area(void)
{
	char *va[2];

	open_two_areas(va);
	EXPECT(pin(IOVA, 2 * BYTES), 0);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	EXPECT(sample_pinned(&rig.dev), PAGES);
	CHECK(sees(SAMPLE_PEEK, IOVA + BYTES, va[1], BYTES));
}

/* A driver that does not let go: the unmap is refused, and all is as before. */
static void test_unmap_held(void)
{
	char *va = open_pinned(PAGES / 2);

	sample_set_mode(&rig.dev, SAMPLE_HOLD);
	EXPECT(unmap(&rig, IOVA, BYTES), -EDEADLOCK);
	CHECK(sample_unmaps(&rig.dev) >= 1);
	EXPECT(sample_pinned(&rig.dev), PAGES / 2);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES / 2));
	EXPECT(map_at(&rig, va, PAGE, IOVA), -EEXIST);
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
	EXPECT(pin(IOVA + BYTES / 2, BYTES / 2), 0);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	sample_set_mode(&rig.dev, 0);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
}

static void *let_go_later(void *unused)
{
	(void)unused;
	usleep(200000);
	EXPECT(unpin(IOVA, BYTES), 0);
	return NULL;
}

/* It may let go outside of the callback, if that is soon. */
static void test_unmap_held_a_while(void)
{
	pthread_t thread;

	open_pinned(PAGES);
	sample_set_mode(&rig.dev, SAMPLE_HOLD);
	CHECK(!pthread_create(&thread, NULL, let_go_later, NULL));
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	join_within(thread, 5, "an unpin");
}

static void unmap_it(void *unused)
{
	(void)unused;
	unmap(&rig, IOVA, BYTES);
}

/* Whoever asked and was refused, in the end, need not wait for that to die. */
static void test_unmap_held_killed(void)
{
	char *va = open_pinned(PAGES);
	time_t begin = time(NULL);

	sample_set_mode(&rig.dev, SAMPLE_HOLD);
	for (int i = 0; i < 20; i++) {
		pid_t child = start_child(unmap_it, NULL);

		usleep(20000);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
	}
	/* Each would be at it for two seconds. */
	CHECK(time(NULL) - begin < 10);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	sample_set_mode(&rig.dev, 0);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
}

static void test_detach(void)
{
	long pins = pages_pinned();

	open_pinned(PAGES);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	CHECK(sample_unmaps(&rig.dev) >= 1);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(load(IOVA, 1), -ENOENT);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
	EXPECT(pin(IOVA, BYTES), 0);
}

static void test_replace(void)
{
	char *other_va = marked(BYTES);
	long pins = pages_pinned();
	uint32_t ioas;

	open_pinned(PAGES);
	ioas = new_ioas();
	EXPECT(map_in(ioas, other_va, BYTES, IOVA), 0);
	EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
	EXPECT(sample_pinned(&rig.dev), PAGES);
	EXPECT(sample_unmaps(&rig.dev), 0);
	EXPECT(attach(&rig.dev, ioas), 0);
	CHECK(sample_unmaps(&rig.dev) >= 1);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
	CHECK(sees(SAMPLE_LOAD, IOVA, other_va, BYTES));
	EXPECT(pin(IOVA, BYTES), 0);
	CHECK(sees(SAMPLE_PEEK, IOVA, other_va, BYTES));
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), -EBUSY);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
	CHECK(sees(SAMPLE_PEEK, IOVA, other_va, BYTES));
	EXPECT(unmap(&rig, IOVA, BYTES), -ENOENT);
}

/* Nothing has happened to the first one. Scenario 9. */
static void test_replace_fails(void)
{
	char *va = open_pinned(PAGES);
	uint32_t ioas = new_ioas(), hwpt_id;
	struct vfio_dev edu;

	EXPECT(map_in(ioas, va + 1, 100, IOVA), 0);
	EXPECT(attach(&rig.dev, 12345), -ENOENT);
	EXPECT(attach(&rig.dev, rig.dev.dev_id), -ENOENT);
	EXPECT(attach(&rig.dev, ioas), -EADDRINUSE);
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), 0);
	/* A page table is not for it. */
	ioas = new_ioas();
	bind_device(&edu, EDU, rig.space.iommufd);
	hwpt_id = ioas;
	EXPECT(vfio_dev_attach(&edu, &hwpt_id), 0);
	CHECK(hwpt_id != ioas);
	EXPECT(attach(&rig.dev, hwpt_id), -ENOENT);
	EXPECT(sample_unmaps(&rig.dev), 0);
	EXPECT(sample_pinned(&rig.dev), PAGES);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
	EXPECT(alignment(), PAGE);
}

static void check_close(uint32_t mode)
{
	long pins = pages_pinned();
	struct vfio_dev dev;

	open_pinned(PAGES);
	sample_set_mode(&rig.dev, mode);
	vfio_dev_close(&rig.dev);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.dev.dev_id), -ENOENT);
	EXPECT(alignment(), 1);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	sample_open(&dev, 0);
	EXPECT(vfio_dev_bind(&dev, rig.space.iommufd), 0);
	EXPECT(attach(&dev, rig.space.ioas_id), 0);
}

/* The driver unpins in time. */
static void test_close(void)
{
	check_close(0);
}

/* It waits to be asked, which is when VFIO gives the access back. */
static void test_close_pinned(void)
{
	check_close(SAMPLE_LEAVE);
}

/* The device keeps everything alive. Scenario 24. */
static void test_close_iommufd_first(void)
{
	char *va = open_pinned(PAGES / 2);
	long pins = pages_pinned();

	sample_set_mode(&rig.dev, SAMPLE_LEAVE);
	close(rig.space.iommufd);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES / 2));
	EXPECT(pin(IOVA + BYTES / 2, BYTES / 2), 0);
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
	EXPECT(pages_pinned() - pins, PAGES / 2);
	vfio_dev_close(&rig.dev);
	/* What remains is torn down when its last file is, a moment later. */
	for (int i = 0; i < 100 && pages_pinned() != pins - PAGES / 2; i++)
		usleep(10000);
	EXPECT(pages_pinned() - pins, -(PAGES / 2));
}

/* Through the group, as before there were character devices. */
static void test_group(void)
{
	struct iommu_vfio_ioas cmd = {
		.size = sizeof(cmd), .op = IOMMU_VFIO_IOAS_SET,
	};
	char *va = marked(BYTES);
	long pins = pages_pinned();
	int group;

	EXPECT(dma_space_open(&rig.space), 0);
	cmd.ioas_id = rig.space.ioas_id;
	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_VFIO_IOAS, &cmd), 0);
	EXPECT(map_at(&rig, va, BYTES, IOVA), 0);
	group = sample_open_group(0);
	EXPECT(raw_ioctl(group, VFIO_GROUP_SET_CONTAINER, &rig.space.iommufd),
	       0);
	sample_open_in_group(&rig.dev, group, 0);
	EXPECT(alignment(), PAGE);
	EXPECT(pin(IOVA, BYTES), 0);
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
	EXPECT(pages_pinned() - pins, PAGES);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), -EBUSY);
	sample_set_mode(&rig.dev, SAMPLE_LEAVE);
	vfio_dev_close(&rig.dev);
	EXPECT(pages_pinned() - pins, 0);
	EXPECT(alignment(), 1);
	close(group);
}

/* A device of the same name is another one. */
static void test_remove(void)
{
	char *va = open_pinned(PAGES);

	vfio_dev_close(&rig.dev);
	sample_remove(0);
	sample_open(&rig.dev, 0);
	EXPECT(vfio_dev_bind(&rig.dev, rig.space.iommufd), 0);
	rig_attach(&rig);
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
	vfio_dev_close(&rig.dev);
	sample_reload();
	sample_open(&rig.dev, 0);
	EXPECT(vfio_dev_bind(&rig.dev, rig.space.iommufd), 0);
	rig_attach(&rig);
	CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
}

static void become_user(void)
{
	struct rlimit limit = { LIMIT_PAGES * PAGE, LIMIT_PAGES * PAGE };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
	CHECK(!setgroups(0, NULL));
	CHECK(!setgid(USER));
	CHECK(!setuid(USER));
}

static void test_charge(void)
{
	char *va = marked(BYTES);

	rig_open_sample(&rig);
	become_user();
	EXPECT(map_at(&rig, va, BYTES, IOVA), 0);
	EXPECT(map_at(&rig, va, BYTES, IOVA + BYTES), 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(pin(IOVA, BYTES), 0);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(pin(IOVA + BYTES, PAGE), -ENOMEM);
	/* To copy, nothing has to stay. */
	CHECK(sees(SAMPLE_LOAD, IOVA + BYTES, va, BYTES));
	EXPECT(unpin(IOVA + PAGE, PAGE), 0);
	EXPECT(pin(IOVA + BYTES, PAGE), 0);
	EXPECT(pin(IOVA + PAGE, PAGE), -ENOMEM);
}

static int pipe_to_parent[2];

static void pin_and_wait(void *unused)
{
	(void)unused;
	rig_open_sample(&rig);
	become_user();
	EXPECT(map_at(&rig, marked(BYTES), BYTES, IOVA), 0);
	EXPECT(pin(IOVA, BYTES), 0);
	sample_set_mode(&rig.dev, SAMPLE_LEAVE);
	CHECK(write(pipe_to_parent[1], "", 1) == 1);
	pause();
}

/* Nothing is pinned, nor charged to the user: another has the whole limit. */
static void test_killed(void)
{
	long pins = pages_pinned();
	char byte;

	CHECK(!pipe(pipe_to_parent));
	for (int i = 0; i < 3; i++) {
		pid_t child = start_child(pin_and_wait, NULL);

		CHECK(read(pipe_to_parent[0], &byte, 1) == 1);
		EXPECT(pages_pinned() - pins, PAGES);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
		for (int j = 0; j < 100 && pages_pinned() != pins; j++)
			usleep(10000);
		EXPECT(pages_pinned() - pins, 0);
	}
	test_charge();
}

/* The edu on an IOAS of its own. */
static uint32_t edu_with_ioas(struct edu *edu)
{
	struct vfio_dev dev;
	uint32_t ioas;

	bind_device(&dev, EDU, rig.space.iommufd);
	ioas = new_ioas();
	EXPECT(attach(&dev, ioas), 0);
	edu_open(edu, &dev);
	return ioas;
}

/*
 * Memory is pinned once for all that come later: to share it with an IOAS that
 * has a device costs neither a pin nor, below, a charge.
 */
static void test_copy_to_device(void)
{
	long pins = pages_pinned();
	uint32_t ioas;
	struct edu edu;
	char *va;

	va = open_pinned(PAGES / 2);
	ioas = edu_with_ioas(&edu);
	EXPECT(pages_pinned() - pins, PAGES / 2);
	EXPECT(copy_to(ioas, IOVA, BYTES / 2), 0);
	EXPECT(pages_pinned() - pins, PAGES / 2);
	CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES / 2));
	/* What was not pinned is, and for both. */
	EXPECT(copy_to(ioas, IOVA + BYTES / 2, BYTES / 2), 0);
	EXPECT(pages_pinned() - pins, PAGES);
	EXPECT(pin(IOVA + BYTES / 2, BYTES / 2), 0);
	EXPECT(pages_pinned() - pins, PAGES);
	EXPECT(iommu_unmap(rig.space.iommufd, ioas, IOVA, BYTES, NULL), 0);
	EXPECT(pages_pinned() - pins, PAGES);
	CHECK(!edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
}

/* Scenario 51. */
static void test_copy_to_device_charge(void)
{
	char *va = marked(BYTES);
	uint32_t ioas;
	struct edu edu;

	rig_open_sample(&rig);
	ioas = edu_with_ioas(&edu);
	become_user();
	EXPECT(map_at(&rig, va, BYTES, IOVA), 0);
	EXPECT(pin(IOVA, BYTES), 0);
	EXPECT(copy_to(ioas, IOVA, BYTES), 0);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(map_in(ioas, marked(PAGE), PAGE, IOVA + HUGE), -ENOMEM);
	CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES));
	/* The first one goes, and the device has the memory still. */
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	EXPECT(iommu_unmap(rig.space.iommufd, ioas, IOVA, BYTES, NULL), 0);
	EXPECT(pinned_kib(), 0);
}

/* A physical device comes, goes and comes, and sees the pages that are pinned. */
static void test_with_device(void)
{
	char *va = open_pinned(PAGES / 2);
	struct vfio_dev edu_dev;
	struct edu edu;

	bind_device(&edu_dev, EDU, rig.space.iommufd);
	for (int i = 0; i < 2; i++) {
		EXPECT(attach(&edu_dev, rig.space.ioas_id), 0);
		edu_open(&edu, &edu_dev);
		EXPECT(pinned_kib(), PAGES * 4);
		CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
		CHECK(edu_reaches(&edu, va + BYTES - PAGE, IOVA + BYTES - PAGE));
		CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES / 2));
		CHECK(sees(SAMPLE_LOAD, IOVA, va, BYTES));
		/* The domain has them all: a pin takes none. */
		EXPECT(pin(IOVA + BYTES / 2, BYTES / 4), 0);
		EXPECT(pinned_kib(), PAGES * 4);
		CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES * 3 / 4));
		edu_close(&edu);
		EXPECT(vfio_dev_detach(&edu_dev), 0);
		EXPECT(pinned_kib(), PAGES * 3);
		CHECK(sees(SAMPLE_PEEK, IOVA, va, BYTES * 3 / 4));
		EXPECT(unpin(IOVA + BYTES / 2, BYTES / 4), 0);
		EXPECT(pinned_kib(), PAGES * 2);
	}
	/* A refused unmap has taken nothing from the device either. */
	EXPECT(attach(&edu_dev, rig.space.ioas_id), 0);
	edu_open(&edu, &edu_dev);
	sample_set_mode(&rig.dev, SAMPLE_HOLD);
	EXPECT(unmap(&rig, IOVA, BYTES), -EDEADLOCK);
	CHECK(edu_reaches(&edu, va, IOVA));
	sample_set_mode(&rig.dev, 0);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	EXPECT(pinned_kib(), 0);
	CHECK(!edu_reaches(&edu, va, IOVA));
}

/* A page in the middle of a huge one stays when the rest goes. Scenario 5. */
static void test_huge(void)
{
	struct vfio_dev edu_dev;
	struct edu edu;
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "2"), 0);
	va = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	CHECK(va != MAP_FAILED);
	memcpy(va, marked(HUGE), HUGE);
	rig_open_sample(&rig);
	bind_device(&edu_dev, EDU, rig.space.iommufd);
	EXPECT(map_at(&rig, va, HUGE, IOVA), 0);
	EXPECT(attach(&edu_dev, rig.space.ioas_id), 0);
	EXPECT(pin(IOVA + 100 * PAGE, PAGE), 0);
	EXPECT(pin(IOVA + HUGE - 3 * PAGE, 2 * PAGE), 0);
	EXPECT(pinned_kib(), HUGE / 1024);
	EXPECT(vfio_dev_detach(&edu_dev), 0);
	EXPECT(pinned_kib(), 3 * 4);
	CHECK(sees(SAMPLE_PEEK, IOVA + 100 * PAGE, va + 100 * PAGE, PAGE));
	CHECK(sees(SAMPLE_LOAD, IOVA + 90 * PAGE, va + 90 * PAGE, 20 * PAGE));
	EXPECT(attach(&edu_dev, rig.space.ioas_id), 0);
	EXPECT(pinned_kib(), HUGE / 1024);
	edu_open(&edu, &edu_dev);
	CHECK(edu_reaches(&edu, va + 100 * PAGE, IOVA + 100 * PAGE));
	CHECK(sees(SAMPLE_PEEK, IOVA + HUGE - 3 * PAGE, va + HUGE - 3 * PAGE,
		   2 * PAGE));
	EXPECT(unmap(&rig, IOVA, HUGE), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pinned_kib(), 0);
	munmap(va, HUGE);
	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "0"), 0);
}

/* Two emulated devices and one IOAS: each has to let go, a page is pinned once. */
static void test_two(void)
{
	char *va = open_pinned(PAGES);
	struct vfio_dev other;

	sample_open(&other, 1);
	EXPECT(vfio_dev_bind(&other, rig.space.iommufd), 0);
	CHECK(other.dev_id != rig.dev.dev_id);
	EXPECT(attach(&other, rig.space.ioas_id), 0);
	EXPECT(sample_run(&other, SAMPLE_PIN, IOVA + PAGE, BYTES - PAGE), 0);
	EXPECT(pinned_kib(), PAGES * 4);
	CHECK(sample_sees(&other, SAMPLE_PEEK, IOVA + PAGE, va + PAGE, PAGE));
	sample_set_mode(&other, SAMPLE_HOLD);
	EXPECT(unmap(&rig, IOVA, BYTES), -EDEADLOCK);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(sample_pinned(&other), PAGES - 1);
	CHECK(sample_sees(&other, SAMPLE_PEEK, IOVA + PAGE, va + PAGE, PAGE));
	EXPECT(pin(IOVA, BYTES), 0);
	/* One leaves: the other has what it has. */
	sample_set_mode(&other, 0);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(sample_pinned(&other), PAGES - 1);
	EXPECT(pinned_kib(), (PAGES - 1) * 4);
	EXPECT(unmap(&rig, IOVA, BYTES), 0);
	EXPECT(sample_pinned(&other), 0);
}

static int race_stop;

static int racing(void)
{
	return !__atomic_load_n(&race_stop, __ATOMIC_SEQ_CST);
}

static void race(void *(*one)(void *), void *(*two)(void *))
{
	pthread_t threads[2];

	CHECK(!pthread_create(&threads[0], NULL, one, NULL));
	CHECK(!pthread_create(&threads[1], NULL, two, NULL));
	sleep(RACE_SECONDS);
	__atomic_store_n(&race_stop, 1, __ATOMIC_SEQ_CST);
	join_within(threads[0], 10, "the first thread");
	join_within(threads[1], 10, "the second thread");
}

static unsigned long pins_made, pins_refused;

/* Its mutex is held while it pins, and the unmap's callback wants it. */
static void *pin_unpin_thread(void *unused)
{
	int rc;

	(void)unused;
	while (racing()) {
		rc = pin(IOVA + PAGE, BYTES);
		if (!rc)
			pins_made++;
		else if (rc == -EINVAL)
			pins_refused++;
		else if (rc != -EEXIST)
			EXPECT(rc, -ENOENT);
		rc = load(IOVA + PAGE / 2, BYTES);
		if (rc && rc != -EINVAL)
			EXPECT(rc, -ENOENT);
		EXPECT(unpin(IOVA + 3 * PAGE, 2 * PAGE), 0);
		if (pins_made % 2)
			EXPECT(unpin(IOVA, 2 * BYTES), 0);
	}
	return NULL;
}

static void *map_unmap_thread(void *unused)
{
	char *va = marked(2 * BYTES);
	int rc;

	(void)unused;
	while (racing()) {
		rc = map_at(&rig, va, BYTES, IOVA);
		EXPECT(rc, 0);
		EXPECT(map_at(&rig, va + BYTES, BYTES, IOVA + BYTES), 0);
		usleep(200);
		EXPECT(unmap(&rig, IOVA, 2 * BYTES), 0);
	}
	return NULL;
}

/* Scenario 8. */
static void test_race_unmap(void)
{
	long pins = pages_pinned();

	rig_open_sample(&rig);
	race(pin_unpin_thread, map_unmap_thread);
	CHECK(pins_made);
	/* They have met. */
	CHECK(pins_refused);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
}

static uint32_t other_ioas;

static void *replace_thread(void *unused)
{
	(void)unused;
	while (racing()) {
		EXPECT(attach(&rig.dev, other_ioas), 0);
		EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
		usleep(200);
		EXPECT(vfio_dev_detach(&rig.dev), 0);
		EXPECT(attach(&rig.dev, rig.space.ioas_id), 0);
		usleep(200);
	}
	return NULL;
}

static void test_race_replace(void)
{
	char *va = marked(2 * BYTES);
	long pins = pages_pinned();

	rig_open_sample(&rig);
	other_ioas = new_ioas();
	EXPECT(map_at(&rig, va, 2 * BYTES, IOVA), 0);
	EXPECT(map_in(other_ioas, va, 2 * BYTES, IOVA), 0);
	race(pin_unpin_thread, replace_thread);
	CHECK(pins_made);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "emulated.bind", test_bind, 0 },
		{ "emulated.alignment", test_alignment, 0 },
		{ "emulated.pin", test_pin, 0 },
		{ "emulated.poke", test_poke, 0 },
		{ "emulated.pin_errors", test_pin_errors, 0 },
		{ "emulated.copy", test_copy, 0 },
		{ "emulated.copy_by_child", test_copy_by_child, 0 },
		{ "emulated.copy_of_pinned", test_copy_of_pinned, 0 },
		{ "emulated.copy_in_kthread", test_copy_in_kthread, 0 },
		{ "emulated.copy_errors", test_copy_errors, 0 },
		{ "emulated.unmap", test_unmap, 0 },
		{ "emulated.unmap_one_area", test_unmap_one_area, 0 },
		{ "emulated.unmap_held", test_unmap_held, 0 },
		{ "emulated.unmap_held_a_while", test_unmap_held_a_while, 0 },
		{ "emulated.unmap_held_killed", test_unmap_held_killed, 0 },
		{ "emulated.detach", test_detach, 0 },
		{ "emulated.replace", test_replace, 0 },
		{ "emulated.replace_fails", test_replace_fails, 0 },
		{ "emulated.close", test_close, 0 },
		{ "emulated.close_pinned", test_close_pinned, 0 },
		{ "emulated.close_iommufd_first", test_close_iommufd_first, 0 },
		{ "emulated.group", test_group, 0 },
		{ "emulated.remove", test_remove, 0 },
		{ "emulated.charge", test_charge, 0 },
		{ "emulated.killed", test_killed, 0 },
		{ "emulated.copy_to_device", test_copy_to_device, 0 },
		{ "emulated.copy_to_device_charge", test_copy_to_device_charge,
		  0 },
		{ "emulated.with_device", test_with_device, 0 },
		{ "emulated.huge", test_huge, 0 },
		{ "emulated.two", test_two, 0 },
		{ "emulated.race_unmap", test_race_unmap, 0 },
		{ "emulated.race_replace", test_race_replace, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
