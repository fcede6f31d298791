/* From the driver to a struct kf_node; see read.h. */
#include "nvml/read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "nvml/links.h"
#include "nvml/nvml.h"
#include "nvml/shape.h"

/* One pass over one GPU. */
struct pass {
	const struct kf_nvml *nv;
	const char *root;
	nvmlDevice_t device;
	struct kf_gpu *gpu;
	struct kf_error *err;
};

static int fail(struct pass *p, nvmlReturn_t r, const char *what)
{
	if (r == NVML_ERROR_GPU_IS_LOST)
		p->gpu->state = KF_GPU_LOST;
	return kf_nvml_fail(p->err, p->nv, r, "%s", what);
}

static int numa_node(const char *root, const char *bus_id)
{
	char path[512], address[32];
	kf_auto_mem char *text = NULL;
	int node;

	if (kf_pci_address(bus_id, address) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/numa_node", root, address);
	text = kf_read_file(path, 64, NULL, NULL);
	if (!text)
		return -1;
	node = atoi(text);
	return node < 0 ? -1 : node;
}

static int read_pci(struct pass *p)
{
	nvmlPciInfo_t pci = {0};
	nvmlReturn_t r = p->nv->nvmlDeviceGetPciInfo_v3(p->device, &pci);

	if (r != NVML_SUCCESS)
		return fail(p, r, "read the PCI address");
	snprintf(p->gpu->bus_id, sizeof(p->gpu->bus_id), "%s", pci.busId);
	p->gpu->pci_device = pci.pciDeviceId;
	p->gpu->pci_subsystem = pci.pciSubSystemId;
	p->gpu->numa = numa_node(p->root, pci.busId);
	return 0;
}

/* GPUs with an NVLink fabric begin with Hopper; elsewhere, and with older drivers, there is none.
 */
static void read_fabric(struct pass *p)
{
	static const unsigned char none[16];
	nvmlGpuFabricInfo_v2_t info = {.version = KF_NVML_VERSION(nvmlGpuFabricInfo_v2_t, 2)};
	struct kf_fabric *fabric = &p->gpu->fabric;

	if (p->gpu->architecture < NVML_DEVICE_ARCH_HOPPER ||
	    p->nv->nvmlDeviceGetGpuFabricInfoV(p->device, &info) != NVML_SUCCESS)
		return;
	fabric->waiting =
		info.state == NVML_GPU_FABRIC_STATE_NOT_STARTED ||
		info.state == NVML_GPU_FABRIC_STATE_IN_PROGRESS ||
		(info.state == NVML_GPU_FABRIC_STATE_COMPLETED && info.status != NVML_SUCCESS);
	fabric->attached = info.state == NVML_GPU_FABRIC_STATE_COMPLETED &&
			   info.status == NVML_SUCCESS &&
			   memcmp(info.clusterUuid, none, sizeof(none)) != 0;
	memcpy(fabric->cluster, info.clusterUuid, sizeof(fabric->cluster));
	fabric->clique = info.cliqueId;
}

/* Whichever of these the board or the driver does not have is well. */
static void read_condition(struct pass *p)
{
	struct kf_condition *now = &p->gpu->condition;
	nvmlFieldValue_t field[] = {{.fieldId = NVML_FI_DEV_GET_GPU_RECOVERY_ACTION},
				    {.fieldId = NVML_FI_DEV_REMAPPED_PENDING},
				    {.fieldId = NVML_FI_DEV_REMAPPED_FAILURE}};

	now->recovery = KF_NONE;
	if (p->nv->nvmlDeviceGetFieldValues(p->device, 3, field) != NVML_SUCCESS)
		return;
	if (field[0].nvmlReturn == NVML_SUCCESS)
		now->recovery = field[0].value.uiVal;
	now->remap_pending = field[1].nvmlReturn == NVML_SUCCESS && field[1].value.uiVal;
	now->remap_failed = field[2].nvmlReturn == NVML_SUCCESS && field[2].value.uiVal;
}

/* What the driver keeps of the memory; before R510 it does not tell. */
static void read_reserved(struct pass *p)
{
	nvmlMemory_v2_t memory = {.version = KF_NVML_VERSION(nvmlMemory_v2_t, 2)};

	if (p->nv->nvmlDeviceGetMemoryInfo_v2 &&
	    p->nv->nvmlDeviceGetMemoryInfo_v2(p->device, &memory) == NVML_SUCCESS)
		p->gpu->reserved_mib = (memory.reserved + (1u << 20) - 1) >> 20;
}

static int read_identity(struct pass *p)
{
	struct kf_gpu *gpu = p->gpu;
	nvmlMemory_t memory = {0};
	nvmlReturn_t r;

	r = p->nv->nvmlDeviceGetUUID(p->device, gpu->uuid, sizeof(gpu->uuid));
	if (r != NVML_SUCCESS)
		return fail(p, r, "read the UUID");
	if (read_pci(p) < 0)
		return -1;
	r = p->nv->nvmlDeviceGetName(p->device, gpu->name, sizeof(gpu->name));
	if (r != NVML_SUCCESS)
		return fail(p, r, "read the name");
	r = p->nv->nvmlDeviceGetMinorNumber(p->device, &gpu->minor);
	if (r != NVML_SUCCESS)
		return fail(p, r, "read the minor number");
	r = p->nv->nvmlDeviceGetMemoryInfo(p->device, &memory);
	if (r == NVML_SUCCESS)
		gpu->memory_mib = memory.total / (1024 * 1024);
	else if (r != NVML_ERROR_NOT_SUPPORTED)
		return fail(p, r, "read the memory size");
	read_reserved(p);
	if (p->nv->nvmlDeviceGetArchitecture(p->device, &gpu->architecture) != NVML_SUCCESS)
		gpu->architecture = 0;
	if (p->nv->nvmlDeviceGetCudaComputeCapability(p->device, &gpu->cc_major, &gpu->cc_minor) !=
	    NVML_SUCCESS)
		gpu->cc_major = gpu->cc_minor = 0;
	read_fabric(p);
	read_condition(p);
	return 0;
}

static int read_mode(struct pass *p)
{
	unsigned current = 0, pending = 0;
	nvmlReturn_t r = p->nv->nvmlDeviceGetMigMode(p->device, &current, &pending);

	if (r == NVML_ERROR_NOT_SUPPORTED || r == NVML_ERROR_FUNCTION_NOT_FOUND)
		return 0;
	if (r != NVML_SUCCESS)
		return fail(p, r, "read the MIG mode");
	p->gpu->mig_capable = 1;
	p->gpu->mig_current = current == NVML_DEVICE_MIG_ENABLE;
	p->gpu->mig_pending = pending == NVML_DEVICE_MIG_ENABLE;
	return 0;
}

static const struct kf_gpu *same_gpu(const struct kf_node *before, const struct kf_gpu *gpu)
{
	const struct kf_gpu *old = before ? kf_node_find_gpu(before, gpu->uuid) : NULL;

	return old && old->shape.n && old->mig_current == gpu->mig_current ? old : NULL;
}

static int read_shape(struct pass *p, const struct kf_node *before)
{
	const struct kf_gpu *old = same_gpu(before, p->gpu);

	if (!p->gpu->mig_capable)
		return 0;
	if (old) {
		p->gpu->shape = old->shape;
		return 0;
	}
	return kf_shape_read(p->nv, p->device, p->gpu, p->err);
}

static void name_ci(const struct kf_profile *profile, struct kf_ci *ci)
{
	if (ci->slices == profile->slices)
		snprintf(ci->name, sizeof(ci->name), "%.31s", profile->name);
	else
		snprintf(ci->name, sizeof(ci->name), "%uc.%.27s", ci->slices % 100, profile->name);
}

static unsigned ci_profile_index(const struct kf_profile *profile, unsigned slices)
{
	unsigned i;

	for (i = 0; i < profile->n_ci; i++)
		if (profile->ci[i].slices == slices)
			return i;
	return KF_NONE;
}

static int take_ci(struct pass *p, struct kf_instance *in, nvmlComputeInstance_t handle,
		   unsigned slices)
{
	const struct kf_profile *profile = &p->gpu->shape.profile[in->profile];
	nvmlComputeInstanceInfo_t info = {0};
	struct kf_ci *ci;
	nvmlReturn_t r = p->nv->nvmlComputeInstanceGetInfo_v2(handle, &info);

	if (r == NVML_ERROR_NOT_FOUND) /* destroyed by somebody since it was listed */
		return 0;
	if (r != NVML_SUCCESS)
		return fail(p, r, "read a compute instance");
	if (in->n_ci == KF_MAX_CIS)
		return kf_fail(p->err, KF_E_DRIVER, 0,
			       "GPU instance %u has more than %d compute instances", in->id,
			       KF_MAX_CIS);
	ci = &in->ci[in->n_ci++];
	ci->id = info.id;
	ci->slices = slices;
	ci->profile = ci_profile_index(profile, slices);
	ci->start = info.placement.start;
	ci->size = info.placement.size;
	ci->mig_index = KF_NONE;
	name_ci(profile, ci);
	return 0;
}

/* There is no call that lists all: each profile lists its own. */
static int read_cis(struct pass *p, struct kf_instance *in, nvmlGpuInstance_t gi)
{
	unsigned constant, i;

	for (constant = 0; constant < KF_MAX_CI_PROFILES; constant++) {
		nvmlComputeInstanceProfileInfo_t info = {0};
		nvmlComputeInstance_t handle[KF_MAX_CIS];
		unsigned n = KF_MAX_CIS;
		nvmlReturn_t r;

		r = p->nv->nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, constant, 0, &info);
		if (r == NVML_ERROR_NOT_SUPPORTED || r == NVML_ERROR_INVALID_ARGUMENT)
			continue;
		if (r != NVML_SUCCESS)
			return fail(p, r, "read a compute instance profile");
		r = p->nv->nvmlGpuInstanceGetComputeInstances(gi, info.id, handle, &n);
		if (r == NVML_ERROR_NOT_SUPPORTED)
			continue;
		if (r != NVML_SUCCESS)
			return fail(p, r, "list the compute instances");
		for (i = 0; i < n; i++)
			if (take_ci(p, in, handle[i], info.sliceCount) < 0)
				return -1;
	}
	return 0;
}

