/*
 * Inside the simulated driver library: how a call finds its machine and what a handle means.
 *
 * Each exported call has the prototype that KF_NVML_CALLS gives it.  A body begins with LOCKED or
 * UNLOCKED, which refuse the call as the driver would (not initialised, driver gone, a fault asked
 * for) and count it.
 */
#pragma once

#include "base/own.h"
#include "core/calls.h"
#include "core/state.h"

#define EXPORT __attribute__((visibility("default")))

/* The prototypes: defining one of them with another signature does not compile. */
EXPORT const char *nvmlErrorString(nvmlReturn_t r);
EXPORT nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *id);
#define X(name, parameters) EXPORT nvmlReturn_t name parameters;
KF_NVML_CALLS(X)
KF_SIM_MORE(X)
KF_SIM_OLD(X)
#undef X

/* The machine of this process.  Not NULL once a call has been let in. */
extern struct kf_sim kf_sim_here;

/* Count the call; may it go on?  With `lock`, *state is then locked and must be unlocked. */
nvmlReturn_t kf_sim_enter(enum kf_sim_call call, int lock, struct kf_sim_state **state);

/* The end of a locked call: unlocks, unless it was not let in. */
void kf_sim_leave(struct kf_sim_state **state);

/* Open a call that reads or changes state: `s` is the state, locked until the function returns. */
#define LOCKED(name)                                                                               \
	kf_auto(kf_sim_leave) struct kf_sim_state *s = NULL;                                       \
	do {                                                                                       \
		nvmlReturn_t entered = kf_sim_enter(KF_CALL_##name, 1, &s);                        \
		if (entered != NVML_SUCCESS)                                                       \
			return entered;                                                            \
	} while (0)

/* Open a call that needs no state, or locks it later. */
#define UNLOCKED(name)                                                                             \
	do {                                                                                       \
		struct kf_sim_state *unused;                                                       \
		nvmlReturn_t entered = kf_sim_enter(KF_CALL_##name, 0, &unused);                   \
		if (entered != NVML_SUCCESS)                                                       \
			return entered;                                                            \
	} while (0)

/* Leave the function with this code unless it is success. */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		nvmlReturn_t tried = (call);                                                       \
		if (tried != NVML_SUCCESS)                                                         \
			return tried;                                                              \
	} while (0)

/* The two tests at the head of most calls. */
#define WANT(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return NVML_ERROR_INVALID_ARGUMENT;                                        \
	} while (0)

/* What a handle stands for. */
struct spot {
	unsigned index; /* of the GPU */
	int mig;	/* a MIG device: gi and ci are set */
	unsigned gi, ci;
	const struct kf_sim_gpu *gpu;
	const struct kf_sim_product *product;
	struct kf_sim_now *now;
};

nvmlDevice_t kf_sim_device(unsigned gpu);
nvmlDevice_t kf_sim_mig_device(struct kf_sim_state *s, unsigned gpu, unsigned gi, unsigned ci);
nvmlGpuInstance_t kf_sim_gi_handle(struct kf_sim_state *s, unsigned gpu, unsigned gi);
nvmlComputeInstance_t kf_sim_ci_handle(struct kf_sim_state *s, unsigned gpu, unsigned gi,
				       unsigned ci);

/* Fills in gpu, product and now of the GPU with this index. */
void kf_sim_spot(struct kf_sim_state *s, unsigned gpu, struct spot *ret);
/* A GPU or a MIG device: INVALID_ARGUMENT if it is none (any more), GPU_IS_LOST. */
nvmlReturn_t kf_sim_any(struct kf_sim_state *s, nvmlDevice_t device, struct spot *ret);
/* A GPU; a MIG device is NOT_SUPPORTED. */
nvmlReturn_t kf_sim_board(struct kf_sim_state *s, nvmlDevice_t device, struct spot *ret);
nvmlReturn_t kf_sim_gi(struct kf_sim_state *s, nvmlGpuInstance_t handle, struct spot *ret);
nvmlReturn_t kf_sim_ci(struct kf_sim_state *s, nvmlComputeInstance_t handle, struct spot *ret);

/* The instances' profiles. */
static inline const struct kf_profile *kf_sim_profile_of(const struct spot *at)
{
	return &at->product->shape.profile[at->now->gi[at->gi].profile];
}

static inline const struct kf_ci_profile *kf_sim_ci_profile_of(const struct spot *at)
{
	const struct kf_profile *p = kf_sim_profile_of(at);
	unsigned i;

	for (i = 0; i + 1 < p->n_ci; i++)
		if (p->ci[i].id == at->now->gi[at->gi].ci[at->ci].profile)
			break;
	return &p->ci[i];
}

/* "3g.20gb", or "1c.3g.20gb" where the compute instance is a part. */
void kf_sim_mig_name(const struct spot *at, char *out, unsigned size);

/* Copy a string to the caller: INSUFFICIENT_SIZE if it does not fit. */
nvmlReturn_t kf_sim_give(const char *text, char *out, unsigned length);

/* Only root, or the owner of the simulated machine, may change it. */
#define PRIVILEGED()                                                                               \
	do {                                                                                       \
		if (!kf_sim_here.privileged)                                                       \
			return NVML_ERROR_NO_PERMISSION;                                           \
	} while (0)

/* Remember that this program has a handle of the MIG device: it then counts as in use. */
void kf_sim_hold(unsigned gpu, unsigned gi, unsigned ci);
/* Nobody holds it any more: it is gone. */
void kf_sim_release(struct kf_sim_state *s, unsigned gpu, unsigned gi, unsigned ci);

/* Processes on the spot, and what they use, summed up. */
struct load {
	unsigned n;
	uint64_t memory_mib;
	unsigned sm, busy, dram, enc, dec; /* per cent, at most 100 */
};
void kf_sim_load(const struct spot *at, struct load *ret);

/* Milliwatts drawn now, millijoules since boot, degrees Celsius. */
unsigned kf_sim_power_mw(const struct spot *at);
uint64_t kf_sim_energy_mj(const struct spot *at);
unsigned kf_sim_celsius(const struct spot *at);
