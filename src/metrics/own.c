/* kerf's metrics of itself and of what it made of the node; the names follow Prometheus's advice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/lines.h"

static void simple(struct kf_lines *p, const char *name, const char *type, const char *help,
		   unsigned long value)
{
	kf_lines_family(p, name, help, type);
	kf_lines_uint(p, name, NULL, value);
}

/* A family of one label. */
static void by(struct kf_lines *p, const char *name, const char *label, const char *value,
	       unsigned long n)
{
	char labels[160];

	snprintf(labels, sizeof(labels), "%s=\"%s\"", label, value);
	kf_lines_uint(p, name, labels, n);
}

static char *gpu_labels(const struct kf_view_gpu *gpu)
{
	struct kf_text t = {0};

	kf_lines_label_uint(&t, "gpu", gpu->index);
	kf_lines_label(&t, "UUID", gpu->uuid);
	return kf_text_take(&t);
}

/* --- the process --------------------------------------------------------------------------- */

static void add_process(struct kf_lines *p)
{
	kf_auto_mem char *statm = kf_read_file("/proc/self/statm", 256, NULL, NULL);
	unsigned long size = 0, resident = 0;

	kf_lines_family(p, "process_start_time_seconds",
			"Start time of the agent, in seconds since 1970.", "gauge");
	kf_lines_uint(p, "process_start_time_seconds", NULL, (unsigned long)p->opt->started_s);
	if (!statm || sscanf(statm, "%lu %lu", &size, &resident) != 2)
		return;
	kf_lines_family(p, "process_resident_memory_bytes", "Memory of the agent.", "gauge");
	kf_lines_uint(p, "process_resident_memory_bytes", NULL,
		      resident * (unsigned long)sysconf(_SC_PAGESIZE));
}

static void add_build(struct kf_lines *p)
{
	struct kf_text t = {0};
	kf_auto_mem char *labels = NULL;

	kf_lines_label(&t, "version", p->opt->version ? p->opt->version : "");
	kf_lines_label(&t, "commit", p->opt->commit ? p->opt->commit : "");
	labels = kf_text_take(&t);
	kf_lines_family(p, "kerf_build_info", "Always 1: which kerf this is.", "gauge");
	kf_lines_uint(p, "kerf_build_info", labels, 1);
}

/* --- what the node carries ----------------------------------------------------------------- */

enum use { FREE, USED, WITHDRAWN, N_USES };

static enum use use_of_slice(const struct kf_view *v, unsigned s)
{
	unsigned i;

	for (i = 0; i < v->n_pods; i++)
		if (v->pod[i].slice == s)
			return USED;
	return v->slice[s].withdrawn ? WITHDRAWN : FREE;
}

static enum use use_of_gpu(const struct kf_view *v, unsigned g)
{
	unsigned i;

	for (i = 0; i < v->n_pods; i++)
		if (v->pod[i].gpu == g && v->pod[i].slice == KF_NONE)
			return USED;
	return FREE;
}

/* Line by line of one profile; `first` is its first slice. */
static void add_profile(struct kf_lines *p, unsigned first)
{
	static const char *const state[N_USES] = {"free", "used", "withdrawn"};
	const struct kf_view *v = p->snap->view;
	unsigned n[N_USES] = {0}, i;

	for (i = first; i < v->n_slices; i++)
		if (!strcmp(v->slice[i].name, v->slice[first].name))
			n[use_of_slice(v, i)]++;
	for (i = 0; i < N_USES; i++) {
		char labels[120];

		snprintf(labels, sizeof(labels), "profile=\"%s\",state=\"%s\"",
			 v->slice[first].name, state[i]);
		kf_lines_uint(p, "kerf_slices", labels, n[i]);
	}
}

static void add_slices(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	unsigned i, k;

	kf_lines_family(p, "kerf_slices",
			"MIG slices by profile: free, used by a pod, or on their way out.",
			"gauge");
	for (i = 0; i < v->n_slices; i++) {
		for (k = 0; k < i; k++)
			if (!strcmp(v->slice[k].name, v->slice[i].name))
				break;
		if (k == i)
			add_profile(p, i);
	}
}

static void add_whole_gpus(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	unsigned g, n[N_USES] = {0}, cut = 0;

	for (g = 0; g < v->n_gpus; g++)
		if (v->gpu[g].mig)
			cut++;
		else
			n[use_of_gpu(v, g)]++;
	kf_lines_family(p, "kerf_gpus", "GPUs of the node by what they serve as.", "gauge");
	by(p, "kerf_gpus", "state", "free", n[FREE]);
	by(p, "kerf_gpus", "state", "used", n[USED]);
	by(p, "kerf_gpus", "state", "cut", cut);
}

static void add_resources(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	unsigned i;

	kf_lines_family(p, "kerf_offered_devices",
			"Devices, or replicas of them, that the kubelet is offered.", "gauge");
	for (i = 0; i < v->n_resources; i++) {
		const struct kf_view_resource *r = &v->resource[i];
		char labels[160];

		snprintf(labels, sizeof(labels), "resource=\"%s\",healthy=\"true\"", r->name);
		kf_lines_uint(p, "kerf_offered_devices", labels, r->healthy);
		snprintf(labels, sizeof(labels), "resource=\"%s\",healthy=\"false\"", r->name);
		kf_lines_uint(p, "kerf_offered_devices", labels, r->unhealthy);
	}
}

