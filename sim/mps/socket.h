/* Messages with credentials and descriptors on a SOCK_SEQPACKET socket. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * Send one message with who we are, and with descriptor `pass` (-1: none).  0, or -1 with errno.
 * A peer that is gone is an error and no signal.
 */
int kf_mps_say(int fd, const void *bytes, size_t n, int pass);

/* What comes along with a message. */
struct kf_mps_along {
	struct ucred who;  /* pid 0: not told; SO_PASSCRED must be on */
	int passed;	   /* the caller's to close; -1: none */
	unsigned n_passed; /* how many there were; those behind the first are closed */
};

/* Receive one: its length, 0 at the end, -1 with errno.  `ret` may be NULL: descriptors are closed.
 */
ssize_t kf_mps_hear(int fd, void *bytes, size_t size, int flags, struct kf_mps_along *ret);
