// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes of scattered memory: a copy by the CPU leaves them for the next one, which
 * must not believe them when something else has been pinned since. What devices see is
 * asked of the fake domain each time.
 */
#include <kunit/test.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/sizes.h>

#include "map_fixture.h"

#define TEST_IOVA SZ_4M
#define OTHER_IOVA SZ_1M
/* So many are noted when they are copied for the first time. */
#define TEST_PAGES 64
#define HALF (TEST_PAGES / 2)

/**
 * struct note_fixture - scattered memory, mapped, and somebody who copies
 * @f: the map and what is in it
 * @other: another map of the same pages, without a domain
 * @user: who copies
 * @data: as large as the memory
 */
struct note_fixture {
	struct map_fixture *f;
	struct io_pagetable other;
	struct iopt_user user;
	u8 *data;
};

static unsigned long iova_of(unsigned long page)
{
	return TEST_IOVA + page * PAGE_SIZE;
}

static void ignore_unmap(struct iopt_user *user, unsigned long iova,
			 unsigned long length)
{
}

/* Copy pages of one map to a place in another. */
static int copy_between(struct io_pagetable *from, struct io_pagetable *to,
			unsigned long iova, unsigned long npages)
{
	struct iopt_map_request request = {
		.length = npages * PAGE_SIZE,
		.iova = iova,
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
	};

	return copy_request(from, iova, to, &request);
}

static struct note_fixture *note_fixture_make(struct kunit *test)
{
	struct note_fixture *n = kunit_kzalloc(test, sizeof(*n), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, n);
	n->data = kunit_kmalloc(test, TEST_PAGES * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, n->data);
	n->f = map_fixture_make(test, TEST_PAGES, 1);
	iopt_init(&n->other);
	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&n->other, false), 0);
	n->user.unmap = ignore_unmap;
	n->user.iova_alignment = 1;
	KUNIT_ASSERT_EQ(test, iopt_user_add(&n->f->iopt, &n->user), 0);
	KUNIT_ASSERT_EQ(test, iopt_set_large_pages(&n->f->iopt, false), 0);
	KUNIT_ASSERT_EQ(test, map_pages_at(n->f, 0, TEST_PAGES, TEST_IOVA), 0);
	KUNIT_ASSERT_EQ(test, copy_between(&n->f->iopt, &n->other, TEST_IOVA,
					   TEST_PAGES), 0);
	return n;
}

static void note_fixture_end(struct note_fixture *n)
{
	iopt_user_stop(&n->f->iopt, &n->user);
	iopt_user_remove(&n->f->iopt, &n->user);
	iopt_destroy(&n->other);
	map_fixture_end(n->f);
}

/* As a driver's copy is made. */
static void copy_bytes(struct note_fixture *n, unsigned long iova,
		       size_t length, bool write)
{
	struct iopt_access_request request = {
		.first_iova = iova,
		.last_iova = iova + length - 1,
		.write = write,
	};
	struct iopt_rw rw = {
		.data = n->data, .length = length, .write = write, .pins = true,
	};
	bool done;

	scoped_guard(rwsem_read, &n->f->iopt.iova_rwsem)
		done = iopt_rw_at_once(&n->f->iopt, iova, &rw);
	request.first_iova += length - rw.length;
	if (!done)
		KUNIT_ASSERT_EQ(n->f->test,
				iopt_rw_access(&n->f->iopt, &n->user, &request,
					       &rw), 0);
}

/* Is it in @data what somebody else has at a page? */
static void expect_same(struct note_fixture *n, unsigned long page,
			const struct page *there, size_t offset, size_t length)
{
	const u8 *bytes = page_address(there);

	KUNIT_EXPECT_EQ_MSG(n->f->test,
			    memcmp(n->data, bytes + offset, length), 0,
			    "page %lu", page);
}

static struct page *seen_by(struct map_domain *domain, unsigned long iova)
{
	return pfn_to_page(PHYS_PFN(fake_domain_lookup(domain->fake, iova)));
}

/* Each page has contents of its own, whoever shows it. */
static void paint(struct note_fixture *n, struct page *page, u8 color)
{
	memset_page(page, 0, color, PAGE_SIZE);
}

