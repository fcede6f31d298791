/*
 * kerf sim kubelet DIR: the stand-in kubelet as a process, told what to do by lines of JSON.
 *
 *	{"op":"add","pod":"a","resources":{"nvidia.com/mig-1g.5gb":1}}
 *	{"op":"add","pod":"a","resources":{"nvidia.com/mig-1g.5gb":1},"force":["MIG-..."]}
 *	{"op":"delete","pod":"a"}
 *	{"op":"state"}
 *	{"op":"restart"}
 *	{"op":"drop-stream","resource":"nvidia.com/mig-1g.5gb"}
 *	{"op":"hold-allocatable","on":true}	GetAllocatableResources waits
 *	{"op":"quiet","on":true}		no events
 *	{"op":"churn","resource":"nvidia.com/mig-1g.5gb","pods":1000}
 *	{"op":"stop"}
 *
 * `churn` keeps the resource full with pods that come and go, and answers when so many have run:
 * how long each Allocate took, in microseconds, and how many pods failed.
 *
 * Every line is answered by one, {"ok":true,...} or {"ok":false,"error":"..."}; between them come
 * lines {"event":...} as things happen.  The end of the input stops it as well.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/sim.h"
#include "kubelet/standin.h"

#define MAX_LINE 65536

struct program {
	uv_loop_t loop;
	uv_pipe_t in;
	uv_signal_t term;
	struct kf_text line; /* what has come of the next one */
	struct kf_sim_kubelet *kubelet;
	int stopping, quiet;
	struct {
		char resource[KF_RESOURCE_NAME];
		unsigned wanted, added, ended, failed; /* wanted == 0: none is under way */
		json_t *microseconds;
	} churn;
};

/* One line on standard output; takes `json`. */
static void say(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	puts(text ? text : "{\"ok\":false,\"error\":\"no memory\"}");
	fflush(stdout);
	free(text);
	json_decref(json);
}

static void say_ok(int ok, const struct kf_error *err)
{
	say(ok ? json_pack("{s:b}", "ok", 1) : json_pack("{s:b,s:s}", "ok", 0, "error", err->msg));
}

/* --- events --- */

static const char *phase(const struct program *p, const struct kf_sim_pod *pod)
{
	static const char *const names[] = {"Pending", "Running", "Failed"};

	return pod == kf_sim_kubelet_admitting(p->kubelet) ? "Admitting" : names[pod->state];
}

static json_t *devices_json(const struct kf_offer *list)
{
	json_t *devices = json_array();
	unsigned i;

	for (i = 0; i < list->n; i++)
		json_array_append_new(devices, json_pack("{s:s,s:b,s:i}", "id", list->device[i].id,
							 "healthy", list->device[i].healthy, "numa",
							 list->device[i].numa));
	return devices;
}

static void on_resource(void *ud, const char *resource, const char *what)
{
	struct program *p = ud;
	const struct kf_offer *list = kf_sim_kubelet_list(p->kubelet, resource);
	json_t *event;

	if (p->quiet)
		return;
	event = json_pack("{s:s,s:s}", "event", what, "resource", resource);
	if (!strcmp(what, "list") && list)
		json_object_set_new(event, "devices", devices_json(list));
	say(event);
}

static void churn_on(struct program *p, const struct kf_sim_pod *pod);

static void on_pod(void *ud, const struct kf_sim_pod *pod)
{
	struct program *p = ud;

	if (!p->quiet)
		say(json_pack("{s:s,s:s,s:s,s:s}", "event", "pod", "pod", pod->name, "phase",
			      phase(p, pod), "error", pod->why));
	if (p->churn.wanted && !strncmp(pod->name, "churn-", 6))
		churn_on(p, pod);
}

/* --- state --- */

static json_t *resources_json(struct program *p)
{
	json_t *all = json_object();
	struct kf_sim_resource r;
	unsigned i;

	for (i = 0; kf_sim_kubelet_resource_at(p->kubelet, i, &r); i++)
		json_object_set_new(all, r.name,
				    json_pack("{s:i,s:i,s:i}", "capacity", (int)r.capacity,
					      "allocatable", (int)r.allocatable, "used",
					      (int)r.used));
	return all;
}

