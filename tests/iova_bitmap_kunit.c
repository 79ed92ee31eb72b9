// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the window onto a user's dirty bitmap, with real user memory. The
 * reference sets one bit at a time in a copy.
 */
#include <kunit/test.h>
#include <linux/iova_bitmap.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* Pages of user memory; some tests take more. */
#define USER_PAGES 8
#define USER_BYTES (USER_PAGES * PAGE_SIZE)

/**
 * struct fixture - a bitmap in user memory and what should be in that memory
 * @user: the memory
 * @expected: copy that the reference writes to
 * @seen: place to copy the user's memory to
 * @iova: lowest address of the bitmap
 * @length: bytes from there
 * @page_size: of the granules
 * @offset: bytes from @user to the bitmap
 * @calls: how often for_each called back
 * @rnd: source of random numbers
 */
struct fixture {
	unsigned long user;
	u8 *expected;
	u8 *seen;
	unsigned long iova;
	size_t length;
	unsigned long page_size;
	unsigned int offset;
	unsigned int calls;
	struct rnd_state rnd;
};

static int live_bitmaps;

static u64 __user *user_bitmap(const struct fixture *f)
{
	return (u64 __user *)(f->user + f->offset);
}

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

static struct iova_bitmap *make_bitmap(struct fixture *f)
{
	struct iova_bitmap *bitmap = iova_bitmap_alloc(f->iova, f->length,
						       f->page_size,
						       user_bitmap(f));

	if (!IS_ERR(bitmap))
		live_bitmaps++;
	return bitmap;
}

static void free_bitmap(struct iova_bitmap *bitmap)
{
	live_bitmaps--;
	iova_bitmap_free(bitmap);
}

/* Fill the user's memory and the copy with the same bytes. */
static bool fill_memory(struct fixture *f, u8 byte)
{
	memset(f->expected, byte, USER_BYTES);
	return !copy_to_user((void __user *)f->user, f->expected, USER_BYTES);
}

static bool memory_matches(struct fixture *f)
{
	return !copy_from_user(f->seen, (void __user *)f->user, USER_BYTES) &&
	       !memcmp(f->seen, f->expected, USER_BYTES);
}

/* The reference: a granule's bit if it meets the record at all. */
static void expect_set(struct fixture *f, unsigned long iova, size_t length)
{
	unsigned long granule = f->page_size & -f->page_size;
	unsigned long end_bit = (f->length - 1) / granule + 1;
	unsigned long bit;

	for (bit = 0; length && bit < end_bit; bit++) {
		unsigned long first = f->iova + bit * granule;
		unsigned long last = min(first + (granule - 1),
					 f->iova + f->length - 1);

		if (first - iova < length || iova - first <= last - first)
			f->expected[f->offset + bit / 8] |= 1 << bit % 8;
	}
}

/**
 * struct record - a call of iova_bitmap_set()
 * @iova: argument
 * @length: argument
 */
struct record {
	unsigned long iova;
	size_t length;
};

/**
 * struct records - what a driver finds
 * @f: the fixture
 * @n: number of elements
 * @list: the records
 * @rc: what the driver returns
 */
struct records {
	struct fixture *f;
	unsigned int n;
	struct record *list;
	int rc;
};

static int set_records(struct iova_bitmap *bitmap, unsigned long iova,
		       size_t length, void *opaque)
{
	struct records *records = opaque;
	unsigned int i;

	records->f->calls++;
	if (iova != records->f->iova || length != records->f->length)
		return -EPROTO;
	for (i = 0; i < records->n; i++)
		iova_bitmap_set(bitmap, records->list[i].iova,
				records->list[i].length);
	return records->rc;
}

/* Have @records recorded. */
static int run_records(struct fixture *f, struct records *records)
{
	struct iova_bitmap *bitmap = make_bitmap(f);
	int rc;

	if (IS_ERR(bitmap))
		return PTR_ERR(bitmap);
	f->calls = 0;
	records->f = f;
	rc = iova_bitmap_for_each(bitmap, records, set_records);
	free_bitmap(bitmap);
	return rc;
}

static int run_record(struct fixture *f, unsigned long iova, size_t length)
{
	struct record record = { .iova = iova, .length = length };
	struct records records = { .n = 1, .list = &record };

	return run_records(f, &records);
}

/* One record on clean memory gives what the reference says. */
static bool record_matches(struct fixture *f, unsigned long iova, size_t length)
{
	if (!fill_memory(f, 0))
		return false;
	expect_set(f, iova, length);
	return !run_record(f, iova, length) && f->calls == 1 &&
	       memory_matches(f);
}

