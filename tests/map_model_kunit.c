// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two IOVA maps against a model that knows for each page who has to keep it
 * pinned and where it has to be mapped. Random operations, random failures of
 * drivers and memory; everything is compared after each of them.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>

#include "map_fixture.h"

static unsigned long long model_seed;
module_param_named(test_seed, model_seed, ullong, 0444);
MODULE_PARM_DESC(test_seed, "Seed of the random test of IOVA maps, 0 for any");

static unsigned int model_seconds = 8;
module_param_named(test_seconds, model_seconds, uint, 0444);
MODULE_PARM_DESC(test_seconds, "Duration of the random test of IOVA maps");

#define MODEL_MAPS 2
#define MODEL_DOMAINS 3
#define MODEL_AREAS 28
#define MODEL_PAGES 96

/* Fixed IOVAs lie here, so that many meet, and some cross a gigabyte. */
#define MODEL_IOVA (SZ_1G - 64 * PAGE_SIZE)
#define MODEL_WINDOW_PAGES 192

/* Cannot be pinned. */
#define MODEL_BAD_PAGE (MODEL_PAGES - 1)

/**
 * struct model_area - what the model knows of an area
 * @npages: pages, 0 if there is no such area
 * @map: which map it is in
 * @source: its pages object; those that were copied have the same
 * @first_page: page of the memory that its first page shows
 * @iova: of the first page
 */
struct model_area {
	unsigned long npages;
	unsigned int map;
	unsigned int source;
	unsigned long first_page;
	unsigned long iova;
};

/**
 * struct model - the model, and what it is compared with
 * @f: the fixture
 * @test: the test
 * @iopts: the maps
 * @rnd: random numbers
 * @domains: domains of each map, NULL where there is none
 * @small_pages: each map's choice
 * @areas: all areas of all maps
 * @pinned: by pages object and page of the memory: what has been pinned, while
 *	it has to be; the memory may have other pages there by now
 * @base_pfn: the lowest PFN of the memory, which is one block
 * @nr_ops: operations so far
 * @nr_failed: those of them that failed, as they had to
 */
struct model {
	struct map_fixture *f;
	struct kunit *test;
	struct io_pagetable iopts[MODEL_MAPS];
	struct rnd_state rnd;
	struct map_domain *domains[MODEL_MAPS][MODEL_DOMAINS];
	bool small_pages[MODEL_MAPS];
	struct model_area areas[MODEL_AREAS];
	struct page *pinned[MODEL_AREAS][MODEL_PAGES];
	unsigned long base_pfn;
	unsigned long nr_ops;
	unsigned long nr_failed;
};

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->rnd) % limit;
}

/* The next area behind one, or the first one behind NULL. */
static struct model_area *next_area(struct model *m, struct model_area *area)
{
	for (area = area ? area + 1 : m->areas;
	     area != m->areas + MODEL_AREAS; area++) {
		if (area->npages)
			return area;
	}
	return NULL;
}

static unsigned long area_last(const struct model_area *area)
{
	return area->iova + (area->npages * PAGE_SIZE - 1);
}

static bool shows(const struct model_area *area, unsigned long page)
{
	return page >= area->first_page &&
	       page - area->first_page < area->npages;
}

static bool is_active(const struct model *m, unsigned int map)
{
	unsigned int i;

	for (i = 0; i < MODEL_DOMAINS; i++) {
		if (m->domains[map][i])
			return true;
	}
	return false;
}

static struct model_area *free_area(struct model *m)
{
	unsigned int i;

	for (i = 0; i < MODEL_AREAS; i++) {
		if (!m->areas[i].npages)
			return &m->areas[i];
	}
	return NULL;
}

/* A number for a new pages object, which no area has. */
static unsigned int free_source(struct model *m)
{
	unsigned int source = 0;
	struct model_area *area;

	area = next_area(m, NULL);
	while (area) {
		if (area->source == source) {
			source++;
			area = NULL;
		}
		area = next_area(m, area);
	}
	return source;
}

static unsigned int nr_free_areas(const struct model *m)
{
	unsigned int i, n = 0;

	for (i = 0; i < MODEL_AREAS; i++)
		n += !m->areas[i].npages;
	return n;
}

/* The lowest area of a map that does not end below an IOVA. */
static struct model_area *area_from(struct model *m, unsigned int map,
				    unsigned long iova)
{
	struct model_area *area, *found = NULL;

	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->map == map && area_last(area) >= iova &&
		    (!found || area->iova < found->iova))
			found = area;
	}
	return found;
}

