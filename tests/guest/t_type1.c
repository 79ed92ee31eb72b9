// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file of /dev/iommu as the container of a VFIO group: DMA through it, and the
 * same calls as to VFIO's own container with the same results.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "container.h"
#include "edu.h"
#include "harness.h"

#define IOVA		(16 * MIB)
#define LARGE_PAGES	"/sys/module/iommufd/parameters/type1_v1_large_pages"

/* -- one program, one device */

static void dma_through(unsigned long type)
{
	uint8_t *va = anon(8 * PAGE);
	struct container container;
	uint64_t size = 8 * PAGE;
	struct edu edu;

	container_open(&container, IOMMUFD_CONTAINER, EDU, type);
	EXPECT(container_map(&container, va, size, IOVA), 0);
	EXPECT(container_map(&container, va, PAGE, IOVA + PAGE), -EEXIST);
	edu_open(&edu, &container.dev);
	CHECK(edu_reaches(&edu, va + 3 * PAGE, IOVA + 3 * PAGE));
	size = PAGE;
	if (type == VFIO_TYPE1_IOMMU) {
		EXPECT(container_unmap(&container, 0, IOVA + 3 * PAGE, &size), 0);
		EXPECT((long)size, (long)PAGE);
		CHECK(!edu_reaches(&edu, va + 3 * PAGE, IOVA + 3 * PAGE));
		CHECK(edu_reaches(&edu, va + 4 * PAGE, IOVA + 4 * PAGE));
		CHECK(edu_reaches(&edu, va + 2 * PAGE, IOVA + 2 * PAGE));
	} else {
		EXPECT(container_unmap(&container, 0, IOVA + 3 * PAGE, &size),
		       -ENOENT);
		CHECK(edu_reaches(&edu, va + 3 * PAGE, IOVA + 3 * PAGE));
	}
	size = 0;
	EXPECT(container_unmap(&container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
	CHECK(!edu_reaches(&edu, va, IOVA));
	edu_close(&edu);
	container_close(&container);
}

static void test_v1(void)
{
	dma_through(VFIO_TYPE1_IOMMU);
}

static void test_v2(void)
{
	dma_through(VFIO_TYPE1v2_IOMMU);
}

/* Two groups in a container, and a device by its own node in the same IOAS. */
static void test_groups_share(void)
{
	struct container container;
	uint8_t *va = anon(PAGE);
	struct vfio_dev nvme;
	struct iommu_vfio_ioas ioas = {
		.size = sizeof(ioas),
		.op = IOMMU_VFIO_IOAS_GET,
	};
	uint32_t pt_id;
	char path[32];
	int group;

	container_open(&container, IOMMUFD_CONTAINER, EDU, VFIO_TYPE1v2_IOMMU);
	EXPECT(container_map(&container, va, PAGE, IOVA), 0);
	snprintf(path, sizeof(path), "/dev/vfio/%d",
		 iommu_group_of(bdf_of(GROUP_EDU)));
	group = open(path, O_RDWR | O_CLOEXEC);
	CHECK(group >= 0);
	EXPECT(raw_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container.fd), 0);
	EXPECT(raw_ioctl(container.fd, IOMMU_VFIO_IOAS, &ioas), 0);
	bind_device(&nvme, NVME, container.fd);
	pt_id = ioas.ioas_id;
	EXPECT(vfio_dev_attach(&nvme, &pt_id), 0);
	vfio_dev_close(&nvme);
	close(group);
	container_close(&container);
}

/* -- /dev/vfio/vfio as a link to /dev/iommu */

#define GROUP_NODES	"/tmp/groups"

static void link_or_fail(const char *target, const char *path)
{
	if (symlink(target, path))
		FAIL("%s: %s", path, strerror(errno));
}

/* What an administrator would do to /dev/vfio, for this process alone. */
static void make_link(void)
{
	char there[64], here[64];
	int group = iommu_group_of(bdf_of(EDU));

	snprintf(there, sizeof(there), GROUP_NODES "/%d", group);
	snprintf(here, sizeof(here), "/dev/vfio/%d", group);
	CHECK(!unshare(CLONE_NEWNS));
	CHECK(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(!mkdir(GROUP_NODES, 0755) || errno == EEXIST);
	CHECK(!mount("/dev/vfio", GROUP_NODES, NULL, MS_BIND, NULL));
	CHECK(!mount("none", "/dev/vfio", "tmpfs", 0, "mode=755"));
	link_or_fail(there, here);
	link_or_fail("../iommu", LEGACY_CONTAINER);
}

/* Scenario 46. */
static void test_link(void)
{
	struct container container;
	uint8_t *va = anon(PAGE);
	uint64_t size = PAGE;
	struct iommu_vfio_ioas ioas = {
		.size = sizeof(ioas),
		.op = IOMMU_VFIO_IOAS_GET,
	};
	struct edu edu;

	make_link();
	container_open(&container, LEGACY_CONTAINER, EDU, VFIO_TYPE1v2_IOMMU);
	/* no file of VFIO's own would know this */
	EXPECT(raw_ioctl(container.fd, IOMMU_VFIO_IOAS, &ioas), 0);
	EXPECT(container_map(&container, va, PAGE, IOVA), 0);
	edu_open(&edu, &container.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
	EXPECT(container_unmap(&container, 0, IOVA, &size), 0);
	CHECK(!edu_reaches(&edu, va, IOVA));
	edu_close(&edu);
	container_close(&container);
}

/* The link has the mode of what it leads to, which is not that of VFIO's node. */
static void test_link_mode(void)
{
	struct stat st;

	make_link();
	EXPECT(stat(LEGACY_CONTAINER, &st), 0);
	EXPECT(st.st_mode, S_IFCHR | 0660);
	EXPECT(st.st_uid, 0);
	EXPECT(st.st_gid, 0);
	EXPECT(stat(IOMMUFD_CONTAINER, &st), 0);
	EXPECT(st.st_mode, S_IFCHR | 0660);
	EXPECT(setresgid(65534, 65534, 65534), 0);
	EXPECT(setresuid(65534, 65534, 65534), 0);
	CHECK(open(LEGACY_CONTAINER, O_RDWR | O_CLOEXEC) < 0);
	EXPECT(errno, EACCES);
}

/* -- dirty pages */

/* The drivers of this kernel cannot record them: it is as if there were no such thing. */
static void test_no_dirty_pages(void)
{
	union {
		struct vfio_iommu_type1_info info;
		uint8_t bytes[1024];
	} u = { .info.argsz = sizeof(u) };
	struct vfio_iommu_type1_dirty_bitmap dirty = { .argsz = sizeof(dirty) };
	const struct vfio_info_cap_header *cap;
	uint64_t bits = 0;
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} arg = {
		.unmap = {
			.argsz = sizeof(arg),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = IOVA,
			.size = PAGE,
		},
		.bitmap = { .pgsize = PAGE, .size = sizeof(bits) },
	};
	uint8_t *va = anon(PAGE);
	struct container container;
	unsigned int nr_caps = 0;
	uint64_t size = PAGE;

	container_open(&container, IOMMUFD_CONTAINER, EDU, VFIO_TYPE1v2_IOMMU);
	EXPECT(container_map(&container, va, PAGE, IOVA), 0);
	EXPECT(raw_ioctl(container.fd, VFIO_IOMMU_GET_INFO, &u), 0);
	for (uint32_t at = u.info.cap_offset; at; at = cap->next, nr_caps++) {
		cap = (const void *)&u.bytes[at];
		CHECK(cap->id != VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	}
	EXPECT(nr_caps, 2);
	for (dirty.flags = 0; dirty.flags < 8; dirty.flags++)
		EXPECT(raw_ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES, &dirty),
		       -ENOTTY);
	EXPECT(raw_ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES, NULL), -ENOTTY);
	arg.bitmap.data = (void *)&bits;
	EXPECT(raw_ioctl(container.fd, VFIO_IOMMU_UNMAP_DMA, &arg), -EINVAL);
	EXPECT((long)bits, 0);
	/* it is still mapped */
	EXPECT(container_unmap(&container, 0, IOVA, &size), 0);
	EXPECT((long)size, (long)PAGE);
	container_close(&container);
}

/* -- the same calls to VFIO's own container */

#define WINDOW_PAGES	48
#define NR_CALLS	2000
#define NR_PROBES	12

/* A call and what came of it. */
struct call {
	enum { MAP, UNMAP, UNMAP_ALL } what;
	uint32_t flags;
	uint32_t argsz;
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	int rc;
	uint64_t result;
};

/* What a device reaches at a page of the window: a page of the buffer, or -1. */
struct trace {
	struct call calls[NR_CALLS];
	int reaches[NR_PROBES];
};

/*
 * Now and then something that nobody should ask for. In version 2, VFIO alone minds
 * that an unmap is not of pages. VADDR, which it alone knows, is 4.
 */
static void make_odd(struct call *call, unsigned long type)
{
	static const uint32_t flags[] = { 1, 2, 8, 16, 32 };
	int is_odd = call->what == MAP || type == VFIO_TYPE1_IOMMU;

	switch (rand() % 12) {
	case 0:
		call->size = 0;
		break;
	case 1:
		call->iova = 0xfee00000;
		break;
	case 2:
		call->iova += is_odd * PAGE / 2;
		break;
	case 3:
		call->size += is_odd * PAGE / 2;
		break;
	case 4:
		call->offset++;
		break;
	case 5:
		call->iova = -PAGE;
		break;
	case 6:
		call->size = -PAGE;
		break;
	case 7:
		call->iova = 1UL << 60;
		break;
	case 8:
		call->argsz -= 1 + rand() % 8;
		break;
	case 9:
		call->argsz += 100;
		break;
	case 10:
		call->flags = flags[rand() % 5];
		break;
	case 11:
		call->flags = 0;
		break;
	}
}

/* The same for both containers. */
static void make_call(struct call *call, unsigned long type)
{
	unsigned int dice = rand() % 100;

	call->what = dice < 50 ? MAP : dice < 98 ? UNMAP : UNMAP_ALL;
	call->iova = IOVA + rand() % WINDOW_PAGES * PAGE;
	call->size = (1 + rand() % 6) * PAGE;
	call->offset = rand() % (WINDOW_PAGES - 6) * PAGE;
	call->flags = 0;
	call->argsz = sizeof(struct vfio_iommu_type1_dma_unmap);
	if (call->what == MAP) {
		call->flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
		call->argsz = sizeof(struct vfio_iommu_type1_dma_map);
	} else if (call->what == UNMAP_ALL) {
		call->flags = VFIO_DMA_UNMAP_FLAG_ALL;
		call->iova = 0;
		call->size = 0;
	}
	if (!(rand() % 8))
		make_odd(call, type);
}

static int do_map(int fd, const struct call *call, uint8_t *buffer)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = call->argsz,
		.flags = call->flags,
		.vaddr = (uintptr_t)buffer + call->offset,
		.iova = call->iova,
		.size = call->size,
	};

	return raw_ioctl(fd, VFIO_IOMMU_MAP_DMA, &map);
}

