/*
 * libyaml's events into a bounded tree; see yaml.h.
 *
 * Events rather than its documents: the bounds are then ours, checked before anything is kept.  An
 * alias is a node that shares the children of what it stands for, so a bomb costs nothing to hold;
 * its weight is added as if it were written out, so it is refused before anybody walks it.
 *
 * (libfyaml 0.7.12 was tried first: it leaks for each quoted value with more than a few escapes.)
 */
#include "config/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define MAX_ANCHORS 256
#define MAX_MERGED  1000 /* keys are compared one by one */
#define BLOCK_BYTES 16384

struct block {
	struct block *next;
	size_t used, size;
	max_align_t data[];
};

struct anchor {
	const char *name;
	struct kf_yaml_node *node; /* unfinished while it is on the stack */
};

/* A list or map that is being filled. */
struct frame {
	struct kf_yaml_node *node, *last;
	const char *key; /* map: waits for its value */
	unsigned key_line;
	const char *anchor;
};

struct builder {
	struct kf_yaml *y;
	struct kf_error *err;
	const char *bytes; /* the file */
	size_t n_bytes;
	unsigned line;	 /* of the present event */
	unsigned values; /* kept so far */
	unsigned depth;
	struct frame frame[KF_YAML_DEPTH];
	unsigned n_anchors;
	struct anchor anchor[MAX_ANCHORS];
	unsigned documents;
};

static void *take_memory(struct kf_yaml *y, size_t n)
{
	struct block *b = y->blocks;
	void *p;

	n = (n + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;

		b = kf_calloc(1, sizeof(*b) + size);
		if (!b)
			return NULL;
		b->size = size;
		b->next = y->blocks;
		y->blocks = b;
	}
	p = (char *)b->data + b->used;
	b->used += n;
	return p;
}

struct kf_yaml *kf_yaml_free(struct kf_yaml *y)
{
	struct block *b, *next;

	if (!y)
		return NULL;
	for (b = y->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(y->file);
	free(y);
	return NULL;
}

static int no_memory(struct builder *b)
{
	return kf_fail(b->err, KF_E_NOMEM, 0, "%s: no memory for its contents", b->y->file);
}

static int refuse(struct builder *b, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct builder *b, unsigned line, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return kf_fail(b->err, KF_E_INPUT, 0, "%s:%u: %s", b->y->file, line, what);
}

/* Text of the event, kept in the tree; NULL is no memory, or bytes that are refused (err is set).
 */
static const char *keep_text(struct builder *b, const yaml_char_t *s, size_t n)
{
	char *copy;

	if (memchr(s, '\0', n)) {
		refuse(b, b->line, "a value holds a NUL character");
		return NULL;
	}
	copy = take_memory(b->y, n + 1);
	if (!copy) {
		no_memory(b);
		return NULL;
	}
	memcpy(copy, s, n);
	return copy;
}

static struct kf_yaml_node *new_node(struct builder *b, enum kf_yaml_kind kind)
{
	struct kf_yaml_node *node;

