// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_IOAS_COPY between two IOAS that no device uses.
 */
#include <linux/types.h>

#include "calls.h"
#include "harness.h"

FIXTURE(copy)
{
	int fd;
	__u32 src;
	__u32 dst;
	__u64 page;
	__u64 va;
};

/* In the source, three areas: pages 8 to 11, then 12 and 13, then 32. */
FIXTURE_SETUP(copy)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->src));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->dst));
	self->page = page_bytes();
	self->va = (uintptr_t)anonymous(HUGE_BYTES);
	ASSERT_NE(0, self->va);
	ASSERT_EQ(0, map_at(self->fd, self->src, self->va, 4 * self->page,
			    8 * self->page));
	ASSERT_EQ(0, map_at(self->fd, self->src, self->va, 2 * self->page,
			    12 * self->page));
	ASSERT_EQ(0, map_at(self->fd, self->src, self->va, self->page,
			    32 * self->page));
}

FIXTURE_TEARDOWN(copy)
{
	ASSERT_EQ(0, close(self->fd));
}

struct copy_case {
	const char *why;
	int want;
	struct iommu_ioas_copy arg;
};

static void try_copies(struct __test_metadata *_metadata, int fd,
		       struct copy_case *cases, size_t num)
{
	size_t i;

	for (i = 0; i < num; i++) {
		cases[i].arg.size = sizeof(cases[i].arg);
		EXPECT_EQ(cases[i].want,
			  command(fd, IOMMU_IOAS_COPY, &cases[i].arg))
			TH_LOG("%s", cases[i].why);
	}
}

#define TRY_COPIES(cases) try_copies(_metadata, self->fd, cases, ARRAY_SIZE(cases))

static int copy_to(int fd, const FIXTURE_DATA(copy) *self, __u64 src_iova,
		   __u64 length, __u64 dst_iova)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = length,
		.dst_iova = dst_iova,
		.src_iova = src_iova,
	};

	return command(fd, IOMMU_IOAS_COPY, &arg);
}

TEST_F(copy, errors)
{
	const __u64 page = self->page, from = 8 * page;
	const __u32 src = self->src, dst = self->dst;
	struct copy_case cases[] = {
		{ "flag 8", -EOPNOTSUPP, { .flags = RW | 8, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = page, .src_iova = from } },
		{ "length ULONG_MAX", -EOVERFLOW, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = UINT64_MAX } },
		{ "src ULONG_MAX", -EOVERFLOW, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = page,
			.src_iova = UINT64_MAX } },
		{ "dst ULONG_MAX, not fixed", -EOVERFLOW, { .flags = RW,
			.dst_ioas_id = dst, .src_ioas_id = src, .length = page,
			.src_iova = from, .dst_iova = UINT64_MAX } },
		{ "no permission", -EINVAL, { .flags = FIXED, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = page, .src_iova = from } },
		{ "no source", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = NO_SUCH_ID, .length = page,
			.src_iova = from } },
		{ "no destination", -ENOENT, { .flags = RW,
			.dst_ioas_id = NO_SUCH_ID, .src_ioas_id = src,
			.length = page, .src_iova = from } },
		{ "no length", -EINVAL, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .src_iova = from } },
		{ "source wraps", -EOVERFLOW, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 2 * page,
			.src_iova = -page } },
		{ "destination wraps", -EOVERFLOW, { .flags = RW | FIXED,
			.dst_ioas_id = dst, .src_ioas_id = src,
			.length = 2 * page, .src_iova = from,
			.dst_iova = -page } },
		{ "nothing there", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = page } },
		{ "hole before", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 2 * page,
			.src_iova = from - page } },
		{ "hole behind", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 7 * page,
			.src_iova = from } },
		{ "hole within", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 25 * page,
			.src_iova = from } },
		{ "a byte too much", -ENOENT, { .flags = RW, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 6 * page + 1,
			.src_iova = from } },
	};
	__u64 bytes;

	TRY_COPIES(cases);
	ASSERT_EQ(0, unmap_all(self->fd, dst, &bytes));
	EXPECT_EQ(0, bytes);
}

