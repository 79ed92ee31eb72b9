// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two IOVA maps, their domains and their in-kernel users against a model that
 * knows for each page by whom it is pinned and to whom it is charged.
 *
 * A million random operations, with drivers, memory, limits and allocations that
 * fail at random. After each of them is compared what it touched, and now and then
 * everything.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "fault.h"
#include "map_fixture.h"

static unsigned long long access_seed;
module_param_named(test_access_seed, access_seed, ullong, 0444);
MODULE_PARM_DESC(test_access_seed,
		 "Seed of one run of the random test of in-kernel users, 0 for many");

static unsigned int access_operations = 1000000;
module_param_named(test_access_operations, access_operations, uint, 0444);
MODULE_PARM_DESC(test_access_operations,
		 "Operations of the random test of in-kernel users");

#define MODEL_RUN_OPERATIONS 10000
#define MODEL_FULL_CHECK 64

#define MODEL_MAPS 2
#define MODEL_DOMAINS 2
#define MODEL_USERS 2
#define MODEL_AREAS 16
#define MODEL_PAGES 64
#define MODEL_MAX_PINS 100

/* Fixed IOVAs lie here, so that many meet, and some cross a gigabyte. */
#define MODEL_IOVA (SZ_1G - 32 * PAGE_SIZE)
#define MODEL_WINDOW_PAGES 160

/* Cannot be pinned. */
#define MODEL_BAD_PAGE (MODEL_PAGES - 1)

/* Pages that the user, and likewise the mm, can have charged. */
#define MODEL_LIMIT 150

#define MODEL_RW_PAGES 3

/* Where the content of a page is that the model knows. */
#define MODEL_TAG_OFFSET 16

/**
 * struct model_source - a pages object
 * @pages: with a reference of ours; NULL if there is no such object
 * @mode: who is charged
 * @writable: it was mapped for writing
 * @nr_areas: areas that show it
 * @npinned: pages pinned
 * @shown: by page: areas in domains that show it
 * @held: by page: pins of in-kernel users
 * @pinned: by page: what has been pinned, while one of them is not 0; the memory
 *	may have another page there by now
 */
struct model_source {
	struct iopt_pages *pages;
	enum iopt_account_mode mode;
	bool writable;
	unsigned int nr_areas;
	unsigned long npinned;
	unsigned int shown[MODEL_PAGES];
	unsigned int held[MODEL_PAGES];
	struct page *pinned[MODEL_PAGES];
};

/**
 * struct model_area - what the model knows of an area
 * @npages: pages, 0 if there is no such area
 * @map: which map it is in
 * @source: what it shows
 * @first_page: page of the memory that its first page shows
 * @iova: of the first page
 * @writable: it is mapped for writing
 * @area: the area
 * @pins: by user and page: pins through it
 */
struct model_area {
	unsigned long npages;
	unsigned int map;
	struct model_source *source;
	unsigned long first_page;
	unsigned long iova;
	bool writable;
	struct iopt_area *area;
	unsigned int pins[MODEL_USERS][MODEL_PAGES];
};

/**
 * struct model_piece - a part of a range that lies in one area
 * @area: the area
 * @first: its first page, counted from the start of the area
 * @npages: how many
 */
struct model_piece {
	struct model_area *area;
	unsigned long first;
	unsigned long npages;
};

/**
 * struct model_plan - the pieces that a range of a map consists of
 * @nr: how many
 * @has_hole: the range goes on behind the last one, but the areas do not
 * @pieces: in the order of their IOVA
 */
struct model_plan {
	unsigned int nr;
	bool has_hole;
	struct model_piece pieces[MODEL_AREAS];
};

/**
 * struct model_user - an in-kernel user
 * @user: for the map
 * @m: the model
 * @map: whose it is
 * @number: which of the map's
 * @present: it has been added
 */
struct model_user {
	struct iopt_user user;
	struct model *m;
	unsigned int map;
	unsigned int number;
	bool present;
};

/**
 * struct model - the model, and what it is compared with
 * @f: the fixture
 * @test: the test
 * @rnd: random numbers
 * @iopts: the maps
 * @domains: of each map, NULL where there is none
 * @users: of each map
 * @small_pages: each map's choice
 * @sources: the pages objects
 * @areas: all areas of all maps
 * @base_pfn: the lowest PFN of the memory, which is one block
 * @pins: by PFN: pages objects that have the page pinned
 * @tags: by PFN: what its content is
 * @touched: PFNs whose pins are to be compared
 * @charged: by account mode: pages charged
 * @limit_pages: of RLIMIT_MEMLOCK
 * @armed: the domain that has been told to fail, or NULL
 * @faults: allocations can be made to fail
 * @has_fault: one has been told to
 * @nr_ops: operations so far
 * @nr_failed: those of them that failed, as they had to
 * @nr_good: calls of the current operation that went well
 * @nr_bad: and those that failed
 * @nr_faults: those of them that failed or nearly did because of an allocation
 * @buffer: the kernel's side of copies
 * @out: pages that a pin gave
 */
struct model {
	struct map_fixture *f;
	struct kunit *test;
	struct rnd_state rnd;
	struct io_pagetable iopts[MODEL_MAPS];
	struct map_domain *domains[MODEL_MAPS][MODEL_DOMAINS];
	struct model_user users[MODEL_MAPS][MODEL_USERS];
	bool small_pages[MODEL_MAPS];
	struct model_source sources[MODEL_AREAS];
	struct model_area areas[MODEL_AREAS];
	unsigned long base_pfn;
	unsigned int pins[MODEL_PAGES];
	u64 tags[MODEL_PAGES];
	DECLARE_BITMAP(touched, MODEL_PAGES);
	unsigned long charged[IOPT_ACCOUNT_MM + 1];
	unsigned long limit_pages;
	struct fake_domain *armed;
	bool faults;
	bool has_fault;
	unsigned long nr_ops;
	unsigned long nr_failed;
	unsigned long nr_faults;
	unsigned int nr_good;
	unsigned int nr_bad;
	u8 *buffer;
	struct page *out[MODEL_WINDOW_PAGES];
};

static u32 below(struct model *m, u32 limit)
{
	return prandom_u32_state(&m->rnd) % limit;
}

/* -- what is where -- */

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

#define for_each_area(m, area)                          \
	for ((area) = next_area((m), NULL); (area);     \
	     (area) = next_area((m), (area)))

static unsigned long area_last(const struct model_area *area)
{
	return area->iova + (area->npages * PAGE_SIZE - 1);
}

