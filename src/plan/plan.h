/*
 * From a node and what is wanted of it to ordered steps.  Pure: no I/O, no clock, no driver.
 *
 * The plan keeps every instance that the target can keep, at its place.  On one GPU, in this
 * order: fewest held instances in the way (those are never destroyed, only waited for), fewest
 * free instances destroyed, most (profile, start) pairs still creatable afterwards, lowest starts
 * (compared instance by instance, sorted).  Creates that need no removal come first; every step is
 * legal when made.
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
	unsigned gpu;		 /* index into node->gpu */
	unsigned profile;	 /* CREATE, DESTROY: index into the shape */
	unsigned start;		 /* CREATE, DESTROY */
	unsigned gi;		 /* DESTROY, CREATE_CI, DESTROY_CI: id of the GPU instance */
	unsigned ci;		 /* DESTROY_CI: id; CREATE_CI: index into profile->ci */
	unsigned n_ci;		 /* CREATE: compute instances, in order */
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
	unsigned n_kept;      /* GPU instances that stay */
};

struct kf_plan *kf_plan_free(struct kf_plan *plan);
KF_DEFINE_AUTO(struct kf_plan, kf_plan_free)

#define KF_PLAN_SETTLED 1

/*
 * Plan the way from `node` to `target`; `holds` says what is busy.  Keeps none of them.
 *
 * 0                 *ret is a plan, the caller's to free; it may consist of blocked steps only
 * KF_PLAN_SETTLED   the node is already as wanted; *ret untouched
 * negative          the target cannot be had on this GPU at all; *err names GPU and reason
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
 * 0          done
 * negative   no layout of this shape has these instances
 */
int kf_plan_layout(const struct kf_shape *shape, const struct kf_geometry *now, uint32_t busy,
		   const uint8_t want[KF_MAX_PROFILES], struct kf_geometry *goal, uint32_t *keep);

/* One sentence for a step: "gpu 0: create 2g.10gb at 2". */
void kf_step_text(const struct kf_node *node, const struct kf_step *step, char *out, unsigned size);
