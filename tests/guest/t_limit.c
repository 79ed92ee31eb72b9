// SPDX-License-Identifier: GPL-2.0-only
/* Locked memory: who is charged, how much, and when it is given back. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"

#define IOVA		(16 * MIB)
#define LIMIT_PAGES	16
#define USER		1000

static struct rig rig;

static void *touched(size_t bytes)
{
	void *va = anon(bytes);

	fill(va, 1, bytes);
	return va;
}

static void set_limit(unsigned long bytes)
{
	struct rlimit limit = { bytes, bytes };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
}

/* An ordinary user, the same in all tests: a charge that stays is noticed. */
static void become_user(unsigned long limit_pages)
{
	set_limit(limit_pages * PAGE);
	CHECK(!setgroups(0, NULL));
	CHECK(!setgid(USER));
	CHECK(!setuid(USER));
}

static int map_pages(unsigned int num_pages, uint64_t iova)
{
	return map_at(&rig, touched(num_pages * PAGE), num_pages * PAGE, iova);
}

static long long pinned_kib(void)
{
	return number_in("/proc/self/status", "VmPin");
}

/* Scenario 13. */
static void test_exact(void)
{
	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(LIMIT_PAGES + 1, IOVA), -ENOMEM);
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(map_pages(1, IOVA + HUGE), -ENOMEM);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

/* Scenario 13. */
static void test_sum_of_mappings(void)
{
	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(10, IOVA), 0);
	EXPECT(map_pages(LIMIT_PAGES - 10, IOVA + HUGE), 0);
	EXPECT(map_pages(1, IOVA + 2 * HUGE), -ENOMEM);
	EXPECT(unmap(&rig, IOVA, 10 * PAGE), 0);
	EXPECT(map_pages(11, IOVA), -ENOMEM);
	EXPECT(map_pages(10, IOVA), 0);
}

/* Nothing is pinned without a domain, so the attach is what is refused. */
static void test_charged_at_attach(void)
{
	rig_bind(&rig, EDU);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	EXPECT(map_pages(1, IOVA + HUGE), 0);
	rig.hwpt_id = rig.space.ioas_id;
	EXPECT(vfio_dev_attach(&rig.dev, &rig.hwpt_id), -ENOMEM);
	EXPECT(pinned_kib(), 0);
	EXPECT(unmap(&rig, IOVA + HUGE, PAGE), 0);
	rig_attach(&rig);
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(map_pages(1, IOVA + HUGE), -ENOMEM);
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(1, IOVA + HUGE), 0);
}

/*
 * However many devices use it, a page is charged once for each MAP.
 * Scenarios 13 and 51.
 */
static void test_two_ioas(void)
{
	struct vfio_dev nvme;
	struct iommu_mapping map = {
		.bytes = 8 * PAGE, .iova = IOVA, .prot = IOMMU_PROT_RW,
	};
	uint32_t ioas, pt_id;

	rig_open(&rig, EDU);
	bind_device(&nvme, NVME, rig.space.iommufd);
	pt_id = rig.space.ioas_id;
	EXPECT(vfio_dev_attach(&nvme, &pt_id), 0);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	/* Two domains with a MAP each are two. */
	EXPECT(vfio_dev_detach(&nvme), 0);
	EXPECT(iommu_ioas_alloc(rig.space.iommufd, &ioas), 0);
	pt_id = ioas;
	EXPECT(vfio_dev_attach(&nvme, &pt_id), 0);
	map.va = touched(map.bytes);
	EXPECT(map_at(&rig, map.va, map.bytes, IOVA), 0);
	EXPECT(iommu_map_fixed(rig.space.iommufd, ioas, &map), 0);
	EXPECT(map_pages(1, IOVA + HUGE), -ENOMEM);
}

struct parallel {
	pthread_barrier_t *barrier;
	char *va;
	uint64_t iova;
	int rc;
};

static void *map_in_parallel(void *arg)
{
	struct parallel *map = arg;

	pthread_barrier_wait(map->barrier);
	map->rc = map_at(&rig, map->va, 10 * PAGE, map->iova);
	return NULL;
}

