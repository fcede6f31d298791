/*
 * Taints of our Node: one that is there until the GPUs can be had, one that keeps other pods off.
 *
 * The API server has taints as one list, so they are read, edited and written back under the
 * Node's resourceVersion; all others stay as they are, in their order.
 */
#pragma once

#include "kube/http.h"
#include "kube/node.h"

struct kf_error;

/* As kubectl writes it: KEY[=VALUE]:EFFECT. */
struct kf_taint {
	char key[318]; /* a prefix of 253 and a name of 63; "": no taint */
	char value[64];
	char effect[20]; /* NoSchedule, PreferNoSchedule, NoExecute; "": any, where one is sought */
};

/*
 * Parse KEY[=VALUE][:EFFECT].  0, or negative (KF_E_INPUT) with what is wrong with it.
 */
int kf_taint_parse(const char *s, struct kf_taint *ret, struct kf_error *err);

struct kf_taint_wish {
	struct kf_taint away; /* goes once all `resources` are allocatable; any value where it
				 names none */
	unsigned n;
	const char *const *resources;
	struct kf_taint ours; /* is to be there, or not */
	int ours_wanted;      /* 1, 0; -1: leave it */
};

#define KF_TAINTS_WAIT 3 /* not all resources are allocatable yet: `away` is there still */

/*
 * The patch of a Node for a wish, the caller's to free; NULL where there is nothing to change
 * (*waits then says whether `away` waits) or no memory (*err).  `node` is the Node's JSON.
 */
char *kf_taints_patch(const char *node, size_t n, const struct kf_taint_wish *wish, int *waits,
		      struct kf_error *err);

/* 0: as wished; KF_TAINTS_WAIT; KF_KUBE_CONFLICT, KF_KUBE_GONE; or negative, *err says why. */
typedef void (*kf_taints_cb)(void *ud, int result, const struct kf_error *err);

/* Read our Node and make its taints as wished; the wish is copied.  On 0 cb comes once. */
int kf_taints_ensure(struct kf_kube *k, const char *node, const struct kf_taint_wish *wish,
		     kf_taints_cb cb, void *ud, struct kf_error *err);
