// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty bits of a domain that mirrors an IOVA map.
 *
 * A read goes through the map as a change of the domains does, in a section over
 * what it is looking at, so nothing is unmapped under a driver's call. It looks at
 * the pages that are filled at this moment, of areas in any state:
 *
 * - A hole reads clean, and so does what a mapper has not filled yet.
 * - Of an area in quarantine nobody knows what of it is still mapped, but devices
 *   may write to it: all of it is dirty, and stays so.
 * - Where traces are missing, all that can be written to is dirty.
 *
 * Driver calls end where map calls did, at each gigabyte at the latest, and between
 * two of them others get the CPU and the section.
 *
 * Long bitmaps are read window by window, so that each window is pinned as a whole
 * before anything under it is cleared. A window ends at a multiple of a gigabyte,
 * too, across which there is no leaf: else a leaf would have its bits in two windows,
 * of which one may turn out to be bad. Only with bits that stand for less than 256
 * bytes a window can be smaller than a leaf. Such a leaf is reported, not cleared.
 */
#include <linux/iommu.h>
#include <linux/iova_bitmap.h>
#include <linux/log2.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "domain_io.h"
#include "iopt_area.h"

/* Room is left for the bits in front of the window that share its first byte. */
#define IOPT_DIRTY_WINDOW_BITS \
	(IOVA_BITMAP_WINDOW_BYTES * BITS_PER_BYTE - BITS_PER_BYTE)

/**
 * struct iopt_dirty_walk - a read in progress
 * @iopt: the map
 * @member: the domain; NULL to take for dirty what can be written to
 * @read: reads the part of a bitmap that is pinned
 * @dirty: for the driver
 * @next_iova: what lies below is done
 * @last_iova: the last IOVA of interest, inclusive
 * @has_cleared: bits of several domains were read, and are in the bitmap only
 */
struct iopt_dirty_walk {
	struct io_pagetable *iopt;
	struct iopt_domain *member;
	int (*read)(struct iopt_dirty_walk *walk);
	struct domain_io_dirty dirty;
	unsigned long next_iova;
	unsigned long last_iova;
	bool has_cleared;
};

/**
 * struct iopt_dirty_part - pages of an area that were not mapped together with others
 * @area: the area
 * @first_page: the first one, counted from the start of the area
 * @npages: how many
 * @busy: a section over them
 */
struct iopt_dirty_part {
	struct iopt_area *area;
	unsigned long first_page;
	unsigned long npages;
	struct iopt_busy busy;
};

/* The part of an area around an IOVA, or the first one. */
static void iopt_dirty_find_part(struct iopt_dirty_part *part,
				 unsigned long iova)
{
	const struct iopt_slice *slice = &part->area->slice;
	unsigned long page = 0, front;

	if (iova > slice->iova.first_iova)
		page = (iova - slice->iova.first_iova + slice->page_offset) /
		       PAGE_SIZE;
	front = iopt_slice_bound_front(slice, page);
	part->first_page = page - front;
	part->npages = front + iopt_slice_bound(slice, page,
						iopt_slice_npages(slice) - page);
	part->busy.first_index = slice->span.start + part->first_page;
	part->busy.last_index = part->busy.first_index + part->npages - 1;
}

/*
 * Begin a section over the next part that reaches into the range, and keep the
 * memory of its area.
 *
 * Return: whether there is one.
 */
static bool iopt_dirty_next(struct iopt_dirty_walk *walk,
			    struct iopt_dirty_part *part)
{
	struct io_pagetable *iopt = walk->iopt;

	for (;;) {
		struct iopt_pages *pages;

		scoped_guard(rwsem_read, &iopt->iova_rwsem) {
			part->area = iopt_area_from(iopt, walk->next_iova);
			if (!part->area || part->area->slice.iova.first_iova >
						   walk->last_iova)
				return false;
			pages = part->area->slice.pages;
			iopt_dirty_find_part(part, walk->next_iova);
			if (iopt_pages_trylock_range(pages, &part->busy)) {
				iopt_area_get(part->area);
				return true;
			}
			iopt_pages_get(pages);
		}
		iopt_pages_wait_range(pages, &part->busy);
		iopt_pages_put(pages);
	}
}

