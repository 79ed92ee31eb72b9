/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands with which the self-tests drive the mock IOMMU.
 *
 * Not part of the uAPI, although test programs in circulation know every number
 * and offset in it: it exists with CONFIG_IOMMUFD_TEST only. A program includes it
 * from here, with an iommufd.h in front.
 */
#ifndef __IOMMUFD_TEST_H
#define __IOMMUFD_TEST_H

#include <linux/iommufd.h>
#include <linux/types.h>

/* What a paging domain of the mock translates, from the first byte to the last. */
#define MOCK_APERTURE_START		0x01000000UL
#define MOCK_APERTURE_LAST		0x7fffffffUL

enum {
	IOMMU_TEST_OP_ADD_RESERVED		= 1,
	IOMMU_TEST_OP_MOCK_DOMAIN		= 2,
	IOMMU_TEST_OP_MD_CHECK_MAP		= 3,
	IOMMU_TEST_OP_MD_CHECK_REFS		= 4,
	IOMMU_TEST_OP_CREATE_ACCESS		= 5,
	IOMMU_TEST_OP_DESTROY_ACCESS_PAGES	= 6,
	IOMMU_TEST_OP_ACCESS_PAGES		= 7,
	IOMMU_TEST_OP_ACCESS_RW			= 8,
	IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT	= 9,
	IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE	= 10,
	IOMMU_TEST_OP_ACCESS_REPLACE_IOAS	= 11,
	IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS		= 12,
	IOMMU_TEST_OP_DIRTY			= 13,
	IOMMU_TEST_OP_MD_CHECK_IOTLB		= 14,
	IOMMU_TEST_OP_TRIGGER_IOPF		= 15,
};

/* access_pages.flags; SYZ: @iova is {u32 n, u32 offset}, a place in the n-th area */
enum {
	MOCK_FLAGS_ACCESS_WRITE			= 1 << 0,
	MOCK_FLAGS_ACCESS_SYZ			= 1 << 16,
};

/* access_rw.flags, besides MOCK_FLAGS_ACCESS_SYZ */
enum {
	MOCK_ACCESS_RW_WRITE			= 1 << 0,
	MOCK_ACCESS_RW_SLOW_PATH		= 1 << 2,
};

/* create_access.flags */
enum {
	MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1 << 0,
};

/*
 * mock_domain_flags.dev_flags: a device that cannot track dirty pages, one whose
 * domains have a second page size, 512 times the first, and one with PASIDs
 */
enum {
	MOCK_FLAGS_DEVICE_NO_DIRTY		= 1 << 0,
	MOCK_FLAGS_DEVICE_HUGE_IOVA		= 1 << 1,
	MOCK_FLAGS_DEVICE_PASID			= 1 << 2,
};

/* Bits of a PASID, where there are any. */
#define MOCK_PASID_WIDTH		20

/* IOTLB entries of a nested domain */
enum {
	MOCK_NESTED_DOMAIN_IOTLB_ID_MAX		= 3,
	MOCK_NESTED_DOMAIN_IOTLB_NUM		= 4,
};

struct iommu_test_cmd {
	__u32 size;
	__u32 op;
	__u32 id;
	__u32 __reserved;
	union {
		struct {
			__aligned_u64 start;
			__aligned_u64 length;
		} add_reserved;
		struct {
			__u32 out_stdev_id;
			__u32 out_hwpt_id;
			__u32 out_idev_id;
		} mock_domain;
		struct {
			__u32 out_stdev_id;
			__u32 out_hwpt_id;
			__u32 out_idev_id;
			__u32 dev_flags;
		} mock_domain_flags;
		struct {
			__u32 pt_id;
		} mock_domain_replace;
		struct {
			__aligned_u64 iova;
			__aligned_u64 length;
			__aligned_u64 uptr;
		} check_map;
		struct {
			__aligned_u64 length;
			__aligned_u64 uptr;
			__u32 refs;
		} check_refs;
		struct {
			__u32 out_access_fd;
			__u32 flags;
		} create_access;
		struct {
			__u32 access_pages_id;
		} destroy_access_pages;
		struct {
			__u32 flags;
			__u32 out_access_pages_id;
			__aligned_u64 iova;
			__aligned_u64 length;
			__aligned_u64 uptr;
		} access_pages;
		struct {
			__aligned_u64 iova;
			__aligned_u64 length;
			__aligned_u64 uptr;
			__u32 flags;
		} access_rw;
		struct {
			__u32 limit;
		} memory_limit;
		struct {
			__u32 ioas_id;
		} access_replace_ioas;
		struct {
			__u32 flags;
			__aligned_u64 iova;
			__aligned_u64 length;
			__aligned_u64 page_size;
			__aligned_u64 uptr;
			__aligned_u64 out_nr_dirty;
		} dirty;
		struct {
			__u32 id;
			__u32 iotlb;
		} check_iotlb;
		struct {
			__u32 dev_id;
			__u32 pasid;
			__u32 grpid;
			__u32 perm;
			__u64 addr;
		} trigger_iopf;
	};
	__u32 last;
};

#define IOMMUFD_CMD_TEST_CMD 0xa0
#define IOMMU_TEST_CMD _IO(IOMMUFD_TYPE, IOMMUFD_CMD_TEST_CMD)

/* What IOMMU_GET_HW_INFO says about a mock device. */
#define IOMMU_HW_INFO_TYPE_SELFTEST	0xfeedbeef
#define IOMMU_HW_INFO_SELFTEST_REGVAL	0xdeadbeef

struct iommu_test_hw_info {
	__u32 flags;
	__u32 test_reg;
};

/* What IOMMU_HWPT_ALLOC takes for a nested HWPT: the value of all IOTLB entries. */
#define IOMMU_HWPT_DATA_SELFTEST	0xdead
#define IOMMU_TEST_IOTLB_DEFAULT	0xbadbeef

struct iommu_hwpt_selftest {
	__u32 iotlb;
};

/* What IOMMU_HWPT_INVALIDATE takes, and a type that it must refuse. */
#define IOMMU_HWPT_INVALIDATE_DATA_SELFTEST		0xdeadbeef
#define IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID	0xdadbeef

enum {
	IOMMU_TEST_INVALIDATE_FLAG_ALL		= 1 << 0,
};

struct iommu_hwpt_invalidate_selftest {
	__u32 flags;
	__u32 iotlb_id;
};

#endif
