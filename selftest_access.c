// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_TEST_CMD: an in-kernel user that a test drives through a file of its own.
 *
 * It does what drivers behind VFIO do: it keeps a list of what it has pinned under
 * a mutex, holds the mutex while it pins and unpins, and takes it in its unmap
 * callback. So a lock held around the callback, or a pin that waits for an unmap,
 * is a deadlock here as it would be there.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommufd.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <uapi/linux/iommufd.h>

#include "ioas.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "selftest.h"

/* What one command pins or copies at most. */
#define MOCK_ACCESS_MAX_BYTES SZ_16M

/**
 * struct mock_access - an in-kernel user
 * @access: as iommufd knows it
 * @ictx: the file of /dev/iommu it belongs to; kept by @access
 * @ioas_id: where it is; kept by @access
 * @pins: it may pin
 * @mutex: guards what follows; held while pages are pinned and unpinned
 * @items: what it has pinned, struct mock_access_item
 * @next_item_id: of the next one
 */
struct mock_access {
	struct iommufd_access *access;
	struct iommufd_ctx *ictx;
	u32 ioas_id;
	bool pins;
	struct mutex mutex; /* items, next_item_id */
	struct list_head items;
	u32 next_item_id;
};

/**
 * struct mock_access_item - a range that an in-kernel user has pinned
 * @link: in mock_access.items
 * @id: its number
 * @first_iova: first byte
 * @length: bytes
 */
struct mock_access_item {
	struct list_head link;
	u32 id;
	unsigned long first_iova;
	unsigned long length;
};

/* -- what it has pinned -- */

/* The last part of an item that is unpinned by itself. */
static unsigned long mock_item_last_bytes(const struct mock_access_item *item)
{
	unsigned long piece_bytes = mock_switch_unpin_pages() * PAGE_SIZE;
	unsigned long in_page = offset_in_page(item->first_iova);

	if (!piece_bytes || in_page + item->length <= piece_bytes)
		return item->length;
	return (in_page + item->length - 1) % piece_bytes + 1;
}

static void mock_item_drop(struct mock_access *access,
			   struct mock_access_item *item)
{
	lockdep_assert_held(&access->mutex);

	list_del(&item->link);
	while (item->length) {
		unsigned long bytes = mock_item_last_bytes(item);

		item->length -= bytes;
		iommufd_access_unpin_pages(access->access,
					   item->first_iova + item->length,
					   bytes);
	}
	kfree(item);
}

/* Have an item dropped together with the next one, if they are neighbours. */
static bool mock_item_join(struct mock_access_item *item,
			   struct mock_access_item *next)
{
	if (!mock_switch_unpin_pages() || offset_in_page(item->first_iova) ||
	    next->first_iova + next->length != item->first_iova)
		return false;
	next->length += item->length;
	list_del(&item->link);
	kfree(item);
	return true;
}

static void mock_access_drop(struct mock_access *access,
			     unsigned long first_iova, unsigned long last_iova)
{
	struct mock_access_item *item, *next;

	guard(mutex)(&access->mutex);

	list_for_each_entry_safe(item, next, &access->items, link) {
		if (item->first_iova > last_iova ||
		    item->first_iova + (item->length - 1) < first_iova)
			continue;
		if (list_entry_is_head(next, &access->items, link) ||
		    !mock_item_join(item, next))
			mock_item_drop(access, item);
	}
}

static void mock_access_unmap(void *data, unsigned long iova,
			      unsigned long length)
{
	if (!mock_switch_keeps_pins())
		mock_access_drop(data, iova, iova + (length - 1));
}

static const struct iommufd_access_ops mock_access_ops = {
	.unmap = mock_access_unmap,
};

static const struct iommufd_access_ops mock_access_pin_ops = {
	.needs_pin_pages = true,
	.unmap = mock_access_unmap,
};

/* -- the file -- */

static void mock_access_destroy(struct mock_access *access)
{
	mock_access_drop(access, 0, ULONG_MAX);
	iommufd_access_destroy(access->access);
	mutex_destroy(&access->mutex);
	kfree(access);
}

