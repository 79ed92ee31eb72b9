// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tier of pages that in-kernel users have pinned: their PFNs, which can thus
 * be told without any domain (I2), and how often each is pinned.
 *
 * It is an xarray of small blocks with an entry for each page. Not of runs: i915
 * pins single pages and unpins several at a time, and a run that is cut needs
 * memory just when there must be no need of any (I4). Nor of pages: a driver pins
 * hundreds in one call, and to find and to store each by itself takes far longer
 * than to pin it.
 *
 * What is pinned already is often pinned again as a whole, and given back so. Such
 * a range is a bulk, which counts these pins in one number. It lies in blocks that
 * are in no other one, and is remembered where it begins, so it takes no memory of
 * its own. When pins are given back in other pieces, the number is added to that of
 * each page first, and the bulk is no more: the pages are pinned and have counters,
 * so there is nothing that could fail.
 */
#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pages.h"
#include "test_hooks.h"

/*
 * A store that ran out of memory half way may have left a node behind: that it
 * has no entries is all that can be said of an empty array.
 */
static bool iopt_held_has_blocks(struct iopt_held *held)
{
	unsigned long nr = 0;

	return xa_find(&held->blocks, &nr, ULONG_MAX, XA_PRESENT);
}

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
	WARN_ON(iopt_held_has_blocks(held));
	xa_destroy(&held->blocks);
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
	xa_init_flags(&held->blocks, XA_FLAGS_ACCOUNT);

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

/*
 * Pins of a page that are counted with it, and those that are counted in a bulk:
 * so both together fit where the former are.
 */
#define IOPT_MAX_MORE_PINS (U32_MAX / 2)

/*
 * Pages of a bulk. With few, it saves nothing; with many, to end it takes long for
 * something that is done under a spinlock.
 */
#define IOPT_BULK_MIN_PAGES 16UL
#define IOPT_BULK_MAX_PAGES (16UL * IOPT_BLOCK_PAGES)

/* The last of the indexes from @index to @last_index that share a block. */
static unsigned long iopt_block_last(unsigned long index,
				     unsigned long last_index)
{
	return min(last_index, index | (IOPT_BLOCK_PAGES - 1));
}

/* The bits of a block for such indexes. */
static unsigned long iopt_block_mask(unsigned long index,
				     unsigned long last_index)
{
	return GENMASK(last_index % IOPT_BLOCK_PAGES, index % IOPT_BLOCK_PAGES);
}

/* The block of @index, if there is one. Under the lock, so RCU is not needed. */
static struct iopt_held_block *iopt_held_load(struct iopt_held *held,
					      unsigned long index)
{
	XA_STATE(xas, &held->blocks, index / IOPT_BLOCK_PAGES);

	lockdep_assert_held(&held->blocks.xa_lock);

	return xas_load(&xas);
}

/* Which pages of the block of @index are pinned? */
static unsigned long iopt_held_bits(struct iopt_held *held, unsigned long index)
{
	struct iopt_held_block *block;
	unsigned long pinned = 0;

	xa_lock(&held->blocks);
	block = iopt_held_load(held, index);
	if (block)
		pinned = block->pinned;
	xa_unlock(&held->blocks);
	return pinned;
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
	unsigned int i = index % IOPT_BLOCK_PAGES;
	struct iopt_held_block *block;
	unsigned long pfn = 0;

	xa_lock(&held->blocks);
	block = iopt_held_load(held, index);
	if (block && block->pinned >> i & 1)
		pfn = block->pfns[i] ?: IOPT_PFN_UNKNOWN;
	xa_unlock(&held->blocks);
	return pfn;
}

/* The first block from that of @index on that exists. */
static bool iopt_held_find(struct iopt_held *held, unsigned long *index,
			   unsigned long last_index)
{
	unsigned long nr = *index / IOPT_BLOCK_PAGES;

	if (!xa_find(&held->blocks, &nr, last_index / IOPT_BLOCK_PAGES,
		     XA_PRESENT))
		return false;
	*index = max(*index, nr * IOPT_BLOCK_PAGES);
	return true;
}

/**
 * iopt_held_from() - the first page that an access has pinned
 * @held: the tier
 * @first_index: first index to look at
 * @last_index: last one, inclusive
 *
 * Context: any; a section over the indexes, or the answer is a guess.
 * Return: its index; more than @last_index if there is none.
 */
