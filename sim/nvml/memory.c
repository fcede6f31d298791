/* Device memory, of GPUs and of MIG devices. */
#include "nvml/library.h"

#define MIB (1ull << 20)
#define KIB (1ull << 10)

/* What an empty MIG device has taken: 44 MiB of an H100's 3g (nvml-mig-mps.md 1.4), by slices. */
#define MIG_USED_MIB(slices) (44u * (slices) / 3)

struct memory {
	uint64_t total, reserved, used; /* bytes; reserved is not part of used */
};

/*
 * A MIG device has its instance's memory, shared by the compute instances in it.  The GPU as a
 * whole has all of it; with MIG on, what it had reserved for itself is in the instances' overhead.
 */
static void measure(struct kf_sim_state *s, const struct spot *at, struct memory *ret)
{
	struct spot whole = *at;
	struct load load;

	if (at->mig) {
		const struct kf_profile *p = kf_sim_profile_of(at);
		unsigned c;

		ret->total = p->memory_mib * MIB;
		ret->reserved = 0;
		ret->used = MIG_USED_MIB(p->slices) * MIB;
		for (c = 0; c < KF_MAX_CIS; c++) {
			whole.ci = c;
			kf_sim_load(&whole, &load);
			ret->used += load.memory_mib * MIB;
		}
		return;
	}
	kf_sim_load(at, &load);
	ret->total = at->product->memory_mib * MIB;
	ret->reserved = at->product->reserved_kib * KIB;
	ret->used = load.memory_mib * MIB;
	if (ret->used > ret->total - ret->reserved)
		ret->used = ret->total - ret->reserved;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
	struct memory m;
	struct spot at;

	LOCKED(nvmlDeviceGetMemoryInfo);
	WANT(memory);
	TRY(kf_sim_any(s, device, &at));
	measure(s, &at, &m);
	memory->total = m.total;
	memory->used = m.used + m.reserved;
	memory->free = m.total - memory->used;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
	struct memory m;
	struct spot at;

	LOCKED(nvmlDeviceGetMemoryInfo_v2);
	WANT(memory);
	if (memory->version != KF_NVML_VERSION(nvmlMemory_v2_t, 2))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(kf_sim_any(s, device, &at));
	measure(s, &at, &m);
	memory->total = m.total;
	memory->reserved = m.reserved;
	memory->used = m.used;
	memory->free = m.total - m.used - m.reserved;
	return NVML_SUCCESS;
}

/* 1664 KiB were in use on both recorded GPUs; a MIG device has its share of the window. */
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
	struct spot at;

	LOCKED(nvmlDeviceGetBAR1MemoryInfo);
	WANT(memory);
	TRY(kf_sim_any(s, device, &at));
	memory->bar1Total = at.product->bar1_mib * MIB;
	memory->bar1Used = 1664 * KIB;
	if (at.mig) {
		memory->bar1Total =
			memory->bar1Total / at.product->shape.units * kf_sim_profile_of(&at)->size;
		memory->bar1Used = 0;
	}
	memory->bar1Free = memory->bar1Total - memory->bar1Used;
	return NVML_SUCCESS;
}

/* R615; a simulated machine has no control groups of its own. */
nvmlReturn_t nvmlDeviceSetMemoryLimits_v1(nvmlDevice_t device, nvmlSetMemoryLimits_v1_t *limits)
{
	UNLOCKED(nvmlDeviceSetMemoryLimits_v1);
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetMemoryLimits_v1(nvmlDevice_t device, nvmlGetMemoryLimits_v1_t *limits)
{
	UNLOCKED(nvmlDeviceGetMemoryLimits_v1);
	return NVML_ERROR_NOT_SUPPORTED;
}
