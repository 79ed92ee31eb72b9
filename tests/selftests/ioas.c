// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOAS that no device uses: its ranges, MAP, UNMAP, ALLOW_IOVAS and OPTION,
 * with every errno, and which error wins when there is a choice.
 */
#include <linux/types.h>

#include "calls.h"
#include "harness.h"

FIXTURE(ioas)
{
	int fd;
	__u32 id;
	__u64 page;
	/* the start of 4 MiB of memory, aligned to 2 MiB */
	__u64 va;
};

FIXTURE_SETUP(ioas)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->id));
	self->page = page_bytes();
	self->va = (uintptr_t)anonymous(2 * HUGE_BYTES);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(ioas)
{
	ASSERT_EQ(0, close(self->fd));
}

/* -- objects */

TEST_F(ioas, alloc_knows_no_flags)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	int bit;

	for (bit = 0; bit < 32; bit++) {
		arg.flags = 1u << bit;
		EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_IOAS_ALLOC, &arg))
			TH_LOG("bit %d", bit);
	}
}

TEST_F(ioas, destroyed_with_mappings)
{
	int i;

	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, map_at(self->fd, self->id, self->va, self->page,
				    2 * i * self->page));
	}
	EXPECT_EQ(0, destroy(self->fd, self->id));
	EXPECT_EQ(-ENOENT, map_at(self->fd, self->id, self->va, self->page, 0));
}

/* -- IOVA_RANGES */

TEST_F(ioas, fresh_ranges)
{
	struct iommu_iova_range ranges[3] = { { 1, 2 }, { 3, 4 }, { 5, 6 } };
	__u64 alignment = 0;
	__u32 num = 3;

	ASSERT_EQ(0, iova_ranges(self->fd, self->id, ranges, &num, &alignment));
	EXPECT_EQ(1, num);
	EXPECT_EQ(1, alignment);
	EXPECT_EQ(0, ranges[0].start);
	EXPECT_EQ(UINT64_MAX, ranges[0].last);
	/* behind the last range nothing is written */
	EXPECT_EQ(3, ranges[1].start);
	EXPECT_EQ(4, ranges[1].last);
	EXPECT_EQ(5, ranges[2].start);
	EXPECT_EQ(6, ranges[2].last);
}

TEST_F(ioas, ranges_size_query)
{
	__u64 alignment = 0;
	__u32 num = 0;

	EXPECT_EQ(-EMSGSIZE, iova_ranges(self->fd, self->id, NULL, &num, &alignment));
	EXPECT_EQ(1, num);
	EXPECT_EQ(1, alignment);
}

TEST_F(ioas, ranges_errors)
{
	struct iommu_iova_range range;
	struct iommu_ioas_iova_ranges arg = {
		.size = sizeof(arg),
		.ioas_id = self->id,
		.num_iovas = 1,
		.__reserved = 1,
		.allowed_iovas = (uintptr_t)&range,
	};
	__u64 alignment;
	__u32 num = 1;

	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_IOAS_IOVA_RANGES, &arg));
	EXPECT_EQ(-ENOENT, iova_ranges(self->fd, NO_SUCH_ID, &range, &num, &alignment));
	num = 1;
	EXPECT_EQ(-EFAULT, iova_ranges(self->fd, self->id, NULL, &num, &alignment));
}

TEST_F(ioas, ranges_with_mappings_are_the_same)
{
	struct iommu_iova_range range;
	__u64 alignment;
	__u32 num = 1;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, self->page, self->page));
	ASSERT_EQ(0, iova_ranges(self->fd, self->id, &range, &num, &alignment));
	EXPECT_EQ(0, range.start);
	EXPECT_EQ(UINT64_MAX, range.last);
}

/* -- MAP */

/* A call of MAP and the outcome that it must have. */
struct map_case {
	const char *why;
	int want;
	struct iommu_ioas_map arg;
};

static void try_maps(struct __test_metadata *_metadata, int fd,
		     struct map_case *cases, size_t num)
{
	size_t i;

