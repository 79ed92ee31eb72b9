// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's type1 interface: what a container can do.
 *
 * Behind a fixed structure stands a chain of capabilities, of which a program takes
 * those that it knows. A program whose buffer is too small for all of it gets none,
 * learns how much it takes, and asks again.
 */
#include <linux/align.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "vfio_compat.h"

/**
 * struct iommufd_vfio_answer - the answer to VFIO_IOMMU_GET_INFO
 * @info: the whole of it; zeroed
 * @bytes: so long is it so far
 * @next: where the offset of the next capability goes
 * @can_track: dirty pages are among what a container can do
 */
struct iommufd_vfio_answer {
	struct vfio_iommu_type1_info *info;
	u32 bytes;
	u32 *next;
	bool can_track;
};

/* Room for another capability. */
static void *iommufd_vfio_add_cap(struct iommufd_vfio_answer *answer, u16 id,
				  size_t bytes)
{
	struct vfio_info_cap_header *header = (void *)answer->info +
					      answer->bytes;

	header->id = id;
	header->version = 1;
	*answer->next = answer->bytes;
	answer->next = &header->next;
	answer->bytes += ALIGN(bytes, sizeof(u64));
	return header;
}

static size_t iommufd_vfio_ranges_bytes(const struct iommufd_range_list *list)
{
	return struct_size_t(struct vfio_iommu_type1_info_cap_iova_range,
			     iova_ranges, list->total);
}

static void iommufd_vfio_add_ranges(struct iommufd_vfio_answer *answer,
				    const struct iommufd_range_list *list)
{
	struct vfio_iommu_type1_info_cap_iova_range *cap;

	cap = iommufd_vfio_add_cap(answer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
				   iommufd_vfio_ranges_bytes(list));
	cap->nr_iovas = list->total;
	for (size_t i = 0; i < list->total; i++) {
		cap->iova_ranges[i].start = list->ranges[i].first_iova;
		cap->iova_ranges[i].end = list->ranges[i].last_iova;
	}
}

static void iommufd_vfio_add_migration(struct iommufd_vfio_answer *answer)
{
	struct vfio_iommu_type1_info_cap_migration *cap;

	cap = iommufd_vfio_add_cap(answer, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
				   sizeof(*cap));
	cap->pgsize_bitmap = PAGE_SIZE;
	cap->max_dirty_bitmap_size = IOMMUFD_VFIO_MAX_BITMAP_BYTES;
}

/*
 * Mappings are multiples of pages for those who rely on what this says. No domain
 * has a smallest page that is larger, so a page will always do, also for domains
 * that have no size in common.
 */
static u64 iommufd_vfio_page_sizes(struct io_pagetable *iopt)
{
	return (iopt_page_sizes(iopt) & PAGE_MASK) | PAGE_SIZE;
}

static void iommufd_vfio_fill(struct iommufd_vfio_answer *answer,
			      struct io_pagetable *iopt,
			      const struct iommufd_range_list *list)
{
	struct vfio_iommu_type1_info *info = answer->info;
	struct vfio_iommu_type1_info_dma_avail *avail;

	answer->bytes = sizeof(*info);
	answer->next = &info->cap_offset;
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = iommufd_vfio_page_sizes(iopt);

	avail = iommufd_vfio_add_cap(answer, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
				     sizeof(*avail));
	avail->avail = U32_MAX;
	iommufd_vfio_add_ranges(answer, list);
	if (answer->can_track)
		iommufd_vfio_add_migration(answer);
	info->argsz = answer->bytes;
}

/* Return: 0 with an answer to be freed, or -ENOMEM. */
static int iommufd_vfio_make_answer(struct iommufd_vfio_answer *answer,
				    struct io_pagetable *iopt)
{
	struct iommufd_range_list list = {};
	int rc;

	rc = iommufd_list_ranges(iopt, SIZE_MAX, &list);
	if (rc)
		return rc;
	answer->info = kvzalloc(sizeof(*answer->info) +
				ALIGN(sizeof(struct vfio_iommu_type1_info_dma_avail),
				      sizeof(u64)) +
				iommufd_vfio_ranges_bytes(&list) +
				sizeof(struct vfio_iommu_type1_info_cap_migration),
				GFP_KERNEL_ACCOUNT);
	if (answer->info)
		iommufd_vfio_fill(answer, iopt, &list);
	else
		rc = -ENOMEM;
	kvfree(list.ranges);
	return rc;
}

/**
 * iommufd_vfio_get_info - VFIO_IOMMU_GET_INFO
 * @ictx: the file
 * @arg: struct vfio_iommu_type1_info, and as much behind it as argsz says
 *
 * Context: Process context, may sleep.
 * Return: 0; -EFAULT, -EINVAL a short structure, -ENODEV no compat IOAS, -ENOMEM.
 */
int iommufd_vfio_get_info(struct iommufd_ctx *ictx, void __user *arg)
{
	const u32 min_size = offsetofend(struct vfio_iommu_type1_info,
					 iova_pgsizes);
	struct iommufd_vfio_answer answer = {};
	struct iommufd_ioas *ioas;
	u32 argsz;
	int rc;

	if (copy_from_user(&argsz, arg, sizeof(argsz)))
		return -EFAULT;
	if (argsz < min_size)
		return -EINVAL;
	ioas = iommufd_vfio_get_ioas(ictx);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	answer.can_track = iommufd_vfio_can_track(ictx, &ioas->iopt);
	rc = iommufd_vfio_make_answer(&answer, &ioas->iopt);
	iommufd_object_put(&ioas->obj);
	if (rc)
		return rc;

	if (argsz < answer.bytes) {
		answer.info->cap_offset = 0;
		answer.bytes = min_t(u32, argsz, sizeof(*answer.info));
	}
	if (copy_to_user(arg, answer.info, answer.bytes))
		rc = -EFAULT;
	kvfree(answer.info);
	return rc;
}
