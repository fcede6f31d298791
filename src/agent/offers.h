/*
 * From a node to what the kubelet is offered: NVIDIA's resource names and device ids.
 */
#pragma once

#include "config/settings.h"
#include "kubelet/offer.h"
#include "model/holds.h"
#include "model/node.h"
#include "model/share.h"
#include "model/target.h"

struct kf_error;

/* Why a device is offered as Unhealthy; the value is bit set. */
enum kf_unwell {
	KF_UNWELL_WITHDRAWN = 1, /* about to be destroyed */
	KF_UNWELL_LOST = 2,	 /* its GPU does not answer */
	KF_UNWELL_MIXED_UP = 4,	 /* `single` needs one profile on the node and this is another */
	KF_UNWELL_TAKEN = 8,	 /* held under its other name (singleAlias) */
	KF_UNWELL_ILL = 16,	 /* health/ has found something wrong with it */
	KF_UNWELL_NO_MPS = 32,	 /* its MPS daemon takes no clients */
};

struct kf_offer_rules {
	enum kf_mig_strategy strategy;
	int single_alias;
	const struct kf_target *target;	  /* may be NULL: no configuration is selected */
	const struct kf_holds *holds;	  /* for singleAlias: who holds a slice, and as what */
	const struct kf_sharing *sharing; /* may be NULL: every device is sold whole */
	/* Is this device being withdrawn?  May be NULL. */
	int (*withdrawn)(const void *userdata, const char *id);
	/* Does its MPS daemon take clients?  NULL: no share is held by MPS. */
	int (*mps_ready)(const void *userdata, const char *id);
	/* Does something ail it?  May be NULL. */
	int (*ill)(const void *userdata, const char *id);
	const void *userdata;
};

/*
 * none    every GPU is nvidia.com/gpu, MIG or not
 * single  no GPU in MIG mode: as none; else the slices are nvidia.com/gpu.  They must all be of
 *         one profile: the target's if it has one, else the only one there is.  Slices of another
 *         profile, and GPUs that are not cut, are listed as Unhealthy rather than dropped, since an
 *         id leaves the list only when its device is gone.
 * mixed   GPUs that are not in MIG mode are nvidia.com/gpu, slices nvidia.com/mig-PROFILE
 *
 * A device that `sharing` speaks of is offered as its replicas, "ID::k", under the rule's name;
 * what befalls a device befalls each of them.
 *
 * 0 and *ret, the caller's to kf_offers_done, or -1: no memory, *ret untouched.
 */
int kf_offers_make(const struct kf_node *node, const struct kf_offer_rules *rules,
		   struct kf_offers *ret, struct kf_error *err);

/*
 * Under `single`: a sentence when slices are held back because the node has more than one profile
 * or GPUs without slices; empty when all is well.
 */
void kf_offers_trouble(const struct kf_node *node, const struct kf_offer_rules *rules, char *out,
		       unsigned size);

/* "nvidia.com/mig-1g.5gb.me" for a compute instance's name. */
void kf_slice_resource(const char *name, char *out, unsigned size);
