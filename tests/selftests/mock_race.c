// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everybody at once: maps, copies and unmaps while devices of several drivers come,
 * go and move. The mock warns of a driver call that is wrong and of a page that is
 * unpinned too early; what is looked at here is the errors, and the end.
 */
#include <linux/types.h>
#include <pthread.h>
#include <time.h>

#include "mock.h"
#include "harness.h"

#define SECONDS	3
#define PAGES	1024
/* Places where something can be mapped, each with room for so many pages. */
#define SLOTS	8
#define ROOM	80

FIXTURE(race)
{
	int fd;
	__u32 ioas[2];
	__u64 page;
	__u64 va;
};

FIXTURE_VARIANT(race)
{
	const char *drivers[2];
	__u32 limit;
	/* percent of the places for fault injection that fail */
	unsigned int faults;
};

FIXTURE_VARIANT_ADD(race, exact_and_vtd)
{
	.drivers = { "exact", "vtd" },
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(race, amd_and_virtio)
{
	.drivers = { "amd", "virtio" },
	.limit = 64,
};

FIXTURE_VARIANT_ADD(race, arm_and_vtd_with_faults)
{
	.drivers = { "arm", "vtd" },
	.limit = 256,
	.faults = 1,
};

FIXTURE_VARIANT_ADD(race, vtd_and_amd_with_faults)
{
	.drivers = { "vtd", "amd" },
	.limit = USUAL_LIMIT,
	.faults = 3,
};

#define INJECT(name)	"/sys/kernel/debug/fail_iommufd/" name

static void inject(unsigned int percent)
{
	write_number(INJECT("verbose"), 0);
	write_text(INJECT("times"), "-1");
	write_number(INJECT("probability"), percent);
}

FIXTURE_SETUP(race)
{
	int i;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, temp_limit(self->fd, variant->limit));
	self->page = page_bytes();
	self->va = (uintptr_t)small_pages(PAGES * self->page);
	ASSERT_NE(0, self->va);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas[i]));
	inject(variant->faults);
}

FIXTURE_TEARDOWN(race)
{
	inject(0);
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, PAGES * self->page, 0));
	close(self->fd);
}

struct worker {
	const FIXTURE_DATA(race) *space;
	const FIXTURE_VARIANT(race) *variant;
	int (*step)(struct worker *worker);
	pthread_t thread;
	unsigned int seed;
	unsigned long successes;
	struct mock mock;
	int error;
};

static unsigned int any(struct worker *worker, unsigned int limit)
{
	return rand_r(&worker->seed) / 7 % limit;
}

static __u32 any_ioas(struct worker *worker)
{
	return worker->space->ioas[any(worker, 2)];
}

static __u64 any_iova(struct worker *worker)
{
	return APERTURE + any(worker, SLOTS) * ROOM * worker->space->page;
}

/* An outcome that has to do with what the others do, or with injected faults. */
static bool is_fine(const struct worker *worker, int rc)
{
	switch (rc) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -EBUSY:
		return true;
	case -EFAULT:
	case -ENOMEM:
	case -EINVAL:
		return worker->variant->faults;
	default:
		return false;
	}
}

static int map_somewhere(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	__u64 pages = 1 + any(worker, ROOM);

	return map_at(space->fd, any_ioas(worker),
		      space->va + any(worker, PAGES - ROOM) * space->page,
		      pages * space->page, any_iova(worker));
}

static int unmap_something(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;

	if (!any(worker, 50))
		return unmap_all(space->fd, any_ioas(worker), NULL);
	return unmap(space->fd, any_ioas(worker), any_iova(worker),
		     ROOM * space->page, NULL);
}

static int copy_something(struct worker *worker)
{
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = RW | FIXED,
		.src_ioas_id = any_ioas(worker),
		.dst_ioas_id = any_ioas(worker),
		.src_iova = any_iova(worker) +
			    any(worker, 3) * worker->space->page,
		.dst_iova = any_iova(worker),
		.length = (1 + any(worker, 8)) * worker->space->page,
	};
	int rc = command(worker->space->fd, IOMMU_IOAS_COPY, &copy);

	/* what is just being unmapped cannot be copied */
	return rc == -EINVAL ? -EBUSY : rc;
}

/* Two threads do this, each with one device at a time, of either kind. */
static int attach_move_destroy(struct worker *worker)
{
	int fd = worker->space->fd, rc;

	if (!worker->mock.stdev) {
		rc = set_driver(worker->variant->drivers[any(worker, 2)]) ?:
		     mock_device(fd, any_ioas(worker), &worker->mock);
		if (rc)
			worker->mock.stdev = 0;
		return rc;
	}
	if (any(worker, 3))
		return mock_replace(fd, &worker->mock, any_ioas(worker));
	rc = destroy(fd, worker->mock.stdev);
	worker->mock.stdev = 0;
	return rc;
}

static void *work(void *data)
{
	struct worker *worker = data;
	time_t end = time(NULL) + SECONDS;

	while (!worker->error && time(NULL) < end) {
		int rc = worker->step(worker);

		if (!rc)
			worker->successes++;
		else if (!is_fine(worker, rc))
			worker->error = rc;
	}
	return NULL;
}

TEST_F(race, everybody)
{
	struct worker workers[] = {
		{ .step = attach_move_destroy }, { .step = attach_move_destroy },
		{ .step = map_somewhere }, { .step = map_somewhere },
		{ .step = unmap_something }, { .step = copy_something },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i].space = self;
		workers[i].variant = variant;
		workers[i].seed = i + 1;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work,
					    &workers[i]));
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].error)
			TH_LOG("worker %u", i);
		/* an attach asks so often whether to fail that few get through */
		if (!variant->faults)
			EXPECT_LT(0, workers[i].successes)
				TH_LOG("worker %u", i);
	}
	inject(0);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, unmap_all(self->fd, self->ioas[i], NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, PAGES * self->page, 0));
	for (i = 0; i < 2; i++) {
		if (workers[i].mock.stdev)
			EXPECT_EQ(0, destroy(self->fd, workers[i].mock.stdev));
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, destroy(self->fd, self->ioas[i]));
}

TEST_HARNESS_MAIN
