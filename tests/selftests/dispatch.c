// SPDX-License-Identifier: GPL-2.0-only
/*
 * What holds for every command of /dev/iommu: how it is told apart, how its
 * structure goes in and out, and what a failure leaves behind. No device.
 */
#include <linux/types.h>

#include "calls.h"
#include "harness.h"

/* Larger than any structure of the interface. */
#define ROOM	256

struct command_info {
	const char *name;
	unsigned long word;
	__u32 min_size;
	__u32 full_size;
	/* the outcome when every field but the size is zero */
	int zeroed;
	/* what the structure has grown by since the first kernel that had it */
	__u32 grown;
};

static const struct command_info commands[] = {
	{ "DESTROY", IOMMU_DESTROY, 8, sizeof(struct iommu_destroy), -ENOENT },
	{ "HWPT_GET_DIRTY_BITMAP", IOMMU_HWPT_GET_DIRTY_BITMAP, 48,
	  sizeof(struct iommu_hwpt_get_dirty_bitmap), -ENOENT },
	{ "HWPT_SET_DIRTY_TRACKING", IOMMU_HWPT_SET_DIRTY_TRACKING, 16,
	  sizeof(struct iommu_hwpt_set_dirty_tracking), -ENOENT },
	{ "IOAS_ALLOC", IOMMU_IOAS_ALLOC, 12, sizeof(struct iommu_ioas_alloc), 0 },
	{ "IOAS_ALLOW_IOVAS", IOMMU_IOAS_ALLOW_IOVAS, 24,
	  sizeof(struct iommu_ioas_allow_iovas), -ENOENT },
	{ "IOAS_COPY", IOMMU_IOAS_COPY, 40, sizeof(struct iommu_ioas_copy), -EINVAL },
	{ "IOAS_IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES, 32,
	  sizeof(struct iommu_ioas_iova_ranges), -ENOENT },
	{ "IOAS_MAP", IOMMU_IOAS_MAP, 40, sizeof(struct iommu_ioas_map), -EINVAL },
	{ "IOAS_UNMAP", IOMMU_IOAS_UNMAP, 24, sizeof(struct iommu_ioas_unmap), -ENOENT },
	{ "OPTION", IOMMU_OPTION, 24, sizeof(struct iommu_option), 0 },
	{ "HWPT_ALLOC", IOMMU_HWPT_ALLOC, 24, sizeof(struct iommu_hwpt_alloc), -ENOENT,
	  .grown = 24 },
	{ "GET_HW_INFO", IOMMU_GET_HW_INFO, 32, sizeof(struct iommu_hw_info), -ENOENT,
	  .grown = 8 },
	{ "FAULT_QUEUE_ALLOC", IOMMU_FAULT_QUEUE_ALLOC, 16,
	  sizeof(struct iommu_fault_alloc), 0 },
	{ "HWPT_INVALIDATE", IOMMU_HWPT_INVALIDATE, 32,
	  sizeof(struct iommu_hwpt_invalidate), -ENOENT },
	{ "VFIO_IOAS", IOMMU_VFIO_IOAS, 12, sizeof(struct iommu_vfio_ioas), -ENODEV },
};

#define for_each_command(info) \
	for (info = commands; info < commands + ARRAY_SIZE(commands); info++)

FIXTURE(dispatch)
{
	int fd;
	/* two pages; what lies behind them is not mapped */
	char *pages;
	char *end;
};

FIXTURE_SETUP(dispatch)
{
	size_t page = page_bytes();

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	self->pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->pages);
	self->end = self->pages + 2 * page;
	ASSERT_EQ(0, munmap(self->end, page));
}

FIXTURE_TEARDOWN(dispatch)
{
	ASSERT_EQ(0, close(self->fd));
}

/* Zeroes that end @room bytes behind the start and begin with @size. */
static void *structure(void *at, __u32 size, size_t room)
{
	memset(at, 0, room);
	memcpy(at, &size, sizeof(size));
	return at;
}

/*
 * Option 0 can be set only while the file has no objects, and the zeroed form of
 * OPTION does just that, so each outcome is asked of a file of its own.
 */
static int zeroed_outcome(const struct command_info *info, void *arg)
{
	int fd = open_iommu();
	int rc = command(fd, info->word, arg);

	close(fd);
	return rc;
}

