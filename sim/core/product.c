/* How a product is built, from YAML; see machine.h. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"
#include "core/machine.h"

/* A product's plain keys: where each goes, and the largest value it may have. */
#define NUMBERS(X)                                                                                 \
	X("memory-mib", memory_mib, 16u << 20)                                                     \
	X("reserved-kib", reserved_kib, 64u << 20)                                                 \
	X("bar1-mib", bar1_mib, 16u << 20)                                                         \
	X("cores", cores, 1000000)                                                                 \
	X("bus-width", bus_width, 65536)                                                           \
	X("remap-rows", remap_rows, 1000000)                                                       \
	X("idle-mw", idle_mw, 10000000)                                                            \
	X("limit-mw", limit_mw, 10000000)                                                          \
	X("least-mw", least_mw, 10000000)                                                          \
	X("most-mw", most_mw, 10000000)                                                            \
	X("nvlinks", nvlinks, 18)                                                                  \
	X("nvlink-version", nvlink_version, 99)

#define FLAGS(X)                                                                                   \
	X("fan", fan)                                                                              \
	X("gpm", gpm)                                                                              \
	X("resetless", resetless)                                                                  \
	X("mig-off-info", mig_off_info)                                                            \
	X("swap-halves", swap_halves)                                                              \
	X("retired-pages", retired)

#define TEXTS(X)                                                                                   \
	X("name", name)                                                                            \
	X("part", part)                                                                            \
	X("vbios", vbios)                                                                          \
	X("inforom", inforom)

#define NAME(key, ...) key,
static const char *const product_keys[] = {NUMBERS(NAME) FLAGS(NAME) TEXTS(NAME) "like",
					   "architecture",
					   "brand",
					   "capability",
					   "pci",
					   "subsystem",
					   "clocks",
					   "max-clocks",
					   "limits-c",
					   "pcie",
					   "units",
					   "slices",
					   "profiles",
					   NULL};

static const char *const profile_keys[] = {"constant", "id",   "name", "slices", "sm",
					   "mib",      "copy", "dec",  "enc",	 "jpg",
					   "ofa",      "max",  "size", "starts", NULL};

/* Up to this constant profiles have no attribute and no doubled memory. */
#define LAST_PLAIN 6

struct reader {
	const struct kf_yaml *y;
	struct kf_error *err;
};

struct word {
	const char *word;
	uint32_t value;
};

static const struct word architectures[] = {{"volta", 5},  {"turing", 6}, {"ampere", 7},
					    {"ada", 8},	   {"hopper", 9}, {"blackwell", 10},
					    {"rubin", 13}, {NULL, 0}};
static const struct word brands[] = {
	{"tesla", 2}, {"geforce", 5}, {"rtx", 13}, {"nvidia", 14}, {NULL, 0}};

static int number(const struct reader *r, const struct kf_yaml_node *map, const char *key,
		  uint64_t max, uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	uint64_t v;

	if (!node)
		return 0;
	if (kf_yaml_uint(r->y, node, max, &v, r->err) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int flag(const struct reader *r, const struct kf_yaml_node *map, const char *key,
		uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	int v;

	if (!node)
		return 0;
	if (kf_yaml_bool(r->y, node, &v, r->err) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int text(const struct reader *r, const struct kf_yaml_node *map, const char *key, char *out,
		size_t size)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);

	return node ? kf_yaml_copy(r->y, node, out, size, r->err) : 0;
}

static int word(const struct reader *r, const struct kf_yaml_node *map, const char *key,
		const struct word *words, uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	const char *s;

	if (!node)
		return 0;
	if (kf_yaml_string(r->y, node, &s, r->err) < 0)
		return -1;
	for (; words->word; words++)
		if (!strcmp(words->word, s)) {
			*ret = words->value;
			return 0;
		}
	return kf_yaml_fail(r->y, node, r->err, "no such word as '%s'", s);
}

/* `n` numbers in a list. */
static int numbers(const struct reader *r, const struct kf_yaml_node *map, const char *key,
		   uint64_t max, uint32_t *ret, unsigned n)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	unsigned i = 0;

	if (!node)
		return 0;
	if (kf_yaml_is(r->y, node, KF_YAML_LIST, r->err) < 0)
		return -1;
	if (node->n != n)
		return kf_yaml_fail(r->y, node, r->err, "wants %u numbers, has %u", n, node->n);
	for (kf_yaml_each(child, node)) {
		uint64_t v;

		if (kf_yaml_uint(r->y, child, max, &v, r->err) < 0)
			return -1;
		ret[i++] = (uint32_t)v;
	}
	return 0;
}

/* "2330:10DE": device and vendor. */
static int pci(const struct reader *r, const struct kf_yaml_node *map, const char *key,
	       uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	unsigned device, vendor;
	const char *s;
	int n = 0;

	if (!node)
		return 0;
	if (kf_yaml_string(r->y, node, &s, r->err) < 0)
		return -1;
	if (sscanf(s, "%4x:%4x%n", &device, &vendor, &n) != 2 || s[n])
		return kf_yaml_fail(r->y, node, r->err, "wants DEVICE:VENDOR in hex, not '%s'", s);
	*ret = device << 16 | vendor;
	return 0;
}

static int capability(const struct reader *r, const struct kf_yaml_node *map,
		      struct kf_sim_product *p)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, "capability");
	unsigned major, minor;
	const char *s;
	int n = 0;

	if (!node)
		return 0;
	if (kf_yaml_string(r->y, node, &s, r->err) < 0)
		return -1;
	if (sscanf(s, "%2u.%1u%n", &major, &minor, &n) != 2 || s[n])
		return kf_yaml_fail(r->y, node, r->err, "wants MAJOR.MINOR, not '%s'", s);
	p->cc_major = (int32_t)major;
	p->cc_minor = (int32_t)minor;
	return 0;
}

