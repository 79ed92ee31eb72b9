// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that in-kernel users and domains share: each is pinned and charged once,
 * stays what it is while the others come and go, and is given back with the last
 * of them. Under every kind of IOMMU driver, and with none.
 */
#include <linux/types.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "mock.h"
#include "harness.h"

#define PAGES	1024
#define ROOM	(2 * HUGE_BYTES)

FIXTURE(pin)
{
	int fd;
	int access;
	__u32 ioas;
	__u64 page;
	/* the starts of ROOM bytes each; small pages, and pages of 2 MiB */
	__u64 small;
	__u64 huge;
	long free_huge_pages;
};

FIXTURE_VARIANT(pin)
{
	const char *driver;
	__u32 dev_flags;
	__u32 limit;
};

FIXTURE_VARIANT_ADD(pin, exact)
{
	.driver = "exact",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, exact_limit_12)
{
	.driver = "exact",
	.limit = LEAST_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, exact_limit_32)
{
	.driver = "exact",
	.limit = 32,
};

FIXTURE_VARIANT_ADD(pin, exact_huge)
{
	.driver = "exact",
	.dev_flags = MOCK_FLAGS_DEVICE_HUGE_IOVA,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, vtd)
{
	.driver = "vtd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, amd)
{
	.driver = "amd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, arm)
{
	.driver = "arm",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, virtio)
{
	.driver = "virtio",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(pin, virtio_limit_16)
{
	.driver = "virtio",
	.limit = 16,
};

static long value_of(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	size_t length = strlen(name);
	long value = -1;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, length) && line[length] == ':')
			value = atol(line + length + 1);
	}
	if (file)
		fclose(file);
	return value;
}

/* Pages of this process that are accounted as pinned; mock.h counts the pins. */
static long charged_pages(void)
{
	return value_of("/proc/self/status", "VmPin") * 1024 / (long)page_bytes();
}

FIXTURE_SETUP(pin)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, temp_limit(self->fd, variant->limit));
	ASSERT_EQ(0, set_driver(variant->driver));
	self->page = page_bytes();
	self->free_huge_pages = value_of("/proc/meminfo", "HugePages_Free");
	self->small = (uintptr_t)small_pages(ROOM);
	ASSERT_NE(0, self->small);
	self->huge = (uintptr_t)huge_pages(ROOM);
	ASSERT_NE(0, self->huge);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
	ASSERT_EQ(0, charged_pages());
}

FIXTURE_TEARDOWN(pin)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, close(self->access));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	EXPECT_EQ(0, charged_pages());
	/* a pin too many would keep them */
	munmap((void *)self->huge, ROOM);
	EXPECT_EQ(self->free_huge_pages,
		  value_of("/proc/meminfo", "HugePages_Free"));
	close(self->fd);
}

static int add_mock(int fd, __u32 ioas, const FIXTURE_VARIANT(pin) *variant,
		    struct mock *mock)
{
	return mock_device_flags(fd, ioas, variant->dev_flags, mock);
}

static int copy_at(int fd, __u32 src, __u64 src_iova, __u32 dst, __u64 dst_iova,
		   __u64 length)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.src_ioas_id = src,
		.dst_ioas_id = dst,
		.src_iova = src_iova,
		.dst_iova = dst_iova,
		.length = length,
	};

	return command(fd, IOMMU_IOAS_COPY, &arg);
}

/* Have the process see other pages there, with this in them. */
static int other_pages(__u64 va, __u64 length, int byte)
{
	if (madvise((void *)va, length, MADV_DONTNEED))
		return -errno;
	memset((void *)va, byte, length);
	return 0;
}

/* The byte that an access sees, or -errno. */
static int byte_at(int fd, int access, __u64 iova)
{
	unsigned char byte = 0;
	int rc = access_rw(fd, access, 0, iova, &byte, 1);

	return rc ?: byte;
}

/* -- one tier after the other */