TEST_F(dispatch, structures_have_their_fixed_size)
{
	const struct command_info *info;

	for_each_command(info) {
		EXPECT_EQ(info->min_size + info->grown, info->full_size)
			TH_LOG("%s", info->name);
	}
}

TEST_F(dispatch, zeroes)
{
	const struct command_info *info;

	for_each_command(info) {
		void *arg = structure(self->pages, info->full_size, ROOM);

		EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
			TH_LOG("%s", info->name);
	}
}

TEST_F(dispatch, longer_with_zeroes_is_the_same)
{
	const struct command_info *info;

	for_each_command(info) {
		void *arg = structure(self->pages, info->full_size + 1, ROOM);

		EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
			TH_LOG("%s", info->name);
		arg = structure(self->pages, ROOM, ROOM);
		EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
			TH_LOG("%s", info->name);
	}
}

/* What was added to a structure later is zero for who does not know of it. */
TEST_F(dispatch, shortest_is_the_same)
{
	const struct command_info *info;

	for_each_command(info) {
		char *arg = self->end - info->min_size;

		structure(arg, info->min_size, info->min_size);
		EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
			TH_LOG("%s", info->name);
	}
}

/* Scenario 25. */
TEST_F(dispatch, unknown_tail_is_too_big)
{
	const struct command_info *info;

	for_each_command(info) {
		char *arg = structure(self->pages, info->full_size + 1, ROOM);

		arg[info->full_size] = 1;
		EXPECT_EQ(-E2BIG, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
		arg = structure(self->pages, ROOM, ROOM);
		arg[ROOM - 1] = 0x80;
		EXPECT_EQ(-E2BIG, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
		/* The largest size there is, with something soon behind. */
		arg = structure(self->pages, UINT32_MAX, ROOM);
		arg[info->full_size] = 1;
		EXPECT_EQ(-E2BIG, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
	}
}

TEST_F(dispatch, too_big_beats_wrong_fields)
{
	const struct command_info *info;

	for_each_command(info) {
		char *arg = structure(self->pages, ROOM, ROOM);

		memset(arg + sizeof(__u32), 0xff, ROOM - sizeof(__u32));
		EXPECT_EQ(-E2BIG, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
	}
}

/* Scenario 25. */
TEST_F(dispatch, shorter_is_invalid)
{
	const struct command_info *info;
	__u32 size;

	for_each_command(info) {
		for (size = 0; size < info->min_size; size++) {
			char *arg = structure(self->pages, size, ROOM);

			EXPECT_EQ(-EINVAL, command(self->fd, info->word, arg))
				TH_LOG("%s size %u", info->name, size);
		}
	}
}

/* The size is looked at before what it announces is. */
TEST_F(dispatch, shorter_is_invalid_at_the_edge)
{
	const struct command_info *info;
	__u32 size = 4;

	for_each_command(info) {
		char *arg = self->end - sizeof(size);

		memcpy(arg, &size, sizeof(size));
		EXPECT_EQ(-EINVAL, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
	}
}

TEST_F(dispatch, null_is_a_fault)
{
	const struct command_info *info;

	for_each_command(info) {
		EXPECT_EQ(-EFAULT, command(self->fd, info->word, NULL))
			TH_LOG("%s", info->name);
	}
}

/* Scenario 25. */
TEST_F(dispatch, edge_of_memory)
{
	const struct command_info *info;

	for_each_command(info) {
		char *arg = self->end - info->full_size;

		structure(arg, info->full_size, info->full_size);
		EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
			TH_LOG("%s", info->name);
		/* one byte too few in memory */
		arg = self->end - info->full_size + 1;
		structure(arg, info->full_size, info->full_size - 1);
		EXPECT_EQ(-EFAULT, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
		/* a tail of zeroes that goes on behind the memory */
		arg = self->end - info->full_size - 8;
		structure(arg, info->full_size + 9, info->full_size + 8);
		EXPECT_EQ(-EFAULT, command(self->fd, info->word, arg))
			TH_LOG("%s", info->name);
		/* only part of the size */
		EXPECT_EQ(-EFAULT, command(self->fd, info->word, self->end - 3))
			TH_LOG("%s", info->name);
	}
}

/* Scenario 25. */
TEST_F(dispatch, across_pages_and_misaligned)
{
	const struct command_info *info;
	unsigned int shift;

	for_each_command(info) {
		for (shift = 0; shift < info->full_size; shift++) {
			char *arg = self->pages + page_bytes() - shift;

			structure(arg, info->full_size, info->full_size);
			EXPECT_EQ(info->zeroed, zeroed_outcome(info, arg))
				TH_LOG("%s shift %u", info->name, shift);
		}
	}
}

/* The direction and size bits of the command word have to be zero. */
TEST_F(dispatch, only_the_exact_word)
{
	const struct command_info *info;

	for_each_command(info) {
		char *arg = structure(self->pages, info->full_size, ROOM);
		unsigned int nr = info->word & 0xff;

		EXPECT_EQ(-ENOTTY, command(self->fd, _IOWR(IOMMUFD_TYPE, nr, int), arg))
			TH_LOG("%s", info->name);
		EXPECT_EQ(-ENOTTY, command(self->fd, _IO('<', nr), arg))
			TH_LOG("%s", info->name);
	}
}

TEST_F(dispatch, word_beats_size)
{
	char *arg = structure(self->pages, 0, ROOM);

	EXPECT_EQ(-ENOTTY, command(self->fd, _IOW(IOMMUFD_TYPE,
						  IOMMUFD_CMD_DESTROY, int), arg));
	EXPECT_EQ(-EFAULT, command(self->fd, _IOW(IOMMUFD_TYPE,
						  IOMMUFD_CMD_DESTROY, int), NULL));
}

TEST_F(dispatch, numbers_without_a_command)
{
	char *arg = structure(self->pages, ROOM, ROOM);
	unsigned int nr;

	for (nr = 0; nr < 64; nr++) {
		EXPECT_EQ(-ENOTTY, command(self->fd, _IO(IOMMUFD_TYPE, nr), arg))
			TH_LOG("number %u", nr);
	}
	for (nr = 0xa1; nr < 0x100; nr++) {
		EXPECT_EQ(-ENOTTY, command(self->fd, _IO(IOMMUFD_TYPE, nr), arg))
			TH_LOG("number %u", nr);
		EXPECT_EQ(-ENOTTY, command(self->fd, _IO(IOMMUFD_TYPE, nr), NULL))
			TH_LOG("number %u", nr);
	}
}

/* What is written back is no longer than what was handed in. */
TEST_F(dispatch, answer_keeps_to_the_size)
{
	struct iommu_ioas_alloc *arg = (void *)self->pages;
	unsigned int i;

	memset(self->pages, 0, ROOM);
	memset(arg + 1, 0, 20);
	memset(self->pages + sizeof(*arg) + 20, 0xa5, ROOM);
	arg->size = sizeof(*arg) + 20;
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_ALLOC, arg));
	EXPECT_EQ(sizeof(*arg) + 20, arg->size);
	EXPECT_NE(0, arg->out_ioas_id);
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, self->pages[sizeof(*arg) + i]);
	for (i = 20; i < ROOM; i++)
		EXPECT_EQ((char)0xa5, self->pages[sizeof(*arg) + i]);
}

TEST_F(dispatch, size_comes_back_and_can_be_sent_again)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	__u32 first;

	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_ALLOC, &arg));
	EXPECT_EQ(sizeof(arg), arg.size);
	first = arg.out_ioas_id;
	ASSERT_EQ(0, command(self->fd, IOMMU_IOAS_ALLOC, &arg));
	EXPECT_EQ(sizeof(arg), arg.size);
	EXPECT_NE(first, arg.out_ioas_id);
}

