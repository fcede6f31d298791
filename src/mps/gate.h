/*
 * The gate: a control socket of our own for each slice, in a folder with a random name, of which
 * pods get that folder and nothing of the daemon's.
 *
 * A client is heard out here; only when it has said all that a client says does the gate make the
 * exchange with the daemon for it, with limits set for its slice, and pass on the descriptor.  So
 * one that stalls keeps nobody waiting, and none can choose its limits.  Facts: wire.h.
 *
 * All processes of a slice share its memory: each new one gets what the others have not taken.  One
 * that may have nothing (a stranger to the slice's pod, or a slice that is full) is let through
 * with 1 MiB, so that it fails with "out of memory": a connection that is refused would make CUDA
 * take the whole GPU without a word.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "mps/control.h"

struct kf_error;
struct kf_gate;
struct kf_mps_slice;

struct kf_gate_client {
	unsigned pid;
	uint64_t granted; /* bytes; 0: refused */
	int pidfd;
	uv_poll_t poll;
	struct kf_mps_slice *slice;
	struct kf_gate_client *next;
};

struct kf_mps_slice {
	char name[128];	  /* whose: the first device id of an allocation */
	char folder[40];  /* in the gate's, random */
	char pod_uid[40]; /* ""; not known (yet): whoever has the folder */
	uint64_t bytes;
	unsigned percent; /* of the SMs; 0: all */
	struct kf_gate *gate;
	int fd;
	uv_poll_t poll;
	unsigned n_guests;
	unsigned over; /* looks in a row that found more in use than it has */
	unsigned long served, refused;
	struct kf_gate_client *clients;
	struct kf_mps_slice *next;
};

struct kf_gate {
	uv_loop_t *loop;
	char dir[256];
	struct kf_mps_control *control;
	struct kf_mps_slice *slices;
	uint64_t bytes;	   /* as the server has it now */
	unsigned percent;  /* ditto */
	uint64_t given_ms; /* when a descriptor was passed on last */
	int settling;	   /* and its client has not said that it has it */
	/* Does the server take new clients?  Asked for each; may be NULL: it does. */
	int (*ready)(void *ud);
	/* Bytes of the GPU that a client process has; may be NULL: none is known to have any. */
	uint64_t (*used)(void *ud, unsigned pid);
	/* Something to tell people.  May be NULL. */
	void (*tell)(void *ud, const char *what, const struct kf_mps_slice *slice,
		     const char *sentence);
	void *ud;
};

#define KF_GATE_GUESTS	  16   /* at once, of a slice: connections not yet through */
#define KF_GATE_CLIENTS	  48   /* of a slice, alive */
#define KF_GATE_GUEST_MS  5000 /* to say all that a client says */
#define KF_GATE_SETTLE_MS 20   /* after which limits change even if the last one is silent */
#define KF_GATE_UP_MS	  400  /* for the daemon to answer */

/*
 * Open a slice's socket.  `folder` is that of before, or NULL for a new one.
 * 0 and *ret, owned by the gate; negative: the folder or the socket could not be made.
 */
int kf_gate_add(struct kf_gate *g, const struct kf_mps_slice *like, const char *folder,
		struct kf_mps_slice **ret, struct kf_error *err);
struct kf_mps_slice *kf_gate_find(const struct kf_gate *g, const char *name);
/* Close it and remove its folder; clients that are through go on.  Freed by the loop. */
void kf_gate_remove(struct kf_mps_slice *slice);
/* Close all; folders stay, so that another gate may open them again. */
void kf_gate_close(struct kf_gate *g);
/* The server is a new one: it has no limits yet. */
void kf_gate_forget_limits(struct kf_gate *g);
