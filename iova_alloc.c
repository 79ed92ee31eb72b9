// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ranges in use, and the search for an unused one; see iova_alloc.h.
 *
 * Words: a *gap* is a maximal unused range between two neighbours in the map, or
 * at either end of the address space. A *window* is a range free of reservations
 * within one allowed range: gaps are clipped to it. A *hole* is a gap clipped to
 * a window.
 *
 * Every node knows the largest gap in its subtree, so the next gap of some size
 * is O(log n) steps away. But a gap's size does not tell whether an aligned range
 * fits into it: among 10000 gaps of 6 KiB there may be none with an aligned 4 KiB
 * page, and looking at each of them in every search would cost a hundred times
 * the rest of a map. So there are three stages:
 *
 *  1. Look at the few lowest holes that are large enough. Where addresses and
 *     lengths are multiples of one page size, as they mostly are, the first fits.
 *  2. Take the lowest hole that fits in any case, because it has room for the
 *     alignment as well.
 *  3. There is none: look at all that are large enough. Only an address space
 *     that is nearly full gets here.
 *
 * The result is the lowest fitting hole in stages 1 and 3. In stage 2 it may be
 * a higher one, which is the price.
 */
#include <linux/align.h>
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/interval_tree.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/rbtree_augmented.h>

#include "iova_alloc.h"

/* Holes that stage 1 looks at; each costs about as much as stage 2. */
#define NEAR_HOLES 4

#define to_iova_node(ptr) rb_entry(ptr, struct iova_node, rb)

static inline unsigned long node_gap_bytes(const struct iova_node *node)
{
	return node->gap_bytes;
}

RB_DECLARE_CALLBACKS_MAX(static, gap_callbacks, struct iova_node, rb,
			 unsigned long, max_gap_bytes, node_gap_bytes)

/* Put a range into an empty map. */
static void insert_only(struct iova_map *map, struct iova_node *node)
{
	node->gap_bytes = node->first_iova;
	node->max_gap_bytes = node->first_iova;
	node->rb.rb_left = NULL;
	node->rb.rb_right = NULL;
	rb_set_parent_color(&node->rb, NULL, RB_BLACK);
	map->root.rb_node = &node->rb;
	map->highest = node;
}

/* Put a range in between two neighbours; NULL for one that there is not. */
static void insert_between(struct iova_map *map, struct iova_node *node,
			   struct iova_node *below, struct iova_node *above)
{
	struct rb_node *parent;

	if (above)
		above->gap_bytes = above->first_iova - node->last_iova - 1;
	else
		map->highest = node;
	node->gap_bytes = node->first_iova;
	if (below)
		node->gap_bytes -= below->last_iova + 1;
	node->max_gap_bytes = node->gap_bytes;

	/* As there is nothing in between, one of the two has no child on that side. */
	if (below && !below->rb.rb_right) {
		parent = &below->rb;
		rb_link_node(&node->rb, parent, &parent->rb_right);
		if (above)
			gap_callbacks_propagate(&above->rb, NULL);
	} else {
		parent = &above->rb;
		rb_link_node(&node->rb, parent, &parent->rb_left);
	}
	gap_callbacks_propagate(parent, NULL);
	/* A red leaf below a black node: that is in balance. */
	if (!rb_is_black(parent))
		rb_insert_augmented(&node->rb, &map->root, &gap_callbacks);
}

/**
 * iova_map_insert - put a range into use
 * @map: the map
 * @node: the range, in no map
 *
 * Context: Any, under what guards the map.
 * Return: 0, or -EEXIST if part of it is in use.
 */
int iova_map_insert(struct iova_map *map, struct iova_node *node)
{
	struct iova_node *below = map->highest;
	struct iova_node *above = NULL;

	if (!below) {
		insert_only(map, node);
		return 0;
	}
	if (node->first_iova <= below->last_iova) {
		struct rb_node *rb = map->root.rb_node;

		below = NULL;
		do {
			struct iova_node *cur = to_iova_node(rb);

			if (node->last_iova < cur->first_iova) {
				above = cur;
				rb = rb->rb_left;
			} else if (node->first_iova > cur->last_iova) {
				below = cur;
				rb = rb->rb_right;
			} else {
				return -EEXIST;
			}
		} while (rb);
	}
	insert_between(map, node, below, above);
	return 0;
}

