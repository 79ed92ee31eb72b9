// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device table and the dirty bits of the mock IOMMU, and the op with which a test
 * plays a device that writes.
 *
 * What a driver of 6.12 gets wrong without a word when it is asked for the wrong
 * thing, gets a warning here:
 *
 * - a read over a hole, or one that begins in a leaf: they go on by the size of the
 *   hole or the leaf, from where they are, and step over smaller leaves behind
 * - a read that clears and ends in a leaf: they clear the bit of all of it
 *
 * The IOTLB sets the bit of a leaf once and remembers that it has. So after a clearing
 * read, what is written leaves no trace before the IOTLB is flushed of the leaf.
 *
 * Whether the writes of a device are recorded at all, its entry in the device table
 * says. As AMD's driver does, this one writes an entry with no lock held: so it must
 * not be called for an attach or a detach while it switches tracking on or off. Else a
 * device that has come is not recorded, or one that has gone is let in again.
 */
#include <linux/iommu.h>
#include <linux/math64.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <uapi/linux/iommufd.h>

#include "hwpt.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "selftest.h"
#include "selftest_domain.h"
#include "test_hooks.h"

/* Bits of one op. */
#define MOCK_MAX_DIRTY_BITS BIT_ULL(27)

/* What drivers take a hole for: as much as a whole table translates. */
#define MOCK_HOLE_PAGES 512

/*
 * Change flags of a mapped entry against others who do.
 *
 * Return: the entry as it was; 0 if it is not mapped any more.
 */
static unsigned long mock_update(struct mock_domain *mock, unsigned long iova,
				 unsigned long clear, unsigned long set)
{
	unsigned long index = mock_index(mock, iova);
	unsigned long entry = mock_load(mock, iova);

	while (mock_is_mapped(entry)) {
		void *old = xa_mk_value(entry);
		void *seen;

		seen = xa_cmpxchg(&mock->entries, index, old,
				  xa_mk_value((entry & ~clear) | set), 0);
		if (seen == old)
			return entry;
		entry = seen && !xa_is_err(seen) ? xa_to_value(seen) : 0;
	}
	return 0;
}

/**
 * mock_flush_dirty() - the IOTLB is flushed of an entry that stays mapped
 * @mock: the domain
 * @iova: where
 * @entry: the entry
 *
 * Context: Any.
 */
void mock_flush_dirty(struct mock_domain *mock, unsigned long iova,
		      unsigned long entry)
{
	if (entry & MOCK_ENTRY_NOTED)
		mock_update(mock, iova, MOCK_ENTRY_NOTED, 0);
}

/* -- the device table -- */

/**
 * mock_domain_enter() - a device comes
 * @domain: one of ours
 * @entry: of the device, which is in no domain
 *
 * Context: Process context, may sleep.
 */
void mock_domain_enter(struct iommu_domain *domain,
		       struct mock_table_entry *entry)
{
	struct mock_domain *mock = to_mock(domain);
	bool records_dirty;

	guard(mock_move)(mock);

	scoped_guard(mutex, &mock->device_lock)
		list_add_tail(&entry->item, &mock->devices);
	records_dirty = READ_ONCE(mock->tracks_dirty);
	mock_switch_delay_attach();
	WRITE_ONCE(entry->records_dirty, records_dirty);
	WRITE_ONCE(entry->is_valid, true);
}

/**
 * mock_domain_leave() - a device goes
 * @domain: where it is
 * @entry: of the device
 *
 * Context: Process context, may sleep.
 */
void mock_domain_leave(struct iommu_domain *domain,
		       struct mock_table_entry *entry)
{
	struct mock_domain *mock = to_mock(domain);

	guard(mock_move)(mock);

	mock_switch_delay_detach();
	WRITE_ONCE(entry->is_valid, false);
	scoped_guard(mutex, &mock->device_lock)
		list_del(&entry->item);
	if (READ_ONCE(entry->is_valid))
		mock_complain(mock, 0, "a device that has gone was let in again");
}

/* Return: whether the writes of all devices are recorded. */
static bool mock_domain_records(struct mock_domain *mock)
{
	struct mock_table_entry *entry;

	guard(mutex)(&mock->device_lock);

	list_for_each_entry(entry, &mock->devices, item) {
		if (!READ_ONCE(entry->records_dirty))
			return false;
	}
	return true;
}

