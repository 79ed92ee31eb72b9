// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the batch of PFN runs against the plainest model there is: the list of
 * its pages.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../pfn_batch.h"

#define MODEL_PFNS 512

/**
 * struct fixture - a batch and what should be in it
 * @batch: under test
 * @pages: argument for pfn_batch_add_pages()
 * @expected: PFNs that the batch should have, in order
 * @nexpected: how many
 * @rnd: source of random numbers
 */
struct fixture {
	struct pfn_batch batch;
	struct page *pages[MODEL_PFNS];
	unsigned long expected[MODEL_PFNS];
	size_t nexpected;
	struct rnd_state rnd;
};

static int live_batches;

/* An address that a struct page could have; nobody looks behind it. */
#define FIRST_PFN 4096

static u32 random_below(struct fixture *f, u32 limit)
{
	return prandom_u32_state(&f->rnd) % limit;
}

static void expect_page(struct fixture *f, unsigned long pfn)
{
	f->expected[f->nexpected++] = pfn;
}

/* Pages that should be in one run with the page before them. */
static bool continues(const struct fixture *f, size_t i)
{
	return i && f->expected[i] && f->expected[i - 1] + 1 == f->expected[i];
}

/* Compare page by page; also no run may be where one could be longer. */
static bool batch_matches(struct fixture *f)
{
	const struct pfn_run *run;
	size_t n = 0;
	u32 i;

	pfn_batch_for_each_run(&f->batch, run) {
		if (!run->npfns || continues(f, n))
			return false;
		for (i = 0; i < run->npfns; i++, n++)
			if (n >= f->nexpected ||
			    f->expected[n] != run->pfn + i)
				return false;
	}
	return n == f->nexpected && f->batch.npfns == n &&
	       pfn_batch_is_empty(&f->batch) == !n;
}

static void drop_expected_front(struct fixture *f, size_t n)
{
	f->nexpected -= n;
	memmove(f->expected, f->expected + n,
		f->nexpected * sizeof(f->expected[0]));
}

static void renew(struct fixture *f)
{
	pfn_batch_destroy(&f->batch);
	pfn_batch_init(&f->batch);
	f->nexpected = 0;
}

/* Fill with runs of one page, none next to the other; count them. */
static size_t measure_capacity(struct fixture *f)
{
	size_t n = 0;

	while (pfn_batch_add(&f->batch, 2 * n, 1))
		n++;
	return n;
}

static void starts_empty(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_TRUE(test, batch_matches(f));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 0);
	KUNIT_EXPECT_EQ(test, pfn_batch_add_pages(&f->batch, f->pages, 0), 0);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 7, 0));
	KUNIT_EXPECT_TRUE(test, batch_matches(f));
}

static void inline_room_needs_no_reserve(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_EQ(test, measure_capacity(f), PFN_BATCH_INLINE_RUNS);
	KUNIT_EXPECT_PTR_EQ(test, f->batch.runs,
			    &f->batch.inline_runs[0]);
}

static void consecutive_pages_prolong_the_last_run(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 10, 3));
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 13, 2));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 1);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 16, 1));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 2);
	/* Neither the page in front nor the same page again belongs to it. */
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 15, 1));
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 15, 1));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 4);
	KUNIT_EXPECT_EQ(test, f->batch.npfns, 8);
}

static void full_batch_still_prolongs(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t n = measure_capacity(f);

	KUNIT_EXPECT_FALSE(test, pfn_batch_add(&f->batch, 1000, 1));
	KUNIT_EXPECT_EQ(test, f->batch.npfns, n);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 2 * n - 1, 5));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), n);
	KUNIT_EXPECT_EQ(test, f->batch.npfns, n + 5);
}

