// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everybody at once: devices that fault while they come, go and move, readers, pollers
 * and writers of answers, right and wrong ones, queues that are closed and made anew.
 * The mock warns of a second answer, and of a device that leaves without the last one;
 * what is looked at here is the errors, and that each fault has got one answer.
 */
#include <linux/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "fault.h"
#include "harness.h"

#define SECONDS	4
#define QUEUES	2
#define DEVICES	3
/* Cookies that were read and have no answer yet, of all queues. */
#define COOKIES	64

struct shared {
	int fd;
	__u32 ioas;
	__u32 parent;
	struct mock mocks[DEVICES];
	/* the first device makes the HWPTs, and stays */
	struct mock maker;
	pthread_mutex_t lock;
	struct queue queues[QUEUES];
	/* the queue in the upper half */
	_Atomic __u64 cookies[COOKIES];
	atomic_bool stop;
};

struct worker {
	struct shared *shared;
	unsigned int number;
	int (*step)(struct worker *worker);
	pthread_t thread;
	unsigned int seed;
	unsigned long successes;
	int error;
};

static unsigned int any(struct worker *worker, unsigned int limit)
{
	return rand_r(&worker->seed) / 7 % limit;
}

/* A file of a queue for oneself, so that nobody closes it in between; or -1. */
static int borrow_file(struct worker *worker, unsigned int nth)
{
	struct shared *shared = worker->shared;
	int file;

	pthread_mutex_lock(&shared->lock);
	file = shared->queues[nth].file < 0 ? -1 :
					      dup(shared->queues[nth].file);
	pthread_mutex_unlock(&shared->lock);
	return file;
}

static __u32 any_hwpt(struct worker *worker)
{
	struct shared *shared = worker->shared;
	unsigned int nth = any(worker, QUEUES + 1);
	__u32 hwpt;

	if (nth == QUEUES)
		return shared->ioas;
	pthread_mutex_lock(&shared->lock);
	hwpt = shared->queues[nth].hwpt;
	pthread_mutex_unlock(&shared->lock);
	return hwpt;
}

/* Has an object gone that another thread has destroyed? */
static bool is_gone(int rc)
{
	return rc == -ENOENT || rc == -EINVAL;
}

static int step_fault(struct worker *worker)
{
	struct shared *shared = worker->shared;
	struct request request = {
		.pasid = any(worker, 3),
		.grpid = any(worker, 512),
		.perm = IOMMU_PGFAULT_PERM_WRITE,
		.addr = (__u64)any(worker, 1 << 20) << 12,
	};
	int rc = trigger_iopf(shared->fd,
			      shared->mocks[any(worker, DEVICES)].idev,
			      &request);

	/* one that is away for the moment */
	if (rc == -ENOENT)
		return 0;
	return rc ?: 1;
}

static void remember(struct worker *worker, unsigned int nth, __u32 cookie)
{
	struct shared *shared = worker->shared;

	atomic_store(&shared->cookies[any(worker, COOKIES)],
		     (__u64)(nth + 1) << 32 | cookie);
}

static bool is_last(const struct iommu_hwpt_pgfault *record)
{
	return record->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE;
}

/* Return: whether a cookie names one group, all of which is there. */
static bool are_whole(const struct iommu_hwpt_pgfault *records, size_t num)
{
	size_t i;

	for (i = 0; i + 1 < num; i++) {
		bool is_next = records[i].cookie != records[i + 1].cookie;

		if (is_last(&records[i]) != is_next)
			return false;
	}
	return !num || is_last(&records[num - 1]);
}

static int read_some(struct worker *worker, int file, unsigned int nth)
{
	struct iommu_hwpt_pgfault records[16];
	size_t room = 1 + any(worker, 16);
	long bytes, i;

	/* Now and then into nowhere. */
	if (!any(worker, 8)) {
		bytes = read_faults(file, NULL, room * RECORD);
		return bytes && bytes != -EFAULT && bytes != -EINVAL ? -EPROTO : 1;
	}
	bytes = read_faults(file, records, room * RECORD);
	if (bytes == -EINVAL)
		return 1;
	if (bytes < 0)
		return bytes;
	if (!are_whole(records, bytes / RECORD))
		return -EBADMSG;
	for (i = 0; i < bytes / (long)RECORD; i++)
		remember(worker, nth, records[i].cookie);
	return 1;
}

static int step_read(struct worker *worker)
{
	unsigned int nth = any(worker, QUEUES);
	int file = borrow_file(worker, nth), rc;

	if (file < 0)
		return 0;
	rc = read_some(worker, file, nth);
	close(file);
	return rc;
}

static int step_poll(struct worker *worker)
{
	int file = borrow_file(worker, any(worker, QUEUES));
	struct pollfd item = { .fd = file, .events = POLLIN };
	int rc;

	if (file < 0)
		return 0;
	rc = poll(&item, 1, 5);
	close(file);
	if (rc < 0)
		return -errno;
	return rc && !(item.revents & POLLIN) ? -EPROTO : 1;
}

/* Most are taken away, some are left for another answer. Return: 0 if there is none. */
static __u64 take_cookie(struct worker *worker)
{
	_Atomic __u64 *cookies = worker->shared->cookies;
	__u64 cookie = 0;
	int i;

	if (!any(worker, 8))
		return atomic_load(&cookies[any(worker, COOKIES)]);
	for (i = 0; i < COOKIES && !cookie; i++)
		cookie = atomic_exchange(&cookies[i], 0);
	return cookie;
}

