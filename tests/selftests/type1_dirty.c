// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages devices have written to, as programs ask that know VFIO's type1 only:
 * on the compat IOAS, for all its devices at once.
 */
#include <linux/types.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdatomic.h>

#include "mock.h"
#include "task.h"
#include "type1.h"
#include "harness.h"

#define DMA_READ	VFIO_DMA_MAP_FLAG_READ
#define UNMAP_DIRTY	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
#define START		VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP		VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET		VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
#define NO_DIRTY	MOCK_FLAGS_DEVICE_NO_DIRTY

#define PAGES		64
#define MAX_BITMAP	(256ULL << 20)
/* What must not be touched behind a bitmap. */
#define GUARD_BYTE	0xa5

/* -- calls */

static int unmap_flags(int fd, __u32 flags)
{
	struct unmap_arg arg = unmap_of(APERTURE, page_bytes(), NULL);

	arg.unmap.flags = flags;
	return command(fd, VFIO_IOMMU_UNMAP_DMA, &arg);
}

/* Look for the capability. Return: 1 if it is there, 0 if not, -errno. */
static int migration_cap(int fd, struct vfio_iommu_type1_info_cap_migration *cap)
{
	union {
		struct vfio_iommu_type1_info info;
		__u8 bytes[1024];
	} u = { .info.argsz = sizeof(u) };
	const struct vfio_info_cap_header *header;
	__u32 offset;
	int rc;

	rc = command(fd, VFIO_IOMMU_GET_INFO, &u);
	if (rc)
		return rc;
	for (offset = u.info.cap_offset; offset; offset = header->next) {
		header = (void *)&u.bytes[offset];
		if (header->id != VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION)
			continue;
		memcpy(cap, header, sizeof(*cap));
		/* it is all there, and there is nothing behind it */
		return offset + sizeof(*cap) <= u.info.argsz ? 1 : -ENODATA;
	}
	return 0;
}

static bool is_offered(int fd)
{
	struct vfio_iommu_type1_info_cap_migration cap;

	return migration_cap(fd, &cap) == 1;
}

/* -- a container with a device */

FIXTURE(type1)
{
	int fd;
	__u32 ioas;
	__u64 page;
	/* the start of PAGES pages */
	__u64 va;
	__u64 bytes;
	/* a bit for each of them */
	__u8 *bits;
	struct mock mock;
};

FIXTURE_VARIANT(type1)
{
	const char *driver;
	/* VFIO_TYPE1_IOMMU or another */
	unsigned long version;
};

FIXTURE_VARIANT_ADD(type1, v2)
{
	.driver = "exact",
	.version = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v2_vtd)
{
	.driver = "vtd",
	.version = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v2_amd)
{
	.driver = "amd",
	.version = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v2_arm)
{
	.driver = "arm",
	.version = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v1)
{
	.driver = "exact",
	.version = VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v1_vtd)
{
	.driver = "vtd",
	.version = VFIO_TYPE1_IOMMU,
};

FIXTURE_SETUP(type1)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->driver));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, variant->version));
	self->page = page_bytes();
	self->bytes = PAGES * self->page;
	self->va = (uintptr_t)small_pages(self->bytes);
	ASSERT_NE(0, self->va);
	self->bits = anonymous(4 * self->page);
	ASSERT_NE(NULL, self->bits);
}

FIXTURE_TEARDOWN(type1)
{
	EXPECT_EQ(0, write_text(LARGE_PAGES, "N"));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	close(self->fd);
}

/* Map each page by itself, so that it has a leaf of its own whatever the driver. */
static int map_each(FIXTURE_DATA(type1) *self, __u32 flags, __u64 iova)
{
	__u64 offset;
	int rc = 0;

	for (offset = 0; !rc && offset < self->bytes; offset += self->page)
		rc = map_dma(self->fd, flags, self->va + offset, self->page,
			     iova + offset);
	return rc;
}

static int read_bits(FIXTURE_DATA(type1) *self, __u64 iova, __u64 length)
{
	memset(self->bits, 0, bitmap_bytes(length));
	return get_bitmap(self->fd, iova, length, self->bits);
}

