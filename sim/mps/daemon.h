/* Inside the control daemon: who is connected, which servers there are, what commands do. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "mps/mps.h"

#define KF_MPS_CONNECTIONS 512
#define KF_MPS_SERVERS	   8

enum kf_mps_kind { KF_MPS_UNKNOWN, KF_MPS_IS_CLIENT, KF_MPS_IS_UI };

struct kf_mps_connection {
	int fd; /* -1: free */
	enum kf_mps_kind kind;
	unsigned step;	  /* of the handshake: exchanges that are over */
	int waits;	  /* for a server, or (a command line) for its answer */
	int held;	  /* a command line that is not read before another has its answer */
	struct ucred who; /* as its first message said */
};

struct kf_mps_child {
	pid_t pid; /* 0: free */
	uid_t uid;
	int fd;	   /* descriptor 3 of the server's */
	int ready; /* has been ACTIVE */
	int ending;
	char state[16];
	unsigned n_clients, n_given; /* clients it has; handed over so far */
	unsigned unwanted;	     /* answers to come that nobody waits for any more */
};

struct kf_mps_daemon {
	const char *pipe, *logs;
	int multiuser, quits;
	int listener, signals;
	struct kf_mps_shares defaults;
	struct kf_mps_connection connection[KF_MPS_CONNECTIONS];
	struct kf_mps_child server[KF_MPS_SERVERS];
	struct kf_mps_connection *asker; /* the command line that a server's answer is for */
	struct kf_mps_child *asked;
};

/* A server for this user's clients, started if need be; NULL: it cannot be.  See ready, ending. */
struct kf_mps_child *kf_mps_child_start(struct kf_mps_daemon *d, uid_t uid);
/* NULL if there is none. */
struct kf_mps_child *kf_mps_child_by_pid(struct kf_mps_daemon *d, pid_t pid);
struct kf_mps_child *kf_mps_child_any(struct kf_mps_daemon *d);
/* Text to it, and a descriptor (-1: none); 0 or -1. */
int kf_mps_child_say(struct kf_mps_child *c, const char *text, int pass);
void kf_mps_child_end(struct kf_mps_child *c);
/* It said something. */
void kf_mps_child_hear(struct kf_mps_daemon *d, struct kf_mps_child *c);
/* Some are dead. */
void kf_mps_children_bury(struct kf_mps_daemon *d);

/* Somebody connects; somebody who did says something. */
void kf_mps_connection_take(struct kf_mps_daemon *d);
void kf_mps_connection_hear(struct kf_mps_daemon *d, struct kf_mps_connection *c);
/* Clients that wait get a server, as far as there is one for them. */
void kf_mps_connections_admit(struct kf_mps_daemon *d);
/* They get none. */
void kf_mps_connections_give_up(struct kf_mps_daemon *d);
/* The answer for d->asker. */
void kf_mps_reply(struct kf_mps_daemon *d, const char *text, size_t n);

/*
 * One line of the command line's.  0: the answer is in *out.  KF_MPS_LATER: a server will give it.
 */
#define KF_MPS_LATER 1
int kf_mps_command(struct kf_mps_daemon *d, const char *line, struct kf_text *out);
