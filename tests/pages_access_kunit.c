// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tier of what in-kernel users have pinned, and how pages move between it and
 * slices: real pins, fake IOMMU drivers.
 */
#include <kunit/test.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/prandom.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "fault.h"
#include "map_fixture.h"

#define TEST_IOVA SZ_1M
#define COPY_IOVA SZ_4M
#define TEST_PAGES 64

/**
 * struct store - pages under test, and how they are looked at
 * @test: the test
 * @f: memory, and a map with one area of all of it at TEST_IOVA
 * @pages: the pages, which the test has a reference on
 * @out: what the last pin gave
 */
struct store {
	struct kunit *test;
	struct map_fixture *f;
	struct iopt_pages *pages;
	struct page *out[TEST_PAGES];
};

static struct iopt_pages *pages_of_area(struct map_fixture *f,
					unsigned long iova)
{
	struct iopt_area *area;

	scoped_guard(rwsem_read, &f->iopt.iova_rwsem)
		area = iopt_area_from(&f->iopt, iova);
	KUNIT_ASSERT_NOT_NULL(f->test, area);
	return area->slice.pages;
}

static void store_begin(struct store *s, struct kunit *test,
			unsigned long block_pages)
{
	s->test = test;
	s->f = map_fixture_make(test, TEST_PAGES, block_pages);
	KUNIT_ASSERT_EQ(test, map_pages_at(s->f, 0, TEST_PAGES, TEST_IOVA), 0);
	s->pages = iopt_pages_get(pages_of_area(s->f, TEST_IOVA));
}

static void store_end(struct store *s)
{
	unsigned long unmapped_bytes;

	iopt_unmap_all(&s->f->iopt, &unmapped_bytes);
	KUNIT_EXPECT_EQ(s->test, s->pages->npinned, 0);
	KUNIT_EXPECT_TRUE(s->test, span_tree_is_empty(&s->pages->records));
	iopt_pages_put(s->pages);
	map_fixture_end(s->f);
}

typedef void (*scenario_fn)(struct store *s);

/* Batches of any number of runs, of four, and of a single one. */
static void run_scenario(struct kunit *test, scenario_fn fn)
{
	static const unsigned long layouts[] = { TEST_PAGES, 24, 3, 1 };
	static const unsigned int batch_bytes[] = { SZ_64K, 64, 1 };
	struct store *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(batch_bytes); j++) {
			WRITE_ONCE(iopt_temp_bytes_limit, batch_bytes[j]);
			store_begin(s, test, layouts[i]);
			fn(s);
			store_end(s);
			WRITE_ONCE(iopt_temp_bytes_limit, SZ_64K);
		}
	}
}

static void expect_pages(struct store *s, unsigned long first,
			 unsigned long npages)
{
	for (unsigned long i = 0; i < npages; i++) {
		if (s->out[i] == s->f->memory->pages[first + i])
			continue;
		KUNIT_FAIL(s->test, "page %lu is not what was pinned",
			   first + i);
		break;
	}
}

static void pin(struct store *s, unsigned long first, unsigned long npages)
{
	memset(s->out, 0, sizeof(s->out));
	KUNIT_ASSERT_EQ(s->test, iopt_pages_add_access(s->pages, first, npages,
						       s->out), 0);
	expect_pages(s, first, npages);
	for (unsigned long i = npages; i < TEST_PAGES; i++)
		KUNIT_ASSERT_NULL(s->test, s->out[i]);
}

static void unpin(struct store *s, unsigned long first, unsigned long npages)
{
	KUNIT_ASSERT_TRUE(s->test, iopt_pages_remove_access(s->pages, first,
							    npages));
}

static void expect_total(struct store *s, unsigned long npages)
{
	KUNIT_EXPECT_EQ(s->test, s->pages->npinned, npages);
	KUNIT_EXPECT_EQ(s->test, user_memory_total_pins(s->f->memory), npages);
	expect_charge(s->f, npages);
}

static void unpin_in_pieces(struct store *s)
{
	pin(s, 0, 40);
	expect_total(s, 40);
	unpin(s, 8, 8);
	expect_pins(s->f, 8, 8, 0);
	unpin(s, 39, 1);
	unpin(s, 16, 23);
	expect_total(s, 8);
	expect_pins(s->f, 0, 8, 1);
	unpin(s, 0, 8);
	expect_total(s, 0);

	/* One by one, and given back at once. */
	for (unsigned long i = 0; i < TEST_PAGES; i++)
		pin(s, TEST_PAGES - 1 - i, 1);
	expect_total(s, TEST_PAGES);
	unpin(s, 0, TEST_PAGES);
	expect_total(s, 0);
}

