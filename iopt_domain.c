// SPDX-License-Identifier: GPL-2.0-only
/*
 * The domains that mirror an IOVA map: add and remove.
 *
 * Changes of the set happen one at a time and are numbered. Each walks the map
 * by IOVA and is applied to one area after the other, in a section over that
 * area, so an attach to a full map stops nobody: maps and unmaps elsewhere go
 * on, and areas made meanwhile are born with the change applied.
 *
 * Nobody waits for somebody's page fault here, apart from the one who adds the
 * first domain and has to pin what the areas show: an area that is still being
 * filled by its mapper is brought up to date as far as it is filled, and the
 * mapper fills the rest.
 */
#include <linux/interval_tree.h>
#include <linux/iommu.h>
#include <linux/rculist.h>
#include <linux/sched.h>

#include "iopt_area.h"

/**
 * iopt_wanted_alignment() - what areas have to be aligned to
 * @iopt: the map
 *
 * Context: the map's lock held for writing.
 * Return: the alignment that members, the size of their pages, and users need.
 */
unsigned long iopt_wanted_alignment(struct io_pagetable *iopt)
{
	unsigned long alignment = iopt->domains.small_pages ? PAGE_SIZE : 1;
	struct iopt_domain *member;
	struct iopt_user *user;
	unsigned long index;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	xa_for_each(&iopt->users, index, user)
		alignment = max(alignment, user->iova_alignment);
	guard(rcu)();
	list_for_each_entry_rcu(member, &iopt->domains.members, item) {
		if (!member->leave_seq)
			alignment = max(alignment,
					1UL << __ffs(member->io.domain->pgsize_bitmap));
	}
	return alignment;
}

/**
 * iopt_areas_aligned() - do all areas start and end on an alignment?
 * @iopt: the map
 * @alignment: bytes, a power of two
 *
 * Context: the map's lock held for writing; sleeps.
 * Return: true if they do.
 */
bool iopt_areas_aligned(struct io_pagetable *iopt, unsigned long alignment)
{
	struct iova_node *node;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	for (node = iova_map_find_from(&iopt->areas, 0); node;
	     node = iova_map_next(node)) {
		struct iopt_slice *slice = &iopt_area_of(node)->slice;

		if (!IS_ALIGNED(node->first_iova | (node->last_iova + 1) |
				slice->page_offset, alignment))
			return false;
		cond_resched();
	}
	return true;
}

/**
 * iopt_page_sizes() - the page sizes that all domains have
 * @iopt: the map
 *
 * Context: process, no lock held; sleeps.
 * Return: a bit for each, all bits without a domain.
 */
unsigned long iopt_page_sizes(struct io_pagetable *iopt)
{
	unsigned long sizes = ULONG_MAX;
	struct iopt_domain *member;

	guard(rwsem_read)(&iopt->iova_rwsem);
	guard(rcu)();
	list_for_each_entry_rcu(member, &iopt->domains.members, item) {
		if (!READ_ONCE(member->leave_seq))
			sizes &= member->io.domain->pgsize_bitmap;
	}
	return sizes;
}

/* Refuse IOVA outside of what the domain can translate. */
static int iopt_reserve_outside(struct io_pagetable *iopt,
				struct iopt_domain *member)
{
	const struct iommu_domain_geometry *geometry = &member->io.domain->geometry;
	size_t nr_ranges = 0;

	if (geometry->aperture_start)
		iopt_range_set(&member->outside[nr_ranges++], 0,
			       geometry->aperture_start - 1);
	if (geometry->aperture_end < ULONG_MAX)
		iopt_range_set(&member->outside[nr_ranges++],
			       geometry->aperture_end + 1, ULONG_MAX);
	return iopt_reserve_ranges(iopt, member->outside, nr_ranges, member);
}