/* Copies of all sizes reach what devices see from one IOVA on. */
static void expect_seen(struct note_fixture *n, struct map_domain *domain,
			unsigned long iova, unsigned long npages)
{
	u8 *data = n->data;
	unsigned long i;

	for (i = 0; i < npages; i++)
		paint(n, seen_by(domain, iova + i * PAGE_SIZE), i + 1);
	copy_bytes(n, iova, npages * PAGE_SIZE, false);
	for (i = 0; i < npages; i++, n->data += PAGE_SIZE)
		expect_same(n, i, seen_by(domain, iova + i * PAGE_SIZE), 0,
			    PAGE_SIZE);
	n->data = data;
	for (i = 0; i < npages; i++) {
		unsigned long here = iova + i * PAGE_SIZE;

		copy_bytes(n, here, PAGE_SIZE, false);
		expect_same(n, i, seen_by(domain, here), 0, PAGE_SIZE);
		copy_bytes(n, here + 100, 50, false);
		expect_same(n, i, seen_by(domain, here), 100, 50);
		memset(n->data, 0x80 + i, PAGE_SIZE);
		copy_bytes(n, here, PAGE_SIZE, true);
		expect_same(n, i, seen_by(domain, here), 0, PAGE_SIZE);
	}
}

static unsigned int count_records(struct io_pagetable *iopt, unsigned long iova)
{
	struct interval_tree_node *span;
	struct iopt_pages *pages;
	unsigned int nr = 0;

	scoped_guard(rwsem_read, &iopt->iova_rwsem)
		pages = iopt_area_from(iopt, iova)->slice.pages;
	guard(spinlock)(&pages->lock);
	for (span = span_tree_first(&pages->records, 0, ULONG_MAX);
	     span; span = interval_tree_iter_next(span, 0, ULONG_MAX))
		nr++;
	return nr;
}

/* What has been copied once is not asked for again, unless that is switched off. */
static void noted_is_not_asked_for(struct kunit *test)
{
	bool extents = iopt_extents;

	for (int i = 0; i < 2; i++) {
		struct note_fixture *n = note_fixture_make(test);
		struct map_domain *domain = map_domain_add(n->f, FAKE_VTD);
		unsigned int nr_reads;

		iopt_extents = i;
		expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
		nr_reads = domain->fake->nr_reads;
		KUNIT_EXPECT_GE(test, nr_reads, TEST_PAGES);
		expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
		KUNIT_EXPECT_EQ(test, nr_reads == domain->fake->nr_reads, i);
		KUNIT_EXPECT_EQ(test, count_records(&n->other, TEST_IOVA), i);
		iopt_extents = extents;
		map_domain_remove(n->f, domain);
		note_fixture_end(n);
	}
}

/* A page that is copied once only is not worth it. */
static void little_is_noted_the_second_time(struct kunit *test)
{
	struct note_fixture *n = note_fixture_make(test);
	struct map_domain *domain = map_domain_add(n->f, FAKE_VTD);

	/* Somebody else's may come in between on this CPU: hence not once. */
	copy_bytes(n, iova_of(3), 8, false);
	KUNIT_EXPECT_EQ(test, count_records(&n->other, TEST_IOVA), 0);
	for (int i = 0; i < 100; i++)
		copy_bytes(n, iova_of(3), 8, false);
	KUNIT_EXPECT_EQ(test, count_records(&n->other, TEST_IOVA),
			iopt_extents);
	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, domain);
	note_fixture_end(n);
}

/* Unmapped, and mapped again as it looks then. */
static void note_ends_with_the_mapping(struct kunit *test)
{
	struct note_fixture *n = note_fixture_make(test);
	struct map_domain *domain = map_domain_add(n->f, FAKE_VTD);

	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	KUNIT_ASSERT_EQ(test, unmap_at(n->f, TEST_IOVA, TEST_PAGES), 0);
	KUNIT_EXPECT_EQ(test, count_records(&n->other, TEST_IOVA), 0);
	user_memory_exchange(n->f->memory, 0, HALF, HALF);
	KUNIT_ASSERT_EQ(test, copy_between(&n->other, &n->f->iopt, TEST_IOVA,
					   TEST_PAGES), 0);
	expect_mapped(n->f, domain, 0, TEST_PAGES, TEST_IOVA);
	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, domain);
	note_fixture_end(n);
}

/* One page stays, and what was noted of it; the others come anew. */
static void other_slice_keeps_a_page(struct kunit *test)
{
	struct note_fixture *n = note_fixture_make(test);
	struct map_domain *domain = map_domain_add(n->f, FAKE_AMD);

	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	KUNIT_ASSERT_EQ(test, copy_pages_at(n->f, iova_of(5), 1, OTHER_IOVA), 0);
	KUNIT_ASSERT_EQ(test, unmap_at(n->f, TEST_IOVA, TEST_PAGES), 0);
	expect_seen(n, domain, OTHER_IOVA, 1);
	user_memory_exchange(n->f->memory, 0, HALF, HALF);
	KUNIT_ASSERT_EQ(test, copy_between(&n->other, &n->f->iopt, TEST_IOVA,
					   TEST_PAGES), 0);
	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	expect_seen(n, domain, OTHER_IOVA, 1);
	KUNIT_EXPECT_PTR_EQ(test, seen_by(domain, OTHER_IOVA),
			    seen_by(domain, iova_of(5)));
	KUNIT_EXPECT_PTR_EQ(test, seen_by(domain, iova_of(6)),
			    n->f->memory->pages[6]);
	map_domain_remove(n->f, domain);
	note_fixture_end(n);
}

