// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preparing the kernel's fault injection for tests, see fault.h.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "fault.h"

/* A file that can only be written to from user memory. */
static ssize_t fault_write(struct kunit *test, struct file *file,
			   const char *value)
{
	char __user *uptr;
	loff_t pos = 0;

	if (IS_ERR(file))
		return PTR_ERR(file);
	uptr = (char __user *)kunit_vm_mmap(test, NULL, 0, PAGE_SIZE,
					    PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (!uptr || copy_to_user(uptr, value, strlen(value)))
		return -EFAULT;
	return file->f_op->write(file, uptr, strlen(value), &pos);
}

static bool fault_set(struct kunit *test, struct vfsmount *debugfs,
		      const char *path, const char *value)
{
	struct file *file = file_open_root_mnt(debugfs, path, O_WRONLY, 0);
	ssize_t written = fault_write(test, file, value);

	if (!IS_ERR(file))
		__fput_sync(file);
	return written == strlen(value);
}

/**
 * fault_prepare() - make everything fail that can, and quietly
 * @test: the test; its thread gets a new mm if it has none
 *
 * Return: false if this kernel cannot.
 */
bool fault_prepare(struct kunit *test)
{
	struct vfsmount *debugfs;
	struct file_system_type *type;
	bool prepared;

	if (!IS_ENABLED(CONFIG_FAILSLAB) || !IS_ENABLED(CONFIG_IOMMUFD_TEST) ||
	    !IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS))
		return false;
	type = get_fs_type("debugfs");
	if (!type)
		return false;
	debugfs = kern_mount(type);
	if (IS_ERR(debugfs))
		return false;
	prepared = fault_set(test, debugfs, "failslab/ignore-gfp-wait", "N") &&
		   fault_set(test, debugfs, "failslab/verbose", "0") &&
		   fault_set(test, debugfs, "fail_iommufd/verbose", "0");
	kern_unmount(debugfs);
	return prepared;
}

static void fault_fails_the_nth(struct kunit *test)
{
	void *memory[3];

	if (!fault_prepare(test))
		kunit_skip(test, "no fault injection in this kernel");
	fault_arm(2);
	for (int i = 0; i < 3; i++)
		memory[i] = kmalloc(8, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, fault_disarm());
	KUNIT_EXPECT_NOT_NULL(test, memory[0]);
	KUNIT_EXPECT_NULL(test, memory[1]);
	KUNIT_EXPECT_NOT_NULL(test, memory[2]);
	for (int i = 0; i < 3; i++)
		kfree(memory[i]);
}

static struct kunit_case fault_cases[] = {
	KUNIT_CASE(fault_fails_the_nth),
	{}
};

static struct kunit_suite fault_suite = {
	.name = "iommufd_fault",
	.test_cases = fault_cases,
};

kunit_test_suite(fault_suite);
