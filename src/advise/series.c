/* What Prometheus is asked, and what it answers; see advise.h. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advise/advise.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

void kf_usages_done(struct kf_usages *u)
{
	free(u->usage);
	*u = (struct kf_usages){0};
}

void kf_series_query(enum kf_series which, unsigned long window_s, char *out, size_t n)
{
	switch (which) {
	case KF_SERIES_DEVICE:
		snprintf(out, n, "kerf_pod_memory_device_bytes");
		break;
	case KF_SERIES_MEMORY:
		snprintf(out, n, "max_over_time(kerf_pod_memory_used_bytes[%lus])", window_s);
		break;
	case KF_SERIES_SM:
		snprintf(out, n, "quantile_over_time(0.99, kerf_pod_sm_utilization_ratio[%lus])",
			 window_s);
		break;
	case KF_SERIES_COVERED:
		snprintf(out, n, "count_over_time(kerf_pod_memory_used_bytes[%lus:%lums])",
			 window_s, window_s * 1000 / KF_ADVISE_POINTS);
		break;
	case KF_SERIES_ABSENT:
		snprintf(out, n, "kerf_pod_metric_absent");
		break;
	case KF_N_SERIES:
		break;
	}
}

/* 0, or -1: there is no such label, or it is longer than anything of ours. */
static int label(const json_t *labels, const char *name, char *out, size_t n)
{
	const char *text = json_string_value(json_object_get(labels, name));

	if (!text || strlen(text) >= n)
		return -1;
	memcpy(out, text, strlen(text) + 1);
	kf_mend_utf8(out);
	return 0;
}

/* Who and where it is: what all series of a pod agree in. */
static int read_key(const json_t *labels, struct kf_usage *u)
{
	char gi[12];
	uint64_t id;

	*u = (struct kf_usage){
		.gi = KF_NONE, .memory = NAN, .memory_has = NAN, .sm = NAN, .covered = NAN};
	if (label(labels, "namespace", u->name_space, sizeof(u->name_space)) < 0 ||
	    label(labels, "pod", u->pod, sizeof(u->pod)) < 0 ||
	    label(labels, "UUID", u->uuid, sizeof(u->uuid)) < 0)
		return -1;
	if (label(labels, "GPU_I_ID", gi, sizeof(gi)) < 0)
		return 0;
	if (kf_parse_uint(gi, KF_MAX_INSTANCES, &id) < 0)
		return -1;
	u->gi = (unsigned)id;
	return 0;
}

static int is_same(const struct kf_usage *a, const struct kf_usage *b)
{
	return a->gi == b->gi && !strcmp(a->uuid, b->uuid) && !strcmp(a->pod, b->pod) &&
	       !strcmp(a->name_space, b->name_space);
}

static struct kf_usage *find(struct kf_usages *all, const struct kf_usage *key)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (is_same(&all->usage[i], key))
			return &all->usage[i];
	return NULL;
}

static int add(struct kf_usages *all, const struct kf_usage *u)
{
	if (kf_grow(&all->usage, &all->capacity, all->n + 1, sizeof(*u)) < 0)
		return -1;
	all->usage[all->n++] = *u;
	return 0;
}

/* "value": [time, "number"]; NAN: it is none. */
static double value_of(const json_t *row)
{
	const char *text = json_string_value(json_array_get(json_object_get(row, "value"), 1));
	char *end = NULL;
	double value = text ? strtod(text, &end) : NAN;

	return text && end != text && !*end && isfinite(value) ? value : NAN;
}

static void fill(enum kf_series which, struct kf_usage *u, const json_t *labels, double value)
{
	if (which == KF_SERIES_MEMORY)
		u->memory = value;
	else if (which == KF_SERIES_SM)
		u->sm = value;
	else if (which == KF_SERIES_COVERED)
		u->covered = fmin(1, value / KF_ADVISE_POINTS);
	else if (which == KF_SERIES_ABSENT)
		label(labels, "reason", u->absent, sizeof(u->absent));
}

static int take_row(enum kf_series which, const json_t *row, struct kf_usages *all)
{
	const json_t *labels = json_object_get(row, "metric");
	double value = value_of(row);
	char sharing[32] = "";
	struct kf_usage key, *u;

	if (isnan(value) || value < 0 || read_key(labels, &key) < 0)
		return 0;
	u = find(all, &key);
	if (which != KF_SERIES_DEVICE && u)
		fill(which, u, labels, value);
	if (which != KF_SERIES_DEVICE || u)
		return 0;
	label(labels, "sharing", sharing, sizeof(sharing));
	key.alone = !strcmp(sharing, "exclusive");
	key.memory_has = value;
	return add(all, &key);
}

int kf_series_read(enum kf_series which, const char *text, size_t n, struct kf_usages *u,
		   struct kf_error *err)
{
	json_auto_t *json = json_loadb(text, n, 0, NULL);
	const json_t *rows = json_object_get(json_object_get(json, "data"), "result");
	const char *said = json_string_value(json_object_get(json, "error"));
	size_t i;

	if (said)
		return kf_fail(err, KF_E_REMOTE, 0, "%.300s", said);
	if (!json_is_array(rows))
		return kf_fail(err, KF_E_PROTOCOL, 0, "this is no answer of Prometheus' HTTP API");
	for (i = 0; i < json_array_size(rows); i++)
		if (take_row(which, json_array_get(rows, i), u) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for what was measured");
	return 0;
}
