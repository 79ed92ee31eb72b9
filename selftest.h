/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mock IOMMU: what its files share.
 *
 *	selftest.c		IOMMU_TEST_CMD, the fault-injection point, objects
 *	selftest_mock.c		the bus, its devices, and the driver's front
 *	selftest_domain.c	the driver's page tables, and its personalities
 *	selftest_nested.c	domains without a page table of their own
 *	selftest_fault.c	page requests of the devices
 *	selftest_dirty.c	the driver's device table and dirty bits, and a device
 *				that writes
 *	selftest_access.c	an in-kernel user, driven through a file
 *	selftest_switch.c	what a test can set, below /sys/kernel/debug/iommufd_mock
 */
#ifndef __IOMMUFD_SELFTEST_H
#define __IOMMUFD_SELFTEST_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct dentry;
struct io_pagetable;
struct iommufd_ucmd;
struct mock_dev;

/**
 * struct mock_faults - the page requests of a device
 * @rwsem: held for reading while one is reported, hence for writing to have none
 *	under way; guards the next two
 * @is_on: it sends them
 * @is_attached: it is attached to something that is not blocked
 * @unanswered: numbers of those without an answer
 */
struct mock_faults {
	struct rw_semaphore rwsem;
	bool is_on;
	bool is_attached;
	struct xarray unanswered;
};

/* selftest_fault.c */
void mock_faults_init(struct mock_faults *faults);
void mock_faults_release(struct mock_faults *faults);
void mock_faults_attached(struct mock_faults *faults, bool is_blocked);
int mock_dev_enable_feat(struct device *dev, enum iommu_dev_features feature);
int mock_dev_disable_feat(struct device *dev, enum iommu_dev_features feature);
void mock_page_response(struct device *dev, struct iopf_fault *iopf,
			struct iommu_page_response *response);
int iommufd_test_trigger_iopf(struct iommufd_ucmd *ucmd);
void mock_faults_add_switches(struct dentry *dir);
int mock_iopf_init(void);
void mock_iopf_exit(void);

/* selftest_mock.c */
struct mock_dev *mock_dev_create(u32 dev_flags);
void mock_dev_destroy(struct mock_dev *mdev);
struct device *mock_dev_device(struct mock_dev *mdev);
struct mock_faults *mock_dev_faults(struct device *dev);
int mock_dev_attach(struct iommu_domain *domain, struct device *dev);
int mock_iommu_init(void);
void mock_iommu_exit(void);

/**
 * enum mock_kind - which IOMMU driver a domain behaves like
 * @MOCK_EXACT: like none in particular: what the ABI says of the mock
 * @MOCK_VTD: Intel
 * @MOCK_AMD: AMD, version 1 tables
 * @MOCK_ARM: the LPAE tables of Arm's SMMUs
 * @MOCK_VIRTIO: virtio-iommu
 * @MOCK_COARSE: Arm with a page size that is larger than the CPU's
 * @MOCK_NR_KINDS: so many
 */
enum mock_kind {
	MOCK_EXACT,
	MOCK_VTD,
	MOCK_AMD,
	MOCK_ARM,
	MOCK_VIRTIO,
	MOCK_COARSE,
	MOCK_NR_KINDS,
};

extern const char *const mock_kind_names[MOCK_NR_KINDS];

/**
 * enum mock_coherency - what can be done about DMA that does not snoop caches
 * @MOCK_COHERENT: there is none
 * @MOCK_NOT_COHERENT: nothing
 * @MOCK_ENFORCEABLE: a domain can be told not to allow it, while it is empty
 * @MOCK_ENFORCING_FAILS: as before, so it says
 */
enum mock_coherency {
	MOCK_COHERENT,
	MOCK_NOT_COHERENT,
	MOCK_ENFORCEABLE,
	MOCK_ENFORCING_FAILS,
};

/**
 * struct mock_request - what kind of paging domain is wanted
 * @kind: how it behaves
 * @coherency: of the device it is made for
 * @has_huge: MOCK_EXACT: there is a second page size
 * @has_dirty: its dirty pages can be tracked
 * @is_parent: others can be nested on it
 */
