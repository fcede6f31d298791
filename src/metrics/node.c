/* A snapshot as JSON; see node.h. */
#include "metrics/node.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* --- JSON ---------------------------------------------------------------------------------- */

/* `name` NULL: within a list. */
static void put_name(struct kf_text *t, const char *name)
{
	if (t->n && t->s[t->n - 1] != '{' && t->s[t->n - 1] != '[')
		kf_text_addn(t, ",", 1);
	if (name)
		kf_text_addf(t, "\"%s\":", name);
}

static void put_open(struct kf_text *t, const char *name, const char *bracket)
{
	put_name(t, name);
	kf_text_addn(t, bracket, 1);
}

static void put_close(struct kf_text *t, const char *bracket)
{
	kf_text_addn(t, bracket, 1);
}

/* Names are strangers' words: nothing in them ends the string, nor a script element around it. */
static void put_text(struct kf_text *t, const char *name, const char *value)
{
	char copy[512];
	const char *s;

	put_name(t, name);
	snprintf(copy, sizeof(copy), "%s", value);
	kf_mend_utf8(copy);
	kf_text_addn(t, "\"", 1);
	for (s = copy; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || strchr("\"\\<>&", *s))
			kf_text_addf(t, "\\u%04x", (unsigned)(unsigned char)*s);
		else
			kf_text_addn(t, s, 1);
	kf_text_addn(t, "\"", 1);
}

static void put_uint(struct kf_text *t, const char *name, uint64_t value)
{
	put_name(t, name);
	kf_text_addf(t, "%llu", (unsigned long long)value);
}

static void put_real(struct kf_text *t, const char *name, double value, int decimals)
{
	put_name(t, name);
	if (isfinite(value))
		kf_text_addf(t, "%.*f", decimals, value);
	else
		kf_text_add(t, "null");
}

static void put_bool(struct kf_text *t, const char *name, int value)
{
	put_name(t, name);
	kf_text_add(t, value ? "true" : "false");
}

/* --- values -------------------------------------------------------------------------------- */

static const char *health_text(enum kf_view_health health)
{
	return health == KF_VIEW_WELL ? "well" : health == KF_VIEW_UNWELL ? "unwell" : "flapping";
}

static const char *sharing_text(enum kf_view_sharing sharing)
{
	return sharing == KF_VIEW_WHOLE		? "whole"
	       : sharing == KF_VIEW_TIME_SLICED ? "time-slicing"
						: "mps";
}

/* The engine's share of time, 0 to 1: GPM tells it finer, NVML's percents do without. */
static double busy(const struct kf_values *v)
{
	if (isfinite(v->of[KF_FIELD_GR_ACTIVE]))
		return v->of[KF_FIELD_GR_ACTIVE];
	return v->of[KF_FIELD_GPU_UTIL] / 100;
}

/* Memory and work of a GPU or an instance; `v` NULL: neither is known. */
static void put_values(struct kf_text *t, const struct kf_values *v)
{
	put_real(t, "memoryUsedMiB", v ? v->of[KF_FIELD_FB_USED] : NAN, 0);
	put_real(t, "utilisation", v ? busy(v) : NAN, 3);
}

/* What was measured of this pod on this device, or NULL. */
static const struct kf_reading_pod *pod_reading(const struct kf_snapshot *snap,
						const struct kf_view_pod *pod)
{
	const struct kf_view *v = snap->view;
	const struct kf_reading *r = snap->stale[pod->gpu] ? NULL : snap->reading[pod->gpu];
	const struct kf_view_slice *slice = pod->slice == KF_NONE ? NULL : &v->slice[pod->slice];
	unsigned i;

	for (i = 0; r && i < r->n_pods; i++)
		if (r->pod[i].gi == (slice ? slice->gi : KF_NONE) &&
		    r->pod[i].ci == (slice ? slice->ci : KF_NONE) &&
		    !strcmp(r->pod[i].name, pod->name) &&
		    !strcmp(r->pod[i].pod_namespace, pod->pod_namespace))
			return &r->pod[i];
	return NULL;
}

