/*
 * Every call that the simulated driver library exports, numbered, so that a fault can be asked of
 * any of them by name and calls can be counted.
 */
#pragma once

#include "nvml/abi.h"

/* Written out like those of abi.h, but asked by others' programs only. */
#define KF_SIM_MORE(X)                                                                             \
	X(nvmlSystemGetDriverBranch, (void *branch, unsigned length))                              \
	X(nvmlUnitGetCount, (unsigned *count))                                                     \
	X(nvmlGetExcludedDeviceCount, (unsigned *count))                                           \
	X(nvmlDeviceGetHandleBySerial, (const char *serial, nvmlDevice_t *device))                 \
	X(nvmlDeviceGetJpgUtilization,                                                             \
	  (nvmlDevice_t device, unsigned *percent, unsigned *period_us))                           \
	X(nvmlDeviceGetOfaUtilization,                                                             \
	  (nvmlDevice_t device, unsigned *percent, unsigned *period_us))                           \
	X(nvmlDeviceGetDisplayMode, (nvmlDevice_t device, unsigned *mode))                         \
	X(nvmlDeviceGetDisplayActive, (nvmlDevice_t device, unsigned *active))                     \
	X(nvmlDeviceGetRetiredPagesPendingStatus, (nvmlDevice_t device, unsigned *pending))        \
	X(nvmlDeviceGetSupportedClocksEventReasons,                                                \
	  (nvmlDevice_t device, unsigned long long *reasons))                                      \
	X(nvmlDeviceGetMaxPcieLinkGeneration, (nvmlDevice_t device, unsigned *generation))         \
	X(nvmlDeviceGetGpuMaxPcieLinkGeneration, (nvmlDevice_t device, unsigned *generation))      \
	X(nvmlDeviceGetMaxPcieLinkWidth, (nvmlDevice_t device, unsigned *width))                   \
	X(nvmlDeviceGetPcieReplayCounter, (nvmlDevice_t device, unsigned *count))                  \
	X(nvmlDeviceGetPcieSpeed, (nvmlDevice_t device, unsigned *mbps))                           \
	X(nvmlDeviceGetMemoryBusWidth, (nvmlDevice_t device, unsigned *bits))                      \
	X(nvmlDeviceGetBoardId, (nvmlDevice_t device, unsigned *id))                               \
	X(nvmlDeviceGetMultiGpuBoard, (nvmlDevice_t device, unsigned *multi))                      \
	X(nvmlDeviceGetModuleId, (nvmlDevice_t device, unsigned *id))                              \
	X(nvmlDeviceGetInforomImageVersion, (nvmlDevice_t device, char *version, unsigned length)) \
	X(nvmlDeviceGetVirtualizationMode, (nvmlDevice_t device, unsigned *mode))                  \
	X(nvmlDeviceGetAddressingMode, (nvmlDevice_t device, void *mode))                          \
	X(nvmlDeviceGetGspFirmwareVersion, (nvmlDevice_t device, char *version))                   \
	X(nvmlDeviceGetGspFirmwareMode, (nvmlDevice_t device, unsigned *on, unsigned *standard))   \
	X(nvmlDeviceGetMinMaxFanSpeed, (nvmlDevice_t device, unsigned *min, unsigned *max))        \
	X(nvmlDeviceGetNumFans, (nvmlDevice_t device, unsigned *count))                            \
	X(nvmlDeviceGetFanSpeed, (nvmlDevice_t device, unsigned *percent))                         \
	X(nvmlDeviceGetFanSpeed_v2, (nvmlDevice_t device, unsigned fan, unsigned *percent))        \
	X(nvmlDeviceGetTemperatureThreshold,                                                       \
	  (nvmlDevice_t device, unsigned type, unsigned *celsius))                                 \
	X(nvmlDeviceGetPowerManagementMode, (nvmlDevice_t device, unsigned *mode))                 \
	X(nvmlDeviceGetPowerManagementDefaultLimit, (nvmlDevice_t device, unsigned *mw))           \
	X(nvmlDeviceGetPowerManagementLimitConstraints,                                            \
	  (nvmlDevice_t device, unsigned *min_mw, unsigned *max_mw))                               \
	X(nvmlDeviceSetPowerManagementLimit, (nvmlDevice_t device, unsigned mw))                   \
	X(nvmlDeviceGetPowerState, (nvmlDevice_t device, unsigned *state))                         \
	X(nvmlDeviceGetDefaultEccMode, (nvmlDevice_t device, unsigned *mode))                      \
	X(nvmlDeviceGetMemoryErrorCounter, (nvmlDevice_t device, unsigned error, unsigned counter, \
					    unsigned location, unsigned long long *count))         \
	X(nvmlDeviceGetClock, (nvmlDevice_t device, unsigned type, unsigned which, unsigned *mhz)) \
	X(nvmlDeviceGetApplicationsClock, (nvmlDevice_t device, unsigned type, unsigned *mhz))     \
	X(nvmlDeviceGetDefaultApplicationsClock,                                                   \
	  (nvmlDevice_t device, unsigned type, unsigned *mhz))                                     \
	X(nvmlDeviceGetMaxCustomerBoostClock, (nvmlDevice_t device, unsigned type, unsigned *mhz)) \
	X(nvmlDeviceGetCpuAffinityWithinScope,                                                     \
	  (nvmlDevice_t device, unsigned n, unsigned long *cpus, unsigned scope))                  \
	X(nvmlDeviceGetTopologyNearestGpus,                                                        \
	  (nvmlDevice_t device, unsigned level, unsigned *count, nvmlDevice_t *near))              \
	X(nvmlDeviceOnSameBoard, (nvmlDevice_t a, nvmlDevice_t b, int *same))                      \
	X(nvmlDeviceGetNvLinkVersion, (nvmlDevice_t device, unsigned link, unsigned *version))     \
	X(nvmlDeviceGetNvLinkCapability,                                                           \
	  (nvmlDevice_t device, unsigned link, unsigned capability, unsigned *result))             \
	X(nvmlDeviceGetNvLinkErrorCounter,                                                         \
	  (nvmlDevice_t device, unsigned link, unsigned counter, unsigned long long *value))       \
	X(nvmlDeviceGetNvLinkRemoteDeviceType,                                                     \
	  (nvmlDevice_t device, unsigned link, unsigned *type))                                    \
	X(nvmlDeviceGetEncoderCapacity, (nvmlDevice_t device, unsigned type, unsigned *capacity))  \
	X(nvmlDeviceGetEncoderStats,                                                               \
	  (nvmlDevice_t device, unsigned *sessions, unsigned *fps, unsigned *latency_us))          \
	X(nvmlDeviceGetAccountingMode, (nvmlDevice_t device, unsigned *mode))

