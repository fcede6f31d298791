/*
 * From what one GPU carries to what it shall carry, as steps.
 *
 * Instances are matched by profile and start.  Creates that fit beside everything that is there
 * come first, then the free instances outside the goal go, then the rest is created as far as it
 * fits beside the held instances that stand in the way; what does not is planned as blocked.
 */
#include "plan/diff.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "plan/diagnose.h"
#include "plan/pack.h"

/* One GPU on the drawing board. */
struct board {
	struct kf_draft *draft;
	unsigned index;
	const struct kf_gpu *gpu;
	const struct kf_gpu_target *target;

	/* The instances with a known profile, by start; now.at[i] is instance[i]. */
	struct kf_geometry now;
	const struct kf_instance *instance[KF_MAX_INSTANCES];
	uint32_t held_ci[KF_MAX_INSTANCES];
	uint32_t busy;
	uint32_t closed; /* units of instances whose profile is unknown */

	struct kf_geometry goal;
	uint32_t keep;			 /* bit i: now.at[i] is in the goal */
	unsigned left[KF_MAX_INSTANCES]; /* of target->want[w]: instances not yet given one */
	const struct kf_want *given[KF_MAX_INSTANCES]; /* to kept instances */

	/* A change of mode comes before the creates, and perhaps waits. */
	int mode_first;
	char mode_blocked_by[sizeof(((struct kf_step *)0)->blocked_by)];
};

void kf_draft_add(struct kf_draft *draft, const struct kf_step *s)
{
	struct kf_steps *list = s->blocked ? &draft->blocked
				: s->early ? &draft->early
					   : &draft->then;

	if (kf_grow(&list->step, &list->capacity, list->n + 1, sizeof(*s)) < 0) {
		draft->no_memory = 1;
		return;
	}
	list->step[list->n++] = *s;
}

/* One with a profile, or at a place, that the driver does not list is nobody's to touch. */
static int is_known(const struct kf_gpu *gpu, const struct kf_instance *in)
{
	return in->profile < gpu->shape.n && in->start < gpu->shape.units;
}

static void look(struct board *b)
{
	unsigned i, j;

	for (i = 0; i < b->gpu->n_instances; i++) {
		const struct kf_instance *in = &b->gpu->instance[i];

		if (!is_known(b->gpu, in)) {
			/* Its size is not known either; its start is. */
			b->closed |= 1u << (in->start & 31);
			continue;
		}
		for (j = b->now.n++; j > 0 && b->instance[j - 1]->start > in->start; j--)
			b->instance[j] = b->instance[j - 1];
		b->instance[j] = in;
	}
	for (i = 0; i < b->now.n; i++) {
		b->now.at[i].profile = (uint8_t)b->instance[i]->profile;
		b->now.at[i].start = (uint8_t)b->instance[i]->start;
		if (kf_busy_instance(b->draft->holds, b->gpu, b->instance[i]))
			b->busy |= 1u << i;
		b->held_ci[i] = kf_cut_held(b->draft->holds, b->gpu, b->instance[i]);
	}
}

/* Does the best that is wanted of instance i's profile leave its compute instances alone? */
static void compare_cuts(const struct board *b, unsigned i, struct kf_pack *pack)
{
	const struct kf_profile *profile = &b->gpu->shape.profile[b->instance[i]->profile];
	int stuck = 1, recut = 1;
	unsigned w;

	for (w = 0; w < b->target->n; w++) {
		const struct kf_want *want = &b->target->want[w];
		struct kf_cut cut;

		if (want->profile != b->instance[i]->profile)
			continue;
		cut = kf_cut_compare(profile, want, b->instance[i], b->held_ci[i]);
		stuck &= cut.held > 0;
		recut &= cut.remove + cut.add > 0;
	}
	pack->stuck |= (uint32_t)stuck << i;
	pack->recut |= (uint32_t)recut << i;
}

static int find_goal(struct board *b, struct kf_error *err)
{
	struct kf_pack pack = {
		.shape = &b->gpu->shape, .now = &b->now, .busy = b->busy, .closed = b->closed};
	unsigned w, i;

	if (kf_diagnose_counts(b->gpu, b->target, err) < 0)
		return -1;
	for (w = 0; w < b->target->n; w++)
		pack.want[b->target->want[w].profile] += (uint8_t)b->target->want[w].count;
	for (i = 0; i < b->now.n; i++)
		compare_cuts(b, i, &pack);
	if (kf_pack_find(&pack, &b->goal, &b->keep) < 0)
		return kf_diagnose_room(b->gpu, b->target, b->closed, err);
	return 0;
}

