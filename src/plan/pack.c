/*
 * The layout of one GPU: every arrangement of the wanted instances, and the best of them.
 *
 * A walk over the units from the lowest: at each one, either an instance that is still wanted
 * starts there or none does, so that every arrangement is met exactly once.  What starts in `now`
 * at a unit is kept or lost at that unit, so the cost only grows on the way down and a branch ends
 * once it exceeds the best.  There are at most a few hundred arrangements of one set (2,318 of all
 * sets on an 8-unit part), which makes anything cleverer slower.
 */
#include "plan/pack.h"

#include <string.h>

#include "plan/plan.h"

#define MAX_UNITS 32

/* The first three parts of the objective in one number; no part can reach 256. */
#define COST_BLOCKED   (1u << 16)
#define COST_DESTROYED (1u << 8)
#define COST_RECUT     1u

/* A profile of which instances are still to be placed. */
struct kind {
	uint32_t starts, ones;
	uint8_t profile, size, left;
};

/* A profile of which one more could be created beside the wanted ones, as far as counts go. */
struct spare {
	uint32_t starts;
	unsigned size;
};

struct search {
	unsigned units;
	uint32_t closed;
	unsigned n_kinds, n_spares;
	struct kind kind[KF_MAX_PROFILES];
	struct spare spare[KF_MAX_PROFILES];
	unsigned left, need; /* instances and units still to be placed */

	/* What starts at a unit now: its profile, and what it costs to keep it. */
	uint8_t there[MAX_UNITS];
	unsigned keep_cost[MAX_UNITS];
	/* What it costs to lose all that starts below a unit. */
	unsigned lost_below[MAX_UNITS + 1];

	struct kf_geometry at; /* under construction */
	uint32_t starts;

	int found;
	struct kf_geometry best;
	uint32_t best_starts;
	unsigned best_cost, best_pairs;
};

#define NOTHING 0xFF

/* Bit s: the units s to s + size - 1 are all free. */
static uint32_t runs(uint32_t free, unsigned size)
{
	unsigned have, more;

	for (have = 1; have < size; have += more) {
		more = have < size - have ? have : size - have;
		free &= free >> more;
	}
	return free;
}

static unsigned creatable(const struct search *s, uint32_t used)
{
	unsigned i, pairs = 0;

	for (i = 0; i < s->n_spares; i++)
		pairs += (unsigned)__builtin_popcount(s->spare[i].starts &
						      runs(~used, s->spare[i].size));
	return pairs;
}

/* Equal cost and pairs: lower starts, then lower profiles? */
static int lower(const struct search *s)
{
	uint32_t differ = s->starts ^ s->best_starts;
	unsigned i;

	if (differ)
		return (s->starts & differ & -differ) != 0;
	for (i = 0; i < s->at.n; i++)
		if (s->at.at[i].profile != s->best.at[i].profile)
			return s->at.at[i].profile < s->best.at[i].profile;
	return 0;
}

static void consider(struct search *s, uint32_t used, unsigned cost)
{
	unsigned pairs;

	if (s->found && cost > s->best_cost)
		return;
	pairs = creatable(s, used | s->closed);
	if (s->found && cost == s->best_cost) {
		if (pairs < s->best_pairs || (pairs == s->best_pairs && !lower(s)))
			return;
	}
	s->found = 1;
	s->best = s->at;
	s->best_starts = s->starts;
	s->best_cost = cost;
	s->best_pairs = pairs;
}

static void walk(struct search *s, unsigned unit, uint32_t used, unsigned cost);

static void place(struct search *s, struct kind *k, unsigned unit, uint32_t used, unsigned cost)
{
	unsigned after = unit + k->size;

	if (s->there[unit] == k->profile)
		cost += s->keep_cost[unit] + s->lost_below[after] - s->lost_below[unit + 1];
	else
		cost += s->lost_below[after] - s->lost_below[unit];
	s->at.at[s->at.n++] = (struct kf_placed){.profile = k->profile, .start = (uint8_t)unit};
	s->starts |= 1u << unit;
	s->left--;
	s->need -= k->size;
	k->left--;
	walk(s, after, used | k->ones << unit, cost);
	k->left++;
	s->need += k->size;
	s->left++;
	s->starts &= ~(1u << unit);
	s->at.n--;
}

