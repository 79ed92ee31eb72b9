/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of fault queues share: a mock device in front of two HWPTs, each
 * with a queue, and what the mock has counted.
 */
#ifndef IOMMU_SELFTEST_FAULT_H
#define IOMMU_SELFTEST_FAULT_H

#include <poll.h>

#include "mock.h"

#define RECORD	sizeof(struct iommu_hwpt_pgfault)
#define ANSWER	sizeof(struct iommu_hwpt_page_response)

#define SUCCESS	IOMMUFD_PAGE_RESP_SUCCESS
#define INVALID	IOMMUFD_PAGE_RESP_INVALID

/* A queue, its file, and a HWPT that reports to it. */
struct queue {
	__u32 id;
	int file;
	__u32 hwpt;
};

/* What the mock has counted: groups sent, not sent, and answers by their code. */
struct tally {
	long reported;
	long withheld;
	long success;
	long invalid;
	long failure;
};

static inline struct tally tally_now(void)
{
	return (struct tally){
		.reported = read_number(SWITCH("faults_reported")),
		.withheld = read_number(SWITCH("faults_withheld")),
		.success = read_number(SWITCH("faults_success")),
		.invalid = read_number(SWITCH("faults_invalid")),
		.failure = read_number(SWITCH("faults_failure")),
	};
}

static inline struct tally tally_since(const struct tally *start)
{
	struct tally now = tally_now();

	now.reported -= start->reported;
	now.withheld -= start->withheld;
	now.success -= start->success;
	now.invalid -= start->invalid;
	now.failure -= start->failure;
	return now;
}

static inline long unanswered(const struct tally *tally)
{
	return tally->reported - tally->success - tally->invalid -
	       tally->failure;
}

static inline int queue_make(int fd, __u32 dev, __u32 parent, struct queue *queue)
{
	return fault_alloc(fd, &queue->id, &queue->file) ?:
	       fault_hwpt_alloc(fd, dev, parent, queue->id, &queue->hwpt);
}

/* Fault at an address; the group number is made of it as well. */
static inline int fault_at(int fd, __u32 dev, __u64 addr)
{
	struct request request = {
		.pasid = 1,
		.grpid = addr >> 12,
		.perm = IOMMU_PGFAULT_PERM_READ,
		.addr = addr,
	};

	return trigger_iopf(fd, dev, &request);
}

/* Return: bytes, or a negative errno. */
static inline long read_faults(int fault_file, void *to, size_t bytes)
{
	ssize_t done = read(fault_file, to, bytes);

	return done < 0 ? -errno : done;
}

/* The same. */
static inline long write_answers(int fault_file, const void *from, size_t bytes)
{
	ssize_t done = write(fault_file, from, bytes);

	return done < 0 ? -errno : done;
}

/* Read one group of one record. Return: its cookie, or 0. */
static inline __u32 read_cookie(int file)
{
	struct iommu_hwpt_pgfault record;

	return read_faults(file, &record, RECORD) == RECORD ? record.cookie : 0;
}

static inline short poll_now(int file)
{
	struct pollfd item = {
		.fd = file,
		.events = POLLIN | POLLRDNORM | POLLOUT,
	};

	return poll(&item, 1, 0) < 0 ? -1 : item.revents;
}

#endif
