/* What changes by itself: load, power, heat, clocks, errors; and the settings beside them. */
#include <string.h>

#include "nvml/getters.h"

/* The sum over all instances, in per cent * microseconds, of everything that ran. */
static uint64_t worked(const struct spot *at)
{
	uint64_t sum = 0, now = kf_sim_us();
	unsigned i;

	for (i = 0; i <= KF_MAX_INSTANCES; i++)
		sum += at->now->sm_done[i];
	for (i = 0; i < kf_sim_here.state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(&kf_sim_here, i);

		if (p && p->gpu == at->index)
			sum += p->sm * (now - p->since_us);
	}
	return sum;
}

static unsigned span_mw(const struct spot *at)
{
	unsigned limit = at->now->power_limit_mw;

	return limit > at->product->idle_mw ? limit - at->product->idle_mw : 0;
}

static unsigned busy(const struct spot *at)
{
	struct load load;

	kf_sim_load(at, &load);
	return load.sm;
}

unsigned kf_sim_power_mw(const struct spot *at)
{
	return at->product->idle_mw + span_mw(at) / 100 * busy(at);
}

/* mW * us is a nanojoule. */
uint64_t kf_sim_energy_mj(const struct spot *at)
{
	uint64_t up = kf_sim_us() - kf_sim_here.state->boot_us;

	return at->product->idle_mw * up / 1000000 + span_mw(at) * (worked(at) / 100) / 1000000;
}

unsigned kf_sim_celsius(const struct spot *at)
{
	return 33 + busy(at) * 2 / 5;
}

static unsigned clock_of(const struct spot *at, unsigned type)
{
	return busy(at) ? at->product->max_clock_mhz[type] : at->product->clock_mhz[type];
}

BOARD_NUMBER(nvmlDeviceGetPowerUsage, kf_sim_power_mw(&at))
BOARD_NUMBER(nvmlDeviceGetPowerManagementLimit, at.now->power_limit_mw)
BOARD_NUMBER(nvmlDeviceGetEnforcedPowerLimit, at.now->power_limit_mw)
BOARD_NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, at.product->limit_mw)
BOARD_NUMBER(nvmlDeviceGetPowerManagementMode, 1)
BOARD_LONG(nvmlDeviceGetTotalEnergyConsumption, kf_sim_energy_mj(&at))
BOARD_NUMBER(nvmlDeviceGetPerformanceState, 0)
BOARD_NUMBER(nvmlDeviceGetPowerState, 0)
BOARD_LONG(nvmlDeviceGetCurrentClocksEventReasons, busy(&at) ? 0 : 1) /* 1: idle */
BOARD_LONG(nvmlDeviceGetSupportedClocksEventReasons, 511)
ANY_NUMBER(nvmlDeviceGetPersistenceMode, at.now->persistence)
ANY_NUMBER(nvmlDeviceGetComputeMode, at.now->compute_mode)
BOARD_NUMBER(nvmlDeviceGetDisplayMode, 1) /* as recorded on boards without a display */
BOARD_NUMBER(nvmlDeviceGetDisplayActive, 0)
BOARD_NUMBER(nvmlDeviceGetDefaultEccMode, 1)
BOARD_NUMBER(nvmlDeviceGetNumFans, at.product->fan)
BOARD_NUMBER(nvmlDeviceGetAccountingMode, 0)

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, unsigned mode)
{
	struct spot at;

	LOCKED(nvmlDeviceSetPersistenceMode);
	WANT(mode <= 1);
	TRY(kf_sim_board(s, device, &at));
	PRIVILEGED();
	kf_sim_begin(s, at.index)->persistence = mode;
	kf_sim_commit(s, at.index);
	return NVML_SUCCESS;
}

/*
 * 0 default, 2 prohibited, 3 one process; 1, one thread, is no more.  nvml.h: with MIG on the mode
 * is the default and cannot be changed.
 */
nvmlReturn_t nvmlDeviceSetComputeMode(nvmlDevice_t device, unsigned mode)
{
	struct spot at;

	LOCKED(nvmlDeviceSetComputeMode);
	WANT(mode <= 3 && mode != 1);
	TRY(kf_sim_board(s, device, &at));
	if (at.now->mig_current)
		return NVML_ERROR_NOT_SUPPORTED;
	PRIVILEGED();
	kf_sim_begin(s, at.index)->compute_mode = mode;
	kf_sim_commit(s, at.index);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned mw)
{
	struct spot at;

	LOCKED(nvmlDeviceSetPowerManagementLimit);
	TRY(kf_sim_board(s, device, &at));
	WANT(mw >= at.product->least_mw && mw <= at.product->most_mw);
	PRIVILEGED();
	kf_sim_begin(s, at.index)->power_limit_mw = mw;
	kf_sim_commit(s, at.index);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *min_mw,
							  unsigned *max_mw)
{
	struct spot at;

	LOCKED(nvmlDeviceGetPowerManagementLimitConstraints);
	WANT(min_mw && max_mw);
	TRY(kf_sim_board(s, device, &at));
	*min_mw = at.product->least_mw;
	*max_mw = at.product->most_mw;
	return NVML_SUCCESS;
}

