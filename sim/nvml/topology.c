/* Where a GPU is: CPUs, memory nodes, other GPUs, NVLink. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "nvml/getters.h"

#define LONG_BITS (sizeof(unsigned long) * CHAR_BIT)
#define MAX_LINKS 18

/* Linux numbers the first thread of every core, node by node, then the second threads. */
static unsigned node_of(const struct kf_sim_machine *m, unsigned cpu)
{
	unsigned cores = m->cpus / m->threads_per_core;
	unsigned each = cores / m->numa_nodes;

	if (cores == 0 || each == 0)
		return 0;
	cpu = cpu % cores / each;
	return cpu < m->numa_nodes ? cpu : m->numa_nodes - 1;
}

static nvmlReturn_t affinity(const struct kf_sim_state *s, const struct spot *at, unsigned n,
			     unsigned long *cpus)
{
	unsigned cpu;

	WANT(n > 0 && cpus);
	if (n * LONG_BITS < s->machine.cpus)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	memset(cpus, 0, n * sizeof(*cpus));
	for (cpu = 0; cpu < s->machine.cpus; cpu++)
		if (at->gpu->numa < 0 || node_of(&s->machine, cpu) == (unsigned)at->gpu->numa)
			cpus[cpu / LONG_BITS] |= 1ul << cpu % LONG_BITS;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned n, unsigned long *cpus)
{
	struct spot at;

	LOCKED(nvmlDeviceGetCpuAffinity);
	TRY(kf_sim_board(s, device, &at));
	return affinity(s, &at, n, cpus);
}

nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned n,
						 unsigned long *cpus, unsigned scope)
{
	struct spot at;

	LOCKED(nvmlDeviceGetCpuAffinityWithinScope);
	WANT(scope <= 1);
	TRY(kf_sim_board(s, device, &at));
	return affinity(s, &at, n, cpus);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned n, unsigned long *nodes,
					 unsigned scope)
{
	struct spot at;
	unsigned node;

	LOCKED(nvmlDeviceGetMemoryAffinity);
	WANT(n > 0 && nodes && scope <= 1);
	TRY(kf_sim_board(s, device, &at));
	memset(nodes, 0, n * sizeof(*nodes));
	for (node = 0; node < s->machine.numa_nodes && node < n * LONG_BITS; node++)
		if (at.gpu->numa < 0 || node == (unsigned)at.gpu->numa)
			nodes[node / LONG_BITS] |= 1ul << node % LONG_BITS;
	return NVML_SUCCESS;
}

enum { SAME = 0, SWITCHES = 20, NODE = 40, SYSTEM = 50 };

static unsigned distance(const struct kf_sim_gpu *a, const struct kf_sim_gpu *b)
{
	if (a == b)
		return SAME;
	if (a->domain == b->domain && a->bus == b->bus)
		return SWITCHES;
	return a->numa == b->numa ? NODE : SYSTEM;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, unsigned *level)
{
	struct spot x, y;

	LOCKED(nvmlDeviceGetTopologyCommonAncestor);
	WANT(level);
	TRY(kf_sim_board(s, a, &x));
	TRY(kf_sim_board(s, b, &y));
	*level = distance(x.gpu, y.gpu);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, unsigned level, unsigned *count,
					      nvmlDevice_t *near)
{
	unsigned i, n = 0;
	struct spot at;

	LOCKED(nvmlDeviceGetTopologyNearestGpus);
	WANT(count && level <= SYSTEM);
	TRY(kf_sim_board(s, device, &at));
	for (i = 0; i < s->machine.n_gpus; i++) {
		if (i == at.index || distance(at.gpu, &s->machine.gpu[i]) > level)
			continue;
		if (near && n < *count)
			near[n] = kf_sim_device(i);
		n++;
	}
	*count = n;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t a, nvmlDevice_t b, int *same)
{
	struct spot x, y;

	LOCKED(nvmlDeviceOnSameBoard);
	WANT(same);
	TRY(kf_sim_board(s, a, &x));
	TRY(kf_sim_board(s, b, &y));
	*same = x.index == y.index;
	return NVML_SUCCESS;
}

static int linked(const struct kf_sim_state *s, const struct spot *at)
{
	return s->machine.nvswitch && at->product->nvlinks > 0;
}

enum { P2P_NVLINK = 2, P2P_LAST = 4, P2P_OK = 0, P2P_CHIPSET = 1, P2P_NOT_SUPPORTED = 5 };

