/*
 * Marks on our Node besides labels: taints, the condition GPUHealthy, and allocatable of units of
 * memory, which must fall before a pod on its way out is forgotten.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "kube/taint.h"

#define KF_CONDITION_TYPE "GPUHealthy"
/* What keeps pods off GPU nodes that do not ask for a GPU: NVIDIA's usual taint. */
#define KF_GPU_TAINT "nvidia.com/gpu=present:NoSchedule"

struct kf_marks {
	uv_timer_t timer;
	struct kf_taint startup; /* of --startup-taint; no key: none */
	int asking;		 /* about taints */
	int again;		 /* something changed meanwhile */
	int said_why_not;
	/* The condition. */
	char status[8], reason[32], since[32]; /* as told last */
	uint32_t message;		       /* a sum of what it said */
	int telling, refused;
	/* Units of memory on sale, as told last. */
	char resource[64];
	unsigned units;
};