static struct model_area *free_area(struct model *m)
{
	for (unsigned int i = 0; i < MODEL_AREAS; i++) {
		if (!m->areas[i].npages)
			return &m->areas[i];
	}
	return NULL;
}

static unsigned int nr_free_areas(const struct model *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MODEL_AREAS; i++)
		n += !m->areas[i].npages;
	return n;
}

static struct model_source *free_source(struct model *m)
{
	for (unsigned int i = 0; i < MODEL_AREAS; i++) {
		if (!m->sources[i].pages)
			return &m->sources[i];
	}
	return NULL;
}

/* The lowest area of a map that does not end below an IOVA. */
static struct model_area *area_from(struct model *m, unsigned int map,
				    unsigned long iova)
{
	struct model_area *area, *found = NULL;

	for_each_area(m, area) {
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

	for_each_area(m, area) {
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

static bool is_active(const struct model *m, unsigned int map)
{
	for (unsigned int i = 0; i < MODEL_DOMAINS; i++) {
		if (m->domains[map][i])
			return true;
	}
	return false;
}

static void plan_range(struct model *m, unsigned int map, unsigned long iova,
		       unsigned long npages, struct model_plan *plan)
{
	plan->nr = 0;
	plan->has_hole = false;
	while (npages) {
		struct model_area *area = area_from(m, map, iova);
		struct model_piece *piece = &plan->pieces[plan->nr];

		if (!area || area->iova > iova) {
			plan->has_hole = true;
			return;
		}
		piece->area = area;
		piece->first = (iova - area->iova) / PAGE_SIZE;
		piece->npages = min(npages, area->npages - piece->first);
		npages -= piece->npages;
		iova += piece->npages * PAGE_SIZE;
		plan->nr++;
	}
}

static unsigned long piece_page(const struct model_piece *piece)
{
	return piece->area->first_page + piece->first;
}

/* -- who pins what -- */

static unsigned int number_of(const struct model *m, const struct page *page)
{
	return page_to_pfn(page) - m->base_pfn;
}

static bool in_use(const struct model_source *source, unsigned long page)
{
	return source->shown[page] || source->held[page];
}

static void note_pin(struct model *m, struct model_source *source,
		     unsigned long page)
{
	struct page *pinned = source->pinned[page];

	if (in_use(source, page) == !!pinned)
		return;
	if (!pinned) {
		pinned = m->f->memory->pages[page];
		source->pinned[page] = pinned;
		source->npinned++;
		m->charged[source->mode]++;
		m->pins[number_of(m, pinned)]++;
	} else {
		source->pinned[page] = NULL;
		source->npinned--;
		m->charged[source->mode]--;
		m->pins[number_of(m, pinned)]--;
	}
	__set_bit(number_of(m, pinned), m->touched);
}

static void add_shown(struct model *m, const struct model_piece *piece, int by)
{
	unsigned long page = piece_page(piece);

	for (unsigned long i = 0; i < piece->npages; i++, page++) {
		piece->area->source->shown[page] += by;
		note_pin(m, piece->area->source, page);
	}
}

static void add_held(struct model *m, const struct model_piece *piece,
		     unsigned int user, int by)
{
	unsigned long page = piece_page(piece);

	for (unsigned long i = 0; i < piece->npages; i++, page++) {
		piece->area->pins[user][piece->first + i] += by;
		piece->area->source->held[page] += by;
		note_pin(m, piece->area->source, page);
	}
}

/* What pinning the pages of a piece will say. */
static int pin_error(struct model *m, const struct model_piece *piece)
{
	const struct model_source *source = piece->area->source;
	unsigned long page = piece_page(piece);
	unsigned long need = 0, have = m->charged[source->mode];

	for (unsigned long i = 0; i < piece->npages; i++)
		need += !in_use(source, page + i);
	if (source->mode == IOPT_ACCOUNT_USER)
		have += m->f->locked_before;
	if (need && source->mode != IOPT_ACCOUNT_NONE &&
	    have + need > m->limit_pages)
		return -ENOMEM;
	return page + piece->npages > MODEL_BAD_PAGE ? -EFAULT : 0;
}

static struct model_piece whole_area(struct model_area *area)
{
	return (struct model_piece){ .area = area, .npages = area->npages };
}

/* An area comes into domains. */
static int show_area(struct model *m, struct model_area *area)
{
	struct model_piece piece = whole_area(area);
	int rc = pin_error(m, &piece);

	if (!rc)
		add_shown(m, &piece, 1);
	return rc;
}

static void hide_area(struct model *m, struct model_area *area)
{
	struct model_piece piece = whole_area(area);

	add_shown(m, &piece, -1);
}

/* -- areas come and go -- */

static void get_source(struct model *m, struct model_area *area)
{
	struct model_source *source = area->source;

	if (!source->nr_areas++)
		source->pages = iopt_pages_get(area->area->slice.pages);
}

static void put_source(struct model *m, struct model_source *source)
{
	if (--source->nr_areas)
		return;
	KUNIT_EXPECT_EQ(m->test, source->pages->npinned, 0);
	if (source->pages)
		iopt_pages_put(source->pages);
	source->pages = NULL;
}

/* What is in the model already is in the map now. */
static void adopt_area(struct model *m, struct model_area *area,
		       unsigned long iova)
{
	struct io_pagetable *iopt = &m->iopts[area->map];

	area->iova = iova;
	scoped_guard(rwsem_read, &iopt->iova_rwsem)
		area->area = iopt_area_from(iopt, iova);
	KUNIT_ASSERT_NOT_NULL(m->test, area->area);
	KUNIT_ASSERT_EQ(m->test, area->area->slice.iova.first_iova, iova);
	get_source(m, area);
}

static void forget_area(struct model *m, struct model_area *area)
{
	if (is_active(m, area->map))
		hide_area(m, area);
	area->npages = 0;
}

static void remove_area(struct model *m, struct model_area *area)
{
	struct model_source *source = area->source;

	forget_area(m, area);
	put_source(m, source);
}

/* -- comparison -- */

static void check_charge(struct model *m)
{
	long user = atomic_long_read(&current_user()->locked_vm);
	unsigned long total = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(m->charged); i++)
		total += m->charged[i];
	if (user - m->f->locked_before != m->charged[IOPT_ACCOUNT_USER] ||
	    m->f->mm->locked_vm != m->charged[IOPT_ACCOUNT_MM] ||
	    atomic64_read(&m->f->mm->pinned_vm) != total)
		KUNIT_FAIL(m->test, "charged %ld, %lu, %lld, not %lu, %lu, %lu",
			   user - m->f->locked_before, m->f->mm->locked_vm,
			   atomic64_read(&m->f->mm->pinned_vm),
			   m->charged[IOPT_ACCOUNT_USER],
			   m->charged[IOPT_ACCOUNT_MM], total);
}

static void check_pins(struct model *m)
{
	unsigned int i;

	for_each_set_bit(i, m->touched, MODEL_PAGES) {
		struct page *page = pfn_to_page(m->base_pfn + i);
		unsigned int pins = page_ref_count(page) / GUP_PIN_COUNTING_BIAS;

		if (pins != m->pins[i])
			KUNIT_FAIL(m->test, "frame %u has %u pins, not %u", i,
				   pins, m->pins[i]);
	}
	bitmap_zero(m->touched, MODEL_PAGES);
}

static void check_sources(struct model *m)
{
	for (unsigned int i = 0; i < MODEL_AREAS; i++) {
		const struct model_source *source = &m->sources[i];

		if (source->pages && source->pages->npinned != source->npinned)
			KUNIT_FAIL(m->test, "%lu pages pinned, not %lu",
				   source->pages->npinned, source->npinned);
	}
}

static void check_bytes(struct model *m, unsigned int map)
{
	struct model_area *area;
	unsigned long bytes = 0;

	for_each_area(m, area)
		bytes += area->map == map ? area->npages * PAGE_SIZE : 0;
	if (m->iopts[map].mapped_bytes != bytes)
		KUNIT_FAIL(m->test, "%lu bytes in the map, not %lu",
			   m->iopts[map].mapped_bytes, bytes);
	for (unsigned int i = 0; i < MODEL_DOMAINS; i++) {
		struct map_domain *domain = m->domains[map][i];

		if (domain && domain->fake->mapped_bytes != bytes)
			KUNIT_FAIL(m->test, "%lu bytes in a domain, not %lu",
				   domain->fake->mapped_bytes, bytes);
	}
}

/* Whatever an operation has touched shows here, unless it is where nothing was. */
static void check_touched(struct model *m)
{
	check_pins(m);
	check_charge(m);
	check_sources(m);
	for (unsigned int map = 0; map < MODEL_MAPS; map++)
		check_bytes(m, map);
}

static void check_contents(struct model *m, const struct model_area *area,
			   struct map_domain *domain)
{
	for (unsigned long i = 0; i < area->npages; i++) {
		struct page *page = area->source->pinned[area->first_page + i];
		phys_addr_t phys = fake_domain_lookup(domain->fake, area->iova +
							    i * PAGE_SIZE);

		if (page && phys == page_to_phys(page))
			continue;
		KUNIT_FAIL(m->test, "IOVA %#lx shows %pa, not what was pinned",
			   area->iova + i * PAGE_SIZE, &phys);
		break;
	}
}

static void check_area(struct model *m, const struct model_area *area)
{
	unsigned long pins = 0;

	for (unsigned int i = 0; i < MODEL_USERS * area->npages; i++)
		pins += area->pins[i % MODEL_USERS][i / MODEL_USERS];
	KUNIT_EXPECT_EQ(m->test, atomic_long_read(&area->area->pinned_pages),
			pins);
	for (unsigned int i = 0; i < MODEL_DOMAINS; i++) {
		if (m->domains[area->map][i])
			check_contents(m, area, m->domains[area->map][i]);
	}
}

static void check_user(struct model *m, const struct model_user *user)
{
	struct model_area *area;
	unsigned long pins = 0;

	for_each_area(m, area) {
		for (unsigned long i = 0; area->map == user->map &&
		     i < area->npages; i++)
			pins += area->pins[user->number][i];
	}
	KUNIT_EXPECT_EQ(m->test, atomic_long_read(&user->user.pinned_pages),
			pins);
}

static void check_map(struct model *m, unsigned int map)
{
	for (unsigned int i = 0; i < MODEL_DOMAINS; i++) {
		if (m->domains[map][i])
			fake_domain_check(m->domains[map][i]->fake);
	}
	for (unsigned int i = 0; i < MODEL_USERS; i++) {
		if (m->users[map][i].present)
			check_user(m, &m->users[map][i]);
	}
}

static void check_all(struct model *m)
{
	struct model_area *area;

	bitmap_fill(m->touched, MODEL_PAGES);
	check_touched(m);
	for_each_area(m, area)
		check_area(m, area);
	for (unsigned int map = 0; map < MODEL_MAPS; map++)
		check_map(m, map);
}

/* -- failures -- */

/* Let some call of some driver fail, or some allocation, now and then. */
static void arm(struct model *m, unsigned int map)
{
	struct map_domain *domain = m->domains[map][below(m, MODEL_DOMAINS)];

	if (domain && below(m, 8) == 0) {
		m->armed = domain->fake;
		m->armed->fail_map = 1 + below(m, 4);
	}
	m->has_fault = m->faults && below(m, 4) == 0;
	if (m->has_fault)
		fault_arm(1 + below(m, 8));
}

/*
 * Compare the answer of a call with the expected one.
 *
 * Return: true if the model has to take back what it expected to succeed.
 */
static bool judge(struct model *m, const char *what, int rc, int expected)
{
	bool no_memory = m->has_fault && fault_disarm();
	bool no_map = m->armed && !m->armed->fail_map;

	if (m->armed)
		m->armed->fail_map = 0;
	m->armed = NULL;
	m->has_fault = false;
	m->nr_good += !rc;
	m->nr_bad += !!rc;
	m->nr_faults += no_memory;
	if (rc == expected && !(no_map && !rc))
		return false;
	if ((no_map || no_memory) && rc == -ENOMEM)
		return !expected;
	if (no_memory && rc == -EFAULT)
		return !expected;
	KUNIT_FAIL(m->test, "%s returned %d, not %d", what, rc, expected);
	return rc && !expected;
}

/* -- operations -- */

static unsigned int any_map(struct model *m)
{
	return below(m, MODEL_MAPS);
}

static unsigned long any_fixed_iova(struct model *m)
{
	return MODEL_IOVA + below(m, MODEL_WINDOW_PAGES) * PAGE_SIZE;
}

static struct model_source *make_source(struct model *m)
{
	static const enum iopt_account_mode modes[] = {
		IOPT_ACCOUNT_USER, IOPT_ACCOUNT_USER, IOPT_ACCOUNT_MM,
		IOPT_ACCOUNT_NONE,
	};
	struct model_source *source = free_source(m);

	KUNIT_ASSERT_NOT_NULL(m->test, source);
	memset(source, 0, sizeof(*source));
	source->mode = modes[below(m, ARRAY_SIZE(modes))];
	source->writable = below(m, 16);
	return source;
}

static int prot_of(bool writable)
{
	return IOMMU_READ | (writable ? IOMMU_WRITE : 0);
}

static void do_map(struct model *m)
{
	struct model_area *area = free_area(m);
	struct iopt_map_request request = {
		.iova = any_fixed_iova(m),
		.fixed_iova = below(m, 4),
	};
	int rc, expected = 0;

	if (!area)
		return;
	memset(area, 0, sizeof(*area));
	area->map = any_map(m);
	area->source = make_source(m);
	area->writable = area->source->writable;
	area->first_page = below(m, MODEL_PAGES);
	request.account_mode = area->source->mode;
	request.iommu_prot = prot_of(area->writable);
	request.uptr = m->f->memory->uptr + area->first_page * PAGE_SIZE;
	request.length = 1 + below(m, min(below(m, 4) ? 16UL : 40UL,
					  MODEL_PAGES - area->first_page));
	if (request.fixed_iova &&
	    overlaps(m, area->map, request.iova, request.length))
		expected = -EEXIST;
	area->npages = request.length;
	request.length *= PAGE_SIZE;
	if (!expected && is_active(m, area->map))
		expected = show_area(m, area);

	arm(m, area->map);
	rc = map_request(&m->iopts[area->map], &request);
	if (judge(m, "map", rc, expected))
		forget_area(m, area);
	if (rc)
		area->npages = 0;
	else
		adopt_area(m, area, request.iova);
}

static void do_abort(struct model *m)
{
	struct iopt_map_request request = {
		.uptr = m->f->memory->uptr,
		.length = (1 + below(m, 12)) * PAGE_SIZE,
		.iommu_prot = TEST_PROT,
		.account_mode = IOPT_ACCOUNT_NONE,
	};
	struct iopt_pending pending = {};
	unsigned int map = any_map(m);

	judge(m, "map to be aborted",
	      iopt_map_begin(&m->iopts[map], &request, &pending), 0);
	bitmap_fill(m->touched, MODEL_PAGES);
	if (pending.iopt)
		iopt_pending_abort(&pending);
}

/* Put the areas of a copy into the model. Return: what the copy will. */
static int add_copies(struct model *m, const struct model_plan *plan,
		      unsigned int map, struct model_area **copies)
{
	int rc = 0;

	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct model_piece *piece = &plan->pieces[i];
		struct model_area *copy = free_area(m);

		memset(copy, 0, sizeof(*copy));
		copy->map = map;
		copy->source = piece->area->source;
		copy->first_page = piece_page(piece);
		copy->npages = piece->npages;
		copies[i] = copy;
		if (!rc && is_active(m, map))
			rc = show_area(m, copy);
		if (rc) {
			copy->npages = 0;
			while (i--)
				forget_area(m, copies[i]);
			break;
		}
	}
	return rc;
}

static void adopt_copies(struct model *m, const struct model_plan *plan,
			 struct model_area **copies,
			 const struct iopt_map_request *request)
{
	unsigned long iova = request->iova;

	for (unsigned int i = 0; i < plan->nr; i++) {
		copies[i]->writable = request->iommu_prot & IOMMU_WRITE;
		adopt_area(m, copies[i], iova);
		iova += copies[i]->npages * PAGE_SIZE;
	}
}

static bool may_write_all(const struct model_plan *plan)
{
	for (unsigned int i = 0; i < plan->nr; i++) {
		if (!plan->pieces[i].area->source->writable)
			return false;
	}
	return true;
}

static void do_copy(struct model *m)
{
	unsigned int from = any_map(m), to = any_map(m);
	struct model_area *source = any_area(m, from);
	struct model_area *copies[MODEL_AREAS];
	struct iopt_map_request request = {
		.iommu_prot = prot_of(below(m, 4)),
		.iova = any_fixed_iova(m),
		.fixed_iova = below(m, 2),
	};
	unsigned long iova, npages;
	struct model_plan plan;
	int rc, expected = 0;

	if (!source)
		return;
	iova = source->iova + below(m, source->npages) * PAGE_SIZE;
	npages = 1 + below(m, below(m, 6) ? 4 : 24);
	request.length = npages * PAGE_SIZE;
	plan_range(m, from, iova, npages, &plan);
	if (plan.nr > nr_free_areas(m))
		return;
	if (plan.has_hole)
		expected = -ENOENT;
	else if ((request.iommu_prot & IOMMU_WRITE) && !may_write_all(&plan))
		expected = -EPERM;
	else if (request.fixed_iova && overlaps(m, to, request.iova, npages))
		expected = -EEXIST;
	else
		expected = add_copies(m, &plan, to, copies);

	arm(m, to);
	rc = copy_request(&m->iopts[from], iova, &m->iopts[to], &request);
	if (judge(m, "copy", rc, expected)) {
		for (unsigned int i = 0; i < plan.nr; i++)
			forget_area(m, copies[i]);
	}
	if (!rc)
		adopt_copies(m, &plan, copies, &request);
}

/* The areas that an unmap takes out. Return: what it will. */
static int plan_unmap(struct model *m, unsigned int map,
		      struct iopt_range range, struct model_plan *plan)
{
	unsigned long iova = range.first_iova;
	struct model_area *area;

	plan->nr = 0;
	while ((area = area_from(m, map, iova)) &&
	       area->iova <= range.last_iova) {
		if (area->iova < range.first_iova ||
		    area_last(area) > range.last_iova)
			return -ENOENT;
		plan->pieces[plan->nr++] = whole_area(area);
		iova = area_last(area) + 1;
	}
	return plan->nr ? 0 : -ENOENT;
}

static unsigned long finish_unmap(struct model *m,
				  const struct model_plan *plan)
{
	unsigned long bytes = 0;

	for (unsigned int i = 0; i < plan->nr; i++) {
		bytes += plan->pieces[i].npages * PAGE_SIZE;
		remove_area(m, plan->pieces[i].area);
	}
	return bytes;
}

static void do_unmap(struct model *m)
{
	unsigned int map = any_map(m);
	struct model_area *area = any_area(m, map);
	struct iopt_range range = { .first_iova = any_fixed_iova(m) };
	unsigned long unmapped_bytes;
	struct model_plan plan;
	int rc, expected;

	range.last_iova = range.first_iova + 16 * PAGE_SIZE - 1;
	if (area && below(m, 4)) {
		range.first_iova = area->iova;
		range.last_iova = area_last(area);
	}
	if (below(m, 8) == 0)
		range.last_iova += below(m, 32) * PAGE_SIZE;
	if (below(m, 8) == 0 && range.first_iova >= SZ_1M)
		range.first_iova -= below(m, 32) * PAGE_SIZE;
	expected = plan_unmap(m, map, range, &plan);
	arm(m, map);
	rc = iopt_unmap(&m->iopts[map], range.first_iova, range.last_iova,
			&unmapped_bytes);
	judge(m, "unmap", rc, expected);
	KUNIT_EXPECT_EQ(m->test, unmapped_bytes, finish_unmap(m, &plan));
}

static void do_unmap_all(struct model *m)
{
	struct iopt_range all = { .last_iova = ULONG_MAX };
	unsigned int map = any_map(m);
	unsigned long unmapped_bytes;
	struct model_plan plan;

	if (below(m, 16))
		return;
	plan_unmap(m, map, all, &plan);
	judge(m, "unmap of all",
	      iopt_unmap_all(&m->iopts[map], &unmapped_bytes), 0);
	KUNIT_EXPECT_EQ(m->test, unmapped_bytes, finish_unmap(m, &plan));
}

static bool has_pins(const struct model_area *area)
{
	for (unsigned int i = 0; i < MODEL_USERS * area->npages; i++) {
		if (area->pins[i % MODEL_USERS][i / MODEL_USERS])
			return true;
	}
	return false;
}

/* One area becomes two, and nothing else changes. */
static void do_cut(struct model *m)
{
	unsigned int map = any_map(m);
	struct model_area *area = any_area(m, map), *upper = free_area(m);
	unsigned long npages, iova;
	int rc, expected = 0;

	if (!area || !upper || area->npages == 1)
		return;
	npages = 1 + below(m, area->npages - 1);
	iova = area->iova + npages * PAGE_SIZE;
	if (!m->small_pages[map])
		expected = -EINVAL;
	else if (has_pins(area))
		expected = -EBUSY;
	arm(m, map);
	rc = iopt_cut(&m->iopts[map], iova);
	judge(m, "cut", rc, expected);
	if (rc)
		return;
	*upper = *area;
	upper->first_page += npages;
	upper->npages -= npages;
	area->npages = npages;
	adopt_area(m, upper, iova);
}

/* The first domain makes all areas show. Return: what adding it will. */
static int show_map(struct model *m, unsigned int map)
{
	unsigned long iova = 0;
	struct model_area *area;
	int rc = 0;

	while (!rc && (area = area_from(m, map, iova))) {
		iova = area_last(area) + 1;
		rc = show_area(m, area);
	}
	if (!rc)
		return 0;
	for (iova = 0; area_from(m, map, iova) != area; ) {
		hide_area(m, area_from(m, map, iova));
		iova = area_last(area_from(m, map, iova)) + 1;
	}
	return rc;
}

static void hide_map(struct model *m, unsigned int map)
{
	struct model_area *area;

	for_each_area(m, area) {
		if (area->map == map)
			hide_area(m, area);
	}
}

static void do_add_domain(struct model *m)
{
	unsigned int map = any_map(m);
	struct map_domain **slot = &m->domains[map][below(m, MODEL_DOMAINS)];
	struct map_domain *domain;
	int rc, expected = 0;
	bool is_first;

	if (*slot)
		return;
	domain = map_domain_make(m->f, below(m, FAKE_NR_PERSONALITIES));
	domain->fake->small_leaves = below(m, 4) == 0;
	is_first = !is_active(m, map);
	if (is_first)
		expected = show_map(m, map);
	arm(m, map);
	if (!m->armed && below(m, 4) == 0) {
		m->armed = domain->fake;
		m->armed->fail_map = 1 + below(m, 16);
	}
	domain->fake->small_pages = &m->iopts[map].domains.small_pages;
	rc = iopt_domain_add(&m->iopts[map], &domain->member);
	if (judge(m, "attach", rc, expected) && is_first)
		hide_map(m, map);
	if (!rc)
		*slot = domain;
	else
		map_domain_free(domain);
}

static void remove_domain(struct model *m, unsigned int map, unsigned int i)
{
	struct map_domain *domain = m->domains[map][i];

	if (!domain)
		return;
	iopt_domain_remove(&m->iopts[map], &domain->member);
	m->domains[map][i] = NULL;
	m->nr_good++;
	map_domain_free(domain);
	if (!is_active(m, map))
		hide_map(m, map);
}

static void do_remove_domain(struct model *m)
{
	remove_domain(m, any_map(m), below(m, MODEL_DOMAINS));
}

static void do_choose_pages(struct model *m)
{
	unsigned int map = any_map(m);
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

/*
 * The same addresses, other pages: what is pinned from now on. Nearly always the
 * halves, which leaves runs that are long enough for a record.
 */
static void do_exchange(struct model *m)
{
	unsigned long npages = MODEL_PAGES / (below(m, 16) ? 2 : 8);

	user_memory_exchange(m->f->memory, 0,
			     (1 + below(m, MODEL_PAGES / npages - 1)) * npages,
			     npages);
	m->nr_good++;
}

/* -- in-kernel users -- */

static struct model_user *any_user(struct model *m, unsigned int map)
{
	struct model_user *user = &m->users[map][below(m, MODEL_USERS)];

	return user->present ? user : NULL;
}

static void unpin_piece(struct model *m, const struct model_piece *piece,
			unsigned int user)
{
	unsigned long iova = piece->area->iova + piece->first * PAGE_SIZE;

	iopt_unpin(&m->iopts[piece->area->map],
		   &m->users[piece->area->map][user].user, iova,
		   iova + (piece->npages * PAGE_SIZE - 1));
	add_held(m, piece, user, -1);
}

/* The next stretch of pages with a pin of a user. */
static bool find_pinned(struct model_area *area, unsigned int user,
			struct model_piece *piece)
{
	unsigned long first = 0, end;

	while (first < area->npages && !area->pins[user][first])
		first++;
	end = first;
	while (end < area->npages && area->pins[user][end])
		end++;
	piece->area = area;
	piece->first = first;
	piece->npages = end - first;
	return piece->npages;
}

static void unpin_area(struct model *m, struct model_area *area,
		       unsigned int user)
{
	struct model_piece piece;

	while (find_pinned(area, user, &piece))
		unpin_piece(m, &piece, user);
}

/* The callback: nothing can be pinned any more, and everything has to go. */
static void user_unmap(struct iopt_user *iopt_user, unsigned long iova,
		       unsigned long length)
{
	struct model_user *user = container_of(iopt_user, struct model_user,
					       user);
	struct model *m = user->m;
	struct model_area *area = area_from(m, user->map, iova);
	struct iopt_access_request request = {
		.first_iova = iova,
		.last_iova = iova + (length - 1),
	};
	int rc;

	rc = iopt_pin(&m->iopts[user->map], iopt_user, &request, m->out);
	if (rc != -EINVAL && rc != -ENOENT)
		KUNIT_FAIL(m->test, "a pin in the callback returned %d", rc);
	if (!area || area->iova != iova || area_last(area) != request.last_iova)
		KUNIT_FAIL(m->test, "callback for no area at %#lx", iova);
	else
		unpin_area(m, area, user->number);
}

static void remove_user(struct model *m, struct model_user *user)
{
	struct io_pagetable *iopt = &m->iopts[user->map];

	if (!user->present)
		return;
	iopt_user_stop(iopt, &user->user);
	KUNIT_EXPECT_EQ(m->test, atomic_long_read(&user->user.pinned_pages), 0);
	iopt_user_remove(iopt, &user->user);
	user->present = false;
}

static void do_user(struct model *m)
{
	unsigned int map = any_map(m);
	struct model_user *user = &m->users[map][below(m, MODEL_USERS)];

	if (user->present && below(m, 4) == 0) {
		remove_user(m, user);
	} else if (!user->present) {
		user->user.unmap = user_unmap;
		user->user.iova_alignment = below(m, 2) ? PAGE_SIZE : 1;
		arm(m, map);
		user->present = !judge(m, "new user",
				       iopt_user_add(&m->iopts[map],
						     &user->user), 0);
	}
}

static bool may_pin_more(const struct model_plan *plan, unsigned int user)
{
	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct model_piece *piece = &plan->pieces[i];

		for (unsigned long j = 0; j < piece->npages; j++) {
			if (piece->area->pins[user][piece->first + j] ==
			    MODEL_MAX_PINS)
				return false;
		}
	}
	return true;
}

static void unhold_plan(struct model *m, const struct model_plan *plan,
			unsigned int nr, unsigned int user)
{
	for (unsigned int i = 0; i < nr; i++)
		add_held(m, &plan->pieces[i], user, -1);
}

/* Put the pins into the model. Return: what the pin will. */
static int hold_plan(struct model *m, const struct model_plan *plan,
		     unsigned int user, bool write)
{
	int rc = 0;

	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct model_piece *piece = &plan->pieces[i];

		if (write && !piece->area->writable)
			rc = -EPERM;
		else
			rc = pin_error(m, piece);
		if (rc) {
			unhold_plan(m, plan, i, user);
			return rc;
		}
		add_held(m, piece, user, 1);
	}
	if (!plan->has_hole)
		return 0;
	unhold_plan(m, plan, plan->nr, user);
	return -ENOENT;
}