/* The range below the highest one, which is nobody's left child. */
static struct iova_node *next_to_highest(struct iova_node *highest)
{
	struct rb_node *rb = highest->rb.rb_left ? rb_prev(&highest->rb) :
						   rb_parent(&highest->rb);

	return rb_entry_safe(rb, struct iova_node, rb);
}

/* A red leaf: without it, the tree is in balance as well. */
static bool is_loose(const struct rb_node *rb)
{
	return !rb->rb_left && !rb->rb_right && rb_is_red(rb);
}

/* The gap above a range that goes. */
static void widen_gap(struct iova_node *above, const struct iova_node *node)
{
	above->gap_bytes += node->gap_bytes +
			    (node->last_iova - node->first_iova) + 1;
}

static void erase_loose(struct iova_map *map, struct iova_node *node)
{
	struct rb_node *parent = rb_parent(&node->rb);

	if (parent->rb_left == &node->rb) {
		/* So it is the next one above. */
		parent->rb_left = NULL;
		widen_gap(to_iova_node(parent), node);
	} else if (node == map->highest) {
		parent->rb_right = NULL;
		map->highest = to_iova_node(parent);
	} else {
		struct iova_node *above = iova_map_next(node);

		parent->rb_right = NULL;
		widen_gap(above, node);
		gap_callbacks_propagate(&above->rb, NULL);
	}
	gap_callbacks_propagate(parent, NULL);
}

static void erase_any(struct iova_map *map, struct iova_node *node)
{
	/* While the tree is whole; erasing keeps the rest in order. */
	if (node == map->highest) {
		map->highest = next_to_highest(node);
		if (!map->highest) {
			map->root = RB_ROOT;
			return;
		}
	} else {
		struct iova_node *above = iova_map_next(node);

		widen_gap(above, node);
		gap_callbacks_propagate(&above->rb, NULL);
	}
	rb_erase_augmented(&node->rb, &map->root, &gap_callbacks);
}

/**
 * iova_map_erase - put a range out of use
 * @map: the map
 * @node: the range, in the map
 *
 * Context: Any, under what guards the map.
 */
void iova_map_erase(struct iova_map *map, struct iova_node *node)
{
	if (is_loose(&node->rb))
		erase_loose(map, node);
	else
		erase_any(map, node);
}

/**
 * iova_map_find_from - the lowest range that does not end below an address
 * @map: the map
 * @iova: the address
 *
 * Context: Any, under what guards the map.
 * Return: the range with the lowest @last_iova at or above @iova, or NULL.
 */
