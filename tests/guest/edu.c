// SPDX-License-Identifier: GPL-2.0-only
#include <time.h>
#include <unistd.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define REG_DMA_SRC	0x80
#define REG_DMA_DST	0x88
#define REG_DMA_COUNT	0x90
#define REG_DMA_COMMAND	0x98
#define DMA_START	1
#define DMA_TO_MEMORY	2
#define DEVICE_MEMORY	0x40000

#define PROBE_BYTES	64
#define PROBE_PATTERN	0xe7

static volatile uint64_t *reg(struct edu *edu, unsigned int offset)
{
	return (volatile uint64_t *)((char *)edu->bar.base + offset);
}

static void run(struct edu *edu, uint64_t command)
{
	time_t deadline = time(NULL) + 5;

	*reg(edu, REG_DMA_COMMAND) = command | DMA_START;
	while (*reg(edu, REG_DMA_COMMAND) & DMA_START) {
		if (time(NULL) > deadline)
			FAIL("the edu device does not finish a transfer");
		usleep(1000);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void edu_open(struct edu *edu, struct vfio_dev *dev)
{
	EXPECT(vfio_dev_bus_master(dev, 1), 0);
	EXPECT(vfio_bar_map(dev, 0, &edu->bar), 0);
}

void edu_close(struct edu *edu)
{
	vfio_bar_unmap(&edu->bar);
}

void edu_load(struct edu *edu, uint64_t iova, uint32_t bytes)
{
	CHECK(bytes <= EDU_MAX_BYTES);
	*reg(edu, REG_DMA_SRC) = iova;
	*reg(edu, REG_DMA_DST) = DEVICE_MEMORY;
	*reg(edu, REG_DMA_COUNT) = bytes;
	run(edu, 0);
}

void edu_store(struct edu *edu, uint64_t iova, uint32_t bytes)
{
	CHECK(bytes <= EDU_MAX_BYTES);
	*reg(edu, REG_DMA_SRC) = DEVICE_MEMORY;
	*reg(edu, REG_DMA_DST) = iova;
	*reg(edu, REG_DMA_COUNT) = bytes;
	run(edu, DMA_TO_MEMORY);
}

void edu_copy(struct edu *edu, uint64_t src_iova, uint64_t dst_iova,
	      uint32_t bytes)
{
	edu_load(edu, src_iova, bytes);
	edu_store(edu, dst_iova, bytes);
}

int edu_reaches(struct edu *edu, void *va, uint64_t iova)
{
	fill(va, PROBE_PATTERN, PROBE_BYTES);
	edu_store(edu, iova, PROBE_BYTES);
	return !is_filled(va, PROBE_PATTERN, PROBE_BYTES);
}
