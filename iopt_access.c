// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-kernel users of an IOVA map: pins and copies through its areas, and how an
 * unmap gets the pins back.
 *
 * A pin waits for nobody. It looks at the area's state before the long work and
 * counts its pages after it, under the lock, if the area is still LIVE: so an
 * unmap that has marked the area meets no new pin, and only has to have the users
 * let go of those that are there. The users' callbacks run with no lock held.
 */
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#include "debug.h"
#include "iopt_area.h"

/*
 * How often the users are asked, and how long to wait for a pin that is on its
 * way to its owner while its owner is asked: two seconds altogether.
 */
#define IOPT_EVICT_ROUNDS 100
#define IOPT_EVICT_WAIT msecs_to_jiffies(20)

/**
 * iopt_user_add() - let an in-kernel user use the map
 * @iopt: the map
 * @user: its unmap and iova_alignment are set; the caller keeps it until
 *	iopt_user_remove() has returned
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -EADDRINUSE an area is not aligned as the user needs it; -ENOMEM.
 */
int iopt_user_add(struct io_pagetable *iopt, struct iopt_user *user)
{
	int rc;

	atomic_long_set(&user->pinned_pages, 0);
	refcount_set(&user->calls, 1);
	/* Who finds it like this knows what was done when it left the last map. */
	smp_store_release(&user->leaving, false);
	rc = xa_alloc(&iopt->users, &user->index, XA_ZERO_ENTRY, xa_limit_31b,
		      GFP_KERNEL_ACCOUNT);
	if (rc)
		return rc;

	guard(iopt_write)(iopt);

	if (user->iova_alignment > iopt->iova_alignment) {
		if (!iopt_areas_aligned(iopt, user->iova_alignment)) {
			xa_erase(&iopt->users, user->index);
			return -EADDRINUSE;
		}
		iopt->iova_alignment = user->iova_alignment;
	}
	iopt_lose_track(iopt);
	xa_store(&iopt->users, user->index, user, GFP_KERNEL);
	return 0;
}

/* The user at or behind an index of the table, kept for a callback. */
static struct iopt_user *iopt_find_user(struct io_pagetable *iopt,
					unsigned long *index)
{
	struct iopt_user *user;

	guard(rwsem_read)(&iopt->iova_rwsem);

	user = xa_find(&iopt->users, index, ULONG_MAX, XA_PRESENT);
	if (user && !WARN_ON(!iopt_user_get(user)))
		return user;
	return NULL;
}

/**
 * iopt_user_get() - keep a user from being removed
 * @user: a user that was added
 *
 * Context: any.
 * Return: false if it has been removed.
 */
bool iopt_user_get(struct iopt_user *user)
{
	return refcount_inc_not_zero(&user->calls);
}

/**
 * iopt_user_put() - undo iopt_user_get()
 * @user: the user; it can be gone on return
 *
 * Context: any.
 */
void iopt_user_put(struct iopt_user *user)
{
	if (refcount_dec_and_test(&user->calls)) {
		smp_mb__after_atomic(); /* before the look for waiters */
		wake_up_var(&user->calls);
	}
}

/* Tell the users that an area goes. */
static void iopt_tell_users(const struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);
	struct iopt_user *user;
	unsigned long index;

	for (index = 0; (user = iopt_find_user(iopt, &index)); index++) {
		user->unmap(user, area->slice.iova.first_iova,
			    iopt_area_bytes(area));
		iopt_user_put(user);
	}
}

/**
 * iopt_area_evict_users() - iopt_area_evict() when somebody has pins
 * @area: in state UNMAPPING and the caller's
 *
 * Context: process, no lock held; calls users and sleeps.
 * Return: as iopt_area_evict().
 */
int iopt_area_evict_users(struct iopt_area *area)
{
	atomic_long_t *pinned = &area->pinned_pages;

	for (int i = 0; atomic_long_read(pinned); i++) {
		if (i == IOPT_EVICT_ROUNDS)
			return -EDEADLOCK;
		if (fatal_signal_pending(current))
			return -EINTR;
		iopt_tell_users(area);
		wait_var_event_timeout(pinned, !atomic_long_read(pinned),
				       IOPT_EVICT_WAIT);
	}
	return 0;
}

static __always_inline void iopt_count_unpinned(struct iopt_area *area,
						struct iopt_user *user,
						unsigned long npages)
{
	if (!atomic_long_sub_return(npages, &user->pinned_pages))
		wake_up_var(&user->pinned_pages);
	if (!atomic_long_sub_return(npages, &area->pinned_pages))
		wake_up_var(&area->pinned_pages);
}

