/*
 * A driver library with the essential calls only, as an old driver's: INIT is what nvmlInit_v2
 * answers, LACKS a call that is not there.
 */
#include "nvml/abi.h"

#define EXPORT __attribute__((visibility("default")))

#ifdef LACKS
#define nvmlGpuInstanceDestroy fake_without_it
#endif
#define nvmlInit_v2 fake_init

#define X(name, parameters)                                                                        \
	EXPORT nvmlReturn_t name parameters;                                                       \
	nvmlReturn_t name parameters                                                               \
	{                                                                                          \
		return NVML_SUCCESS;                                                               \
	}
KF_NVML_ESSENTIAL(X)
#undef X
#undef nvmlInit_v2

EXPORT nvmlReturn_t nvmlInit_v2(void);
nvmlReturn_t nvmlInit_v2(void)
{
	return INIT;
}

EXPORT const char *nvmlErrorString(nvmlReturn_t r);
const char *nvmlErrorString(nvmlReturn_t r)
{
	return r == NVML_ERROR_IN_USE ? "In use by another client" : "Driver Not Loaded";
}
