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
#include <linux/instrumented.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "pages.h"
#include "pfn_extents.h"

/* Pages copied in one section: the longer, the less it costs, and others wait. */
#define IOPT_RW_PAGES (SZ_1M / PAGE_SIZE)

/* Pages that are copied in one go: 64 KiB, if they have 4 KiB. */
#define IOPT_CHUNK_PAGES 16UL

/* Pages pinned for the time of a copy. */
#define IOPT_RW_PINNED_PAGES 16

/**
 * struct iopt_rw_ready - what was made ready for a copy
 * @upages: pinned for the time of the copy, from its first page on
 * @npages: so many; 0 when the user mapping is used
 * @length: bytes that the next attempt may copy
 * @noted: PFNs were noted, or could not be: do not ask for it again
 */
struct iopt_rw_ready {
	struct page *upages[IOPT_RW_PINNED_PAGES];
	long npages;
	size_t length;
	bool noted;
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

/* Do others want the lock under which a copy is made, if there is one, or the CPU? */
static __always_inline bool iopt_rw_is_awaited(struct rw_semaphore *lock)
{
	return lock && (rwsem_is_contended(lock) || need_resched());
}

/*
 * Between two pieces of a copy, stop it if others want the lock under which it is made,
 * or the CPU: nothing is left of it then.
 */
static __always_inline void iopt_rw_yield(struct iopt_rw *rw)
{
	if (iopt_rw_is_awaited(rw->lock))
		rw->length = 0;
}

/* Copy as iopt_rw_page() does, and now and then have a look who waits. */
static void iopt_rw_part(struct iopt_rw *rw, struct page *page)
{
	iopt_rw_page(rw, page);
	if (!(rw->first_byte / PAGE_SIZE % IOPT_CHUNK_PAGES))
		iopt_rw_yield(rw);
}

/* Is memory like any other to the kernel, which need not map it? */
static bool iopt_rw_is_flat(const struct iopt_rw *rw)
{
	return !IS_ENABLED(CONFIG_HIGHMEM) &&
	       !(rw->write && ARCH_IMPLEMENTS_FLUSH_DCACHE_PAGE);
}

/*
 * Copy pages, and move both pointers on behind them. A string instruction of x86 does
 * all of that. To call a function for each page, or to compute anew where the last copy
 * has ended, as a compiler does, is felt where pages do not follow each other.
 */
static __always_inline void iopt_copy_pages(void **to, const void **from,
					    unsigned long npages)
{
	size_t length = npages * PAGE_SIZE;
#ifdef CONFIG_X86_64
	size_t nr_words = length / sizeof(u64);

	instrument_memcpy_before(*to, *from, length);
	asm volatile("rep movsq"
		     : "+D" (*to), "+S" (*from), "+c" (nr_words) : : "memory");
	instrument_memcpy_after(*to - length, *from - length, length, 0);
#else
	memcpy(*to, *from, length);
	*to += length;
	*from += length;
#endif
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

/* Copy whole pages without moving on. */
static __always_inline void iopt_rw_memory(const struct iopt_rw *rw,
					   void *memory, unsigned long npages)
{
	const void *from = rw->write ? rw->data : memory;
	void *to = rw->write ? memory : rw->data;

	iopt_copy_pages(&to, &from, npages);
}

/* Copy what of it lies in consecutive pages, in the first of which it begins. */
static void iopt_rw_run(struct iopt_rw *rw, unsigned long pfn,
			unsigned long npages)
{
	unsigned long whole = iopt_rw_whole_pages(rw, npages);
	unsigned long i = 0, n;

	for (; i != whole && rw->length; i += n) {
		n = min(whole - i, IOPT_CHUNK_PAGES);
		iopt_rw_memory(rw, iopt_pfn_address(pfn + i), n);
		iopt_rw_advance(rw, n * PAGE_SIZE);
		iopt_rw_yield(rw);
	}
	for (; i != npages && rw->length; i++)
		iopt_rw_part(rw, pfn_to_page(pfn + i));
}

/*
 * Bytes of memory for each byte of the array of all struct page, if there is one that
 * knows no hole and is made for this; or 0.
 */
#define IOPT_PAGE_SCALE							\
	(IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) &&			\
	 PAGE_SIZE % sizeof(struct page) == 0 ?				\
		 PAGE_SIZE / sizeof(struct page) : 0)

/*
 * What to add to a scaled struct page *, or to a scaled PFN, to have its address. That is
 * learned from the first of them: PFN 0 need not be memory, and then some machines,
 * like those of arm64, say nothing useful of it.
 */
static __always_inline void *iopt_nth_base(const void *array, bool of_pages)
{
	unsigned long value = *(const unsigned long *)array;
	unsigned long pfn = of_pages ? page_to_pfn((struct page *)value) : value;
	unsigned long scale = of_pages ? IOPT_PAGE_SCALE : PAGE_SIZE;

	return iopt_pfn_address(pfn) - value * scale;
}

/* Where is a page of an array of pages, or of PFNs? In as few steps as it takes. */
static __always_inline void *iopt_nth_address(const void *array, bool of_pages,
					      unsigned long i, void *base)
{
	unsigned long value = ((const unsigned long *)array)[i];

	if (!of_pages)
		return base + value * PAGE_SIZE;
	if (IOPT_PAGE_SCALE)
		return base + value * IOPT_PAGE_SCALE;
	return page_address((struct page *)value);
}

static struct page *iopt_nth_page(const void *array, bool of_pages,
				  unsigned long i)
{
	unsigned long value = ((const unsigned long *)array)[i];

	return of_pages ? (struct page *)value : pfn_to_page(value);
}

/* How pages of an array are copied whole, and where to. */
struct iopt_list_copy {
	const unsigned long *array;
	void *base;
	void *data;
	bool of_pages;
	bool write;
};

static __always_inline void *iopt_list_address(const struct iopt_list_copy *copy,
					       unsigned long i)
{
	return iopt_nth_address(copy->array, copy->of_pages, i, copy->base);
}

/* Copy the next pages; with a constant number of them, without a loop. */
static __always_inline void iopt_read_list(struct iopt_list_copy *copy,
					   unsigned long npages)
{
#pragma GCC unroll 16
	for (unsigned long i = 0; i < npages; i++) {
		const void *memory = iopt_list_address(copy, i);

		iopt_copy_pages(&copy->data, &memory, 1);
	}
}

static __always_inline void iopt_write_list(struct iopt_list_copy *copy,
					    unsigned long npages)
{
	const void *data = copy->data;

#pragma GCC unroll 16
	for (unsigned long i = 0; i < npages; i++) {
		void *memory = iopt_list_address(copy, i);

		iopt_copy_pages(&memory, &data, 1);
	}
	copy->data = (void *)data;
}

static __always_inline void iopt_copy_list(struct iopt_list_copy *copy,
					   unsigned long npages)
{
	if (copy->write)
		iopt_write_list(copy, npages);
	else
		iopt_read_list(copy, npages);
	copy->array += npages;
}

/* Copy pages of an array whole. Return: how many, fewer if others are waiting. */
static __always_inline unsigned long
iopt_rw_whole_list(const struct iopt_rw *rw, const void *array, bool of_pages,
		   unsigned long npages)
{
	struct iopt_list_copy copy = {
		.array = array,
		/* Known to stay as it is, whatever is written. */
		.base = iopt_nth_base(array, of_pages),
		.data = rw->data,
		.of_pages = of_pages,
		.write = rw->write,
	};
	struct rw_semaphore *lock = rw->lock;
	unsigned long left = npages;

	while (left >= IOPT_CHUNK_PAGES) {
		iopt_copy_list(&copy, IOPT_CHUNK_PAGES);
		left -= IOPT_CHUNK_PAGES;
		if (iopt_rw_is_awaited(lock))
			return npages - left;
	}
	for (; left; left--)
		iopt_copy_list(&copy, 1);
	return npages;
}

/* Copy what of it lies in pages that need not follow each other. */
static __always_inline void iopt_rw_list(struct iopt_rw *rw, const void *array,
					 bool of_pages, unsigned long npages)
{
	unsigned long whole = iopt_rw_whole_pages(rw, npages);
	unsigned long i = 0;

	if (whole) {
		i = iopt_rw_whole_list(rw, array, of_pages, whole);
		iopt_rw_advance(rw, i * PAGE_SIZE);
		if (i != whole)
			rw->length = 0;
		iopt_rw_yield(rw);
	}
	for (; i != npages && rw->length; i++)
		iopt_rw_part(rw, iopt_nth_page(array, of_pages, i));
}

static void iopt_rw_pages(struct iopt_rw *rw, const struct iopt_page_list *list)
{
	iopt_rw_list(rw, list->upages, true, list->npages);
}

static void iopt_rw_pfns(struct iopt_rw *rw, const unsigned long *pfns,
			 unsigned long npages)
{
	iopt_rw_list(rw, pfns, false, npages);
}

/* Copy some bytes of a page without moving on. */
static noinline void iopt_rw_bytes(const struct iopt_rw *rw, unsigned long pfn)
{
	struct iopt_rw step = *rw;

	iopt_rw_page(&step, pfn_to_page(pfn));
}

/* The same, or all of the page. */
static void iopt_rw_in_page(const struct iopt_rw *rw, unsigned long pfn)
{
	if (rw->length != PAGE_SIZE || !iopt_rw_whole_pages(rw, 1))
		iopt_rw_bytes(rw, pfn);
	else
		iopt_rw_memory(rw, iopt_pfn_address(pfn), 1);
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

/* The same, piece by piece. Return: false if there is something left to be made ready. */
static bool iopt_rw_user_pieces(struct iopt_pages *pages, struct iopt_rw *rw)
{
	while (rw->length) {
		struct iopt_rw piece = *rw;

		piece.length = min(rw->length, IOPT_CHUNK_PAGES * PAGE_SIZE);
		if (!iopt_rw_user(pages, &piece))
			return false;
		iopt_rw_advance(rw, piece.length);
		iopt_rw_yield(rw);
	}
	return true;
}

/* In a section: copy what nobody has pinned, if it has been made ready. */
static int iopt_rw_uncovered(struct iopt_pages *pages, struct iopt_rw *rw,
			     const struct iopt_rw_ready *ready)
{
	unsigned long first_byte = rw->first_byte;

	if (ready->npages) {
		iopt_rw_ready_pages(rw, ready);
		return 0;
	}
	rw->length = min(rw->length, ready->length);
	if (!iopt_rw_is_mapped(pages, rw))
		return -EAGAIN;
	if (!iopt_rw_user_pieces(pages, rw) && rw->first_byte == first_byte)
		return -EAGAIN;
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

/* In a section: copy pages that only domains know. Return: 0 or -EIO. */
static int iopt_rw_asked(struct iopt_slice *slice, struct iopt_rw *rw,
			 unsigned long first_page, unsigned long npages)
{
	unsigned long end_page = first_page + npages;
	const struct pfn_run *run;
	struct pfn_batch batch __uninitialized;

	pfn_batch_init(&batch);
	while (first_page != end_page && rw->length) {
		npages = iopt_slice_read(slice, first_page,
					 end_page - first_page, &batch);
		if (!npages)
			break;
		pfn_batch_for_each_run(&batch, run)
			iopt_rw_run(rw, run->pfn, run->npfns);
		first_page += npages;
		iopt_rw_next_batch(&batch, end_page - first_page);
	}
	pfn_batch_destroy(&batch);
	return first_page == end_page || !rw->length ? 0 : -EIO;
}

/* The same of those that a record knows. */
static void iopt_rw_recorded(const struct pfn_record *record,
			     struct iopt_rw *rw, unsigned long index,
			     unsigned long npages)
{
	const unsigned long *pfns = pfn_record_list(record, index);

	if (pfns) {
		iopt_rw_pfns(rw, pfns, npages);
		return;
	}
	while (npages) {
		unsigned long n = npages;
		unsigned long pfn = pfn_record_run(record, index, &n);

		iopt_rw_run(rw, pfn, n);
		index += n;
		npages -= n;
	}
}

/*
 * In a section: copy what a slice keeps pinned.
 *
 * Return: 0, perhaps with a part of it copied; -ENODATA nothing is, and it should be
 * noted first what there is; -EIO.
 */
static int iopt_rw_shown(struct iopt_slice *slice, struct iopt_rw *rw,
			 const struct iopt_cover *cover,
			 const struct iopt_rw_ready *ready)
{
	unsigned long index = cover->first_index, npages;
	int rc = 0;

	for (; index <= cover->last_index && rw->length && !rc;
	     index += npages) {
		unsigned long page = index - slice->span.start;
		const struct pfn_record *record;

		npages = cover->last_index - index + 1;
		if (slice->run_pfn) {
			iopt_rw_run(rw, slice->run_pfn + page, npages);
			continue;
		}
		record = iopt_slice_record(slice, index, &npages);
		if (record) {
			iopt_rw_recorded(record, rw, index, npages);
			continue;
		}
		if (!ready->noted &&
		    iopt_note_is_worth(slice->pages, index, npages))
			return index == cover->first_index ? -ENODATA : 0;
		rc = iopt_rw_asked(slice, rw, page, npages);
	}
	return rc;
}

/*
 * In a section: copy what accesses keep pinned.
 *
 * Return: whether they do; if not, the cover ends in front of what they pin.
 */
static bool iopt_rw_held(struct iopt_held *held, struct iopt_rw *rw,
			 struct iopt_cover *cover)
{
	struct iopt_page_list lists[IOPT_HELD_LISTS] __uninitialized;
	unsigned int nr_lists = iopt_held_lists(held, cover, lists);

	for (unsigned int i = 0; i < nr_lists; i++)
		iopt_rw_pages(rw, &lists[i]);
	return nr_lists;
}

/* In a section: does a slice keep the pages pinned? Mostly it is the one asked. */
static bool iopt_rw_is_shown(struct iopt_slice *slice, struct iopt_cover *cover)
{
	unsigned long end_index = slice->span.start + slice->filled_pages;

	if (cover->first_index < slice->span.start ||
	    cover->first_index >= end_index || slice->quarantined)
		return iopt_pages_cover_slice(slice->pages, cover) ==
		       IOPT_TIER_SLICE;
	cover->slice = slice;
	cover->last_index = min(cover->last_index, end_index - 1);
	return true;
}

/*
 * In a section: copy as much as can be had in one way.
 *
 * Return: 0; -EINVAL the slice is going; -ESTALE it has been cut; -EAGAIN the next
 * page has to be made ready; -ENODATA the PFNs should be noted first; -EIO.
 */
static int iopt_rw_locked(struct iopt_slice *slice, struct iopt_rw *rw,
			  const struct iopt_rw_ready *ready)
{
	struct iopt_cover cover = { .first_index = iopt_rw_index(rw) };
	struct iopt_pages *pages = slice->pages;

	if (slice->gone)
		return -EINVAL;
	if (cover.first_index > slice->span.last)
		return -ESTALE;
	iopt_rw_end_at(rw, slice->span.last);
	cover.last_index = iopt_rw_last_index(rw);
	if (iopt_rw_is_shown(slice, &cover))
		return iopt_rw_shown(cover.slice, rw, &cover, ready);
	if (pages->held && iopt_rw_held(pages->held, rw, &cover))
		return 0;
	iopt_rw_end_at(rw, cover.last_index);
	return iopt_rw_uncovered(pages, rw, ready);
}

static struct iopt_busy iopt_rw_range(const struct iopt_rw *rw)
{
	return (struct iopt_busy){
		.first_index = iopt_rw_index(rw),
		.last_index = iopt_rw_last_index(rw),
	};
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
	busy = iopt_rw_range(&step);
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

static void iopt_rw_init_ready(struct iopt_rw_ready *ready,
			       const struct iopt_rw *rw)
{
	ready->npages = 0;
	ready->length = rw->length;
	ready->noted = false;
}

/* Get ready what the last attempt said there was need of. Return: 0 or -errno. */
static int iopt_rw_make_ready(struct iopt_pages *pages, const struct iopt_rw *rw,
			      struct iopt_rw_ready *ready, int need)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (need == -ENODATA) {
		iopt_pages_note(pages, iopt_rw_index(rw));
		ready->noted = true;
		return 0;
	}
	if (iopt_rw_is_mapped(pages, rw))
		return iopt_rw_fault_in(pages, rw, ready);
	return iopt_rw_pin(pages, rw, ready);
}

/* Return: bytes copied, more than 0, or -errno. */
static long iopt_rw_step(struct iopt_slice *slice, const struct iopt_rw *rw)
{
	struct iopt_rw_ready ready __uninitialized;
	long done;
	int rc;

	iopt_rw_init_ready(&ready, rw);
	do {
		done = iopt_rw_try(slice, rw, &ready);
		if (done != -EAGAIN && done != -ENODATA)
			break;
		rc = iopt_rw_make_ready(slice->pages, rw, &ready, done);
		if (rc)
			done = rc;
	} while (!rc);
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

/*
 * A copy of bytes of one page needs no section. Its place is taken by the lock under
 * which that would have to be begun. That is needed also where nobody seems to have
 * pinned a page: one that passes from a slice to an access can be missed at both, and
 * who pins one while it is copied may do so before the process has something else
 * there, and the copy after that.
 */
static bool iopt_rw_page_at_once(struct iopt_slice *slice,
				 const struct iopt_rw *rw)
{
	struct iopt_pages *pages = slice->pages;
	unsigned long pfn;

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

/* A copy of bytes of several pages, or as much of it as can be had in one way. */
static bool iopt_rw_pages_at_once(struct iopt_slice *slice, struct iopt_rw *rw)
{
	struct iopt_pages *pages = slice->pages;
	struct iopt_busy busy = iopt_rw_range(rw);
	struct iopt_rw_ready ready __uninitialized;
	struct iopt_rw step = *rw;
	int rc;

	iopt_rw_init_ready(&ready, rw);
	if (!iopt_pages_trylock_range(pages, &busy))
		return false;
	rc = iopt_rw_locked(slice, &step, &ready);
	iopt_pages_unlock_range(pages, &busy);
	if (!rc)
		iopt_rw_advance(rw, step.first_byte - rw->first_byte);
	return !rw->length;
}

/**
 * iopt_slice_rw_at_once() - make a copy as far as nothing has to be waited for
 * @slice: through which slice, which is not gone and does not go
 * @rw: the copy, of bytes that the slice shows; moved on by what was copied unless all
 *	of it was. Its @lock is the map's
 *
 * Most copies are like this: with nobody in a section over these pages, and no page
 * fault to be taken. A long one stops if others wait for the map or the CPU.
 *
 * Context: process or kernel thread, the map's lock; sleeps for memory, and no longer
 * than drivers do when they are asked for an address.
 * Return: true with all of it copied; false if iopt_slice_rw() has to go on.
 */
bool iopt_slice_rw_at_once(struct iopt_slice *slice, struct iopt_rw *rw)
{
	if (offset_in_page(rw->first_byte) + rw->length <= PAGE_SIZE)
		return iopt_rw_page_at_once(slice, rw);
	return iopt_rw_pages_at_once(slice, rw);
}
