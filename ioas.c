// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOAS objects, and the ioctls on their IOVA map.
 *
 * A u64 of the ABI can be more than an unsigned long. What is, is refused before
 * it is narrowed.
 */
#include <linux/capability.h>
#include <linux/iommu.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "ioas.h"
#include "test_hooks.h"

static void iommufd_ioas_forget_compat(struct iommufd_object *object)
{
	struct iommufd_ctx *ictx = object->ictx;

	xa_lock(&ictx->objects);
	if (ictx->compat_ioas == object)
		WRITE_ONCE(ictx->compat_ioas, NULL);
	xa_unlock(&ictx->objects);
}

static void iommufd_ioas_destroy(struct iommufd_object *object)
{
	struct iommufd_ioas *ioas = to_ioas(object);

	iommufd_ioas_forget_compat(object);
	iopt_destroy(&ioas->iopt);
	mutex_destroy(&ioas->mutex);
}

static const struct iommufd_object_ops iommufd_ioas_ops = {
	.kind = IOMMUFD_IOAS,
	.destroy = iommufd_ioas_destroy,
};

/**
 * iommufd_ioas_begin - make an empty IOAS
 * @ictx: the file
 *
 * Context: Process context, may sleep.
 * Return: the IOAS, complete but not published, or an ERR_PTR: -ENOMEM, -ENOSPC.
 */
struct iommufd_ioas *iommufd_ioas_begin(struct iommufd_ctx *ictx)
{
	struct iommufd_ioas *ioas;

	ioas = iommufd_object_begin(ictx, struct iommufd_ioas,
				    &iommufd_ioas_ops);
	if (IS_ERR(ioas))
		return ioas;

	iopt_init(&ioas->iopt);
	iommufd_turn_init(&ioas->attach_turn);
	mutex_init(&ioas->mutex);
	INIT_LIST_HEAD(&ioas->auto_hwpts);
	return ioas;
}

/* iommufd_ucmd_get_ioas(), in line. */
static __always_inline struct iommufd_ioas *
__iommufd_ucmd_get_ioas(struct iommufd_ucmd *ucmd, u32 id)
{
	struct iommufd_object *object;

	object = __iommufd_ucmd_get(ucmd, id, IOMMUFD_IOAS);
	if (IS_ERR(object))
		return ERR_CAST(object);
	return to_ioas(object);
}

static struct iommufd_ioas *iommufd_ucmd_get_ioas(struct iommufd_ucmd *ucmd,
						  u32 id)
{
	return __iommufd_ucmd_get_ioas(ucmd, id);
}

/**
 * iommufd_ucmd_ioas_alloc - handler of IOMMU_IOAS_ALLOC
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM or -ENOSPC.
 */
int iommufd_ucmd_ioas_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_alloc *cmd = ucmd->cmd;
	struct iommufd_ioas *ioas = iommufd_ioas_begin(ucmd->ictx);

	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	ucmd->new_object = &ioas->obj;
	cmd->out_ioas_id = ioas->obj.id;
	return 0;
}

/**
 * iommufd_list_ranges - list the usable ranges of an IOVA map
 * @iopt: the map
 * @max_ranges: so many are wanted at most
 * @list: zeroed; the caller frees list->ranges with kvfree(), also on error
 *
 * Between counting and reading more can turn up, so it asks until all of them, or
 * as many as are wanted, are in the list.
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int iommufd_list_ranges(struct io_pagetable *iopt, size_t max_ranges,
			struct iommufd_range_list *list)
{
	for (;;) {
		size_t wanted;

		list->total = iopt_usable_ranges(iopt, list->ranges, list->room,
						 &list->alignment);
		wanted = min(list->total, max_ranges);
		if (list->room >= wanted)
			return 0;

		kvfree(list->ranges);
		list->room = wanted;
		list->ranges = kvmalloc_array(wanted, sizeof(*list->ranges),
					      GFP_KERNEL_ACCOUNT);
		if (!list->ranges)
			return -ENOMEM;
	}
}

static int iommufd_copy_ranges(struct iommu_iova_range __user *to,
			       const struct iopt_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct iommu_iova_range range = {
			.start = ranges[i].first_iova,
			.last = ranges[i].last_iova,
		};

		if (copy_to_user(&to[i], &range, sizeof(range)))
			return -EFAULT;
	}
	return 0;
}

/**
 * iommufd_ucmd_ioas_iova_ranges - handler of IOMMU_IOAS_IOVA_RANGES
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EMSGSIZE when there are more ranges than room, with an answer;
 * -ENOENT, -EFAULT, -ENOMEM.
 */
