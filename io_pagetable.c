// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas, from the time they are in the map, and unmap.
 *
 * Map (iopt_map.c) and unmap work in three steps. The IOVA is taken, or the area
 * marked, under the lock; the long work on the page store is done without it;
 * the area becomes LIVE, or leaves the tree, under the lock again. In between it
 * stands in the tree in a state that tells everybody else to leave it alone, so
 * nothing else can be mapped over an IOVA that devices may still reach.
 */
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "iopt_area.h"

/**
 * iopt_init() - make an empty map
 * @iopt: zeroed memory
 *
 * Context: process.
 */
void iopt_init(struct io_pagetable *iopt)
{
	init_rwsem(&iopt->iova_rwsem);
	iova_map_init(&iopt->areas);
	iopt->reserved = RB_ROOT_CACHED;
	iopt->usable.last_iova = ULONG_MAX;
	iopt->allowed = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&iopt->domains.members);
	iopt_owner_cache_init(&iopt->owners);
	xa_init_flags(&iopt->users, XA_FLAGS_ALLOC1);
	iommufd_turn_init(&iopt->change_turn);
	iopt->iova_alignment = 1;
}

/**
 * iopt_area_get() - keep an area's memory
 * @area: an area in the map
 *
 * Context: any, the map's lock held.
 */
void iopt_area_get(struct iopt_area *area)
{
	kref_get(&area->kref);
}

static void iopt_area_release(struct kref *kref)
{
	struct iopt_area *area = container_of(kref, struct iopt_area, kref);
	struct iopt_pages *pages = area->slice.pages;

	if (likely(area->within_pages)) {
		iopt_drop_mapping(area);
		return;
	}
	kfree(area);
	iopt_pages_put(pages);
}

/**
 * iopt_area_put() - let go of an area's memory
 * @area: the area
 *
 * Context: process, no lock held.
 */
void iopt_area_put(struct iopt_area *area)
{
	kref_put(&area->kref, iopt_area_release);
}

static void iopt_erase_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);

	lockdep_assert_held_write(&iopt->iova_rwsem);

	iova_map_erase(&iopt->areas, &area->slice.iova);
	iopt->nr_areas--;
	if (area->state == IOPT_AREA_QUARANTINED)
		iopt->nr_quarantined--;
	WRITE_ONCE(iopt->nr_settled, iopt->nr_settled + 1);
}

/**
 * iopt_area_quarantine() - draw the conclusion from a slice in quarantine
 * @area: the area; if it is somebody's, that task will come to it
 *
 * Context: process, no lock held.
 */
void iopt_area_quarantine(struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);

	scoped_guard(iopt_write, iopt) {
		if (area->state == IOPT_AREA_LIVE)
			iopt_set_state(area, IOPT_AREA_QUARANTINED);
	}
	iopt_wake(iopt);
}

/**
 * iopt_remove_released() - take an area out of the map whose quarantine is over
 * @area: it, in state QUARANTINED; the caller has a reference
 *
 * Context: process, no lock held.
 */
void iopt_remove_released(struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);

	scoped_guard(iopt_write, iopt) {
		iopt_erase_area(area);
	}
	iopt_wake(iopt);
	iopt_area_put(area);
}

static __always_inline int __iopt_retire_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);
	int rc;

	rc = iopt_slice_unfill(&area->slice);
	scoped_guard(iopt_write, iopt) {
		if (rc)
			iopt_set_state(area, IOPT_AREA_QUARANTINED);
		else
			iopt_erase_area(area);
	}
	iopt_wake(iopt);
	if (!rc)
		iopt_area_put(area);
	return rc;
}

/**
 * iopt_retire_area() - take an area out of the domains and out of the map
 * @area: in state UNMAPPING and the caller's
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -ENOTRECOVERABLE when a driver did not let go of all of it: it
 * stays in the map then, in quarantine.
 */
int iopt_retire_area(struct iopt_area *area)
{
	return __iopt_retire_area(area);
}

