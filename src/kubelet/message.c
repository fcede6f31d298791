/* Values to protobuf bytes; see message.h. */
#include "kubelet/message.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/own.h"
#include "deviceplugin.pb-c.h"

static void *take_memory(void *ud, size_t n)
{
	return kf_calloc(1, n);
}

static void give_memory(void *ud, void *p)
{
	free(p);
}

ProtobufCAllocator kf_message_memory = {.alloc = take_memory, .free = give_memory};

int kf_message_pack(const ProtobufCMessage *m, struct kf_message *ret)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = kf_calloc(1, n);

	if (!bytes)
		return -1;
	protobuf_c_message_pack(m, bytes);
	*ret = (struct kf_message){bytes, n};
	return 0;
}

void kf_message_done(struct kf_message *m)
{
	free(m->bytes);
	*m = (struct kf_message){0};
}

/* A device and what it points to, so that a list is one block of memory. */
struct device_parts {
	V1beta1__Device device;
	V1beta1__TopologyInfo topology;
	V1beta1__NUMANode node, *nodes;
};

static void fill_device(const struct kf_offer_device *from, struct device_parts *to)
{
	static char healthy[] = "Healthy", unhealthy[] = "Unhealthy";

	to->device = (V1beta1__Device)V1BETA1__DEVICE__INIT;
	to->device.id = (char *)(uintptr_t)from->id;
	to->device.health = from->healthy ? healthy : unhealthy;
	if (from->numa < 0)
		return;
	to->topology = (V1beta1__TopologyInfo)V1BETA1__TOPOLOGY_INFO__INIT;
	to->node = (V1beta1__NUMANode)V1BETA1__NUMANODE__INIT;
	to->node.id = from->numa;
	to->nodes = &to->node;
	to->topology.n_nodes = 1;
	to->topology.nodes = &to->nodes;
	to->device.topology = &to->topology;
}

int kf_message_list(const struct kf_offer *offer, struct kf_message *ret)
{
	V1beta1__ListAndWatchResponse m = V1BETA1__LIST_AND_WATCH_RESPONSE__INIT;
	kf_auto_mem struct device_parts *parts = kf_calloc(offer->n, sizeof(*parts));
	kf_auto_mem V1beta1__Device **devices = kf_calloc(offer->n, sizeof(*devices));
	unsigned i;

	if (!parts || !devices)
		return -1;
	for (i = 0; i < offer->n; i++) {
		fill_device(&offer->device[i], &parts[i]);
		devices[i] = &parts[i].device;
	}
	m.n_devices = offer->n;
	m.devices = devices;
	return kf_message_pack(&m.base, ret);
}

/* Everything that one container's answer is made of, in arrays that live until it is packed. */
struct answer_parts {
	V1beta1__ContainerAllocateResponse m;
	V1beta1__StringEntry *env, *annotation;
	V1beta1__Mount *mount;
	V1beta1__DeviceSpec *device;
	V1beta1__CDIDevice *cdi;
	void *pointers; /* to the elements of all five */
};

static void parts_done(struct answer_parts *p)
{
	free(p->env);
	free(p->annotation);
	free(p->mount);
	free(p->device);
	free(p->cdi);
	free(p->pointers);
}

static int parts_new(const struct kf_answer *a, struct answer_parts *p)
{
	size_t n = (size_t)a->n_envs + a->n_annotations + a->n_mounts + a->n_devices + a->n_cdi;

	p->m = (V1beta1__ContainerAllocateResponse)V1BETA1__CONTAINER_ALLOCATE_RESPONSE__INIT;
	p->env = kf_calloc(a->n_envs, sizeof(p->env[0]));
	p->annotation = kf_calloc(a->n_annotations, sizeof(p->annotation[0]));
	p->mount = kf_calloc(a->n_mounts, sizeof(p->mount[0]));
	p->device = kf_calloc(a->n_devices, sizeof(p->device[0]));
	p->cdi = kf_calloc(a->n_cdi, sizeof(p->cdi[0]));
	p->pointers = kf_calloc(n, sizeof(void *));
	if (p->env && p->annotation && p->mount && p->device && p->cdi && p->pointers)
		return 0;
	return -1;
}