/* Make the member part of the set: from here on new areas are its, too. */
static int iopt_enlist(struct io_pagetable *iopt, struct iopt_domain *member)
{
	unsigned long alignment = 1UL << __ffs(member->io.domain->pgsize_bitmap);

	guard(iopt_write)(iopt);

	if (alignment > iopt->iova_alignment) {
		if (!iopt_areas_aligned(iopt, alignment))
			return -EADDRINUSE;
		iopt->iova_alignment = alignment;
	}
	member->add_seq = ++iopt->domains.seq;
	list_add_tail_rcu(&member->item, &iopt->domains.members);
	return 0;
}

/* From here on new areas are born without the member. */
static void iopt_delist(struct io_pagetable *iopt, struct iopt_domain *member)
{
	guard(iopt_write)(iopt);

	iopt_lose_track(iopt);
	WRITE_ONCE(member->leave_seq, ++iopt->domains.seq);
	iopt->iova_alignment = iopt_wanted_alignment(iopt);
}

/**
 * struct iopt_change - a change of the set being applied to the areas
 * @iopt: the map
 * @member: the domain added or removed
 * @next_iova: areas that begin below are done
 * @is_last: the area that is the next was the highest: those that are above it now
 *	came with the change applied
 * @done: it is done as well
 */
struct iopt_change {
	struct io_pagetable *iopt;
	struct iopt_domain *member;
	unsigned long next_iova;
	bool is_last;
	bool done;
};

/* Step over an area that the change is applied to. */
static void iopt_change_advance(struct iopt_change *change,
				const struct iopt_area *area)
{
	change->done = change->is_last;
	change->next_iova = area->slice.iova.last_iova + 1;
}

/*
 * Begin a section over the next area the change concerns, and keep the area's
 * memory. An area cannot leave the map while somebody is in a section over it
 * and looks for the state it is in; it may be marked gone.
 *
 * Return: the area, or NULL after the last one.
 */
static struct iopt_area *iopt_change_next(struct iopt_change *change,
					  struct iopt_busy *busy)
{
	struct io_pagetable *iopt = change->iopt;

	for (;;) {
		struct iopt_pages *pages;
		struct iopt_area *area;

		if (change->done)
			return NULL;
		scoped_guard(rwsem_read, &iopt->iova_rwsem) {
			area = iopt_area_from(iopt, change->next_iova);
			if (!area)
				return NULL;
			pages = area->slice.pages;
			*busy = iopt_slice_range(&area->slice);
			if (iopt_pages_trylock_range(pages, busy)) {
				iopt_area_get(area);
				change->is_last =
					iopt->areas.highest == &area->slice.iova;
				return area;
			}
			iopt_pages_get(pages);
		}
		iopt_pages_wait_range(pages, busy);
		iopt_pages_put(pages);
	}
}

static int iopt_add_to_area(struct iopt_change *change, struct iopt_area *area,
			    struct iopt_busy *busy)
{
	struct iopt_slice *slice = &area->slice;
	bool needs_fill = false;
	int rc = 0;

	/* A younger area has the change in it from birth. */
	if (slice->seq < change->member->add_seq)
		rc = iopt_slice_add_domain(slice, change->member, &needs_fill);
	iopt_change_advance(change, area);
	iopt_pages_unlock_range(slice->pages, busy);

	if (needs_fill)
		rc = iopt_slice_fill(slice, false);
	if (rc == -ENOTRECOVERABLE)
		iopt_area_quarantine(area);
	return rc;
}

static int iopt_add_to_areas(struct io_pagetable *iopt,
			     struct iopt_domain *member)
{
	struct iopt_change change = { .iopt = iopt, .member = member };
	struct iopt_area *area;
	struct iopt_busy busy;
	int rc = 0;

	while (!rc && (area = iopt_change_next(&change, &busy))) {
		rc = iopt_add_to_area(&change, area, &busy);
		iopt_area_put(area);
		cond_resched();
	}
	return rc;
}

/* Return: whether a driver keeps some area in the domain. */
static bool iopt_remove_from_areas(struct io_pagetable *iopt,
				   struct iopt_domain *member)
{
	struct iopt_change change = { .iopt = iopt, .member = member };
	struct iopt_area *area;
	struct iopt_busy busy;
	bool stuck = false;