/* With MIG on the driver has no utilisation, neither of the GPU nor of a MIG device. */
static nvmlReturn_t unsliced(struct kf_sim_state *s, nvmlDevice_t device, struct load *ret)
{
	struct spot at;

	TRY(kf_sim_board(s, device, &at));
	if (at.now->mig_current)
		return NVML_ERROR_NOT_SUPPORTED;
	kf_sim_load(&at, ret);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
	struct load load;

	LOCKED(nvmlDeviceGetUtilizationRates);
	WANT(utilization);
	TRY(unsliced(s, device, &load));
	utilization->gpu = load.busy;
	utilization->memory = load.dram;
	return NVML_SUCCESS;
}

#define SAMPLED_US 100000 /* as recorded */

#define ENGINE(name, value)                                                                        \
	nvmlReturn_t name(nvmlDevice_t device, unsigned *percent, unsigned *period_us)             \
	{                                                                                          \
		struct load load;                                                                  \
                                                                                                   \
		LOCKED(name);                                                                      \
		WANT(percent &&period_us);                                                         \
		TRY(unsliced(s, device, &load));                                                   \
		*percent = (value);                                                                \
		*period_us = SAMPLED_US;                                                           \
		return NVML_SUCCESS;                                                               \
	}

ENGINE(nvmlDeviceGetEncoderUtilization, load.enc)
ENGINE(nvmlDeviceGetDecoderUtilization, load.dec)
ENGINE(nvmlDeviceGetJpgUtilization, 0)
ENGINE(nvmlDeviceGetOfaUtilization, 0)

nvmlReturn_t nvmlDeviceGetEncoderCapacity(nvmlDevice_t device, unsigned type, unsigned *capacity)
{
	struct spot at;

	LOCKED(nvmlDeviceGetEncoderCapacity);
	WANT(capacity && type <= 2);
	TRY(kf_sim_board(s, device, &at));
	*capacity = 100;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderStats(nvmlDevice_t device, unsigned *sessions, unsigned *fps,
				       unsigned *latency_us)
{
	struct spot at;

	LOCKED(nvmlDeviceGetEncoderStats);
	WANT(sessions && fps && latency_us);
	TRY(kf_sim_board(s, device, &at));
	*sessions = *fps = *latency_us = 0;
	return NVML_SUCCESS;
}

enum { POWER, GPU_UTIL, MEMORY_UTIL, ENC_UTIL, DEC_UTIL, PROCESSOR_CLOCK, MEMORY_CLOCK };

/* One sample, as fresh as the question. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, unsigned type,
				  unsigned long long last_seen_us, unsigned *value_type,
				  unsigned *count, nvmlSample_t *samples)
{
	struct load load;
	struct spot at;

	LOCKED(nvmlDeviceGetSamples);
	WANT(value_type && count && type <= MEMORY_CLOCK);
	TRY(kf_sim_board(s, device, &at));
	kf_sim_load(&at, &load);
	if (at.now->mig_current && type != POWER)
		return NVML_ERROR_NOT_SUPPORTED;
	const unsigned values[] = {
		kf_sim_power_mw(&at), load.busy,       load.dram, load.enc, load.dec,
		clock_of(&at, 1),     clock_of(&at, 2)};

	*value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
	if (samples && *count == 0)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	if (samples) {
		samples->timeStamp = kf_sim_wall_us();
		samples->sampleValue.ullVal = values[type];
	}
	*count = 1;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *celsius)
{
	struct spot at;

	LOCKED(nvmlDeviceGetTemperature);
	WANT(celsius && sensor == 0);
	TRY(kf_sim_board(s, device, &at));
	*celsius = kf_sim_celsius(&at);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
	struct spot at;

	LOCKED(nvmlDeviceGetTemperatureV);
	WANT(temperature);
	if (temperature->version != KF_NVML_VERSION(nvmlTemperature_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	WANT(temperature->sensorType == 0);
	TRY(kf_sim_board(s, device, &at));
	temperature->temperature = (int)kf_sim_celsius(&at);
	return NVML_SUCCESS;
}

/* Four of the eight kinds are known for data centre boards. */
nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, unsigned type,
					       unsigned *celsius)
{
	struct spot at;

	LOCKED(nvmlDeviceGetTemperatureThreshold);
	WANT(celsius && type < 8);
	TRY(kf_sim_board(s, device, &at));
	if (type >= 4 || !at.product->limit_c[type])
		return NVML_ERROR_NOT_SUPPORTED;
	*celsius = at.product->limit_c[type];
	return NVML_SUCCESS;
}

