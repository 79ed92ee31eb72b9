// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nobody has a driver change, flush or read a page table while a device comes to it or
 * goes, as drivers of 6.12 get that wrong. Whoever wants to waits for the time that the
 * driver takes, and others do not. The mock watches over it as well, in all tests.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "task.h"
#include "harness.h"

#define TRACKING	IOMMU_HWPT_ALLOC_DIRTY_TRACKING
#define NEST_PARENT	IOMMU_HWPT_ALLOC_NEST_PARENT
#define ENABLE		IOMMU_HWPT_DIRTY_TRACKING_ENABLE

/* Of each place: what is unmapped, what is mapped, and what is read, in this order. */
#define PART_PAGES	16
#define NR_JOBS		3
#define NR_PLACES	2
#define ROOM		(NR_PLACES * NR_JOBS * PART_PAGES * page_bytes())

/* An IOAS with a HWPT that tracks dirty pages, and others can be nested on. */
struct place {
	__u32 ioas;
	__u32 hwpt;
	__u64 va;
};

FIXTURE(attach)
{
	int fd;
	/* the start of ROOM */
	__u64 va;
	__u64 part;
	/* one that moves about, and one that stays elsewhere */
	struct mock mock;
	struct mock other;
	__u32 elsewhere;
	struct place places[NR_PLACES];
};

FIXTURE_VARIANT(attach)
{
	const char *driver;
};

FIXTURE_VARIANT_ADD(attach, exact)
{
	.driver = "exact",
};

FIXTURE_VARIANT_ADD(attach, vtd)
{
	.driver = "vtd",
};

FIXTURE_VARIANT_ADD(attach, amd)
{
	.driver = "amd",
};

static int make_place(FIXTURE_DATA(attach) *self, struct place *place)
{
	return ioas_alloc(self->fd, &place->ioas) ?:
	       option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, place->ioas, 0) ?:
	       hwpt_alloc(self->fd, TRACKING | NEST_PARENT, self->mock.idev,
			  place->ioas, &place->hwpt) ?:
	       set_dirty(self->fd, place->hwpt, ENABLE);
}

FIXTURE_SETUP(attach)
{
	int i;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->driver));
	self->part = PART_PAGES * page_bytes();
	self->va = (uintptr_t)small_pages(ROOM);
	ASSERT_NE(0, self->va);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->elsewhere));
	ASSERT_EQ(0, mock_device(self->fd, self->elsewhere, &self->mock));
	ASSERT_EQ(0, mock_device(self->fd, self->elsewhere, &self->other));
	for (i = 0; i < NR_PLACES; i++) {
		ASSERT_EQ(0, make_place(self, &self->places[i]));
		self->places[i].va = self->va + i * ROOM / NR_PLACES;
	}
}

FIXTURE_TEARDOWN(attach)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, ROOM, 0));
	close(self->fd);
}

/* -- what waits */

/* Something that is done in a place: to so many bytes of it, from an offset on. */
struct job {
	struct task task;
	struct place *place;
	__u64 offset;
	__u64 length;
	/* of the pages that were read */
	__u8 bits[PART_PAGES / 8];
};

static struct job *to_job(const struct task *task)
{
	return (struct job *)task;
}

static int unmap_part(const struct task *task)
{
	const struct job *job = to_job(task);

	return unmap(task->fd, job->place->ioas, APERTURE + job->offset,
		     job->length, NULL);
}

static int map_part(const struct task *task)
{
	const struct job *job = to_job(task);

	return map_at(task->fd, job->place->ioas, job->place->va + job->offset,
		      job->length, APERTURE + job->offset);
}

static int read_part(const struct task *task)
{
	struct job *job = to_job(task);
	struct dirty_range range = {
		.iova = APERTURE + job->offset,
		.length = job->length,
		.page_size = page_bytes(),
	};

	return get_dirty(task->fd, job->place->hwpt, 0, &range, job->bits);
}

/* Have a place ready for the jobs: what is read is written to by a device before. */
static void prepare(struct __test_metadata *_metadata, FIXTURE_DATA(attach) *self,
		    struct place *place, struct job *jobs)
{
	int (*const steps[NR_JOBS])(const struct task *) = {
		unmap_part, map_part, read_part,
	};
	int i;

