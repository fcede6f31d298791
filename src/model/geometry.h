/*
 * Which GPU instances one GPU carries, and whether that is legal.
 *
 * The test is complete on every part seen: placements from the profile's list, no two instances
 * over the same unit, the driver's count per profile, and the media engines (one OFA, so one +me).
 * Compute slices never bind once those hold (nvml-mig-mps.md 1.9, enumerated).
 */
#pragma once

#include <stdint.h>

#include "model/profile.h"

struct kf_placed {
	uint8_t profile; /* index into shape->profile */
	uint8_t start;
};

struct kf_geometry {
	unsigned n;
	struct kf_placed at[KF_MAX_INSTANCES];
};

/* Bits of the units that a profile covers from `start`. */
uint32_t kf_placed_units(const struct kf_shape *shape, struct kf_placed p);
/* May `p` be created beside what `g` has?  1 or 0. */
int kf_geometry_fits(const struct kf_shape *shape, const struct kf_geometry *g, struct kf_placed p);
/* The number of (profile, start) pairs that could still be created, each by itself. */
unsigned kf_geometry_creatable(const struct kf_shape *shape, const struct kf_geometry *g);
/*
 * May one GPU have so many of each profile, as far as the driver's counts and the engines go?
 * Whether there is a place for them is another question.  1 or 0.
 */
int kf_shape_allows(const struct kf_shape *shape, const uint8_t count[KF_MAX_PROFILES]);
/* Is every instance legal beside the others?  1 or 0. */
int kf_geometry_legal(const struct kf_shape *shape, const struct kf_geometry *g);
/*
 * Where the driver puts an instance when the caller names no place: the legal start that leaves
 * most (profile, start) pairs creatable, counting profiles without attributes; ties go to the
 * lowest start.  -1 when there is no room.  (Exact on each case that NVIDIA documents.)
 */
int kf_geometry_default_start(const struct kf_shape *shape, const struct kf_geometry *g,
			      unsigned profile);
