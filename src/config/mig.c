/* Reading mig-parted's files; see mig.h. */
#include "config/mig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/mig-file.h"
#include "config/yaml.h"

#define MAX_COUNT ((uint64_t)KF_MAX_INSTANCES * KF_MAX_CIS)

/* What every function here needs. */
struct reader {
	const struct kf_yaml *y;
	struct kf_error *err;
};

static int no_memory(struct reader *r)
{
	return kf_fail(r->err, KF_E_NOMEM, 0, "%s: no memory for its configurations", r->y->file);
}

/* "0x20B010DE" up to `end`; 0 or -1. */
static int parse_id(const char *s, const char *end, uint32_t *ret)
{
	uint32_t v = 0;
	size_t n = (size_t)(end - s);

	if (n < 3 || n > 10 || s[0] != '0' || (s[1] != 'x' && s[1] != 'X'))
		return -1;
	for (s += 2; s < end; s++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = strchr(digits, *s >= 'A' && *s <= 'F' ? *s + 32 : *s);

		if (!d)
			return -1;
		v = v << 4 | (uint32_t)(d - digits);
	}
	*ret = v;
	return 0;
}

static int read_filter(struct reader *r, const struct kf_yaml_node *node, struct kf_mig_entry *e)
{
	struct kf_mig_filter f = {0};
	const char *s, *colon;

	if (kf_yaml_string(r->y, node, &s, r->err) < 0)
		return -1;
	colon = strchr(s, ':');
	if (parse_id(s, colon ? colon : s + strlen(s), &f.device) < 0 ||
	    (colon && parse_id(colon + 1, colon + strlen(colon), &f.subsystem) < 0))
		return kf_yaml_fail(r->y, node, r->err,
				    "'%.60s' is no device filter; one reads 0xDDDDVVVV or "
				    "0xDDDDVVVV:0xSSSSWWWW, as in 0x20B010DE",
				    s);
	if ((f.device & 0xffff) != 0x10DE)
		return kf_yaml_fail(r->y, node, r->err,
				    "'%.60s' matches nothing: its low half is the vendor, "
				    "which for NVIDIA is 10DE",
				    s);
	f.has_subsystem = colon != NULL;
	if (kf_grow(&e->filter, &e->filters_room, e->n_filters + 1, sizeof(f)) < 0)
		return no_memory(r);
	e->filter[e->n_filters++] = f;
	return 0;
}

static int read_filters(struct reader *r, const struct kf_yaml_node *node, struct kf_mig_entry *e)
{
	if (!node || node->kind == KF_YAML_NULL)
		return 0;
	if (node->kind != KF_YAML_LIST)
		return read_filter(r, node, e);
	if (node->n == 0)
		return kf_yaml_fail(r->y, node, r->err, "an empty list matches nothing");
	for (kf_yaml_each(one, node))
		if (read_filter(r, one, e) < 0)
			return -1;
	return 0;
}

static int read_devices(struct reader *r, const struct kf_yaml_node *node, struct kf_mig_entry *e)
{
	if (node->kind == KF_YAML_SCALAR && !strcmp(node->text, "all")) {
		e->all = 1;
		return 0;
	}
	if (node->kind != KF_YAML_LIST || node->n == 0)
		return kf_yaml_fail(r->y, node, r->err,
				    "wants `all` or a list of GPU indices, as in [0, 1]");
	for (kf_yaml_each(one, node)) {
		uint64_t index;

		if (kf_yaml_uint(r->y, one, 1023, &index, r->err) < 0)
			return -1;
		if (kf_grow(&e->device, &e->devices_room, e->n_devices + 1, sizeof(*e->device)) < 0)
			return no_memory(r);
		e->device[e->n_devices++] = (unsigned)index;
	}
	return 0;
}

