// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserved ranges: IOVA at which nothing may be mapped.
 *
 * Every reserved range has an owner, a pointer that is only compared: a device
 * that has its interrupts there, a domain that has no page table there. Ranges of
 * different owners and of one owner may overlap. They do not move an area out of
 * the way, whatever state it is in: an area that is being mapped or unmapped is in
 * some domain, or about to be.
 */
#include <linux/device.h>
#include <linux/interval_tree.h>
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "iommu-priv.h"

#include "io_pagetable.h"
#include "test_hooks.h"

/* Ranges to be reserved, all or none. */
struct iopt_reservation {
	struct list_head ranges;
	const void *owner;
};

static int iopt_reservation_add(struct iopt_reservation *reservation,
				unsigned long first_iova,
				unsigned long last_iova)
{
	struct iopt_reserved *reserved;

	reserved = kzalloc(sizeof(*reserved), GFP_KERNEL_ACCOUNT);
	if (!reserved)
		return -ENOMEM;

	reserved->node.start = first_iova;
	reserved->node.last = last_iova;
	reserved->owner = reservation->owner;
	list_add_tail(&reserved->item, &reservation->ranges);
	return 0;
}

static void iopt_reservation_free(struct iopt_reservation *reservation)
{
	struct iopt_reserved *reserved, *next;

	list_for_each_entry_safe(reserved, next, &reservation->ranges, item)
		kfree(reserved);
}

static bool iopt_reserved_is_in_use(struct io_pagetable *iopt,
				    const struct iopt_reserved *reserved)
{
	unsigned long first_iova = reserved->node.start;
	unsigned long last_iova = reserved->node.last;

	return iova_map_find(&iopt->areas, first_iova, last_iova) ||
	       interval_tree_iter_first(&iopt->allowed, first_iova, last_iova);
}

/* Return: 0 with the ranges handed over, or -EADDRINUSE with nothing done. */
static int iopt_reservation_insert(struct io_pagetable *iopt,
				   struct iopt_reservation *reservation)
{
	struct iopt_reserved *reserved;

	guard(iopt_write)(iopt);
	list_for_each_entry(reserved, &reservation->ranges, item)
		if (iopt_reserved_is_in_use(iopt, reserved))
			return -EADDRINUSE;
	list_for_each_entry(reserved, &reservation->ranges, item)
		interval_tree_insert(&reserved->node, &iopt->reserved);
	iopt->usable = (struct iopt_range){ .first_iova = ULONG_MAX };
	INIT_LIST_HEAD(&reservation->ranges);
	return 0;
}

/**
 * iopt_reserve - forbid mapping anything in a range
 * @iopt: the IOVA map
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 * @owner: for iopt_unreserve(), not NULL
 *
 * Context: Process context, may sleep.
 * Return: 0; -EADDRINUSE if there is an area in it, or an allowed range; -ENOMEM.
 */
int iopt_reserve(struct io_pagetable *iopt, unsigned long first_iova,
		 unsigned long last_iova, const void *owner)
{
	struct iopt_reservation reservation = {
		.ranges = LIST_HEAD_INIT(reservation.ranges),
		.owner = owner,
	};
	int rc;

	rc = iopt_reservation_add(&reservation, first_iova, last_iova);
	if (!rc)
		rc = iopt_reservation_insert(iopt, &reservation);
	iopt_reservation_free(&reservation);
	return rc;
}

/**
 * iopt_reserve_ranges - forbid mapping anything in ranges that need no memory
 * @iopt: the IOVA map
 * @ranges: their first and last IOVA are set; the caller keeps them until
 *	iopt_unreserve(), after which each is RB_EMPTY_NODE()
 * @nr_ranges: how many
 * @owner: as for iopt_reserve()
 *
 * Context: Process context, may sleep.
 * Return: 0; -EADDRINUSE as iopt_reserve(), with none of them reserved.
 */
int iopt_reserve_ranges(struct io_pagetable *iopt, struct iopt_reserved *ranges,
			size_t nr_ranges, const void *owner)
{
	struct iopt_reservation reservation = {
		.ranges = LIST_HEAD_INIT(reservation.ranges),
		.owner = owner,
	};

	for (size_t i = 0; i < nr_ranges; i++) {
		ranges[i].owner = owner;
		ranges[i].is_kept = true;
		list_add_tail(&ranges[i].item, &reservation.ranges);
	}
	return nr_ranges ? iopt_reservation_insert(iopt, &reservation) : 0;
}

