/* What the kubelet asks of a resource's server, method by method. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "deviceplugin.pb-c.h"
#include "kubelet/plugin.h"

static int status_of(const struct kf_error *err)
{
	switch (err->code) {
	case KF_E_INPUT:
	case KF_E_PROTOCOL:
		return KF_GRPC_INVALID_ARGUMENT;
	case KF_E_NOMEM:
		return KF_GRPC_RESOURCE_EXHAUSTED;
	case KF_E_TIMEOUT:
		return KF_GRPC_DEADLINE_EXCEEDED;
	case KF_E_UNSUPPORTED:
		return KF_GRPC_UNIMPLEMENTED;
	default:
		return KF_GRPC_FAILED_PRECONDITION;
	}
}

static void refuse(struct kf_grpc_call *call, const struct kf_error *err)
{
	kf_grpc_finish(call, status_of(err), err->msg);
}

static void no_memory(struct kf_grpc_call *call)
{
	kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "kerf: no memory to answer");
}

/* The one message of a unary answer. */
static void answer(struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	if (kf_grpc_send(call, bytes, n, NULL) < 0)
		no_memory(call);
	else
		kf_grpc_finish(call, KF_GRPC_OK, "");
}

static void answer_message(struct kf_grpc_call *call, const ProtobufCMessage *m)
{
	struct kf_message packed = {0};

	if (kf_message_pack(m, &packed) < 0)
		no_memory(call);
	else
		answer(call, packed.bytes, packed.n);
	kf_message_done(&packed);
}

static void get_options(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	V1beta1__DevicePluginOptions m = V1BETA1__DEVICE_PLUGIN_OPTIONS__INIT;

	m.get_preferred_allocation_available = p->k->ev->prefer != NULL;
	answer_message(call, &m.base);
}

static void list_and_watch(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes,
			   size_t n)
{
	if (plugin_stream_opened(p, call) < 0)
		kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED,
			       "kerf: too many watch this resource already");
}

/* PreStartContainer is not asked for in our options; a caller in spite of that is answered. */
static void pre_start(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	answer(call, NULL, 0);
}

/* Is each of them on our list?  0 or negative. */
static int known(const struct plugin *p, char **ids, size_t n, struct kf_error *err)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!kf_offer_find(&p->offer, ids[i]))
			return kf_fail(err, KF_E_INPUT, 0, "kerf: %s has no device %s",
				       p->offer.resource, ids[i]);
	return 0;
}

static int allocate_container(struct plugin *p, const V1beta1__ContainerAllocateRequest *request,
			      struct kf_answer *ret, struct kf_error *err)
{
	struct kf_kubelet *k = p->k;
	int r = known(p, request->devices_ids, request->n_devices_ids, err);

	if (r == 0)
		r = k->ev->allocate(k->ud, p->offer.resource,
				    (const char *const *)request->devices_ids,
				    (unsigned)request->n_devices_ids, ret, err);
	if (r < 0)
		k->counts.refused++;
	else
		k->counts.allocated++;
	return r;
}

/* The kubelet always asks for one container (kubernetes.md 1.3); the protocol allows more. */
static int allocate_all(struct plugin *p, const V1beta1__AllocateRequest *request,
			struct kf_message *ret, struct kf_error *err)
{
	unsigned i, n = (unsigned)request->n_container_requests;
	kf_auto_mem struct kf_answer *answers = kf_calloc(n, sizeof(*answers));
	int r = 0;

	if (!answers)
		return kf_fail(err, KF_E_NOMEM, 0, "kerf: no memory for %u containers", n);
	for (i = 0; r == 0 && i < n; i++)
		r = allocate_container(p, request->container_requests[i], &answers[i], err);
	if (r == 0 && kf_message_answers(answers, n, ret) < 0)
		r = kf_fail(err, KF_E_NOMEM, 0, "kerf: no memory to answer");
	for (i = 0; i < n; i++)
		kf_answer_done(&answers[i]);
	return r;
}

static void malformed(struct kf_grpc_call *call)
{
	kf_grpc_finish(call, KF_GRPC_INVALID_ARGUMENT, "kerf: the message is malformed");
}

static void allocate(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	V1beta1__AllocateRequest *request =
		v1beta1__allocate_request__unpack(&kf_message_memory, n, bytes);
	struct kf_message packed = {0};
	struct kf_error err = {0};

	if (!request) {
		malformed(call);
		return;
	}
	if (allocate_all(p, request, &packed, &err) < 0)
		refuse(call, &err);
	else
		answer(call, packed.bytes, packed.n);
	kf_message_done(&packed);
	v1beta1__allocate_request__free_unpacked(request, &kf_message_memory);
}

