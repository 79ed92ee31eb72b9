/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices there are for VFIO, and their groups: QEMU's edu, a PCI device that
 * tools/check-kselftest.sh puts into the machine, and one that the kernel's
 * samples/vfio-mdev/mtty.c emulates.
 */
#ifndef IOMMU_SELFTEST_GROUP_H
#define IOMMU_SELFTEST_GROUP_H

#include <glob.h>

#include <linux/vfio.h>

#include "mock.h"

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8
#define DEVICES		"/sys/bus/pci/devices/"

/* The name of the emulated one. */
#define EMULATED	"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MAKE_EMULATED	"/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
#define EMULATED_DIR	"/sys/bus/mdev/devices/" EMULATED

static inline bool has_number(const char *dir, const char *file, unsigned long want)
{
	char path[256], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoul(text, NULL, 16) == want;
}

/* The name of what comes first of a pattern, behind the last slash. */
static inline bool first_name(const char *pattern, char *name, size_t room)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return false;
	snprintf(name, room, "%s", strrchr(found.gl_pathv[0], '/') + 1);
	globfree(&found);
	return true;
}

static inline bool find_edu(char *bdf, size_t room)
{
	glob_t found;
	size_t i;

	bdf[0] = '\0';
	if (glob(DEVICES "*", 0, NULL, &found))
		return false;
	for (i = 0; i < found.gl_pathc; i++) {
		if (has_number(found.gl_pathv[i], "vendor", EDU_VENDOR) &&
		    has_number(found.gl_pathv[i], "device", EDU_DEVICE))
			snprintf(bdf, room, "%s",
				 found.gl_pathv[i] + strlen(DEVICES));
	}
	globfree(&found);
	return bdf[0];
}

/* Hand a device over to vfio-pci. */
static inline int give_to_vfio(const char *bdf)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", bdf);
	return write_text(path, "vfio-pci") ?:
	       write_text("/sys/bus/pci/drivers_probe", bdf);
}

/* The node of the group of a device, whose directory in sysfs it is. */
static inline int node_of_group(const char *dir, char *node, size_t room)
{
	char path[256], target[128] = "";

	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		return -errno;
	snprintf(node, room, "/dev/vfio/%s", strrchr(target, '/') + 1);
	return 0;
}

/* Makes the device where there is none: it stays. */
static inline int node_of_emulated(char *node, size_t room)
{
	int rc = 0;

	if (access(EMULATED_DIR, F_OK))
		rc = write_text(MAKE_EMULATED, EMULATED);
	return rc ?: node_of_group(EMULATED_DIR, node, room);
}

static inline int set_container(int group, int fd)
{
	return command(group, VFIO_GROUP_SET_CONTAINER, &fd);
}

static inline int unset_container(int group)
{
	return command(group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* The device of a group, or a negative errno. */
static inline int device_of(int group, const char *name)
{
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);

	return device < 0 ? -errno : device;
}

/* Where a region of the device is, and how long; 0, or a negative errno. */
static inline int region_of(int device, __u32 index, __u64 *offset, __u64 *bytes)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = index,
	};
	int rc = command(device, VFIO_DEVICE_GET_REGION_INFO, &info);

	*offset = info.offset;
	*bytes = info.size;
	return rc;
}

#endif