	for (i = 0; i < num; i++) {
		cases[i].arg.size = sizeof(cases[i].arg);
		EXPECT_EQ(cases[i].want,
			  command(fd, IOMMU_IOAS_MAP, &cases[i].arg))
			TH_LOG("%s", cases[i].why);
	}
}

#define TRY_MAPS(cases) try_maps(_metadata, self->fd, cases, ARRAY_SIZE(cases))

TEST_F(ioas, map_errors)
{
	const __u64 va = self->va, page = self->page;
	const __u32 id = self->id;
	struct map_case cases[] = {
		{ "flag 8", -EOPNOTSUPP, { .flags = RW | FIXED | 8, .ioas_id = id,
			.user_va = va, .length = page } },
		{ "flag 1 << 31", -EOPNOTSUPP, { .flags = RW | 1u << 31, .ioas_id = id,
			.user_va = va, .length = page } },
		{ "reserved", -EOPNOTSUPP, { .flags = RW, .ioas_id = id,
			.__reserved = 1, .user_va = va, .length = page } },
		{ "length ULONG_MAX", -EOVERFLOW, { .flags = RW, .ioas_id = id,
			.user_va = 0, .length = UINT64_MAX } },
		{ "iova ULONG_MAX", -EOVERFLOW, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va, .length = 1, .iova = UINT64_MAX } },
		{ "iova ULONG_MAX, not fixed", -EOVERFLOW, { .flags = RW,
			.ioas_id = id, .user_va = va, .length = 1,
			.iova = UINT64_MAX } },
		{ "no permission", -EINVAL, { .flags = FIXED, .ioas_id = id,
			.user_va = va, .length = page } },
		{ "no IOAS", -ENOENT, { .flags = RW, .ioas_id = NO_SUCH_ID,
			.user_va = va, .length = page } },
		{ "no length", -EINVAL, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va } },
		{ "no length, not fixed", -EINVAL, { .flags = RW, .ioas_id = id,
			.user_va = va } },
		{ "user_va wraps", -EOVERFLOW, { .flags = RW, .ioas_id = id,
			.user_va = -page, .length = 2 * page } },
		{ "user_va wraps far", -EOVERFLOW, { .flags = RW, .ioas_id = id,
			.user_va = va, .length = -page } },
		{ "iova wraps", -EOVERFLOW, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va, .length = 2 * page, .iova = -page } },
		{ "iova wraps by one", -EOVERFLOW, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va, .length = page + 1,
			.iova = -page } },
	};
	__u64 bytes;

	TRY_MAPS(cases);
	ASSERT_EQ(0, unmap_all(self->fd, id, &bytes));
	EXPECT_EQ(0, bytes);
}

/*
 * Each case has two things wrong, and the one that is checked first decides.
 * Scenario 6.
 */
TEST_F(ioas, map_order_of_checks)
{
	const __u64 va = self->va, page = self->page;
	const __u32 id = self->id;
	struct map_case cases[] = {
		{ "flags before overflow", -EOPNOTSUPP, { .flags = RW | 8,
			.ioas_id = id, .user_va = va, .length = UINT64_MAX } },
		{ "reserved before IOAS", -EOPNOTSUPP, { .flags = RW,
			.ioas_id = NO_SUCH_ID, .__reserved = 1, .user_va = va,
			.length = page } },
		{ "overflow before permission", -EOVERFLOW, { .flags = FIXED,
			.ioas_id = id, .user_va = va, .length = UINT64_MAX } },
		{ "overflow before IOAS", -EOVERFLOW, { .flags = RW,
			.ioas_id = NO_SUCH_ID, .user_va = va, .length = page,
			.iova = UINT64_MAX } },
		{ "permission before IOAS", -EINVAL, { .flags = FIXED,
			.ioas_id = NO_SUCH_ID, .user_va = va, .length = page } },
		{ "IOAS before length 0", -ENOENT, { .flags = RW,
			.ioas_id = NO_SUCH_ID, .user_va = va } },
		{ "IOAS before wrap", -ENOENT, { .flags = RW,
			.ioas_id = NO_SUCH_ID, .user_va = -page,
			.length = 2 * page } },
		{ "user_va wrap before overlap", -EOVERFLOW, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = -page, .length = 2 * page,
			.iova = 0 } },
		{ "iova wrap before overlap", -EOVERFLOW, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va, .length = 2 * page,
			.iova = -page } },
		{ "length 0 before overlap", -EINVAL, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va, .iova = 0 } },
	};

	ASSERT_EQ(0, map_at(self->fd, id, va, page, 0));
	ASSERT_EQ(0, map_at(self->fd, id, va, page, -page));
	TRY_MAPS(cases);
}

