/*
 * Compute instances: how an instance that stays is cut, against how it shall be.
 *
 * Only their kinds count, not their places: the driver places them, and says nothing of where it
 * could until the instance exists.  Larger ones are created first, so that a small one never takes
 * the place that only a large one needs; of equals the ones at the lowest places are kept.
 */
#include <string.h>

#include "plan/diff.h"

/* Beside the kinds that the profile lists: the one that fills it, where it lists none; unknown. */
enum { FILL = KF_MAX_CI_PROFILES, OTHER, N_KINDS };

/* How many of each kind. */
struct kinds {
	unsigned n[N_KINDS];
};

static unsigned full(const struct kf_profile *profile)
{
	unsigned i, best = FILL;

	for (i = 0; i < profile->n_ci; i++)
		if (best == FILL || profile->ci[i].slices > profile->ci[best].slices)
			best = i;
	return best;
}

static unsigned kind_of(const struct kf_profile *profile, const struct kf_ci *ci)
{
	if (ci->profile < profile->n_ci)
		return ci->profile;
	return ci->slices == profile->slices ? full(profile) : OTHER;
}

static unsigned slices_of(const struct kf_profile *profile, unsigned kind)
{
	return kind < profile->n_ci ? profile->ci[kind].slices : profile->slices;
}

static struct kinds wanted(const struct kf_profile *profile, const struct kf_want *want)
{
	struct kinds kinds = {{0}};
	unsigned i;

	if (want->n_ci == 0)
		kinds.n[full(profile)] = 1;
	for (i = 0; i < want->n_ci; i++)
		kinds.n[want->ci[i] < profile->n_ci ? want->ci[i] : OTHER]++;
	return kinds;
}

uint32_t kf_cut_held(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance)
{
	uint32_t held = 0;
	unsigned c;

	for (c = 0; c < instance->n_ci; c++)
		if (kf_busy_ci(holds, gpu, instance, &instance->ci[c]))
			held |= 1u << c;
	return held;
}

/*
 * Which compute instances must go, as bits: of each kind the surplus, first those that are not
 * held, from the highest place down.  *missing: what is still to be created.
 */
static uint32_t surplus(const struct kf_profile *profile, const struct kf_want *want,
			const struct kf_instance *instance, uint32_t held, struct kinds *missing)
{
	struct kinds keep = wanted(profile, want);
	uint32_t left = (1u << instance->n_ci) - 1;
	unsigned kind[KF_MAX_CIS], c, n;

	for (c = 0; c < instance->n_ci; c++)
		kind[c] = kind_of(profile, &instance->ci[c]);
	for (n = 0; n < instance->n_ci; n++) {
		unsigned best = KF_MAX_CIS;

		for (c = 0; c < instance->n_ci; c++) {
			if (!(left >> c & 1) || keep.n[kind[c]] == 0)
				continue;
			if (best == KF_MAX_CIS || (held >> c & 1) > (held >> best & 1) ||
			    ((held >> c & 1) == (held >> best & 1) &&
			     instance->ci[c].start < instance->ci[best].start))
				best = c;
		}
		if (best == KF_MAX_CIS)
			break;
		keep.n[kind[best]]--;
		left &= ~(1u << best);
	}
	*missing = keep;
	return left;
}

struct kf_cut kf_cut_compare(const struct kf_profile *profile, const struct kf_want *want,
			     const struct kf_instance *instance, uint32_t held)
{
	struct kf_cut cut = {0};
	struct kinds missing;
	uint32_t go = surplus(profile, want, instance, held, &missing);
	unsigned k;

	cut.held = (unsigned)__builtin_popcount(go & held);
	cut.remove = (unsigned)__builtin_popcount(go);
	for (k = 0; k < N_KINDS; k++)
		cut.add += missing.n[k];
	return cut;
}

/* The missing kind with the most slices, or N_KINDS. */
static unsigned largest(const struct kf_profile *profile, const struct kinds *kinds)
{
	unsigned k, best = N_KINDS;

	for (k = 0; k < N_KINDS; k++)
		if (kinds->n[k] &&
		    (best == N_KINDS || slices_of(profile, k) > slices_of(profile, best)))
			best = k;
	return best;
}

void kf_cut_fill(const struct kf_profile *profile, const struct kf_want *want, struct kf_step *step)
{
	struct kinds kinds = wanted(profile, want);
	unsigned k;

	step->n_ci = 0;
	while ((k = largest(profile, &kinds)) < profile->n_ci && step->n_ci < KF_MAX_CIS) {
		step->cis[step->n_ci++] = (uint8_t)k;
		kinds.n[k]--;
	}
}

static void remove_surplus(struct kf_draft *draft, struct kf_step *step,
			   const struct kf_instance *instance, uint32_t go, uint32_t held)
{
	const struct kf_gpu *gpu = &draft->node->gpu[step->gpu];
	struct kf_names names;
	unsigned c;

	step->kind = KF_STEP_DESTROY_CI;
	for (c = 0; c < instance->n_ci; c++) {
		if (!(go >> c & 1))
			continue;
		step->ci = instance->ci[c].id;
		step->blocked = held >> c & 1;
		kf_names_init(&names, step->blocked_by, sizeof(step->blocked_by));
		if (step->blocked)
			kf_busy_name_ci(draft->holds, gpu, instance, &instance->ci[c], &names);
		kf_names_done(&names);
		kf_draft_add(draft, step);
	}
}

static void name_obstacles(struct kf_draft *draft, struct kf_step *step,
			   const struct kf_instance *instance, uint32_t obstacles)
{
	struct kf_names names;
	unsigned c;

	kf_names_init(&names, step->blocked_by, sizeof(step->blocked_by));
	for (c = 0; c < instance->n_ci; c++)
		if (obstacles >> c & 1)
			kf_busy_name_ci(draft->holds, &draft->node->gpu[step->gpu], instance,
					&instance->ci[c], &names);
	kf_names_done(&names);
}

static unsigned slices_used(const struct kf_instance *instance, uint32_t gone)
{
	unsigned c, n = 0;

	for (c = 0; c < instance->n_ci; c++)
		if (!(gone >> c & 1))
			n += instance->ci[c].slices;
	return n;
}

void kf_cut_steps(struct kf_draft *draft, unsigned gpu, const struct kf_instance *instance,
		  const struct kf_want *want, uint32_t held)
{
	const struct kf_profile *profile = &draft->node->gpu[gpu].shape.profile[instance->profile];
	struct kf_step step = {.gpu = gpu,
			       .gi = instance->id,
			       .profile = instance->profile,
			       .start = instance->start};
	struct kinds missing;
	uint32_t go = surplus(profile, want, instance, held, &missing);
	unsigned used = slices_used(instance, go & ~held);
	unsigned k;

	remove_surplus(draft, &step, instance, go, held);
	step.kind = KF_STEP_CREATE_CI;
	for (; (k = largest(profile, &missing)) < N_KINDS; missing.n[k]--) {
		unsigned slices = slices_of(profile, k);

		step.ci = k < profile->n_ci ? k : KF_NONE;
		step.blocked = (go & held) && used + slices > profile->slices;
		step.early = !step.blocked && !(go & ~held);
		step.blocked_by[0] = '\0';
		if (step.blocked)
			name_obstacles(draft, &step, instance, go & held);
		else
			used += slices;
		kf_draft_add(draft, &step);
	}
}
