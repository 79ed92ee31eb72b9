// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_GET_HW_INFO: what it says about a device, and where it puts it.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "park.h"
#include "harness.h"

#define INFO_BYTES	sizeof(struct iommu_test_hw_info)

FIXTURE(hw_info)
{
	int fd;
	__u32 ioas;
	struct mock mock;
	/* two pages; what lies behind them is not mapped */
	char *pages;
	char *end;
};

FIXTURE_SETUP(hw_info)
{
	size_t page = page_bytes();

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	self->pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->pages);
	self->end = self->pages + 2 * page;
	ASSERT_EQ(0, munmap(self->end, page));
}

FIXTURE_TEARDOWN(hw_info)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
}

/* What is told of a device besides the driver's data. */
struct traits {
	int rc;
	__u64 capabilities;
	__u8 max_pasid_log2;
};

static struct traits traits_of(int fd, __u32 dev)
{
	/* old answers in the places of new ones make no difference */
	struct iommu_hw_info arg = {
		.out_data_type = 0x1234,
		.out_max_pasid_log2 = 77,
		.out_capabilities = UINT64_MAX,
	};
	struct traits traits = { .rc = get_hw_info(fd, dev, &arg) };

	traits.capabilities = arg.out_capabilities;
	traits.max_pasid_log2 = arg.out_max_pasid_log2;
	return traits;
}

static struct traits traits_with_flags(int fd, __u32 ioas, __u32 dev_flags)
{
	struct traits traits = { .rc = -ENODEV };
	struct mock mock;

	if (!mock_device_flags(fd, ioas, dev_flags, &mock)) {
		traits = traits_of(fd, mock.idev);
		traits.rc = traits.rc ?: destroy(fd, mock.stdev);
	}
	return traits;
}

TEST_F(hw_info, capabilities)
{
	static const struct {
		__u32 dev_flags;
		__u64 capabilities;
		__u8 max_pasid_log2;
	} devices[] = {
		{ 0, IOMMU_HW_CAP_DIRTY_TRACKING, 0 },
		{ MOCK_FLAGS_DEVICE_NO_DIRTY, 0, 0 },
		{ MOCK_FLAGS_DEVICE_PASID, IOMMU_HW_CAP_DIRTY_TRACKING,
		  MOCK_PASID_WIDTH },
		{ MOCK_FLAGS_DEVICE_PASID | MOCK_FLAGS_DEVICE_NO_DIRTY, 0,
		  MOCK_PASID_WIDTH },
		{ MOCK_FLAGS_DEVICE_HUGE_IOVA, IOMMU_HW_CAP_DIRTY_TRACKING, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		struct traits traits = traits_with_flags(self->fd, self->ioas,
							 devices[i].dev_flags);

		EXPECT_EQ(0, traits.rc);
		EXPECT_EQ(devices[i].capabilities, traits.capabilities)
			TH_LOG("device flags %#x", devices[i].dev_flags);
		EXPECT_EQ(devices[i].max_pasid_log2, traits.max_pasid_log2)
			TH_LOG("device flags %#x", devices[i].dev_flags);
	}
}

/* Each of a number of devices at once has the PASIDs that it was made with. */
TEST_F(hw_info, pasids_of_several_devices)
{
	struct mock mocks[6];
	unsigned int i;

	for (i = 0; i < 6; i++)
		ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas,
					       i % 2 ? MOCK_FLAGS_DEVICE_PASID : 0,
					       &mocks[i]));
	ASSERT_EQ(0, destroy(self->fd, mocks[1].stdev));
	for (i = 2; i < 6; i++)
		EXPECT_EQ(i % 2 ? MOCK_PASID_WIDTH : 0,
			  traits_of(self->fd, mocks[i].idev).max_pasid_log2);
}

TEST_F(hw_info, unknown_device_flags)
{
	struct mock mock;

	EXPECT_EQ(-EINVAL, mock_device_flags(self->fd, self->ioas, 8, &mock));
	EXPECT_EQ(-EINVAL, mock_device_flags(self->fd, self->ioas, 1U << 31,
					     &mock));
}

/* -- the data */

/* @room bytes, between bytes that must not change. Return: whether it is all right. */
static bool gives_data(int fd, __u32 dev, char *at, __u32 room,
		       const struct iommu_test_hw_info *want)
{
	const __u32 copied = room < INFO_BYTES ? room : INFO_BYTES;
	struct iommu_hw_info arg = {
		.data_len = room,
		.data_uptr = (uintptr_t)at,
	};
	__u32 i;

	memset(at - 8, 0xa5, room + 16);
	if (get_hw_info(fd, dev, &arg) || arg.data_len != INFO_BYTES ||
	    arg.out_data_type != IOMMU_HW_INFO_TYPE_SELFTEST ||
	    arg.data_uptr != (uintptr_t)at || memcmp(at, want, copied))
		return false;
	for (i = copied; i < room; i++) {
		if (at[i])
			return false;
	}
	for (i = 0; i < 8; i++) {
		if (at[-1 - (int)i] != (char)0xa5 || at[room + i] != (char)0xa5)
			return false;
	}
	return true;
}

