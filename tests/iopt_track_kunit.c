// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking of a whole map: the bits of all domains, and what becomes of them
 * when a driver fails, or somebody comes or goes.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "map_fixture.h"

#define IOVA	((unsigned long)SZ_1G)
#define PAGES	64

/**
 * struct track_fixture - a map of pages that are no neighbours, and a bitmap
 * @f: the map; the page behind those that are mapped is the bitmap's
 * @request: a bit for each of the pages, and as many behind
 * @bits: what came of the last read
 */
struct track_fixture {
	struct map_fixture *f;
	struct iopt_dirty_request request;
	DECLARE_BITMAP(bits, 2 * PAGES);
};

static struct track_fixture *track_make(struct kunit *test)
{
	struct track_fixture *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->f = map_fixture_make(test, PAGES + 1, 1);
	t->request.first_iova = IOVA;
	t->request.last_iova = IOVA + 2 * PAGES * PAGE_SIZE - 1;
	t->request.page_size = PAGE_SIZE;
	t->request.data = (void __user *)(t->f->memory->uptr + PAGES * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, map_pages_at(t->f, 0, PAGES, IOVA), 0);
	return t;
}

static void track_end(struct track_fixture *t)
{
	unsigned long unmapped_bytes;

	KUNIT_EXPECT_EQ(t->f->test, iopt_unmap_all(&t->f->iopt, &unmapped_bytes),
			0);
	map_fixture_end(t->f);
}

static void write_page(struct map_domain *domain, unsigned long page)
{
	fake_domain_write(domain->fake, IOVA + page * PAGE_SIZE);
}

/* What a read adds to the bits of those before. */
static int collect(struct track_fixture *t)
{
	int rc = iopt_collect_dirty(&t->f->iopt, &t->request);

	KUNIT_ASSERT_EQ(t->f->test, copy_from_user(t->bits, t->request.data,
						   sizeof(t->bits)), 0);
	return rc;
}

static void forget_bits(struct track_fixture *t)
{
	KUNIT_ASSERT_EQ(t->f->test, clear_user(t->request.data, sizeof(t->bits)),
			0);
}

/* Return: so many pages are dirty. */
static unsigned int count_dirty(struct track_fixture *t)
{
	forget_bits(t);
	KUNIT_EXPECT_EQ(t->f->test, collect(t), 0);
	return bitmap_weight(t->bits, 2 * PAGES);
}

static void collects_from_all(struct kunit *test)
{
	struct track_fixture *t = track_make(test);
	struct map_domain *first = map_domain_add(t->f, FAKE_VTD);
	struct map_domain *second = map_domain_add(t->f, FAKE_ARM), *third;

	KUNIT_EXPECT_TRUE(test, iopt_can_track(&t->f->iopt));
	KUNIT_EXPECT_EQ(test, collect(t), -EINVAL);
	KUNIT_ASSERT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
	third = map_domain_add(t->f, FAKE_AMD);
	KUNIT_EXPECT_TRUE(test, third->fake->tracks_dirty);
	KUNIT_EXPECT_EQ(test, count_dirty(t), 0);
	write_page(first, 1);
	write_page(second, 2);
	write_page(second, 1);
	write_page(third, 63);
	KUNIT_EXPECT_EQ(test, count_dirty(t), 3);
	KUNIT_EXPECT_TRUE(test, test_bit(1, t->bits));
	KUNIT_EXPECT_TRUE(test, test_bit(2, t->bits));
	KUNIT_EXPECT_TRUE(test, test_bit(63, t->bits));
	KUNIT_EXPECT_EQ(test, count_dirty(t), 0);

	KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
	KUNIT_EXPECT_FALSE(test, first->fake->tracks_dirty);
	KUNIT_EXPECT_FALSE(test, second->fake->tracks_dirty);
	KUNIT_EXPECT_FALSE(test, third->fake->tracks_dirty);
	map_domain_remove(t->f, first);
	map_domain_remove(t->f, second);
	map_domain_remove(t->f, third);
	track_end(t);
}

/*
 * Whichever domain's driver stops half way: the next read tells all, to a program that
 * has thrown away what it was told, and so does each after that.
 */
static void driver_stops_half_way(struct kunit *test)
{
	struct track_fixture *t = track_make(test);
	struct map_domain *domains[] = {
		map_domain_add(t->f, FAKE_VTD),
		map_domain_add(t->f, FAKE_AMD),
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(domains); i++) {
		struct fake_domain *fake = domains[i]->fake;

		KUNIT_ASSERT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
		for (unsigned long page = 0; page < PAGES; page++)
			write_page(domains[page % 2], page);
		forget_bits(t);
		fake->fail_dirty = 1;
		KUNIT_EXPECT_EQ(test, collect(t), -EIO);
		KUNIT_EXPECT_LT(test, bitmap_weight(t->bits, PAGES), PAGES);
		KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);
		KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);
		KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
		KUNIT_ASSERT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
		KUNIT_EXPECT_EQ(test, count_dirty(t), 0);
		KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
	}
	/* a start forgets what is dirty, and that can fail as well */
	domains[1]->fake->fail_dirty = 1;
	KUNIT_EXPECT_EQ(test, iopt_start_tracking(&t->f->iopt), -EIO);
	KUNIT_EXPECT_FALSE(test, domains[0]->fake->tracks_dirty);
	KUNIT_EXPECT_FALSE(test, domains[1]->fake->tracks_dirty);
	KUNIT_EXPECT_EQ(test, collect(t), -EINVAL);
	map_domain_remove(t->f, domains[0]);
	map_domain_remove(t->f, domains[1]);
	track_end(t);
}

