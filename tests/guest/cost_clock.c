// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clock that counts instructions, see cost.c, and what is read from it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cost.h"

uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* What two calls of now() count although nothing is between them. */
uint64_t clock_cost(void)
{
	uint64_t begin = now();

	for (int i = 0; i < ROUNDS - 1; i++)
		now();
	return (now() - begin) / ROUNDS;
}

void print_cost(const char *row, double value)
{
	int decimals = value >= 100 ? 0 : value >= 1 ? 3 : 5;

	printf("cost: %s %.*f\n", row, decimals, value);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Now and then the kernel does something else for millions of instructions. */
uint64_t median(uint64_t *costs, size_t num)
{
	qsort(costs, num, sizeof(*costs), compare);
	return costs[num / 2];
}

void measure(struct costs *costs, const struct duo *duo, int rounds)
{
	uint64_t overhead = clock_cost();

	for (int i = 0; i < rounds; i++) {
		uint64_t begin, made, undone;

		if (duo->prepare)
			duo->prepare(duo->arg);
		begin = now();
		duo->make(duo->arg);
		made = now();
		duo->undo(duo->arg);
		undone = now();
		costs->make[i] = made - begin - overhead;
		costs->undo[i] = undone - made - overhead;
	}
}

static void print_median(uint64_t *costs, int rounds, const char *what,
			 const char *name, double divisor)
{
	char row[64];

	snprintf(row, sizeof(row), "%s_%s", what, name);
	print_cost(row, median(costs, rounds) / divisor);
}

void measure_and_print(const struct duo *duo, int rounds, const char *make,
		       const char *undo, const char *name, double divisor)
{
	static struct costs costs;

	measure(&costs, duo, rounds);
	print_median(costs.make, rounds, make, name, divisor);
	print_median(costs.undo, rounds, undo, name, divisor);
}
