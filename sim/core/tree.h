/*
 * The files that programs read besides NVML (nvidia-stack.md 9), below DIR/root.
 *
 * proc and sys as the driver and the kernel present them, device nodes, and the driver's files:
 * the simulated libnvidia-ml under its version, and empty libraries with the right names.
 */
#pragma once

#include "core/state.h"

/* Where libraries lie on this architecture, below the root. */
#if defined(__aarch64__)
#define KF_SIM_LIB_DIR "usr/lib/aarch64-linux-gnu"
#else
#define KF_SIM_LIB_DIR "usr/lib/x86_64-linux-gnu"
#endif

/* Write the whole tree.  0, or -1: *err names the file. */
int kf_sim_tree_write(const char *dir, const struct kf_sim_machine *m, struct kf_error *err);
/* The driver's libraries and programs alone. */
int kf_sim_driver_write(const char *root, const struct kf_sim_machine *m, struct kf_error *err);

/* mkdir -p and write, in one: `at` is relative to `root`; printf for the content. */
int kf_sim_file(const char *root, struct kf_error *err, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for bytes. */
int kf_sim_file_bytes(const char *root, const char *at, const char *data, size_t n, unsigned mode,
		      struct kf_error *err);
int kf_sim_symlink(const char *root, const char *at, const char *to, struct kf_error *err);
