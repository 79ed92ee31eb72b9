// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is mapped is what a device sees, with every kind of IOMMU driver: all kinds
 * of memory at all offsets, whether the map comes before the device or after it.
 * The mock warns of everything that its driver would get wrong without a word.
 */
#include <linux/types.h>

#include "mock.h"
#include "harness.h"

#define ROOM	(2 * HUGE_BYTES)

FIXTURE(map)
{
	int fd;
	__u32 ioas;
	__u64 page;
	/* the domain's smallest page */
	__u64 granule;
	/* the starts of ROOM bytes each */
	__u64 small;
	__u64 huge;
	__u64 mixed;
};

FIXTURE_VARIANT(map)
{
	const char *driver;
	__u32 dev_flags;
	__u32 limit;
	/* one domain more, of this driver */
	const char *second;
};

FIXTURE_VARIANT_ADD(map, exact)
{
	.driver = "exact",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, exact_limit_16)
{
	.driver = "exact",
	.limit = 16,
};

FIXTURE_VARIANT_ADD(map, exact_limit_12)
{
	.driver = "exact",
	.limit = LEAST_LIMIT,
};

FIXTURE_VARIANT_ADD(map, exact_huge)
{
	.driver = "exact",
	.dev_flags = MOCK_FLAGS_DEVICE_HUGE_IOVA,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, vtd)
{
	.driver = "vtd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, vtd_limit_32)
{
	.driver = "vtd",
	.limit = 32,
};

FIXTURE_VARIANT_ADD(map, amd)
{
	.driver = "amd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, amd_limit_32)
{
	.driver = "amd",
	.limit = 32,
};

FIXTURE_VARIANT_ADD(map, arm)
{
	.driver = "arm",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, virtio)
{
	.driver = "virtio",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(map, virtio_limit_16)
{
	.driver = "virtio",
	.limit = 16,
};

FIXTURE_VARIANT_ADD(map, vtd_and_virtio)
{
	.driver = "vtd",
	.limit = USUAL_LIMIT,
	.second = "virtio",
};

FIXTURE_VARIANT_ADD(map, virtio_and_vtd)
{
	.driver = "virtio",
	.limit = 256,
	.second = "vtd",
};

/* Huge pages in front, small ones behind, and a border off any alignment. */
static void *mixed_pages(size_t bytes)
{
	char *start = anonymous(bytes);
	size_t border = bytes / 2 + 5 * page_bytes();

	if (!start || madvise(start, border, MADV_HUGEPAGE) ||
	    madvise(start + border, bytes - border, MADV_NOHUGEPAGE))
		return NULL;
	memset(start, 3, bytes);
	return start;
}

FIXTURE_SETUP(map)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, temp_limit(self->fd, variant->limit));
	ASSERT_EQ(0, set_driver(variant->driver));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	self->page = page_bytes();
	self->granule = strcmp(variant->driver, "exact") || variant->second ?
				self->page : IO_PAGE;
	self->small = (uintptr_t)small_pages(ROOM);
	ASSERT_NE(0, self->small);
	self->huge = (uintptr_t)huge_pages(ROOM);
	ASSERT_NE(0, self->huge);
	self->mixed = (uintptr_t)mixed_pages(ROOM);
	ASSERT_NE(0, self->mixed);
}

FIXTURE_TEARDOWN(map)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->mixed, ROOM, 0));
	close(self->fd);
}

/* The domains of an IOAS. */
struct domains {
	struct mock mocks[2];
	unsigned int num;
};

static int make_domains(int fd, __u32 ioas, const FIXTURE_VARIANT(map) *variant,
			struct domains *domains)
{
	int rc;

	domains->num = 0;
	rc = mock_device_flags(fd, ioas, variant->dev_flags, &domains->mocks[0]);
	if (rc)
		return rc;
	domains->num = 1;
	if (!variant->second)
		return 0;
	rc = set_driver(variant->second) ?:
	     mock_device(fd, ioas, &domains->mocks[1]) ?:
	     set_driver(variant->driver);
	if (!rc)
		domains->num = 2;
	return rc;
}

