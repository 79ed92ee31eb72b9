// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of an object.
 *
 *	life    := begin ( discard | abort | publish call* end )
 *	call    := get work put | use work unuse
 *	end     := retire drain ( restore call* end | destroy )
 *
 * begin	The memory and an ID exist. Look-ups do not see the ID, nobody
 *		else gets it.
 * discard	The ID and the memory go. For a maker that failed before there was
 *		anything for ops->destroy() to undo.
 * abort	ops->destroy(), then as discard. For an object that was complete
 *		when it turned out that nobody will learn of it.
 * publish	From now on anybody can look it up, and retire it: the maker must
 *		not touch it again, unless it holds a use. Cannot fail.
 * get, put	A call in flight. It ends soon, or when a fatal signal arrives. Who
 *		knows of a user that stays does without the look-up (hold).
 * use, unuse	Another object that cannot do without this one. Lasts. Only
 *		somebody the object cannot slip away from may ask: who is inside
 *		a call, or holds the lock of a list that ops->destroy() takes the
 *		object off. Refused once the object is retired, so that the count
 *		never rises again.
 * retire	Look-ups see no object any more, the ID stays taken. Refused with
 *		users left. Happens under one lock together with the look-up or
 *		the last unuse, hence to each object once: of two who want to
 *		destroy it, the second finds nothing.
 * drain	The reference that publish left in @calls is dropped, and the calls
 *		in flight are waited for.
 * restore	As if it had not been retired. For IOMMU_DESTROY, when a fatal
 *		signal ends the wait.
 * destroy	ops->destroy(), then the ID is free and the memory goes by RCU.
 *
 * Who owns what: the maker owns a begun object, the table owns a published one,
 * who retires it owns it from there. A user (an automatic HWPT of its IOAS, the
 * group of its HWPT) owns its use and gives it back last of all, when it has no
 * pointer left to follow.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include <uapi/linux/iommufd.h>

#include "debug.h"
#include "iommufd_private.h"
#include "test_hooks.h"

/* VFIO keeps the ID of a device in an int, where less than 0 is an error. */
#define IOMMUFD_ID_LIMIT XA_LIMIT(1, INT_MAX)

/**
 * iommufd_ctx_init - a context with nothing in it
 * @ictx: zeroed memory
 *
 * Context: Any; nobody else knows @ictx yet.
 */
void iommufd_ctx_init(struct iommufd_ctx *ictx)
{
	xa_init_flags(&ictx->objects, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	xa_init_flags(&ictx->groups, XA_FLAGS_ACCOUNT);
	ictx->account_mode = IOPT_ACCOUNT_USER;
}

/**
 * __iommufd_object_begin - see iommufd_object_begin()
 * @ictx: the file
 * @size: bytes of the structure around the object
 * @ops: the kind
 *
 * Context: Process context, may sleep.
 * Return: the structure or an ERR_PTR: -ENOMEM, -ENOSPC.
 */
void *__iommufd_object_begin(struct iommufd_ctx *ictx, size_t size,
			     const struct iommufd_object_ops *ops)
{
	struct iommufd_object *object;
	int rc;

	object = kzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!object)
		return ERR_PTR(-ENOMEM);

	object->ictx = ictx;
	object->ops = ops;
	object->state = IOMMUFD_OBJECT_BEGUN;
	refcount_set(&object->calls, 1);

	rc = xa_alloc(&ictx->objects, &object->id, object, IOMMUFD_ID_LIMIT,
		      GFP_KERNEL_ACCOUNT);
	if (rc) {
		kfree(object);
		/* -EBUSY is xarray's way to say that all IDs are taken. */
		return ERR_PTR(rc == -EBUSY ? -ENOSPC : rc);
	}
	return object;
}

static void iommufd_object_set_state(struct iommufd_object *object,
				     enum iommufd_object_state state)
{
	lockdep_assert_held(&object->ictx->objects.xa_lock);

	/* Pairs with iommufd_object_is_published(). */
	smp_store_release(&object->state, state);
}

