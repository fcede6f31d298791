/*
 * What a configuration asks of a node, once it has been matched with the GPUs that are there.
 */
#pragma once

#include "base/own.h"
#include "model/node.h"

/* So many GPU instances of one profile, each cut into the same compute instances. */
struct kf_want {
	unsigned profile;	/* index into the GPU's shape */
	unsigned count;		/* GPU instances */
	unsigned n_ci;		/* compute instances in each; 0: one that fills it */
	uint8_t ci[KF_MAX_CIS]; /* indices into the profile's ci[] */
};

struct kf_gpu_target {
	int mentioned; /* 0: the configuration says nothing of this GPU; leave it alone */
	int mig;       /* wanted mode */
	unsigned n;
	struct kf_want want[KF_MAX_INSTANCES];
	int line; /* of the entry in the configuration file */
	/*
	 * 1: MIG is wanted, but the driver lists no profiles while MIG is off (before Hopper), so
	 * that the wants are not known yet: n is 0; turn MIG on, read again, ask again.  Or the GPU
	 * does not answer (its state is not KF_GPU_OK): ask again when it does.
	 */
	int unknown_shape;
};

struct kf_target {
	char name[64];	 /* of the configuration: "all-1g.5gb" */
	unsigned n_gpus; /* as the node's, same order */
	struct kf_gpu_target *gpu;
};

struct kf_target *kf_target_free(struct kf_target *t);
KF_DEFINE_AUTO(struct kf_target, kf_target_free)
