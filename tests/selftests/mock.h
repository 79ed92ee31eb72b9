/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands of the mock IOMMU as functions, as in calls.h, and its switches.
 */
#ifndef IOMMU_SELFTEST_MOCK_H
#define IOMMU_SELFTEST_MOCK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "../../../../drivers/iommu/iommufd/iommufd_test.h"

#define APERTURE	((__u64)MOCK_APERTURE_START)

/* The I/O page of the exact mock. */
#define IO_PAGE		(page_bytes() / 2)

/* The smallest limit of temporary memory, and what it is otherwise. */
#define LEAST_LIMIT	12
#define USUAL_LIMIT	65536

/* A mock device: its objects. */
struct mock {
	__u32 stdev;
	__u32 hwpt;
	__u32 idev;
};

static inline int test_command(int fd, struct iommu_test_cmd *cmd, __u32 op)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	return command(fd, IOMMU_TEST_CMD, cmd);
}

static inline int mock_device(int fd, __u32 pt, struct mock *mock)
{
	struct iommu_test_cmd cmd = { .id = pt };
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_MOCK_DOMAIN);

	if (!rc) {
		mock->stdev = cmd.mock_domain.out_stdev_id;
		mock->hwpt = cmd.mock_domain.out_hwpt_id;
		mock->idev = cmd.mock_domain.out_idev_id;
	}
	return rc;
}

static inline int mock_device_flags(int fd, __u32 pt, __u32 dev_flags,
				    struct mock *mock)
{
	struct iommu_test_cmd cmd = {
		.id = pt,
		.mock_domain_flags.dev_flags = dev_flags,
	};
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS);

	if (!rc) {
		mock->stdev = cmd.mock_domain_flags.out_stdev_id;
		mock->hwpt = cmd.mock_domain_flags.out_hwpt_id;
		mock->idev = cmd.mock_domain_flags.out_idev_id;
	}
	return rc;
}

static inline int mock_replace(int fd, struct mock *mock, __u32 pt)
{
	struct iommu_test_cmd cmd = {
		.id = mock->stdev,
		.mock_domain_replace.pt_id = pt,
	};
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE);

	if (!rc)
		mock->hwpt = cmd.mock_domain_replace.pt_id;
	return rc;
}

/* Does the domain show the memory? */
static inline int check_map(int fd, __u32 hwpt, __u64 va, __u64 length, __u64 iova)
{
	struct iommu_test_cmd cmd = {
		.id = hwpt,
		.check_map = { .iova = iova, .length = length, .uptr = va },
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_MD_CHECK_MAP);
}

/* Is nothing of a range mapped? */
static inline bool is_empty(int fd, __u32 hwpt, __u64 va, __u64 length, __u64 iova)
{
	__u64 done;

	for (done = 0; done < length; done += page_bytes()) {
		if (check_map(fd, hwpt, va + done, page_bytes(),
			      iova + done) != -EINVAL)
			return false;
	}
	return true;
}

/* Does an IOAS offer a range as a whole? */
static inline bool is_usable(int fd, __u32 ioas, __u64 first, __u64 last)
{
	struct iommu_iova_range ranges[16];
	__u64 alignment;
	__u32 num = 16, i;

	if (iova_ranges(fd, ioas, ranges, &num, &alignment))
		return false;
	for (i = 0; i < num; i++) {
		if (ranges[i].start <= first && last <= ranges[i].last)
			return true;
	}
	return false;
}

/* Is each page pinned so many times? */
static inline int check_refs(int fd, __u64 va, __u64 length, __u32 refs)
{
	struct iommu_test_cmd cmd = {
		.check_refs = { .length = length, .uptr = va, .refs = refs },
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_MD_CHECK_REFS);
}

/* A HWPT nested on @parent, with @value in all entries of its IOTLB. */
static inline int nested_alloc(int fd, __u32 dev, __u32 parent, __u32 value,
			       __u32 *hwpt)
{
	struct iommu_hwpt_selftest data = { .iotlb = value };
	struct iommu_hwpt_alloc arg = {
		.dev_id = dev,
		.pt_id = parent,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};

	return hwpt_alloc_data(fd, &arg, hwpt);
}

