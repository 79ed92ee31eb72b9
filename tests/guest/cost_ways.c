// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways to map memory for a device: an IOAS, a file of /dev/iommu as the container
 * of a VFIO group, VFIO's own container, and the floor.
 */
#include <unistd.h>

#include <linux/vfio.h>

#include "cost.h"
#include "harness.h"

#define LARGE_PAGES	"/sys/module/iommufd/parameters/type1_v1_large_pages"

static void ioas_open(struct way_user *user)
{
	rig_open(&user->rig, EDU);
}

static void ioas_open_no_domain(struct way_user *user)
{
	rig_bind(&user->rig, EDU);
}

static void ioas_close(struct way_user *user)
{
	rig_close(&user->rig);
}

static int ioas_map(struct way_user *user, void *va, size_t bytes, uint64_t iova)
{
	return map_at(&user->rig, va, bytes, iova);
}

static int ioas_unmap(struct way_user *user, uint64_t iova, size_t bytes)
{
	return unmap(&user->rig, iova, bytes);
}

static int ioas_unmap_all(struct way_user *user)
{
	return unmap(&user->rig, 0, UINT64_MAX);
}

static void compat1_open(struct way_user *user)
{
	container_open(&user->container, IOMMUFD_CONTAINER, EDU, VFIO_TYPE1_IOMMU);
}

/* Version 1 with large pages is ours alone. */
static int large1_exists(void)
{
	return !access(LARGE_PAGES, W_OK);
}

static void large1_open(struct way_user *user)
{
	write_or_fail(LARGE_PAGES, "Y");
	compat1_open(user);
	write_or_fail(LARGE_PAGES, "N");
}

static void compat2_open(struct way_user *user)
{
	container_open(&user->container, IOMMUFD_CONTAINER, EDU,
		       VFIO_TYPE1v2_IOMMU);
}

static void type1v1_open(struct way_user *user)
{
	container_open(&user->container, LEGACY_CONTAINER, EDU, VFIO_TYPE1_IOMMU);
}

static void type1_open(struct way_user *user)
{
	container_open(&user->container, LEGACY_CONTAINER, EDU, VFIO_TYPE1v2_IOMMU);
}

static void type1_close(struct way_user *user)
{
	container_close(&user->container);
}

static int type1_map(struct way_user *user, void *va, size_t bytes, uint64_t iova)
{
	return container_map(&user->container, va, bytes, iova);
}

static int type1_unmap(struct way_user *user, uint64_t iova, size_t bytes)
{
	uint64_t size = bytes;

	return container_unmap(&user->container, 0, iova, &size);
}

static int type1_unmap_all(struct way_user *user)
{
	uint64_t size = 0;

	return container_unmap(&user->container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size);
}

static void floor_way_open(struct way_user *user)
{
	user->floor = floor_open();
	floor_attach(user->floor, EDU);
}

static void floor_way_close(struct way_user *user)
{
	close(user->floor);
}

static int floor_way_map(struct way_user *user, void *va, size_t bytes,
			 uint64_t iova)
{
	return floor_map(user->floor, va, bytes, iova);
}

static int floor_way_unmap(struct way_user *user, uint64_t iova, size_t bytes)
{
	/* It has one range at a time. */
	(void)iova;
	(void)bytes;
	return floor_unmap(user->floor);
}

static void ioas_guard(struct way_user *user, void *va, uint64_t iova)
{
	EXPECT(ioas_map(user, va, PAGE, iova), 0);
}

static void type1_guard(struct way_user *user, void *va, uint64_t iova)
{
	EXPECT(type1_map(user, va, PAGE, iova), 0);
}

static void floor_way_guard(struct way_user *user, void *va, uint64_t iova)
{
	(void)va;
	floor_guard(user->floor, iova);
}

static const struct way_ops ioas_ops = {
	ioas_close, ioas_map, ioas_unmap, ioas_unmap_all, ioas_guard,
};

static const struct way_ops type1_ops = {
	type1_close, type1_map, type1_unmap, type1_unmap_all, type1_guard,
};

static const struct way_ops floor_ops = {
	floor_way_close, floor_way_map, floor_way_unmap, NULL, floor_way_guard,
};

const struct way ways[] = {
	{ "ioas", "", ioas_open, &ioas_ops, NULL },
	{ "no_domain", "no_domain_", ioas_open_no_domain, &ioas_ops, NULL },
	{ "compat1", "compat1_", compat1_open, &type1_ops, NULL },
	{ "large1", "large1_", large1_open, &type1_ops, large1_exists },
	{ "compat2", "compat2_", compat2_open, &type1_ops, NULL },
	{ "type1v1", "type1v1_", type1v1_open, &type1_ops, NULL },
	{ "type1", "type1_", type1_open, &type1_ops, NULL },
	{ "floor", "floor_", floor_way_open, &floor_ops, NULL },
	{ }
};