static int destroy_domains(int fd, struct domains *domains)
{
	int rc = 0;

	while (domains->num)
		rc = rc ?: destroy(fd, domains->mocks[--domains->num].stdev);
	return rc;
}

static int check_domains(int fd, const struct domains *domains, __u64 va,
			 __u64 length, __u64 iova)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < domains->num; i++)
		rc = rc ?: check_map(fd, domains->mocks[i].hwpt, va, length, iova);
	return rc;
}

static bool is_nothing_mapped(int fd, const struct domains *domains, __u64 va,
			      __u64 iova)
{
	unsigned int i;

	for (i = 0; i < domains->num; i++) {
		if (check_map(fd, domains->mocks[i].hwpt, va, page_bytes(),
			      iova) != -EINVAL)
			return false;
	}
	return true;
}

/* Pieces of different alignment in address, IOVA and length. */
static const struct piece {
	unsigned int va_pages;
	unsigned int pages;
	unsigned int iova_pages;
} pieces[] = {
	{ 0, 1, 0 },		{ 0, 1, 1 },		{ 1, 1, 0 },
	{ 0, 2, 1 },		{ 3, 7, 5 },		{ 0, 15, 0 },
	{ 0, 16, 1 },		{ 0, 17, 0 },		{ 1, 31, 1 },
	{ 0, 512, 0 },		{ 0, 512, 1 },		{ 1, 512, 1 },
	{ 5, 600, 5 },		{ 0, 1024, 0 },		{ 0, 1024, 512 },
	{ 256, 768, 256 },	{ 511, 513, 511 },	{ 511, 2, 511 },
	{ 500, 30, 1012 },	{ 0, 1024, 7 },
};

TEST_F(map, pieces)
{
	const __u64 memory[] = { self->small, self->huge, self->mixed };
	unsigned int i, kind, before;
	struct domains domains;

	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (kind = 0; kind < 3; kind++) {
			const struct piece *piece = &pieces[i];
			__u64 va = memory[kind] + piece->va_pages * self->page;
			__u64 iova = APERTURE + piece->iova_pages * self->page;
			__u64 length = piece->pages * self->page, bytes;

			/* the device is there before the map, or after it */
			before = (i + kind) & 1;
			if (!before)
				ASSERT_EQ(0, destroy_domains(self->fd, &domains));
			ASSERT_EQ(0, map_at(self->fd, self->ioas, va, length, iova));
			if (!before)
				ASSERT_EQ(0, make_domains(self->fd, self->ioas,
							  variant, &domains));
			EXPECT_EQ(0, check_domains(self->fd, &domains, va, length,
						   iova))
				TH_LOG("piece %u, memory %u", i, kind);
			EXPECT_EQ(0, check_refs(self->fd, va, length, 1));
			EXPECT_TRUE(is_nothing_mapped(self->fd, &domains, va,
						      iova - self->page));
			EXPECT_TRUE(is_nothing_mapped(self->fd, &domains, va,
						      iova + length));
			EXPECT_EQ(0, unmap(self->fd, self->ioas, iova, length,
					   &bytes));
			EXPECT_EQ(length, bytes);
			EXPECT_EQ(0, check_refs(self->fd, va, length, 0));
			EXPECT_TRUE(is_nothing_mapped(self->fd, &domains, va, iova));
		}
	}
}

/*
 * Where the smallest page of the domain is half a page, so can a mapping be.
 * Scenarios 6 and 30.
 */
