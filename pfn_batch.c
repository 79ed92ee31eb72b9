// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bounded vector of PFN runs; see pfn_batch.h.
 *
 * The hot loop of the whole subsystem is here. When a gigabyte is mapped, 262144
 * page pointers come back from pinning and each has to be looked at, because a
 * process can map the pages of a folio in any order. Everything else that a map
 * does is per run, so the instructions spent on one pointer decide.
 */
#include <linux/bug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "pfn_batch.h"

/**
 * pfn_batch_destroy - free what pfn_batch_reserve() allocated
 * @batch: the batch, which may be initialised anew afterwards
 *
 * Context: Any.
 */
void pfn_batch_destroy(struct pfn_batch *batch)
{
	if (batch->runs != batch->inline_runs)
		kvfree(batch->runs);
	batch->runs = NULL;
}

/**
 * pfn_batch_reserve - make room for more runs if memory allows
 * @batch: an empty batch, fresh from pfn_batch_init()
 * @max_runs: runs there is use for
 * @limit_bytes: bytes of array not to exceed
 *
 * Afterwards the batch holds @max_runs runs, or as many as fit @limit_bytes, or
 * as many as before when there is no memory. A limit below the size of the
 * inline array applies to that too, so that tests can have tiny batches; one run
 * always remains.
 *
 * Context: May sleep.
 */
void pfn_batch_reserve(struct pfn_batch *batch, size_t max_runs,
		       size_t limit_bytes)
{
	size_t limit_runs = max(limit_bytes / sizeof(struct pfn_run), 1);

	if (WARN_ON(batch->runs != batch->inline_runs || batch->end_run))
		return;

	batch->max_runs = min(limit_runs, PFN_BATCH_INLINE_RUNS);
	pfn_batch_grow(batch, max_runs, limit_bytes);
}

/**
 * pfn_batch_grow - make room for more runs behind those there are, if memory allows
 * @batch: a batch
 * @max_runs: runs there is use for, those there are included
 * @limit_bytes: bytes of array not to exceed
 *
 * For who does not know beforehand whether there are many.
 *
 * Context: May sleep.
 * Return: whether there is more room than there was.
 */
bool pfn_batch_grow(struct pfn_batch *batch, size_t max_runs,
		    size_t limit_bytes)
{
	struct pfn_run *runs;

	max_runs = min3(max_runs, limit_bytes / sizeof(*runs), (size_t)U32_MAX);
	if (max_runs <= batch->max_runs)
		return false;

	runs = kvmalloc_array(max_runs, sizeof(*runs), GFP_KERNEL_ACCOUNT |
						       __GFP_NOWARN |
						       __GFP_NORETRY);
	if (!runs)
		return false;
	memcpy(runs, batch->runs, batch->end_run * sizeof(*runs));
	pfn_batch_destroy(batch);
	batch->runs = runs;
	batch->max_runs = max_runs;
	return true;
}

/**
 * pfn_batch_add - append consecutive pages
 * @batch: the batch
 * @pfn: the first page
 * @npfns: number of pages, at most PFN_RUN_MAX_PFNS
 *
 * Pages that follow on the last run prolong it and need no room.
 *
 * Context: Any.
 * Return: true, or false if there is no room: then nothing was added.
 */
bool pfn_batch_add(struct pfn_batch *batch, unsigned long pfn, u32 npfns)
{
	return !npfns || pfn_batch_add_run(batch, pfn, npfns);
}

/*
 * Is @page the n-th after @first?
 *
 * With one virtually contiguous array of struct page, pointers are as good as
 * PFNs. Otherwise each section has an array of its own: the arrays of distant
 * sections may happen to be neighbours, so only PFNs can tell.
 */
static __always_inline bool is_nth_page(const struct page *page,
					const struct page *first, size_t n)
{
	if (IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) || IS_ENABLED(CONFIG_FLATMEM))
		return page == first + n;
	return page_to_pfn(page) == page_to_pfn(first) + n;
}

/*
 * How many of the @npages >= 1 pages are consecutive from the first one on.
 *
 * Four at a time: one loop condition for four pages, and addresses that differ
 * by constants, which the compiler folds into the comparisons.
 */
static __always_inline size_t count_consecutive(struct page *const *pages,
						size_t npages)
{
	const struct page *first = pages[0];
	size_t n = 1;

	for (; n + 4 <= npages; n += 4) {
		if (unlikely(!is_nth_page(pages[n], first, n)))
			return n;
		if (unlikely(!is_nth_page(pages[n + 1], first, n + 1)))
			return n + 1;
		if (unlikely(!is_nth_page(pages[n + 2], first, n + 2)))
			return n + 2;
		if (unlikely(!is_nth_page(pages[n + 3], first, n + 3)))
			return n + 3;
	}
	while (n < npages && is_nth_page(pages[n], first, n))
		n++;
	return n;
}

/**
 * pfn_batch_add_array - append an array of pages
 * @batch: the batch
 * @pages: the pages, as pinning returned them
 * @npages: number of pages
 *
 * Context: Any.
 * Return: how many were appended; fewer than @npages if the batch is full, and
 *	never more than PFN_RUN_MAX_PFNS.
 */
size_t pfn_batch_add_array(struct pfn_batch *batch, struct page **pages,
			   size_t npages)
{
	size_t done, n;

	npages = min(npages, PFN_RUN_MAX_PFNS);
	for (done = 0; done < npages; done += n) {
		n = count_consecutive(pages + done, npages - done);
		if (!pfn_batch_add_run(batch, page_to_pfn(pages[done]), n))
			break;
	}
	return done;
}

/**
 * pfn_batch_skip_front - drop pages from the front
 * @batch: the batch
 * @npfns: number of pages, at most the number in the batch
 *
 * The room of dropped runs comes back when the batch becomes empty.
 *
 * Context: Any.
 */
void pfn_batch_skip_front(struct pfn_batch *batch, unsigned long npfns)
{
	struct pfn_run *run = batch->runs + batch->first_run;

	if (WARN_ON(npfns > batch->npfns))
		npfns = batch->npfns;
	batch->npfns -= npfns;
	if (!batch->npfns) {
		pfn_batch_clear(batch);
		return;
	}
	for (; npfns >= run->npfns; run++)
		npfns -= run->npfns;
	run->pfn += npfns;
	run->npfns -= npfns;
	batch->first_run = run - batch->runs;
}

/**
 * pfn_batch_trim - drop pages from the back
 * @batch: the batch
 * @npfns: number of pages to keep, from the front on; more than there are keeps all
 *
 * Context: Any.
 */
void pfn_batch_trim(struct pfn_batch *batch, unsigned long npfns)
{
	if (!npfns) {
		pfn_batch_clear(batch);
		return;
	}
	while (batch->npfns > npfns) {
		struct pfn_run *run = batch->runs + batch->end_run - 1;
		unsigned long excess = batch->npfns - npfns;

		if (excess < run->npfns) {
			run->npfns -= excess;
			batch->npfns -= excess;
		} else {
			batch->npfns -= run->npfns;
			batch->end_run--;
		}
	}
}
