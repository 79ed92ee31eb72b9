// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by an in-kernel user: at any offset, over all borders, from wherever the
 * pages are, by whom ever.
 */
#include <linux/types.h>
#include <signal.h>
#include <sys/wait.h>

#include "mock.h"
#include "harness.h"

#define PAGES		96
#define AREA_PAGES	32
#define WRITE		MOCK_ACCESS_RW_WRITE

FIXTURE(rw)
{
	int fd;
	int access;
	__u32 ioas;
	__u64 page;
	/* PAGES of them: what the process sees, and what should be there */
	unsigned char *memory;
	unsigned char *model;
	unsigned char *buffer;
	/* something to write, a little more than there is memory */
	unsigned char *pattern;
	struct mock mock;
	pid_t owner;
};

FIXTURE_VARIANT(rw)
{
	/* pages that the access keeps pinned while it copies */
	unsigned int first_pinned;
	unsigned int nr_pinned;
	__u32 flags;
	bool has_domain;
	bool in_worker;
	/* the memory was mapped by somebody else, who lives */
	bool of_other;
	bool is_huge;
	__u32 limit;
};

FIXTURE_VARIANT_ADD(rw, current)
{
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, slow_path)
{
	.flags = MOCK_ACCESS_RW_SLOW_PATH,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, kthread)
{
	.in_worker = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, kthread_slow_path)
{
	.flags = MOCK_ACCESS_RW_SLOW_PATH,
	.in_worker = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, other_process)
{
	.of_other = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, other_process_pinned_in_part)
{
	.of_other = true,
	.first_pinned = 10,
	.nr_pinned = 50,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, other_process_kthread)
{
	.of_other = true,
	.in_worker = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, pinned)
{
	.nr_pinned = PAGES,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, pinned_in_part)
{
	.first_pinned = 20,
	.nr_pinned = 30,
	.limit = 16,
};

FIXTURE_VARIANT_ADD(rw, pinned_in_part_slow_path)
{
	.first_pinned = 20,
	.nr_pinned = 1,
	.flags = MOCK_ACCESS_RW_SLOW_PATH,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, domain)
{
	.has_domain = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, domain_kthread)
{
	.has_domain = true,
	.in_worker = true,
	.limit = LEAST_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, domain_and_pinned)
{
	.has_domain = true,
	.first_pinned = 1,
	.nr_pinned = 80,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, huge)
{
	.is_huge = true,
	.limit = USUAL_LIMIT,
};

FIXTURE_VARIANT_ADD(rw, huge_domain)
{
	.is_huge = true,
	.has_domain = true,
	.limit = USUAL_LIMIT,
};

/* Three areas in a row, whose memory is in another order. */
static int map_areas(int fd, __u32 ioas, const unsigned char *memory)
{
	const __u64 area = AREA_PAGES * page_bytes();
	const __u64 va = (uintptr_t)memory;

	return map_at(fd, ioas, va, area, APERTURE) ?:
	       map_at(fd, ioas, va + 2 * area, area, APERTURE + 2 * area) ?:
	       map_at(fd, ioas, va + area, area, APERTURE + area);
}

/* A process that maps, and then waits to be killed. */
static pid_t map_by_other(int fd, __u32 ioas, const unsigned char *memory)
{
	int fds[2];
	pid_t pid;
	char ok;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		ok = !map_areas(fd, ioas, memory);
		if (write(fds[1], &ok, 1) == 1)
			pause();
		_exit(0);
	}
	if (read(fds[0], &ok, 1) != 1 || !ok)
		pid = -1;
	close(fds[0]);
	close(fds[1]);
	return pid;
}

FIXTURE_SETUP(rw)
{
	const size_t bytes = PAGES * page_bytes();
	size_t i;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, temp_limit(self->fd, variant->limit));
	self->page = page_bytes();
	self->memory = variant->is_huge ?
			       huge_pages(HUGE_BYTES) :
			       mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(NULL, self->memory);
	ASSERT_NE(MAP_FAILED, (void *)self->memory);
	self->model = malloc(bytes);
	self->buffer = malloc(bytes);
	self->pattern = malloc(bytes + 256);
	ASSERT_TRUE(self->model && self->buffer && self->pattern);
	for (i = 0; i < bytes + 256; i++)
		self->pattern[i] = i * 3 + i / 1000;
	for (i = 0; i < bytes; i++)
		self->model[i] = i * 7 + i / 4096;
	memcpy(self->memory, self->model, bytes);

	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas,
				   variant->nr_pinned ? PINS : 0, &self->access));
	if (variant->has_domain)
		ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	if (variant->of_other) {
		self->owner = map_by_other(self->fd, self->ioas, self->memory);
		ASSERT_LT(0, self->owner);
	} else {
		ASSERT_EQ(0, map_areas(self->fd, self->ioas, self->memory));
	}
	if (variant->nr_pinned)
		ASSERT_EQ(0, pin(self->fd, self->access,
				 APERTURE + variant->first_pinned * self->page,
				 variant->nr_pinned * self->page,
				 (uintptr_t)self->memory +
					 variant->first_pinned * self->page,
				 NULL));
	if (variant->in_worker)
		ASSERT_EQ(0, write_text(SWITCH("access_in_worker"), "Y"));
}

