// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every unwind path: what a call needs is made to fail, the first time one place,
 * then the next, until everything has failed once. After each failure nothing
 * must be left, and the same calls must work.
 *
 * The kernel counts the places that can fail (allocations, and those of
 * fail_iommufd) for the calling thread alone: /proc/thread-self/fail-nth.
 */
#include <linux/types.h>

#include "fail_nth.h"
#include "type1.h"

/* -- what the user is told */

FIXTURE(memory)
{
	int fd;
	__u32 ioas;
};

FIXTURE_SETUP(memory)
{
	quiet_injection();
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
}

FIXTURE_TEARDOWN(memory)
{
	fail_nth(0);
	ASSERT_EQ(0, close(self->fd));
}

/* What these calls do first is ask for memory, once the IOAS is looked up. */
TEST_F(memory, none_for_small_answers)
{
	struct iommu_iova_range range = { 0x1000, 0x1fff };
	__u64 alignment = 0;
	__u32 num = 1, id;
	int rc;

	ASSERT_EQ(0, fail_nth(1));
	rc = ioas_alloc(self->fd, &id);
	EXPECT_TRUE(did_fail());
	EXPECT_EQ(-ENOMEM, rc);

	ASSERT_EQ(0, fail_nth(2));
	rc = iova_ranges(self->fd, self->ioas, &range, &num, &alignment);
	EXPECT_TRUE(did_fail());
	EXPECT_EQ(-ENOMEM, rc);
	EXPECT_EQ(1, num);
	EXPECT_EQ(0, alignment);

	ASSERT_EQ(0, fail_nth(2));
	rc = allow_iovas(self->fd, self->ioas, &range, 1);
	EXPECT_TRUE(did_fail());
	EXPECT_EQ(-ENOMEM, rc);
}

/* Two look-ups are in front. */
TEST_F(memory, none_for_a_hwpt)
{
	struct mock mock;
	__u32 id;
	int rc;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, fail_nth(3));
	rc = hwpt_alloc(self->fd, 0, mock.idev, self->ioas, &id);
	EXPECT_TRUE(did_fail());
	EXPECT_EQ(-ENOMEM, rc);
	EXPECT_EQ(0, hwpt_alloc(self->fd, 0, mock.idev, self->ioas, &id));
}

/* The look-up is in front, and nothing is cleared before the bitmap has its place. */
TEST_F(memory, none_for_a_bitmap)
{
	struct dirty_range range = { APERTURE, page_bytes(), page_bytes() };
	__u8 bits = 1;
	struct mock mock;
	__u32 hwpt;
	int rc;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, mock.idev,
				self->ioas, &hwpt));
	ASSERT_EQ(0, set_dirty(self->fd, hwpt, IOMMU_HWPT_DIRTY_TRACKING_ENABLE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, (uintptr_t)small_pages(page_bytes()),
			    page_bytes(), APERTURE));
	ASSERT_EQ(0, write_dirty(self->fd, hwpt, &range, &bits, NULL));
	bits = 0;
	ASSERT_EQ(0, fail_nth(2));
	rc = get_dirty(self->fd, hwpt, 0, &range, &bits);
	EXPECT_TRUE(did_fail());
	EXPECT_EQ(-ENOMEM, rc);
	EXPECT_EQ(0, bits);
	EXPECT_EQ(0, get_dirty(self->fd, hwpt, 0, &range, &bits));
	EXPECT_EQ(1, bits);
}

/* -- the paths */

static __u64 half(struct world *world)
{
	return world->bytes / 2;
}

static int copy_to(struct world *world, __u32 from, __u32 to, __u64 iova)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.dst_ioas_id = to,
		.src_ioas_id = from,
		.length = world->bytes,
		.dst_iova = iova,
		.src_iova = APERTURE,
	};

	return command(world->fd, IOMMU_IOAS_COPY, &arg);
}

static int map_halves(struct world *world)
{
	__u64 upper = world->va + half(world);

	return map_at(world->fd, world->ioas[0], world->va, half(world),
		      APERTURE) ?:
	       map_at(world->fd, world->ioas[0], upper, half(world),
		      APERTURE + half(world));
}

