// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers that fail, get stuck or take their time. Whatever they leave behind, no
 * page is unpinned while a device can reach it, and nobody else has to wait.
 */
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "mock.h"
#include "harness.h"

#define ROOM	(2 * HUGE_BYTES)

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

FIXTURE(driver)
{
	int fd;
	__u32 ioas;
	__u64 page;
	/* the starts of ROOM bytes each, seen by children as well */
	__u64 small;
	__u64 large;
};

FIXTURE_VARIANT(driver)
{
	const char *name;
	/* one that comes second, of another kind */
	const char *other;
};

FIXTURE_VARIANT_ADD(driver, exact)
{
	.name = "exact",
	.other = "vtd",
};

FIXTURE_VARIANT_ADD(driver, vtd)
{
	.name = "vtd",
	.other = "amd",
};

FIXTURE_VARIANT_ADD(driver, amd)
{
	.name = "amd",
	.other = "virtio",
};

FIXTURE_VARIANT_ADD(driver, arm)
{
	.name = "arm",
	.other = "vtd",
};

FIXTURE_VARIANT_ADD(driver, virtio)
{
	.name = "virtio",
	.other = "arm",
};

FIXTURE_SETUP(driver)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->name));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	self->page = page_bytes();
	self->small = shared_pages(ROOM);
	ASSERT_NE(0, self->small);
	self->large = (uintptr_t)huge_pages(ROOM);
	ASSERT_NE(0, self->large);
}

FIXTURE_TEARDOWN(driver)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	close(self->fd);
}

/* -- no memory for page tables */

/* Entries until the failure: each border of tables and calls, and around them. */
static const unsigned int fail_after[] = {
	1, 2, 3, 64, 65, 511, 512, 513, 600, 1023, 1024,
};

/* Scenario 54. */
TEST_F(driver, map_fails_half_way)
{
	const __u64 memory[] = { self->small, self->large };
	const __u64 length = 1024 * self->page;
	struct mock mock;
	unsigned int i;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	for (i = 0; i < 2 * ARRAY_SIZE(fail_after); i++) {
		/* large leaves fit on one side of the border, or on none */
		__u64 iova = APERTURE + HUGE_BYTES + i % 3 * 256 * self->page;
		__u64 va = memory[i & 1];

		ASSERT_EQ(0, map_at(self->fd, self->ioas, va, self->page,
				    iova - self->page));
		ASSERT_EQ(0, map_at(self->fd, self->ioas, va, self->page,
				    iova + length));
		ASSERT_EQ(0, write_number(SWITCH("fail_map_entry"),
					  fail_after[i / 2]));
		EXPECT_EQ(-ENOMEM, map_at(self->fd, self->ioas, va, length, iova))
			TH_LOG("entry %u", fail_after[i / 2]);
		EXPECT_TRUE(is_empty(self->fd, mock.hwpt, va, length, iova));
		EXPECT_EQ(0, check_refs(self->fd, va + self->page,
					length - self->page, 0));
		/* the neighbours are where they were */
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, va, self->page,
				       iova - self->page));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, va, self->page,
				       iova + length));
		/* and nothing is in the way of the next try */
		EXPECT_EQ(0, map_at(self->fd, self->ioas, va, length, iova));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, va, length, iova));
		EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	}
}

/* Scenario 54. */
TEST_F(driver, attach_fails_half_way)
{
	const __u64 length = 300 * self->page;
	struct mock mock;
	unsigned int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas,
				    (i & 1 ? self->large : self->small) +
				    i * length / 3,
				    length, APERTURE + i * 2 * length));
	for (i = 0; i < ARRAY_SIZE(fail_after); i++) {
		ASSERT_EQ(0, write_number(SWITCH("fail_map_entry"), fail_after[i]));
		EXPECT_EQ(-ENOMEM, mock_device(self->fd, self->ioas, &mock));
		EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	}
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt,
				       (i & 1 ? self->large : self->small) +
				       i * length / 3,
				       length, APERTURE + i * 2 * length));
}

/*
 * The second of two domains fails: the first loses what it had just got.
 * Scenario 54.
 */
