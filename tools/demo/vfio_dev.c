// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "vfio_dev.h"

/* sysfs names the character device of a device: vfio-dev/vfioN. */
static int find_cdev_name(const char *sysfs_dir, char *name, size_t name_bytes)
{
	struct dirent *entry;
	char path[256];
	int rc = -ENODEV;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/vfio-dev", sysfs_dir);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		if ((size_t)snprintf(name, name_bytes, "%s",
				     entry->d_name) < name_bytes)
			rc = 0;
	}
	closedir(dir);
	return rc;
}

int vfio_dev_open(struct vfio_dev *dev, const char *bdf)
{
	char dir[128];
	int rc;

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", bdf);
	rc = vfio_dev_open_at(dev, dir);
	snprintf(dev->bdf, sizeof(dev->bdf), "%s", bdf);
	return rc;
}

int vfio_dev_open_at(struct vfio_dev *dev, const char *sysfs_dir)
{
	char name[64], path[128];
	int rc;

	rc = find_cdev_name(sysfs_dir, name, sizeof(name));
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	dev->bdf[0] = 0;
	dev->dev_id = 0;
	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	return dev->fd < 0 ? -errno : 0;
}

void vfio_dev_close(struct vfio_dev *dev)
{
	close(dev->fd);
	dev->fd = -1;
}

int vfio_dev_bind(struct vfio_dev *dev, int iommufd)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};

	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return -errno;
	dev->dev_id = bind.out_devid;
	return 0;
}

int vfio_dev_attach(struct vfio_dev *dev, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = *pt_id,
	};

	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return -errno;
	*pt_id = attach.pt_id;
	return 0;
}

int vfio_dev_detach(struct vfio_dev *dev)
{
	struct vfio_device_detach_iommufd_pt detach = {
		.argsz = sizeof(detach),
	};

	return ioctl(dev->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) ?
		-errno : 0;
}

int vfio_dev_reset(struct vfio_dev *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

static int region_info(struct vfio_dev *dev, unsigned int index,
		       struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){
		.argsz = sizeof(*info),
		.index = index,
	};
	return ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

int vfio_dev_bus_master(struct vfio_dev *dev, int on)
{
	struct vfio_region_info config;
	uint16_t command;
	int rc;

	rc = region_info(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (rc)
		return rc;
	if (pread(dev->fd, &command, sizeof(command),
		  config.offset + PCI_COMMAND) != sizeof(command))
		return -EIO;
	command |= PCI_COMMAND_MEMORY;
	if (on)
		command |= PCI_COMMAND_MASTER;
	else
		command &= ~PCI_COMMAND_MASTER;
	if (pwrite(dev->fd, &command, sizeof(command),
		   config.offset + PCI_COMMAND) != sizeof(command))
		return -EIO;
	return 0;
}

int vfio_bar_map(struct vfio_dev *dev, unsigned int bar_index,
		 struct vfio_bar *bar)
{
	struct vfio_region_info info;
	void *base;
	int rc;

	rc = region_info(dev, VFIO_PCI_BAR0_REGION_INDEX + bar_index, &info);
	if (rc)
		return rc;
	if (!info.size || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -ENXIO;
	base = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    dev->fd, info.offset);
	if (base == MAP_FAILED)
		return -errno;
	bar->base = base;
	bar->bytes = info.size;
	return 0;
}

void vfio_bar_unmap(struct vfio_bar *bar)
{
	munmap((void *)bar->base, bar->bytes);
}
