/* Legal layouts of one GPU; see geometry.h. */
#include "model/geometry.h"

#include <string.h>

uint32_t kf_placed_units(const struct kf_shape *shape, struct kf_placed p)
{
	unsigned size = shape->profile[p.profile].size;
	uint32_t ones = size < 32 ? (1u << size) - 1 : ~0u;

	return p.start < 32 ? ones << p.start : 0;
}

/* What a layout has used up. */
struct used {
	uint32_t units;
	uint8_t count[KF_MAX_PROFILES];
	unsigned engine[KF_N_ENGINES];
};

static void use(const struct kf_shape *shape, struct used *u, struct kf_placed p)
{
	unsigned e;

	u->units |= kf_placed_units(shape, p);
	u->count[p.profile]++;
	for (e = 0; e < KF_N_ENGINES; e++)
		u->engine[e] += shape->profile[p.profile].engine[e];
}

static void use_all(const struct kf_shape *shape, struct used *u, const struct kf_geometry *g)
{
	unsigned i;

	memset(u, 0, sizeof(*u));
	for (i = 0; i < g->n; i++)
		use(shape, u, g->at[i]);
}

/* Room for the profile anywhere, as far as counts and engines go? */
static int affordable(const struct kf_shape *shape, const struct used *u, unsigned profile)
{
	const struct kf_profile *p = &shape->profile[profile];
	unsigned e;

	if (u->count[profile] >= p->max)
		return 0;
	for (e = 0; e < KF_N_ENGINES; e++)
		if (p->engine[e] && u->engine[e] + p->engine[e] > shape->engine[e])
			return 0;
	return 1;
}

static int fits(const struct kf_shape *shape, const struct used *u, struct kf_placed p)
{
	return (shape->profile[p.profile].starts >> p.start & 1) &&
	       !(u->units & kf_placed_units(shape, p)) && affordable(shape, u, p.profile);
}

int kf_geometry_fits(const struct kf_shape *shape, const struct kf_geometry *g, struct kf_placed p)
{
	struct used u;

	use_all(shape, &u, g);
	return fits(shape, &u, p);
}

static unsigned creatable(const struct kf_shape *shape, const struct used *u, int plain_only)
{
	unsigned i, pairs = 0;

	for (i = 0; i < shape->n; i++) {
		struct kf_placed p = {.profile = (uint8_t)i};
		uint32_t starts = shape->profile[i].starts;

		if ((plain_only && shape->profile[i].attr[0]) || !affordable(shape, u, i))
			continue;
		for (; starts; starts &= starts - 1) {
			p.start = (uint8_t)__builtin_ctz(starts);
			pairs += !(u->units & kf_placed_units(shape, p));
		}
	}
	return pairs;
}

unsigned kf_geometry_creatable(const struct kf_shape *shape, const struct kf_geometry *g)
{
	struct used u;

	use_all(shape, &u, g);
	return creatable(shape, &u, 0);
}

int kf_shape_allows(const struct kf_shape *shape, const uint8_t count[KF_MAX_PROFILES])
{
	unsigned engine[KF_N_ENGINES] = {0};
	unsigned i, e;

	for (i = 0; i < shape->n; i++) {
		if (count[i] > shape->profile[i].max)
			return 0;
		for (e = 0; count[i] && e < KF_N_ENGINES; e++)
			engine[e] += count[i] * shape->profile[i].engine[e];
	}
	for (e = 0; e < KF_N_ENGINES; e++)
		if (engine[e] > shape->engine[e])
			return 0;
	return 1;
}

int kf_geometry_legal(const struct kf_shape *shape, const struct kf_geometry *g)
{
	struct used u = {0};
	unsigned i;

	for (i = 0; i < g->n; i++) {
		if (!fits(shape, &u, g->at[i]))
			return 0;
		use(shape, &u, g->at[i]);
	}
	return 1;
}

int kf_geometry_default_start(const struct kf_shape *shape, const struct kf_geometry *g,
			      unsigned profile)
{
	struct kf_placed p = {.profile = (uint8_t)profile};
	uint32_t starts = shape->profile[profile].starts;
	int best = -1, best_pairs = -1;
	struct used now;

	use_all(shape, &now, g);
	for (; starts; starts &= starts - 1) {
		struct used then = now;
		int pairs;

		p.start = (uint8_t)__builtin_ctz(starts);
		if (!fits(shape, &now, p))
			continue;
		use(shape, &then, p);
		pairs = (int)creatable(shape, &then, 1);
		if (pairs > best_pairs) {
			best_pairs = pairs;
			best = p.start;
		}
	}
	return best;
}
