/*
 * Our subset of the ABI of NVIDIA's management library, libnvidia-ml.so.1.
 *
 * Written from the documented ABI (names, numbers, order and size of members), so that no header
 * of NVIDIA is needed to build.  One list of calls, KF_NVML_CALLS, is expanded by the loader to
 * pointers and names and by the simulator to exported prototypes: a wrong signature on either side
 * does not compile.  Types keep NVML's own names.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Opaque: only the library knows what they point to, if anything. */
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct nvmlGpuInstance_st *nvmlGpuInstance_t;
typedef struct nvmlComputeInstance_st *nvmlComputeInstance_t;
typedef struct nvmlEventSet_st *nvmlEventSet_t;
typedef struct nvmlGpmSample_st *nvmlGpmSample_t;

/* Return codes with the library's own texts (nvmlErrorString). */
#define KF_NVML_RETURNS(X)                                                                         \
	X(NVML_SUCCESS, 0, "Success")                                                              \
	X(NVML_ERROR_UNINITIALIZED, 1, "Uninitialized")                                            \
	X(NVML_ERROR_INVALID_ARGUMENT, 2, "Invalid Argument")                                      \
	X(NVML_ERROR_NOT_SUPPORTED, 3, "Not Supported")                                            \
	X(NVML_ERROR_NO_PERMISSION, 4, "Insufficient Permissions")                                 \
	X(NVML_ERROR_ALREADY_INITIALIZED, 5, "Already Initialized")                                \
	X(NVML_ERROR_NOT_FOUND, 6, "Not Found")                                                    \
	X(NVML_ERROR_INSUFFICIENT_SIZE, 7, "Insufficient Size")                                    \
	X(NVML_ERROR_INSUFFICIENT_POWER, 8, "Insufficient External Power")                         \
	X(NVML_ERROR_DRIVER_NOT_LOADED, 9, "Driver Not Loaded")                                    \
	X(NVML_ERROR_TIMEOUT, 10, "Timeout")                                                       \
	X(NVML_ERROR_IRQ_ISSUE, 11, "Interrupt Request Issue")                                     \
	X(NVML_ERROR_LIBRARY_NOT_FOUND, 12, "NVML Shared Library Not Found")                       \
	X(NVML_ERROR_FUNCTION_NOT_FOUND, 13, "Function Not Found")                                 \
	X(NVML_ERROR_CORRUPTED_INFOROM, 14, "Corrupted infoROM")                                   \
	X(NVML_ERROR_GPU_IS_LOST, 15, "GPU is lost")                                               \
	X(NVML_ERROR_RESET_REQUIRED, 16, "GPU requires reset")                                     \
	X(NVML_ERROR_OPERATING_SYSTEM, 17, "GPU access blocked by the operating system")           \
	X(NVML_ERROR_LIB_RM_VERSION_MISMATCH, 18, "Driver/library version mismatch")               \
	X(NVML_ERROR_IN_USE, 19, "In use by another client")                                       \
	X(NVML_ERROR_MEMORY, 20, "Insufficient Memory")                                            \
	X(NVML_ERROR_NO_DATA, 21, "No data")                                                       \
	X(NVML_ERROR_VGPU_ECC_NOT_SUPPORTED, 22, "ECC not supported on vGPU")                      \
	X(NVML_ERROR_INSUFFICIENT_RESOURCES, 23, "Insufficient Resources")                         \
	X(NVML_ERROR_FREQ_NOT_SUPPORTED, 24, "Frequency Not Supported")                            \
	X(NVML_ERROR_ARGUMENT_VERSION_MISMATCH, 25, "Argument version mismatch")                   \
	X(NVML_ERROR_DEPRECATED, 26, "Deprecated")                                                 \
	X(NVML_ERROR_NOT_READY, 27, "Not Ready")                                                   \
	X(NVML_ERROR_GPU_NOT_FOUND, 28, "GPU Not Found")                                           \
	X(NVML_ERROR_INVALID_STATE, 29, "Invalid State")                                           \
	X(NVML_ERROR_RESET_TYPE_NOT_SUPPORTED, 30, "Reset Type Not Supported")                     \
	X(NVML_ERROR_UNKNOWN, 999, "Unknown Error")

typedef enum {
#define X(name, value, text) name = value,
	KF_NVML_RETURNS(X)
#undef X
} nvmlReturn_t;

/* Sizes of the caller's strings. */
enum {
	NVML_DEVICE_UUID_BUFFER_SIZE = 80,
	NVML_DEVICE_UUID_V2_BUFFER_SIZE = 96,
	NVML_DEVICE_NAME_V2_BUFFER_SIZE = 96,
	NVML_DEVICE_SERIAL_BUFFER_SIZE = 30,
	NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE = 32,
	NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE = 16,
	NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE = 80,
};

#define NVML_VALUE_NOT_AVAILABLE_ULL (~0ull)
#define NVML_NO_INSTANCE	     0xFFFFFFFFu /* gpuInstanceId, computeInstanceId off MIG */