/* Is `a` less trouble than `b`? */
static int easier(struct kf_cut a, struct kf_cut b)
{
	if (a.held != b.held)
		return a.held < b.held;
	if (a.remove != b.remove)
		return a.remove < b.remove;
	return a.add < b.add;
}

/* Give kept instance i the wanted cut that is least trouble; only one without any, if `exact`. */
static void give(struct board *b, unsigned i, int exact)
{
	const struct kf_profile *profile = &b->gpu->shape.profile[b->instance[i]->profile];
	struct kf_cut best_cut = {0};
	unsigned w, best = b->target->n;

	for (w = 0; w < b->target->n; w++) {
		const struct kf_want *want = &b->target->want[w];
		struct kf_cut cut;

		if (want->profile != b->instance[i]->profile || b->left[w] == 0)
			continue;
		cut = kf_cut_compare(profile, want, b->instance[i], b->held_ci[i]);
		if (exact && cut.remove + cut.add > 0)
			continue;
		if (best == b->target->n || easier(cut, best_cut)) {
			best = w;
			best_cut = cut;
		}
	}
	if (best < b->target->n) {
		b->left[best]--;
		b->given[i] = &b->target->want[best];
	}
}

/* Held instances choose first, since they have least choice. */
static void give_all(struct board *b)
{
	unsigned w, i, pass;

	for (w = 0; w < b->target->n; w++)
		b->left[w] = b->target->want[w].count;
	for (pass = 0; pass < 4; pass++) {
		unsigned held = pass < 2;
		int exact = pass % 2 == 0;

		for (i = 0; i < b->now.n; i++)
			if ((b->keep >> i & 1) && !b->given[i] && (b->busy >> i & 1) == held)
				give(b, i, exact);
	}
}

static void add_destroys(struct board *b)
{
	struct kf_step step = {.kind = KF_STEP_DESTROY, .gpu = b->index};
	struct kf_names names;
	unsigned i;

	for (i = 0; i < b->now.n; i++) {
		if (b->keep >> i & 1)
			continue;
		step.gi = b->instance[i]->id;
		step.profile = b->instance[i]->profile;
		step.start = b->instance[i]->start;
		step.blocked = b->busy >> i & 1;
		kf_names_init(&names, step.blocked_by, sizeof(step.blocked_by));
		if (step.blocked)
			kf_busy_name_instance(b->draft->holds, b->gpu, b->instance[i], &names);
		else
			b->draft->n_destroyed++;
		kf_names_done(&names);
		kf_draft_add(b->draft, &step);
	}
}

/* Name the holders of the instances that p collides with, or of all that stay in the way. */
static void name_obstacles(struct board *b, struct kf_placed p, struct kf_step *step)
{
	uint32_t units = kf_placed_units(&b->gpu->shape, p);
	uint32_t in_the_way = b->busy & ~b->keep, hit = 0;
	struct kf_names names;
	unsigned i;

	for (i = 0; i < b->now.n; i++)
		if ((in_the_way >> i & 1) &&
		    (kf_placed_units(&b->gpu->shape, b->now.at[i]) & units))
			hit |= 1u << i;
	kf_names_init(&names, step->blocked_by, sizeof(step->blocked_by));
	for (i = 0; i < b->now.n; i++)
		if ((hit ? hit : in_the_way) >> i & 1)
			kf_busy_name_instance(b->draft->holds, b->gpu, b->instance[i], &names);
	kf_names_done(&names);
}

static const struct kf_want *next_want(struct board *b, unsigned profile)
{
	unsigned w;

	for (w = 0; w < b->target->n; w++)
		if (b->target->want[w].profile == profile && b->left[w]) {
			b->left[w]--;
			return &b->target->want[w];
		}
	return NULL;
}

static void add_create(struct board *b, struct kf_placed p, int early, int fits)
{
	const struct kf_want *want = next_want(b, p.profile);
	struct kf_step step = {.kind = KF_STEP_CREATE,
			       .gpu = b->index,
			       .profile = p.profile,
			       .start = p.start,
			       .early = early};

	if (want)
		kf_cut_fill(&b->gpu->shape.profile[p.profile], want, &step);
	if (b->mode_blocked_by[0]) {
		step.blocked = 1;
		memcpy(step.blocked_by, b->mode_blocked_by, sizeof(step.blocked_by));
	} else if (!fits) {
		step.blocked = 1;
		name_obstacles(b, p, &step);
	}
	kf_draft_add(b->draft, &step);
}

