/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kselftest harness, with more patience: a kernel with every check in it, on an
 * emulated processor, on a machine that has other things to do, takes longer than
 * the 30 seconds a test has otherwise.
 */
#ifndef IOMMU_SELFTEST_HARNESS_H
#define IOMMU_SELFTEST_HARNESS_H

#include "../kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#endif
