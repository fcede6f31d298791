/* Why a target cannot be had, in words.  Inside plan/ only. */
#pragma once

#include "model/node.h"
#include "model/target.h"

struct kf_error;

/*
 * What can be told without trying: known profiles, the driver's count of each, and compute
 * instances that fit in their instance.  0, or -1 and *err.
 */
int kf_diagnose_counts(const struct kf_gpu *gpu, const struct kf_gpu_target *target,
		       struct kf_error *err);
/*
 * Why there is no layout for a target that passed the first check: slices, units, engines, or the
 * places where instances may start; units in `closed` cannot be used.  Always -1 and *err.
 */
int kf_diagnose_room(const struct kf_gpu *gpu, const struct kf_gpu_target *target, uint32_t closed,
		     struct kf_error *err);