static void end_owner(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

FIXTURE_TEARDOWN(rw)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, close(self->access));
	ASSERT_EQ(0, close(self->fd));
	end_owner(self->owner);
	self->fd = open_iommu();
	EXPECT_EQ(0, check_refs(self->fd, (uintptr_t)self->memory,
				PAGES * self->page, 0));
	close(self->fd);
}

#define COPY(_flags, _iova, _data, _length)				\
	access_rw(self->fd, self->access, variant->flags | (_flags),	\
		  (_iova), (_data), (_length))

/* Every border there is, hit, missed by one byte, and crossed. */
TEST_F(rw, every_border)
{
	const __u64 page = self->page, all = PAGES * page;
	const __u64 points[] = {
		0, 1, 7, page - 1, page, page + 1, 10 * page, 16 * page - 3,
		20 * page - 1, 20 * page, 21 * page, 31 * page + 5,
		32 * page - 1, 32 * page, 32 * page + 1, 50 * page, 64 * page - 1,
		64 * page, 64 * page + 9, 80 * page, all - 1, all,
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		for (j = i + 1; j < ARRAY_SIZE(points); j++) {
			__u64 first = points[i], length = points[j] - first;

			memset(self->buffer, 0xaa, all);
			ASSERT_EQ(0, COPY(0, APERTURE + first, self->buffer,
					  length));
			ASSERT_EQ(0, memcmp(self->buffer, self->model + first,
					    length))
				TH_LOG("read of %llu at %llu", length, first);

			memcpy(self->buffer,
			       self->pattern + (i * 31 + j) % 256, length);
			memcpy(self->model + first, self->buffer, length);
			ASSERT_EQ(0, COPY(WRITE, APERTURE + first, self->buffer,
					  length));
			ASSERT_EQ(0, memcmp(self->memory, self->model, all))
				TH_LOG("write of %llu at %llu", length, first);
		}
	}
	if (!variant->has_domain && !variant->nr_pinned)
		EXPECT_EQ(0, check_refs(self->fd, (uintptr_t)self->memory, all, 0));
}

/* Scenario 10. */
TEST_F(rw, scenario_10_errors)
{
	const __u64 page = self->page, end = APERTURE + PAGES * page;
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = FIXED | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = self->ioas,
		.user_va = (uintptr_t)self->memory,
		.length = page,
		.iova = end,
	};
	unsigned char *data = self->buffer;

	EXPECT_EQ(-EINVAL, COPY(0, APERTURE, data, 0));
	EXPECT_EQ(-EINVAL, COPY(WRITE, 0, data, 0));
	EXPECT_EQ(-EOVERFLOW, COPY(0, UINT64_MAX, data, 2));
	EXPECT_EQ(-ENOENT, COPY(0, UINT64_MAX, data, 1));
	EXPECT_EQ(-ENOENT, COPY(0, APERTURE - 1, data, 1));
	EXPECT_EQ(-ENOENT, COPY(0, APERTURE - 1, data, 2));
	EXPECT_EQ(-ENOENT, COPY(0, end, data, 1));

	/* what is in front of a hole is copied */
	memset(data, 0x5a, 2 * page);
	EXPECT_EQ(-ENOENT, COPY(WRITE, end - page - 1, data, page + 2));
	memset(self->model + (PAGES - 1) * page - 1, 0x5a, page + 1);
	EXPECT_EQ(0, memcmp(self->memory, self->model, PAGES * page));

	/* likewise in front of memory that must not be written, or read */
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, &map));
	memset(data, 0x77, page);
	EXPECT_EQ(-EPERM, COPY(WRITE, end - 4, data, 8));
	memset(self->model + PAGES * page - 4, 0x77, 4);
	EXPECT_EQ(0, memcmp(self->memory, self->model, PAGES * page));
	EXPECT_EQ(-EPERM, COPY(WRITE, end, data, 1));
	EXPECT_EQ(0, COPY(0, end, data, page));
	EXPECT_EQ(0, memcmp(data, self->model, page));
	EXPECT_EQ(0, COPY(0, end - 4, data, 8));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, end, page, NULL));

	map.flags = FIXED | IOMMU_IOAS_MAP_WRITEABLE;
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, &map));
	EXPECT_EQ(-EPERM, COPY(0, end, data, 1));
	EXPECT_EQ(-EPERM, COPY(0, end - 4, data, 8));
	memset(data, 0x11, 8);
	EXPECT_EQ(0, COPY(WRITE, end + 3, data, 8));
	EXPECT_EQ(0x11, self->memory[3]);
	EXPECT_EQ(0, unmap(self->fd, self->ioas, end, page, NULL));
}