static struct model_area *any_area(struct model *m, unsigned int map)
{
	struct model_area *area, *found = NULL;
	unsigned int n = 0;

	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->map == map && below(m, ++n) == 0)
			found = area;
	}
	return found;
}

static bool overlaps(struct model *m, unsigned int map, unsigned long iova,
		     unsigned long npages)
{
	struct model_area *area = area_from(m, map, iova);

	return area && area->iova <= iova + (npages * PAGE_SIZE - 1);
}

static bool must_be_pinned(struct model *m, unsigned int source,
			   unsigned long page)
{
	struct model_area *area;

	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->source == source && shows(area, page) &&
		    is_active(m, area->map))
			return true;
	}
	return false;
}

/* What had to be pinned by the last operation was pinned by it. */
static void update_pinned(struct model *m)
{
	unsigned int source;
	unsigned long page;

	for (source = 0; source < MODEL_AREAS; source++) {
		for (page = 0; page < MODEL_PAGES; page++) {
			struct page **pinned = &m->pinned[source][page];

			if (!must_be_pinned(m, source, page))
				*pinned = NULL;
			else if (!*pinned)
				*pinned = m->f->memory->pages[page];
		}
	}
}

/* Count the pins of one pages object. Return: how many. */
static unsigned long count_pins(struct model *m, unsigned int source,
				unsigned int *pins)
{
	unsigned long page, total = 0;

	for (page = 0; page < MODEL_PAGES; page++) {
		struct page *pinned = m->pinned[source][page];

		if (!pinned)
			continue;
		pins[page_to_pfn(pinned) - m->base_pfn]++;
		total++;
	}
	return total;
}

static void check_pages(struct model *m)
{
	unsigned int pins[MODEL_PAGES] = {};
	unsigned long charged = 0;
	unsigned int source;
	unsigned long page;

	for (source = 0; source < MODEL_AREAS; source++)
		charged += count_pins(m, source, pins);
	for (page = 0; page < MODEL_PAGES; page++) {
		unsigned long pfn = page_to_pfn(m->f->memory->pages[page]);

		expect_pins(m->f, page, 1, pins[pfn - m->base_pfn]);
	}
	expect_charge(m->f, charged);
}

static void check_area(struct model *m, const struct model_area *area,
		       struct map_domain *domain)
{
	unsigned long i;

	for (i = 0; i < area->npages; i++) {
		struct page *pinned =
			m->pinned[area->source][area->first_page + i];
		unsigned long iova = area->iova + i * PAGE_SIZE;
		phys_addr_t phys = fake_domain_lookup(domain->fake, iova);

		if (phys == page_to_phys(pinned))
			continue;
		KUNIT_FAIL(m->test, "IOVA %#lx shows %pa, not what was pinned",
			   iova, &phys);
		break;
	}
}

static void check_domain(struct model *m, unsigned int map,
			 struct map_domain *domain)
{
	struct model_area *area;
	unsigned long mapped_bytes = 0;

	fake_domain_check(domain->fake);
	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->map != map)
			continue;
		mapped_bytes += area->npages * PAGE_SIZE;
		check_area(m, area, domain);
	}
	KUNIT_EXPECT_EQ(m->test, domain->fake->mapped_bytes, mapped_bytes);
}

static void check_map(struct model *m, unsigned int map)
{
	struct io_pagetable *iopt = &m->iopts[map];
	struct model_area *area;
	unsigned long mapped_bytes = 0;
	unsigned int i;

	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->map == map)
			mapped_bytes += area->npages * PAGE_SIZE;
	}
	KUNIT_EXPECT_EQ(m->test, iopt->mapped_bytes, mapped_bytes);
	for (i = 0; i < MODEL_DOMAINS; i++) {
		if (m->domains[map][i])
			check_domain(m, map, m->domains[map][i]);
	}
}

static void check_all(struct model *m)
{
	unsigned int map;

	update_pinned(m);
	check_pages(m);
	for (map = 0; map < MODEL_MAPS; map++)
		check_map(m, map);
}

/* Let some call of some driver fail, now and then. */
static struct fake_domain *arm(struct model *m, unsigned int map)
{
	struct map_domain *domain = m->domains[map][below(m, MODEL_DOMAINS)];

	if (!domain || below(m, 6))
		return NULL;
	domain->fake->fail_map = 1 + below(m, 4);
	return domain->fake;
}

/* Return: -ENOMEM if a call failed, or what was expected without that. */
static int disarm(struct fake_domain *fake, int expected)
{
	bool fired = fake && !fake->fail_map;

	if (fake)
		fake->fail_map = 0;
	return fired ? -ENOMEM : expected;
}