TEST_F(driver, one_of_two_fails)
{
	const __u64 length = 512 * self->page;
	struct mock a, b;
	unsigned int n;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, set_driver(variant->other));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_NE(a.hwpt, b.hwpt);
	for (n = 1; n < 1024; n += 73) {
		ASSERT_EQ(0, write_number(SWITCH("fail_map_entry"), n));
		EXPECT_EQ(-ENOMEM, map_at(self->fd, self->ioas, self->small, length,
					  APERTURE));
		EXPECT_TRUE(is_empty(self->fd, a.hwpt, self->small, length,
				     APERTURE));
		EXPECT_TRUE(is_empty(self->fd, b.hwpt, self->small, length,
				     APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, self->small, length, 0));
	}
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->small, length, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->small, length, APERTURE));
}

/*
 * A domain that fails while it is added: those that were there have all.
 * Scenario 54.
 */
TEST_F(driver, second_domain_fails)
{
	const __u64 length = 512 * self->page;
	struct mock a, b;
	unsigned int n;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, HUGE_BYTES,
			    2 * APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, set_driver(variant->other));
	for (n = 1; n < 1024; n += 73) {
		ASSERT_EQ(0, write_number(SWITCH("fail_map_entry"), n));
		EXPECT_EQ(-ENOMEM, mock_device(self->fd, self->ioas, &b));
		EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->small, length,
				       APERTURE));
		EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->large, HUGE_BYTES,
				       2 * APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
	}
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->small, length, APERTURE));
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->small, length, APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
}

/* -- a small memory cgroup */

#define CGROUP		"/sys/fs/cgroup/iommufd_selftest"
#define MAX_LIMIT_KIB	1024

/* Opened outside: inside, there is no memory to open a file with. */
static int way_out = -1;

static int enter_cgroup(unsigned int limit_kib)
{
	char text[32];

	snprintf(text, sizeof(text), "%uK", limit_kib);
	way_out = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);
	return write_text(CGROUP "/memory.max", text) ?:
	       write_text(CGROUP "/cgroup.procs", "0");
}

static int leave_cgroup(void)
{
	int rc = write(way_out, "0", 1) == 1 ? 0 : -errno;

	close(way_out);
	return rc;
}

/* Being refused memory is to be an error, and not death. */
static int make_cgroup(void)
{
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return -errno;
	return write_text("/proc/self/oom_score_adj", "-1000");
}

/*
 * A map that runs out of memory at every allocation there is, one after the other,
 * in a place of its own, until there is enough. Scenario 54.
 */
TEST_F(driver, map_in_a_small_memory_cgroup)
{
	const __u64 memory[] = { self->small, self->large };
	unsigned int i, limit_kib, failures = 0;
	const long pinned = pinned_pages();
	__u64 iova = APERTURE;
	struct mock mock;
	int rc = -ENOMEM;

	if (make_cgroup())
		SKIP(return, "there is no memory cgroup");
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	for (i = 0, limit_kib = 0; rc && limit_kib < MAX_LIMIT_KIB; i++) {
		__u64 va = memory[i & 1];

		ASSERT_EQ(0, enter_cgroup(limit_kib));
		rc = map_at(self->fd, self->ioas, va, ROOM, iova);
		ASSERT_EQ(0, leave_cgroup());
		if (!rc)
			break;
		EXPECT_EQ(-ENOMEM, rc);
		EXPECT_EQ(pinned, pinned_pages()) TH_LOG("%u KiB", limit_kib);
		EXPECT_EQ(0, status_kib("VmPin"));
		EXPECT_TRUE(is_empty(self->fd, mock.hwpt, va, ROOM, iova))
			TH_LOG("%u KiB", limit_kib);
		EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, iova, ROOM, NULL));
		failures++;
		limit_kib += 4;
		iova += 2 * ROOM;
	}
	EXPECT_EQ(0, rc);
	EXPECT_LT(0, failures);
	TH_LOG("%u maps failed", failures);
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, memory[i & 1], ROOM, iova));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	EXPECT_EQ(pinned, pinned_pages());
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* The same with an attach: what was there has not changed. Scenario 54. */
TEST_F(driver, attach_in_a_small_memory_cgroup)
{
	unsigned int limit_kib, failures = 0;
	const long pinned = pinned_pages();
	struct mock mock = {};
	int rc = -ENOMEM;

	if (make_cgroup())
		SKIP(return, "there is no memory cgroup");
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, ROOM, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, ROOM, 2 * APERTURE));
	for (limit_kib = 0; rc && limit_kib < MAX_LIMIT_KIB; limit_kib += 4) {
		ASSERT_EQ(0, enter_cgroup(limit_kib));
		rc = mock_device(self->fd, self->ioas, &mock);
		ASSERT_EQ(0, leave_cgroup());
		if (!rc)
			break;
		EXPECT_EQ(-ENOMEM, rc);
		EXPECT_EQ(pinned, pinned_pages()) TH_LOG("%u KiB", limit_kib);
		EXPECT_EQ(0, status_kib("VmPin"));
		failures++;
	}
	EXPECT_EQ(0, rc);
	EXPECT_LT(3, failures);
	TH_LOG("%u attaches failed", failures);
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->small, ROOM, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->large, ROOM,
			       2 * APERTURE));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(pinned, pinned_pages());
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* Of a page of kernel memory, at least 8 mappings can be made. Scenario 18. */
TEST_F(driver, tiny_mappings_in_a_small_memory_cgroup)
{
	const unsigned int limit_kib = 512, most = 2 * limit_kib / 4 * 16;
	const __u64 page = page_bytes();
	unsigned int nr_maps;
	__u64 bytes;
	int rc = 0;

	if (make_cgroup())
		SKIP(return, "there is no memory cgroup");
	ASSERT_EQ(0, enter_cgroup(limit_kib));
	for (nr_maps = 0; !rc && nr_maps < most; nr_maps++)
		rc = map_at(self->fd, self->ioas, self->small, page,
			    APERTURE + 2 * nr_maps * page);
	ASSERT_EQ(0, leave_cgroup());
	EXPECT_EQ(-ENOMEM, rc);
	EXPECT_LT(limit_kib / 4 * 8 / 2, nr_maps);
	TH_LOG("%u mappings in %u KiB", nr_maps - 1, limit_kib);

	/* The one that failed is not there, the others are. */
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, &bytes));
	EXPECT_EQ((nr_maps - 1) * page, bytes);
	EXPECT_EQ(0, rmdir(CGROUP));
}

