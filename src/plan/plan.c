/* One plan for the node; see plan.h. */
#include "plan/plan.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "plan/diff.h"

struct kf_plan *kf_plan_free(struct kf_plan *plan)
{
	if (plan) {
		free(plan->step);
		free(plan);
	}
	return NULL;
}

static void draft_done(struct kf_draft *draft)
{
	free(draft->early.step);
	free(draft->then.step);
	free(draft->blocked.step);
}

static void append(struct kf_plan *plan, const struct kf_steps *steps)
{
	if (steps->n)
		memcpy(plan->step + plan->n, steps->step, steps->n * sizeof(*steps->step));
	plan->n += steps->n;
}

static struct kf_plan *join(const struct kf_draft *draft)
{
	unsigned n = draft->early.n + draft->then.n + draft->blocked.n;
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;

	plan = kf_calloc(1, sizeof(*plan));
	if (!plan)
		return NULL;
	plan->step = kf_calloc(n, sizeof(*plan->step));
	if (!plan->step)
		return NULL;
	append(plan, &draft->early);
	append(plan, &draft->then);
	append(plan, &draft->blocked);
	plan->n_blocked = draft->blocked.n;
	plan->n_destroyed = draft->n_destroyed;
	plan->n_kept = draft->n_kept;
	return kf_take(plan);
}

int kf_plan_make(const struct kf_node *node, const struct kf_target *target,
		 const struct kf_holds *holds, struct kf_plan **ret, struct kf_error *err)
{
	kf_auto(draft_done) struct kf_draft draft = {.node = node, .holds = holds};
	struct kf_plan *plan;
	unsigned i;

	for (i = 0; i < node->n_gpus && i < target->n_gpus; i++)
		if (kf_diff_gpu(&draft, i, &target->gpu[i], err) < 0)
			return -1;
	if (draft.no_memory)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a plan of %u GPUs", node->n_gpus);
	if (draft.early.n + draft.then.n + draft.blocked.n == 0)
		return KF_PLAN_SETTLED;
	plan = join(&draft);
	if (!plan)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a plan of %u GPUs", node->n_gpus);
	*ret = plan;
	return 0;
}