static int is_kept(const struct board *b, struct kf_placed p)
{
	unsigned i;

	for (i = 0; i < b->now.n; i++)
		if ((b->keep >> i & 1) && b->now.at[i].start == p.start)
			return 1;
	return 0;
}

static void put(struct kf_geometry *g, struct kf_placed p)
{
	if (g->n < KF_MAX_INSTANCES)
		g->at[g->n++] = p;
}

/* What stays for now: what is kept, and what is held in the way. */
static struct kf_geometry staying(const struct board *b)
{
	struct kf_geometry g = {0};
	unsigned i;

	for (i = 0; i < b->now.n; i++)
		if ((b->keep | b->busy) >> i & 1)
			put(&g, b->now.at[i]);
	return g;
}

static void add_creates(struct board *b)
{
	struct kf_geometry beside = staying(b), all = b->now;
	unsigned i;

	for (i = 0; i < b->goal.n; i++) {
		struct kf_placed p = b->goal.at[i];
		int fits, early;

		if (is_kept(b, p))
			continue;
		fits = kf_geometry_fits(&b->gpu->shape, &beside, p);
		early = fits && !b->mode_first && all.n < KF_MAX_INSTANCES &&
			kf_geometry_fits(&b->gpu->shape, &all, p);
		if (fits)
			put(&beside, p);
		if (early)
			put(&all, p);
		add_create(b, p, early, fits);
	}
}

static int add_geometry(struct board *b, struct kf_error *err)
{
	unsigned i;

	if (find_goal(b, err) < 0)
		return -1;
	give_all(b);
	add_destroys(b);
	for (i = 0; i < b->now.n; i++)
		if (b->given[i])
			kf_cut_steps(b->draft, b->index, b->instance[i], b->given[i],
				     b->held_ci[i]);
	add_creates(b);
	b->draft->n_kept += (unsigned)__builtin_popcount(b->keep);
	return 0;
}

/* The name of an instance that nobody may touch, where there is one. */
static void name_unknown(const struct board *b, struct kf_names *names)
{
	char text[96];
	unsigned i;

	for (i = 0; i < b->gpu->n_instances; i++) {
		if (is_known(b->gpu, &b->gpu->instance[i]))
			continue;
		snprintf(text, sizeof(text),
			 "GPU instance %u of a profile that the driver does not list",
			 b->gpu->instance[i].id);
		kf_names_add(names, text);
	}
}

static void add_mode(struct board *b, enum kf_step_kind kind)
{
	struct kf_step step = {.kind = kind, .gpu = b->index};
	struct kf_names names;

	kf_names_init(&names, step.blocked_by, sizeof(step.blocked_by));
	if (kf_busy_gpu(b->draft->holds, b->gpu))
		kf_busy_name_gpu(b->draft->holds, b->gpu, &names);
	if (kind == KF_STEP_MODE_OFF)
		name_unknown(b, &names);
	kf_names_done(&names);
	step.blocked = step.blocked_by[0] != '\0';
	kf_draft_add(b->draft, &step);
	/* Only a GPU that is not in MIG mode yet makes its instances wait for it. */
	if (b->gpu->mig_current)
		return;
	b->mode_first = 1;
	memcpy(b->mode_blocked_by, step.blocked_by, sizeof(b->mode_blocked_by));
}

static int turn_on(struct board *b, struct kf_error *err)
{
	if (!b->gpu->mig_capable)
		return kf_fail(err, KF_E_INPUT, b->target->line,
			       "gpu %u (%s): MIG is wanted but this GPU cannot do it", b->index,
			       b->gpu->name);
	if (!b->gpu->mig_current || !b->gpu->mig_pending)
		add_mode(b, KF_STEP_MODE_ON);
	/* Before Hopper the profiles are not known until MIG is on. */
	if (b->gpu->shape.n == 0 && !b->gpu->mig_current)
		return 0;
	return add_geometry(b, err);
}

static void turn_off(struct board *b)
{
	if (!b->gpu->mig_current && !b->gpu->mig_pending)
		return;
	add_destroys(b);
	add_mode(b, KF_STEP_MODE_OFF);
}

int kf_diff_gpu(struct kf_draft *draft, unsigned index, const struct kf_gpu_target *target,
		struct kf_error *err)
{
	struct board b = {
		.draft = draft, .index = index, .gpu = &draft->node->gpu[index], .target = target};

	if (!target->mentioned || b.gpu->state != KF_GPU_OK)
		return 0;
	look(&b);
	if (target->mig)
		return turn_on(&b, err);
	turn_off(&b);
	return 0;
}