/* An answer that may come too late, twice, or to the wrong queue. */
static int step_answer(struct worker *worker)
{
	__u64 cookie = take_cookie(worker);
	unsigned int nth = (cookie >> 32) - 1;
	int file, rc;

	if (!cookie)
		return 0;
	file = borrow_file(worker, any(worker, 16) ? nth : !nth);
	if (file < 0)
		return 0;
	rc = answer(file, cookie, any(worker, 3));
	close(file);
	return rc && rc != -EINVAL ? rc : 1;
}

/* Each has a device of its own to move. */
static int step_move(struct worker *worker)
{
	struct shared *shared = worker->shared;
	struct mock *mock = &shared->mocks[worker->number % DEVICES];
	int rc;

	usleep(any(worker, 2000));
	if (any(worker, 8)) {
		rc = mock_replace(shared->fd, mock, any_hwpt(worker));
		return rc && !is_gone(rc) ? rc : 1;
	}
	rc = destroy(shared->fd, mock->stdev);
	if (rc)
		return rc;
	do
		rc = mock_device(shared->fd, any_hwpt(worker), mock);
	while (is_gone(rc));
	return rc ?: 1;
}

/* Close a queue, and make it anew as soon as no device is left there. */
static int step_renew(struct worker *worker)
{
	struct shared *shared = worker->shared;
	struct queue *queue = &shared->queues[any(worker, QUEUES)];
	int rc;

	usleep(2000);
	pthread_mutex_lock(&shared->lock);
	if (queue->file >= 0)
		close(queue->file);
	queue->file = -1;
	rc = queue->hwpt ? destroy(shared->fd, queue->hwpt) : 0;
	if (!rc)
		queue->hwpt = 0;
	if (!rc)
		rc = destroy(shared->fd, queue->id);
	if (!rc)
		rc = queue_make(shared->fd, shared->maker.idev, shared->parent,
				queue);
	pthread_mutex_unlock(&shared->lock);
	/* somebody is still there, or has a copy of the file */
	return rc == -EBUSY ? 0 : rc ?: 1;
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;

	while (!atomic_load(&worker->shared->stop) && !worker->error) {
		int rc = worker->step(worker);

		if (rc < 0)
			worker->error = rc;
		else
			worker->successes += rc;
	}
	return NULL;
}

FIXTURE(fault_race)
{
	struct shared shared;
	struct tally start;
};

FIXTURE_VARIANT(fault_race)
{
	/* of each group, in front of the last one */
	unsigned int pages;
};

FIXTURE_VARIANT_ADD(fault_race, single_pages)
{
};

FIXTURE_VARIANT_ADD(fault_race, several_pages)
{
	.pages = 3,
};

FIXTURE_SETUP(fault_race)
{
	struct shared *shared = &self->shared;
	int i;

	self->start = tally_now();
	ASSERT_LE(0, self->start.reported);
	shared->fd = open_iommu();
	ASSERT_LE(0, shared->fd);
	ASSERT_EQ(0, reset_switches(shared->fd));
	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), variant->pages));
	ASSERT_EQ(0, ioas_alloc(shared->fd, &shared->ioas));
	ASSERT_EQ(0, mock_device(shared->fd, shared->ioas, &shared->maker));
	ASSERT_EQ(0, hwpt_alloc(shared->fd, IOMMU_HWPT_ALLOC_NEST_PARENT,
				shared->maker.idev, shared->ioas,
				&shared->parent));
	for (i = 0; i < QUEUES; i++)
		ASSERT_EQ(0, queue_make(shared->fd, shared->maker.idev,
					shared->parent, &shared->queues[i]));
	for (i = 0; i < DEVICES; i++)
		ASSERT_EQ(0, mock_device(shared->fd, shared->queues[0].hwpt,
					 &shared->mocks[i]));
	pthread_mutex_init(&shared->lock, NULL);
}

FIXTURE_TEARDOWN(fault_race)
{
	EXPECT_EQ(0, reset_switches(self->shared.fd));
	close(self->shared.fd);
}

/* Scenario 40. */
TEST_F(fault_race, everybody)
{
	int (*steps[])(struct worker *) = {
		step_fault, step_fault, step_read, step_read, step_poll,
		step_answer, step_answer, step_move, step_move, step_move,
		step_renew,
	};
	const unsigned int num = sizeof(steps) / sizeof(steps[0]);
	struct worker workers[sizeof(steps) / sizeof(steps[0])] = {};
	struct tally tally;
	unsigned int i;

	for (i = 0; i < num; i++) {
		workers[i] = (struct worker){
			.shared = &self->shared,
			.number = i,
			.step = steps[i],
			.seed = i + 1,
		};
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_run,
					    &workers[i]));
	}
	sleep(SECONDS);
	atomic_store(&self->shared.stop, true);
	for (i = 0; i < num; i++)
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
	for (i = 0; i < num; i++) {
		EXPECT_EQ(0, workers[i].error)
			TH_LOG("worker %u", i);
		EXPECT_LT(0, workers[i].successes)
			TH_LOG("worker %u", i);
	}

	for (i = 0; i < DEVICES; i++)
		EXPECT_EQ(0, destroy(self->shared.fd,
				     self->shared.mocks[i].stdev));
	tally = tally_since(&self->start);
	TH_LOG("%ld faults, %ld not sent, answers: %ld good, %ld bad",
	       tally.reported, tally.withheld, tally.success, tally.invalid);
	EXPECT_EQ(0, unanswered(&tally));
	EXPECT_EQ(0, tally.failure);
	EXPECT_LT(0, tally.success);
	EXPECT_LT(0, tally.invalid);
}

TEST_HARNESS_MAIN
