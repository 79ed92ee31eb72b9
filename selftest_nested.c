// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested domains of the mock IOMMU.
 *
 * There is no page table of the user's to walk, and nothing to translate. What is
 * there is an IOTLB of four entries, which a test fills with a value when it makes
 * the domain, invalidates, and looks at. Devices that are attached are among those of
 * the parent as well, for they go through it.
 */
#include <linux/iommu.h>
#include <linux/slab.h>

#include <uapi/linux/iommufd.h>

#include "iommufd_test.h"
#include "selftest.h"

/**
 * struct mock_nested - a nested domain
 * @domain: for the core
 * @parent: the paging domain below
 * @iotlb: what it remembers of the user's page table
 * @nr_devices: so many are attached
 */
struct mock_nested {
	struct iommu_domain domain;
	struct iommu_domain *parent;
	u32 iotlb[MOCK_NESTED_DOMAIN_IOTLB_NUM];
	atomic_t nr_devices;
};

static struct mock_nested *to_nested(struct iommu_domain *domain)
{
	return container_of(domain, struct mock_nested, domain);
}

/* -- invalidation -- */

static int mock_invalidate(struct mock_nested *nested,
			   const struct iommu_hwpt_invalidate_selftest *request)
{
	if (request->flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return -EOPNOTSUPP;
	if (request->iotlb_id > MOCK_NESTED_DOMAIN_IOTLB_ID_MAX)
		return -EINVAL;

	if (request->flags & IOMMU_TEST_INVALIDATE_FLAG_ALL)
		memset(nested->iotlb, 0, sizeof(nested->iotlb));
	else
		nested->iotlb[request->iotlb_id] = 0;
	return 0;
}

static int mock_invalidate_nth(struct mock_nested *nested,
			       const struct iommu_user_data_array *array, u32 nth)
{
	struct iommu_hwpt_invalidate_selftest request;
	int rc;

	rc = iommu_copy_struct_from_user_array(&request, array,
					       IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
					       nth, iotlb_id);
	return rc ?: mock_invalidate(nested, &request);
}

static int mock_cache_invalidate_user(struct iommu_domain *domain,
				      struct iommu_user_data_array *array)
{
	struct mock_nested *nested = to_nested(domain);
	u32 done = 0;
	int rc = 0;

	if (array->type != IOMMU_HWPT_INVALIDATE_DATA_SELFTEST)
		rc = -EINVAL;
	while (!rc && done < array->entry_num) {
		rc = mock_invalidate_nth(nested, array, done);
		if (!rc)
			done++;
	}
	array->entry_num = done;
	return rc;
}

/* -- life -- */

static void mock_nested_free(struct iommu_domain *domain)
{
	struct mock_nested *nested = to_nested(domain);

	WARN(atomic_read(&nested->nr_devices),
	     "iommufd mock: a nested domain was freed with a device attached\n");
	mock_domain_count_nested(nested->parent, -1);
	kfree(nested);
}

static const struct iommu_domain_ops mock_nested_ops = {
	.attach_dev = mock_dev_attach,
	.cache_invalidate_user = mock_cache_invalidate_user,
	.free = mock_nested_free,
};

/* A driver that knows nesting and cannot be told what has changed. */
static const struct iommu_domain_ops mock_nested_mute_ops = {
	.attach_dev = mock_dev_attach,
	.free = mock_nested_free,
};

static struct mock_nested *mock_nested_alloc(struct iommu_domain *parent)
{
	struct mock_nested *nested;

	nested = kzalloc(sizeof(*nested), GFP_KERNEL_ACCOUNT);
	if (!nested)
		return NULL;

	nested->parent = parent;
	mock_domain_count_nested(parent, 1);
	nested->domain.type = IOMMU_DOMAIN_NESTED;
	nested->domain.ops = mock_switch_lacks_invalidate() ?
				     &mock_nested_mute_ops : &mock_nested_ops;
	return nested;
}

/**
 * mock_nested_create - make a nested domain
 * @parent: what it is to be nested on
 * @user_data: struct iommu_hwpt_selftest, or NULL
 *
 * Context: Process context, may sleep.
 * Return: the domain or an ERR_PTR: -EOPNOTSUPP if there are no data or they are of
 * another type; -EINVAL if the parent is not a paging domain of the mock, or the
 * data are too short or too long; -EFAULT, -ENOMEM.
 */
struct iommu_domain *mock_nested_create(struct iommu_domain *parent,
					const struct iommu_user_data *user_data)
{
	struct iommu_hwpt_selftest data;
	struct mock_nested *nested;
	int rc;

	if (!user_data || user_data->type != IOMMU_HWPT_DATA_SELFTEST)
		return ERR_PTR(-EOPNOTSUPP);
	if (!mock_domain_is_ours(parent))
		return ERR_PTR(-EINVAL);
	rc = iommu_copy_struct_from_user(&data, user_data,
					 IOMMU_HWPT_DATA_SELFTEST, iotlb);
	if (rc)
		return ERR_PTR(rc);

	nested = mock_nested_alloc(parent);
	if (!nested)
		return ERR_PTR(-ENOMEM);
	for (unsigned int i = 0; i < ARRAY_SIZE(nested->iotlb); i++)
		nested->iotlb[i] = data.iotlb;
	return &nested->domain;
}

/**
 * mock_nested_is_ours - is this a nested domain of the mock?
 * @domain: any domain
 *
 * Context: Any.
 * Return: whether it is.
 */
bool mock_nested_is_ours(const struct iommu_domain *domain)
{
	return domain->ops == &mock_nested_ops ||
	       domain->ops == &mock_nested_mute_ops;
}

/**
 * mock_nested_parent - the paging domain below a nested one
 * @domain: one of ours
 *
 * Context: Any.
 * Return: it.
 */
struct iommu_domain *mock_nested_parent(struct iommu_domain *domain)
{
	return to_nested(domain)->parent;
}

/**
 * mock_nested_count_device - a device comes or goes
 * @domain: one of ours
 * @change: 1 or -1
 *
 * Context: Any.
 */
void mock_nested_count_device(struct iommu_domain *domain, int change)
{
	atomic_add(change, &to_nested(domain)->nr_devices);
}

/**
 * mock_nested_holds - does the IOTLB hold this value?
 * @domain: one of ours
 * @entry: in which entry, may be out of range
 * @value: the value
 *
 * Context: Any.
 * Return: whether there is such an entry, and it does.
 */
bool mock_nested_holds(struct iommu_domain *domain, u32 entry, u32 value)
{
	return entry <= MOCK_NESTED_DOMAIN_IOTLB_ID_MAX &&
	       to_nested(domain)->iotlb[entry] == value;
}
