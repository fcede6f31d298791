/* A client of PodResources; see podresources.h. */
#include "kubelet/podresources.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/own.h"
#include "grpc/pipe.h"
#include "kubelet/message.h"
#include "podresources.pb-c.h"

#define CALL_MS 5000

/* One question under way. */
struct query {
	struct kf_podresources *p;
	struct query *next;
	int allocatable; /* else List */
	kf_podresources_cb *cb;
	void *ud;
	struct kf_grpc_call *call; /* NULL while it is not sent, and when it failed to be */
	struct kf_error err;	   /* why it failed before it was sent */
	uv_timer_t timer;	   /* the deadline; or 0 to report `err` from the loop */
	void *answer;		   /* unpacked */
	int malformed;
	int over; /* only waits for its timer to close */
};

struct kf_podresources {
	uv_loop_t *loop;
	char *path;
	struct kf_grpc_pipe *pipe;
	struct query *queries;
	unsigned n_open; /* queries, and pipes that are not closed yet */
	uv_idle_t last;	 /* so that `done` comes from the loop when nothing else is open */
	void (*done)(void *ud);
	void *done_ud;
};

int kf_podresources_start(uv_loop_t *loop, const char *path, struct kf_podresources **ret,
			  struct kf_error *err)
{
	struct kf_podresources *p = kf_calloc(1, sizeof(*p));

	if (p)
		p->path = kf_strdup(path);
	if (!p || !p->path) {
		free(p);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a client of %s", path);
	}
	p->loop = loop;
	uv_idle_init(loop, &p->last);
	p->last.data = p;
	p->n_open = 1;
	*ret = p;
	return 0;
}

static void one_closed(void *ud)
{
	struct kf_podresources *p = ud;
	void (*done)(void *ud) = p->done;
	void *done_ud = p->done_ud;

	if (--p->n_open > 0)
		return;
	free(p->path);
	free(p);
	if (done)
		done(done_ud);
}

/* --- the connection --- */

static void on_pipe_closed(void *ud, const struct kf_error *why)
{
	struct kf_podresources *p = ud;

	kf_grpc_pipe_stop(kf_take(p->pipe), one_closed, p);
}

static int connected(struct kf_podresources *p, struct kf_error *err)
{
	if (p->pipe && kf_grpc_pipe_grpc(p->pipe))
		return 0;
	if (p->pipe) /* it failed; this is asked from the last event of one of its calls */
		kf_grpc_pipe_stop(kf_take(p->pipe), one_closed, p);
	if (kf_grpc_connect(p->loop, p->path, NULL, on_pipe_closed, p, &p->pipe, err) < 0)
		return -1;
	p->n_open++;
	return 0;
}

/* --- the answers, flat --- */

struct rows {
	struct kf_podresources_row *row;
	unsigned n;
	size_t capacity;
};

static int add_devices(struct rows *rows, const struct kf_podresources_row *who,
		       V1__ContainerDevices **devices, size_t n)
{
	size_t i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < devices[i]->n_device_ids; j++) {
			if (kf_grow(&rows->row, &rows->capacity, rows->n + 1,
				    sizeof(rows->row[0])) < 0)
				return -1;
			rows->row[rows->n] = *who;
			rows->row[rows->n].resource = devices[i]->resource_name;
			rows->row[rows->n++].id = devices[i]->device_ids[j];
		}
	}
	return 0;
}

static int list_rows(const V1__ListPodResourcesResponse *m, struct rows *rows)
{
	size_t i, j;

	for (i = 0; i < m->n_pod_resources; i++) {
		const V1__PodResources *pod = m->pod_resources[i];

		for (j = 0; j < pod->n_containers; j++) {
			const V1__ContainerResources *c = pod->containers[j];
			struct kf_podresources_row who = {
				.pod_namespace = pod->namespace_,
				.pod = pod->name,
				.container = c->name,
			};

			if (add_devices(rows, &who, c->devices, c->n_devices) < 0)
				return -1;
		}
	}
	return 0;
}

static int allocatable_rows(const V1__AllocatableResourcesResponse *m, struct rows *rows)
{
	struct kf_podresources_row nobody = {.pod_namespace = "", .pod = "", .container = ""};

	return add_devices(rows, &nobody, m->devices, m->n_devices);
}

/* --- a question --- */

static void on_timer_closed(uv_handle_t *h)
{
	struct query *q = h->data;
	struct kf_podresources *p = q->p;

	if (q->answer)
		protobuf_c_message_free_unpacked(q->answer, &kf_message_memory);
	free(q);
	one_closed(p);
}

