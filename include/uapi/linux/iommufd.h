/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_IOMMUFD_H
#define _UAPI_IOMMUFD_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: The ioctls of /dev/iommu
 *
 * Each command takes a pointer to a structure whose first word, ``size``, says
 * how large the caller believes the structure to be. A caller older than the
 * kernel leaves the tail out and the kernel reads it as zero; a newer caller may
 * send a longer structure provided the kernel would not lose anything by
 * ignoring it, that is if everything past the kernel's own size is zero.
 * ``size`` is never changed by the kernel, so a structure can be sent again.
 *
 * Reserved fields and bits without a meaning have to be zero.
 *
 * What the error codes stand for:
 *
 *  - ENOTTY: this kernel has no such command
 *  - E2BIG: the part of the structure unknown to this kernel is not zero
 *  - EOPNOTSUPP: a field asks for something this kernel does not know, which
 *    covers unknown flags and reserved fields
 *  - EINVAL: a field is wrong in itself or does not go with the others
 *  - ENOENT: no object has this ID, or nothing is mapped at this IOVA
 *  - EOVERFLOW: a sum of address and length leaves the address space
 *  - ENOMEM: out of memory, or over the limit of locked memory
 *  - EFAULT: the kernel was given an address it cannot use
 *
 * An object is named by a 32 bit ID. IDs belong to one open file of /dev/iommu
 * and are never 0. An object goes away with IOMMU_DESTROY or when the file is
 * closed.
 */

#define IOMMUFD_TYPE (';')

enum {
	IOMMUFD_CMD_BASE			= 0x80,
	IOMMUFD_CMD_DESTROY			= 0x80,
	IOMMUFD_CMD_IOAS_ALLOC			= 0x81,
	IOMMUFD_CMD_IOAS_ALLOW_IOVAS		= 0x82,
	IOMMUFD_CMD_IOAS_COPY			= 0x83,
	IOMMUFD_CMD_IOAS_IOVA_RANGES		= 0x84,
	IOMMUFD_CMD_IOAS_MAP			= 0x85,
	IOMMUFD_CMD_IOAS_UNMAP			= 0x86,
	IOMMUFD_CMD_OPTION			= 0x87,
	IOMMUFD_CMD_VFIO_IOAS			= 0x88,
	IOMMUFD_CMD_HWPT_ALLOC			= 0x89,
	IOMMUFD_CMD_GET_HW_INFO			= 0x8a,
	IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING	= 0x8b,
	IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP	= 0x8c,
	IOMMUFD_CMD_HWPT_INVALIDATE		= 0x8d,
	IOMMUFD_CMD_FAULT_QUEUE_ALLOC		= 0x8e,
};

/* The command words, each with the structure that it takes. */

/* struct iommu_destroy */
#define IOMMU_DESTROY		_IO(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY)
/* struct iommu_ioas_alloc */
#define IOMMU_IOAS_ALLOC	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC)
/* struct iommu_ioas_allow_iovas */
#define IOMMU_IOAS_ALLOW_IOVAS	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS)
/* struct iommu_ioas_copy */
#define IOMMU_IOAS_COPY		_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY)
/* struct iommu_ioas_iova_ranges */
#define IOMMU_IOAS_IOVA_RANGES	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES)
/* struct iommu_ioas_map */
#define IOMMU_IOAS_MAP		_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP)
/* struct iommu_ioas_unmap */
#define IOMMU_IOAS_UNMAP	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP)
/* struct iommu_option */
#define IOMMU_OPTION		_IO(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION)
/* struct iommu_vfio_ioas */
#define IOMMU_VFIO_IOAS		_IO(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS)
/* struct iommu_hwpt_alloc */
#define IOMMU_HWPT_ALLOC	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC)
/* struct iommu_hw_info */
#define IOMMU_GET_HW_INFO	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO)
/* struct iommu_hwpt_set_dirty_tracking */
#define IOMMU_HWPT_SET_DIRTY_TRACKING \
	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING)
/* struct iommu_hwpt_get_dirty_bitmap */
#define IOMMU_HWPT_GET_DIRTY_BITMAP \
	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP)
