// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake IOMMU driver, and the proof that it notices what it is there for.
 */
#include <kunit/test.h>
#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "fake_domain.h"

/* Reports of one domain; more of them tell nothing new. */
#define FAKE_MAX_REPORTS 8

/**
 * struct fake_leaf - an entry of the page table or of the IOTLB
 * @span: first and last IOVA
 * @item: on a list while it is in no tree
 * @phys: where it points
 * @call_first_iova: first IOVA of the call that made it
 * @call_last_iova: last IOVA of that call
 * @failed: that call failed
 * @synced: the driver has been told that the entry is to be seen
 * @dirty: a device has written to it
 * @noted: the IOTLB says that it is dirty, whatever the page table says
 */
struct fake_leaf {
	struct interval_tree_node span;
	struct list_head item;
	phys_addr_t phys;
	unsigned long call_first_iova;
	unsigned long call_last_iova;
	bool failed;
	bool synced;
	bool dirty;
	bool noted;
};

/**
 * struct fake_call - a call of map_pages
 * @iova: first IOVA
 * @last_iova: last IOVA
 * @phys: physical address of @iova
 * @pgsize: leaf size the caller wants
 * @failed: the call fails
 * @leaves: the leaves that it makes
 */
struct fake_call {
	unsigned long iova;
	unsigned long last_iova;
	phys_addr_t phys;
	size_t pgsize;
	bool failed;
	struct list_head leaves;
};

static struct fake_domain *to_fake(struct iommu_domain *domain)
{
	return container_of(domain, struct fake_domain, domain);
}

static struct fake_leaf *to_leaf(struct interval_tree_node *node)
{
	return container_of(node, struct fake_leaf, span);
}

static size_t leaf_bytes(const struct fake_leaf *leaf)
{
	return leaf->span.last - leaf->span.start + 1;
}

static size_t fake_granule(const struct fake_domain *fake)
{
	return 1UL << __ffs(fake->domain.pgsize_bitmap);
}

/* The contract was broken. @what is NULL if it was not. */
static void fake_complain(struct fake_domain *fake, const char *what,
			  unsigned long iova)
{
	unsigned int violations;

	if (!what)
		return;
	scoped_guard(spinlock, &fake->lock)
		violations = ++fake->violations;
	if (fake->tolerant || violations > FAKE_MAX_REPORTS)
		return;
	KUNIT_FAIL(fake->test, "%s domain, IOVA %#lx: %s",
		   fake_personality_name(fake->personality), iova, what);
}

/**
 * fake_let_others_run() - sleep until somebody else does
 *
 * Without this no two tasks would ever meet on a machine with one CPU. A sleep
 * for some time would be one for a whole tick; whoever comes here next ends it.
 */
void fake_let_others_run(void)
{
	static DECLARE_WAIT_QUEUE_HEAD(sleepers);
	DEFINE_WAIT(wait);

	wake_up_all(&sleepers);
	prepare_to_wait(&sleepers, &wait, TASK_UNINTERRUPTIBLE);
	schedule_timeout(1);
	finish_wait(&sleepers, &wait);
}

static void fake_yield(struct fake_domain *fake)
{
	might_sleep();
	if (fake->yields && get_random_u32_below(4) == 0)
		fake_let_others_run();
}

/*
 * Count a call.
 *
 * Return: true if it has to fail, the n-th after the countdown was set to n.
 */
static bool fake_begin_call(struct fake_domain *fake, unsigned int *nr_calls,
			    unsigned int *countdown)
{
	guard(spinlock)(&fake->lock);
	++*nr_calls;
	return *countdown && !--*countdown;
}

static struct fake_leaf *first_leaf(struct rb_root_cached *tree,
				    unsigned long iova, unsigned long last_iova)
{
	struct interval_tree_node *node;

	node = interval_tree_iter_first(tree, iova, last_iova);
	return node ? to_leaf(node) : NULL;
}

static bool leaf_is_pinned(const struct fake_leaf *leaf)
{
	unsigned long pfn = PHYS_PFN(leaf->phys);
	unsigned long last_pfn = PHYS_PFN(leaf->phys + leaf_bytes(leaf) - 1);

	for (; pfn <= last_pfn; pfn++) {
		if (!folio_maybe_dma_pinned(page_folio(pfn_to_page(pfn))))
			return false;
	}
	return true;
}