/* Read: so many pages of a range are dirty; -1: they could not be read. */
static long count_dirty(FIXTURE_DATA(type1) *self, __u64 iova, __u64 length)
{
	if (read_bits(self, iova, length))
		return -1;
	return count_bits(self->bits, length / self->page);
}

/* One whose domain cannot be that of the fixture's device; both can track. */
static int add_strict_device(FIXTURE_DATA(type1) *self, struct mock *mock)
{
	return write_number(SWITCH("coherency"), ENFORCEABLE) ?:
	       mock_device(self->fd, self->ioas, mock) ?:
	       write_number(SWITCH("coherency"), COHERENT) ?:
	       mock->hwpt == self->mock.hwpt ? -EEXIST : 0;
}

/* -- what there is, and for whom */

TEST_F(type1, capability)
{
	struct vfio_iommu_type1_info_cap_migration cap;

	ASSERT_EQ(32, sizeof(cap));
	memset(&cap, 0xaa, sizeof(cap));
	ASSERT_EQ(1, migration_cap(self->fd, &cap));
	EXPECT_EQ(1, cap.header.version);
	EXPECT_EQ(0, cap.flags);
	EXPECT_EQ(self->page, cap.pgsize_bitmap);
	EXPECT_EQ(MAX_BITMAP, cap.max_dirty_bitmap_size);
	/* without a device there is nobody to be tracked */
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(0, migration_cap(self->fd, &cap));
}

/* As if nobody had heard of it, whatever the argument. */
static void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	struct get_arg arg = get_of(APERTURE, page_bytes(), &arg);

	EXPECT_FALSE(is_offered(fd));
	EXPECT_EQ(-ENOTTY, command(fd, VFIO_IOMMU_DIRTY_PAGES, NULL));
	EXPECT_EQ(-ENOTTY, dirty_pages(fd, 0));
	EXPECT_EQ(-ENOTTY, dirty_pages(fd, START));
	EXPECT_EQ(-ENOTTY, dirty_pages(fd, STOP));
	EXPECT_EQ(-ENOTTY, command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
}

TEST_F(type1, nobody_can_track)
{
	struct mock other;
	__u32 none = 0;

	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, NO_DIRTY, &other));
	EXPECT_NE(self->mock.hwpt, other.hwpt);
	expect_nothing(_metadata, self->fd);
	EXPECT_EQ(-EINVAL, unmap_flags(self->fd, UNMAP_DIRTY));
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	expect_nothing(_metadata, self->fd);
	ASSERT_EQ(0, destroy(self->fd, other.stdev));
	expect_nothing(_metadata, self->fd);
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_CLEAR, &none));
	expect_nothing(_metadata, self->fd);
	EXPECT_EQ(-ENODEV, unmap_flags(self->fd, UNMAP_DIRTY));
}

/* The rules of VFIO's own version 1 have no place for it, as there. */
TEST_F(type1, version_1_with_large_pages)
{
	ASSERT_EQ(0, write_text(LARGE_PAGES, "Y"));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	expect_nothing(_metadata, self->fd);
	EXPECT_EQ(-EINVAL, unmap_flags(self->fd, UNMAP_DIRTY));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	/* an unmap can go beyond the bitmap */
	EXPECT_EQ(-EINVAL, unmap_flags(self->fd, UNMAP_DIRTY));
}

/* An IOAS that is not the compat IOAS is as ever, and so is one that was not. */
TEST_F(type1, other_ioas)
{
	struct mock first, other;
	__u32 ioas;

	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, mock_device(self->fd, ioas, &first));
	EXPECT_EQ(-EOPNOTSUPP, set_dirty(self->fd, first.hwpt,
					 IOMMU_HWPT_DIRTY_TRACKING_ENABLE));
	ASSERT_EQ(0, mock_device_flags(self->fd, ioas, NO_DIRTY, &other));
	EXPECT_EQ(first.hwpt, other.hwpt);
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &ioas));
	expect_nothing(_metadata, self->fd);
	/* from now on those that can track get a HWPT for it */
	ASSERT_EQ(0, destroy(self->fd, other.stdev));
	ASSERT_EQ(0, mock_device(self->fd, ioas, &other));
	EXPECT_NE(first.hwpt, other.hwpt);
	expect_nothing(_metadata, self->fd);
	ASSERT_EQ(0, destroy(self->fd, first.stdev));
	EXPECT_TRUE(is_offered(self->fd));
	EXPECT_EQ(0, dirty_pages(self->fd, START));
}