/* -- unmaps that do not happen */

/*
 * The pages that the driver keeps mapped stay pinned and keep their IOVA, and all
 * else goes on. Scenario 17.
 */
TEST_F(driver, stuck_unmap)
{
	const __u64 length = 8 * self->page, stuck = APERTURE + 3 * self->page;
	__u64 va = (uintptr_t)small_pages(HUGE_BYTES), bytes = 1;
	struct mock mock;

	ASSERT_NE(0, va);
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, va, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length,
			    APERTURE + length));
	ASSERT_EQ(0, write_number(SWITCH("stuck_iova"), stuck));

	EXPECT_EQ(-ENOTRECOVERABLE, unmap(self->fd, self->ioas, APERTURE, length,
					  &bytes));
	EXPECT_EQ(0, bytes);
	ASSERT_EQ(0, write_number(SWITCH("stuck_iova"), 0));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, va + 3 * self->page,
			       self->page, stuck));
	EXPECT_EQ(0, check_refs(self->fd, va + 3 * self->page, self->page, 1));
	/* neither is it mapped over, nor unmapped */
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->ioas, va, self->page, APERTURE));
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->ioas, va, self->page, stuck));
	EXPECT_EQ(-ENOTRECOVERABLE, unmap(self->fd, self->ioas, APERTURE, length,
					  &bytes));

	/* its neighbours are as good as new */
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->small, length,
			       APERTURE + length));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small, length,
			    APERTURE + 2 * length));
	EXPECT_EQ(-ENOTRECOVERABLE, unmap_all(self->fd, self->ioas, &bytes));
	EXPECT_EQ(2 * length, bytes);
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 0));
	EXPECT_EQ(0, check_refs(self->fd, va + 3 * self->page, self->page, 1));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* -- drivers that take their time */

/* An ioctl in a thread of its own. */
struct slow {
	pthread_t thread;
	int fd;
	__u32 id;
	__u64 va;
	__u64 length;
	__u64 iova;
	struct mock mock;
	__u64 bytes;
	int rc;
	int is_done;
};

static void slow_is_done(struct slow *slow, int rc)
{
	slow->rc = rc;
	__atomic_store_n(&slow->is_done, 1, __ATOMIC_RELEASE);
}

static bool is_done(struct slow *slow)
{
	return __atomic_load_n(&slow->is_done, __ATOMIC_ACQUIRE);
}

static void *slow_attach(void *data)
{
	struct slow *slow = data;

	slow_is_done(slow, mock_device(slow->fd, slow->id, &slow->mock));
	return NULL;
}

