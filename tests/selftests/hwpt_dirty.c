// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking: what a device has written to is read exactly once, whatever the
 * leaves, the holes, the granularity and the place of the bitmap.
 */
#include <linux/types.h>
#include <pthread.h>
#include <time.h>

#include "mock.h"
#include "task.h"
#include "harness.h"

#define TRACKING	IOMMU_HWPT_ALLOC_DIRTY_TRACKING
#define ENABLE		IOMMU_HWPT_DIRTY_TRACKING_ENABLE
#define NO_CLEAR	IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR
#define HUGE_IOVA	MOCK_FLAGS_DEVICE_HUGE_IOVA
#define NO_DIRTY	MOCK_FLAGS_DEVICE_NO_DIRTY

/* Memory of each kind. */
#define BYTES		(4 * HUGE_BYTES)
#define BITMAP_BYTES	(64UL << 10)
/* What must not be touched in front of and behind a bitmap. */
#define GUARD_BYTE	0xa5

static struct dirty_range range_of(__u64 iova, __u64 length, __u64 page_size)
{
	return (struct dirty_range){ iova, length, page_size };
}

static void set_bit(void *bits, __u64 bit)
{
	((__u8 *)bits)[bit / 8] |= 1 << bit % 8;
}

FIXTURE(dirty)
{
	int fd;
	__u32 ioas;
	struct mock mock;
	__u32 hwpt;
	__u64 page;
	/* the start of BYTES each */
	__u64 small;
	__u64 large;
	__u8 *bits;
};

FIXTURE_VARIANT(dirty)
{
	const char *driver;
	__u32 dev_flags;
	/* the largest leaf of a huge page, and the size of the smallest leaf */
	__u64 leaf_bytes;
	__u64 granule;
};

FIXTURE_VARIANT_ADD(dirty, exact)
{
	.driver = "exact",
	.leaf_bytes = 2048,
	.granule = 2048,
};

FIXTURE_VARIANT_ADD(dirty, exact_huge)
{
	.driver = "exact",
	.dev_flags = HUGE_IOVA,
	.leaf_bytes = HUGE_BYTES / 2,
	.granule = 2048,
};

FIXTURE_VARIANT_ADD(dirty, vtd)
{
	.driver = "vtd",
	.leaf_bytes = HUGE_BYTES,
	.granule = 4096,
};

FIXTURE_VARIANT_ADD(dirty, amd)
{
	.driver = "amd",
	.leaf_bytes = HUGE_BYTES,
	.granule = 4096,
};

FIXTURE_VARIANT_ADD(dirty, arm)
{
	.driver = "arm",
	.leaf_bytes = HUGE_BYTES,
	.granule = 4096,
};

FIXTURE_SETUP(dirty)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->driver));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, variant->dev_flags,
				       &self->mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, TRACKING, self->mock.idev, self->ioas,
				&self->hwpt));
	ASSERT_EQ(0, set_dirty(self->fd, self->hwpt, ENABLE));
	self->page = page_bytes();
	self->small = (uintptr_t)small_pages(BYTES);
	ASSERT_NE(0, self->small);
	self->large = (uintptr_t)huge_pages(BYTES);
	ASSERT_NE(0, self->large);
	self->bits = anonymous(BITMAP_BYTES);
	ASSERT_NE(NULL, self->bits);
}

FIXTURE_TEARDOWN(dirty)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->small, BYTES, 0));
	close(self->fd);
}

/* Read into @bits, all of it zero before. */
static int read_bits(FIXTURE_DATA(dirty) *self, __u32 flags, __u64 iova,
		     __u64 length, __u64 page_size)
{
	struct dirty_range range = range_of(iova, length, page_size);

	memset(self->bits, 0, BITMAP_BYTES);
	return get_dirty(self->fd, self->hwpt, flags, &range, self->bits);
}

/* Neighbours can lie in one piece by chance: have a leaf for each all the same. */
static int make_small_leaves(FIXTURE_DATA(dirty) *self)
{
	return option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, self->ioas, 0);
}

/* Is the whole range clean? The look leaves everything as it is. */
static bool is_clean(FIXTURE_DATA(dirty) *self, __u64 iova, __u64 length)
{
	return !read_bits(self, NO_CLEAR, iova, length, self->page) &&
	       !count_bits(self->bits, length / self->page);
}

/* -- what is refused, and in which order */

TEST_F(dirty, set_errors)
{
	struct iommu_hwpt_set_dirty_tracking arg = {
		.size = sizeof(arg),
		.hwpt_id = self->hwpt,
		.__reserved = 1,
	};
	int fd = self->fd;

	EXPECT_EQ(-EOPNOTSUPP, command(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &arg));
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(fd, self->hwpt, 2));
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(fd, NO_SUCH_ID, ~0u));
	EXPECT_EQ(-ENOENT, set_dirty(fd, NO_SUCH_ID, 0));
	EXPECT_EQ(-ENOENT, set_dirty(fd, self->ioas, ENABLE));
	EXPECT_EQ(-ENOENT, set_dirty(fd, self->mock.idev, ENABLE));
	/* the one that came with the device */
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(fd, self->mock.hwpt, ENABLE));
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(fd, self->mock.hwpt, 0));
	/* neither twice is an error */
	EXPECT_EQ(0, set_dirty(fd, self->hwpt, ENABLE));
	EXPECT_EQ(0, set_dirty(fd, self->hwpt, 0));
	EXPECT_EQ(0, set_dirty(fd, self->hwpt, 0));
}

