// SPDX-License-Identifier: GPL-2.0-only
/*
 * Areas: map and unmap.
 *
 * Both work in three steps. The IOVA is taken, or the area marked, under the
 * lock; the long work on the page store is done without it; the area becomes
 * LIVE, or leaves the tree, under the lock again. In between it stands in the
 * tree in a state that tells everybody else to leave it alone, so nothing else
 * can be mapped over an IOVA that devices may still reach.
 */
#include <linux/interval_tree.h>
#include <linux/iommu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "iopt_area.h"

/* Holes looked at before the search for an IOVA lets others have the lock. */
#define IOPT_SEARCH_GAPS 1024

/*
 * The first area of a pages object is allocated together with it: one
 * allocation for a mapping, and the pages are its start.
 */
struct iopt_mapping {
	struct iopt_pages pages;
	struct iopt_area area;
};

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
	iopt->allowed = RB_ROOT_CACHED;
	xa_init_flags(&iopt->domains.members, XA_FLAGS_ALLOC1);
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

	iopt_pages_put(area->slice.pages);
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

static struct iopt_area *iopt_area_alloc(struct io_pagetable *iopt,
					 const struct iopt_map_request *request)
{
	struct iopt_mapping *mapping;
	struct iopt_slice *slice;

	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return NULL;
	mapping->pages.account_mode = request->account_mode;
	iopt_pages_init_user(&mapping->pages, request->uptr, request->length,
			     request->iommu_prot & IOMMU_WRITE);

	kref_init(&mapping->area.kref);
	mapping->area.iopt = iopt;
	mapping->area.state = IOPT_AREA_MAPPING;
	slice = &mapping->area.slice;
	slice->pages = &mapping->pages;
	slice->domains = &iopt->domains;
	slice->page_offset = offset_in_page(request->uptr);
	slice->iommu_prot = request->iommu_prot;
	slice->span.start = 0;
	slice->span.last = mapping->pages.npages - 1;
	return &mapping->area;
}

/*
 * An automatic IOVA keeps the offset within a huge page that the memory has,
 * as far as that is worth it, so that large leaves can be used.
 */
static unsigned long iopt_auto_alignment(struct io_pagetable *iopt,
					 const struct iopt_map_request *request)
{
	unsigned long alignment = PMD_SIZE;

	if (request->uptr)
		alignment = min(alignment, 1UL << __ffs(request->uptr));
	if (request->length < alignment)
		alignment = roundup_pow_of_two(request->length);
	return max(alignment, iopt->iova_alignment);
}

/*
 * Find an IOVA for an automatic map. Among many holes that all turn out not to
 * fit, the search pauses for whoever wants the lock, and can be killed.
 */
static int iopt_find_iova(struct io_pagetable *iopt,
			  struct iopt_map_request *request)
{
	struct iova_search search = {
		.map = &iopt->areas,
		.reserved = &iopt->reserved,
		.allowed = &iopt->allowed,
		.first_limit = PAGE_SIZE,
		.last_limit = ULONG_MAX - PAGE_SIZE,
		.length = request->length,
		.max_gaps = IOPT_SEARCH_GAPS,
	};
	int rc;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	for (;;) {
		search.alignment = iopt_auto_alignment(iopt, request);
		rc = iova_alloc_find(&search, &request->iova);
		if (rc != -EAGAIN)
			return rc;
		up_write(&iopt->iova_rwsem);
		cond_resched();
		rc = fatal_signal_pending(current) ? -EINTR : 0;
		down_write(&iopt->iova_rwsem);
		if (rc)
			return rc;
	}
}

/* The order of the checks is ABI. */
static int iopt_check_fixed_iova(struct io_pagetable *iopt,
				 const struct iopt_map_request *request)
{
	unsigned long last_iova;

	if (!IS_ALIGNED(request->iova, iopt->iova_alignment))
		return -EINVAL;
	if (check_add_overflow(request->iova, request->length - 1, &last_iova))
		return -EOVERFLOW;
	if (interval_tree_iter_first(&iopt->reserved, request->iova, last_iova))
		return -EINVAL;
	if (iova_map_find(&iopt->areas, request->iova, last_iova))
		return -EEXIST;
	return 0;
}

/* Give the area an IOVA, and with it a place in the map. */
static int iopt_insert_area(struct io_pagetable *iopt, struct iopt_area *area,
			    struct iopt_map_request *request)
{
	struct iopt_slice *slice = &area->slice;
	int rc;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	if (!IS_ALIGNED(request->length, iopt->iova_alignment))
		return -EINVAL;
	if (request->fixed_iova)
		rc = iopt_check_fixed_iova(iopt, request);
	else
		rc = iopt_find_iova(iopt, request);
	if (rc)
		return rc;
	/* The search may have let go of the lock, and an attach may have come. */
	if (!IS_ALIGNED(request->uptr | request->length, iopt->iova_alignment))
		return -EINVAL;

	slice->iova.first_iova = request->iova;
	slice->iova.last_iova = request->iova + (request->length - 1);
	slice->seq = iopt->domains.seq;
	slice->filler = iopt_is_wanted(iopt);
	rc = iova_map_insert(&iopt->areas, &slice->iova);
	if (!rc)
		iopt->nr_areas++;
	return rc;
}

