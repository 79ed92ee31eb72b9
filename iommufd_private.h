/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all objects have in common: the open file they belong to, their ID and
 * life, and the ioctl that is going on. object.c tells how they live.
 */
#ifndef __IOMMUFD_PRIVATE_H
#define __IOMMUFD_PRIVATE_H

#include <linux/bug.h>
#include <linux/build_bug.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/iommufd.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "io_pagetable.h"
#include "test_hooks.h"

struct file;
struct iommufd_object;

/*
 * Can the IOMMU drivers of this kernel record dirty pages at all? Where they were
 * built without iova_bitmap, they report the capability, and read nothing.
 */
static inline bool iommufd_drivers_record_dirty(void)
{
#ifdef IOMMUFD_DRIVERS_RECORD_DIRTY
	return true;
#else
	return false;
#endif
}

/**
 * struct iommufd_ctx - one open file of /dev/iommu
 * @file: the file. Every reference to the context is one to the file: its last
 *	fput() never runs the release in the middle of the caller, who may hold
 *	locks that the release of a device would want
 * @objects: the objects by ID, whatever state they are in. Its lock guards their
 *	state and their users
 * @recent: the object that was looked up last, a published one, or NULL; written under
 *	the lock of @objects
 * @groups: struct iommufd_group by IOMMU group ID, of the bound devices. Its
 *	lock guards their device counts
 * @compat_ioas: the IOAS that VFIO's container ioctls are to use, or NULL;
 *	guarded by the lock of @objects. No use: it goes when the IOAS goes
 * @no_iommu: VFIO's groups have no IOMMU; guarded likewise, never reset
 * @unmaps_whole: VFIO's unmap of type1 in its first version does not cut
 * @account_mode: whom a MAP without CAP_IPC_LOCK charges
 */
struct iommufd_ctx {
	struct file *file;
	struct xarray objects;
	struct iommufd_object __rcu *recent;
	struct xarray groups;
	struct iommufd_object *compat_ioas;
	bool no_iommu;
	bool unmaps_whole;
	enum iopt_account_mode account_mode;
};

void iommufd_ctx_init(struct iommufd_ctx *ictx);
bool iommufd_ctx_destroy_objects(struct iommufd_ctx *ictx);

/**
 * enum iommufd_kind - Kinds of objects
 * @IOMMUFD_ANY_KIND: no kind: "do not care" when looking up
 * @IOMMUFD_DEVICE: device.c
 * @IOMMUFD_IOAS: ioas.c
 * @IOMMUFD_HWPT: hwpt.c, a paging one
 * @IOMMUFD_HWPT_NESTED: hwpt.c
 * @IOMMUFD_FAULT: fault.c
 * @IOMMUFD_ACCESS: access.c
 * @IOMMUFD_STDEV: selftest.c
 * @IOMMUFD_NR_KINDS: so many
 */
enum iommufd_kind {
	IOMMUFD_ANY_KIND,
	IOMMUFD_DEVICE,
	IOMMUFD_IOAS,
	IOMMUFD_HWPT,
	IOMMUFD_HWPT_NESTED,
	IOMMUFD_FAULT,
	IOMMUFD_ACCESS,
	IOMMUFD_STDEV,
	IOMMUFD_NR_KINDS,
};

/**
 * struct iommufd_object_ops - What is peculiar to a kind of objects
 * @kind: the kind
 * @kernel_owned: made and destroyed by a driver; IOMMU_DESTROY answers EBUSY
 * @destroy: undo everything the object does. Nobody else knows it any more; the
 *	caller gives up the ID and the memory. Cannot fail and needs no memory
 */
struct iommufd_object_ops {
	enum iommufd_kind kind;
	bool kernel_owned;
	void (*destroy)(struct iommufd_object *object);
};

/**
 * enum iommufd_object_state - How far an object has come
 * @IOMMUFD_OBJECT_BEGUN: it has an ID that nobody finds
 * @IOMMUFD_OBJECT_PUBLISHED: look-ups find it
 * @IOMMUFD_OBJECT_RETIRED: look-ups do not find it any more
 */
enum iommufd_object_state {
	IOMMUFD_OBJECT_BEGUN,
	IOMMUFD_OBJECT_PUBLISHED,
	IOMMUFD_OBJECT_RETIRED,
};

/**
 * struct iommufd_object - what every object starts with
 * @ictx: the file it belongs to
 * @ops: its kind
 * @state: guarded by the lock of iommufd_ctx.objects; fdinfo reads it without
 * @users: other objects that cannot do without it; guarded likewise
 * @calls: calls that use it now, and one more until it is retired
 * @id: its ID, 1 to INT_MAX
 * @rcu: fdinfo looks at objects under RCU alone
 */
struct iommufd_object {
	struct iommufd_ctx *ictx;
	const struct iommufd_object_ops *ops;
	enum iommufd_object_state state;
	unsigned int users;
	refcount_t calls;
	u32 id;
	struct rcu_head rcu;
};

