// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "populate.h"

#define MAX_THREADS	64
/* A thread is worth its while for a huge page and more. */
#define MIN_PART_BYTES	(2UL << 20)

struct part {
	pthread_t thread;
	char *va;
	size_t bytes;
	int rc;
};

static void *populate_part(void *arg)
{
	struct part *part = arg;

	if (part->bytes && madvise(part->va, part->bytes, MADV_POPULATE_WRITE))
		part->rc = -errno;
	return NULL;
}

static unsigned int usable_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return CPU_COUNT(&cpus);
}

/* Parts begin where huge pages may, so that no two threads are after the same one. */
static size_t part_bytes(size_t bytes, unsigned int num_threads)
{
	size_t part = (bytes + num_threads - 1) / num_threads;

	return (part + MIN_PART_BYTES - 1) / MIN_PART_BYTES * MIN_PART_BYTES;
}

int populate(void *va, size_t bytes, unsigned int num_threads)
{
	struct part parts[MAX_THREADS];
	size_t step, done = 0;
	unsigned int n, i;
	int rc = 0;

	if (!num_threads)
		num_threads = usable_cpus();
	if (num_threads > MAX_THREADS)
		num_threads = MAX_THREADS;
	step = part_bytes(bytes, num_threads);
	for (n = 0; done < bytes; n++) {
		struct part *part = &parts[n];

		*part = (struct part){
			.va = (char *)va + done,
			.bytes = bytes - done < step ? bytes - done : step,
		};
		done += part->bytes;
		/* The last part is this thread's, and all if there is no other. */
		if (done == bytes ||
		    pthread_create(&part->thread, NULL, populate_part, part)) {
			part->bytes = (char *)va + bytes - part->va;
			populate_part(part);
			done = bytes;
			rc = part->rc;
			break;
		}
	}
	for (i = 0; i < n; i++) {
		pthread_join(parts[i].thread, NULL);
		rc = rc ? rc : parts[i].rc;
	}
	return rc;
}