static void runs_end_at_the_length_limit(struct kunit *test)
{
	struct fixture *f = test->priv;
	const u32 most = PFN_RUN_MAX_PFNS;
	unsigned int distance;

	for (distance = 0; distance < 3; distance++) {
		renew(f);
		KUNIT_EXPECT_TRUE(test,
				  pfn_batch_add(&f->batch, 5, most - distance));
		KUNIT_EXPECT_TRUE(test,
				  pfn_batch_add(&f->batch, 5UL + most - distance,
						1));
		KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch),
				distance ? 1 : 2);
		KUNIT_EXPECT_EQ(test, f->batch.npfns,
				(unsigned long)most - distance + 1);
		renew(f);
		KUNIT_EXPECT_TRUE(test,
				  pfn_batch_add(&f->batch, 5, most - distance));
		KUNIT_EXPECT_TRUE(test,
				  pfn_batch_add_page(&f->batch,
						     5UL + most - distance));
		KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch),
				distance ? 1 : 2);
	}

	renew(f);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 5, most));
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 5UL + most, most));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 2);
	KUNIT_EXPECT_EQ(test, f->batch.npfns, 2UL * most);
}

static void pfns_do_not_wrap(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, ULONG_MAX - 1, 1));
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, ULONG_MAX, 1));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 1);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 0, 1));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 2);

	renew(f);
	KUNIT_EXPECT_TRUE(test, pfn_batch_add_page(&f->batch, ULONG_MAX));
	KUNIT_EXPECT_TRUE(test, pfn_batch_add_page(&f->batch, 0));
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 2);
}

static void reserve_keeps_its_limit(struct kunit *test)
{
	struct fixture *f = test->priv;
	const size_t run_bytes = sizeof(struct pfn_run);
	const size_t max_runs = 2 * PFN_BATCH_INLINE_RUNS - 1;
	size_t limit_bytes;

	for (limit_bytes = 0; limit_bytes <= (max_runs + 5) * run_bytes;
	     limit_bytes++) {
		size_t limit = clamp(limit_bytes / run_bytes, 1, max_runs);

		renew(f);
		pfn_batch_reserve(&f->batch, max_runs, limit_bytes);
		KUNIT_ASSERT_EQ_MSG(test, measure_capacity(f), limit,
				    "limit of %zu bytes", limit_bytes);
	}
}

static void reserve_never_shrinks_without_a_limit(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t max_runs;

	for (max_runs = 0; max_runs < PFN_BATCH_INLINE_RUNS + 5; max_runs++) {
		renew(f);
		pfn_batch_reserve(&f->batch, max_runs, SIZE_MAX);
		KUNIT_EXPECT_EQ(test, measure_capacity(f),
				max(max_runs, PFN_BATCH_INLINE_RUNS));
	}
}

static void reserve_without_memory_stays(struct kunit *test)
{
	struct fixture *f = test->priv;

	/* More than any allocator has, and a product that overflows. */
	pfn_batch_reserve(&f->batch, U32_MAX, SIZE_MAX);
	KUNIT_EXPECT_EQ(test, measure_capacity(f), PFN_BATCH_INLINE_RUNS);
	renew(f);
	pfn_batch_reserve(&f->batch, SIZE_MAX, SIZE_MAX);
	KUNIT_EXPECT_EQ(test, measure_capacity(f), PFN_BATCH_INLINE_RUNS);
}

/* Add pages, none next to the other. Return: whether the batch is full just then. */
static bool lone_pages_fill_it(struct fixture *f, size_t first, size_t end)
{
	for (size_t n = first; n < end; n++) {
		expect_page(f, 2 * n);
		if (!pfn_batch_add(&f->batch, 2 * n, 1))
			return false;
	}
	return !pfn_batch_add(&f->batch, 2 * end, 1);
}