static int plain(const struct reader *r, const struct kf_yaml_node *map, struct kf_sim_product *p)
{
	uint32_t pcie[2] = {p->pcie_generation, p->pcie_width};

#define X(key, field, most)                                                                        \
	if (number(r, map, key, most, &p->field) < 0)                                              \
		return -1;
	NUMBERS(X)
#undef X
#define X(key, field)                                                                              \
	if (flag(r, map, key, &p->field) < 0)                                                      \
		return -1;
	FLAGS(X)
#undef X
#define X(key, field)                                                                              \
	if (text(r, map, key, p->field, sizeof(p->field)) < 0)                                     \
		return -1;
	TEXTS(X)
#undef X
	if (word(r, map, "architecture", architectures, &p->architecture) < 0 ||
	    word(r, map, "brand", brands, &p->brand) < 0 || capability(r, map, p) < 0 ||
	    pci(r, map, "pci", &p->pci_device) < 0 ||
	    pci(r, map, "subsystem", &p->pci_subsystem) < 0 ||
	    numbers(r, map, "clocks", 100000, p->clock_mhz, 4) < 0 ||
	    numbers(r, map, "max-clocks", 100000, p->max_clock_mhz, 4) < 0 ||
	    numbers(r, map, "limits-c", 200, p->limit_c, 4) < 0 ||
	    numbers(r, map, "pcie", 64, pcie, 2) < 0)
		return -1;
	p->pcie_generation = pcie[0];
	p->pcie_width = pcie[1];
	return 0;
}

static int starts(const struct reader *r, const struct kf_yaml_node *map, unsigned units,
		  struct kf_profile *p)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, "starts");

	if (kf_yaml_is(r->y, node ? node : map, node ? KF_YAML_LIST : KF_YAML_NULL, r->err) < 0)
		return -1;
	for (kf_yaml_each(child, node)) {
		uint64_t v;

		if (kf_yaml_uint(r->y, child, 31, &v, r->err) < 0)
			return -1;
		if (v + p->size > units)
			return kf_yaml_fail(r->y, child, r->err,
					    "starts at %u, is %u long, past the end of %u units",
					    (unsigned)v, p->size, units);
		p->starts |= 1u << v;
	}
	return 0;
}

/* "1g.5gb+me" into gb and attribute, as the driver's own names have them. */
static int profile_name(const struct reader *r, const struct kf_yaml_node *map,
			struct kf_profile *p)
{
	struct kf_profile_name name;

	if (text(r, map, "name", p->name, sizeof(p->name)) < 0)
		return -1;
	if (kf_profile_name_parse(p->name, &name) < 0 || name.c)
		return kf_yaml_fail(r->y, map, r->err, "'%s' is no name of a profile", p->name);
	p->gb = name.gb;
	memcpy(p->attr, name.attr, sizeof(p->attr));
	return 0;
}

/* Compute instances in it (nvml-mig-mps.md 1.10): 1c, 2c, 3c, 4c, 7c as far as they fit; no 3c of
 * four. */
static void fill_ci(struct kf_profile *p)
{
	static const struct {
		unsigned constant, slices;
	} kinds[] = {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 7}};
	unsigned i;

	p->n_ci = 0;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].slices > p->slices || (p->slices == 4 && kinds[i].slices == 3))
			continue;
		p->ci[p->n_ci++] = (struct kf_ci_profile){
			.constant = kinds[i].constant,
			.id = kinds[i].constant,
			.slices = kinds[i].slices,
			.max = p->slices / kinds[i].slices,
		};
	}
}

static int profile(const struct reader *r, const struct kf_yaml_node *map, struct kf_shape *shape,
		   struct kf_profile *p)
{
	uint32_t mib = 0;