static int get_range(FIXTURE_DATA(dirty) *self, __u32 hwpt, __u64 iova,
		     __u64 length, __u64 page_size)
{
	struct dirty_range range = range_of(iova, length, page_size);

	return get_dirty(self->fd, hwpt, 0, &range, self->bits);
}

/* Scenario 34. */
TEST_F(dirty, get_errors)
{
	const __u64 page = self->page;
	struct iommu_hwpt_get_dirty_bitmap arg = {
		.size = sizeof(arg),
		.hwpt_id = self->hwpt,
		.iova = APERTURE,
		.length = page,
		.page_size = page,
		.data = (uintptr_t)self->bits,
		.__reserved = 1,
	};
	struct dirty_range range = range_of(APERTURE, page, page);
	__u32 hwpt = self->hwpt;

	EXPECT_EQ(-EOPNOTSUPP, get_dirty(self->fd, hwpt, 2, &range, self->bits));
	EXPECT_EQ(-EOPNOTSUPP, get_dirty(self->fd, NO_SUCH_ID, ~0u, &range, NULL));
	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg));

	EXPECT_EQ(-ENOENT, get_range(self, NO_SUCH_ID, 0, 0, 0));
	EXPECT_EQ(-ENOENT, get_range(self, self->ioas, APERTURE, page, page));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, 0, 0));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, UINT64_MAX, 0, page));
	EXPECT_EQ(-EOVERFLOW, get_range(self, hwpt, -page, 2 * page, 0));
	EXPECT_EQ(-EOVERFLOW, get_range(self, hwpt, 2, UINT64_MAX, 3));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, page, 0));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, 3 * page, 3 * page));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, 0, 3 * page, 3));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE + page, page, 2 * page));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, 3 * page, 2 * page));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE + 512, page, 512));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, page + 512, 512));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, page, 1ULL << 32));
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, page, 1ULL << 63));
	/* the one that came with the device: what is wrong with the range comes first */
	hwpt = self->mock.hwpt;
	EXPECT_EQ(-EINVAL, get_range(self, hwpt, APERTURE, page, 2 * page));
	EXPECT_EQ(-EOPNOTSUPP, get_range(self, hwpt, APERTURE, page, page));
}

/* What is nested has the parent's bits, and those are asked of the parent. */
TEST_F(dirty, nested)
{
	const __u64 page = self->page;
	struct dirty_range range = range_of(APERTURE, page, page);
	__u32 parent, nested;

	ASSERT_EQ(0, hwpt_alloc(self->fd, TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT,
				self->mock.idev, self->ioas, &parent));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, parent, 0, &nested));
	EXPECT_EQ(-ENOENT, set_dirty(self->fd, nested, ENABLE));
	EXPECT_EQ(-ENOENT, get_dirty(self->fd, nested, 0, &range, self->bits));
	EXPECT_EQ(-ENOENT, write_dirty(self->fd, nested, &range, self->bits, NULL));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, page, APERTURE));
	ASSERT_EQ(0, set_dirty(self->fd, parent, ENABLE));
	ASSERT_EQ(0, write_at(self->fd, parent, APERTURE));
	self->bits[0] = 0;
	EXPECT_EQ(0, get_dirty(self->fd, parent, 0, &range, self->bits));
	EXPECT_EQ(1, self->bits[0]);
}

/* It is the driver that knows. */
TEST_F(dirty, tracking_is_off)
{
	const __u64 page = self->page;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, page, APERTURE));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_EQ(0, set_dirty(self->fd, self->hwpt, 0));
	EXPECT_EQ(-EINVAL, get_range(self, self->hwpt, APERTURE, page, page));
	EXPECT_EQ(-EINVAL, write_at(self->fd, self->hwpt, APERTURE));
	/* what was dirty then is forgotten when it is switched on again */
	EXPECT_EQ(0, set_dirty(self->fd, self->hwpt, ENABLE));
	EXPECT_TRUE(is_clean(self, APERTURE, page));
	EXPECT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_FALSE(is_clean(self, APERTURE, page));
}

