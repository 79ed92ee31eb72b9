/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOVA map of one IO address space: which IOVA shows which user memory,
 * which IOVA must not be used, and which domains mirror all of it.
 *
 * What holds between any two lock sections:
 *
 * - Areas do not overlap each other or a reserved range, and start and end on
 *   @iova_alignment, in whatever state they are.
 * - A MAPPING area belongs to the task that maps it, an UNMAPPING one to the
 *   task that unmaps it; nobody else changes their state.
 * - Every LIVE area is mapped, from end to end, in every domain of the set
 *   that the current change of the set has reached (iopt_slice_in_domain()).
 * - A QUARANTINED area keeps its IOVA, pages and charge until the domains it was
 *   in are freed.
 */
#ifndef __IOMMUFD_IO_PAGETABLE_H
#define __IOMMUFD_IO_PAGETABLE_H

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "iova_alloc.h"
#include "pages.h"
#include "turn.h"

struct device;
struct iommu_domain;
struct iopt_area;
struct iopt_mapping;
struct page;

/**
 * struct iopt_user - an in-kernel user of the map
 * @unmap: a range that was mapped goes: give up all pins in it before returning.
 *	Called with no lock held, perhaps several times and by several tasks
 * @iova_alignment: bytes; what the user needs areas to be aligned to
 * @leaving: it gets no pins any more; guarded by io_pagetable.iova_rwsem
 * @index: key in io_pagetable.users
 * @pinned_pages: its pins, in pages
 * @calls: its calls and callbacks in flight, and one more until it is removed
 */
struct iopt_user {
	void (*unmap)(struct iopt_user *user, unsigned long iova,
		      unsigned long length);
	unsigned long iova_alignment;
	bool leaving;
	u32 index;
	atomic_long_t pinned_pages;
	refcount_t calls;
};

/**
 * struct iopt_access_request - what an in-kernel user wants
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 * @write: it writes
 */
struct iopt_access_request {
	unsigned long first_iova;
	unsigned long last_iova;
	bool write;
};

/**
 * struct iopt_range - a range of IOVA
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 */
struct iopt_range {
	unsigned long first_iova;
	unsigned long last_iova;
};

/**
 * struct io_pagetable - the IOVA map of an IOAS
 * @iova_rwsem: guards @areas and the areas' states, @reserved, @usable, @allowed,
 *	@iova_alignment, @users and the insertion into @domains; never held while
 *	pinning, mapping into a domain, flushing or anything else that can wait for
 *	user space: a copy by the CPU that it guards takes no page fault
 * @areas: the areas by IOVA
 * @reserved: ranges that must stay unmapped, struct iopt_reserved
 * @usable: a range that meets none of @reserved, or one that nothing fits into. Under
 *	@iova_rwsem, for writing; nothing but a memory of the last search
 * @allowed: ranges user space wants to stay mappable, struct iopt_allowed
 * @domains: the domains that mirror the areas
 * @owners: who mapped last
 * @spare: memory of a mapping that is gone, for the next one, or NULL; taken and put
 *	by xchg() and cmpxchg()
 * @users: struct iopt_user by index
 * @change_turn: changes of @domains happen one at a time
 * @iova_alignment: bytes; start and end of every area are multiples of it
 * @nr_settled: counts areas that became LIVE or QUARANTINED or left; written
 *	under @iova_rwsem, waiting for an area to settle is waiting on it
 * @nr_waiting: so many wait for that
 * @nr_areas: areas in @areas, for fdinfo
 * @mapped_bytes: bytes in LIVE areas, for fdinfo
 * @nr_quarantined: areas in quarantine, for fdinfo
 * @tracks_dirty: all domains note which pages devices write to; like the next written
 *	under @iova_rwsem
 * @lost_track: not all that was written to since then has left a trace
 */
struct io_pagetable {
	struct rw_semaphore iova_rwsem;
	struct iova_map areas;
	struct rb_root_cached reserved;
	struct iopt_range usable;
	struct rb_root_cached allowed;
	struct iopt_domains domains;
	struct iopt_owner_cache owners;
	struct iopt_mapping *spare;
	struct xarray users;
	struct iommufd_turn change_turn;
	unsigned long iova_alignment;
	unsigned int nr_settled;
	atomic_t nr_waiting;
	unsigned long nr_areas;
	unsigned long mapped_bytes;
	unsigned long nr_quarantined;
	bool tracks_dirty;
	bool lost_track;
};

/**
 * struct iopt_map_request - what to map, and where
 * @uptr: user address of the first byte, any alignment @iova_alignment permits
 * @length: bytes, not 0
 * @iova: where; written when not @fixed_iova
 * @iommu_prot: IOMMU_READ, IOMMU_WRITE, IOMMU_CACHE
 * @account_mode: whom to charge
 * @fixed_iova: @iova is the caller's choice
 * @is_final: there is nothing to tell user space but that it has worked
 */
