/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page store: user memory that devices can reach, and the PFNs behind it.
 *
 * An iopt_pages is one range of somebody's memory. An iopt_slice shows a part
 * of it at an IOVA, in every domain of a domain set. The store pins pages when
 * the first domain wants them and unpins them after the last domain's entries
 * and the IOTLB are clean of them. It knows neither IOVA maps nor objects.
 *
 * Two rules replace locks over long work:
 *
 * Section: whoever changes which domain maps which index holds the index range
 * busy (iopt_pages_lock_range()). Inside a section are driver calls, IOTLB
 * flushes and unpinning, but never pinning: a pin can wait for user space as
 * long as user space likes. A filler therefore pins first, enters the section
 * then, looks whether the world is still what it pinned for, and drops the
 * pins otherwise.
 *
 * Sequence: the additions and removals of domains are numbered, one at a time,
 * and each slice records the last one applied to it. So "does this domain map
 * this slice" is a comparison of numbers (iopt_slice_in_domain()) that is true
 * for exactly the slices the walk has reached.
 */
#ifndef __IOMMUFD_PAGES_H
#define __IOMMUFD_PAGES_H

#include <linux/cred.h>
#include <linux/kref.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm_types.h>
#include <linux/rculist.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "domain_io.h"
#include "iova_alloc.h"
#include "pfn_batch.h"
#include "span_tree.h"

struct iommu_domain;
struct iopt_held;
struct iopt_pages;
struct iopt_pin;
struct page;
struct pfn_record;
struct rw_semaphore;
struct task_struct;
struct user_struct;

/**
 * enum iopt_account_mode - who is charged for pinned pages
 * @IOPT_ACCOUNT_NONE: nobody; the mapper had CAP_IPC_LOCK
 * @IOPT_ACCOUNT_USER: the mapper's user, user_struct.locked_vm
 * @IOPT_ACCOUNT_MM: the mapper's mm, mm_struct.locked_vm
 */
enum iopt_account_mode {
	IOPT_ACCOUNT_NONE,
	IOPT_ACCOUNT_USER,
	IOPT_ACCOUNT_MM,
};

/**
 * struct iopt_owner - whose memory it is, and who pays for it
 * @refs: one for each iopt_pages, one for the cache
 * @account_mode: who is charged
 * @mm: mm whose memory it is (mmgrab)
 * @task: thread-group leader of the mapper, for its RLIMIT_MEMLOCK
 * @user: user of the mapper
 *
 * Never changes: what one process maps has it in common.
 */
struct iopt_owner {
	refcount_t refs;
	enum iopt_account_mode account_mode;
	struct mm_struct *mm;
	struct task_struct *task;
	struct user_struct *user;
};

/**
 * struct iopt_owner_cache - the owner that was needed last
 * @lock: guards @owner; leaf, held for a few instructions
 * @owner: the owner, or NULL
 */
struct iopt_owner_cache {
	spinlock_t lock; /* leaf: owner */
	struct iopt_owner *owner;
};

/**
 * struct pfn_source_ops - where the pages of an iopt_pages come from
 * @pin: pin pages from an index on and add them to the batch of the iopt_pin;
 *	may sleep as long as user space likes. Return: pages added, more than 0,
 *	or -errno with nothing pinned by this call
 * @unpin: give a run of pages back
 * @pin_pages: as @pin, for who wants the pages and no batch: pin up to that many and
 *	write them down
 * @unpin_pages: give pages back that are no long runs
 * @charge: charge pages to the owner's limit before they are pinned
 * @uncharge: take a charge back; cannot fail
 * @release: drop what the source holds, when the last reference goes
 * @writable: devices may write; pinned with FOLL_WRITE
 */
