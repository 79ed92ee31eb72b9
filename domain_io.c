// SPDX-License-Identifier: GPL-2.0-only
/*
 * The only caller of IOMMU driver operations on page tables. The contract is
 * in the header.
 */
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mem_encrypt.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "domain_io.h"
#include "pfn_batch.h"

/* Page-table walks between two looks whether others want the CPU. */
#define DOMAIN_IO_RESCHED_PAGES 4096

/* Pages that are looked at for a place where a run ends. */
#define DOMAIN_IO_PAUSE_PAGES 16

/**
 * struct domain_io_step - one call of a driver's map_pages
 * @iova: first IOVA
 * @phys: physical address of it
 * @pgsize: a page size of the domain
 * @pgcount: pages of that size, at least 1
 */
struct domain_io_step {
	unsigned long iova;
	phys_addr_t phys;
	size_t pgsize;
	size_t pgcount;
};

/**
 * struct domain_io_call - a call of domain_io_map()
 * @domain: where
 * @iommu_prot: how
 * @small_bytes: how much a call may map at a time if no leaf is to be larger than a
 *	page; 0 if leaves may be
 * @done: bytes mapped, from the first on
 */
struct domain_io_call {
	struct iommu_domain *domain;
	int iommu_prot;
	unsigned long small_bytes;
	unsigned long done;
};

/*
 * Scattered memory comes in single pages, small or huge: for a run that is one leaf
 * there is nothing to choose.
 */
static __always_inline bool domain_io_is_leaf(const struct iommu_domain *domain,
					      const struct domain_io_step *step,
					      unsigned long length)
{
	return is_power_of_2(length) && (domain->pgsize_bitmap & length) &&
	       IS_ALIGNED(step->iova | step->phys, length);
}

/*
 * The largest page that both addresses are aligned to and that fits, and as
 * many of them as can be had before a still larger page becomes possible.
 */
static void domain_io_choose_large(const struct iommu_domain *domain,
				   struct domain_io_step *step,
				   unsigned long length)
{
	unsigned long misaligned = step->iova | step->phys;
	unsigned long fits = domain->pgsize_bitmap & GENMASK(__fls(length), 0);
	unsigned long larger, until_larger;

	if (misaligned)
		fits &= GENMASK(__ffs(misaligned), 0);
	step->pgsize = 1UL << __fls(fits);

	larger = domain->pgsize_bitmap & ~(step->pgsize | (step->pgsize - 1));
	if (larger) {
		larger &= -larger;
		until_larger = -step->iova & (larger - 1);
		if (!((step->iova ^ step->phys) & (larger - 1)) &&
		    until_larger < length && length - until_larger >= larger)
			length = until_larger;
	}
	step->pgcount = length / step->pgsize;
}

/*
 * After a failed call: whatever stands in the range it was asked to map is of
 * its making, since nobody else works on the range. Whole leaves stand there,
 * so each stretch found present starts and ends where leaves do. They need not
 * be of the size the driver was asked for.
 */
static unsigned long domain_io_unmap_inside(struct iommu_domain *domain,
					    unsigned long first_iova,
					    unsigned long length);

static noinline int domain_io_scrub(struct iommu_domain *domain,
				    unsigned long iova, unsigned long length)
{
	unsigned long granule = 1UL << __ffs(domain->pgsize_bitmap);
	unsigned long end = iova + length;
	int rc = 0;

	while (iova != end) {
		unsigned long first_iova = iova;

		while (iova != end && iommu_iova_to_phys(domain, iova))
			iova += granule;
		if (iova == first_iova)
			iova += granule;
		else if (domain_io_unmap_inside(domain, first_iova,
						iova - first_iova) !=
			 iova - first_iova)
			rc = -ENOTRECOVERABLE;
		cond_resched();
	}
	return rc;
}

