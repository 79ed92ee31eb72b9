// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the in-kernel user as an object, as a driver behind VFIO sees it: what
 * its calls return in which state, and what its unmap callback may do.
 */
#include <kunit/test.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommufd.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "../ioas.h"
#include "../iommufd_private.h"
#include "map_fixture.h"

#define NR_PAGES 32
#define IOVA (16UL * PAGE_SIZE)
#define NO_SUCH_ID 1000
#define NR_CALLS 8

/**
 * struct fixture - a file, two IOAS, and a driver
 * @test: for expectations
 * @ictx: the file
 * @ioas: in it
 * @memory: what is mapped
 * @access: the driver's
 * @id: of @access
 * @pages: room for what it pins
 * @on_unmap: what the driver does when it is told to unpin
 * @nr_calls: how often it was told
 * @calls: the first times, what it was told
 * @late: for drivers that unpin later
 */
struct fixture {
	struct kunit *test;
	struct iommufd_ctx ictx;
	struct iommufd_ioas *ioas[2];
	struct user_memory *memory;
	struct iommufd_access *access;
	u32 id;
	struct page *pages[NR_PAGES];
	void (*on_unmap)(struct fixture *f, unsigned long iova,
			 unsigned long length);
	unsigned int nr_calls;
	struct {
		unsigned long iova;
		unsigned long length;
	} calls[NR_CALLS];
	struct delayed_work late;
};

static void driver_unmap(void *data, unsigned long iova, unsigned long length)
{
	struct fixture *f = data;

	if (f->nr_calls < NR_CALLS) {
		f->calls[f->nr_calls].iova = iova;
		f->calls[f->nr_calls].length = length;
	}
	f->nr_calls++;
	if (f->on_unmap)
		f->on_unmap(f, iova, length);
}

static const struct iommufd_access_ops driver_ops = {
	.needs_pin_pages = true,
	.unmap = driver_unmap,
};

static const struct iommufd_access_ops copier_ops = {};

/* -- what the driver and its user do -- */

static u32 ioas_id(struct fixture *f, unsigned int nth)
{
	return f->ioas[nth]->obj.id;
}

static int map_at(struct fixture *f, unsigned int nth, unsigned long first_page,
		  unsigned long npages, unsigned long iova)
{
	struct iopt_map_request request = {
		.uptr = f->memory->uptr + first_page * PAGE_SIZE,
		.length = npages * PAGE_SIZE,
		.iova = iova,
		.fixed_iova = true,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_NONE,
	};

	return map_request(&f->ioas[nth]->iopt, &request);
}

static int unmap(struct fixture *f, unsigned int nth, unsigned long iova,
		 unsigned long npages)
{
	unsigned long unmapped_bytes;

	return iopt_unmap(&f->ioas[nth]->iopt, iova,
			  iova + npages * PAGE_SIZE - 1, &unmapped_bytes);
}

static int pin(struct fixture *f, unsigned long iova, unsigned long npages)
{
	return iommufd_access_pin_pages(f->access, iova, npages * PAGE_SIZE,
					f->pages, IOMMUFD_ACCESS_RW_WRITE);
}

static void unpin(struct fixture *f, unsigned long iova, unsigned long npages)
{
	iommufd_access_unpin_pages(f->access, iova, npages * PAGE_SIZE);
}

static int read_byte(struct fixture *f, unsigned long iova)
{
	u8 byte;

	return iommufd_access_rw(f->access, iova, &byte, 1,
				 IOMMUFD_ACCESS_RW_READ);
}

static void expect_total_pins(struct fixture *f, unsigned long pins)
{
	KUNIT_EXPECT_EQ(f->test, user_memory_total_pins(f->memory), pins);
}

static void expect_call(struct fixture *f, unsigned int nth, unsigned long iova,
			unsigned long npages)
{
	KUNIT_ASSERT_LT(f->test, nth, f->nr_calls);
	KUNIT_EXPECT_EQ(f->test, f->calls[nth].iova, iova);
	KUNIT_EXPECT_EQ(f->test, f->calls[nth].length, npages * PAGE_SIZE);
}