static int take_instance(struct pass *p, unsigned profile, nvmlGpuInstance_t gi)
{
	nvmlGpuInstanceInfo_t info = {0};
	struct kf_instance *in;
	nvmlReturn_t r = p->nv->nvmlGpuInstanceGetInfo(gi, &info);

	if (r == NVML_ERROR_NOT_FOUND)
		return 0;
	if (r != NVML_SUCCESS)
		return fail(p, r, "read a GPU instance");
	if (p->gpu->n_instances == KF_MAX_INSTANCES)
		return kf_fail(p->err, KF_E_DRIVER, 0, "more than %d GPU instances",
			       KF_MAX_INSTANCES);
	in = &p->gpu->instance[p->gpu->n_instances++];
	in->id = info.id;
	in->profile = profile;
	in->start = info.placement.start;
	return read_cis(p, in, gi);
}

static int read_instances(struct pass *p)
{
	unsigned i, j;

	for (i = 0; i < p->gpu->shape.n; i++) {
		nvmlGpuInstance_t handle[KF_MAX_INSTANCES + 1];
		unsigned n = KF_MAX_INSTANCES + 1;
		nvmlReturn_t r;

		r = p->nv->nvmlDeviceGetGpuInstances(p->device, p->gpu->shape.profile[i].id, handle,
						     &n);
		if (r == NVML_ERROR_NOT_SUPPORTED)
			continue;
		if (r != NVML_SUCCESS)
			return fail(p, r, "list the GPU instances");
		for (j = 0; j < n; j++)
			if (take_instance(p, i, handle[j]) < 0)
				return -1;
	}
	return 0;
}

