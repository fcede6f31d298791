/* Profiles and their names; see profile.h. */
#include "model/profile.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned kf_profile_gb(uint64_t instance_mib, uint64_t total_mib)
{
	double eighths, total_gib;

	if (total_mib == 0)
		return 0;
	eighths = ceil((double)instance_mib / (double)total_mib * 8.0) / 8.0;
	total_gib = ceil((double)total_mib / 1024.0);
	return (unsigned)llround(eighths * total_gib);
}

/* Digits and then `suffix`; *s moves behind them.  Bounded, so that no number wraps. */
static int number(const char **s, const char *suffix, unsigned *ret)
{
	unsigned v = 0;
	int digits = 0;

	for (; isdigit((unsigned char)**s); (*s)++, digits++)
		v = v * 10 + (unsigned)(**s - '0');
	if (digits == 0 || digits > 6 || strncmp(*s, suffix, strlen(suffix)) != 0)
		return -1;
	*s += strlen(suffix);
	*ret = v;
	return 0;
}

static int attribute(const char *s, char out[8])
{
	static const char *const known[] = {"+me", "+me.all", "+gfx", "-me"};
	char text[8];
	size_t i;

	memset(out, 0, 8);
	if (!*s)
		return 0;
	if (strlen(s) >= sizeof(text))
		return -1;
	strcpy(text, s);
	if (text[0] == '.')
		text[0] = '+';
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(text, known[i])) {
			strcpy(out, text);
			return 0;
		}
	return -1;
}

int kf_profile_name_parse(const char *s, struct kf_profile_name *ret)
{
	struct kf_profile_name name = {0};
	const char *rest = s;

	if (number(&rest, "c.", &name.c) < 0) {
		name.c = 0;
		rest = s;
	} else if (name.c == 0) {
		return -1;
	}
	if (number(&rest, "g.", &name.g) < 0 || number(&rest, "gb", &name.gb) < 0 || name.g == 0)
		return -1;
	if (attribute(rest, name.attr) < 0)
		return -1;
	*ret = name;
	return 0;
}

/*
 * One part may carry two names across firmware: 1g.24gb became 1g.23gb on GB200.  The nearest gb
 * counts only within a tenth, so that 1g.10gb never means 1g.20gb.
 */
int kf_shape_find(const struct kf_shape *shape, const struct kf_profile_name *name)
{
	unsigned i, best_off = ~0u;
	int best = -1;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];
		unsigned off = p->gb > name->gb ? p->gb - name->gb : name->gb - p->gb;

		if (p->slices != name->g || strcmp(p->attr, name->attr) != 0)
			continue;
		if (off > 0 && off * 10 > name->gb)
			continue;
		if (off < best_off) {
			best_off = off;
			best = (int)i;
		}
	}
	return best;
}

int kf_shape_by_id(const struct kf_shape *shape, unsigned id)
{
	unsigned i;

	for (i = 0; i < shape->n; i++)
		if (shape->profile[i].id == id)
			return (int)i;
	return -1;
}

void kf_profile_resource(const char *name, char *out, unsigned size)
{
	if (size == 0)
		return;
	snprintf(out, size, "mig-%s", name ? name : "");
	for (; *out; out++)
		if (*out == '+' || *out == ',')
			*out = '.';
}
