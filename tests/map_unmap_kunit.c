// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unmaps of many small areas in one call: they share flushes of the IOTLB, and
 * whatever keeps one of them from going, keeps no other.
 */
#include <kunit/test.h>
#include <linux/math.h>
#include <linux/mmap_lock.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_PAGES 48
#define TEST_IOVA SZ_1M
/* What io_pagetable.c and pages_unfill.c take at a time. */
#define BATCH_AREAS 16

static unsigned long iova_of(unsigned long page)
{
	return TEST_IOVA + page * PAGE_SIZE;
}

/* An area for each page; no two pages are neighbours in memory. */
static struct map_fixture *page_areas(struct kunit *test)
{
	return map_fixture_make(test, TEST_PAGES, 1);
}

static void map_page_areas(struct map_fixture *f)
{
	for (unsigned long i = 0; i < TEST_PAGES; i++)
		KUNIT_ASSERT_EQ(f->test, map_pages_at(f, i, 1, iova_of(i)), 0);
}

static struct iopt_area *area_of(struct map_fixture *f, unsigned long page)
{
	struct iopt_area *area;

	scoped_guard(rwsem_read, &f->iopt.iova_rwsem)
		area = iopt_area_from(&f->iopt, iova_of(page));
	KUNIT_ASSERT_NOT_NULL(f->test, area);
	KUNIT_ASSERT_EQ(f->test, area->slice.iova.first_iova, iova_of(page));
	return area;
}

static int unmap_page_areas(struct map_fixture *f, unsigned long *unmapped_pages)
{
	unsigned long unmapped_bytes;
	int rc = iopt_unmap(&f->iopt, TEST_IOVA, iova_of(TEST_PAGES) - 1,
			    &unmapped_bytes);

	*unmapped_pages = unmapped_bytes / PAGE_SIZE;
	return rc;
}

/* Those of areas that know their PFNs: not when page tables are asked for them. */
static void flushes_are_shared(struct kunit *test)
{
	unsigned int at_a_time = iopt_extents ? BATCH_AREAS : 1;

	for (unsigned int i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct map_fixture *f = page_areas(test);
		struct map_domain *domain = map_domain_add(f, i);
		unsigned long unmapped_pages;
		unsigned int nr_flushes;

		map_page_areas(f);
		expect_pins(f, 0, TEST_PAGES, 1);
		nr_flushes = domain->fake->nr_flushes;
		KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), 0);
		KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES);
		KUNIT_EXPECT_LE(test, domain->fake->nr_flushes - nr_flushes,
				DIV_ROUND_UP(TEST_PAGES, at_a_time));
		KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, 0);
		fake_domain_check(domain->fake);
		expect_pins(f, 0, TEST_PAGES, 0);
		expect_charge(f, 0);
		map_domain_remove(f, domain);
		map_fixture_end(f);
	}
}

/* With two domains nothing is shared, and nothing is forgotten in either. */
static void two_domains_are_left(struct kunit *test)
{
	struct map_fixture *f = page_areas(test);
	struct map_domain *one = map_domain_add(f, FAKE_VTD);
	struct map_domain *other = map_domain_add(f, FAKE_ARM);
	unsigned long unmapped_pages;

	map_page_areas(f);
	KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), 0);
	KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES);
	KUNIT_EXPECT_EQ(test, one->fake->mapped_bytes, 0);
	KUNIT_EXPECT_EQ(test, other->fake->mapped_bytes, 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);
	map_domain_remove(f, one);
	map_domain_remove(f, other);
	map_fixture_end(f);
}

/* Of areas that go together one stays, wherever it is. */
static void one_stays_in_a_domain(struct kunit *test)
{
	for (unsigned long stuck = 0; stuck < BATCH_AREAS + 2; stuck++) {
		struct map_fixture *f = page_areas(test);
		struct map_domain *domain = map_domain_add(f, FAKE_VTD);
		unsigned long unmapped_pages;

		map_page_areas(f);
		domain->fake->fail_unmap = stuck + 1;
		KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages),
				-ENOTRECOVERABLE);
		KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES - 1);
		KUNIT_EXPECT_EQ(test, f->iopt.nr_quarantined, 1);
		KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, area_of(f, stuck)->state,
				IOPT_AREA_QUARANTINED);
		expect_pins(f, stuck, 1, 1);
		expect_charge(f, 1);
		expect_pins(f, 0, stuck, 0);
		expect_pins(f, stuck + 1, TEST_PAGES - stuck - 1, 0);

		/* It is known until the domain is freed which page that is. */
		iopt_domain_remove(&f->iopt, &domain->member);
		map_domain_let_go(&f->iopt, domain);
		KUNIT_EXPECT_EQ(test, f->iopt.nr_quarantined, 0);
		expect_pins(f, stuck, 1, 0);
		expect_charge(f, 0);
		map_fixture_end(f);
	}
}

