// SPDX-License-Identifier: GPL-2.0-only
/*
 * Map and copy: how areas get into the map.
 *
 * Both make areas, find them a place side by side, and fill them. Then they are
 * pending: still MAPPING, until the caller knows that user space has learned of
 * them; unless there is nothing to learn, and they are final.
 */
#include <linux/interval_tree.h>
#include <linux/iommu.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

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

/* So that 17 fit into a page, with room for the memory cgroup of each. */
static_assert(sizeof(struct iopt_mapping) <= 240 || !IS_ENABLED(CONFIG_64BIT) ||
	      IS_ENABLED(CONFIG_IOMMUFD_DEBUG) ||
	      sizeof(spinlock_t) > sizeof(u32));

static struct kmem_cache *iopt_mapping_cache;

/**
 * iopt_map_init() - prepare the module to map
 *
 * Context: module init.
 * Return: 0 or -ENOMEM.
 */
int iopt_map_init(void)
{
	iopt_mapping_cache = KMEM_CACHE(iopt_mapping, SLAB_ACCOUNT);
	return iopt_mapping_cache ? 0 : -ENOMEM;
}

/**
 * iopt_map_exit() - undo iopt_map_init()
 *
 * Context: module exit, no map left.
 */
void iopt_map_exit(void)
{
	kmem_cache_destroy(iopt_mapping_cache);
}

/**
 * struct iopt_new_areas - areas on their way into the map
 * @areas: they follow upon one another in IOVA
 * @nr_areas: how many, at least 1
 * @fill: some domain wants them
 * @is_pending: they are the caller's; else, once placed, everybody's
 */
struct iopt_new_areas {
	struct iopt_area **areas;
	size_t nr_areas;
	bool fill;
	bool is_pending;
};

/* All that means something before the area is placed. */
static void iopt_area_init(struct iopt_area *area, struct iopt_pages *pages,
			   unsigned long first_byte, unsigned long length)
{
	struct iopt_slice *slice = &area->slice;

	atomic_long_set(&area->pinned_pages, 0);
	kref_init(&area->kref);
	area->state = IOPT_AREA_MAPPING;
	area->within_pages = false;
	slice->pages = pages;
	slice->domains = NULL;
	slice->storage = NULL;
	slice->run_pfn = 0;
	slice->filled_pages = 0;
	slice->gone = false;
	slice->quarantined = false;
	slice->page_offset = offset_in_page(first_byte);
	slice->span.start = first_byte / PAGE_SIZE;
	slice->span.last = (first_byte + (length - 1)) / PAGE_SIZE;
	/* Where it will be is not known yet, only how long it is. */
	slice->iova.first_iova = 0;
	slice->iova.last_iova = length - 1;
}

static void iopt_mapping_free(struct iopt_mapping *mapping)
{
	iopt_owner_put(mapping->pages.owner);
	kmem_cache_free(iopt_mapping_cache, mapping);
}

/*
 * A vIOMMU unmaps a page and maps the next: each map keeps the memory of one mapping
 * for that, and its owner. Not with KASAN, which is to find out who still uses it.
 */
static void iopt_mapping_keep(struct io_pagetable *iopt,
			      struct iopt_mapping *mapping)
{
	if (IS_ENABLED(CONFIG_KASAN) || READ_ONCE(iopt->spare) ||
	    cmpxchg(&iopt->spare, NULL, mapping))
		iopt_mapping_free(mapping);
}

/* Memory for a mapping of the current process; only its owner means something. */
static struct iopt_mapping *iopt_mapping_alloc(struct io_pagetable *iopt,
					       enum iopt_account_mode account_mode)
{
	struct iopt_mapping *mapping = NULL;

	if (READ_ONCE(iopt->spare))
		mapping = xchg(&iopt->spare, NULL);
	if (mapping) {
		if (iopt_owner_is_current(mapping->pages.owner, account_mode))
			return mapping;
		iopt_owner_put(mapping->pages.owner);
	} else {
		mapping = kmem_cache_alloc(iopt_mapping_cache,
					   GFP_KERNEL_ACCOUNT);
		if (!mapping)
			return NULL;
	}
	mapping->pages.owner = iopt_owner_get(&iopt->owners, account_mode);
	if (mapping->pages.owner)
		return mapping;
	iopt_mapping_free(mapping);
	return NULL;
}

