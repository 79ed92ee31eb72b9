/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_COST_H
#define GUEST_COST_H

/*
 * The programs' parts that count instructions: the clock, the memory, and the
 * tests of each topic. cost.c says what a row is.
 */
#include <stddef.h>
#include <stdint.h>

#include "support.h"

#define BYTES	(1UL << 30)
#define IOVA	(4UL << 30)
#define ROUNDS	1000
#define LARGE_ROUNDS	7

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

/* Two operations that are measured in turn. */
struct duo {
	void (*make)(void *arg);
	void (*undo)(void *arg);
	void *arg;
};

void measure(struct costs *costs, const struct duo *duo, int rounds);
/* Prints `cost: MAKE_ROW VALUE` and `cost: UNDO_ROW VALUE`. */
void measure_and_print(const struct duo *duo, int rounds, const char *make,
		       const char *undo, const char *name, double divisor);
void print_cost(const char *row, double value);

/* BYTES of memory, touched. */
struct memory {
	const char *name;
	char *va;
	char *other_va;		/* touched in turn with it, or NULL */
};

struct memory thp_memory(void);
struct memory hugetlb_memory(void);
struct memory scattered_memory(void);
void free_memory(struct memory *memory);

/* cost_share.c */
void test_attach_thp(void);
void test_attach_hugetlb(void);
void test_attach_scattered(void);
void test_copy_thp(void);
void test_copy_hugetlb(void);
void test_copy_scattered(void);

/* cost_areas.c */
void test_auto_iova(void);
void test_auto_iova_holes(void);
void test_slab(void);

/* cost_access.c */
void test_access_thp(void);
void test_access_hugetlb(void);
void test_access_scattered(void);

/* cost_type1.c */
void test_type1_thp(void);
void test_type1_hugetlb(void);
void test_type1_scattered(void);

#endif
