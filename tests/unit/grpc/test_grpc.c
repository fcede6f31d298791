/* Two connections and a loop that carries bytes between them; or one, and bytes written by hand. */
#include "kftest.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "grpc/grpc.h"

/* --- a server that does what the path says --- */

struct server {
	struct kf_grpc *g;
	unsigned requests, closed, drained;
	size_t last_n;
	struct kf_grpc_call *stream; /* of /Watch */
};

static void on_request(void *ud, struct kf_grpc_call *call, const char *path,
		       const uint8_t *message, size_t n)
{
	struct server *s = ud;

	s->requests++;
	s->last_n = n;
	if (!strcmp(path, "/Watch")) {
		s->stream = call;
	} else if (!strcmp(path, "/Echo")) {
		if (kf_grpc_send(call, message, n, NULL) == 0)
			kf_grpc_finish(call, KF_GRPC_OK, "");
		else
			kf_grpc_finish(call, KF_GRPC_RESOURCE_EXHAUSTED, "no memory");
	} else if (!strcmp(path, "/Refuse")) {
		kf_grpc_finish(call, KF_GRPC_FAILED_PRECONDITION,
			       "slice 3 is being removed: 100 % ß");
	} else {
		kf_grpc_finish(call, KF_GRPC_UNIMPLEMENTED, "no such method");
	}
}

static void on_drained(void *ud, struct kf_grpc_call *call)
{
	((struct server *)ud)->drained++;
}

static void on_closed(void *ud, struct kf_grpc_call *call)
{
	struct server *s = ud;

	s->closed++;
	if (s->stream == call)
		s->stream = NULL;
}

static const struct kf_grpc_server_events events = {on_request, on_drained, on_closed};

static int serve(struct server *s, size_t max_message)
{
	struct kf_grpc_limits limits = {.max_message = max_message};

	*s = (struct server){0};
	return kf_grpc_server_new(&limits, &events, s, &s->g, NULL);
}

/* --- a client call and what came of it --- */

struct result {
	unsigned messages, done;
	size_t bytes;
	uint8_t last; /* byte of the last message */
	int status;
	char text[512];
};

static void on_message(void *ud, struct kf_grpc_call *call, const uint8_t *message, size_t n)
{
	struct result *r = ud;

	r->messages++;
	r->bytes += n;
	r->last = n ? message[n - 1] : 0;
}

static void on_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	struct result *r = ud;

	r->done++;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static const struct kf_grpc_call_events call_events = {on_message, on_done};

static int move(struct kf_grpc *from, struct kf_grpc *to, size_t piece)
{
	const uint8_t *bytes;
	int n, k, moved = 0;

	while ((n = kf_grpc_pull(from, &bytes, NULL)) > 0) {
		moved = 1;
		for (; n > 0; n -= k, bytes += k) {
			k = piece && (size_t)n > piece ? (int)piece : n;
			if (kf_grpc_feed(to, bytes, (size_t)k, NULL) < 0)
				return -1;
		}
	}
	return n < 0 ? -1 : moved;
}

static int carry(struct kf_grpc *a, struct kf_grpc *b, size_t piece)
{
	int x, y;

	do {
		x = move(a, b, piece);
		y = move(b, a, piece);
	} while (x > 0 || y > 0);
	return x < 0 || y < 0 ? -1 : 0;
}

static void carries_a_unary_call_in_pieces_of_any_size(void **state)
{
	size_t piece;

	for (piece = 0; piece < 40; piece++) {
		kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
		struct server s;
		struct result r = {0};

		assert_int_equal(serve(&s, 0), 0);
		assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
		assert_int_equal(kf_grpc_call(c, "/Echo", (const uint8_t *)"hello", 5, &call_events,
					      &r, NULL, NULL),
				 0);
		assert_int_equal(carry(c, s.g, piece), 0);
		assert_int_equal(r.done, 1);
		assert_int_equal(r.status, KF_GRPC_OK);
		assert_int_equal(r.messages, 1);
		assert_int_equal(r.bytes, 5);
		assert_int_equal(r.last, 'o');
		assert_int_equal(s.closed, 1);
		kf_grpc_free(s.g);
	}
}

