// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of more bytes, and runs of more pages, than fit into 32 bits.
 *
 * The machine does not have so much memory, so the PFNs are made up: the source of
 * an ordinary mapping is replaced before anything of it is pinned.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "../domain_io.h"
#include "../iopt_area.h"
#include "../pfn_batch.h"
#include "map_fixture.h"

#define GIB		((unsigned long)SZ_1G)
#define GIB_PAGES	(GIB / PAGE_SIZE)

/* Above all memory that user-mode Linux can have. */
#define FAR_PFN		(SZ_16T / PAGE_SIZE)

#define LENGTH		(5 * GIB + 3 * PAGE_SIZE)
#define NR_PAGES	(LENGTH / PAGE_SIZE)

/*
 * Everything is a multiple of this, so that there are large leaves: each page by
 * itself would take more memory than there is.
 */
#define STEP_PAGES	256UL
#define STEP		(STEP_PAGES * PAGE_SIZE)

/* Neither is where a gigabyte starts. */
#define TEST_IOVA	(3 * GIB - STEP)
#define COPY_IOVA	(64 * GIB + 3 * STEP)

/**
 * struct far_layout - made-up memory
 * @name: for messages
 * @run_pages: pages of a run; between two runs is a hole of STEP_PAGES
 * @offset_pfns: of the first page
 */
struct far_layout {
	const char *name;
	unsigned long run_pages;
	unsigned long offset_pfns;
};

static const struct far_layout far_layouts[] = {
	{ "one run", NR_PAGES, 0 },
	{ "one run from anywhere", NR_PAGES, 5 * STEP_PAGES },
	{ "runs of more than 4 GiB", 4 * GIB_PAGES + STEP_PAGES, 0 },
	{ "runs of less than 1 GiB", GIB_PAGES - STEP_PAGES, 0 },
};

/* What is pinned and charged of the one mapping there is at a time. */
static struct {
	const struct far_layout *layout;
	struct pfn_source_ops ops;
	unsigned long npinned;
	unsigned long ncharged;
} far_memory;

static unsigned long far_pfn(unsigned long index)
{
	const struct far_layout *layout = far_memory.layout;

	return FAR_PFN + layout->offset_pfns + index +
	       index / layout->run_pages * STEP_PAGES;
}

static long far_pin(struct iopt_pages *pages, struct iopt_pin *pin,
		    unsigned long first_index, unsigned long max_pages)
{
	unsigned long run_pages = far_memory.layout->run_pages;
	unsigned long n = min(max_pages, run_pages - first_index % run_pages);

	if (!pfn_batch_add(&pin->batch, far_pfn(first_index), n))
		return -ENOMEM;
	far_memory.npinned += n;
	return n;
}

static void far_unpin(struct iopt_pages *pages, unsigned long pfn,
		      unsigned long npages)
{
	far_memory.npinned -= npages;
}

static int far_charge(struct iopt_pages *pages, unsigned long npages)
{
	far_memory.ncharged += npages;
	return 0;
}

static void far_uncharge(struct iopt_pages *pages, unsigned long npages)
{
	far_memory.ncharged -= npages;
}

/* Map at @iova in a map without domains, so that nothing is pinned yet. */
static void far_map(struct map_fixture *f, const struct far_layout *layout,
		    unsigned long iova)
{
	struct iopt_map_request request = {
		.uptr = PAGE_SIZE,
		.length = LENGTH,
		.iova = iova,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_NONE,
		.fixed_iova = true,
	};
	struct iopt_area *area;

	KUNIT_ASSERT_EQ(f->test, map_request(&f->iopt, &request), 0);
	area = iopt_area_from(&f->iopt, iova);
	far_memory.layout = layout;
	far_memory.npinned = 0;
	far_memory.ncharged = 0;
	far_memory.ops = *area->slice.pages->ops;
	far_memory.ops.pin = far_pin;
	far_memory.ops.unpin = far_unpin;
	far_memory.ops.charge = far_charge;
	far_memory.ops.uncharge = far_uncharge;
	area->slice.pages->ops = &far_memory.ops;
}