/* Argument of the profile queries; not the driver's profile id, not the id of an instance. */
enum {
	NVML_GPU_INSTANCE_PROFILE_1_SLICE = 0x0,
	NVML_GPU_INSTANCE_PROFILE_2_SLICE = 0x1,
	NVML_GPU_INSTANCE_PROFILE_3_SLICE = 0x2,
	NVML_GPU_INSTANCE_PROFILE_4_SLICE = 0x3,
	NVML_GPU_INSTANCE_PROFILE_7_SLICE = 0x4,
	NVML_GPU_INSTANCE_PROFILE_8_SLICE = 0x5,
	NVML_GPU_INSTANCE_PROFILE_6_SLICE = 0x6,
	NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1 = 0x7,	 /* +me */
	NVML_GPU_INSTANCE_PROFILE_2_SLICE_REV1 = 0x8,	 /* +me */
	NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2 = 0x9,	 /* twice the memory */
	NVML_GPU_INSTANCE_PROFILE_1_SLICE_GFX = 0xA,	 /* R570 */
	NVML_GPU_INSTANCE_PROFILE_2_SLICE_GFX = 0xB,	 /* R570 */
	NVML_GPU_INSTANCE_PROFILE_4_SLICE_GFX = 0xC,	 /* R570 */
	NVML_GPU_INSTANCE_PROFILE_1_SLICE_NO_ME = 0xD,	 /* R575, -me */
	NVML_GPU_INSTANCE_PROFILE_2_SLICE_NO_ME = 0xE,	 /* R575, -me */
	NVML_GPU_INSTANCE_PROFILE_1_SLICE_ALL_ME = 0xF,	 /* R575, +me.all */
	NVML_GPU_INSTANCE_PROFILE_2_SLICE_ALL_ME = 0x10, /* R575, +me.all */
	NVML_GPU_INSTANCE_PROFILE_3_SLICE_GFX = 0x11,	 /* R595 */
	NVML_GPU_INSTANCE_PROFILE_COUNT = 0x12,
};

enum {
	NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE = 0x0,
	NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE = 0x1,
	NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE = 0x2,
	NVML_COMPUTE_INSTANCE_PROFILE_4_SLICE = 0x3,
	NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE = 0x4,
	NVML_COMPUTE_INSTANCE_PROFILE_8_SLICE = 0x5,
	NVML_COMPUTE_INSTANCE_PROFILE_6_SLICE = 0x6,
	NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE_REV1 = 0x7,
	NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE_NVL = 0x8,
	NVML_COMPUTE_INSTANCE_PROFILE_COUNT = 0x9,
	NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED = 0x0,
	NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_COUNT = 0x1,
};

enum { NVML_DEVICE_MIG_DISABLE = 0, NVML_DEVICE_MIG_ENABLE = 1 };

enum {
	NVML_DEVICE_ARCH_VOLTA = 5,
	NVML_DEVICE_ARCH_TURING = 6,
	NVML_DEVICE_ARCH_AMPERE = 7,
	NVML_DEVICE_ARCH_ADA = 8,
	NVML_DEVICE_ARCH_HOPPER = 9,
	NVML_DEVICE_ARCH_BLACKWELL = 10,
	NVML_DEVICE_ARCH_RUBIN = 13,
};

#define NVML_EVENT_TYPE_SINGLE_BIT_ECC	0x1ull
#define NVML_EVENT_TYPE_DOUBLE_BIT_ECC	0x2ull
#define NVML_EVENT_TYPE_PSTATE		0x4ull
#define NVML_EVENT_TYPE_XID		0x8ull
#define NVML_EVENT_TYPE_CLOCK		0x10ull
#define NVML_EVENT_TYPE_GPU_UNAVAILABLE 0x4000ull
#define NVML_EVENT_TYPE_RECOVERY_ACTION 0x8000ull

/* Fields that kerf asks for by number. */
enum {
	NVML_FI_DEV_REMAPPED_PENDING = 144,
	NVML_FI_DEV_REMAPPED_FAILURE = 145,
	NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED = 184,
	NVML_FI_DEV_IS_MIG_MODE_INDEPENDENT_MIG_QUERY_CAPABLE = 199,
	NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 230,
};

enum {
	NVML_VALUE_TYPE_DOUBLE = 0,
	NVML_VALUE_TYPE_UNSIGNED_INT = 1,
	NVML_VALUE_TYPE_UNSIGNED_LONG = 2,
	NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3,
	NVML_VALUE_TYPE_SIGNED_LONG_LONG = 4,
	NVML_VALUE_TYPE_SIGNED_INT = 5,
	NVML_VALUE_TYPE_UNSIGNED_SHORT = 6,
};

