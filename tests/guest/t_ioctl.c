// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of /dev/iommu as far as they need no device. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "harness.h"
#include "support.h"

#define RW	(IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define FIXED	(IOMMU_IOAS_MAP_FIXED_IOVA | RW)
#define NO_ID	0x7fff0000u

/* An open iommufd and an IOAS in it, which has ID 1. */
static int fd;
static uint32_t ioas;

static void set_up(void)
{
	fd = iommu_open();
	if (fd < 0)
		EXPECT(fd, 0);
	EXPECT(iommu_ioas_alloc(fd, &ioas), 0);
}

struct map_args {
	uint32_t flags;
	uint64_t va;
	uint64_t length;
	uint64_t iova;
};

static int do_map(uint32_t id, struct map_args args, uint64_t *iova)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = args.flags,
		.ioas_id = id,
		.user_va = args.va,
		.length = args.length,
		.iova = args.iova,
	};
	int rc = raw_ioctl(fd, IOMMU_IOAS_MAP, &cmd);

	if (iova)
		*iova = cmd.iova;
	return rc;
}

static int map(uint32_t flags, uint64_t va, uint64_t length, uint64_t iova)
{
	return do_map(ioas, (struct map_args){ flags, va, length, iova }, NULL);
}

static int unmap_bytes(uint64_t iova, uint64_t length, uint64_t *unmapped)
{
	return iommu_unmap(fd, ioas, iova, length, unmapped);
}

static int do_unmap(uint64_t iova, uint64_t length)
{
	return unmap_bytes(iova, length, NULL);
}

/* How each command is sent so that it succeeds, or fails in a known way. */
struct command {
	const char *name;
	unsigned long word;
	uint32_t size;
	uint32_t min_size;
	int result;		/* of the structure with only its size set */
};

static const struct command commands[] = {
	{ "DESTROY", IOMMU_DESTROY, sizeof(struct iommu_destroy), 8, -ENOENT },
	{ "IOAS_ALLOC", IOMMU_IOAS_ALLOC, sizeof(struct iommu_ioas_alloc), 12,
	  0 },
	{ "IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES,
	  sizeof(struct iommu_ioas_iova_ranges), 32, -ENOENT },
	{ "MAP", IOMMU_IOAS_MAP, sizeof(struct iommu_ioas_map), 40, -EINVAL },
	{ "UNMAP", IOMMU_IOAS_UNMAP, sizeof(struct iommu_ioas_unmap), 24,
	  -ENOENT },
};

#define NUM_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static int send(const struct command *command, void *arg, uint32_t size)
{
	memcpy(arg, &size, sizeof(size));
	return raw_ioctl(fd, command->word, arg);
}

static void expect_result(const struct command *command, int got, int want,
			  const char *when)
{
	if (got != want)
		FAIL("%s %s: %s, not %s", command->name, when,
		     strerrorname_np(-got), strerrorname_np(-want));
}

static void size_protocol(const struct command *command)
{
	static const uint32_t small[] = { 0, 1, 4 };
	uint8_t *arg = anon(4 * PAGE);

	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		expect_result(command, send(command, arg, small[i]), -EINVAL,
			      "with a small size");
	expect_result(command, send(command, arg, command->min_size - 1),
		      -EINVAL, "one byte short");
	expect_result(command, send(command, arg, command->size),
		      command->result, "with its own size");
	memset(arg, 0, 4 * PAGE);
	expect_result(command, send(command, arg, command->size + 1),
		      command->result, "with a zero byte behind");
	memset(arg, 0, 4 * PAGE);
	expect_result(command, send(command, arg, 2 * PAGE), command->result,
		      "with a page of zeroes behind");
	memset(arg, 0, 4 * PAGE);
	arg[command->size] = 1;
	expect_result(command, send(command, arg, command->size + 1), -E2BIG,
		      "with a byte behind");
	memset(arg, 0, 4 * PAGE);
	arg[2 * PAGE - 1] = 1;
	expect_result(command, send(command, arg, 2 * PAGE), -E2BIG,
		      "with a byte far behind");
	munmap(arg, 4 * PAGE);
}

