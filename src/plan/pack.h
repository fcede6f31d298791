/* The layout of one GPU, with what the public kf_plan_layout leaves out.  Inside plan/ only. */
#pragma once

#include <stdint.h>

#include "model/geometry.h"

struct kf_pack {
	const struct kf_shape *shape;
	const struct kf_geometry *now;
	uint8_t want[KF_MAX_PROFILES]; /* how many of each profile */
	uint32_t busy;		       /* bit i: now->at[i] is held */
	uint32_t stuck;	 /* bit i: held, and in the way even if kept: a compute instance must go */
	uint32_t recut;	 /* bit i: kept, its compute instances would have to change */
	uint32_t closed; /* units that no instance of the goal may cover */
};

/*
 * The best layout with the wanted instances; bit i of *keep: now->at[i] is part of it.
 *
 * Between "fewest free instances destroyed" and "most pairs creatable" of plan.h comes "fewest
 * kept instances whose compute instances change".
 *
 * 0 done, in order of start; -1 there is none.
 */
int kf_pack_find(const struct kf_pack *pack, struct kf_geometry *goal, uint32_t *keep);
