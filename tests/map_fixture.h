/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the IOVA map share: a map, memory, fake domains, tasks.
 */
#ifndef __IOMMUFD_TESTS_MAP_FIXTURE_H
#define __IOMMUFD_TESTS_MAP_FIXTURE_H

#include <linux/completion.h>
#include <linux/iommu.h>

#include "../io_pagetable.h"
#include "../iopt_area.h"
#include "fake_domain.h"
#include "user_memory.h"

struct kunit;
struct mm_struct;
struct task_struct;

#define TEST_PROT (IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)

/**
 * struct map_fixture - a map under test
 * @test: the test
 * @iopt: the map
 * @memory: what is mapped
 * @mm: of the test's thread
 * @account_mode: for map_pages_at()
 * @locked_before: user_struct.locked_vm when the test began
 * @yields: new domains let others run
 */
struct map_fixture {
	struct kunit *test;
	struct io_pagetable iopt;
	struct user_memory *memory;
	struct mm_struct *mm;
	enum iopt_account_mode account_mode;
	long locked_before;
	bool yields;
};

/**
 * struct map_domain - a fake domain as a member of the map's set
 * @member: for the map
 * @fake: the domain
 */
struct map_domain {
	struct iopt_domain member;
	struct fake_domain *fake;
};

/**
 * struct map_task - a task next to the test's
 * @f: the map
 * @fn: what it does; its return value is map_task_join()'s
 * @arg: for @fn
 * @number: for @fn
 * @has_mm: it uses the mm of the test
 * @task: the task
 * @done: @fn has returned
 */
struct map_task {
	struct map_fixture *f;
	int (*fn)(struct map_task *task);
	void *arg;
	unsigned long number;
	bool has_mm;
	struct task_struct *task;
	struct completion done;
};

struct map_fixture *map_fixture_make(struct kunit *test, unsigned long npages,
				     unsigned long block_pages);
void map_fixture_end(struct map_fixture *f);

int map_request(struct io_pagetable *iopt, struct iopt_map_request *request);
int copy_request(struct io_pagetable *from, unsigned long first_iova,
		 struct io_pagetable *to, struct iopt_map_request *request);
int copy_pages_at(struct map_fixture *f, unsigned long from_iova,
		  unsigned long npages, unsigned long iova);
int map_pages_at(struct map_fixture *f, unsigned long first_page,
		 unsigned long npages, unsigned long iova);
int unmap_at(struct map_fixture *f, unsigned long iova, unsigned long npages);

struct map_domain *map_domain_make(struct map_fixture *f,
				   enum fake_personality personality);
int map_domain_try_add(struct map_fixture *f, struct map_domain *domain);
struct map_domain *map_domain_add(struct map_fixture *f,
				  enum fake_personality personality);
void map_domain_free(struct map_domain *domain);
void map_domain_let_go(struct io_pagetable *iopt, struct map_domain *domain);
void map_domain_remove(struct map_fixture *f, struct map_domain *domain);

void expect_pins(struct map_fixture *f, unsigned long first_page,
		 unsigned long npages, unsigned int pins);
void expect_charge(struct map_fixture *f, unsigned long npages);
void expect_mapped(struct map_fixture *f, struct map_domain *domain,
		   unsigned long first_page, unsigned long npages,
		   unsigned long iova);

void map_task_start(struct map_task *task);
int map_task_join(struct map_task *task);
void map_task_kill(struct map_task *task);
bool map_task_runs(struct map_task *task);
void map_pause(void);

#endif
