/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bitmap in user memory into which drivers record dirty IOVA.
 *
 * Included by linux/iommu.h and linux/vfio.h, hence by everything: it must not
 * pull in more than types and error numbers.
 */
#ifndef __LINUX_IOVA_BITMAP_H
#define __LINUX_IOVA_BITMAP_H

#include <linux/errno.h>
#include <linux/types.h>

struct iova_bitmap;

/*
 * A bitmap of this length is pinned as a whole before anything is read into it.
 * With 4 KiB granules it stands for 32 GiB.
 */
#define IOVA_BITMAP_WINDOW_BYTES (1024UL * 1024)

/**
 * typedef iova_bitmap_fn_t - What iova_bitmap_for_each() calls
 * @bitmap: to be passed on to iova_bitmap_set()
 * @iova: lowest address the bitmap stands for
 * @length: bytes from there
 * @opaque: what the caller of iova_bitmap_for_each() gave
 *
 * Hands every dirty page of the range to iova_bitmap_set().
 *
 * Return: 0 or a negative errno, which becomes that of iova_bitmap_for_each().
 */
typedef int (*iova_bitmap_fn_t)(struct iova_bitmap *bitmap, unsigned long iova,
				size_t length, void *opaque);

#if IS_ENABLED(CONFIG_IOMMUFD_DRIVER)

void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova,
		     size_t length);
int iova_bitmap_for_each(struct iova_bitmap *bitmap, void *opaque,
			 iova_bitmap_fn_t fn);
struct iova_bitmap *iova_bitmap_alloc(unsigned long iova, size_t length,
				      unsigned long page_size,
				      u64 __user *data);
void iova_bitmap_free(struct iova_bitmap *bitmap);

#else /* nothing can record dirty pages */

static inline void iova_bitmap_set(struct iova_bitmap *bitmap,
				   unsigned long iova, size_t length)
{
}

static inline int iova_bitmap_for_each(struct iova_bitmap *bitmap, void *opaque,
				       iova_bitmap_fn_t fn)
{
	return -EOPNOTSUPP;
}

static inline struct iova_bitmap *
iova_bitmap_alloc(unsigned long iova, size_t length, unsigned long page_size,
		  u64 __user *data)
{
	return NULL;
}

static inline void iova_bitmap_free(struct iova_bitmap *bitmap)
{
}

#endif

#endif
