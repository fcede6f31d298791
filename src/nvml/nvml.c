/* Loading the driver library; see nvml.h. */
#include "nvml/nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

#define SONAME "libnvidia-ml.so.1"

/* Below a host root: distributions first, then where the GPU operator's driver container is. */
static const char *const folders[] = {
	"usr/lib64",
	"usr/lib/x86_64-linux-gnu",
	"usr/lib/aarch64-linux-gnu",
	"lib64",
	"lib/x86_64-linux-gnu",
	"run/nvidia/driver/usr/lib/x86_64-linux-gnu",
	"run/nvidia/driver/usr/lib64",
};

/* What stands in for a call that the driver does not have. */
#define X(name, parameters)                                                                        \
	static nvmlReturn_t absent_##name parameters                                               \
	{                                                                                          \
		return NVML_ERROR_FUNCTION_NOT_FOUND;                                              \
	}
KF_NVML_OPTIONAL(X)
#undef X

static void open_below(struct kf_nvml *nv, const char *root)
{
	size_t i;

	for (i = 0; i < sizeof(folders) / sizeof(folders[0]) && !nv->library; i++) {
		snprintf(nv->path, sizeof(nv->path), "%s/%s/" SONAME, root, folders[i]);
		nv->library = dlopen(nv->path, RTLD_NOW | RTLD_LOCAL);
	}
}

/* dlopen says of a library that is there but broken why; of one that is not, only that. */
static int open_library(struct kf_nvml *nv, const char *root, struct kf_error *err)
{
	const char *why;

	if (root && *root && strcmp(root, "/") != 0)
		open_below(nv, root);
	if (nv->library)
		return 0;
	snprintf(nv->path, sizeof(nv->path), SONAME);
	nv->library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (nv->library)
		return 0;
	why = dlerror();
	kf_fail(err, KF_E_UNSUPPORTED, 0, "no driver library " SONAME " on this machine%s%s (%s)",
		root ? " or below " : "", root ? root : "", why ? why : "no reason given");
	return KF_NVML_ABSENT;
}

/* dlsym's answer is an object pointer; POSIX promises that this way to a function pointer works. */
static int find(const struct kf_nvml *nv, const char *name, void *pointer)
{
	void *symbol = dlsym(nv->library, name);

	if (!symbol)
		return 0;
	memcpy(pointer, &symbol, sizeof(symbol));
	return 1;
}

static int load(struct kf_nvml *nv, struct kf_error *err)
{
	const char *missing = NULL;

	if (!find(nv, "nvmlErrorString", &nv->nvmlErrorString))
		missing = "nvmlErrorString";
#define X(name, parameters)                                                                        \
	if (!find(nv, #name, &nv->name) && !missing)                                               \
		missing = #name;
	KF_NVML_ESSENTIAL(X)
#undef X
#define X(name, parameters)                                                                        \
	if (!find(nv, #name, &nv->name))                                                           \
		nv->name = absent_##name;
	KF_NVML_OPTIONAL(X)
#undef X
	if (missing)
		return kf_fail(err, KF_E_UNSUPPORTED, 0,
			       "driver library %s has no %s: kerf needs a driver of R450 or later",
			       nv->path, missing);
	return 0;
}

static int start(struct kf_nvml *nv, struct kf_error *err)
{
	nvmlReturn_t r = nv->nvmlInit_v2();

	if (r == NVML_SUCCESS)
		return 0;
	kf_nvml_fail(err, nv, r, "start the driver library %s", nv->path);
	return r == NVML_ERROR_DRIVER_NOT_LOADED ? KF_NVML_NO_DRIVER : -1;
}

int kf_nvml_open(const char *root, struct kf_nvml **ret, struct kf_error *err)
{
	struct kf_nvml *nv = kf_calloc(1, sizeof(*nv));
	int r;

	if (!nv)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the driver library's table");
	r = open_library(nv, root, err);
	if (r == 0)
		r = load(nv, err);
	if (r == 0)
		r = start(nv, err);
	if (r != 0) {
		if (nv->library)
			dlclose(nv->library);
		free(nv);
		return r;
	}
	*ret = nv;
	return 0;
}

struct kf_nvml *kf_nvml_close(struct kf_nvml *nv)
{
	if (!nv)
		return NULL;
	nv->nvmlShutdown();
	dlclose(nv->library);
	free(nv);
	return NULL;
}

int kf_nvml_fail(struct kf_error *err, const struct kf_nvml *nv, nvmlReturn_t r, const char *fmt,
		 ...)
{
	const char *text = nv->nvmlErrorString ? nv->nvmlErrorString(r) : "no text";
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return kf_fail(err, KF_E_DRIVER, (int)r, "%s: %s (NVML %d)", what, text ? text : "no text",
		       (int)r);
}
