// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers that fail: whichever of their calls it is, nothing may stay mapped,
 * and then nothing may stay pinned or charged. A driver that does not unmap is
 * believed, and what it still holds stays pinned.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "map_fixture.h"

#define TEST_IOVA (SZ_1M + 3 * PAGE_SIZE)
#define TEST_PAGES 64

static const unsigned long layouts[] = { TEST_PAGES, 24, 1 };

/* What may be different from one failure to the next. */
struct failure {
	struct kunit *test;
	enum fake_personality personality;
	unsigned long block_pages;
	bool small_leaves;
};

/* One way to fail: run it until the n-th call is one that is not made. */
typedef bool (*failure_fn)(const struct failure *failure, unsigned int nth);

static void run_all_failures(struct kunit *test, failure_fn fn)
{
	struct failure failure = { .test = test };
	unsigned int i;

	for (i = 0; i < 2 * FAKE_NR_PERSONALITIES * ARRAY_SIZE(layouts); i++) {
		unsigned int nth = 1;

		/* Batches of four runs, so that many calls follow others. */
		WRITE_ONCE(iopt_temp_bytes_limit, i & 1 ? 64 : SZ_64K);
		failure.small_leaves = i & 1;
		failure.personality = i / 2 % FAKE_NR_PERSONALITIES;
		failure.block_pages = layouts[i / 2 / FAKE_NR_PERSONALITIES];
		while (fn(&failure, nth))
			nth++;
		/* Something must have failed for this to be a test. */
		KUNIT_EXPECT_GT(test, nth, 1);
	}
	WRITE_ONCE(iopt_temp_bytes_limit, SZ_64K);
}

static struct map_fixture *failure_fixture(const struct failure *failure)
{
	return map_fixture_make(failure->test, TEST_PAGES,
				failure->block_pages);
}

static struct map_domain *failing_domain(const struct failure *failure,
					 struct map_fixture *f,
					 unsigned int nth)
{
	struct map_domain *domain = map_domain_make(f, failure->personality);

	domain->fake->small_leaves = failure->small_leaves;
	domain->fake->fail_map = nth;
	return domain;
}

/* The fixture is at its end if nothing is left in it. */
static void expect_empty(struct map_fixture *f, struct map_domain *domain)
{
	fake_domain_check(domain->fake);
	KUNIT_EXPECT_EQ(f->test, domain->fake->mapped_bytes, 0);
	expect_pins(f, 0, TEST_PAGES, 0);
	expect_charge(f, 0);
}

static bool fail_map_of_one(const struct failure *failure, unsigned int nth)
{
	struct map_fixture *f = failure_fixture(failure);
	struct map_domain *domain = failing_domain(failure, f, nth);
	int rc;

	KUNIT_ASSERT_EQ(f->test, map_domain_try_add(f, domain), 0);
	rc = map_pages_at(f, 0, TEST_PAGES, TEST_IOVA);
	if (rc) {
		KUNIT_EXPECT_EQ(f->test, rc, -ENOMEM);
		expect_empty(f, domain);
		KUNIT_EXPECT_TRUE(f->test, iova_map_is_empty(&f->iopt.areas));
	}
	map_domain_remove(f, domain);
	map_fixture_end(f);
	return rc;
}

/* Scenario 54. */
static void failed_map_leaves_nothing(struct kunit *test)
{
	run_all_failures(test, fail_map_of_one);
}

static bool fail_map_of_last(const struct failure *failure, unsigned int nth)
{
	struct map_fixture *f = failure_fixture(failure);
	struct map_domain *first = map_domain_add(f, FAKE_VIRTIO);
	struct map_domain *second = failing_domain(failure, f, nth);
	struct map_domain *third;
	int rc;

	KUNIT_ASSERT_EQ(f->test, map_domain_try_add(f, second), 0);
	third = map_domain_add(f, FAKE_AMD);
	rc = map_pages_at(f, 0, TEST_PAGES, TEST_IOVA);
	if (rc) {
		expect_empty(f, first);
		expect_empty(f, second);
		expect_empty(f, third);
	}
	map_domain_remove(f, first);
	map_domain_remove(f, second);
	map_domain_remove(f, third);
	map_fixture_end(f);
	return rc;
}

static void failed_map_leaves_nothing_in_others(struct kunit *test)
{
	run_all_failures(test, fail_map_of_last);
}

static void map_two_areas(struct map_fixture *f)
{
	KUNIT_ASSERT_EQ(f->test, map_pages_at(f, 0, 8, 0), 0);
	KUNIT_ASSERT_EQ(f->test, map_pages_at(f, 8, TEST_PAGES - 8, TEST_IOVA),
			0);
}