/* How versioned structs say which they are. */
#define KF_NVML_VERSION(type, v) ((unsigned)(sizeof(type) | (unsigned)(v) << 24))
#define KF_NVML_SIZE(type, size) static_assert(sizeof(type) == (size), #type " is not NVML's")

typedef struct {
	char busIdLegacy[NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE];
	unsigned domain, bus, device;
	unsigned pciDeviceId;	 /* device << 16 | vendor */
	unsigned pciSubSystemId; /* likewise */
	char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
} nvmlPciInfo_t;
KF_NVML_SIZE(nvmlPciInfo_t, 68);

/* Of the calls before _v3; those without suffix stop before pciSubSystemId. */
typedef struct {
	char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE];
	unsigned domain, bus, device, pciDeviceId;
	unsigned pciSubSystemId, reserved[4];
} nvmlPciInfo_v2_t;
KF_NVML_SIZE(nvmlPciInfo_v2_t, 52);

typedef struct {
	unsigned version, domain, bus, device, pciDeviceId, pciSubSystemId, baseClass, subClass;
	char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
} nvmlPciInfoExt_t;
KF_NVML_SIZE(nvmlPciInfoExt_t, 64);
static_assert(KF_NVML_VERSION(nvmlPciInfoExt_t, 1) == 0x01000040, "version word");

typedef struct {
	unsigned long long total, free, used; /* bytes; reserved counts as used */
} nvmlMemory_t;
KF_NVML_SIZE(nvmlMemory_t, 24);

