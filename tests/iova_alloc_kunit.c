// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the map of used IOVA and of the search for an unused range.
 *
 * Most run in a universe of a few addresses, where the reference is to try every
 * address. The universe is put at either end of the address space and in its
 * middle, since what goes wrong goes wrong at the ends.
 */
#include <kunit/test.h>
#include <linux/interval_tree.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>

#include "../iova_alloc.h"

#define UNIVERSE 128
#define MAX_RANGES 8

/**
 * struct fixture - a map and what should be in it
 * @map: under test
 * @search: under test; its trees are below
 * @reserved: argument of @search
 * @allowed: argument of @search
 * @base: address that the universe starts at
 * @nodes: element i may be in @map and then starts at @base + i
 * @refused: a range that starts where another does
 * @used: what address belongs to what node, NULL if to none
 * @is_reserved: what addresses are reserved
 * @allowed_by: number of the allowed range an address belongs to, 0 for none
 * @reserved_ranges: nodes for @reserved
 * @allowed_ranges: nodes for @allowed
 * @nreserved: how many of them are in use
 * @nallowed: how many of them are in use
 * @rnd: source of random numbers
 */
struct fixture {
	struct iova_map map;
	struct iova_search search;
	struct rb_root_cached reserved;
	struct rb_root_cached allowed;
	unsigned long base;
	struct iova_node nodes[UNIVERSE];
	struct iova_node refused;
	struct iova_node *used[UNIVERSE];
	bool is_reserved[UNIVERSE];
	u8 allowed_by[UNIVERSE];
	struct interval_tree_node reserved_ranges[MAX_RANGES];
	struct interval_tree_node allowed_ranges[MAX_RANGES];
	unsigned int nreserved;
	unsigned int nallowed;
	struct rnd_state rnd;
};

static int live_nodes;

static const unsigned long bases[] = {
	0, ULONG_MAX / 2 - UNIVERSE / 2, ULONG_MAX - (UNIVERSE - 1),
};

static u32 random_below(struct fixture *f, u32 limit)
{
	return prandom_u32_state(&f->rnd) % limit;
}

static void seed_random(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 seed = get_random_u64();

	kunit_info(test, "seed 0x%llx", seed);
	prandom_seed_state(&f->rnd, seed);
}

/* Use the addresses from @first to @last of the universe. */
static int use(struct fixture *f, unsigned int first, unsigned int last)
{
	struct iova_node *node = &f->nodes[first];
	unsigned int i;
	int rc;

	/* A node that is in the map must not be touched. */
	if (f->used[first] == node)
		node = &f->refused;
	node->first_iova = f->base + first;
	node->last_iova = f->base + last;
	rc = iova_map_insert(&f->map, node);
	if (rc)
		return rc;
	live_nodes++;
	for (i = first; i <= last; i++)
		f->used[i] = node;
	return 0;
}

static void unuse(struct fixture *f, struct iova_node *node)
{
	unsigned int i;

	iova_map_erase(&f->map, node);
	live_nodes--;
	for (i = 0; i < UNIVERSE; i++)
		if (f->used[i] == node)
			f->used[i] = NULL;
}

static void unuse_all(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < UNIVERSE; i++)
		if (f->used[i])
			unuse(f, f->used[i]);
}

static void reserve(struct fixture *f, unsigned int first, unsigned int last)
{
	struct interval_tree_node *range = &f->reserved_ranges[f->nreserved++];
	unsigned int i;

	range->start = f->base + first;
	range->last = f->base + last;
	interval_tree_insert(range, &f->reserved);
	for (i = first; i <= last; i++)
		f->is_reserved[i] = true;
}

static void allow(struct fixture *f, unsigned int first, unsigned int last)
{
	struct interval_tree_node *range = &f->allowed_ranges[f->nallowed++];
	unsigned int i;

	range->start = f->base + first;
	range->last = f->base + last;
	interval_tree_insert(range, &f->allowed);
	for (i = first; i <= last; i++)
		f->allowed_by[i] = f->nallowed;
}