/* A full batch goes on where it was. */
static void grow_keeps_what_is_there(struct kunit *test)
{
	struct fixture *f = test->priv;
	const size_t run_bytes = sizeof(struct pfn_run);

	pfn_batch_reserve(&f->batch, 3, 5 * run_bytes);
	KUNIT_EXPECT_TRUE(test, lone_pages_fill_it(f, 0, 5));
	pfn_batch_skip_front(&f->batch, 2);
	drop_expected_front(f, 2);

	KUNIT_EXPECT_FALSE(test, pfn_batch_grow(&f->batch, 5, SIZE_MAX));
	KUNIT_EXPECT_FALSE(test, pfn_batch_grow(&f->batch, 20, 5 * run_bytes));
	KUNIT_EXPECT_FALSE(test, pfn_batch_grow(&f->batch, SIZE_MAX, SIZE_MAX));
	KUNIT_EXPECT_TRUE(test, batch_matches(f));
	KUNIT_EXPECT_TRUE(test, pfn_batch_grow(&f->batch, 20, 9 * run_bytes));
	KUNIT_EXPECT_TRUE(test, batch_matches(f));
	KUNIT_EXPECT_EQ(test, pfn_batch_room(&f->batch), 4);
	KUNIT_EXPECT_TRUE(test, lone_pages_fill_it(f, 5, 9));
	KUNIT_EXPECT_FALSE(test, pfn_batch_grow(&f->batch, 9, SIZE_MAX));
	KUNIT_EXPECT_TRUE(test, pfn_batch_grow(&f->batch, 20, SIZE_MAX));
	KUNIT_EXPECT_TRUE(test, lone_pages_fill_it(f, 9, 20));
	KUNIT_EXPECT_TRUE(test, batch_matches(f));
}

/* Room is for runs, wherever they are; a run that prolongs needs none. */
static void room_is_what_can_still_be_added(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int room;

	pfn_batch_reserve(&f->batch, 20, SIZE_MAX);
	for (room = 20; room; room--) {
		KUNIT_EXPECT_EQ(test, pfn_batch_room(&f->batch), room);
		KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 3 * room, 1));
		KUNIT_EXPECT_TRUE(test, pfn_batch_add(&f->batch, 3 * room + 1, 1));
	}
	KUNIT_EXPECT_EQ(test, pfn_batch_room(&f->batch), 0);
	/* Skipping some gives back nothing, skipping all gives back all. */
	pfn_batch_skip_front(&f->batch, 39);
	KUNIT_EXPECT_EQ(test, pfn_batch_room(&f->batch), 0);
	pfn_batch_skip_front(&f->batch, 1);
	KUNIT_EXPECT_EQ(test, pfn_batch_room(&f->batch), 20);
}

static void clear_keeps_the_array(struct kunit *test)
{
	struct fixture *f = test->priv;

	pfn_batch_reserve(&f->batch, 100, SIZE_MAX);
	KUNIT_EXPECT_EQ(test, measure_capacity(f), 100);
	pfn_batch_clear(&f->batch);
	KUNIT_EXPECT_TRUE(test, batch_matches(f));
	KUNIT_EXPECT_EQ(test, measure_capacity(f), 100);
}

/* Lay out pages: bit i of @breaks says that page i + 1 does not follow page i. */
static void lay_out(struct fixture *f, size_t npages, u32 breaks)
{
	unsigned long pfn = FIRST_PFN;
	size_t i;

	f->nexpected = 0;
	for (i = 0; i < npages; i++) {
		if (i && (breaks & BIT(i - 1)))
			pfn += 3;
		f->pages[i] = pfn_to_page(pfn);
		expect_page(f, pfn++);
	}
}

/* The place of the page that a batch of @capacity runs has no room for. */
static size_t pages_that_fit(size_t npages, u32 breaks, size_t capacity)
{
	size_t i;

	for (i = 1; i < npages; i++)
		if (breaks & BIT(i - 1) && !--capacity)
			break;
	return i;
}

static void add_pages_finds_every_break(struct kunit *test)
{
	struct fixture *f = test->priv;
	const size_t run_bytes = sizeof(struct pfn_run);
	size_t npages, capacity;
	u32 breaks;

	for (npages = 1; npages <= 11; npages++)
		for (breaks = 0; breaks < BIT(npages - 1); breaks++)
			for (capacity = 1; capacity <= 6; capacity++) {
				size_t fit = pages_that_fit(npages, breaks,
							    capacity);

				renew(f);
				pfn_batch_reserve(&f->batch, capacity,
						  capacity * run_bytes);
				lay_out(f, npages, breaks);
				f->nexpected = fit;
				KUNIT_ASSERT_EQ(test, fit,
						pfn_batch_add_pages(&f->batch,
								    f->pages,
								    npages));
				KUNIT_ASSERT_TRUE_MSG(test, batch_matches(f),
						      "%zu pages, breaks 0x%x",
						      npages, breaks);
			}
}

