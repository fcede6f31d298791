/* The driver as a whole: versions, error texts, finding devices. */
#include <stdio.h>
#include <string.h>

#include "core/uuid.h"
#include "nvml/library.h"

const char *nvmlErrorString(nvmlReturn_t r)
{
	switch (r) {
#define X(name, value, text)                                                                       \
	case value:                                                                                \
		return text;
		KF_NVML_RETURNS(X)
#undef X
	}
	return "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length)
{
	LOCKED(nvmlSystemGetDriverVersion);
	return kf_sim_give(s->machine.driver, version, length);
}

/* "13.580.159.04": CUDA's major version and the driver's. */
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
	char text[KF_SIM_TEXT + 16];

	LOCKED(nvmlSystemGetNVMLVersion);
	snprintf(text, sizeof(text), "%u.%s", s->machine.cuda / 1000, s->machine.driver);
	return kf_sim_give(text, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	LOCKED(nvmlSystemGetCudaDriverVersion_v2);
	WANT(version);
	*version = (int)s->machine.cuda;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverBranch(void *branch, unsigned length)
{
	struct {
		unsigned version;
		char branch[80];
	} *info = branch;

	LOCKED(nvmlSystemGetDriverBranch);
	WANT(info);
	if (info->version != KF_NVML_VERSION(*info, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	WANT(length > 0 && length <= sizeof(info->branch));
	snprintf(info->branch, length, "r%u_00", s->machine.driver_major);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlUnitGetCount(unsigned *count)
{
	UNLOCKED(nvmlUnitGetCount);
	WANT(count);
	*count = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned *count)
{
	UNLOCKED(nvmlGetExcludedDeviceCount);
	WANT(count);
	*count = 0;
	return NVML_SUCCESS;
}

/* A process of the simulator's by the name it was given, another by its command line. */
static int process_name(struct kf_sim_state *s, unsigned pid, char *out, size_t size)
{
	char path[64];
	unsigned i;
	size_t n;
	FILE *f;

	for (i = 0; i < KF_SIM_PROCESSES; i++)
		if (s->process[i].used && s->process[i].name[0] &&
		    kf_sim_process_pid(&kf_sim_here, &s->process[i]) == pid) {
			snprintf(out, size, "%s", s->process[i].name);
			return 0;
		}
	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	n = fread(out, 1, size - 1, f);
	fclose(f);
	out[n] = '\0'; /* the first argument: they end in NUL each */
	return 0;
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length)
{
	char text[1024];

	LOCKED(nvmlSystemGetProcessName);
	WANT(name && length > 0);
	if (process_name(s, pid, text, sizeof(text)) < 0)
		return NVML_ERROR_NOT_FOUND;
	snprintf(name, length, "%s", text); /* cut, as the driver does */
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
	LOCKED(nvmlDeviceGetCount_v2);
	WANT(count);
	*count = s->machine.n_gpus;
	return NVML_SUCCESS;
}

static nvmlReturn_t give_gpu(struct kf_sim_state *s, unsigned gpu, nvmlDevice_t *device)
{
	if (kf_sim_now(s, gpu)->lost)
		return NVML_ERROR_GPU_IS_LOST;
	*device = kf_sim_device(gpu);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
	LOCKED(nvmlDeviceGetHandleByIndex_v2);
	WANT(device && index < s->machine.n_gpus);
	return give_gpu(s, index, device);
}

/* A MIG device by its UUID; both forms of it, whatever the driver's age. */
static nvmlReturn_t mig_by_uuid(struct kf_sim_state *s, const char *uuid, nvmlDevice_t *device)
{
	unsigned i, g, c;

	for (i = 0; i < s->machine.n_gpus; i++) {
		const struct kf_sim_now *now = kf_sim_now(s, i);

		for (g = 0; g < KF_MAX_INSTANCES; g++)
			for (c = 0; now->gi[g].used && c < KF_MAX_CIS; c++) {
				if (!now->gi[g].ci[c].used || strcmp(now->gi[g].ci[c].uuid, uuid))
					continue;
				if (now->lost)
					return NVML_ERROR_GPU_IS_LOST;
				*device = kf_sim_mig_device(s, i, g, c);
				kf_sim_hold(i, g, c);
				return NVML_SUCCESS;
			}
	}
	return NVML_ERROR_NOT_FOUND;
}

static nvmlReturn_t by_uuid(struct kf_sim_state *s, const char *uuid, nvmlDevice_t *device)
{
	unsigned i;

	if (!strncmp(uuid, "MIG-", 4))
		return mig_by_uuid(s, uuid, device);
	for (i = 0; i < s->machine.n_gpus; i++)
		if (!strcmp(s->machine.gpu[i].uuid, uuid))
			return give_gpu(s, i, device);
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	LOCKED(nvmlDeviceGetHandleByUUID);
	WANT(uuid && device);
	return by_uuid(s, uuid, device);
}

static nvmlReturn_t by_bytes(struct kf_sim_state *s, const unsigned char bytes[16],
			     nvmlDevice_t *device)
{
	unsigned i;

	for (i = 0; i < s->machine.n_gpus; i++) {
		uint8_t own[16];

		kf_sim_uuid_bytes(s->machine.gpu[i].uuid + 4, own);
		if (!memcmp(own, bytes, 16))
			return give_gpu(s, i, device);
	}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
	char text[sizeof(uuid->value.str) + 1] = "";

	LOCKED(nvmlDeviceGetHandleByUUIDV);
	WANT(uuid && device);
	if (uuid->version != KF_NVML_VERSION(nvmlUUID_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	switch (uuid->type) {
	case 1:
		memcpy(text, uuid->value.str, sizeof(uuid->value.str));
		return by_uuid(s, text, device);
	case 2:
		return by_bytes(s, uuid->value.bytes, device);
	default:
		return NVML_ERROR_INVALID_ARGUMENT;
	}
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
	unsigned i;

	LOCKED(nvmlDeviceGetHandleBySerial);
	WANT(serial && device);
	for (i = 0; i < s->machine.n_gpus; i++)
		if (!strcmp(s->machine.gpu[i].serial, serial))
			return give_gpu(s, i, device);
	return NVML_ERROR_NOT_FOUND;
}

/* "0000:10:1c.0", "00000000:10:1C.0", "10:1c.0": sysfs' form, NVML's and lspci's. */
static int parse_bus(const char *text, unsigned at[3])
{
	unsigned function;
	int n = 0;

	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &at[0], &at[1], &at[2], &function, &n) == 4 && n &&
	    !text[n] && function == 0)
		return 0;
	at[0] = 0;
	n = 0;
	if (sscanf(text, "%2x:%2x.%1x%n", &at[1], &at[2], &function, &n) == 3 && n && !text[n] &&
	    function == 0)
		return 0;
	return -1;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
	unsigned at[3], i;

	LOCKED(nvmlDeviceGetHandleByPciBusId_v2);
	WANT(bus_id && device && parse_bus(bus_id, at) == 0);
	for (i = 0; i < s->machine.n_gpus; i++) {
		const struct kf_sim_gpu *gpu = &s->machine.gpu[i];

		if (gpu->domain == at[0] && gpu->bus == at[1] && gpu->device == at[2])
			return give_gpu(s, i, device);
	}
	return NVML_ERROR_NOT_FOUND;
}
