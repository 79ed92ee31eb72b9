// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested HWPTs: what they can be made on, devices on them, and IOMMU_HWPT_INVALIDATE.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "park.h"
#include "harness.h"

#define DEFAULT		IOMMU_TEST_IOTLB_DEFAULT
#define NEST_PARENT	IOMMU_HWPT_ALLOC_NEST_PARENT
#define ALL		IOMMU_TEST_INVALIDATE_FLAG_ALL
#define ENTRIES		MOCK_NESTED_DOMAIN_IOTLB_NUM

/* The kernel takes no more requests at once. */
#define MOST_REQUESTS	(1U << 19)

FIXTURE(nested)
{
	int fd;
	__u32 ioas;
	/* on an automatic HWPT of the IOAS */
	struct mock mock;
	__u32 parent;
	__u32 hwpt;
	__u64 page;
	/* two pages; what lies behind them is not mapped */
	__u64 va;
	__u64 bytes;
	char *end;
};

FIXTURE_SETUP(nested)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, NEST_PARENT, self->mock.idev, self->ioas,
				&self->parent));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, DEFAULT,
				  &self->hwpt));
	self->page = page_bytes();
	self->bytes = 2 * self->page;
	self->va = (uintptr_t)small_pages(3 * self->page);
	ASSERT_NE(0, self->va);
	self->end = (char *)(uintptr_t)(self->va + self->bytes);
	ASSERT_EQ(0, munmap(self->end, self->page));
}

FIXTURE_TEARDOWN(nested)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	close(self->fd);
}

/* Do all entries of the IOTLB hold the value? */
static bool holds(int fd, __u32 hwpt, __u32 value)
{
	__u32 i;

	for (i = 0; i < ENTRIES; i++) {
		if (check_iotlb(fd, hwpt, i, value))
			return false;
	}
	return true;
}

/* -- making them */

TEST_F(nested, starts_with_the_value)
{
	__u32 i, hwpt;

	EXPECT_TRUE(holds(self->fd, self->hwpt, DEFAULT));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, 0, &hwpt));
	EXPECT_TRUE(holds(self->fd, hwpt, 0));
	/* each has its own */
	EXPECT_TRUE(holds(self->fd, self->hwpt, DEFAULT));
	for (i = 0; i < ENTRIES; i++)
		EXPECT_EQ(-EINVAL, check_iotlb(self->fd, hwpt, i, DEFAULT));
}

TEST_F(nested, check_iotlb_errors)
{
	EXPECT_EQ(-EINVAL, check_iotlb(self->fd, self->hwpt, 0, DEFAULT + 1));
	EXPECT_EQ(-EINVAL, check_iotlb(self->fd, self->hwpt, ENTRIES, DEFAULT));
	EXPECT_EQ(-EINVAL, check_iotlb(self->fd, self->hwpt, UINT32_MAX, DEFAULT));
	EXPECT_EQ(-ENOENT, check_iotlb(self->fd, self->parent, 0, DEFAULT));
	EXPECT_EQ(-ENOENT, check_iotlb(self->fd, self->ioas, 0, DEFAULT));
	EXPECT_EQ(-ENOENT, check_iotlb(self->fd, NO_SUCH_ID, 0, DEFAULT));
	/* no page table of ours is in it */
	EXPECT_EQ(-ENOENT, check_map(self->fd, self->hwpt, self->va, self->page,
				     APERTURE));
}

