// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is touched by several threads before it is mapped, as the demo does it,
 * and what that saves.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "../../tools/demo/populate.h"
#include "harness.h"
#include "support.h"

#define BULK	(256 * MIB)
#define IOVA	(1UL << 30)
#define ROUNDS	5

static size_t pages_there(char *va, size_t bytes)
{
	unsigned char *there = calloc(bytes / PAGE, 1);
	size_t num = 0;

	CHECK(there && !mincore(va, bytes, there));
	for (size_t i = 0; i < bytes / PAGE; i++)
		num += there[i] & 1;
	free(there);
	return num;
}

/* However the memory is cut among them, they touch it all and nothing else. */
static void test_all_there(void)
{
	static const size_t sizes[] = {
		PAGE, 3 * PAGE, 2 * MIB, 2 * MIB + PAGE, 17 * MIB - PAGE,
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned int threads = 0; threads < 6; threads++) {
			char *va = anon(sizes[i] + 2 * PAGE);

			CHECK(!madvise(va, sizes[i] + 2 * PAGE,
				       MADV_NOHUGEPAGE));
			EXPECT(populate(va + PAGE, sizes[i], threads), 0);
			EXPECT(pages_there(va, sizes[i] + 2 * PAGE),
			       sizes[i] / PAGE);
			munmap(va, sizes[i] + 2 * PAGE);
		}
	}
}

/* One that cannot be written to, in the part of any thread. */
static void test_bad_page(void)
{
	const size_t bytes = 16 * MIB;

	for (size_t at = 0; at < bytes; at += 3 * MIB) {
		char *va = anon(bytes);

		CHECK(!mprotect(va + at, PAGE, PROT_READ));
		CHECK(populate(va, bytes, 4) < 0);
		munmap(va, bytes);
	}
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* @threads 0: the map is left to touch it. Return: the shortest of several times. */
static double time_map(struct rig *rig, unsigned int threads)
{
	double least = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		char *va = anon(BULK);
		double begin, time;

		CHECK(!madvise(va, BULK, MADV_HUGEPAGE));
		begin = seconds();
		if (threads)
			EXPECT(populate(va, BULK, threads), 0);
		EXPECT(map_at(rig, va, BULK, IOVA), 0);
		time = seconds() - begin;
		least = time < least ? time : least;
		EXPECT(unmap(rig, IOVA, BULK), 0);
		munmap(va, BULK);
	}
	return least;
}

/* Prints what tools/cost-populate.sh wants to know. */
static void test_before_a_map(void)
{
	double by_map;
	struct rig rig;

	rig_open(&rig, EDU);
	by_map = time_map(&rig, 0);
	printf("populate: one_thread %.2f\n", time_map(&rig, 1) / by_map);
	printf("populate: two_threads %.2f\n", time_map(&rig, 2) / by_map);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "populate.all_there", test_all_there, 0 },
		{ "populate.bad_page", test_bad_page, 0 },
		{ "populate.before_a_map", test_before_a_map, 120 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
