// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages shared by several areas: pinned once, as long as the last one needs
 * them, and never because of what a driver did not let go of.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "map_fixture.h"

#define TEST_IOVA SZ_1M
#define COPY_IOVA SZ_4M
#define TEST_PAGES 64

static const unsigned long layouts[] = { TEST_PAGES, 24, 1 };

static void copies_share_one_pin(struct kunit *test)
{
	unsigned int layout;

	for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES,
							 layouts[layout]);
		struct map_domain *domain = map_domain_add(f, FAKE_VTD);

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 40, TEST_IOVA), 0);
		KUNIT_ASSERT_EQ(test, copy_pages_at(f, TEST_IOVA + SZ_64K, 24,
						    COPY_IOVA), 0);
		expect_pins(f, 0, 40, 1);
		expect_charge(f, 40);
		expect_mapped(f, domain, 16, 24, COPY_IOVA);
		KUNIT_ASSERT_EQ(test, unmap_at(f, TEST_IOVA, 40), 0);
		expect_pins(f, 0, 16, 0);
		expect_pins(f, 16, 24, 1);
		expect_charge(f, 24);

		/* What was given up is pinned anew for a copy of it. */
		KUNIT_ASSERT_EQ(test, copy_pages_at(f, COPY_IOVA + SZ_64K, 4,
						    TEST_IOVA), 0);
		expect_mapped(f, domain, 32, 4, TEST_IOVA);
		expect_pins(f, 32, 4, 1);
		KUNIT_ASSERT_EQ(test, unmap_at(f, COPY_IOVA, 24), 0);
		expect_charge(f, 4);
		fake_domain_check(domain->fake);
		map_domain_remove(f, domain);
		map_fixture_end(f);
	}
}

static void copy_over_several_areas(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 3);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);
	unsigned long page;

	for (page = 0; page < TEST_PAGES; page += 16)
		KUNIT_ASSERT_EQ(test, map_pages_at(f, page, 16, TEST_IOVA +
						   page * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, copy_pages_at(f, TEST_IOVA + PAGE_SIZE,
					    TEST_PAGES, COPY_IOVA), -ENOENT);
	KUNIT_EXPECT_EQ(test, copy_pages_at(f, TEST_IOVA + 8 * PAGE_SIZE, 48,
					    TEST_IOVA), -EEXIST);
	KUNIT_EXPECT_EQ(test, copy_pages_at(f, TEST_IOVA + 8 * PAGE_SIZE, 48,
					    COPY_IOVA), 0);
	expect_mapped(f, domain, 8, 48, COPY_IOVA);
	expect_charge(f, TEST_PAGES);
	/* One new area per old one, and each can go alone. */
	KUNIT_EXPECT_EQ(test, f->iopt.nr_areas, 8);
	KUNIT_EXPECT_EQ(test, unmap_at(f, COPY_IOVA + 8 * PAGE_SIZE, 16), 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void copy_cannot_gain_write_access(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, 3);
	struct iopt_map_request request = {
		.uptr = f->memory->uptr,
		.length = 4 * PAGE_SIZE,
		.iova = TEST_IOVA,
		.iommu_prot = IOMMU_READ,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = true,
	};

	KUNIT_ASSERT_EQ(test, map_request(&f->iopt, &request), 0);
	KUNIT_EXPECT_EQ(test, copy_pages_at(f, TEST_IOVA, 4, COPY_IOVA),
			-EPERM);
	request.iova = COPY_IOVA;
	KUNIT_EXPECT_EQ(test, copy_request(&f->iopt, TEST_IOVA, &f->iopt,
					   &request), 0);
	map_fixture_end(f);
}

static struct io_pagetable *make_other_map(struct kunit *test)
{
	struct io_pagetable *iopt = kunit_kzalloc(test, sizeof(*iopt),
						  GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, iopt);
	iopt_init(iopt);
	return iopt;
}

/* Copy pages to COPY_IOVA of another map. */
static int copy_between(struct io_pagetable *from, unsigned long iova,
			struct io_pagetable *to, unsigned long npages)
{
	struct iopt_map_request request = {
		.length = npages * PAGE_SIZE,
		.iova = COPY_IOVA,
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
	};

	return copy_request(from, iova, to, &request);
}

static int copy_to_other_map(struct map_fixture *f, struct io_pagetable *other,
			     unsigned long iova)
{
	return copy_between(&f->iopt, iova, other, TEST_PAGES);
}

/*
 * What is known of pages stays known while some of them are pinned. It must not
 * be believed for those that were unpinned meanwhile.
 */
static void pinned_anew_is_known_anew(struct kunit *test)
{
	unsigned long npages;

	for (npages = 4; npages <= 20; npages += 16) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES,
							 TEST_PAGES);
		struct map_domain *first = map_domain_add(f, FAKE_VTD);
		struct io_pagetable *other = make_other_map(test);
		struct map_domain *second;

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA),
				0);
		KUNIT_ASSERT_EQ(test, copy_to_other_map(f, other, TEST_IOVA),
				0);
		KUNIT_ASSERT_EQ(test, copy_pages_at(f, TEST_IOVA + SZ_128K, 1,
						    0), 0);
		KUNIT_ASSERT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
		expect_charge(f, 1);

		user_memory_exchange(f->memory, 0, TEST_PAGES / 2,
				     TEST_PAGES / 2);
		KUNIT_ASSERT_EQ(test, copy_between(other, COPY_IOVA, &f->iopt,
						   npages), 0);
		expect_mapped(f, first, 0, npages, COPY_IOVA);
		second = map_domain_add(f, FAKE_ARM);
		expect_mapped(f, second, 0, npages, COPY_IOVA);
		KUNIT_ASSERT_EQ(test, unmap_at(f, COPY_IOVA, npages), 0);
		expect_charge(f, 1);
		map_domain_remove(f, first);
		map_domain_remove(f, second);
		iopt_destroy(other);
		map_fixture_end(f);
	}
}