static void hands_on_status_and_sentence(void **state)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	struct result refused = {0}, unknown = {0};
	struct server s;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Refuse", NULL, 0, &call_events, &refused, NULL, NULL);
	kf_grpc_call(c, "/None", NULL, 0, &call_events, &unknown, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(refused.done, 1);
	assert_int_equal(refused.status, KF_GRPC_FAILED_PRECONDITION);
	assert_string_equal(refused.text, "slice 3 is being removed: 100 % ß");
	assert_int_equal(refused.messages, 0);
	assert_int_equal(unknown.status, KF_GRPC_UNIMPLEMENTED);
	kf_grpc_free(s.g);
}

static void streams_messages_larger_than_the_window(void **state)
{
	enum { N = 300000 };
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	kf_auto_mem uint8_t *big = calloc(1, N);
	struct result r = {0};
	struct server s;
	unsigned i;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Watch", NULL, 0, &call_events, &r, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_non_null(s.stream);
	assert_int_equal(r.messages, 0);
	for (i = 1; i <= 3; i++) {
		big[N - 1] = (uint8_t)i;
		assert_int_equal(kf_grpc_send(s.stream, big, N, NULL), 0);
		assert_int_equal(kf_grpc_queued(s.stream), 1);
		assert_int_equal(carry(c, s.g, 1000), 0);
		assert_int_equal(kf_grpc_queued(s.stream), 0);
		assert_int_equal(s.drained, i);
		assert_int_equal(r.messages, i);
		assert_int_equal(r.last, i);
	}
	kf_grpc_finish(s.stream, KF_GRPC_OK, "");
	assert_int_equal(kf_grpc_send(s.stream, big, 1, NULL), -1);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.bytes, 3 * N);
	kf_grpc_free(s.g);
}

static void a_peer_that_does_not_read_leaves_messages_queued(void **state)
{
	enum { N = 200000 };
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	kf_auto_mem uint8_t *big = calloc(1, N);
	struct result r = {0};
	struct server s;
	const uint8_t *bytes;
	size_t out = 0;
	int n;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Watch", NULL, 0, &call_events, &r, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(kf_grpc_send(s.stream, big, N, NULL), 0);
	while ((n = kf_grpc_pull(s.g, &bytes, NULL)) > 0)
		out += (size_t)n;
	assert_in_range(out, 1, 70000); /* one window of 65,535 and frame headers */
	assert_int_equal(kf_grpc_queued(s.stream), 1);
	kf_grpc_free(s.g);
}

static void a_cancelled_call_ends_on_both_sides_in_silence(void **state)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	struct result r = {0}, other = {0};
	struct kf_grpc_call *call;
	struct server s;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Watch", NULL, 0, &call_events, &r, &call, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	kf_grpc_cancel(call);
	kf_grpc_call(c, "/Echo", NULL, 0, &call_events, &other, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(r.done, 0);
	assert_int_equal(s.closed, 2);
	assert_null(s.stream);
	assert_int_equal(other.status, KF_GRPC_OK);
	kf_grpc_free(s.g);
}

static void an_ended_connection_ends_its_calls(void **state)
{
	struct kf_grpc *c = NULL;
	struct result r = {0};
	struct server s;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Watch", NULL, 0, &call_events, &r, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	kf_grpc_free(c);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.status, KF_GRPC_UNAVAILABLE);
	kf_grpc_free(s.g);
	assert_int_equal(s.closed, 1);
}

static void goodbye_lets_open_calls_end_and_refuses_new_ones(void **state)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	struct result old = {0}, new = {0};
	struct server s;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(NULL, &c, NULL), 0);
	kf_grpc_call(c, "/Watch", NULL, 0, &call_events, &old, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	kf_grpc_shutdown(s.g);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(old.done, 0);
	kf_grpc_call(c, "/Echo", NULL, 0, &call_events, &new, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(new.done, 1);
	assert_int_equal(new.status, KF_GRPC_UNAVAILABLE);
	kf_grpc_finish_all(s.g, KF_GRPC_OK, "");
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(old.done, 1);
	assert_int_equal(kf_grpc_alive(s.g), 0);
	kf_grpc_free(s.g);
}

static void a_client_refuses_an_answer_over_its_limit(void **state)
{
	struct kf_grpc_limits small = {.max_message = 10};
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	struct result r = {0};
	struct server s;

	assert_int_equal(serve(&s, 0), 0);
	assert_int_equal(kf_grpc_client_new(&small, &c, NULL), 0);
	kf_grpc_call(c, "/Echo", (const uint8_t *)"0123456789a", 11, &call_events, &r, NULL, NULL);
	assert_int_equal(carry(c, s.g, 0), 0);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.messages, 0);
	assert_int_equal(r.status, KF_GRPC_RESOURCE_EXHAUSTED);
	kf_grpc_free(s.g);
}