/* The lowest area with pins that begins at or behind an IOVA. */
static struct iopt_area *iopt_next_pinned(struct io_pagetable *iopt,
					  unsigned long iova)
{
	struct iopt_area *area;

	guard(rwsem_read)(&iopt->iova_rwsem);

	area = iopt_area_from(iopt, iova);
	while (area && !atomic_long_read(&area->pinned_pages))
		area = iopt_area_next(area);
	if (area)
		iopt_area_get(area);
	return area;
}

/* Have one user let go of everything. */
static void iopt_user_evict(struct io_pagetable *iopt, struct iopt_user *user)
{
	unsigned long next_iova = 0;
	struct iopt_area *area;

	while ((area = iopt_next_pinned(iopt, next_iova))) {
		next_iova = area->slice.iova.last_iova + 1;
		user->unmap(user, area->slice.iova.first_iova,
			    iopt_area_bytes(area));
		iopt_area_put(area);
		if (!next_iova)
			break;
		cond_resched();
	}
}

/**
 * iopt_user_stop() - let a user pin nothing more, and have it unpin what it has
 * @iopt: the map
 * @user: the user
 *
 * Its callback is called for the areas through which somebody has pins, so it is
 * asked for nothing that was never mapped. It can still unpin afterwards.
 *
 * Context: process, no lock held; calls the user and sleeps.
 */
void iopt_user_stop(struct io_pagetable *iopt, struct iopt_user *user)
{
	atomic_long_t *pinned = &user->pinned_pages;

	scoped_guard(iopt_write, iopt)
		user->leaving = true;
	for (int i = 0; atomic_long_read(pinned); i++) {
		if (WARN_ON(i == IOPT_EVICT_ROUNDS))
			return;
		iopt_user_evict(iopt, user);
		wait_var_event_timeout(pinned, !atomic_long_read(pinned),
				       IOPT_EVICT_WAIT);
	}
}

/**
 * iopt_user_remove() - end what iopt_user_add() began
 * @iopt: the map
 * @user: stopped; it has unpinned everything. No callback is called or running on
 *	return, nor a call of the user's
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_user_remove(struct io_pagetable *iopt, struct iopt_user *user)
{
	scoped_guard(iopt_write, iopt) {
		xa_erase(&iopt->users, user->index);
		iopt->iova_alignment = iopt_wanted_alignment(iopt);
	}
	iopt_user_put(user);
	wait_var_event(&user->calls, !refcount_read(&user->calls));
}

/**
 * struct iopt_access_walk - a walk over the areas under a range of IOVA
 * @iopt: the map
 * @user: who walks
 * @iova: where it is
 * @last_iova: where it ends, inclusive
 * @write: the memory is written to
 * @whole_pages: only the ends may lie inside of a page
 */
struct iopt_access_walk {
	struct io_pagetable *iopt;
	struct iopt_user *user;
	unsigned long iova;
	unsigned long last_iova;
	bool write;
	bool whole_pages;
};

/**
 * struct iopt_access_piece - the part of such a range that lies in one area
 * @area: the area, referenced
 * @first_byte: first byte of the part, counted from the start of the first page
 *	of the pages
 * @length: bytes
 */
struct iopt_access_piece {
	struct iopt_area *area;
	unsigned long first_byte;
	unsigned long length;
};

static unsigned long iopt_piece_index(const struct iopt_access_piece *piece)
{
	return piece->first_byte / PAGE_SIZE;
}

static unsigned long iopt_piece_npages(const struct iopt_access_piece *piece)
{
	return (piece->first_byte + (piece->length - 1)) / PAGE_SIZE -
	       iopt_piece_index(piece) + 1;
}

/* What an IOVA shows, counted from the start of the first page of the pages. */
static unsigned long iopt_slice_byte(const struct iopt_slice *slice,
				     unsigned long iova)
{
	return slice->span.start * PAGE_SIZE + slice->page_offset +
	       (iova - slice->iova.first_iova);
}

/*
 * The area at an IOVA and the part of it up to another, or false if there is none.
 * Under the map's lock; the area is not kept.
 */
static bool iopt_piece_at(struct io_pagetable *iopt, unsigned long iova,
			  unsigned long last_iova,
			  struct iopt_access_piece *piece)
{
	struct iopt_slice *slice;

	lockdep_assert_held(&iopt->iova_rwsem);

