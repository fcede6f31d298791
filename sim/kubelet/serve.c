/* PodResources, as the kubelet serves it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "inside.h"
#include "podresources.pb-c.h"

static void answer(struct kf_grpc_call *call, const ProtobufCMessage *m)
{
	struct kf_message packed = {0};

	if (kf_message_pack(m, &packed) == 0 &&
	    kf_grpc_send(call, packed.bytes, packed.n, NULL) == 0)
		kf_grpc_finish(call, KF_GRPC_OK, "");
	else
		kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "no memory");
	kf_message_done(&packed);
}

/* Devices that come one an entry, which is how the kubelet tells of those with a NUMA node. */
struct entries {
	V1__ContainerDevices *devices, **pointers;
	char **ids;
	size_t n;
};

static int entries_new(struct entries *e, size_t n)
{
	e->devices = kf_calloc(n, sizeof(*e->devices));
	e->pointers = kf_calloc(n, sizeof(*e->pointers));
	e->ids = kf_calloc(n, sizeof(*e->ids));
	e->n = 0;
	return e->devices && e->pointers && e->ids ? 0 : -1;
}

static void entries_done(struct entries *e)
{
	free(e->devices);
	free(e->pointers);
	free(e->ids);
}

static void add(struct entries *e, const char *resource, const char *id)
{
	V1__ContainerDevices *d = &e->devices[e->n];

	*d = (V1__ContainerDevices)V1__CONTAINER_DEVICES__INIT;
	e->ids[e->n] = (char *)(uintptr_t)id;
	d->resource_name = (char *)(uintptr_t)resource;
	d->n_device_ids = 1;
	d->device_ids = &e->ids[e->n];
	e->pointers[e->n++] = d;
}

static void get_allocatable(struct kf_sim_kubelet *k, struct kf_grpc_call *call)
{
	V1__AllocatableResourcesResponse m = V1__ALLOCATABLE_RESOURCES_RESPONSE__INIT;
	struct entries all;
	struct endpoint *e;
	size_t n = 0;
	unsigned i;

	for (e = k->endpoints; e; e = e->next)
		n += e->list.n;
	if (entries_new(&all, n) == 0) {
		for (e = k->endpoints; e; e = e->next)
			for (i = 0; !e->stopped && i < e->list.n; i++)
				if (e->list.device[i].healthy)
					add(&all, e->list.resource, e->list.device[i].id);
		m.n_devices = all.n;
		m.devices = all.pointers;
		answer(call, &m.base);
	} else {
		kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "no memory");
	}
	entries_done(&all);
}

/* One pod with its one container. */
struct pod_entry {
	V1__PodResources pod, *pod_pointer;
	V1__ContainerResources container, *container_pointer;
	struct entries devices;
};

static int fill_pod(const struct kf_sim_pod *from, struct pod_entry *to)
{
	static char ns[] = "default", name[] = "main";
	unsigned i;

	if (entries_new(&to->devices, from->n_devices) < 0)
		return -1;
	for (i = 0; i < from->n_devices; i++)
		add(&to->devices, from->device[i].resource, from->device[i].id);
	to->container = (V1__ContainerResources)V1__CONTAINER_RESOURCES__INIT;
	to->container.name = name;
	to->container.n_devices = to->devices.n;
	to->container.devices = to->devices.pointers;
	to->container_pointer = &to->container;
	to->pod = (V1__PodResources)V1__POD_RESOURCES__INIT;
	to->pod.name = (char *)(uintptr_t)from->name;
	to->pod.namespace_ = ns;
	to->pod.n_containers = 1;
	to->pod.containers = &to->container_pointer;
	return 0;
}

static int fill_pods(const struct kf_sim_kubelet *k, struct pod_entry *entry,
		     V1__PodResources **pointers)
{
	const struct kf_sim_pod *pod;
	unsigned n = 0;

	for (pod = k->pods; pod; pod = pod->next) {
		if (pod->gone || pod->state != KF_SIM_POD_RUNNING)
			continue;
		if (fill_pod(pod, &entry[n]) < 0)
			return -1;
		pointers[n] = &entry[n].pod;
		n++;
	}
	return (int)n;
}

static void list(struct kf_sim_kubelet *k, struct kf_grpc_call *call)
{
	V1__ListPodResourcesResponse m = V1__LIST_POD_RESOURCES_RESPONSE__INIT;
	kf_auto_mem struct pod_entry *entry = NULL;
	kf_auto_mem V1__PodResources **pointers = NULL;
	const struct kf_sim_pod *pod;
	unsigned i, n_pods = 0;
	int n = -1;

	admit_update(k);
	for (pod = k->pods; pod; pod = pod->next)
		n_pods++;
	entry = kf_calloc(n_pods, sizeof(*entry));
	pointers = kf_calloc(n_pods, sizeof(*pointers));
	if (entry && pointers)
		n = fill_pods(k, entry, pointers);
	if (n >= 0) {
		m.n_pod_resources = (size_t)n;
		m.pod_resources = pointers;
		answer(call, &m.base);
	} else {
		kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "no memory");
	}
	for (i = 0; entry && i < n_pods; i++)
		entries_done(&entry[i].devices);
}

static void get_allocatable_or_wait(struct kf_sim_kubelet *k, struct kf_grpc_call *call)
{
	if (!k->hold)
		get_allocatable(k, call);
	else if (k->n_held < MAX_HELD)
		k->held[k->n_held++] = call;
	else
		kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "rejected by rate limit");
}

void kf_sim_kubelet_hold_allocatable(struct kf_sim_kubelet *k, int on)
{
	k->hold = on;
	while (!on && k->n_held > 0)
		get_allocatable(k, k->held[--k->n_held]);
}

static void on_request(void *ud, struct kf_grpc_call *call, const char *path, const uint8_t *bytes,
		       size_t n)
{
	if (!strcmp(path, "/v1.PodResourcesLister/List"))
		list(ud, call);
	else if (!strcmp(path, "/v1.PodResourcesLister/GetAllocatableResources"))
		get_allocatable_or_wait(ud, call);
	else
		kf_grpc_finish(call, KF_GRPC_UNIMPLEMENTED, "unknown method");
}

static void on_closed(void *ud, struct kf_grpc_call *call)
{
	struct kf_sim_kubelet *k = ud;
	unsigned i;

	for (i = 0; i < k->n_held; i++)
		if (k->held[i] == call)
			k->held[i] = k->held[--k->n_held];
}

const struct kf_grpc_server_events lister_events = {.request = on_request, .closed = on_closed};
