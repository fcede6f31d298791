/*
 * Pods: the scheduler that waits until one fits, and the admission that gives it devices.
 *
 * One pod at a time, one resource after the other, as the kubelet's pod-add path does it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "deviceplugin.pb-c.h"
#include "inside.h"

static void tell(struct kf_sim_kubelet *k, const struct kf_sim_pod *pod)
{
	if (k->ev && k->ev->pod && !k->stopping)
		k->ev->pod(k->ud, pod);
}

void pod_free(struct kf_sim_pod *pod)
{
	unsigned i;

	for (i = 0; i < pod->n_requests; i++)
		kf_answer_done(&pod->answer[i]);
	free(pod->device);
	free(pod);
}

/* --- the scheduler --- */

static int counts(const struct kf_sim_pod *pod)
{
	return !pod->gone && pod->state == KF_SIM_POD_RUNNING;
}

unsigned requested(const struct kf_sim_kubelet *k, const char *resource)
{
	const struct kf_sim_pod *pod;
	unsigned i, n = 0;

	for (pod = k->pods; pod; pod = pod->next)
		for (i = 0; counts(pod) && i < pod->n_requests; i++)
			if (!strcmp(pod->request[i].resource, resource))
				n += pod->request[i].count;
	return n;
}

/* Does the node have room, as the scheduler sees it: counts, and nothing else? */
static int fits(struct kf_sim_kubelet *k, struct kf_sim_pod *pod)
{
	unsigned i;

	for (i = 0; i < pod->n_requests; i++) {
		const struct kf_sim_request *r = &pod->request[i];
		const struct endpoint *e = endpoint_find(k, r->resource);

		if (e && pod->forced && e->pipe)
			continue;
		if (e && requested(k, r->resource) + r->count <= endpoint_healthy(e))
			continue;
		snprintf(pod->why, sizeof(pod->why), "0/1 nodes are available: 1 Insufficient %s.",
			 r->resource);
		return 0;
	}
	return 1;
}

static void start(struct kf_sim_kubelet *k, struct kf_sim_pod *pod);

static void on_turn(uv_timer_t *t)
{
	struct kf_sim_kubelet *k = t->data;
	struct kf_sim_pod *pod;

	for (pod = k->pods; pod && !k->admission.pod; pod = pod->next)
		if (!pod->gone && pod->state == KF_SIM_POD_PENDING && fits(k, pod))
			start(k, pod);
}

void admit_soon(struct kf_sim_kubelet *k)
{
	if (!k->stopping)
		uv_timer_start(&k->turn, on_turn, 0, 0);
}

static struct kf_sim_pod *pod_new(struct kf_sim_kubelet *k, const char *name, struct kf_error *err)
{
	struct kf_sim_pod *pod;

	if (kf_sim_kubelet_pod(k, name)) {
		kf_fail(err, KF_E_STATE, 0, "pod %s exists", name);
		return NULL;
	}
	if (!name[0] || strlen(name) >= sizeof(pod->name)) {
		kf_fail(err, KF_E_INPUT, 0, "'%s' is no name for a pod", name);
		return NULL;
	}
	pod = kf_calloc(1, sizeof(*pod));
	if (!pod) {
		kf_fail(err, KF_E_NOMEM, 0, "no memory for pod %s", name);
		return NULL;
	}
	snprintf(pod->name, sizeof(pod->name), "%s", name);
	snprintf(pod->uid, sizeof(pod->uid), "00000000-0000-4000-8000-%012lu", ++k->n_pods);
	return pod;
}

/* Takes pod. */
static void enqueue(struct kf_sim_kubelet *k, struct kf_sim_pod *pod)
{
	*k->pods_end = pod;
	k->pods_end = &pod->next;
	admit_soon(k);
}

int kf_sim_kubelet_add(struct kf_sim_kubelet *k, const char *name,
		       const struct kf_sim_request *request, unsigned n, struct kf_error *err)
{
	struct kf_sim_pod *pod;

	if (n == 0 || n > sizeof(pod->request) / sizeof(pod->request[0]))
		return kf_fail(err, KF_E_INPUT, 0, "pod %s: %u requests", name, n);
	pod = pod_new(k, name, err);
	if (!pod)
		return -1;
	memcpy(pod->request, request, n * sizeof(request[0]));
	pod->n_requests = n;
	enqueue(k, pod);
	return 0;
}

