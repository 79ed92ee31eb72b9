// SPDX-License-Identifier: GPL-2.0-only
/*
 * The container node of VFIO, /dev/vfio/vfio, as iommufd provides it, beside
 * /dev/iommu in its place: with a real device in it, and the page tables of its
 * IOMMU.
 */
#include <linux/types.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "group.h"
#include "type1.h"
#include "harness.h"

#define NODE		"/dev/vfio/vfio"
#define TABLES		"/sys/kernel/debug/iommu/intel/%s/domain_translation_struct"
#define IOVA		(1UL << 30)

/* -- the node */

/* VFIO_MINOR; what udev would load the module for. */
TEST(node)
{
	struct stat node, iommu;

	ASSERT_EQ(0, stat(NODE, &node));
	EXPECT_EQ(makedev(10, 196), node.st_rdev);
	EXPECT_EQ(S_IFCHR | 0666, node.st_mode);
	EXPECT_EQ(0, access("/sys/class/misc/vfio", F_OK));
	ASSERT_EQ(0, stat("/dev/iommu", &iommu));
	EXPECT_EQ(10, major(iommu.st_rdev));
	EXPECT_NE(node.st_rdev, iommu.st_rdev);
	EXPECT_EQ(S_IFCHR | 0660, iommu.st_mode);
}

