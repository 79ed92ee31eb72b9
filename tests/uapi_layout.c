// SPDX-License-Identifier: GPL-2.0-only
/*
 * The binary interface, word for word: compiles exactly if every command word,
 * size, offset and constant of the uAPI header is what programs in circulation
 * were built with.
 *
 * cc -std=gnu11 -Wall -Werror -Iinclude/uapi -fsyntax-only THIS_FILE
 *
 * Only that first -I may provide linux/iommufd.h. A 32-bit program must find the
 * same layout, so it has to compile with -m32 too.
 */
#include <stddef.h>
#include <linux/iommufd.h>

#define SAME(condition) _Static_assert(condition, #condition)

#define COMMAND(name, number)						\
	SAME(IOMMU_##name == 0x3b00 + (number));			\
	SAME(IOMMU_##name - IOMMUFD_CMD_##name == 0x3b00)

#define SIZE(type, bytes) SAME(sizeof(struct type) == (bytes))

/* A member's offset and width: a wrong type shows even if nothing moved. */
#define AT(type, member, offset, bytes)					\
	SAME(offsetof(struct type, member) == (offset) &&		\
	     sizeof(((struct type *)0)->member) == (bytes))

#define VALUE(name, number) SAME((name) == (number))

VALUE(IOMMUFD_TYPE, ';');
VALUE(IOMMUFD_CMD_BASE, 0x80);

COMMAND(DESTROY, 0x80);
COMMAND(IOAS_ALLOC, 0x81);
COMMAND(IOAS_ALLOW_IOVAS, 0x82);
COMMAND(IOAS_COPY, 0x83);
COMMAND(IOAS_IOVA_RANGES, 0x84);
COMMAND(IOAS_MAP, 0x85);
COMMAND(IOAS_UNMAP, 0x86);
COMMAND(OPTION, 0x87);
COMMAND(VFIO_IOAS, 0x88);
COMMAND(HWPT_ALLOC, 0x89);
COMMAND(GET_HW_INFO, 0x8a);
COMMAND(HWPT_SET_DIRTY_TRACKING, 0x8b);
COMMAND(HWPT_GET_DIRTY_BITMAP, 0x8c);
COMMAND(HWPT_INVALIDATE, 0x8d);
COMMAND(FAULT_QUEUE_ALLOC, 0x8e);

SIZE(iommu_destroy, 8);
AT(iommu_destroy, size, 0, 4);
AT(iommu_destroy, id, 4, 4);

SIZE(iommu_ioas_alloc, 12);
AT(iommu_ioas_alloc, size, 0, 4);
AT(iommu_ioas_alloc, flags, 4, 4);
AT(iommu_ioas_alloc, out_ioas_id, 8, 4);

SIZE(iommu_iova_range, 16);
AT(iommu_iova_range, start, 0, 8);
AT(iommu_iova_range, last, 8, 8);

SIZE(iommu_ioas_allow_iovas, 24);
AT(iommu_ioas_allow_iovas, size, 0, 4);
AT(iommu_ioas_allow_iovas, ioas_id, 4, 4);
AT(iommu_ioas_allow_iovas, num_iovas, 8, 4);
AT(iommu_ioas_allow_iovas, __reserved, 12, 4);
AT(iommu_ioas_allow_iovas, allowed_iovas, 16, 8);

SIZE(iommu_ioas_copy, 40);
AT(iommu_ioas_copy, size, 0, 4);
AT(iommu_ioas_copy, flags, 4, 4);
AT(iommu_ioas_copy, dst_ioas_id, 8, 4);
AT(iommu_ioas_copy, src_ioas_id, 12, 4);
AT(iommu_ioas_copy, length, 16, 8);
AT(iommu_ioas_copy, dst_iova, 24, 8);
AT(iommu_ioas_copy, src_iova, 32, 8);

SIZE(iommu_ioas_iova_ranges, 32);
AT(iommu_ioas_iova_ranges, size, 0, 4);
AT(iommu_ioas_iova_ranges, ioas_id, 4, 4);
AT(iommu_ioas_iova_ranges, num_iovas, 8, 4);
AT(iommu_ioas_iova_ranges, __reserved, 12, 4);
AT(iommu_ioas_iova_ranges, allowed_iovas, 16, 8);
AT(iommu_ioas_iova_ranges, out_iova_alignment, 24, 8);

SIZE(iommu_ioas_map, 40);
AT(iommu_ioas_map, size, 0, 4);
AT(iommu_ioas_map, flags, 4, 4);
AT(iommu_ioas_map, ioas_id, 8, 4);
AT(iommu_ioas_map, __reserved, 12, 4);
AT(iommu_ioas_map, user_va, 16, 8);
AT(iommu_ioas_map, length, 24, 8);
AT(iommu_ioas_map, iova, 32, 8);
VALUE(IOMMU_IOAS_MAP_FIXED_IOVA, 1);
VALUE(IOMMU_IOAS_MAP_WRITEABLE, 2);
VALUE(IOMMU_IOAS_MAP_READABLE, 4);

SIZE(iommu_ioas_unmap, 24);
AT(iommu_ioas_unmap, size, 0, 4);
AT(iommu_ioas_unmap, ioas_id, 4, 4);
AT(iommu_ioas_unmap, iova, 8, 8);
AT(iommu_ioas_unmap, length, 16, 8);

SIZE(iommu_option, 24);
AT(iommu_option, size, 0, 4);
AT(iommu_option, option_id, 4, 4);
AT(iommu_option, op, 8, 2);
AT(iommu_option, __reserved, 10, 2);
AT(iommu_option, object_id, 12, 4);
AT(iommu_option, val64, 16, 8);
VALUE(IOMMU_OPTION_OP_SET, 0);
VALUE(IOMMU_OPTION_OP_GET, 1);
VALUE(IOMMU_OPTION_RLIMIT_MODE, 0);
VALUE(IOMMU_OPTION_HUGE_PAGES, 1);

SIZE(iommu_vfio_ioas, 12);
AT(iommu_vfio_ioas, size, 0, 4);
AT(iommu_vfio_ioas, ioas_id, 4, 4);
AT(iommu_vfio_ioas, op, 8, 2);
AT(iommu_vfio_ioas, __reserved, 10, 2);
VALUE(IOMMU_VFIO_IOAS_GET, 0);
VALUE(IOMMU_VFIO_IOAS_SET, 1);
VALUE(IOMMU_VFIO_IOAS_CLEAR, 2);

SIZE(iommu_hwpt_alloc, 48);
AT(iommu_hwpt_alloc, size, 0, 4);
AT(iommu_hwpt_alloc, flags, 4, 4);
AT(iommu_hwpt_alloc, dev_id, 8, 4);
AT(iommu_hwpt_alloc, pt_id, 12, 4);
AT(iommu_hwpt_alloc, out_hwpt_id, 16, 4);
AT(iommu_hwpt_alloc, __reserved, 20, 4);
AT(iommu_hwpt_alloc, data_type, 24, 4);
AT(iommu_hwpt_alloc, data_len, 28, 4);
AT(iommu_hwpt_alloc, data_uptr, 32, 8);
AT(iommu_hwpt_alloc, fault_id, 40, 4);
AT(iommu_hwpt_alloc, __reserved2, 44, 4);
VALUE(IOMMU_HWPT_ALLOC_NEST_PARENT, 1);
VALUE(IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 2);
VALUE(IOMMU_HWPT_FAULT_ID_VALID, 4);
VALUE(IOMMU_HWPT_DATA_NONE, 0);
VALUE(IOMMU_HWPT_DATA_VTD_S1, 1);

SIZE(iommu_hwpt_vtd_s1, 24);
AT(iommu_hwpt_vtd_s1, flags, 0, 8);
AT(iommu_hwpt_vtd_s1, pgtbl_addr, 8, 8);
AT(iommu_hwpt_vtd_s1, addr_width, 16, 4);
AT(iommu_hwpt_vtd_s1, __reserved, 20, 4);
VALUE(IOMMU_VTD_S1_SRE, 1);
VALUE(IOMMU_VTD_S1_EAFE, 2);
VALUE(IOMMU_VTD_S1_WPE, 4);

SIZE(iommu_hw_info, 40);
AT(iommu_hw_info, size, 0, 4);
AT(iommu_hw_info, flags, 4, 4);
AT(iommu_hw_info, dev_id, 8, 4);
AT(iommu_hw_info, data_len, 12, 4);
AT(iommu_hw_info, data_uptr, 16, 8);
AT(iommu_hw_info, in_data_type, 24, 4);
AT(iommu_hw_info, out_data_type, 24, 4);
AT(iommu_hw_info, out_max_pasid_log2, 28, 1);
AT(iommu_hw_info, __reserved, 29, 3);
AT(iommu_hw_info, out_capabilities, 32, 8);
VALUE(IOMMU_HW_INFO_FLAG_INPUT_TYPE, 1);
VALUE(IOMMU_HW_INFO_TYPE_NONE, 0);
VALUE(IOMMU_HW_INFO_TYPE_DEFAULT, 0);
VALUE(IOMMU_HW_INFO_TYPE_INTEL_VTD, 1);
VALUE(IOMMU_HW_CAP_DIRTY_TRACKING, 1);
VALUE(IOMMU_HW_CAP_PCI_PASID_EXEC, 2);
VALUE(IOMMU_HW_CAP_PCI_PASID_PRIV, 4);

SIZE(iommu_hw_info_vtd, 24);
AT(iommu_hw_info_vtd, flags, 0, 4);
AT(iommu_hw_info_vtd, __reserved, 4, 4);
AT(iommu_hw_info_vtd, cap_reg, 8, 8);
AT(iommu_hw_info_vtd, ecap_reg, 16, 8);
VALUE(IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17, 1);

SIZE(iommu_hwpt_set_dirty_tracking, 16);
AT(iommu_hwpt_set_dirty_tracking, size, 0, 4);
AT(iommu_hwpt_set_dirty_tracking, flags, 4, 4);
AT(iommu_hwpt_set_dirty_tracking, hwpt_id, 8, 4);
AT(iommu_hwpt_set_dirty_tracking, __reserved, 12, 4);
VALUE(IOMMU_HWPT_DIRTY_TRACKING_ENABLE, 1);

SIZE(iommu_hwpt_get_dirty_bitmap, 48);
AT(iommu_hwpt_get_dirty_bitmap, size, 0, 4);
AT(iommu_hwpt_get_dirty_bitmap, hwpt_id, 4, 4);
AT(iommu_hwpt_get_dirty_bitmap, flags, 8, 4);
AT(iommu_hwpt_get_dirty_bitmap, __reserved, 12, 4);
AT(iommu_hwpt_get_dirty_bitmap, iova, 16, 8);
AT(iommu_hwpt_get_dirty_bitmap, length, 24, 8);
AT(iommu_hwpt_get_dirty_bitmap, page_size, 32, 8);
AT(iommu_hwpt_get_dirty_bitmap, data, 40, 8);
VALUE(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 1);

SIZE(iommu_hwpt_invalidate, 32);
AT(iommu_hwpt_invalidate, size, 0, 4);
AT(iommu_hwpt_invalidate, hwpt_id, 4, 4);
AT(iommu_hwpt_invalidate, data_uptr, 8, 8);
AT(iommu_hwpt_invalidate, data_type, 16, 4);
AT(iommu_hwpt_invalidate, entry_len, 20, 4);
AT(iommu_hwpt_invalidate, entry_num, 24, 4);
AT(iommu_hwpt_invalidate, __reserved, 28, 4);
VALUE(IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, 0);

SIZE(iommu_hwpt_vtd_s1_invalidate, 24);
AT(iommu_hwpt_vtd_s1_invalidate, addr, 0, 8);
AT(iommu_hwpt_vtd_s1_invalidate, npages, 8, 8);
AT(iommu_hwpt_vtd_s1_invalidate, flags, 16, 4);
AT(iommu_hwpt_vtd_s1_invalidate, __reserved, 20, 4);
VALUE(IOMMU_VTD_INV_FLAGS_LEAF, 1);

SIZE(iommu_fault_alloc, 16);
AT(iommu_fault_alloc, size, 0, 4);
AT(iommu_fault_alloc, flags, 4, 4);
AT(iommu_fault_alloc, out_fault_id, 8, 4);
AT(iommu_fault_alloc, out_fault_fd, 12, 4);

SIZE(iommu_hwpt_pgfault, 40);
AT(iommu_hwpt_pgfault, flags, 0, 4);
AT(iommu_hwpt_pgfault, dev_id, 4, 4);
AT(iommu_hwpt_pgfault, pasid, 8, 4);
AT(iommu_hwpt_pgfault, grpid, 12, 4);
AT(iommu_hwpt_pgfault, perm, 16, 4);
AT(iommu_hwpt_pgfault, __reserved, 20, 4);
AT(iommu_hwpt_pgfault, addr, 24, 8);
AT(iommu_hwpt_pgfault, length, 32, 4);
AT(iommu_hwpt_pgfault, cookie, 36, 4);
VALUE(IOMMU_PGFAULT_FLAGS_PASID_VALID, 1);
VALUE(IOMMU_PGFAULT_FLAGS_LAST_PAGE, 2);
VALUE(IOMMU_PGFAULT_PERM_READ, 1);
VALUE(IOMMU_PGFAULT_PERM_WRITE, 2);
VALUE(IOMMU_PGFAULT_PERM_EXEC, 4);
VALUE(IOMMU_PGFAULT_PERM_PRIV, 8);

SIZE(iommu_hwpt_page_response, 8);
AT(iommu_hwpt_page_response, cookie, 0, 4);
AT(iommu_hwpt_page_response, code, 4, 4);
VALUE(IOMMUFD_PAGE_RESP_SUCCESS, 0);
VALUE(IOMMUFD_PAGE_RESP_INVALID, 1);

int main(void)
{
	return 0;
}