/* Older forms whose structs differ from today's. */
#define KF_SIM_OLD(X)                                                                              \
	X(nvmlDeviceGetPciInfo, (nvmlDevice_t device, nvmlPciInfo_v2_t * pci))                     \
	X(nvmlDeviceGetPciInfo_v2, (nvmlDevice_t device, nvmlPciInfo_v2_t * pci))                  \
	X(nvmlDeviceGetNvLinkRemotePciInfo,                                                        \
	  (nvmlDevice_t device, unsigned link, nvmlPciInfo_v2_t *pci))                             \
	X(nvmlDeviceGetComputeRunningProcesses,                                                    \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *info))                      \
	X(nvmlDeviceGetGraphicsRunningProcesses,                                                   \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *info))                      \
	X(nvmlDeviceGetMPSComputeRunningProcesses,                                                 \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_v1_t *info))                      \
	X(nvmlComputeInstanceGetInfo,                                                              \
	  (nvmlComputeInstance_t ci, nvmlComputeInstanceInfo_t * info))                            \
	X(nvmlEventSetWait, (nvmlEventSet_t set, nvmlEventData_t * data, unsigned timeout_ms))

/* X(older name, the call it is, (parameters), (arguments)): the same code under a second name. */
#define KF_SIM_ALIASES(X)                                                                          \
	X(nvmlInit, nvmlInit_v2, (void), ())                                                       \
	X(nvmlSystemGetCudaDriverVersion, nvmlSystemGetCudaDriverVersion_v2, (int *version),       \
	  (version))                                                                               \
	X(nvmlDeviceGetCount, nvmlDeviceGetCount_v2, (unsigned *count), (count))                   \
	X(nvmlDeviceGetHandleByIndex, nvmlDeviceGetHandleByIndex_v2,                               \
	  (unsigned index, nvmlDevice_t *device), (index, device))                                 \
	X(nvmlDeviceGetHandleByPciBusId, nvmlDeviceGetHandleByPciBusId_v2,                         \
	  (const char *bus_id, nvmlDevice_t *device), (bus_id, device))                            \
	X(nvmlDeviceGetGpuInstancePossiblePlacements,                                              \
	  nvmlDeviceGetGpuInstancePossiblePlacements_v2,                                           \
	  (nvmlDevice_t device, unsigned profile_id, nvmlGpuInstancePlacement_t *at,               \
	   unsigned *count),                                                                       \
	  (device, profile_id, at, count))                                                         \
	X(nvmlDeviceGetAttributes, nvmlDeviceGetAttributes_v2,                                     \
	  (nvmlDevice_t device, nvmlDeviceAttributes_t * attributes), (device, attributes))        \
	X(nvmlDeviceGetComputeRunningProcesses_v2, nvmlDeviceGetComputeRunningProcesses_v3,        \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info), (device, count, info))  \
	X(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlDeviceGetGraphicsRunningProcesses_v3,      \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info), (device, count, info))  \
	X(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlDeviceGetMPSComputeRunningProcesses_v3,  \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info), (device, count, info))  \
	X(nvmlDeviceGetCurrentClocksThrottleReasons, nvmlDeviceGetCurrentClocksEventReasons,       \
	  (nvmlDevice_t device, unsigned long long *reasons), (device, reasons))                   \
	X(nvmlDeviceGetSupportedClocksThrottleReasons, nvmlDeviceGetSupportedClocksEventReasons,   \
	  (nvmlDevice_t device, unsigned long long *reasons), (device, reasons))

/*
 * Known by name, answered NVML_ERROR_NOT_SUPPORTED whatever they are given: programs that bind all
 * symbols at load, or call without asking first, find every name of R615.
 */
#include "core/rest.h"

#define KF_SIM_CALLS(X)                                                                            \
	KF_NVML_CALLS(X)                                                                           \
	KF_SIM_MORE(X)                                                                             \
	KF_SIM_OLD(X)                                                                              \
	KF_SIM_REST(X)

enum kf_sim_call {
	KF_CALL_all, /* a fault on this one is on every call */
#define X(name, ...) KF_CALL_##name,
	KF_SIM_CALLS(X)
#undef X
		KF_N_CALLS,
};

/* The number of a call, or of an alias' target; KF_N_CALLS when there is none of that name. */
unsigned kf_sim_call_find(const char *name);
/* "nvmlDeviceGetCount_v2"; "all" for 0. */
const char *kf_sim_call_name(unsigned call);
/* Does it change the machine (mode, instances, settings)?  1 or 0. */
int kf_sim_call_changes(unsigned call);
