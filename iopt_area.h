/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The area: what the files of the IOVA map share.
 *
 *	        iopt_map_begin(),        iopt_pending_commit()
 *	       iopt_copy_place()
 *	(none) ------------------> MAPPING ------------------> LIVE
 *	   ^                          |                          |
 *	   |   iopt_pending_abort()   v                          |
 *	   +---------------------- UNMAPPING <-------------------+
 *	                                 |      iopt_unmap(); back when a user
 *	                                 |      does not let go of its pins
 *	                                 v
 *	                            QUARANTINED, until its domains are freed
 *
 * An area that no domain shows goes from LIVE to (none) in one step.
 * One that is final goes on to LIVE by itself, and from (none) if no domain wants it.
 *
 * Whoever moves an area to MAPPING or UNMAPPING is the one that moves it on.
 */
#ifndef __IOMMUFD_IOPT_AREA_H
#define __IOMMUFD_IOPT_AREA_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/lockdep.h>
#include <linux/rculist.h>
#include <linux/wait_bit.h>

#include "io_pagetable.h"

/**
 * enum iopt_area_state - who an area belongs to
 * @IOPT_AREA_MAPPING: to the task that maps it
 * @IOPT_AREA_LIVE: to everybody
 * @IOPT_AREA_UNMAPPING: to the task that unmaps it
 * @IOPT_AREA_QUARANTINED: to a driver that did not unmap all of it
 */
enum iopt_area_state {
	IOPT_AREA_MAPPING,
	IOPT_AREA_LIVE,
	IOPT_AREA_UNMAPPING,
	IOPT_AREA_QUARANTINED,
};

/**
 * struct iopt_area - an IOVA range mapped to a slice of pages
 * @slice: what it shows; slice.iova is its place in io_pagetable.areas
 * @pinned_pages: pins of in-kernel users through it, in pages. Rises under
 *	io_pagetable.iova_rwsem, held for reading, while it is LIVE; it stays in the
 *	map until this is 0
 * @kref: one for being in the map, one for each fill under way
 * @state: enum iopt_area_state; guarded by io_pagetable.iova_rwsem
 * @within_pages: part of the allocation of its pages; constant
 */
struct iopt_area {
	struct iopt_slice slice;
	atomic_long_t pinned_pages;
	struct kref kref;
	u8 state;
	bool within_pages;
};

static inline struct iopt_area *iopt_area_of(struct iova_node *node)
{
	return container_of(node, struct iopt_area, slice.iova);
}

/* The map that an area is in. */
static inline struct io_pagetable *iopt_area_map(const struct iopt_area *area)
{
	return container_of(area->slice.domains, struct io_pagetable, domains);
}

/* The lowest area that ends at or above an IOVA, or NULL. */
static inline struct iopt_area *iopt_area_from(struct io_pagetable *iopt,
					       unsigned long iova)
{
	struct iova_node *node = iova_map_find_from(&iopt->areas, iova);

	return node ? iopt_area_of(node) : NULL;
}

/* The next higher area, or NULL. */
static inline struct iopt_area *iopt_area_next(struct iopt_area *area)
{
	struct iova_node *node = iova_map_next(&area->slice.iova);

	return node ? iopt_area_of(node) : NULL;
}

static inline unsigned long iopt_area_bytes(const struct iopt_area *area)
{
	return area->slice.iova.last_iova - area->slice.iova.first_iova + 1;
}

/**
 * iopt_set_state() - move an area from one state to the next
 * @area: the area
 * @state: its new state
 *
 * Context: the map's lock held for writing. After an area has settled, LIVE or
 * QUARANTINED, the caller wakes those who wait for that: iopt_wake().
 */
static inline void iopt_set_state(struct iopt_area *area,
				  enum iopt_area_state state)
{
	struct io_pagetable *iopt = iopt_area_map(area);

	lockdep_assert_held_write(&iopt->iova_rwsem);

	if (area->state == IOPT_AREA_LIVE)
		iopt->mapped_bytes -= iopt_area_bytes(area);
	if (state == IOPT_AREA_LIVE)
		iopt->mapped_bytes += iopt_area_bytes(area);
	if (state == IOPT_AREA_QUARANTINED)
		iopt->nr_quarantined++;
	if (state == IOPT_AREA_LIVE || state == IOPT_AREA_QUARANTINED)
		WRITE_ONCE(iopt->nr_settled, iopt->nr_settled + 1);
	area->state = state;
}

/**
 * iopt_wake() - wake those who wait for some area of the map to settle
 * @iopt: the map
 *
 * Context: any.
 */
static inline void iopt_wake(struct io_pagetable *iopt)
{
	/* nr_settled before the look for waiters, as they count themselves first */
	smp_mb();
	if (atomic_read(&iopt->nr_waiting))
		wake_up_var(&iopt->nr_settled);
}

/**
 * iopt_is_wanted() - does a new area have to be filled?
 * @iopt: the map
 *
 * Context: the map's lock held for writing.
 * Return: true if some domain mirrors the map.
 */
static inline bool iopt_is_wanted(struct io_pagetable *iopt)
{
	struct iopt_domain *member;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	guard(rcu)();
	list_for_each_entry_rcu(member, &iopt->domains.members, item) {
		if (!member->leave_seq)
			return true;
	}
	return false;
}

/* io_pagetable.c */
void iopt_area_get(struct iopt_area *area);
void iopt_area_put(struct iopt_area *area);
void iopt_area_quarantine(struct iopt_area *area);
int iopt_retire_area(struct iopt_area *area);
void iopt_remove_released(struct iopt_area *area);

/* iopt_map.c */
void iopt_drop_mapping(struct iopt_area *area);
void iopt_free_spare(struct io_pagetable *iopt);

/* iopt_access.c */
int iopt_area_evict_users(struct iopt_area *area);

/**
 * iopt_area_evict() - have in-kernel users let go of an area
 * @area: in state UNMAPPING and the caller's
 *
 * Context: process, no lock held; calls users and sleeps.
 * Return: 0 with no pin through the area, and none to come; -EDEADLOCK a user
 * does not let go; -EINTR fatal signal.
 */
static inline int iopt_area_evict(struct iopt_area *area)
{
	return atomic_long_read(&area->pinned_pages) ?
		       iopt_area_evict_users(area) : 0;
}

/* iopt_domain.c */
void iopt_release_areas(struct io_pagetable *iopt);
unsigned long iopt_wanted_alignment(struct io_pagetable *iopt);
bool iopt_areas_aligned(struct io_pagetable *iopt, unsigned long alignment);

/* iopt_dirty.c */
int iopt_switch_dirty(struct iopt_domain *member, bool enable);

/* iopt_track.c */
void iopt_lose_track(struct io_pagetable *iopt);
void iopt_track_newcomer(struct io_pagetable *iopt, struct iopt_domain *member);

#endif
