// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a test: how long small operations wait for long ones that are under way in the
 * same IOAS, as "wait: LONG SMALL TIMES SLEPT OWN LONGEST", in nanoseconds. It is run
 * by tools/bench-smp.sh where the clock counts instructions.
 *
 * All of it is on one CPU. The small operations are done by a thread that comes
 * before any other, now and then in the middle of the long one, wherever that is.
 * What keeps it from going on is a sleep, until the long one lets go of something;
 * interrupts, which free what the long one has left to RCU, do not count. Two CPUs
 * would tell less: a clock that counts instructions counts those of both, so each
 * waits while the other has its turn.
 */
#define _GNU_SOURCE
#include <err.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "mock.h"
#include "park.h"

#define BULK		(1UL << 30)
#define BULK_IOVA	APERTURE
#define COPIED_IOVA	(BULK_IOVA + BULK)
/* Where the small operations are, far from what the long ones do. */
#define SMALL_IOVA	(APERTURE + BULK + BULK / 4)
#define ALONE_ROUNDS	201
#define PARKED_ROUNDS	200
#define PAUSE_NS	200000

static __u8 bulk_bits[BULK / 4096 / 8];

struct place {
	int fd;
	__u32 ioas;
	__u32 copied;
	struct mock mock;
	__u32 hwpt;
	int access;
	int other_access;	/* the mock pins with a mutex of the access held */
	__u64 bulk;
	__u64 page;
	__u32 new_hwpt;
	void *parked;
	int uffd;
};

static void must(int rc, const char *what)
{
	if (rc)
		errx(1, "%s: %d", what, rc);
}

#define MUST(call) must(call, #call)

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Until a while from now the thread lets others run; then it comes first. */
static void let_others_run(void)
{
	const struct timespec time = { .tv_nsec = PAUSE_NS };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void come_first(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	must(sched_setscheduler(0, SCHED_FIFO, &param), "sched_setscheduler");
}

static void come_last(void)
{
	const struct sched_param param = {};

	must(sched_setscheduler(0, SCHED_OTHER, &param), "sched_setscheduler");
}

/* -- small operations -- */

static int copy_range(struct place *place, __u64 from, __u64 length, __u64 to)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = RW | FIXED,
		.dst_ioas_id = place->ioas,
		.src_ioas_id = place->copied,
		.length = length,
		.dst_iova = to,
		.src_iova = from,
	};

	return command(place->fd, IOMMU_IOAS_COPY, &arg);
}

static void do_map(struct place *place)
{
	const __u64 iova = SMALL_IOVA + HUGE_BYTES;

	MUST(map_at(place->fd, place->ioas, place->page, page_bytes(), iova));
	MUST(unmap(place->fd, place->ioas, iova, page_bytes(), NULL));
}

static void do_copy(struct place *place)
{
	const __u64 iova = SMALL_IOVA + 2 * HUGE_BYTES;

	MUST(copy_range(place, COPIED_IOVA, page_bytes(), iova));
	MUST(unmap(place->fd, place->ioas, iova, page_bytes(), NULL));
}

static void do_pin(struct place *place)
{
	__u32 item;

	MUST(pin(place->fd, place->access, SMALL_IOVA, page_bytes(), 0, &item));
	MUST(unpin_item(place->fd, place->access, item));
}

static void do_rw(struct place *place)
{
	static __u8 buffer[4096];

	MUST(access_rw(place->fd, place->access, 0, SMALL_IOVA, buffer,
		       sizeof(buffer)));
}

static void do_read_dirty(struct place *place)
{
	struct dirty_range range = { SMALL_IOVA, page_bytes(), page_bytes() };
	__u64 bits = 0;

	MUST(get_dirty(place->fd, place->hwpt, 0, &range, &bits));
}

struct small_op {
	const char *name;
	void (*run)(struct place *place);
};

