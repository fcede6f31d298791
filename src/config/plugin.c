/*
 * NVIDIA's device plugin file, walked against the table of settings; see plugin.h.
 *
 * A key is known by its path, "flags.plugin.deviceListStrategy".  It is a setting, or a part of
 * NVIDIA's schema that this version does not serve, or the way to one of them, or a mistake.
 */
#include "config/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "config/settings.h"
#include "config/yaml.h"

#define PATH_BYTES 200

/* Keys of NVIDIA's schema that are taken note of only. */
static const char *const not_served[] = {
#define X(y, l, e, v) y,
	KF_NOT_SERVED(X)
#undef X
};

#define N_NOT_SERVED (sizeof(not_served) / sizeof(not_served[0]))

struct reader {
	const struct kf_yaml *y;
	struct kf_settings *s;
	unsigned line[KF_N_SETTINGS]; /* where each was given */
	struct kf_error *err;
};

/* Calls `see` for every path that has a meaning, until it answers other than 0. */
static int each_path(int (*see)(void *with, const char *path, size_t n, int setting), void *with)
{
	unsigned i;
	int r;

	for (i = 0; i < KF_N_SETTINGS; i++) {
		const char *p = kf_setting_at(i)->yaml;

		for (; *p; p += strcspn(p, " "), p += *p == ' ') {
			r = see(with, p, strcspn(p, " "), (int)i);
			if (r)
				return r;
		}
	}
	for (i = 0; i < N_NOT_SERVED; i++) {
		const char *p = not_served[i];

		r = *p ? see(with, p, strlen(p), -1) : 0;
		if (r)
			return r;
	}
	return 0;
}

enum meaning { UNKNOWN, SETTING, NOT_SERVED, ON_THE_WAY };

struct question {
	const char *path;
	enum meaning answer;
	int setting;
};

static int compare(void *with, const char *path, size_t n, int setting)
{
	struct question *q = with;
	size_t len = strlen(q->path);

	if (len == n && !memcmp(q->path, path, n)) {
		q->answer = setting >= 0 ? SETTING : NOT_SERVED;
		q->setting = setting;
		return 1;
	}
	if (len < n && !memcmp(q->path, path, len) && path[len] == '.')
		q->answer = ON_THE_WAY;
	return 0;
}

/* The keys that may stand where a wrong one does, for a suggestion. */
struct siblings {
	const char *prefix; /* "flags.", or "" */
	const char *wrong;
	unsigned best_off;
	char best[64];
};

static int suggest(void *with, const char *path, size_t n, int setting)
{
	struct siblings *s = with;
	size_t skip = strlen(s->prefix), len;
	char key[64];
	unsigned off;

	if (n <= skip || memcmp(path, s->prefix, skip) != 0)
		return 0;
	len = strcspn(path + skip, ". ");
	if (len >= sizeof(key))
		return 0;
	memcpy(key, path + skip, len);
	key[len] = '\0';
	off = kf_distance(s->wrong, key);
	if (off < s->best_off) {
		s->best_off = off;
		memcpy(s->best, key, len + 1);
	}
	return 0;
}

static int refuse_key(struct reader *r, const struct kf_yaml_node *node, const char *prefix)
{
	struct siblings s = {.prefix = prefix,
			     .wrong = node->key,
			     .best_off = (unsigned)strlen(node->key) / 3 + 2};

	each_path(suggest, &s);
	return kf_yaml_fail(r->y, node, r->err,
			    s.best[0] ? "unknown key; did you mean %s?" : "unknown key", s.best);
}

/* A list or one word, as words apart by commas. */
static int value_text(struct reader *r, const struct kf_yaml_node *node, struct kf_text *out)
{
	const char *s;

	if (node->kind != KF_YAML_LIST) {
		if (kf_yaml_string(r->y, node, &s, r->err) < 0)
			return -1;
		kf_text_add(out, s);
		return 0;
	}
	for (kf_yaml_each(one, node)) {
		if (kf_yaml_string(r->y, one, &s, r->err) < 0)
			return -1;
		kf_text_addf(out, "%s%s", one == node->first ? "" : ",", s);
	}
	return 0;
}

static int read_value(struct reader *r, const struct kf_yaml_node *node, enum kf_setting_index i,
		      struct kf_text *out)
{
	int on;

