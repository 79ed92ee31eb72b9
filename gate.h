/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A gate: two kinds of short work on an object that exclude each other, each done by
 * any number at once. The one is done often, by those who are inside; the other is
 * done now and then, by those who keep the gate closed.
 *
 * Who wants to close it comes first: from then on nobody enters, and it is closed when
 * those inside have left. Others may close it as well, but not while somebody waits to
 * enter: so nobody waits for more than those who are there already, and the waits need
 * not be killed, as both kinds of work are no more than a few driver calls. Inside,
 * nobody waits for another gate. Who needs two gates closed does that in one order. To
 * lockdep it is a lock that is taken for reading or for writing.
 */
#ifndef __IOMMUFD_GATE_H
#define __IOMMUFD_GATE_H

#include <linux/atomic.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

/*
 * In @state: one who closes it. One who is inside is 1, so it is less than 0 exactly
 * while somebody has closed it, and its lower half is how many are inside.
 */
#define IOMMUFD_GATE_CLOSER (-(1LL << 32))

/**
 * struct iommufd_gate - who is inside, and who has closed it
 * @state: how many of each; also what others wait on
 * @nr_waiting: so many wait to enter
 * @dep_map: for lockdep
 */
struct iommufd_gate {
	atomic64_t state;
	atomic_t nr_waiting;
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
		atomic64_set(&__gate->state, 0);			\
		atomic_set(&__gate->nr_waiting, 0);			\
		lockdep_init_map(&__gate->dep_map, #gate, &__key, 0);	\
	} while (0)

static inline bool iommufd_gate_is_closed(struct iommufd_gate *gate)
{
	return atomic64_read(&gate->state) < 0;
}

static inline void __iommufd_gate_leave(struct iommufd_gate *gate)
{
	/* A full barrier in front of the look who waits. */
	if (unlikely(atomic64_add_negative(-1, &gate->state)))
		wake_up_var(&gate->state);
}

static __always_inline bool iommufd_gate_try_enter(struct iommufd_gate *gate)
{
	/* Before, what those did who had it closed is not all to be seen. */
	if (likely(!atomic64_add_negative(1, &gate->state)))
		return true;
	__iommufd_gate_leave(gate);
	return false;
}

void iommufd_gate_await(struct iommufd_gate *gate);

/**
 * iommufd_gate_enter - be inside
 * @gate: the gate; the caller is not inside of any
 *
 * Context: Process context, may sleep while it is closed.
 */
static __always_inline void iommufd_gate_enter(struct iommufd_gate *gate)
{
	might_sleep();
	lock_map_acquire_read(&gate->dep_map);
	if (unlikely(!iommufd_gate_try_enter(gate)))
		iommufd_gate_await(gate);
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
	__iommufd_gate_leave(gate);
}

/**
 * iommufd_gate_pause - let those in who want to close it, if there are any
 * @gate: the gate, entered by the caller, who is inside again then
 *
 * Context: As iommufd_gate_enter().
 */
static inline void iommufd_gate_pause(struct iommufd_gate *gate)
{
	if (!iommufd_gate_is_closed(gate))
		return;
	iommufd_gate_leave(gate);
	iommufd_gate_enter(gate);
}

static inline void __iommufd_gate_shut(struct iommufd_gate *gate)
{
	/* They wait because it is closed, by others; who opens it lets them in. */
	if (unlikely(atomic_read(&gate->nr_waiting)))
		wait_var_event(&gate->state, !atomic_read(&gate->nr_waiting));
	/* A full barrier behind what those did who have left. */
	atomic64_add_return(IOMMUFD_GATE_CLOSER, &gate->state);
	wait_var_event(&gate->state,
		       !lower_32_bits(atomic64_read_acquire(&gate->state)));
}

/**
 * iommufd_gate_close - wait until nobody is inside, and keep it so
 * @gate: the gate; others may have closed it, too
 *
 * Context: Process context, may sleep.
 */
static inline void iommufd_gate_close(struct iommufd_gate *gate)
{
	lock_map_acquire(&gate->dep_map);
	__iommufd_gate_shut(gate);
}

/**
 * iommufd_gate_open - let others enter again, as far as the caller is concerned
 * @gate: the gate, closed by the caller
 *
 * Context: Process context.
 */
static inline void iommufd_gate_open(struct iommufd_gate *gate)
{
	lock_map_release(&gate->dep_map);
	/* A full barrier in front of the look who waits: they have said so before. */
	atomic64_sub_return(IOMMUFD_GATE_CLOSER, &gate->state);
	if (unlikely(atomic_read(&gate->nr_waiting)))
		wake_up_var(&gate->state);
}

/**
 * iommufd_gate_close_both - close two gates
 * @one: a gate
 * @other: another one, or the same
 *
 * In the order of their addresses: who has the one closed may wait for those who want to
 * enter the other, and they for who has that closed.
 *
 * Context: As iommufd_gate_close().
 */
static inline void iommufd_gate_close_both(struct iommufd_gate *one,
					   struct iommufd_gate *other)
{
	struct iommufd_gate *second = max(one, other);

	iommufd_gate_close(min(one, other));
	if (one == other)
		return;
	lock_acquire_exclusive(&second->dep_map, SINGLE_DEPTH_NESTING, 0, NULL,
			       _THIS_IP_);
	__iommufd_gate_shut(second);
}

/**
 * iommufd_gate_open_both - undo iommufd_gate_close_both()
 * @one: as there
 * @other: as there
 *
 * Context: Process context.
 */
static inline void iommufd_gate_open_both(struct iommufd_gate *one,
					  struct iommufd_gate *other)
{
	iommufd_gate_open(max(one, other));
	if (one != other)
		iommufd_gate_open(min(one, other));
}

#endif
