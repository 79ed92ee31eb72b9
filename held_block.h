/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block of pages that in-kernel users have pinned: an array of the pages, and how
 * often each is pinned.
 *
 * What was pinned in one call and is given back as a whole is counted in one number
 * for all of the block. What is pinned or given back in other pieces is counted with
 * each page, for which there is room in every block: so to count cannot fail.
 */
#ifndef __IOMMUFD_HELD_BLOCK_H
#define __IOMMUFD_HELD_BLOCK_H

#include <linux/rbtree.h>
#include <linux/types.h>

struct page;

/**
 * struct iopt_held_block - neighbouring pages, of which accesses have pinned some
 * @node: in iopt_held.blocks
 * @first_index: index of its first page
 * @npages: how many
 * @pins: pins on each page, beside those counted with it
 * @nr_counted: pages with pins that are counted with them
 * @has_counts: the numbers behind @pages mean something; otherwise they are all 0
 * @pages: each page that is pinned. A u32 for each follows: the pins on it
 */
struct iopt_held_block {
	struct rb_node node;
	unsigned long first_index;
	u32 npages;
	u32 pins;
	u32 nr_counted;
	bool has_counts;
	struct page *pages[];
};

struct iopt_held_block *iopt_block_alloc(unsigned long first_index,
					 unsigned long npages);
u32 iopt_block_stretch(const struct iopt_held_block *block, u32 i, u32 npages,
		       u32 pins);
u32 iopt_block_pin(struct iopt_held_block *block, u32 i, u32 npages);
void iopt_block_unpin_some(struct iopt_held_block *block, u32 i, u32 npages);

static inline unsigned long
iopt_block_last(const struct iopt_held_block *block)
{
	return block->first_index + block->npages - 1;
}

/* Pages from an index on that are in the block and not behind another index. */
static inline u32 iopt_block_within(const struct iopt_held_block *block,
				    unsigned long index,
				    unsigned long last_index)
{
	return min(last_index, iopt_block_last(block)) - index + 1;
}

/* Pins counted with each page, if @block->has_counts. */
static inline u32 *iopt_block_counts(const struct iopt_held_block *block)
{
	return (u32 *)(block->pages + block->npages);
}

/* How often is a page pinned? */
static inline u32 iopt_block_pins(const struct iopt_held_block *block, u32 i)
{
	return block->pins +
	       (block->has_counts ? iopt_block_counts(block)[i] : 0);
}

/**
 * iopt_block_has_more() - does a page have more than so many pins?
 * @block: the block
 * @i: the page, counted from the start of the block
 * @npages: pages of interest from @i on; lowered to those with the same answer
 * @pins: so many
 *
 * Context: any in which nobody changes the pins of these pages.
 * Return: whether it has.
 */
static inline bool iopt_block_has_more(const struct iopt_held_block *block,
				       u32 i, u32 *npages, u32 pins)
{
	if (block->has_counts && *npages != 1)
		*npages = iopt_block_stretch(block, i, *npages, pins);
	return iopt_block_pins(block, i) > pins;
}

/**
 * iopt_block_unpin() - give up one pin of each of some pages of a block
 * @block: the block
 * @i: the first page, counted from the start of the block
 * @npages: how many, all in it and pinned
 *
 * Context: nobody else changes any pins of the block; needs no memory.
 */
static inline void iopt_block_unpin(struct iopt_held_block *block, u32 i,
				    u32 npages)
{
	if (npages == block->npages && block->pins)
		block->pins--;
	else
		iopt_block_unpin_some(block, i, npages);
}

static inline bool iopt_block_is_unused(const struct iopt_held_block *block)
{
	return !block->pins && !block->nr_counted;
}

#endif