static void fill_pairs(const struct kf_answer_pair *from, unsigned n, V1beta1__StringEntry *to,
		       V1beta1__StringEntry **pointers)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		to[i] = (V1beta1__StringEntry)V1BETA1__STRING_ENTRY__INIT;
		to[i].key = from[i].key;
		to[i].value = from[i].value;
		pointers[i] = &to[i];
	}
}

static void fill_mounts(const struct kf_answer *a, V1beta1__Mount *to, V1beta1__Mount **pointers)
{
	unsigned i;

	for (i = 0; i < a->n_mounts; i++) {
		to[i] = (V1beta1__Mount)V1BETA1__MOUNT__INIT;
		to[i].container_path = a->mount[i].container_path;
		to[i].host_path = a->mount[i].host_path;
		to[i].read_only = a->mount[i].read_only != 0;
		pointers[i] = &to[i];
	}
}

static void fill_devices(const struct kf_answer *a, V1beta1__DeviceSpec *to,
			 V1beta1__DeviceSpec **pointers)
{
	unsigned i;

	for (i = 0; i < a->n_devices; i++) {
		to[i] = (V1beta1__DeviceSpec)V1BETA1__DEVICE_SPEC__INIT;
		to[i].container_path = a->device[i].container_path;
		to[i].host_path = a->device[i].host_path;
		to[i].permissions = a->device[i].permissions;
		pointers[i] = &to[i];
	}
}

static void fill_cdi(const struct kf_answer *a, V1beta1__CDIDevice *to,
		     V1beta1__CDIDevice **pointers)
{
	unsigned i;

	for (i = 0; i < a->n_cdi; i++) {
		to[i] = (V1beta1__CDIDevice)V1BETA1__CDIDEVICE__INIT;
		to[i].name = a->cdi[i];
		pointers[i] = &to[i];
	}
}

static void fill_answer(const struct kf_answer *a, struct answer_parts *p)
{
	void **pointers = p->pointers;

	p->m.n_envs = a->n_envs;
	p->m.envs = (V1beta1__StringEntry **)pointers;
	fill_pairs(a->env, a->n_envs, p->env, p->m.envs);
	pointers += a->n_envs;
	p->m.n_annotations = a->n_annotations;
	p->m.annotations = (V1beta1__StringEntry **)pointers;
	fill_pairs(a->annotation, a->n_annotations, p->annotation, p->m.annotations);
	pointers += a->n_annotations;
	p->m.n_mounts = a->n_mounts;
	p->m.mounts = (V1beta1__Mount **)pointers;
	fill_mounts(a, p->mount, p->m.mounts);
	pointers += a->n_mounts;
	p->m.n_devices = a->n_devices;
	p->m.devices = (V1beta1__DeviceSpec **)pointers;
	fill_devices(a, p->device, p->m.devices);
	pointers += a->n_devices;
	p->m.n_cdi_devices = a->n_cdi;
	p->m.cdi_devices = (V1beta1__CDIDevice **)pointers;
	fill_cdi(a, p->cdi, p->m.cdi_devices);
}

int kf_message_answers(const struct kf_answer *answer, unsigned n, struct kf_message *ret)
{
	V1beta1__AllocateResponse m = V1BETA1__ALLOCATE_RESPONSE__INIT;
	kf_auto_mem struct answer_parts *parts = kf_calloc(n, sizeof(*parts));
	kf_auto_mem V1beta1__ContainerAllocateResponse **containers =
		kf_calloc(n, sizeof(*containers));
	int r = parts && containers ? 0 : -1;
	unsigned i;

	for (i = 0; r == 0 && i < n; i++) {
		r = parts_new(&answer[i], &parts[i]);
		if (r == 0)
			fill_answer(&answer[i], &parts[i]);
		containers[i] = &parts[i].m;
	}
	m.n_container_responses = n;
	m.container_responses = containers;
	if (r == 0)
		r = kf_message_pack(&m.base, ret);
	for (i = 0; parts && i < n; i++)
		parts_done(&parts[i]);
	return r;
}