struct pfn_source_ops {
	long (*pin)(struct iopt_pages *pages, struct iopt_pin *pin,
		    unsigned long first_index, unsigned long max_pages);
	void (*unpin)(struct iopt_pages *pages, unsigned long pfn,
		      unsigned long npages);
	long (*pin_pages)(struct iopt_pages *pages, struct page **out_pages,
			  unsigned long first_index, unsigned long max_pages);
	void (*unpin_pages)(struct iopt_pages *pages, struct page **upages,
			    unsigned long npages);
	int (*charge)(struct iopt_pages *pages, unsigned long npages);
	void (*uncharge)(struct iopt_pages *pages, unsigned long npages);
	void (*release)(struct iopt_pages *pages);
	bool writable;
};

/**
 * struct iopt_pages - a range of user memory shared by slices
 * @kref: one for each slice and each short-term user
 * @lock: guards @busy, @slices, @records, @npinned and the making of @held; held for
 *	a few instructions, or for a copy of no more than a page by the CPU. No lock of
 *	ours is taken under it but that of @held
 * @uptr: address of the first byte, not aligned
 * @busy: index ranges somebody is in a section of, struct iopt_busy
 * @slices: coverage: the slices pinned pages show through, by index
 * @records: PFNs by index, struct pfn_record; what is not in one is scattered
 *	and read back from a domain
 * @held: the third tier: what accesses pin; NULL until the first one did
 * @ops: where the pages come from
 * @owner: whose they are, and who is charged
 * @npinned: pages pinned now; each of them is charged (I7). For tests
 *
 * There is one for each mapping: every byte counts.
 */
struct iopt_pages {
	struct kref kref;
	spinlock_t lock; /* busy, slices, records, npinned */
	unsigned long uptr;
	struct hlist_head busy;
	struct span_tree slices;
	struct span_tree records;
	struct iopt_held *held;
	const struct pfn_source_ops *ops;
	struct iopt_owner *owner;
#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
	unsigned long npinned;
#endif
};

/**
 * struct iopt_page_list - neighbouring pages
 * @upages: each of them
 * @npages: how many
 */
struct iopt_page_list {
	struct page *const *upages;
	unsigned long npages;
};

/* Lists told at once: those of 1 MiB of small pins, if pages have 4 KiB. */
#define IOPT_HELD_LISTS 5

/**
 * struct iopt_held - the pages that accesses have pinned
 * @lock: guards the rest, but for @pages of the blocks
 * @blocks: struct iopt_held_block, by index; they do not overlap
 * @recent: the block that was last asked for without a section, or NULL
 *
 * Whether an index is pinned, and its page, is changed in a section over it only. The
 * functions with try_ in their names are for those who have the lock that begins sections,
 * while nobody is in one: they have it all to themselves, and do without @lock. They
 * make no block and end none: who asks without a section meets none that is not
 * there, but with them around, its answer is a guess all the more.
 */
struct iopt_held {
	spinlock_t lock; /* blocks, recent */
	struct rb_root blocks;
	struct iopt_held_block *recent;
};

/*
 * Runs read back before they are unmapped and flushed: at 4 KiB, 256 MiB. The array
 * for them is 1 MiB then, else as many runs as there are pages in the slice; if that
 * cannot be had, it is the usual 64 KiB, or none.
 */
#define IOPT_UNFILL_RUNS 65536UL
#define IOPT_UNFILL_FEW_RUNS 4096UL

#define IOPT_PIN_INLINE_PAGES 16

/**
 * struct iopt_pin - pages pinned and not yet mapped anywhere
 * @batch: their PFNs
 * @upages: scratch for the kernel's pinning functions
 * @max_upages: entries in @upages
 * @own_upages: what was allocated for @upages, or NULL
 * @inline_upages: so that a small map allocates nothing
 */
struct iopt_pin {
	struct pfn_batch batch;
	struct page **upages;
	unsigned long max_upages;
	struct page **own_upages;
	struct page *inline_upages[IOPT_PIN_INLINE_PAGES];
};

