// SPDX-License-Identifier: GPL-2.0-only
/*
 * The access as an object: an in-kernel user of an IOAS, such as VFIO on behalf
 * of an emulated device, which reaches memory with the CPU.
 *
 * An access has two seats, one for the IOAS it is in and one for that it changes
 * to, so that a replace that fails has lost nothing. New pins and copies go
 * through @active; unpinning finds its way through @holding, which is still the
 * old seat while the driver is being asked to give up what it has there.
 *
 * Drivers call from wherever they are, with their own locks held, also from
 * inside the callback: so the mutex here is held for a few instructions, never
 * while anything is called. Short calls do without: see iommufd_access_try_lock().
 */
#include <linux/bug.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/iommufd.h>
#include <linux/mutex.h>
#include <linux/overflow.h>

#include "ioas.h"
#include "iommufd_private.h"

/**
 * struct iommufd_seat - an access's place in an IOAS
 * @user: as the IOVA map knows it
 * @access: whose
 * @ioas: where; used by the access. NULL while the seat is empty; read under RCU as
 *	well
 */
struct iommufd_seat {
	struct iopt_user user;
	struct iommufd_access *access;
	struct iommufd_ioas *ioas;
};

/**
 * struct iommufd_access - an in-kernel user
 * @obj: the object
 * @ops: what it can do
 * @data: for @ops
 * @mutex: guards what follows, but for the inside of the seats
 * @seats: two
 * @active: where it pins, NULL while it has no IOAS or is changing it; read under RCU
 *	as well
 * @holding: where its pins are, NULL while it has no IOAS; read under RCU as well
 * @changing: somebody attaches, replaces or detaches
 */
struct iommufd_access {
	struct iommufd_object obj;
	const struct iommufd_access_ops *ops;
	void *data;
	struct mutex mutex; /* active, holding, changing */
	struct iommufd_seat seats[2];
	struct iommufd_seat *active;
	struct iommufd_seat *holding;
	bool changing;
};

static void iommufd_seat_unmap(struct iopt_user *user, unsigned long iova,
			       unsigned long length)
{
	struct iommufd_seat *seat = container_of(user, struct iommufd_seat,
						 user);
	struct iommufd_access *access = seat->access;

	if (access->ops->unmap)
		access->ops->unmap(access->data, iova, length);
}

static void iommufd_seat_init(struct iommufd_access *access,
			      struct iommufd_seat *seat)
{
	seat->access = access;
	seat->user.unmap = iommufd_seat_unmap;
	seat->user.iova_alignment = access->ops->needs_pin_pages ? PAGE_SIZE : 1;
}

/* Sit down in an IOAS that a call keeps. */
static int iommufd_seat_take(struct iommufd_seat *seat,
			     struct iommufd_ioas *ioas)
{
	int rc;

	rc = iommufd_object_use(&ioas->obj);
	if (rc)
		return rc;
	rc = iopt_user_add(&ioas->iopt, &seat->user);
	if (rc)
		iommufd_object_unuse(&ioas->obj);
	else
		WRITE_ONCE(seat->ioas, ioas);
	return rc;
}

/* Leave: the driver gives up its pins, and all calls that use the seat end. */
static void iommufd_seat_leave(struct iommufd_seat *seat)
{
	struct iommufd_ioas *ioas = seat->ioas;

	iopt_user_stop(&ioas->iopt, &seat->user);
	iopt_user_remove(&ioas->iopt, &seat->user);
	WRITE_ONCE(seat->ioas, NULL);
	iommufd_object_unuse(&ioas->obj);
}

static void iommufd_access_begin_change(struct iommufd_access *access)
{
	lockdep_assert_held(&access->mutex);

	access->changing = true;
	WRITE_ONCE(access->active, NULL);
}

static void iommufd_access_end_change(struct iommufd_access *access,
				      struct iommufd_seat *seat)
{
	guard(mutex)(&access->mutex);

	WRITE_ONCE(access->active, seat);
	WRITE_ONCE(access->holding, seat);
	access->changing = false;
}

/* Detach unless there is nothing to, or somebody else is at it. */
static int iommufd_access_leave(struct iommufd_access *access)
{
	struct iommufd_seat *seat;

	scoped_guard(mutex, &access->mutex) {
		if (access->changing)
			return -EBUSY;
		seat = access->holding;
		if (!seat)
			return -ENOENT;
		iommufd_access_begin_change(access);
	}
	iommufd_seat_leave(seat);
	iommufd_access_end_change(access, NULL);
	return 0;
}

static void iommufd_access_destroy_object(struct iommufd_object *object)
{
	struct iommufd_access *access =
		container_of(object, struct iommufd_access, obj);

	WARN_ON(access->holding);
	mutex_destroy(&access->mutex);
}

