/* The holder of one MPS control daemon; see holder.h. */
#include "mps/holder.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "mps/gate.h"
#include "mps/used.h"

#define PROGRAM	   "/usr/bin/nvidia-cuda-mps-control"
#define WATCH_MS   500
#define LINGER_MS  1000
#define HANGS	   2 /* questions without an answer, each with its deadline, before it is killed */
#define MAX_EVENTS 32
#define MAX_LINE   8192
#define MARGIN	   (64u << 20)

struct event {
	unsigned long number;
	char what[24], slice[128], sentence[256];
};

struct holder {
	uv_loop_t loop;
	char dir[320];
	struct kf_mps_control control;
	struct kf_gate gate;
	struct kf_used *used;
	uv_pipe_t server;
	uv_timer_t watch;
	uv_signal_t term, interrupt;
	int stopping, forget;
	unsigned unanswered;
	char state[32];
	uint64_t fault_since_ms;
	unsigned long n_events, n_faults, n_starts;
	struct event event[MAX_EVENTS];
};

/* --- what people are told ----------------------------------------------------------------------
 */

static void note(void *ud, const char *what, const struct kf_mps_slice *slice, const char *sentence)
{
	struct holder *h = ud;
	struct event *e = &h->event[h->n_events % MAX_EVENTS];

	e->number = ++h->n_events;
	snprintf(e->what, sizeof(e->what), "%s", what);
	snprintf(e->slice, sizeof(e->slice), "%s", slice ? slice->name : "");
	snprintf(e->sentence, sizeof(e->sentence), "%s", sentence);
	kf_log(KF_WARN, "mps", "%s%s%s", slice ? slice->name : "", slice ? ": " : "", sentence);
}

/* --- slices on disk ----------------------------------------------------------------------------
 */

static json_t *slice_json(const struct kf_mps_slice *s)
{
	json_t *clients = json_array();
	const struct kf_gate_client *c;

	for (c = s->clients; c; c = c->next)
		json_array_append_new(clients, json_pack("{s:i,s:I}", "pid", (int)c->pid, "granted",
							 (json_int_t)c->granted));
	return json_pack("{s:s,s:s,s:s,s:I,s:i,s:o,s:I,s:I}", "name", s->name, "folder", s->folder,
			 "pod", s->pod_uid, "bytes", (json_int_t)s->bytes, "percent",
			 (int)s->percent, "clients", clients, "served", (json_int_t)s->served,
			 "refused", (json_int_t)s->refused);
}

static json_t *slices_json(const struct holder *h)
{
	json_t *list = json_array();
	const struct kf_mps_slice *s;

	for (s = h->gate.slices; s; s = s->next)
		json_array_append_new(list, slice_json(s));
	return list;
}

static int save(const struct holder *h, struct kf_error *err)
{
	json_auto_t *list = slices_json(h);
	kf_auto_mem char *text = list ? json_dumps(list, JSON_INDENT(1)) : NULL;
	char path[400];

	if (!text)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to write down the slices");
	snprintf(path, sizeof(path), "%s/slices.json", h->dir);
	return kf_write_file(path, text, strlen(text), 0600, 0, err);
}

static int read_slice(const json_t *json, struct kf_mps_slice *ret)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	const char *pod = json_string_value(json_object_get(json, "pod"));
	json_int_t bytes = json_integer_value(json_object_get(json, "bytes"));
	json_int_t percent = json_integer_value(json_object_get(json, "percent"));

	*ret = (struct kf_mps_slice){0};
	if (!name || !name[0] || strlen(name) >= sizeof(ret->name) || bytes < (4 << 20) ||
	    percent < 0 || percent > 100 || (pod && strlen(pod) >= sizeof(ret->pod_uid)))
		return -1;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->pod_uid, sizeof(ret->pod_uid), "%s", pod ? pod : "");
	ret->bytes = (uint64_t)bytes;
	ret->percent = (unsigned)percent;
	return 0;
}

static int is_folder_name(const char *s)
{
	return s && strlen(s) == 32 && s[strspn(s, "0123456789abcdef")] == '\0';
}