static void *slow_map(void *data)
{
	struct slow *slow = data;

	slow_is_done(slow, map_at(slow->fd, slow->id, slow->va, slow->length,
				  slow->iova));
	return NULL;
}

static void *slow_unmap_all(void *data)
{
	struct slow *slow = data;

	slow_is_done(slow, unmap_all(slow->fd, slow->id, &slow->bytes));
	return NULL;
}

static void *slow_destroy(void *data)
{
	struct slow *slow = data;

	slow_is_done(slow, destroy(slow->fd, slow->id));
	return NULL;
}

/*
 * While a device is being attached to a full IOAS, everybody else maps, unmaps and
 * looks, in front of where the attach is as well as behind it.
 * Scenarios 53 and 55.
 */
TEST_F(driver, attach_stops_nobody)
{
	const __u64 length = 64 * self->page, gap = 4 * length;
	struct slow slow = { .fd = self->fd, .id = self->ioas };
	__u32 elsewhere;
	struct mock old;
	int i;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &old));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small + i * length,
				    length, APERTURE + i * gap));
	/* the attach comes as far as the fifth area */
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE + 4 * gap, APERTURE + 4 * gap));
	ASSERT_EQ(0, set_driver(variant->other));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_attach, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));

	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + gap, length, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + 6 * gap, length, NULL));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small + length, length,
			    APERTURE + gap + length));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small + 6 * length, length,
			    APERTURE + 6 * gap + length));
	EXPECT_EQ(0, check_map(self->fd, old.hwpt, self->small + 6 * length, length,
			       APERTURE + 6 * gap + length));
	EXPECT_EQ(0, check_map(self->fd, old.hwpt, self->small + 4 * length, length,
			       APERTURE + 4 * gap));
	EXPECT_EQ(0, check_refs(self->fd, self->small, 8 * length, 1));
	EXPECT_EQ(0, ioas_alloc(self->fd, &elsewhere));
	EXPECT_EQ(0, map_at(self->fd, elsewhere, self->small, length, 0));
	EXPECT_EQ(0, destroy(self->fd, elsewhere));
	EXPECT_FALSE(is_done(&slow));

	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	ASSERT_EQ(0, slow.rc);
	for (i = 0; i < 8; i++) {
		__u64 iova = APERTURE + i * gap + (i == 1 || i == 6) * length;

		EXPECT_EQ(0, check_map(self->fd, slow.mock.hwpt,
				       self->small + i * length, length, iova))
			TH_LOG("area %d", i);
		EXPECT_EQ(0, check_map(self->fd, old.hwpt,
				       self->small + i * length, length, iova));
	}
	EXPECT_TRUE(is_empty(self->fd, slow.mock.hwpt, self->small + length, length,
			     APERTURE + gap));
	EXPECT_TRUE(is_empty(self->fd, slow.mock.hwpt, self->small + 6 * length,
			     length, APERTURE + 6 * gap));
	/* the domain that was asked for the PFNs goes */
	EXPECT_EQ(0, destroy(self->fd, old.stdev));
	EXPECT_EQ(0, check_refs(self->fd, self->small, 8 * length, 1));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->small, 8 * length, 0));
}

/*
 * The same when nothing is pinned yet, and the area it is at wants to go.
 * Scenario 53.
 */
TEST_F(driver, first_attach_stops_nobody)
{
	const __u64 length = 64 * self->page, gap = 4 * length;
	struct slow slow = { .fd = self->fd, .id = self->ioas };
	struct slow all = { .fd = self->fd, .id = self->ioas };
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small + i * length,
				    length, APERTURE + i * gap));
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE + gap, APERTURE + gap));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_attach, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, length, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + 2 * gap, length, NULL));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small, length,
			    APERTURE + 3 * gap));
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
	EXPECT_EQ(0, check_refs(self->fd, self->small + 2 * length, length, 0));
	ASSERT_EQ(0, pthread_create(&all.thread, NULL, slow_unmap_all, &all));
	usleep(50000);
	/* the driver is at it: nobody can take it away from under it */
	EXPECT_FALSE(is_done(&all));

	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	pthread_join(all.thread, NULL);
	EXPECT_EQ(0, slow.rc);
	EXPECT_EQ(0, all.rc);
	EXPECT_EQ(2 * length, all.bytes);
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	EXPECT_TRUE(is_empty(self->fd, slow.mock.hwpt, self->small, length,
			     APERTURE + gap));
}