static void make_access(struct fixture *f, const struct iommufd_access_ops *ops)
{
	f->access = iommufd_access_create(&f->ictx, ops, f, &f->id);
	KUNIT_ASSERT_FALSE(f->test, IS_ERR(f->access));
}

/* All that it can have pinned. */
static void unpin_page(struct fixture *f, unsigned long iova,
		       unsigned long length)
{
	unpin(f, iova, 1);
}

static void unpin_all(struct fixture *f, unsigned long iova,
		      unsigned long length)
{
	iommufd_access_unpin_pages(f->access, iova, length);
}

/* -- the tests -- */

static void calls_without_ioas(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	KUNIT_EXPECT_GT(test, (int)f->id, 0);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, pin(f, -PAGE_SIZE, 2), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), -ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_access_replace(f->access, ioas_id(f, 0)),
			-ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_access_attach(f->access, NO_SUCH_ID),
			-ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_access_attach(f->access, f->id), -ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&f->ictx, f->id),
			-EBUSY);
	iommufd_access_destroy(f->access);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&f->ictx, f->id),
			-ENOENT);
}

static void attach_and_detach(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	for (int i = 0; i < 3; i++) {
		KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access,
							    ioas_id(f, 0)), 0);
		KUNIT_EXPECT_EQ(test, iommufd_access_attach(f->access,
							    ioas_id(f, 0)),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, iommufd_access_attach(f->access,
							    ioas_id(f, 1)),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&f->ictx,
								ioas_id(f, 0)),
				-EBUSY);
		KUNIT_EXPECT_EQ(test, f->ioas[0]->iopt.iova_alignment,
				PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), 0);
		iommufd_access_detach(f->access);
		KUNIT_EXPECT_EQ(test, f->ioas[0]->iopt.iova_alignment, 1);
		KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), -ENOENT);
	}
	/* it had nothing to give back */
	KUNIT_EXPECT_EQ(test, f->nr_calls, 0);
	iommufd_access_destroy(f->access);
}

static void file_is_held(struct kunit *test)
{
	struct fixture *f = test->priv;
	long count = file_count(f->ictx.file);

	make_access(f, &copier_ops);
	KUNIT_EXPECT_EQ(test, file_count(f->ictx.file), count + 1);
	iommufd_access_destroy(f->access);
	KUNIT_EXPECT_EQ(test, file_count(f->ictx.file), count);
}

static void no_pins_without_asking(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &copier_ops);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 1), -EINVAL);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_EXPECT_EQ(test, f->ioas[0]->iopt.iova_alignment, 1);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), 0);
	/* an access without a callback is in nobody's way */
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	iommufd_access_destroy(f->access);
	expect_total_pins(f, 0);
}

/*
 * Some drivers walk the range page by page: it is one that was mapped, not all
 * there could be. One that goes is asked for all of its own.
 */
static void detach_asks_for_areas(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	f->on_unmap = unpin_page;
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 4, 4, 4 * IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 8, 4, 8 * IOVA), 0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 1), 0);
	KUNIT_ASSERT_EQ(test, pin(f, 8 * IOVA, 1), 0);
	expect_total_pins(f, 2);
	iommufd_access_detach(f->access);
	expect_total_pins(f, 0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 2);
	expect_call(f, 0, IOVA, 4);
	expect_call(f, 1, 8 * IOVA, 4);

	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, pin(f, 4 * IOVA, 1), 0);
	iommufd_access_destroy(f->access);
	expect_total_pins(f, 0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 3);
	expect_call(f, 2, 4 * IOVA, 4);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 3);
}

/* With a lock of the map held, this would not come back. */
static void use_everything(struct fixture *f, unsigned long iova,
			   unsigned long length)
{
	struct kunit *test = f->test;

	KUNIT_EXPECT_EQ(test, pin(f, IOVA + PAGE_SIZE, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), -EINVAL);
	KUNIT_EXPECT_EQ(test, pin(f, 4 * IOVA, 2), 0);
	KUNIT_EXPECT_EQ(test, read_byte(f, 4 * IOVA), 0);
	unpin(f, 4 * IOVA, 2);
	KUNIT_EXPECT_EQ(test, map_at(f, 0, 8, 4, 8 * IOVA), 0);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, 8 * IOVA, 4), 0);
	unpin(f, IOVA, 3);
}

