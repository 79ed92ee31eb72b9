// SPDX-License-Identifier: GPL-2.0-only
/* What a device reaches through an IOAS, and what is pinned for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define IOVA	(16 * MIB)

static struct rig rig;
static struct edu edu;
static long pins_before;

static void open_bound(void)
{
	pins_before = pages_pinned();
	rig_bind(&rig, EDU);
}

static void open_attached(void)
{
	open_bound();
	rig_attach(&rig);
	edu_open(&edu, &rig.dev);
}

static long pinned(void)
{
	return pages_pinned() - pins_before;
}

static int reaches(void *va, uint64_t iova)
{
	return edu_reaches(&edu, va, iova);
}

static void *touched(size_t bytes)
{
	void *va = anon(bytes);

	fill(va, 1, bytes);
	return va;
}

static void test_attach_then_map(void)
{
	char *va = touched(8 * PAGE);

	open_attached();
	EXPECT(map_at(&rig, va, 8 * PAGE, IOVA), 0);
	EXPECT(pinned(), 8);
	CHECK(reaches(va, IOVA));
	CHECK(reaches(va + 7 * PAGE + 4000, IOVA + 7 * PAGE + 4000));
	EXPECT(unmap(&rig, IOVA, 8 * PAGE), 0);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va, IOVA));
	CHECK(!reaches(va + 7 * PAGE, IOVA + 7 * PAGE));
}

static void test_map_then_attach(void)
{
	char *va = touched(8 * PAGE), *other = touched(PAGE);

	open_bound();
	EXPECT(map_at(&rig, va, 8 * PAGE, IOVA), 0);
	EXPECT(map_at(&rig, other, PAGE, IOVA + 64 * MIB), 0);
	EXPECT(pinned(), 0);
	rig_attach(&rig);
	EXPECT(pinned(), 9);
	edu_open(&edu, &rig.dev);
	CHECK(reaches(va + 3 * PAGE, IOVA + 3 * PAGE));
	CHECK(reaches(other, IOVA + 64 * MIB));
	/* And goes on from there. */
	EXPECT(map_at(&rig, other, PAGE, IOVA - PAGE), 0);
	CHECK(reaches(other, IOVA - PAGE));
	EXPECT(pinned(), 10);
}

/* Data goes through the device from one buffer to another, and back out. */
static void test_copy_by_device(void)
{
	uint8_t *src = touched(2 * PAGE), *dst = touched(2 * PAGE);

	open_attached();
	for (int i = 0; i < 3000; i++)
		src[100 + i] = i * 7 + 3;
	EXPECT(map_at(&rig, src, 2 * PAGE, IOVA), 0);
	EXPECT(map_at(&rig, dst, 2 * PAGE, IOVA + HUGE), 0);
	edu_copy(&edu, IOVA + 100, IOVA + HUGE + 3333, 3000);
	CHECK(!memcmp(src + 100, dst + 3333, 3000));
	CHECK(is_filled(dst, 1, 3333));
	CHECK(is_filled(dst + 6333, 1, 2 * PAGE - 6333));
}

static void test_detach_blocks(void)
{
	char *va = touched(PAGE);

	open_attached();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	CHECK(reaches(va, IOVA));
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va, IOVA));
	rig_attach(&rig);
	EXPECT(pinned(), 1);
	CHECK(reaches(va, IOVA));
}

/* Two mappings of one buffer are two pins of each page. */
static void test_mapped_twice(void)
{
	char *va = touched(4 * PAGE);

	open_attached();
	EXPECT(map_at(&rig, va, 4 * PAGE, IOVA), 0);
	EXPECT(map_at(&rig, va, 4 * PAGE, IOVA + HUGE), 0);
	EXPECT(pinned(), 8);
	EXPECT(unmap(&rig, IOVA, 4 * PAGE), 0);
	EXPECT(pinned(), 4);
	CHECK(!reaches(va, IOVA));
	CHECK(reaches(va, IOVA + HUGE));
}

