/*
 * Carry out one step of a plan on the driver.
 *
 * Each call looks the object up afresh and checks that it is still what the step means, so that a
 * plan made a moment ago never acts on something else that got the same id meanwhile.  What the
 * driver refuses is diagnosed: who is in the way is part of the sentence.
 */
#pragma once

#include "model/node.h"
#include "plan/plan.h"

struct kf_error;
struct kf_nvml;

/* The driver says that the object is in use; nothing was changed.  *err names the user. */
#define KF_MIG_BUSY 1
/* The mode change waits for a GPU reset (Ampere, or a VM); *err says why and who holds the GPU. */
#define KF_MIG_PENDING 2
/* The object is not, or no longer, what the step means: read the node again and plan again. */
#define KF_MIG_STALE 3

/*
 * Carry out `step` (not a blocked one) on the GPU that it names in `node`.
 *
 * CREATE makes the GPU instance at its place and its compute instances; if one of those fails, all
 * that the step made is taken back.  DESTROY takes away the compute instances, then the GPU
 * instance, and first makes sure that no process runs on any of them.  MODE steps ask the driver
 * to switch; before Hopper it resets the GPU itself if nobody has it open.
 *
 * 0, KF_MIG_BUSY, KF_MIG_PENDING, KF_MIG_STALE; negative: *err has the driver's reason.
 */
int kf_mig_step(const struct kf_nvml *nv, const struct kf_node *node, const struct kf_step *step,
		struct kf_error *err);
