// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locked-memory accounting: who pays for pinned pages.
 *
 * A charge is made before anything is pinned, so that a limit answers at once,
 * and goes back to whom it was taken from, whoever unpins: the saved user or
 * mm, never current's. The mm's pinned_vm (VmPin) counts in every mode.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>

#include "pages.h"
#include "test_hooks.h"

static int iopt_charge_user(struct iopt_pages *pages, unsigned long npages)
{
	unsigned long limit = task_rlimit(pages->source_task, RLIMIT_MEMLOCK) >>
			      PAGE_SHIFT;
	atomic_long_t *locked_vm = &pages->source_user->locked_vm;
	unsigned long locked = atomic_long_read(locked_vm);

	do {
		if (npages > limit || locked > limit - npages)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(locked_vm, (long *)&locked,
					  locked + npages));
	return 0;
}

static int iopt_charge_mm(struct iopt_pages *pages, unsigned long npages)
{
	struct mm_struct *mm = pages->source_mm;
	int rc;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	rc = __account_locked_vm(mm, npages, true, pages->source_task, false);
	mmap_write_unlock(mm);
	return rc;
}

static void iopt_uncharge_mm(struct iopt_pages *pages, unsigned long npages)
{
	struct mm_struct *mm = pages->source_mm;

	mmap_write_lock(mm);
	__account_locked_vm(mm, npages, false, pages->source_task, true);
	mmap_write_unlock(mm);
}

/**
 * iopt_pages_charge() - charge pages that are about to be pinned
 * @pages: whose owner pays, as its account_mode says
 * @npages: how many
 *
 * Context: process, no section; may take the owner's mmap lock.
 * Return: 0, -ENOMEM if the owner's RLIMIT_MEMLOCK does not allow it, or
 * -EINTR on a fatal signal; nothing is charged then.
 */
int iopt_pages_charge(struct iopt_pages *pages, unsigned long npages)
{
	int rc = 0;

	if (iommufd_should_fail())
		return -ENOMEM;

	switch ((enum iopt_account_mode)pages->account_mode) {
	case IOPT_ACCOUNT_NONE:
		break;
	case IOPT_ACCOUNT_USER:
		rc = iopt_charge_user(pages, npages);
		break;
	case IOPT_ACCOUNT_MM:
		rc = iopt_charge_mm(pages, npages);
		break;
	}
	if (!rc)
		atomic64_add(npages, &pages->source_mm->pinned_vm);
	return rc;
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
	if (!npages)
		return;
	if (pages->account_mode == IOPT_ACCOUNT_USER)
		atomic_long_sub(npages, &pages->source_user->locked_vm);
	else if (pages->account_mode == IOPT_ACCOUNT_MM)
		iopt_uncharge_mm(pages, npages);
	atomic64_sub(npages, &pages->source_mm->pinned_vm);
}
