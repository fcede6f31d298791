/*
 * Labels for Node Feature Discovery: a file in its features.d, as NVIDIA's program writes it.
 */
#pragma once

#include "base/text.h"
#include "labels/labels.h"

/* Where NVIDIA's program puts it. */
#define KF_FEATURES_FILE "/etc/kubernetes/node-feature-discovery/features.d/gfd"

/* "key=value" lines, sorted. */
void kf_labels_text(const struct kf_labels *l, struct kf_text *out);
/* Replace the file, atomically and only if it differs; mode 0644, folders are made. */
int kf_labels_write(const struct kf_labels *l, const char *path, struct kf_error *err);
/* Remove it; that it is not there is fine. */
int kf_labels_remove(const char *path, struct kf_error *err);
