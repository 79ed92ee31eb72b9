// SPDX-License-Identifier: GPL-2.0-only
/*
 * HWPT objects.
 *
 *	begin		an empty domain, which any device can refuse
 *	mirror		the domain gets all that is in the IOAS, and follows it
 *	publish		others can find the HWPT; it has to be used by then if it
 *			is automatic, for that is what keeps it
 *	put		the last one destroys an automatic HWPT, before it returns
 *
 * Whether devices are attached before or after the domain mirrors the IOAS is the
 * business of who attaches.
 */
#include <linux/device.h>
#include <linux/iommu.h>

#include "iommu-priv.h"

#include "hwpt.h"
#include "ioas.h"

static void iommufd_hwpt_destroy(struct iommufd_object *object)
{
	struct iommufd_hwpt *hwpt = to_hwpt(object);
	struct iommufd_ioas *ioas = hwpt->ioas;

	scoped_guard(mutex, &ioas->mutex)
		list_del_init(&hwpt->ioas_item);
	if (hwpt->mirroring)
		iopt_domain_remove(&ioas->iopt, &hwpt->member);
	iopt_domain_free(&ioas->iopt, &hwpt->member);
	iommufd_object_unuse(&ioas->obj);
}

static const struct iommufd_object_ops iommufd_hwpt_ops = {
	.kind = IOMMUFD_HWPT,
	.destroy = iommufd_hwpt_destroy,
};

/*
 * domain_alloc_user() knows the device from the start, so that the aperture is
 * right before anything is attached, and on VT-d gives a second-stage table,
 * whose snooping is a bit in each entry. Not all drivers have it.
 */
static struct iommu_domain *iommufd_alloc_domain(struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain;

	if (!ops->domain_alloc_user)
		return iommu_paging_domain_alloc(dev);

	domain = ops->domain_alloc_user(dev, 0, NULL, NULL);
	if (IS_ERR_OR_NULL(domain))
		return domain ?: ERR_PTR(-ENOMEM);
	/* The core attaches only what it sees to be of the device's driver. */
	domain->owner = ops;
	return domain;
}

static bool iommufd_must_be_coherent(struct device *dev)
{
	return device_iommu_capable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY);
}

/*
 * KVM looks at the device alone to decide whether a guest can have non-coherent
 * DMA, and what the driver once filled it cannot make coherent: so it is now, or
 * the device cannot be attached.
 */
static int iommufd_hwpt_enforce_coherency(struct iommufd_hwpt *hwpt,
					  struct device *dev)
{
	struct iommu_domain *domain = hwpt->member.domain;

	if (!iommufd_must_be_coherent(dev))
		return 0;
	if (domain->ops->enforce_cache_coherency)
		hwpt->coherent = domain->ops->enforce_cache_coherency(domain);
	return iommufd_hwpt_check_device(hwpt, dev);
}

static int iommufd_hwpt_init_domain(struct iommufd_hwpt *hwpt,
				    struct device *dev)
{
	struct iommu_domain *domain = iommufd_alloc_domain(dev);
	int rc;

	if (IS_ERR(domain))
		return PTR_ERR(domain);

	hwpt->member.domain = domain;
	rc = iommufd_hwpt_enforce_coherency(hwpt, dev);
	if (rc)
		iommu_domain_free(domain);
	return rc;
}

/**
 * iommufd_hwpt_begin - make a HWPT with an empty domain
 * @ioas: what it is going to mirror
 * @dev: whose driver makes the domain; coherency is enforced if it can be for
 *	this device
 *
 * Context: Process context, may sleep.
 * Return: the HWPT, not published, or an ERR_PTR: -EINVAL if the domain cannot be
 * made coherent; -ENOENT if the IOAS is being destroyed; -ENOMEM, -ENOSPC, or
 * what the driver says.
 */
struct iommufd_hwpt *iommufd_hwpt_begin(struct iommufd_ioas *ioas,
					struct device *dev)
{
	struct iommufd_hwpt *hwpt;
	int rc;

	hwpt = iommufd_object_begin(ioas->obj.ictx, struct iommufd_hwpt,
				    &iommufd_hwpt_ops);
	if (IS_ERR(hwpt))
		return hwpt;

	hwpt->ioas = ioas;
	hwpt->msi_start = PHYS_ADDR_MAX;
	INIT_LIST_HEAD(&hwpt->ioas_item);

	rc = iommufd_object_use(&ioas->obj);
	if (!rc) {
		rc = iommufd_hwpt_init_domain(hwpt, dev);
		if (!rc)
			return hwpt;
		iommufd_object_unuse(&ioas->obj);
	}
	iommufd_object_discard(&hwpt->obj);
	return ERR_PTR(rc);
}

/**
 * iommufd_hwpt_mirror - fill the domain, and keep it so
 * @hwpt: not published, not mirroring
 *
 * Context: Process context, may sleep as long as user space likes.
 * Return: 0, or as iopt_domain_add() with nothing left in the domain.
 */
