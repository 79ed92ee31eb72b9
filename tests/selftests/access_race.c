// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-kernel users at work while maps, copies, unmaps and devices come and go. The
 * mock warns of what it can see going wrong; what is looked at here is the errors,
 * the data, and the end.
 */
#include <linux/types.h>
#include <pthread.h>
#include <time.h>

#include "mock.h"
#include "harness.h"

#define SECONDS	2
#define PAGES	512
/* Places where something can be mapped, each with room for so many pages. */
#define SLOTS	4
#define ROOM	64
#define USERS	2

FIXTURE(race)
{
	int fd;
	__u32 ioas[2];
	int users[USERS];
	__u64 page;
	__u64 va;
};

FIXTURE_VARIANT(race)
{
	const char *driver;
	__u32 limit;
	unsigned int unpin_pages;
	/* percent of the places for fault injection that fail */
	unsigned int faults;
	bool is_huge;
};

FIXTURE_VARIANT_ADD(race, exact)
{
	.driver = "exact",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(race, exact_other_pieces)
{
	.driver = "exact",
	.limit = 64,
	.unpin_pages = 7,
};

FIXTURE_VARIANT_ADD(race, vtd_huge)
{
	.driver = "vtd",
	.limit = USUAL_LIMIT,
	.is_huge = true,
};

FIXTURE_VARIANT_ADD(race, amd_huge)
{
	.driver = "amd",
	.limit = USUAL_LIMIT,
	.unpin_pages = 100,
	.is_huge = true,
};

FIXTURE_VARIANT_ADD(race, arm_limit_12)
{
	.driver = "arm",
	.limit = LEAST_LIMIT,
};

FIXTURE_VARIANT_ADD(race, virtio_with_faults)
{
	.driver = "virtio",
	.limit = USUAL_LIMIT,
	.faults = 2,
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
	ASSERT_EQ(0, set_driver(variant->driver));
	ASSERT_EQ(0, temp_limit(self->fd, variant->limit));
	ASSERT_EQ(0, write_number(SWITCH("access_unpin_pages"),
				  variant->unpin_pages));
	self->page = page_bytes();
	self->va = variant->is_huge ?
			   (uintptr_t)huge_pages(HUGE_BYTES) :
			   (uintptr_t)small_pages(PAGES * self->page);
	ASSERT_NE(0, self->va);
	memset((void *)self->va, 1, PAGES * self->page);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas[i]));
	for (i = 0; i < USERS; i++)
		ASSERT_EQ(0, create_access(self->fd, self->ioas[0], PINS,
					   &self->users[i]));
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
	int user;
	unsigned long successes;
	/* workers that have had no success so far */
	unsigned int *nr_idle;
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

/* What is being unmapped cannot be used, which is as good as not being there. */
static int or_going(int rc)
{
	return rc == -EINVAL ? -ENOENT : rc;
}

static int map_somewhere(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;

	return map_at(space->fd, any_ioas(worker),
		      space->va + any(worker, PAGES - ROOM) * space->page,
		      (1 + any(worker, ROOM)) * space->page, any_iova(worker));
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

	return or_going(command(worker->space->fd, IOMMU_IOAS_COPY, &copy));
}