static void pins_are_given_back_in_any_pieces(struct kunit *test)
{
	run_scenario(test, unpin_in_pieces);
}

static void pin_overlapping(struct store *s)
{
	pin(s, 0, 20);
	pin(s, 10, 20);
	pin(s, 10, 2);
	/* Pinned once, however many want them. */
	expect_total(s, 30);
	expect_pins(s->f, 0, 30, 1);
	unpin(s, 0, 30);
	expect_total(s, 10);
	expect_pins(s->f, 10, 10, 1);
	unpin(s, 11, 9);
	expect_total(s, 2);
	unpin(s, 10, 2);
	expect_total(s, 1);
	unpin(s, 10, 1);
	expect_total(s, 0);
}

static void overlapping_pins_count(struct kunit *test)
{
	run_scenario(test, pin_overlapping);
}

static void unpin_too_much(struct store *s)
{
	KUNIT_EXPECT_FALSE(s->test, iopt_pages_remove_access(s->pages, 0, 1));
	pin(s, 8, 8);
	pin(s, 20, 4);
	KUNIT_EXPECT_FALSE(s->test, iopt_pages_remove_access(s->pages, 8, 9));
	KUNIT_EXPECT_FALSE(s->test, iopt_pages_remove_access(s->pages, 7, 2));
	KUNIT_EXPECT_FALSE(s->test, iopt_pages_remove_access(s->pages, 8, 16));
	expect_total(s, 12);
	unpin(s, 8, 8);
	unpin(s, 20, 4);
	KUNIT_EXPECT_FALSE(s->test, iopt_pages_remove_access(s->pages, 8, 8));
}

static void unpin_of_unpinned_is_refused(struct kunit *test)
{
	run_scenario(test, unpin_too_much);
}

/* What is mapped is not pinned again, and survives the unmap. */
static void share_with_slice(struct store *s)
{
	struct map_domain *domain = map_domain_add(s->f, FAKE_VTD);

	pin(s, 8, 40);
	expect_total(s, TEST_PAGES);
	KUNIT_EXPECT_EQ(s->test, unmap_at(s->f, TEST_IOVA, TEST_PAGES), 0);
	expect_total(s, 40);
	expect_pins(s->f, 8, 40, 1);
	/* The PFN is known though no domain is left that knows it (I2). */
	pin(s, 8, 40);
	expect_total(s, 40);
	unpin(s, 8, 40);
	unpin(s, 8, 40);
	expect_total(s, 0);
	map_domain_remove(s->f, domain);
}

static void access_takes_over_from_slice(struct kunit *test)
{
	run_scenario(test, share_with_slice);
}

/* What an access has pinned is not pinned again for a domain. */
static void share_with_access(struct store *s)
{
	struct map_domain *domain;

	pin(s, 4, 3);
	pin(s, 20, 20);
	domain = map_domain_add(s->f, FAKE_AMD);
	expect_total(s, TEST_PAGES);
	expect_mapped(s->f, domain, 0, TEST_PAGES, TEST_IOVA);
	unpin(s, 4, 3);
	unpin(s, 20, 20);
	expect_total(s, TEST_PAGES);
	expect_mapped(s->f, domain, 0, TEST_PAGES, TEST_IOVA);
	fake_domain_check(domain->fake);
	map_domain_remove(s->f, domain);
	expect_total(s, 0);
}

static void slice_takes_over_from_access(struct kunit *test)
{
	run_scenario(test, share_with_access);
}

/* Only what nobody else uses is unpinned; the fake notices a wrong cut. */
static void domain_leaves(struct store *s)
{
	for (unsigned int i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct map_domain *domain = map_domain_add(s->f, i);

		pin(s, 5, 4);
		pin(s, 20, 1);
		pin(s, 60, 4);
		map_domain_remove(s->f, domain);
		expect_total(s, 9);
		expect_pins(s->f, 5, 4, 1);
		expect_pins(s->f, 20, 1, 1);
		expect_pins(s->f, 60, 4, 1);

		domain = map_domain_add(s->f, FAKE_NR_PERSONALITIES - 1 - i);
		expect_mapped(s->f, domain, 0, TEST_PAGES, TEST_IOVA);
		expect_total(s, TEST_PAGES);
		unpin(s, 5, 4);
		unpin(s, 20, 1);
		unpin(s, 60, 4);
		map_domain_remove(s->f, domain);
		expect_total(s, 0);
	}
}