static bool fail_first_attach(const struct failure *failure, unsigned int nth)
{
	struct map_fixture *f = failure_fixture(failure);
	struct map_domain *domain = failing_domain(failure, f, nth);
	int rc;

	map_two_areas(f);
	rc = iopt_domain_add(&f->iopt, &domain->member);
	if (rc) {
		KUNIT_EXPECT_EQ(f->test, rc, -ENOMEM);
		expect_empty(f, domain);
		map_domain_free(domain);
	} else {
		map_domain_remove(f, domain);
	}
	KUNIT_EXPECT_EQ(f->test, f->iopt.iova_alignment, 1);
	map_fixture_end(f);
	return rc;
}

static void failed_first_attach_leaves_nothing(struct kunit *test)
{
	run_all_failures(test, fail_first_attach);
}

static bool fail_second_attach(const struct failure *failure, unsigned int nth)
{
	struct map_fixture *f = failure_fixture(failure);
	struct map_domain *domain = failing_domain(failure, f, nth);
	struct map_domain *first;
	int rc;

	map_two_areas(f);
	first = map_domain_add(f, FAKE_ARM);
	rc = iopt_domain_add(&f->iopt, &domain->member);
	if (rc) {
		KUNIT_EXPECT_EQ(f->test, domain->fake->mapped_bytes, 0);
		map_domain_free(domain);
	} else {
		map_domain_remove(f, domain);
	}
	/* The first one does not notice. */
	fake_domain_check(first->fake);
	expect_mapped(f, first, 0, 8, 0);
	expect_mapped(f, first, 8, TEST_PAGES - 8, TEST_IOVA);
	expect_pins(f, 0, TEST_PAGES, 1);
	expect_charge(f, TEST_PAGES);
	map_domain_remove(f, first);
	map_fixture_end(f);
	return rc;
}

/* Scenario 54. */
static void failed_second_attach_leaves_nothing(struct kunit *test)
{
	run_all_failures(test, fail_second_attach);
}

static struct iopt_area *area_at(struct map_fixture *f, unsigned long iova)
{
	struct iopt_area *area;

	scoped_guard(rwsem_read, &f->iopt.iova_rwsem)
		area = iopt_area_from(&f->iopt, iova);
	KUNIT_ASSERT_NOT_NULL(f->test, area);
	return area;
}

/* What a domain still maps of the pages at an IOVA has to be pinned. */
static void expect_reachable_is_pinned(struct map_fixture *f,
				       struct map_domain *domain,
				       unsigned long iova)
{
	unsigned long i;

	KUNIT_EXPECT_NE(f->test, domain->fake->mapped_bytes, 0);
	for (i = 0; i < TEST_PAGES; i++) {
		if (fake_domain_lookup(domain->fake, iova + i * PAGE_SIZE))
			expect_pins(f, i, 1, 1);
	}
}

/* End a fixture with one area in quarantine, by freeing what keeps it there. */
static void end_quarantine(struct map_fixture *f, struct map_domain *domain,
			   unsigned long iova)
{
	KUNIT_EXPECT_EQ(f->test, f->iopt.nr_quarantined, 1);
	expect_charge(f, area_at(f, iova)->slice.pages->npinned);
	map_domain_let_go(&f->iopt, domain);
	map_fixture_end(f);
}

/* Scenario 17. */
static void short_unmap_is_quarantined(struct kunit *test)
{
	unsigned long unmapped_bytes;
	unsigned int i;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
		struct map_domain *domain = map_domain_add(f, i);

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 40, TEST_IOVA), 0);
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 40, 12, SZ_2M), 0);
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 52, 12, SZ_4M), 0);
		/* The first call unmaps some of it. */
		domain->fake->fail_unmap = 2;
		KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, TEST_IOVA, SZ_2M - 1,
						 &unmapped_bytes),
				-ENOTRECOVERABLE);
		KUNIT_EXPECT_EQ(test, unmapped_bytes, 0);

		/* What it still maps is pinned, and nothing is mapped there. */
		expect_reachable_is_pinned(f, domain, TEST_IOVA);
		KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, TEST_IOVA),
				-EEXIST);
		KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, TEST_IOVA, SZ_2M - 1,
						 &unmapped_bytes),
				-ENOTRECOVERABLE);

		/* All others can go. */
		KUNIT_EXPECT_EQ(test, iopt_unmap_all(&f->iopt, &unmapped_bytes),
				-ENOTRECOVERABLE);
		KUNIT_EXPECT_EQ(test, unmapped_bytes, 24 * PAGE_SIZE);
		expect_pins(f, 40, TEST_PAGES - 40, 0);

		/* A domain that comes now has none of it. */
		map_domain_remove(f, map_domain_add(f, FAKE_ARM));
		iopt_domain_remove(&f->iopt, &domain->member);
		expect_reachable_is_pinned(f, domain, TEST_IOVA);
		end_quarantine(f, domain, TEST_IOVA);
	}
}