/* Some go with others that a domain never had, and leave the map first. */
static void bare_ones_in_between(struct kunit *test)
{
	struct map_fixture *f = page_areas(test);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);
	unsigned long unmapped_pages;

	map_page_areas(f);
	map_domain_remove(f, domain);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, TEST_PAGES);
	KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), 0);
	KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 0);
	map_fixture_end(f);
}

static void ignore_unmap(struct iopt_user *user, unsigned long iova,
			 unsigned long length)
{
}

/* Somebody does not give up a pin in the middle of what is claimed at a time. */
static void areas_in_front_of_a_pin(struct kunit *test)
{
	const unsigned long pinned = BATCH_AREAS / 2;
	struct iopt_user user = { .unmap = ignore_unmap, .iova_alignment = 1 };
	struct iopt_access_request request = {
		.first_iova = iova_of(pinned), .last_iova = iova_of(pinned),
	};
	struct map_fixture *f = page_areas(test);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	unsigned long unmapped_pages;
	struct page *page;

	map_page_areas(f);
	KUNIT_ASSERT_EQ(test, iopt_user_add(&f->iopt, &user), 0);
	KUNIT_ASSERT_EQ(test, iopt_pin(&f->iopt, &user, &request, &page), 0);
	KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), -EDEADLOCK);
	KUNIT_EXPECT_EQ(test, unmapped_pages, pinned);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, TEST_PAGES - pinned);
	for (unsigned long i = pinned; i < TEST_PAGES; i++) {
		KUNIT_EXPECT_EQ(test, area_of(f, i)->state, IOPT_AREA_LIVE);
		expect_mapped(f, domain, i, 1, iova_of(i));
	}
	iopt_unpin(&f->iopt, &user, iova_of(pinned), iova_of(pinned));
	KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), 0);
	KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES - pinned);
	iopt_user_stop(&f->iopt, &user);
	iopt_user_remove(&f->iopt, &user);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static int unmap_in_task(struct map_task *task)
{
	unsigned long unmapped_pages;
	int rc = unmap_page_areas(task->f, &unmapped_pages);

	return rc ?: unmapped_pages;
}