/* An empty universe in which everything may be used. */
static void renew(struct fixture *f, unsigned long base)
{
	unuse_all(f);
	f->base = base;
	f->nreserved = 0;
	f->nallowed = 0;
	f->reserved = RB_ROOT_CACHED;
	f->allowed = RB_ROOT_CACHED;
	memset(f->is_reserved, 0, sizeof(f->is_reserved));
	memset(f->allowed_by, 0, sizeof(f->allowed_by));
	f->search = (struct iova_search){
		.map = &f->map,
		.reserved = &f->reserved,
		.allowed = &f->allowed,
		.first_limit = base,
		.last_limit = base + (UNIVERSE - 1),
		.length = 1,
		.alignment = 1,
	};
}

/* The reference: may the range wanted be at address @first of the universe? */
static bool is_good(struct fixture *f, unsigned int first)
{
	const struct iova_search *s = &f->search;
	unsigned int i;

	if (!IS_ALIGNED(f->base + first, s->alignment) ||
	    f->base + first < s->first_limit || s->length > UNIVERSE - first ||
	    f->base + first + s->length - 1 > s->last_limit)
		return false;
	for (i = first; i < first + s->length; i++)
		if (f->used[i] || f->is_reserved[i] ||
		    (f->nallowed && !f->allowed_by[i]) ||
		    f->allowed_by[i] != f->allowed_by[first])
			return false;
	return true;
}

static int lowest_good(struct fixture *f)
{
	int first;

	for (first = 0; first < UNIVERSE; first++)
		if (is_good(f, first))
			return first;
	return -ENOSPC;
}

/* What the search finds, as place in the universe. */
static int find(struct fixture *f)
{
	unsigned long iova;
	int rc;

	do {
		rc = iova_alloc_find(&f->search, &iova);
	} while (rc == -EAGAIN);
	if (rc)
		return rc;
	return iova - f->base < UNIVERSE ? iova - f->base : -ERANGE;
}

/* A result has to exist when there is one, and be good; not always lowest. */
static bool finds_what_there_is(struct fixture *f)
{
	int lowest = lowest_good(f);
	int found = find(f);

	if (lowest < 0 || found < 0)
		return lowest == found;
	return is_good(f, found) &&
	       (f->search.alignment > 1 || lowest == found);
}

static void empty_map_has_nothing(struct kunit *test)
{
	struct fixture *f = test->priv;

	renew(f, 0);
	KUNIT_EXPECT_TRUE(test, iova_map_is_empty(&f->map));
	KUNIT_EXPECT_NULL(test, iova_map_find_from(&f->map, 0));
	KUNIT_EXPECT_NULL(test, iova_map_find(&f->map, 0, ULONG_MAX));
	KUNIT_EXPECT_TRUE(test, iova_map_assert(&f->map));
}

/* All pairs of ranges within a few addresses. */
static void insert_refuses_overlap(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int few = 7;
	unsigned int first, last, other, other_last, b;

	for (b = 0; b < ARRAY_SIZE(bases) * few * few * few * few; b++) {
		first = b % few;
		last = b / few % few;
		other = b / few / few % few;
		other_last = b / few / few / few % few;
		if (last < first || other_last < other)
			continue;
		renew(f, bases[b / few / few / few / few]);
		if (f->base)
			f->base += UNIVERSE - few;
		KUNIT_ASSERT_EQ(test, use(f, first, last), 0);
		KUNIT_ASSERT_EQ(test, use(f, other, other_last),
				other_last < first || other > last ? 0 :
								     -EEXIST);
		KUNIT_ASSERT_TRUE(test, iova_map_assert(&f->map));
	}
}

static void whole_address_space_is_one_range(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct iova_node all = { .last_iova = ULONG_MAX };
	unsigned long iova;

	renew(f, 0);
	KUNIT_EXPECT_EQ(test, iova_map_insert(&f->map, &all), 0);
	KUNIT_EXPECT_TRUE(test, iova_map_assert(&f->map));
	KUNIT_EXPECT_EQ(test, use(f, 3, 4), -EEXIST);
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);
	KUNIT_EXPECT_PTR_EQ(test, iova_map_find(&f->map, 9, 9), &all);
	iova_map_erase(&f->map, &all);
	KUNIT_EXPECT_TRUE(test, iova_map_is_empty(&f->map));
}