	while ((area = iopt_change_next(&change, &busy))) {
		struct iopt_pages *pages = area->slice.pages;
		unsigned long unpinned;
		int rc;

		rc = iopt_slice_remove_domain(&area->slice, member, &unpinned);
		stuck |= iopt_slice_in_domain(&area->slice, member);
		iopt_change_advance(&change, area);
		iopt_pages_unlock_range(pages, &busy);
		if (rc)
			iopt_area_quarantine(area);
		pages->ops->uncharge(pages, unpinned);
		iopt_area_put(area);
		cond_resched();
	}
	return stuck;
}

/* Take a member out of every area and out of the set. */
static void iopt_withdraw(struct io_pagetable *iopt, struct iopt_domain *member)
{
	iopt_delist(iopt, member);
	member->stuck = iopt_remove_from_areas(iopt, member);
	if (!member->stuck)
		list_del_rcu(&member->item);
	iopt_unreserve(iopt, member);
}

/*
 * Drivers that finish a page table when the first device is attached have no
 * aperture before: what is fixed now would be wrong then.
 */
static bool iopt_domain_is_usable(const struct iommu_domain *domain)
{
	const struct iommu_domain_geometry *geometry = &domain->geometry;

	return geometry->aperture_end > geometry->aperture_start &&
	       domain->pgsize_bitmap &&
	       1UL << __ffs(domain->pgsize_bitmap) <= PAGE_SIZE;
}

/**
 * iopt_domain_add() - mirror the map in one more domain
 * @iopt: the map
 * @member: its domain is set, a paging domain with nothing mapped; the caller
 *	keeps it until iopt_domain_free() has returned, and frees it by RCU, also
 *	after a failed add; it is not added twice
 *
 * Areas that are being mapped at this moment may be filled by their mapper
 * after this has returned.
 *
 * Context: process, no lock held; sleeps; as long as page faults take when
 * this is the first domain, until a fatal signal.
 * Return: 0; -EINVAL the domain's smallest page is larger than PAGE_SIZE, or its
 * driver wants a device to be attached first;
 * -EADDRINUSE an area or an allowed range lies outside its aperture, or an
 * area is not aligned to its smallest page; -EFAULT, -ENOMEM from pinning;
 * -EINTR fatal signal; a driver's -errno. Nothing is mapped in it then, unless a
 * driver broke its promise.
 */
int iopt_domain_add(struct io_pagetable *iopt, struct iopt_domain *member)
{
	int rc;

	if (!iopt_domain_is_usable(member->io.domain))
		return -EINVAL;

	rc = iommufd_turn_take_killable(&iopt->change_turn);
	if (rc)
		return rc;
	rc = iopt_reserve_outside(iopt, member);
	if (rc)
		goto out_end;
	/* As soon as it is enlisted, others map in it. */
	iopt_track_newcomer(iopt, member);
	rc = iopt_enlist(iopt, member);
	if (rc)
		goto out_unreserve;

	rc = iopt_add_to_areas(iopt, member);
	if (rc)
		iopt_withdraw(iopt, member);
	goto out_end;

out_unreserve:
	iopt_unreserve(iopt, member);
out_end:
	iommufd_turn_end(&iopt->change_turn);
	return rc;
}

/**
 * iopt_domain_remove() - stop mirroring the map in a domain
 * @iopt: the map
 * @member: from a successful iopt_domain_add()
 *
 * What no other domain maps is unpinned.
 *
 * Context: process, no lock held; sleeps as long as driver calls take.
 */
void iopt_domain_remove(struct io_pagetable *iopt, struct iopt_domain *member)
{
	iommufd_turn_take(&iopt->change_turn);
	iopt_withdraw(iopt, member);
	iommufd_turn_end(&iopt->change_turn);
}

