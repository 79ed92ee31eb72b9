// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU copies in and out of pages.
 *
 * A page that somebody has pinned is what devices see, whatever the process has
 * done to its address space since: it is copied to and from directly. Any other
 * page is reached as the process would reach it, and no pin is left.
 *
 * Like a device, a copy must not touch memory that is not mapped any more. So it
 * goes on in sections, a few pages in each, and looks there whether the slice is
 * still shown. No page fault is taken in a section: where one is needed, the pages
 * are made ready without a section, and the section is entered again.
 */
#include <linux/cacheflush.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "pages.h"

/* Pages copied in one section: the longer, the less it costs, and others wait. */
#define IOPT_RW_PAGES (SZ_1M / PAGE_SIZE)

/* Pages pinned for the time of a copy. */
#define IOPT_RW_PINNED_PAGES 16

/**
 * struct iopt_rw_ready - what was made ready for a copy
 * @upages: pinned for the time of the copy, from its first page on
 * @npages: so many; 0 when the user mapping is used
 * @length: bytes that the next attempt may copy
 */
struct iopt_rw_ready {
	struct page *upages[IOPT_RW_PINNED_PAGES];
	long npages;
	size_t length;
};

static void iopt_rw_advance(struct iopt_rw *rw, size_t length)
{
	rw->first_byte += length;
	rw->data += length;
	rw->length -= length;
}

/* Copy what of it lies in the page that it begins in. */
static void iopt_rw_page(struct iopt_rw *rw, struct page *page)
{
	unsigned int offset = offset_in_page(rw->first_byte);
	size_t length = min(rw->length, PAGE_SIZE - offset);

	if (rw->write)
		memcpy_to_page(page, offset, rw->data, length);
	else
		memcpy_from_page(rw->data, page, offset, length);
	iopt_rw_advance(rw, length);
}

/* Are pages that follow each other memory like any other to the kernel? */
static bool iopt_rw_is_flat(const struct iopt_rw *rw)
{
	return !IS_ENABLED(CONFIG_HIGHMEM) &&
	       !(rw->write && ARCH_IMPLEMENTS_FLUSH_DCACHE_PAGE);
}

/**
 * struct iopt_page_words - a page as what it is copied by
 * @words: all of it
 */
struct iopt_page_words {
	u64 words[PAGE_SIZE / sizeof(u64)];
};

/* So constant in size and alignment that it is done on the spot. */
static __always_inline void iopt_copy_page(void *to, const void *from)
{
	*(struct iopt_page_words *)to = *(const struct iopt_page_words *)from;
}

/* Where the kernel has a page of memory that it need not map. */
static __always_inline void *iopt_pfn_address(unsigned long pfn)
{
	return __va(PFN_PHYS(pfn));
}

/* So many of the next pages are copied whole, from and to such addresses. */
static unsigned long iopt_rw_whole_pages(const struct iopt_rw *rw,
					 unsigned long npages)
{
	if (!iopt_rw_is_flat(rw) ||
	    !PAGE_ALIGNED(rw->first_byte | (unsigned long)rw->data))
		return 0;
	return min(npages, rw->length / PAGE_SIZE);
}

/* Copy what of it lies in consecutive pages, in the first of which it begins. */
static void iopt_rw_run(struct iopt_rw *rw, unsigned long pfn,
			unsigned long npages)
{
	unsigned long whole = iopt_rw_whole_pages(rw, npages);
	void *data = rw->data;
	unsigned long i;

	if (rw->write)
		for (i = 0; i != whole; i++, data += PAGE_SIZE)
			iopt_copy_page(iopt_pfn_address(pfn + i), data);
	else
		for (i = 0; i != whole; i++, data += PAGE_SIZE)
			iopt_copy_page(data, iopt_pfn_address(pfn + i));
	iopt_rw_advance(rw, whole * PAGE_SIZE);
	for (; i != npages && rw->length; i++)
		iopt_rw_page(rw, pfn_to_page(pfn + i));
}