TEST_F(copy, order_of_checks)
{
	const __u64 page = self->page, from = 8 * page;
	const __u32 src = self->src, dst = self->dst;
	struct copy_case cases[] = {
		{ "flags before overflow", -EOPNOTSUPP, { .flags = RW | 8,
			.dst_ioas_id = dst, .src_ioas_id = src,
			.length = UINT64_MAX } },
		{ "overflow before permission", -EOVERFLOW, { .flags = FIXED,
			.dst_ioas_id = dst, .src_ioas_id = src, .length = page,
			.src_iova = UINT64_MAX } },
		{ "permission before source", -EINVAL, { .flags = FIXED,
			.dst_ioas_id = dst, .src_ioas_id = NO_SUCH_ID,
			.length = page, .src_iova = from } },
		{ "source before length 0", -ENOENT, { .flags = RW,
			.dst_ioas_id = dst, .src_ioas_id = NO_SUCH_ID } },
		{ "length 0 before destination", -EINVAL, { .flags = RW,
			.dst_ioas_id = NO_SUCH_ID, .src_ioas_id = src,
			.src_iova = from } },
		{ "source wrap before destination", -EOVERFLOW, { .flags = RW,
			.dst_ioas_id = NO_SUCH_ID, .src_ioas_id = src,
			.length = 2 * page, .src_iova = -page } },
		{ "hole before destination wrap", -ENOENT, { .flags = RW | FIXED,
			.dst_ioas_id = dst, .src_ioas_id = src,
			.length = 2 * page, .dst_iova = -page } },
		{ "hole before overlap", -ENOENT, { .flags = RW | FIXED,
			.dst_ioas_id = dst, .src_ioas_id = src, .length = page,
			.dst_iova = 64 * page } },
		{ "destination wrap before overlap", -EOVERFLOW, {
			.flags = RW | FIXED, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = 2 * page,
			.src_iova = from, .dst_iova = -page } },
		{ "overlap", -EEXIST, { .flags = RW | FIXED, .dst_ioas_id = dst,
			.src_ioas_id = src, .length = page, .src_iova = from,
			.dst_iova = 64 * page } },
	};

	ASSERT_EQ(0, map_at(self->fd, dst, self->va, page, 64 * page));
	ASSERT_EQ(0, map_at(self->fd, dst, self->va, page, -page));
	TRY_COPIES(cases);
}

TEST_F(copy, to_a_fixed_place)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, copy_to(self->fd, self, 8 * page, 4 * page, 100 * page));
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->dst, self->va, 1, 100 * page));
	EXPECT_EQ(-EEXIST, map_at(self->fd, self->dst, self->va, 1, 104 * page - 1));
	ASSERT_EQ(0, unmap(self->fd, self->dst, 100 * page, 4 * page, &bytes));
	EXPECT_EQ(4 * page, bytes);
}

TEST_F(copy, part_of_an_area)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, copy_to(self->fd, self, 9 * page, 2 * page, 0));
	ASSERT_EQ(0, copy_to(self->fd, self, 8 * page + 5, 1, 2 * page));
	ASSERT_EQ(0, unmap_all(self->fd, self->dst, &bytes));
	EXPECT_EQ(2 * page + 1, bytes);
}

/* Each area of the source becomes one of the destination. */
TEST_F(copy, several_areas)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, copy_to(self->fd, self, 9 * page, 5 * page, 100 * page));
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->dst, 100 * page, page, NULL));
	ASSERT_EQ(0, unmap(self->fd, self->dst, 103 * page, 2 * page, &bytes));
	EXPECT_EQ(2 * page, bytes);
	ASSERT_EQ(0, unmap(self->fd, self->dst, 100 * page, 3 * page, &bytes));
	EXPECT_EQ(3 * page, bytes);
}

TEST_F(copy, within_one_ioas)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW,
		.dst_ioas_id = self->src,
		.src_ioas_id = self->src,
		.length = 4 * self->page,
		.src_iova = 8 * self->page,
	};
	__u64 bytes;

	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
	/* the lowest place that is free and aligned to four pages */
	EXPECT_EQ(4 * self->page, arg.dst_iova);
	ASSERT_EQ(0, unmap_all(self->fd, self->src, &bytes));
	EXPECT_EQ(11 * self->page, bytes);
}

TEST_F(copy, over_itself)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.dst_ioas_id = self->src,
		.src_ioas_id = self->src,
		.length = 4 * self->page,
		.src_iova = 8 * self->page,
		.dst_iova = 8 * self->page,
	};

	EXPECT_EQ(-EEXIST, command(self->fd, IOMMU_IOAS_COPY, &arg));
}

TEST_F(copy, automatic_place)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = self->page,
		.src_iova = 32 * self->page,
		.dst_iova = 0x123456,
	};
	__u64 i;

	for (i = 1; i < 10; i++) {
		ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
		EXPECT_EQ(i * self->page, arg.dst_iova);
	}
}