/* What may be used by everybody is the container: the groups are given away. */
TEST(unprivileged)
{
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_LE(0, open(NODE, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(-1, open("/dev/iommu", O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
}

/* -- a group in a container */

FIXTURE(container)
{
	char bdf[32];
	/* the group's node */
	char group_node[64];
	int fd;
	int group;
	int device;
	__u64 page;
};

FIXTURE_VARIANT(container)
{
	const char *path;
	/* what IOMMU_OPTION_RLIMIT_MODE says */
	__u64 counts_by_mm;
};

FIXTURE_VARIANT_ADD(container, node)
{
	.path = NODE,
	.counts_by_mm = 1,
};

FIXTURE_VARIANT_ADD(container, iommu)
{
	.path = "/dev/iommu",
};

FIXTURE_SETUP(container)
{
	char path[128];

	self->group = -1;
	self->device = -1;
	self->page = page_bytes();
	self->fd = open(variant->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, write_text(LARGE_PAGES, "N"));
	if (!find_edu(self->bdf, sizeof(self->bdf)))
		SKIP(return, "the machine has no edu");
	ASSERT_EQ(0, give_to_vfio(self->bdf));
	snprintf(path, sizeof(path), DEVICES "%s", self->bdf);
	ASSERT_EQ(0, node_of_group(path, self->group_node,
				   sizeof(self->group_node)));
	self->group = open(self->group_node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->group);
}

FIXTURE_TEARDOWN(container)
{
	fail_nth(0);
	EXPECT_EQ(0, write_text(LARGE_PAGES, "N"));
	if (self->device >= 0)
		EXPECT_EQ(0, close(self->device));
	if (self->group >= 0)
		EXPECT_EQ(0, close(self->group));
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(0, status_kib("VmPin"));
}

/* As every type1 program begins. @device: written: its file. */
static int begin(int fd, int group, const char *bdf, unsigned long type,
		 int *device)
{
	int rc;

	rc = set_container(group, fd) ?: container(fd, VFIO_SET_IOMMU, type);
	if (rc)
		return rc;
	*device = device_of(group, bdf);
	return *device < 0 ? *device : 0;
}

/* How many entries a device's page table has of each size, from IOVA on. */
struct leaves {
	unsigned long small;
	unsigned long large;
	unsigned long other;
};

/*
 * A line is the page number, a bar, and the entries on the way down to the leaf,
 * those of levels that are not there being 0: 3 of them to a leaf of 1 GiB.
 */
static void count_leaf(struct leaves *leaves, const char *line, __u64 bytes)
{
	unsigned long pfn = strtoul(line, NULL, 16);
	unsigned int entries = 0;

	if (!strchr(line, '|') || pfn < IOVA >> 12 || pfn >= (IOVA + bytes) >> 12)
		return;
	for (line = strchr(line, '|'); line; line = strchr(line, '\t')) {
		line++;
		entries++;
	}
	switch (entries - 1) {
	case 5:
		leaves->small++;
		break;
	case 4:
		leaves->large++;
		break;
	default:
		leaves->other++;
	}
}

/* Return: false if the kernel does not show its tables. */
static bool count_leaves(struct leaves *leaves, const char *bdf, __u64 bytes)
{
	char path[128], line[256];
	FILE *file;

	memset(leaves, 0, sizeof(*leaves));
	snprintf(path, sizeof(path), TABLES, bdf);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		count_leaf(leaves, line, bytes);
	fclose(file);
	return true;
}

TEST_F(container, without_a_group)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int fd = self->fd;
	__u64 size = 0;

	EXPECT_EQ(VFIO_API_VERSION, container(fd, VFIO_GET_API_VERSION, 0));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, container(fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	EXPECT_EQ(-ENODEV, container(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(-EINVAL, container(fd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(-ENODEV, command(fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_EQ(-ENODEV, unmap_dma(fd, UNMAP_ALL, 0, &size));
	/* a group without a container has no device to give */
	EXPECT_EQ(-EINVAL, device_of(self->group, self->bdf));
}

/* Scenario 46. */
TEST_F(container, maps)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	__u64 va = (uintptr_t)small_pages(16 * self->page);
	__u64 size = 0, mode = 7;
	struct leaves leaves;
	int fd = self->fd;
	__u32 ioas = 0;

	ASSERT_EQ(0, begin(fd, self->group, self->bdf, VFIO_TYPE1v2_IOMMU,
			   &self->device));
	EXPECT_EQ(-EINVAL, set_container(self->group, fd));
	EXPECT_EQ(0, vfio_ioas(fd, IOMMU_VFIO_IOAS_GET, &ioas));
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_RLIMIT_MODE, 0, &mode));
	EXPECT_EQ(variant->counts_by_mm, mode);
	EXPECT_LE(0, container(fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU));
	ASSERT_EQ(0, command(fd, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_LT(sizeof(info), info.argsz);
	EXPECT_NE(0, info.iova_pgsizes & self->page);

	ASSERT_EQ(0, map_dma(fd, DMA_RW, va, 16 * self->page, IOVA));
	EXPECT_EQ(16 * self->page >> 10, status_kib("VmPin"));
	if (count_leaves(&leaves, self->bdf, HUGE_BYTES))
		EXPECT_EQ(16, leaves.small);
	EXPECT_EQ(0, unmap_dma(fd, UNMAP_ALL, 0, &size));
	EXPECT_EQ(16 * self->page, size);
	if (count_leaves(&leaves, self->bdf, HUGE_BYTES))
		EXPECT_EQ(0, leaves.small);
}

/* VFIO's own driver refuses all of this, but not all of it with the same errno. */
TEST_F(container, map_errors)
{
	__u64 va = (uintptr_t)small_pages(self->page);
	__u64 offset, bytes;
	int fd = self->fd;
	void *bar;

	ASSERT_EQ(0, begin(fd, self->group, self->bdf, VFIO_TYPE1v2_IOMMU,
			   &self->device));
	/* neither for reading nor for writing: for VT-d to refuse */
	EXPECT_EQ(-EINVAL, map_dma(fd, 0, va, self->page, IOVA));
	/* where interrupts are written to, and beyond the end */
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, va, self->page, 0xfee00000));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, va, self->page, 1UL << 60));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, va, self->page, -self->page));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, va, self->page / 2, IOVA));
	EXPECT_EQ(-EINVAL, map_dma(fd, DMA_RW, va, self->page, IOVA + 1));
	/* the device's own memory */
	ASSERT_EQ(0, region_of(self->device, VFIO_PCI_BAR0_REGION_INDEX, &offset,
			       &bytes));
	bar = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->device,
		   offset);
	ASSERT_NE(MAP_FAILED, bar);
	EXPECT_EQ(-EFAULT, map_dma(fd, DMA_RW, (uintptr_t)bar, self->page, IOVA));
	EXPECT_EQ(0, status_kib("VmPin"));
	EXPECT_EQ(0, map_dma(fd, DMA_RW, va, self->page, IOVA));
	munmap(bar, bytes);
}

/*
 * Making the compat IOAS, and attaching a device to it: what fails leaves the group
 * as it was, and can be done again. The device is an emulated one, since ACPI does
 * not survive that it has no memory to switch on a real one.
 */