/* With large pages off, the alignment is a page even without a device. */
TEST_F(ioas, map_alignment_and_its_order)
{
	const __u64 va = self->va, page = self->page;
	const __u32 id = self->id;
	struct map_case cases[] = {
		{ "length", -EINVAL, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va, .length = page + 1, .iova = 8 * page } },
		{ "length, not fixed", -EINVAL, { .flags = RW, .ioas_id = id,
			.user_va = va, .length = page - 1 } },
		{ "iova", -EINVAL, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va, .length = page, .iova = 8 * page + 1 } },
		{ "user_va", -EINVAL, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va + 1, .length = page, .iova = 8 * page } },
		{ "user_va, not fixed", -EINVAL, { .flags = RW, .ioas_id = id,
			.user_va = va + 1, .length = page } },
		{ "user_va wrap before length", -EOVERFLOW, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = -page, .length = 2 * page + 1,
			.iova = 8 * page } },
		{ "length before iova wrap", -EINVAL, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va, .length = page + 1,
			.iova = -page } },
		{ "iova before its wrap", -EINVAL, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va, .length = page,
			.iova = -page + 1 } },
		{ "overlap before user_va", -EEXIST, { .flags = RW | FIXED,
			.ioas_id = id, .user_va = va + 1, .length = page,
			.iova = page } },
		{ "all is well", 0, { .flags = RW | FIXED, .ioas_id = id,
			.user_va = va, .length = page, .iova = 8 * page } },
	};

	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	ASSERT_EQ(0, map_at(self->fd, id, va, page, page));
	TRY_MAPS(cases);
}

TEST_F(ioas, map_permissions)
{
	static const __u32 flags[] = {
		IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE, RW,
	};
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.ioas_id = self->id,
		.user_va = self->va,
		.length = self->page,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		arg.flags = flags[i];
		EXPECT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, &arg));
	}
}

TEST_F(ioas, map_to_both_ends_of_the_space)
{
	__u64 bytes;

	EXPECT_EQ(0, map_at(self->fd, self->id, self->va, self->page, 0));
	EXPECT_EQ(0, map_at(self->fd, self->id, self->va, self->page, -self->page));
	EXPECT_EQ(0, unmap(self->fd, self->id, -self->page, self->page, &bytes));
	EXPECT_EQ(self->page, bytes);
	/* a single byte at the highest address that MAP accepts */
	EXPECT_EQ(0, map_at(self->fd, self->id, self->va, 1, UINT64_MAX - 1));
	EXPECT_EQ(0, unmap(self->fd, self->id, UINT64_MAX - 1, 1, &bytes));
	EXPECT_EQ(1, bytes);
}

TEST_F(ioas, map_bytes_side_by_side)
{
	__u64 i, bytes;

	for (i = 0; i < 64; i++)
		ASSERT_EQ(0, map_at(self->fd, self->id, self->va + 3 * i, 1, 77 + i));
	for (i = 0; i < 64; i++)
		ASSERT_EQ(-EEXIST, map_at(self->fd, self->id, self->va, 1, 77 + i));
	ASSERT_EQ(0, unmap(self->fd, self->id, 77, 64, &bytes));
	EXPECT_EQ(64, bytes);
}

TEST_F(ioas, map_with_different_offsets_in_the_page)
{
	const __u64 half = self->page / 2;

	EXPECT_EQ(0, map_at(self->fd, self->id, self->va, self->page, half));
	EXPECT_EQ(0, map_at(self->fd, self->id, self->va + half, self->page,
			    half + self->page));
	EXPECT_EQ(0, map_at(self->fd, self->id, self->va + 1, 3 * self->page - 2,
			    half + 2 * self->page));
}

