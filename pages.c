// SPDX-License-Identifier: GPL-2.0-only
/*
 * iopt_pages: life and sections.
 *
 * A section is a busy range of indexes. It stands in for a lock because it is
 * held over driver calls, flushes and the release of pages, which no lock of
 * this subsystem is. The spinlock is held just long enough to look for an
 * overlap in a list that has one entry or none, nearly always.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "busy.h"
#include "pages.h"

DEFINE_BUSY_MAP(iopt_section_map, "iopt_pages_section");

/**
 * iopt_pages_get() - take a reference
 * @pages: pages on which the caller has a reference already, or which a lock
 *	keeps referenced
 *
 * Context: any.
 * Return: @pages.
 */
struct iopt_pages *iopt_pages_get(struct iopt_pages *pages)
{
	kref_get(&pages->kref);
	return pages;
}

/**
 * iopt_pages_put() - drop a reference
 * @pages: the pages; freed with the last reference, the start of whatever
 *	allocation it was made in
 *
 * Context: process; the last reference may drop the last one to an mm.
 */
void iopt_pages_put(struct iopt_pages *pages)
{
	if (!iopt_pages_drop(pages))
		return;
	pages->ops->release(pages);
	kfree(pages);
}

#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
/**
 * iopt_pages_add_pinned() - count pages as pinned
 * @pages: the pages
 * @npages: how many more; less than 0: how many fewer
 *
 * Context: a section over them.
 */
void iopt_pages_add_pinned(struct iopt_pages *pages, long npages)
{
	spin_lock(&pages->lock);
	pages->npinned += npages;
	spin_unlock(&pages->lock);
}
#endif

/* Is somebody in the way? Whoever is will wake those who wait for it. */
static bool iopt_pages_range_busy(struct iopt_pages *pages,
				  const struct iopt_busy *busy)
{
	struct iopt_busy *other;

	lockdep_assert_held(&pages->lock);

	hlist_for_each_entry(other, &pages->busy, item) {
		if (other->first_index <= busy->last_index &&
		    other->last_index >= busy->first_index) {
			other->is_waited_for = true;
			return true;
		}
	}
	return false;
}

static bool iopt_pages_take_range(struct iopt_pages *pages,
				  struct iopt_busy *busy)
{
	bool taken;

	busy->is_waited_for = false;
	spin_lock(&pages->lock);
	taken = !iopt_pages_range_busy(pages, busy);
	if (taken)
		hlist_add_head(&busy->item, &pages->busy);
	spin_unlock(&pages->lock);
	return taken;
}

static bool iopt_pages_range_idle(struct iopt_pages *pages,
				  const struct iopt_busy *busy)
{
	bool is_busy;

	spin_lock(&pages->lock);
	is_busy = iopt_pages_range_busy(pages, busy);
	spin_unlock(&pages->lock);
	return !is_busy;
}

/**
 * iopt_pages_trylock_range() - begin a section unless somebody is in the way
 * @pages: the pages
 * @busy: the section, its range set by the caller, who keeps it until
 *	iopt_pages_unlock_range()
 *
 * Context: process; never sleeps, so the owner's locks may be held.
 * Return: true if the section has begun.
 */
bool iopt_pages_trylock_range(struct iopt_pages *pages, struct iopt_busy *busy)
{
	if (!iopt_pages_take_range(pages, busy))
		return false;
	lock_map_acquire_try(&iopt_section_map);
	return true;
}

/**
 * iopt_pages_await_range() - iopt_pages_lock_range() when somebody is in a section
 * @pages: the pages
 * @busy: the section
 *
 * Context: as iopt_pages_lock_range().
 */
void iopt_pages_await_range(struct iopt_pages *pages, struct iopt_busy *busy)
{
	wait_var_event(&pages->busy, iopt_pages_take_range(pages, busy));
}

/**
 * iopt_pages_wait_range() - wait until nobody is in a section over a range
 * @pages: the pages, referenced by the caller
 * @busy: the range
 *
 * For callers that found the range busy while they held a lock: they drop the
 * lock, wait here, and look everything up again.
 *
 * Context: process; sleeps, no lock held.
 */
void iopt_pages_wait_range(struct iopt_pages *pages,
			   const struct iopt_busy *busy)
{
	wait_var_event(&pages->busy, iopt_pages_range_idle(pages, busy));
}

/**
 * iopt_pages_wake() - wake those who wait for a section that has ended
 * @pages: the pages
 *
 * Who waits is in the queue by now, or looks once more before it sleeps.
 *
 * Context: any.
 */
void iopt_pages_wake(struct iopt_pages *pages)
{
	smp_mb(); /* the removal before the look for waiters */
	wake_up_var(&pages->busy);
}