TEST_F(map, parts_of_pages)
{
	struct domains domains;
	__u64 offset, length, shift;

	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	if (self->granule == self->page) {
		EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->small,
					  IO_PAGE, APERTURE));
		EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->small,
					  self->page, APERTURE + IO_PAGE));
		EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas,
					  self->small + IO_PAGE, self->page,
					  APERTURE));
		return;
	}
	for (offset = 0; offset < 2 * self->page; offset += IO_PAGE) {
		for (shift = 0; shift < 2 * self->page; shift += IO_PAGE) {
			for (length = IO_PAGE; length < 5 * self->page;
			     length += IO_PAGE) {
				__u64 iova = APERTURE + shift;
				__u64 va = self->small + offset;

				ASSERT_EQ(0, map_at(self->fd, self->ioas, va,
						    length, iova));
				EXPECT_EQ(0, check_domains(self->fd, &domains, va,
							   length, iova));
				EXPECT_EQ(0, unmap(self->fd, self->ioas, iova,
						   length, NULL));
			}
		}
	}
	EXPECT_EQ(0, check_refs(self->fd, self->small, ROOM, 0));
}

/*
 * Each page on its own, out of order: an unmap touches no neighbour.
 * Scenario 55.
 */
TEST_F(map, neighbours)
{
	const unsigned int pages = 600;
	struct domains domains;
	unsigned int i;

	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	for (i = 0; i < pages; i++) {
		unsigned int n = i * 7 % pages;

		ASSERT_EQ(0, map_at(self->fd, self->ioas,
				    self->huge + n * self->page, self->page,
				    APERTURE + n * self->page))
			TH_LOG("page %u", n);
	}
	EXPECT_EQ(0, check_domains(self->fd, &domains, self->huge,
				   pages * self->page, APERTURE));
	for (i = 0; i < pages; i += 3)
		ASSERT_EQ(0, unmap(self->fd, self->ioas, APERTURE + i * self->page,
				   self->page, NULL));
	for (i = 0; i < pages; i++) {
		__u64 iova = APERTURE + i * self->page;
		__u64 va = self->huge + i * self->page;

		EXPECT_EQ(i % 3 ? 0 : -EINVAL,
			  check_domains(self->fd, &domains, va, self->page, iova))
			TH_LOG("page %u", i);
	}
	/* over holes, which are none of the driver's business */
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, pages * self->page,
			   NULL));
	EXPECT_TRUE(is_nothing_mapped(self->fd, &domains, self->huge,
				      APERTURE + self->page));
}

/*
 * The hole in front of a full large leaf is where VT-d loses its neighbours.
 * Scenario 55.
 */
TEST_F(map, hole_below_a_large_leaf)
{
	const __u64 leaf = APERTURE + HUGE_BYTES;
	struct domains domains;

	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, HUGE_BYTES, leaf));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->small, self->page,
			    leaf - 2 * self->page));
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, leaf - self->page,
				 self->page, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, leaf - 3 * self->page,
			   3 * self->page, NULL));
	EXPECT_EQ(0, check_domains(self->fd, &domains, self->huge, HUGE_BYTES,
				   leaf));
	/* an area is unmapped whole or not at all */
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, leaf, self->page, NULL));
	EXPECT_EQ(0, check_domains(self->fd, &domains, self->huge, HUGE_BYTES,
				   leaf));
}

/* Copies share the pages; whichever goes first, the others stay. */
TEST_F(map, copies)
{
	const __u64 length = HUGE_BYTES + 3 * self->page;
	const __u64 iova = APERTURE + self->page;
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = RW | FIXED,
		.length = length - 2 * self->page,
		.src_iova = iova + self->page,
		.dst_iova = 2 * APERTURE,
	};
	struct domains domains;
	unsigned int i;
	__u32 other;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	for (i = 0; i < 4; i++) {
		/* the device is on the IOAS of the original, or on the other */
		__u32 seen = i & 1 ? other : self->ioas;
		__u64 va = self->small;

		ASSERT_EQ(0, make_domains(self->fd, seen, variant, &domains));
		ASSERT_EQ(0, map_at(self->fd, self->ioas, va, length, iova));
		copy.src_ioas_id = self->ioas;
		copy.dst_ioas_id = i & 2 ? self->ioas : other;
		if (copy.dst_ioas_id == self->ioas && seen == other)
			copy.dst_ioas_id = other;
		ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &copy));
		if (copy.dst_ioas_id == seen)
			EXPECT_EQ(0, check_domains(self->fd, &domains,
						   va + self->page, copy.length,
						   2 * APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, va + self->page, copy.length, 1));
		if (seen == self->ioas)
			EXPECT_EQ(0, check_refs(self->fd, va, length, 1));
		ASSERT_EQ(0, unmap(self->fd, self->ioas, iova, length, NULL));
		if (copy.dst_ioas_id == seen) {
			EXPECT_EQ(0, check_domains(self->fd, &domains,
						   va + self->page, copy.length,
						   2 * APERTURE));
			/* what the copy does not show is given back */
			EXPECT_EQ(0, check_refs(self->fd, va, self->page, 0));
			EXPECT_EQ(0, check_refs(self->fd, va + self->page,
						copy.length, 1));
		}
		/* the domain goes first, then the area */
		ASSERT_EQ(0, destroy_domains(self->fd, &domains));
		EXPECT_EQ(0, check_refs(self->fd, va, length, 0));
		ASSERT_EQ(0, unmap_all(self->fd, copy.dst_ioas_id, NULL));
	}
}