	piece->area = iopt_area_from(iopt, iova);
	if (!piece->area || piece->area->slice.iova.first_iova > iova)
		return false;
	slice = &piece->area->slice;
	piece->first_byte = iopt_slice_byte(slice, iova);
	piece->length = min(last_iova, slice->iova.last_iova) - iova + 1;
	return true;
}

static bool iopt_slice_allows(const struct iopt_slice *slice, bool write)
{
	return slice->iommu_prot & (write ? IOMMU_WRITE : IOMMU_READ);
}

/* May the user reach the area like this? The order of the checks is ABI. */
static int iopt_piece_check(const struct iopt_access_walk *walk,
			    const struct iopt_access_piece *piece,
			    bool is_first)
{
	const struct iopt_slice *slice = &piece->area->slice;
	unsigned long end_byte = piece->first_byte + piece->length;
	bool is_last = walk->last_iova <= slice->iova.last_iova;

	if (piece->area->state != IOPT_AREA_LIVE)
		return -EINVAL;
	if (walk->whole_pages && !is_first && offset_in_page(piece->first_byte))
		return -EINVAL;
	if (walk->whole_pages && !is_last && offset_in_page(end_byte))
		return -EINVAL;
	if (!iopt_slice_allows(slice, walk->write))
		return -EPERM;
	/* What is mapped for writing is memory that may be written to. */
	IOMMUFD_ASSERT(!walk->write || slice->pages->ops->writable);
	return 0;
}

/* Find the piece at the walk's position, and keep its area. */
static int iopt_access_find(const struct iopt_access_walk *walk, bool is_first,
			    struct iopt_access_piece *piece)
{
	int rc;

	guard(rwsem_read)(&walk->iopt->iova_rwsem);

	if (walk->user->leaving)
		return -ENOENT;
	if (!iopt_piece_at(walk->iopt, walk->iova, walk->last_iova, piece) ||
	    piece->area->state == IOPT_AREA_MAPPING)
		return -ENOENT;
	rc = iopt_piece_check(walk, piece, is_first);
	if (!rc)
		iopt_area_get(piece->area);
	return rc;
}

/* Under the map's lock, with the area LIVE. */
static void iopt_count_pinned(struct iopt_area *area, struct iopt_user *user,
			      unsigned long npages)
{
	atomic_long_add(npages, &area->pinned_pages);
	atomic_long_add(npages, &user->pinned_pages);
}

/* Step over a piece. Return: false at the end of the range. */
static bool iopt_access_advance(struct iopt_access_walk *walk,
				const struct iopt_access_piece *piece)
{
	unsigned long last_iova = walk->iova + (piece->length - 1);

	walk->iova = last_iova + 1;
	return last_iova != walk->last_iova;
}

/*
 * The pages are pinned: is there still a reason to? Then they count.
 *
 * Return: 0; -EAGAIN the area has been cut; -EINVAL it is going; -ENOENT the user
 * is.
 */
static int iopt_piece_commit(const struct iopt_access_walk *walk,
			     const struct iopt_access_piece *piece)
{
	unsigned long last_iova = walk->iova + (piece->length - 1);

	guard(rwsem_read)(&walk->iopt->iova_rwsem);

	if (walk->user->leaving)
		return -ENOENT;
	if (piece->area->state != IOPT_AREA_LIVE)
		return -EINVAL;
	if (last_iova > piece->area->slice.iova.last_iova)
		return -EAGAIN;
	iopt_count_pinned(piece->area, walk->user, iopt_piece_npages(piece));
	return 0;
}

static int iopt_piece_pin(const struct iopt_access_walk *walk,
			  const struct iopt_access_piece *piece,
			  struct page **out_pages)
{
	struct iopt_pages *pages = piece->area->slice.pages;
	unsigned long first_index = iopt_piece_index(piece);
	unsigned long npages = iopt_piece_npages(piece);
	int rc;

	rc = iopt_pages_add_access(pages, first_index, npages, out_pages);
	if (rc)
		return rc;
	rc = iopt_piece_commit(walk, piece);
	if (rc)
		iopt_pages_remove_access(pages, first_index, npages);
	return rc;
}

/**
 * iopt_pin() - pin the pages under a range of IOVA
 * @iopt: the map
 * @user: who wants them
 * @request: the range, and what for
 * @out_pages: written on success: the pages, in the order of their IOVA
 *
 * Context: process, no lock held; sleeps as long as user space likes, but not
 * for an unmap.
 * Return: 0; -EINVAL a part of it is being unmapped, or lies across areas that do
 * not meet at the border of a page; -ENOENT a hole, or the user is leaving; -EPERM
 * not mapped for that; or as iopt_pages_add_access(). Nothing is pinned then.
 */