static int attach_move_destroy(struct worker *worker)
{
	int fd = worker->space->fd, rc;

	if (!worker->mock.stdev) {
		rc = mock_device(fd, any_ioas(worker), &worker->mock);
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

static int pin_something(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	__u64 iova = any_iova(worker) + any(worker, 20) * space->page;
	__u32 item;
	int rc;

	rc = pin(space->fd, worker->user, iova,
		 (1 + any(worker, 70)) * space->page, 0, &item);
	/* now and then it is left to be taken away */
	if (rc || !any(worker, 3))
		return or_going(rc);
	return unpin_item(space->fd, worker->user, item);
}

static bool are_ones(const unsigned char *data, size_t length)
{
	while (length) {
		if (data[--length] != 1)
			return false;
	}
	return true;
}

/* All bytes are the same all the time. */
static int copy_bytes(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;
	__u64 iova = any_iova(worker) + any(worker, 20 * 4096);
	unsigned char data[3 * 4096];
	size_t length = 1 + any(worker, sizeof(data));
	int rc;

	memset(data, 1, sizeof(data));
	if (any(worker, 2))
		return or_going(access_rw(space->fd, worker->user,
					  MOCK_ACCESS_RW_WRITE, iova, data,
					  length));
	memset(data, 0, sizeof(data));
	rc = access_rw(space->fd, worker->user,
		       any(worker, 2) ? MOCK_ACCESS_RW_SLOW_PATH : 0, iova, data,
		       length);
	if (!rc && !are_ones(data, length))
		return -EIO;
	return or_going(rc);
}

static int change_ioas(struct worker *worker)
{
	const FIXTURE_DATA(race) *space = worker->space;

	usleep(1000);
	return replace_ioas(space->fd, worker->user, any_ioas(worker));
}

/* On a slow machine it may take longer until everybody has got something done. */
static bool is_over(const struct worker *worker, time_t start)
{
	time_t passed = time(NULL) - start;

	if (__atomic_load_n(worker->nr_idle, __ATOMIC_RELAXED) &&
	    !worker->variant->faults)
		return passed >= 10 * SECONDS;
	return passed >= SECONDS;
}

static void *work(void *data)
{
	struct worker *worker = data;
	time_t start = time(NULL);

	while (!worker->error && !is_over(worker, start)) {
		int rc = worker->step(worker);

		if (!rc && !worker->successes++)
			__atomic_sub_fetch(worker->nr_idle, 1, __ATOMIC_RELAXED);
		else if (!is_fine(worker, rc))
			worker->error = rc;
	}
	return NULL;
}

static void race(struct __test_metadata *_metadata,
		 FIXTURE_DATA(race) *self,
		 const FIXTURE_VARIANT(race) *variant, struct worker *workers,
		 unsigned int nr_workers)
{
	unsigned int i, nr_idle = nr_workers;

	for (i = 0; i < nr_workers; i++) {
		workers[i].space = self;
		workers[i].nr_idle = &nr_idle;
		workers[i].variant = variant;
		workers[i].seed = i + 1;
		workers[i].user = self->users[i % USERS];
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work,
					    &workers[i]));
	}
	for (i = 0; i < nr_workers; i++) {
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
	for (i = 0; i < nr_workers; i++) {
		if (workers[i].mock.stdev)
			EXPECT_EQ(0, destroy(self->fd, workers[i].mock.stdev));
	}
	for (i = 0; i < USERS; i++)
		EXPECT_EQ(0, close(self->users[i]));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, destroy(self->fd, self->ioas[i]));
}

/* Pins and copies against the unmap of what they are at. */
TEST_F(race, scenario_8_unmap)
{
	struct worker workers[] = {
		{ .step = pin_something }, { .step = pin_something },
		{ .step = copy_bytes }, { .step = copy_bytes },
		{ .step = map_somewhere }, { .step = unmap_something },
	};

	race(_metadata, self, variant, workers, ARRAY_SIZE(workers));
}

/* The same, and the domains below them come and go. */
TEST_F(race, domains)
{
	struct worker workers[] = {
		{ .step = pin_something }, { .step = pin_something },
		{ .step = copy_bytes }, { .step = attach_move_destroy },
		{ .step = map_somewhere }, { .step = unmap_something },
		{ .step = copy_something }, { .step = attach_move_destroy },
	};

	race(_metadata, self, variant, workers, ARRAY_SIZE(workers));
}

/* The same, and they change their IOAS, too. */
TEST_F(race, replace)
{
	struct worker workers[] = {
		{ .step = pin_something }, { .step = pin_something },
		{ .step = copy_bytes }, { .step = copy_bytes },
		{ .step = change_ioas }, { .step = change_ioas },
		{ .step = map_somewhere }, { .step = unmap_something },
		{ .step = attach_move_destroy },
	};

	race(_metadata, self, variant, workers, ARRAY_SIZE(workers));
}

TEST_HARNESS_MAIN
