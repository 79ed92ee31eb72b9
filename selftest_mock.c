// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mock IOMMU: a bus, devices on it that do nothing, and the driver that
 * translates for them.
 *
 * The core finds the driver of a device by the firmware node of its IOMMU. The
 * common drivers of x86 register without one, and of those the core takes whichever
 * came first for every device without a node. So the mock has a node, a software
 * node that stands for nothing, and its devices point to it: they get along with
 * any real IOMMU in the machine.
 *
 * There is a second driver, with a node of its own, that offers what every driver
 * does and nothing else: devices are its if a test wants that. What the one makes
 * cannot be used with devices of the other.
 */
#include <linux/device.h>
#include <linux/idr.h>
#include <linux/iommu.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/slab.h>

#include <uapi/linux/iommufd.h>

#include "iommu-priv.h"

#include "iommufd_test.h"
#include "selftest.h"
#include "test_hooks.h"

#define MOCK_IOMMU_NAME "iommufd_selftest_iommu"

/**
 * struct mock_dev - a device of the mock bus
 * @dev: for the core
 * @number: of its name
 * @dev_flags: MOCK_FLAGS_DEVICE_*
 * @iommu: whose node it points to
 * @kind: which driver translates for it; that of another does not
 * @coherency: whether its DMA snoops caches
 * @domain: the paging or nested domain it is attached to or NULL; guarded by the
 *	core, which does one attach at a time in a group
 * @entry: in the device table
 * @faults: its page requests
 */
struct mock_dev {
	struct device dev;
	int number;
	u32 dev_flags;
	struct iommu_device *iommu;
	enum mock_kind kind;
	enum mock_coherency coherency;
	struct iommu_domain *domain;
	struct mock_table_entry entry;
	struct mock_faults faults;
};

static struct platform_device *mock_platform_device;
static struct iommu_device mock_iommu;
static struct iommu_device mock_plain_iommu;
static struct notifier_block mock_notifier;
/* Of all devices with PASIDs. */
static struct fwnode_handle *mock_pasid_node;
static DEFINE_IDA(mock_numbers);

static struct mock_dev *to_mock_dev(struct device *dev)
{
	return container_of(dev, struct mock_dev, dev);
}

/* -- the driver's front -- */

static bool mock_capable(struct device *dev, enum iommu_cap cap)
{
	const struct mock_dev *mdev = to_mock_dev(dev);

	switch (cap) {
	case IOMMU_CAP_CACHE_COHERENCY:
		return mdev->coherency != MOCK_NOT_COHERENT;
	case IOMMU_CAP_ENFORCE_CACHE_COHERENCY:
		return mdev->coherency >= MOCK_ENFORCEABLE;
	case IOMMU_CAP_DIRTY_TRACKING:
		return mdev->iommu == &mock_iommu &&
		       !(mdev->dev_flags & MOCK_FLAGS_DEVICE_NO_DIRTY);
	default:
		return false;
	}
}

static void *mock_hw_info(struct device *dev, u32 *length, u32 *type)
{
	struct iommu_test_hw_info *info;

	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return ERR_PTR(-ENOMEM);

	info->test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL;
	*length = sizeof(*info);
	*type = IOMMU_HW_INFO_TYPE_SELFTEST;
	return info;
}

