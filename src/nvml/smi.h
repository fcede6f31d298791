/*
 * What NVML has no public call for: nvidia-smi is asked, as NVIDIA's DRA driver does.
 *
 * How long a time slice is: `nvidia-smi compute-policy -i GPU --set-timeslice 0..3`.  R580 on an
 * H100 answers within 40 ms, exit status 0; a refusal has NVML's code as its status, and a line
 * that says why.  The driver keeps the length until the GPU is reset or the driver reloaded.
 */
#pragma once

struct kf_error;
struct kf_nvml;

/*
 * Set the length for one GPU (by UUID): 0 default, 1 short, 2 medium, 3 long.  `program` is
 * nvidia-smi's path; it is made to use the driver library that `nv` has open, which may not be
 * where the loader looks.  Takes up to 20 s where the driver hangs.
 * 0, or negative: *err has nvidia-smi's words.
 */
int kf_smi_set_time_slice(const struct kf_nvml *nv, const char *program, const char *uuid,
			  unsigned length, struct kf_error *err);