/* How large the leaf at @iova gets that a call makes. */
static size_t fake_leaf_size(struct fake_domain *fake,
			     const struct fake_call *call, unsigned long iova)
{
	phys_addr_t phys = call->phys + (iova - call->iova);
	size_t left = call->last_iova - iova + 1;
	unsigned long sizes = fake->domain.pgsize_bitmap;

	if (fake->small_leaves)
		return fake_granule(fake);
	if (fake->personality == FAKE_VIRTIO)
		return left;
	if (fake->personality != FAKE_VTD)
		return call->pgsize;
	sizes &= GENMASK(__fls(left), 0);
	if (iova | phys)
		sizes &= GENMASK(__ffs(iova | phys), 0);
	return 1UL << __fls(sizes);
}

/* Can a leaf be unmapped without the others that its call has made? */
static bool fake_leaf_is_alone(const struct fake_domain *fake, size_t size)
{
	return fake->small_pages && *fake->small_pages && size <= PAGE_SIZE &&
	       fake->personality != FAKE_VIRTIO;
}

static int fake_make_leaf(struct fake_domain *fake, struct fake_call *call,
			  unsigned long iova, size_t size)
{
	struct fake_leaf *leaf = kzalloc(sizeof(*leaf), GFP_KERNEL);

	if (!leaf)
		return -ENOMEM;
	leaf->span.start = iova;
	leaf->span.last = iova + (size - 1);
	leaf->phys = call->phys + (iova - call->iova);
	leaf->call_first_iova = call->iova;
	leaf->call_last_iova = call->last_iova;
	if (fake_leaf_is_alone(fake, size)) {
		leaf->call_first_iova = leaf->span.start;
		leaf->call_last_iova = leaf->span.last;
	}
	leaf->failed = call->failed;
	list_add_tail(&leaf->item, &call->leaves);
	return 0;
}

static void fake_free_leaves(struct list_head *leaves)
{
	struct fake_leaf *leaf, *next;

	list_for_each_entry_safe(leaf, next, leaves, item)
		kfree(leaf);
	INIT_LIST_HEAD(leaves);
}

/* Make leaves for the first @length bytes of a call, or a leaf less. */
static ssize_t fake_make_leaves(struct fake_domain *fake,
				struct fake_call *call, size_t length)
{
	size_t done = 0;

	while (done < length) {
		unsigned long iova = call->iova + done;
		size_t size = fake_leaf_size(fake, call, iova);

		if (size > length - done)
			break;
		if (fake_make_leaf(fake, call, iova, size)) {
			fake_free_leaves(&call->leaves);
			return -ENOMEM;
		}
		done += size;
	}
	return done;
}

static const char *fake_judge_map(struct fake_domain *fake,
				  const struct fake_call *call)
{
	const struct iommu_domain_geometry *geometry = &fake->domain.geometry;

	if (!is_power_of_2(call->pgsize) ||
	    !(fake->domain.pgsize_bitmap & call->pgsize))
		return "mapped with a page size it does not have";
	if (!IS_ALIGNED(call->iova | call->phys | (call->last_iova + 1),
			call->pgsize))
		return "mapped what is not aligned to the page size";
	if (call->last_iova < call->iova)
		return "mapped past the end of the address space";
	if (call->iova < geometry->aperture_start ||
	    call->last_iova > geometry->aperture_end)
		return "mapped outside of the aperture";
	return NULL;
}

/* Put a call's leaves into the page table. */
static const char *fake_insert(struct fake_domain *fake, struct fake_call *call)
{
	struct fake_leaf *leaf, *next;
	const char *complaint = NULL;

	guard(spinlock)(&fake->lock);

	if (first_leaf(&fake->leaves, call->iova, call->last_iova))
		complaint = "mapped over a map";
	if (first_leaf(&fake->stale, call->iova, call->last_iova))
		complaint = "mapped over what the IOTLB still holds";
	list_for_each_entry_safe(leaf, next, &call->leaves, item) {
		if (!fake->unpinned && !leaf_is_pinned(leaf))
			complaint = "mapped pages that are not pinned";
		list_del(&leaf->item);
		interval_tree_insert(&leaf->span, &fake->leaves);
		fake->mapped_bytes += leaf_bytes(leaf);
	}
	return complaint;
}

