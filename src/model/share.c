/* How GPUs and slices are sold; see share.h. */
#include "model/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

struct kf_sharing *kf_sharing_new(void)
{
	return kf_calloc(1, sizeof(struct kf_sharing));
}

struct kf_sharing *kf_sharing_free(struct kf_sharing *s)
{
	unsigned i;

	if (!s)
		return NULL;
	for (i = 0; i < s->n; i++)
		free(s->rule[i].pick);
	free(s->rule);
	free(s->naming);
	free(s->timing);
	free(s);
	return NULL;
}

struct kf_share_rule *kf_sharing_add(struct kf_sharing *s)
{
	if (kf_grow(&s->rule, &s->capacity, s->n + 1, sizeof(s->rule[0])) < 0)
		return NULL;
	return &s->rule[s->n++];
}

struct kf_share_pick *kf_share_rule_add(struct kf_share_rule *rule)
{
	if (kf_grow(&rule->pick, &rule->capacity, rule->n_picks + 1, sizeof(rule->pick[0])) < 0)
		return NULL;
	return &rule->pick[rule->n_picks++];
}

struct kf_share_naming *kf_sharing_add_naming(struct kf_sharing *s)
{
	if (kf_grow(&s->naming, &s->naming_capacity, s->n_namings + 1, sizeof(s->naming[0])) < 0)
		return NULL;
	return &s->naming[s->n_namings++];
}

struct kf_share_timing *kf_sharing_add_timing(struct kf_sharing *s)
{
	if (kf_grow(&s->timing, &s->timing_capacity, s->n_timings + 1, sizeof(s->timing[0])) < 0)
		return NULL;
	return &s->timing[s->n_timings++];
}

/* A GPU's index means that GPU only: its slices have indices of their own. */
static int picks(const struct kf_share_pick *p, const struct kf_share_device *d)
{
	switch (p->by) {
	case KF_SHARE_BY_GPU:
		return d->slice == KF_NONE && d->gpu == p->gpu;
	case KF_SHARE_BY_SLICE:
		return d->slice != KF_NONE && d->gpu == p->gpu && d->slice == p->slice;
	case KF_SHARE_BY_UUID:
		return !strcmp(d->id, p->uuid);
	}
	return 0;
}

static int speaks_of(const struct kf_share_rule *rule, const struct kf_share_device *d)
{
	unsigned i;

	if (strcmp(rule->resource, d->resource) != 0)
		return 0;
	if (rule->first > 0)
		return d->place < rule->first;
	for (i = 0; i < rule->n_picks; i++)
		if (picks(&rule->pick[i], d))
			return 1;
	return rule->n_picks == 0;
}

const struct kf_share_rule *kf_share_of(const struct kf_sharing *s,
					const struct kf_share_device *device)
{
	unsigned i;

	for (i = 0; s && i < s->n; i++)
		if (speaks_of(&s->rule[i], device))
			return &s->rule[i];
	return NULL;
}

unsigned kf_share_count(const struct kf_share_rule *rule, uint64_t memory_mib)
{
	const struct kf_share_units *u = &rule->units;
	uint64_t n;

	if (!u->mib)
		return rule->replicas;
	n = memory_mib > u->keep_mib ? (memory_mib - u->keep_mib) / u->mib : 0;
	return n < KF_SHARE_REPLICAS ? (unsigned)n : KF_SHARE_REPLICAS;
}

enum kf_time_slice kf_share_time_slice(const struct kf_sharing *s, unsigned gpu, const char *uuid)
{
	const struct kf_share_device device = {.id = uuid, .gpu = gpu, .slice = KF_NONE};
	unsigned i;

	for (i = 0; s && i < s->n_timings; i++)
		if (picks(&s->timing[i].gpu, &device))
			return s->timing[i].length;
	return s ? s->time_slice : KF_SLICE_DEFAULT;
}

const char *kf_time_slice_text(enum kf_time_slice length)
{
	static const char *const text[] = {"default", "short", "medium", "long"};

	return text[length];
}

const struct kf_share_rule *kf_share_named(const struct kf_sharing *s, const char *name)
{
	unsigned i;

	for (i = 0; s && i < s->n; i++)
		if (!strcmp(s->rule[i].name, name))
			return &s->rule[i];
	return NULL;
}

const struct kf_share_rule *kf_share_units_of(const struct kf_sharing *s, const char *name)
{
	unsigned i;

	for (i = 0; s && i < s->n; i++)
		if (s->rule[i].units.mib && !strcmp(s->rule[i].name, name))
			return &s->rule[i];
	return NULL;
}

/* Goes back to the last star only, which is enough: an earlier one can do no better. */
int kf_share_glob(const char *pattern, const char *s)
{
	const char *star = NULL, *again = s;

	while (*s) {
		if (*pattern == '*') {
			star = ++pattern;
			again = s;
		} else if (*pattern == *s) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star;
			s = ++again;
		} else {
			return 0;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

const char *kf_share_naming(const struct kf_sharing *s, int mig, const char *what)
{
	unsigned i;

	for (i = 0; s && i < s->n_namings; i++)
		if (s->naming[i].mig == mig && kf_share_glob(s->naming[i].pattern, what))
			return s->naming[i].name;
	return NULL;
}

static size_t device_length(const char *id)
{
	const char *replica = strstr(id, "::");

	return replica ? (size_t)(replica - id) : strlen(id);
}

void kf_share_device_id(const char *id, char out[KF_UUID])
{
	snprintf(out, KF_UUID, "%.*s", (int)device_length(id), id);
}

int kf_share_replica(const char *id)
{
	uint64_t k;

	id += device_length(id);
	return *id && kf_parse_uint(id + 2, KF_SHARE_REPLICAS - 1, &k) == 0 ? (int)k : -1;
}

int kf_share_same_device(const char *a, const char *b)
{
	size_t n = device_length(a);

	return n == device_length(b) && !memcmp(a, b, n);
}

static int parse_index(const char *s, size_t n, unsigned *ret)
{
	char digits[12];
	uint64_t v;

	if (n >= sizeof(digits))
		return -1;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (kf_parse_uint(digits, 1u << 20, &v) < 0)
		return -1;
	*ret = (unsigned)v;
	return 0;
}

/* What may stand in a UUID, and with `instances` in "/3/0" behind it. */
static int is_uuid(const char *s, const char *more)
{
	char allowed[80];

	snprintf(allowed, sizeof(allowed), "0123456789abcdefABCDEF-%s", more);
	return strlen(s) >= 4 && s[strspn(s, allowed)] == '\0';
}

int kf_share_pick_parse(const char *s, struct kf_share_pick *ret)
{
	size_t n = strcspn(s, ":");

	*ret = (struct kf_share_pick){0};
	if (strlen(s) >= sizeof(ret->uuid))
		return -1;
	if (!strncmp(s, "MIG-GPU-", 8)
		    ? is_uuid(s + 8, "/")
		    : (!strncmp(s, "GPU-", 4) || !strncmp(s, "MIG-", 4)) && is_uuid(s + 4, "")) {
		ret->by = KF_SHARE_BY_UUID;
		strcpy(ret->uuid, s);
		return 0;
	}
	ret->by = s[n] ? KF_SHARE_BY_SLICE : KF_SHARE_BY_GPU;
	if (parse_index(s, n, &ret->gpu) < 0)
		return -1;
	return s[n] ? parse_index(s + n + 1, strlen(s + n + 1), &ret->slice) : 0;
}
