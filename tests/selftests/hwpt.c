// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paging HWPTs that user space makes: IOMMU_HWPT_ALLOC for an IOAS, and what
 * becomes of them when devices come and go.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "harness.h"

#define NESTABLE	IOMMU_HWPT_ALLOC_NEST_PARENT
#define TRACKING	IOMMU_HWPT_ALLOC_DIRTY_TRACKING

FIXTURE(hwpt)
{
	int fd;
	__u32 ioas;
	/* attached to nothing */
	struct mock device;
	__u64 page;
	/* the start of 64 pages */
	__u64 va;
	__u64 bytes;
};

static int mock_detached(int fd, __u32 ioas, struct mock *mock)
{
	return write_text(SWITCH("stays_detached"), "Y") ?:
	       mock_device(fd, ioas, mock) ?:
	       write_text(SWITCH("stays_detached"), "N");
}

FIXTURE_SETUP(hwpt)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_detached(self->fd, self->ioas, &self->device));
	self->page = page_bytes();
	self->bytes = 64 * self->page;
	self->va = (uintptr_t)small_pages(self->bytes);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(hwpt)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	close(self->fd);
}

/* -- what is refused, and in which order */

TEST_F(hwpt, errors)
{
	__u32 hwpt, idev = self->device.idev;
	int fd = self->fd;

	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(fd, ~0u, idev, self->ioas, &hwpt));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(fd, 8, idev, self->ioas, &hwpt));
	EXPECT_EQ(-ENOENT, hwpt_alloc(fd, 0, 0, self->ioas, &hwpt));
	EXPECT_EQ(-ENOENT, hwpt_alloc(fd, 0, NO_SUCH_ID, NO_SUCH_ID, &hwpt));
	EXPECT_EQ(-ENOENT, hwpt_alloc(fd, 0, self->ioas, self->ioas, &hwpt));
	EXPECT_EQ(-ENOENT, hwpt_alloc(fd, 0, self->device.stdev, self->ioas, &hwpt));
	EXPECT_EQ(-EINVAL, hwpt_alloc(fd, 0, idev, 0, &hwpt));
	EXPECT_EQ(-EINVAL, hwpt_alloc(fd, 0, idev, NO_SUCH_ID, &hwpt));
	EXPECT_EQ(-EINVAL, hwpt_alloc(fd, 0, idev, idev, &hwpt));
	EXPECT_EQ(-EINVAL, hwpt_alloc(fd, 0, idev, self->device.stdev, &hwpt));
	EXPECT_EQ(0, hwpt_alloc(fd, 0, idev, self->ioas, &hwpt));
}

/* The table is ours, so its faults are not reported to anybody. */
TEST_F(hwpt, no_fault_queue)
{
	struct iommu_hwpt_alloc arg = {
		.flags = IOMMU_HWPT_FAULT_ID_VALID,
		.dev_id = self->device.idev,
		.pt_id = self->ioas,
		.fault_id = NO_SUCH_ID,
	};
	__u32 hwpt;

	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
	arg.flags |= NESTABLE;
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
	/* not without its flag either */
	arg.flags = 0;
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
}

TEST_F(hwpt, driver_data)
{
	struct iommu_hwpt_selftest data = { .iotlb = 1 };
	struct iommu_hwpt_alloc arg = {
		.dev_id = NO_SUCH_ID,
		.pt_id = self->ioas,
		.data_uptr = (uintptr_t)&data,
	};
	__u32 hwpt;

	/* data without a type, a type without data: seen before all IDs */
	arg.data_len = sizeof(data);
	EXPECT_EQ(-EINVAL, hwpt_alloc_data(self->fd, &arg, &hwpt));
	arg.data_type = IOMMU_HWPT_DATA_SELFTEST;
	arg.data_len = 0;
	EXPECT_EQ(-EINVAL, hwpt_alloc_data(self->fd, &arg, &hwpt));
	/* the driver has no use for any here */
	arg.data_len = sizeof(data);
	EXPECT_EQ(-ENOENT, hwpt_alloc_data(self->fd, &arg, &hwpt));
	arg.dev_id = self->device.idev;
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
}