static void domain_leaves_what_accesses_hold(struct kunit *test)
{
	run_scenario(test, domain_leaves);
}

/* A page in the middle that a driver has pinned does not cost the large leaf. */
static void held_page_does_not_cut_a_leaf(struct kunit *test)
{
	static const enum fake_personality whole[] = { FAKE_AMD, FAKE_VIRTIO };

	for (unsigned int i = 0; i < ARRAY_SIZE(whole); i++) {
		struct map_domain *domain;
		struct store s = {};

		store_begin(&s, test, TEST_PAGES);
		pin(&s, 20, 1);
		pin(&s, 40, 5);
		domain = map_domain_add(s.f, whole[i]);
		expect_mapped(s.f, domain, 0, TEST_PAGES, TEST_IOVA);
		KUNIT_EXPECT_EQ(test, domain->fake->nr_maps, 1);
		unpin(&s, 20, 1);
		unpin(&s, 40, 5);

		/* The same when it is one of many slices. */
		KUNIT_ASSERT_EQ(test, copy_pages_at(s.f, TEST_IOVA, TEST_PAGES,
						    COPY_IOVA), 0);
		KUNIT_EXPECT_EQ(test, domain->fake->nr_maps, 2);
		map_domain_remove(s.f, domain);
		store_end(&s);
	}
}

/* More stretches than fit into one batch: a few calls, and the right pages. */
static void every_other_page_is_held(struct kunit *test)
{
	struct map_domain *domain;
	struct store s = {};

	store_begin(&s, test, TEST_PAGES);
	for (unsigned long i = 0; i < TEST_PAGES; i += 2)
		pin(&s, i, 1);
	domain = map_domain_add(s.f, FAKE_AMD);
	expect_mapped(s.f, domain, 0, TEST_PAGES, TEST_IOVA);
	KUNIT_EXPECT_LE(test, domain->fake->nr_maps,
			TEST_PAGES / IOPT_GATHER_PARTS);
	expect_total(&s, TEST_PAGES);
	/* And as many for an access. */
	pin(&s, 0, TEST_PAGES);
	map_domain_remove(s.f, domain);
	pin(&s, 0, TEST_PAGES);
	expect_total(&s, TEST_PAGES);
	for (unsigned long i = 0; i < TEST_PAGES; i += 2)
		unpin(&s, i, 1);
	unpin(&s, 0, TEST_PAGES);
	expect_total(&s, TEST_PAGES);
	unpin(&s, 0, TEST_PAGES);
	store_end(&s);
}

/* Copies go through a slice; nothing but its end matters to them. */
static int copy_through_slice(struct iopt_pages *pages, struct iopt_rw *rw)
{
	struct iopt_slice slice = {
		.pages = pages,
		.span.last = TEST_PAGES * 2,
	};

	return iopt_slice_rw(&slice, rw);
}

static void expect_content(struct store *s, unsigned long index)
{
	struct page *page = s->f->memory->pages[index];
	unsigned long want = 0, got = ~0UL;
	struct iopt_rw rw = {
		.first_byte = index * PAGE_SIZE + 8,
		.length = sizeof(got),
		.data = &got,
	};

	memcpy_from_page((char *)&want, page, 8, sizeof(want));
	KUNIT_EXPECT_EQ(s->test, copy_through_slice(s->pages, &rw), 0);
	KUNIT_EXPECT_EQ(s->test, got, want);
}

static void write_content(struct store *s)
{
	for (unsigned long i = 0; i < TEST_PAGES; i++) {
		unsigned long value = page_to_pfn(s->f->memory->pages[i]);

		memcpy_to_page(s->f->memory->pages[i], 8, (char *)&value,
			       sizeof(value));
	}
}

/*
 * A record outlives the pages it speaks of while one of them is in use. What an
 * access pins then is another page, and that is the one that counts.
 */