/*
 * VT-d's driver makes the largest leaves that a call has room for, whatever page size
 * it is told: so a call is shorter than the next size. That is a page where there are
 * all powers of two, as on AMD.
 *
 * virtio-iommu can unmap what one call has mapped only as a whole, and no driver says
 * whether it can do better. Those of 6.12 that make domains for user space themselves
 * do: VT-d's, AMD's and SMMUv3's. To the others each page is a call.
 */
static unsigned long domain_io_small_bytes(const struct iommu_domain *domain)
{
	unsigned long larger = domain->pgsize_bitmap & -(2 * PAGE_SIZE);

	if (!larger || !domain->owner || !domain->owner->domain_alloc_user)
		return PAGE_SIZE;
	return (larger & -larger) - PAGE_SIZE;
}

/* Pages of memory, in the domain's largest pages that are not larger. */
static void domain_io_choose_small(const struct iommu_domain *domain,
				   struct domain_io_step *step,
				   unsigned long length)
{
	unsigned long fits = domain->pgsize_bitmap &
			     (PAGE_SIZE | (PAGE_SIZE - 1));

	step->pgsize = 1UL << __fls(fits);
	step->pgcount = length / step->pgsize;
}

static void domain_io_choose(const struct domain_io_call *call,
			     struct domain_io_step *step, unsigned long length)
{
	if ((length <= PAGE_SIZE || !call->small_bytes) &&
	    domain_io_is_leaf(call->domain, step, length)) {
		step->pgsize = length;
		step->pgcount = 1;
	} else if (call->small_bytes) {
		domain_io_choose_small(call->domain, step,
				       min(length, call->small_bytes));
	} else {
		domain_io_choose_large(call->domain, step, length);
	}
}

/*
 * Call the driver once.
 *
 * Return: 0 with more than 0 bytes mapped, or -errno with none.
 */
static __always_inline int domain_io_put(struct iommu_domain *domain,
					 const struct domain_io_step *step,
					 int iommu_prot, size_t *mapped)
{
	int rc;

	*mapped = 0;
	rc = domain->ops->map_pages(domain, step->iova, step->phys,
				    step->pgsize, step->pgcount, iommu_prot,
				    GFP_KERNEL_ACCOUNT, mapped);
	if (likely(!rc && *mapped))
		return 0;
	*mapped = 0;
	return domain_io_scrub(domain, step->iova,
			       step->pgsize * step->pgcount) ?: rc ?: -ENOMEM;
}

/*
 * Map one physically contiguous range. On error, nothing is mapped behind what
 * the call counts as done.
 */
static int domain_io_map_run(struct domain_io_call *call,
			     struct domain_io_step *step, unsigned long length)
{
	while (length) {
		size_t mapped;
		int rc;

		domain_io_choose(call, step, length);
		rc = domain_io_put(call->domain, step, call->iommu_prot,
				   &mapped);
		if (rc)
			return rc;
		step->iova += mapped;
		step->phys += mapped;
		length -= mapped;
		call->done += mapped;
	}
	return 0;
}

static noinline int domain_io_map_runs(struct domain_io_call *call,
				       const struct domain_io_span *span,
				       const struct pfn_batch *batch)
{
	struct domain_io_step step = { .iova = span->first_iova };
	unsigned int offset = span->page_offset;
	const struct pfn_run *run;

	if (!IS_ALIGNED(span->first_iova | span->length | offset,
			1UL << __ffs(call->domain->pgsize_bitmap)))
		return -EINVAL;
	if (span->small_pages)
		call->small_bytes = domain_io_small_bytes(call->domain);

	pfn_batch_for_each_run(batch, run) {
		unsigned long length = ((unsigned long)run->npfns << PAGE_SHIFT) -
				       offset;
		int rc;

		step.phys = PFN_PHYS(run->pfn) + offset;
		length = min(length, span->length - call->done);
		rc = domain_io_map_run(call, &step, length);
		if (rc)
			return rc;
		offset = 0;
	}
	return 0;
}