static void add_health(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	unsigned g, i, ill = 0;

	kf_lines_family(p, "kerf_gpu_healthy", "1 if nothing ails the GPU, else 0.", "gauge");
	for (g = 0; g < v->n_gpus; g++) {
		kf_auto_mem char *labels = gpu_labels(&v->gpu[g]);

		kf_lines_uint(p, "kerf_gpu_healthy", labels,
			      v->gpu[g].health == KF_VIEW_WELL && v->gpu[g].answers);
	}
	kf_lines_family(p, "kerf_gpu_flapping",
			"1 if the GPU fell ill so often that it stays down until a person acts.",
			"gauge");
	for (g = 0; g < v->n_gpus; g++) {
		kf_auto_mem char *labels = gpu_labels(&v->gpu[g]);

		kf_lines_uint(p, "kerf_gpu_flapping", labels, v->gpu[g].health == KF_VIEW_FLAPPING);
	}
	for (i = 0; i < v->n_slices; i++)
		ill += v->slice[i].health != KF_VIEW_WELL;
	simple(p, "kerf_slices_unhealthy", "gauge", "MIG slices that something ails.", ill);
}

static void add_xids(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	unsigned g, i;

	kf_lines_family(p, "kerf_gpu_xid_errors_total",
			"XID errors that the driver has reported, of any kind.", "counter");
	for (g = 0; g < v->n_gpus; g++)
		for (i = 0; i < v->gpu[g].n_xids; i++) {
			struct kf_text t = {0};
			kf_auto_mem char *labels = NULL;

			kf_lines_label_uint(&t, "gpu", v->gpu[g].index);
			kf_lines_label(&t, "UUID", v->gpu[g].uuid);
			kf_lines_label_uint(&t, "xid", v->gpu[g].xid[i].xid);
			labels = kf_text_take(&t);
			kf_lines_uint(p, "kerf_gpu_xid_errors_total", labels, v->gpu[g].xid[i].n);
		}
}

/* --- what was decided and done ------------------------------------------------------------- */

static void add_durations(struct kf_lines *p, const struct kf_view_counts *c)
{
	static const char name[] = "kerf_geometry_change_duration_seconds";
	unsigned long n = 0;
	unsigned i;

	kf_lines_family(p, name, "How long changes of geometry took the driver.", "histogram");
	for (i = 0; i < KF_VIEW_BUCKETS; i++) {
		char labels[32];

		n += c->bucket[i];
		if (i < KF_VIEW_BUCKETS - 1)
			snprintf(labels, sizeof(labels), "le=\"%g\"",
				 kf_view_bucket_ms[i] / 1000.0);
		else
			snprintf(labels, sizeof(labels), "le=\"+Inf\"");
		kf_lines_uint(p, "kerf_geometry_change_duration_seconds_bucket", labels, n);
	}
	kf_lines_double(p, "kerf_geometry_change_duration_seconds_sum", NULL, c->change_s, 6);
	kf_lines_uint(p, "kerf_geometry_change_duration_seconds_count", NULL, n);
}

static void add_changes(struct kf_lines *p, const struct kf_view_counts *c)
{
	kf_lines_family(p, "kerf_geometry_changes_total",
			"Changes of geometry: with every step done, or with one that failed.",
			"counter");
	by(p, "kerf_geometry_changes_total", "result", "done",
	   c->changes > c->failed_changes ? c->changes - c->failed_changes : 0);
	by(p, "kerf_geometry_changes_total", "result", "failed", c->failed_changes);
	add_durations(p, c);
	kf_lines_family(p, "kerf_instances_changed_total",
			"GPU instances that were created and destroyed.", "counter");
	by(p, "kerf_instances_changed_total", "kind", "created", c->created);
	by(p, "kerf_instances_changed_total", "kind", "destroyed", c->destroyed);
	simple(p, "kerf_pods_disturbed_total", "counter",
	       "Pods that were asked to end, by the Eviction API, for a change of geometry.",
	       c->evicted);
	simple(p, "kerf_withdrawals_cancelled_total", "counter",
	       "Slices that were on their way out and were given to a pod all the same.",
	       c->cancelled);
	kf_lines_family(p, "kerf_plans_total",
			"Decisions of the planner: nothing to do, a plan, or none is possible.",
			"counter");
	by(p, "kerf_plans_total", "answer", "settled", c->plans_settled);
	by(p, "kerf_plans_total", "answer", "plan", c->plans_made);
	by(p, "kerf_plans_total", "answer", "impossible", c->plans_impossible);
}

