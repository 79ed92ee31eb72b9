// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's type1 interface, as programs that know nothing of iommufd use it: on the
 * compat IOAS, in version 1, version 2, and with large pages in version 1.
 */
#include <linux/types.h>
#include <linux/vfio.h>

#include "mock.h"
#include "type1.h"
#include "harness.h"

FIXTURE(type1)
{
	int fd;
	__u32 ioas;
	__u64 page;
	/* the start of 64 pages */
	__u64 va;
	__u64 bytes;
	struct mock mock;
};

FIXTURE_VARIANT(type1)
{
	/* VFIO_TYPE1_IOMMU or another */
	unsigned long version;
	bool has_device;
	bool large_pages;
};

FIXTURE_VARIANT_ADD(type1, v1)
{
	.version = VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v1_device)
{
	.version = VFIO_TYPE1_IOMMU,
	.has_device = true,
};

FIXTURE_VARIANT_ADD(type1, v1_large)
{
	.version = VFIO_TYPE1_IOMMU,
	.large_pages = true,
};

FIXTURE_VARIANT_ADD(type1, v1_large_device)
{
	.version = VFIO_TYPE1_IOMMU,
	.has_device = true,
	.large_pages = true,
};

FIXTURE_VARIANT_ADD(type1, v2)
{
	.version = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_VARIANT_ADD(type1, v2_device)
{
	.version = VFIO_TYPE1v2_IOMMU,
	.has_device = true,
};

FIXTURE_SETUP(type1)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, write_text(LARGE_PAGES, variant->large_pages ? "Y" : "N"));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &self->ioas));
	if (variant->has_device)
		ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, variant->version));
	self->page = page_bytes();
	self->bytes = 64 * self->page;
	self->va = (uintptr_t)small_pages(self->bytes);
	ASSERT_NE(0, self->va);
}

FIXTURE_TEARDOWN(type1)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, write_text(LARGE_PAGES, "N"));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
	close(self->fd);
}

static bool can_cut(bool large_pages, unsigned long version)
{
	return version == VFIO_TYPE1_IOMMU && !large_pages;
}

/* -- what there is */

TEST_F(type1, extensions)
{
	int fd = self->fd;

	EXPECT_EQ(VFIO_API_VERSION, container(fd, VFIO_GET_API_VERSION, 0));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR));
	EXPECT_EQ(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU));
	/* without a HWPT there is nothing that does not snoop */
	EXPECT_EQ(!variant->has_device,
		  container(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, 1000));
	EXPECT_EQ(-ENOTTY, container(fd, VFIO_IOMMU_ENABLE, 0));
}

