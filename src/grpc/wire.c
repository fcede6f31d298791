/* One connection on a uv_pipe_t; see wire.h. */
#include "grpc/wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define OUT_MAX	    65536 /* bytes on their way to the socket at most */
#define READ_SIZE   16384
#define BACKLOG_MAX 2000 /* frames; a peer that reads never lets 200 pile up */

static void on_handle_closed(uv_handle_t *h)
{
	struct wire *w = h->data;

	if (--w->n_open > 0)
		return;
	w->owner->gone(w->ud, w);
	free(w->out);
	free(w);
}

void wire_close(struct wire *w)
{
	if (w->g)
		kf_grpc_mute(w->g);
	w->doomed = 1;
	if (w->busy > 0 || w->closing)
		return;
	w->closing = 1;
	w->g = kf_grpc_free(w->g);
	uv_close((uv_handle_t *)&w->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&w->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&w->grace, on_handle_closed);
}

/* Leave nghttp2; what its events asked for can be done now. */
static void leave(struct wire *w)
{
	w->busy--;
	if (w->busy == 0 && w->doomed)
		wire_close(w);
}

static int over(const struct wire *w)
{
	return w->failed || w->doomed;
}

static void fail(struct wire *w, const struct kf_error *why)
{
	if (over(w))
		return;
	uv_read_stop((uv_stream_t *)&w->pipe);
	uv_prepare_stop(&w->prepare);
	uv_timer_stop(&w->grace);
	w->failed = 1; /* from here on nobody may call on it, not even its last events */
	w->busy++;
	w->g = kf_grpc_free(w->g);
	leave(w);
	if (!w->doomed)
		w->owner->ended(w->ud, w, why);
}