/* Some user has kept its pins: nothing has happened. */
static void iopt_restore_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = iopt_area_map(area);

	scoped_guard(iopt_write, iopt)
		iopt_set_state(area, READ_ONCE(area->slice.quarantined) ?
					     IOPT_AREA_QUARANTINED :
					     IOPT_AREA_LIVE);
	iopt_wake(iopt);
}

/* Areas claimed under one lock, and flushed together. */
#define IOPT_UNMAP_BATCH 16

/**
 * struct iopt_unmap_walk - an unmap in progress
 * @iopt: the map
 * @first_iova: lowest IOVA to unmap
 * @last_iova: highest IOVA to unmap
 * @next_iova: where to look for the next area
 * @unmapped_bytes: bytes of the areas that are gone
 * @nr_settled: io_pagetable.nr_settled when somebody's area was in the way
 * @all: wait for areas that are still being mapped, too
 * @whole: an area that begins in the range goes as a whole; one that begins in
 *	front of it ends the walk
 * @met_quarantine: there is an area in the range that no unmap can remove
 * @is_done: there is no area left
 */
struct iopt_unmap_walk {
	struct io_pagetable *iopt;
	unsigned long first_iova;
	unsigned long last_iova;
	unsigned long next_iova;
	unsigned long unmapped_bytes;
	unsigned int nr_settled;
	bool all;
	bool whole;
	bool met_quarantine;
	bool is_done;
};

/**
 * struct iopt_claim - areas that an unmap has made its own
 * @nr_areas: entries in @areas; more than one only if nobody has pins in them
 * @nr_bare: entries in @bare
 * @areas: in the map, UNMAPPING
 * @bare: no domain showed anything of them, so they have left the map already
 */
struct iopt_claim {
	unsigned int nr_areas;
	unsigned int nr_bare;
	struct iopt_area *areas[IOPT_UNMAP_BATCH];
	struct iopt_area *bare[IOPT_UNMAP_BATCH];
};

/**
 * enum iopt_claim_answer - what an unmap does about an area in its range
 * @IOPT_CLAIM_IT: claim it
 * @IOPT_CLAIM_NEXT: leave it, and go on
 * @IOPT_CLAIM_END: leave it and all behind it
 */
enum iopt_claim_answer {
	IOPT_CLAIM_IT,
	IOPT_CLAIM_NEXT,
	IOPT_CLAIM_END,
};

/*
 * Does no domain show anything of a LIVE area, and is nobody about to change
 * that? Who is keeps its memory, and has begun to under the lock.
 */
static bool iopt_area_is_bare(struct iopt_area *area)
{
	lockdep_assert_held_write(&iopt_area_map(area)->iova_rwsem);

	/* Mostly it is not, and then a guess is good enough. */
	if (READ_ONCE(area->slice.filled_pages))
		return false;
	if (kref_read(&area->kref) != 1 || atomic_long_read(&area->pinned_pages))
		return false;
	smp_acquire__after_ctrl_dep(); /* what they did before they let go */
	return !area->slice.filled_pages && !area->slice.quarantined;
}

/* Why an unmap cannot claim an area: as iopt_may_claim(). */
static noinline int iopt_why_not_claim(struct iopt_unmap_walk *walk,
				       const struct iopt_area *area)
{
	if (area->state == IOPT_AREA_QUARANTINED) {
		walk->met_quarantine = true;
		return IOPT_CLAIM_NEXT;
	}
	if (area->slice.iova.first_iova < walk->first_iova && walk->whole)
		return IOPT_CLAIM_END;
	if (area->slice.iova.first_iova < walk->first_iova && !walk->whole)
		return -ENOENT;
	if (area->slice.iova.last_iova > walk->last_iova && !walk->whole)
		return -ENOENT;
	if (area->state == IOPT_AREA_MAPPING && !walk->all)
		return -EBUSY;
	if (area->state != IOPT_AREA_LIVE) {
		walk->nr_settled = walk->iopt->nr_settled;
		return -EAGAIN;
	}
	return IOPT_CLAIM_IT;
}

/*
 * May the unmap claim an area in its range? One that was mapped behind the walk's
 * back and reaches across its position is in the range like any other.
 *
 * Return: enum iopt_claim_answer; -EAGAIN if the caller has to wait for somebody else
 * to finish with it; -ENOENT, -EBUSY.
 */