	if (!kf_setting_is_flag(i))
		return value_text(r, node, out);
	if (kf_yaml_bool(r->y, node, &on, r->err) < 0)
		return -1;
	kf_text_add(out, on ? "true" : "false");
	return 0;
}

static int read_setting(struct reader *r, const struct kf_yaml_node *node, enum kf_setting_index i)
{
	struct kf_text text = {0};
	kf_auto_mem char *value = NULL;

	if (r->line[i])
		return kf_yaml_fail(r->y, node, r->err, "given twice, first in line %u",
				    r->line[i]);
	r->line[i] = node->line;
	if (read_value(r, node, i, &text) < 0) {
		kf_text_done(&text);
		return -1;
	}
	value = kf_text_take(&text);
	if (!value)
		return kf_fail(r->err, KF_E_NOMEM, 0, "%s: no memory for its settings", r->y->file);
	if (kf_settings_set(r->s, i, value, KF_FROM_FILE, r->err) < 0)
		return kf_prefix(r->err, "%s:%u: %s", r->y->file, node->line, node->key);
	return 0;
}

/* A key that switches nothing on needs no note. */
static int is_off(const struct kf_yaml_node *node)
{
	if (node->kind == KF_YAML_SCALAR)
		return !node->text[0] || !strcmp(node->text, "false");
	return node->n == 0;
}

static int walk(struct reader *r, const struct kf_yaml_node *map, const char *prefix);

static int read_key(struct reader *r, const struct kf_yaml_node *node, const char *prefix)
{
	char path[PATH_BYTES], below[PATH_BYTES + 1];
	struct question q = {.path = path};

	if ((size_t)snprintf(path, sizeof(path), "%s%s", prefix, node->key) >= sizeof(path))
		return kf_yaml_fail(r->y, node, r->err, "unknown key");
	each_path(compare, &q);
	if (q.answer == UNKNOWN)
		return refuse_key(r, node, prefix);
	if (node->kind == KF_YAML_NULL)
		return 0;
	if (q.answer == SETTING)
		return read_setting(r, node, (unsigned)q.setting);
	if (q.answer == ON_THE_WAY) {
		snprintf(below, sizeof(below), "%s.", path);
		return walk(r, node, below);
	}
	if (!is_off(node) &&
	    kf_settings_note(r->s, "%s:%u: %s: not served by this version, passed over", r->y->file,
			     node->line, path) < 0)
		return kf_fail(r->err, KF_E_NOMEM, 0, "%s: no memory for its settings", r->y->file);
	return 0;
}

static int walk(struct reader *r, const struct kf_yaml_node *map, const char *prefix)
{
	if (kf_yaml_is(r->y, map, KF_YAML_MAP, r->err) < 0)
		return -1;
	for (kf_yaml_each(node, map)) {
		if (!*prefix && !strcmp(node->key, "version"))
			continue;
		if (read_key(r, node, prefix) < 0)
			return -1;
	}
	return 0;
}

/* An empty version counts as v1, as with NVIDIA's. */
static int check_version(struct reader *r)
{
	const struct kf_yaml_node *version = kf_yaml_get(r->y->root, "version");
	const char *v;

	if (!version || version->kind == KF_YAML_NULL)
		return 0;
	if (kf_yaml_string(r->y, version, &v, r->err) < 0)
		return -1;
	if (*v && strcmp(v, "v1") != 0)
		return kf_yaml_fail(r->y, version, r->err, "'%.60s' is unknown; this reads v1", v);
	return 0;
}

static int from_tree(const struct kf_yaml *y, struct kf_settings *s, struct kf_error *err)
{
	struct reader r = {.y = y, .s = s, .err = err};

	return check_version(&r) < 0 ? -1 : walk(&r, y->root, "");
}

int kf_plugin_config_load(const char *path, struct kf_settings *s, struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_load(path, KF_YAML_BYTES, &y, err) < 0)
		return -1;
	return from_tree(y, s, err);
}

int kf_plugin_config_parse(const char *bytes, size_t n, const char *name, struct kf_settings *s,
			   struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_parse(bytes, n, name, &y, err) < 0)
		return -1;
	return from_tree(y, s, err);
}
