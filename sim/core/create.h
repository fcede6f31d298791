/* A simulated machine on disk: DIR/state, which programs share, and DIR/root, which they read. */
#pragma once

#include "core/machine.h"

/*
 * Make the machine in `dir`, which must be new, empty or a simulated machine (whose programs are
 * then cut off).  0 or -1; after a failure there is no machine, and what was written lies about.
 */
int kf_sim_create(const char *dir, const struct kf_sim_machine *m, struct kf_error *err);
