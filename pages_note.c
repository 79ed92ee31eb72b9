// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes of scattered memory: what a copy by the CPU leaves behind so that the next
 * one need not ask a domain, which takes as long as half of the copy.
 *
 * A note is a record like those that are made of compact memory when it is pinned,
 * and is forgotten like them: it is a newer record that makes it void, or that
 * nothing it covers is pinned any more. It costs eight bytes for each page, as much as
 * the page tables of a domain; so it is made only of memory that is copied again and
 * again, or much at a time.
 */
#include <linux/minmax.h>
#include <linux/percpu.h>

#include "pages.h"
#include "pfn_extents.h"

/* Pages that share a note, which thus has no more than a page of memory. */
#define IOPT_NOTE_PAGES (PAGE_SIZE / sizeof(unsigned long))

/* A copy of so many of them makes up for the note by itself, nearly. */
#define IOPT_NOTE_WORTH_PAGES (IOPT_NOTE_PAGES / 8)

/* Of which pages a copy last asked a domain. Only ever compared. */
static DEFINE_PER_CPU(unsigned long, iopt_note_missed);

/**
 * iopt_note_is_worth() - shall it be noted what a domain would be asked for?
 * @pages: whose PFNs
 * @index: the first page to be copied, which no record knows
 * @npages: how many
 *
 * Of little that is copied only once there shall be no note: it takes as long as to
 * ask for all the pages that share it.
 *
 * Context: any.
 * Return: true if there was just such a question before, or it is about many.
 */
bool iopt_note_is_worth(const struct iopt_pages *pages, unsigned long index,
			unsigned long npages)
{
	unsigned long missed = (unsigned long)pages + index / IOPT_NOTE_PAGES;

	if (!READ_ONCE(iopt_extents))
		return false;
	return this_cpu_xchg(iopt_note_missed, missed) == missed ||
	       npages >= IOPT_NOTE_WORTH_PAGES;
}

/* Write down what a slice shows from one index to another. */
static struct pfn_record *iopt_note_read(struct iopt_slice *slice,
					 unsigned long first_index,
					 unsigned long end_index)
{
	unsigned long npages, index;
	struct pfn_record *note;
	struct pfn_batch batch __uninitialized;

	note = pfn_record_create_list(first_index, end_index - first_index);
	if (!note)
		return NULL;
	pfn_batch_init(&batch);
	for (index = first_index; index != end_index; index += npages) {
		npages = iopt_slice_read(slice, index - slice->span.start,
					 end_index - index, &batch);
		if (!npages)
			break;
		pfn_record_set(note, index, &batch);
		pfn_batch_clear(&batch);
	}
	pfn_batch_destroy(&batch);
	if (index == end_index)
		return note;
	pfn_record_free(note);
	return NULL;
}

/**
 * iopt_pages_note() - note the PFNs that stand behind a page and its neighbours
 * @pages: whose
 * @index: the page
 *
 * What it was asked for can have changed, and there can be no memory: then nothing is
 * noted, and nobody misses it.
 *
 * Context: process, no section; sleeps.
 */
void iopt_pages_note(struct iopt_pages *pages, unsigned long index)
{
	struct iopt_busy busy = {
		.first_index = round_down(index, IOPT_NOTE_PAGES),
		.last_index = index | (IOPT_NOTE_PAGES - 1),
	};
	struct iopt_cover cover = { .first_index = index, .last_index = index };
	struct iopt_slice *slice;
	unsigned long end_index;

	iopt_pages_lock_range(pages, &busy);
	iopt_pages_cover_slice(pages, &cover);
	slice = cover.slice;
	if (slice && !slice->run_pfn && !slice->quarantined) {
		end_index = min(busy.last_index + 1,
				slice->span.start + slice->filled_pages);
		iopt_pages_insert_record(pages,
					 iopt_note_read(slice,
							max(busy.first_index,
							    slice->span.start),
							end_index));
	}
	iopt_pages_unlock_range(pages, &busy);
}
