// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices of the mock IOMMU, and the commands that make them and look into it.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "harness.h"

/* A thread of a test. */
struct racer {
	pthread_t thread;
	pthread_barrier_t *barrier;
	int fd;
	__u32 ioas;
	__u32 hwpt;
	int rc;
};

FIXTURE(device)
{
	int fd;
	__u32 ioas;
	__u64 page;
	/* the start of 64 pages */
	__u64 va;
	__u64 bytes;
};

FIXTURE_SETUP(device)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	self->page = page_bytes();
	self->bytes = 64 * self->page;
	self->va = (uintptr_t)small_pages(self->bytes);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	/* whatever the test did, closing the file gives all pages back */
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	close(self->fd);
}

/* -- the command */

TEST_F(device, unknown_ops)
{
	struct iommu_test_cmd cmd = { .id = self->ioas };
	static const __u32 ops[] = { 0, 1000, 0x80000000, UINT32_MAX };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		EXPECT_EQ(-EOPNOTSUPP, test_command(self->fd, &cmd, ops[i]));
}

TEST_F(device, command_is_well_formed)
{
	struct {
		struct iommu_test_cmd cmd;
		__u64 tail;
	} arg = { .cmd.op = IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
		  .cmd.memory_limit.limit = USUAL_LIMIT };

	ASSERT_EQ(72, sizeof(arg.cmd));
	arg.cmd.size = 67;
	EXPECT_EQ(-EINVAL, command(self->fd, IOMMU_TEST_CMD, &arg));
	arg.cmd.size = 68;
	EXPECT_EQ(0, command(self->fd, IOMMU_TEST_CMD, &arg));
	arg.cmd.size = sizeof(arg);
	EXPECT_EQ(0, command(self->fd, IOMMU_TEST_CMD, &arg));
	arg.tail = 1;
	EXPECT_EQ(-E2BIG, command(self->fd, IOMMU_TEST_CMD, &arg));
	arg.tail = 0;
	arg.cmd.__reserved = 1;
	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_TEST_CMD, &arg));
	EXPECT_EQ(-ENOTTY, command(self->fd, IOMMU_TEST_CMD | (1 << 16), &arg));
	EXPECT_EQ(-ENOTTY, command(self->fd, _IO(IOMMUFD_TYPE, 0x9f), &arg));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_TEST_CMD, NULL));
}

TEST_F(device, temp_limit_range)
{
	EXPECT_EQ(-EINVAL, temp_limit(self->fd, 0));
	EXPECT_EQ(-EINVAL, temp_limit(self->fd, LEAST_LIMIT - 1));
	EXPECT_EQ(0, temp_limit(self->fd, LEAST_LIMIT));
	EXPECT_EQ(0, temp_limit(self->fd, UINT32_MAX));
}

TEST_F(device, add_reserved_errors)
{
	EXPECT_EQ(-EINVAL, add_reserved(self->fd, self->ioas, 0, 0));
	/* arguments are looked at first */
	EXPECT_EQ(-EINVAL, add_reserved(self->fd, NO_SUCH_ID, 0, 0));
	EXPECT_EQ(-EOVERFLOW, add_reserved(self->fd, NO_SUCH_ID, UINT64_MAX, 2));
	EXPECT_EQ(-EOVERFLOW, add_reserved(self->fd, self->ioas, 2, UINT64_MAX));
	EXPECT_EQ(-ENOENT, add_reserved(self->fd, NO_SUCH_ID, 0, 1));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, self->page));
	EXPECT_EQ(-EADDRINUSE, add_reserved(self->fd, self->ioas,
					    2 * self->page - 1, 1));
	EXPECT_EQ(-EADDRINUSE, add_reserved(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, add_reserved(self->fd, self->ioas, 2 * self->page, 1));
	EXPECT_EQ(0, add_reserved(self->fd, self->ioas, 0, self->page));
	/* reserved ranges may overlap */
	EXPECT_EQ(0, add_reserved(self->fd, self->ioas, 0, self->page / 2));
}

TEST_F(device, check_map_errors)
{
	struct mock mock;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page, APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));

	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, 2 * self->page,
			       APERTURE));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, 0, 0, 0));
	/* not what is there */
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va + self->page,
				     self->page, APERTURE));
	/* nothing is there */
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va, 3 * self->page,
				     APERTURE));
	/* not a multiple of half a page */
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va, 1, APERTURE));
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va + 1, IO_PAGE,
				     APERTURE));
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va, IO_PAGE,
				     APERTURE + 1));
	/* not a HWPT */
	EXPECT_EQ(-ENOENT, check_map(self->fd, self->ioas, self->va, IO_PAGE,
				     APERTURE));
	EXPECT_EQ(-ENOENT, check_map(self->fd, NO_SUCH_ID, self->va, IO_PAGE,
				     APERTURE));
}

TEST_F(device, check_refs_errors)
{
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	EXPECT_EQ(-EIO, check_refs(self->fd, self->va, self->bytes, 1));
	EXPECT_EQ(-EINVAL, check_refs(self->fd, self->va + 1, self->page, 0));
	EXPECT_EQ(-EINVAL, check_refs(self->fd, self->va, self->page / 2, 0));
	EXPECT_EQ(-EOVERFLOW, check_refs(self->fd, -self->page, 2 * self->page, 0));
}

