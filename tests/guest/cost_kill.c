// SPDX-License-Identifier: GPL-2.0-only
/*
 * How soon a process that is killed in the middle of a map is gone. What its exit
 * takes anyway is what it takes when it is killed idle, with the same memory; what the
 * undo may take is what it takes to unmap as much as was mapped. The rest is the time
 * in which the kill was not noticed.
 */
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"
#include "harness.h"

#define MOST_UNNOTICED	10000000	/* 10 ms, an instruction takes a nanosecond */
#define NR_PARTS	4

/* What the child tells, and then does until it is killed. */
struct report {
	uint64_t map;
	uint64_t unmap;
};

static void child_measure(struct rig *rig, const struct memory *memory,
			  struct report *report)
{
	uint64_t begin = now(), between;

	EXPECT(map_at(rig, memory->va, BYTES, IOVA), 0);
	between = now();
	EXPECT(unmap(rig, IOVA, BYTES), 0);
	report->map = between - begin;
	report->unmap = now() - between;
}

static _Noreturn void child(int told, bool maps)
{
	struct memory memory = { 0 };
	struct report report;
	struct rig rig;

	for (size_t i = 0; memory_kinds[i].name; i++)
		if (!strcmp(memory_kinds[i].name, "scattered"))
			memory = memory_of(&memory_kinds[i]);
	rig_open(&rig, EDU);
	child_measure(&rig, &memory, &report);
	CHECK(write(told, &report, sizeof(report)) == sizeof(report));
	if (maps)
		map_at(&rig, memory.va, BYTES, IOVA);
	for (;;)
		pause();
}

/* Kill it in so many parts of its map. Return: from then to its end. */
static uint64_t time_kill(unsigned int part, struct report *report)
{
	struct timespec delay = { 0 };
	int told[2], status;
	uint64_t begin;
	pid_t pid;

	CHECK(!pipe(told));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		child(told[1], part);
	CHECK(read(told[0], report, sizeof(*report)) == sizeof(*report));
	delay.tv_nsec = part ? report->map / NR_PARTS * part : 1000000;
	nanosleep(&delay, NULL);
	begin = now();
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	begin = now() - begin;
	CHECK(WIFSIGNALED(status));
	close(told[0]);
	close(told[1]);
	return begin;
}

/*
 * Whoever kills comes first when it is time: by then no more shall be mapped than the
 * delay is for. Children do not inherit that.
 */
static void come_first(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	CHECK(!sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param));
}

void test_kill(void)
{
	struct report report;
	uint64_t idle;

	come_first();
	idle = time_kill(0, &report);

	for (unsigned int part = 1; part < NR_PARTS; part++) {
		int64_t took = time_kill(part, &report) - idle;
		int64_t undo = report.unmap / NR_PARTS * part;
		char row[32];

		snprintf(row, sizeof(row), "killed_in_part_%u", part);
		print_cost(row, took);
		snprintf(row, sizeof(row), "undone_in_part_%u", part);
		print_cost(row, undo);
		if (took > undo + MOST_UNNOTICED)
			FAIL("killed in part %u, it ended %lld ns late", part,
			     (long long)(took - undo));
	}
}