/* Ask for a choice; *ids has room for `size`. */
static int choose(struct plugin *p, const V1beta1__ContainerPreferredAllocationRequest *request,
		  const char **ids, struct kf_error *err)
{
	struct kf_kubelet *k = p->k;

	return k->ev->prefer(k->ud, p->offer.resource,
			     (const char *const *)request->available_deviceids,
			     (unsigned)request->n_available_deviceids,
			     (const char *const *)request->must_include_deviceids,
			     (unsigned)request->n_must_include_deviceids,
			     (unsigned)request->allocation_size, ids, err);
}

static int check_choice(const V1beta1__ContainerPreferredAllocationRequest *r, struct kf_error *err)
{
	if (r->allocation_size < 0 || (size_t)r->allocation_size > r->n_available_deviceids)
		return kf_fail(err, KF_E_INPUT, 0, "kerf: cannot choose %d of %zu devices",
			       r->allocation_size, r->n_available_deviceids);
	if (r->n_must_include_deviceids > (size_t)r->allocation_size)
		return kf_fail(err, KF_E_INPUT, 0, "kerf: cannot keep %zu devices among %d",
			       r->n_must_include_deviceids, r->allocation_size);
	return 0;
}

/* One container's choice, answered as a message of its own (one request, one answer). */
static void prefer_one(struct plugin *p, struct kf_grpc_call *call,
		       const V1beta1__ContainerPreferredAllocationRequest *request)
{
	V1beta1__ContainerPreferredAllocationResponse one =
		V1BETA1__CONTAINER_PREFERRED_ALLOCATION_RESPONSE__INIT;
	V1beta1__ContainerPreferredAllocationResponse *ones[] = {&one};
	V1beta1__PreferredAllocationResponse all = V1BETA1__PREFERRED_ALLOCATION_RESPONSE__INIT;
	kf_auto_mem const char **ids = NULL;
	struct kf_error err = {0};

	if (check_choice(request, &err) < 0) {
		refuse(call, &err);
		return;
	}
	ids = kf_calloc((size_t)request->allocation_size, sizeof(*ids));
	if (!ids) {
		no_memory(call);
		return;
	}
	if (choose(p, request, ids, &err) < 0) {
		refuse(call, &err);
		return;
	}
	p->k->counts.preferred++;
	one.n_deviceids = (size_t)request->allocation_size;
	one.deviceids = (char **)(uintptr_t)ids;
	all.n_container_responses = 1;
	all.container_responses = ones;
	answer_message(call, &all.base);
}

static void prefer(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	V1beta1__PreferredAllocationRequest *request;

	if (!p->k->ev->prefer) {
		kf_grpc_finish(call, KF_GRPC_UNIMPLEMENTED, "kerf: there is no preference");
		return;
	}
	request = v1beta1__preferred_allocation_request__unpack(&kf_message_memory, n, bytes);
	if (!request)
		malformed(call);
	else if (request->n_container_requests != 1)
		kf_grpc_finish(call, KF_GRPC_INVALID_ARGUMENT,
			       "kerf: a choice is made for one container at a time");
	else
		prefer_one(p, call, request->container_requests[0]);
	if (request)
		v1beta1__preferred_allocation_request__free_unpacked(request, &kf_message_memory);
}

static const struct {
	const char *path;
	void (*run)(struct plugin *p, struct kf_grpc_call *call, const uint8_t *bytes, size_t n);
} methods[] = {
	{"/v1beta1.DevicePlugin/GetDevicePluginOptions", get_options},
	{"/v1beta1.DevicePlugin/ListAndWatch", list_and_watch},
	{"/v1beta1.DevicePlugin/GetPreferredAllocation", prefer},
	{"/v1beta1.DevicePlugin/Allocate", allocate},
	{"/v1beta1.DevicePlugin/PreStartContainer", pre_start},
};

static void on_request(void *ud, struct kf_grpc_call *call, const char *path, const uint8_t *bytes,
		       size_t n)
{
	unsigned i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].path, path) == 0) {
			methods[i].run(ud, call, bytes, n);
			return;
		}
	}
	kf_grpc_finish(call, KF_GRPC_UNIMPLEMENTED, "kerf: no such method");
}

static void on_drained(void *ud, struct kf_grpc_call *call)
{
	plugin_stream_drained(ud, call);
}

static void on_closed(void *ud, struct kf_grpc_call *call)
{
	plugin_stream_closed(ud, call);
}

const struct kf_grpc_server_events plugin_requests = {
	.request = on_request,
	.drained = on_drained,
	.closed = on_closed,
};
