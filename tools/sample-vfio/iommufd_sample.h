/* SPDX-License-Identifier: GPL-2.0-only */
/* What user space says to the sample device, see iommufd_sample.c. */
#ifndef IOMMUFD_SAMPLE_H
#define IOMMUFD_SAMPLE_H

#include <linux/types.h>

/* Region 0 takes commands when written to and gives the state when read. */
#define SAMPLE_COMMAND_OFFSET	0

/* Region 1 is the device's memory. */
#define SAMPLE_MEMORY_OFFSET	0x10000
#define SAMPLE_MEMORY_BYTES	0x40000

#define SAMPLE_MAX_PIN_PAGES	4096

/**
 * enum sample_op - what the device shall do
 * @SAMPLE_PIN: pin the pages of a range, none of which is pinned
 * @SAMPLE_UNPIN: unpin those pages of a range that are pinned
 * @SAMPLE_LOAD: copy a range to the start of the device's memory
 * @SAMPLE_STORE: copy the start of the device's memory to a range
 * @SAMPLE_PEEK: like LOAD, but through the pages that PIN has given
 * @SAMPLE_POKE: like STORE, but through the pages that PIN has given
 * @SAMPLE_SET_MODE: the flags are those of the mode, see there
 */
enum sample_op {
	SAMPLE_PIN,
	SAMPLE_UNPIN,
	SAMPLE_LOAD,
	SAMPLE_STORE,
	SAMPLE_PEEK,
	SAMPLE_POKE,
	SAMPLE_SET_MODE,
};

/**
 * enum sample_flags - how it shall do it
 * @SAMPLE_KTHREAD: in a kernel thread instead of the caller's context
 * @SAMPLE_READ_ONLY: PIN: without the right to write
 */
enum sample_flags {
	SAMPLE_KTHREAD = 1,
	SAMPLE_READ_ONLY = 2,
};

/**
 * enum sample_mode - bad habits, until the device is closed
 * @SAMPLE_HOLD: do not unpin when asked to
 * @SAMPLE_LEAVE: do not unpin when closed either: wait to be asked
 */
enum sample_mode {
	SAMPLE_HOLD = 1,
	SAMPLE_LEAVE = 2,
};

/**
 * struct sample_command - written to region 0, as a whole
 * @op: of enum sample_op
 * @flags: of enum sample_flags
 * @iova: where the range begins; PIN and UNPIN take all pages that it touches
 * @length: bytes, more than 0
 *
 * The write fails with the errno of the command.
 */
struct sample_command {
	__u32 op;
	__u32 flags;
	__aligned_u64 iova;
	__aligned_u64 length;
};

/**
 * struct sample_state - read from region 0
 * @pinned_pages: as many are pinned
 * @unmaps: calls of dma_unmap since the device was opened
 */
struct sample_state {
	__aligned_u64 pinned_pages;
	__aligned_u64 unmaps;
};

#endif