static int run_space(struct world *world)
{
	struct iommu_iova_range range = { APERTURE, APERTURE + (1UL << 30) - 1 };
	struct iommu_iova_range ranges[4];
	__u64 alignment, iova, value = 0;
	__u32 num = 4, ioas;

	return ioas_alloc(world->fd, &ioas) ?:
	       add_reserved(world->fd, ioas, 0, page_bytes()) ?:
	       allow_iovas(world->fd, ioas, &range, 1) ?:
	       iova_ranges(world->fd, ioas, ranges, &num, &alignment) ?:
	       map_any(world->fd, ioas, world->va, world->bytes, &iova) ?:
	       option_set(world->fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0) ?:
	       option_get(world->fd, IOMMU_OPTION_HUGE_PAGES, ioas, &value) ?:
	       vfio_ioas(world->fd, IOMMU_VFIO_IOAS_SET, &ioas) ?:
	       vfio_ioas(world->fd, IOMMU_VFIO_IOAS_GET, &ioas) ?:
	       map_halves(world) ?:
	       copy_to(world, world->ioas[0], ioas, APERTURE + (1UL << 29)) ?:
	       MUST(world, unmap_all(world->fd, ioas, NULL)) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[0], NULL));
}

TEST_F(places, space)
{
	struct path path = { .run = run_space };

	sweep(_metadata, &self->world, &path);
}

static int make_device(struct world *world, int nth)
{
	return mock_device(world->fd, world->ioas[nth], &world->mock[nth]);
}

static int run_device(struct world *world)
{
	return make_device(world, 0) ?:
	       MUST(world, destroy(world->fd, world->mock[0].stdev)) ?:
	       MUST(world, destroy(world->fd, world->ioas[0]));
}

TEST_F(places, device)
{
	struct path path = { .run = run_device };

	sweep(_metadata, &self->world, &path);
}

static int prepare_one_device(struct world *world)
{
	return make_device(world, 0);
}

static int run_map(struct world *world)
{
	__u64 iova;

	return map_halves(world) ?:
	       MUST(world, unmap(world->fd, world->ioas[0], APERTURE,
				 half(world), NULL)) ?:
	       map_any(world->fd, world->ioas[0], world->va, half(world), &iova) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[0], NULL));
}

/* Scenario 54. */
TEST_F(places, map)
{
	struct path path = { .prepare = prepare_one_device, .run = run_map };

	sweep(_metadata, &self->world, &path);
}

/* Two devices that cannot share a domain in one IOAS. */
static int prepare_two_domains(struct world *world)
{
	struct mock other;

	return make_device(world, 0) ?:
	       mock_device_flags(world->fd, world->ioas[0],
				 MOCK_FLAGS_DEVICE_HUGE_IOVA, &other);
}

TEST_F(places, map_in_two_domains)
{
	struct path path = { .prepare = prepare_two_domains, .run = run_map };

	sweep(_metadata, &self->world, &path);
}

static int run_attach(struct world *world)
{
	return make_device(world, 0) ?:
	       MUST(world, destroy(world->fd, world->mock[0].stdev)) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[0], NULL));
}

TEST_F(places, attach_to_populated)
{
	struct path path = { .prepare = map_halves, .run = run_attach };

	sweep(_metadata, &self->world, &path);
}

static int prepare_copy(struct world *world)
{
	return make_device(world, 0) ?:
	       make_device(world, 1) ?:
	       map_halves(world);
}

static int run_copy(struct world *world)
{
	return copy_to(world, world->ioas[0], world->ioas[1], APERTURE) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[0], NULL)) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[1], NULL));
}

TEST_F(places, copy)
{
	struct path path = { .prepare = prepare_copy, .run = run_copy };

	sweep(_metadata, &self->world, &path);
}

static int prepare_replace(struct world *world)
{
	return make_device(world, 0) ?:
	       map_halves(world) ?:
	       copy_to(world, world->ioas[0], world->ioas[1], APERTURE);
}

static int run_replace(struct world *world)
{
	return mock_replace(world->fd, &world->mock[0], world->ioas[1]) ?:
	       MUST(world, destroy(world->fd, world->ioas[0])) ?:
	       MUST(world, destroy(world->fd, world->mock[0].stdev));
}

TEST_F(places, replace)
{
	struct path path = { .prepare = prepare_replace, .run = run_replace };

	sweep(_metadata, &self->world, &path);
}

static int prepare_hwpt(struct world *world)
{
	return make_device(world, 0) ?:
	       map_halves(world);
}

static int run_hwpt(struct world *world)
{
	__u32 hwpt;

	return hwpt_alloc(world->fd, IOMMU_HWPT_ALLOC_NEST_PARENT,
			  world->mock[0].idev, world->ioas[0], &hwpt) ?:
	       mock_replace(world->fd, &world->mock[0], hwpt) ?:
	       mock_device(world->fd, hwpt, &world->mock[1]) ?:
	       mock_replace(world->fd, &world->mock[0], world->ioas[0]) ?:
	       MUST(world, destroy(world->fd, world->mock[1].stdev)) ?:
	       MUST(world, destroy(world->fd, hwpt));
}

