/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interval trees in 8 bytes, for what every mapping has.
 *
 * The kernel's take 16: they point to the lowest range as well, so as to say without
 * a search that all ranges are above another. What a mapping keeps in such a tree is
 * mostly one range or none. Then that pointer tells nothing new; and with more of
 * them, going down to the lowest takes no longer than the search does.
 *
 * The caller provides locking, but for span_tree_is_empty(). A range is a struct
 * interval_tree_node, and interval_tree_iter_next() finds those that follow.
 */
#ifndef __IOMMUFD_SPAN_TREE_H
#define __IOMMUFD_SPAN_TREE_H

#include <linux/interval_tree.h>
#include <linux/rbtree_augmented.h>

/**
 * struct span_tree - ranges that may overlap; all zero bytes are an empty one
 * @root: of the tree of struct interval_tree_node
 */
struct span_tree {
	struct rb_root root;
};

#define SPAN_TREE_EMPTY ((struct span_tree){ .root = RB_ROOT })

/**
 * span_tree_is_empty() - is there no range?
 * @tree: the tree
 *
 * Context: any.
 * Return: whether there is none; a guess unless what guards the tree is held.
 */
static inline bool span_tree_is_empty(const struct span_tree *tree)
{
	return RB_EMPTY_ROOT(&tree->root);
}

/**
 * span_tree_only() - the range of a tree that has just one
 * @tree: the tree
 *
 * Context: any, under what guards the tree.
 * Return: the range, or NULL if there is none or more than one.
 */
static inline struct interval_tree_node *
span_tree_only(const struct span_tree *tree)
{
	struct rb_node *rb = tree->root.rb_node;

	if (!rb || rb->rb_left || rb->rb_right)
		return NULL;
	return rb_entry(rb, struct interval_tree_node, rb);
}

void span_tree_insert_among(struct span_tree *tree,
			    struct interval_tree_node *span);
void span_tree_remove_of_many(struct span_tree *tree,
			      struct interval_tree_node *span);
struct interval_tree_node *span_tree_first_of_many(const struct span_tree *tree,
						   unsigned long start,
						   unsigned long last);

/**
 * span_tree_insert() - add a range
 * @tree: the tree
 * @span: the range, in no tree, its start and last set
 *
 * Context: any, under what guards the tree.
 */
static inline void span_tree_insert(struct span_tree *tree,
				    struct interval_tree_node *span)
{
	if (!span_tree_is_empty(tree)) {
		span_tree_insert_among(tree, span);
		return;
	}
	span->__subtree_last = span->last;
	span->rb.rb_left = NULL;
	span->rb.rb_right = NULL;
	rb_set_parent_color(&span->rb, NULL, RB_BLACK);
	WRITE_ONCE(tree->root.rb_node, &span->rb);
}

/**
 * span_tree_remove() - take a range out
 * @tree: the tree
 * @span: the range, in the tree
 *
 * Context: any, under what guards the tree.
 */
static inline void span_tree_remove(struct span_tree *tree,
				    struct interval_tree_node *span)
{
	if (span_tree_only(tree) == span)
		*tree = SPAN_TREE_EMPTY;
	else
		span_tree_remove_of_many(tree, span);
}

/**
 * span_tree_first() - the lowest range that meets another
 * @tree: the tree
 * @start: first index of the other
 * @last: last index of the other, inclusive
 *
 * Context: any, under what guards the tree.
 * Return: the range, or NULL.
 */
static inline struct interval_tree_node *
span_tree_first(const struct span_tree *tree, unsigned long start,
		unsigned long last)
{
	struct interval_tree_node *only = span_tree_only(tree);

	if (only)
		return only->start <= last && start <= only->last ? only : NULL;
	if (span_tree_is_empty(tree))
		return NULL;
	return span_tree_first_of_many(tree, start, last);
}

#endif
