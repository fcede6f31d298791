/* Compute instances, and the MIG devices that they are (nvml-mig-mps.md 1.10, 2.4). */
#include <stdio.h>
#include <string.h>

#include "core/caps.h"
#include "core/uuid.h"
#include "nvml/library.h"

/* The profile with this id inside a GPU instance: INVALID_ARGUMENT, NOT_SUPPORTED. */
static nvmlReturn_t profile(const struct spot *at, unsigned id, const struct kf_ci_profile **ret)
{
	const struct kf_profile *p = kf_sim_profile_of(at);
	unsigned i;

	WANT(id < NVML_COMPUTE_INSTANCE_PROFILE_COUNT);
	for (i = 0; i < p->n_ci; i++)
		if (p->ci[i].id == id) {
			*ret = &p->ci[i];
			return NVML_SUCCESS;
		}
	return NVML_ERROR_NOT_SUPPORTED;
}

/* Where one may start: side by side, except that the second 3c of seven slices starts at 4. */
static unsigned starts(const struct kf_ci_profile *p, unsigned nth)
{
	return p->slices == 3 && nth == 1 ? 4 : p->slices * nth;
}

static unsigned taken(const struct spot *at)
{
	const struct kf_sim_gi *gi = &at->now->gi[at->gi];
	unsigned i, slices = 0;

	for (i = 0; i < KF_MAX_CIS; i++)
		if (gi->ci[i].used)
			slices |= ((1u << gi->ci[i].size) - 1) << gi->ci[i].start;
	return slices;
}

static int is_free(const struct spot *at, const struct kf_ci_profile *p, unsigned start)
{
	return !(taken(at) & ((1u << p->slices) - 1) << start);
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t gi,
							  unsigned profile_constant,
							  unsigned engine,
							  nvmlComputeInstanceProfileInfo_t *info)
{
	const struct kf_profile *whole;
	const struct kf_ci_profile *p;
	struct spot at;

	LOCKED(nvmlGpuInstanceGetComputeInstanceProfileInfo);
	WANT(info && engine < NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_COUNT);
	TRY(kf_sim_gi(s, gi, &at));
	TRY(profile(&at, profile_constant, &p));
	whole = kf_sim_profile_of(&at);
	*info = (nvmlComputeInstanceProfileInfo_t){
		.id = p->id,
		.sliceCount = p->slices,
		.instanceCount = p->max,
		.multiprocessorCount = p->sm,
		.sharedCopyEngineCount = whole->copy,
		.sharedDecoderCount = whole->engine[KF_ENGINE_DEC],
		.sharedEncoderCount = whole->engine[KF_ENGINE_ENC],
		.sharedJpegCount = whole->engine[KF_ENGINE_JPG],
		.sharedOfaCount = whole->engine[KF_ENGINE_OFA],
	};
	return NVML_SUCCESS;
}

/* v3 is v2 and a word behind it. */
static void info_v3(const struct kf_profile *whole, const struct kf_ci_profile *p,
		    nvmlComputeInstanceProfileInfo_v3_t *info)
{
	info->id = p->id;
	info->sliceCount = p->slices;
	info->instanceCount = p->max;
	info->multiprocessorCount = p->sm;
	info->sharedCopyEngineCount = whole->copy;
	info->sharedDecoderCount = whole->engine[KF_ENGINE_DEC];
	info->sharedEncoderCount = whole->engine[KF_ENGINE_ENC];
	info->sharedJpegCount = whole->engine[KF_ENGINE_JPG];
	info->sharedOfaCount = whole->engine[KF_ENGINE_OFA];
	info->capabilities = strcmp(whole->attr, "+gfx") == 0;
	memset(info->name, 0, sizeof(info->name));
	if (p->slices == whole->slices)
		snprintf(info->name, sizeof(info->name), "MIG %s", whole->name);
	else
		snprintf(info->name, sizeof(info->name), "MIG %uc.%s", p->slices, whole->name);
}