/* A copy whose source is named by the number of an area, and where it is in it. */
static int copy_nth(int fd, __u32 ioas, __u32 nth, __u32 offset,
		    struct iommu_ioas_copy *arg)
{
	const __u32 place[] = { nth, offset };

	*arg = (struct iommu_ioas_copy){
		.size = sizeof(*arg),
		.flags = MOCK_FLAGS_ACCESS_SYZ | RW,
		.dst_ioas_id = ioas,
		.src_ioas_id = ioas,
		.length = page_bytes(),
	};
	memcpy(&arg->src_iova, place, sizeof(place));
	return command(fd, IOMMU_IOAS_COPY, arg);
}

TEST_F(device, copy_by_number)
{
	const __u64 iova[] = { 0, 5 * self->page, 1ULL << 40 };
	struct iommu_ioas_copy arg;
	struct mock mock;
	__u32 i;

	for (i = 0; i < ARRAY_SIZE(iova); i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas,
				    self->va + 2 * i * self->page,
				    2 * self->page, iova[i]));
	for (i = 0; i < ARRAY_SIZE(iova); i++) {
		ASSERT_EQ(0, copy_nth(self->fd, self->ioas, i, self->page, &arg));
		EXPECT_EQ(iova[i] + self->page, arg.src_iova);
		EXPECT_EQ(RW, arg.flags);
		ASSERT_EQ(0, unmap(self->fd, self->ioas, arg.dst_iova, self->page,
				   NULL));
	}
	/* the offset is only added: behind the area is a hole */
	EXPECT_EQ(-ENOENT, copy_nth(self->fd, self->ioas, 1, 2 * self->page, &arg));
	/* what is in no area is at 0 */
	ASSERT_EQ(0, copy_nth(self->fd, self->ioas, 3, self->page, &arg));
	EXPECT_EQ(0, arg.src_iova);
	ASSERT_EQ(0, copy_nth(self->fd, self->ioas, UINT32_MAX, 0, &arg));
	EXPECT_EQ(0, arg.src_iova);
	/* the other flags, and the order of the checks, are what they are */
	arg.flags = MOCK_FLAGS_ACCESS_SYZ | RW | 8;
	EXPECT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_IOAS_COPY, &arg));
	EXPECT_EQ(MOCK_FLAGS_ACCESS_SYZ | RW | 8, arg.flags);
	arg.flags = MOCK_FLAGS_ACCESS_SYZ;
	arg.src_ioas_id = NO_SUCH_ID;
	EXPECT_EQ(-EINVAL, command(self->fd, IOMMU_IOAS_COPY, &arg));
	arg.flags = MOCK_FLAGS_ACCESS_SYZ | RW;
	EXPECT_EQ(-ENOENT, command(self->fd, IOMMU_IOAS_COPY, &arg));

	/* it is the memory of that area that the copy shows */
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + i * self->page,
				    self->page, APERTURE + 2 * i * self->page));
	ASSERT_EQ(0, copy_nth(self->fd, self->ioas, 1, 0, &arg));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va + self->page,
			       self->page, arg.dst_iova));
}

/* -- making devices */

/* Scenario 32. */
TEST_F(device, made_and_destroyed)
{
	struct mock mock = {};

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_NE(0, mock.stdev);
	EXPECT_NE(0, mock.hwpt);
	EXPECT_NE(0, mock.idev);
	EXPECT_NE(mock.stdev, mock.hwpt);
	EXPECT_NE(mock.stdev, mock.idev);
	/* a device goes with its driver only */
	EXPECT_EQ(-EBUSY, destroy(self->fd, mock.idev));
	EXPECT_EQ(-EBUSY, destroy(self->fd, mock.hwpt));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	/* an automatic HWPT goes with its last device */
	EXPECT_EQ(-ENOENT, destroy(self->fd, mock.stdev));
	EXPECT_EQ(-ENOENT, destroy(self->fd, mock.hwpt));
	EXPECT_EQ(-ENOENT, destroy(self->fd, mock.idev));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

TEST_F(device, made_on_what_is_no_page_table)
{
	struct mock mock, none;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(-ENOENT, mock_device(self->fd, NO_SUCH_ID, &none));
	EXPECT_EQ(-ENOENT, mock_device(self->fd, 0, &none));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, mock.stdev, &none));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, mock.idev, &none));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

TEST_F(device, flags)
{
	struct mock mock = {};
	int bit;

	for (bit = 0; bit < 32; bit++) {
		int rc = mock_device_flags(self->fd, self->ioas, 1u << bit, &mock);

		EXPECT_EQ(bit < 3 ? 0 : -EINVAL, rc)
			TH_LOG("bit %d", bit);
		if (!rc)
			EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	}
}