static int fake_map_pages(struct iommu_domain *domain, unsigned long iova,
			  phys_addr_t phys, size_t pgsize, size_t pgcount,
			  int prot, gfp_t gfp, size_t *mapped)
{
	struct fake_domain *fake = to_fake(domain);
	struct fake_call call = {
		.iova = iova,
		.last_iova = iova + (pgsize * pgcount - 1),
		.phys = phys,
		.pgsize = pgsize,
		.leaves = LIST_HEAD_INIT(call.leaves),
	};
	size_t length = pgsize * pgcount;
	ssize_t done;

	fake_yield(fake);
	fake_complain(fake, fake_judge_map(fake, &call), iova);
	if (!(prot & (IOMMU_READ | IOMMU_WRITE)))
		fake_complain(fake, "mapped without access", iova);
	call.failed = fake_begin_call(fake, &fake->nr_maps, &fake->fail_map);
	if (call.failed)
		length = fake->personality == FAKE_VIRTIO ? 0 : length / 2;

	done = fake_make_leaves(fake, &call, length);
	if (done < 0)
		return done;
	fake_complain(fake, fake_insert(fake, &call), iova);
	fake_yield(fake);
	if (!call.failed || fake->personality == FAKE_AMD ||
	    fake->personality == FAKE_ARM)
		*mapped += done;
	return call.failed ? -ENOMEM : 0;
}

/*
 * Take the leaf at @iova out of the page table; the IOTLB keeps it.
 *
 * Return: its size, or 0 with a complaint.
 */
static size_t fake_remove(struct fake_domain *fake, unsigned long iova,
			  unsigned long last_iova, const char **complaint)
{
	struct fake_leaf *leaf;

	guard(spinlock)(&fake->lock);

	leaf = first_leaf(&fake->leaves, iova, last_iova);
	if (!leaf || leaf->span.start > iova)
		*complaint = "unmapped a hole";
	else if (leaf->span.start < iova)
		*complaint = "unmapped from the middle of a leaf on";
	else if (leaf->span.last > last_iova &&
		 fake->personality != FAKE_VIRTIO)
		*complaint = "unmapped a part of a leaf";
	if (*complaint)
		return 0;
	interval_tree_remove(&leaf->span, &fake->leaves);
	fake->mapped_bytes -= leaf_bytes(leaf);
	interval_tree_insert(&leaf->span, &fake->stale);
	return leaf_bytes(leaf);
}

static void fake_gather(struct fake_domain *fake,
			struct iommu_iotlb_gather *gather, unsigned long iova,
			size_t size)
{
	if (fake->personality == FAKE_ARM || fake->personality == FAKE_VTD)
		iommu_iotlb_gather_add_page(&fake->domain, gather, iova, size);
	else
		iommu_iotlb_gather_add_range(gather, iova, size);
}

static size_t fake_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			       size_t pgsize, size_t pgcount,
			       struct iommu_iotlb_gather *gather)
{
	struct fake_domain *fake = to_fake(domain);
	size_t length = pgsize * pgcount;
	const char *complaint = NULL;
	size_t done = 0;

	fake_yield(fake);
	if (fake_begin_call(fake, &fake->nr_unmaps, &fake->fail_unmap))
		return 0;
	/* The driver would free tables of this range when it flushes the other. */
	if (fake->personality == FAKE_VTD && length >= SZ_2M &&
	    iommu_iotlb_gather_is_disjoint(gather, iova, length))
		complaint = "unmapped together with what lies elsewhere";
	while (done < length) {
		size_t size = fake_remove(fake, iova + done, iova + (length - 1),
					  &complaint);

		if (!size)
			break;
		fake_gather(fake, gather, iova + done, size);
		done += size;
	}
	fake_complain(fake, complaint, iova + done);
	return done;
}