/* A domain makes the IOAS as coarse as its pages are. Scenario 6. */
static void test_alignment(void)
{
	char *va = touched(4 * PAGE);

	open_attached();
	EXPECT(map_at(&rig, va, PAGE / 2, IOVA), -EINVAL);
	EXPECT(map_at(&rig, va, PAGE, IOVA + 1), -EINVAL);
	EXPECT(map_at(&rig, va, PAGE, IOVA + PAGE / 2), -EINVAL);
	EXPECT(map_at(&rig, va + 1, PAGE, IOVA), -EINVAL);
	EXPECT(map_at(&rig, va + PAGE / 2, PAGE, IOVA), -EINVAL);
	EXPECT(pinned(), 0);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	/* Finer again without it, and then the device does not fit. */
	EXPECT(map_at(&rig, va, PAGE / 2, IOVA + HUGE), 0);
	rig.hwpt_id = rig.space.ioas_id;
	EXPECT(vfio_dev_attach(&rig.dev, &rig.hwpt_id), -EADDRINUSE);
	EXPECT(pinned(), 0);
	EXPECT(unmap(&rig, IOVA + HUGE, PAGE / 2), 0);
	rig_attach(&rig);
	CHECK(reaches(va, IOVA));
}

/* Every page of @bytes at @va is pinned and reached by the device. */
static void check_large(char *va, size_t bytes)
{
	EXPECT(map_at(&rig, va, bytes, 1UL << 30), 0);
	EXPECT(pinned(), bytes / PAGE);
	CHECK(reaches(va, 1UL << 30));
	CHECK(reaches(va + HUGE - 64, (1UL << 30) + HUGE - 64));
	CHECK(reaches(va + bytes - 64, (1UL << 30) + bytes - 64));
	EXPECT(unmap(&rig, 1UL << 30, bytes), 0);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va + HUGE, (1UL << 30) + HUGE));
	/* At an address where no large page of the IOMMU fits. */
	EXPECT(map_at(&rig, va + PAGE, bytes - PAGE, 1UL << 30), 0);
	EXPECT(pinned(), bytes / PAGE - 1);
	CHECK(reaches(va + PAGE, 1UL << 30));
	CHECK(reaches(va + bytes - PAGE, (1UL << 30) + bytes - 2 * PAGE));
	EXPECT(unmap(&rig, 1UL << 30, bytes - PAGE), 0);
	EXPECT(pinned(), 0);
}

static void test_hugetlb(void)
{
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "8"), 0);
	va = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (va == MAP_FAILED)
		FAIL("no huge pages: %s", strerror(errno));
	open_attached();
	check_large(va, 4 * HUGE);
}

/* One huge page over and over again, for there is not so much memory. */
static char *repeated_huge_page(size_t bytes)
{
	int file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	char *va = anon_aligned(bytes, HUGE);

	CHECK(file >= 0 && !ftruncate(file, HUGE));
	for (size_t done = 0; done < bytes; done += HUGE)
		CHECK(mmap(va + done, HUGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
	close(file);
	return va;
}

static void check_beyond_4_gib(char *va, size_t bytes, uint64_t iova)
{
	uint64_t unmapped;

	EXPECT(pinned(), bytes / PAGE);
	CHECK(reaches(va, iova));
	CHECK(reaches(va + 4 * GIB - 64, iova + 4 * GIB - 64));
	CHECK(reaches(va + 4 * GIB, iova + 4 * GIB));
	CHECK(reaches(va + bytes - 64, iova + bytes - 64));
	CHECK(!reaches(va, iova + bytes));
	EXPECT(iommu_unmap(rig.space.iommufd, rig.space.ioas_id, iova, bytes,
			   &unmapped), 0);
	EXPECT(unmapped, bytes);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va, iova));
	CHECK(!reaches(va + 4 * GIB, iova + 4 * GIB));
	CHECK(!reaches(va + bytes - 64, iova + bytes - 64));
}

static void test_beyond_4_gib(void)
{
	const size_t bytes = 4 * GIB + 3 * HUGE;
	uint64_t unmapped;
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "1"), 0);
	va = repeated_huge_page(bytes);
	open_attached();
	/* The window for interrupts ends below 4 GiB. */
	EXPECT(map_at(&rig, va, bytes, 4 * GIB), 0);
	check_beyond_4_gib(va, bytes, 4 * GIB);
	check_beyond_4_gib(va, bytes, map_auto(&rig, va, bytes));
	/* Nothing is left of it, and it is not in the way. */
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(map_at(&rig, va, bytes, 9 * GIB), 0);
	EXPECT(pinned(), 0);
	rig_attach(&rig);
	check_beyond_4_gib(va, bytes, 9 * GIB);
	EXPECT(map_at(&rig, va, bytes, 4 * GIB), 0);
	EXPECT(iommu_unmap(rig.space.iommufd, rig.space.ioas_id, 0, UINT64_MAX,
			   &unmapped), 0);
	EXPECT(unmapped, bytes);
	EXPECT(pinned(), 0);
}

