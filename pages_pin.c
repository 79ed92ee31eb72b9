// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pinning: how a batch of PFNs is made from a source, and the one source there
 * is so far, memory at user addresses.
 *
 * Nothing here runs in a section or under a lock of ours: a page fault taken
 * on behalf of a pin can wait for user space (userfaultfd, FUSE) for ever.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "pages.h"
#include "test_hooks.h"

/* A page of pointers: pinning costs the same per page from here on. */
#define IOPT_PIN_MAX_PAGES (PAGE_SIZE / sizeof(struct page *))

/* Runs gathered before they are mapped; bounds the temporary memory. */
#define IOPT_PIN_MAX_RUNS 2048UL

/* Runs unpinned between two looks whether others want the CPU. */
#define IOPT_UNPIN_RESCHED_RUNS 1024U

/* Bytes of temporary memory for one array; a test may make it tiny. */
unsigned int iopt_temp_bytes_limit = SZ_64K;

static void iopt_pin_alloc_upages(struct iopt_pin *pin, unsigned long npages)
{
	pin->own_upages = kmalloc_array(npages, sizeof(*pin->upages),
					GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
					__GFP_NORETRY);
	if (pin->own_upages) {
		pin->upages = pin->own_upages;
		pin->max_upages = npages;
	}
}

static void iopt_pin_init_upages(struct iopt_pin *pin, unsigned long npages,
				 size_t limit_bytes)
{
	unsigned long limit_pages = max(limit_bytes / sizeof(*pin->upages), 1);

	npages = min(npages, limit_pages);
	if (pin->upages) {
		pin->max_upages = npages;
		return;
	}
	pin->upages = pin->inline_upages;
	pin->max_upages = min(limit_pages, IOPT_PIN_INLINE_PAGES);
	if (npages > pin->max_upages)
		iopt_pin_alloc_upages(pin, npages);
}

/**
 * iopt_pin_init() - prepare to pin
 * @pin: what to prepare
 * @npages: pages that are going to be pinned altogether
 * @upages: scratch with as many entries, or NULL
 *
 * When memory is short it makes do with what is inside @pin.
 *
 * Context: process; sleeps.
 */
void iopt_pin_init(struct iopt_pin *pin, unsigned long npages,
		   struct page **upages)
{
	size_t limit_bytes = READ_ONCE(iopt_temp_bytes_limit);
	unsigned long max_runs = min(npages, IOPT_PIN_MAX_RUNS);

	if (npages <= IOPT_PIN_INLINE_PAGES)
		max_runs = min(max_runs, PFN_BATCH_INLINE_RUNS);
	pfn_batch_init(&pin->batch);
	pfn_batch_reserve(&pin->batch, max_runs, limit_bytes);
	pin->upages = upages;
	pin->own_upages = NULL;
	iopt_pin_init_upages(pin, min(npages, IOPT_PIN_MAX_PAGES), limit_bytes);
}

/**
 * iopt_pin_destroy() - free the scratch memory
 * @pin: holds no pins any more
 *
 * Context: any.
 */
void iopt_pin_destroy(struct iopt_pin *pin)
{
	pfn_batch_destroy(&pin->batch);
	kfree(pin->own_upages);
}

/* Unpin pages of some runs. Return: how many of the @npages are left. */
static unsigned long iopt_pages_unpin_runs(struct iopt_pages *pages,
					   const struct pfn_run *run,
					   const struct pfn_run *end,
					   unsigned long npages)
{
	for (; run != end && npages; run++) {
		unsigned long n = min(npages, (unsigned long)run->npfns);

		pages->ops->unpin(pages, run->pfn, n);
		npages -= n;
	}
	return npages;
}

/**
 * iopt_pages_unpin_front() - give back the first pages of a batch
 * @pages: whose pages
 * @batch: they are taken out of it
 * @npages: how many, at most all
 *
 * Context: process; may lock and dirty folios.
 */
void iopt_pages_unpin_front(struct iopt_pages *pages, struct pfn_batch *batch,
			    unsigned long npages)
{
	unsigned int first_run = batch->first_run;
	unsigned long left = npages;

	while (left && first_run != batch->end_run) {
		unsigned int end_run = min(batch->end_run,
					   first_run + IOPT_UNPIN_RESCHED_RUNS);

		left = iopt_pages_unpin_runs(pages, batch->runs + first_run,
					     batch->runs + end_run, left);
		first_run = end_run;
		if (left)
			cond_resched();
	}
	pfn_batch_skip_front(batch, npages);
}