static void check_out_pages(struct model *m, const struct model_plan *plan)
{
	struct page **out = m->out;

	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct model_piece *piece = &plan->pieces[i];
		struct page **pinned = piece->area->source->pinned +
				       piece_page(piece);

		if (memcmp(out, pinned, piece->npages * sizeof(*out)))
			KUNIT_FAIL(m->test, "the wrong pages were pinned");
		out += piece->npages;
	}
}

/* A range of a map that begins in some area, and its user. */
static struct model_user *any_access(struct model *m, unsigned long *iova)
{
	unsigned int map = any_map(m);
	struct model_area *area = any_area(m, map);

	if (!area)
		return NULL;
	*iova = area->iova + below(m, area->npages) * PAGE_SIZE;
	return any_user(m, map);
}

static void do_pin(struct model *m)
{
	unsigned long npages = 1 + below(m, below(m, 8) ? 4 : 24);
	struct iopt_access_request request = { .write = below(m, 2) };
	struct model_user *user;
	struct model_plan plan;
	unsigned long iova;
	int rc, expected;

	user = any_access(m, &iova);
	if (!user)
		return;
	plan_range(m, user->map, iova, npages, &plan);
	if (!may_pin_more(&plan, user->number))
		return;
	expected = hold_plan(m, &plan, user->number, request.write);
	/* The ends may lie inside of a page. */
	request.first_iova = iova + below(m, PAGE_SIZE / 2);
	request.last_iova = iova + npages * PAGE_SIZE - 1 -
			    below(m, PAGE_SIZE / 2);
	arm(m, user->map);
	rc = iopt_pin(&m->iopts[user->map], &user->user, &request, m->out);
	if (judge(m, "pin", rc, expected))
		unhold_plan(m, &plan, plan.nr, user->number);
	if (!rc)
		check_out_pages(m, &plan);
}