static void judge(struct model *m, const char *what, int rc, int expected)
{
	m->nr_failed += rc != 0;
	if (rc != expected)
		KUNIT_FAIL(m->test, "%s returned %d, not %d", what, rc,
			   expected);
}

static unsigned long any_fixed_iova(struct model *m)
{
	return MODEL_IOVA + below(m, MODEL_WINDOW_PAGES) * PAGE_SIZE;
}

/* What pinning will say. */
static int pin_error(struct model *m, unsigned int map,
		     unsigned long first_page, unsigned long npages)
{
	struct model_area area = { .first_page = first_page, .npages = npages };

	return is_active(m, map) && shows(&area, MODEL_BAD_PAGE) ? -EFAULT : 0;
}

static void add_area(struct model *m, const struct model_area *area)
{
	struct model_area *slot = free_area(m);

	KUNIT_ASSERT_NOT_NULL(m->test, slot);
	KUNIT_EXPECT_FALSE(m->test, overlaps(m, area->map, area->iova,
					     area->npages));
	*slot = *area;
}

static void do_map(struct model *m)
{
	struct model_area area = {
		.map = below(m, MODEL_MAPS),
		.source = free_source(m),
		.first_page = below(m, MODEL_PAGES),
		.iova = any_fixed_iova(m),
	};
	struct iopt_map_request request = {
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
		.iova = area.iova,
		.fixed_iova = below(m, 4),
	};
	struct fake_domain *armed;
	int rc, expected;

	area.npages = 1 + below(m, min(40UL, MODEL_PAGES - area.first_page));
	if (!nr_free_areas(m))
		return;
	request.uptr = m->f->memory->uptr + area.first_page * PAGE_SIZE;
	request.length = area.npages * PAGE_SIZE;
	request.is_final = request.fixed_iova && below(m, 2);
	expected = pin_error(m, area.map, area.first_page, area.npages);
	if (request.fixed_iova && overlaps(m, area.map, area.iova, area.npages))
		expected = -EEXIST;

	armed = arm(m, area.map);
	rc = map_request(&m->iopts[area.map], &request);
	judge(m, "map", rc, disarm(armed, expected));
	area.iova = request.iova;
	if (!rc)
		add_area(m, &area);
}

static void do_abort(struct model *m)
{
	struct iopt_map_request request = {
		.uptr = m->f->memory->uptr,
		.length = (1 + below(m, MODEL_PAGES - 1)) * PAGE_SIZE,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_USER,
	};
	struct iopt_pending pending = {};
	unsigned int map = below(m, MODEL_MAPS);
	int rc;

	rc = iopt_map_begin(&m->iopts[map], &request, &pending);
	judge(m, "map to be aborted", rc, 0);
	if (pending.iopt)
		iopt_pending_abort(&pending);
}

/*
 * The areas that a copy of a range makes, behind those in the model.
 *
 * Return: how many, or -ENOENT when there is a hole.
 */
static int plan_copy(struct model *m, unsigned int map, unsigned long iova,
		     unsigned long npages, struct model_area *plan)
{
	int n = 0;

	while (npages) {
		struct model_area *from = area_from(m, map, iova);
		unsigned long skip;

		if (!from || from->iova > iova)
			return -ENOENT;
		skip = (iova - from->iova) / PAGE_SIZE;
		plan[n] = *from;
		plan[n].first_page += skip;
		plan[n].npages = min(npages, from->npages - skip);
		npages -= plan[n].npages;
		iova += plan[n].npages * PAGE_SIZE;
		n++;
	}
	return n;
}

static int copy_error(struct model *m, const struct model_area *plan, int n,
		      unsigned int map)
{
	int i, rc = 0;

	for (i = 0; i < n && !rc; i++)
		rc = pin_error(m, map, plan[i].first_page, plan[i].npages);
	return rc;
}

static void adopt_copy(struct model *m, struct model_area *plan, int n,
		       unsigned int map, unsigned long iova)
{
	int i;

	for (i = 0; i < n; i++) {
		plan[i].map = map;
		plan[i].iova = iova;
		iova += plan[i].npages * PAGE_SIZE;
		add_area(m, &plan[i]);
	}
}

