// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ioctls cost, in instructions of the guest. It runs under QEMU's
 * -icount shift=0,sleep=off, where an instruction takes one nanosecond of the
 * guest's time, so that the clock counts instructions and two runs agree.
 *
 * Prints lines `cost: ROW VALUE`: instructions per 4 KiB for the rows of large
 * memory, per ioctl for those of a single page, and bytes for those of memory.
 */
#include <unistd.h>

#include "cost.h"
#include "harness.h"

/* Memory that is mapped at IOVA and unmapped. */
struct mapping {
	struct rig rig;
	char *va;
	size_t bytes;
};

static void map_it(void *arg)
{
	struct mapping *map = arg;

	EXPECT(map_at(&map->rig, map->va, map->bytes, IOVA), 0);
}

static void unmap_it(void *arg)
{
	struct mapping *map = arg;

	EXPECT(unmap(&map->rig, IOVA, map->bytes), 0);
}

static void measure_map(struct mapping *map, const char *name, int rounds)
{
	const struct duo duo = { map_it, unmap_it, map };

	measure_and_print(&duo, rounds, "map", "unmap", name,
			  map->bytes / PAGE);
}

static void map_large(struct memory memory)
{
	struct mapping map = { .va = memory.va, .bytes = BYTES };

	rig_open(&map.rig, EDU);
	measure_map(&map, memory.name, LARGE_ROUNDS);
	free_memory(&memory);
}

static void test_thp(void)
{
	map_large(thp_memory());
}

static void test_hugetlb(void)
{
	map_large(hugetlb_memory());
}

static void test_scattered(void)
{
	map_large(scattered_memory());
}

static void test_page(void)
{
	struct mapping map = { .va = anon(PAGE), .bytes = PAGE };

	map.va[0] = 1;
	rig_bind(&map.rig, EDU);
	measure_map(&map, "page_no_domain", ROUNDS);
	rig_attach(&map.rig);
	measure_map(&map, "page_domain", ROUNDS);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "cost.page", test_page, 600 },
		{ "cost.thp", test_thp, 600 },
		{ "cost.hugetlb", test_hugetlb, 600 },
		{ "cost.scattered", test_scattered, 600 },
		{ "cost.attach_thp", test_attach_thp, 600 },
		{ "cost.attach_hugetlb", test_attach_hugetlb, 600 },
		{ "cost.attach_scattered", test_attach_scattered, 600 },
		{ "cost.copy_thp", test_copy_thp, 600 },
		{ "cost.copy_hugetlb", test_copy_hugetlb, 600 },
		{ "cost.copy_scattered", test_copy_scattered, 600 },
		{ "cost.type1_thp", test_type1_thp, 1200 },
		{ "cost.type1_hugetlb", test_type1_hugetlb, 1200 },
		{ "cost.type1_scattered", test_type1_scattered, 1200 },
		{ "cost.access_thp", test_access_thp, 600 },
		{ "cost.access_hugetlb", test_access_hugetlb, 600 },
		{ "cost.access_scattered", test_access_scattered, 600 },
		{ "cost.slab", test_slab, 600 },
		{ "cost.auto_iova", test_auto_iova, 600 },
		{ "cost.auto_iova_holes", test_auto_iova_holes, 600 },
		{ },
	};

	/* After boot, the kernel still has this and that to do. */
	sleep(30);
	return guest_tests(tests, argc, argv);
}
