/*
 * A YAML or JSON file as a tree that knows its lines.
 *
 * The file may come from anybody: it is bounded in bytes, depth and number of values (an alias
 * counts as much as what it stands for, so that a "YAML bomb" is refused before it is walked), it
 * must be UTF-8, hold one document, and give no key twice.  Aliases and merge keys (<<) are
 * followed; tags other than YAML's own are refused.  Every complaint reads "FILE:LINE: KEY: what".
 *
 * Keys keep their order.  Numbers and booleans stay text until asked for, so that a key such as
 * 1e3 or a name such as "no" is never changed on the way.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"

struct kf_error;
struct kf_text;

#define KF_YAML_BYTES  (1u << 20) /* the usual limit of a file */
#define KF_YAML_DEPTH  32
#define KF_YAML_VALUES 100000 /* aliases expanded */

enum kf_yaml_kind { KF_YAML_NULL, KF_YAML_SCALAR, KF_YAML_LIST, KF_YAML_MAP };

struct kf_yaml_node {
	enum kf_yaml_kind kind;
	unsigned line;		    /* from 1; for an entry of a map, that of its key */
	int quoted;		    /* scalar: written in quotes or as a block, so it is a string */
	const char *text;	    /* scalar: its value, without NUL in it */
	const char *key;	    /* in a map: the key; in a list: the list's; NULL at the root */
	unsigned n;		    /* list, map: children */
	struct kf_yaml_node *first; /* list, map: in the file's order, merged keys last */
	struct kf_yaml_node *next;
	unsigned weight; /* values in it, itself included, aliases expanded */
};

struct kf_yaml {
	char *file; /* its name, for messages */
	struct kf_yaml_node *root;
	void *blocks; /* where the nodes live */
};

/*
 * Read `path` ("-" is standard input), of at most `limit` bytes.
 * 0 and *ret, the caller's to free; negative: KF_E_SYSTEM, KF_E_NOMEM, or KF_E_INPUT with file and
 * line.
 */
int kf_yaml_load(const char *path, size_t limit, struct kf_yaml **ret, struct kf_error *err);
/* The same for `n` bytes in memory; `name` stands for the file in messages.  Keeps neither. */
int kf_yaml_parse(const char *bytes, size_t n, const char *name, struct kf_yaml **ret,
		  struct kf_error *err);
struct kf_yaml *kf_yaml_free(struct kf_yaml *y);
KF_DEFINE_AUTO(struct kf_yaml, kf_yaml_free)

/* KF_E_INPUT with "FILE:LINE: KEY: " before the sentence; returns -1. */
int kf_yaml_fail(const struct kf_yaml *y, const struct kf_yaml_node *node, struct kf_error *err,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* for (kf_yaml_each(child, list_or_map)) { ... }; nothing for a NULL node. */
#define kf_yaml_each(child, node)                                                                  \
	const struct kf_yaml_node *child = (node) ? (node)->first : NULL;                          \
	child;                                                                                     \
	child = child->next

/* The entry of a map, or NULL: not there, not a map, or `map` is NULL. */
const struct kf_yaml_node *kf_yaml_get(const struct kf_yaml_node *map, const char *key);

/* 0 if the node is of this kind, else -1 and "wants a list, not a map". */
int kf_yaml_is(const struct kf_yaml *y, const struct kf_yaml_node *node, enum kf_yaml_kind kind,
	       struct kf_error *err);
/* The text of a scalar; it lives as long as the tree. */
int kf_yaml_string(const struct kf_yaml *y, const struct kf_yaml_node *node, const char **ret,
		   struct kf_error *err);
/* The same copied into out[size]; refused where it is longer.  `out` is written only on success. */
int kf_yaml_copy(const struct kf_yaml *y, const struct kf_yaml_node *node, char *out, size_t size,
		 struct kf_error *err);
/* true/false, and what YAML 1.1 (so NVIDIA's reader) takes for them: yes, no, on, off, y, n. */
int kf_yaml_bool(const struct kf_yaml *y, const struct kf_yaml_node *node, int *ret,
		 struct kf_error *err);
/* A decimal number from 0 to max, without quotes; "010" is refused since YAML 1.1 takes it for 8.
 */
int kf_yaml_uint(const struct kf_yaml *y, const struct kf_yaml_node *node, uint64_t max,
		 uint64_t *ret, struct kf_error *err);

/*
 * 0 if every key of `map` is one of `known` (ends in NULL); else -1, naming the first that is not,
 * and the known key that it may be a slip of.
 */
int kf_yaml_known(const struct kf_yaml *y, const struct kf_yaml_node *map, const char *const *known,
		  struct kf_error *err);

/* The tree as block YAML, for people; strings that would read as something else get quotes. */
void kf_yaml_write(const struct kf_yaml_node *root, struct kf_text *out);
