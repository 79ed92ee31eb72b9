// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file, its ioctls, and the module.
 *
 * An ioctl goes through here in one fixed order: which one it is, is the structure
 * well formed, can the answer be written at all, the handler, the answer, and only
 * then does what the handler made become real. So a handler never has to ask
 * itself whether user space knows of what it has made.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommufd.h>
#include <linux/miscdevice.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "device.h"
#include "entry.h"
#include "fault.h"
#include "hwpt.h"
#include "ioas.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "test_hooks.h"

/* -- the table -- */

/* Room for the largest structure, aligned for its largest member. */
#define IOMMUFD_MAX_CMD_BYTES 72

/**
 * struct iommufd_zero - bits of a structure that have to be zero
 * @offset: of the u32 they are in
 * @mask: those bits; 0: none, here and after
 */
struct iommufd_zero {
	u8 offset;
	u32 mask;
};

/**
 * struct iommufd_ioctl - an ioctl
 * @command: the command word
 * @name: for messages
 * @size: bytes of the structure as the kernel knows it
 * @min_size: bytes it had at first
 * @has_reply: it can be any of the structure that is to be written back
 * @reply_word: it is this u64 alone, if it is not 0
 * @zeroes: flags the handler does not understand, and what is reserved
 * @handle: does it
 */
struct iommufd_ioctl {
	unsigned int command;
	const char *name;
	u8 size;
	u8 min_size;
	bool has_reply;
	u8 reply_word;
	struct iommufd_zero zeroes[3];
	int (*handle)(struct iommufd_ucmd *ucmd);
};

#define IOCTL(_name, _struct, _last, ...)				\
	[IOMMUFD_CMD_##_name - IOMMUFD_CMD_BASE] = {			\
		.command = IOMMU_##_name +				\
			   BUILD_BUG_ON_ZERO(sizeof(_struct) >		\
					     IOMMUFD_MAX_CMD_BYTES),	\
		.name = #_name,						\
		.size = sizeof(_struct),				\
		.min_size = offsetofend(_struct, _last),		\
		__VA_ARGS__						\
	}
#define FLAGS(_struct, _valid)						\
	{ offsetof(_struct, flags), ~(u32)(_valid) }
/* Not more than the rest of a u32. */
#define RESERVED(_struct, _member)					\
	{ offsetof(_struct, _member) & ~3,				\
	  BYTES_OF_U32(offsetof(_struct, _member) & 3,			\
		       sizeof_field(_struct, _member)) }
#define BYTES_OF_U32(_first, _bytes)					\
	((__force u32)cpu_to_le32(GENMASK(8 * ((_first) + (_bytes)) - 1,	\
					  8 * (_first))))

/*
 * The holes are commands of the ABI that are not implemented yet. What is behind
 * the end of the table is the VFIO layer's, so the last of them is named.
 */
#ifdef CONFIG_IOMMUFD_TEST
#define IOMMUFD_LAST_CMD IOMMUFD_CMD_TEST_CMD
/* What iommufd_test_convert_copy() takes away. */
#define IOMMUFD_COPY_TEST_FLAGS MOCK_FLAGS_ACCESS_SYZ
#else
#define IOMMUFD_LAST_CMD IOMMUFD_CMD_FAULT_QUEUE_ALLOC
#define IOMMUFD_COPY_TEST_FLAGS 0
#endif

