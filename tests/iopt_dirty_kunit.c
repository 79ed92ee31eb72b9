// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty bits against a model that looks at every leaf before and after a read:
 * leaves of 4 KiB to 1 GiB, random holes, requests and places of the bitmap.
 *
 * The memory is made up, as there is not so much of it; the bitmap is real.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "map_fixture.h"

#define GIB	((unsigned long)SZ_1G)

/* Above all memory that user-mode Linux can have, and a multiple of any leaf. */
#define FAR_PFN	(SZ_16T / PAGE_SIZE)

#define BITMAP_PAGES	520
#define BITMAP_BYTES	(BITMAP_PAGES * PAGE_SIZE)

#define MAX_AREAS	8
/* Of fewer pages the debug code looks at each: these are not there. */
#define MIN_PAGES	2049
#define MAX_LEAVES	32768

/**
 * struct dirty_area - an area of made-up memory
 * @pages: its pages object
 * @iova: of the first page
 * @npages: how many
 * @first_pfn: of the first page
 * @run_pages: pages of a run; the next run begins somewhere else
 * @is_odd: no leaf is larger than a page
 */
struct dirty_area {
	struct iopt_pages *pages;
	unsigned long iova;
	unsigned long npages;
	unsigned long first_pfn;
	unsigned long run_pages;
	bool is_odd;
};

/**
 * struct dirty_model - a map, a domain, a bitmap
 * @f: the fixture; its memory is the bitmap's
 * @rnd: random numbers
 * @domain: the domain
 * @areas: what is mapped, by IOVA
 * @nr_areas: so many
 * @before: leaves as they were
 * @nr_leaves: so many
 * @expected: what has to be in the bitmap's memory
 * @seen: what is there
 * @request: the read
 * @offset: bytes from the start of the memory to the bitmap
 */
struct dirty_model {
	struct map_fixture *f;
	struct rnd_state rnd;
	struct map_domain *domain;
	struct dirty_area areas[MAX_AREAS];
	unsigned int nr_areas;
	struct fake_view *before;
	unsigned int nr_leaves;
	u8 *expected;
	u8 *seen;
	struct iopt_dirty_request request;
	size_t offset;
};

/* For the source of the pages, which knows nothing but them. */
static struct dirty_model *current_model;
static struct pfn_source_ops far_ops;

static u32 below(struct dirty_model *m, u32 limit)
{
	return prandom_u32_state(&m->rnd) % limit;
}

static const struct dirty_area *area_of(const struct iopt_pages *pages)
{
	const struct dirty_area *area = current_model->areas;

	while (area->pages != pages)
		area++;
	return area;
}

static long far_pin(struct iopt_pages *pages, struct iopt_pin *pin,
		    unsigned long first_index, unsigned long max_pages)
{
	const struct dirty_area *area = area_of(pages);
	unsigned long run = first_index / area->run_pages;
	unsigned long n = min(max_pages, area->run_pages -
					 first_index % area->run_pages);

	/* A hole of two pages leaves the lowest bit as it is. */
	if (!pfn_batch_add(&pin->batch, area->first_pfn + first_index + 2 * run, n))
		return -ENOMEM;
	return n;
}

static void far_unpin(struct iopt_pages *pages, unsigned long pfn,
		      unsigned long npages)
{
}

static int far_charge(struct iopt_pages *pages, unsigned long npages)
{
	return 0;
}

static void far_uncharge(struct iopt_pages *pages, unsigned long npages)
{
}

static void add_area(struct dirty_model *m, const struct dirty_area *area)
{
	struct iopt_map_request request = {
		.uptr = PAGE_SIZE,
		.length = area->npages * PAGE_SIZE,
		.iova = area->iova,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_NONE,
		.fixed_iova = true,
	};
	struct iopt_pages *pages;

	KUNIT_ASSERT_EQ(m->f->test, map_request(&m->f->iopt, &request), 0);
	pages = iopt_area_from(&m->f->iopt, area->iova)->slice.pages;
	far_ops = *pages->ops;
	far_ops.pin = far_pin;
	far_ops.unpin = far_unpin;
	far_ops.charge = far_charge;
	far_ops.uncharge = far_uncharge;
	pages->ops = &far_ops;
	m->areas[m->nr_areas] = *area;
	m->areas[m->nr_areas++].pages = pages;
}