/* Shall it be seen? To who asks under RCU alone, all that its maker has done is, too. */
static inline bool iommufd_object_is_published(const struct iommufd_object *object)
{
	/* Pairs with iommufd_object_set_state(). */
	return smp_load_acquire(&object->state) == IOMMUFD_OBJECT_PUBLISHED;
}

void *__iommufd_object_begin(struct iommufd_ctx *ictx, size_t size,
			     const struct iommufd_object_ops *ops);
void iommufd_object_publish(struct iommufd_object *object);
void iommufd_object_publish_locked(struct iommufd_object *object);
void iommufd_object_discard(struct iommufd_object *object);
void iommufd_object_abort(struct iommufd_object *object);

struct iommufd_object *iommufd_object_get(struct iommufd_ctx *ictx, u32 id,
					  enum iommufd_kind kind);
void iommufd_object_hold(struct iommufd_object *object);
bool iommufd_object_try_get(struct iommufd_object *object);
void iommufd_object_put(struct iommufd_object *object);

int iommufd_object_use(struct iommufd_object *object);
void iommufd_object_unuse(struct iommufd_object *object);
bool iommufd_object_unuse_retire(struct iommufd_object *object);

void iommufd_object_retire(struct iommufd_object *object);
void iommufd_object_destroy_retired(struct iommufd_object *object);
int iommufd_object_destroy_id(struct iommufd_ctx *ictx, u32 id);

/**
 * iommufd_object_begin - allocate an object and reserve its ID
 * @ictx: the file
 * @type: the structure; its first member is a struct iommufd_object named obj
 * @ops: the kind
 *
 * Return: the zeroed structure or an ERR_PTR: -ENOMEM, -ENOSPC.
 */
#define iommufd_object_begin(ictx, type, ops)				\
({									\
	static_assert(offsetof(type, obj) == 0);			\
	(type *)__iommufd_object_begin(ictx, sizeof(type), ops);	\
})

struct iommufd_object *iommufd_object_find(struct iommufd_ctx *ictx, u32 id);

/*
 * The same object again, as nearly always: without the lock, which has it that only a
 * published object is the recent one. Who finds one that is being retired was there
 * before, and its call is waited for.
 */
static __always_inline struct iommufd_object *
iommufd_object_find_recent(struct iommufd_ctx *ictx, u32 id)
{
	struct iommufd_object *object;

	guard(rcu)();
	object = rcu_dereference(ictx->recent);
	if (object && object->id == id && refcount_inc_not_zero(&object->calls))
		return object;
	return NULL;
}

/* iommufd_object_get(), in line. */
static __always_inline struct iommufd_object *
__iommufd_object_get(struct iommufd_ctx *ictx, u32 id, enum iommufd_kind kind)
{
	struct iommufd_object *object;

	if (iommufd_should_fail())
		return ERR_PTR(-ENOENT);

	object = iommufd_object_find_recent(ictx, id) ?:
		 iommufd_object_find(ictx, id);
	if (!object)
		return ERR_PTR(-ENOENT);
	if (kind && object->ops->kind != kind) {
		iommufd_object_put(object);
		return ERR_PTR(-ENOENT);
	}
	return object;
}

/* COPY looks up two IOAS, nothing looks up more objects. */
#define IOMMUFD_MAX_HELD 2

/**
 * struct iommufd_ucmd - an ioctl that is going on
 * @ictx: the file
 * @cmd: the structure, as long as the kernel knows it; also the answer
 * @held: objects the handler has looked up; kept until all is over
 * @nr_held: so many
 * @new_object: begun by the handler: published if the answer reaches the user,
 *	aborted otherwise
 * @new_file: made by the handler: installed as @new_fd if the answer reaches the
 *	user, closed otherwise
 * @new_fd: reserved for @new_file
 * @pending: mapped by the handler: likewise committed or aborted
 * @reply_on_error: the answer means something although the handler failed
 *
 * The handler only does its work. What becomes of it is decided afterwards, in
 * one place (iommufd_ucmd_finish()), when it is known whether user space learns
 * of it.
 */
struct iommufd_ucmd {
	struct iommufd_ctx *ictx;
	void *cmd;
	struct iommufd_object *held[IOMMUFD_MAX_HELD];
	unsigned int nr_held;
	struct iommufd_object *new_object;
	struct file *new_file;
	int new_fd;
	struct iopt_pending pending;
	bool reply_on_error;
};

struct iommufd_object *iommufd_ucmd_get(struct iommufd_ucmd *ucmd, u32 id,
					enum iommufd_kind kind);
int iommufd_ucmd_destroy(struct iommufd_ucmd *ucmd);

/* iommufd_ucmd_get(), in line: for ioctls that are called a million times. */
static __always_inline struct iommufd_object *
__iommufd_ucmd_get(struct iommufd_ucmd *ucmd, u32 id, enum iommufd_kind kind)
{
	struct iommufd_object *object;

	if (WARN_ON(ucmd->nr_held == IOMMUFD_MAX_HELD))
		return ERR_PTR(-ENOENT);

	object = __iommufd_object_get(ucmd->ictx, id, kind);
	if (!IS_ERR(object))
		ucmd->held[ucmd->nr_held++] = object;
	return object;
}

#endif
