/* What never changes of a GPU: names, numbers, address, links. */
#include <stdio.h>
#include <string.h>

#include "nvml/getters.h"

/* A MIG device has an index, a name and a UUID of its own; the rest is its GPU's. */
static unsigned index_of(const struct spot *at)
{
	return at->mig ? at->now->gi[at->gi].ci[at->ci].index : at->index;
}

static const char *uuid_of(const struct spot *at)
{
	return at->mig ? at->now->gi[at->gi].ci[at->ci].uuid : at->gpu->uuid;
}

ANY_NUMBER(nvmlDeviceGetIndex, index_of(&at))
ANY_NUMBER(nvmlDeviceGetMinorNumber, at.gpu->minor)
ANY_TEXT(nvmlDeviceGetUUID, uuid_of(&at))
ANY_TEXT(nvmlDeviceGetSerial, at.gpu->serial)
ANY_NUMBER(nvmlDeviceGetBrand, at.product->brand)
ANY_NUMBER(nvmlDeviceGetArchitecture, at.product->architecture)
BOARD_TEXT(nvmlDeviceGetBoardPartNumber, at.product->part)
BOARD_TEXT(nvmlDeviceGetVbiosVersion, at.product->vbios)
BOARD_TEXT(nvmlDeviceGetInforomImageVersion, at.product->inforom)
BOARD_NUMBER(nvmlDeviceGetNumGpuCores, at.product->cores)
BOARD_NUMBER(nvmlDeviceGetMemoryBusWidth, at.product->bus_width)
BOARD_NUMBER(nvmlDeviceGetBoardId, at.gpu->bus << 8)
BOARD_NUMBER(nvmlDeviceGetMultiGpuBoard, 0)
BOARD_NUMBER(nvmlDeviceGetModuleId, at.index + 1)
BOARD_NUMBER(nvmlDeviceGetVirtualizationMode, 1) /* passed through to a virtual machine */
BOARD_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, at.product->pcie_generation)
BOARD_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, at.product->pcie_width)
BOARD_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, at.product->pcie_generation)
BOARD_NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, at.product->pcie_generation)
BOARD_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, at.product->pcie_width)
BOARD_NUMBER(nvmlDeviceGetPcieReplayCounter, 0)
BOARD_NUMBER(nvmlDeviceGetPcieSpeed, 2500u << (at.product->pcie_generation - 1))
NEVER(nvmlDeviceGetNumaNodeId, (nvmlDevice_t device, unsigned *node)) /* coherent parts only */

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
	char text[KF_SIM_TEXT + 64], mig[KF_PROFILE_NAME + 8];
	struct spot at;

	LOCKED(nvmlDeviceGetName);
	TRY(kf_sim_any(s, device, &at));
	if (!at.mig)
		return kf_sim_give(at.product->name, name, length);
	kf_sim_mig_name(&at, mig, sizeof(mig));
	snprintf(text, sizeof(text), "%s MIG %s", at.product->name, mig);
	return kf_sim_give(text, name, length);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
	struct spot at;

	LOCKED(nvmlDeviceGetCudaComputeCapability);
	WANT(major && minor);
	TRY(kf_sim_any(s, device, &at));
	*major = at.product->cc_major;
	*minor = at.product->cc_minor;
	return NVML_SUCCESS;
}

static void fill_pci(const struct spot *at, nvmlPciInfo_t *pci)
{
	const struct kf_sim_gpu *gpu = at->gpu;

	memset(pci, 0, sizeof(*pci));
	pci->domain = gpu->domain;
	pci->bus = gpu->bus;
	pci->device = gpu->device;
	pci->pciDeviceId = at->product->pci_device;
	pci->pciSubSystemId = at->product->pci_subsystem;
	snprintf(pci->busId, sizeof(pci->busId), "%08X:%02X:%02X.0", gpu->domain, gpu->bus,
		 gpu->device);
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0",
		 gpu->domain & 0xFFFF, gpu->bus & 0xFF, gpu->device & 0x1F);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	struct spot at;

	LOCKED(nvmlDeviceGetPciInfo_v3);
	WANT(pci);
	TRY(kf_sim_any(s, device, &at));
	fill_pci(&at, pci);
	return NVML_SUCCESS;
}

static void old_pci(const nvmlPciInfo_t *now, nvmlPciInfo_v2_t *old, size_t size)
{
	nvmlPciInfo_v2_t full = {
		.domain = now->domain,
		.bus = now->bus,
		.device = now->device,
		.pciDeviceId = now->pciDeviceId,
		.pciSubSystemId = now->pciSubSystemId,
	};

	memcpy(full.busId, now->busIdLegacy, sizeof(full.busId));
	memcpy(old, &full, size);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_v2_t *pci)
{
	nvmlPciInfo_t now;
	struct spot at;

	LOCKED(nvmlDeviceGetPciInfo_v2);
	WANT(pci);
	TRY(kf_sim_any(s, device, &at));
	fill_pci(&at, &now);
	old_pci(&now, pci, sizeof(*pci));
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_v2_t *pci)
{
	nvmlPciInfo_t now;
	struct spot at;

	LOCKED(nvmlDeviceGetPciInfo);
	WANT(pci);
	TRY(kf_sim_any(s, device, &at));
	fill_pci(&at, &now);
	old_pci(&now, pci, offsetof(nvmlPciInfo_v2_t, pciSubSystemId));
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
	nvmlPciInfo_t now;
	struct spot at;

	LOCKED(nvmlDeviceGetPciInfoExt);
	WANT(pci);
	if (pci->version != KF_NVML_VERSION(nvmlPciInfoExt_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(kf_sim_any(s, device, &at));
	fill_pci(&at, &now);
	pci->domain = now.domain;
	pci->bus = now.bus;
	pci->device = now.device;
	pci->pciDeviceId = now.pciDeviceId;
	pci->pciSubSystemId = now.pciSubSystemId;
	pci->baseClass = 0x03; /* display controller, 3D */
	pci->subClass = 0x02;
	memcpy(pci->busId, now.busId, sizeof(pci->busId));
	return NVML_SUCCESS;
}

/* Before Turing GPUs had no system processor of their own. */
nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
	struct spot at;

	LOCKED(nvmlDeviceGetGspFirmwareVersion);
	TRY(kf_sim_board(s, device, &at));
	if (at.product->architecture < NVML_DEVICE_ARCH_TURING)
		return NVML_ERROR_NOT_SUPPORTED;
	return kf_sim_give(s->machine.driver, version, NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE);
}

nvmlReturn_t nvmlDeviceGetGspFirmwareMode(nvmlDevice_t device, unsigned *on, unsigned *standard)
{
	struct spot at;

	LOCKED(nvmlDeviceGetGspFirmwareMode);
	WANT(on && standard);
	TRY(kf_sim_board(s, device, &at));
	*on = *standard = at.product->architecture >= NVML_DEVICE_ARCH_TURING;
	return NVML_SUCCESS;
}

/* Does the GPU address the memory of processes by itself?  Assumed: no (neither HMM nor ATS). */
nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, void *mode)
{
	struct {
		unsigned version, value;
	} *info = mode;
	struct spot at;

	LOCKED(nvmlDeviceGetAddressingMode);
	WANT(info);
	if (info->version != KF_NVML_VERSION(*info, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(kf_sim_board(s, device, &at));
	if (at.product->architecture < NVML_DEVICE_ARCH_TURING)
		return NVML_ERROR_NOT_SUPPORTED;
	info->value = 0;
	return NVML_SUCCESS;
}
