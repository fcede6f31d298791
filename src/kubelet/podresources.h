/*
 * A client of the kubelet's PodResources socket: who holds what, and what is still handed out.
 *
 * List names pods with what they hold (ordinary init containers are missing from it, even while
 * they run: kubernetes.md 1.6); GetAllocatableResources names the healthy devices, held or free,
 * and takes the lock under which the kubelet allocates: a device missing from it will not be in an
 * Allocate any more.
 *
 * One connection, opened when it is needed, kept, and opened again after it ended.
 */
#pragma once

#include <uv.h>

#include "base/error.h"

struct kf_podresources;

/* One device.  Strings are borrowed until the callback returns. */
struct kf_podresources_row {
	const char *resource, *id;
	const char *pod_namespace, *pod, *container; /* "" in GetAllocatableResources */
};

/* n rows, or n == 0 and *err when the call failed; *err is NULL when it did not. */
typedef void kf_podresources_cb(void *ud, const struct kf_podresources_row *row, unsigned n,
				const struct kf_error *err);

/* Nothing is opened yet.  `path` is copied.  0 or negative (no memory). */
int kf_podresources_start(uv_loop_t *loop, const char *path, struct kf_podresources **ret,
			  struct kf_error *err);

/*
 * Ask.  0: `cb` comes exactly once, later, from the loop: with the rows, or with an error when the
 * socket is absent (KF_E_SYSTEM, ENOENT), the kubelet refused (KF_E_REMOTE, the gRPC code) or 5 s
 * passed (KF_E_TIMEOUT).  Negative (no memory): `cb` does not come.
 */
int kf_podresources_list(struct kf_podresources *p, kf_podresources_cb *cb, void *ud,
			 struct kf_error *err);
int kf_podresources_allocatable(struct kf_podresources *p, kf_podresources_cb *cb, void *ud,
				struct kf_error *err);

/* Calls under way are dropped: their callbacks do not come.  `done` comes when all is closed. */
void kf_podresources_stop(struct kf_podresources *p, void (*done)(void *ud), void *ud);
