/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A gate: two kinds of short changes of an object that exclude each other, of which
 * the first kind comes in any number at once.
 *
 * Who makes one of the first kind is inside; who makes one of the second kind waits
 * until nobody is, and closes the gate meanwhile. Nobody waits for one who only wants
 * to close it, so a task can be inside of two gates, in either order. Both kinds are
 * no more than a driver call: that is what makes it all right that the waits cannot be
 * killed. To lockdep it is a lock that is taken for reading or for writing.
 */
#ifndef __IOMMUFD_GATE_H
#define __IOMMUFD_GATE_H

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

/* In @nr_inside: it is closed. */
#define IOMMUFD_GATE_CLOSED (-1)

/**
 * struct iommufd_gate - who is inside
 * @nr_inside: so many, or IOMMUFD_GATE_CLOSED; also what others wait on
 * @dep_map: for lockdep
 */
struct iommufd_gate {
	atomic_t nr_inside;
	struct lockdep_map dep_map;
};

/**
 * iommufd_gate_init - have it open, with nobody inside
 * @gate: the gate; one lockdep class for each place this is written at
 */
#define iommufd_gate_init(gate)						\
	do {								\
		static struct lock_class_key __key;			\
		struct iommufd_gate *__gate = (gate);			\
									\
		atomic_set(&__gate->nr_inside, 0);			\
		lockdep_init_map(&__gate->dep_map, #gate, &__key, 0);	\
	} while (0)

/**
 * iommufd_gate_enter - be inside
 * @gate: the gate
 *
 * Context: Process context, may sleep while it is closed.
 */
static inline void iommufd_gate_enter(struct iommufd_gate *gate)
{
	lock_map_acquire_read(&gate->dep_map);
	wait_var_event(&gate->nr_inside,
		       atomic_inc_unless_negative(&gate->nr_inside));
}

/**
 * iommufd_gate_leave - be inside no longer
 * @gate: the gate, entered by the caller
 *
 * Context: Process context.
 */
static inline void iommufd_gate_leave(struct iommufd_gate *gate)
{
	lock_map_release(&gate->dep_map);
	if (atomic_dec_and_test(&gate->nr_inside))
		wake_up_var(&gate->nr_inside);
}

static inline bool __iommufd_gate_try_close(struct iommufd_gate *gate)
{
	return !atomic_cmpxchg(&gate->nr_inside, 0, IOMMUFD_GATE_CLOSED);
}

/**
 * iommufd_gate_close - wait until nobody is inside, and keep it so
 * @gate: the gate
 *
 * Context: Process context, may sleep.
 */
static inline void iommufd_gate_close(struct iommufd_gate *gate)
{
	lock_map_acquire(&gate->dep_map);
	wait_var_event(&gate->nr_inside, __iommufd_gate_try_close(gate));
}

/**
 * iommufd_gate_open - let others enter again
 * @gate: the gate, closed by the caller
 *
 * Context: Process context.
 */
static inline void iommufd_gate_open(struct iommufd_gate *gate)
{
	lock_map_release(&gate->dep_map);
	/* A full barrier in front of the look who waits. */
	atomic_inc_return(&gate->nr_inside);
	wake_up_var(&gate->nr_inside);
}

DEFINE_GUARD(iommufd_gate, struct iommufd_gate *, iommufd_gate_close(_T),
	     iommufd_gate_open(_T))

#endif
