/*
 * NVIDIA's device plugin file, walked against the table of keys; see plugin.h.
 *
 * A key is known by its path, "flags.plugin.deviceListStrategy".  The walk looks at every value's
 * type and sets the settings; what has a structure of its own is read by sharing.c afterwards.
 */
#include "config/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "config/duration.h"
#include "config/findings.h"
#include "config/keys.h"
#include "config/settings.h"
#include "config/sharing.h"
#include "config/yaml.h"

#define PATH_BYTES 200

struct reader {
	const struct kf_yaml *y;
	struct kf_settings *s;
	struct kf_findings *out;
	unsigned line[KF_N_SETTINGS]; /* where each was given */
};

static void find(struct reader *r, enum kf_finding_kind kind, const struct kf_yaml_node *node,
		 const struct kf_error *err)
{
	if (err->code == KF_E_NOMEM)
		r->out->no_memory = 1;
	else
		kf_findings_add(r->out, kind, node->line, err);
}

/* --- values -------------------------------------------------------------------------------- */

/* Does YAML make something else than a string of this?  NVIDIA's reader then refuses it. */
static int is_no_text(const struct kf_yaml_node *node)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", NULL};
	size_t i;

	if (node->quoted)
		return 0;
	for (i = 0; words[i]; i++)
		if (!strcasecmp(node->text, words[i]))
			return 1;
	return strspn(node->text, "0123456789") > 0 &&
	       node->text[strspn(node->text, "0123456789.")] == '\0';
}

static int check_text(struct reader *r, const struct kf_yaml_node *node, struct kf_error *err)
{
	const char *s;

	if (kf_yaml_string(r->y, node, &s, err) < 0)
		return -1;
	if (is_no_text(node))
		return kf_yaml_fail(r->y, node, err, "wants text; put '%.60s' in quotes", s);
	return 0;
}

static int check_count(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
		       struct kf_error *err)
{
	unsigned long least = strtoul(key->choices, NULL, 10);
	unsigned long most = strtoul(strchr(key->choices, ' ') + 1, NULL, 10);
	uint64_t n;

	if (kf_yaml_uint(r->y, node, most, &n, err) < 0)
		return -1;
	if (n < least)
		return kf_yaml_fail(r->y, node, err,
				    "%llu is less than %lu; to sell devices whole, leave the entry "
				    "out",
				    (unsigned long long)n, least);
	return 0;
}

/* Is `s` one of the words? */
static int is_choice(const char *words, const char *s)
{
	size_t n = strlen(s);
	const char *w;

	for (w = words; *w; w += strcspn(w, " "), w += *w == ' ')
		if (strcspn(w, " ") == n && !memcmp(w, s, n))
			return 1;
	return 0;
}

static int check_word(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
		      struct kf_error *err)
{
	const char *s;

	if (kf_yaml_string(r->y, node, &s, err) < 0)
		return -1;
	if (is_choice(key->choices, s) || (!*s && !strcmp(key->choices, "v1")))
		return 0;
	if (!strchr(key->choices, ' '))
		return kf_yaml_fail(r->y, node, err, "'%.60s' is unknown; this reads %s", s,
				    key->choices);
	return kf_yaml_fail(r->y, node, err, "'%.60s' is none of: %s", s, key->choices);
}

static int check_words(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
		       struct kf_error *err)
{
	if (node->kind != KF_YAML_LIST)
		return check_word(r, node, key, err);
	for (kf_yaml_each(word, node))
		if (check_word(r, word, key, err) < 0)
			return -1;
	return 0;
}

static int check_duration(struct reader *r, const struct kf_yaml_node *node, struct kf_error *err)
{
	const char *s;
	uint64_t ms;

	if (kf_yaml_string(r->y, node, &s, err) < 0)
		return -1;
	if (kf_duration_parse(s, &ms) < 0)
		return kf_yaml_fail(r->y, node, err, "'%.60s' is no duration: 60s, 1m30s, infinite",
				    s);
	return 0;
}