/* One pin however many users; overlapping ranges; in any order. */
TEST_F(pin, many_times)
{
	const struct range {
		unsigned int first;
		unsigned int pages;
	} ranges[] = {
		{ 0, 64 }, { 0, 64 }, { 10, 20 }, { 5, 10 }, { 63, 1 }, { 0, 1 },
		{ 60, 40 }, { 99, 1 }, { 30, 70 }, { 0, 100 },
	};
	const __u64 page = self->page, length = 100 * page;
	__u32 items[ARRAY_SIZE(ranges)];
	unsigned int i, j, round, last;
	struct mock mock;
	int other;

	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	for (round = 0; round < 4; round++) {
		/* with a domain from before the first pin, from half way, never */
		if (round == 1)
			ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
		for (i = 0; i < ARRAY_SIZE(ranges); i++) {
			__u64 offset = ranges[i].first * page;

			ASSERT_EQ(0, pin(self->fd, i & 1 ? other : self->access,
					 APERTURE + offset, ranges[i].pages * page,
					 self->small + offset, &items[i]));
			if (round == 2 && i == 4)
				ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant,
						      &mock));
		}
		EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
		EXPECT_EQ(100, charged_pages());
		if (round == 1 || round == 2) {
			EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->small,
					       length, APERTURE));
			EXPECT_EQ(0, destroy(self->fd, mock.stdev));
			EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
			EXPECT_EQ(100, charged_pages());
		}
		for (i = 0; i < ARRAY_SIZE(ranges); i++) {
			j = round & 1 ? i : ARRAY_SIZE(ranges) - 1 - i;
			ASSERT_EQ(0, unpin_item(self->fd,
						j & 1 ? other : self->access,
						items[j]));
			last = ARRAY_SIZE(ranges) - 1;
			if (round & 1 && i != last)
				EXPECT_EQ(0, check_refs(self->fd, self->small,
							length, 1));
			if (!(round & 1) && !i)
				EXPECT_EQ(0, check_refs(self->fd, self->small,
							length, 1));
		}
		EXPECT_EQ(0, check_refs(self->fd, self->small, length, 0));
		EXPECT_EQ(0, charged_pages());
	}
	EXPECT_EQ(0, close(other));
}

/* Any offset and length, as long as it stays in one area. */
TEST_F(pin, parts_of_pages)
{
	const __u64 page = self->page;
	unsigned int i;
	__u32 item;
	const struct part {
		__u64 offset;
		__u64 length;
		unsigned int pages;
	} parts[] = {
		{ 0, 1, 1 }, { 1, 1, 1 }, { page - 1, 1, 1 }, { page - 1, 2, 2 },
		{ 1, page, 2 }, { 0, page + 1, 2 }, { 7, 3 * page, 4 },
		{ page / 2, page / 2, 1 },
	};

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, 4 * page,
			    APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small + 4 * page,
			    4 * page, APERTURE + 4 * page));
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		__u64 held = parts[i].pages * page;

		ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + parts[i].offset,
				 parts[i].length, self->small + parts[i].offset,
				 &item))
			TH_LOG("part %u", i);
		EXPECT_EQ(0, check_refs(self->fd, self->small, held, 1));
		EXPECT_EQ(0, check_refs(self->fd, self->small + held,
					5 * page - held, 0));
		EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
		EXPECT_EQ(0, check_refs(self->fd, self->small, 5 * page, 0));
	}
	/* over the border of areas as well, if only the ends are inside a page */
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + 4 * page - 1, 2,
			 self->small + 3 * page, &item));
	EXPECT_EQ(0, check_refs(self->fd, self->small + 3 * page, 2 * page, 1));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
}

/* The pages of areas that are neighbours by IOVA only, in the order of IOVA. */
TEST_F(pin, across_areas)
{
	const __u64 page = self->page;
	const unsigned int order[] = { 5, 900, 0, 17, 16 };
	struct mock mock;
	unsigned int i;
	__u32 item;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		ASSERT_EQ(0, map_at(self->fd, self->ioas,
				    self->small + order[i] * page, page,
				    APERTURE + i * page));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, 5 * page, 0, &item));
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		__u64 va = self->small + order[i] * page;

		EXPECT_EQ(0, check_refs(self->fd, va, page, 1));
		EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + i * page, page,
				 va, NULL));
	}
	ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
	EXPECT_EQ(5, charged_pages());
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + page, 3 * page, NULL));
	EXPECT_EQ(2, charged_pages());
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(2, charged_pages());
}

/*
 * A domain goes while single pages are pinned, at the front, in the middle, at the
 * end of a run: these stay, and nothing else.
 */
