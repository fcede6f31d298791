/* Inside the control daemon: who is connected, which servers there are, what commands do. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "mps/mps.h"

#define KF_MPS_PENDING 512
#define KF_MPS_SERVERS 8

/* A client that waits for a server: its connection stays open. */
struct kf_mps_pending {
	int fd;
	struct ucred who;
};

struct kf_mps_child {
	pid_t pid; /* 0: free */
	uid_t uid;
	int fd;	   /* descriptor 3 of the server's */
	int ready; /* has been ACTIVE */
	int ending;
	unsigned n_clients, n_given; /* processes it has; channels handed over so far */
};

struct kf_mps_daemon {
	const char *pipe, *logs;
	int multiuser, over; /* over: it ends when it comes to it */
	int listener, privileged, signals;
	struct kf_mps_shares defaults;
	unsigned n_pending;
	struct kf_mps_pending pending[KF_MPS_PENDING];
	struct kf_mps_child server[KF_MPS_SERVERS];
};

/*
 * Wait until there is something to read on `fd`, and do meanwhile what cannot wait: signals, the
 * end of servers.  0; -1 when the daemon is to end.
 */
int kf_mps_wait(struct kf_mps_daemon *d, int fd);

/* --- child.c --- */

/* A server for this user's clients; NULL: it cannot be.  See ready. */
struct kf_mps_child *kf_mps_child_start(struct kf_mps_daemon *d, uid_t uid);
/* NULL if there is none. */
struct kf_mps_child *kf_mps_child_by_pid(struct kf_mps_daemon *d, pid_t pid);
struct kf_mps_child *kf_mps_child_any(struct kf_mps_daemon *d);
/* Text to it, and a descriptor (-1: none); 0 or -1. */
int kf_mps_child_say(struct kf_mps_child *c, const char *text, int pass);
/* A command; its answer is appended.  Waits for it as long as that takes. */
void kf_mps_child_ask(struct kf_mps_daemon *d, struct kf_mps_child *c, const char *line,
		      struct kf_text *out);
/* It is to end when its clients have. */
void kf_mps_child_end(struct kf_mps_child *c);
/* It said something of itself. */
void kf_mps_child_hear(struct kf_mps_child *c);
/* Some are dead. */
void kf_mps_children_bury(struct kf_mps_daemon *d);

/* --- serve.c --- */

/* Somebody connects: from the greeting to the end, or to the list of those who wait. */
void kf_mps_serve(struct kf_mps_daemon *d, int listener);
/* Clients that wait get a server, as far as there is one for them. */
void kf_mps_serve_pending(struct kf_mps_daemon *d);
/* They get none. */
void kf_mps_give_up_pending(struct kf_mps_daemon *d);

/* --- command.c --- */

/* One line of this user's; what is to be printed is appended to *out. */
void kf_mps_command(struct kf_mps_daemon *d, uid_t uid, const char *line, struct kf_text *out);