static struct iommu_domain *
mock_domain_alloc_user(struct device *dev, u32 flags,
		       struct iommu_domain *parent,
		       const struct iommu_user_data *user_data)
{
	const u32 known_flags = IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct mock_request request = {
		.kind = to_mock_dev(dev)->kind,
		.coherency = to_mock_dev(dev)->coherency,
		.has_dirty = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		.is_parent = flags & IOMMU_HWPT_ALLOC_NEST_PARENT,
		.has_huge = to_mock_dev(dev)->dev_flags &
			    MOCK_FLAGS_DEVICE_HUGE_IOVA,
	};

	if (parent)
		return flags ? ERR_PTR(-EOPNOTSUPP) :
			       mock_nested_create(parent, user_data);
	if (flags & ~known_flags || user_data)
		return ERR_PTR(-EOPNOTSUPP);
	if (request.has_dirty && !mock_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		return ERR_PTR(-EOPNOTSUPP);
	return mock_domain_create(&request);
}

static struct iommu_domain *mock_domain_alloc_paging(struct device *dev)
{
	return mock_domain_alloc_user(dev, 0, NULL, NULL);
}

/* The core maps interrupts into the window, if it has been told of it in time. */
static bool mock_lacks_msi_window(const struct iommu_domain *domain)
{
	unsigned long first_iova;
	enum iommu_resv_type type;

	return IS_ENABLED(CONFIG_IOMMU_DMA) &&
	       mock_switch_reserved(&first_iova, &type) &&
	       type == IOMMU_RESV_SW_MSI && !domain->iova_cookie;
}

/* Does the paging domain that a device is to go through do for it? */
static int mock_check_paging(struct iommu_domain *paging, struct device *dev)
{
	if (paging->dirty_ops && !mock_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		return -EINVAL;
	if (mock_domain_kind(paging) != to_mock_dev(dev)->kind)
		return -EINVAL;
	WARN_ON(mock_lacks_msi_window(paging));
	return 0;
}

/* The paging domain itself, the one below a nested one, or NULL. */
static struct iommu_domain *mock_paging_below(struct iommu_domain *domain)
{
	if (mock_nested_is_ours(domain))
		return mock_nested_parent(domain);
	return mock_domain_is_ours(domain) ? domain : NULL;
}

static void mock_dev_enter(struct mock_dev *mdev, struct iommu_domain *domain)
{
	mdev->domain = domain;
	if (mock_nested_is_ours(domain))
		mock_nested_count_device(domain, 1);
	mock_domain_enter(mock_paging_below(domain), &mdev->entry);
}

static void mock_dev_leave(struct mock_dev *mdev)
{
	struct iommu_domain *domain = mdev->domain;

	mdev->domain = NULL;
	mock_domain_leave(mock_paging_below(domain), &mdev->entry);
	if (mock_nested_is_ours(domain))
		mock_nested_count_device(domain, -1);
}

/**
 * mock_dev_attach - attach a device to a domain
 * @domain: a paging, a nested or the blocking domain of the mock
 * @dev: a mock device
 *
 * Context: Process context.
 * Return: 0; -EINVAL if the domain, or the one below it, tracks dirty pages and the
 * device cannot, or was made for a device of another kind, or driver.
 */
int mock_dev_attach(struct iommu_domain *domain, struct device *dev)
{
	struct iommu_domain *paging = mock_paging_below(domain);
	struct mock_dev *mdev = to_mock_dev(dev);
	int rc;

	/* Any driver takes for granted that the device is its own. */
	if (WARN_ON(paging && domain->owner != dev_iommu_ops(dev)))
		return -EINVAL;
	rc = paging ? mock_check_paging(paging, dev) : 0;
	if (rc)
		return rc;

	if (mdev->domain)
		mock_dev_leave(mdev);
	if (paging)
		mock_dev_enter(mdev, domain);
	mock_faults_attached(&mdev->faults, !mdev->domain);
	return 0;
}

static const struct iommu_domain_ops mock_blocking_ops = {
	.attach_dev = mock_dev_attach,
};

static struct iommu_domain mock_blocking_domain = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &mock_blocking_ops,
};

static const struct bus_type mock_bus = {
	.name = "iommufd_mock",
};

static struct iommu_device *mock_probe_device(struct device *dev)
{
	return dev->bus == &mock_bus ? to_mock_dev(dev)->iommu :
				       ERR_PTR(-ENODEV);
}

static int mock_is_other_device(struct device *dev, const void *data)
{
	return dev != data;
}

/* A group of its own, unless a test wants it to be that of another device. */
static struct iommu_group *mock_device_group(struct device *dev)
{
	struct iommu_group *group = NULL;
	struct device *other;

	if (!mock_switch_shares_group())
		return generic_device_group(dev);
	other = bus_find_device(&mock_bus, NULL, dev, mock_is_other_device);
	if (other)
		group = iommu_group_get(other);
	put_device(other);
	return group ?: generic_device_group(dev);
}

static void mock_add_resv_region(struct list_head *regions,
				 unsigned long first_iova, unsigned long length,
				 enum iommu_resv_type type)
{
	struct iommu_resv_region *region;

	if (!length)
		return;
	region = iommu_alloc_resv_region(first_iova, length, IOMMU_WRITE, type,
					 GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, regions);
}

/*
 * None, unless a test wants one. A gap in the aperture is one, too: that is how a
 * driver tells of it.
 */
static void mock_get_resv_regions(struct device *dev, struct list_head *regions)
{
	struct mock_windows windows = mock_switch_windows();
	unsigned long first_iova, length;
	enum iommu_resv_type type;

	length = mock_switch_reserved(&first_iova, &type);
	mock_add_resv_region(regions, first_iova, length, type);
	mock_add_resv_region(regions, windows.gap_iova, windows.gap_bytes,
			     IOMMU_RESV_RESERVED);
}

static const struct iommu_ops mock_iommu_ops = {
	.owner = THIS_MODULE,
	.capable = mock_capable,
	.hw_info = mock_hw_info,
	.domain_alloc_user = mock_domain_alloc_user,
	.domain_alloc_paging = mock_domain_alloc_paging,
	.probe_device = mock_probe_device,
	.device_group = mock_device_group,
	.get_resv_regions = mock_get_resv_regions,
	.dev_enable_feat = mock_dev_enable_feat,
	.dev_disable_feat = mock_dev_disable_feat,
	.page_response = mock_page_response,
	.blocked_domain = &mock_blocking_domain,
	.default_domain = &mock_blocking_domain,
	.release_domain = &mock_blocking_domain,
	.user_pasid_table = 1,
};

static const struct iommu_ops mock_plain_ops = {
	.owner = THIS_MODULE,
	.capable = mock_capable,
	.domain_alloc_paging = mock_domain_alloc_paging,
	.probe_device = mock_probe_device,
	.device_group = mock_device_group,
	.get_resv_regions = mock_get_resv_regions,
	.blocked_domain = &mock_blocking_domain,
	.default_domain = &mock_blocking_domain,
	.release_domain = &mock_blocking_domain,
};

/* -- devices -- */

bool iommufd_test_is_mock(const struct device *dev)
{
	return dev->bus == &mock_bus;
}

/**
 * mock_dev_device - the device of the core
 * @mdev: a mock device
 *
 * Context: Any.
 * Return: it.
 */
struct device *mock_dev_device(struct mock_dev *mdev)
{
	return &mdev->dev;
}

/**
 * mock_dev_faults - the page requests of a device
 * @dev: a mock device
 *
 * Context: Any.
 * Return: them.
 */
struct mock_faults *mock_dev_faults(struct device *dev)
{
	return &to_mock_dev(dev)->faults;
}

static void mock_dev_release(struct device *dev)
{
	struct mock_dev *mdev = to_mock_dev(dev);

	mock_faults_release(&mdev->faults);
	ida_free(&mock_numbers, mdev->number);
	kfree(mdev);
}

/*
 * The lock is the core's, and only there for code that is part of the kernel. The
 * device is known to nobody yet, so nothing goes wrong without it.
 */
static int mock_dev_set_node(struct device *dev)
{
	int rc;

	if (IS_BUILTIN(CONFIG_IOMMUFD))
		mutex_lock(&iommu_probe_device_lock);
	rc = iommu_fwspec_init(dev, to_mock_dev(dev)->iommu->fwnode);
	if (IS_BUILTIN(CONFIG_IOMMUFD))
		mutex_unlock(&iommu_probe_device_lock);
	return rc;
}

/* The core does it for devices that it has seen. */
static void mock_dev_clear_node(struct device *dev)
{
	if (!dev->iommu)
		return;
	if (IS_BUILTIN(CONFIG_IOMMUFD))
		dev_iommu_free(dev);
	else
		iommu_fwspec_free(dev);
}

static int mock_dev_register(struct mock_dev *mdev)
{
	int rc;

	rc = dev_set_name(&mdev->dev, "iommufd_mock%u", mdev->number);
	if (!rc)
		rc = mock_dev_set_node(&mdev->dev);
	if (!rc)
		rc = device_add(&mdev->dev);
	if (rc)
		mock_dev_clear_node(&mdev->dev);
	return rc;
}

/**
 * mock_dev_create - make a device, in a group of its own
 * @dev_flags: MOCK_FLAGS_DEVICE_*
 *
 * Context: Process context, may sleep.
 * Return: the device or an ERR_PTR: -ENOMEM, -ENOSPC, or what the core says.
 */
struct mock_dev *mock_dev_create(u32 dev_flags)
{
	struct mock_dev *mdev;
	int rc;

	mdev = kzalloc(sizeof(*mdev), GFP_KERNEL);
	if (!mdev)
		return ERR_PTR(-ENOMEM);

	mdev->number = ida_alloc(&mock_numbers, GFP_KERNEL);
	if (mdev->number < 0) {
		rc = mdev->number;
		kfree(mdev);
		return ERR_PTR(rc);
	}
	mdev->dev_flags = dev_flags;
	mdev->iommu = mock_switch_is_plain() ? &mock_plain_iommu : &mock_iommu;
	mdev->kind = mock_switch_kind();
	mdev->coherency = mock_switch_coherency();
	mock_faults_init(&mdev->faults);
	device_initialize(&mdev->dev);
	mdev->dev.bus = &mock_bus;
	mdev->dev.release = mock_dev_release;
	if (dev_flags & MOCK_FLAGS_DEVICE_PASID)
		device_set_node(&mdev->dev, mock_pasid_node);

	rc = mock_dev_register(mdev);
	if (rc) {
		put_device(&mdev->dev);
		return ERR_PTR(rc);
	}
	return mdev;
}

/**
 * mock_dev_destroy - undo mock_dev_create()
 * @mdev: the device, not bound
 *
 * Context: Process context, may sleep.
 */
void mock_dev_destroy(struct mock_dev *mdev)
{
	device_unregister(&mdev->dev);
}

/* -- the IOMMU -- */

static const struct property_entry mock_pasid_properties[] = {
	/* Where the core looks for a device that is not PCI. */
	PROPERTY_ENTRY_U32("pasid-num-bits", MOCK_PASID_WIDTH),
	{}
};

/* @node: written: a new node, NULL on error. */
static int mock_node_create(struct fwnode_handle **node,
			    const struct property_entry *properties)
{
	struct fwnode_handle *new;

	new = fwnode_create_software_node(properties, NULL);
	*node = IS_ERR(new) ? NULL : new;
	return PTR_ERR_OR_ZERO(new);
}

/* Of those that have been made. */
static void mock_nodes_remove(void)
{
	fwnode_remove_software_node(mock_pasid_node);
	fwnode_remove_software_node(mock_plain_iommu.fwnode);
	fwnode_remove_software_node(mock_iommu.fwnode);
}

static int mock_nodes_create(void)
{
	return mock_node_create(&mock_iommu.fwnode, NULL) ?:
	       mock_node_create(&mock_plain_iommu.fwnode, NULL) ?:
	       mock_node_create(&mock_pasid_node, mock_pasid_properties);
}

/*
 * Registering leaves the nodes as it finds them. One of the two looks after the bus
 * for both of them.
 */
static int mock_drivers_register(void)
{
	int rc;

	mock_iommu.max_pasids = BIT(MOCK_PASID_WIDTH);
	rc = iommu_device_register_bus(&mock_iommu, &mock_iommu_ops, &mock_bus,
				       &mock_notifier);
	if (rc)
		return rc;
	rc = iommu_device_register(&mock_plain_iommu, &mock_plain_ops, NULL);
	if (rc)
		iommu_device_unregister_bus(&mock_iommu, &mock_bus,
					    &mock_notifier);
	return rc;
}

static int mock_iommu_register(void)
{
	int rc;

	rc = mock_nodes_create();
	if (!rc)
		rc = mock_drivers_register();
	if (rc)
		mock_nodes_remove();
	return rc;
}

static void mock_iommu_unregister(void)
{
	iommu_device_unregister(&mock_plain_iommu);
	iommu_device_unregister_bus(&mock_iommu, &mock_bus, &mock_notifier);
	mock_nodes_remove();
}

static int mock_sysfs_add(void)
{
	struct device *parent = &mock_platform_device->dev;
	int rc;

	rc = iommu_device_sysfs_add(&mock_iommu, parent, NULL, "%s.0",
				    MOCK_IOMMU_NAME);
	if (rc)
		return rc;
	rc = iommu_device_sysfs_add(&mock_plain_iommu, parent, NULL, "%s.1",
				    MOCK_IOMMU_NAME);
	if (rc)
		iommu_device_sysfs_remove(&mock_iommu);
	return rc;
}

static void mock_sysfs_remove(void)
{
	iommu_device_sysfs_remove(&mock_plain_iommu);
	iommu_device_sysfs_remove(&mock_iommu);
}

/**
 * mock_iommu_init - register the bus and the IOMMU
 *
 * Context: Process context.
 * Return: 0, or an error with nothing left.
 */
int mock_iommu_init(void)
{
	int rc;

	mock_platform_device =
		platform_device_register_simple(MOCK_IOMMU_NAME,
						PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(mock_platform_device))
		return PTR_ERR(mock_platform_device);
	rc = bus_register(&mock_bus);
	if (rc)
		goto err_platform_device;
	rc = mock_sysfs_add();
	if (rc)
		goto err_bus;
	rc = mock_iommu_register();
	if (rc)
		goto err_sysfs;
	return 0;

err_sysfs:
	mock_sysfs_remove();
err_bus:
	bus_unregister(&mock_bus);
err_platform_device:
	platform_device_unregister(mock_platform_device);
	return rc;
}

/**
 * mock_iommu_exit - undo mock_iommu_init()
 *
 * Context: Process context. No device is left.
 */
void mock_iommu_exit(void)
{
	mock_iommu_unregister();
	mock_sysfs_remove();
	bus_unregister(&mock_bus);
	platform_device_unregister(mock_platform_device);
}
