/*
 * What CUDA counts as a device, a whole GPU or one MIG device, and which of them a program sees.
 * The simulated libcuda and the MPS server agree by this.  All want the machine's lock.
 */
#pragma once

#include "core/state.h"

struct kf_sim_spot {
	uint32_t gpu, gi, ci; /* gi, ci: KF_SIM_NONE off MIG */
};

#define KF_SIM_SPOTS 256

struct kf_sim_spots {
	uint32_t n;
	struct kf_sim_spot at[KF_SIM_SPOTS];
};

/*
 * The devices by a value of CUDA_VISIBLE_DEVICES (NULL: unset).  `dev` is where device nodes are: a
 * GPU without its node there, a slice without its two capability nodes, is not seen.  `base` (NULL:
 * the machine's) is what numbers count in: under MPS, the server's devices.
 *
 * As CUDA does it: names are a number or a prefix of a UUID, the first wrong one ends the list;
 * there is at most one MIG device, and where one can be seen, it is the only device.  0; -1: one is
 * named twice, which CUDA takes for an invalid device.
 */
int kf_sim_spots_see(struct kf_sim_state *s, const char *dev, const char *names,
		     const struct kf_sim_spots *base, struct kf_sim_spots *ret);

/* Is this spot the device of that UUID, or of the one that begins so ("GPU-12ab")?  1 or 0. */
int kf_sim_spot_is(struct kf_sim_state *s, const struct kf_sim_spot *at, const char *uuid);
/* "GPU-..." or "MIG-..." */
const char *kf_sim_spot_uuid(struct kf_sim_state *s, const struct kf_sim_spot *at);
/* "NVIDIA H100 80GB HBM3", with " MIG 3g.40gb" behind it for a slice. */
void kf_sim_spot_name(struct kf_sim_state *s, const struct kf_sim_spot *at, char *out, size_t size);

const struct kf_sim_product *kf_sim_spot_product(struct kf_sim_state *s,
						 const struct kf_sim_spot *at);
/* Compute slices of a MIG device. */
unsigned kf_sim_spot_slices(struct kf_sim_state *s, const struct kf_sim_spot *at);
unsigned kf_sim_spot_sm(struct kf_sim_state *s, const struct kf_sim_spot *at);
/* What programs can have of it, in MiB, when nobody is on it. */
uint64_t kf_sim_spot_mib(struct kf_sim_state *s, const struct kf_sim_spot *at);
/* What is free of that, in MiB.  A slice shares its instance's memory. */
uint64_t kf_sim_spot_free_mib(struct kf_sim *sim, const struct kf_sim_spot *at);
