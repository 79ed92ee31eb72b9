// SPDX-License-Identifier: GPL-2.0-only
/*
 * An in-kernel user as such: how it is made, what it refuses and in what order,
 * where it belongs, and how it changes from one IOAS to another.
 */
#include <linux/types.h>
#include <pthread.h>

#include "mock.h"
#include "harness.h"

#define PAGES	64
#define MAX_BYTES (16UL << 20)

FIXTURE(access)
{
	int fd;
	int access;
	__u32 ioas;
	__u64 page;
	__u64 va;
};

FIXTURE_SETUP(access)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	self->page = page_bytes();
	self->va = (uintptr_t)small_pages(PAGES * self->page);
	ASSERT_NE(0, self->va);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
}

FIXTURE_TEARDOWN(access)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, close(self->access));
	ASSERT_EQ(0, close(self->fd));
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, self->va, PAGES * self->page, 0));
	close(self->fd);
}

/* The number that the next file will have. */
static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static __u64 alignment_of(int fd, __u32 ioas)
{
	__u64 alignment = 0;
	__u32 num = 0;

	iova_ranges(fd, ioas, NULL, &num, &alignment);
	return alignment;
}

/* -- the file */

TEST_F(access, file)
{
	char path[64], name[64] = {};
	struct mock mock;
	int fd, next;

	EXPECT_EQ(FD_CLOEXEC, fcntl(self->access, F_GETFD));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->access);
	EXPECT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_STREQ("anon_inode:[iommufd_test_staccess]", name);

	next = next_fd();
	EXPECT_EQ(-EOPNOTSUPP, create_access(self->fd, self->ioas, 2, &fd));
	EXPECT_EQ(-EOPNOTSUPP, create_access(self->fd, self->ioas, 3, &fd));
	EXPECT_EQ(-ENOENT, create_access(self->fd, NO_SUCH_ID, PINS, &fd));
	EXPECT_EQ(-ENOENT, create_access(self->fd, 0, PINS, &fd));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(-ENOENT, create_access(self->fd, mock.hwpt, PINS, &fd));
	EXPECT_EQ(-ENOENT, create_access(self->fd, mock.idev, PINS, &fd));
	EXPECT_EQ(next, next_fd());
	EXPECT_EQ(0, create_access(self->fd, self->ioas, 0, &fd));
	EXPECT_EQ(next, fd);
	EXPECT_EQ(0, close(fd));
}

/* The access is an object of its own: it has an ID, which user space cannot destroy. */
TEST_F(access, object)
{
	__u32 id = self->ioas + 1, other;
	int fd;

	EXPECT_EQ(-EBUSY, destroy(self->fd, id));
	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, 0, &fd));
	EXPECT_EQ(-EBUSY, destroy(self->fd, id + 1));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(-ENOENT, destroy(self->fd, id + 1));
	/* what has failed has left no ID */
	EXPECT_EQ(-ENOENT, create_access(self->fd, NO_SUCH_ID, 0, &fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	EXPECT_EQ(id + 1, other);
	EXPECT_EQ(0, destroy(self->fd, other));

	EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	EXPECT_EQ(0, close(self->access));
	EXPECT_EQ(-ENOENT, destroy(self->fd, id));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
}

TEST_F(access, keeps_iommufd_open)
{
	int other = open_iommu();
	struct mock mock;
	char byte;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 4 * self->page,
			    APERTURE));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(0, check_refs(other, self->va, 4 * self->page, 1));
	/* any file takes the commands */
	EXPECT_EQ(0, pin(other, self->access, APERTURE, self->page, self->va,
			 NULL));
	EXPECT_EQ(0, access_rw(other, self->access, 0, APERTURE, &byte, 1));
	EXPECT_EQ(1, byte);
	EXPECT_EQ(0, close(self->access));
	EXPECT_EQ(0, check_refs(other, self->va, 4 * self->page, 0));

	self->fd = other;
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
}

TEST_F(access, no_access_fd)
{
	int closed = next_fd(), fds[] = { -1, closed, self->fd, 0 };
	unsigned int i;
	char byte = 0;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, APERTURE));
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		EXPECT_EQ(-EBADFD, pin(self->fd, fds[i], APERTURE, self->page, 0,
				       NULL));
		EXPECT_EQ(-EBADFD, unpin_item(self->fd, fds[i], 0));
		EXPECT_EQ(-EBADFD, access_rw(self->fd, fds[i], 0, APERTURE, &byte,
					     1));
		EXPECT_EQ(-EBADFD, replace_ioas(self->fd, fds[i], self->ioas));
	}
}

