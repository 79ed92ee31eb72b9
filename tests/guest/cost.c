// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ioctls cost, in instructions of the guest. It runs under QEMU's
 * -icount shift=0,sleep=off, where an instruction takes one nanosecond of the
 * guest's time, so that the clock counts instructions and two runs agree.
 *
 * Prints lines `cost: ROW VALUE`: instructions per 4 KiB for the rows of large
 * memory, per ioctl for those of a page or 64 KiB, and bytes for those of memory.
 *
 * Tests of large memory are bulk.KIND, see cost_memory.c, and measure what the
 * variable cost_ways names in the environment: ways to map, see cost_ways.c, "share"
 * and "access". They have the same memory then, in the same pieces. Others are
 * small.WAY, unmap_all.WAY, and those of an IOAS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cost.h"
#include "harness.h"

#define MAX_TESTS	40
#define SECONDS		900

/* What a test does, at the same place as its name. */
struct job {
	void (*run)(const void *arg);
	const void *arg;
};

static struct guest_test tests[MAX_TESTS + 1];
static struct job jobs[MAX_TESTS];
static unsigned int nr_tests;

static void run_job(void)
{
	const struct job *job = &jobs[running_test - tests];

	job->run(job->arg);
}

static void add(const char *who, const char *topic, void (*run)(void))
{
	struct guest_test *test = &tests[nr_tests++];
	char *name;

	if (nr_tests > MAX_TESTS || asprintf(&name, "%s.%s", who, topic) < 0)
		abort();
	*test = (struct guest_test){ name, run, SECONDS };
}

static void add_with(const char *who, const char *topic,
		     void (*run)(const void *arg), const void *arg)
{
	add(who, topic, run_job);
	jobs[nr_tests - 1] = (struct job){ run, arg };
}

/* Is it one of the words in the environment? */
static int is_wanted(const char *what)
{
	const char *list = getenv("cost_ways");
	size_t length = strlen(what);

	while (list && *list) {
		size_t word = strcspn(list, ",");

		if (word == length && !memcmp(list, what, word))
			return 1;
		list += word + (list[word] == ',');
	}
	return 0;
}

static void test_bulk(const void *kind)
{
	struct memory memory = memory_of(kind);

	for (const struct way *way = ways; way->name; way++)
		if (is_wanted(way->name) && (!way->exists || way->exists()))
			measure_map(way, &memory);
	if (is_wanted("floor") && !memory.untouched)
		measure_floor_share(&memory);
	if (is_wanted("share") && !memory.untouched)
		measure_share(&memory);
	if (is_wanted("access") && !memory.untouched)
		measure_access(&memory);
	free_memory(&memory);
}

/* What is allocated shall be charged, as it is where programs do real work. */
static void enter_cgroup(void)
{
	write_or_fail("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir("/sys/fs/cgroup/cost", 0755))
		perror("mkdir");
	write_or_fail("/sys/fs/cgroup/cost/cgroup.procs", "0");
}

int main(int argc, char **argv)
{
	for (const struct memory_kind *kind = memory_kinds; kind->name; kind++)
		add_with("bulk", kind->name, test_bulk, kind);
	for (const struct way *way = ways; way->name; way++) {
		if (way->exists && !way->exists())
			continue;
		add_with("small", way->name, test_map_small, way);
		if (way->ops->unmap_all)
			add_with("unmap_all", way->name, test_unmap_all, way);
	}
	add("cost", "nothing", test_floor_nothing);
	add("cost", "slab", test_slab);
	add("cost", "kill", test_kill);
	add("cost", "auto_iova", test_auto_iova);
	add("cost", "auto_iova_holes", test_auto_iova_holes);

	enter_cgroup();
	/* After boot, the kernel still has this and that to do. */
	sleep(30);
	return guest_tests(tests, argc, argv);
}
