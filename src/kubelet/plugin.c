/* One resource: its socket, its streams, its list, its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/own.h"
#include "kubelet/plugin.h"

#define MAX_REQUEST (4u << 20) /* the longest request names 75,000 devices: 3.2 MB */
#define LINGER_MS   1000       /* the kubelet reads a list within milliseconds */
#define LINGER_MAX  10	       /* such pauses, for one that does not read */

static void on_timer_closed(uv_handle_t *h)
{
	plugin_handle_closed(h->data);
}

struct plugin *plugin_new(struct kf_kubelet *k, const char *resource)
{
	struct plugin *p = kf_calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->k = k;
	snprintf(p->offer.resource, sizeof(p->offer.resource), "%s", resource);
	uv_timer_init(k->loop, &p->send);
	uv_timer_init(k->loop, &p->retry);
	p->send.data = p->retry.data = p;
	p->n_open = 2;
	p->pause_ms = k->opt.retry_min_ms;
	p->next = k->plugins;
	k->plugins = p;
	k->n_open++;
	return p;
}

/* A handle, an old socket or a Register call of this resource is gone. */
void plugin_handle_closed(void *plugin)
{
	struct plugin *p = plugin;
	struct plugin **at = &p->k->plugins;
	struct kf_kubelet *k = p->k;

	if (--p->n_open > 0)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	kf_offer_done(&p->offer);
	free(p);
	kubelet_handle_closed(k);
}

void plugin_close(struct plugin *p)
{
	if (p->closing)
		return;
	p->closing = 1;
	register_cancel(p);
	plugin_drop(p);
	uv_close((uv_handle_t *)&p->send, on_timer_closed);
	uv_close((uv_handle_t *)&p->retry, on_timer_closed);
}

/* --- the socket --- */

/* "kerf-5f3a9c01-nvidia.com_mig-1g.5gb.sock": another name each time, since kubelets before 1.36
 * confuse an old connection's end with a new one of the same name (kubernetes.md 1.6). */
static void name_endpoint(struct plugin *p)
{
	unsigned random = 0;
	char *slash;

	(void)!getrandom(&random, sizeof(random), 0);
	snprintf(p->endpoint, sizeof(p->endpoint), "kerf-%08x-%.40s.sock", random,
		 p->offer.resource);
	for (slash = p->endpoint; (slash = strchr(slash, '/'));)
		*slash = '_';
}

int plugin_listen(struct plugin *p, struct kf_error *err)
{
	struct kf_grpc_listener_options opt = {.limits.max_message = MAX_REQUEST};
	kf_auto_mem char *path = NULL;

	if (p->listener && kf_grpc_listener_intact(p->listener))
		return 0;
	plugin_drop(p);
	name_endpoint(p);
	path = kf_asprintf("%s/%s", p->k->directory, p->endpoint);
	if (!path)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the name of a socket");
	if (kf_grpc_listen(p->k->loop, path, &opt, &plugin_requests, p, &p->listener, err) < 0)
		return -1;
	p->n_open++;
	return 0;
}

static void tell_listening(struct plugin *p, int on)
{
	struct kf_kubelet *k = p->k;

	if (k->ev->listening && !k->stopping)
		k->ev->listening(k->ud, p->offer.resource, on);
}

int plugin_drop(struct plugin *p)
{
	unsigned long accepted, strangers;
	int had = p->n_streams > 0;

	p->n_streams = 0;
	if (p->listener) {
		kf_grpc_listener_count(p->listener, &accepted, &strangers);
		p->k->counts.connections += accepted;
		p->k->counts.strangers += strangers;
		kf_grpc_listener_stop(kf_take(p->listener), plugin_handle_closed, p);
	}
	if (had)
		tell_listening(p, 0);
	return had;
}

/* --- the streams --- */

static struct stream *find_stream(struct plugin *p, const struct kf_grpc_call *call)
{
	unsigned i;

	for (i = 0; i < p->n_streams; i++)
		if (p->stream[i].call == call)
			return &p->stream[i];
	return NULL;
}

/* Send the list on one stream, or remember to when the last one is out: lists never queue up. */
static void send_on(struct plugin *p, struct stream *s, const struct kf_message *list)
{
	s->stale = kf_grpc_queued(s->call) > 0;
	if (s->stale)
		return;
	if (kf_grpc_send(s->call, list->bytes, list->n, NULL) < 0)
		kf_grpc_finish(s->call, KF_GRPC_RESOURCE_EXHAUSTED, "kerf: no memory for the list");
	else
		p->k->counts.lists++;
}