/**
 * iommufd_object_publish_locked - as iommufd_object_publish(), together with
 *	something else that the lock guards
 * @object: begun and complete; the table's from now on
 *
 * Context: The table's xa_lock held.
 */
void iommufd_object_publish_locked(struct iommufd_object *object)
{
	IOMMUFD_ASSERT(object->state == IOMMUFD_OBJECT_BEGUN);
	iommufd_object_set_state(object, IOMMUFD_OBJECT_PUBLISHED);
}

/**
 * iommufd_object_publish - let look-ups find an object
 * @object: begun and complete; the table's from now on
 *
 * Context: Process context; takes and releases the table's xa_lock.
 */
void iommufd_object_publish(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;

	xa_lock(objects);
	iommufd_object_publish_locked(object);
	xa_unlock(objects);
}

/**
 * iommufd_object_discard - give up the ID and the memory of an object
 * @object: not published, or retired and drained; nothing is left to undo
 *
 * Context: Process context; takes and releases the table's xa_lock.
 */
void iommufd_object_discard(struct iommufd_object *object)
{
	xa_erase(&object->ictx->objects, object->id);
	kfree_rcu(object, rcu);
}

/**
 * iommufd_object_abort - undo a complete object that was not published
 * @object: the object
 *
 * Context: Process context, may sleep.
 */
void iommufd_object_abort(struct iommufd_object *object)
{
	IOMMUFD_ASSERT(object->state == IOMMUFD_OBJECT_BEGUN);

	object->ops->destroy(object);
	iommufd_object_discard(object);
}

/**
 * iommufd_object_find - look an object up in the table
 * @ictx: the file
 * @id: what the user says is an ID
 *
 * Context: Process context; takes and releases the table's xa_lock.
 * Return: the object, held as by iommufd_object_get(), or NULL.
 */
struct iommufd_object *iommufd_object_find(struct iommufd_ctx *ictx, u32 id)
{
	XA_STATE(xas, &ictx->objects, id);
	struct iommufd_object *object;

	xas_lock(&xas);
	/* xa_load() would begin an RCU section, of no use under the lock. */
	object = xas_load(&xas);
	/* There is a zero entry where an ID of 0 would be. */
	if (xa_is_zero(object) || (object && !iommufd_object_try_get(object)))
		object = NULL;
	if (object)
		rcu_assign_pointer(ictx->recent, object);
	xas_unlock(&xas);
	return object;
}

/**
 * iommufd_object_get - look an object up for the time of a call
 * @ictx: the file
 * @id: what the user says is an ID
 * @kind: wanted kind, or IOMMUFD_ANY_KIND
 *
 * Context: Process context; may take and release the table's xa_lock.
 * Return: the object, to be given back with iommufd_object_put(), or an
 * ERR_PTR: -ENOENT.
 */
struct iommufd_object *iommufd_object_get(struct iommufd_ctx *ictx, u32 id,
					  enum iommufd_kind kind)
{
	return __iommufd_object_get(ictx, id, kind);
}

/**
 * iommufd_object_hold - begin a call on an object that does not have to be looked up
 * @object: a published object that stays in use meanwhile
 *
 * Context: Any. The call is over with iommufd_object_put().
 */
void iommufd_object_hold(struct iommufd_object *object)
{
	refcount_inc(&object->calls);
}

/**
 * iommufd_object_try_get - hold an object that is known by other means than its
 *	ID
 * @object: an object, of which the lock keeps the memory
 *
 * Context: The table's xa_lock held.
 * Return: whether the object is held, and has to be given back with
 * iommufd_object_put(); not if it is not published.
 */
bool iommufd_object_try_get(struct iommufd_object *object)
{
	lockdep_assert_held(&object->ictx->objects.xa_lock);

	return object->state == IOMMUFD_OBJECT_PUBLISHED &&
	       refcount_inc_not_zero(&object->calls);
}

/**
 * iommufd_object_put - the call is over
 * @object: from iommufd_object_get(), iommufd_object_hold() or
 *	iommufd_object_try_get()
 *
 * Context: Any.
 */