static int iopt_may_claim(struct iopt_unmap_walk *walk,
			  const struct iopt_area *area)
{
	if (likely(area->state == IOPT_AREA_LIVE &&
		   area->slice.iova.first_iova >= walk->first_iova &&
		   area->slice.iova.last_iova <= walk->last_iova))
		return IOPT_CLAIM_IT;
	return iopt_why_not_claim(walk, area);
}

/* Claim an area, and go on behind it. A bare one leaves the map at once. */
static void iopt_claim_area(struct iopt_unmap_walk *walk,
			    struct iopt_claim *claim, struct iopt_area *area)
{
	unsigned long last_iova = area->slice.iova.last_iova;

	iopt_set_state(area, IOPT_AREA_UNMAPPING);
	if (iopt_area_is_bare(area)) {
		walk->unmapped_bytes += iopt_area_bytes(area);
		iopt_erase_area(area);
		claim->bare[claim->nr_bare++] = area;
	} else {
		claim->areas[claim->nr_areas++] = area;
	}
	walk->next_iova = last_iova + 1;
}

/*
 * Is there no room for one more area? Who has pins is told before the area goes, and
 * may refuse: no other is held up by that.
 */
static bool iopt_claim_is_full(const struct iopt_claim *claim,
			       const struct iopt_area *area)
{
	if (!claim->nr_areas)
		return claim->nr_bare == IOPT_UNMAP_BATCH;
	if (claim->nr_areas + claim->nr_bare == IOPT_UNMAP_BATCH)
		return true;
	return atomic_long_read(&area->pinned_pages) ||
	       atomic_long_read(&claim->areas[0]->pinned_pages);
}

/*
 * Claim the next areas of the walk.
 *
 * Return: 0, with nothing claimed at the end; or as iopt_may_claim(), of the first.
 */
static int iopt_claim_next(struct iopt_unmap_walk *walk,
			   struct iopt_claim *claim)
{
	struct io_pagetable *iopt = walk->iopt;
	struct iopt_area *area, *next;

	guard(iopt_write)(iopt);

	claim->nr_areas = 0;
	claim->nr_bare = 0;
	area = iopt_area_from(iopt, walk->next_iova);
	while (area && area->slice.iova.first_iova <= walk->last_iova) {
		int rc = iopt_may_claim(walk, area);

		if (rc == IOPT_CLAIM_END)
			break;
		if (rc == IOPT_CLAIM_NEXT) {
			area = iopt_area_next(area);
			continue;
		}
		if (rc)
			return claim->nr_areas + claim->nr_bare ? 0 : rc;
		if (iopt_claim_is_full(claim, area))
			return 0;
		next = area->slice.iova.last_iova < walk->last_iova ?
			       iopt_area_next(area) : NULL;
		iopt_claim_area(walk, claim, area);
		area = next;
	}
	walk->is_done = true;
	return 0;
}

static int iopt_wait_settled(struct iopt_unmap_walk *walk)
{
	struct io_pagetable *iopt = walk->iopt;
	int rc;

	atomic_inc(&iopt->nr_waiting);
	rc = wait_var_event_killable(&iopt->nr_settled,
				     READ_ONCE(iopt->nr_settled) !=
				     walk->nr_settled);
	atomic_dec(&iopt->nr_waiting);
	return rc ? -EINTR : 0;
}

/* Take what was claimed out of the domains and out of the map. */
static void iopt_retire_claimed(struct iopt_unmap_walk *walk,
				const struct iopt_claim *claim)
{
	struct iopt_slice *slices[IOPT_UNMAP_BATCH];
	unsigned int i;

	for (i = 0; i < claim->nr_areas; i++)
		slices[i] = &claim->areas[i]->slice;
	iopt_slices_unfill(slices, claim->nr_areas);
	scoped_guard(iopt_write, walk->iopt) {
		for (i = 0; i < claim->nr_areas; i++) {
			struct iopt_area *area = claim->areas[i];

			if (area->slice.quarantined) {
				iopt_set_state(area, IOPT_AREA_QUARANTINED);
				slices[i] = NULL;
				walk->met_quarantine = true;
			} else {
				walk->unmapped_bytes += iopt_area_bytes(area);
				iopt_erase_area(area);
			}
		}
	}
	iopt_wake(walk->iopt);
	for (i = 0; i < claim->nr_areas; i++) {
		if (slices[i])
			iopt_area_put(claim->areas[i]);
	}
}