static void send_to(struct plugin *p, struct stream *from, unsigned n)
{
	struct kf_message list = {0};
	unsigned i;

	if (kf_message_list(&p->offer, &list) < 0) {
		/* Without a stream the kubelet counts none of these devices, until we register
		 * again: the safe side. */
		for (i = 0; i < n; i++)
			kf_grpc_finish(from[i].call, KF_GRPC_RESOURCE_EXHAUSTED,
				       "kerf: no memory for the list");
		return;
	}
	for (i = 0; i < n; i++)
		send_on(p, &from[i], &list);
	kf_message_done(&list);
}

void plugin_send(struct plugin *p)
{
	uv_timer_stop(&p->send);
	p->dirty = 0;
	if (p->n_streams == 0)
		return;
	p->sent_ms = uv_now(p->k->loop);
	send_to(p, p->stream, p->n_streams);
}

int plugin_stream_opened(struct plugin *p, struct kf_grpc_call *call)
{
	struct stream *s;

	if (p->n_streams == MAX_STREAMS)
		return -1;
	s = &p->stream[p->n_streams++];
	*s = (struct stream){.call = call};
	p->k->counts.streams++;
	p->pause_ms = p->k->opt.retry_min_ms;
	p->last = (struct kf_error){0};
	if (p->registration == REGISTRATION_DONE)
		uv_timer_stop(&p->retry);
	send_to(p, s, 1);
	if (p->n_streams == 1)
		tell_listening(p, 1);
	return 0;
}

void plugin_stream_drained(struct plugin *p, struct kf_grpc_call *call)
{
	struct stream *s = find_stream(p, call);

	if (s && s->stale)
		send_to(p, s, 1);
}

void plugin_stream_closed(struct plugin *p, struct kf_grpc_call *call)
{
	struct stream *s = find_stream(p, call);

	if (!s)
		return; /* another method's call */
	*s = p->stream[--p->n_streams];
	if (p->n_streams > 0)
		return;
	tell_listening(p, 0);
	if (p->leaving) {
		plugin_close(p);
	} else if (!p->closing && p->registration != REGISTRATION_CALLING) {
		/* Another socket for the next time: see name_endpoint. */
		plugin_drop(p);
		register_again(p);
	}
}

/* --- the list --- */

static void on_send(uv_timer_t *t)
{
	plugin_send(t->data);
}

/* The first change goes out at once; what follows it within the coalescing time goes together. */
static void send_soon(struct plugin *p)
{
	uint64_t now, due = p->sent_ms + p->k->opt.coalesce_ms;

	uv_update_time(p->k->loop);
	now = uv_now(p->k->loop);
	p->dirty = 1;
	if (p->sent_ms == 0 || now >= due)
		plugin_send(p);
	else if (!uv_is_active((uv_handle_t *)&p->send))
		uv_timer_start(&p->send, on_send, due - now, 0);
}

void plugin_offer(struct plugin *p, struct kf_offer *offer)
{
	int back = p->leaving;

	kf_offer_done(&p->offer);
	p->offer = *offer;
	*offer = (struct kf_offer){0};
	p->leaving = 0;
	send_soon(p);
	if (!back)
		return;
	uv_timer_stop(&p->retry);
	if (p->n_streams == 0)
		register_after(p, 0);
}

static void on_linger(uv_timer_t *t)
{
	struct plugin *p = t->data;
	unsigned i, waiting = 0;

	for (i = 0; i < p->n_streams; i++)
		waiting += kf_grpc_queued(p->stream[i].call) > 0 || p->stream[i].stale;
	if (waiting == 0 || ++p->goodbyes == LINGER_MAX)
		plugin_close(p);
}

void plugin_leave(struct plugin *p)
{
	int unheard = p->n_streams == 0 && p->registration == REGISTRATION_NONE;

	if (p->leaving || p->closing)
		return;
	p->leaving = 1;
	p->goodbyes = 0;
	register_cancel(p);
	p->offer.n = 0;
	plugin_send(p);
	if (unheard)
		plugin_close(p);
	else
		uv_timer_start(&p->retry, on_linger, LINGER_MS, LINGER_MS);
}
