/* The driver's own files: libraries under their version, SONAME links, programs; see tree.h. */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "core/blobs.h"
#include "core/tree.h"

/*
 * What R580 installs for computing and video, and the number in each SONAME; 0: the version itself
 * is in it.
 */
static const struct {
	const char *name;
	int soname;
	int plain; /* has a link without number, too */
} libraries[] = {
	{"libnvidia-ml", 1, 1},
	{"libcuda", 1, 1},
	{"libcudadebugger", 1, 0},
	{"libnvidia-ptxjitcompiler", 1, 1},
	{"libnvidia-nvvm", 4, 1},
	{"libnvidia-gpucomp", 0, 0},
	{"libnvidia-cfg", 1, 1},
	{"libnvidia-opencl", 1, 0},
	{"libnvidia-allocator", 1, 1},
	{"libnvidia-sandboxutils", 1, 0},
	{"libnvidia-pkcs11-openssl3", 0, 0},
	{"libnvcuvid", 1, 1},
	{"libnvidia-encode", 1, 1},
	{"libnvidia-opticalflow", 1, 1},
};

static_assert(sizeof(KF_SIM_STUB_NAME) <= KF_SIM_TEXT, "room for a SONAME");

/* The stub with another SONAME written over its own, which is longer than all of these. */
static int stub(const char *root, const char *at, const char *soname, struct kf_error *err)
{
	size_t n = (size_t)(kf_sim_stub_end - kf_sim_stub);
	kf_auto_mem char *bytes = kf_calloc(1, n);
	char *name;

	if (!bytes)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %s", at);
	memcpy(bytes, kf_sim_stub, n);
	name = memmem(bytes, n, KF_SIM_STUB_NAME, sizeof(KF_SIM_STUB_NAME));
	if (!name || strlen(soname) >= sizeof(KF_SIM_STUB_NAME))
		return kf_fail(err, KF_E_STATE, 0, "no room for the name %s", soname);
	memset(name, 0, sizeof(KF_SIM_STUB_NAME));
	snprintf(name, sizeof(KF_SIM_STUB_NAME), "%s", soname);
	return kf_sim_file_bytes(root, at, bytes, n, 0755, err);
}

static int library(const char *root, const char *name, int number, int plain, const char *version,
		   struct kf_error *err)
{
	char file[192], soname[192], at[PATH_MAX];

	snprintf(file, sizeof(file), "%s.so.%s", name, version);
	snprintf(soname, sizeof(soname), "%s.so.%d", name, number);
	snprintf(at, sizeof(at), KF_SIM_LIB_DIR "/%s", file);
	if (!strcmp(name, "libnvidia-ml")) {
		if (kf_sim_file_bytes(root, at, kf_sim_library,
				      (size_t)(kf_sim_library_end - kf_sim_library), 0755, err) < 0)
			return -1;
	} else if (!strcmp(name, "libcuda")) {
		if (kf_sim_file_bytes(root, at, kf_sim_cuda,
				      (size_t)(kf_sim_cuda_end - kf_sim_cuda), 0755, err) < 0)
			return -1;
	} else if (stub(root, at, number ? soname : file, err) < 0) {
		return -1;
	}
	if (number) {
		snprintf(at, sizeof(at), KF_SIM_LIB_DIR "/%s", soname);
		if (kf_sim_symlink(root, at, file, err) < 0)
			return -1;
	}
	if (plain) {
		snprintf(at, sizeof(at), KF_SIM_LIB_DIR "/%s.so", name);
		return kf_sim_symlink(root, at, soname, err);
	}
	return 0;
}

static int program(const char *root, const char *name, const char *bytes, const char *end,
		   struct kf_error *err)
{
	char at[128];

	snprintf(at, sizeof(at), "usr/bin/%s", name);
	return kf_sim_file_bytes(root, at, bytes, (size_t)(end - bytes), 0755, err);
}

/* Those of MPS, nvidia-smi, and some that only have to be there. */
static int programs(const char *root, struct kf_error *err)
{
	static const char *const idle[] = {"nvidia-debugdump", "nvidia-persistenced"};
	static const char *const mps[] = {"nvidia-cuda-mps-control", "nvidia-cuda-mps-server"};
	char script[256];
	unsigned i;

	for (i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
		snprintf(script, sizeof(script),
			 "#!/bin/sh\necho \"%s: this machine is simulated\" >&2\nexit 1\n",
			 idle[i]);
		if (program(root, idle[i], script, script + strlen(script), err) < 0)
			return -1;
	}
	for (i = 0; i < sizeof(mps) / sizeof(mps[0]); i++)
		if (program(root, mps[i], kf_sim_mps, kf_sim_mps_end, err) < 0)
			return -1;
	return program(root, "nvidia-smi", kf_sim_smi, kf_sim_smi_end, err);
}

int kf_sim_driver_write(const char *root, const struct kf_sim_machine *m, struct kf_error *err)
{
	char at[192];
	unsigned i;

	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (library(root, libraries[i].name, libraries[i].soname, libraries[i].plain,
			    m->driver, err) < 0)
			return -1;
	for (i = 0; i < 2; i++) {
		snprintf(at, sizeof(at), "usr/lib/firmware/nvidia/%s/gsp_%s.bin", m->driver,
			 i ? "tu10x" : "ga10x");
		if (kf_sim_file(root, err, at, "simulated\n") < 0)
			return -1;
	}
	return programs(root, err);
}
