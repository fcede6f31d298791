/*
 * What the agent shows of itself and its node: from its values to a view (metrics/snapshot.h).
 */
#pragma once

#include "config/settings.h"
#include "health/health.h"
#include "kubelet/offer.h"
#include "metrics/snapshot.h"
#include "model/holds.h"
#include "model/node.h"
#include "plan/plan.h"

/* XIDs of one GPU, counted. */
struct kf_xid_count {
	char gpu[KF_UUID];
	unsigned last, n;
	struct {
		unsigned xid;
		unsigned long n;
	} at[KF_VIEW_XIDS];
};

/* `n` of them at `counts`, KF_MAX_GPUS of room: one more for this GPU. */
void kf_xid_count(struct kf_xid_count *counts, unsigned *n, const char *gpu, unsigned xid);

/* All borrowed. */
struct kf_shown {
	const struct kf_node *node; /* may be NULL */
	int driver_up, ready;
	const struct kf_holds *holds;
	const struct kf_offers *listed;
	const struct kf_health *health;
	/* Is this device on its way out?  May be NULL. */
	int (*withdrawn)(const void *ud, const char *id);
	const void *ud;
	const char *hostname, *config, *state, *reason;
	const struct kf_plan *plan; /* that is being carried out; NULL: none */
	const char *waits;	    /* what else does not go on, and why; may be empty */
	unsigned epoch;
	const struct kf_xid_count *xids;
	unsigned n_xids;
	const struct kf_view_counts *counts;
};

/* 0 and *ret, the caller's, or -1: no memory.  A pod that holds several replicas of a device is
 * there once; holds over KF_VIEW_PODS are counted and left out. */
int kf_shown_view(const struct kf_shown *from, struct kf_view **ret, struct kf_error *err);