/**
 * iopt_drop_mapping() - end the first area of a pages object
 * @area: it; the pages go with it unless somebody has another reference
 *
 * Context: process; may drop the last reference to an mm.
 */
void iopt_drop_mapping(struct iopt_area *area)
{
	struct iopt_mapping *mapping = container_of(area, struct iopt_mapping,
						    area);

	/* What was never placed is in no map. */
	if (unlikely(!area->slice.domains))
		iopt_pages_put(&mapping->pages);
	else if (iopt_pages_drop(&mapping->pages))
		iopt_mapping_keep(iopt_area_map(area), mapping);
}

/**
 * iopt_free_spare() - free what iopt_drop_mapping() has kept
 * @iopt: a map without areas
 *
 * Context: process; may drop the last reference to an mm.
 */
void iopt_free_spare(struct io_pagetable *iopt)
{
	if (iopt->spare)
		iopt_mapping_free(iopt->spare);
}

static struct iopt_area *iopt_area_alloc(struct io_pagetable *iopt,
					 const struct iopt_map_request *request)
{
	struct iopt_mapping *mapping;

	mapping = iopt_mapping_alloc(iopt, request->account_mode);
	if (!mapping)
		return NULL;
	iopt_pages_init_user(&mapping->pages, mapping->pages.owner,
			     request->uptr, request->iommu_prot & IOMMU_WRITE);
	iopt_area_init(&mapping->area, &mapping->pages,
		       offset_in_page(request->uptr), request->length);
	mapping->area.within_pages = true;
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
static noinline int iopt_find_iova(struct io_pagetable *iopt,
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

/* The order of the checks is ABI. The last of them is iopt_is_used(). */
static int iopt_check_fixed_iova(struct io_pagetable *iopt,
				 const struct iopt_map_request *request)
{
	unsigned long last_iova;

	if (!IS_ALIGNED(request->iova, iopt->iova_alignment))
		return -EINVAL;
	if (check_add_overflow(request->iova, request->length - 1, &last_iova))
		return -EOVERFLOW;
	if (likely(request->iova >= iopt->usable.first_iova &&
		   last_iova <= iopt->usable.last_iova))
		return 0;
	return iopt_find_usable(iopt, request->iova, last_iova) ? 0 : -EINVAL;
}

static bool iopt_is_used(const struct io_pagetable *iopt,
			 const struct iopt_map_request *request)
{
	return iova_map_find(&iopt->areas, request->iova,
			     request->iova + (request->length - 1));
}

static bool iopt_area_fits(const struct iopt_area *area,
			   unsigned long alignment)
{
	return IS_ALIGNED(area->slice.page_offset | iopt_area_bytes(area),
			  alignment);
}

/*
 * From here down to iopt_map_begin() all is inline: of a single area nothing is left
 * of the loops then.
 */

/* Put an area into the map. Return: 0, or -EEXIST if its place is not free. */
static __always_inline int
iopt_insert_area(struct io_pagetable *iopt, struct iopt_area *area,
		 unsigned long first_iova, const struct iopt_map_request *request)
{
	struct iopt_slice *slice = &area->slice;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	slice->iova.last_iova += first_iova;
	slice->iova.first_iova = first_iova;
	slice->iommu_prot = request->iommu_prot;
	slice->domains = &iopt->domains;
	slice->seq = iopt->domains.seq;
	slice->filler = iopt_is_wanted(iopt);
	if (iova_map_insert(&iopt->areas, &slice->iova))
		return -EEXIST;
	iopt->nr_areas++;
	/* Nobody is waiting for an area that was not there. */
	if (request->is_final && !slice->filler)
		iopt_set_state(area, IOPT_AREA_LIVE);
	return 0;
}

static __always_inline bool iopt_areas_fit(const struct iopt_new_areas *new,
					   unsigned long alignment)
{
	for (size_t i = 0; i < new->nr_areas; i++) {
		if (i)
			cond_resched();
		if (!iopt_area_fits(new->areas[i], alignment))
			return false;
	}
	return true;
}

/* Put all areas into the map, side by side. Return: 0, or -EEXIST with none there. */
static __always_inline int
iopt_insert_areas(struct io_pagetable *iopt, const struct iopt_new_areas *new,
		  const struct iopt_map_request *request)
{
	unsigned long iova = request->iova;

	/* Of a single one its insertion tells. */
	if (new->nr_areas > 1 && iopt_is_used(iopt, request))
		return -EEXIST;
	for (size_t i = 0; i < new->nr_areas; i++) {
		unsigned long bytes = iopt_area_bytes(new->areas[i]);

		if (i)
			cond_resched();
		if (iopt_insert_area(iopt, new->areas[i], iova, request))
			return -EEXIST;
		iova += bytes;
	}
	return 0;
}

/* Give the areas an IOVA, and with it a place in the map, all or none. */
static __always_inline int iopt_place(struct io_pagetable *iopt,
				      struct iopt_new_areas *new,
				      struct iopt_map_request *request)
{
	int rc;

	guard(iopt_write)(iopt);

	if (!IS_ALIGNED(request->length, iopt->iova_alignment))
		return -EINVAL;
	if (request->fixed_iova)
		rc = iopt_check_fixed_iova(iopt, request);
	else
		rc = iopt_find_iova(iopt, request);
	if (rc)
		return rc;
	/* The search may have let go of the lock, and an attach may have come. */
	if (!iopt_areas_fit(new, iopt->iova_alignment))
		return iopt_is_used(iopt, request) ? -EEXIST : -EINVAL;
	rc = iopt_insert_areas(iopt, new, request);
	if (rc)
		return rc;
	/* An attach that finds an area may become its filler later. */
	new->fill = new->areas[0]->slice.filler;
	new->is_pending = new->areas[0]->state == IOPT_AREA_MAPPING;
	return 0;
}

static __always_inline int iopt_fill_areas(const struct iopt_new_areas *new)
{
	for (size_t i = 0; i < new->nr_areas; i++) {
		int rc;

		if (i)
			cond_resched();
		rc = iopt_slice_fill(&new->areas[i]->slice, true);
		if (rc)
			return rc;
	}
	return 0;
}

/* Of an area of ours: a domain may have left meanwhile, and not let go. */
static __always_inline void iopt_make_live(struct iopt_area *area)
{
	iopt_set_state(area, READ_ONCE(area->slice.quarantined) ?
				     IOPT_AREA_QUARANTINED :
				     IOPT_AREA_LIVE);
}

/* Move all pending areas to another state. */
static void iopt_pending_set(const struct iopt_pending *pending,
			     enum iopt_area_state state)
{
	struct iopt_area *area = pending->first_area;

	guard(iopt_write)(pending->iopt);

	for (;;) {
		if (state == IOPT_AREA_LIVE)
			iopt_make_live(area);
		else
			iopt_set_state(area, state);
		if (area->slice.iova.last_iova == pending->last_iova)
			return;
		area = iopt_area_next(area);
		cond_resched();
	}
}

/* What nobody has to be told of needs not wait for that. */
static __always_inline void iopt_finish_areas(struct io_pagetable *iopt,
					      const struct iopt_new_areas *new)
{
	scoped_guard(iopt_write, iopt) {
		for (size_t i = 0; i < new->nr_areas; i++) {
			if (i)
				cond_resched();
			iopt_make_live(new->areas[i]);
		}
	}
	iopt_wake(iopt);
}

/*
 * Place and fill. When the fill fails, the areas are pending all the same: there
 * is one who undoes, whatever it is that went wrong.
 */
static __always_inline int iopt_bring_in(struct io_pagetable *iopt,
					 struct iopt_new_areas *new,
					 struct iopt_map_request *request,
					 struct iopt_pending *pending)
{
	int rc;

	rc = iopt_place(iopt, new, request);
	if (rc || !new->is_pending)
		return rc;
	if (new->fill)
		rc = iopt_fill_areas(new);
	if (!rc && request->is_final) {
		iopt_finish_areas(iopt, new);
		return 0;
	}
	pending->iopt = iopt;
	pending->first_area = new->areas[0];
	pending->last_iova = request->iova + (request->length - 1);
	return rc;
}

/**
 * iopt_map_begin() - map user memory at an IOVA, without telling anybody
 * @iopt: the map
 * @request: what and where; its iova is written when the choice is ours
 * @pending: its iopt is NULL; if it is set on return, the caller must finish with
 *	iopt_pending_commit() or, on an error, iopt_pending_abort()
 *
 * On success the area is mapped in all domains. The caller can still fail, when
 * it tells user space the IOVA, and nobody else can have unmapped it by then; unless
 * it has said that this is final, and then there is nothing to finish.
 *
 * Context: process with an mm, no lock held; sleeps as long as page faults of
 * the memory take, until a fatal signal.
 * Return: 0; -EINVAL misaligned, reserved, or length 0; -EOVERFLOW an end is
 * past the address space; -EEXIST overlap; -ENOSPC no IOVA free; -EFAULT bad
 * memory; -ENOMEM also for the locked-memory limit; -EINTR fatal signal.
 */
int iopt_map_begin(struct io_pagetable *iopt, struct iopt_map_request *request,
		   struct iopt_pending *pending)
{
	struct iopt_new_areas new = { .nr_areas = 1 };
	unsigned long end_uptr;
	struct iopt_area *area;
	int rc;

	if (!request->length)
		return -EINVAL;
	if (check_add_overflow(request->uptr, request->length, &end_uptr))
		return -EOVERFLOW;

	area = iopt_area_alloc(iopt, request);
	if (!area)
		return -ENOMEM;
	new.areas = &area;
	rc = iopt_bring_in(iopt, &new, request, pending);
	if (rc && !pending->iopt)
		iopt_area_put(area);
	return rc;
}

/*
 * Go to the area at an IOVA, from the one in front of it or from NULL.
 *
 * Return: the area, or an ERR_PTR: -ENOENT if there is none, or user space
 * cannot know of it yet; -EINVAL if it is about to go.
 */
static struct iopt_area *iopt_copy_step(struct io_pagetable *source,
					struct iopt_area *area,
					unsigned long iova)
{
	lockdep_assert_held(&source->iova_rwsem);

	area = area ? iopt_area_next(area) : iopt_area_from(source, iova);
	if (!area || area->slice.iova.first_iova > iova ||
	    area->state == IOPT_AREA_MAPPING)
		return ERR_PTR(-ENOENT);
	if (area->state != IOPT_AREA_LIVE)
		return ERR_PTR(-EINVAL);
	return area;
}

/* Return: areas between two IOVAs, or -errno as iopt_copy_step(). */
static ssize_t iopt_copy_count(struct io_pagetable *source,
			       unsigned long first_iova,
			       unsigned long last_iova)
{
	struct iopt_area *area = NULL;
	ssize_t nr_areas = 0;

	do {
		area = iopt_copy_step(source, area, first_iova);
		if (IS_ERR(area))
			return PTR_ERR(area);
		first_iova = area->slice.iova.last_iova + 1;
		nr_areas++;
		cond_resched();
	} while (area->slice.iova.last_iova < last_iova);
	return nr_areas;
}

/* Make an area of its own of what lies between two IOVAs of another. */
static struct iopt_area *iopt_copy_area(struct iopt_area *source,
					unsigned long first_iova,
					unsigned long last_iova)
{
	struct iopt_slice *slice = &source->slice;
	unsigned long first_byte;
	struct iopt_area *area;

	area = kmalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	if (!area)
		return NULL;
	first_byte = slice->span.start * PAGE_SIZE + slice->page_offset +
		     (first_iova - slice->iova.first_iova);
	iopt_area_init(area, iopt_pages_get(slice->pages), first_byte,
		       last_iova - first_iova + 1);
	return area;
}

/**
 * iopt_copy_begin() - make areas that show what another range shows
 * @source: map of the other range, may be the one that is copied to
 * @first_iova: first IOVA of the range
 * @last_iova: last IOVA, inclusive
 * @out_copy: set on success; the caller must call iopt_copy_end()
 *
 * The memory is kept from now on, whatever becomes of the source.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0; -ENOENT there is a hole in the range; -EINVAL a part of it is being
 * unmapped; -ENOMEM; -EINTR fatal signal.
 */
int iopt_copy_begin(struct io_pagetable *source, unsigned long first_iova,
		    unsigned long last_iova, struct iopt_copy *out_copy)
{
	struct iopt_area *from = NULL;
	ssize_t nr_areas;

	guard(rwsem_read)(&source->iova_rwsem);

	nr_areas = iopt_copy_count(source, first_iova, last_iova);
	if (nr_areas < 0)
		return nr_areas;
	out_copy->nr_areas = 0;
	out_copy->areas = &out_copy->only_area;
	if (nr_areas > 1)
		out_copy->areas = kvcalloc(nr_areas, sizeof(*out_copy->areas),
					   GFP_KERNEL_ACCOUNT);
	if (!out_copy->areas)
		return -ENOMEM;

	while (out_copy->nr_areas != nr_areas) {
		struct iopt_area *area;
		unsigned long last;

		from = iopt_copy_step(source, from, first_iova);
		last = min(last_iova, from->slice.iova.last_iova);
		area = iopt_copy_area(from, first_iova, last);
		if (!area) {
			iopt_copy_end(out_copy);
			return -ENOMEM;
		}
		out_copy->areas[out_copy->nr_areas++] = area;
		first_iova = last + 1;
		if (fatal_signal_pending(current)) {
			iopt_copy_end(out_copy);
			return -EINTR;
		}
		cond_resched();
	}
	return 0;
}

/**
 * iopt_copy_place() - map the areas of a copy, without telling anybody
 * @iopt: where
 * @copy: from iopt_copy_begin()
 * @request: its iova is written when the choice is ours; uptr and account_mode
 *	do not matter
 * @pending: as for iopt_map_begin()
 *
 * Context: as iopt_map_begin().
 * Return: 0; -EPERM it shall be writable and the memory was mapped read-only;
 * or as iopt_map_begin().
 */
int iopt_copy_place(struct io_pagetable *iopt, struct iopt_copy *copy,
		    struct iopt_map_request *request,
		    struct iopt_pending *pending)
{
	struct iopt_slice *first = &copy->areas[0]->slice;
	struct iopt_new_areas new = {
		.areas = copy->areas,
		.nr_areas = copy->nr_areas,
	};
	int rc;

	for (size_t i = 0; i < copy->nr_areas; i++) {
		if ((request->iommu_prot & IOMMU_WRITE) &&
		    !copy->areas[i]->slice.pages->ops->writable)
			return -EPERM;
	}
	request->uptr = (first->pages->uptr & PAGE_MASK) +
			first->span.start * PAGE_SIZE + first->page_offset;
	rc = iopt_bring_in(iopt, &new, request, pending);
	/* They are the map's, whether or not somebody has to finish with them. */
	if (!rc || pending->iopt)
		copy->nr_areas = 0;
	return rc;
}

/**
 * iopt_copy_end() - free what a copy needed while it was made
 * @copy: from iopt_copy_begin(); areas that were not placed are freed
 *
 * Context: process.
 */
void iopt_copy_end(struct iopt_copy *copy)
{
	while (copy->nr_areas)
		iopt_area_put(copy->areas[--copy->nr_areas]);
	if (copy->areas != &copy->only_area)
		kvfree(copy->areas);
}

/**
 * iopt_pending_commit() - make a map or copy final
 * @pending: from iopt_map_begin() or iopt_copy_place()
 *
 * Context: process, no lock held.
 */
void iopt_pending_commit(struct iopt_pending *pending)
{
	iopt_pending_set(pending, IOPT_AREA_LIVE);
	iopt_wake(pending->iopt);
}

/**
 * iopt_pending_abort() - undo a map or copy
 * @pending: from iopt_map_begin() or iopt_copy_place()
 *
 * Context: process, no lock held; sleeps.
 */
void iopt_pending_abort(struct iopt_pending *pending)
{
	struct io_pagetable *iopt = pending->iopt;
	unsigned long iova = pending->first_area->slice.iova.first_iova;
	unsigned long last_iova;

	iopt_pending_set(pending, IOPT_AREA_UNMAPPING);
	do {
		struct iopt_area *area;

		/* They are ours: nobody else takes them out. */
		scoped_guard(rwsem_read, &iopt->iova_rwsem)
			area = iopt_area_from(iopt, iova);
		last_iova = area->slice.iova.last_iova;
		iopt_retire_area(area);
		iova = last_iova + 1;
	} while (last_iova != pending->last_iova);
}