/**
 * struct iopt_busy - a section: an index range held by one task
 * @item: in iopt_pages.busy
 * @first_index: first page of the range
 * @last_index: last page of the range, inclusive
 * @is_waited_for: somebody found it in the way; guarded by iopt_pages.lock
 *
 * Lives on the holder's stack.
 */
struct iopt_busy {
	struct hlist_node item;
	unsigned long first_index;
	unsigned long last_index;
	bool is_waited_for;
};

/**
 * struct iopt_reserved - a range of IOVA at which nothing may be mapped
 * @node: in io_pagetable.reserved
 * @owner: who gives it back
 * @item: on the list of ranges that are to be inserted together
 * @is_kept: it is not freed when it is given back, and its node is cleared
 */
struct iopt_reserved {
	struct interval_tree_node node;
	const void *owner;
	struct list_head item;
	bool is_kept;
};

/**
 * struct iopt_domain - a domain's membership in a domain set
 * @io: the domain
 * @add_seq: number of the change that added it, from 1
 * @leave_seq: number of the change that removes it, 0 while it is wanted
 * @item: in iopt_domains.members
 * @stuck: it has left, and a slice in quarantine still shows in it: it stays in
 *	the set until it is freed
 * @outside: what lies below and above its aperture, reserved while it is a member
 * @rcu: walkers of the set may still look at it when it has left
 */
struct iopt_domain {
	struct domain_io io;
	u64 add_seq;
	u64 leave_seq;
	struct list_head item;
	bool stuck;
	struct iopt_reserved outside[2];
	struct rcu_head rcu;
};

/**
 * struct iopt_domains - the domains that mirror an IOVA map
 * @members: struct iopt_domain, youngest last; freed by RCU. Changed by whose
 *	turn it is to change the set, read under RCU
 * @seq: number of the last change
 * @small_pages: members can unmap each page by itself; not set while there is a
 *	member and something to map in it
 */
struct iopt_domains {
	struct list_head members;
	u64 seq;
	bool small_pages;
};

/**
 * struct iopt_slice - an index range of a pages object, and where it shows
 * @iova: first and last IOVA; its owner may link it into an IOVA map
 * @span: first and last index; in iopt_pages.slices while @filled_pages is not 0
 * @pages: the memory
 * @domains: the set whose members show it
 * @storage: the member PFNs are read back from, NULL while @filled_pages is 0. Of
 *	a slice with @run_pfn nobody asks for it
 * @kept_page: when @quarantined: the pages in front of it are unmapped everywhere
 *	and unpinned
 * @run_pfn: PFN of the first page when all of the slice is filled and one run of
 *	memory, and was when it was filled; otherwise 0, and a record or @storage
 *	knows. No user memory has PFN 0, see domain_io_read_pfn()
 * @seq: the last change of the set that was applied to this slice
 * @filled_pages: so many pages from the first are pinned and mapped in each
 *	member that iopt_slice_in_domain() names, no others
 * @page_offset: bytes from the start of the first page to @iova's first byte
 * @iommu_prot: IOMMU_READ, IOMMU_WRITE, IOMMU_CACHE
 * @filler: somebody is in iopt_slice_fill() and goes on until it is filled
 * @gone: the owner tears it down; it will not be filled any more
 * @quarantined: a driver did not unmap all of it: nothing of it is unpinned until
 *	every member that showed it is freed
 *
 * Everything but the constant first four is guarded by a section over @span.
 */
struct iopt_slice {
	struct iova_node iova;
	struct interval_tree_node span;
	struct iopt_pages *pages;
	struct iopt_domains *domains;
	union {
		struct iopt_domain *storage;
		unsigned long kept_page;
	};
	unsigned long run_pfn;
	u64 seq;
	unsigned long filled_pages;
	unsigned int page_offset;
	u8 iommu_prot;
	bool filler;
	bool gone;
	bool quarantined;
};