/* Write down what the domain knows of the areas that it would not let go of. */
static void iopt_rescue_areas(struct io_pagetable *iopt,
			      struct iopt_domain *member)
{
	struct iopt_change change = { .iopt = iopt, .member = member };
	struct iopt_area *area;
	struct iopt_busy busy;

	while ((area = iopt_change_next(&change, &busy))) {
		struct iopt_slice *slice = &area->slice;

		if (slice->quarantined && iopt_slice_in_domain(slice, member))
			iopt_slice_rescue(slice, member);
		iopt_change_advance(&change, area);
		iopt_pages_unlock_range(slice->pages, &busy);
		iopt_area_put(area);
		cond_resched();
	}
}

/*
 * An area that somebody is about to put into quarantine is not there yet, and one
 * that in-kernel users have pins through is found by them through its IOVA: those
 * stay until the map is destroyed.
 */
static bool iopt_may_release(struct iopt_area *area)
{
	return READ_ONCE(area->state) == IOPT_AREA_QUARANTINED &&
	       area->slice.quarantined &&
	       !atomic_long_read(&area->pinned_pages) &&
	       !iopt_slice_wanted(&area->slice);
}

/**
 * iopt_release_areas() - end the quarantine of what no domain shows any more
 * @iopt: the map
 *
 * Context: process, no lock held, the caller's turn to change the domains, or
 * nobody else's; sleeps.
 */
void iopt_release_areas(struct io_pagetable *iopt)
{
	struct iopt_change change = { .iopt = iopt };
	struct iopt_area *area;
	struct iopt_busy busy;

	while ((area = iopt_change_next(&change, &busy))) {
		struct iopt_pages *pages = area->slice.pages;
		bool may_release = iopt_may_release(area);
		unsigned long unpinned = 0;

		if (may_release)
			unpinned = iopt_slice_release(&area->slice);
		iopt_change_advance(&change, area);
		iopt_pages_unlock_range(pages, &busy);
		pages->ops->uncharge(pages, unpinned);
		if (may_release)
			iopt_remove_released(area);
		iopt_area_put(area);
		cond_resched();
	}
}

/**
 * iopt_domain_free() - free the domain of a member
 * @iopt: the map it was added to, or should have been
 * @member: removed, or never added; no device is attached to its domain
 *
 * If the driver did not unmap all it was told to, this is the end of the
 * quarantine. Areas that were not ready to be released when an earlier domain was
 * freed, are now.
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_domain_free(struct io_pagetable *iopt, struct iopt_domain *member)
{
	if (!member->stuck && !READ_ONCE(iopt->nr_quarantined)) {
		iommu_domain_free(member->io.domain);
		return;
	}
	guard(iommufd_turn)(&iopt->change_turn);

	/* Whoever found it there reads from it in a section: walk through all. */
	if (member->stuck) {
		list_del_rcu(&member->item);
		iopt_rescue_areas(iopt, member);
	}
	iommu_domain_free(member->io.domain);
	iopt_release_areas(iopt);
}

/**
 * iopt_set_large_pages() - choose the leaves that domains are mapped with
 * @iopt: the map
 * @large: as large as they can be; else one for each page, and areas are
 *	multiples of pages
 *
 * Context: process, no lock held.
 * Return: 0; when @large is not set and was: -EINVAL there are areas in domains
 * already, -EADDRINUSE an area is not a multiple of pages.
 */
int iopt_set_large_pages(struct io_pagetable *iopt, bool large)
{
	struct iopt_domains *domains = &iopt->domains;

	guard(iopt_write)(iopt);

	if (!large && !domains->small_pages) {
		if (!list_empty(&domains->members) &&
		    !iova_map_is_empty(&iopt->areas))
			return -EINVAL;
		if (!iopt_areas_aligned(iopt, PAGE_SIZE))
			return -EADDRINUSE;
	}
	domains->small_pages = !large;
	iopt->iova_alignment = iopt_wanted_alignment(iopt);
	return 0;
}
