// SPDX-License-Identifier: GPL-2.0-only
/*
 * HWPTs that user space makes, behind an emulated VT-d: what its driver offers, and
 * that a device reaches through them what is mapped.
 */
#include <errno.h>
#include <string.h>

#include <linux/iommufd.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define IOVA	(16 * MIB)

static int hwpt_alloc(const struct rig *rig, uint32_t flags, uint32_t *hwpt_id)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = rig->dev.dev_id,
		.pt_id = rig->space.ioas_id,
	};
	int rc = raw_ioctl(rig->space.iommufd, IOMMU_HWPT_ALLOC, &cmd);

	*hwpt_id = cmd.out_hwpt_id;
	return rc;
}

static void attach_to(struct rig *rig, uint32_t pt_id)
{
	EXPECT(vfio_dev_attach(&rig->dev, &pt_id), 0);
	rig->hwpt_id = pt_id;
}

/* It is filled before the device comes, and follows the IOAS whoever is there. */
static void test_made_for_a_device(void)
{
	uint8_t *va = anon(4 * PAGE);
	struct edu edu;
	struct rig rig;
	uint32_t hwpt_id;

	rig_bind(&rig, EDU);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	EXPECT(hwpt_alloc(&rig, 0, &hwpt_id), 0);
	EXPECT(map_at(&rig, va + PAGE, PAGE, IOVA + PAGE), 0);
	attach_to(&rig, hwpt_id);
	EXPECT(rig.hwpt_id, hwpt_id);
	EXPECT(iommu_destroy(rig.space.iommufd, hwpt_id), -EBUSY);
	EXPECT(map_at(&rig, va + 2 * PAGE, PAGE, IOVA + 2 * PAGE), 0);

	edu_open(&edu, &rig.dev);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(edu_reaches(&edu, va + i * PAGE, IOVA + i * PAGE));
	EXPECT(unmap(&rig, IOVA, PAGE), 0);
	CHECK(!edu_reaches(&edu, va, IOVA));

	/* to one of the kernel's and back, with the device at work */
	attach_to(&rig, rig.space.ioas_id);
	CHECK(rig.hwpt_id != hwpt_id);
	CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	attach_to(&rig, hwpt_id);
	EXPECT(rig.hwpt_id, hwpt_id);
	CHECK(edu_reaches(&edu, va + PAGE, IOVA + PAGE));
	edu_close(&edu);

	EXPECT(vfio_dev_detach(&rig.dev), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), -EBUSY);
	EXPECT(iommu_destroy(rig.space.iommufd, hwpt_id), 0);
	rig_close(&rig);
}

/*
 * The emulated unit has no nesting, and the drivers of this kernel have nowhere to
 * record dirty pages: that is said, not found out by a migration that lost some.
 */
static void test_what_there_is_not(void)
{
	struct iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set),
		.flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
	};
	struct iommu_hwpt_get_dirty_bitmap get = {
		.size = sizeof(get),
		.length = PAGE,
		.page_size = PAGE,
	};
	struct rig rig;
	uint32_t hwpt_id;

	rig_bind(&rig, NVME);
	EXPECT(hwpt_alloc(&rig, IOMMU_HWPT_ALLOC_NEST_PARENT, &hwpt_id),
	       -EOPNOTSUPP);
	EXPECT(hwpt_alloc(&rig, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt_id),
	       -EOPNOTSUPP);

	EXPECT(hwpt_alloc(&rig, 0, &hwpt_id), 0);
	set.hwpt_id = hwpt_id;
	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set),
	       -EOPNOTSUPP);
	get.hwpt_id = hwpt_id;
	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get),
	       -EOPNOTSUPP);
	EXPECT(iommu_destroy(rig.space.iommufd, hwpt_id), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.space.ioas_id), 0);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "hwpt.made_for_a_device", test_made_for_a_device, 0 },
		{ "hwpt.what_there_is_not", test_what_there_is_not, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
