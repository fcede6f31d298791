/* What `kerf sim mps` does to the MPS servers of a machine. */
#pragma once

#include "core/state.h"

struct kf_error;

/*
 * All: 0, or -1 and a sentence, as when the GPU (or, gi and ci not KF_SIM_NONE, the slice) has no
 * MPS server.  They take the lock themselves.
 */

/* A fatal fault of the GPU, as if a client had written to an address that is nobody's. */
int kf_sim_mps_fault(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci,
		     struct kf_error *err);
/* The server answers nobody; or (back) goes on. */
int kf_sim_mps_hang(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci, int back,
		    struct kf_error *err);
/* How many clients a server takes from now on; 0: as many as the driver's. */
void kf_sim_mps_clients(struct kf_sim *sim, unsigned most);