int iommufd_hwpt_mirror(struct iommufd_hwpt *hwpt)
{
	int rc = iopt_domain_add(&hwpt->ioas->iopt, &hwpt->member);

	hwpt->mirroring = !rc;
	return rc;
}

/**
 * iommufd_hwpt_get - use a HWPT once more
 * @hwpt: not published, or used by the caller already
 *
 * Context: Process context; takes and releases the table's xa_lock.
 * Return: @hwpt.
 */
struct iommufd_hwpt *iommufd_hwpt_get(struct iommufd_hwpt *hwpt)
{
	/* Neither kind can be retired. */
	WARN_ON(iommufd_object_use(&hwpt->obj));
	return hwpt;
}

/**
 * iommufd_hwpt_publish_auto - let an automatic HWPT be found and shared
 * @hwpt: mirroring, and attached to the caller's group, which gets a use of it
 *
 * Context: The turn iommufd_ioas.attach_turn.
 */
void iommufd_hwpt_publish_auto(struct iommufd_hwpt *hwpt)
{
	struct iommufd_ioas *ioas = hwpt->ioas;

	lockdep_assert_held(&ioas->attach_turn);

	hwpt->automatic = true;
	iommufd_object_publish(&iommufd_hwpt_get(hwpt)->obj);
	guard(mutex)(&ioas->mutex);
	list_add_tail(&hwpt->ioas_item, &ioas->auto_hwpts);
}

/**
 * iommufd_hwpt_next_auto - walk the automatic HWPTs of an IOAS
 * @ioas: the IOAS
 * @prev_hwpt: where the walk is, NULL at the beginning; the caller's use of it is
 *	given back
 *
 * The use of one HWPT keeps the walk's place in the list, with no lock held.
 *
 * Context: The turn iommufd_ioas.attach_turn. May sleep.
 * Return: the next one, used by the caller now, or NULL after the last.
 */
struct iommufd_hwpt *iommufd_hwpt_next_auto(struct iommufd_ioas *ioas,
					    struct iommufd_hwpt *prev_hwpt)
{
	struct iommufd_hwpt *hwpt = NULL;

	lockdep_assert_held(&ioas->attach_turn);

	scoped_guard(mutex, &ioas->mutex) {
		struct iommufd_hwpt *pos;

		pos = list_prepare_entry(prev_hwpt, &ioas->auto_hwpts,
					 ioas_item);
		list_for_each_entry_continue(pos, &ioas->auto_hwpts, ioas_item) {
			/* One on its way out waits for the mutex. */
			if (iommufd_object_use(&pos->obj))
				continue;
			hwpt = pos;
			break;
		}
	}
	if (prev_hwpt)
		iommufd_hwpt_put(prev_hwpt);
	return hwpt;
}

/**
 * iommufd_hwpt_put - give back the use of a HWPT
 * @hwpt: a published HWPT; an automatic one is destroyed, ID and all, if that was
 *	the last use
 *
 * Context: Process context, may sleep.
 */
void iommufd_hwpt_put(struct iommufd_hwpt *hwpt)
{
	if (!hwpt->automatic)
		iommufd_object_unuse(&hwpt->obj);
	else if (iommufd_object_unuse_retire(&hwpt->obj))
		iommufd_object_destroy_retired(&hwpt->obj);
}

/**
 * iommufd_hwpt_check_device - does the domain do what the device needs?
 * @hwpt: the HWPT
 * @dev: to be attached to it
 *
 * Context: Process context.
 * Return: 0; -EINVAL if the device has to have a coherent domain and this is not.
 */
int iommufd_hwpt_check_device(const struct iommufd_hwpt *hwpt,
			      struct device *dev)
{
	return iommufd_must_be_coherent(dev) && !hwpt->coherent ? -EINVAL : 0;
}

/**
 * iommufd_hwpt_set_msi - give the domain its window for MSI doorbells
 * @hwpt: the HWPT
 * @msi_start: IOVA where the window of a device starts, PHYS_ADDR_MAX if the
 *	device has none
 *
 * A domain has one window for all its devices: the MSI layer maps doorbells into
 * it, behind our back, so it is a reserved range of each of these devices.
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL if the domain has another window; -ENOMEM.
 */
int iommufd_hwpt_set_msi(struct iommufd_hwpt *hwpt, phys_addr_t msi_start)
{
	int rc;

	guard(mutex)(&hwpt->ioas->mutex);
	if (msi_start == PHYS_ADDR_MAX || msi_start == hwpt->msi_start)
		return 0;
	if (hwpt->msi_start != PHYS_ADDR_MAX)
		return -EINVAL;

	rc = iommu_get_msi_cookie(hwpt->member.domain, msi_start);
	if (!rc)
		hwpt->msi_start = msi_start;
	return rc;
}