static void add_allocations(struct kf_lines *p, const struct kf_view_counts *c)
{
	simple(p, "kerf_allocations_total", "counter", "Containers that were given devices.",
	       c->allocated);
	kf_lines_family(p, "kerf_allocation_failures_total",
			"Allocate calls that were refused, by the reason.", "counter");
	by(p, "kerf_allocation_failures_total", "reason", "withdrawn", c->refused_withdrawn);
	by(p, "kerf_allocation_failures_total", "reason", "unknown_device", c->refused_unknown);
	by(p, "kerf_allocation_failures_total", "reason", "other", c->refused_other);
	kf_lines_family(p, "kerf_peer_errors_total",
			"Failures of those that the agent speaks with.", "counter");
	by(p, "kerf_peer_errors_total", "peer", "apiserver", c->api_errors);
	by(p, "kerf_peer_errors_total", "peer", "kubelet", c->kubelet_errors);
	by(p, "kerf_peer_errors_total", "peer", "podresources", c->podresources_errors);
	simple(p, "kerf_mps_faults_total", "counter",
	       "Fatal faults of MPS servers, each of which ends all their clients.", c->mps_faults);
	simple(p, "kerf_pod_series_dropped_total", "counter",
	       "Holds that are not shown, since there are more than this agent shows.",
	       c->pods_dropped);
}

static void add_config(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	struct kf_text t = {0};
	kf_auto_mem char *labels = NULL;

	simple(p, "kerf_driver_up", "gauge", "1 if the NVIDIA driver answers, else 0.",
	       (unsigned long)v->driver_up);
	kf_lines_family(p, "kerf_plan_steps",
			"Steps of the plan that is being carried out, by whether a pod is in the "
			"way.",
			"gauge");
	by(p, "kerf_plan_steps", "blocked", "true", v->steps_blocked);
	by(p, "kerf_plan_steps", "blocked", "false", v->steps_open);
	kf_lines_family(p, "kerf_mig_config_info",
			"Always 1: the MIG configuration that is selected, and what has become of "
			"it.",
			"gauge");
	if (!v->config[0])
		return;
	kf_lines_label(&t, "config", v->config);
	kf_lines_label(&t, "state", v->state);
	labels = kf_text_take(&t);
	kf_lines_uint(p, "kerf_mig_config_info", labels, 1);
}

/* --- measuring ----------------------------------------------------------------------------- */

static void add_readings(struct kf_lines *p)
{
	const struct kf_snapshot *snap = p->snap;
	uint64_t now = kf_now_ms();
	unsigned g;

	kf_lines_family(p, "kerf_gpu_reading_stale",
			"1 if the driver has not answered for so long that the GPU's metrics are "
			"left out.",
			"gauge");
	for (g = 0; g < snap->view->n_gpus && g < KF_MAX_GPUS; g++) {
		kf_auto_mem char *labels = gpu_labels(&snap->view->gpu[g]);

		kf_lines_uint(p, "kerf_gpu_reading_stale", labels, (unsigned long)snap->stale[g]);
	}
	kf_lines_family(p, "kerf_gpu_reading_age_seconds", "Age of what is shown of the GPU.",
			"gauge");
	for (g = 0; g < snap->view->n_gpus && g < KF_MAX_GPUS; g++) {
		kf_auto_mem char *labels = gpu_labels(&snap->view->gpu[g]);

		if (snap->reading[g])
			kf_lines_double(p, "kerf_gpu_reading_age_seconds", labels,
					(double)(now - snap->reading[g]->at_ms) / 1000, 3);
	}
	kf_lines_family(p, "kerf_gpu_reading_duration_seconds",
			"How long the driver's calls for the last reading of the GPU took.",
			"gauge");
	for (g = 0; g < snap->view->n_gpus && g < KF_MAX_GPUS; g++) {
		kf_auto_mem char *labels = gpu_labels(&snap->view->gpu[g]);

		if (snap->reading[g])
			kf_lines_double(p, "kerf_gpu_reading_duration_seconds", labels,
					snap->reading[g]->took_us / 1e6, 6);
	}
}

static void add_sampler(struct kf_lines *p)
{
	const struct kf_sampler_counts *c = &p->snap->counts;

	simple(p, "kerf_gpu_readings_total", "counter", "Readings of a GPU.", c->reads);
	simple(p, "kerf_gpu_readings_failed_total", "counter",
	       "Readings that the GPU did not answer.", c->failed_reads);
	simple(p, "kerf_driver_calls_hung_total", "counter",
	       "Calls of the driver's for a reading that took longer than two seconds.",
	       c->hung_calls);
	kf_lines_family(p, "kerf_reading_interval_seconds", "Between readings, at present.",
			"gauge");
	kf_lines_double(p, "kerf_reading_interval_seconds", NULL, p->snap->interval_ms / 1000.0, 3);
	simple(p, "kerf_scrapes_total", "counter", "Requests for metrics that were served.",
	       c->scrapes);
	simple(p, "kerf_http_requests_refused_total", "counter",
	       "Requests that were refused: no credentials, or too many at once.",
	       c->refused_scrapes);
}

void kf_lines_own(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;

	add_build(p);
	add_process(p);
	add_sampler(p);
	if (!v)
		return;
	add_config(p);
	add_whole_gpus(p);
	add_slices(p);
	add_resources(p);
	add_health(p);
	add_xids(p);
	add_changes(p, &v->counts);
	add_allocations(p, &v->counts);
	add_readings(p);
}