void iommufd_object_put(struct iommufd_object *object)
{
	refcount_t *calls = &object->calls;

	/*
	 * Whoever drains the object may free it as soon as it sees 0. From there
	 * on the address is a name for waiters, not a place to look at.
	 */
	if (refcount_dec_and_test(calls)) {
		smp_mb__after_atomic(); /* 0 before the look for waiters */
		wake_up_var(calls);
	}
}

/**
 * iommufd_object_use - rely on an object for longer than a call
 * @object: an object that cannot go away meanwhile
 *
 * Context: Process context; takes and releases the table's xa_lock.
 * Return: 0; -ENOENT if the object is on its way out.
 */
int iommufd_object_use(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;
	int rc = -ENOENT;

	xa_lock(objects);
	if (object->state != IOMMUFD_OBJECT_RETIRED) {
		object->users++;
		rc = 0;
	}
	xa_unlock(objects);
	return rc;
}

/* Return: whether nobody uses the object any more. */
static bool __iommufd_object_unuse(struct iommufd_object *object)
{
	lockdep_assert_held(&object->ictx->objects.xa_lock);

	WARN_ON(!object->users);
	return !--object->users;
}

/**
 * iommufd_object_unuse - undo iommufd_object_use()
 * @object: the object; it can be gone on return
 *
 * Context: Process context; takes and releases the table's xa_lock.
 */
void iommufd_object_unuse(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;

	xa_lock(objects);
	__iommufd_object_unuse(object);
	xa_unlock(objects);
}

static void __iommufd_object_retire(struct iommufd_object *object)
{
	IOMMUFD_ASSERT(object->state == IOMMUFD_OBJECT_PUBLISHED);

	if (rcu_access_pointer(object->ictx->recent) == object)
		RCU_INIT_POINTER(object->ictx->recent, NULL);
	iommufd_object_set_state(object, IOMMUFD_OBJECT_RETIRED);
}

/**
 * iommufd_object_unuse_retire - undo iommufd_object_use(), and retire an object
 *	that has no user left
 * @object: a published object; unless true is returned it can be gone
 *
 * Context: Process context; takes and releases the table's xa_lock.
 * Return: true if the object is retired and now the caller's to destroy.
 */
bool iommufd_object_unuse_retire(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;
	bool was_last;

	xa_lock(objects);
	was_last = __iommufd_object_unuse(object);
	if (was_last)
		__iommufd_object_retire(object);
	xa_unlock(objects);
	return was_last;
}

/**
 * iommufd_object_retire - take an object that only the caller may destroy out of
 *	the table
 * @object: a published object without users, of a kernel_owned kind
 *
 * Context: Process context; takes and releases the table's xa_lock.
 */
void iommufd_object_retire(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;

	xa_lock(objects);
	WARN_ON(object->users);
	__iommufd_object_retire(object);
	xa_unlock(objects);
}

static bool iommufd_object_is_idle(struct iommufd_object *object)
{
	/* Pairs with the release in iommufd_object_put(). */
	if (refcount_read(&object->calls))
		return false;
	smp_acquire__after_ctrl_dep();
	return true;
}

static void iommufd_object_destroy_idle(struct iommufd_object *object)
{
	IOMMUFD_ASSERT(object->state == IOMMUFD_OBJECT_RETIRED);
	IOMMUFD_ASSERT(!object->users);

	object->ops->destroy(object);
	iommufd_object_discard(object);
}

/**
 * iommufd_object_destroy_retired - drain and destroy an object
 * @object: retired, and the caller's
 *
 * Context: Process context, may sleep, for as long as calls use the object;
 * signals make no difference.
 */
void iommufd_object_destroy_retired(struct iommufd_object *object)
{
	iommufd_object_put(object);
	wait_var_event(&object->calls, iommufd_object_is_idle(object));
	iommufd_object_destroy_idle(object);
}

/* Return: false if it is too late, because the last call has ended by now. */
static bool iommufd_object_restore(struct iommufd_object *object)
{
	struct xarray *objects = &object->ictx->objects;
	bool busy;

	xa_lock(objects);
	busy = refcount_inc_not_zero(&object->calls);
	if (busy)
		iommufd_object_set_state(object, IOMMUFD_OBJECT_PUBLISHED);
	xa_unlock(objects);
	return busy;
}

