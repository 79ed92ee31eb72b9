// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a test: what a read of dirty bits costs in instructions, the mock's page tables
 * included, as "cost: ROW VALUE". tools/cost-dirty.sh runs it where the clock counts
 * instructions.
 */
#include <err.h>
#include <linux/types.h>
#include <time.h>

#include "mock.h"

#define NR_SMALL	16384UL
/* Each of the huge pages there are is mapped so many times. */
#define NR_HUGE		32UL
#define NR_COPIES	8UL
#define ROUNDS		9

/* For the largest range in pages of 4 KiB. */
static __u8 bits[NR_COPIES * NR_HUGE * HUGE_BYTES / 4096 / 8];

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void must(int rc, const char *what)
{
	if (rc)
		errx(1, "%s: %d", what, rc);
}

#define MUST(call) must(call, #call)

/* A table, and what of it is read. */
struct table {
	int fd;
	__u32 ioas;
	__u32 hwpt;
	struct dirty_range range;
};

static void make_table(struct table *table, __u64 leaf_bytes, __u64 nr_leaves)
{
	struct mock mock;

	table->fd = open_iommu();
	MUST(reset_switches(table->fd));
	MUST(set_driver("vtd"));
	MUST(ioas_alloc(table->fd, &table->ioas));
	MUST(mock_device(table->fd, table->ioas, &mock));
	if (leaf_bytes == page_bytes())
		MUST(option_set(table->fd, IOMMU_OPTION_HUGE_PAGES, table->ioas, 0));
	MUST(hwpt_alloc(table->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, mock.idev,
			table->ioas, &table->hwpt));
	MUST(set_dirty(table->fd, table->hwpt, IOMMU_HWPT_DIRTY_TRACKING_ENABLE));
	table->range = (struct dirty_range){ APERTURE, nr_leaves * leaf_bytes,
					     leaf_bytes };
}

/* Write to the first page of each leaf. */
static void write_leaves(struct table *table)
{
	const struct dirty_range *range = &table->range;
	const struct dirty_range pages = { range->iova, range->length, page_bytes() };
	__u64 offset;

	memset(bits, 0, sizeof(bits));
	for (offset = 0; offset < range->length; offset += range->page_size)
		bits[offset / page_bytes() / 8] |= 1 << offset / page_bytes() % 8;
	MUST(write_dirty(table->fd, table->hwpt, &pages, bits, NULL));
}

/*
 * Return: what a read costs of leaves that are all dirty or all clean. The least of
 * several: now and then the kernel does something else.
 */
static __u64 read_cost(struct table *table, __u32 flags, bool is_dirty)
{
	__u64 least = UINT64_MAX;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		__u64 begin, cost;

		if (is_dirty)
			write_leaves(table);
		begin = now();
		MUST(get_dirty(table->fd, table->hwpt, flags, &table->range, bits));
		cost = now() - begin;
		least = cost < least ? cost : least;
	}
	return least;
}

static void print_costs(struct table *table, const char *name)
{
	const __u64 nr_leaves = table->range.length / table->range.page_size;
	const __u32 no_clear = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;

	printf("cost: clean_%s %llu\n", name,
	       read_cost(table, 0, false) / nr_leaves);
	printf("cost: look_%s %llu\n", name,
	       read_cost(table, no_clear, false) / nr_leaves);
	printf("cost: dirty_%s %llu\n", name,
	       read_cost(table, 0, true) / nr_leaves);
	printf("cost: keep_%s %llu\n", name,
	       read_cost(table, no_clear, true) / nr_leaves);
	table->range.length = table->range.page_size;
	printf("cost: one_%s %llu\n", name, read_cost(table, 0, true));
	close(table->fd);
}

int main(void)
{
	const __u64 small_bytes = NR_SMALL * page_bytes();
	const __u64 huge_bytes = NR_HUGE * HUGE_BYTES;
	struct table table;
	__u64 i, va;

	va = (uintptr_t)small_pages(small_bytes);
	make_table(&table, page_bytes(), NR_SMALL);
	MUST(map_at(table.fd, table.ioas, va, small_bytes, APERTURE));
	print_costs(&table, "4k");

	va = (uintptr_t)huge_pages(huge_bytes);
	make_table(&table, HUGE_BYTES, NR_COPIES * NR_HUGE);
	for (i = 0; i < NR_COPIES; i++)
		MUST(map_at(table.fd, table.ioas, va, huge_bytes,
			    APERTURE + i * huge_bytes));
	print_costs(&table, "2m");
	return 0;
}
