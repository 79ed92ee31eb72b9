/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_NVME_H
#define DEMO_NVME_H

#include <stdint.h>

#include "dma.h"
#include "vfio_dev.h"

/*
 * A small NVMe driver: one admin queue, one I/O queue, one command at a time,
 * completion by polling. Names and numbers are those of the NVMe base
 * specification.
 */

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10_15[6];
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status;	/* bit 0 is the phase */
};

struct nvme_queue {
	struct iommu_mapping sq_mem;
	struct iommu_mapping cq_mem;
	volatile uint32_t *sq_doorbell;
	volatile uint32_t *cq_doorbell;
	uint16_t tail;
	uint16_t head;
	uint16_t phase;		/* of a completion not seen before */
};

struct nvme {
	struct dma_space *space;
	struct vfio_dev *dev;
	struct vfio_bar bar;
	struct nvme_queue admin;
	struct nvme_queue io;
	struct iommu_mapping identify;
	struct iommu_mapping prp_list;
	uint32_t block_bytes;
	uint64_t num_blocks;
	uint64_t max_transfer_bytes;
	char model[41];
};

/*
 * @dev is bound to the space's iommufd and attached to its IOAS.
 * Each returns 0 or a negative errno; a command that the controller failed is
 * -EIO, one that it did not answer -ETIMEDOUT.
 */
int nvme_init(struct nvme *nvme, struct dma_space *space,
	      struct vfio_dev *dev);
void nvme_exit(struct nvme *nvme);

/* Reads whole blocks to @iova, which need not be mapped: then it is refused. */
int nvme_read(struct nvme *nvme, uint64_t first_block, uint32_t num_blocks,
	      uint64_t iova);

#endif
