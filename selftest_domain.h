/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page tables of the mock IOMMU: what the files have to know that work on them.
 *
 *	selftest_domain.c	map, unmap, flush, and the personalities
 *	selftest_dirty.c	device table, dirty bits
 */
#ifndef __IOMMUFD_SELFTEST_DOMAIN_H
#define __IOMMUFD_SELFTEST_DOMAIN_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/xarray.h>

#include "selftest.h"

/* The I/O page of the ABI: smaller than the CPU's, as some IOMMUs have it. */
#define MOCK_EXACT_PAGE (PAGE_SIZE / 2)
#define MOCK_EXACT_HUGE (512 * MOCK_EXACT_PAGE)

/*
 * An entry is the physical address, which has its low bits to spare, shifted to
 * where xarray does not use them.
 */
#define MOCK_ENTRY_FIRST	BIT(0)	/* of a leaf */
#define MOCK_ENTRY_LAST		BIT(1)
#define MOCK_ENTRY_STALE	BIT(2)	/* unmapped, and in the IOTLB */
#define MOCK_ENTRY_DIRTY	BIT(3)
#define MOCK_ENTRY_NOTED	BIT(4)	/* dirty, says the IOTLB */
#define MOCK_ENTRY_FLAGS	GENMASK(4, 0)
#define MOCK_ENTRY_SHIFT	4
static_assert(MOCK_ENTRY_FLAGS << MOCK_ENTRY_SHIFT < MOCK_EXACT_PAGE);

struct mock_domain;

/* Part of a map call: from where to where, and how much of it is left. */
struct mock_step {
	unsigned long iova;
	phys_addr_t phys;
	size_t pgsize;
	size_t length;
};

/**
 * struct mock_personality - how a driver behaves
 * @name: of the driver
 * @pgsizes: its page sizes
 * @leaf_bytes: how much of a step the driver makes one leaf
 * @borders: MOCK_ENTRY_FIRST and _LAST: an unmap has to begin with the one and end
 *	with the other
 * @table_entries: a map or unmap call ends at the end of a table, of so many pages
 *	of the size asked for; 0 if there is no such border
 * @cleans_up: a map that fails takes back what it has done
 * @reports_partly: a map that fails says what it has done
 * @widens: an unmap goes on to the end of a leaf
 * @passes_holes: an unmap ignores holes
 * @forgets: an unmap that came across a hole says that it has done nothing
 * @takes_no_access: a map can be neither for reading nor for writing
 * @whole_leaves: a leaf has one dirty bit, not one for each of the smallest pages
 */
struct mock_personality {
	const char *name;
	unsigned long pgsizes;
	size_t (*leaf_bytes)(const struct mock_domain *mock,
			     const struct mock_step *step);
	u8 borders;
	unsigned int table_entries;
	bool cleans_up;
	bool reports_partly;
	bool widens;
	bool passes_holes;
	bool forgets;
	bool takes_no_access;
	bool whole_leaves;
};

/**
 * struct mock_domain - a paging domain
 * @domain: for the core
 * @kind: of the device it was made for
 * @personality: how it behaves
 * @coherency: of the device it was made for
 * @enforces: no DMA goes past the caches
 * @is_parent: others can be nested on it
 * @gap_iova: where the gap between its two windows starts
 * @gap_bytes: how long it is, 0 if there is none
 * @granule_shift: log2 of the smallest page
 * @entries: entry by number of the smallest page
 * @devices: those attached, also to domains nested on it, struct mock_table_entry
 * @device_lock: guards @devices, and changes of @tracks_dirty
 * @nr_nested: so many domains are nested on it
 * @nr_at_work: so many calls are under way that change or flush the page table, or read
 *	its dirty bits, or switch the tracking of dirty pages
 * @nr_moving: and so many for a device that comes or goes, which exclude the others
 * @next_iova: where the last map call ended
 * @nr_adjoining: so many calls have gone on where another ended
 * @tracks_dirty: dirty pages are being tracked
 * @has_stuck: an unmap failed because the test wanted it to
 */
struct mock_domain {
	struct iommu_domain domain;
	enum mock_kind kind;
	const struct mock_personality *personality;
	enum mock_coherency coherency;
	bool enforces;
	bool is_parent;
	unsigned long gap_iova;
	unsigned long gap_bytes;
	unsigned int granule_shift;
	struct xarray entries;
	struct list_head devices;
	struct mutex device_lock; /* devices, tracks_dirty */
	atomic_t nr_nested;
	atomic_t nr_at_work;
	atomic_t nr_moving;
	unsigned long next_iova;
	unsigned int nr_adjoining;
	bool tracks_dirty;
	bool has_stuck;
};

static inline struct mock_domain *to_mock(struct iommu_domain *domain)
{
	return container_of(domain, struct mock_domain, domain);
}

static inline unsigned long mock_granule(const struct mock_domain *mock)
{
	return 1UL << mock->granule_shift;
}

/* What no test survives. */
static inline void mock_complain(const struct mock_domain *mock,
				 unsigned long iova, const char *what)
{
	WARN(1, "iommufd mock, %s personality: %s, IOVA %#lx\n",
	     mock->personality->name, what, iova);
}

/*
 * Calls for the page table and for a device that comes or goes exclude each other:
 * whoever of them comes second complains, so each counts itself before it looks.
 */
static inline void mock_begin_work(struct mock_domain *mock)
{
	atomic_inc(&mock->nr_at_work);
	/* Pairs with that of mock_begin_move(). */
	smp_mb__after_atomic();
	if (atomic_read(&mock->nr_moving))
		mock_complain(mock, 0, "at work while a device comes or goes");
}

static inline void mock_end_work(struct mock_domain *mock)
{
	atomic_dec(&mock->nr_at_work);
}

static inline void mock_begin_move(struct mock_domain *mock)
{
	atomic_inc(&mock->nr_moving);
	/* Pairs with that of mock_begin_work(). */
	smp_mb__after_atomic();
	if (atomic_read(&mock->nr_at_work))
		mock_complain(mock, 0, "a device comes or goes while it is at work");
}

static inline void mock_end_move(struct mock_domain *mock)
{
	atomic_dec(&mock->nr_moving);
}

DEFINE_GUARD(mock_work, struct mock_domain *, mock_begin_work(_T), mock_end_work(_T))
DEFINE_GUARD(mock_move, struct mock_domain *, mock_begin_move(_T), mock_end_move(_T))

static inline unsigned long mock_index(const struct mock_domain *mock,
				       unsigned long iova)
{
	return iova >> mock->granule_shift;
}

/* 0 is no entry: it would have to be a leaf without an end at address 0. */
static inline unsigned long mock_load(struct mock_domain *mock,
				      unsigned long iova)
{
	void *slot = xa_load(&mock->entries, mock_index(mock, iova));

	return slot ? xa_to_value(slot) : 0;
}

static inline bool mock_is_mapped(unsigned long entry)
{
	return entry && !(entry & MOCK_ENTRY_STALE);
}

/* selftest_dirty.c */
extern const struct iommu_dirty_ops mock_dirty_ops;
void mock_flush_dirty(struct mock_domain *mock, unsigned long iova,
		      unsigned long entry);

#endif
