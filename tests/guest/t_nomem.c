// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps, and attaches to what is mapped, that run out of memory for page tables
 * at every page of them. On VT-d a driver call that fails half way leaves what
 * it has written: nothing of that may be reachable by the device afterwards.
 *
 * The memory is refused by a control group that is entered for one ioctl. The
 * data itself has been charged outside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"

#define CGROUP		"/sys/fs/cgroup"
#define SMALL		CGROUP "/small"
#define BUFFER_BYTES	(8 * MIB)
#define MAX_LIMIT_KIB	1024
#define PATTERN		0x5c

static struct rig rig;
static struct nvme nvme;
static long pins_before;

/* Opened beforehand: inside, there is no memory to open a file with. */
static int way_out = -1;

static void enter_small_cgroup(unsigned int limit_kib)
{
	char text[32];

	write_or_fail(CGROUP "/cgroup.subtree_control", "+memory");
	if (mkdir(SMALL, 0755) && errno != EEXIST)
		FAIL("%s: %s", SMALL, strerror(errno));
	snprintf(text, sizeof(text), "%uK", limit_kib);
	write_or_fail(SMALL "/memory.max", text);
	/* Being refused memory shall be an error, not death. */
	write_or_fail("/proc/self/oom_score_adj", "-1000");
	way_out = open(CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	CHECK(way_out >= 0);
	write_or_fail(SMALL "/cgroup.procs", "0");
}

static void leave_small_cgroup(void)
{
	CHECK(write(way_out, "0", 1) == 1);
	close(way_out);
	CHECK(!rmdir(SMALL));
}

static long pinned(void)
{
	return pages_pinned() - pins_before;
}

/* Lets the disk write to every page from @iova on that belongs to @va. */
static void sweep(char *va, uint64_t iova)
{
	uint64_t step = nvme.max_transfer_bytes;
	uint64_t done;

	fill(va, PATTERN, BUFFER_BYTES);
	for (done = 0; done < BUFFER_BYTES; done += step)
		nvme_read(&nvme, done / nvme.block_bytes,
			  step / nvme.block_bytes, iova + done);
}

static void check_none_reached(char *va, uint64_t iova, unsigned int limit_kib)
{
	sweep(va, iova);
	for (unsigned long i = 0; i < BUFFER_BYTES / PAGE; i++)
		if (!is_filled(va + i * PAGE, PATTERN, PAGE))
			FAIL("with %u KiB: page %lu is still reached",
			     limit_kib, i);
}

static void check_all_reached(char *va, uint64_t iova)
{
	sweep(va, iova);
	for (unsigned long i = 0; i < BUFFER_BYTES / PAGE; i++)
		if (is_filled(va + i * PAGE, PATTERN, PAGE))
			FAIL("page %lu is not reached", i);
}

static void open_disk(void)
{
	rig_open(&rig, NVME);
	EXPECT(nvme_init(&nvme, &rig.space, &rig.dev), 0);
	pins_before = pages_pinned();
}

/*
 * Each round has a little more memory than the one before and a gigabyte of
 * its own, where no page table is yet, until the map succeeds.
 */
static void fail_at_every_page(char *va, uint64_t offset)
{
	unsigned int failures = 0, limit_kib;
	uint64_t iova = offset;
	int rc;

	open_disk();
	for (limit_kib = 0; limit_kib <= MAX_LIMIT_KIB; limit_kib += 4) {
		iova += GIB;
		enter_small_cgroup(limit_kib);
		rc = map_at(&rig, va, BUFFER_BYTES, iova);
		leave_small_cgroup();
		if (!rc)
			break;
		EXPECT(rc, -ENOMEM);
		failures++;
		if (pinned())
			FAIL("with %u KiB: %ld pages stay pinned", limit_kib,
			     pinned());
		check_none_reached(va, iova, limit_kib);
		/* Nothing is in the way of using the place. */
		EXPECT(unmap(&rig, iova, BUFFER_BYTES), -ENOENT);
	}
	EXPECT(rc, 0);
	EXPECT(pinned(), BUFFER_BYTES / PAGE);
	/* Four page tables and the one above: that many could be refused. */
	if (failures < 5)
		FAIL("only %u maps failed", failures);
	check_all_reached(va, iova);
	EXPECT(unmap(&rig, iova, BUFFER_BYTES), 0);
	check_none_reached(va, iova, limit_kib);
}

static char *huge_pages(void)
{
	char *va = anon_aligned(BUFFER_BYTES, HUGE);

	CHECK(!madvise(va, BUFFER_BYTES, MADV_HUGEPAGE));
	fill(va, PATTERN, BUFFER_BYTES);
	return va;
}

/*
 * Long runs, each of which crosses from one page table to the next.
 * Scenario 54.
 */
static void test_contiguous(void)
{
	fail_at_every_page(huge_pages(), MIB);
}

static char *scattered_pages(void)
{
	unsigned long num = BUFFER_BYTES / PAGE;
	int file = memfd_create("scattered", MFD_CLOEXEC);
	char *va = anon(BUFFER_BYTES);

	CHECK(file >= 0 && !ftruncate(file, BUFFER_BYTES));
	for (unsigned long i = 0; i < num; i++)
		CHECK(mmap(va + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, file,
			   i * 1237 % num * PAGE) != MAP_FAILED);
	fill(va, PATTERN, BUFFER_BYTES);
	return va;
}

/* Scenario 54. */
static void test_scattered(void)
{
	fail_at_every_page(scattered_pages(), 0);
}

/* The same with an attach, which has everything to fill. Scenario 54. */
static void test_attach(void)
{
	char *va = huge_pages();
	unsigned int failures = 0, limit_kib;
	uint64_t iova = GIB + MIB;
	int rc = -1;

	pins_before = pages_pinned();
	rig_bind(&rig, NVME);
	EXPECT(map_at(&rig, va, BUFFER_BYTES, iova), 0);
	for (limit_kib = 0; rc && limit_kib <= MAX_LIMIT_KIB; limit_kib += 4) {
		enter_small_cgroup(limit_kib);
		rig.hwpt_id = rig.space.ioas_id;
		rc = vfio_dev_attach(&rig.dev, &rig.hwpt_id);
		leave_small_cgroup();
		if (!rc)
			break;
		EXPECT(rc, -ENOMEM);
		failures++;
		EXPECT(pinned(), 0);
	}
	EXPECT(rc, 0);
	CHECK(failures >= 5);
	EXPECT(nvme_init(&nvme, &rig.space, &rig.dev), 0);
	check_all_reached(va, iova);
	nvme_exit(&nvme);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(pinned(), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -ENOENT);
}

/* What takes away needs no memory. */
static void test_undo_needs_none(void)
{
	char *va = huge_pages();

	open_disk();
	EXPECT(map_at(&rig, va, BUFFER_BYTES, GIB + MIB), 0);
	EXPECT(map_at(&rig, va, BUFFER_BYTES, 2 * GIB), 0);
	nvme_exit(&nvme);
	enter_small_cgroup(0);
	EXPECT(unmap(&rig, GIB + MIB, BUFFER_BYTES), 0);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
	rig_close(&rig);
	leave_small_cgroup();
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "nomem.contiguous", test_contiguous, 120 },
		{ "nomem.scattered", test_scattered, 120 },
		{ "nomem.attach", test_attach, 120 },
		{ "nomem.undo_needs_none", test_undo_needs_none, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
