/*
 * The table of keys as a JSON Schema.
 *
 * A schema is a tree and the table is a list of paths, so each level walks the list for the names
 * that stand directly below it; the list is short and this is done once, for a person.
 */
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "config/keys.h"

#define DEPTH	   8
#define NAME_BYTES 64
#define PATH_BYTES 200

struct level {
	struct kf_text *out;
	const char *prefix; /* "flags.", or "" */
	unsigned depth;
	char seen[40][NAME_BYTES];
	unsigned n_seen;
	int only_needed;
};

static void indent(struct kf_text *out, unsigned depth)
{
	while (depth-- > 0)
		kf_text_add(out, "  ");
}

static void add_string(struct kf_text *out, const char *s, size_t n)
{
	size_t i;

	kf_text_add(out, "\"");
	for (i = 0; i < n; i++) {
		if (s[i] == '"' || s[i] == '\\')
			kf_text_add(out, "\\");
		kf_text_addn(out, s + i, 1);
	}
	kf_text_add(out, "\"");
}

static void add_enum(struct kf_text *out, const char *words)
{
	const char *c;

	kf_text_add(out, "{\"enum\": [");
	for (c = words; *c; c += strcspn(c, " "), c += *c == ' ') {
		kf_text_add(out, c == words ? "" : ", ");
		add_string(out, c, strcspn(c, " "));
	}
	kf_text_add(out, "]}");
}

/* The value of a key that is no list of maps, without the outer braces. */
static void add_value(struct kf_text *out, const struct kf_key *key)
{
	switch (key->kind) {
	case KF_KEY_TEXT:
	case KF_KEY_LIST:
		kf_text_add(out, "\"type\": \"string\"");
		return;
	case KF_KEY_FLAG:
		kf_text_add(out, "\"type\": \"boolean\"");
		return;
	case KF_KEY_COUNT:
		kf_text_addf(out, "\"type\": \"integer\", \"minimum\": %.*s, \"maximum\": %s",
			     (int)strcspn(key->choices, " "), key->choices,
			     strchr(key->choices, ' ') + 1);
		return;
	case KF_KEY_WORD:
		kf_text_add(out, "\"allOf\": [");
		add_enum(out, key->choices);
		kf_text_add(out, "]");
		return;
	case KF_KEY_WORDS:
		kf_text_add(out, "\"anyOf\": [");
		add_enum(out, key->choices);
		kf_text_add(out, ", {\"type\": \"array\", \"items\": ");
		add_enum(out, key->choices);
		kf_text_add(out, "}]");
		return;
	case KF_KEY_DURATION:
		kf_text_add(out, "\"type\": [\"string\", \"integer\"]");
		return;
	case KF_KEY_DEVICES:
		kf_text_add(out, "\"anyOf\": [{\"const\": \"all\"}, {\"type\": \"integer\", "
				 "\"minimum\": 1}, {\"type\": \"array\", \"minItems\": 1, "
				 "\"items\": {\"type\": [\"integer\", \"string\"]}}]");
		return;
	case KF_KEY_CHANNELS:
		kf_text_add(out, "\"type\": \"array\", \"items\": {\"const\": 0}, "
				 "\"maxItems\": 1");
		return;
	}
}

static void add_object(struct kf_text *out, const char *prefix, unsigned depth);

static void add_leaf(struct kf_text *out, const struct kf_key *key)
{
	kf_text_add(out, "{");
	add_value(out, key);
	if (key->help[0]) {
		kf_text_add(out, ", \"description\": ");
		add_string(out, key->help, strlen(key->help));
	}
	kf_text_add(out, "}");
}

static void add_list(struct level *l, const struct kf_key *key)
{
	char below[PATH_BYTES];

	kf_text_add(l->out, "{\"type\": \"array\", \"items\": ");
	memcpy(below, key->path, key->n);
	strcpy(below + key->n, ".");
	add_object(l->out, below, l->depth + 1);
	kf_text_add(l->out, "}");
}

static void add_map(struct level *l, const char *name)
{
	char below[PATH_BYTES];

	strcpy(below, l->prefix);
	strcat(strcat(below, name), ".");
	add_object(l->out, below, l->depth + 1);
}

/* Is this name new on the level?  Then it is noted. */
static int is_new(struct level *l, const char *name)
{
	unsigned i;

	for (i = 0; i < l->n_seen; i++)
		if (!strcmp(l->seen[i], name))
			return 0;
	strcpy(l->seen[l->n_seen++], name);
	return 1;
}

static void add_key(struct level *l, const struct kf_key *key, const char *name, int leaf)
{
	kf_text_add(l->out, l->n_seen > 1 ? ",\n" : "\n");
	indent(l->out, l->depth + 1);
	add_string(l->out, name, strlen(name));
	kf_text_add(l->out, ": ");
	if (leaf && key->kind == KF_KEY_LIST)
		add_list(l, key);
	else if (leaf)
		add_leaf(l->out, key);
	else
		add_map(l, name);
}

static int see(void *with, const struct kf_key *key)
{
	struct level *l = with;
	size_t skip = strlen(l->prefix), n, rest;
	const char *part = key->path + skip, *dot;
	char name[NAME_BYTES];

	if (key->n <= skip || memcmp(key->path, l->prefix, skip) != 0)
		return 0;
	rest = key->n - skip;
	dot = memchr(part, '.', rest);
	n = dot ? (size_t)(dot - part) : rest;
	if (n >= 2 && part[n - 1] == ']')
		n -= 2;
	if (n >= sizeof(name) || l->n_seen >= sizeof(l->seen) / sizeof(l->seen[0]))
		return 0;
	memcpy(name, part, n);
	name[n] = '\0';
	if (l->only_needed) {
		if (!dot && key->traits & KF_KEY_NEEDED && is_new(l, name)) {
			kf_text_add(l->out, l->n_seen > 1 ? ", " : "");
			add_string(l->out, name, n);
		}
		return 0;
	}
	if (is_new(l, name))
		add_key(l, key, name, !dot);
	return 0;
}

static void add_object(struct kf_text *out, const char *prefix, unsigned depth)
{
	struct level l = {.out = out, .prefix = prefix, .depth = depth + 1};

	if (depth > DEPTH)
		return;
	kf_text_add(out, "{\n");
	indent(out, depth + 1);
	kf_text_add(out, "\"type\": \"object\",\n");
	indent(out, depth + 1);
	kf_text_add(out, "\"additionalProperties\": false,\n");
	indent(out, depth + 1);
	kf_text_add(out, "\"required\": [");
	l.only_needed = 1;
	kf_key_each(see, &l);
	kf_text_add(out, "],\n");
	indent(out, depth + 1);
	kf_text_add(out, "\"properties\": {");
	l.only_needed = 0;
	l.n_seen = 0;
	kf_key_each(see, &l);
	kf_text_add(out, "\n");
	indent(out, depth + 1);
	kf_text_add(out, "}\n");
	indent(out, depth);
	kf_text_add(out, "}");
}

void kf_keys_schema(struct kf_text *out)
{
	struct kf_text tree = {0};
	kf_auto_mem char *body = NULL;

	add_object(&tree, "", 0);
	body = kf_text_take(&tree);
	if (!body) {
		out->failed = 1;
		return;
	}
	kf_text_add(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
			 "  \"title\": \"kerf agent: device plugin configuration\",");
	kf_text_add(out, body + 1);
	kf_text_add(out, "\n");
}