/* Scenario 25. */
static void test_size_protocol(void)
{
	set_up();
	for (size_t i = 0; i < NUM_COMMANDS; i++)
		size_protocol(&commands[i]);
}

/*
 * The size words past what is mapped, and 2^31, run into nothing. Scenario 25.
 */
static void test_size_past_memory(void)
{
	uint8_t *arg = anon(2 * PAGE);

	set_up();
	munmap(arg + PAGE, PAGE);
	for (size_t i = 0; i < NUM_COMMANDS; i++) {
		const struct command *command = &commands[i];
		uint8_t *edge = arg + PAGE - command->size;

		memset(arg, 0, PAGE);
		expect_result(command, send(command, edge, command->size),
			      command->result, "at the edge of memory");
		memset(arg, 0, PAGE);
		expect_result(command, send(command, edge + 1, command->size),
			      -EFAULT, "one byte over the edge");
		memset(arg, 0, PAGE);
		expect_result(command, send(command, arg, 1U << 31), -EFAULT,
			      "with size 2^31");
		memset(arg, 0, PAGE);
		expect_result(command, send(command, arg, UINT32_MAX), -EFAULT,
			      "with size 2^32 - 1");
	}
}

/* Scenario 25. */
static void test_misaligned_structure(void)
{
	uint8_t *arg = anon(PAGE);

	set_up();
	for (size_t i = 0; i < NUM_COMMANDS; i++) {
		memset(arg, 0, PAGE);
		expect_result(&commands[i],
			      send(&commands[i], arg + 3, commands[i].size),
			      commands[i].result, "misaligned");
	}
}

/* Scenario 25. */
static void test_bad_pointer(void)
{
	set_up();
	for (size_t i = 0; i < NUM_COMMANDS; i++)
		expect_result(&commands[i],
			      raw_ioctl(fd, commands[i].word, NULL), -EFAULT,
			      "with NULL");
}

/* The size is read before the command word is looked at in full. */
static void test_command_word(void)
{
	uint32_t arg[16] = { sizeof(arg) };

	set_up();
	EXPECT(raw_ioctl(fd, _IOW(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC, int),
			 arg), -ENOTTY);
	EXPECT(raw_ioctl(fd, _IO('x', IOMMUFD_CMD_IOAS_ALLOC), arg), -ENOTTY);
	EXPECT(raw_ioctl(fd, _IO('x', IOMMUFD_CMD_IOAS_ALLOC), NULL), -EFAULT);
	EXPECT(raw_ioctl(fd, _IO(IOMMUFD_TYPE, 0x9f), arg), -ENOTTY);
	EXPECT(raw_ioctl(fd, _IO(IOMMUFD_TYPE, 0xff), NULL), -ENOTTY);
	EXPECT(raw_ioctl(fd, _IO(IOMMUFD_TYPE, 0x40), NULL), -ENOTTY);
}

/* Only what both sides know is written back, and the size as it was. */
static void test_reply_bytes(void)
{
	struct {
		struct iommu_ioas_alloc cmd;
		uint8_t tail[20];
	} arg = { .cmd.size = sizeof(arg) };

	set_up();
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_ALLOC, &arg), 0);
	EXPECT(arg.cmd.size, sizeof(arg));
	EXPECT(arg.cmd.flags, 0);
	CHECK(arg.cmd.out_ioas_id == 2);
	for (size_t i = 0; i < sizeof(arg.tail); i++)
		EXPECT(arg.tail[i], 0);
}

