// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor: memory that is pinned and mapped by a module which does nothing else,
 * tools/sample-vfio/iommufd_floor.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../tools/sample-vfio/iommufd_floor.h"
#include "cost.h"
#include "harness.h"

#define MODULE	"/lib/iommufd/iommufd_floor.ko"

int floor_open(void)
{
	int module = open(MODULE, O_RDONLY | O_CLOEXEC), floor;

	if (module < 0)
		test_skip("no " MODULE);
	if (syscall(SYS_finit_module, module, "", 0) && errno != EEXIST)
		FAIL("the module cannot be loaded: %s", strerror(errno));
	close(module);
	floor = open("/dev/iommufd_floor", O_RDWR | O_CLOEXEC);
	CHECK(floor >= 0);
	return floor;
}

static void give_device(int floor, unsigned long cmd, enum machine_dev which)
{
	struct floor_device device;
	unsigned int slot, function;

	CHECK(sscanf(bdf_of(which), "0000:%x:%x.%u", &device.bus, &slot,
		     &function) == 3);
	device.devfn = slot << 3 | function;
	EXPECT(raw_ioctl(floor, cmd, &device), 0);
}

void floor_attach(int floor, enum machine_dev which)
{
	give_device(floor, FLOOR_ATTACH, which);
}

int floor_map(int floor, void *va, size_t bytes, uint64_t iova)
{
	struct floor_range range = {
		.iova = iova, .uptr = (uintptr_t)va, .length = bytes,
	};

	return raw_ioctl(floor, FLOOR_MAP, &range);
}

int floor_unmap(int floor)
{
	return raw_ioctl(floor, FLOOR_UNMAP, NULL);
}

void floor_guard(int floor, uint64_t iova)
{
	struct floor_range range = { .iova = iova, .length = PAGE };

	EXPECT(raw_ioctl(floor, FLOOR_GUARD, &range), 0);
}

struct showing {
	int floor;
	struct floor_range range;
};

static void show(void *arg)
{
	struct showing *showing = arg;

	EXPECT(raw_ioctl(showing->floor, FLOOR_SHOW, &showing->range), 0);
}

static void hide(void *arg)
{
	struct showing *showing = arg;

	EXPECT(raw_ioctl(showing->floor, FLOOR_HIDE, NULL), 0);
}

static void join(void *arg)
{
	struct showing *showing = arg;

	EXPECT(raw_ioctl(showing->floor, FLOOR_JOIN, &showing->range), 0);
}

static void leave(void *arg)
{
	struct showing *showing = arg;

	EXPECT(raw_ioctl(showing->floor, FLOOR_LEAVE, NULL), 0);
}

/* In the page table of a second device: of what is mapped, and of what is not. */
static void measure_joins(struct showing *showing, const struct memory *memory)
{
	const struct duo duo = { .make = join, .undo = leave, .arg = showing };

	give_device(showing->floor, FLOOR_CLAIM, NVME);
	measure_and_print(&duo, memory->rounds, "floor_attach_more",
			  "floor_detach_more", memory->name, BYTES / PAGE);
	EXPECT(floor_unmap(showing->floor), 0);
	measure_and_print(&duo, memory->rounds, "floor_attach", "floor_detach",
			  memory->name, BYTES / PAGE);
}

void measure_floor_share(const struct memory *memory)
{
	struct showing showing = {
		.floor = floor_open(),
		.range = {
			.iova = IOVA + BYTES,
			.uptr = (uintptr_t)memory->va,
			.length = BYTES,
		},
	};
	const struct duo duo = { .make = show, .undo = hide, .arg = &showing };

	floor_attach(showing.floor, EDU);
	EXPECT(floor_map(showing.floor, memory->va, BYTES, IOVA), 0);
	measure_and_print(&duo, memory->rounds, "floor_show", "floor_hide",
			  memory->name, BYTES / PAGE);
	measure_joins(&showing, memory);
	close(showing.floor);
}

static void nothing(void *arg)
{
	struct showing *showing = arg;

	EXPECT(raw_ioctl(showing->floor, FLOOR_NOTHING, &showing->range), 0);
}

/* What remains of a request that changes no page table and pins nothing. */
void test_floor_nothing(void)
{
	struct showing showing = { .floor = floor_open() };
	const struct duo duo = {
		.make = nothing, .undo = nothing, .arg = &showing,
	};

	measure_and_print(&duo, ROUNDS, "floor", "floor_undo", "nothing", 1);
}