/**
 * iopt_pin_gather() - pin pages until the batch is full
 * @pages: whose pages
 * @pin: its batch is added to
 * @first_index: the first page
 * @max_pages: stop after so many, at least 1
 *
 * A batch in which the worst case no longer fits for a good part of @upages
 * counts as full: what is pinned beyond the batch's room must be given back.
 *
 * Context: process, no section; sleeps as long as user space likes.
 * Return: pages added, also if it went wrong afterwards; 0 if there was no room;
 * or -errno with nothing added: -EFAULT, -ENOMEM, -EINTR on a fatal signal, and
 * what the kernel's pinning functions say.
 */
long iopt_pin_gather(struct iopt_pages *pages, struct iopt_pin *pin,
		     unsigned long first_index, unsigned long max_pages)
{
	unsigned int enough = pfn_batch_room(&pin->batch) / 4;
	unsigned long done = 0;

	while (done < max_pages && pfn_batch_room(&pin->batch) > enough) {
		long added = -EINTR;

		if (!fatal_signal_pending(current))
			added = pages->ops->pin(pages, pin, first_index + done,
						max_pages - done);
		if (added < 0)
			return done ?: added;
		done += added;
		cond_resched();
	}
	return done;
}

static noinline long iopt_pin_remote(struct iopt_pages *pages,
				     unsigned long address,
				     unsigned long npages,
				     struct page **upages,
				     unsigned int gup_flags)
{
	struct mm_struct *mm = pages->owner->mm;
	int locked = 1;
	long pinned;

	/* An exec or exit of the mapper ended this memory. */
	if (!mmget_not_zero(mm))
		return -EFAULT;
	if (mmap_read_lock_killable(mm)) {
		mmput(mm);
		return -EINTR;
	}
	pinned = pin_user_pages_remote(mm, address, npages, gup_flags, upages,
				       &locked);
	if (locked)
		mmap_read_unlock(mm);
	mmput(mm);
	return pinned;
}

static long iopt_user_pin_pages(struct iopt_pages *pages,
				struct page **out_pages,
				unsigned long first_index,
				unsigned long max_pages)
{
	unsigned long address = (pages->uptr & PAGE_MASK) +
				first_index * PAGE_SIZE;
	unsigned int gup_flags = FOLL_LONGTERM;
	long pinned;

	iommufd_test_slow_source(address, max_pages);
	if (iommufd_should_fail())
		return -EFAULT;

	if (pages->ops->writable)
		gup_flags |= FOLL_WRITE;

	if (current->mm == pages->owner->mm)
		pinned = pin_user_pages_fast(address, max_pages, gup_flags,
					     out_pages);
	else
		pinned = iopt_pin_remote(pages, address, max_pages, out_pages,
					 gup_flags);
	return pinned ?: -EFAULT;
}

static long iopt_user_pin(struct iopt_pages *pages, struct iopt_pin *pin,
			  unsigned long first_index, unsigned long max_pages)
{
	size_t added;
	long pinned;

	max_pages = min3(max_pages, pin->max_upages,
			 (unsigned long)pfn_batch_room(&pin->batch));
	pinned = iopt_user_pin_pages(pages, pin->upages, first_index,
				     max_pages);
	if (pinned < 0)
		return pinned;

	added = pfn_batch_add_pages(&pin->batch, pin->upages, pinned);
	if (WARN_ON_ONCE(added < pinned))
		unpin_user_pages(pin->upages + added, pinned - added);
	return added;
}

static void iopt_user_unpin(struct iopt_pages *pages, unsigned long pfn,
			    unsigned long npages)
{
	/* Dirty only what a device could have written to. */
	unpin_user_page_range_dirty_lock(pfn_to_page(pfn), npages,
					 pages->ops->writable);
}

static void iopt_user_unpin_pages(struct iopt_pages *pages,
				  struct page **upages, unsigned long npages)
{
	unpin_user_pages_dirty_lock(upages, npages, pages->ops->writable);
}

static void iopt_user_release(struct iopt_pages *pages)
{
	iopt_owner_put(pages->owner);
}

#define IOPT_USER_OPS						\
	.pin = iopt_user_pin,					\
	.unpin = iopt_user_unpin,				\
	.pin_pages = iopt_user_pin_pages,			\
	.unpin_pages = iopt_user_unpin_pages,			\
	.charge = iopt_pages_charge,				\
	.uncharge = iopt_pages_uncharge,			\
	.release = iopt_user_release

const struct pfn_source_ops iopt_user_ops = {
	IOPT_USER_OPS,
};

const struct pfn_source_ops iopt_user_writable_ops = {
	IOPT_USER_OPS,
	.writable = true,
};