unsigned long iopt_held_from(struct iopt_held *held, unsigned long first_index,
			     unsigned long last_index)
{
	unsigned long index = first_index;

	do {
		unsigned long block_last = iopt_block_last(index, last_index);
		unsigned long pinned = iopt_held_bits(held, index) &
				       iopt_block_mask(index, block_last);

		if (pinned)
			return round_down(index, IOPT_BLOCK_PAGES) +
			       __ffs(pinned);
		if (block_last == last_index)
			break;
		index = block_last + 1;
	} while (iopt_held_find(held, &index, last_index));
	return ULONG_MAX;
}

/**
 * iopt_held_last() - how far do pages go that accesses have pinned?
 * @held: the tier
 * @first_index: index of a page that is
 * @last_index: last index to look at, inclusive
 *
 * Context: as iopt_held_from().
 * Return: index of the last page from @first_index on without a gap.
 */
unsigned long iopt_held_last(struct iopt_held *held, unsigned long first_index,
			     unsigned long last_index)
{
	unsigned long index = first_index;

	while (index != last_index) {
		unsigned long next = index + 1;
		unsigned long block_last = iopt_block_last(next, last_index);
		unsigned long gaps = ~iopt_held_bits(held, next) &
				     iopt_block_mask(next, block_last);

		if (gaps)
			return round_down(next, IOPT_BLOCK_PAGES) +
			       __ffs(gaps) - 1;
		index = block_last;
	}
	return index;
}

/* Add PFNs of one block to a batch. Return: how many. */
static unsigned long iopt_block_read(const unsigned long *pfns,
				     unsigned long npages,
				     struct pfn_batch *batch)
{
	unsigned long done, n;

	for (done = 0; done != npages; done += n) {
		for (n = 1; done + n != npages; n++)
			if (pfns[done + n] != pfns[done] + n)
				break;
		if (!pfn_batch_add(batch, pfns[done], n))
			break;
	}
	return done;
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
	unsigned long end_index = first_index + npages;
	unsigned long index = first_index;

	while (index != end_index) {
		unsigned long n = iopt_block_last(index, end_index - 1) -
				  index + 1;
		struct iopt_held_block *block;
		unsigned long done;

		/* It stays, for what is pinned in it is in our section. */
		block = xa_load(&held->blocks, index / IOPT_BLOCK_PAGES);
		if (WARN_ON_ONCE(!block))
			break;
		done = iopt_block_read(block->pfns + index % IOPT_BLOCK_PAGES,
				       n, batch);
		index += done;
		if (done != n)
			break;
	}
	return index - first_index;
}

/**
 * iopt_held_pfns() - the PFNs of pages that accesses have pinned
 * @held: the tier
 * @index: index of the first page
 * @npages: how many are wanted, all pinned by accesses; lowered to those that are
 *	told
 *
 * Context: a section over the indexes.
 * Return: their PFNs, one for each page.
 */
const unsigned long *iopt_held_pfns(struct iopt_held *held, unsigned long index,
				    unsigned long *npages)
{
	unsigned int i = index % IOPT_BLOCK_PAGES;
	const struct iopt_held_block *block;

	/* It stays, for what is pinned in it is in our section. */
	block = xa_load(&held->blocks, index / IOPT_BLOCK_PAGES);
	*npages = min(*npages, IOPT_BLOCK_PAGES - i);
	return block->pfns + i;
}

static int iopt_held_add_block(struct iopt_held *held, unsigned long index)
{
	struct iopt_held_block *block = kzalloc(sizeof(*block),
						GFP_KERNEL_ACCOUNT);
	int rc;

	if (!block)
		return -ENOMEM;
	rc = xa_insert(&held->blocks, index / IOPT_BLOCK_PAGES, block,
		       GFP_KERNEL);
	if (rc)
		kfree(block);
	return rc == -EBUSY ? 0 : rc;
}

/* One more pin on pages of a block. Return: those that got it. */
static unsigned long iopt_block_pin(struct iopt_held_block *block,
				    unsigned long index,
				    struct page *const *upages,
				    unsigned long npages)
{
	unsigned int first = index % IOPT_BLOCK_PAGES;
	unsigned long pinned = block->pinned;
	unsigned long done;

	for (done = 0; done != npages; done++) {
		unsigned int i = first + done;

		if (!(pinned >> i & 1))
			block->pfns[i] = page_to_pfn(upages[done]);
		else if (likely(block->more_pins[i] < IOPT_MAX_MORE_PINS))
			block->more_pins[i]++;
		else
			break;
	}
	if (done)
		block->pinned |= iopt_block_mask(index, index + done - 1);
	return done;
}

