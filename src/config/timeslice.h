/*
 * `kerf.timeSlice`, `kerf.timeSlices`: how long a process has a shared GPU.
 *
 *	kerf:
 *	  timeSlice: short           # of all GPUs that are sold as replicas
 *	  timeSlices:                # GPU by GPU; the first entry that names one counts
 *	    - devices: [0, GPU-5c1f...]
 *	      length: long
 */
#pragma once

struct kf_findings;
struct kf_settings;
struct kf_yaml;

/* Into s->sharing; what is wrong or surprising goes to `out`. */
void kf_time_slice_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out);