/* In whatever order devices come, those that can track share a HWPT that does. */
TEST_F(type1, order_of_devices)
{
	struct mock unable[2], able;

	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, NO_DIRTY, &unable[0]));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &able));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, NO_DIRTY, &unable[1]));
	EXPECT_NE(unable[0].hwpt, self->mock.hwpt);
	EXPECT_EQ(self->mock.hwpt, able.hwpt);
	EXPECT_EQ(unable[0].hwpt, unable[1].hwpt);
	EXPECT_FALSE(is_offered(self->fd));
	ASSERT_EQ(0, destroy(self->fd, unable[0].stdev));
	EXPECT_FALSE(is_offered(self->fd));
	ASSERT_EQ(0, destroy(self->fd, unable[1].stdev));
	EXPECT_TRUE(is_offered(self->fd));
}

/* -- what is refused */

TEST_F(type1, errors)
{
	__u8 *edge = self->bits + self->page - sizeof(struct get_arg) + 1;
	struct get_arg arg = get_of(APERTURE, self->page, self->bits);
	int fd = self->fd;

	EXPECT_EQ(-EFAULT, command(fd, VFIO_IOMMU_DIRTY_PAGES, NULL));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, 0));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, START | STOP));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, START | GET));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, 8));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, START | 1u << 31));
	/* it is off, and stays off */
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
	arg.head.argsz = sizeof(arg.head) - 1;
	arg.head.flags = START;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
	EXPECT_EQ(-EINVAL, get_bitmap(fd, APERTURE, self->page, self->bits));

	ASSERT_EQ(0, dirty_pages(fd, START));
	arg.head.flags = GET;
	arg.head.argsz = sizeof(arg) - 1;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
	EXPECT_EQ(-EINVAL, dirty_pages(fd, GET));
	arg.head.argsz = sizeof(arg) + 1000;
	EXPECT_EQ(0, command(fd, VFIO_IOMMU_DIRTY_PAGES, &arg));
	memcpy(edge, &arg, sizeof(arg));
	ASSERT_EQ(0, munmap(self->bits + self->page, self->page));
	memcpy(edge, &arg, sizeof(arg) - 1);
	EXPECT_EQ(-EFAULT, command(fd, VFIO_IOMMU_DIRTY_PAGES, edge));
}

/* Scenario 34. */
TEST_F(type1, get_errors)
{
	const __u64 page = self->page;
	const struct get_arg good = get_of(APERTURE, 65 * page, self->bits);
	const struct vfio_bitmap bitmap = good.get.bitmap;
	const struct {
		__u64 iova;
		__u64 size;
		__u64 pgsize;
		__u64 bytes;
		void *data;
		int rc;
	} cases[] = {
		{ APERTURE, 0, page, 16, bitmap.data, -EINVAL },
		{ APERTURE, page / 2, page, 16, bitmap.data, -EINVAL },
		{ APERTURE + page / 2, page, page, 16, bitmap.data, -EINVAL },
		{ -page, 2 * page, page, 16, bitmap.data, -EINVAL },
		{ page, -page, page, MAX_BITMAP, bitmap.data, -EINVAL },
		{ page, -2 * page, page, UINT64_MAX, bitmap.data, -EINVAL },
		{ APERTURE, page, 0, 16, bitmap.data, -EINVAL },
		{ APERTURE, page, page / 2, 16, bitmap.data, -EINVAL },
		{ APERTURE, 2 * page, 2 * page, 16, bitmap.data, -EINVAL },
		{ APERTURE, page, page, 0, bitmap.data, -EINVAL },
		{ APERTURE, page, page, 7, bitmap.data, -EINVAL },
		{ APERTURE, 65 * page, page, 15, bitmap.data, -EINVAL },
		{ APERTURE, 65 * page, page, MAX_BITMAP + 1, bitmap.data, -EINVAL },
		{ APERTURE, 65 * page, page, 16, NULL, -EFAULT },
		{ APERTURE, 65 * page, page, 16, (void *)-8L, -EFAULT },
		{ APERTURE, 65 * page, page, 16, bitmap.data, 0 },
		{ APERTURE, 65 * page, page, MAX_BITMAP, bitmap.data, 0 },
		{ 0, page, page, 8, bitmap.data, 0 },
		{ -page, page, page, 8, bitmap.data, 0 },
	};
	size_t i;

	ASSERT_EQ(0, dirty_pages(self->fd, START));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct get_arg arg = good;

		arg.get.iova = cases[i].iova;
		arg.get.size = cases[i].size;
		arg.get.bitmap.pgsize = cases[i].pgsize;
		arg.get.bitmap.size = cases[i].bytes;
		arg.get.bitmap.data = cases[i].data;
		EXPECT_EQ(cases[i].rc, command(self->fd, VFIO_IOMMU_DIRTY_PAGES, &arg))
			TH_LOG("case %zu", i);
	}
}

