/*
 * gRPC over HTTP/2, bytes in and bytes out: no socket, no clock, no thread.
 *
 * One `struct kf_grpc` is one connection, seen from the server or the client.  A transport feeds
 * what it reads (kf_grpc_feed), writes what it is given (kf_grpc_pull) and is told when there is
 * something to write (the `wake` function).  pipe.h is such a transport on a unix socket; a test
 * is another, made of two connections and a loop.
 *
 * Covered is what Kubernetes' node protocols use: requests of one message, answers of one (unary)
 * or many (server streaming).  Facts about peers: kubernetes.md 1.10.  A peer that breaks the
 * protocol loses its stream, or the connection; nothing else notices.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/own.h"
#include "grpc/status.h"

struct kf_grpc;
struct kf_grpc_call;

/* Zeroed fields mean the default. */
struct kf_grpc_limits {
	size_t max_message;   /* bytes of one message in, and of all unfinished ones together; 16
				 MiB */
	unsigned max_streams; /* requests open at a time, as a server; 128 */
};

/*
 * The server's side.  Inside an event everything below may be called but kf_grpc_free.
 */
struct kf_grpc_server_events {
	/*
	 * A request is whole.  Answer with kf_grpc_send and kf_grpc_finish, now or later; for a
	 * path that is not served, kf_grpc_finish with UNIMPLEMENTED.  The message is borrowed.
	 */
	void (*request)(void *ud, struct kf_grpc_call *call, const char *path,
			const uint8_t *message, size_t n);
	/* Every message of the call has been handed to the transport.  May be NULL. */
	void (*drained)(void *ud, struct kf_grpc_call *call);
	/* A call that `request` told of is over, answered or not: forget the pointer. */
	void (*closed)(void *ud, struct kf_grpc_call *call);
};

/* The client's side, for one call.  `message` may be NULL when only the status matters. */
struct kf_grpc_call_events {
	void (*message)(void *ud, struct kf_grpc_call *call, const uint8_t *message, size_t n);
	/*
	 * The call is over: OK, the server's status, or what HTTP/2 or the connection came to
	 * (UNAVAILABLE).  Comes exactly once; forget the pointer.  `text` is never NULL.
	 */
	void (*done)(void *ud, struct kf_grpc_call *call, int status, const char *text);
};

/*
 * A connection; SETTINGS is the first thing to pull.  `ev` and `ud` are borrowed until
 * kf_grpc_free.  0 or negative (no memory).
 */
int kf_grpc_server_new(const struct kf_grpc_limits *limits, const struct kf_grpc_server_events *ev,
		       void *ud, struct kf_grpc **ret, struct kf_error *err);
int kf_grpc_client_new(const struct kf_grpc_limits *limits, struct kf_grpc **ret,
		       struct kf_error *err);
/* Ends what is open: `closed` and `done` (UNAVAILABLE) come from inside.  Returns NULL. */
struct kf_grpc *kf_grpc_free(struct kf_grpc *g);
KF_DEFINE_AUTO(struct kf_grpc, kf_grpc_free)

/* wake(ud): there may be bytes to pull.  Comes from inside kf_grpc_send, _finish, _call, ... */
void kf_grpc_on_wake(struct kf_grpc *g, void (*wake)(void *ud), void *ud);

/*
 * n bytes from the peer.  0, or negative: the connection is beyond repair; write what is still to
 * pull (it says why), then close.  KF_E_PROTOCOL, or KF_E_NOMEM.
 */
int kf_grpc_feed(struct kf_grpc *g, const uint8_t *in, size_t n, struct kf_error *err);
/*
 * The next bytes for the peer, good until the next call on `g`: their number, 0 for nothing now,
 * or negative (no memory): close.
 */
int kf_grpc_pull(struct kf_grpc *g, const uint8_t **ret, struct kf_error *err);
/* Does either side still have something to say?  0: close. */
int kf_grpc_alive(const struct kf_grpc *g);
/* Frames that wait to be written because the peer does not read: a bound for a transport. */
size_t kf_grpc_backlog(const struct kf_grpc *g);
/* No event comes from this connection any more, not even from kf_grpc_free. */
void kf_grpc_mute(struct kf_grpc *g);
/* Say GOAWAY: no new requests; those that are open go on. */
void kf_grpc_shutdown(struct kf_grpc *g);
/* Finish every open request with this status. */
void kf_grpc_finish_all(struct kf_grpc *g, int status, const char *text);

/*
 * Queue a message of the answer (copied).  0, or negative and nothing was queued: no memory, or
 * the call is finished already (KF_E_STATE).
 */
int kf_grpc_send(struct kf_grpc_call *call, const uint8_t *message, size_t n, struct kf_error *err);
/* End the answer after what was queued.  Only the first one counts. */
void kf_grpc_finish(struct kf_grpc_call *call, int status, const char *text);
/* Messages queued and not yet handed to the transport whole. */
unsigned kf_grpc_queued(const struct kf_grpc_call *call);

/*
 * As a client: start a call with one message (copied).  0: `done` comes later, exactly once;
 * negative: it does not.
 */
int kf_grpc_call(struct kf_grpc *g, const char *path, const uint8_t *message, size_t n,
		 const struct kf_grpc_call_events *ev, void *ud, struct kf_grpc_call **ret,
		 struct kf_error *err);
/* Reset the stream.  No event of this call comes any more; forget the pointer. */
void kf_grpc_cancel(struct kf_grpc_call *call);