/* The gates of the holder before us: pods have their folders mounted. */
static void restore(struct holder *h)
{
	json_auto_t *list = NULL;
	struct kf_mps_slice like, *s;
	struct kf_error err = {0};
	json_t *one;
	char path[400];
	size_t i;

	snprintf(path, sizeof(path), "%s/slices.json", h->dir);
	list = json_load_file(path, 0, NULL);
	json_array_foreach(list, i, one)
	{
		const char *folder = json_string_value(json_object_get(one, "folder"));

		if (read_slice(one, &like) < 0 || !is_folder_name(folder) ||
		    kf_gate_find(&h->gate, like.name))
			continue;
		if (kf_gate_add(&h->gate, &like, folder, &s, &err) < 0)
			kf_log_fail(KF_ERROR, "mps", &err, "its pod cannot start new clients");
	}
}

/* --- questions ---------------------------------------------------------------------------------
 */

static json_t *events_json(const struct holder *h)
{
	unsigned long first = h->n_events > MAX_EVENTS ? h->n_events - MAX_EVENTS : 0, i;
	json_t *list = json_array();

	for (i = first; i < h->n_events; i++) {
		const struct event *e = &h->event[i % MAX_EVENTS];

		json_array_append_new(list, json_pack("{s:I,s:s,s:s,s:s}", "number",
						      (json_int_t)e->number, "what", e->what,
						      "slice", e->slice, "sentence", e->sentence));
	}
	return list;
}

static json_t *on_status(struct holder *h)
{
	return json_pack("{s:b,s:s,s:i,s:i,s:s,s:I,s:I,s:o,s:o}", "ok", 1, "uuid", h->control.uuid,
			 "daemon", (int)h->control.daemon, "server", (int)h->control.server,
			 "state", h->state, "starts", (json_int_t)h->n_starts, "faults",
			 (json_int_t)h->n_faults, "slices", slices_json(h), "events",
			 events_json(h));
}

static json_t *refuse(const char *why)
{
	return json_pack("{s:b,s:s}", "ok", 0, "error", why);
}

static json_t *on_add(struct holder *h, const json_t *asked)
{
	struct kf_mps_slice like, *s;
	struct kf_error err = {0};
	char path[400];

	if (read_slice(asked, &like) < 0)
		return refuse("a slice has a name, bytes from 4 MiB, and a percent from 0 to 100");
	s = kf_gate_find(&h->gate, like.name);
	if (s && (s->bytes != like.bytes || s->percent != like.percent)) {
		kf_gate_remove(s); /* handed out anew: its pod is another one */
		s = NULL;
	}
	if (!s && kf_gate_add(&h->gate, &like, NULL, &s, &err) < 0)
		return refuse(err.msg);
	if (like.pod_uid[0])
		memcpy(s->pod_uid, like.pod_uid, sizeof(s->pod_uid));
	if (save(h, &err) < 0) {
		kf_gate_remove(s);
		return refuse(err.msg);
	}
	snprintf(path, sizeof(path), "%s/%s", h->gate.dir, s->folder);
	return json_pack("{s:b,s:s}", "ok", 1, "folder", path);
}

static json_t *on_remove(struct holder *h, const char *name)
{
	struct kf_mps_slice *s = name ? kf_gate_find(&h->gate, name) : NULL;
	struct kf_error err = {0};

	if (!s)
		return refuse("there is no such slice");
	kf_gate_remove(s);
	if (save(h, &err) < 0)
		return refuse(err.msg);
	return json_pack("{s:b}", "ok", 1);
}

static void stop(struct holder *h);

static json_t *answer_to(struct holder *h, const char *line, size_t n)
{
	json_auto_t *asked = json_loadb(line, n, 0, NULL);
	const char *op = json_string_value(json_object_get(asked, "op"));

	if (op && !strcmp(op, "status"))
		return on_status(h);
	if (op && !strcmp(op, "add"))
		return on_add(h, json_object_get(asked, "slice"));
	if (op && !strcmp(op, "remove"))
		return on_remove(h, json_string_value(json_object_get(asked, "name")));
	if (op && !strcmp(op, "stop")) {
		if (h->gate.slices)
			return refuse("there are slices still");
		h->forget = 1;
		stop(h);
		return json_pack("{s:b}", "ok", 1);
	}
	return refuse("status, add, remove and stop are what can be asked");
}

