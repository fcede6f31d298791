/*
 * What there is to say of a configuration file: all of it, in the order in which it was found.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct kf_yaml;
struct kf_yaml_node;

enum kf_finding_kind {
	KF_FINDING_NOTE,    /* understood; what becomes of it may surprise */
	KF_FINDING_UNKNOWN, /* a key or name that means nothing: told, and passed over */
	KF_FINDING_ERROR,   /* the file cannot be used */
};

struct kf_finding {
	enum kf_finding_kind kind;
	unsigned line;
	char text[512]; /* "FILE:LINE: KEY: what" */
};

#define KF_FINDINGS_MAX 200 /* as many errors again: none is lost to a flood of notes */

/* Zeroed is empty. */
struct kf_findings {
	unsigned n;
	struct kf_finding *at;
	size_t capacity;
	int no_memory; /* something could not be kept */
};

/* Append; what is past the limit or finds no memory is dropped (see no_memory). */
void kf_findings_add(struct kf_findings *f, enum kf_finding_kind kind, unsigned line,
		     const struct kf_error *err);
/* Append one about a value of a file, with its place before the sentence; -1, to end with. */
int kf_findings_note(struct kf_findings *f, enum kf_finding_kind kind, const struct kf_yaml *y,
		     const struct kf_yaml_node *node, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* The first of this kind, or NULL. */
const struct kf_finding *kf_findings_first(const struct kf_findings *f, enum kf_finding_kind kind);
void kf_findings_done(struct kf_findings *f);
