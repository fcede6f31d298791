/* Who stands in the way; see blockers.h. */
#include "agent/blockers.h"

#include <stdio.h>
#include <string.h>

/* Is `id` what the step would take away, or lies it on the GPU whose mode the step changes? */
static int concerns(const struct kf_gpu *gpu, const struct kf_step *step, const char *id)
{
	int mode = step->kind == KF_STEP_MODE_ON || step->kind == KF_STEP_MODE_OFF;
	unsigned i, c;

	if (step->kind == KF_STEP_CREATE || step->kind == KF_STEP_CREATE_CI)
		return 0; /* what those wait for has a step of its own */
	if (!strcmp(gpu->uuid, id))
		return 1;
	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++)
			if (!strcmp(gpu->instance[i].ci[c].uuid, id))
				return mode || gpu->instance[i].id == step->gi;
	return 0;
}

int kf_blocks(const struct kf_node *node, const struct kf_plan *plan, const struct kf_hold *hold)
{
	unsigned i;

	for (i = 0; plan && i < plan->n; i++)
		if (plan->step[i].blocked &&
		    concerns(&node->gpu[plan->step[i].gpu], &plan->step[i], hold->id))
			return 1;
	return 0;
}

static int same_holder(const struct kf_hold *a, const struct kf_hold *b)
{
	return a->by == b->by && a->pid == b->pid && !strcmp(a->pod_name, b->pod_name) &&
	       !strcmp(a->pod_namespace, b->pod_namespace) && !strcmp(a->pod_uid, b->pod_uid);
}

static int named_before(const struct kf_node *node, const struct kf_plan *plan,
			const struct kf_holds *holds, unsigned at)
{
	unsigned i;

	for (i = 0; i < at; i++)
		if (same_holder(&holds->hold[i], &holds->hold[at]) &&
		    kf_blocks(node, plan, &holds->hold[i]))
			return 1;
	return 0;
}

void kf_blockers_text(const struct kf_node *node, const struct kf_plan *plan,
		      const struct kf_holds *holds, char *out, size_t size)
{
	char text[400];
	size_t n = 0;
	unsigned i;

	out[0] = '\0';
	for (i = 0; i < holds->n; i++) {
		if (!kf_blocks(node, plan, &holds->hold[i]) || named_before(node, plan, holds, i))
			continue;
		kf_hold_text(&holds->hold[i], text, sizeof(text));
		if (n + strlen(text) + 6 >= size) {
			snprintf(out + n, size - n, ", ...");
			return;
		}
		n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", text);
	}
}