static int one_call(void)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *c = NULL;
	struct result r = {0};
	struct server s = {0};
	int ok = 0;

	if (serve(&s, 0) == 0 && kf_grpc_client_new(NULL, &c, NULL) == 0 &&
	    kf_grpc_call(c, "/Echo", (const uint8_t *)"hello", 5, &call_events, &r, NULL, NULL) ==
		    0) {
		ok = carry(c, s.g, 0) == 0 && r.messages == 1 && r.status == KF_GRPC_OK;
		c = kf_grpc_free(c);
		assert_int_equal(r.done, 1);
	}
	kf_grpc_free(s.g);
	return ok;
}

static void survives_each_failed_allocation(void **state)
{
	unsigned failures = 0;

	KF_FOR_EACH_OOM
	{
		int ok = one_call();

		if (!kf_alloc_failed())
			assert_true(ok);
		else
			failures++;
	}
	assert_in_range(failures, 20, 100000);
	print_message("%u allocations failed in turn\n", failures);
}

/* --- bytes written by hand --- */

struct bytes {
	uint8_t b[8192];
	size_t n;
};

static void put(struct bytes *o, const void *p, size_t n)
{
	memcpy(o->b + o->n, p, n);
	o->n += n;
}

static void frame(struct bytes *o, int type, int flags, unsigned stream, const void *p, size_t n)
{
	uint8_t head[9] = {(uint8_t)(n >> 16),
			   (uint8_t)(n >> 8),
			   (uint8_t)n,
			   (uint8_t)type,
			   (uint8_t)flags,
			   0,
			   0,
			   0,
			   (uint8_t)stream};

	put(o, head, sizeof(head));
	put(o, p, n);
}

static void header(struct bytes *o, const char *name, const char *value)
{
	uint8_t n;

	put(o, "\0", 1); /* a literal that is not indexed */
	n = (uint8_t)strlen(name);
	put(o, &n, 1);
	put(o, name, n);
	n = (uint8_t)strlen(value);
	put(o, &n, 1);
	put(o, value, n);
}

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, END_STREAM = 1, END_HEADERS = 4 };

static void hello(struct bytes *o)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	o->n = 0;
	put(o, preface, sizeof(preface) - 1);
	frame(o, SETTINGS, 0, 0, "", 0);
}

static void request(struct bytes *o, unsigned stream, const char *path, const char *content,
		    int flags)
{
	struct bytes h = {.n = 0};

	header(&h, ":method", "POST");
	header(&h, ":scheme", "http");
	header(&h, ":path", path);
	header(&h, ":authority", "/var/lib/kubelet/device-plugins/x.sock"); /* kubelets to 1.25 */
	header(&h, "content-type", content);
	frame(o, HEADERS, END_HEADERS | flags, stream, h.b, h.n);
}

/* Feed it whole, then byte by byte to a second server: both must have seen the same. */
static void feed(struct server *s, const struct bytes *o, int expected)
{
	struct server t;
	size_t i;
	int r = 0;

	assert_int_equal(serve(s, 100), 0);
	assert_int_equal(kf_grpc_feed(s->g, o->b, o->n, NULL), expected);
	assert_int_equal(serve(&t, 100), 0);
	for (i = 0; i < o->n && r == 0; i++)
		r = kf_grpc_feed(t.g, o->b + i, 1, NULL);
	assert_int_equal(r, expected);
	assert_int_equal(s->requests, t.requests);
	kf_grpc_free(t.g);
}

/* The grpc-status in one HEADERS frame's block, or -1. */
static int status_in(nghttp2_hd_inflater *hpack, const uint8_t *p, size_t n)
{
	int status = -1, flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t k = nghttp2_hd_inflate_hd2(hpack, &nv, &flags, p, n, 1);

		assert_true(k >= 0);
		p += k;
		n -= (size_t)k;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) && nv.namelen == 11 &&
		    !memcmp(nv.name, "grpc-status", 11))
			status = atoi((const char *)nv.value);
	}
	nghttp2_hd_inflate_end_headers(hpack);
	return status;
}