static void unlink_query(struct query *q)
{
	struct query **at = &q->p->queries;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
}

/* Answer its owner, once. */
static void query_over(struct query *q, const struct rows *rows, const struct kf_error *err)
{
	if (q->over)
		return;
	q->over = 1;
	unlink_query(q);
	uv_close((uv_handle_t *)&q->timer, on_timer_closed);
	q->cb(q->ud, rows->row, rows->n, err);
}

static void query_failed(struct query *q, const struct kf_error *err)
{
	struct rows none = {0};

	query_over(q, &none, err);
}

static const char *method(const struct query *q)
{
	return q->allocatable ? "/v1.PodResourcesLister/GetAllocatableResources"
			      : "/v1.PodResourcesLister/List";
}

static void on_message(void *ud, struct kf_grpc_call *call, const uint8_t *bytes, size_t n)
{
	struct query *q = ud;
	const ProtobufCMessageDescriptor *what =
		q->allocatable ? &v1__allocatable_resources_response__descriptor
			       : &v1__list_pod_resources_response__descriptor;

	if (q->answer || q->malformed)
		return;
	q->answer = protobuf_c_message_unpack(what, &kf_message_memory, n, bytes);
	q->malformed = !q->answer;
}

static void deliver(struct query *q)
{
	struct rows rows = {0};
	struct kf_error err = {0};
	int r = q->allocatable ? allocatable_rows(q->answer, &rows) : list_rows(q->answer, &rows);

	if (r == 0) {
		query_over(q, &rows, NULL);
	} else {
		kf_fail(&err, KF_E_NOMEM, 0, "%s: no memory for the answer", method(q));
		query_failed(q, &err);
	}
	free(rows.row);
}

static void on_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct query *q = ud;
	struct kf_error err = {0};

	q->call = NULL;
	if (status == KF_GRPC_OK && q->answer) {
		deliver(q);
		return;
	}
	if (status != KF_GRPC_OK)
		kf_fail(&err, KF_E_REMOTE, status, "%s: %s: %s", method(q),
			kf_grpc_status_text(status), text);
	else
		kf_fail(&err, KF_E_PROTOCOL, 0, "%s: the answer is %s", method(q),
			q->malformed ? "malformed" : "missing");
	query_failed(q, &err);
}

static void on_timer(uv_timer_t *t)
{
	struct query *q = t->data;

	if (q->err.code == KF_E_NONE)
		kf_fail(&q->err, KF_E_TIMEOUT, 0, "%s: no answer in %d s", method(q),
			CALL_MS / 1000);
	if (q->call)
		kf_grpc_cancel(kf_take(q->call));
	query_failed(q, &q->err);
}

static int ask(struct kf_podresources *p, int allocatable, kf_podresources_cb *cb, void *ud,
	       struct kf_error *err)
{
	static const struct kf_grpc_call_events events = {.message = on_message, .done = on_done};
	struct query *q = kf_calloc(1, sizeof(*q));

	if (!q)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to ask the kubelet");
	*q = (struct query){
		.p = p, .next = p->queries, .allocatable = allocatable, .cb = cb, .ud = ud};
	p->queries = q;
	p->n_open++;
	uv_timer_init(p->loop, &q->timer);
	q->timer.data = q;
	if (connected(p, &q->err) == 0)
		kf_grpc_call(kf_grpc_pipe_grpc(p->pipe), method(q), NULL, 0, &events, q, &q->call,
			     &q->err);
	uv_timer_start(&q->timer, on_timer, q->call ? CALL_MS : 0, 0);
	return 0;
}

int kf_podresources_list(struct kf_podresources *p, kf_podresources_cb *cb, void *ud,
			 struct kf_error *err)
{
	return ask(p, 0, cb, ud, err);
}

int kf_podresources_allocatable(struct kf_podresources *p, kf_podresources_cb *cb, void *ud,
				struct kf_error *err)
{
	return ask(p, 1, cb, ud, err);
}

static void on_last_closed(uv_handle_t *h)
{
	one_closed(h->data);
}

void kf_podresources_stop(struct kf_podresources *p, void (*done)(void *ud), void *ud)
{
	struct query *q;

	p->done = done;
	p->done_ud = ud;
	if (p->pipe)
		kf_grpc_pipe_stop(kf_take(p->pipe), one_closed, p);
	while ((q = p->queries)) {
		q->over = 1;
		unlink_query(q);
		uv_close((uv_handle_t *)&q->timer, on_timer_closed);
	}
	uv_close((uv_handle_t *)&p->last, on_last_closed);
}
