// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_TEST_CMD: what a test can do to a file of /dev/iommu, and look at, that user
 * space otherwise cannot.
 */
#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/iommufd.h>
#include <linux/mm.h>
#include <linux/overflow.h>

#include <uapi/linux/iommufd.h>

#include "hwpt.h"
#include "ioas.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "iopt_area.h"
#include "selftest.h"
#include "test_hooks.h"

/* What a mapping has to be a multiple of to be compared. */
#define MOCK_CHECK_BYTES (PAGE_SIZE / 2)

/* Below this there is no room for one element of anything. */
#define IOMMUFD_TEST_MIN_TEMP_BYTES 12

static DECLARE_FAULT_ATTR(fail_iommufd);
static struct dentry *fail_iommufd_dir;

bool iommufd_should_fail(void)
{
	return should_fail(&fail_iommufd, 1);
}

void iommufd_test_slow_source(unsigned long address, unsigned long npages)
{
	mock_switch_delay_pin(address, address + npages * PAGE_SIZE - 1);
}

void iommufd_test_slow_report(u64 addr)
{
	mock_switch_delay_report(addr);
}

/* -- a mock device as an object -- */

/**
 * struct iommufd_stdev - a mock device that is bound and, usually, attached
 * @obj: the object
 * @mdev: the device
 * @idev: the device as an object
 * @idev_object: likewise; used, or the release of the file would not know that it
 *	goes with this object
 * @is_attached: it is
 */
struct iommufd_stdev {
	struct iommufd_object obj;
	struct mock_dev *mdev;
	struct iommufd_device *idev;
	struct iommufd_object *idev_object;
	bool is_attached;
};

static struct iommufd_stdev *to_stdev(struct iommufd_object *object)
{
	return container_of(object, struct iommufd_stdev, obj);
}

static void iommufd_stdev_unbind(struct iommufd_stdev *stdev)
{
	iommufd_object_unuse(stdev->idev_object);
	iommufd_device_unbind(stdev->idev);
}

static void iommufd_stdev_destroy(struct iommufd_object *object)
{
	struct iommufd_stdev *stdev = to_stdev(object);

	if (stdev->is_attached)
		iommufd_device_detach(stdev->idev);
	iommufd_stdev_unbind(stdev);
	mock_dev_destroy(stdev->mdev);
}

static const struct iommufd_object_ops iommufd_stdev_ops = {
	.kind = IOMMUFD_STDEV,
	.destroy = iommufd_stdev_destroy,
};

static int iommufd_stdev_bind(struct iommufd_stdev *stdev, u32 *idev_id)
{
	struct iommufd_ctx *ictx = stdev->obj.ictx;
	struct iommufd_object *object;
	int rc;

	stdev->idev = iommufd_device_bind(ictx, mock_dev_device(stdev->mdev),
					  idev_id);
	if (IS_ERR(stdev->idev))
		return PTR_ERR(stdev->idev);

	object = iommufd_object_get(ictx, *idev_id, IOMMUFD_DEVICE);
	if (IS_ERR(object)) {
		iommufd_device_unbind(stdev->idev);
		return PTR_ERR(object);
	}
	rc = iommufd_object_use(object);
	WARN_ON(rc);
	stdev->idev_object = object;
	iommufd_object_put(object);
	return 0;
}

static int iommufd_stdev_attach(struct iommufd_stdev *stdev, u32 *pt_id,
				u32 *idev_id)
{
	int rc;

	rc = iommufd_stdev_bind(stdev, idev_id);
	if (rc || mock_switch_stays_detached())
		return rc;
	rc = iommufd_device_attach(stdev->idev, pt_id);
	if (rc)
		iommufd_stdev_unbind(stdev);
	stdev->is_attached = !rc;
	return rc;
}

/* What is in front is the same in both structures. */
static int iommufd_test_add_device(struct iommufd_ucmd *ucmd, u32 dev_flags)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u32 pt_id = cmd->id, idev_id = 0;
	struct iommufd_stdev *stdev;
	int rc;

	stdev = iommufd_object_begin(ucmd->ictx, struct iommufd_stdev,
				     &iommufd_stdev_ops);
	if (IS_ERR(stdev))
		return PTR_ERR(stdev);

	stdev->mdev = mock_dev_create(dev_flags);
	if (IS_ERR(stdev->mdev)) {
		rc = PTR_ERR(stdev->mdev);
		goto err_discard;
	}
	rc = iommufd_stdev_attach(stdev, &pt_id, &idev_id);
	if (rc)
		goto err_device;

	ucmd->new_object = &stdev->obj;
	cmd->mock_domain.out_stdev_id = stdev->obj.id;
	cmd->mock_domain.out_hwpt_id = pt_id;
	cmd->mock_domain.out_idev_id = idev_id;
	return 0;

err_device:
	mock_dev_destroy(stdev->mdev);
err_discard:
	iommufd_object_discard(&stdev->obj);
	return rc;
}

