// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dma.h"
#include "populate.h"

int dma_space_open(struct dma_space *space)
{
	int fd = iommu_open();
	int rc;

	if (fd < 0)
		return fd;
	*space = (struct dma_space){ .iommufd = fd };
	rc = iommu_ioas_alloc(fd, &space->ioas_id);
	if (rc)
		close(fd);
	return rc;
}

void dma_space_close(struct dma_space *space)
{
	close(space->iommufd);
	space->iommufd = -1;
}

int dma_alloc(struct dma_space *space, size_t bytes,
	      struct iommu_mapping *mem)
{
	void *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (va == MAP_FAILED)
		return -errno;
	*mem = (struct iommu_mapping){
		.va = va,
		.bytes = bytes,
		.prot = IOMMU_PROT_RW,
	};
	rc = populate(va, bytes, 0);
	if (!rc)
		rc = iommu_map(space->iommufd, space->ioas_id, mem);
	if (rc) {
		munmap(va, bytes);
		return rc;
	}
	space->num_maps++;
	space->mapped_bytes += bytes;
	return 0;
}

void dma_free(struct dma_space *space, struct iommu_mapping *mem)
{
	iommu_unmap(space->iommufd, space->ioas_id, mem->iova, mem->bytes,
		    NULL);
	munmap(mem->va, mem->bytes);
	mem->va = NULL;
}