static const struct iommufd_object_ops iommufd_access_object_ops = {
	.kind = IOMMUFD_ACCESS,
	.kernel_owned = true,
	.destroy = iommufd_access_destroy_object,
};

/**
 * iommufd_access_create() - make an in-kernel user of a file
 * @ictx: the file; held open until the user is destroyed
 * @ops: what it can do
 * @data: for @ops
 * @id: written on success: its object ID, more than 0 as an int
 *
 * Context: Process context, may sleep.
 * Return: the user, with no IOAS, or an ERR_PTR: -ENOMEM, -ENOSPC.
 */
struct iommufd_access *
iommufd_access_create(struct iommufd_ctx *ictx,
		      const struct iommufd_access_ops *ops, void *data, u32 *id)
{
	struct iommufd_access *access;

	access = iommufd_object_begin(ictx, struct iommufd_access,
				      &iommufd_access_object_ops);
	if (IS_ERR(access))
		return access;

	access->ops = ops;
	access->data = data;
	mutex_init(&access->mutex);
	iommufd_seat_init(access, &access->seats[0]);
	iommufd_seat_init(access, &access->seats[1]);
	iommufd_ctx_get(ictx);
	*id = access->obj.id;
	iommufd_object_publish(&access->obj);
	return access;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_create, IOMMUFD);

/**
 * iommufd_access_destroy() - undo iommufd_access_create()
 * @access: the user; it is detached if it still has an IOAS. No callback runs, and
 *	it is gone, on return
 *
 * Context: Process context, may sleep; calls the user's unmap callback.
 */
void iommufd_access_destroy(struct iommufd_access *access)
{
	struct iommufd_ctx *ictx = access->obj.ictx;

	WARN_ON(iommufd_access_leave(access) == -EBUSY);
	iommufd_object_retire(&access->obj);
	iommufd_object_destroy_retired(&access->obj);
	iommufd_ctx_put(ictx);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_destroy, IOMMUFD);

/* Sit down in an IOAS, by ID. */
static int iommufd_access_take(struct iommufd_access *access,
			       struct iommufd_seat *seat, u32 ioas_id)
{
	struct iommufd_object *object;
	int rc;

	object = iommufd_object_get(access->obj.ictx, ioas_id, IOMMUFD_IOAS);
	if (IS_ERR(object))
		return PTR_ERR(object);
	rc = iommufd_seat_take(seat, to_ioas(object));
	iommufd_object_put(object);
	return rc;
}

/**
 * iommufd_access_attach() - give an in-kernel user an IOAS
 * @access: the user, without an IOAS
 * @ioas_id: ID of the IOAS
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL it has one; -EBUSY somebody else changes it; -ENOENT there is
 * no such IOAS; -EADDRINUSE it needs whole pages, and there is an area that is
 * not made of them; -ENOMEM.
 */
int iommufd_access_attach(struct iommufd_access *access, u32 ioas_id)
{
	struct iommufd_seat *seat = &access->seats[0];
	int rc;

	scoped_guard(mutex, &access->mutex) {
		if (access->changing)
			return -EBUSY;
		if (access->holding)
			return -EINVAL;
		iommufd_access_begin_change(access);
	}
	rc = iommufd_access_take(access, seat, ioas_id);
	iommufd_access_end_change(access, rc ? NULL : seat);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_attach, IOMMUFD);

/*
 * The new seat is taken while the old one still works: if that fails, nothing has
 * happened.
 */
static int iommufd_access_move(struct iommufd_access *access, u32 ioas_id)
{
	struct iommufd_seat *old_seat = access->holding;
	struct iommufd_seat *new_seat;
	int rc;

	new_seat = &access->seats[old_seat == &access->seats[0]];
	rc = iommufd_access_take(access, new_seat, ioas_id);
	if (rc) {
		iommufd_access_end_change(access, old_seat);
		return rc;
	}
	if (new_seat->ioas == old_seat->ioas) {
		iommufd_seat_leave(new_seat);
		new_seat = old_seat;
	} else {
		scoped_guard(mutex, &access->mutex)
			WRITE_ONCE(access->active, NULL);
		iommufd_seat_leave(old_seat);
	}
	iommufd_access_end_change(access, new_seat);
	return 0;
}

/**
 * iommufd_access_replace() - give an in-kernel user another IOAS
 * @access: the user, with an IOAS
 * @ioas_id: ID of the other one; the same one changes nothing
 *
 * The user is asked to give up what it has pinned in the old one. Meanwhile it can
 * unpin, and not pin.
 *
 * Context: Process context, may sleep; calls the user's unmap callback.
 * Return: 0; -ENOENT it has none, or there is no such IOAS; otherwise as
 * iommufd_access_attach(), and then nothing has changed.
 */
