/* Where the machine of a program is: for what runs on a simulated machine, of whatever kind. */
#pragma once

#include <stddef.h>

/* Where a container finds the machine: its folder, mounted there (docs/sim.md). */
#define KF_SIM_CONTAINER_DIR "/run/kerf-sim"

/*
 * The machine's folder: what KERF_SIM_DIR says, else DIR of `own`, which is the path of the
 * caller's own file (DIR/root/usr/...), else KF_SIM_CONTAINER_DIR.  0, or -1: there is none.
 */
int kf_sim_find(const char *own, char *out, size_t size);

/*
 * Where the device nodes are that the program may use: in a container /dev, else DIR/root/dev.  A
 * GPU without a node there is not to be seen by CUDA.
 */
void kf_sim_dev_dir(const char *dir, char *out, size_t size);
