// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interval trees in 8 bytes; see span_tree.h.
 *
 * Their nodes are kept as the kernel's functions keep them, which then search among
 * them: each node knows the highest end in its subtree.
 */
#include <linux/rbtree_augmented.h>

#include "span_tree.h"

#define to_span(ptr) rb_entry(ptr, struct interval_tree_node, rb)

static inline unsigned long span_last(const struct interval_tree_node *span)
{
	return span->last;
}

RB_DECLARE_CALLBACKS_MAX(static, last_callbacks, struct interval_tree_node, rb,
			 unsigned long, __subtree_last, span_last)

/**
 * span_tree_insert_among() - span_tree_insert() without its shortcut
 * @tree: the tree
 * @span: the range, in no tree, its start and last set
 *
 * Context: any, under what guards the tree.
 */
void span_tree_insert_among(struct span_tree *tree,
			    struct interval_tree_node *span)
{
	struct rb_node **link = &tree->root.rb_node;
	struct rb_node *parent = NULL;

	while (*link) {
		parent = *link;
		if (span->start < to_span(parent)->start)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	span->__subtree_last = span->last;
	rb_link_node(&span->rb, parent, link);
	last_callbacks_propagate(parent, NULL);
	rb_insert_augmented(&span->rb, &tree->root, &last_callbacks);
}

/**
 * span_tree_remove_of_many() - span_tree_remove() without its shortcut
 * @tree: the tree
 * @span: the range, in the tree
 *
 * Context: any, under what guards the tree.
 */
void span_tree_remove_of_many(struct span_tree *tree,
			      struct interval_tree_node *span)
{
	rb_erase_augmented(&span->rb, &tree->root, &last_callbacks);
}

/**
 * span_tree_first_of_many() - span_tree_first() without its shortcuts
 * @tree: the tree
 * @start: first index of the other range
 * @last: last index of the other range, inclusive
 *
 * Context: any, under what guards the tree.
 * Return: the lowest range that meets the other, or NULL.
 */
struct interval_tree_node *span_tree_first_of_many(const struct span_tree *tree,
						   unsigned long start,
						   unsigned long last)
{
	struct rb_root_cached cached = {
		.rb_root = tree->root,
		.rb_leftmost = rb_first(&tree->root),
	};

	return interval_tree_iter_first(&cached, start, last);
}
