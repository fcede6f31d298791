/* Lengths of time; see duration.h. */
#include "config/duration.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they are tried: "ms" before "m". */
static const struct {
	const char *name;
	double ms;
} units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1000}, {"m", 60e3}, {"h", 3600e3}};

#define N_UNITS (sizeof(units) / sizeof(units[0]))

/* One number with its unit; *s moves behind it.  In milliseconds, or -1. */
static double read_part(const char **s)
{
	size_t n = strspn(*s, "0123456789."), i;
	double value;
	char *end;

	value = strtod(*s, &end); /* the locale is C's */
	if (n == 0 || end != *s + n)
		return -1;
	*s = end;
	for (i = 0; i < N_UNITS; i++)
		if (!strncmp(*s, units[i].name, strlen(units[i].name))) {
			*s += strlen(units[i].name);
			return value * units[i].ms;
		}
	return -1;
}

int kf_duration_parse(const char *s, uint64_t *ms)
{
	double sum = 0, part;

	if (!strcmp(s, "infinite")) {
		*ms = UINT64_MAX;
		return 0;
	}
	if (!*s)
		return -1;
	if (s[strspn(s, "0123456789")] == '\0') {
		sum = strtod(s, NULL) * 1e-6;
		s = "";
	}
	for (; *s; sum += part)
		if ((part = read_part(&s)) < 0)
			return -1;
	if (sum > 1e15) /* thirty thousand years */
		return -1;
	*ms = (uint64_t)sum;
	return 0;
}