/* Five ranges, erased in every order. */
static void erase_in_any_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int few = 5;
	unsigned int order, i, b;

	for (b = 0; b < ARRAY_SIZE(bases); b++)
		for (order = 0; order < 5 * 4 * 3 * 2; order++) {
			unsigned int rest = order;

			renew(f, bases[b]);
			for (i = 0; i < few; i++)
				KUNIT_ASSERT_EQ(test, 0, use(f, 3 * i, 3 * i + i % 3));
			for (i = few; i; rest /= i--) {
				struct iova_node *node = iova_map_find_from(&f->map, 0);
				unsigned int skip = rest % i;

				while (skip--)
					node = iova_map_next(node);
				unuse(f, node);
				KUNIT_ASSERT_TRUE(test,
						  iova_map_assert(&f->map));
			}
			KUNIT_ASSERT_TRUE(test, iova_map_is_empty(&f->map));
		}
}

static void randomly_change(struct fixture *f)
{
	unsigned int first = random_below(f, UNIVERSE);
	unsigned int last = min(first + random_below(f, 4), UNIVERSE - 1);

	if (f->used[first] && random_below(f, 2))
		unuse(f, f->used[first]);
	else
		use(f, first, last);
}

static void random_changes_keep_the_tree_in_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int b, i;

	seed_random(test);
	for (b = 0; b < ARRAY_SIZE(bases); b++) {
		renew(f, bases[b]);
		for (i = 0; i < 2000; i++) {
			randomly_change(f);
			KUNIT_ASSERT_TRUE(test, iova_map_assert(&f->map));
		}
	}
}

static struct iova_node *used_between(struct fixture *f, unsigned int first,
				      unsigned int last)
{
	for (; first <= last; first++)
		if (f->used[first])
			return f->used[first];
	return NULL;
}

static void find_gives_the_lowest_of_the_range(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int first, last, b, i;

	seed_random(test);
	for (b = 0; b < ARRAY_SIZE(bases); b++) {
		renew(f, bases[b]);
		for (i = 0; i < 40; i++)
			randomly_change(f);
		for (first = 0; first < UNIVERSE; first++) {
			KUNIT_ASSERT_PTR_EQ(test, used_between(f, first, UNIVERSE - 1),
					    iova_map_find_from(&f->map, f->base + first));
			for (last = first; last < UNIVERSE; last++)
				KUNIT_ASSERT_PTR_EQ(test, used_between(f, first, last),
						    iova_map_find(&f->map,
								  f->base + first,
								  f->base + last));
		}
	}
}

static void next_visits_all_in_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct iova_node *node;
	unsigned int i;

	seed_random(test);
	renew(f, 0);
	for (i = 0; i < 100; i++)
		randomly_change(f);
	node = iova_map_find_from(&f->map, 0);
	for (i = 0; i < UNIVERSE; i++) {
		if (f->used[i] != &f->nodes[i])
			continue;
		KUNIT_ASSERT_PTR_EQ(test, node, f->used[i]);
		node = iova_map_next(node);
	}
	KUNIT_EXPECT_NULL(test, node);
}

/* Every pattern of used addresses in a universe of twelve. */
static void search_knows_every_pattern(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int few = 12;
	u32 pattern;
	unsigned int i;

	for (pattern = 0; pattern < ARRAY_SIZE(bases) << few; pattern++) {
		renew(f, bases[pattern >> few]);
		f->search.first_limit = f->base + (f->base ? UNIVERSE - few : 0);
		f->search.last_limit = f->search.first_limit + (few - 1);
		for (i = 0; i < few; i++)
			if (pattern & BIT(i))
				use(f, f->search.first_limit - f->base + i,
				    f->search.first_limit - f->base + i);
		for (i = 0; i < 5 * 4; i++) {
			f->search.length = 1 + i % 5;
			f->search.alignment = 1UL << i / 5;
			KUNIT_ASSERT_TRUE_MSG(test, finds_what_there_is(f),
					      "pattern 0x%x length %lu alignment %lu",
					      pattern, f->search.length,
					      f->search.alignment);
		}
	}
}