/* As domain_io_map(), inside. */
static __always_inline int domain_io_do_map(struct iommu_domain *domain,
					    const struct domain_io_span *span,
					    const struct pfn_batch *batch,
					    int iommu_prot)
{
	const struct pfn_run *run = batch->runs + batch->first_run;
	const struct domain_io_step page = {
		.iova = span->first_iova,
		.phys = PFN_PHYS(run->pfn) + span->page_offset,
		.pgsize = PAGE_SIZE,
		.pgcount = 1,
	};
	size_t done;
	int rc;

	if (span->length == PAGE_SIZE &&
	    domain_io_is_leaf(domain, &page, PAGE_SIZE)) {
		rc = domain_io_put(domain, &page, iommu_prot, &done);
	} else {
		struct domain_io_call call = {
			.domain = domain,
			.iommu_prot = iommu_prot,
		};

		rc = domain_io_map_runs(&call, span, batch);
		done = call.done;
	}
	if (!rc && domain->ops->iotlb_sync_map)
		rc = domain->ops->iotlb_sync_map(domain, span->first_iova,
						 span->length);
	if (unlikely(rc) && done &&
	    domain_io_unmap_inside(domain, span->first_iova, done) != done)
		return -ENOTRECOVERABLE;
	return rc;
}

/**
 * domain_io_map() - map a batch of PFNs at consecutive IOVAs
 * @io: domain; the IOVAs lie in its aperture and are aligned to its smallest page,
 *	and nothing is mapped there
 * @span: where; holds not more bytes than the batch
 * @batch: what
 * @iommu_prot: IOMMU_READ, IOMMU_WRITE, IOMMU_CACHE
 *
 * Context: a section over the indexes; sleeps, also while devices are attached or
 * detached, allocates page tables charged to the current memory cgroup.
 * Return: 0 with all of it mapped and visible to devices; -EINVAL if it is not
 * aligned to the domain's smallest page, or the driver's -errno, with nothing
 * of it mapped; -ENOTRECOVERABLE if the driver failed to take back what it had
 * mapped, so that some of it may still be reachable.
 */
int domain_io_map(struct domain_io *io, const struct domain_io_span *span,
		  const struct pfn_batch *batch, int iommu_prot)
{
	int rc;

	iommufd_gate_enter(&io->gate);
	rc = domain_io_do_map(io->domain, span, batch, iommu_prot);
	iommufd_gate_leave(&io->gate);
	return rc;
}

static __always_inline void domain_io_init_unmap(struct domain_io_unmap *unmap,
						 struct iommu_domain *domain)
{
	unmap->domain = domain;
	iommu_iotlb_gather_init(&unmap->gather);
}

/**
 * domain_io_begin_unmap() - get ready to unmap ranges
 * @unmap: what to prepare
 * @io: domain
 *
 * Context: process; sleeps while devices are attached or detached, which wait until
 * domain_io_end_unmap().
 */
void domain_io_begin_unmap(struct domain_io_unmap *unmap, struct domain_io *io)
{
	unmap->io = io;
	iommufd_gate_enter(&io->gate);
	domain_io_init_unmap(unmap, io->domain);
}

/*
 * VT-d's driver frees page tables with the next flush, and adds a range to what is to
 * be flushed only when it has taken its tables out. If the two do not go together, it
 * flushes what it was asked to before: the tables go, and the IOMMU can still walk
 * them. A range that has a table of its own meets nothing like that.
 */
static void domain_io_flush_other(struct domain_io_unmap *unmap,
				  unsigned long first_iova, unsigned long length)
{
	struct iommu_iotlb_gather *gather = &unmap->gather;

	if (length < SZ_2M || !gather->pgsize)
		return;
	if (gather->pgsize != length ||
	    iommu_iotlb_gather_is_disjoint(gather, first_iova, length))
		iommu_iotlb_sync(unmap->domain, gather);
}

