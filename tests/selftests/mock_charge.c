// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for what is pinned, and whose memory it is, while limits change and
 * processes fork, exec and exit.
 */
#include <linux/types.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "mock.h"
#include "harness.h"

/* Pages that an ordinary user may lock here, and a user whom nobody else is. */
#define LIMIT		16
#define USER		1000

#define ROOM_PAGES	(4 * LIMIT)

/* Where the second domain's areas are. */
#define ELSEWHERE	(2 * APERTURE)

/* The privilege to lock as much as one likes goes, and can come back. */
static int become_user(void)
{
	return setresuid(USER, USER, 0) ? -errno : 0;
}

static int become_root(void)
{
	return setresuid(0, 0, 0) ? -errno : 0;
}

static int limit_pages(unsigned long pages)
{
	struct rlimit limit = { pages * page_bytes(), RLIM_INFINITY };

	return setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : 0;
}

/* Run something in a child. Return: its exit status; -1: it was killed. */
static int in_child(int (*run)(void *arg), void *arg)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(run(arg));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

FIXTURE(charge)
{
	int fd;
	__u32 ioas;
	struct mock mock;
	__u64 page;
	/* ROOM_PAGES of memory that children see as well */
	__u64 va;
	long pinned;
};

FIXTURE_VARIANT(charge)
{
	bool by_mm;
};

FIXTURE_VARIANT_ADD(charge, user)
{
	.by_mm = false,
};

FIXTURE_VARIANT_ADD(charge, mm)
{
	.by_mm = true,
};

FIXTURE_SETUP(charge)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_RLIMIT_MODE, 0,
				variant->by_mm));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	self->page = page_bytes();
	self->va = shared_pages(ROOM_PAGES * self->page);
	ASSERT_NE(0, self->va);
	self->pinned = pinned_pages();
	ASSERT_EQ(0, limit_pages(LIMIT));
	ASSERT_EQ(0, become_user());
}

/* Whatever stays charged to the user is missed by the next test. */
FIXTURE_TEARDOWN(charge)
{
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(0, status_kib("VmPin"));
	EXPECT_EQ(0, status_kib("VmLck"));
	EXPECT_EQ(0, become_root());
	EXPECT_EQ(self->pinned, pinned_pages());
}

static int map_pages(const FIXTURE_DATA(charge) *self, unsigned int pages,
		     __u64 iova)
{
	return map_at(self->fd, self->ioas, self->va, pages * self->page, iova);
}

static int unmap_pages(const FIXTURE_DATA(charge) *self, unsigned int pages,
		       __u64 iova)
{
	return unmap(self->fd, self->ioas, iova, pages * self->page, NULL);
}

/* Does the process have so many pages pinned, and did it pay for them? */
static bool has_charged(const FIXTURE_DATA(charge) *self, bool by_mm, long pages)
{
	const long kib = pages * (long)self->page / 1024;

	return status_kib("VmPin") == kib &&
	       status_kib("VmLck") == (by_mm ? kib : 0);
}

/* Can the user pin all that he may? Then nothing has stayed charged. */
#define EXPECT_NOTHING_OWED() \
	do { \
		EXPECT_TRUE(has_charged(self, variant->by_mm, 0)); \
		EXPECT_EQ(0, map_pages(self, LIMIT, APERTURE)); \
		EXPECT_EQ(-ENOMEM, map_pages(self, 1, ELSEWHERE)); \
		EXPECT_EQ(0, unmap_pages(self, LIMIT, APERTURE)); \
		EXPECT_TRUE(has_charged(self, variant->by_mm, 0)); \
	} while (0)

