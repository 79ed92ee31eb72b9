/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Let the nth thing fail that can fail in the current task: an allocation from the
 * slab, or what iommufd_should_fail() stands in front of.
 */
#ifndef __IOMMUFD_TESTS_FAULT_H
#define __IOMMUFD_TESTS_FAULT_H

#include <linux/sched.h>
#include <linux/types.h>

struct kunit;

bool fault_prepare(struct kunit *test);

#ifdef CONFIG_FAULT_INJECTION

/**
 * fault_arm() - let something fail
 * @nth: the nth that can, from 1
 */
static inline void fault_arm(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/**
 * fault_disarm() - let nothing fail any more
 *
 * Return: whether something has.
 */
static inline bool fault_disarm(void)
{
	bool fired = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return fired;
}

#else

static inline void fault_arm(unsigned int nth)
{
}

static inline bool fault_disarm(void)
{
	return false;
}

#endif

#endif