/* Unmap what is not a page, or what the driver has left of one. */
static noinline unsigned long domain_io_unmap_rest(struct domain_io_unmap *unmap,
						   unsigned long first_iova,
						   unsigned long length,
						   size_t unmapped)
{
	domain_io_flush_other(unmap, first_iova, length);
	if (unmapped < length)
		unmapped += iommu_unmap_fast(unmap->domain,
					     first_iova + unmapped,
					     length - unmapped, &unmap->gather);
	/* More than asked for would be a neighbour's; the contract forbids it. */
	WARN_ON_ONCE(unmapped > length);
	return min(unmapped, length);
}

/*
 * As domain_io_unmap_range(). For a page there is nothing to choose, as in
 * domain_io_choose(). But it can be made of smaller leaves, which a driver may take
 * out one by one.
 */
static __always_inline unsigned long
domain_io_do_unmap(struct domain_io_unmap *unmap, unsigned long first_iova,
		   unsigned long length)
{
	struct iommu_domain *domain = unmap->domain;
	size_t unmapped = 0;

	if (length == PAGE_SIZE && IS_ALIGNED(first_iova, PAGE_SIZE) &&
	    (domain->pgsize_bitmap & PAGE_SIZE)) {
		unmapped = domain->ops->unmap_pages(domain, first_iova,
						    PAGE_SIZE, 1,
						    &unmap->gather);
		if (likely(unmapped == PAGE_SIZE) || !unmapped)
			return unmapped;
	}
	return domain_io_unmap_rest(unmap, first_iova, length, unmapped);
}

/**
 * domain_io_unmap_range() - unmap a range
 * @unmap: begun
 * @first_iova: first IOVA; a map started here
 * @length: bytes; a map ends there, and there is no hole
 *
 * Context: a section over the indexes; sleeps.
 * Return: bytes unmapped, @length unless the driver stopped early: what lies
 * behind may still be reachable by devices. All of it may be, until
 * domain_io_end_unmap().
 */
unsigned long domain_io_unmap_range(struct domain_io_unmap *unmap,
				    unsigned long first_iova,
				    unsigned long length)
{
	return domain_io_do_unmap(unmap, first_iova, length);
}

/**
 * domain_io_end_unmap() - flush the IOTLB of all that was unmapped
 * @unmap: begun
 *
 * Context: process; the sections over what was unmapped still held; sleeps.
 */
void domain_io_end_unmap(struct domain_io_unmap *unmap)
{
	iommu_iotlb_sync(unmap->domain, &unmap->gather);
	iommufd_gate_leave(&unmap->io->gate);
}

/* As domain_io_unmap(), inside. */
static __always_inline unsigned long
__domain_io_unmap(struct iommu_domain *domain, unsigned long first_iova,
		  unsigned long length)
{
	struct domain_io_unmap unmap __uninitialized;
	unsigned long unmapped;

	domain_io_init_unmap(&unmap, domain);
	unmapped = domain_io_do_unmap(&unmap, first_iova, length);
	iommu_iotlb_sync(domain, &unmap.gather);
	return unmapped;
}

/* For what a map has to take back. */
static noinline unsigned long domain_io_unmap_inside(struct iommu_domain *domain,
						     unsigned long first_iova,
						     unsigned long length)
{
	return __domain_io_unmap(domain, first_iova, length);
}

/**
 * domain_io_unmap() - unmap a range and flush the IOTLB of it
 * @io: domain
 * @first_iova: first IOVA; a map started here
 * @length: bytes; a map ends there, and there is no hole
 *
 * Context: a section over the indexes; sleeps, also while devices are attached or
 * detached.
 * Return: bytes unmapped, @length unless the driver stopped early: what lies
 * behind may still be reachable by devices.
 */
unsigned long domain_io_unmap(struct domain_io *io, unsigned long first_iova,
			      unsigned long length)
{
	unsigned long unmapped;

	iommufd_gate_enter(&io->gate);
	unmapped = __domain_io_unmap(io->domain, first_iova, length);
	iommufd_gate_leave(&io->gate);
	return unmapped;
}