/* -- whatever is there */

FIXTURE(memory)
{
	int fd;
	int access;
	__u32 ioas;
	__u64 page;
	__u64 va;
};

FIXTURE_VARIANT(memory)
{
	__u32 flags;
	bool in_worker;
};

FIXTURE_VARIANT_ADD(memory, fast)
{
};

FIXTURE_VARIANT_ADD(memory, slow_path)
{
	.flags = MOCK_ACCESS_RW_SLOW_PATH,
};

FIXTURE_VARIANT_ADD(memory, kthread)
{
	.in_worker = true,
};

FIXTURE_SETUP(memory)
{
	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	self->page = page_bytes();
	self->va = (uintptr_t)small_pages(PAGES * self->page);
	ASSERT_NE(0, self->va);
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, PINS, &self->access));
	if (variant->in_worker)
		ASSERT_EQ(0, write_text(SWITCH("access_in_worker"), "Y"));
}

FIXTURE_TEARDOWN(memory)
{
	EXPECT_EQ(0, reset_switches(self->fd));
	EXPECT_EQ(0, close(self->access));
	EXPECT_EQ(0, close(self->fd));
}

TEST_F(memory, none)
{
	unsigned char data[16];

	ASSERT_EQ(0, map_at(self->fd, self->ioas, 16 * self->page, self->page,
			    APERTURE));
	EXPECT_EQ(-EFAULT, COPY(0, APERTURE, data, 1));
	EXPECT_EQ(-EFAULT, COPY(WRITE, APERTURE + 5, data, 16));
	/* it ends in the middle */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page,
			    2 * APERTURE));
	ASSERT_EQ(0, munmap((void *)(self->va + self->page), self->page));
	EXPECT_EQ(-EFAULT, COPY(0, 2 * APERTURE + self->page - 8, data, 16));
	EXPECT_EQ(0, COPY(0, 2 * APERTURE + self->page - 16, data, 16));
}

TEST_F(memory, not_touched_yet)
{
	unsigned char *fresh = anonymous(HUGE_BYTES);
	unsigned char data[16];
	unsigned int i;

	ASSERT_NE(NULL, fresh);
	ASSERT_EQ(0, map_at(self->fd, self->ioas, (uintptr_t)fresh, HUGE_BYTES,
			    APERTURE));
	memset(data, 0xff, sizeof(data));
	EXPECT_EQ(0, COPY(0, APERTURE + self->page - 8, data, 16));
	for (i = 0; i < sizeof(data); i++)
		EXPECT_EQ(0, data[i]);
	memset(data, 3, sizeof(data));
	EXPECT_EQ(0, COPY(WRITE, APERTURE + 5 * self->page - 8, data, 16));
	EXPECT_EQ(0, memcmp(fresh + 5 * self->page - 8, data, 16));
	EXPECT_EQ(0, munmap(fresh, HUGE_BYTES));
}

/* What the process must not write, nobody writes for it. */
TEST_F(memory, read_only_for_the_process)
{
	unsigned char data[4] = { 9, 9, 9, 9 };

	ASSERT_EQ(0, mprotect((void *)self->va, self->page, PROT_READ));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va, 2 * self->page,
			    APERTURE));
	EXPECT_EQ(-EFAULT, COPY(WRITE, APERTURE, data, 4));
	EXPECT_EQ(1, *(unsigned char *)self->va);
	EXPECT_EQ(0, COPY(WRITE, APERTURE + self->page, data, 4));
	EXPECT_EQ(0, COPY(0, APERTURE, data, 4));
	EXPECT_EQ(1, data[0]);
	ASSERT_EQ(0, mprotect((void *)self->va, self->page, PROT_NONE));
	EXPECT_EQ(-EFAULT, COPY(0, APERTURE, data, 4));
}