	if (++b->values > KF_YAML_VALUES) {
		refuse(b, b->line, "more than %u values", (unsigned)KF_YAML_VALUES);
		return NULL;
	}
	node = take_memory(b->y, sizeof(*node));
	if (!node) {
		no_memory(b);
		return NULL;
	}
	node->kind = kind;
	node->line = b->line;
	node->weight = 1;
	return node;
}

static struct frame *top(struct builder *b)
{
	return b->depth ? &b->frame[b->depth - 1] : NULL;
}

/* Is the next value a key? */
static int wants_key(struct builder *b)
{
	struct frame *f = top(b);

	return f && f->node->kind == KF_YAML_MAP && !f->key;
}

static void append(struct frame *f, struct kf_yaml_node *child)
{
	if (f->last)
		f->last->next = child;
	else
		f->node->first = child;
	f->last = child;
	f->node->n++;
}

/* Put a value where it belongs: under the waiting key, at the list's end, or at the root. */
static void place(struct builder *b, struct kf_yaml_node *node)
{
	struct frame *f = top(b);

	if (!f) {
		b->y->root = node;
		return;
	}
	if (f->node->kind == KF_YAML_MAP) {
		node->key = f->key;
		node->line = f->key_line;
		f->key = NULL;
	} else {
		node->key = f->node->key;
	}
	append(f, node);
}

/* A finished value counts in its parent, as often as it is seen there. */
static int weigh(struct builder *b, const struct kf_yaml_node *node)
{
	struct frame *f = top(b);

	if (!f)
		return 0;
	f->node->weight += node->weight;
	if (f->node->weight > KF_YAML_VALUES)
		return refuse(b, node->line, "aliases expand to more than %u values",
			      (unsigned)KF_YAML_VALUES);
	return 0;
}

static int check_tag(struct builder *b, const yaml_char_t *tag, int *string)
{
	static const char yaml[] = "tag:yaml.org,2002:";
	static const char *const plain[] = {"str", "int", "bool", "null", "map", "seq", "float"};
	const char *s = (const char *)tag;
	size_t i, skip = sizeof(yaml) - 1;

	*string = 0;
	if (!s)
		return 0;
	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!strncmp(s, yaml, skip) && !strcmp(s + skip, plain[i])) {
			*string = i == 0;
			return 0;
		}
	return refuse(b, b->line, "the tag %.60s means nothing here", s);
}

/* Remember the anchor of the value that begins here, if it has one; a later one of the name wins.
 */
static int remember(struct builder *b, const yaml_char_t *name, struct kf_yaml_node *node)
{
	struct anchor *a = &b->anchor[b->n_anchors];

	if (!name)
		return 0;
	if (b->n_anchors == MAX_ANCHORS)
		return refuse(b, b->line, "more than %d anchors", MAX_ANCHORS);
	a->name = keep_text(b, name, strlen((const char *)name));
	if (!a->name)
		return -1;
	a->node = node;
	b->n_anchors++;
	return 0;
}

static int is_null(const char *s)
{
	return !*s || !strcmp(s, "~") || !strcmp(s, "null") || !strcmp(s, "Null") ||
	       !strcmp(s, "NULL");
}

static int on_key(struct builder *b, const yaml_event_t *e)
{
	struct frame *f = top(b);

	f->key = keep_text(b, e->data.scalar.value, e->data.scalar.length);
	f->key_line = b->line;
	if (!f->key)
		return -1;
	if (!*f->key)
		return refuse(b, b->line, "a key is empty");
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
	struct kf_yaml_node *node;
	int string;

	if (check_tag(b, e->data.scalar.tag, &string) < 0)
		return -1;
	if (wants_key(b))
		return on_key(b, e);
	node = new_node(b, KF_YAML_SCALAR);
	if (!node || remember(b, e->data.scalar.anchor, node) < 0)
		return -1;
	node->text = keep_text(b, e->data.scalar.value, e->data.scalar.length);
	if (!node->text)
		return -1;
	node->quoted = string || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!node->quoted && is_null(node->text))
		node->kind = KF_YAML_NULL;
	place(b, node);
	return weigh(b, node);
}

static int on_open(struct builder *b, enum kf_yaml_kind kind, const yaml_char_t *tag,
		   const yaml_char_t *anchor)
{
	struct kf_yaml_node *node;
	int string;

	if (wants_key(b))
		return refuse(b, b->line, "a key must be a word, not a list or a map");
	if (b->depth == KF_YAML_DEPTH)
		return refuse(b, b->line, "more than %d levels deep", KF_YAML_DEPTH);
	node = check_tag(b, tag, &string) < 0 ? NULL : new_node(b, kind);
	if (!node || remember(b, anchor, node) < 0)
		return -1;
	place(b, node);
	b->frame[b->depth++] = (struct frame){.node = node};
	return 0;
}

static const struct kf_yaml_node *find_anchor(struct builder *b, const char *name)
{
	unsigned i;

	for (i = b->n_anchors; i > 0; i--)
		if (!strcmp(b->anchor[i - 1].name, name))
			return b->anchor[i - 1].node;
	return NULL;
}