/* Bytes of a span in front of one of its pages. */
static unsigned long domain_io_offset(const struct domain_io_span *span,
				      unsigned long page)
{
	return page ? page * PAGE_SIZE - span->page_offset : 0;
}

static unsigned long domain_io_span_pfn(struct iommu_domain *domain,
					const struct domain_io_span *span,
					unsigned long page)
{
	return domain_io_read_pfn(domain, span->first_iova +
					  domain_io_offset(span, page));
}

/*
 * Look for a place to pause at, behind so many pages: a map has ended for certain
 * where two neighbours show memory that lies elsewhere.
 *
 * Return: the first page behind it, or @end_page.
 */
static unsigned long domain_io_pause_at(struct iommu_domain *domain,
					const struct domain_io_span *span,
					unsigned long page,
					unsigned long end_page)
{
	for (page += DOMAIN_IO_RESCHED_PAGES;
	     page < end_page && end_page - page > DOMAIN_IO_PAUSE_PAGES;
	     page += DOMAIN_IO_RESCHED_PAGES) {
		unsigned long pfn = domain_io_span_pfn(domain, span, page - 1);

		for (unsigned long i = 0; i < DOMAIN_IO_PAUSE_PAGES; i++) {
			unsigned long prev_pfn = pfn;

			pfn = domain_io_span_pfn(domain, span, page + i);
			if (pfn != prev_pfn + 1)
				return page + i;
		}
	}
	return end_page;
}

/**
 * domain_io_unmap_scattered() - unmap scattered memory, and flush the IOTLB of it
 * @io: domain
 * @span: where; as for domain_io_unmap()
 *
 * As domain_io_unmap(), but others can run and devices can be attached meanwhile,
 * although the IOTLB is flushed once only: it is that of all who can have met what
 * was unmapped.
 *
 * Context: as domain_io_unmap().
 * Return: as domain_io_unmap().
 */
unsigned long domain_io_unmap_scattered(struct domain_io *io,
					const struct domain_io_span *span)
{
	unsigned long end_page = PFN_UP(span->page_offset + span->length);
	struct iommu_domain *domain = io->domain;
	unsigned long page = 0, done = 0;
	struct iommu_iotlb_gather gather;

	iommufd_gate_enter(&io->gate);
	iommu_iotlb_gather_init(&gather);
	while (page != end_page) {
		unsigned long length = span->length - done;
		size_t unmapped;

		page = domain_io_pause_at(domain, span, page, end_page);
		if (page != end_page)
			length = domain_io_offset(span, page) - done;
		unmapped = iommu_unmap_fast(domain, span->first_iova + done,
					    length, &gather);
		WARN_ON_ONCE(unmapped > length);
		done += min(unmapped, length);
		if (unmapped < length)
			break;
		iommufd_gate_pause(&io->gate);
		cond_resched();
	}
	iommu_iotlb_sync(domain, &gather);
	iommufd_gate_leave(&io->gate);
	return done;
}

/**
 * domain_io_read_pfn() - read one PFN back from a domain
 * @domain: domain
 * @iova: where to read; any address of the page
 *
 * Does what iommu_iova_to_phys() does, for each of many pages.
 *
 * PFN 0 cannot be told from nothing. It is never user memory where there is an
 * IOMMU: x86 keeps it for firmware, other machines have no RAM there.
 *
 * Context: any, with something that keeps it mapped, such as a section.
 * Return: the PFN; 0 if the domain does not know it.
 */
unsigned long domain_io_read_pfn(struct iommu_domain *domain,
				 unsigned long iova)
{
	phys_addr_t phys = domain->ops->iova_to_phys(domain, iova);

	/* Entries of AMD's page tables can carry the encryption bit. */
	return PHYS_PFN(__sme_clr(phys));
}

