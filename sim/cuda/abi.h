/*
 * The part of CUDA's driver API that the simulated libcuda.so.1 has, by the names that the library
 * exports.  Numbers and layouts are those of cuda.h 13.0; written down from its documentation.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* X(NAME, number, text): CUresult, as far as it is answered here */
#define KF_CUDA_RESULTS(X)                                                                         \
	X(SUCCESS, 0, "no error")                                                                  \
	X(ERROR_INVALID_VALUE, 1, "invalid argument")                                              \
	X(ERROR_OUT_OF_MEMORY, 2, "out of memory")                                                 \
	X(ERROR_NOT_INITIALIZED, 3, "initialization error")                                        \
	X(ERROR_DEVICE_UNAVAILABLE, 46, "CUDA-capable device(s) is/are busy or unavailable")       \
	X(ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected")                              \
	X(ERROR_INVALID_DEVICE, 101, "invalid device ordinal")                                     \
	X(ERROR_INVALID_IMAGE, 200, "device kernel image is invalid")                              \
	X(ERROR_INVALID_CONTEXT, 201, "invalid device context")                                    \
	X(ERROR_INVALID_HANDLE, 400, "invalid resource handle")                                    \
	X(ERROR_NOT_FOUND, 500, "named symbol not found")                                          \
	X(ERROR_NOT_READY, 600, "device not ready")                                                \
	X(ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered")                  \
	X(ERROR_NOT_PERMITTED, 800, "operation not permitted")                                     \
	X(ERROR_NOT_SUPPORTED, 801, "operation not supported")                                     \
	X(ERROR_SYSTEM_DRIVER_MISMATCH, 803,                                                       \
	  "system has unsupported display driver / cuda driver "                                   \
	  "combination")                                                                           \
	X(ERROR_MPS_CONNECTION_FAILED, 805,                                                        \
	  "MPS client failed to connect to the MPS control "                                       \
	  "daemon or the MPS server")                                                              \
	X(ERROR_MPS_RPC_FAILURE, 806,                                                              \
	  "the remote procedural call between the MPS server and the "                             \
	  "MPS client failed")                                                                     \
	X(ERROR_MPS_SERVER_NOT_READY, 807,                                                         \
	  "MPS server is not ready to accept new MPS client "                                      \
	  "requests")                                                                              \
	X(ERROR_MPS_MAX_CLIENTS_REACHED, 808,                                                      \
	  "the hardware resources required to create MPS "                                         \
	  "client have been exhausted")                                                            \
	X(ERROR_MPS_MAX_CONNECTIONS_REACHED, 809,                                                  \
	  "the hardware resources required to support "                                            \
	  "device connections have been exhausted")                                                \
	X(ERROR_MPS_CLIENT_TERMINATED, 810, "the MPS client has been terminated by the server")    \
	X(ERROR_UNKNOWN, 999, "unknown error")

typedef enum {
#define X(name, number, text) CUDA_##name = number,
	KF_CUDA_RESULTS(X)
#undef X
} CUresult;

typedef int CUdevice;
typedef struct kf_cuda_context *CUcontext;
typedef struct kf_cuda_module *CUmodule;
typedef struct kf_cuda_function *CUfunction;
typedef struct kf_cuda_stream *CUstream;
typedef struct kf_cuda_event *CUevent;
typedef struct kf_cuda_array *CUarray;
typedef struct kf_cuda_array *CUmipmappedArray;
typedef struct kf_cuda_pool *CUmemoryPool;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long CUmemGenericAllocationHandle;

