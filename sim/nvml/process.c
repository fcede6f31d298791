/* Who works on a GPU or a MIG device, and what that uses. */
#include <string.h>

#include "nvml/library.h"

#define MIB (1ull << 20)

static int on(const struct spot *at, const struct kf_sim_process *p)
{
	return p && p->gpu == at->index && p->kind != KF_SIM_HOLDER &&
	       (!at->mig || (p->gi == at->gi && p->ci == at->ci));
}

static unsigned at_most_100(unsigned v)
{
	return v > 100 ? 100 : v;
}

void kf_sim_load(const struct spot *at, struct load *ret)
{
	unsigned i;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < kf_sim_here.state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(&kf_sim_here, i);

		if (!on(at, p))
			continue;
		ret->n++;
		ret->memory_mib += p->memory_mib;
		ret->sm += p->sm;
		ret->busy += p->busy;
		ret->dram += p->dram;
		ret->enc += p->enc;
		ret->dec += p->dec;
	}
	ret->sm = at_most_100(ret->sm);
	ret->busy = at_most_100(ret->busy);
	ret->dram = at_most_100(ret->dram);
	ret->enc = at_most_100(ret->enc);
	ret->dec = at_most_100(ret->dec);
}

/*
 * MPS clients are compute processes, too, and in a list of their own, but have no samples of their
 * utilisation: their server has them all (measured.md).
 */
#define SAMPLED KF_SIM_KINDS

static int listed(const struct kf_sim_process *p, enum kf_sim_kind kind)
{
	if (kind == SAMPLED)
		return p->kind == KF_SIM_COMPUTE || p->kind == KF_SIM_MPS_SERVER;
	return p->kind == (uint32_t)kind ||
	       (kind == KF_SIM_COMPUTE && (p->kind == KF_SIM_MPS || p->kind == KF_SIM_MPS_SERVER));
}

/* The first slot from the i-th on with a process for this list; process_end: none. */
static unsigned next(const struct spot *at, enum kf_sim_kind kind, unsigned i)
{
	for (; i < kf_sim_here.state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(&kf_sim_here, i);

		if (on(at, p) && listed(p, kind))
			break;
	}
	return i;
}

static unsigned number(const struct spot *at, enum kf_sim_kind kind)
{
	unsigned i, n = 0;

	for (i = next(at, kind, 0); i < kf_sim_here.state->process_end; i = next(at, kind, i + 1))
		n++;
	return n;
}

/*
 * The contract of all process lists: too small a buffer, none included, is INSUFFICIENT_SIZE with
 * the number needed; no processes is success.  With MIG on, a GPU's own list is of everything on it
 * and wants privilege.
 */