/* Failures leave nothing behind: neither an object nor an ID that is taken. */
TEST_F(device, failures_take_no_id)
{
	struct mock mock;
	__u32 before, after;

	ASSERT_EQ(0, ioas_alloc(self->fd, &before));
	ASSERT_EQ(0, destroy(self->fd, before));
	EXPECT_EQ(-ENOENT, mock_device(self->fd, NO_SUCH_ID, &mock));
	ASSERT_EQ(0, set_driver("coarse"));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, set_driver("exact"));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, 0));
	EXPECT_EQ(-EADDRINUSE, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, ioas_alloc(self->fd, &after));
	EXPECT_EQ(before, after);
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

TEST_F(device, answer_that_cannot_be_written)
{
	struct iommu_test_cmd *cmd;
	__u32 before, after;

	ASSERT_EQ(0, ioas_alloc(self->fd, &before));
	ASSERT_EQ(0, destroy(self->fd, before));
	cmd = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)cmd);
	cmd->size = sizeof(*cmd);
	cmd->op = IOMMU_TEST_OP_MOCK_DOMAIN;
	cmd->id = self->ioas;
	ASSERT_EQ(0, mprotect(cmd, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_TEST_CMD, cmd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &after));
	EXPECT_EQ(before, after);
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* -- HWPTs */

/* Scenario 26. */
TEST_F(device, two_share_one_hwpt)
{
	struct mock a, b;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(a.hwpt, b.hwpt);
	EXPECT_NE(a.idev, b.idev);
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	/* it lives as long as one of them */
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_EQ(-ENOENT, check_map(self->fd, b.hwpt, self->va, 0, APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

/* Devices that no single driver translates for get a HWPT for each driver. */
TEST_F(device, one_hwpt_per_driver)
{
	struct mock a, b, c;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, set_driver("arm"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	ASSERT_EQ(0, set_driver("exact"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &c));
	EXPECT_NE(a.hwpt, b.hwpt);
	EXPECT_EQ(a.hwpt, c.hwpt);

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
	/* the one that is asked for PFNs goes first */
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_EQ(0, destroy(self->fd, c.stdev));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

TEST_F(device, named_hwpt)
{
	struct mock a, b;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, mock_device(self->fd, a.hwpt, &b));
	EXPECT_EQ(a.hwpt, b.hwpt);
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_EQ(-EBUSY, destroy(self->fd, b.hwpt));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_EQ(-ENOENT, destroy(self->fd, b.hwpt));
	/* of a driver that does not translate for the device */
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, set_driver("amd"));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, a.hwpt, &b));
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
}

/* -- replace */

TEST_F(device, replace_errors)
{
	struct mock mock, wrong;
	__u32 hwpt;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	hwpt = mock.hwpt;
	EXPECT_EQ(-ENOENT, mock_replace(self->fd, &mock, NO_SUCH_ID));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &mock, mock.stdev));
	wrong = mock;
	wrong.stdev = mock.idev;
	EXPECT_EQ(-ENOENT, mock_replace(self->fd, &wrong, self->ioas));
	wrong.stdev = NO_SUCH_ID;
	EXPECT_EQ(-ENOENT, mock_replace(self->fd, &wrong, self->ioas));
	EXPECT_EQ(-EBUSY, destroy(self->fd, hwpt));
}

TEST_F(device, replaced_by_itself)
{
	struct mock mock;
	__u32 hwpt;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	hwpt = mock.hwpt;
	EXPECT_EQ(0, mock_replace(self->fd, &mock, self->ioas));
	EXPECT_EQ(hwpt, mock.hwpt);
	EXPECT_EQ(0, mock_replace(self->fd, &mock, hwpt));
	EXPECT_EQ(hwpt, mock.hwpt);
}

TEST_F(device, replaced_and_back)
{
	struct mock mock;
	__u32 other, old;
	int i;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, 2 * APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));

	for (i = 0; i < 4; i++) {
		old = mock.hwpt;
		ASSERT_EQ(0, mock_replace(self->fd, &mock, other));
		/* the new one had its ID before the old one was given up */
		EXPECT_NE(old, mock.hwpt);
		EXPECT_EQ(-ENOENT, destroy(self->fd, old));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->page,
				       2 * APERTURE));
		EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va,
					     self->page, APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, self->va, self->page, 1));
		EXPECT_EQ(0, check_refs(self->fd, self->va + self->page,
					self->bytes - self->page, 0));

		old = mock.hwpt;
		ASSERT_EQ(0, mock_replace(self->fd, &mock, self->ioas));
		EXPECT_EQ(-ENOENT, destroy(self->fd, old));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->bytes,
				       APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
	}
	EXPECT_EQ(0, destroy(self->fd, other));
}

/*
 * A replace that fails half way: the device and its reservations are as before.
 * Scenario 27.
 */