/**
 * domain_io_read() - read PFNs back from a domain, as many as the batch holds
 * @domain: domain in which all of @span is mapped
 * @span: where to read
 * @batch: the PFNs are added to it; must be empty
 *
 * The batch ends at the end of the span or of a physically contiguous run, so
 * the pages read end where a map did.
 *
 * Context: a section over the indexes; sleeps.
 * Return: pages read; 0 if the domain does not know the first of them.
 */
unsigned long domain_io_read(struct iommu_domain *domain,
			     const struct domain_io_span *span,
			     struct pfn_batch *batch)
{
	unsigned long iova = span->first_iova;
	unsigned int offset = span->page_offset;
	unsigned long npages = 0;

	/* A difference, not a sum: the span may end with the address space. */
	do {
		unsigned long pfn = domain_io_read_pfn(domain, iova);

		if (!pfn || !pfn_batch_add_page(batch, pfn))
			break;
		if (!(++npages % DOMAIN_IO_RESCHED_PAGES))
			cond_resched();
		iova += PAGE_SIZE - offset;
		offset = 0;
	} while (iova - span->first_iova < span->length);
	return npages;
}

/**
 * domain_io_track_dirty() - have devices leave a trace of what they write, or not
 * @io: domain with dirty_ops
 * @enable: they do
 *
 * Drivers go through the devices that are attached. AMD's sets one up that comes for
 * what it saw before it was among them, and so it would leave no trace; and it writes
 * the table entry of one that goes as it was before that. VT-d's fails for a device that
 * is not set up yet. So none comes or goes meanwhile. Of two that switch it at a time,
 * drivers make one wait.
 *
 * Context: process; sleeps, also while devices are attached or detached.
 * Return: 0 or the driver's -errno.
 */
int domain_io_track_dirty(struct domain_io *io, bool enable)
{
	int rc;

	iommufd_gate_enter(&io->gate);
	rc = io->domain->dirty_ops->set_dirty_tracking(io->domain, enable);
	iommufd_gate_leave(&io->gate);
	return rc;
}

/**
 * domain_io_begin_dirty() - get ready to read dirty bits
 * @dirty: @io, of a domain with dirty_ops, and @keep are set
 *
 * Context: any.
 */
void domain_io_begin_dirty(struct domain_io_dirty *dirty)
{
	iommu_iotlb_gather_init(&dirty->gather);
}

/**
 * domain_io_end_dirty() - flush the IOTLB of leaves that were cleared
 * @dirty: begun
 *
 * What a driver records as dirty has no page size in its gather, as leaves come in
 * all sizes. SMMUv3 flushes nothing without one, and with one only the leaves of
 * that size. So all of the domain is flushed, where there is a way to do that: what
 * stayed in the IOTLB as dirty would never be seen to be written again.
 *
 * Context: process; sleeps, also while devices are attached or detached.
 */
void domain_io_end_dirty(struct domain_io_dirty *dirty)
{
	struct iommu_domain *domain = dirty->io->domain;

	if (dirty->gather.start > dirty->gather.end)
		return;
	iommufd_gate_enter(&dirty->io->gate);
	if (domain->ops->flush_iotlb_all)
		iommu_flush_iotlb_all(domain);
	else
		iommu_iotlb_sync(domain, &dirty->gather);
	iommufd_gate_leave(&dirty->io->gate);
}

/* Does a range show memory that lies in one piece, at multiples of its size? */
static bool domain_io_may_be_leaf(struct iommu_domain *domain,
				  unsigned long first_iova, size_t size)
{
	unsigned long last = size - (1UL << __ffs(domain->pgsize_bitmap));
	phys_addr_t phys = iommu_iova_to_phys(domain, first_iova);

	return IS_ALIGNED(phys, size) &&
	       iommu_iova_to_phys(domain, first_iova + last) == phys + last;
}

/*
 * The largest leaf that can be in a span and have a border of a read inside. Which
 * leaves the driver has chosen nobody knows: but they are as large as one of its
 * page sizes, and aligned to that at either end of the translation. The largest one
 * that is possible is looked for, so no leaf reaches across the ends of it.
 *
 * Return: its size with the border rounded down to its first IOVA, or 0.
 */
