// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often VT-d's IOTLB is flushed: the driver keeps statistics of that while it
 * is told to, in kernels with CONFIG_INTEL_IOMMU_DEBUGFS. A flush that it queues
 * together with others and waits for once counts once.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "cost.h"
#include "harness.h"

#define DEBUGFS	"/sys/kernel/debug"
#define COUNTER	DEBUGFS "/iommu/intel/dmar_perf_latency"

/* The line has a number for each range of latencies, and then three others. */
#define NR_RANGES	7

static int read_counter(void)
{
	FILE *file = fopen(COUNTER, "re");
	int n[NR_RANGES], sum = -1;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " inv_iotlb %d %d %d %d %d %d %d", n, n + 1, n + 2,
			   n + 3, n + 4, n + 5, n + 6) != NR_RANGES)
			continue;
		sum = 0;
		for (int i = 0; i < NR_RANGES; i++)
			sum += n[i];
	}
	if (file)
		fclose(file);
	return sum;
}

int count_flushes(void (*call)(void *arg), void *arg)
{
	int flushes;

	mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	if (write_file(COUNTER, "1"))
		return -1;
	call(arg);
	flushes = read_counter();
	EXPECT(write_file(COUNTER, "0"), 0);
	CHECK(flushes >= 0);
	return flushes;
}