static struct dirty_model *model_make(struct kunit *test)
{
	struct dirty_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 seed = get_random_u64();

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed 0x%llx", seed);
	prandom_seed_state(&m->rnd, seed);
	m->f = map_fixture_make(test, BITMAP_PAGES, 1);
	m->before = kvmalloc_array(MAX_LEAVES, sizeof(*m->before), GFP_KERNEL);
	m->expected = kvmalloc(BITMAP_BYTES, GFP_KERNEL);
	m->seen = kvmalloc(BITMAP_BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m->before);
	KUNIT_ASSERT_NOT_NULL(test, m->expected);
	KUNIT_ASSERT_NOT_NULL(test, m->seen);
	current_model = m;
	return m;
}

static void model_free(struct dirty_model *m)
{
	kvfree(m->before);
	kvfree(m->expected);
	kvfree(m->seen);
	map_fixture_end(m->f);
}

/* A domain with the leaf sizes of real drivers, which is told to track. */
static void add_domain(struct dirty_model *m, enum fake_personality personality)
{
	struct kunit *test = m->f->test;

	m->domain = map_domain_make(m->f, personality);
	m->domain->fake->unpinned = true;
	if (personality != FAKE_AMD)
		m->domain->fake->domain.pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G;
	KUNIT_ASSERT_EQ(test, map_domain_try_add(m->f, m->domain), 0);
	KUNIT_ASSERT_EQ(test, iopt_track_dirty(&m->f->iopt, &m->domain->member,
					       true), 0);
}

static void end_round(struct dirty_model *m)
{
	unsigned long unmapped_bytes;

	fake_domain_check(m->domain->fake);
	map_domain_remove(m->f, m->domain);
	KUNIT_EXPECT_EQ(m->f->test, iopt_unmap_all(&m->f->iopt,
						   &unmapped_bytes), 0);
	m->nr_areas = 0;
}

/* -- the model -- */

static void look_at_leaves(struct dirty_model *m)
{
	unsigned long iova = 0;
	struct fake_view view;

	m->nr_leaves = 0;
	while (fake_domain_view(m->domain->fake, iova, &view)) {
		KUNIT_ASSERT_LT(m->f->test, m->nr_leaves, MAX_LEAVES);
		m->before[m->nr_leaves++] = view;
		iova = view.last_iova + 1;
	}
}

static bool is_requested(const struct dirty_model *m, const struct fake_view *leaf)
{
	return leaf->first_iova >= m->request.first_iova &&
	       leaf->last_iova <= m->request.last_iova;
}

/* Set the bits of what of a leaf was asked for. */
static void expect_leaf(struct dirty_model *m, const struct fake_view *leaf)
{
	const struct iopt_dirty_request *request = &m->request;
	unsigned long first_iova = max(leaf->first_iova, request->first_iova);
	unsigned long last_iova = min(leaf->last_iova, request->last_iova);
	unsigned long first, last;

	if (first_iova > last_iova)
		return;
	first = (first_iova - request->first_iova) / request->page_size;
	last = (last_iova - request->first_iova) / request->page_size;
	bitmap_set((unsigned long *)m->expected,
		   m->offset * BITS_PER_BYTE + first, last - first + 1);
}

static void expect_bitmap(struct dirty_model *m)
{
	void __user *user = (void __user *)m->f->memory->uptr;
	size_t n;

	for (unsigned int i = 0; i < m->nr_leaves; i++) {
		if (m->before[i].dirty)
			expect_leaf(m, &m->before[i]);
	}
	KUNIT_ASSERT_EQ(m->f->test, copy_from_user(m->seen, user, BITMAP_BYTES), 0);
	if (!memcmp(m->seen, m->expected, BITMAP_BYTES))
		return;
	for (n = 0; m->seen[n] == m->expected[n]; n++)
		;
	KUNIT_FAIL(m->f->test,
		   "byte %zd of the bitmap of %#lx-%#lx, bits of %#lx, is %#x, not %#x",
		   n - m->offset, m->request.first_iova, m->request.last_iova,
		   m->request.page_size, m->seen[n], m->expected[n]);
}