static void fake_flush_noted(struct fake_domain *fake, unsigned long iova,
			     unsigned long last_iova)
{
	struct interval_tree_node *node;

	if (!fake->tracks_dirty)
		return;
	for (node = interval_tree_iter_first(&fake->leaves, iova, last_iova);
	     node; node = interval_tree_iter_next(node, iova, last_iova))
		to_leaf(node)->noted = false;
}

static void fake_flush(struct fake_domain *fake, unsigned long iova,
		       unsigned long last_iova)
{
	const char *complaint = NULL;
	struct fake_leaf *leaf;
	LIST_HEAD(leaves);

	fake_yield(fake);
	scoped_guard(spinlock, &fake->lock) {
		fake->nr_flushes++;
		fake_flush_noted(fake, iova, last_iova);
		while ((leaf = first_leaf(&fake->stale, iova, last_iova))) {
			if (!fake->unpinned && !leaf_is_pinned(leaf))
				complaint = "unpinned before the flush";
			interval_tree_remove(&leaf->span, &fake->stale);
			list_add(&leaf->item, &leaves);
		}
	}
	fake_free_leaves(&leaves);
	fake_complain(fake, complaint, iova);
}

static void fake_iotlb_sync(struct iommu_domain *domain,
			    struct iommu_iotlb_gather *gather)
{
	struct fake_domain *fake = to_fake(domain);

	/* Nothing was gathered. */
	if (gather->start > gather->end)
		return;
	if (fake->personality == FAKE_ARM && !gather->pgsize)
		return;
	fake_flush(fake, gather->start, gather->end);
}

static void fake_flush_iotlb_all(struct iommu_domain *domain)
{
	fake_flush(to_fake(domain), 0, ULONG_MAX);
}

static int fake_iotlb_sync_map(struct iommu_domain *domain, unsigned long iova,
			       size_t size)
{
	struct fake_domain *fake = to_fake(domain);
	struct interval_tree_node *node;
	unsigned long last_iova = iova + (size - 1);

	fake_yield(fake);
	if (!size) {
		fake_complain(fake, "synced an empty map", iova);
		return 0;
	}
	guard(spinlock)(&fake->lock);
	for (node = interval_tree_iter_first(&fake->leaves, iova, last_iova);
	     node; node = interval_tree_iter_next(node, iova, last_iova))
		to_leaf(node)->synced = true;
	return 0;
}

/**
 * fake_domain_count_leaves() - how many leaves are there?
 * @fake: the domain
 *
 * Return: so many.
 */