TEST_F(hw_info, short_and_long_rooms)
{
	const struct iommu_test_hw_info want = {
		.test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL,
	};
	__u32 room;

	for (room = 0; room < 40; room++)
		EXPECT_TRUE(gives_data(self->fd, self->mock.idev,
				       self->pages + 64, room, &want))
			TH_LOG("%u bytes", room);
	/* misaligned, and over the border between two pages */
	for (room = 0; room < 40; room++)
		EXPECT_TRUE(gives_data(self->fd, self->mock.idev,
				       self->pages + page_bytes() - 5, room,
				       &want))
			TH_LOG("%u bytes over two pages", room);
}

/* What is behind the data is cleared to the last byte, however much it is. */
TEST_F(hw_info, enormous_room)
{
	const size_t room = 5 * HUGE_BYTES + 12345;
	char *at = anonymous(room + page_bytes());
	struct iommu_hw_info arg = {
		.data_len = room,
		.data_uptr = (uintptr_t)at,
	};
	size_t i;

	ASSERT_NE(NULL, at);
	memset(at, 0xff, room + page_bytes());
	ASSERT_EQ(0, get_hw_info(self->fd, self->mock.idev, &arg));
	EXPECT_EQ(INFO_BYTES, arg.data_len);
	for (i = INFO_BYTES; i < room; i++)
		ASSERT_EQ(0, at[i]);
	EXPECT_EQ((char)0xff, at[room]);
}

TEST_F(hw_info, no_room)
{
	struct iommu_hw_info arg = {};

	ASSERT_EQ(0, get_hw_info(self->fd, self->mock.idev, &arg));
	EXPECT_EQ(INFO_BYTES, arg.data_len);
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, arg.out_data_type);
	EXPECT_EQ(IOMMU_HW_CAP_DIRTY_TRACKING, arg.out_capabilities);
	/* no byte is written, so any address will do */
	arg.data_len = 0;
	arg.data_uptr = (uintptr_t)self->end;
	EXPECT_EQ(0, get_hw_info(self->fd, self->mock.idev, &arg));
	EXPECT_EQ(INFO_BYTES, arg.data_len);
}

/* An old program has a structure without the capabilities. */
TEST_F(hw_info, old_structure)
{
	struct iommu_hw_info *arg = (void *)(self->end - 32);

	memset(arg, 0, 32);
	arg->size = 32;
	arg->dev_id = self->mock.idev;
	ASSERT_EQ(0, command(self->fd, IOMMU_GET_HW_INFO, arg));
	EXPECT_EQ(32, arg->size);
	EXPECT_EQ(INFO_BYTES, arg->data_len);
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, arg->out_data_type);
	arg->size = 31;
	EXPECT_EQ(-EINVAL, command(self->fd, IOMMU_GET_HW_INFO, arg));
}

TEST_F(hw_info, bad_rooms)
{
	const struct {
		char *at;
		__u32 room;
	} rooms[] = {
		{ NULL, 1 },
		{ NULL, INFO_BYTES },
		{ self->end, 1 },
		/* it ends within the data, right behind them, and later */
		{ self->end - 4, INFO_BYTES },
		{ self->end - INFO_BYTES, INFO_BYTES + 1 },
		{ self->end - 2 * INFO_BYTES, UINT32_MAX },
		{ (char *)-16UL, 64 },
	};
	struct iommu_hw_info arg, before;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		arg = (struct iommu_hw_info){
			.size = sizeof(arg),
			.dev_id = self->mock.idev,
			.data_len = rooms[i].room,
			.data_uptr = (uintptr_t)rooms[i].at,
		};
		before = arg;
		EXPECT_EQ(-EFAULT, get_hw_info(self->fd, self->mock.idev, &arg))
			TH_LOG("room %u", i);
		EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg)));
	}
	arg.data_uptr = (uintptr_t)self->pages;
	arg.data_len = INFO_BYTES;
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ));
	EXPECT_EQ(-EFAULT, get_hw_info(self->fd, self->mock.idev, &arg));
}