/* What IOMMU_DESTROY may retire. */
static struct iommufd_object *iommufd_object_retire_id(struct iommufd_ctx *ictx,
						       u32 id)
{
	struct iommufd_object *object;

	xa_lock(&ictx->objects);
	object = xa_load(&ictx->objects, id);
	if (!object || object->state != IOMMUFD_OBJECT_PUBLISHED)
		object = ERR_PTR(-ENOENT);
	else if (object->ops->kernel_owned || object->users)
		object = ERR_PTR(-EBUSY);
	else
		__iommufd_object_retire(object);
	xa_unlock(&ictx->objects);
	return object;
}

/**
 * iommufd_object_destroy_id - destroy an object for the user
 * @ictx: the file
 * @id: what the user says is an ID
 *
 * Context: Process context, may sleep, for as long as calls use the object.
 * Return: 0; -ENOENT; -EBUSY if something needs it; -EINTR if a fatal signal
 * came first: then the object is what it was before.
 */
int iommufd_object_destroy_id(struct iommufd_ctx *ictx, u32 id)
{
	struct iommufd_object *object = iommufd_object_retire_id(ictx, id);

	if (IS_ERR(object))
		return PTR_ERR(object);

	iommufd_object_put(object);
	if (wait_var_event_killable(&object->calls,
				    iommufd_object_is_idle(object)) &&
	    iommufd_object_restore(object))
		return -EINTR;

	iommufd_object_destroy_idle(object);
	return 0;
}

static struct iommufd_object *
iommufd_object_retire_unused(struct iommufd_ctx *ictx, unsigned long *id)
{
	struct iommufd_object *object;

	xa_lock(&ictx->objects);
	for (object = xa_find(&ictx->objects, id, ULONG_MAX, XA_PRESENT);
	     object && (object->users ||
			object->state != IOMMUFD_OBJECT_PUBLISHED);
	     object = xa_find_after(&ictx->objects, id, ULONG_MAX, XA_PRESENT))
		;
	if (object)
		__iommufd_object_retire(object);
	xa_unlock(&ictx->objects);
	return object;
}

/* Return: whether there was an object without users. */
static bool iommufd_ctx_destroy_unused(struct iommufd_ctx *ictx)
{
	struct iommufd_object *object;
	unsigned long id = 0;
	bool any = false;

	while ((object = iommufd_object_retire_unused(ictx, &id))) {
		iommufd_object_destroy_retired(object);
		any = true;
		cond_resched();
	}
	return any;
}

/**
 * iommufd_ctx_destroy_objects - destroy all there is, users first
 * @ictx: a file that nobody has open any more
 *
 * A pass destroys what has no users, which are none of the next pass. A cycle
 * of users would be a bug, and is left alone rather than chased for ever.
 *
 * Context: Process context, may sleep.
 * Return: true if nothing is left.
 */
bool iommufd_ctx_destroy_objects(struct iommufd_ctx *ictx)
{
	while (iommufd_ctx_destroy_unused(ictx))
		;
	return !WARN_ON(!xa_empty(&ictx->objects));
}

/**
 * iommufd_ucmd_get - look an object up for the time of an ioctl
 * @ucmd: the ioctl; it gives the object back when it is over
 * @id: what the user says is an ID
 * @kind: wanted kind, or IOMMUFD_ANY_KIND
 *
 * Context: Process context; may take and release the table's xa_lock.
 * Return: the object or an ERR_PTR: -ENOENT.
 */
struct iommufd_object *iommufd_ucmd_get(struct iommufd_ucmd *ucmd, u32 id,
					enum iommufd_kind kind)
{
	return __iommufd_ucmd_get(ucmd, id, kind);
}

/**
 * iommufd_ucmd_destroy - handler of IOMMU_DESTROY
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: as iommufd_object_destroy_id().
 */
int iommufd_ucmd_destroy(struct iommufd_ucmd *ucmd)
{
	struct iommu_destroy *cmd = ucmd->cmd;

	return iommufd_object_destroy_id(ucmd->ictx, cmd->id);
}