static int on_alias(struct builder *b, const char *name)
{
	const struct kf_yaml_node *of;
	struct kf_yaml_node *node;
	unsigned i;

	of = find_anchor(b, name);
	if (!of)
		return refuse(b, b->line, "*%.60s: no anchor of that name stands before it", name);
	if (wants_key(b))
		return refuse(b, b->line, "a key must be a word, not an alias");
	for (i = 0; i < b->depth; i++)
		if (b->frame[i].node == of)
			return refuse(b, b->line, "*%.60s stands inside what it stands for", name);
	node = new_node(b, of->kind);
	if (!node)
		return -1;
	node->quoted = of->quoted;
	node->text = of->text;
	node->n = of->n;
	node->first = of->first;
	node->weight = of->weight;
	place(b, node);
	return weigh(b, node);
}

static int by_key(const void *a, const void *b)
{
	const struct kf_yaml_node *x = *(const struct kf_yaml_node *const *)a;
	const struct kf_yaml_node *y = *(const struct kf_yaml_node *const *)b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int refuse_duplicates(struct builder *b, const struct kf_yaml_node *map)
{
	kf_auto_mem const struct kf_yaml_node **sorted = NULL;
	unsigned i = 0;

	if (map->n < 2)
		return 0;
	sorted = kf_calloc(map->n, sizeof(*sorted));
	if (!sorted)
		return no_memory(b);
	for (kf_yaml_each(child, map))
		sorted[i++] = child;
	qsort(sorted, map->n, sizeof(*sorted), by_key);
	for (i = 1; i < map->n; i++)
		if (!strcmp(sorted[i - 1]->key, sorted[i]->key))
			return refuse(b, sorted[i]->line, "%s: given twice, first in line %u",
				      sorted[i]->key, sorted[i - 1]->line);
	return 0;
}

/* Add what `from` has and the map has not; keys of its own win over merged ones. */
static int merge_map(struct builder *b, struct frame *f, const struct kf_yaml_node *from)
{
	if (from->kind != KF_YAML_MAP)
		return refuse(b, from->line, "<<: wants a map, or a list of maps, to merge");
	if (f->node->n > MAX_MERGED || from->n > MAX_MERGED)
		return refuse(b, f->node->line, "<<: a map of more than %d keys cannot be merged",
			      MAX_MERGED);
	for (kf_yaml_each(child, from)) {
		struct kf_yaml_node *copy;

		if (kf_yaml_get(f->node, child->key))
			continue;
		copy = new_node(b, child->kind);
		if (!copy)
			return -1;
		*copy = *child;
		copy->next = NULL;
		append(f, copy);
		f->node->weight += copy->weight;
		if (f->node->weight > KF_YAML_VALUES)
			return refuse(b, f->node->line, "aliases expand to more than %u values",
				      (unsigned)KF_YAML_VALUES);
	}
	return 0;
}

/* Take the entry << out of the map and put in what it stands for. */
static int merge(struct builder *b, struct frame *f)
{
	struct kf_yaml_node **at = &f->node->first, *merged, *before = NULL;

	while (*at && strcmp((*at)->key, "<<") != 0) {
		before = *at;
		at = &(*at)->next;
	}
	merged = *at;
	if (!merged)
		return 0;
	*at = merged->next;
	if (f->last == merged)
		f->last = before;
	f->node->n--;
	if (merged->kind != KF_YAML_LIST)
		return merge_map(b, f, merged);
	for (kf_yaml_each(map, merged))
		if (merge_map(b, f, map) < 0)
			return -1;
	return 0;
}

static int on_close(struct builder *b)
{
	struct frame *f = top(b);

	if (f->node->kind == KF_YAML_MAP && (refuse_duplicates(b, f->node) < 0 || merge(b, f) < 0))
		return -1;
	b->depth--;
	return weigh(b, f->node);
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
	b->line = (unsigned)e->start_mark.line + 1;
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++)
			return refuse(b, b->line, "a second document begins; one is read");
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_ALIAS_EVENT:
		return on_alias(b, (const char *)e->data.alias.anchor);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, KF_YAML_LIST, e->data.sequence_start.tag,
			       e->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, KF_YAML_MAP, e->data.mapping_start.tag,
			       e->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	default:
		return 0;
	}
}