/**
 * enum iopt_tier - who keeps a page pinned, and hence knows its PFN
 * @IOPT_TIER_NONE: nobody
 * @IOPT_TIER_SLICE: a slice: a record or a domain knows it
 * @IOPT_TIER_HELD: an access: a block of the tier knows it
 */
enum iopt_tier {
	IOPT_TIER_NONE,
	IOPT_TIER_SLICE,
	IOPT_TIER_HELD,
};

/**
 * struct iopt_cover - a question who keeps pages pinned
 * @self: a slice that does not count, or NULL
 * @first_index: index of the first page of interest
 * @last_index: the last one, inclusive; lowered to the last one for which the
 *	answer is the same
 * @slice: set if the answer is %IOPT_TIER_SLICE
 */
struct iopt_cover {
	const struct iopt_slice *self;
	unsigned long first_index;
	unsigned long last_index;
	struct iopt_slice *slice;
};

/* Stretches of one tier that a batch can be put together from. */
#define IOPT_GATHER_PARTS 16

/**
 * struct iopt_gather_part - consecutive pages of one tier
 * @npages: how many
 * @tier: where their PFNs come from; %IOPT_TIER_NONE: we have pinned them
 */
struct iopt_gather_part {
	unsigned long npages;
	enum iopt_tier tier;
};

/**
 * struct iopt_gather - PFNs on their way to a slice or an access
 * @pages: whose
 * @self: the slice that wants them, NULL for an access
 * @end_index: behind the last index that will be asked for
 * @charged_pages: charged and not yet pinned for good
 * @first_index: index of the first page gathered
 * @npages: pages gathered
 * @batch: their PFNs, once they are settled; NULL before
 * @max_pages: so many are going to be gathered altogether
 * @pin: those nobody had pinned before
 * @mixed: place for a @batch of which somebody else has pinned some
 * @may_pin: @pin is prepared for @max_pages; before, only its batch and the scratch
 *	memory that the caller has mean something
 * @has_news: some pages of @batch are in no slice yet
 * @nr_parts: entries in @parts
 * @parts: where the pages come from, in the order of their indexes
 */
struct iopt_gather {
	struct iopt_pages *pages;
	const struct iopt_slice *self;
	unsigned long end_index;
	unsigned long charged_pages;
	unsigned long first_index;
	unsigned long npages;
	struct pfn_batch *batch;
	unsigned long max_pages;
	struct iopt_pin pin;
	struct pfn_batch mixed;
	bool may_pin;
	bool has_news;
	unsigned int nr_parts;
	struct iopt_gather_part parts[IOPT_GATHER_PARTS];
};

/* What iopt_pages_peek() does not know. */
#define IOPT_PFN_UNKNOWN ULONG_MAX

/* The longest copy that is tried at once. */
#define IOPT_RW_AT_ONCE_BYTES SZ_1M

/**
 * struct iopt_rw - a copy between the kernel and pages
 * @first_byte: counted from the start of the first page
 * @length: bytes
 * @data: the kernel's side
 * @write: into the pages
 * @pins: do not go through the user mapping of the current process
 * @lock: held by who copies, who stops when others want it; NULL: there is none
 */
struct iopt_rw {
	unsigned long first_byte;
	size_t length;
	void *data;
	struct rw_semaphore *lock;
	bool write;
	bool pins;
};

/**
 * iopt_slice_in_domain() - does this member map the filled pages of a slice?
 * @slice: the slice
 * @member: a member of its set, or one that is on its way in or out
 *
 * Context: a section over the slice.
 * Return: true if it does.
 */
static inline bool iopt_slice_in_domain(const struct iopt_slice *slice,
					const struct iopt_domain *member)
{
	u64 leave_seq = READ_ONCE(member->leave_seq);

	return member->add_seq <= slice->seq &&
	       (!leave_seq || slice->seq < leave_seq);
}

/**
 * iopt_slice_next_member() - the next member that maps a slice
 * @slice: the slice
 * @member: a member that does, or NULL to begin
 *
 * Members that do not map it may be freed behind the walker's back, so they are
 * looked at under RCU; one that does cannot leave before the section ends.
 *
 * Context: a section over the slice.
 * Return: the member or NULL.
 */
