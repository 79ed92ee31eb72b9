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

#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct iommu_domain;
struct pfn_batch;
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
 * struct iopt_pages - a range of user memory shared by slices
 * @kref: one for each slice and each short-term user
 * @lock: guards @busy, @slices and @npinned; leaf, held for a few instructions
 * @account_mode: who is charged, enum iopt_account_mode
 * @writable: pinned with FOLL_WRITE
 * @npages: pages from the page that holds @uptr to the last one
 * @npinned: pages pinned now; each of them is charged (I7)
 * @uptr: address of the first byte, not aligned
 * @busy: index ranges somebody is in a section of, struct iopt_busy
 * @slices: coverage: the slices that pinned pages show through, by index
 * @source_mm: mm whose memory this is (mmgrab)
 * @source_task: thread-group leader of the mapper, for its RLIMIT_MEMLOCK
 * @source_user: user of the mapper
 */
struct iopt_pages {
	struct kref kref;
	spinlock_t lock;
	u8 account_mode;
	bool writable;
	unsigned long npages;
	unsigned long npinned;
	unsigned long uptr;
	struct list_head busy;
	struct rb_root_cached slices;
	struct mm_struct *source_mm;
	struct task_struct *source_task;
	struct user_struct *source_user;
};

/**
 * struct iopt_busy - a section: an index range held by one task
 * @item: in iopt_pages.busy
 * @first_index: first page of the range
 * @last_index: last page of the range, inclusive
 *
 * Lives on the holder's stack.
 */
struct iopt_busy {
	struct list_head item;
	unsigned long first_index;
	unsigned long last_index;
};

/**
 * struct iopt_domain - a domain's membership in a domain set
 * @domain: the domain; NULL once freed while @quarantined is not empty
 * @add_seq: number of the change that added it, from 1
 * @leave_seq: number of the change that removes it, 0 while it is wanted
 * @index: key in iopt_domains.xa
 * @quarantined: slices whose pages the domain may still reach, by
 *	iopt_slice.quarantine_item; guarded by the owner's change state
 */
struct iopt_domain {
	struct iommu_domain *domain;
	u64 add_seq;
	u64 leave_seq;
	u32 index;
	struct list_head quarantined;
	struct rcu_head rcu;
};

/**
 * struct iopt_domains - the domains that mirror an IOVA map
 * @xa: struct iopt_domain by index; entries are freed by RCU
 * @seq: number of the last change
 */
struct iopt_domains {
	struct xarray xa;
	u64 seq;
};

#endif
