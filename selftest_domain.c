// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page tables of the mock IOMMU.
 *
 * A page table is an array with an entry for each I/O page of the smallest size: to
 * which address it translates, and whether it is the first or the last of a leaf.
 * What the leaves are differs from driver to driver, and so does what becomes of a
 * map that fails half way: that is what the personalities are about. Where a real
 * driver corrupts its page tables or leaves devices with access to memory that is
 * not theirs any more, and says nothing, this one says so with a warning, which no
 * test survives:
 *
 * - a map over what is mapped already, or over what was not flushed since
 * - an unmap over a hole, or one that cuts a leaf
 * - a page that is not pinned, or no longer, while devices can reach it. They can
 *   until the IOTLB has been flushed, so an unmapped entry stays in the array and is
 *   marked stale until then
 * - a map before coherency is enforced, where it can be
 * - a domain that is freed with something in it, or with devices attached to it
 * - a call for the page table while a device comes or goes
 */
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "iommufd_test.h"
#include "selftest.h"
#include "selftest_domain.h"
#include "test_hooks.h"

/* -- personalities -- */

/* One leaf for the whole call. */
static size_t mock_leaf_call(const struct mock_domain *mock,
			     const struct mock_step *step)
{
	return step->length;
}

/* What the core asks for. */
static size_t mock_leaf_page(const struct mock_domain *mock,
			     const struct mock_step *step)
{
	return step->pgsize;
}

/* The largest that fits, whatever the core asks for. */
static size_t mock_leaf_largest(const struct mock_domain *mock,
				const struct mock_step *step)
{
	unsigned long sizes = mock->domain.pgsize_bitmap;
	unsigned long limits = step->iova | step->phys;

	sizes &= GENMASK(__fls(step->length), 0);
	if (limits)
		sizes &= GENMASK(__ffs(limits), 0);
	return 1UL << __fls(sizes);
}

const char *const mock_kind_names[MOCK_NR_KINDS] = {
	[MOCK_EXACT] = "exact",
	[MOCK_VTD] = "vtd",
	[MOCK_AMD] = "amd",
	[MOCK_ARM] = "arm",
	[MOCK_VIRTIO] = "virtio",
	[MOCK_COARSE] = "coarse",
};

static const struct mock_personality mock_personalities[MOCK_NR_KINDS] = {
	[MOCK_EXACT] = {
		.name = "exact",
		.pgsizes = MOCK_EXACT_PAGE,
		.leaf_bytes = mock_leaf_call,
		.borders = MOCK_ENTRY_FIRST | MOCK_ENTRY_LAST,
		.cleans_up = true,
		.takes_no_access = true,
	},
	/* Its unmap removes whatever the tables below the range hold. */
	[MOCK_VTD] = {
		.name = "vtd",
		.pgsizes = SZ_4K | SZ_2M | SZ_1G,
		.leaf_bytes = mock_leaf_largest,
		.borders = MOCK_ENTRY_FIRST | MOCK_ENTRY_LAST,
		.widens = true,
		.passes_holes = true,
		.whole_leaves = true,
	},
	[MOCK_AMD] = {
		.name = "amd",
		.pgsizes = GENMASK(30, 12),
		.leaf_bytes = mock_leaf_page,
		.borders = MOCK_ENTRY_FIRST | MOCK_ENTRY_LAST,
		.reports_partly = true,
		.widens = true,
		.whole_leaves = true,
	},
	[MOCK_ARM] = {
		.name = "arm",
		.pgsizes = SZ_4K | SZ_2M | SZ_1G,
		.leaf_bytes = mock_leaf_page,
		.borders = MOCK_ENTRY_FIRST | MOCK_ENTRY_LAST,
		.table_entries = 512,
		.cleans_up = true,
		.whole_leaves = true,
	},
	/* What is mapped by one request can only be unmapped as a whole. */
	[MOCK_VIRTIO] = {
		.name = "virtio",
		.pgsizes = GENMASK(30, 12),
		.leaf_bytes = mock_leaf_call,
		.borders = MOCK_ENTRY_FIRST,
		.cleans_up = true,
		.takes_no_access = true,
		.widens = true,
		.forgets = true,
	},
	[MOCK_COARSE] = {
		.name = "coarse",
		.pgsizes = 16 * PAGE_SIZE,
		.leaf_bytes = mock_leaf_page,
		.borders = MOCK_ENTRY_FIRST | MOCK_ENTRY_LAST,
		.cleans_up = true,
		.whole_leaves = true,
	},
};