static void put_pod(struct kf_text *t, const struct kf_snapshot *snap,
		    const struct kf_view_pod *pod)
{
	const struct kf_reading_pod *r = pod_reading(snap, pod);

	put_open(t, NULL, "{");
	put_text(t, "namespace", pod->pod_namespace);
	put_text(t, "pod", pod->name);
	put_text(t, "container", pod->container);
	put_text(t, "resource", pod->resource);
	put_real(t, "memoryMiB", r ? r->memory_bytes / (1u << 20) : NAN, 0);
	put_real(t, "sm", r ? r->sm : NAN, 3);
	put_real(t, "gpuSeconds", r && r->has_gpu_seconds ? r->gpu_seconds : NAN, 1);
	put_uint(t, "processes", r ? r->n_processes : 0);
	put_text(t, "noMemory", r ? kf_absent_text(r->why_memory) : "");
	put_text(t, "noSm", r ? kf_absent_text(r->why_sm) : "");
	put_close(t, "}");
}

static void put_pods(struct kf_text *t, const struct kf_snapshot *snap, unsigned gpu,
		     unsigned slice)
{
	const struct kf_view *v = snap->view;
	unsigned i;

	put_open(t, "pods", "[");
	for (i = 0; i < v->n_pods; i++)
		if (v->pod[i].gpu == gpu && v->pod[i].slice == slice)
			put_pod(t, snap, &v->pod[i]);
	put_close(t, "]");
}

static void put_slice(struct kf_text *t, const struct kf_snapshot *snap, unsigned i)
{
	const struct kf_view_slice *s = &snap->view->slice[i];
	const struct kf_reading *r = snap->stale[s->gpu] ? NULL : snap->reading[s->gpu];

	put_open(t, NULL, "{");
	put_text(t, "uuid", s->uuid);
	put_text(t, "name", s->name);
	put_text(t, "profile", s->profile);
	put_uint(t, "gpuInstance", s->gi);
	put_uint(t, "computeInstance", s->ci);
	put_uint(t, "computeInstances", s->n_cis);
	put_uint(t, "start", s->start);
	put_uint(t, "size", s->size);
	put_uint(t, "sm", s->sm);
	put_uint(t, "memoryMiB", s->memory_mib);
	put_text(t, "sharing", sharing_text(s->sharing));
	put_text(t, "health", health_text(s->health));
	put_bool(t, "withdrawn", s->withdrawn);
	put_values(t, kf_reading_instance(r, s->gi));
	put_pods(t, snap, s->gpu, i);
	put_close(t, "}");
}

/*
 * Of a GPU that is cut the driver tells neither as a whole: the sum of what its instances use, and
 * the share of its SMs that are busy.  What one of them does not tell is not known of the sum.
 */
static struct kf_values cut_values(const struct kf_snapshot *snap, unsigned g)
{
	const struct kf_view *v = snap->view;
	const struct kf_reading *r = snap->reading[g];
	struct kf_values sum = r->board;
	unsigned i;

	sum.of[KF_FIELD_FB_USED] = sum.of[KF_FIELD_GR_ACTIVE] = 0;
	for (i = 0; i < v->n_slices; i++) {
		const struct kf_view_slice *s = &v->slice[i];
		const struct kf_values *part = kf_reading_instance(r, s->gi);
		int again = i && v->slice[i - 1].gpu == g && v->slice[i - 1].gi == s->gi;

		if (s->gpu != g || again)
			continue; /* another's, or of the instance that was counted just now */
		sum.of[KF_FIELD_FB_USED] += part ? part->of[KF_FIELD_FB_USED] : NAN;
		sum.of[KF_FIELD_GR_ACTIVE] +=
			part ? busy(part) * s->sm * s->n_cis / v->gpu[g].sm : NAN;
	}
	sum.of[KF_FIELD_GPU_UTIL] = NAN;
	return sum;
}