static struct kf_ci *find_ci(struct kf_gpu *gpu, unsigned gi, unsigned ci)
{
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; gpu->instance[i].id == gi && c < gpu->instance[i].n_ci; c++)
			if (gpu->instance[i].ci[c].id == ci)
				return &gpu->instance[i].ci[c];
	return NULL;
}

static void take_attributes(struct kf_ci *ci, const nvmlDeviceAttributes_t *attr)
{
	ci->memory_mib = attr->memorySizeMB;
	ci->sm = attr->multiprocessorCount;
	ci->copy = attr->sharedCopyEngineCount;
	ci->engine[KF_ENGINE_DEC] = attr->sharedDecoderCount;
	ci->engine[KF_ENGINE_ENC] = attr->sharedEncoderCount;
	ci->engine[KF_ENGINE_JPG] = attr->sharedJpegCount;
	ci->engine[KF_ENGINE_OFA] = attr->sharedOfaCount;
	ci->gi_slices = attr->gpuInstanceSliceCount;
	ci->ci_slices = attr->computeInstanceSliceCount;
}

static int read_mig_device(struct pass *p, unsigned index, nvmlDevice_t mig)
{
	nvmlDeviceAttributes_t attr = {0};
	unsigned gi = 0, id = 0;
	struct kf_ci *ci;
	nvmlReturn_t r;

	r = p->nv->nvmlDeviceGetGpuInstanceId(mig, &gi);
	if (r == NVML_SUCCESS)
		r = p->nv->nvmlDeviceGetComputeInstanceId(mig, &id);
	if (r != NVML_SUCCESS)
		return fail(p, r, "read a MIG device");
	ci = find_ci(p->gpu, gi, id);
	if (!ci) /* made by somebody since the instances were listed; the next reading has it */
		return 0;
	r = p->nv->nvmlDeviceGetUUID(mig, ci->uuid, sizeof(ci->uuid));
	if (r != NVML_SUCCESS)
		return fail(p, r, "read the UUID of a MIG device");
	ci->mig_index = index;
	if (p->nv->nvmlDeviceGetAttributes_v2(mig, &attr) == NVML_SUCCESS)
		take_attributes(ci, &attr);
	return 0;
}

