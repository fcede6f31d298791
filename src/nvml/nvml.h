/*
 * The driver library: found, opened, its calls by name.
 *
 *	nv->nvmlDeviceGetCount_v2(&n)
 *
 * Only nvml/ and mig/ talk to the driver; everyone else reads values that were made from it.
 */
#pragma once

#include "base/own.h"
#include "nvml/abi.h"

struct kf_error;

struct kf_nvml {
	void *library;	/* of dlopen */
	char path[256]; /* what was opened */
	const char *(*nvmlErrorString)(nvmlReturn_t r);
#define X(name, parameters) nvmlReturn_t(*name) parameters;
	KF_NVML_CALLS(X)
#undef X
};

#define KF_NVML_ABSENT	  1 /* no libnvidia-ml.so.1 anywhere: a machine without NVIDIA's driver */
#define KF_NVML_NO_DRIVER 2 /* the library is there, its kernel module is not loaded */

/*
 * Open the driver library and initialise it.  `root` is a host root mounted elsewhere, searched
 * first in the places where distributions and the GPU operator put the library; NULL or "/" leaves
 * it to the loader.
 *
 * A call that this driver is too old for answers NVML_ERROR_FUNCTION_NOT_FOUND, unless kerf cannot
 * do without it: then opening fails and the sentence names the symbol.
 *
 * Handles live as long as this session.  After the driver was reloaded close it and open again:
 * every handle must be looked up afresh.
 *
 * 0                  *ret is open, the caller's to close
 * KF_NVML_ABSENT     *err says where it was looked for
 * KF_NVML_NO_DRIVER  *err has the driver's words
 * negative           the library is unusable or refuses; *err says why
 */
int kf_nvml_open(const char *root, struct kf_nvml **ret, struct kf_error *err);
struct kf_nvml *kf_nvml_close(struct kf_nvml *nv);
KF_DEFINE_AUTO(struct kf_nvml, kf_nvml_close)

/* "turn on MIG of gpu 0: In use by another client (NVML 19)", KF_E_DRIVER with the code; -1. */
int kf_nvml_fail(struct kf_error *err, const struct kf_nvml *nv, nvmlReturn_t r, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));