/* CUdevice_attribute, those that are more than 0 here */
enum {
	KF_CUDA_MAX_THREADS_PER_BLOCK = 1,
	KF_CUDA_WARP_SIZE = 10,
	KF_CUDA_CLOCK_RATE = 13, /* kHz */
	KF_CUDA_MULTIPROCESSOR_COUNT = 16,
	KF_CUDA_COMPUTE_MODE = 20,
	KF_CUDA_PCI_BUS_ID = 33,
	KF_CUDA_PCI_DEVICE_ID = 34,
	KF_CUDA_MEMORY_CLOCK_RATE = 36, /* kHz */
	KF_CUDA_GLOBAL_MEMORY_BUS_WIDTH = 37,
	KF_CUDA_MAX_THREADS_PER_MULTIPROCESSOR = 39,
	KF_CUDA_UNIFIED_ADDRESSING = 41,
	KF_CUDA_PCI_DOMAIN_ID = 50,
	KF_CUDA_COMPUTE_CAPABILITY_MAJOR = 75,
	KF_CUDA_COMPUTE_CAPABILITY_MINOR = 76,
	KF_CUDA_MANAGED_MEMORY = 83,
	KF_CUDA_CONCURRENT_MANAGED_ACCESS = 89,
	KF_CUDA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
	KF_CUDA_MEMORY_POOLS_SUPPORTED = 115,
	KF_CUDA_ATTRIBUTES = 150,
};

typedef struct {
	unsigned char bytes[16];
} CUuuid;

typedef struct {
	size_t Width, Height;
	int Format; /* CUarray_format */
	unsigned NumChannels;
} CUDA_ARRAY_DESCRIPTOR;

typedef struct {
	size_t Width, Height, Depth;
	int Format;
	unsigned NumChannels, Flags;
} CUDA_ARRAY3D_DESCRIPTOR;

/* CUmemLocation, and the beginning of CUmemAllocationProp and CUmemPoolProps, which are alike */
typedef struct {
	int type, id;
} CUmemLocation;

typedef struct {
	int type, handleTypes;
	CUmemLocation location;
} KfCudaMemoryProp;