static void test_reserved_fields(void)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc), .flags = 1 };
	struct iommu_ioas_map map_cmd = {
		.size = sizeof(map_cmd), .flags = RW, .__reserved = 1,
	};
	struct iommu_ioas_iova_ranges ranges = {
		.size = sizeof(ranges), .__reserved = 1,
	};

	set_up();
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_ALLOC, &alloc), -EOPNOTSUPP);
	alloc.flags = 1U << 31;
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_ALLOC, &alloc), -EOPNOTSUPP);
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &ranges), -EOPNOTSUPP);
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_MAP, &map_cmd), -EOPNOTSUPP);
	for (unsigned int bit = 3; bit < 32; bit++) {
		map_cmd.__reserved = 0;
		map_cmd.flags = RW | 1U << bit;
		EXPECT(raw_ioctl(fd, IOMMU_IOAS_MAP, &map_cmd), -EOPNOTSUPP);
	}
}

static void test_destroy(void)
{
	uint32_t second, third, again;

	set_up();
	EXPECT(ioas, 1);
	EXPECT(iommu_ioas_alloc(fd, &second), 0);
	EXPECT(second, 2);
	EXPECT(iommu_ioas_alloc(fd, &third), 0);
	EXPECT(third, 3);
	EXPECT(iommu_destroy(fd, 0), -ENOENT);
	EXPECT(iommu_destroy(fd, 4), -ENOENT);
	EXPECT(iommu_destroy(fd, 1U << 31), -ENOENT);
	EXPECT(iommu_destroy(fd, UINT32_MAX), -ENOENT);
	EXPECT(iommu_destroy(fd, second), 0);
	EXPECT(iommu_destroy(fd, second), -ENOENT);
	/* The lowest free ID is used again at once. */
	EXPECT(iommu_ioas_alloc(fd, &again), 0);
	EXPECT(again, second);
	/* Mappings do not keep an IOAS. */
	EXPECT(map(FIXED, (uintptr_t)anon(PAGE), PAGE, 0), 0);
	EXPECT(iommu_destroy(fd, ioas), 0);
	EXPECT(map(FIXED, (uintptr_t)anon(PAGE), PAGE, 0), -ENOENT);
}

static void test_two_files(void)
{
	uint32_t other_ioas;
	int other;

	set_up();
	other = iommu_open();
	CHECK(other >= 0);
	EXPECT(iommu_destroy(other, ioas), -ENOENT);
	EXPECT(iommu_ioas_alloc(other, &other_ioas), 0);
	EXPECT(other_ioas, 1);
}

static void test_device_node(void)
{
	struct stat st;

	CHECK(!stat("/dev/iommu", &st));
	CHECK(S_ISCHR(st.st_mode));
	EXPECT(st.st_mode & 0777, 0660);
}

static int ranges_ioctl(uint32_t id, struct iommu_iova_range *array,
			struct iommu_ioas_iova_ranges *cmd)
{
	cmd->size = sizeof(*cmd);
	cmd->ioas_id = id;
	cmd->allowed_iovas = (uintptr_t)array;
	return raw_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, cmd);
}

static void test_ranges(void)
{
	struct iommu_iova_range range[2] = { { 7, 7 }, { 7, 7 } };
	struct iommu_ioas_iova_ranges cmd = { .num_iovas = 0 };

	set_up();
	EXPECT(ranges_ioctl(NO_ID, NULL, &cmd), -ENOENT);
	EXPECT(ranges_ioctl(ioas, NULL, &cmd), -EMSGSIZE);
	EXPECT(cmd.num_iovas, 1);
	EXPECT(cmd.out_iova_alignment, 1);
	EXPECT(ranges_ioctl(ioas, (void *)16, &cmd), -EFAULT);
	cmd.num_iovas = 2;
	EXPECT(ranges_ioctl(ioas, range, &cmd), 0);
	EXPECT(cmd.num_iovas, 1);
	EXPECT(range[0].start, 0);
	CHECK(range[0].last == ULONG_MAX);
	/* What is behind the total is left alone. */
	EXPECT(range[1].start, 7);
	EXPECT(range[1].last, 7);
}

