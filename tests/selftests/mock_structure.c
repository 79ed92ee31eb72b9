// SPDX-License-Identifier: GPL-2.0-only
/*
 * The structure of an ioctl at places that matter: in memory that the answer cannot
 * be written to, and within the memory that the ioctl itself is about.
 */
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "mock.h"
#include "harness.h"

#define PAGES		8
#define SOURCE		APERTURE
#define DESTINATION	(2 * APERTURE)

FIXTURE(structure)
{
	int fd;
	__u32 ioas;
	struct mock mock;
	__u64 page;
	__u64 length;
	long pinned;
	/* of some kind, and a child that shares it */
	char *memory;
	pid_t child;
};

FIXTURE_VARIANT(structure)
{
	const char *driver;
	int mmap_flags;
	/* a child has the same pages, as after a fork before the ioctl */
	bool forks;
};

FIXTURE_VARIANT_ADD(structure, private)
{
	.driver = "vtd",
	.mmap_flags = MAP_PRIVATE | MAP_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(structure, private_and_forked)
{
	.driver = "exact",
	.mmap_flags = MAP_PRIVATE | MAP_ANONYMOUS,
	.forks = true,
};

FIXTURE_VARIANT_ADD(structure, shared)
{
	.driver = "amd",
	.mmap_flags = MAP_SHARED | MAP_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(structure, private_file_and_forked)
{
	.driver = "virtio",
	.mmap_flags = MAP_PRIVATE,
	.forks = true,
};

FIXTURE_SETUP(structure)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, set_driver(variant->driver));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	self->page = page_bytes();
	self->length = PAGES * self->page;
	self->memory = mmap(NULL, self->length, PROT_READ | PROT_WRITE,
			    variant->mmap_flags,
			    variant->mmap_flags & MAP_ANONYMOUS ? -1 : file, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	ASSERT_EQ(0, madvise(self->memory, self->length, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, close(file));
	self->pinned = pinned_pages();
}

static void share_with_child(FIXTURE_DATA(structure) *self)
{
	self->child = fork();
	if (!self->child) {
		pause();
		_exit(0);
	}
}

static void end_child(FIXTURE_DATA(structure) *self)
{
	if (self->child <= 0)
		return;
	kill(self->child, SIGKILL);
	waitpid(self->child, NULL, 0);
	self->child = 0;
}

FIXTURE_TEARDOWN(structure)
{
	end_child(self);
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(self->pinned, pinned_pages());
}

/* -- within the memory that is mapped */

/* At the start, across two pages, at the end. */
static void *place_of(const FIXTURE_DATA(structure) *self, unsigned int which,
		      size_t bytes)
{
	const size_t offsets[] = {
		0, 4 * self->page - bytes / 2, self->length - bytes,
	};

	return self->memory + (offsets[which] & -8UL);
}

static const __u32 flags_of_maps[] = {
	RW, IOMMU_IOAS_MAP_READABLE, RW | FIXED, IOMMU_IOAS_MAP_READABLE | FIXED,
};

#define NUM_FLAGS	(sizeof(flags_of_maps) / sizeof(flags_of_maps[0]))

/*
 * The answer can be read, and stands on the very page that the device sees: it is
 * written after the pages are pinned.
 */
TEST_F(structure, within_what_it_maps)
{
	struct iommu_ioas_unmap *unmap_arg;
	struct iommu_ioas_map *arg;
	unsigned int i;

	for (i = 0; i < 3 * NUM_FLAGS; i++) {
		__u64 iova;

		arg = place_of(self, i % 3, sizeof(*arg));
		*arg = (struct iommu_ioas_map){
			.size = sizeof(*arg),
			.flags = flags_of_maps[i / 3],
			.ioas_id = self->ioas,
			.user_va = (uintptr_t)self->memory,
			.length = self->length,
			.iova = flags_of_maps[i / 3] & FIXED ? DESTINATION : 0,
		};
		if (variant->forks)
			share_with_child(self);
		ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, arg));
		iova = arg->iova;
		EXPECT_EQ(flags_of_maps[i / 3] & FIXED ? DESTINATION : APERTURE,
			  iova);
		EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt,
				       (uintptr_t)self->memory, self->length, iova))
			TH_LOG("flags %x, place %u", flags_of_maps[i / 3], i % 3);
		EXPECT_EQ(0, check_refs(self->fd, (uintptr_t)self->memory,
					self->length, 1));

		unmap_arg = place_of(self, i % 3, sizeof(*unmap_arg));
		*unmap_arg = (struct iommu_ioas_unmap){
			.size = sizeof(*unmap_arg),
			.ioas_id = self->ioas,
			.length = UINT64_MAX,
		};
		ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_UNMAP, unmap_arg));
		EXPECT_EQ(self->length, unmap_arg->length);
		EXPECT_EQ(self->pinned, pinned_pages());
		end_child(self);
	}
}

