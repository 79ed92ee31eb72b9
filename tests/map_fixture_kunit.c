// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tests of the IOVA map share, see map_fixture.h.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/debug.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "map_fixture.h"

/**
 * map_fixture_make() - make an empty map, and memory
 * @test: the test
 * @npages: pages of memory
 * @block_pages: see user_memory_make()
 *
 * Return: the fixture.
 */
struct map_fixture *map_fixture_make(struct kunit *test, unsigned long npages,
				     unsigned long block_pages)
{
	struct map_fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->test = test;
	f->account_mode = IOPT_ACCOUNT_USER;
	f->memory = user_memory_make(test, npages, block_pages);
	f->mm = current->mm;
	f->locked_before = atomic_long_read(&current_user()->locked_vm);
	iopt_init(&f->iopt);
	return f;
}

/**
 * map_fixture_end() - unmap everything, and see that nothing is left
 * @f: the fixture, without domains
 */
void map_fixture_end(struct map_fixture *f)
{
	unsigned long unmapped_bytes;

	KUNIT_EXPECT_EQ(f->test, iopt_unmap_all(&f->iopt, &unmapped_bytes), 0);
	KUNIT_EXPECT_TRUE(f->test, iova_map_is_empty(&f->iopt.areas));
	KUNIT_EXPECT_EQ(f->test, f->iopt.nr_areas, 0);
	KUNIT_EXPECT_EQ(f->test, f->iopt.mapped_bytes, 0);
	KUNIT_EXPECT_EQ(f->test, f->iopt.nr_quarantined, 0);
	expect_pins(f, 0, f->memory->npages, 0);
	expect_charge(f, 0);
	iopt_destroy(&f->iopt);
}

static int map_settle(struct iopt_pending *pending, int rc)
{
	if (pending->iopt && rc)
		iopt_pending_abort(pending);
	else if (pending->iopt)
		iopt_pending_commit(pending);
	return rc;
}

/**
 * map_request() - map and commit
 * @iopt: the map
 * @request: what and where
 *
 * Return: as iopt_map_begin().
 */
int map_request(struct io_pagetable *iopt, struct iopt_map_request *request)
{
	struct iopt_pending pending = {};
	int rc;

	rc = iopt_map_begin(iopt, request, &pending);
	return map_settle(&pending, rc);
}

/**
 * copy_request() - copy and commit
 * @from: the map that is copied from
 * @first_iova: first IOVA there; the length is that of the request
 * @to: the map that is copied to, may be the same
 * @request: where
 *
 * Return: as iopt_copy_begin() and iopt_copy_place().
 */
int copy_request(struct io_pagetable *from, unsigned long first_iova,
		 struct io_pagetable *to, struct iopt_map_request *request)
{
	struct iopt_pending pending = {};
	struct iopt_copy copy;
	int rc;

	rc = iopt_copy_begin(from, first_iova,
			     first_iova + (request->length - 1), &copy);
	if (rc)
		return rc;
	rc = iopt_copy_place(to, &copy, request, &pending);
	iopt_copy_end(&copy);
	return map_settle(&pending, rc);
}

/**
 * copy_pages_at() - copy pages within the map to a fixed IOVA
 * @f: the fixture
 * @from_iova: what is copied
 * @npages: how many
 * @iova: where to
 *
 * Return: as copy_request().
 */
int copy_pages_at(struct map_fixture *f, unsigned long from_iova,
		  unsigned long npages, unsigned long iova)
{
	struct iopt_map_request request = {
		.length = npages * PAGE_SIZE,
		.iova = iova,
		.iommu_prot = TEST_PROT,
		.fixed_iova = true,
	};

	return copy_request(&f->iopt, from_iova, &f->iopt, &request);
}

/**
 * map_pages_at() - map pages of the memory at a fixed IOVA
 * @f: the fixture
 * @first_page: first page of the memory
 * @npages: how many
 * @iova: where
 *
 * Return: as iopt_map_begin().
 */
int map_pages_at(struct map_fixture *f, unsigned long first_page,
		 unsigned long npages, unsigned long iova)
{
	struct iopt_map_request request = {
		.uptr = f->memory->uptr + first_page * PAGE_SIZE,
		.length = npages * PAGE_SIZE,
		.iova = iova,
		.iommu_prot = TEST_PROT,
		.account_mode = f->account_mode,
		.fixed_iova = true,
	};

	return map_request(&f->iopt, &request);
}

/**
 * unmap_at() - unmap a range, and expect that so much is unmapped
 * @f: the fixture
 * @iova: where
 * @npages: how many pages
 *
 * Return: as iopt_unmap().
 */
int unmap_at(struct map_fixture *f, unsigned long iova, unsigned long npages)
{
	unsigned long unmapped_bytes;
	int rc;

	rc = iopt_unmap(&f->iopt, iova, iova + (npages * PAGE_SIZE - 1),
			&unmapped_bytes);
	if (!rc)
		KUNIT_EXPECT_EQ(f->test, unmapped_bytes, npages * PAGE_SIZE);
	return rc;
}

/**
 * map_domain_make() - make a domain that is not in the map's set
 * @f: the fixture
 * @personality: of the driver
 *
 * Return: the domain.
 */