	for (i = 0; i < NR_JOBS; i++) {
		jobs[i] = (struct job){
			.task = { .step = steps[i], .fd = self->fd },
			.place = place,
			.offset = i * self->part,
			.length = self->part,
		};
	}
	ASSERT_EQ(0, map_part(&jobs[0].task));
	ASSERT_EQ(0, map_part(&jobs[2].task));
	ASSERT_EQ(0, write_at(self->fd, place->hwpt,
			      APERTURE + jobs[2].offset + page_bytes()));
}

/* All that the jobs wanted has happened. Have the place empty. */
static void check_jobs(struct __test_metadata *_metadata, FIXTURE_DATA(attach) *self,
		       struct job *jobs)
{
	const struct place *place = jobs[0].place;
	int i;

	for (i = 0; i < NR_JOBS; i++)
		EXPECT_EQ(0, end_task(&jobs[i].task)) TH_LOG("job %d", i);
	EXPECT_TRUE(is_empty(self->fd, place->hwpt, place->va, self->part, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, place->hwpt, place->va + self->part,
			       2 * self->part, APERTURE + self->part));
	EXPECT_EQ(0, check_refs(self->fd, place->va, self->part, 0));
	EXPECT_EQ(2, jobs[2].bits[0]);
	EXPECT_EQ(1, count_bits(jobs[2].bits, PART_PAGES));
	EXPECT_EQ(0, unmap_all(self->fd, place->ioas, NULL));
}

/* Whoever has nothing to do with the domain goes on, also one that a device is on. */
static int work_elsewhere(FIXTURE_DATA(attach) *self)
{
	const __u64 iova = APERTURE + ROOM;

	return map_at(self->fd, self->elsewhere, self->va, self->part, iova) ?:
	       check_map(self->fd, self->other.hwpt, self->va, self->part, iova) ?:
	       unmap(self->fd, self->elsewhere, iova, self->part, NULL);
}

/*
 * While the driver is at @gate with a device that comes or goes, nobody is at work in
 * the first @nr_places, and others are elsewhere.
 */
static void check_all_wait(struct __test_metadata *_metadata,
			   FIXTURE_DATA(attach) *self, struct task *move,
			   const char *gate, int nr_places)
{
	struct job jobs[NR_PLACES][NR_JOBS];
	int i, j;

	for (i = 0; i < nr_places; i++)
		prepare(_metadata, self, &self->places[i], jobs[i]);
	ASSERT_EQ(0, close_gate(gate, 0, 0));
	ASSERT_EQ(0, begin_task(move));
	ASSERT_TRUE(gate_is_busy(gate));
	for (i = 0; i < nr_places; i++) {
		for (j = 0; j < NR_JOBS; j++)
			ASSERT_EQ(0, begin_task(&jobs[i][j].task));
	}
	let_overtake();
	EXPECT_EQ(0, work_elsewhere(self));
	EXPECT_FALSE(task_is_done(move));
	for (i = 0; i < nr_places; i++) {
		for (j = 0; j < NR_JOBS; j++)
			EXPECT_FALSE(task_is_done(&jobs[i][j].task))
				TH_LOG("place %d, job %d did not wait", i, j);
	}

	ASSERT_EQ(0, open_gate(gate));
	EXPECT_EQ(0, end_task(move));
	for (i = 0; i < nr_places; i++)
		check_jobs(_metadata, self, jobs[i]);
}

static int attach_device(const struct task *task)
{
	return mock_device(task->fd, task->id, task->mock);
}

static int move_device(const struct task *task)
{
	return mock_replace(task->fd, task->mock, task->id);
}

static int detach_device(const struct task *task)
{
	return destroy(task->fd, task->mock->stdev);
}

/* Scenario 58. */
TEST_F(attach, nobody_at_work_in_attach)
{
	struct task attach = { attach_device, self->fd, &self->mock };
	__u32 nested;

	attach.id = self->places[0].hwpt;
	check_all_wait(_metadata, self, &attach, ATTACH_GATE, 1);
	/* once more, with a device on it */
	attach.is_done = 0;
	check_all_wait(_metadata, self, &attach, ATTACH_GATE, 1);
	/* and to what is nested on it */
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, attach.id, 0, &nested));
	attach.id = nested;
	attach.is_done = 0;
	check_all_wait(_metadata, self, &attach, ATTACH_GATE, 1);
}