int iommufd_access_replace(struct iommufd_access *access, u32 ioas_id)
{
	scoped_guard(mutex, &access->mutex) {
		if (access->changing)
			return -EBUSY;
		if (!access->holding)
			return -ENOENT;
		access->changing = true;
	}
	return iommufd_access_move(access, ioas_id);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_replace, IOMMUFD);

/**
 * iommufd_access_detach() - take its IOAS from an in-kernel user
 * @access: the user, with an IOAS
 *
 * It is asked to give up what it has pinned. No callback runs on return.
 *
 * Context: Process context, may sleep; calls the user's unmap callback.
 */
void iommufd_access_detach(struct iommufd_access *access)
{
	WARN_ON(iommufd_access_leave(access) == -ENOENT);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_detach, IOMMUFD);

/*
 * One of the access's pointers to a seat. The seat is kept until iopt_user_put().
 *
 * Return: the seat, or NULL if there is none.
 */
static struct iommufd_seat *iommufd_access_get(struct iommufd_access *access,
					       struct iommufd_seat **which)
{
	guard(mutex)(&access->mutex);

	return *which && iopt_user_get(&(*which)->user) ? *which : NULL;
}

/*
 * The same, and its IOAS's map locked for reading, without the mutex. Most calls are
 * short, and end before the lock is given back: then nothing else has to keep the
 * seat. That the map is the seat's is known when it is locked; before that, RCU keeps
 * the memory of an IOAS.
 *
 * Return: NULL with nothing locked, for calls that have to take the long way.
 */
static __always_inline struct iommufd_seat *
iommufd_access_try_lock(struct iommufd_seat **which)
{
	struct iommufd_seat *seat;
	struct iommufd_ioas *ioas;

	guard(rcu)();

	seat = READ_ONCE(*which);
	ioas = seat ? READ_ONCE(seat->ioas) : NULL;
	if (!ioas || !iopt_user_try_lock(&ioas->iopt, &seat->user))
		return NULL;
	if (likely(READ_ONCE(seat->ioas) == ioas))
		return seat;
	up_read(&ioas->iopt.iova_rwsem);
	return NULL;
}

/*
 * Give the lock back. With @done the seat is not kept any more, and NULL is returned;
 * otherwise it is, as by iommufd_access_get().
 */
static __always_inline struct iommufd_seat *
iommufd_access_unlock(struct iommufd_seat *seat, bool done)
{
	struct iommufd_ioas *ioas = seat->ioas;

	if (done)
		seat = NULL;
	else if (WARN_ON(!iopt_user_get(&seat->user)))
		seat = ERR_PTR(-ENOENT);
	up_read(&ioas->iopt.iova_rwsem);
	return seat;
}

static int iommufd_access_range(struct iopt_access_request *request,
				unsigned long iova, unsigned long length)
{
	if (!length)
		return -EINVAL;
	request->first_iova = iova;
	if (check_add_overflow(iova, length - 1, &request->last_iova))
		return -EOVERFLOW;
	return 0;
}

/*
 * Pin on the spot if that can be done.
 *
 * Return: NULL; if not, the seat for the long way, to be given back with
 * iopt_user_put(), or -ENOENT if there is none.
 */
static struct iommufd_seat *
iommufd_access_pin_at_once(struct iommufd_access *access,
			   const struct iopt_access_request *request,
			   struct page **out_pages)
{
	struct iommufd_seat *seat = iommufd_access_try_lock(&access->active);
	bool done;

	if (!seat)
		return iommufd_access_get(access, &access->active) ?:
		       ERR_PTR(-ENOENT);
	done = iopt_pin_at_once(&seat->ioas->iopt, &seat->user, request,
				out_pages);
	return iommufd_access_unlock(seat, done);
}

/* The same, for an unpin. */
static struct iommufd_seat *
iommufd_access_unpin_at_once(struct iommufd_access *access,
			     const struct iopt_access_request *request)
{
	struct iommufd_seat *seat = iommufd_access_try_lock(&access->holding);
	bool done;

	if (!seat)
		return iommufd_access_get(access, &access->holding) ?:
		       ERR_PTR(-ENOENT);
	done = iopt_unpin_at_once(&seat->ioas->iopt, &seat->user,
				  request->first_iova, request->last_iova);
	return iommufd_access_unlock(seat, done);
}

/**
 * iommufd_access_pin_pages() - pin the pages behind a range of IOVA
 * @access: the user
 * @first_iova: first byte
 * @length: bytes; the range may span areas that meet at the border of a page
 * @out_pages: written on success: the pages, in IOVA order
 * @flags: IOMMUFD_ACCESS_RW_WRITE or 0
 *
 * Each page needs as many unpins as it has got pins. A range that is being
 * unmapped is refused, not waited for: the user may hold locks that its unmap
 * callback wants.
 *
 * Context: Process context, may sleep, as long as page faults take.
 * Return: 0; -EINVAL @length is 0, the user did not say that it would pin, a part
 * is being unmapped, or areas do not meet at the border of a page; -EOVERFLOW;
 * -ENOENT no IOAS, or nothing is mapped in a part; -EPERM it is not mapped for
 * that; -EFAULT, -ENOMEM, -EINTR from pinning. Nothing is pinned then.
 */
