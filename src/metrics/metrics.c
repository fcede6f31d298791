/* Hub, sampler and server together; see metrics.h. */
#include "metrics/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "metrics/live.h"
#include "metrics/node.h"
#include "metrics/page.h"

#define MORE_ROOM 4096 /* than the last text, for the next */

struct kf_metrics {
	struct kf_metrics_options opt;
	struct kf_hub *hub;
	struct kf_sampler *sampler;
	struct kf_http *http;
	struct kf_live *live; /* NULL: the page is not served */
	size_t last_size;     /* of the text: the server's thread alone uses it */
};

static void on_metrics(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	struct kf_metrics *m = ud;
	struct kf_expose_options opt = m->opt.expose;
	unsigned plain = kf_http_accepts(request->accept, "text/plain"),
		 open = kf_http_accepts(request->accept, "application/openmetrics-text");
	struct kf_snapshot snap;

	opt.openmetrics = open > 0 && open > plain;
	opt.room = m->last_size + MORE_ROOM;
	kf_sampler_poke(m->sampler);
	kf_hub_count(m->hub, &(struct kf_sampler_counts){.scrapes = 1});
	kf_hub_take(m->hub, &snap);
	ret->body = kf_expose(&snap, &opt, &ret->n);
	ret->type = opt.openmetrics ? KF_EXPOSE_OPENMETRICS : KF_EXPOSE_TEXT;
	m->last_size = ret->n;
	kf_snapshot_done(&snap);
}

static void say(struct kf_http_answer *ret, int status, const char *text)
{
	ret->status = status;
	ret->type = "text/plain; charset=utf-8";
	ret->body = kf_strdup(text);
	ret->n = strlen(text);
}

/* dcgm-exporter's: always well. */
static void on_health(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	(void)ud, (void)request;
	say(ret, 200, "OK\n");
}

static void on_healthz(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	struct kf_metrics *m = ud;

	(void)request;
	if (!m->opt.alive || m->opt.alive(m->opt.ud))
		say(ret, 200, "OK\n");
	else
		say(ret, 503, "the agent's loop does not turn\n");
}

static void on_readyz(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	struct kf_metrics *m = ud;
	kf_auto(kf_view_freep) struct kf_view *view = kf_hub_view(m->hub);

	(void)request;
	if (view && view->ready)
		say(ret, 200, "OK\n");
	else if (view && !view->driver_up)
		say(ret, 503, "the NVIDIA driver does not answer\n");
	else
		say(ret, 503, "the kubelet has not been offered the GPUs yet\n");
}

/* --- the page ------------------------------------------------------------------------------ */

char *kf_metrics_node_json(struct kf_metrics *m, size_t *ret_n)
{
	struct kf_node_words words = {.version = m->opt.expose.version, .wall_ms = kf_wall_ms()};
	struct kf_snapshot snap;
	char *text;

	kf_sampler_poke(m->sampler);
	kf_hub_take(m->hub, &snap);
	text = kf_node_json(&snap, &words, ret_n);
	kf_snapshot_done(&snap);
	return text;
}

static char *make_live(void *ud, size_t *ret_n)
{
	return kf_metrics_node_json(ud, ret_n);
}

static void on_node(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	(void)request;
	ret->body = kf_metrics_node_json(ud, &ret->n);
	ret->type = "application/json";
	ret->policy = KF_PAGE_POLICY;
}

static void on_live(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	struct kf_metrics *m = ud;

	kf_live_join(m->live, request, ret);
	ret->policy = KF_PAGE_POLICY;
}

static void on_hush(void *ud, int on)
{
	struct kf_metrics *m = ud;

	if (m->live)
		kf_live_hush(m->live, on);
}

void kf_metrics_show(struct kf_metrics *m, struct kf_view *view)
{
	kf_hub_show(m->hub, view);
	if (m->live)
		kf_live_nudge(m->live);
}

static void on_refused(void *ud)
{
	struct kf_metrics *m = ud;

	kf_hub_count(m->hub, &(struct kf_sampler_counts){.refused_scrapes = 1});
}

static const struct kf_http_route routes[] = {
	{"/metrics", on_metrics, 0},
	{"/health", on_health, 1},
	{"/healthz", on_healthz, 1},
	{"/readyz", on_readyz, 1},
	/* from here on where the page is switched on */
	{"/", kf_page_on_file, 0},
	{"/page.js", kf_page_on_file, 0},
	{"/page.css", kf_page_on_file, 0},
	{"/api/node.json", on_node, 0},
	{"/live", on_live, 0},
};
#define N_ROUTES     (sizeof(routes) / sizeof(routes[0]))
#define N_OF_METRICS (N_ROUTES - 5)

/* The socket first: where that cannot be had nothing is worth measuring. */
static int start_all(struct kf_metrics *m, char *note, size_t size, struct kf_error *err)
{
	struct kf_http_options http = {.listen = m->opt.listen,
				       .web_config = m->opt.web_config,
				       .routes = routes,
				       .n_routes = m->opt.page ? N_ROUTES : N_OF_METRICS,
				       .ud = m,
				       .hush = on_hush,
				       .refused = on_refused};

	m->hub = kf_hub_new();
	if (!m->hub)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for metrics");
	if (kf_sampler_start(m->hub, &m->opt.sampler, &m->sampler, err) < 0)
		return -1;
	if (m->opt.page && kf_live_start(make_live, m, &m->live, err) < 0)
		return -1;
	return kf_http_start(&http, note, size, &m->http, err);
}

int kf_metrics_start(const struct kf_metrics_options *opt, char *note, size_t size,
		     struct kf_metrics **ret, struct kf_error *err)
{
	struct kf_metrics *m = kf_calloc(1, sizeof(*m));

	if (!m)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for metrics");
	m->opt = *opt;
	m->opt.expose.counters = &m->opt.sampler.counters;
	if (start_all(m, note, size, err) < 0) {
		kf_metrics_stop(m);
		return -1;
	}
	*ret = m;
	return 0;
}

struct kf_hub *kf_metrics_hub(struct kf_metrics *m)
{
	return m->hub;
}

struct kf_sampler *kf_metrics_sampler(struct kf_metrics *m)
{
	return m->sampler;
}

const char *kf_metrics_address(const struct kf_metrics *m)
{
	return kf_http_address(m->http);
}

int kf_metrics_reload(struct kf_metrics *m, struct kf_error *err)
{
	return kf_http_reload(m->http, err);
}

/* So that a look for leaks finds what a thread still uses. */
static struct kf_metrics *volatile left_behind;

int kf_metrics_stop(struct kf_metrics *m)
{
	if (!m)
		return 0;
	kf_http_stop(m->http);
	kf_live_stop(m->live);
	if (m->sampler && kf_sampler_stop(m->sampler) != 0) {
		left_behind = m; /* it still uses the hub, and the process ends */
		return 1;
	}
	kf_hub_free(m->hub);
	free(m);
	return 0;
}
