/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's users of /dev/iommu call: VFIO, and the drivers behind it.
 *
 * Everything here runs in process context and may sleep.
 */
#ifndef __LINUX_IOMMUFD_H
#define __LINUX_IOMMUFD_H

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/types.h>

struct device;
struct file;
struct iommu_group;
struct page;

/* One open file of /dev/iommu. */
struct iommufd_ctx;
/* A physical device: its DMA goes through an IOMMU domain. */
struct iommufd_device;
/* A user inside the kernel: it reaches the memory of an IOAS with the CPU. */
struct iommufd_access;

/**
 * struct iommufd_access_ops - What an in-kernel user tells about itself
 * @needs_pin_pages: it is going to call iommufd_access_pin_pages()
 * @unmap: the range from @iova over @length bytes is about to lose its mapping;
 *	all pins in it have to be gone on return. Comes with no lock of the
 *	caller held that iommufd_access_pin_pages() or _unpin_pages() could
 *	want, for any part of the IOAS, and possibly several times and from
 *	several threads for the same range.
 */
struct iommufd_access_ops {
	u8 needs_pin_pages : 1;
	void (*unmap)(void *data, unsigned long iova, unsigned long length);
};

/* The flags of iommufd_access_rw() and iommufd_access_pin_pages(). */
enum {
	/* copy out of the IOAS; stands for "not WRITE" */
	IOMMUFD_ACCESS_RW_READ		= 0,
	/* copy into the IOAS; when pinning: pages will be written to */
	IOMMUFD_ACCESS_RW_WRITE		= BIT(0),
	/* the caller is a kernel thread and has no mm of its own */
	IOMMUFD_ACCESS_RW_KTHREAD	= BIT(1),
	/* for tests: do not use the shortcut of the caller's own mm */
	__IOMMUFD_ACCESS_RW_SLOW_PATH	= BIT(2),
};

/* Physical devices; there is no one to call these without CONFIG_IOMMUFD. */

struct iommufd_device *iommufd_device_bind(struct iommufd_ctx *ictx,
					   struct device *dev, u32 *id);
void iommufd_device_unbind(struct iommufd_device *idev);

int iommufd_device_attach(struct iommufd_device *idev, u32 *pt_id);
int iommufd_device_replace(struct iommufd_device *idev, u32 *pt_id);
void iommufd_device_detach(struct iommufd_device *idev);

struct iommufd_ctx *iommufd_device_to_ictx(struct iommufd_device *idev);
u32 iommufd_device_to_id(struct iommufd_device *idev);

/* In-kernel users, likewise. */

struct iommufd_access *
iommufd_access_create(struct iommufd_ctx *ictx,
		      const struct iommufd_access_ops *ops, void *data, u32 *id);
void iommufd_access_destroy(struct iommufd_access *access);

int iommufd_access_attach(struct iommufd_access *access, u32 ioas_id);
int iommufd_access_replace(struct iommufd_access *access, u32 ioas_id);
void iommufd_access_detach(struct iommufd_access *access);

/* The file, likewise. */

void iommufd_ctx_get(struct iommufd_ctx *ictx);
struct iommufd_ctx *iommufd_ctx_from_fd(int fd);
bool iommufd_ctx_has_group(struct iommufd_ctx *ictx, struct iommu_group *group);
int iommufd_vfio_compat_ioas_get_id(struct iommufd_ctx *ictx, u32 *out_ioas_id);

/* Called by code that is built without CONFIG_IOMMUFD as well. */

#if IS_ENABLED(CONFIG_IOMMUFD)

struct iommufd_ctx *iommufd_ctx_from_file(struct file *file);
void iommufd_ctx_put(struct iommufd_ctx *ictx);

int iommufd_access_rw(struct iommufd_access *access, unsigned long iova,
		      void *data, size_t len, unsigned int flags);
int iommufd_access_pin_pages(struct iommufd_access *access, unsigned long iova,
			     unsigned long length, struct page **out_pages,
			     unsigned int flags);
void iommufd_access_unpin_pages(struct iommufd_access *access,
				unsigned long iova, unsigned long length);

int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ictx);
int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ictx);

#else

static inline int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ictx)
{
	return -EOPNOTSUPP;
}

static inline int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ictx)
{
	return -EOPNOTSUPP;
}

static inline void iommufd_access_unpin_pages(struct iommufd_access *access,
					      unsigned long iova,
					      unsigned long length)
{
}

static inline int
iommufd_access_pin_pages(struct iommufd_access *access, unsigned long iova,
			 unsigned long length, struct page **out_pages,
			 unsigned int flags)
{
	return -EOPNOTSUPP;
}

static inline int iommufd_access_rw(struct iommufd_access *access,
				    unsigned long iova, void *data, size_t len,
				    unsigned int flags)
{
	return -EOPNOTSUPP;
}

static inline void iommufd_ctx_put(struct iommufd_ctx *ictx)
{
}

static inline struct iommufd_ctx *iommufd_ctx_from_file(struct file *file)
{
	return ERR_PTR(-EOPNOTSUPP);
}

#endif

#endif
