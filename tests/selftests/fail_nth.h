/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paths of which every place is made to fail: the world in which they run, for each
 * kind of driver, and the sweep over the places.
 */
#ifndef IOMMU_SELFTEST_FAIL_NTH_H
#define IOMMU_SELFTEST_FAIL_NTH_H

#include "mock.h"
#include "harness.h"

#define PAGES		64
/* A path that has more places allocates for each page, or never ends. */
#define MAX_PLACES	399

/**
 * struct world - what a path works in, made anew for each try
 * @fd: the file
 * @ioas: two of them
 * @mock: a device for each
 * @hwpt: of the first one
 * @va: memory
 * @bytes: of it
 * @broken: a call that must not fail and did, or NULL
 * @broken_rc: how
 */
struct world {
	int fd;
	__u32 ioas[2];
	struct mock mock[2];
	__u32 hwpt;
	__u64 va;
	__u64 bytes;
	const char *broken;
	int broken_rc;
};

/*
 * A call that needs no memory. Looking an object up is a place, too: the call is
 * made once more then.
 */
#define MUST(world, call)				\
({							\
	int _rc = (call);				\
							\
	if (_rc == -ENOENT)				\
		_rc = (call);				\
	if (_rc) {					\
		(world)->broken = #call;		\
		(world)->broken_rc = _rc;		\
	}						\
	_rc;						\
})

/**
 * struct path - calls of which everything is made to fail
 * @prepare: calls in which nothing fails
 * @run: the calls
 */
struct path {
	int (*prepare)(struct world *world);
	int (*run)(struct world *world);
};

static long pinned_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "VmPin: %ld kB", &kib);
	if (status)
		fclose(status);
	return kib;
}

static int world_make(struct world *world, const struct path *path)
{
	world->broken = NULL;
	world->fd = open_iommu();
	if (world->fd < 0)
		return -errno;
	return ioas_alloc(world->fd, &world->ioas[0]) ?:
	       ioas_alloc(world->fd, &world->ioas[1]) ?:
	       (path->prepare ? path->prepare(world) : 0);
}

/* Return: 0 if nothing is left. */
static int world_end(struct world *world)
{
	int rc, fd;

	if (close(world->fd))
		return -errno;
	if (pinned_kib())
		return -EBUSY;
	fd = open_iommu();
	rc = check_refs(fd, world->va, world->bytes, 0);
	close(fd);
	return rc;
}

FIXTURE(places)
{
	struct world world;
};

FIXTURE_VARIANT(places)
{
	const char *driver;
	__u32 limit;
};

FIXTURE_VARIANT_ADD(places, exact)
{
	.driver = "exact",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(places, exact_limit_256)
{
	.driver = "exact",
	.limit = 256,
};

FIXTURE_VARIANT_ADD(places, vtd)
{
	.driver = "vtd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(places, amd)
{
	.driver = "amd",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(places, arm)
{
	.driver = "arm",
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(places, virtio)
{
	.driver = "virtio",
	.limit = USUAL_LIMIT,
};

FIXTURE_SETUP(places)
{
	int fd = open_iommu();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, reset_switches(fd));
	ASSERT_EQ(0, temp_limit(fd, variant->limit));
	ASSERT_EQ(0, set_driver(variant->driver));
	close(fd);
	quiet_injection();
	self->world.bytes = PAGES * page_bytes();
	self->world.va = (uintptr_t)small_pages(self->world.bytes);
	ASSERT_NE(0, self->world.va);
	ASSERT_EQ(0, fail_nth(0));
}

FIXTURE_TEARDOWN(places)
{
	int fd = open_iommu();

	fail_nth(0);
	reset_switches(fd);
	close(fd);
}

/* Let the nth place of the path fail. Return: whether there was one. */
static bool fail_once(struct __test_metadata *_metadata, struct world *world,
		      const struct path *path, int nth)
{
	bool failed;
	int rc;

	ASSERT_EQ(0, world_make(world, path));
	ASSERT_EQ(0, fail_nth(nth));
	rc = path->run(world);
	failed = did_fail();
	ASSERT_EQ(NULL, world->broken)
		TH_LOG("place %d: %s: %d", nth, world->broken,
		       world->broken_rc);
	if (!failed)
		ASSERT_EQ(0, rc);
	ASSERT_EQ(0, world_end(world))
		TH_LOG("something is left after the failure at place %d", nth);
	return failed;
}

static void sweep(struct __test_metadata *_metadata, struct world *world,
		  const struct path *path)
{
	int nth = 1;

	while (fail_once(_metadata, world, path, nth)) {
		ASSERT_GT(MAX_PLACES, nth++);
		/* That it failed once must not matter. */
		if (nth % 16)
			continue;
		ASSERT_EQ(0, world_make(world, path));
		ASSERT_EQ(0, path->run(world));
		ASSERT_EQ(0, world_end(world));
	}
	/* Without a place there would have been no test. */
	ASSERT_LT(1, nth);
	TH_LOG("%d places", nth - 1);
}

#endif
