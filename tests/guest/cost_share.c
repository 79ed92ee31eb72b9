// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to show memory once more: in a domain that is attached, and in
 * another IOAS.
 *
 * Both devices of a machine with one IOMMU would share a domain in one IOAS. So
 * the second domain is that of a second IOAS, with the memory copied there: then
 * its pages are pinned already and their PFNs known, as they are when a second
 * domain comes to the same IOAS.
 */
#include <linux/iommufd.h>

#include "cost.h"
#include "harness.h"

struct sharing {
	struct rig rig;		/* where the memory is mapped */
	struct vfio_dev dev;	/* the second device */
	uint32_t ioas_id;	/* of the second IOAS */
};

static void copy(void *arg)
{
	struct sharing *sharing = arg;
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.dst_ioas_id = sharing->ioas_id,
		.src_ioas_id = sharing->rig.space.ioas_id,
		.length = BYTES,
		.dst_iova = IOVA,
		.src_iova = IOVA,
	};

	EXPECT(raw_ioctl(sharing->rig.space.iommufd, IOMMU_IOAS_COPY, &cmd), 0);
}

static void unmap_copy(void *arg)
{
	struct sharing *sharing = arg;

	EXPECT(iommu_unmap(sharing->rig.space.iommufd, sharing->ioas_id, IOVA,
			   BYTES, NULL), 0);
}

static void attach(void *arg)
{
	struct sharing *sharing = arg;
	uint32_t pt_id = sharing->ioas_id;

	EXPECT(vfio_dev_attach(&sharing->dev, &pt_id), 0);
}

static void detach(void *arg)
{
	struct sharing *sharing = arg;

	EXPECT(vfio_dev_detach(&sharing->dev), 0);
}

static void sharing_open(struct sharing *sharing, const struct memory *memory)
{
	int fd;

	rig_open(&sharing->rig, EDU);
	fd = sharing->rig.space.iommufd;
	EXPECT(map_at(&sharing->rig, memory->va, BYTES, IOVA), 0);
	EXPECT(iommu_ioas_alloc(fd, &sharing->ioas_id), 0);
	bind_device(&sharing->dev, NVME, fd);
}

static void sharing_close(struct sharing *sharing)
{
	vfio_dev_close(&sharing->dev);
	rig_close(&sharing->rig);
}

static void measure_copies(struct sharing *sharing, const struct memory *memory)
{
	const struct duo duo = { .make = copy, .undo = unmap_copy, .arg = sharing };

	attach(sharing);
	measure_and_print(&duo, memory->rounds, "copy", "unmap_copy", memory->name,
			  BYTES / PAGE);
	detach(sharing);
}

/* First with a domain that shows the memory already, then with none. */
static void measure_attaches(struct sharing *sharing, const struct memory *memory)
{
	const struct duo duo = { .make = attach, .undo = detach, .arg = sharing };

	copy(sharing);
	measure_and_print(&duo, memory->rounds, "attach_more", "detach_more",
			  memory->name, BYTES / PAGE);
	EXPECT(vfio_dev_detach(&sharing->rig.dev), 0);
	measure_and_print(&duo, memory->rounds, "attach", "detach", memory->name,
			  BYTES / PAGE);
}

void measure_share(const struct memory *memory)
{
	struct sharing sharing;

	sharing_open(&sharing, memory);
	measure_copies(&sharing, memory);
	measure_attaches(&sharing, memory);
	sharing_close(&sharing);
}
