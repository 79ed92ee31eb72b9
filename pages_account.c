// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locked-memory accounting: who pays for pinned pages.
 *
 * A charge is made before anything is pinned, so that a limit answers at once,
 * and goes back to whom it was taken from, whoever unpins: the saved user or
 * mm, never current's. The mm's pinned_vm (VmPin) counts in every mode.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "pages.h"
#include "test_hooks.h"

/* The mm is only remembered: what is mapped does not hold up an exit. */
static struct iopt_owner *iopt_owner_create(enum iopt_account_mode account_mode)
{
	struct iopt_owner *owner = kmalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);

	if (!owner)
		return NULL;
	refcount_set(&owner->refs, 1);
	owner->account_mode = account_mode;
	owner->mm = current->mm;
	mmgrab(owner->mm);
	owner->task = get_task_struct(current->group_leader);
	owner->user = get_uid(current_user());
	return owner;
}

static void iopt_owner_replace(struct iopt_owner_cache *cache,
			       struct iopt_owner *owner)
{
	spin_lock(&cache->lock);
	swap(cache->owner, owner);
	spin_unlock(&cache->lock);
	iopt_owner_put(owner);
}

/**
 * iopt_owner_get() - the current process as an owner
 * @cache: where to look first, and to leave what was not there
 * @account_mode: whom it charges
 *
 * Context: process with an mm; sleeps.
 * Return: the owner, to be given back with iopt_owner_put(), or NULL if there is
 * no memory.
 */
struct iopt_owner *iopt_owner_get(struct iopt_owner_cache *cache,
				  enum iopt_account_mode account_mode)
{
	struct iopt_owner *owner;

	spin_lock(&cache->lock);
	owner = cache->owner;
	if (owner && iopt_owner_is_current(owner, account_mode))
		refcount_inc(&owner->refs);
	else
		owner = NULL;
	spin_unlock(&cache->lock);
	if (owner)
		return owner;

	owner = iopt_owner_create(account_mode);
	if (!owner)
		return NULL;
	refcount_inc(&owner->refs);
	iopt_owner_replace(cache, owner);
	return owner;
}

/**
 * iopt_owner_put() - give an owner back
 * @owner: from iopt_owner_get(), or NULL
 *
 * Context: process; the last one may drop the last reference to an mm.
 */
void iopt_owner_put(struct iopt_owner *owner)
{
	if (!owner || !refcount_dec_and_test(&owner->refs))
		return;
	mmdrop(owner->mm);
	put_task_struct(owner->task);
	free_uid(owner->user);
	kfree(owner);
}

/**
 * iopt_owner_cache_init() - make an empty cache
 * @cache: the cache
 *
 * Context: any.
 */
void iopt_owner_cache_init(struct iopt_owner_cache *cache)
{
	spin_lock_init(&cache->lock);
	cache->owner = NULL;
}

/**
 * iopt_owner_cache_clear() - empty a cache
 * @cache: the cache
 *
 * Context: as iopt_owner_put().
 */
void iopt_owner_cache_clear(struct iopt_owner_cache *cache)
{
	iopt_owner_replace(cache, NULL);
}

static int iopt_charge_user(struct iopt_owner *owner, unsigned long npages)
{
	unsigned long limit = task_rlimit(owner->task, RLIMIT_MEMLOCK) >>
			      PAGE_SHIFT;
	atomic_long_t *locked_vm = &owner->user->locked_vm;
	unsigned long locked = atomic_long_read(locked_vm);

	do {
		if (npages > limit || locked > limit - npages)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(locked_vm, (long *)&locked,
					  locked + npages));
	return 0;
}

static int iopt_charge_mm(struct iopt_owner *owner, unsigned long npages)
{
	struct mm_struct *mm = owner->mm;
	int rc;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	rc = __account_locked_vm(mm, npages, true, owner->task, false);
	mmap_write_unlock(mm);
	return rc;
}

static noinline int iopt_charge_limit(struct iopt_owner *owner,
				      unsigned long npages)
{
	return owner->account_mode == IOPT_ACCOUNT_USER ?
		       iopt_charge_user(owner, npages) :
		       iopt_charge_mm(owner, npages);
}

static noinline void iopt_uncharge_mm(struct iopt_owner *owner,
				      unsigned long npages)
{
	struct mm_struct *mm = owner->mm;

	mmap_write_lock(mm);
	__account_locked_vm(mm, npages, false, owner->task, true);
	mmap_write_unlock(mm);
}

/**
 * iopt_pages_charge() - charge pages that are about to be pinned
 * @pages: whose owner pays, as its owner says
 * @npages: how many
 *
 * Context: process, no section; may take the owner's mmap lock.
 * Return: 0, -ENOMEM if the owner's RLIMIT_MEMLOCK does not allow it, or
 * -EINTR on a fatal signal; nothing is charged then.
 */
int iopt_pages_charge(struct iopt_pages *pages, unsigned long npages)
{
	struct iopt_owner *owner = pages->owner;
	int rc;

	if (iommufd_should_fail())
		return -ENOMEM;

	if (owner->account_mode != IOPT_ACCOUNT_NONE) {
		rc = iopt_charge_limit(owner, npages);
		if (rc)
			return rc;
	}
	atomic64_add(npages, &owner->mm->pinned_vm);
	return 0;
}

/**
 * iopt_pages_uncharge() - give a charge back
 * @pages: whose owner paid
 * @npages: how many of its pages are no longer pinned, may be 0
 *
 * Context: process, no section; may take the owner's mmap lock.
 */
void iopt_pages_uncharge(struct iopt_pages *pages, unsigned long npages)
{
	struct iopt_owner *owner = pages->owner;

	if (!npages)
		return;
	atomic64_sub(npages, &owner->mm->pinned_vm);
	if (owner->account_mode == IOPT_ACCOUNT_USER)
		atomic_long_sub(npages, &owner->user->locked_vm);
	else if (owner->account_mode == IOPT_ACCOUNT_MM)
		iopt_uncharge_mm(owner, npages);
}