/* What is refused leaves no object: the next one has the ID that is free. */
TEST_F(nested, wrong_data)
{
	struct iommu_hwpt_selftest *data = (void *)(uintptr_t)self->va;
	const struct {
		__u32 type;
		__u32 length;
		const void *at;
		int rc;
	} tries[] = {
		{ IOMMU_HWPT_DATA_VTD_S1, 4, data, -EOPNOTSUPP },
		{ IOMMU_HWPT_DATA_SELFTEST - 1, 4, data, -EOPNOTSUPP },
		{ UINT32_MAX, 4, data, -EOPNOTSUPP },
		{ IOMMU_HWPT_DATA_SELFTEST, 3, data, -EINVAL },
		{ IOMMU_HWPT_DATA_SELFTEST, 5, data, -EINVAL },
		{ IOMMU_HWPT_DATA_SELFTEST, UINT32_MAX, data, -EINVAL },
		{ IOMMU_HWPT_DATA_SELFTEST, 4, NULL, -EFAULT },
		{ IOMMU_HWPT_DATA_SELFTEST, 4, self->end, -EFAULT },
		{ IOMMU_HWPT_DATA_SELFTEST, 4, self->end - 3, -EFAULT },
		/* a type and data go together */
		{ IOMMU_HWPT_DATA_SELFTEST, 0, data, -EINVAL },
		{ IOMMU_HWPT_DATA_NONE, 4, data, -EINVAL },
		{ IOMMU_HWPT_DATA_NONE, 0, NULL, -EOPNOTSUPP },
	};
	unsigned int i;
	__u32 hwpt;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		struct iommu_hwpt_alloc arg = {
			.dev_id = self->mock.idev,
			.pt_id = self->parent,
			.data_type = tries[i].type,
			.data_len = tries[i].length,
			.data_uptr = (uintptr_t)tries[i].at,
		};

		EXPECT_EQ(tries[i].rc, hwpt_alloc_data(self->fd, &arg, &hwpt))
			TH_LOG("try %u", i);
	}
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, 1, &hwpt));
	EXPECT_EQ(self->hwpt + 1, hwpt);
}

TEST_F(nested, wrong_flags_and_ids)
{
	struct iommu_hwpt_selftest data = {};
	const struct {
		__u32 flags;
		__u32 dev;
		__u32 pt;
		int rc;
	} tries[] = {
		{ NEST_PARENT, self->mock.idev, self->parent, -EOPNOTSUPP },
		{ IOMMU_HWPT_ALLOC_DIRTY_TRACKING, self->mock.idev, self->parent,
		  -EOPNOTSUPP },
		{ 8, self->mock.idev, self->parent, -EOPNOTSUPP },
		{ 0, NO_SUCH_ID, self->parent, -ENOENT },
		{ 0, self->ioas, self->parent, -ENOENT },
		{ 0, self->mock.idev, NO_SUCH_ID, -EINVAL },
		{ 0, self->mock.idev, self->mock.stdev, -EINVAL },
		{ 0, self->mock.idev, self->mock.idev, -EINVAL },
		/* that far, but no further */
		{ 0, self->mock.idev, self->hwpt, -EINVAL },
		/* data for a paging one */
		{ 0, self->mock.idev, self->ioas, -EOPNOTSUPP },
	};
	unsigned int i;
	__u32 hwpt;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		struct iommu_hwpt_alloc arg = {
			.flags = tries[i].flags,
			.dev_id = tries[i].dev,
			.pt_id = tries[i].pt,
			.data_type = IOMMU_HWPT_DATA_SELFTEST,
			.data_len = sizeof(data),
			.data_uptr = (uintptr_t)&data,
		};

		EXPECT_EQ(tries[i].rc, hwpt_alloc_data(self->fd, &arg, &hwpt))
			TH_LOG("try %u", i);
	}
}