/* The first of two domains goes, then the other; one comes back to other memory. */
static void domains_come_and_go(struct kunit *test)
{
	struct note_fixture *n = note_fixture_make(test);
	struct map_domain *first = map_domain_add(n->f, FAKE_VTD);
	struct map_domain *second = map_domain_add(n->f, FAKE_ARM);

	expect_seen(n, first, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, first);
	expect_seen(n, second, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, second);
	KUNIT_EXPECT_EQ(test, count_records(&n->other, TEST_IOVA), 0);
	user_memory_exchange(n->f->memory, 0, HALF, HALF);
	first = map_domain_add(n->f, FAKE_VTD);
	expect_mapped(n->f, first, 0, TEST_PAGES, TEST_IOVA);
	expect_seen(n, first, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, first);
	note_fixture_end(n);
}

/* The mapping is cut, and one half of it goes and comes back as something else. */
static void halves_go_their_own_ways(struct kunit *test)
{
	for (unsigned long gone = 0; gone < TEST_PAGES; gone += HALF) {
		struct note_fixture *n = note_fixture_make(test);
		struct map_domain *domain = map_domain_add(n->f, FAKE_AMD);
		unsigned long stays = HALF - gone;
		struct page *page;

		expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
		page = seen_by(domain, iova_of(stays));
		KUNIT_ASSERT_EQ(test, iopt_cut(&n->f->iopt, iova_of(HALF)), 0);
		expect_seen(n, domain, iova_of(0), HALF);
		expect_seen(n, domain, iova_of(HALF), HALF);
		KUNIT_ASSERT_EQ(test, unmap_at(n->f, iova_of(gone), HALF), 0);
		user_memory_exchange(n->f->memory, 0, HALF, HALF);
		expect_seen(n, domain, iova_of(stays), HALF);
		KUNIT_ASSERT_EQ(test, iopt_cut(&n->other, iova_of(HALF)), 0);
		KUNIT_ASSERT_EQ(test, copy_between(&n->other, &n->f->iopt,
						   iova_of(gone), HALF), 0);
		expect_seen(n, domain, iova_of(gone), HALF);
		expect_seen(n, domain, iova_of(stays), HALF);
		KUNIT_EXPECT_PTR_EQ(test, page,
				    seen_by(domain, iova_of(stays)));
		map_domain_remove(n->f, domain);
		note_fixture_end(n);
	}
}

/* A pin outlives the domain: what it holds stays, and the rest is other memory. */
static void pins_take_over(struct kunit *test)
{
	struct note_fixture *n = note_fixture_make(test);
	struct map_domain *domain = map_domain_add(n->f, FAKE_VTD);
	struct iopt_access_request request = {
		.first_iova = iova_of(8),
		.last_iova = iova_of(24) - 1,
		.write = true,
	};
	struct page *pages[16];

	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	KUNIT_ASSERT_EQ(test, iopt_pin(&n->f->iopt, &n->user, &request, pages),
			0);
	map_domain_remove(n->f, domain);
	user_memory_exchange(n->f->memory, 0, HALF, HALF);
	for (unsigned long i = 0; i < 16; i++) {
		paint(n, pages[i], i);
		copy_bytes(n, iova_of(8 + i), PAGE_SIZE, false);
		expect_same(n, 8 + i, pages[i], 0, PAGE_SIZE);
	}
	domain = map_domain_add(n->f, FAKE_VTD);
	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	KUNIT_EXPECT_PTR_EQ(test, seen_by(domain, iova_of(8)), pages[0]);
	KUNIT_EXPECT_PTR_EQ(test, seen_by(domain, iova_of(7)),
			    n->f->memory->pages[7]);
	iopt_unpin(&n->f->iopt, &n->user, request.first_iova,
		   request.last_iova);
	expect_seen(n, domain, TEST_IOVA, TEST_PAGES);
	map_domain_remove(n->f, domain);
	note_fixture_end(n);
}

static struct kunit_case map_note_cases[] = {
	KUNIT_CASE(noted_is_not_asked_for),
	KUNIT_CASE(little_is_noted_the_second_time),
	KUNIT_CASE(note_ends_with_the_mapping),
	KUNIT_CASE(other_slice_keeps_a_page),
	KUNIT_CASE(domains_come_and_go),
	KUNIT_CASE(halves_go_their_own_ways),
	KUNIT_CASE(pins_take_over),
	{}
};

static struct kunit_suite map_note_suite = {
	.name = "iommufd_map_note",
	.test_cases = map_note_cases,
};

kunit_test_suite(map_note_suite);
