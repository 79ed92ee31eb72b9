// SPDX-License-Identifier: GPL-2.0-only
/* A machine without interrupt remapping: a device could forge any interrupt. */
#include <errno.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define PARAMETER	"/sys/module/iommufd/parameters/allow_unsafe_interrupts"
#define IOVA		(16 * MIB)

/* Scenario 29. */
static void test_refused(void)
{
	struct dma_space space;
	struct vfio_dev dev;

	EXPECT(dma_space_open(&space), 0);
	EXPECT(vfio_dev_open(&dev, bdf_of(EDU)), 0);
	EXPECT(vfio_dev_bind(&dev, space.iommufd), -EPERM);
	EXPECT(vfio_dev_bind(&dev, space.iommufd), -EPERM);
}

/* Scenario 29. */
static void test_allowed(void)
{
	char *va = anon(PAGE);
	struct rig rig;
	struct edu edu;

	EXPECT(write_file(PARAMETER, "Y"), 0);
	rig_open(&rig, EDU);
	edu_open(&edu, &rig.dev);
	fill(va, 1, PAGE);
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	CHECK(edu_reaches(&edu, va, IOVA));
	EXPECT(write_file(PARAMETER, "N"), 0);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "unsafe.refused", test_refused, 0 },
		{ "unsafe.allowed", test_allowed, 0 },
		{ "unsafe.refused_again", test_refused, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
