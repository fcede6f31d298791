/* The client's end of pipe.h: one connection. */
#include "grpc/pipe.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "grpc/address.h"
#include "grpc/wire.h"

struct kf_grpc_pipe {
	struct wire *wire;
	void (*closed)(void *ud, const struct kf_error *why);
	void *ud;
	void (*done)(void *ud);
	void *done_ud;
};

static void on_ended(void *ud, struct wire *w, const struct kf_error *why)
{
	struct kf_grpc_pipe *p = ud;

	if (p->closed)
		p->closed(p->ud, why);
}

static void on_gone(void *ud, struct wire *w)
{
	struct kf_grpc_pipe *p = ud;
	void (*done)(void *ud) = p->done;
	void *done_ud = p->done_ud;

	free(p);
	if (done)
		done(done_ud);
}

static const struct wire_owner owner = {.ended = on_ended, .gone = on_gone};

int kf_grpc_connect(uv_loop_t *loop, const char *path, const struct kf_grpc_limits *limits,
		    void (*closed)(void *ud, const struct kf_error *why), void *ud,
		    struct kf_grpc_pipe **ret, struct kf_error *err)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *g = NULL;
	kf_auto_mem struct kf_grpc_pipe *p = kf_calloc(1, sizeof(*p));
	int fd;

	if (!p)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to connect to %s", path);
	p->closed = closed;
	p->ud = ud;
	if (kf_grpc_client_new(limits, &g, err) < 0)
		return -1;
	fd = kf_unix_connect(path, err);
	if (fd < 0 || wire_open(loop, NULL, fd, g, &owner, p, &p->wire, err) < 0)
		return -1;
	g = NULL;
	*ret = kf_take(p);
	return 0;
}

struct kf_grpc *kf_grpc_pipe_grpc(struct kf_grpc_pipe *p)
{
	return p->wire->failed || p->wire->doomed ? NULL : p->wire->g;
}

void kf_grpc_pipe_stop(struct kf_grpc_pipe *p, void (*done)(void *ud), void *ud)
{
	p->done = done;
	p->done_ud = ud;
	wire_close(p->wire);
}