static int pull_all(struct wire *w, struct kf_error *err)
{
	const uint8_t *bytes;
	int n;

	while (w->n_out < OUT_MAX && (n = kf_grpc_pull(w->g, &bytes, err)) != 0) {
		if (n < 0)
			return -1;
		if (kf_grow(&w->out, &w->out_capacity, w->n_out + (size_t)n, 1) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory to write to a socket");
		memcpy(w->out + w->n_out, bytes, (size_t)n);
		w->n_out += (size_t)n;
	}
	return 0;
}

static int fill(struct wire *w, struct kf_error *err)
{
	int r;

	w->busy++;
	r = pull_all(w, err);
	leave(w);
	return r;
}

/* All was written: keep no large buffer, connections are many and mostly quiet. */
static void written(struct wire *w)
{
	w->n_out = 0;
	if (w->out_capacity <= 4096)
		return;
	free(w->out);
	w->out = NULL;
	w->out_capacity = 0;
}

static void flush(struct wire *w);

static void on_written(uv_write_t *req, int status)
{
	struct wire *w = req->data;
	struct kf_error why = {0};

	w->writing = 0;
	if (over(w))
		return;
	if (status < 0) {
		kf_fail(&why, KF_E_SYSTEM, -status, "write: %s", uv_strerror(status));
		fail(w, &why);
		return;
	}
	written(w);
	flush(w);
}

/* Write what the socket takes at once; the answer is the number of bytes left, or negative. */
static int try_write(struct wire *w)
{
	uv_buf_t buf = uv_buf_init(w->out, (unsigned)w->n_out);
	int n = uv_try_write((uv_stream_t *)&w->pipe, &buf, 1);

	if (n == UV_EAGAIN)
		n = 0;
	if (n < 0)
		return n;
	w->n_out -= (size_t)n;
	if (w->n_out > 0)
		memmove(w->out, w->out + n, w->n_out);
	return (int)w->n_out;
}

static void write_later(struct wire *w)
{
	uv_buf_t buf = uv_buf_init(w->out, (unsigned)w->n_out);
	struct kf_error why = {0};
	int r;

	w->write.data = w;
	r = uv_write(&w->write, (uv_stream_t *)&w->pipe, &buf, 1, on_written);
	if (r == 0) {
		w->writing = 1;
		return;
	}
	kf_fail(&why, KF_E_SYSTEM, -r, "write: %s", uv_strerror(r));
	fail(w, &why);
}

static void flush(struct wire *w)
{
	struct kf_error why = {0};
	int left = 0;

	while (!over(w) && !w->writing) {
		if (fill(w, &why) < 0) {
			fail(w, &why);
			return;
		}
		if (over(w) || w->n_out == 0)
			break;
		left = try_write(w);
		if (left < 0) {
			kf_fail(&why, KF_E_SYSTEM, -left, "write: %s", uv_strerror(left));
			fail(w, &why);
			return;
		}
		if (left > 0)
			write_later(w);
		else
			written(w);
	}
	if (!over(w) && !w->writing && (w->ending || !kf_grpc_alive(w->g)))
		fail(w, &why);
}

static void on_prepare(uv_prepare_t *h)
{
	uv_prepare_stop(h);
	flush(h->data);
}

/* Something was submitted: write it before the loop sleeps, never from inside the submitter. */
static void on_wake(void *ud)
{
	struct wire *w = ud;

	if (!over(w))
		uv_prepare_start(&w->prepare, on_prepare);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	buf->base = kf_calloc(1, READ_SIZE);
	buf->len = buf->base ? READ_SIZE : 0;
}

static void feed(struct wire *w, const char *bytes, size_t n)
{
	struct kf_error why = {0};
	int r;

	w->busy++;
	r = kf_grpc_feed(w->g, (const uint8_t *)bytes, n, &why);
	if (r == 0 && kf_grpc_backlog(w->g) > BACKLOG_MAX)
		r = kf_fail(&why, KF_E_PROTOCOL, 0, "the peer asks and does not read");
	leave(w);
	if (over(w))
		return;
	if (r == 0) {
		flush(w);
		return;
	}
	/* Say why as far as the socket takes it, then close. */
	if (!w->writing && fill(w, NULL) == 0 && !over(w) && w->n_out > 0)
		try_write(w);
	fail(w, &why);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct wire *w = s->data;
	struct kf_error why = {0};

	if (over(w)) {
		free(buf->base);
		return;
	}
	if (n > 0) {
		feed(w, buf->base, (size_t)n);
	} else if (n < 0) {
		if (n != UV_EOF)
			kf_fail(&why, KF_E_SYSTEM, (int)-n, "read: %s", uv_strerror((int)n));
		fail(w, &why);
	}
	free(buf->base);
}

static void on_grace(uv_timer_t *t)
{
	struct kf_error none = {0};

	fail(t->data, &none);
}

void wire_end(struct wire *w, unsigned ms)
{
	if (over(w))
		return;
	w->ending = 1;
	uv_timer_start(&w->grace, on_grace, ms, 0);
	on_wake(w);
}

static int start_reading(struct wire *w, uv_stream_t *from, int fd, struct kf_error *err)
{
	int r = from ? uv_accept(from, (uv_stream_t *)&w->pipe) : uv_pipe_open(&w->pipe, fd);

	if (r != 0 && !from)
		close(fd);
	if (r == 0)
		r = uv_read_start((uv_stream_t *)&w->pipe, on_alloc, on_read);
	if (r != 0)
		return kf_fail(err, KF_E_SYSTEM, -r, "read a socket: %s", uv_strerror(r));
	return 0;
}

static void forget(void *ud, struct wire *w)
{
}

static struct wire *wire_new(uv_loop_t *loop)
{
	struct wire *w = kf_calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->n_open = 3;
	uv_pipe_init(loop, &w->pipe, 0);
	uv_prepare_init(loop, &w->prepare);
	uv_timer_init(loop, &w->grace);
	w->pipe.data = w->prepare.data = w->grace.data = w;
	return w;
}

int wire_open(uv_loop_t *loop, uv_stream_t *from, int fd, struct kf_grpc *g,
	      const struct wire_owner *owner, void *ud, struct wire **ret, struct kf_error *err)
{
	static const struct wire_owner nobody = {.gone = forget};
	struct wire *w = wire_new(loop);

	if (!w) {
		if (!from)
			close(fd);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a connection");
	}
	w->owner = &nobody;
	if (start_reading(w, from, fd, err) < 0) {
		wire_close(w);
		return -1;
	}
	w->owner = owner;
	w->ud = ud;
	w->g = g;
	kf_grpc_on_wake(g, on_wake, w);
	on_wake(w); /* SETTINGS */
	*ret = w;
	return 0;
}