static int read_count(struct reader *r, const struct kf_yaml_node *node, struct kf_mig_entry *e)
{
	struct kf_mig_count c = {.line = node->line};
	uint64_t count;

	if (kf_profile_name_parse(node->key, &c.name) < 0 || strlen(node->key) >= sizeof(c.text))
		return kf_yaml_fail(r->y, node, r->err,
				    "this is no MIG profile; one reads 1g.5gb, 1g.5gb+me or "
				    "1c.3g.20gb");
	if (c.name.c > c.name.g)
		return kf_yaml_fail(r->y, node, r->err, "%uc does not fit into %ug", c.name.c,
				    c.name.g);
	if (kf_yaml_uint(r->y, node, MAX_COUNT, &count, r->err) < 0)
		return -1;
	snprintf(c.text, sizeof(c.text), "%s", node->key);
	c.count = (unsigned)count;
	if (kf_grow(&e->count, &e->counts_room, e->n_counts + 1, sizeof(c)) < 0)
		return no_memory(r);
	e->count[e->n_counts++] = c;
	return 0;
}

static int read_counts(struct reader *r, const struct kf_yaml_node *node, struct kf_mig_entry *e)
{
	unsigned i, sum = 0;

	if (!e->mig_enabled) {
		if (node && (node->kind != KF_YAML_MAP || node->n > 0) &&
		    node->kind != KF_YAML_NULL)
			return kf_yaml_fail(r->y, node, r->err,
					    "must be empty where mig-enabled is false");
		return 0;
	}
	if (kf_yaml_is(r->y, node, KF_YAML_MAP, r->err) < 0)
		return -1;
	for (kf_yaml_each(one, node))
		if (read_count(r, one, e) < 0)
			return -1;
	for (i = 0; i < e->n_counts; i++)
		sum += e->count[i].count;
	if (e->n_counts > 0 && sum == 0)
		return kf_yaml_fail(r->y, node, r->err,
				    "every count is 0; write {} for MIG without devices");
	return 0;
}

static int require(struct reader *r, const struct kf_yaml_node *map, const char *key,
		   const struct kf_yaml_node **ret)
{
	*ret = kf_yaml_get(map, key);
	if (!*ret)
		return kf_yaml_fail(r->y, map, r->err, "%s is missing", key);
	return 0;
}

static int read_entry(struct reader *r, const struct kf_yaml_node *map, struct kf_mig_entry *e)
{
	static const char *const known[] = {"device-filter", "devices", "mig-enabled",
					    "mig-devices", NULL};
	const struct kf_yaml_node *devices, *enabled, *counts = kf_yaml_get(map, "mig-devices");

	e->line = map->line;
	if (kf_yaml_is(r->y, map, KF_YAML_MAP, r->err) < 0 ||
	    kf_yaml_known(r->y, map, known, r->err) < 0 ||
	    require(r, map, "devices", &devices) < 0 ||
	    require(r, map, "mig-enabled", &enabled) < 0 ||
	    read_filters(r, kf_yaml_get(map, "device-filter"), e) < 0 ||
	    read_devices(r, devices, e) < 0 ||
	    kf_yaml_bool(r->y, enabled, &e->mig_enabled, r->err) < 0)
		return -1;
	if (e->mig_enabled && !counts)
		return kf_yaml_fail(r->y, map, r->err,
				    "mig-devices is missing; write {} for MIG without devices");
	return read_counts(r, counts, e);
}

static int read_config(struct reader *r, const struct kf_yaml_node *list, struct kf_mig_configs *c)
{
	struct kf_mig_config *config;

	if (strlen(list->key) >= sizeof(config->name))
		return kf_yaml_fail(r->y, list, r->err,
				    "the name is too long; a label holds 63 characters");
	if (kf_yaml_is(r->y, list, KF_YAML_LIST, r->err) < 0)
		return -1;
	if (list->n == 0)
		return kf_yaml_fail(r->y, list, r->err, "holds no entry");
	if (kf_grow(&c->config, &c->room, c->n + 1, sizeof(*config)) < 0)
		return no_memory(r);
	config = &c->config[c->n++];
	snprintf(config->name, sizeof(config->name), "%s", list->key);
	config->line = list->line;
	for (kf_yaml_each(entry, list)) {
		if (kf_grow(&config->entry, &config->entries_room, config->n_entries + 1,
			    sizeof(*config->entry)) < 0)
			return no_memory(r);
		if (read_entry(r, entry, &config->entry[config->n_entries++]) < 0)
			return -1;
	}
	return 0;
}

