/* Plugins as the kubelet knows them: Register, the call back, the list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "deviceplugin.pb-c.h"
#include "inside.h"

static void tell(struct kf_sim_kubelet *k, const char *resource, const char *what)
{
	if (k->ev && k->ev->resource && !k->stopping)
		k->ev->resource(k->ud, resource, what);
}

struct endpoint *endpoint_find(const struct kf_sim_kubelet *k, const char *resource)
{
	struct endpoint *e;

	for (e = k->endpoints; e; e = e->next)
		if (!strcmp(e->list.resource, resource))
			return e;
	return NULL;
}

static struct endpoint *endpoint_need(struct kf_sim_kubelet *k, const char *resource)
{
	struct endpoint *e = endpoint_find(k, resource), **at = &k->endpoints;

	if (e)
		return e;
	e = kf_calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->k = k;
	snprintf(e->list.resource, sizeof(e->list.resource), "%s", resource);
	while (*at)
		at = &(*at)->next;
	*at = e;
	return e;
}

void endpoint_free(struct endpoint *e)
{
	kf_offer_done(&e->list);
	free(e);
}

/* The stream or the connection ended: its devices are known for a while, and none is healthy. */
void endpoint_close(struct endpoint *e)
{
	struct kf_sim_kubelet *k = e->k;
	struct kf_sim_pod *pod = k->admission.pod;
	int on_it = pod && k->admission.call &&
		    !strcmp(pod->request[k->admission.at].resource, e->list.resource);

	if (!e->pipe)
		return;
	e->stream = NULL;
	kf_grpc_pipe_stop(kf_take(e->pipe), standin_closed, k);
	e->stopped = 1;
	e->stopped_ms = uv_now(k->loop);
	k->counts.streams_ended++;
	if (on_it)
		admit_lost(k);
	tell(k, e->list.resource, "stream ended");
}

unsigned endpoint_healthy(const struct endpoint *e)
{
	unsigned i, n = 0;

	for (i = 0; !e->stopped && i < e->list.n; i++)
		n += e->list.device[i].healthy != 0;
	return n;
}

unsigned endpoint_known(const struct endpoint *e)
{
	if (e->stopped && uv_now(e->k->loop) - e->stopped_ms > e->k->opt.grace_ms)
		return 0;
	return e->list.n;
}

/* --- the list --- */

static int read_list(const V1beta1__ListAndWatchResponse *m, struct kf_offer *ret)
{
	size_t i;

	for (i = 0; i < m->n_devices; i++) {
		const V1beta1__Device *d = m->devices[i];
		int numa =
			d->topology && d->topology->n_nodes ? (int)d->topology->nodes[0]->id : -1;

		if (!kf_offer_find(ret, d->id) && /* the same ID twice is one device */
		    kf_offer_add(ret, d->id, !strcmp(d->health, "Healthy"), numa) < 0)
			return -1;
	}
	return 0;
}

static void on_list(void *ud, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	struct endpoint *e = ud;
	V1beta1__ListAndWatchResponse *m =
		v1beta1__list_and_watch_response__unpack(&kf_message_memory, n, bytes);
	struct kf_offer list = {0};

	memcpy(list.resource, e->list.resource, sizeof(list.resource));
	if (m && read_list(m, &list) == 0) {
		kf_offer_done(&e->list);
		e->list = list;
		e->k->counts.lists++;
		write_checkpoint(e->k);
		tell(e->k, e->list.resource, "list");
		admit_soon(e->k);
	} else {
		kf_offer_done(&list);
		endpoint_close(e); /* what a kubelet does with a message that it cannot read */
	}
	if (m)
		v1beta1__list_and_watch_response__free_unpacked(m, &kf_message_memory);
}

static void on_list_over(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct endpoint *e = ud;

	endpoint_close(e);
}

static void watch(struct endpoint *e, struct kf_grpc_pipe *pipe)
{
	static const struct kf_grpc_call_events events = {on_list, on_list_over};
	struct kf_grpc *g = kf_grpc_pipe_grpc(pipe);
	unsigned i;

	if (e->pipe) /* the newest one counts */
		endpoint_close(e);
	e->pipe = pipe;
	e->stopped = 0;
	for (i = 0; i < e->list.n; i++) /* until its list says otherwise */
		e->list.device[i].healthy = 0;
	if (!g || kf_grpc_call(g, "/v1beta1.DevicePlugin/ListAndWatch", NULL, 0, &events, e,
			       &e->stream, NULL) < 0)
		endpoint_close(e);
}

/* --- Register --- */

static void unlink_hello(struct hello *h)
{
	struct hello **at = &h->k->hellos;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
}