/* -- what it refuses */

TEST_F(access, items)
{
	__u32 item = 77;
	int other;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 8 * self->page,
			    APERTURE));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, 0));
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, self->page, self->va,
			 &item));
	EXPECT_EQ(0, item);
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + self->page,
			 2 * self->page, self->va + self->page, &item));
	EXPECT_EQ(1, item);
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &other));
	EXPECT_EQ(0, pin(self->fd, other, APERTURE, self->page, 0, &item));
	EXPECT_EQ(0, item);

	EXPECT_EQ(0, check_refs(self->fd, self->va, 3 * self->page, 1));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, 0));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 3 * self->page, 1));
	EXPECT_EQ(0, close(other));
	EXPECT_EQ(0, check_refs(self->fd, self->va, self->page, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->va + self->page, 2 * self->page,
				1));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, 8 * self->page, NULL));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, 1));
}

TEST_F(access, compares)
{
	__u64 two = 2 * self->page;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, two, APERTURE));
	EXPECT_EQ(-EBADE, pin(self->fd, self->access, APERTURE, two,
			      self->va + self->page, NULL));
	EXPECT_EQ(-EBADE, pin(self->fd, self->access, APERTURE + self->page,
			      self->page, self->va, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, two, 0));
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, two, self->va, NULL));
	/* nobody looks where there is nothing to compare with */
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, two, 0, NULL));
}

TEST_F(access, limits_of_commands)
{
	const __u32 known = MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ;
	char byte = 0;
	__u32 flag;
	int other;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, self->page, APERTURE));
	EXPECT_EQ(-ENOMEM, pin(self->fd, self->access, APERTURE, MAX_BYTES + 1, 0,
			       NULL));
	EXPECT_EQ(-ENOMEM, pin(self->fd, self->access, APERTURE, UINT64_MAX, 0,
			       NULL));
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, APERTURE, MAX_BYTES, 0,
			       NULL));
	EXPECT_EQ(-ENOMEM, access_rw(self->fd, self->access, 0, APERTURE, &byte,
				     MAX_BYTES + 1));
	EXPECT_EQ(-ENOENT, access_rw(self->fd, self->access, 0, APERTURE, &byte,
				     MAX_BYTES));
	for (flag = 1; flag; flag <<= 1) {
		if (!(flag & known))
			EXPECT_EQ(-EOPNOTSUPP, pin_flags(self->fd, self->access,
							 flag, APERTURE,
							 self->page, 0, NULL));
		if (!(flag & (known | MOCK_ACCESS_RW_SLOW_PATH)))
			EXPECT_EQ(-EOPNOTSUPP, access_rw(self->fd, self->access,
							 flag, APERTURE, &byte,
							 1));
	}
	ASSERT_EQ(0, create_access(self->fd, self->ioas, 0, &other));
	EXPECT_EQ(-EOPNOTSUPP, pin(self->fd, other, APERTURE, self->page, 0, NULL));
	EXPECT_EQ(0, access_rw(self->fd, other, 0, APERTURE, &byte, 1));
	EXPECT_EQ(1, byte);
	EXPECT_EQ(0, close(other));
	EXPECT_EQ(-EFAULT, access_rw(self->fd, self->access, 0, APERTURE, NULL, 1));
	EXPECT_EQ(-EFAULT, access_rw(self->fd, self->access, MOCK_ACCESS_RW_WRITE,
				     APERTURE, NULL, 1));
}

static int map_prot(int fd, __u32 ioas, __u32 prot, __u64 va, __u64 length,
		    __u64 iova)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = prot | FIXED,
		.ioas_id = ioas,
		.user_va = va,
		.length = length,
		.iova = iova,
	};

	return command(fd, IOMMU_IOAS_MAP, &arg);
}

static int copy_at(int fd, __u32 src, __u64 src_iova, __u32 dst, __u64 dst_iova,
		   __u64 length, __u32 prot)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = prot | FIXED,
		.src_ioas_id = src,
		.dst_ioas_id = dst,
		.src_iova = src_iova,
		.dst_iova = dst_iova,
		.length = length,
	};

	return command(fd, IOMMU_IOAS_COPY, &arg);
}

