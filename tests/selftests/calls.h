/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of /dev/iommu as functions. Each returns 0 or a negative errno, so
 * that a test can compare the outcome with what it wants in one expression.
 */
#ifndef IOMMU_SELFTEST_CALLS_H
#define IOMMU_SELFTEST_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>

/* No test makes so many objects that this is one of them. */
#define NO_SUCH_ID	0x7ffffff0u

#define RW	(IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define FIXED	IOMMU_IOAS_MAP_FIXED_IOVA

/* A large page of x86-64 and, with 4 KiB pages, of arm64. */
#define HUGE_BYTES	(2UL << 20)

static inline int command(int fd, unsigned long word, void *arg)
{
	return ioctl(fd, word, arg) ? -errno : 0;
}

static inline int open_iommu(void)
{
	return open("/dev/iommu", O_RDWR | O_CLOEXEC);
}

static inline uintptr_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline int destroy(int fd, __u32 id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return command(fd, IOMMU_DESTROY, &arg);
}

static inline int ioas_alloc(int fd, __u32 *id)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	int rc = command(fd, IOMMU_IOAS_ALLOC, &arg);

	*id = arg.out_ioas_id;
	return rc;
}

/* Map with a fixed IOVA. */
static inline int map_flags_at(int fd, __u32 ioas, __u32 flags, __u64 va,
			       __u64 length, __u64 iova)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = flags | FIXED,
		.ioas_id = ioas,
		.user_va = va,
		.length = length,
		.iova = iova,
	};

	return command(fd, IOMMU_IOAS_MAP, &arg);
}

/* The same for reading and writing. */
static inline int map_at(int fd, __u32 ioas, __u64 va, __u64 length, __u64 iova)
{
	return map_flags_at(fd, ioas, RW, va, length, iova);
}

/* Map where the kernel likes, for reading and writing. */
static inline int map_any(int fd, __u32 ioas, __u64 va, __u64 length, __u64 *iova)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW,
		.ioas_id = ioas,
		.user_va = va,
		.length = length,
	};
	int rc = command(fd, IOMMU_IOAS_MAP, &arg);

	*iova = arg.iova;
	return rc;
}

/* @bytes, where given, is what the kernel says it has unmapped. */
static inline int unmap(int fd, __u32 ioas, __u64 iova, __u64 length, __u64 *bytes)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.iova = iova,
		.length = length,
	};
	int rc = command(fd, IOMMU_IOAS_UNMAP, &arg);

	if (bytes)
		*bytes = arg.length;
	return rc;
}

static inline int unmap_all(int fd, __u32 ioas, __u64 *bytes)
{
	return unmap(fd, ioas, 0, UINT64_MAX, bytes);
}

/* @num: in: room in @ranges; out: as the kernel says. */
static inline int iova_ranges(int fd, __u32 ioas, struct iommu_iova_range *ranges,
			      __u32 *num, __u64 *alignment)
{
	struct iommu_ioas_iova_ranges arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.num_iovas = *num,
		.allowed_iovas = (uintptr_t)ranges,
	};
	int rc = command(fd, IOMMU_IOAS_IOVA_RANGES, &arg);

	*num = arg.num_iovas;
	*alignment = arg.out_iova_alignment;
	return rc;
}

static inline int allow_iovas(int fd, __u32 ioas,
			      const struct iommu_iova_range *ranges, __u32 num)
{
	struct iommu_ioas_allow_iovas arg = {
		.size = sizeof(arg),
		.ioas_id = ioas,
		.num_iovas = num,
		.allowed_iovas = (uintptr_t)ranges,
	};

	return command(fd, IOMMU_IOAS_ALLOW_IOVAS, &arg);
}

static inline int option_set(int fd, __u32 option, __u32 object, __u64 value)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = option,
		.op = IOMMU_OPTION_OP_SET,
		.object_id = object,
		.val64 = value,
	};

	return command(fd, IOMMU_OPTION, &arg);
}

static inline int option_get(int fd, __u32 option, __u32 object, __u64 *value)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = option,
		.op = IOMMU_OPTION_OP_GET,
		.object_id = object,
		.val64 = *value,
	};
	int rc = command(fd, IOMMU_OPTION, &arg);

	*value = arg.val64;
	return rc;
}

