/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Something that another thread does.
 */
#ifndef IOMMU_SELFTEST_TASK_H
#define IOMMU_SELFTEST_TASK_H

#include <pthread.h>
#include <stdbool.h>

#include "mock.h"

struct task {
	int (*step)(const struct task *task);
	int fd;
	struct mock *mock;
	/* an ID, where a step needs one */
	__u32 id;
	pthread_t thread;
	int rc;
	int is_done;
};

static inline void *do_task(void *arg)
{
	struct task *task = arg;

	task->rc = task->step(task);
	__atomic_store_n(&task->is_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static inline bool task_is_done(const struct task *task)
{
	return __atomic_load_n(&task->is_done, __ATOMIC_ACQUIRE);
}

static inline int begin_task(struct task *task)
{
	return pthread_create(&task->thread, NULL, do_task, task);
}

static inline int end_task(struct task *task)
{
	return pthread_join(task->thread, NULL) ? -EINVAL : task->rc;
}

/* Time enough for the other one to overtake, if it can. */
static inline void let_overtake(void)
{
	usleep(200000);
}

#endif