/* Each line breaks everything that the checks below it look at. */
static void test_map_check_order(void)
{
	uint64_t va = (uintptr_t)anon(4 * PAGE), max = ULONG_MAX;

	set_up();
	EXPECT(do_map(NO_ID, (struct map_args){ 8, max, max, max }, NULL),
	       -EOPNOTSUPP);
	EXPECT(do_map(NO_ID, (struct map_args){ 0, max, max, 0 }, NULL),
	       -EOVERFLOW);
	EXPECT(do_map(NO_ID, (struct map_args){ 0, max, 0, max }, NULL),
	       -EOVERFLOW);
	EXPECT(do_map(NO_ID, (struct map_args){ 0, max, 0, 0 }, NULL), -EINVAL);
	EXPECT(do_map(NO_ID, (struct map_args){ RW, max, 0, 0 }, NULL),
	       -ENOENT);
	EXPECT(map(RW, max, 0, 0), -EINVAL);
	EXPECT(map(RW, max, 2, 0), -EOVERFLOW);
	EXPECT(map(RW, 1UL << 63, 1UL << 63, 0), -EOVERFLOW);
	EXPECT(map(FIXED, va, 2 * PAGE, max - PAGE), -EOVERFLOW);
	/* Not FIXED: the IOVA is looked at all the same, but no more. */
	EXPECT(map(RW, va, PAGE, max - 1), 0);
	EXPECT(map(FIXED, va, PAGE, 64 * PAGE), 0);
	EXPECT(map(FIXED, va, PAGE, 64 * PAGE), -EEXIST);
	EXPECT(map(FIXED, va, 3 * PAGE, 63 * PAGE), -EEXIST);
	EXPECT(map(FIXED, va, 1, 64 * PAGE + 100), -EEXIST);
	EXPECT(map(FIXED, va, PAGE, 63 * PAGE), 0);
	EXPECT(map(FIXED, va, PAGE, 65 * PAGE), 0);
}

/* Nothing is pinned without a domain, so nothing is looked at. */
static void test_map_without_domain(void)
{
	set_up();
	EXPECT(map(FIXED, 0, PAGE, 0), 0);
	EXPECT(map(FIXED, 0x7000, 1, PAGE), 0);
	EXPECT(map(FIXED, 0x7123, 5, PAGE + 1), 0);
	EXPECT(map(FIXED, 0, 1UL << 62, 1UL << 62), 0);
	EXPECT(map(FIXED, 0, PAGE, ULONG_MAX - PAGE + 1), 0);
	EXPECT(do_unmap(ULONG_MAX - PAGE + 1, PAGE), 0);
	EXPECT(map(FIXED, 0, 1UL << 63, 1UL << 63), 0);
	EXPECT(do_unmap(PAGE, 1), 0);
	EXPECT(do_unmap(PAGE, 5), -ENOENT);
	EXPECT(do_unmap(PAGE, 6), 0);
}

static uint64_t auto_iova(uint64_t va, uint64_t length)
{
	uint64_t iova;

	EXPECT(do_map(ioas, (struct map_args){ RW, va, length, 0 }, &iova), 0);
	return iova;
}

static void test_auto_iova(void)
{
	uint64_t va = 1UL << 30, iova, first;

	set_up();
	first = auto_iova(va + PAGE, PAGE);
	EXPECT(first, PAGE);
	for (unsigned int pages = 1; pages <= 10; pages++) {
		uint64_t length = pages * PAGE;

		iova = auto_iova(va, length);
		CHECK(iova);
		/* The largest power of two that divides the length. */
		EXPECT(iova & ((length & -length) - 1), 0);
		EXPECT(do_unmap(iova, length), 0);
	}
	/* Aligned as the user address is, and not more than that. */
	iova = auto_iova(va + 4 * PAGE, 64 * PAGE);
	EXPECT(iova & (4 * PAGE - 1), 0);
	EXPECT(iova, 4 * PAGE);
	/* Up to a huge page. */
	iova = auto_iova(va, 16 * MIB);
	EXPECT(iova & (HUGE - 1), 0);
	EXPECT(iova, HUGE);
	/* The lowest hole that fits. */
	EXPECT(do_unmap(PAGE, PAGE), 0);
	EXPECT(auto_iova(va + PAGE, PAGE), PAGE);
	EXPECT(auto_iova(va + PAGE, PAGE), 2 * PAGE);
}