/* An automatic place lies in an allowed range, a fixed one need not. */
TEST_F(copy, no_place_left)
{
	struct iommu_iova_range range = { 64 * self->page, 67 * self->page - 1 };
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = 4 * self->page,
		.src_iova = 8 * self->page,
	};
	__u64 bytes;

	ASSERT_EQ(0, allow_iovas(self->fd, self->dst, &range, 1));
	EXPECT_EQ(-ENOSPC, command(self->fd, IOMMU_IOAS_COPY, &arg));
	EXPECT_EQ(0, arg.dst_iova);
	EXPECT_EQ(0, copy_to(self->fd, self, 8 * self->page, 4 * self->page, 0));
	arg.length = 2 * self->page;
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
	EXPECT_EQ(64 * self->page, arg.dst_iova);
	EXPECT_EQ(-ENOSPC, command(self->fd, IOMMU_IOAS_COPY, &arg));
	ASSERT_EQ(0, unmap_all(self->fd, self->dst, &bytes));
	EXPECT_EQ(6 * self->page, bytes);
}

TEST_F(copy, permissions)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = FIXED | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = self->src,
		.user_va = self->va,
		.length = self->page,
		.iova = 64 * self->page,
	};
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_WRITEABLE,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = self->page,
		.src_iova = 8 * self->page,
	};

	/* WRITEABLE alone is a permission like any other */
	EXPECT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, &map));
	arg.src_iova = 64 * self->page;
	EXPECT_EQ(-EPERM, command(self->fd, IOMMU_IOAS_COPY, &arg));
	arg.flags = RW;
	EXPECT_EQ(-EPERM, command(self->fd, IOMMU_IOAS_COPY, &arg));
	arg.flags = IOMMU_IOAS_MAP_READABLE;
	EXPECT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
}

/* What counts is how the memory was mapped first, not the area copied from. */
TEST_F(copy, writeable_by_way_of_a_readable_copy)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_READABLE | FIXED,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = self->page,
		.src_iova = 8 * self->page,
	};

	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
	arg.flags = RW | FIXED;
	arg.src_ioas_id = self->dst;
	arg.src_iova = 0;
	arg.dst_iova = self->page;
	EXPECT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &arg));
}

TEST_F(copy, outlives_its_source)
{
	const __u64 page = self->page;
	__u64 bytes;

	ASSERT_EQ(0, copy_to(self->fd, self, 8 * page, 6 * page, 0));
	ASSERT_EQ(0, unmap(self->fd, self->src, 8 * page, 4 * page, &bytes));
	ASSERT_EQ(0, destroy(self->fd, self->src));
	self->src = self->dst;
	ASSERT_EQ(0, copy_to(self->fd, self, 0, 6 * page, 100 * page));
	ASSERT_EQ(0, unmap_all(self->fd, self->dst, &bytes));
	EXPECT_EQ(12 * page, bytes);
}

/* Alignment is the destination's business alone. */
TEST_F(copy, alignment_of_the_destination)
{
	const __u64 page = self->page;

	ASSERT_EQ(0, copy_to(self->fd, self, 8 * page + 1, page, 3));
	ASSERT_EQ(0, unmap_all(self->fd, self->dst, NULL));
	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, self->dst, 0));
	EXPECT_EQ(-EINVAL, copy_to(self->fd, self, 8 * page, page, 3));
	EXPECT_EQ(-EINVAL, copy_to(self->fd, self, 8 * page, page + 1, 0));
	EXPECT_EQ(-EINVAL, copy_to(self->fd, self, 8 * page + 1, page, 0));
	EXPECT_EQ(0, copy_to(self->fd, self, 8 * page, page, 0));
}

/* Scenario 57. */
TEST_F(copy, whose_answer_is_unwritable_is_undone)
{
	struct iommu_ioas_copy *arg = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 bytes;

	ASSERT_NE(MAP_FAILED, (void *)arg);
	*arg = (struct iommu_ioas_copy){
		.size = sizeof(*arg),
		.flags = RW,
		.dst_ioas_id = self->dst,
		.src_ioas_id = self->src,
		.length = 6 * self->page,
		.src_iova = 8 * self->page,
	};
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_COPY, arg));
	ASSERT_EQ(0, unmap_all(self->fd, self->dst, &bytes));
	EXPECT_EQ(0, bytes);
	ASSERT_EQ(0, unmap_all(self->fd, self->src, &bytes));
	EXPECT_EQ(7 * self->page, bytes);
}

TEST_HARNESS_MAIN
