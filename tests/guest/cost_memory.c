// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of several kinds: in huge pages, whose runs are long, and scattered, in
 * which hardly a page has the one behind it as its neighbour.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "harness.h"

/* So few runs, of 16 MiB and more on the average, make them long. */
#define LONG_RUNS	(BYTES / HUGE / 8)
#define MAX_TRIES	5

#define HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static void touch(char *va, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		va[i] = 1;
}

static uint64_t *read_pagemap(const char *va, size_t bytes)
{
	size_t num = bytes / PAGE, entry_bytes = num * sizeof(uint64_t);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t *entries = anon(entry_bytes);

	CHECK(fd >= 0);
	CHECK(pread(fd, entries, entry_bytes,
		    (uintptr_t)va / PAGE * sizeof(uint64_t)) ==
	      (ssize_t)entry_bytes);
	close(fd);
	/* Bit 63: present. Bits 0 to 54: the PFN. */
	for (size_t i = 0; i < num; i++) {
		CHECK(entries[i] >> 63);
		entries[i] &= (1UL << 55) - 1;
		CHECK(entries[i]);
	}
	return entries;
}

/* How many runs of consecutive PFNs the memory has. */
static size_t count_runs(const char *va, size_t bytes)
{
	uint64_t *pfns = read_pagemap(va, bytes);
	size_t runs = 1;

	for (size_t i = 1; i < bytes / PAGE; i++)
		runs += pfns[i] != pfns[i - 1] + 1;
	munmap(pfns, bytes / PAGE * sizeof(uint64_t));
	return runs;
}

static void check_runs(const char *name, const char *va, size_t least,
		       size_t most)
{
	size_t runs = count_runs(va, BYTES);

	printf("cost: %s_runs %zu\n", name, runs);
	if (runs < least || runs > most)
		FAIL("%s memory has %zu runs", name, runs);
}

/*
 * What is freed in one order is handed out again in the opposite one, in blocks of
 * 4 MiB. So memory that is not in long runs is when it is asked for once more.
 */
static char *in_long_runs(char *(*get)(void))
{
	char *va = get();

	for (int i = 0; i < MAX_TRIES && count_runs(va, BYTES) > LONG_RUNS; i++) {
		munmap(va, BYTES);
		write_file("/proc/sys/vm/compact_memory", "1");
		va = get();
	}
	return va;
}

static char *get_thp(void)
{
	char *va = anon_aligned(BYTES, HUGE);

	CHECK(!madvise(va, BYTES, MADV_HUGEPAGE));
	touch(va, BYTES);
	return va;
}

static struct memory thp_memory(void)
{
	char *va = in_long_runs(get_thp);

	check_runs("thp", va, 1, LONG_RUNS);
	return (struct memory){ .va = va };
}

static char *map_hugetlb(int flags)
{
	return mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | flags, -1, 0);
}

static char *get_hugetlb(void)
{
	char *va;

	EXPECT(write_file(HUGEPAGES, "0"), 0);
	EXPECT(write_file(HUGEPAGES, "512"), 0);
	va = map_hugetlb(0);
	if (va == MAP_FAILED)
		FAIL("no huge pages: %s", strerror(errno));
	return va;
}

static struct memory hugetlb_memory(void)
{
	char *va = in_long_runs(get_hugetlb);

	check_runs("hugetlb", va, 1, BYTES / HUGE);
	return (struct memory){ .va = va };
}

/* Such pages have to be set aside at boot. */
static struct memory gigantic_memory(void)
{
	char *va = map_hugetlb(MAP_HUGE_1GB);

	if (va == MAP_FAILED)
		test_skip("there is no page of 1 GiB");
	check_runs("gigantic", va, 1, BYTES / GIB);
	return (struct memory){ .va = va };
}

/*
 * Two buffers are touched in turn, piece by piece, so that what the allocator
 * hands out in order goes to one and the other.
 */
