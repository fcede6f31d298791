/*
 * Telling the kubelet of a resource.
 *
 * Register is a call on kubelet.sock that the kubelet answers only after it has dialled our own
 * socket and asked for our options, so it runs beside everything else (kubernetes.md 1.3).
 */
#include <stdlib.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/own.h"
#include "deviceplugin.pb-c.h"
#include "kubelet/plugin.h"

/* Say it once: a kubelet that is down for an hour is one line. */
static void trouble(struct plugin *p, const struct kf_error *err)
{
	if (p->last.code == err->code && p->last.detail == err->detail)
		return;
	p->last = *err;
	kubelet_trouble(p->k, err);
}

static void try_now(uv_timer_t *t);

void register_after(struct plugin *p, unsigned ms)
{
	if (p->closing || p->leaving)
		return;
	p->registration = REGISTRATION_NONE;
	uv_timer_start(&p->retry, try_now, ms, 0);
}

/* Between a half and the whole of the pause, so that many resources do not knock at once. */
static unsigned jittered(unsigned ms)
{
	unsigned random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	return ms / 2 + random % (ms / 2 + 1);
}

void register_again(struct plugin *p)
{
	register_after(p, jittered(p->pause_ms));
	p->pause_ms =
		p->pause_ms > p->k->opt.retry_max_ms / 2 ? p->k->opt.retry_max_ms : p->pause_ms * 2;
}

void register_cancel(struct plugin *p)
{
	uv_timer_stop(&p->retry);
	p->registration = REGISTRATION_NONE;
	if (p->pipe)
		kf_grpc_pipe_stop(kf_take(p->pipe), plugin_handle_closed, p);
}

void register_anew(struct plugin *p)
{
	int had;

	if (p->closing || p->leaving)
		return;
	register_cancel(p);
	had = plugin_drop(p);
	p->pause_ms = p->k->opt.retry_min_ms;
	/* Let a kubelet that still listened see the old end before the new beginning. */
	register_after(p, had ? p->pause_ms : 0);
}

static void on_no_stream(uv_timer_t *t)
{
	struct plugin *p = t->data;
	struct kf_error err = {0};

	kf_fail(&err, KF_E_TIMEOUT, 0,
		"resource %s: the kubelet registered it and did not ask for its devices",
		p->offer.resource);
	trouble(p, &err);
	plugin_drop(p);
	register_again(p);
}

static void on_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct plugin *p = ud;
	struct kf_kubelet *k = p->k;
	struct kf_error err = {0};

	register_cancel(p);
	if (status != KF_GRPC_OK) {
		kf_fail(&err, KF_E_REMOTE, status, "resource %s: register with the kubelet: %s: %s",
			p->offer.resource, kf_grpc_status_text(status), text);
		trouble(p, &err);
		register_again(p);
		return;
	}
	k->counts.registered++;
	p->registration = REGISTRATION_DONE;
	if (p->n_streams == 0)
		uv_timer_start(&p->retry, on_no_stream, k->opt.answer_ms, 0);
	if (k->ev->registered && !k->stopping)
		k->ev->registered(k->ud, p->offer.resource);
}

static void on_no_answer(uv_timer_t *t)
{
	struct plugin *p = t->data;
	struct kf_error err = {0};

	register_cancel(p);
	kf_fail(&err, KF_E_TIMEOUT, 0, "resource %s: the kubelet did not answer Register in %u ms",
		p->offer.resource, p->k->opt.answer_ms);
	trouble(p, &err);
	register_again(p);
}

static int pack_request(struct plugin *p, struct kf_message *ret)
{
	static char version[] = "v1beta1";
	V1beta1__RegisterRequest m = V1BETA1__REGISTER_REQUEST__INIT;
	V1beta1__DevicePluginOptions options = V1BETA1__DEVICE_PLUGIN_OPTIONS__INIT;

	options.get_preferred_allocation_available = p->k->ev->prefer != NULL;
	m.version = version;
	m.endpoint = p->endpoint;
	m.resource_name = p->offer.resource;
	m.options = &options; /* a kubelet since 1.25 asks us itself */
	return kf_message_pack(&m.base, ret);
}

static int call_register(struct plugin *p, struct kf_error *err)
{
	static const struct kf_grpc_call_events events = {.done = on_done};
	struct kf_message request = {0};
	int r;

	if (pack_request(p, &request) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to register");
	r = kf_grpc_connect(p->k->loop, p->k->socket, NULL, NULL, NULL, &p->pipe, err);
	if (r == 0) {
		p->n_open++;
		r = kf_grpc_call(kf_grpc_pipe_grpc(p->pipe), "/v1beta1.Registration/Register",
				 request.bytes, request.n, &events, p, NULL, err);
		if (r < 0)
			register_cancel(p);
	}
	kf_message_done(&request);
	return r;
}

static void try_now(uv_timer_t *t)
{
	struct plugin *p = t->data;
	struct kf_error err = {0};

	/* A kubelet that is new since we looked last begins everything anew, this one included. */
	watch_look(p->k);
	if (uv_is_active((uv_handle_t *)&p->retry))
		return;
	if (plugin_listen(p, &err) < 0 || call_register(p, &err) < 0) {
		kf_prefix(&err, "resource %s", p->offer.resource);
		trouble(p, &err);
		register_again(p);
		return;
	}
	p->registration = REGISTRATION_CALLING;
	uv_timer_start(&p->retry, on_no_answer, p->k->opt.answer_ms, 0);
}
