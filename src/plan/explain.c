/* A plan in words and as JSON; see plan.h. */
#include <stdio.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/text.h"
#include "plan/plan.h"

static const struct kf_profile *profile_of(const struct kf_node *node, const struct kf_step *step)
{
	const struct kf_shape *shape = &node->gpu[step->gpu].shape;

	return step->profile < shape->n ? &shape->profile[step->profile] : NULL;
}

/* Slices of a compute instance that a step creates; KF_NONE is the one that fills its instance. */
static unsigned ci_slices(const struct kf_profile *p, unsigned ci)
{
	if (!p)
		return 0;
	return ci < p->n_ci ? p->ci[ci].slices : p->slices;
}

/* Cut into parts, rather than into the one compute instance that fills it? */
static int is_cut(const struct kf_profile *p, const struct kf_step *step)
{
	return step->n_ci > 1 || (step->n_ci == 1 && p && ci_slices(p, step->cis[0]) != p->slices);
}

static void what(const struct kf_node *node, const struct kf_step *step, struct kf_text *t)
{
	const struct kf_profile *p = profile_of(node, step);
	const char *name = p ? p->name : "instance";
	unsigned c;

	switch (step->kind) {
	case KF_STEP_CREATE:
		kf_text_addf(t, "create %s at %u", name, step->start);
		for (c = 0; is_cut(p, step) && c < step->n_ci; c++)
			kf_text_addf(t, "%s%uc", c ? " + " : ", cut into ",
				     ci_slices(p, step->cis[c]));
		break;
	case KF_STEP_DESTROY:
		kf_text_addf(t, "destroy %s at %u", name, step->start);
		break;
	case KF_STEP_CREATE_CI:
		kf_text_addf(t, "create a compute instance of %uc in the %s at %u",
			     ci_slices(p, step->ci), name, step->start);
		break;
	case KF_STEP_DESTROY_CI:
		kf_text_addf(t, "destroy compute instance %u of the %s at %u", step->ci, name,
			     step->start);
		break;
	case KF_STEP_MODE_ON:
		kf_text_add(t, "turn MIG on");
		break;
	case KF_STEP_MODE_OFF:
		kf_text_add(t, "turn MIG off");
		break;
	}
}

static char *sentence(const struct kf_node *node, const struct kf_step *step)
{
	struct kf_text t = {0};

	kf_text_addf(&t, "gpu %u: ", node->gpu[step->gpu].index);
	what(node, step, &t);
	if (step->blocked)
		kf_text_addf(&t, "; waits for %s", step->blocked_by);
	return kf_text_take(&t);
}

void kf_step_text(const struct kf_node *node, const struct kf_step *step, char *out, unsigned size)
{
	kf_auto_mem char *s = sentence(node, step);

	if (size)
		snprintf(out, size, "%s", s ? s : "a step (no memory to say which)");
}

static const char *when(const struct kf_step *step)
{
	if (step->blocked)
		return "later";
	return step->early ? "at once" : "in turn";
}

char *kf_plan_text(const struct kf_node *node, const struct kf_plan *plan)
{
	struct kf_text t = {0};
	unsigned i;

	for (i = 0; i < plan->n; i++) {
		kf_auto_mem char *s = sentence(node, &plan->step[i]);

		if (!s) {
			kf_text_done(&t);
			return NULL;
		}
		kf_text_addf(&t, "%-7s  %s\n", when(&plan->step[i]), s);
	}
	kf_text_addf(&t, "%u step%s, %u waiting; %u GPU instance%s kept, %u destroyed\n", plan->n,
		     plan->n == 1 ? "" : "s", plan->n_blocked, plan->n_kept,
		     plan->n_kept == 1 ? "" : "s", plan->n_destroyed);
	return kf_text_take(&t);
}

static const char *const kind_name[] = {
	[KF_STEP_CREATE] = "create",
	[KF_STEP_DESTROY] = "destroy",
	[KF_STEP_CREATE_CI] = "create-compute-instance",
	[KF_STEP_DESTROY_CI] = "destroy-compute-instance",
	[KF_STEP_MODE_ON] = "mig-on",
	[KF_STEP_MODE_OFF] = "mig-off",
};

static json_t *step_json(const struct kf_node *node, const struct kf_step *step)
{
	const struct kf_profile *p = profile_of(node, step);
	int mode = step->kind == KF_STEP_MODE_ON || step->kind == KF_STEP_MODE_OFF;
	kf_auto_mem char *text = sentence(node, step);
	json_auto_t *o = NULL;

	if (!text)
		return NULL;
	o = json_pack("{s:s, s:i, s:s, s:b, s:b, s:s}", "step", kind_name[step->kind], "gpu",
		      (int)node->gpu[step->gpu].index, "uuid", node->gpu[step->gpu].uuid, "early",
		      step->early, "blocked", step->blocked, "text", text);
	if (!o)
		return NULL;
	if (step->blocked && json_object_set_new(o, "waitsFor", json_string(step->blocked_by)) < 0)
		return NULL;
	if (!mode && p &&
	    (json_object_set_new(o, "profile", json_string(p->name)) < 0 ||
	     json_object_set_new(o, "start", json_integer(step->start)) < 0))
		return NULL;
	return json_incref(o);
}

char *kf_plan_json(const struct kf_node *node, const struct kf_plan *plan)
{
	json_auto_t *steps = json_array();
	json_auto_t *o = NULL;
	kf_auto_mem char *s = NULL;
	unsigned i;

	for (i = 0; i < plan->n; i++)
		if (json_array_append_new(steps, step_json(node, &plan->step[i])) < 0)
			return NULL;
	o = json_pack("{s:O, s:i, s:i, s:i}", "steps", steps, "blocked", (int)plan->n_blocked,
		      "kept", (int)plan->n_kept, "destroyed", (int)plan->n_destroyed);
	if (!o)
		return NULL;
	s = json_dumps(o, JSON_INDENT(2));
	return s ? kf_asprintf("%s\n", s) : NULL;
}