/* Of devices with MOCK_FLAGS_DEVICE_HUGE_IOVA. */
static const struct mock_personality mock_huge = {
	.name = "exact, huge",
	.pgsizes = MOCK_EXACT_PAGE | MOCK_EXACT_HUGE,
	.leaf_bytes = mock_leaf_page,
	.cleans_up = true,
	.takes_no_access = true,
	.whole_leaves = true,
};

/* -- entries -- */

static unsigned long mock_make_entry(phys_addr_t phys, unsigned long flags)
{
	return (unsigned long)(phys >> MOCK_ENTRY_SHIFT) | flags;
}

static phys_addr_t mock_entry_phys(unsigned long entry)
{
	return (phys_addr_t)(entry & ~MOCK_ENTRY_FLAGS) << MOCK_ENTRY_SHIFT;
}

/* Change an entry that exists, so this needs no memory. */
static void mock_change(struct mock_domain *mock, unsigned long iova,
			unsigned long entry)
{
	void *old = xa_store(&mock->entries, mock_index(mock, iova),
			     xa_mk_value(entry), 0);

	WARN_ON(!old || xa_is_err(old));
}

static bool mock_page_is_pinned(phys_addr_t phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	return pfn_valid(pfn) &&
	       folio_maybe_dma_pinned(page_folio(pfn_to_page(pfn)));
}

/* -- map -- */

static int mock_add_entry(struct mock_domain *mock, unsigned long iova,
			  unsigned long entry, gfp_t gfp)
{
	int rc;

	if (mock_switch_fails_entry())
		return -ENOMEM;
	if (!mock_page_is_pinned(mock_entry_phys(entry)))
		mock_complain(mock, iova, "map of a page that is not pinned");

	rc = xa_insert(&mock->entries, mock_index(mock, iova),
		       xa_mk_value(entry), gfp);
	if (rc != -EBUSY)
		return rc;
	if (mock_is_mapped(mock_load(mock, iova)))
		mock_complain(mock, iova, "map over a map");
	else
		mock_complain(mock, iova, "map of what was not flushed");
	return -EEXIST;
}

static void mock_erase(struct mock_domain *mock, unsigned long iova,
		       size_t length)
{
	for (size_t done = 0; done < length; done += mock_granule(mock))
		xa_erase(&mock->entries, mock_index(mock, iova + done));
}

/* All of a leaf or nothing. */
static int mock_add_leaf(struct mock_domain *mock, const struct mock_step *step,
			 size_t bytes, gfp_t gfp)
{
	size_t granule = mock_granule(mock);
	size_t done;

	for (done = 0; done < bytes; done += granule) {
		unsigned long flags = 0;
		int rc;

		if (!done)
			flags |= MOCK_ENTRY_FIRST;
		if (done + granule == bytes)
			flags |= MOCK_ENTRY_LAST;
		rc = mock_add_entry(mock, step->iova + done,
				    mock_make_entry(step->phys + done, flags),
				    gfp);
		if (rc) {
			mock_erase(mock, step->iova, done);
			return rc;
		}
	}
	return 0;
}

/*
 * Scattered memory is mapped by one call after the other. A test that tries all
 * places where something can fail has no time for each of them.
 */
static bool mock_shall_fail(struct mock_domain *mock, const struct mock_step *step)
{
	bool adjoins = READ_ONCE(mock->next_iova) == step->iova;

	WRITE_ONCE(mock->next_iova, step->iova + step->length);
	if (adjoins && ++mock->nr_adjoining % 16)
		return false;
	return iommufd_should_fail();
}

/*
 * Map a step leaf by leaf. What is done is taken off it, also on error. A failure
 * that is injected comes in the middle, where it does most harm.
 */
static int mock_add_leaves(struct mock_domain *mock, struct mock_step *step,
			   gfp_t gfp)
{
	size_t fail_below = 0;
	int rc;

	if (mock_shall_fail(mock, step))
		fail_below = step->length / 2 + 1;

	while (step->length && step->length >= fail_below) {
		size_t bytes = mock->personality->leaf_bytes(mock, step);

		mock_switch_note_leaf(bytes);
		rc = mock_add_leaf(mock, step, bytes, gfp);
		if (rc)
			return rc;
		step->iova += bytes;
		step->phys += bytes;
		step->length -= bytes;
	}
	return fail_below ? -ENOENT : 0;
}

static bool mock_is_within(const struct mock_domain *mock, unsigned long iova,
			   size_t length)
{
	const struct iommu_domain_geometry *geometry = &mock->domain.geometry;

	return iova >= geometry->aperture_start &&
	       iova <= geometry->aperture_end &&
	       length - 1 <= geometry->aperture_end - iova;
}

