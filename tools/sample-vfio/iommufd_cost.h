/* SPDX-License-Identifier: GPL-2.0-only */
/* What user space has iommufd_cost.c count. */
#ifndef IOMMUFD_COST_H
#define IOMMUFD_COST_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of a single copy. */
#define COST_MAX_COPY	0x100000

/* Bytes of a range. */
#define COST_MAX_LENGTH	0x10000000

/**
 * enum cost_op - what is counted; each is done and undone, or done both ways
 * @COST_PIN: iommufd_access_pin_pages(), iommufd_access_unpin_pages()
 * @COST_BARE_PIN: pin_user_pages_fast(), unpin_user_pages()
 * @COST_BARE_PIN_DIRTY: the same, unpin_user_pages_dirty_lock()
 * @COST_COPY: iommufd_access_rw(), from memory and to memory
 * @COST_BARE_COPY: memcpy() from and to pages that are pinned already
 * @COST_USER_COPY: copy_from_user() and copy_to_user()
 */
enum cost_op {
	COST_PIN,
	COST_BARE_PIN,
	COST_BARE_PIN_DIRTY,
	COST_COPY,
	COST_BARE_COPY,
	COST_USER_COPY,
};

/**
 * enum cost_flags - how
 * @COST_HOLD: the access has pinned the range before
 * @COST_KTHREAD: in a kernel thread
 */
enum cost_flags {
	COST_HOLD = 1,
	COST_KTHREAD = 2,
};

/**
 * struct cost_request - argument of COST_RUN
 * @op: of enum cost_op
 * @flags: of enum cost_flags
 * @iommufd: the file of the IOAS
 * @ioas_id: the IOAS
 * @iova: where the range is mapped, a whole number of pages
 * @uptr: its user address, likewise
 * @length: its bytes, a multiple of @piece
 * @piece: bytes done in one call, a whole number of pages
 * @make_ns: set: nanoseconds for the range, without those of an empty loop
 * @undo_ns: set: the same for the opposite
 */
struct cost_request {
	__u32 op;
	__u32 flags;
	__s32 iommufd;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 uptr;
	__aligned_u64 length;
	__aligned_u64 piece;
	__aligned_u64 make_ns;
	__aligned_u64 undo_ns;
};

#define COST_RUN	_IOWR('c', 0, struct cost_request)

#endif
