/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HWPT as an object: an IOMMU domain.
 *
 * A paging HWPT mirrors the IOVA map of an IOAS. A nested HWPT is a table that a
 * guest keeps in its memory: it translates to what a paging HWPT, its parent,
 * translates further. Devices are attached to either; what there is to be known of
 * the IOVA map behind a nested HWPT, the parent knows.
 */
#ifndef __IOMMUFD_HWPT_H
#define __IOMMUFD_HWPT_H

#include <linux/container_of.h>
#include <linux/list.h>
#include <linux/types.h>

#include "io_pagetable.h"
#include "iommufd_private.h"

struct device;
struct iommu_user_data;
struct iommufd_fault;
struct iommufd_ioas;

/**
 * struct iommufd_hwpt - a paging or a nested HWPT
 * @obj: the object. Its users are the groups attached to it, and the HWPTs nested
 *	on it
 * @ioas: what it, or its parent, mirrors; used by a paging HWPT all its life
 * @parent: of a nested HWPT: what it is nested on, and uses all its life
 * @fault: of a nested HWPT: where the page faults go, used; NULL if nowhere
 * @member: its domain; of a paging HWPT, as a member of the IOAS's domains
 * @ioas_item: of an automatic HWPT: in iommufd_ioas.auto_hwpts
 * @msi_window: of a paging HWPT: where the domain has its MSI doorbells; guarded
 *	by iommufd_ioas.mutex, like the next
 * @nr_msi_users: so many devices rely on the window, or have ever done so: their
 *	doorbells are still there. While it is not 0, the HWPT owns a reserved range
 * @automatic: made by an attach, and goes with its last group
 * @is_nest_parent: others may be nested on it
 * @coherent: the domain has devices snoop caches whatever they ask for
 * @mirroring: @member is in the IOAS's domains
 */
struct iommufd_hwpt {
	struct iommufd_object obj;
	struct iommufd_ioas *ioas;
	struct iommufd_hwpt *parent;
	struct iommufd_fault *fault;
	struct iopt_domain member;
	struct list_head ioas_item;
	struct iopt_msi_window msi_window;
	unsigned long nr_msi_users;
	bool automatic;
	bool is_nest_parent;
	bool coherent;
	bool mirroring;
};

/**
 * struct iommufd_hwpt_request - what kind of domain is wanted
 * @dev: its driver makes the domain
 * @flags: of enum iommufd_hwpt_alloc_flags, those that are the driver's business
 * @user_data: what user space has to tell the driver, or NULL
 */
struct iommufd_hwpt_request {
	struct device *dev;
	u32 flags;
	const struct iommu_user_data *user_data;
};

static inline struct iommufd_hwpt *to_hwpt(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_hwpt, obj);
}

/* The HWPT that mirrors the IOVA map: itself, or its parent. */
static inline struct iommufd_hwpt *iommufd_hwpt_paging(struct iommufd_hwpt *hwpt)
{
	return hwpt->parent ?: hwpt;
}

/* What to close before a driver changes which devices go through the HWPT. */
static inline struct iommufd_gate *iommufd_hwpt_gate(struct iommufd_hwpt *hwpt)
{
	return &iommufd_hwpt_paging(hwpt)->member.io.gate;
}

struct iommufd_hwpt *
iommufd_hwpt_begin(struct iommufd_ioas *ioas,
		   const struct iommufd_hwpt_request *request);
bool iommufd_hwpt_is_complete(const struct iommufd_hwpt *hwpt);
int iommufd_hwpt_mirror(struct iommufd_hwpt *hwpt);
void iommufd_hwpt_publish_auto(struct iommufd_hwpt *hwpt);
struct iommufd_hwpt *iommufd_hwpt_next_auto(struct iommufd_ioas *ioas,
					    struct iommufd_hwpt *prev_hwpt);
struct iommufd_hwpt *iommufd_hwpt_get(struct iommufd_hwpt *hwpt);
void iommufd_hwpt_put(struct iommufd_hwpt *hwpt);

bool iommufd_ioas_is_coherent(struct iommufd_ioas *ioas);
int iommufd_hwpt_check_device(const struct iommufd_hwpt *hwpt,
			      struct device *dev);
int iommufd_hwpt_set_msi(struct iommufd_hwpt *hwpt,
			 const struct iopt_msi_window *window);
void iommufd_hwpt_unset_msi(struct iommufd_hwpt *hwpt,
			    const struct iopt_msi_window *window);

int iommufd_ucmd_hwpt_alloc(struct iommufd_ucmd *ucmd);

/* hwpt_nested.c */
int iommufd_ucmd_hwpt_invalidate(struct iommufd_ucmd *ucmd);

/* hwpt_dirty.c */
int iommufd_ucmd_hwpt_set_dirty_tracking(struct iommufd_ucmd *ucmd);
int iommufd_ucmd_hwpt_get_dirty_bitmap(struct iommufd_ucmd *ucmd);

#endif