static bool mock_meets_gap(const struct mock_domain *mock, unsigned long iova,
			   size_t length)
{
	return mock->gap_bytes && iova < mock->gap_iova + mock->gap_bytes &&
	       iova + (length - 1) >= mock->gap_iova;
}

/* What any driver may take for granted. */
static bool mock_may_map(struct mock_domain *mock, const struct mock_step *step,
			 int prot)
{
	const char *wrong = NULL;

	if (!is_power_of_2(step->pgsize) ||
	    !(step->pgsize & mock->domain.pgsize_bitmap))
		wrong = "map of pages of an unknown size";
	else if (!IS_ALIGNED(step->iova | step->phys, step->pgsize))
		wrong = "map of misaligned pages";
	else if (!step->length || !mock_is_within(mock, step->iova, step->length))
		wrong = "map outside of the aperture";
	else if (mock_meets_gap(mock, step->iova, step->length))
		wrong = "map in the gap between two windows";
	else if (!(prot & IOMMU_CACHE))
		wrong = "map that is not coherent";
	else if (mock->coherency >= MOCK_ENFORCEABLE && !mock->enforces)
		wrong = "map before coherency was enforced";
	if (wrong)
		mock_complain(mock, step->iova, wrong);
	return !wrong;
}

/* How much of a call one table has room for. */
static size_t mock_clip(const struct mock_domain *mock,
			const struct mock_step *step)
{
	size_t table_bytes = mock->personality->table_entries * step->pgsize;

	if (!table_bytes)
		return step->length;
	return min(step->length, table_bytes - step->iova % table_bytes);
}

static int mock_map_pages(struct iommu_domain *domain, unsigned long iova,
			  phys_addr_t paddr, size_t pgsize, size_t pgcount,
			  int prot, gfp_t gfp, size_t *mapped)
{
	struct mock_domain *mock = to_mock(domain);
	const struct mock_personality *personality = mock->personality;
	struct mock_step step = {
		.iova = iova,
		.phys = paddr,
		.pgsize = pgsize,
		.length = pgsize * pgcount,
	};
	int rc;

	guard(mock_work)(mock);

	if (!mock_may_map(mock, &step, prot) ||
	    !(prot & (IOMMU_READ | IOMMU_WRITE) || personality->takes_no_access))
		return -EINVAL;
	mock_switch_delay_map(iova, iova + step.length - 1);

	step.length = mock_clip(mock, &step);
	rc = mock_add_leaves(mock, &step, gfp);
	if (rc && personality->cleans_up)
		mock_erase(mock, iova, step.iova - iova);
	else if (!rc || personality->reports_partly)
		*mapped += step.iova - iova;
	return rc;
}

/* -- unmap -- */

/**
 * struct mock_unmap - an unmap call, which can reach up to the last address
 * @iova: where it is
 * @bytes_left: to its end; 0 also behind it
 * @prev_entry: the entry in front of @iova, 0 at the beginning
 * @met_hole: there was nothing somewhere
 * @met_stuck: there was something that the test wants to stay
 */
struct mock_unmap {
	unsigned long iova;
	size_t bytes_left;
	unsigned long prev_entry;
	bool met_hole;
	bool met_stuck;
};

static void mock_unmap_hole(struct mock_domain *mock, struct mock_unmap *unmap)
{
	if (!unmap->met_hole)
		mock_complain(mock, unmap->iova, "unmap over a hole");
	unmap->met_hole = true;
}

static void mock_unmap_entry(struct mock_domain *mock, struct mock_unmap *unmap,
			     unsigned long entry)
{
	if (!mock_page_is_pinned(mock_entry_phys(entry)))
		mock_complain(mock, unmap->iova,
			      "a page was unpinned while it was mapped");
	if (!unmap->prev_entry &&
	    mock->personality->borders & ~entry & MOCK_ENTRY_FIRST)
		mock_complain(mock, unmap->iova, "unmap begins in a leaf");

	mock_change(mock, unmap->iova, entry | MOCK_ENTRY_STALE);
	unmap->prev_entry = entry;
}

/* Is there more to do? */
static bool mock_unmap_goes_on(const struct mock_domain *mock,
			       const struct mock_unmap *unmap)
{
	if (unmap->met_stuck ||
	    (unmap->met_hole && !mock->personality->passes_holes))
		return false;
	if (unmap->bytes_left)
		return true;
	return mock->personality->widens && unmap->prev_entry &&
	       !(unmap->prev_entry & MOCK_ENTRY_LAST);
}