TEST_F(hwpt, reserved_fields)
{
	struct iommu_hwpt_alloc arg = {
		.dev_id = self->device.idev,
		.pt_id = self->ioas,
		.__reserved = 1,
	};
	__u32 hwpt;

	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
	arg.__reserved = 0;
	arg.__reserved2 = 1;
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc_data(self->fd, &arg, &hwpt));
}

/* Programs that know less of the structure go on working. */
TEST_F(hwpt, short_structure)
{
	struct iommu_hwpt_alloc arg = {
		.size = offsetof(struct iommu_hwpt_alloc, data_type),
		.dev_id = self->device.idev,
		.pt_id = self->ioas,
		.data_type = 77,
	};

	ASSERT_EQ(24, arg.size);
	EXPECT_EQ(0, command(self->fd, IOMMU_HWPT_ALLOC, &arg));
	EXPECT_EQ(77, arg.data_type);
	EXPECT_EQ(0, destroy(self->fd, arg.out_hwpt_id));
	arg.size = 20;
	EXPECT_EQ(-EINVAL, command(self->fd, IOMMU_HWPT_ALLOC, &arg));
}

/* What does not fit into the domain is refused, and nothing is left. */
TEST_F(hwpt, contents_that_do_not_fit)
{
	__u32 hwpt, idev = self->device.idev;
	int fd = self->fd;

	ASSERT_EQ(0, map_at(fd, self->ioas, self->va, self->page, 0));
	EXPECT_EQ(-EADDRINUSE, hwpt_alloc(fd, 0, idev, self->ioas, &hwpt));
	ASSERT_EQ(0, unmap_all(fd, self->ioas, NULL));
	ASSERT_EQ(0, map_at(fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, map_at(fd, self->ioas, self->page, self->page,
			    2 * APERTURE));
	EXPECT_EQ(-EFAULT, hwpt_alloc(fd, 0, idev, self->ioas, &hwpt));
	EXPECT_EQ(0, check_refs(fd, self->va, self->bytes, 0));
	EXPECT_TRUE(is_usable(fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, destroy(fd, self->ioas));
}

TEST_F(hwpt, dirty_tracking_is_asked_for)
{
	struct mock other;
	__u32 hwpt;

	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas,
				       MOCK_FLAGS_DEVICE_NO_DIRTY, &other));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(self->fd, TRACKING, other.idev,
					  self->ioas, &hwpt));
	ASSERT_EQ(0, hwpt_alloc(self->fd, TRACKING, self->device.idev,
				self->ioas, &hwpt));
	/* only who can track may be attached */
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &other, hwpt));
	EXPECT_NE(hwpt, other.hwpt);
	EXPECT_EQ(0, destroy(self->fd, hwpt));
}

/* -- life */

/* It has what is in the IOAS, and gets what comes, with no device anywhere. */
TEST_F(hwpt, mirrors_without_a_device)
{
	__u32 hwpt;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page,
			    APERTURE));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, 2 * self->page, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes,
			    2 * APERTURE));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->bytes,
			       2 * APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->page, 2));
	ASSERT_EQ(0, unmap(self->fd, self->ioas, APERTURE, 2 * self->page, NULL));
	EXPECT_TRUE(is_empty(self->fd, hwpt, self->va, 2 * self->page, APERTURE));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, 0, 0));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));

	EXPECT_EQ(0, destroy(self->fd, hwpt));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* The device it was made for may go. */
TEST_F(hwpt, outlives_its_device)
{
	struct mock other;
	__u32 hwpt;

	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	ASSERT_EQ(0, destroy(self->fd, self->device.stdev));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, hwpt, &other));
	EXPECT_EQ(hwpt, other.hwpt);
	EXPECT_EQ(-EBUSY, destroy(self->fd, hwpt));
	EXPECT_EQ(0, destroy(self->fd, other.stdev));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->bytes, APERTURE));
	EXPECT_EQ(0, destroy(self->fd, hwpt));
}