/* --- its socket --------------------------------------------------------------------------------
 */

struct asker {
	uv_pipe_t pipe;
	uv_write_t write;
	struct holder *holder;
	char *answer;
	size_t n;
	char line[MAX_LINE];
};

static void on_asker_closed(uv_handle_t *handle)
{
	struct asker *a = handle->data;

	free(a->answer);
	free(a);
}

static void end_asker(struct asker *a)
{
	if (!uv_is_closing((uv_handle_t *)&a->pipe))
		uv_close((uv_handle_t *)&a->pipe, on_asker_closed);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	end_asker(write->data);
}

static void answer(struct asker *a, size_t n)
{
	json_auto_t *json = answer_to(a->holder, a->line, n);
	uv_buf_t buffer;

	a->answer = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!a->answer) {
		end_asker(a);
		return;
	}
	uv_read_stop((uv_stream_t *)&a->pipe);
	buffer = uv_buf_init(a->answer, (unsigned)strlen(a->answer));
	a->write.data = a;
	if (uv_write(&a->write, (uv_stream_t *)&a->pipe, &buffer, 1, on_written) < 0)
		end_asker(a);
}

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
	struct asker *a = handle->data;

	(void)wanted;
	*buffer = uv_buf_init(a->line + a->n, (unsigned)(sizeof(a->line) - a->n));
}

/* One line is asked, and answered by one. */
static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
	struct asker *a = stream->data;
	char *end;

	(void)buffer;
	if (got < 0) {
		end_asker(a);
		return;
	}
	end = memchr(a->line + a->n, '\n', (size_t)got);
	a->n += (size_t)got;
	if (end)
		answer(a, (size_t)(end - a->line));
	else if (a->n == sizeof(a->line))
		end_asker(a);
}

static void on_asker(uv_stream_t *server, int status)
{
	struct holder *h = server->data;
	struct asker *a = status < 0 ? NULL : kf_calloc(1, sizeof(*a));

	if (!a)
		return;
	a->holder = h;
	uv_pipe_init(&h->loop, &a->pipe, 0);
	a->pipe.data = a;
	if (uv_accept(server, (uv_stream_t *)&a->pipe) < 0 ||
	    uv_read_start((uv_stream_t *)&a->pipe, give_buffer, on_read) < 0)
		end_asker(a);
}

static int serve(struct holder *h, struct kf_error *err)
{
	char path[400];
	int r;

	snprintf(path, sizeof(path), "%s/holder.sock", h->dir);
	unlink(path);
	uv_pipe_init(&h->loop, &h->server, 0);
	h->server.data = h;
	r = uv_pipe_bind(&h->server, path);
	if (r == 0)
		r = uv_listen((uv_stream_t *)&h->server, 16, on_asker);
	if (r == 0 && chmod(path, 0600) < 0)
		r = -errno;
	return r == 0 ? 0 : kf_fail(err, KF_E_SYSTEM, -r, "listen at %s: %s", path, uv_strerror(r));
}

/* --- the daemon, watched ------------------------------------------------------------------------
 */

static int start_daemon(struct holder *h, struct kf_error *err)
{
	kf_gate_forget_limits(&h->gate);
	if (kf_mps_control_start(&h->control, err) < 0) {
		snprintf(h->state, sizeof(h->state), "DOWN");
		return -1;
	}
	h->n_starts++;
	snprintf(h->state, sizeof(h->state), "ACTIVE");
	return 0;
}

/* Under a fault nobody new gets in while one of the old clients lives. */
static void end_lingerers(struct holder *h)
{
	struct kf_mps_slice *s;
	struct kf_gate_client *c;

	for (s = h->gate.slices; s; s = s->next)
		for (c = s->clients; c; c = c->next) {
			kf_log(KF_WARN, "mps",
			       "client %u of %s lingers after the fault: it is ended", c->pid,
			       s->name);
			kill((pid_t)c->pid, SIGKILL);
		}
}