TEST_F(pin, scenario_5_domain_goes)
{
	const unsigned int pinned[] = { 0, 5, 6, 511, 512, 700, 1023 };
	const __u64 memory[] = { self->huge, self->small };
	const __u64 page = self->page;
	unsigned int i, kind, n;
	const long before = pinned_pages();
	struct mock mock;

	for (kind = 0; kind < 2; kind++) {
		for (n = 1; n <= ARRAY_SIZE(pinned); n += 3) {
			__u64 va = memory[kind];
			__u32 items[ARRAY_SIZE(pinned)];

			ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
			ASSERT_EQ(0, map_at(self->fd, self->ioas, va, ROOM,
					    APERTURE));
			for (i = 0; i < n; i++)
				ASSERT_EQ(0, pin(self->fd, self->access,
						 APERTURE + pinned[i] * page, page,
						 va + pinned[i] * page, &items[i]));
			EXPECT_EQ(PAGES, charged_pages());
			EXPECT_EQ(PAGES, pinned_pages() - before);
			ASSERT_EQ(0, destroy(self->fd, mock.stdev));
			EXPECT_EQ(n, charged_pages());
			EXPECT_EQ(n, pinned_pages() - before);
			for (i = 0; kind && i < n; i++)
				EXPECT_EQ(0, check_refs(self->fd,
							va + pinned[i] * page,
							page, 1));
			if (kind && n > 1)
				EXPECT_EQ(0, check_refs(self->fd, va + 7 * page,
							504 * page, 0));
			/* usable without a domain */
			for (i = 0; i < n; i++)
				EXPECT_EQ(0, pin(self->fd, self->access,
						 APERTURE + pinned[i] * page, page,
						 va + pinned[i] * page, NULL));
			/* a domain that comes gets the same, and goes */
			ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
			EXPECT_EQ(0, check_map(self->fd, mock.hwpt, va, ROOM,
					       APERTURE));
			for (i = 0; i < n; i++)
				EXPECT_EQ(0, unpin_item(self->fd, self->access,
							items[i]));
			EXPECT_EQ(PAGES, charged_pages());
			EXPECT_EQ(PAGES, pinned_pages() - before);
			ASSERT_EQ(0, destroy(self->fd, mock.stdev));
			EXPECT_EQ(n, charged_pages());
			EXPECT_EQ(n, pinned_pages() - before);
			ASSERT_EQ(0, unmap(self->fd, self->ioas, APERTURE, ROOM,
					   NULL));
			EXPECT_EQ(0, charged_pages());
			EXPECT_EQ(before, pinned_pages());
		}
	}
}

/*
 * What is pinned stays the same memory, whatever the process sees there by now;
 * domain and access see the same.
 */
TEST_F(pin, frames_stay)
{
	const __u64 page = self->page, length = 16 * page;
	const __u64 held = APERTURE + 5 * page;
	struct mock mock;
	__u32 item;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	ASSERT_EQ(0, pin(self->fd, self->access, held, 2 * page,
			 self->small + 5 * page, &item));
	ASSERT_EQ(0, other_pages(self->small, length, 7));
	/* an access copies what is pinned, or else what the process sees */
	EXPECT_EQ(1, byte_at(self->fd, self->access, held));
	EXPECT_EQ(1, byte_at(self->fd, self->access, held + 2 * page - 1));
	EXPECT_EQ(7, byte_at(self->fd, self->access, held - 1));
	EXPECT_EQ(7, byte_at(self->fd, self->access, held + 2 * page));
	EXPECT_EQ(-EBADE, pin(self->fd, self->access, held, page,
			      self->small + 5 * page, NULL));

	/* a domain gets the page that is pinned, not the one that is there now */
	ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
	EXPECT_EQ(14 + 2, charged_pages());
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->small, 5 * page,
			       APERTURE));
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->small + 5 * page,
				     page, held));
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->small + 6 * page,
				     page, held + page));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->small + 7 * page,
			       9 * page, held + 2 * page));

	/* and keeps it when the access goes */
	ASSERT_EQ(0, unpin_item(self->fd, self->access, item));
	ASSERT_EQ(0, other_pages(self->small, length, 9));
	EXPECT_EQ(1, byte_at(self->fd, self->access, held));
	EXPECT_EQ(7, byte_at(self->fd, self->access, held - 1));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length, 0, &item));
	ASSERT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(1, byte_at(self->fd, self->access, held));
	EXPECT_EQ(7, byte_at(self->fd, self->access, held - 1));
	EXPECT_EQ(16, charged_pages());

	/* with the last pin the old memory is gone */
	ASSERT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, charged_pages());
	EXPECT_EQ(9, byte_at(self->fd, self->access, held));
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, length, self->small,
			 NULL));
}

