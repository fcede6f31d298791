/* Shapes of the MIG-capable products; see shapes.h. */
#include "shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of `nvidia-smi mig -lgip` and `-lgipp`; columns as in the reference. */
struct row {
	const char *name;
	unsigned constant, id, slices, sm;
	uint64_t mib;
	unsigned copy, dec, enc, jpg, ofa, max, size;
	uint32_t starts;
};

struct product {
	const char *name;
	uint64_t total_mib;
	unsigned units, slices;
	struct row row[12];
};

#define AT(s)	   (1u << (s))
#define AT_0_TO_6  0x7F
#define AT_0_2_4_6 (AT(0) | AT(2) | AT(4) | AT(6))
#define AT_0_2_4   (AT(0) | AT(2) | AT(4))
#define AT_0_4	   (AT(0) | AT(4))

/* clang-format off */
static const struct product products[] = {
	{"a100-40", 40960, 8, 7, {
		{"1g.5gb",     0, 19, 1,  14,  4864, 1, 0, 0, 0, 0, 7, 1, AT_0_TO_6},
		{"2g.10gb",    1, 14, 2,  28,  9856, 2, 1, 0, 0, 0, 3, 2, AT_0_2_4},
		{"3g.20gb",    2,  9, 3,  42, 19968, 3, 2, 0, 0, 0, 2, 4, AT_0_4},
		{"4g.20gb",    3,  5, 4,  56, 19968, 4, 2, 0, 0, 0, 1, 4, AT(0)},
		{"7g.40gb",    4,  0, 7,  98, 40192, 7, 5, 0, 1, 1, 1, 8, AT(0)},
		{"1g.5gb+me",  7, 20, 1,  14,  4864, 1, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.10gb",    9, 15, 1,  14,  9856, 1, 1, 0, 0, 0, 4, 2, AT_0_2_4_6},
	}},
	{"a100-80", 81920, 8, 7, {
		{"1g.10gb",    0, 19, 1,  14,  9728, 1, 0, 0, 0, 0, 7, 1, AT_0_TO_6},
		{"2g.20gb",    1, 14, 2,  28, 19968, 2, 1, 0, 0, 0, 3, 2, AT_0_2_4},
		{"3g.40gb",    2,  9, 3,  42, 40192, 3, 2, 0, 0, 0, 2, 4, AT_0_4},
		{"4g.40gb",    3,  5, 4,  56, 40192, 4, 2, 0, 0, 0, 1, 4, AT(0)},
		{"7g.80gb",    4,  0, 7,  98, 80896, 7, 5, 0, 1, 1, 1, 8, AT(0)},
		{"1g.10gb+me", 7, 20, 1,  14,  9728, 1, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.20gb",    9, 15, 1,  14, 19968, 1, 1, 0, 0, 0, 4, 2, AT_0_2_4_6},
	}},
	{"a30", 24576, 4, 4, {
		{"1g.6gb",     0, 14, 1,  14,  5952, 1, 0, 0, 0, 0, 4, 1, 0xF},
		{"2g.12gb",    1,  5, 2,  28, 11968, 2, 2, 0, 0, 0, 2, 2, AT(0) | AT(2)},
		{"4g.24gb",    3,  0, 4,  56, 24000, 4, 4, 0, 1, 1, 1, 4, AT(0)},
		{"1g.6gb+me",  7, 21, 1,  14,  5952, 1, 1, 0, 1, 1, 1, 1, 0xF},
		{"2g.12gb+me", 8,  6, 2,  28, 11968, 2, 2, 0, 1, 1, 1, 2, AT(0) | AT(2)},
	}},
	{"h100-80", 81559, 8, 7, {
		{"1g.10gb",    0, 19, 1,  16,  9984, 1, 1, 0, 1, 0, 7, 1, AT_0_TO_6},
		{"2g.20gb",    1, 14, 2,  32, 20096, 2, 2, 0, 2, 0, 3, 2, AT_0_2_4},
		{"3g.40gb",    2,  9, 3,  60, 40448, 3, 3, 0, 3, 0, 2, 4, AT_0_4},
		{"4g.40gb",    3,  5, 4,  64, 40448, 4, 4, 0, 4, 0, 1, 4, AT(0)},
		{"7g.80gb",    4,  0, 7, 132, 81152, 8, 7, 0, 7, 1, 1, 8, AT(0)},
		{"1g.10gb+me", 7, 20, 1,  16,  9984, 1, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.20gb",    9, 15, 1,  26, 20096, 1, 1, 0, 1, 0, 4, 2, AT_0_2_4_6},
	}},
	{"h100-94", 95830, 8, 7, {
		{"1g.12gb",    0, 19, 1,  16, 11008, 1, 1, 0, 1, 0, 7, 1, AT_0_TO_6},
		{"2g.24gb",    1, 14, 2,  32, 22144, 2, 2, 0, 2, 0, 3, 2, AT_0_2_4},
		{"3g.47gb",    2,  9, 3,  60, 47488, 3, 3, 0, 3, 0, 2, 4, AT_0_4},
		{"4g.47gb",    3,  5, 4,  64, 47488, 4, 4, 0, 4, 0, 1, 4, AT(0)},
		{"7g.94gb",    4,  0, 7, 132, 95360, 8, 7, 0, 7, 1, 1, 8, AT(0)},
		{"1g.12gb+me", 7, 20, 1,  16, 11008, 1, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.24gb",    9, 15, 1,  26, 22144, 1, 1, 0, 1, 0, 4, 2, AT_0_2_4_6},
	}},
	{"h200", 143771, 8, 7, {
		{"1g.18gb",    0, 19, 1,  16,  16384, 1, 1, 0, 1, 0, 7, 1, AT_0_TO_6},
		{"2g.35gb",    1, 14, 2,  32,  33280, 2, 2, 0, 2, 0, 3, 2, AT_0_2_4},
		{"3g.71gb",    2,  9, 3,  60,  71424, 3, 3, 0, 3, 0, 2, 4, AT_0_4},
		{"4g.71gb",    3,  5, 4,  64,  71424, 4, 4, 0, 4, 0, 1, 4, AT(0)},
		{"7g.141gb",   4,  0, 7, 132, 143360, 8, 7, 0, 7, 1, 1, 8, AT(0)},
		{"1g.18gb+me", 7, 20, 1,  16,  16384, 1, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.35gb",    9, 15, 1,  26,  33280, 1, 1, 0, 1, 0, 4, 2, AT_0_2_4_6},
	}},
	{"b200", 183359, 8, 7, {
		{"1g.23gb",    0, 19, 1,  18,  22528,  2, 1, 0, 1, 0, 7, 1, AT_0_TO_6},
		{"2g.45gb",    1, 14, 2,  36,  45312,  4, 2, 0, 2, 0, 3, 2, AT_0_2_4},
		{"3g.90gb",    2,  9, 3,  70,  91136,  6, 3, 0, 3, 0, 2, 4, AT_0_4},
		{"4g.90gb",    3,  5, 4,  72,  91136,  8, 4, 0, 4, 0, 1, 4, AT(0)},
		{"7g.180gb",   4,  0, 7, 148, 182272, 16, 7, 0, 7, 1, 1, 8, AT(0)},
		{"1g.23gb+me", 7, 20, 1,  18,  22528,  2, 1, 0, 1, 1, 1, 1, AT_0_TO_6},
		{"1g.45gb",    9, 15, 1,  30,  45312,  2, 1, 0, 1, 0, 4, 2, AT_0_2_4_6},
	}},
	{"rtx6000", 97887, 12, 4, {
		{"1g.24gb",        0, 14, 1,  46, 24192, 1, 1, 1, 1, 0, 4,  3, 0x249},
		{"2g.48gb",        1,  5, 2,  94, 48512, 2, 2, 2, 2, 0, 2,  6, AT(0) | AT(6)},
		{"4g.96gb",        3,  0, 4, 188, 97280, 4, 4, 4, 4, 1, 1, 12, AT(0)},
		{"1g.24gb+me",     7, 21, 1,  46, 24192, 1, 1, 1, 1, 1, 1,  3, 0x249},
		{"1g.24gb+gfx",   10, 47, 1,  46, 24192, 1, 1, 1, 1, 0, 4,  3, 0x249},
		{"2g.48gb+gfx",   11, 35, 2,  94, 48512, 2, 2, 2, 2, 0, 2,  6, AT(0) | AT(6)},
		{"4g.96gb+gfx",   12, 32, 4, 188, 97280, 4, 4, 4, 4, 1, 1, 12, AT(0)},
		{"1g.24gb-me",    13, 67, 1,  46, 24192, 1, 0, 0, 0, 0, 4,  3, 0x249},
		{"2g.48gb-me",    14, 66, 2,  94, 48512, 2, 0, 0, 0, 0, 2,  6, AT(0) | AT(6)},
		{"1g.24gb+me.all", 15, 65, 1, 46, 24192, 1, 4, 4, 4, 1, 1,  3, 0x249},
		{"2g.48gb+me.all", 16, 64, 2, 94, 48512, 2, 4, 4, 4, 1, 1,  6, AT(0) | AT(6)},
	}},
};
/* clang-format on */

#define N_PRODUCTS (sizeof(products) / sizeof(products[0]))

static void stop(const char *what, const char *name)
{
	fprintf(stderr, "tests/shapes.c: no %s '%s'\n", what, name);
	exit(1);
}

/* How many compute instances of 1, 2, 3, 4 and 7 slices go into a GPU instance (1.10). */
static const unsigned ci_slices[] = {1, 2, 3, 4, 7};
static const unsigned ci_max[8][5] = {
	[1] = {1}, [2] = {2, 1}, [3] = {3, 1, 1}, [4] = {4, 2, 0, 1}, [7] = {7, 3, 2, 1, 1},
};

static void fill_cis(struct kf_profile *p)
{
	unsigned i;

	for (i = 0; i < 5; i++)
		if (ci_max[p->slices][i])
			p->ci[p->n_ci++] = (struct kf_ci_profile){
				.constant = i,
				.id = i,
				.slices = ci_slices[i],
				.max = ci_max[p->slices][i],
				.sm = p->sm * ci_slices[i] / p->slices,
			};
}

static void fill_profile(struct kf_profile *p, const struct row *row)
{
	const char *gb = strstr(row->name, "gb");

	snprintf(p->name, sizeof(p->name), "%s", row->name);
	snprintf(p->attr, sizeof(p->attr), "%s", gb + 2);
	p->constant = row->constant;
	p->id = row->id;
	p->slices = row->slices;
	p->gb = (unsigned)atoi(strchr(row->name, '.') + 1);
	p->memory_mib = row->mib;
	p->sm = row->sm;
	p->copy = row->copy;
	p->engine[KF_ENGINE_DEC] = row->dec;
	p->engine[KF_ENGINE_ENC] = row->enc;
	p->engine[KF_ENGINE_JPG] = row->jpg;
	p->engine[KF_ENGINE_OFA] = row->ofa;
	p->max = row->max;
	p->size = row->size;
	p->starts = row->starts;
	fill_cis(p);
}

static void fill(struct shape_entry *entry, const struct product *product)
{
	struct kf_shape *shape = &entry->shape;
	const struct row *row;
	unsigned e;

	entry->product = product->name;
	entry->total_mib = product->total_mib;
	shape->units = product->units;
	shape->slices = product->slices;
	for (row = product->row; row < product->row + 12 && row->name; row++) {
		struct kf_profile *p = &shape->profile[shape->n++];

		fill_profile(p, row);
		if (p->slices == product->slices && !p->attr[0])
			for (e = 0; e < KF_N_ENGINES; e++)
				shape->engine[e] = p->engine[e];
	}
}

const struct shape_entry *shape_at(unsigned i)
{
	static struct shape_entry entry[N_PRODUCTS];

	if (i >= N_PRODUCTS)
		return NULL;
	if (!entry[i].product)
		fill(&entry[i], &products[i]);
	return &entry[i];
}

const struct shape_entry *shape_of(const char *product)
{
	unsigned i;

	for (i = 0; i < N_PRODUCTS; i++)
		if (!strcmp(products[i].name, product))
			return shape_at(i);
	stop("product", product);
	return NULL;
}

/* "1g" and "1g+me" are the one with the least memory; "1g2" is the double-memory one. */
static int is_named(const struct kf_shape *shape, const struct kf_profile *p, const char *name)
{
	char plain[KF_PROFILE_NAME];
	int is_double = p->slices == 1 && p->gb > shape->profile[0].gb;

	snprintf(plain, sizeof(plain), "%ug%s%s", p->slices, is_double ? "2" : "", p->attr);
	return !strcmp(plain, name);
}

void shape_subset(const struct kf_shape *shape, const char *names, struct kf_shape *ret)
{
	char list[128], *rest = list, *name;
	struct kf_shape subset = *shape;
	unsigned i;

	subset.n = 0;
	snprintf(list, sizeof(list), "%s", names);
	while ((name = strsep(&rest, " "))) {
		for (i = 0; i < shape->n && !is_named(shape, &shape->profile[i], name);)
			i++;
		if (i == shape->n)
			stop("profile", name);
		subset.profile[subset.n++] = shape->profile[i];
	}
	*ret = subset;
}

unsigned shape_profile(const struct kf_shape *shape, const char *name)
{
	unsigned i;

	for (i = 0; i < shape->n; i++)
		if (!strcmp(shape->profile[i].name, name))
			return i;
	stop("profile", name);
	return 0;
}
