/* Inside grpc/ only: what a connection and a call are made of. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "grpc/frame.h"
#include "grpc/grpc.h"

/* A message on its way out, prefix included. */
struct grpc_out {
	struct grpc_out *next;
	size_t n, sent;
	uint8_t bytes[];
};

struct kf_grpc_call {
	struct kf_grpc *g;
	struct kf_grpc_call *next;
	int32_t id; /* of the HTTP/2 stream */

	/* in */
	struct kf_grpc_inbox inbox;
	int ended;   /* server: the client sent END_STREAM */
	int whole;   /* server: the one message is there */
	int deaf;    /* what still comes in is dropped */
	int post;    /* :method was POST */
	int content; /* content-type was gRPC's */
	int ok;	     /* client: the answer's headers passed */
	char path[128];

	/* out */
	struct grpc_out *out, **out_end;
	unsigned n_out;
	int started;  /* server: the answer's headers are submitted */
	int deferred; /* nghttp2 waits for more data */
	int finished;

	/* server */
	int delivered; /* `request` was told of it */

	/* client */
	const struct kf_grpc_call_events *ev;
	void *ud;
	int http_status;
	int has_status;

	int status; /* what we send as a server, what came as a client */
	char *text; /* its sentence: encoded as a server, plain as a client; may be NULL */
};

struct kf_grpc {
	nghttp2_session *session;
	int server;
	int broken; /* memory ran out where no peer could be told */
	int beyond; /* a feed failed: nghttp2 must not be fed again */
	struct kf_grpc_limits limits;
	const struct kf_grpc_server_events *ev;
	void *ud;
	struct kf_grpc_call *calls;
	size_t buffered; /* bytes of unfinished messages */
	void (*wake)(void *ud);
	void *wake_ud;
};

/* grpc.c */
struct kf_grpc_call *grpc_call_new(struct kf_grpc *g, int32_t id);
struct kf_grpc_call *grpc_call_find(struct kf_grpc *g, int32_t id);
/* Take it off the connection, tell its owner, free it. */
void grpc_call_over(struct kf_grpc_call *call, int status, const char *text);
void grpc_call_drop(struct kf_grpc_call *call);
void grpc_wake(struct kf_grpc *g);

/* receive.c */
void grpc_receive_callbacks(nghttp2_session_callbacks *cbs);

/* send.c: end a call with an error before it was delivered, and stop its input. */
void grpc_refuse(struct kf_grpc_call *call, int status, const char *text);
void grpc_reset(struct kf_grpc_call *call, uint32_t http2_error);