nvmlReturn_t
nvmlGpuInstanceGetComputeInstanceProfileInfoV(nvmlGpuInstance_t gi, unsigned profile_constant,
					      unsigned engine,
					      nvmlComputeInstanceProfileInfo_v2_t *info)
{
	const size_t size_v2 = offsetof(nvmlComputeInstanceProfileInfo_v3_t, capabilities);
	nvmlComputeInstanceProfileInfo_v3_t full = {0};
	const struct kf_ci_profile *p;
	struct spot at;

	LOCKED(nvmlGpuInstanceGetComputeInstanceProfileInfoV);
	WANT(info && engine < NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_COUNT);
	TRY(kf_sim_gi(s, gi, &at));
	TRY(profile(&at, profile_constant, &p));
	full.version = info->version;
	info_v3(kf_sim_profile_of(&at), p, &full);
	switch (info->version) {
	case KF_NVML_VERSION(nvmlComputeInstanceProfileInfo_v2_t, 2):
		memcpy(info, &full, size_v2);
		return NVML_SUCCESS;
	case KF_NVML_VERSION(nvmlComputeInstanceProfileInfo_v3_t, 3):
		memcpy((void *)info, &full, sizeof(full));
		return NVML_SUCCESS;
	default:
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	}
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceRemainingCapacity(nvmlGpuInstance_t gi,
								unsigned profile_id,
								unsigned *count)
{
	const struct kf_ci_profile *p;
	struct spot at;
	unsigned i;

	LOCKED(nvmlGpuInstanceGetComputeInstanceRemainingCapacity);
	WANT(count);
	TRY(kf_sim_gi(s, gi, &at));
	TRY(profile(&at, profile_id, &p));
	*count = 0;
	for (i = 0; i < p->max; i++)
		*count += (unsigned)is_free(&at, p, starts(p, i));
	return NVML_SUCCESS;
}

nvmlReturn_t
nvmlGpuInstanceGetComputeInstancePossiblePlacements(nvmlGpuInstance_t gi, unsigned profile_id,
						    nvmlComputeInstancePlacement_t *place,
						    unsigned *count)
{
	const struct kf_ci_profile *p;
	struct spot at;
	unsigned i;

	LOCKED(nvmlGpuInstanceGetComputeInstancePossiblePlacements);
	WANT(count);
	TRY(kf_sim_gi(s, gi, &at));
	TRY(profile(&at, profile_id, &p));
	if (place && *count < p->max)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	for (i = 0; place && i < p->max; i++)
		place[i] = (nvmlComputeInstancePlacement_t){starts(p, i), p->slices};
	*count = p->max;
	return NVML_SUCCESS;
}

/* The least index that no MIG device of this GPU has: those that go leave holes. */
static unsigned free_index(const struct kf_sim_now *now)
{
	uint64_t used = 0;
	unsigned g, c;

	for (g = 0; g < KF_MAX_INSTANCES; g++)
		for (c = 0; now->gi[g].used && c < KF_MAX_CIS; c++)
			if (now->gi[g].ci[c].used)
				used |= 1ull << now->gi[g].ci[c].index;
	return (unsigned)__builtin_ctzll(~used);
}

/* From R470 a name-based UUID, so that the same place on the same GPU has the same one again. */
static void name_device(const struct kf_sim_state *s, const struct spot *at, unsigned ci, char *out,
			size_t size)
{
	uint8_t space[16];
	char name[32], uuid[37];

	if (s->machine.driver_major < 470) {
		snprintf(out, size, "MIG-%.60s/%u/%u", at->gpu->uuid, at->gi, ci);
		return;
	}
	kf_sim_uuid_bytes(at->gpu->uuid + 4, space);
	snprintf(name, sizeof(name), "%u/%u", at->gi, ci);
	kf_sim_uuid5(space, name, uuid);
	snprintf(out, size, "MIG-%s", uuid);
}

static nvmlReturn_t create(struct kf_sim_state *s, struct spot *at, const struct kf_ci_profile *p,
			   unsigned start, nvmlComputeInstance_t *ret)
{
	struct kf_sim_now *now;
	struct kf_sim_ci *ci;
	unsigned id = 0;

	while (id < KF_MAX_CIS && at->now->gi[at->gi].ci[id].used)
		id++;
	if (id == KF_MAX_CIS)
		return NVML_ERROR_INSUFFICIENT_RESOURCES;
	now = kf_sim_begin(s, at->index);
	ci = &now->gi[at->gi].ci[id];
	*ci = (struct kf_sim_ci){
		.profile = p->id,
		.start = start,
		.size = p->slices,
		.index = free_index(now),
		.generation = ++now->generation,
	};
	name_device(s, at, id, ci->uuid, sizeof(ci->uuid));
	ci->used = 1;
	s->nodes_stale++;
	kf_sim_commit(s, at->index);
	kf_sim_caps_gi(kf_sim_here.dir, s, at->index, at->gi);
	*ret = kf_sim_ci_handle(s, at->index, at->gi, id);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceCreateComputeInstance(nvmlGpuInstance_t gi, unsigned profile_id,
						  nvmlComputeInstance_t *ci)
{
	const struct kf_ci_profile *p;
	struct spot at;
	unsigned i;

	LOCKED(nvmlGpuInstanceCreateComputeInstance);
	WANT(ci);
	TRY(kf_sim_gi(s, gi, &at));
	PRIVILEGED();
	TRY(profile(&at, profile_id, &p));
	for (i = 0; i < p->max; i++)
		if (is_free(&at, p, starts(p, i)))
			return create(s, &at, p, starts(p, i), ci);
	return NVML_ERROR_INSUFFICIENT_RESOURCES;
}

nvmlReturn_t
nvmlGpuInstanceCreateComputeInstanceWithPlacement(nvmlGpuInstance_t gi, unsigned profile_id,
						  const nvmlComputeInstancePlacement_t *place,
						  nvmlComputeInstance_t *ci)
{
	const struct kf_ci_profile *p;
	struct spot at;
	unsigned i;

	LOCKED(nvmlGpuInstanceCreateComputeInstanceWithPlacement);
	WANT(ci && place);
	TRY(kf_sim_gi(s, gi, &at));
	PRIVILEGED();
	TRY(profile(&at, profile_id, &p));
	for (i = 0; i < p->max; i++)
		if (starts(p, i) == place->start && p->slices == place->size)
			return is_free(&at, p, place->start) ? create(s, &at, p, place->start, ci)
							     : NVML_ERROR_INSUFFICIENT_RESOURCES;
	return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlComputeInstanceDestroy(nvmlComputeInstance_t ci)
{
	struct kf_sim_now *now;
	struct spot at;

	LOCKED(nvmlComputeInstanceDestroy);
	TRY(kf_sim_ci(s, ci, &at));
	PRIVILEGED();
	if (kf_sim_process_on(&kf_sim_here, at.index, at.gi, at.ci) ||
	    kf_sim_other_holder(&kf_sim_here, at.index, at.gi, at.ci))
		return NVML_ERROR_IN_USE;
	now = kf_sim_begin(s, at.index);
	now->gi[at.gi].ci[at.ci].used = 0;
	s->nodes_stale++;
	kf_sim_commit(s, at.index);
	kf_sim_release(s, at.index, at.gi, at.ci);
	kf_sim_caps_gi(kf_sim_here.dir, s, at.index, at.gi);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t gi, unsigned profile_id,
						nvmlComputeInstance_t *ci, unsigned *count)
{
	const struct kf_ci_profile *p;
	unsigned i, n = 0;
	struct spot at;

	LOCKED(nvmlGpuInstanceGetComputeInstances);
	WANT(ci && count);
	TRY(kf_sim_gi(s, gi, &at));
	TRY(profile(&at, profile_id, &p));
	for (i = 0; i < KF_MAX_CIS; i++)
		if (at.now->gi[at.gi].ci[i].used && at.now->gi[at.gi].ci[i].profile == p->id)
			ci[n++] = kf_sim_ci_handle(s, at.index, at.gi, i);
	*count = n;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t gi, unsigned id,
						   nvmlComputeInstance_t *ci)
{
	struct spot at;

	LOCKED(nvmlGpuInstanceGetComputeInstanceById);
	WANT(ci);
	TRY(kf_sim_gi(s, gi, &at));
	if (id >= KF_MAX_CIS || !at.now->gi[at.gi].ci[id].used)
		return NVML_ERROR_NOT_FOUND;
	*ci = kf_sim_ci_handle(s, at.index, at.gi, id);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t ci,
					   nvmlComputeInstanceInfo_t *info)
{
	const struct kf_sim_ci *c;
	struct spot at;

	LOCKED(nvmlComputeInstanceGetInfo_v2);
	WANT(info);
	TRY(kf_sim_ci(s, ci, &at));
	c = &at.now->gi[at.gi].ci[at.ci];
	*info = (nvmlComputeInstanceInfo_t){
		.device = kf_sim_device(at.index),
		.gpuInstance = kf_sim_gi_handle(s, at.index, at.gi),
		.id = at.ci,
		.profileId = c->profile,
		.placement = {c->start, c->size},
	};
	return NVML_SUCCESS;
}

/* Before placements: the struct ends behind profileId. */
nvmlReturn_t nvmlComputeInstanceGetInfo(nvmlComputeInstance_t ci, nvmlComputeInstanceInfo_t *info)
{
	nvmlComputeInstanceInfo_t full = {0};

	WANT(info);
	TRY(nvmlComputeInstanceGetInfo_v2(ci, &full));
	memcpy(info, &full, offsetof(nvmlComputeInstanceInfo_t, placement));
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is_mig)
{
	struct spot at;

	LOCKED(nvmlDeviceIsMigDeviceHandle);
	WANT(is_mig);
	TRY(kf_sim_any(s, device, &at));
	*is_mig = (unsigned)at.mig;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *id)
{
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstanceId);
	WANT(id);
	TRY(kf_sim_any(s, device, &at));
	if (!at.mig)
		return NVML_ERROR_NOT_SUPPORTED;
	*id = at.gi;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *id)
{
	struct spot at;

	LOCKED(nvmlDeviceGetComputeInstanceId);
	WANT(id);
	TRY(kf_sim_any(s, device, &at));
	if (!at.mig)
		return NVML_ERROR_NOT_SUPPORTED;
	*id = at.ci;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count)
{
	struct spot at;

	LOCKED(nvmlDeviceGetMaxMigDeviceCount);
	WANT(count);
	TRY(kf_sim_board(s, device, &at));
	*count = at.now->mig_current ? at.product->shape.slices : 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index,
						 nvmlDevice_t *mig)
{
	struct spot at;
	unsigned g, c;

	LOCKED(nvmlDeviceGetMigDeviceHandleByIndex);
	WANT(mig);
	TRY(kf_sim_board(s, device, &at));
	if (!at.product->shape.n)
		return NVML_ERROR_NOT_SUPPORTED;
	if (!at.now->mig_current)
		return NVML_ERROR_NOT_FOUND;
	WANT(index < at.product->shape.slices);
	for (g = 0; g < KF_MAX_INSTANCES; g++)
		for (c = 0; at.now->gi[g].used && c < KF_MAX_CIS; c++) {
			const struct kf_sim_ci *ci = &at.now->gi[g].ci[c];

			if (!ci->used || ci->index != index)
				continue;
			*mig = kf_sim_mig_device(s, at.index, g, c);
			kf_sim_hold(at.index, g, c);
			return NVML_SUCCESS;
		}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t mig, nvmlDevice_t *device)
{
	struct spot at;

	LOCKED(nvmlDeviceGetDeviceHandleFromMigDeviceHandle);
	WANT(device);
	TRY(kf_sim_any(s, mig, &at));
	WANT(at.mig);
	*device = kf_sim_device(at.index);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	const struct kf_profile *p;
	struct spot at;

	LOCKED(nvmlDeviceGetAttributes_v2);
	WANT(attributes);
	TRY(kf_sim_any(s, device, &at));
	if (!at.mig)
		return NVML_ERROR_NOT_SUPPORTED;
	p = kf_sim_profile_of(&at);
	*attributes = (nvmlDeviceAttributes_t){
		.multiprocessorCount = kf_sim_ci_profile_of(&at)->sm,
		.sharedCopyEngineCount = p->copy,
		.sharedDecoderCount = p->engine[KF_ENGINE_DEC],
		.sharedEncoderCount = p->engine[KF_ENGINE_ENC],
		.sharedJpegCount = p->engine[KF_ENGINE_JPG],
		.sharedOfaCount = p->engine[KF_ENGINE_OFA],
		.gpuInstanceSliceCount = p->slices,
		.computeInstanceSliceCount = at.now->gi[at.gi].ci[at.ci].size,
		.memorySizeMB = p->memory_mib,
	};
	return NVML_SUCCESS;
}