static void do_unpin(struct model *m)
{
	struct model_piece piece;
	struct model_user *user;
	struct model_area *area;
	unsigned int map = any_map(m);
	unsigned long skip;

	area = any_area(m, map);
	user = any_user(m, map);
	if (!area || !user || !find_pinned(area, user->number, &piece))
		return;
	skip = below(m, piece.npages);
	piece.first += skip;
	piece.npages = 1 + below(m, piece.npages - skip);
	arm(m, map);
	unpin_piece(m, &piece, user->number);
	judge(m, "unpin", 0, 0);
}

/* Pins of several areas at once. */
static void do_unpin_across(struct model *m)
{
	struct model_user *user;
	struct model_plan plan;
	unsigned long iova, npages = 0;

	user = any_access(m, &iova);
	if (!user)
		return;
	plan_range(m, user->map, iova, 24, &plan);
	for (unsigned int i = 0; i < plan.nr; i++) {
		struct model_piece *piece = &plan.pieces[i];
		unsigned long n = 0;

		while (n < piece->npages &&
		       piece->area->pins[user->number][piece->first + n])
			n++;
		npages += n;
		if (n < piece->npages)
			break;
	}
	if (!npages)
		return;
	plan_range(m, user->map, iova, npages, &plan);
	iopt_unpin(&m->iopts[user->map], &user->user, iova,
		   iova + (npages * PAGE_SIZE - 1));
	unhold_plan(m, &plan, plan.nr, user->number);
	judge(m, "unpin of several", 0, 0);
}

