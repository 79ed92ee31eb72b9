// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "faultlog.h"

int faultlog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lseek(fd, 0, SEEK_END);
	return fd;
}

/*
 * VT-d says: DMAR: [DMA Write NO_PASID] Request device [00:04.0]
 * fault addr 0xfffe0000 [fault reason 0x05] PTE Write access is not set
 */
static int parse(const char *record, struct iommu_fault *fault)
{
	const char *text = strstr(record, "[DMA ");
	char kind[8];

	return text &&
	       sscanf(text, "[DMA %7s NO_PASID] Request device [%15[^]]] fault addr 0x%" SCNx64,
		      kind, fault->source_id, &fault->addr) == 3 &&
	       (fault->is_write = !strcmp(kind, "Write"), 1);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int faultlog_next(int fd, unsigned int timeout_ms, struct iommu_fault *fault)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	char record[1024];

	for (;;) {
		ssize_t n = read(fd, record, sizeof(record) - 1);

		if (n > 0) {
			record[n] = 0;
			if (parse(record, fault))
				return 0;
			continue;
		}
		/* EPIPE: records were overwritten before we came; go on. */
		if (n < 0 && errno != EAGAIN && errno != EPIPE &&
		    errno != EINTR)
			return -errno;
		if (now_ms() >= deadline_ms)
			return -ETIMEDOUT;
		usleep(1000);
	}
}