struct map_domain *map_domain_make(struct map_fixture *f,
				   enum fake_personality personality)
{
	struct map_domain *domain = kzalloc(sizeof(*domain), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(f->test, domain);
	domain->fake = fake_domain_make(f->test, personality);
	KUNIT_ASSERT_NOT_NULL(f->test, domain->fake);
	domain->fake->yields = f->yields;
	domain->member.io.domain = &domain->fake->domain;
	iommufd_gate_init(&domain->member.io.gate);
	return domain;
}

/**
 * map_domain_free() - free a domain that is not in the map's set any more
 * @domain: the domain
 */
void map_domain_free(struct map_domain *domain)
{
	fake_domain_check(domain->fake);
	fake_domain_free(domain->fake);
	kfree_rcu(domain, member.rcu);
}

/**
 * map_domain_let_go() - free a domain that refused to unmap something
 * @iopt: the map it was in
 * @domain: the domain, removed
 */
void map_domain_let_go(struct io_pagetable *iopt, struct map_domain *domain)
{
	KUNIT_EXPECT_TRUE(domain->fake->test, domain->member.stuck);
	domain->fake->keeps = true;
	iopt_domain_free(iopt, &domain->member);
	kfree_rcu(domain, member.rcu);
}

/**
 * map_domain_try_add() - add a domain to the map's set, or free it
 * @f: the fixture
 * @domain: the domain
 *
 * Return: as iopt_domain_add().
 */
int map_domain_try_add(struct map_fixture *f, struct map_domain *domain)
{
	int rc;

	domain->fake->small_pages = &f->iopt.domains.small_pages;
	rc = iopt_domain_add(&f->iopt, &domain->member);
	if (rc)
		map_domain_free(domain);
	return rc;
}

/**
 * map_domain_add() - make a domain and add it
 * @f: the fixture
 * @personality: of the driver
 *
 * Return: the domain.
 */
struct map_domain *map_domain_add(struct map_fixture *f,
				  enum fake_personality personality)
{
	struct map_domain *domain = map_domain_make(f, personality);

	KUNIT_ASSERT_EQ(f->test, map_domain_try_add(f, domain), 0);
	return domain;
}

/**
 * map_domain_remove() - remove a domain from the map's set and free it
 * @f: the fixture
 * @domain: the domain
 */
void map_domain_remove(struct map_fixture *f, struct map_domain *domain)
{
	iopt_domain_remove(&f->iopt, &domain->member);
	map_domain_free(domain);
}

/**
 * expect_pins() - expect that pages are pinned so often
 * @f: the fixture
 * @first_page: first page of the memory
 * @npages: how many
 * @pins: how often each of them
 */
void expect_pins(struct map_fixture *f, unsigned long first_page,
		 unsigned long npages, unsigned int pins)
{
	unsigned long i;

	for (i = first_page; i < first_page + npages; i++) {
		if (user_memory_pins(f->memory, i) == pins)
			continue;
		KUNIT_FAIL(f->test, "page %lu has %u pins, not %u", i,
			   user_memory_pins(f->memory, i), pins);
		break;
	}
}

/**
 * expect_charge() - expect that so many pages are charged
 * @f: the fixture
 * @npages: how many
 */
void expect_charge(struct map_fixture *f, unsigned long npages)
{
	long locked = atomic_long_read(&current_user()->locked_vm);
	bool to_user = f->account_mode == IOPT_ACCOUNT_USER;
	bool to_mm = f->account_mode == IOPT_ACCOUNT_MM;

	KUNIT_EXPECT_EQ(f->test, locked - f->locked_before,
			to_user ? npages : 0);
	KUNIT_EXPECT_EQ(f->test, f->mm->locked_vm, to_mm ? npages : 0);
	KUNIT_EXPECT_EQ(f->test, atomic64_read(&f->mm->pinned_vm), npages);
}

/**
 * expect_mapped() - expect that a domain shows the right pages
 * @f: the fixture
 * @domain: the domain
 * @first_page: first page of the memory
 * @npages: how many
 * @iova: of the first page
 */
void expect_mapped(struct map_fixture *f, struct map_domain *domain,
		   unsigned long first_page, unsigned long npages,
		   unsigned long iova)
{
	unsigned long i;

	for (i = 0; i < npages; i++) {
		struct page *page = f->memory->pages[first_page + i];
		unsigned long at = iova + i * PAGE_SIZE;
		phys_addr_t phys = fake_domain_lookup(domain->fake, at);

		if (phys == page_to_phys(page))
			continue;
		KUNIT_FAIL(f->test, "IOVA %#lx shows %pa, not page %lu", at,
			   &phys, first_page + i);
		break;
	}
}

static int map_task_main(void *data)
{
	struct map_task *task = data;
	int rc;

	/* A kernel thread ignores even SIGKILL otherwise. */
	allow_signal(SIGKILL);
	if (task->has_mm)
		kthread_use_mm(task->f->mm);
	rc = task->fn(task);
	if (task->has_mm)
		kthread_unuse_mm(task->f->mm);
	complete(&task->done);
	return rc;
}

/**
 * map_task_start() - start a task
 * @task: @f and @fn are set
 */
void map_task_start(struct map_task *task)
{
	init_completion(&task->done);
	task->task = kthread_create(map_task_main, task, "map_task");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(task->f->test, task->task);
	get_task_struct(task->task);
	wake_up_process(task->task);
}

/**
 * map_task_join() - wait for the end of a task
 * @task: the task
 *
 * Return: what its function returned.
 */
int map_task_join(struct map_task *task)
{
	if (!wait_for_completion_timeout(&task->done, 60 * HZ)) {
		KUNIT_FAIL(task->f->test, "a task does not end");
		sched_show_task(task->task);
		wait_for_completion(&task->done);
	}
	return kthread_stop_put(task->task);
}

/**
 * map_task_kill() - send a fatal signal
 * @task: the task
 */
void map_task_kill(struct map_task *task)
{
	send_sig(SIGKILL, task->task, 1);
}

/**
 * map_task_runs() - is a task not through yet?
 * @task: the task
 *
 * Return: whether it is not.
 */
bool map_task_runs(struct map_task *task)
{
	return !completion_done(&task->done);
}

/**
 * map_pause() - give others time to do all they can without the caller
 */
void map_pause(void)
{
	msleep(20);
}