/* -- copies -- */

/* The page that a copy of a page of the range has to reach, or NULL. */
static struct page *page_behind(struct model *m, const struct model_plan *plan,
				unsigned long nth)
{
	const struct model_piece *piece = plan->pieces;
	unsigned long page;

	while (nth >= piece->npages) {
		nth -= piece->npages;
		piece++;
	}
	page = piece_page(piece) + nth;
	if (piece->area->source->pinned[page])
		return piece->area->source->pinned[page];
	return page == MODEL_BAD_PAGE ? NULL : m->f->memory->pages[page];
}

static int rw_error(struct model *m, const struct model_plan *plan, bool write)
{
	unsigned long done = 0;

	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct model_piece *piece = &plan->pieces[i];

		if (write && !piece->area->writable)
			return -EPERM;
		for (unsigned long j = 0; j < piece->npages; j++, done++) {
			if (!page_behind(m, plan, done))
				return -EFAULT;
		}
	}
	return plan->has_hole ? -ENOENT : 0;
}

/* The buffer's tag of the nth page of a copy that starts @skip bytes into one. */
static u64 *buffer_tag(struct model *m, unsigned long nth, unsigned int skip)
{
	return (u64 *)(m->buffer + nth * PAGE_SIZE + MODEL_TAG_OFFSET - skip);
}