static struct map_domain *far_domain(struct map_fixture *f,
				     enum fake_personality personality)
{
	struct map_domain *domain = map_domain_make(f, personality);

	domain->fake->unpinned = true;
	KUNIT_ASSERT_EQ(f->test, map_domain_try_add(f, domain), 0);
	return domain;
}

/* Around all places where something can be cut, and in between. */
static void expect_far(struct map_fixture *f, struct map_domain *domain,
		       unsigned long iova)
{
	unsigned long page, last;

	for (page = 0; page < NR_PAGES; page = last + 1) {
		phys_addr_t want = PFN_PHYS(far_pfn(page)), phys;

		phys = fake_domain_lookup(domain->fake, iova + page * PAGE_SIZE);
		if (phys != want) {
			KUNIT_FAIL(f->test, "%s: page %lu is at %pa, not %pa",
				   far_memory.layout->name, page, &phys, &want);
			return;
		}
		last = page;
		if ((page + 4) % GIB_PAGES >= 8 && page + 1 != NR_PAGES)
			last = min(page + 997, NR_PAGES - 2);
	}
}

static void check_large_map(struct kunit *test, enum fake_personality personality,
			    const struct far_layout *layout)
{
	struct map_fixture *f = map_fixture_make(test, 1, 1);
	struct map_domain *first, *second;

	far_map(f, layout, TEST_IOVA);
	KUNIT_EXPECT_EQ(test, f->iopt.mapped_bytes, LENGTH);
	first = far_domain(f, personality);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, NR_PAGES);
	KUNIT_EXPECT_EQ(test, far_memory.ncharged, NR_PAGES);
	KUNIT_EXPECT_EQ(test, first->fake->mapped_bytes, LENGTH);
	expect_far(f, first, TEST_IOVA);

	KUNIT_EXPECT_EQ(test, copy_pages_at(f, TEST_IOVA, NR_PAGES, COPY_IOVA), 0);
	second = far_domain(f, FAKE_AMD);
	KUNIT_EXPECT_EQ(test, first->fake->mapped_bytes, 2 * LENGTH);
	KUNIT_EXPECT_EQ(test, second->fake->mapped_bytes, 2 * LENGTH);
	expect_far(f, first, COPY_IOVA);
	expect_far(f, second, TEST_IOVA);
	expect_far(f, second, COPY_IOVA);

	KUNIT_EXPECT_EQ(test, unmap_at(f, TEST_IOVA, NR_PAGES), 0);
	KUNIT_EXPECT_EQ(test, first->fake->mapped_bytes, LENGTH);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, NR_PAGES);
	map_domain_remove(f, first);
	expect_far(f, second, COPY_IOVA);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, NR_PAGES);
	KUNIT_EXPECT_EQ(test, unmap_at(f, COPY_IOVA, NR_PAGES), 0);
	KUNIT_EXPECT_EQ(test, second->fake->mapped_bytes, 0);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, 0);
	KUNIT_EXPECT_EQ(test, far_memory.ncharged, 0);
	map_domain_remove(f, second);
	map_fixture_end(f);
}

/* Each driver with another kind of memory: all of it takes time without extents. */
static void map_of_many_gigabytes(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++)
		check_large_map(test, i,
				&far_layouts[i % ARRAY_SIZE(far_layouts)]);
}

/* A driver that fails at the last of the gigabytes: all of them go. */
static void failed_map_of_many_gigabytes(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 1, 1);
	struct map_domain *domain = map_domain_make(f, FAKE_AMD);

	far_map(f, &far_layouts[0], GIB);
	domain->fake->unpinned = true;
	/* AMD's takes one call for each gigabyte, and two for the rest. */
	domain->fake->fail_map = 7;
	KUNIT_EXPECT_EQ(test, map_domain_try_add(f, domain), -ENOMEM);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, 0);
	KUNIT_EXPECT_EQ(test, far_memory.ncharged, 0);
	domain = far_domain(f, FAKE_AMD);
	KUNIT_EXPECT_EQ(test, domain->fake->nr_maps, 7);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, NR_PAGES);
	KUNIT_EXPECT_EQ(test, unmap_at(f, GIB, NR_PAGES), 0);
	KUNIT_EXPECT_EQ(test, far_memory.npinned, 0);
	map_domain_remove(f, domain);
	map_fixture_end(f);
}