static void mock_unmap_advance(struct mock_unmap *unmap, size_t bytes)
{
	unmap->iova += bytes;
	unmap->bytes_left -= min(unmap->bytes_left, bytes);
}

static void mock_unmap_leaves(struct mock_domain *mock, struct mock_unmap *unmap)
{
	while (mock_unmap_goes_on(mock, unmap)) {
		unsigned long entry = mock_load(mock, unmap->iova);

		if (mock_switch_is_stuck(unmap->iova)) {
			unmap->met_stuck = true;
			mock->has_stuck = true;
			return;
		}
		if (mock_is_mapped(entry))
			mock_unmap_entry(mock, unmap, entry);
		else
			mock_unmap_hole(mock, unmap);
		if (!unmap->met_hole || mock->personality->passes_holes)
			mock_unmap_advance(unmap, mock_granule(mock));
	}
}

static bool mock_unmap_cuts(const struct mock_domain *mock,
			    const struct mock_unmap *unmap)
{
	if (unmap->met_stuck || unmap->met_hole)
		return false;
	return mock->personality->borders & ~unmap->prev_entry &
	       MOCK_ENTRY_LAST;
}

static size_t mock_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			       size_t pgsize, size_t pgcount,
			       struct iommu_iotlb_gather *gather)
{
	struct mock_domain *mock = to_mock(domain);
	struct mock_step step = {
		.iova = iova,
		.pgsize = pgsize,
		.length = pgsize * pgcount,
	};
	struct mock_unmap unmap = {
		.iova = iova,
		.bytes_left = mock_clip(mock, &step),
	};
	unsigned long end_iova = iova + unmap.bytes_left;

	guard(mock_work)(mock);

	mock_unmap_leaves(mock, &unmap);
	/* Behind the end of the range a leaf was cut, or lost as a whole. */
	if (mock_unmap_cuts(mock, &unmap) ||
	    (mock->personality->borders & MOCK_ENTRY_LAST && !unmap.bytes_left &&
	     unmap.iova != end_iova))
		mock_complain(mock, end_iova, "unmap ends in a leaf");

	if (unmap.iova != iova)
		iommu_iotlb_gather_add_range(gather, iova, unmap.iova - iova);
	if (unmap.met_hole && mock->personality->forgets)
		return 0;
	return unmap.iova - iova;
}

/* -- flush -- */

/*
 * A flush can be of more than its caller has unmapped: of dirty pages here and there
 * it is one for all. So an entry may meanwhile be flushed by whoever has unmapped it,
 * its page unpinned, and another be in its place.
 */
static void mock_flush_stale(struct mock_domain *mock, unsigned long index,
			     void *slot)
{
	bool is_pinned = mock_page_is_pinned(mock_entry_phys(xa_to_value(slot)));

	if (xa_cmpxchg(&mock->entries, index, slot, NULL, 0) == slot &&
	    !is_pinned)
		mock_complain(mock, index << mock->granule_shift,
			      "a page was unpinned before the flush");
}

static void mock_flush(struct mock_domain *mock, unsigned long first_iova,
		       unsigned long last_iova)
{
	unsigned long index;
	void *slot;

	xa_for_each_range(&mock->entries, index, slot,
			  mock_index(mock, first_iova),
			  mock_index(mock, last_iova)) {
		unsigned long entry = xa_to_value(slot);

		if (mock_is_mapped(entry)) {
			mock_flush_dirty(mock, index << mock->granule_shift,
					 entry);
			continue;
		}
		mock_flush_stale(mock, index, slot);
	}
}

static void mock_iotlb_sync(struct iommu_domain *domain,
			    struct iommu_iotlb_gather *gather)
{
	struct mock_domain *mock = to_mock(domain);

	guard(mock_work)(mock);

	if (gather->start <= gather->end)
		mock_flush(mock, gather->start, gather->end);
}

static void mock_flush_iotlb_all(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);

	guard(mock_work)(mock);

	mock_flush(mock, 0, ULONG_MAX);
}

static phys_addr_t mock_iova_to_phys(struct iommu_domain *domain,
				     dma_addr_t iova)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long entry = mock_load(mock, iova);

	if (!mock_is_mapped(entry))
		return 0;
	return mock_entry_phys(entry) + (iova & (mock_granule(mock) - 1));
}

static bool mock_enforce_cache_coherency(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);

	if (mock->coherency != MOCK_ENFORCEABLE || !xa_empty(&mock->entries))
		return false;
	mock->enforces = true;
	return true;
}