typedef struct {
	unsigned version;
	unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;
KF_NVML_SIZE(nvmlMemory_v2_t, 40);
static_assert(KF_NVML_VERSION(nvmlMemory_v2_t, 2) == 0x02000028, "version word");

typedef struct {
	unsigned long long bar1Total, bar1Free, bar1Used;
} nvmlBAR1Memory_t;
KF_NVML_SIZE(nvmlBAR1Memory_t, 24);

typedef struct {
	unsigned gpu, memory; /* per cent */
} nvmlUtilization_t;
KF_NVML_SIZE(nvmlUtilization_t, 8);

typedef struct {
	unsigned pid;
	unsigned long long usedGpuMemory;
} nvmlProcessInfo_v1_t;
KF_NVML_SIZE(nvmlProcessInfo_v1_t, 16);

typedef struct {
	unsigned pid;
	unsigned long long usedGpuMemory; /* NVML_VALUE_NOT_AVAILABLE_ULL if unknown */
	unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
KF_NVML_SIZE(nvmlProcessInfo_t, 24);

typedef struct {
	unsigned pid;
	unsigned long long usedGpuMemory;
	unsigned gpuInstanceId, computeInstanceId;
	unsigned long long usedGpuCcProtectedMemory;
} nvmlProcessDetail_v1_t;
KF_NVML_SIZE(nvmlProcessDetail_v1_t, 32);

typedef struct {
	unsigned version;
	unsigned mode; /* 0 compute, 1 graphics, 2 MPS */
	unsigned numProcArrayEntries;
	nvmlProcessDetail_v1_t *procArray;
} nvmlProcessDetailList_t;
KF_NVML_SIZE(nvmlProcessDetailList_t, 24);
static_assert(KF_NVML_VERSION(nvmlProcessDetailList_t, 1) == 0x01000018, "version word");

typedef struct {
	unsigned pid;
	unsigned long long timeStamp; /* us */
	unsigned smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;
KF_NVML_SIZE(nvmlProcessUtilizationSample_t, 32);

typedef struct {
	unsigned long long timeStamp; /* us */
	unsigned pid, smUtil, memUtil, encUtil, decUtil, jpgUtil, ofaUtil;
} nvmlProcessUtilizationInfo_v1_t;
KF_NVML_SIZE(nvmlProcessUtilizationInfo_v1_t, 40);

typedef struct {
	unsigned version, processSamplesCount;
	unsigned long long lastSeenTimeStamp;
	nvmlProcessUtilizationInfo_v1_t *procUtilArray;
} nvmlProcessesUtilizationInfo_t;
KF_NVML_SIZE(nvmlProcessesUtilizationInfo_t, 24);
static_assert(KF_NVML_VERSION(nvmlProcessesUtilizationInfo_t, 1) == 0x01000018, "version word");

typedef struct {
	nvmlDevice_t device;
	unsigned long long eventType;
	unsigned long long eventData; /* the XID; 999 when unknown */
	unsigned gpuInstanceId, computeInstanceId;
} nvmlEventData_t;
KF_NVML_SIZE(nvmlEventData_t, 32);

typedef struct {
	unsigned multiprocessorCount, sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount;
	unsigned sharedJpegCount, sharedOfaCount, gpuInstanceSliceCount, computeInstanceSliceCount;
	unsigned long long memorySizeMB; /* MiB, in spite of the name */
} nvmlDeviceAttributes_t;
KF_NVML_SIZE(nvmlDeviceAttributes_t, 40);

typedef struct {
	unsigned start, size; /* placement units */
} nvmlGpuInstancePlacement_t;
KF_NVML_SIZE(nvmlGpuInstancePlacement_t, 8);

typedef struct {
	unsigned start, size; /* compute slices */
} nvmlComputeInstancePlacement_t;
KF_NVML_SIZE(nvmlComputeInstancePlacement_t, 8);

typedef struct {
	unsigned id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount;
	unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
	unsigned long long memorySizeMB;
} nvmlGpuInstanceProfileInfo_t;
KF_NVML_SIZE(nvmlGpuInstanceProfileInfo_t, 48);

typedef struct {
	unsigned version, id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount;
	unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
	unsigned long long memorySizeMB;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE]; /* "MIG 1g.10gb" */
} nvmlGpuInstanceProfileInfo_v2_t;
KF_NVML_SIZE(nvmlGpuInstanceProfileInfo_v2_t, 152);
static_assert(KF_NVML_VERSION(nvmlGpuInstanceProfileInfo_v2_t, 2) == 0x02000098, "version word");

/* Same size as v2, another layout: the version word decides. */
typedef struct {
	unsigned version, id, sliceCount, instanceCount, multiprocessorCount;
	unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
	unsigned long long memorySizeMB;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	unsigned capabilities; /* 1 peer to peer, 2 graphics */
} nvmlGpuInstanceProfileInfo_v3_t;
KF_NVML_SIZE(nvmlGpuInstanceProfileInfo_v3_t, 152);
static_assert(KF_NVML_VERSION(nvmlGpuInstanceProfileInfo_v3_t, 3) == 0x03000098, "version word");
static_assert(offsetof(nvmlGpuInstanceProfileInfo_v3_t, capabilities) == 144, "v3 layout");

typedef struct {
	nvmlDevice_t device;
	unsigned id, profileId;
	nvmlGpuInstancePlacement_t placement;
} nvmlGpuInstanceInfo_t;
KF_NVML_SIZE(nvmlGpuInstanceInfo_t, 24);

typedef struct {
	unsigned id, sliceCount, instanceCount, multiprocessorCount, sharedCopyEngineCount;
	unsigned sharedDecoderCount, sharedEncoderCount, sharedJpegCount, sharedOfaCount;
} nvmlComputeInstanceProfileInfo_t;
KF_NVML_SIZE(nvmlComputeInstanceProfileInfo_t, 36);

typedef struct {
	unsigned version;
	unsigned id, sliceCount, instanceCount, multiprocessorCount, sharedCopyEngineCount;
	unsigned sharedDecoderCount, sharedEncoderCount, sharedJpegCount, sharedOfaCount;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
} nvmlComputeInstanceProfileInfo_v2_t;
KF_NVML_SIZE(nvmlComputeInstanceProfileInfo_v2_t, 136);
static_assert(KF_NVML_VERSION(nvmlComputeInstanceProfileInfo_v2_t, 2) == 0x02000088, "version");

typedef struct {
	unsigned version;
	unsigned id, sliceCount, instanceCount, multiprocessorCount, sharedCopyEngineCount;
	unsigned sharedDecoderCount, sharedEncoderCount, sharedJpegCount, sharedOfaCount;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	unsigned capabilities; /* 1 graphics */
} nvmlComputeInstanceProfileInfo_v3_t;
KF_NVML_SIZE(nvmlComputeInstanceProfileInfo_v3_t, 140);
static_assert(KF_NVML_VERSION(nvmlComputeInstanceProfileInfo_v3_t, 3) == 0x0300008C, "version");

typedef struct {
	nvmlDevice_t device;
	nvmlGpuInstance_t gpuInstance;
	unsigned id, profileId;
	nvmlComputeInstancePlacement_t placement;
} nvmlComputeInstanceInfo_t;
KF_NVML_SIZE(nvmlComputeInstanceInfo_t, 32);

typedef union {
	double dVal;
	int siVal;
	unsigned uiVal;
	unsigned long ulVal;
	unsigned long long ullVal;
	signed long long sllVal;
	unsigned short usVal;
} nvmlValue_t;
KF_NVML_SIZE(nvmlValue_t, 8);

typedef struct {
	unsigned fieldId, scopeId;
	long long timestamp, latencyUsec; /* us */
	unsigned valueType;		  /* NVML_VALUE_TYPE_* */
	nvmlReturn_t nvmlReturn;
	nvmlValue_t value;
} nvmlFieldValue_t;
KF_NVML_SIZE(nvmlFieldValue_t, 40);

typedef struct {
	unsigned long long timeStamp; /* us */
	nvmlValue_t sampleValue;
} nvmlSample_t;
KF_NVML_SIZE(nvmlSample_t, 16);

typedef struct {
	unsigned max, high, partial, low, none;
} nvmlRowRemapperHistogramValues_t;
KF_NVML_SIZE(nvmlRowRemapperHistogramValues_t, 20);

typedef struct {
	unsigned metricId;
	nvmlReturn_t nvmlReturn;
	double value;
	struct {
		char *shortName, *longName, *unit;
	} metricInfo;
} nvmlGpmMetric_t;
KF_NVML_SIZE(nvmlGpmMetric_t, 40);

/*
 * The array's length is NVML_GPM_METRIC_MAX of the caller's header, 98 and growing: only the first
 * numMetrics entries may be touched.  Callers of ours allocate what they need.
 */
typedef struct {
	unsigned version; /* NVML_GPM_METRICS_GET_VERSION, a plain number */
	unsigned numMetrics;
	nvmlGpmSample_t sample1, sample2;
	nvmlGpmMetric_t metrics[];
} nvmlGpmMetricsGet_t;
KF_NVML_SIZE(nvmlGpmMetricsGet_t, 24);
static_assert(24 + 333 * sizeof(nvmlGpmMetric_t) == 13344, "metrics array");

#define NVML_GPM_METRICS_GET_VERSION 1
#define NVML_GPM_SUPPORT_VERSION     1

typedef struct {
	unsigned version, isSupportedDevice;
} nvmlGpmSupport_t;
KF_NVML_SIZE(nvmlGpmSupport_t, 8);

typedef struct {
	unsigned version, sensorType;
	int temperature; /* degrees Celsius */
} nvmlTemperature_t;
KF_NVML_SIZE(nvmlTemperature_t, 12);
static_assert(KF_NVML_VERSION(nvmlTemperature_t, 1) == 0x0100000C, "version word");

typedef struct {
	unsigned version;
	unsigned type; /* 0 none, 1 ascii, 2 binary */
	union {
		char str[41];
		unsigned char bytes[16];
	} value;
} nvmlUUID_t;
KF_NVML_SIZE(nvmlUUID_t, 52);
static_assert(KF_NVML_VERSION(nvmlUUID_t, 1) == 0x01000034, "version word");

enum {
	NVML_GPU_FABRIC_STATE_NOT_SUPPORTED = 0,
	NVML_GPU_FABRIC_STATE_NOT_STARTED = 1,
	NVML_GPU_FABRIC_STATE_IN_PROGRESS = 2,
	NVML_GPU_FABRIC_STATE_COMPLETED = 3,
};

typedef struct {
	unsigned version;
	unsigned char clusterUuid[16];
	nvmlReturn_t status;
	unsigned cliqueId;
	unsigned state; /* NVML_GPU_FABRIC_STATE_* */
	unsigned healthMask;
} nvmlGpuFabricInfo_v2_t;
KF_NVML_SIZE(nvmlGpuFabricInfo_v2_t, 36);
static_assert(KF_NVML_VERSION(nvmlGpuFabricInfo_v2_t, 2) == 0x02000024, "version word");

typedef struct {
	unsigned version;
	unsigned char clusterUuid[16];
	nvmlReturn_t status;
	unsigned cliqueId, state, healthMask;
	unsigned char healthSummary;
} nvmlGpuFabricInfo_v3_t;
KF_NVML_SIZE(nvmlGpuFabricInfo_v3_t, 40);
static_assert(KF_NVML_VERSION(nvmlGpuFabricInfo_v3_t, 3) == 0x03000028, "version word");

/* R615: limits of a control group's device memory. */
typedef struct {
	const char *nameSpace; /* path of the cgroup */
	unsigned long long softLimit, hardLimit;
} nvmlSetMemoryLimits_v1_t;
typedef struct {
	const char *nameSpace;
	unsigned long long softLimit, hardLimit, currentUsed;
} nvmlGetMemoryLimits_v1_t;

/* What kerf cannot do without; all of it is there since R450, the first driver with MIG. */
#define KF_NVML_ESSENTIAL(X)                                                                       \
	X(nvmlInit_v2, (void))                                                                     \
	X(nvmlShutdown, (void))                                                                    \
	X(nvmlSystemGetDriverVersion, (char *version, unsigned length))                            \
	X(nvmlDeviceGetCount_v2, (unsigned *count))                                                \
	X(nvmlDeviceGetHandleByIndex_v2, (unsigned index, nvmlDevice_t *device))                   \
	X(nvmlDeviceGetHandleByUUID, (const char *uuid, nvmlDevice_t *device))                     \
	X(nvmlDeviceGetMinorNumber, (nvmlDevice_t device, unsigned *minor))                        \
	X(nvmlDeviceGetUUID, (nvmlDevice_t device, char *uuid, unsigned length))                   \
	X(nvmlDeviceGetName, (nvmlDevice_t device, char *name, unsigned length))                   \
	X(nvmlDeviceGetPciInfo_v3, (nvmlDevice_t device, nvmlPciInfo_t * pci))                     \
	X(nvmlDeviceGetMemoryInfo, (nvmlDevice_t device, nvmlMemory_t * memory))                   \
	X(nvmlDeviceGetMigMode, (nvmlDevice_t device, unsigned *current, unsigned *pending))       \
	X(nvmlDeviceSetMigMode, (nvmlDevice_t device, unsigned mode, nvmlReturn_t *activation))    \
	X(nvmlDeviceGetGpuInstanceProfileInfo,                                                     \
	  (nvmlDevice_t device, unsigned profile, nvmlGpuInstanceProfileInfo_t *info))             \
	X(nvmlDeviceCreateGpuInstance,                                                             \
	  (nvmlDevice_t device, unsigned profile_id, nvmlGpuInstance_t *gi))                       \
	X(nvmlGpuInstanceDestroy, (nvmlGpuInstance_t gi))                                          \
	X(nvmlDeviceGetGpuInstances,                                                               \
	  (nvmlDevice_t device, unsigned profile_id, nvmlGpuInstance_t *gi, unsigned *count))      \
	X(nvmlDeviceGetGpuInstanceById, (nvmlDevice_t device, unsigned id, nvmlGpuInstance_t *gi)) \
	X(nvmlGpuInstanceGetInfo, (nvmlGpuInstance_t gi, nvmlGpuInstanceInfo_t * info))            \
	X(nvmlGpuInstanceGetComputeInstanceProfileInfo,                                            \
	  (nvmlGpuInstance_t gi, unsigned profile, unsigned engine,                                \
	   nvmlComputeInstanceProfileInfo_t *info))                                                \
	X(nvmlGpuInstanceCreateComputeInstance,                                                    \
	  (nvmlGpuInstance_t gi, unsigned profile_id, nvmlComputeInstance_t *ci))                  \
	X(nvmlComputeInstanceDestroy, (nvmlComputeInstance_t ci))                                  \
	X(nvmlGpuInstanceGetComputeInstances,                                                      \
	  (nvmlGpuInstance_t gi, unsigned profile_id, nvmlComputeInstance_t *ci, unsigned *count)) \
	X(nvmlGpuInstanceGetComputeInstanceById,                                                   \
	  (nvmlGpuInstance_t gi, unsigned id, nvmlComputeInstance_t *ci))                          \
	X(nvmlDeviceIsMigDeviceHandle, (nvmlDevice_t device, unsigned *is_mig))                    \
	X(nvmlDeviceGetGpuInstanceId, (nvmlDevice_t device, unsigned *id))                         \
	X(nvmlDeviceGetComputeInstanceId, (nvmlDevice_t device, unsigned *id))                     \
	X(nvmlDeviceGetMaxMigDeviceCount, (nvmlDevice_t device, unsigned *count))                  \
	X(nvmlDeviceGetMigDeviceHandleByIndex,                                                     \
	  (nvmlDevice_t device, unsigned index, nvmlDevice_t *mig))                                \
	X(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, (nvmlDevice_t mig, nvmlDevice_t * device))

/* What an older driver may lack: the call then answers NVML_ERROR_FUNCTION_NOT_FOUND. */
#define KF_NVML_OPTIONAL(X)                                                                        \
	X(nvmlInitWithFlags, (unsigned flags))                                                     \
	X(nvmlSystemGetNVMLVersion, (char *version, unsigned length))                              \
	X(nvmlSystemGetCudaDriverVersion_v2, (int *version))                                       \
	X(nvmlSystemGetProcessName, (unsigned pid, char *name, unsigned length))                   \
	X(nvmlDeviceGetHandleByPciBusId_v2, (const char *bus_id, nvmlDevice_t *device))            \
	X(nvmlDeviceGetHandleByUUIDV, (const nvmlUUID_t *uuid, nvmlDevice_t *device))              \
	X(nvmlDeviceGetIndex, (nvmlDevice_t device, unsigned *index))                              \
	X(nvmlDeviceGetSerial, (nvmlDevice_t device, char *serial, unsigned length))               \
	X(nvmlDeviceGetBrand, (nvmlDevice_t device, unsigned *brand))                              \
	X(nvmlDeviceGetArchitecture, (nvmlDevice_t device, unsigned *architecture))                \
	X(nvmlDeviceGetCudaComputeCapability, (nvmlDevice_t device, int *major, int *minor))       \
	X(nvmlDeviceGetPciInfoExt, (nvmlDevice_t device, nvmlPciInfoExt_t * pci))                  \
	X(nvmlDeviceGetBoardPartNumber, (nvmlDevice_t device, char *number, unsigned length))      \
	X(nvmlDeviceGetVbiosVersion, (nvmlDevice_t device, char *version, unsigned length))        \
	X(nvmlDeviceGetMemoryInfo_v2, (nvmlDevice_t device, nvmlMemory_v2_t * memory))             \
	X(nvmlDeviceGetBAR1MemoryInfo, (nvmlDevice_t device, nvmlBAR1Memory_t * memory))           \
	X(nvmlDeviceGetNumaNodeId, (nvmlDevice_t device, unsigned *node))                          \
	X(nvmlDeviceGetMemoryAffinity,                                                             \
	  (nvmlDevice_t device, unsigned n, unsigned long *nodes, unsigned scope))                 \
	X(nvmlDeviceGetCpuAffinity, (nvmlDevice_t device, unsigned n, unsigned long *cpus))        \
	X(nvmlDeviceGetNumGpuCores, (nvmlDevice_t device, unsigned *cores))                        \
	X(nvmlDeviceGetPersistenceMode, (nvmlDevice_t device, unsigned *mode))                     \
	X(nvmlDeviceSetPersistenceMode, (nvmlDevice_t device, unsigned mode))                      \
	X(nvmlDeviceGetComputeMode, (nvmlDevice_t device, unsigned *mode))                         \
	X(nvmlDeviceSetComputeMode, (nvmlDevice_t device, unsigned mode))                          \
	X(nvmlDeviceGetTopologyCommonAncestor, (nvmlDevice_t a, nvmlDevice_t b, unsigned *level))  \
	X(nvmlDeviceGetP2PStatus,                                                                  \
	  (nvmlDevice_t a, nvmlDevice_t b, unsigned index, unsigned *status))                      \
	X(nvmlDeviceGetGpuInstanceProfileInfoV,                                                    \
	  (nvmlDevice_t device, unsigned profile, nvmlGpuInstanceProfileInfo_v2_t *info))          \
	X(nvmlDeviceGetGpuInstanceProfileInfoByIdV,                                                \
	  (nvmlDevice_t device, unsigned profile_id, nvmlGpuInstanceProfileInfo_v2_t *info))       \
	X(nvmlDeviceGetGpuInstancePossiblePlacements_v2,                                           \
	  (nvmlDevice_t device, unsigned profile_id, nvmlGpuInstancePlacement_t *at,               \
	   unsigned *count))                                                                       \
	X(nvmlDeviceGetGpuInstanceRemainingCapacity,                                               \
	  (nvmlDevice_t device, unsigned profile_id, unsigned *count))                             \
	X(nvmlDeviceCreateGpuInstanceWithPlacement,                                                \
	  (nvmlDevice_t device, unsigned profile_id, const nvmlGpuInstancePlacement_t *at,         \
	   nvmlGpuInstance_t *gi))                                                                 \
	X(nvmlGpuInstanceGetComputeInstanceProfileInfoV,                                           \
	  (nvmlGpuInstance_t gi, unsigned profile, unsigned engine,                                \
	   nvmlComputeInstanceProfileInfo_v2_t *info))                                             \
	X(nvmlGpuInstanceGetComputeInstanceRemainingCapacity,                                      \
	  (nvmlGpuInstance_t gi, unsigned profile_id, unsigned *count))                            \
	X(nvmlGpuInstanceGetComputeInstancePossiblePlacements,                                     \
	  (nvmlGpuInstance_t gi, unsigned profile_id, nvmlComputeInstancePlacement_t *at,          \
	   unsigned *count))                                                                       \
	X(nvmlGpuInstanceCreateComputeInstanceWithPlacement,                                       \
	  (nvmlGpuInstance_t gi, unsigned profile_id, const nvmlComputeInstancePlacement_t *at,    \
	   nvmlComputeInstance_t *ci))                                                             \
	X(nvmlComputeInstanceGetInfo_v2,                                                           \
	  (nvmlComputeInstance_t ci, nvmlComputeInstanceInfo_t * info))                            \
	X(nvmlDeviceGetAttributes_v2, (nvmlDevice_t device, nvmlDeviceAttributes_t * attributes))  \
	X(nvmlEventSetCreate, (nvmlEventSet_t * set))                                              \
	X(nvmlEventSetFree, (nvmlEventSet_t set))                                                  \
	X(nvmlEventSetWait_v2, (nvmlEventSet_t set, nvmlEventData_t * data, unsigned timeout_ms))  \
	X(nvmlDeviceRegisterEvents,                                                                \
	  (nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set))                     \
	X(nvmlDeviceGetSupportedEventTypes, (nvmlDevice_t device, unsigned long long *types))      \
	X(nvmlDeviceGetComputeRunningProcesses_v3,                                                 \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info))                         \
	X(nvmlDeviceGetGraphicsRunningProcesses_v3,                                                \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info))                         \
	X(nvmlDeviceGetMPSComputeRunningProcesses_v3,                                              \
	  (nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *info))                         \
	X(nvmlDeviceGetRunningProcessDetailList,                                                   \
	  (nvmlDevice_t device, nvmlProcessDetailList_t * list))                                   \
	X(nvmlDeviceGetProcessUtilization,                                                         \
	  (nvmlDevice_t device, nvmlProcessUtilizationSample_t * sample, unsigned *count,          \
	   unsigned long long last_seen_us))                                                       \
	X(nvmlDeviceGetProcessesUtilizationInfo,                                                   \
	  (nvmlDevice_t device, nvmlProcessesUtilizationInfo_t * info))                            \
	X(nvmlDeviceGetUtilizationRates, (nvmlDevice_t device, nvmlUtilization_t * utilization))   \
	X(nvmlDeviceGetEncoderUtilization,                                                         \
	  (nvmlDevice_t device, unsigned *percent, unsigned *period_us))                           \
	X(nvmlDeviceGetDecoderUtilization,                                                         \
	  (nvmlDevice_t device, unsigned *percent, unsigned *period_us))                           \
	X(nvmlDeviceGetSamples,                                                                    \
	  (nvmlDevice_t device, unsigned type, unsigned long long last_seen_us,                    \
	   unsigned *value_type, unsigned *count, nvmlSample_t *samples))                          \
	X(nvmlDeviceGetPowerUsage, (nvmlDevice_t device, unsigned *mw))                            \
	X(nvmlDeviceGetPowerManagementLimit, (nvmlDevice_t device, unsigned *mw))                  \
	X(nvmlDeviceGetEnforcedPowerLimit, (nvmlDevice_t device, unsigned *mw))                    \
	X(nvmlDeviceGetTotalEnergyConsumption, (nvmlDevice_t device, unsigned long long *mj))      \
	X(nvmlDeviceGetTemperature, (nvmlDevice_t device, unsigned sensor, unsigned *celsius))     \
	X(nvmlDeviceGetTemperatureV, (nvmlDevice_t device, nvmlTemperature_t * temperature))       \
	X(nvmlDeviceGetClockInfo, (nvmlDevice_t device, unsigned type, unsigned *mhz))             \
	X(nvmlDeviceGetMaxClockInfo, (nvmlDevice_t device, unsigned type, unsigned *mhz))          \
	X(nvmlDeviceGetPerformanceState, (nvmlDevice_t device, unsigned *state))                   \
	X(nvmlDeviceGetCurrentClocksEventReasons,                                                  \
	  (nvmlDevice_t device, unsigned long long *reasons))                                      \
	X(nvmlDeviceGetEccMode, (nvmlDevice_t device, unsigned *current, unsigned *pending))       \
	X(nvmlDeviceGetTotalEccErrors,                                                             \
	  (nvmlDevice_t device, unsigned error, unsigned counter, unsigned long long *count))      \
	X(nvmlDeviceGetRemappedRows, (nvmlDevice_t device, unsigned *corrected,                    \
				      unsigned *uncorrected, unsigned *pending, unsigned *failed)) \
	X(nvmlDeviceGetRowRemapperHistogram,                                                       \
	  (nvmlDevice_t device, nvmlRowRemapperHistogramValues_t * values))                        \
	X(nvmlDeviceGetPcieThroughput, (nvmlDevice_t device, unsigned counter, unsigned *kb_s))    \
	X(nvmlDeviceGetCurrPcieLinkGeneration, (nvmlDevice_t device, unsigned *generation))        \
	X(nvmlDeviceGetCurrPcieLinkWidth, (nvmlDevice_t device, unsigned *width))                  \
	X(nvmlDeviceGetNvLinkState, (nvmlDevice_t device, unsigned link, unsigned *active))        \
	X(nvmlDeviceGetNvLinkRemotePciInfo_v2,                                                     \
	  (nvmlDevice_t device, unsigned link, nvmlPciInfo_t *pci))                                \
	X(nvmlDeviceGetGpuFabricInfoV, (nvmlDevice_t device, nvmlGpuFabricInfo_v2_t * info))       \
	X(nvmlDeviceGetFieldValues, (nvmlDevice_t device, int n, nvmlFieldValue_t *values))        \
	X(nvmlGpmSampleAlloc, (nvmlGpmSample_t * sample))                                          \
	X(nvmlGpmSampleFree, (nvmlGpmSample_t sample))                                             \
	X(nvmlGpmSampleGet, (nvmlDevice_t device, nvmlGpmSample_t sample))                         \
	X(nvmlGpmMigSampleGet, (nvmlDevice_t device, unsigned gi, nvmlGpmSample_t sample))         \
	X(nvmlGpmMetricsGet, (nvmlGpmMetricsGet_t * get))                                          \
	X(nvmlGpmQueryDeviceSupport, (nvmlDevice_t device, nvmlGpmSupport_t * support))            \
	X(nvmlDeviceSetMemoryLimits_v1, (nvmlDevice_t device, nvmlSetMemoryLimits_v1_t * limits))  \
	X(nvmlDeviceGetMemoryLimits_v1, (nvmlDevice_t device, nvmlGetMemoryLimits_v1_t * limits))

/* X(name, (parameters)): each answers an nvmlReturn_t.  nvmlErrorString, which does not, is apart.
 */
#define KF_NVML_CALLS(X)                                                                           \
	KF_NVML_ESSENTIAL(X)                                                                       \
	KF_NVML_OPTIONAL(X)
