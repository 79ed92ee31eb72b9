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
 * A HWPT that user space asks for goes the same way, and stays until it is
 * destroyed. A nested one has nothing to mirror.
 *
 * Whether devices are attached before or after the domain mirrors the IOAS is the
 * business of who attaches.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/minmax.h>
#include <linux/pagemap.h>
#include <linux/rculist.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "iommu-priv.h"

#include "attachment.h"
#include "device.h"
#include "fault.h"
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
	if (hwpt->nr_msi_users)
		iopt_unreserve(&ioas->iopt, hwpt);
	iommufd_object_unuse(&ioas->obj);
}

static const struct iommufd_object_ops iommufd_hwpt_ops = {
	.kind = IOMMUFD_HWPT,
	.destroy = iommufd_hwpt_destroy,
};

static void iommufd_hwpt_nested_destroy(struct iommufd_object *object)
{
	struct iommufd_hwpt *hwpt = to_hwpt(object);

	iommu_domain_free(hwpt->member.io.domain);
	if (hwpt->fault)
		iommufd_object_unuse(&hwpt->fault->obj);
	iommufd_object_unuse(&hwpt->parent->obj);
}

static const struct iommufd_object_ops iommufd_hwpt_nested_ops = {
	.kind = IOMMUFD_HWPT_NESTED,
	.destroy = iommufd_hwpt_nested_destroy,
};

/* @parent: what the domain is to be nested on, or NULL. */
static struct iommu_domain *
iommufd_alloc_user_domain(const struct iommufd_hwpt_request *request,
			  struct iommu_domain *parent)
{
	const struct iommu_ops *ops = dev_iommu_ops(request->dev);
	struct iommu_domain *domain;
	bool is_nested;

	/* The caller holds the device, and has made sure of the data. */
	pagefault_disable();
	domain = ops->domain_alloc_user(request->dev, request->flags, parent,
					request->user_data);
	pagefault_enable();
	if (IS_ERR_OR_NULL(domain))
		return domain ?: ERR_PTR(-ENOMEM);

	/* The core attaches only what it sees to be of the device's driver. */
	domain->owner = ops;
	is_nested = domain->type == IOMMU_DOMAIN_NESTED;
	if (WARN_ON_ONCE(is_nested != !!parent)) {
		iommu_domain_free(domain);
		return ERR_PTR(-EINVAL);
	}
	return domain;
}

/*
 * domain_alloc_user() knows the device from the start, so that the aperture is
 * right before anything is attached, and on VT-d gives a second-stage table,
 * whose snooping is a bit in each entry. Not all drivers have it.
 */
static struct iommu_domain *
iommufd_alloc_domain(const struct iommufd_hwpt_request *request)
{
	if (dev_iommu_ops(request->dev)->domain_alloc_user)
		return iommufd_alloc_user_domain(request, NULL);
	if (request->flags || request->user_data)
		return ERR_PTR(-EOPNOTSUPP);
	return iommu_paging_domain_alloc(request->dev);
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
	struct iommu_domain *domain = hwpt->member.io.domain;

	if (!iommufd_must_be_coherent(dev))
		return 0;
	if (domain->ops->enforce_cache_coherency)
		hwpt->coherent = domain->ops->enforce_cache_coherency(domain);
	return iommufd_hwpt_check_device(hwpt, dev);
}

static int iommufd_hwpt_init_domain(struct iommufd_hwpt *hwpt,
				    const struct iommufd_hwpt_request *request)
{
	struct iommu_domain *domain = iommufd_alloc_domain(request);
	int rc;

	if (IS_ERR(domain))
		return PTR_ERR(domain);

	hwpt->member.io.domain = domain;
	rc = iommufd_hwpt_enforce_coherency(hwpt, request->dev);
	if (rc)
		iommu_domain_free(domain);
	return rc;
}

/**
 * iommufd_hwpt_begin - make a HWPT with an empty domain
 * @ioas: what it is going to mirror
 * @request: what kind of domain; coherency is enforced if it can be for the
 *	device
 *
 * Context: Process context, may sleep.
 * Return: the HWPT, not published, or an ERR_PTR: -EINVAL if the domain cannot be
 * made coherent; -ENOENT if the IOAS is being destroyed; -EOPNOTSUPP if the
 * driver has only one kind of domain, or says so; -ENOMEM, -ENOSPC, or what else
 * the driver says.
 */
