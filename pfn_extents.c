// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of PFN runs; see pfn_extents.h.
 *
 * Sixteen bytes for a run: with 2 MiB pages that is 8 MiB for each TiB, less
 * than 0.001 %. With 4 KiB runs it would be half of what the page tables cost,
 * so records of scattered memory are not made.
 */
#include <linux/bug.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "pfn_batch.h"
#include "pfn_extents.h"

/* Pages a run must have on average to be worth its sixteen bytes. */
#define PFN_RECORD_MIN_RUN 16

/**
 * pfn_record_is_compact() - is a batch worth a record?
 * @batch: the batch
 *
 * Context: any.
 * Return: true if its runs are long enough on average.
 */
bool pfn_record_is_compact(const struct pfn_batch *batch)
{
	return batch->npfns / PFN_RECORD_MIN_RUN >= pfn_batch_nruns(batch);
}

/**
 * pfn_record_create() - remember a batch
 * @first_index: index of its first page
 * @batch: the PFNs, not empty
 *
 * Context: process; sleeps.
 * Return: the record, or NULL if there is no memory.
 */
struct pfn_record *pfn_record_create(unsigned long first_index,
				     const struct pfn_batch *batch)
{
	unsigned int nr_extents = pfn_batch_nruns(batch);
	struct pfn_record *record;
	const struct pfn_run *run;
	struct pfn_extent *extent;

	record = kmalloc(struct_size(record, extents, nr_extents),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY);
	if (!record)
		return NULL;

	record->span.start = first_index;
	record->span.last = first_index + batch->npfns - 1;
	record->nr_extents = nr_extents;
	extent = record->extents;
	pfn_batch_for_each_run(batch, run) {
		extent->first_index = first_index;
		extent->pfn = run->pfn;
		first_index += run->npfns;
		extent++;
	}
	return record;
}

/**
 * pfn_record_free() - forget a record
 * @record: a record in no tree
 *
 * Context: any.
 */
void pfn_record_free(struct pfn_record *record)
{
	kfree(record);
}

/**
 * pfn_record_extent() - the extent that an index lies in
 * @record: where to look
 * @index: the index, in the record
 *
 * Context: any.
 * Return: the extent.
 */
const struct pfn_extent *pfn_record_extent(const struct pfn_record *record,
					   unsigned long index)
{
	unsigned int low = 0, high = record->nr_extents;

	while (high - low > 1) {
		unsigned int middle = low + (high - low) / 2;

		if (record->extents[middle].first_index <= index)
			low = middle;
		else
			high = middle;
	}
	return &record->extents[low];
}

/**
 * pfn_record_pfn() - the PFN behind an index
 * @record: where it is known
 * @index: the index, in the record
 *
 * Context: any.
 * Return: the PFN.
 */
unsigned long pfn_record_pfn(const struct pfn_record *record,
			     unsigned long index)
{
	return pfn_extent_pfn(pfn_record_extent(record, index), index);
}

/**
 * pfn_record_read() - add PFNs to a batch
 * @record: where they are known
 * @first_index: first index wanted, in the record
 * @npages: how many at most, at least 1; may reach past the record
 * @batch: what they are added to
 *
 * Stops in front of a run that does not fit into the batch as a whole.
 *
 * Context: any.
 * Return: pages added.
 */
unsigned long pfn_record_read(const struct pfn_record *record,
			      unsigned long first_index, unsigned long npages,
			      struct pfn_batch *batch)
{
	const struct pfn_extent *extent = pfn_record_extent(record, first_index);
	unsigned long done = 0;

	npages = min(npages, record->span.last - first_index + 1);
	while (done != npages) {
		unsigned long index = first_index + done;
		unsigned long n = min(npages - done,
				      pfn_record_rest(record, extent, index));

		if (!pfn_batch_add_run(batch, pfn_extent_pfn(extent, index), n))
			break;
		done += n;
		extent++;
	}
	return done;
}