/* What Allocate answered for one request. */
static json_t *answer_json(const struct kf_answer *a)
{
	json_t *json = json_pack("{s:{},s:{},s:[],s:[],s:[]}", "envs", "annotations", "cdi",
				 "device_nodes", "mounts");
	unsigned i;

	for (i = 0; i < a->n_envs; i++)
		json_object_set_new(json_object_get(json, "envs"), a->env[i].key,
				    json_string(a->env[i].value));
	for (i = 0; i < a->n_annotations; i++)
		json_object_set_new(json_object_get(json, "annotations"), a->annotation[i].key,
				    json_string(a->annotation[i].value));
	for (i = 0; i < a->n_cdi; i++)
		json_array_append_new(json_object_get(json, "cdi"), json_string(a->cdi[i]));
	for (i = 0; i < a->n_devices; i++)
		json_array_append_new(json_object_get(json, "device_nodes"),
				      json_pack("[s,s,s]", a->device[i].host_path,
						a->device[i].container_path,
						a->device[i].permissions));
	for (i = 0; i < a->n_mounts; i++)
		json_array_append_new(json_object_get(json, "mounts"),
				      json_pack("[s,s,b]", a->mount[i].host_path,
						a->mount[i].container_path, a->mount[i].read_only));
	return json;
}

static json_t *pod_json(const struct program *p, const struct kf_sim_pod *pod)
{
	json_t *json = json_pack("{s:s,s:s,s:s,s:{},s:[]}", "uid", pod->uid, "phase", phase(p, pod),
				 "error", pod->why, "devices", "answers");
	json_t *devices = json_object_get(json, "devices");
	unsigned i;

	for (i = 0; i < pod->n_devices; i++) {
		const struct kf_sim_pod_device *d = &pod->device[i];

		if (!json_object_get(devices, d->resource))
			json_object_set_new(devices, d->resource, json_array());
		json_array_append_new(json_object_get(devices, d->resource), json_string(d->id));
	}
	for (i = 0; i < pod->n_requests; i++)
		json_array_append_new(json_object_get(json, "answers"),
				      answer_json(&pod->answer[i]));
	return json;
}

static void op_state(struct program *p)
{
	json_t *pods = json_object();
	const struct kf_sim_pod *pod;
	struct kf_sim_kubelet_counts c;

	for (pod = kf_sim_kubelet_pods(p->kubelet); pod; pod = pod->next)
		if (!pod->gone)
			json_object_set_new(pods, pod->name, pod_json(p, pod));
	kf_sim_kubelet_count(p->kubelet, &c);
	say(json_pack("{s:b,s:o,s:o,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I}}", "ok", 1, "resources",
		      resources_json(p), "pods", pods, "counts", "registered",
		      (json_int_t)c.registered, "streams_ended", (json_int_t)c.streams_ended,
		      "lists", (json_int_t)c.lists, "preferred", (json_int_t)c.preferred,
		      "allocated", (json_int_t)c.allocated, "refused", (json_int_t)c.refused,
		      "panics", (json_int_t)c.panics));
}

/* --- the other commands --- */

static const char *name_of(json_t *command, const char *key)
{
	const char *s = json_string_value(json_object_get(command, key));

	return s ? s : "";
}

static int read_requests(json_t *command, struct kf_sim_request *request, unsigned max,
			 unsigned *ret_n, struct kf_error *err)
{
	json_t *count;
	const char *resource;

	*ret_n = 0;
	json_object_foreach(json_object_get(command, "resources"), resource, count)
	{
		if (*ret_n == max || !json_is_integer(count) || json_integer_value(count) < 1 ||
		    json_integer_value(count) > 1000000 || strlen(resource) >= KF_RESOURCE_NAME)
			return kf_fail(err, KF_E_INPUT, 0, "resources: %s is no request", resource);
		snprintf(request[*ret_n].resource, sizeof(request[0].resource), "%s", resource);
		request[(*ret_n)++].count = (unsigned)json_integer_value(count);
	}
	return 0;
}

