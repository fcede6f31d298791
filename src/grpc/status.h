/*
 * gRPC status codes, and grpc-message as it goes over the wire.
 */
#pragma once

#include <stddef.h>

#define KF_GRPC_STATUS_MAP(X)                                                                      \
	X(OK, 0)                                                                                   \
	X(CANCELLED, 1)                                                                            \
	X(UNKNOWN, 2)                                                                              \
	X(INVALID_ARGUMENT, 3)                                                                     \
	X(DEADLINE_EXCEEDED, 4)                                                                    \
	X(NOT_FOUND, 5)                                                                            \
	X(ALREADY_EXISTS, 6)                                                                       \
	X(PERMISSION_DENIED, 7)                                                                    \
	X(RESOURCE_EXHAUSTED, 8)                                                                   \
	X(FAILED_PRECONDITION, 9)                                                                  \
	X(ABORTED, 10)                                                                             \
	X(OUT_OF_RANGE, 11)                                                                        \
	X(UNIMPLEMENTED, 12)                                                                       \
	X(INTERNAL, 13)                                                                            \
	X(UNAVAILABLE, 14)                                                                         \
	X(DATA_LOSS, 15)                                                                           \
	X(UNAUTHENTICATED, 16)

enum kf_grpc_status {
#define X(name, code) KF_GRPC_##name = code,
	KF_GRPC_STATUS_MAP(X)
#undef X
};

/* "FAILED_PRECONDITION"; "status 77" has no name and reads "an unknown status". */
const char *kf_grpc_status_text(int status);

/* What HTTP/2 says by resetting a stream, as the gRPC specification maps it. */
int kf_grpc_status_of_reset(unsigned http2_error);

/* A grpc-status header's value: 0..16, or UNKNOWN for anything else. */
int kf_grpc_status_parse(const char *s, size_t n);

#define KF_GRPC_MESSAGE 1024 /* longest grpc-message, encoded, NUL included */

/* Percent-encode a sentence: bytes outside 0x20..0x7E and '%'.  Cut between characters to fit. */
void kf_grpc_message_encode(const char *text, char out[KF_GRPC_MESSAGE]);
/* The reverse, of n bytes; what is not "%XX" stays as it is.  Cut to fit; out_size at least 1. */
void kf_grpc_message_decode(const char *s, size_t n, char *out, size_t out_size);