static void randomly_restrict(struct fixture *f)
{
	unsigned int first = 0;
	unsigned int last, n;

	for (n = random_below(f, MAX_RANGES); n; n--) {
		first = random_below(f, UNIVERSE);
		last = first + random_below(f, UNIVERSE - first);
		reserve(f, first, min(last, first + 9));
	}
	first = 0;
	for (n = random_below(f, MAX_RANGES); n && first < UNIVERSE; n--) {
		last = min(first + random_below(f, 60), UNIVERSE - 1);
		allow(f, first, last);
		/* The next one may be adjacent. */
		first = last + 1 + random_below(f, 3) * random_below(f, 20);
	}
	first = random_below(f, UNIVERSE);
	last = random_below(f, UNIVERSE);
	if (random_below(f, 3))
		return;
	f->search.first_limit = f->base + min(first, last);
	f->search.last_limit = f->base + max(first, last);
}

static void search_keeps_all_limits(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int round, i;

	seed_random(test);
	for (round = 0; round < 3000; round++) {
		renew(f, bases[round % ARRAY_SIZE(bases)]);
		randomly_restrict(f);
		for (i = random_below(f, 100); i; i--)
			randomly_change(f);
		for (i = 0; i < 20; i++) {
			f->search.length = 1 + random_below(f, 1 << random_below(f, 7));
			f->search.alignment = 1UL << random_below(f, 6);
			f->search.max_gaps = random_below(f, 4);
			KUNIT_ASSERT_TRUE_MSG(test, finds_what_there_is(f),
					      "round %u length %lu alignment %lu",
					      round, f->search.length,
					      f->search.alignment);
		}
	}
}

/* Change something at the upper end, where most is mapped and unmapped. */
static void change_the_highest(struct fixture *f)
{
	unsigned int first = UNIVERSE;

	while (first && !f->used[first - 1])
		first--;
	if (first && random_below(f, 2))
		unuse(f, f->used[first - 1]);
	else if (first < UNIVERSE)
		use(f, first, min(first + random_below(f, 4), UNIVERSE - 1));
}

static bool finds_the_range_from(struct fixture *f, unsigned int first)
{
	return iova_map_find_from(&f->map, f->base + first) ==
	       used_between(f, first, UNIVERSE - 1);
}

/* Nothing that the map remembers is older than its last change. */
static void search_follows_every_change(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int round;

	seed_random(test);
	for (round = 0; round < 9000; round++) {
		if (!(round % 300))
			renew(f, bases[round / 300 % ARRAY_SIZE(bases)]);
		if (!(round % 100))
			reserve(f, 5 + round % 90, 9 + round % 90);
		if (round % 300 == 200)
			allow(f, 0, random_below(f, UNIVERSE));
		if (random_below(f, 4))
			change_the_highest(f);
		else
			randomly_change(f);
		f->search.length = 1 + random_below(f, 9);
		f->search.alignment = 1UL << random_below(f, 3);
		KUNIT_ASSERT_TRUE_MSG(test, finds_what_there_is(f),
				      "round %u length %lu alignment %lu", round,
				      f->search.length, f->search.alignment);
		KUNIT_ASSERT_TRUE(test, finds_the_range_from(f, random_below(f, UNIVERSE)));
	}
}

/* Where everything is made of pages, a page goes to the lowest hole. */
static void page_goes_to_the_lowest_hole(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int page = 4;
	unsigned int round, i;

	seed_random(test);
	for (round = 0; round < 500; round++) {
		renew(f, bases[round % 2 * 2]);
		for (i = 0; i < UNIVERSE; i += page)
			if (random_below(f, 4))
				use(f, i, i + page - 1);
		f->search.alignment = page;
		for (f->search.length = page; f->search.length <= 5 * page;
		     f->search.length += page)
			KUNIT_ASSERT_EQ(test, find(f), lowest_good(f));
	}
}

static void result_stays_in_one_allowed_range(struct kunit *test)
{
	struct fixture *f = test->priv;

	renew(f, 0);
	allow(f, 10, 19);
	allow(f, 20, 39);
	f->search.length = 11;
	KUNIT_EXPECT_EQ(test, find(f), 20);
	f->search.length = 10;
	KUNIT_EXPECT_EQ(test, find(f), 10);
	f->search.length = 21;
	KUNIT_EXPECT_EQ(test, find(f), -ENOSPC);
}

