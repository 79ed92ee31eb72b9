// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's type1 interface: map and unmap.
 *
 * The structures say how long they are with their first field, argsz. What comes
 * behind the part that is understood belongs to flags that are not, and is not
 * looked at.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "vfio_compat.h"

static int iommufd_vfio_map(struct iommufd_ctx *ictx, struct iommufd_ioas *ioas,
			    const struct vfio_iommu_type1_dma_map *map)
{
	struct iopt_map_request request = {
		.uptr = map->vaddr,
		.length = map->size,
		.iova = map->iova,
		.fixed_iova = true,
		.is_final = true,
		.iommu_prot = IOMMU_CACHE,
		.account_mode = iommufd_account_mode(ictx),
	};
	struct iopt_pending pending = {};
	int rc;

	if (overflows_type(map->vaddr, request.uptr) ||
	    overflows_type(map->size, request.length) ||
	    overflows_type(map->iova, request.iova))
		return -EOVERFLOW;
	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		request.iommu_prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		request.iommu_prot |= IOMMU_WRITE;

	rc = iopt_map_begin(&ioas->iopt, &request, &pending);
	if (pending.iopt)
		iopt_pending_abort(&pending);
	return rc;
}

/**
 * iommufd_vfio_map_dma - VFIO_IOMMU_MAP_DMA
 * @ictx: the file
 * @arg: struct vfio_iommu_type1_dma_map
 *
 * Context: Process context, may sleep as long as user space likes.
 * Return: 0; -EFAULT, -EINVAL a short structure or a flag that is not understood;
 * -ENODEV no compat IOAS; -EOVERFLOW, or as iopt_map_begin().
 */
int iommufd_vfio_map_dma(struct iommufd_ctx *ictx, void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_dma_map, size);
	struct vfio_iommu_type1_dma_map map;
	struct iommufd_ioas *ioas;
	int rc;

	if (copy_from_user(&map, arg, min_size))
		return -EFAULT;
	if (map.argsz < min_size ||
	    map.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;

	ioas = iommufd_vfio_get_ioas(ictx);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	rc = iommufd_vfio_map(ictx, ioas, &map);
	iommufd_object_put(&ioas->obj);
	return rc;
}

/*
 * An unmap of type1 in its first version begins and ends wherever it likes. The
 * cuts come first: when one is refused, nothing has happened.
 */
static int iommufd_vfio_cut(struct io_pagetable *iopt, unsigned long first_iova,
			    unsigned long last_iova)
{
	int rc;

	rc = iopt_cut(iopt, first_iova);
	if (rc || last_iova == ULONG_MAX)
		return rc;
	return iopt_cut(iopt, last_iova + 1);
}

static int iommufd_vfio_unmap_range(struct iommufd_ctx *ictx,
				    struct io_pagetable *iopt,
				    struct vfio_iommu_type1_dma_unmap *unmap)
{
	unsigned long first_iova = unmap->iova;
	unsigned long last_iova, unmapped_bytes = 0;
	bool unmaps_whole = READ_ONCE(ictx->unmaps_whole);
	int rc;

	if (!unmap->size)
		return -EINVAL;
	/* The driver whose rules these are looks for mappings at pages only. */
	if (unmaps_whole && !PAGE_ALIGNED(unmap->iova | unmap->size))
		return -EINVAL;
	if (overflows_type(unmap->iova, first_iova) ||
	    check_add_overflow(unmap->iova, unmap->size - 1, &last_iova))
		return -EOVERFLOW;
	if (unmaps_whole) {
		rc = iopt_unmap_whole(iopt, first_iova, last_iova,
				      &unmapped_bytes);
	} else if (READ_ONCE(iopt->domains.small_pages)) {
		rc = iommufd_vfio_cut(iopt, first_iova, last_iova);
		if (rc)
			return rc;
		rc = iopt_unmap_any(iopt, first_iova, last_iova,
				    &unmapped_bytes);
	} else {
		rc = iopt_check_ends(iopt, first_iova, last_iova);
		if (!rc)
			rc = iopt_unmap_any(iopt, first_iova, last_iova,
					    &unmapped_bytes);
	}
	unmap->size = unmapped_bytes;
	return rc;
}