/* The whole address space but one hole, then that too. */
static void test_auto_iova_full(void)
{
	uint64_t end = 1UL << 63, iova;

	set_up();
	EXPECT(map(FIXED, 0, end, 0), 0);
	EXPECT(map(FIXED, 0, end - 3 * PAGE, end), 0);
	/* 3 pages are left, of which the last is never picked. */
	EXPECT(do_map(ioas, (struct map_args){ RW, PAGE, 3 * PAGE, 0 }, &iova),
	       -ENOSPC);
	/* Aligning the candidate up must not wrap around to 0. */
	EXPECT(do_map(ioas, (struct map_args){ RW, HUGE, HUGE, 0 }, &iova),
	       -ENOSPC);
	iova = auto_iova(PAGE, PAGE);
	EXPECT(iova, -3 * PAGE);
	EXPECT(do_unmap(iova, PAGE), 0);
	EXPECT(map(FIXED, 0, 3 * PAGE, -3 * PAGE), 0);
	EXPECT(do_map(ioas, (struct map_args){ RW, PAGE, PAGE, 0 }, &iova),
	       -ENOSPC);
}

static void test_unmap(void)
{
	uint64_t bytes = 99;

	set_up();
	EXPECT(unmap_bytes(0, UINT64_MAX, &bytes), 0);
	EXPECT(bytes, 0);
	EXPECT(map(FIXED, 0, 2 * PAGE, 2 * PAGE), 0);
	EXPECT(map(FIXED, 0, 2 * PAGE, 4 * PAGE), 0);
	EXPECT(map(FIXED, 0, 2 * PAGE, 8 * PAGE), 0);
	EXPECT(do_unmap(0, 0), -EINVAL);
	EXPECT(do_unmap(PAGE, UINT64_MAX), -EOVERFLOW);
	EXPECT(do_unmap(UINT64_MAX, PAGE), -EOVERFLOW);
	EXPECT(do_unmap(UINT64_MAX - 1, PAGE), -EOVERFLOW);
	EXPECT(do_unmap(6 * PAGE, 2 * PAGE), -ENOENT);
	EXPECT(do_unmap(2 * PAGE, PAGE), -ENOENT);
	EXPECT(do_unmap(3 * PAGE, PAGE), -ENOENT);
	EXPECT(do_unmap(3 * PAGE, 3 * PAGE), -ENOENT);
	/* A range with holes returns the sum of what was in it. */
	EXPECT(unmap_bytes(4 * PAGE, 60 * PAGE, &bytes), 0);
	EXPECT(bytes, 4 * PAGE);
	EXPECT(unmap_bytes(0, UINT64_MAX, &bytes), 0);
	EXPECT(bytes, 2 * PAGE);
	EXPECT(do_unmap(2 * PAGE, 2 * PAGE), -ENOENT);
}

/*
 * The areas below the one that would be cut are gone, and counted. Scenario 3.
 */
static void test_unmap_reports_on_error(void)
{
	uint64_t bytes = 99;

	set_up();
	EXPECT(map(FIXED, 0, 2 * PAGE, 2 * PAGE), 0);
	EXPECT(map(FIXED, 0, 2 * PAGE, 4 * PAGE), 0);
	EXPECT(unmap_bytes(2 * PAGE, 3 * PAGE, &bytes), -ENOENT);
	EXPECT(bytes, 2 * PAGE);
	EXPECT(unmap_bytes(0, UINT64_MAX, &bytes), 0);
	EXPECT(bytes, 2 * PAGE);
}

/*
 * A structure that cannot be written back to: the work is undone. Scenario 57.
 */
