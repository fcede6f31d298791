/*
 * The kubelet's kubelet_internal_checkpoint, read only: which pod holds which device.
 *
 * It knows what PodResources omits (ordinary init containers) and is there before the kubelet is
 * up.  The kubelet writes it on every list that a plugin sends and after every Allocate, by rename,
 * and removes pods lazily, so an entry can outlive its pod.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define KF_CHECKPOINT_FILE "kubelet_internal_checkpoint" /* in the device-plugins directory */

/* One device.  The strings live as long as the checkpoint. */
struct kf_checkpoint_row {
	const char *pod_uid, *container, *resource, *id;
};

/* Zeroed is empty. */
struct kf_checkpoint {
	unsigned n;
	struct kf_checkpoint_row *row;
	size_t capacity;
	void *json; /* what the strings point into */
};

/*
 * Parse the file's bytes.  Fields that are not known are skipped; both forms of DeviceIDs are read
 * (a map from NUMA node to ids, and the plain list of kubelets before 1.20).  0, or negative:
 * KF_E_INPUT, not such a file (the sentence says what and where), or KF_E_NOMEM.
 */
int kf_checkpoint_parse(const char *bytes, size_t n, struct kf_checkpoint *ret,
			struct kf_error *err);
/* Read and parse; a missing file is an empty checkpoint, since a new node has none yet. */
int kf_checkpoint_read(const char *path, struct kf_checkpoint *ret, struct kf_error *err);
void kf_checkpoint_done(struct kf_checkpoint *c);
