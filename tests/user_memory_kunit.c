// SPDX-License-Identifier: GPL-2.0-only
/*
 * User memory for the tests, see user_memory.h.
 */
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "fake_domain.h"
#include "user_memory.h"

static void user_memory_release(struct kref *kref)
{
	struct user_memory *memory = container_of(kref, struct user_memory,
						  kref);
	unsigned long i;

	for (i = 0; i < memory->npages; i++)
		__free_page(memory->pages[i]);
	kfree(memory);
}

static void user_memory_put(void *memory)
{
	kref_put(&((struct user_memory *)memory)->kref, user_memory_release);
}

static bool user_memory_parks(const struct user_memory *memory,
			      unsigned long index)
{
	return READ_ONCE(memory->parked_index) == index;
}

/* As a userfaultfd: the mmap lock is dropped for the wait. */
static vm_fault_t user_memory_sleep(struct user_memory *memory,
				    struct vm_fault *vmf)
{
	unsigned long index = vmf->pgoff;

	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY) ||
	    vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_SIGBUS;
	kref_get(&memory->kref);
	release_fault_lock(vmf);
	atomic_inc(&memory->nr_parked);
	wake_up_all(&memory->wait);
	wait_event_killable(memory->wait, !user_memory_parks(memory, index));
	atomic_dec(&memory->nr_parked);
	user_memory_put(memory);
	return VM_FAULT_RETRY;
}

static vm_fault_t user_memory_fault(struct vm_fault *vmf)
{
	struct user_memory *memory = vmf->vma->vm_private_data;

	if (vmf->pgoff >= memory->npages ||
	    vmf->pgoff == READ_ONCE(memory->bad_index))
		return VM_FAULT_SIGBUS;
	if (user_memory_parks(memory, vmf->pgoff))
		return user_memory_sleep(memory, vmf);
	if (memory->yields)
		fake_let_others_run();
	vmf->page = memory->pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct user_memory_vm_ops = {
	.fault = user_memory_fault,
};

static int user_memory_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &user_memory_vm_ops;
	vma->vm_private_data = file->private_data;
	vm_flags_set(vma, VM_DONTEXPAND);
	return 0;
}

static int user_memory_close(struct inode *inode, struct file *file)
{
	user_memory_put(file->private_data);
	return 0;
}

static const struct file_operations user_memory_fops = {
	.mmap = user_memory_mmap,
	.release = user_memory_close,
};

/* One contiguous block of pages, which stand alone from here on. */
static bool user_memory_alloc_pages(struct user_memory *memory)
{
	unsigned int order = get_order(memory->npages * PAGE_SIZE);
	struct page *block = alloc_pages(GFP_KERNEL | __GFP_ZERO, order);
	unsigned long i;

	if (!block)
		return false;
	split_page(block, order);
	for (i = 0; i < 1UL << order; i++) {
		if (i < memory->npages)
			memory->pages[i] = nth_page(block, i);
		else
			__free_page(nth_page(block, i));
	}
	return true;
}

static void user_memory_swap_blocks(struct user_memory *memory,
				    unsigned long a, unsigned long b,
				    unsigned long npages)
{
	unsigned long i;

	for (i = 0; a != b && i < npages; i++)
		swap(memory->pages[a + i], memory->pages[b + i]);
}

static void user_memory_shuffle(struct user_memory *memory,
				unsigned long block_pages)
{
	unsigned long i;

	for (i = memory->npages / block_pages; i > 1; i--)
		user_memory_swap_blocks(memory, (i - 1) * block_pages,
					get_random_u32_below(i) * block_pages,
					block_pages);
}

