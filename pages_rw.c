// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU copies in and out of pages.
 *
 * A page that somebody has pinned is what devices see, whatever the process has
 * done to its address space since: it is copied to and from directly. Any other
 * page is reached as the process would reach it, and no pin is left.
 */
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "pages.h"

/* Pages copied in one section, or pinned to be copied. */
#define IOPT_RW_PAGES 16

static void iopt_copy_page(struct page *page, unsigned int offset,
			   const struct iopt_rw *rw)
{
	if (rw->write)
		memcpy_to_page(page, offset, rw->data, rw->length);
	else
		memcpy_from_page(rw->data, page, offset, rw->length);
}

/* The next piece of a copy that lies in one page. */
static struct iopt_rw iopt_rw_take_page(struct iopt_rw *rw)
{
	struct iopt_rw piece = *rw;

	piece.length = min(rw->length,
			   PAGE_SIZE - offset_in_page(rw->first_byte));
	rw->first_byte += piece.length;
	rw->data += piece.length;
	rw->length -= piece.length;
	return piece;
}

static void iopt_copy_batch(const struct pfn_batch *batch, struct iopt_rw *rw)
{
	const struct pfn_run *run;

	pfn_batch_for_each_run(batch, run) {
		for (u32 i = 0; i < run->npfns && rw->length; i++) {
			struct iopt_rw piece = iopt_rw_take_page(rw);

			iopt_copy_page(pfn_to_page(run->pfn + i),
				       offset_in_page(piece.first_byte),
				       &piece);
		}
	}
}

static unsigned long iopt_user_address(struct iopt_pages *pages,
				       const struct iopt_rw *rw)
{
	return (pages->uptr & PAGE_MASK) + rw->first_byte;
}

/* Copy with the process's page tables loaded. */
static int iopt_copy_uaccess(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	void __user *uptr = (void __user *)iopt_user_address(pages, rw);
	unsigned long left;

	if (rw->write)
		left = copy_to_user(uptr, rw->data, rw->length);
	else
		left = copy_from_user(rw->data, uptr, rw->length);
	return left ? -EFAULT : 0;
}

static int iopt_copy_kthread(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	struct mm_struct *mm = pages->owner->mm;
	int rc;

	if (!mmget_not_zero(mm))
		return -EFAULT;
	kthread_use_mm(mm);
	rc = iopt_copy_uaccess(pages, rw);
	kthread_unuse_mm(mm);
	mmput(mm);
	return rc;
}

static long iopt_pin_short(struct iopt_pages *pages, const struct iopt_rw *rw,
			   struct page **upages)
{
	unsigned long address = iopt_user_address(pages, rw) & PAGE_MASK;
	unsigned int gup_flags = rw->write ? FOLL_WRITE : 0;
	struct mm_struct *mm = pages->owner->mm;
	unsigned long npages;
	int locked = 1;
	long pinned;

	npages = min(PFN_UP(offset_in_page(rw->first_byte) + rw->length),
		     IOPT_RW_PAGES);
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
	return pinned ?: -EFAULT;
}

/* Copy through pins that last as long as the copy. */
static int iopt_copy_pinned(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	struct page *upages[IOPT_RW_PAGES];
	struct iopt_rw rest = *rw;

	while (rest.length) {
		long pinned = -EINTR;

		if (!fatal_signal_pending(current))
			pinned = iopt_pin_short(pages, &rest, upages);
		if (pinned < 0)
			return pinned;
		for (long i = 0; i < pinned; i++) {
			struct iopt_rw piece = iopt_rw_take_page(&rest);

			iopt_copy_page(upages[i],
				       offset_in_page(piece.first_byte),
				       &piece);
		}
		unpin_user_pages_dirty_lock(upages, pinned, rw->write);
		cond_resched();
	}
	return 0;
}

/**
 * iopt_user_copy() - copy to or from memory at user addresses
 * @pages: the pages, none of those concerned pinned
 * @rw: the copy
 *
 * Context: process or kernel thread, no section; sleeps as long as user space
 * likes.
 * Return: 0; -EFAULT bad memory, or its process is gone; -EINTR fatal signal. A
 * part may have been copied then.
 */
int iopt_user_copy(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	if (!rw->pins && current->mm == pages->owner->mm)
		return iopt_copy_uaccess(pages, rw);
	if (!rw->pins && !current->mm && (current->flags & PF_KTHREAD))
		return iopt_copy_kthread(pages, rw);
	return iopt_copy_pinned(pages, rw);
}

/*
 * In a section: copy what is pinned at the front of a copy.
 *
 * Return: true if something was; else @rw->length is cut to what is not.
 */
static bool iopt_rw_covered(struct iopt_pages *pages, struct iopt_rw *rw)
{
	struct iopt_cover cover = {
		.first_index = rw->first_byte / PAGE_SIZE,
		.last_index = (rw->first_byte + rw->length - 1) / PAGE_SIZE,
	};
	enum iopt_tier tier = iopt_pages_cover(pages, &cover);
	unsigned long npages = cover.last_index - cover.first_index + 1;
	struct pfn_batch batch;

	if (tier == IOPT_TIER_NONE) {
		rw->length = min(rw->length, (cover.last_index + 1) * PAGE_SIZE -
					     rw->first_byte);
		return false;
	}
	pfn_batch_init(&batch);
	if (tier == IOPT_TIER_SLICE)
		iopt_slice_read(cover.slice, cover.first_index -
					     cover.slice->span.start,
				npages, &batch);
	else
		iopt_held_read(pages->held, cover.first_index, npages, &batch);
	iopt_copy_batch(&batch, rw);
	return true;
}

/* Return: bytes copied, or -errno. */
static long iopt_rw_step(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	struct iopt_rw step = *rw;
	struct iopt_busy busy;
	size_t length;
	bool covered;
	int rc;

	step.length = min(rw->length, IOPT_RW_PAGES * PAGE_SIZE -
				      offset_in_page(rw->first_byte));
	busy.first_index = step.first_byte / PAGE_SIZE;
	busy.last_index = (step.first_byte + step.length - 1) / PAGE_SIZE;
	iopt_pages_lock_range(pages, &busy);
	covered = iopt_rw_covered(pages, &step);
	iopt_pages_unlock_range(pages, &busy);
	if (covered)
		return step.first_byte - rw->first_byte ?: -EIO;
	length = step.length;
	rc = pages->ops->copy(pages, &step);
	return rc ?: length;
}

/**
 * iopt_pages_rw_access() - copy between the kernel and pages
 * @pages: the pages
 * @rw: the copy
 *
 * Context: process or kernel thread, no lock, no section; sleeps as long as user
 * space likes.
 * Return: 0; -EFAULT bad memory, or its process is gone; -EINTR fatal signal;
 * -EIO a driver does not know what it maps. A part may have been copied then.
 */
int iopt_pages_rw_access(struct iopt_pages *pages, const struct iopt_rw *rw)
{
	struct iopt_rw rest = *rw;

	while (rest.length) {
		long done = iopt_rw_step(pages, &rest);

		if (done < 0)
			return done;
		rest.first_byte += done;
		rest.data += done;
		rest.length -= done;
		cond_resched();
	}
	return 0;
}