#define CLOCK(name, value)                                                                         \
	nvmlReturn_t name(nvmlDevice_t device, unsigned type, unsigned *mhz)                       \
	{                                                                                          \
		struct spot at;                                                                    \
                                                                                                   \
		LOCKED(name);                                                                      \
		WANT(mhz &&type < 4);                                                              \
		TRY(kf_sim_board(s, device, &at));                                                 \
		*mhz = (value);                                                                    \
		return NVML_SUCCESS;                                                               \
	}

CLOCK(nvmlDeviceGetClockInfo, clock_of(&at, type))
CLOCK(nvmlDeviceGetMaxClockInfo, at.product->max_clock_mhz[type])
CLOCK(nvmlDeviceGetApplicationsClock, at.product->max_clock_mhz[type])
CLOCK(nvmlDeviceGetDefaultApplicationsClock, at.product->max_clock_mhz[type])
CLOCK(nvmlDeviceGetMaxCustomerBoostClock, at.product->max_clock_mhz[type])

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, unsigned type, unsigned which, unsigned *mhz)
{
	struct spot at;

	LOCKED(nvmlDeviceGetClock);
	WANT(mhz && type < 4 && which < 4);
	TRY(kf_sim_board(s, device, &at));
	*mhz = which == 0 ? clock_of(&at, type) : at.product->max_clock_mhz[type];
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned *percent)
{
	struct spot at;

	LOCKED(nvmlDeviceGetFanSpeed);
	WANT(percent);
	TRY(kf_sim_board(s, device, &at));
	if (!at.product->fan)
		return NVML_ERROR_NOT_SUPPORTED;
	*percent = 30 + busy(&at) / 2;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned fan, unsigned *percent)
{
	struct spot at;

	LOCKED(nvmlDeviceGetFanSpeed_v2);
	WANT(percent);
	TRY(kf_sim_board(s, device, &at));
	WANT(fan < at.product->fan || !at.product->fan);
	if (!at.product->fan)
		return NVML_ERROR_NOT_SUPPORTED;
	*percent = 30 + busy(&at) / 2;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinMaxFanSpeed(nvmlDevice_t device, unsigned *min, unsigned *max)
{
	struct spot at;

	LOCKED(nvmlDeviceGetMinMaxFanSpeed);
	WANT(min && max);
	TRY(kf_sim_board(s, device, &at));
	WANT(at.product->fan); /* as recorded, not NOT_SUPPORTED */
	*min = 30;
	*max = 100;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, unsigned *current, unsigned *pending)
{
	struct spot at;

	LOCKED(nvmlDeviceGetEccMode);
	WANT(current && pending);
	TRY(kf_sim_any(s, device, &at));
	*current = *pending = 1;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned error, unsigned counter,
					 unsigned long long *count)
{
	struct spot at;

	LOCKED(nvmlDeviceGetTotalEccErrors);
	WANT(count && error < 2 && counter < 2);
	TRY(kf_sim_any(s, device, &at));
	*count = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, unsigned error, unsigned counter,
					     unsigned location, unsigned long long *count)
{
	struct spot at;

	LOCKED(nvmlDeviceGetMemoryErrorCounter);
	WANT(count && error < 2 && counter < 2 && location < 8);
	TRY(kf_sim_any(s, device, &at));
	*count = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, unsigned *pending)
{
	struct spot at;

	LOCKED(nvmlDeviceGetRetiredPagesPendingStatus);
	WANT(pending);
	TRY(kf_sim_board(s, device, &at));
	if (!at.product->retired)
		return NVML_ERROR_NOT_SUPPORTED;
	*pending = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected,
				       unsigned *uncorrected, unsigned *pending, unsigned *failed)
{
	struct spot at;

	LOCKED(nvmlDeviceGetRemappedRows);
	WANT(corrected && uncorrected && pending && failed);
	TRY(kf_sim_board(s, device, &at));
	if (at.product->retired)
		return NVML_ERROR_NOT_SUPPORTED;
	*corrected = *uncorrected = 0;
	*pending = at.now->remap & 1;
	*failed = at.now->remap >> 1;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device,
					       nvmlRowRemapperHistogramValues_t *values)
{
	struct spot at;

	LOCKED(nvmlDeviceGetRowRemapperHistogram);
	WANT(values);
	TRY(kf_sim_board(s, device, &at));
	if (at.product->retired)
		return NVML_ERROR_NOT_SUPPORTED;
	*values = (nvmlRowRemapperHistogramValues_t){.max = at.product->remap_rows};
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned counter, unsigned *kb_s)
{
	struct spot at;

	LOCKED(nvmlDeviceGetPcieThroughput);
	WANT(kb_s && counter <= 1);
	TRY(kf_sim_board(s, device, &at));
	*kb_s = busy(&at) * 1000;
	return NVML_SUCCESS;
}