TEST_F(device, replace_that_fails)
{
	const __u64 reserved = APERTURE + 0x100000;
	struct mock mock;
	__u32 other, hwpt;

	ASSERT_EQ(0, set_reserved(reserved, reserved + 0xffff, false));
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	hwpt = mock.hwpt;

	/* in the way of the reserved region; bad memory; outside the aperture */
	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, reserved));
	EXPECT_EQ(-EADDRINUSE, mock_replace(self->fd, &mock, other));
	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));
	ASSERT_EQ(0, map_at(self->fd, other, self->page, self->page, APERTURE));
	EXPECT_EQ(-EFAULT, mock_replace(self->fd, &mock, other));
	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));
	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, 0));
	EXPECT_EQ(-EADDRINUSE, mock_replace(self->fd, &mock, other));
	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));

	EXPECT_EQ(hwpt, mock.hwpt);
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->bytes, APERTURE));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, reserved, reserved));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
	EXPECT_EQ(0, destroy(self->fd, other));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
}

/* -- what an attach does to an IOAS */

TEST_F(device, aperture)
{
	struct iommu_iova_range range;
	__u64 alignment;
	struct mock mock;
	__u32 num = 1;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, iova_ranges(self->fd, self->ioas, &range, &num, &alignment));
	EXPECT_EQ(1, num);
	EXPECT_EQ(MOCK_APERTURE_START, range.start);
	EXPECT_EQ(MOCK_APERTURE_LAST, range.last);
	EXPECT_EQ(IO_PAGE, alignment);
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  APERTURE - self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  MOCK_APERTURE_LAST + 1));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 2 * self->page,
				  MOCK_APERTURE_LAST + 1 - self->page));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page,
			    MOCK_APERTURE_LAST + 1 - self->page));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	ASSERT_EQ(0, iova_ranges(self->fd, self->ioas, &range, &num, &alignment));
	EXPECT_EQ(0, range.start);
	EXPECT_EQ(UINT64_MAX, range.last);
	EXPECT_EQ(1, alignment);
}

static __u64 alignment_of(struct __test_metadata *_metadata, int fd, __u32 ioas)
{
	struct iommu_iova_range ranges[4];
	__u64 alignment = 0;
	__u32 num = 4;

	ASSERT_EQ(0, iova_ranges(fd, ioas, ranges, &num, &alignment));
	return alignment;
}

/* Scenario 30. */
TEST_F(device, alignment_goes_up_and_down)
{
	struct mock exact, vtd;

	EXPECT_EQ(1, alignment_of(_metadata, self->fd, self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &exact));
	EXPECT_EQ(IO_PAGE, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, IO_PAGE, APERTURE));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 1,
				  APERTURE + self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va + 1, IO_PAGE,
				  APERTURE + self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, IO_PAGE,
				  APERTURE + self->page + 1));

	/* half a page does not fit a driver of whole ones */
	ASSERT_EQ(0, set_driver("vtd"));
	EXPECT_EQ(-EADDRINUSE, mock_device(self->fd, self->ioas, &vtd));
	EXPECT_EQ(IO_PAGE, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_EQ(0, check_map(self->fd, exact.hwpt, self->va, IO_PAGE, APERTURE));
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &vtd));
	EXPECT_EQ(self->page, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, IO_PAGE,
				  APERTURE));

	EXPECT_EQ(0, destroy(self->fd, vtd.stdev));
	EXPECT_EQ(IO_PAGE, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, IO_PAGE, APERTURE));
	EXPECT_EQ(0, destroy(self->fd, exact.stdev));
	EXPECT_EQ(1, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, 1, 1));
}

/* Scenario 30. */
TEST_F(device, page_size_beyond_the_processors)
{
	struct mock mock;

	ASSERT_EQ(0, set_driver("coarse"));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(1, alignment_of(_metadata, self->fd, self->ioas));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
}

/*
 * Contents that an attach cannot take, and that are the same afterwards.
 * Scenario 30.
 */
TEST_F(device, attach_to_what_does_not_fit)
{
	static const struct {
		__u64 offset;
		__u64 length;
		__u64 iova;
		int rc;
	} maps[] = {
		{ 0, 4096, 0, -EADDRINUSE },
		{ 0, 4096, MOCK_APERTURE_START - 4096, -EADDRINUSE },
		{ 0, 8192, MOCK_APERTURE_START - 4096, -EADDRINUSE },
		{ 0, 4096, MOCK_APERTURE_LAST + 1, -EADDRINUSE },
		{ 0, 4096, UINT64_MAX - 4095, -EADDRINUSE },
		{ 0, 1, MOCK_APERTURE_START, -EADDRINUSE },
		{ 1, 4096, MOCK_APERTURE_START, -EADDRINUSE },
		{ 0, 4096, MOCK_APERTURE_START + 1, -EADDRINUSE },
		{ 0, 4096, MOCK_APERTURE_START, 0 },
		{ 2048, 2048, MOCK_APERTURE_LAST + 1 - 2048, 0 },
	};
	struct mock mock;
	unsigned int i;
	__u64 bytes;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + maps[i].offset,
				    maps[i].length, maps[i].iova));
		EXPECT_EQ(maps[i].rc, mock_device(self->fd, self->ioas, &mock))
			TH_LOG("map %u", i);
		if (!maps[i].rc)
			EXPECT_EQ(0, destroy(self->fd, mock.stdev));
		EXPECT_EQ(1, alignment_of(_metadata, self->fd, self->ioas));
		EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
		ASSERT_EQ(0, unmap_all(self->fd, self->ioas, &bytes));
		EXPECT_EQ(maps[i].length, bytes);
	}
}

