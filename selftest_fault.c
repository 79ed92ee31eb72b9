// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page requests of mock devices.
 *
 * A device sends them while they are switched on and it is attached to something
 * that is not blocked. Each gets a number, and has to be answered exactly once: a
 * second answer is a warning, and so is a device that is switched off, or goes, with
 * a request unanswered.
 *
 * A driver must have no report under way when it returns from attach_dev() and from
 * switching page requests off. A semaphore takes care of that here: reports have it
 * for reading.
 */
#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "device.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "selftest.h"
#include "test_hooks.h"

static struct iopf_queue *mock_iopf_queue;

/* What tests count with. */
static atomic_t mock_faults_reported = ATOMIC_INIT(0);
static atomic_t mock_faults_withheld = ATOMIC_INIT(0);
static atomic_t mock_faults_answered[] = {
	[IOMMU_PAGE_RESP_SUCCESS] = ATOMIC_INIT(0),
	[IOMMU_PAGE_RESP_INVALID] = ATOMIC_INIT(0),
	[IOMMU_PAGE_RESP_FAILURE] = ATOMIC_INIT(0),
};

static u32 mock_fault_pages;
static bool mock_fault_is_late;

/**
 * mock_faults_init - a device that sends no page requests yet
 * @faults: zeroed memory
 *
 * Context: Any.
 */
void mock_faults_init(struct mock_faults *faults)
{
	init_rwsem(&faults->rwsem);
	xa_init_flags(&faults->unanswered, XA_FLAGS_ALLOC1);
}

/**
 * mock_faults_release - the device goes
 * @faults: its page requests
 *
 * Context: Process context.
 */
void mock_faults_release(struct mock_faults *faults)
{
	WARN(faults->is_on,
	     "iommufd mock: a device goes with page requests on\n");
	WARN(!xa_empty(&faults->unanswered),
	     "iommufd mock: a device goes with a page request unanswered\n");
	xa_destroy(&faults->unanswered);
}

/**
 * mock_faults_attached - another domain translates for the device
 * @faults: its page requests
 * @is_blocked: none does
 *
 * Context: Process context, may sleep.
 */
void mock_faults_attached(struct mock_faults *faults, bool is_blocked)
{
	guard(rwsem_write)(&faults->rwsem);

	faults->is_attached = !is_blocked;
}

/**
 * mock_dev_enable_feat - the driver's dev_enable_feat()
 * @dev: a mock device
 * @feature: what to switch on
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENODEV if there is no such feature; -EBUSY if it is on; -ENOMEM.
 */
int mock_dev_enable_feat(struct device *dev, enum iommu_dev_features feature)
{
	struct mock_faults *faults = mock_dev_faults(dev);
	int rc;

	if (feature != IOMMU_DEV_FEAT_IOPF || !mock_iopf_queue)
		return -ENODEV;

	guard(rwsem_write)(&faults->rwsem);
	if (faults->is_on)
		return -EBUSY;
	rc = iopf_queue_add_device(mock_iopf_queue, dev);
	faults->is_on = !rc;
	return rc;
}

/**
 * mock_dev_disable_feat - the driver's dev_disable_feat()
 * @dev: a mock device
 * @feature: what to switch off
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENODEV if there is no such feature; -EINVAL if it is off.
 */
int mock_dev_disable_feat(struct device *dev, enum iommu_dev_features feature)
{
	struct mock_faults *faults = mock_dev_faults(dev);

	if (feature != IOMMU_DEV_FEAT_IOPF)
		return -ENODEV;

	guard(rwsem_write)(&faults->rwsem);
	if (WARN_ON(!faults->is_on))
		return -EINVAL;
	faults->is_on = false;
	WARN(!xa_empty(&faults->unanswered),
	     "iommufd mock: page requests are switched off with one unanswered\n");
	iopf_queue_remove_device(mock_iopf_queue, dev);
	return 0;
}

/**
 * mock_page_response - the driver's page_response()
 * @dev: a mock device
 * @iopf: the request
 * @response: the answer
 *
 * Context: Process context, may sleep.
 */
void mock_page_response(struct device *dev, struct iopf_fault *iopf,
			struct iommu_page_response *response)
{
	const struct iommu_fault_page_request *prm = &iopf->fault.prm;
	struct mock_faults *faults = mock_dev_faults(dev);

	/* The core says so of each page if there is nobody to take it. */
	if (!(prm->flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE))
		return;
	if (WARN_ON(response->code >= ARRAY_SIZE(mock_faults_answered)))
		return;
	WARN(!xa_erase(&faults->unanswered, prm->private_data[0]),
	     "iommufd mock: an answer to what was not asked\n");
	WARN_ON(response->grpid != prm->grpid || response->pasid != prm->pasid);
	atomic_inc(&mock_faults_answered[response->code]);
}