static void short_unmap_at_detach_is_quarantined(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_domain *domain = map_domain_add(f, FAKE_ARM);
	unsigned long unmapped_bytes;

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 16, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 16, 16, SZ_2M), 0);
	domain->fake->fail_unmap = 1;
	iopt_domain_remove(&f->iopt, &domain->member);
	fake_domain_check(domain->fake);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_quarantined, 1);
	KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, 16 * PAGE_SIZE);
	expect_pins(f, 0, 16, 1);
	expect_pins(f, 16, 16, 0);
	KUNIT_EXPECT_EQ(test, iopt_unmap_all(&f->iopt, &unmapped_bytes),
			-ENOTRECOVERABLE);
	KUNIT_EXPECT_EQ(test, unmapped_bytes, 16 * PAGE_SIZE);
	end_quarantine(f, domain, TEST_IOVA);
}

/* Nor is it taken out of the other one: it ends when both are freed. */
static void short_unmap_at_one_of_two_is_quarantined(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_domain *leaving = map_domain_add(f, FAKE_ARM);
	struct map_domain *staying = map_domain_add(f, FAKE_VTD);

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 16, TEST_IOVA), 0);
	leaving->fake->fail_unmap = 1;
	iopt_domain_remove(&f->iopt, &leaving->member);
	KUNIT_EXPECT_EQ(test, f->iopt.nr_quarantined, 1);
	expect_reachable_is_pinned(f, leaving, TEST_IOVA);
	expect_pins(f, 0, 16, 1);
	iopt_domain_remove(&f->iopt, &staying->member);
	map_domain_let_go(&f->iopt, staying);
	expect_reachable_is_pinned(f, leaving, TEST_IOVA);
	expect_pins(f, 0, 16, 1);
	end_quarantine(f, leaving, TEST_IOVA);
}

/* The undo of a failed map fails as well. */
static void short_scrub_is_quarantined(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, TEST_PAGES);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);

	domain->fake->fail_map = 1;
	domain->fake->fail_unmap = 1;
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 32, TEST_IOVA),
			-ENOTRECOVERABLE);
	KUNIT_EXPECT_NE(test, domain->fake->mapped_bytes, 0);
	expect_pins(f, 0, 32, 1);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, TEST_IOVA), -EEXIST);
	iopt_domain_remove(&f->iopt, &domain->member);
	expect_pins(f, 0, 32, 1);
	end_quarantine(f, domain, TEST_IOVA);
}

/*
 * The undo of a failed attach fails as well: the domain shows pages that it was
 * never a proper member for, and they outlive the domain that they came from.
 */
static void short_undo_of_attach_is_quarantined(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 1);
	struct map_domain *first = map_domain_add(f, FAKE_ARM);
	struct map_domain *second = map_domain_make(f, FAKE_VTD);

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 32, TEST_IOVA), 0);
	second->fake->fail_map = 3;
	second->fake->fail_unmap = 1;
	KUNIT_EXPECT_EQ(test, iopt_domain_add(&f->iopt, &second->member),
			-ENOTRECOVERABLE);
	iopt_domain_remove(&f->iopt, &first->member);
	map_domain_let_go(&f->iopt, first);
	expect_reachable_is_pinned(f, second, TEST_IOVA);
	end_quarantine(f, second, TEST_IOVA);
}

static struct kunit_case map_failure_cases[] = {
	KUNIT_CASE_SLOW(failed_map_leaves_nothing),
	KUNIT_CASE_SLOW(failed_map_leaves_nothing_in_others),
	KUNIT_CASE_SLOW(failed_first_attach_leaves_nothing),
	KUNIT_CASE_SLOW(failed_second_attach_leaves_nothing),
	KUNIT_CASE(short_unmap_is_quarantined),
	KUNIT_CASE(short_unmap_at_detach_is_quarantined),
	KUNIT_CASE(short_unmap_at_one_of_two_is_quarantined),
	KUNIT_CASE(short_scrub_is_quarantined),
	KUNIT_CASE(short_undo_of_attach_is_quarantined),
	{}
};

static struct kunit_suite map_failure_suite = {
	.name = "iommufd_map_failure",
	.test_cases = map_failure_cases,
};

kunit_test_suite(map_failure_suite);