/* A bad bitmap costs no bit. Scenario 34. */
TEST_F(type1, bad_bitmaps)
{
	__u8 *bad = self->bits + 2 * self->page;

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt,
			      APERTURE + 63 * self->page));
	ASSERT_EQ(0, mprotect(bad, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, get_bitmap(self->fd, APERTURE, self->bytes, bad));
	EXPECT_EQ(-EFAULT, get_bitmap(self->fd, APERTURE, self->bytes, bad - 4));
	EXPECT_EQ(0, bad[-4]);
	EXPECT_EQ(2, count_dirty(self, APERTURE, self->bytes));
}

/* -- the bits */

TEST_F(type1, bits)
{
	const __u64 page = self->page;
	struct dirty_range range = { APERTURE, self->bytes, page };
	const __u8 pattern[PAGES / 8] = { 0x81, 0, 0x10, 0xff, 0, 1, 2, 0x80 };
	__u64 nr_dirty;

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_dirty(self->fd, self->mock.hwpt, &range, pattern,
				 &nr_dirty));
	EXPECT_EQ(14, nr_dirty);
	memset(self->bits, GUARD_BYTE, page);
	ASSERT_EQ(0, read_bits(self, APERTURE, self->bytes));
	EXPECT_EQ(0, memcmp(pattern, self->bits, sizeof(pattern)));
	EXPECT_EQ(GUARD_BYTE, self->bits[sizeof(pattern)]);
	/* once */
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	/* and again, as it was written again */
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE + 7 * page));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_TRUE(is_set(self->bits, 7));
	/* a part, then the rest; bits that are set stay so */
	ASSERT_EQ(0, write_dirty(self->fd, self->mock.hwpt, &range, pattern, NULL));
	EXPECT_EQ(2, count_dirty(self, APERTURE, 16 * page));
	self->bits[0] = 0x42;
	ASSERT_EQ(0, get_bitmap(self->fd, APERTURE + 7 * page, 57 * page,
				self->bits));
	EXPECT_EQ(0x42, self->bits[0]);
	EXPECT_EQ(14, count_bits(self->bits, 57));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
}

/* A mapping of many pages, of which some are asked for: nothing is lost. */
TEST_F(type1, part_of_a_mapping)
{
	void *huge = huge_pages(HUGE_BYTES);
	const __u64 half = HUGE_BYTES / 2;

	ASSERT_NE(NULL, huge);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, (uintptr_t)huge, HUGE_BYTES,
			     4 * APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, 4 * APERTURE));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, 4 * APERTURE + half));
	EXPECT_LE(1, count_dirty(self, 4 * APERTURE, half));
	EXPECT_TRUE(is_set(self->bits, 0));
	EXPECT_LE(1, count_dirty(self, 4 * APERTURE + half, half));
	EXPECT_TRUE(is_set(self->bits, 0));
	/* all of it at last, whatever the leaf */
	EXPECT_LE(0, count_dirty(self, 4 * APERTURE, HUGE_BYTES));
	EXPECT_EQ(0, count_dirty(self, 4 * APERTURE, HUGE_BYTES));
	munmap(huge, HUGE_BYTES);
}