/* Scenario 34. */
TEST_F(dirty, bad_bitmaps)
{
	const __u64 page = self->page;
	struct dirty_range range = range_of(APERTURE, 64 * page, page);
	__u8 *bad = self->bits + 2 * page;
	int fd = self->fd;

	ASSERT_EQ(0, make_small_leaves(self));
	ASSERT_EQ(0, map_at(fd, self->ioas, self->small, 64 * page, APERTURE));
	ASSERT_EQ(0, write_at(fd, self->hwpt, APERTURE));
	ASSERT_EQ(0, write_at(fd, self->hwpt, APERTURE + 63 * page));
	ASSERT_EQ(0, mprotect(bad, page, PROT_READ));
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, NULL));
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, (void *)-4096L));
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, (void *)-1L));
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, bad));
	/* it begins well */
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, bad - 4));
	ASSERT_EQ(0, munmap(bad, page));
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, bad - 1));
	/* longer than memory can be */
	range = range_of(0, -page, page / 2);
	EXPECT_EQ(-EFAULT, get_dirty(fd, self->hwpt, 0, &range, self->bits));

	/* nothing was cleared */
	range = range_of(APERTURE, 64 * page, page);
	memset(self->bits, 0, 8);
	EXPECT_EQ(0, get_dirty(fd, self->hwpt, 0, &range, self->bits));
	EXPECT_EQ(1, self->bits[0]);
	EXPECT_EQ(0x80, self->bits[7]);
	EXPECT_EQ(2, count_bits(self->bits, 64));
}

/* -- the bits */

/* Of each granule of a range, whether one is to be written to. */
static bool pattern(__u64 granule)
{
	return granule % 5 == 2 || granule % 64 < 2;
}

/* The same for a granule of a bitmap, with leaves of one size behind it. */
static bool expected(__u64 bit, __u64 page_size, __u64 leaf_bytes, __u64 pattern_bytes)
{
	const __u64 unit = page_size > leaf_bytes ? page_size : leaf_bytes;
	const __u64 first = bit * page_size / unit * unit;
	__u64 byte;

	for (byte = first; byte < first + unit; byte += pattern_bytes) {
		if (pattern(byte / pattern_bytes))
			return true;
	}
	return false;
}

/* @length bytes in leaves of one size: write a pattern, read it in bits of @page_size. */
static void check_pattern(struct __test_metadata *_metadata,
			  FIXTURE_DATA(dirty) *self, __u64 length,
			  __u64 page_size, __u64 leaf_bytes, size_t offset)
{
	const __u64 unit = self->page, nbits = length / page_size;
	struct dirty_range pages = range_of(APERTURE, length, unit);
	struct dirty_range range = range_of(APERTURE, length, page_size);
	const size_t bytes = (nbits + 7) / 8;
	__u8 *bits = self->bits + offset;
	__u64 bit, nr_dirty, nr_set = 0;
	int round;

	memset(self->bits, 0, BITMAP_BYTES);
	for (bit = 0; bit < length / unit; bit++) {
		if (pattern(bit)) {
			set_bit(self->bits, bit);
			nr_set++;
		}
	}
	ASSERT_EQ(0, write_dirty(self->fd, self->hwpt, &pages, self->bits,
				 &nr_dirty));
	EXPECT_EQ(nr_set, nr_dirty);

	/* looked at, looked at again, taken, gone */
	for (round = 0; round < 4; round++) {
		memset(self->bits, GUARD_BYTE, BITMAP_BYTES);
		memset(bits, 0, bytes);
		ASSERT_EQ(0, get_dirty(self->fd, self->hwpt,
				       round < 2 ? NO_CLEAR : 0, &range, bits));
		for (bit = 0; bit < nbits; bit++) {
			if (is_set(bits, bit) ==
			    (round < 3 && expected(bit, page_size, leaf_bytes, unit)))
				continue;
			ASSERT_EQ(0, 1) TH_LOG("round %d, bit %llu of %llu bytes",
					       round, bit, page_size);
		}
		/* nothing next to it has changed, in its last byte neither */
		for (bit = nbits; bit < bytes * 8; bit++)
			EXPECT_FALSE(is_set(bits, bit));
		EXPECT_EQ(GUARD_BYTE, bits[bytes]);
		EXPECT_TRUE(!offset || bits[-1] == GUARD_BYTE);
	}
}

TEST_F(dirty, small_leaves)
{
	__u64 page_size;

	ASSERT_EQ(0, make_small_leaves(self));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, HUGE_BYTES, APERTURE));
	for (page_size = 64; page_size <= HUGE_BYTES; page_size *= 2)
		check_pattern(_metadata, self, HUGE_BYTES, page_size, self->page,
			      0);
}

TEST_F(dirty, large_leaves)
{
	__u64 page_size;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, BYTES, APERTURE));
	for (page_size = 1024; page_size <= BYTES; page_size *= 2)
		check_pattern(_metadata, self, BYTES, page_size,
			      variant->leaf_bytes > self->page ?
			      variant->leaf_bytes : self->page, 0);
}

/* Scenario 34. */
TEST_F(dirty, places_of_the_bitmap)
{
	static const size_t offsets[] = { 1, 2, 3, 7, 8, 9, 63, 4095, 4096, 0xff1,
					  8192 - 3 };
	__u64 length;
	size_t i;

	ASSERT_EQ(0, make_small_leaves(self));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, HUGE_BYTES, APERTURE));
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (length = 1; length <= 512; length = length * 3 + 1)
			check_pattern(_metadata, self, length * self->page,
				      self->page, self->page, offsets[i]);
	}
}