TEST_F(device, attach_to_bad_memory)
{
	struct mock mock;
	__u64 bytes;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	/* nothing of the process is at its second page */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->page, self->page,
			    2 * APERTURE));
	EXPECT_EQ(-EFAULT, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	EXPECT_EQ(1, alignment_of(_metadata, self->fd, self->ioas));
	ASSERT_EQ(0, unmap(self->fd, self->ioas, 2 * APERTURE, self->page, &bytes));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->bytes,
			       APERTURE));
}

/*
 * An automatic IOVA keeps out of what is reserved, to the last byte.
 * Scenario 2.
 */
TEST_F(device, reserved_ranges_near_the_end)
{
	__u64 iova;

	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, 0,
				  UINT64_MAX - 3 * self->page));
	/* only three pages are left, and the last of them is never given out */
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, self->page, &iova));
	EXPECT_EQ(-3 * self->page, iova);
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, self->page, &iova));
	EXPECT_EQ(-2 * self->page, iova);
	EXPECT_EQ(-ENOSPC, map_any(self->fd, self->ioas, self->va, self->page,
				   &iova));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page,
			    -self->page));
	EXPECT_EQ(-EADDRINUSE, add_reserved(self->fd, self->ioas, UINT64_MAX, 1));
}

TEST_F(device, allowed_range_outside_of_the_aperture)
{
	struct iommu_iova_range allowed = { 0, self->page };
	struct mock mock;

	ASSERT_EQ(0, allow_iovas(self->fd, self->ioas, &allowed, 1));
	EXPECT_EQ(-EADDRINUSE, mock_device(self->fd, self->ioas, &mock));
	allowed.start = MOCK_APERTURE_START;
	allowed.last = MOCK_APERTURE_LAST;
	ASSERT_EQ(0, allow_iovas(self->fd, self->ioas, &allowed, 1));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(-EADDRINUSE, add_reserved(self->fd, self->ioas, APERTURE, 1));
}

/* What is reserved cannot be insisted on, and the old list stays. */
TEST_F(device, allowed_range_that_is_reserved)
{
	const __u64 page = self->page;
	struct iommu_iova_range good = { 64 * page, 66 * page - 1 };
	struct iommu_iova_range bad[2] = { good, { 8 * page, 16 * page - 1 } };
	__u64 iova;

	ASSERT_EQ(0, allow_iovas(self->fd, self->ioas, &good, 1));
	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, 16 * page - 1, 1));
	EXPECT_EQ(-EADDRINUSE, allow_iovas(self->fd, self->ioas, bad, 2));
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, page, &iova));
	EXPECT_EQ(64 * page, iova);
	/* the last byte was the one */
	bad[1].last--;
	EXPECT_EQ(0, allow_iovas(self->fd, self->ioas, bad, 2));
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, page, &iova));
	EXPECT_EQ(8 * page, iova);
}

/* -- reserved regions of the device */

/* Scenario 28. */
TEST_F(device, reserved_region)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	struct mock mock;

	ASSERT_EQ(0, set_reserved(first, last, false));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, last & -self->page));
	EXPECT_EQ(-EADDRINUSE, mock_device(self->fd, self->ioas, &mock));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, last, last));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, APERTURE, first - 1));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, last + 1, last + 1));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, last + 1));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, first));
}

/*
 * A hole in the aperture makes two of it, which come and go together.
 * Scenario 31.
 */
TEST_F(device, two_windows)
{
	const __u64 first = 4 * APERTURE, last = 5 * APERTURE - 1;
	const __u64 low = first - 2 * self->page, high = last + 1;
	struct iommu_iova_range ranges[2];
	struct mock a, b;
	__u64 alignment, iova;
	__u32 num = 2;

	ASSERT_EQ(0, set_reserved(first, last, false));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page, low));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + self->page,
			    2 * self->page, high));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	ASSERT_EQ(a.hwpt, b.hwpt);
	ASSERT_EQ(0, iova_ranges(self->fd, self->ioas, ranges, &num, &alignment));
	EXPECT_EQ(2, num);
	EXPECT_EQ(MOCK_APERTURE_START, ranges[0].start);
	EXPECT_EQ(first - 1, ranges[0].last);
	EXPECT_EQ(last + 1, ranges[1].start);
	EXPECT_EQ(MOCK_APERTURE_LAST, ranges[1].last);
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, 2 * self->page, low));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va + self->page,
			       2 * self->page, high));

	/* in the gap, across it, and at both of its ends */
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  first));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  high - self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  first + self->page));
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 2 * self->page,
				  first - self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 2 * self->page,
				  high - self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 2 * APERTURE,
				  first - self->page));
	/* one page is left in front of it: two go behind it */
	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, APERTURE,
				  first - self->page - APERTURE));
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, 2 * self->page,
			     &iova));
	EXPECT_EQ(high, iova);

	/* both go with the last device that has them */
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first - self->page,
			      UINT64_MAX));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page,
			    first - self->page));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