static inline struct iopt_domain *
iopt_slice_next_member(struct iopt_slice *slice, struct iopt_domain *member)
{
	struct list_head *members = &slice->domains->members;

	guard(rcu)();

	if (!member)
		member = list_entry(members, struct iopt_domain, item);
	list_for_each_entry_continue_rcu(member, members, item) {
		if (iopt_slice_in_domain(slice, member))
			return member;
	}
	return NULL;
}

/**
 * iopt_slice_wanted() - is there a member that shows a slice, or is going to?
 * @slice: the slice
 *
 * Context: a section over the slice.
 * Return: true if there is.
 */
static inline bool iopt_slice_wanted(struct iopt_slice *slice)
{
	return iopt_slice_next_member(slice, NULL);
}

/* Visit the members that map a slice, in a section over it. */
#define iopt_slice_for_each_member(slice, member)                         \
	for ((member) = NULL;                                             \
	     ((member) = iopt_slice_next_member((slice), (member))) != NULL;)

static inline struct iopt_busy iopt_slice_range(const struct iopt_slice *slice)
{
	return (struct iopt_busy){
		.first_index = slice->span.start,
		.last_index = slice->span.last,
	};
}

static inline unsigned long iopt_slice_npages(const struct iopt_slice *slice)
{
	return slice->span.last - slice->span.start + 1;
}

/* Where all of a slice shows; see iopt_slice_span(). */
static inline struct domain_io_span
iopt_slice_span_all(const struct iopt_slice *slice)
{
	return (struct domain_io_span){
		.first_iova = slice->iova.first_iova,
		.length = slice->iova.last_iova - slice->iova.first_iova + 1,
		.page_offset = slice->page_offset,
		.small_pages = slice->domains->small_pages,
	};
}

/*
 * Nothing of a slice that was filled is any more. In a section over it, with the lock
 * of its pages; records of what is in no other slice are to be dropped.
 */
static inline void iopt_slice_empty(struct iopt_slice *slice)
{
	slice->storage = NULL;
	slice->run_pfn = 0;
	WRITE_ONCE(slice->filled_pages, 0);
	span_tree_remove(&slice->pages->slices, &slice->span);
}

/*
 * Is the slice the only one that shows its pages, and does no access pin them? Of a
 * slice in an area that nobody else may touch, that stays so.
 */
static inline bool iopt_slice_is_alone(const struct iopt_slice *slice)
{
	const struct iopt_pages *pages = slice->pages;

	if (kref_read(&pages->kref) != 1 || READ_ONCE(pages->held))
		return false;
	smp_acquire__after_ctrl_dep(); /* what they did before they let go */
	return true;
}

/* pages.c */
struct iopt_pages *iopt_pages_get(struct iopt_pages *pages);
void iopt_pages_put(struct iopt_pages *pages);
bool iopt_pages_trylock_range(struct iopt_pages *pages, struct iopt_busy *busy);
void iopt_pages_await_range(struct iopt_pages *pages, struct iopt_busy *busy);
void iopt_pages_wait_range(struct iopt_pages *pages,
			   const struct iopt_busy *busy);
void iopt_pages_wake(struct iopt_pages *pages);

#if IS_ENABLED(CONFIG_IOMMUFD_DEBUG)
static inline void iopt_pages_clear_pinned(struct iopt_pages *pages)
{
	pages->npinned = 0;
}

void iopt_pages_add_pinned(struct iopt_pages *pages, long npages);
#else
static inline void iopt_pages_clear_pinned(struct iopt_pages *pages)
{
}

static inline void iopt_pages_add_pinned(struct iopt_pages *pages, long npages)
{
}
#endif