struct mock_request {
	enum mock_kind kind;
	enum mock_coherency coherency;
	bool has_huge;
	bool has_dirty;
	bool is_parent;
};

/**
 * struct mock_table_entry - how the device table says what a device goes through
 * @item: in mock_domain.devices
 * @is_valid: something translates for the device
 * @records_dirty: what it writes to becomes dirty
 */
struct mock_table_entry {
	struct list_head item;
	bool is_valid;
	bool records_dirty;
};

/* selftest_domain.c */
struct iommu_domain *mock_domain_create(const struct mock_request *request);
enum mock_kind mock_domain_kind(struct iommu_domain *domain);
bool mock_domain_is_ours(const struct iommu_domain *domain);
void mock_domain_count_nested(struct iommu_domain *domain, int change);

/* selftest_nested.c */
struct iommu_domain *mock_nested_create(struct iommu_domain *parent,
					const struct iommu_user_data *user_data);
bool mock_nested_is_ours(const struct iommu_domain *domain);
struct iommu_domain *mock_nested_parent(struct iommu_domain *domain);
void mock_nested_count_device(struct iommu_domain *domain, int change);
bool mock_nested_holds(struct iommu_domain *domain, u32 entry, u32 value);

/**
 * struct mock_windows - what a domain translates
 * @first_iova: the first byte
 * @last_iova: the last one
 * @gap_iova: where a gap between two windows starts
 * @gap_bytes: how long it is, 0 if there is one window only
 */
struct mock_windows {
	unsigned long first_iova;
	unsigned long last_iova;
	unsigned long gap_iova;
	unsigned long gap_bytes;
};

/**
 * struct iommufd_test_place - a place in an IOVA map, as a fuzzer names it
 * @nth_area: the number of an area, from 0
 * @offset: bytes from its start
 *
 * It stands in the u64 of an IOVA, with MOCK_FLAGS_ACCESS_SYZ.
 */
struct iommufd_test_place {
	u32 nth_area;
	u32 offset;
};

/* selftest.c */
u64 iommufd_test_place_iova(struct io_pagetable *iopt,
			    struct iommufd_test_place place);

/* selftest_dirty.c */
void mock_domain_enter(struct iommu_domain *domain,
		       struct mock_table_entry *entry);
void mock_domain_leave(struct iommu_domain *domain,
		       struct mock_table_entry *entry);
int iommufd_test_dirty(struct iommufd_ucmd *ucmd);

/* selftest_access.c */
int iommufd_test_create_access(struct iommufd_ucmd *ucmd);
int iommufd_test_access_unpin(struct iommufd_ucmd *ucmd);
int iommufd_test_access_pages(struct iommufd_ucmd *ucmd);
int iommufd_test_access_rw(struct iommufd_ucmd *ucmd);
int iommufd_test_access_replace(struct iommufd_ucmd *ucmd);

/* selftest_switch.c */
enum mock_kind mock_switch_kind(void);
enum mock_coherency mock_switch_coherency(void);
bool mock_switch_shares_group(void);
bool mock_switch_stays_detached(void);
bool mock_switch_fails_entry(void);
void mock_switch_note_leaf(size_t bytes);
bool mock_switch_is_stuck(unsigned long iova);
bool mock_switch_is_plain(void);
bool mock_switch_lacks_invalidate(void);
struct mock_windows mock_switch_windows(void);
unsigned long mock_switch_reserved(unsigned long *first_iova,
				   enum iommu_resv_type *type);
void mock_switch_delay_pin(unsigned long first_address,
			   unsigned long last_address);
bool mock_switch_keeps_pins(void);
u32 mock_switch_unpin_pages(void);
bool mock_switch_copies_in_worker(void);
void mock_switch_delay_report(unsigned long addr);
void mock_switch_delay_map(unsigned long first_iova, unsigned long last_iova);
void mock_switch_delay_attach(void);
void mock_switch_delay_detach(void);
void mock_switch_delay_tracking(void);
void mock_switch_init(void);
void mock_switch_exit(void);

#endif
