// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of every kind that a process can have. What a device may reach is what the
 * process sees; what must be refused is refused at the map where there is a domain
 * and at the attach otherwise, and leaves nothing behind.
 */
#include <linux/types.h>
#include <glob.h>
#include <linux/userfaultfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "mock.h"
#include "harness.h"

/* Pages of good memory in front of and behind the memory in question. */
#define MARGIN_PAGES	8
#define ROOM		(6 * HUGE_BYTES)

#define READ		IOMMU_IOAS_MAP_READABLE

#define PMEM		"/dev/pmem0"
#define MOUNT_POINT	"/tmp/mock_memory"

/* Memory at @where, in place of what is there. Return: 0 or a negative errno. */
static int place(void *where, size_t bytes, int prot, int flags, int file)
{
	return mmap(where, bytes, prot, flags | MAP_FIXED, file, 0) == MAP_FAILED ?
	       -errno : 0;
}

static int place_anonymous(void *where, size_t bytes, int prot)
{
	return place(where, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Of a file that is not needed any more. */
static int place_file(void *where, size_t bytes, int prot, int flags, int file)
{
	int rc;

	if (file < 0)
		return -errno;
	rc = place(where, bytes, prot, flags, file);
	close(file);
	return rc;
}

static int sized(int file, size_t bytes)
{
	if (file >= 0 && ftruncate(file, bytes)) {
		close(file);
		return -1;
	}
	return file;
}

static int make_hole(void *where, size_t bytes)
{
	return munmap(where, bytes) ? -errno : 0;
}

static int make_inaccessible(void *where, size_t bytes)
{
	return mprotect(where, bytes, PROT_NONE) ? -errno : 0;
}

static int make_read_only(void *where, size_t bytes)
{
	memset(where, 3, bytes);
	return mprotect(where, bytes, PROT_READ) ? -errno : 0;
}

/* Read and never written to, each page of it is the one page of zeroes. */
static int make_zeroes(void *where, size_t bytes)
{
	volatile char *start = where;
	size_t done;
	int rc;

	rc = place_anonymous(where, bytes, PROT_READ | PROT_WRITE);
	for (done = 0; !rc && done < bytes; done += page_bytes()) {
		if (start[done])
			rc = -EIO;
	}
	return rc;
}

static int make_private_file(void *where, size_t bytes)
{
	return place_file(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			  open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

static int make_private_file_read_only(void *where, size_t bytes)
{
	return place_file(where, bytes, PROT_READ, MAP_PRIVATE,
			  open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

static int make_shared_file(void *where, size_t bytes)
{
	return place_file(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			  sized(open(MOUNT_POINT "/file",
				     O_RDWR | O_CREAT | O_CLOEXEC, 0600),
				bytes));
}

static int make_memfd(void *where, size_t bytes)
{
	return place_file(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			  sized(memfd_create("memory", MFD_CLOEXEC), bytes));
}

static int make_sealed_memfd(void *where, size_t bytes)
{
	int file = sized(memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			 bytes);

	if (file >= 0 && fcntl(file, F_ADD_SEALS, F_SEAL_WRITE))
		return -errno;
	return place_file(where, bytes, PROT_READ, MAP_SHARED, file);
}

static int make_secret(void *where, size_t bytes)
{
	return place_file(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			  sized(syscall(SYS_memfd_secret, 0), bytes));
}

/* A register page of a PCI device: nothing that could be pinned. */
static int make_registers(void *where, size_t bytes)
{
	int rc = -ENODEV;
	glob_t bars;
	size_t i;

	if (glob("/sys/bus/pci/devices/*/resource[0-9]", 0, NULL, &bars))
		return -ENODEV;
	for (i = 0; rc && i < bars.gl_pathc; i++)
		rc = place_file(where, page_bytes(), PROT_READ | PROT_WRITE,
				MAP_SHARED,
				open(bars.gl_pathv[i], O_RDWR | O_CLOEXEC));
	globfree(&bars);
	return rc;
}

/* Whoever touches it gets a signal, and the kernel an error. */
static int make_userfault(void *where, size_t bytes)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
	struct uffdio_register range = {
		.range = { (uintptr_t)where, bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int file = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (file < 0)
		return -errno;
	/* open for as long as the process lives, or it is ordinary memory again */
	return place_anonymous(where, bytes, PROT_READ | PROT_WRITE) ?:
	       command(file, UFFDIO_API, &api) ?:
	       command(file, UFFDIO_REGISTER, &range);
}

/* Huge pages, as many as there are left but one, are promised to somebody else. */
static int make_huge_shortage(void *where, size_t bytes)
{
	long pages = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	static void *promised = MAP_FAILED;

	if (promised == MAP_FAILED && pages > 1)
		promised = mmap(NULL, (pages - 1) * HUGE_BYTES, PROT_READ, flags, -1,
				0);
	if (promised == MAP_FAILED)
		return -ENODEV;
	return place(where, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE,
		     -1);
}

/* Return: 0, or a negative errno: there is no such memory here. */
static int mount_pmem(const char *options)
{
	if (access(PMEM, R_OK | W_OK))
		return -errno;
	if (mkdir(MOUNT_POINT, 0700) && errno != EEXIST)
		return -errno;
	if (system("mke2fs -F -b 4096 " PMEM " >/dev/null 2>&1"))
		return -EIO;
	return mount(PMEM, MOUNT_POINT, "ext2", 0, options) ? -errno : 0;
}

FIXTURE(memory)
{
	int fd;
	__u64 page;
	/* good memory, what is tested, good memory: so many bytes at @va */
	char *room;
	char *where;
	size_t bytes;
	__u64 va;
	__u64 length;
	long pinned;
};

FIXTURE_VARIANT(memory)
{
	int (*make)(void *where, size_t bytes);
	/* what becomes of it when it is pinned, for writing and only for reading */
	int want;
	int want_read;
	/* if they are not four */
	unsigned int num_pages;
	/* of a file system that it needs */
	const char *mount_options;
};

FIXTURE_VARIANT_ADD(memory, hole)
{
	.make = make_hole,
	.want = -EFAULT,
	.want_read = -EFAULT,
};

FIXTURE_VARIANT_ADD(memory, inaccessible)
{
	.make = make_inaccessible,
	.want = -EFAULT,
	.want_read = -EFAULT,
};

FIXTURE_VARIANT_ADD(memory, read_only)
{
	.make = make_read_only,
	.want = -EFAULT,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, zeroes)
{
	.make = make_zeroes,
	.want = 0,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, private_file)
{
	.make = make_private_file,
	.want = 0,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, private_file_read_only)
{
	.make = make_private_file_read_only,
	.want = -EFAULT,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, shared_file)
{
	.make = make_shared_file,
	.want = -EFAULT,
	.want_read = 0,
	.mount_options = "",
};

FIXTURE_VARIANT_ADD(memory, dax)
{
	.make = make_shared_file,
	.want = -EOPNOTSUPP,
	.want_read = -EOPNOTSUPP,
	.mount_options = "dax",
};

FIXTURE_VARIANT_ADD(memory, memfd)
{
	.make = make_memfd,
	.want = 0,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, sealed_memfd)
{
	.make = make_sealed_memfd,
	.want = -EFAULT,
	.want_read = 0,
};

FIXTURE_VARIANT_ADD(memory, secret)
{
	.make = make_secret,
	.want = -EFAULT,
	.want_read = -EFAULT,
};

FIXTURE_VARIANT_ADD(memory, registers)
{
	.make = make_registers,
	.want = -EFAULT,
	.want_read = -EFAULT,
	.num_pages = 1,
};

FIXTURE_VARIANT_ADD(memory, userfault)
{
	.make = make_userfault,
	.want = -EFAULT,
	.want_read = -EFAULT,
};

FIXTURE_VARIANT_ADD(memory, huge_shortage)
{
	.make = make_huge_shortage,
	.want = -EFAULT,
	.want_read = -EFAULT,
	.num_pages = 4 * 512,
};

FIXTURE_SETUP(memory)
{
	int rc;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	if (variant->mount_options) {
		rc = mount_pmem(variant->mount_options);
		if (rc)
			SKIP(return, "no file system: %s", strerror(-rc));
	}
	self->page = page_bytes();
	self->room = small_pages(ROOM);
	ASSERT_NE(NULL, self->room);
	self->where = self->room + HUGE_BYTES;
	self->bytes = (variant->num_pages ?: 4) * self->page;
	rc = variant->make(self->where, self->bytes);
	if (rc && !variant->mount_options)
		SKIP(return, "no such memory: %s", strerror(-rc));
	ASSERT_EQ(0, rc);
	self->va = (uintptr_t)self->where - MARGIN_PAGES * self->page;
	self->length = self->bytes + 2 * MARGIN_PAGES * self->page;
	self->pinned = pinned_pages();
}

FIXTURE_TEARDOWN(memory)
{
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, status_kib("VmPin"));
	munmap(self->room, ROOM);
	if (variant->mount_options)
		EXPECT_EQ(0, umount(MOUNT_POINT));
}

static void check_refused(struct __test_metadata *_metadata,
			  const FIXTURE_DATA(memory) *self, __u32 ioas, __u32 hwpt)
{
	const __u64 margin = MARGIN_PAGES * self->page;

	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, status_kib("VmPin"));
	EXPECT_TRUE(is_empty(self->fd, hwpt, self->va, margin, APERTURE));
	EXPECT_TRUE(is_empty(self->fd, hwpt, self->va + self->length - margin,
			     margin, APERTURE + self->length - margin));
	/* nothing is in the way of good memory */
	EXPECT_EQ(-ENOENT, unmap(self->fd, ioas, APERTURE, self->length, NULL));
	EXPECT_EQ(0, map_at(self->fd, ioas, (uintptr_t)self->room,
			    HUGE_BYTES - margin, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, hwpt, (uintptr_t)self->room,
			       HUGE_BYTES - margin, APERTURE));
	EXPECT_EQ(0, unmap(self->fd, ioas, APERTURE, HUGE_BYTES - margin, NULL));
}

/* Have the kernel write for the process, which may not be able to. */
static bool can_write(char *start, size_t bytes)
{
	int zeroes = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	bool can = read(zeroes, start, bytes) == (ssize_t)bytes;

	close(zeroes);
	return can;
}

/* The device sees what the process sees, and goes on seeing what it writes. */
static void check_shown(struct __test_metadata *_metadata,
			const FIXTURE_DATA(memory) *self, __u32 hwpt,
			__u32 flags)
{
	EXPECT_EQ(self->pinned + (long)(self->length / self->page), pinned_pages());
	EXPECT_EQ((long)self->length / 1024, status_kib("VmPin"));
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->length, APERTURE));
	if (!can_write(self->where, self->bytes))
		EXPECT_EQ(READ, flags);
	EXPECT_EQ(0, check_map(self->fd, hwpt, self->va, self->length, APERTURE));
}

static const char *const drivers[] = { "exact", "vtd", "amd", "arm", "virtio" };

#define NUM_DRIVERS (sizeof(drivers) / sizeof(drivers[0]))
#define NUM_ROUNDS (2 * NUM_DRIVERS)

/* One way of mapping the memory. */
struct round {
	__u32 flags;
	int want;
	__u32 ioas;
};

/*
 * Each driver, for writing or not, every other one in pieces so small that something
 * is mapped when the error is met. The memory is made anew, as nobody has touched it.
 */
static int begin_round(const FIXTURE_DATA(memory) *self,
		       const FIXTURE_VARIANT(memory) *variant, unsigned int number,
		       struct round *round)
{
	const bool writes = number & 1;

	round->flags = writes ? RW : READ;
	round->want = writes ? variant->want : variant->want_read;
	return temp_limit(self->fd, number & 2 ? LEAST_LIMIT : USUAL_LIMIT) ?:
	       set_driver(drivers[number / 2]) ?:
	       ioas_alloc(self->fd, &round->ioas) ?:
	       place_anonymous(self->where, self->bytes, PROT_READ | PROT_WRITE) ?:
	       variant->make(self->where, self->bytes);
}

static int map_round(const FIXTURE_DATA(memory) *self, const struct round *round)
{
	return map_flags_at(self->fd, round->ioas, round->flags, self->va,
			    self->length, APERTURE);
}

/* Scenarios 12 and 16. Errnos IOMMU_IOAS_MAP EFAULT and EOPNOTSUPP. */
TEST_F(memory, mapped_with_a_domain)
{
	struct mock mock = {};
	struct round round;
	unsigned int i;

	for (i = 0; i < NUM_ROUNDS; i++) {
		ASSERT_EQ(0, begin_round(self, variant, i, &round));
		ASSERT_EQ(0, mock_device(self->fd, round.ioas, &mock));
		EXPECT_EQ(round.want, map_round(self, &round));
		if (round.want)
			check_refused(_metadata, self, round.ioas, mock.hwpt);
		else
			check_shown(_metadata, self, mock.hwpt, round.flags);
		EXPECT_EQ(0, destroy(self->fd, mock.stdev));
		EXPECT_EQ(0, destroy(self->fd, round.ioas));
		EXPECT_EQ(self->pinned, pinned_pages());
	}
}

/*
 * Nobody looks at the memory before there is a domain. Scenarios 12 and 16. Errnos
 * IOMMU_TEST_OP_MOCK_DOMAIN EFAULT and EOPNOTSUPP.
 */
TEST_F(memory, attached_later)
{
	struct mock mock = {};
	struct round round;
	unsigned int i;

	for (i = 0; i < NUM_ROUNDS; i++) {
		ASSERT_EQ(0, begin_round(self, variant, i, &round));
		ASSERT_EQ(0, map_round(self, &round));
		EXPECT_EQ(self->pinned, pinned_pages());
		EXPECT_EQ(round.want, mock_device(self->fd, round.ioas, &mock));
		if (!round.want)
			check_shown(_metadata, self, mock.hwpt, round.flags);
		else
			EXPECT_EQ(self->pinned, pinned_pages());
		EXPECT_EQ(0, unmap(self->fd, round.ioas, APERTURE, self->length,
				   NULL));
		if (round.want) {
			ASSERT_EQ(0, mock_device(self->fd, round.ioas, &mock));
			check_refused(_metadata, self, round.ioas, mock.hwpt);
		}
		EXPECT_EQ(0, destroy(self->fd, mock.stdev));
		EXPECT_EQ(0, destroy(self->fd, round.ioas));
		EXPECT_EQ(self->pinned, pinned_pages());
	}
}

TEST_HARNESS_MAIN