TEST_F(type1, start_and_stop)
{
	struct vfio_iommu_type1_info_cap_migration cap;

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	EXPECT_EQ(0, dirty_pages(self->fd, STOP));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	/* it is on already: nothing is forgotten */
	EXPECT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_EQ(1, migration_cap(self->fd, &cap));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_EQ(0, dirty_pages(self->fd, STOP));
	EXPECT_EQ(0, dirty_pages(self->fd, STOP));
	/* the driver does not track any more */
	EXPECT_EQ(-EINVAL, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_EQ(-EINVAL, read_bits(self, APERTURE, self->page));
	/* now it was off in between */
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
}

/* What is mapped while it is on is tracked, and a hole is clean. Scenario 37. */
TEST_F(type1, mapped_later)
{
	const __u64 page = self->page;

	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, page,
			     APERTURE + 3 * page));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, page,
			     APERTURE + 60 * page));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE + 60 * page));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_TRUE(is_set(self->bits, 60));
}

/* More than a gigabyte, and more than the mock translates. */
TEST_F(type1, large_bitmap)
{
	const __u64 length = MOCK_APERTURE_LAST + 1 - APERTURE;
	const __u64 all = 1ULL << 40;
	__u8 *bits = anonymous(all / self->page / 8);
	const __u64 places[] = {
		APERTURE, 0x3ffff000, 0x40000000, MOCK_APERTURE_LAST & -self->page,
	};
	size_t i;

	ASSERT_NE(NULL, bits);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va + i * self->page,
				     self->page, places[i]));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	for (i = 0; i < ARRAY_SIZE(places); i++)
		ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, places[i]));
	ASSERT_EQ(0, get_bitmap(self->fd, APERTURE, length, bits));
	for (i = 0; i < ARRAY_SIZE(places); i++)
		EXPECT_TRUE(is_set(bits, (places[i] - APERTURE) / self->page));
	EXPECT_EQ(ARRAY_SIZE(places), count_bits(bits, length / self->page));

	/* several windows */
	for (i = 0; i < ARRAY_SIZE(places); i++)
		ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, places[i]));
	memset(bits, 0, length / self->page / 8 + 1);
	ASSERT_EQ(0, get_bitmap(self->fd, 0, all, bits));
	for (i = 0; i < ARRAY_SIZE(places); i++)
		EXPECT_TRUE(is_set(bits, places[i] / self->page));
	EXPECT_EQ(ARRAY_SIZE(places), count_bits(bits, all / self->page));
	munmap(bits, all / self->page / 8);
}

/* -- who comes and goes */

/* Devices that share a domain, and one that has its own: what any has written to. */
TEST_F(type1, all_domains)
{
	const __u64 page = self->page;
	struct mock strict, second;

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	ASSERT_EQ(0, add_strict_device(self, &strict));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &second));
	EXPECT_EQ(self->mock.hwpt, second.hwpt);
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE + page));
	ASSERT_EQ(0, write_at(self->fd, strict.hwpt, APERTURE + 2 * page));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE + 3 * page));
	ASSERT_EQ(0, write_at(self->fd, strict.hwpt, APERTURE + 3 * page));
	EXPECT_EQ(3, count_dirty(self, APERTURE, self->bytes));
	EXPECT_EQ(0x0e, self->bits[0]);
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	/* the domain is still there when one of its devices has gone */
	ASSERT_EQ(0, destroy(self->fd, second.stdev));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, dirty_pages(self->fd, STOP));
	EXPECT_EQ(-EINVAL, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_EQ(-EINVAL, write_at(self->fd, strict.hwpt, APERTURE));
}

/*
 * A domain that comes while it is on does as the others, and its memory is clean.
 * Scenario 37.
 */
TEST_F(type1, domain_comes)
{
	struct mock strict;

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, add_strict_device(self, &strict));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_at(self->fd, strict.hwpt, APERTURE + self->page));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_EQ(0x02, self->bits[0]);
}

static int attach_another(const struct task *task)
{
	return mock_device(task->fd, task->id, task->mock);
}

static int start(const struct task *task)
{
	return dirty_pages(task->fd, START);
}

