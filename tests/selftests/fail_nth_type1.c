// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every unwind path of VFIO's type1 interface, as fail_nth.c does for the calls of
 * /dev/iommu itself.
 */
#include <linux/types.h>

#include "fail_nth.h"
#include "type1.h"

/* A call that has been refused must have left everything as it was. */
static int expect_shown(struct world *world, const char *call, __u64 bytes)
{
	int rc = check_map(world->fd, world->mock[0].hwpt, world->va, bytes,
			   APERTURE);

	if (rc) {
		world->broken = call;
		world->broken_rc = rc;
	}
	return rc;
}

static int unmap_part(struct world *world, __u64 offset, __u64 bytes)
{
	__u64 size = bytes;
	int rc = unmap_dma(world->fd, 0, APERTURE + offset, &size);

	if (rc)
		return expect_shown(world, "unmap of a part", world->bytes) ?: rc;
	return size == bytes ? 0 : -ENODATA;
}

static int unmap_rest(struct world *world, __u64 bytes)
{
	__u64 size = 0;
	int rc = unmap_dma(world->fd, UNMAP_ALL, 0, &size);

	return rc ?: size == bytes ? 0 : -ENODATA;
}

static int map_all(struct world *world)
{
	return map_dma(world->fd, DMA_RW, world->va, world->bytes, APERTURE);
}

static int map_two(struct world *world)
{
	__u64 half = world->bytes / 2;

	return map_dma(world->fd, DMA_RW, world->va, half, APERTURE) ?:
	       map_dma(world->fd, DMA_RW, world->va + half, half,
		       APERTURE + half);
}

static int prepare_type(struct world *world, unsigned long type)
{
	return vfio_ioas(world->fd, IOMMU_VFIO_IOAS_SET, &world->ioas[0]) ?:
	       mock_device(world->fd, world->ioas[0], &world->mock[0]) ?:
	       container(world->fd, VFIO_SET_IOMMU, type);
}

static int prepare_v1(struct world *world)
{
	return prepare_type(world, VFIO_TYPE1_IOMMU);
}

static int prepare_v2(struct world *world)
{
	return prepare_type(world, VFIO_TYPE1v2_IOMMU);
}

/* The middle of a mapping, then something across the hole. */
static int run_v1(struct world *world)
{
	__u64 page = page_bytes();
	__u64 size = 4 * page;

	return map_all(world) ?:
	       unmap_part(world, 8 * page, 4 * page) ?:
	       unmap_dma(world->fd, 0, APERTURE + 6 * page, &size) ?:
	       MUST(world, unmap_rest(world, world->bytes - 6 * page));
}

/* Scenario 7. */
TEST_F(places, v1)
{
	struct path path = { .prepare = prepare_v1, .run = run_v1 };

	sweep(_metadata, &self->world, &path);
}

/* Nothing is cut: an unmap needs no memory. */
static int unmap_first(struct world *world)
{
	__u64 inside = page_bytes(), first = page_bytes();
	__u64 half = world->bytes / 2;
	int rc;

	rc = MUST(world, unmap_dma(world->fd, 0, APERTURE + page_bytes(),
				   &inside)) ?:
	     MUST(world, unmap_dma(world->fd, 0, APERTURE, &first));
	return rc ?: !inside && first == half ? 0 : -ENODATA;
}

static int run_v1_large(struct world *world)
{
	return map_two(world) ?:
	       unmap_first(world) ?:
	       MUST(world, unmap_rest(world, world->bytes / 2));
}

TEST_F(places, v1_large)
{
	struct path path = { .prepare = prepare_v1, .run = run_v1_large };

	ASSERT_EQ(0, write_text(LARGE_PAGES, "Y"));
	sweep(_metadata, &self->world, &path);
	ASSERT_EQ(0, write_text(LARGE_PAGES, "N"));
}

static int unmap_half(struct world *world)
{
	__u64 size = world->bytes / 2;

	return unmap_dma(world->fd, 0, APERTURE, &size);
}

static int run_v2(struct world *world)
{
	return map_two(world) ?:
	       MUST(world, unmap_half(world)) ?:
	       MUST(world, unmap_rest(world, world->bytes / 2)) ?:
	       map_all(world) ?:
	       MUST(world, unmap_rest(world, world->bytes));
}

TEST_F(places, v2)
{
	struct path path = { .prepare = prepare_v2, .run = run_v2 };

	sweep(_metadata, &self->world, &path);
}

struct answer {
	struct vfio_iommu_type1_info info;
	char chain[256];
};

static int get_info(struct world *world)
{
	struct answer answer = { .info.argsz = sizeof(answer) };
	int rc = command(world->fd, VFIO_IOMMU_GET_INFO, &answer);

	if (rc && answer.info.flags) {
		world->broken = "a failed GET_INFO has written";
		world->broken_rc = rc;
	}
	return rc ?: answer.info.cap_offset ? 0 : -ENODATA;
}

static int choose(struct world *world, __u32 ioas)
{
	__u32 found = 0;

	return vfio_ioas(world->fd, IOMMU_VFIO_IOAS_SET, &ioas) ?:
	       vfio_ioas(world->fd, IOMMU_VFIO_IOAS_GET, &found) ?:
	       found == ioas ? 0 : -ENODATA;
}

/* What changes nothing but the container itself, and a device that comes late. */
static int run_container(struct world *world)
{
	__u32 none = 0;

	return choose(world, world->ioas[1]) ?:
	       choose(world, world->ioas[0]) ?:
	       MUST(world, container(world->fd, VFIO_SET_IOMMU,
				     VFIO_TYPE1_IOMMU)) ?:
	       map_all(world) ?:
	       mock_device(world->fd, world->ioas[0], &world->mock[0]) ?:
	       get_info(world) ?:
	       MUST(world, container(world->fd, VFIO_SET_IOMMU,
				     VFIO_TYPE1v2_IOMMU)) ?:
	       unmap_part(world, page_bytes(), page_bytes()) ?:
	       MUST(world, unmap_rest(world, world->bytes - page_bytes())) ?:
	       MUST(world, vfio_ioas(world->fd, IOMMU_VFIO_IOAS_CLEAR, &none));
}

TEST_F(places, container)
{
	struct path path = { .run = run_container };

	sweep(_metadata, &self->world, &path);
}

TEST_HARNESS_MAIN