/* Somebody is in a section over one of them: it is waited for, and no lock held. */
static void section_in_the_way(struct kunit *test)
{
	struct map_fixture *f = page_areas(test);
	struct map_domain *domain = map_domain_add(f, FAKE_ARM);
	struct map_task task = { .f = f, .fn = unmap_in_task, .has_mm = true };
	struct iopt_pages *pages;
	struct iopt_busy busy;

	map_page_areas(f);
	pages = area_of(f, 5)->slice.pages;
	busy = iopt_slice_range(&area_of(f, 5)->slice);
	iopt_pages_get(pages);
	iopt_pages_lock_range(pages, &busy);
	map_task_start(&task);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&task));
	/* Those that were unmapped in front of it are unpinned, and wait for nobody. */
	expect_pins(f, 0, 5, 0);
	expect_pins(f, 5, 1, 1);
	KUNIT_EXPECT_TRUE(test, down_write_trylock(&f->iopt.iova_rwsem));
	up_write(&f->iopt.iova_rwsem);
	iopt_pages_unlock_range(pages, &busy);
	iopt_pages_put(pages);
	KUNIT_EXPECT_EQ(test, map_task_join(&task), TEST_PAGES);
	expect_pins(f, 0, TEST_PAGES, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* A charge goes back under a lock that page faults have: nobody waits for that. */
static void no_section_while_uncharged(struct kunit *test)
{
	struct map_fixture *f = page_areas(test);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	struct map_task task = { .f = f, .fn = unmap_in_task, .has_mm = true };

	f->account_mode = IOPT_ACCOUNT_MM;
	map_page_areas(f);
	expect_charge(f, TEST_PAGES);
	mmap_read_lock(f->mm);
	map_task_start(&task);
	map_pause();
	KUNIT_EXPECT_TRUE(test, map_task_runs(&task));
	for (unsigned long i = 0; i < BATCH_AREAS; i++) {
		struct iopt_slice *slice = &area_of(f, i)->slice;
		struct iopt_busy busy = iopt_slice_range(slice);
		bool begun = iopt_pages_trylock_range(slice->pages, &busy);

		KUNIT_EXPECT_TRUE_MSG(test, begun, "area %lu", i);
		if (begun)
			iopt_pages_unlock_range(slice->pages, &busy);
	}
	mmap_read_unlock(f->mm);
	KUNIT_EXPECT_EQ(test, map_task_join(&task), TEST_PAGES);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Areas that have page tables of their own, and lie apart. */
static void large_areas_apart(struct kunit *test)
{
	const unsigned long npages = SZ_2M / PAGE_SIZE;
	struct map_fixture *f = map_fixture_make(test, 2 * npages, npages);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	unsigned long unmapped_bytes;

	for (unsigned long i = 0; i < 2; i++)
		KUNIT_ASSERT_EQ(test, map_pages_at(f, i * npages, npages,
						   SZ_4M + i * SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, 0, SZ_16M - 1,
					 &unmapped_bytes), 0);
	KUNIT_EXPECT_EQ(test, unmapped_bytes, 2 * SZ_2M);
	expect_pins(f, 0, 2 * npages, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Pages that another area shows as well are unpinned with the last one. */
static void shared_pages_stay(struct kunit *test)
{
	struct map_fixture *f = page_areas(test);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	unsigned long unmapped_pages;

	map_page_areas(f);
	KUNIT_ASSERT_EQ(test, copy_pages_at(f, iova_of(3), 1, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, unmap_page_areas(f, &unmapped_pages), 0);
	KUNIT_EXPECT_EQ(test, unmapped_pages, TEST_PAGES);
	expect_pins(f, 3, 1, 1);
	expect_charge(f, 1);
	expect_mapped(f, domain, 3, 1, SZ_4M);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_4M, 1), 0);
	expect_pins(f, 3, 1, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Pages of a run: enough for a record of runs. */
#define RUN_PAGES 64
#define RUNS 8
/* Where leaves as large as a run, and no larger ones, begin. */
#define RUNS_IOVA (SZ_16M + RUN_PAGES * PAGE_SIZE)

/* An area of runs that are no neighbours, of which few are pinned at a time. */
static struct map_fixture *runs_area(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, RUNS * RUN_PAGES,
						 RUN_PAGES);
	unsigned int old_limit = iopt_temp_bytes_limit;

	iopt_temp_bytes_limit = 2 * sizeof(struct pfn_run);
	map_domain_add(f, FAKE_AMD);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, RUNS * RUN_PAGES, RUNS_IOVA), 0);
	iopt_temp_bytes_limit = old_limit;
	expect_pins(f, 0, RUNS * RUN_PAGES, 1);
	return f;
}

static struct map_domain *domain_of(struct map_fixture *f)
{
	return list_first_entry(&f->iopt.domains.members, struct map_domain,
				member.item);
}

/* What is known need not be read, so it takes no memory to unmap it at once. */
static void known_runs_go_at_once(struct kunit *test)
{
	struct map_fixture *f = runs_area(test);
	struct map_domain *domain = domain_of(f);
	unsigned int old_limit = iopt_temp_bytes_limit;

	domain->fake->nr_flushes = 0;
	iopt_temp_bytes_limit = sizeof(struct pfn_run);
	KUNIT_EXPECT_EQ(test, unmap_at(f, RUNS_IOVA, RUNS * RUN_PAGES), 0);
	iopt_temp_bytes_limit = old_limit;
	if (iopt_extents)
		KUNIT_EXPECT_EQ(test, domain->fake->nr_flushes, 1);
	expect_pins(f, 0, RUNS * RUN_PAGES, 0);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* The same when the last domain goes, and then there is nothing left to unmap. */
static void known_runs_are_detached(struct kunit *test)
{
	struct map_fixture *f = runs_area(test);

	map_domain_remove(f, domain_of(f));
	expect_pins(f, 0, RUNS * RUN_PAGES, 0);
	expect_charge(f, 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, RUNS_IOVA, RUNS * RUN_PAGES), 0);
	map_fixture_end(f);
}

/* Of runs that somebody shows a part of, that part stays pinned, from end to end. */
static void shown_parts_of_runs_stay(struct kunit *test)
{
	const unsigned long npages = RUNS * RUN_PAGES;

	for (unsigned long first = 0; first < 3 * RUN_PAGES; first += 29) {
		unsigned long n = first + 1, end = first + n;
		struct map_fixture *f = runs_area(test);
		struct map_domain *domain = domain_of(f);

		KUNIT_ASSERT_EQ(test, copy_pages_at(f, RUNS_IOVA + first * PAGE_SIZE,
						    n, SZ_64M), 0);
		KUNIT_EXPECT_EQ(test, unmap_at(f, RUNS_IOVA, npages), 0);
		expect_pins(f, 0, first, 0);
		expect_pins(f, first, n, 1);
		expect_pins(f, end, npages - end, 0);
		expect_charge(f, n);
		expect_mapped(f, domain, first, n, SZ_64M);
		KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_64M, n), 0);
		expect_pins(f, 0, npages, 0);
		expect_charge(f, 0);
		map_domain_remove(f, domain);
		map_fixture_end(f);
	}
}

