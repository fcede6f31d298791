/*
 * MIG mode and GPU instances: the driver's rules (nvml-mig-mps.md 1.9, 2.4).
 *
 * What may stand beside what, and where an instance goes when no place is given, is the planner's
 * own model/geometry.c: one implementation, held against NVIDIA's documented cases by both sides.
 */
#include <string.h>

#include "core/caps.h"
#include "core/machine.h"
#include "model/geometry.h"
#include "nvml/library.h"

static int capable(const struct spot *at)
{
	return at->product->shape.n > 0;
}

/* A GPU that can do MIG; NOT_SUPPORTED for others and for MIG devices. */
static nvmlReturn_t mig_gpu(struct kf_sim_state *s, nvmlDevice_t device, struct spot *at)
{
	TRY(kf_sim_board(s, device, at));
	return capable(at) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* One with MIG on. */
static nvmlReturn_t mig_on(struct kf_sim_state *s, nvmlDevice_t device, struct spot *at)
{
	TRY(mig_gpu(s, device, at));
	return at->now->mig_current ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* One that says what it could do: MIG on, or Hopper and later. */
static nvmlReturn_t mig_readable(struct kf_sim_state *s, nvmlDevice_t device, struct spot *at)
{
	TRY(mig_gpu(s, device, at));
	return at->now->mig_current || at->product->mig_off_info ? NVML_SUCCESS
								 : NVML_ERROR_NOT_SUPPORTED;
}

/* The profile with this constant or driver id, as far as this driver knows it; NULL. */
static const struct kf_profile *profile_by(const struct kf_sim_state *s, const struct spot *at,
					   unsigned constant, unsigned id)
{
	const struct kf_shape *shape = &at->product->shape;
	unsigned i;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];

		if (p->constant < kf_sim_profile_count(s->machine.driver_major) &&
		    (p->constant == constant || p->id == id))
			return p;
	}
	return NULL;
}

static const struct kf_profile *profile_by_id(const struct kf_sim_state *s, const struct spot *at,
					      unsigned id)
{
	return profile_by(s, at, KF_SIM_NONE, id);
}

/* The layout as the planner sees it. */
static void geometry(const struct spot *at, struct kf_geometry *ret)
{
	unsigned i;

	ret->n = 0;
	for (i = 0; i < KF_MAX_INSTANCES; i++)
		if (at->now->gi[i].used)
			ret->at[ret->n++] = (struct kf_placed){
				.profile = (uint8_t)at->now->gi[i].profile,
				.start = (uint8_t)at->now->gi[i].start,
			};
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
	struct spot at;

	LOCKED(nvmlDeviceGetMigMode);
	WANT(current && pending);
	TRY(mig_gpu(s, device, &at));
	*current = at.now->mig_current;
	*pending = at.now->mig_pending;
	return NVML_SUCCESS;
}

static int has_instances(const struct spot *at)
{
	unsigned i;

	for (i = 0; i < KF_MAX_INSTANCES; i++)
		if (at->now->gi[i].used)
			return 1;
	return 0;
}

/*
 * Before Hopper the mode changes with a reset of the GPU, which the driver does by itself when
 * nobody else has it open; else the change stays pending and the call succeeds all the same.
 */