TEST_F(type1, dma_cc)
{
	struct mock strict;

	ASSERT_EQ(0, write_number(SWITCH("coherency"), ENFORCEABLE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &strict));
	EXPECT_EQ(!variant->has_device,
		  container(self->fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	if (variant->has_device)
		ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	EXPECT_EQ(1, container(self->fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
}

/* Everything of a compat IOAS needs one. */
TEST_F(type1, without_an_ioas)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int fd = self->fd;
	__u64 size = self->page;
	__u32 none = 0;

	ASSERT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_CLEAR, &none));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(-ENODEV, command(fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(-ENODEV, map_dma(fd, DMA_RW, self->va, self->page, APERTURE));
	EXPECT_EQ(-ENODEV, unmap_dma(fd, 0, APERTURE, &size));
	/* what is wrong with the structure comes first */
	info.argsz = 15;
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(-EINVAL, map_dma(fd, ~0u, self->va, self->page, APERTURE));
	EXPECT_EQ(-EINVAL, unmap_dma(fd, 8, APERTURE, &size));
	EXPECT_EQ(-EFAULT, command(fd, VFIO_IOMMU_GET_INFO, NULL));
	EXPECT_EQ(-EFAULT, command(fd, VFIO_IOMMU_MAP_DMA, NULL));
	EXPECT_EQ(-EFAULT, command(fd, VFIO_IOMMU_UNMAP_DMA, NULL));
}

TEST_F(type1, chosen_once)
{
	__u64 value = 7;
	int rc;

	ASSERT_EQ(0, option_get(self->fd, IOMMU_OPTION_HUGE_PAGES, self->ioas,
				&value));
	EXPECT_EQ(!can_cut(variant->large_pages, variant->version), value);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
	/* mapped memory cannot be mapped in another way */
	rc = variant->has_device && value && !variant->large_pages ? -EINVAL : 0;
	EXPECT_EQ(rc, container(self->fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	/* version 2 does not switch large pages on again */
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(0, option_get(self->fd, IOMMU_OPTION_HUGE_PAGES, self->ioas,
				&value));
	/* nor did asking for small ones, where it was too late */
	EXPECT_EQ(variant->large_pages || rc, value);
}

/* -- GET_INFO */

/* The last capability, of 32 bytes: type1_dirty.c. */
static bool can_track(bool has_device, bool large_pages)
{
	return has_device && !large_pages;
}

struct answer {
	struct vfio_iommu_type1_info info;
	struct vfio_iommu_type1_info_dma_avail avail;
	__u32 gap;
	struct vfio_iommu_type1_info_cap_iova_range iova;
	struct vfio_iova_range ranges[8];
};

TEST_F(type1, info)
{
	struct answer answer;
	const __u32 ranges = 1;
	const __u32 end = 56 + ranges * 16;
	const bool tracks = can_track(variant->has_device, variant->large_pages);

	ASSERT_EQ(24, sizeof(answer.info));
	ASSERT_EQ(40, offsetof(struct answer, iova));
	memset(&answer, 0xaa, sizeof(answer));
	answer.info.argsz = sizeof(answer);
	ASSERT_EQ(0, command(self->fd, VFIO_IOMMU_GET_INFO, &answer));
	EXPECT_EQ(end + tracks * 32, answer.info.argsz);
	EXPECT_EQ(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
		  answer.info.flags);
	EXPECT_EQ(variant->has_device ? self->page : ~0ULL & -self->page,
		  answer.info.iova_pgsizes);
	EXPECT_EQ(24, answer.info.cap_offset);
	EXPECT_EQ(0, answer.info.pad);
	EXPECT_EQ(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, answer.avail.header.id);
	EXPECT_EQ(1, answer.avail.header.version);
	EXPECT_EQ(40, answer.avail.header.next);
	EXPECT_EQ(UINT32_MAX, answer.avail.avail);
	EXPECT_EQ(0, answer.gap);
	EXPECT_EQ(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, answer.iova.header.id);
	EXPECT_EQ(1, answer.iova.header.version);
	EXPECT_EQ(tracks * end, answer.iova.header.next);
	EXPECT_EQ(ranges, answer.iova.nr_iovas);
	EXPECT_EQ(0, answer.iova.reserved);
	EXPECT_EQ(variant->has_device ? MOCK_APERTURE_START : 0,
		  answer.ranges[0].start);
	EXPECT_EQ(variant->has_device ? MOCK_APERTURE_LAST : UINT64_MAX,
		  answer.ranges[0].end);
	EXPECT_EQ(0xaaaaaaaaaaaaaaaaULL, answer.ranges[1 + tracks * 2].start);
}

/* Two IOMMUs with no page size in common: what programs map are pages. */
TEST_F(type1, info_of_different_iommus)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct mock exact, arm;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &exact));
	ASSERT_EQ(0, set_driver("arm"));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &arm));
	EXPECT_NE(exact.hwpt, arm.hwpt);
	ASSERT_EQ(0, command(self->fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(self->page, info.iova_pgsizes);
	EXPECT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
}

/* Too little room: how much it takes, and nothing behind the end. Scenario 45. */
TEST_F(type1, info_without_room)
{
	const bool tracks = can_track(variant->has_device, variant->large_pages);
	const __u32 total = 56 + 3 * 16 + tracks * 32;
	__u32 room, i;

	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, 2 * APERTURE, 1));
	ASSERT_EQ(0, add_reserved(self->fd, self->ioas, 3 * APERTURE, 1));
	for (room = 16; room <= total; room++) {
		union {
			struct answer answer;
			unsigned char bytes[sizeof(struct answer)];
		} u;

		memset(&u, 0xaa, sizeof(u));
		u.answer.info.argsz = room;
		ASSERT_EQ(0, command(self->fd, VFIO_IOMMU_GET_INFO, &u));
		ASSERT_EQ(total, u.answer.info.argsz);
		ASSERT_EQ(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
			  u.answer.info.flags);
		if (room >= sizeof(u.answer.info))
			ASSERT_EQ(room < total ? 0 : 24,
				  u.answer.info.cap_offset);
		for (i = room; i < sizeof(u); i++)
			ASSERT_EQ(0xaa, u.bytes[i]);
		if (room == total)
			EXPECT_EQ(3, u.answer.iova.nr_iovas);
	}
}