static struct mock_access *mock_access_create(struct iommufd_ctx *ictx,
					      u32 ioas_id, bool pins)
{
	const struct iommufd_access_ops *ops = pins ? &mock_access_pin_ops :
						      &mock_access_ops;
	struct mock_access *access;
	u32 id;
	int rc;

	access = kzalloc(sizeof(*access), GFP_KERNEL_ACCOUNT);
	if (!access)
		return ERR_PTR(-ENOMEM);
	access->ictx = ictx;
	access->ioas_id = ioas_id;
	access->pins = pins;
	mutex_init(&access->mutex);
	INIT_LIST_HEAD(&access->items);

	access->access = iommufd_access_create(ictx, ops, access, &id);
	if (IS_ERR(access->access)) {
		rc = PTR_ERR(access->access);
		mutex_destroy(&access->mutex);
		kfree(access);
		return ERR_PTR(rc);
	}
	rc = iommufd_access_attach(access->access, ioas_id);
	if (rc) {
		mock_access_destroy(access);
		return ERR_PTR(rc);
	}
	return access;
}

static int mock_access_release(struct inode *inode, struct file *file)
{
	mock_access_destroy(file->private_data);
	return 0;
}

static const struct file_operations mock_access_fops = {
	.owner = THIS_MODULE,
	.release = mock_access_release,
};

/**
 * iommufd_test_create_access() - IOMMU_TEST_OP_CREATE_ACCESS
 * @ucmd: the ioctl; the file waits in it for the answer to reach the user
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP unknown flags; -ENOENT no such IOAS; -EADDRINUSE,
 * -ENOMEM, -EMFILE.
 */