/* Scenario 13. */
TEST_F(charge, exact)
{
	EXPECT_EQ(-ENOMEM, map_pages(self, LIMIT + 1, APERTURE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, 0));
	EXPECT_EQ(0, map_pages(self, LIMIT, APERTURE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(-ENOMEM, map_pages(self, 1, ELSEWHERE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(0, unmap_pages(self, LIMIT, APERTURE));
	EXPECT_NOTHING_OWED();
}

/* However many IOAS show a page, it is paid for once. Scenario 13. */
TEST_F(charge, copies_count_once)
{
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = RW | FIXED,
		.src_ioas_id = self->ioas,
		.length = LIMIT * self->page,
		.src_iova = APERTURE,
		.dst_iova = ELSEWHERE,
	};
	struct mock mock;
	__u32 other;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, mock_device(self->fd, other, &mock));
	copy.dst_ioas_id = other;
	ASSERT_EQ(0, map_pages(self, LIMIT, APERTURE));
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, &copy));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(0, check_refs(self->fd, self->va, LIMIT * self->page, 1));
	EXPECT_EQ(0, unmap_pages(self, LIMIT, APERTURE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(-ENOMEM, map_pages(self, 1, APERTURE));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, self->va, LIMIT * self->page,
			       ELSEWHERE));
	EXPECT_EQ(0, unmap_all(self->fd, other, NULL));
	EXPECT_NOTHING_OWED();
}

struct parallel {
	pthread_barrier_t *barrier;
	int fd;
	__u32 ioas;
	__u64 va;
	__u64 iova;
	int rc;
};

static void *map_in_parallel(void *data)
{
	struct parallel *map = data;

	pthread_barrier_wait(map->barrier);
	map->rc = map_at(map->fd, map->ioas, map->va,
			 (LIMIT / 2 + 1) * page_bytes(), map->iova);
	return NULL;
}