static int read_fdinfo(int fd)
{
	char path[64], line[256];
	FILE *fdinfo;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	fdinfo = fopen(path, "re");
	if (!fdinfo)
		return -errno;
	while (fgets(line, sizeof(line), fdinfo))
		;
	fclose(fdinfo);
	return 0;
}

/* Other ranges, other ways in, other objects: none of it takes long. */
static int use_everything_else(int fd, __u32 ioas, __u64 va)
{
	const __u64 length = 64 * page_bytes();
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = RW | FIXED,
		.dst_ioas_id = ioas,
		.src_ioas_id = ioas,
		.length = length,
		.dst_iova = 3 * APERTURE,
		.src_iova = 2 * APERTURE,
	};
	struct iommu_iova_range ranges[4];
	__u64 iova, alignment;
	struct mock mock;
	__u32 other, num = 4;
	int rc;

	rc = map_at(fd, ioas, va, length, 2 * APERTURE) ?:
	     command(fd, IOMMU_IOAS_COPY, &copy) ?:
	     map_any(fd, ioas, va, length, &iova) ?:
	     unmap(fd, ioas, iova, length, NULL) ?:
	     unmap(fd, ioas, 2 * APERTURE, length, NULL) ?:
	     unmap(fd, ioas, 3 * APERTURE, length, NULL) ?:
	     iova_ranges(fd, ioas, ranges, &num, &alignment) ?:
	     ioas_alloc(fd, &other) ?:
	     map_at(fd, other, va, length, APERTURE) ?:
	     mock_device(fd, other, &mock) ?:
	     check_map(fd, mock.hwpt, va, length, APERTURE) ?:
	     destroy(fd, mock.stdev) ?:
	     destroy(fd, other);
	return rc ?: read_fdinfo(fd);
}

/*
 * The memory is slow to come: it takes for ever to pin what is in the middle of all
 * that a device is attached to, and nobody else notices. Scenarios 14 and 53.
 */
TEST_F(driver, slow_source_stops_nobody)
{
	const __u64 length = 64 * self->page, gap = 4 * length;
	const __u64 other = self->small + 8 * length;
	struct slow slow = { .fd = self->fd, .id = self->ioas };
	double start;
	int i;

	for (i = 0; i < 5; i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small + i * length,
				    length, APERTURE + i * gap));
	ASSERT_EQ(0, close_gate(PIN_GATE, self->small + 2 * length + self->page,
				self->small + 2 * length + self->page));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_attach, &slow));
	ASSERT_TRUE(gate_is_busy(PIN_GATE));

	for (i = 0; i < 3; i++) {
		start = now();
		EXPECT_EQ(0, use_everything_else(self->fd, self->ioas, other));
		EXPECT_LT(now() - start, 3);
	}
	/* where the attach has been, and where it will be */
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
	EXPECT_EQ(0, check_refs(self->fd, self->small + 4 * length, length, 0));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, length, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + 3 * gap, length, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 0));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, other, length,
			    APERTURE + 3 * gap));
	EXPECT_FALSE(is_done(&slow));

	ASSERT_EQ(0, open_gate(PIN_GATE));
	pthread_join(slow.thread, NULL);
	ASSERT_EQ(0, slow.rc);
	EXPECT_TRUE(is_empty(self->fd, slow.mock.hwpt, self->small, length,
			     APERTURE));
	for (i = 1; i < 5; i++)
		EXPECT_EQ(0, check_map(self->fd, slow.mock.hwpt,
				       i == 3 ? other : self->small + i * length,
				       length, APERTURE + i * gap));
}

/* But for a device that comes to the domain or goes: see mock_attach.c. */
TEST_F(driver, map_stops_nobody)
{
	struct slow slow = {
		.fd = self->fd,
		.id = self->ioas,
		.va = self->small,
		.length = 64 * self->page,
		.iova = APERTURE,
	};
	struct slow all = { .fd = self->fd, .id = self->ioas };
	struct mock mock = {};

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE, APERTURE));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_map, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));

	EXPECT_EQ(-EBUSY, unmap(self->fd, self->ioas, APERTURE, slow.length, NULL));
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->ioas, self->small, self->page,
				  APERTURE + self->page));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->large, HUGE_BYTES,
			    2 * APERTURE));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->large, HUGE_BYTES,
			       2 * APERTURE));
	EXPECT_EQ(0, read_fdinfo(self->fd));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, 2 * APERTURE, HUGE_BYTES, NULL));
	ASSERT_EQ(0, pthread_create(&all.thread, NULL, slow_unmap_all, &all));
	usleep(50000);
	EXPECT_FALSE(is_done(&slow));
	EXPECT_FALSE(is_done(&all));

	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	pthread_join(all.thread, NULL);
	EXPECT_EQ(0, slow.rc);
	EXPECT_EQ(0, all.rc);
	EXPECT_EQ(slow.length, all.bytes);
}