/* Not enough huge pages behind a mapping: it fails as a whole. Scenario 16. */
static void test_hugetlb_shortage(void)
{
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "2"), 0);
	va = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		  MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	if (va == MAP_FAILED)
		FAIL("no huge pages: %s", strerror(errno));
	open_attached();
	EXPECT(map_at(&rig, va, 4 * HUGE, IOVA), -EFAULT);
	EXPECT(pinned(), 0);
	CHECK(map_at(&rig, va, HUGE, IOVA) == 0);
	EXPECT(pinned(), HUGE / PAGE);
	EXPECT(unmap(&rig, IOVA, HUGE), 0);
	munmap(va, 4 * HUGE);
	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "0"), 0);
}

static void test_thp(void)
{
	char *va = anon_aligned(4 * HUGE, HUGE);

	CHECK(!madvise(va, 4 * HUGE, MADV_HUGEPAGE));
	fill(va, 1, 4 * HUGE);
	if (number_in("/proc/self/smaps_rollup", "AnonHugePages") < 8192)
		FAIL("the kernel gave no transparent huge pages");
	open_attached();
	check_large(va, 4 * HUGE);
}

/* Pages in an order of their own: no two neighbours are neighbours. */
static void test_fragmented(void)
{
	enum { PAGES = 256 };
	int file = memfd_create("fragmented", MFD_CLOEXEC);
	char *va = anon(PAGES * PAGE);

	CHECK(file >= 0 && !ftruncate(file, PAGES * PAGE));
	for (int i = 0; i < PAGES; i++)
		CHECK(mmap(va + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, file,
			   (i * 37 % PAGES) * PAGE) != MAP_FAILED);
	fill(va, 1, PAGES * PAGE);
	open_attached();
	EXPECT(map_at(&rig, va, PAGES * PAGE, IOVA), 0);
	EXPECT(pinned(), PAGES);
	for (int i = 0; i < PAGES; i += 51)
		CHECK(reaches(va + i * PAGE, IOVA + i * PAGE));
	EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
	EXPECT(pinned(), 0);
}

static int map_prot(void *va, size_t bytes, enum iommu_prot prot)
{
	struct iommu_mapping map = {
		.va = va, .bytes = bytes, .iova = IOVA, .prot = prot,
	};

	return iommu_map_fixed(rig.space.iommufd, rig.space.ioas_id, &map);
}

/*
 * A mapping for reading cannot be written, nor the other way round.
 * Scenario 12.
 */
static void test_protection(void)
{
	char *va = touched(PAGE), *copy = touched(PAGE);

	open_attached();
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	strcpy(va, "readable");
	EXPECT(map_prot(va, PAGE, IOMMU_PROT_READ), 0);
	edu_copy(&edu, IOVA, IOVA + HUGE, 64);
	CHECK(!memcmp(va, copy, 64));
	CHECK(!reaches(va, IOVA));
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	EXPECT(map_prot(va, PAGE, IOMMU_PROT_WRITE), 0);
	CHECK(reaches(va, IOVA));
}

/*
 * The read-only mapping of private memory keeps its page when the process
 * writes there later: what the device reads is what the process wrote.
 */
static void check_private(char *va, const char *what)
{
	char *copy = touched(PAGE);

	EXPECT(map_prot(va, PAGE, IOMMU_PROT_READ), 0);
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	edu_copy(&edu, IOVA, IOVA + HUGE, 64);
	if (memcmp(va, copy, 64))
		FAIL("%s: the device reads something else", what);
	fill(va, 0x33, 64);
	edu_copy(&edu, IOVA, IOVA + HUGE, 64);
	if (memcmp(va, copy, 64))
		FAIL("%s: the device reads a stale page", what);
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	EXPECT(unmap(&rig, IOVA + HUGE, PAGE), 0);
}

static char *file_page(int flags, int prot)
{
	int file = open("/tests/t_map", O_RDONLY | O_CLOEXEC);
	char *va = mmap(NULL, PAGE, prot, flags, file, 0);

	CHECK(va != MAP_FAILED);
	close(file);
	return va;
}