/* Bits that are set stay set, and a bit can stand for more than there can be. */
TEST_F(dirty, bits_are_added)
{
	const __u64 page = self->page;
	struct dirty_range range = range_of(APERTURE, 64 * page, page);

	ASSERT_EQ(0, make_small_leaves(self));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, 64 * page, APERTURE));
	memset(self->bits, 0x11, 8);
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + 9 * page));
	ASSERT_EQ(0, get_dirty(self->fd, self->hwpt, 0, &range, self->bits));
	EXPECT_EQ(0x11, self->bits[0]);
	EXPECT_EQ(0x13, self->bits[1]);
	EXPECT_EQ(0x11, self->bits[2]);

	for (__u64 size = 1ULL << 31; size; size <<= 1) {
		ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
		ASSERT_EQ(0, read_bits(self, 0, 0, size, size));
		EXPECT_EQ(1, self->bits[0]);
		ASSERT_EQ(0, read_bits(self, 0, 0, size, size));
		EXPECT_EQ(0, self->bits[0]);
	}
}

/* -- leaves that are asked for in part */

/*
 * Each part is told that it is dirty as long as nobody has asked for all. Scenario 35.
 */
TEST_F(dirty, part_of_a_leaf)
{
	const __u64 page = self->page, length = BYTES;
	const __u64 parts[][2] = {
		{ 0, page }, { page, page }, { HUGE_BYTES - page, page },
		{ HUGE_BYTES - page, 2 * page }, { 3 * page, HUGE_BYTES },
		{ HUGE_BYTES / 2 + page, 2 * HUGE_BYTES },
	};
	size_t i;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, length, APERTURE));
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		const __u64 iova = APERTURE + parts[i][0];
		__u64 first, offset, n = 0;

		/* every leaf that there can be */
		for (offset = 0; offset < length; offset += page)
			ASSERT_EQ(0, write_at(self->fd, self->hwpt,
					      APERTURE + offset));
		ASSERT_EQ(0, read_bits(self, 0, iova, parts[i][1], page));
		EXPECT_EQ(parts[i][1] / page,
			  count_bits(self->bits, parts[i][1] / page));
		/* what lies outside is still told, as is what it is in one leaf with */
		ASSERT_EQ(0, read_bits(self, 0, APERTURE, length, page));
		for (offset = 0; offset < length; offset += page) {
			first = APERTURE + offset;
			n += first >= iova && first < iova + parts[i][1];
			if (first < iova || first >= iova + parts[i][1])
				EXPECT_TRUE(is_set(self->bits, offset / page));
		}
		EXPECT_EQ(parts[i][1] / page, n);
		EXPECT_TRUE(is_clean(self, APERTURE, length));
	}
}

/*
 * A bit for each huge page that shares a leaf with one: of a driver with leaves of any
 * power of two, neighbours in physical memory may. Nothing is dirty then.
 */
static __u8 shares_leaf(FIXTURE_DATA(dirty) *self, __u64 nth)
{
	if (write_at(self->fd, self->hwpt, APERTURE + nth * HUGE_BYTES) ||
	    read_bits(self, 0, APERTURE, BYTES, HUGE_BYTES))
		return 0;
	return self->bits[0];
}

/* Leaves inside of what is asked for are cleared although its ends cut others. */
TEST_F(dirty, middle_is_cleared)
{
	const __u64 nr_huge = BYTES / HUGE_BYTES, page = self->page;
	__u8 cut, shared[8];
	__u64 nth;

	if (variant->leaf_bytes <= self->page)
		SKIP(return, "it has no large leaves");
	ASSERT_GE(ARRAY_SIZE(shared), nr_huge);
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, BYTES, APERTURE));
	for (nth = 0; nth < nr_huge; nth++) {
		shared[nth] = shares_leaf(self, nth);
		ASSERT_TRUE(shared[nth] & 1 << nth);
	}
	for (nth = 0; nth < nr_huge; nth++)
		ASSERT_EQ(0, write_at(self->fd, self->hwpt,
				      APERTURE + nth * HUGE_BYTES));
	ASSERT_EQ(0, read_bits(self, 0, APERTURE + page, BYTES - 2 * page, page));
	ASSERT_EQ(0, read_bits(self, 0, APERTURE, BYTES, HUGE_BYTES));
	/* the first one was cut; the last one only where it is not made of two */
	cut = 1;
	if (variant->leaf_bytes == HUGE_BYTES)
		cut |= 1 << (nr_huge - 1);
	for (nth = 0; nth < nr_huge; nth++)
		EXPECT_EQ(!!(shared[nth] & cut), is_set(self->bits, nth));
	EXPECT_TRUE(is_clean(self, APERTURE, BYTES));
}

/* -- holes */

