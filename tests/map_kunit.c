// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract of the IOVA map and the page store below it, point by point:
 * real pins, fake IOMMU drivers.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_IOVA SZ_1M

/* Contiguous, in blocks that make a record, and without two neighbours. */
static const unsigned long layouts[] = { 64, 24, 1 };

static void map_without_domain_pins_nothing(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);

	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 8, TEST_IOVA), 0);
	expect_pins(f, 0, 8, 0);
	expect_charge(f, 0);
	KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, 8), 0);
	map_fixture_end(f);
}

/* What is wrong with the addresses shows before what is wrong behind them. */
static void map_without_domain_looks_at_no_memory(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct iopt_map_request request = {
		.uptr = 0x123,
		.length = 1,
		.iova = 0x77,
		.iommu_prot = IOMMU_READ,
		.fixed_iova = true,
	};

	KUNIT_EXPECT_EQ(test, map_request(&f->iopt, &request), 0);
	KUNIT_EXPECT_EQ(test, map_request(&f->iopt, &request), -EEXIST);
	map_fixture_end(f);
}

static int try_fixed(struct map_fixture *f, unsigned long uptr,
		     unsigned long length, unsigned long iova)
{
	struct iopt_map_request request = {
		.uptr = uptr,
		.length = length,
		.iova = iova,
		.iommu_prot = IOMMU_READ,
		.account_mode = f->account_mode,
		.fixed_iova = true,
	};

	return map_request(&f->iopt, &request);
}

/* Each request is wrong in all the ways that come later in the order, too. */
static void map_checks_in_order(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *domain = map_domain_add(f, FAKE_ARM);
	unsigned long uptr = f->memory->uptr;

	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, SZ_4M, SZ_8M - 1, f), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 2, TEST_IOVA), 0);
	user_memory_break(f->memory, 7);

	KUNIT_EXPECT_EQ(test, try_fixed(f, ULONG_MAX, 0, ULONG_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, try_fixed(f, ULONG_MAX - 4095, 4097, 1),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, 4097, ULONG_MAX - 4095),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, 4096, ULONG_MAX - 4094),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, 8192, ULONG_MAX - 4095),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, SZ_4M, TEST_IOVA),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, 8192,
					TEST_IOVA - PAGE_SIZE), -EEXIST);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 1, 4096, SZ_2M), -EINVAL);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr + 4096, 7 * 4096, SZ_2M),
			-EFAULT);
	/* The end of the address space itself is no overflow. */
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr, 4096, ULONG_MAX - 4095), 0);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr, 4096, 0), 0);

	map_domain_remove(f, domain);
	iopt_unreserve(&f->iopt, f);
	map_fixture_end(f);
}

static unsigned long map_anywhere(struct map_fixture *f, unsigned long uptr,
				  unsigned long length)
{
	struct iopt_map_request request = {
		.uptr = uptr,
		.length = length,
		.iommu_prot = IOMMU_READ,
	};

	KUNIT_EXPECT_EQ(f->test, map_request(&f->iopt, &request), 0);
	return request.iova;
}

static void automatic_iova_is_lowest_and_aligned(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);

	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G, PAGE_SIZE), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G, 3 * PAGE_SIZE),
			4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G + PAGE_SIZE, SZ_4M),
			7 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G, SZ_16M) % PMD_SIZE, 0);
	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G + 0x20, 0x33) % 0x20, 0);
	map_fixture_end(f);
}

static void automatic_iova_avoids_reserved(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct iopt_map_request request = {
		.uptr = f->memory->uptr,
		.length = 8 * PAGE_SIZE,
		.iommu_prot = IOMMU_READ,
	};

	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, 0, SZ_1M - 1, f), 0);
	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, SZ_1M + 8 * PAGE_SIZE,
					   ULONG_MAX, f), 0);
	KUNIT_EXPECT_EQ(test, map_request(&f->iopt, &request), 0);
	KUNIT_EXPECT_EQ(test, request.iova, SZ_1M);
	KUNIT_EXPECT_EQ(test, map_request(&f->iopt, &request), -ENOSPC);
	iopt_unreserve(&f->iopt, f);
	map_fixture_end(f);
}