/* Each error, and that it comes before those behind it. */
TEST_F(access, errors_of_pin)
{
	const __u64 page = self->page, last_page = -page;
	const __u64 ro = APERTURE + 16 * page, wo = APERTURE + 32 * page;
	const __u64 bad = APERTURE + 48 * page;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * page, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 4 * page, 2 * page,
			    APERTURE + 4 * page));
	ASSERT_EQ(0, map_prot(self->fd, self->ioas, IOMMU_IOAS_MAP_READABLE,
			      self->va, 2 * page, ro));
	ASSERT_EQ(0, map_prot(self->fd, self->ioas, IOMMU_IOAS_MAP_WRITEABLE,
			      self->va, 2 * page, wo));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, 16 * page, 2 * page, bad));

	EXPECT_EQ(-EINVAL, pin(self->fd, self->access, APERTURE, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, pin(self->fd, self->access, 0, 0, 0, NULL));
	EXPECT_EQ(-EOVERFLOW, pin(self->fd, self->access, last_page, page + 1, 0,
				  NULL));
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, last_page, page, 0, NULL));
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, APERTURE - page, page, 0,
			       NULL));
	/* a hole in front, in the middle, at the end */
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, APERTURE - page, 2 * page,
			       0, NULL));
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, APERTURE, 6 * page, 0,
			       NULL));
	EXPECT_EQ(-ENOENT, pin(self->fd, self->access, APERTURE + page, 2 * page,
			       0, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 6 * page, 0));

	EXPECT_EQ(-EPERM, pin(self->fd, self->access, ro, page, 0, NULL));
	EXPECT_EQ(0, pin_flags(self->fd, self->access, 0, ro, page, self->va,
			       NULL));
	EXPECT_EQ(-EPERM, pin_flags(self->fd, self->access, 0, wo, page, 0, NULL));
	EXPECT_EQ(0, pin(self->fd, self->access, wo, page, self->va, NULL));
	/* two areas, hence two pins of one page */
	EXPECT_EQ(0, check_refs(self->fd, self->va, page, 2));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, ro, 2 * page, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, wo, 2 * page, NULL));

	EXPECT_EQ(-EFAULT, pin(self->fd, self->access, bad, page, 0, NULL));
	EXPECT_EQ(-EFAULT, pin_flags(self->fd, self->access, 0, bad, 2 * page, 0,
				     NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 6 * page, 0));
}

/* Written to through a writable copy of memory that was first mapped otherwise. */
TEST_F(access, permission_of_copies)
{
	const __u64 page = self->page, copy = 2 * APERTURE;

	ASSERT_EQ(0, map_prot(self->fd, self->ioas, IOMMU_IOAS_MAP_READABLE,
			      self->va, page, APERTURE));
	EXPECT_EQ(-EPERM, copy_at(self->fd, self->ioas, APERTURE, self->ioas, copy,
				  page, RW));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + page, page,
			    APERTURE + page));
	ASSERT_EQ(0, copy_at(self->fd, self->ioas, APERTURE + page, self->ioas,
			     copy, page, IOMMU_IOAS_MAP_READABLE));
	EXPECT_EQ(-EPERM, pin(self->fd, self->access, copy, page, 0, NULL));
	EXPECT_EQ(0, pin_flags(self->fd, self->access, 0, copy, page,
			       self->va + page, NULL));
}

/* The memory ends in the middle of what is pinned: nothing of it stays pinned. */
TEST_F(access, memory_with_a_hole)
{
	const __u64 page = self->page;

	ASSERT_EQ(0, munmap((void *)(self->va + 20 * page), page));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 32 * page, APERTURE));
	EXPECT_EQ(-EFAULT, pin(self->fd, self->access, APERTURE, 32 * page, 0,
			       NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 20 * page, 0));
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, 20 * page, self->va,
			 NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 20 * page, 1));
	/* what was pinned before stays when more of it fails */
	EXPECT_EQ(-EFAULT, pin(self->fd, self->access, APERTURE + 10 * page,
			       20 * page, 0, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 20 * page, 1));
	ASSERT_NE(MAP_FAILED, mmap((void *)(self->va + 20 * page), page,
				   PROT_READ | PROT_WRITE,
				   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
				   0));
}