/* Scenario 12. */
static void test_read_only_private(void)
{
	char *zero = anon(PAGE);

	open_attached();
	/* Read first: the zero page, which must not be what is pinned. */
	CHECK(is_filled(zero, 0, PAGE));
	check_private(zero, "zero page");
	check_private(file_page(MAP_PRIVATE, PROT_READ | PROT_WRITE),
		      "private file");
	EXPECT(pinned(), 0);
}

/* The BAR of a device is not memory that could be pinned. */
static void *bar_of_device(void)
{
	return (void *)edu.bar.base;
}

/* Scenario 12. */
static void test_bad_memory(void)
{
	char *va = touched(8 * PAGE);

	open_attached();
	CHECK(!mprotect(va, PAGE, PROT_NONE));
	EXPECT(map_prot(va, PAGE, IOMMU_PROT_READ), -EFAULT);
	CHECK(!mprotect(va, PAGE, PROT_READ));
	EXPECT(map_prot(va, PAGE, IOMMU_PROT_RW), -EFAULT);
	EXPECT(map_prot(va, PAGE, IOMMU_PROT_READ), 0);
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	EXPECT(map_prot(file_page(MAP_PRIVATE, PROT_READ), PAGE,
			IOMMU_PROT_RW), -EFAULT);
	EXPECT(map_prot(bar_of_device(), PAGE, IOMMU_PROT_RW), -EFAULT);
	EXPECT(map_prot((void *)16UL, PAGE, IOMMU_PROT_RW), -EINVAL);
	EXPECT(map_prot((void *)PAGE, PAGE, IOMMU_PROT_RW), -EFAULT);
	/* Kernel addresses, and the hole between the two halves. */
	EXPECT(map_prot((void *)(-PAGE * 2), PAGE, IOMMU_PROT_RW), -EFAULT);
	EXPECT(map_prot((void *)(1UL << 62), PAGE, IOMMU_PROT_RW), -EFAULT);
	EXPECT(pinned(), 0);
}

static void test_hole_in_memory(void)
{
	char *va = touched(64 * PAGE);

	open_attached();
	munmap(va + 63 * PAGE, PAGE);
	EXPECT(map_at(&rig, va, 64 * PAGE, IOVA), -EFAULT);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va, IOVA));
	CHECK(!reaches(va + 62 * PAGE, IOVA + 62 * PAGE));
	/* The IOVA is free again, and the error does not stick. */
	EXPECT(map_at(&rig, va, 63 * PAGE, IOVA), 0);
	EXPECT(pinned(), 63);
	CHECK(reaches(va + 62 * PAGE, IOVA + 62 * PAGE));
}

/* Attach pins what was mapped before: if it cannot, nothing has changed. */
static void test_attach_to_hole(void)
{
	char *va = touched(64 * PAGE), *bad = touched(PAGE);

	open_bound();
	EXPECT(map_at(&rig, va, 64 * PAGE, IOVA), 0);
	EXPECT(map_at(&rig, bad, PAGE, IOVA + HUGE), 0);
	munmap(bad, PAGE);
	rig.hwpt_id = rig.space.ioas_id;
	EXPECT(vfio_dev_attach(&rig.dev, &rig.hwpt_id), -EFAULT);
	EXPECT(pinned(), 0);
	EXPECT(unmap(&rig, IOVA + HUGE, PAGE), 0);
	rig_attach(&rig);
	EXPECT(pinned(), 64);
	edu_open(&edu, &rig.dev);
	CHECK(reaches(va + 63 * PAGE, IOVA + 63 * PAGE));
}

/*
 * A mapping in read-only memory's structure is undone, domain and all.
 * Scenario 57.
 */
static void test_read_only_structure(void)
{
	struct iommu_ioas_map *cmd = anon(PAGE);
	char *va = touched(4 * PAGE);

	open_attached();
	*cmd = (struct iommu_ioas_map){
		.size = sizeof(*cmd), .ioas_id = rig.space.ioas_id,
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_FIXED_IOVA,
		.user_va = (uintptr_t)va, .length = 4 * PAGE, .iova = IOVA,
	};
	CHECK(!mprotect(cmd, PAGE, PROT_READ));
	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_IOAS_MAP, cmd), -EFAULT);
	EXPECT(pinned(), 0);
	CHECK(!reaches(va, IOVA));
	EXPECT(map_at(&rig, va, 4 * PAGE, IOVA), 0);
}