struct iopt_map_request {
	unsigned long uptr;
	unsigned long length;
	unsigned long iova;
	int iommu_prot;
	enum iopt_account_mode account_mode;
	bool fixed_iova;
	bool is_final;
};

/**
 * struct iopt_allow_list - ranges that shall stay mappable
 * @ranges: they do not overlap
 */
struct iopt_allow_list {
	struct rb_root_cached ranges;
};

/**
 * struct iopt_pending - areas that user space has not learned of yet
 * @iopt: the map they are in, in state MAPPING; NULL if there are none
 * @first_area: the first of them
 * @last_iova: last IOVA of the last; there is no hole in between
 */
struct iopt_pending {
	struct io_pagetable *iopt;
	struct iopt_area *first_area;
	unsigned long last_iova;
};

/**
 * struct iopt_copy - areas that show what another range shows
 * @areas: in the order of their IOVA
 * @nr_areas: those that are not in a map yet
 * @only_area: place for one: mostly there are no more
 */
struct iopt_copy {
	struct iopt_area **areas;
	size_t nr_areas;
	struct iopt_area *only_area;
};

/**
 * struct iopt_msi_window - where software maps the MSI doorbells of a device
 * @is_wanted: the device has such a window; otherwise the rest means nothing
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 */
struct iopt_msi_window {
	bool is_wanted;
	unsigned long first_iova;
	unsigned long last_iova;
};

/**
 * struct iopt_device_regions - where a device must not have anything mapped
 * @msi_window: where its MSI doorbells have to be mapped
 * @nr_ranges: how many ranges these are
 * @ranges: each of them twice, for the map that the device is in and for one that it
 *	moves to; NULL before they are known
 *
 * What a device has reserved is what its firmware and its bus are made for, so its
 * driver is asked once, when the device is attached for the first time since it was
 * bound. All zero bytes: it has not been. A driver that has no memory for a region may
 * leave it out and say nothing; then it stays out for so long. Of the window for
 * interrupts that is noticed.
 */
struct iopt_device_regions {
	struct iopt_msi_window msi_window;
	size_t nr_ranges;
	struct iopt_reserved *ranges;
};

static inline void iopt_range_set(struct iopt_reserved *range,
				  unsigned long first_iova,
				  unsigned long last_iova)
{
	range->node.start = first_iova;
	range->node.last = last_iova;
}

/**
 * struct iopt_dirty_request - what dirty bits to read, and where to
 * @first_iova: first byte
 * @last_iova: last byte, inclusive
 * @page_size: bytes that one bit stands for, a power of two
 * @data: bit 0 is that of @first_iova; of any alignment
 * @keep: clear none
 */
struct iopt_dirty_request {
	unsigned long first_iova;
	unsigned long last_iova;
	unsigned long page_size;
	u64 __user *data;
	bool keep;
};

#ifdef CONFIG_IOMMUFD_DEBUG
/* iopt_debug.c */
void iopt_assert(struct io_pagetable *iopt);
#else
static inline void iopt_assert(struct io_pagetable *iopt)
{
}
#endif

/* Change the map: guard(iopt_write)(iopt). It is in order at the end. */
DEFINE_GUARD(iopt_write, struct io_pagetable *, down_write(&_T->iova_rwsem),
	     iopt_assert(_T); up_write(&_T->iova_rwsem))

/* io_pagetable.c */
void iopt_init(struct io_pagetable *iopt);
void iopt_destroy(struct io_pagetable *iopt);
int iopt_unmap_any(struct io_pagetable *iopt, unsigned long first_iova,
		   unsigned long last_iova, unsigned long *unmapped_bytes);
int iopt_unmap(struct io_pagetable *iopt, unsigned long first_iova,
	       unsigned long last_iova, unsigned long *unmapped_bytes);
int iopt_check_ends(struct io_pagetable *iopt, unsigned long first_iova,
		    unsigned long last_iova);
int iopt_unmap_whole(struct io_pagetable *iopt, unsigned long first_iova,
		     unsigned long last_iova, unsigned long *unmapped_bytes);
int iopt_unmap_all(struct io_pagetable *iopt, unsigned long *unmapped_bytes);

/* iopt_map.c */
int iopt_map_init(void);
void iopt_map_exit(void);
int iopt_map_begin(struct io_pagetable *iopt, struct iopt_map_request *request,
		   struct iopt_pending *pending);
int iopt_copy_begin(struct io_pagetable *source, unsigned long first_iova,
		    unsigned long last_iova, struct iopt_copy *out_copy);
