// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tier of pages that in-kernel users have pinned: their PFNs, which can thus
 * be told without any domain (I2), and how often each is pinned.
 *
 * It is a tree of blocks with an entry for each page. What a driver pins in one call
 * is a block of its own if it is not little: to note it is to copy the answer, and
 * what is given back like that goes as a whole. i915 pins single pages and unpins
 * several at a time: for those, blocks have a fixed place, which many of them share.
 * Each is known by the page, not by runs: a run that is cut needs memory just when
 * there must be no need of any (I4).
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "held_block.h"
#include "pages.h"
#include "test_hooks.h"

/* Pages that small pins share a block with, so many in a row. */
#define IOPT_BLOCK_PAGES 64UL

/*
 * Pages of a block for a single pin. With few, it saves nothing; with many, the
 * block is too large for the slab, and to count with each page takes too long for
 * something that is done under a spinlock.
 */
#define IOPT_BLOCK_MIN_PAGES 16UL
#define IOPT_BLOCK_MAX_PAGES 512UL

/**
 * iopt_held_free() - free an empty tier
 * @held: the tier or NULL
 *
 * Context: any.
 */
void iopt_held_free(struct iopt_held *held)
{
	if (!held)
		return;
	WARN_ON(!RB_EMPTY_ROOT(&held->blocks));
	kfree(held);
}

/**
 * iopt_pages_make_held() - the tier, made if this is the first time
 * @pages: whose
 *
 * Context: process; sleeps.
 * Return: the tier, or NULL if there is no memory.
 */
struct iopt_held *iopt_pages_make_held(struct iopt_pages *pages)
{
	struct iopt_held *held, *other;

	held = READ_ONCE(pages->held);
	if (held)
		return held;
	held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
	if (!held)
		return NULL;
	spin_lock_init(&held->lock);
	held->blocks = RB_ROOT;

	spin_lock(&pages->lock);
	other = pages->held;
	if (!other) {
		/* Those who look without the lock find it initialised. */
		smp_store_release(&pages->held, held);
	}
	spin_unlock(&pages->lock);
	if (!other)
		return held;
	iopt_held_free(held);
	return other;
}

/* In line, see Kbuild. For one page, that would take longer to begin than to do. */
static __always_inline void iopt_copy_pinned(struct page **to,
					     struct page *const *from,
					     u32 npages)
{
	if (npages == 1)
		*to = *from;
	else
		memcpy(to, from, npages * sizeof(*to));
}

#define rb_to_block(rb) rb_entry_safe(rb, struct iopt_held_block, node)

/* The lowest block that ends at or behind an index, or NULL. */
static struct iopt_held_block *iopt_held_find(const struct iopt_held *held,
					      unsigned long index)
{
	struct rb_node *rb = held->blocks.rb_node;
	struct iopt_held_block *found = NULL;

	while (rb) {
		struct iopt_held_block *block = rb_to_block(rb);

		if (index > iopt_block_last(block)) {
			rb = rb->rb_right;
			continue;
		}
		found = block;
		if (index >= block->first_index)
			break;
		rb = rb->rb_left;
	}
	return found;
}

/* The block that an index is in, or NULL. */
static struct iopt_held_block *iopt_held_at(const struct iopt_held *held,
					    unsigned long index)
{
	struct iopt_held_block *block = iopt_held_find(held, index);

	return block && block->first_index <= index ? block : NULL;
}

/*
 * The same for those who have a section over the index, of which a page is pinned:
 * the block stays.
 */
static struct iopt_held_block *iopt_held_in(struct iopt_held *held,
					    unsigned long index)
{
	guard(spinlock)(&held->lock);

	return iopt_held_at(held, index);
}

/* Is a page pinned? @last_index is lowered to the last one with the same answer. */
static bool iopt_held_look_at(struct iopt_held *held, unsigned long index,
			      unsigned long *last_index)
{
	struct iopt_held_block *block;
	bool is_pinned = false;
	u32 npages;

	guard(spinlock)(&held->lock);

	block = iopt_held_find(held, index);
	if (block && block->first_index <= index) {
		npages = iopt_block_within(block, index, *last_index);
		is_pinned = iopt_block_has_more(block,
						index - block->first_index,
						&npages, 0);
		*last_index = index + npages - 1;
	} else if (block) {
		*last_index = min(*last_index, block->first_index - 1);
	}
	return is_pinned;
}