static unsigned int count_records(struct map_fixture *f, unsigned long iova)
{
	struct interval_tree_node *span;
	struct iopt_pages *pages;
	unsigned int n = 0;

	scoped_guard(rwsem_read, &f->iopt.iova_rwsem)
		pages = iopt_area_from(&f->iopt, iova)->slice.pages;
	guard(spinlock)(&pages->lock);
	for (span = span_tree_first(&pages->records, 0, ULONG_MAX);
	     span; span = interval_tree_iter_next(span, 0, ULONG_MAX))
		n++;
	return n;
}

/* Pages that come and go next to one that stays leave nothing behind. */
static void records_do_not_pile_up(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, TEST_PAGES, TEST_PAGES);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	struct io_pagetable *other = make_other_map(test);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, copy_to_other_map(f, other, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, copy_pages_at(f, TEST_IOVA, 1, 0), 0);
	KUNIT_ASSERT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
	for (i = 0; i < 20; i++) {
		KUNIT_ASSERT_EQ(test, copy_between(other, COPY_IOVA, &f->iopt,
						   TEST_PAGES), 0);
		expect_mapped(f, domain, 0, TEST_PAGES, COPY_IOVA);
		KUNIT_ASSERT_EQ(test, unmap_at(f, COPY_IOVA, TEST_PAGES), 0);
	}
	KUNIT_EXPECT_LE(test, count_records(f, 0), 2);
	map_domain_remove(f, domain);
	iopt_destroy(other);
	map_fixture_end(f);
}

/* What is in quarantine is pinned, and not pinned again; what was let go of is. */
static void quarantine_is_shared(struct kunit *test)
{
	unsigned long iova = SZ_1G - 32 * PAGE_SIZE;
	unsigned int layout;

	for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES,
							 layouts[layout]);
		struct io_pagetable *other = make_other_map(test);
		struct map_domain *first = map_domain_add(f, FAKE_ARM);
		struct map_domain *second = map_domain_make(f, FAKE_VIRTIO);
		unsigned long unmapped_bytes;

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, iova), 0);
		KUNIT_ASSERT_EQ(test, copy_to_other_map(f, other, iova), 0);
		/* One call for what lies below the gigabyte: that one works. */
		first->fake->fail_unmap = 2;
		KUNIT_EXPECT_EQ(test, iopt_unmap_all(&f->iopt, &unmapped_bytes),
				-ENOTRECOVERABLE);
		expect_pins(f, 0, 32, 0);
		expect_pins(f, 32, 32, 1);
		iopt_domain_remove(&f->iopt, &first->member);

		KUNIT_EXPECT_EQ(test, iopt_domain_add(other, &second->member),
				0);
		expect_mapped(f, second, 0, TEST_PAGES, COPY_IOVA);
		expect_pins(f, 0, TEST_PAGES, 1);
		fake_domain_check(second->fake);
		if (layout % 2)
			map_domain_let_go(&f->iopt, first);
		expect_pins(f, 0, TEST_PAGES, 1);
		iopt_domain_remove(other, &second->member);
		map_domain_free(second);
		iopt_destroy(other);
		if (!(layout % 2)) {
			expect_pins(f, 32, 32, 1);
			map_domain_let_go(&f->iopt, first);
		}
		map_fixture_end(f);
	}
}

/* A copy that could not be undone needs its pages when the original goes. */
static void quarantined_copy_keeps_its_pages(struct kunit *test)
{
	unsigned int layout;

	for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
		struct map_fixture *f = map_fixture_make(test, TEST_PAGES,
							 layouts[layout]);
		struct io_pagetable *other = make_other_map(test);
		struct map_domain *first = map_domain_add(f, FAKE_ARM);
		struct map_domain *second = map_domain_make(f, FAKE_VTD);
		unsigned long i;

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, TEST_PAGES, TEST_IOVA),
				0);
		KUNIT_ASSERT_EQ(test, iopt_domain_add(other, &second->member),
				0);
		second->fake->fail_map = layouts[layout] == 1 ? 3 : 1;
		second->fake->fail_unmap = 1;
		KUNIT_EXPECT_EQ(test, copy_to_other_map(f, other, TEST_IOVA),
				-ENOTRECOVERABLE);
		KUNIT_EXPECT_NE(test, second->fake->mapped_bytes, 0);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, TEST_PAGES), 0);
		for (i = 0; i < TEST_PAGES; i++) {
			if (fake_domain_lookup(second->fake,
					       COPY_IOVA + i * PAGE_SIZE))
				KUNIT_EXPECT_EQ(test,
						user_memory_pins(f->memory, i),
						1);
		}
		iopt_domain_remove(other, &second->member);
		map_domain_let_go(other, second);
		map_domain_remove(f, first);
		iopt_destroy(other);
		map_fixture_end(f);
	}
}

static struct kunit_case map_share_cases[] = {
	KUNIT_CASE(copies_share_one_pin),
	KUNIT_CASE(copy_over_several_areas),
	KUNIT_CASE(copy_cannot_gain_write_access),
	KUNIT_CASE(pinned_anew_is_known_anew),
	KUNIT_CASE(records_do_not_pile_up),
	KUNIT_CASE(quarantine_is_shared),
	KUNIT_CASE(quarantined_copy_keeps_its_pages),
	{}
};

static struct kunit_suite map_share_suite = {
	.name = "iommufd_map_share",
	.test_cases = map_share_cases,
};

kunit_test_suite(map_share_suite);
