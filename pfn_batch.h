/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bounded vector of PFN runs.
 *
 * Pages are pinned and handed to an IOMMU domain a batch at a time. A batch
 * holds runs of consecutive PFNs, so a batch of contiguous memory is one element
 * however large it is, and what follows costs per run, not per page.
 *
 * A few runs have their place inside the structure: a batch on the stack serves
 * small mappings without an allocation. What works with a small batch works
 * with a large one in fewer rounds, hence running out of memory for a larger
 * array is no error here.
 */
#ifndef __IOMMUFD_PFN_BATCH_H
#define __IOMMUFD_PFN_BATCH_H

#include <linux/mm.h>
#include <linux/types.h>

/* Longest run; leaves room to add two of them in a u32. */
#define PFN_RUN_MAX_PFNS ((1U << 31) - 1)

#define PFN_BATCH_INLINE_RUNS 16

/**
 * struct pfn_run - consecutive physical pages
 * @pfn: the first
 * @npfns: how many, 1 to PFN_RUN_MAX_PFNS
 */
struct pfn_run {
	unsigned long pfn;
	u32 npfns;
};

/**
 * struct pfn_batch - a bounded vector of runs
 * @npfns: pages in all runs together
 * @runs: @inline_runs or an allocated array; never NULL
 * @first_run: index of the first run not skipped
 * @end_run: index behind the last run
 * @max_runs: usable elements of @runs, at least 1
 * @inline_runs: place for the first few; makes the structure immovable
 */
struct pfn_batch {
	unsigned long npfns;
	struct pfn_run *runs;
	unsigned int first_run;
	unsigned int end_run;
	unsigned int max_runs;
	struct pfn_run inline_runs[PFN_BATCH_INLINE_RUNS];
};

void pfn_batch_destroy(struct pfn_batch *batch);
void pfn_batch_reserve(struct pfn_batch *batch, size_t max_runs,
		       size_t limit_bytes);
bool pfn_batch_grow(struct pfn_batch *batch, size_t max_runs,
		    size_t limit_bytes);

bool pfn_batch_add(struct pfn_batch *batch, unsigned long pfn, u32 npfns);
size_t pfn_batch_add_array(struct pfn_batch *batch, struct page **pages,
			   size_t npages);
void pfn_batch_skip_front(struct pfn_batch *batch, unsigned long npfns);
void pfn_batch_trim(struct pfn_batch *batch, unsigned long npfns);

/**
 * pfn_batch_add_page - append one page
 * @batch: the batch
 * @pfn: the page
 *
 * pfn_batch_add() for loops over scattered memory, in which a call for each page
 * would be felt.
 *
 * Context: Any.
 * Return: true, or false if there is no room: then nothing was added.
 */
static inline bool pfn_batch_add_page(struct pfn_batch *batch,
				      unsigned long pfn)
{
	struct pfn_run *run = batch->runs + batch->end_run;

	if (batch->npfns && pfn && run[-1].pfn + run[-1].npfns == pfn &&
	    run[-1].npfns != PFN_RUN_MAX_PFNS) {
		run[-1].npfns++;
	} else {
		if (batch->end_run == batch->max_runs)
			return false;
		*run = (struct pfn_run){ .pfn = pfn, .npfns = 1 };
		batch->end_run++;
	}
	batch->npfns++;
	return true;
}

/* Do pages starting at @pfn prolong @run, without making it too long? */
static inline bool pfn_run_continues(const struct pfn_run *run,
				     unsigned long pfn, u32 npfns)
{
	return run->pfn + run->npfns == pfn && pfn > run->pfn &&
	       npfns <= PFN_RUN_MAX_PFNS - run->npfns;
}

/**
 * pfn_batch_add_run - append consecutive pages
 * @batch: the batch
 * @pfn: the first page
 * @npfns: number of pages, 1 to PFN_RUN_MAX_PFNS
 *
 * pfn_batch_add() for loops over many runs.
 *
 * Context: Any.
 * Return: as pfn_batch_add().
 */
static __always_inline bool pfn_batch_add_run(struct pfn_batch *batch,
					      unsigned long pfn, u32 npfns)
{
	struct pfn_run *run = batch->runs + batch->end_run;

	if (batch->npfns && pfn_run_continues(run - 1, pfn, npfns)) {
		run[-1].npfns += npfns;
	} else {
		if (batch->end_run == batch->max_runs)
			return false;
		run->pfn = pfn;
		run->npfns = npfns;
		batch->end_run++;
	}
	batch->npfns += npfns;
	return true;
}

/**
 * pfn_batch_add_pages - append an array of pages
 * @batch: the batch
 * @pages: the pages, as pinning returned them
 * @npages: number of pages
 *
 * Context: Any.
 * Return: how many were appended; fewer than @npages if the batch is full, and
 *	never more than PFN_RUN_MAX_PFNS.
 */
static inline size_t pfn_batch_add_pages(struct pfn_batch *batch,
					 struct page **pages, size_t npages)
{
	if (npages == 1)
		return pfn_batch_add_page(batch, page_to_pfn(pages[0]));
	return pfn_batch_add_array(batch, pages, npages);
}

/**
 * pfn_batch_clear - forget all runs, keep the array
 * @batch: the batch
 *
 * Context: Any.
 */
static inline void pfn_batch_clear(struct pfn_batch *batch)
{
	batch->npfns = 0;
	batch->first_run = 0;
	batch->end_run = 0;
}

/**
 * pfn_batch_init - make an empty batch that uses its inline array
 * @batch: the batch
 *
 * Context: Any.
 */
static inline void pfn_batch_init(struct pfn_batch *batch)
{
	pfn_batch_clear(batch);
	batch->runs = batch->inline_runs;
	batch->max_runs = PFN_BATCH_INLINE_RUNS;
}

/**
 * pfn_batch_is_empty - is there no page in the batch?
 * @batch: the batch
 *
 * Context: Any.
 * Return: whether there is none.
 */
static inline bool pfn_batch_is_empty(const struct pfn_batch *batch)
{
	return !batch->npfns;
}

/**
 * pfn_batch_nruns - count the runs
 * @batch: the batch
 *
 * Context: Any.
 * Return: the number of runs pfn_batch_for_each_run() visits.
 */
static inline unsigned int pfn_batch_nruns(const struct pfn_batch *batch)
{
	return batch->end_run - batch->first_run;
}

/**
 * pfn_batch_room - count the runs that can certainly be added
 * @batch: the batch
 *
 * Context: any.
 * Return: so many pfn_batch_add() of one page each succeed, wherever they are.
 */
static inline unsigned int pfn_batch_room(const struct pfn_batch *batch)
{
	return batch->max_runs - batch->end_run;
}

/**
 * pfn_batch_for_each_run - visit the runs in order
 * @batch: the batch, not to be changed meanwhile
 * @run: a struct pfn_run pointer, const if @batch is not changed through it
 */
#define pfn_batch_for_each_run(batch, run)				\
	for ((run) = (batch)->runs + (batch)->first_run;		\
	     (run) != (batch)->runs + (batch)->end_run; (run)++)

#endif