int iommufd_access_pin_pages(struct iommufd_access *access,
			     unsigned long first_iova, unsigned long length,
			     struct page **out_pages, unsigned int flags)
{
	struct iopt_access_request request = {
		.write = flags & IOMMUFD_ACCESS_RW_WRITE,
	};
	struct iommufd_seat *seat;
	int rc;

	/* Without it, areas need not be made of whole pages. */
	if (!access->ops->needs_pin_pages)
		return -EINVAL;
	rc = iommufd_access_range(&request, first_iova, length);
	if (rc)
		return rc;
	seat = iommufd_access_pin_at_once(access, &request, out_pages);
	if (IS_ERR_OR_NULL(seat))
		return PTR_ERR_OR_ZERO(seat);
	rc = iopt_pin(&seat->ioas->iopt, &seat->user, &request, out_pages);
	iopt_user_put(&seat->user);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_pin_pages, IOMMUFD);

/**
 * iommufd_access_unpin_pages() - undo iommufd_access_pin_pages()
 * @access: the user
 * @iova: first byte
 * @length: bytes, more than 0; the range may be put together from several that
 *	were pinned
 *
 * Context: Process context, may sleep; also from the user's unmap callback.
 */
void iommufd_access_unpin_pages(struct iommufd_access *access,
				unsigned long iova, unsigned long length)
{
	struct iopt_access_request request __uninitialized;
	struct iommufd_seat *seat;

	if (WARN_ON(iommufd_access_range(&request, iova, length)))
		return;
	seat = iommufd_access_unpin_at_once(access, &request);
	if (!seat || WARN_ON(IS_ERR(seat)))
		return;
	iopt_unpin(&seat->ioas->iopt, &seat->user, request.first_iova,
		   request.last_iova);
	iopt_user_put(&seat->user);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_unpin_pages, IOMMUFD);

static bool iommufd_access_rw_at_once(struct iommufd_access *access,
				      unsigned long iova, struct iopt_rw *rw)
{
	struct iommufd_seat *seat = iommufd_access_try_lock(&access->active);
	bool done;

	if (!seat)
		return false;
	done = iopt_rw_at_once(&seat->ioas->iopt, iova, rw);
	up_read(&seat->ioas->iopt.iova_rwsem);
	return done;
}

/* The long way. */
static noinline int iommufd_access_rw_slow(struct iommufd_access *access,
					   unsigned long iova,
					   struct iopt_rw *rw)
{
	struct iopt_access_request request = { .write = rw->write };
	struct iommufd_seat *seat;
	int rc;

	rc = iommufd_access_range(&request, iova, rw->length);
	if (rc)
		return rc;
	seat = iommufd_access_get(access, &access->active);
	if (!seat)
		return -ENOENT;
	rc = iopt_rw_access(&seat->ioas->iopt, &seat->user, &request, rw);
	iopt_user_put(&seat->user);
	return rc;
}

/**
 * iommufd_access_rw() - copy from or to the memory behind a range of IOVA
 * @access: the user
 * @iova: first byte
 * @data: the other side, kernel memory
 * @len: bytes
 * @flags: of IOMMUFD_ACCESS_RW_*
 *
 * What is pinned for devices is copied where they see it, anything else where its
 * process sees it now. No pin is left.
 *
 * Context: Process context, may sleep, as long as page faults take; a kernel
 * thread, too.
 * Return: 0; -EINVAL @len is 0, or a part is being unmapped; -EOVERFLOW; -ENOENT no
 * IOAS, or nothing is mapped in a part; -EPERM it is not mapped for that; -EFAULT
 * bad memory; -EINTR. What lies in front of the trouble has been copied.
 */
int iommufd_access_rw(struct iommufd_access *access, unsigned long iova,
		      void *data, size_t len, unsigned int flags)
{
	struct iopt_rw rw __uninitialized;

	rw.length = len;
	rw.data = data;
	rw.write = flags & IOMMUFD_ACCESS_RW_WRITE;
	rw.pins = flags & __IOMMUFD_ACCESS_RW_SLOW_PATH;
	/* 0 is not small. */
	if (len - 1 < IOPT_RW_AT_ONCE_BYTES &&
	    iommufd_access_rw_at_once(access, iova, &rw))
		return 0;
	return iommufd_access_rw_slow(access, iova + (len - rw.length), &rw);
}
EXPORT_SYMBOL_NS_GPL(iommufd_access_rw, IOMMUFD);