#ifdef CONFIG_IOMMUFD_DEBUG
/* pages_debug.c */
void iopt_pages_assert(struct iopt_pages *pages);
#else
static inline void iopt_pages_assert(struct iopt_pages *pages)
{
}
#endif

/*
 * Lockdep sees all sections as one lock. It comes after every lock of the
 * layers above, and nobody holds two sections.
 */
extern struct lockdep_map iopt_section_map;

/**
 * iopt_pages_lock_range() - begin a section, wait for others to end theirs
 * @pages: the pages
 * @busy: the section, its range set by the caller, who keeps it until
 *	iopt_pages_unlock_range()
 *
 * The wait is as long as driver calls and flushes for the range, never as long
 * as a page fault: nobody pins inside a section.
 *
 * Context: process; sleeps, no lock held.
 */
static inline void iopt_pages_lock_range(struct iopt_pages *pages,
					 struct iopt_busy *busy)
{
	bool is_alone;

	might_sleep();
	lock_map_acquire(&iopt_section_map);
	busy->is_waited_for = false;
	spin_lock(&pages->lock);
	is_alone = hlist_empty(&pages->busy);
	if (is_alone)
		hlist_add_head(&busy->item, &pages->busy);
	spin_unlock(&pages->lock);
	if (unlikely(!is_alone))
		iopt_pages_await_range(pages, busy);
}

/**
 * iopt_pages_end_range() - end a section, and let go of the lock
 * @pages: the pages
 * @busy: the section
 *
 * Context: process; @pages->lock held, and not on return.
 */
static inline void iopt_pages_end_range(struct iopt_pages *pages,
					struct iopt_busy *busy)
{
	bool is_waited_for;

	iopt_pages_assert(pages);
	lock_map_release(&iopt_section_map);
	__hlist_del(&busy->item);
	is_waited_for = busy->is_waited_for;
	spin_unlock(&pages->lock);
	if (unlikely(is_waited_for))
		iopt_pages_wake(pages);
}

/**
 * iopt_pages_unlock_range() - end a section
 * @pages: the pages
 * @busy: the section
 *
 * Context: process; any.
 */
static inline void iopt_pages_unlock_range(struct iopt_pages *pages,
					   struct iopt_busy *busy)
{
	spin_lock(&pages->lock);
	iopt_pages_end_range(pages, busy);
}

/* pages_pin.c */
extern unsigned int iopt_temp_bytes_limit;
extern const struct pfn_source_ops iopt_user_ops;
extern const struct pfn_source_ops iopt_user_writable_ops;

/**
 * iopt_pages_init_user() - show memory of a process
 * @pages: memory without a meaning
 * @owner: whose memory, to be put with the last reference to the pages
 * @uptr: user address of the first byte
 * @writable: devices may write to it
 *
 * Context: any.
 */
static inline void iopt_pages_init_user(struct iopt_pages *pages,
					struct iopt_owner *owner,
					unsigned long uptr, bool writable)
{
	/* One by one: to clear all of it first takes twice as long. */
	kref_init(&pages->kref);
	spin_lock_init(&pages->lock);
	pages->uptr = uptr;
	INIT_HLIST_HEAD(&pages->busy);
	pages->slices = SPAN_TREE_EMPTY;
	pages->records = SPAN_TREE_EMPTY;
	pages->held = NULL;
	pages->ops = writable ? &iopt_user_writable_ops : &iopt_user_ops;
	pages->owner = owner;
	iopt_pages_clear_pinned(pages);
}

void iopt_pin_init(struct iopt_pin *pin, unsigned long npages,
		   struct page **upages);
void iopt_pin_destroy(struct iopt_pin *pin);
long iopt_pin_gather(struct iopt_pages *pages, struct iopt_pin *pin,
		     unsigned long first_index, unsigned long max_pages);
void iopt_pages_unpin_front(struct iopt_pages *pages, struct pfn_batch *batch,
			    unsigned long npages);