TEST_F(structure, within_what_it_copies)
{
	struct iommu_ioas_copy *arg;
	unsigned int i;

	for (i = 0; i < 3 * NUM_FLAGS; i++) {
		/* or it would be the child's pages that are not the device's */
		if (variant->forks)
			share_with_child(self);
		ASSERT_EQ(0, map_at(self->fd, self->ioas, (uintptr_t)self->memory,
				    self->length, SOURCE));
		arg = place_of(self, i % 3, sizeof(*arg));
		*arg = (struct iommu_ioas_copy){
			.size = sizeof(*arg),
			.flags = flags_of_maps[i / 3],
			.dst_ioas_id = self->ioas,
			.src_ioas_id = self->ioas,
			.length = self->length,
			.dst_iova = DESTINATION,
			.src_iova = SOURCE,
		};
		ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_COPY, arg));
		EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt,
				       (uintptr_t)self->memory, self->length,
				       arg->dst_iova));
		EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt,
				       (uintptr_t)self->memory, self->length,
				       SOURCE));
		ASSERT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
		end_child(self);
	}
}

/* -- in memory that cannot be written to */

static void *read_only(FIXTURE_DATA(structure) *self, const void *arg, size_t bytes)
{
	mprotect(self->memory, self->page, PROT_READ | PROT_WRITE);
	memcpy(self->memory, arg, bytes);
	mprotect(self->memory, self->page, PROT_READ);
	return self->memory;
}

#define READ_ONLY(arg)	read_only(self, &(arg), sizeof(arg))

/* Where automatic IOVA begin, and where they are said to be. */
static const __u64 destinations[] = { APERTURE, DESTINATION };

static void check_undone(struct __test_metadata *_metadata,
			 const FIXTURE_DATA(structure) *self, __u32 hwpt,
			 __u64 va, __u64 length)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		EXPECT_TRUE(is_empty(self->fd, hwpt, va, length, destinations[i]));
}

/* Scenario 57. */
TEST_F(structure, read_only_map_is_undone)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.ioas_id = self->ioas,
		.user_va = va,
		.length = self->length - self->page,
		.iova = DESTINATION,
	};
	unsigned int i;

	for (i = 0; i < NUM_FLAGS; i++) {
		arg.flags = flags_of_maps[i];
		EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_MAP, READ_ONLY(arg)));
		check_undone(_metadata, self, self->mock.hwpt, va, arg.length);
		EXPECT_EQ(self->pinned, pinned_pages());
		EXPECT_EQ(0, status_kib("VmPin"));
		EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, DESTINATION,
					 arg.length, NULL));
		EXPECT_EQ(0, map_at(self->fd, self->ioas, va, arg.length,
				    DESTINATION));
		EXPECT_EQ(0, unmap_all(self->fd, self->ioas, NULL));
	}
}

