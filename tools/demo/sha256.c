// SPDX-License-Identifier: GPL-2.0-only
/* SHA-256 as in FIPS 180-4. */
#include <stdio.h>
#include <string.h>

#include "sha256.h"

static const uint32_t round_constant[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned int bits)
{
	return x >> bits | x << (32 - bits);
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void expand(const uint8_t *block, uint32_t w[64])
{
	int i;

	for (i = 0; i < 16; i++)
		w[i] = big_endian(block + 4 * i);
	for (; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
		       (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
}

static void compress(uint32_t state[8], const uint8_t *block)
{
	uint32_t v[8], w[64];
	int i;

	expand(block, w);
	memcpy(v, state, sizeof(v));
	for (i = 0; i < 64; i++) {
		uint32_t a = v[0], e = v[4];
		uint32_t t1 = v[7] + round_constant[i] + w[i] +
			(rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			((e & v[5]) ^ (~e & v[6]));
		uint32_t t2 =
			(rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		state[i] += v[i];
}

void sha256_init(struct sha256 *ctx)
{
	*ctx = (struct sha256){
		.state = {
			0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
		},
	};
}

void sha256_update(struct sha256 *ctx, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes) {
		size_t have = ctx->total_bytes % SHA256_BLOCK;
		size_t n = SHA256_BLOCK - have;

		if (n > bytes)
			n = bytes;
		if (n == SHA256_BLOCK) {
			compress(ctx->state, p);
		} else {
			memcpy(ctx->partial + have, p, n);
			if (have + n == SHA256_BLOCK)
				compress(ctx->state, ctx->partial);
		}
		ctx->total_bytes += n;
		p += n;
		bytes -= n;
	}
}

void sha256_final_hex(struct sha256 *ctx, char hex[2 * SHA256_BYTES + 1])
{
	static const uint8_t padding[SHA256_BLOCK] = { 0x80 };
	uint64_t bits = ctx->total_bytes * 8;
	size_t have = ctx->total_bytes % SHA256_BLOCK;
	uint8_t length[8];
	int i;

	for (i = 0; i < 8; i++)
		length[i] = bits >> (56 - 8 * i);
	/* The padding leaves room for the length at the end of a block. */
	sha256_update(ctx, padding,
		      have < 56 ? 56 - have : 120 - have);
	sha256_update(ctx, length, sizeof(length));
	for (i = 0; i < 8; i++)
		sprintf(hex + 8 * i, "%08x", ctx->state[i]);
}