/* Scenario 42. */
TEST_F(nested, wrong_parents)
{
	struct mock plain;
	__u32 paging, hwpt;

	/* it was made for a device, not for user space */
	EXPECT_EQ(-EINVAL, nested_alloc(self->fd, self->mock.idev, self->mock.hwpt,
					DEFAULT, &hwpt));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->mock.idev, self->ioas, &paging));
	EXPECT_EQ(-EINVAL, nested_alloc(self->fd, self->mock.idev, paging, DEFAULT,
					&hwpt));
	/* a driver that knows nothing of nesting */
	ASSERT_EQ(0, set_plain_driver(true));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &plain));
	EXPECT_EQ(-EOPNOTSUPP, nested_alloc(self->fd, plain.idev, self->parent,
					    DEFAULT, &hwpt));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(self->fd, NEST_PARENT, plain.idev,
					  self->ioas, &hwpt));
	EXPECT_EQ(-EINVAL, nested_alloc(self->fd, self->mock.idev, plain.hwpt,
					DEFAULT, &hwpt));
	/* data, where there should be none; without, all is well */
	EXPECT_EQ(-EOPNOTSUPP, nested_alloc(self->fd, plain.idev, self->ioas,
					    DEFAULT, &hwpt));
	EXPECT_EQ(0, hwpt_alloc(self->fd, 0, plain.idev, self->ioas, &hwpt));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &self->mock, hwpt));
	EXPECT_EQ(0, mock_replace(self->fd, &plain, hwpt));
}

/* Scenario 42. */
TEST_F(nested, parent_cannot_go_first)
{
	__u32 second;

	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, 2,
				  &second));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->parent));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	EXPECT_EQ(0, destroy(self->fd, self->hwpt));
	EXPECT_EQ(-ENOENT, destroy(self->fd, self->hwpt));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->parent));
	/* the device on the parent's IOAS has nothing to do with it */
	EXPECT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(0, destroy(self->fd, second));
	EXPECT_EQ(0, destroy(self->fd, self->parent));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* Scenario 24. */
TEST_F(nested, closing_with_all_of_them)
{
	struct mock other;
	__u32 hwpt;
	int i;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, i,
					  &hwpt));
	ASSERT_EQ(0, mock_device(self->fd, hwpt, &other));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->hwpt));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
}

/* -- devices on them */

TEST_F(nested, attach_and_replace)
{
	struct mock other;
	__u32 second;

	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, 2,
				  &second));
	ASSERT_EQ(0, mock_device(self->fd, self->hwpt, &other));
	EXPECT_EQ(self->hwpt, other.hwpt);
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->hwpt));
	/* to another table of the guest, to none, and back */
	EXPECT_EQ(0, mock_replace(self->fd, &other, second));
	EXPECT_EQ(second, other.hwpt);
	EXPECT_EQ(0, mock_replace(self->fd, &other, second));
	EXPECT_EQ(0, destroy(self->fd, self->hwpt));
	EXPECT_EQ(0, mock_replace(self->fd, &other, self->parent));
	EXPECT_EQ(self->parent, other.hwpt);
	EXPECT_EQ(0, mock_replace(self->fd, &other, second));
	EXPECT_EQ(0, mock_replace(self->fd, &other, self->ioas));
	EXPECT_EQ(self->mock.hwpt, other.hwpt);
	EXPECT_EQ(0, mock_replace(self->fd, &other, second));
	/* it outlives its device */
	EXPECT_EQ(0, destroy(self->fd, other.stdev));
	EXPECT_TRUE(holds(self->fd, second, 2));
	EXPECT_EQ(0, mock_replace(self->fd, &self->mock, second));
	EXPECT_EQ(-EBUSY, destroy(self->fd, second));
}

/* The parent follows the IOAS whether or not a device goes through it. */
TEST_F(nested, parent_goes_on_mapping)
{
	const __u64 iova[] = { APERTURE, 2 * APERTURE };

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, iova[0]));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->hwpt));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, iova[1]));
	EXPECT_EQ(0, check_map(self->fd, self->parent, self->va, self->bytes, iova[0]));
	EXPECT_EQ(0, check_map(self->fd, self->parent, self->va, self->bytes, iova[1]));
	ASSERT_EQ(0, unmap(self->fd, self->ioas, iova[0], self->bytes, NULL));
	EXPECT_TRUE(is_empty(self->fd, self->parent, self->va, self->bytes, iova[0]));
	EXPECT_EQ(0, check_map(self->fd, self->parent, self->va, self->bytes, iova[1]));
}