int iopt_pin(struct io_pagetable *iopt, struct iopt_user *user,
	     const struct iopt_access_request *request, struct page **out_pages)
{
	struct iopt_access_walk walk = {
		.iopt = iopt,
		.user = user,
		.iova = request->first_iova,
		.last_iova = request->last_iova,
		.write = request->write,
		.whole_pages = true,
	};
	struct iopt_access_piece piece __uninitialized;
	bool is_first = true, more;
	int rc;

	do {
		rc = iopt_access_find(&walk, is_first, &piece);
		if (rc)
			break;
		rc = iopt_piece_pin(&walk, &piece, out_pages);
		iopt_area_put(piece.area);
		if (rc == -EAGAIN) {
			more = true;
			continue;
		}
		if (rc)
			break;
		out_pages += iopt_piece_npages(&piece);
		more = iopt_access_advance(&walk, &piece);
		is_first = false;
	} while (more);

	if (rc && !is_first)
		iopt_unpin(iopt, user, request->first_iova, walk.iova - 1);
	return rc;
}

/*
 * Unpinning finds its area in whatever state it is: with pins through it, it
 * cannot go. The area is kept.
 */
static bool iopt_unpin_find(struct io_pagetable *iopt, unsigned long iova,
			    unsigned long last_iova,
			    struct iopt_access_piece *piece)
{
	guard(rwsem_read)(&iopt->iova_rwsem);

	if (!iopt_piece_at(iopt, iova, last_iova, piece) ||
	    atomic_long_read(&piece->area->pinned_pages) <
		    iopt_piece_npages(piece))
		return false;
	iopt_area_get(piece->area);
	return true;
}

/* With the area kept. Return: false if there were no pins to give up. */
static bool iopt_piece_unpin(const struct iopt_access_piece *piece,
			     struct iopt_user *user)
{
	unsigned long npages = iopt_piece_npages(piece);

	if (!iopt_pages_remove_access(piece->area->slice.pages,
				      iopt_piece_index(piece), npages))
		return false;
	iopt_count_unpinned(piece->area, user, npages);
	return true;
}

/**
 * iopt_unpin() - give up pins under a range of IOVA
 * @iopt: the map
 * @user: who pinned them
 * @iova: first byte
 * @last_iova: last byte, inclusive; the range may be put together from several
 *	that were pinned
 *
 * Context: process, no lock held, also in the user's callback; sleeps, needs no
 * memory.
 */
void iopt_unpin(struct io_pagetable *iopt, struct iopt_user *user,
		unsigned long iova, unsigned long last_iova)
{
	struct iopt_access_piece piece __uninitialized;
	bool more;

	do {
		if (WARN_ON_ONCE(!iopt_unpin_find(iopt, iova, last_iova,
						  &piece)))
			return;
		WARN_ON_ONCE(!iopt_piece_unpin(&piece, user));
		iopt_area_put(piece.area);
		more = iova + (piece.length - 1) != last_iova;
		iova += piece.length;
	} while (more);
}

/*
 * The area that shows a byte and so many behind it, or NULL. What follows is done in
 * very few steps, of which a call would be one more.
 */
static __always_inline struct iopt_area *
iopt_area_of_all(struct io_pagetable *iopt, unsigned long iova,
		 unsigned long more_bytes)
{
	struct iopt_area *area = iopt_area_from(iopt, iova);

	lockdep_assert_held(&iopt->iova_rwsem);

	if (area && area->slice.iova.first_iova <= iova &&
	    area->slice.iova.last_iova - iova >= more_bytes)
		return area;
	return NULL;
}

/* The same, if it is there for that. */
static __always_inline struct iopt_area *
iopt_area_at_once(struct io_pagetable *iopt, unsigned long iova,
		  unsigned long more_bytes, bool write)
{
	struct iopt_area *area = iopt_area_of_all(iopt, iova, more_bytes);

	if (area && area->state == IOPT_AREA_LIVE &&
	    iopt_slice_allows(&area->slice, write))
		return area;
	return NULL;
}

/**
 * iopt_pin_at_once() - iopt_pin() if nothing has to be waited for
 * @iopt: the map
 * @user: who wants the pages
 * @request: the range, and what for
 * @out_pages: written on success: the pages, in the order of their IOVA
 *
 * It is like that where others have pinned the same: it takes no longer than to find
 * the area.
 *
 * Context: the map's lock held for reading, with @user in the map, and not leaving;
 * does not sleep.
 * Return: false with nothing done, also if iopt_pin() will not like the range.
 */
