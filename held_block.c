// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the pins on the pages of a block are counted.
 */
#include <linux/slab.h>

#include "held_block.h"

/*
 * Pins of a page that are counted with it, and those that are counted once for the
 * block: so both together fit where the former are.
 */
#define IOPT_BLOCK_MAX_PINS (U32_MAX / 2)

/**
 * iopt_block_alloc() - make a block in which nothing is pinned
 * @first_index: index of its first page
 * @npages: how many
 *
 * Context: process; sleeps.
 * Return: the block, for kfree(), or NULL if there is no memory.
 */
struct iopt_held_block *iopt_block_alloc(unsigned long first_index,
					 unsigned long npages)
{
	struct iopt_held_block *block;

	block = kmalloc(struct_size(block, pages, npages) +
			npages * sizeof(u32), GFP_KERNEL_ACCOUNT);
	if (!block)
		return NULL;
	block->first_index = first_index;
	block->npages = npages;
	block->pins = 0;
	block->nr_counted = 0;
	block->has_counts = false;
	return block;
}

/**
 * iopt_block_stretch() - for how many pages does iopt_block_has_more() say the same?
 * @block: the block; it has counts
 * @i: the first page, counted from the start of the block
 * @npages: how many are of interest, at least 1
 * @pins: more than so many
 *
 * Context: any in which nobody changes the pins of these pages.
 * Return: so many, at least 1.
 */
u32 iopt_block_stretch(const struct iopt_held_block *block, u32 i, u32 npages,
		       u32 pins)
{
	bool has_more = iopt_block_pins(block, i) > pins;
	u32 n = 1;

	while (n < npages &&
	       (iopt_block_pins(block, i + n) > pins) == has_more)
		n++;
	return n;
}

/* From now on there are numbers that are counted up. */
static u32 *iopt_block_begin_counts(struct iopt_held_block *block)
{
	u32 *counts = iopt_block_counts(block);

	if (!block->has_counts) {
		memset(counts, 0, block->npages * sizeof(*counts));
		block->has_counts = true;
	}
	return counts;
}

/**
 * iopt_block_pin() - one more pin on pages of a block
 * @block: the block
 * @i: the first page, counted from the start of the block
 * @npages: how many, all in it
 *
 * Context: nobody else changes any pins of the block.
 * Return: those that got it: fewer than @npages if one of them has too many.
 */
u32 iopt_block_pin(struct iopt_held_block *block, u32 i, u32 npages)
{
	u32 *counts, done;

	if (npages == block->npages) {
		if (unlikely(block->pins >= IOPT_BLOCK_MAX_PINS))
			return 0;
		block->pins++;
		return npages;
	}
	counts = iopt_block_begin_counts(block) + i;
	for (done = 0; done != npages; done++) {
		if (unlikely(counts[done] >= IOPT_BLOCK_MAX_PINS))
			break;
		if (!counts[done]++)
			block->nr_counted++;
	}
	return done;
}

/* Have pages a pin each that is counted with them? */
static bool iopt_block_are_counted(const struct iopt_held_block *block, u32 i,
				   u32 npages)
{
	const u32 *counts = iopt_block_counts(block) + i;

	if (!block->has_counts)
		return false;
	while (npages && *counts++)
		npages--;
	return !npages;
}

/* The pins that were counted once for all are counted with each page. */
static void iopt_block_spread(struct iopt_held_block *block)
{
	u32 *counts = iopt_block_begin_counts(block);

	for (u32 i = 0; i != block->npages; i++)
		counts[i] += block->pins;
	block->pins = 0;
	block->nr_counted = block->npages;
}

/**
 * iopt_block_unpin_some() - iopt_block_unpin() where pages have numbers of their own
 * @block: as there
 * @i: as there
 * @npages: as there
 *
 * Context: as there.
 */
void iopt_block_unpin_some(struct iopt_held_block *block, u32 i, u32 npages)
{
	u32 *counts;

	if (block->pins && !iopt_block_are_counted(block, i, npages))
		iopt_block_spread(block);
	counts = iopt_block_counts(block) + i;
	for (u32 done = 0; done != npages; done++)
		if (!--counts[done])
			block->nr_counted--;
}
