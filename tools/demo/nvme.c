// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <time.h>

#include "nvme.h"

#define NVME_PAGE		4096ULL
#define QUEUE_ENTRIES		64

/* Controller registers, offsets into BAR 0. */
#define REG_CAP			0x00
#define REG_CC			0x14
#define REG_CSTS		0x1c
#define REG_AQA			0x24
#define REG_ASQ			0x28
#define REG_ACQ			0x30
#define REG_DOORBELLS		0x1000

#define CC_ENABLE		(1 << 0)
#define CC_IO_ENTRY_SIZES	(6 << 16 | 4 << 20)	/* 64 and 16 bytes */
#define CSTS_READY		(1 << 0)
#define CSTS_FATAL		(1 << 1)

#define ADMIN_CREATE_IO_SQ	0x01
#define ADMIN_CREATE_IO_CQ	0x05
#define ADMIN_IDENTIFY		0x06
#define IO_READ			0x02

#define IDENTIFY_NAMESPACE	0
#define IDENTIFY_CONTROLLER	1

#define NAMESPACE		1
#define IO_QUEUE		1
#define COMMAND_TIMEOUT_MS	10000

static uint32_t read32(struct nvme *nvme, unsigned int reg)
{
	return *(volatile uint32_t *)((char *)nvme->bar.base + reg);
}

static void write32(struct nvme *nvme, unsigned int reg, uint32_t value)
{
	*(volatile uint32_t *)((char *)nvme->bar.base + reg) = value;
}

/* The specification allows 64 bit registers to be accessed in two halves. */
static uint64_t read64(struct nvme *nvme, unsigned int reg)
{
	uint64_t low = read32(nvme, reg);

	return low | (uint64_t)read32(nvme, reg + 4) << 32;
}