static void mock_entry_set_tracking(struct mock_table_entry *entry, bool enabled)
{
	bool is_valid = READ_ONCE(entry->is_valid);

	mock_switch_delay_tracking();
	WRITE_ONCE(entry->records_dirty, enabled);
	WRITE_ONCE(entry->is_valid, is_valid);
}

static int mock_set_dirty_tracking(struct iommu_domain *domain, bool enabled)
{
	struct mock_domain *mock = to_mock(domain);
	struct mock_table_entry *entry;

	guard(mock_work)(mock);

	if (iommufd_should_fail())
		return -EIO;
	guard(mutex)(&mock->device_lock);

	list_for_each_entry(entry, &mock->devices, item)
		mock_entry_set_tracking(entry, enabled);
	WRITE_ONCE(mock->tracks_dirty, enabled);
	return 0;
}

/* -- the dirty bits: the driver's side -- */

/**
 * struct mock_dirty_read - a read in progress
 * @mock: the domain
 * @iova: where it is
 * @end_iova: where it ends
 * @clears: the bits
 * @dirty: where to record them
 */
struct mock_dirty_read {
	struct mock_domain *mock;
	unsigned long iova;
	unsigned long end_iova;
	bool clears;
	struct iommu_dirty_bitmap *dirty;
};

/* Return: whether the entry at an IOVA was dirty. It is not after a clearing read. */
static bool mock_read_entry(struct mock_dirty_read *read, unsigned long iova)
{
	struct mock_domain *mock = read->mock;
	unsigned long entry = mock_load(mock, iova);

	if (entry & MOCK_ENTRY_DIRTY && read->clears)
		entry = mock_update(mock, iova, MOCK_ENTRY_DIRTY,
				    MOCK_ENTRY_NOTED);
	return entry & MOCK_ENTRY_DIRTY;
}

/* Read what has a bit of its own. Return: its bytes, from where the read is. */
static size_t mock_read_bit(struct mock_dirty_read *read)
{
	struct mock_domain *mock = read->mock;
	unsigned long iova = read->iova;
	bool is_dirty = false;
	unsigned long entry;

	do {
		entry = mock_load(mock, iova);
		is_dirty |= mock_read_entry(read, iova);
		iova += mock_granule(mock);
	} while (mock->personality->whole_leaves && mock_is_mapped(entry) &&
		 !(entry & MOCK_ENTRY_LAST));

	if (is_dirty)
		iommu_dirty_bitmap_record(read->dirty, read->iova,
					  iova - read->iova);
	return iova - read->iova;
}

static size_t mock_read_step(struct mock_dirty_read *read)
{
	struct mock_domain *mock = read->mock;
	unsigned long entry = mock_load(mock, read->iova);

	if (!mock_is_mapped(entry)) {
		mock_complain(mock, read->iova, "dirty bits read over a hole");
		return MOCK_HOLE_PAGES * mock_granule(mock);
	}
	if (mock->personality->whole_leaves && !(entry & MOCK_ENTRY_FIRST))
		mock_complain(mock, read->iova, "dirty bits read from within a leaf");
	return mock_read_bit(read);
}

static int mock_read_and_clear_dirty(struct iommu_domain *domain,
				     unsigned long iova, size_t size,
				     unsigned long flags,
				     struct iommu_dirty_bitmap *dirty)
{
	struct mock_domain *mock = to_mock(domain);
	struct mock_dirty_read read = {
		.mock = mock,
		.iova = iova,
		.end_iova = iova + size,
		.clears = !(flags & IOMMU_DIRTY_NO_CLEAR),
		.dirty = dirty,
	};
	bool fails;

	guard(mock_work)(mock);

	/* Without a bitmap, old dirty bits are being cleared. */
	if (!READ_ONCE(mock->tracks_dirty) && dirty->bitmap)
		return -EINVAL;
	fails = iommufd_should_fail();
	if (fails)
		read.end_iova -= size / 2;

	while (read.iova < read.end_iova)
		read.iova += mock_read_step(&read);
	if (fails)
		return -EIO;
	if (read.clears && read.iova != read.end_iova)
		mock_complain(mock, read.end_iova,
			      "dirty bits cleared of a part of a leaf");
	return 0;
}

