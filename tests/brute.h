/*
 * The best layout of one GPU by trying all of them: what the planner is compared with.
 *
 * Written without the planner's or the model's functions, and so that one can see that it is right:
 * every legal layout is listed once, and a question is answered by looking at each of those that
 * hold the wanted instances.
 */
#pragma once

#include <stdint.h>

#include "model/profile.h"

#define BRUTE_MAX_PAIRS 64

/* A profile at a place, of those that the driver lists. */
struct brute_pair {
	unsigned profile, start;
};

struct brute_layout {
	uint64_t pairs; /* bit i: pair i is there */
	unsigned set;	/* which multiset of profiles */
	unsigned creatable;
	unsigned n;
	struct brute_pair at[KF_MAX_INSTANCES]; /* by start */
};

struct brute_set {
	uint8_t count[KF_MAX_PROFILES];
	unsigned first, n; /* its layouts */
};

struct brute {
	const struct kf_shape *shape;
	unsigned n_pairs;
	struct brute_pair pair[BRUTE_MAX_PAIRS];
	unsigned n_layouts;	     /* with the empty one */
	struct brute_layout *layout; /* by set */
	unsigned n_sets;	     /* all that some layout holds, the empty one too */
	struct brute_set *set;
};

/* What a goal costs, in the order of plan.h (compute instances left out). */
struct brute_cost {
	unsigned blocked, destroyed;
};

/* All layouts of a shape; stops the program without memory.  The caller's, for brute_done. */
void brute_init(struct brute *b, const struct kf_shape *shape);
void brute_done(struct brute *b);
/* Is one more pair legal beside these? */
int brute_fits(const struct brute *b, uint64_t pairs, unsigned pair);
/* The best layout that holds `set`, from `now` of which `busy` are held; and its cost. */
const struct brute_layout *brute_best(const struct brute *b, uint64_t now, uint64_t busy,
				      unsigned set, struct brute_cost *cost);
