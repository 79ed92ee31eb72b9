// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is true of an IOVA map whenever nobody holds its lock for writing, derived
 * anew from its areas and domains. Built with CONFIG_IOMMUFD_DEBUG only.
 */
#include <linux/interval_tree.h>
#include <linux/iommu.h>
#include <linux/rculist.h>

#include "debug.h"
#include "iopt_area.h"

/* Larger maps would make each change of them slow. */
#define IOPT_DEBUG_MAX_AREAS 64

/**
 * struct iopt_census - what the areas of a map add up to
 * @nr_areas: areas
 * @nr_quarantined: those in quarantine
 * @mapped_bytes: bytes in LIVE ones
 * @pinned_pages: pins through them
 */
struct iopt_census {
	unsigned long nr_areas;
	unsigned long nr_quarantined;
	unsigned long mapped_bytes;
	unsigned long pinned_pages;
};

static bool iopt_is_aligned(const struct io_pagetable *iopt,
			    const struct iopt_slice *slice)
{
	return IS_ALIGNED(slice->iova.first_iova | slice->page_offset |
			  (slice->iova.last_iova + 1), iopt->iova_alignment);
}

/* As many pages as it takes to show so many bytes. */
static bool iopt_spans_its_bytes(const struct iopt_slice *slice)
{
	unsigned long last_byte = slice->page_offset +
				  (slice->iova.last_iova -
				   slice->iova.first_iova);

	return slice->page_offset < PAGE_SIZE &&
	       last_byte / PAGE_SIZE == slice->span.last - slice->span.start;
}

static bool iopt_is_mirrored(const struct iopt_slice *slice)
{
	struct iopt_domain *member;

	guard(rcu)();
	list_for_each_entry_rcu(member, &slice->domains->members, item) {
		if (iopt_slice_in_domain(slice, member))
			return true;
	}
	return false;
}

/* While no change of the set is under way, nobody touches a LIVE area. */
static void iopt_debug_live(const struct iopt_slice *slice)
{
	unsigned long npages = iopt_slice_npages(slice);

	if (READ_ONCE(slice->quarantined))
		return;
	IOMMUFD_ASSERT(!slice->gone && !slice->filler);
	IOMMUFD_ASSERT(slice->filled_pages ==
		       (iopt_is_mirrored(slice) ? npages : 0));
}

static void iopt_debug_area(struct io_pagetable *iopt, struct iopt_area *area,
			    bool is_settled)
{
	struct iopt_slice *slice = &area->slice;

	IOMMUFD_ASSERT(slice->domains == &iopt->domains);
	IOMMUFD_ASSERT(iopt_is_aligned(iopt, slice));
	IOMMUFD_ASSERT(iopt_spans_its_bytes(slice));
	IOMMUFD_ASSERT(!interval_tree_iter_first(&iopt->reserved,
						 slice->iova.first_iova,
						 slice->iova.last_iova));
	IOMMUFD_ASSERT(READ_ONCE(slice->seq) <= iopt->domains.seq);
	if (area->state == IOPT_AREA_LIVE && is_settled)
		iopt_debug_live(slice);
	if (area->state == IOPT_AREA_MAPPING)
		IOMMUFD_ASSERT(!atomic_long_read(&area->pinned_pages));
}

static void iopt_census_area(const struct iopt_area *area,
			     struct iopt_census *census)
{
	census->nr_areas++;
	census->nr_quarantined += area->state == IOPT_AREA_QUARANTINED;
	if (area->state == IOPT_AREA_LIVE)
		census->mapped_bytes += iopt_area_bytes(area);
	census->pinned_pages += atomic_long_read(&area->pinned_pages);
}

static void iopt_debug_areas(struct io_pagetable *iopt, bool is_settled,
			     struct iopt_census *census)
{
	struct iopt_area *area, *next;

	for (area = iopt_area_from(iopt, 0); area; area = next) {
		next = iopt_area_next(area);
		IOMMUFD_ASSERT(!next || area->slice.iova.last_iova <
					next->slice.iova.first_iova);
		iopt_debug_area(iopt, area, is_settled);
		iopt_census_area(area, census);
	}
	IOMMUFD_ASSERT(iopt->nr_areas == census->nr_areas);
	IOMMUFD_ASSERT(iopt->nr_quarantined == census->nr_quarantined);
	IOMMUFD_ASSERT(iopt->mapped_bytes == census->mapped_bytes);
}

/*
 * Pins are given up without the lock, first the user's count and then the area's.
 * They were added up in the reverse order.
 */
static void iopt_debug_users(struct io_pagetable *iopt,
			     const struct iopt_census *census)
{
	unsigned long pinned_pages = 0;
	struct iopt_user *user;
	unsigned long index;

	xa_for_each(&iopt->users, index, user) {
		IOMMUFD_ASSERT(user->index == index);
		IOMMUFD_ASSERT(user->iova_alignment <= iopt->iova_alignment);
		pinned_pages += atomic_long_read(&user->pinned_pages);
	}
	IOMMUFD_ASSERT(pinned_pages <= census->pinned_pages);
}

static void iopt_debug_member(const struct io_pagetable *iopt,
			      const struct iopt_domain *member)
{
	u64 seq = iopt->domains.seq;

	IOMMUFD_ASSERT(member->add_seq && member->add_seq <= seq);
	if (member->leave_seq) {
		IOMMUFD_ASSERT(member->leave_seq > member->add_seq &&
			       member->leave_seq <= seq);
		return;
	}
	/* Its domain may be gone once it leaves. */
	IOMMUFD_ASSERT(1UL << __ffs(member->io.domain->pgsize_bitmap) <=
		       iopt->iova_alignment);
}

/* The set has one change at a time, so one that leaves is alone in that. */
static void iopt_debug_members(struct io_pagetable *iopt, bool is_settled)
{
	struct iopt_domain *member;
	unsigned long nr_leaving = 0;

	guard(rcu)();
	list_for_each_entry_rcu(member, &iopt->domains.members, item) {
		iopt_debug_member(iopt, member);
		nr_leaving += member->leave_seq && !READ_ONCE(member->stuck);
	}
	IOMMUFD_ASSERT(nr_leaving <= !is_settled);
}

/**
 * iopt_assert() - see that an IOVA map is in order
 * @iopt: the map
 *
 * Large maps are passed over.
 *
 * Context: the map's lock held for writing.
 */
void iopt_assert(struct io_pagetable *iopt)
{
	bool is_settled = !READ_ONCE(iopt->change_turn.holder);
	struct iopt_census census = {};

	lockdep_assert_held_write(&iopt->iova_rwsem);

	iopt_debug_members(iopt, is_settled);
	if (iopt->nr_areas > IOPT_DEBUG_MAX_AREAS)
		return;
	iopt_debug_areas(iopt, is_settled, &census);
	iopt_debug_users(iopt, &census);
}
