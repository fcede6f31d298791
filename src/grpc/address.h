/*
 * Unix sockets by path, also where the path is longer than the 107 bytes of sun_path: then the
 * directory is opened and the socket named through /proc/self/fd.
 */
#pragma once

#include "base/error.h"

/*
 * A non-blocking stream socket bound to `path` with mode 0600, not yet listening: nobody can
 * connect before the mode is set.  The descriptor, the caller's; or negative.
 */
int kf_unix_bind(const char *path, struct kf_error *err);
/*
 * A non-blocking stream socket connected to `path`, or negative: KF_E_SYSTEM with ENOENT (no such
 * socket), ECONNREFUSED (nobody listens), EAGAIN (too many wait).  Unix sockets connect at once.
 */
int kf_unix_connect(const char *path, struct kf_error *err);
/* The uid of the process at the other end; 0 or negative. */
int kf_unix_peer(int fd, unsigned *ret_uid);