static void add_pages_sees_any_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	static const unsigned long orders[][9] = {
		{ 8, 7, 6, 5, 4, 3, 2, 1, 0 },	/* downward */
		{ 0, 0, 0, 0, 0, 0, 0, 0, 0 },	/* one page */
		{ 0, 2, 1, 3, 4, 6, 5, 7, 8 },	/* swapped within four */
		{ 0, 1, 2, 4, 3, 5, 6, 7, 8 },	/* swapped at a border */
		{ 1, 2, 3, 0, 1, 2, 3, 0, 1 },	/* going round */
	};
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		renew(f);
		pfn_batch_reserve(&f->batch, 16, SIZE_MAX);
		for (k = 0; k < ARRAY_SIZE(orders[i]); k++) {
			f->pages[k] = pfn_to_page(FIRST_PFN + orders[i][k]);
			expect_page(f, FIRST_PFN + orders[i][k]);
		}
		KUNIT_EXPECT_EQ(test, k,
				pfn_batch_add_pages(&f->batch, f->pages, k));
		KUNIT_EXPECT_TRUE_MSG(test, batch_matches(f), "order %zu", i);
	}
}

/* A run may come from several arrays. */
static void add_pages_prolongs_the_last_run(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t split;

	for (split = 0; split <= 16; split++) {
		renew(f);
		lay_out(f, 16, 0);
		pfn_batch_add_pages(&f->batch, f->pages, split);
		pfn_batch_add_pages(&f->batch, f->pages + split, 16 - split);
		KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 1);
		KUNIT_EXPECT_TRUE(test, batch_matches(f));
	}
}

static void skip_front_drops_any_number(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t npages = 13;
	size_t first, second;

	for (first = 0; first <= npages; first++)
		for (second = 0; second <= npages - first; second++) {
			renew(f);
			lay_out(f, npages, 0x34a);
			pfn_batch_add_pages(&f->batch, f->pages, npages);
			pfn_batch_skip_front(&f->batch, first);
			pfn_batch_skip_front(&f->batch, second);
			drop_expected_front(f, first + second);
			KUNIT_ASSERT_TRUE_MSG(test, batch_matches(f),
					      "skipped %zu, then %zu", first,
					      second);
		}
}

/* Also of what a skip has left, and to more pages than there are. */
static void trim_keeps_the_front(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t npages = 13;
	size_t skipped, kept;

	for (skipped = 0; skipped <= npages; skipped++)
		for (kept = 0; kept <= npages - skipped + 1; kept++) {
			renew(f);
			lay_out(f, npages, 0x34a);
			pfn_batch_add_pages(&f->batch, f->pages, npages);
			pfn_batch_skip_front(&f->batch, skipped);
			pfn_batch_trim(&f->batch, kept);
			drop_expected_front(f, skipped);
			f->nexpected = min(f->nexpected, kept);
			KUNIT_ASSERT_TRUE_MSG(test, batch_matches(f),
					      "skipped %zu, kept %zu", skipped,
					      kept);
		}
}

static void skip_of_everything_regains_the_room(struct kunit *test)
{
	struct fixture *f = test->priv;
	size_t n = measure_capacity(f);

	pfn_batch_skip_front(&f->batch, n - 1);
	KUNIT_EXPECT_EQ(test, f->batch.npfns, 1);
	KUNIT_EXPECT_EQ(test, pfn_batch_nruns(&f->batch), 1);
	pfn_batch_skip_front(&f->batch, 1);
	KUNIT_EXPECT_EQ(test, measure_capacity(f), n);
}

/* A step of the random test; what does not fit the model is not tried. */
static void random_add(struct fixture *f)
{
	size_t room = MODEL_PFNS - f->nexpected;
	size_t npages = min(room, random_below(f, 40));
	unsigned long pfn = FIRST_PFN + random_below(f, 1000);
	size_t done, i;

	if (f->nexpected && random_below(f, 2))
		pfn = f->expected[f->nexpected - 1] + 1;
	for (i = 0; i < npages; i++) {
		if (!random_below(f, 8))
			pfn = FIRST_PFN + random_below(f, 1000);
		f->pages[i] = pfn_to_page(pfn++);
	}
	done = pfn_batch_add_pages(&f->batch, f->pages, npages);
	for (i = 0; i < done; i++)
		expect_page(f, page_to_pfn(f->pages[i]));
}

