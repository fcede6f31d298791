/*
 * Capability files of MIG instances (nvml-mig-mps.md 3): below DIR/root, the access files in proc
 * and the device nodes that a container gets.
 */
#pragma once

#include "core/state.h"

/* Minor numbers of nvidia-caps; ci may be KF_SIM_NONE: the GPU instance's own. */
unsigned kf_sim_cap_minor(unsigned gpu_minor, unsigned gi, unsigned ci);

/*
 * Make the files of one GPU instance (and of all, where a change before ours has left its own
 * unmade), or of all, what the state says, and note in the state that
 * they are.  Best effort: a caller who may not write there changes nothing.  Wants the lock.
 */
void kf_sim_caps_gi(const char *dir, struct kf_sim_state *s, unsigned gpu, unsigned gi);
void kf_sim_caps_sync(const char *dir, struct kf_sim_state *s);

/*
 * A character device at `path`, or a plain file where mknod is not permitted (an ordinary user; a
 * file system without devices).  One that is there already is left alone.  0, or -1 with errno.
 */
int kf_sim_device_node(const char *path, unsigned major, unsigned minor, unsigned mode);