int kf_sim_kubelet_add_forced(struct kf_sim_kubelet *k, const char *name, const char *resource,
			      const char *const *ids, unsigned n, struct kf_error *err)
{
	struct kf_sim_pod *pod = pod_new(k, name, err);
	unsigned i;

	if (!pod)
		return -1;
	if (kf_grow(&pod->device, &pod->capacity, n, sizeof(pod->device[0])) < 0) {
		pod_free(pod);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %u devices", n);
	}
	pod->forced = 1;
	pod->n_requests = 1;
	pod->request[0].count = n;
	snprintf(pod->request[0].resource, KF_RESOURCE_NAME, "%s", resource);
	for (i = 0; i < n; i++) {
		snprintf(pod->device[i].resource, KF_RESOURCE_NAME, "%s", resource);
		snprintf(pod->device[i].id, KF_DEVICE_ID, "%s", ids[i]);
		pod->device[i].numa = -1;
	}
	pod->n_devices = n;
	enqueue(k, pod);
	return 0;
}

int kf_sim_kubelet_delete(struct kf_sim_kubelet *k, const char *name, struct kf_error *err)
{
	struct kf_sim_pod *pod = (struct kf_sim_pod *)(void *)kf_sim_kubelet_pod(k, name);

	if (!pod)
		return kf_fail(err, KF_E_STATE, 0, "there is no pod %s", name);
	pod->gone = 1;
	admit_soon(k);
	return 0;
}

/* The device manager looks which pods are still there: not when they go, but now and then. */
void admit_update(struct kf_sim_kubelet *k)
{
	struct kf_sim_pod **at = &k->pods, *pod;

	while ((pod = *at)) {
		if (pod->gone && pod != k->admission.pod) {
			*at = pod->next;
			pod_free(pod);
		} else {
			at = &pod->next;
		}
	}
	k->pods_end = at;
}

/* --- admission --- */

static void finished(struct kf_sim_kubelet *k, enum kf_sim_pod_state state, const char *why)
{
	struct kf_sim_pod *pod = k->admission.pod;

	k->admission = (struct admission){0};
	pod->state = state;
	snprintf(pod->why, sizeof(pod->why), "%s", why);
	if (state == KF_SIM_POD_FAILED)
		pod->n_devices = 0;
	tell(k, pod);
	admit_soon(k);
}

static void failed(struct kf_sim_kubelet *k, const char *what, int status, const char *text)
{
	char why[512];

	k->counts.refused++;
	snprintf(why, sizeof(why),
		 "UnexpectedAdmissionError: %s failed due to rpc error: code = %s desc = %s, which "
		 "is unexpected",
		 what, kf_grpc_status_text(status), text);
	finished(k, KF_SIM_POD_FAILED, why);
}

void admit_lost(struct kf_sim_kubelet *k)
{
	failed(k, "Allocate", KF_GRPC_UNAVAILABLE, "the connection to the plugin is gone");
}

void admit_forget(struct kf_sim_kubelet *k)
{
	struct kf_sim_pod *pod = k->admission.pod;
	unsigned i;

	k->admission = (struct admission){0};
	if (!pod)
		return;
	if (!pod->forced)
		pod->n_devices = 0;
	for (i = 0; i < pod->n_requests; i++)
		kf_answer_done(&pod->answer[i]);
}

static const struct kf_sim_request *current(const struct kf_sim_kubelet *k)
{
	return &k->admission.pod->request[k->admission.at];
}

static int taken(const struct kf_sim_kubelet *k, const char *resource, const char *id)
{
	const struct kf_sim_pod *pod;
	unsigned i;

	for (pod = k->pods; pod; pod = pod->next)
		for (i = 0; i < pod->n_devices; i++) /* (forced ones before they run, too) */
			if (!strcmp(pod->device[i].id, id) &&
			    !strcmp(pod->device[i].resource, resource))
				return 1;
	return 0;
}

static int available(const struct kf_sim_kubelet *k, const struct endpoint *e, unsigned i)
{
	return e->list.device[i].healthy && !taken(k, e->list.resource, e->list.device[i].id);
}

static int take(struct kf_sim_kubelet *k, const struct kf_offer_device *d)
{
	struct kf_sim_pod *pod = k->admission.pod;
	struct kf_sim_pod_device *to;

	if (kf_grow(&pod->device, &pod->capacity, pod->n_devices + 1, sizeof(*to)) < 0)
		return -1;
	to = &pod->device[pod->n_devices++];
	memcpy(to->resource, current(k)->resource, sizeof(to->resource));
	memcpy(to->id, d->id, sizeof(to->id));
	to->numa = d->numa;
	return 0;
}