/* Indices have holes: every one below the maximum is asked. */
static int read_mig_devices(struct pass *p)
{
	unsigned i, n = 0;
	nvmlReturn_t r = p->nv->nvmlDeviceGetMaxMigDeviceCount(p->device, &n);

	if (r != NVML_SUCCESS)
		return fail(p, r, "read the number of MIG devices");
	for (i = 0; i < n; i++) {
		nvmlDevice_t mig;

		r = p->nv->nvmlDeviceGetMigDeviceHandleByIndex(p->device, i, &mig);
		if (r == NVML_ERROR_NOT_FOUND || r == NVML_ERROR_NOT_SUPPORTED)
			continue;
		if (r != NVML_SUCCESS)
			return fail(p, r, "open a MIG device");
		if (read_mig_device(p, i, mig) < 0)
			return -1;
	}
	return 0;
}

static void take_process(struct kf_gpu *gpu, const nvmlProcessInfo_t *info)
{
	unsigned i;

	for (i = 0; i < gpu->n_listed; i++)
		if (gpu->process[i].pid == info->pid && gpu->process[i].gi == info->gpuInstanceId)
			return; /* in the compute list and in the graphics list */
	gpu->n_processes++;
	for (i = 0; i < gpu->n_instances; i++)
		if (gpu->instance[i].id == info->gpuInstanceId)
			gpu->instance[i].n_processes++;
	if (gpu->n_listed == sizeof(gpu->process) / sizeof(gpu->process[0]))
		return;
	gpu->process[gpu->n_listed++] = (struct kf_process){
		.pid = info->pid,
		.gi = info->gpuInstanceId,
		.ci = info->computeInstanceId,
		.memory_bytes = info->usedGpuMemory,
	};
}

static int read_process_list(struct pass *p,
			     nvmlReturn_t (*list)(nvmlDevice_t, unsigned *, nvmlProcessInfo_t *))
{
	kf_auto_mem nvmlProcessInfo_t *info = NULL;
	size_t capacity = 0;
	unsigned n = 0, i;
	nvmlReturn_t r = list(p->device, &n, NULL);

	/* The list may grow between the two calls: ask for more than was told, a few times. */
	for (i = 0; r == NVML_ERROR_INSUFFICIENT_SIZE && i < 8; i++) {
		n += 16;
		if (kf_grow(&info, &capacity, n, sizeof(*info)) < 0)
			return kf_fail(p->err, KF_E_NOMEM, 0, "no memory for %u processes", n);
		r = list(p->device, &n, info);
	}
	if (r == NVML_ERROR_NOT_SUPPORTED || r == NVML_ERROR_FUNCTION_NOT_FOUND)
		return 0;
	if (r != NVML_SUCCESS)
		return fail(p, r, "list the processes");
	for (i = 0; info && i < n; i++)
		take_process(p->gpu, &info[i]);
	return 0;
}

