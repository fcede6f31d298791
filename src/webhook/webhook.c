/* The webhook's loop; see webhook.h. */
#include "webhook/webhook.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "base/text.h"
#include "kube/http.h"
#include "kube/watch.h"
#include "webhook/certificate.h"
#include "webhook/keep.h"
#include "webhook/serve.h"

#define STRATEGIC	"application/strategic-merge-patch+json"
#define CONFIGURATIONS	"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
#define LOOK_MS		60000 /* at the Secret, which another replica may have renewed */
#define TROUBLE_MS	2000
#define SETTLE_MS	5000 /* until all API servers have heard of a new CA */
#define LOOKS_PER_VALID 30   /* with certificates of seconds, as in tests, all of this is quicker */

struct webhook {
	const struct kf_webhook_options *opt;
	uv_loop_t loop;
	uv_signal_t on_term, on_int;
	uv_timer_t look, settle;
	struct kf_kube_config *config;
	struct kf_kube *kube;
	struct kf_watch *watch;
	char names[1024]; /* of the certificate */
	struct kf_text secret_path;
	json_t *configuration;	     /* as it was seen last; NULL: there is none */
	json_t *secret;		     /* while one is made */
	struct kf_certificate *cert; /* as the Secret has it */
	char *served;		     /* the certificate of the server; NULL: none yet */
	struct kf_serve *server;
	int asking, again, stopping;
	struct kf_error trouble; /* told last */
};

static void look(struct webhook *w);

static int64_t now_s(void)
{
	int64_t s;
	int32_t us;

	kf_wall(&s, &us);
	return s;
}

static uint64_t at_most(const struct webhook *w, uint64_t ms)
{
	uint64_t part = w->opt->valid_ms / LOOKS_PER_VALID;

	return part < ms ? part : ms;
}

/* A failure that lasts is told once. */
static void tell(struct webhook *w, const struct kf_error *err, const char *what)
{
	if (!strcmp(w->trouble.msg, err->msg))
		return;
	w->trouble = *err;
	kf_log_fail(KF_WARN, "webhook", err, what);
}

static void on_look_timer(uv_timer_t *timer)
{
	look(timer->data);
}

static void look_in(struct webhook *w, uint64_t ms)
{
	w->asking = 0;
	w->secret = (json_decref(w->secret), NULL);
	if (!w->stopping)
		uv_timer_start(&w->look, on_look_timer, w->again ? 0 : ms, 0);
	w->again = 0;
}

static void failed(struct webhook *w, const struct kf_error *err)
{
	tell(w, err, "trying again");
	look_in(w, at_most(w, TROUBLE_MS));
}

static int ask(struct webhook *w, const char *method, const char *path, const char *type,
	       const char *body, kf_kube_answer_cb cb)
{
	struct kf_error err = {0};

	if (!path || (type && !body))
		kf_fail(&err, KF_E_NOMEM, 0, "no memory for a request");
	else if (kf_kube_request(w->kube, method, path, type, body, cb, w, &err) == 0)
		return 0;
	failed(w, &err);
	return -1;
}

/* --- serving ------------------------------------------------------------------------------- */

static int is_served(const struct webhook *w)
{
	return w->served && w->cert && !strcmp(w->served, w->cert->server);
}

static void serve(struct webhook *w)
{
	struct kf_error err = {0};
	int r;

	if (!w->cert || is_served(w))
		return;
	r = w->server ? kf_serve_change(w->server, w->cert, &err)
		      : kf_serve_start(w->opt->listen, w->cert, &w->server, &err);
	if (r < 0) {
		tell(w, &err, "trying again");
		return;
	}
	free(w->served);
	w->served = kf_strdup(w->cert->server);
	kf_log(KF_INFO, "webhook", "serving on %s for %s, by a certificate that is good for %lld s",
	       kf_serve_address(w->server), w->names, (long long)(w->cert->until_s - now_s()));
}

static void on_settled(uv_timer_t *timer)
{
	serve(timer->data);
}

/* The first certificate is served at once, a later one when it is trusted everywhere. */
static void serve_when_trusted(struct webhook *w, int trusted)
{
	if (!w->server)
		serve(w);
	else if (!is_served(w) && trusted && !uv_is_active((uv_handle_t *)&w->settle))
		uv_timer_start(&w->settle, on_settled, at_most(w, SETTLE_MS), 0);
}