/*
 * Somebody else's record ends in the middle of a leaf of ours, and what is behind it
 * only page tables know.
 */
static void record_ends_in_a_leaf(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 2 * RUN_PAGES, RUN_PAGES);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);
	unsigned int old_limit = iopt_temp_bytes_limit;

	for (unsigned long page = 70; page < 84; page += 2)
		user_memory_exchange(f->memory, page, page + 16, 1);
	iopt_temp_bytes_limit = 2 * sizeof(struct pfn_run);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 2 * RUN_PAGES, RUNS_IOVA), 0);
	iopt_temp_bytes_limit = old_limit;
	KUNIT_ASSERT_EQ(test, copy_pages_at(f, RUNS_IOVA + 42 * PAGE_SIZE, 28,
					    SZ_64M), 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, RUNS_IOVA, 2 * RUN_PAGES), 0);
	expect_pins(f, 42, 28, 1);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_64M, 28), 0);
	expect_pins(f, 0, 2 * RUN_PAGES, 0);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* A driver stops in the middle: what is in front of that is unpinned, and no more. */
static void runs_in_front_of_a_failure(struct kunit *test)
{
	const unsigned long npages = RUNS * RUN_PAGES;
	struct map_fixture *f = runs_area(test);
	struct map_domain *domain = domain_of(f);
	unsigned long gone;

	domain->fake->fail_unmap = 2;
	KUNIT_EXPECT_EQ(test, unmap_at(f, RUNS_IOVA, npages), -ENOTRECOVERABLE);
	gone = npages - domain->fake->mapped_bytes / PAGE_SIZE;
	KUNIT_EXPECT_GT(test, gone, 0);
	KUNIT_EXPECT_LT(test, gone, npages);
	expect_pins(f, 0, gone, 0);
	expect_pins(f, gone, npages - gone, 1);
	expect_charge(f, npages - gone);
	iopt_domain_remove(&f->iopt, &domain->member);
	map_domain_let_go(&f->iopt, domain);
	expect_pins(f, 0, npages, 0);
	expect_charge(f, 0);
	map_fixture_end(f);
}

static struct kunit_case map_unmap_cases[] = {
	KUNIT_CASE(flushes_are_shared),
	KUNIT_CASE(two_domains_are_left),
	KUNIT_CASE(one_stays_in_a_domain),
	KUNIT_CASE(bare_ones_in_between),
	KUNIT_CASE(areas_in_front_of_a_pin),
	KUNIT_CASE(section_in_the_way),
	KUNIT_CASE(no_section_while_uncharged),
	KUNIT_CASE(large_areas_apart),
	KUNIT_CASE(shared_pages_stay),
	KUNIT_CASE(known_runs_go_at_once),
	KUNIT_CASE(known_runs_are_detached),
	KUNIT_CASE(shown_parts_of_runs_stay),
	KUNIT_CASE(record_ends_in_a_leaf),
	KUNIT_CASE(runs_in_front_of_a_failure),
	{}
};

static struct kunit_suite map_unmap_suite = {
	.name = "iommufd_map_unmap",
	.test_cases = map_unmap_cases,
};

kunit_test_suite(map_unmap_suite);
