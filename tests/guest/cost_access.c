// SPDX-License-Identifier: GPL-2.0-only
/*
 * What in-kernel users pay: pins and copies through iommufd's access API beside
 * those without it. The module tools/sample-vfio/iommufd_cost.c counts, since
 * they are calls inside the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../tools/sample-vfio/iommufd_cost.h"
#include "cost.h"
#include "harness.h"

#define MODULE		"/lib/iommufd/iommufd_cost.ko"
#define RANGE		(64 * MIB)
#define BULK		(2 * MIB)
#define ACCESS_ROUNDS	5

struct user {
	struct rig rig;
	const struct memory *memory;
	int counter;		/* /dev/iommufd_cost */
};

static int open_counter(void)
{
	int module = open(MODULE, O_RDONLY | O_CLOEXEC), counter;

	if (module < 0)
		test_skip("no " MODULE);
	if (syscall(SYS_finit_module, module, "", 0) && errno != EEXIST)
		FAIL("the module cannot be loaded: %s", strerror(errno));
	close(module);
	counter = open("/dev/iommufd_cost", O_RDWR | O_CLOEXEC);
	CHECK(counter >= 0);
	return counter;
}

/* The memory is mapped, and nobody has pinned it. */
static void user_open(struct user *user, const struct memory *memory)
{
	user->memory = memory;
	user->counter = open_counter();
	rig_bind(&user->rig, EDU);
	EXPECT(map_at(&user->rig, memory->va, RANGE, IOVA), 0);
}

static void user_close(struct user *user)
{
	rig_close(&user->rig);
	close(user->counter);
}

/* What is counted, and what the rows are called that are printed of it. */
struct plan {
	const char *make;
	const char *undo;
	enum cost_op op;
	unsigned int flags;
};

static void count(struct user *user, const struct plan *plan,
		  struct cost_request *request)
{
	*request = (struct cost_request){
		.op = plan->op,
		.flags = plan->flags,
		.iommufd = user->rig.space.iommufd,
		.ioas_id = user->rig.space.ioas_id,
		.iova = IOVA,
		.uptr = (uintptr_t)user->memory->va,
		.length = request->length,
		.piece = request->piece,
	};
	EXPECT(raw_ioctl(user->counter, COST_RUN, request), 0);
}

static void print_row(struct user *user, const char *what, const char *size,
		      uint64_t *costs, size_t pages)
{
	char row[64];

	snprintf(row, sizeof(row), "%s_%s_%s", what, size, user->memory->name);
	print_cost(row, (double)median(costs, ACCESS_ROUNDS) / pages);
}

/* In calls of @piece bytes. */
static void count_pieces(struct user *user, const struct plan *plan,
			 const char *size, size_t piece)
{
	uint64_t make[ACCESS_ROUNDS], undo[ACCESS_ROUNDS];
	size_t length = piece == PAGE ? 4 * MIB : RANGE;

	for (int i = 0; i < ACCESS_ROUNDS; i++) {
		struct cost_request request = {
			.length = length, .piece = piece,
		};

		count(user, plan, &request);
		make[i] = request.make_ns;
		undo[i] = request.undo_ns;
	}
	print_row(user, plan->make, size, make, length / PAGE);
	print_row(user, plan->undo, size, undo, length / PAGE);
}

static void count_pins(struct user *user, const struct plan *plan)
{
	count_pieces(user, plan, "page", PAGE);
	count_pieces(user, plan, "bulk", BULK);
}

static void count_copies(struct user *user, const struct plan *plan)
{
	count_pieces(user, plan, "page", PAGE);
	count_pieces(user, plan, "bulk", MIB);
}

void measure_access(const struct memory *memory)
{
	static const struct plan pins[] = {
		{ "bare_pin", "bare_unpin", COST_BARE_PIN, 0 },
		{ "bare_pin2", "dirty_unpin", COST_BARE_PIN_DIRTY, 0 },
		{ "new_pin", "new_unpin", COST_PIN, 0 },
		{ "again_pin", "again_unpin", COST_PIN, COST_HOLD },
	};
	static const struct plan copies[] = {
		{ "bare_load", "bare_store", COST_BARE_COPY, 0 },
		{ "user_load", "user_store", COST_USER_COPY, 0 },
		{ "mm_load", "mm_store", COST_COPY, 0 },
		{ "kthread_load", "kthread_store", COST_COPY, COST_KTHREAD },
		{ "held_load", "held_store", COST_COPY, COST_HOLD },
	};
	static const struct plan shared_pin = {
		"shared_pin", "shared_unpin", COST_PIN, 0,
	};
	static const struct plan shared_copy = {
		"shared_load", "shared_store", COST_COPY, 0,
	};
	struct user user;

	user_open(&user, memory);
	for (size_t i = 0; i < sizeof(pins) / sizeof(pins[0]); i++)
		count_pins(&user, &pins[i]);
	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
		count_copies(&user, &copies[i]);
	/* A domain pins the memory. */
	rig_attach(&user.rig);
	count_pins(&user, &shared_pin);
	count_copies(&user, &shared_copy);
	user_close(&user);
}
