// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device of VFIO behind a real IOMMU driver, on a kernel that can be made to run
 * out of memory at any place.
 */
#include <linux/types.h>

#include <linux/vfio.h>

#include "group.h"
#include "mock.h"
#include "harness.h"

/* Where the interrupts of x86 are written to. */
#define MSI_WINDOW	0xfee00000UL

FIXTURE(vfio)
{
	__u64 page;
	__u64 va;
	/* the device's node */
	char node[64];
};

FIXTURE_SETUP(vfio)
{
	char bdf[32], name[32], path[128];

	if (!find_edu(bdf, sizeof(bdf)))
		SKIP(return, "the machine has no edu");
	ASSERT_EQ(0, give_to_vfio(bdf));
	snprintf(path, sizeof(path), DEVICES "%s/vfio-dev/vfio*", bdf);
	ASSERT_TRUE(first_name(path, name, sizeof(name)));
	snprintf(self->node, sizeof(self->node), "/dev/vfio/devices/%s", name);
	self->page = page_bytes();
	self->va = (uintptr_t)small_pages(self->page);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(vfio)
{
	int fd = open_iommu();

	EXPECT_EQ(0, check_refs(fd, self->va, self->page, 0));
	close(fd);
}

/* @idev: written: its ID. */
static int bind_device_id(int device, int iommufd, __u32 *idev)
{
	struct vfio_device_bind_iommufd arg = {
		.argsz = sizeof(arg),
		.iommufd = iommufd,
	};
	int rc = command(device, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	*idev = arg.out_devid;
	return rc;
}

static int bind_device(int device, int iommufd)
{
	__u32 idev;

	return bind_device_id(device, iommufd, &idev);
}

static int attach_device(int device, __u32 pt)
{
	struct vfio_device_attach_iommufd_pt arg = {
		.argsz = sizeof(arg),
		.pt_id = pt,
	};

	return command(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

/*
 * The IOMMU driver has no memory to tell of the window where interrupts go, and
 * tells nothing: the device is not attached, rather than attached without it.
 * Scenario 28.
 */
TEST_F(vfio, attach_without_memory)
{
	unsigned int n, failures = 0;
	bool failed = true;

	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP(return, "the kernel is built without fault injection");
	quiet_injection();
	for (n = 1; failed && n < 1000; n++) {
		int iommufd = open_iommu();
		int device = open(self->node, O_RDWR | O_CLOEXEC);
		__u32 ioas;
		int rc;

		ASSERT_LE(0, device);
		ASSERT_EQ(0, ioas_alloc(iommufd, &ioas));
		ASSERT_EQ(0, bind_device(device, iommufd));
		ASSERT_EQ(0, fail_nth(n));
		rc = attach_device(device, ioas);
		failed = did_fail();
		failures += !!rc;
		EXPECT_EQ(rc ? 0 : -EINVAL, map_at(iommufd, ioas, self->va,
						   self->page, MSI_WINDOW))
			TH_LOG("place %u: attach says %d", n, rc);
		/* it only has to be asked again */
		if (rc) {
			ASSERT_EQ(0, unmap_all(iommufd, ioas, NULL));
			EXPECT_EQ(0, attach_device(device, ioas));
			EXPECT_EQ(-EINVAL, map_at(iommufd, ioas, self->va,
						  self->page, MSI_WINDOW));
		}
		close(device);
		close(iommufd);
	}
	EXPECT_FALSE(failed);
	/* an object, a domain, its table, and the window are among them */
	EXPECT_LT(4, failures);
	TH_LOG("%u places, %u of them failed", n - 2, failures);
}

TEST_F(vfio, hw_info)
{
	struct iommu_hw_info_vtd vtd = {};
	struct iommu_hw_info arg = {
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.in_data_type = IOMMU_HW_INFO_TYPE_INTEL_VTD,
		.data_len = sizeof(vtd),
		.data_uptr = (uintptr_t)&vtd,
	};
	int device = open(self->node, O_RDWR | O_CLOEXEC);
	int iommufd = open_iommu();
	__u32 idev;

	ASSERT_LE(0, device);
	ASSERT_EQ(0, bind_device_id(device, iommufd, &idev));
	ASSERT_EQ(0, get_hw_info(iommufd, idev, &arg));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, arg.out_data_type);
	EXPECT_EQ(sizeof(vtd), arg.data_len);
	/* no such unit has no capability at all */
	EXPECT_NE(0, vtd.cap_reg);
	EXPECT_NE(0, vtd.ecap_reg);
	/* the device has no PASIDs */
	EXPECT_EQ(0, arg.out_max_pasid_log2);
	EXPECT_EQ(0, arg.out_capabilities & (IOMMU_HW_CAP_PCI_PASID_EXEC |
					     IOMMU_HW_CAP_PCI_PASID_PRIV));
	arg.in_data_type = IOMMU_HW_INFO_TYPE_SELFTEST;
	EXPECT_EQ(-EOPNOTSUPP, get_hw_info(iommufd, idev, &arg));
	close(device);
	EXPECT_EQ(-ENOENT, get_hw_info(iommufd, idev, &arg));
	close(iommufd);
}

/* Scenario 42. */
TEST_F(vfio, parent_of_another_driver)
{
	int device = open(self->node, O_RDWR | O_CLOEXEC);
	int iommufd = open_iommu();
	__u32 ioas, idev, parent, hwpt;
	struct mock mock;

	ASSERT_LE(0, device);
	ASSERT_EQ(0, reset_switches(iommufd));
	ASSERT_EQ(0, ioas_alloc(iommufd, &ioas));
	ASSERT_EQ(0, bind_device_id(device, iommufd, &idev));
	ASSERT_EQ(0, mock_device(iommufd, ioas, &mock));
	ASSERT_EQ(0, hwpt_alloc(iommufd, IOMMU_HWPT_ALLOC_NEST_PARENT, mock.idev,
				ioas, &parent));
	EXPECT_EQ(-EINVAL, nested_alloc(iommufd, idev, parent, 0, &hwpt));
	EXPECT_EQ(0, nested_alloc(iommufd, mock.idev, parent, 0, &hwpt));
	/* nor can the device be attached to either */
	EXPECT_EQ(-EINVAL, attach_device(device, parent));
	EXPECT_EQ(-EINVAL, attach_device(device, hwpt));
	EXPECT_EQ(0, attach_device(device, ioas));
	/* this time it is a replace */
	EXPECT_EQ(-EINVAL, attach_device(device, parent));
	EXPECT_EQ(-EINVAL, attach_device(device, hwpt));
	EXPECT_EQ(-EINVAL, attach_device(device, mock.hwpt));
	close(device);
	close(iommufd);
}

TEST_HARNESS_MAIN