static const struct dirty_area *area_at(const struct dirty_model *m,
					unsigned long iova)
{
	for (unsigned int i = 0; i < m->nr_areas; i++) {
		const struct dirty_area *area = &m->areas[i];

		if (iova >= area->iova &&
		    iova - area->iova < area->npages * PAGE_SIZE)
			return area;
	}
	return NULL;
}

/* May a leaf be spared, because it could be part of one that an edge cuts? */
static bool is_near_edge(const struct dirty_model *m, const struct fake_view *leaf,
			 unsigned long edge_iova)
{
	const struct dirty_area *area = area_at(m, leaf->first_iova);

	return !area->is_odd && edge_iova > area->iova &&
	       area_at(m, edge_iova) == area &&
	       edge_iova / GIB == leaf->first_iova / GIB;
}

/* A dirty leaf is clean after the read: may it be? Or it is still dirty. */
static const char *judge_leaf(const struct dirty_model *m,
			      const struct fake_view *leaf, bool is_dirty)
{
	if (!leaf->dirty)
		return is_dirty ? "has become dirty" : NULL;
	if (!is_dirty && m->request.keep)
		return "was cleared";
	if (!is_dirty && !is_requested(m, leaf))
		return "was cleared and not asked for as a whole";
	if (is_dirty && !m->request.keep && is_requested(m, leaf) &&
	    m->request.page_size >= 256 &&
	    !is_near_edge(m, leaf, m->request.first_iova) &&
	    !is_near_edge(m, leaf, m->request.last_iova + 1))
		return "was not cleared";
	return NULL;
}

static void expect_leaves(struct dirty_model *m)
{
	for (unsigned int i = 0; i < m->nr_leaves; i++) {
		const struct fake_view *leaf = &m->before[i];
		struct fake_view after;
		const char *wrong;

		KUNIT_ASSERT_TRUE(m->f->test,
				  fake_domain_view(m->domain->fake,
						   leaf->first_iova, &after));
		wrong = judge_leaf(m, leaf, after.dirty);
		if (!wrong)
			continue;
		KUNIT_FAIL(m->f->test,
			   "leaf %#lx-%#lx %s by a read of %#lx-%#lx, bits of %#lx",
			   leaf->first_iova, leaf->last_iova, wrong,
			   m->request.first_iova, m->request.last_iova,
			   m->request.page_size);
		return;
	}
}

/* -- a read -- */

static void fill_bitmap(struct dirty_model *m, u8 byte)
{
	void __user *user = (void __user *)m->f->memory->uptr;

	memset(m->expected, byte, BITMAP_BYTES);
	KUNIT_ASSERT_EQ(m->f->test, copy_to_user(user, m->expected, BITMAP_BYTES),
			0);
}

static int read_dirty(struct dirty_model *m)
{
	m->request.data = (u64 __user *)(m->f->memory->uptr + m->offset);
	return iopt_read_dirty(&m->f->iopt, &m->domain->member, &m->request);
}

static void check_read(struct dirty_model *m)
{
	fill_bitmap(m, below(m, 4) ? 0 : BIT(below(m, 8)));
	look_at_leaves(m);
	KUNIT_EXPECT_EQ(m->f->test, read_dirty(m), 0);
	expect_bitmap(m);
	expect_leaves(m);
}

/* From the start of the first area to the end of the last. */
static void request_all(struct dirty_model *m, unsigned long page_size)
{
	const struct dirty_area *last = &m->areas[m->nr_areas - 1];
	unsigned long end_iova = last->iova + last->npages * PAGE_SIZE;

	m->request.page_size = page_size;
	m->request.first_iova = round_down(m->areas[0].iova, page_size);
	m->request.last_iova = round_up(end_iova, page_size) - 1;
	m->request.keep = false;
}