/* munmap() leaves the device on the old page. */
static void test_munmap_keeps_page(void)
{
	char *va = touched(PAGE), *copy = touched(PAGE);

	open_attached();
	strcpy(va, "still there");
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	munmap(va, PAGE);
	edu_copy(&edu, IOVA, IOVA + HUGE, 64);
	EXPECT(strcmp(copy, "still there"), 0);
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	EXPECT(pinned(), 1);
}

struct child_map {
	char *va;
	size_t bytes;
};

static void map_in_child(void *arg)
{
	struct child_map *map = arg;

	fill(map->va, 2, map->bytes);
	EXPECT(map_at(&rig, map->va, map->bytes, IOVA), 0);
}

/*
 * A mapping belongs to the memory of whoever made it, and outlives it.
 * Scenario 11.
 */
static void test_mapped_by_child(void)
{
	char *va = touched(4 * PAGE), *copy = touched(PAGE);
	struct child_map map = { va, 4 * PAGE };

	open_attached();
	finish_child(start_child(map_in_child, &map));
	EXPECT(pinned(), 4);
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	edu_copy(&edu, IOVA + PAGE, IOVA + HUGE, 64);
	CHECK(is_filled(copy, 2, 64));
	CHECK(is_filled(va, 1, 4 * PAGE));
	/* What is to be pinned now has nobody to be pinned from. */
	EXPECT(unmap(&rig, IOVA, 4 * PAGE), 0);
	EXPECT(pinned(), 1);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	finish_child(start_child(map_in_child, &map));
	rig.hwpt_id = rig.space.ioas_id;
	EXPECT(vfio_dev_attach(&rig.dev, &rig.hwpt_id), -EFAULT);
	EXPECT(pinned(), 0);
	EXPECT(unmap(&rig, IOVA, 4 * PAGE), 0);
	rig_attach(&rig);
}

static int child_pipe[2];

static void map_and_wait(void *arg)
{
	char byte;

	map_in_child(arg);
	CHECK(write(child_pipe[1], "x", 1) == 1);
	/* Lives until the test does. */
	read(child_pipe[0], &byte, 1);
	pause();
}

/* The memory of another process that is alive is pinned from there. */
static void test_attach_over_others_memory(void)
{
	char *va = touched(4 * PAGE), *copy = touched(PAGE), byte;
	struct child_map map = { va, 4 * PAGE };
	int to_parent[2];

	open_bound();
	CHECK(!pipe(to_parent));
	CHECK(!pipe(child_pipe));
	close(child_pipe[1]);
	child_pipe[1] = to_parent[1];
	start_child(map_and_wait, &map);
	CHECK(read(to_parent[0], &byte, 1) == 1);
	EXPECT(map_at(&rig, copy, PAGE, IOVA + HUGE), 0);
	rig_attach(&rig);
	EXPECT(pinned(), 5);
	edu_open(&edu, &rig.dev);
	edu_copy(&edu, IOVA + PAGE, IOVA + HUGE, 64);
	CHECK(is_filled(copy, 2, 64));
}

/* exec counts as exit: the second half of the test runs in a new program. */
static void after_exec(void)
{
	rig.space.iommufd = atoi(getenv("EXEC_IOMMUFD"));
	rig.space.ioas_id = 1;
	rig.dev.fd = atoi(getenv("EXEC_DEVICE"));
	rig.hwpt_id = 1;
	EXPECT(vfio_dev_attach(&rig.dev, &rig.hwpt_id), -EFAULT);
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	rig_attach(&rig);
}

static void export_fd(const char *name, int fd)
{
	char text[16];

	fcntl(fd, F_SETFD, 0);
	snprintf(text, sizeof(text), "%d", fd);
	setenv(name, text, 1);
}

