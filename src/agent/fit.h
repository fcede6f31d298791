/*
 * Units of GPU memory: which of them are on sale, and which a container gets.
 *
 * The scheduler sees one number for the node, and the units of one container come from one GPU.
 * Under `exact` only the free units of the GPU with most of them are listed as Healthy, so that the
 * number is what is taken plus the largest free block: what fits the number fits a GPU.  Pods then
 * spread over the GPUs.  Under `total` all are, and a container gets the GPU where it fits best.
 *
 * Units whose pod is on its way out are taken back before the API server forgets the pod, or its
 * scheduler would count them as free beside the block.
 */
#pragma once

#include <stdint.h>

#include "kubelet/offer.h"
#include "model/holds.h"
#include "model/share.h"

struct kf_error;

struct kf_fit {
	const struct kf_share_rule *rule; /* one that sells units */
	const struct kf_holds *holds;
	/* Is the pod that has this unit ending?  May be NULL. */
	int (*going)(const void *userdata, const struct kf_hold *hold);
	const void *userdata;
	/* The GPU whose block was on sale before; it stays so among equals.  May be NULL. */
	const char *before;
};

/*
 * Mark as Unhealthy what is not on sale; `offer` lists each GPU's units beside each other.  The GPU
 * whose block is on sale is put into `chosen`, empty when there is none or under `total`.
 */
void kf_fit_apply(const struct kf_fit *fit, struct kf_offer *offer, char chosen[KF_UUID]);

/*
 * `size` of the available ids, all of one GPU: that of `must`, where it is not empty, else the one
 * with fewest available that has enough.
 * 0; negative: no GPU has so many, and the sentence says how many there are.
 */
int kf_fit_prefer(const struct kf_share_rule *rule, const char *const *available,
		  unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		  const char **out, struct kf_error *err);

/* 0 if the ids are of one GPU, else negative and a sentence for the pod's owner. */
int kf_fit_check(const struct kf_share_rule *rule, const char *const *ids, unsigned n,
		 struct kf_error *err);