/* pages_account.c */
/**
 * iopt_owner_is_current() - would iopt_owner_get() return this one?
 * @owner: an owner
 * @account_mode: whom it charges
 *
 * Context: process.
 * Return: true if it is that of the current process.
 */
static inline bool iopt_owner_is_current(const struct iopt_owner *owner,
					 enum iopt_account_mode account_mode)
{
	return owner->mm == current->mm && owner->task == current->group_leader &&
	       owner->user == current_user() &&
	       owner->account_mode == account_mode;
}

struct iopt_owner *iopt_owner_get(struct iopt_owner_cache *cache,
				  enum iopt_account_mode account_mode);
void iopt_owner_put(struct iopt_owner *owner);
void iopt_owner_cache_init(struct iopt_owner_cache *cache);
void iopt_owner_cache_clear(struct iopt_owner_cache *cache);
int iopt_pages_charge(struct iopt_pages *pages, unsigned long npages);
void iopt_pages_uncharge(struct iopt_pages *pages, unsigned long npages);

/* pages_read.c */
extern bool iopt_extents;
struct domain_io_span iopt_slice_span(const struct iopt_slice *slice,
				      unsigned long first_page,
				      unsigned long npages);
unsigned long iopt_slice_bound(const struct iopt_slice *slice,
			       unsigned long first_page, unsigned long npages);
unsigned long iopt_slice_bound_front(const struct iopt_slice *slice,
				     unsigned long first_page);
int iopt_pages_prepare_record(struct iopt_pages *pages,
			      unsigned long first_index,
			      const struct pfn_batch *batch,
			      struct pfn_record **out_record);
void iopt_pages_insert_record(struct iopt_pages *pages,
			      struct pfn_record *record);
struct pfn_record *iopt_pages_find_record(struct iopt_pages *pages,
					  unsigned long index,
					  unsigned long *last_index);
void iopt_pages_drop_records(struct iopt_pages *pages,
			     unsigned long first_index,
			     unsigned long last_index);
enum iopt_tier iopt_pages_cover_slice(struct iopt_pages *pages,
				      struct iopt_cover *cover);
enum iopt_tier iopt_pages_cover(struct iopt_pages *pages,
				struct iopt_cover *cover);
struct pfn_record *iopt_slice_record(struct iopt_slice *slice,
				     unsigned long index, unsigned long *npages);
unsigned long iopt_pages_peek(struct iopt_pages *pages, unsigned long index);
unsigned long iopt_slice_try_peek(struct iopt_slice *slice, unsigned long index);
unsigned long iopt_slice_read(struct iopt_slice *slice,
			      unsigned long first_page, unsigned long npages,
			      struct pfn_batch *batch);
unsigned long iopt_slice_read_few(struct iopt_slice *slice,
				  unsigned long first_page,
				  unsigned long npages,
				  struct pfn_batch *batch);
unsigned long iopt_slice_read_many(struct iopt_slice *slice,
				   unsigned long first_page,
				   unsigned long npages,
				   struct pfn_batch *batch);
void iopt_slice_init_batch(struct pfn_batch *batch);

/* pages_gather.c */
void iopt_gather_init(struct iopt_gather *gather, unsigned long first_index,
		      struct page **upages);
int iopt_gather_next(struct iopt_gather *gather, unsigned long first_index,
		     unsigned long last_index);
int iopt_gather_settle(struct iopt_gather *gather);
void iopt_gather_keep(struct iopt_gather *gather);
void iopt_gather_drop(struct iopt_gather *gather);
void iopt_gather_end(struct iopt_gather *gather);

/* pages_held.c */
void iopt_held_free(struct iopt_held *held);
struct iopt_held *iopt_pages_make_held(struct iopt_pages *pages);
unsigned long iopt_held_peek(struct iopt_held *held, unsigned long index);
bool iopt_held_cover(struct iopt_held *held, unsigned long first_index,
		     unsigned long *last_index);
