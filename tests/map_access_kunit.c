// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins of in-kernel users that wait for user space, and what the others do to the
 * areas they go through meanwhile: nobody waits for the pin, and it is told.
 */
#include <kunit/test.h>
#include <linux/highmem.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_PAGES 16
#define TEST_IOVA SZ_1M
/* In the middle of what is pinned. */
#define PINNED_PAGE 4
#define PINNED_PAGES 8
#define PARKED_PAGE 9

/**
 * struct pinner - a task that pins
 * @user: as whom
 * @pages: what it got
 * @task: the task
 */
struct pinner {
	struct iopt_user user;
	struct page *pages[PINNED_PAGES];
	struct map_task task;
};

static unsigned long iova_of(unsigned long page)
{
	return TEST_IOVA + page * PAGE_SIZE;
}

static void ignore_unmap(struct iopt_user *user, unsigned long iova,
			 unsigned long length)
{
}

static int pin_test_range(struct map_task *task)
{
	struct iopt_access_request request = {
		.first_iova = iova_of(PINNED_PAGE),
		.last_iova = iova_of(PINNED_PAGE + PINNED_PAGES) - 1,
		.write = true,
	};
	struct pinner *pinner = task->arg;

	return iopt_pin(&task->f->iopt, &pinner->user, &request, pinner->pages);
}

static void unpin_test_range(struct pinner *pinner)
{
	iopt_unpin(&pinner->task.f->iopt, &pinner->user, iova_of(PINNED_PAGE),
		   iova_of(PINNED_PAGE + PINNED_PAGES) - 1);
}

/* A pin that waits for one of its pages. */
static struct pinner *start_parked_pin(struct map_fixture *f)
{
	struct kunit *test = f->test;
	struct pinner *pinner = kunit_kzalloc(test, sizeof(*pinner),
					      GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pinner);
	pinner->user.unmap = ignore_unmap;
	pinner->user.iova_alignment = PAGE_SIZE;
	pinner->task.f = f;
	pinner->task.fn = pin_test_range;
	pinner->task.arg = pinner;
	pinner->task.has_mm = true;

	user_memory_park(f->memory, PARKED_PAGE);
	KUNIT_ASSERT_EQ(test, iopt_user_add(&f->iopt, &pinner->user), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	map_task_start(&pinner->task);
	user_memory_wait_parked(f->memory);
	return pinner;
}

static void end_pinner(struct pinner *pinner)
{
	struct io_pagetable *iopt = &pinner->task.f->iopt;

	iopt_user_stop(iopt, &pinner->user);
	iopt_user_remove(iopt, &pinner->user);
}

static void expect_pinned(struct pinner *pinner)
{
	struct map_fixture *f = pinner->task.f;

	for (unsigned int i = 0; i < PINNED_PAGES; i++)
		KUNIT_EXPECT_PTR_EQ(f->test, pinner->pages[i],
				    f->memory->pages[PINNED_PAGE + i]);
	expect_pins(f, PINNED_PAGE, PINNED_PAGES, 1);
}

static void unmap_does_not_wait(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct pinner *pinner = start_parked_pin(f);

	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
	/* neither does what comes in its place */
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 2, TEST_IOVA), 0);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&pinner->task));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), -EINVAL);
	expect_pins(f, 0, TEST_PAGES, 0);
	end_pinner(pinner);
	map_fixture_end(f);
}

/**
 * struct copier - a task that writes
 * @user: as whom
 * @data: what
 * @pins: not through its own mapping
 * @task: the task
 */
struct copier {
	struct iopt_user user;
	u8 *data;
	bool pins;
	struct map_task task;
};

static int write_test_range(struct map_task *task)
{
	struct iopt_access_request request = {
		.first_iova = iova_of(PINNED_PAGE),
		.last_iova = iova_of(PINNED_PAGE + PINNED_PAGES) - 1,
		.write = true,
	};
	struct copier *copier = task->arg;
	struct iopt_rw rw = { .data = copier->data, .pins = copier->pins };

	return iopt_rw_access(&task->f->iopt, &copier->user, &request, &rw);
}

static void expect_first_byte(struct map_fixture *f, unsigned long page, u8 want)
{
	char byte;

	memcpy_from_page(&byte, f->memory->pages[page], 0, 1);
	KUNIT_EXPECT_EQ_MSG(f->test, (u8)byte, want, "page %lu", page);
}

static void start_parked_copy(struct map_fixture *f, struct copier *copier)
{
	copier->user.unmap = ignore_unmap;
	copier->user.iova_alignment = PAGE_SIZE;
	copier->task.f = f;
	copier->task.fn = write_test_range;
	copier->task.arg = copier;
	copier->task.has_mm = true;
	memset(copier->data, 0xaa, PINNED_PAGES * PAGE_SIZE);
	user_memory_park(f->memory, PARKED_PAGE);
	KUNIT_ASSERT_EQ(f->test, iopt_user_add(&f->iopt, &copier->user), 0);
	KUNIT_ASSERT_EQ(f->test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	map_task_start(&copier->task);
	user_memory_wait_parked(f->memory);
}

static void end_parked_copy(struct map_fixture *f, struct copier *copier, int rc)
{
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(f->test, map_task_join(&copier->task), rc);
	iopt_user_stop(&f->iopt, &copier->user);
	iopt_user_remove(&f->iopt, &copier->user);
}

/* What is unmapped is not written to any more, though nobody waits for that. */
static void copy_ends_with_the_mapping(struct kunit *test)
{
	struct copier copier = {
		.data = kunit_kzalloc(test, PINNED_PAGES * PAGE_SIZE, GFP_KERNEL),
	};

	KUNIT_ASSERT_NOT_NULL(test, copier.data);
	for (int pins = 0; pins < 2; pins++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);

		copier.pins = pins;
		start_parked_copy(f, &copier);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
		memset_page(f->memory->pages[PINNED_PAGE], 0, 0x55, 16);
		end_parked_copy(f, &copier, -EINVAL);
		expect_first_byte(f, PINNED_PAGE, 0x55);
		map_fixture_end(f);
	}
}