TEST_F(nested, devices_that_do_not_fit)
{
	__u32 parent, hwpt, ioas;
	struct mock other;

	/* the pages below are not tracked for this one */
	ASSERT_EQ(0, hwpt_alloc(self->fd,
				NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				self->mock.idev, self->ioas, &parent));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, parent, 1, &hwpt));
	EXPECT_EQ(-EINVAL, mock_device_flags(self->fd, hwpt,
					     MOCK_FLAGS_DEVICE_NO_DIRTY, &other));
	EXPECT_EQ(0, mock_device_flags(self->fd, self->hwpt,
				       MOCK_FLAGS_DEVICE_NO_DIRTY, &other));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &other, hwpt));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->hwpt));
	/* of another kind, and of another driver */
	ASSERT_EQ(0, set_driver("arm"));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->hwpt, &other));
	ASSERT_EQ(0, set_driver("exact"));
	ASSERT_EQ(0, set_plain_driver(true));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, self->hwpt, &other));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &other));
	EXPECT_NE(self->mock.hwpt, other.hwpt);
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &other, self->hwpt));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &other, self->parent));
	/* nor does it share what was made for another driver when it moves */
	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	EXPECT_EQ(0, mock_replace(self->fd, &other, ioas));
	EXPECT_EQ(0, mock_replace(self->fd, &other, self->ioas));
	EXPECT_NE(self->mock.hwpt, other.hwpt);
}

/*
 * What a device reserves, it reserves in the IOAS behind the parent. A move that is
 * refused leaves that, and the rest, as it was.
 * Scenario 27.
 */
TEST_F(nested, reserved_regions_and_replace)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	__u32 ioas, parent, hwpt;
	struct mock other;

	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, hwpt_alloc(self->fd, NEST_PARENT, self->mock.idev, ioas,
				&parent));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, parent, 1, &hwpt));
	ASSERT_EQ(0, set_reserved(first, last, false));
	ASSERT_EQ(0, mock_device(self->fd, self->hwpt, &other));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));

	ASSERT_EQ(0, map_at(self->fd, ioas, self->va, self->page, first));
	EXPECT_EQ(-EADDRINUSE, mock_replace(self->fd, &other, hwpt));
	EXPECT_EQ(self->hwpt, other.hwpt);
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->hwpt));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));
	EXPECT_EQ(0, map_at(self->fd, ioas, self->va, self->page, last + 1));

	ASSERT_EQ(0, unmap_all(self->fd, ioas, NULL));
	ASSERT_EQ(0, mock_replace(self->fd, &other, hwpt));
	EXPECT_EQ(-EINVAL, map_at(self->fd, ioas, self->va, self->page, first));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, first));
	/* the same IOAS: nothing is taken and nothing given back */
	ASSERT_EQ(0, mock_replace(self->fd, &other, parent));
	EXPECT_EQ(-EINVAL, map_at(self->fd, ioas, self->va, self->page, first));
	EXPECT_EQ(0, destroy(self->fd, other.stdev));
	EXPECT_EQ(0, destroy(self->fd, hwpt));
	EXPECT_EQ(0, destroy(self->fd, parent));
	EXPECT_TRUE(is_usable(self->fd, ioas, 0, UINT64_MAX));
}

/* The window for MSIs is in the parent, whichever of the two is attached to. */
TEST_F(nested, msi_window)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	struct mock other;

	ASSERT_EQ(0, set_reserved(first, last, true));
	ASSERT_EQ(0, mock_device(self->fd, self->hwpt, &other));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));
	EXPECT_EQ(0, mock_replace(self->fd, &other, self->parent));
	EXPECT_EQ(0, mock_replace(self->fd, &other, self->hwpt));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));
	EXPECT_EQ(0, destroy(self->fd, other.stdev));
}