/* Two domains and an access leave in every order. */
TEST_F(pin, last_one_unpins)
{
	static const char orders[][4] = { "abp", "apb", "bap", "bpa", "pab", "pba" };
	const __u64 page = self->page, length = 600 * page;
	struct mock a, b;
	unsigned int i, j;
	__u32 hwpt_ioas, item;

	ASSERT_EQ(0, ioas_alloc(self->fd, &hwpt_ioas));
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length,
				    APERTURE));
		ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &a));
		ASSERT_EQ(0, copy_at(self->fd, self->ioas, APERTURE, hwpt_ioas,
				     2 * APERTURE, length));
		ASSERT_EQ(0, add_mock(self->fd, hwpt_ioas, variant, &b));
		ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length,
				 self->small, &item));
		for (j = 0; j < 3; j++) {
			EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
			EXPECT_EQ(600, charged_pages());
			ASSERT_EQ(0, orders[i][j] == 'a' ?
					     destroy(self->fd, a.stdev) :
				     orders[i][j] == 'b' ?
					     unmap_all(self->fd, hwpt_ioas, NULL) :
					     unpin_item(self->fd, self->access,
							item));
		}
		EXPECT_EQ(0, check_refs(self->fd, self->small, length, 0));
		EXPECT_EQ(0, charged_pages());
		ASSERT_EQ(0, destroy(self->fd, b.stdev));
		ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	}
}

/* What was pinned in large runs is mapped page by page, and the other way round. */
TEST_F(pin, without_huge_pages)
{
	const __u64 page = self->page;
	struct mock mock;
	unsigned int off;
	__u32 item;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, ROOM, APERTURE));
	for (off = 0; off < 3; off++) {
		ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES,
					self->ioas, off & 1));
		ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + 100 * page,
				 700 * page, self->huge + 100 * page, &item));
		ASSERT_EQ(0, write_number(SWITCH("largest_leaf"), 0));
		ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
		if (!(off & 1))
			EXPECT_GE(page, read_number(SWITCH("largest_leaf")));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->huge, ROOM,
				       APERTURE));
		EXPECT_EQ(PAGES, charged_pages());
		ASSERT_EQ(0, destroy(self->fd, mock.stdev));
		EXPECT_EQ(700, charged_pages());
		EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + 100 * page,
				 700 * page, self->huge + 100 * page, NULL));
		EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
		EXPECT_EQ(700, charged_pages());
		ASSERT_EQ(0, replace_ioas(self->fd, self->access, self->ioas));
		ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
		EXPECT_EQ(0, charged_pages());
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, ROOM,
				    APERTURE));
	}
}

/*
 * A page in the middle that an access has pinned does not keep the driver from
 * mapping all of a large page as one.
 */
TEST_F(pin, held_page_in_a_large_leaf)
{
	const __u64 page = self->page;
	long wanted = HUGE_BYTES;
	struct mock mock;

	/* what is gathered in small pieces is mapped in small pieces */
	if (variant->limit != USUAL_LIMIT)
		wanted = IO_PAGE;
	else if (variant->dev_flags)
		wanted = 512 * IO_PAGE;
	else if (!strcmp(variant->driver, "exact"))
		wanted = IO_PAGE;
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, ROOM,
			    2 * APERTURE));
	ASSERT_EQ(0, pin(self->fd, self->access, 2 * APERTURE + 77 * page, page,
			 self->huge + 77 * page, NULL));
	ASSERT_EQ(0, pin(self->fd, self->access, 2 * APERTURE + 700 * page, page,
			 self->huge + 700 * page, NULL));
	ASSERT_EQ(0, write_number(SWITCH("largest_leaf"), 0));
	ASSERT_EQ(0, add_mock(self->fd, self->ioas, variant, &mock));
	EXPECT_LE(wanted, read_number(SWITCH("largest_leaf")));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->huge, ROOM,
			       2 * APERTURE));
	ASSERT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(2, charged_pages());
}

