/* The status of our Node: one condition, and how much of a resource may be had just now. */
#pragma once

#include "kube/http.h"

struct kf_error;

struct kf_condition_told {
	const char *type;    /* "GPUHealthy" */
	const char *status;  /* "True", "False", "Unknown" */
	const char *reason;  /* one word in CamelCase */
	const char *message; /* a sentence */
	const char *since;   /* RFC 3339 without fractions: when it came to be so */
	const char *now;     /* ditto: when it was looked at */
};

/* 0, or negative and *err says why (403 where the right to nodes/status is lacking). */
typedef void (*kf_status_cb)(void *ud, int result, const struct kf_error *err);

/*
 * Set one condition of the Node, by a strategic merge patch of its status: others stay.  With a
 * NULL `status` the condition goes.  On 0 cb comes once.
 */
int kf_status_condition(struct kf_kube *k, const char *node, const struct kf_condition_told *told,
			kf_status_cb cb, void *ud, struct kf_error *err);

/*
 * Set status.allocatable of one resource, ahead of the kubelet, which writes the Node's status only
 * every ten seconds (nodeStatusUpdateFrequency) and will write the same.
 */
int kf_status_allocatable(struct kf_kube *k, const char *node, const char *resource, unsigned n,
			  kf_status_cb cb, void *ud, struct kf_error *err);
