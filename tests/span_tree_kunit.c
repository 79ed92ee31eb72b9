// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the small interval trees: one is filled and emptied again and again in
 * random order, and the reference is to look at each range.
 */
#include <kunit/test.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../span_tree.h"

#define SPANS 12
#define INDEXES 40

/**
 * struct fixture - a tree and what should be in it
 * @tree: under test
 * @spans: what may be in it
 * @is_in: and what is
 * @rnd: source of random numbers
 */
struct fixture {
	struct span_tree tree;
	struct interval_tree_node spans[SPANS];
	bool is_in[SPANS];
	struct rnd_state rnd;
};

static unsigned int random_below(struct fixture *f, unsigned int limit)
{
	return prandom_u32_state(&f->rnd) % limit;
}

static void turn_over(struct fixture *f, unsigned int i)
{
	struct interval_tree_node *span = &f->spans[i];

	if (f->is_in[i]) {
		span_tree_remove(&f->tree, span);
	} else {
		span->start = random_below(f, INDEXES);
		span->last = span->start + random_below(f, INDEXES / 4);
		span_tree_insert(&f->tree, span);
	}
	f->is_in[i] = !f->is_in[i];
}

static unsigned int count(const struct fixture *f)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SPANS; i++)
		n += f->is_in[i];
	return n;
}

static bool meets(const struct fixture *f, unsigned int i, unsigned long start,
		  unsigned long last)
{
	return f->is_in[i] && f->spans[i].start <= last &&
	       f->spans[i].last >= start;
}

/* Where the lowest range begins that meets another; ULONG_MAX if none does. */
static unsigned long lowest_start(const struct fixture *f, unsigned long start,
				  unsigned long last)
{
	unsigned long lowest = ULONG_MAX;

	for (unsigned int i = 0; i < SPANS; i++)
		if (meets(f, i, start, last))
			lowest = min(lowest, f->spans[i].start);
	return lowest;
}

static void expect_first(struct kunit *test, unsigned long start,
			 unsigned long last)
{
	struct fixture *f = test->priv;
	struct interval_tree_node *span = span_tree_first(&f->tree, start, last);
	unsigned long lowest = lowest_start(f, start, last);

	if (lowest == ULONG_MAX) {
		KUNIT_ASSERT_NULL(test, span);
		return;
	}
	KUNIT_ASSERT_NOT_NULL(test, span);
	KUNIT_ASSERT_EQ(test, span->start, lowest);
	KUNIT_ASSERT_TRUE(test, meets(f, span - f->spans, start, last));
}

static void expect_all_in_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct interval_tree_node *span;
	unsigned long start = 0;
	unsigned int n = 0;

	for (span = span_tree_first(&f->tree, 0, ULONG_MAX); span;
	     span = interval_tree_iter_next(span, 0, ULONG_MAX)) {
		KUNIT_ASSERT_TRUE(test, f->is_in[span - f->spans]);
		KUNIT_ASSERT_GE(test, span->start, start);
		start = span->start;
		n++;
	}
	KUNIT_ASSERT_EQ(test, n, count(f));
}

static void tree_knows_what_was_inserted(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int round, limit = SPANS;

	for (round = 0; round < 20000; round++) {
		unsigned long start = random_below(f, INDEXES);
		unsigned int n;

		/* Now many ranges, now one or none. */
		if (!(round % 500))
			limit = 1 + random_below(f, SPANS);
		n = random_below(f, SPANS);
		if (f->is_in[n] || count(f) < limit)
			turn_over(f, n);
		n = count(f);
		KUNIT_ASSERT_EQ(test, span_tree_is_empty(&f->tree), !n);
		KUNIT_ASSERT_EQ(test, !!span_tree_only(&f->tree), n == 1);
		expect_first(test, start, start + random_below(f, INDEXES));
		expect_all_in_order(test);
	}
}

static int span_tree_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u64 seed = get_random_u64();

	if (!f)
		return -ENOMEM;
	kunit_info(test, "seed 0x%llx", seed);
	prandom_seed_state(&f->rnd, seed);
	test->priv = f;
	return 0;
}

static struct kunit_case span_tree_cases[] = {
	KUNIT_CASE(tree_knows_what_was_inserted),
	{}
};

static struct kunit_suite span_tree_suite = {
	.name = "iommufd_span_tree",
	.init = span_tree_test_init,
	.test_cases = span_tree_cases,
};

kunit_test_suite(span_tree_suite);

MODULE_DESCRIPTION("Tests of iommufd's small interval trees");
MODULE_LICENSE("GPL");