static nvmlReturn_t set_mode(struct kf_sim_state *s, struct spot *at, unsigned mode,
			     nvmlReturn_t *activation)
{
	int busy = kf_sim_process_on(&kf_sim_here, at->index, KF_SIM_NONE, KF_SIM_NONE) != 0;
	struct kf_sim_now *now;

	*activation = NVML_SUCCESS;
	if (mode == at->now->mig_current && mode == at->now->mig_pending)
		return NVML_SUCCESS;
	if (at->product->resetless && busy)
		return *activation = NVML_ERROR_IN_USE;
	if (!at->product->resetless && mode != at->now->mig_current &&
	    (busy || kf_sim_other_client(&kf_sim_here)))
		*activation = NVML_ERROR_IN_USE;
	now = kf_sim_begin(s, at->index);
	now->mig_pending = mode;
	if (*activation == NVML_SUCCESS)
		now->mig_current = mode;
	if (now->mig_current)
		now->compute_mode = 0;
	kf_sim_commit(s, at->index);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetMigMode(nvmlDevice_t device, unsigned mode, nvmlReturn_t *activation)
{
	struct spot at;

	LOCKED(nvmlDeviceSetMigMode);
	WANT(activation && mode <= NVML_DEVICE_MIG_ENABLE);
	TRY(mig_gpu(s, device, &at));
	PRIVILEGED();
	if (mode == NVML_DEVICE_MIG_DISABLE && has_instances(&at))
		return *activation = NVML_ERROR_IN_USE;
	return set_mode(s, &at, mode, activation);
}

/*
 * The profile of a constant that the driver knows: NOT_SUPPORTED on other products.  Past the last
 * one it is INVALID_ARGUMENT whatever the mode: callers count up until they are told so.
 */
static nvmlReturn_t constant(struct kf_sim_state *s, const struct spot *at, unsigned profile,
			     const struct kf_profile **ret)
{
	*ret = profile_by(s, at, profile, KF_SIM_NONE);
	return *ret ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* What all versions of nvmlGpuInstanceProfileInfo_t say. */
#define INFO_FIELDS(p)                                                                             \
	.id = (p)->id, .sliceCount = (p)->slices, .instanceCount = (p)->max,                       \
	.multiprocessorCount = (p)->sm, .copyEngineCount = (p)->copy,                              \
	.decoderCount = (p)->engine[KF_ENGINE_DEC], .encoderCount = (p)->engine[KF_ENGINE_ENC],    \
	.jpegCount = (p)->engine[KF_ENGINE_JPG], .ofaCount = (p)->engine[KF_ENGINE_OFA],           \
	.memorySizeMB = (p)->memory_mib

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned profile,
						 nvmlGpuInstanceProfileInfo_t *info)
{
	const struct kf_profile *p;
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstanceProfileInfo);
	WANT(info && profile < kf_sim_profile_count(s->machine.driver_major));
	TRY(mig_readable(s, device, &at));
	TRY(constant(s, &at, profile, &p));
	*info = (nvmlGpuInstanceProfileInfo_t){
		INFO_FIELDS(p),
	};
	return NVML_SUCCESS;
}

static void info_v2(const struct kf_profile *p, nvmlGpuInstanceProfileInfo_v2_t *info)
{
	*info = (nvmlGpuInstanceProfileInfo_v2_t){
		.version = info->version,
		INFO_FIELDS(p),
	};
	memcpy(info->name, "MIG ", 4);
	memcpy(info->name + 4, p->name, sizeof(p->name));
}

static void info_v3(const struct kf_profile *p, nvmlGpuInstanceProfileInfo_v3_t *info)
{
	*info = (nvmlGpuInstanceProfileInfo_v3_t){
		.version = info->version,
		INFO_FIELDS(p),
		.capabilities = strcmp(p->attr, "+gfx") == 0 ? 2 : 0,
	};
	memcpy(info->name, "MIG ", 4);
	memcpy(info->name + 4, p->name, sizeof(p->name));
}