static unsigned chosen(const struct kf_sim_kubelet *k)
{
	return k->admission.pod->n_devices - k->admission.first;
}

/* What the preference left open, the kubelet fills with any that are free. */
static void take_rest(struct kf_sim_kubelet *k, const struct endpoint *e)
{
	unsigned i;

	for (i = 0; i < e->list.n && chosen(k) < current(k)->count; i++)
		if (available(k, e, i))
			take(k, &e->list.device[i]);
}

static void next_request(struct kf_sim_kubelet *k);

/* --- Allocate --- */

static void read_answer(const V1beta1__ContainerAllocateResponse *m, struct kf_answer *ret)
{
	size_t i;

	for (i = 0; i < m->n_envs; i++)
		kf_answer_add_env(ret, m->envs[i]->key, m->envs[i]->value);
	for (i = 0; i < m->n_annotations; i++)
		kf_answer_add_annotation(ret, m->annotations[i]->key, m->annotations[i]->value);
	for (i = 0; i < m->n_mounts; i++)
		kf_answer_add_mount(ret, m->mounts[i]->container_path, m->mounts[i]->host_path,
				    m->mounts[i]->read_only);
	for (i = 0; i < m->n_devices; i++)
		kf_answer_add_device(ret, m->devices[i]->container_path, m->devices[i]->host_path,
				     m->devices[i]->permissions);
	for (i = 0; i < m->n_cdi_devices; i++)
		kf_answer_add_cdi(ret, m->cdi_devices[i]->name);
}

static void on_allocated(void *ud, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	struct kf_sim_kubelet *k = ud;
	V1beta1__AllocateResponse *m =
		v1beta1__allocate_response__unpack(&kf_message_memory, n, bytes);

	if (m && m->n_container_responses > 0)
		read_answer(m->container_responses[0], &k->admission.pod->answer[k->admission.at]);
	if (m)
		v1beta1__allocate_response__free_unpacked(m, &kf_message_memory);
}

/* After Allocate the real kubelet reads the topology of each ID from its list, and crashes when
 * one is no longer there (kubernetes.md 1.6). */
static void look_up(struct kf_sim_kubelet *k)
{
	const struct kf_sim_pod *pod = k->admission.pod;
	const struct endpoint *e = endpoint_find(k, current(k)->resource);
	unsigned i;

	for (i = k->admission.first; i < pod->n_devices; i++)
		if (!kf_offer_find(&e->list, pod->device[i].id))
			k->counts.panics++;
}

static void on_allocate_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct kf_sim_kubelet *k = ud;

	k->admission.call = NULL;
	k->admission.pod->allocate_us = (unsigned)((uv_hrtime() - k->admission.asked_ns) / 1000);
	if (status != KF_GRPC_OK) {
		failed(k, "Allocate", status, text);
		return;
	}
	look_up(k);
	k->counts.allocated++;
	k->admission.at++;
	next_request(k);
	write_checkpoint(k);
}

static int pack_allocate(const struct kf_sim_kubelet *k, struct kf_message *ret)
{
	V1beta1__ContainerAllocateRequest one = V1BETA1__CONTAINER_ALLOCATE_REQUEST__INIT;
	V1beta1__ContainerAllocateRequest *ones[] = {&one};
	V1beta1__AllocateRequest all = V1BETA1__ALLOCATE_REQUEST__INIT;
	kf_auto_mem char **ids = kf_calloc(chosen(k), sizeof(*ids));
	unsigned i;

	if (!ids)
		return -1;
	for (i = 0; i < chosen(k); i++)
		ids[i] = k->admission.pod->device[k->admission.first + i].id;
	one.n_devices_ids = i;
	one.devices_ids = ids;
	all.n_container_requests = 1;
	all.container_requests = ones;
	return kf_message_pack(&all.base, ret);
}

static void call_plugin(struct kf_sim_kubelet *k, const char *path, const struct kf_message *m,
			const struct kf_grpc_call_events *events)
{
	const struct endpoint *e = endpoint_find(k, current(k)->resource);
	struct kf_grpc *g = e && e->pipe ? kf_grpc_pipe_grpc(e->pipe) : NULL;

	k->admission.asked_ns = uv_hrtime();
	if (!m->bytes || !g ||
	    kf_grpc_call(g, path, m->bytes, m->n, events, k, &k->admission.call, NULL) < 0)
		admit_lost(k);
}