/* The same of pages that need not follow each other. */
static void iopt_rw_pages(struct iopt_rw *rw, struct page *const *pages,
			  unsigned long npages)
{
	unsigned long whole = iopt_rw_whole_pages(rw, npages);
	void *data = rw->data;
	unsigned long i;

	if (rw->write)
		for (i = 0; i != whole; i++, data += PAGE_SIZE)
			iopt_copy_page(page_address(pages[i]), data);
	else
		for (i = 0; i != whole; i++, data += PAGE_SIZE)
			iopt_copy_page(data, page_address(pages[i]));
	iopt_rw_advance(rw, whole * PAGE_SIZE);
	for (; i != npages && rw->length; i++)
		iopt_rw_page(rw, pages[i]);
}

/* Copy all of it, which lies in a single page, without moving on. */
static void iopt_rw_in_page(const struct iopt_rw *rw, unsigned long pfn)
{
	struct iopt_rw step;

	if (rw->length == PAGE_SIZE && iopt_rw_whole_pages(rw, 1)) {
		if (rw->write)
			iopt_copy_page(iopt_pfn_address(pfn), rw->data);
		else
			iopt_copy_page(rw->data, iopt_pfn_address(pfn));
		return;
	}
	step = *rw;
	iopt_rw_page(&step, pfn_to_page(pfn));
}

static unsigned long iopt_rw_index(const struct iopt_rw *rw)
{
	return rw->first_byte / PAGE_SIZE;
}

static unsigned long iopt_rw_last_index(const struct iopt_rw *rw)
{
	return (rw->first_byte + (rw->length - 1)) / PAGE_SIZE;
}

/* Copy no further than to the end of a page. */
static void iopt_rw_end_at(struct iopt_rw *rw, unsigned long last_index)
{
	rw->length = min(rw->length,
			 (last_index + 1) * PAGE_SIZE - rw->first_byte);
}

static unsigned long iopt_user_address(struct iopt_pages *pages,
				       const struct iopt_rw *rw)
{
	return (pages->uptr & PAGE_MASK) + rw->first_byte;
}

/* May the process's own mapping be used? */
static bool iopt_rw_is_mapped(struct iopt_pages *pages,
			      const struct iopt_rw *rw)
{
	return !rw->pins && current->mm == pages->owner->mm;
}

/* In a section: copy from and to pages that were pinned for this. */
static void iopt_rw_ready_pages(struct iopt_rw *rw,
				const struct iopt_rw_ready *ready)
{
	for (long i = 0; i < ready->npages && rw->length; i++)
		iopt_rw_page(rw, ready->upages[i]);
}

/* All of it through the user mapping. No page fault is taken. */
static bool iopt_rw_user(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	void __user *uptr = (void __user *)iopt_user_address(pages, rw);

	if (rw->write)
		return !copy_to_user_nofault(uptr, rw->data, rw->length);
	return !copy_from_user_nofault(rw->data, uptr, rw->length);
}

/* In a section: copy what nobody has pinned, if it has been made ready. */
static int iopt_rw_uncovered(struct iopt_pages *pages, struct iopt_rw *rw,
			     const struct iopt_rw_ready *ready)
{
	if (ready->npages) {
		iopt_rw_ready_pages(rw, ready);
		return 0;
	}
	rw->length = min(rw->length, ready->length);
	if (!iopt_rw_is_mapped(pages, rw) || !iopt_rw_user(pages, rw))
		return -EAGAIN;
	iopt_rw_advance(rw, rw->length);
	return 0;
}

/* Empty a batch. If it was too small for what was scattered, make it larger. */
static void iopt_rw_next_batch(struct pfn_batch *batch, unsigned long npages)
{
	bool was_full = !pfn_batch_room(batch);

	pfn_batch_clear(batch);
	if (was_full && npages && batch->runs == batch->inline_runs)
		pfn_batch_reserve(batch, npages,
				  READ_ONCE(iopt_temp_bytes_limit));
}

/* In a section: copy what a slice keeps pinned. Return: 0 or -EIO. */
static int iopt_rw_shown(struct iopt_slice *slice, struct iopt_rw *rw,
			 const struct iopt_cover *cover)
{
	unsigned long first_page = cover->first_index - slice->span.start;
	unsigned long end_page = cover->last_index - slice->span.start + 1;
	const struct pfn_run *run;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	while (first_page != end_page) {
		unsigned long npages = iopt_slice_read(slice, first_page,
						       end_page - first_page,
						       &batch);

		if (!npages)
			break;
		pfn_batch_for_each_run(&batch, run)
			iopt_rw_run(rw, run->pfn, run->npfns);
		first_page += npages;
		iopt_rw_next_batch(&batch, end_page - first_page);
	}
	pfn_batch_destroy(&batch);
	return first_page == end_page ? 0 : -EIO;
}