unsigned int fake_domain_count_leaves(struct fake_domain *fake)
{
	struct interval_tree_node *node;
	unsigned int nr_leaves = 0;

	guard(spinlock)(&fake->lock);
	for (node = interval_tree_iter_first(&fake->leaves, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		nr_leaves++;
	return nr_leaves;
}

/**
 * fake_domain_lookup() - translate
 * @fake: the domain
 * @iova: any IOVA
 *
 * Return: the physical address, 0 if there is none.
 */
phys_addr_t fake_domain_lookup(struct fake_domain *fake, unsigned long iova)
{
	struct fake_leaf *leaf;

	guard(spinlock)(&fake->lock);
	leaf = first_leaf(&fake->leaves, iova, iova);
	return leaf ? leaf->phys + (iova - leaf->span.start) : 0;
}

static phys_addr_t fake_iova_to_phys(struct iommu_domain *domain,
				     dma_addr_t iova)
{
	struct fake_domain *fake = to_fake(domain);

	scoped_guard(spinlock, &fake->lock)
		fake->nr_reads++;
	return fake_domain_lookup(fake, iova);
}

static int fake_set_dirty_tracking(struct iommu_domain *domain, bool enabled)
{
	WRITE_ONCE(to_fake(domain)->tracks_dirty, enabled);
	return 0;
}

/**
 * struct fake_read - a read of dirty bits
 * @iova: where it is
 * @last_iova: last IOVA to read
 * @clears: it does
 * @dirty: for records
 * @complaint: what is wrong with it
 */
struct fake_read {
	unsigned long iova;
	unsigned long last_iova;
	bool clears;
	struct iommu_dirty_bitmap *dirty;
	const char *complaint;
};

/* Look at one leaf. Return: whether it is dirty; *size: how far drivers go on. */
static bool fake_read_leaf(struct fake_domain *fake, struct fake_read *read,
			   size_t *size)
{
	struct fake_leaf *leaf;
	bool is_dirty;

	guard(spinlock)(&fake->lock);

	leaf = first_leaf(&fake->leaves, read->iova, read->iova);
	if (!leaf) {
		read->complaint = "read dirty bits of a hole";
		*size = fake_granule(fake) << 9;
		return false;
	}
	if (leaf->span.start < read->iova)
		read->complaint = "read dirty bits from the middle of a leaf on";
	else if (leaf->span.last > read->last_iova && read->clears)
		read->complaint = "cleared the dirty bit of a part of a leaf";
	is_dirty = leaf->dirty;
	if (read->clears) {
		leaf->dirty = false;
		leaf->noted |= is_dirty;
	}
	*size = leaf_bytes(leaf);
	return is_dirty;
}

static int fake_read_and_clear_dirty(struct iommu_domain *domain,
				     unsigned long iova, size_t size,
				     unsigned long flags,
				     struct iommu_dirty_bitmap *dirty)
{
	struct fake_domain *fake = to_fake(domain);
	struct fake_read read = {
		.iova = iova,
		.last_iova = iova + (size - 1),
		.clears = !(flags & IOMMU_DIRTY_NO_CLEAR),
		.dirty = dirty,
	};
	bool fails;

	fake_yield(fake);
	if (!READ_ONCE(fake->tracks_dirty) && dirty->bitmap)
		return -EINVAL;
	fails = fake_begin_call(fake, &fake->nr_dirty_reads, &fake->fail_dirty);

	while (read.iova <= read.last_iova && read.iova >= iova) {
		size_t done;

		if (fails && read.iova - iova >= size / 2)
			break;
		if (fake_read_leaf(fake, &read, &done))
			iommu_dirty_bitmap_record(dirty, read.iova, done);
		read.iova += done;
	}
	fake_complain(fake, read.complaint, iova);
	return fails ? -EIO : 0;
}

static const struct iommu_dirty_ops fake_dirty_ops = {
	.set_dirty_tracking = fake_set_dirty_tracking,
	.read_and_clear_dirty = fake_read_and_clear_dirty,
};

/**
 * fake_domain_write() - be a device that writes
 * @fake: the domain
 * @iova: where; nothing happens if nothing is there
 *
 * The IOTLB sets a dirty bit once, and remembers that it has.
 */
void fake_domain_write(struct fake_domain *fake, unsigned long iova)
{
	struct fake_leaf *leaf;

	guard(spinlock)(&fake->lock);
	leaf = first_leaf(&fake->leaves, iova, iova);
	if (leaf && !leaf->noted)
		leaf->dirty = true;
}

/**
 * fake_domain_view() - look at the first leaf that ends at or above an IOVA
 * @fake: the domain
 * @iova: the IOVA
 * @view: what is seen
 *
 * Return: whether there is one.
 */
bool fake_domain_view(struct fake_domain *fake, unsigned long iova,
		      struct fake_view *view)
{
	struct fake_leaf *leaf;

	guard(spinlock)(&fake->lock);
	leaf = first_leaf(&fake->leaves, iova, ULONG_MAX);
	if (!leaf)
		return false;
	*view = (struct fake_view){
		.first_iova = leaf->span.start,
		.last_iova = leaf->span.last,
		.dirty = leaf->dirty,
	};
	return true;
}

static void fake_free(struct iommu_domain *domain)
{
	struct fake_domain *fake = to_fake(domain);

	if (fake->keeps)
		fake_domain_abandon(fake);
	else
		fake_domain_free(fake);
}

static const struct iommu_domain_ops fake_ops = {
	.map_pages = fake_map_pages,
	.unmap_pages = fake_unmap_pages,
	.flush_iotlb_all = fake_flush_iotlb_all,
	.iotlb_sync = fake_iotlb_sync,
	.iotlb_sync_map = fake_iotlb_sync_map,
	.iova_to_phys = fake_iova_to_phys,
	.free = fake_free,
};

static struct iommu_domain *
fake_domain_alloc_user(struct device *dev, u32 flags,
		       struct iommu_domain *parent,
		       const struct iommu_user_data *user_data)
{
	return ERR_PTR(-EOPNOTSUPP);
}

/* What tells the drivers with page tables from the others. */
static const struct iommu_ops fake_table_ops = {
	.domain_alloc_user = fake_domain_alloc_user,
};

static const struct iommu_ops fake_other_ops = {};

static const unsigned long fake_page_sizes[] = {
	[FAKE_VTD] = PAGE_SIZE | PAGE_SIZE << 4 | PAGE_SIZE << 8,
	[FAKE_AMD] = PAGE_MASK,
	[FAKE_ARM] = PAGE_SIZE | PAGE_SIZE << 3 | PAGE_SIZE << 6,
	[FAKE_VIRTIO] = PAGE_MASK,
};

/**
 * fake_personality_name() - for messages
 * @personality: which
 *
 * Return: its name.
 */
const char *fake_personality_name(enum fake_personality personality)
{
	static const char * const names[] = {
		[FAKE_VTD] = "vtd",
		[FAKE_AMD] = "amd",
		[FAKE_ARM] = "arm",
		[FAKE_VIRTIO] = "virtio",
	};

	return names[personality];
}

/**
 * fake_domain_make() - make an empty domain
 * @test: the test
 * @personality: how it behaves
 *
 * Return: a domain to be freed with fake_domain_free(); NULL without memory.
 */
struct fake_domain *fake_domain_make(struct kunit *test,
				     enum fake_personality personality)
{
	struct fake_domain *fake = kzalloc(sizeof(*fake), GFP_KERNEL);

	if (!fake)
		return NULL;
	fake->test = test;
	fake->personality = personality;
	spin_lock_init(&fake->lock);
	fake->leaves = RB_ROOT_CACHED;
	fake->stale = RB_ROOT_CACHED;
	fake->domain.type = IOMMU_DOMAIN_UNMANAGED;
	fake->domain.ops = &fake_ops;
	fake->domain.dirty_ops = &fake_dirty_ops;
	fake->domain.owner = personality == FAKE_VIRTIO ? &fake_other_ops :
							  &fake_table_ops;
	fake->domain.pgsize_bitmap = fake_page_sizes[personality];
	fake->domain.geometry.aperture_end = ULONG_MAX;
	fake->domain.geometry.force_aperture = true;
	return fake;
}

static void fake_empty_tree(struct rb_root_cached *tree)
{
	struct fake_leaf *leaf;

	while ((leaf = first_leaf(tree, 0, ULONG_MAX))) {
		interval_tree_remove(&leaf->span, tree);
		kfree(leaf);
	}
}

/**
 * fake_domain_abandon() - free a domain that never let go of something
 * @fake: the domain
 */
void fake_domain_abandon(struct fake_domain *fake)
{
	fake_empty_tree(&fake->leaves);
	fake_empty_tree(&fake->stale);
	kfree(fake);
}

/**
 * fake_domain_free() - free a domain in which nothing must be mapped
 * @fake: the domain
 */
void fake_domain_free(struct fake_domain *fake)
{
	struct fake_leaf *leaf = first_leaf(&fake->leaves, 0, ULONG_MAX);

	if (leaf)
		fake_complain(fake, "freed while something is mapped",
			      leaf->span.start);
	leaf = first_leaf(&fake->stale, 0, ULONG_MAX);
	if (leaf)
		fake_complain(fake, "freed while the IOTLB is not clean",
			      leaf->span.start);
	fake_domain_abandon(fake);
}

/* Is the other leaf of @leaf's call there that has to be its neighbour? */
static bool same_call(const struct fake_leaf *leaf,
		      const struct fake_leaf *other)
{
	return other && other->call_first_iova == leaf->call_first_iova &&
	       other->call_last_iova == leaf->call_last_iova;
}

static const char *fake_judge_leaf(struct fake_domain *fake,
				   struct fake_leaf *leaf)
{
	unsigned long iova = leaf->span.start;
	unsigned long last_iova = leaf->span.last;

	if (leaf->failed)
		return "still there though its map failed";
	if (!leaf->synced)
		return "not announced by iotlb_sync_map";
	if (!fake->unpinned && !leaf_is_pinned(leaf))
		return "mapped though its pages are unpinned";
	if (iova != leaf->call_first_iova &&
	    !same_call(leaf, first_leaf(&fake->leaves, iova - 1, iova - 1)))
		return "what was mapped with it and below it is gone";
	if (last_iova != leaf->call_last_iova &&
	    !same_call(leaf, first_leaf(&fake->leaves, last_iova + 1,
					last_iova + 1)))
		return "what was mapped with it and above it is gone";
	return NULL;
}

/**
 * fake_domain_check() - find what is wrong while nobody is at work
 * @fake: the domain
 */
void fake_domain_check(struct fake_domain *fake)
{
	struct interval_tree_node *node;
	struct fake_leaf *leaf;

	leaf = first_leaf(&fake->stale, 0, ULONG_MAX);
	if (leaf)
		fake_complain(fake, "unmapped and not flushed",
			      leaf->span.start);
	for (node = interval_tree_iter_first(&fake->leaves, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		fake_complain(fake, fake_judge_leaf(fake, to_leaf(node)),
			      node->start);
}

/* A domain for made-up addresses, that may be ill-used. */
static struct fake_domain *make_tolerant(struct kunit *test,
					 enum fake_personality personality)
{
	struct fake_domain *fake = fake_domain_make(test, personality);

	KUNIT_ASSERT_NOT_NULL(test, fake);
	fake->unpinned = true;
	fake->tolerant = true;
	return fake;
}

#define TEST_PHYS (PAGE_SIZE << 12)

static int map_at(struct fake_domain *fake, unsigned long page,
		  unsigned long npages)
{
	size_t mapped = 0;
	int rc;

	rc = fake_map_pages(&fake->domain, page * PAGE_SIZE,
			    TEST_PHYS + page * PAGE_SIZE, PAGE_SIZE, npages,
			    IOMMU_READ, GFP_KERNEL, &mapped);
	fake_iotlb_sync_map(&fake->domain, page * PAGE_SIZE,
			    npages * PAGE_SIZE);
	return rc;
}

static void fake_notices_map_over_map(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_ARM);

	KUNIT_EXPECT_EQ(test, map_at(fake, 16, 4), 0);
	KUNIT_EXPECT_EQ(test, fake->violations, 0);
	map_at(fake, 19, 1);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	fake_domain_abandon(fake);
}

static void fake_notices_unmap_of_hole(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_AMD);

	map_at(fake, 16, 2);
	KUNIT_EXPECT_EQ(test, iommu_unmap(&fake->domain, 16 * PAGE_SIZE,
					  4 * PAGE_SIZE), 2 * PAGE_SIZE);
	KUNIT_EXPECT_NE(test, fake->violations, 0);
	fake_domain_free(fake);
}

static void fake_notices_cut_leaf(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_VTD);

	map_at(fake, 16, 16);
	KUNIT_EXPECT_EQ(test, iommu_unmap(&fake->domain, 16 * PAGE_SIZE,
					  PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	fake_domain_abandon(fake);
}

static void fake_notices_cut_call(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_ARM);

	map_at(fake, 16, 4);
	fake_domain_check(fake);
	KUNIT_EXPECT_EQ(test, fake->violations, 0);
	KUNIT_EXPECT_EQ(test, iommu_unmap(&fake->domain, 16 * PAGE_SIZE,
					  PAGE_SIZE), PAGE_SIZE);
	fake_domain_check(fake);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	fake_domain_abandon(fake);
}

static void fake_notices_missing_flush(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_AMD);
	struct iommu_iotlb_gather gather;

	map_at(fake, 16, 4);
	iommu_iotlb_gather_init(&gather);
	iommu_unmap_fast(&fake->domain, 16 * PAGE_SIZE, 4 * PAGE_SIZE, &gather);
	fake_domain_check(fake);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	iommu_iotlb_sync(&fake->domain, &gather);
	fake_domain_check(fake);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	fake_domain_free(fake);
}

static void fake_notices_early_unpin(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_VIRTIO);

	/* Nobody ever pins what is mapped here. */
	fake->unpinned = false;
	map_at(fake, 16, 2);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	iommu_unmap(&fake->domain, 16 * PAGE_SIZE, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, fake->violations, 2);
	fake_domain_free(fake);
}