/* The same, wherever the block is. Return: as there, or -ENOMEM. */
static long iopt_held_pin_block(struct iopt_held *held, unsigned long index,
				struct page *const *upages,
				unsigned long npages)
{
	struct iopt_held_block *block;
	long rc = 0;

	if (iommufd_should_fail())
		return -ENOMEM;
	do {
		xa_lock(&held->blocks);
		block = iopt_held_load(held, index);
		if (block)
			rc = iopt_block_pin(block, index, upages, npages);
		xa_unlock(&held->blocks);
		if (!block)
			rc = iopt_held_add_block(held, index);
	} while (!block && !rc);
	return rc;
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
	unsigned long done = 0;

	while (done != npages) {
		unsigned long index = first_index + done;
		unsigned long n = iopt_block_last(index,
						  first_index + npages - 1) -
				  index + 1;
		long rc = iopt_held_pin_block(held, index, upages + done, n);

		if (rc > 0)
			done += rc;
		if (rc != n)
			break;
		cond_resched();
	}
	return done;
}

/* From now on, the pins of a bulk are counted with each page. */
static void iopt_bulk_end(struct iopt_held *held, struct iopt_held_block *head)
{
	const struct iopt_held_bulk *bulk = &head->bulk;
	unsigned long index = bulk->first_index;

	lockdep_assert_held(&held->blocks.xa_lock);

	while (index <= bulk->last_index) {
		unsigned long last = iopt_block_last(index, bulk->last_index);
		struct iopt_held_block *block = iopt_held_load(held, index);

		block->bulk_head = NULL;
		for (; index <= last; index++)
			block->more_pins[index % IOPT_BLOCK_PAGES] +=
				bulk->pins;
	}
}

/* The bulk that begins at an index, if it does not end behind another one. */
static struct iopt_held_bulk *iopt_bulk_at(struct iopt_held_block *block,
					   unsigned long index,
					   unsigned long last_index)
{
	if (block->bulk_head == block && block->bulk.first_index == index &&
	    block->bulk.last_index <= last_index)
		return &block->bulk;
	return NULL;
}

/* Can pages of a block be part of a new bulk? One without pins makes way. */
static bool iopt_block_takes_bulk(struct iopt_held *held,
				  struct iopt_held_block *block,
				  unsigned long index, unsigned long last_index)
{
	if (block->bulk_head && !block->bulk_head->bulk.pins)
		iopt_bulk_end(held, block->bulk_head);
	if (block->bulk_head)
		return false;
	for (; index <= last_index; index++)
		if (block->more_pins[index % IOPT_BLOCK_PAGES] >
		    IOPT_MAX_MORE_PINS)
			return false;
	return true;
}

/* The last index that a bulk from another one on could have. */
static unsigned long iopt_bulk_last(struct iopt_held *held, unsigned long index,
				    unsigned long last_index)
{
	last_index = min(last_index, index + IOPT_BULK_MAX_PAGES - 1);
	while (index <= last_index) {
		unsigned long last = iopt_block_last(index, last_index);

		if (!iopt_block_takes_bulk(held, iopt_held_load(held, index),
					   index, last))
			break;
		index = last + 1;
	}
	return index - 1;
}

/* Begin a bulk, without pins. Return: NULL if there cannot be one. */
static struct iopt_held_bulk *iopt_bulk_begin(struct iopt_held *held,
					      struct iopt_held_block *head,
					      unsigned long index,
					      unsigned long last_index)
{
	struct iopt_held_bulk *bulk = &head->bulk;

	lockdep_assert_held(&held->blocks.xa_lock);

	if (last_index - index + 1 < IOPT_BULK_MIN_PAGES)
		return NULL;
	last_index = iopt_bulk_last(held, index, last_index);
	if (last_index + 1 < index + IOPT_BULK_MIN_PAGES)
		return NULL;
	*bulk = (struct iopt_held_bulk){
		.first_index = index,
		.last_index = last_index,
	};
	for (; index <= last_index; index = iopt_block_last(index, ULONG_MAX) + 1)
		iopt_held_load(held, index)->bulk_head = head;
	return bulk;
}

