/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_VFIO_DEV_H
#define DEMO_VFIO_DEV_H

#include <stddef.h>
#include <stdint.h>

/*
 * A device behind its VFIO character device, /dev/vfio/devices/vfioN. It is on
 * PCI unless something else is said.
 *
 * The order of a device's life: open, bind to an iommufd, attach to an IOAS,
 * use, detach, close. Closing undoes whatever is left.
 *
 * Every function that returns int returns 0, or a negative errno.
 */
struct vfio_dev {
	int fd;
	uint32_t dev_id;	/* its object ID in the iommufd, once bound */
	char bdf[16];		/* 0000:00:04.0, empty for other buses */
};

struct vfio_bar {
	volatile void *base;
	size_t bytes;
};

int vfio_dev_open(struct vfio_dev *dev, const char *bdf);
/* Any device, by its directory in sysfs. */
int vfio_dev_open_at(struct vfio_dev *dev, const char *sysfs_dir);
void vfio_dev_close(struct vfio_dev *dev);

int vfio_dev_bind(struct vfio_dev *dev, int iommufd);
/* @pt_id: in, an IOAS or a HWPT; out, the HWPT that the device is now on. */
int vfio_dev_attach(struct vfio_dev *dev, uint32_t *pt_id);
int vfio_dev_detach(struct vfio_dev *dev);

int vfio_dev_reset(struct vfio_dev *dev);
/* Memory space on, and DMA allowed or not. */
int vfio_dev_bus_master(struct vfio_dev *dev, int on);

int vfio_bar_map(struct vfio_dev *dev, unsigned int bar_index,
		 struct vfio_bar *bar);
void vfio_bar_unmap(struct vfio_bar *bar);

#endif
