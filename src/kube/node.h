/* Our Node: its labels and annotations, edited by one merge patch (kubernetes.md 5.4). */
#pragma once

#include "kube/codec.h"
#include "kube/http.h"

enum kf_kube_edit_what { KF_KUBE_LABEL, KF_KUBE_ANNOTATION };

struct kf_kube_edit {
	enum kf_kube_edit_what what;
	const char *key;
	const char *value; /* NULL: the key goes */
};

/* Answers of the calls below. */
#define KF_KUBE_CONFLICT                                                                           \
	1	       /* 409: the Node is at another version than was asked for; read again       \
			*/
#define KF_KUBE_GONE 2 /* 404: there is no such object (any more) */

/*
 * `result`: 0, KF_KUBE_CONFLICT, KF_KUBE_GONE, or negative and *err says why.  `node` is what the
 * server has now, borrowed; NULL unless the result is 0.
 */
typedef void (*kf_kube_node_cb)(void *ud, int result, const struct kf_kube_node *node,
				const struct kf_error *err);

/*
 * Change n labels and annotations at once.  `version` makes it conditional on the Node's
 * resourceVersion; NULL does not.  Everything is copied.
 *
 * A label's value that Kubernetes would refuse (over 63 bytes, or other than alphanumeric with -_.
 * between) is refused here with KF_E_INPUT; then, and without memory, cb does not come.
 */
int kf_kube_node_patch(struct kf_kube *k, const char *name, const struct kf_kube_edit *edits,
		       unsigned n, const char *version, kf_kube_node_cb cb, void *ud,
		       struct kf_error *err);

/* Read the Node once. */
int kf_kube_node_get(struct kf_kube *k, const char *name, kf_kube_node_cb cb, void *ud,
		     struct kf_error *err);