static int allow(struct map_fixture *f, unsigned long first_iova,
		 unsigned long last_iova)
{
	struct iopt_allow_list list = { .ranges = RB_ROOT_CACHED };
	int rc;

	rc = iopt_allow_add(&list, first_iova, last_iova);
	if (!rc)
		rc = iopt_allow_apply(&f->iopt, &list);
	iopt_allow_free(&list);
	return rc;
}

static struct map_domain *make_narrow(struct map_fixture *f)
{
	struct map_domain *domain = map_domain_make(f, FAKE_VTD);

	domain->fake->domain.geometry.aperture_start = SZ_1M;
	domain->fake->domain.geometry.aperture_end = SZ_2M - 1;
	return domain;
}

static void allowed_ranges_steer_and_stay(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *domain;

	KUNIT_EXPECT_EQ(test, allow(f, SZ_4M, SZ_4M), -EINVAL);
	KUNIT_ASSERT_EQ(test, allow(f, SZ_1M, SZ_2M), 0);
	KUNIT_EXPECT_EQ(test, map_anywhere(f, SZ_1G, PAGE_SIZE), SZ_1M);
	/* They do not bind who knows where to. */
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_4M), 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_4M, 1), 0);
	/* By one byte. */
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, make_narrow(f)),
			-EADDRINUSE);
	KUNIT_ASSERT_EQ(test, unmap_at(f, SZ_1M, 1), 0);

	KUNIT_ASSERT_EQ(test, allow(f, SZ_1M, SZ_2M - 1), 0);
	domain = make_narrow(f);
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, domain), 0);
	KUNIT_EXPECT_EQ(test, allow(f, SZ_1M, SZ_2M), -EADDRINUSE);
	/* The list from before is still there. */
	KUNIT_EXPECT_EQ(test, iopt_reserve(&f->iopt, SZ_2M - 1, SZ_2M - 1, f),
			-EADDRINUSE);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void usable_ranges_are_the_holes(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *domain = make_narrow(f);
	struct iopt_range ranges[4] = {};
	unsigned long alignment;

	KUNIT_EXPECT_EQ(test, iopt_usable_ranges(&f->iopt, ranges, 4,
						 &alignment), 1);
	KUNIT_EXPECT_EQ(test, ranges[0].first_iova, 0);
	KUNIT_EXPECT_EQ(test, ranges[0].last_iova, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, alignment, 1);

	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, domain), 0);
	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, SZ_1M, SZ_1M + 4, f), 0);
	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, SZ_1M + 3, SZ_1M + 7, f),
			0);
	KUNIT_ASSERT_EQ(test, iopt_reserve(&f->iopt, SZ_1M + 9, SZ_1M + 9, f),
			0);
	KUNIT_EXPECT_EQ(test, iopt_usable_ranges(&f->iopt, ranges, 1,
						 &alignment), 2);
	KUNIT_EXPECT_EQ(test, iopt_usable_ranges(&f->iopt, ranges, 4,
						 &alignment), 2);
	KUNIT_EXPECT_EQ(test, ranges[0].first_iova, SZ_1M + 8);
	KUNIT_EXPECT_EQ(test, ranges[0].last_iova, SZ_1M + 8);
	KUNIT_EXPECT_EQ(test, ranges[1].first_iova, SZ_1M + 10);
	KUNIT_EXPECT_EQ(test, ranges[1].last_iova, SZ_2M - 1);
	KUNIT_EXPECT_EQ(test, alignment, PAGE_SIZE);
	iopt_unreserve(&f->iopt, f);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void abort_leaves_nothing(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 16, 4);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	struct iopt_map_request request = {
		.uptr = f->memory->uptr,
		.length = 16 * PAGE_SIZE,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
	};
	struct iopt_pending pending = {};

	KUNIT_ASSERT_EQ(test, iopt_map_begin(&f->iopt, &request, &pending), 0);
	expect_mapped(f, domain, 0, 16, request.iova);
	expect_pins(f, 0, 16, 1);
	expect_charge(f, 16);
	KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, request.iova, 16), -EBUSY);
	iopt_pending_abort(&pending);
	KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, 0);
	KUNIT_EXPECT_TRUE(test, iova_map_is_empty(&f->iopt.areas));
	expect_pins(f, 0, 16, 0);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* What the caller calls final it need not end, and anybody can unmap it. */