static void write_to_leaves(struct dirty_model *m, unsigned int nr)
{
	while (nr--) {
		struct dirty_area *area = &m->areas[below(m, m->nr_areas)];

		fake_domain_write(m->domain->fake,
				  area->iova + below(m, area->npages) * PAGE_SIZE);
	}
}

/* -- random rounds -- */

/* An area at or above an IOVA. Return: where the next one may be. */
static unsigned long add_random_area(struct dirty_model *m, unsigned long iova)
{
	static const unsigned long gaps[] = { 0, PAGE_SIZE, 7 * PAGE_SIZE, SZ_1M,
					      SZ_2M, 3 * SZ_2M, GIB };
	static const unsigned long alignments[] = { PAGE_SIZE, PAGE_SIZE, SZ_2M,
						    GIB };
	static const unsigned long max_bytes[] = { SZ_4M, SZ_4M, SZ_256M, 3 * GIB };
	unsigned int kind = below(m, ARRAY_SIZE(alignments));
	struct dirty_area area = {};

	iova += gaps[below(m, ARRAY_SIZE(gaps))];
	if (below(m, 2))
		iova = round_up(iova, alignments[kind]);
	area.iova = iova;
	area.npages = MIN_PAGES + below(m, max_bytes[kind] / PAGE_SIZE);
	area.is_odd = alignments[kind] == PAGE_SIZE;
	/* What the leaves can be depends on how alike both addresses are. */
	area.first_pfn = FAR_PFN + iova % alignments[kind] / PAGE_SIZE;
	if (area.is_odd)
		area.first_pfn = FAR_PFN + (iova / PAGE_SIZE % 2 ? 0 : 1);
	area.run_pages = kind ? area.npages : 1 + below(m, 64);
	add_area(m, &area);
	return iova + area.npages * PAGE_SIZE;
}

/* An IOVA in or near an area. */
static unsigned long random_place(struct dirty_model *m)
{
	const struct dirty_area *area = &m->areas[below(m, m->nr_areas)];

	switch (below(m, 4)) {
	case 0:
		return area->iova;
	case 1:
		return area->iova + area->npages * PAGE_SIZE;
	default:
		return area->iova + below(m, area->npages) * PAGE_SIZE;
	}
}

static void random_request(struct dirty_model *m)
{
	struct iopt_dirty_request *request = &m->request;
	unsigned long page_size, alignment, a, b, max_bits;

	m->offset = below(m, 2 * PAGE_SIZE);
	max_bits = (BITMAP_BYTES - 2 * PAGE_SIZE) * BITS_PER_BYTE;
	a = random_place(m);
	b = random_place(m);
	page_size = 1UL << (6 + below(m, 26));
	while (abs_diff(a, b) / page_size + 2 > max_bits)
		page_size *= 2;
	alignment = max(page_size, PAGE_SIZE);
	request->page_size = page_size;
	request->first_iova = round_down(min(a, b), alignment);
	request->last_iova = round_up(max(a, b) + 1, alignment) - 1;
	request->keep = !below(m, 4);
}

static void random_dirty_reads(struct kunit *test)
{
	static const enum fake_personality drivers[] = { FAKE_VTD, FAKE_AMD,
							 FAKE_ARM };
	struct dirty_model *m = model_make(test);
	unsigned int round, i;

	for (round = 0; round < 30; round++) {
		unsigned long iova = 3 * GIB - below(m, 1024) * PAGE_SIZE;
		unsigned int nr_areas = 1 + below(m, MAX_AREAS);

		while (nr_areas--)
			iova = add_random_area(m, iova);
		add_domain(m, drivers[round % ARRAY_SIZE(drivers)]);
		for (i = 0; i < 8; i++) {
			write_to_leaves(m, below(m, 40));
			random_request(m);
			check_read(m);
		}
		end_round(m);
	}
	model_free(m);
}

/* -- what must not be left to chance -- */

