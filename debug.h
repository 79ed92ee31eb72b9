/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks of what the code believes about itself.
 */
#ifndef __IOMMUFD_DEBUG_H
#define __IOMMUFD_DEBUG_H

#include <linux/bug.h>
#include <linux/kconfig.h>

/**
 * IOMMUFD_ASSERT - warn when something that always holds does not
 * @condition: what holds; may be costly to find out, must have no side effect
 *
 * The compiler sees @condition in every build, the processor only with
 * CONFIG_IOMMUFD_DEBUG.
 */
#define IOMMUFD_ASSERT(condition)					\
	do {								\
		if (IS_ENABLED(CONFIG_IOMMUFD_DEBUG))			\
			WARN_ON(!(condition));				\
	} while (0)

#endif
