/* What goes out: answers and their trailers as a server, requests as a client. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/session.h"

/* nghttp2 copies names and values, so they may live on the stack; it asks for non-const ones. */
#define HEADER(name, value)                                                                        \
	(nghttp2_nv)                                                                               \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name),         \
			strlen(value), NGHTTP2_NV_FLAG_NONE                                        \
	}

static int submit_trailers(struct kf_grpc_call *call)
{
	char status[16];
	nghttp2_nv nv[2];

	snprintf(status, sizeof(status), "%d", call->status);
	nv[0] = HEADER("grpc-status", status);
	nv[1] = HEADER("grpc-message", call->text ? call->text : "");
	return nghttp2_submit_trailer(call->g->session, call->id, nv, call->text ? 2 : 1);
}

/* The front message has been copied out whole. */
static void pop(struct kf_grpc_call *call)
{
	struct grpc_out *m = call->out;

	call->out = m->next;
	if (!call->out)
		call->out_end = &call->out;
	call->n_out--;
	free(m);
}

static size_t copy_out(struct kf_grpc_call *call, uint8_t *buf, size_t room)
{
	size_t n = 0, k;

	while (call->out && n < room) {
		struct grpc_out *m = call->out;

		k = m->n - m->sent < room - n ? m->n - m->sent : room - n;
		memcpy(buf + n, m->bytes + m->sent, k);
		m->sent += k;
		n += k;
		if (m->sent == m->n)
			pop(call);
	}
	return n;
}

/* nghttp2 has room for the peer: give it what is queued; at the end the trailers. */
static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
			uint32_t *flags, nghttp2_data_source *source, void *ud)
{
	struct kf_grpc_call *call = source->ptr;
	struct kf_grpc *g = call->g;
	size_t n = copy_out(call, buf, room);

	if (n > 0 && !call->out && g->server && !call->finished && g->ev->drained)
		g->ev->drained(g->ud, call);
	if (call->out)
		return (ssize_t)n;
	if (!g->server) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	} else if (call->finished) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (submit_trailers(call) != 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
	} else if (n == 0) {
		call->deferred = 1;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

static int submit_answer(struct kf_grpc_call *call)
{
	nghttp2_data_provider data = {.source.ptr = call, .read_callback = read_out};
	nghttp2_nv nv[] = {
		HEADER(":status", "200"),
		HEADER("content-type", "application/grpc"),
	};

	return nghttp2_submit_response(call->g->session, call->id, nv, 2, &data);
}

/* One HEADERS frame that is answer and trailers at once. */
static int submit_trailers_only(struct kf_grpc_call *call)
{
	char status[16];
	nghttp2_nv nv[4];

	snprintf(status, sizeof(status), "%d", call->status);
	nv[0] = HEADER(":status", "200");
	nv[1] = HEADER("content-type", "application/grpc");
	nv[2] = HEADER("grpc-status", status);
	nv[3] = HEADER("grpc-message", call->text ? call->text : "");
	return nghttp2_submit_response(call->g->session, call->id, nv, call->text ? 4 : 3, NULL);
}

static void resume(struct kf_grpc_call *call)
{
	if (!call->deferred)
		return;
	call->deferred = 0;
	if (nghttp2_session_resume_data(call->g->session, call->id) == NGHTTP2_ERR_NOMEM)
		call->g->broken = 1;
}

static struct grpc_out *out_new(const uint8_t *message, size_t n)
{
	struct grpc_out *m;

	if (n > UINT32_MAX)
		return NULL;
	m = kf_calloc(1, sizeof(*m) + KF_GRPC_PREFIX + n);
	if (!m)
		return NULL;
	kf_grpc_prefix(m->bytes, (uint32_t)n);
	if (n > 0)
		memcpy(m->bytes + KF_GRPC_PREFIX, message, n);
	m->n = KF_GRPC_PREFIX + n;
	return m;
}

static void push(struct kf_grpc_call *call, struct grpc_out *m)
{
	*call->out_end = m;
	call->out_end = &m->next;
	call->n_out++;
}

int kf_grpc_send(struct kf_grpc_call *call, const uint8_t *message, size_t n, struct kf_error *err)
{
	struct grpc_out *m;

	if (call->finished)
		return kf_fail(err, KF_E_STATE, 0, "the call is finished already");
	m = out_new(message, n);
	if (!m || (!call->started && submit_answer(call) != 0)) {
		free(m);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a message of %zu bytes", n);
	}
	call->started = 1;
	push(call, m);
	resume(call);
	grpc_wake(call->g);
	return 0;
}

void kf_grpc_finish(struct kf_grpc_call *call, int status, const char *text)
{
	char encoded[KF_GRPC_MESSAGE];

	if (call->finished)
		return;
	call->finished = 1;
	call->status = status;
	kf_grpc_message_encode(text, encoded);
	call->text = encoded[0] ? kf_strdup(encoded) : NULL;
	if (call->started)
		resume(call);
	else if (submit_trailers_only(call) != 0)
		grpc_reset(call, NGHTTP2_INTERNAL_ERROR);
	call->started = 1;
	grpc_wake(call->g);
}

unsigned kf_grpc_queued(const struct kf_grpc_call *call)
{
	return call->n_out;
}

void grpc_refuse(struct kf_grpc_call *call, int status, const char *text)
{
	if (call->deaf)
		return;
	call->deaf = 1;
	kf_grpc_finish(call, status, text);
}

void grpc_reset(struct kf_grpc_call *call, uint32_t http2_error)
{
	call->deaf = 1;
	if (nghttp2_submit_rst_stream(call->g->session, NGHTTP2_FLAG_NONE, call->id, http2_error))
		call->g->broken = 1;
	grpc_wake(call->g);
}

/* Submit the request of a call that has its message queued. */
static int submit_request(struct kf_grpc_call *call, const char *path)
{
	nghttp2_data_provider data = {.source.ptr = call, .read_callback = read_out};
	nghttp2_nv nv[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", "http"),
		HEADER(":path", path),
		HEADER(":authority", "localhost"),
		HEADER("content-type", "application/grpc"),
		HEADER("user-agent", "kerf"),
		HEADER("te", "trailers"),
	};

	call->id = nghttp2_submit_request(call->g->session, NULL, nv, sizeof(nv) / sizeof(nv[0]),
					  &data, NULL);
	return call->id;
}

int kf_grpc_call(struct kf_grpc *g, const char *path, const uint8_t *message, size_t n,
		 const struct kf_grpc_call_events *ev, void *ud, struct kf_grpc_call **ret,
		 struct kf_error *err)
{
	struct kf_grpc_call *call = grpc_call_new(g, 0);
	struct grpc_out *m = call ? out_new(message, n) : NULL;

	if (m)
		push(call, m);
	if (!m || submit_request(call, path) < 0) {
		if (call)
			grpc_call_drop(call);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a call of %s", path);
	}
	call->ev = ev;
	call->ud = ud;
	if (ret)
		*ret = call;
	grpc_wake(g);
	return 0;
}

void kf_grpc_cancel(struct kf_grpc_call *call)
{
	call->ev = NULL;
	grpc_reset(call, NGHTTP2_CANCEL);
}