/* -- alignment */

TEST_F(access, alignment)
{
	__u32 other;
	int plain, pins;

	EXPECT_EQ(self->page, alignment_of(self->fd, self->ioas));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, 1, APERTURE));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va, self->page,
				  APERTURE + 1));
	EXPECT_EQ(-EINVAL, map_at(self->fd, self->ioas, self->va + 1, self->page,
				  APERTURE));

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, create_access(self->fd, other, 0, &plain));
	EXPECT_EQ(1, alignment_of(self->fd, other));
	ASSERT_EQ(0, map_at(self->fd, other, self->va + 1, 3, APERTURE + 5));
	EXPECT_EQ(-EADDRINUSE, create_access(self->fd, other, PINS, &pins));
	EXPECT_EQ(-EADDRINUSE, replace_ioas(self->fd, self->access, other));
	EXPECT_EQ(1, alignment_of(self->fd, other));
	ASSERT_EQ(0, unmap(self->fd, other, APERTURE + 5, 3, NULL));
	ASSERT_EQ(0, map_at(self->fd, other, self->va + 1, self->page,
			    APERTURE + 1));
	EXPECT_EQ(-EADDRINUSE, create_access(self->fd, other, PINS, &pins));
	ASSERT_EQ(0, unmap_all(self->fd, other, NULL));

	ASSERT_EQ(0, create_access(self->fd, other, PINS, &pins));
	EXPECT_EQ(self->page, alignment_of(self->fd, other));
	EXPECT_EQ(0, close(pins));
	EXPECT_EQ(1, alignment_of(self->fd, other));
	/* it goes where the access goes */
	EXPECT_EQ(0, replace_ioas(self->fd, self->access, other));
	EXPECT_EQ(self->page, alignment_of(self->fd, other));
	EXPECT_EQ(1, alignment_of(self->fd, self->ioas));
	EXPECT_EQ(0, close(plain));
}

/* -- another IOAS */

TEST_F(access, replace)
{
	const __u64 length = 4 * self->page;
	__u32 other, item;
	char byte;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, other, self->va + length, length, APERTURE));
	memset((void *)(self->va + length), 2, length);
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length, self->va,
			 &item));

	EXPECT_EQ(-ENOENT, replace_ioas(self->fd, self->access, NO_SUCH_ID));
	EXPECT_EQ(-ENOENT, replace_ioas(self->fd, self->access, self->ioas + 1));
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 1));

	EXPECT_EQ(0, replace_ioas(self->fd, self->access, other));
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 0));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, access_rw(self->fd, self->access, 0, APERTURE, &byte, 1));
	EXPECT_EQ(2, byte);
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, length,
			 self->va + length, NULL));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
	EXPECT_EQ(-EBUSY, destroy(self->fd, other));
	EXPECT_EQ(0, close(self->access));
	EXPECT_EQ(0, check_refs(self->fd, self->va + length, length, 0));
	EXPECT_EQ(0, destroy(self->fd, other));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
}

TEST_F(access, replace_by_the_same)
{
	const __u64 length = 4 * self->page;
	unsigned int i;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, replace_ioas(self->fd, self->access, self->ioas));
		EXPECT_EQ(0, pin(self->fd, self->access, APERTURE, length,
				 self->va, NULL));
		EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
	}
	EXPECT_EQ(self->page, alignment_of(self->fd, self->ioas));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 0));
}

/*
 * Scenario 9: a replace that fails, wherever, leaves the access where it was, with
 * its pins, and the other IOAS without it.
 */
