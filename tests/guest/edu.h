/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_EDU_H
#define GUEST_EDU_H

#include <stdint.h>

#include "../../tools/demo/vfio_dev.h"

/*
 * QEMU's edu device: a DMA engine between its 4 KiB of memory and any address.
 * A transfer takes 100 ms of guest time, however short, and one of the full
 * 4096 bytes ends the virtual machine.
 */
struct edu {
	struct vfio_bar bar;
};

#define EDU_MAX_BYTES	4095

/* @dev is bound and attached. Failure ends the test. */
void edu_open(struct edu *edu, struct vfio_dev *dev);
void edu_close(struct edu *edu);

void edu_load(struct edu *edu, uint64_t iova, uint32_t bytes);
void edu_store(struct edu *edu, uint64_t iova, uint32_t bytes);

/* Device memory is set from @src and written to @dst. */
void edu_copy(struct edu *edu, uint64_t src_iova, uint64_t dst_iova,
	      uint32_t bytes);

/*
 * Whether a device write to @iova shows up at @va: the device writes what it
 * has in its memory over a pattern that it is never given.
 */
int edu_reaches(struct edu *edu, void *va, uint64_t iova);

#endif