void hello_over(struct hello *h)
{
	unlink_hello(h);
	if (h->pipe)
		kf_grpc_pipe_stop(h->pipe, standin_closed, h->k);
	free(h);
}

static void on_options(void *ud, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	struct hello *h = ud;
	V1beta1__DevicePluginOptions *m =
		v1beta1__device_plugin_options__unpack(&kf_message_memory, n, bytes);

	h->prefers = m && m->get_preferred_allocation_available;
	if (m)
		v1beta1__device_plugin_options__free_unpacked(m, &kf_message_memory);
}

/* The plugin told its options: now Register is answered, and the list asked for. */
static void on_options_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct hello *h = ud;
	struct kf_sim_kubelet *k = h->k;
	struct endpoint *e = status == KF_GRPC_OK ? endpoint_need(k, h->resource) : NULL;
	struct kf_grpc_pipe *pipe;

	if (!e) {
		if (h->call)
			kf_grpc_finish(h->call, KF_GRPC_UNKNOWN, text);
		hello_over(h);
		return;
	}
	e->prefers = h->prefers;
	if (h->call && kf_grpc_send(h->call, NULL, 0, NULL) == 0)
		kf_grpc_finish(h->call, KF_GRPC_OK, "");
	k->counts.registered++;
	pipe = kf_take(h->pipe);
	hello_over(h);
	watch(e, pipe);
	tell(k, e->list.resource, "registered");
}

/* Dial the plugin and ask for its options, before its Register is answered. */
static int call_back(struct kf_sim_kubelet *k, struct kf_grpc_call *call, const char *endpoint,
		     const char *resource, struct kf_error *err)
{
	static const struct kf_grpc_call_events events = {on_options, on_options_done};
	kf_auto_mem char *path = kf_asprintf("%s/%s", k->directory, endpoint);
	kf_auto_mem struct hello *h = kf_calloc(1, sizeof(*h));
	struct hello *kept;

	if (!path || !h)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to call back");
	h->k = k;
	h->call = call;
	snprintf(h->resource, sizeof(h->resource), "%s", resource);
	if (kf_grpc_connect(k->loop, path, NULL, NULL, NULL, &h->pipe, err) < 0)
		return -1;
	k->n_open++;
	kept = kf_take(h);
	kept->next = k->hellos;
	k->hellos = kept;
	if (kf_grpc_call(kf_grpc_pipe_grpc(kept->pipe),
			 "/v1beta1.DevicePlugin/GetDevicePluginOptions", NULL, 0, &events, kept,
			 NULL, err) == 0)
		return 0;
	hello_over(kept);
	return -1;
}

static void register_plugin(struct kf_sim_kubelet *k, struct kf_grpc_call *call,
			    const V1beta1__RegisterRequest *m)
{
	struct kf_error err = {0};
	char text[600];

	if (strcmp(m->version, "v1beta1") != 0) {
		snprintf(text, sizeof(text),
			 "requested API version \"%s\" is not supported by kubelet", m->version);
		kf_grpc_finish(call, KF_GRPC_UNKNOWN, text);
	} else if (!strchr(m->resource_name, '/') || strlen(m->resource_name) >= KF_RESOURCE_NAME) {
		snprintf(text, sizeof(text), "the ResourceName \"%.300s\" is invalid",
			 m->resource_name);
		kf_grpc_finish(call, KF_GRPC_UNKNOWN, text);
	} else if (call_back(k, call, m->endpoint, m->resource_name, &err) < 0) {
		kf_grpc_finish(call, KF_GRPC_UNKNOWN, err.msg);
	}
}

static void on_request(void *ud, struct kf_grpc_call *call, const char *path, const uint8_t *bytes,
		       size_t n)
{
	V1beta1__RegisterRequest *m;

	if (strcmp(path, "/v1beta1.Registration/Register") != 0) {
		kf_grpc_finish(call, KF_GRPC_UNIMPLEMENTED, "unknown method");
		return;
	}
	m = v1beta1__register_request__unpack(&kf_message_memory, n, bytes);
	if (!m) {
		kf_grpc_finish(call, KF_GRPC_INTERNAL, "malformed RegisterRequest");
		return;
	}
	register_plugin(ud, call, m);
	v1beta1__register_request__free_unpacked(m, &kf_message_memory);
}

static void on_closed(void *ud, struct kf_grpc_call *call)
{
	struct kf_sim_kubelet *k = ud;
	struct hello *h;

	for (h = k->hellos; h; h = h->next)
		if (h->call == call)
			h->call = NULL;
}

const struct kf_grpc_server_events registry_events = {
	.request = on_request,
	.closed = on_closed,
};