TEST_F(ioas, map_overlaps)
{
	const __u64 page = self->page, first = 16 * page, last = first + 4 * page - 1;
	const struct { __u64 iova, length; int want; } cases[] = {
		{ first, 4 * page, -EEXIST },
		{ first + page, page, -EEXIST },
		{ first, 1, -EEXIST },
		{ last, 1, -EEXIST },
		{ first - page, 6 * page, -EEXIST },
		{ first - page, page + 1, -EEXIST },
		{ last, page, -EEXIST },
		{ 0, 1ULL << 63, -EEXIST },
		{ first - page, page, 0 },
		{ last + 1, page, 0 },
	};
	unsigned int i;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 4 * page, first));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].want, map_at(self->fd, self->id, 0,
						cases[i].length, cases[i].iova))
			TH_LOG("case %u", i);
	}
}

/* Nothing looks at the memory until a device or an access needs it. */
TEST_F(ioas, map_of_no_memory)
{
	void *gone = mmap(NULL, self->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	__u64 iova;

	ASSERT_NE(MAP_FAILED, gone);
	EXPECT_EQ(0, map_any(self->fd, self->id, (uintptr_t)gone, self->page, &iova));
	ASSERT_EQ(0, munmap(gone, self->page));
	EXPECT_EQ(0, map_any(self->fd, self->id, (uintptr_t)gone, self->page, &iova));
	EXPECT_EQ(0, map_any(self->fd, self->id, 0, self->page, &iova));
	EXPECT_EQ(0, map_any(self->fd, self->id, -2 * self->page, self->page, &iova));
}

/* Scenario 6. */
TEST_F(ioas, map_of_half_the_address_space)
{
	__u64 iova, bytes;

	ASSERT_EQ(0, map_at(self->fd, self->id, 0, 1ULL << 63, 0));
	ASSERT_EQ(0, map_at(self->fd, self->id, 0, (1ULL << 63) - self->page,
			    1ULL << 63));
	/* one page is left, and it is the one that is never chosen */
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->id, self->va, self->page, &iova));
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(-self->page, bytes);
}

/* -- automatic IOVA */

static __u64 wanted_alignment(__u64 va, __u64 length)
{
	__u64 alignment = 1;

	while (alignment < length && alignment < HUGE_BYTES && !(va & alignment))
		alignment <<= 1;
	return alignment;
}

TEST_F(ioas, auto_iova_is_lowest_and_never_zero)
{
	__u64 iova, i;

	for (i = 1; i <= 16; i++) {
		ASSERT_EQ(0, map_any(self->fd, self->id, self->va, self->page, &iova));
		EXPECT_EQ(i * self->page, iova);
	}
	ASSERT_EQ(0, unmap(self->fd, self->id, 7 * self->page, self->page, NULL));
	ASSERT_EQ(0, unmap(self->fd, self->id, 4 * self->page, self->page, NULL));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, self->page, &iova));
	EXPECT_EQ(4 * self->page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, self->page, &iova));
	EXPECT_EQ(7 * self->page, iova);
}

TEST_F(ioas, auto_iova_alignment)
{
	__u64 pages, shift, iova;

	for (pages = 1; pages <= 1024; pages += pages < 16 ? 1 : 101) {
		for (shift = 0; shift < 6; shift++) {
			__u64 va = self->va + (shift ? self->page << (shift - 1) : 0);
			__u64 length = pages * self->page;

			ASSERT_EQ(0, map_any(self->fd, self->id, va, length, &iova));
			EXPECT_NE(0, iova);
			EXPECT_EQ(0, iova & (wanted_alignment(va, length) - 1))
				TH_LOG("%llu pages from %llx at %llx", pages, va, iova);
		}
	}
}

TEST_F(ioas, auto_iova_takes_the_hole_that_fits)
{
	const __u64 page = self->page;
	__u64 iova;

	/* holes of one page at 1, of two at 4, of four at 8 */
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 2 * page, 2 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 2 * page, 6 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 20 * page, 12 * page));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, 4 * page, &iova));
	EXPECT_EQ(8 * page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, 2 * page, &iova));
	EXPECT_EQ(4 * page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(32 * page, iova);
}

