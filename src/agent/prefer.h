/*
 * GetPreferredAllocation as a function: which of the free devices a container should get.
 */
#pragma once

#include "kubelet/offer.h"
#include "model/node.h"
#include "model/share.h"

struct kf_error;

struct kf_preference {
	const struct kf_node *node;
	enum kf_share_policy policy;
	const struct kf_offer *all; /* the resource's list; what is not available is given away */
	/* Would `id` be refused, or is it on its way out?  The kubelet may not know yet. */
	int (*avoid)(void *userdata, const char *id);
	void *userdata;
};

/*
 * Several whole GPUs: those that are connected best, and leave the rest so (plan/align.h); a GPU
 * that does not answer is no candidate and takes nothing from the others.
 *
 * Else NVIDIA's rule (nvidia-stack.md 1.6, 2): of the GPU with fewest of its devices given away, or
 * with most under `packed`, those picked in this call counted; of the devices of one GPU likewise,
 * by their replicas.  Ties go to the lower GPU, so that the answer is the same each time.  Under
 * `must-differ` a device that has none in this container comes first.
 *
 * `must` come first in the answer.  0 and out[0..size), pointers from the two lists; or negative:
 * there are not so many, or no memory.
 */
int kf_prefer(const struct kf_preference *p, const char *const *available, unsigned n_available,
	      const char *const *must, unsigned n_must, unsigned size, const char **out,
	      struct kf_error *err);
