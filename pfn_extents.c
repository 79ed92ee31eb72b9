// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of PFN runs; see pfn_extents.h.
 *
 * Sixteen bytes for a run: with 2 MiB pages that is 8 MiB for each TiB, less
 * than 0.001 %. With 4 KiB runs it would be twice what the page tables cost: of
 * scattered memory there are only lists, of eight bytes a page, where that pays.
 */
#include <linux/bug.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "pfn_batch.h"
#include "pfn_extents.h"

/* Pages a run must have on average to be worth its sixteen bytes. */
#define PFN_RECORD_MIN_RUN 16

/* Nearly everybody can do without a record. */
#define PFN_RECORD_GFP (GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY)

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

	/* What is in front of them is less than struct_size() takes it for. */
	record = kmalloc(size_add(offsetof(struct pfn_record, extents),
				  flex_array_size(record, extents, nr_extents)),
			 PFN_RECORD_GFP);
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
 * pfn_record_create_list() - make a record that has a PFN for each page
 * @first_index: index of its first page
 * @npages: how many, at least 1; pfn_record_set() says what they are
 *
 * The array is by itself: what fills a page of memory shall need no more than that.
 *
 * Context: process; sleeps.
 * Return: the record, or NULL if there is no memory.
 */
struct pfn_record *pfn_record_create_list(unsigned long first_index,
					  unsigned long npages)
{
	struct pfn_record *record = kmalloc(sizeof(*record), PFN_RECORD_GFP);

	if (!record)
		return NULL;
	record->span.start = first_index;
	record->span.last = first_index + npages - 1;
	record->nr_extents = 0;
	record->pfns = kmalloc_array(npages, sizeof(*record->pfns),
				     PFN_RECORD_GFP);
	if (record->pfns)
		return record;
	kfree(record);
	return NULL;
}

/**
 * pfn_record_set() - say what stands behind some pages of a new record
 * @record: from pfn_record_create_list(), in no tree yet
 * @first_index: index of the first page
 * @batch: the PFNs
 *
 * Context: any.
 */
void pfn_record_set(struct pfn_record *record, unsigned long first_index,
		    const struct pfn_batch *batch)
{
	unsigned long *pfn = record->pfns + (first_index - record->span.start);
	const struct pfn_run *run;

	pfn_batch_for_each_run(batch, run)
		for (unsigned long i = 0; i < run->npfns; i++)
			*pfn++ = run->pfn + i;
}

/**
 * pfn_record_free() - forget a record
 * @record: a record in no tree, or NULL
 *
 * Context: any.
 */
void pfn_record_free(struct pfn_record *record)
{
	if (record && !record->nr_extents)
		kfree(record->pfns);
	kfree(record);
}

/**
 * pfn_record_extent() - the extent that an index lies in
 * @record: where to look; it has extents
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

/* Pages from the first of a list on that follow each other. */
static unsigned long pfn_list_run(const unsigned long *pfns,
				  unsigned long npages)
{
	unsigned long n = 1;

	while (n < npages && pfns[n] == pfns[0] + n)
		n++;
	return n;
}

/**
 * pfn_record_run() - the PFN behind an index, and how long the run is
 * @record: where it is known
 * @index: the index, in the record
 * @npages: how many pages are wanted, at least 1; lowered to those of the record
 *	that are known to follow each other
 *
 * Context: any.
 * Return: the PFN.
 */
unsigned long pfn_record_run(const struct pfn_record *record,
			     unsigned long index, unsigned long *npages)
{
	const unsigned long *pfns = pfn_record_list(record, index);
	const struct pfn_extent *extent;

	*npages = min(*npages, record->span.last - index + 1);
	if (pfns) {
		*npages = pfn_list_run(pfns, *npages);
		return *pfns;
	}
	extent = pfn_record_extent(record, index);
	*npages = min(*npages, pfn_record_rest(record, extent, index));
	return pfn_extent_pfn(extent, index);
}

/**
 * pfn_record_search() - pfn_record_pfn() of a record that has no list
 * @record: where it is known
 * @index: the index, in the record
 *
 * Context: any.
 * Return: the PFN.
 */
unsigned long pfn_record_search(const struct pfn_record *record,
				unsigned long index)
{
	return pfn_extent_pfn(pfn_record_extent(record, index), index);
}

static unsigned long pfn_record_read_list(const unsigned long *pfns,
					  unsigned long npages,
					  struct pfn_batch *batch)
{
	unsigned long done = 0;

	while (done != npages && pfn_batch_add_page(batch, pfns[done]))
		done++;
	return done;
}

static unsigned long pfn_record_read_extents(const struct pfn_record *record,
					     unsigned long first_index,
					     unsigned long npages,
					     struct pfn_batch *batch)
{
	const struct pfn_extent *extent = pfn_record_extent(record, first_index);
	unsigned long done = 0;

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
	const unsigned long *pfns = pfn_record_list(record, first_index);

	npages = min(npages, record->span.last - first_index + 1);
	if (pfns)
		return pfn_record_read_list(pfns, npages, batch);
	return pfn_record_read_extents(record, first_index, npages, batch);
}
