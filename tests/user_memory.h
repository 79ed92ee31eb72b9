/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory at user addresses for KUnit tests, whose physical pages, faults and
 * pins the test knows all about.
 *
 * It is a mapping of a file with a fault handler of ours, so it is pinned by
 * the kernel's own functions, through real page faults, which the test can make
 * fail or wait, as a userfaultfd would.
 */
#ifndef __IOMMUFD_TESTS_USER_MEMORY_H
#define __IOMMUFD_TESTS_USER_MEMORY_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/types.h>
#include <linux/wait.h>

struct kunit;
struct page;

#define USER_MEMORY_NO_INDEX ULONG_MAX

/**
 * struct user_memory - user memory of a test
 * @kref: the test's and the file's
 * @test: for failures
 * @uptr: user address, a multiple of PAGE_SIZE
 * @npages: pages
 * @parked_index: faults on this page wait until it changes
 * @bad_index: faults on this page fail
 * @yields: faults let others run
 * @nr_parked: faults that wait
 * @wait: for @parked_index and @nr_parked
 * @pages: what is behind the addresses
 */
struct user_memory {
	struct kref kref;
	struct kunit *test;
	unsigned long uptr;
	unsigned long npages;
	unsigned long parked_index;
	unsigned long bad_index;
	bool yields;
	atomic_t nr_parked;
	wait_queue_head_t wait;
	struct page *pages[] __counted_by(npages);
};

struct user_memory *user_memory_make(struct kunit *test, unsigned long npages,
				     unsigned long block_pages);
void user_memory_park(struct user_memory *memory, unsigned long index);
void user_memory_wait_parked(struct user_memory *memory);
void user_memory_resume(struct user_memory *memory);
void user_memory_break(struct user_memory *memory, unsigned long index);
void user_memory_forget(struct user_memory *memory);
void user_memory_exchange(struct user_memory *memory, unsigned long a,
			  unsigned long b, unsigned long npages);
unsigned int user_memory_pins(const struct user_memory *memory,
			      unsigned long index);
unsigned long user_memory_total_pins(const struct user_memory *memory);

#endif
