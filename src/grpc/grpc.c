/* A gRPC connection: made, fed, pulled, freed; see grpc.h. */
#include "grpc/grpc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/session.h"

#define MAX_MESSAGE (16u << 20)
#define MAX_STREAMS 128	  /* grpc-go keeps one open for good and opens one a call */
#define MAX_HEADERS 16384 /* bytes of one header list; grpc-go sends 200 */
#define MAX_ACKS    256	  /* of SETTINGS and PING that a peer may make us owe */

/* nghttp2's memory, from the same place as ours. */
static void *mem_malloc(size_t n, void *ud)
{
	return kf_calloc(1, n);
}

static void mem_free(void *p, void *ud)
{
	free(p);
}

static void *mem_calloc(size_t n, size_t size, void *ud)
{
	return kf_calloc(n, size);
}

static void *mem_realloc(void *p, size_t n, void *ud)
{
	return kf_realloc(p, n);
}

static const nghttp2_mem memory = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};

static nghttp2_option *server_options(void)
{
	nghttp2_option *opt;

	if (nghttp2_option_new(&opt) != 0)
		return NULL;
	/* Kubelets before 1.26 send the socket's path as :authority, which nghttp2 refuses for its
	 * slashes; receive.c looks at the headers that matter. */
	nghttp2_option_set_no_http_messaging(opt, 1);
	nghttp2_option_set_max_outbound_ack(opt, MAX_ACKS);
	nghttp2_option_set_no_closed_streams(opt, 1);
	return opt;
}

static int open_session(struct kf_grpc *g)
{
	nghttp2_session_callbacks *cbs = NULL;
	nghttp2_option *opt = NULL;
	int r = NGHTTP2_ERR_NOMEM;

	if (nghttp2_session_callbacks_new(&cbs) != 0)
		return -1;
	grpc_receive_callbacks(cbs);
	if (g->server) {
		opt = server_options();
		if (opt)
			r = nghttp2_session_server_new3(&g->session, cbs, g, opt,
							(nghttp2_mem *)&memory);
		nghttp2_option_del(opt);
	} else {
		r = nghttp2_session_client_new3(&g->session, cbs, g, NULL, (nghttp2_mem *)&memory);
	}
	nghttp2_session_callbacks_del(cbs);
	return r == 0 ? 0 : -1;
}

static int say_hello(struct kf_grpc *g)
{
	nghttp2_settings_entry server[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, g->limits.max_streams},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADERS},
	};
	nghttp2_settings_entry client[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADERS},
	};

	return nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, g->server ? server : client,
				       2);
}

static int make(const struct kf_grpc_limits *limits, int server, struct kf_grpc **ret,
		struct kf_error *err)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *g = kf_calloc(1, sizeof(*g));

	if (!g)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a gRPC connection");
	g->server = server;
	if (limits)
		g->limits = *limits;
	if (!g->limits.max_message)
		g->limits.max_message = MAX_MESSAGE;
	if (!g->limits.max_streams)
		g->limits.max_streams = MAX_STREAMS;
	if (open_session(g) < 0 || say_hello(g) != 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a gRPC connection");
	*ret = kf_take(g);
	return 0;
}

int kf_grpc_server_new(const struct kf_grpc_limits *limits, const struct kf_grpc_server_events *ev,
		       void *ud, struct kf_grpc **ret, struct kf_error *err)
{
	if (make(limits, 1, ret, err) < 0)
		return -1;
	(*ret)->ev = ev;
	(*ret)->ud = ud;
	return 0;
}

int kf_grpc_client_new(const struct kf_grpc_limits *limits, struct kf_grpc **ret,
		       struct kf_error *err)
{
	return make(limits, 0, ret, err);
}

struct kf_grpc *kf_grpc_free(struct kf_grpc *g)
{
	if (!g)
		return NULL;
	g->wake = NULL;
	while (g->calls)
		grpc_call_over(g->calls, KF_GRPC_UNAVAILABLE, "the connection is closed");
	nghttp2_session_del(g->session);
	free(g);
	return NULL;
}