/* Everything that the server has to say; the answer is the first grpc-status on this stream. */
static int status_sent(struct server *s, unsigned stream)
{
	nghttp2_hd_inflater *hpack;
	const uint8_t *p;
	int status = -1, n;

	assert_int_equal(nghttp2_hd_inflate_new(&hpack), 0);
	while ((n = kf_grpc_pull(s->g, &p, NULL)) > 0) {
		/* nghttp2 gives whole frames, one or more a time */
		for (size_t at = 0; at < (size_t)n;) {
			const uint8_t *f = p + at;
			size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
			int found = f[3] == HEADERS ? status_in(hpack, f + 9, len) : -1;

			if (found >= 0 && f[8] == stream && status < 0)
				status = found;
			at += 9 + len;
		}
	}
	nghttp2_hd_inflate_del(hpack);
	return status;
}

static void end(struct server *s)
{
	kf_grpc_free(s->g);
}

static void takes_an_empty_message_and_an_end_in_its_own_frame(void **state)
{
	struct bytes o;
	struct server s;

	hello(&o);
	request(&o, 1, "/Echo", "application/grpc", 0);
	frame(&o, DATA, 0, 1, "\0\0\0\0\0", 5);
	feed(&s, &o, 0);
	assert_int_equal(s.requests, 0);
	end(&s);
	frame(&o, DATA, END_STREAM, 1, "", 0);
	feed(&s, &o, 0);
	assert_int_equal(s.requests, 1);
	assert_int_equal(s.last_n, 0);
	end(&s);
}

static void joins_a_message_from_many_frames(void **state)
{
	static const uint8_t m[] = {0, 0, 0, 0, 6, 'a', 'b', 'c', 'd', 'e', 'f'};
	struct bytes o;
	struct server s;
	size_t i;

	hello(&o);
	request(&o, 1, "/Echo", "application/grpc+proto", 0);
	for (i = 0; i < sizeof(m); i++)
		frame(&o, DATA, i + 1 == sizeof(m) ? END_STREAM : 0, 1, m + i, 1);
	feed(&s, &o, 0);
	assert_int_equal(s.requests, 1);
	assert_int_equal(s.last_n, 6);
	end(&s);
}

/* One stream is broken, the next on the same connection is served. */
static void expect_refused(int status, const char *content, int headers_flags, const void *data,
			   size_t n, int data_flags)
{
	struct bytes o;
	struct server s;

	hello(&o);
	request(&o, 1, "/Echo", content, headers_flags);
	if (data)
		frame(&o, DATA, data_flags, 1, data, n);
	request(&o, 3, "/Echo", "application/grpc", 0);
	frame(&o, DATA, END_STREAM, 3, "\0\0\0\0\0", 5);
	feed(&s, &o, 0);
	assert_int_equal(s.requests, 1);
	assert_int_equal(status_sent(&s, 1), status);
	assert_int_equal(s.closed, 1);
	assert_true(kf_grpc_alive(s.g));
	end(&s);
}

static void refuses_what_is_no_single_message(void **state)
{
	static const char grpc[] = "application/grpc";
	enum { INVALID = 3, EXHAUSTED = 8, UNIMPLEMENTED = 12, INTERNAL = 13 };

	/* none, none, cut off, cut off */
	expect_refused(INVALID, grpc, END_STREAM, NULL, 0, 0);
	expect_refused(INVALID, grpc, 0, "", 0, END_STREAM);
	expect_refused(INVALID, grpc, 0, "\0\0\0", 3, END_STREAM);
	expect_refused(INVALID, grpc, 0, "\0\0\0\0\5abc", 8, END_STREAM);
	/* compressed, compressed and still open, a flag that does not exist */
	expect_refused(UNIMPLEMENTED, grpc, 0, "\1\0\0\0\0", 5, END_STREAM);
	expect_refused(UNIMPLEMENTED, grpc, 0, "\1\0\0\0\0", 5, 0);
	expect_refused(INTERNAL, grpc, 0, "\2\0\0\0\0", 5, END_STREAM);
	/* 4 GiB, and 101 bytes where 100 are allowed */
	expect_refused(EXHAUSTED, grpc, 0, "\0\xff\xff\xff\xff", 5, 0);
	expect_refused(EXHAUSTED, grpc, 0, "\0\0\0\0\145", 5, 0);
	/* two messages */
	expect_refused(INVALID, grpc, 0, "\0\0\0\0\1a\0\0\0\0\1b", 12, END_STREAM);
	expect_refused(UNIMPLEMENTED, "text/plain", 0, "\0\0\0\0\0", 5, END_STREAM);
	expect_refused(UNIMPLEMENTED, "application/grpcx", 0, "\0\0\0\0\0", 5, END_STREAM);
}