bool iopt_pin_at_once(struct io_pagetable *iopt, struct iopt_user *user,
		      const struct iopt_access_request *request,
		      struct page **out_pages)
{
	unsigned long more_bytes = request->last_iova - request->first_iova;
	struct iopt_access_piece piece;
	struct iopt_area *area;
	unsigned long npages;

	area = iopt_area_at_once(iopt, request->first_iova, more_bytes,
				 request->write);
	if (!area)
		return false;
	piece.first_byte = iopt_slice_byte(&area->slice, request->first_iova);
	piece.length = more_bytes + 1;
	npages = iopt_piece_npages(&piece);
	if (!iopt_pages_try_pin_again(area->slice.pages,
				      iopt_piece_index(&piece), npages,
				      out_pages))
		return false;
	iopt_count_pinned(area, user, npages);
	return true;
}

/**
 * iopt_unpin_at_once() - iopt_unpin() if nothing has to be waited for
 * @iopt: the map
 * @user: who pinned them
 * @iova: first byte
 * @last_iova: last byte, inclusive
 *
 * It is like that where others have pinned the same: their pins stay.
 *
 * Context: the map's lock held for reading, with @user in the map; does not sleep.
 * Return: false with nothing done.
 */
bool iopt_unpin_at_once(struct io_pagetable *iopt, struct iopt_user *user,
			unsigned long iova, unsigned long last_iova)
{
	struct iopt_area *area = iopt_area_of_all(iopt, iova, last_iova - iova);
	struct iopt_access_piece piece;
	unsigned long npages;

	if (!area)
		return false;
	piece.first_byte = iopt_slice_byte(&area->slice, iova);
	piece.length = last_iova - iova + 1;
	npages = iopt_piece_npages(&piece);
	if (atomic_long_read(&area->pinned_pages) < npages ||
	    !iopt_pages_try_unpin(area->slice.pages, iopt_piece_index(&piece),
				  npages))
		return false;
	iopt_count_unpinned(area, user, npages);
	return true;
}

/**
 * iopt_rw_at_once() - iopt_rw_access() if nothing has to be waited for
 * @iopt: the map
 * @iova: first byte
 * @rw: all but @first_byte and @lock are set, @length to 1 or more
 *
 * Most copies are like this: they take no longer than to find the area.
 *
 * Context: the map's lock held for reading, with a user in the map; sleeps as
 * iopt_slice_rw_at_once() does.
 * Return: true with all of it copied; false if iopt_rw_access() has to go on behind what
 * @rw was moved on by, also if that will not like the range.
 */
bool iopt_rw_at_once(struct io_pagetable *iopt, unsigned long iova,
		     struct iopt_rw *rw)
{
	struct iopt_area *area = iopt_area_at_once(iopt, iova, rw->length - 1,
						   rw->write);

	if (!area)
		return false;
	rw->first_byte = iopt_slice_byte(&area->slice, iova);
	rw->lock = &iopt->iova_rwsem;
	return iopt_slice_rw_at_once(&area->slice, rw);
}

/**
 * iopt_rw_access() - copy between the kernel and a range of IOVA
 * @iopt: the map
 * @user: who copies
 * @request: the range, and whether it is written to
 * @rw: its data and pins are set
 *
 * Context: process or kernel thread, no lock held; sleeps as long as user space
 * likes.
 * Return: 0; -EINVAL a part of it is being unmapped; -ENOENT a hole, or the user
 * is leaving; -EPERM not mapped for that; or as iopt_slice_rw(). What lies
 * in front of the trouble has been copied.
 */
int iopt_rw_access(struct io_pagetable *iopt, struct iopt_user *user,
		   const struct iopt_access_request *request,
		   struct iopt_rw *rw)
{
	struct iopt_access_walk walk = {
		.iopt = iopt,
		.user = user,
		.iova = request->first_iova,
		.last_iova = request->last_iova,
		.write = request->write,
	};
	struct iopt_access_piece piece;
	bool more;
	int rc;

	rw->write = request->write;
	rw->lock = NULL;
	do {
		rc = iopt_access_find(&walk, false, &piece);
		if (rc)
			return rc;
		rw->first_byte = piece.first_byte;
		rw->length = piece.length;
		rc = iopt_slice_rw(&piece.area->slice, rw);
		iopt_area_put(piece.area);
		if (rc && rc != -ESTALE)
			return rc;
		/* If the area has been cut, the rest is found anew. */
		piece.length -= rw->length;
		more = !piece.length || iopt_access_advance(&walk, &piece);
	} while (more);
	return 0;
}