/* The same, with a queue for its page faults. */
static inline int fault_hwpt_alloc(int fd, __u32 dev, __u32 parent, __u32 fault,
				   __u32 *hwpt)
{
	struct iommu_hwpt_selftest data = { .iotlb = 0 };
	struct iommu_hwpt_alloc arg = {
		.flags = IOMMU_HWPT_FAULT_ID_VALID,
		.dev_id = dev,
		.pt_id = parent,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
		.fault_id = fault,
	};

	return hwpt_alloc_data(fd, &arg, hwpt);
}

/* A page request of a device. */
struct request {
	__u32 pasid;
	__u32 grpid;
	__u32 perm;
	__u64 addr;
};

static inline int trigger_iopf(int fd, __u32 dev, const struct request *request)
{
	struct iommu_test_cmd cmd = {
		.trigger_iopf = {
			.dev_id = dev,
			.pasid = request->pasid,
			.grpid = request->grpid,
			.perm = request->perm,
			.addr = request->addr,
		},
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_TRIGGER_IOPF);
}

/* Does the IOTLB of a nested HWPT hold the value? */
static inline int check_iotlb(int fd, __u32 hwpt, __u32 entry, __u32 value)
{
	struct iommu_test_cmd cmd = {
		.id = hwpt,
		.check_iotlb = { .id = entry, .iotlb = value },
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_MD_CHECK_IOTLB);
}

/* @num: in: requests in @requests; out: those that were carried out. */
static inline int mock_invalidate(int fd, __u32 hwpt,
				  const struct iommu_hwpt_invalidate_selftest *requests,
				  __u32 *num)
{
	struct iommu_hwpt_invalidate arg = {
		.hwpt_id = hwpt,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		.entry_len = sizeof(*requests),
	};

	return hwpt_invalidate(fd, &arg, requests, num);
}

static inline int add_reserved(int fd, __u32 ioas, __u64 start, __u64 length)
{
	struct iommu_test_cmd cmd = {
		.id = ioas,
		.add_reserved = { .start = start, .length = length },
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_ADD_RESERVED);
}

static inline int temp_limit(int fd, __u32 bytes)
{
	struct iommu_test_cmd cmd = { .memory_limit.limit = bytes };

	return test_command(fd, &cmd, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT);
}

/* Have a device write to the pages of a range that have a bit set in @bits. */
static inline int write_dirty(int fd, __u32 hwpt,
			      const struct dirty_range *range,
			      const void *bits, __u64 *nr_dirty)
{
	struct iommu_test_cmd cmd = {
		.id = hwpt,
		.dirty = {
			.iova = range->iova,
			.length = range->length,
			.page_size = range->page_size,
			.uptr = (uintptr_t)bits,
		},
	};
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_DIRTY);

	if (nr_dirty)
		*nr_dirty = cmd.dirty.out_nr_dirty;
	return rc;
}

/* Have a device write to one byte. */
static inline int write_at(int fd, __u32 hwpt, __u64 iova)
{
	struct dirty_range range = { iova, 1, 1 };
	__u64 nr_dirty = 0;
	__u8 bit = 1;
	int rc = write_dirty(fd, hwpt, &range, &bit, &nr_dirty);

	return rc ?: nr_dirty == 1 ? 0 : -ENXIO;
}

static inline bool is_set(const void *bits, __u64 bit)
{
	return ((const __u8 *)bits)[bit / 8] >> bit % 8 & 1;
}

static inline __u64 count_bits(const void *bits, __u64 nbits)
{
	__u64 bit, n = 0;

	for (bit = 0; bit < nbits; bit++)
		n += is_set(bits, bit);
	return n;
}

#define PINS	MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES

static inline int create_access(int fd, __u32 ioas, __u32 flags, int *access)
{
	struct iommu_test_cmd cmd = {
		.id = ioas,
		.create_access.flags = flags,
	};
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_CREATE_ACCESS);

	*access = rc ? -1 : (int)cmd.create_access.out_access_fd;
	return rc;
}

