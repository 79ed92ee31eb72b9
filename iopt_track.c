// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking of a whole IOVA map, as VFIO's type1 has it: all domains at once,
 * those that come while it is on as well.
 *
 * That is worth something as long as whoever writes leaves a trace. Who does not, or
 * takes the traces along, makes the map lose track:
 *
 * - a domain that comes and cannot track, or whose driver fails to
 * - a domain that goes, with the bits in it that nobody has read
 * - an in-kernel user, who writes with the CPU
 *
 * From then on all that can be written to is dirty, until tracking is switched on
 * anew: more than necessary can be copied twice, too little never.
 */
#include <linux/iommu.h>
#include <linux/rculist.h>

#include "iopt_area.h"

/**
 * iopt_lose_track() - somebody can write, or has written, without a trace
 * @iopt: the map
 *
 * Context: the map's lock held for writing.
 */
void iopt_lose_track(struct io_pagetable *iopt)
{
	lockdep_assert_held_write(&iopt->iova_rwsem);

	if (iopt->tracks_dirty)
		WRITE_ONCE(iopt->lost_track, true);
}

/**
 * iopt_track_newcomer() - have a domain do as the map does
 * @iopt: the map
 * @member: about to be added, nothing is mapped in it
 *
 * A driver that fails does not keep the domain out.
 *
 * Context: process, the turn to change the domains; sleeps.
 */
void iopt_track_newcomer(struct io_pagetable *iopt, struct iopt_domain *member)
{
	lockdep_assert_held(&iopt->change_turn);

	if (!iopt->tracks_dirty)
		return;
	if (member->io.domain->dirty_ops && !iopt_switch_dirty(member, true))
		return;
	guard(iopt_write)(iopt);
	iopt_lose_track(iopt);
}

/**
 * iopt_can_track() - would it be of use to track dirty pages?
 * @iopt: the map
 *
 * Context: process, the map's lock not held; sleeps.
 * Return: true if there are domains, all of them can track, and there is no in-kernel
 * user; or if they do it already.
 */
bool iopt_can_track(struct io_pagetable *iopt)
{
	struct iopt_domain *member;
	bool can_track = false;

	if (READ_ONCE(iopt->tracks_dirty))
		return true;
	if (!xa_empty(&iopt->users))
		return false;
	/* A member is freed by RCU, but its domain at once: not before it leaves. */
	guard(rwsem_read)(&iopt->iova_rwsem);
	guard(rcu)();
	list_for_each_entry_rcu(member, &iopt->domains.members, item) {
		if (member->leave_seq)
			continue;
		if (!member->io.domain->dirty_ops)
			return false;
		can_track = true;
	}
	return can_track;
}

/* Return: the first driver's -errno, or 0; tracking is off all the same. */
static int iopt_switch_off(struct io_pagetable *iopt)
{
	struct iopt_domain *member;
	int rc = 0;

	lockdep_assert_held(&iopt->change_turn);

	list_for_each_entry(member, &iopt->domains.members, item) {
		int error = 0;

		if (!member->leave_seq && member->io.domain->dirty_ops)
			error = iopt_switch_dirty(member, false);
		rc = rc ?: error;
	}
	guard(iopt_write)(iopt);
	WRITE_ONCE(iopt->tracks_dirty, false);
	WRITE_ONCE(iopt->lost_track, false);
	return rc;
}

static int iopt_switch_on(struct io_pagetable *iopt)
{
	struct iopt_domain *member;
	int rc = 0;

	lockdep_assert_held(&iopt->change_turn);

	/* An in-kernel user comes without a turn: before this, or it sees it. */
	scoped_guard(iopt_write, iopt) {
		WRITE_ONCE(iopt->tracks_dirty, true);
		WRITE_ONCE(iopt->lost_track, !xa_empty(&iopt->users));
	}
	list_for_each_entry(member, &iopt->domains.members, item) {
		if (member->leave_seq)
			continue;
		rc = iopt_track_dirty(iopt, member, true);
		if (rc)
			break;
	}
	if (rc)
		iopt_switch_off(iopt);
	return rc;
}

/**
 * iopt_start_tracking() - have all domains note which pages devices write to
 * @iopt: the map
 *
 * What they have noted before is forgotten, unless tracking is on already.
 *
 * Context: process, no lock held; sleeps.
 * Return: 0, also if it is on already; -EOPNOTSUPP as iopt_can_track() says; -EINTR
 * fatal signal; a driver's -errno. It is off then.
 */
int iopt_start_tracking(struct io_pagetable *iopt)
{
	int rc = iommufd_turn_take_killable(&iopt->change_turn);

	if (rc)
		return rc;
	if (!iopt_can_track(iopt))
		rc = -EOPNOTSUPP;
	else if (!iopt->tracks_dirty)
		rc = iopt_switch_on(iopt);
	iommufd_turn_end(&iopt->change_turn);
	return rc;
}

/**
 * iopt_stop_tracking() - undo iopt_start_tracking()
 * @iopt: the map
 *
 * Context: process, no lock held; sleeps.
 * Return: 0, also if it is off already; -EINTR fatal signal; a driver's -errno, and
 * it is off all the same.
 */
int iopt_stop_tracking(struct io_pagetable *iopt)
{
	int rc = iommufd_turn_take_killable(&iopt->change_turn);

	if (rc)
		return rc;
	if (iopt->tracks_dirty)
		rc = iopt_switch_off(iopt);
	iommufd_turn_end(&iopt->change_turn);
	return rc;
}