static void do_copy(struct model *m)
{
	unsigned int from = below(m, MODEL_MAPS), to = below(m, MODEL_MAPS);
	struct model_area *source = any_area(m, from);
	struct model_area plan[MODEL_AREAS];
	struct iopt_map_request request = {
		.iommu_prot = TEST_PROT,
		.iova = any_fixed_iova(m),
		.fixed_iova = below(m, 4),
	};
	struct fake_domain *armed;
	unsigned long npages, iova;
	int rc, n, expected;

	if (!source)
		return;
	iova = source->iova + below(m, source->npages) * PAGE_SIZE;
	npages = 1 + below(m, below(m, 3) ? 8 : 48);
	n = plan_copy(m, from, iova, npages, plan);
	if (n > (int)nr_free_areas(m))
		return;
	request.length = npages * PAGE_SIZE;
	expected = n < 0 ? n : copy_error(m, plan, n, to);
	if (n > 0 && request.fixed_iova &&
	    overlaps(m, to, request.iova, npages))
		expected = -EEXIST;

	armed = arm(m, to);
	rc = copy_request(&m->iopts[from], iova, &m->iopts[to], &request);
	judge(m, "copy", rc, disarm(armed, expected));
	if (!rc)
		adopt_copy(m, plan, n, to, request.iova);
}

/* Return: what iopt_unmap() has to. */
static int model_unmap(struct model *m, unsigned int map,
		       unsigned long first_iova, unsigned long last_iova,
		       unsigned long *unmapped_bytes)
{
	unsigned long iova = first_iova;
	struct model_area *area;

	*unmapped_bytes = 0;
	while ((area = area_from(m, map, iova)) && area->iova <= last_iova) {
		if (area->iova < first_iova || area_last(area) > last_iova)
			return -ENOENT;
		iova = area_last(area) + 1;
		*unmapped_bytes += area->npages * PAGE_SIZE;
		area->npages = 0;
	}
	return *unmapped_bytes ? 0 : -ENOENT;
}

static void do_unmap(struct model *m)
{
	unsigned int map = below(m, MODEL_MAPS);
	struct model_area *area = any_area(m, map);
	unsigned long first_iova = any_fixed_iova(m);
	unsigned long last_iova = first_iova + 32 * PAGE_SIZE - 1;
	unsigned long unmapped_bytes, expected_bytes;
	int rc, expected;

	if (area && below(m, 4)) {
		first_iova = area->iova;
		last_iova = area_last(area);
	}
	if (below(m, 4) == 0)
		last_iova += below(m, 32) * PAGE_SIZE;
	if (below(m, 4) == 0 && first_iova >= SZ_1M)
		first_iova -= below(m, 32) * PAGE_SIZE;
	expected = model_unmap(m, map, first_iova, last_iova, &expected_bytes);
	rc = iopt_unmap(&m->iopts[map], first_iova, last_iova, &unmapped_bytes);
	judge(m, "unmap", rc, expected);
	KUNIT_EXPECT_EQ(m->test, unmapped_bytes, expected_bytes);
}

static void do_unmap_all(struct model *m)
{
	unsigned int map = below(m, MODEL_MAPS);
	unsigned long unmapped_bytes, expected_bytes;

	if (below(m, 16))
		return;
	model_unmap(m, map, 0, ULONG_MAX, &expected_bytes);
	judge(m, "unmap of all",
	      iopt_unmap_all(&m->iopts[map], &unmapped_bytes), 0);
	KUNIT_EXPECT_EQ(m->test, unmapped_bytes, expected_bytes);
}

static bool has_bad_area(struct model *m, unsigned int map)
{
	struct model_area *area;

	for (area = next_area(m, NULL); area; area = next_area(m, area)) {
		if (area->map == map && shows(area, MODEL_BAD_PAGE))
			return true;
	}
	return false;
}

static void do_add_domain(struct model *m)
{
	unsigned int map = below(m, MODEL_MAPS);
	struct map_domain **slot = &m->domains[map][below(m, MODEL_DOMAINS)];
	struct map_domain *domain;
	int rc, expected = 0;

	if (*slot)
		return;
	if (has_bad_area(m, map))
		expected = -EFAULT;
	domain = map_domain_make(m->f, below(m, FAKE_NR_PERSONALITIES));
	domain->fake->small_leaves = below(m, 4) == 0;
	if (below(m, 4) == 0)
		domain->fake->fail_map = 1 + below(m, 16);
	domain->fake->small_pages = &m->iopts[map].domains.small_pages;
	rc = iopt_domain_add(&m->iopts[map], &domain->member);
	if (rc == -ENOMEM && !domain->fake->fail_map)
		expected = -ENOMEM;
	domain->fake->fail_map = 0;
	judge(m, "attach", rc, expected);
	if (!rc)
		*slot = domain;
	else
		map_domain_free(domain);
}

static void remove_domain(struct model *m, unsigned int map, unsigned int i)
{
	struct map_domain *domain = m->domains[map][i];

	m->domains[map][i] = NULL;
	if (!domain)
		return;
	iopt_domain_remove(&m->iopts[map], &domain->member);
	map_domain_free(domain);
}