/**
 * iopt_held_cover() - has an access pinned a page?
 * @held: the tier
 * @first_index: its index
 * @last_index: last index of interest, inclusive; lowered to the last one for which
 *	the answer is the same
 *
 * Context: any; a section over the indexes, or the answer is a guess.
 * Return: whether one has.
 */
bool iopt_held_cover(struct iopt_held *held, unsigned long first_index,
		     unsigned long *last_index)
{
	unsigned long last = *last_index;
	bool is_pinned = iopt_held_look_at(held, first_index, &last);

	while (last != *last_index) {
		unsigned long next_last = *last_index;

		if (iopt_held_look_at(held, last + 1, &next_last) != is_pinned)
			break;
		last = next_last;
	}
	*last_index = last;
	return is_pinned;
}

static unsigned long iopt_block_peek(const struct iopt_held_block *block,
				     unsigned long index)
{
	u32 i = index - block->first_index;

	if (!iopt_block_pins(block, i))
		return 0;
	return page_to_pfn(block->pages[i]) ?: IOPT_PFN_UNKNOWN;
}

/**
 * iopt_held_peek() - the PFN of one page
 * @held: the tier
 * @index: the page
 *
 * Context: any; a section over the index, or its owner's lock that begins them.
 * Return: its PFN; IOPT_PFN_UNKNOWN if that is 0; 0 if no access has pinned it.
 */
unsigned long iopt_held_peek(struct iopt_held *held, unsigned long index)
{
	struct iopt_held_block *block;

	guard(spinlock)(&held->lock);

	block = iopt_held_at(held, index);
	return block ? iopt_block_peek(block, index) : 0;
}

/*
 * Pages that accesses have pinned, in a section over them; *npages of them are wanted,
 * and lowered to those that are told.
 */
static struct page **iopt_held_pages(struct iopt_held *held,
				     unsigned long index, unsigned long *npages)
{
	struct iopt_held_block *block = iopt_held_in(held, index);

	*npages = iopt_block_within(block, index, index + (*npages - 1));
	return block->pages + (index - block->first_index);
}

/**
 * iopt_held_read() - add PFNs to a batch
 * @held: the tier
 * @first_index: index of the first page
 * @npages: how many at most, all pinned by accesses
 * @batch: what they are added to
 *
 * Context: a section over the indexes.
 * Return: pages added; fewer than @npages when the batch is full.
 */
unsigned long iopt_held_read(struct iopt_held *held, unsigned long first_index,
			     unsigned long npages, struct pfn_batch *batch)
{
	unsigned long done = 0;

	while (done != npages) {
		unsigned long n = npages - done, added;
		struct page **upages = iopt_held_pages(held, first_index + done,
						       &n);

		added = pfn_batch_add_pages(batch, upages, n);
		done += added;
		if (added != n)
			break;
	}
	return done;
}

/* The pages of a block from an index on, as far as accesses have pinned them. */
static struct iopt_page_list iopt_block_list(struct iopt_held_block *block,
					     unsigned long index,
					     unsigned long last_index)
{
	u32 npages = iopt_block_within(block, index, last_index);
	u32 i = index - block->first_index;
	bool is_pinned = iopt_block_has_more(block, i, &npages, 0);

	return (struct iopt_page_list){
		.upages = block->pages + i,
		.npages = is_pinned ? npages : 0,
	};
}

/* As iopt_held_lists(), if the first page is pinned. */
static unsigned int iopt_held_some_lists(struct iopt_held *held,
					 struct iopt_cover *cover,
					 struct iopt_page_list *lists)
{
	unsigned long index = cover->first_index;
	struct iopt_held_block *block;
	unsigned int nr_lists = 0;

	guard(spinlock)(&held->lock);

	block = iopt_held_at(held, index);
	while (block && block->first_index <= index) {
		struct iopt_page_list list = iopt_block_list(block, index,
							     cover->last_index);

		if (!list.npages)
			break;
		lists[nr_lists++] = list;
		index += list.npages;
		if (index <= iopt_block_last(block) ||
		    index > cover->last_index || nr_lists == IOPT_HELD_LISTS)
			break;
		block = rb_to_block(rb_next(&block->node));
	}
	if (nr_lists)
		cover->last_index = index - 1;
	return nr_lists;
}

