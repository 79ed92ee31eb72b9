/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_POPULATE_H
#define DEMO_POPULATE_H

#include <stddef.h>

/*
 * Have the kernel give pages to memory that is going to be mapped for devices, from
 * so many threads; 0: as many as the process may run on CPUs. @va and @bytes are
 * multiples of the page size.
 *
 * Clearing pages is most of what it costs to map memory that nobody has touched. A map
 * has one thread to do that; the process has more, and the pages come as they do
 * when it touches them: with its memory policy, on its CPUs, charged to its group.
 *
 * Return: 0 or a negative errno, with some of it populated.
 */
int populate(void *va, size_t bytes, unsigned int num_threads);

#endif