/* struct iommu_hwpt_invalidate */
#define IOMMU_HWPT_INVALIDATE	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE)
/* struct iommu_fault_alloc */
#define IOMMU_FAULT_QUEUE_ALLOC	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC)

/**
 * struct iommu_destroy - IOMMU_DESTROY: let go of an object
 * @size: length of this structure in bytes
 * @id: what to destroy; an IOAS, a HWPT or a fault queue
 *
 * EBUSY if another object or a device still needs it. Devices and accesses are
 * the property of the driver that made them and always answer EBUSY.
 */
struct iommu_destroy {
	__u32 size;
	__u32 id;
};

/**
 * struct iommu_ioas_alloc - IOMMU_IOAS_ALLOC: make an empty IO address space
 * @size: length of this structure in bytes
 * @flags: zero
 * @out_ioas_id: ID of the new IOAS
 *
 * An IOAS records which user memory stands at which IOVA. Every HWPT made from
 * it translates what it records, as it changes.
 */
struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};

/**
 * struct iommu_iova_range - A range of IOVA
 * @start: lowest address
 * @last: highest address, itself part of the range
 */
struct iommu_iova_range {
	__aligned_u64 start;
	__aligned_u64 last;
};

/**
 * struct iommu_ioas_allow_iovas - IOMMU_IOAS_ALLOW_IOVAS: insist on some ranges
 * @size: length of this structure in bytes
 * @ioas_id: the IOAS
 * @num_iovas: entries in the array, 0 to insist on nothing
 * @__reserved: zero
 * @allowed_iovas: address of an array of struct iommu_iova_range
 *
 * The array takes the place of the one given before. From then on a device whose
 * reserved regions or aperture would take something away from these ranges
 * cannot be attached, and an IOVA chosen by the kernel comes out of one of them.
 * A fixed IOVA is not confined to them.
 *
 * EINVAL when entries overlap or one does not start below its last address,
 * EADDRINUSE when one meets what is reserved already. The old array is kept then.
 */
struct iommu_ioas_allow_iovas {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 __reserved;
	__aligned_u64 allowed_iovas;
};

/**
 * struct iommu_ioas_iova_ranges - IOMMU_IOAS_IOVA_RANGES: ask what can be mapped
 * @size: length of this structure in bytes
 * @ioas_id: the IOAS
 * @num_iovas: in: entries the array has room for; out: number of ranges
 * @__reserved: zero
 * @allowed_iovas: address of an array of struct iommu_iova_range
 * @out_iova_alignment: power of two that both ends of every mapping keep to
 *
 * The answer holds for the devices attached now; attaching another can narrow
 * it. A range that is offered may well be mapped already.
 *
 * EMSGSIZE when there are more ranges than room: as many as fit are written and
 * @num_iovas tells how much room is needed. So zero room is a question of size.
 */
struct iommu_ioas_iova_ranges {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 __reserved;
	__aligned_u64 allowed_iovas;
	__aligned_u64 out_iova_alignment;
};

/**
 * enum iommufd_ioas_map_flags - How to map, in MAP and COPY
 * @IOMMU_IOAS_MAP_FIXED_IOVA: the caller has chosen the IOVA
 * @IOMMU_IOAS_MAP_WRITEABLE: devices may write
 * @IOMMU_IOAS_MAP_READABLE: devices may read
 */
enum iommufd_ioas_map_flags {
	IOMMU_IOAS_MAP_FIXED_IOVA	= 0x1,
	IOMMU_IOAS_MAP_WRITEABLE	= 0x2,
	IOMMU_IOAS_MAP_READABLE		= 0x4,
};

/**
 * struct iommu_ioas_map - IOMMU_IOAS_MAP: put user memory at an IOVA
 * @size: length of this structure in bytes
 * @flags: of enum iommufd_ioas_map_flags; at least one of the two permissions
 * @ioas_id: the IOAS
 * @__reserved: zero
 * @user_va: address of the memory in the calling process
 * @length: bytes to map
 * @iova: where; written by the kernel unless FIXED_IOVA is given
 *
 * The memory is pinned while a HWPT or a pinning in-kernel user covers it, and
 * then counts as locked memory of the process that mapped it. What the process
 * maps at @user_va later makes no difference.
 *
 * EEXIST when something is mapped there, EINVAL for a reserved or misaligned
 * range, ENOSPC when the kernel finds no free IOVA.
 */