static int do_unmap(int fd, const struct call *call, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = call->argsz,
		.flags = call->flags,
		.iova = call->iova,
		.size = call->size,
	};
	int rc = raw_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	*size = unmap.size;
	return rc;
}

static void do_call(const struct container *container, uint8_t *buffer,
		    struct call *call)
{
	call->result = call->size;
	if (call->what == MAP)
		call->rc = do_map(container->fd, call, buffer);
	else
		call->rc = do_unmap(container->fd, call, &call->result);
}

static int reached_page(struct edu *edu, uint8_t *buffer, uint64_t iova)
{
	memset(buffer, 0xe7, WINDOW_PAGES * PAGE);
	edu_store(edu, iova, 64);
	for (unsigned int i = 0; i < WINDOW_PAGES; i++)
		if (!is_filled(buffer + i * PAGE, 0xe7, 64))
			return i;
	return -1;
}

static void record(const char *path, unsigned long type, unsigned int seed,
		   struct trace *trace)
{
	uint8_t *buffer = anon(WINDOW_PAGES * PAGE);
	struct container container;
	struct edu edu;

	srand(seed);
	container_open(&container, path, EDU, type);
	for (unsigned int i = 0; i < NR_CALLS; i++) {
		make_call(&trace->calls[i], type);
		do_call(&container, buffer, &trace->calls[i]);
	}
	edu_open(&edu, &container.dev);
	for (unsigned int i = 0; i < NR_PROBES; i++)
		trace->reaches[i] = reached_page(&edu, buffer, IOVA + i * PAGE);
	edu_close(&edu);
	container_close(&container);
}

