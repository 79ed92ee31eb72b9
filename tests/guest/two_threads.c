// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a test: how much two threads, each on a CPU of its own, map and unmap beside each
 * other, and how much one of them does alone. Prints "throughput: MEMORY STEP IOAS ONE
 * TWO RATIO" for tools/cost-two-threads.sh, in MiB per second of the clock on the wall:
 * the steps are the sizes of the maps in KiB, and the IOAS is one for both or one for
 * each. What two CPUs do that share nothing is "throughput: none - - ONE TWO RATIO", in
 * million loops.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "../../tools/demo/populate.h"
#include "harness.h"
#include "support.h"

#define IOVA		(1UL << 30)
#define ROUNDS		7
#define SECONDS		0.25	/* the least that a measurement takes */
#define LOOPS		(1 << 20)
#define MOST_SECONDS	300

/* What a thread does over and over. @bytes are counted as done each time. */
struct job {
	void (*run)(const struct job *job);
	size_t bytes;
	size_t step;
	char *va;
	uint64_t iova;
	struct rig *rig;
};

struct worker {
	pthread_t thread;
	pthread_barrier_t *start;
	const struct job *job;
	unsigned int cpu;
	unsigned int times;
	double begin;
	double end;
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void stay_on(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	CHECK(!sched_setaffinity(0, sizeof(cpus), &cpus));
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	stay_on(worker->cpu);
	pthread_barrier_wait(worker->start);
	worker->begin = seconds();
	for (unsigned int i = 0; i < worker->times; i++)
		worker->job->run(worker->job);
	worker->end = seconds();
	return NULL;
}

/* Return: from the begin of the first to the end of the last of @num threads. */
static double time_jobs(const struct job *jobs, unsigned int num,
			unsigned int times)
{
	struct worker workers[2] = { 0 };
	pthread_barrier_t start;
	double begin, end;

	CHECK(!pthread_barrier_init(&start, NULL, num));
	for (unsigned int i = 0; i < num; i++) {
		workers[i] = (struct worker){
			.start = &start, .job = &jobs[i], .cpu = i, .times = times,
		};
		CHECK(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (unsigned int i = 0; i < num; i++)
		CHECK(!pthread_join(workers[i].thread, NULL));
	pthread_barrier_destroy(&start);
	begin = workers[0].begin;
	end = workers[0].end;
	if (num == 2 && workers[1].begin < begin)
		begin = workers[1].begin;
	if (num == 2 && workers[1].end > end)
		end = workers[1].end;
	return end - begin;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

/* So often that a measurement takes long enough; the first time warms up. */
static unsigned int times_for(const struct job *jobs)
{
	time_jobs(jobs, 2, 1);
	return 1 + SECONDS / time_jobs(jobs, 1, 1);
}

/* One and two in turn, so that both are measured in the same state of the host. */
static void measure(const char *name, const struct job *jobs)
{
	double one[ROUNDS], two[ROUNDS], ratio[ROUNDS];
	unsigned int times = times_for(jobs);
	double amount = (double)jobs[0].bytes / MIB * times;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		one[i] = amount / time_jobs(jobs, 1, times);
		two[i] = 2 * amount / time_jobs(jobs, 2, times);
		ratio[i] = two[i] / one[i];
	}
	printf("throughput: %s %.0f %.0f %.2f\n", name, median(one), median(two),
	       median(ratio));
}

static void loop(const struct job *job)
{
	for (volatile size_t i = 0; i < job->bytes; i++)
		;
}

static void test_nothing_shared(void)
{
	const struct job jobs[] = {
		{ .run = loop, .bytes = LOOPS }, { .run = loop, .bytes = LOOPS },
	};

	measure("none - -", jobs);
}

static void map_and_unmap(const struct job *job)
{
	for (size_t at = 0; at < job->bytes; at += job->step)
		EXPECT(map_at(job->rig, job->va + at, job->step, job->iova + at),
		       0);
	for (size_t at = 0; at < job->bytes; at += job->step)
		EXPECT(unmap(job->rig, job->iova + at, job->step), 0);
}

/* @bytes: of one thread, the other one's are behind them */
struct maps {
	const char *memory;
	char *va;
	size_t bytes;
	struct rig rigs[2];
};

/* With an IOAS of its @own for each thread, or one for both. */
static void measure_step(struct maps *maps, size_t step, int own)
{
	struct job jobs[2];
	char name[64];

	for (int i = 0; i < 2; i++)
		jobs[i] = (struct job){
			.run = map_and_unmap,
			.bytes = maps->bytes,
			.step = step,
			.va = maps->va + i * maps->bytes,
			.iova = IOVA + i * maps->bytes,
			.rig = &maps->rigs[own ? i : 0],
		};
	snprintf(name, sizeof(name), "%s %zu %s", maps->memory, step / 1024,
		 own ? "own" : "same");
	measure(name, jobs);
}

static void measure_maps(const char *memory, char *va, size_t bytes)
{
	const size_t steps[] = { 64 * 1024, HUGE, bytes };
	struct maps maps = { .memory = memory, .va = va, .bytes = bytes };

	rig_open(&maps.rigs[0], EDU);
	rig_open(&maps.rigs[1], NVME);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		measure_step(&maps, steps[i], 0);
		measure_step(&maps, steps[i], 1);
	}
	rig_close(&maps.rigs[1]);
	rig_close(&maps.rigs[0]);
}

static void test_huge_pages(void)
{
	const size_t bytes = 512 * MIB;
	char *va = anon_aligned(bytes, HUGE);

	CHECK(!madvise(va, bytes, MADV_HUGEPAGE));
	EXPECT(populate(va, bytes, 2), 0);
	measure_maps("huge", va, bytes / 2);
	munmap(va, bytes);
}

/* What lies between them in memory is touched in turn with them. */
static void test_scattered(void)
{
	const size_t bytes = 128 * MIB;
	char *va = anon_aligned(bytes, HUGE), *other = anon(bytes);

	CHECK(!madvise(va, bytes, MADV_NOHUGEPAGE));
	CHECK(!madvise(other, bytes, MADV_NOHUGEPAGE));
	for (size_t at = 0; at < bytes; at += PAGE) {
		va[at] = 1;
		other[at] = 1;
	}
	measure_maps("scattered", va, bytes / 2);
	munmap(other, bytes);
	munmap(va, bytes);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "throughput.nothing_shared", test_nothing_shared, MOST_SECONDS },
		{ "throughput.huge_pages", test_huge_pages, MOST_SECONDS },
		{ "throughput.scattered", test_scattered, MOST_SECONDS },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