struct iommu_ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 __reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};

/**
 * struct iommu_ioas_copy - IOMMU_IOAS_COPY: share mapped memory
 * @size: length of this structure in bytes
 * @flags: as in struct iommu_ioas_map
 * @dst_ioas_id: the IOAS that gets the new mapping
 * @src_ioas_id: the IOAS that has the memory, possibly the same
 * @length: bytes to share
 * @dst_iova: where to; written by the kernel unless FIXED_IOVA is given
 * @src_iova: where from; all of the range has to be mapped (ENOENT)
 *
 * Cheaper than mapping the same memory twice: however many mappings share it, a
 * page is pinned and charged once. The two mappings live independently. What was
 * mapped read-only at first cannot be shared writeable (EPERM).
 */
struct iommu_ioas_copy {
	__u32 size;
	__u32 flags;
	__u32 dst_ioas_id;
	__u32 src_ioas_id;
	__aligned_u64 length;
	__aligned_u64 dst_iova;
	__aligned_u64 src_iova;
};

/**
 * struct iommu_ioas_unmap - IOMMU_IOAS_UNMAP: remove mappings
 * @size: length of this structure in bytes
 * @ioas_id: the IOAS
 * @iova: lowest address
 * @length: bytes from there; out: bytes that were unmapped, also after an error
 *
 * A mapping is removed as a whole or not at all; one that the range would cut
 * ends the operation with ENOENT. Address 0 with length U64_MAX stands for
 * everything and succeeds even where there is nothing.
 */
struct iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};

/**
 * enum iommufd_option - What IOMMU_OPTION reads or changes
 * @IOMMU_OPTION_RLIMIT_MODE: whose locked memory is charged, for the whole file:
 *	0 the user's, 1 the process's. Changing it takes CAP_SYS_RESOURCE and a
 *	file without objects. The object ID is 0.
 * @IOMMU_OPTION_HUGE_PAGES: of an IOAS: 1, the default, lets the IOMMU use large
 *	pages; 0 has everything mapped in pages of PAGE_SIZE.
 */
enum iommufd_option {
	IOMMU_OPTION_RLIMIT_MODE	= 0,
	IOMMU_OPTION_HUGE_PAGES		= 1,
};

/**
 * enum iommufd_option_ops - What IOMMU_OPTION does
 * @IOMMU_OPTION_OP_SET: change the option
 * @IOMMU_OPTION_OP_GET: read the option
 */
enum iommufd_option_ops {
	IOMMU_OPTION_OP_SET	= 0,
	IOMMU_OPTION_OP_GET	= 1,
};

/**
 * struct iommu_option - IOMMU_OPTION: read or change a setting
 * @size: length of this structure in bytes
 * @option_id: of enum iommufd_option
 * @op: of enum iommufd_option_ops
 * @__reserved: zero
 * @object_id: whose setting, 0 for one of the whole file
 * @val64: the value, written by a GET
 */
struct iommu_option {
	__u32 size;
	__u32 option_id;
	__u16 op;
	__u16 __reserved;
	__u32 object_id;
	__aligned_u64 val64;
};

/**
 * enum iommufd_vfio_ioas_op - What IOMMU_VFIO_IOAS does
 * @IOMMU_VFIO_IOAS_GET: tell the ID of the compatibility IOAS, ENODEV if none
 * @IOMMU_VFIO_IOAS_SET: let the type1 ioctls work on this IOAS
 * @IOMMU_VFIO_IOAS_CLEAR: let them work on none
 */
enum iommufd_vfio_ioas_op {
	IOMMU_VFIO_IOAS_GET	= 0,
	IOMMU_VFIO_IOAS_SET	= 1,
	IOMMU_VFIO_IOAS_CLEAR	= 2,
};

/**
 * struct iommu_vfio_ioas - IOMMU_VFIO_IOAS: choose the IOAS of the type1 ioctls
 * @size: length of this structure in bytes
 * @ioas_id: the IOAS to SET, or the answer to GET
 * @op: of enum iommufd_vfio_ioas_op
 * @__reserved: zero
 */