/* -- map */

TEST_F(type1, map_errors)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = 31,
		.vaddr = self->va,
		.iova = APERTURE,
		.size = self->page,
	};
	int fd = self->fd;

	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_MAP_DMA, &arg));
	EXPECT_EQ(-EINVAL, map_dma(fd, 4, self->va, self->page, APERTURE));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, self->va, 0, APERTURE));
	EXPECT_EQ(-EOVERFLOW, map_dma(fd, DMA_RW, -self->page, 2 * self->page,
				      APERTURE));
	EXPECT_EQ(-EOVERFLOW, map_dma(fd, DMA_RW, self->va, 2 * self->page,
				      -self->page));
	ASSERT_EQ(0, map_dma(fd, DMA_RW, self->va, 2 * self->page, APERTURE));
	EXPECT_EQ(-EEXIST, map_dma(fd, DMA_RW, self->va, self->page,
				   APERTURE + self->page));
	ASSERT_EQ(0, add_reserved(fd, self->ioas, 2 * APERTURE, 1));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, self->va, self->page,
				   2 * APERTURE));
	if (!variant->has_device)
		return;
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, self->va, self->page, 0));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, self->va, self->page,
				   3 * APERTURE + 1));
	EXPECT_EQ(-EFAULT, map_dma(fd, DMA_RW, self->page, self->page,
				   3 * APERTURE));
	EXPECT_EQ(0, check_map(fd, self->mock.hwpt, self->va, 2 * self->page,
			       APERTURE));
}

/*
 * Neither for reading nor for writing. The header says that one is required, VFIO's
 * own driver says EINVAL, and iommufd leaves it to the IOMMU driver.
 */
TEST_F(type1, map_without_access)
{
	static const char *const refuse[] = { "vtd", "amd", "arm" };
	__u64 va = self->va, size = 0;
	unsigned int i;

	EXPECT_EQ(0, map_dma(self->fd, 0, va, self->page, APERTURE));
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(self->page, size);
	for (i = 0; i < 3; i++) {
		struct mock mock;
		__u32 ioas;

		ASSERT_EQ(0, set_driver(refuse[i]));
		ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
		ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &ioas));
		ASSERT_EQ(0, map_dma(self->fd, 0, va, self->page, APERTURE));
		EXPECT_EQ(-EINVAL, mock_device(self->fd, ioas, &mock));
		ASSERT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, (size = 0, &size)));
		ASSERT_EQ(0, mock_device(self->fd, ioas, &mock));
		EXPECT_EQ(-EINVAL, map_dma(self->fd, 0, va, self->page, APERTURE));
		EXPECT_EQ(0, check_refs(self->fd, va, self->page, 0));
	}
}

/* What a newer program has behind the end belongs to flags that it does not set. */
TEST_F(type1, longer_structures)
{
	struct vfio_iommu_type1_dma_unmap *unmap_arg;
	struct vfio_iommu_type1_dma_map *map_arg;
	char *pages = anonymous(2 * self->page);

	ASSERT_NE(NULL, pages);
	/* nor is it read, for it cannot be */
	ASSERT_EQ(0, munmap(pages + self->page, self->page));
	map_arg = (void *)(pages + self->page - sizeof(*map_arg));
	*map_arg = (struct vfio_iommu_type1_dma_map){
		.argsz = UINT32_MAX,
		.flags = DMA_RW,
		.vaddr = self->va,
		.iova = APERTURE,
		.size = self->page,
	};
	EXPECT_EQ(0, command(self->fd, VFIO_IOMMU_MAP_DMA, map_arg));
	unmap_arg = (void *)(pages + self->page - sizeof(*unmap_arg));
	*unmap_arg = (struct vfio_iommu_type1_dma_unmap){
		.argsz = UINT32_MAX,
		.iova = APERTURE,
		.size = self->bytes,
	};
	EXPECT_EQ(0, command(self->fd, VFIO_IOMMU_UNMAP_DMA, unmap_arg));
	EXPECT_EQ(self->page, unmap_arg->size);
	EXPECT_EQ(UINT32_MAX, unmap_arg->argsz);
	munmap(pages, self->page);
}