struct iova_node *iova_map_find_from(const struct iova_map *map,
				     unsigned long iova)
{
	struct rb_node *rb = map->root.rb_node;
	struct iova_node *found = map->highest;

	if (!found)
		return NULL;
	/* All others end below it. */
	if (iova >= found->first_iova)
		return iova <= found->last_iova ? found : NULL;
	do {
		struct iova_node *cur = to_iova_node(rb);

		if (cur->last_iova >= iova) {
			found = cur;
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	} while (rb);
	return found;
}

/**
 * iova_map_find - the lowest range that meets another
 * @map: the map
 * @first_iova: lowest address of the other
 * @last_iova: highest address of the other
 *
 * Context: Any, under what guards the map.
 * Return: the range, or NULL.
 */
struct iova_node *iova_map_find(const struct iova_map *map,
				unsigned long first_iova,
				unsigned long last_iova)
{
	struct iova_node *node = iova_map_find_from(map, first_iova);

	return node && node->first_iova <= last_iova ? node : NULL;
}

/* An inclusive range: a window or a hole. */
struct span {
	unsigned long first;
	unsigned long last;
};

static bool subtree_has_gap(const struct rb_node *rb, unsigned long bytes)
{
	return rb && to_iova_node(rb)->max_gap_bytes >= bytes;
}

/* The lowest node of a subtree with a gap of @bytes, which there is. */
static struct iova_node *lowest_with_gap(struct rb_node *rb,
					 unsigned long bytes)
{
	for (;;) {
		while (subtree_has_gap(rb->rb_left, bytes))
			rb = rb->rb_left;
		if (to_iova_node(rb)->gap_bytes >= bytes)
			return to_iova_node(rb);
		rb = rb->rb_right;
	}
}

/* The next node above @node with a gap of @bytes, or NULL. */
static struct iova_node *next_with_gap(struct iova_node *node,
				       unsigned long bytes)
{
	struct rb_node *rb = &node->rb;

	while (!subtree_has_gap(rb->rb_right, bytes)) {
		struct rb_node *child;

		/* Done with this subtree; go up to what is above it. */
		do {
			child = rb;
			rb = rb_parent(child);
			if (!rb)
				return NULL;
		} while (child == rb->rb_right);
		if (to_iova_node(rb)->gap_bytes >= bytes)
			return to_iova_node(rb);
	}
	return lowest_with_gap(rb->rb_right, bytes);
}

/* Clip the gap from @first up to @above, the next node, to what is in @window. */
static bool clip_gap(const struct span *window, unsigned long first,
		     const struct iova_node *above, struct span *hole)
{
	if (above && !above->first_iova)
		return false;
	hole->first = max(first, window->first);
	hole->last = above ? min(above->first_iova - 1, window->last) :
			     window->last;
	return hole->first <= hole->last;
}

static bool is_large_enough(const struct span *span, unsigned long bytes)
{
	return span->last - span->first >= bytes - 1;
}

/* The hole of a window that is above the highest node. */
static bool top_hole(const struct iova_map *map, const struct span *window,
		     struct span *hole)
{
	const struct iova_node *highest = map->highest;

	if (!highest)
		return clip_gap(window, 0, NULL, hole);
	return highest->last_iova < window->last &&
	       clip_gap(window, highest->last_iova + 1, NULL, hole);
}

/* Find the lowest hole of @bytes in @window. */
static bool first_hole(const struct iova_map *map, const struct span *window,
		       unsigned long bytes, struct span *hole)
{
	struct iova_node *node = NULL;

	/* Mostly there are no gaps; a window makes none larger than it is. */
	if (subtree_has_gap(map->root.rb_node, bytes))
		node = iova_map_find_from(map, window->first);
	/* The window's lower end cuts this gap: its size says nothing yet. */
	if (node && clip_gap(window, window->first, node, hole) &&
	    is_large_enough(hole, bytes))
		return true;
	if (node)
		node = next_with_gap(node, bytes);
	if (!node)
		return top_hole(map, window, hole) &&
		       is_large_enough(hole, bytes);
	return clip_gap(window, node->first_iova - node->gap_bytes, node,
			hole) && is_large_enough(hole, bytes);
}

/* Cut @window down to the allowed range that it meets first. */
static bool clip_to_allowed(const struct iova_search *search,
			    struct span *window)
{
	struct interval_tree_node *range;

	if (!search->allowed || RB_EMPTY_ROOT(&search->allowed->rb_root))
		return true;
	range = interval_tree_iter_first(search->allowed, window->first,
					 window->last);
	if (!range)
		return false;
	window->first = max(window->first, range->start);
	window->last = min(window->last, range->last);
	return true;
}

/* Cut @window down to what is below its first reservation. */
static bool clip_to_unreserved(const struct iova_search *search,
			       struct span *window)
{
	struct interval_tree_node *range;

	if (!search->reserved)
		return true;
	for (;;) {
		range = interval_tree_iter_first(search->reserved,
						 window->first, window->last);
		if (!range)
			return true;
		if (range->start > window->first) {
			window->last = range->start - 1;
			return true;
		}
		if (range->last >= window->last)
			return false;
		window->first = range->last + 1;
	}
}

/* Find the lowest window from @from on; may be smaller than what is wanted. */
static bool first_window(const struct iova_search *search, unsigned long from,
			 struct span *window)
{
	while (from <= search->last_limit) {
		window->first = from;
		window->last = search->last_limit;
		if (!clip_to_allowed(search, window))
			return false;
		if (clip_to_unreserved(search, window))
			return true;
		/* The allowed range is reserved to its end. */
		if (window->last >= search->last_limit)
			return false;
		from = window->last + 1;
	}
	return false;
}

/* Does what is wanted fit into @hole? Aligning must not wrap. */
static bool fits(const struct iova_search *search, const struct span *hole,
		 unsigned long *out_iova)
{
	unsigned long mask = search->alignment - 1;
	unsigned long iova;

	if (check_add_overflow(hole->first, mask, &iova))
		return false;
	iova &= ~mask;
	if (iova > hole->last || hole->last - iova < search->length - 1)
		return false;
	*out_iova = iova;
	return true;
}

/*
 * Look at up to @max_holes (if not 0) holes of @bytes from @from on, in
 * ascending order. On -EAGAIN the search can go on at @search->resume_iova.
 */
static int find_among(struct iova_search *search, unsigned long bytes,
		      unsigned long from, unsigned int max_holes,
		      unsigned long *out_iova)
{
	struct span window, hole;

	while (first_window(search, from, &window)) {
		while (first_hole(search->map, &window, bytes, &hole)) {
			if (fits(search, &hole, out_iova))
				return 0;
			if (max_holes && !--max_holes) {
				search->resume_iova = hole.last + 1;
				return hole.last == ULONG_MAX ? -ENOSPC :
								-EAGAIN;
			}
			if (hole.last == window.last)
				break;
			window.first = hole.last + 1;
		}
		if (window.last == ULONG_MAX)
			break;
		from = window.last + 1;
	}
	return -ENOSPC;
}

/* The three stages. */
static int find_anew(struct iova_search *search, unsigned long *out_iova)
{
	unsigned long roomy;
	int rc;

	rc = find_among(search, search->length, search->first_limit, NEAR_HOLES,
			out_iova);
	if (rc != -EAGAIN)
		return rc;

	if (!check_add_overflow(search->length, search->alignment - 1, &roomy) &&
	    !find_among(search, roomy, search->resume_iova, 0, out_iova))
		return 0;

	return find_among(search, search->length, search->resume_iova,
			  search->max_gaps, out_iova);
}

/**
 * iova_alloc_find - find an unused range
 * @search: what is wanted; only @resume_iova is changed
 * @out_iova: the lowest address of the range found
 *
 * Takes O(log n) steps in a map of n ranges, times the number of reserved and
 * allowed ranges met, as long as there is some hole with room for @length plus
 * @alignment. Otherwise all holes of @length may have to be looked at. A caller
 * that sets @max_gaps can give others a chance meanwhile: on -EAGAIN it drops its
 * lock and calls again with the same structure. Ranges that became unused behind
 * the search's back are then not found.
 *
 * Nothing is put into use: the result is good until the map changes.
 *
 * Context: Any, under what guards the map.
 * Return: 0; -ENOSPC if no hole fits, -EAGAIN to go on.
 */
int iova_alloc_find(struct iova_search *search, unsigned long *out_iova)
{
	int rc;

	if (search->resume_iova)
		rc = find_among(search, search->length, search->resume_iova,
				search->max_gaps, out_iova);
	else
		rc = find_anew(search, out_iova);
	if (rc != -EAGAIN)
		search->resume_iova = 0;
	return rc;
}

#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
static unsigned long child_max_gap_bytes(const struct rb_node *rb)
{
	return rb ? to_iova_node(rb)->max_gap_bytes : 0;
}

/**
 * iova_map_assert - derive everything in a map anew
 * @map: the map
 *
 * Context: Any, under what guards the map.
 * Return: whether the map is in order; warns if not.
 */
bool iova_map_assert(const struct iova_map *map)
{
	unsigned long end_below = 0;
	struct rb_node *rb;

	if (WARN_ON(map->highest != rb_entry_safe(rb_last(&map->root),
						  struct iova_node, rb)))
		return false;
	for (rb = rb_first(&map->root); rb; rb = rb_next(rb)) {
		const struct iova_node *node = to_iova_node(rb);
		unsigned long max_gap_bytes =
			max3(node->gap_bytes, child_max_gap_bytes(rb->rb_left),
			     child_max_gap_bytes(rb->rb_right));

		/* A range behind one that ends at ULONG_MAX is one too many. */
		if (WARN_ON(rb != rb_first(&map->root) && !end_below) ||
		    WARN_ON(node->first_iova < end_below) ||
		    WARN_ON(node->last_iova < node->first_iova) ||
		    WARN_ON(node->gap_bytes != node->first_iova - end_below) ||
		    WARN_ON(node->max_gap_bytes != max_gap_bytes))
			return false;
		end_below = node->last_iova + 1;
	}
	return true;
}
#endif
