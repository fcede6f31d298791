/* Inside grpc/ only: one connection on a uv_pipe_t, the same for both sides. */
#pragma once

#include <uv.h>

#include "grpc/grpc.h"

struct wire;

struct wire_owner {
	/*
	 * The connection ended by itself; why->msg says how ("" when the peer just closed).  What
	 * was open has had its last event.  The owner calls wire_close, now or later.
	 */
	void (*ended)(void *ud, struct wire *w, const struct kf_error *why);
	/* Its handles are closed; it is freed after this. */
	void (*gone)(void *ud, struct wire *w);
};

struct wire {
	const struct wire_owner *owner;
	void *ud;
	uv_pipe_t pipe;
	uv_prepare_t prepare; /* runs once before the loop sleeps, when there is something to say */
	uv_timer_t grace;     /* how long a peer may take to read our goodbye */
	unsigned n_open;      /* handles not closed yet */
	struct kf_grpc *g;    /* NULL once the connection ended */
	uv_write_t write;
	char *out;
	size_t n_out, out_capacity;
	unsigned busy; /* inside nghttp2, whose events may ask to close us */
	int writing, ending, failed, doomed, closing;
	struct wire *next; /* the owner's */
};

/*
 * A connection on the next one that `from` has accepted, or on `fd`, which it takes in any case.
 * Takes `g` when it succeeds.  0 or negative.
 */
int wire_open(uv_loop_t *loop, uv_stream_t *from, int fd, struct kf_grpc *g,
	      const struct wire_owner *owner, void *ud, struct wire **ret, struct kf_error *err);
/* Close when everything is written, or after ms; `ended` tells. */
void wire_end(struct wire *w, unsigned ms);
/* Close now.  No event comes any more but `gone`. */
void wire_close(struct wire *w);
