// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cutting areas, against drivers that know what they mapped in one call.
 */
#include <kunit/test.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_PAGES 64
#define TEST_IOVA SZ_1M

static unsigned long iova_of(unsigned long page)
{
	return TEST_IOVA + page * PAGE_SIZE;
}

static int cut_and_unmap(struct map_fixture *f, unsigned long first_page,
			 unsigned long npages)
{
	int rc;

	rc = iopt_cut(&f->iopt, iova_of(first_page));
	if (!rc)
		rc = iopt_cut(&f->iopt, iova_of(first_page + npages));
	return rc ?: unmap_at(f, iova_of(first_page), npages);
}

/* What is left has to be mapped, pinned and charged; the rest not. */
static void expect_hole(struct map_fixture *f, struct map_domain *domain,
			unsigned long first_page, unsigned long npages)
{
	unsigned long end_page = first_page + npages;

	expect_pins(f, 0, first_page, 1);
	expect_pins(f, first_page, npages, 0);
	expect_pins(f, end_page, TEST_PAGES - end_page, 1);
	expect_charge(f, TEST_PAGES - npages);
	expect_mapped(f, domain, 0, first_page, TEST_IOVA);
	expect_mapped(f, domain, end_page, TEST_PAGES - end_page,
		      iova_of(end_page));
	fake_domain_check(domain->fake);
}

/* Scenario 7. */
static void cut_in_a_domain(struct kunit *test)
{
	static const unsigned long blocks[] = { 1, 16, TEST_PAGES };
	unsigned int i, personality;

	for (personality = 0; personality < FAKE_NR_PERSONALITIES;
	     personality++) {
		for (i = 0; i < ARRAY_SIZE(blocks); i++) {
			struct map_fixture *f = map_fixture_make(test,
								 TEST_PAGES,
								 blocks[i]);
			struct map_domain *domain, *later;

			KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt,
								   false), 0);
			domain = map_domain_add(f, personality);
			KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES,
							   TEST_IOVA), 0);
			KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 19, 2), 0);
			expect_hole(f, domain, 19, 2);
			KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 2);
			KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes,
					(TEST_PAGES - 2) * PAGE_SIZE);
			/* Both sides of the hole, and the other way round. */
			KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 21, 3), 0);
			KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 17, 2), 0);
			expect_hole(f, domain, 17, 7);

			later = map_domain_add(f, FAKE_VIRTIO);
			expect_hole(f, later, 17, 7);
			map_domain_remove(f, domain);
			expect_hole(f, later, 17, 7);
			KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 0, 17), 0);
			expect_pins(f, 0, 24, 0);
			map_domain_remove(f, later);
			expect_pins(f, 0, TEST_PAGES, 0);
			map_fixture_end(f);
		}
	}
}

/* Nobody wants the areas: a part of them is pinned later, and only that. */
static void cut_without_domain(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_domain *domain;

	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 30, 10), 0);
	domain = map_domain_add(f, FAKE_VTD);
	expect_hole(f, domain, 30, 10);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* A border that is there, or IOVA that is free, needs no cut. */
static void cut_of_nothing(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 8, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, 0), 0);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(8)), 0);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(9)), 0);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 1);
	map_fixture_end(f);
}

/* A large leaf cannot be cut, whatever the option says now. */
static void cut_of_large_pages_is_refused(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, TEST_PAGES);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(5)), -EINVAL);
	KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, false), -EINVAL);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(5)), -EINVAL);
	expect_mapped(f, domain, 0, TEST_PAGES, TEST_IOVA);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 1);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Two areas show the same pages: one is cut and goes, the other keeps them. */
static void cut_of_shared_pages(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 16);
	struct map_domain *domain;

	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
	domain = map_domain_add(f, FAKE_ARM);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, copy_pages_at(f, iova_of(10), 20, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, cut_and_unmap(f, 5, 30), 0);
	expect_pins(f, 5, 5, 0);
	expect_pins(f, 10, 20, 1);
	expect_pins(f, 30, 5, 0);
	expect_mapped(f, domain, 10, 20, SZ_4M);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, SZ_4M + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_4M, 1), 0);
	expect_pins(f, 10, 1, 0);
	expect_pins(f, 11, 19, 1);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_4M + PAGE_SIZE, 19), 0);
	expect_pins(f, 10, 20, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void ignore_unmap(struct iopt_user *user, unsigned long iova,
			 unsigned long length)
{
}

/* A driver's pins are counted for the area it pinned them through. */
static void cut_of_pinned_area_is_refused(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct iopt_user user = {
		.unmap = ignore_unmap,
		.iova_alignment = PAGE_SIZE,
	};
	struct iopt_access_request request = {
		.first_iova = iova_of(3),
		.last_iova = iova_of(4) - 1,
	};
	struct page *page;

	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
	KUNIT_ASSERT_EQ(test, iopt_user_add(&f->iopt, &user), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 8, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, iopt_pin(&f->iopt, &user, &request, &page), 0);
	KUNIT_EXPECT_PTR_EQ(test, page, f->memory->pages[3]);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(5)), -EBUSY);
	iopt_unpin(&f->iopt, &user, request.first_iova, request.last_iova);
	KUNIT_EXPECT_EQ(test, iopt_cut(&f->iopt, iova_of(5)), 0);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 2);
	iopt_user_stop(&f->iopt, &user);
	iopt_user_remove(&f->iopt, &user);
	map_fixture_end(f);
}

static struct kunit_case map_split_cases[] = {
	KUNIT_CASE_SLOW(cut_in_a_domain),
	KUNIT_CASE(cut_without_domain),
	KUNIT_CASE(cut_of_nothing),
	KUNIT_CASE(cut_of_large_pages_is_refused),
	KUNIT_CASE(cut_of_shared_pages),
	KUNIT_CASE(cut_of_pinned_area_is_refused),
	{}
};

static struct kunit_suite map_split_suite = {
	.name = "iommufd_map_split",
	.test_cases = map_split_cases,
};

kunit_test_suite(map_split_suite);