static bool begin_with_failure(struct __test_metadata *_metadata,
			       const char *path, const char *node, int nth,
			       int *rc)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int group = open(node, O_RDWR | O_CLOEXEC);
	int device = -1;
	bool failed;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, group);
	ASSERT_EQ(0, fail_nth(nth));
	*rc = begin(fd, group, EMULATED, VFIO_TYPE1_IOMMU, &device);
	failed = did_fail();
	if (*rc) {
		unset_container(group);
		EXPECT_EQ(0, begin(fd, group, EMULATED, VFIO_TYPE1_IOMMU,
				   &device))
			TH_LOG("again, after place %d: %d", nth, *rc);
	}
	EXPECT_EQ(0, close(device));
	EXPECT_EQ(0, close(group));
	EXPECT_EQ(0, close(fd));
	return failed;
}

TEST_F(container, fail_nth)
{
	unsigned int nth = 1, failures = 0;
	char node[64] = "";
	int rc;

	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP(return, "the kernel is built without fault injection");
	if (access(MAKE_EMULATED, F_OK))
		SKIP(return, "the kernel is built without mtty");
	quiet_injection();
	ASSERT_EQ(0, node_of_emulated(node, sizeof(node)));
	while (begin_with_failure(_metadata, variant->path, node, nth, &rc)) {
		failures += !!rc;
		ASSERT_GT(1000, nth++);
	}
	/* a file, an IOAS, an ID, and the access are among them */
	EXPECT_LT(4, failures);
	TH_LOG("%u places, %u of them failed", nth - 1, failures);
}

/* -- locked memory */

struct user {
	int fd;
	struct mock mock;
};

