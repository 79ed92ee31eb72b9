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

/* No page fault is taken. In a section. Return: 0 or -EAGAIN. */
static int iopt_rw_user(struct iopt_pages *pages, struct iopt_rw *rw)
{
	void __user *uptr = (void __user *)iopt_user_address(pages, rw);
	long rc;

	if (rw->write)
		rc = copy_to_user_nofault(uptr, rw->data, rw->length);
	else
		rc = copy_from_user_nofault(rw->data, uptr, rw->length);
	if (rc)
		return -EAGAIN;
	iopt_rw_advance(rw, rw->length);
	return 0;
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
	return iopt_rw_is_mapped(pages, rw) ? iopt_rw_user(pages, rw) : -EAGAIN;
}

/* In a section: copy what somebody keeps pinned. */
static int iopt_rw_covered(struct iopt_pages *pages, struct iopt_rw *rw,
			   const struct iopt_cover *cover)
{
	unsigned long npages = cover->last_index - cover->first_index + 1;
	const struct pfn_run *run;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	if (cover->slice)
		iopt_slice_read(cover->slice, cover->first_index -
					      cover->slice->span.start,
				npages, &batch);
	else
		iopt_held_read(pages->held, cover->first_index, npages, &batch);
	if (pfn_batch_is_empty(&batch))
		return -EIO;
	pfn_batch_for_each_run(&batch, run) {
		for (u32 i = 0; i < run->npfns && rw->length; i++)
			iopt_rw_page(rw, pfn_to_page(run->pfn + i));
	}
	return 0;
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
	if (iopt_pages_cover(slice->pages, &cover) != IOPT_TIER_NONE)
		return iopt_rw_covered(slice->pages, rw, &cover);
	iopt_rw_end_at(rw, cover.last_index);
	return iopt_rw_uncovered(slice->pages, rw, ready);
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

/**
 * iopt_slice_rw_page() - make a small copy if nothing has to be waited for
 * @slice: through which slice
 * @rw: the copy, of bytes that the slice shows
 *
 * Most copies are like this: of bytes of one page, with nobody in a section over
 * these pages, and no page fault to be taken. Then no section is begun; its place is
 * taken by the lock under which that would have to be done.
 *
 * Context: process or kernel thread, the map's lock; does not sleep.
 * Return: true with the copy made; false with nothing done but a copy that
 * iopt_slice_rw() makes again.
 */
bool iopt_slice_rw_page(struct iopt_slice *slice, struct iopt_rw *rw)
{
	struct iopt_pages *pages = slice->pages;
	unsigned long pfn = 0;

	if (offset_in_page(rw->first_byte) + rw->length > PAGE_SIZE)
		return false;

	guard(spinlock)(&pages->lock);

	if (!hlist_empty(&pages->busy))
		return false;
	if (pages->held || !RB_EMPTY_ROOT(&pages->slices.rb_root))
		pfn = iopt_pages_peek(pages, iopt_rw_index(rw));
	if (pfn == IOPT_PFN_UNKNOWN)
		return false;
	if (!pfn)
		return iopt_rw_is_mapped(pages, rw) && !iopt_rw_user(pages, rw);
	iopt_rw_page(rw, pfn_to_page(pfn));
	return true;
}