static const struct small_op small_ops[] = {
	{ "map", do_map },
	{ "copy", do_copy },
	{ "pin", do_pin },
	{ "rw", do_rw },
	{ "read_dirty", do_read_dirty },
};

/* -- long operations -- */

static void map_bulk(struct place *place)
{
	MUST(map_at(place->fd, place->ioas, place->bulk, BULK, BULK_IOVA));
}

static void unmap_bulk(struct place *place)
{
	MUST(unmap(place->fd, place->ioas, BULK_IOVA, BULK, NULL));
}

static void copy_bulk(struct place *place)
{
	MUST(copy_range(place, BULK_IOVA, BULK, BULK_IOVA));
}

/* A new domain is filled with what the IOAS has. */
static void attach_bulk(struct place *place)
{
	MUST(hwpt_alloc(place->fd, 0, place->mock.idev, place->ioas,
			&place->new_hwpt));
}

static void detach_bulk(struct place *place)
{
	MUST(destroy(place->fd, place->new_hwpt));
}

static void attach_to_bulk(struct place *place)
{
	map_bulk(place);
	attach_bulk(place);
}

static void detach_and_unmap(struct place *place)
{
	detach_bulk(place);
	unmap_bulk(place);
}

static void read_bulk_dirty(struct place *place)
{
	struct dirty_range range = { BULK_IOVA, BULK, page_bytes() };

	MUST(get_dirty(place->fd, place->hwpt, 0, &range, bulk_bits));
}

static void write_bulk(struct place *place)
{
	struct dirty_range range = { BULK_IOVA, BULK, page_bytes() };

	map_bulk(place);
	memset(bulk_bits, 0xff, sizeof(bulk_bits));
	MUST(write_dirty(place->fd, place->hwpt, &range, bulk_bits, NULL));
}

static void pin_bulk(struct place *place)
{
	__u64 offset;
	__u32 item;

	for (offset = 0; offset != BULK; offset += BULK / 64) {
		MUST(pin(place->fd, place->other_access, BULK_IOVA + offset,
			 BULK / 64, 0, &item));
		MUST(unpin_item(place->fd, place->other_access, item));
	}
}

static void nothing(struct place *place)
{
	(void)place;
}

struct long_op {
	const char *name;
	void (*prepare)(struct place *place);
	void (*run)(struct place *place);
	void (*undo)(struct place *place);
};

static const struct long_op long_ops[] = {
	{ "map_1g", nothing, map_bulk, unmap_bulk },
	{ "unmap_1g", map_bulk, unmap_bulk, nothing },
	{ "copy_1g", nothing, copy_bulk, unmap_bulk },
	{ "attach_to_1g", map_bulk, attach_bulk, detach_and_unmap },
	{ "detach_from_1g", attach_to_bulk, detach_bulk, unmap_bulk },
	{ "read_dirty_1g", write_bulk, read_bulk_dirty, unmap_bulk },
	{ "pin_1g", map_bulk, pin_bulk, unmap_bulk },
};

/* -- both -- */

static __u64 time_op(struct place *place, void (*run)(struct place *place))
{
	__u64 begin = now();

	run(place);
	return now() - begin;
}

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static __u64 alone(struct place *place, void (*run)(struct place *place))
{
	__u64 times[ALONE_ROUNDS];
	int i;

	for (i = 0; i < ALONE_ROUNDS; i++)
		times[i] = time_op(place, run);
	qsort(times, ALONE_ROUNDS, sizeof(times[0]), compare);
	return times[ALONE_ROUNDS / 2];
}

struct beside {
	struct place *place;
	const struct long_op *op;
	atomic_bool done;
};

static void *run_beside(void *opaque)
{
	struct beside *beside = opaque;

	come_last();
	beside->op->run(beside->place);
	atomic_store(&beside->done, true);
	return NULL;
}

/* @longest: of those in which the thread slept */
struct waits {
	__u64 longest;
	unsigned long times;
	unsigned long slept;
};