static struct iopt_reserved *
to_iopt_reserved(struct interval_tree_node *node)
{
	return container_of(node, struct iopt_reserved, node);
}

/* Remove the ranges of one owner, or all of them if @owner is NULL. */
static void iopt_remove_reserved(struct io_pagetable *iopt, const void *owner)
{
	struct interval_tree_node *node, *next;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	for (node = interval_tree_iter_first(&iopt->reserved, 0, ULONG_MAX);
	     node; node = next) {
		struct iopt_reserved *reserved = to_iopt_reserved(node);

		next = interval_tree_iter_next(node, 0, ULONG_MAX);
		if (owner && reserved->owner != owner)
			continue;
		interval_tree_remove(node, &iopt->reserved);
		if (reserved->is_kept)
			RB_CLEAR_NODE(&node->rb);
		else
			kfree(reserved);
	}
}

/* The highest end of a range and of those on its left side in the tree. */
static unsigned long iopt_reserved_last(const struct rb_node *left,
					const struct interval_tree_node *node)
{
	if (!left)
		return node->last;
	return max(node->last, rb_entry(left, struct interval_tree_node,
					rb)->__subtree_last);
}

/**
 * iopt_find_usable - does a range meet no reserved one?
 * @iopt: the IOVA map
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 *
 * If so, that is remembered of all there is between the next reserved ranges below and
 * above.
 *
 * Context: the map's lock held for writing.
 * Return: true if it meets none.
 */
bool iopt_find_usable(struct io_pagetable *iopt, unsigned long first_iova,
		      unsigned long last_iova)
{
	struct iopt_range usable = { .last_iova = ULONG_MAX };
	struct rb_node *rb = iopt->reserved.rb_root.rb_node;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	while (rb) {
		struct interval_tree_node *node =
			rb_entry(rb, struct interval_tree_node, rb);
		unsigned long last;

		if (node->start > last_iova) {
			usable.last_iova = node->start - 1;
			rb = rb->rb_left;
			continue;
		}
		last = iopt_reserved_last(rb->rb_left, node);
		if (last >= first_iova)
			return false;
		usable.first_iova = max(usable.first_iova, last + 1);
		rb = rb->rb_right;
	}
	iopt->usable = usable;
	return true;
}

/**
 * iopt_unreserve - give back all ranges of an owner
 * @iopt: the IOVA map
 * @owner: as given to iopt_reserve(), or the device of iopt_reserve_device(); may
 *	have none
 *
 * Context: Process context, may sleep. Cannot fail and needs no memory.
 */
void iopt_unreserve(struct io_pagetable *iopt, const void *owner)
{
	guard(iopt_write)(iopt);
	iopt_remove_reserved(iopt, owner);
}

/**
 * iopt_allow_add() - put a range on a list of allowed ranges
 * @list: the list
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 *
 * Context: process; sleeps.
 * Return: 0; -EINVAL if it is not larger than one byte or overlaps another on the
 * list; -ENOMEM.
 */
int iopt_allow_add(struct iopt_allow_list *list, unsigned long first_iova,
		   unsigned long last_iova)
{
	struct interval_tree_node *node;

	if (first_iova >= last_iova ||
	    interval_tree_iter_first(&list->ranges, first_iova, last_iova))
		return -EINVAL;
	node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT);
	if (!node)
		return -ENOMEM;
	node->start = first_iova;
	node->last = last_iova;
	interval_tree_insert(node, &list->ranges);
	return 0;
}

/**
 * iopt_allow_free() - free a list of allowed ranges
 * @list: the list; empty afterwards
 *
 * Context: process.
 */
void iopt_allow_free(struct iopt_allow_list *list)
{
	struct interval_tree_node *node;

	while ((node = interval_tree_iter_first(&list->ranges, 0, ULONG_MAX))) {
		interval_tree_remove(node, &list->ranges);
		kfree(node);
		cond_resched();
	}
}