/* -- unmap */

TEST_F(type1, unmap_errors)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = 23,
		.iova = APERTURE,
		.size = self->page,
	};
	int fd = self->fd;
	__u64 size = self->page;

	ASSERT_EQ(0, map_dma(fd, DMA_RW, self->va, self->page, APERTURE));
	EXPECT_EQ(-EINVAL, command(fd, VFIO_IOMMU_UNMAP_DMA, &arg));
	EXPECT_EQ(-EINVAL, unmap_dma(fd, 8, APERTURE, &size));
	EXPECT_EQ(-EINVAL, unmap_dma(fd, VFIO_DMA_UNMAP_FLAG_VADDR, APERTURE,
				     &size));
	EXPECT_EQ(-EINVAL, unmap_dma(fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(self->page, size);
	size = 0;
	EXPECT_EQ(-EINVAL, unmap_dma(fd, UNMAP_ALL, APERTURE, &size));
	EXPECT_EQ(-EINVAL, unmap_dma(fd, 0, APERTURE, &size));
	size = 2 * self->page;
	EXPECT_EQ(-EOVERFLOW, unmap_dma(fd, 0, -self->page, &size));
	EXPECT_EQ(2 * self->page, size);
	size = self->page;
	EXPECT_EQ(0, unmap_dma(fd, 0, APERTURE, &size));
	EXPECT_EQ(self->page, size);
}

/* Nothing is not an error. Scenario 4. */
TEST_F(type1, unmap_nothing)
{
	__u64 size = self->bytes;

	EXPECT_EQ(0, unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(0, size);
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(0, size);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	size = self->page;
	EXPECT_EQ(0, unmap_dma(self->fd, 0, APERTURE + self->bytes, &size));
	EXPECT_EQ(0, size);
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(self->bytes, size);
}

/* More than there is: what there was is said. */
TEST_F(type1, unmap_more)
{
	__u64 size = 1UL << 28;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page,
			     APERTURE + self->page));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 2 * self->page,
			     APERTURE + 8 * self->page));
	EXPECT_EQ(0, unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(3 * self->page, size);
}

/* The last byte of the address space can be mapped and unmapped. Scenario 43. */
TEST_F(type1, unmap_at_the_end)
{
	__u64 size = self->page;

	if (variant->has_device)
		SKIP(return, "the mock does not translate there");
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, -self->page));
	EXPECT_EQ(0, unmap_dma(self->fd, 0, -self->page, &size));
	EXPECT_EQ(self->page, size);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 2 * self->page,
			     -2 * self->page));
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, (size = 0, &size)));
	EXPECT_EQ(2 * self->page, size);
}

/* A mapping up to the last byte, of which a part is unmapped. Scenario 43. */
TEST_F(type1, unmap_a_part_at_the_end)
{
	bool cuts = can_cut(variant->large_pages, variant->version);
	bool is_v2 = variant->version == VFIO_TYPE1v2_IOMMU;
	__u64 size = self->page;

	if (variant->has_device)
		SKIP(return, "the mock does not translate there");
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 3 * self->page,
			     -3 * self->page));
	EXPECT_EQ(is_v2 ? -ENOENT : 0,
		  unmap_dma(self->fd, 0, -self->page, &size));
	EXPECT_EQ(cuts ? self->page : 0, size);
	size = self->page;
	EXPECT_EQ(is_v2 ? -ENOENT : 0,
		  unmap_dma(self->fd, 0, -3 * self->page, &size));
	EXPECT_EQ(cuts ? self->page : is_v2 ? 0 : 3 * self->page, size);
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(cuts ? self->page : is_v2 ? 3 * self->page : 0, size);
}