static void allocate(struct kf_sim_kubelet *k)
{
	static const struct kf_grpc_call_events events = {on_allocated, on_allocate_done};
	struct kf_message m = {0};
	char why[256];

	if (chosen(k) < current(k)->count) {
		snprintf(why, sizeof(why),
			 "UnexpectedAdmissionError: Allocate failed due to requested number of "
			 "devices unavailable for %s. Requested: %u, Available: %u, which is "
			 "unexpected",
			 current(k)->resource, current(k)->count, chosen(k));
		finished(k, KF_SIM_POD_FAILED, why);
		return;
	}
	if (pack_allocate(k, &m) < 0)
		m = (struct kf_message){0};
	call_plugin(k, "/v1beta1.DevicePlugin/Allocate", &m, &events);
	kf_message_done(&m);
}

/* --- GetPreferredAllocation --- */

/* Take those of the advice that are free, as many as are needed. */
static void on_preferred(void *ud, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	struct kf_sim_kubelet *k = ud;
	const struct endpoint *e = endpoint_find(k, current(k)->resource);
	V1beta1__PreferredAllocationResponse *m =
		v1beta1__preferred_allocation_response__unpack(&kf_message_memory, n, bytes);
	V1beta1__ContainerPreferredAllocationResponse *one =
		m && m->n_container_responses ? m->container_responses[0] : NULL;
	size_t i;

	for (i = 0; one && i < one->n_deviceids && chosen(k) < current(k)->count; i++) {
		const struct kf_offer_device *d = kf_offer_find(&e->list, one->deviceids[i]);

		if (d && d->healthy && !taken(k, e->list.resource, d->id))
			take(k, d);
	}
	if (m)
		v1beta1__preferred_allocation_response__free_unpacked(m, &kf_message_memory);
}

static void on_prefer_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct kf_sim_kubelet *k = ud;
	const struct endpoint *e = endpoint_find(k, current(k)->resource);

	k->admission.call = NULL;
	if (status != KF_GRPC_OK) {
		failed(k, "Allocate", status, text);
		return;
	}
	k->counts.preferred++;
	take_rest(k, e);
	allocate(k);
}

static int pack_prefer(const struct kf_sim_kubelet *k, const struct endpoint *e,
		       struct kf_message *ret)
{
	V1beta1__ContainerPreferredAllocationRequest one =
		V1BETA1__CONTAINER_PREFERRED_ALLOCATION_REQUEST__INIT;
	V1beta1__ContainerPreferredAllocationRequest *ones[] = {&one};
	V1beta1__PreferredAllocationRequest all = V1BETA1__PREFERRED_ALLOCATION_REQUEST__INIT;
	kf_auto_mem char **ids = kf_calloc(e->list.n, sizeof(*ids));
	unsigned i;

	if (!ids)
		return -1;
	for (i = 0; i < e->list.n; i++)
		if (available(k, e, i))
			ids[one.n_available_deviceids++] = e->list.device[i].id;
	one.available_deviceids = ids;
	one.allocation_size = (int32_t)current(k)->count;
	all.n_container_requests = 1;
	all.container_requests = ones;
	return kf_message_pack(&all.base, ret);
}

static void ask_preference(struct kf_sim_kubelet *k, const struct endpoint *e)
{
	static const struct kf_grpc_call_events events = {on_preferred, on_prefer_done};
	struct kf_message m = {0};

	if (pack_prefer(k, e, &m) < 0)
		m = (struct kf_message){0};
	call_plugin(k, "/v1beta1.DevicePlugin/GetPreferredAllocation", &m, &events);
	kf_message_done(&m);
}

/* --- one resource after the other --- */

static unsigned count_available(const struct kf_sim_kubelet *k, const struct endpoint *e)
{
	unsigned i, n = 0;

	for (i = 0; i < e->list.n; i++)
		n += available(k, e, i) != 0;
	return n;
}

static void next_request(struct kf_sim_kubelet *k)
{
	struct admission *a = &k->admission;
	const struct endpoint *e;

	if (a->at == a->pod->n_requests) {
		finished(k, KF_SIM_POD_RUNNING, "");
		return;
	}
	if (a->pod->forced) {
		allocate(k);
		return;
	}
	a->first = a->pod->n_devices;
	e = endpoint_find(k, current(k)->resource);
	if (e->prefers && current(k)->count < count_available(k, e)) {
		ask_preference(k, e);
		return;
	}
	take_rest(k, e);
	allocate(k);
}

static void start(struct kf_sim_kubelet *k, struct kf_sim_pod *pod)
{
	k->admission = (struct admission){.pod = pod};
	admit_update(k);
	next_request(k);
}
