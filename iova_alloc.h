/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ranges of an IO address space that are in use, and the search for one that
 * is not.
 *
 * struct iova_map is a tree of ranges that do not overlap. Each range is a
 * struct iova_node inside a larger structure of the caller's. Inserting, erasing
 * and searching take O(log n) steps and allocate nothing.
 *
 * The caller provides locking: inserting and erasing exclude everything else,
 * the other functions exclude only these two.
 */
#ifndef __IOMMUFD_IOVA_ALLOC_H
#define __IOMMUFD_IOVA_ALLOC_H

#include <linux/rbtree.h>
#include <linux/types.h>

/**
 * struct iova_node - a used range
 * @first_iova: lowest address
 * @last_iova: highest address
 * @rb: place in the map
 * @gap_bytes: unused bytes between this range and the one below it, or address 0
 * @max_gap_bytes: the largest @gap_bytes of the nodes from here downward
 *
 * The caller sets the two addresses before iova_map_insert() and leaves all
 * members alone from then on.
 *
 * @gap_bytes could do without a word of its own, as the distance to rb_prev().
 * But the search asks for it at every level, and rb_prev() takes as many steps as
 * there are levels below: 8 bytes buy O(log n) instead of its square.
 */
struct iova_node {
	struct rb_node rb;
	unsigned long first_iova;
	unsigned long last_iova;
	unsigned long gap_bytes;
	unsigned long max_gap_bytes;
};

/**
 * struct iova_map - the used ranges
 * @root: of the tree of struct iova_node
 * @highest: the node with the highest addresses, NULL if there is none
 *
 * Mostly ranges come one above the other, and those that came last go first. With
 * @highest that takes no way down the tree, however many there are.
 */
struct iova_map {
	struct rb_root root;
	struct iova_node *highest;
};

#define IOVA_MAP_INIT { .root = RB_ROOT }

/**
 * iova_map_init - make an empty map
 * @map: the map
 *
 * Context: Any.
 */
static inline void iova_map_init(struct iova_map *map)
{
	*map = (struct iova_map)IOVA_MAP_INIT;
}

/**
 * iova_map_is_empty - is nothing in use?
 * @map: the map
 *
 * Context: Any, under what guards the map.
 * Return: whether nothing is.
 */
static inline bool iova_map_is_empty(const struct iova_map *map)
{
	return RB_EMPTY_ROOT(&map->root);
}

int iova_map_insert(struct iova_map *map, struct iova_node *node);
void iova_map_erase(struct iova_map *map, struct iova_node *node);

struct iova_node *iova_map_find_from(const struct iova_map *map,
				     unsigned long iova);
struct iova_node *iova_map_find(const struct iova_map *map,
				unsigned long first_iova,
				unsigned long last_iova);

/**
 * iova_map_next - the next higher range
 * @node: a range in a map
 *
 * Context: Any, under what guards the map.
 * Return: that range, or NULL after the highest.
 */
static inline struct iova_node *iova_map_next(const struct iova_node *node)
{
	return rb_entry_safe(rb_next(&node->rb), struct iova_node, rb);
}

/**
 * struct iova_search - what kind of unused range is wanted
 * @map: ranges in use
 * @reserved: tree of struct interval_tree_node: ranges not to be used; they may
 *	overlap each other. NULL if there are none
 * @allowed: likewise: if not empty, the result lies within one of these; they do
 *	not overlap. NULL if there are none
 * @first_limit: lowest address to use
 * @last_limit: highest address to use
 * @length: bytes wanted, at least 1
 * @alignment: power of two that the result is a multiple of
 * @max_gaps: unused ranges to look at before iova_alloc_find() returns -EAGAIN;
 *	0 for any number
 * @resume_iova: where to go on after -EAGAIN; to be 0 at first
 *
 * The last member is the search's own: the caller sets it to 0 once and for all.
 */
struct iova_search {
	const struct iova_map *map;
	struct rb_root_cached *reserved;
	struct rb_root_cached *allowed;
	unsigned long first_limit;
	unsigned long last_limit;
	unsigned long length;
	unsigned long alignment;
	unsigned int max_gaps;
	unsigned long resume_iova;
};

int iova_alloc_find(struct iova_search *search, unsigned long *out_iova);

#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
bool iova_map_assert(const struct iova_map *map);
#else
static inline bool iova_map_assert(const struct iova_map *map)
{
	return true;
}
#endif

#endif