static void note_fault(struct holder *h)
{
	struct kf_mps_slice *s;

	h->n_faults++;
	h->fault_since_ms = kf_now_ms();
	for (s = h->gate.slices; s; s = s->next)
		if (s->clients)
			note(h, "fault", s,
			     "a fatal fault of some client of this GPU has reached this pod; whose "
			     "it "
			     "was is unknown");
}

static void look_at_state(struct holder *h)
{
	struct kf_error err = {0};
	char state[32];

	if (kf_mps_control_state(&h->control, state, &err) < 0) {
		kf_log_fail(KF_WARN, "mps", &err, "looking again");
		if (++h->unanswered < HANGS)
			return;
		note(h, "hang", NULL,
		     "MPS answers nobody: daemon and server are killed and started anew");
		kf_mps_control_kill(&h->control);
		h->unanswered = 0;
		return;
	}
	h->unanswered = 0;
	if (!strcmp(state, "FAULT") && strcmp(h->state, "FAULT") != 0)
		note_fault(h);
	if (!strcmp(state, "FAULT") && kf_now_ms() >= h->fault_since_ms + LINGER_MS)
		end_lingerers(h);
	if (!strcmp(state, "ACTIVE") && !strcmp(h->state, "FAULT"))
		note(h, "recovered", NULL, "the MPS server takes clients again");
	snprintf(h->state, sizeof(h->state), "%s", state);
}

/* Over its slice in spite of its limit: the process with most of it is ended. */
static void look_at_use(struct holder *h)
{
	struct kf_gate_client *c, *most;
	struct kf_mps_slice *s;
	struct kf_error err = {0};
	char sentence[200];
	uint64_t sum, one, largest;

	for (s = h->gate.slices; s; s = s->next) {
		for (sum = largest = 0, most = NULL, c = s->clients; c; c = c->next) {
			one = kf_used_by(h->used, c->pid);
			sum += one;
			if (one > largest) {
				largest = one;
				most = c;
			}
		}
		if (sum <= s->bytes + MARGIN || !most) {
			s->over = 0;
			continue;
		}
		if (s->over++ == 0)
			continue; /* two looks in a row */
		snprintf(sentence, sizeof(sentence),
			 "%llu MiB are in use of a slice of %llu: process %u, which has most of "
			 "it, is "
			 "ended",
			 (unsigned long long)(sum >> 20), (unsigned long long)(s->bytes >> 20),
			 most->pid);
		note(h, "over", s, sentence);
		if (kf_mps_control_terminate(&h->control, (pid_t)most->pid, &err) < 0)
			kill((pid_t)most->pid, SIGKILL);
		s->over = 0;
	}
}

static void on_watch(uv_timer_t *timer)
{
	struct holder *h = timer->data;
	struct kf_error err = {0};

	if (!kf_mps_control_lives(&h->control)) {
		if (strcmp(h->state, "DOWN") != 0)
			note(h, "daemon", NULL,
			     "the MPS control daemon has ended, and its clients with it; starting "
			     "another");
		kf_mps_control_kill(&h->control);
		if (start_daemon(h, &err) < 0)
			kf_log_fail(KF_ERROR, "mps", &err, "trying again");
		return;
	}
	look_at_state(h);
	kf_used_look(h->used, h->control.uuid);
	look_at_use(h);
}

/* --- life --------------------------------------------------------------------------------------
 */

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void stop(struct holder *h)
{
	h->stopping = 1;
	uv_stop(&h->loop);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	(void)signum;
	stop(handle->data);
}

static int is_ready(void *ud)
{
	struct holder *h = ud;

	if (!kf_mps_control_lives(&h->control))
		return 0;
	look_at_state(h);
	kf_used_look(h->used, h->control.uuid); /* once for the client that comes */
	return !strcmp(h->state, "ACTIVE");
}