/* Scenario 36. */
TEST_F(dirty, holes)
{
	const __u64 page = self->page;
	/* where an area begins, of how many pages */
	const __u64 areas[][2] = {
		{ 3 * page, 1 },
		{ 5 * page, 7 },
		{ HUGE_BYTES - page, 1 },
		{ HUGE_BYTES + page, 511 },
		/* holes that begin and end where a table does */
		{ 3 * HUGE_BYTES, 512 },
		{ 6 * HUGE_BYTES, 512 },
		{ 7 * HUGE_BYTES + 17 * page, 1024 },
		{ 10 * HUGE_BYTES, 1 },
	};
	const __u64 length = 12 * HUGE_BYTES;
	unsigned int round;
	__u64 bit, n = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(areas); i++) {
		__u64 va = areas[i][0] % HUGE_BYTES ? self->small : self->large;

		ASSERT_EQ(0, map_at(self->fd, self->ioas, va, areas[i][1] * page,
				    APERTURE + areas[i][0]));
		n += areas[i][1];
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(areas); i++) {
			struct dirty_range range = range_of(APERTURE + areas[i][0],
							    areas[i][1] * page, page);

			memset(self->bits, 0xff, BITMAP_BYTES);
			ASSERT_EQ(0, write_dirty(self->fd, self->hwpt, &range,
						 self->bits, &bit));
			EXPECT_EQ(areas[i][1], bit);
		}
		ASSERT_EQ(0, read_bits(self, round ? 0 : NO_CLEAR, APERTURE, length,
				       page));
		EXPECT_EQ(n, count_bits(self->bits, length / page));
		for (i = 0; i < ARRAY_SIZE(areas); i++) {
			for (bit = 0; bit < areas[i][1]; bit++)
				EXPECT_TRUE(is_set(self->bits,
						   areas[i][0] / page + bit));
		}
	}
	EXPECT_TRUE(is_clean(self, APERTURE, length));
	/* nothing but a hole, with areas on both sides */
	ASSERT_EQ(0, read_bits(self, 0, APERTURE + 4 * page, page, page));
	EXPECT_EQ(0, self->bits[0]);
	/* and from there on */
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + 10 * HUGE_BYTES));
	ASSERT_EQ(0, read_bits(self, 0, APERTURE + 4 * page,
			       length - 4 * page, page));
	EXPECT_EQ(1, count_bits(self->bits, length / page));
}

/* -- a bitmap of several windows */

/* Bits of a byte, so that a megabyte of bitmap is soon full. */
#define WINDOW_RANGE	(24UL << 20)

/* Scenario 34. */
TEST_F(dirty, bitmap_ends_half_way)
{
	const __u64 page = self->page;
	__u8 *bits = anonymous(WINDOW_RANGE / 8);
	struct dirty_range range = range_of(APERTURE, WINDOW_RANGE, 1);
	/* in the first, the second and the last window */
	const __u64 places[] = { 0, 5UL << 20, (15UL << 20) + page,
				 WINDOW_RANGE - page };
	const size_t nr = ARRAY_SIZE(places);
	const size_t good = WINDOW_RANGE / 8 - 2 * page;
	__u64 byte;
	size_t i;

	ASSERT_NE(NULL, bits);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small + i * page, page,
				    APERTURE + places[i]));
		ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + places[i]));
	}
	ASSERT_EQ(0, mprotect(bits + good, 2 * page, PROT_READ));
	ASSERT_EQ(-EFAULT, get_dirty(self->fd, self->hwpt, 0, &range, bits));
	/* what came before has been taken and told */
	for (i = 0; i + 1 < nr; i++) {
		for (byte = 0; byte < page; byte += variant->granule)
			EXPECT_EQ(byte < variant->granule,
				  is_set(bits, places[i] + byte));
		EXPECT_TRUE(is_clean(self, APERTURE + places[i], page));
	}
	EXPECT_EQ((nr - 1) * variant->granule, count_bits(bits, good * 8));
	/* what had no place is still there */
	EXPECT_FALSE(is_clean(self, APERTURE + places[nr - 1], page));
	ASSERT_EQ(0, mprotect(bits + good, 2 * page, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, get_dirty(self->fd, self->hwpt, 0, &range, bits));
	EXPECT_EQ(nr * variant->granule, count_bits(bits, WINDOW_RANGE));
	EXPECT_TRUE(is_clean(self, APERTURE, WINDOW_RANGE));
	munmap(bits, WINDOW_RANGE / 8);
}

/*
 * Leaves on all sides of where a megabyte of bitmap ends: all told, once.
 * Scenario 35.
 */
TEST_F(dirty, leaf_across_windows)
{
	const __u64 page = self->page, start = APERTURE + 3 * page;
	const __u64 iova = APERTURE + 2 * HUGE_BYTES;
	__u8 *bits = anonymous(WINDOW_RANGE / 8);
	struct dirty_range range = range_of(start, WINDOW_RANGE / 2, 1);
	__u64 bit;

	ASSERT_NE(NULL, bits);
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, BYTES, iova));
	for (bit = 0; bit < BYTES; bit += page)
		ASSERT_EQ(0, write_at(self->fd, self->hwpt, iova + bit));
	ASSERT_EQ(0, get_dirty(self->fd, self->hwpt, 0, &range, bits));
	for (bit = 0; bit < WINDOW_RANGE / 2; bit++) {
		const __u64 offset = start + bit - iova;
		/* the half of a page that nobody wrote to, where that is a leaf */
		const bool is_dirty = offset < BYTES &&
				      (variant->leaf_bytes > page ||
				       offset % page < variant->granule);

		if (is_set(bits, bit) != is_dirty)
			ASSERT_EQ(0, 1) TH_LOG("bit %llu", bit);
	}
	EXPECT_TRUE(is_clean(self, iova, BYTES));
	munmap(bits, WINDOW_RANGE / 8);
}