static int read_processes(struct pass *p)
{
	if (read_process_list(p, p->nv->nvmlDeviceGetComputeRunningProcesses_v3) < 0)
		return -1;
	return read_process_list(p, p->nv->nvmlDeviceGetGraphicsRunningProcesses_v3);
}

static int read_gpu(struct pass *p, const struct kf_node *before)
{
	if (read_identity(p) < 0 || read_mode(p) < 0 || read_shape(p, before) < 0)
		return -1;
	if (p->gpu->mig_current && (read_instances(p) < 0 || read_mig_devices(p) < 0))
		return -1;
	return read_processes(p);
}

/*
 * A GPU that does not answer keeps what an earlier reading knew of it, its slices included: they
 * may be held, and their ids must not leave any list.
 */
static void remember(struct kf_gpu *gpu, const struct kf_node *before)
{
	const struct kf_gpu *old = NULL;
	struct kf_gpu silent = *gpu;

	if (gpu->uuid[0])
		old = before ? kf_node_find_gpu(before, gpu->uuid) : NULL;
	else if (before && gpu->index < before->n_gpus)
		old = &before->gpu[gpu->index];
	if (!old)
		return;
	*gpu = *old;
	gpu->index = silent.index;
	gpu->state = silent.state;
	memcpy(gpu->trouble, silent.trouble, sizeof(gpu->trouble));
}

static void read_one(const struct kf_nvml *nv, const char *root, unsigned index,
		     const struct kf_node *before, struct kf_gpu *gpu)
{
	struct kf_error err = {0};
	struct pass pass = {.nv = nv, .root = root, .gpu = gpu, .err = &err};
	nvmlReturn_t r;

	gpu->index = index;
	gpu->minor = index;
	gpu->numa = -1;
	r = nv->nvmlDeviceGetHandleByIndex_v2(index, &pass.device);
	if (r == NVML_SUCCESS && read_gpu(&pass, before) == 0)
		return;
	if (r != NVML_SUCCESS)
		fail(&pass, r, "open the GPU");
	if (gpu->state == KF_GPU_OK)
		gpu->state = KF_GPU_UNREADABLE;
	snprintf(gpu->trouble, sizeof(gpu->trouble), "%.159s", err.msg);
	remember(gpu, before);
}

static int read_versions(const struct kf_nvml *nv, struct kf_node *node, struct kf_error *err)
{
	int cuda = 0;
	nvmlReturn_t r;

	r = nv->nvmlSystemGetDriverVersion(node->driver_version, sizeof(node->driver_version));
	if (r != NVML_SUCCESS)
		return kf_nvml_fail(err, nv, r, "read the driver version");
	if (nv->nvmlSystemGetCudaDriverVersion_v2(&cuda) == NVML_SUCCESS) {
		node->cuda_major = (unsigned)cuda / 1000;
		node->cuda_minor = (unsigned)cuda % 1000 / 10;
	}
	return 0;
}

int kf_nvml_read(const struct kf_nvml *nv, const char *root, const struct kf_node *before,
		 struct kf_node **ret, struct kf_error *err)
{
	kf_auto(kf_node_freep) struct kf_node *node = kf_calloc(1, sizeof(*node));
	unsigned i, n = 0;
	nvmlReturn_t r;

	if (!node)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a node");
	if (read_versions(nv, node, err) < 0)
		return -1;
	r = nv->nvmlDeviceGetCount_v2(&n);
	if (r != NVML_SUCCESS)
		return kf_nvml_fail(err, nv, r, "count the GPUs");
	if (n > KF_MAX_GPUS)
		return kf_fail(err, KF_E_DRIVER, 0, "the driver lists %u GPUs; kerf knows up to %d",
			       n, KF_MAX_GPUS);
	node->gpu = kf_calloc(n, sizeof(*node->gpu));
	if (!node->gpu)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %u GPUs", n);
	node->n_gpus = n;
	for (i = 0; i < n; i++)
		read_one(nv, strcmp(root, "/") ? root : "", i, before, &node->gpu[i]);
	kf_nvml_links(nv, before, node);
	*ret = kf_take(node);
	return 0;
}