/* The driver calls as such have no limit: one batch of 8 GiB and a page. */
static void batch_of_many_gigabytes(struct kunit *test)
{
	struct domain_io_span span = {
		.first_iova = GIB,
		.length = 8 * GIB + PAGE_SIZE,
	};
	struct pfn_batch batch;
	unsigned int i;

	pfn_batch_init(&batch);
	KUNIT_ASSERT_TRUE(test, pfn_batch_add(&batch, FAR_PFN,
					      span.length / PAGE_SIZE));
	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct fake_domain *fake = fake_domain_make(test, i);
		struct domain_io io = { .domain = &fake->domain };

		KUNIT_ASSERT_NOT_NULL(test, fake);
		iommufd_gate_init(&io.gate);
		fake->unpinned = true;
		KUNIT_EXPECT_EQ(test, domain_io_map(&io, &span, &batch, TEST_PROT),
				0);
		KUNIT_EXPECT_EQ(test, fake->mapped_bytes, span.length);
		KUNIT_EXPECT_EQ(test, fake_domain_lookup(fake, 9 * GIB),
				PFN_PHYS(FAR_PFN + 8 * GIB_PAGES));
		KUNIT_EXPECT_EQ(test, domain_io_unmap(&io, GIB, span.length),
				span.length);
		KUNIT_EXPECT_EQ(test, fake->mapped_bytes, 0);
		fake_domain_check(fake);
		fake_domain_free(fake);
	}
	pfn_batch_destroy(&batch);
}

/* Two of three pages are no neighbours, but none of a few are around a place to pause. */
static unsigned long scattered_pfn(unsigned long page)
{
	bool is_whole = page >= 4090 && page < 4190;

	return FAR_PFN + (is_whole ? 3 * 4090 + page - 4090 : 3 * page);
}

/* Whatever happens in between, the IOTLB is flushed once. */
static void scattered_memory_is_flushed_once(struct kunit *test)
{
	const unsigned long npages = 3 * 4096 + 5;
	struct domain_io_span span = {
		.first_iova = TEST_IOVA,
		.length = npages * PAGE_SIZE,
	};
	struct pfn_batch batch;

	pfn_batch_init(&batch);
	pfn_batch_reserve(&batch, npages, SIZE_MAX);
	for (unsigned long page = 0; page < npages; page++)
		KUNIT_ASSERT_TRUE(test, pfn_batch_add(&batch,
						      scattered_pfn(page), 1));
	for (unsigned int i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct fake_domain *fake = fake_domain_make(test, i);
		struct domain_io io = { .domain = &fake->domain };

		KUNIT_ASSERT_NOT_NULL(test, fake);
		iommufd_gate_init(&io.gate);
		fake->unpinned = true;
		KUNIT_ASSERT_EQ(test, domain_io_map(&io, &span, &batch,
						    IOMMU_READ | IOMMU_CACHE), 0);
		fake->nr_flushes = 0;
		KUNIT_EXPECT_EQ(test, domain_io_unmap_scattered(&io, &span),
				span.length);
		if (i != FAKE_ARM)
			KUNIT_EXPECT_EQ(test, fake->nr_flushes, 1);
		KUNIT_EXPECT_EQ(test, fake->mapped_bytes, 0);
		fake_domain_check(fake);
		fake_domain_free(fake);
	}
	pfn_batch_destroy(&batch);
}

static struct kunit_case map_large_cases[] = {
	KUNIT_CASE_SLOW(map_of_many_gigabytes),
	KUNIT_CASE(failed_map_of_many_gigabytes),
	KUNIT_CASE(batch_of_many_gigabytes),
	KUNIT_CASE(scattered_memory_is_flushed_once),
	{}
};

static struct kunit_suite map_large_suite = {
	.name = "iommufd_map_large",
	.test_cases = map_large_cases,
};

kunit_test_suite(map_large_suite);