TEST_F(access, scenario_9_replace_fails_half_way)
{
	const __u64 length = 4 * self->page;
	unsigned int n, failures = 0;
	bool failed = true;
	__u32 other;
	int rc = 0;

	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP(return, "the kernel is built without fault injection");
	quiet_injection();

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length, self->va,
			 NULL));
	for (n = 1; failed && n < 100; n++) {
		ASSERT_EQ(0, ioas_alloc(self->fd, &other));
		ASSERT_EQ(0, map_at(self->fd, other, self->va, length, APERTURE));
		ASSERT_EQ(0, fail_nth(n));
		rc = replace_ioas(self->fd, self->access, other);
		failed = did_fail();
		if (rc) {
			failures++;
			EXPECT_EQ(0, check_refs(self->fd, self->va, length, 1));
			EXPECT_EQ(0, pin(self->fd, self->access, APERTURE,
					 self->page, self->va, NULL));
			EXPECT_EQ(-EBUSY, destroy(self->fd, self->ioas));
			EXPECT_EQ(0, destroy(self->fd, other));
		} else if (failed) {
			/* it could be made up for; back, then */
			ASSERT_EQ(0, replace_ioas(self->fd, self->access,
						  self->ioas));
			ASSERT_EQ(0, destroy(self->fd, other));
			ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, length,
					 self->va, NULL));
		}
	}
	EXPECT_EQ(0, rc);
	EXPECT_LT(0, failures);
	EXPECT_EQ(-EBUSY, destroy(self->fd, other));
	EXPECT_EQ(0, destroy(self->fd, self->ioas));
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 0));
}

/* Each place on the way to pins and copies, made to fail once. */
static int sweep_body(int fd, __u64 va)
{
	const __u64 length = 40 * page_bytes(), iova = APERTURE;
	__u32 ioas, other, item;
	struct mock mock;
	char data[64];
	int access, rc;

	rc = ioas_alloc(fd, &ioas) ?:
	     ioas_alloc(fd, &other) ?:
	     map_at(fd, ioas, va, length, iova) ?:
	     map_at(fd, other, va, length, iova) ?:
	     create_access(fd, ioas, PINS, &access);
	if (rc)
		return rc;
	rc = pin(fd, access, iova, length / 2, va, &item) ?:
	     pin(fd, access, iova + length / 4, length / 2, va + length / 4, NULL) ?:
	     access_rw(fd, access, 0, iova + length - 64, data, 64) ?:
	     mock_device(fd, ioas, &mock) ?:
	     check_map(fd, mock.hwpt, va, length, iova) ?:
	     pin(fd, access, iova, length, va, NULL) ?:
	     unpin_item(fd, access, item) ?:
	     access_rw(fd, access, MOCK_ACCESS_RW_WRITE, iova + 1, data, 64) ?:
	     access_rw(fd, access, MOCK_ACCESS_RW_SLOW_PATH, iova + 1, data, 64) ?:
	     destroy(fd, mock.stdev) ?:
	     access_rw(fd, access, 0, iova + 1, data, 64) ?:
	     replace_ioas(fd, access, other) ?:
	     pin(fd, access, iova, length, va, NULL) ?:
	     unmap(fd, other, iova, length, NULL);
	close(access);
	return rc;
}

TEST_F(access, every_place_fails)
{
	unsigned int n, failures = 0;
	bool failed = true;
	int fd, rc = 0;

	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP(return, "the kernel is built without fault injection");
	quiet_injection();

	for (n = 1; failed && n < 1000; n++) {
		fd = open_iommu();
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fail_nth(n));
		rc = sweep_body(fd, self->va);
		failed = did_fail();
		EXPECT_EQ(0, close(fd));
		EXPECT_EQ(0, check_refs(self->fd, self->va, PAGES * self->page, 0))
			TH_LOG("place %u", n);
		failures += !!rc;
	}
	EXPECT_EQ(0, rc);
	EXPECT_LT(n, 400);
	EXPECT_LT(20, failures);
	TH_LOG("%u places, %u of them failed", n - 1, failures);
}

/* -- unmap */

TEST_F(access, unmap_drops_items)
{
	const __u64 page = self->page, hole = APERTURE + 4 * page;
	__u32 across, inside, outside;
	__u64 bytes;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 4 * page, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 4 * page, 4 * page,
			    hole));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + 2 * page, 4 * page,
			 self->va + 2 * page, &across));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + page, page,
			 self->va + page, &inside));
	ASSERT_EQ(0, pin(self->fd, self->access, hole + 2 * page, page,
			 self->va + 6 * page, &outside));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, 4 * page, &bytes));
	EXPECT_EQ(4 * page, bytes);
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, across));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, inside));
	EXPECT_EQ(0, check_refs(self->fd, self->va, 6 * page, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->va + 6 * page, page, 1));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, outside));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, &bytes));
	EXPECT_EQ(4 * page, bytes);
}