/* Whoever wants the device or the IOAS to go waits for who is at work with it. */
TEST_F(driver, destroy_waits_for_map)
{
	struct slow slow = {
		.fd = self->fd,
		.id = self->ioas,
		.va = self->small,
		.length = 64 * self->page,
		.iova = APERTURE,
	};
	struct slow device = { .fd = self->fd };
	struct slow ioas = { .fd = self->fd, .id = self->ioas };
	struct mock mock;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	device.id = mock.stdev;
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE, APERTURE));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_map, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	ASSERT_EQ(0, pthread_create(&device.thread, NULL, slow_destroy, &device));
	usleep(50000);
	EXPECT_FALSE(is_done(&slow));
	EXPECT_FALSE(is_done(&device));

	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	pthread_join(device.thread, NULL);
	EXPECT_EQ(0, slow.rc);
	EXPECT_EQ(0, device.rc);
	EXPECT_EQ(0, check_refs(self->fd, self->small, slow.length, 0));
	ASSERT_EQ(0, pthread_create(&ioas.thread, NULL, slow_destroy, &ioas));
	pthread_join(ioas.thread, NULL);
	EXPECT_EQ(0, ioas.rc);
}

static void *slow_replace(void *data)
{
	struct slow *slow = data;

	slow_is_done(slow, mock_replace(slow->fd, &slow->mock, slow->id));
	return NULL;
}

/*
 * A device that is on its way elsewhere arrives before it is unbound.
 * Scenario 23.
 */
TEST_F(driver, unbind_waits_for_replace)
{
	const __u64 length = 64 * self->page;
	struct slow slow = { .fd = self->fd };
	struct slow device = { .fd = self->fd };

	ASSERT_EQ(0, ioas_alloc(self->fd, &slow.id));
	ASSERT_EQ(0, map_at(self->fd, slow.id, self->small, length, APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &slow.mock));
	device.id = slow.mock.stdev;
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE, APERTURE));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_replace, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));
	ASSERT_EQ(0, pthread_create(&device.thread, NULL, slow_destroy, &device));
	usleep(50000);
	EXPECT_FALSE(is_done(&slow));
	/* Where it comes from, the gate is not in the way. */
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->small, length,
			    APERTURE + length));
	EXPECT_FALSE(is_done(&slow));
	EXPECT_FALSE(is_done(&device));

	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	pthread_join(device.thread, NULL);
	EXPECT_EQ(0, slow.rc);
	EXPECT_EQ(0, device.rc);
	EXPECT_EQ(-ENOENT, destroy(self->fd, slow.mock.hwpt));
	EXPECT_EQ(0, destroy(self->fd, slow.id));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* An object whose ID was not told yet does not exist. Scenario 22. */
TEST_F(driver, guessed_ids)
{
	struct slow slow = { .fd = self->fd, .id = self->ioas };
	__u32 id;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, self->page,
			    APERTURE));
	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE, APERTURE));
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, slow_attach, &slow));
	ASSERT_TRUE(gate_is_busy(MAP_GATE));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	for (id = self->ioas + 1; id < self->ioas + 8; id++) {
		int rc = destroy(self->fd, id);

		/* the device as such is there, and its driver's */
		EXPECT_TRUE(rc == -ENOENT || rc == -EBUSY)
			TH_LOG("ID %u: %d", id, rc);
		EXPECT_EQ(-ENOENT, check_map(self->fd, id, self->small, 0, 0));
	}
	ASSERT_EQ(0, open_gate(MAP_GATE));
	pthread_join(slow.thread, NULL);
	EXPECT_EQ(0, slow.rc);
	EXPECT_EQ(0, check_map(self->fd, slow.mock.hwpt, self->small, self->page,
			       APERTURE));
	EXPECT_EQ(0, destroy(self->fd, slow.mock.stdev));
}