static void every_byte_offset_of_the_bitmap(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->length = 100 * SZ_4K;
	for (f->offset = PAGE_SIZE - 20; f->offset < PAGE_SIZE + 9; f->offset++)
		KUNIT_EXPECT_TRUE_MSG(test,
				      record_matches(f, f->iova + 3 * SZ_4K,
						     90 * SZ_4K),
				      "offset %u", f->offset);
}

/* All ranges of bits in a bitmap of a few bytes across two pages. */
static void every_range_of_bits(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int bits = 35;
	unsigned int first, last;

	f->length = bits * SZ_4K;
	f->offset = PAGE_SIZE - 2;
	for (first = 0; first < bits; first++)
		for (last = first; last < bits; last++)
			KUNIT_ASSERT_TRUE_MSG(test,
					      record_matches(f, f->iova + first * SZ_4K,
							     (last - first + 1) * SZ_4K),
					      "bits %u to %u", first, last);
}

/* A bitmap shorter than a byte, a word; nothing behind it is written. */
static void every_length_of_the_bitmap(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int bits;

	f->offset = 5;
	for (bits = 1; bits < 140; bits++) {
		f->length = bits * SZ_4K;
		KUNIT_ASSERT_TRUE_MSG(test, record_matches(f, 0, SIZE_MAX),
				      "%u bits", bits);
		/* A range need not be whole granules either. */
		f->length -= SZ_4K - 1;
		KUNIT_ASSERT_TRUE_MSG(test, record_matches(f, 0, SIZE_MAX),
				      "%u bits, last byte only", bits);
	}
}

static void every_granule_size(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int shift;

	for (shift = 0; shift < BITS_PER_LONG; shift++) {
		f->page_size = 1UL << shift;
		f->iova = 0;
		f->length = shift + 4 < BITS_PER_LONG ? f->page_size * 11 :
							ULONG_MAX;
		KUNIT_EXPECT_TRUE_MSG(test, record_matches(f, f->page_size, 1),
				      "shift %u, second", shift);
		KUNIT_EXPECT_TRUE_MSG(test,
				      record_matches(f, f->length - 1, 1),
				      "shift %u, last", shift);
	}
}

static void granule_is_the_lowest_bit_of_page_size(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->page_size = 0x7000;
	f->length = 64 * 0x1000;
	KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova + 0x5000, 0x2000));
	f->page_size = 0;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EINVAL);
}

/* Bit 0 belongs to the address given, whatever that is a multiple of. */
static void bits_count_from_iova(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int distance;

	f->length = 40 * SZ_4K;
	for (distance = 0; distance < 2 * SZ_4K; distance += 0x123) {
		f->iova = SZ_1G + distance;
		KUNIT_EXPECT_TRUE(test, record_matches(f, SZ_1G + 3 * SZ_4K,
						       SZ_4K));
	}
}

static void records_smaller_than_a_granule(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int first;

	f->length = 20 * SZ_4K;
	for (first = 0; first < 3 * SZ_4K; first += 511) {
		KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova + first, 1));
		KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova + first, SZ_4K));
	}
	KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova, 0));
}

static void records_outside_are_ignored(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long end;

	f->length = 20 * SZ_4K;
	end = f->iova + f->length;
	KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova - SZ_4K, SZ_4K));
	KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova - SZ_4K, SZ_8K));
	KUNIT_EXPECT_TRUE(test, record_matches(f, end, SZ_4K));
	KUNIT_EXPECT_TRUE(test, record_matches(f, end - 1, SZ_4K));
	KUNIT_EXPECT_TRUE(test, record_matches(f, 0, 1));
	KUNIT_EXPECT_TRUE(test, record_matches(f, ULONG_MAX, 1));
	/* Past the last address: what there is of the record counts. */
	KUNIT_EXPECT_EQ(test, run_record(f, ULONG_MAX, 2), 0);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
	KUNIT_EXPECT_EQ(test, run_record(f, end - 1, SIZE_MAX), 0);
	expect_set(f, end - 1, 1);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
}

static void bitmap_reaches_the_last_address(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->length = 20 * SZ_4K;
	f->iova = -f->length;
	KUNIT_EXPECT_TRUE(test, record_matches(f, -SZ_4K, SZ_4K));
	KUNIT_EXPECT_TRUE(test, record_matches(f, ULONG_MAX, 1));
	KUNIT_EXPECT_TRUE(test, record_matches(f, f->iova, f->length));
	f->length++;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EOVERFLOW);
}