/* A file with a device and a compat IOAS, for which nobody needs a group. */
static int make_user(struct user *user, const char *path)
{
	__u32 ioas;

	user->fd = open(path, O_RDWR | O_CLOEXEC);
	if (user->fd < 0)
		return -errno;
	return ioas_alloc(user->fd, &ioas) ?:
	       vfio_ioas(user->fd, IOMMU_VFIO_IOAS_SET, &ioas) ?:
	       mock_device(user->fd, ioas, &user->mock) ?:
	       container(user->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

static int child_maps(int fd, __u64 va, __u64 bytes)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(-map_dma(fd, DMA_RW, va, bytes, APERTURE));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

static void limit_pages(struct __test_metadata *_metadata, const char *path,
			int child_rc)
{
	const __u64 page = page_bytes();
	const struct rlimit limit = { 8 * page, 8 * page };
	struct user mine, its;
	__u64 va;

	/* not all of it is there when a user is new */
	ASSERT_EQ(0, make_user(&mine, path));
	ASSERT_EQ(0, make_user(&its, path));
	va = shared_pages(16 * page);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, setresuid(65533, 65533, 65533));
	EXPECT_EQ(-ENOMEM, map_dma(mine.fd, DMA_RW, va, 9 * page, APERTURE));
	EXPECT_EQ(0, map_dma(mine.fd, DMA_RW, va, 8 * page, APERTURE));
	EXPECT_EQ(-ENOMEM, map_dma(mine.fd, DMA_RW, va + 8 * page, page,
				   2 * APERTURE));
	EXPECT_EQ(child_rc, child_maps(its.fd, va + 8 * page, 8 * page));
	close(mine.fd);
	close(its.fd);
}

/* As with VFIO's own container, a process has its limit for itself. */
TEST(limit_of_the_node)
{
	limit_pages(_metadata, NODE, 0);
}

TEST(limit_of_iommu)
{
	limit_pages(_metadata, "/dev/iommu", -ENOMEM);
}

/* -- leaves */

#define LEAF_BYTES	(8 * HUGE_BYTES)

FIXTURE(leaves)
{
	char bdf[32];
	int fd;
	int group;
	int device;
};

FIXTURE_VARIANT(leaves)
{
	unsigned long type;
	bool large_pages;
	/* of which an entry of the IOTLB can reach as far as the memory allows */
	bool keeps_large;
};

FIXTURE_VARIANT_ADD(leaves, v1)
{
	.type = VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(leaves, v1_large)
{
	.type = VFIO_TYPE1_IOMMU,
	.large_pages = true,
	.keeps_large = true,
};

FIXTURE_VARIANT_ADD(leaves, v2)
{
	.type = VFIO_TYPE1v2_IOMMU,
	.keeps_large = true,
};

FIXTURE_SETUP(leaves)
{
	char node[64], path[128];

	self->group = -1;
	self->device = -1;
	self->fd = open(NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	if (!find_edu(self->bdf, sizeof(self->bdf)))
		SKIP(return, "the machine has no edu");
	snprintf(path, sizeof(path), TABLES, self->bdf);
	if (access(path, R_OK))
		SKIP(return, "the IOMMU driver does not show its tables");
	ASSERT_EQ(0, give_to_vfio(self->bdf));
	snprintf(path, sizeof(path), DEVICES "%s", self->bdf);
	ASSERT_EQ(0, node_of_group(path, node, sizeof(node)));
	self->group = open(node, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->group);
	ASSERT_EQ(0, write_text(LARGE_PAGES, variant->large_pages ? "Y" : "N"));
	ASSERT_EQ(0, begin(self->fd, self->group, self->bdf, variant->type,
			   &self->device));
}

FIXTURE_TEARDOWN(leaves)
{
	EXPECT_EQ(0, write_text(LARGE_PAGES, "N"));
	if (self->device >= 0)
		close(self->device);
	if (self->group >= 0)
		close(self->group);
	close(self->fd);
}

/* Whether 2 MiB stand in one piece where a large page can. */
static bool is_one_piece(const __u64 *entries)
{
	const __u64 pfn_mask = (1UL << 55) - 1;
	__u64 pfn = entries[0] & pfn_mask;
	unsigned int i;

	if (!pfn || pfn % 512)
		return false;
	for (i = 1; i < 512; i++) {
		if ((entries[i] & pfn_mask) != pfn + i)
			return false;
	}
	return true;
}

/* How many large pages the memory has, whoever made them. Return: or -1. */
static long large_pieces(const char *va)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	static __u64 entries[512];
	long pieces = 0;
	size_t done;

	for (done = 0; done < LEAF_BYTES; done += HUGE_BYTES) {
		if (pread(fd, entries, sizeof(entries),
			  ((uintptr_t)va + done) / 4096 * 8) != sizeof(entries)) {
			pieces = -1;
			break;
		}
		pieces += is_one_piece(entries);
	}
	close(fd);
	return pieces;
}

/* Map it, look at the table, and see that an unmap of a page leaves what it should. */
static void check_leaves(struct __test_metadata *_metadata,
			 FIXTURE_DATA(leaves) * self,
			 const FIXTURE_VARIANT(leaves) *variant, char *va,
			 const char *memory)
{
	bool cuts = !variant->keeps_large;
	__u64 size = page_bytes();
	struct leaves leaves;
	long large;

	ASSERT_NE(NULL, va);
	ASSERT_EQ(0, map_dma(self->fd, DMA_RW, (uintptr_t)va, LEAF_BYTES, IOVA));
	/* pinned by now, so it stays where it is */
	large = large_pieces(va);
	ASSERT_LE(0, large);
	ASSERT_TRUE(count_leaves(&leaves, self->bdf, LEAF_BYTES));
	TH_LOG("16 MiB of %s, of which %ld pieces of 2 MiB: %lu leaves of 4 KiB, %lu of 2 MiB",
	       memory, large, leaves.small, leaves.large);
	EXPECT_EQ(0, leaves.other);
	EXPECT_EQ(cuts ? 0 : large, leaves.large);
	EXPECT_EQ(LEAF_BYTES / 4096 - 512 * leaves.large, leaves.small);

	unmap_dma(self->fd, 0, IOVA + page_bytes(), &size);
	EXPECT_EQ(cuts ? page_bytes() : 0, size);
	ASSERT_TRUE(count_leaves(&leaves, self->bdf, LEAF_BYTES));
	EXPECT_EQ(LEAF_BYTES / 4096 - cuts, 512 * leaves.large + leaves.small);
	size = 0;
	EXPECT_EQ(0, unmap_dma(self->fd, UNMAP_ALL, 0, &size));
	ASSERT_TRUE(count_leaves(&leaves, self->bdf, LEAF_BYTES));
	EXPECT_EQ(0, leaves.large + leaves.small + leaves.other);
	munmap(va, LEAF_BYTES);
}

TEST_F(leaves, small_pages)
{
	check_leaves(_metadata, self, variant, small_pages(LEAF_BYTES),
		     "small pages");
}

TEST_F(leaves, transparent_huge_pages)
{
	char *va = anonymous(LEAF_BYTES);

	ASSERT_NE(NULL, va);
	ASSERT_EQ(0, madvise(va, LEAF_BYTES, MADV_HUGEPAGE));
	memset(va, 1, LEAF_BYTES);
	check_leaves(_metadata, self, variant, va, "transparent huge pages");
}

TEST_F(leaves, hugetlb)
{
	char *va = huge_pages(LEAF_BYTES);

	if (!va)
		SKIP(return, "there are no huge pages");
	check_leaves(_metadata, self, variant, va, "hugetlb");
}

TEST_HARNESS_MAIN