/* A device that comes to a domain while that is switched on is not left out. */
TEST_F(type1, device_comes_meanwhile)
{
	struct mock mock;
	struct task attach = { attach_another, self->fd, &mock, self->ioas };
	struct task track = { start, self->fd };

	ASSERT_EQ(0, map_each(self, DMA_RW, APERTURE));
	ASSERT_EQ(0, close_gate(ATTACH_GATE, 0, 0));
	ASSERT_EQ(0, begin_task(&attach));
	ASSERT_TRUE(gate_is_busy(ATTACH_GATE));
	ASSERT_EQ(0, begin_task(&track));
	let_overtake();
	ASSERT_EQ(0, open_gate(ATTACH_GATE));
	ASSERT_EQ(0, end_task(&attach));
	ASSERT_EQ(0, end_task(&track));
	ASSERT_EQ(self->mock.hwpt, mock.hwpt);
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_at(self->fd, mock.hwpt, APERTURE + self->page));
	EXPECT_EQ(1, count_dirty(self, APERTURE, self->bytes));
}

/* All that can be written to is dirty, again and again; what cannot be is not. */
static void expect_all_dirty(struct __test_metadata *_metadata,
			     FIXTURE_DATA(type1) *self)
{
	__u64 beyond = self->bytes + 8 * self->page;
	int round;

	for (round = 0; round < 2; round++)
		EXPECT_EQ(PAGES, count_dirty(self, APERTURE, beyond));
	EXPECT_EQ(0, count_bits(self->bits + PAGES / 8, 8));
	EXPECT_EQ(0, count_dirty(self, 2 * APERTURE, self->bytes));
	EXPECT_EQ(4, count_dirty(self, APERTURE + 5 * self->page, 4 * self->page));
}

/* What can be written to, and what can not. */
static int map_both(FIXTURE_DATA(type1) *self)
{
	return map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE) ?:
	       map_dma(self->fd, DMA_READ, self->va, self->bytes, 2 * APERTURE);
}

TEST_F(type1, unable_device_comes)
{
	struct mock other;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, NO_DIRTY, &other));
	expect_all_dirty(_metadata, self);
	/* it stays on, and offered */
	EXPECT_TRUE(is_offered(self->fd));
	EXPECT_EQ(0, dirty_pages(self->fd, START));
	/* what it has written to cannot be told when it has gone, either */
	ASSERT_EQ(0, destroy(self->fd, other.stdev));
	expect_all_dirty(_metadata, self);
	EXPECT_EQ(0, dirty_pages(self->fd, STOP));
	EXPECT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
}

TEST_F(type1, unable_device_stays)
{
	struct mock other;

	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, mock_device_flags(self->fd, self->ioas, NO_DIRTY, &other));
	ASSERT_EQ(0, dirty_pages(self->fd, STOP));
	expect_nothing(_metadata, self->fd);
	EXPECT_EQ(-EINVAL, unmap_flags(self->fd, UNMAP_DIRTY));
}

/* With a domain go its bits. */
TEST_F(type1, domain_goes)
{
	struct mock strict;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, add_strict_device(self, &strict));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, strict.hwpt, APERTURE));
	ASSERT_EQ(0, destroy(self->fd, strict.stdev));
	expect_all_dirty(_metadata, self);
	/* the last one */
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	expect_all_dirty(_metadata, self);
	EXPECT_EQ(0, dirty_pages(self->fd, STOP));
	expect_nothing(_metadata, self->fd);
}

TEST_F(type1, device_moves)
{
	__u32 ioas;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, ioas));
	expect_all_dirty(_metadata, self);
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->ioas));
	expect_all_dirty(_metadata, self);
	ASSERT_EQ(0, dirty_pages(self->fd, STOP));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_LE(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
}

/* In-kernel users write with the CPU. */
TEST_F(type1, access_comes)
{
	int access;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &access));
	expect_all_dirty(_metadata, self);
	ASSERT_EQ(0, close(access));
	expect_all_dirty(_metadata, self);
}

TEST_F(type1, access_was_there)
{
	int access;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, 0, &access));
	expect_nothing(_metadata, self->fd);
	ASSERT_EQ(0, close(access));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
}

/* A HWPT of the native kind in the same IOAS is one of the domains. */
TEST_F(type1, hwpt_made_by_hand)
{
	__u32 able, unable;

	ASSERT_EQ(0, map_both(self));
	ASSERT_EQ(0, hwpt_alloc(self->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				self->mock.idev, self->ioas, &able));
	EXPECT_TRUE(is_offered(self->fd));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, able, APERTURE));
	EXPECT_LE(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	/* who switches it off there is told when he asks here */
	ASSERT_EQ(0, set_dirty(self->fd, able, 0));
	EXPECT_EQ(-EINVAL, read_bits(self, APERTURE, self->bytes));
	ASSERT_EQ(0, dirty_pages(self->fd, STOP));
	ASSERT_EQ(0, hwpt_alloc(self->fd, 0, self->mock.idev, self->ioas, &unable));
	expect_nothing(_metadata, self->fd);
}

