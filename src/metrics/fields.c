/* DCGM's metrics and the file that chooses among them; see fields.h. */
#include "metrics/fields.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define BYTES (1u << 20) /* of a counters file; NVIDIA's has 4,000 */

static const struct kf_field_row rows[] = {
#define X(id, n, k, s, f, o, h)                                                                    \
	[KF_FIELD_##id] = {.name = (n),                                                            \
			   .help = (h),                                                            \
			   .kind = KF_FIELD_##k,                                                   \
			   .scope = KF_SCOPE_##s,                                                  \
			   .format = KF_FORMAT_##f,                                                \
			   .on = (o)},
	KF_FIELDS(X)
#undef X
};

static const struct {
	const char *name;
	int on;
} labels[] = {
#define X(id, n, o) [KF_LABEL_##id] = {(n), (o)},
	KF_LABEL_FIELDS(X)
#undef X
};

const struct kf_field_row *kf_field_at(enum kf_field f)
{
	return &rows[f];
}

const char *kf_label_field_name(enum kf_label_field f)
{
	return labels[f].name;
}

enum kf_field kf_field_find(const char *name)
{
	unsigned i;

	for (i = 0; i < KF_N_FIELDS; i++)
		if (!strcmp(rows[i].name, name))
			break;
	return (enum kf_field)i;
}

void kf_counters_default(struct kf_counters *ret)
{
	unsigned i;

	*ret = (struct kf_counters){0};
	for (i = 0; i < KF_N_FIELDS; i++) {
		if (!rows[i].on)
			continue;
		ret->at[ret->n] = (struct kf_counter){.field = i, .kind = rows[i].kind};
		snprintf(ret->at[ret->n++].help, sizeof(ret->at[0].help), "%s", rows[i].help);
	}
	for (i = 0; i < KF_N_LABEL_FIELDS; i++)
		ret->label[i] = labels[i].on;
}

/* One line, taken apart. */
struct line {
	char field[96], type[16], help[200];
};

/* Copy without blanks at the ends; 0, or -1: too long. */
static int trim(const char *s, size_t n, char *out, size_t size)
{
	for (; n > 0 && isspace((unsigned char)*s); s++)
		n--;
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		n--;
	if (n >= size)
		return -1;
	memcpy(out, s, n);
	out[n] = '\0';
	return 0;
}

/* 0, or -1: not three columns, or one of them is too long. */
static int split(const char *s, size_t n, struct line *ret)
{
	const char *a = memchr(s, ',', n);
	const char *b = a ? memchr(a + 1, ',', n - (size_t)(a + 1 - s)) : NULL;

	if (!b || memchr(b + 1, ',', n - (size_t)(b + 1 - s)))
		return -1;
	return trim(s, (size_t)(a - s), ret->field, sizeof(ret->field)) < 0 ||
			       trim(a + 1, (size_t)(b - a - 1), ret->type, sizeof(ret->type)) < 0 ||
			       trim(b + 1, n - (size_t)(b + 1 - s), ret->help, sizeof(ret->help)) <
				       0
		       ? -1
		       : 0;
}

/* The type, or -1; "label" is KF_FIELD_SUMMARY + 1. */
static int parse_type(const char *s)
{
	static const char *const type[] = {"gauge", "counter", "histogram", "summary", "label"};
	unsigned i;

	for (i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		if (!strcmp(type[i], s))
			return (int)i;
	return -1;
}

/* 1 if it is served, 0 if this version has no such field. */
static int add_label(struct kf_counters *ret, const char *name)
{
	unsigned i;

	for (i = 0; i < KF_N_LABEL_FIELDS; i++)
		if (!strcmp(labels[i].name, name)) {
			ret->label[i] = 1;
			return 1;
		}
	return 0;
}

static int add_field(struct kf_counters *ret, const struct line *line, enum kf_field_kind kind)
{
	enum kf_field f = kf_field_find(line->field);
	unsigned i;

	if (f == KF_N_FIELDS)
		return 0;
	for (i = 0; i < ret->n; i++)
		if (ret->at[i].field == f)
			return 1;
	ret->at[ret->n] = (struct kf_counter){.field = f, .kind = kind};
	memcpy(ret->at[ret->n++].help, line->help, sizeof(line->help));
	return 1;
}

static int take_line(struct kf_counters *ret, const char *s, size_t n, int *known,
		     struct line *line, struct kf_error *err)
{
	int type;

	if (split(s, n, line) < 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "three columns are expected: a field, its type, a help of at most "
			       "199 bytes without a comma");
	type = parse_type(line->type);
	if (type < 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "'%s' is none of gauge, counter, histogram, summary, label",
			       line->type);
	if (!kf_is_utf8(line->help, strlen(line->help)))
		return kf_fail(err, KF_E_INPUT, 0, "the help is not UTF-8");
	*known = type > KF_FIELD_SUMMARY ? add_label(ret, line->field)
					 : add_field(ret, line, (enum kf_field_kind)type);
	return 0;
}

int kf_counters_parse(const char *text, const char *name, struct kf_counters *ret,
		      void (*unknown)(void *ud, const char *field, unsigned line), void *ud,
		      struct kf_error *err)
{
	struct kf_counters made = {0};
	unsigned number = 0;
	const char *s;

	for (s = text; *s; s += *s == '\n') {
		size_t n = strcspn(s, "\n"), blanks = strspn(s, " \t\r");
		struct line line;
		int known = 1;

		number++;
		if (blanks < n && s[blanks] != '#' &&
		    take_line(&made, s, n, &known, &line, err) < 0)
			return kf_prefix(err, "%s:%u", name, number);
		if (!known && unknown)
			unknown(ud, line.field, number);
		s += n;
	}
	*ret = made;
	return 0;
}

int kf_counters_read(const char *path, struct kf_counters *ret,
		     void (*unknown)(void *ud, const char *field, unsigned line), void *ud,
		     struct kf_error *err)
{
	size_t n = 0;
	kf_auto_mem char *text = kf_read_file(path, BYTES, &n, err);

	if (!text)
		return -1;
	if (strlen(text) != n)
		return kf_fail(err, KF_E_INPUT, 0, "%s: there is a NUL byte in it", path);
	return kf_counters_parse(text, path, ret, unknown, ud, err);
}