/* Pages are pinned ahead of time, and domains get them later for nothing. */
TEST_F(pin, registered_first)
{
	const __u64 page = self->page, length = 200 * page;
	const __u64 memory[] = { self->small, self->huge };
	__u32 guest, item;
	struct mock mock;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, map_at(self->fd, self->ioas, memory[i], length, page));
		ASSERT_EQ(0, pin(self->fd, self->access, page, length, memory[i],
				 &item));
		EXPECT_EQ(200, charged_pages());
		ASSERT_EQ(0, ioas_alloc(self->fd, &guest));
		ASSERT_EQ(0, add_mock(self->fd, guest, variant, &mock));
		ASSERT_EQ(0, copy_at(self->fd, self->ioas, page + 50 * page, guest,
				     APERTURE, 100 * page));
		ASSERT_EQ(0, copy_at(self->fd, self->ioas, page, guest,
				     2 * APERTURE, length));
		EXPECT_EQ(200, charged_pages());
		EXPECT_EQ(0, check_refs(self->fd, memory[i], length, 1));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, memory[i] + 50 * page,
				       100 * page, APERTURE));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, memory[i], length,
				       2 * APERTURE));
		ASSERT_EQ(0, unmap(self->fd, guest, 2 * APERTURE, length, NULL));
		EXPECT_EQ(200, charged_pages());

		/* the registration goes first: what the guest still has stays */
		ASSERT_EQ(0, unpin_item(self->fd, self->access, item));
		EXPECT_EQ(100, charged_pages());
		ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
		EXPECT_EQ(0, check_map(self->fd, mock.hwpt, memory[i] + 50 * page,
				       100 * page, APERTURE));
		ASSERT_EQ(0, destroy(self->fd, mock.stdev));
		EXPECT_EQ(0, charged_pages());
		ASSERT_EQ(0, destroy(self->fd, guest));
	}
}

/* What the access keeps pinned outlives the area that it was pinned through. */
TEST_F(pin, copies_and_accesses)
{
	const __u64 page = self->page, length = 32 * page;
	int other_access;
	__u32 other, item;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, create_access(self->fd, other, PINS, &other_access));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, length, APERTURE));
	ASSERT_EQ(0, copy_at(self->fd, self->ioas, APERTURE, other, 0, length));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, 20 * page, self->small,
			 NULL));
	ASSERT_EQ(0, pin(self->fd, other_access, 10 * page, 22 * page,
			 self->small + 10 * page, &item));
	EXPECT_EQ(0, check_refs(self->fd, self->small, length, 1));
	ASSERT_EQ(0, unmap(self->fd, self->ioas, APERTURE, length, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->small, 10 * page, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->small + 10 * page, 22 * page, 1));
	EXPECT_EQ(22, charged_pages());
	EXPECT_EQ(0, unpin_item(self->fd, other_access, item));
	EXPECT_EQ(0, charged_pages());
	EXPECT_EQ(0, close(other_access));
}

/* -- locked memory */

/* Without the right to lock as much as one likes. */
static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static int lock_limit(__u64 bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };

	return setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : 0;
}

TEST_F(pin, scenario_51_one_charge)
{
	const __u64 page = self->page, length = 16 * page;
	struct mock a, b;
	__u32 other, item, more;

	ASSERT_EQ(0, drop_ipc_lock());
	ASSERT_EQ(0, lock_limit(length));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, 2 * length,
			    APERTURE));
	/* exactly the limit, once, twice, by another one, in two IOAS */
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length, self->small,
			 &item));
	EXPECT_EQ(-ENOMEM, pin(self->fd, self->access, APERTURE + length, page, 0,
			       NULL));
	EXPECT_EQ(-ENOMEM, pin(self->fd, self->access, APERTURE, length + page, 0,
			       NULL));
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, length, self->small,
			 &more));
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, copy_at(self->fd, self->ioas, APERTURE, other, APERTURE,
			     length));
	ASSERT_EQ(0, add_mock(self->fd, other, variant, &a));
	ASSERT_EQ(0, add_mock(self->fd, other, variant, &b));
	EXPECT_EQ(16, charged_pages());
	/* what is in no domain yet would be too much */
	EXPECT_EQ(-ENOMEM, copy_at(self->fd, self->ioas, APERTURE + page, other,
				   2 * APERTURE, length));
	EXPECT_EQ(0, copy_at(self->fd, self->ioas, APERTURE + page, other,
			     2 * APERTURE, length - page));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, more));
	EXPECT_EQ(16, charged_pages());

	/* the charge comes back with the last user, and can be used again */
	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));
	EXPECT_EQ(0, charged_pages());
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + length, length,
			 self->small + length, &item));
	EXPECT_EQ(-ENOMEM, pin(self->fd, self->access, APERTURE, page, 0, NULL));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	ASSERT_EQ(0, destroy(self->fd, a.stdev));
	ASSERT_EQ(0, destroy(self->fd, b.stdev));
}

