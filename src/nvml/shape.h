/* The profile table of one GPU, from the driver. */
#pragma once

#include "nvml/abi.h"

struct kf_error;
struct kf_gpu;
struct kf_nvml;
struct kf_profile;

/*
 * Fill gpu->shape.  A GPU whose driver lists no profiles in the present mode (before Hopper with
 * MIG off) gets an empty shape, which is no failure.
 */
int kf_shape_read(const struct kf_nvml *nv, nvmlDevice_t device, struct kf_gpu *gpu,
		  struct kf_error *err);

/*
 * The compute instance profiles of a GPU instance profile, as every part has them (nvml-mig-mps.md
 * 1.10).  The driver lists them only for a live instance, so a plan starts from this table, and
 * creation looks the id up by the number of slices.
 */
void kf_shape_ci_table(struct kf_profile *p);
