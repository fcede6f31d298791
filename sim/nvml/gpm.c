/*
 * Performance metrics (Hopper and later): averages between two samples.
 *
 * A sample holds sums over time of what ran on the GPU or instance; a metric is the difference of
 * two sums over the time between them, so it is right however far apart they are.
 */
#include <stdlib.h>

#include "nvml/library.h"

#define MAGIC 0x4B47504Du

struct nvmlGpmSample_st {
	uint32_t magic;
	uint32_t gpu, gi; /* gi: KF_MAX_INSTANCES for the GPU; magic alone says that it was got */
	uint64_t at_us, sm, dram;
};

/* Names as recorded; what has none there is answered all the same: 0 %. */
static const char *const names[98] = {
	[1] = "gract",	  [2] = "smutil",   [3] = "smocc",    [4] = "intutil",	[5] = "mmaact",
	[6] = "dfmat",	  [7] = "hmmat",    [9] = "immat",    [10] = "dram",	[11] = "fp64",
	[12] = "fp32",	  [13] = "fp16",    [20] = "pcitx",   [21] = "pcirx",	[30] = "nvdec0",
	[31] = "nvdec1",  [32] = "nvdec2",  [33] = "nvdec3",  [34] = "nvdec4",	[35] = "nvdec5",
	[36] = "nvdec6",  [37] = "nvdec7",  [40] = "nvjpg0",  [41] = "nvjpg1",	[42] = "nvjpg2",
	[43] = "nvjpg3",  [44] = "nvjpg4",  [45] = "nvjpg5",  [46] = "nvjpg6",	[47] = "nvjpg7",
	[50] = "nvofa0",  [51] = "nvofa1",  [60] = "nvlrx",   [61] = "nvltx",	[62] = "nvl0rx",
	[63] = "nvl0tx",  [64] = "nvl1rx",  [65] = "nvl1tx",  [66] = "nvl2rx",	[67] = "nvl2tx",
	[68] = "nvl3rx",  [69] = "nvl3tx",  [70] = "nvl4rx",  [71] = "nvl4tx",	[72] = "nvl5rx",
	[73] = "nvl5tx",  [74] = "nvl6rx",  [75] = "nvl6tx",  [76] = "nvl7rx",	[77] = "nvl7tx",
	[78] = "nvl8rx",  [79] = "nvl8tx",  [80] = "nvl9rx",  [81] = "nvl9tx",	[82] = "nvl10rx",
	[83] = "nvl10tx", [84] = "nvl11rx", [85] = "nvl11tx", [86] = "nvl12rx", [87] = "nvl12tx",
	[88] = "nvl13rx", [89] = "nvl13tx", [90] = "nvl14rx", [91] = "nvl14tx", [92] = "nvl15rx",
	[93] = "nvl15tx", [94] = "nvl16rx", [95] = "nvl16tx", [96] = "nvl17rx", [97] = "nvl17tx",
};

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support)
{
	struct spot at;

	LOCKED(nvmlGpmQueryDeviceSupport);
	WANT(support);
	if (support->version != NVML_GPM_SUPPORT_VERSION)
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	TRY(kf_sim_any(s, device, &at));
	support->isSupportedDevice = at.product->gpm;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample)
{
	UNLOCKED(nvmlGpmSampleAlloc);
	WANT(sample);
	*sample = calloc(1, sizeof(**sample));
	return *sample ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample)
{
	int there = sample != NULL;

	free(sample); /* plain memory, whatever has become of the driver meanwhile */
	UNLOCKED(nvmlGpmSampleFree);
	WANT(there);
	return NVML_SUCCESS;
}

/* Sums over one GPU instance, or over everything (gi == KF_MAX_INSTANCES). */
static void measure(const struct spot *at, unsigned gi, nvmlGpmSample_t sample)
{
	uint64_t sm = 0, dram = 0, now = kf_sim_us();
	unsigned i;

	for (i = 0; i <= KF_MAX_INSTANCES; i++)
		if (gi == KF_MAX_INSTANCES || i == gi) {
			sm += at->now->sm_done[i];
			dram += at->now->dram_done[i];
		}
	for (i = 0; i < kf_sim_here.state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(&kf_sim_here, i);

		if (!p || p->gpu != at->index || (gi != KF_MAX_INSTANCES && p->gi != gi))
			continue;
		sm += p->sm * (now - p->since_us);
		dram += p->dram * (now - p->since_us);
	}
	*sample = (struct nvmlGpmSample_st){MAGIC, at->index, gi, now, sm, dram};
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample)
{
	struct spot at;

	LOCKED(nvmlGpmSampleGet);
	WANT(sample);
	TRY(kf_sim_any(s, device, &at));
	if (!at.product->gpm || (at.mig && s->machine.driver_major < 595))
		return NVML_ERROR_NOT_SUPPORTED;
	measure(&at, at.mig ? at.gi : KF_MAX_INSTANCES, sample);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned gi, nvmlGpmSample_t sample)
{
	struct spot at;

	LOCKED(nvmlGpmMigSampleGet);
	WANT(sample);
	TRY(kf_sim_board(s, device, &at));
	if (!at.product->gpm || !at.now->mig_current)
		return NVML_ERROR_NOT_SUPPORTED;
	WANT(gi < KF_MAX_INSTANCES && at.now->gi[gi].used);
	measure(&at, gi, sample);
	return NVML_SUCCESS;
}

static int is_rate(unsigned id)
{
	return id == 20 || id == 21 || id >= 60;
}

/* SM activity and what hangs on it, memory activity; the rest idles. */
static double value(unsigned id, double sm, double dram)
{
	switch (id) {
	case 1: /* graphics engine */
	case 2: /* SM */
		return sm;
	case 3: /* occupancy */
		return sm / 2;
	case 10:
		return dram;
	default:
		return 0;
	}
}

static void fill(nvmlGpmMetric_t *m, double sm, double dram)
{
	m->metricInfo.shortName = m->metricInfo.longName = NULL;
	m->nvmlReturn = NVML_ERROR_INVALID_ARGUMENT;
	if (m->metricId == 0 || m->metricId >= sizeof(names) / sizeof(names[0]))
		return;
	m->nvmlReturn = NVML_SUCCESS;
	m->value = value(m->metricId, sm, dram);
	m->metricInfo.shortName = (char *)names[m->metricId];
	m->metricInfo.longName = (char *)names[m->metricId];
	m->metricInfo.unit = is_rate(m->metricId) ? (char *)"MiB/s" : (char *)"%";
}

static double average(uint64_t from, uint64_t to, uint64_t us)
{
	double percent = us ? (double)(to - from) / (double)us : 0;

	return percent > 100 ? 100 : percent;
}

/* Touches numMetrics entries and nothing behind them: the array's length is the caller's. */
nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *get)
{
	const struct nvmlGpmSample_st *a, *b;
	double sm, dram;
	unsigned i;

	UNLOCKED(nvmlGpmMetricsGet);
	WANT(get);
	if (get->version != NVML_GPM_METRICS_GET_VERSION)
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	a = get->sample1;
	b = get->sample2;
	WANT(a && b && a->magic == MAGIC && b->magic == MAGIC && a->gpu == b->gpu &&
	     a->gi == b->gi && a->at_us <= b->at_us && a->sm <= b->sm && a->dram <= b->dram);
	sm = average(a->sm, b->sm, b->at_us - a->at_us);
	dram = average(a->dram, b->dram, b->at_us - a->at_us);
	for (i = 0; i < get->numMetrics; i++)
		fill(&get->metrics[i], sm, dram);
	return NVML_SUCCESS;
}