/* What an IOAS offers are just these two ranges. */
static bool has_two_ranges(int fd, __u32 ioas, const struct iommu_iova_range *want)
{
	struct iommu_iova_range ranges[2];
	__u64 alignment;
	__u32 num = 2;

	return !iova_ranges(fd, ioas, ranges, &num, &alignment) && num == 2 &&
	       !memcmp(ranges, want, sizeof(ranges));
}

/* A low window, and one beyond whatever a processor has memory for. */
static const struct iommu_iova_range far_windows[] = {
	{ .start = 0, .last = 0x3fffffff },
	{ .start = 1ULL << 59, .last = (1ULL << 59) + (1ULL << 40) - 1 },
};

/*
 * As on PowerPC, where the driver has one domain for both. The mock warns of a map
 * in between.
 * Scenario 31.
 */
TEST_F(device, windows_far_apart)
{
	const __u64 gap = far_windows[0].last + 1, high = far_windows[1].start;
	const __u64 last_page = far_windows[1].last + 1 - self->page;
	struct mock a, b;
	__u64 iova;

	ASSERT_EQ(0, set_windows(far_windows[0].start, far_windows[0].last,
				 far_windows[1].start, far_windows[1].last));
	/* what is in the gap, if only in part, keeps the device out of all */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page,
			    high - self->page));
	EXPECT_EQ(-EADDRINUSE, mock_device(self->fd, self->ioas, &a));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, high));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	EXPECT_TRUE(has_two_ranges(self->fd, self->ioas, far_windows));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(a.hwpt, b.hwpt);
	EXPECT_TRUE(has_two_ranges(self->fd, self->ioas, far_windows));
	/* the last byte of the one window, the first of the other */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page,
			    gap - self->page));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, last_page));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->page,
			       gap - self->page));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->bytes, high));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->page, last_page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, gap));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  high - self->page));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  1ULL << 50));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  last_page + self->page));
	/* the low one first, then the high one */
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, self->page, &iova));
	EXPECT_LT(iova, gap);
	ASSERT_EQ(0, unmap(self->fd, self->ioas, iova, self->page, NULL));
	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, 0, gap - self->page));
	ASSERT_EQ(0, map_any(self->fd, self->ioas, self->va, self->page, &iova));
	EXPECT_LE(high, iova);

	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, gap, gap));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, gap, UINT64_MAX));
}

/*
 * A device takes both windows along when it moves, and neither if it cannot.
 * Scenario 31.
 */
TEST_F(device, windows_move_together)
{
	const __u64 gap = far_windows[0].last + 1, high = far_windows[1].start;
	__u32 other, hwpt;
	struct mock mock;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, set_windows(far_windows[0].start, far_windows[0].last,
				 far_windows[1].start, far_windows[1].last));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, high));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	hwpt = mock.hwpt;

	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, gap));
	EXPECT_EQ(-EADDRINUSE, mock_replace(self->fd, &mock, other));
	EXPECT_EQ(hwpt, mock.hwpt);
	EXPECT_TRUE(has_two_ranges(self->fd, self->ioas, far_windows));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->page, high));

	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));
	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, high));
	EXPECT_EQ(0, mock_replace(self->fd, &mock, other));
	EXPECT_TRUE(has_two_ranges(self->fd, other, far_windows));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->page, high));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
}

/*
 * The window for MSI doorbells is a reserved range, one for all devices. The mock
 * warns of a domain that has not been told of it when the device is attached.
 * Scenario 28.
 */
TEST_F(device, msi_window)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	struct mock a, b, c;

	ASSERT_EQ(0, set_reserved(first, last, true));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(a.hwpt, b.hwpt);
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	/* a window elsewhere does not go with the domain they have */
	ASSERT_EQ(0, set_reserved(2 * APERTURE, 2 * APERTURE + 0xffff, true));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &c));
	EXPECT_NE(a.hwpt, c.hwpt);
	EXPECT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	EXPECT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first, last));
	EXPECT_EQ(0, destroy(self->fd, c.stdev));
}

/* -- groups */

/* Scenario 26. */
TEST_F(device, one_group)
{
	const __u64 first = APERTURE + 0x100000;
	struct mock a, b, none;
	__u32 other, old;
	int fd;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, other, self->va, self->page, APERTURE));
	ASSERT_EQ(0, set_reserved(first, first, false));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &a));
	ASSERT_EQ(0, write_text(SWITCH("shares_group"), "Y"));

	/* they go together, and with one file */
	EXPECT_EQ(-EINVAL, mock_device(self->fd, other, &none));
	fd = open_iommu();
	ASSERT_EQ(0, ioas_alloc(fd, &old));
	EXPECT_EQ(-EPERM, mock_device(fd, old, &none));
	close(fd);
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(a.hwpt, b.hwpt);

	/* the one takes the other along, and its reserved region */
	old = a.hwpt;
	ASSERT_EQ(0, mock_replace(self->fd, &a, other));
	EXPECT_EQ(-ENOENT, destroy(self->fd, old));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	ASSERT_EQ(0, mock_replace(self->fd, &b, other));
	EXPECT_EQ(a.hwpt, b.hwpt);
	ASSERT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_FALSE(is_usable(self->fd, other, first, first));
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->va, self->page, APERTURE));
	/* a replace that fails moves nobody */
	ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->page, self->page, APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, other, &a));
	EXPECT_EQ(-EFAULT, mock_replace(self->fd, &b, self->ioas));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->page, APERTURE));
	ASSERT_EQ(0, destroy(self->fd, b.stdev));
	EXPECT_EQ(0, check_map(self->fd, a.hwpt, self->va, self->page, APERTURE));
	ASSERT_EQ(0, destroy(self->fd, a.stdev));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
	EXPECT_EQ(-ENOENT, destroy(self->fd, a.hwpt));
}