static const struct iommufd_ioctl
iommufd_ioctls[IOMMUFD_LAST_CMD - IOMMUFD_CMD_BASE + 1] = {
	IOCTL(DESTROY, struct iommu_destroy, id,
	      .handle = iommufd_ucmd_destroy),
	IOCTL(HWPT_GET_DIRTY_BITMAP, struct iommu_hwpt_get_dirty_bitmap, data,
	      .zeroes = {
		      FLAGS(struct iommu_hwpt_get_dirty_bitmap,
			    IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR),
		      RESERVED(struct iommu_hwpt_get_dirty_bitmap, __reserved),
	      },
	      .handle = iommufd_ucmd_hwpt_get_dirty_bitmap),
	IOCTL(HWPT_SET_DIRTY_TRACKING, struct iommu_hwpt_set_dirty_tracking,
	      __reserved,
	      .zeroes = {
		      FLAGS(struct iommu_hwpt_set_dirty_tracking,
			    IOMMU_HWPT_DIRTY_TRACKING_ENABLE),
		      RESERVED(struct iommu_hwpt_set_dirty_tracking, __reserved),
	      },
	      .handle = iommufd_ucmd_hwpt_set_dirty_tracking),
	IOCTL(IOAS_ALLOC, struct iommu_ioas_alloc, out_ioas_id,
	      .zeroes = { FLAGS(struct iommu_ioas_alloc, 0) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_ioas_alloc),
	IOCTL(IOAS_ALLOW_IOVAS, struct iommu_ioas_allow_iovas, allowed_iovas,
	      .zeroes = { RESERVED(struct iommu_ioas_allow_iovas, __reserved) },
	      .handle = iommufd_ucmd_ioas_allow_iovas),
	IOCTL(IOAS_COPY, struct iommu_ioas_copy, src_iova,
	      .zeroes = { FLAGS(struct iommu_ioas_copy,
				IOMMU_IOAS_MAP_FIXED_IOVA |
				IOMMU_IOAS_MAP_WRITEABLE |
				IOMMU_IOAS_MAP_READABLE |
				IOMMUFD_COPY_TEST_FLAGS) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_ioas_copy),
	IOCTL(IOAS_IOVA_RANGES, struct iommu_ioas_iova_ranges,
	      out_iova_alignment,
	      .zeroes = { RESERVED(struct iommu_ioas_iova_ranges, __reserved) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_ioas_iova_ranges),
	IOCTL(IOAS_MAP, struct iommu_ioas_map, iova,
	      .zeroes = {
		      FLAGS(struct iommu_ioas_map, IOMMU_IOAS_MAP_FIXED_IOVA |
						   IOMMU_IOAS_MAP_WRITEABLE |
						   IOMMU_IOAS_MAP_READABLE),
		      RESERVED(struct iommu_ioas_map, __reserved),
	      },
	      .reply_word = offsetof(struct iommu_ioas_map, iova),
	      .handle = iommufd_ucmd_ioas_map),
	IOCTL(IOAS_UNMAP, struct iommu_ioas_unmap, length,
	      .reply_word = offsetof(struct iommu_ioas_unmap, length),
	      .handle = iommufd_ucmd_ioas_unmap),
	IOCTL(OPTION, struct iommu_option, val64,
	      .zeroes = { RESERVED(struct iommu_option, __reserved) },
	      .reply_word = offsetof(struct iommu_option, val64),
	      .handle = iommufd_ucmd_option),
	IOCTL(VFIO_IOAS, struct iommu_vfio_ioas, __reserved,
	      .zeroes = { RESERVED(struct iommu_vfio_ioas, __reserved) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_vfio_ioas),
	IOCTL(HWPT_ALLOC, struct iommu_hwpt_alloc, __reserved,
	      .zeroes = {
		      FLAGS(struct iommu_hwpt_alloc,
			    IOMMU_HWPT_ALLOC_NEST_PARENT |
			    IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
			    IOMMU_HWPT_FAULT_ID_VALID),
		      RESERVED(struct iommu_hwpt_alloc, __reserved),
		      RESERVED(struct iommu_hwpt_alloc, __reserved2),
	      },
	      .has_reply = true,
	      .handle = iommufd_ucmd_hwpt_alloc),
	IOCTL(GET_HW_INFO, struct iommu_hw_info, __reserved,
	      .zeroes = {
		      FLAGS(struct iommu_hw_info, IOMMU_HW_INFO_FLAG_INPUT_TYPE),
		      RESERVED(struct iommu_hw_info, __reserved),
	      },
	      .has_reply = true,
	      .handle = iommufd_ucmd_get_hw_info),
	/* What is reserved is its own business: it always answers. */
	IOCTL(HWPT_INVALIDATE, struct iommu_hwpt_invalidate, __reserved,
	      .has_reply = true,
	      .handle = iommufd_ucmd_hwpt_invalidate),
	IOCTL(FAULT_QUEUE_ALLOC, struct iommu_fault_alloc, out_fault_fd,
	      .zeroes = { FLAGS(struct iommu_fault_alloc, 0) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_fault_alloc),
#ifdef CONFIG_IOMMUFD_TEST
	IOCTL(TEST_CMD, struct iommu_test_cmd, last,
	      .zeroes = { RESERVED(struct iommu_test_cmd, __reserved) },
	      .has_reply = true,
	      .handle = iommufd_ucmd_test),
#endif
};

#undef IOCTL
#undef FLAGS
#undef RESERVED
#undef BYTES_OF_U32

/* -- one ioctl -- */

/**
 * struct iommufd_call - the user's side of an ioctl
 * @ioctl: which one
 * @user_struct: the structure
 * @user_size: its bytes, as the user says
 * @asked_word: what is at &iommufd_ioctl.reply_word, if that is not 0
 * @is_probed: an answer could be written a moment ago
 */
struct iommufd_call {
	const struct iommufd_ioctl *ioctl;
	void __user *user_struct;
	u32 user_size;
	u64 asked_word;
	bool is_probed;
};

/* What may be asked of the fields without knowing what they mean. */
static __always_inline int
iommufd_check_fields(const struct iommufd_ioctl *ioctl, const void *cmd)
{
#pragma GCC unroll 3
	for (size_t i = 0; i < ARRAY_SIZE(ioctl->zeroes); i++) {
		const struct iommufd_zero *zero = &ioctl->zeroes[i];

		if (!zero->mask)
			break;
		if (*(const u32 *)(cmd + zero->offset) & zero->mask)
			return -EOPNOTSUPP;
	}
	return 0;
}

static size_t iommufd_reply_bytes(const struct iommufd_call *call)
{
	return min_t(u32, call->user_size, call->ioctl->size);
}

/*
 * What is inline from here on is told the entry of the table, beside the call that has
 * it: one that is known when this is compiled is not looked at then.
 *
 * Of a reply that is one word, no structure is too short for it.
 */
static __always_inline u64 __user *
iommufd_user_word(const struct iommufd_ioctl *ioctl,
		  const struct iommufd_call *call)
{
	return call->user_struct + ioctl->reply_word;
}

static __always_inline u64 iommufd_reply_word(const struct iommufd_ioctl *ioctl,
					      const void *cmd)
{
	return *(const u64 *)(cmd + ioctl->reply_word);
}

static __always_inline int
iommufd_write_reply(const struct iommufd_ioctl *ioctl,
		    const struct iommufd_call *call, const void *cmd)
{
	if (ioctl->reply_word) {
		u64 word = iommufd_reply_word(ioctl, cmd);

		/* A word that is what it was stands in user space already. */
		return word == call->asked_word ?
			       0 : put_user(word, iommufd_user_word(ioctl, call));
	}
	if (ioctl->has_reply &&
	    copy_to_user(call->user_struct, cmd, iommufd_reply_bytes(call)))
		return -EFAULT;
	return 0;
}

/*
 * Can an answer be written? The structure lies in two pages at most: its first
 * and last byte, which are written as they were read, tell. In one page, one does.
 */
static int iommufd_probe_struct(const struct iommufd_call *call, const u8 *cmd)
{
	u8 __user *reply = call->user_struct;
	size_t last = iommufd_reply_bytes(call) - 1;

	if (put_user(cmd[0], reply))
		return -EFAULT;
	if (offset_in_page(reply) + last >= PAGE_SIZE &&
	    put_user(cmd[last], reply + last))
		return -EFAULT;
	return 0;
}

/* Also remembers what it is that need not be written again. */
static __always_inline int
iommufd_probe_reply(const struct iommufd_ioctl *ioctl,
		    struct iommufd_call *call, const void *cmd)
{
	if (ioctl->reply_word) {
		call->asked_word = iommufd_reply_word(ioctl, cmd);
		return put_user(call->asked_word,
				iommufd_user_word(ioctl, call));
	}
	return ioctl->has_reply ? iommufd_probe_struct(call, cmd) : 0;
}

static void iommufd_ucmd_settle_file(struct iommufd_ucmd *ucmd, bool is_known)
{
	if (is_known) {
		fd_install(ucmd->new_fd, ucmd->new_file);
	} else {
		put_unused_fd(ucmd->new_fd);
		fput(ucmd->new_file);
	}
}

/* What the handler began comes to be if the user knows of it, or never was. */
static noinline void iommufd_ucmd_settle(struct iommufd_ucmd *ucmd, bool is_known)
{
	if (ucmd->new_object) {
		if (is_known)
			iommufd_object_publish(ucmd->new_object);
		else
			iommufd_object_abort(ucmd->new_object);
	}
	if (ucmd->new_file)
		iommufd_ucmd_settle_file(ucmd, is_known);
	if (ucmd->pending.iopt) {
		if (is_known)
			iopt_pending_commit(&ucmd->pending);
		else
			iopt_pending_abort(&ucmd->pending);
	}
}

static __always_inline int
iommufd_ucmd_finish(struct iommufd_ucmd *ucmd,
		    const struct iommufd_ioctl *ioctl,
		    const struct iommufd_call *call, int rc)
{
	/* The first error is the one to report. */
	if ((!rc || ucmd->reply_on_error) &&
	    iommufd_write_reply(ioctl, call, ucmd->cmd))
		rc = rc ?: -EFAULT;

	if (unlikely(ucmd->new_object || ucmd->new_file || ucmd->pending.iopt))
		iommufd_ucmd_settle(ucmd, !rc);
	while (ucmd->nr_held)
		iommufd_object_put(ucmd->held[--ucmd->nr_held]);
	return rc;
}

/*
 * As copy_struct_from_user(), for sizes that can be gigabytes: what we do not know
 * has to be zero, and is looked at in pieces.
 */
static int iommufd_copy_struct(const struct iommufd_call *call, void *cmd)
{
	u32 size = call->ioctl->size;
	u32 offset, bytes;

	for (offset = size; offset < call->user_size; offset += bytes) {
		int rc;

		bytes = min_t(u32, call->user_size - offset, SZ_1M);
		rc = check_zeroed_user(call->user_struct + offset, bytes);
		if (rc <= 0)
			return rc ?: -E2BIG;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}

	bytes = min(call->user_size, size);
	if (copy_from_user(cmd, call->user_struct, bytes))
		return -EFAULT;
	if (bytes < size)
		memset(cmd + bytes, 0, size - bytes);
	return 0;
}

/* In the order that is ABI, whatever is wrong with the structure. */
static noinline int iommufd_read_any_struct(struct iommufd_call *call,
					    unsigned int command, void *cmd)
{
	const u32 __user *user_size = call->user_struct;

	call->is_probed = false;
	if (get_user(call->user_size, user_size))
		return -EFAULT;
	if (!call->ioctl->handle || call->ioctl->command != command)
		return -ENOIOCTLCMD;
	if (call->user_size < call->ioctl->min_size)
		return -EINVAL;
	return iommufd_copy_struct(call, cmd);
}

/*
 * The usual case: user space knows as much of the structure as the kernel does, and it
 * is so many words. That is found out in one reading of it; and if the reply is one of
 * them, it is written back at once, to see that it can be.
 *
 * Return: false if it is another case, or there is something wrong.
 */
static __always_inline bool
iommufd_read_words(const struct iommufd_ioctl *ioctl, struct iommufd_call *call,
		   unsigned long *words)
{
	const unsigned long __user *user_words = call->user_struct;
	size_t size = ioctl->size;

	if (size % sizeof(*words) || !user_access_begin(user_words, size))
		return false;
#pragma GCC unroll 8
	for (size_t i = size / sizeof(*words); i--;)
		unsafe_get_user(words[i], &user_words[i], other);
	/* All structures begin with it. */
	call->user_size = *(const u32 *)words;
	if (call->user_size != size)
		goto other;
	call->is_probed = ioctl->reply_word;
	if (ioctl->reply_word) {
		call->asked_word = iommufd_reply_word(ioctl, words);
		unsafe_put_user(call->asked_word,
				iommufd_user_word(ioctl, call), other);
	}
	user_access_end();
	return true;

other:
	user_access_end();
	return false;
}

static __always_inline int
iommufd_read_struct(const struct iommufd_ioctl *ioctl, struct iommufd_call *call,
		    unsigned int command, void *cmd)
{
	if (likely(ioctl->command == command &&
		   iommufd_read_words(ioctl, call, cmd)))
		return 0;
	return iommufd_read_any_struct(call, command, cmd);
}

/* The rest means nothing yet. */
static void iommufd_ucmd_begin(struct iommufd_ucmd *ucmd,
			       struct iommufd_ctx *ictx, void *cmd)
{
	ucmd->ictx = ictx;
	ucmd->cmd = cmd;
	ucmd->nr_held = 0;
	ucmd->new_object = NULL;
	ucmd->new_file = NULL;
	ucmd->pending.iopt = NULL;
	ucmd->reply_on_error = false;
}

static __always_inline int
iommufd_do_ioctl(struct iommufd_ctx *ictx, const struct iommufd_ioctl *ioctl,
		 unsigned int command, unsigned long arg)
{
	u8 cmd[IOMMUFD_MAX_CMD_BYTES] __aligned(8) __uninitialized;
	struct iommufd_call call __uninitialized;
	struct iommufd_ucmd ucmd __uninitialized;
	int rc;

	call.ioctl = ioctl;
	call.user_struct = (void __user *)arg;
	rc = iommufd_read_struct(ioctl, &call, command, cmd);
	if (rc)
		return rc;
	rc = iommufd_check_fields(ioctl, cmd);
	if (rc)
		return rc;
	/*
	 * Find out now, when there is nothing to undo yet, that the answer cannot
	 * be written. It may still turn out later.
	 */
	if (!call.is_probed)
		rc = iommufd_probe_reply(ioctl, &call, cmd);
	if (rc)
		return rc;

	iommufd_ucmd_begin(&ucmd, ictx, cmd);
	rc = ioctl->handle(&ucmd);
	rc = iommufd_ucmd_finish(&ucmd, ioctl, &call, rc);
	if (rc)
		pr_debug("%s: %d\n", ioctl->name, rc);
	return rc;
}

/* Any ioctl, by its entry in the table. */
static noinline long iommufd_any_ioctl(struct iommufd_ctx *ictx,
				       unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd);

	if (nr < IOMMUFD_CMD_BASE ||
	    nr - IOMMUFD_CMD_BASE >= ARRAY_SIZE(iommufd_ioctls))
		return iommufd_vfio_ioctl(ictx, cmd, arg);
	return iommufd_do_ioctl(ictx, &iommufd_ioctls[nr - IOMMUFD_CMD_BASE],
				cmd, arg);
}

/* One that is known by now: of its entry in the table nothing has to be read. */
#define iommufd_one_ioctl(ictx, _name, arg)				\
	iommufd_do_ioctl((ictx),					\
			 &iommufd_ioctls[IOMMUFD_CMD_##_name -		\
					 IOMMUFD_CMD_BASE],		\
			 IOMMU_##_name, (arg))

static long iommufd_fops_ioctl(struct file *file, unsigned int cmd,
			       unsigned long arg)
{
	struct iommufd_ctx *ictx = file->private_data;

	switch (cmd) {
	/* What a vIOMMU asks for a million times. */
	case IOMMU_IOAS_MAP:
		return iommufd_one_ioctl(ictx, IOAS_MAP, arg);
	case IOMMU_IOAS_UNMAP:
		return iommufd_one_ioctl(ictx, IOAS_UNMAP, arg);
	default:
		return iommufd_any_ioctl(ictx, cmd, arg);
	}
}

/* -- the file -- */

static bool iommufd_is_vfio_container(const struct miscdevice *misc)
{
	return misc->minor == VFIO_MINOR;
}

static int iommufd_fops_open(struct inode *inode, struct file *file)
{
	/* That is what the misc layer leaves there. */
	const struct miscdevice *misc = file->private_data;
	struct iommufd_ctx *ictx;

	ictx = kzalloc(sizeof(*ictx), GFP_KERNEL_ACCOUNT);
	if (!ictx)
		return -ENOMEM;

	iommufd_ctx_init(ictx);
	if (iommufd_is_vfio_container(misc)) {
		/* What VFIO's own container does. */
		ictx->account_mode = IOPT_ACCOUNT_MM;
		pr_info_once("/dev/vfio/vfio is provided by iommufd\n");
	}
	ictx->file = file;
	file->private_data = ictx;
	return 0;
}

static int iommufd_fops_release(struct inode *inode, struct file *file)
{
	struct iommufd_ctx *ictx = file->private_data;

	/* What cannot be destroyed goes on pointing to the context. */
	if (!iommufd_ctx_destroy_objects(ictx))
		return 0;
	WARN_ON(!xa_empty(&ictx->groups));
	kfree(ictx);
	return 0;
}

static const struct file_operations iommufd_fops = {
	.owner = THIS_MODULE,
	.open = iommufd_fops_open,
	.release = iommufd_fops_release,
	.unlocked_ioctl = iommufd_fops_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = iommufd_show_fdinfo,
};

/**
 * iommufd_ctx_put() - let go of a context
 * @ictx: from one of the functions below
 *
 * The last one closes the file, but not before the caller is back in user space
 * or has slept: it can hold any lock.
 *
 * Context: Any.
 */
void iommufd_ctx_put(struct iommufd_ctx *ictx)
{
	fput(ictx->file);
}
EXPORT_SYMBOL_NS_GPL(iommufd_ctx_put, IOMMUFD);

/**
 * iommufd_ctx_get() - hold a context
 * @ictx: a context the caller holds already, or is called from
 *
 * Context: Any.
 */
void iommufd_ctx_get(struct iommufd_ctx *ictx)
{
	struct file *file = ictx->file;

	get_file(file);
}
EXPORT_SYMBOL_NS_GPL(iommufd_ctx_get, IOMMUFD);

/**
 * iommufd_ctx_from_file() - the context of an open file
 * @file: any file
 *
 * Context: Any.
 * Return: the context, to be given back with iommufd_ctx_put(), or an ERR_PTR:
 * -EBADFD if it is not one of /dev/iommu.
 */
struct iommufd_ctx *iommufd_ctx_from_file(struct file *file)
{
	struct iommufd_ctx *ictx;

	if (file->f_op != &iommufd_fops)
		return ERR_PTR(-EBADFD);
	ictx = file->private_data;
	iommufd_ctx_get(ictx);
	return ictx;
}
EXPORT_SYMBOL_NS_GPL(iommufd_ctx_from_file, IOMMUFD);

/**
 * iommufd_ctx_from_fd() - the context of a file descriptor
 * @fd: any number
 *
 * Context: Process context.
 * Return: the context, to be given back with iommufd_ctx_put(), or an ERR_PTR:
 * -EBADF if it is no file; -EBADFD if it is not one of /dev/iommu.
 */
struct iommufd_ctx *iommufd_ctx_from_fd(int fd)
{
	struct file *file = fget(fd);
	struct iommufd_ctx *ictx;

	if (!file)
		return ERR_PTR(-EBADF);
	ictx = iommufd_ctx_from_file(file);
	fput(file);
	return ictx;
}
EXPORT_SYMBOL_NS_GPL(iommufd_ctx_from_fd, IOMMUFD);

/* -- the module -- */

/*
 * VFIO's node, which may be ours to provide, comes first: its minor can be taken,
 * and then nobody must have opened the other.
 */
static struct miscdevice iommufd_nodes[] = {
#if IS_ENABLED(CONFIG_IOMMUFD_VFIO_CONTAINER)
	{
		.name = "vfio",
		.nodename = "vfio/vfio",
		.mode = 0666,
		.minor = VFIO_MINOR,
		.fops = &iommufd_fops,
	},
#endif
	{
		.name = "iommu",
		.nodename = "iommu",
		.mode = 0660,
		.minor = MISC_DYNAMIC_MINOR,
		.fops = &iommufd_fops,
	},
};

/*
 * Tell lockdep the order of our locks before anything can get it wrong. Whoever
 * faults while holding one of them, that is pins pages or copies to user space,
 * takes mmap_lock after it: making that order wrong here lets lockdep find them.
 */
static int __init iommufd_teach_lock_order(void)
{
	struct mm_struct *mm = current->mm;
	struct iommufd_ctx ictx = {};
	struct iommufd_fault *fault;
	struct iommufd_ioas *ioas;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING))
		return 0;

	iommufd_ctx_init(&ictx);
	ioas = iommufd_ioas_begin(&ictx);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	fault = iommufd_fault_begin(&ictx);
	if (IS_ERR(fault)) {
		iommufd_object_abort(&ioas->obj);
		return PTR_ERR(fault);
	}

	scoped_guard(iommufd_turn, &ioas->attach_turn) {
		if (mm)
			mmap_read_lock(mm);
		mutex_lock(&ioas->mutex);
		down_read(&ioas->iopt.iova_rwsem);
		fs_reclaim_acquire(GFP_KERNEL);
		fs_reclaim_release(GFP_KERNEL);
		up_read(&ioas->iopt.iova_rwsem);
		mutex_unlock(&ioas->mutex);
		mutex_lock(&fault->mutex);
		xa_lock(&fault->groups);
		xa_unlock(&fault->groups);
		mutex_unlock(&fault->mutex);
		if (mm)
			mmap_read_unlock(mm);
	}
	iommufd_object_abort(&fault->obj);
	iommufd_object_abort(&ioas->obj);
	return 0;
}

static void iommufd_remove_nodes(size_t count)
{
	while (count)
		misc_deregister(&iommufd_nodes[--count]);
}

static int __init iommufd_make_nodes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(iommufd_nodes); i++) {
		int rc = misc_register(&iommufd_nodes[i]);

		if (rc) {
			iommufd_remove_nodes(i);
			return rc;
		}
	}
	return 0;
}

static int __init iommufd_init(void)
{
	int rc;

	rc = iommufd_teach_lock_order() ?: iopt_map_init();
	if (rc)
		return rc;
	rc = iommufd_test_init();
	if (rc)
		goto err_map;
	rc = iommufd_make_nodes();
	if (rc)
		goto err_test;
	return 0;

err_test:
	iommufd_test_exit();
err_map:
	iopt_map_exit();
	return rc;
}
module_init(iommufd_init);

static void __exit iommufd_exit(void)
{
	iommufd_remove_nodes(ARRAY_SIZE(iommufd_nodes));
	iommufd_test_exit();
	/* The memory of the last objects is on its way. */
	rcu_barrier();
	iopt_map_exit();
}
module_exit(iommufd_exit);

#if IS_ENABLED(CONFIG_IOMMUFD_VFIO_CONTAINER)
MODULE_ALIAS_MISCDEV(VFIO_MINOR);
MODULE_ALIAS("devname:vfio/vfio");
#endif
MODULE_IMPORT_NS(IOMMUFD_INTERNAL);
MODULE_IMPORT_NS(IOMMUFD);
MODULE_DESCRIPTION("IO address spaces for user space: /dev/iommu");
MODULE_LICENSE("GPL");
