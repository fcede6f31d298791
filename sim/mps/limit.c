/* Limits as MPS writes them; see limit.h. */
#include "mps/limit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int kf_mps_bytes_parse(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = {{"", 20}, {"M", 20}, {"MB", 20}, {"G", 30}, {"GB", 30}};
	char *end;
	uint64_t v;
	size_t i;

	if (!isdigit((unsigned char)text[0]))
		return -1;
	v = strtoull(text, &end, 10);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcasecmp(end, units[i].unit)) {
			*ret = v << units[i].shift;
			return v <= UINT64_MAX >> units[i].shift ? 0 : -1;
		}
	return -1;
}

uint64_t kf_mps_bytes_read(const char *text)
{
	char *end;
	uint64_t v = (uint64_t)strtoll(text, &end, 10);

	return end[0] == 'G' || end[0] == 'g' ? v << 30 : v << 20;
}

int kf_mps_limits_set(struct kf_mps_limits *l, const char *device, uint64_t bytes)
{
	unsigned i, kept = 0;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->of[i].device, device) != 0)
			l->of[kept++] = l->of[i];
	l->n = kept;
	if (l->n == KF_MPS_LIMITS || strlen(device) >= sizeof(l->of[0].device))
		return -1;
	snprintf(l->of[l->n].device, sizeof(l->of[0].device), "%s", device);
	l->of[l->n++].bytes = bytes;
	return 0;
}

int kf_mps_limits_parse(const char *text, struct kf_mps_limits *ret)
{
	struct kf_mps_limits all = *ret;
	char copy[2048], *rest = NULL, *one;

	if (!*text || (size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return -1;
	for (one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(one, '=');
		uint64_t bytes;

		if (!value || value == one)
			return -1;
		*value++ = '\0';
		if (kf_mps_bytes_parse(value, &bytes) < 0 ||
		    kf_mps_limits_set(&all, one, bytes) < 0)
			return -1;
	}
	*ret = all;
	return 0;
}

int kf_mps_limit_is_of(struct kf_sim_state *s, const struct kf_mps_limit *l,
		       const struct kf_sim_spot *at, unsigned ordinal)
{
	char *end;
	unsigned long v = strtoul(l->device, &end, 10);

	if (isdigit((unsigned char)l->device[0]) && !*end)
		return v == ordinal;
	return !strcasecmp(kf_sim_spot_uuid(s, at), l->device);
}

uint64_t kf_mps_limits_find(struct kf_sim_state *s, const struct kf_mps_limits *l,
			    const struct kf_sim_spot *at, unsigned ordinal)
{
	unsigned i;

	for (i = l->n; i > 0; i--)
		if (kf_mps_limit_is_of(s, &l->of[i - 1], at, ordinal))
			return l->of[i - 1].bytes;
	return 0;
}

int kf_mps_percent_parse(const char *text, unsigned *ret)
{
	char *end;
	double v;

	if (!isdigit((unsigned char)text[0]))
		return -1;
	v = strtod(text, &end);
	if (*end || v <= 0 || v > 100)
		return -1;
	*ret = (unsigned)(v * 10 + 0.5);
	return 0;
}