/* Scenario 57. */
TEST_F(structure, read_only_copy_is_undone)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.src_ioas_id = self->ioas,
		.length = 3 * self->page,
		.src_iova = SOURCE,
		.dst_iova = DESTINATION,
	};
	struct mock mock;
	unsigned int i;

	ASSERT_EQ(0, ioas_alloc(self->fd, &arg.dst_ioas_id));
	ASSERT_EQ(0, mock_device(self->fd, arg.dst_ioas_id, &mock));
	/* two areas, so that there are two to be undone */
	ASSERT_EQ(0, map_at(self->fd, self->ioas, va, self->page, SOURCE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, va + self->page, 2 * self->page,
			    SOURCE + self->page));
	for (i = 0; i < NUM_FLAGS; i++) {
		arg.flags = flags_of_maps[i];
		EXPECT_EQ(-EFAULT,
			  command(self->fd, IOMMU_IOAS_COPY, READ_ONLY(arg)));
		check_undone(_metadata, self, mock.hwpt, va, arg.length);
		EXPECT_EQ(-ENOENT, unmap(self->fd, arg.dst_ioas_id, DESTINATION,
					 arg.length, NULL));
		/* the source has lost nothing */
		EXPECT_EQ(0, check_refs(self->fd, va, arg.length, 1));
		EXPECT_EQ(self->pinned + 3, pinned_pages());
		EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, va, arg.length,
				       SOURCE));
	}
}

/* The others say so, too, and a file that is asked again is as it was. */
TEST_F(structure, read_only_answers)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_ioas_iova_ranges ranges = {
		.size = sizeof(ranges),
		.ioas_id = self->ioas,
	};
	struct iommu_option option = {
		.size = sizeof(option),
		.option_id = IOMMU_OPTION_HUGE_PAGES,
		.op = IOMMU_OPTION_OP_GET,
		.object_id = self->ioas,
	};
	struct iommu_ioas_unmap unmap_arg = {
		.size = sizeof(unmap_arg),
		.ioas_id = self->ioas,
		.length = UINT64_MAX,
	};
	struct iommu_destroy gone = { .size = sizeof(gone) };
	__u32 first, second;

	ASSERT_EQ(0, ioas_alloc(self->fd, &first));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_ALLOC, READ_ONLY(alloc)));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_IOVA_RANGES,
				   READ_ONLY(ranges)));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_OPTION, READ_ONLY(option)));
	/* what is unmapped could not come back, so it is not */
	ASSERT_EQ(0, map_at(self->fd, self->ioas,
			    (uintptr_t)self->memory + self->page, self->page,
			    SOURCE));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_UNMAP,
				   READ_ONLY(unmap_arg)));
	EXPECT_EQ(self->pinned + 1, pinned_pages());
	EXPECT_EQ(0, unmap(self->fd, self->ioas, SOURCE, self->page, NULL));
	/* no object came into being, and one without an answer goes */
	ASSERT_EQ(0, ioas_alloc(self->fd, &second));
	EXPECT_EQ(first + 1, second);
	gone.id = second;
	EXPECT_EQ(0, command(self->fd, IOMMU_DESTROY, READ_ONLY(gone)));
}

/* -- in memory that can be written to when the ioctl begins, and not when it ends */

struct late {
	pthread_t thread;
	int fd;
	unsigned long word;
	void *arg;
	int rc;
};

static void *late_ioctl(void *data)
{
	struct late *late = data;

	late->rc = command(late->fd, late->word, late->arg);
	return NULL;
}

/* Write-protect the structure while the driver maps what is at an IOVA. */
static int protect_late(FIXTURE_DATA(structure) *self, unsigned long word,
			__u64 iova, const void *arg, size_t bytes)
{
	struct late late = { .fd = self->fd, .word = word, .arg = self->memory };
	bool was_late;

	mprotect(self->memory, self->page, PROT_READ | PROT_WRITE);
	memcpy(self->memory, arg, bytes);
	if (close_gate(MAP_GATE, iova, iova) ||
	    pthread_create(&late.thread, NULL, late_ioctl, &late))
		return -EIO;
	was_late = gate_is_busy(MAP_GATE);
	mprotect(self->memory, self->page, PROT_READ);
	open_gate(MAP_GATE);
	pthread_join(late.thread, NULL);
	return was_late ? late.rc : -ETIMEDOUT;
}