static void many_unfinished_messages_share_one_limit(void **state)
{
	struct bytes o;
	struct server s;
	unsigned i;

	hello(&o);
	for (i = 1; i <= 5; i += 2) {
		request(&o, i, "/Echo", "application/grpc", 0);
		frame(&o, DATA, 0, i,
		      "\0\0\0\0\144"
		      "0123456789012345678901234567890123456789",
		      45);
	}
	feed(&s, &o, 0); /* 3 x 40 of 100 */
	assert_int_equal(status_sent(&s, 5), KF_GRPC_RESOURCE_EXHAUSTED);
	end(&s);
}

static void bytes_that_are_no_http2_end_the_connection(void **state)
{
	struct server s;
	struct bytes o;

	o.n = 0;
	put(&o, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
	feed(&s, &o, -1);
	end(&s);
	hello(&o);
	/* a DATA frame on a stream that never was; nghttp2 answers GOAWAY and wants no more */
	frame(&o, DATA, 0, 1, "\0\0\0\0\0", 5);
	assert_int_equal(serve(&s, 0), 0);
	kf_grpc_feed(s.g, o.b, o.n, NULL);
	while (kf_grpc_pull(s.g, &(const uint8_t *){NULL}, NULL) > 0)
		;
	assert_int_equal(kf_grpc_alive(s.g), 0);
	end(&s);
}

static void encodes_sentences_and_cuts_them_between_characters(void **state)
{
	char out[KF_GRPC_MESSAGE], back[KF_GRPC_MESSAGE], long_text[2000];
	size_t i;

	kf_grpc_message_encode("100 % \xC3\x9F\n~", out);
	assert_string_equal(out, "100 %25 %C3%9F%0A~");
	kf_grpc_message_decode(out, strlen(out), back, sizeof(back));
	assert_string_equal(back, "100 % \xC3\x9F\n~");
	kf_grpc_message_decode("a%2", 3, back, sizeof(back));
	assert_string_equal(back, "a%2");
	for (i = 0; i + 2 < sizeof(long_text); i += 2)
		memcpy(long_text + i, "\xC3\x9F", 2);
	long_text[i] = '\0';
	kf_grpc_message_encode(long_text, out);
	assert_int_equal(strlen(out) % 6, 0);
	assert_in_range(strlen(out), KF_GRPC_MESSAGE - 7, KF_GRPC_MESSAGE - 1);
	assert_int_equal(kf_grpc_status_parse("14", 2), KF_GRPC_UNAVAILABLE);
	assert_int_equal(kf_grpc_status_parse("99", 2), KF_GRPC_UNKNOWN);
	assert_int_equal(kf_grpc_status_parse("", 0), KF_GRPC_UNKNOWN);
	assert_int_equal(kf_grpc_status_parse("1a", 2), KF_GRPC_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_a_unary_call_in_pieces_of_any_size),
		cmocka_unit_test(hands_on_status_and_sentence),
		cmocka_unit_test(streams_messages_larger_than_the_window),
		cmocka_unit_test(a_peer_that_does_not_read_leaves_messages_queued),
		cmocka_unit_test(a_cancelled_call_ends_on_both_sides_in_silence),
		cmocka_unit_test(an_ended_connection_ends_its_calls),
		cmocka_unit_test(goodbye_lets_open_calls_end_and_refuses_new_ones),
		cmocka_unit_test(a_client_refuses_an_answer_over_its_limit),
		cmocka_unit_test(survives_each_failed_allocation),
		cmocka_unit_test(takes_an_empty_message_and_an_end_in_its_own_frame),
		cmocka_unit_test(joins_a_message_from_many_frames),
		cmocka_unit_test(refuses_what_is_no_single_message),
		cmocka_unit_test(many_unfinished_messages_share_one_limit),
		cmocka_unit_test(bytes_that_are_no_http2_end_the_connection),
		cmocka_unit_test(encodes_sentences_and_cuts_them_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