struct iommu_vfio_ioas {
	__u32 size;
	__u32 ioas_id;
	__u16 op;
	__u16 __reserved;
};

/**
 * enum iommufd_hwpt_alloc_flags - Properties of a new HWPT
 * @IOMMU_HWPT_ALLOC_NEST_PARENT: nested HWPTs can be made on top of it
 * @IOMMU_HWPT_ALLOC_DIRTY_TRACKING: it can tell which pages devices wrote to;
 *	only devices with that capability can be attached
 * @IOMMU_HWPT_FAULT_ID_VALID: the fault_id field names a fault queue
 */
enum iommufd_hwpt_alloc_flags {
	IOMMU_HWPT_ALLOC_NEST_PARENT	= 0x1,
	IOMMU_HWPT_ALLOC_DIRTY_TRACKING	= 0x2,
	IOMMU_HWPT_FAULT_ID_VALID	= 0x4,
};

/**
 * enum iommu_hwpt_vtd_s1_flags - Bits of a VT-d first-stage table
 * @IOMMU_VTD_S1_SRE: supervisor requests are served
 * @IOMMU_VTD_S1_EAFE: hardware sets extended accessed bits
 * @IOMMU_VTD_S1_WPE: supervisor writes respect write protection
 */
enum iommu_hwpt_vtd_s1_flags {
	IOMMU_VTD_S1_SRE	= 0x1,
	IOMMU_VTD_S1_EAFE	= 0x2,
	IOMMU_VTD_S1_WPE	= 0x4,
};

/**
 * struct iommu_hwpt_vtd_s1 - Driver data of IOMMU_HWPT_DATA_VTD_S1
 * @flags: of enum iommu_hwpt_vtd_s1_flags
 * @pgtbl_addr: where the guest keeps its first-stage table
 * @addr_width: address bits that the table translates
 * @__reserved: zero
 */
struct iommu_hwpt_vtd_s1 {
	__aligned_u64 flags;
	__aligned_u64 pgtbl_addr;
	__u32 addr_width;
	__u32 __reserved;
};

/**
 * enum iommu_hwpt_data_type - Kinds of driver data for IOMMU_HWPT_ALLOC
 * @IOMMU_HWPT_DATA_NONE: there is none
 * @IOMMU_HWPT_DATA_VTD_S1: struct iommu_hwpt_vtd_s1
 */
enum iommu_hwpt_data_type {
	IOMMU_HWPT_DATA_NONE	= 0,
	IOMMU_HWPT_DATA_VTD_S1	= 1,
};

/**
 * struct iommu_hwpt_alloc - IOMMU_HWPT_ALLOC: make a hardware page table
 * @size: length of this structure in bytes
 * @flags: of enum iommufd_hwpt_alloc_flags
 * @dev_id: a device whose IOMMU decides what the table looks like
 * @pt_id: what it translates: an IOAS, whose mappings it then follows, or a HWPT
 *	with NEST_PARENT, on which the new one is nested
 * @out_hwpt_id: ID of the new HWPT
 * @__reserved: zero
 * @data_type: of enum iommu_hwpt_data_type
 * @data_len: bytes of driver data, 0 exactly if there are none
 * @data_uptr: address of the driver data
 * @fault_id: fault queue that gets the page faults, with FAULT_ID_VALID
 * @__reserved2: zero
 *
 * The device is not attached by this, and need not ever be.
 *
 * ENOENT for a device or fault queue that there is not; EINVAL when @pt_id names
 * something of which no such HWPT can be made, or when the driver data are not what
 * @data_type says; EOPNOTSUPP for what the device or its driver is not capable of.
 * A HWPT on an IOAS begins with what is mapped there: EFAULT or ENOMEM if that
 * memory cannot be pinned, EADDRINUSE if it lies where the device must not have it.
 */
struct iommu_hwpt_alloc {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 pt_id;
	__u32 out_hwpt_id;
	__u32 __reserved;
	__u32 data_type;
	__u32 data_len;
	__aligned_u64 data_uptr;
	__u32 fault_id;
	__u32 __reserved2;
};

/**
 * enum iommu_hw_info_vtd_flags - Notes on a VT-d unit
 * @IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: a nest parent must not hold read-only
 *	mappings, or a device could write through them
 */
