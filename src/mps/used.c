/* How much of a GPU each MPS client has; see used.h. */
#include "mps/used.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "nvml/nvml.h"

#define MAX_PROCESSES 128

struct kf_used {
	struct kf_nvml *nv;
	unsigned n;
	nvmlProcessInfo_t process[MAX_PROCESSES];
};

struct kf_used *kf_used_open(const char *root)
{
	struct kf_used *u = kf_calloc(1, sizeof(*u));
	struct kf_error err = {0};

	if (u && kf_nvml_open(root, &u->nv, &err) == 0)
		return u;
	free(u);
	return NULL;
}

struct kf_used *kf_used_close(struct kf_used *u)
{
	if (u)
		kf_nvml_close(u->nv);
	free(u);
	return NULL;
}

void kf_used_look(struct kf_used *u, const char *uuid)
{
	nvmlProcessInfo_t now[MAX_PROCESSES];
	unsigned n = MAX_PROCESSES, i;
	nvmlDevice_t device;

	if (!u || u->nv->nvmlDeviceGetHandleByUUID(uuid, &device) != NVML_SUCCESS ||
	    u->nv->nvmlDeviceGetMPSComputeRunningProcesses_v3(device, &n, now) != NVML_SUCCESS)
		return;
	for (i = 0; i < n; i++)
		u->process[i] = now[i];
	u->n = n;
}

uint64_t kf_used_by(const struct kf_used *u, unsigned pid)
{
	unsigned i;

	for (i = 0; u && i < u->n; i++)
		if (u->process[i].pid == pid && u->process[i].usedGpuMemory != UINT64_MAX)
			return u->process[i].usedGpuMemory;
	return 0;
}