static struct memory touch_in_turn(size_t piece, int advice)
{
	char *va = anon_aligned(BYTES, piece), *other = anon_aligned(BYTES, piece);

	CHECK(!madvise(va, BYTES, advice));
	CHECK(!madvise(other, BYTES, advice));
	for (size_t i = 0; i < BYTES; i += piece) {
		touch(va + i, piece);
		touch(other + i, piece);
	}
	return (struct memory){ .va = va, .other_va = other };
}

static struct memory lone_thp_memory(void)
{
	struct memory memory = touch_in_turn(HUGE, MADV_HUGEPAGE);
	size_t pages = BYTES / HUGE;

	check_runs("lone_thp", memory.va, pages - pages / 50, pages);
	return memory;
}

static struct memory scattered_memory(void)
{
	struct memory memory = touch_in_turn(PAGE, MADV_NOHUGEPAGE);
	size_t pages = BYTES / PAGE;

	/* The allocator starts a new block now and then: one in a thousand. */
	check_runs("scattered", memory.va, pages - pages / 1000, pages);
	return memory;
}

/* Small pages, of which most have the one behind as their neighbour. */
static char *get_sequential(void)
{
	char *va = anon(BYTES);

	CHECK(!madvise(va, BYTES, MADV_NOHUGEPAGE));
	touch(va, BYTES);
	return va;
}

static struct memory sequential_memory(void)
{
	char *va = in_long_runs(get_sequential);

	check_runs("sequential", va, 1, BYTES / PAGE / 16);
	return (struct memory){ .va = va };
}

static struct memory unfaulted_memory(void)
{
	char *va = anon_aligned(BYTES, HUGE);

	CHECK(!madvise(va, BYTES, MADV_HUGEPAGE));
	return (struct memory){ .va = va, .untouched = 1 };
}

/* What needs long runs comes first, as long as there are such. */
const struct memory_kind memory_kinds[] = {
	{ "hugetlb", hugetlb_memory, LARGE_ROUNDS },
	{ "thp", thp_memory, LARGE_ROUNDS },
	{ "unfaulted", unfaulted_memory, FEW_ROUNDS },
	{ "sequential", sequential_memory, FEW_ROUNDS },
	{ "gigantic", gigantic_memory, LARGE_ROUNDS },
	{ "lone_thp", lone_thp_memory, LARGE_ROUNDS },
	{ "scattered", scattered_memory, FEW_ROUNDS },
	{ }
};

struct memory memory_of(const struct memory_kind *kind)
{
	struct memory memory = kind->get();

	memory.name = kind->name;
	memory.rounds = kind->rounds;
	return memory;
}

void reset_memory(const struct memory *memory)
{
	if (memory->untouched)
		CHECK(!madvise(memory->va, BYTES, MADV_DONTNEED));
}

char *contiguous_64k(void)
{
	char *va = anon_aligned(HUGE, HUGE);

	CHECK(!madvise(va, HUGE, MADV_HUGEPAGE));
	touch(va, HUGE);
	EXPECT(count_runs(va, 16 * PAGE), 1);
	return va;
}

char *scattered_64k(void)
{
	char *va = anon(HUGE), *other = anon(HUGE);

	CHECK(!madvise(va, HUGE, MADV_NOHUGEPAGE));
	CHECK(!madvise(other, HUGE, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < HUGE; i += PAGE) {
		touch(va + i, PAGE);
		touch(other + i, PAGE);
	}
	for (size_t i = 0; i < HUGE; i += 16 * PAGE)
		if (count_runs(va + i, 16 * PAGE) == 16)
			return va + i;
	FAIL("no 64 KiB are scattered");
}

void free_memory(struct memory *memory)
{
	munmap(memory->va, BYTES);
	if (memory->other_va)
		munmap(memory->other_va, BYTES);
	if (!strcmp(memory->name, "hugetlb"))
		EXPECT(write_file(HUGEPAGES, "0"), 0);
}