#define PROTECT_LATE(word, iova, arg)	\
	protect_late(self, word, iova, &(arg), sizeof(arg))

/* Scenario 57. */
TEST_F(structure, late_failure_undoes_map)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW,
		.ioas_id = self->ioas,
		.user_va = va,
		.length = self->length - self->page,
		.iova = DESTINATION,
	};

	EXPECT_EQ(-EFAULT, PROTECT_LATE(IOMMU_IOAS_MAP, APERTURE, arg));
	check_undone(_metadata, self, self->mock.hwpt, va, arg.length);
	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, status_kib("VmPin"));
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, APERTURE, arg.length,
				 NULL));
	EXPECT_EQ(0, map_at(self->fd, self->ioas, va, arg.length, APERTURE));
}

/* What the user has said need not be told to it. */
TEST_F(structure, late_protection_of_a_known_answer)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.ioas_id = self->ioas,
		.user_va = va,
		.length = self->length - self->page,
		.iova = DESTINATION,
	};

	EXPECT_EQ(0, PROTECT_LATE(IOMMU_IOAS_MAP, DESTINATION, arg));
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, va, arg.length,
			       DESTINATION));
	EXPECT_EQ(0, unmap(self->fd, self->ioas, DESTINATION, arg.length, NULL));
	EXPECT_EQ(self->pinned, pinned_pages());
}

/* Scenario 57. */
TEST_F(structure, late_failure_undoes_copy)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.src_ioas_id = self->ioas,
		.dst_ioas_id = self->ioas,
		.length = 3 * self->page,
		.src_iova = SOURCE,
		.dst_iova = DESTINATION,
	};

	ASSERT_EQ(0, map_at(self->fd, self->ioas, va, self->page, SOURCE));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, va + self->page, 2 * self->page,
			    SOURCE + self->page));
	EXPECT_EQ(-EFAULT, PROTECT_LATE(IOMMU_IOAS_COPY, DESTINATION, arg));
	EXPECT_TRUE(is_empty(self->fd, self->mock.hwpt, va, arg.length, DESTINATION));
	EXPECT_EQ(-ENOENT, unmap(self->fd, self->ioas, DESTINATION, arg.length,
				 NULL));
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, va, arg.length, SOURCE));
	EXPECT_EQ(0, check_refs(self->fd, va, arg.length, 1));
	EXPECT_EQ(self->pinned + 3, pinned_pages());
}

/* An attach that nobody learns of has not taken place. */
TEST_F(structure, late_failure_undoes_attach)
{
	const __u64 va = (uintptr_t)self->memory + self->page;
	struct iommu_test_cmd arg = {
		.size = sizeof(arg),
		.op = IOMMU_TEST_OP_MOCK_DOMAIN,
	};
	struct mock mock = {};
	__u32 next;

	ASSERT_EQ(0, ioas_alloc(self->fd, &arg.id));
	ASSERT_EQ(0, map_at(self->fd, arg.id, va, 3 * self->page, DESTINATION));
	EXPECT_EQ(-EFAULT, PROTECT_LATE(IOMMU_TEST_CMD, DESTINATION, arg));
	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, status_kib("VmPin"));
	ASSERT_EQ(0, ioas_alloc(self->fd, &next));
	EXPECT_EQ(arg.id + 1, next);
	EXPECT_EQ(0, mock_device(self->fd, arg.id, &mock));
	EXPECT_EQ(0, destroy(self->fd, mock.stdev));
	EXPECT_EQ(0, destroy(self->fd, arg.id));
}

TEST_HARNESS_MAIN