/* It is for those who name it: an attach to the IOAS makes another. */
TEST_F(hwpt, is_not_shared_unasked)
{
	struct mock a, b;
	__u32 hwpt;

	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	ASSERT_EQ(0, mock_device(self->fd, hwpt, &a));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &b));
	EXPECT_EQ(hwpt, a.hwpt);
	EXPECT_NE(hwpt, b.hwpt);
	/* nor is it what a device on the IOAS has already */
	EXPECT_EQ(0, mock_replace(self->fd, &a, self->ioas));
	EXPECT_EQ(b.hwpt, a.hwpt);
	EXPECT_EQ(0, destroy(self->fd, hwpt));
}

TEST_F(hwpt, replaced_and_back)
{
	struct mock mock;
	__u32 first, second, automatic;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &first));
	ASSERT_EQ(0, hwpt_alloc(self->fd, NESTABLE, self->device.idev, self->ioas,
				&second));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	automatic = mock.hwpt;

	EXPECT_EQ(0, mock_replace(self->fd, &mock, first));
	EXPECT_EQ(first, mock.hwpt);
	EXPECT_EQ(-ENOENT, destroy(self->fd, automatic));
	EXPECT_EQ(0, mock_replace(self->fd, &mock, second));
	EXPECT_EQ(second, mock.hwpt);
	EXPECT_EQ(0, destroy(self->fd, first));
	EXPECT_EQ(0, mock_replace(self->fd, &mock, second));
	EXPECT_EQ(-ENOENT, mock_replace(self->fd, &mock, first));
	EXPECT_EQ(-EBUSY, destroy(self->fd, second));
	EXPECT_EQ(0, mock_replace(self->fd, &mock, self->ioas));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->bytes,
			       APERTURE));
	EXPECT_EQ(0, destroy(self->fd, second));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 1));
}

/* Coherency is decided when it is made. Scenario 29. */
TEST_F(hwpt, coherency)
{
	struct mock strict, lax;
	__u32 hwpt, coherent;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, write_number(SWITCH("coherency"), ENFORCEABLE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &strict));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &strict, hwpt));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, strict.idev, self->ioas, &coherent));
	EXPECT_EQ(0, mock_replace(self->fd, &strict, coherent));
	ASSERT_EQ(0, write_number(SWITCH("coherency"), COHERENT));
	ASSERT_EQ(0, mock_device(self->fd, coherent, &lax));

	ASSERT_EQ(0, write_number(SWITCH("coherency"), ENFORCING_FAILS));
	ASSERT_EQ(0, mock_detached(self->fd, self->ioas, &strict));
	EXPECT_EQ(-EINVAL, hwpt_alloc(self->fd, 0, strict.idev, self->ioas, &hwpt));
}

/* -- the window for MSI doorbells */

/*
 * Doorbells stay in a domain as long as the domain does, so nothing else may be
 * mapped there, with or without a device. Scenario 28.
 */
TEST_F(hwpt, keeps_the_msi_window)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	__u32 hwpt, other;
	struct mock mock;

	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &other));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first, last));
	ASSERT_EQ(0, set_reserved(first, last, true));
	ASSERT_EQ(0, mock_device(self->fd, hwpt, &mock));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	/* within the IOAS */
	EXPECT_EQ(0, mock_replace(self->fd, &mock, other));
	EXPECT_EQ(-EBUSY, destroy(self->fd, other));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page, first));

	EXPECT_EQ(0, destroy(self->fd, other));
	EXPECT_FALSE(is_usable(self->fd, self->ioas, first, first));
	EXPECT_EQ(0, destroy(self->fd, hwpt));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first, last));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
}

