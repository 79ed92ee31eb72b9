/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page whose fault lasts until the test ends it: whoever is in the kernel on the
 * way to it stays there.
 */
#ifndef IOMMU_SELFTEST_PARK_H
#define IOMMU_SELFTEST_PARK_H

#include <stdbool.h>

#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "calls.h"

/* @page has not been touched yet. Return: a file, or -1. */
static inline int park(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)page, .len = page_bytes() },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &range))
		return -1;
	return uffd;
}

/* Wait until somebody has touched the page. */
static inline bool is_parked(int uffd)
{
	struct uffd_msg message;

	return read(uffd, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

/* The page is there now, and zero. */
static inline int unpark(int uffd, void *page)
{
	struct uffdio_zeropage arg = {
		.range = { .start = (uintptr_t)page, .len = page_bytes() },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &arg) ? -errno : 0;
}

#endif