/* --- the configuration --------------------------------------------------------------------- */

static void on_trusted(void *ud, const struct kf_kube_answer *answer)
{
	struct webhook *w = ud;
	struct kf_error err = {0};

	if (w->stopping)
		return;
	if (kf_kube_check(answer, &err) < 0) {
		failed(w, &err);
		return;
	}
	kf_log(KF_INFO, "webhook", "%s trusts the certificate", w->opt->configuration);
	w->trouble = (struct kf_error){0};
	serve_when_trusted(w, 1);
	look_in(w, at_most(w, LOOK_MS));
}

static void have_it_trusted(struct webhook *w)
{
	kf_auto(kf_text_done) struct kf_text path = {0};
	kf_auto_mem char *body = NULL;
	struct kf_error err = {0};

	if (!w->configuration) {
		kf_fail(&err, KF_E_STATE, 0, "there is no MutatingWebhookConfiguration %s",
			w->opt->configuration);
		tell(w, &err, "nobody asks us until there is");
	}
	serve_when_trusted(w, 0);
	if (!w->configuration || kf_keep_is_trusted(w->configuration, w->cert->authority)) {
		serve_when_trusted(w, 1);
		look_in(w, at_most(w, LOOK_MS));
		return;
	}
	body = kf_keep_trust_patch(w->configuration, w->cert->authority);
	kf_text_add(&path, CONFIGURATIONS "/");
	if (kf_kube_segment(&path, w->opt->configuration, &err) < 0)
		failed(w, &err);
	else
		ask(w, "PATCH", path.s, STRATEGIC, body, on_trusted);
}

static void on_object(void *ud, enum kf_watch_type type, json_t *object)
{
	struct webhook *w = ud;

	json_decref(w->configuration);
	w->configuration = type == KF_WATCH_DELETED ? NULL : json_incref(object);
	if (w->cert && w->configuration &&
	    !kf_keep_is_trusted(w->configuration, w->cert->authority))
		look(w);
}

static void on_synced(void *ud)
{
	look(ud);
}

static void on_watch_trouble(void *ud, const struct kf_error *err)
{
	(void)ud;
	kf_log(KF_WARN, "webhook", "%s", err->msg);
}

/* --- the Secret ---------------------------------------------------------------------------- */

/* Takes c. */
static void adopt(struct webhook *w, struct kf_certificate *c)
{
	kf_certificate_free(w->cert);
	w->cert = c;
	have_it_trusted(w);
}

static void on_written(void *ud, const struct kf_kube_answer *answer)
{
	struct webhook *w = ud;
	struct kf_error err = {0};

	if (w->stopping)
		return;
	if (kf_kube_check(answer, &err) < 0 && err.detail != 409) {
		failed(w, &err);
		return;
	}
	/* read it back: ours, or that of a replica that was quicker */
	look_in(w, 0);
}

static void renew(struct webhook *w, const struct kf_certificate *before)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = NULL;
	kf_auto_mem char *body = NULL;
	struct kf_error err = {0};

	if (kf_certificate_make(w->names, now_s(), (int64_t)(w->opt->valid_ms / 1000), before, &c,
				&err) < 0) {
		failed(w, &err);
		return;
	}
	body = kf_keep_secret_patch(w->secret, c);
	ask(w, "PATCH", w->secret_path.s, KF_KUBE_MERGE, body, on_written);
}

static void on_secret(void *ud, const struct kf_kube_answer *answer)
{
	struct webhook *w = ud;
	kf_auto(kf_certificate_freep) struct kf_certificate *c = NULL;
	struct kf_error err = {0};
	int fit;

	if (w->stopping)
		return;
	if (kf_kube_check(answer, &err) < 0) {
		failed(w, &err);
		return;
	}
	w->secret = json_loadb(answer->body, answer->n, 0, NULL);
	fit = kf_keep_read(w->secret, w->names, &c, &err);
	if (fit < 0) {
		failed(w, &err);
		return;
	}
	if (fit == 0 && !kf_certificate_is_old(c, now_s())) {
		adopt(w, kf_take(c));
		return;
	}
	kf_log(KF_INFO, "webhook", "Secret %s: %s; making a certificate", w->opt->secret,
	       fit == 0 ? "its certificate is about to expire" : err.msg);
	renew(w, c);
}