/* -- who comes and goes */

/* Scenario 37. */
TEST_F(dirty, domain_comes_later)
{
	const __u64 page = self->page, length = 64 * page;
	__u32 first = self->hwpt;

	ASSERT_EQ(0, make_small_leaves(self));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	ASSERT_EQ(0, write_at(self->fd, first, APERTURE + page));
	ASSERT_EQ(0, hwpt_alloc(self->fd, TRACKING, self->mock.idev, self->ioas,
				&self->hwpt));
	/* each has bits of its own, and a switch of its own */
	EXPECT_EQ(-EINVAL, get_range(self, self->hwpt, APERTURE, length, page));
	ASSERT_EQ(0, set_dirty(self->fd, self->hwpt, ENABLE));
	EXPECT_TRUE(is_clean(self, APERTURE, length));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + 2 * page));
	ASSERT_EQ(0, read_bits(self, 0, APERTURE, length, page));
	EXPECT_EQ(4, self->bits[0]);
	ASSERT_EQ(0, destroy(self->fd, self->hwpt));
	self->hwpt = first;
	ASSERT_EQ(0, read_bits(self, 0, APERTURE, length, page));
	EXPECT_EQ(2, self->bits[0]);
	/* what is unmapped takes its bits along */
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + 3 * page));
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	EXPECT_EQ(-ENXIO, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_TRUE(is_clean(self, APERTURE, length));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	EXPECT_TRUE(is_clean(self, APERTURE, length));
}

/* Scenario 37. */
TEST_F(dirty, device_that_cannot_track)
{
	struct mock other, tracking;
	__u32 hwpt;

	EXPECT_EQ(-EINVAL, mock_device_flags(self->fd, self->hwpt,
					     variant->dev_flags | NO_DIRTY, &other));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas,
				       variant->dev_flags | NO_DIRTY, &other));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(self->fd, TRACKING, other.idev, self->ioas,
					  &hwpt));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &other, self->hwpt));
	/* it is where it was */
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, other.idev, self->ioas, &hwpt));
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(self->fd, hwpt, ENABLE));
	EXPECT_EQ(0, mock_replace(self->fd, &other, hwpt));
	/* others can come and go while it tracks */
	ASSERT_EQ(0, mock_device_flags(self->fd, self->hwpt, variant->dev_flags,
				       &tracking));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->hwpt));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, self->page, APERTURE));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_EQ(0, destroy(self->fd, tracking.stdev));
	EXPECT_FALSE(is_clean(self, APERTURE, self->page));
}

static int move_device(const struct task *task)
{
	return mock_replace(task->fd, task->mock, task->id);
}

static int destroy_device(const struct task *task)
{
	return destroy(task->fd, task->mock->stdev);
}

static int switch_on(const struct task *task)
{
	return set_dirty(task->fd, task->id, ENABLE);
}

/*
 * A device comes to @target, whose bits are those of @hwpt, while these are switched
 * on: what the device writes to is dirty as soon as both have returned.
 */
static void check_device_comes(struct __test_metadata *_metadata,
			       FIXTURE_DATA(dirty) *self, __u32 target)
{
	struct task move = { move_device, self->fd, &self->mock, target };
	struct task start = { switch_on, self->fd, NULL, self->hwpt };

	ASSERT_EQ(0, set_dirty(self->fd, self->hwpt, 0));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->ioas));
	ASSERT_EQ(0, close_gate(ATTACH_GATE, 0, 0));
	ASSERT_EQ(0, begin_task(&move));
	ASSERT_TRUE(gate_is_busy(ATTACH_GATE));
	ASSERT_EQ(0, begin_task(&start));
	let_overtake();
	ASSERT_EQ(0, open_gate(ATTACH_GATE));
	EXPECT_EQ(0, end_task(&move));
	EXPECT_EQ(0, end_task(&start));
	EXPECT_TRUE(is_clean(self, APERTURE, self->page));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_FALSE(is_clean(self, APERTURE, self->page));
}

TEST_F(dirty, device_comes_meanwhile)
{
	__u32 nested;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, self->page, APERTURE));
	check_device_comes(_metadata, self, self->hwpt);

	ASSERT_EQ(0, hwpt_alloc(self->fd, TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT,
				self->mock.idev, self->ioas, &self->hwpt));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->hwpt, 0, &nested));
	check_device_comes(_metadata, self, nested);
}