/* Return: so many pages, from the first of a part on, can be dirty. */
static unsigned long iopt_dirty_part_pages(const struct iopt_dirty_walk *walk,
					   const struct iopt_dirty_part *part)
{
	const struct iopt_slice *slice = &part->area->slice;

	if (!walk->member)
		return slice->iommu_prot & IOMMU_WRITE ? part->npages : 0;
	if (!iopt_slice_in_domain(slice, walk->member) ||
	    slice->filled_pages <= part->first_page)
		return 0;
	return min(part->npages, slice->filled_pages - part->first_page);
}

static int iopt_dirty_read_part(struct iopt_dirty_walk *walk,
				const struct iopt_dirty_part *part)
{
	const struct iopt_slice *slice = &part->area->slice;
	unsigned long npages = iopt_dirty_part_pages(walk, part);
	unsigned long first_iova, last_iova;
	struct domain_io_span span;

	if (!npages)
		return 0;
	span = iopt_slice_span(slice, part->first_page, npages);
	first_iova = max(span.first_iova, walk->next_iova);
	last_iova = min(span.first_iova + (span.length - 1), walk->last_iova);
	if (first_iova > last_iova)
		return 0;
	if (walk->member && !slice->quarantined)
		return domain_io_read_dirty(&walk->dirty, &span, first_iova,
					    last_iova);
	if (walk->dirty.bitmap)
		iova_bitmap_set(walk->dirty.bitmap, first_iova,
				last_iova - first_iova + 1);
	return 0;
}

/* Return: the last IOVA of a part, whether it is filled or not. */
static unsigned long iopt_dirty_part_last(const struct iopt_dirty_part *part)
{
	struct domain_io_span span = iopt_slice_span(&part->area->slice,
						     part->first_page,
						     part->npages);

	return span.first_iova + (span.length - 1);
}

