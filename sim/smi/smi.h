/*
 * The simulated nvidia-smi: DIR/root/usr/bin/nvidia-smi, a program of its own, so that it runs
 * where kerf is not (in a container, with the machine's root mounted there).
 *
 *	nvidia-smi -L                                          GPUs and MIG devices
 *	nvidia-smi -r -i GPU,...                               reset
 *	nvidia-smi [-i GPU,...] -c MODE                        compute mode
 *	nvidia-smi compute-policy [-i GPU,...] -l              time-slice lengths
 *	nvidia-smi compute-policy [-i GPU,...] --set-timeslice 0..3
 *
 * Words and exit statuses are those of R580 on an H100, as far as they were seen there.  Anything
 * else is refused with a sentence that says that the machine is simulated.
 */
#pragma once

#include "core/state.h"

/* nvidia-smi's exit statuses, which are NVML's codes. */
enum kf_smi_exit {
	KF_SMI_OK = 0,
	KF_SMI_USAGE = 2, /* INVALID_ARGUMENT */
	KF_SMI_NO_PERMISSION = 4,
	KF_SMI_NOT_FOUND = 6,
	KF_SMI_NO_DRIVER = 9,
	KF_SMI_IN_USE = 19,
};

/* GPUs of -i: bits; all of the machine's where `list` is NULL.  0: one is not there. */
uint32_t kf_smi_gpus(const struct kf_sim *sim, const char *list);

/* `nvidia-smi compute-policy ...`, argv[0] is "compute-policy"; answers an exit status. */
int kf_smi_policy(struct kf_sim *sim, int argc, char **argv);
