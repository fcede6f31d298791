/*
 * Failures as sentences.
 *
 * A function has three kinds of result: 0 is done, a positive value is an answer that its header
 * lists, a negative value is a failure with a sentence in *err.  The struct lives on the caller's
 * stack, needs no memory and nothing to free.
 */
#pragma once

#include <stdarg.h>

#define KF_ERROR_MAP(X)                                                                            \
	X(NONE, "no error")                                                                        \
	X(NOMEM, "out of memory")                                                                  \
	X(SYSTEM, "a system call failed; detail is errno")                                         \
	X(DRIVER, "the NVIDIA driver refused; detail is the nvmlReturn_t")                         \
	X(INPUT, "a file, label or argument is not what it should be")                             \
	X(PROTOCOL, "a peer sent what its protocol does not allow")                                \
	X(REMOTE, "a peer answered with an error; detail is its code")                             \
	X(BUSY, "the object is in use")                                                            \
	X(UNSUPPORTED, "this machine cannot do that")                                              \
	X(STATE, "the request does not fit the present state")                                     \
	X(TIMEOUT, "no answer in time")

enum kf_error_code {
#define X(name, text) KF_E_##name,
	KF_ERROR_MAP(X)
#undef X
};

struct kf_error {
	enum kf_error_code code;
	int detail;
	char msg[512];
};

/*
 * Fill in *err (which may be NULL) and return -1.  The message is cut at the end of the buffer and
 * never holds a newline or another control character: one failure, one line.
 */
int kf_fail(struct kf_error *err, enum kf_error_code code, int detail, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* kf_fail with KF_E_SYSTEM and errno, whose text is appended: "open /x: No such file ...". */
int kf_fail_errno(struct kf_error *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "what: " before the sentence that is there already; returns -1. */
int kf_prefix(struct kf_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
