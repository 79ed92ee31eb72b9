// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "container.h"
#include "harness.h"

static int open_or_fail(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	return fd;
}

void container_open(struct container *container, const char *path,
		    enum machine_dev which, unsigned long type)
{
	char group[32];

	memset(container, 0, sizeof(*container));
	snprintf(container->dev.bdf, sizeof(container->dev.bdf), "%s",
		 bdf_of(which));
	snprintf(group, sizeof(group), "/dev/vfio/%d",
		 iommu_group_of(container->dev.bdf));
	container->fd = open_or_fail(path);
	container->group = open_or_fail(group);
	EXPECT(raw_ioctl(container->group, VFIO_GROUP_SET_CONTAINER,
			 &container->fd), 0);
	EXPECT(raw_ioctl(container->fd, VFIO_SET_IOMMU, (void *)type), 0);
	container->dev.fd = ioctl(container->group, VFIO_GROUP_GET_DEVICE_FD,
				  container->dev.bdf);
	if (container->dev.fd < 0)
		FAIL("%s: %s", container->dev.bdf, strerror(errno));
}

void container_close(struct container *container)
{
	vfio_dev_close(&container->dev);
	close(container->group);
	close(container->fd);
}

int container_map(const struct container *container, void *va, uint64_t size,
		  uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = size,
	};

	return raw_ioctl(container->fd, VFIO_IOMMU_MAP_DMA, &map);
}

int container_unmap(const struct container *container, uint32_t flags,
		    uint64_t iova, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	int rc = raw_ioctl(container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	*size = unmap.size;
	return rc;
}
