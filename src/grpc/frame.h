/*
 * gRPC's length prefix: one byte of flags, four of length, then the message.
 *
 * A message may span many DATA frames, and one DATA frame may hold the end of one message and the
 * start of the next, so this is a state machine over bytes that knows nothing of frames.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KF_GRPC_PREFIX 5

/* What has arrived of a message.  Zeroed is "nothing yet". */
struct kf_grpc_inbox {
	uint8_t prefix[KF_GRPC_PREFIX];
	unsigned n_prefix;
	uint8_t *message; /* grows as bytes arrive: a length alone makes nobody allocate */
	size_t n, want, capacity;
};

enum kf_grpc_inbox_answer {
	KF_GRPC_INBOX_MORE,	  /* all taken; the message is not whole yet */
	KF_GRPC_INBOX_MESSAGE,	  /* message[0..n) is whole; call _next before feeding again */
	KF_GRPC_INBOX_COMPRESSED, /* the flag says so; we never agreed to that */
	KF_GRPC_INBOX_FLAG,	  /* a flag that does not exist */
	KF_GRPC_INBOX_LARGE,	  /* longer than the limit */
	KF_GRPC_INBOX_NOMEM,
};

/* Take bytes up to the end of one message; *ret_used says how many. */
enum kf_grpc_inbox_answer kf_grpc_inbox_feed(struct kf_grpc_inbox *in, const uint8_t *data,
					     size_t n, size_t limit, size_t *ret_used);
/* Is it between two messages?  1 or 0: the stream may end here. */
int kf_grpc_inbox_idle(const struct kf_grpc_inbox *in);
/* Forget the whole message, be ready for the next. */
void kf_grpc_inbox_next(struct kf_grpc_inbox *in);
void kf_grpc_inbox_done(struct kf_grpc_inbox *in);

/* Write the prefix of an uncompressed message of n bytes. */
void kf_grpc_prefix(uint8_t out[KF_GRPC_PREFIX], uint32_t n);