/* In a section: copy what accesses keep pinned. */
static void iopt_rw_held(struct iopt_held *held, struct iopt_rw *rw,
			 const struct iopt_cover *cover)
{
	unsigned long index = cover->first_index;

	while (index <= cover->last_index) {
		unsigned long npages = cover->last_index - index + 1;
		struct page **pages = iopt_held_pages(held, index, &npages);

		iopt_rw_pages(rw, pages, npages);
		index += npages;
	}
}

/*
 * In a section: copy as much as can be had in one way.
 *
 * Return: 0; -EINVAL the slice is going; -ESTALE it has been cut; -EAGAIN the next
 * page has to be made ready; -EIO.
 */
static int iopt_rw_locked(struct iopt_slice *slice, struct iopt_rw *rw,
			  const struct iopt_rw_ready *ready)
{
	struct iopt_cover cover = { .first_index = iopt_rw_index(rw) };

	if (slice->gone)
		return -EINVAL;
	if (cover.first_index > slice->span.last)
		return -ESTALE;
	iopt_rw_end_at(rw, slice->span.last);
	cover.last_index = iopt_rw_last_index(rw);
	switch (iopt_pages_cover(slice->pages, &cover)) {
	case IOPT_TIER_SLICE:
		return iopt_rw_shown(cover.slice, rw, &cover);
	case IOPT_TIER_HELD:
		iopt_rw_held(slice->pages->held, rw, &cover);
		return 0;
	default:
		iopt_rw_end_at(rw, cover.last_index);
		return iopt_rw_uncovered(slice->pages, rw, ready);
	}
}

/* Return: bytes copied, or as iopt_rw_locked(). */
static long iopt_rw_try(struct iopt_slice *slice, const struct iopt_rw *rw,
			const struct iopt_rw_ready *ready)
{
	struct iopt_pages *pages = slice->pages;
	struct iopt_rw step = *rw;
	struct iopt_busy busy;
	int rc;

	iopt_rw_end_at(&step, iopt_rw_index(rw) + IOPT_RW_PAGES - 1);
	busy.first_index = iopt_rw_index(&step);
	busy.last_index = iopt_rw_last_index(&step);
	iopt_pages_lock_range(pages, &busy);
	rc = iopt_rw_locked(slice, &step, ready);
	iopt_pages_unlock_range(pages, &busy);
	return rc ?: step.first_byte - rw->first_byte;
}

/* Have the user mapping's page tables filled in. */
static int iopt_rw_fault_in(struct iopt_pages *pages, const struct iopt_rw *rw,
			    struct iopt_rw_ready *ready)
{
	char __user *uptr = (char __user *)iopt_user_address(pages, rw);
	size_t length = min(rw->length, IOPT_RW_PAGES * PAGE_SIZE);
	size_t left;

	if (rw->write)
		left = fault_in_safe_writeable(uptr, length);
	else
		left = fault_in_readable(uptr, length);
	ready->length = length - left;
	return ready->length ? 0 : -EFAULT;
}

/* Pin pages for the time of a copy. */
static int iopt_rw_pin(struct iopt_pages *pages, const struct iopt_rw *rw,
		       struct iopt_rw_ready *ready)
{
	unsigned long address = iopt_user_address(pages, rw) & PAGE_MASK;
	unsigned long npages = iopt_rw_last_index(rw) - iopt_rw_index(rw) + 1;
	unsigned int gup_flags = rw->write ? FOLL_WRITE : 0;
	struct mm_struct *mm = pages->owner->mm;
	int locked = 1;
	long pinned;

	if (!mmget_not_zero(mm))
		return -EFAULT;
	if (mmap_read_lock_killable(mm)) {
		mmput(mm);
		return -EINTR;
	}
	npages = min(npages, IOPT_RW_PINNED_PAGES);
	pinned = pin_user_pages_remote(mm, address, npages, gup_flags,
				       ready->upages, &locked);
	if (locked)
		mmap_read_unlock(mm);
	mmput(mm);
	ready->npages = max(pinned, 0);
	return pinned > 0 ? 0 : pinned ?: -EFAULT;
}