TEST_F(ioas, auto_iova_does_not_read_the_field)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW,
		.ioas_id = self->id,
		.user_va = self->va,
		.length = self->page,
		.iova = 0x123456789,
	};

	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, &arg));
	EXPECT_EQ(self->page, arg.iova);
}

/* -- an answer that cannot be delivered */

/* Scenario 57. */
TEST_F(ioas, map_whose_answer_is_unwritable_is_undone)
{
	struct iommu_ioas_map *arg = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 bytes, iova;

	ASSERT_NE(MAP_FAILED, (void *)arg);
	*arg = (struct iommu_ioas_map){
		.size = sizeof(*arg),
		.flags = RW,
		.ioas_id = self->id,
		.user_va = self->va,
		.length = self->page,
	};
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_MAP, arg));
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(0, bytes);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, self->page, &iova));
	EXPECT_EQ(self->page, iova);
}

/* -- UNMAP */

/* Scenario 4. */
TEST_F(ioas, unmap_errors_and_their_order)
{
	const __u64 page = self->page;
	const struct { const char *why; __u32 id; __u64 iova, length; int want; }
	cases[] = {
		{ "IOAS before overflow", NO_SUCH_ID, UINT64_MAX, UINT64_MAX, -ENOENT },
		{ "IOAS before length", NO_SUCH_ID, 0, 0, -ENOENT },
		{ "iova ULONG_MAX", self->id, UINT64_MAX, page, -EOVERFLOW },
		{ "overflow before length 0", self->id, UINT64_MAX, 0, -EOVERFLOW },
		{ "length ULONG_MAX not from 0", self->id, page, UINT64_MAX, -EOVERFLOW },
		{ "no length", self->id, 0, 0, -EINVAL },
		{ "no length in the middle", self->id, 8 * page, 0, -EINVAL },
		{ "wraps", self->id, -page, 2 * page, -EOVERFLOW },
		{ "wraps by one", self->id, -page, page + 1, -EOVERFLOW },
		{ "nothing there", self->id, page, page, -ENOENT },
		{ "nothing in the upper half", self->id, 1ULL << 63, 1ULL << 63, -ENOENT },
	};
	unsigned int i;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, page, 8 * page));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].want, unmap(self->fd, cases[i].id, cases[i].iova,
					       cases[i].length, NULL))
			TH_LOG("%s", cases[i].why);
	}
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->id, self->va, page, 8 * page));
}

/* Scenario 4. */
TEST_F(ioas, unmap_all_of_nothing)
{
	__u64 bytes = 1;

	EXPECT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(0, bytes);
}

TEST_F(ioas, unmap_all_counts_bytes)
{
	__u64 i, bytes, total = 0;

	for (i = 0; i < 300; i++) {
		__u64 length = 1 + i * 13;

		ASSERT_EQ(0, map_at(self->fd, self->id, self->va, length, i << 20));
		total += length;
	}
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(total, bytes);
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(0, bytes);
}

TEST_F(ioas, unmap_never_cuts)
{
	const __u64 page = self->page, first = 16 * page;
	const struct { __u64 iova, length; } cuts[] = {
		{ first, page },
		{ first + page, page },
		{ first + 3 * page, page },
		{ first, 4 * page - 1 },
		{ first + 1, 4 * page - 1 },
		{ 0, first + 1 },
		{ first + 4 * page - 1, 100 * page },
		{ 0, first + 4 * page - 1 },
	};
	unsigned int i;
	__u64 bytes;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 4 * page, first));
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		EXPECT_EQ(-ENOENT, unmap(self->fd, self->id, cuts[i].iova,
					 cuts[i].length, &bytes))
			TH_LOG("cut %u", i);
		EXPECT_EQ(0, bytes)
			TH_LOG("cut %u", i);
	}
	ASSERT_EQ(0, unmap(self->fd, self->id, first, 4 * page, &bytes));
	EXPECT_EQ(4 * page, bytes);
}