static int check_channels(struct reader *r, const struct kf_yaml_node *node, struct kf_error *err)
{
	if (kf_yaml_is(r->y, node, KF_YAML_LIST, err) < 0)
		return -1;
	if (node->n == 0 || (node->n == 1 && node->first->kind == KF_YAML_SCALAR &&
			     !strcmp(node->first->text, "0")))
		return 0;
	return kf_yaml_fail(r->y, node, err, "wants [] or [0]: channel 0 is the only one");
}

static int check_value(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
		       struct kf_error *err)
{
	int on;

	switch (key->kind) {
	case KF_KEY_TEXT:
		return check_text(r, node, err);
	case KF_KEY_FLAG:
		return kf_yaml_bool(r->y, node, &on, err);
	case KF_KEY_COUNT:
		return check_count(r, node, key, err);
	case KF_KEY_WORD:
		return check_word(r, node, key, err);
	case KF_KEY_WORDS:
		return check_words(r, node, key, err);
	case KF_KEY_DURATION:
		return check_duration(r, node, err);
	case KF_KEY_CHANNELS:
		return check_channels(r, node, err);
	case KF_KEY_DEVICES: /* sharing.c */
	case KF_KEY_LIST:
		return 0;
	}
	return 0;
}

/* --- settings ------------------------------------------------------------------------------ */

/* A checked value as the command line would have it: a list's words apart by commas. */
static char *value_text(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key)
{
	struct kf_text text = {0};
	struct kf_error ignored;
	int on = 0;

	if (key->kind == KF_KEY_FLAG) {
		kf_yaml_bool(r->y, node, &on, &ignored);
		kf_text_add(&text, on ? "true" : "false");
	} else if (node->kind != KF_YAML_LIST) {
		kf_text_add(&text, node->text);
	} else {
		kf_text_add(&text, "");
		for (kf_yaml_each(one, node))
			kf_text_addf(&text, "%s%s", one == node->first ? "" : ",", one->text);
	}
	return kf_text_take(&text);
}

static int read_setting(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
			struct kf_error *err)
{
	unsigned i = (unsigned)key->setting;
	kf_auto_mem char *value = NULL;

	if (r->line[i])
		return kf_yaml_fail(r->y, node, err, "given twice, first in line %u", r->line[i]);
	r->line[i] = node->line;
	value = value_text(r, node, key);
	if (!value)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
	if (kf_settings_set(r->s, i, value, KF_FROM_FILE, err) < 0)
		return err->code == KF_E_NOMEM
			       ? -1
			       : kf_prefix(err, "%s:%u: %s", r->y->file, node->line, node->key);
	r->s->line[i] = node->line;
	return 0;
}

/* A key that switches nothing on needs no note. */
static int is_off(const struct kf_yaml_node *node)
{
	if (node->kind == KF_YAML_SCALAR)
		return !node->text[0] || !strcmp(node->text, "false");
	return node->n == 0;
}

static void note(struct reader *r, const struct kf_yaml_node *node, const char *path)
{
	struct kf_error err = {0};

	if (is_off(node))
		return;
	kf_fail(&err, KF_E_INPUT, 0, "%s:%u: %s: not served by this version, passed over",
		r->y->file, node->line, path);
	find(r, KF_FINDING_NOTE, node, &err);
}

static void read_value(struct reader *r, const struct kf_yaml_node *node, const struct kf_key *key,
		       const char *path)
{
	struct kf_error err = {0};

	if (check_value(r, node, key, &err) < 0 ||
	    (key->setting >= 0 && read_setting(r, node, key, &err) < 0))
		find(r, KF_FINDING_ERROR, node, &err);
	else if (key->traits & KF_KEY_NOTED)
		note(r, node, path);
}

/* --- the walk ------------------------------------------------------------------------------ */

static void walk(struct reader *r, const struct kf_yaml_node *map, const char *prefix);

struct needs {
	struct reader *r;
	const struct kf_yaml_node *entry;
	const char *prefix;
};