int iommufd_test_create_access(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u32 flags = cmd->create_access.flags;
	struct mock_access *access;
	struct file *file;
	int fd;

	if (flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES)
		return -EOPNOTSUPP;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	access = mock_access_create(ucmd->ictx, cmd->id, flags);
	if (IS_ERR(access)) {
		put_unused_fd(fd);
		return PTR_ERR(access);
	}
	file = anon_inode_getfile("[iommufd_test_staccess]", &mock_access_fops,
				  access, O_RDWR);
	if (IS_ERR(file)) {
		mock_access_destroy(access);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	ucmd->new_file = file;
	ucmd->new_fd = fd;
	cmd->create_access.out_access_fd = fd;
	return 0;
}

/* Return: the file, to be given back with fput(), or an ERR_PTR: -EBADFD. */
static struct file *mock_access_file(u32 fd)
{
	struct file *file = fget(fd);

	if (file && file->f_op == &mock_access_fops)
		return file;
	if (file)
		fput(file);
	return ERR_PTR(-EBADFD);
}

/**
 * iommufd_test_access_replace() - IOMMU_TEST_OP_ACCESS_REPLACE_IOAS
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EBADFD it is no access; or as iommufd_access_replace().
 */
int iommufd_test_access_replace(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u32 ioas_id = cmd->access_replace_ioas.ioas_id;
	struct mock_access *access;
	struct file *file;
	int rc;

	file = mock_access_file(cmd->id);
	if (IS_ERR(file))
		return PTR_ERR(file);
	access = file->private_data;
	rc = iommufd_access_replace(access->access, ioas_id);
	if (!rc)
		WRITE_ONCE(access->ioas_id, ioas_id);
	fput(file);
	return rc;
}

/* -- places named by number -- */

/* The IOVA that a command means. */
static u64 mock_access_iova(struct mock_access *access, u64 iova, u32 flags)
{
	struct iommufd_test_place place;
	struct iommufd_object *object;

	if (!(flags & MOCK_FLAGS_ACCESS_SYZ))
		return iova;
	static_assert(sizeof(place) == sizeof(iova));
	memcpy(&place, &iova, sizeof(place));
	object = iommufd_object_get(access->ictx, READ_ONCE(access->ioas_id),
				    IOMMUFD_IOAS);
	if (IS_ERR(object))
		return 0;
	iova = iommufd_test_place_iova(&to_ioas(object)->iopt, place);
	iommufd_object_put(object);
	return iova;
}

/* -- pins -- */

/* Are these the pages that the caller sees there? */
static int mock_compare_pages(unsigned long uptr, struct page **pages,
			      unsigned long npages)
{
	for (unsigned long i = 0; i < npages; i++) {
		struct page *page;
		bool same;

		if (get_user_pages_fast((uptr & PAGE_MASK) + i * PAGE_SIZE, 1,
					0, &page) != 1)
			return -EFAULT;
		same = page == pages[i];
		put_page(page);
		if (!same)
			return -EBADE;
		cond_resched();
	}
	return 0;
}

/* Pin an item, and have it dropped from now on when it is unmapped. */
static int mock_item_pin(struct mock_access *access,
			 struct mock_access_item *item, struct page **pages,
			 const struct iommu_test_cmd *cmd)
{
	unsigned int flags = IOMMUFD_ACCESS_RW_READ;
	unsigned long npages;
	int rc;

	lockdep_assert_held(&access->mutex);

	if (cmd->access_pages.flags & MOCK_FLAGS_ACCESS_WRITE)
		flags = IOMMUFD_ACCESS_RW_WRITE;
	rc = iommufd_access_pin_pages(access->access, item->first_iova,
				      item->length, pages, flags);
	if (rc) {
		kfree(item);
		return rc;
	}
	list_add(&item->link, &access->items);
	npages = PFN_UP(offset_in_page(item->first_iova) + item->length);
	if (cmd->access_pages.uptr)
		rc = mock_compare_pages(cmd->access_pages.uptr, pages, npages);
	if (rc)
		mock_item_drop(access, item);
	else
		item->id = access->next_item_id++;
	return rc;
}

static int mock_access_pin(struct mock_access *access,
			   struct iommu_test_cmd *cmd, unsigned long iova)
{
	unsigned long length = cmd->access_pages.length;
	struct mock_access_item *item;
	struct page **pages;
	int rc;

	pages = kvcalloc(PFN_UP(offset_in_page(iova) + length), sizeof(*pages),
			 GFP_KERNEL_ACCOUNT);
	item = kzalloc(sizeof(*item), GFP_KERNEL_ACCOUNT);
	if (!pages || !item) {
		kvfree(pages);
		kfree(item);
		return -ENOMEM;
	}
	item->first_iova = iova;
	item->length = length;
	scoped_guard(mutex, &access->mutex) {
		rc = mock_item_pin(access, item, pages, cmd);
		if (!rc)
			cmd->access_pages.out_access_pages_id = item->id;
	}
	kvfree(pages);
	return rc;
}

/**
 * iommufd_test_access_pages() - IOMMU_TEST_OP_ACCESS_PAGES
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP unknown flags, or it is an access that does not pin;
 * -ENOMEM more than 16 MiB; -EBADFD it is no access; -EBADE other pages than the
 * caller's; or as iommufd_access_pin_pages().
 */
int iommufd_test_access_pages(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u32 flags = cmd->access_pages.flags;
	struct mock_access *access;
	struct file *file;
	u64 iova;
	int rc;

	if (flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ))
		return -EOPNOTSUPP;
	if (cmd->access_pages.length > MOCK_ACCESS_MAX_BYTES)
		return -ENOMEM;
	file = mock_access_file(cmd->id);
	if (IS_ERR(file))
		return PTR_ERR(file);

	access = file->private_data;
	iova = mock_access_iova(access, cmd->access_pages.iova, flags);
	if (!access->pins)
		rc = -EOPNOTSUPP;
	else if (iova > ULONG_MAX)
		rc = -EOVERFLOW;
	else
		rc = mock_access_pin(access, cmd, iova);
	fput(file);
	return rc;
}

static int mock_access_drop_id(struct mock_access *access, u32 id)
{
	struct mock_access_item *item;

	guard(mutex)(&access->mutex);

	list_for_each_entry(item, &access->items, link) {
		if (item->id == id) {
			mock_item_drop(access, item);
			return 0;
		}
	}
	return -ENOENT;
}

/**
 * iommufd_test_access_unpin() - IOMMU_TEST_OP_DESTROY_ACCESS_PAGES
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EBADFD it is no access; -ENOENT it has no such pages, perhaps since
 * they were unmapped.
 */
