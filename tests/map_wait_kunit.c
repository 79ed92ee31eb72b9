// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pin can take as long as user space likes. Here it does, and everything
 * happens meanwhile that may.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_IOVA SZ_1M
#define TEST_PAGES 32

/* The page in the middle of what is mapped at TEST_IOVA. */
#define PARKED_PAGE 16

static int map_test_pages(struct map_task *task)
{
	return map_pages_at(task->f, 0, TEST_PAGES, TEST_IOVA);
}

static int attach_domain(struct map_task *task)
{
	struct map_domain *domain = task->arg;

	return iopt_domain_add(&task->f->iopt, &domain->member);
}

static int unmap_everything(struct map_task *task)
{
	return iopt_unmap_all(&task->f->iopt, &task->number);
}

static int unmap_test_range(struct map_task *task)
{
	return iopt_unmap(&task->f->iopt, TEST_IOVA,
			  TEST_IOVA + TEST_PAGES * PAGE_SIZE - 1,
			  &task->number);
}

static struct map_fixture *parking_fixture(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES + 16, 4);

	user_memory_park(f->memory, PARKED_PAGE);
	return f;
}

/* Start a task that comes to the parked page. */
static void start_parked(struct map_task *task, int expected_parked)
{
	map_task_start(task);
	user_memory_wait_parked(task->f->memory);
	KUNIT_EXPECT_TRUE(task->f->test, map_task_runs(task));
	KUNIT_EXPECT_EQ(task->f->test,
			atomic_read(&task->f->memory->nr_parked),
			expected_parked);
}

/* What has nothing to do with the parked page works. */
static void expect_others_go_on(struct map_fixture *f)
{
	KUNIT_EXPECT_EQ(f->test, map_pages_at(f, TEST_PAGES, 16, SZ_4M), 0);
	KUNIT_EXPECT_EQ(f->test, unmap_at(f, SZ_4M, 16), 0);
	KUNIT_EXPECT_EQ(f->test, map_pages_at(f, TEST_PAGES, 16, 0), 0);
	KUNIT_EXPECT_EQ(f->test, unmap_at(f, 0, 16), 0);
}

/* Scenario 56. */
static void parked_map_stops_nobody(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_domain *first = map_domain_add(f, FAKE_ARM);
	struct map_domain *second;

	start_parked(&mapper, 1);
	expect_others_go_on(f);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), -EBUSY);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, TEST_IOVA), -EEXIST);
	KUNIT_EXPECT_EQ(test, iopt_reserve(&f->iopt, TEST_IOVA,
					   TEST_IOVA, f), -EADDRINUSE);
	second = map_domain_add(f, FAKE_VTD);
	expect_others_go_on(f);
	map_domain_remove(f, first);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&mapper));

	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), 0);
	expect_mapped(f, second, 0, TEST_PAGES, TEST_IOVA);
	expect_pins(f, 0, TEST_PAGES, 1);
	expect_charge(f, TEST_PAGES);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
	map_domain_remove(f, second);
	map_fixture_end(f);
}

static void unmap_all_waits_for_parked_map(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_task unmapper = { .f = f, .fn = unmap_everything };
	struct map_domain *domain = map_domain_add(f, FAKE_VIRTIO);

	KUNIT_ASSERT_EQ(test, map_pages_at(f, TEST_PAGES, 8, 0), 0);
	start_parked(&mapper, 1);
	map_task_start(&unmapper);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&unmapper));
	expect_pins(f, TEST_PAGES, 8, 0);

	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), 0);
	KUNIT_EXPECT_EQ(test, map_task_join(&unmapper), 0);
	KUNIT_EXPECT_EQ(test, unmapper.number, (TEST_PAGES + 8) * PAGE_SIZE);
	expect_pins(f, 0, TEST_PAGES, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void killed_unmap_all_stops_waiting(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_task unmapper = { .f = f, .fn = unmap_everything };
	struct map_domain *domain = map_domain_add(f, FAKE_ARM);

	start_parked(&mapper, 1);
	map_task_start(&unmapper);
	map_pause();
	map_task_kill(&unmapper);
	KUNIT_EXPECT_EQ(test, map_task_join(&unmapper), -EINTR);
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void killed_map_leaves_nothing(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);

	start_parked(&mapper, 1);
	map_task_kill(&mapper);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), -EINTR);
	KUNIT_EXPECT_TRUE(test, iova_map_is_empty(&f->iopt.areas));
	KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Nobody wants what the mapper is after when it wakes up. */