/* -- unmap */

/* What can be written to, for after the unmap nobody can tell what was. */
TEST_F(type1, unmap)
{
	const __u64 page = self->page;
	__u64 size = self->bytes;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 4 * page, APERTURE + page));
	ASSERT_EQ(0, map_dma(self->fd, DMA_READ, self->va, 4 * page,
			     APERTURE + 5 * page));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, page, APERTURE + 63 * page));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, page, APERTURE + 64 * page));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE + 64 * page));
	memset(self->bits + 8, GUARD_BYTE, 8);
	EXPECT_EQ(0, unmap_bitmap(self->fd, APERTURE, &size, self->bits));
	EXPECT_EQ(9 * page, size);
	EXPECT_EQ(0x1e, self->bits[0]);
	EXPECT_EQ(0x80, self->bits[7]);
	EXPECT_EQ(5, count_bits(self->bits, 64));
	EXPECT_EQ(GUARD_BYTE, self->bits[8]);
	EXPECT_TRUE(is_empty(self->fd, self->mock.hwpt, self->va, self->bytes,
			     APERTURE));
	/* nothing: not an error, and nothing dirty */
	size = self->bytes;
	memset(self->bits, 0, 8);
	EXPECT_EQ(0, unmap_bitmap(self->fd, APERTURE, &size, self->bits));
	EXPECT_EQ(0, size);
	EXPECT_EQ(0, count_bits(self->bits, 64));
	/* the neighbour has kept its bit */
	EXPECT_EQ(1, count_dirty(self, APERTURE + 64 * page, page));
}

/* Part of a mapping: cut in version 1, refused in version 2. */
TEST_F(type1, unmap_a_part)
{
	const bool cuts = variant->version == VFIO_TYPE1_IOMMU;
	__u64 size = 2 * self->page;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	EXPECT_EQ(cuts ? 0 : -ENOENT,
		  unmap_bitmap(self->fd, APERTURE + self->page, &size, self->bits));
	EXPECT_EQ(cuts ? 2 * self->page : 0, size);
	EXPECT_EQ(cuts ? 3 : 0, self->bits[0]);
	/* the rest is as clean as it was */
	EXPECT_EQ(0, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	EXPECT_LE(1, count_dirty(self, APERTURE, self->bytes));
	EXPECT_TRUE(is_set(self->bits, 0));
}

TEST_F(type1, unmap_errors)
{
	const __u64 page = self->page;
	const struct unmap_arg good = unmap_of(APERTURE, page, self->bits);
	struct unmap_arg arg = good;
	int fd = self->fd;

	ASSERT_EQ(0, map_dma(fd, DMA_RW, self->va, page, APERTURE));
	/* it is off */
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	ASSERT_EQ(0, dirty_pages(fd, START));
	ASSERT_EQ(0, write_at(fd, self->mock.hwpt, APERTURE));
	arg.unmap.argsz--;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	EXPECT_EQ(-EINVAL, unmap_flags(fd, UNMAP_DIRTY | VFIO_DMA_UNMAP_FLAG_VADDR));
	arg = good;
	arg.unmap.flags |= UNMAP_ALL;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg.unmap.iova = 0;
	arg.unmap.size = 0;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg.unmap.flags &= ~UNMAP_ALL;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg = good;
	arg.unmap.iova = -page;
	arg.unmap.size = 2 * page;
	EXPECT_EQ(-EOVERFLOW, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg = good;
	arg.unmap.iova += page / 2;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg = good;
	arg.bitmap.pgsize *= 2;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg = good;
	arg.bitmap.size = 7;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	arg.bitmap.size = MAX_BITMAP + 1;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	EXPECT_EQ(page, arg.unmap.size);
	/* nothing has happened */
	EXPECT_EQ(0, self->bits[0]);
	EXPECT_EQ(1, count_dirty(self, APERTURE, page));
	self->bits[0] = 0;
	EXPECT_EQ(0, command(fd, VFIO_IOMMU_UNMAP_DMA, (arg = good, &arg)));
	EXPECT_EQ(1, self->bits[0]);
}

/* A bitmap that cannot be written is found out before anything is unmapped. */
TEST_F(type1, unmap_bad_bitmaps)
{
	__u8 *bad = self->bits + 2 * self->page;
	__u8 *edge = self->bits + 3 * self->page - sizeof(struct vfio_iommu_type1_dma_unmap);
	struct unmap_arg arg = unmap_of(APERTURE, self->bytes, self->bits);
	void *const bitmaps[] = { NULL, (void *)-8L, bad, bad - 4 };
	size_t i;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_at(self->fd, self->mock.hwpt, APERTURE));
	memcpy(edge, &arg.unmap, sizeof(arg.unmap));
	ASSERT_EQ(0, munmap(self->bits + 3 * self->page, self->page));
	EXPECT_EQ(-EFAULT, command(self->fd, VFIO_IOMMU_UNMAP_DMA, edge));
	ASSERT_EQ(0, mprotect(bad, self->page, PROT_READ));
	for (i = 0; i < ARRAY_SIZE(bitmaps); i++) {
		__u64 size = self->bytes;

		EXPECT_EQ(-EFAULT, unmap_bitmap(self->fd, APERTURE, &size,
						bitmaps[i]));
		EXPECT_EQ(self->bytes, size);
	}
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, self->va, self->bytes,
			       APERTURE));
	EXPECT_LE(1, count_dirty(self, APERTURE, self->bytes));
}