static int check_need(void *with, const struct kf_key *key)
{
	struct needs *n = with;
	size_t skip = strlen(n->prefix);
	const struct kf_yaml_node *value;
	struct kf_error err = {0};
	char name[64];

	if (!(key->traits & KF_KEY_NEEDED) || key->n <= skip || key->n - skip >= sizeof(name) ||
	    memcmp(key->path, n->prefix, skip) != 0)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)(key->n - skip), key->path + skip);
	value = kf_yaml_get(n->entry, name);
	if (value && value->kind != KF_YAML_NULL)
		return 0;
	kf_yaml_fail(n->r->y, n->entry, &err, "%s is missing", name);
	find(n->r, KF_FINDING_ERROR, n->entry, &err);
	return 0;
}

static void walk_list(struct reader *r, const struct kf_yaml_node *list, const char *prefix)
{
	struct kf_error err = {0};

	if (kf_yaml_is(r->y, list, KF_YAML_LIST, &err) < 0) {
		find(r, KF_FINDING_ERROR, list, &err);
		return;
	}
	for (kf_yaml_each(entry, list)) {
		struct needs needs = {.r = r, .entry = entry, .prefix = prefix};

		if (entry->kind == KF_YAML_MAP)
			kf_key_each(check_need, &needs);
		walk(r, entry, prefix);
	}
}

static void tell_unknown(struct reader *r, const struct kf_yaml_node *node, const char *prefix)
{
	struct kf_error err = {0};
	char meant[64];

	kf_key_suggest(prefix, node->key, meant);
	kf_yaml_fail(r->y, node, &err, "unknown key%s%s%s", meant[0] ? "; did you mean " : "",
		     meant, meant[0] ? "?" : "");
	find(r, KF_FINDING_UNKNOWN, node, &err);
}

static void walk_key(struct reader *r, const struct kf_yaml_node *node, const char *prefix)
{
	char path[PATH_BYTES], below[PATH_BYTES + 4];
	struct kf_key key;

	if ((size_t)snprintf(path, sizeof(path), "%s%s", prefix, node->key) >= sizeof(path)) {
		tell_unknown(r, node, prefix);
		return;
	}
	switch (kf_key_find(path, &key)) {
	case KF_KEY_UNKNOWN:
		tell_unknown(r, node, prefix);
		return;
	case KF_KEY_ON_THE_WAY:
		snprintf(below, sizeof(below), "%s.", path);
		if (node->kind != KF_YAML_NULL)
			walk(r, node, below);
		return;
	case KF_KEY_IS:
		break;
	}
	if (node->kind == KF_YAML_NULL)
		return;
	snprintf(below, sizeof(below), "%s[].", path);
	if (key.kind == KF_KEY_LIST)
		walk_list(r, node, below);
	else
		read_value(r, node, &key, path);
}

static void walk(struct reader *r, const struct kf_yaml_node *map, const char *prefix)
{
	struct kf_error err = {0};

	if (kf_yaml_is(r->y, map, KF_YAML_MAP, &err) < 0) {
		find(r, KF_FINDING_ERROR, map, &err);
		return;
	}
	for (kf_yaml_each(node, map))
		walk_key(r, node, prefix);
}

/* --- the file ------------------------------------------------------------------------------ */

static int no_memory(const struct kf_yaml *y, struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "%s: no memory for its settings", y->file);
}

static int check(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out,
		 struct kf_error *err)
{
	struct reader r = {.y = y, .s = s, .out = out};

	walk(&r, y->root, "");
	if (out->no_memory || kf_sharing_read(y, s, out) < 0)
		return no_memory(y, err);
	return 0;
}

static int from_tree(const struct kf_yaml *y, struct kf_settings *s, struct kf_error *err)
{
	kf_auto(kf_findings_done) struct kf_findings found = {0};
	const struct kf_finding *bad;
	unsigned i;

	if (check(y, s, &found, err) < 0)
		return -1;
	bad = kf_findings_first(&found, KF_FINDING_ERROR);
	if (bad)
		return kf_fail(err, KF_E_INPUT, 0, "%s", bad->text);
	for (i = 0; i < found.n; i++)
		if (kf_settings_note(s, "%s", found.at[i].text) < 0)
			return no_memory(y, err);
	return 0;
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

int kf_plugin_config_check(const char *path, struct kf_settings *s, struct kf_findings *out,
			   struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_load(path, KF_YAML_BYTES, &y, err) < 0)
		return -1;
	return check(y, s, out, err);
}