int iommufd_test_access_unpin(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct file *file = mock_access_file(cmd->id);
	int rc;

	if (IS_ERR(file))
		return PTR_ERR(file);
	rc = mock_access_drop_id(file->private_data,
				 cmd->destroy_access_pages.access_pages_id);
	fput(file);
	return rc;
}

/* -- copies -- */

/* A copy that a kernel thread makes. */
struct mock_access_copy {
	struct work_struct work;
	struct mock_access *access;
	unsigned long iova;
	void *data;
	size_t length;
	unsigned int flags;
	int rc;
};

static void mock_access_copy_work(struct work_struct *work)
{
	struct mock_access_copy *copy =
		container_of(work, struct mock_access_copy, work);

	copy->rc = iommufd_access_rw(copy->access->access, copy->iova,
				     copy->data, copy->length, copy->flags);
}

static void mock_access_copy_in_worker(struct mock_access_copy *copy)
{
	copy->flags |= IOMMUFD_ACCESS_RW_KTHREAD;
	INIT_WORK_ONSTACK(&copy->work, mock_access_copy_work);
	queue_work(system_unbound_wq, &copy->work);
	flush_work(&copy->work);
	destroy_work_on_stack(&copy->work);
}

static unsigned int mock_access_rw_flags(u32 flags)
{
	unsigned int rw_flags = IOMMUFD_ACCESS_RW_READ;

	if (flags & MOCK_ACCESS_RW_WRITE)
		rw_flags |= IOMMUFD_ACCESS_RW_WRITE;
	if (flags & MOCK_ACCESS_RW_SLOW_PATH)
		rw_flags |= __IOMMUFD_ACCESS_RW_SLOW_PATH;
	return rw_flags;
}

static int mock_access_copy(struct mock_access_copy *copy, void __user *uptr)
{
	bool write = copy->flags & IOMMUFD_ACCESS_RW_WRITE;

	if (write && copy_from_user(copy->data, uptr, copy->length))
		return -EFAULT;
	if (mock_switch_copies_in_worker())
		mock_access_copy_in_worker(copy);
	else
		mock_access_copy_work(&copy->work);
	if (copy->rc)
		return copy->rc;
	if (!write && copy_to_user(uptr, copy->data, copy->length))
		return -EFAULT;
	return 0;
}

static int mock_access_rw(struct mock_access *access,
			  const struct iommu_test_cmd *cmd)
{
	u64 iova = mock_access_iova(access, cmd->access_rw.iova,
				    cmd->access_rw.flags);
	struct mock_access_copy copy = {
		.access = access,
		.iova = iova,
		.length = cmd->access_rw.length,
		.flags = mock_access_rw_flags(cmd->access_rw.flags),
	};
	int rc;

	if (iova > ULONG_MAX)
		return -EOVERFLOW;
	copy.data = kvzalloc(copy.length, GFP_KERNEL_ACCOUNT);
	if (!copy.data)
		return -ENOMEM;
	rc = mock_access_copy(&copy, u64_to_user_ptr(cmd->access_rw.uptr));
	kvfree(copy.data);
	return rc;
}

/**
 * iommufd_test_access_rw() - IOMMU_TEST_OP_ACCESS_RW
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP unknown flags; -ENOMEM more than 16 MiB; -EBADFD it is no
 * access; -EFAULT; or as iommufd_access_rw().
 */
int iommufd_test_access_rw(struct iommufd_ucmd *ucmd)
{
	const u32 known_flags = MOCK_ACCESS_RW_WRITE |
				MOCK_ACCESS_RW_SLOW_PATH |
				MOCK_FLAGS_ACCESS_SYZ;
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct file *file;
	int rc;

	if (cmd->access_rw.flags & ~known_flags)
		return -EOPNOTSUPP;
	if (cmd->access_rw.length > MOCK_ACCESS_MAX_BYTES)
		return -ENOMEM;
	file = mock_access_file(cmd->id);
	if (IS_ERR(file))
		return PTR_ERR(file);
	rc = mock_access_rw(file->private_data, cmd);
	fput(file);
	return rc;
}