static void meet_stale_record(struct store *s)
{
	struct map_domain *domain = map_domain_add(s->f, FAKE_VTD);
	struct map_domain *second;

	write_content(s);
	KUNIT_ASSERT_EQ(s->test, copy_pages_at(s->f, TEST_IOVA, TEST_PAGES,
					       SZ_8M), 0);
	KUNIT_ASSERT_EQ(s->test, copy_pages_at(s->f, TEST_IOVA + SZ_128K, 1,
					       0), 0);
	KUNIT_ASSERT_EQ(s->test, unmap_at(s->f, SZ_8M, TEST_PAGES), 0);
	KUNIT_ASSERT_EQ(s->test, unmap_at(s->f, TEST_IOVA, TEST_PAGES), 0);
	expect_total(s, 1);
	user_memory_exchange(s->f->memory, 0, TEST_PAGES / 2, TEST_PAGES / 2);

	pin(s, 0, 4);
	pin(s, 10, 1);
	expect_content(s, 0);
	expect_content(s, 10);
	expect_content(s, 12);
	KUNIT_ASSERT_EQ(s->test, map_pages_at(s->f, 0, 1, SZ_2M), 0);
	unpin(s, 10, 1);
	unpin(s, 0, 4);
	KUNIT_ASSERT_EQ(s->test, unmap_at(s->f, SZ_2M, 1), 0);
	second = map_domain_add(s->f, FAKE_ARM);
	map_domain_remove(s->f, second);
	KUNIT_ASSERT_EQ(s->test, unmap_at(s->f, 0, 1), 0);
	map_domain_remove(s->f, domain);
}

static void stale_record_does_not_win(struct kunit *test)
{
	run_scenario(test, meet_stale_record);
}

/*
 * The same, and a slice comes over pages that the access has: over some that nobody
 * has as well, or over just those.
 */
static void fill_over_stale_record(struct store *s, unsigned long npages)
{
	struct io_pagetable *other = kzalloc(sizeof(*other), GFP_KERNEL);
	struct map_domain *domain = map_domain_add(s->f, FAKE_VTD);
	struct iopt_map_request request = {
		.length = TEST_PAGES * PAGE_SIZE,
		.iova = COPY_IOVA,
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
	};
	struct map_domain *second;

	KUNIT_ASSERT_NOT_NULL(s->test, other);
	iopt_init(other);
	KUNIT_ASSERT_EQ(s->test, copy_request(&s->f->iopt, TEST_IOVA, other,
					      &request), 0);
	KUNIT_ASSERT_EQ(s->test, copy_pages_at(s->f, TEST_IOVA + SZ_128K, 1,
					       0), 0);
	KUNIT_ASSERT_EQ(s->test, unmap_at(s->f, TEST_IOVA, TEST_PAGES), 0);
	user_memory_exchange(s->f->memory, 0, TEST_PAGES / 2, TEST_PAGES / 2);

	pin(s, 2, 6);
	request.length = npages * PAGE_SIZE;
	request.iova = TEST_IOVA;
	KUNIT_ASSERT_EQ(s->test, copy_request(other, COPY_IOVA + 2 * PAGE_SIZE,
					      &s->f->iopt, &request), 0);
	expect_mapped(s->f, domain, 2, npages, TEST_IOVA);
	expect_total(s, max(6, npages) + 1);
	/* What the access gives up stays known to the slice. */
	unpin(s, 2, 6);
	second = map_domain_add(s->f, FAKE_ARM);
	expect_mapped(s->f, second, 2, npages, TEST_IOVA);
	map_domain_remove(s->f, domain);
	pin(s, 2, npages);
	map_domain_remove(s->f, second);
	expect_total(s, npages);
	unpin(s, 2, npages);
	iopt_destroy(other);
	kfree(other);
}

static void fill_less_than_held(struct store *s)
{
	fill_over_stale_record(s, 4);
}

static void fill_more_than_held(struct store *s)
{
	fill_over_stale_record(s, 20);
}

static void slice_over_stale_record_and_access(struct kunit *test)
{
	run_scenario(test, fill_less_than_held);
	run_scenario(test, fill_more_than_held);
}

static void pin_bad_memory(struct store *s)
{
	user_memory_break(s->f->memory, 30);
	pin(s, 4, 8);
	KUNIT_EXPECT_EQ(s->test, iopt_pages_add_access(s->pages, 0, 40, s->out),
			-EFAULT);
	expect_total(s, 8);
	KUNIT_EXPECT_EQ(s->test, iopt_pages_add_access(s->pages, 30, 1, s->out),
			-EFAULT);
	expect_pins(s->f, 4, 8, 1);
	unpin(s, 4, 8);
	expect_total(s, 0);
}