static void fill_buffer(struct model *m, unsigned long npages,
			unsigned int skip)
{
	for (unsigned long i = 0; i < npages; i++)
		*buffer_tag(m, i, skip) = prandom_u32_state(&m->rnd);
}

static void check_buffer(struct model *m, const struct model_plan *plan,
			 unsigned long npages, unsigned int skip)
{
	for (unsigned long i = 0; i < npages; i++) {
		unsigned int number = number_of(m, page_behind(m, plan, i));

		if (*buffer_tag(m, i, skip) != m->tags[number])
			KUNIT_FAIL(m->test, "read %llx, not %llx",
				   *buffer_tag(m, i, skip), m->tags[number]);
	}
}

/* What was written is what the pages have, also where it came to an end. */
static void take_over_buffer(struct model *m, const struct model_plan *plan,
			     unsigned long npages)
{
	for (unsigned long i = 0; i < npages; i++) {
		struct page *page;

		page = page_behind(m, plan, i);
		if (page)
			memcpy_from_page((char *)&m->tags[number_of(m, page)],
					 page, MODEL_TAG_OFFSET, sizeof(u64));
	}
}

static void check_written(struct model *m, const struct model_plan *plan,
			  unsigned long npages, unsigned int skip)
{
	take_over_buffer(m, plan, npages);
	for (unsigned long i = 0; i < npages; i++) {
		struct page *page = page_behind(m, plan, i);
		bool twice = false;

		/* Two pages of a range can be one, and the later one wins. */
		for (unsigned long j = i + 1; j < npages; j++)
			twice |= page_behind(m, plan, j) == page;
		if (!twice && m->tags[number_of(m, page)] !=
				      *buffer_tag(m, i, skip))
			KUNIT_FAIL(m->test, "what was written is not there");
	}
}

