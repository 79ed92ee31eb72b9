// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many tasks at two IOVA maps at once. Nobody can say what comes out of each
 * call; but it must be one of the answers that call may give, the fake drivers
 * must see no violation, and nothing may be left at the end.
 *
 * The drivers and the page faults yield at random, so this finds something even
 * on one CPU without preemption.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "map_fixture.h"

#define RACE_MAPS 2
#define RACE_PAGES 64
#define RACE_SLOTS 12
#define RACE_TASKS 12
/* The tasks from here on are in-kernel users. */
#define RACE_FIRST_USER 9
#define RACE_PINS 8
/* So long, and on a machine that is busy until so many calls went well. */
#define RACE_SECONDS 2
#define RACE_CALLS 100
#define RACE_MOST_SECONDS 30

/* This much of the memory is mapped all the time, at this IOVA. */
#define STEADY_PAGES 24
#define STEADY_IOVA SZ_1G

/**
 * struct race - several tasks at work
 * @f: the fixture
 * @iopts: the maps
 * @deadline: when they end
 * @seed: of their random numbers
 * @slots: so few IOVAs are used that everybody meets everybody
 * @old_limit: of locked memory, of the test's own task
 * @fails: let drivers fail, too
 * @nr_done: calls that went well, by nobody in particular
 */
struct race {
	struct map_fixture *f;
	struct io_pagetable iopts[RACE_MAPS];
	unsigned long deadline;
	u64 seed;
	unsigned int slots;
	unsigned long old_limit;
	bool fails;
	atomic_long_t nr_done;
};

/* What a task of the race works with. */
struct racer {
	struct race *race;
	struct rnd_state rnd;
};

static u32 below(struct racer *racer, u32 limit)
{
	return prandom_u32_state(&racer->rnd) % limit;
}

static struct io_pagetable *any_map(struct racer *racer)
{
	return &racer->race->iopts[below(racer, RACE_MAPS)];
}

/* Slots are half as far from each other as a map can be long. */
static unsigned long any_iova(struct racer *racer)
{
	return SZ_1M + below(racer, racer->race->slots) * 8 * PAGE_SIZE;
}

/* Note how a call went. All but these answers is a failure. */
static void judge(struct racer *racer, const char *what, int rc,
		  const int *allowed)
{
	if (!rc) {
		atomic_long_inc(&racer->race->nr_done);
		return;
	}
	if (rc == -ENOMEM && racer->race->fails)
		return;
	if (rc == -EINTR && fatal_signal_pending(current))
		return;
	for (; *allowed; allowed++) {
		if (rc == *allowed)
			return;
	}
	KUNIT_FAIL(racer->race->f->test, "%s returned %d", what, rc);
}

static void race_map(struct racer *racer)
{
	static const int allowed[] = { -EEXIST, 0 };
	unsigned long first_page = below(racer, RACE_PAGES - 16);
	struct iopt_map_request request = {
		.uptr = racer->race->f->memory->uptr + first_page * PAGE_SIZE,
		.length = (1 + below(racer, 16)) * PAGE_SIZE,
		.iova = any_iova(racer),
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = below(racer, 4),
	};

	/* Of a fixed IOVA there is nothing to tell: others may have it at once. */
	request.is_final = request.fixed_iova && below(racer, 2);
	judge(racer, "map", map_request(any_map(racer), &request), allowed);
}

static void race_copy(struct racer *racer)
{
	static const int allowed[] = { -EEXIST, -ENOENT, -EINVAL, 0 };
	struct iopt_map_request request = {
		.length = (1 + below(racer, 8)) * PAGE_SIZE,
		.iova = any_iova(racer),
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
	};
	unsigned long iova = any_iova(racer);

	if (below(racer, 3) == 0)
		iova = STEADY_IOVA + below(racer, 16) * PAGE_SIZE;
	judge(racer, "copy", copy_request(any_map(racer), iova, any_map(racer),
					  &request), allowed);
}

static void race_abort(struct racer *racer)
{
	static const int allowed[] = { -EEXIST, 0 };
	struct iopt_map_request request = {
		.uptr = racer->race->f->memory->uptr,
		.length = 16 * PAGE_SIZE,
		.iova = any_iova(racer),
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = true,
	};
	struct iopt_pending pending = {};

	judge(racer, "map", iopt_map_begin(any_map(racer), &request, &pending),
	      allowed);
	fake_let_others_run();
	if (pending.iopt)
		iopt_pending_abort(&pending);
}