static uint64_t used_by(void *ud, unsigned pid)
{
	const struct holder *h = ud;

	return kf_used_by(h->used, pid);
}

static int make_folder(const char *path, struct kf_error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return kf_fail(err, KF_E_SYSTEM, errno, "make %s: %s", path, strerror(errno));
	return 0;
}

static int prepare(struct holder *h, const struct kf_holder_options *opt, struct kf_error *err)
{
	const char *root = strcmp(opt->root, "/") ? opt->root : "";
	struct kf_mps_control *c = &h->control;

	snprintf(h->dir, sizeof(h->dir), "%s/%s", opt->dir, opt->uuid);
	snprintf(h->gate.dir, sizeof(h->gate.dir), "%.200s/gate", h->dir);
	snprintf(c->pipe, sizeof(c->pipe), "%s/pipe", h->dir);
	snprintf(c->log, sizeof(c->log), "%s/log", h->dir);
	snprintf(c->uuid, sizeof(c->uuid), "%s", opt->uuid);
	/* a simulated machine has programs of this one; a mounted root has all of its own */
	if (getenv("KERF_SIM_DIR")) {
		snprintf(c->program, sizeof(c->program), "%.400s" PROGRAM, root);
		snprintf(c->library, sizeof(c->library), "%.400s/usr/lib/x86_64-linux-gnu", root);
	} else {
		snprintf(c->program, sizeof(c->program), PROGRAM);
		snprintf(c->root, sizeof(c->root), "%.290s", root);
	}
	h->gate.loop = &h->loop;
	h->gate.control = c;
	h->gate.used = used_by;
	h->gate.ready = is_ready;
	h->gate.tell = note;
	h->gate.ud = h;
	if (make_folder(opt->dir, err) < 0 || make_folder(h->dir, err) < 0 ||
	    make_folder(h->gate.dir, err) < 0)
		return -1;
	h->used = kf_used_open(opt->root);
	uv_timer_init(&h->loop, &h->watch);
	uv_signal_init(&h->loop, &h->term);
	uv_signal_init(&h->loop, &h->interrupt);
	h->watch.data = h->term.data = h->interrupt.data = h;
	uv_signal_start(&h->term, on_signal, SIGTERM);
	uv_signal_start(&h->interrupt, on_signal, SIGINT);
	return 0;
}

static void remove_files(const struct holder *h)
{
	static const char *const files[] = {"slices.json",    "holder.sock",
					    "pipe/control",   "pipe/control_lock",
					    "pipe/log",	      "pipe/control_privileged",
					    "log/mps.log",    "log/control.log",
					    "log/server.log", "pipe/nvidia-cuda-mps-control.pid",
					    "pipe",	      "log",
					    "gate",	      ""};
	char path[400];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->dir, files[i]);
		remove(path);
	}
}

/* Asked to stop by an agent: nothing is left.  By a signal: the daemon goes, the slices are kept.
 */
static void leave(struct holder *h)
{
	kf_mps_control_stop(&h->control);
	if (h->forget)
		remove_files(h);
}

int kf_holder_run(const struct kf_holder_options *opt, struct kf_error *err)
{
	struct holder *h = kf_calloc(1, sizeof(*h));
	int r;

	if (!h)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a holder");
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&h->loop);
	r = prepare(h, opt, err);
	if (r == 0) {
		restore(h); /* the sockets are there before the daemon is, so that nobody is refused
			     */
		r = start_daemon(h, err);
	}
	if (r == 0)
		r = serve(h, err);
	if (r == 0) {
		kf_log(KF_INFO, "mps", "%s: daemon %d and server %u are ready", opt->uuid,
		       (int)h->control.daemon, h->control.server);
		uv_timer_start(&h->watch, on_watch, WATCH_MS, WATCH_MS);
		uv_run(&h->loop, UV_RUN_DEFAULT);
	}
	leave(h);
	kf_gate_close(&h->gate);
	uv_walk(&h->loop, close_handle, NULL);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	uv_loop_close(&h->loop);
	kf_used_close(h->used);
	free(h);
	return r;
}