/* 4 GiB that begin and end in no place in particular, in leaves of any size. */
static const struct dirty_area large_area = {
	.iova = 3 * GIB - 5 * PAGE_SIZE,
	.npages = 4 * GIB / PAGE_SIZE,
	.first_pfn = FAR_PFN + GIB / PAGE_SIZE - 5,
	.run_pages = ULONG_MAX,
};

/*
 * A bitmap of several windows: a leaf of a gigabyte is not cut where a window
 * would end otherwise. Scenario 35.
 */
static void leaf_across_windows(struct kunit *test)
{
	struct dirty_model *m = model_make(test);
	unsigned long page_size;

	add_area(m, &large_area);
	add_domain(m, FAKE_VTD);
	for (page_size = 256; page_size <= PAGE_SIZE; page_size *= 2) {
		request_all(m, page_size);
		for (unsigned int i = 0; i < 4; i++)
			fake_domain_write(m->domain->fake, 3 * GIB + i * GIB);
		write_to_leaves(m, 20);
		check_read(m);
		look_at_leaves(m);
		for (unsigned int i = 0; i < m->nr_leaves; i++)
			KUNIT_EXPECT_FALSE(test, m->before[i].dirty);
	}
	end_round(m);
	model_free(m);
}

/* Everything dirty was recorded, or still is. */
static void expect_nothing_lost(struct dirty_model *m, size_t good_bytes)
{
	const struct iopt_dirty_request *request = &m->request;
	void __user *user = (void __user *)m->f->memory->uptr;

	KUNIT_ASSERT_EQ(m->f->test, copy_from_user(m->seen, user, good_bytes), 0);
	for (unsigned int i = 0; i < m->nr_leaves; i++) {
		const struct fake_view *leaf = &m->before[i];
		unsigned long first, last;
		struct fake_view after;

		fake_domain_view(m->domain->fake, leaf->first_iova, &after);
		if (!leaf->dirty || after.dirty)
			continue;
		first = (max(leaf->first_iova, request->first_iova) -
			 request->first_iova) / request->page_size;
		last = (leaf->last_iova - request->first_iova) /
		       request->page_size;
		KUNIT_ASSERT_LT(m->f->test, last / BITS_PER_BYTE, good_bytes);
		KUNIT_EXPECT_GT_MSG(m->f->test,
				    find_next_zero_bit((unsigned long *)m->seen,
						       last + 1, first), last,
				    "leaf %#lx was cleared and not recorded",
				    leaf->first_iova);
	}
}

/* A bitmap of which the last page is missing. Scenario 34. */
static void bitmap_ends_early(struct kunit *test)
{
	struct dirty_model *m = model_make(test);
	unsigned int nr_cleared = 0;
	struct fake_view view;

	add_area(m, &large_area);
	add_domain(m, FAKE_AMD);
	request_all(m, 2048);
	m->offset = 0;
	m->request.page_size = 256;
	m->request.last_iova = m->request.first_iova +
			       BITMAP_BYTES * BITS_PER_BYTE * 256 - 1;
	write_to_leaves(m, 1000);
	fill_bitmap(m, 0);
	look_at_leaves(m);
	user_memory_break(m->f->memory, BITMAP_PAGES - 1);
	user_memory_forget(m->f->memory);
	KUNIT_EXPECT_EQ(test, read_dirty(m), -EFAULT);
	expect_nothing_lost(m, BITMAP_BYTES - PAGE_SIZE);
	for (unsigned int i = 0; i < m->nr_leaves; i++) {
		fake_domain_view(m->domain->fake, m->before[i].first_iova, &view);
		nr_cleared += m->before[i].dirty && !view.dirty;
	}
	/* The first windows were good. */
	KUNIT_EXPECT_GT(test, nr_cleared, 0);
	user_memory_break(m->f->memory, USER_MEMORY_NO_INDEX);
	end_round(m);
	model_free(m);
}