static void test_read_only_structure(void)
{
	struct iommu_ioas_alloc *alloc = anon(PAGE);
	struct iommu_ioas_map *cmd = anon(PAGE);
	uint64_t bytes;
	uint32_t id;

	set_up();
	alloc->size = sizeof(*alloc);
	*cmd = (struct iommu_ioas_map){
		.size = sizeof(*cmd), .flags = RW, .ioas_id = ioas,
		.user_va = (uintptr_t)anon(PAGE), .length = PAGE,
	};
	CHECK(!mprotect(alloc, PAGE, PROT_READ));
	CHECK(!mprotect(cmd, PAGE, PROT_READ));
	for (int i = 0; i < 10; i++) {
		EXPECT(raw_ioctl(fd, IOMMU_IOAS_ALLOC, alloc), -EFAULT);
		EXPECT(raw_ioctl(fd, IOMMU_IOAS_MAP, cmd), -EFAULT);
	}
	EXPECT(unmap_bytes(0, UINT64_MAX, &bytes), 0);
	EXPECT(bytes, 0);
	EXPECT(iommu_ioas_alloc(fd, &id), 0);
	EXPECT(id, 2);
}

#define RACE_ROUNDS	3000

static uint32_t race_id;
static pthread_barrier_t race_barrier;

static void *destroy_racer(void *result)
{
	int *rc = result;

	for (int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&race_barrier);
		*rc = iommu_destroy(fd, race_id);
		pthread_barrier_wait(&race_barrier);
	}
	return NULL;
}

/* Scenario 20. */
static void test_destroy_race(void)
{
	pthread_t threads[2];
	int rc[2];

	set_up();
	pthread_barrier_init(&race_barrier, NULL, 3);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, destroy_racer, &rc[i]);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		EXPECT(iommu_ioas_alloc(fd, &race_id), 0);
		pthread_barrier_wait(&race_barrier);
		pthread_barrier_wait(&race_barrier);
		if (!((!rc[0] && rc[1] == -ENOENT) ||
		      (!rc[1] && rc[0] == -ENOENT)))
			FAIL("round %d: %d and %d", i, rc[0], rc[1]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* For threads that do one thing until they are told to stop. */
static int race_stop;

static int racing(void)
{
	return !__atomic_load_n(&race_stop, __ATOMIC_SEQ_CST);
}

static void stop_race(pthread_t *threads, int num_threads)
{
	__atomic_store_n(&race_stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < num_threads; i++)
		join_within(threads[i], 5, "a racing thread");
}

static void *guess_and_destroy(void *unused)
{
	(void)unused;
	while (racing()) {
		int rc = iommu_destroy(fd, 2);

		if (rc && rc != -ENOENT)
			EXPECT(rc, -ENOENT);
	}
	return NULL;
}

/* An object is either not there yet or there in full. Scenario 22. */
static void test_guessed_id(void)
{
	pthread_t threads[2];
	uint32_t id;

	set_up();
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, guess_and_destroy, NULL);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		EXPECT(iommu_ioas_alloc(fd, &id), 0);
		CHECK(id == 2 || id == 3);
		if (id == 3)
			EXPECT(iommu_destroy(fd, 3), 0);
	}
	stop_race(threads, 2);
}

static void *map_and_unmap(void *unused)
{
	struct iommu_mapping mapping = {
		.va = (void *)PAGE, .bytes = PAGE, .prot = IOMMU_PROT_RW,
	};

	(void)unused;
	while (racing()) {
		int rc = iommu_map(fd, 2, &mapping);

		if (rc && rc != -ENOENT)
			EXPECT(rc, -ENOENT);
		rc = iommu_unmap(fd, 2, mapping.iova, PAGE, NULL);
		/* Our IOAS is gone, and in the next one somebody maps there. */
		if (rc && rc != -EBUSY)
			EXPECT(rc, -ENOENT);
	}
	return NULL;
}

/*
 * DESTROY waits for ioctls that use the object, and says nothing of them.
 * Scenario 20.
 */