/**
 * iopt_allow_apply() - replace the ranges that shall stay mappable
 * @iopt: the map
 * @list: the new ranges; the old ones on success
 *
 * Context: process, no lock held.
 * Return: 0; -EADDRINUSE if one of them meets a reserved range: nothing has
 * changed then.
 */
int iopt_allow_apply(struct io_pagetable *iopt, struct iopt_allow_list *list)
{
	struct interval_tree_node *node;

	guard(iopt_write)(iopt);

	for (node = interval_tree_iter_first(&list->ranges, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		if (interval_tree_iter_first(&iopt->reserved, node->start,
					     node->last))
			return -EADDRINUSE;
		cond_resched();
	}
	swap(iopt->allowed, list->ranges);
	return 0;
}

/**
 * iopt_reserve_destroy - give back what is left of reserved and allowed ranges
 * @iopt: an IOVA map without areas and domains
 *
 * Context: Process context, may sleep.
 */
void iopt_reserve_destroy(struct io_pagetable *iopt)
{
	struct iopt_allow_list list = { .ranges = iopt->allowed };

	iopt_allow_free(&list);
	guard(iopt_write)(iopt);
	iopt_remove_reserved(iopt, NULL);
}

/* How often the regions of a device tell of its interrupts. */
struct iopt_msi_count {
	unsigned int nr_hw;
	unsigned int nr_sw;
};

/* The last byte of a region that IOVA can name, of which there is one. */
static unsigned long iopt_region_last(const struct iommu_resv_region *region)
{
	phys_addr_t last = region->start + region->length - 1;

	return last < region->start || last > ULONG_MAX ? ULONG_MAX : last;
}

static void iopt_regions_add(struct iopt_device_regions *regions,
			     const struct iommu_resv_region *region,
			     struct iopt_msi_count *msi)
{
	unsigned long last;

	if (region->type == IOMMU_RESV_MSI)
		msi->nr_hw++;
	else if (region->type == IOMMU_RESV_SW_MSI)
		msi->nr_sw++;

	/* The firmware can do without these when a driver takes over. */
	if (region->type == IOMMU_RESV_DIRECT_RELAXABLE)
		return;
	/* No IOVA that can be named is in it. */
	if (!region->length || region->start > ULONG_MAX)
		return;
	last = iopt_region_last(region);
	if (region->type == IOMMU_RESV_SW_MSI)
		regions->msi_window = (struct iopt_msi_window){
			.is_wanted = true,
			.first_iova = region->start,
			.last_iova = last,
		};
	iopt_range_set(&regions->ranges[regions->nr_ranges++], region->start,
		       last);
}

/*
 * A driver that has no memory for a region leaves it out and says nothing. The
 * window for MSIs is the one that is missed most: with an area in it, devices
 * write their interrupts into the memory of users. So a PCI device without one
 * cannot be attached, unless its driver never reports any: if it reports nothing
 * at all, or on s390, where MSIs do not go through IOVA.
 */
static int iopt_check_msi_regions(struct device *dev,
				  const struct iopt_msi_count *msi)
{
	if (msi->nr_sw > 1 || (msi->nr_sw && msi->nr_hw))
		return -EINVAL;
	if (msi->nr_sw || msi->nr_hw)
		return 0;
	if (!dev_is_pci(dev) || !dev_iommu_ops(dev)->get_resv_regions ||
	    IS_ENABLED(CONFIG_S390))
		return 0;
	return -ENOMEM;
}

/* The second of each range, and none is in a map. */
static void iopt_regions_double(struct iopt_device_regions *regions)
{
	size_t nr = regions->nr_ranges;

	memcpy(regions->ranges + nr, regions->ranges,
	       nr * sizeof(*regions->ranges));
	for (size_t i = 0; i < 2 * nr; i++)
		RB_CLEAR_NODE(&regions->ranges[i].node.rb);
}

/* Return: 0 with @regions filled in, which were zeroed; -EINVAL, -ENOMEM. */
static int iopt_regions_ask(struct iopt_device_regions *regions,
			    struct device *dev)
{
	struct iommu_resv_region *region;
	struct iopt_msi_count msi = {};
	LIST_HEAD(list);
	int rc = -ENOMEM;

	iommu_get_resv_regions(dev, &list);
	regions->ranges = kcalloc(2 * list_count_nodes(&list),
				  sizeof(*regions->ranges), GFP_KERNEL_ACCOUNT);
	if (regions->ranges) {
		list_for_each_entry(region, &list, list)
			iopt_regions_add(regions, region, &msi);
		rc = iopt_check_msi_regions(dev, &msi);
	}
	iommu_put_resv_regions(dev, &list);
	if (rc)
		iopt_forget_regions(regions);
	else
		iopt_regions_double(regions);
	return rc;
}

/* Those ranges of a device that are in no map. */
static struct iopt_reserved *
iopt_regions_spare(const struct iopt_device_regions *regions)
{
	struct iopt_reserved *ranges = regions->ranges;

	if (regions->nr_ranges && !RB_EMPTY_NODE(&ranges->node.rb))
		ranges += regions->nr_ranges;
	WARN_ON(regions->nr_ranges && !RB_EMPTY_NODE(&ranges->node.rb));
	return ranges;
}

/**
 * iopt_reserve_device - forbid mapping anything in the reserved regions of a
 *	device
 * @iopt: the IOVA map
 * @dev: the device; also the owner of the ranges, of which it has some in at most one
 *	other map
 * @regions: what is known of them; asked for if that is nothing
 *
 * Context: Process context, may sleep; one call for a device at a time.
 * Return: 0, or an error with nothing reserved: -EADDRINUSE if there is an area
 * in one of them, or an allowed range; -EINVAL if there is more than one window
 * for MSIs; -ENOMEM, also if the driver had none.
 */
int iopt_reserve_device(struct io_pagetable *iopt, struct device *dev,
			struct iopt_device_regions *regions)
{
	int rc = 0;

	if (iommufd_should_fail())
		return -EINVAL;

	if (!regions->ranges)
		rc = iopt_regions_ask(regions, dev);
	return rc ?: iopt_reserve_ranges(iopt, iopt_regions_spare(regions),
					 regions->nr_ranges, dev);
}

/**
 * iopt_forget_regions - forget what a device has reserved
 * @regions: none of them is in a map; all zero bytes afterwards
 *
 * Context: Process context.
 */
void iopt_forget_regions(struct iopt_device_regions *regions)
{
	kfree(regions->ranges);
	memset(regions, 0, sizeof(*regions));
}

/* A list of ranges that counts on when its array is full. */
struct iopt_range_sink {
	struct iopt_range *ranges;
	size_t max_ranges;
	size_t total;
};

static void iopt_range_sink_add(struct iopt_range_sink *sink,
				unsigned long first_iova,
				unsigned long last_iova)
{
	if (sink->total < sink->max_ranges)
		sink->ranges[sink->total] = (struct iopt_range){
			.first_iova = first_iova,
			.last_iova = last_iova,
		};
	sink->total++;
}

/**
 * iopt_usable_ranges - the holes between the reserved ranges
 * @iopt: the IOVA map
 * @ranges: array to fill from its start, in ascending order
 * @max_ranges: room in @ranges, can be 0
 * @out_alignment: written: bytes that mappings have to be aligned to
 *
 * Context: Process context, may sleep.
 * Return: how many there are, which can be more than @max_ranges.
 */
size_t iopt_usable_ranges(struct io_pagetable *iopt, struct iopt_range *ranges,
			  size_t max_ranges, unsigned long *out_alignment)
{
	struct iopt_range_sink sink = {
		.ranges = ranges,
		.max_ranges = max_ranges,
	};
	struct interval_tree_node *node;
	unsigned long hole_iova = 0;

	guard(rwsem_read)(&iopt->iova_rwsem);
	*out_alignment = iopt->iova_alignment;
	for (node = interval_tree_iter_first(&iopt->reserved, 0, ULONG_MAX);
	     node; node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		if (node->start > hole_iova)
			iopt_range_sink_add(&sink, hole_iova, node->start - 1);
		if (node->last == ULONG_MAX)
			return sink.total;
		hole_iova = max(hole_iova, node->last + 1);
	}
	iopt_range_sink_add(&sink, hole_iova, ULONG_MAX);
	return sink.total;
}