/**
 * iopt_held_lists() - pages that accesses have pinned, as they are kept
 * @held: the tier
 * @cover: from which index to which; the last one is lowered to where the lists end;
 *	if there is none, to the last page in front of those that are pinned
 * @lists: %IOPT_HELD_LISTS of them, in the order of the indexes
 *
 * Context: a section over the indexes, for as long as the answer is used.
 * Return: how many lists there are; 0 if the first page is not pinned.
 */
unsigned int iopt_held_lists(struct iopt_held *held, struct iopt_cover *cover,
			     struct iopt_page_list *lists)
{
	unsigned int nr_lists = iopt_held_some_lists(held, cover, lists);

	if (!nr_lists)
		iopt_held_cover(held, cover->first_index, &cover->last_index);
	return nr_lists;
}

/* Put a block into the tree. Return: false if there is one in its way. */
static bool iopt_held_insert(struct iopt_held *held,
			     struct iopt_held_block *block)
{
	struct rb_node **link = &held->blocks.rb_node, *parent = NULL;

	while (*link) {
		struct iopt_held_block *other = rb_to_block(*link);

		parent = *link;
		if (iopt_block_last(block) < other->first_index)
			link = &parent->rb_left;
		else if (block->first_index > iopt_block_last(other))
			link = &parent->rb_right;
		else
			return false;
	}
	rb_link_node(&block->node, parent, link);
	rb_insert_color(&block->node, &held->blocks);
	return true;
}

/*
 * Make a block for pages that none is for so far. For many it is one of their own;
 * for few it is as large as others leave room in its fixed place.
 */
static struct iopt_held_block *iopt_held_new_block(struct iopt_held *held,
						   unsigned long first_index,
						   unsigned long last_index)
{
	unsigned long start = round_down(first_index, IOPT_BLOCK_PAGES);
	unsigned long last = start + IOPT_BLOCK_PAGES - 1;
	struct iopt_held_block *next, *prev;

	scoped_guard(spinlock, &held->lock) {
		next = iopt_held_find(held, first_index);
		prev = rb_to_block(next ? rb_prev(&next->node) :
					  rb_last(&held->blocks));
		/* One that has come since the caller looked can be gone again. */
		if (next && next->first_index > first_index) {
			last_index = min(last_index, next->first_index - 1);
			last = min(last, next->first_index - 1);
		}
		if (prev)
			start = max(start, iopt_block_last(prev) + 1);
	}
	if (last_index - first_index + 1 < IOPT_BLOCK_MIN_PAGES)
		return iopt_block_alloc(start, last - start + 1);
	return iopt_block_alloc(first_index, min(last_index - first_index + 1,
						 IOPT_BLOCK_MAX_PAGES));
}

/* One more pin on the first pages of a range, as far as one block goes. */
static u32 iopt_block_pin_range(struct iopt_held_block *block,
				unsigned long first_index,
				unsigned long last_index,
				struct page *const *upages)
{
	u32 npages = iopt_block_within(block, first_index, last_index);
	u32 i = first_index - block->first_index;

	/* For those that are pinned already, it changes nothing. */
	iopt_copy_pinned(block->pages + i, upages, npages);
	return iopt_block_pin(block, i, npages);
}

/* The same, wherever the block is. Return: how many, or -ENOMEM. */
static long iopt_held_pin_some(struct iopt_held *held,
			       unsigned long first_index,
			       unsigned long last_index,
			       struct page *const *upages)
{
	struct iopt_held_block *block, *made = NULL;
	u32 done = 0;

	if (iommufd_should_fail())
		return -ENOMEM;
	for (;;) {
		scoped_guard(spinlock, &held->lock) {
			block = iopt_held_at(held, first_index);
			if (!block && made && iopt_held_insert(held, made)) {
				block = made;
				made = NULL;
			}
			if (block)
				done = iopt_block_pin_range(block, first_index,
							    last_index, upages);
		}
		kfree(made);
		if (block)
			return done;
		made = iopt_held_new_block(held, first_index, last_index);
		if (!made)
			return -ENOMEM;
	}
}

/**
 * iopt_held_pin() - one more pin on each page of a range
 * @held: the tier
 * @first_index: index of the first page
 * @upages: the pages
 * @npages: how many
 *
 * Context: a section over the indexes; sleeps.
 * Return: pages from the first on that have got it: fewer than @npages if there is
 * no memory.
 */