enum iommu_hw_info_vtd_flags {
	IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17	= 0x1,
};

/**
 * struct iommu_hw_info_vtd - Answer of type IOMMU_HW_INFO_TYPE_INTEL_VTD
 * @flags: of enum iommu_hw_info_vtd_flags
 * @__reserved: zero
 * @cap_reg: capability register of the unit
 * @ecap_reg: extended capability register of the unit
 */
struct iommu_hw_info_vtd {
	__u32 flags;
	__u32 __reserved;
	__aligned_u64 cap_reg;
	__aligned_u64 ecap_reg;
};

/**
 * enum iommu_hw_info_type - Kinds of IOMMU_GET_HW_INFO answers
 * @IOMMU_HW_INFO_TYPE_NONE: out: the driver has nothing to tell
 * @IOMMU_HW_INFO_TYPE_DEFAULT: in: whatever the driver has
 * @IOMMU_HW_INFO_TYPE_INTEL_VTD: struct iommu_hw_info_vtd
 */
enum iommu_hw_info_type {
	IOMMU_HW_INFO_TYPE_NONE		= 0,
	IOMMU_HW_INFO_TYPE_DEFAULT	= 0,
	IOMMU_HW_INFO_TYPE_INTEL_VTD	= 1,
};

/**
 * enum iommufd_hw_capabilities - What a device together with its IOMMU can do
 * @IOMMU_HW_CAP_DIRTY_TRACKING: tell which pages were written to; see
 *	IOMMU_HWPT_ALLOC_DIRTY_TRACKING
 * @IOMMU_HW_CAP_PCI_PASID_EXEC: ask for execute permission under a PASID
 * @IOMMU_HW_CAP_PCI_PASID_PRIV: ask for privileged mode under a PASID
 */
enum iommufd_hw_capabilities {
	IOMMU_HW_CAP_DIRTY_TRACKING	= 0x1,
	IOMMU_HW_CAP_PCI_PASID_EXEC	= 0x2,
	IOMMU_HW_CAP_PCI_PASID_PRIV	= 0x4,
};

/**
 * enum iommu_hw_info_flags - How to ask for hardware information
 * @IOMMU_HW_INFO_FLAG_INPUT_TYPE: the caller wants the type in in_data_type
 */
enum iommu_hw_info_flags {
	IOMMU_HW_INFO_FLAG_INPUT_TYPE	= 0x1,
};

/**
 * struct iommu_hw_info - IOMMU_GET_HW_INFO: ask about a device's IOMMU
 * @size: length of this structure in bytes
 * @flags: of enum iommu_hw_info_flags
 * @dev_id: the device
 * @data_len: in: bytes of room for the data; out: bytes the driver has
 * @data_uptr: address of the room; may be null when @data_len is 0
 * @in_data_type: with INPUT_TYPE: the kind of data wanted, EOPNOTSUPP if the
 *	driver has not got it
 * @out_data_type: of enum iommu_hw_info_type, the kind of data given
 * @out_max_pasid_log2: PASID bits of the device, 0 without PASID
 * @__reserved: zero
 * @out_capabilities: of enum iommufd_hw_capabilities
 *
 * Data longer than the room is cut, room longer than the data is zeroed.
 * ENOENT for a device that there is not, EFAULT for room that cannot be written.
 */
struct iommu_hw_info {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 data_len;
	__aligned_u64 data_uptr;
	union {
		__u32 in_data_type;
		__u32 out_data_type;
	};
	__u8 out_max_pasid_log2;
	__u8 __reserved[3];
	__aligned_u64 out_capabilities;
};

/**
 * enum iommufd_hwpt_set_dirty_tracking_flags - The state of dirty tracking
 * @IOMMU_HWPT_DIRTY_TRACKING_ENABLE: on, off if absent
 */
enum iommufd_hwpt_set_dirty_tracking_flags {
	IOMMU_HWPT_DIRTY_TRACKING_ENABLE	= 0x1,
};

