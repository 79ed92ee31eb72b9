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
		else if (likely(block->more_pins[i] != U32_MAX))
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
		unsigned long nr = index / IOPT_BLOCK_PAGES;
		unsigned long n = iopt_block_last(index, last_index) - index + 1;
		struct iopt_held_block *block;
		unsigned long done;
		bool unused;

		xa_lock(&held->blocks);
		block = iopt_held_load(held, index);
		done = iopt_block_unpin(block, index, n, batch);
		unused = !block->pinned;
		if (unused)
			__xa_erase(&held->blocks, nr);
		xa_unlock(&held->blocks);
		if (unused)
			kfree(block);
		index += done;
		if (done != n)
			break;
		cond_resched();
	}
	return index;
}
