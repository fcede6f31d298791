/*
 * What a slice of a MIG-capable GPU can look like.
 *
 * A profile is a row of the driver's table (`nvidia-smi mig -lgip`): so many compute slices, so
 * much memory, so many engines, and the places where it may start.  Nothing here is built in: the
 * driver tells, since names, memory and counts differ by product, firmware and driver version.
 *
 * Three numbers must not be mixed: the NVML constant (argument of the profile query), the driver's
 * profile id (argument of every other call) and the id of a live GPU instance.
 */
#pragma once

#include <stdint.h>

#define KF_MAX_PROFILES	   18 /* NVML_GPU_INSTANCE_PROFILE_COUNT of R595 */
#define KF_MAX_CI_PROFILES 9  /* NVML_COMPUTE_INSTANCE_PROFILE_COUNT */
#define KF_MAX_INSTANCES   15 /* GI ids 0..14: what /proc/driver/nvidia-caps/mig-minors reserves */
#define KF_MAX_CIS	   8  /* CI ids 0..7, ditto */
#define KF_PROFILE_NAME	   32 /* "1c.2g.48gb+me.all" and room */

/* Media engines: the second budget of a GPU beside its placement units (OFA: one, so one `+me`). */
enum kf_engine { KF_ENGINE_DEC, KF_ENGINE_ENC, KF_ENGINE_JPG, KF_ENGINE_OFA, KF_N_ENGINES };

struct kf_ci_profile {
	unsigned constant; /* NVML_COMPUTE_INSTANCE_PROFILE_* */
	unsigned id;	   /* what creation takes */
	unsigned slices;   /* compute slices, the C of "Cc.Gg.Mgb" */
	unsigned max;	   /* how many fit in one GPU instance */
	unsigned sm;
};

struct kf_profile {
	char name[KF_PROFILE_NAME]; /* "1g.5gb+me": NVIDIA's rule over memory and attributes */
	unsigned constant;	    /* NVML_GPU_INSTANCE_PROFILE_* */
	unsigned id;		    /* what creation takes and nvidia-smi prints */
	unsigned slices;	    /* compute slices, the G */
	unsigned gb;		    /* the M: from memory_mib by kf_profile_gb, not the true size */
	char attr[8];		    /* "", "+me", "+me.all", "+gfx", "-me" */
	uint64_t memory_mib;	    /* what a pod on it has */
	unsigned sm, copy;
	unsigned engine[KF_N_ENGINES];
	unsigned max;	 /* the driver's instanceCount */
	unsigned size;	 /* placement units */
	uint32_t starts; /* bit s: may start at unit s */
	unsigned n_ci;
	struct kf_ci_profile ci[KF_MAX_CI_PROFILES];
};

/* All profiles of one GPU; equal shapes are interchangeable for the planner. */
struct kf_shape {
	unsigned units;		       /* placement units: 8, 4 (A30), 12 (RTX PRO 6000) */
	unsigned slices;	       /* compute slices: 7 or 4 */
	unsigned engine[KF_N_ENGINES]; /* what the whole GPU has: that of the largest profile */
	unsigned n;
	struct kf_profile profile[KF_MAX_PROFILES]; /* by constant, as the driver lists them */
};

/*
 * The G B figure of a profile name, as NVIDIA computes it:
 * round(ceil8(instance / total) * ceil(total in GiB)), ceil8 = up to the next eighth.
 */
unsigned kf_profile_gb(uint64_t instance_mib, uint64_t total_mib);

/* A profile as a config or a pod names it, taken apart. */
struct kf_profile_name {
	unsigned c; /* compute instance slices; 0 when the name has no "Cc." */
	unsigned g, gb;
	char attr[8]; /* as in struct kf_profile */
};

/*
 * "1g.5gb", "1c.3g.20gb", "1g.5gb+me", "1g.24gb-me"; for configs' names also "1g.5gb.me", the form
 * used where '+' may not stand (labels, resource names).  0, or -1 if `s` is no such name.
 */
int kf_profile_name_parse(const char *s, struct kf_profile_name *ret);

/*
 * The profile of `shape` that `name` means: slices, attributes and gb must agree, or, where one
 * product carries two names across firmware (1g.23gb and 1g.24gb), slices, attributes and the
 * memory slices implied by the nearest gb.  Index into shape->profile, or -1.
 */
int kf_shape_find(const struct kf_shape *shape, const struct kf_profile_name *name);

/* The index of the profile with this driver id, or -1. */
int kf_shape_by_id(const struct kf_shape *shape, unsigned id);

/* "mig-1g.5gb.me" from "1g.5gb+me": '+' and ',' become '.', '-' stays.  NVIDIA's rule. */
void kf_profile_resource(const char *name, char *out, unsigned size);
