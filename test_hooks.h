/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The places where the self-tests reach into the code: nothing of it is left
 * without CONFIG_IOMMUFD_TEST.
 */
#ifndef __IOMMUFD_TEST_HOOKS_H
#define __IOMMUFD_TEST_HOOKS_H

#include <linux/types.h>

struct device;
struct iommufd_ucmd;

#ifdef CONFIG_IOMMUFD_TEST

/**
 * iommufd_should_fail - shall what comes next fail?
 *
 * A fault-injection point named fail_iommufd. What stands behind it has to fail
 * the way it could have failed by itself.
 *
 * Context: Any.
 * Return: whether it shall.
 */
bool iommufd_should_fail(void);

/**
 * iommufd_test_slow_source - make the memory that is pinned slow to come
 * @address: of its first page
 * @npages: how much of it
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void iommufd_test_slow_source(unsigned long address, unsigned long npages);

/**
 * iommufd_test_slow_report - make the report of a page fault take long
 * @addr: where it was
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void iommufd_test_slow_report(u64 addr);

/**
 * iommufd_test_is_mock - is this one of our own devices?
 * @dev: the device
 *
 * It sends no interrupts, and belongs to an object of the file it is bound to: so
 * it does not keep the file open, or closing it would never release either.
 *
 * Context: Any.
 * Return: whether it is.
 */
bool iommufd_test_is_mock(const struct device *dev);

/**
 * iommufd_test_convert_copy - let a copy name its source by number
 * @ucmd: IOMMU_IOAS_COPY, nothing looked at yet
 *
 * A fuzzer does not know what IOVA the kernel has given to a mapping. With the flag
 * MOCK_FLAGS_ACCESS_SYZ, which is gone afterwards, it gives the number of an area
 * and an offset; the answer tells what IOVA that was.
 *
 * Context: Process context, may sleep.
 */
void iommufd_test_convert_copy(struct iommufd_ucmd *ucmd);

int iommufd_test_init(void);
void iommufd_test_exit(void);
int iommufd_ucmd_test(struct iommufd_ucmd *ucmd);

#else

static inline bool iommufd_should_fail(void)
{
	return false;
}

static inline void iommufd_test_slow_source(unsigned long address,
					    unsigned long npages)
{
}

static inline void iommufd_test_slow_report(u64 addr)
{
}

static inline bool iommufd_test_is_mock(const struct device *dev)
{
	return false;
}

static inline void iommufd_test_convert_copy(struct iommufd_ucmd *ucmd)
{
}

static inline int iommufd_test_init(void)
{
	return 0;
}

static inline void iommufd_test_exit(void)
{
}

#endif

#endif
