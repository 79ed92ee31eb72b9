/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_SHA256_H
#define DEMO_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES	32
#define SHA256_BLOCK	64

struct sha256 {
	uint32_t state[8];
	uint64_t total_bytes;
	uint8_t partial[SHA256_BLOCK];	/* total_bytes % SHA256_BLOCK of it */
};

void sha256_init(struct sha256 *ctx);
void sha256_update(struct sha256 *ctx, const void *data, size_t bytes);
/* Writes 64 lower-case digits and a NUL. */
void sha256_final_hex(struct sha256 *ctx, char hex[2 * SHA256_BYTES + 1]);

#endif