static int iopt_finish_area(struct iopt_unmap_walk *walk,
			    struct iopt_area *area)
{
	unsigned long bytes = iopt_area_bytes(area);
	int rc = iopt_area_evict(area);

	if (rc) {
		iopt_restore_area(area);
		return rc;
	}
	if (__iopt_retire_area(area))
		walk->met_quarantine = true;
	else
		walk->unmapped_bytes += bytes;
	return 0;
}

static int iopt_finish_claimed(struct iopt_unmap_walk *walk,
			       const struct iopt_claim *claim)
{
	for (unsigned int i = 0; i < claim->nr_bare; i++)
		iopt_area_put(claim->bare[i]);
	if (!claim->nr_areas)
		return 0;
	if (claim->nr_areas == 1)
		return iopt_finish_area(walk, claim->areas[0]);
	iopt_retire_claimed(walk, claim);
	return 0;
}

static int iopt_unmap_areas(struct iopt_unmap_walk *walk)
{
	struct iopt_claim claim __uninitialized;

	walk->next_iova = walk->first_iova;
	for (;;) {
		int rc = iopt_claim_next(walk, &claim);

		if (!rc)
			rc = iopt_finish_claimed(walk, &claim);
		else if (rc == -EAGAIN)
			rc = iopt_wait_settled(walk);
		if (rc)
			return rc;
		if (walk->is_done)
			break;
		cond_resched();
	}
	return walk->met_quarantine ? -ENOTRECOVERABLE : 0;
}

/* Walk, and say how far it came. */
static int iopt_unmap_walk(struct iopt_unmap_walk *walk,
			   unsigned long *unmapped_bytes)
{
	int rc = iopt_unmap_areas(walk);

	*unmapped_bytes = walk->unmapped_bytes;
	return rc;
}

/**
 * iopt_unmap_any() - unmap the areas in a range, if there are any
 * @iopt: the map
 * @first_iova: first IOVA
 * @last_iova: last IOVA, inclusive
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -ENOENT an area would be cut; -EBUSY one is still being mapped;
 * -EDEADLOCK an in-kernel user does not let go of one; -EINTR fatal signal: areas
 * below the one in question are gone by then. -ENOTRECOVERABLE a driver did not let
 * go of one, all others are gone.
 */
int iopt_unmap_any(struct io_pagetable *iopt, unsigned long first_iova,
		   unsigned long last_iova, unsigned long *unmapped_bytes)
{
	struct iopt_unmap_walk walk = {
		.iopt = iopt,
		.first_iova = first_iova,
		.last_iova = last_iova,
	};

	return iopt_unmap_walk(&walk, unmapped_bytes);
}

/**
 * iopt_unmap() - unmap the areas in a range
 * @iopt: the map
 * @first_iova: first IOVA
 * @last_iova: last IOVA, inclusive
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it
 *
 * Context: process, no lock held; sleeps.
 * Return: as iopt_unmap_any(); -ENOENT also if there was no area in the range.
 */
int iopt_unmap(struct io_pagetable *iopt, unsigned long first_iova,
	       unsigned long last_iova, unsigned long *unmapped_bytes)
{
	int rc = iopt_unmap_any(iopt, first_iova, last_iova, unmapped_bytes);

	return !rc && !*unmapped_bytes ? -ENOENT : rc;
}

/* Does an area reach across the border in front of an IOVA? */
static bool iopt_is_across(struct io_pagetable *iopt, unsigned long iova)
{
	struct iopt_area *area = iopt_area_from(iopt, iova);

	return area && area->state != IOPT_AREA_QUARANTINED &&
	       area->slice.iova.first_iova < iova;
}