/* -- IOMMU_HWPT_INVALIDATE */

TEST_F(nested, invalidate_entries)
{
	const struct iommu_hwpt_invalidate_selftest requests[] = {
		{ .iotlb_id = 2 }, { .iotlb_id = 0 }, { .iotlb_id = 2 },
	};
	__u32 num = 1;

	ASSERT_EQ(0, mock_invalidate(self->fd, self->hwpt, requests, &num));
	EXPECT_EQ(1, num);
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, DEFAULT));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 1, DEFAULT));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 2, 0));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 3, DEFAULT));
	num = 3;
	ASSERT_EQ(0, mock_invalidate(self->fd, self->hwpt, requests, &num));
	EXPECT_EQ(3, num);
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, 0));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 1, DEFAULT));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 3, DEFAULT));
}

TEST_F(nested, invalidate_all)
{
	const struct iommu_hwpt_invalidate_selftest request = { .flags = ALL };
	__u32 num = 1, other;

	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, 7, &other));
	ASSERT_EQ(0, mock_invalidate(self->fd, self->hwpt, &request, &num));
	EXPECT_EQ(1, num);
	EXPECT_TRUE(holds(self->fd, self->hwpt, 0));
	EXPECT_TRUE(holds(self->fd, other, 7));
}

/*
 * As many as were carried out, and why there are no more.
 * Scenario 38.
 */
TEST_F(nested, invalidate_partly)
{
	const struct {
		struct iommu_hwpt_invalidate_selftest second;
		int rc;
	} tries[] = {
		{ { .iotlb_id = ENTRIES }, -EINVAL },
		{ { .iotlb_id = UINT32_MAX }, -EINVAL },
		{ { .flags = ALL, .iotlb_id = ENTRIES }, -EINVAL },
		{ { .flags = 2 }, -EOPNOTSUPP },
		{ { .flags = ALL | (1U << 31) }, -EOPNOTSUPP },
		/* the flags are looked at first */
		{ { .flags = 2, .iotlb_id = ENTRIES }, -EOPNOTSUPP },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		const struct iommu_hwpt_invalidate_selftest requests[] = {
			{ .iotlb_id = 1 }, tries[i].second, { .flags = ALL },
		};
		__u32 num = 3;

		EXPECT_EQ(tries[i].rc, mock_invalidate(self->fd, self->hwpt,
						       requests, &num))
			TH_LOG("try %u", i);
		EXPECT_EQ(1, num);
		/* the wrong one is the first */
		num = 2;
		EXPECT_EQ(tries[i].rc, mock_invalidate(self->fd, self->hwpt,
						       requests + 1, &num));
		EXPECT_EQ(0, num);
		EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, DEFAULT));
		EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 1, 0));
	}
}

/* However many there are, the count is right. */
TEST_F(nested, invalidate_many)
{
	static const __u32 wrong[] = {
		1, 1023, 1024, 1025, 2047, 2048, 100000, MOST_REQUESTS - 1,
	};
	struct iommu_hwpt_invalidate_selftest *requests;
	__u32 num = MOST_REQUESTS;
	unsigned int i;

	requests = anonymous(MOST_REQUESTS * sizeof(*requests));
	ASSERT_NE(NULL, requests);
	requests[MOST_REQUESTS - 1].iotlb_id = 3;
	ASSERT_EQ(0, mock_invalidate(self->fd, self->hwpt, requests, &num));
	EXPECT_EQ(MOST_REQUESTS, num);
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, 0));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 1, DEFAULT));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 3, 0));

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		requests[wrong[i]].flags = 2;
		num = MOST_REQUESTS;
		EXPECT_EQ(-EOPNOTSUPP, mock_invalidate(self->fd, self->hwpt,
						       requests, &num));
		EXPECT_EQ(wrong[i], num);
		num = wrong[i];
		EXPECT_EQ(0, mock_invalidate(self->fd, self->hwpt, requests, &num));
		EXPECT_EQ(wrong[i], num);
		requests[wrong[i]].flags = 0;
	}
}