TEST_F(hw_info, driver_without_data)
{
	struct iommu_hw_info arg = {
		.data_len = 40,
		.data_uptr = (uintptr_t)self->pages,
	};
	struct mock mock;
	int i;

	ASSERT_EQ(0, set_plain_driver(true));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	memset(self->pages, 0xa5, 48);
	ASSERT_EQ(0, get_hw_info(self->fd, mock.idev, &arg));
	EXPECT_EQ(0, arg.data_len);
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_NONE, arg.out_data_type);
	EXPECT_EQ(0, arg.out_capabilities);
	EXPECT_EQ(0, arg.out_max_pasid_log2);
	for (i = 0; i < 48; i++)
		EXPECT_EQ(i < 40 ? 0 : (char)0xa5, self->pages[i]);

	arg.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	arg.in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	EXPECT_EQ(0, get_hw_info(self->fd, mock.idev, &arg));
	arg.in_data_type = IOMMU_HW_INFO_TYPE_SELFTEST;
	EXPECT_EQ(-EOPNOTSUPP, get_hw_info(self->fd, mock.idev, &arg));
}

/* -- the rest of the structure */

TEST_F(hw_info, input_types)
{
	static const struct {
		__u32 type;
		int rc;
	} types[] = {
		{ IOMMU_HW_INFO_TYPE_DEFAULT, 0 },
		{ IOMMU_HW_INFO_TYPE_SELFTEST, 0 },
		{ IOMMU_HW_INFO_TYPE_INTEL_VTD, -EOPNOTSUPP },
		{ IOMMU_HW_INFO_TYPE_SELFTEST - 1, -EOPNOTSUPP },
		{ UINT32_MAX, -EOPNOTSUPP },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct iommu_hw_info arg = {
			.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
			.in_data_type = types[i].type,
			.data_len = INFO_BYTES,
			.data_uptr = (uintptr_t)self->pages,
		};

		memset(self->pages, 0, INFO_BYTES);
		EXPECT_EQ(types[i].rc, get_hw_info(self->fd, self->mock.idev, &arg))
			TH_LOG("type %#x", types[i].type);
		EXPECT_EQ(types[i].rc ? types[i].type : IOMMU_HW_INFO_TYPE_SELFTEST,
			  arg.out_data_type);
		/* what is refused is not given either */
		EXPECT_EQ(!types[i].rc, !!self->pages[4]);
		/* without the flag it is not looked at */
		arg.flags = 0;
		arg.in_data_type = types[i].type;
		EXPECT_EQ(0, get_hw_info(self->fd, self->mock.idev, &arg));
	}
}

TEST_F(hw_info, unknown_flags_and_reserved_bytes)
{
	struct iommu_hw_info arg = {};
	unsigned int i;

	for (i = 1; i < 32; i++) {
		arg.flags = 1U << i;
		EXPECT_EQ(-EOPNOTSUPP, get_hw_info(self->fd, self->mock.idev, &arg))
			TH_LOG("flag %u", i);
		/* it beats the look-up */
		EXPECT_EQ(-EOPNOTSUPP, get_hw_info(self->fd, NO_SUCH_ID, &arg));
	}
	arg.flags = 0;
	for (i = 0; i < sizeof(arg.__reserved); i++) {
		memset(arg.__reserved, 0, sizeof(arg.__reserved));
		arg.__reserved[i] = 0x80;
		EXPECT_EQ(-EOPNOTSUPP, get_hw_info(self->fd, self->mock.idev, &arg))
			TH_LOG("reserved byte %u", i);
	}
}

TEST_F(hw_info, what_is_no_device)
{
	const __u32 ids[] = {
		0, NO_SUCH_ID, UINT32_MAX, self->ioas, self->mock.stdev,
		self->mock.hwpt,
	};
	struct iommu_hw_info arg = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++)
		EXPECT_EQ(-ENOENT, get_hw_info(self->fd, ids[i], &arg))
			TH_LOG("ID %u", ids[i]);
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(-ENOENT, get_hw_info(self->fd, self->mock.idev, &arg));
}

/* -- a room that does not come */

/* A call in a thread of its own. */
struct asker {
	pthread_t thread;
	int fd;
	struct iommu_hw_info arg;
	int rc;
};

static void *ask(void *data)
{
	struct asker *asker = data;

	asker->rc = get_hw_info(asker->fd, asker->arg.dev_id, &asker->arg);
	return NULL;
}

/*
 * The device can be unbound while the answer waits for user space.
 * Scenarios 23 and 56.
 */
TEST_F(hw_info, room_that_is_kept_waiting)
{
	struct asker asker = {
		.fd = self->fd,
		.arg = {
			.dev_id = self->mock.idev,
			.data_len = INFO_BYTES,
			.data_uptr = (uintptr_t)self->pages,
		},
	};
	int uffd = park(self->pages);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, pthread_create(&asker.thread, NULL, ask, &asker));
	ASSERT_TRUE(is_parked(uffd));
	/* this unbinds it, and waits for whoever holds it */
	EXPECT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(0, unpark(uffd, self->pages));
	ASSERT_EQ(0, pthread_join(asker.thread, NULL));
	EXPECT_EQ(0, asker.rc);
	EXPECT_EQ(INFO_BYTES, asker.arg.data_len);
	close(uffd);
}

TEST_HARNESS_MAIN