/* Drivers may join what they have pinned, or unpin it bit by bit. */
TEST_F(access, unpin_in_other_pieces)
{
	const __u64 page = self->page;
	unsigned int pages, i;
	__u32 item;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 24 * page, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 24 * page, 24 * page,
			    APERTURE + 24 * page));
	for (pages = 1; pages < 40; pages += 6) {
		ASSERT_EQ(0, write_number(SWITCH("access_unpin_pages"), pages));
		/* one by one, then all, then some again, over both areas */
		for (i = 0; i < 48; i++)
			ASSERT_EQ(0, pin(self->fd, self->access,
					 APERTURE + i * page, page,
					 self->va + i * page, NULL));
		ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, 48 * page,
				 self->va, &item));
		ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + 7 * page,
				 33 * page, self->va + 7 * page, NULL));
		EXPECT_EQ(0, check_refs(self->fd, self->va, 48 * page, 1));
		EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
		EXPECT_EQ(0, check_refs(self->fd, self->va, 48 * page, 1));
		EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE, 24 * page,
				   NULL));
		EXPECT_EQ(0, check_refs(self->fd, self->va, 24 * page, 0));
		EXPECT_EQ(0, unmap(self->fd, self->ioas, APERTURE + 24 * page,
				   24 * page, NULL));
		EXPECT_EQ(0, check_refs(self->fd, self->va, 48 * page, 0));
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 24 * page,
				    APERTURE));
		ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 24 * page,
				    24 * page, APERTURE + 24 * page));
	}
}

/* -- somebody who does not let go */

struct unmapper {
	pthread_t thread;
	int fd;
	__u32 ioas;
	__u64 iova;
	__u64 length;
	__u64 bytes;
	int rc;
};

static void *unmap_in_thread(void *data)
{
	struct unmapper *unmapper = data;

	unmapper->rc = unmap(unmapper->fd, unmapper->ioas, unmapper->iova,
			     unmapper->length, &unmapper->bytes);
	return NULL;
}

TEST_F(access, unmap_of_what_is_not_let_go)
{
	const __u64 page = self->page, length = 4 * page;
	struct mock mock;
	__u64 bytes = 1;
	char byte = 0;

	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &mock));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + length, length,
			    APERTURE + length));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + length, page,
			 self->va + length, NULL));
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "Y"));
	EXPECT_EQ(-EDEADLOCK, unmap(self->fd, self->ioas, APERTURE, 2 * length,
				    &bytes));
	/* the lower one is gone, and this one is as it was */
	EXPECT_EQ(length, bytes);
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 0));
	EXPECT_EQ(0, check_refs(self->fd, self->va + length, length, 1));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va + length, length,
			       APERTURE + length));
	EXPECT_EQ(0, access_rw(self->fd, self->access, 0, APERTURE + length, &byte,
			       1));
	EXPECT_EQ(1, byte);
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + length + page, page,
			 self->va + length + page, NULL));

	EXPECT_EQ(-EDEADLOCK, unmap_all(self->fd, self->ioas, &bytes));
	EXPECT_EQ(0, bytes);
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "N"));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, &bytes));
	EXPECT_EQ(length, bytes);
	EXPECT_EQ(0, check_refs(self->fd, self->va, 2 * length, 0));
}

/* While somebody asks for pins back, there are no new ones, and nobody waits. */
TEST_F(access, pins_while_it_is_unmapped)
{
	const __u64 page = self->page, length = 4 * page;
	struct unmapper unmapper = {
		.fd = self->fd,
		.ioas = self->ioas,
		.iova = APERTURE,
		.length = length,
	};
	unsigned int tries, refused = 0;
	__u32 first, item;
	char byte;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + length, length,
			    APERTURE + length));
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE, page, self->va,
			 &first));
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "Y"));
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL, unmap_in_thread,
				    &unmapper));
	for (tries = 0; tries < 1000 && !refused; tries++) {
		int rc = pin(self->fd, self->access, APERTURE + page, page, 0,
			     &item);

		if (rc == -EINVAL)
			refused = 1;
		else
			ASSERT_EQ(0, unpin_item(self->fd, self->access, item));
	}
	ASSERT_EQ(1, refused);
	EXPECT_EQ(-EINVAL, access_rw(self->fd, self->access, 0, APERTURE, &byte,
				     1));
	EXPECT_EQ(-EINVAL, access_rw(self->fd, self->access, 0,
				     APERTURE + length - 1, &byte, 1));
	EXPECT_EQ(-EINVAL, copy_at(self->fd, self->ioas, APERTURE, self->ioas,
				   2 * APERTURE, length, RW));
	/* being unmapped comes before everything else about an area */
	EXPECT_EQ(-EINVAL, pin(self->fd, self->access, APERTURE, 8 * page, 0,
			       NULL));
	/* from the next area into this one, nothing stays pinned */
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + length, page,
			 self->va + length, &item));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, check_refs(self->fd, self->va + length, length, 0));
	/* now it lets go by itself, and the unmap goes on */
	EXPECT_EQ(0, unpin_item(self->fd, self->access, first));
	pthread_join(unmapper.thread, NULL);
	EXPECT_EQ(0, unmapper.rc);
	EXPECT_EQ(length, unmapper.bytes);
	ASSERT_EQ(0, write_text(SWITCH("access_keeps_pins"), "N"));
}