static void put_gpu(struct kf_text *t, const struct kf_snapshot *snap, unsigned g)
{
	const struct kf_view_gpu *gpu = &snap->view->gpu[g];
	const struct kf_values *board = snap->stale[g] ? NULL : &snap->reading[g]->board;
	struct kf_values cut;
	unsigned i;

	if (board && gpu->mig && gpu->sm) {
		cut = cut_values(snap, g);
		board = &cut;
	}
	put_open(t, NULL, "{");
	put_uint(t, "index", gpu->index);
	put_text(t, "uuid", gpu->uuid);
	put_text(t, "name", gpu->name);
	put_text(t, "busId", gpu->bus_id);
	put_bool(t, "answers", gpu->answers);
	put_bool(t, "mig", gpu->mig);
	put_uint(t, "units", gpu->units);
	put_uint(t, "memoryMiB", gpu->memory_mib);
	put_text(t, "sharing", sharing_text(gpu->sharing));
	put_text(t, "health", health_text(gpu->health));
	put_text(t, "ailment", gpu->ailment);
	put_uint(t, "lastXid", gpu->last_xid);
	put_bool(t, "stale", snap->stale[g]);
	put_values(t, board);
	put_real(t, "powerW", board ? board->of[KF_FIELD_POWER_USAGE] : NAN, 1);
	put_real(t, "temperatureC", board ? board->of[KF_FIELD_GPU_TEMP] : NAN, 0);
	put_real(t, "smClockMHz", board ? board->of[KF_FIELD_SM_CLOCK] : NAN, 0);
	put_open(t, "slices", "[");
	for (i = 0; i < snap->view->n_slices; i++)
		if (snap->view->slice[i].gpu == g)
			put_slice(t, snap, i);
	put_close(t, "]");
	put_pods(t, snap, g, KF_NONE);
	put_close(t, "}");
}

/* --- the rest of the node ------------------------------------------------------------------ */

static void put_head(struct kf_text *t, const struct kf_view *v)
{
	put_text(t, "node", v->hostname);
	put_text(t, "driver", v->driver_version);
	put_bool(t, "driverUp", v->driver_up);
	put_bool(t, "ready", v->ready);
	put_text(t, "config", v->config);
	put_text(t, "state", v->state);
	put_text(t, "reason", v->reason);
	put_uint(t, "stepsOpen", v->steps_open);
	put_uint(t, "stepsBlocked", v->steps_blocked);
	put_uint(t, "podsNotShown", v->counts.pods_dropped);
}

static void put_lists(struct kf_text *t, const struct kf_view *v)
{
	unsigned i;

	put_open(t, "resources", "[");
	for (i = 0; i < v->n_resources; i++) {
		put_open(t, NULL, "{");
		put_text(t, "name", v->resource[i].name);
		put_uint(t, "healthy", v->resource[i].healthy);
		put_uint(t, "unhealthy", v->resource[i].unhealthy);
		put_close(t, "}");
	}
	put_close(t, "]");
	put_open(t, "waits", "[");
	for (i = 0; i < v->n_waits; i++)
		put_text(t, NULL, v->wait[i].text);
	put_close(t, "]");
	put_open(t, "events", "[");
	for (i = v->n_events; i-- > 0;) {
		put_open(t, NULL, "{");
		put_uint(t, "time", (uint64_t)v->event[i].wall_ms);
		put_bool(t, "warning", v->event[i].warning);
		put_text(t, "text", v->event[i].text);
		put_close(t, "}");
	}
	put_close(t, "]");
}

char *kf_node_json(const struct kf_snapshot *snap, const struct kf_node_words *words, size_t *ret_n)
{
	const struct kf_view *v = snap->view;
	struct kf_text t = {0};
	unsigned g;

	if (words->room)
		kf_grow(&t.s, &t.capacity, words->room, 1);
	put_open(&t, NULL, "{");
	put_text(&t, "version", words->version ? words->version : "");
	put_uint(&t, "time", (uint64_t)words->wall_ms);
	put_uint(&t, "intervalMs", snap->interval_ms);
	if (v)
		put_head(&t, v);
	put_open(&t, "gpus", "[");
	for (g = 0; v && g < v->n_gpus && g < KF_MAX_GPUS; g++)
		put_gpu(&t, snap, g);
	put_close(&t, "]");
	if (v)
		put_lists(&t, v);
	put_close(&t, "}");
	if (ret_n)
		*ret_n = t.n;
	return kf_text_take(&t);
}
