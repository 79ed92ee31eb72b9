// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO groups without an IOMMU, which get a container and nothing to map in it. The
 * machine must have no IOMMU: tools/check-kselftest.sh starts one for this program
 * alone.
 */
#include <linux/types.h>
#include <linux/capability.h>
#include <sys/syscall.h>

#include "group.h"
#include "type1.h"
#include "harness.h"

#define ENABLE		"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
#define GROUPS		"/dev/vfio/noiommu-*"

FIXTURE(noiommu)
{
	char bdf[32];
	char group_node[64];
	int fd;
	int group;
	__u64 page;
};

FIXTURE_VARIANT(noiommu)
{
	const char *path;
};

FIXTURE_VARIANT_ADD(noiommu, node)
{
	.path = "/dev/vfio/vfio",
};

FIXTURE_VARIANT_ADD(noiommu, iommu)
{
	.path = "/dev/iommu",
};

FIXTURE_SETUP(noiommu)
{
	char name[32];

	self->page = page_bytes();
	self->group = -1;
	self->fd = open(variant->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	if (!find_edu(self->bdf, sizeof(self->bdf)))
		SKIP(return, "the machine has no edu");
	/* groups are made when VFIO gets the device */
	if (write_text(ENABLE, "Y"))
		SKIP(return, "the kernel is built without CONFIG_VFIO_NOIOMMU");
	ASSERT_EQ(0, give_to_vfio(self->bdf));
	if (!first_name(GROUPS, name, sizeof(name)))
		SKIP(return, "the machine has an IOMMU");
	snprintf(self->group_node, sizeof(self->group_node), "/dev/vfio/%s", name);
	self->group = open(self->group_node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->group);
}

FIXTURE_TEARDOWN(noiommu)
{
	if (self->group >= 0)
		EXPECT_EQ(0, close(self->group));
	EXPECT_EQ(0, close(self->fd));
}

/* For the rest of the test, which is a process of its own. */
static int give_up_rawio(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[CAP_TO_INDEX(CAP_SYS_RAWIO)].effective &=
		~CAP_TO_MASK(CAP_SYS_RAWIO);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static bool offers(int fd, int rc)
{
	return container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) == rc &&
	       container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == rc &&
	       container(fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL) == rc &&
	       container(fd, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU) == 1 &&
	       container(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU) == -ENODEV;
}

/* Scenario 44. */
TEST_F(noiommu, extensions)
{
	EXPECT_TRUE(offers(self->fd, 1));
	ASSERT_EQ(0, set_container(self->group, self->fd));
	EXPECT_TRUE(offers(self->fd, 0));
	EXPECT_EQ(VFIO_API_VERSION, container(self->fd, VFIO_GET_API_VERSION, 0));
	EXPECT_EQ(-EINVAL, set_container(self->group, self->fd));
	/* it stays like that for as long as it is open */
	ASSERT_EQ(0, unset_container(self->group));
	EXPECT_TRUE(offers(self->fd, 0));
	EXPECT_EQ(0, set_container(self->group, self->fd));
}

TEST_F(noiommu, set_iommu)
{
	int fd = self->fd;

	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	ASSERT_EQ(0, set_container(self->group, fd));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, 1000));
	EXPECT_EQ(0, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(0, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
}

TEST_F(noiommu, nothing_to_map)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	__u64 va = (uintptr_t)anonymous(self->page);
	__u64 size = self->page;
	int fd = self->fd;
	__u32 ioas = 0;

	ASSERT_EQ(0, set_container(self->group, fd));
	ASSERT_EQ(0, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(-ENODEV, map_dma(fd, DMA_RW, va, self->page, self->page));
	EXPECT_EQ(-ENODEV, unmap_dma(fd, 0, self->page, &size));
	EXPECT_EQ(-ENODEV, command(fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(-ENODEV, vfio_ioas(fd, IOMMU_VFIO_IOAS_GET, &ioas));
	EXPECT_EQ(sizeof(info), info.argsz);
	EXPECT_EQ(self->page, size);
	/* the other ioctls work, they are just of no use to the group */
	EXPECT_EQ(0, ioas_alloc(fd, &ioas));
}

/* Who can reach all memory with a device must be allowed to. */
TEST_F(noiommu, unprivileged)
{
	ASSERT_EQ(0, set_container(self->group, self->fd));
	ASSERT_EQ(0, give_up_rawio());
	EXPECT_EQ(-EPERM, container(self->fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(-EPERM, device_of(self->group, self->bdf));
	close(self->group);
	self->group = -1;
	EXPECT_EQ(-1, open(self->group_node, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(noiommu, device)
{
	__u32 ids = 0;
	__u64 offset, bytes;
	int device;

	ASSERT_EQ(0, set_container(self->group, self->fd));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	device = device_of(self->group, self->bdf);
	ASSERT_LE(0, device);
	ASSERT_EQ(0, region_of(device, VFIO_PCI_CONFIG_REGION_INDEX, &offset,
			       &bytes));
	ASSERT_EQ(sizeof(ids), pread(device, &ids, sizeof(ids), offset));
	EXPECT_EQ(EDU_DEVICE << 16 | EDU_VENDOR, ids);
	close(device);
}

/* Whoever has chosen an IOAS expects that addresses are translated. */
TEST_F(noiommu, ioas_chosen)
{
	int fd = self->fd, device;
	__u32 ioas, none = 0;

	ASSERT_EQ(0, ioas_alloc(fd, &ioas));
	ASSERT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_SET, &ioas));
	EXPECT_EQ(-EINVAL, set_container(self->group, fd));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	ASSERT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_CLEAR, &none));
	ASSERT_EQ(0, set_container(self->group, fd));
	ASSERT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_SET, &ioas));
	EXPECT_EQ(-EPERM, device_of(self->group, self->bdf));
	ASSERT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_CLEAR, &none));
	device = device_of(self->group, self->bdf);
	EXPECT_LE(0, device);
	close(device);
}

/* A file serves groups with an IOMMU or such without, by which came first. */
TEST_F(noiommu, mixed_groups)
{
	int other = open_iommu();
	char node[64] = "";
	__u32 ioas = 0;
	int emulated;

	if (access(MAKE_EMULATED, F_OK))
		SKIP(return, "the kernel is built without mtty");
	ASSERT_EQ(0, node_of_emulated(node, sizeof(node)));
	emulated = open(node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, emulated);
	ASSERT_EQ(0, set_container(self->group, self->fd));
	EXPECT_EQ(-EINVAL, set_container(emulated, self->fd));
	ASSERT_EQ(0, unset_container(self->group));
	EXPECT_EQ(-EINVAL, set_container(emulated, self->fd));

	ASSERT_EQ(0, set_container(emulated, other));
	EXPECT_EQ(0, vfio_ioas(other, IOMMU_VFIO_IOAS_GET, &ioas));
	EXPECT_EQ(0, container(other, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(-EINVAL, set_container(self->group, other));
	EXPECT_EQ(1, container(other, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(0, set_container(self->group, self->fd));
	close(emulated);
	close(other);
}

TEST_HARNESS_MAIN
