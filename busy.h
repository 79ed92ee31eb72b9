/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Busy states that are no turn (turn.h): a range of indexes, say.
 *
 * Whoever finds the state busy waits on it with wait_var_event(). Lockdep knows
 * nothing of that, so the state has a map that is acquired and released as if
 * it were a lock.
 */
#ifndef __IOMMUFD_BUSY_H
#define __IOMMUFD_BUSY_H

#include <linux/build_bug.h>
#include <linux/lockdep.h>

#ifdef CONFIG_LOCKDEP
#define DEFINE_BUSY_MAP(map, label)                                     \
	static struct lock_class_key map##_key;                         \
	struct lockdep_map map =                                        \
		STATIC_LOCKDEP_MAP_INIT(label, &map##_key)
#else
#define DEFINE_BUSY_MAP(map, label)               \
	extern struct lockdep_map map;            \
	static_assert(sizeof(label) > 1)
#endif

#endif
