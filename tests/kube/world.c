/* See world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 10000

static void on_alarm(uv_timer_t *t)
{
	((struct world *)t->data)->late = 1;
}

void world_until(struct world *w, const int *flag, int want)
{
	w->late = 0;
	uv_timer_start(&w->alarm, on_alarm, PATIENCE_MS, 0);
	while (*flag < want && !w->late)
		uv_run(&w->loop, UV_RUN_ONCE);
	uv_timer_stop(&w->alarm);
	if (*flag < want)
		fail_msg("waited %d ms for %d, and it is %d", PATIENCE_MS, want, *flag);
}

void world_run_for(struct world *w, unsigned ms)
{
	w->late = 0;
	uv_timer_start(&w->alarm, on_alarm, ms, 0);
	while (!w->late)
		uv_run(&w->loop, UV_RUN_ONCE);
}

static void hurry(struct kf_kube_times *t)
{
	*t = (struct kf_kube_times){.connect_ms = 5000,
				    .request_ms = 2000,
				    .silence_ms = 300,
				    .backoff_ms = 20,
				    .backoff_max_ms = 100,
				    .token_ms = 50,
				    .exec_ms = 2000};
}

static void open_clients(struct world *w)
{
	struct kf_error err = {0};

	if (kf_kube_open(&w->loop, w->config, &w->kube, &err) < 0 ||
	    kf_kube_open(&w->loop, w->open_config, &w->sim, &err) < 0)
		fail_msg("%s", err.msg);
}

void world_start(struct world *w, const struct kf_sim_api_options *options)
{
	static const struct kf_sim_api_options plain;
	struct kf_error err = {0};
	char *text;

	memset(w, 0, sizeof(*w));
	uv_loop_init(&w->loop);
	uv_timer_init(&w->loop, &w->alarm);
	w->alarm.data = w;
	if (kf_sim_api_start(options ? options : &plain, &w->api, &err) < 0)
		fail_msg("%s", err.msg);
	text = kf_sim_api_kubeconfig(w->api);
	if (kf_kube_config_parse(text, strlen(text), "sim", NULL, &w->config, &err) < 0 ||
	    kf_kube_config_parse(text, strlen(text), "sim", NULL, &w->open_config, &err) < 0)
		fail_msg("%s", err.msg);
	free(text);
	hurry(&w->config->times);
	open_clients(w);
}

static void closed(void *ud)
{
	++*(int *)ud;
}

void world_reopen(struct world *w)
{
	int n = 0;

	kf_kube_close(w->kube, closed, &n);
	world_until(w, &n, 1);
	if (kf_kube_open(&w->loop, w->config, &w->kube, NULL) < 0)
		fail_msg("the client does not open");
}

void world_stop(struct world *w)
{
	int n = 0;

	kf_kube_close(w->kube, closed, &n);
	kf_kube_close(w->sim, closed, &n);
	world_until(w, &n, 2);
	uv_close((uv_handle_t *)&w->alarm, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0); /* no handle was left behind */
	kf_sim_api_stop(w->api);
	kf_kube_config_free(w->config);
	kf_kube_config_free(w->open_config);
}

static void on_reply(void *ud, const struct kf_kube_answer *a)
{
	struct reply *r = ud;

	r->came++;
	r->status = a->status;
	snprintf(r->body, sizeof(r->body), "%s", a->body);
	kf_kube_check(a, &r->err);
}

static void ask(struct world *w, struct kf_kube *k, const char *method, const char *path,
		const char *type, const char *body, struct reply *ret)
{
	struct kf_error err = {0};

	memset(ret, 0, sizeof(*ret));
	if (kf_kube_request(k, method, path, type, body, on_reply, ret, &err) < 0)
		fail_msg("%s", err.msg);
	world_until(w, &ret->came, 1);
}

void world_ask(struct world *w, const char *method, const char *path, const char *type,
	       const char *body, struct reply *ret)
{
	ask(w, w->kube, method, path, type, body, ret);
}

void world_tell(struct world *w, const char *path, const char *body)
{
	struct reply r;

	ask(w, w->sim, "POST", path, KF_KUBE_JSON, body, &r);
	if (r.status != 200)
		fail_msg("%s: %ld %s", path, r.status, r.err.msg);
}

int world_stat(struct world *w, const char *key)
{
	struct reply r;
	json_t *json;
	int n;

	ask(w, w->sim, "GET", "/sim/stats", NULL, NULL, &r);
	json = json_loads(r.body, 0, NULL);
	n = (int)json_integer_value(json_object_get(json, key));
	json_decref(json);
	return n;
}

void world_create(struct world *w, const char *path, const char *json)
{
	struct reply r;

	ask(w, w->sim, "POST", path, KF_KUBE_JSON, json, &r);
	if (r.status != 201)
		fail_msg("%s", r.err.msg);
}

void world_patch_node(struct world *w, const char *name, const char *json)
{
	struct reply r;
	char path[300];

	snprintf(path, sizeof(path), "/api/v1/nodes/%s", name);
	ask(w, w->sim, "PATCH", path, KF_KUBE_MERGE, json, &r);
	if (r.status != 200)
		fail_msg("%s", r.err.msg);
}
