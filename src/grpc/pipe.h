/*
 * gRPC on unix sockets, in a libuv loop.
 *
 * A peer that does not read makes nothing grow: at most 64 KiB of a connection are on their way to
 * the socket, the rest stays with the calls (whose owners ask kf_grpc_queued before they send
 * more), and a peer that makes us owe it too many frames is closed.
 *
 * libuv writes to sockets without MSG_NOSIGNAL, so the program must ignore SIGPIPE.
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "grpc/grpc.h"

/* --- server --- */

struct kf_grpc_listener;

struct kf_grpc_listener_options {
	struct kf_grpc_limits limits;
	unsigned max_connections; /* more are closed at once; 16 */
};

/*
 * Listen on a new socket at `path` with mode 0600; peers must be root or our own user, others are
 * closed at once.  `path` is copied; `ev` and `ud` are borrowed until `done` of the stop.
 * 0 or negative (KF_E_SYSTEM, EADDRINUSE when the path exists).
 */
int kf_grpc_listen(uv_loop_t *loop, const char *path, const struct kf_grpc_listener_options *opt,
		   const struct kf_grpc_server_events *ev, void *ud, struct kf_grpc_listener **ret,
		   struct kf_error *err);
/* Is the socket's name still there, and still ours?  1 or 0. */
int kf_grpc_listener_intact(const struct kf_grpc_listener *l);
/* Connections accepted, and those turned away for their user or number. */
void kf_grpc_listener_count(const struct kf_grpc_listener *l, unsigned long *ret_accepted,
			    unsigned long *ret_strangers);
/*
 * Remove the socket, finish open calls with UNAVAILABLE, say GOAWAY, give peers 500 ms to read
 * that, close.  From now on no event comes.  `done` (may be NULL) comes from the loop when the
 * memory is freed.
 */
void kf_grpc_listener_stop(struct kf_grpc_listener *l, void (*done)(void *ud), void *ud);

/* --- client --- */

struct kf_grpc_pipe;

/*
 * Connect to the socket at `path`.  `closed` (may be NULL) comes once when the connection ends by
 * itself, after the `done` of its calls and with the reason; the pipe must still be stopped.
 * 0 or negative as kf_unix_connect.
 */
int kf_grpc_connect(uv_loop_t *loop, const char *path, const struct kf_grpc_limits *limits,
		    void (*closed)(void *ud, const struct kf_error *why), void *ud,
		    struct kf_grpc_pipe **ret, struct kf_error *err);
/* The connection to call on (kf_grpc_call); NULL once it ended. */
struct kf_grpc *kf_grpc_pipe_grpc(struct kf_grpc_pipe *p);
/*
 * Close.  Calls that are open are dropped without an event.  `done` (may be NULL) comes from the
 * loop when the memory is freed.
 */
void kf_grpc_pipe_stop(struct kf_grpc_pipe *p, void (*done)(void *ud), void *ud);
