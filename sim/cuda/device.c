/* Devices and what they are. */
#include <stdio.h>
#include <string.h>

#include "core/uuid.h"
#include "cuda/library.h"

static CUresult device(CUdevice number, struct device **ret)
{
	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	*ret = &kf_cuda.device[number];
	return CUDA_SUCCESS;
}

/*
 * In pairs: two SMs are one unit of the hardware (measured: 20 % of 132 are 26, 70 % are 92).  With
 * a share for each context a context that asks for none has all, as soon as there is one.
 */
unsigned kf_cuda_sm(const struct device *d)
{
	unsigned sm = d->sm * d->percent_x10 / 1000 & ~1u;

	if (d->percent_x10 >= 1000 || (kf_cuda.per_context && d->n_contexts))
		return d->sm;
	return sm < 2 ? 2 : sm;
}

CUresult cuDeviceGetCount(int *count)
{
	ENTER();
	WANT(count);
	*count = kf_cuda.n_devices;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *number, int ordinal)
{
	struct device *d;

	ENTER();
	WANT(number);
	TRY(device(ordinal, &d));
	*number = ordinal;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int size, CUdevice number)
{
	struct device *d;

	ENTER();
	WANT(name && size > 0);
	TRY(device(number, &d));
	kf_sim_lock(kf_cuda.sim.state);
	kf_sim_spot_name(kf_cuda.sim.state, &d->spot, name, (size_t)size);
	kf_sim_unlock(kf_cuda.sim.state);
	return CUDA_SUCCESS;
}

static CUresult uuid(CUuuid *out, CUdevice number, int of_the_slice)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	struct kf_sim_spot at;
	struct device *d;

	ENTER();
	WANT(out);
	TRY(device(number, &d));
	at = d->spot;
	if (!of_the_slice)
		at.gi = at.ci = KF_SIM_NONE;
	kf_sim_lock(s);
	kf_sim_uuid_bytes(kf_sim_spot_uuid(s, &at) + 4, out->bytes);
	kf_sim_unlock(s);
	return CUDA_SUCCESS;
}

/* The first form tells the GPU's, the second that of a MIG device. */
CUresult cuDeviceGetUuid(CUuuid *out, CUdevice number)
{
	return uuid(out, number, 0);
}

CUresult cuDeviceGetUuid_v2(CUuuid *out, CUdevice number)
{
	return uuid(out, number, 1);
}

CUresult cuDeviceGetPCIBusId(char *id, int size, CUdevice number)
{
	const struct kf_sim_gpu *gpu;
	struct device *d;

	ENTER();
	WANT(id && size > 0);
	TRY(device(number, &d));
	gpu = &kf_cuda.sim.state->machine.gpu[d->spot.gpu];
	snprintf(id, (size_t)size, "%04X:%02X:%02X.0", gpu->domain, gpu->bus, gpu->device);
	return CUDA_SUCCESS;
}

static int attribute(const struct device *d, int which)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	const struct kf_sim_product *p = kf_sim_spot_product(s, &d->spot);
	const struct kf_sim_gpu *gpu = &s->machine.gpu[d->spot.gpu];

	switch (which) {
	case KF_CUDA_MAX_THREADS_PER_BLOCK:
		return 1024;
	case KF_CUDA_WARP_SIZE:
		return 32;
	case KF_CUDA_CLOCK_RATE:
		return (int)p->max_clock_mhz[1] * 1000;
	case KF_CUDA_MULTIPROCESSOR_COUNT:
		return (int)kf_cuda_sm(d);
	case KF_CUDA_COMPUTE_MODE:
		return (int)kf_sim_now(s, d->spot.gpu)->compute_mode;
	case KF_CUDA_PCI_BUS_ID:
		return (int)gpu->bus;
	case KF_CUDA_PCI_DEVICE_ID:
		return (int)gpu->device;
	case KF_CUDA_PCI_DOMAIN_ID:
		return (int)gpu->domain;
	case KF_CUDA_MEMORY_CLOCK_RATE:
		return (int)p->max_clock_mhz[2] * 1000;
	case KF_CUDA_GLOBAL_MEMORY_BUS_WIDTH:
		return (int)p->bus_width;
	case KF_CUDA_MAX_THREADS_PER_MULTIPROCESSOR:
		return p->cc_major == 7 && p->cc_minor == 5 ? 1024 : 2048;
	case KF_CUDA_COMPUTE_CAPABILITY_MAJOR:
		return p->cc_major;
	case KF_CUDA_COMPUTE_CAPABILITY_MINOR:
		return p->cc_minor;
	case KF_CUDA_UNIFIED_ADDRESSING:
	case KF_CUDA_MANAGED_MEMORY:
	case KF_CUDA_CONCURRENT_MANAGED_ACCESS:
	case KF_CUDA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
	case KF_CUDA_MEMORY_POOLS_SUPPORTED:
		return 1;
	default:
		return 0;
	}
}

CUresult cuDeviceGetAttribute(int *value, int which, CUdevice number)
{
	struct device *d;

	ENTER();
	WANT(value && which > 0 && which < KF_CUDA_ATTRIBUTES);
	TRY(device(number, &d));
	kf_sim_lock(kf_cuda.sim.state);
	*value = attribute(d, which);
	kf_sim_unlock(kf_cuda.sim.state);
	return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice number)
{
	struct device *d;

	ENTER();
	WANT(bytes);
	TRY(device(number, &d));
	kf_sim_lock(kf_cuda.sim.state);
	*bytes = kf_sim_spot_mib(kf_cuda.sim.state, &d->spot) * MIB;
	kf_sim_unlock(kf_cuda.sim.state);
	return CUDA_SUCCESS;
}
