/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device as an object, for the other objects.
 */
#ifndef __IOMMUFD_DEVICE_H
#define __IOMMUFD_DEVICE_H

struct device;
struct iommufd_object;
struct iommufd_ucmd;

struct device *iommufd_object_device(struct iommufd_object *object);

/* hw_info.c */
int iommufd_ucmd_get_hw_info(struct iommufd_ucmd *ucmd);

#endif