static int read_file(struct reader *r, struct kf_mig_configs *c)
{
	static const char *const known[] = {"version", "mig-configs", NULL};
	const struct kf_yaml_node *root = r->y->root, *version, *configs;
	const char *v;

	if (kf_yaml_is(r->y, root, KF_YAML_MAP, r->err) < 0 ||
	    kf_yaml_known(r->y, root, known, r->err) < 0 ||
	    require(r, root, "version", &version) < 0 ||
	    require(r, root, "mig-configs", &configs) < 0 ||
	    kf_yaml_string(r->y, version, &v, r->err) < 0)
		return -1;
	if (strcmp(v, "v1") != 0)
		return kf_yaml_fail(r->y, version, r->err, "'%.60s' is unknown; this reads v1", v);
	if (kf_yaml_is(r->y, configs, KF_YAML_MAP, r->err) < 0)
		return -1;
	if (configs->n == 0)
		return kf_yaml_fail(r->y, configs, r->err, "holds no configuration");
	for (kf_yaml_each(list, configs))
		if (read_config(r, list, c) < 0)
			return -1;
	return 0;
}

static int from_tree(const struct kf_yaml *y, struct kf_mig_configs **ret, struct kf_error *err)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = kf_calloc(1, sizeof(*c));
	struct reader r = {.y = y, .err = err};

	if (!c || !(c->file = kf_strdup(y->file)))
		return no_memory(&r);
	if (read_file(&r, c) < 0)
		return -1;
	*ret = kf_take(c);
	return 0;
}

int kf_mig_configs_load(const char *path, struct kf_mig_configs **ret, struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_load(path, KF_YAML_BYTES, &y, err) < 0)
		return -1;
	return from_tree(y, ret, err);
}

int kf_mig_configs_parse(const char *bytes, size_t n, const char *name, struct kf_mig_configs **ret,
			 struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_parse(bytes, n, name, &y, err) < 0)
		return -1;
	return from_tree(y, ret, err);
}

int kf_mig_configs_builtin(struct kf_mig_configs **ret, struct kf_error *err)
{
	struct kf_mig_configs *c = NULL;
	int r = kf_mig_configs_parse(kf_default_mig, kf_default_mig_size, "built-in", &c, err);

	if (r < 0 || !c)
		return -1;
	c->builtin = 1;
	*ret = c;
	return 0;
}

static void entry_done(struct kf_mig_entry *e)
{
	free(e->filter);
	free(e->device);
	free(e->count);
}

struct kf_mig_configs *kf_mig_configs_free(struct kf_mig_configs *c)
{
	unsigned i, j;

	if (!c)
		return NULL;
	for (i = 0; i < c->n; i++) {
		for (j = 0; j < c->config[i].n_entries; j++)
			entry_done(&c->config[i].entry[j]);
		free(c->config[i].entry);
	}
	free(c->config);
	free(c->file);
	free(c);
	return NULL;
}

void kf_mig_configs_locate(const struct kf_mig_configs *c, struct kf_error *err)
{
	if (err->code == KF_E_INPUT && err->detail > 0 && !c->builtin)
		kf_prefix(err, "%s:%d", c->file, err->detail);
}

size_t kf_mig_configs_count(const struct kf_mig_configs *c)
{
	return c->n;
}

const char *kf_mig_configs_name(const struct kf_mig_configs *c, size_t i)
{
	return i < c->n ? c->config[i].name : NULL;
}

const struct kf_mig_config *kf_mig_configs_find(const struct kf_mig_configs *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (!strcmp(c->config[i].name, name))
			return &c->config[i];
	return NULL;
}

int kf_mig_configs_has(const struct kf_mig_configs *c, const char *name)
{
	struct kf_profile_name profile;

	if (kf_mig_configs_find(c, name))
		return 1;
	return c->builtin && !strncmp(name, "all-", 4) &&
	       kf_profile_name_parse(name + 4, &profile) == 0 && profile.c == 0;
}