static void iopt_set_state(struct iopt_area *area, enum iopt_area_state state)
{
	struct io_pagetable *iopt = area->iopt;

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

static void iopt_erase_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	iova_map_erase(&iopt->areas, &area->slice.iova);
	iopt->nr_areas--;
	WRITE_ONCE(iopt->nr_settled, iopt->nr_settled + 1);
}

/* Wake those who wait for some area of the map to settle. */
static void iopt_wake(struct io_pagetable *iopt)
{
	smp_mb(); /* nr_settled before the look for waiters */
	wake_up_var(&iopt->nr_settled);
}

/**
 * iopt_area_quarantine() - draw the conclusion from a slice in quarantine
 * @area: the area; if it is somebody's, that task will come to it
 *
 * Context: process, no lock held.
 */
void iopt_area_quarantine(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;

	scoped_guard(rwsem_write, &iopt->iova_rwsem) {
		if (area->state == IOPT_AREA_LIVE)
			iopt_set_state(area, IOPT_AREA_QUARANTINED);
	}
	iopt_wake(iopt);
}

/*
 * Take an area, which the caller owns in state UNMAPPING, out of the domains
 * and out of the map.
 */
static int iopt_retire_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;
	int rc;

	rc = iopt_slice_unfill(&area->slice);
	scoped_guard(rwsem_write, &iopt->iova_rwsem) {
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
 * iopt_map_begin() - map user memory at an IOVA, without telling anybody
 * @iopt: the map
 * @request: what and where; its iova is written when the choice is ours
 * @out_area: the area, in state MAPPING and mapped in all domains; the caller
 *	must finish with iopt_map_commit() or iopt_map_abort()
 *
 * The caller can still fail in between, when it tells user space the IOVA, and
 * nobody else can have seen or unmapped the area by then.
 *
 * Context: process with an mm, no lock held; sleeps as long as page faults of
 * the memory take, until a fatal signal.
 * Return: 0; -EINVAL misaligned, reserved, or length 0; -EOVERFLOW an end is
 * past the address space; -EEXIST overlap; -ENOSPC no IOVA free; -EFAULT bad
 * memory; -ENOMEM also for the locked-memory limit; -EINTR fatal signal.
 */
int iopt_map_begin(struct io_pagetable *iopt, struct iopt_map_request *request,
		   struct iopt_area **out_area)
{
	unsigned long end_uptr;
	struct iopt_area *area;
	bool fill;
	int rc;

	if (!request->length)
		return -EINVAL;
	if (check_add_overflow(request->uptr, request->length, &end_uptr))
		return -EOVERFLOW;

	area = iopt_area_alloc(iopt, request);
	if (!area)
		return -ENOMEM;
	scoped_guard(rwsem_write, &iopt->iova_rwsem) {
		rc = iopt_insert_area(iopt, area, request);
		/* An attach that finds the area may become its filler later. */
		fill = area->slice.filler;
	}
	if (rc) {
		iopt_area_put(area);
		return rc;
	}

	if (fill)
		rc = iopt_slice_fill(&area->slice, true);
	if (rc) {
		iopt_map_abort(area);
		return rc;
	}
	*out_area = area;
	return 0;
}

/**
 * iopt_map_commit() - make a map final
 * @area: from iopt_map_begin()
 *
 * Context: process, no lock held.
 */
void iopt_map_commit(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;

	scoped_guard(rwsem_write, &iopt->iova_rwsem) {
		/* A domain may have left meanwhile, and not let go. */
		iopt_set_state(area, READ_ONCE(area->slice.quarantined) ?
					     IOPT_AREA_QUARANTINED :
					     IOPT_AREA_LIVE);
	}
	iopt_wake(iopt);
}

/**
 * iopt_map_abort() - undo a map
 * @area: from iopt_map_begin()
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_map_abort(struct iopt_area *area)
{
	scoped_guard(rwsem_write, &area->iopt->iova_rwsem)
		iopt_set_state(area, IOPT_AREA_UNMAPPING);
	iopt_retire_area(area);
}

/**
 * struct iopt_unmap_walk - an unmap in progress
 * @iopt: the map
 * @first_iova: lowest IOVA to unmap
 * @last_iova: highest IOVA to unmap
 * @next_iova: where to look for the next area
 * @unmapped_bytes: bytes of the areas that are gone
 * @nr_settled: io_pagetable.nr_settled when somebody's area was in the way
 * @all: wait for areas that are still being mapped, too
 * @met_quarantine: there is an area in the range that no unmap can remove
 */
struct iopt_unmap_walk {
	struct io_pagetable *iopt;
	unsigned long first_iova;
	unsigned long last_iova;
	unsigned long next_iova;
	unsigned long unmapped_bytes;
	unsigned int nr_settled;
	bool all;
	bool met_quarantine;
};

/*
 * Claim the next area of the walk. An area that was mapped behind the walk's
 * back and reaches across its position is in the range like any other.
 *
 * Return: 0 with the area or NULL at the end; -EAGAIN if the caller has to wait
 * for somebody else to finish with it; -ENOENT, -EBUSY.
 */
static int iopt_claim_next(struct iopt_unmap_walk *walk,
			   struct iopt_area **out_area)
{
	struct io_pagetable *iopt = walk->iopt;
	struct iopt_area *area;

	guard(rwsem_write)(&iopt->iova_rwsem);

	*out_area = NULL;
	area = iopt_area_from(iopt, walk->next_iova);
	while (area && area->state == IOPT_AREA_QUARANTINED &&
	       area->slice.iova.first_iova <= walk->last_iova) {
		walk->met_quarantine = true;
		area = iopt_area_next(area);
	}
	if (!area || area->slice.iova.first_iova > walk->last_iova)
		return 0;
	if (area->slice.iova.first_iova < walk->first_iova ||
	    area->slice.iova.last_iova > walk->last_iova)
		return -ENOENT;
	if (area->state == IOPT_AREA_MAPPING && !walk->all)
		return -EBUSY;
	if (area->state != IOPT_AREA_LIVE) {
		walk->nr_settled = iopt->nr_settled;
		return -EAGAIN;
	}
	iopt_set_state(area, IOPT_AREA_UNMAPPING);
	*out_area = area;
	return 0;
}

static int iopt_wait_settled(struct iopt_unmap_walk *walk)
{
	unsigned int *nr_settled = &walk->iopt->nr_settled;

	if (wait_var_event_killable(nr_settled, READ_ONCE(*nr_settled) !=
							walk->nr_settled))
		return -EINTR;
	return 0;
}

static int iopt_unmap_areas(struct iopt_unmap_walk *walk)
{
	struct iopt_area *area;
	unsigned long bytes;
	int rc;

	walk->next_iova = walk->first_iova;
	for (;;) {
		rc = iopt_claim_next(walk, &area);
		if (rc == -EAGAIN) {
			rc = iopt_wait_settled(walk);
			if (rc)
				return rc;
			continue;
		}
		if (rc)
			return rc;
		if (!area)
			break;

		bytes = iopt_area_bytes(area);
		walk->next_iova = area->slice.iova.last_iova;
		if (iopt_retire_area(area))
			walk->met_quarantine = true;
		else
			walk->unmapped_bytes += bytes;
		/* Compared before it is added to: both can be ULONG_MAX. */
		if (walk->next_iova++ == walk->last_iova)
			break;
		cond_resched();
	}
	return walk->met_quarantine ? -ENOTRECOVERABLE : 0;
}

/**
 * iopt_unmap() - unmap the areas in a range
 * @iopt: the map
 * @first_iova: first IOVA
 * @last_iova: last IOVA, inclusive
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -ENOENT no area in the range, or one would be cut; -EBUSY one is
 * still being mapped; -EINTR fatal signal: areas below the one in question are
 * gone by then. -ENOTRECOVERABLE a driver did not let go of one, all others are
 * gone.
 */
int iopt_unmap(struct io_pagetable *iopt, unsigned long first_iova,
	       unsigned long last_iova, unsigned long *unmapped_bytes)
{
	struct iopt_unmap_walk walk = {
		.iopt = iopt,
		.first_iova = first_iova,
		.last_iova = last_iova,
	};
	int rc;

	rc = iopt_unmap_areas(&walk);
	*unmapped_bytes = walk.unmapped_bytes;
	if (!rc && !walk.unmapped_bytes)
		return -ENOENT;
	return rc;
}

/**
 * iopt_unmap_all() - unmap everything
 * @iopt: the map
 * @unmapped_bytes: bytes of the areas unmapped, also when an error stopped it
 *
 * Waits for maps under way; what is mapped after the walk has passed stays.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0, also when there was nothing; -EINTR fatal signal;
 * -ENOTRECOVERABLE a driver did not let go of one, all others are gone.
 */
int iopt_unmap_all(struct io_pagetable *iopt, unsigned long *unmapped_bytes)
{
	struct iopt_unmap_walk walk = {
		.iopt = iopt,
		.last_iova = ULONG_MAX,
		.all = true,
	};
	int rc;

	rc = iopt_unmap_areas(&walk);
	*unmapped_bytes = walk.unmapped_bytes;
	return rc;
}

/**
 * iopt_destroy() - free a map
 * @iopt: nobody uses it any more and no domain mirrors it
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_destroy(struct io_pagetable *iopt)
{
	struct iopt_area *area;

	WARN_ON(!xa_empty(&iopt->domains.members));
	while ((area = iopt_area_from(iopt, 0))) {
		if (area->state == IOPT_AREA_QUARANTINED) {
			/*
			 * Who knows which of its pages were reachable, and
			 * the page tables that could tell are gone. It is
			 * given up as it is: pins, charge and memory.
			 */
			iova_map_erase(&iopt->areas, &area->slice.iova);
			continue;
		}
		iopt_map_abort(area);
	}
	iopt_reserve_destroy(iopt);
	xa_destroy(&iopt->domains.members);
}