/* @bitmap: what is dirty goes there; NULL: nobody wants to know. */
static int iommufd_vfio_unmap(struct iommufd_ctx *ictx,
			      struct vfio_iommu_type1_dma_unmap *unmap,
			      const struct vfio_bitmap *bitmap)
{
	struct iommufd_ioas *ioas = iommufd_vfio_get_ioas(ictx);
	unsigned long unmapped_bytes;
	int rc = 0;

	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		rc = iopt_unmap_all(&ioas->iopt, &unmapped_bytes);
		unmap->size = unmapped_bytes;
	} else {
		if (bitmap)
			rc = iommufd_vfio_report_dirty(ictx, &ioas->iopt, unmap,
						       bitmap);
		if (!rc)
			rc = iommufd_vfio_unmap_range(ictx, &ioas->iopt, unmap);
	}
	iommufd_object_put(&ioas->obj);
	return rc;
}

/* Return: the flags that are understood. */
static u32 iommufd_vfio_unmap_flags(void)
{
	u32 flags = VFIO_DMA_UNMAP_FLAG_ALL;

	if (iommufd_drivers_record_dirty())
		flags |= VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	return flags;
}

/* Return: 0; -EFAULT, -EINVAL the structure is too short for its flags. */
static int iommufd_vfio_copy_bitmap(const struct vfio_iommu_type1_dma_unmap *unmap,
				    const void __user *user_bitmap,
				    struct vfio_bitmap *bitmap)
{
	if (unmap->argsz < sizeof(*unmap) + sizeof(*bitmap) ||
	    unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL)
		return -EINVAL;
	return copy_from_user(bitmap, user_bitmap, sizeof(*bitmap)) ? -EFAULT : 0;
}

/**
 * iommufd_vfio_unmap_dma - VFIO_IOMMU_UNMAP_DMA
 * @ictx: the file
 * @arg: struct vfio_iommu_type1_dma_unmap; the size is what has been unmapped, also
 *	after an error on the way
 *
 * Context: Process context, may sleep.
 * Return: 0, also if there is nothing; -EFAULT, -EINVAL a short structure, a flag
 * that is not understood, a size of 0, or one with FLAG_ALL; -ENODEV no compat
 * IOAS; -EOVERFLOW; -ENOENT a mapping would be cut, or as iopt_cut(), iopt_unmap()
 * and, with GET_DIRTY_BITMAP, iommufd_vfio_report_dirty().
 */
int iommufd_vfio_unmap_dma(struct iommufd_ctx *ictx, void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_dma_unmap,
					 size);
	struct vfio_iommu_type1_dma_unmap __user *user_unmap = arg;
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
	bool has_bitmap;
	u64 size;
	int rc;

	if (copy_from_user(&unmap, arg, min_size))
		return -EFAULT;
	if (unmap.argsz < min_size || unmap.flags & ~iommufd_vfio_unmap_flags())
		return -EINVAL;
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL && (unmap.iova || unmap.size))
		return -EINVAL;
	has_bitmap = unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	if (has_bitmap) {
		rc = iommufd_vfio_copy_bitmap(&unmap, user_unmap->data, &bitmap);
		if (rc)
			return rc;
	}
	/* Find out while nothing has happened that the answer cannot be written. */
	if (put_user(unmap.size, &user_unmap->size))
		return -EFAULT;

	size = unmap.size;
	rc = iommufd_vfio_unmap(ictx, &unmap, has_bitmap ? &bitmap : NULL);
	if (unmap.size != size && put_user(unmap.size, &user_unmap->size))
		return rc ?: -EFAULT;
	return rc;
}