/* The Secret, then what follows from it; while that is under way, once more afterwards. */
static void look(struct webhook *w)
{
	if (w->stopping)
		return;
	if (w->asking) {
		w->again = 1;
		return;
	}
	uv_timer_stop(&w->look);
	w->asking = 1;
	ask(w, "GET", w->secret_path.s, NULL, NULL, on_secret);
}

/* --- life ---------------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void on_kube_closed(void *ud)
{
	struct webhook *w = ud;

	w->kube = NULL;
	uv_walk(&w->loop, close_handle, NULL);
}

static void stop(struct webhook *w)
{
	if (w->stopping)
		return;
	w->stopping = 1;
	kf_watch_stop(w->watch);
	w->watch = NULL;
	if (w->kube)
		kf_kube_close(w->kube, on_kube_closed, w);
	else
		on_kube_closed(w);
}

static void on_end_signal(uv_signal_t *handle, int signum)
{
	kf_log(KF_INFO, "webhook", "%s: ending", signum == SIGTERM ? "SIGTERM" : "SIGINT");
	stop(handle->data);
}

static void start_handles(struct webhook *w)
{
	uv_timer_init(&w->loop, &w->look);
	uv_timer_init(&w->loop, &w->settle);
	uv_signal_init(&w->loop, &w->on_term);
	uv_signal_init(&w->loop, &w->on_int);
	w->look.data = w->settle.data = w->on_term.data = w->on_int.data = w;
	uv_signal_start(&w->on_term, on_end_signal, SIGTERM);
	uv_signal_start(&w->on_int, on_end_signal, SIGINT);
}

static int make_names(struct webhook *w, const char *namespace, struct kf_error *err)
{
	const struct kf_webhook_options *o = w->opt;
	int n = snprintf(w->names, sizeof(w->names), "%s.%s.svc%s%s", o->service, namespace,
			 o->more_names[0] ? "," : "", o->more_names);

	if ((size_t)n >= sizeof(w->names))
		return kf_fail(err, KF_E_INPUT, 0, "the certificate's names are too long");
	kf_text_add(&w->secret_path, "/api/v1/namespaces/");
	if (kf_kube_segment(&w->secret_path, namespace, err) < 0)
		return -1;
	kf_text_add(&w->secret_path, "/secrets/");
	return kf_kube_segment(&w->secret_path, o->secret, err);
}

static int start(struct webhook *w, struct kf_error *err)
{
	static const struct kf_watch_events events = {
		.object = on_object, .synced = on_synced, .trouble = on_watch_trouble};
	char selector[300];
	int answer = kf_kube_config_load(w->opt->kubeconfig, NULL, &w->config, err);

	if (answer == KF_KUBE_NOWHERE)
		return kf_fail(err, KF_E_INPUT, 0,
			       "no API server: this is no pod with a service account, and there is "
			       "no kubeconfig");
	if (answer < 0 ||
	    make_names(w, w->opt->namespace ? w->opt->namespace : w->config->namespace, err) < 0 ||
	    kf_kube_open(&w->loop, w->config, &w->kube, err) < 0)
		return -1;
	snprintf(selector, sizeof(selector), "metadata.name=%s", w->opt->configuration);
	return kf_watch_start(w->kube, CONFIGURATIONS, selector, 0, &events, w, &w->watch, err);
}

static void done(struct webhook *w)
{
	kf_serve_stop(w->server);
	kf_certificate_free(w->cert);
	json_decref(w->configuration);
	json_decref(w->secret);
	kf_text_done(&w->secret_path);
	free(w->served);
	kf_kube_config_free(w->config);
}

int kf_webhook_run(const struct kf_webhook_options *opt, struct kf_error *err)
{
	struct webhook w = {.opt = opt};
	int r;

	json_object_seed(0); /* once, before there are two threads */
	signal(SIGPIPE, SIG_IGN);
	r = uv_loop_init(&w.loop);
	if (r < 0)
		return kf_fail(err, KF_E_SYSTEM, -r, "start the loop: %s", uv_strerror(r));
	start_handles(&w);
	r = start(&w, err);
	if (r < 0)
		stop(&w);
	uv_run(&w.loop, UV_RUN_DEFAULT);
	uv_loop_close(&w.loop);
	done(&w);
	return r;
}
