/*
 * The CDI file: every GPU and slice of the node under the kind, names and file name of NVIDIA's
 * plugin, so that pods of either can be restarted by the other.  No hooks (kubernetes.md 4.3).
 */
#pragma once

#include <stddef.h>

#include "cdi/edits.h"
#include "model/holds.h"

#define KF_SPEC_KIND "k8s.device-plugin.nvidia.com/gpu"
#define KF_SPEC_FILE "k8s.device-plugin.nvidia.com-gpu.json"
#define KF_SPEC_DIR  "/var/run/cdi"

struct kf_spec_options {
	int index_names; /* offer "0" and "0:1" beside the UUIDs */
};

#define KF_SPEC_SAME	 1
#define KF_SPEC_REPLACED 2
#define KF_SPEC_PARTIAL	 4

/*
 * Write DIR/KF_SPEC_FILE, mode 0644, atomically, and only when its bytes change.  The directory is
 * made if need be.  A device that `holds` (may be NULL) names and the node no longer has, or whose
 * GPU cannot be read just now, stays in the file as it was.  A node without GPUs and with nothing
 * held removes the file: CDI does not allow an empty one.  `opt` may be NULL.
 *
 * 0                  written
 * KF_SPEC_SAME       it was as it should be
 * KF_SPEC_REPLACED   written; the file there before was no CDI file of ours: *err says what was
 *                    wrong, and it lies beside as NAME.bad
 * KF_SPEC_PARTIAL    as 0 or KF_SPEC_SAME, but a device was left out: *err says which and why
 * negative           the file is as it was
 */
int kf_spec_write(const char *dir, const struct kf_cdi_view *view, const struct kf_holds *holds,
		  const struct kf_spec_options *opt, struct kf_error *err);

/* A device's name in full: KF_SPEC_KIND "=" id. */
void kf_spec_name(const char *id, char *out, size_t size);

/*
 * The text of the file.  `previous` (NULL: none) are the n bytes of the one before.
 * 0 and KF_SPEC_PARTIAL: *ret is the caller's to free.  KF_SPEC_EMPTY: no devices.  Negative: *err.
 */
#define KF_SPEC_EMPTY 3
int kf_spec_text(const struct kf_cdi_view *view, const struct kf_holds *holds,
		 const struct kf_spec_options *opt, const char *previous, size_t n, char **ret,
		 struct kf_error *err);

/* Are these n bytes a CDI file of this kind?  0 or -1 with a sentence; at most 8 MiB. */
int kf_spec_check(const char *text, size_t n, struct kf_error *err);