static int read_dirty(struct fake_domain *fake, unsigned long page,
		      unsigned long npages, struct iommu_iotlb_gather *gather)
{
	struct iommu_dirty_bitmap dirty;

	iommu_dirty_bitmap_init(&dirty, NULL, gather);
	return fake_read_and_clear_dirty(&fake->domain, page * PAGE_SIZE,
					 npages * PAGE_SIZE, 0, &dirty);
}

static void fake_notices_wrong_dirty_reads(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_VTD);
	struct iommu_iotlb_gather gather;

	map_at(fake, 16, 17);
	KUNIT_EXPECT_EQ(test, read_dirty(fake, 16, 17, &gather), 0);
	KUNIT_EXPECT_EQ(test, fake->violations, 0);
	read_dirty(fake, 17, 16, &gather);
	KUNIT_EXPECT_EQ(test, fake->violations, 1);
	read_dirty(fake, 16, 15, &gather);
	KUNIT_EXPECT_EQ(test, fake->violations, 2);
	read_dirty(fake, 32, 2, &gather);
	KUNIT_EXPECT_EQ(test, fake->violations, 3);
	fake_domain_abandon(fake);
}

/* A write that comes before the flush leaves no trace. */
static void fake_remembers_what_was_dirty(struct kunit *test)
{
	struct fake_domain *fake = make_tolerant(test, FAKE_AMD);
	struct iommu_iotlb_gather gather;
	struct fake_view view;

	KUNIT_ASSERT_EQ(test, fake_set_dirty_tracking(&fake->domain, true), 0);
	map_at(fake, 16, 4);
	fake_domain_write(fake, 17 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, read_dirty(fake, 16, 4, &gather), 0);
	fake_domain_write(fake, 17 * PAGE_SIZE);
	KUNIT_ASSERT_TRUE(test, fake_domain_view(fake, 17 * PAGE_SIZE, &view));
	KUNIT_EXPECT_FALSE(test, view.dirty);
	iommu_iotlb_sync(&fake->domain, &gather);
	fake_domain_write(fake, 17 * PAGE_SIZE);
	KUNIT_ASSERT_TRUE(test, fake_domain_view(fake, 17 * PAGE_SIZE, &view));
	KUNIT_EXPECT_TRUE(test, view.dirty);
	fake_domain_abandon(fake);
}

