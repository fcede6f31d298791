/* One reading of one GPU; see sample.h. */
#include "metrics/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/error.h"
#include "nvml/nvml.h"

#define MIB		(1024.0 * 1024.0)
#define PROCESS_TRIES	4
#define MORE_PROCESSES	16 /* that may come between two calls */
#define UTILISATION_MAX 1024

enum { CLOCK_SM = 1, CLOCK_MEM = 2 };

/* One pass over one GPU. */
struct pass {
	const struct kf_nvml *nv;
	struct kf_sample *st;
	const struct kf_view *view;
	unsigned g;
	const struct kf_sample_options *opt;
	nvmlDevice_t device;
	struct kf_values board;
	unsigned n_instances;
	struct kf_reading_instance instance[KF_MAX_INSTANCES];
	unsigned n_processes;
	struct kf_reading_process *process;
	size_t capacity;
};

/* Around every call of the driver's, so that one that hangs can be told from one that does not. */
#define ASK(p, call) (begin(p), ended((p), (p)->nv->call))

static void begin(const struct pass *p)
{
	if (p->opt->call_began_ms)
		atomic_store(p->opt->call_began_ms, kf_now_ms());
}

static nvmlReturn_t ended(const struct pass *p, nvmlReturn_t r)
{
	if (p->opt->call_began_ms)
		atomic_store(p->opt->call_began_ms, 0);
	return r;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void no_values(struct kf_values *v)
{
	unsigned i;

	for (i = 0; i < KF_N_FIELDS; i++)
		v->of[i] = NAN;
}

static int wanted(const struct pass *p, enum kf_field f)
{
	unsigned i;

	for (i = 0; i < p->opt->counters->n; i++)
		if (p->opt->counters->at[i].field == f)
			return 1;
	return 0;
}

/* --- the board ----------------------------------------------------------------------------- */

static const struct {
	enum kf_field field;
	unsigned id; /* NVML's field */
} by_number[] = {
	{KF_FIELD_MEMORY_TEMP, 82},
	{KF_FIELD_PCIE_REPLAY, 94},
	{KF_FIELD_CORR_REMAPPED, 142},
	{KF_FIELD_UNC_REMAPPED, 143},
	{KF_FIELD_REMAP_FAILURE, 145},
	{KF_FIELD_POWER_VIOLATION, 74},
	{KF_FIELD_THERMAL_VIOLATION, 75},
	{KF_FIELD_SYNC_VIOLATION, 76},
	{KF_FIELD_BOARD_VIOLATION, 77},
	{KF_FIELD_UTIL_VIOLATION, 78},
	{KF_FIELD_RELY_VIOLATION, 79},
	{KF_FIELD_SBE_VOL, 3},
	{KF_FIELD_DBE_VOL, 4},
	{KF_FIELD_SBE_AGG, 5},
	{KF_FIELD_DBE_AGG, 6},
	{KF_FIELD_RETIRED_SBE, 29},
	{KF_FIELD_RETIRED_DBE, 30},
	{KF_FIELD_RETIRED_PENDING, 31},
	{KF_FIELD_NVLINK_FLIT, 38},
	{KF_FIELD_NVLINK_DATA, 45},
	{KF_FIELD_NVLINK_REPLAY, 52},
	{KF_FIELD_NVLINK_RECOVERY, 59},
};
#define N_BY_NUMBER (sizeof(by_number) / sizeof(by_number[0]))

static double field_value(const nvmlFieldValue_t *v)
{
	if (v->nvmlReturn != NVML_SUCCESS)
		return NAN;
	switch (v->valueType) {
	case NVML_VALUE_TYPE_DOUBLE:
		return v->value.dVal;
	case NVML_VALUE_TYPE_UNSIGNED_INT:
		return v->value.uiVal;
	case NVML_VALUE_TYPE_UNSIGNED_LONG:
		return (double)v->value.ulVal;
	case NVML_VALUE_TYPE_UNSIGNED_LONG_LONG:
		return (double)v->value.ullVal;
	case NVML_VALUE_TYPE_SIGNED_LONG_LONG:
		return (double)v->value.sllVal;
	case NVML_VALUE_TYPE_SIGNED_INT:
		return v->value.siVal;
	case NVML_VALUE_TYPE_UNSIGNED_SHORT:
		return v->value.usVal;
	default:
		return NAN;
	}
}

/* All that is asked for by number, in one call. */
static void read_fields(struct pass *p)
{
	nvmlFieldValue_t value[N_BY_NUMBER];
	enum kf_field field[N_BY_NUMBER];
	unsigned i, n = 0;

	for (i = 0; i < N_BY_NUMBER; i++) {
		if (!wanted(p, by_number[i].field))
			continue;
		value[n] = (nvmlFieldValue_t){.fieldId = by_number[i].id};
		field[n++] = by_number[i].field;
	}
	if (n == 0 || ASK(p, nvmlDeviceGetFieldValues(p->device, (int)n, value)) != NVML_SUCCESS)
		return;
	for (i = 0; i < n; i++)
		p->board.of[field[i]] = field_value(&value[i]);
	/* Several products answer 0 for a memory without a thermometer. */
	if (p->board.of[KF_FIELD_MEMORY_TEMP] == 0)
		p->board.of[KF_FIELD_MEMORY_TEMP] = NAN;
}

static void read_sensors(struct pass *p)
{
	unsigned long long mj = 0;
	unsigned v = 0;

	if (wanted(p, KF_FIELD_SM_CLOCK) &&
	    ASK(p, nvmlDeviceGetClockInfo(p->device, CLOCK_SM, &v)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_SM_CLOCK] = v;
	if (wanted(p, KF_FIELD_MEM_CLOCK) &&
	    ASK(p, nvmlDeviceGetClockInfo(p->device, CLOCK_MEM, &v)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_MEM_CLOCK] = v;
	if (wanted(p, KF_FIELD_GPU_TEMP) &&
	    ASK(p, nvmlDeviceGetTemperature(p->device, 0, &v)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_GPU_TEMP] = v;
	if (wanted(p, KF_FIELD_POWER_USAGE) &&
	    ASK(p, nvmlDeviceGetPowerUsage(p->device, &v)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_POWER_USAGE] = v / 1000.0;
	if (wanted(p, KF_FIELD_ENERGY) &&
	    ASK(p, nvmlDeviceGetTotalEnergyConsumption(p->device, &mj)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_ENERGY] = (double)mj;
}

/* With MIG on the driver tells none of these. */
static void read_utilisation(struct pass *p)
{
	nvmlUtilization_t u = {0};
	unsigned v = 0, period = 0;

	if (ASK(p, nvmlDeviceGetUtilizationRates(p->device, &u)) == NVML_SUCCESS) {
		p->board.of[KF_FIELD_GPU_UTIL] = u.gpu;
		p->board.of[KF_FIELD_MEM_COPY_UTIL] = u.memory;
	}
	if (wanted(p, KF_FIELD_ENC_UTIL) &&
	    ASK(p, nvmlDeviceGetEncoderUtilization(p->device, &v, &period)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_ENC_UTIL] = v;
	if (wanted(p, KF_FIELD_DEC_UTIL) &&
	    ASK(p, nvmlDeviceGetDecoderUtilization(p->device, &v, &period)) == NVML_SUCCESS)
		p->board.of[KF_FIELD_DEC_UTIL] = v;
}

/* Of a GPU or a MIG device.  Before R510 the driver counts what it reserves as used. */
static nvmlReturn_t read_memory(struct pass *p, nvmlDevice_t device, struct kf_values *v)
{
	nvmlMemory_v2_t m = {.version = KF_NVML_VERSION(nvmlMemory_v2_t, 2)};
	nvmlMemory_t old = {0};
	nvmlReturn_t r = ASK(p, nvmlDeviceGetMemoryInfo_v2(device, &m));

	if (r == NVML_SUCCESS) {
		v->of[KF_FIELD_FB_FREE] = floor((double)m.free / MIB);
		v->of[KF_FIELD_FB_USED] = floor((double)m.used / MIB);
		v->of[KF_FIELD_FB_RESERVED] = floor((double)m.reserved / MIB);
		return r;
	}
	if (r != NVML_ERROR_FUNCTION_NOT_FOUND)
		return r;
	r = ASK(p, nvmlDeviceGetMemoryInfo(device, &old));
	if (r == NVML_SUCCESS) {
		v->of[KF_FIELD_FB_FREE] = floor((double)old.free / MIB);
		v->of[KF_FIELD_FB_USED] = floor((double)old.used / MIB);
	}
	return r;
}

/* --- GPM ----------------------------------------------------------------------------------- */

static const struct {
	enum kf_field field;
	unsigned id; /* NVML's metric */
	double unit; /* what 1 of NVML's is */
} by_gpm[] = {
	{KF_FIELD_GR_ACTIVE, 1, 0.01},	  {KF_FIELD_SM_ACTIVE, 2, 0.01},
	{KF_FIELD_SM_OCCUPANCY, 3, 0.01}, {KF_FIELD_TENSOR_ACTIVE, 5, 0.01},
	{KF_FIELD_DRAM_ACTIVE, 10, 0.01}, {KF_FIELD_FP64_ACTIVE, 11, 0.01},
	{KF_FIELD_FP32_ACTIVE, 12, 0.01}, {KF_FIELD_FP16_ACTIVE, 13, 0.01},
	{KF_FIELD_PCIE_TX, 20, MIB},	  {KF_FIELD_PCIE_RX, 21, MIB},
	{KF_FIELD_NVLINK_RX, 60, MIB},	  {KF_FIELD_NVLINK_TX, 61, MIB},
};
#define N_BY_GPM (sizeof(by_gpm) / sizeof(by_gpm[0]))

static int has_gpm(struct pass *p)
{
	nvmlGpmSupport_t support = {.version = NVML_GPM_SUPPORT_VERSION};

	if (p->st->has_gpm == 0)
		p->st->has_gpm =
			ASK(p, nvmlGpmQueryDeviceSupport(p->device, &support)) == NVML_SUCCESS &&
					support.isSupportedDevice
				? 1
				: -1;
	return p->st->has_gpm > 0;
}

static struct kf_sample_gpm *find_gpm(struct pass *p, unsigned gi)
{
	struct kf_sample_gpm *m;
	unsigned i;

	for (i = 0; i < p->st->n_gpm; i++)
		if (p->st->gpm[i].gi == gi)
			return &p->st->gpm[i];
	if (p->st->n_gpm == KF_MAX_INSTANCES)
		return NULL;
	m = &p->st->gpm[p->st->n_gpm];
	*m = (struct kf_sample_gpm){.gi = gi};
	if (ASK(p, nvmlGpmSampleAlloc(&m->before)) != NVML_SUCCESS)
		return NULL;
	if (ASK(p, nvmlGpmSampleAlloc(&m->now)) != NVML_SUCCESS) {
		p->nv->nvmlGpmSampleFree(m->before);
		return NULL;
	}
	p->st->n_gpm++;
	return m;
}

/* The averages between the two samples. */
static void take_gpm(struct pass *p, const struct kf_sample_gpm *m, struct kf_values *v)
{
	union {
		nvmlGpmMetricsGet_t get;
		char room[sizeof(nvmlGpmMetricsGet_t) + N_BY_GPM * sizeof(nvmlGpmMetric_t)];
	} u;
	unsigned i;

	memset(&u, 0, sizeof(u));
	u.get.version = NVML_GPM_METRICS_GET_VERSION;
	u.get.numMetrics = N_BY_GPM;
	u.get.sample1 = m->before;
	u.get.sample2 = m->now;
	for (i = 0; i < N_BY_GPM; i++)
		u.get.metrics[i].metricId = by_gpm[i].id;
	if (ASK(p, nvmlGpmMetricsGet(&u.get)) != NVML_SUCCESS)
		return;
	for (i = 0; i < N_BY_GPM; i++)
		if (u.get.metrics[i].nvmlReturn == NVML_SUCCESS && !isnan(u.get.metrics[i].value))
			v->of[by_gpm[i].field] = u.get.metrics[i].value * by_gpm[i].unit;
}

/* Of the whole GPU (gi == KF_NONE) or an instance; the first time there is nothing to compare. */
static void read_gpm(struct pass *p, unsigned gi, struct kf_values *v)
{
	struct kf_sample_gpm *m = has_gpm(p) ? find_gpm(p, gi) : NULL;
	nvmlGpmSample_t swap;
	nvmlReturn_t r;

	if (!m)
		return;
	r = gi == KF_NONE ? ASK(p, nvmlGpmSampleGet(p->device, m->now))
			  : ASK(p, nvmlGpmMigSampleGet(p->device, gi, m->now));
	if (r == NVML_SUCCESS && m->full)
		take_gpm(p, m, v);
	m->full = r == NVML_SUCCESS;
	swap = m->before;
	m->before = m->now;
	m->now = swap;
}

/* --- slices -------------------------------------------------------------------------------- */

/*
 * The MIG handle lives no longer than this reading: one that is held keeps other programs from
 * destroying the instance.  Utilisation that the driver has not with MIG on is GPM's: the time
 * that something ran on the instance is its graphics engine's.
 */
static void read_slice(struct pass *p, const struct kf_view_slice *slice)
{
	struct kf_reading_instance *in;
	nvmlDevice_t mig;
	unsigned i;

	for (i = 0; i < p->n_instances; i++)
		if (p->instance[i].gi == slice->gi)
			return;
	if (p->n_instances == KF_MAX_INSTANCES)
		return;
	in = &p->instance[p->n_instances++];
	in->gi = slice->gi;
	no_values(&in->values);
	if (slice->uuid[0] && ASK(p, nvmlDeviceGetHandleByUUID(slice->uuid, &mig)) == NVML_SUCCESS)
		read_memory(p, mig, &in->values);
	read_gpm(p, slice->gi, &in->values);
	if (!isnan(in->values.of[KF_FIELD_GR_ACTIVE]))
		in->values.of[KF_FIELD_GPU_UTIL] =
			floor(in->values.of[KF_FIELD_GR_ACTIVE] * 100 + 0.5);
}

/* --- processes ----------------------------------------------------------------------------- */

static struct kf_reading_process *find_process(struct pass *p, unsigned pid, unsigned gi)
{
	unsigned i;

	for (i = 0; i < p->n_processes; i++)
		if (p->process[i].pid == pid && (gi == KF_NONE || p->process[i].gi == gi))
			return &p->process[i];
	return NULL;
}

static void take_process(struct pass *p, const nvmlProcessInfo_t *info, int mps)
{
	struct kf_reading_process *found = find_process(p, info->pid, info->gpuInstanceId);

	if (found) { /* in several lists */
		found->mps |= mps;
		return;
	}
	if (kf_grow(&p->process, &p->capacity, p->n_processes + 1, sizeof(*p->process)) < 0)
		return;
	p->process[p->n_processes++] = (struct kf_reading_process){
		.pid = info->pid,
		.gi = info->gpuInstanceId,
		.ci = info->computeInstanceId,
		.memory_bytes = info->usedGpuMemory == NVML_VALUE_NOT_AVAILABLE_ULL
					? UINT64_MAX
					: info->usedGpuMemory,
		.sm = NAN,
		.mps = mps,
	};
}

typedef nvmlReturn_t list_call(nvmlDevice_t, unsigned *, nvmlProcessInfo_t *);

/* The list may grow between the question how long it is and the list. */
static void read_list(struct pass *p, list_call *list, int mps)
{
	kf_auto_mem nvmlProcessInfo_t *info = NULL;
	size_t capacity = 0;
	unsigned n = 0, i;
	nvmlReturn_t r;

	begin(p);
	r = ended(p, list(p->device, &n, NULL));
	for (i = 0; r == NVML_ERROR_INSUFFICIENT_SIZE && i < PROCESS_TRIES; i++) {
		n += MORE_PROCESSES;
		if (kf_grow(&info, &capacity, n, sizeof(*info)) < 0)
			return;
		begin(p);
		r = ended(p, list(p->device, &n, info));
	}
	for (i = 0; info && r == NVML_SUCCESS && i < n; i++)
		take_process(p, &info[i], mps);
}

/* Mean over the samples of one process that came since the reading before; idle ones have none. */
static void take_samples(struct pass *p, const nvmlProcessUtilizationSample_t *s, unsigned n)
{
	unsigned i, k, of;

	for (i = 0; i < p->n_processes; i++) {
		double sum = 0;

		for (k = 0, of = 0; k < n; k++)
			if (s[k].pid == p->process[i].pid && s[k].timeStamp > p->st->seen_us) {
				sum += s[k].smUtil > 100 ? 100 : s[k].smUtil;
				of++;
			}
		p->process[i].sm = of ? sum / of / 100 : 0;
	}
	for (k = 0; k < n; k++)
		if (s[k].timeStamp > p->st->seen_us)
			p->st->seen_us = s[k].timeStamp;
}

static void read_process_utilisation(struct pass *p)
{
	kf_auto_mem nvmlProcessUtilizationSample_t *s = NULL;
	unsigned n = 0;
	nvmlReturn_t r;

	if (p->n_processes == 0)
		return;
	r = ASK(p, nvmlDeviceGetProcessUtilization(p->device, NULL, &n, p->st->seen_us));
	if (r == NVML_ERROR_NOT_FOUND || (r == NVML_SUCCESS && n == 0)) { /* all of them idle */
		take_samples(p, NULL, 0);
		return;
	}
	if (r != NVML_ERROR_INSUFFICIENT_SIZE)
		return;
	n = n + MORE_PROCESSES > UTILISATION_MAX ? UTILISATION_MAX : n + MORE_PROCESSES;
	s = kf_calloc(n, sizeof(*s));
	if (!s)
		return;
	r = ASK(p, nvmlDeviceGetProcessUtilization(p->device, s, &n, p->st->seen_us));
	if (r == NVML_SUCCESS)
		take_samples(p, s, n);
	else if (r == NVML_ERROR_NOT_FOUND)
		take_samples(p, NULL, 0);
}

static void read_processes(struct pass *p)
{
	unsigned i;

	read_list(p, p->nv->nvmlDeviceGetComputeRunningProcesses_v3, 0);
	read_list(p, p->nv->nvmlDeviceGetGraphicsRunningProcesses_v3, 0);
	read_list(p, p->nv->nvmlDeviceGetMPSComputeRunningProcesses_v3, 1);
	if (!p->view->gpu[p->g].mig)
		read_process_utilisation(p);
	for (i = 0; i < p->n_processes; i++) {
		struct kf_cgroup group;

		if (kf_cgroup_of(p->opt->root, p->process[i].pid, &group))
			memcpy(p->process[i].pod_uid, group.pod_uid, sizeof(group.pod_uid));
	}
}

/* --- all of it ----------------------------------------------------------------------------- */

static void read_labels(struct pass *p, struct kf_reading *r)
{
	const int *want = p->opt->counters->label;

	if (want[KF_LABEL_DRIVER])
		ASK(p, nvmlSystemGetDriverVersion(r->label[KF_LABEL_DRIVER], sizeof(r->label[0])));
	if (want[KF_LABEL_NVML])
		ASK(p, nvmlSystemGetNVMLVersion(r->label[KF_LABEL_NVML], sizeof(r->label[0])));
	if (want[KF_LABEL_SERIAL])
		ASK(p,
		    nvmlDeviceGetSerial(p->device, r->label[KF_LABEL_SERIAL], sizeof(r->label[0])));
	if (want[KF_LABEL_VBIOS])
		ASK(p, nvmlDeviceGetVbiosVersion(p->device, r->label[KF_LABEL_VBIOS],
						 sizeof(r->label[0])));
}

static void read_all(struct pass *p)
{
	const struct kf_view_gpu *gpu = &p->view->gpu[p->g];
	unsigned i;

	read_sensors(p);
	read_fields(p);
	p->board.of[KF_FIELD_XID_ERRORS] = gpu->last_xid;
	/* A licence is a matter of virtual GPUs' guests; here there is none. */
	p->board.of[KF_FIELD_VGPU_LICENSE] = 0;
	if (!gpu->mig) {
		read_utilisation(p);
		read_gpm(p, KF_NONE, &p->board);
	}
	for (i = 0; gpu->mig && i < p->view->n_slices; i++)
		if (p->view->slice[i].gpu == p->g)
			read_slice(p, &p->view->slice[i]);
	read_processes(p);
}

/* Samples of instances that may be others by now are worth nothing. */
static void keep_up(const struct kf_nvml *nv, struct kf_sample *st, const struct kf_view *view,
		    unsigned g)
{
	const char *uuid = view->gpu[g].uuid;

	if (!strcmp(st->uuid, uuid) && st->epoch == view->epoch)
		return;
	kf_sample_done(nv, st);
	memcpy(st->uuid, uuid, sizeof(st->uuid));
	st->epoch = view->epoch;
}

static int fill(struct pass *p, const struct kf_reading *before, uint64_t began,
		struct kf_reading **ret, struct kf_error *err)
{
	unsigned n_pods = kf_sample_count_pods(p->view, p->g);
	struct kf_reading *r = kf_reading_new(p->n_instances, p->n_processes, n_pods);
	uint64_t now = now_us();
	int32_t us;

	if (!r)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a reading of a GPU");
	memcpy(r->uuid, p->view->gpu[p->g].uuid, sizeof(r->uuid));
	r->board = p->board;
	r->n_instances = p->n_instances;
	memcpy(r->instance, p->instance, p->n_instances * sizeof(*r->instance));
	r->n_processes = p->n_processes;
	if (p->n_processes)
		memcpy(r->process, p->process, p->n_processes * sizeof(*r->process));
	read_labels(p, r);
	r->at_ms = kf_now_ms();
	kf_wall(&r->wall_ms, &us);
	r->wall_ms = r->wall_ms * 1000 + us / 1000;
	r->took_us = (unsigned)(now - began);
	kf_sample_attribute(r, p->view, p->g, before,
			    p->st->at_us ? (double)(now - p->st->at_us) / 1e6 : 0);
	p->st->at_us = now;
	*ret = r;
	return 0;
}

int kf_sample_gpu(const struct kf_nvml *nv, struct kf_sample *st, const struct kf_view *view,
		  unsigned g, const struct kf_reading *before, const struct kf_sample_options *opt,
		  struct kf_reading **ret, struct kf_error *err)
{
	struct pass p = {.nv = nv, .st = st, .view = view, .g = g, .opt = opt};
	uint64_t began = now_us();
	nvmlReturn_t r;
	int answer = -1;

	no_values(&p.board);
	keep_up(nv, st, view, g);
	r = ASK(&p, nvmlDeviceGetHandleByUUID(view->gpu[g].uuid, &p.device));
	if (r == NVML_SUCCESS)
		r = read_memory(&p, p.device, &p.board);
	if (r != NVML_SUCCESS && r != NVML_ERROR_NOT_SUPPORTED) {
		kf_nvml_fail(err, nv, r, "measure gpu %s", view->gpu[g].uuid);
	} else {
		read_all(&p);
		answer = fill(&p, before, began, ret, err);
	}
	free(p.process);
	return answer;
}

void kf_sample_done(const struct kf_nvml *nv, struct kf_sample *st)
{
	unsigned i;

	for (i = 0; i < st->n_gpm; i++) {
		nv->nvmlGpmSampleFree(st->gpm[i].before);
		nv->nvmlGpmSampleFree(st->gpm[i].now);
	}
	*st = (struct kf_sample){0};
}