/* Return: 0, also if nobody takes it; -ENOMEM before it is sent. */
static int mock_fault_send_last(struct device *dev, struct iopf_fault *iopf)
{
	struct mock_faults *faults = mock_dev_faults(dev);
	u32 number;
	int rc;

	rc = xa_alloc(&faults->unanswered, &number, faults, xa_limit_31b,
		      GFP_KERNEL);
	if (rc)
		return rc;
	iopf->fault.prm.flags |= IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
	iopf->fault.prm.private_data[0] = number;
	atomic_inc(&mock_faults_reported);
	iommu_report_device_fault(dev, iopf);
	return 0;
}

static int mock_fault_send(struct device *dev, struct iopf_fault *iopf)
{
	struct mock_faults *faults = mock_dev_faults(dev);
	u32 nr_pages = READ_ONCE(mock_fault_pages);

	if (!faults->is_on || !faults->is_attached) {
		atomic_inc(&mock_faults_withheld);
		return 0;
	}
	while (nr_pages--) {
		iommu_report_device_fault(dev, iopf);
		iopf->fault.prm.addr += PAGE_SIZE;
	}
	return mock_fault_send_last(dev, iopf);
}

/*
 * A report that begins when attach_dev() is done is not waited for. In a replace the
 * core does not know yet then that there is a new domain.
 */
static int mock_fault_report(struct device *dev, struct iopf_fault *iopf)
{
	struct mock_faults *faults = mock_dev_faults(dev);

	if (READ_ONCE(mock_fault_is_late))
		return mock_fault_send(dev, iopf);

	guard(rwsem_read)(&faults->rwsem);
	return mock_fault_send(dev, iopf);
}

/**
 * iommufd_test_trigger_iopf() - IOMMU_TEST_OP_TRIGGER_IOPF
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0, also if nobody takes the fault; -ENOENT no such device; -EINVAL it is
 * not a mock; -ENOMEM.
 */
int iommufd_test_trigger_iopf(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iopf_fault iopf = {
		.fault = {
			.type = IOMMU_FAULT_PAGE_REQ,
			.prm = {
				.pasid = cmd->trigger_iopf.pasid,
				.grpid = cmd->trigger_iopf.grpid,
				.perm = cmd->trigger_iopf.perm,
				.addr = cmd->trigger_iopf.addr,
			},
		},
	};
	struct iommufd_object *object;
	struct device *dev;

	object = iommufd_ucmd_get(ucmd, cmd->trigger_iopf.dev_id,
				  IOMMUFD_DEVICE);
	if (IS_ERR(object))
		return PTR_ERR(object);
	dev = iommufd_object_device(object);
	if (!iommufd_test_is_mock(dev))
		return -EINVAL;
	if (iopf.fault.prm.pasid)
		iopf.fault.prm.flags = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
	return mock_fault_report(dev, &iopf);
}

/**
 * mock_faults_add_switches - make the files of this file
 * @dir: where
 *
 * Context: Process context.
 */
void mock_faults_add_switches(struct dentry *dir)
{
	debugfs_create_u32("fault_pages", 0600, dir, &mock_fault_pages);
	debugfs_create_bool("fault_is_late", 0600, dir, &mock_fault_is_late);
	debugfs_create_atomic_t("faults_reported", 0600, dir,
				&mock_faults_reported);
	debugfs_create_atomic_t("faults_withheld", 0600, dir,
				&mock_faults_withheld);
	debugfs_create_atomic_t("faults_success", 0600, dir,
				&mock_faults_answered[IOMMU_PAGE_RESP_SUCCESS]);
	debugfs_create_atomic_t("faults_invalid", 0600, dir,
				&mock_faults_answered[IOMMU_PAGE_RESP_INVALID]);
	debugfs_create_atomic_t("faults_failure", 0600, dir,
				&mock_faults_answered[IOMMU_PAGE_RESP_FAILURE]);
}

/**
 * mock_iopf_init - make what the core queues page requests in
 *
 * Where the core has none, devices do not have the feature.
 *
 * Context: Process context.
 * Return: 0, or -ENOMEM.
 */
int mock_iopf_init(void)
{
	mock_iopf_queue = iopf_queue_alloc("iommufd_mock");
	return mock_iopf_queue || !IS_ENABLED(CONFIG_IOMMU_IOPF) ? 0 : -ENOMEM;
}

/**
 * mock_iopf_exit - undo mock_iopf_init()
 *
 * Context: Process context. No device is left.
 */
void mock_iopf_exit(void)
{
	iopf_queue_free(mock_iopf_queue);
}