static void final_maps_have_no_end(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 64, 64);
	struct iopt_map_request request = {
		.uptr = f->memory->uptr,
		.iova = TEST_IOVA,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = true,
		.is_final = true,
	};
	struct map_domain *domain = NULL;
	struct iopt_pending pending = {};
	unsigned long npages;

	for (npages = 0; npages <= 64; npages = npages * 8 ?: 1) {
		request.length = npages * PAGE_SIZE;
		/* At first in no domain. */
		if (!npages)
			request.length = PAGE_SIZE;
		else if (!domain)
			domain = map_domain_add(f, FAKE_VTD);
		KUNIT_ASSERT_EQ(test, iopt_map_begin(&f->iopt, &request,
						     &pending), 0);
		KUNIT_EXPECT_NULL(test, pending.iopt);
		KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, request.length);
		if (domain)
			expect_mapped(f, domain, 0, npages, TEST_IOVA);
		expect_charge(f, npages);
		KUNIT_EXPECT_EQ(test, iopt_map_begin(&f->iopt, &request,
						     &pending), -EEXIST);
		KUNIT_EXPECT_NULL(test, pending.iopt);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA,
					       request.length / PAGE_SIZE), 0);
		KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, 0);
	}
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* The same of copies, of one area and of several, in a domain and in none. */
static void final_copies_have_no_end(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 16, 4);
	struct iopt_map_request request = {
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
		.is_final = true,
	};
	struct map_domain *domain = NULL;

	for (unsigned int i = 0; i < 4; i++) {
		unsigned long npages = i % 2 ? 16 : 8;

		if (i == 2)
			domain = map_domain_add(f, FAKE_VTD);
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 8, TEST_IOVA), 0);
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 8, 8, TEST_IOVA +
						   8 * PAGE_SIZE), 0);
		request.length = npages * PAGE_SIZE;
		request.iova = SZ_64M;
		KUNIT_ASSERT_EQ(test, copy_request(&f->iopt, TEST_IOVA,
						   &f->iopt, &request), 0);
		KUNIT_EXPECT_EQ(test, copy_request(&f->iopt, TEST_IOVA,
						   &f->iopt, &request), -EEXIST);
		KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes,
				(16 + npages) * PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, 16), 0);
		if (domain)
			expect_mapped(f, domain, 0, npages, SZ_64M);
		KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_64M, npages), 0);
		KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, 0);
		expect_charge(f, 0);
	}
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void final_map_that_fails_is_pending(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 64, 64);
	struct map_domain *domain = map_domain_add(f, FAKE_VTD);
	struct iopt_map_request request = {
		.uptr = f->memory->uptr,
		.length = 64 * PAGE_SIZE,
		.iova = TEST_IOVA,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.fixed_iova = true,
		.is_final = true,
	};
	struct iopt_pending pending = {};

	user_memory_break(f->memory, 40);
	KUNIT_EXPECT_EQ(test, iopt_map_begin(&f->iopt, &request, &pending),
			-EFAULT);
	KUNIT_ASSERT_PTR_EQ(test, pending.iopt, &f->iopt);
	iopt_pending_abort(&pending);
	KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, 0);
	expect_pins(f, 0, 64, 0);
	expect_charge(f, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* The memory of a mapping is kept with its owner, for who maps next. */
static void next_owner_is_not_the_last_one(struct kunit *test)
{
	static const enum iopt_account_mode modes[] = {
		IOPT_ACCOUNT_USER, IOPT_ACCOUNT_USER, IOPT_ACCOUNT_MM,
		IOPT_ACCOUNT_NONE, IOPT_ACCOUNT_USER,
	};
	struct map_fixture *f = map_fixture_make(test, 8, 8);

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct iopt_map_request request = {
			.uptr = f->memory->uptr,
			.length = PAGE_SIZE,
			.iova = TEST_IOVA,
			.iommu_prot = TEST_PROT,
			.account_mode = modes[i],
			.fixed_iova = true,
		};
		struct iopt_owner *owner;

		KUNIT_ASSERT_EQ(test, map_request(&f->iopt, &request), 0);
		owner = iopt_area_from(&f->iopt, TEST_IOVA)->slice.pages->owner;
		KUNIT_EXPECT_EQ(test, owner->account_mode, modes[i]);
		KUNIT_EXPECT_PTR_EQ(test, owner->mm, current->mm);
		/* The cache has one, the mapping another. */
		KUNIT_EXPECT_EQ(test, refcount_read(&owner->refs), 2);
		KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, 1), 0);
	}
	map_fixture_end(f);
}

