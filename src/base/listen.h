/* The socket that is listened on, by its address as text. */
#pragma once

#include <stddef.h>

struct kf_error;

/*
 * "127.0.0.1:9400", "[::1]:9400", "localhost:9400", ":9400" (all of the machine's); port 0 is any
 * free one.  0: *ret is listening, the caller's to close, and `name` says on what; negative: no
 * address, or it is taken.
 */
int kf_listen(const char *text, char *name, size_t size, int *ret, struct kf_error *err);