/* An error writes nothing back. */
TEST_F(dispatch, failure_leaves_the_structure_alone)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW,
		.ioas_id = NO_SUCH_ID,
		.user_va = (uintptr_t)self->pages,
		.length = page_bytes(),
		.iova = 0x123456000,
	};
	struct iommu_ioas_map before = arg;

	ASSERT_EQ(-ENOENT, command(self->fd, IOMMU_IOAS_MAP, &arg));
	EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg)));
}

/*
 * An object whose ID cannot be told to the user must not come into being.
 * Scenario 57.
 */
TEST_F(dispatch, unwritable_answer_makes_no_object)
{
	struct iommu_ioas_alloc *arg = (void *)self->pages;
	__u32 first, second;
	int i;

	ASSERT_EQ(0, ioas_alloc(self->fd, &first));
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_ALLOC, arg));
	ASSERT_EQ(0, ioas_alloc(self->fd, &second));
	EXPECT_EQ(first + 1, second);
}

/* Of these the answer is one word: it has to be writable, what is before it not. */
TEST_F(dispatch, answer_of_one_word)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = RW,
		.user_va = (uintptr_t)self->pages,
		.length = page_bytes(),
		.iova = 0x123456789,
	};
	char *second = self->pages + page_bytes();
	struct iommu_ioas_map *split = (void *)(second - sizeof(arg) + 8);
	__u64 bytes;

	ASSERT_EQ(0, ioas_alloc(self->fd, &arg.ioas_id));
	memcpy(split, &arg, sizeof(arg));
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ));
	EXPECT_EQ(0, command(self->fd, IOMMU_IOAS_MAP, split));
	EXPECT_NE(arg.iova, split->iova);
	EXPECT_EQ(0, memcmp(split, &arg, sizeof(arg) - 8));
	EXPECT_EQ(0, unmap(self->fd, arg.ioas_id, split->iova, arg.length,
			   &bytes));
	EXPECT_EQ(arg.length, bytes);

	/* Also when it is what it was. */
	split->iova = page_bytes();
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ | PROT_WRITE));
	split->flags |= FIXED;
	ASSERT_EQ(0, mprotect(second, page_bytes(), PROT_READ));
	EXPECT_EQ(-EFAULT, command(self->fd, IOMMU_IOAS_MAP, split));
	EXPECT_EQ(-ENOENT, unmap(self->fd, arg.ioas_id, page_bytes(),
				 arg.length, NULL));
}

