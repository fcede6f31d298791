/*
 * From what one GPU carries to what it shall carry, as steps.  Inside plan/ only.
 *
 * Steps are gathered for the whole node in three lists, which kf_plan_make joins: first what needs
 * no removal, then what does, then what waits for a hold.
 */
#pragma once

#include "plan/plan.h"

struct kf_steps {
	struct kf_step *step;
	unsigned n;
	size_t capacity;
};

struct kf_draft {
	const struct kf_node *node;
	const struct kf_holds *holds;
	struct kf_steps early, then, blocked;
	unsigned n_destroyed, n_kept;
	int no_memory; /* some step is missing: the draft is void */
};

/*
 * Append the steps of GPU `index`.  0, or -1 when the target cannot be had (*err says which GPU and
 * why).  Out of memory is not told here but by draft->no_memory.
 */
int kf_diff_gpu(struct kf_draft *draft, unsigned index, const struct kf_gpu_target *target,
		struct kf_error *err);

/* Append to one of the lists; `s->blocked`, `s->early` or neither decides which. */
void kf_draft_add(struct kf_draft *draft, const struct kf_step *s);

/*
 * Compute instances (cut.c).  A wanted set of them against those of an instance that stays; bit c
 * of `held`: instance->ci[c] must not be touched.
 */
struct kf_cut {
	unsigned held;	 /* to be destroyed, but held */
	unsigned remove; /* to be destroyed */
	unsigned add;	 /* to be created */
};

uint32_t kf_cut_held(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance);
struct kf_cut kf_cut_compare(const struct kf_profile *profile, const struct kf_want *want,
			     const struct kf_instance *instance, uint32_t held);
/* The compute instances of an instance that is yet to be made, into step->cis. */
void kf_cut_fill(const struct kf_profile *profile, const struct kf_want *want,
		 struct kf_step *step);
/* The steps of an instance that stays. */
void kf_cut_steps(struct kf_draft *draft, unsigned gpu, const struct kf_instance *instance,
		  const struct kf_want *want, uint32_t held);

/* Names of those who hold something, for blocked_by; see busy.c. */
struct kf_names {
	char *out;
	unsigned size, n_left_out;
};

void kf_names_init(struct kf_names *names, char *out, unsigned size);
void kf_names_add(struct kf_names *names, const char *name);
void kf_names_done(struct kf_names *names);

/* Is this compute instance held: by a pod or process that `holds` lists, or a listed process? */
int kf_busy_ci(const struct kf_holds *holds, const struct kf_gpu *gpu,
	       const struct kf_instance *instance, const struct kf_ci *ci);
/* Any of its compute instances, or processes that the driver counts there. */
int kf_busy_instance(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance);
/* Anything on the GPU: what a change of its mode would disturb. */
int kf_busy_gpu(const struct kf_holds *holds, const struct kf_gpu *gpu);
void kf_busy_name_ci(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance, const struct kf_ci *ci,
		     struct kf_names *names);
void kf_busy_name_instance(const struct kf_holds *holds, const struct kf_gpu *gpu,
			   const struct kf_instance *instance, struct kf_names *names);
void kf_busy_name_gpu(const struct kf_holds *holds, const struct kf_gpu *gpu,
		      struct kf_names *names);