unsigned long iopt_held_read(struct iopt_held *held, unsigned long first_index,
			     unsigned long npages, struct pfn_batch *batch);
unsigned int iopt_held_lists(struct iopt_held *held, struct iopt_cover *cover,
			     struct iopt_page_list *lists);
unsigned long iopt_held_pin(struct iopt_held *held, unsigned long first_index,
			    struct page *const *upages, unsigned long npages);
unsigned long iopt_held_pin_again(struct iopt_held *held,
				  unsigned long first_index,
				  unsigned long npages,
				  struct page **out_pages);
struct page **iopt_held_last_pins(struct iopt_held *held, unsigned long index,
				  unsigned long *npages);
void iopt_held_unpin(struct iopt_held *held, unsigned long first_index,
		     unsigned long npages);
unsigned long iopt_held_try_peek(struct iopt_held *held, unsigned long index);
bool iopt_pages_try_pin_again(struct iopt_pages *pages,
			      unsigned long first_index, unsigned long npages,
			      struct page **out_pages);
bool iopt_pages_try_unpin(struct iopt_pages *pages, unsigned long first_index,
			  unsigned long npages);

static inline void iopt_pages_end(struct kref *kref)
{
	struct iopt_pages *pages = container_of(kref, struct iopt_pages, kref);

	WARN_ON(!span_tree_is_empty(&pages->slices) ||
		!span_tree_is_empty(&pages->records) ||
		!hlist_empty(&pages->busy));
	if (pages->held)
		iopt_held_free(pages->held);
}

/**
 * iopt_pages_drop() - drop a reference, and leave the memory
 * @pages: the pages
 *
 * Context: process.
 * Return: true if it was the last one: the memory, and what the source of the pages
 * holds, are the caller's: to release and free them, or to use them for something else.
 */
static inline bool iopt_pages_drop(struct iopt_pages *pages)
{
	return kref_put(&pages->kref, iopt_pages_end);
}

/* pages_access.c */
int iopt_pages_add_access(struct iopt_pages *pages, unsigned long first_index,
			  unsigned long npages, struct page **out_pages);
bool iopt_pages_remove_access(struct iopt_pages *pages,
			      unsigned long first_index, unsigned long npages);

/* pages_note.c */
bool iopt_note_is_worth(const struct iopt_pages *pages, unsigned long index,
			unsigned long npages);
void iopt_pages_note(struct iopt_pages *pages, unsigned long index);

/* pages_rw.c */
int iopt_slice_rw(struct iopt_slice *slice, struct iopt_rw *rw);
bool iopt_slice_rw_at_once(struct iopt_slice *slice, struct iopt_rw *rw);

/* pages_fill.c */
void iopt_slice_uncover(struct iopt_slice *slice);
int iopt_slice_fill(struct iopt_slice *slice, bool is_owner);

/* pages_unfill.c */
unsigned long iopt_slice_unpin(struct iopt_slice *slice,
			       unsigned long first_page, unsigned long npages,
			       struct pfn_batch *batch);
int iopt_unfill_all(struct iopt_slice *slice, unsigned long *unpinned);
int iopt_slice_unfill(struct iopt_slice *slice);
void iopt_slices_unfill(struct iopt_slice *const *slices,
			unsigned int nr_slices);

/* pages_member.c */
int iopt_slice_add_domain(struct iopt_slice *slice, struct iopt_domain *member,
			  bool *needs_fill);
int iopt_slice_remove_domain(struct iopt_slice *slice,
			     struct iopt_domain *member,
			     unsigned long *unpinned);
int iopt_slice_split(struct iopt_slice *slice, struct iopt_slice *upper,
		     unsigned long first_page);

/* pages_quarantine.c */
int iopt_slice_quarantine(struct iopt_slice *slice, unsigned long kept_page);
void iopt_slice_rescue(struct iopt_slice *slice, struct iopt_domain *member);
unsigned long iopt_slice_release(struct iopt_slice *slice);

#endif
