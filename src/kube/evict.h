/* Ask the API server to end pods, disruption budgets honoured (kubernetes.md 5.7). */
#pragma once

#include "kube/codec.h"
#include "kube/http.h"

/* Why a pod is not one to evict; 0 if it is. */
enum kf_evict_skip {
	KF_EVICT_CAN,
	KF_EVICT_MIRROR,    /* a static pod: the kubelet would go on running it */
	KF_EVICT_DAEMONSET, /* would be put back at once, here */
	KF_EVICT_FINISHED,  /* Succeeded or Failed: it holds nothing */
	KF_EVICT_LEAVING,   /* is being deleted already */
};

enum kf_evict_skip kf_evict_skip(const struct kf_kube_pod *pod);
/* "is a static pod", for messages; "" for KF_EVICT_CAN. */
const char *kf_evict_skip_text(enum kf_evict_skip why);

#define KF_EVICT_BLOCKED                                                                           \
	1		/* a disruption budget does not allow it now; *err names it.  Try later */
#define KF_EVICT_GONE 2 /* there is no such pod, or another has its name by now */

/* `result`: 0 (it is going), KF_EVICT_BLOCKED, KF_EVICT_GONE, or negative; *err says why. */
typedef void (*kf_evict_cb)(void *ud, int result, const struct kf_error *err);

/*
 * Evict one pod.  `uid` makes sure that it is this one and no later pod of the name; NULL does not.
 * `grace_s` below 0: the pod's own.  On 0 cb comes once; negative: it does not.
 */
int kf_evict(struct kf_kube *k, const char *namespace, const char *name, const char *uid,
	     int grace_s, kf_evict_cb cb, void *ud, struct kf_error *err);

/*
 * The pods that are bound to a node.  `pods` are borrowed for the callback; on failure err is set
 * and n is 0.
 */
typedef void (*kf_pods_cb)(void *ud, struct kf_kube_pod *const *pods, unsigned n,
			   const struct kf_error *err);
int kf_pods_list(struct kf_kube *k, const char *node_name, kf_pods_cb cb, void *ud,
		 struct kf_error *err);
