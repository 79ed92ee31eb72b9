// SPDX-License-Identifier: GPL-2.0-only
/*
 * What depends on how many areas there are: the search for an IOVA, and memory.
 * No domain, so that nothing is pinned and one page can be mapped a million
 * times.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cost.h"
#include "harness.h"

#define SEARCH_ROUNDS	21
/* Of more areas than FEW_AREAS, where a search may take long. */
#define FEW_AREAS	10000UL
#define LONG_ROUNDS	5
#define SLAB_AREAS	100000UL

/* An IOAS with areas at regular distances, from IOVA 0. */
struct crowd {
	struct rig rig;
	char *va;
	size_t stride;
	size_t num;
	size_t bytes;	/* what is looked for */
	uint64_t iova;	/* and where it was found */
};

static void crowd_open(struct crowd *crowd, size_t stride, size_t bytes)
{
	*crowd = (struct crowd){
		.stride = stride,
		.bytes = bytes,
		.va = anon(bytes),
	};
	rig_bind(&crowd->rig, EDU);
}

static void crowd_grow(struct crowd *crowd, size_t num)
{
	for (; crowd->num < num; crowd->num++)
		EXPECT(map_at(&crowd->rig, crowd->va, PAGE,
			      crowd->num * crowd->stride), 0);
}

static void search(void *arg)
{
	struct crowd *crowd = arg;

	crowd->iova = map_auto(&crowd->rig, crowd->va, crowd->bytes);
}

static void give_back(void *arg)
{
	struct crowd *crowd = arg;

	CHECK(crowd->iova > (crowd->num - 1) * crowd->stride);
	EXPECT(unmap(&crowd->rig, crowd->iova, crowd->bytes), 0);
}

/* What the environment says, or a million. */
static size_t most_areas(void)
{
	const char *number = getenv("cost_areas");

	return number ? strtoul(number, NULL, 10) : 1000000;
}

static void measure_searches(struct crowd *crowd, const char *make,
			     const char *undo)
{
	const struct duo duo = {
		.make = search, .undo = give_back, .arg = crowd,
	};

	for (size_t num = 1000; num <= most_areas(); num *= 10) {
		char name[32];

		crowd_grow(crowd, num);
		snprintf(name, sizeof(name), "%zu", num);
		measure_and_print(&duo, num > FEW_AREAS ? LONG_ROUNDS : SEARCH_ROUNDS,
				  make, undo, name, 1);
	}
}

void test_auto_iova(void)
{
	struct crowd crowd;

	crowd_open(&crowd, PAGE, PAGE);
	measure_searches(&crowd, "auto", "auto_unmap");
}

/* Two pages, which do not fit into the holes of one. */
void test_auto_iova_holes(void)
{
	struct crowd crowd;

	crowd_open(&crowd, 2 * PAGE, 2 * PAGE);
	measure_searches(&crowd, "auto_holes", "auto_holes_unmap");
}

static long long slab_kib(void)
{
	/* Counters of each processor are added to the total now. */
	EXPECT(write_file("/proc/sys/vm/stat_refresh", "1"), 0);
	return number_in("/proc/meminfo", "Slab");
}

void test_slab(void)
{
	struct crowd crowd;
	long long before;

	crowd_open(&crowd, PAGE, PAGE);
	before = slab_kib();
	crowd_grow(&crowd, SLAB_AREAS);
	print_cost("slab", (slab_kib() - before) * 1024.0 / SLAB_AREAS);
}