/**
 * struct iommu_hwpt_set_dirty_tracking - IOMMU_HWPT_SET_DIRTY_TRACKING: on, off
 * @size: length of this structure in bytes
 * @flags: of enum iommufd_hwpt_set_dirty_tracking_flags
 * @hwpt_id: a HWPT made with DIRTY_TRACKING
 * @__reserved: zero
 *
 * Switching on starts from a clean table: older dirty bits are thrown away.
 * ENOENT for a HWPT that there is not, EOPNOTSUPP for one made without tracking.
 */
struct iommu_hwpt_set_dirty_tracking {
	__u32 size;
	__u32 flags;
	__u32 hwpt_id;
	__u32 __reserved;
};

/**
 * enum iommufd_hwpt_get_dirty_bitmap_flags - How to read dirty bits
 * @IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: leave them set in the table
 */
enum iommufd_hwpt_get_dirty_bitmap_flags {
	IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR	= 0x1,
};

/**
 * struct iommu_hwpt_get_dirty_bitmap - IOMMU_HWPT_GET_DIRTY_BITMAP: read bits
 * @size: length of this structure in bytes
 * @hwpt_id: a HWPT whose tracking is on
 * @flags: of enum iommufd_hwpt_get_dirty_bitmap_flags
 * @__reserved: zero
 * @iova: lowest address, a multiple of @page_size
 * @length: bytes from there, a multiple of @page_size
 * @page_size: bytes that one bit stands for, a power of two
 * @data: address of the bitmap, of any alignment
 *
 * Bit n stands for the granule n * @page_size bytes past @iova; it is bit n % 64
 * of the u64 number n / 64 in @data. Bits are set but none is cleared. Addresses
 * at which nothing is mapped read as clean.
 *
 * ENOENT for a HWPT that there is not; EINVAL when the range is empty, something in
 * it is not aligned, or tracking is off; EOVERFLOW when the range wraps; EOPNOTSUPP
 * for a HWPT made without tracking; EFAULT for a bitmap that cannot be written, in
 * which all bits that have been cleared so far stand nevertheless.
 */
struct iommu_hwpt_get_dirty_bitmap {
	__u32 size;
	__u32 hwpt_id;
	__u32 flags;
	__u32 __reserved;
	__aligned_u64 iova;
	__aligned_u64 length;
	__aligned_u64 page_size;
	__aligned_u64 data;
};

/**
 * enum iommu_hwpt_invalidate_data_type - Kinds of invalidation requests
 * @IOMMU_HWPT_INVALIDATE_DATA_VTD_S1: struct iommu_hwpt_vtd_s1_invalidate
 */
enum iommu_hwpt_invalidate_data_type {
	IOMMU_HWPT_INVALIDATE_DATA_VTD_S1	= 0,
};

/**
 * enum iommu_hwpt_vtd_s1_invalidate_flags - Hints to a VT-d invalidation
 * @IOMMU_VTD_INV_FLAGS_LEAF: nothing above the last level has changed
 */
enum iommu_hwpt_vtd_s1_invalidate_flags {
	IOMMU_VTD_INV_FLAGS_LEAF	= 0x1,
};

/**
 * struct iommu_hwpt_vtd_s1_invalidate - Invalidate part of a VT-d first stage
 * @addr: lowest address, a multiple of 4096
 * @npages: pages of 4096 bytes; U64_MAX with @addr 0 means all there is
 * @flags: of enum iommu_hwpt_vtd_s1_invalidate_flags
 * @__reserved: zero
 */
struct iommu_hwpt_vtd_s1_invalidate {
	__aligned_u64 addr;
	__aligned_u64 npages;
	__u32 flags;
	__u32 __reserved;
};

/**
 * struct iommu_hwpt_invalidate - IOMMU_HWPT_INVALIDATE: a nested table changed
 * @size: length of this structure in bytes
 * @hwpt_id: a nested HWPT
 * @data_uptr: address of an array of requests
 * @data_type: of enum iommu_hwpt_invalidate_data_type
 * @entry_len: bytes from one request to the next
 * @entry_num: in: number of requests; out: how many were carried out
 * @__reserved: zero
 *
 * @entry_num is written back in every case, so after an error it names the
 * request that failed. No requests at all is a way to ask for a type.
 *
 * ENOENT unless the HWPT is a nested one; EINVAL for a type that the driver does not
 * have, lengths and numbers without sense, and requests for what there is not;
 * EOPNOTSUPP for flags in a request that mean nothing, and from a driver that cannot
 * invalidate at all; EFAULT for a bad address.
 */