/* Only @tail of the last page is mapped, and only the rest of the first one. */
TEST_F(memory, odd_areas)
{
	unsigned char data[64], *memory = (unsigned char *)self->va;
	int plain;

	ASSERT_EQ(0, close(self->access));
	ASSERT_EQ(0, create_access(self->fd, self->ioas, 0, &plain));
	self->access = plain;
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + self->page - 3, 7,
			    12345));
	memcpy(memory + self->page - 3, "abcdefg", 7);
	memset(data, 0, sizeof(data));
	EXPECT_EQ(0, COPY(0, 12345, data, 7));
	EXPECT_EQ(0, memcmp(data, "abcdefg", 7));
	EXPECT_EQ(0, COPY(0, 12347, data, 3));
	EXPECT_EQ(0, memcmp(data, "cde", 3));
	EXPECT_EQ(-ENOENT, COPY(0, 12344, data, 1));
	EXPECT_EQ(-ENOENT, COPY(0, 12352, data, 1));
	EXPECT_EQ(-ENOENT, COPY(WRITE, 12351, "xy", 2));
	EXPECT_EQ('x', memory[self->page + 3]);
	EXPECT_EQ(1, memory[self->page + 4]);
	/* a neighbour with other offsets in its pages */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, self->va + 2 * self->page + 11,
			    self->page, 12352));
	EXPECT_EQ(0, COPY(WRITE, 12350, "0123", 4));
	EXPECT_EQ(0, memcmp(memory + self->page + 2, "01", 2));
	EXPECT_EQ(0, memcmp(memory + 2 * self->page + 11, "23", 2));
	EXPECT_EQ(1, memory[2 * self->page + 10]);
}

/*
 * The memory is that of the process that mapped it, not of the one that asks, while
 * it lives; afterwards what is pinned is all there is.
 */
TEST_F(memory, of_another_process)
{
	unsigned char *memory = (unsigned char *)self->va;
	const __u64 page = self->page;
	unsigned char byte = 0;
	struct mock mock;
	int to[2], from[2];
	__u32 item;
	pid_t pid;
	char ok;

	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, pipe(from));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		memset(memory, 5, 4 * page);
		ok = !map_at(self->fd, self->ioas, self->va, 4 * page, APERTURE);
		if (write(from[1], &ok, 1) != 1 || read(to[0], &ok, 1) != 1)
			_exit(2);
		_exit(memory[page] == 6 && memory[2 * page] == 5 ? 0 : 1);
	}
	ASSERT_EQ(1, read(from[0], &ok, 1));
	ASSERT_EQ(1, ok);

	EXPECT_EQ(0, COPY(0, APERTURE + page, &byte, 1));
	EXPECT_EQ(5, byte);
	byte = 6;
	EXPECT_EQ(0, COPY(WRITE, APERTURE + page, &byte, 1));
	EXPECT_EQ(1, memory[page]);
	ASSERT_EQ(0, pin(self->fd, self->access, APERTURE + page, page, 0, &item));

	ASSERT_EQ(1, write(to[1], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &pid, 0));
	EXPECT_EQ(0, pid);

	byte = 0;
	EXPECT_EQ(0, COPY(0, APERTURE + page, &byte, 1));
	EXPECT_EQ(6, byte);
	EXPECT_EQ(0, COPY(WRITE, APERTURE + page + 9, &byte, 1));
	EXPECT_EQ(-EFAULT, COPY(0, APERTURE, &byte, 1));
	EXPECT_EQ(-EFAULT, COPY(0, APERTURE + 2 * page, &byte, 1));
	EXPECT_EQ(-EFAULT, COPY(0, APERTURE + 2 * page - 1, &byte, 2));
	EXPECT_EQ(-EFAULT, pin(self->fd, self->access, APERTURE, page, 0, NULL));
	EXPECT_EQ(-EFAULT, pin(self->fd, self->access, APERTURE, 3 * page, 0,
			       NULL));
	/* pinned again without its owner */
	EXPECT_EQ(0, pin(self->fd, self->access, APERTURE + page, page, 0, NULL));
	EXPECT_EQ(0, unpin_item(self->fd, self->access, item));
	EXPECT_EQ(0, COPY(0, APERTURE + page, &byte, 1));
	EXPECT_EQ(-EFAULT, mock_device(self->fd, self->ioas, &mock));
	EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
}

TEST_HARNESS_MAIN