struct iommufd_hwpt *
iommufd_hwpt_begin(struct iommufd_ioas *ioas,
		   const struct iommufd_hwpt_request *request)
{
	struct iommufd_hwpt *hwpt;
	int rc;

	hwpt = iommufd_object_begin(ioas->obj.ictx, struct iommufd_hwpt,
				    &iommufd_hwpt_ops);
	if (IS_ERR(hwpt))
		return hwpt;

	hwpt->ioas = ioas;
	hwpt->is_nest_parent = request->flags & IOMMU_HWPT_ALLOC_NEST_PARENT;
	INIT_LIST_HEAD(&hwpt->ioas_item);
	iommufd_gate_init(&hwpt->member.io.gate);

	rc = iommufd_object_use(&ioas->obj);
	if (!rc) {
		rc = iommufd_hwpt_init_domain(hwpt, request);
		if (!rc)
			return hwpt;
		iommufd_object_unuse(&ioas->obj);
	}
	iommufd_object_discard(&hwpt->obj);
	return ERR_PTR(rc);
}

/**
 * iommufd_hwpt_is_complete - can the domain be filled before a device is attached?
 * @hwpt: not mirroring
 *
 * Context: Any.
 * Return: whether it can for certain: its driver made it knowing the device. Others may
 * leave the page table to the first attach.
 */