/* The commonest slip, for which libyaml has no word. */
static int tab_indents(const struct builder *b, unsigned line)
{
	const char *s = b->bytes, *end = s + b->n_bytes;

	for (; s && line > 1; line--) {
		s = memchr(s, '\n', (size_t)(end - s));
		s = s ? s + 1 : NULL;
	}
	while (s && s < end && *s == ' ')
		s++;
	return s && s < end && *s == '\t';
}

static int syntax_error(struct builder *b, const yaml_parser_t *parser)
{
	unsigned line = (unsigned)parser->problem_mark.line + 1;
	unsigned since = (unsigned)parser->context_mark.line + 1;

	if (parser->error == YAML_MEMORY_ERROR)
		return no_memory(b);
	if (parser->error == YAML_READER_ERROR)
		return refuse(b, b->line, "not YAML: %s", parser->problem);
	if (tab_indents(b, line))
		return refuse(b, line, "not YAML: a tab indents this line, where spaces must");
	if (parser->context && since != line)
		return refuse(b, line, "not YAML: %s %s, since line %u", parser->problem,
			      parser->context, since);
	return refuse(b, line, "not YAML: %s", parser->problem);
}

static int read_events(struct builder *b, yaml_parser_t *parser)
{
	int r = 0, over = 0;

	while (r == 0 && !over) {
		yaml_event_t e;

		if (!yaml_parser_parse(parser, &e))
			return syntax_error(b, parser);
		over = e.type == YAML_STREAM_END_EVENT;
		r = on_event(b, &e);
		yaml_event_delete(&e);
	}
	return r;
}

static int build(struct builder *b, const char *bytes, size_t n)
{
	yaml_parser_t parser;
	int r;

	if (!yaml_parser_initialize(&parser))
		return no_memory(b);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, n);
	r = read_events(b, &parser);
	yaml_parser_delete(&parser);
	return r;
}

/* The line where the text stops being UTF-8, or 0.  No character of UTF-8 spans a line's end. */
static unsigned bad_line(const char *s, size_t n)
{
	unsigned line = 1;

	while (n > 0) {
		const char *end = memchr(s, '\n', n);
		size_t here = end ? (size_t)(end - s) + 1 : n;

		if (!kf_is_utf8(s, here))
			return line;
		s += here;
		n -= here;
		line++;
	}
	return 0;
}

int kf_yaml_parse(const char *bytes, size_t n, const char *name, struct kf_yaml **ret,
		  struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = kf_calloc(1, sizeof(*y));
	kf_auto_mem struct builder *b = kf_calloc(1, sizeof(*b));
	unsigned line;

	if (!y || !b || !(y->file = kf_strdup(name)))
		return kf_fail(err, KF_E_NOMEM, 0, "%s: no memory for its contents", name);
	b->y = y;
	b->err = err;
	b->line = 1;
	b->bytes = bytes;
	b->n_bytes = n;
	line = bad_line(bytes, n);
	if (line)
		return refuse(b, line, "this is not UTF-8 text");
	if (n > 0 && build(b, bytes, n) < 0)
		return -1;
	if (!y->root || y->root->kind == KF_YAML_NULL)
		return refuse(b, b->line, "the file is empty, it holds no configuration");
	*ret = kf_take(y);
	return 0;
}

int kf_yaml_load(const char *path, size_t limit, struct kf_yaml **ret, struct kf_error *err)
{
	int is_stdin = !strcmp(path, "-");
	kf_auto_mem char *bytes = NULL;
	size_t n;

	bytes = kf_read_file(is_stdin ? "/dev/stdin" : path, limit, &n, err);
	if (!bytes)
		return -1;
	return kf_yaml_parse(bytes, n, is_stdin ? "standard input" : path, ret, err);
}
