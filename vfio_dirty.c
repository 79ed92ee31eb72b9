// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's type1 interface: which pages devices have written to.
 *
 * It is there if all domains of the compat IOAS can track, which its automatic HWPTs
 * do wherever their devices let them. Otherwise everything here is as if nobody had
 * ever heard of it: a program that is told that all is dirty, always, as VFIO's own
 * driver says, cannot know that it waits in vain for that to become less.
 *
 * Once it is on it stays, whatever comes: iopt_track.c.
 */
#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/overflow.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "vfio_compat.h"

/**
 * iommufd_vfio_can_track - can a program learn which pages are dirty?
 * @ictx: the file
 * @iopt: the map of its compat IOAS
 *
 * Context: Process context.
 * Return: true if VFIO_IOMMU_DIRTY_PAGES is there.
 */
bool iommufd_vfio_can_track(struct iommufd_ctx *ictx, struct io_pagetable *iopt)
{
	if (!iommufd_drivers_record_dirty() || !iopt_can_track(iopt))
		return false;
	/* What is on can be read and switched off. */
	return READ_ONCE(iopt->tracks_dirty) || !READ_ONCE(ictx->unmaps_whole);
}

/* Is the bitmap one of pages, and as long as it has to be? */
static bool iommufd_vfio_bitmap_fits(const struct vfio_bitmap *bitmap,
				     u64 npages)
{
	return bitmap->pgsize == PAGE_SIZE &&
	       bitmap->size <= IOMMUFD_VFIO_MAX_BITMAP_BYTES &&
	       DIV_ROUND_UP_ULL(npages, BITS_PER_TYPE(u64)) <=
		       bitmap->size / sizeof(u64);
}

/*
 * Return: 0; -EINVAL the range does not consist of pages, the bitmap has bits for
 * something else, is too short for the range or longer than any may be, or tracking
 * is off.
 */
static int iommufd_vfio_make_request(const struct io_pagetable *iopt,
				     const struct vfio_bitmap *bitmap,
				     const struct iopt_range *range,
				     struct iopt_dirty_request *request)
{
	unsigned long last_offset = range->last_iova - range->first_iova;

	if (!READ_ONCE(iopt->tracks_dirty) ||
	    !IS_ALIGNED(range->first_iova | (range->last_iova + 1), PAGE_SIZE) ||
	    !iommufd_vfio_bitmap_fits(bitmap, last_offset / PAGE_SIZE + 1))
		return -EINVAL;

	*request = (struct iopt_dirty_request){
		.first_iova = range->first_iova,
		.last_iova = range->last_iova,
		.page_size = PAGE_SIZE,
		.data = bitmap->data,
	};
	return 0;
}

/* Return: 0; -EINVAL there is nothing in it; -EOVERFLOW. */
static int iommufd_vfio_make_range(u64 iova, u64 size, struct iopt_range *range)
{
	if (!size)
		return -EINVAL;
	if (overflows_type(iova, range->first_iova) ||
	    check_add_overflow(iova, size - 1, &range->last_iova))
		return -EOVERFLOW;
	range->first_iova = iova;
	return 0;
}

/**
 * iommufd_vfio_report_dirty - say what is dirty in what is about to be unmapped
 * @ictx: the file
 * @iopt: the map of its compat IOAS
 * @unmap: the size is set to 0 where nothing will be unmapped because a mapping would
 *	be cut
 * @bitmap: as user space has it
 *
 * That is all that devices can write to. No driver reads the dirty bits while it
 * unmaps, and what is written between a read and the unmap would leave no trace. No
 * bit is cleared, so nothing is lost if the unmap fails.
 *
 * Context: Process context, may sleep as long as user space likes.
 * Return: 0; -EOVERFLOW; -EINVAL the range is empty or does not consist of pages, the
 * bitmap does not fit it, tracking is off, or an unmap can go beyond the range;
 * -ENOENT a mapping would be cut; -EFAULT, -ENOMEM, -EINTR.
 */
int iommufd_vfio_report_dirty(struct iommufd_ctx *ictx,
			      struct io_pagetable *iopt,
			      struct vfio_iommu_type1_dma_unmap *unmap,
			      const struct vfio_bitmap *bitmap)
{
	struct iopt_dirty_request request;
	struct iopt_range range;
	int rc;

	rc = iommufd_vfio_make_range(unmap->iova, unmap->size, &range);
	if (rc)
		return rc;
	if (READ_ONCE(ictx->unmaps_whole))
		return -EINVAL;
	rc = iommufd_vfio_make_request(iopt, bitmap, &range, &request);
	if (rc)
		return rc;
	if (!READ_ONCE(iopt->domains.small_pages) &&
	    iopt_check_ends(iopt, range.first_iova, range.last_iova)) {
		unmap->size = 0;
		return -ENOENT;
	}
	return iopt_assume_dirty(iopt, &request);
}

static int iommufd_vfio_get_bitmap(struct io_pagetable *iopt,
				   const struct vfio_iommu_type1_dirty_bitmap *cmd,
				   void __user *arg)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct iopt_dirty_request request;
	struct iopt_range range;
	int rc;

	if (cmd->argsz < sizeof(*cmd) + sizeof(get))
		return -EINVAL;
	if (copy_from_user(&get, arg + sizeof(*cmd), sizeof(get)))
		return -EFAULT;
	if (iommufd_vfio_make_range(get.iova, get.size, &range))
		return -EINVAL;
	rc = iommufd_vfio_make_request(iopt, &get.bitmap, &range, &request);
	return rc ?: iopt_collect_dirty(iopt, &request);
}

static int iommufd_vfio_do_dirty(struct io_pagetable *iopt, void __user *arg)
{
	struct vfio_iommu_type1_dirty_bitmap cmd;

	if (copy_from_user(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	if (cmd.argsz < sizeof(cmd))
		return -EINVAL;
	switch (cmd.flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return iopt_start_tracking(iopt);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		return iopt_stop_tracking(iopt);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return iommufd_vfio_get_bitmap(iopt, &cmd, arg);
	default:
		return -EINVAL;
	}
}

/**
 * iommufd_vfio_dirty_pages - VFIO_IOMMU_DIRTY_PAGES
 * @ictx: the file
 * @arg: struct vfio_iommu_type1_dirty_bitmap, and what is to be got behind it
 *
 * Context: Process context, may sleep as long as user space likes.
 * Return: 0; -ENOIOCTLCMD it is not there; -EFAULT; -EINVAL a short structure, not
 * exactly one flag, the range is empty, wraps or does not consist of pages, the bitmap
 * does not fit it, or tracking is off; or as iopt_start_tracking(),
 * iopt_stop_tracking() and iopt_collect_dirty().
 */
long iommufd_vfio_dirty_pages(struct iommufd_ctx *ictx, void __user *arg)
{
	struct iommufd_ioas *ioas = iommufd_vfio_get_ioas(ictx);
	long rc = -ENOIOCTLCMD;

	if (IS_ERR(ioas))
		return rc;
	if (iommufd_vfio_can_track(ictx, &ioas->iopt))
		rc = iommufd_vfio_do_dirty(&ioas->iopt, arg);
	iommufd_object_put(&ioas->obj);
	return rc;
}