TEST_F(dispatch, ids_count_from_one_and_the_lowest_is_used_again)
{
	__u32 ids[5], id;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, ioas_alloc(self->fd, &ids[i]));
		EXPECT_EQ(i + 1, ids[i]);
	}
	ASSERT_EQ(0, destroy(self->fd, ids[3]));
	ASSERT_EQ(0, destroy(self->fd, ids[1]));
	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(ids[1], id);
	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(ids[3], id);
	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(6, id);
}

/* Scenario 25. */
TEST_F(dispatch, ids_that_do_not_exist)
{
	static const __u32 ids[] = { 0, 2, NO_SUCH_ID, 1u << 31, UINT32_MAX };
	__u64 bytes;
	unsigned int i;
	__u32 id;

	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	ASSERT_EQ(1, id);
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_EQ(-ENOENT, destroy(self->fd, ids[i]))
			TH_LOG("id %u", ids[i]);
		EXPECT_EQ(-ENOENT, unmap_all(self->fd, ids[i], &bytes))
			TH_LOG("id %u", ids[i]);
		EXPECT_EQ(-ENOENT, map_at(self->fd, ids[i],
					  (uintptr_t)self->pages, 4096, 0))
			TH_LOG("id %u", ids[i]);
	}
}

/* Scenario 20. */
TEST_F(dispatch, destroyed_once)
{
	__u32 id;

	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(0, destroy(self->fd, id));
	EXPECT_EQ(-ENOENT, destroy(self->fd, id));
}

TEST_F(dispatch, files_share_nothing)
{
	int other = open_iommu();
	__u32 id, theirs;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, ioas_alloc(self->fd, &id));
	EXPECT_EQ(-ENOENT, destroy(other, id));
	ASSERT_EQ(0, ioas_alloc(other, &theirs));
	EXPECT_EQ(id, theirs);
	EXPECT_EQ(0, destroy(other, theirs));
	EXPECT_EQ(0, destroy(self->fd, id));
	close(other);
}

/* Scenario 24. */
TEST_F(dispatch, closing_with_objects_inside)
{
	__u32 id;
	int i;

	for (i = 0; i < 100; i++) {
		int fd = open_iommu();

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ioas_alloc(fd, &id));
		ASSERT_EQ(0, map_at(fd, id, (uintptr_t)self->pages, page_bytes(), 0));
		ASSERT_EQ(0, ioas_alloc(fd, &id));
		ASSERT_EQ(0, close(fd));
	}
}

TEST_HARNESS_MAIN