struct iommu_hwpt_invalidate {
	__u32 size;
	__u32 hwpt_id;
	__aligned_u64 data_uptr;
	__u32 data_type;
	__u32 entry_len;
	__u32 entry_num;
	__u32 __reserved;
};

/**
 * enum iommu_hwpt_pgfault_flags - What is known of a page fault
 * @IOMMU_PGFAULT_FLAGS_PASID_VALID: it came with a PASID
 * @IOMMU_PGFAULT_FLAGS_LAST_PAGE: no further page of its group follows
 */
enum iommu_hwpt_pgfault_flags {
	IOMMU_PGFAULT_FLAGS_PASID_VALID	= 0x1,
	IOMMU_PGFAULT_FLAGS_LAST_PAGE	= 0x2,
};

/**
 * enum iommu_hwpt_pgfault_perm - What the device wanted to do
 * @IOMMU_PGFAULT_PERM_READ: read
 * @IOMMU_PGFAULT_PERM_WRITE: write
 * @IOMMU_PGFAULT_PERM_EXEC: execute
 * @IOMMU_PGFAULT_PERM_PRIV: any of these in privileged mode
 */
enum iommu_hwpt_pgfault_perm {
	IOMMU_PGFAULT_PERM_READ		= 0x1,
	IOMMU_PGFAULT_PERM_WRITE	= 0x2,
	IOMMU_PGFAULT_PERM_EXEC		= 0x4,
	IOMMU_PGFAULT_PERM_PRIV		= 0x8,
};

/**
 * struct iommu_hwpt_pgfault - A page fault as read from a fault queue
 * @flags: of enum iommu_hwpt_pgfault_flags
 * @dev_id: the device
 * @pasid: its PASID, if PASID_VALID
 * @grpid: number the device gave to the group of faults
 * @perm: of enum iommu_hwpt_pgfault_perm
 * @__reserved: zero
 * @addr: address that has no translation
 * @length: zero; room for a hint on how much will be touched
 * @cookie: what the response has to carry; the same for a whole group
 *
 * A read fails with ESPIPE when it is not one of whole records from position 0, with
 * EINVAL when it has no room for the first group, and with EFAULT for a bad address.
 */
struct iommu_hwpt_pgfault {
	__u32 flags;
	__u32 dev_id;
	__u32 pasid;
	__u32 grpid;
	__u32 perm;
	__u32 __reserved;
	__aligned_u64 addr;
	__u32 length;
	__u32 cookie;
};

/**
 * enum iommufd_page_response_code - Outcome of a group of page faults
 * @IOMMUFD_PAGE_RESP_SUCCESS: there is a translation now, the device retries
 * @IOMMUFD_PAGE_RESP_INVALID: there is none, the device gives up
 */
enum iommufd_page_response_code {
	IOMMUFD_PAGE_RESP_SUCCESS	= 0,
	IOMMUFD_PAGE_RESP_INVALID	= 1,
};

/**
 * struct iommu_hwpt_page_response - The answer, as written to a fault queue
 * @cookie: from the faults that are answered
 * @code: of enum iommufd_page_response_code
 *
 * A write fails with ESPIPE when it is not one of whole records, with EINVAL for a
 * code that does not exist or a cookie that nobody waits for, and with EFAULT.
 */
struct iommu_hwpt_page_response {
	__u32 cookie;
	__u32 code;
};

/**
 * struct iommu_fault_alloc - IOMMU_FAULT_QUEUE_ALLOC: make a fault queue
 * @size: length of this structure in bytes
 * @flags: zero
 * @out_fault_id: ID of the new object, for IOMMU_HWPT_ALLOC
 * @out_fault_fd: file to read struct iommu_hwpt_pgfault from and to write
 *	struct iommu_hwpt_page_response to
 *
 * A read returns whole groups of faults. Destroying the object takes that the
 * file is closed and no HWPT uses the queue.
 */
struct iommu_fault_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_fault_id;
	__u32 out_fault_fd;
};

#endif