static void bad_memory_is_undone(struct kunit *test)
{
	run_scenario(test, pin_bad_memory);
}

static void set_memlock(unsigned long npages)
{
	task_lock(current->group_leader);
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur = npages * PAGE_SIZE;
	task_unlock(current->group_leader);
}

/* Only what is pinned anew has to be paid for, and all of it beforehand. */
static void pin_up_to_limit(struct store *s)
{
	struct rlimit *limit = &current->signal->rlim[RLIMIT_MEMLOCK];
	unsigned long before = limit->rlim_cur / PAGE_SIZE;
	unsigned long spent = s->f->locked_before;

	set_memlock(spent + 24);
	KUNIT_EXPECT_EQ(s->test, iopt_pages_add_access(s->pages, 0, 25, s->out),
			-ENOMEM);
	expect_total(s, 0);
	pin(s, 8, 10);
	pin(s, 0, 24);
	expect_total(s, 24);
	KUNIT_EXPECT_EQ(s->test, iopt_pages_add_access(s->pages, 23, 2, s->out),
			-ENOMEM);
	KUNIT_EXPECT_EQ(s->test, map_domain_try_add(s->f,
						    map_domain_make(s->f,
								    FAKE_ARM)),
			-ENOMEM);
	expect_total(s, 24);
	set_memlock(spent + TEST_PAGES);
	map_domain_remove(s->f, map_domain_add(s->f, FAKE_ARM));
	expect_total(s, 24);
	unpin(s, 0, 24);
	expect_total(s, 10);
	unpin(s, 8, 10);
	set_memlock(before);
}

static void limit_is_exact(struct kunit *test)
{
	run_scenario(test, pin_up_to_limit);
}

static int try_pin(struct store *s)
{
	return iopt_pages_add_access(s->pages, 0, TEST_PAGES, s->out);
}

static int try_fill(struct store *s)
{
	struct map_domain *domain = kzalloc(sizeof(*domain), GFP_KERNEL);
	int rc;

	if (!domain)
		return -ENOMEM;
	domain->fake = fake_domain_make(s->test, FAKE_VTD);
	if (!domain->fake) {
		kfree(domain);
		return -ENOMEM;
	}
	domain->member.io.domain = &domain->fake->domain;
	iommufd_gate_init(&domain->member.io.gate);
	rc = map_domain_try_add(s->f, domain);
	if (!rc)
		map_domain_remove(s->f, domain);
	return rc;
}

/*
 * Let one thing after the other fail: either it does without, or nothing has
 * happened.
 */
static unsigned int fail_each(struct store *s, int (*fn)(struct store *s))
{
	unsigned long total = s->pages->npinned;
	unsigned int nth = 0, nr_failed = 0;
	bool fired;
	int rc;

	do {
		fault_arm(++nth);
		rc = fn(s);
		fired = fault_disarm();
		nr_failed += !!rc;
		if (rc && rc != -EFAULT)
			KUNIT_EXPECT_EQ(s->test, rc, -ENOMEM);
		/* Giving back makes do with what it gets. */
		fault_arm(1);
		if (!rc && fn == try_pin)
			unpin(s, 0, TEST_PAGES);
		fault_disarm();
		expect_total(s, total);
	} while ((fired || rc) && nth < 1000);
	return nr_failed;
}

static void fail_everything(struct store *s)
{
	struct map_domain *domain;

	KUNIT_EXPECT_GT(s->test, fail_each(s, try_pin), 2);
	/* Next to pins, which are there twice. */
	pin(s, 2, 30);
	pin(s, 40, 1);
	KUNIT_EXPECT_GT(s->test, fail_each(s, try_pin), 2);
	KUNIT_EXPECT_GT(s->test, fail_each(s, try_fill), 2);
	/* And next to a slice. */
	domain = map_domain_add(s->f, FAKE_AMD);
	KUNIT_EXPECT_GT(s->test, fail_each(s, try_pin), 0);
	KUNIT_EXPECT_GT(s->test, fail_each(s, try_fill), 2);
	map_domain_remove(s->f, domain);
	unpin(s, 2, 30);
	unpin(s, 40, 1);
}

static void whatever_fails_nothing_is_left(struct kunit *test)
{
	if (!fault_prepare(test))
		kunit_skip(test, "no fault injection in this kernel");
	run_scenario(test, fail_everything);
}