TEST_F(ioas, unmap_of_more_than_the_areas)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, page, 8 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 3 * page, 16 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, page, 64 * page));
	ASSERT_EQ(0, unmap(self->fd, self->id, 4 * page, 32 * page, &bytes));
	EXPECT_EQ(4 * page, bytes);
	ASSERT_EQ(0, unmap_all(self->fd, self->id, &bytes));
	EXPECT_EQ(page, bytes);
}

/*
 * Areas below the one that would be cut are gone, and the answer says so.
 * Scenario 3.
 */
TEST_F(ioas, unmap_tells_how_far_it_came)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, page, 8 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 2 * page, 9 * page));
	ASSERT_EQ(0, map_at(self->fd, self->id, self->va, 4 * page, 16 * page));
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->id, 8 * page, 10 * page, &bytes));
	EXPECT_EQ(3 * page, bytes);
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->id, 8 * page, 3 * page, &bytes));
	ASSERT_EQ(0, unmap(self->fd, self->id, 16 * page, 4 * page, &bytes));
	EXPECT_EQ(4 * page, bytes);
}

/* -- ALLOW_IOVAS */

TEST_F(ioas, allow_errors)
{
	struct iommu_iova_range ranges[2] = { { 0x1000, 0x1fff }, { 0x3000, 0x3fff } };
	struct iommu_ioas_allow_iovas arg = {
		.size = sizeof(arg),
		.ioas_id = self->id,
		.num_iovas = 2,
		.__reserved = 1,
		.allowed_iovas = (uintptr_t)ranges,
	};

	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_IOAS_ALLOW_IOVAS, &arg));
	EXPECT_EQ(-ENOENT, allow_iovas(self->fd, NO_SUCH_ID, ranges, 2));
	EXPECT_EQ(-EFAULT, allow_iovas(self->fd, self->id, NULL, 1));
	ranges[1].last = ranges[1].start;
	EXPECT_EQ(-EINVAL, allow_iovas(self->fd, self->id, ranges, 2));
	ranges[1].last = ranges[1].start - 1;
	EXPECT_EQ(-EINVAL, allow_iovas(self->fd, self->id, ranges, 2));
	ranges[1] = ranges[0];
	EXPECT_EQ(-EINVAL, allow_iovas(self->fd, self->id, ranges, 2));
	ranges[1].start = 0x1fff;
	ranges[1].last = 0x2fff;
	EXPECT_EQ(-EINVAL, allow_iovas(self->fd, self->id, ranges, 2));
	EXPECT_EQ(0, allow_iovas(self->fd, self->id, ranges, 1));
	EXPECT_EQ(0, allow_iovas(self->fd, self->id, NULL, 0));
}

TEST_F(ioas, allow_steers_automatic_iova)
{
	const __u64 page = self->page;
	struct iommu_iova_range ranges[2] = {
		{ 100 * page, 102 * page - 1 }, { 102 * page, 103 * page - 1 },
	};
	__u64 iova;

	ASSERT_EQ(0, allow_iovas(self->fd, self->id, ranges, 2));
	/* together they would have room, but a mapping lies in one of them */
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->id, self->va, 3 * page, &iova));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, 2 * page, &iova));
	EXPECT_EQ(100 * page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(102 * page, iova);
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->id, self->va, page, &iova));
	/* a fixed IOVA does not have to be in the list */
	EXPECT_EQ(0, map_at(self->fd, self->id, self->va, page, page));
	/* and with no list all is as before */
	ASSERT_EQ(0, allow_iovas(self->fd, self->id, NULL, 0));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(2 * page, iova);
}

TEST_F(ioas, allow_that_fails_keeps_the_list)
{
	const __u64 page = self->page;
	struct iommu_iova_range good = { 64 * page, 128 * page - 1 };
	struct iommu_iova_range bad[2] = { { 0, 8 * page }, { 4 * page, 9 * page } };
	__u64 iova;

	ASSERT_EQ(0, allow_iovas(self->fd, self->id, &good, 1));
	ASSERT_EQ(-EINVAL, allow_iovas(self->fd, self->id, bad, 2));
	ASSERT_EQ(-EFAULT, allow_iovas(self->fd, self->id, NULL, 3));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(64 * page, iova);
}

