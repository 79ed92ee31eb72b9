/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_DMA_H
#define DEMO_DMA_H

#include <stddef.h>
#include <stdint.h>

#include "iommu.h"

/*
 * An IO address space and the memory a driver has mapped in it: what
 * dma_alloc_coherent() is to a driver in the kernel.
 */
struct dma_space {
	int iommufd;
	uint32_t ioas_id;
	unsigned int num_maps;	/* made so far */
	uint64_t mapped_bytes;	/* made so far */
};

int dma_space_open(struct dma_space *space);
void dma_space_close(struct dma_space *space);

/* Fresh zeroed memory, page aligned, mapped for reading and writing. */
int dma_alloc(struct dma_space *space, size_t bytes,
	      struct iommu_mapping *mem);
/* Takes it away from the device first, and then from this process. */
void dma_free(struct dma_space *space, struct iommu_mapping *mem);

#endif
