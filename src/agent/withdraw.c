/* Devices on their way out; see withdraw.h. */
#include "agent/withdraw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/share.h"

void kf_withdraw_done(struct kf_withdrawals *w)
{
	free(w->at);
	*w = (struct kf_withdrawals){0};
}

static struct kf_withdrawal *find(const struct kf_withdrawals *w, const char *id)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		if (kf_share_same_device(w->at[i].id, id))
			return &w->at[i];
	return NULL;
}

static int want(struct kf_withdrawals *w, const char *id, int *changed)
{
	struct kf_withdrawal *at = find(w, id);

	if (!id[0])
		return 0;
	if (!at) {
		if (kf_grow(&w->at, &w->capacity, w->n + 1, sizeof(*w->at)) < 0)
			return -1;
		at = &w->at[w->n++];
		snprintf(at->id, sizeof(at->id), "%s", id);
		at->state = KF_WITHDRAW_ASKED;
		*changed = 1;
	}
	at->wanted = 1;
	return 0;
}

/* Call `each` with every device that the step takes away; its first negative answer ends it. */
static int each_victim(struct kf_withdrawals *w, const struct kf_gpu *gpu,
		       const struct kf_step *step,
		       int (*each)(struct kf_withdrawals *w, const char *id, int *changed),
		       int *changed)
{
	unsigned i, c;

	if (step->kind == KF_STEP_CREATE || step->kind == KF_STEP_CREATE_CI)
		return 0;
	if (step->kind == KF_STEP_MODE_ON || step->kind == KF_STEP_MODE_OFF)
		return each(w, gpu->uuid, changed);
	for (i = 0; i < gpu->n_instances; i++) {
		const struct kf_instance *in = &gpu->instance[i];

		for (c = 0; in->id == step->gi && c < in->n_ci; c++)
			if (step->kind == KF_STEP_DESTROY || in->ci[c].id == step->ci)
				if (each(w, in->ci[c].uuid, changed) < 0)
					return -1;
	}
	return w->whole_gpus ? each(w, gpu->uuid, changed) : 0;
}

int kf_withdraw_victims(struct kf_withdrawals *w, const struct kf_node *node,
			const struct kf_plan *plan)
{
	unsigned i, kept = 0;
	int changed = 0;

	for (i = 0; i < w->n; i++)
		w->at[i].wanted = 0;
	for (i = 0; plan && i < plan->n; i++) {
		const struct kf_step *step = &plan->step[i];

		if (!step->blocked &&
		    each_victim(w, &node->gpu[step->gpu], step, want, &changed) < 0)
			return -1;
	}
	for (i = 0; i < w->n; i++)
		if (w->at[i].wanted)
			w->at[kept++] = w->at[i];
	changed |= kept != w->n;
	w->n = kept;
	return changed;
}

enum kf_withdraw_state kf_withdraw_state(const struct kf_withdrawals *w, const char *id)
{
	const struct kf_withdrawal *at = find(w, id);

	return at ? at->state : KF_WITHDRAW_NONE;
}

int kf_withdraw_cancel(struct kf_withdrawals *w, const char *id)
{
	struct kf_withdrawal *at = find(w, id);

	if (!at || at->state == KF_WITHDRAW_DESTROYING)
		return 0;
	*at = w->at[--w->n];
	return 1;
}

int kf_withdraw_all(const struct kf_withdrawals *w, enum kf_withdraw_state state)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		if (w->at[i].state < state)
			return 0;
	return 1;
}

void kf_withdraw_set(struct kf_withdrawals *w, enum kf_withdraw_state state)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		w->at[i].state = state;
}

static int begin(struct kf_withdrawals *w, const char *id, int *changed)
{
	struct kf_withdrawal *at = find(w, id);

	(void)changed;
	if (at)
		at->state = KF_WITHDRAW_DESTROYING;
	return 0;
}

void kf_withdraw_begin(struct kf_withdrawals *w, const struct kf_node *node,
		       const struct kf_step *steps, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		each_victim(w, &node->gpu[steps[i].gpu], &steps[i], begin, NULL);
}