/* -- life -- */

/* A page that could not be unmapped has to stay pinned until now. */
static void mock_check_entries(struct mock_domain *mock)
{
	unsigned long index;
	void *slot;

	xa_for_each(&mock->entries, index, slot) {
		unsigned long iova = index << mock->granule_shift;
		unsigned long entry = xa_to_value(slot);

		if (!mock_is_mapped(entry))
			mock_complain(mock, iova, "freed without a flush");
		else if (!mock->has_stuck)
			mock_complain(mock, iova, "freed with a map in it");
		else if (!mock_page_is_pinned(mock_entry_phys(entry)))
			mock_complain(mock, iova,
				      "a page that is still mapped was unpinned");
		else
			continue;
		return;
	}
}

static void mock_domain_free(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);

	mock_check_entries(mock);
	if (!list_empty(&mock->devices))
		mock_complain(mock, 0, "freed with a device attached");
	if (atomic_read(&mock->nr_nested))
		mock_complain(mock, 0, "freed with a domain nested on it");
	xa_destroy(&mock->entries);
	kfree(mock);
}

static const struct iommu_domain_ops mock_paging_ops = {
	.attach_dev = mock_dev_attach,
	.map_pages = mock_map_pages,
	.unmap_pages = mock_unmap_pages,
	.flush_iotlb_all = mock_flush_iotlb_all,
	.iotlb_sync = mock_iotlb_sync,
	.iova_to_phys = mock_iova_to_phys,
	.enforce_cache_coherency = mock_enforce_cache_coherency,
	.free = mock_domain_free,
};

/**
 * mock_domain_create - make an empty paging domain
 * @request: what kind
 *
 * Context: Process context, may sleep.
 * Return: the domain or an ERR_PTR: -ENOMEM.
 */
struct iommu_domain *mock_domain_create(const struct mock_request *request)
{
	struct mock_windows windows = mock_switch_windows();
	struct mock_domain *mock;

	mock = kzalloc(sizeof(*mock), GFP_KERNEL_ACCOUNT);
	if (!mock)
		return ERR_PTR(-ENOMEM);

	mock->kind = request->kind;
	mock->coherency = request->coherency;
	mock->is_parent = request->is_parent;
	mock->gap_iova = windows.gap_iova;
	mock->gap_bytes = windows.gap_bytes;
	mock->personality = &mock_personalities[request->kind];
	if (request->kind == MOCK_EXACT && request->has_huge)
		mock->personality = &mock_huge;
	mock->granule_shift = __ffs(mock->personality->pgsizes);
	INIT_LIST_HEAD(&mock->devices);
	mutex_init(&mock->device_lock);
	/* As real drivers, have the page table paid for by who maps. */
	xa_init_flags(&mock->entries, XA_FLAGS_ACCOUNT);

	mock->domain.type = IOMMU_DOMAIN_UNMANAGED;
	mock->domain.ops = &mock_paging_ops;
	mock->domain.dirty_ops = request->has_dirty ? &mock_dirty_ops : NULL;
	mock->domain.pgsize_bitmap = mock->personality->pgsizes;
	mock->domain.geometry.aperture_start = windows.first_iova;
	mock->domain.geometry.aperture_end = windows.last_iova;
	mock->domain.geometry.force_aperture = true;
	return &mock->domain;
}

/**
 * mock_domain_kind - what kind of device was it made for?
 * @domain: one of ours
 *
 * Context: Any.
 * Return: the kind.
 */
enum mock_kind mock_domain_kind(struct iommu_domain *domain)
{
	return to_mock(domain)->kind;
}

/**
 * mock_domain_is_ours - is this a paging domain of the mock?
 * @domain: any domain
 *
 * Context: Any.
 * Return: whether it is.
 */
bool mock_domain_is_ours(const struct iommu_domain *domain)
{
	return domain->ops == &mock_paging_ops;
}

/**
 * mock_domain_count_nested - a nested domain comes or goes
 * @domain: one of ours, on which it is nested
 * @change: 1 or -1
 *
 * Whether this is a parent at all, and which domain goes first, is for who calls the
 * driver to get right: so this complains, and does not refuse.
 *
 * Context: Any.
 */
void mock_domain_count_nested(struct iommu_domain *domain, int change)
{
	struct mock_domain *mock = to_mock(domain);

	if (!mock->is_parent)
		mock_complain(mock, 0, "nested on what was not made a parent");
	atomic_add(change, &mock->nr_nested);
}