static void write64(struct nvme *nvme, unsigned int reg, uint64_t value)
{
	write32(nvme, reg, value);
	write32(nvme, reg + 4, value >> 32);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_ready(struct nvme *nvme, uint32_t ready)
{
	int64_t deadline_ms = now_ms() + COMMAND_TIMEOUT_MS;
	uint32_t status;

	do {
		status = read32(nvme, REG_CSTS);
		if (status == UINT32_MAX || status & CSTS_FATAL)
			return -EIO;
		if ((status & CSTS_READY) == ready)
			return 0;
	} while (now_ms() < deadline_ms);
	return -ETIMEDOUT;
}

static int queue_alloc(struct nvme *nvme, struct nvme_queue *queue,
		       unsigned int id)
{
	unsigned int stride = 4 << (read64(nvme, REG_CAP) >> 32 & 0xf);
	char *doorbells = (char *)nvme->bar.base + REG_DOORBELLS;
	int rc;

	rc = dma_alloc(nvme->space,
		       QUEUE_ENTRIES * sizeof(struct nvme_command),
		       &queue->sq_mem);
	if (rc)
		return rc;
	rc = dma_alloc(nvme->space, NVME_PAGE, &queue->cq_mem);
	if (rc)
		return rc;
	queue->sq_doorbell = (void *)(doorbells + 2 * id * stride);
	queue->cq_doorbell = (void *)(doorbells + (2 * id + 1) * stride);
	queue->phase = 1;
	return 0;
}

static void queue_free(struct nvme *nvme, struct nvme_queue *queue)
{
	if (queue->sq_mem.va)
		dma_free(nvme->space, &queue->sq_mem);
	if (queue->cq_mem.va)
		dma_free(nvme->space, &queue->cq_mem);
}

static void queue_submit(struct nvme_queue *queue, struct nvme_command *cmd)
{
	struct nvme_command *slots = queue->sq_mem.va;

	cmd->cid = queue->tail;
	slots[queue->tail] = *cmd;
	queue->tail = (queue->tail + 1) % QUEUE_ENTRIES;
	/* The command is in memory before the device is told of it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*queue->sq_doorbell = queue->tail;
}

static int queue_wait(struct nvme_queue *queue)
{
	volatile struct nvme_completion *slot =
		(struct nvme_completion *)queue->cq_mem.va + queue->head;
	int64_t deadline_ms = now_ms() + COMMAND_TIMEOUT_MS;
	uint16_t status;

	while ((slot->status & 1) != queue->phase)
		if (now_ms() >= deadline_ms)
			return -ETIMEDOUT;
	/* What the device wrote before the completion is read after it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	status = slot->status >> 1;
	queue->head = (queue->head + 1) % QUEUE_ENTRIES;
	if (!queue->head)
		queue->phase ^= 1;
	*queue->cq_doorbell = queue->head;
	return status ? -EIO : 0;
}

static int queue_run(struct nvme_queue *queue, struct nvme_command *cmd)
{
	queue_submit(queue, cmd);
	return queue_wait(queue);
}

static int enable(struct nvme *nvme)
{
	int rc;

	write32(nvme, REG_CC, 0);
	rc = wait_ready(nvme, 0);
	if (rc)
		return rc;
	rc = queue_alloc(nvme, &nvme->admin, 0);
	if (rc)
		return rc;
	write32(nvme, REG_AQA, (QUEUE_ENTRIES - 1) << 16 | (QUEUE_ENTRIES - 1));
	write64(nvme, REG_ASQ, nvme->admin.sq_mem.iova);
	write64(nvme, REG_ACQ, nvme->admin.cq_mem.iova);
	write32(nvme, REG_CC, CC_ENABLE | CC_IO_ENTRY_SIZES);
	return wait_ready(nvme, CSTS_READY);
}

static int identify(struct nvme *nvme, uint32_t what, uint32_t nsid)
{
	struct nvme_command cmd = {
		.opcode = ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp1 = nvme->identify.iova,
		.cdw10_15 = { what },
	};

	return queue_run(&nvme->admin, &cmd);
}

static int identify_controller(struct nvme *nvme)
{
	const uint8_t *data = nvme->identify.va;
	uint64_t min_page = NVME_PAGE << (read64(nvme, REG_CAP) >> 48 & 0xf);
	uint8_t mdts;
	int rc;

	rc = identify(nvme, IDENTIFY_CONTROLLER, 0);
	if (rc)
		return rc;
	memcpy(nvme->model, data + 24, 40);
	for (int i = 39; i >= 0 && nvme->model[i] == ' '; i--)
		nvme->model[i] = 0;
	/* Our PRP list is one page long, whatever the controller could do. */
	nvme->max_transfer_bytes = NVME_PAGE / sizeof(uint64_t) * NVME_PAGE;
	mdts = data[77];
	if (mdts && mdts < 32 && min_page << mdts < nvme->max_transfer_bytes)
		nvme->max_transfer_bytes = min_page << mdts;
	return 0;
}

static int identify_namespace(struct nvme *nvme)
{
	const uint8_t *data = nvme->identify.va;
	uint32_t lba_format;
	int rc;

	rc = identify(nvme, IDENTIFY_NAMESPACE, NAMESPACE);
	if (rc)
		return rc;
	memcpy(&nvme->num_blocks, data, sizeof(nvme->num_blocks));
	memcpy(&lba_format, data + 128 + 4 * (data[26] & 0xf),
	       sizeof(lba_format));
	nvme->block_bytes = 1U << (lba_format >> 16 & 0xff);
	return 0;
}

static int create_io_queue(struct nvme *nvme)
{
	struct nvme_command cq = {
		.opcode = ADMIN_CREATE_IO_CQ,
		/* Size and number; physically contiguous, no interrupt. */
		.cdw10_15 = { (QUEUE_ENTRIES - 1) << 16 | IO_QUEUE, 1 },
	};
	struct nvme_command sq = {
		.opcode = ADMIN_CREATE_IO_SQ,
		.cdw10_15 = { (QUEUE_ENTRIES - 1) << 16 | IO_QUEUE,
			      IO_QUEUE << 16 | 1 },
	};
	int rc;

	rc = queue_alloc(nvme, &nvme->io, IO_QUEUE);
	if (rc)
		return rc;
	cq.prp1 = nvme->io.cq_mem.iova;
	sq.prp1 = nvme->io.sq_mem.iova;
	rc = queue_run(&nvme->admin, &cq);
	return rc ? rc : queue_run(&nvme->admin, &sq);
}

static int start(struct nvme *nvme)
{
	int rc;

	rc = enable(nvme);
	if (rc)
		return rc;
	rc = dma_alloc(nvme->space, NVME_PAGE, &nvme->identify);
	if (rc)
		return rc;
	rc = dma_alloc(nvme->space, NVME_PAGE, &nvme->prp_list);
	if (rc)
		return rc;
	rc = identify_controller(nvme);
	if (rc)
		return rc;
	rc = identify_namespace(nvme);
	return rc ? rc : create_io_queue(nvme);
}

int nvme_init(struct nvme *nvme, struct dma_space *space,
	      struct vfio_dev *dev)
{
	int rc;

	*nvme = (struct nvme){ .space = space, .dev = dev };
	rc = vfio_dev_bus_master(dev, 1);
	if (rc)
		return rc;
	rc = vfio_bar_map(dev, 0, &nvme->bar);
	if (rc)
		return rc;
	rc = start(nvme);
	if (rc)
		nvme_exit(nvme);
	return rc;
}

void nvme_exit(struct nvme *nvme)
{
	/* No DMA after this, so the queues may go. */
	write32(nvme, REG_CC, 0);
	wait_ready(nvme, 0);
	vfio_dev_bus_master(nvme->dev, 0);
	queue_free(nvme, &nvme->io);
	queue_free(nvme, &nvme->admin);
	if (nvme->identify.va)
		dma_free(nvme->space, &nvme->identify);
	if (nvme->prp_list.va)
		dma_free(nvme->space, &nvme->prp_list);
	vfio_bar_unmap(&nvme->bar);
}

/*
 * A transfer is described page by page: PRP 1 is the first, PRP 2 the second
 * or, if there are more, the address of a list of all but the first.
 */
static void set_prps(struct nvme *nvme, struct nvme_command *cmd,
		     uint64_t iova, uint64_t bytes)
{
	uint64_t *list = nvme->prp_list.va;
	uint64_t next = (iova & ~(NVME_PAGE - 1)) + NVME_PAGE;
	uint64_t end = iova + bytes;

	cmd->prp1 = iova;
	if (next >= end)
		return;
	if (next + NVME_PAGE >= end) {
		cmd->prp2 = next;
		return;
	}
	cmd->prp2 = nvme->prp_list.iova;
	for (; next < end; next += NVME_PAGE)
		*list++ = next;
}

int nvme_read(struct nvme *nvme, uint64_t first_block, uint32_t num_blocks,
	      uint64_t iova)
{
	uint64_t bytes = (uint64_t)num_blocks * nvme->block_bytes;
	struct nvme_command cmd = {
		.opcode = IO_READ,
		.nsid = NAMESPACE,
		.cdw10_15 = { first_block, first_block >> 32, num_blocks - 1 },
	};

	if (!num_blocks || bytes > nvme->max_transfer_bytes)
		return -EINVAL;
	set_prps(nvme, &cmd, iova, bytes);
	return queue_run(&nvme->io, &cmd);
}