/* A device goes while the bits are switched on, and is not let in again. */
TEST_F(dirty, device_goes_meanwhile)
{
	struct task tasks[] = {
		{ move_device, self->fd, &self->mock, self->ioas },
		{ destroy_device, self->fd, &self->mock },
	};
	struct task start = { switch_on, self->fd, NULL, self->hwpt };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->hwpt));
		ASSERT_EQ(0, set_dirty(self->fd, self->hwpt, 0));
		ASSERT_EQ(0, close_gate(TRACK_GATE, 0, 0));
		ASSERT_EQ(0, begin_task(&start));
		ASSERT_TRUE(gate_is_busy(TRACK_GATE));
		ASSERT_EQ(0, begin_task(&tasks[i]));
		let_overtake();
		ASSERT_EQ(0, open_gate(TRACK_GATE));
		EXPECT_EQ(0, end_task(&start));
		EXPECT_EQ(0, end_task(&tasks[i]));
	}
}

struct mapper {
	int fd;
	__u32 ioas;
	__u64 va;
	__u64 length;
	__u64 iova;
	int rc;
};

static void *map_one(void *arg)
{
	struct mapper *mapper = arg;

	mapper->rc = map_at(mapper->fd, mapper->ioas, mapper->va, mapper->length,
			    mapper->iova);
	return NULL;
}

/* A map that is under way is in nobody's way. Scenario 37. */
TEST_F(dirty, while_somebody_maps)
{
	struct mapper mapper = {
		.fd = self->fd,
		.ioas = self->ioas,
		.va = self->small,
		.length = HUGE_BYTES,
		.iova = APERTURE + HUGE_BYTES,
	};
	pthread_t thread;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->large, HUGE_BYTES, APERTURE));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	/* the pages in front of the gate get mapped, or not */
	ASSERT_EQ(0, close_gate(PIN_GATE, self->small + HUGE_BYTES / 2,
				self->small + HUGE_BYTES - 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, map_one, &mapper));
	ASSERT_TRUE(gate_is_busy(PIN_GATE));
	EXPECT_EQ(0, set_dirty(self->fd, self->hwpt, 0));
	EXPECT_EQ(0, set_dirty(self->fd, self->hwpt, ENABLE));
	EXPECT_TRUE(is_clean(self, APERTURE, 2 * HUGE_BYTES));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE));
	EXPECT_EQ(0, read_bits(self, 0, APERTURE, 2 * HUGE_BYTES, self->page));
	EXPECT_TRUE(is_set(self->bits, 0));
	ASSERT_EQ(0, open_gate(PIN_GATE));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, mapper.rc);
	EXPECT_TRUE(is_clean(self, APERTURE, 2 * HUGE_BYTES));
	ASSERT_EQ(0, write_at(self->fd, self->hwpt, APERTURE + HUGE_BYTES));
	EXPECT_FALSE(is_clean(self, APERTURE, 2 * HUGE_BYTES));
}

/* -- everybody at once */

#define SECONDS	2
/* The first area stays, the others come and go. */
#define SLOTS	6
#define SLOT_BYTES	(2 * HUGE_BYTES)

struct crowd {
	int fd;
	__u32 ioas;
	__u32 hwpt;
	__u32 idev;
	__u64 page;
	__u64 memory[2];
	/* what was written to of the area that stays, and what was read of it */
	__u8 written[256];
	__u8 seen[256];
	bool stops;
	int rc;
};

static bool goes_on(struct crowd *crowd)
{
	return !__atomic_load_n(&crowd->stops, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&crowd->rc, __ATOMIC_RELAXED);
}

/* Anything but these outcomes is the end of it. */
static void note(struct crowd *crowd, int rc, int allowed)
{
	if (rc && rc != allowed)
		__atomic_store_n(&crowd->rc, rc, __ATOMIC_RELAXED);
}

static void *come_and_go(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int seed = 1, n = 0;

	while (goes_on(crowd)) {
		__u64 slot = 1 + rand_r(&seed) % (SLOTS - 1);
		__u64 iova = APERTURE + slot * SLOT_BYTES;

		iova += rand_r(&seed) % 3 * 7 * crowd->page;
		note(crowd, map_at(crowd->fd, crowd->ioas, crowd->memory[n++ % 2],
				   (1 + rand_r(&seed) % 600) * crowd->page, iova),
		     -EEXIST);
		slot = 1 + rand_r(&seed) % (SLOTS - 1);
		note(crowd, unmap(crowd->fd, crowd->ioas,
				  APERTURE + slot * SLOT_BYTES, SLOT_BYTES, NULL),
		     -ENOENT);
	}
	return NULL;
}

/* Another table in the IOAS, on which tracking goes on and off. */
static void *switch_other(void *arg)
{
	struct crowd *crowd = arg;
	struct dirty_range range = range_of(APERTURE, SLOTS * SLOT_BYTES,
					    crowd->page);
	__u8 bits[SLOTS * SLOT_BYTES / 4096 / 8];
	__u32 hwpt;

	while (goes_on(crowd)) {
		note(crowd, hwpt_alloc(crowd->fd, TRACKING, crowd->idev, crowd->ioas,
				       &hwpt), 0);
		note(crowd, set_dirty(crowd->fd, hwpt, ENABLE), 0);
		note(crowd, get_dirty(crowd->fd, hwpt, 0, &range, bits), 0);
		note(crowd, set_dirty(crowd->fd, hwpt, 0), 0);
		note(crowd, get_dirty(crowd->fd, hwpt, 0, &range, bits), -EINVAL);
		note(crowd, set_dirty(crowd->fd, hwpt, ENABLE), 0);
		note(crowd, destroy(crowd->fd, hwpt), 0);
	}
	return NULL;
}