static void empty_range_has_no_bits(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->length = 0;
	KUNIT_EXPECT_TRUE(test, fill_memory(f, 0));
	KUNIT_EXPECT_EQ(test, run_record(f, 0, SIZE_MAX), 0);
	KUNIT_EXPECT_EQ(test, f->calls, 1);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
}

static void bits_are_only_ever_set(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->length = 100 * SZ_4K;
	KUNIT_EXPECT_TRUE(test, fill_memory(f, 0xa5));
	expect_set(f, f->iova + 7 * SZ_4K, 50 * SZ_4K);
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova + 7 * SZ_4K, 50 * SZ_4K), 0);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
}

/* Many records in no order at all, in a bitmap of several pages. */
static void random_records_match_the_reference(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct records records = { .n = 30 };
	unsigned int round, i;

	seed_random(test);
	records.list = kunit_kcalloc(test, records.n, sizeof(*records.list),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, records.list);
	for (round = 0; round < 30; round++) {
		KUNIT_ASSERT_TRUE(test, fill_memory(f, 0));
		f->offset = random_below(f, PAGE_SIZE);
		f->length = 1 + random_below(f, 1 << random_below(f, 29));
		f->iova = SZ_1M + ((u64)prandom_u32_state(&f->rnd)
				   << random_below(f, 31));
		for (i = 0; i < records.n; i++) {
			struct record *record = &records.list[i];

			record->iova = f->iova + random_below(f, f->length + SZ_1M) - SZ_64K;
			record->length = random_below(f, 1 << random_below(f, 28));
			expect_set(f, record->iova, record->length);
		}
		KUNIT_ASSERT_EQ(test, run_records(f, &records), 0);
		KUNIT_ASSERT_TRUE_MSG(test, memory_matches(f), "round %u", round);
	}
}

static void driver_errors_come_back(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct record record = { .iova = f->iova, .length = 1 };
	struct records records = { .n = 1, .list = &record, .rc = -EILSEQ };

	KUNIT_EXPECT_TRUE(test, fill_memory(f, 0));
	KUNIT_EXPECT_EQ(test, run_records(f, &records), -EILSEQ);
	expect_set(f, f->iova, 1);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
}

/* A bitmap may be read into more than once. */
static void reading_can_be_repeated(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct record record = { .iova = f->iova, .length = 1 };
	struct records records = { .f = f, .n = 1, .list = &record };
	struct iova_bitmap *bitmap = make_bitmap(f);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bitmap);
	KUNIT_EXPECT_TRUE(test, fill_memory(f, 0));
	for (; f->calls < 3; record.iova += f->page_size) {
		KUNIT_EXPECT_EQ(test, 0,
				iova_bitmap_for_each(bitmap, &records, set_records));
		expect_set(f, record.iova, 1);
		KUNIT_EXPECT_TRUE(test, memory_matches(f));
	}
	free_bitmap(bitmap);
}

/* Take away page @index of the user's memory. */
static bool unmap_page(struct fixture *f, unsigned int index)
{
	return !vm_munmap(f->user + index * PAGE_SIZE, PAGE_SIZE);
}

static void kernel_addresses_are_refused(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->offset = 0;
	f->user = (unsigned long)f->expected;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EFAULT);
	/* The last byte of the address space, and round its end. */
	f->user = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, f->calls, 0);
}

/* Only the part that holds bits has to be there. */
static void alloc_does_not_touch_user_memory(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct iova_bitmap *bitmap;

	KUNIT_EXPECT_TRUE(test, unmap_page(f, 0));
	bitmap = make_bitmap(f);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bitmap);
	free_bitmap(bitmap);
	f->offset = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), 0);
}

/* Nothing may be cleared before there is a place to record it. */
static void bad_page_keeps_the_driver_from_being_called(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int bad;

	f->length = (USER_BYTES - 100) * BITS_PER_BYTE * f->page_size;
	f->offset = 100;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), 0);
	for (bad = USER_PAGES; bad--;) {
		KUNIT_ASSERT_TRUE(test, unmap_page(f, bad));
		f->calls = 0;
		KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EFAULT);
		KUNIT_EXPECT_EQ(test, f->calls, 0);
		/* The part in front of the bad page is a good bitmap. */
		f->length -= PAGE_SIZE * BITS_PER_BYTE * f->page_size;
		if (bad > 1)
			KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), 0);
	}
}