static void fake_leaves_entries_of_failed_map(struct kunit *test)
{
	static const size_t left_pages[] = {
		[FAKE_VTD] = 4,
		[FAKE_AMD] = 4,
		[FAKE_ARM] = 4,
		[FAKE_VIRTIO] = 0,
	};
	unsigned int i;

	for (i = 0; i < FAKE_NR_PERSONALITIES; i++) {
		struct fake_domain *fake = make_tolerant(test, i);

		fake->fail_map = 2;
		KUNIT_EXPECT_EQ(test, map_at(fake, 1, 1), 0);
		KUNIT_EXPECT_EQ(test, map_at(fake, 17, 8), -ENOMEM);
		KUNIT_EXPECT_EQ(test, fake->mapped_bytes,
				(1 + left_pages[i]) * PAGE_SIZE);
		fake_domain_check(fake);
		KUNIT_EXPECT_EQ(test, fake->violations, left_pages[i]);
		fake_domain_abandon(fake);
	}
}

static struct kunit_case fake_domain_cases[] = {
	KUNIT_CASE(fake_notices_map_over_map),
	KUNIT_CASE(fake_notices_unmap_of_hole),
	KUNIT_CASE(fake_notices_cut_leaf),
	KUNIT_CASE(fake_notices_cut_call),
	KUNIT_CASE(fake_notices_missing_flush),
	KUNIT_CASE(fake_notices_early_unpin),
	KUNIT_CASE(fake_notices_wrong_dirty_reads),
	KUNIT_CASE(fake_remembers_what_was_dirty),
	KUNIT_CASE(fake_leaves_entries_of_failed_map),
	{}
};

static struct kunit_suite fake_domain_suite = {
	.name = "iommufd_fake_domain",
	.test_cases = fake_domain_cases,
};

kunit_test_suite(fake_domain_suite);