int iommufd_ucmd_ioas_iova_ranges(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_iova_ranges *cmd = ucmd->cmd;
	struct iommufd_range_list list = {};
	u32 user_room = cmd->num_iovas;
	struct iommufd_ioas *ioas;
	int rc;

	ioas = iommufd_ucmd_get_ioas(ucmd, cmd->ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	rc = iommufd_list_ranges(&ioas->iopt, user_room, &list);
	if (!rc)
		rc = iommufd_copy_ranges(u64_to_user_ptr(cmd->allowed_iovas),
					 list.ranges,
					 min_t(size_t, list.total, user_room));
	kvfree(list.ranges);
	if (rc)
		return rc;

	cmd->num_iovas = min_t(size_t, list.total, U32_MAX);
	cmd->out_iova_alignment = list.alignment;
	ucmd->reply_on_error = true;
	return list.total > user_room ? -EMSGSIZE : 0;
}

static int iommufd_read_allowed(const struct iommu_ioas_allow_iovas *cmd,
				struct iopt_allow_list *list)
{
	struct iommu_iova_range __user *ranges =
		u64_to_user_ptr(cmd->allowed_iovas);

	for (u32 i = 0; i < cmd->num_iovas; i++) {
		struct iommu_iova_range range;
		int rc;

		if (copy_from_user(&range, &ranges[i], sizeof(range)))
			return -EFAULT;
		if (range.start > ULONG_MAX || range.last > ULONG_MAX)
			return -EOVERFLOW;
		rc = iopt_allow_add(list, range.start, range.last);
		if (rc)
			return rc;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * iommufd_ucmd_ioas_allow_iovas - handler of IOMMU_IOAS_ALLOW_IOVAS
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOENT, -EFAULT, -EINTR, or as iopt_allow_add() and
 * iopt_allow_apply(); on error the old list stays.
 */
int iommufd_ucmd_ioas_allow_iovas(struct iommufd_ucmd *ucmd)
{
	struct iopt_allow_list list = { .ranges = RB_ROOT_CACHED };
	struct iommu_ioas_allow_iovas *cmd = ucmd->cmd;
	struct iommufd_ioas *ioas;
	int rc;

	ioas = iommufd_ucmd_get_ioas(ucmd, cmd->ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	rc = iommufd_read_allowed(cmd, &list);
	if (!rc)
		rc = iopt_allow_apply(&ioas->iopt, &list);
	iopt_allow_free(&list);
	return rc;
}

static int iommufd_map_prot(u32 flags)
{
	int prot = IOMMU_CACHE;

	if (flags & IOMMU_IOAS_MAP_READABLE)
		prot |= IOMMU_READ;
	if (flags & IOMMU_IOAS_MAP_WRITEABLE)
		prot |= IOMMU_WRITE;
	return prot;
}

/**
 * iommufd_account_mode - whom does the caller's mapping charge?
 * @ictx: the file
 *
 * Context: Process context.
 * Return: the mode of the file; nobody if the caller may lock what it likes.
 */
enum iopt_account_mode iommufd_account_mode(struct iommufd_ctx *ictx)
{
	return capable(CAP_IPC_LOCK) ? IOPT_ACCOUNT_NONE : ictx->account_mode;
}

static int iommufd_map_begin(struct iommufd_ucmd *ucmd,
			     struct iommufd_ioas *ioas)
{
	struct iommu_ioas_map *cmd = ucmd->cmd;
	struct iopt_map_request request __uninitialized;
	int rc;

	request.uptr = cmd->user_va;
	request.length = cmd->length;
	request.iova = cmd->iova;
	request.iommu_prot = iommufd_map_prot(cmd->flags);
	request.account_mode = iommufd_account_mode(ucmd->ictx);
	request.fixed_iova = cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA;
	/* The user knows it. */
	request.is_final = request.fixed_iova;

	rc = iopt_map_begin(&ioas->iopt, &request, &ucmd->pending);
	if (!rc)
		cmd->iova = request.iova;
	return rc;
}

/**
 * iommufd_ucmd_ioas_map - handler of IOMMU_IOAS_MAP
 * @ucmd: the ioctl
 *
 * The area waits in @ucmd for the answer to reach the user, if it says anything that
 * the user does not know.
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOVERFLOW, -EINVAL, -ENOENT, or as iopt_map_begin().
 */
int iommufd_ucmd_ioas_map(struct iommufd_ucmd *ucmd)
{
	const u32 prot_flags = IOMMU_IOAS_MAP_READABLE |
			       IOMMU_IOAS_MAP_WRITEABLE;
	struct iommu_ioas_map *cmd = ucmd->cmd;
	struct iommufd_ioas *ioas;

	if (cmd->iova >= ULONG_MAX || cmd->length >= ULONG_MAX)
		return -EOVERFLOW;
	if (!(cmd->flags & prot_flags))
		return -EINVAL;
	ioas = __iommufd_ucmd_get_ioas(ucmd, cmd->ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	if (cmd->length && overflows_type(cmd->user_va, unsigned long))
		return -EOVERFLOW;
	return iommufd_map_begin(ucmd, ioas);
}

/* What both IOAS of a copy agree on. Return: 0, -EOVERFLOW, -EINVAL, -ENOENT. */
static int iommufd_copy_begin(struct iommufd_ucmd *ucmd,
			      struct iopt_copy *copy)
{
	struct iommu_ioas_copy *cmd = ucmd->cmd;
	struct iommufd_ioas *source;
	unsigned long last_iova;

	source = iommufd_ucmd_get_ioas(ucmd, cmd->src_ioas_id);
	if (IS_ERR(source))
		return PTR_ERR(source);
	if (!cmd->length)
		return -EINVAL;
	if (check_add_overflow((unsigned long)cmd->src_iova,
			       (unsigned long)cmd->length - 1, &last_iova))
		return -EOVERFLOW;
	return iopt_copy_begin(&source->iopt, cmd->src_iova, last_iova, copy);
}

static int iommufd_copy_place(struct iommufd_ucmd *ucmd, struct iopt_copy *copy)
{
	struct iommu_ioas_copy *cmd = ucmd->cmd;
	struct iopt_map_request request = {
		.length = cmd->length,
		.iova = cmd->dst_iova,
		.fixed_iova = cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA,
		.iommu_prot = iommufd_map_prot(cmd->flags),
	};
	struct iommufd_ioas *ioas;
	int rc;

	ioas = iommufd_ucmd_get_ioas(ucmd, cmd->dst_ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	rc = iopt_copy_place(&ioas->iopt, copy, &request, &ucmd->pending);
	if (!rc)
		cmd->dst_iova = request.iova;
	return rc;
}

/**
 * iommufd_ucmd_ioas_copy - handler of IOMMU_IOAS_COPY
 * @ucmd: the ioctl
 *
 * The areas wait in @ucmd for the answer to reach the user.
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOVERFLOW, -EINVAL, -ENOENT, or as iopt_copy_begin() and
 * iopt_copy_place().
 */
int iommufd_ucmd_ioas_copy(struct iommufd_ucmd *ucmd)
{
	const u32 prot_flags = IOMMU_IOAS_MAP_READABLE |
			       IOMMU_IOAS_MAP_WRITEABLE;
	struct iommu_ioas_copy *cmd = ucmd->cmd;
	struct iopt_copy copy;
	int rc;

	iommufd_test_convert_copy(ucmd);
	if (cmd->length >= ULONG_MAX || cmd->src_iova >= ULONG_MAX ||
	    cmd->dst_iova >= ULONG_MAX)
		return -EOVERFLOW;
	if (!(cmd->flags & prot_flags))
		return -EINVAL;
	rc = iommufd_copy_begin(ucmd, &copy);
	if (rc)
		return rc;
	rc = iommufd_copy_place(ucmd, &copy);
	iopt_copy_end(&copy);
	return rc;
}

/* Whom maps charge, of an open file. It cannot change once there are objects. */
static int iommufd_option_rlimit_mode(struct iommufd_ctx *ictx,
				      struct iommu_option *cmd)
{
	int rc = 0;

	if (cmd->object_id)
		return -EOPNOTSUPP;
	if (cmd->op == IOMMU_OPTION_OP_GET) {
		cmd->val64 = ictx->account_mode == IOPT_ACCOUNT_MM;
		return 0;
	}
	if (cmd->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (!capable(CAP_SYS_RESOURCE))
		return -EPERM;

	xa_lock(&ictx->objects);
	if (!xa_empty(&ictx->objects))
		rc = -EBUSY;
	else if (cmd->val64 > 1)
		rc = -EINVAL;
	else
		ictx->account_mode = cmd->val64 ? IOPT_ACCOUNT_MM :
						  IOPT_ACCOUNT_USER;
	xa_unlock(&ictx->objects);
	return rc;
}

static int iommufd_option_huge_pages(struct iommufd_ucmd *ucmd,
				     struct iommu_option *cmd)
{
	struct iommufd_ioas *ioas;

	ioas = iommufd_ucmd_get_ioas(ucmd, cmd->object_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);
	if (cmd->op == IOMMU_OPTION_OP_GET) {
		cmd->val64 = !READ_ONCE(ioas->iopt.domains.small_pages);
		return 0;
	}
	if (cmd->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (cmd->val64 > 1)
		return -EINVAL;
	return iopt_set_large_pages(&ioas->iopt, cmd->val64);
}

/**
 * iommufd_ucmd_option - handler of IOMMU_OPTION
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP unknown option or operation; -ENOENT, -EPERM, -EBUSY,
 * -EINVAL, -EADDRINUSE.
 */
int iommufd_ucmd_option(struct iommufd_ucmd *ucmd)
{
	struct iommu_option *cmd = ucmd->cmd;

	switch (cmd->option_id) {
	case IOMMU_OPTION_RLIMIT_MODE:
		return iommufd_option_rlimit_mode(ucmd->ictx, cmd);
	case IOMMU_OPTION_HUGE_PAGES:
		return iommufd_option_huge_pages(ucmd, cmd);
	default:
		return -EOPNOTSUPP;
	}
}

/* Return: 0 with the last IOVA of the range, or -EOVERFLOW, -EINVAL. */
static int iommufd_unmap_last_iova(const struct iommu_ioas_unmap *cmd,
				   unsigned long *last_iova)
{
	if (cmd->iova >= ULONG_MAX || cmd->length >= ULONG_MAX)
		return -EOVERFLOW;
	if (!cmd->length)
		return -EINVAL;
	if (check_add_overflow((unsigned long)cmd->iova,
			       (unsigned long)cmd->length - 1, last_iova))
		return -EOVERFLOW;
	return 0;
}

/**
 * iommufd_ucmd_ioas_unmap - handler of IOMMU_IOAS_UNMAP
 * @ucmd: the ioctl
 *
 * Once the arguments are accepted there is an answer in any case: what has been
 * unmapped stays unmapped, so the user has to know how much that is.
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOENT, -EOVERFLOW, -EINVAL, or as iopt_unmap().
 */
int iommufd_ucmd_ioas_unmap(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_unmap *cmd = ucmd->cmd;
	unsigned long unmapped_bytes = 0;
	unsigned long last_iova;
	struct iommufd_ioas *ioas;
	int rc;

	ioas = __iommufd_ucmd_get_ioas(ucmd, cmd->ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	if (!cmd->iova && cmd->length == U64_MAX) {
		rc = iopt_unmap_all(&ioas->iopt, &unmapped_bytes);
	} else {
		rc = iommufd_unmap_last_iova(cmd, &last_iova);
		if (rc)
			return rc;
		rc = iopt_unmap(&ioas->iopt, cmd->iova, last_iova,
				&unmapped_bytes);
	}

	cmd->length = unmapped_bytes;
	ucmd->reply_on_error = true;
	return rc;
}
