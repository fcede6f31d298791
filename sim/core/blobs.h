/* Files that are compiled in: what `kerf sim create` puts into a machine.  Made by blobs.py. */
#pragma once

#include <stddef.h>

/* The simulated driver library. */
extern const char kf_sim_library[], kf_sim_library_end[];
/* The simulated libcuda.so.1. */
extern const char kf_sim_cuda[], kf_sim_cuda_end[];
/* The program that is nvidia-cuda-mps-control and, under that name, nvidia-cuda-mps-server. */
extern const char kf_sim_mps[], kf_sim_mps_end[];
/* The simulated nvidia-smi. */
extern const char kf_sim_smi[], kf_sim_smi_end[];
/* An empty shared library, whose SONAME is KF_SIM_STUB_NAME, to be written over. */
extern const char kf_sim_stub[], kf_sim_stub_end[];

#define KF_SIM_STUB_NAME "kerf-stub-soname-kerf-stub-soname-kerf-stub-soname-kerf-stub.so"
