// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to map memory and to unmap it, in each of the ways of cost_ways.c:
 * 1 GiB of each kind, a page, 64 KiB, and many areas at once.
 */
#include <stdio.h>

#include "cost.h"
#include "harness.h"

#define NR_AREAS	100000UL
#define UNMAP_ALL_ROUNDS	3

struct mapping {
	const struct way *way;
	struct way_user user;
	const struct memory *memory;
	char *va;
	size_t bytes;
};

static void map_it(void *arg)
{
	struct mapping *map = arg;

	EXPECT(map->way->ops->map(&map->user, map->va, map->bytes, IOVA), 0);
}

static void unmap_it(void *arg)
{
	struct mapping *map = arg;

	EXPECT(map->way->ops->unmap(&map->user, IOVA, map->bytes), 0);
}

static void prepare(void *arg)
{
	struct mapping *map = arg;

	reset_memory(map->memory);
}

/* Row names with the prefix of the way. */
struct names {
	char map[48];
	char unmap[48];
};

static struct names names_of(const struct way *way, const char *suffix)
{
	struct names names;

	snprintf(names.map, sizeof(names.map), "%smap%s", way->prefix, suffix);
	snprintf(names.unmap, sizeof(names.unmap), "%sunmap%s", way->prefix, suffix);
	return names;
}

static void print_flushes(struct mapping *map)
{
	struct names names = names_of(map->way, "_flushes");
	char row[96];
	int flushes;

	prepare(map);
	flushes = count_flushes(map_it, map);
	if (flushes < 0)
		return;
	snprintf(row, sizeof(row), "%s_%s", names.map, map->memory->name);
	print_cost(row, flushes);
	snprintf(row, sizeof(row), "%s_%s", names.unmap, map->memory->name);
	print_cost(row, count_flushes(unmap_it, map));
}

void measure_map(const struct way *way, const struct memory *memory)
{
	struct names names = names_of(way, "");
	struct mapping map = {
		.way = way, .memory = memory, .va = memory->va, .bytes = BYTES,
	};
	const struct duo duo = {
		.make = map_it, .undo = unmap_it, .arg = &map, .prepare = prepare,
	};

	way->open(&map.user);
	measure_and_print(&duo, memory->rounds, names.map, names.unmap,
			  memory->name, BYTES / PAGE);
	print_flushes(&map);
	way->ops->close(&map.user);
}

static void map_small(struct mapping *map, char *va, size_t bytes,
		      const char *what)
{
	struct names names = names_of(map->way, "");
	const struct duo duo = { .make = map_it, .undo = unmap_it, .arg = map };

	map->va = va;
	map->bytes = bytes;
	measure_and_print(&duo, ROUNDS, names.map, names.unmap, what, 1);
}

void test_map_small(const void *way)
{
	struct mapping map = { .way = way };
	char *page = anon(PAGE);

	page[0] = 1;
	map.way->open(&map.user);
	map_small(&map, page, PAGE, "page");
	map_small(&map, contiguous_64k(), 16 * PAGE, "64k");
	map_small(&map, scattered_64k(), 16 * PAGE, "64k_scattered");
	map.way->ops->guard(&map.user, page, IOVA + PAGE);
	map_small(&map, page, PAGE, "page_beside");
}

static void map_many(void *arg)
{
	struct mapping *map = arg;

	for (size_t i = 0; i < NR_AREAS; i++)
		EXPECT(map->way->ops->map(&map->user, map->va + i * PAGE, PAGE,
					  IOVA + i * PAGE), 0);
}

static void unmap_all(void *arg)
{
	struct mapping *map = arg;

	EXPECT(map->way->ops->unmap_all(&map->user), 0);
}

/* Areas that touch each other, of a page each. */
void test_unmap_all(const void *way)
{
	struct mapping map = { .way = way, .va = anon(NR_AREAS * PAGE) };
	struct names names = names_of(way, "");
	const struct duo duo = { .make = map_many, .undo = unmap_all, .arg = &map };

	for (size_t i = 0; i < NR_AREAS; i++)
		map.va[i * PAGE] = 1;
	map.way->open(&map.user);
	measure_and_print(&duo, UNMAP_ALL_ROUNDS, names.map, names.unmap, "many",
			  NR_AREAS);
}