static int wraps(const struct call *call)
{
	return call->iova + call->size - 1 < call->iova ||
	       call->offset + call->size - 1 < call->offset;
}

/*
 * Where VFIO says EINVAL, we say ENOENT to an unmap that would cut and EOVERFLOW to
 * a range that wraps, as iommufd does; and of two reasons to refuse a map, the other
 * one.
 */
static int is_known(const struct call *theirs, const struct call *ours)
{
	if (theirs->rc != -EINVAL)
		return 0;
	switch (ours->rc) {
	case -ENOENT:
		return ours->what == UNMAP;
	case -EOVERFLOW:
		return wraps(ours);
	case -EEXIST:
		return ours->what == MAP &&
		       (!ours->flags || (ours->offset | ours->size) % PAGE);
	default:
		return 0;
	}
}

/* An answer has no size when it is an error. */
static int is_same(const struct call *theirs, const struct call *ours)
{
	if (theirs->rc != ours->rc)
		return is_known(theirs, ours);
	return theirs->rc || theirs->result == ours->result;
}

static const char *const names[] = { "map", "unmap", "unmap all" };

static void compare(unsigned long type, unsigned int seed)
{
	static struct trace theirs, ours;
	unsigned int differences = 0, refused = 0;

	record(LEGACY_CONTAINER, type, seed, &theirs);
	record(IOMMUFD_CONTAINER, type, seed, &ours);
	for (unsigned int i = 0; i < NR_CALLS; i++) {
		const struct call *a = &theirs.calls[i], *b = &ours.calls[i];

		refused += a->rc != b->rc;
		if (is_same(a, b))
			continue;
		if (differences++ < 10)
			printf("# call %u, %s %#x %u %#llx %#llx: %d %#llx, ours %d %#llx\n",
			       i, names[a->what], a->flags, a->argsz,
			       (unsigned long long)a->iova,
			       (unsigned long long)a->size, a->rc,
			       (unsigned long long)a->result, b->rc,
			       (unsigned long long)b->result);
	}
	for (unsigned int i = 0; i < NR_PROBES; i++) {
		if (theirs.reaches[i] == ours.reaches[i])
			continue;
		printf("# page %u: %d, ours %d\n", i, theirs.reaches[i],
		       ours.reaches[i]);
		differences++;
	}
	printf("# type %lu, seed %u: %u calls, %u with another errno, %u differences\n",
	       type, seed, NR_CALLS, refused, differences);
	EXPECT(differences, 0);
}

/* Scenario 46. */
static void test_as_vfio_v2(void)
{
	compare(VFIO_TYPE1v2_IOMMU, 1);
	compare(VFIO_TYPE1v2_IOMMU, 2);
}

/* Scenario 46. */
static void test_as_vfio_v1(void)
{
	write_or_fail(LARGE_PAGES, "Y");
	compare(VFIO_TYPE1_IOMMU, 3);
	compare(VFIO_TYPE1_IOMMU, 4);
	write_or_fail(LARGE_PAGES, "N");
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "type1.v1", test_v1, 0 },
		{ "type1.v2", test_v2, 0 },
		{ "type1.groups_share", test_groups_share, 0 },
		{ "type1.link", test_link, 0 },
		{ "type1.link_mode", test_link_mode, 0 },
		{ "type1.no_dirty_pages", test_no_dirty_pages, 0 },
		{ "type1.as_vfio_v2", test_as_vfio_v2, 120 },
		{ "type1.as_vfio_v1", test_as_vfio_v1, 120 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