/* A pin that is on its way when its area goes: the unmap does not wait for it. */
TEST_F(access, unmap_while_pinning)
{
	const __u64 page = self->page, length = 8 * page;
	struct unmapper unmapper = {
		.fd = self->fd,
		.ioas = self->ioas,
		.iova = APERTURE,
		.length = length,
	};
	int rc;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, length, APERTURE));
	ASSERT_EQ(0, write_number(SWITCH("pin_delay_ms"), 1000));
	ASSERT_EQ(0, pthread_create(&unmapper.thread, NULL, unmap_in_thread,
				    &unmapper));
	rc = pin(self->fd, self->access, APERTURE, length, 0, NULL);
	pthread_join(unmapper.thread, NULL);
	/* it may have come too late to find anything */
	EXPECT_TRUE(rc == -EINVAL || rc == -ENOENT);
	EXPECT_EQ(0, unmapper.rc);
	EXPECT_EQ(0, check_refs(self->fd, self->va, length, 0));
	EXPECT_EQ(-ENOENT, unpin_item(self->fd, self->access, 0));
}

/* -- places named by number */

static __u64 place(__u32 n, __u32 offset)
{
	__u32 both[2] = { n, offset };
	__u64 iova;

	memcpy(&iova, both, sizeof(iova));
	return iova;
}

TEST_F(access, places_by_number)
{
	const __u32 syz = MOCK_FLAGS_ACCESS_SYZ;
	const __u64 page = self->page;
	__u32 item, other;
	char byte = 0;

	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 4 * page, 4 * page,
			    2 * APERTURE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 4 * page, APERTURE));
	EXPECT_EQ(0, pin_flags(self->fd, self->access, syz, place(0, page), page,
			       self->va + page, &item));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, pin_flags(self->fd, self->access,
			       syz | MOCK_FLAGS_ACCESS_WRITE, place(1, 2 * page),
			       page, self->va + 6 * page, &item));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(-EBADE, pin_flags(self->fd, self->access, syz, place(1, 0), page,
				    self->va, NULL));
	/* no such area is IOVA 0 */
	EXPECT_EQ(-ENOENT, pin_flags(self->fd, self->access, syz, place(2, 0),
				     page, 0, NULL));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 8 * page, page, 0));
	EXPECT_EQ(0, pin_flags(self->fd, self->access, syz, place(3, page), page,
			       self->va + 8 * page, NULL));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, 0, page, NULL));

	*(char *)(self->va + 4 * page + 9) = 9;
	EXPECT_EQ(0, access_rw(self->fd, self->access, syz, place(1, 9), &byte, 1));
	EXPECT_EQ(9, byte);
	EXPECT_EQ(0, access_rw(self->fd, self->access, syz | MOCK_ACCESS_RW_WRITE,
			       place(0, 7), &byte, 1));
	EXPECT_EQ(9, *(char *)(self->va + 7));

	/* numbers are those of the IOAS it is in */
	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, other, self->va + page, page, 3 * APERTURE));
	ASSERT_EQ(0, replace_ioas(self->fd, self->access, other));
	EXPECT_EQ(0, pin_flags(self->fd, self->access, syz, place(0, 0), page,
			       self->va + page, NULL));
}

TEST_HARNESS_MAIN