/* A driver that stops half way: what it cleared is recorded and flushed. */
static void driver_stops_half_way(struct kunit *test)
{
	struct dirty_model *m = model_make(test);
	struct fake_domain *fake;

	add_area(m, &large_area);
	add_domain(m, FAKE_ARM);
	fake = m->domain->fake;
	request_all(m, PAGE_SIZE);
	for (unsigned int n = 1; n <= 5; n++) {
		unsigned int nr_flushes;

		write_to_leaves(m, 500);
		fake_domain_write(fake, large_area.iova);
		fill_bitmap(m, 0);
		look_at_leaves(m);
		nr_flushes = fake->nr_flushes;
		fake->fail_dirty = n;
		KUNIT_EXPECT_EQ(test, read_dirty(m), -EIO);
		KUNIT_EXPECT_EQ(test, fake->nr_flushes, nr_flushes + 1);
		expect_nothing_lost(m, BITMAP_BYTES);
		/* What is written now is seen by the next read. */
		fake_domain_write(fake, large_area.iova);
		check_read(m);
	}
	end_round(m);
	model_free(m);
}

/* Without tracking there is nothing to read, and the driver says so. */
static void tracking_is_off(struct kunit *test)
{
	struct dirty_model *m = model_make(test);

	add_area(m, &large_area);
	add_domain(m, FAKE_VTD);
	request_all(m, PAGE_SIZE);
	write_to_leaves(m, 100);
	KUNIT_EXPECT_EQ(test, iopt_track_dirty(&m->f->iopt, &m->domain->member,
					       false), 0);
	KUNIT_EXPECT_EQ(test, read_dirty(m), -EINVAL);
	KUNIT_EXPECT_EQ(test, iopt_track_dirty(&m->f->iopt, &m->domain->member,
					       true), 0);
	look_at_leaves(m);
	for (unsigned int i = 0; i < m->nr_leaves; i++)
		KUNIT_EXPECT_FALSE(test, m->before[i].dirty);
	write_to_leaves(m, 100);
	check_read(m);
	end_round(m);
	model_free(m);
}

/* A driver that does not let go of memory: all of it may be written to. */
static void quarantine_is_dirty(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 66, 1);
	struct map_domain *domain = map_domain_add(f, FAKE_AMD);
	struct iopt_dirty_request request = {
		.first_iova = GIB,
		.last_iova = GIB + 128 * PAGE_SIZE - 1,
		.page_size = PAGE_SIZE,
		.data = (void __user *)(f->memory->uptr + 65 * PAGE_SIZE),
	};
	DECLARE_BITMAP(bits, 128);
	unsigned long unmapped_bytes;

	KUNIT_ASSERT_EQ(test, map_pages_at(f, 0, 64, GIB), 0);
	KUNIT_ASSERT_EQ(test, iopt_track_dirty(&f->iopt, &domain->member, true), 0);
	domain->fake->fail_unmap = 1;
	KUNIT_EXPECT_EQ(test, iopt_unmap_all(&f->iopt, &unmapped_bytes),
			-ENOTRECOVERABLE);
	for (unsigned int i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, clear_user(request.data, sizeof(bits)), 0);
		KUNIT_EXPECT_EQ(test, iopt_read_dirty(&f->iopt, &domain->member,
						      &request), 0);
		KUNIT_ASSERT_EQ(test, copy_from_user(bits, request.data,
						     sizeof(bits)), 0);
		KUNIT_EXPECT_EQ(test, find_first_zero_bit(bits, 128), 64);
		KUNIT_EXPECT_EQ(test, bitmap_weight(bits, 128), 64);
	}
	iopt_domain_remove(&f->iopt, &domain->member);
	map_domain_let_go(&f->iopt, domain);
	map_fixture_end(f);
}

static struct kunit_case iopt_dirty_cases[] = {
	KUNIT_CASE_SLOW(random_dirty_reads),
	KUNIT_CASE_SLOW(leaf_across_windows),
	KUNIT_CASE_SLOW(bitmap_ends_early),
	KUNIT_CASE_SLOW(driver_stops_half_way),
	KUNIT_CASE_SLOW(tracking_is_off),
	KUNIT_CASE(quarantine_is_dirty),
	{}
};

static struct kunit_suite iopt_dirty_suite = {
	.name = "iommufd_iopt_dirty",
	.test_cases = iopt_dirty_cases,
};

kunit_test_suite(iopt_dirty_suite);
