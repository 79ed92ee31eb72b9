/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_IOMMU_H
#define DEMO_IOMMU_H

#include <stddef.h>
#include <stdint.h>

/*
 * /dev/iommu: IO address spaces (IOAS) and what is mapped in them.
 *
 * Every function returns 0, or a negative errno as the kernel gave it.
 */

/* Returns the file descriptor. */
int iommu_open(void);

int iommu_ioas_alloc(int iommufd, uint32_t *ioas_id);
int iommu_destroy(int iommufd, uint32_t id);

/* What a device may do with a mapping. */
enum iommu_prot {
	IOMMU_PROT_READ = 1,
	IOMMU_PROT_WRITE = 2,
	IOMMU_PROT_RW = IOMMU_PROT_READ | IOMMU_PROT_WRITE,
};

/* A piece of memory and the address it has, or shall have, for devices. */
struct iommu_mapping {
	void *va;
	size_t bytes;
	uint64_t iova;
	enum iommu_prot prot;
};

/* The kernel picks the IOVA and stores it in @map. */
int iommu_map(int iommufd, uint32_t ioas_id, struct iommu_mapping *map);
/* The IOVA is the one in @map. */
int iommu_map_fixed(int iommufd, uint32_t ioas_id,
		    const struct iommu_mapping *map);
/* Returns the bytes unmapped in @unmapped_bytes unless it is NULL. */
int iommu_unmap(int iommufd, uint32_t ioas_id, uint64_t iova,
		uint64_t bytes, uint64_t *unmapped_bytes);

#endif
