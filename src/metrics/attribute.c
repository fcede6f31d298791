/* Whose memory and whose work it is: a function of values; see sample.h. */
#include <string.h>

#include "metrics/sample.h"

/* A pod's hold is of this GPU's so-manieth device: gi and ci, or KF_NONE twice. */
static void device_of(const struct kf_view *view, const struct kf_view_pod *pod, unsigned *gi,
		      unsigned *ci)
{
	*gi = *ci = KF_NONE;
	if (pod->slice == KF_NONE)
		return;
	*gi = view->slice[pod->slice].gi;
	*ci = view->slice[pod->slice].ci;
}

static int same_pod(const struct kf_view_pod *a, const struct kf_view_pod *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->pod_namespace, b->pod_namespace);
}

/* Another container of the pod, or another replica of its device, came before. */
static int is_first(const struct kf_view *view, unsigned i)
{
	const struct kf_view_pod *pod = &view->pod[i];
	unsigned k;

	for (k = 0; k < i; k++)
		if (view->pod[k].gpu == pod->gpu && view->pod[k].slice == pod->slice &&
		    same_pod(&view->pod[k], pod))
			return 0;
	return 1;
}

/* A hold whose pod the kubelet has not named yet is nobody's. */
static int counts(const struct kf_view *view, unsigned g, unsigned i)
{
	return view->pod[i].gpu == g && view->pod[i].name[0] && is_first(view, i);
}

unsigned kf_sample_count_pods(const struct kf_view *view, unsigned g)
{
	unsigned i, n = 0;

	for (i = 0; i < view->n_pods; i++)
		n += (unsigned)counts(view, g, i);
	return n;
}

static int on_device(const struct kf_reading_process *p, unsigned gi, unsigned ci)
{
	if (gi == KF_NONE)
		return 1;
	return p->gi == gi && (ci == KF_NONE || p->ci == ci);
}

/* What is known of one device before its pods are looked at. */
struct device {
	unsigned gi, ci;
	unsigned n_pods;      /* that hold it */
	unsigned n_active;    /* of them: with processes */
	unsigned n_processes; /* an MPS server left out */
	unsigned n_strange;   /* of them: of no pod that holds it */
	int mps;
};

static int is_pods(const struct kf_reading_process *p, const struct kf_reading_pod *pod)
{
	return pod->uid[0] && !strcmp(p->pod_uid, pod->uid);
}

/* What is no client of the MPS server is the server itself, which works for its clients. */
static int is_server(const struct kf_reading_process *p, const struct device *d)
{
	return d->mps && !p->mps;
}

/* Of no pod that holds the device. */
static int is_strange(const struct kf_reading *r, const struct kf_reading_process *p,
		      const struct device *d)
{
	unsigned i;

	for (i = 0; i < r->n_pods; i++)
		if (r->pod[i].gi == d->gi && r->pod[i].ci == d->ci && is_pods(p, &r->pod[i]))
			return 0;
	return 1;
}

static void look_at_device(const struct kf_reading *r, struct device *d)
{
	unsigned i;

	for (i = 0; i < r->n_processes; i++)
		d->mps |= on_device(&r->process[i], d->gi, d->ci) && r->process[i].mps;
	for (i = 0; i < r->n_processes; i++) {
		const struct kf_reading_process *p = &r->process[i];

		if (!on_device(p, d->gi, d->ci) || is_server(p, d))
			continue;
		d->n_processes++;
		d->n_strange += (unsigned)is_strange(r, p, d);
	}
	for (i = 0; i < r->n_pods; i++)
		if (r->pod[i].gi == d->gi && r->pod[i].ci == d->ci) {
			d->n_pods++;
			d->n_active += r->pod[i].n_processes > 0;
		}
}

/* Sum over the pod's processes, or over all where `all`; NAN where the driver knows none's. */
static double memory_of(const struct kf_reading *r, const struct kf_reading_pod *pod, int all)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < r->n_processes; i++) {
		const struct kf_reading_process *p = &r->process[i];

		if (!on_device(p, pod->gi, pod->ci) || (!all && !is_pods(p, pod)))
			continue;
		if (p->memory_bytes == UINT64_MAX)
			return NAN;
		sum += (double)p->memory_bytes;
	}
	return sum;
}

/* The same of what the driver says of each process. */
static double work_of(const struct kf_reading *r, const struct kf_reading_pod *pod, int all)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < r->n_processes; i++) {
		const struct kf_reading_process *p = &r->process[i];

		if (!on_device(p, pod->gi, pod->ci) || (!all && !is_pods(p, pod)))
			continue;
		if (isnan(p->sm))
			return NAN;
		sum += p->sm;
	}
	return sum > 1 ? 1 : sum;
}

/* Of the whole device: GPM's SM activity, or, where there is no GPM, the driver's time busy. */
static double device_work(const struct kf_reading *r, const struct device *d)
{
	const struct kf_values *v = d->gi == KF_NONE ? &r->board : kf_reading_instance(r, d->gi);

	if (!v)
		return NAN;
	if (!isnan(v->of[KF_FIELD_SM_ACTIVE]))
		return v->of[KF_FIELD_SM_ACTIVE];
	return v->of[KF_FIELD_GPU_UTIL] / 100;
}

/* One of several compute instances of a GPU instance: GPM tells them together. */
static int is_part(const struct kf_view *view, unsigned g, const struct device *d)
{
	unsigned i;

	for (i = 0; i < view->n_slices; i++)
		if (view->slice[i].gpu == g && view->slice[i].gi == d->gi)
			return view->slice[i].n_cis > 1;
	return 0;
}

static void set_memory(const struct kf_reading *r, const struct device *d,
		       struct kf_reading_pod *pod)
{
	int alone = d->n_pods == 1;