/**
 * iopt_check_ends() - would an unmap of a range cut nothing?
 * @iopt: the map
 * @first_iova: first IOVA
 * @last_iova: last IOVA, inclusive
 *
 * For those who want nothing unmapped if it would. It may become different at any
 * time.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -ENOENT if an area begins or ends outside.
 */
int iopt_check_ends(struct io_pagetable *iopt, unsigned long first_iova,
		    unsigned long last_iova)
{
	guard(rwsem_read)(&iopt->iova_rwsem);

	if (iopt_is_across(iopt, first_iova))
		return -ENOENT;
	if (last_iova != ULONG_MAX && iopt_is_across(iopt, last_iova + 1))
		return -ENOENT;
	return 0;
}

/**
 * iopt_unmap_whole() - unmap the areas that begin in a range, as they are
 * @iopt: the map
 * @first_iova: first IOVA; nothing is unmapped if an area that begins in front of
 *	it reaches across
 * @last_iova: last IOVA, inclusive
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it; can
 *	be more than there are in the range
 *
 * Context: process, no lock held; sleeps.
 * Return: as iopt_unmap_any(), but not -ENOENT.
 */
int iopt_unmap_whole(struct io_pagetable *iopt, unsigned long first_iova,
		     unsigned long last_iova, unsigned long *unmapped_bytes)
{
	struct iopt_unmap_walk walk = {
		.iopt = iopt,
		.first_iova = first_iova,
		.last_iova = last_iova,
		.whole = true,
	};

	return iopt_unmap_walk(&walk, unmapped_bytes);
}

/**
 * iopt_unmap_all() - unmap everything
 * @iopt: the map
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it
 *
 * Waits for maps under way; what is mapped after the walk has passed stays.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0, also when there was nothing; -EDEADLOCK an in-kernel user does not
 * let go of an area: those below it are gone; -EINTR fatal signal;
 * -ENOTRECOVERABLE a driver did not let go of one, all others are gone.
 */
int iopt_unmap_all(struct io_pagetable *iopt, unsigned long *unmapped_bytes)
{
	struct iopt_unmap_walk walk = {
		.iopt = iopt,
		.last_iova = ULONG_MAX,
		.all = true,
	};

	return iopt_unmap_walk(&walk, unmapped_bytes);
}

/* A user that is gone cannot unpin: a bug, but no reason to free the pages. */
static void iopt_give_up_pinned(struct io_pagetable *iopt)
{
	struct iopt_area *area;

	guard(iopt_write)(iopt);

	for (area = iopt_area_from(iopt, 0); area;
	     area = iopt_area_next(area)) {
		if (WARN_ON(atomic_long_read(&area->pinned_pages)) &&
		    area->state != IOPT_AREA_QUARANTINED)
			iopt_set_state(area, IOPT_AREA_QUARANTINED);
		cond_resched();
	}
}

/*
 * A driver has forgotten to unpin. The area is given up as it is: pins, charge, and
 * memory that lies in a cache of this module.
 */
static void iopt_give_up_area(struct iopt_area *area)
{
	__module_get(THIS_MODULE);
	kmemleak_not_leak(area->slice.pages);
	if (!area->within_pages)
		kmemleak_not_leak(area);
	scoped_guard(iopt_write, iopt_area_map(area))
		iopt_erase_area(area);
}

/**
 * iopt_destroy() - free a map
 * @iopt: nobody uses it any more and no domain mirrors it
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_destroy(struct io_pagetable *iopt)
{
	unsigned long unmapped_bytes;
	struct iopt_area *area;

	WARN_ON(!list_empty(&iopt->domains.members));
	iopt_give_up_pinned(iopt);
	iopt_unmap_all(iopt, &unmapped_bytes);
	iopt_release_areas(iopt);
	while ((area = iopt_area_from(iopt, 0)))
		iopt_give_up_area(area);
	iopt_free_spare(iopt);
	iopt_owner_cache_clear(&iopt->owners);
	iopt_reserve_destroy(iopt);
	WARN_ON(!xa_empty(&iopt->users));
	xa_destroy(&iopt->users);
}
