/*
 * JSON from the API server as small values, and back.  JSON goes no further than this.
 *
 * What is read here was written by anybody who may write to the cluster: every field may be
 * missing or of another type than it should be.  A missing name is an error; anything else that is
 * missing is "".
 */
#pragma once

#include <jansson.h>

#include "base/own.h"

struct kf_error;

struct kf_kube_pair {
	char *key, *value;
};

struct kf_kube_node {
	char *name, *uid, *version; /* version: metadata.resourceVersion */
	int deleting;
	struct kf_kube_pair *labels;
	unsigned n_labels;
	struct kf_kube_pair *annotations;
	unsigned n_annotations;
};

struct kf_kube_pod {
	char *namespace, *name, *uid;
	char *phase;  /* Pending, Running, Succeeded, Failed, Unknown */
	char *node;   /* "" before it is scheduled */
	char *owner;  /* kind of the controlling owner, or "" */
	int deleting; /* deletionTimestamp is set */
	char *deploy; /* the key nvidia.com/gpu.deploy.* of its nodeSelector, or "" */
	int mirror;   /* a static pod's shadow: evicting it changes nothing */
};

/* 0 and *ret, the caller's to free; negative: KF_E_PROTOCOL, KF_E_NOMEM. */
int kf_kube_node_read(json_t *json, struct kf_kube_node **ret, struct kf_error *err);
struct kf_kube_node *kf_kube_node_free(struct kf_kube_node *n);
KF_DEFINE_AUTO(struct kf_kube_node, kf_kube_node_free)

/* The value, or NULL. */
const char *kf_kube_node_label(const struct kf_kube_node *n, const char *key);
const char *kf_kube_node_annotation(const struct kf_kube_node *n, const char *key);

int kf_kube_pod_read(json_t *json, struct kf_kube_pod **ret, struct kf_error *err);
struct kf_kube_pod *kf_kube_pod_free(struct kf_kube_pod *p);
KF_DEFINE_AUTO(struct kf_kube_pod, kf_kube_pod_free)

/* All of a PodList.  On failure nothing is left to free. */
int kf_kube_pods_read(const char *body, size_t n, struct kf_kube_pod ***ret, unsigned *ret_n,
		      struct kf_error *err);
void kf_kube_pods_free(struct kf_kube_pod **pods, unsigned n);

/*
 * The text of a tree, compact; the caller's to free.  NULL for NULL, and where there is no memory
 * for all of it: never a part, as json_dumps may give.
 */
char *kf_kube_text(const json_t *json);
