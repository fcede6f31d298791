/*
 * Handles.  They are numbers, not pointers: which GPU, which instance, and the instance's
 * generation, so that one of an instance that is gone is never taken for its successor, and one of
 * a GPU outlives nvmlShutdown, as programs expect.
 */
#include <stdio.h>
#include <string.h>

#include "nvml/library.h"

static_assert(sizeof(void *) == 8, "handles are made for 64 bits");

enum kind { DEVICE, MIG_DEVICE, GPU_INSTANCE, COMPUTE_INSTANCE };

#define MAGIC 0x4B53ull /* in the top 16 bits: no pointer of a program looks like that */

static void *make(enum kind kind, unsigned gpu, unsigned gi, unsigned ci, uint32_t generation)
{
	uint64_t h = MAGIC << 48 | (uint64_t)generation << 16 | (uint64_t)kind << 12 |
		     (uint64_t)gpu << 7 | gi << 3 | ci;

	return (void *)(uintptr_t)h;
}

/* 0, or -1: no handle of ours. */
static int open_handle(const void *handle, enum kind *kind, struct spot *at, uint32_t *generation)
{
	uint64_t h = (uint64_t)(uintptr_t)handle;

	if (h >> 48 != MAGIC)
		return -1;
	*kind = h >> 12 & 3;
	*generation = (uint32_t)(h >> 16);
	memset(at, 0, sizeof(*at));
	at->index = h >> 7 & 31;
	at->gi = h >> 3 & 15;
	at->ci = h & 7;
	return at->gi < KF_MAX_INSTANCES ? 0 : -1;
}

nvmlDevice_t kf_sim_device(unsigned gpu)
{
	return make(DEVICE, gpu, 0, 0, 0);
}

nvmlDevice_t kf_sim_mig_device(struct kf_sim_state *s, unsigned gpu, unsigned gi, unsigned ci)
{
	return make(MIG_DEVICE, gpu, gi, ci, kf_sim_now(s, gpu)->gi[gi].ci[ci].generation);
}

nvmlGpuInstance_t kf_sim_gi_handle(struct kf_sim_state *s, unsigned gpu, unsigned gi)
{
	return make(GPU_INSTANCE, gpu, gi, 0, kf_sim_now(s, gpu)->gi[gi].generation);
}

nvmlComputeInstance_t kf_sim_ci_handle(struct kf_sim_state *s, unsigned gpu, unsigned gi,
				       unsigned ci)
{
	return make(COMPUTE_INSTANCE, gpu, gi, ci, kf_sim_now(s, gpu)->gi[gi].ci[ci].generation);
}

void kf_sim_spot(struct kf_sim_state *s, unsigned gpu, struct spot *ret)
{
	ret->index = gpu;
	ret->gpu = &s->machine.gpu[gpu];
	ret->product = &s->machine.product[ret->gpu->product];
	ret->now = kf_sim_now(s, gpu);
}

/* The GPU of any handle. */
static nvmlReturn_t find(struct kf_sim_state *s, const void *handle, enum kind *kind,
			 struct spot *ret, uint32_t *generation)
{
	if (open_handle(handle, kind, ret, generation) < 0 || ret->index >= s->machine.n_gpus)
		return NVML_ERROR_INVALID_ARGUMENT;
	kf_sim_spot(s, ret->index, ret);
	return ret->now->lost ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

static int ci_is(const struct spot *at, uint32_t generation)
{
	const struct kf_sim_gi *gi = &at->now->gi[at->gi];

	return gi->used && gi->ci[at->ci].used && gi->ci[at->ci].generation == generation;
}

nvmlReturn_t kf_sim_any(struct kf_sim_state *s, nvmlDevice_t device, struct spot *ret)
{
	uint32_t generation;
	enum kind kind;

	TRY(find(s, device, &kind, ret, &generation));
	WANT(kind == DEVICE || (kind == MIG_DEVICE && ci_is(ret, generation)));
	ret->mig = kind == MIG_DEVICE;
	return NVML_SUCCESS;
}

nvmlReturn_t kf_sim_board(struct kf_sim_state *s, nvmlDevice_t device, struct spot *ret)
{
	TRY(kf_sim_any(s, device, ret));
	return ret->mig ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

nvmlReturn_t kf_sim_gi(struct kf_sim_state *s, nvmlGpuInstance_t handle, struct spot *ret)
{
	uint32_t generation;
	enum kind kind;

	TRY(find(s, handle, &kind, ret, &generation));
	WANT(kind == GPU_INSTANCE && ret->now->gi[ret->gi].used &&
	     ret->now->gi[ret->gi].generation == generation);
	return NVML_SUCCESS;
}

nvmlReturn_t kf_sim_ci(struct kf_sim_state *s, nvmlComputeInstance_t handle, struct spot *ret)
{
	uint32_t generation;
	enum kind kind;

	TRY(find(s, handle, &kind, ret, &generation));
	WANT(kind == COMPUTE_INSTANCE && ci_is(ret, generation));
	return NVML_SUCCESS;
}

void kf_sim_mig_name(const struct spot *at, char *out, unsigned size)
{
	const struct kf_profile *p = kf_sim_profile_of(at);
	unsigned slices = at->now->gi[at->gi].ci[at->ci].size;

	if (slices == p->slices)
		snprintf(out, size, "%s", p->name);
	else
		snprintf(out, size, "%uc.%s", slices, p->name);
}

nvmlReturn_t kf_sim_give(const char *text, char *out, unsigned length)
{
	WANT(out);
	if (strlen(text) >= length)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	memcpy(out, text, strlen(text) + 1);
	return NVML_SUCCESS;
}

void kf_sim_hold(unsigned gpu, unsigned gi, unsigned ci)
{
	if (kf_sim_here.client != KF_SIM_NONE)
		kf_sim_here.state->client[kf_sim_here.client].holds[gpu][gi] |= (uint8_t)(1u << ci);
}

void kf_sim_release(struct kf_sim_state *s, unsigned gpu, unsigned gi, unsigned ci)
{
	unsigned i;

	for (i = 0; i < KF_SIM_CLIENTS; i++)
		s->client[i].holds[gpu][gi] &= (uint8_t) ~(1u << ci);
}
