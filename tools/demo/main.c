// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme_demo BDF [SHA256 [BYTES]] - read a disk through /dev/iommu
 *
 * An NVMe driver in user space. The memory that the controller reads and
 * writes is memory of this process, which it reaches at addresses that this
 * process chose and nowhere else: the second half of the program shows that.
 *
 * The exit status is 0 if the data had the expected checksum, or none was
 * given, and the DMA after the unmap was refused and reported.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dma.h"
#include "faultlog.h"
#include "nvme.h"
#include "sha256.h"
#include "vfio_dev.h"

#define BUFFER_BYTES		(2ULL << 20)
#define PATTERN			0xa5
/*
 * The kernel reports ten faults in five seconds and leaves out what is more. So
 * when others have had their faults reported just now, it takes another try.
 */
#define FAULT_TRIES		10
#define FAULT_TIMEOUT_MS	1000

struct demo {
	struct dma_space space;
	struct vfio_dev dev;
	uint32_t hwpt_id;
	struct nvme nvme;
	struct iommu_mapping buffer;
	uint64_t read_bytes;
	double read_seconds;
	char sha256[2 * SHA256_BYTES + 1];
	struct iommu_fault fault;
};

static void need(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "nvme_demo: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void set_up(struct demo *demo, const char *bdf)
{
	need(dma_space_open(&demo->space), "open /dev/iommu");
	need(vfio_dev_open(&demo->dev, bdf), "open the VFIO device");
	need(vfio_dev_bind(&demo->dev, demo->space.iommufd),
	     "bind the device to the iommufd");
	demo->hwpt_id = demo->space.ioas_id;
	need(vfio_dev_attach(&demo->dev, &demo->hwpt_id),
	     "attach the device to the IOAS");
	need(nvme_init(&demo->nvme, &demo->space, &demo->dev),
	     "start the controller");
	need(dma_alloc(&demo->space, BUFFER_BYTES, &demo->buffer),
	     "map the buffer");
}

static void tear_down(struct demo *demo)
{
	nvme_exit(&demo->nvme);
	need(vfio_dev_detach(&demo->dev), "detach");
	vfio_dev_close(&demo->dev);
	dma_space_close(&demo->space);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The disk, or the first @limit_bytes of it, buffer by buffer. */
static void read_disk(struct demo *demo, uint64_t limit_bytes)
{
	struct nvme *nvme = &demo->nvme;
	uint64_t end_block = smaller(nvme->num_blocks,
				     limit_bytes / nvme->block_bytes);
	uint32_t step = smaller(BUFFER_BYTES, nvme->max_transfer_bytes) /
			nvme->block_bytes;
	double begin = now_seconds();
	struct sha256 sha256;
	uint64_t block;
	uint32_t n;

	sha256_init(&sha256);
	for (block = 0; block < end_block; block += n) {
		n = smaller(step, end_block - block);
		need(nvme_read(nvme, block, n, demo->buffer.iova), "read");
		sha256_update(&sha256, demo->buffer.va,
			      (size_t)n * nvme->block_bytes);
	}
	sha256_final_hex(&sha256, demo->sha256);
	demo->read_bytes = end_block * nvme->block_bytes;
	demo->read_seconds = now_seconds() - begin;
}

static int is_pattern(const struct iommu_mapping *mem)
{
	const uint8_t *p = mem->va;

	for (size_t i = 0; i < mem->bytes; i++)
		if (p[i] != PATTERN)
			return 0;
	return 1;
}

/* The IOMMU names a device by bus:slot.function, without the PCI segment. */
static int fault_is_ours(const struct demo *demo)
{
	return !strcmp(demo->fault.source_id, strchr(demo->dev.bdf, ':') + 1) &&
	       demo->fault.is_write &&
	       demo->fault.addr >= demo->buffer.iova &&
	       demo->fault.addr < demo->buffer.iova + demo->buffer.bytes;
}

/* Whether the controller notices is its affair: memory must not. */
static int provoke_fault(struct demo *demo, int log)
{
	for (int i = 0; i < FAULT_TRIES; i++) {
		nvme_read(&demo->nvme, 0, 1, demo->buffer.iova);
		if (!faultlog_next(log, FAULT_TIMEOUT_MS, &demo->fault))
			return 0;
	}
	return -ETIMEDOUT;
}

/*
 * The same read twice, before and after the buffer is unmapped: the first
 * proves that the controller does write there, the second that it cannot.
 */
static const char *try_unmapped(struct demo *demo)
{
	struct iommu_mapping *buffer = &demo->buffer;
	int log;

	memset(buffer->va, PATTERN, buffer->bytes);
	need(nvme_read(&demo->nvme, 0, 1, buffer->iova), "read");
	if (is_pattern(buffer))
		return "the mapped buffer was not written";

	memset(buffer->va, PATTERN, buffer->bytes);
	need(iommu_unmap(demo->space.iommufd, demo->space.ioas_id,
			 buffer->iova, buffer->bytes, NULL), "unmap");
	log = faultlog_open();
	need(log, "open /dev/kmsg");
	if (provoke_fault(demo, log))
		return "the IOMMU reported no fault";
	close(log);
	if (!is_pattern(buffer))
		return "the device wrote to memory that was unmapped";
	if (!fault_is_ours(demo))
		return "the IOMMU reported another fault";
	return NULL;
}

static void print_table(const struct demo *demo, const char *expected,
			const char *failure)
{
	printf("\n");
	printf("  controller  %s at %s\n", demo->nvme.model, demo->dev.bdf);
	printf("  IOAS        %u, translated by HWPT %u\n",
	       demo->space.ioas_id, demo->hwpt_id);
	printf("  mappings    %u, %" PRIu64 " bytes\n", demo->space.num_maps,
	       demo->space.mapped_bytes);
	printf("  read        %" PRIu64 " bytes in %.2f s\n",
	       demo->read_bytes, demo->read_seconds);
	printf("  checksum    %s\n", demo->sha256);
	printf("  expected    %s\n", expected ? expected : "not given");
	printf("  unmapped    0x%" PRIx64 ", then a %s fault from %s at 0x%" PRIx64 "\n",
	       demo->buffer.iova, demo->fault.is_write ? "write" : "read",
	       demo->fault.source_id, demo->fault.addr);
	printf("  verdict     %s\n", failure ? failure : "ok");
	printf("\n");
}

int main(int argc, char **argv)
{
	const char *expected = argc > 2 && *argv[2] ? argv[2] : NULL;
	uint64_t limit_bytes = argc > 3 ? strtoull(argv[3], NULL, 0) :
			       UINT64_MAX;
	const char *failure;
	struct demo demo = { 0 };

	if (argc < 2) {
		fprintf(stderr, "usage: nvme_demo BDF [SHA256 [BYTES]]\n");
		return 2;
	}
	set_up(&demo, argv[1]);
	read_disk(&demo, limit_bytes);
	failure = try_unmapped(&demo);
	if (!failure && expected && strcmp(expected, demo.sha256))
		failure = "the data differs";
	tear_down(&demo);
	print_table(&demo, expected, failure);
	return failure ? 1 : 0;
}