/* -- pages in quarantine */

FIXTURE(quarantine)
{
	int fd;
	__u64 page;
};

FIXTURE_VARIANT(quarantine)
{
	const char *driver;
};

FIXTURE_VARIANT_ADD(quarantine, exact)
{
	.driver = "exact",
};

FIXTURE_VARIANT_ADD(quarantine, vtd)
{
	.driver = "vtd",
};

FIXTURE_VARIANT_ADD(quarantine, virtio)
{
	.driver = "virtio",
};

FIXTURE_SETUP(quarantine)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->driver));
	self->page = page_bytes();
}

FIXTURE_TEARDOWN(quarantine)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, close(self->fd));
}

/*
 * A driver does not unmap a page that an access has pinned: neither forgets it, and
 * the access can give up its own.
 */
TEST_F(quarantine, pinned_pages)
{
	const __u64 page = self->page, length = 8 * page;
	__u64 va = (uintptr_t)small_pages(HUGE_BYTES), bytes = 1;
	const __u64 other_va = va + 16 * page;
	__u32 ioas, other, item;
	struct mock mock;
	int access;

	ASSERT_NE(0, va);
	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, create_access(self->fd, ioas, PINS, &access));
	ASSERT_EQ(0, map_at(self->fd, ioas, va, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, ioas, other_va, length, APERTURE + length));
	ASSERT_EQ(0, mock_device(self->fd, ioas, &mock));
	ASSERT_EQ(0, pin(self->fd, access, APERTURE + 2 * page, 8 * page, 0,
			 &item));
	ASSERT_EQ(0, copy_at(self->fd, ioas, APERTURE, other, APERTURE, length));
	ASSERT_EQ(0, write_number(SWITCH("stuck_iova"), APERTURE + 3 * page));
	/* the device leaves, its domain with it */
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	ASSERT_EQ(0, write_number(SWITCH("stuck_iova"), 0));
	EXPECT_EQ(0, check_refs(self->fd, va + 2 * page, 6 * page, 1));
	EXPECT_EQ(0, check_refs(self->fd, other_va, 2 * page, 1));
	EXPECT_EQ(0, check_refs(self->fd, other_va + 2 * page, 6 * page, 0));

	/* no new pins through what is in quarantine, what is there can go */
	EXPECT_EQ(-EINVAL, pin(self->fd, access, APERTURE + 2 * page, page, 0,
			       NULL));
	EXPECT_EQ(0, pin(self->fd, access, APERTURE + length, page, other_va,
			 NULL));
	EXPECT_EQ(0, unpin_item(self->fd, access, item));
	EXPECT_EQ(0, check_refs(self->fd, va + 3 * page, page, 1));
	EXPECT_EQ(0, check_refs(self->fd, other_va, page, 1));
	EXPECT_EQ(0, check_refs(self->fd, other_va + page, 7 * page, 0));
	EXPECT_EQ(-ENOTRECOVERABLE, unmap(self->fd, ioas, APERTURE, length,
					  &bytes));
	EXPECT_EQ(0, bytes);

	/* the same pages elsewhere are as good as any */
	ASSERT_EQ(0, replace_ioas(self->fd, access, other));
	EXPECT_EQ(0, check_refs(self->fd, other_va, page, 0));
	EXPECT_EQ(0, pin(self->fd, access, APERTURE, length, va, &item));
	EXPECT_EQ(1, byte_at(self->fd, access, APERTURE + 3 * page));
	EXPECT_EQ(0, unpin_item(self->fd, access, item));
	EXPECT_EQ(0, unmap(self->fd, other, APERTURE, length, &bytes));
	EXPECT_EQ(length, bytes);
	EXPECT_EQ(-EIO, check_refs(self->fd, va + 3 * page, page, 0));
	EXPECT_EQ(0, close(access));
	EXPECT_EQ(0, destroy(self->fd, other));
	/* with the map goes the quarantine */
	EXPECT_EQ(0, destroy(self->fd, ioas));
	EXPECT_EQ(0, check_refs(self->fd, va, HUGE_BYTES, 0));
	EXPECT_EQ(0, charged_pages());
}

TEST_HARNESS_MAIN
