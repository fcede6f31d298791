/* Name-based UUIDs; see uuid.h.  SHA-1 after FIPS 180-4. */
#include "core/uuid.h"

#include <stdio.h>
#include <string.h>

struct sha1 {
	uint32_t h[5];
	uint8_t block[64];
	uint64_t n; /* bytes fed */
};

static uint32_t rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

static void compress(struct sha1 *c)
{
	uint32_t w[80], v[5], f, k, t;
	unsigned i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)c->block[4 * i] << 24 | (uint32_t)c->block[4 * i + 1] << 16 |
		       (uint32_t)c->block[4 * i + 2] << 8 | c->block[4 * i + 3];
	for (; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, c->h, sizeof(v));
	for (i = 0; i < 80; i++) {
		if (i < 20) {
			f = (v[1] & v[2]) | (~v[1] & v[3]);
			k = 0x5A827999;
		} else if (i < 40) {
			f = v[1] ^ v[2] ^ v[3];
			k = 0x6ED9EBA1;
		} else if (i < 60) {
			f = (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]);
			k = 0x8F1BBCDC;
		} else {
			f = v[1] ^ v[2] ^ v[3];
			k = 0xCA62C1D6;
		}
		t = rotate(v[0], 5) + f + v[4] + k + w[i];
		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotate(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (i = 0; i < 5; i++)
		c->h[i] += v[i];
}

static void feed(struct sha1 *c, const void *data, unsigned n)
{
	const uint8_t *p = data;

	for (; n > 0; n--, p++) {
		c->block[c->n++ % 64] = *p;
		if (c->n % 64 == 0)
			compress(c);
	}
}

void kf_sim_sha1(const void *a, unsigned n_a, const void *b, unsigned n_b, uint8_t ret[20])
{
	struct sha1 c = {.h = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}};
	static const uint8_t one = 0x80, zero = 0;
	uint8_t length[8];
	uint64_t bits;
	unsigned i;

	feed(&c, a, n_a);
	feed(&c, b, n_b);
	bits = c.n * 8;
	for (i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	feed(&c, &one, 1);
	while (c.n % 64 != 56)
		feed(&c, &zero, 1);
	feed(&c, length, 8);
	for (i = 0; i < 20; i++)
		ret[i] = (uint8_t)(c.h[i / 4] >> (24 - 8 * (i % 4)));
}

void kf_sim_uuid5(const uint8_t space[16], const char *name, char ret[37])
{
	uint8_t h[20];
	unsigned i, n = 0;

	kf_sim_sha1(space, 16, name, (unsigned)strlen(name), h);
	h[6] = (uint8_t)((h[6] & 0x0F) | 0x50);
	h[8] = (uint8_t)((h[8] & 0x3F) | 0x80);
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[n++] = '-';
		snprintf(ret + n, 3, "%02x", h[i]);
		n += 2;
	}
}

static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 0;
}

void kf_sim_uuid_bytes(const char *text, uint8_t ret[16])
{
	unsigned n = 0;

	memset(ret, 0, 16);
	for (; *text && n < 32; text++) {
		if (*text == '-')
			continue;
		ret[n / 2] = (uint8_t)(ret[n / 2] << 4 | digit(*text));
		n++;
	}
}
