/* The public face of the device-plugin side; see kubelet.h. */
#include "kubelet/kubelet.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"
#include "kubelet/plugin.h"

#define MAX_LIST (4u << 20) /* what a kubelet's gRPC takes in one message, prefix excluded */

void kubelet_trouble(struct kf_kubelet *k, const struct kf_error *err)
{
	if (k->ev->trouble && !k->stopping)
		k->ev->trouble(k->ud, err);
}

static void set_options(struct kf_kubelet *k, const struct kf_kubelet_options *opt)
{
	if (opt)
		k->opt = *opt;
	if (!k->opt.directory)
		k->opt.directory = KF_KUBELET_DIRECTORY;
	if (!k->opt.coalesce_ms)
		k->opt.coalesce_ms = 200;
	if (!k->opt.check_ms)
		k->opt.check_ms = 3000;
	if (!k->opt.retry_min_ms)
		k->opt.retry_min_ms = 50;
	if (!k->opt.retry_max_ms)
		k->opt.retry_max_ms = 30000;
	if (!k->opt.answer_ms)
		k->opt.answer_ms = 15000;
}

static void on_check(uv_timer_t *t)
{
	watch_look(t->data);
}

static struct kf_kubelet *half_free(struct kf_kubelet *k)
{
	if (k) {
		free(k->directory);
		free(k->socket);
		free(k);
	}
	return NULL;
}

int kf_kubelet_start(uv_loop_t *loop, const struct kf_kubelet_options *opt,
		     const struct kf_kubelet_events *ev, void *userdata, struct kf_kubelet **ret,
		     struct kf_error *err)
{
	struct kf_kubelet *k = kf_calloc(1, sizeof(*k));

	if (!k)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the kubelet's side");
	set_options(k, opt);
	k->directory = kf_strdup(k->opt.directory);
	k->socket = kf_asprintf("%s/kubelet.sock", k->opt.directory);
	if (!k->directory || !k->socket) {
		half_free(k);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the kubelet's side");
	}
	k->opt.directory = k->directory;
	k->loop = loop;
	k->ev = ev;
	k->ud = userdata;
	uv_timer_init(loop, &k->check);
	uv_fs_event_init(loop, &k->watch);
	k->check.data = k->watch.data = k;
	k->n_open = 2;
	uv_timer_start(&k->check, on_check, k->opt.check_ms, k->opt.check_ms);
	watch_sweep(k);
	watch_look(k);
	*ret = k;
	return 0;
}

/* --- publish --- */

static struct plugin *find_plugin(const struct kf_kubelet *k, const char *resource)
{
	struct plugin *p;

	for (p = k->plugins; p; p = p->next)
		if (!p->closing && !strcmp(p->offer.resource, resource))
			return p;
	return NULL;
}

static int check_devices(const struct kf_offer *offer, struct kf_error *err)
{
	struct kf_message list = {0};
	size_t n;
	unsigned i;

	for (i = 0; i < offer->n; i++)
		if (!kf_is_utf8(offer->device[i].id, strlen(offer->device[i].id)))
			return kf_fail(err, KF_E_INPUT, 0, "resource %s: device %u is not UTF-8",
				       offer->resource, i);
	if (kf_message_list(offer, &list) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %u devices", offer->n);
	n = list.n;
	kf_message_done(&list);
	if (n > MAX_LIST)
		return kf_fail(err, KF_E_INPUT, 0,
			       "resource %s: a list of %u devices takes %zu bytes, and a kubelet "
			       "takes %u",
			       offer->resource, offer->n, n, MAX_LIST);
	return 0;
}

static int check_offers(const struct kf_offers *offers, struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < offers->n; i++) {
		const struct kf_offer *o = &offers->offer[i];

		if (!o->resource[0])
			return kf_fail(err, KF_E_INPUT, 0, "offer %u has no name", i);
		if (kf_offers_find(offers, o->resource) != o)
			return kf_fail(err, KF_E_INPUT, 0, "resource %s is offered twice",
				       o->resource);
		if (check_devices(o, err) < 0)
			return -1;
	}
	return 0;
}