static void do_remove_domain(struct model *m)
{
	remove_domain(m, below(m, MODEL_MAPS), below(m, MODEL_DOMAINS));
}

static void do_choose_pages(struct model *m)
{
	unsigned int map = below(m, MODEL_MAPS);
	bool small_pages = below(m, 2);
	int rc, expected = 0;

	if (small_pages && !m->small_pages[map] && is_active(m, map) &&
	    area_from(m, map, 0))
		expected = -EINVAL;
	rc = iopt_set_large_pages(&m->iopts[map], !small_pages);
	judge(m, "choice of pages", rc, expected);
	if (!rc)
		m->small_pages[map] = small_pages;
}

/* The same addresses, other pages: what is pinned from now on. */
static void do_exchange(struct model *m)
{
	unsigned long a = below(m, MODEL_PAGES / 16 - 1) * 16;
	unsigned long b = below(m, MODEL_PAGES / 16 - 1) * 16;

	user_memory_exchange(m->f->memory, a, b, 16);
}

static void do_something(struct model *m)
{
	static void (* const ops[])(struct model *m) = {
		do_map, do_map, do_map, do_map,
		do_copy, do_copy, do_copy,
		do_unmap, do_unmap, do_unmap, do_unmap,
		do_abort, do_unmap_all,
		do_add_domain, do_remove_domain, do_exchange,
		do_choose_pages,
	};

	ops[below(m, ARRAY_SIZE(ops))](m);
	m->nr_ops++;
}

static unsigned long lowest_pfn(const struct user_memory *memory)
{
	unsigned long pfn = ULONG_MAX;
	unsigned long i;

	for (i = 0; i < memory->npages; i++)
		pfn = min(pfn, page_to_pfn(memory->pages[i]));
	return pfn;
}

static struct model *model_make(struct kunit *test, u64 seed)
{
	static const unsigned long layouts[] = { MODEL_PAGES, 24, 3, 1 };
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned int map;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->test = test;
	prandom_seed_state(&m->rnd, seed);
	m->f = map_fixture_make(test, MODEL_PAGES,
				layouts[below(m, ARRAY_SIZE(layouts))]);
	user_memory_break(m->f->memory, MODEL_BAD_PAGE);
	m->base_pfn = lowest_pfn(m->f->memory);
	for (map = 0; map < MODEL_MAPS; map++)
		iopt_init(&m->iopts[map]);
	return m;
}

static void model_end(struct model *m)
{
	unsigned int map, i;

	for (map = 0; map < MODEL_MAPS; map++) {
		for (i = 0; i < MODEL_DOMAINS; i++)
			remove_domain(m, map, i);
		iopt_destroy(&m->iopts[map]);
	}
	map_fixture_end(m->f);
}

static void run_model(struct kunit *test, u64 seed, unsigned long deadline)
{
	static const unsigned int batch_bytes[] = { SZ_64K, 64, 1 };
	struct model *m = model_make(test, seed);

	/* Batches of any number of runs, of four, and of a single one. */
	WRITE_ONCE(iopt_temp_bytes_limit,
		   batch_bytes[below(m, ARRAY_SIZE(batch_bytes))]);
	while (test->status != KUNIT_FAILURE && m->nr_ops < 1000 &&
	       time_before(jiffies, deadline)) {
		do_something(m);
		check_all(m);
		cond_resched();
	}
	if (test->status == KUNIT_FAILURE)
		kunit_info(test, "operation %lu of seed %llu failed",
			   m->nr_ops, seed);
	else if (m->nr_ops == 1000)
		KUNIT_EXPECT_GT(test, m->nr_failed, 10);
	model_end(m);
	WRITE_ONCE(iopt_temp_bytes_limit, SZ_64K);
}

/* Each seed is a run of its own: a failure is found again in no time. */
static void maps_match_the_model(struct kunit *test)
{
	unsigned long deadline = jiffies + model_seconds * HZ;
	u64 seed = model_seed ?: get_random_u64();
	unsigned int runs = 0;

	kunit_info(test, "seed %llu", seed);
	do {
		run_model(test, seed + runs, deadline);
		runs++;
	} while (test->status != KUNIT_FAILURE && !model_seed &&
		 time_before(jiffies, deadline));
	kunit_info(test, "%u runs of 1000 operations", runs);
}

static struct kunit_case map_model_cases[] = {
	KUNIT_CASE_SLOW(maps_match_the_model),
	{}
};

static struct kunit_suite map_model_suite = {
	.name = "iommufd_map_model",
	.test_cases = map_model_cases,
};

kunit_test_suite(map_model_suite);