static int add_forced(struct program *p, json_t *command, json_t *force, struct kf_error *err)
{
	void *resource = json_object_iter(json_object_get(command, "resources"));
	const char *ids[64] = {NULL};
	unsigned i, n = (unsigned)json_array_size(force);

	for (i = 0; i < n && i < 64; i++)
		ids[i] = json_string_value(json_array_get(force, i));
	if (!resource || n == 0 || n > 64 || !ids[n - 1])
		return kf_fail(err, KF_E_INPUT, 0, "force: not a list of up to 64 devices");
	return kf_sim_kubelet_add_forced(p->kubelet, name_of(command, "pod"),
					 json_object_iter_key(resource), ids, n, err);
}

static int op_add(struct program *p, json_t *command, struct kf_error *err)
{
	struct kf_sim_request request[8] = {{.count = 0}};
	json_t *force = json_object_get(command, "force");
	unsigned n;

	if (force)
		return add_forced(p, command, force, err);
	if (read_requests(command, request, 8, &n, err) < 0)
		return -1;
	return kf_sim_kubelet_add(p->kubelet, name_of(command, "pod"), request, n, err);
}

static int op_delete(struct program *p, json_t *command, struct kf_error *err)
{
	return kf_sim_kubelet_delete(p->kubelet, name_of(command, "pod"), err);
}

static int op_restart(struct program *p, json_t *command, struct kf_error *err)
{
	return kf_sim_kubelet_restart(p->kubelet, err);
}

static int op_drop(struct program *p, json_t *command, struct kf_error *err)
{
	return kf_sim_kubelet_drop_stream(p->kubelet, name_of(command, "resource"), err);
}

static int op_hold(struct program *p, json_t *command, struct kf_error *err)
{
	kf_sim_kubelet_hold_allocatable(p->kubelet, json_is_true(json_object_get(command, "on")));
	return 0;
}

static int op_quiet(struct program *p, json_t *command, struct kf_error *err)
{
	p->quiet = json_is_true(json_object_get(command, "on"));
	return 0;
}

static void stop(struct program *p);

static int op_stop(struct program *p, json_t *command, struct kf_error *err)
{
	stop(p);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct program *p, json_t *command, struct kf_error *err);
} ops[] = {
	{"add", op_add},	  {"delete", op_delete},	 {"restart", op_restart},
	{"drop-stream", op_drop}, {"hold-allocatable", op_hold}, {"quiet", op_quiet},
	{"stop", op_stop},
};

/* --- churn --- */

static void churn_add(struct program *p)
{
	struct kf_sim_request r = {.count = 1};
	char name[32];

	snprintf(name, sizeof(name), "churn-%u", p->churn.added++);
	memcpy(r.resource, p->churn.resource, sizeof(r.resource));
	kf_sim_kubelet_add(p->kubelet, name, &r, 1, NULL);
}

/* As many pods as there are devices, then one for each that ends. */
static int op_churn(struct program *p, json_t *command, struct kf_error *err)
{
	json_int_t n = json_integer_value(json_object_get(command, "pods"));
	struct kf_sim_resource r = {.allocatable = 0};
	const char *resource = name_of(command, "resource");

	kf_sim_kubelet_resource(p->kubelet, resource, &r);
	if (p->churn.wanted || n < 1 || n > 10000000 || r.allocatable <= r.used)
		return kf_fail(err, KF_E_INPUT, 0, "churn: %u of %u %s are in use", r.used,
			       r.allocatable, resource);
	p->churn.wanted = (unsigned)n;
	p->churn.added = p->churn.ended = p->churn.failed = 0;
	p->churn.microseconds = json_array();
	snprintf(p->churn.resource, sizeof(p->churn.resource), "%s", resource);
	while (p->churn.added < p->churn.wanted && p->churn.added < r.allocatable - r.used)
		churn_add(p);
	return 0;
}

/* A pod runs, or failed: it ends, and the next one comes. */
static void churn_on(struct program *p, const struct kf_sim_pod *pod)
{
	p->churn.failed += pod->state == KF_SIM_POD_FAILED;
	json_array_append_new(p->churn.microseconds, json_integer(pod->allocate_us));
	kf_sim_kubelet_delete(p->kubelet, pod->name, NULL);
	if (p->churn.added < p->churn.wanted)
		churn_add(p);
	if (++p->churn.ended < p->churn.wanted)
		return;
	say(json_pack("{s:b,s:i,s:o}", "ok", 1, "failed", (int)p->churn.failed, "microseconds",
		      p->churn.microseconds));
	p->churn.wanted = 0;
}