static size_t domain_io_leaf_across(struct iommu_domain *domain,
				    const struct domain_io_span *span,
				    unsigned long *border_iova)
{
	unsigned long sizes = domain->pgsize_bitmap & GENMASK(__fls(span->length), 0);
	unsigned long last_offset = span->length - 1;

	if (span->small_pages)
		sizes &= PAGE_SIZE | (PAGE_SIZE - 1);
	while (sizes) {
		size_t size = 1UL << __fls(sizes);
		unsigned long first_iova = *border_iova & -size;
		unsigned long offset = first_iova - span->first_iova;

		if (first_iova == *border_iova)
			break;
		/* In front of the span, the offset has wrapped. */
		if (offset <= last_offset && size - 1 <= last_offset - offset &&
		    domain_io_may_be_leaf(domain, first_iova, size)) {
			*border_iova = first_iova;
			return size;
		}
		sizes ^= size;
	}
	return 0;
}

static int domain_io_call_dirty(struct domain_io_dirty *dirty,
				unsigned long first_iova,
				unsigned long last_iova, bool keep)
{
	struct iommu_domain *domain = dirty->io->domain;
	struct iommu_dirty_bitmap to = {
		.bitmap = dirty->bitmap,
		.gather = keep ? NULL : &dirty->gather,
	};

	int rc;

	iommufd_gate_enter(&dirty->io->gate);
	rc = domain->dirty_ops->read_and_clear_dirty(domain, first_iova,
						     last_iova - first_iova + 1,
						     keep ? IOMMU_DIRTY_NO_CLEAR : 0,
						     &to);
	iommufd_gate_leave(&dirty->io->gate);
	return rc;
}

/* Read from where a leaf begins, to anywhere. */
static int domain_io_read_dirty_from(struct domain_io_dirty *dirty,
				     const struct domain_io_span *span,
				     unsigned long first_iova,
				     unsigned long last_iova)
{
	unsigned long border_iova = last_iova + 1;
	int rc = 0;

	if (dirty->keep || border_iova - span->first_iova == span->length ||
	    !domain_io_leaf_across(dirty->io->domain, span, &border_iova))
		return domain_io_call_dirty(dirty, first_iova, last_iova,
					    dirty->keep);
	if (border_iova != first_iova)
		rc = domain_io_call_dirty(dirty, first_iova, border_iova - 1,
					  false);
	return rc ?: domain_io_call_dirty(dirty, border_iova, last_iova, true);
}

/**
 * domain_io_read_dirty() - record, and clear, what is dirty in a range
 * @dirty: begun
 * @span: a range around it: a map call started and one ended there, and there is
 *	no hole in it
 * @first_iova: first IOVA, a multiple of the domain's smallest page
 * @last_iova: last IOVA, inclusive; a page ends there
 *
 * A leaf that may reach across an end of the range is recorded and not cleared.
 * What lies next to the range may be recorded as well, if it is dirty.
 *
 * Context: a section over the indexes; sleeps.
 * Return: 0 or the driver's -errno with some of it recorded, whatever was cleared
 * among it.
 */
int domain_io_read_dirty(struct domain_io_dirty *dirty,
			 const struct domain_io_span *span,
			 unsigned long first_iova, unsigned long last_iova)
{
	unsigned long border_iova = first_iova;
	size_t size = 0;
	int rc;

	if (first_iova != span->first_iova)
		size = domain_io_leaf_across(dirty->io->domain, span,
					     &border_iova);
	if (!size)
		return domain_io_read_dirty_from(dirty, span, first_iova,
						 last_iova);
	if (last_iova - border_iova < size)
		return domain_io_call_dirty(dirty, border_iova, last_iova, true);
	rc = domain_io_call_dirty(dirty, border_iova, border_iova + (size - 1),
				  true);
	return rc ?: domain_io_read_dirty_from(dirty, span, border_iova + size,
					       last_iova);
}
