/* Key material from memory as a path that any TLS library can open. */
#pragma once

#include <stddef.h>

struct kf_error;

/*
 * Decode base64 (white space allowed) into new memory, the caller's to free, NUL-terminated.
 * negative: KF_E_INPUT, KF_E_NOMEM.
 */
int kf_base64_decode(const char *text, char **ret, size_t *ret_n, struct kf_error *err);

/* n bytes as base64, in one line; the caller's to free.  NULL: no memory. */
char *kf_base64_encode(const char *bytes, size_t n);

/*
 * Put n bytes into a memory file.  *ret_path ("/proc/self/fd/N", the caller's to free) leads to it
 * as long as *ret_fd is open; programs we start do not inherit it.
 */
int kf_keyfile_make(const char *bytes, size_t n, int *ret_fd, char **ret_path,
		    struct kf_error *err);