/*
 * A device that is not attached does not move those of its group that are.
 * Scenario 27.
 */
TEST_F(device, replace_of_the_detached)
{
	const __u64 first = APERTURE + 0x100000;
	struct mock attached, detached;
	__u32 other, hwpt;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, APERTURE));
	ASSERT_EQ(0, set_reserved(first, first, false));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &attached));
	hwpt = attached.hwpt;
	ASSERT_EQ(0, write_text(SWITCH("shares_group"), "Y"));
	ASSERT_EQ(0, write_text(SWITCH("stays_detached"), "Y"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &detached));

	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &detached, other));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &detached, self->ioas));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &detached, hwpt));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->page, APERTURE));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	EXPECT_EQ(0, mock_replace(self->fd, &attached, self->ioas));
	EXPECT_EQ(hwpt, attached.hwpt);

	/* neither does it keep anything when the last of those goes */
	EXPECT_EQ(0, destroy(self->fd, attached.stdev));
	EXPECT_EQ(-ENOENT, destroy(self->fd, hwpt));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &detached, self->ioas));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->page, 0));
	EXPECT_EQ(0, destroy(self->fd, detached.stdev));
	EXPECT_EQ(0, destroy(self->fd, other));
}

/*
 * A driver can refuse a device of the group: the new domain is for the device that
 * attaches, and its neighbour is of another kind.
 */
TEST_F(device, refused_by_a_neighbour)
{
	const __u64 first = APERTURE + 0x100000;
	struct mock neighbour, mock;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, set_reserved(first, first, false));
	ASSERT_EQ(0, write_text(SWITCH("stays_detached"), "Y"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &neighbour));
	ASSERT_EQ(0, write_text(SWITCH("shares_group"), "Y"));
	ASSERT_EQ(0, write_text(SWITCH("stays_detached"), "N"));

	ASSERT_EQ(0, set_driver("vtd"));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));

	/* nothing of it is in the way of one that fits */
	ASSERT_EQ(0, set_driver("exact"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	ASSERT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	EXPECT_EQ(0, destroy(self->fd, neighbour.stdev));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

static void *attach_and_destroy(void *data)
{
	struct racer *racer = data;
	struct mock mock = {};
	int i;

	for (i = 0; i < 100 && !racer->rc; i++) {
		int rc = mock_device(racer->fd, racer->ioas, &mock);

		/* the group may be elsewhere at the moment */
		if (!rc)
			racer->rc = destroy(racer->fd, mock.stdev);
		else if (rc != -EINVAL)
			racer->rc = rc;
	}
	return NULL;
}

/* Scenario 26. */
TEST_F(device, one_group_in_parallel)
{
	struct racer racers[3] = {};
	__u32 other;
	int i;

	ASSERT_EQ(0, write_text(SWITCH("shares_group"), "Y"));
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	for (i = 0; i < 3; i++) {
		racers[i].fd = self->fd;
		racers[i].ioas = i < 2 ? self->ioas : other;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL,
					    attach_and_destroy, &racers[i]));
	}
	for (i = 0; i < 3; i++) {
		pthread_join(racers[i].thread, NULL);
		EXPECT_EQ(0, racers[i].rc);
	}
	EXPECT_EQ(0, destroy(self->fd, other));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* -- coherency */

static int make_coherency(int fd, __u32 pt, int coherency, struct mock *mock)
{
	return write_number(SWITCH("coherency"), coherency) ?:
	       mock_device(fd, pt, mock);
}

/* The mock warns of a map before coherency is enforced. Scenario 29. */
TEST_F(device, coherency)
{
	struct mock a, b, c, d;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	EXPECT_EQ(-EINVAL, make_coherency(self->fd, self->ioas, NOT_COHERENT, &a));
	EXPECT_EQ(-EINVAL, make_coherency(self->fd, self->ioas, ENFORCING_FAILS,
					  &a));
	ASSERT_EQ(0, make_coherency(self->fd, self->ioas, COHERENT, &a));
	/* what was filled without it will not do */
	ASSERT_EQ(0, make_coherency(self->fd, self->ioas, ENFORCEABLE, &b));
	EXPECT_NE(a.hwpt, b.hwpt);
	EXPECT_EQ(-EINVAL, make_coherency(self->fd, a.hwpt, ENFORCEABLE, &c));
	ASSERT_EQ(0, make_coherency(self->fd, self->ioas, ENFORCEABLE, &c));
	EXPECT_EQ(b.hwpt, c.hwpt);
	ASSERT_EQ(0, make_coherency(self->fd, b.hwpt, COHERENT, &d));
	EXPECT_EQ(b.hwpt, d.hwpt);
	EXPECT_EQ(0, check_map(self->fd, b.hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &b, a.hwpt));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
}

/* -- objects in any order */

/* close() destroys all of it, whatever is in the way of what. Scenario 24. */
TEST_F(device, closed_with_everything)
{
	struct mock mocks[6];
	__u32 ioas[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ioas_alloc(self->fd, &ioas[i]));
		ASSERT_EQ(0, map_at(self->fd, ioas[i], self->va, self->bytes,
				    APERTURE));
	}
	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, set_driver(i & 1 ? "vtd" : "exact"));
		ASSERT_EQ(0, mock_device(self->fd, ioas[i % 3], &mocks[i]));
	}
	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, mock_replace(self->fd, &mocks[i], ioas[(i + 1) % 3]));
		ASSERT_EQ(0, mock_replace(self->fd, &mocks[i], ioas[(i + 2) % 3]));
	}
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 3));
	/* the fixture closes the file and looks whether anything is left */
}

