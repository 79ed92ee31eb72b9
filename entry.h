/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the entry layer know of each other.
 */
#ifndef __IOMMUFD_ENTRY_H
#define __IOMMUFD_ENTRY_H

struct file;
struct iommufd_ctx;
struct iommufd_ucmd;
struct seq_file;

int iommufd_ucmd_vfio_ioas(struct iommufd_ucmd *ucmd);
long iommufd_vfio_ioctl(struct iommufd_ctx *ictx, unsigned int cmd,
			unsigned long arg);
void iommufd_show_fdinfo(struct seq_file *m, struct file *file);

#endif