static void test_destroy_under_use(void)
{
	pthread_t threads[2];
	uint32_t id;

	set_up();
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, map_and_unmap, NULL);
	for (int i = 0; i < 500; i++) {
		EXPECT(iommu_ioas_alloc(fd, &id), 0);
		EXPECT(id, 2);
		usleep(100);
		EXPECT(iommu_destroy(fd, id), 0);
	}
	stop_race(threads, 2);
}

static void *unmap_everything(void *unused)
{
	(void)unused;
	while (racing())
		EXPECT(do_unmap(0, UINT64_MAX), 0);
	return NULL;
}

/* Scenario 1. */
static void test_unmap_all_race(void)
{
	pthread_t thread;
	uint64_t iova;

	set_up();
	/* An area that ends at the last address is where a walk may wrap. */
	EXPECT(map(FIXED, 0, PAGE, -PAGE), 0);
	pthread_create(&thread, NULL, unmap_everything, NULL);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		iova = auto_iova(PAGE, PAGE);
		CHECK(iova);
		if (i % 64 == 0) {
			int rc = map(FIXED, 0, PAGE, -PAGE);

			if (rc != -EEXIST)
				EXPECT(rc, 0);
		}
	}
	stop_race(&thread, 1);
	EXPECT(do_unmap(0, UINT64_MAX), 0);
}

/* The file goes while other threads are inside it. */
static void *hammer(void *unused)
{
	(void)unused;
	while (racing()) {
		struct iommu_mapping mapping = {
			.va = (void *)PAGE, .bytes = PAGE,
			.prot = IOMMU_PROT_RW,
		};
		uint32_t id;

		if (iommu_ioas_alloc(fd, &id))
			continue;
		iommu_map(fd, id, &mapping);
		iommu_destroy(fd, id);
	}
	return NULL;
}

/* Scenario 20. */
static void test_close_under_use(void)
{
	pthread_t threads[2];

	set_up();
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	for (int i = 0; i < 300; i++) {
		int other = iommu_open();

		CHECK(other >= 0);
		/* Replaces the file under the same number. */
		CHECK(dup2(other, fd) == fd);
		close(other);
		usleep(200);
	}
	stop_race(threads, 2);
}

/*
 * A system call as a 32-bit process makes it, which a 64-bit one can make as well
 * if what it points to is below 4 GiB. 54 is ioctl.
 */
static int ioctl32(unsigned long cmd, void *arg)
{
	int rc = 54;

	CHECK((uintptr_t)arg <= UINT32_MAX);
	asm volatile("int $0x80" : "+a" (rc)
		     : "b" (fd), "c" (cmd), "d" (arg)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	return rc;
}

/* 32-bit processes are served: the structures are the same for them. */
static void test_32_bit(void)
{
	union {
		uint32_t size;
		struct iommu_ioas_alloc alloc;
		struct iommu_ioas_map map;
		struct iommu_ioas_unmap unmap;
		struct iommu_option option;
		struct iommu_destroy destroy;
	} *arg;
	uint32_t id;

	set_up();
	arg = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	CHECK(arg != MAP_FAILED);
	*arg = (typeof(*arg)){ .alloc = { .size = sizeof(arg->alloc) } };
	EXPECT(ioctl32(IOMMU_IOAS_ALLOC, arg), 0);
	id = arg->alloc.out_ioas_id;
	*arg = (typeof(*arg)){ .map = {
		.size = sizeof(arg->map), .flags = FIXED, .ioas_id = id,
		.user_va = (uintptr_t)arg, .length = PAGE,
		.iova = 1ULL << 40,
	} };
	EXPECT(ioctl32(IOMMU_IOAS_MAP, arg), 0);
	*arg = (typeof(*arg)){ .unmap = {
		.size = sizeof(arg->unmap), .ioas_id = id,
		.length = UINT64_MAX,
	} };
	EXPECT(ioctl32(IOMMU_IOAS_UNMAP, arg), 0);
	EXPECT(arg->unmap.length, PAGE);
	*arg = (typeof(*arg)){ .option = {
		.size = sizeof(arg->option), .object_id = id,
		.option_id = IOMMU_OPTION_HUGE_PAGES,
		.op = IOMMU_OPTION_OP_GET,
	} };
	EXPECT(ioctl32(IOMMU_OPTION, arg), 0);
	EXPECT(arg->option.val64, 1);
	*arg = (typeof(*arg)){ .destroy = {
		.size = sizeof(arg->destroy), .id = id,
	} };
	EXPECT(ioctl32(IOMMU_DESTROY, arg), 0);
	EXPECT(ioctl32(IOMMU_DESTROY, arg), -ENOENT);
	arg->size = 4;
	EXPECT(ioctl32(IOMMU_DESTROY, arg), -EINVAL);
	EXPECT(ioctl32(IOMMU_DESTROY, NULL), -EFAULT);
	EXPECT(ioctl32(_IO(IOMMUFD_TYPE, 0x7f), arg), -ENOTTY);
}

static int count_lines(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256];
	int count = 0;

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		count += !!strstr(line, word);
	fclose(file);
	return count;
}

