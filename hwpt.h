/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HWPT as an object: an IOMMU domain that mirrors the IOVA map of an IOAS.
 */
#ifndef __IOMMUFD_HWPT_H
#define __IOMMUFD_HWPT_H

#include <linux/container_of.h>
#include <linux/list.h>
#include <linux/types.h>

#include "iommufd_private.h"
#include "pages.h"

struct device;
struct iommufd_ioas;

/**
 * struct iommufd_hwpt - a paging HWPT
 * @obj: the object. Its users are the groups attached to it
 * @ioas: what it mirrors; used by the HWPT all its life
 * @member: its domain, as a member of the IOAS's domains
 * @ioas_item: of an automatic HWPT: in iommufd_ioas.auto_hwpts
 * @msi_start: IOVA of the window for MSI doorbells, PHYS_ADDR_MAX while there is
 *	none; guarded by iommufd_ioas.mutex
 * @automatic: made by an attach, and goes with its last group
 * @coherent: the domain has devices snoop caches whatever they ask for
 * @mirroring: @member is in the IOAS's domains
 */
struct iommufd_hwpt {
	struct iommufd_object obj;
	struct iommufd_ioas *ioas;
	struct iopt_domain member;
	struct list_head ioas_item;
	phys_addr_t msi_start;
	bool automatic;
	bool coherent;
	bool mirroring;
};

static inline struct iommufd_hwpt *to_hwpt(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_hwpt, obj);
}

struct iommufd_hwpt *iommufd_hwpt_begin(struct iommufd_ioas *ioas,
					struct device *dev);
int iommufd_hwpt_mirror(struct iommufd_hwpt *hwpt);
void iommufd_hwpt_publish_auto(struct iommufd_hwpt *hwpt);
struct iommufd_hwpt *iommufd_hwpt_next_auto(struct iommufd_ioas *ioas,
					    struct iommufd_hwpt *prev_hwpt);
struct iommufd_hwpt *iommufd_hwpt_get(struct iommufd_hwpt *hwpt);
void iommufd_hwpt_put(struct iommufd_hwpt *hwpt);

int iommufd_hwpt_check_device(const struct iommufd_hwpt *hwpt,
			      struct device *dev);
int iommufd_hwpt_set_msi(struct iommufd_hwpt *hwpt, phys_addr_t msi_start);

#endif
