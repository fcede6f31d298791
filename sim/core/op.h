/* What can happen to a simulated machine from outside. */
#pragma once

#include "core/state.h"

/* All: 0, or -1 and a sentence.  They take the lock themselves. */

/* Ask for a fault: fault->armed is set here.  `call` by name or "all". */
int kf_sim_set_fault(struct kf_sim *sim, const char *call, const struct kf_sim_fault *fault,
		     struct kf_error *err);
/* Take it back; "all" takes back every one. */
int kf_sim_clear_fault(struct kf_sim *sim, const char *call, struct kf_error *err);
/* A code by number or by name ("IN_USE", "NVML_ERROR_IN_USE"). */
int kf_sim_parse_code(const char *text, int *ret, struct kf_error *err);

/* A GPU by index, UUID or PCI address. */
int kf_sim_parse_gpu(const struct kf_sim *sim, const char *text, unsigned *ret,
		     struct kf_error *err);

/* An XID error, on an instance if gi (and ci) are not KF_SIM_NONE. */
int kf_sim_xid(struct kf_sim *sim, unsigned gpu, unsigned xid, unsigned gi, unsigned ci,
	       struct kf_error *err);
/* The GPU falls off the bus (with its XID 79), or is back. */
int kf_sim_lose(struct kf_sim *sim, unsigned gpu, int back, struct kf_error *err);
/* What the driver says of the GPU's health from now on, until a reset or reload: NVML's recovery
 * action; of row remapping bit 0 (waits for a reset) and bit 1 (has failed, for good); the state of
 * its fabric registration (for good).  KF_SIM_NONE leaves one as it is. */
void kf_sim_ail(struct kf_sim *sim, unsigned gpu, unsigned recovery, unsigned remap,
		unsigned fabric);

/* Put a process on a GPU or instance: it must be one that can have processes. */
int kf_sim_put_process(struct kf_sim *sim, const struct kf_sim_process *p, struct kf_error *err);
/* Take away those with this pid (0: any) on this GPU, gi, ci (KF_SIM_NONE: any). */
int kf_sim_take_process(struct kf_sim *sim, unsigned pid, unsigned gpu, unsigned gi, unsigned ci,
			struct kf_error *err);

/* Those with this pid work so much from now on, per cent of their GPU. */
int kf_sim_load_process(struct kf_sim *sim, unsigned pid, unsigned sm, struct kf_error *err);

/* What nvidia-smi sets: 1 if the compute mode was another one before, else 0. */
int kf_sim_set_compute_mode(struct kf_sim *sim, unsigned gpu, unsigned mode);
/* A time slice's length: 0 to 3; a reset and a reload put it back to 0. */
void kf_sim_set_timeslice(struct kf_sim *sim, unsigned gpu, unsigned length);

/* Reset one GPU: instances go, a pending mode becomes true.  Refused while a process is on it. */
int kf_sim_reset(struct kf_sim *sim, unsigned gpu, struct kf_error *err);
/* Unload the driver and load it again: as a reset of all GPUs, processes end, programs that have
 * the driver open are cut off, and from Hopper on the MIG mode is lost. */
void kf_sim_reload(struct kf_sim *sim);
/* The driver goes, and (load) comes. */
void kf_sim_unload(struct kf_sim *sim);
void kf_sim_load_driver(struct kf_sim *sim);
/* A reload after which lost GPUs are back and counters start anew. */
void kf_sim_reboot(struct kf_sim *sim);