/* One line for each kind of objects and each IOAS; mocks are not for users. */
static void test_fdinfo(void)
{
	char path[64];

	set_up();
	EXPECT(map(FIXED, (uintptr_t)anon(PAGE), PAGE, 0), 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	EXPECT(number_in(path, "iommufd-ioas:"), 1);
	EXPECT(number_in(path, "iommufd-hwpts:"), 0);
	EXPECT(number_in(path, "iommufd-nested-hwpts:"), 0);
	EXPECT(number_in(path, "iommufd-fault-queues:"), 0);
	EXPECT(number_in(path, "iommufd-devices:"), 0);
	EXPECT(number_in(path, "iommufd-accesses:"), 0);
	EXPECT(count_lines(path, "iommufd-ioas-1:\tareas 1 mapped 4096 "), 1);
	EXPECT(count_lines(path, "iommufd-"), 7);
	EXPECT(count_lines(path, "mock"), 0);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "ioctl.device_node", test_device_node, 0 },
		{ "ioctl.size_protocol", test_size_protocol, 0 },
		{ "ioctl.size_past_memory", test_size_past_memory, 0 },
		{ "ioctl.misaligned_structure", test_misaligned_structure, 0 },
		{ "ioctl.bad_pointer", test_bad_pointer, 0 },
		{ "ioctl.command_word", test_command_word, 0 },
		{ "ioctl.reply_bytes", test_reply_bytes, 0 },
		{ "ioctl.reserved_fields", test_reserved_fields, 0 },
		{ "ioctl.destroy", test_destroy, 0 },
		{ "ioctl.two_files", test_two_files, 0 },
		{ "ioctl.ranges", test_ranges, 0 },
		{ "ioctl.map_check_order", test_map_check_order, 0 },
		{ "ioctl.map_without_domain", test_map_without_domain, 0 },
		{ "ioctl.auto_iova", test_auto_iova, 0 },
		{ "ioctl.auto_iova_full", test_auto_iova_full, 0 },
		{ "ioctl.unmap", test_unmap, 0 },
		{ "ioctl.unmap_reports_on_error", test_unmap_reports_on_error,
		  0 },
		{ "ioctl.read_only_structure", test_read_only_structure, 0 },
		{ "ioctl.destroy_race", test_destroy_race, 60 },
		{ "ioctl.guessed_id", test_guessed_id, 60 },
		{ "ioctl.destroy_under_use", test_destroy_under_use, 60 },
		{ "ioctl.unmap_all_race", test_unmap_all_race, 60 },
		{ "ioctl.close_under_use", test_close_under_use, 60 },
		{ "ioctl.32_bit", test_32_bit, 0 },
		{ "ioctl.fdinfo", test_fdinfo, 0 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