/* Scenario 13. */
TEST_F(charge, never_both_of_two)
{
	pthread_barrier_t barrier;
	pthread_t threads[2];
	int i, j;

	pthread_barrier_init(&barrier, NULL, 2);
	for (i = 0; i < 50; i++) {
		struct parallel maps[2];

		for (j = 0; j < 2; j++) {
			maps[j] = (struct parallel){
				.barrier = &barrier,
				.fd = self->fd,
				.ioas = self->ioas,
				.va = self->va,
				.iova = j ? ELSEWHERE : APERTURE,
			};
			ASSERT_EQ(0, pthread_create(&threads[j], NULL,
						    map_in_parallel, &maps[j]));
		}
		for (j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		/* both may be refused when each sees the other's attempt */
		EXPECT_TRUE(maps[0].rc || maps[1].rc);
		EXPECT_TRUE(!maps[0].rc || maps[0].rc == -ENOMEM);
		EXPECT_TRUE(!maps[1].rc || maps[1].rc == -ENOMEM);
		EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	}
	EXPECT_NOTHING_OWED();
}

/* What was charged goes back whole, and what comes is judged by the new limit. */
TEST_F(charge, prlimit_between_map_and_unmap)
{
	ASSERT_EQ(0, map_pages(self, LIMIT, APERTURE));
	ASSERT_EQ(0, limit_pages(4));
	EXPECT_EQ(-ENOMEM, map_pages(self, 1, ELSEWHERE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(0, unmap_pages(self, LIMIT, APERTURE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, 0));

	EXPECT_EQ(-ENOMEM, map_pages(self, 5, APERTURE));
	EXPECT_EQ(0, map_pages(self, 4, APERTURE));
	ASSERT_EQ(0, limit_pages(LIMIT));
	EXPECT_EQ(-ENOMEM, map_pages(self, LIMIT - 3, ELSEWHERE));
	EXPECT_EQ(0, map_pages(self, LIMIT - 4, ELSEWHERE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	ASSERT_EQ(0, limit_pages(0));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	ASSERT_EQ(0, limit_pages(LIMIT));
	EXPECT_NOTHING_OWED();
}

/* The limit when it is pinned counts, not the one when it was mapped. */
TEST_F(charge, prlimit_between_map_and_attach)
{
	struct mock mock = {};
	__u32 other;

	ASSERT_EQ(0, ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, map_at(self->fd, other, self->va, LIMIT * self->page,
			    APERTURE));
	EXPECT_TRUE(has_charged(self, variant->by_mm, 0));
	ASSERT_EQ(0, limit_pages(LIMIT - 1));
	EXPECT_EQ(-ENOMEM, mock_device(self->fd, other, &mock));
	EXPECT_TRUE(has_charged(self, variant->by_mm, 0));
	ASSERT_EQ(0, limit_pages(LIMIT));
	EXPECT_EQ(0, mock_device(self->fd, other, &mock));
	EXPECT_TRUE(has_charged(self, variant->by_mm, LIMIT));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_NOTHING_OWED();
}

struct child_of {
	const FIXTURE_DATA(charge) *self;
	bool by_mm;
};

static int unmap_for_the_parent(void *arg)
{
	const struct child_of *child = arg;

	if (!has_charged(child->self, child->by_mm, 0))
		return 1;
	if (unmap_pages(child->self, LIMIT, APERTURE))
		return 2;
	/* what goes back is not this process's */
	return has_charged(child->self, child->by_mm, 0) ? 0 : 3;
}

/* Scenario 11. */
TEST_F(charge, unmapped_by_a_child)
{
	struct child_of child = { self, variant->by_mm };

	ASSERT_EQ(0, map_pages(self, LIMIT, APERTURE));
	EXPECT_EQ(0, in_child(unmap_for_the_parent, &child));
	EXPECT_NOTHING_OWED();
}

static int map_and_exit(void *arg)
{
	const struct child_of *child = arg;

	if (map_pages(child->self, LIMIT, APERTURE))
		return 1;
	return has_charged(child->self, child->by_mm, LIMIT) ? 0 : 2;
}

/*
 * The mapping outlives who made it, and the charge stays with whom it came from.
 * Scenario 11.
 */
TEST_F(charge, mapped_by_a_child_that_exits)
{
	struct child_of child = { self, variant->by_mm };
	const int want = variant->by_mm ? 0 : -ENOMEM;

	ASSERT_EQ(0, in_child(map_and_exit, &child));
	EXPECT_TRUE(has_charged(self, variant->by_mm, 0));
	ASSERT_EQ(0, become_root());
	EXPECT_EQ(self->pinned + LIMIT, pinned_pages());
	ASSERT_EQ(0, become_user());
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, self->va,
			       LIMIT * self->page, APERTURE));
	EXPECT_EQ(want, map_pages(self, LIMIT, ELSEWHERE));
	EXPECT_EQ(0, unmap_pages(self, LIMIT, APERTURE));
	EXPECT_EQ(want ? -ENOENT : 0, unmap_pages(self, LIMIT, ELSEWHERE));
	EXPECT_EQ(0, check_refs(self->fd, self->va, LIMIT * self->page, 0));
	EXPECT_NOTHING_OWED();
}

/* A file that its last owner leaves behind with mappings of somebody gone. */
TEST_F(charge, mapped_by_a_child_and_closed)
{
	struct child_of child = { self, variant->by_mm };

	ASSERT_EQ(0, in_child(map_and_exit, &child));
	ASSERT_EQ(0, become_root());
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(self->pinned, pinned_pages());
	/* the user has everything back */
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, option_set(self->fd, IOMMU_OPTION_RLIMIT_MODE, 0,
				variant->by_mm));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, become_user());
	EXPECT_NOTHING_OWED();
}

/* The page that a process maps is its own, and it pays for it. Return: 0, or where not. */
static int map_own_page(const FIXTURE_DATA(charge) *self, bool by_mm)
{
	char *page = anonymous(self->page);
	const __u64 va = (uintptr_t)page;
	int where = 0;

	if (!page)
		return 1;
	*page = 1;
	if (map_at(self->fd, self->ioas, va, self->page, APERTURE))
		return 2;
	if (!has_charged(self, by_mm, 1))
		where = 3;
	else if (check_map(self->fd, self->mock.hwpt, va, self->page, APERTURE))
		where = 4;
	else if (check_refs(self->fd, va, self->page, 1))
		where = 5;
	if (unmap_pages(self, 1, APERTURE))
		return 6;
	if (!where && !has_charged(self, by_mm, 0))
		where = 7;
	munmap(page, self->page);
	return where;
}

static int map_own_page_in_child(void *arg)
{
	const struct child_of *child = arg;

	return map_own_page(child->self, child->by_mm);
}

/* What is kept of an unmapped page for the next map says nothing of whose that is. */
TEST_F(charge, every_map_finds_its_owner)
{
	struct child_of child = { self, variant->by_mm };

	EXPECT_EQ(0, map_own_page(self, variant->by_mm));
	EXPECT_EQ(0, in_child(map_own_page_in_child, &child));
	EXPECT_EQ(0, map_own_page(self, variant->by_mm));

	/* the same process, with the privilege not to pay */
	ASSERT_EQ(0, become_root());
	EXPECT_EQ(0, map_own_page(self, false));
	EXPECT_EQ(0, in_child(map_own_page_in_child, &(struct child_of){
							 self, false }));
	ASSERT_EQ(0, become_user());
	EXPECT_EQ(0, map_own_page(self, variant->by_mm));
	EXPECT_NOTHING_OWED();
}

/* A map that fails behind the charge gives it back. */
TEST_F(charge, given_back_by_what_fails)
{
	struct iommu_ioas_map *arg = anonymous(self->page);
	unsigned int n;

	for (n = 1; n <= LIMIT; n += 5) {
		ASSERT_EQ(0, become_root());
		ASSERT_EQ(0, write_number(SWITCH("fail_map_entry"), n));
		ASSERT_EQ(0, become_user());
		EXPECT_EQ(-ENOMEM, map_pages(self, LIMIT, APERTURE));
		EXPECT_NOTHING_OWED();
	}

	ASSERT_NE(NULL, arg);
	*arg = (struct iommu_ioas_map){
		.size = sizeof(*arg),
		.flags = RW,
		.ioas_id = self->ioas,
		.user_va = self->va,
		.length = LIMIT * self->page,
	};
	ASSERT_EQ(0, mprotect(arg, self->page, PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_MAP, arg));
	EXPECT_NOTHING_OWED();
}

/* -- exec */

/* Memory at the same place before and after the exec. */
#define EXEC_VA		0x700000000000ULL
#define EXEC_PAGES	8

/* What the new program is told: it has nothing else. */
struct exec_args {
	int fd;
	int memfd;
	__u32 ioas;
	__u32 hwpt;
};

FIXTURE(exec)
{
	struct exec_args args;
	__u64 length;
	long pinned;
};

static int inherited(int fd)
{
	return fd < 0 || fcntl(fd, F_SETFD, 0) ? -1 : fd;
}

FIXTURE_SETUP(exec)
{
	self->args.fd = inherited(open_iommu());
	ASSERT_LE(0, self->args.fd);
	ASSERT_EQ(0, reset_switches(self->args.fd));
	ASSERT_EQ(0, ioas_alloc(self->args.fd, &self->args.ioas));
	self->length = EXEC_PAGES * page_bytes();
	self->args.memfd = inherited(memfd_create("exec", 0));
	ASSERT_LE(0, self->args.memfd);
	ASSERT_EQ(0, ftruncate(self->args.memfd, self->length));
	self->pinned = pinned_pages();
}

FIXTURE_TEARDOWN(exec)
{
	EXPECT_EQ(0, close(self->args.fd));
	EXPECT_EQ(self->pinned, pinned_pages());
}

/* The pages of the file, or others that nobody else has, at EXEC_VA. */
static bool has_memory(int memfd)
{
	const int flags = memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	const size_t length = EXEC_PAGES * page_bytes();
	void *start = mmap((void *)EXEC_VA, length, PROT_READ | PROT_WRITE,
			   MAP_FIXED | flags, memfd, 0);

	if (start == MAP_FAILED)
		return false;
	memset(start, 1, length);
	return true;
}

static int exec_with(const struct exec_args *args, const char *what)
{
	char text[4][16];

	snprintf(text[0], sizeof(text[0]), "%d", args->fd);
	snprintf(text[1], sizeof(text[1]), "%d", args->memfd);
	snprintf(text[2], sizeof(text[2]), "%u", args->ioas);
	snprintf(text[3], sizeof(text[3]), "%u", args->hwpt);
	execl("/proc/self/exe", what, text[0], text[1], text[2], text[3], NULL);
	return 100;
}

static int map_and_exec(void *arg)
{
	const struct exec_args *args = arg;

	if (!has_memory(-1) ||
	    map_at(args->fd, args->ioas, EXEC_VA, EXEC_PAGES * page_bytes(),
		   APERTURE))
		return 99;
	return exec_with(args, "attach-after-exec");
}

/* In the new program: the address is good again, and still it is not meant. */
static int attach_after_exec(const struct exec_args *args)
{
	const size_t length = EXEC_PAGES * page_bytes();
	struct mock mock;

	if (!has_memory(-1))
		return 1;
	if (mock_device(args->fd, args->ioas, &mock) != -EFAULT)
		return 2;
	if (check_refs(args->fd, EXEC_VA, length, 0) || status_kib("VmPin"))
		return 3;
	if (unmap(args->fd, args->ioas, APERTURE, length, NULL))
		return 4;
	if (map_at(args->fd, args->ioas, EXEC_VA, length, APERTURE) ||
	    mock_device(args->fd, args->ioas, &mock))
		return 5;
	return check_map(args->fd, mock.hwpt, EXEC_VA, length, APERTURE) ? 6 : 0;
}

/* Scenario 11. */
TEST_F(exec, between_map_and_attach)
{
	ASSERT_EQ(0, in_child(map_and_exec, &self->args));
	EXPECT_EQ(self->pinned + EXEC_PAGES, pinned_pages());
}

static int attach_map_and_exec(void *arg)
{
	const struct exec_args *args = arg;

	if (!has_memory(args->memfd) ||
	    map_at(args->fd, args->ioas, EXEC_VA, EXEC_PAGES * page_bytes(),
		   APERTURE))
		return 99;
	return exec_with(args, "unmap-after-exec");
}

/* In the new program: what was pinned is what it was, until it is unmapped. */
static int unmap_after_exec(const struct exec_args *args)
{
	const size_t length = EXEC_PAGES * page_bytes();
	struct mock second;

	if (!has_memory(args->memfd) || status_kib("VmPin"))
		return 1;
	if (check_map(args->fd, args->hwpt, EXEC_VA, length, APERTURE) ||
	    check_refs(args->fd, EXEC_VA, length, 1))
		return 2;
	/* and can be shown to another device without its owner */
	if (set_driver("vtd") || mock_device(args->fd, args->ioas, &second) ||
	    check_map(args->fd, second.hwpt, EXEC_VA, length, APERTURE))
		return 3;
	if (unmap(args->fd, args->ioas, APERTURE, length, NULL))
		return 4;
	return check_refs(args->fd, EXEC_VA, length, 0) || status_kib("VmPin") ?
	       5 : 0;
}

/* Scenario 11. */
TEST_F(exec, between_map_and_unmap)
{
	struct mock mock;

	ASSERT_EQ(0, mock_device(self->args.fd, self->args.ioas, &mock));
	self->args.hwpt = mock.hwpt;
	ASSERT_EQ(0, in_child(attach_map_and_exec, &self->args));
	EXPECT_EQ(self->pinned, pinned_pages());
}

int main(int argc, char **argv)
{
	struct exec_args args;

	if (argc != 5 || !strstr(argv[0], "-after-exec"))
		return test_harness_run(argc, argv);
	args.fd = atoi(argv[1]);
	args.memfd = atoi(argv[2]);
	args.ioas = atoi(argv[3]);
	args.hwpt = atoi(argv[4]);
	return argv[0][0] == 'a' ? attach_after_exec(&args) :
				   unmap_after_exec(&args);
}