static void read_only_memory_is_refused(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, f->user, 0);
	f->offset = 0;
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, f->calls, 0);
}

/* Is a single bit of the user's memory set? */
static bool user_bit(const struct fixture *f, unsigned long bit)
{
	u8 byte = 0;

	return !get_user(byte, (u8 __user *)f->user + f->offset + bit / 8) &&
	       byte & 1 << bit % 8;
}

/* A bitmap of five windows, in memory that was never touched. */
static void make_long_bitmap(struct kunit *test, size_t *bytes)
{
	struct fixture *f = test->priv;

	*bytes = 5 * IOVA_BITMAP_WINDOW_BYTES;
	f->user = kunit_vm_mmap(test, NULL, 0, *bytes, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, f->user, 0);
	f->offset = 77;
	f->iova = SZ_1M;
	f->length = (*bytes - f->offset) * BITS_PER_BYTE * f->page_size;
}

static void long_bitmap_takes_records_in_any_order(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct records records = { .n = 200 };
	struct record *list;
	unsigned long bits;
	unsigned int i;
	size_t bytes;

	seed_random(test);
	list = kunit_kcalloc(test, records.n, sizeof(*list), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list);
	records.list = list;
	make_long_bitmap(test, &bytes);
	bits = f->length / f->page_size;
	for (i = 0; i < records.n; i++) {
		list[i].iova = f->iova + random_below(f, bits - 1) * f->page_size;
		list[i].length = f->page_size + 1;
	}
	KUNIT_EXPECT_EQ(test, run_records(f, &records), 0);
	KUNIT_EXPECT_EQ(test, f->calls, 1);
	for (i = 0; i < records.n; i++) {
		unsigned long bit = (list[i].iova - f->iova) / f->page_size;

		KUNIT_EXPECT_TRUE(test, user_bit(f, bit));
		KUNIT_EXPECT_TRUE(test, user_bit(f, bit + 1));
	}
}

static void long_bitmap_takes_one_record_for_all(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long unset = 0;
	size_t bytes, i;
	u8 *seen;

	make_long_bitmap(test, &bytes);
	seen = kvmalloc(bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, seen);
	KUNIT_EXPECT_EQ(test, run_record(f, 0, SIZE_MAX), 0);
	KUNIT_EXPECT_EQ(test, 0,
			copy_from_user(seen, (void __user *)f->user, bytes));
	for (i = 0; i < bytes; i++)
		unset += seen[i] != (i < f->offset ? 0 : 0xff);
	KUNIT_EXPECT_EQ(test, unset, 0);
	kvfree(seen);
}

/* A hole half way: an error, and only what falls into the hole is lost. */
static void long_bitmap_with_a_hole_loses_only_the_hole(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned long page_bits = PAGE_SIZE * BITS_PER_BYTE;
	const unsigned int bad = 300;
	unsigned long bit;
	size_t bytes;

	make_long_bitmap(test, &bytes);
	f->offset = 0;
	f->length = bytes * BITS_PER_BYTE * f->page_size;
	KUNIT_ASSERT_TRUE(test, unmap_page(f, bad));
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, f->length), -EFAULT);
	KUNIT_EXPECT_EQ(test, f->calls, 1);
	for (bit = 0; bit < bytes * BITS_PER_BYTE; bit += page_bits - 1)
		KUNIT_EXPECT_EQ(test, user_bit(f, bit), bit / page_bits != bad);
	KUNIT_EXPECT_EQ(test, run_record(f, f->iova, 1), 0);
}

/* An error belongs to the reading it happened in. */
static void error_is_forgotten_by_the_next_reading(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct record record = { .length = SIZE_MAX };
	struct records records = { .f = f, .n = 1, .list = &record };
	struct iova_bitmap *bitmap;
	size_t bytes;

	make_long_bitmap(test, &bytes);
	KUNIT_ASSERT_TRUE(test, unmap_page(f, 300));
	bitmap = make_bitmap(f);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bitmap);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			iova_bitmap_for_each(bitmap, &records, set_records));
	record.iova = f->iova;
	record.length = 1;
	KUNIT_EXPECT_EQ(test, 0,
			iova_bitmap_for_each(bitmap, &records, set_records));
	free_bitmap(bitmap);
}

static void free_of_nothing_is_harmless(struct kunit *test)
{
	iova_bitmap_free(NULL);
}