static void run(struct program *p, json_t *command)
{
	const char *op = name_of(command, "op");
	struct kf_error err = {0};
	unsigned i;

	if (!strcmp(op, "state")) {
		op_state(p);
		return;
	}
	if (!strcmp(op, "churn")) { /* is answered when it is over */
		if (op_churn(p, command, &err) < 0)
			say_ok(0, &err);
		return;
	}
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (!strcmp(op, ops[i].name)) {
			say_ok(ops[i].run(p, command, &err) == 0, &err);
			return;
		}
	}
	kf_fail(&err, KF_E_INPUT, 0, "no operation is called '%s'", op);
	say_ok(0, &err);
}

static void on_line(struct program *p, const char *line, size_t n)
{
	struct kf_error err = {0};
	json_error_t why;
	json_t *command = json_loadb(line, n, 0, &why);

	if (command) {
		run(p, command);
	} else {
		kf_fail(&err, KF_E_INPUT, 0, "not JSON: %s", why.text);
		say_ok(0, &err);
	}
	json_decref(command);
}

/* --- the loop --- */

static void stop(struct program *p)
{
	if (p->stopping)
		return;
	p->stopping = 1;
	kf_sim_kubelet_stop(p->kubelet, NULL, NULL);
	uv_close((uv_handle_t *)&p->in, NULL);
	uv_close((uv_handle_t *)&p->term, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
	stop(s->data);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char space[MAX_LINE]; /* one reader in the process */

	*buf = uv_buf_init(space, sizeof(space));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct program *p = s->data;
	char *end;

	if (n < 0 || p->line.n > MAX_LINE) {
		stop(p);
		return;
	}
	kf_text_addn(&p->line, buf->base, (size_t)n);
	while (!p->stopping && p->line.n && (end = memchr(p->line.s, '\n', p->line.n))) {
		size_t len = (size_t)(end - p->line.s);

		on_line(p, p->line.s, len);
		p->line.n -= len + 1;
		memmove(p->line.s, end + 1, p->line.n);
	}
}

static int read_input(struct program *p, struct kf_error *err)
{
	int r = uv_pipe_open(&p->in, 0);

	if (r == 0)
		r = uv_read_start((uv_stream_t *)&p->in, on_alloc, on_read);
	return r == 0 ? 0
		      : kf_fail(err, KF_E_SYSTEM, -r, "read standard input: %s (is it a pipe?)",
				uv_strerror(r));
}

static int serve(struct program *p, const char *directory, struct kf_error *err)
{
	static const struct kf_sim_kubelet_events events = {.resource = on_resource, .pod = on_pod};
	struct kf_sim_kubelet_options opt = {.directory = directory};

	if (kf_sim_kubelet_start(&p->loop, &opt, &events, p, &p->kubelet, err) < 0)
		return -1;
	uv_pipe_init(&p->loop, &p->in, 0);
	uv_signal_init(&p->loop, &p->term);
	p->in.data = p->term.data = p;
	uv_signal_start(&p->term, on_signal, SIGTERM);
	if (read_input(p, err) < 0) {
		stop(p);
		uv_run(&p->loop, UV_RUN_DEFAULT);
		return -1;
	}
	say(json_pack("{s:s}", "event", "ready"));
	uv_run(&p->loop, UV_RUN_DEFAULT);
	return 0;
}

int kf_sim_kubelet(int argc, char **argv)
{
	struct program p = {.stopping = 0};
	struct kf_error err = {0};
	int r;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr,
			"usage: kerf sim kubelet DIR\n"
			"\n"
			"A stand-in kubelet on the device-plugins directory DIR, with "
			"PodResources\n"
			"at DIR/../pod-resources/kubelet.sock.  Reads one JSON command a line:\n"
			"add, delete, state, restart, drop-stream and more; answers one line "
			"each.\n");
		return KF_EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	r = uv_loop_init(&p.loop);
	if (r != 0) {
		kf_fail(&err, KF_E_SYSTEM, -r, "make an event loop: %s", uv_strerror(r));
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	}
	r = serve(&p, argv[1], &err);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	uv_loop_close(&p.loop);
	kf_text_done(&p.line);
	return r < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}
