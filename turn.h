/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A turn: the right to make one of those changes of an object that come one
 * after the other and take long.
 *
 * Attaching a device pins pages, fills page tables and waits for whoever serves
 * the user's page faults. A mutex must not be held over that: the next one to
 * come could not even be killed. So a turn belongs to a task and has no more
 * rights than its name says: readers and short changes do not ask for it, they
 * have a real lock of their own. To lockdep it is one more lock. Whoever has the turn
 * keeps the object until it has ended it.
 */
#ifndef __IOMMUFD_TURN_H
#define __IOMMUFD_TURN_H

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

/**
 * struct iommufd_turn - whose turn it is
 * @holder: the task, NULL if it is nobody's; also what others wait on
 * @nr_waiting: so many wait
 * @dep_map: for lockdep
 */
struct iommufd_turn {
	struct task_struct *holder;
	atomic_t nr_waiting;
	struct lockdep_map dep_map;
};

/**
 * iommufd_turn_init - make it nobody's turn
 * @turn: the turn; one lockdep class for each place this is written at
 */
#define iommufd_turn_init(turn)						\
	do {								\
		static struct lock_class_key __key;			\
		struct iommufd_turn *__turn = (turn);			\
									\
		__turn->holder = NULL;					\
		atomic_set(&__turn->nr_waiting, 0);			\
		lockdep_init_map(&__turn->dep_map, #turn, &__key, 0);	\
	} while (0)

static inline bool __iommufd_turn_try(struct iommufd_turn *turn)
{
	return !cmpxchg(&turn->holder, NULL, current);
}

/**
 * iommufd_turn_take - wait for one's turn, whatever comes
 * @turn: the turn
 *
 * Context: Process context, may sleep; for teardown, which cannot fail.
 */
static inline void iommufd_turn_take(struct iommufd_turn *turn)
{
	lock_map_acquire(&turn->dep_map);
	if (likely(__iommufd_turn_try(turn)))
		return;
	atomic_inc(&turn->nr_waiting);
	wait_var_event(&turn->holder, __iommufd_turn_try(turn));
	atomic_dec(&turn->nr_waiting);
}

/**
 * iommufd_turn_take_killable - wait for one's turn
 * @turn: the turn
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EINTR when a fatal signal came first.
 */
static inline int iommufd_turn_take_killable(struct iommufd_turn *turn)
{
	int rc;

	lock_map_acquire(&turn->dep_map);
	if (likely(__iommufd_turn_try(turn)))
		return 0;
	atomic_inc(&turn->nr_waiting);
	rc = wait_var_event_killable(&turn->holder, __iommufd_turn_try(turn));
	atomic_dec(&turn->nr_waiting);
	if (!rc)
		return 0;
	lock_map_release(&turn->dep_map);
	return -EINTR;
}

/**
 * iommufd_turn_end - let the next one have its turn
 * @turn: the turn, held by the caller
 *
 * Context: Process context, the task that took the turn.
 */
static inline void iommufd_turn_end(struct iommufd_turn *turn)
{
	lockdep_assert_held(turn);

	lock_map_release(&turn->dep_map);
	/* To who takes the turn, all is done. */
	smp_store_release(&turn->holder, NULL);
	smp_mb(); /* who waits has said so before it looked */
	if (unlikely(atomic_read(&turn->nr_waiting)))
		wake_up_var(&turn->holder);
}

DEFINE_GUARD(iommufd_turn, struct iommufd_turn *, iommufd_turn_take(_T),
	     iommufd_turn_end(_T))

#endif