/* The same with a device that reaches that far. Scenario 43. */
TEST_F(type1, device_at_the_end)
{
	__u64 end = -2 * self->page;
	__u64 size = self->page;
	struct mock mock;
	__u32 ioas;

	ASSERT_EQ(0, set_windows(0, HUGE_BYTES - 1, -16 * self->page, UINT64_MAX));
	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, vfio_ioas(self->fd, IOMMU_VFIO_IOAS_SET, &ioas));
	ASSERT_EQ(0, mock_device(self->fd, ioas, &mock));
	ASSERT_EQ(0, container(self->fd, VFIO_SET_IOMMU, variant->version));
	EXPECT_EQ(-EOVERFLOW, map_dma(self->fd, DMA_RW, self->va, 3 * self->page,
				      end));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, end));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page,
			     end + self->page));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, self->page,
			       end + self->page));
	EXPECT_EQ(0, unmap_dma(self->fd, 0, end + self->page, &size));
	EXPECT_EQ(self->page, size);
	EXPECT_EQ(-EINVAL, check_map(self->fd, mock.hwpt, self->va, self->page,
				     end + self->page));
	size = 2 * self->page;
	EXPECT_EQ(0, unmap_dma(self->fd, 0, end, &size));
	EXPECT_EQ(self->page, size);
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

/*
 * Part of a mapping: cut in version 1, refused in version 2, and in version 1 with
 * large pages all of it goes if its first byte does. Never "done" while something
 * asked for is still mapped. Scenario 43.
 */
TEST_F(type1, unmap_a_part)
{
	bool cuts = can_cut(variant->large_pages, variant->version);
	bool is_v2 = variant->version == VFIO_TYPE1v2_IOMMU;
	__u64 size = 2 * self->page;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	/* the middle */
	EXPECT_EQ(is_v2 ? -ENOENT : 0,
		  unmap_dma(self->fd, 0, APERTURE + 2 * self->page, &size));
	EXPECT_EQ(cuts ? 2 * self->page : 0, size);
	if (variant->has_device && cuts) {
		__u32 hwpt = self->mock.hwpt;
		__u64 past = 4 * self->page;

		EXPECT_TRUE(is_empty(self->fd, hwpt, self->va + 2 * self->page,
				     2 * self->page, APERTURE + 2 * self->page));
		EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, 2 * self->page,
				       APERTURE));
		EXPECT_EQ(0, check_map(self->fd, hwpt, self->va + past,
				       self->bytes - past, APERTURE + past));
	} else if (variant->has_device) {
		EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, self->va,
				       self->bytes, APERTURE));
	}
	/* the beginning */
	size = self->page;
	EXPECT_EQ(is_v2 ? -ENOENT : 0, unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(cuts ? self->page : is_v2 ? 0 : self->bytes, size);
	/* what is left */
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(cuts ? self->bytes - 3 * self->page : is_v2 ? self->bytes : 0,
		  size);
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->bytes, 0));
}

/* In any order, each page by itself. Scenario 7. */
TEST_F(type1, unmap_page_by_page)
{
	unsigned int i;

	if (!can_cut(variant->large_pages, variant->version))
		SKIP(return, "mappings are not cut");
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	for (i = 0; i < 64; i++) {
		/* 37 has no divisor in common with 64 */
		__u64 offset = i * 37 % 64 * self->page;
		__u64 size = self->page;

		ASSERT_EQ(0, unmap_dma(self->fd, 0, APERTURE + offset, &size));
		ASSERT_EQ(self->page, size);
		ASSERT_EQ(0, check_refs(self->fd, self->va + offset, self->page,
					0));
	}
}

/* A piece of a huge page. */
TEST_F(type1, unmap_huge_pages)
{
	void *huge = huge_pages(HUGE_BYTES);
	__u64 size = HUGE_BYTES / 2;

	if (!huge)
		SKIP(return, "there are no huge pages");
	if (!can_cut(variant->large_pages, variant->version))
		SKIP(return, "mappings are not cut");
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, (uintptr_t)huge, HUGE_BYTES,
			     4 * APERTURE));
	EXPECT_EQ(0, unmap_dma(self->fd, 0, 4 * APERTURE + HUGE_BYTES / 4, &size));
	EXPECT_EQ(HUGE_BYTES / 2, size);
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(HUGE_BYTES / 2, size);
	munmap(huge, HUGE_BYTES);
}

