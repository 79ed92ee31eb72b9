/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device as an object, for the other objects.
 */
#ifndef __IOMMUFD_DEVICE_H
#define __IOMMUFD_DEVICE_H

struct device;
struct iommufd_object;

struct device *iommufd_object_device(struct iommufd_object *object);

#endif