static bool first_user_page_is_pinned(struct fixture *f)
{
	struct page *page;
	bool pinned;

	if (get_user_pages_fast(f->user, 1, 0, &page) != 1)
		return false;
	pinned = folio_maybe_dma_pinned(page_folio(page));
	put_page(page);
	return pinned;
}

static int look_for_pins(struct iova_bitmap *bitmap, unsigned long iova,
			 size_t length, void *opaque)
{
	return first_user_page_is_pinned(opaque) ? 0 : -ENOENT;
}

static void pages_are_pinned_while_the_driver_is_called(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct iova_bitmap *bitmap;

	f->offset = 0;
	bitmap = make_bitmap(f);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, bitmap);
	KUNIT_EXPECT_FALSE(test, first_user_page_is_pinned(f));
	KUNIT_EXPECT_EQ(test, 0, iova_bitmap_for_each(bitmap, f, look_for_pins));
	KUNIT_EXPECT_FALSE(test, first_user_page_is_pinned(f));
	/* Outside of for_each too, a record leaves no pin for ever, and is not lost. */
	KUNIT_ASSERT_TRUE(test, fill_memory(f, 0));
	iova_bitmap_set(bitmap, f->iova, 1);
	iova_bitmap_set(bitmap, f->iova + SZ_64K, 1);
	KUNIT_EXPECT_TRUE(test, first_user_page_is_pinned(f));
	free_bitmap(bitmap);
	KUNIT_EXPECT_FALSE(test, first_user_page_is_pinned(f));
	expect_set(f, f->iova, 1);
	expect_set(f, f->iova + SZ_64K, 1);
	KUNIT_EXPECT_TRUE(test, memory_matches(f));
}

static int iova_bitmap_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	f->expected = kunit_kzalloc(test, USER_BYTES, GFP_KERNEL);
	f->seen = kunit_kzalloc(test, USER_BYTES, GFP_KERNEL);
	f->user = kunit_vm_mmap(test, NULL, 0, USER_BYTES, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!f->expected || !f->seen || !f->user)
		return -ENOMEM;
	f->iova = SZ_1G;
	f->length = SZ_1M;
	f->page_size = SZ_4K;
	test->priv = f;
	return 0;
}

static void iova_bitmap_suite_exit(struct kunit_suite *suite)
{
	WARN(live_bitmaps, "%d bitmaps leaked\n", live_bitmaps);
}

static struct kunit_case iova_bitmap_cases[] = {
	KUNIT_CASE(every_byte_offset_of_the_bitmap),
	KUNIT_CASE(every_range_of_bits),
	KUNIT_CASE(every_length_of_the_bitmap),
	KUNIT_CASE(every_granule_size),
	KUNIT_CASE(granule_is_the_lowest_bit_of_page_size),
	KUNIT_CASE(bits_count_from_iova),
	KUNIT_CASE(records_smaller_than_a_granule),
	KUNIT_CASE(records_outside_are_ignored),
	KUNIT_CASE(bitmap_reaches_the_last_address),
	KUNIT_CASE(empty_range_has_no_bits),
	KUNIT_CASE(bits_are_only_ever_set),
	KUNIT_CASE(random_records_match_the_reference),
	KUNIT_CASE(driver_errors_come_back),
	KUNIT_CASE(reading_can_be_repeated),
	KUNIT_CASE(kernel_addresses_are_refused),
	KUNIT_CASE(alloc_does_not_touch_user_memory),
	KUNIT_CASE(bad_page_keeps_the_driver_from_being_called),
	KUNIT_CASE(read_only_memory_is_refused),
	KUNIT_CASE(long_bitmap_takes_records_in_any_order),
	KUNIT_CASE(long_bitmap_takes_one_record_for_all),
	KUNIT_CASE(long_bitmap_with_a_hole_loses_only_the_hole),
	KUNIT_CASE(error_is_forgotten_by_the_next_reading),
	KUNIT_CASE(free_of_nothing_is_harmless),
	KUNIT_CASE(pages_are_pinned_while_the_driver_is_called),
	{}
};

static struct kunit_suite iova_bitmap_suite = {
	.name = "iommufd_iova_bitmap",
	.init = iova_bitmap_test_init,
	.suite_exit = iova_bitmap_suite_exit,
	.test_cases = iova_bitmap_cases,
};

kunit_test_suite(iova_bitmap_suite);

MODULE_DESCRIPTION("Tests of iommufd's window onto a user's dirty bitmap");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(IOMMUFD);