/* v2 and v3 have one size and two layouts. */
static nvmlReturn_t info_versioned(const struct kf_profile *p,
				   nvmlGpuInstanceProfileInfo_v2_t *info)
{
	switch (info->version) {
	case KF_NVML_VERSION(nvmlGpuInstanceProfileInfo_v2_t, 2):
		info_v2(p, info);
		return NVML_SUCCESS;
	case KF_NVML_VERSION(nvmlGpuInstanceProfileInfo_v3_t, 3):
		info_v3(p, (nvmlGpuInstanceProfileInfo_v3_t *)info);
		return NVML_SUCCESS;
	default:
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	}
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned profile,
						  nvmlGpuInstanceProfileInfo_v2_t *info)
{
	const struct kf_profile *p;
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstanceProfileInfoV);
	WANT(info && profile < kf_sim_profile_count(s->machine.driver_major));
	TRY(mig_readable(s, device, &at));
	TRY(constant(s, &at, profile, &p));
	return info_versioned(p, info);
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoByIdV(nvmlDevice_t device, unsigned profile_id,
						      nvmlGpuInstanceProfileInfo_v2_t *info)
{
	const struct kf_profile *p;
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstanceProfileInfoByIdV);
	if (s->machine.driver_major < 580)
		return NVML_ERROR_FUNCTION_NOT_FOUND;
	WANT(info);
	TRY(mig_readable(s, device, &at));
	p = profile_by_id(s, &at, profile_id);
	return p ? info_versioned(p, info) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device, unsigned profile_id,
							   nvmlGpuInstancePlacement_t *at,
							   unsigned *count)
{
	const struct kf_profile *p;
	unsigned start, n = 0;
	struct spot spot;

	LOCKED(nvmlDeviceGetGpuInstancePossiblePlacements_v2);
	WANT(count);
	TRY(mig_gpu(s, device, &spot));
	p = profile_by_id(s, &spot, profile_id);
	WANT(p);
	if (at && *count < (unsigned)__builtin_popcount(p->starts))
		return NVML_ERROR_INSUFFICIENT_SIZE;
	for (start = 0; start < 32; start++)
		if (p->starts >> start & 1) {
			if (at)
				at[n] = (nvmlGpuInstancePlacement_t){start, p->size};
			n++;
		}
	*count = n;
	return NVML_SUCCESS;
}

/* Places of one profile do not overlap, so adding at each that is free gives the number. */
nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned profile_id,
						       unsigned *count)
{
	const struct kf_profile *p;
	struct kf_geometry g;
	struct spot at;
	unsigned start;

	LOCKED(nvmlDeviceGetGpuInstanceRemainingCapacity);
	WANT(count);
	TRY(mig_readable(s, device, &at));
	p = profile_by_id(s, &at, profile_id);
	WANT(p);
	geometry(&at, &g);
	*count = 0;
	for (start = 0; start < 32; start++) {
		struct kf_placed one = {(uint8_t)(p - at.product->shape.profile), (uint8_t)start};

		if (!(p->starts >> start & 1) || g.n == KF_MAX_INSTANCES ||
		    !kf_geometry_fits(&at.product->shape, &g, one))
			continue;
		g.at[g.n++] = one;
		++*count;
	}
	return NVML_SUCCESS;
}

/*
 * Ids are those of a heap over the placement units: the whole is 0, halves are 1 and 2, quarters 3
 * to 6, eighths 7 to 14.  Some A100 80 GB list the halves the other way round.
 */
static unsigned instance_id(const struct spot *at, const struct kf_profile *p, unsigned start)
{
	unsigned parts = at->product->shape.units / p->size;
	unsigned nth = start / p->size;

	if (parts == 2 && at->product->swap_halves)
		nth = 1 - nth;
	return parts - 1 + nth;
}