/* Pages of the current process, from an address on, in no map. */
static struct iopt_pages *make_pages(unsigned long uptr,
				     enum iopt_account_mode account_mode)
{
	struct iopt_pages *pages = kzalloc(sizeof(*pages), GFP_KERNEL);
	struct iopt_owner_cache cache;

	if (!pages)
		return NULL;
	iopt_owner_cache_init(&cache);
	pages->owner = iopt_owner_get(&cache, account_mode);
	iopt_owner_cache_clear(&cache);
	if (!pages->owner) {
		kfree(pages);
		return NULL;
	}
	iopt_pages_init_user(pages, pages->owner, uptr, true);
	return pages;
}

/* A task with an mm of its own that is gone before its pages are. */
static int orphan_pages(struct map_task *task)
{
	struct iopt_pages **out_pages = task->arg;
	struct mm_struct *mm = mm_alloc();
	struct page *out[8];
	unsigned long uptr;
	int rc = -ENOMEM;

	if (!mm)
		return rc;
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(mm);
	uptr = vm_mmap(NULL, 0, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	*out_pages = make_pages(uptr, IOPT_ACCOUNT_MM);
	if (*out_pages && !IS_ERR_VALUE(uptr)) {
		rc = iopt_pages_add_access(*out_pages, 4, 8, out);
		rc = rc ?: iopt_pages_add_access(*out_pages, 6, 1, out);
	}
	kthread_unuse_mm(mm);
	mmput(mm);
	return rc;
}

static void mm_goes_before_the_pins(struct kunit *test)
{
	struct map_fixture *f = map_fixture_make(test, 1, 1);
	struct iopt_pages *pages = NULL;
	struct map_task task = { .f = f, .fn = orphan_pages, .arg = &pages };
	struct page *out[8];
	unsigned long data = 1;
	struct iopt_rw rw = { .length = sizeof(data), .data = &data };

	map_task_start(&task);
	KUNIT_ASSERT_EQ(test, map_task_join(&task), 0);
	KUNIT_ASSERT_EQ(test, atomic_read(&pages->owner->mm->mm_users), 0);
	KUNIT_EXPECT_EQ(test, pages->npinned, 8);
	KUNIT_EXPECT_EQ(test, pages->owner->mm->locked_vm, 8);

	/* What is pinned is there; what is not cannot be had any more. */
	KUNIT_EXPECT_EQ(test, iopt_pages_add_access(pages, 4, 8, out), 0);
	KUNIT_EXPECT_EQ(test, iopt_pages_add_access(pages, 3, 2, out), -EFAULT);
	KUNIT_EXPECT_EQ(test, iopt_pages_add_access(pages, 11, 2, out),
			-EFAULT);
	rw.first_byte = 4 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, copy_through_slice(pages, &rw), 0);
	KUNIT_EXPECT_EQ(test, data, 0);
	rw = (struct iopt_rw){ .length = sizeof(data), .data = &data };
	KUNIT_EXPECT_EQ(test, copy_through_slice(pages, &rw), -EFAULT);

	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 4, 8));
	KUNIT_EXPECT_EQ(test, pages->owner->mm->locked_vm, 8);
	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 4, 8));
	KUNIT_EXPECT_EQ(test, pages->owner->mm->locked_vm, 1);
	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 6, 1));
	KUNIT_EXPECT_EQ(test, pages->owner->mm->locked_vm, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&pages->owner->mm->pinned_vm), 0);
	iopt_pages_put(pages);
	map_fixture_end(f);
}

#define MANY_PAGES 5000

/* In small pages, so that each can be told from its neighbour by its pins. */
static struct iopt_pages *many_pages(struct kunit *test)
{
	struct iopt_pages *pages;
	unsigned long uptr;

