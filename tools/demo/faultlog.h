/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_FAULTLOG_H
#define DEMO_FAULTLOG_H

#include <stdint.h>

/* What the IOMMU driver wrote to the kernel log about a refused DMA. */
struct iommu_fault {
	char source_id[16];	/* 00:04.0 */
	uint64_t addr;
	int is_write;
};

/* Opens the kernel log at its end. Returns a file descriptor or -errno. */
int faultlog_open(void);
/* The next fault after that, waited for; -ETIMEDOUT when none comes. */
int faultlog_next(int fd, unsigned int timeout_ms, struct iommu_fault *fault);

#endif