TEST_F(places, hwpt)
{
	struct path path = { .prepare = prepare_hwpt, .run = run_hwpt };

	sweep(_metadata, &self->world, &path);
}

/* The guest's tables, and devices that go from one to the other. */
static int run_nested(struct world *world)
{
	const struct iommu_hwpt_invalidate_selftest requests[2] = {};
	__u32 parent, first, second, num = 2;

	return hwpt_alloc(world->fd, IOMMU_HWPT_ALLOC_NEST_PARENT,
			  world->mock[0].idev, world->ioas[0], &parent) ?:
	       nested_alloc(world->fd, world->mock[0].idev, parent, 1, &first) ?:
	       nested_alloc(world->fd, world->mock[0].idev, parent, 2, &second) ?:
	       mock_device(world->fd, first, &world->mock[1]) ?:
	       mock_replace(world->fd, &world->mock[0], first) ?:
	       mock_replace(world->fd, &world->mock[0], second) ?:
	       mock_invalidate(world->fd, second, requests, &num) ?:
	       mock_replace(world->fd, &world->mock[1], world->ioas[0]) ?:
	       MUST(world, destroy(world->fd, first)) ?:
	       MUST(world, destroy(world->fd, world->mock[0].stdev)) ?:
	       MUST(world, destroy(world->fd, second)) ?:
	       MUST(world, destroy(world->fd, parent));
}

TEST_F(places, nested)
{
	struct path path = { .prepare = prepare_hwpt, .run = run_nested };

	sweep(_metadata, &self->world, &path);
}

static int run_hw_info(struct world *world)
{
	struct iommu_test_hw_info info;
	struct iommu_hw_info arg = {
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)&info,
	};

	return get_hw_info(world->fd, world->mock[0].idev, &arg);
}

TEST_F(places, hw_info)
{
	struct path path = { .prepare = prepare_one_device, .run = run_hw_info };

	sweep(_metadata, &self->world, &path);
}

/* A fault that the device was not told of, or that could not be queued. */
static int read_and_answer(int file)
{
	struct iommu_hwpt_pgfault record;
	ssize_t bytes = read(file, &record, sizeof(record));

	if (bytes < 0)
		return -errno;
	return bytes ? answer(file, record.cookie, IOMMUFD_PAGE_RESP_SUCCESS) :
		       -ENODATA;
}

static int make_fault(struct world *world, __u32 parent, __u32 *fault, int *file,
		      __u32 *hwpt)
{
	return fault_alloc(world->fd, fault, file) ?:
	       fault_hwpt_alloc(world->fd, world->mock[0].idev, parent, *fault,
				hwpt);
}

static int use_faults(struct world *world, __u32 first, __u32 second, int file)
{
	const struct request request = { .pasid = 1, .addr = APERTURE };

	return mock_replace(world->fd, &world->mock[0], first) ?:
	       trigger_iopf(world->fd, world->mock[0].idev, &request) ?:
	       read_and_answer(file) ?:
	       trigger_iopf(world->fd, world->mock[0].idev, &request) ?:
	       mock_replace(world->fd, &world->mock[0], second) ?:
	       mock_device(world->fd, first, &world->mock[1]) ?:
	       mock_replace(world->fd, &world->mock[0], world->ioas[0]);
}

static int run_fault(struct world *world)
{
	int files[2] = { -1, -1 }, rc;
	__u32 parent, fault[2], hwpt[2];

	rc = hwpt_alloc(world->fd, IOMMU_HWPT_ALLOC_NEST_PARENT,
			world->mock[0].idev, world->ioas[0], &parent) ?:
	     make_fault(world, parent, &fault[0], &files[0], &hwpt[0]) ?:
	     make_fault(world, parent, &fault[1], &files[1], &hwpt[1]) ?:
	     use_faults(world, hwpt[0], hwpt[1], files[0]) ?:
	     MUST(world, destroy(world->fd, world->mock[1].stdev)) ?:
	     MUST(world, destroy(world->fd, hwpt[0]));
	close(files[0]);
	close(files[1]);
	return rc ?: MUST(world, destroy(world->fd, fault[0]));
}

/* Scenario 21. */
TEST_F(places, fault)
{
	struct path path = { .prepare = prepare_hwpt, .run = run_fault };

	sweep(_metadata, &self->world, &path);
}

static int prepare_dirty(struct world *world)
{
	return make_device(world, 0) ?:
	       map_halves(world) ?:
	       hwpt_alloc(world->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
			  world->mock[0].idev, world->ioas[0], &world->hwpt);
}