static void race_unmap(struct racer *racer)
{
	static const int allowed[] = { -ENOENT, -EBUSY, 0 };
	unsigned long first_iova = any_iova(racer);
	unsigned long last_iova, unmapped_bytes;

	last_iova = first_iova + (8 + below(racer, 64)) * PAGE_SIZE - 1;
	judge(racer, "unmap", iopt_unmap(any_map(racer), first_iova, last_iova,
					 &unmapped_bytes), allowed);
}

/* Everything below the steady area, with those that are being mapped. */
static void race_unmap_low(struct racer *racer)
{
	static const int allowed[] = { -ENOENT, -EBUSY, 0 };
	unsigned long unmapped_bytes;

	judge(racer, "unmap of all", iopt_unmap(any_map(racer), 0,
						STEADY_IOVA - 1,
						&unmapped_bytes), allowed);
}

static bool race_is_over(const struct race *race)
{
	return fatal_signal_pending(current) ||
	       (time_after_eq(jiffies, race->deadline) &&
		atomic_long_read(&race->nr_done) >= RACE_CALLS) ||
	       time_after_eq(jiffies, race->deadline + RACE_MOST_SECONDS * HZ);
}

static int race_mapper(struct map_task *task)
{
	static void (* const ops[])(struct racer *racer) = {
		race_map, race_map, race_map, race_copy, race_copy, race_abort,
		race_unmap, race_unmap, race_unmap, race_unmap,
		race_unmap_low,
	};
	struct racer racer = { .race = task->arg };

	prandom_seed_state(&racer.rnd, racer.race->seed + task->number);
	while (!race_is_over(racer.race)) {
		ops[below(&racer, ARRAY_SIZE(ops))](&racer);
		cond_resched();
	}
	return 0;
}

static void race_attach(struct racer *racer)
{
	static const int allowed[] = { 0 };
	struct map_fixture *f = racer->race->f;
	struct io_pagetable *iopt = any_map(racer);
	struct map_domain *domain;
	int rc;

	domain = map_domain_make(f, below(racer, FAKE_NR_PERSONALITIES));
	if (racer->race->fails && below(racer, 2))
		domain->fake->fail_map = 1 + below(racer, 40);
	rc = iopt_domain_add(iopt, &domain->member);
	judge(racer, "attach", rc, allowed);
	if (!rc) {
		expect_mapped(f, domain, 0, STEADY_PAGES, STEADY_IOVA);
		if (below(racer, 2))
			usleep_range(1000, 20000);
		iopt_domain_remove(iopt, &domain->member);
	}
	map_domain_free(domain);
}

static int race_attacher(struct map_task *task)
{
	struct racer racer = { .race = task->arg };

	prandom_seed_state(&racer.rnd, racer.race->seed + task->number);
	while (!race_is_over(racer.race)) {
		race_attach(&racer);
		cond_resched();
	}
	return 0;
}

/**
 * struct race_pin - pins of an in-kernel user
 * @first_iova: first byte
 * @last_iova: last byte, 0 if there are none
 */
struct race_pin {
	unsigned long first_iova;
	unsigned long last_iova;
};

/**
 * struct race_user - an in-kernel user of a map
 * @user: for the map
 * @iopt: the map
 * @racer: whose
 * @lock: guards @pins; held, as VFIO's drivers do, both for a pin and in the
 *	callback
 * @pins: what it has pinned
 */
struct race_user {
	struct iopt_user user;
	struct io_pagetable *iopt;
	struct racer *racer;
	struct mutex lock; /* pins */
	struct race_pin pins[RACE_PINS];
};

static void race_user_give_up(struct race_user *user, struct race_pin *pin)
{
	if (pin->last_iova)
		iopt_unpin(user->iopt, &user->user, pin->first_iova,
			   pin->last_iova);
	pin->last_iova = 0;
}

static void race_user_unmap(struct iopt_user *iopt_user, unsigned long iova,
			    unsigned long length)
{
	struct race_user *user = container_of(iopt_user, struct race_user,
					      user);

	guard(mutex)(&user->lock);
	fake_let_others_run();
	for (unsigned int i = 0; i < RACE_PINS; i++) {
		struct race_pin *pin = &user->pins[i];

		if (pin->first_iova <= iova + (length - 1) &&
		    pin->last_iova >= iova)
			race_user_give_up(user, pin);
	}
}

static bool race_is_pinned(struct page **pages, unsigned long npages)
{
	while (npages--) {
		if (!folio_maybe_dma_pinned(page_folio(pages[npages])))
			return false;
	}
	return true;
}

