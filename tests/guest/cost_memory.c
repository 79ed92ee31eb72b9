// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of three kinds: in huge pages, whose runs are long, and scattered, in
 * which hardly a page has the one behind it as its neighbour.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cost.h"
#include "harness.h"

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

struct memory thp_memory(void)
{
	char *va = anon_aligned(BYTES, HUGE);

	CHECK(!madvise(va, BYTES, MADV_HUGEPAGE));
	for (size_t i = 0; i < BYTES; i += PAGE)
		va[i] = 1;
	check_runs("thp", va, 1, BYTES / HUGE);
	return (struct memory){ .name = "thp", .va = va };
}

struct memory hugetlb_memory(void)
{
	char *va;

	EXPECT(write_file("/proc/sys/vm/nr_hugepages", "512"), 0);
	va = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		  MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (va == MAP_FAILED)
		FAIL("no huge pages: %s", strerror(errno));
	check_runs("hugetlb", va, 1, BYTES / HUGE);
	return (struct memory){ .name = "hugetlb", .va = va };
}

/*
 * Two buffers are touched in turn, page by page, so that what the allocator
 * hands out in order goes to one and the other.
 */
struct memory scattered_memory(void)
{
	char *va = anon(BYTES), *other = anon(BYTES);
	size_t pages = BYTES / PAGE;

	CHECK(!madvise(va, BYTES, MADV_NOHUGEPAGE));
	CHECK(!madvise(other, BYTES, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < BYTES; i += PAGE) {
		va[i] = 1;
		other[i] = 1;
	}
	/* The allocator starts a new block now and then: one in a thousand. */
	check_runs("scattered", va, pages - pages / 1000, pages);
	return (struct memory){
		.name = "scattered", .va = va, .other_va = other,
	};
}

void free_memory(struct memory *memory)
{
	munmap(memory->va, BYTES);
	if (memory->other_va)
		munmap(memory->other_va, BYTES);
	if (!strcmp(memory->name, "hugetlb"))
		EXPECT(write_file("/proc/sys/vm/nr_hugepages", "0"), 0);
}