/* -- kill -9 */

/* Start a child that attaches to what it maps, or maps to what it attaches. */
static pid_t start_child(__u64 va, bool maps_first)
{
	pid_t child = fork();
	struct mock mock;
	__u32 ioas;
	int fd, rc;

	if (child)
		return child;
	fd = open_iommu();
	rc = ioas_alloc(fd, &ioas);
	if (maps_first)
		rc = rc ?: map_at(fd, ioas, va, ROOM, APERTURE) ?:
		     mock_device(fd, ioas, &mock);
	else
		rc = rc ?: mock_device(fd, ioas, &mock) ?:
		     map_at(fd, ioas, va, ROOM, APERTURE);
	_exit(rc ? 1 : 2);
}

static double kill_and_wait(pid_t child, int *status)
{
	double start = now();

	kill(child, SIGKILL);
	waitpid(child, status, 0);
	return now() - start;
}

/* Scenario 14. */
TEST_F(driver, killed_at_the_gate)
{
	const struct {
		const char *gate;
		__u64 first;
		bool maps_first;
	} ways[] = {
		{ MAP_GATE, APERTURE, false },
		{ MAP_GATE, APERTURE, true },
		{ PIN_GATE, self->small + ROOM / 2, false },
		{ PIN_GATE, self->small + ROOM / 2, true },
	};
	unsigned int i;
	int status;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		pid_t child;

		ASSERT_EQ(0, close_gate(ways[i].gate, ways[i].first,
					ways[i].first));
		child = start_child(self->small, ways[i].maps_first);
		ASSERT_LT(0, child);
		ASSERT_TRUE(gate_is_busy(ways[i].gate));
		EXPECT_LT(kill_and_wait(child, &status), 5);
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
		ASSERT_EQ(0, open_gate(ways[i].gate));
	}
}

#define NR_AREAS	64

/* Start a child that copies areas of a page each, which are in a domain, to another. */
static pid_t start_copier(__u64 va)
{
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.length = NR_AREAS * page_bytes(),
		.dst_iova = APERTURE + ROOM,
		.src_iova = APERTURE,
	};
	struct mock source, target;
	pid_t child = fork();
	int fd, i, rc;

	if (child)
		return child;
	fd = open_iommu();
	rc = ioas_alloc(fd, &copy.src_ioas_id) ?:
	     ioas_alloc(fd, &copy.dst_ioas_id) ?:
	     mock_device(fd, copy.src_ioas_id, &source) ?:
	     mock_device(fd, copy.dst_ioas_id, &target);
	for (i = 0; i < NR_AREAS && !rc; i++)
		rc = map_at(fd, copy.src_ioas_id, va + i * page_bytes(),
			    page_bytes(), APERTURE + i * page_bytes());
	_exit(rc || command(fd, IOMMU_IOAS_COPY, &copy) ? 1 : 2);
}

/* A copy of many areas ends with the one that is being mapped. Scenario 14. */
TEST_F(driver, killed_while_copying)
{
	int nr_maps, status;
	pid_t child;

	ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE + ROOM, APERTURE + 2 * ROOM - 1));
	child = start_copier(self->small);
	ASSERT_LT(0, child);
	ASSERT_TRUE(gate_is_busy(MAP_GATE));
	nr_maps = read_number(SWITCH("nr_maps"));
	ASSERT_LE(NR_AREAS, nr_maps);
	EXPECT_LT(kill_and_wait(child, &status), 5);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(nr_maps, read_number(SWITCH("nr_maps")));
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	ASSERT_EQ(0, open_gate(MAP_GATE));
}

/*
 * Pinning that takes ages, here some seconds at least, ends with its process.
 * Scenarios 14 and 49.
 */
TEST_F(driver, killed_while_pinning)
{
	int maps_first, status;

	ASSERT_EQ(0, temp_limit(self->fd, 64));
	ASSERT_EQ(0, write_number(SWITCH("pin_delay_ms"), 100));
	for (maps_first = 0; maps_first < 2; maps_first++) {
		pid_t child = start_child(self->small, maps_first);

		ASSERT_LT(0, child);
		usleep(500000);
		EXPECT_LT(kill_and_wait(child, &status), 2);
		EXPECT_TRUE(WIFSIGNALED(status))
			TH_LOG("status %x", status);
		EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	}
}

TEST_HARNESS_MAIN
