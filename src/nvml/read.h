/*
 * From the driver to a struct kf_node.  Read only: nothing here changes the machine.
 */
#pragma once

#include "model/node.h"

struct kf_error;
struct kf_nvml;

/*
 * Read all GPUs, their MIG instances and their processes.
 *
 * `root` is where /sys of the host is found ("/" or a mount of it); `before` (may be NULL) is an
 * earlier node of the same driver session, whose profile tables are taken over for GPUs with the
 * same UUID and mode, since they do not change and cost most of the calls.
 *
 * A GPU that is lost, or of which something cannot be read, is in the node with its state and
 * trouble; the others are read all the same.  Instances may be missing from such a GPU, so that
 * nothing may be planned on it.
 *
 * 0          *ret is the node, the caller's to free
 * negative   the driver as a whole does not answer; *err says what
 */
int kf_nvml_read(const struct kf_nvml *nv, const char *root, const struct kf_node *before,
		 struct kf_node **ret, struct kf_error *err);