/* The domain that the device comes from is meant as well. Scenario 58. */
TEST_F(attach, nobody_at_work_in_replace)
{
	struct task move = { move_device, self->fd, &self->mock };
	const char *const gates[] = { ATTACH_GATE, DETACH_GATE };
	unsigned int i;

	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->places[0].hwpt));
	for (i = 0; i < ARRAY_SIZE(gates); i++) {
		move.id = self->places[(i + 1) % NR_PLACES].hwpt;
		move.is_done = 0;
		check_all_wait(_metadata, self, &move, gates[i], NR_PLACES);
	}
}

/* It stays with the page table, below another one. Scenario 58. */
TEST_F(attach, nobody_at_work_in_replace_on_parent)
{
	struct task move = { move_device, self->fd, &self->mock };
	const char *const gates[] = { ATTACH_GATE, DETACH_GATE };
	__u32 parent = self->places[0].hwpt, nested;
	unsigned int i;

	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, parent));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, parent, 0, &nested));
	for (i = 0; i < ARRAY_SIZE(gates); i++) {
		move.id = i % 2 ? parent : nested;
		move.is_done = 0;
		check_all_wait(_metadata, self, &move, gates[i], 1);
	}
}

/* Scenario 58. */
TEST_F(attach, nobody_at_work_in_detach)
{
	struct task detach = { detach_device, self->fd, &self->mock };
	__u32 parent = self->places[0].hwpt, nested;

	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, parent, 0, &nested));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, parent));
	check_all_wait(_metadata, self, &detach, DETACH_GATE, 1);

	ASSERT_EQ(0, mock_device(self->fd, nested, &self->mock));
	detach.is_done = 0;
	check_all_wait(_metadata, self, &detach, DETACH_GATE, 1);
}

/*
 * The other way round: a device comes, or goes, when the driver is through with what
 * it does. Then nobody passes it by, and when it is there, all go on. Scenario 58.
 */
TEST_F(attach, waits_for_work)
{
	const __u64 part = self->part;
	struct place *place = &self->places[0];
	struct job first = {
		.task = { .step = map_part, .fd = self->fd },
		.place = place,
		.length = part,
	};
	struct job second = {
		.task = { .step = map_part, .fd = self->fd },
		.place = place,
		.offset = part,
		.length = part,
	};
	struct mock newcomer;
	struct task moves[] = {
		{ attach_device, self->fd, &newcomer, place->hwpt },
		{ move_device, self->fd, &newcomer, self->places[1].hwpt },
		{ move_device, self->fd, &newcomer, place->hwpt },
		{ detach_device, self->fd, &newcomer },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		first.task.is_done = 0;
		second.task.is_done = 0;
		ASSERT_EQ(0, close_gate(MAP_GATE, APERTURE, APERTURE));
		ASSERT_EQ(0, begin_task(&first.task));
		ASSERT_TRUE(gate_is_busy(MAP_GATE));
		ASSERT_EQ(0, begin_task(&moves[i]));
		let_overtake();
		ASSERT_EQ(0, begin_task(&second.task));
		EXPECT_EQ(0, work_elsewhere(self));
		let_overtake();
		EXPECT_FALSE(task_is_done(&first.task));
		EXPECT_FALSE(task_is_done(&moves[i])) TH_LOG("move %u", i);
		EXPECT_FALSE(task_is_done(&second.task)) TH_LOG("move %u", i);

		ASSERT_EQ(0, open_gate(MAP_GATE));
		EXPECT_EQ(0, end_task(&first.task));
		EXPECT_EQ(0, end_task(&moves[i]));
		EXPECT_EQ(0, end_task(&second.task));
		EXPECT_EQ(0, check_map(self->fd, place->hwpt, place->va, 2 * part,
				       APERTURE));
		EXPECT_EQ(0, unmap_all(self->fd, place->ioas, NULL));
	}
}

/* A driver that refuses a device is at work again as before. */
TEST_F(attach, refused)
{
	struct mock stranger;

	ASSERT_EQ(0, set_driver("arm"));
	ASSERT_EQ(0, mock_device(self->fd, self->elsewhere, &stranger));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->places[0].hwpt, &self->mock));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &stranger, self->places[0].hwpt));
	EXPECT_EQ(0, work_elsewhere(self));
	EXPECT_EQ(0, map_at(self->fd, self->places[0].ioas, self->va, self->part,
			    APERTURE));
	EXPECT_EQ(0, unmap_all(self->fd, self->places[0].ioas, NULL));
}

TEST_HARNESS_MAIN