#define KF_CUDA_CALLS(X)                                                                           \
	X(cuInit, (unsigned flags))                                                                \
	X(cuDriverGetVersion, (int *version))                                                      \
	X(cuGetErrorName, (CUresult error, const char **name))                                     \
	X(cuGetErrorString, (CUresult error, const char **text))                                   \
	X(cuDeviceGetCount, (int *count))                                                          \
	X(cuDeviceGet, (CUdevice * device, int ordinal))                                           \
	X(cuDeviceGetName, (char *name, int size, CUdevice device))                                \
	X(cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                                       \
	X(cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                                    \
	X(cuDeviceGetPCIBusId, (char *id, int size, CUdevice device))                              \
	X(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device))                      \
	X(cuDeviceTotalMem_v2, (size_t * bytes, CUdevice device))                                  \
	X(cuDeviceGetDefaultMemPool, (CUmemoryPool * pool, CUdevice device))                       \
	X(cuDeviceGetMemPool, (CUmemoryPool * pool, CUdevice device))                              \
	X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                        \
	X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                         \
	X(cuDevicePrimaryCtxReset_v2, (CUdevice device))                                           \
	X(cuDevicePrimaryCtxGetState, (CUdevice device, unsigned *flags, int *active))             \
	X(cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice device))                  \
	X(cuCtxCreate_v4, (CUcontext * context, void *params, unsigned flags, CUdevice device))    \
	X(cuCtxDestroy_v2, (CUcontext context))                                                    \
	X(cuCtxPushCurrent_v2, (CUcontext context))                                                \
	X(cuCtxPopCurrent_v2, (CUcontext * context))                                               \
	X(cuCtxSetCurrent, (CUcontext context))                                                    \
	X(cuCtxGetCurrent, (CUcontext * context))                                                  \
	X(cuCtxGetDevice, (CUdevice * device))                                                     \
	X(cuCtxSynchronize, (void))                                                                \
	X(cuMemGetInfo_v2, (size_t * free_bytes, size_t * total))                                  \
	X(cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes))                                    \
	X(cuMemAllocPitch_v2,                                                                      \
	  (CUdeviceptr * address, size_t * pitch, size_t width, size_t height, unsigned element))  \
	X(cuMemAllocManaged, (CUdeviceptr * address, size_t bytes, unsigned flags))                \
	X(cuMemFree_v2, (CUdeviceptr address))                                                     \
	X(cuMemAllocAsync, (CUdeviceptr * address, size_t bytes, CUstream stream))                 \
	X(cuMemAllocFromPoolAsync,                                                                 \
	  (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))               \
	X(cuMemFreeAsync, (CUdeviceptr address, CUstream stream))                                  \
	X(cuMemPoolCreate, (CUmemoryPool * pool, const KfCudaMemoryProp *prop))                    \
	X(cuMemPoolDestroy, (CUmemoryPool pool))                                                   \
	X(cuMemPoolSetAttribute, (CUmemoryPool pool, int attribute, void *value))                  \
	X(cuMemPoolTrimTo, (CUmemoryPool pool, size_t keep))                                       \
	X(cuMemGetAllocationGranularity,                                                           \
	  (size_t * bytes, const KfCudaMemoryProp *prop, int option))                              \
	X(cuMemCreate, (CUmemGenericAllocationHandle * handle, size_t bytes,                       \
			const KfCudaMemoryProp *prop, unsigned long long flags))                   \
	X(cuMemRelease, (CUmemGenericAllocationHandle handle))                                     \
	X(cuMemAddressReserve, (CUdeviceptr * address, size_t bytes, size_t alignment,             \
				CUdeviceptr wish, unsigned long long flags))                       \
	X(cuMemAddressFree, (CUdeviceptr address, size_t bytes))                                   \
	X(cuMemMap, (CUdeviceptr address, size_t bytes, size_t offset,                             \
		     CUmemGenericAllocationHandle handle, unsigned long long flags))               \
	X(cuMemUnmap, (CUdeviceptr address, size_t bytes))                                         \
	X(cuMemSetAccess, (CUdeviceptr address, size_t bytes, const void *access, size_t count))   \
	X(cuArrayCreate_v2, (CUarray * array, const CUDA_ARRAY_DESCRIPTOR *what))                  \
	X(cuArray3DCreate_v2, (CUarray * array, const CUDA_ARRAY3D_DESCRIPTOR *what))              \
	X(cuArrayDestroy, (CUarray array))                                                         \
	X(cuMipmappedArrayCreate,                                                                  \
	  (CUmipmappedArray * array, const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels))        \
	X(cuMipmappedArrayDestroy, (CUmipmappedArray array))                                       \
	X(cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                           \
	X(cuMemAllocHost_v2, (void **memory, size_t bytes))                                        \
	X(cuMemFreeHost, (void *memory))                                                           \
	X(cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes))                       \
	X(cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t bytes))                             \
	X(cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes))                       \
	X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream)) \
	X(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))       \
	X(cuMemsetD8_v2, (CUdeviceptr to, unsigned char value, size_t n))                          \
	X(cuMemsetD32_v2, (CUdeviceptr to, unsigned value, size_t n))                              \
	X(cuModuleLoadData, (CUmodule * module, const void *image))                                \
	X(cuModuleLoadDataEx,                                                                      \
	  (CUmodule * module, const void *image, unsigned n, int *options, void **values))         \
	X(cuModuleUnload, (CUmodule module))                                                       \
	X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))         \
	X(cuLaunchKernel,                                                                          \
	  (CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,   \
	   unsigned bz, unsigned shared, CUstream stream, void **params, void **extra))            \
	X(cuStreamCreate, (CUstream * stream, unsigned flags))                                     \
	X(cuStreamDestroy_v2, (CUstream stream))                                                   \
	X(cuStreamSynchronize, (CUstream stream))                                                  \
	X(cuStreamQuery, (CUstream stream))                                                        \
	X(cuEventCreate, (CUevent * event, unsigned flags))                                        \
	X(cuEventDestroy_v2, (CUevent event))                                                      \
	X(cuEventRecord, (CUevent event, CUstream stream))                                         \
	X(cuEventSynchronize, (CUevent event))                                                     \
	X(cuEventQuery, (CUevent event))                                                           \
	X(cuEventElapsedTime, (float *ms, CUevent from, CUevent to))