/* Make the servers that are missing.  When memory runs out, those made are closed again. */
static int add_missing(struct kf_kubelet *k, const struct kf_offers *offers, struct kf_error *err)
{
	struct plugin *old = k->plugins, *p;
	unsigned i;

	for (i = 0; i < offers->n; i++) {
		if (find_plugin(k, offers->offer[i].resource) ||
		    plugin_new(k, offers->offer[i].resource))
			continue;
		for (p = k->plugins; p != old; p = p->next)
			plugin_close(p);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for resource %s",
			       offers->offer[i].resource);
	}
	for (p = k->plugins; p != old; p = p->next)
		register_after(p, 0);
	return 0;
}

int kf_kubelet_publish(struct kf_kubelet *k, const struct kf_offers *offers, struct kf_error *err)
{
	struct kf_offers copy = {0};
	struct plugin *p;
	unsigned i;

	if (check_offers(offers, err) < 0)
		return -1;
	if (kf_offers_copy(offers, &copy) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %u resources", offers->n);
	if (add_missing(k, offers, err) < 0) {
		kf_offers_done(&copy);
		return -1;
	}
	for (i = 0; i < copy.n; i++) {
		p = find_plugin(k, copy.offer[i].resource);
		if (p->leaving || !kf_offer_equal(&p->offer, &copy.offer[i]))
			plugin_offer(p, &copy.offer[i]);
	}
	kf_offers_done(&copy);
	for (p = k->plugins; p; p = p->next)
		if (!kf_offers_find(offers, p->offer.resource))
			plugin_leave(p);
	return 0;
}

void kf_kubelet_step_aside(struct kf_kubelet *k)
{
	struct plugin *p;

	for (p = k->plugins; p; p = p->next)
		plugin_close(p);
}

void kf_kubelet_resend(struct kf_kubelet *k)
{
	struct plugin *p;

	for (p = k->plugins; p; p = p->next)
		if (!p->closing)
			plugin_send(p);
}

static int plugin_settled(const struct plugin *p)
{
	unsigned i;

	if (p->leaving || p->closing)
		return 1;
	for (i = 0; i < p->n_streams; i++)
		if (p->stream[i].stale || kf_grpc_queued(p->stream[i].call) > 0)
			return 0;
	return p->n_streams > 0 && !p->dirty;
}

int kf_kubelet_settled(const struct kf_kubelet *k)
{
	const struct plugin *p;

	for (p = k->plugins; p; p = p->next)
		if (!plugin_settled(p))
			return 0;
	return 1;
}

void kf_kubelet_count(const struct kf_kubelet *k, struct kf_kubelet_counts *ret)
{
	unsigned long accepted, strangers;
	const struct plugin *p;

	*ret = k->counts;
	for (p = k->plugins; p; p = p->next) {
		if (!p->listener)
			continue;
		kf_grpc_listener_count(p->listener, &accepted, &strangers);
		ret->connections += accepted;
		ret->strangers += strangers;
	}
}

/* --- the end --- */

void kubelet_handle_closed(struct kf_kubelet *k)
{
	void (*done)(void *ud) = k->done;
	void *ud = k->done_ud;

	if (--k->n_open > 0)
		return;
	half_free(k);
	if (done)
		done(ud);
}

static void on_handle_closed(uv_handle_t *h)
{
	kubelet_handle_closed(h->data);
}

void kf_kubelet_stop(struct kf_kubelet *k, void (*done)(void *ud), void *ud)
{
	struct plugin *p;

	k->stopping = 1;
	k->done = done;
	k->done_ud = ud;
	uv_close((uv_handle_t *)&k->check, on_handle_closed);
	uv_close((uv_handle_t *)&k->watch, on_handle_closed);
	for (p = k->plugins; p; p = p->next)
		plugin_close(p);
}
