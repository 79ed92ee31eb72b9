/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_CONTAINER_H
#define GUEST_CONTAINER_H

#include <stdint.h>

#include "support.h"

/*
 * A device in a VFIO container, as programs use it that know nothing of iommufd:
 * the group is opened, put into the container, and asked for the device.
 */
struct container {
	int fd;
	int group;
	struct vfio_dev dev;
};

/* The containers there are: VFIO's own, and ours. */
#define LEGACY_CONTAINER	"/dev/vfio/vfio"
#define IOMMUFD_CONTAINER	"/dev/iommu"

/* Failure ends the test. @type is VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU. */
void container_open(struct container *container, const char *path,
		    enum machine_dev which, unsigned long type);
void container_close(struct container *container);

int container_map(const struct container *container, void *va, uint64_t size,
		  uint64_t iova);
/* @size: in: how much; out: how much it was. */
int container_unmap(const struct container *container, uint32_t flags,
		    uint64_t iova, uint64_t *size);

#endif