/*
 * The last one begins in the range and ends behind it. In version 2 none is unmapped
 * then: so does VFIO's own driver.
 */
TEST_F(type1, unmap_ends_in_a_mapping)
{
	bool cuts = can_cut(variant->large_pages, variant->version);
	bool is_v2 = variant->version == VFIO_TYPE1v2_IOMMU;
	__u64 size = 3 * self->page;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 4 * self->page,
			     APERTURE + self->page));
	EXPECT_EQ(is_v2 ? -ENOENT : 0, unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(cuts ? 3 * self->page : is_v2 ? 0 : 5 * self->page, size);
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(cuts ? 2 * self->page : is_v2 ? 5 * self->page : 0, size);
}

/* An unmap that cannot go all the way says how far it came. Scenario 3. */
TEST_F(type1, unmap_fails_half_way)
{
	__u64 size = 4 * self->page;
	int access;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, 3 * self->page,
			     APERTURE + self->page));
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "Y"));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &access));
	ASSERT_EQ(0, pin(self->fd, access, APERTURE + 2 * self->page, self->page,
			 0, NULL));
	EXPECT_EQ(-EDEADLOCK, unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(self->page, size);
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "N"));
	ASSERT_EQ(0, close(access));
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(3 * self->page, size);
}

/* Half a page of a mapping, and half a page where nothing is. */
TEST_F(type1, unmap_pieces)
{
	bool cuts = can_cut(variant->large_pages, variant->version);
	bool is_v2 = variant->version == VFIO_TYPE1v2_IOMMU;
	__u64 size = self->page / 2;

	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
	EXPECT_EQ(is_v2 ? -ENOENT : -EINVAL,
		  unmap_dma(self->fd, 0, APERTURE, &size));
	EXPECT_EQ(is_v2 ? 0 : self->page / 2, size);
	/* VFIO's own driver, whose rules are those of large pages, looks no further */
	size = self->page / 2;
	EXPECT_EQ(cuts || is_v2 ? 0 : -EINVAL,
		  unmap_dma(self->fd, 0, 2 * APERTURE, &size));
	size = self->page;
	EXPECT_EQ(cuts || is_v2 ? 0 : -EINVAL,
		  unmap_dma(self->fd, 0, 2 * APERTURE + 1, &size));
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(self->page, size);
}

/* A cut at what is not the border of a page, or through a pin, is refused. */
TEST_F(type1, cut_refused)
{
	__u64 size = 3 * self->page;
	int access;

	if (!can_cut(variant->large_pages, variant->version))
		SKIP(return, "mappings are not cut");
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->bytes, APERTURE));
	EXPECT_EQ(-EINVAL, unmap_dma(self->fd, 0, APERTURE + self->page / 2,
				     &size));
	EXPECT_EQ(3 * self->page, size);
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &access));
	ASSERT_EQ(0, pin(self->fd, access, APERTURE, self->page, 0, NULL));
	EXPECT_EQ(-EBUSY, unmap_dma(self->fd, 0, APERTURE + self->page, &size));
	EXPECT_EQ(3 * self->page, size);
	ASSERT_EQ(0, close(access));
	EXPECT_EQ(0, unmap_dma(self->fd, 0, APERTURE + self->page, &size));
	EXPECT_EQ(3 * self->page, size);
}

/* The answer can be written, or nothing happens. */
TEST_F(type1, unmap_answer_in_read_only_memory)
{
	struct vfio_iommu_type1_dma_unmap *arg = anonymous(self->page);
	__u64 size = 0;

	ASSERT_NE(NULL, arg);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, self->va, self->page, APERTURE));
	arg->argsz = sizeof(*arg);
	arg->iova = APERTURE;
	arg->size = self->page;
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, VFIO_IOMMU_UNMAP_DMA, arg));
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(self->page, size);
	munmap(arg, self->page);
}

TEST_HARNESS_MAIN