/* @item, where given, is what can be given to unpin_item(). */
static inline int pin_flags(int fd, int access, __u32 flags, __u64 iova,
			    __u64 length, __u64 va, __u32 *item)
{
	struct iommu_test_cmd cmd = {
		.id = access,
		.access_pages = {
			.flags = flags,
			.iova = iova,
			.length = length,
			.uptr = va,
		},
	};
	int rc = test_command(fd, &cmd, IOMMU_TEST_OP_ACCESS_PAGES);

	if (item)
		*item = cmd.access_pages.out_access_pages_id;
	return rc;
}

/* Pin for writing, and compare with the memory at @va unless it is 0. */
static inline int pin(int fd, int access, __u64 iova, __u64 length, __u64 va,
		      __u32 *item)
{
	return pin_flags(fd, access, MOCK_FLAGS_ACCESS_WRITE, iova, length, va,
			 item);
}

static inline int unpin_item(int fd, int access, __u32 item)
{
	struct iommu_test_cmd cmd = {
		.id = access,
		.destroy_access_pages.access_pages_id = item,
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES);
}

static inline int access_rw(int fd, int access, __u32 flags, __u64 iova,
			    void *data, __u64 length)
{
	struct iommu_test_cmd cmd = {
		.id = access,
		.access_rw = {
			.iova = iova,
			.length = length,
			.uptr = (uintptr_t)data,
			.flags = flags,
		},
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_ACCESS_RW);
}

static inline int replace_ioas(int fd, int access, __u32 ioas)
{
	struct iommu_test_cmd cmd = {
		.id = access,
		.access_replace_ioas.ioas_id = ioas,
	};

	return test_command(fd, &cmd, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS);
}

static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return -errno;
	written = write(fd, text, strlen(text));
	close(fd);
	return written == (ssize_t)strlen(text) ? 0 : -EIO;
}

static inline int write_number(const char *path, unsigned long long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", number);
	return write_text(path, text);
}

/* A number, or -1. */
static inline long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

/* Pages pinned for the long term and not released, in the whole system; -1: unknown. */
static inline long pinned_pages(void)
{
	long acquired = -1, released = 0;
	char line[128];
	FILE *file;

	/* what the processors have counted by themselves so far is added up */
	if (write_text("/proc/sys/vm/stat_refresh", "1"))
		return -1;
	file = fopen("/proc/vmstat", "re");
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "nr_foll_pin_acquired %ld", &acquired);
		sscanf(line, "nr_foll_pin_released %ld", &released);
	}
	if (file)
		fclose(file);
	return acquired - released;
}

/* A size in /proc/self/status, such as VmPin; -1: there is none. */
static inline long status_kib(const char *key)
{
	FILE *file = fopen("/proc/self/status", "re");
	const size_t length = strlen(key);
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, length) && line[length] == ':')
			kib = atol(line + length + 1);
	}
	if (file)
		fclose(file);
	return kib;
}

#define SWITCH(name)	"/sys/kernel/debug/iommufd_mock/" name

/* Devices made from now on are of this kind. */
static inline int set_driver(const char *name)
{
	return write_text(SWITCH("personality"), name);
}

/* What the switch "coherency" says of devices made from now on. */
enum {
	COHERENT,
	NOT_COHERENT,
	ENFORCEABLE,
	ENFORCING_FAILS,
};

/*
 * Gates: map calls that touch an IOVA of the range wait at MAP_GATE, whoever pins a
 * user address of it at PIN_GATE, the report of a page fault at an address of it at
 * REPORT_GATE. At ATTACH_GATE an attach waits that has found out whether to record
 * what is written to, at DETACH_GATE a detach that has just begun, at TRACK_GATE whoever
 * is about to switch that for a device: these have only the address 0.
 */
#define MAP_GATE	SWITCH("gate")
#define PIN_GATE	SWITCH("pin_gate")
#define REPORT_GATE	SWITCH("report_gate")
#define ATTACH_GATE	SWITCH("attach_gate")
#define DETACH_GATE	SWITCH("detach_gate")
#define TRACK_GATE	SWITCH("track_gate")

static inline int close_gate(const char *gate, __u64 first, __u64 last)
{
	char text[64];

	snprintf(text, sizeof(text), "%llx %llx", (unsigned long long)first,
		 (unsigned long long)last);
	return write_text(gate, text);
}

static inline int open_gate(const char *gate)
{
	return write_text(gate, "open");
}