TEST_F(ioas, allow_at_the_very_end)
{
	const __u64 page = self->page;
	struct iommu_iova_range range = { -2 * page, UINT64_MAX };
	__u64 iova;

	/* rounding the candidate up must not wrap to 0 */
	ASSERT_EQ(0, allow_iovas(self->fd, self->id, &range, 1));
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->id, self->va, 4 * page, &iova));
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->id, self->va, HUGE_BYTES, &iova));
	ASSERT_EQ(0, map_any(self->fd, self->id, self->va, page, &iova));
	EXPECT_EQ(-2 * page, iova);
}

/* -- OPTION */

TEST_F(ioas, option_errors)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = IOMMU_OPTION_HUGE_PAGES,
		.op = IOMMU_OPTION_OP_GET,
		.__reserved = 1,
		.object_id = self->id,
	};
	__u64 value = 0;

	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_OPTION, &arg));
	arg.__reserved = 0;
	arg.op = 2;
	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_OPTION, &arg));
	EXPECT_EQ(-EOPNOTSUPP, option_get(self->fd, 2, 0, &value));
	EXPECT_EQ(-EOPNOTSUPP, option_set(self->fd, 99, 0, 0));
}

TEST_F(ioas, huge_pages_option)
{
	const __u32 option = IOMMU_OPTION_HUGE_PAGES;
	__u64 value = 77;

	EXPECT_EQ(-ENOENT, option_get(self->fd, option, NO_SUCH_ID, &value));
	EXPECT_EQ(-ENOENT, option_set(self->fd, option, NO_SUCH_ID, 1));
	value = 77;
	ASSERT_EQ(0, option_get(self->fd, option, self->id, &value));
	EXPECT_EQ(1, value);
	EXPECT_EQ(-EINVAL, option_set(self->fd, option, self->id, 2));
	EXPECT_EQ(-EINVAL, option_set(self->fd, option, self->id, UINT64_MAX));
	EXPECT_EQ(-EINVAL, option_set(self->fd, option, self->id, 1ULL << 32));
	ASSERT_EQ(0, option_set(self->fd, option, self->id, 0));
	ASSERT_EQ(0, option_get(self->fd, option, self->id, &value));
	EXPECT_EQ(0, value);
	ASSERT_EQ(0, option_set(self->fd, option, self->id, 0));
	ASSERT_EQ(0, option_set(self->fd, option, self->id, 1));
	ASSERT_EQ(0, option_get(self->fd, option, self->id, &value));
	EXPECT_EQ(1, value);
}

TEST_F(ioas, huge_pages_off_raises_the_alignment)
{
	struct iommu_iova_range range;
	__u64 alignment;
	__u32 num = 1;

	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, self->id, 0));
	ASSERT_EQ(0, iova_ranges(self->fd, self->id, &range, &num, &alignment));
	EXPECT_EQ(self->page, alignment);
	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, self->id, 1));
	ASSERT_EQ(0, iova_ranges(self->fd, self->id, &range, &num, &alignment));
	EXPECT_EQ(1, alignment);
}

TEST_F(ioas, huge_pages_off_with_areas)
{
	const __u64 page = self->page;
	const struct { const char *why; __u64 va, length, iova; int want; } cases[] = {
		{ "whole pages", self->va, 2 * page, 4 * page, 0 },
		{ "length", self->va, page - 1, 4 * page, -EADDRINUSE },
		{ "iova", self->va, page, 4 * page + 8, -EADDRINUSE },
		{ "user_va", self->va + 8, page, 4 * page, -EADDRINUSE },
	};
	const __u32 option = IOMMU_OPTION_HUGE_PAGES;
	__u64 value = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, map_at(self->fd, self->id, cases[i].va,
				    cases[i].length, cases[i].iova));
		EXPECT_EQ(cases[i].want, option_set(self->fd, option, self->id, 0))
			TH_LOG("%s", cases[i].why);
		ASSERT_EQ(0, option_get(self->fd, option, self->id, &value));
		EXPECT_EQ(cases[i].want != 0, value)
			TH_LOG("%s", cases[i].why);
		ASSERT_EQ(0, option_set(self->fd, option, self->id, 1));
		ASSERT_EQ(0, unmap_all(self->fd, self->id, NULL));
	}
}