unsigned long iopt_held_pin(struct iopt_held *held, unsigned long first_index,
			    struct page *const *upages, unsigned long npages)
{
	unsigned long last_index = first_index + npages - 1;
	unsigned long done = 0;

	while (done != npages) {
		long rc = iopt_held_pin_some(held, first_index + done,
					     last_index, upages + done);

		if (rc <= 0)
			break;
		done += rc;
		if (done != npages)
			cond_resched();
	}
	return done;
}

/*
 * One more pin on pages of one block that are pinned.
 *
 * Return: how many; 0 if the first is not pinned, or too often.
 */
static u32 iopt_held_pin_pinned(struct iopt_held *held,
				unsigned long first_index,
				unsigned long last_index,
				struct page **out_pages)
{
	struct iopt_held_block *block;
	u32 i, npages;

	guard(spinlock)(&held->lock);

	block = iopt_held_at(held, first_index);
	if (!block)
		return 0;
	i = first_index - block->first_index;
	npages = iopt_block_within(block, first_index, last_index);
	if (!iopt_block_has_more(block, i, &npages, 0))
		return 0;
	iopt_copy_pinned(out_pages, block->pages + i, npages);
	return iopt_block_pin(block, i, npages);
}

/**
 * iopt_held_pin_again() - one more pin on pages that accesses have pinned
 * @held: the tier
 * @first_index: index of the first page
 * @npages: how many at most, at least 1
 * @out_pages: the pages
 *
 * Context: a section over the indexes; sleeps, needs no memory.
 * Return: pages from the first on that have got it: up to the first one that no
 * access has pinned, or that has too many pins.
 */
unsigned long iopt_held_pin_again(struct iopt_held *held,
				  unsigned long first_index,
				  unsigned long npages,
				  struct page **out_pages)
{
	unsigned long last_index = first_index + npages - 1;
	unsigned long done = 0;

	while (done != npages) {
		u32 n = iopt_held_pin_pinned(held, first_index + done,
					     last_index, out_pages + done);

		if (!n)
			break;
		done += n;
		if (done != npages)
			cond_resched();
	}
	return done;
}

/**
 * iopt_held_last_pins() - pages that one unpin more leaves without pins
 * @held: the tier
 * @index: index of the first page
 * @npages: how many are of interest, all pinned; lowered to those for which the
 *	answer is the same
 *
 * Context: a section over the indexes, for as long as the answer is used.
 * Return: the pages; NULL if they have more pins than one.
 */
struct page **iopt_held_last_pins(struct iopt_held *held, unsigned long index,
				  unsigned long *npages)
{
	struct iopt_held_block *block;
	u32 i, n;

	guard(spinlock)(&held->lock);

	block = iopt_held_at(held, index);
	i = index - block->first_index;
	n = iopt_block_within(block, index, index + (*npages - 1));
	if (iopt_block_has_more(block, i, &n, 1)) {
		*npages = n;
		return NULL;
	}
	*npages = n;
	return block->pages + i;
}

/*
 * Give up pins of the first pages of a range, as far as one block goes.
 *
 * Return: how many.
 */
static u32 iopt_held_unpin_some(struct iopt_held *held,
				unsigned long first_index,
				unsigned long last_index)
{
	struct iopt_held_block *block;
	bool is_unused;
	u32 npages;

	scoped_guard(spinlock, &held->lock) {
		block = iopt_held_at(held, first_index);
		npages = iopt_block_within(block, first_index, last_index);
		iopt_block_unpin(block, first_index - block->first_index,
				 npages);
		is_unused = iopt_block_is_unused(block);
		if (is_unused) {
			rb_erase(&block->node, &held->blocks);
			held->recent = NULL;
		}
	}
	if (is_unused)
		kfree(block);
	return npages;
}

/**
 * iopt_held_unpin() - give up one pin of each page of a range
 * @held: the tier
 * @first_index: index of the first page
 * @npages: how many; all are pinned
 *
 * Context: a section over the indexes; sleeps, needs no memory.
 */
void iopt_held_unpin(struct iopt_held *held, unsigned long first_index,
		     unsigned long npages)
{
	unsigned long last_index = first_index + npages - 1;

	while (npages) {
		u32 n = iopt_held_unpin_some(held, first_index, last_index);

		first_index += n;
		npages -= n;
		if (npages)
			cond_resched();
	}
}