/* What is wrong before the driver gets to see it. Scenario 38. */
TEST_F(nested, invalidate_wrong_arguments)
{
	const struct iommu_hwpt_invalidate_selftest *good = (void *)(uintptr_t)self->va;
	const struct {
		__u32 hwpt;
		__u32 type;
		__u32 length;
		__u32 num;
		__u32 reserved;
		const void *at;
		int rc;
	} tries[] = {
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 1, good,
		  -EOPNOTSUPP },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 0, 1, good,
		  -EOPNOTSUPP },
		{ NO_SUCH_ID, 0, 0, 1, 1U << 31, NULL, -EOPNOTSUPP },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0, NULL,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 0, 1, 0, good,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		  (__u32)self->page + 1, 1, 0, good, -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, UINT32_MAX, 1, 0,
		  good, -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8,
		  MOST_REQUESTS + 1, 0, good, -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, UINT32_MAX, 0,
		  good, -EINVAL },
		/* these are the driver's to refuse */
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 1, 1, 0, good,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 7, 1, 0, good,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 9, 1, 0, good,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		  (__u32)self->page, 1, 0, good, -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID, 8, 1, 0,
		  good, -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, 8, 1, 0, good,
		  -EINVAL },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0,
		  self->end, -EFAULT },
		{ self->hwpt, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0,
		  self->end - 4, -EFAULT },
		/* what is no nested HWPT */
		{ NO_SUCH_ID, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0, good,
		  -ENOENT },
		{ self->parent, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0, good,
		  -ENOENT },
		{ self->ioas, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 1, 0, good,
		  -ENOENT },
		{ self->mock.idev, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 8, 0, 0,
		  good, -ENOENT },
		/* the arguments are looked at first */
		{ NO_SUCH_ID, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 0, 1, 0, good,
		  -EINVAL },
	};
	unsigned int i;

	memset((void *)(uintptr_t)self->va, 0, self->bytes);
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		struct iommu_hwpt_invalidate arg = {
			.hwpt_id = tries[i].hwpt,
			.data_type = tries[i].type,
			.entry_len = tries[i].length,
			.__reserved = tries[i].reserved,
		};
		__u32 num = tries[i].num;

		EXPECT_EQ(tries[i].rc, hwpt_invalidate(self->fd, &arg, tries[i].at,
						       &num))
			TH_LOG("try %u", i);
		EXPECT_EQ(0, num) TH_LOG("try %u", i);
	}
	EXPECT_TRUE(holds(self->fd, self->hwpt, DEFAULT));
}

/* The array ends sooner than it should. Scenario 38. */
TEST_F(nested, invalidate_array_that_ends)
{
	const struct iommu_hwpt_invalidate_selftest *requests;
	__u32 num = 5;

	requests = (void *)(self->end - 3 * sizeof(*requests));
	memset((void *)(uintptr_t)self->va, 0, self->bytes);
	EXPECT_EQ(-EFAULT, mock_invalidate(self->fd, self->hwpt, requests, &num));
	EXPECT_EQ(3, num);
	/* with a byte missing, it is one less */
	num = 5;
	requests = (void *)((char *)requests + 1);
	EXPECT_EQ(-EFAULT, mock_invalidate(self->fd, self->hwpt, requests, &num));
	EXPECT_EQ(2, num);
}

/* No requests: nothing but the type is looked at. */
TEST_F(nested, invalidate_nothing)
{
	struct iommu_hwpt_invalidate arg = {
		.hwpt_id = self->hwpt,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
	};
	__u32 num = 0;

	EXPECT_EQ(0, hwpt_invalidate(self->fd, &arg, NULL, &num));
	arg.entry_len = UINT32_MAX;
	EXPECT_EQ(0, hwpt_invalidate(self->fd, &arg, self->end, &num));
	EXPECT_EQ(0, num);
	arg.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID;
	EXPECT_EQ(-EINVAL, hwpt_invalidate(self->fd, &arg, NULL, &num));
	EXPECT_EQ(0, num);
	EXPECT_TRUE(holds(self->fd, self->hwpt, DEFAULT));
}