const struct iommu_dirty_ops mock_dirty_ops = {
	.set_dirty_tracking = mock_set_dirty_tracking,
	.read_and_clear_dirty = mock_read_and_clear_dirty,
};

/* -- the device's side -- */

/* A device writes to an address, if it can. @records: that is recorded. */
static bool mock_write_entry(struct mock_domain *mock, unsigned long iova,
			     bool records)
{
	unsigned long entry = mock_load(mock, iova);

	if (!mock_is_mapped(entry))
		return false;
	if (records && !(entry & MOCK_ENTRY_NOTED))
		mock_update(mock, iova, 0, MOCK_ENTRY_DIRTY);
	return true;
}

/*
 * Write to all that is mapped of a range. If one of the devices is not recorded, it
 * is that one which does it.
 *
 * Return: whether there was anything.
 */
static bool mock_write_range(struct mock_domain *mock, unsigned long first_iova,
			     unsigned long last_iova)
{
	bool records = mock_domain_records(mock);
	bool is_mapped = false;
	unsigned long index;
	void *slot;

	xa_for_each_range(&mock->entries, index, slot,
			  mock_index(mock, first_iova),
			  mock_index(mock, last_iova))
		is_mapped |= mock_write_entry(mock, index << mock->granule_shift,
					      records);
	return is_mapped;
}

static int iommufd_test_check_dirty(const struct iommu_test_cmd *cmd, u64 *nbits)
{
	u64 page_size = cmd->dirty.page_size, last_iova, rest;

	if (!page_size || !cmd->dirty.length || !cmd->dirty.uptr)
		return -EINVAL;
	*nbits = div64_u64_rem(cmd->dirty.length, page_size, &rest);
	if (rest)
		return -EINVAL;
	div64_u64_rem(cmd->dirty.iova, page_size, &rest);
	if (rest)
		return -EINVAL;
	if (*nbits > MOCK_MAX_DIRTY_BITS ||
	    check_add_overflow(cmd->dirty.iova, cmd->dirty.length - 1, &last_iova) ||
	    last_iova > ULONG_MAX)
		return -EOVERFLOW;
	return 0;
}

static void iommufd_test_write_bits(struct mock_domain *mock,
				    struct iommu_test_cmd *cmd, const u8 *bits,
				    u64 nbits)
{
	u64 page_size = cmd->dirty.page_size;

	cmd->dirty.out_nr_dirty = 0;
	for (u64 bit = 0; bit < nbits; bit++) {
		u64 iova = cmd->dirty.iova + bit * page_size;

		if (!(bits[bit / BITS_PER_BYTE] & BIT(bit % BITS_PER_BYTE)))
			continue;
		if (mock_write_range(mock, iova, iova + (page_size - 1)))
			cmd->dirty.out_nr_dirty++;
		cond_resched();
	}
}

/**
 * iommufd_test_dirty - IOMMU_TEST_OP_DIRTY: write to what a bitmap says
 * @ucmd: the ioctl
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL, -EOVERFLOW: as the ABI says; -ENOENT no such HWPT, or a
 * nested one; -EFAULT; -ENOMEM.
 */
int iommufd_test_dirty(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iommufd_object *object;
	struct iommu_domain *domain;
	u64 nbits;
	u8 *bits;
	int rc;

	rc = iommufd_test_check_dirty(cmd, &nbits);
	if (rc)
		return rc;
	object = iommufd_ucmd_get(ucmd, cmd->id, IOMMUFD_HWPT);
	if (IS_ERR(object))
		return PTR_ERR(object);
	domain = to_hwpt(object)->member.io.domain;
	if (!mock_domain_is_ours(domain) || !to_mock(domain)->tracks_dirty)
		return -EINVAL;

	bits = vmemdup_user(u64_to_user_ptr(cmd->dirty.uptr),
			    DIV_ROUND_UP(nbits, BITS_PER_BYTE));
	if (IS_ERR(bits))
		return PTR_ERR(bits);
	iommufd_test_write_bits(to_mock(domain), cmd, bits, nbits);
	kvfree(bits);
	return 0;
}