static void domain_leaves_parked_map(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);

	start_parked(&mapper, 1);
	map_domain_remove(f, domain);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&mapper));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);

	domain = map_domain_add(f, FAKE_AMD);
	expect_mapped(f, domain, 0, TEST_PAGES, TEST_IOVA);
	expect_pins(f, 0, TEST_PAGES, 1);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* The mapper fills the domain that has come, the attach does not wait. */
static void domain_changes_under_parked_map(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);

	start_parked(&mapper, 1);
	map_domain_remove(f, domain);
	domain = map_domain_add(f, FAKE_VTD);
	map_domain_remove(f, domain);
	domain = map_domain_add(f, FAKE_VIRTIO);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&mapper));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), 0);
	expect_mapped(f, domain, 0, TEST_PAGES, TEST_IOVA);
	expect_pins(f, 0, TEST_PAGES, 1);
	expect_charge(f, TEST_PAGES);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void parked_attach_stops_nobody(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_domain *domain = map_domain_make(f, FAKE_ARM);
	struct map_task attacher = { .f = f, .fn = attach_domain,
				     .arg = domain };

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	/* Without an mm of its own it pins from somebody else's. */
	start_parked(&attacher, 1);
	/* On both sides of the area at which the attach stands. */
	KUNIT_EXPECT_EQ(test, map_pages_at(f, TEST_PAGES, 8, 0), 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, TEST_PAGES + 8, 8, SZ_4M), 0);
	expect_pins(f, TEST_PAGES, 16, 1);
	expect_mapped(f, domain, TEST_PAGES, 8, 0);
	expect_mapped(f, domain, TEST_PAGES + 8, 8, SZ_4M);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&attacher));

	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&attacher), 0);
	expect_mapped(f, domain, 0, TEST_PAGES, TEST_IOVA);
	expect_charge(f, TEST_PAGES + 16);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Scenarios 55 and 56. */
static void unmap_under_parked_attach(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_domain *domain = map_domain_make(f, FAKE_ARM);
	struct map_task attacher = { .f = f, .fn = attach_domain,
				     .arg = domain };

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, TEST_PAGES, 8, SZ_2M), 0);
	start_parked(&attacher, 1);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
	expect_others_go_on(f);
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&attacher), 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_mapped(f, domain, TEST_PAGES, 8, SZ_2M);
	expect_charge(f, 8);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void killed_attach_leaves_nothing(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_domain *first = map_domain_make(f, FAKE_ARM);
	struct map_domain *second = map_domain_make(f, FAKE_VTD);
	struct map_task attacher = { .f = f, .fn = attach_domain,
				     .arg = first };
	struct map_task waiter = { .f = f, .fn = attach_domain,
				   .arg = second };

	KUNIT_ASSERT_EQ(test, map_pages_at(f, TEST_PAGES, 8, 0), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	start_parked(&attacher, 1);
	expect_pins(f, TEST_PAGES, 8, 1);

	/* Changes of the set come one at a time. */
	map_task_start(&waiter);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&waiter));
	map_task_kill(&waiter);
	KUNIT_EXPECT_EQ(test, map_task_join(&waiter), -EINTR);
	map_domain_free(second);

	map_task_kill(&attacher);
	KUNIT_EXPECT_EQ(test, map_task_join(&attacher), -EINTR);
	map_domain_free(first);
	expect_pins(f, 0, TEST_PAGES + 16, 0);
	expect_charge(f, 0);
	KUNIT_EXPECT_FALSE(test, RB_EMPTY_ROOT(&f->iopt.areas.root));
	map_fixture_end(f);
}