static long sleeps(void)
{
	struct rusage usage;

	MUST(getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

static void wait_once(struct place *place, const struct small_op *small,
		      struct waits *waits)
{
	long before = sleeps();
	__u64 time = time_op(place, small->run);

	waits->times++;
	if (sleeps() == before)
		return;
	waits->slept++;
	if (time > waits->longest)
		waits->longest = time;
}

static struct waits beside(struct place *place, const struct long_op *op,
			   const struct small_op *small)
{
	struct beside beside = { .place = place, .op = op };
	struct waits waits = {};
	pthread_t thread;

	op->prepare(place);
	MUST(pthread_create(&thread, NULL, run_beside, &beside));
	for (;;) {
		let_others_run();
		if (atomic_load(&beside.done))
			break;
		wait_once(place, small, &waits);
	}
	MUST(pthread_join(thread, NULL));
	op->undo(place);
	return waits;
}

static void *map_parked(void *opaque)
{
	struct place *place = opaque;

	MUST(map_at(place->fd, place->ioas, (uintptr_t)place->parked,
		    page_bytes(), BULK_IOVA));
	return NULL;
}

/* Beside a map that waits for a page fault. */
static struct waits beside_parked(struct place *place,
				  const struct small_op *small)
{
	struct waits waits = {};
	pthread_t thread;

	place->parked = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	place->uffd = park(place->parked);
	MUST(place->uffd < 0);
	MUST(pthread_create(&thread, NULL, map_parked, place));
	MUST(!is_parked(place->uffd));
	while (waits.times != PARKED_ROUNDS) {
		let_others_run();
		wait_once(place, small, &waits);
	}
	MUST(unpark(place->uffd, place->parked));
	MUST(pthread_join(thread, NULL));
	MUST(unmap(place->fd, place->ioas, BULK_IOVA, page_bytes(), NULL));
	close(place->uffd);
	munmap(place->parked, page_bytes());
	return waits;
}

static void print_wait(const char *name, const struct small_op *small, __u64 own,
		       struct waits waits)
{
	printf("wait: %s %s %lu %lu %llu %llu\n", name, small->name, waits.times,
	       waits.slept, own, waits.longest);
	fflush(stdout);
}

static void print_waits(struct place *place, const struct small_op *small)
{
	__u64 own = alone(place, small->run);
	size_t i;

	for (i = 0; i < sizeof(long_ops) / sizeof(long_ops[0]); i++)
		print_wait(long_ops[i].name, small, own,
			   beside(place, &long_ops[i], small));
	print_wait("parked_map", small, own, beside_parked(place, small));
}

static void make_place(struct place *place)
{
	place->fd = open_iommu();
	MUST(reset_switches(place->fd));
	place->bulk = (uintptr_t)small_pages(BULK);
	place->page = (uintptr_t)small_pages(page_bytes());
	MUST(ioas_alloc(place->fd, &place->ioas));
	MUST(ioas_alloc(place->fd, &place->copied));
	MUST(mock_device(place->fd, place->ioas, &place->mock));
	MUST(hwpt_alloc(place->fd, IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
			place->mock.idev, place->ioas, &place->hwpt));
	MUST(set_dirty(place->fd, place->hwpt, IOMMU_HWPT_DIRTY_TRACKING_ENABLE));
	MUST(map_at(place->fd, place->copied, place->bulk, BULK, BULK_IOVA));
	MUST(map_at(place->fd, place->copied, place->page, page_bytes(),
		    COPIED_IOVA));
	MUST(map_at(place->fd, place->ioas, place->page, page_bytes(), SMALL_IOVA));
	MUST(create_access(place->fd, place->ioas, PINS, &place->access));
	MUST(create_access(place->fd, place->ioas, PINS, &place->other_access));
}

int main(void)
{
	struct place place = {};
	size_t i;

	make_place(&place);
	come_first();
	for (i = 0; i < sizeof(small_ops) / sizeof(small_ops[0]); i++)
		print_waits(&place, &small_ops[i]);
	return 0;
}