/*
 * A child that is killed has its file closed for it, and its devices with it.
 * Scenario 24.
 */
TEST_F(device, devices_go_with_the_file)
{
	char path[64];
	struct mock mock;
	int before, after, i;

	for (before = 0; before < 1000; before++) {
		snprintf(path, sizeof(path),
			 "/sys/bus/iommufd_mock/devices/iommufd_mock%d", before);
		if (access(path, F_OK))
			break;
	}
	for (i = 0; i < 5; i++)
		ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, access(path, F_OK));
	ASSERT_EQ(0, close(self->fd));
	after = access(path, F_OK);
	EXPECT_EQ(-1, after);
	self->fd = open_iommu();
}

/* -- several at once */

static void *attach_many(void *data)
{
	struct racer *racer = data;
	struct mock mock = {};
	int i;

	for (i = 0; i < 50 && !racer->rc; i++) {
		pthread_barrier_wait(racer->barrier);
		racer->rc = mock_device(racer->fd, racer->ioas, &mock);
		racer->hwpt = racer->rc ? 0 : mock.hwpt;
		pthread_barrier_wait(racer->barrier);
		pthread_barrier_wait(racer->barrier);
		if (!racer->rc)
			racer->rc = destroy(racer->fd, mock.stdev);
	}
	return NULL;
}

/* Two that come at the same time find one HWPT, made once. Scenario 26. */
TEST_F(device, attached_in_parallel)
{
	pthread_barrier_t barrier;
	struct racer racers[2] = {};
	int i;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	pthread_barrier_init(&barrier, NULL, 3);
	for (i = 0; i < 2; i++) {
		racers[i].barrier = &barrier;
		racers[i].fd = self->fd;
		racers[i].ioas = self->ioas;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, attach_many,
					    &racers[i]));
	}
	for (i = 0; i < 50; i++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		EXPECT_EQ(0, racers[0].rc | racers[1].rc);
		EXPECT_EQ(racers[0].hwpt, racers[1].hwpt);
		EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
		EXPECT_EQ(0, check_map(self->fd, racers[0].hwpt, self->va,
				       self->bytes, APERTURE));
		pthread_barrier_wait(&barrier);
		if (racers[0].rc | racers[1].rc)
			break;
	}
	for (i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	EXPECT_EQ(0, racers[0].rc | racers[1].rc);
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

/* Somebody destroys every ID there could be, all the time. */
static void *destroy_all(void *data)
{
	struct racer *racer = data;
	__u32 id = 0;

	while (!__atomic_load_n(&racer->rc, __ATOMIC_RELAXED))
		destroy(racer->fd, 1 + id++ % 12);
	return NULL;
}

static bool is_gone_error(int rc)
{
	return !rc || rc == -ENOENT || rc == -EINVAL;
}

/* Scenario 20. */
TEST_F(device, everything_against_destroy)
{
	struct racer racer = { .fd = self->fd };
	int i;

	ASSERT_EQ(0, pthread_create(&racer.thread, NULL, destroy_all, &racer));
	for (i = 0; i < 400; i++) {
		struct mock mock = { .stdev = 3 };
		__u32 ioas = 1;

		ioas_alloc(self->fd, &ioas);
		EXPECT_TRUE(is_gone_error(mock_device(self->fd, ioas, &mock)));
		EXPECT_TRUE(is_gone_error(mock_replace(self->fd, &mock, ioas)));
		EXPECT_TRUE(is_gone_error(check_map(self->fd, mock.hwpt, self->va,
						    self->page, APERTURE)));
		map_at(self->fd, ioas, self->va, self->bytes, APERTURE);
		destroy(self->fd, mock.stdev);
		unmap_all(self->fd, ioas, NULL);
	}
	__atomic_store_n(&racer.rc, 1, __ATOMIC_RELAXED);
	pthread_join(racer.thread, NULL);
}

TEST_HARNESS_MAIN