/* One more pin on pages of a block that are pinned. Return: those that got it. */
static unsigned long iopt_block_pin_again(struct iopt_held_block *block,
					  unsigned long index,
					  unsigned long npages)
{
	u32 *more_pins = block->more_pins + index % IOPT_BLOCK_PAGES;
	unsigned long done;

	for (done = 0; done != npages; done++) {
		if (unlikely(more_pins[done] >= IOPT_MAX_MORE_PINS))
			break;
		more_pins[done]++;
	}
	return done;
}

/* The same in the fewest steps there can be. Return: the index to go on from. */
static unsigned long iopt_held_count(struct iopt_held *held,
				     unsigned long index,
				     unsigned long last_index)
{
	struct iopt_held_block *block = iopt_held_load(held, index);
	struct iopt_held_bulk *bulk;

	bulk = iopt_bulk_at(block, index, last_index) ?:
	       iopt_bulk_begin(held, block, index, last_index);
	if (bulk && bulk->pins != IOPT_MAX_MORE_PINS) {
		bulk->pins++;
		return bulk->last_index + 1;
	}
	last_index = iopt_block_last(index, last_index);
	return index + iopt_block_pin_again(block, index,
					    last_index - index + 1);
}

/* Tell pages of the tier. */
static void iopt_held_tell(struct iopt_held *held, unsigned long index,
			   unsigned long end_index, struct page **out_pages)
{
	while (index != end_index) {
		unsigned long npages = end_index - index;
		const unsigned long *pfns = iopt_held_pfns(held, index,
							   &npages);

		for (unsigned long i = 0; i != npages; i++)
			*out_pages++ = pfn_to_page(pfns[i]);
		index += npages;
	}
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
	unsigned long index = first_index, next;

	if (iopt_held_from(held, first_index, first_index) != first_index)
		return 0;
	last_index = iopt_held_last(held, first_index, last_index);
	while (index <= last_index) {
		xa_lock(&held->blocks);
		next = iopt_held_count(held, index, last_index);
		xa_unlock(&held->blocks);
		if (next == index)
			break;
		index = next;
		cond_resched();
	}
	iopt_held_tell(held, first_index, index, out_pages);
	return index - first_index;
}

/*
 * One pin less of a bulk that begins here, if it is one of those that end in time.
 * Else bulks do not reach into what is left of the block any more.
 *
 * Return: the index to go on from.
 */
static unsigned long iopt_bulk_unpin(struct iopt_held *held,
				     struct iopt_held_block *block,
				     unsigned long index,
				     unsigned long last_index)
{
	struct iopt_held_bulk *bulk = iopt_bulk_at(block, index, last_index);

	if (bulk && bulk->pins) {
		bulk->pins--;
		return bulk->last_index + 1;
	}
	bulk = &block->bulk_head->bulk;
	if (bulk->first_index <= iopt_block_last(index, last_index) &&
	    bulk->last_index >= index)
		iopt_bulk_end(held, block->bulk_head);
	return index;
}

/* Pages from an entry on that follow each other and have one pin only. */
static unsigned int iopt_block_last_pins(const struct iopt_held_block *block,
					 unsigned int first, unsigned int end)
{
	unsigned long pfn = block->pfns[first] - first;
	unsigned int i = first;

	while (i != end && !block->more_pins[i] && block->pfns[i] == pfn + i)
		i++;
	return i - first;
}

/* Give up one pin of each of some pages of a block. Return: how many. */
static unsigned long iopt_block_unpin(struct iopt_held_block *block,
				      unsigned long index, unsigned long npages,
				      struct pfn_batch *batch)
{
	unsigned int first = index % IOPT_BLOCK_PAGES, end = first + npages;
	unsigned int i = first;

	while (i != end) {
		unsigned int n = iopt_block_last_pins(block, i, end);

		if (!n) {
			block->more_pins[i++]--;
			continue;
		}
		if (!pfn_batch_add(batch, block->pfns[i], n))
			break;
		block->pinned &= ~iopt_block_mask(i, i + n - 1);
		i += n;
	}
	return i - first;
}

/*
 * Give up pins of a range as far as one step goes.
 *
 * Return: the index to go on from; the same one if the batch is full.
 */
static unsigned long iopt_held_unpin_step(struct iopt_held *held,
					  unsigned long index,
					  unsigned long last_index,
					  struct pfn_batch *batch)
{
	struct iopt_held_block *block;
	unsigned long next = index;
	bool unused;