	uptr = kunit_vm_mmap(test, NULL, 0, MANY_PAGES * PAGE_SIZE,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_NE(test, uptr, 0);
	set_bit(MMF_DISABLE_THP, &current->mm->flags);
	pages = make_pages(uptr, IOPT_ACCOUNT_NONE);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	return pages;
}

/* More than is done in one batch, or under one hold of a lock. */
static void many_pages_at_once(struct kunit *test)
{
	struct iopt_pages *pages = many_pages(test);
	struct page **out = kvcalloc(2 * MANY_PAGES, sizeof(*out), GFP_KERNEL);
	struct page **again = out + MANY_PAGES;

	KUNIT_ASSERT_NOT_NULL(test, out);
	KUNIT_EXPECT_EQ(test, iopt_pages_add_access(pages, 0, MANY_PAGES, out),
			0);
	KUNIT_EXPECT_EQ(test, iopt_pages_add_access(pages, 1000, 3000, again),
			0);
	KUNIT_EXPECT_EQ(test, memcmp(out + 1000, again, 3000 * sizeof(*out)),
			0);
	KUNIT_EXPECT_EQ(test, pages->npinned, MANY_PAGES);
	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 0, MANY_PAGES));
	KUNIT_EXPECT_EQ(test, pages->npinned, 3000);
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(page_folio(out[999])));
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(out[1000])));
	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 1000, 3000));
	KUNIT_EXPECT_EQ(test, pages->npinned, 0);
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(page_folio(out[1000])));
	iopt_pages_put(pages);
	kvfree(out);
}

/* More than can be counted in one number, few enough for the assertions. */
#define COUNTED_PAGES 1500UL
#define COUNTED_OPERATIONS 4000

/**
 * struct counted - pages, and how many pins there ought to be on each
 * @test: the test
 * @pages: the pages
 * @pins: so many
 * @known: the pages, as far as @pins is more than 0
 * @out: what the last pin gave
 * @rnd: where the ranges come from
 */
struct counted {
	struct kunit *test;
	struct iopt_pages *pages;
	u32 pins[COUNTED_PAGES];
	struct page *known[COUNTED_PAGES];
	struct page *out[COUNTED_PAGES];
	struct rnd_state rnd;
};

/* Mostly one of a few, so that they come again, meet and overlap. */
static void counted_range(struct counted *c, unsigned long *first,
			  unsigned long *npages)
{
	static const unsigned long firsts[] = { 0, 64, 71, 200, 576, 1100 };
	static const unsigned long lengths[] = { 1, 15, 16, 64, 512, 1200 };
	u32 rnd = prandom_u32_state(&c->rnd);

	*first = firsts[rnd % ARRAY_SIZE(firsts)];
	*npages = lengths[rnd / 8 % ARRAY_SIZE(lengths)];
	if (rnd >> 28 == 0)
		*first = prandom_u32_state(&c->rnd) % COUNTED_PAGES;
	if (rnd >> 28 <= 1)
		*npages = 1 + prandom_u32_state(&c->rnd) % COUNTED_PAGES;
	*npages = min(*npages, COUNTED_PAGES - *first);
}

static void counted_told(struct counted *c, unsigned long index,
			 struct page *page)
{
	if (!c->pins[index]++)
		c->known[index] = page;
	else if (page != c->known[index])
		KUNIT_FAIL(c->test, "page %lu is not what was pinned", index);
}

static void counted_pin(struct counted *c)
{
	unsigned long first, npages;
	bool done = false;

	counted_range(c, &first, &npages);
	if (prandom_u32_state(&c->rnd) % 2) {
		done = iopt_pages_try_pin_again(c->pages, first, npages,
						c->out);
		if (npages == 1)
			KUNIT_EXPECT_EQ(c->test, done, c->pins[first] > 0);
	}
	if (!done)
		KUNIT_ASSERT_EQ(c->test, iopt_pages_add_access(c->pages, first,
							       npages, c->out),
				0);
	for (unsigned long i = 0; i < npages; i++)
		counted_told(c, first + i, c->out[i]);
}

/* Give back a pin of each page, whichever calls have made them. */
static void counted_unpin(struct counted *c)
{
	unsigned long first, npages, have = 0;
	bool done = false;

	counted_range(c, &first, &npages);
	while (have < npages && c->pins[first + have])
		have++;
	if (have && have < npages) {
		KUNIT_EXPECT_FALSE(c->test,
				   iopt_pages_remove_access(c->pages, first,
							    npages));
		npages = have;
	}
	if (prandom_u32_state(&c->rnd) % 2)
		done = iopt_pages_try_unpin(c->pages, first, npages);
	if (!done)
		done = iopt_pages_remove_access(c->pages, first, npages);
	KUNIT_EXPECT_EQ(c->test, done, have > 0);
	for (unsigned long i = 0; done && i < npages; i++)
		c->pins[first + i]--;
}