/* A driver that has large pages gets large leaves for large pages. */
TEST_F(map, large_leaves)
{
	struct domains domains;
	long wanted = HUGE_BYTES;

	if (variant->dev_flags & MOCK_FLAGS_DEVICE_HUGE_IOVA)
		wanted = 512 * IO_PAGE;
	/* what is gathered in small pieces is mapped in small pieces */
	if (variant->limit != USUAL_LIMIT)
		wanted = self->granule;
	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	ASSERT_EQ(0, write_number(SWITCH("largest_leaf"), 0));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, ROOM, APERTURE));
	EXPECT_LE(wanted, read_number(SWITCH("largest_leaf")));
	EXPECT_EQ(0, check_domains(self->fd, &domains, self->huge, ROOM, APERTURE));
}

/*
 * HUGE_PAGES off: the driver gets no leaf above PAGE_SIZE, and all is as before.
 * Scenario 33.
 */
TEST_F(map, without_huge_pages)
{
	struct domains domains;

	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_HUGE_PAGES, self->ioas, 0));
	ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
	ASSERT_EQ(0, write_number(SWITCH("largest_leaf"), 0));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->huge, ROOM, APERTURE));
	EXPECT_GE(self->page, read_number(SWITCH("largest_leaf")));
	EXPECT_EQ(0, check_domains(self->fd, &domains, self->huge, ROOM, APERTURE));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->small,
				  self->page / 2, 2 * APERTURE));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, ROOM, NULL));
}

/* Several areas, automatic IOVA, an attach to all of them, and replaces. */
TEST_F(map, populated)
{
	__u64 iovas[40], length;
	struct domains domains;
	unsigned int i, round;

	for (i = 0; i < ARRAY_SIZE(iovas); i++) {
		length = (1 + i * 5 % 13) * self->page;
		ASSERT_EQ(0, map_any(self->fd, self->ioas,
				     self->mixed + i * 16 * self->page, length,
				     &iovas[i]));
		/* an IOVA that no domain translates would not do */
		if (iovas[i] < APERTURE) {
			ASSERT_EQ(0, unmap(self->fd, self->ioas, iovas[i], length,
					   NULL));
			iovas[i] = APERTURE + i * 16 * self->page;
			ASSERT_EQ(0, map_at(self->fd, self->ioas,
					    self->mixed + i * 16 * self->page,
					    length, iovas[i]));
		}
	}
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, make_domains(self->fd, self->ioas, variant, &domains));
		for (i = 0; i < ARRAY_SIZE(iovas); i++) {
			length = (1 + i * 5 % 13) * self->page;
			EXPECT_EQ(0, check_domains(self->fd, &domains,
						   self->mixed + i * 16 * self->page,
						   length, iovas[i]))
				TH_LOG("area %u", i);
		}
		ASSERT_EQ(0, destroy_domains(self->fd, &domains));
		EXPECT_EQ(0, check_refs(self->fd, self->mixed, ROOM, 0));
	}
}

TEST_HARNESS_MAIN
