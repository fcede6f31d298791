/*
 * The device-plugin side of the kubelet: registration, and one small gRPC server a resource.
 *
 * The agent publishes what the node offers; everything else follows by itself: servers come and go
 * with their resources, lists are sent when they change, and on every way a kubelet can forget us
 * (its socket re-created, ours deleted, the directory replaced, the stream or connection ended) the
 * resource is registered again, after 50 ms at first and at most 30 s, with jitter.
 *
 * Facts: kubernetes.md 1.3 to 1.7.  Register is a call that the kubelet answers only after it has
 * called us back, so nothing here ever waits; all of it lives on the caller's loop, and all events
 * come on that loop.
 */
#pragma once

#include <stddef.h>
#include <uv.h>

#include "base/error.h"
#include "kubelet/answer.h"
#include "kubelet/offer.h"

#define KF_KUBELET_DIRECTORY "/var/lib/kubelet/device-plugins" /* compiled into the kubelet */

struct kf_kubelet;

/* Zeroed fields mean the default. */
struct kf_kubelet_options {
	const char *directory; /* KF_KUBELET_DIRECTORY; copied */
	unsigned coalesce_ms;  /* changes of one resource within this time make one list; 200 */
	unsigned check_ms;     /* how often sockets are looked at beside inotify; 3000 */
	unsigned retry_min_ms; /* first pause before registering again; 50 */
	unsigned retry_max_ms; /* longest; 30000 */
	unsigned answer_ms;    /* for a kubelet to answer Register, then to ask for devices; 15000:
				  it dials us for up to 10 s before it answers */
};

/*
 * What the kubelet wants or does.  Any may be NULL but `allocate`.  Inside, kf_kubelet_publish and
 * kf_kubelet_resend may be called, and kf_kubelet_stop.
 */
struct kf_kubelet_events {
	/*
	 * Allocate for one container: fill *ret (which comes empty; the caller frees it) and answer
	 * 0, or negative with a sentence in *err, which is the text that the user sees in the
	 * pod's status.  Every id was on the list that was published last; ids that were not are
	 * refused without asking.
	 */
	int (*allocate)(void *ud, const char *resource, const char *const *ids, unsigned n,
			struct kf_answer *ret, struct kf_error *err);
	/*
	 * Choose `size` of `available`, all of `must` among them: write pointers taken from the two
	 * lists to out[0..size).  0, or negative: pod admission fails with the sentence.  Without
	 * this function the kubelet is told that there is no preference, and picks at random.
	 */
	int (*prefer)(void *ud, const char *resource, const char *const *available,
		      unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		      const char **out, struct kf_error *err);
	/* The kubelet answered Register. */
	void (*registered)(void *ud, const char *resource);
	/* The kubelet reads our list from now on (1), or does no longer (0). */
	void (*listening)(void *ud, const char *resource, int on);
	/* Something failed and is tried again; for the log. */
	void (*trouble)(void *ud, const struct kf_error *err);
};

/*
 * Watch the directory; nothing is offered yet.  A directory that is absent is no failure: it is
 * waited for; where inotify is used up, `check_ms` must do.  `ev` and its userdata are borrowed
 * until `done` of kf_kubelet_stop.  0, or negative (no memory).
 */
int kf_kubelet_start(uv_loop_t *loop, const struct kf_kubelet_options *opt,
		     const struct kf_kubelet_events *ev, void *userdata, struct kf_kubelet **ret,
		     struct kf_error *err);

/*
 * This is all that the node offers now (copied).  A new resource gets a server and is registered; a
 * changed list is sent, the first change at once, a burst after `coalesce_ms`; a resource that is
 * not in `offers` is sent an empty list, and its server closes once that is written, 1 s for the
 * kubelet to read it, or after 10 s.  Publishing what is there already does nothing.
 *
 * 0, or negative and all is as before: no memory, a list over the kubelet's limit of 4 MiB, an id
 * that is not UTF-8, a resource named twice.
 */
int kf_kubelet_publish(struct kf_kubelet *k, const struct kf_offers *offers, struct kf_error *err);

/*
 * Offer nothing any more, without a word: servers and streams close as they do when a process ends.
 * For a node whose devices another plugin is about to offer: an empty list would take devices away
 * of which an Allocate may be under way, and after it the kubelet may dereference nil (kubernetes.md
 * 1.6).  The next kf_kubelet_publish begins anew.
 */
void kf_kubelet_step_aside(struct kf_kubelet *k);

/* Send every list again unchanged: the kubelet then writes its checkpoint file anew. */
void kf_kubelet_resend(struct kf_kubelet *k);

/* 1 when every offered resource is registered and the kubelet has been sent its latest list. */
int kf_kubelet_settled(const struct kf_kubelet *k);

/* Counted since the start; for status, tests and the bench. */
struct kf_kubelet_counts {
	unsigned long registered;	      /* Register answered OK */
	unsigned long lists;		      /* messages on ListAndWatch streams */
	unsigned long allocated, refused;     /* containers */
	unsigned long preferred;	      /* GetPreferredAllocation answered */
	unsigned long streams;		      /* ListAndWatch opened */
	unsigned long connections, strangers; /* accepted; turned away by their uid or number */
};
void kf_kubelet_count(const struct kf_kubelet *k, struct kf_kubelet_counts *ret);

/*
 * Say goodbye (GOAWAY, streams ended), remove the sockets, close.  No event comes any more; `done`
 * is called from the loop when all is closed and the memory freed, at most 1 s later.
 */
void kf_kubelet_stop(struct kf_kubelet *k, void (*done)(void *ud), void *ud);