static void unmap_takes_whole_areas_only(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 16, 16);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);
	unsigned long unmapped_bytes;
	unsigned long page;

	for (page = 0; page < 16; page += 4)
		KUNIT_ASSERT_EQ(test, map_pages_at(f, page, 4, TEST_IOVA +
						   page * PAGE_SIZE), 0);

	KUNIT_EXPECT_EQ(test, unmap_at(f, 0, 16), -ENOENT);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA + PAGE_SIZE, 3), -ENOENT);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, 3), -ENOENT);
	expect_pins(f, 0, 16, 1);

	/* The first two are gone when it meets the one it would cut. */
	KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, TEST_IOVA,
					 TEST_IOVA + 9 * PAGE_SIZE - 1,
					 &unmapped_bytes), -ENOENT);
	KUNIT_EXPECT_EQ(test, unmapped_bytes, 8 * PAGE_SIZE);
	expect_pins(f, 0, 8, 0);
	expect_pins(f, 8, 8, 1);

	/* Larger than what is in it. */
	KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, 0, SZ_2M, &unmapped_bytes),
			0);
	KUNIT_EXPECT_EQ(test, unmapped_bytes, 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, iopt_unmap_all(&f->iopt, &unmapped_bytes), 0);
	KUNIT_EXPECT_EQ(test, unmapped_bytes, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Scenario 51. */
static void domains_share_one_pin(struct kunit *test)
{
	struct map_domain *domains[FAKE_NR_PERSONALITIES];
	unsigned int layout, i;

	for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
		struct map_fixture *f = map_fixture_make(test, 64,
							 layouts[layout]);

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 40, TEST_IOVA), 0);
		for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
			domains[i] = map_domain_add(f, i);
			expect_pins(f, 0, 40, 1);
			expect_charge(f, 40 + (i ? 24 : 0));
			/* Once by the attach, once by the map. */
			if (i == 0)
				map_pages_at(f, 40, 24, SZ_2M);
			expect_pins(f, 40, 24, 1);
			expect_mapped(f, domains[i], 0, 40, TEST_IOVA);
			expect_mapped(f, domains[i], 40, 24, SZ_2M);
			fake_domain_check(domains[i]->fake);
		}
		/* The first is what pages are read back from. */
		for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
			expect_pins(f, 0, 64, 1);
			expect_charge(f, 64);
			map_domain_remove(f, domains[i]);
		}
		expect_pins(f, 0, 64, 0);
		expect_charge(f, 0);
		map_fixture_end(f);
	}
}

static void two_maps_are_two_pins(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 16, 16);
	struct map_domain *domain = map_domain_add(f, FAKE_VIRTIO);

	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 16, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 4, 8, SZ_2M), 0);
	expect_pins(f, 0, 4, 1);
	expect_pins(f, 4, 8, 2);
	expect_charge(f, 24);
	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, 16), 0);
	expect_pins(f, 0, 4, 0);
	expect_pins(f, 4, 8, 1);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* Scenario 30. */
static void alignment_follows_the_domains(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *half = map_domain_make(f, FAKE_ARM);
	unsigned long uptr = f->memory->uptr;
	struct map_domain *whole;

	half->fake->domain.pgsize_bitmap |= PAGE_SIZE / 2;
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, 1);
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, half), 0);
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, PAGE_SIZE / 2);
	KUNIT_EXPECT_EQ(test, try_fixed(f, uptr, PAGE_SIZE / 2, SZ_1M), 0);

	whole = map_domain_make(f, FAKE_AMD);
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, whole), -EADDRINUSE);
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, PAGE_SIZE / 2);

	KUNIT_EXPECT_EQ(test, iopt_unmap(&f->iopt, SZ_1M,
					 SZ_1M + PAGE_SIZE / 2 - 1, &uptr), 0);
	whole = map_domain_add(f, FAKE_AMD);
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, PAGE_SIZE);
	map_domain_remove(f, whole);
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, PAGE_SIZE / 2);
	map_domain_remove(f, half);
	KUNIT_EXPECT_EQ(test, f->iopt.iova_alignment, 1);
	map_fixture_end(f);
}

