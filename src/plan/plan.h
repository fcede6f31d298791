/*
 * From a node and what is wanted of it to ordered steps.  Pure: no I/O, no clock, no driver.
 *
 * The plan keeps every instance that the target can keep, at its place.  Of the layouts of one GPU
 * that hold exactly the wanted instances, the goal is the one with, in this order:
 *
 *   1. fewest held instances in the way (those are never destroyed, only waited for), counting
 *      kept ones of which a held compute instance would have to go
 *   2. fewest free instances destroyed
 *   3. fewest kept instances whose compute instances must change
 *   4. most (profile, start) pairs still creatable afterwards: kf_geometry_creatable of the goal
 *   5. lowest starts: both layouts sorted by start, the first unequal start decides
 *   6. lowest profiles: same order, the first unequal index into the shape decides
 *
 * An instance is held if one of its MIG devices is (struct kf_holds), if its whole GPU is, or if
 * the driver counts a process on it.
 *
 * Order of the steps: creates that need no removal (`early`), for all GPUs; then GPU by GPU what
 * needs one, destroys before creates; then what waits for a hold (`blocked`).  Carried out in this
 * order every step but the blocked ones is legal when made.  A free instance outside the goal is
 * destroyed even while a held one delays what comes in its place, so that no new pod settles there.
 * Planning again from where the steps led gives no step but the blocked ones, as long as the holds
 * are the same, and ends on the target once they are gone.
 */
#pragma once

#include "base/own.h"
#include "model/holds.h"
#include "model/node.h"
#include "model/target.h"

struct kf_error;

enum kf_step_kind {
	KF_STEP_CREATE,	   /* a GPU instance and its compute instances */
	KF_STEP_DESTROY,   /* a GPU instance with all that is in it; free when planned */
	KF_STEP_CREATE_CI, /* one compute instance on an instance that stays */
	KF_STEP_DESTROY_CI,
	KF_STEP_MODE_ON,
	KF_STEP_MODE_OFF,
};

struct kf_step {
	enum kf_step_kind kind;
	unsigned gpu;	  /* index into node->gpu */
	unsigned profile; /* CREATE, DESTROY: index into the shape */
	unsigned start;	  /* CREATE, DESTROY */
	unsigned gi;	  /* DESTROY, CREATE_CI, DESTROY_CI: id of the GPU instance */
	/* CREATE_CI and DESTROY_CI name their instance by gi, profile and start.
	 * DESTROY_CI: id; CREATE_CI: index into profile->ci, or KF_NONE for the one that fills the
	 * instance, where the profile lists none yet. */
	unsigned ci;
	unsigned n_ci; /* CREATE: compute instances, in order; 0: the one that fills it, ditto */
	uint8_t cis[KF_MAX_CIS]; /* CREATE: indices into profile->ci */
	int early;		 /* a create that needs no removal: may run before any withdrawal */
	int blocked; /* waits for a hold: not to be carried out now; blocked_by names it */
	char blocked_by[320];
};

struct kf_plan {
	unsigned n;
	struct kf_step *step; /* in the order to carry them out; blocked ones last */
	unsigned n_blocked;   /* of them */
	unsigned n_destroyed; /* GPU instances destroyed, not counting blocked */
	unsigned n_kept;      /* GPU instances that stay: part of the goal already */
};

struct kf_plan *kf_plan_free(struct kf_plan *plan);
KF_DEFINE_AUTO(struct kf_plan, kf_plan_free)

#define KF_PLAN_SETTLED 1

/*
 * Plan the way from `node` to `target`; `holds` says what is busy.  Keeps none of them.
 *
 * GPUs that the target does not mention, and those that are lost or unreadable, get no steps.  A
 * mode change comes first where it is wanted, again where the driver has left one pending; anything
 * held on the GPU blocks it, and with it the creates that need it.  Where the profiles are not
 * known until MIG is on (before Hopper) only MODE_ON is planned: read the node again after it.
 * Instances with a profile that the driver does not list are never touched.
 *
 * 0                 *ret is a plan, the caller's to free; it may consist of blocked steps only
 * KF_PLAN_SETTLED   there is nothing to do; *ret untouched
 * negative          KF_E_INPUT: the target cannot be had on some GPU at all; *err names GPU and
 *                   reason, err->detail is that GPU's line in the configuration.  Or KF_E_NOMEM.
 */
int kf_plan_make(const struct kf_node *node, const struct kf_target *target,
		 const struct kf_holds *holds, struct kf_plan **ret, struct kf_error *err);

/*
 * The planner's core, on one GPU and GPU instances only, as the exhaustive tests drive it.
 *
 * `now` are the instances that are there, bit i of `busy` that now->at[i] is held; `want[p]` is
 * the wanted count of profile p.  On success `goal` is the whole wanted layout; bit i of *keep
 * says that now->at[i] is part of it.  Held instances that are not kept stand in the way.
 *
 * 0          done, goal->at in order of start
 * negative   no layout of this shape has these instances
 */
int kf_plan_layout(const struct kf_shape *shape, const struct kf_geometry *now, uint32_t busy,
		   const uint8_t want[KF_MAX_PROFILES], struct kf_geometry *goal, uint32_t *keep);

/* One sentence for a step: "gpu 0: create 2g.10gb at 2", "...; waits for pod ns/name". */
void kf_step_text(const struct kf_node *node, const struct kf_step *step, char *out, unsigned size);

/* One line for each step and a last one with the counts; the caller's to free, NULL: no memory. */
char *kf_plan_text(const struct kf_node *node, const struct kf_plan *plan);

/*
 * {"steps": [{"step": "create", "gpu": 0, "uuid": "GPU-...", "profile": "2g.10gb", "start": 2,
 * "early": true, "blocked": false, "text": "..."}], "blocked": 0, "kept": 3, "destroyed": 1};
 * a blocked step has "waitsFor".  The caller's to free, NULL: no memory.
 */
char *kf_plan_json(const struct kf_node *node, const struct kf_plan *plan);