static unsigned long pages_in(const struct model_plan *plan)
{
	unsigned long npages = 0;

	for (unsigned int i = 0; i < plan->nr; i++)
		npages += plan->pieces[i].npages;
	return npages;
}

/* At once, if it can be; but not always. */
static int copy_range(struct model *m, struct model_user *user,
		      const struct iopt_access_request *request)
{
	struct iopt_rw rw = { .data = m->buffer, .pins = below(m, 4) == 0 };
	struct io_pagetable *iopt = &m->iopts[user->map];
	struct iopt_access_request rest = *request;

	if (below(m, 2)) {
		guard(rwsem_read)(&iopt->iova_rwsem);
		rw.write = request->write;
		rw.length = request->last_iova - request->first_iova + 1;
		if (iopt_rw_at_once(iopt, request->first_iova, &rw))
			return 0;
		rest.first_iova = request->last_iova - rw.length + 1;
	}
	return iopt_rw_access(iopt, &user->user, &rest, &rw);
}

static void do_rw(struct model *m)
{
	unsigned long npages = 1 + below(m, MODEL_RW_PAGES);
	unsigned int skip = below(m, 3) * 8;
	struct iopt_access_request request = { .write = below(m, 2) };
	struct model_user *user;
	struct model_plan plan;
	unsigned long iova;
	int rc, expected;

	user = any_access(m, &iova);
	if (!user)
		return;
	plan_range(m, user->map, iova, npages, &plan);
	expected = rw_error(m, &plan, request.write);
	request.first_iova = iova + skip;
	request.last_iova = iova + npages * PAGE_SIZE - 1 - below(m, 2) * 33;
	fill_buffer(m, npages, skip);
	arm(m, user->map);
	rc = copy_range(m, user, &request);
	judge(m, "copy to or from", rc, expected);
	if (rc)
		take_over_buffer(m, &plan, pages_in(&plan));
	else if (request.write)
		check_written(m, &plan, npages, skip);
	else
		check_buffer(m, &plan, npages, skip);
}

/**
 * struct model_op - an operation, and how it went in all runs
 * @name: for people
 * @weight: how often it is done
 * @fn: does it
 * @nr_good: calls that went well
 * @nr_bad: calls that failed
 */
struct model_op {
	const char *name;
	unsigned int weight;
	void (*fn)(struct model *m);
	unsigned long nr_good;
	unsigned long nr_bad;
};

static struct model_op model_ops[] = {
	{ "map", 4, do_map },
	{ "copy", 3, do_copy },
	{ "unmap", 3, do_unmap },
	{ "pin", 6, do_pin },
	{ "unpin", 5, do_unpin },
	{ "unpin across areas", 1, do_unpin_across },
	{ "rw", 3, do_rw },
	{ "user", 1, do_user },
	{ "abort", 1, do_abort },
	{ "unmap all", 1, do_unmap_all },
	{ "cut", 2, do_cut },
	{ "exchange", 1, do_exchange },
	{ "attach", 1, do_add_domain },
	{ "detach", 1, do_remove_domain },
	{ "choose pages", 1, do_choose_pages },
};

static struct model_op *any_op(struct model *m)
{
	unsigned int total = 0, pick;
	struct model_op *op = model_ops;