static void iopt_rw_unpin(struct iopt_rw_ready *ready, bool dirty)
{
	if (ready->npages)
		unpin_user_pages_dirty_lock(ready->upages, ready->npages,
					    dirty);
	ready->npages = 0;
}

/* Return: bytes copied, more than 0, or -errno. */
static long iopt_rw_step(struct iopt_slice *slice, const struct iopt_rw *rw)
{
	struct iopt_pages *pages = slice->pages;
	struct iopt_rw_ready ready __uninitialized;
	long done;
	int rc;

	ready.npages = 0;
	ready.length = rw->length;
	while ((done = iopt_rw_try(slice, rw, &ready)) == -EAGAIN) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (iopt_rw_is_mapped(pages, rw))
			rc = iopt_rw_fault_in(pages, rw, &ready);
		else
			rc = iopt_rw_pin(pages, rw, &ready);
		if (rc)
			return rc;
	}
	iopt_rw_unpin(&ready, rw->write);
	return done;
}

/* A kernel thread lends itself the mm, if there still is one. */
static long iopt_rw_step_kthread(struct iopt_slice *slice,
				 const struct iopt_rw *rw)
{
	struct mm_struct *mm = slice->pages->owner->mm;
	long done;

	if (!mmget_not_zero(mm))
		return iopt_rw_step(slice, rw);
	kthread_use_mm(mm);
	done = iopt_rw_step(slice, rw);
	kthread_unuse_mm(mm);
	mmput(mm);
	return done;
}

/**
 * iopt_slice_rw() - copy between the kernel and pages
 * @slice: through which slice; referenced by the caller, who need not be in a
 *	section
 * @rw: the copy; moved on by what was copied
 *
 * Context: process or kernel thread, no lock, no section; sleeps as long as user
 * space likes.
 * Return: 0; -EINVAL the slice is being torn down; -ESTALE it has been cut, and what
 * is left is another's; -EFAULT bad memory, or its process is gone; -EINTR fatal
 * signal; -EIO a driver does not know what it maps.
 */
int iopt_slice_rw(struct iopt_slice *slice, struct iopt_rw *rw)
{
	bool lends = !rw->pins && !current->mm && (current->flags & PF_KTHREAD);

	while (rw->length) {
		long done = lends ? iopt_rw_step_kthread(slice, rw) :
				    iopt_rw_step(slice, rw);

		if (done < 0)
			return done;
		iopt_rw_advance(rw, done);
		cond_resched();
	}
	return 0;
}

/* Has nobody pinned any page? Mostly those that once did have unpinned. */
static bool iopt_pages_are_unpinned(const struct iopt_pages *pages)
{
	lockdep_assert_held(&pages->lock);

	return span_tree_is_empty(&pages->slices) &&
	       (!pages->held || RB_EMPTY_ROOT(&pages->held->blocks));
}

/**
 * iopt_slice_rw_page() - make a small copy if nothing has to be waited for
 * @slice: through which slice, which is not gone and does not go
 * @rw: the copy, of bytes that the slice shows
 *
 * Most copies are like this: of bytes of one page, with nobody in a section over
 * these pages, and no page fault to be taken. Then no section is begun; its place is
 * taken by the lock under which that would have to be done. That is needed also where
 * nobody seems to have pinned a page: one that passes from a slice to an access can be
 * missed at both, and who pins one while it is copied may do so before the process
 * has something else there, and the copy after that.
 *
 * Context: process or kernel thread, the map's lock; does not sleep.
 * Return: true with the copy made; false with nothing done but a copy that
 * iopt_slice_rw() makes again.
 */
bool iopt_slice_rw_page(struct iopt_slice *slice, const struct iopt_rw *rw)
{
	struct iopt_pages *pages = slice->pages;
	unsigned long pfn;

	if (offset_in_page(rw->first_byte) + rw->length > PAGE_SIZE)
		return false;

	guard(spinlock)(&pages->lock);

	if (!hlist_empty(&pages->busy))
		return false;
	pfn = iopt_pages_are_unpinned(pages) ? 0 :
	      iopt_slice_try_peek(slice, iopt_rw_index(rw));
	if (pfn == IOPT_PFN_UNKNOWN)
		return false;
	if (!pfn)
		return iopt_rw_is_mapped(pages, rw) && iopt_rw_user(pages, rw);
	iopt_rw_in_page(rw, pfn);
	return true;
}