bool iommufd_hwpt_is_complete(const struct iommufd_hwpt *hwpt)
{
	return hwpt->member.io.domain->owner->domain_alloc_user;
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
 * iommufd_ioas_is_coherent - do all HWPTs of an IOAS have devices snoop caches?
 * @ioas: the IOAS
 *
 * Context: Process context.
 * Return: whether they do; true if there is none.
 */
bool iommufd_ioas_is_coherent(struct iommufd_ioas *ioas)
{
	struct iopt_domain *member;

	guard(rcu)();
	list_for_each_entry_rcu(member, &ioas->iopt.domains.members, item) {
		if (!container_of(member, struct iommufd_hwpt, member)->coherent)
			return false;
	}
	return true;
}

/**
 * iommufd_hwpt_check_device - does the domain do what the device needs?
 * @hwpt: the HWPT
 * @dev: to be attached to it
 *
 * Context: Process context.
 * Return: 0; -EINVAL if the domain is another driver's, or the device has to have a
 * coherent domain and this is not.
 */
int iommufd_hwpt_check_device(const struct iommufd_hwpt *hwpt,
			      struct device *dev)
{
	/*
	 * The core looks at it when it attaches a group, and not when it replaces:
	 * there the driver would take a stranger for a device of its own.
	 */
	if (hwpt->member.io.domain->owner != dev_iommu_ops(dev))
		return -EINVAL;
	return iommufd_must_be_coherent(dev) && !hwpt->coherent ? -EINVAL : 0;
}

/**
 * iommufd_hwpt_set_msi - a device is about to have its MSI doorbells in a domain
 * @hwpt: the HWPT; if it is nested, its parent has them
 * @window: where the device wants them; reserved for it in the IOAS
 *
 * A domain has one window for all its devices. The MSI layer maps doorbells there,
 * behind our back, and does not take them away before the domain is freed: so the
 * HWPT reserves the window in its own name, or a mapping made there when the
 * device has left would meet them.
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL if the domain has another window; -ENOMEM.
 */
int iommufd_hwpt_set_msi(struct iommufd_hwpt *hwpt,
			 const struct iopt_msi_window *window)
{
	struct iommufd_hwpt *paging = iommufd_hwpt_paging(hwpt);
	struct iopt_msi_window *own_window = &paging->msi_window;
	int rc;

	if (!window->is_wanted)
		return 0;

	guard(mutex)(&paging->ioas->mutex);
	if (!own_window->is_wanted) {
		rc = iommu_get_msi_cookie(paging->member.io.domain,
					  window->first_iova);
		if (rc)
			return rc;
		*own_window = *window;
	}
	if (own_window->first_iova != window->first_iova)
		return -EINVAL;
	if (!paging->nr_msi_users) {
		rc = iopt_reserve(&paging->ioas->iopt, own_window->first_iova,
				  own_window->last_iova, paging);
		if (rc)
			return rc;
	}
	paging->nr_msi_users++;
	return 0;
}

/**
 * iommufd_hwpt_unset_msi - undo iommufd_hwpt_set_msi()
 * @hwpt: the HWPT
 * @window: as given to it
 *
 * For a device that was not attached after all: none of its doorbells is there.
 *
 * Context: Process context, may sleep.
 */
void iommufd_hwpt_unset_msi(struct iommufd_hwpt *hwpt,
			    const struct iopt_msi_window *window)
{
	struct iommufd_hwpt *paging = iommufd_hwpt_paging(hwpt);

	if (!window->is_wanted)
		return;

	guard(mutex)(&paging->ioas->mutex);
	if (!--paging->nr_msi_users)
		iopt_unreserve(&paging->ioas->iopt, paging);
}

/* -- IOMMU_HWPT_ALLOC -- */

/* The user can take the memory with the driver's data away as often as he likes. */
#define IOMMUFD_MAX_FAULT_INS 8

/* Return: what user space says of a paging HWPT, begun, or an ERR_PTR. */
static struct iommufd_hwpt *
iommufd_hwpt_begin_paging(struct iommufd_ioas *ioas,
			  const struct iommufd_hwpt_request *request)
{
	bool wants_dirty = request->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;

	/* A driver cannot report the faults of a table that we keep. */
	if (request->flags & IOMMU_HWPT_FAULT_ID_VALID)
		return ERR_PTR(-EOPNOTSUPP);
	if (wants_dirty && (!iommufd_drivers_record_dirty() ||
			    !device_iommu_capable(request->dev,
						  IOMMU_CAP_DIRTY_TRACKING)))
		return ERR_PTR(-EOPNOTSUPP);
	return iommufd_hwpt_begin(ioas, request);
}

static int iommufd_check_parent(const struct iommufd_hwpt *parent,
				const struct iommufd_hwpt_request *request)
{
	const struct iommu_ops *ops = dev_iommu_ops(request->dev);

	if (request->flags || !request->user_data || !ops->domain_alloc_user)
		return -EOPNOTSUPP;
	if (parent->automatic || !parent->is_nest_parent ||
	    parent->member.io.domain->owner != ops)
		return -EINVAL;
	return iommufd_hwpt_check_device(parent, request->dev);
}

static int iommufd_hwpt_init_nested(struct iommufd_hwpt *hwpt,
				    const struct iommufd_hwpt_request *request)
{
	struct iommufd_hwpt *parent = hwpt->parent;
	struct iommu_domain *domain;
	int rc;

	rc = iommufd_object_use(&parent->obj);
	if (rc)
		return rc;
	domain = iommufd_alloc_user_domain(request, parent->member.io.domain);
	if (IS_ERR(domain)) {
		iommufd_object_unuse(&parent->obj);
		return PTR_ERR(domain);
	}
	hwpt->member.io.domain = domain;
	hwpt->ioas = parent->ioas;
	hwpt->coherent = parent->coherent;
	return 0;
}

/* Return: a nested HWPT, begun and complete, or an ERR_PTR. */
static struct iommufd_hwpt *
iommufd_hwpt_begin_nested(struct iommufd_hwpt *parent,
			  const struct iommufd_hwpt_request *request)
{
	struct iommufd_hwpt *hwpt;
	int rc;

	rc = iommufd_check_parent(parent, request);
	if (rc)
		return ERR_PTR(rc);
	hwpt = iommufd_object_begin(parent->obj.ictx, struct iommufd_hwpt,
				    &iommufd_hwpt_nested_ops);
	if (IS_ERR(hwpt))
		return hwpt;

	hwpt->parent = parent;
	rc = iommufd_hwpt_init_nested(hwpt, request);
	if (rc) {
		iommufd_object_discard(&hwpt->obj);
		return ERR_PTR(rc);
	}
	return hwpt;
}

/* Return: a HWPT of the kind that goes with the target, begun, or an ERR_PTR. */
static struct iommufd_hwpt *
iommufd_hwpt_begin_on(struct iommufd_object *target,
		      struct iommufd_hwpt_request *request)
{
	switch (target->ops->kind) {
	case IOMMUFD_IOAS:
		return iommufd_hwpt_begin_paging(to_ioas(target), request);
	case IOMMUFD_HWPT:
		request->flags &= ~IOMMU_HWPT_FAULT_ID_VALID;
		return iommufd_hwpt_begin_nested(to_hwpt(target), request);
	default:
		return ERR_PTR(-EINVAL);
	}
}

static struct iommufd_hwpt *
iommufd_ucmd_begin_hwpt(struct iommufd_ucmd *ucmd,
			struct iommufd_hwpt_request *request)
{
	const struct iommu_hwpt_alloc *cmd = ucmd->cmd;
	struct iommufd_object *target;
	struct iommufd_hwpt *hwpt;

	target = iommufd_object_get(ucmd->ictx, cmd->pt_id, IOMMUFD_ANY_KIND);
	if (IS_ERR(target))
		return ERR_PTR(-EINVAL);
	hwpt = iommufd_hwpt_begin_on(target, request);
	iommufd_object_put(target);
	return hwpt;
}

/*
 * The device is held only while its driver makes the domain. What takes as long as
 * user space likes, page faults and the filling, is done without it, because who
 * unbinds the device waits for it.
 */
static struct iommufd_hwpt *
iommufd_ucmd_try_hwpt(struct iommufd_ucmd *ucmd,
		      struct iommufd_hwpt_request *request)
{
	const struct iommu_hwpt_alloc *cmd = ucmd->cmd;
	struct iommufd_object *device;
	struct iommufd_hwpt *hwpt;

	device = iommufd_object_get(ucmd->ictx, cmd->dev_id, IOMMUFD_DEVICE);
	if (IS_ERR(device))
		return ERR_CAST(device);
	request->dev = iommufd_object_device(device);
	hwpt = iommufd_ucmd_begin_hwpt(ucmd, request);
	iommufd_object_put(device);
	return hwpt;
}

static struct iommufd_hwpt *iommufd_ucmd_make_hwpt(struct iommufd_ucmd *ucmd)
{
	const struct iommu_hwpt_alloc *cmd = ucmd->cmd;
	struct iommu_user_data user_data = {
		.type = cmd->data_type,
		.uptr = u64_to_user_ptr(cmd->data_uptr),
		.len = cmd->data_len,
	};
	unsigned int tries = cmd->data_len ? IOMMUFD_MAX_FAULT_INS : 0;
	struct iommufd_hwpt *hwpt;

	for (;;) {
		struct iommufd_hwpt_request request = {
			.flags = cmd->flags,
			.user_data = cmd->data_len ? &user_data : NULL,
		};

		hwpt = iommufd_ucmd_try_hwpt(ucmd, &request);
		if (hwpt != ERR_PTR(-EFAULT) || !tries--)
			return hwpt;
		/* No driver has more to read than that. */
		if (fault_in_readable(user_data.uptr,
				      min(user_data.len, PAGE_SIZE)))
			return hwpt;
	}
}

/* Nobody is attached yet. */
static int iommufd_hwpt_set_fault(struct iommufd_hwpt *hwpt, u32 fault_id)
{
	struct iommufd_object *object;
	int rc;

	object = iommufd_object_get(hwpt->obj.ictx, fault_id, IOMMUFD_FAULT);
	if (IS_ERR(object))
		return PTR_ERR(object);
	rc = iommufd_object_use(object);
	if (!rc) {
		hwpt->fault = to_fault(object);
		hwpt->member.io.domain->iopf_handler = iommufd_attachment_report;
	}
	iommufd_object_put(object);
	return rc;
}

static int iommufd_hwpt_complete(struct iommufd_ucmd *ucmd,
				 struct iommufd_hwpt *hwpt)
{
	const struct iommu_hwpt_alloc *cmd = ucmd->cmd;

	if (!hwpt->parent)
		return iommufd_hwpt_mirror(hwpt);
	if (!(cmd->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return 0;
	return iommufd_hwpt_set_fault(hwpt, cmd->fault_id);
}

/**
 * iommufd_ucmd_hwpt_alloc - handler of IOMMU_HWPT_ALLOC
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep as long as user space likes: a paging HWPT
 * pins what is in the IOAS.
 * Return: 0; -EOPNOTSUPP if the driver does not have such a domain, or the device
 * does not track dirty pages; -EINVAL driver data without a type or a type without
 * data, what is named cannot have a HWPT, or the domain cannot be made coherent;
 * -ENOENT no such device or fault queue, or what is named is being destroyed;
 * -EADDRINUSE, -EFAULT, -EINTR as
 * iopt_domain_add(); -ENOMEM, -ENOSPC, or what the driver says.
 */
int iommufd_ucmd_hwpt_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_alloc *cmd = ucmd->cmd;
	bool has_type = cmd->data_type != IOMMU_HWPT_DATA_NONE;
	struct iommufd_hwpt *hwpt;
	int rc;

	if (cmd->fault_id && !(cmd->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return -EOPNOTSUPP;
	if (has_type != !!cmd->data_len)
		return -EINVAL;

	hwpt = iommufd_ucmd_make_hwpt(ucmd);
	if (IS_ERR(hwpt))
		return PTR_ERR(hwpt);
	rc = iommufd_hwpt_complete(ucmd, hwpt);
	if (rc) {
		iommufd_object_abort(&hwpt->obj);
		return rc;
	}
	ucmd->new_object = &hwpt->obj;
	cmd->out_hwpt_id = hwpt->obj.id;
	return 0;
}