static nvmlReturn_t size_query(const struct spot *at, enum kf_sim_kind kind, unsigned *count)
{
	unsigned n = number(at, kind), room = *count;

	if (!at->mig && at->now->mig_current && !kf_sim_here.privileged)
		return NVML_ERROR_NO_PERMISSION;
	*count = n;
	return n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static nvmlReturn_t list(struct kf_sim_state *s, nvmlDevice_t device, enum kf_sim_kind kind,
			 unsigned *count, nvmlProcessInfo_t *info)
{
	struct spot at;
	unsigned i;

	WANT(count && (info || *count == 0));
	TRY(kf_sim_any(s, device, &at));
	TRY(size_query(&at, kind, count));
	for (i = next(&at, kind, 0); i < kf_sim_here.state->process_end;
	     i = next(&at, kind, i + 1), info++) {
		const struct kf_sim_process *p = &s->process[i];

		*info = (nvmlProcessInfo_t){
			.pid = kf_sim_process_pid(&kf_sim_here, p),
			.usedGpuMemory = p->memory_mib * MIB,
			.gpuInstanceId = p->gi,
			.computeInstanceId = p->ci,
		};
	}
	return NVML_SUCCESS;
}

static nvmlReturn_t old_list(struct kf_sim_state *s, nvmlDevice_t device, enum kf_sim_kind kind,
			     unsigned *count, nvmlProcessInfo_v1_t *info)
{
	struct spot at;
	unsigned i;

	WANT(count && (info || *count == 0));
	TRY(kf_sim_any(s, device, &at));
	TRY(size_query(&at, kind, count));
	for (i = next(&at, kind, 0); i < kf_sim_here.state->process_end;
	     i = next(&at, kind, i + 1), info++)
		*info = (nvmlProcessInfo_v1_t){
			kf_sim_process_pid(&kf_sim_here, &s->process[i]),
			s->process[i].memory_mib * MIB,
		};
	return NVML_SUCCESS;
}

#define LIST(name, kind)                                                                           \
	nvmlReturn_t name(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info)           \
	{                                                                                          \
		LOCKED(name);                                                                      \
		return list(s, device, kind, count, info);                                         \
	}
#define OLD_LIST(name, kind)                                                                       \
	nvmlReturn_t name(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *info)        \
	{                                                                                          \
		LOCKED(name);                                                                      \
		return old_list(s, device, kind, count, info);                                     \
	}

LIST(nvmlDeviceGetComputeRunningProcesses_v3, KF_SIM_COMPUTE)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, KF_SIM_GRAPHICS)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, KF_SIM_MPS)
OLD_LIST(nvmlDeviceGetComputeRunningProcesses, KF_SIM_COMPUTE)
OLD_LIST(nvmlDeviceGetGraphicsRunningProcesses, KF_SIM_GRAPHICS)
OLD_LIST(nvmlDeviceGetMPSComputeRunningProcesses, KF_SIM_MPS)

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device,
						   nvmlProcessDetailList_t *list_)
{
	nvmlProcessDetail_v1_t *out;
	enum kf_sim_kind kind;
	struct spot at;
	unsigned i;

	LOCKED(nvmlDeviceGetRunningProcessDetailList);
	WANT(list_);
	if (list_->version != KF_NVML_VERSION(nvmlProcessDetailList_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	WANT(list_->mode <= KF_SIM_MPS && (list_->procArray || !list_->numProcArrayEntries));
	TRY(kf_sim_any(s, device, &at));
	kind = (enum kf_sim_kind)list_->mode;
	TRY(size_query(&at, kind, &list_->numProcArrayEntries));
	out = list_->procArray;
	for (i = next(&at, kind, 0); i < kf_sim_here.state->process_end;
	     i = next(&at, kind, i + 1), out++)
		*out = (nvmlProcessDetail_v1_t){
			.pid = kf_sim_process_pid(&kf_sim_here, &s->process[i]),
			.usedGpuMemory = s->process[i].memory_mib * MIB,
			.gpuInstanceId = s->process[i].gi,
			.computeInstanceId = s->process[i].ci,
			.usedGpuCcProtectedMemory = 0,
		};
	return NVML_SUCCESS;
}

static unsigned sampled_sm(const struct spot *at, const struct kf_sim_process *server)
{
	unsigned i, sum = server->busy;

	if (server->kind != KF_SIM_MPS_SERVER)
		return sum;
	for (i = next(at, KF_SIM_MPS, 0); i < kf_sim_here.state->process_end;
	     i = next(at, KF_SIM_MPS, i + 1))
		sum += kf_sim_here.state->process[i].busy;
	return at_most_100(sum);
}

/* Samples are as fresh as the question; with MIG on the driver has none. */
static nvmlReturn_t samples(struct kf_sim_state *s, nvmlDevice_t device, unsigned long long last_us,
			    struct spot *at, unsigned long long *now_us)
{
	TRY(kf_sim_board(s, device, at));
	if (at->now->mig_current)
		return NVML_ERROR_NOT_SUPPORTED;
	*now_us = kf_sim_wall_us();
	if (number(at, SAMPLED) == 0 || *now_us <= last_us)
		return NVML_ERROR_NOT_FOUND;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
					     nvmlProcessUtilizationSample_t *sample,
					     unsigned *count, unsigned long long last_seen_us)
{
	unsigned long long now_us;
	struct spot at;
	unsigned i;

	LOCKED(nvmlDeviceGetProcessUtilization);
	WANT(count);
	TRY(samples(s, device, last_seen_us, &at, &now_us));
	if (!sample) {
		*count = number(&at, SAMPLED);
		return NVML_ERROR_INSUFFICIENT_SIZE;
	}
	TRY(size_query(&at, SAMPLED, count));
	for (i = next(&at, SAMPLED, 0); i < kf_sim_here.state->process_end;
	     i = next(&at, SAMPLED, i + 1), sample++) {
		const struct kf_sim_process *p = &s->process[i];

		*sample = (nvmlProcessUtilizationSample_t){kf_sim_process_pid(&kf_sim_here, p),
							   now_us,
							   sampled_sm(&at, p),
							   p->dram,
							   p->enc,
							   p->dec};
	}
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
						   nvmlProcessesUtilizationInfo_t *info)
{
	nvmlProcessUtilizationInfo_v1_t *out;
	unsigned long long now_us;
	struct spot at;
	unsigned i;

	LOCKED(nvmlDeviceGetProcessesUtilizationInfo);
	WANT(info);
	if (info->version != KF_NVML_VERSION(nvmlProcessesUtilizationInfo_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(samples(s, device, info->lastSeenTimeStamp, &at, &now_us));
	out = info->procUtilArray;
	if (!out) {
		info->processSamplesCount = number(&at, SAMPLED);
		return NVML_ERROR_INSUFFICIENT_SIZE;
	}
	TRY(size_query(&at, SAMPLED, &info->processSamplesCount));
	for (i = next(&at, SAMPLED, 0); i < kf_sim_here.state->process_end;
	     i = next(&at, SAMPLED, i + 1), out++) {
		const struct kf_sim_process *p = &s->process[i];

		*out = (nvmlProcessUtilizationInfo_v1_t){now_us,
							 kf_sim_process_pid(&kf_sim_here, p),
							 sampled_sm(&at, p),
							 p->dram,
							 p->enc,
							 p->dec,
							 0,
							 0};
	}
	return NVML_SUCCESS;
}
