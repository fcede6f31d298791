/*
 * The driver's events: waited for on a thread of its own, told on the loop.
 *
 * nvmlEventSetWait_v2 blocks, so it has a thread and a session of the driver library to itself.
 * That session must not outlive a change of MIG mode or a reload of the driver: the agent stops the
 * listener before the one, the listener ends by itself on the other, and the agent starts it anew
 * when a reading of the GPUs has gone well.
 *
 * What is known of the wait, from an H100 with driver 580: it answers TIMEOUT at once when the
 * thread handles a signal, so that the listener stops in a moment and not in five seconds.  Events
 * that come between two waits are kept.
 */
#pragma once

#include <uv.h>

#include "model/node.h"

struct kf_error;
struct kf_listener;

enum kf_event_kind {
	KF_EVENT_XID,
	KF_EVENT_ECC,	      /* double bit */
	KF_EVENT_UNAVAILABLE, /* the GPU is */
	KF_EVENT_RECOVERY,    /* NVML's recovery action has changed: read it */
};

struct kf_gpu_event {
	char gpu[KF_UUID]; /* empty where the driver does not say which */
	unsigned gi, ci;   /* KF_NONE: not named */
	enum kf_event_kind kind;
	unsigned xid;
};

struct kf_listener_calls {
	void (*event)(void *ud, const struct kf_gpu_event *event);
	/*
	 * The last call, and the listener is no more.  `why` is NULL after kf_listener_stop; else
	 * the driver's words, KF_E_UNSUPPORTED where it has no events.
	 */
	void (*ended)(void *ud, const struct kf_error *why);
};

/*
 * Listen to these GPUs (by UUID; those that cannot be had are left out).  `root` as for
 * kf_nvml_open.  `calls` and `ud` are kept, `gpus` is copied.
 * 0 and *ret, which is the listener's own until `ended`; negative: no memory or no thread, and no
 * call comes.
 */
int kf_listener_start(uv_loop_t *loop, const char *root, const char (*gpus)[KF_UUID], unsigned n,
		      const struct kf_listener_calls *calls, void *ud, struct kf_listener **ret,
		      struct kf_error *err);

/* End it; `ended` comes from the loop within milliseconds.  No event comes after this. */
void kf_listener_stop(struct kf_listener *l);
