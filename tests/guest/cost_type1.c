// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a program pays that uses a container as VFIO's type1: ours in each version,
 * and VFIO's own for comparison. Run with other modules, the container of
 * /dev/iommu is theirs.
 */
#include <unistd.h>

#include <linux/vfio.h>

#include "container.h"
#include "cost.h"
#include "harness.h"

#define LARGE_PAGES	"/sys/module/iommufd/parameters/type1_v1_large_pages"
#define TYPE1_ROUNDS	3

/* A kind of container, and what its rows are called. */
struct kind {
	const char *path;
	unsigned long type;
	/* of version 1, a parameter that other modules do not have */
	int large_pages;
	const char *map_row;
	const char *unmap_row;
};

static const struct kind kinds[] = {
	{ IOMMUFD_CONTAINER, VFIO_TYPE1_IOMMU, 0, "type1_v1_map",
	  "type1_v1_unmap" },
	{ IOMMUFD_CONTAINER, VFIO_TYPE1_IOMMU, 1, "type1_large_map",
	  "type1_large_unmap" },
	{ IOMMUFD_CONTAINER, VFIO_TYPE1v2_IOMMU, 0, "type1_v2_map",
	  "type1_v2_unmap" },
	{ LEGACY_CONTAINER, VFIO_TYPE1_IOMMU, 0, "legacy_v1_map",
	  "legacy_v1_unmap" },
	{ LEGACY_CONTAINER, VFIO_TYPE1v2_IOMMU, 0, "legacy_v2_map",
	  "legacy_v2_unmap" },
};

struct buffer {
	struct container container;
	struct memory memory;
};

static void map_buffer(void *arg)
{
	struct buffer *buffer = arg;

	EXPECT(container_map(&buffer->container, buffer->memory.va, BYTES, IOVA),
	       0);
}

static void unmap_buffer(void *arg)
{
	struct buffer *buffer = arg;
	uint64_t size = BYTES;

	EXPECT(container_unmap(&buffer->container, 0, IOVA, &size), 0);
	EXPECT(size, BYTES);
}

static void measure_kind(struct buffer *buffer, const struct kind *kind)
{
	const struct duo duo = { map_buffer, unmap_buffer, buffer };

	container_open(&buffer->container, kind->path, EDU, kind->type);
	measure_and_print(&duo, TYPE1_ROUNDS, kind->map_row, kind->unmap_row,
			  buffer->memory.name, BYTES / PAGE);
	container_close(&buffer->container);
}

static void measure_kinds(struct memory memory)
{
	struct buffer buffer = { .memory = memory };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].large_pages && access(LARGE_PAGES, W_OK))
			continue;
		if (kinds[i].large_pages)
			write_or_fail(LARGE_PAGES, "Y");
		measure_kind(&buffer, &kinds[i]);
		if (kinds[i].large_pages)
			write_or_fail(LARGE_PAGES, "N");
	}
	free_memory(&memory);
}

void test_type1_thp(void)
{
	measure_kinds(thp_memory());
}

void test_type1_hugetlb(void)
{
	measure_kinds(hugetlb_memory());
}

void test_type1_scattered(void)
{
	measure_kinds(scattered_memory());
}