static nvmlReturn_t create(struct kf_sim_state *s, struct spot *at, const struct kf_profile *p,
			   unsigned start, nvmlGpuInstance_t *ret)
{
	unsigned id = instance_id(at, p, start);
	struct kf_sim_now *now;

	if (id >= KF_MAX_INSTANCES || at->now->gi[id].used)
		return NVML_ERROR_INSUFFICIENT_RESOURCES;
	now = kf_sim_begin(s, at->index);
	memset(&now->gi[id], 0, sizeof(now->gi[id]));
	now->gi[id].profile = (uint32_t)(p - at->product->shape.profile);
	now->gi[id].start = start;
	now->gi[id].size = p->size;
	now->gi[id].generation = ++now->generation;
	now->gi[id].used = 1;
	s->nodes_stale++;
	kf_sim_commit(s, at->index);
	kf_sim_caps_gi(kf_sim_here.dir, s, at->index, id);
	*ret = kf_sim_gi_handle(s, at->index, id);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceCreateGpuInstance(nvmlDevice_t device, unsigned profile_id,
					 nvmlGpuInstance_t *gi)
{
	const struct kf_profile *p;
	struct kf_geometry g;
	struct spot at;
	int start;

	LOCKED(nvmlDeviceCreateGpuInstance);
	WANT(gi);
	TRY(mig_on(s, device, &at));
	PRIVILEGED();
	p = profile_by_id(s, &at, profile_id);
	WANT(p);
	geometry(&at, &g);
	start = kf_geometry_default_start(&at.product->shape, &g,
					  (unsigned)(p - at.product->shape.profile));
	if (start < 0)
		return NVML_ERROR_INSUFFICIENT_RESOURCES;
	return create(s, &at, p, (unsigned)start, gi);
}

nvmlReturn_t nvmlDeviceCreateGpuInstanceWithPlacement(nvmlDevice_t device, unsigned profile_id,
						      const nvmlGpuInstancePlacement_t *place,
						      nvmlGpuInstance_t *gi)
{
	const struct kf_profile *p;
	struct kf_placed one;
	struct kf_geometry g;
	struct spot at;

	LOCKED(nvmlDeviceCreateGpuInstanceWithPlacement);
	WANT(gi && place);
	TRY(mig_on(s, device, &at));
	PRIVILEGED();
	p = profile_by_id(s, &at, profile_id);
	WANT(p);
	WANT(place->start < 32 && (p->starts >> place->start & 1) && place->size == p->size);
	geometry(&at, &g);
	one.profile = (uint8_t)(p - at.product->shape.profile);
	one.start = (uint8_t)place->start;
	if (!kf_geometry_fits(&at.product->shape, &g, one))
		return NVML_ERROR_INSUFFICIENT_RESOURCES;
	return create(s, &at, p, place->start, gi);
}

nvmlReturn_t nvmlGpuInstanceDestroy(nvmlGpuInstance_t gi)
{
	struct kf_sim_now *now;
	struct spot at;
	unsigned c;

	LOCKED(nvmlGpuInstanceDestroy);
	TRY(kf_sim_gi(s, gi, &at));
	PRIVILEGED();
	for (c = 0; c < KF_MAX_CIS; c++)
		if (at.now->gi[at.gi].ci[c].used)
			return NVML_ERROR_IN_USE;
	if (kf_sim_process_on(&kf_sim_here, at.index, at.gi, KF_SIM_NONE))
		return NVML_ERROR_IN_USE;
	now = kf_sim_begin(s, at.index);
	now->gi[at.gi].used = 0;
	s->nodes_stale++;
	kf_sim_commit(s, at.index);
	kf_sim_caps_gi(kf_sim_here.dir, s, at.index, at.gi);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned profile_id,
				       nvmlGpuInstance_t *gi, unsigned *count)
{
	const struct kf_profile *p;
	unsigned i, n = 0;
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstances);
	WANT(gi && count);
	TRY(mig_on(s, device, &at));
	p = profile_by_id(s, &at, profile_id);
	WANT(p);
	for (i = 0; i < KF_MAX_INSTANCES; i++)
		if (at.now->gi[i].used && &at.product->shape.profile[at.now->gi[i].profile] == p)
			gi[n++] = kf_sim_gi_handle(s, at.index, i);
	*count = n;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned id, nvmlGpuInstance_t *gi)
{
	struct spot at;

	LOCKED(nvmlDeviceGetGpuInstanceById);
	WANT(gi);
	TRY(mig_on(s, device, &at));
	if (id >= KF_MAX_INSTANCES || !at.now->gi[id].used)
		return NVML_ERROR_NOT_FOUND;
	*gi = kf_sim_gi_handle(s, at.index, id);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t gi, nvmlGpuInstanceInfo_t *info)
{
	const struct kf_sim_gi *g;
	struct spot at;

	LOCKED(nvmlGpuInstanceGetInfo);
	WANT(info);
	TRY(kf_sim_gi(s, gi, &at));
	g = &at.now->gi[at.gi];
	*info = (nvmlGpuInstanceInfo_t){
		.device = kf_sim_device(at.index),
		.id = at.gi,
		.profileId = kf_sim_profile_of(&at)->id,
		.placement = {g->start, g->size},
	};
	return NVML_SUCCESS;
}