static int iommufd_test_mock_domain(struct iommufd_ucmd *ucmd)
{
	return iommufd_test_add_device(ucmd, 0);
}

static int iommufd_test_mock_domain_flags(struct iommufd_ucmd *ucmd)
{
	const u32 known_flags = MOCK_FLAGS_DEVICE_NO_DIRTY |
				MOCK_FLAGS_DEVICE_HUGE_IOVA |
				MOCK_FLAGS_DEVICE_PASID;
	struct iommu_test_cmd *cmd = ucmd->cmd;

	if (cmd->mock_domain_flags.dev_flags & ~known_flags)
		return -EINVAL;
	return iommufd_test_add_device(ucmd, cmd->mock_domain_flags.dev_flags);
}

static int iommufd_test_replace(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iommufd_object *object;

	object = iommufd_ucmd_get(ucmd, cmd->id, IOMMUFD_STDEV);
	if (IS_ERR(object))
		return PTR_ERR(object);
	return iommufd_device_replace(to_stdev(object)->idev,
				      &cmd->mock_domain_replace.pt_id);
}

/* -- the IOVA map -- */

static int iommufd_test_add_reserved(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	unsigned long first_iova, last_iova;
	struct iommufd_object *object;
	struct io_pagetable *iopt;

	if (!cmd->add_reserved.length)
		return -EINVAL;
	if (overflows_type(cmd->add_reserved.start, first_iova) ||
	    check_add_overflow(cmd->add_reserved.start,
			       cmd->add_reserved.length - 1, &last_iova))
		return -EOVERFLOW;
	first_iova = cmd->add_reserved.start;

	object = iommufd_ucmd_get(ucmd, cmd->id, IOMMUFD_IOAS);
	if (IS_ERR(object))
		return PTR_ERR(object);
	/* Nobody gives these back, they go with the map. */
	iopt = &to_ioas(object)->iopt;
	return iopt_reserve(iopt, first_iova, last_iova, iopt);
}

/**
 * iommufd_test_place_iova() - the IOVA of a place in an IOVA map
 * @iopt: the map
 * @place: counted in the areas that user space knows of, the lowest first
 *
 * Context: Process context, may sleep.
 * Return: the IOVA, or 0 if there is no such area.
 */
u64 iommufd_test_place_iova(struct io_pagetable *iopt,
			    struct iommufd_test_place place)
{
	struct iopt_area *area;

	guard(rwsem_read)(&iopt->iova_rwsem);

	for (area = iopt_area_from(iopt, 0); area; area = iopt_area_next(area)) {
		if (area->state != IOPT_AREA_LIVE)
			continue;
		if (!place.nth_area--)
			return area->slice.iova.first_iova + place.offset;
		cond_resched();
	}
	return 0;
}

void iommufd_test_convert_copy(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_copy *cmd = ucmd->cmd;
	struct iommufd_test_place place;
	struct iommufd_object *object;

	if (!(cmd->flags & MOCK_FLAGS_ACCESS_SYZ))
		return;

	BUILD_BUG_ON(sizeof(place) != sizeof(cmd->src_iova));
	memcpy(&place, &cmd->src_iova, sizeof(place));
	cmd->src_iova = 0;
	cmd->flags &= ~MOCK_FLAGS_ACCESS_SYZ;
	/* That there is no such IOAS is for the copy to find out, in its order. */
	object = iommufd_object_get(ucmd->ictx, cmd->src_ioas_id, IOMMUFD_IOAS);
	if (IS_ERR(object))
		return;
	cmd->src_iova = iommufd_test_place_iova(&to_ioas(object)->iopt, place);
	iommufd_object_put(object);
}

/* -- looking at pages -- */

/* Does an IOVA show the memory at a user address? */
static int iommufd_test_compare(struct iommu_domain *domain, unsigned long iova,
				unsigned long uptr)
{
	phys_addr_t phys = iommu_iova_to_phys(domain, iova);
	struct page *page;
	bool same;

	if (get_user_pages_fast(uptr & PAGE_MASK, 1, 0, &page) != 1)
		return -EFAULT;
	same = phys == page_to_phys(page) + offset_in_page(uptr);
	put_page(page);
	return same ? 0 : -EINVAL;
}

static int iommufd_test_check_map(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iommufd_object *object;
	struct iommu_domain *domain;

	if (!IS_ALIGNED(cmd->check_map.iova | cmd->check_map.length |
			cmd->check_map.uptr, MOCK_CHECK_BYTES))
		return -EINVAL;
	object = iommufd_ucmd_get(ucmd, cmd->id, IOMMUFD_HWPT);
	if (IS_ERR(object))
		return PTR_ERR(object);
	domain = to_hwpt(object)->member.io.domain;
	if (!mock_domain_is_ours(domain))
		return -EINVAL;

	for (u64 done = 0; done < cmd->check_map.length;
	     done += MOCK_CHECK_BYTES) {
		int rc = iommufd_test_compare(domain, cmd->check_map.iova + done,
					      cmd->check_map.uptr + done);

		if (rc)
			return rc;
		cond_resched();
	}
	return 0;
}