static struct iopt_access_request race_access(struct racer *racer)
{
	struct iopt_access_request request = { .write = below(racer, 2) };

	request.first_iova = any_iova(racer) + below(racer, 8) * PAGE_SIZE;
	if (below(racer, 3) == 0)
		request.first_iova = STEADY_IOVA + below(racer, 16) * PAGE_SIZE;
	request.last_iova = request.first_iova +
			    (1 + below(racer, 8)) * PAGE_SIZE - 1;
	return request;
}

static void race_user_pin(struct race_user *user)
{
	static const int allowed[] = { -ENOENT, -EINVAL, 0 };
	struct racer *racer = user->racer;
	struct race_pin *pin = &user->pins[below(racer, RACE_PINS)];
	struct iopt_access_request request = race_access(racer);
	struct page *pages[8];
	int rc;

	guard(mutex)(&user->lock);
	race_user_give_up(user, pin);
	rc = iopt_pin(user->iopt, &user->user, &request, pages);
	judge(racer, "pin", rc, allowed);
	if (rc)
		return;
	pin->first_iova = request.first_iova;
	pin->last_iova = request.last_iova;
	fake_let_others_run();
	if (!race_is_pinned(pages, PFN_UP(request.last_iova -
					  request.first_iova)))
		KUNIT_FAIL(racer->race->f->test, "not pinned");
}

static void race_user_copy(struct race_user *user)
{
	static const int allowed[] = { -ENOENT, -EINVAL, 0 };
	struct iopt_access_request request = race_access(user->racer);
	u64 data[32] = {};
	struct iopt_rw rw = { .data = data, .pins = below(user->racer, 2) };

	request.last_iova = request.first_iova + sizeof(data) - 1;
	judge(user->racer, "copy by the CPU",
	      iopt_rw_access(user->iopt, &user->user, &request, &rw), allowed);
}

static void race_user_give_up_one(struct race_user *user)
{
	guard(mutex)(&user->lock);
	race_user_give_up(user, &user->pins[below(user->racer, RACE_PINS)]);
}

static void race_user_stay(struct race_user *user)
{
	unsigned int turns = below(user->racer, 64);

	while (turns-- && !race_is_over(user->racer->race)) {
		switch (below(user->racer, 4)) {
		case 0:
			race_user_give_up_one(user);
			break;
		case 1:
			race_user_copy(user);
			break;
		default:
			race_user_pin(user);
		}
		cond_resched();
	}
}

/* A user that joins a map, does its work, and leaves it. */
static void race_user_visit(struct racer *racer)
{
	static const int allowed[] = { 0 };
	struct race_user *user = kzalloc(sizeof(*user), GFP_KERNEL);
	int rc;

	if (!user)
		return;
	mutex_init(&user->lock);
	user->user.unmap = race_user_unmap;
	user->user.iova_alignment = PAGE_SIZE;
	user->iopt = any_map(racer);
	user->racer = racer;
	rc = iopt_user_add(user->iopt, &user->user);
	judge(racer, "new user", rc, allowed);
	if (!rc) {
		race_user_stay(user);
		iopt_user_stop(user->iopt, &user->user);
		iopt_user_remove(user->iopt, &user->user);
	}
	mutex_destroy(&user->lock);
	kfree(user);
}

static int race_accessor(struct map_task *task)
{
	struct racer racer = { .race = task->arg };

	prandom_seed_state(&racer.rnd, racer.race->seed + task->number);
	while (!race_is_over(racer.race))
		race_user_visit(&racer);
	return 0;
}

static int race_forgetter(struct map_task *task)
{
	struct race *race = task->arg;

	while (!race_is_over(race)) {
		user_memory_forget(race->f->memory);
		usleep_range(1000, 2000);
	}
	return 0;
}

/*
 * All charge the same user, by the limit of who has mapped what is pinned: one with
 * a limit could not pin what it has mapped, for all that the others hold. Return:
 * the old limit.
 */
static unsigned long race_set_limit(unsigned long bytes)
{
	unsigned long *limit = &current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur;
	unsigned long old_bytes;

	task_lock(current->group_leader);
	old_bytes = *limit;
	*limit = bytes;
	task_unlock(current->group_leader);
	return old_bytes;
}

static struct race *race_make(struct kunit *test, unsigned long block_pages)
{
	struct race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, race);
	race->f = map_fixture_make(test, RACE_PAGES, block_pages);
	race->f->yields = true;
	race->f->memory->yields = true;
	race->slots = RACE_SLOTS;
	race->old_limit = race_set_limit(RLIM_INFINITY);
	race->seed = get_random_u64();
	for (i = 0; i < RACE_MAPS; i++)
		iopt_init(&race->iopts[i]);
	return race;
}

