/* Slices back where they were; see restore.h. */
#include "agent/restore.h"

#include <string.h>

/* The plan's creates on one GPU, by their index in the plan.  A mode change may come before them:
 * from Hopper on the mode does not outlive a reboot. */
struct creates {
	unsigned n;
	unsigned at[KF_MAX_INSTANCES];
};

static int collect(const struct kf_plan *plan, unsigned gpu, struct creates *ret)
{
	unsigned i;

	ret->n = 0;
	for (i = 0; i < plan->n; i++) {
		const struct kf_step *step = &plan->step[i];

		if (step->gpu != gpu || (step->kind == KF_STEP_MODE_ON && !step->blocked))
			continue;
		if (step->kind != KF_STEP_CREATE || step->blocked || ret->n == KF_MAX_INSTANCES)
			return -1;
		ret->at[ret->n++] = i;
	}
	return ret->n ? 0 : -1;
}

static int same(const struct kf_profile *profile, const struct kf_step *step,
		const struct kf_saved_instance *in)
{
	unsigned c;

	if (profile->id != in->profile || step->n_ci != in->n_ci)
		return 0;
	for (c = 0; c < in->n_ci; c++)
		if (profile->ci[step->cis[c]].slices != in->ci[c].slices)
			return 0;
	return 1;
}

/*
 * Pair each saved instance with a create of the same make.  Answers 0 and the creates in the
 * saved order of ids, or -1 when the two do not agree.
 */
static int pair(const struct kf_gpu *gpu, const struct kf_saved_gpu *saved,
		const struct kf_plan *plan, const struct creates *creates,
		struct kf_step out[KF_MAX_INSTANCES])
{
	uint32_t used = 0, placed = 0;
	unsigned n, i, k;

	if (saved->n != creates->n)
		return -1;
	for (n = 0; n < saved->n; n++) {
		const struct kf_saved_instance *next = NULL;

		for (i = 0; i < saved->n; i++)
			if (!(placed >> i & 1) && (!next || saved->instance[i].id < next->id))
				next = &saved->instance[i];
		placed |= 1u << (next - saved->instance);
		for (k = 0; k < creates->n; k++) {
			const struct kf_step *step = &plan->step[creates->at[k]];

			if (!(used >> k & 1) &&
			    same(&gpu->shape.profile[step->profile], step, next))
				break;
		}
		if (k == creates->n)
			return -1;
		used |= 1u << k;
		out[n] = plan->step[creates->at[k]];
		out[n].start = next->start;
	}
	return 0;
}

/* Saved on another driver or board, the places may not be legal here. */
static int legal(const struct kf_gpu *gpu, const struct kf_step *step, unsigned n)
{
	struct kf_geometry g = {.n = n};
	unsigned i;

	for (i = 0; i < n; i++)
		g.at[i] = (struct kf_placed){.profile = (uint8_t)step[i].profile,
					     .start = (uint8_t)step[i].start};
	return kf_geometry_legal(&gpu->shape, &g);
}

unsigned kf_restore_places(const struct kf_node *node, const struct kf_saved *saved,
			   struct kf_plan *plan)
{
	struct kf_step step[KF_MAX_INSTANCES];
	struct creates creates;
	unsigned g, i, restored = 0;

	for (g = 0; saved && g < node->n_gpus; g++) {
		const struct kf_gpu *gpu = &node->gpu[g];
		const struct kf_saved_gpu *old = kf_saved_find(saved, gpu->uuid);

		if (!old || gpu->n_instances || collect(plan, g, &creates) < 0)
			continue;
		if (pair(gpu, old, plan, &creates, step) < 0 || !legal(gpu, step, creates.n))
			continue;
		for (i = 0; i < creates.n; i++)
			plan->step[creates.at[i]] = step[i];
		restored++;
	}
	return restored;
}