/* A device that writes all the time, to the one area and to the others. */
static void *write_all_the_time(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int seed = 2;

	while (goes_on(crowd)) {
		__u64 page = rand_r(&seed) % (8 * sizeof(crowd->written));
		__u64 iova = APERTURE + rand_r(&seed) % SLOTS * SLOT_BYTES;

		if (page < 512) {
			note(crowd, write_at(crowd->fd, crowd->hwpt,
					     APERTURE + page * crowd->page), 0);
			set_bit(crowd->written, page);
		}
		note(crowd, write_at(crowd->fd, crowd->hwpt,
				     iova + page % 1024 * crowd->page), -ENXIO);
	}
	return NULL;
}

static int read_crowd(struct crowd *crowd)
{
	struct dirty_range range = range_of(APERTURE, SLOTS * SLOT_BYTES,
					    crowd->page);
	static __u8 bits[SLOTS * SLOT_BYTES / 4096 / 8];
	size_t i;
	int rc;

	memset(bits, 0, sizeof(bits));
	rc = get_dirty(crowd->fd, crowd->hwpt, 0, &range, bits);
	for (i = 0; i < 512 / 8; i++)
		crowd->seen[i] |= bits[i];
	return rc;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void *(*const all[])(void *) = { come_and_go, switch_other,
					write_all_the_time };

/* Nothing that was written to is lost. Scenario 37. */
TEST_F(dirty, crowd)
{
	static struct crowd crowd;
	pthread_t threads[ARRAY_SIZE(all)];
	double end;
	size_t i;

	crowd = (struct crowd){
		.fd = self->fd,
		.ioas = self->ioas,
		.hwpt = self->hwpt,
		.idev = self->mock.idev,
		.page = self->page,
		.memory = { self->small, self->large },
	};
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, 512 * self->page,
			    APERTURE));
	for (i = 0; i < ARRAY_SIZE(all); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, all[i], &crowd));
	for (end = now() + SECONDS; now() < end && goes_on(&crowd);)
		note(&crowd, read_crowd(&crowd), 0);
	__atomic_store_n(&crowd.stops, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, crowd.rc);
	EXPECT_EQ(0, read_crowd(&crowd));
	for (i = 0; i < 512; i++) {
		if (is_set(crowd.written, i))
			EXPECT_TRUE(is_set(crowd.seen, i));
	}
	EXPECT_TRUE(is_clean(self, APERTURE, SLOTS * SLOT_BYTES));
}

/* -- the op of the mock */

TEST_F(dirty, op_errors)
{
	const __u64 page = self->page;
	struct dirty_range range = range_of(APERTURE, page, page);
	__u64 nr_dirty;
	int fd = self->fd;

	EXPECT_EQ(-EINVAL, write_dirty(fd, self->hwpt, &range, NULL, NULL));
	EXPECT_EQ(-ENOENT, write_dirty(fd, NO_SUCH_ID, &range, self->bits, NULL));
	EXPECT_EQ(-ENOENT, write_dirty(fd, self->ioas, &range, self->bits, NULL));
	EXPECT_EQ(-EINVAL, write_dirty(fd, self->mock.hwpt, &range, self->bits, NULL));
	EXPECT_EQ(-EFAULT, write_dirty(fd, self->hwpt, &range, (void *)-1L, NULL));
	range = range_of(APERTURE, page, 0);
	EXPECT_EQ(-EINVAL, write_dirty(fd, self->hwpt, &range, self->bits, NULL));
	range = range_of(APERTURE, 0, page);
	EXPECT_EQ(-EINVAL, write_dirty(fd, self->hwpt, &range, self->bits, NULL));
	range = range_of(APERTURE + 1, page, page);
	EXPECT_EQ(-EINVAL, write_dirty(fd, self->hwpt, &range, self->bits, NULL));
	range = range_of(APERTURE, page + 1, page);
	EXPECT_EQ(-EINVAL, write_dirty(fd, self->hwpt, &range, self->bits, NULL));
	range = range_of(0, (1UL << 27) + 1, 1);
	EXPECT_EQ(-EOVERFLOW, write_dirty(fd, self->hwpt, &range, self->bits, NULL));
	/* written to or not before: what counts is that something is there */
	ASSERT_EQ(0, map_at(fd, self->ioas, self->small, 2 * page, APERTURE + page));
	range = range_of(APERTURE, 4 * page, page);
	self->bits[0] = 0xf;
	EXPECT_EQ(0, write_dirty(fd, self->hwpt, &range, self->bits, &nr_dirty));
	EXPECT_EQ(2, nr_dirty);
	EXPECT_EQ(0, write_dirty(fd, self->hwpt, &range, self->bits, &nr_dirty));
	EXPECT_EQ(2, nr_dirty);
}

TEST_HARNESS_MAIN
