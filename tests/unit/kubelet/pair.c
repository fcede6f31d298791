#include "pair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the plugin's events --- */

static int allocate(void *ud, const char *resource, const char *const *ids, unsigned n,
		    struct kf_answer *ret, struct kf_error *err)
{
	struct pair *p = ud;
	unsigned i;

	p->allocations++;
	if (p->drop_list) {
		struct kf_offers none = {0};

		kf_kubelet_publish(p->plugin, &none, NULL);
	}
	if (p->refuse)
		return kf_fail(err, KF_E_BUSY, 0, "%s", p->refuse);
	if (kf_answer_add_env(ret, "FIRST", ids[0]) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory");
	for (i = 0; i < n; i++)
		if (kf_answer_add_cdi(ret, ids[i]) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory");
	return 0;
}

/* The last ones, in order: not what anybody would pick by accident. */
static int prefer(void *ud, const char *resource, const char *const *available,
		  unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		  const char **out, struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < size; i++)
		out[i] = i < n_must ? must[i] : available[n_available - 1 - i];
	return 0;
}

static void registered(void *ud, const char *resource)
{
	((struct pair *)ud)->registered++;
}

static void listening(void *ud, const char *resource, int on)
{
	struct pair *p = ud;

	if (on)
		p->listening++;
	else
		p->deaf++;
}

static void trouble(void *ud, const struct kf_error *err)
{
	struct pair *p = ud;

	p->troubles++;
	snprintf(p->trouble, sizeof(p->trouble), "%s", err->msg);
}

static const struct kf_kubelet_events events = {
	.allocate = allocate,
	.prefer = prefer,
	.registered = registered,
	.listening = listening,
	.trouble = trouble,
};

/* --- both --- */

static void on_done(void *ud)
{
	*(int *)ud = 1;
}

void pair_turn(struct pair *p)
{
	uv_timer_t *t = p->loop.data;

	uv_timer_again(t);
	uv_run(&p->loop, UV_RUN_ONCE);
}

static void on_tick(uv_timer_t *t)
{
}

void pair_start_plugin(struct pair *p)
{
	struct kf_kubelet_options opt = {
		.directory = p->directory,
		.coalesce_ms = p->coalesce_ms ? p->coalesce_ms : 40,
		.check_ms = 100,
		.retry_min_ms = 5,
		.retry_max_ms = 50,
		.answer_ms = 500,
	};
	struct kf_error err = {0};

	if (kf_kubelet_start(&p->loop, &opt, &events, p, &p->plugin, &err) < 0)
		fail_msg("%s", err.msg);
}

void pair_start_kubelet(struct pair *p)
{
	struct kf_sim_kubelet_options opt = {.directory = p->directory};
	struct kf_error err = {0};

	if (kf_sim_kubelet_start(&p->loop, &opt, NULL, NULL, &p->kubelet, &err) < 0)
		fail_msg("%s", err.msg);
}

void pair_stop_kubelet(struct pair *p)
{
	int gone = 0;

	kf_sim_kubelet_stop(p->kubelet, on_done, &gone);
	p->kubelet = NULL;
	pair_until(p, gone);
}

void pair_stop_plugin(struct pair *p)
{
	int gone = 0;

	kf_kubelet_stop(p->plugin, on_done, &gone);
	p->plugin = NULL;
	pair_until(p, gone);
}

void pair_start(struct pair *p)
{
	uv_timer_t *t = calloc(1, sizeof(*t));

	signal(SIGPIPE, SIG_IGN); /* as every program with sockets in libuv must */
	memset(p, 0, sizeof(*p));
	assert_int_equal(uv_loop_init(&p->loop), 0);
	uv_timer_init(&p->loop, t);
	uv_timer_start(t, on_tick, 5, 5);
	p->loop.data = t;
	snprintf(p->root, sizeof(p->root), "/tmp/kf-kubelet-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	snprintf(p->directory, sizeof(p->directory), "%s/device-plugins", p->root);
	pair_start_kubelet(p);
	pair_start_plugin(p);
}

void pair_end(struct pair *p)
{
	char command[128];

	if (p->plugin)
		pair_stop_plugin(p);
	if (p->kubelet)
		pair_stop_kubelet(p);
	uv_close((uv_handle_t *)p->loop.data, NULL);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	free(p->loop.data);
	/* fails when a handle was left open */
	assert_int_equal(uv_loop_close(&p->loop), 0);
	kf_offers_done(&p->offers);
	snprintf(command, sizeof(command), "rm -rf %s", p->root);
	assert_int_equal(system(command), 0);
}

void pair_offer(struct pair *p, const char *resource, unsigned n)
{
	struct kf_offer *o = kf_offers_need(&p->offers, resource);
	char id[KF_DEVICE_ID];
	unsigned i;

	assert_non_null(o);
	o->n = 0;
	for (i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "%s/%u", resource, i);
		assert_int_equal(kf_offer_add(o, id, 1, i % 2 ? 0 : -1), 0);
	}
}

void pair_publish(struct pair *p)
{
	struct kf_error err = {0};

	if (kf_kubelet_publish(p->plugin, &p->offers, &err) < 0)
		fail_msg("%s", err.msg);
}

void pair_add(struct pair *p, const char *pod, const char *resource, unsigned n)
{
	struct kf_sim_request r = {.count = n};
	struct kf_error err = {0};

	snprintf(r.resource, sizeof(r.resource), "%s", resource);
	if (kf_sim_kubelet_add(p->kubelet, pod, &r, 1, &err) < 0)
		fail_msg("%s", err.msg);
}

unsigned pair_capacity(struct pair *p, const char *resource)
{
	struct kf_sim_resource r = {.capacity = 0};

	kf_sim_kubelet_resource(p->kubelet, resource, &r);
	return r.capacity;
}

unsigned pair_allocatable(struct pair *p, const char *resource)
{
	struct kf_sim_resource r = {.allocatable = 0};

	kf_sim_kubelet_resource(p->kubelet, resource, &r);
	return r.allocatable;
}

const struct kf_sim_pod *pair_pod(struct pair *p, const char *name)
{
	return kf_sim_kubelet_pod(p->kubelet, name);
}

int pair_running(struct pair *p, const char *name)
{
	const struct kf_sim_pod *pod = pair_pod(p, name);

	return pod && pod->state == KF_SIM_POD_RUNNING;
}

unsigned long pair_lists(struct pair *p)
{
	struct kf_sim_kubelet_counts c;

	kf_sim_kubelet_count(p->kubelet, &c);
	return c.lists;
}
