/* A snapshot as text for Prometheus; see expose.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "metrics/lines.h"

static int is_plain(const char *s)
{
	for (; *s; s++)
		if (*s == '\\' || *s == '"' || *s == '\n' || (unsigned char)*s >= 0x80)
			return 0;
	return 1;
}

static void add_escaped(struct kf_text *out, const char *value)
{
	char copy[512];
	const char *s;

	snprintf(copy, sizeof(copy), "%s", value);
	kf_mend_utf8(copy);
	for (s = copy; *s; s++)
		if (*s == '\n')
			kf_text_add(out, "\\n");
		else if (*s == '\\' || *s == '"')
			kf_text_addf(out, "\\%c", *s);
		else
			kf_text_addn(out, s, 1);
}

void kf_lines_label(struct kf_text *out, const char *name, const char *value)
{
	if (out->n)
		kf_text_addn(out, ",", 1);
	kf_text_add(out, name);
	kf_text_addn(out, "=\"", 2);
	if (is_plain(value))
		kf_text_add(out, value);
	else
		add_escaped(out, value);
	kf_text_addn(out, "\"", 1);
}

void kf_lines_label_uint(struct kf_text *out, const char *name, unsigned long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", value);
	kf_lines_label(out, name, text);
}

/* HELP has no quotes to escape, but in OpenMetrics. */
static void add_help(struct kf_lines *p, const char *help)
{
	for (; *help; help++)
		if (*help == '\\' || (p->opt->openmetrics && *help == '"'))
			kf_text_addf(&p->t, "\\%c", *help);
		else
			kf_text_addn(&p->t, help, 1);
}

void kf_lines_family(struct kf_lines *p, const char *name, const char *help, const char *type)
{
	static const char total[] = "_total";
	size_t n = strlen(name);

	if (p->opt->openmetrics && !strcmp(type, "counter")) {
		if (n > sizeof(total) && !strcmp(name + n - (sizeof(total) - 1), total))
			n -= sizeof(total) - 1;
		else
			type = "unknown";
	}
	kf_text_add(&p->t, "# HELP ");
	kf_text_addn(&p->t, name, n);
	kf_text_addn(&p->t, " ", 1);
	add_help(p, help);
	kf_text_add(&p->t, "\n# TYPE ");
	kf_text_addn(&p->t, name, n);
	kf_text_addf(&p->t, " %s\n", type);
}

static void add_name(struct kf_lines *p, const char *name, const char *labels)
{
	kf_text_add(&p->t, name);
	if (labels && *labels) {
		kf_text_addn(&p->t, "{", 1);
		kf_text_add(&p->t, labels);
		kf_text_addn(&p->t, "}", 1);
	}
}

void kf_lines_uint(struct kf_lines *p, const char *name, const char *labels, unsigned long value)
{
	add_name(p, name, labels);
	kf_text_addf(&p->t, " %lu\n", value);
}

void kf_lines_double(struct kf_lines *p, const char *name, const char *labels, double value,
		     unsigned decimals)
{
	add_name(p, name, labels);
	kf_text_addf(&p->t, " %.*f\n", (int)decimals, value);
}

char *kf_expose(const struct kf_snapshot *snap, const struct kf_expose_options *opt, size_t *ret_n)
{
	struct kf_lines p = {.snap = snap, .opt = opt};
	size_t n;

	if (opt->room)
		kf_grow(&p.t.s, &p.t.capacity, opt->room, 1);
	kf_lines_dcgm(&p);
	kf_lines_pods(&p);
	kf_lines_own(&p);
	if (opt->openmetrics)
		kf_text_add(&p.t, "# EOF\n");
	n = p.t.n;
	if (ret_n)
		*ret_n = n;
	return kf_text_take(&p.t);
}
