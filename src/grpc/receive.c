/* What comes in: nghttp2's callbacks become requests, messages and endings. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/session.h"

static int is(const uint8_t *name, size_t n, const char *what)
{
	return n == strlen(what) && !memcmp(name, what, n);
}

/* "application/grpc", alone or with "+proto" or ";..." behind it: what grpc-go insists on too. */
static int grpc_content(const uint8_t *value, size_t n)
{
	static const char type[] = "application/grpc";
	size_t len = sizeof(type) - 1;

	return n >= len && !memcmp(value, type, len) &&
	       (n == len || value[len] == '+' || value[len] == ';');
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ud)
{
	struct kf_grpc *g = ud;

	if (!g->server || frame->hd.type != NGHTTP2_HEADERS ||
	    frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	return grpc_call_new(g, frame->hd.stream_id) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void request_header(struct kf_grpc_call *call, const uint8_t *name, size_t n_name,
			   const uint8_t *value, size_t n)
{
	if (is(name, n_name, ":path") && !call->path[0] && n < sizeof(call->path))
		memcpy(call->path, value, n);
	else if (is(name, n_name, ":method"))
		call->post = is(value, n, "POST");
	else if (is(name, n_name, "content-type"))
		call->content = grpc_content(value, n);
}

static void answer_header(struct kf_grpc_call *call, const uint8_t *name, size_t n_name,
			  const uint8_t *value, size_t n)
{
	char text[512];

	if (is(name, n_name, ":status")) {
		call->http_status = n == 3 ? atoi((const char *)value) : 0;
	} else if (is(name, n_name, "content-type")) {
		call->content = grpc_content(value, n);
	} else if (is(name, n_name, "grpc-status") && !call->has_status) {
		call->status = kf_grpc_status_parse((const char *)value, n);
		call->has_status = 1;
	} else if (is(name, n_name, "grpc-message") && !call->text) {
		kf_grpc_message_decode((const char *)value, n, text, sizeof(text));
		call->text = kf_strdup(text); /* without memory: an error without its sentence */
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t n_name, const uint8_t *value, size_t n, uint8_t flags, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, frame->hd.stream_id);

	if (!call || call->deaf)
		return 0;
	if (!g->server)
		answer_header(call, name, n_name, value, n);
	else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		request_header(call, name, n_name, value, n);
	return 0;
}

/* The client ended its side: the request is whole, or it never will be. */
static void request_ended(struct kf_grpc_call *call)
{
	struct kf_grpc *g = call->g;

	call->ended = 1;
	if (call->deaf || call->delivered)
		return;
	if (!call->whole) {
		grpc_refuse(call, KF_GRPC_INVALID_ARGUMENT,
			    kf_grpc_inbox_idle(&call->inbox) ? "the request has no message"
							     : "the request's message is cut off");
		return;
	}
	call->delivered = 1;
	g->ev->request(g->ud, call, call->path, call->inbox.message, call->inbox.n);
	g->buffered -= call->inbox.n;
	kf_grpc_inbox_next(&call->inbox);
}

static void check_request(struct kf_grpc_call *call)
{
	if (!call->post || !call->content)
		grpc_refuse(call, KF_GRPC_UNIMPLEMENTED, "not a gRPC request");
	else if (!call->path[0])
		grpc_refuse(call, KF_GRPC_UNIMPLEMENTED, "no such method");
}

/* A client's call fails for a reason found here: say so, and let the server stop. */
static void give_up(struct kf_grpc_call *call, int status, const char *text)
{
	if (call->deaf)
		return;
	call->deaf = 1;
	call->has_status = 1;
	call->status = status;
	free(call->text);
	call->text = kf_strdup(text);
	grpc_reset(call, NGHTTP2_CANCEL);
}

static void check_answer(struct kf_grpc_call *call)
{
	if (call->http_status != 200)
		give_up(call,
			call->http_status >= 502 && call->http_status <= 504 ? KF_GRPC_UNAVAILABLE
									     : KF_GRPC_UNKNOWN,
			"the answer's HTTP status is not 200");
	else if (!call->content)
		give_up(call, KF_GRPC_UNKNOWN, "the answer's content-type is not gRPC's");
	else
		call->ok = 1;
}

static void on_headers(struct kf_grpc_call *call, const nghttp2_frame *frame)
{
	int end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (call->g->server) {
		if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
			check_request(call);
		else if (!end)
			grpc_reset(call, NGHTTP2_PROTOCOL_ERROR);
		if (end)
			request_ended(call);
	} else if (frame->headers.cat == NGHTTP2_HCAT_RESPONSE) {
		check_answer(call);
	}
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, frame->hd.stream_id);

	if (!call)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		on_headers(call, frame);
	else if (frame->hd.type == NGHTTP2_DATA && g->server &&
		 (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		request_ended(call);
	return g->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void fail_call(struct kf_grpc_call *call, int status, const char *text)
{
	if (call->g->server)
		grpc_refuse(call, status, text);
	else
		give_up(call, status, text);
}

static void bad_message(struct kf_grpc_call *call, enum kf_grpc_inbox_answer answer)
{
	switch (answer) {
	case KF_GRPC_INBOX_COMPRESSED:
		fail_call(call, KF_GRPC_UNIMPLEMENTED, "the message is compressed");
		break;
	case KF_GRPC_INBOX_FLAG:
		fail_call(call, KF_GRPC_INTERNAL, "the message has an unknown flag");
		break;
	case KF_GRPC_INBOX_LARGE:
		fail_call(call, KF_GRPC_RESOURCE_EXHAUSTED, "the message is too long");
		break;
	default:
		fail_call(call, KF_GRPC_RESOURCE_EXHAUSTED, "no memory for the message");
	}
}

/* A message is whole: a server keeps it until the request ends, a client hands it on. */
static void good_message(struct kf_grpc_call *call)
{
	if (call->g->server) {
		call->whole = 1;
		return;
	}
	if (call->ok && call->ev && call->ev->message)
		call->ev->message(call->ud, call, call->inbox.message, call->inbox.n);
	call->g->buffered -= call->inbox.n;
	kf_grpc_inbox_next(&call->inbox);
}

/* One step through a DATA frame; the bytes it took. */
static size_t take(struct kf_grpc_call *call, const uint8_t *data, size_t n)
{
	struct kf_grpc *g = call->g;
	size_t before = call->inbox.n, used = n;
	enum kf_grpc_inbox_answer answer;

	if (call->whole) {
		grpc_refuse(call, KF_GRPC_INVALID_ARGUMENT,
			    "the request has more than one message");
		return n;
	}
	answer = kf_grpc_inbox_feed(&call->inbox, data, n, g->limits.max_message, &used);
	g->buffered += call->inbox.n - before;
	if (answer == KF_GRPC_INBOX_MESSAGE)
		good_message(call);
	else if (answer != KF_GRPC_INBOX_MORE)
		bad_message(call, answer);
	else if (g->buffered > g->limits.max_message)
		fail_call(call, KF_GRPC_RESOURCE_EXHAUSTED, "too many unfinished messages");
	return used;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t n, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, id);
	size_t used;

	for (; call && n > 0 && !call->deaf; data += used, n -= used)
		used = take(call, data, n);
	return g->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void answer_over(struct kf_grpc_call *call, uint32_t error)
{
	if (call->has_status && call->status == KF_GRPC_OK && !kf_grpc_inbox_idle(&call->inbox))
		grpc_call_over(call, KF_GRPC_INTERNAL, "the answer's message is cut off");
	else if (call->has_status)
		grpc_call_over(call, call->status, call->text ? call->text : "");
	else if (error != NGHTTP2_NO_ERROR)
		grpc_call_over(call, kf_grpc_status_of_reset(error), nghttp2_http2_strerror(error));
	else
		grpc_call_over(call, KF_GRPC_UNKNOWN, "the answer has no grpc-status");
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, id);

	if (call && g->server)
		grpc_call_over(call, 0, "");
	else if (call)
		answer_over(call, error);
	return 0;
}

/* A request that was refused may still be coming; NO_ERROR asks the client to stop (RFC 9113 8.1).
 * Not before the answer is out: nghttp2 drops what else it has for a stream that is reset. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, frame->hd.stream_id);

	if (call && g->server && call->deaf && !call->ended && frame->hd.type == NGHTTP2_HEADERS &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		grpc_reset(call, NGHTTP2_NO_ERROR);
	return 0;
}

/* A request that could not be sent, since the server said GOAWAY: its stream never was. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *ud)
{
	struct kf_grpc *g = ud;
	struct kf_grpc_call *call = grpc_call_find(g, frame->hd.stream_id);

	if (call && !g->server && frame->hd.type == NGHTTP2_HEADERS)
		grpc_call_over(call, KF_GRPC_UNAVAILABLE, "the server takes no new requests");
	return 0;
}

void grpc_receive_callbacks(nghttp2_session_callbacks *cbs)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_not_sent);
}
