/*
 * nvidia.com/gpu-memory as people write it, turned into units of 1 GiB: what
 * deploy/chart/files/gpu-memory-rewrite.yaml does from Kubernetes 1.36 on, for older clusters.
 *
 *	nvidia.com/gpu-memory: 4Gi   ->   4
 *
 * Integers up to 4096 are GiB already; what is larger is bytes and is rounded up: 500M is 1, 1.5Gi
 * is 2, 4294967297 is 5.  It is done in limits and requests of every container and init container,
 * and the annotation kerf.dev/gpu-memory keeps what stood in limits: "main=4Gi,side=1536Mi".
 *
 * Values only; no state.  May be called from any thread.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct kf_error;

#define KF_ADMISSION_RESOURCE	"nvidia.com/gpu-memory"
#define KF_ADMISSION_ANNOTATION "kerf.dev/gpu-memory"
#define KF_ADMISSION_UNITS	4096 /* the most that one container may ask for, in GiB */

#define KF_ADMISSION_REFUSED 1

/*
 * The JSON patch (RFC 6902) for a pod, into *ret, the caller's to json_decref: an empty list where
 * nothing is to be changed.
 *
 * 0; KF_ADMISSION_REFUSED: a size is negative, zero, fractional, or more than KF_ADMISSION_UNITS
 * GiB: *err says which and what to write instead; negative: no memory, or it is no pod.
 */
int kf_admission_rewrite(const json_t *pod, json_t **ret, struct kf_error *err);

/*
 * An AdmissionReview (admission.k8s.io/v1) of n bytes, answered: JSON, the caller's to free.  What
 * is no pod's creation is allowed as it is.
 * 0, or negative: it is no AdmissionReview, or there is no memory.
 */
int kf_admission_review(const char *body, size_t n, char **ret, struct kf_error *err);
