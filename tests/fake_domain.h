/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fake IOMMU driver for KUnit tests: one page table, one IOTLB, no device.
 *
 * It does what drivers of 6.12 do at their worst, each personality in its own
 * way, and fails the test when it is used against the contract in domain_io.h
 * or against the rule that a page stays pinned until the IOTLB has been flushed
 * of it.
 */
#ifndef __IOMMUFD_TESTS_FAKE_DOMAIN_H
#define __IOMMUFD_TESTS_FAKE_DOMAIN_H

#include <linux/iommu.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>

struct kunit;

/**
 * enum fake_personality - the drivers that are imitated
 * @FAKE_VTD: ignores the page size it is told and merges what one call maps
 *	into the largest leaves possible; a call that fails says that it mapped
 *	nothing, and leaves behind what it wrote
 * @FAKE_AMD: has leaves of any power of two; a call that fails says how far it
 *	came
 * @FAKE_ARM: few leaf sizes; flushes whenever the leaf size changes, and nothing at
 *	all if it is not told the leaf size, as after a read of dirty bits
 * @FAKE_VIRTIO: what one call maps is one leaf, which is only unmapped whole
 */
enum fake_personality {
	FAKE_VTD,
	FAKE_AMD,
	FAKE_ARM,
	FAKE_VIRTIO,
};

#define FAKE_NR_PERSONALITIES (FAKE_VIRTIO + 1)

/**
 * struct fake_domain - a domain of the fake driver
 * @domain: to be handed to the code under test; geometry and page sizes may be
 *	changed before
 * @test: the test that fails on a violation
 * @personality: see there
 * @lock: guards the trees and the counters
 * @leaves: the page table, struct fake_leaf by IOVA
 * @stale: leaves unmapped that the IOTLB still holds
 * @mapped_bytes: bytes in @leaves
 * @nr_maps: calls of map_pages so far
 * @nr_unmaps: calls of unmap_pages so far
 * @nr_flushes: flushes of the IOTLB so far, of a range or of all
 * @nr_reads: calls of iova_to_phys so far
 * @fail_map: so many map calls from now on one fails; 0 for none
 * @nr_dirty_reads: calls of read_and_clear_dirty so far
 * @fail_unmap: so many unmap calls from now on one does nothing; 0 for none
 * @fail_dirty: so many reads of dirty bits from now on one stops half way; 0 for none
 * @violations: how often the contract was broken
 * @small_pages: whether no leaf is to be larger than a page; what one call mapped can
 *	be unmapped in part then, if the driver has page tables. NULL: never
 * @small_leaves: map all with the smallest leaves, whatever was asked for
 * @unpinned: the addresses are made up: do not look at the pages
 * @tolerant: count violations, do not fail the test
 * @tracks_dirty: dirty tracking is on
 * @keeps: it is freed with what it refused to unmap
 * @yields: let others run at random moments
 */
struct fake_domain {
	struct iommu_domain domain;
	struct kunit *test;
	enum fake_personality personality;
	spinlock_t lock; /* leaves, stale, counters */
	struct rb_root_cached leaves;
	struct rb_root_cached stale;
	unsigned long mapped_bytes;
	unsigned int nr_maps;
	unsigned int nr_unmaps;
	unsigned int nr_flushes;
	unsigned int nr_reads;
	unsigned int fail_map;
	unsigned int nr_dirty_reads;
	unsigned int fail_unmap;
	unsigned int fail_dirty;
	unsigned int violations;
	const bool *small_pages;
	bool small_leaves;
	bool unpinned;
	bool tolerant;
	bool tracks_dirty;
	bool keeps;
	bool yields;
};

/**
 * struct fake_view - what a test sees of a leaf
 * @first_iova: first IOVA
 * @last_iova: last IOVA, inclusive
 * @dirty: somebody wrote to it
 */
struct fake_view {
	unsigned long first_iova;
	unsigned long last_iova;
	bool dirty;
};

struct fake_domain *fake_domain_make(struct kunit *test,
				     enum fake_personality personality);
void fake_domain_free(struct fake_domain *fake);
void fake_domain_abandon(struct fake_domain *fake);
void fake_domain_check(struct fake_domain *fake);
unsigned int fake_domain_count_leaves(struct fake_domain *fake);
phys_addr_t fake_domain_lookup(struct fake_domain *fake, unsigned long iova);
void fake_domain_write(struct fake_domain *fake, unsigned long iova);
bool fake_domain_view(struct fake_domain *fake, unsigned long iova,
		      struct fake_view *view);
void fake_let_others_run(void);
const char *fake_personality_name(enum fake_personality personality);

#endif