/* Look for the block of an index: behind that of the last time, then everywhere. */
static noinline struct iopt_held_block *
iopt_held_search(struct iopt_held *held, unsigned long index)
{
	struct iopt_held_block *block = held->recent;

	if (block)
		block = rb_to_block(rb_next(&block->node));
	if (!block || index - block->first_index >= block->npages)
		block = iopt_held_at(held, index);
	if (block)
		held->recent = block;
	return block;
}

/* The block of an index, if there is one: often that of the last time. */
static __always_inline struct iopt_held_block *
iopt_held_try_find(struct iopt_held *held, unsigned long index)
{
	struct iopt_held_block *block = held->recent;

	if (block && index - block->first_index < block->npages)
		return block;
	return iopt_held_search(held, index);
}

/**
 * iopt_held_try_peek() - the PFN of one page
 * @held: the tier
 * @index: the page
 *
 * Context: the lock that begins sections, and nobody in one.
 * Return: as iopt_held_peek().
 */
unsigned long iopt_held_try_peek(struct iopt_held *held, unsigned long index)
{
	const struct iopt_held_block *block = iopt_held_try_find(held, index);

	return block ? iopt_block_peek(block, index) : 0;
}

/*
 * The block of pages of which one number is enough to count a pin, for they are all
 * of it, or a single one. @pins is set to those that they all have.
 */
static __always_inline struct iopt_held_block *
iopt_held_try_range(struct iopt_held *held, unsigned long first_index,
		    unsigned long npages, u32 *pins)
{
	struct iopt_held_block *block = iopt_held_try_find(held, first_index);

	if (!block)
		return NULL;
	if (npages == 1)
		*pins = iopt_block_pins(block, first_index - block->first_index);
	else if (npages == block->npages && first_index == block->first_index)
		*pins = block->pins;
	else
		return NULL;
	return block;
}

/* May functions with try_ in their names go on? With the lock that begins sections. */
static bool iopt_pages_can_try(const struct iopt_pages *pages)
{
	return hlist_empty(&pages->busy) && pages->held;
}

/**
 * iopt_pages_try_pin_again() - pin pages again that an access has pinned
 * @pages: the pages
 * @first_index: the first page
 * @npages: how many, at least 1
 * @out_pages: written on success: the pages
 *
 * As iopt_pages_add_access() would, if nothing has to be waited for and it comes
 * down to a single number: what holds for iopt_slice_rw_at_once() holds for this.
 *
 * Context: any lock that is taken before @pages->lock; does not sleep.
 * Return: false with nothing done, also if accesses have not pinned all of them.
 */
bool iopt_pages_try_pin_again(struct iopt_pages *pages,
			      unsigned long first_index, unsigned long npages,
			      struct page **out_pages)
{
	struct iopt_held_block *block;
	u32 pins = 0, i;

	guard(spinlock)(&pages->lock);

	if (!iopt_pages_can_try(pages))
		return false;
	block = iopt_held_try_range(pages->held, first_index, npages, &pins);
	if (!pins)
		return false;
	i = first_index - block->first_index;
	if (!iopt_block_pin(block, i, npages))
		return false;
	if (npages == 1)
		*out_pages = block->pages[i];
	else
		iopt_copy_pinned(out_pages, block->pages, npages);
	return true;
}

/**
 * iopt_pages_try_unpin() - give up pins of an in-kernel user that are not the last
 * @pages: the pages
 * @first_index: the first page
 * @npages: how many, at least 1
 *
 * As iopt_pages_remove_access() would, if nothing has to be waited for and it comes
 * down to a single number.
 *
 * Context: any lock that is taken before @pages->lock; does not sleep.
 * Return: false with nothing done.
 */
bool iopt_pages_try_unpin(struct iopt_pages *pages, unsigned long first_index,
			  unsigned long npages)
{
	struct iopt_held_block *block;
	u32 pins = 0;

	guard(spinlock)(&pages->lock);

	if (!iopt_pages_can_try(pages))
		return false;
	block = iopt_held_try_range(pages->held, first_index, npages, &pins);
	if (pins < 2)
		return false;
	iopt_block_unpin(block, first_index - block->first_index, npages);
	return true;
}
