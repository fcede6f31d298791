/*
 * Compute instances: how an instance that stays is cut, against how it shall be.
 *
 * The driver places them, and does not say where it could until the instance exists.  Assumed here:
 * one covers neighbouring slices and starts at a multiple of its size, rounded up to a power of two
 * (which yields the counts of nvml-mig-mps.md 1.10).  Larger ones are created first, so that a
 * small one never takes the place that only a large one needs; of equals the ones at the lowest
 * places are kept. Where free ones that could stay leave no such room, they are made anew.
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

/* What becomes of the compute instances of one instance. */
struct recut {
	uint32_t go;	      /* bit c: instance->ci[c] must go */
	struct kinds missing; /* still to be created */
};

/*
 * Of each kind the surplus goes, first those that are not held, from the highest place down; if
 * `anew`, all that are not held.
 */
static struct recut choose(const struct kf_profile *profile, const struct kf_want *want,
			   const struct kf_instance *instance, uint32_t held, int anew)
{
	struct recut recut = {.go = (1u << instance->n_ci) - 1, .missing = wanted(profile, want)};
	unsigned kind[KF_MAX_CIS], c, best;

	for (c = 0; c < instance->n_ci; c++)
		kind[c] = kind_of(profile, &instance->ci[c]);
	for (;;) {
		best = KF_MAX_CIS;
		for (c = 0; c < instance->n_ci; c++) {
			int is_held = held >> c & 1, best_held;

			if (!(recut.go >> c & 1) || recut.missing.n[kind[c]] == 0 ||
			    (anew && !is_held))
				continue;
			best_held = best < KF_MAX_CIS && (held >> best & 1);
			if (best == KF_MAX_CIS || is_held > best_held ||
			    (is_held == best_held &&
			     instance->ci[c].start < instance->ci[best].start))
				best = c;
		}
		if (best == KF_MAX_CIS)
			return recut;
		recut.missing.n[kind[best]]--;
		recut.go &= ~(1u << best);
	}
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

/* Bits of n slices from `start`; what a driver tells may be anything. */
static uint32_t slice_bits(unsigned start, unsigned n)
{
	return start < 32 ? (n < 32 ? (1u << n) - 1 : ~0u) << start : 0;
}

/* The slices that are free once `gone` are gone, as bits. */
static uint32_t free_slices(const struct kf_profile *profile, const struct kf_instance *instance,
			    uint32_t gone)
{
	uint32_t free = slice_bits(0, profile->slices);
	unsigned c;

	for (c = 0; c < instance->n_ci; c++)
		if (!(gone >> c & 1))
			free &= ~slice_bits(instance->ci[c].start, instance->ci[c].slices);
	return free;
}

/* Take the lowest place of so many free slices: 1, or 0 if there is none. */
static int take(uint32_t *free, unsigned slices)
{
	unsigned start, step = 1;

	while (step < slices)
		step *= 2;
	for (start = 0; start + slices <= 32; start += step) {
		uint32_t bits = slice_bits(start, slices);

		if ((*free & bits) != bits)
			continue;
		*free &= ~bits;
		return 1;
	}
	return 0;
}

/* How many of the missing ones have no room as long as held ones stay. */
static unsigned without_room(const struct kf_profile *profile, const struct kf_instance *instance,
			     const struct recut *recut, uint32_t held)
{
	uint32_t free = free_slices(profile, instance, recut->go & ~held);
	struct kinds missing = recut->missing;
	unsigned k, n = 0;

	for (; (k = largest(profile, &missing)) < N_KINDS; missing.n[k]--)
		n += !take(&free, slices_of(profile, k));
	return n;
}

static struct recut decide(const struct kf_profile *profile, const struct kf_want *want,
			   const struct kf_instance *instance, uint32_t held)
{
	struct recut keep = choose(profile, want, instance, held, 0);
	unsigned n = without_room(profile, instance, &keep, held);
	struct recut anew;

	if (n == 0)
		return keep;
	anew = choose(profile, want, instance, held, 1);
	return without_room(profile, instance, &anew, held) < n ? anew : keep;
}

struct kf_cut kf_cut_compare(const struct kf_profile *profile, const struct kf_want *want,
			     const struct kf_instance *instance, uint32_t held)
{
	struct recut recut = decide(profile, want, instance, held);
	struct kf_cut cut = {0};
	unsigned k;

	cut.held = (unsigned)__builtin_popcount(recut.go & held);
	cut.remove = (unsigned)__builtin_popcount(recut.go);
	for (k = 0; k < N_KINDS; k++)
		cut.add += recut.missing.n[k];
	return cut;
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

void kf_cut_steps(struct kf_draft *draft, unsigned gpu, const struct kf_instance *instance,
		  const struct kf_want *want, uint32_t held)
{
	const struct kf_profile *profile = &draft->node->gpu[gpu].shape.profile[instance->profile];
	struct kf_step step = {
		.gpu = gpu,
		.gi = instance->id,
		.profile = instance->profile,
		.start = instance->start,
	};
	struct recut recut = decide(profile, want, instance, held);
	uint32_t free = free_slices(profile, instance, recut.go & ~held);
	unsigned k;

	remove_surplus(draft, &step, instance, recut.go, held);
	step.kind = KF_STEP_CREATE_CI;
	for (; (k = largest(profile, &recut.missing)) < N_KINDS; recut.missing.n[k]--) {
		step.ci = k < profile->n_ci ? k : KF_NONE;
		step.blocked = !take(&free, slices_of(profile, k)) && held;
		step.early = !step.blocked && !(recut.go & ~held);
		step.blocked_by[0] = '\0';
		if (step.blocked)
			name_obstacles(draft, &step, instance, held);
		kf_draft_add(draft, &step);
	}
}