static int iopt_dirty_read_range(struct iopt_dirty_walk *walk)
{
	struct iopt_dirty_part part;
	unsigned long last_iova;
	int rc;

	while (iopt_dirty_next(walk, &part)) {
		rc = iopt_dirty_read_part(walk, &part);
		last_iova = iopt_dirty_part_last(&part);
		iopt_pages_unlock_range(part.area->slice.pages, &part.busy);
		iopt_area_put(part.area);
		if (rc)
			return rc;
		/* Compared before it is added to: it can be ULONG_MAX. */
		if (last_iova >= walk->last_iova)
			break;
		walk->next_iova = last_iova + 1;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Called back with the whole window pinned. */
static int iopt_dirty_read_window(struct iova_bitmap *bitmap, unsigned long iova,
				  size_t length, void *opaque)
{
	struct iopt_dirty_walk *walk = opaque;

	walk->dirty.bitmap = bitmap;
	return walk->read(walk);
}

/* Return: where the window has to end that starts with the next IOVA. */
static unsigned long iopt_dirty_window_last(const struct iopt_dirty_walk *walk,
					    const struct iopt_dirty_request *request)
{
	unsigned long first_iova = walk->next_iova;
	unsigned long length, border;

	if ((request->last_iova - first_iova) / request->page_size <
	    IOPT_DIRTY_WINDOW_BITS)
		return request->last_iova;
	length = IOPT_DIRTY_WINDOW_BITS * request->page_size;
	border = min(rounddown_pow_of_two(length), (unsigned long)SZ_1G);
	border = max(border, request->page_size);
	return round_down(first_iova + length, border) - 1;
}

/* The window onto the bits from the next IOVA on; it begins with a whole byte. */
static struct iova_bitmap *
iopt_dirty_open_window(const struct iopt_dirty_walk *walk,
		       const struct iopt_dirty_request *request)
{
	unsigned long bit = (walk->next_iova - request->first_iova) /
			    request->page_size;
	unsigned long iova = walk->next_iova -
			     bit % BITS_PER_BYTE * request->page_size;

	return iova_bitmap_alloc(iova, walk->last_iova - iova + 1,
				 request->page_size,
				 (void __user *)request->data + bit / BITS_PER_BYTE);
}

static int iopt_dirty_read_windows(struct iopt_dirty_walk *walk,
				   const struct iopt_dirty_request *request)
{
	walk->next_iova = request->first_iova;
	for (;;) {
		struct iova_bitmap *bitmap;
		unsigned long last_iova;
		int rc;

		last_iova = iopt_dirty_window_last(walk, request);
		walk->last_iova = last_iova;
		bitmap = iopt_dirty_open_window(walk, request);
		if (IS_ERR(bitmap))
			return PTR_ERR(bitmap);
		rc = iova_bitmap_for_each(bitmap, walk, iopt_dirty_read_window);
		iova_bitmap_free(bitmap);
		if (rc || last_iova == request->last_iova)
			return rc;
		walk->next_iova = last_iova + 1;
		/* There can be windows without an area in them. */
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
}

static bool iopt_dirty_is_aligned(struct io_pagetable *iopt,
				  const struct iopt_dirty_request *request)
{
	guard(rwsem_read)(&iopt->iova_rwsem);

	return IS_ALIGNED(request->first_iova | (request->last_iova + 1),
			  max(request->page_size, iopt->iova_alignment));
}

/* So nothing is cleared for a pointer that cannot be right. */
static int iopt_dirty_check_data(const struct iopt_dirty_request *request)
{
	unsigned long last_bit = (request->last_iova - request->first_iova) /
				 request->page_size;

	return access_ok(request->data, last_bit / BITS_PER_BYTE + 1) ? 0 :
								     -EFAULT;
}

/**
 * iopt_read_dirty() - read which pages devices have written to through a domain
 * @iopt: the map
 * @member: from a successful iopt_domain_add(), not removed before this returns
 * @request: what of it
 *
 * Bits are only ever set in the bitmap. A leaf is cleared if all of it was asked
 * for; whatever was cleared has its bits set, also on error.
 *
 * Context: process that owns the bitmap, no lock held; sleeps.
 * Return: 0; -EINVAL the range is not aligned to the page size, or to what the map
 * wants; -EOPNOTSUPP the domain cannot track dirty pages; -EFAULT; -ENOMEM; -EINTR
 * fatal signal; a driver's -errno, such as -EINVAL when tracking is off.
 */
int iopt_read_dirty(struct io_pagetable *iopt, struct iopt_domain *member,
		    const struct iopt_dirty_request *request)
{
	struct iopt_dirty_walk walk = {
		.iopt = iopt,
		.member = member,
		.read = iopt_dirty_read_range,
		.dirty = { .io = &member->io, .keep = request->keep },
	};
	int rc;

	if (!iopt_dirty_is_aligned(iopt, request))
		return -EINVAL;
	if (!member->io.domain->dirty_ops)
		return -EOPNOTSUPP;
	rc = iopt_dirty_check_data(request);
	if (rc)
		return rc;

	domain_io_begin_dirty(&walk.dirty);
	rc = iopt_dirty_read_windows(&walk, request);
	domain_io_end_dirty(&walk.dirty);
	return rc;
}

static int iopt_dirty_read_member(struct iopt_dirty_walk *walk,
				  struct iopt_domain *member)
{
	int rc;

	walk->member = member;
	walk->dirty.io = &member->io;
	domain_io_begin_dirty(&walk->dirty);
	rc = iopt_dirty_read_range(walk);
	domain_io_end_dirty(&walk->dirty);
	return rc;
}

/* In the caller's turn: what is dirty in one of the domains. */
static int iopt_dirty_read_members(struct iopt_dirty_walk *walk)
{
	struct io_pagetable *iopt = walk->iopt;
	unsigned long first_iova = walk->next_iova;
	struct iopt_domain *member;
	int rc;

	if (!iopt->tracks_dirty)
		return -EINVAL;
	if (READ_ONCE(iopt->lost_track)) {
		walk->member = NULL;
		return iopt_dirty_read_range(walk);
	}
	list_for_each_entry(member, &iopt->domains.members, item) {
		if (member->leave_seq)
			continue;
		walk->next_iova = first_iova;
		walk->has_cleared = true;
		rc = iopt_dirty_read_member(walk, member);
		if (rc)
			return rc;
	}
	return 0;
}

/* It is somebody's turn only while no page fault has to be waited for. */
static int iopt_dirty_read_in_turn(struct iopt_dirty_walk *walk)
{
	struct iommufd_turn *turn = &walk->iopt->change_turn;
	int rc = iommufd_turn_take_killable(turn);

	if (rc)
		return rc;
	rc = iopt_dirty_read_members(walk);
	iommufd_turn_end(turn);
	return rc;
}

/**
 * iopt_collect_dirty() - read which pages devices have written to, through any domain
 * @iopt: the map; iopt_start_tracking() was called
 * @request: what of it
 *
 * As iopt_read_dirty() from all domains. When the map has lost track of who writes,
 * all that can be written to is dirty. A program that is told of an error may throw
 * the bitmap away, and what was cleared has its bits nowhere else: the map has lost
 * track then.
 *
 * Context: as iopt_read_dirty().
 * Return: 0; -EINVAL tracking is off, or as iopt_read_dirty().
 */
int iopt_collect_dirty(struct io_pagetable *iopt,
		       const struct iopt_dirty_request *request)
{
	struct iopt_dirty_walk walk = {
		.iopt = iopt,
		.read = iopt_dirty_read_in_turn,
		.dirty = { .keep = request->keep },
	};
	int rc;

	if (!iopt_dirty_is_aligned(iopt, request))
		return -EINVAL;
	rc = iopt_dirty_check_data(request);
	if (rc)
		return rc;
	rc = iopt_dirty_read_windows(&walk, request);
	if (rc && walk.has_cleared) {
		guard(iopt_write)(iopt);
		iopt_lose_track(iopt);
	}
	return rc;
}

/**
 * iopt_assume_dirty() - take for dirty what devices can write to
 * @iopt: the map
 * @request: what of it
 *
 * Nothing is cleared, and no driver is asked.
 *
 * Context: process that owns the bitmap, no lock held; sleeps.
 * Return: 0; -EINVAL the range is not aligned, -EFAULT, -ENOMEM, -EINTR, as
 * iopt_read_dirty().
 */
int iopt_assume_dirty(struct io_pagetable *iopt,
		      const struct iopt_dirty_request *request)
{
	struct iopt_dirty_walk walk = {
		.iopt = iopt,
		.read = iopt_dirty_read_range,
	};
	int rc;

	if (!iopt_dirty_is_aligned(iopt, request))
		return -EINVAL;
	rc = iopt_dirty_check_data(request);
	return rc ?: iopt_dirty_read_windows(&walk, request);
}

static int iopt_forget_dirty(struct io_pagetable *iopt,
			     struct iopt_domain *member)
{
	struct iopt_dirty_walk walk = {
		.iopt = iopt,
		.member = member,
		.dirty = { .io = &member->io },
		.last_iova = ULONG_MAX,
	};
	int rc;

	domain_io_begin_dirty(&walk.dirty);
	rc = iopt_dirty_read_range(&walk);
	domain_io_end_dirty(&walk.dirty);
	return rc;
}

/**
 * iopt_switch_dirty() - have the devices of a domain leave a trace of what they write
 * @member: its domain has dirty_ops
 * @enable: they do from now on; else they do not
 *
 * Context: process; sleeps, also while devices are attached or detached.
 * Return: 0 or the driver's -errno.
 */
int iopt_switch_dirty(struct iopt_domain *member, bool enable)
{
	return domain_io_track_dirty(&member->io, enable);
}

/**
 * iopt_track_dirty() - have a domain note which pages devices write to, or not
 * @iopt: the map
 * @member: from a successful iopt_domain_add(), not removed before this returns
 * @enable: it does
 *
 * What it has noted before is forgotten first, also if it is noting already. Areas
 * that are mapped meanwhile have nothing to be forgotten.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -EOPNOTSUPP it cannot; -EINTR fatal signal; a driver's -errno.
 */
int iopt_track_dirty(struct io_pagetable *iopt, struct iopt_domain *member,
		     bool enable)
{
	int rc = 0;

	if (!member->io.domain->dirty_ops)
		return -EOPNOTSUPP;
	if (enable)
		rc = iopt_forget_dirty(iopt, member);
	return rc ?: iopt_switch_dirty(member, enable);
}