/* Scenario 13. */
static void test_parallel(void)
{
	char *va = touched(20 * PAGE);
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 2);
	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	for (int i = 0; i < 100; i++) {
		struct parallel maps[2] = {
			{ &barrier, va, IOVA, 0 },
			{ &barrier, va + 10 * PAGE, IOVA + HUGE, 0 },
		};
		pthread_t threads[2];

		for (int j = 0; j < 2; j++)
			pthread_create(&threads[j], NULL, map_in_parallel,
				       &maps[j]);
		for (int j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		if (maps[0].rc)
			EXPECT(maps[0].rc, -ENOMEM);
		if (maps[1].rc)
			EXPECT(maps[1].rc, -ENOMEM);
		/* Never both; both refused is a race that may be lost. */
		CHECK(maps[0].rc || maps[1].rc);
		EXPECT(unmap(&rig, 0, UINT64_MAX), 0);
	}
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

static void test_privileged(void)
{
	rig_open(&rig, EDU);
	set_limit(0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	/* Not charged, but seen. */
	EXPECT(pinned_kib(), LIMIT_PAGES * 4);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	EXPECT(pinned_kib(), 0);
}

/* Who may lock memory is asked at MAP: what root mapped stays free. */
static void test_privileged_then_user(void)
{
	rig_open(&rig, EDU);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(LIMIT_PAGES, IOVA + HUGE), 0);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	EXPECT(map_pages(1, IOVA), -ENOMEM);
}

static void map_all(void *unused)
{
	(void)unused;
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

static void unmap_of_parent(void *unused)
{
	(void)unused;
	EXPECT(pinned_kib(), 0);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	/* What is given back is not ours. */
	EXPECT(pinned_kib(), 0);
}

/*
 * The charge belongs to the user who mapped, and outlives the process.
 * Scenario 11.
 */
static void test_charge_outlives_mapper(void)
{
	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	finish_child(start_child(map_all, NULL));
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(1, IOVA + HUGE), -ENOMEM);
	EXPECT(unmap(&rig, IOVA, LIMIT_PAGES * PAGE), 0);
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

/* Scenario 11. */
static void test_unmapped_by_child(void)
{
	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	finish_child(start_child(unmap_of_parent, NULL));
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

/* A map that fails in the middle gives back what it was charged. */
static void test_given_back_on_failure(void)
{
	char *va = touched(LIMIT_PAGES * PAGE);

	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	munmap(va + 12 * PAGE, PAGE);
	for (int i = 0; i < 20; i++)
		EXPECT(map_at(&rig, va, LIMIT_PAGES * PAGE, IOVA), -EFAULT);
	EXPECT(pinned_kib(), 0);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
}

/* The limit is looked at before memory is: none of it is faulted in. */
static void test_refused_before_pinning(void)
{
	char *va = anon(64 * MIB);
	long long before, after;

	rig_open(&rig, EDU);
	become_user(LIMIT_PAGES);
	before = number_in("/proc/self/status", "VmRSS");
	EXPECT(map_at(&rig, va, 64 * MIB, IOVA), -ENOMEM);
	after = number_in("/proc/self/status", "VmRSS");
	if (after - before > 1024)
		FAIL("%lld KiB were faulted in", after - before);
}

/* A user who was given the nodes needs no privilege at all. */
static void test_unprivileged(void)
{
	struct vfio_dev dev;
	char path[64];

	/* Which node it is can be seen from the file that opens it. */
	EXPECT(vfio_dev_open(&dev, bdf_of(EDU)), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dev.fd);
	CHECK(!chmod(path, 0666));
	vfio_dev_close(&dev);
	CHECK(!chmod("/dev/iommu", 0666));
	CHECK(!chmod("/dev/vfio", 0755));
	CHECK(!chmod("/dev/vfio/devices", 0755));
	become_user(LIMIT_PAGES);
	rig_open(&rig, EDU);
	EXPECT(map_pages(LIMIT_PAGES, IOVA), 0);
	EXPECT(map_pages(1, IOVA + HUGE), -ENOMEM);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "limit.exact", test_exact, 0 },
		{ "limit.sum_of_mappings", test_sum_of_mappings, 0 },
		{ "limit.charged_at_attach", test_charged_at_attach, 0 },
		{ "limit.two_ioas", test_two_ioas, 0 },
		{ "limit.parallel", test_parallel, 0 },
		{ "limit.privileged", test_privileged, 0 },
		{ "limit.privileged_then_user", test_privileged_then_user, 0 },
		{ "limit.charge_outlives_mapper", test_charge_outlives_mapper,
		  0 },
		{ "limit.unmapped_by_child", test_unmapped_by_child, 0 },
		{ "limit.given_back_on_failure", test_given_back_on_failure,
		  0 },
		{ "limit.refused_before_pinning", test_refused_before_pinning,
		  0 },
		{ "limit.unprivileged", test_unprivileged, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