	xa_lock(&held->blocks);
	block = iopt_held_load(held, index);
	if (block->bulk_head)
		next = iopt_bulk_unpin(held, block, index, last_index);
	if (next == index)
		next += iopt_block_unpin(block, index,
					 iopt_block_last(index, last_index) -
					 index + 1, batch);
	unused = !block->pinned;
	if (unused) {
		__xa_erase(&held->blocks, index / IOPT_BLOCK_PAGES);
		held->recent = NULL;
	}
	xa_unlock(&held->blocks);
	if (unused)
		kfree(block);
	return next;
}

/**
 * iopt_held_unpin() - give up one pin of each page of a range
 * @held: the tier
 * @first_index: index of the first page
 * @last_index: that of the last one, inclusive; all are pinned
 * @batch: gets the PFNs of those that are not pinned any more
 *
 * Context: a section over the indexes; sleeps, needs no memory.
 * Return: the index to go on from when the batch has been emptied; @last_index + 1
 * at the end.
 */
unsigned long iopt_held_unpin(struct iopt_held *held, unsigned long first_index,
			      unsigned long last_index, struct pfn_batch *batch)
{
	unsigned long index = first_index;

	while (index <= last_index) {
		unsigned long next = iopt_held_unpin_step(held, index,
							  last_index, batch);

		if (next == index)
			break;
		index = next;
		cond_resched();
	}
	return index;
}

static noinline struct iopt_held_block *
iopt_held_look_up(struct iopt_held *held, unsigned long nr)
{
	XA_STATE(xas, &held->blocks, nr);

	scoped_guard(rcu)
		held->recent = xas_load(&xas);
	held->recent_nr = nr;
	return held->recent;
}

/* The block of an index, if there is one: mostly that of the last time. */
static struct iopt_held_block *iopt_held_look(struct iopt_held *held,
					      unsigned long index)
{
	unsigned long nr = index / IOPT_BLOCK_PAGES;

	if (likely(held->recent_nr == nr && held->recent))
		return held->recent;
	return iopt_held_look_up(held, nr);
}

/* The same, if an access has pinned the page. */
static struct iopt_held_block *iopt_held_look_for(struct iopt_held *held,
						  unsigned long index)
{
	struct iopt_held_block *block = iopt_held_look(held, index);

	if (block && block->pinned >> index % IOPT_BLOCK_PAGES & 1)
		return block;
	return NULL;
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
	const struct iopt_held_block *block = iopt_held_look_for(held, index);

	if (!block)
		return 0;
	return block->pfns[index % IOPT_BLOCK_PAGES] ?: IOPT_PFN_UNKNOWN;
}

/**
 * iopt_held_try_pin() - one more pin on a page that an access has pinned
 * @held: the tier
 * @index: the page
 * @out_page: the page
 *
 * Context: the lock that begins sections, and nobody in one.
 * Return: false if no access has pinned it.
 */
bool iopt_held_try_pin(struct iopt_held *held, unsigned long index,
		       struct page **out_page)
{
	struct iopt_held_block *block = iopt_held_look_for(held, index);
	unsigned int i = index % IOPT_BLOCK_PAGES;

	if (!block || block->more_pins[i] >= IOPT_MAX_MORE_PINS)
		return false;
	block->more_pins[i]++;
	*out_page = pfn_to_page(block->pfns[i]);
	return true;
}

/* The number that counts pins of just these pages, or NULL if there is no such. */
static u32 *iopt_block_counter(struct iopt_held_block *block,
			       unsigned long first_index,
			       unsigned long last_index)
{
	struct iopt_held_bulk *bulk;

	if (first_index == last_index)
		return block->more_pins + first_index % IOPT_BLOCK_PAGES;
	bulk = iopt_bulk_at(block, first_index, last_index);
	return bulk && bulk->last_index == last_index ? &bulk->pins : NULL;
}

/**
 * iopt_held_try_unpin() - give up a pin where that changes one number only
 * @held: the tier
 * @first_index: index of the first page
 * @last_index: that of the last one, inclusive
 *
 * Context: the lock that begins sections, and nobody in one.
 * Return: false with nothing changed.
 */
bool iopt_held_try_unpin(struct iopt_held *held, unsigned long first_index,
			 unsigned long last_index)
{
	struct iopt_held_block *block = iopt_held_look(held, first_index);
	u32 *pins;

	if (!block)
		return false;
	pins = iopt_block_counter(block, first_index, last_index);
	if (!pins || !*pins)
		return false;
	--*pins;
	return true;
}