void kf_grpc_on_wake(struct kf_grpc *g, void (*wake)(void *ud), void *ud)
{
	g->wake = wake;
	g->wake_ud = ud;
}

void grpc_wake(struct kf_grpc *g)
{
	if (g->wake)
		g->wake(g->wake_ud);
}

int kf_grpc_feed(struct kf_grpc *g, const uint8_t *in, size_t n, struct kf_error *err)
{
	ssize_t r;

	if (g->beyond)
		return kf_fail(err, KF_E_STATE, 0, "the connection has failed already");
	r = nghttp2_session_mem_recv(g->session, in, n);
	g->beyond = r < 0 || g->broken;
	if (r == NGHTTP2_ERR_NOMEM || g->broken)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for what the peer sent");
	if (r < 0)
		return kf_fail(err, KF_E_PROTOCOL, (int)r, "the peer does not speak HTTP/2: %s",
			       nghttp2_strerror((int)r));
	return 0;
}

int kf_grpc_pull(struct kf_grpc *g, const uint8_t **ret, struct kf_error *err)
{
	ssize_t r = g->broken ? NGHTTP2_ERR_NOMEM : nghttp2_session_mem_send(g->session, ret);

	if (r < 0 || g->broken)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for what the peer is to be sent");
	return (int)r;
}

int kf_grpc_alive(const struct kf_grpc *g)
{
	return nghttp2_session_want_read(g->session) || nghttp2_session_want_write(g->session);
}

size_t kf_grpc_backlog(const struct kf_grpc *g)
{
	return nghttp2_session_get_outbound_queue_size(g->session);
}

static void ignore_request(void *ud, struct kf_grpc_call *call, const char *path,
			   const uint8_t *message, size_t n)
{
}

static void ignore_closed(void *ud, struct kf_grpc_call *call)
{
}

void kf_grpc_mute(struct kf_grpc *g)
{
	static const struct kf_grpc_server_events silence = {
		.request = ignore_request,
		.closed = ignore_closed,
	};
	struct kf_grpc_call *call;

	g->ev = &silence;
	for (call = g->calls; call; call = call->next)
		call->ev = NULL;
}

void kf_grpc_shutdown(struct kf_grpc *g)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(g->session);

	if (nghttp2_submit_goaway(g->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0))
		g->broken = 1;
	grpc_wake(g);
}

void kf_grpc_finish_all(struct kf_grpc *g, int status, const char *text)
{
	struct kf_grpc_call *call;

	for (call = g->calls; call; call = call->next)
		if (call->delivered)
			kf_grpc_finish(call, status, text);
}

struct kf_grpc_call *grpc_call_new(struct kf_grpc *g, int32_t id)
{
	struct kf_grpc_call *call = kf_calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->g = g;
	call->id = id;
	call->out_end = &call->out;
	call->next = g->calls;
	g->calls = call;
	return call;
}

struct kf_grpc_call *grpc_call_find(struct kf_grpc *g, int32_t id)
{
	struct kf_grpc_call *call;

	for (call = g->calls; call && call->id != id; call = call->next)
		;
	return call;
}

static void unlink_call(struct kf_grpc_call *call)
{
	struct kf_grpc_call **at = &call->g->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
}

void grpc_call_drop(struct kf_grpc_call *call)
{
	struct grpc_out *m;

	unlink_call(call);
	while ((m = call->out)) {
		call->out = m->next;
		free(m);
	}
	call->g->buffered -= call->inbox.n;
	kf_grpc_inbox_done(&call->inbox);
	free(call->text);
	free(call);
}

void grpc_call_over(struct kf_grpc_call *call, int status, const char *text)
{
	struct kf_grpc *g = call->g;

	if (g->server && call->delivered)
		g->ev->closed(g->ud, call);
	if (!g->server && call->ev)
		call->ev->done(call->ud, call, status, text);
	grpc_call_drop(call);
}