/* Scenario 30. */
static void large_granule_is_refused(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *domain = map_domain_make(f, FAKE_ARM);

	domain->fake->domain.pgsize_bitmap = PAGE_SIZE * 2;
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, domain), -EINVAL);
	map_fixture_end(f);
}

static void aperture_bounds_the_map(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 8, 8);
	struct map_domain *domain;

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 1, SZ_1M - PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, make_narrow(f)),
			-EADDRINUSE);
	KUNIT_ASSERT_EQ(test, unmap_at(f, SZ_1M - PAGE_SIZE, 1), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 1, SZ_2M), 0);
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, make_narrow(f)),
			-EADDRINUSE);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&f->iopt.reserved.rb_root));
	KUNIT_ASSERT_EQ(test, unmap_at(f, SZ_2M, 1), 0);

	domain = make_narrow(f);
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, domain), 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_1M - PAGE_SIZE),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_2M), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_2M - PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_1M), 0);
	map_domain_remove(f, domain);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_2M), 0);
	map_fixture_end(f);
}

/* Page offset and IOVA offset differ, each a multiple of half a page. */
static void offsets_within_a_page(struct kunit *test)
{
	static const unsigned long offsets[] = { 0, PAGE_SIZE / 2 };
	struct map_fixture *f = map_fixture_make(test, 16, 4);
	struct map_domain *first = map_domain_make(f, FAKE_VIRTIO);
	struct map_domain *second = map_domain_make(f, FAKE_VTD);
	unsigned int i;

	first->fake->domain.pgsize_bitmap |= PAGE_SIZE / 2;
	second->fake->domain.pgsize_bitmap |= PAGE_SIZE / 2;
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, first), 0);
	for (i = 0; i < 8; i++) {
		unsigned long uptr = f->memory->uptr + offsets[i & 1];
		unsigned long length = 9 * PAGE_SIZE + offsets[i >> 1 & 1];
		unsigned long iova = i * SZ_1M + offsets[i >> 2 & 1];
		unsigned long at;

		KUNIT_ASSERT_EQ(test, try_fixed(f, uptr, length, iova), 0);
		for (at = 0; at < length; at += PAGE_SIZE / 2) {
			unsigned long offset = offsets[i & 1] + at;
			struct page *page = f->memory->pages[offset / PAGE_SIZE];

			KUNIT_EXPECT_EQ(test,
					fake_domain_lookup(first->fake,
							   iova + at),
					page_to_phys(page) +
						offset_in_page(offset));
		}
		KUNIT_EXPECT_EQ(test, fake_domain_lookup(first->fake,
							 iova + length), 0);
	}
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, second), 0);
	fake_domain_check(first->fake);
	fake_domain_check(second->fake);
	KUNIT_EXPECT_EQ(test, first->fake->mapped_bytes,
			second->fake->mapped_bytes);
	expect_pins(f, 0, 9, 8);
	map_domain_remove(f, first);
	map_domain_remove(f, second);
	map_fixture_end(f);
}

/* Scenario 2. */
static void top_of_the_address_space(struct kunit *test)
{
	unsigned long iova = -16 * PAGE_SIZE;
	unsigned int i;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct map_fixture *f = map_fixture_make(test, 16, 4);
		struct map_domain *domain = map_domain_add(f, i);
		struct map_domain *second;

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 16, iova), 0);
		expect_mapped(f, domain, 0, 16, iova);
		second = map_domain_add(f, FAKE_AMD);
		expect_mapped(f, second, 0, 16, iova);
		fake_domain_check(domain->fake);
		map_domain_remove(f, domain);
		KUNIT_EXPECT_EQ(test, unmap_at(f, iova, 16), 0);
		map_domain_remove(f, second);
		map_fixture_end(f);
	}
}

