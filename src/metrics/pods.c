/*
 * What each pod on a GPU uses, sharers as well as those that have a device to themselves: the same
 * names for MIG, time-slicing and MPS.  What cannot be attributed is absent, with the reason.
 */
#include <stdlib.h>
#include <string.h>

#include "metrics/lines.h"

static const char *sharing_text(enum kf_view_sharing s)
{
	static const char *const text[] = {[KF_VIEW_WHOLE] = "exclusive",
					   [KF_VIEW_TIME_SLICED] = "time-slicing",
					   [KF_VIEW_MPS] = "mps"};

	return text[s];
}

/* The slice of a pod, or NULL: it has the whole GPU, or the slice is gone meanwhile. */
static const struct kf_view_slice *slice_of(const struct kf_view *v, unsigned g,
					    const struct kf_reading_pod *pod)
{
	unsigned i;

	for (i = 0; pod->gi != KF_NONE && i < v->n_slices; i++)
		if (v->slice[i].gpu == g && v->slice[i].gi == pod->gi && v->slice[i].ci == pod->ci)
			return &v->slice[i];
	return NULL;
}

/* 0: the pod's device is not there any more. */
static int add_labels(const struct kf_view *v, unsigned g, const struct kf_reading_pod *pod,
		      struct kf_text *out)
{
	const struct kf_view_slice *slice = slice_of(v, g, pod);

	if (!slice && pod->gi != KF_NONE)
		return 0;
	kf_lines_label(out, "namespace", pod->pod_namespace);
	kf_lines_label(out, "pod", pod->name);
	kf_lines_label_uint(out, "gpu", v->gpu[g].index);
	kf_lines_label(out, "UUID", v->gpu[g].uuid);
	if (slice) {
		kf_lines_label(out, "GPU_I_PROFILE", slice->profile);
		kf_lines_label_uint(out, "GPU_I_ID", slice->gi);
		if (slice->n_cis > 1)
			kf_lines_label_uint(out, "GPU_CI_ID", slice->ci);
	}
	kf_lines_label(out, "sharing", sharing_text(slice ? slice->sharing : v->gpu[g].sharing));
	return 1;
}

enum what { MEMORY, LIMIT, WORK, SECONDS, PROCESSES, ABSENT };

/* What the pod may use at most: its slice's memory, or the GPU's. */
static double limit_of(const struct kf_view *v, unsigned g, const struct kf_reading_pod *pod)
{
	const struct kf_view_slice *slice = slice_of(v, g, pod);

	return (double)(slice ? slice->memory_mib : v->gpu[g].memory_mib) * 1048576.0;
}

static void add_absent(struct kf_lines *p, const char *name, const char *labels, const char *metric,
		       enum kf_absent why)
{
	struct kf_text t = {0};
	kf_auto_mem char *text = NULL;

	if (why == KF_ABSENT_NOT)
		return;
	kf_text_add(&t, labels);
	kf_lines_label(&t, "metric", metric);
	kf_lines_label(&t, "reason", kf_absent_text(why));
	text = kf_text_take(&t);
	if (text)
		kf_lines_uint(p, name, text, 1);
}

static void add_one(struct kf_lines *p, enum what what, const char *name, unsigned g,
		    const struct kf_reading_pod *pod)
{
	struct kf_text t = {0};
	int there = add_labels(p->snap->view, g, pod, &t);
	kf_auto_mem char *labels = kf_text_take(&t);

	if (!there || !labels)
		return;
	if (what == MEMORY && !isnan(pod->memory_bytes))
		kf_lines_double(p, name, labels, pod->memory_bytes, 0);
	else if (what == LIMIT)
		kf_lines_double(p, name, labels, limit_of(p->snap->view, g, pod), 0);
	else if (what == WORK && !isnan(pod->sm))
		kf_lines_double(p, name, labels, pod->sm, 6);
	else if (what == SECONDS && pod->has_gpu_seconds)
		kf_lines_double(p, name, labels, pod->gpu_seconds, 6);
	else if (what == PROCESSES)
		kf_lines_uint(p, name, labels, pod->n_processes);
	else if (what == ABSENT) {
		add_absent(p, name, labels, "memory", pod->why_memory);
		add_absent(p, name, labels, "sm_utilization", pod->why_sm);
	}
}

static void add_family(struct kf_lines *p, enum what what, const char *name, const char *type,
		       const char *help)
{
	const struct kf_view *v = p->snap->view;
	unsigned g, i;

	kf_lines_family(p, name, help, type);
	for (g = 0; v && g < v->n_gpus && g < KF_MAX_GPUS; g++)
		for (i = 0; !p->snap->stale[g] && i < p->snap->reading[g]->n_pods; i++)
			add_one(p, what, name, g, &p->snap->reading[g]->pod[i]);
}

void kf_lines_pods(struct kf_lines *p)
{
	add_family(p, MEMORY, "kerf_pod_memory_used_bytes", "gauge",
		   "Device memory that the pod's processes have allocated.");
	add_family(p, LIMIT, "kerf_pod_memory_device_bytes", "gauge",
		   "Memory of the GPU or slice that the pod is on.");
	add_family(p, WORK, "kerf_pod_sm_utilization_ratio", "gauge",
		   "Part of its GPU or slice that the pod kept busy: of a slice the SMs that were "
		   "active, of a whole GPU the time in which kernels of the pod ran.");
	add_family(p, SECONDS, "kerf_pod_gpu_seconds_total", "counter",
		   "Seconds of a whole GPU's SMs that the pod has kept busy; a slice counts by its "
		   "part of the SMs.");
	add_family(p, PROCESSES, "kerf_pod_processes", "gauge",
		   "Processes of the pod that the driver lists on its GPU or slice.");
	add_family(p, ABSENT, "kerf_pod_metric_absent", "gauge",
		   "Always 1: this metric of the pod cannot be told, and why (mps: the driver "
		   "credits the MPS server; slice: several share a MIG slice; processes: it is not "
		   "known whose they are; driver: neither driver nor GPU tells it).");
}