	if (kf_yaml_is(r->y, map, KF_YAML_MAP, r->err) < 0 ||
	    kf_yaml_known(r->y, map, profile_keys, r->err) < 0 || profile_name(r, map, p) < 0 ||
	    number(r, map, "constant", KF_MAX_PROFILES - 1, &p->constant) < 0 ||
	    number(r, map, "id", 1000, &p->id) < 0 ||
	    number(r, map, "slices", KF_MAX_CIS, &p->slices) < 0 ||
	    number(r, map, "sm", 1000, &p->sm) < 0 || number(r, map, "mib", 16u << 20, &mib) < 0 ||
	    number(r, map, "copy", 64, &p->copy) < 0 ||
	    number(r, map, "dec", 64, &p->engine[KF_ENGINE_DEC]) < 0 ||
	    number(r, map, "enc", 64, &p->engine[KF_ENGINE_ENC]) < 0 ||
	    number(r, map, "jpg", 64, &p->engine[KF_ENGINE_JPG]) < 0 ||
	    number(r, map, "ofa", 64, &p->engine[KF_ENGINE_OFA]) < 0 ||
	    number(r, map, "max", KF_MAX_INSTANCES, &p->max) < 0 ||
	    number(r, map, "size", 31, &p->size) < 0)
		return -1;
	p->memory_mib = mib;
	if (p->slices == 0 || p->size == 0 || p->max == 0)
		return kf_yaml_fail(r->y, map, r->err, "needs slices, size and max");
	fill_ci(p);
	return starts(r, map, shape->units, p);
}

/* What the largest profile has of each engine is what the GPU has. */
static void sum_up(struct kf_shape *shape)
{
	unsigned i, e;

	memset(shape->engine, 0, sizeof(shape->engine));
	for (i = 0; i < shape->n; i++)
		for (e = 0; e < KF_N_ENGINES; e++)
			if (shape->profile[i].engine[e] > shape->engine[e])
				shape->engine[e] = shape->profile[i].engine[e];
}

/* A part of an instance has the multiprocessors of the plain instance with as many slices. */
static void fill_ci_sm(struct kf_shape *shape)
{
	unsigned i, c, k;

	for (i = 0; i < shape->n; i++) {
		struct kf_profile *p = &shape->profile[i];

		for (c = 0; c < p->n_ci; c++) {
			p->ci[c].sm = p->sm * p->ci[c].slices / p->slices;
			for (k = 0; k < shape->n; k++)
				if (shape->profile[k].slices == p->ci[c].slices &&
				    shape->profile[k].constant <= LAST_PLAIN)
					p->ci[c].sm = shape->profile[k].sm;
			if (p->ci[c].slices == p->slices)
				p->ci[c].sm = p->sm;
		}
	}
}

static int profiles(const struct reader *r, const struct kf_yaml_node *map, struct kf_shape *shape)
{
	const struct kf_yaml_node *list = kf_yaml_get(map, "profiles");

	if (number(r, map, "units", 31, &shape->units) < 0 ||
	    number(r, map, "slices", KF_MAX_CIS, &shape->slices) < 0)
		return -1;
	if (!list)
		return 0;
	if (kf_yaml_is(r->y, list, KF_YAML_LIST, r->err) < 0)
		return -1;
	shape->n = 0;
	memset(shape->profile, 0, sizeof(shape->profile));
	for (kf_yaml_each(child, list)) {
		if (shape->n == KF_MAX_PROFILES)
			return kf_yaml_fail(r->y, child, r->err, "more than %d profiles",
					    KF_MAX_PROFILES);
		if (profile(r, child, shape, &shape->profile[shape->n]) < 0)
			return -1;
		if (shape->n &&
		    shape->profile[shape->n].constant <= shape->profile[shape->n - 1].constant)
			return kf_yaml_fail(r->y, child, r->err,
					    "profiles go in the order of their constants");
		shape->n++;
	}
	sum_up(shape);
	fill_ci_sm(shape);
	return 0;
}

int kf_sim_product_parse(const struct kf_yaml *y, const struct kf_yaml_node *map, const char *id,
			 struct kf_sim_product *ret, struct kf_error *err)
{
	const struct kf_yaml_node *like = kf_yaml_get(map, "like");
	const struct reader r = {y, err};
	struct kf_sim_product p = {0};
	const char *base;

	if (kf_yaml_is(y, map, KF_YAML_MAP, err) < 0 ||
	    kf_yaml_known(y, map, product_keys, err) < 0)
		return -1;
	if (like &&
	    (kf_yaml_string(y, like, &base, err) < 0 || kf_sim_product_find(base, &p, err) < 0))
		return -1;
	if (strlen(id) >= sizeof(p.id))
		return kf_yaml_fail(y, map, err, "the product's name is too long");
	snprintf(p.id, sizeof(p.id), "%s", id);
	if (plain(&r, map, &p) < 0 || profiles(&r, map, &p.shape) < 0)
		return -1;
	if (!p.name[0] || !p.memory_mib || !p.architecture)
		return kf_yaml_fail(y, map, err, "needs name, architecture and memory-mib");
	*ret = p;
	return 0;
}

int kf_sim_product_find(const char *id, struct kf_sim_product *ret, struct kf_error *err)
{
	const struct kf_sim_file *f = kf_sim_product_files;
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	while (f->name && strcmp(f->name, id) != 0)
		f++;
	if (!f->name)
		return kf_fail(err, KF_E_INPUT, 0,
			       "no product is called '%s'; `kerf sim list` names them", id);
	if (kf_yaml_parse(f->text, strlen(f->text), f->name, &y, err) < 0)
		return -1;
	return kf_sim_product_parse(y, y->root, id, ret, err);
}
