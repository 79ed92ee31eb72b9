/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_COST_H
#define GUEST_COST_H

/*
 * The programs' parts that count instructions: the clock, the memory, the ways to
 * map it, and the tests of each topic. cost.c says what a row is.
 */
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "support.h"

#define BYTES	(1UL << 30)
#define IOVA	(4UL << 30)
#define ROUNDS	1000
#define LARGE_ROUNDS	7
#define FEW_ROUNDS	3	/* where each takes long */

/* A moment, and what two calls count although nothing is between them. */
uint64_t now(void);
uint64_t clock_cost(void);
/* Sorts them. */
uint64_t median(uint64_t *costs, size_t num);

/* What one operation costs, and what it takes to undo it. */
struct costs {
	uint64_t make[ROUNDS];
	uint64_t undo[ROUNDS];
};

/* Two operations that are measured in turn, and what is done before, or NULL. */
struct duo {
	void (*make)(void *arg);
	void (*undo)(void *arg);
	void *arg;
	void (*prepare)(void *arg);
};

void measure(struct costs *costs, const struct duo *duo, int rounds);
/* Prints `cost: MAKE_ROW VALUE` and `cost: UNDO_ROW VALUE`. */
void measure_and_print(const struct duo *duo, int rounds, const char *make,
		       const char *undo, const char *name, double divisor);
void print_cost(const char *row, double value);

/* BYTES of memory, touched unless it is to be touched by being mapped. */
struct memory {
	const char *name;
	char *va;
	char *other_va;		/* touched in turn with it, or NULL */
	int untouched;
	int rounds;		/* of a measurement */
};

/* A kind of memory. @get skips the test where there is none of it. */
struct memory_kind {
	const char *name;
	struct memory (*get)(void);
	int rounds;
};

extern const struct memory_kind memory_kinds[];		/* ends with {} */

struct memory memory_of(const struct memory_kind *kind);
/* Makes it untouched again, if it is of that kind. */
void reset_memory(const struct memory *memory);
void free_memory(struct memory *memory);
/* 64 KiB in one run, and in as many runs as pages. */
char *contiguous_64k(void);
char *scattered_64k(void);

/* cost_ways.c: who maps, and for whom. */
struct way_user {
	struct rig rig;
	struct container container;
	int floor;
};

struct way_ops {
	void (*close)(struct way_user *user);
	int (*map)(struct way_user *user, void *va, size_t bytes, uint64_t iova);
	int (*unmap)(struct way_user *user, uint64_t iova, size_t bytes);
	int (*unmap_all)(struct way_user *user);	/* or NULL */
	/* Map a page to stay, which keeps the page table around it. */
	void (*guard)(struct way_user *user, void *va, uint64_t iova);
};

struct way {
	const char *name;
	const char *prefix;	/* of its rows */
	void (*open)(struct way_user *user);
	const struct way_ops *ops;
	int (*exists)(void);	/* NULL: it does */
};

extern const struct way ways[];		/* ends with {} */

/* cost_floor.c */
int floor_open(void);
void floor_attach(int floor, enum machine_dev which);
int floor_map(int floor, void *va, size_t bytes, uint64_t iova);
int floor_unmap(int floor);
void floor_guard(int floor, uint64_t iova);
void measure_floor_share(const struct memory *memory);
void test_floor_nothing(void);

/* cost_flush.c: how often the IOTLB is flushed, -1 where nobody counts. */
int count_flushes(void (*call)(void *arg), void *arg);

/* cost_map.c */
void measure_map(const struct way *way, const struct memory *memory);
void test_map_small(const void *way);
void test_unmap_all(const void *way);

/* cost_share.c */
void measure_share(const struct memory *memory);

/* cost_areas.c */
void test_auto_iova(void);
void test_auto_iova_holes(void);
void test_slab(void);

/* cost_kill.c */
void test_kill(void);

/* cost_access.c */
void measure_access(const struct memory *memory);

#endif
