/* What there is to say of a configuration file; see findings.h. */
#include "config/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "config/yaml.h"

void kf_findings_add(struct kf_findings *f, enum kf_finding_kind kind, unsigned line,
		     const struct kf_error *err)
{
	struct kf_finding *at;

	if (f->n >= (kind == KF_FINDING_ERROR ? 2 * KF_FINDINGS_MAX : KF_FINDINGS_MAX))
		return;
	if (kf_grow(&f->at, &f->capacity, f->n + 1, sizeof(*at)) < 0) {
		f->no_memory = 1;
		return;
	}
	at = &f->at[f->n++];
	at->kind = kind;
	at->line = line;
	snprintf(at->text, sizeof(at->text), "%s", err->msg);
}

int kf_findings_note(struct kf_findings *f, enum kf_finding_kind kind, const struct kf_yaml *y,
		     const struct kf_yaml_node *node, const char *fmt, ...)
{
	struct kf_error err = {0};
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	kf_yaml_fail(y, node, &err, "%s", what);
	kf_findings_add(f, kind, node->line, &err);
	return -1;
}

const struct kf_finding *kf_findings_first(const struct kf_findings *f, enum kf_finding_kind kind)
{
	unsigned i;

	for (i = 0; i < f->n; i++)
		if (f->at[i].kind == kind)
			return &f->at[i];
	return NULL;
}

void kf_findings_done(struct kf_findings *f)
{
	free(f->at);
	*f = (struct kf_findings){0};
}
