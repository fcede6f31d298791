/* Names of the calls; see calls.h. */
#include "core/calls.h"

#include <string.h>

#include "core/state.h"

static_assert(KF_N_CALLS <= KF_SIM_CALLS_MAX, "the state has too few counters");

static const char *const names[KF_N_CALLS] = {"all",
#define X(name, ...) #name,
					      KF_SIM_CALLS(X)
#undef X
};

static const struct {
	const char *name;
	unsigned call;
} aliases[] = {
#define X(name, target, ...) {#name, KF_CALL_##target},
	KF_SIM_ALIASES(X)
#undef X
};

unsigned kf_sim_call_find(const char *name)
{
	unsigned i;

	for (i = 0; i < KF_N_CALLS; i++)
		if (!strcmp(names[i], name))
			return i;
	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (!strcmp(aliases[i].name, name))
			return aliases[i].call;
	return KF_N_CALLS;
}

const char *kf_sim_call_name(unsigned call)
{
	return call < KF_N_CALLS ? names[call] : "unknown";
}

int kf_sim_call_changes(unsigned call)
{
	switch (call) {
	case KF_CALL_nvmlDeviceSetMigMode:
	case KF_CALL_nvmlDeviceCreateGpuInstance:
	case KF_CALL_nvmlDeviceCreateGpuInstanceWithPlacement:
	case KF_CALL_nvmlGpuInstanceDestroy:
	case KF_CALL_nvmlGpuInstanceCreateComputeInstance:
	case KF_CALL_nvmlGpuInstanceCreateComputeInstanceWithPlacement:
	case KF_CALL_nvmlComputeInstanceDestroy:
	case KF_CALL_nvmlDeviceSetPersistenceMode:
	case KF_CALL_nvmlDeviceSetComputeMode:
	case KF_CALL_nvmlDeviceSetPowerManagementLimit:
		return 1;
	default:
		return 0;
	}
}