/* A device that is refused leaves no window behind. Scenario 27. */
TEST_F(hwpt, refused_device_takes_its_window_along)
{
	const __u64 first = APERTURE + 0x10000, last = first + 0xffff;
	struct mock vtd, exact;
	__u32 other, hwpt;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	ASSERT_EQ(0, set_reserved(first, last, true));
	ASSERT_EQ(0, set_driver("vtd"));
	ASSERT_EQ(0, mock_device(self->fd, other, &vtd));
	EXPECT_EQ(-EINVAL, mock_replace(self->fd, &vtd, hwpt));
	EXPECT_FALSE(is_usable(self->fd, other, first, first));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first, last));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, hwpt, &exact));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, first, last));

	/* the domain has been told of that window; there is none other */
	ASSERT_EQ(0, set_driver("exact"));
	ASSERT_EQ(0, set_reserved(2 * APERTURE, 2 * APERTURE + 0xffff, true));
	EXPECT_EQ(-EINVAL, mock_device(self->fd, hwpt, &exact));
	EXPECT_TRUE(is_usable(self->fd, self->ioas, 2 * APERTURE, 2 * APERTURE));
	EXPECT_EQ(0, destroy(self->fd, vtd.stdev));
	EXPECT_TRUE(is_usable(self->fd, other, 0, UINT64_MAX));
}

/* -- races */

struct maker {
	pthread_t thread;
	int fd;
	__u32 idev;
	__u32 ioas;
	__u32 hwpt;
	int rc;
};

static void *make_hwpt(void *data)
{
	struct maker *maker = data;

	maker->rc = hwpt_alloc(maker->fd, 0, maker->idev, maker->ioas,
			       &maker->hwpt);
	return NULL;
}

/* Who unbinds the device does not wait for the filling. Scenario 23. */
TEST_F(hwpt, device_goes_while_it_is_filled)
{
	struct maker maker = {
		.fd = self->fd,
		.idev = self->device.idev,
		.ioas = self->ioas,
	};

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, close_gate(PIN_GATE, self->va, self->va + self->bytes - 1));
	ASSERT_EQ(0, pthread_create(&maker.thread, NULL, make_hwpt, &maker));
	ASSERT_TRUE(gate_is_busy(PIN_GATE));
	EXPECT_EQ(0, destroy(self->fd, self->device.stdev));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	ASSERT_EQ(0, open_gate(PIN_GATE));
	pthread_join(maker.thread, NULL);
	ASSERT_EQ(0, maker.rc);
	EXPECT_EQ(0, check_map(self->fd, maker.hwpt, self->va, self->bytes,
			       APERTURE));
	EXPECT_EQ(0, destroy(self->fd, maker.hwpt));
}

static void *guess_id(void *data)
{
	struct maker *maker = data;
	int rc, i;

	for (i = 0; i < 2000 && !maker->rc; i++) {
		rc = destroy(maker->fd, maker->hwpt);
		if (rc && rc != -ENOENT && rc != -EBUSY)
			maker->rc = rc;
	}
	return NULL;
}

/* Whatever has got the ID meanwhile: it is gone, of another kind, or in use. */
static bool is_overtaken(int rc)
{
	return !rc || rc == -ENOENT || rc == -EINVAL || rc == -EBUSY;
}

/*
 * Destroyed by who guesses its ID, as soon as it can be found: nothing is left, and
 * the kernel has nothing to complain of. Scenario 22.
 */
TEST_F(hwpt, guessed)
{
	struct maker maker = { .fd = self->fd };
	struct mock mock;
	__u32 hwpt;
	int i, rc;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas, &hwpt));
	maker.hwpt = hwpt;
	ASSERT_EQ(0, pthread_create(&maker.thread, NULL, guess_id, &maker));
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->device.idev, self->ioas,
					&hwpt));
		rc = mock_device(self->fd, hwpt, &mock);
		if (!rc)
			rc = destroy(self->fd, mock.stdev);
		ASSERT_TRUE(is_overtaken(rc));
		ASSERT_TRUE(is_overtaken(destroy(self->fd, hwpt)));
	}
	pthread_join(maker.thread, NULL);
	EXPECT_EQ(0, maker.rc);
}

TEST_HARNESS_MAIN