/* Scenario 38. */
TEST_F(nested, invalidate_without_the_op)
{
	const struct iommu_hwpt_invalidate_selftest request = { .flags = ALL };
	__u32 num = 1, hwpt;

	ASSERT_EQ(0, write_text(SWITCH("lacks_invalidate"), "Y"));
	ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent, DEFAULT,
				  &hwpt));
	EXPECT_EQ(-EOPNOTSUPP, mock_invalidate(self->fd, hwpt, &request, &num));
	EXPECT_EQ(0, num);
	EXPECT_EQ(-EOPNOTSUPP, mock_invalidate(self->fd, hwpt, &request, &num));
	EXPECT_TRUE(holds(self->fd, hwpt, DEFAULT));
	EXPECT_EQ(0, mock_replace(self->fd, &self->mock, hwpt));
}

/* The answer cannot be written: nothing is done. */
TEST_F(nested, invalidate_without_an_answer)
{
	struct iommu_hwpt_invalidate *arg = (void *)(uintptr_t)self->va;
	const struct iommu_hwpt_invalidate_selftest request = { .flags = ALL };

	*arg = (struct iommu_hwpt_invalidate){
		.size = sizeof(*arg),
		.hwpt_id = self->hwpt,
		.data_uptr = (uintptr_t)&request,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		.entry_len = sizeof(request),
		.entry_num = 1,
	};
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_HWPT_INVALIDATE, arg));
	EXPECT_EQ(1, arg->entry_num);
	EXPECT_TRUE(holds(self->fd, self->hwpt, DEFAULT));
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, command(self->fd, IOMMU_HWPT_INVALIDATE, arg));
	EXPECT_TRUE(holds(self->fd, self->hwpt, 0));
}

/* -- several at once */

/* A call in a thread of its own. */
struct caller {
	pthread_t thread;
	int fd;
	__u32 hwpt;
	const struct iommu_hwpt_invalidate_selftest *requests;
	__u32 num;
	int rc;
};

static void *invalidate_once(void *data)
{
	struct caller *caller = data;

	caller->rc = mock_invalidate(caller->fd, caller->hwpt, caller->requests,
				     &caller->num);
	return NULL;
}

/*
 * While the requests are waited for, the HWPT stays, and nobody else waits.
 * Scenario 56.
 */
TEST_F(nested, invalidate_that_is_kept_waiting)
{
	void *page = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct iommu_hwpt_invalidate_selftest request = { .iotlb_id = 1 };
	struct caller caller = {
		.fd = self->fd,
		.hwpt = self->hwpt,
		.requests = page,
		.num = 2,
	};
	int uffd = park(page);
	struct mock other;
	__u32 num = 1;

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, mock_device(self->fd, self->hwpt, &other));
	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, invalidate_once, &caller));
	ASSERT_TRUE(is_parked(uffd));
	/* devices come and go, maps and other requests are carried out */
	EXPECT_EQ(0, mock_replace(self->fd, &self->mock, self->hwpt));
	EXPECT_EQ(0, destroy(self->fd, other.stdev));
	EXPECT_EQ(0, mock_replace(self->fd, &self->mock, self->ioas));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, mock_invalidate(self->fd, self->hwpt, &request, &num));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, DEFAULT));
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 1, 0));
	EXPECT_EQ(0, unpark(uffd, page));
	ASSERT_EQ(0, pthread_join(caller.thread, NULL));
	EXPECT_EQ(0, caller.rc);
	EXPECT_EQ(2, caller.num);
	EXPECT_EQ(0, check_iotlb(self->fd, self->hwpt, 0, 0));
	close(uffd);
}