static void counted_check(struct counted *c)
{
	unsigned long npinned = 0;

	for (unsigned long i = 0; i < COUNTED_PAGES; i++) {
		npinned += c->pins[i] > 0;
		if (c->known[i] && !c->pins[i] &&
		    folio_maybe_dma_pinned(page_folio(c->known[i])))
			KUNIT_FAIL(c->test, "page %lu is still pinned", i);
	}
	KUNIT_ASSERT_EQ(c->test, c->pages->npinned, npinned);
}

static void every_pin_counts(struct kunit *test)
{
	struct counted *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->test = test;
	c->pages = many_pages(test);
	prandom_seed_state(&c->rnd, 1);
	for (unsigned int i = 0; i < COUNTED_OPERATIONS; i++) {
		/* There are few pins at times, and many at others. */
		if (prandom_u32_state(&c->rnd) % 8 < 3 + i / 256 % 2)
			counted_pin(c);
		else
			counted_unpin(c);
		counted_check(c);
		cond_resched();
	}
	for (unsigned long i = 0; i < COUNTED_PAGES; i++) {
		while (c->pins[i]) {
			KUNIT_ASSERT_TRUE(test,
					  iopt_pages_remove_access(c->pages, i,
								   1));
			c->pins[i]--;
		}
	}
	counted_check(c);
	iopt_pages_put(c->pages);
}

/* Where nothing has to be waited for, and where something has. */
static void at_once_needs_an_idle_object(struct kunit *test)
{
	struct iopt_pages *pages = many_pages(test);
	struct iopt_busy elsewhere = { .first_index = 9, .last_index = 9 };
	struct page *out[2];

	KUNIT_EXPECT_FALSE(test, iopt_pages_try_pin_again(pages, 0, 1, out));
	KUNIT_EXPECT_FALSE(test, iopt_pages_try_unpin(pages, 0, 1));
	KUNIT_ASSERT_EQ(test, iopt_pages_add_access(pages, 0, 1, out), 0);
	/* The last pin is not given back like this. */
	KUNIT_EXPECT_FALSE(test, iopt_pages_try_unpin(pages, 0, 1));
	KUNIT_EXPECT_TRUE(test, iopt_pages_try_pin_again(pages, 0, 1, out + 1));
	KUNIT_EXPECT_PTR_EQ(test, out[0], out[1]);

	KUNIT_ASSERT_TRUE(test, iopt_pages_trylock_range(pages, &elsewhere));
	KUNIT_EXPECT_FALSE(test, iopt_pages_try_pin_again(pages, 0, 1, out));
	KUNIT_EXPECT_FALSE(test, iopt_pages_try_unpin(pages, 0, 1));
	iopt_pages_unlock_range(pages, &elsewhere);

	KUNIT_EXPECT_TRUE(test, iopt_pages_try_unpin(pages, 0, 1));
	KUNIT_EXPECT_FALSE(test, iopt_pages_try_unpin(pages, 0, 1));
	KUNIT_EXPECT_TRUE(test, iopt_pages_remove_access(pages, 0, 1));
	iopt_pages_put(pages);
}

static struct kunit_case pages_access_cases[] = {
	KUNIT_CASE(pins_are_given_back_in_any_pieces),
	KUNIT_CASE(overlapping_pins_count),
	KUNIT_CASE(unpin_of_unpinned_is_refused),
	KUNIT_CASE(access_takes_over_from_slice),
	KUNIT_CASE(slice_takes_over_from_access),
	KUNIT_CASE(domain_leaves_what_accesses_hold),
	KUNIT_CASE(held_page_does_not_cut_a_leaf),
	KUNIT_CASE(every_other_page_is_held),
	KUNIT_CASE(stale_record_does_not_win),
	KUNIT_CASE(slice_over_stale_record_and_access),
	KUNIT_CASE(bad_memory_is_undone),
	KUNIT_CASE(limit_is_exact),
	KUNIT_CASE(whatever_fails_nothing_is_left),
	KUNIT_CASE(many_pages_at_once),
	KUNIT_CASE(every_pin_counts),
	KUNIT_CASE(at_once_needs_an_idle_object),
	KUNIT_CASE(mm_goes_before_the_pins),
	{}
};

static struct kunit_suite pages_access_suite = {
	.name = "iommufd_pages_access",
	.test_cases = pages_access_cases,
};

kunit_test_suite(pages_access_suite);