/* What an unmap has failed to unmap is told of as before. */
TEST_F(type1, unmap_fails)
{
	__u64 size = self->bytes;
	int access;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	ASSERT_EQ(0, dirty_pages(self->fd, START));
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "Y"));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &access));
	ASSERT_EQ(0, pin(self->fd, access, APERTURE, self->page, 0, NULL));
	EXPECT_EQ(-EDEADLOCK, unmap_bitmap(self->fd, APERTURE, &size, self->bits));
	EXPECT_EQ(0, size);
	EXPECT_EQ(PAGES, count_dirty(self, APERTURE, self->bytes));
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "N"));
	ASSERT_EQ(0, close(access));
}

/* -- several at a time */

struct crowd {
	int fd;
	__u64 va;
	__u64 length;
	atomic_bool is_over;
	int rc;
};

/* Start, read and stop as fast as it goes. */
static void *track(void *arg)
{
	struct crowd *crowd = arg;
	__u8 *bits = anonymous(page_bytes());

	while (!crowd->is_over && !crowd->rc) {
		crowd->rc = dirty_pages(crowd->fd, START) ?:
			    get_bitmap(crowd->fd, APERTURE, crowd->length, bits) ?:
			    dirty_pages(crowd->fd, STOP);
		/* there is an access just now */
		if (crowd->rc == -ENOTTY || crowd->rc == -EOPNOTSUPP)
			crowd->rc = 0;
	}
	munmap(bits, page_bytes());
	return NULL;
}

TEST_F(type1, crowd)
{
	struct crowd crowd = {
		.fd = self->fd,
		.va = self->va,
		.length = self->bytes,
	};
	pthread_t tracker;
	int round;

	ASSERT_EQ(0, pthread_create(&tracker, NULL, track, &crowd));
	for (round = 0; round < 40; round++) {
		__u64 size = self->bytes;
		struct mock second;
		int access, rc;

		ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes,
				     APERTURE));
		ASSERT_EQ(0, add_strict_device(self, &second));
		ASSERT_EQ(0, create_access(self->fd, self->ioas, 0, &access));
		ASSERT_EQ(0, close(access));
		ASSERT_EQ(0, destroy(self->fd, second.stdev));
		/* refused while it is off */
		rc = unmap_bitmap(self->fd, APERTURE, &size, self->bits);
		if (rc == -EINVAL)
			rc = unmap_all(self->fd, self->ioas, &size);
		ASSERT_EQ(0, rc);
		ASSERT_EQ(self->bytes, size);
	}
	crowd.is_over = true;
	ASSERT_EQ(0, pthread_join(tracker, NULL));
	EXPECT_EQ(0, crowd.rc);
}

TEST_HARNESS_MAIN
