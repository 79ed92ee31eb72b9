/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The compact store of PFN runs behind a pages object.
 *
 * A record says which PFNs stood behind a range of indexes when that range was
 * filled. It never changes: what of it is still pinned is known elsewhere, and
 * it is freed whole when nothing it covers is. So cutting a mapping in two, or
 * unpinning the middle of it, needs no memory. What has been unpinned and pinned
 * anew since has a newer record.
 */
#ifndef __IOMMUFD_PFN_EXTENTS_H
#define __IOMMUFD_PFN_EXTENTS_H

#include <linux/compiler.h>
#include <linux/interval_tree.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct pfn_batch;

/**
 * struct pfn_extent - consecutive PFNs behind consecutive indexes
 * @first_index: the first index; the next extent's, or the record's end, says
 *	how many there are
 * @pfn: the PFN behind it
 */
struct pfn_extent {
	unsigned long first_index;
	unsigned long pfn;
};

/**
 * struct pfn_record - the PFNs behind a range of indexes
 * @span: first and last index, for the owner's interval tree
 * @seq: of two records of an index, the one with the higher is true; the owner's
 * @is_lone: no other record has an index of it, nor had; the owner's
 * @nr_extents: elements of @extents; 0: there is @pfns instead
 * @pfns: the PFN behind each index
 * @extents: in the order of their indexes, without a hole
 */
struct pfn_record {
	struct interval_tree_node span;
	u64 seq;
	bool is_lone;
	unsigned int nr_extents;
	union {
		unsigned long *pfns;
		DECLARE_FLEX_ARRAY(struct pfn_extent, extents);
	};
};

bool pfn_record_is_compact(const struct pfn_batch *batch);
struct pfn_record *pfn_record_create(unsigned long first_index,
				     const struct pfn_batch *batch);
struct pfn_record *pfn_record_create_list(unsigned long first_index,
					  unsigned long npages);
void pfn_record_set(struct pfn_record *record, unsigned long first_index,
		    const struct pfn_batch *batch);
void pfn_record_free(struct pfn_record *record);
const struct pfn_extent *pfn_record_extent(const struct pfn_record *record,
					   unsigned long index);
unsigned long pfn_record_run(const struct pfn_record *record,
			     unsigned long index, unsigned long *npages);
unsigned long pfn_record_search(const struct pfn_record *record,
				unsigned long index);
unsigned long pfn_record_read(const struct pfn_record *record,
			      unsigned long first_index, unsigned long npages,
			      struct pfn_batch *batch);

/* The PFN behind an index of an extent. */
static inline unsigned long pfn_extent_pfn(const struct pfn_extent *extent,
					   unsigned long index)
{
	return extent->pfn + (index - extent->first_index);
}

/* How many pages there are in an extent of a record, from an index of it on. */
static inline unsigned long pfn_record_rest(const struct pfn_record *record,
					    const struct pfn_extent *extent,
					    unsigned long index)
{
	if (extent + 1 == record->extents + record->nr_extents)
		return record->span.last - index + 1;
	return extent[1].first_index - index;
}

/**
 * pfn_record_list() - the PFNs of pages of a record, if they are listed
 * @record: the record
 * @index: the first page, in the record
 *
 * Context: any.
 * Return: them, one for each page from the first on, or NULL.
 */
static inline const unsigned long *
pfn_record_list(const struct pfn_record *record, unsigned long index)
{
	if (record->nr_extents)
		return NULL;
	return record->pfns + (index - record->span.start);
}

/**
 * pfn_record_pfn() - the PFN behind an index
 * @record: where it is known
 * @index: the index, in the record
 *
 * Context: any.
 * Return: the PFN.
 */
static inline unsigned long pfn_record_pfn(const struct pfn_record *record,
					   unsigned long index)
{
	const unsigned long *pfn = pfn_record_list(record, index);

	return likely(pfn) ? *pfn : pfn_record_search(record, index);
}

#endif