/* Where batches are cut, in the middle of what is contiguous. */
static void across_a_gigabyte(struct kunit *test)
{
	unsigned long iova = SZ_1G - 8 * PAGE_SIZE;
	unsigned int i, layout;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
			struct map_fixture *f;
			struct map_domain *first, *second;

			f = map_fixture_make(test, 64, layouts[layout]);
			first = map_domain_add(f, i);
			KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 64, iova), 0);
			second = map_domain_add(f, FAKE_VIRTIO);
			expect_mapped(f, first, 0, 64, iova);
			expect_mapped(f, second, 0, 64, iova);
			fake_domain_check(first->fake);
			fake_domain_check(second->fake);
			map_domain_remove(f, first);
			expect_pins(f, 0, 64, 1);
			KUNIT_EXPECT_EQ(test, unmap_at(f, iova, 64), 0);
			map_domain_remove(f, second);
			map_fixture_end(f);
		}
	}
}

static void set_memlock(unsigned long npages)
{
	task_lock(current->group_leader);
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur = npages * PAGE_SIZE;
	task_unlock(current->group_leader);
}

static void check_limit(struct kunit *test, enum iopt_account_mode mode)
{
	struct map_fixture *f = map_fixture_make(test, 64, 64);
	struct map_domain *domain;

	f->account_mode = mode;
	set_memlock(24 + (mode == IOPT_ACCOUNT_USER ? f->locked_before : 0));
	domain = map_domain_add(f, FAKE_ARM);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 25, TEST_IOVA), -ENOMEM);
	expect_charge(f, 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 20, TEST_IOVA), 0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 5, SZ_2M), -ENOMEM);
	expect_charge(f, 20);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 4, SZ_2M), 0);
	expect_charge(f, 24);
	map_domain_remove(f, domain);
	expect_charge(f, 0);

	/* Now it is the attach that has to pay. */
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 1, SZ_4M), 0);
	domain = map_domain_make(f, FAKE_ARM);
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, domain), -ENOMEM);
	expect_charge(f, 0);
	expect_pins(f, 0, 64, 0);
	KUNIT_EXPECT_EQ(test, unmap_at(f, SZ_4M, 1), 0);
	domain = map_domain_add(f, FAKE_ARM);
	expect_charge(f, 24);
	/* A second domain costs nothing. */
	map_domain_remove(f, map_domain_add(f, FAKE_VTD));
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void limit_is_exact_for_the_user(struct kunit *test)
{
	check_limit(test, IOPT_ACCOUNT_USER);
}

static void limit_is_exact_for_the_mm(struct kunit *test)
{
	check_limit(test, IOPT_ACCOUNT_MM);
}

static void privileged_pay_nothing(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 64, 64);
	struct map_domain *domain = map_domain_add(f, FAKE_ARM);

	f->account_mode = IOPT_ACCOUNT_NONE;
	set_memlock(0);
	KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 64, TEST_IOVA), 0);
	expect_charge(f, 64);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void bad_memory_is_undone(struct kunit *test)
{
	unsigned int layout;

	for (layout = 0; layout < ARRAY_SIZE(layouts); layout++) {
		struct map_fixture *f = map_fixture_make(test, 64,
							 layouts[layout]);
		struct map_domain *domain = map_domain_add(f, FAKE_VTD);

		user_memory_break(f->memory, 40);
		KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 64, TEST_IOVA),
				-EFAULT);
		KUNIT_EXPECT_EQ(test, domain->fake->mapped_bytes, 0);
		expect_pins(f, 0, 64, 0);
		expect_charge(f, 0);
		map_domain_remove(f, domain);

		/* The good area is filled before the bad one is met. */
		KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 32, TEST_IOVA), 0);
		KUNIT_EXPECT_EQ(test, map_pages_at(f, 0, 64, SZ_2M), 0);
		domain = map_domain_make(f, FAKE_VTD);
		KUNIT_EXPECT_EQ(test, map_domain_try_add(f, domain), -EFAULT);
		expect_pins(f, 0, 64, 0);
		expect_charge(f, 0);
		map_fixture_end(f);
	}
}