/* Between GPUs, never between MIG devices; over NVLink, or over PCIe within one memory node. */
nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t a, nvmlDevice_t b, unsigned index,
				    unsigned *status)
{
	struct spot x, y;
	int wired;

	LOCKED(nvmlDeviceGetP2PStatus);
	WANT(status && index <= P2P_LAST);
	TRY(kf_sim_board(s, a, &x));
	TRY(kf_sim_board(s, b, &y));
	wired = linked(s, &x) && linked(s, &y);
	if (x.now->mig_current || y.now->mig_current || (index == P2P_NVLINK && !wired))
		*status = P2P_NOT_SUPPORTED;
	else if (wired)
		*status = P2P_OK;
	else
		*status = distance(x.gpu, y.gpu) <= NODE ? P2P_OK : P2P_CHIPSET;
	return NVML_SUCCESS;
}

/* A link that the product has: NOT_SUPPORTED for others, INVALID_ARGUMENT past the last. */
static nvmlReturn_t link_of(struct kf_sim_state *s, nvmlDevice_t device, unsigned link,
			    struct spot *at)
{
	WANT(link < MAX_LINKS);
	TRY(kf_sim_board(s, device, at));
	return link < at->product->nvlinks ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned *active)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkState);
	WANT(active);
	TRY(link_of(s, device, link, &at));
	*active = (unsigned)linked(s, &at);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned link, unsigned *version)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkVersion);
	WANT(version);
	TRY(link_of(s, device, link, &at));
	*version = at.product->nvlink_version;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned link, unsigned capability,
					   unsigned *result)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkCapability);
	WANT(result && capability <= 5);
	TRY(link_of(s, device, link, &at));
	*result = 1;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned link, unsigned counter,
					     unsigned long long *value)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkErrorCounter);
	WANT(value && counter <= 4);
	TRY(link_of(s, device, link, &at));
	*value = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link, unsigned *type)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkRemoteDeviceType);
	WANT(type);
	TRY(link_of(s, device, link, &at));
	*type = 2; /* a switch */
	return NVML_SUCCESS;
}

/* The links go to the switches in turn; those answer from addresses of no GPU. */
static void far_end(unsigned link, nvmlPciInfo_t *pci)
{
	memset(pci, 0, sizeof(*pci));
	pci->bus = 0xF0 + link % 6;
	pci->pciDeviceId = 0x22A310DE;
	snprintf(pci->busId, sizeof(pci->busId), "%08X:%02X:00.0", 0, pci->bus);
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:00.0", 0, pci->bus & 0xFF);
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned link,
						 nvmlPciInfo_t *pci)
{
	struct spot at;

	LOCKED(nvmlDeviceGetNvLinkRemotePciInfo_v2);
	WANT(pci);
	TRY(link_of(s, device, link, &at));
	if (!linked(s, &at))
		return NVML_ERROR_NOT_SUPPORTED;
	far_end(link, pci);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t device, unsigned link,
					      nvmlPciInfo_v2_t *pci)
{
	nvmlPciInfo_t now;

	WANT(pci);
	TRY(nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link, &now));
	memset(pci, 0, sizeof(*pci));
	memcpy(pci->busId, now.busIdLegacy, sizeof(pci->busId));
	pci->bus = now.bus;
	pci->pciDeviceId = now.pciDeviceId;
	return NVML_SUCCESS;
}

/* From Hopper on GPUs behind switches are registered with a fabric. */
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfo_v2_t *info)
{
	nvmlGpuFabricInfo_v3_t *v3 = (nvmlGpuFabricInfo_v3_t *)info;
	struct spot at;

	LOCKED(nvmlDeviceGetGpuFabricInfoV);
	WANT(info);
	if (info->version != KF_NVML_VERSION(nvmlGpuFabricInfo_v2_t, 2) &&
	    info->version != KF_NVML_VERSION(nvmlGpuFabricInfo_v3_t, 3))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(kf_sim_board(s, device, &at));
	memset(info->clusterUuid, 0, sizeof(info->clusterUuid));
	info->status = NVML_SUCCESS;
	info->cliqueId = 0;
	info->state = linked(s, &at) && at.product->architecture >= NVML_DEVICE_ARCH_HOPPER ? 3 : 0;
	if (at.now->fabric)
		info->state = at.now->fabric - 1;
	info->healthMask = 0;
	if (info->version == KF_NVML_VERSION(nvmlGpuFabricInfo_v3_t, 3))
		v3->healthSummary = 0;
	return NVML_SUCCESS;
}