/* The area is cut below a copy: it goes on in the other one. */
static void copy_goes_on_after_a_cut(struct kunit *test)
{
	struct copier copier = {
		.data = kunit_kzalloc(test, PINNED_PAGES * PAGE_SIZE, GFP_KERNEL),
	};

	KUNIT_ASSERT_NOT_NULL(test, copier.data);
	for (int pins = 0; pins < 2; pins++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);

		copier.pins = pins;
		KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
		start_parked_copy(f, &copier);
		KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(PINNED_PAGE)), 0);
		KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(6)), 0);
		end_parked_copy(f, &copier, 0);
		for (unsigned long i = 0; i < PINNED_PAGES; i++)
			expect_first_byte(f, PINNED_PAGE + i, 0xaa);
		expect_pins(f, 0, TEST_PAGES, 0);
		map_fixture_end(f);
	}
}

static void leaving_does_not_wait(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct pinner *pinner = start_parked_pin(f);

	iopt_user_stop(&f->iopt, &pinner->user);
	KUNIT_EXPECT_TRUE(test, map_task_runs(&pinner->task));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), -ENOENT);
	expect_pins(f, 0, TEST_PAGES, 0);
	end_pinner(pinner);
	map_fixture_end(f);
}

static void killed_pin(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct pinner *pinner = start_parked_pin(f);

	map_task_kill(&pinner->task);
	KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), -EINTR);
	user_memory_resume(f->memory);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);
	end_pinner(pinner);
	map_fixture_end(f);
}

/* Cut in what is being pinned: the pin goes through both halves then. */
static void cut_below_a_pin(struct kunit *test)
{
	static const unsigned long cuts[] = { 2, PINNED_PAGE, 6, PARKED_PAGE,
					      PINNED_PAGE + PINNED_PAGES, 14 };

	for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
		struct pinner *pinner;

		KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
		pinner = start_parked_pin(f);
		KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(cuts[i])), 0);
		KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 2);
		user_memory_resume(f->memory);
		KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), 0);
		expect_pinned(pinner);
		expect_pins(f, 0, PINNED_PAGE, 0);
		unpin_test_range(pinner);
		expect_pins(f, 0, TEST_PAGES, 0);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, cuts[i]), 0);
		end_pinner(pinner);
		map_fixture_end(f);
	}
}

/* The lower part goes, and with it some or all of what is being pinned. */
static void part_goes_below_a_pin(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct pinner *pinner;

	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
	pinner = start_parked_pin(f);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(6)), 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, iova_of(6), TEST_PAGES - 6), 0);
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), -ENOENT);
	expect_pins(f, 0, TEST_PAGES, 0);
	end_pinner(pinner);
	map_fixture_end(f);
}

static int attach_domain(struct map_task *task)
{
	struct map_domain *domain = task->arg;

	return map_domain_try_add(task->f, domain);
}

/* Whoever comes second takes the page from the first, and pins nothing. */
static void domain_and_pin_at_once(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_task attacher = { .f = f, .fn = attach_domain,
				     .has_mm = true };
	struct pinner *pinner = start_parked_pin(f);
	struct map_domain *domain = map_domain_make(f, FAKE_VTD);

	attacher.arg = domain;
	map_task_start(&attacher);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&attacher));
	KUNIT_EXPECT_TRUE(test, map_task_runs(&pinner->task));
	user_memory_resume(f->memory);
	KUNIT_EXPECT_EQ(test, map_task_join(&attacher), 0);
	KUNIT_EXPECT_EQ(test, map_task_join(&pinner->task), 0);
	expect_pinned(pinner);
	expect_pins(f, 0, TEST_PAGES, 1);
	expect_charge(f, TEST_PAGES);
	expect_mapped(f, domain, 0, TEST_PAGES, TEST_IOVA);

	map_domain_remove(f, domain);
	expect_pins(f, 0, PINNED_PAGE, 0);
	expect_pinned(pinner);
	expect_charge(f, PINNED_PAGES);
	unpin_test_range(pinner);
	end_pinner(pinner);
	map_fixture_end(f);
}

static struct kunit_case map_access_cases[] = {
	KUNIT_CASE(unmap_does_not_wait),
	KUNIT_CASE(copy_ends_with_the_mapping),
	KUNIT_CASE(copy_goes_on_after_a_cut),
	KUNIT_CASE(leaving_does_not_wait),
	KUNIT_CASE(killed_pin),
	KUNIT_CASE(cut_below_a_pin),
	KUNIT_CASE(part_goes_below_a_pin),
	KUNIT_CASE(domain_and_pin_at_once),
	{}
};

static struct kunit_suite map_access_suite = {
	.name = "iommufd_map_access",
	.test_cases = map_access_cases,
};

kunit_test_suite(map_access_suite);

MODULE_DESCRIPTION("Tests of in-kernel users of iommufd's IOVA map");
MODULE_LICENSE("GPL");