int iopt_copy_place(struct io_pagetable *iopt, struct iopt_copy *copy,
		    struct iopt_map_request *request,
		    struct iopt_pending *pending);
void iopt_copy_end(struct iopt_copy *copy);
void iopt_pending_commit(struct iopt_pending *pending);
void iopt_pending_abort(struct iopt_pending *pending);

/* iopt_domain.c */
int iopt_domain_add(struct io_pagetable *iopt, struct iopt_domain *member);
void iopt_domain_remove(struct io_pagetable *iopt, struct iopt_domain *member);
void iopt_domain_free(struct io_pagetable *iopt, struct iopt_domain *member);
int iopt_set_large_pages(struct io_pagetable *iopt, bool large);
unsigned long iopt_page_sizes(struct io_pagetable *iopt);

/* iopt_split.c */
int iopt_cut(struct io_pagetable *iopt, unsigned long iova);

/* iopt_access.c */
int iopt_user_add(struct io_pagetable *iopt, struct iopt_user *user);
bool iopt_user_get(struct iopt_user *user);
void iopt_user_put(struct iopt_user *user);
void iopt_user_stop(struct io_pagetable *iopt, struct iopt_user *user);
void iopt_user_remove(struct io_pagetable *iopt, struct iopt_user *user);
int iopt_pin(struct io_pagetable *iopt, struct iopt_user *user,
	     const struct iopt_access_request *request,
	     struct page **out_pages);
void iopt_unpin(struct io_pagetable *iopt, struct iopt_user *user,
		unsigned long iova, unsigned long last_iova);
bool iopt_pin_at_once(struct io_pagetable *iopt, struct iopt_user *user,
		      const struct iopt_access_request *request,
		      struct page **out_pages);
bool iopt_unpin_at_once(struct io_pagetable *iopt, struct iopt_user *user,
			unsigned long iova, unsigned long last_iova);
bool iopt_rw_at_once(struct io_pagetable *iopt, unsigned long iova,
		     struct iopt_rw *rw);
int iopt_rw_access(struct io_pagetable *iopt, struct iopt_user *user,
		   const struct iopt_access_request *request,
		   struct iopt_rw *rw);

/**
 * iopt_user_try_lock() - lock the map for a user's call, if that is at once
 * @iopt: the map
 * @user: the user
 *
 * With the lock it is in the map, and stays.
 *
 * Context: any that keeps the memory of both, such as RCU; does not sleep.
 * Return: true with the map's lock held for reading; false also if the user is
 * leaving.
 */
static inline bool iopt_user_try_lock(struct io_pagetable *iopt,
				      struct iopt_user *user)
{
	if (!down_read_trylock(&iopt->iova_rwsem))
		return false;
	/* Pairs with iopt_user_add(), which can be that to another map. */
	if (likely(!smp_load_acquire(&user->leaving)))
		return true;
	up_read(&iopt->iova_rwsem);
	return false;
}

/* iopt_dirty.c */
int iopt_track_dirty(struct io_pagetable *iopt, struct iopt_domain *member,
		     bool enable);
int iopt_read_dirty(struct io_pagetable *iopt, struct iopt_domain *member,
		    const struct iopt_dirty_request *request);
int iopt_collect_dirty(struct io_pagetable *iopt,
		       const struct iopt_dirty_request *request);
int iopt_assume_dirty(struct io_pagetable *iopt,
		      const struct iopt_dirty_request *request);

/* iopt_track.c */
bool iopt_can_track(struct io_pagetable *iopt);
int iopt_start_tracking(struct io_pagetable *iopt);
int iopt_stop_tracking(struct io_pagetable *iopt);

/* iopt_reserve.c */
int iopt_reserve(struct io_pagetable *iopt, unsigned long first_iova,
		 unsigned long last_iova, const void *owner);
int iopt_reserve_ranges(struct io_pagetable *iopt, struct iopt_reserved *ranges,
			size_t nr_ranges, const void *owner);
void iopt_unreserve(struct io_pagetable *iopt, const void *owner);
int iopt_reserve_device(struct io_pagetable *iopt, struct device *dev,
			struct iopt_device_regions *regions);
void iopt_forget_regions(struct iopt_device_regions *regions);
int iopt_allow_add(struct iopt_allow_list *list, unsigned long first_iova,
		   unsigned long last_iova);
int iopt_allow_apply(struct io_pagetable *iopt, struct iopt_allow_list *list);
void iopt_allow_free(struct iopt_allow_list *list);
void iopt_reserve_destroy(struct io_pagetable *iopt);
bool iopt_find_usable(struct io_pagetable *iopt, unsigned long first_iova,
		      unsigned long last_iova);
size_t iopt_usable_ranges(struct io_pagetable *iopt, struct iopt_range *ranges,
			  size_t max_ranges, unsigned long *out_alignment);

#endif