/*
 * A read that fails may have cleared bits: then it has set them as well. All pages
 * are dirty, as pages that happen to be neighbours can be in one leaf, and then one
 * bit tells of all of them.
 */
static int read_all(struct world *world, const struct dirty_range *range)
{
	__u8 all[PAGES / 8], bits[PAGES / 8] = {};
	int rc, again;

	memset(all, 0xff, sizeof(all));
	rc = get_dirty(world->fd, world->hwpt, 0, range, bits);
	if (!rc)
		return memcmp(all, bits, sizeof(all)) ? -ENODATA : 0;
	again = get_dirty(world->fd, world->hwpt, 0, range, bits);
	if (again || memcmp(all, bits, sizeof(all))) {
		world->broken = "get_dirty";
		world->broken_rc = again;
	}
	return rc;
}

static int run_dirty(struct world *world)
{
	const struct dirty_range range = { APERTURE, world->bytes, page_bytes() };
	__u8 bits[PAGES / 8];

	memset(bits, 0xff, sizeof(bits));
	return set_dirty(world->fd, world->hwpt,
			 IOMMU_HWPT_DIRTY_TRACKING_ENABLE) ?:
	       write_dirty(world->fd, world->hwpt, &range, bits, NULL) ?:
	       read_all(world, &range) ?:
	       set_dirty(world->fd, world->hwpt, 0) ?:
	       MUST(world, destroy(world->fd, world->hwpt)) ?:
	       MUST(world, unmap_all(world->fd, world->ioas[0], NULL));
}

TEST_F(places, dirty)
{
	struct path path = { .prepare = prepare_dirty, .run = run_dirty };

	sweep(_metadata, &self->world, &path);
}

/* -- the same through type1 */

static int prepare_type1(struct world *world)
{
	int rc = write_number(SWITCH("coherency"), COHERENT) ?:
		 vfio_ioas(world->fd, IOMMU_VFIO_IOAS_SET, &world->ioas[0]) ?:
		 make_device(world, 0);

	world->hwpt = world->mock[0].hwpt;
	return rc ?: map_halves(world);
}

static int type1_get(struct world *world, __u64 *bits)
{
	return get_bitmap(world->fd, APERTURE, world->bytes, bits);
}

/* As read_all(), by a program that throws away what it got with an error. */
static int type1_read_all(struct world *world)
{
	__u64 bits = 0;
	int rc, again;

	rc = type1_get(world, &bits);
	if (!rc)
		return bits == UINT64_MAX ? 0 : -ENODATA;
	bits = 0;
	again = type1_get(world, &bits);
	if (again || bits != UINT64_MAX) {
		world->broken = "GET_BITMAP";
		world->broken_rc = again;
	}
	return rc;
}

/*
 * A device that comes while tracking is on. If its driver fails to track, what it
 * writes cannot be told any more: then everything is dirty, and it is there.
 */
static int type1_add_device(struct world *world)
{
	__u64 bits = 0;
	int rc;

	rc = mock_device(world->fd, world->ioas[0], &world->mock[1]) ?:
	     type1_get(world, &bits);
	if (!rc && bits && bits != UINT64_MAX)
		rc = -ENODATA;
	if (rc == -ENODATA) {
		world->broken = "a bit that nobody set";
		world->broken_rc = rc;
	}
	return rc;
}

/* All of it is told of, or nothing is unmapped. */
static int type1_unmap(struct world *world)
{
	__u64 bits = 0, size = world->bytes;
	int rc = unmap_bitmap(world->fd, APERTURE, &size, &bits);

	if (!rc && (bits != UINT64_MAX || size != world->bytes)) {
		world->broken = "UNMAP_DMA";
		world->broken_rc = -ENODATA;
	}
	return rc;
}

static int run_type1_dirty(struct world *world)
{
	const struct dirty_range range = { APERTURE, world->bytes, page_bytes() };
	const __u64 bits = UINT64_MAX;
	int rc;

	rc = dirty_pages(world->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_START) ?:
	     write_dirty(world->fd, world->hwpt, &range, &bits, NULL) ?:
	     type1_read_all(world) ?:
	     write_number(SWITCH("coherency"), ENFORCEABLE) ?:
	     type1_add_device(world);
	return rc ?: type1_unmap(world) ?:
	       dirty_pages(world->fd, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

TEST_F(places, type1_dirty)
{
	struct path path = { .prepare = prepare_type1, .run = run_type1_dirty };

	sweep(_metadata, &self->world, &path);
}

TEST_HARNESS_MAIN