/* Wait until somebody waits at the gate; false if nobody comes. */
static inline bool gate_is_busy(const char *gate)
{
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		if (read_number(gate) > 0)
			return true;
		usleep(10000);
	}
	return false;
}

static inline int set_reserved(__u64 first_iova, __u64 last_iova, bool is_msi)
{
	char text[64];

	snprintf(text, sizeof(text), "%llx %llx %s",
		 (unsigned long long)first_iova, (unsigned long long)last_iova,
		 is_msi ? "sw_msi" : "");
	return write_text(SWITCH("reserved"), text);
}

/* Domains made from now on have two windows, from the one address to the other. */
static inline int set_windows(__u64 low_first, __u64 low_last, __u64 high_first,
			      __u64 high_last)
{
	char text[96];

	snprintf(text, sizeof(text), "%llx %llx %llx %llx",
		 (unsigned long long)low_first, (unsigned long long)low_last,
		 (unsigned long long)high_first, (unsigned long long)high_last);
	return write_text(SWITCH("windows"), text);
}

/* Devices made from now on belong to the driver that can do nothing special. */
static inline int set_plain_driver(bool is_plain)
{
	return write_text(SWITCH("plain_driver"), is_plain ? "Y" : "N");
}

static inline void quiet_attribute(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", name);
	write_number(path, 0);
	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", name);
	write_text(path, "N");
}

/*
 * Allocations that may sleep fail as well, and those of a single page, and the log
 * says nothing of it.
 */
static inline void quiet_injection(void)
{
	quiet_attribute("failslab");
	quiet_attribute("fail_page_alloc");
	quiet_attribute("fail_iommufd");
	write_number("/sys/kernel/debug/fail_page_alloc/min-order", 0);
}

/* Have the n-th place from now on fail; n 0: none. */
static inline int fail_nth(unsigned int n)
{
	return write_number("/proc/thread-self/fail-nth", n);
}

static inline bool did_fail(void)
{
	long left = read_number("/proc/thread-self/fail-nth");

	fail_nth(0);
	return !left;
}

/* Everything as it is when the kernel starts. */
static inline int reset_switches(int fd)
{
	return set_driver("exact") ?:
	       open_gate(MAP_GATE) ?: open_gate(PIN_GATE) ?:
	       open_gate(REPORT_GATE) ?:
	       open_gate(ATTACH_GATE) ?: open_gate(DETACH_GATE) ?:
	       open_gate(TRACK_GATE) ?:
	       write_number(SWITCH("fault_pages"), 0) ?:
	       write_text(SWITCH("fault_is_late"), "N") ?:
	       write_text(SWITCH("reserved"), "none") ?:
	       write_text(SWITCH("windows"), "usual") ?:
	       write_text(SWITCH("lacks_invalidate"), "N") ?:
	       set_plain_driver(false) ?:
	       write_number(SWITCH("coherency"), COHERENT) ?:
	       write_text(SWITCH("shares_group"), "N") ?:
	       write_text(SWITCH("stays_detached"), "N") ?:
	       write_number(SWITCH("fail_map_entry"), 0) ?:
	       write_number(SWITCH("stuck_iova"), 0) ?:
	       write_number(SWITCH("map_delay_ms"), 0) ?:
	       write_text(SWITCH("access_keeps_pins"), "N") ?:
	       write_text(SWITCH("access_in_worker"), "N") ?:
	       write_number(SWITCH("access_unpin_pages"), 0) ?:
	       write_number(SWITCH("pin_delay_ms"), 0) ?:
	       temp_limit(fd, USUAL_LIMIT);
}

/* Memory of pages of the smallest size, which are written to. */
static inline void *small_pages(size_t bytes)
{
	void *start = anonymous(bytes);

	if (!start || madvise(start, bytes, MADV_NOHUGEPAGE))
		return NULL;
	memset(start, 1, bytes);
	return start;
}

/* Shared memory stays the same memory in a child, so the parent can look at it. */
static inline __u64 shared_pages(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return 0;
	memset(start, 1, bytes);
	return (uintptr_t)start;
}

/* Memory of one huge page after the other. */
static inline void *huge_pages(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	memset(start, 2, bytes);
	return start;
}

#endif