static void second_attach_waits_for_parked_one(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_domain *first = map_domain_make(f, FAKE_ARM);
	struct map_domain *second = map_domain_make(f, FAKE_VTD);
	struct map_task attacher = { .f = f, .fn = attach_domain,
				     .arg = first };
	struct map_task waiter = { .f = f, .fn = attach_domain,
				   .arg = second };

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	start_parked(&attacher, 1);
	map_task_start(&waiter);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&waiter));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&attacher), 0);
	KUNIT_EXPECT_EQ(test, map_task_join(&waiter), 0);
	expect_mapped(f, first, 0, TEST_PAGES, TEST_IOVA);
	expect_mapped(f, second, 0, TEST_PAGES, TEST_IOVA);
	expect_pins(f, 0, TEST_PAGES, 1);
	map_domain_remove(f, first);
	map_domain_remove(f, second);
	map_fixture_end(f);
}

/* The mapper meets bad memory after an attach has taken what it had filled. */
static void map_fails_after_attach_copied(struct kunit *test)
{
	struct map_fixture *f = parking_fixture(test);
	struct map_task mapper = { .f = f, .fn = map_test_pages,
				   .has_mm = true };
	struct map_domain *first = map_domain_add(f, FAKE_ARM);
	struct map_domain *second;

	user_memory_break(f->memory, TEST_PAGES - 1);
	start_parked(&mapper, 1);
	second = map_domain_add(f, FAKE_VTD);
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&mapper), -EFAULT);
	KUNIT_EXPECT_EQ(test, first->fake->mapped_bytes, 0);
	KUNIT_EXPECT_EQ(test, second->fake->mapped_bytes, 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);
	map_domain_remove(f, first);
	map_domain_remove(f, second);
	map_fixture_end(f);
}

/* Two unmaps of one range: one finds it, the other waits and finds nothing. */
static void unmaps_of_one_range(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_task tasks[2];
	struct map_domain *domain;
	int rc[2];
	int i;

	f->yields = true;
	domain = map_domain_add(f, FAKE_ARM);
	for (i = 0; i < 4; i++) {
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES,
						   TEST_IOVA), 0);
		tasks[0] = (struct map_task){ .f = f, .fn = unmap_test_range };
		tasks[1] = tasks[0];
		map_task_start(&tasks[0]);
		map_task_start(&tasks[1]);
		rc[0] = map_task_join(&tasks[0]);
		rc[1] = map_task_join(&tasks[1]);
		KUNIT_EXPECT_EQ(test, rc[0] + rc[1], -ENOENT);
		KUNIT_EXPECT_EQ(test, tasks[0].number + tasks[1].number,
				TEST_PAGES * PAGE_SIZE);
	}
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static struct kunit_case map_wait_cases[] = {
	KUNIT_CASE(parked_map_stops_nobody),
	KUNIT_CASE(unmap_all_waits_for_parked_map),
	KUNIT_CASE(killed_unmap_all_stops_waiting),
	KUNIT_CASE(killed_map_leaves_nothing),
	KUNIT_CASE(domain_leaves_parked_map),
	KUNIT_CASE(domain_changes_under_parked_map),
	KUNIT_CASE(parked_attach_stops_nobody),
	KUNIT_CASE(unmap_under_parked_attach),
	KUNIT_CASE(killed_attach_leaves_nothing),
	KUNIT_CASE(second_attach_waits_for_parked_one),
	KUNIT_CASE(map_fails_after_attach_copied),
	KUNIT_CASE(unmaps_of_one_range),
	{}
};

static struct kunit_suite map_wait_suite = {
	.name = "iommufd_map_wait",
	.test_cases = map_wait_cases,
};

kunit_test_suite(map_wait_suite);