static void callback_of_unmap(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	f->on_unmap = use_everything;
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 4, 4, 4 * IOVA), 0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 3), 0);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 1);
	expect_call(f, 0, IOVA, 4);
	expect_total_pins(f, 0);
	iommufd_access_destroy(f->access);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 1);
}

/* While it changes, the old place is there to unpin in, and for nothing else. */
static void use_while_changing(struct fixture *f, unsigned long iova,
			       unsigned long length)
{
	struct kunit *test = f->test;

	KUNIT_EXPECT_EQ(test, f->ioas[1]->iopt.iova_alignment, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, read_byte(f, IOVA), -ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 1)),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, iommufd_access_replace(f->access, ioas_id(f, 0)),
			-EBUSY);
	unpin(f, IOVA, 3);
}

static void callback_of_replace(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	f->on_unmap = use_while_changing;
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_at(f, 1, 8, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 3), 0);
	KUNIT_EXPECT_EQ(test, iommufd_access_replace(f->access, ioas_id(f, 1)),
			0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 1);
	expect_total_pins(f, 0);
	KUNIT_EXPECT_EQ(test, f->ioas[0]->iopt.iova_alignment, 1);

	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 2), 0);
	KUNIT_EXPECT_PTR_EQ(test, f->pages[0], f->memory->pages[8]);
	unpin(f, IOVA, 2);
	iommufd_access_destroy(f->access);
}

static void replace_that_fails(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct iopt_map_request odd = {
		.uptr = f->memory->uptr + 1,
		.length = 5,
		.iova = 3,
		.fixed_iova = true,
		.iommu_prot = TEST_PROT,
	};

	make_access(f, &driver_ops);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_request(&f->ioas[1]->iopt, &odd), 0);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 2), 0);
	KUNIT_EXPECT_EQ(test, iommufd_access_replace(f->access, NO_SUCH_ID),
			-ENOENT);
	KUNIT_EXPECT_EQ(test, iommufd_access_replace(f->access, ioas_id(f, 1)),
			-EADDRINUSE);
	/* the driver was not told anything, as nothing has happened */
	KUNIT_EXPECT_EQ(test, f->nr_calls, 0);
	KUNIT_EXPECT_EQ(test, pin(f, IOVA + PAGE_SIZE, 2), 0);
	expect_total_pins(f, 3);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&f->ictx,
							ioas_id(f, 0)), -EBUSY);
	KUNIT_EXPECT_EQ(test, f->ioas[1]->iopt.iova_alignment, 1);
	unpin(f, IOVA, 2);
	unpin(f, IOVA + PAGE_SIZE, 2);
	expect_total_pins(f, 0);
	iommufd_access_destroy(f->access);
}

/* i915 pins page by page, and unpins several at once. */
static void unpin_in_other_pieces(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 8, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA + 4 * PAGE_SIZE), 0);
	for (int i = 0; i < 8; i++) {
		KUNIT_ASSERT_EQ(test, pin(f, IOVA + i * PAGE_SIZE, 1), 0);
		KUNIT_EXPECT_PTR_EQ(test, f->pages[0],
				    f->memory->pages[i < 4 ? 8 + i : i - 4]);
	}
	expect_total_pins(f, 8);
	unpin(f, IOVA + 2 * PAGE_SIZE, 4);
	expect_total_pins(f, 4);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA + PAGE_SIZE, 6), 0);
	expect_total_pins(f, 8);
	unpin(f, IOVA, 2);
	expect_total_pins(f, 7);
	unpin(f, IOVA + 6 * PAGE_SIZE, 2);
	unpin(f, IOVA + 2 * PAGE_SIZE, 4);
	unpin(f, IOVA + PAGE_SIZE, 1);
	unpin(f, IOVA + 6 * PAGE_SIZE, 1);
	expect_total_pins(f, 0);
	iommufd_access_destroy(f->access);
}