/*
 * Is the page pinned so many times? A compound page has its count elsewhere, and it
 * may be pinned for other parts of it.
 */
static int iommufd_test_compare_refs(unsigned long uptr, unsigned int refs)
{
	struct page *page;
	int rc = 0;

	if (get_user_pages_fast(uptr, 1, 0, &page) != 1)
		return -EFAULT;
	if (!PageCompound(page) &&
	    page_ref_count(page) / GUP_PIN_COUNTING_BIAS != refs)
		rc = -EIO;
	put_page(page);
	return rc;
}

static int iommufd_test_check_refs(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u64 end;

	if (!PAGE_ALIGNED(cmd->check_refs.uptr | cmd->check_refs.length))
		return -EINVAL;
	if (check_add_overflow(cmd->check_refs.uptr, cmd->check_refs.length,
			       &end) || end > ULONG_MAX)
		return -EOVERFLOW;

	for (u64 uptr = cmd->check_refs.uptr; uptr < end; uptr += PAGE_SIZE) {
		int rc = iommufd_test_compare_refs(uptr, cmd->check_refs.refs);

		if (rc)
			return rc;
		cond_resched();
	}
	return 0;
}

static int iommufd_test_check_iotlb(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iommufd_object *object;
	struct iommu_domain *domain;

	object = iommufd_ucmd_get(ucmd, cmd->id, IOMMUFD_HWPT_NESTED);
	if (IS_ERR(object))
		return PTR_ERR(object);
	domain = to_hwpt(object)->member.io.domain;
	if (!mock_nested_is_ours(domain) ||
	    !mock_nested_holds(domain, cmd->check_iotlb.id,
			       cmd->check_iotlb.iotlb))
		return -EINVAL;
	return 0;
}

static int iommufd_test_set_temp_limit(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;

	if (cmd->memory_limit.limit < IOMMUFD_TEST_MIN_TEMP_BYTES)
		return -EINVAL;
	WRITE_ONCE(iopt_temp_bytes_limit, cmd->memory_limit.limit);
	return 0;
}

/* -- the command -- */

static int (*const iommufd_test_ops[])(struct iommufd_ucmd *ucmd) = {
	[IOMMU_TEST_OP_ADD_RESERVED] = iommufd_test_add_reserved,
	[IOMMU_TEST_OP_MOCK_DOMAIN] = iommufd_test_mock_domain,
	[IOMMU_TEST_OP_MD_CHECK_MAP] = iommufd_test_check_map,
	[IOMMU_TEST_OP_MD_CHECK_REFS] = iommufd_test_check_refs,
	[IOMMU_TEST_OP_CREATE_ACCESS] = iommufd_test_create_access,
	[IOMMU_TEST_OP_DESTROY_ACCESS_PAGES] = iommufd_test_access_unpin,
	[IOMMU_TEST_OP_ACCESS_PAGES] = iommufd_test_access_pages,
	[IOMMU_TEST_OP_ACCESS_RW] = iommufd_test_access_rw,
	[IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT] = iommufd_test_set_temp_limit,
	[IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE] = iommufd_test_replace,
	[IOMMU_TEST_OP_ACCESS_REPLACE_IOAS] = iommufd_test_access_replace,
	[IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS] = iommufd_test_mock_domain_flags,
	[IOMMU_TEST_OP_MD_CHECK_IOTLB] = iommufd_test_check_iotlb,
	[IOMMU_TEST_OP_TRIGGER_IOPF] = iommufd_test_trigger_iopf,
	[IOMMU_TEST_OP_DIRTY] = iommufd_test_dirty,
};

/**
 * iommufd_ucmd_test - handler of IOMMU_TEST_CMD
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP for an unknown op; or what the op says.
 */
int iommufd_ucmd_test(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;

	if (cmd->op >= ARRAY_SIZE(iommufd_test_ops) ||
	    !iommufd_test_ops[cmd->op])
		return -EOPNOTSUPP;
	return iommufd_test_ops[cmd->op](ucmd);
}

/**
 * iommufd_test_init - make the mock IOMMU
 *
 * Context: Process context.
 * Return: 0, or an error with nothing left.
 */
int __init iommufd_test_init(void)
{
	int rc = mock_iopf_init();

	if (rc)
		return rc;
	rc = mock_iommu_init();
	if (rc) {
		mock_iopf_exit();
		return rc;
	}
	fail_iommufd_dir = fault_create_debugfs_attr("fail_iommufd", NULL,
						     &fail_iommufd);
	mock_switch_init();
	return 0;
}

/**
 * iommufd_test_exit - undo iommufd_test_init()
 *
 * Context: Process context. No file is open.
 */
void iommufd_test_exit(void)
{
	mock_switch_exit();
	debugfs_remove(fail_iommufd_dir);
	mock_iommu_exit();
	mock_iopf_exit();
}