/* With data for the driver; @fault_id needs its flag. */
static inline int hwpt_alloc_data(int fd, struct iommu_hwpt_alloc *arg, __u32 *hwpt)
{
	int rc;

	arg->size = sizeof(*arg);
	rc = command(fd, IOMMU_HWPT_ALLOC, arg);
	*hwpt = arg->out_hwpt_id;
	return rc;
}

static inline int hwpt_alloc(int fd, __u32 flags, __u32 dev, __u32 pt, __u32 *hwpt)
{
	struct iommu_hwpt_alloc arg = {
		.flags = flags,
		.dev_id = dev,
		.pt_id = pt,
	};

	return hwpt_alloc_data(fd, &arg, hwpt);
}

/* What the caller fills in of @arg besides the device is up to it. */
static inline int get_hw_info(int fd, __u32 dev, struct iommu_hw_info *arg)
{
	arg->size = sizeof(*arg);
	arg->dev_id = dev;
	return command(fd, IOMMU_GET_HW_INFO, arg);
}

/* @num: in: requests in @requests; out: as the kernel says. */
static inline int hwpt_invalidate(int fd, struct iommu_hwpt_invalidate *arg,
				  const void *requests, __u32 *num)
{
	int rc;

	arg->size = sizeof(*arg);
	arg->data_uptr = (uintptr_t)requests;
	arg->entry_num = *num;
	rc = command(fd, IOMMU_HWPT_INVALIDATE, arg);
	*num = arg->entry_num;
	return rc;
}

/* @file, where there is one, is the file of the queue. */
static inline int fault_alloc(int fd, __u32 *fault, int *file)
{
	struct iommu_fault_alloc arg = { .size = sizeof(arg) };
	int rc = command(fd, IOMMU_FAULT_QUEUE_ALLOC, &arg);

	*fault = arg.out_fault_id;
	*file = rc ? -1 : (int)arg.out_fault_fd;
	return rc;
}

/* Answer a group of page faults. */
static inline int answer(int file, __u32 cookie, __u32 code)
{
	struct iommu_hwpt_page_response response = {
		.cookie = cookie,
		.code = code,
	};
	ssize_t written = write(file, &response, sizeof(response));

	if (written < 0)
		return -errno;
	return written == sizeof(response) ? 0 : -EIO;
}

static inline int set_dirty(int fd, __u32 hwpt, __u32 flags)
{
	struct iommu_hwpt_set_dirty_tracking arg = {
		.size = sizeof(arg),
		.flags = flags,
		.hwpt_id = hwpt,
	};

	return command(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &arg);
}

/* A range of IOVA that has a bit for each page. */
struct dirty_range {
	__u64 iova;
	__u64 length;
	__u64 page_size;
};

static inline int get_dirty(int fd, __u32 hwpt, __u32 flags,
			    const struct dirty_range *range, void *bits)
{
	struct iommu_hwpt_get_dirty_bitmap arg = {
		.size = sizeof(arg),
		.hwpt_id = hwpt,
		.flags = flags,
		.iova = range->iova,
		.length = range->length,
		.page_size = range->page_size,
		.data = (uintptr_t)bits,
	};

	return command(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);
}

static inline int vfio_ioas(int fd, __u16 op, __u32 *id)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg), .op = op, .ioas_id = *id };
	int rc = command(fd, IOMMU_VFIO_IOAS, &arg);

	*id = arg.ioas_id;
	return rc;
}

/* Memory that nothing else of the process touches, aligned to HUGE_BYTES. */
static inline void *anonymous(size_t bytes)
{
	size_t slack = bytes + HUGE_BYTES;
	char *area = mmap(NULL, slack, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start;

	if (area == MAP_FAILED)
		return NULL;
	start = (char *)(((uintptr_t)area + HUGE_BYTES - 1) & -HUGE_BYTES);
	if (start > area)
		munmap(area, start - area);
	munmap(start + bytes, area + slack - (start + bytes));
	return start;
}

#endif
