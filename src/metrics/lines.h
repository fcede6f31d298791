/* Lines of an exposition; the parts of expose.h among themselves. */
#pragma once

#include "base/text.h"
#include "metrics/expose.h"

struct kf_lines {
	struct kf_text t;
	const struct kf_snapshot *snap;
	const struct kf_expose_options *opt;
};

/* name="value", with the comma before it that it needs; `out` is the inside of the braces. */
void kf_lines_label(struct kf_text *out, const char *name, const char *value);
void kf_lines_label_uint(struct kf_text *out, const char *name, unsigned long value);

/* HELP and TYPE.  A counter's `name` ends in _total (kerf's) or does not (DCGM's, which OpenMetrics
 * has no word for but `unknown`). */
void kf_lines_family(struct kf_lines *p, const char *name, const char *help, const char *type);
/* A line; `labels` without braces, may be NULL or empty. */
void kf_lines_uint(struct kf_lines *p, const char *name, const char *labels, unsigned long value);
void kf_lines_double(struct kf_lines *p, const char *name, const char *labels, double value,
		     unsigned decimals);

void kf_lines_dcgm(struct kf_lines *p); /* dcgm.c */
void kf_lines_own(struct kf_lines *p);	/* own.c */
void kf_lines_pods(struct kf_lines *p); /* pods.c */