static void race_map_steady(struct race *race, struct io_pagetable *iopt)
{
	struct iopt_map_request request = {
		.uptr = race->f->memory->uptr,
		.length = STEADY_PAGES * PAGE_SIZE,
		.iova = STEADY_IOVA,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = true,
	};

	KUNIT_ASSERT_EQ(race->f->test, map_request(iopt, &request), 0);
}

static void race_end(struct race *race)
{
	unsigned int i;

	race_set_limit(race->old_limit);

	for (i = 0; i < RACE_MAPS; i++) {
		KUNIT_EXPECT_TRUE(race->f->test,
				  list_empty(&race->iopts[i].domains.members));
		iopt_destroy(&race->iopts[i]);
	}
	map_fixture_end(race->f);
}

static int race_without_limit(struct map_task *task)
{
	int (*fn)(struct map_task *task) = race_mapper;

	race_set_limit(RLIM_INFINITY);
	if (task->number >= RACE_FIRST_USER)
		fn = race_accessor;
	else if (task->number == 0)
		fn = race_forgetter;
	else if (task->number % 3 == 0)
		fn = race_attacher;
	return fn(task);
}

static void race_start(struct race *race, struct map_task *tasks)
{
	unsigned int i;

	for (i = 0; i < RACE_TASKS; i++) {
		tasks[i] = (struct map_task){
			.f = race->f,
			.fn = race_without_limit,
			.arg = race,
			.number = i,
			/* Some attach without an mm: they pin remotely. */
			.has_mm = i % 3 || i % 2 == 0,
		};
		map_task_start(&tasks[i]);
	}
}

static void race_join(struct map_task *tasks)
{
	unsigned int i;

	for (i = 0; i < RACE_TASKS; i++)
		map_task_join(&tasks[i]);
}

static void race_finish(struct race *race)
{
	kunit_info(race->f->test, "%ld calls went well",
		   atomic_long_read(&race->nr_done));
	KUNIT_EXPECT_GE(race->f->test, atomic_long_read(&race->nr_done),
			RACE_CALLS);
	race_end(race);
}

static void run_race(struct race *race)
{
	struct map_task tasks[RACE_TASKS];
	unsigned int i;

	for (i = 0; i < RACE_MAPS; i++)
		race_map_steady(race, &race->iopts[i]);
	race->deadline = jiffies + RACE_SECONDS * HZ;
	race_start(race, tasks);
	race_join(tasks);
	race_finish(race);
}

/* Whoever is killed leaves its work done or undone, never half done. */
static void race_with_kills(struct kunit *test)
{
	struct race *race = race_make(test, 3);
	struct map_task tasks[RACE_TASKS];
	unsigned int i, round;

	for (i = 0; i < RACE_MAPS; i++)
		race_map_steady(race, &race->iopts[i]);
	race->deadline = jiffies + 60 * HZ;
	for (round = 0; round < 60; round++) {
		race->seed++;
		race_start(race, tasks);
		msleep(20 + get_random_u32_below(20));
		for (i = 0; i < RACE_TASKS; i++)
			map_task_kill(&tasks[i]);
		race_join(tasks);
	}
	race_finish(race);
}

static void race_with_contiguous_memory(struct kunit *test)
{
	run_race(race_make(test, RACE_PAGES));
}

static void race_with_scattered_memory(struct kunit *test)
{
	run_race(race_make(test, 1));
}

static void race_with_failing_drivers(struct kunit *test)
{
	struct race *race = race_make(test, 24);

	race->fails = true;
	run_race(race);
}

/* All at one IOVA. */
static void race_for_one_range(struct kunit *test)
{
	struct race *race = race_make(test, 3);

	race->slots = 1;
	run_race(race);
}

static struct kunit_case map_race_cases[] = {
	KUNIT_CASE_SLOW(race_with_contiguous_memory),
	KUNIT_CASE_SLOW(race_with_scattered_memory),
	KUNIT_CASE_SLOW(race_with_failing_drivers),
	KUNIT_CASE_SLOW(race_for_one_range),
	KUNIT_CASE_SLOW(race_with_kills),
	{}
};

static struct kunit_suite map_race_suite = {
	.name = "iommufd_map_race",
	.test_cases = map_race_cases,
};

kunit_test_suite(map_race_suite);