/*
 * Calls for 32 pages in one piece: each is shorter than the next larger page, and is
 * for one page where what it maps is in one piece for ever.
 */
static unsigned int small_calls(enum fake_personality personality)
{
	switch (personality) {
	case FAKE_VTD:
		return DIV_ROUND_UP(32, 15);
	case FAKE_ARM:
		return DIV_ROUND_UP(32, 7);
	default:
		return 32;
	}
}

/* Like virtio-iommu before a host whose IOMMU has few page sizes. */
static void small_pages_of_few_sizes(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 64, 64);
	struct map_domain *domain = map_domain_make(f, FAKE_VIRTIO);

	domain->fake->domain.pgsize_bitmap = PAGE_SIZE | 16 * PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
	KUNIT_ASSERT_EQ(test, map_domain_try_add(f, domain), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 64, SZ_2M), 0);
	KUNIT_EXPECT_EQ(test, domain->fake->nr_maps, 64);
	KUNIT_EXPECT_EQ(test, fake_domain_count_leaves(domain->fake), 64);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

static void small_pages_stand_alone(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct map_fixture *f = map_fixture_make(test, 64, 64);
		struct map_domain *domain;
		unsigned long bytes;

		KUNIT_ASSERT_EQ(test, try_fixed(f, 0x800, 0x800, 0x800), 0);
		KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, false),
				-EADDRINUSE);
		KUNIT_ASSERT_EQ(test, iopt_unmap_all(&f->iopt, &bytes), 0);
		KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
		KUNIT_EXPECT_EQ(test, try_fixed(f, 0x800, 0x800, 0x800),
				-EINVAL);

		KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 32, TEST_IOVA), 0);
		domain = map_domain_add(f, i);
		KUNIT_ASSERT_EQ(test, map_pages_at(f, 32, 32, SZ_2M), 0);
		KUNIT_EXPECT_EQ(test, domain->fake->nr_maps, 2 * small_calls(i));
		KUNIT_EXPECT_EQ(test, fake_domain_count_leaves(domain->fake), 64);
		KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, false), 0);
		KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, true), 0);
		KUNIT_EXPECT_EQ(test, iopt_set_large_pages(&f->iopt, false),
				-EINVAL);
		map_domain_remove(f, domain);
		map_fixture_end(f);
	}
}

static struct kunit_case map_cases[] = {
	KUNIT_CASE(map_without_domain_pins_nothing),
	KUNIT_CASE(map_without_domain_looks_at_no_memory),
	KUNIT_CASE(map_checks_in_order),
	KUNIT_CASE(automatic_iova_is_lowest_and_aligned),
	KUNIT_CASE(automatic_iova_avoids_reserved),
	KUNIT_CASE(allowed_ranges_steer_and_stay),
	KUNIT_CASE(usable_ranges_are_the_holes),
	KUNIT_CASE(abort_leaves_nothing),
	KUNIT_CASE(final_maps_have_no_end),
	KUNIT_CASE(final_copies_have_no_end),
	KUNIT_CASE(final_map_that_fails_is_pending),
	KUNIT_CASE(next_owner_is_not_the_last_one),
	KUNIT_CASE(unmap_takes_whole_areas_only),
	KUNIT_CASE(domains_share_one_pin),
	KUNIT_CASE(two_maps_are_two_pins),
	KUNIT_CASE(alignment_follows_the_domains),
	KUNIT_CASE(large_granule_is_refused),
	KUNIT_CASE(aperture_bounds_the_map),
	KUNIT_CASE(offsets_within_a_page),
	KUNIT_CASE(top_of_the_address_space),
	KUNIT_CASE(across_a_gigabyte),
	KUNIT_CASE(limit_is_exact_for_the_user),
	KUNIT_CASE(limit_is_exact_for_the_mm),
	KUNIT_CASE(privileged_pay_nothing),
	KUNIT_CASE(bad_memory_is_undone),
	KUNIT_CASE(small_pages_stand_alone),
	KUNIT_CASE(small_pages_of_few_sizes),
	{}
};

static struct kunit_suite map_suite = {
	.name = "iommufd_map",
	.test_cases = map_cases,
};

kunit_test_suite(map_suite);