/* A file without objects, as the option can be changed in no other. */
FIXTURE(rlimit_mode)
{
	int fd;
};

FIXTURE_SETUP(rlimit_mode)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(rlimit_mode)
{
	ASSERT_EQ(0, close(self->fd));
}

TEST_F(rlimit_mode, set_and_get)
{
	const __u32 option = IOMMU_OPTION_RLIMIT_MODE;
	__u64 value = 77;

	ASSERT_EQ(0, option_get(self->fd, option, 0, &value));
	EXPECT_EQ(0, value);
	ASSERT_EQ(0, option_set(self->fd, option, 0, 1));
	ASSERT_EQ(0, option_get(self->fd, option, 0, &value));
	EXPECT_EQ(1, value);
	EXPECT_EQ(-EINVAL, option_set(self->fd, option, 0, 2));
	EXPECT_EQ(-EINVAL, option_set(self->fd, option, 0, 1ULL << 32));
	ASSERT_EQ(0, option_get(self->fd, option, 0, &value));
	EXPECT_EQ(1, value);
	ASSERT_EQ(0, option_set(self->fd, option, 0, 0));
	ASSERT_EQ(0, option_get(self->fd, option, 0, &value));
	EXPECT_EQ(0, value);
}

TEST_F(rlimit_mode, belongs_to_the_file)
{
	const __u32 option = IOMMU_OPTION_RLIMIT_MODE;
	int other = open_iommu();
	__u64 value = 77;

	EXPECT_EQ(-EOPNOTSUPP, option_set(self->fd, option, 1, 1));
	EXPECT_EQ(-EOPNOTSUPP, option_get(self->fd, option, 1, &value));
	ASSERT_EQ(0, option_set(self->fd, option, 0, 1));
	ASSERT_EQ(0, option_get(other, option, 0, &value));
	EXPECT_EQ(0, value);
	close(other);
}

TEST_F(rlimit_mode, only_before_the_first_object)
{
	const __u32 option = IOMMU_OPTION_RLIMIT_MODE;
	__u64 value = 0;
	__u32 id;

	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(-EBUSY, option_set(self->fd, option, 0, 1));
	EXPECT_EQ(-EBUSY, option_set(self->fd, option, 0, 2));
	EXPECT_EQ(0, option_get(self->fd, option, 0, &value));
	ASSERT_EQ(0, destroy(self->fd, id));
	EXPECT_EQ(0, option_set(self->fd, option, 0, 1));
}

TEST_F(rlimit_mode, privilege_comes_first)
{
	const __u32 option = IOMMU_OPTION_RLIMIT_MODE;
	__u64 value = 0;
	__u32 id;

	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	ASSERT_EQ(0, seteuid(65534));
	EXPECT_EQ(-EPERM, option_set(self->fd, option, 0, 1));
	EXPECT_EQ(-EPERM, option_set(self->fd, option, 0, 2));
	EXPECT_EQ(0, option_get(self->fd, option, 0, &value));
	ASSERT_EQ(0, seteuid(0));
}

/* -- VFIO_IOAS */

TEST_F(ioas, vfio_ioas)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg), .__reserved = 1 };
	__u32 id = NO_SUCH_ID;

	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_VFIO_IOAS, &arg));
	EXPECT_EQ(-EOPNOTSUPP, vfio_ioas(self->fd, 3, &id));
	EXPECT_EQ(-ENODEV, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_GET, &id));
	EXPECT_EQ(-ENOENT, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &id));
	EXPECT_EQ(-ENODEV, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_GET, &id));
	EXPECT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_CLEAR, &id));
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &self->id));
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_GET, &id));
	EXPECT_EQ(self->id, id);
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_CLEAR, &id));
	EXPECT_EQ(-ENODEV, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_GET, &id));
}

TEST_F(ioas, vfio_ioas_keeps_nothing_alive)
{
	__u32 id = 0;

	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &self->id));
	ASSERT_EQ(0, destroy(self->fd, self->id));
	EXPECT_EQ(-ENODEV, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_GET, &id));
}

TEST_HARNESS_MAIN