/* A thread that makes a nested HWPT of what stands in a page. */
struct maker {
	pthread_t thread;
	int fd;
	struct iommu_hwpt_alloc arg;
	__u32 hwpt;
	int rc;
};

static void *make_nested(void *data)
{
	struct maker *maker = data;

	maker->rc = hwpt_alloc_data(maker->fd, &maker->arg, &maker->hwpt);
	return NULL;
}

/*
 * Nobody who unbinds the device waits for the memory with the driver's data, which
 * comes when user space likes. Scenarios 23 and 56.
 */
TEST_F(nested, data_that_is_kept_waiting)
{
	void *page = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct maker maker = {
		.fd = self->fd,
		.arg = {
			.dev_id = self->mock.idev,
			.pt_id = self->parent,
			.data_type = IOMMU_HWPT_DATA_SELFTEST,
			.data_len = sizeof(struct iommu_hwpt_selftest),
			.data_uptr = (uintptr_t)page,
		},
	};
	int uffd = park(page);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, pthread_create(&maker.thread, NULL, make_nested, &maker));
	ASSERT_TRUE(is_parked(uffd));
	EXPECT_EQ(0, destroy(self->fd, self->hwpt));
	EXPECT_EQ(0, destroy(self->fd, self->parent));
	EXPECT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(0, unpark(uffd, page));
	ASSERT_EQ(0, pthread_join(maker.thread, NULL));
	EXPECT_EQ(-ENOENT, maker.rc);
	close(uffd);

	/* what comes in time is read */
	ASSERT_EQ(0, madvise(page, self->page, MADV_DONTNEED));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, NEST_PARENT, self->mock.idev, self->ioas,
				&self->parent));
	maker.arg.dev_id = self->mock.idev;
	maker.arg.pt_id = self->parent;
	ASSERT_EQ(0, hwpt_alloc_data(self->fd, &maker.arg, &maker.hwpt));
	EXPECT_TRUE(holds(self->fd, maker.hwpt, 0));
}

/* A thread that invalidates until the HWPT is gone. */
struct racer {
	pthread_t thread;
	pthread_barrier_t *barrier;
	int fd;
	__u32 hwpt;
	int rc;
	bool is_wrong;
};

static void *invalidate_always(void *data)
{
	const struct iommu_hwpt_invalidate_selftest requests[] = {
		{ .iotlb_id = 0 }, { .flags = ALL },
	};
	struct racer *racer = data;

	pthread_barrier_wait(racer->barrier);
	do {
		__u32 num = 2;

		racer->rc = mock_invalidate(racer->fd, racer->hwpt, requests, &num);
		racer->is_wrong |= num != (racer->rc ? 0 : 2);
	} while (!racer->rc);
	return NULL;
}

/* Scenario 20. */
TEST_F(nested, invalidate_against_destroy)
{
	pthread_barrier_t barrier;
	struct racer racers[2];
	unsigned int i, round;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 3));
	for (round = 0; round < 50; round++) {
		__u32 hwpt;

		ASSERT_EQ(0, nested_alloc(self->fd, self->mock.idev, self->parent,
					  DEFAULT, &hwpt));
		for (i = 0; i < 2; i++) {
			racers[i] = (struct racer){
				.barrier = &barrier,
				.fd = self->fd,
				.hwpt = hwpt,
			};
			ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL,
						    invalidate_always, &racers[i]));
		}
		pthread_barrier_wait(&barrier);
		usleep(round * 20);
		EXPECT_EQ(0, destroy(self->fd, hwpt));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(0, pthread_join(racers[i].thread, NULL));
			EXPECT_EQ(-ENOENT, racers[i].rc);
			EXPECT_FALSE(racers[i].is_wrong);
		}
	}
	pthread_barrier_destroy(&barrier);
}

TEST_HARNESS_MAIN