/* Scenario 11. */
static void test_exec(void)
{
	int status;
	pid_t child;

	open_bound();
	export_fd("EXEC_IOMMUFD", rig.space.iommufd);
	export_fd("EXEC_DEVICE", rig.dev.fd);
	child = fork();
	if (!child) {
		EXPECT(map_at(&rig, touched(PAGE), PAGE, IOVA), 0);
		execl("/proc/self/exe", "t_map", "after-exec", NULL);
		FAIL("exec: %s", strerror(errno));
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (status)
		FAIL("the new program ended with status 0x%x", status);
}

/* fork gives the child copies of pinned pages: the device stays with us. */
static void sleep_a_second(void *unused)
{
	(void)unused;
	sleep(1);
}

static void test_fork_keeps_pages(void)
{
	char *va = touched(PAGE);
	pid_t child;

	open_attached();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	child = start_child(sleep_a_second, NULL);
	fill(va, 9, PAGE);
	CHECK(reaches(va, IOVA));
	finish_child(child);
	CHECK(reaches(va, IOVA));
	EXPECT(pinned(), 1);
}

/* The order in which things go must not matter. */
enum step { UNMAP, DETACH, CLOSE_DEVICE, CLOSE_IOMMUFD, DESTROY_IOAS };

static void take(enum step step)
{
	switch (step) {
	case UNMAP:
		EXPECT(unmap(&rig, IOVA, 16 * PAGE), 0);
		break;
	case DETACH:
		EXPECT(vfio_dev_detach(&rig.dev), 0);
		break;
	case CLOSE_DEVICE:
		vfio_dev_close(&rig.dev);
		break;
	case CLOSE_IOMMUFD:
		dma_space_close(&rig.space);
		break;
	case DESTROY_IOAS:
		EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
		break;
	}
}

#define STEPS	4

static const enum step close_orders[][STEPS] = {
	{ UNMAP, DETACH, CLOSE_DEVICE, CLOSE_IOMMUFD },
	{ DETACH, UNMAP, CLOSE_DEVICE, CLOSE_IOMMUFD },
	{ DETACH, CLOSE_DEVICE, UNMAP, CLOSE_IOMMUFD },
	{ DETACH, DESTROY_IOAS, CLOSE_IOMMUFD, CLOSE_DEVICE },
	{ UNMAP, DETACH, CLOSE_IOMMUFD, CLOSE_DEVICE },
	{ DETACH, CLOSE_IOMMUFD, CLOSE_DEVICE, CLOSE_DEVICE },
	{ CLOSE_IOMMUFD, DETACH, CLOSE_DEVICE, CLOSE_DEVICE },
	{ CLOSE_IOMMUFD, CLOSE_DEVICE, CLOSE_DEVICE, CLOSE_DEVICE },
	{ CLOSE_DEVICE, UNMAP, DESTROY_IOAS, CLOSE_IOMMUFD },
	{ CLOSE_DEVICE, DESTROY_IOAS, CLOSE_IOMMUFD, CLOSE_IOMMUFD },
	{ CLOSE_DEVICE, CLOSE_IOMMUFD, CLOSE_IOMMUFD, CLOSE_IOMMUFD },
	{ UNMAP, CLOSE_IOMMUFD, DETACH, CLOSE_DEVICE },
};

/* Scenario 24. */
static void test_close_orders(void)
{
	char *va = touched(16 * PAGE);

	for (size_t i = 0; i < sizeof(close_orders) / sizeof(close_orders[0]);
	     i++) {
		open_bound();
		EXPECT(map_at(&rig, va, 16 * PAGE, IOVA), 0);
		rig_attach(&rig);
		EXPECT(pinned(), 16);
		for (int step = 0; step < STEPS; step++)
			take(close_orders[i][step]);
		if (pinned())
			FAIL("order %zu: %ld pages stay pinned", i, pinned());
	}
}

/* Closing the iommufd leaves the device attached, and DMA goes on. */
static void test_close_iommufd_keeps_attachment(void)
{
	char *va = touched(PAGE);

	open_attached();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	dma_space_close(&rig.space);
	EXPECT(pinned(), 1);
	CHECK(reaches(va, IOVA));
	/* A mapping of the BAR would keep the device open. */
	edu_close(&edu);
	vfio_dev_close(&rig.dev);
	EXPECT(pinned(), 0);
}

/* Each unmapped neighbour leaves the others in place. Scenario 55. */
static void test_unmap_neighbours(void)
{
	enum { AREAS = 8 };
	char *va = anon_aligned(2 * HUGE, HUGE);
	size_t bytes = 2 * HUGE / AREAS;

	fill(va, 1, 2 * HUGE);
	open_attached();
	for (int i = 0; i < AREAS; i++)
		EXPECT(map_at(&rig, va + i * bytes, bytes, IOVA + i * bytes),
		       0);
	EXPECT(pinned(), 2 * HUGE / PAGE);
	for (int i = 0; i < AREAS; i += 2)
		EXPECT(unmap(&rig, IOVA + i * bytes, bytes), 0);
	EXPECT(pinned(), HUGE / PAGE);
	for (int i = 0; i < AREAS; i++)
		EXPECT(reaches(va + i * bytes, IOVA + i * bytes), i % 2);
	EXPECT(unmap(&rig, IOVA, 2 * HUGE), 0);
	EXPECT(pinned(), 0);
}

/*
 * A 4 KiB hole beside a full 2 MiB must not take the 2 MiB along. Scenario 55.
 */
static void test_hole_below_large_page(void)
{
	char *va = anon_aligned(2 * HUGE, HUGE);

	fill(va, 1, 2 * HUGE);
	open_attached();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	EXPECT(map_at(&rig, va + 2 * PAGE, HUGE - 2 * PAGE, IOVA + 2 * PAGE),
	       0);
	EXPECT(map_at(&rig, va + HUGE, HUGE, IOVA + HUGE), 0);
	EXPECT(iommu_unmap(rig.space.iommufd, rig.space.ioas_id, IOVA,
			   2 * PAGE, NULL), 0);
	CHECK(!reaches(va, IOVA));
	CHECK(reaches(va + 2 * PAGE, IOVA + 2 * PAGE));
	CHECK(reaches(va + HUGE - PAGE, IOVA + HUGE - PAGE));
	CHECK(reaches(va + HUGE, IOVA + HUGE));
}

static void test_many_small(void)
{
	enum { MAPS = 2000 };
	char *va = touched(MAPS * PAGE);

	open_attached();
	for (int i = 0; i < MAPS; i++)
		EXPECT(map_at(&rig, va + i * PAGE, PAGE, IOVA + 2 * i * PAGE),
		       0);
	EXPECT(pinned(), MAPS);
	CHECK(reaches(va + 1999 * PAGE, IOVA + 2 * 1999 * PAGE));
	for (int i = 0; i < MAPS; i += 2)
		EXPECT(unmap(&rig, IOVA + 2 * i * PAGE, PAGE), 0);
	EXPECT(pinned(), MAPS / 2);
	CHECK(!reaches(va + 1000 * PAGE, IOVA + 2 * 1000 * PAGE));
	CHECK(reaches(va + 1001 * PAGE, IOVA + 2 * 1001 * PAGE));
	EXPECT(unmap(&rig, 0, UINT64_MAX), 0);
	EXPECT(pinned(), 0);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "map.attach_then_map", test_attach_then_map, 0 },
		{ "map.map_then_attach", test_map_then_attach, 0 },
		{ "map.copy_by_device", test_copy_by_device, 0 },
		{ "map.detach_blocks", test_detach_blocks, 0 },
		{ "map.mapped_twice", test_mapped_twice, 0 },
		{ "map.alignment", test_alignment, 0 },
		{ "map.hugetlb", test_hugetlb, 0 },
		{ "map.beyond_4_gib", test_beyond_4_gib, 120 },
		{ "map.hugetlb_shortage", test_hugetlb_shortage, 0 },
		{ "map.thp", test_thp, 0 },
		{ "map.fragmented", test_fragmented, 0 },
		{ "map.protection", test_protection, 0 },
		{ "map.read_only_private", test_read_only_private, 0 },
		{ "map.bad_memory", test_bad_memory, 0 },
		{ "map.hole_in_memory", test_hole_in_memory, 0 },
		{ "map.attach_to_hole", test_attach_to_hole, 0 },
		{ "map.read_only_structure", test_read_only_structure, 0 },
		{ "map.munmap_keeps_page", test_munmap_keeps_page, 0 },
		{ "map.mapped_by_child", test_mapped_by_child, 0 },
		{ "map.attach_over_others_memory",
		  test_attach_over_others_memory, 0 },
		{ "map.exec", test_exec, 0 },
		{ "map.fork_keeps_pages", test_fork_keeps_pages, 0 },
		{ "map.close_orders", test_close_orders, 60 },
		{ "map.close_iommufd_keeps_attachment",
		  test_close_iommufd_keeps_attachment, 0 },
		{ "map.unmap_neighbours", test_unmap_neighbours, 0 },
		{ "map.hole_below_large_page", test_hole_below_large_page, 0 },
		{ "map.many_small", test_many_small, 0 },
		{ },
	};

	if (argc == 2 && !strcmp(argv[1], "after-exec")) {
		after_exec();
		return 0;
	}
	return guest_tests(tests, argc, argv);
}
