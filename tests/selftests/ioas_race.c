// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that work on the same IOAS at the same time, without a device. What is
 * checked is what must hold whoever wins; the rest is for KASAN and lockdep.
 */
#include <linux/types.h>
#include <pthread.h>
#include <time.h>

#include "calls.h"
#include "harness.h"

#define SECONDS	2

FIXTURE(race)
{
	int fd;
	__u32 id;
	__u64 page;
	__u64 va;
};

FIXTURE_SETUP(race)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->id));
	self->page = page_bytes();
	self->va = (uintptr_t)anonymous(HUGE_BYTES);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(race)
{
	ASSERT_EQ(0, close(self->fd));
}

/* One thread's part, repeated until the time is up or it returns an error. */
struct worker {
	const FIXTURE_DATA(race) *space;
	int (*step)(struct worker *worker);
	pthread_t thread;
	unsigned int number;
	unsigned long steps;
	int error;
	__u64 bytes;
};

static void *work(void *data)
{
	struct worker *worker = data;
	time_t end = time(NULL) + SECONDS;

	while (!worker->error && time(NULL) < end) {
		worker->error = worker->step(worker);
		worker->steps++;
	}
	return NULL;
}

/* The first error of any, 0 if there was none. */
static int run_workers(struct worker *workers, unsigned int num,
		       const FIXTURE_DATA(race) *space)
{
	unsigned int i;
	int error = 0;

	for (i = 0; i < num; i++) {
		workers[i].space = space;
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return -EAGAIN;
	}
	for (i = 0; i < num; i++) {
		pthread_join(workers[i].thread, NULL);
		error = error ?: workers[i].error;
	}
	return error;
}

static int map_automatically(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	__u64 length = (1 + worker->steps % 7) * space->page, iova;
	int rc = map_any(space->fd, space->id, space->va, length, &iova);

	if (!rc)
		worker->bytes += length;
	return rc;
}

static int unmap_everything(struct worker *worker)
{
	__u64 bytes;
	int rc = unmap_all(worker->space->fd, worker->space->id, &bytes);

	if (!rc)
		worker->bytes += bytes;
	return rc;
}

/* No map gets lost, and none is counted twice. Scenario 1. */
TEST_F(race, automatic_maps_against_unmap_all)
{
	struct worker workers[3] = {
		{ .step = map_automatically },
		{ .step = map_automatically },
		{ .step = unmap_everything },
	};
	__u64 rest;

	ASSERT_EQ(0, run_workers(workers, 3, self));
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &rest));
	EXPECT_EQ(workers[0].bytes + workers[1].bytes, workers[2].bytes + rest);
	EXPECT_LT(0, workers[0].bytes);
	EXPECT_LT(0, workers[2].bytes);
}

/* Its own pages only: nobody else's unmap may take them away. */
static int map_and_unmap_own(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	__u64 length = (1 + worker->steps % 5) * space->page, iova, bytes;
	int rc = map_any(space->fd, space->id, space->va, length, &iova);

	if (rc)
		return rc;
	rc = unmap(space->fd, space->id, iova, length, &bytes);
	if (!rc && bytes != length)
		return -EPROTO;
	return rc;
}

TEST_F(race, everyone_unmaps_his_own)
{
	struct worker workers[4] = {
		{ .step = map_and_unmap_own }, { .step = map_and_unmap_own },
		{ .step = map_and_unmap_own }, { .step = map_and_unmap_own },
	};
	__u64 bytes;

	EXPECT_EQ(0, run_workers(workers, 4, self));
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(0, bytes);
}

/* All want the same place: one gets it, the others hear EEXIST. */
static int map_the_same(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	int rc = map_at(space->fd, space->id, space->va, space->page, space->page);

	if (rc)
		return rc == -EEXIST ? 0 : rc;
	worker->bytes += space->page;
	return unmap(space->fd, space->id, space->page, space->page, NULL);
}

TEST_F(race, one_place_for_all)
{
	struct worker workers[3] = {
		{ .step = map_the_same }, { .step = map_the_same },
		{ .step = map_the_same },
	};
	__u64 bytes;

	EXPECT_EQ(0, run_workers(workers, 3, self));
	EXPECT_LT(0, workers[0].bytes + workers[1].bytes + workers[2].bytes);
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(0, bytes);
}

/*
 * Objects come and go under their users. IDs are used again at once, so what
 * another thread destroys may well be what this one has just made.
 */
static int make_and_destroy(struct worker *worker)
{
	int fd = worker->space->fd, rc;
	__u64 iova;
	__u32 id;

	rc = ioas_alloc(fd, &id);
	if (rc)
		return rc;
	rc = map_any(fd, id, worker->space->va, worker->space->page, &iova);
	if (rc && rc != -ENOENT)
		return rc;
	rc = destroy(fd, id);
	if (!rc)
		worker->bytes++;
	return rc == -ENOENT ? 0 : rc;
}

static int destroy_guessed(struct worker *worker)
{
	int rc = destroy(worker->space->fd, 2 + worker->steps % 3);

	if (!rc)
		worker->bytes++;
	return rc == -ENOENT ? 0 : rc;
}

/* Scenarios 20 and 22. */
TEST_F(race, destroy_of_guessed_ids)
{
	struct worker workers[3] = {
		{ .step = make_and_destroy }, { .step = make_and_destroy },
		{ .step = destroy_guessed },
	};
	unsigned long made, destroyed;
	__u32 id;

	ASSERT_EQ(0, run_workers(workers, 3, self));
	for (id = 2; id < 16; id++)
		workers[2].bytes += !destroy(self->fd, id);
	made = workers[0].steps + workers[1].steps;
	destroyed = workers[0].bytes + workers[1].bytes + workers[2].bytes;
	EXPECT_EQ(made, destroyed);
}

/* Of two threads that destroy the same object, one succeeds. */
struct duel {
	pthread_barrier_t barrier;
	int fd;
	__u32 id;
};

static void *destroy_in_duel(void *data)
{
	struct duel *duel = data;

	pthread_barrier_wait(&duel->barrier);
	return (void *)(long)destroy(duel->fd, duel->id);
}

/* Scenario 20. */
TEST_F(race, destroyed_by_one_of_two)
{
	struct duel duel = { .fd = self->fd };
	int i;

	pthread_barrier_init(&duel.barrier, NULL, 2);
	for (i = 0; i < 300; i++) {
		pthread_t other;
		void *theirs;
		long ours;

		ASSERT_EQ(0, ioas_alloc(duel.fd, &duel.id));
		ASSERT_EQ(0, pthread_create(&other, NULL, destroy_in_duel, &duel));
		ours = (long)destroy_in_duel(&duel);
		pthread_join(other, &theirs);
		EXPECT_EQ(-ENOENT, ours + (long)theirs)
			TH_LOG("%ld and %ld", ours, (long)theirs);
		if (ours != -ENOENT && ours)
			break;
	}
}

TEST_HARNESS_MAIN