static void absent_trees_restrict_nothing(struct kunit *test)
{
	struct fixture *f = test->priv;

	renew(f, 0);
	f->search.reserved = NULL;
	f->search.allowed = NULL;
	f->search.length = UNIVERSE;
	KUNIT_EXPECT_EQ(test, find(f), 0);
	KUNIT_EXPECT_EQ(test, use(f, UNIVERSE - 1, UNIVERSE - 1), 0);
	KUNIT_EXPECT_EQ(test, find(f), -ENOSPC);
}

/* An aligned address above the highest one does not exist. Scenario 2. */
static void aligning_up_does_not_wrap(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int top = BITS_PER_LONG - 1;
	unsigned long iova;
	unsigned int shift;

	for (shift = 1; shift <= top; shift++) {
		renew(f, 0);
		f->search.alignment = 1UL << shift;
		/* Only what lies above the highest multiple of the alignment. */
		f->search.first_limit = -f->search.alignment + 1;
		f->search.last_limit = ULONG_MAX;
		KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);
		f->search.first_limit--;
		KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), 0);
		KUNIT_EXPECT_EQ(test, iova, -f->search.alignment);
		f->search.length = f->search.alignment;
		KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), 0);
		f->search.length++;
		KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);
	}
}

/* Ranges reserved or allowed up to the last address. Scenario 2. */
static void restrictions_reach_the_last_address(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int last = UNIVERSE - 1;

	renew(f, bases[2]);
	reserve(f, last, last);
	KUNIT_EXPECT_EQ(test, use(f, 0, last - 1), 0);
	KUNIT_EXPECT_EQ(test, find(f), -ENOSPC);
	allow(f, last - 3, last);
	KUNIT_EXPECT_EQ(test, find(f), -ENOSPC);
	unuse_all(f);
	KUNIT_EXPECT_EQ(test, find(f), last - 3);
	f->search.length = 4;
	KUNIT_EXPECT_EQ(test, find(f), -ENOSPC);
}

static void huge_lengths_do_not_overflow(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long iova;

	renew(f, 0);
	f->search.last_limit = ULONG_MAX;
	f->search.length = ULONG_MAX;
	f->search.alignment = 1UL << (BITS_PER_LONG - 1);
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), 0);
	KUNIT_EXPECT_EQ(test, iova, 0);
	f->search.first_limit = 1;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);
	f->search.alignment = 1;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), 0);
	KUNIT_EXPECT_EQ(test, iova, 1);
	f->search.first_limit = 2;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);
}

/**
 * struct crowd - many ranges
 * @f: the fixture whose map they are in
 * @nodes: the ranges
 * @n: how many
 */
struct crowd {
	struct fixture *f;
	struct iova_node *nodes;
	unsigned long n;
};

/* Ranges of one byte less than @distance, the n-th from @first + n * @distance. */
static void make_crowd(struct kunit *test, struct crowd *crowd,
		       unsigned long first, unsigned long distance)
{
	struct fixture *f = test->priv;
	unsigned long i;

	renew(f, 0);
	crowd->f = f;
	crowd->nodes = kunit_kcalloc(test, crowd->n, sizeof(crowd->nodes[0]),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, crowd->nodes);
	for (i = 0; i < crowd->n; i++) {
		crowd->nodes[i].first_iova = first + i * distance;
		crowd->nodes[i].last_iova = first + (i + 1) * distance - 2;
		KUNIT_ASSERT_EQ(test, 0,
				iova_map_insert(&f->map, &crowd->nodes[i]));
	}
	f->search.last_limit = first + crowd->n * distance - 1;
}

static void dismiss_crowd(struct crowd *crowd)
{
	unsigned long i;

	for (i = 0; i < crowd->n; i++)
		iova_map_erase(&crowd->f->map, &crowd->nodes[i]);
}

/* Ten thousand holes, none aligned, and a fitting one above. */
static void search_passes_holes_that_cannot_be_aligned(struct kunit *test)
{
	struct crowd crowd = { .n = 10000 };
	struct fixture *f = test->priv;
	unsigned long iova;

	/* Each hole is one byte with an odd address. */
	make_crowd(test, &crowd, 2, 4);
	f->search.first_limit = 1;
	f->search.alignment = 2;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -ENOSPC);

	f->search.last_limit += 4;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), 0);
	KUNIT_EXPECT_EQ(test, iova, 2 + 10000 * 4);
	dismiss_crowd(&crowd);
}

