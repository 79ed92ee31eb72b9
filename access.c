// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-kernel users of an IOAS: emulated devices that reach its memory with the CPU.
 *
 * There are none yet: iommufd_access_create() refuses, hence nobody has a
 * struct iommufd_access to call the other functions with. They are here so that
 * VFIO, which links to all of them, loads.
 */
#include <linux/bug.h>
#include <linux/export.h>
#include <linux/iommufd.h>

/**
 * iommufd_access_create() - make an in-kernel user of a file
 * @ictx: the file
 * @ops: what it can do
 * @data: for @ops
 * @id: written on success: its object ID
 *
 * Context: Process context, may sleep.
 * Return: ERR_PTR(-EOPNOTSUPP).
 */
struct iommufd_access *
iommufd_access_create(struct iommufd_ctx *ictx,
		      const struct iommufd_access_ops *ops, void *data, u32 *id)
{
	return ERR_PTR(-EOPNOTSUPP);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_create, IOMMUFD);

/**
 * iommufd_access_destroy() - undo iommufd_access_create()
 * @access: the user
 *
 * Context: Process context, may sleep.
 */
void iommufd_access_destroy(struct iommufd_access *access)
{
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_destroy, IOMMUFD);

/**
 * iommufd_access_attach() - give an in-kernel user an IOAS
 * @access: the user, without an IOAS
 * @ioas_id: ID of the IOAS
 *
 * Context: Process context, may sleep.
 * Return: -EOPNOTSUPP.
 */
int iommufd_access_attach(struct iommufd_access *access, u32 ioas_id)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_attach, IOMMUFD);

/**
 * iommufd_access_replace() - give an in-kernel user another IOAS
 * @access: the user, with an IOAS
 * @ioas_id: ID of the other one
 *
 * Context: Process context, may sleep.
 * Return: -EOPNOTSUPP.
 */
int iommufd_access_replace(struct iommufd_access *access, u32 ioas_id)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_replace, IOMMUFD);

/**
 * iommufd_access_detach() - take its IOAS from an in-kernel user
 * @access: the user
 *
 * Context: Process context, may sleep.
 */
void iommufd_access_detach(struct iommufd_access *access)
{
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_detach, IOMMUFD);

/**
 * iommufd_access_pin_pages() - pin the pages behind a range of IOVA
 * @access: the user
 * @first_iova: first byte
 * @length: bytes
 * @out_pages: written on success: the pages, in IOVA order
 * @flags: IOMMUFD_ACCESS_RW_WRITE or 0
 *
 * Context: Process context, may sleep.
 * Return: -EOPNOTSUPP.
 */
int iommufd_access_pin_pages(struct iommufd_access *access,
			     unsigned long first_iova, unsigned long length,
			     struct page **out_pages, unsigned int flags)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_pin_pages, IOMMUFD);

/**
 * iommufd_access_unpin_pages() - undo iommufd_access_pin_pages()
 * @access: the user
 * @iova: first byte
 * @length: bytes
 *
 * Context: Process context, may sleep.
 */
void iommufd_access_unpin_pages(struct iommufd_access *access,
				unsigned long iova, unsigned long length)
{
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_unpin_pages, IOMMUFD);

/**
 * iommufd_access_rw() - copy from or to the memory behind a range of IOVA
 * @access: the user
 * @iova: first byte
 * @data: the other side, kernel memory
 * @len: bytes
 * @flags: of IOMMUFD_ACCESS_RW_*
 *
 * Context: Process context, may sleep.
 * Return: -EOPNOTSUPP.
 */
int iommufd_access_rw(struct iommufd_access *access, unsigned long iova,
		      void *data, size_t len, unsigned int flags)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_rw, IOMMUFD);
