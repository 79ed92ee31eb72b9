// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <linux/iommufd.h>

#include "iommu.h"

static int iommu_ioctl(int iommufd, unsigned long cmd, void *arg)
{
	return ioctl(iommufd, cmd, arg) ? -errno : 0;
}

int iommu_open(void)
{
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int iommu_ioas_alloc(int iommufd, uint32_t *ioas_id)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	int rc = iommu_ioctl(iommufd, IOMMU_IOAS_ALLOC, &cmd);

	if (!rc)
		*ioas_id = cmd.out_ioas_id;
	return rc;
}

int iommu_destroy(int iommufd, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return iommu_ioctl(iommufd, IOMMU_DESTROY, &cmd);
}

static uint32_t map_flags(enum iommu_prot prot)
{
	uint32_t flags = 0;

	if (prot & IOMMU_PROT_READ)
		flags |= IOMMU_IOAS_MAP_READABLE;
	if (prot & IOMMU_PROT_WRITE)
		flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return flags;
}

int iommu_map(int iommufd, uint32_t ioas_id, struct iommu_mapping *map)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = map_flags(map->prot),
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)map->va,
		.length = map->bytes,
	};
	int rc = iommu_ioctl(iommufd, IOMMU_IOAS_MAP, &cmd);

	if (!rc)
		map->iova = cmd.iova;
	return rc;
}

int iommu_map_fixed(int iommufd, uint32_t ioas_id,
		    const struct iommu_mapping *map)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = map_flags(map->prot) | IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = ioas_id,
		.user_va = (uintptr_t)map->va,
		.length = map->bytes,
		.iova = map->iova,
	};

	return iommu_ioctl(iommufd, IOMMU_IOAS_MAP, &cmd);
}

int iommu_unmap(int iommufd, uint32_t ioas_id, uint64_t iova,
		uint64_t bytes, uint64_t *unmapped_bytes)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = bytes,
	};
	int rc = iommu_ioctl(iommufd, IOMMU_IOAS_UNMAP, &cmd);

	if (unmapped_bytes)
		*unmapped_bytes = cmd.length;
	return rc;
}
