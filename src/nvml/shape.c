/* Profile tables; see shape.h. */
#include "nvml/shape.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/node.h"
#include "nvml/nvml.h"

#define MAX_CONSTANT 64 /* more than twice what any driver knows */

/* The attribute that a profile constant carries in its name. */
static const char *attribute_of(unsigned constant)
{
	switch (constant) {
	case NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1:
	case NVML_GPU_INSTANCE_PROFILE_2_SLICE_REV1:
		return "+me";
	case NVML_GPU_INSTANCE_PROFILE_1_SLICE_GFX:
	case NVML_GPU_INSTANCE_PROFILE_2_SLICE_GFX:
	case NVML_GPU_INSTANCE_PROFILE_4_SLICE_GFX:
	case NVML_GPU_INSTANCE_PROFILE_3_SLICE_GFX:
		return "+gfx";
	case NVML_GPU_INSTANCE_PROFILE_1_SLICE_NO_ME:
	case NVML_GPU_INSTANCE_PROFILE_2_SLICE_NO_ME:
		return "-me";
	case NVML_GPU_INSTANCE_PROFILE_1_SLICE_ALL_ME:
	case NVML_GPU_INSTANCE_PROFILE_2_SLICE_ALL_ME:
		return "+me.all";
	default:
		return "";
	}
}

void kf_shape_ci_table(struct kf_profile *p)
{
	static const struct {
		unsigned slices, constant;
	} row[] = {{1, 0}, {2, 1}, {3, 2}, {4, 3}, {6, 6}, {7, 4}, {8, 5}};
	unsigned i;

	p->n_ci = 0;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		unsigned s = row[i].slices;
		struct kf_ci_profile *ci;

		/* 3c and 4c as parts exist in 7g only; 4g has none of 3c */
		if (s > p->slices || (s > 2 && s != p->slices && (p->slices < 7 || s > 4)))
			continue;
		ci = &p->ci[p->n_ci++];
		ci->constant = row[i].constant;
		ci->id = row[i].constant;
		ci->slices = s;
		ci->max = p->slices / s;
		ci->sm = s == p->slices ? p->sm : 0;
	}
}

/* The legal places of a profile; NOT_SUPPORTED leaves it without any. */
static int read_placements(const struct kf_nvml *nv, nvmlDevice_t device, struct kf_profile *p,
			   struct kf_error *err)
{
	nvmlGpuInstancePlacement_t at[32];
	unsigned n = 0, i;
	nvmlReturn_t r;

	r = nv->nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, p->id, NULL, &n);
	if (r == NVML_SUCCESS && n > sizeof(at) / sizeof(at[0]))
		return kf_fail(err, KF_E_DRIVER, 0,
			       "profile %u: the driver lists %u placements, more than any GPU has",
			       p->id, n);
	if (r == NVML_SUCCESS && n > 0)
		r = nv->nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, p->id, at, &n);
	if (r == NVML_ERROR_NOT_SUPPORTED || r == NVML_ERROR_NO_PERMISSION ||
	    r == NVML_ERROR_FUNCTION_NOT_FOUND)
		return 0;
	if (r != NVML_SUCCESS)
		return kf_nvml_fail(err, nv, r, "list the placements of profile %u", p->id);
	for (i = 0; i < n; i++) {
		if (at[i].start > 31 || at[i].size == 0 || at[i].start + at[i].size > 32)
			return kf_fail(err, KF_E_DRIVER, 0,
				       "profile %u: the driver lists a placement %u:%u", p->id,
				       at[i].start, at[i].size);
		p->starts |= 1u << at[i].start;
		p->size = at[i].size;
	}
	return 0;
}

static void take_info(struct kf_profile *p, unsigned constant,
		      const nvmlGpuInstanceProfileInfo_t *info, uint64_t total_mib)
{
	memset(p, 0, sizeof(*p));
	p->constant = constant;
	p->id = info->id;
	p->slices = info->sliceCount;
	p->memory_mib = info->memorySizeMB;
	p->gb = kf_profile_gb(info->memorySizeMB, total_mib);
	p->sm = info->multiprocessorCount;
	p->copy = info->copyEngineCount;
	p->engine[KF_ENGINE_DEC] = info->decoderCount;
	p->engine[KF_ENGINE_ENC] = info->encoderCount;
	p->engine[KF_ENGINE_JPG] = info->jpegCount;
	p->engine[KF_ENGINE_OFA] = info->ofaCount;
	p->max = info->instanceCount;
	snprintf(p->attr, sizeof(p->attr), "%s", attribute_of(constant));
	snprintf(p->name, sizeof(p->name), "%ug.%ugb%s", p->slices, p->gb, attribute_of(constant));
	kf_shape_ci_table(p);
}

/* What the whole GPU has is what its most generous profile has. */
static void sum_up(struct kf_shape *shape)
{
	unsigned i, e;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];
		unsigned end = p->starts ? 32u - (unsigned)__builtin_clz(p->starts) : 0;

		if (end && end - 1 + p->size > shape->units)
			shape->units = end - 1 + p->size;
		if (p->slices > shape->slices)
			shape->slices = p->slices;
		for (e = 0; e < KF_N_ENGINES; e++)
			if (p->engine[e] > shape->engine[e])
				shape->engine[e] = p->engine[e];
	}
}

int kf_shape_read(const struct kf_nvml *nv, nvmlDevice_t device, struct kf_gpu *gpu,
		  struct kf_error *err)
{
	struct kf_shape *shape = &gpu->shape;
	unsigned constant;

	memset(shape, 0, sizeof(*shape));
	/* Beyond the constants that a driver knows it answers INVALID_ARGUMENT, which ends the
	 * list; with MIG off an Ampere answers NOT_SUPPORTED to each and any. */
	for (constant = 0; constant < MAX_CONSTANT && shape->n < KF_MAX_PROFILES; constant++) {
		struct kf_profile *p = &shape->profile[shape->n];
		nvmlGpuInstanceProfileInfo_t info = {0};
		nvmlReturn_t r;

		r = nv->nvmlDeviceGetGpuInstanceProfileInfo(device, constant, &info);
		if (r == NVML_ERROR_INVALID_ARGUMENT || r == NVML_ERROR_FUNCTION_NOT_FOUND)
			break;
		if (r == NVML_ERROR_NOT_SUPPORTED)
			continue;
		if (r != NVML_SUCCESS)
			return kf_nvml_fail(err, nv, r, "read profile %u", constant);
		take_info(p, constant, &info, gpu->memory_mib);
		if (read_placements(nv, device, p, err) < 0)
			return -1;
		if (p->starts)
			shape->n++;
	}
	sum_up(shape);
	return 0;
}