static void loses_track(struct kunit *test)
{
	struct track_fixture *t = track_make(test);
	struct map_domain *able = map_domain_add(t->f, FAKE_AMD);
	struct map_domain *unable = map_domain_make(t->f, FAKE_VTD);
	struct iopt_user user = { .iova_alignment = PAGE_SIZE };

	unable->fake->domain.dirty_ops = NULL;
	KUNIT_ASSERT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
	KUNIT_EXPECT_EQ(test, count_dirty(t), 0);
	KUNIT_ASSERT_EQ(test, map_domain_try_add(t->f, unable), 0);
	KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);
	map_domain_remove(t->f, unable);
	KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);

	KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
	KUNIT_EXPECT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
	KUNIT_EXPECT_EQ(test, count_dirty(t), 0);
	KUNIT_ASSERT_EQ(test, iopt_user_add(&t->f->iopt, &user), 0);
	KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);
	iopt_user_stop(&t->f->iopt, &user);
	iopt_user_remove(&t->f->iopt, &user);
	KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);

	/* what writes with the CPU leaves no trace at all */
	KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
	KUNIT_ASSERT_EQ(test, iopt_user_add(&t->f->iopt, &user), 0);
	KUNIT_EXPECT_FALSE(test, iopt_can_track(&t->f->iopt));
	KUNIT_EXPECT_EQ(test, iopt_start_tracking(&t->f->iopt), -EOPNOTSUPP);
	iopt_user_stop(&t->f->iopt, &user);
	iopt_user_remove(&t->f->iopt, &user);

	KUNIT_EXPECT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
	map_domain_remove(t->f, able);
	KUNIT_EXPECT_EQ(test, count_dirty(t), PAGES);
	KUNIT_EXPECT_TRUE(test, iopt_can_track(&t->f->iopt));
	KUNIT_EXPECT_EQ(test, iopt_stop_tracking(&t->f->iopt), 0);
	KUNIT_EXPECT_FALSE(test, iopt_can_track(&t->f->iopt));
	KUNIT_EXPECT_EQ(test, iopt_start_tracking(&t->f->iopt), -EOPNOTSUPP);
	track_end(t);
}

/* No bit is asked for, and none is cleared. */
static void assumes_dirty(struct kunit *test)
{
	struct track_fixture *t = track_make(test);
	struct map_domain *domain = map_domain_add(t->f, FAKE_ARM);
	struct fake_view view;
	unsigned int nr_reads;

	KUNIT_ASSERT_EQ(test, iopt_start_tracking(&t->f->iopt), 0);
	write_page(domain, 5);
	nr_reads = domain->fake->nr_dirty_reads;
	forget_bits(t);
	KUNIT_EXPECT_EQ(test, iopt_assume_dirty(&t->f->iopt, &t->request), 0);
	KUNIT_ASSERT_EQ(test, copy_from_user(t->bits, t->request.data,
					     sizeof(t->bits)), 0);
	KUNIT_EXPECT_EQ(test, find_first_zero_bit(t->bits, 2 * PAGES), PAGES);
	KUNIT_EXPECT_EQ(test, bitmap_weight(t->bits, 2 * PAGES), PAGES);
	KUNIT_EXPECT_EQ(test, domain->fake->nr_dirty_reads, nr_reads);
	KUNIT_EXPECT_TRUE(test, fake_domain_view(domain->fake,
						 IOVA + 5 * PAGE_SIZE, &view));
	KUNIT_EXPECT_TRUE(test, view.dirty);
	t->request.last_iova -= 1;
	KUNIT_EXPECT_EQ(test, iopt_assume_dirty(&t->f->iopt, &t->request), -EINVAL);
	KUNIT_EXPECT_EQ(test, iopt_collect_dirty(&t->f->iopt, &t->request), -EINVAL);
	map_domain_remove(t->f, domain);
	track_end(t);
}

static struct kunit_case iopt_track_cases[] = {
	KUNIT_CASE(collects_from_all),
	KUNIT_CASE(driver_stops_half_way),
	KUNIT_CASE(loses_track),
	KUNIT_CASE(assumes_dirty),
	{}
};

static struct kunit_suite iopt_track_suite = {
	.name = "iommufd_iopt_track",
	.test_cases = iopt_track_cases,
};

kunit_test_suite(iopt_track_suite);