static struct user_memory *user_memory_alloc(struct kunit *test,
					     unsigned long npages)
{
	struct user_memory *memory;

	memory = kzalloc(struct_size(memory, pages, npages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	memory->npages = npages;
	memory->test = test;
	memory->parked_index = USER_MEMORY_NO_INDEX;
	memory->bad_index = USER_MEMORY_NO_INDEX;
	kref_init(&memory->kref);
	init_waitqueue_head(&memory->wait);
	if (!user_memory_alloc_pages(memory)) {
		kfree(memory);
		KUNIT_FAIL_AND_ABORT(test, "no memory for user memory");
	}
	return memory;
}

/**
 * user_memory_make() - make user memory
 * @test: the test; its thread gets a new mm if it has none
 * @npages: pages, up to MAX_ORDER_NR_PAGES
 * @block_pages: physically contiguous blocks of so many pages, in random order
 *
 * Return: the memory, there until the test's thread has ended.
 */
struct user_memory *user_memory_make(struct kunit *test, unsigned long npages,
				     unsigned long block_pages)
{
	struct user_memory *memory = user_memory_alloc(test, npages);
	struct file *file;

	user_memory_shuffle(memory, block_pages);
	file = anon_inode_getfile("[user_memory]", &user_memory_fops, memory,
				  O_RDWR);
	if (IS_ERR(file)) {
		user_memory_put(memory);
		KUNIT_FAIL_AND_ABORT(test, "no file for user memory");
	}
	kref_get(&memory->kref);
	kunit_add_action_or_reset(test, user_memory_put, memory);
	memory->uptr = kunit_vm_mmap(test, file, 0, npages * PAGE_SIZE,
				     PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	fput(file);
	KUNIT_ASSERT_NE(test, memory->uptr, 0);
	KUNIT_ASSERT_LT(test, memory->uptr, TASK_SIZE);
	return memory;
}

/**
 * user_memory_park() - let whoever touches a page wait
 * @memory: the memory
 * @index: the page, which nobody has touched
 */
void user_memory_park(struct user_memory *memory, unsigned long index)
{
	WRITE_ONCE(memory->parked_index, index);
}

/**
 * user_memory_wait_parked() - wait until somebody waits
 * @memory: the memory
 */
void user_memory_wait_parked(struct user_memory *memory)
{
	if (!wait_event_timeout(memory->wait, atomic_read(&memory->nr_parked),
				10 * HZ))
		KUNIT_FAIL(memory->test, "nobody touched the parking page");
}

/**
 * user_memory_resume() - let all those who wait go on
 * @memory: the memory
 */
void user_memory_resume(struct user_memory *memory)
{
	WRITE_ONCE(memory->parked_index, USER_MEMORY_NO_INDEX);
	wake_up_all(&memory->wait);
}

/**
 * user_memory_break() - make touching a page an error
 * @memory: the memory
 * @index: the page, which nobody has touched, or USER_MEMORY_NO_INDEX
 */
void user_memory_break(struct user_memory *memory, unsigned long index)
{
	WRITE_ONCE(memory->bad_index, index);
}

/**
 * user_memory_forget() - make all pages fault anew
 * @memory: memory of the current mm
 */
void user_memory_forget(struct user_memory *memory)
{
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, memory->uptr);
	if (vma)
		zap_page_range_single(vma, memory->uptr,
				      memory->npages * PAGE_SIZE, NULL);
	mmap_read_unlock(current->mm);
}

/**
 * user_memory_exchange() - put other pages behind the addresses
 * @memory: memory of the current mm
 * @a: first page of a block
 * @b: first page of another, which does not overlap it, or the same
 * @npages: pages of each
 *
 * What is pinned stays pinned, as after an munmap() and mmap().
 */
void user_memory_exchange(struct user_memory *memory, unsigned long a,
			  unsigned long b, unsigned long npages)
{
	user_memory_forget(memory);
	user_memory_swap_blocks(memory, a, b, npages);
}

/**
 * user_memory_pins() - count the pins of a page
 * @memory: the memory
 * @index: the page
 *
 * Return: how often it is pinned.
 */
unsigned int user_memory_pins(const struct user_memory *memory,
			      unsigned long index)
{
	return page_ref_count(memory->pages[index]) / GUP_PIN_COUNTING_BIAS;
}

/**
 * user_memory_total_pins() - count all pins
 * @memory: the memory
 *
 * Return: the pins of all pages together.
 */
unsigned long user_memory_total_pins(const struct user_memory *memory)
{
	unsigned long total = 0;
	unsigned long i;

	for (i = 0; i < memory->npages; i++)
		total += user_memory_pins(memory, i);
	return total;
}

static long pin_all(struct user_memory *memory, struct page **pages)
{
	return pin_user_pages_fast(memory->uptr, memory->npages,
				   FOLL_LONGTERM | FOLL_WRITE, pages);
}

static void memory_counts_pins(struct kunit *test)
{
	struct user_memory *memory = user_memory_make(test, 16, 1);
	struct page *pages[16];
	unsigned long i;

	KUNIT_EXPECT_EQ(test, user_memory_total_pins(memory), 0);
	KUNIT_ASSERT_EQ(test, pin_all(memory, pages), 16);
	for (i = 0; i < 16; i++) {
		KUNIT_EXPECT_PTR_EQ(test, pages[i], memory->pages[i]);
		KUNIT_EXPECT_EQ(test, user_memory_pins(memory, i), 1);
	}
	unpin_user_pages(pages, 16);
	KUNIT_EXPECT_EQ(test, user_memory_total_pins(memory), 0);
}

static void memory_breaks(struct kunit *test)
{
	struct user_memory *memory = user_memory_make(test, 4, 4);
	struct page *pages[4];

	user_memory_break(memory, 2);
	KUNIT_ASSERT_EQ(test, pin_all(memory, pages), 2);
	unpin_user_pages(pages, 2);
	KUNIT_EXPECT_EQ(test, pin_user_pages_fast(memory->uptr + 2 * PAGE_SIZE,
						  1, FOLL_LONGTERM, pages),
			-EFAULT);
}

static void memory_faults_anew(struct kunit *test)
{
	struct user_memory *memory = user_memory_make(test, 4, 4);
	struct page *pages[4];

	KUNIT_ASSERT_EQ(test, pin_all(memory, pages), 4);
	user_memory_forget(memory);
	user_memory_break(memory, 0);
	KUNIT_EXPECT_EQ(test, user_memory_total_pins(memory), 4);
	unpin_user_pages(pages, 4);
	KUNIT_EXPECT_EQ(test, pin_all(memory, pages), -EFAULT);
}

static struct kunit_case user_memory_cases[] = {
	KUNIT_CASE(memory_counts_pins),
	KUNIT_CASE(memory_breaks),
	KUNIT_CASE(memory_faults_anew),
	{}
};

static struct kunit_suite user_memory_suite = {
	.name = "iommufd_user_memory",
	.test_cases = user_memory_cases,
};

kunit_test_suite(user_memory_suite);