	if (!alone && (!pod->uid[0] || (d->n_strange && !pod->n_processes))) {
		pod->memory_bytes = NAN;
		pod->why_memory = KF_ABSENT_PROCESSES;
		return;
	}
	pod->memory_bytes = memory_of(r, pod, alone);
	if (isnan(pod->memory_bytes))
		pod->why_memory = KF_ABSENT_DRIVER;
}

/* Where the driver tells the device's work only: whose it is when one pod alone has processes. */
static void share_out(const struct kf_reading *r, const struct device *d, enum kf_absent why,
		      struct kf_reading_pod *pod)
{
	double work = device_work(r, d);
	int alone = d->n_pods == 1;

	pod->sm = NAN;
	if (!alone && d->n_strange)
		pod->why_sm = KF_ABSENT_PROCESSES;
	else if (!alone && d->n_active > 1 && pod->n_processes)
		pod->why_sm = why;
	else if (isnan(work))
		pod->why_sm = KF_ABSENT_DRIVER;
	else
		pod->sm = alone || pod->n_processes ? work : 0;
}

static void set_work(const struct kf_reading *r, const struct kf_view *view, unsigned g,
		     const struct device *d, struct kf_reading_pod *pod)
{
	if (d->gi != KF_NONE && is_part(view, g, d)) {
		pod->sm = NAN;
		pod->why_sm = KF_ABSENT_SLICE;
	} else if (d->gi != KF_NONE) {
		share_out(r, d, KF_ABSENT_SLICE, pod);
	} else if (d->mps) {
		share_out(r, d, KF_ABSENT_MPS, pod);
	} else if (d->n_pods == 1) {
		pod->sm = work_of(r, pod, 1);
		if (isnan(pod->sm))
			share_out(r, d, KF_ABSENT_DRIVER, pod);
	} else if (!pod->uid[0] || (d->n_strange && !pod->n_processes)) {
		pod->sm = NAN;
		pod->why_sm = KF_ABSENT_PROCESSES;
	} else {
		pod->sm = work_of(r, pod, 0);
		if (isnan(pod->sm))
			pod->why_sm = KF_ABSENT_DRIVER;
	}
}

/* What part of the GPU the device is, by its SMs. */
static double part_of_gpu(const struct kf_view *view, unsigned g, const struct device *d)
{
	unsigned i;

	if (d->gi == KF_NONE)
		return 1;
	for (i = 0; i < view->n_slices; i++)
		if (view->slice[i].gpu == g && view->slice[i].gi == d->gi &&
		    (d->ci == KF_NONE || view->slice[i].ci == d->ci))
			return view->gpu[g].sm ? (double)view->slice[i].sm / view->gpu[g].sm : 0;
	return 0;
}

/* Its counter in the reading before, or NULL: it was not there. */
static const struct kf_reading_pod *earlier(const struct kf_reading *before,
					    const struct kf_reading_pod *pod)
{
	unsigned i;

	for (i = 0; before && i < before->n_pods; i++) {
		const struct kf_reading_pod *old = &before->pod[i];

		if (old->gi == pod->gi && old->ci == pod->ci && !strcmp(old->name, pod->name) &&
		    !strcmp(old->pod_namespace, pod->pod_namespace))
			/* one of the same name made anew begins again */
			return !old->uid[0] || !pod->uid[0] || !strcmp(old->uid, pod->uid) ? old
											   : NULL;
	}
	return NULL;
}

static void add_seconds(const struct kf_view *view, unsigned g, const struct device *d,
			const struct kf_reading *before, double seconds, struct kf_reading_pod *pod)
{
	const struct kf_reading_pod *old = earlier(before, pod);

	if (old) {
		pod->gpu_seconds = old->gpu_seconds;
		pod->has_gpu_seconds = old->has_gpu_seconds;
	}
	if (isnan(pod->sm))
		return;
	pod->has_gpu_seconds = 1;
	if (old)
		pod->gpu_seconds += pod->sm * seconds * part_of_gpu(view, g, d);
}

static void take_pods(struct kf_reading *r, const struct kf_view *view, unsigned g)
{
	unsigned i, k;

	for (i = 0; i < view->n_pods; i++) {
		struct kf_reading_pod *pod = &r->pod[r->n_pods];

		if (!counts(view, g, i))
			continue;
		*pod = (struct kf_reading_pod){0};
		memcpy(pod->pod_namespace, view->pod[i].pod_namespace, sizeof(pod->pod_namespace));
		memcpy(pod->name, view->pod[i].name, sizeof(pod->name));
		memcpy(pod->uid, view->pod[i].uid, sizeof(pod->uid));
		device_of(view, &view->pod[i], &pod->gi, &pod->ci);
		for (k = 0; k < r->n_processes; k++)
			pod->n_processes += on_device(&r->process[k], pod->gi, pod->ci) &&
					    is_pods(&r->process[k], pod);
		r->n_pods++;
	}
}

void kf_sample_attribute(struct kf_reading *r, const struct kf_view *view, unsigned g,
			 const struct kf_reading *before, double seconds)
{
	unsigned i;

	r->n_pods = 0;
	take_pods(r, view, g);
	for (i = 0; i < r->n_pods; i++) {
		struct kf_reading_pod *pod = &r->pod[i];
		struct device d = {.gi = pod->gi, .ci = pod->ci};

		look_at_device(r, &d);
		set_memory(r, &d, pod);
		set_work(r, view, g, &d, pod);
		add_seconds(view, g, &d, before, seconds, pod);
		if (d.n_pods == 1) /* whatever is there is its */
			pod->n_processes = d.n_processes;
	}
}