	for (unsigned int i = 0; i < ARRAY_SIZE(model_ops); i++)
		total += model_ops[i].weight;
	for (pick = below(m, total); pick >= op->weight; op++)
		pick -= op->weight;
	return op;
}

/* Not everything can be done at any time: then it is something else. */
static void do_something(struct model *m)
{
	struct model_op *op;

	m->nr_good = 0;
	m->nr_bad = 0;
	do {
		op = any_op(m);
		op->fn(m);
	} while (!m->nr_good && !m->nr_bad);
	op->nr_good += m->nr_good;
	op->nr_bad += m->nr_bad;
	m->nr_failed += m->nr_bad;
	m->nr_ops++;
}

/* -- a run -- */

static unsigned long lowest_pfn(const struct user_memory *memory)
{
	unsigned long pfn = ULONG_MAX;

	for (unsigned long i = 0; i < memory->npages; i++)
		pfn = min(pfn, page_to_pfn(memory->pages[i]));
	return pfn;
}

/* Blocks in random order, which is the seed's. */
static void shuffle(struct model *m, unsigned long block_pages)
{
	for (unsigned long i = MODEL_PAGES / block_pages; i > 1; i--)
		user_memory_exchange(m->f->memory, (i - 1) * block_pages,
				     below(m, i) * block_pages, block_pages);
}

static void model_limit(struct model *m)
{
	m->limit_pages = m->f->locked_before + MODEL_LIMIT;
	task_lock(current->group_leader);
	current->signal->rlim[RLIMIT_MEMLOCK].rlim_cur = m->limit_pages *
							 PAGE_SIZE;
	task_unlock(current->group_leader);
}

static void model_init(struct model *m)
{
	static const unsigned long blocks[] = {
		MODEL_PAGES, MODEL_PAGES, 24, 3, 1
	};

	m->f = map_fixture_make(m->test, MODEL_PAGES, MODEL_PAGES);
	m->base_pfn = lowest_pfn(m->f->memory);
	shuffle(m, blocks[below(m, ARRAY_SIZE(blocks))]);
	user_memory_break(m->f->memory, MODEL_BAD_PAGE);
	model_limit(m);
	for (unsigned int map = 0; map < MODEL_MAPS; map++) {
		iopt_init(&m->iopts[map]);
		for (unsigned int i = 0; i < MODEL_USERS; i++) {
			m->users[map][i].m = m;
			m->users[map][i].map = map;
			m->users[map][i].number = i;
		}
	}
}

static struct model *model_make(struct kunit *test, u64 seed, bool faults)
{
	struct model *m = kzalloc(sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->buffer = kzalloc((MODEL_RW_PAGES + 1) * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m->buffer);
	m->test = test;
	m->faults = faults;
	prandom_seed_state(&m->rnd, seed);
	model_init(m);
	return m;
}

static void model_end(struct model *m)
{
	struct iopt_range all = { .last_iova = ULONG_MAX };

	for (unsigned int map = 0; map < MODEL_MAPS; map++) {
		unsigned long unmapped_bytes;
		struct model_plan plan;

		for (unsigned int i = 0; i < MODEL_USERS; i++)
			remove_user(m, &m->users[map][i]);
		for (unsigned int i = 0; i < MODEL_DOMAINS; i++)
			remove_domain(m, map, i);
		plan_unmap(m, map, all, &plan);
		iopt_unmap_all(&m->iopts[map], &unmapped_bytes);
		finish_unmap(m, &plan);
		iopt_destroy(&m->iopts[map]);
	}
	map_fixture_end(m->f);
	kfree(m->buffer);
	kfree(m);
}

/**
 * struct model_runs - what all runs have come to
 * @nr_runs: runs
 * @nr_ops: operations
 * @nr_faults: those in which something was made to fail
 */
struct model_runs {
	unsigned int nr_runs;
	unsigned long nr_ops;
	unsigned long nr_faults;
};

static void run_model(struct model *m, u64 seed, struct model_runs *runs)
{
	static const unsigned int batch_bytes[] = { SZ_64K, 64, 1 };
	struct kunit *test = m->test;

	/* Batches of any number of runs, of four, and of a single one. */
	WRITE_ONCE(iopt_temp_bytes_limit,
		   batch_bytes[below(m, ARRAY_SIZE(batch_bytes))]);
	while (test->status != KUNIT_FAILURE &&
	       m->nr_ops < MODEL_RUN_OPERATIONS) {
		do_something(m);
		check_touched(m);
		if (m->nr_ops % MODEL_FULL_CHECK == 0)
			check_all(m);
		cond_resched();
	}
	if (test->status == KUNIT_FAILURE)
		kunit_info(test, "operation %lu of seed %llu failed",
			   m->nr_ops, seed);
	else
		KUNIT_EXPECT_GT(test, m->nr_failed, 10);
	runs->nr_runs++;
	runs->nr_ops += m->nr_ops;
	runs->nr_faults += m->nr_faults;
	model_end(m);
	WRITE_ONCE(iopt_temp_bytes_limit, SZ_64K);
}

/* A random test that hardly ever gets anywhere would test nothing. */
static void report_ops(struct kunit *test)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(model_ops); i++) {
		struct model_op *op = &model_ops[i];

		kunit_info(test, "%s: %lu good, %lu failed", op->name,
			   op->nr_good, op->nr_bad);
		KUNIT_EXPECT_GT(test, op->nr_good, 0);
		op->nr_good = 0;
		op->nr_bad = 0;
	}
}

/* Each seed is a run of its own: a failure is found again in no time. */
static void pages_match_the_model(struct kunit *test)
{
	u64 seed = access_seed ?: get_random_u64();
	bool faults = fault_prepare(test);
	struct model_runs runs = {};
	unsigned long before = jiffies;

	kunit_info(test, "seed %llu", seed);
	do {
		run_model(model_make(test, seed + runs.nr_runs, faults),
			  seed + runs.nr_runs, &runs);
	} while (test->status != KUNIT_FAILURE && !access_seed &&
		 runs.nr_ops < access_operations);
	kunit_info(test, "%u runs, %lu operations, %lu with faults, %u s",
		   runs.nr_runs, runs.nr_ops, runs.nr_faults,
		   jiffies_to_msecs(jiffies - before) / 1000);
	report_ops(test);
}

static struct kunit_case access_model_cases[] = {
	KUNIT_CASE_SLOW(pages_match_the_model),
	{}
};

static struct kunit_suite access_model_suite = {
	.name = "iommufd_access_model",
	.test_cases = access_model_cases,
};

kunit_test_suite(access_model_suite);
