// SPDX-License-Identifier: GPL-2.0-only
/*
 * What MAP and UNMAP cost, in instructions of the guest. It runs under QEMU's
 * -icount shift=0,sleep=off, where an instruction takes one nanosecond of the
 * guest's time, so that the clock counts instructions and two runs agree.
 *
 * Prints lines `cost: ROW VALUE`: instructions per 4 KiB for the rows of large
 * memory, per ioctl for those of a single page.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"

#define BYTES	(1UL << 30)
#define IOVA	(4UL << 30)
#define ROUNDS	1000
#define LARGE_ROUNDS	7

static struct rig rig;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* What two calls of now() count although nothing is between them. */
static uint64_t clock_cost(void)
{
	uint64_t begin = now();

	for (int i = 0; i < ROUNDS - 1; i++)
		now();
	return (now() - begin) / ROUNDS;
}

static void print_cost(const char *row, double value)
{
	printf("cost: %s %.*f\n", row, value < 100 ? 3 : 0, value);
	fflush(stdout);
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

static char *thp_memory(void)
{
	char *va = anon_aligned(BYTES, HUGE);

	CHECK(!madvise(va, BYTES, MADV_HUGEPAGE));
	for (size_t i = 0; i < BYTES; i += PAGE)
		va[i] = 1;
	return va;
}

static char *hugetlb_memory(void)
{
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "512"), 0);
	va = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		  MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (va == MAP_FAILED)
		FAIL("no huge pages: %s", strerror(errno));
	return va;
}

/*
 * Two buffers are touched in turn, page by page, so that what the allocator
 * hands out in order goes to one and the other. @unused_va is the other.
 */
static char *scattered_memory(char **unused_va)
{
	char *va = anon(BYTES), *other = anon(BYTES);

	CHECK(!madvise(va, BYTES, MADV_NOHUGEPAGE));
	CHECK(!madvise(other, BYTES, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < BYTES; i += PAGE) {
		va[i] = 1;
		other[i] = 1;
	}
	*unused_va = other;
	return va;
}

static void check_runs(const char *name, const char *va, size_t least,
		       size_t most)
{
	size_t runs = count_runs(va, BYTES);

	printf("cost: %s_runs %zu\n", name, runs);
	if (runs < least || runs > most)
		FAIL("%s memory has %zu runs", name, runs);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Now and then the kernel does something else for millions of instructions. */
static uint64_t median(uint64_t *costs, size_t num)
{
	qsort(costs, num, sizeof(*costs), compare);
	return costs[num / 2];
}

struct costs {
	uint64_t map[ROUNDS];
	uint64_t unmap[ROUNDS];
};

static void measure(struct costs *costs, char *va, size_t bytes, int rounds)
{
	uint64_t overhead = clock_cost();

	for (int i = 0; i < rounds; i++) {
		uint64_t begin, mapped, unmapped;

		begin = now();
		EXPECT(map_at(&rig, va, bytes, IOVA), 0);
		mapped = now();
		EXPECT(unmap(&rig, IOVA, bytes), 0);
		unmapped = now();
		costs->map[i] = mapped - begin - overhead;
		costs->unmap[i] = unmapped - mapped - overhead;
	}
}

static void measure_and_print(const char *name, char *va, size_t bytes,
			      int rounds)
{
	static struct costs costs;
	double pages = bytes / PAGE;
	char row[64];

	measure(&costs, va, bytes, rounds);
	snprintf(row, sizeof(row), "map_%s", name);
	print_cost(row, median(costs.map, rounds) / pages);
	snprintf(row, sizeof(row), "unmap_%s", name);
	print_cost(row, median(costs.unmap, rounds) / pages);
}

static void test_thp(void)
{
	char *va = thp_memory();

	check_runs("thp", va, 1, BYTES / HUGE);
	rig_open(&rig, EDU);
	measure_and_print("thp", va, BYTES, LARGE_ROUNDS);
}

static void test_hugetlb(void)
{
	char *va = hugetlb_memory();

	check_runs("hugetlb", va, 1, BYTES / HUGE);
	rig_open(&rig, EDU);
	measure_and_print("hugetlb", va, BYTES, LARGE_ROUNDS);
	munmap(va, BYTES);
	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "0"), 0);
}

static void test_scattered(void)
{
	size_t pages = BYTES / PAGE;
	char *unused_va;
	char *va = scattered_memory(&unused_va);

	/* The allocator starts a new block now and then: one in a thousand. */
	check_runs("scattered", va, pages - pages / 1000, pages);
	rig_open(&rig, EDU);
	measure_and_print("scattered", va, BYTES, LARGE_ROUNDS);
}

static void test_page(void)
{
	char *va = anon(PAGE);

	va[0] = 1;
	rig_bind(&rig, EDU);
	measure_and_print("page_no_domain", va, PAGE, ROUNDS);
	rig_attach(&rig);
	measure_and_print("page_domain", va, PAGE, ROUNDS);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "cost.page", test_page, 600 },
		{ "cost.thp", test_thp, 600 },
		{ "cost.hugetlb", test_hugetlb, 600 },
		{ "cost.scattered", test_scattered, 600 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