static void walk(struct search *s, unsigned unit, uint32_t used, unsigned cost)
{
	unsigned i;

	if (s->found && cost > s->best_cost)
		return;
	if (s->left == 0) {
		consider(s, used, cost + s->lost_below[s->units] - s->lost_below[unit]);
		return;
	}
	if (unit + s->need > s->units)
		return;
	for (i = 0; i < s->n_kinds; i++) {
		struct kind *k = &s->kind[i];

		if (k->left && (k->starts >> unit & 1) && !(k->ones << unit & s->closed))
			place(s, k, unit, used, cost);
	}
	walk(s, unit + 1, used, cost + s->lost_below[unit + 1] - s->lost_below[unit]);
}

/* What is there now, unit by unit. */
static void set_now(struct search *s, const struct kf_pack *pack)
{
	unsigned lost[MAX_UNITS] = {0};
	unsigned i, total = 0;

	memset(s->there, NOTHING, sizeof(s->there));
	for (i = 0; i < pack->now->n; i++) {
		unsigned unit = pack->now->at[i].start % MAX_UNITS;
		int busy = pack->busy >> i & 1;

		s->there[unit] = pack->now->at[i].profile;
		s->keep_cost[unit] =
			(pack->stuck >> i & 1) * COST_BLOCKED + (pack->recut >> i & 1) * COST_RECUT;
		lost[unit] += busy ? COST_BLOCKED : COST_DESTROYED;
	}
	for (i = 0; i < MAX_UNITS; i++) {
		s->lost_below[i] = total;
		total += lost[i];
	}
	s->lost_below[MAX_UNITS] = total;
}

/* The starts from which a profile ends inside the GPU: a foreign table may list others. */
static uint32_t inside(const struct kf_shape *shape, const struct kf_profile *profile)
{
	if (profile->size == 0 || profile->size > shape->units)
		return 0;
	return profile->starts & ((1u << (shape->units - profile->size + 1)) - 1);
}

static void set_wanted(struct search *s, const struct kf_pack *pack)
{
	uint8_t more[KF_MAX_PROFILES];
	unsigned p;

	memcpy(more, pack->want, sizeof(more));
	for (p = 0; p < pack->shape->n; p++) {
		const struct kf_profile *profile = &pack->shape->profile[p];
		uint32_t starts = inside(pack->shape, profile);

		if (more[p]) {
			s->kind[s->n_kinds++] = (struct kind){
				.starts = starts,
				.ones = starts ? (1u << profile->size) - 1 : 0,
				.profile = (uint8_t)p,
				.size = (uint8_t)profile->size,
				.left = more[p],
			};
			s->left += more[p];
			s->need += more[p] * profile->size;
		}
		more[p]++;
		if (starts && kf_shape_allows(pack->shape, more))
			s->spare[s->n_spares++] = (struct spare){starts, profile->size};
		more[p]--;
	}
}

static uint32_t kept(const struct kf_geometry *now, const struct kf_geometry *goal)
{
	uint32_t keep = 0;
	unsigned i, j;

	for (i = 0; i < now->n; i++)
		for (j = 0; j < goal->n; j++)
			if (now->at[i].start == goal->at[j].start &&
			    now->at[i].profile == goal->at[j].profile)
				keep |= 1u << i;
	return keep;
}

int kf_pack_find(const struct kf_pack *pack, struct kf_geometry *goal, uint32_t *keep)
{
	struct search s;

	if (pack->shape->units >= MAX_UNITS || !kf_shape_allows(pack->shape, pack->want))
		return -1;
	memset(&s, 0, sizeof(s));
	s.units = pack->shape->units;
	s.closed = pack->closed;
	set_now(&s, pack);
	set_wanted(&s, pack);
	if (s.left > KF_MAX_INSTANCES)
		return -1;
	walk(&s, 0, 0, 0);
	if (!s.found)
		return -1;
	*goal = s.best;
	*keep = kept(pack->now, goal);
	return 0;
}

int kf_plan_layout(const struct kf_shape *shape, const struct kf_geometry *now, uint32_t busy,
		   const uint8_t want[KF_MAX_PROFILES], struct kf_geometry *goal, uint32_t *keep)
{
	struct kf_pack pack = {.shape = shape, .now = now, .busy = busy};

	memcpy(pack.want, want, sizeof(pack.want));
	return kf_pack_find(&pack, goal, keep);
}