/* Everybody is told, also who has nothing pinned. */
static void everybody_is_told(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct fixture *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, g);
	g->test = test;
	make_access(f, &driver_ops);
	f->on_unmap = unpin_all;
	g->access = iommufd_access_create(&f->ictx, &driver_ops, g, &g->id);
	KUNIT_ASSERT_FALSE(test, IS_ERR(g->access));
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(g->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, f->nr_calls, 1);
	KUNIT_EXPECT_EQ(test, g->nr_calls, 1);
	expect_call(g, 0, IOVA, 4);
	iommufd_access_destroy(g->access);
	iommufd_access_destroy(f->access);
	expect_total_pins(f, 0);
}

static void unpin_work(struct work_struct *work)
{
	struct fixture *f = container_of(to_delayed_work(work), struct fixture,
					 late);

	unpin(f, IOVA, 4);
}

static void unpin_later(struct fixture *f, unsigned long iova,
			unsigned long length)
{
	if (f->nr_calls == 1)
		schedule_delayed_work(&f->late, msecs_to_jiffies(100));
}

/* A driver whose pins go a little after its callback has returned. */
static void late_unpin_is_waited_for(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	f->on_unmap = unpin_later;
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	KUNIT_EXPECT_LT(test, 1, f->nr_calls);
	expect_total_pins(f, 0);
	flush_delayed_work(&f->late);
	iommufd_access_destroy(f->access);
}

static void stubborn_driver(struct kunit *test)
{
	struct fixture *f = test->priv;

	make_access(f, &driver_ops);
	KUNIT_ASSERT_EQ(test, iommufd_access_attach(f->access, ioas_id(f, 0)),
			0);
	KUNIT_ASSERT_EQ(test, map_at(f, 0, 0, 4, IOVA), 0);
	KUNIT_ASSERT_EQ(test, pin(f, IOVA, 4), 0);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), -EDEADLOCK);
	KUNIT_EXPECT_LT(test, 1, f->nr_calls);
	expect_total_pins(f, 4);
	/* as if nobody had asked */
	KUNIT_EXPECT_EQ(test, pin(f, IOVA, 1), 0);
	unpin(f, IOVA, 1);
	unpin(f, IOVA, 4);
	KUNIT_EXPECT_EQ(test, unmap(f, 0, IOVA, 4), 0);
	iommufd_access_destroy(f->access);
}

/* -- the suite -- */

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
};

static int access_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->test = test;
	f->memory = user_memory_make(test, NR_PAGES, 1);
	iommufd_ctx_init(&f->ictx);
	INIT_DELAYED_WORK(&f->late, unpin_work);
	f->ictx.file = anon_inode_getfile("[iommufd_test]", &test_fops, NULL,
					  O_RDWR);
	KUNIT_ASSERT_FALSE(test, IS_ERR(f->ictx.file));
	test->priv = f;
	for (int i = 0; i < 2; i++) {
		f->ioas[i] = iommufd_ioas_begin(&f->ictx);
		KUNIT_ASSERT_FALSE(test, IS_ERR(f->ioas[i]));
		iommufd_object_publish(&f->ioas[i]->obj);
	}
	return 0;
}

static void access_test_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	if (!f)
		return;
	KUNIT_EXPECT_TRUE(test, iommufd_ctx_destroy_objects(&f->ictx));
	KUNIT_EXPECT_EQ(test, file_count(f->ictx.file), 1);
	fput(f->ictx.file);
}

static struct kunit_case access_cases[] = {
	KUNIT_CASE(calls_without_ioas),
	KUNIT_CASE(attach_and_detach),
	KUNIT_CASE(file_is_held),
	KUNIT_CASE(no_pins_without_asking),
	KUNIT_CASE(detach_asks_for_areas),
	KUNIT_CASE(callback_of_unmap),
	KUNIT_CASE(callback_of_replace),
	KUNIT_CASE(replace_that_fails),
	KUNIT_CASE(unpin_in_other_pieces),
	KUNIT_CASE(everybody_is_told),
	KUNIT_CASE(late_unpin_is_waited_for),
	KUNIT_CASE(stubborn_driver),
	{}
};

static struct kunit_suite access_suite = {
	.name = "iommufd_access",
	.init = access_test_init,
	.exit = access_test_exit,
	.test_cases = access_cases,
};

kunit_test_suite(access_suite);

MODULE_DESCRIPTION("Tests of iommufd's in-kernel users");
MODULE_LICENSE("GPL");
