/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOAS as an object: an IOVA map, and the domains that devices attached to it
 * share.
 */
#ifndef __IOMMUFD_IOAS_H
#define __IOMMUFD_IOAS_H

#include <linux/container_of.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include "io_pagetable.h"
#include "iommufd_private.h"
#include "turn.h"

/**
 * struct iommufd_ioas - an IO address space
 * @obj: the object
 * @iopt: its IOVA map
 * @attach_turn: devices are attached to an IOAS one after the other, so that the
 *	second one finds the HWPT that the first one made. Taken inside
 *	iommufd_group.turn
 * @mutex: guards @auto_hwpts, and in HWPTs what concerns MSIs
 * @auto_hwpts: the automatic HWPTs with a domain that mirrors @iopt. Only whose
 *	turn it is adds to it
 */
struct iommufd_ioas {
	struct iommufd_object obj;
	struct io_pagetable iopt;
	struct iommufd_turn attach_turn;
	struct mutex mutex; /* auto_hwpts, windows for MSIs */
	struct list_head auto_hwpts;
};

static inline struct iommufd_ioas *to_ioas(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_ioas, obj);
}

/* Is it the one that VFIO's containers use now? That can change at any time. */
static inline bool iommufd_ioas_is_compat(const struct iommufd_ioas *ioas)
{
	return READ_ONCE(ioas->obj.ictx->compat_ioas) == &ioas->obj;
}

/**
 * struct iommufd_range_list - usable ranges of an IOVA map
 * @ranges: as many as there are, or as were wanted; the lowest first
 * @room: for so many
 * @total: so many there are
 * @alignment: bytes that mappings have to be aligned to
 */
struct iommufd_range_list {
	struct iopt_range *ranges;
	size_t room;
	size_t total;
	unsigned long alignment;
};

struct iommufd_ioas *iommufd_ioas_begin(struct iommufd_ctx *ictx);
int iommufd_list_ranges(struct io_pagetable *iopt, size_t max_ranges,
			struct iommufd_range_list *list);
enum iopt_account_mode iommufd_account_mode(struct iommufd_ctx *ictx);

int iommufd_ucmd_ioas_alloc(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_ioas_iova_ranges(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_ioas_allow_iovas(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_ioas_copy(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_option(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_ioas_map(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_ioas_unmap(struct iommufd_ucmd *ucmd);

#endif