static void random_add_run(struct fixture *f)
{
	u32 npfns = min(MODEL_PFNS - f->nexpected, random_below(f, 30));
	unsigned long pfn = random_below(f, 100);
	u32 i;

	if (pfn_batch_add(&f->batch, pfn, npfns))
		for (i = 0; i < npfns; i++)
			expect_page(f, pfn + i);
}

static void random_add_single(struct fixture *f)
{
	unsigned long pfn = random_below(f, 100);

	if (f->nexpected && random_below(f, 2))
		pfn = f->expected[f->nexpected - 1] + 1;
	if (f->nexpected != MODEL_PFNS && pfn_batch_add_page(&f->batch, pfn))
		expect_page(f, pfn);
}

static void random_skip(struct fixture *f)
{
	size_t n = random_below(f, f->nexpected + 1);

	pfn_batch_skip_front(&f->batch, n);
	drop_expected_front(f, n);
}

static void random_operations_match_the_model(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 seed = get_random_u64();
	unsigned int round, step;

	kunit_info(test, "seed 0x%llx", seed);
	prandom_seed_state(&f->rnd, seed);
	for (round = 0; round < 200; round++) {
		renew(f);
		pfn_batch_reserve(&f->batch, random_below(f, 100), 1600);
		for (step = 0; step < 50; step++) {
			if (random_below(f, 4) == 0)
				random_skip(f);
			else if (random_below(f, 3) == 0)
				random_add_run(f);
			else if (random_below(f, 2) == 0)
				random_add_single(f);
			else
				random_add(f);
			KUNIT_ASSERT_TRUE_MSG(test, batch_matches(f),
					      "round %u, step %u", round, step);
		}
	}
}

static int pfn_batch_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	test->priv = f;
	pfn_batch_init(&f->batch);
	live_batches++;
	return 0;
}

static void pfn_batch_test_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	if (!f)
		return;
	pfn_batch_destroy(&f->batch);
	live_batches--;
}

/* A batch that was not destroyed may have kept its array. */
static void pfn_batch_suite_exit(struct kunit_suite *suite)
{
	WARN(live_batches, "%d batches leaked\n", live_batches);
}

static struct kunit_case pfn_batch_cases[] = {
	KUNIT_CASE(starts_empty),
	KUNIT_CASE(inline_room_needs_no_reserve),
	KUNIT_CASE(consecutive_pages_prolong_the_last_run),
	KUNIT_CASE(full_batch_still_prolongs),
	KUNIT_CASE(runs_end_at_the_length_limit),
	KUNIT_CASE(pfns_do_not_wrap),
	KUNIT_CASE(reserve_keeps_its_limit),
	KUNIT_CASE(reserve_never_shrinks_without_a_limit),
	KUNIT_CASE(reserve_without_memory_stays),
	KUNIT_CASE(grow_keeps_what_is_there),
	KUNIT_CASE(room_is_what_can_still_be_added),
	KUNIT_CASE(clear_keeps_the_array),
	KUNIT_CASE(add_pages_finds_every_break),
	KUNIT_CASE(add_pages_sees_any_order),
	KUNIT_CASE(add_pages_prolongs_the_last_run),
	KUNIT_CASE(skip_front_drops_any_number),
	KUNIT_CASE(trim_keeps_the_front),
	KUNIT_CASE(skip_of_everything_regains_the_room),
	KUNIT_CASE(random_operations_match_the_model),
	{}
};

static struct kunit_suite pfn_batch_suite = {
	.name = "iommufd_pfn_batch",
	.init = pfn_batch_test_init,
	.exit = pfn_batch_test_exit,
	.suite_exit = pfn_batch_suite_exit,
	.test_cases = pfn_batch_cases,
};

kunit_test_suite(pfn_batch_suite);

MODULE_DESCRIPTION("Tests of iommufd's batch of PFN runs");
MODULE_LICENSE("GPL");
