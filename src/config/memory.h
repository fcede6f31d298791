/*
 * `kerf.gpuMemory`: GPUs that are sold by their memory, a unit at a time.
 *
 *	kerf:
 *	  gpuMemory:
 *	    unit: 1Gi             # what one of the resource is; cluster-wide
 *	    name: gpu-memory      # of the resource; a unit other than 1Gi has another
 *	    keep: 128Mi           # of each GPU, for the MPS server
 *	    devices: all          # as in sharing.timeSlicing
 *	    fit: exact            # or total
 *	    compute: proportional # or none, or a percentage of the SMs
 *
 * Every key has a default; `gpuMemory: {}` switches it on.
 */
#pragma once

struct kf_findings;
struct kf_settings;
struct kf_yaml;

/* Appends a rule to s->sharing; what is wrong or surprising goes to `out`. */
void kf_memory_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out);