/* The search stops as often as asked, and says the same in the end. */
static void long_search_lets_others_in(struct kunit *test)
{
	struct crowd crowd = { .n = 1000 };
	struct fixture *f = test->priv;
	unsigned int calls = 0;
	unsigned long iova;
	int rc;

	make_crowd(test, &crowd, 2, 4);
	f->search.first_limit = 1;
	f->search.alignment = 2;
	f->search.max_gaps = 10;
	do {
		rc = iova_alloc_find(&f->search, &iova);
		calls++;
	} while (rc == -EAGAIN);
	KUNIT_EXPECT_EQ(test, rc, -ENOSPC);
	KUNIT_EXPECT_GE(test, calls, 1000 / 10);
	KUNIT_EXPECT_LE(test, calls, 1000 / 10 + 2);
	dismiss_crowd(&crowd);
}

/* Between two calls anything may happen to the map. */
static void map_may_change_during_a_long_search(struct kunit *test)
{
	struct crowd crowd = { .n = 1000 };
	struct fixture *f = test->priv;
	struct iova_node *later = NULL;
	unsigned long iova;
	int rc;

	make_crowd(test, &crowd, 2, 4);
	f->search.first_limit = 1;
	f->search.alignment = 2;
	f->search.max_gaps = 10;
	KUNIT_EXPECT_EQ(test, iova_alloc_find(&f->search, &iova), -EAGAIN);
	later = &crowd.nodes[500];
	iova_map_erase(&f->map, later);
	/* Where the search stands there is nothing any more. */
	iova_map_erase(&f->map, iova_map_find_from(&f->map,
						   f->search.resume_iova));
	do {
		rc = iova_alloc_find(&f->search, &iova);
	} while (rc == -EAGAIN);
	KUNIT_EXPECT_EQ(test, rc, 0);
	KUNIT_EXPECT_LE(test, iova, later->first_iova);
	while (!iova_map_is_empty(&f->map))
		iova_map_erase(&f->map, iova_map_find_from(&f->map, 0));
}

static int iova_alloc_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	test->priv = f;
	iova_map_init(&f->map);
	return 0;
}

static void iova_alloc_test_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	if (!f)
		return;
	unuse_all(f);
	KUNIT_EXPECT_TRUE(test, iova_map_is_empty(&f->map));
}

static void iova_alloc_suite_exit(struct kunit_suite *suite)
{
	WARN(live_nodes, "%d ranges left in a map\n", live_nodes);
}

static struct kunit_case iova_alloc_cases[] = {
	KUNIT_CASE(empty_map_has_nothing),
	KUNIT_CASE(insert_refuses_overlap),
	KUNIT_CASE(whole_address_space_is_one_range),
	KUNIT_CASE(erase_in_any_order),
	KUNIT_CASE(random_changes_keep_the_tree_in_order),
	KUNIT_CASE(find_gives_the_lowest_of_the_range),
	KUNIT_CASE(next_visits_all_in_order),
	KUNIT_CASE(search_knows_every_pattern),
	KUNIT_CASE(search_keeps_all_limits),
	KUNIT_CASE(search_follows_every_change),
	KUNIT_CASE(page_goes_to_the_lowest_hole),
	KUNIT_CASE(result_stays_in_one_allowed_range),
	KUNIT_CASE(absent_trees_restrict_nothing),
	KUNIT_CASE(aligning_up_does_not_wrap),
	KUNIT_CASE(restrictions_reach_the_last_address),
	KUNIT_CASE(huge_lengths_do_not_overflow),
	KUNIT_CASE(search_passes_holes_that_cannot_be_aligned),
	KUNIT_CASE(long_search_lets_others_in),
	KUNIT_CASE(map_may_change_during_a_long_search),
	{}
};

static struct kunit_suite iova_alloc_suite = {
	.name = "iommufd_iova_alloc",
	.init = iova_alloc_test_init,
	.exit = iova_alloc_test_exit,
	.suite_exit = iova_alloc_suite_exit,
	.test_cases = iova_alloc_cases,
};

kunit_test_suite(iova_alloc_suite);

MODULE_DESCRIPTION("Tests of iommufd's map of used IOVA");
MODULE_LICENSE("GPL");
