/*
 * Allocate as a function: node and ids to the answer that the kubelet is given (nvidia-stack.md
 * 1.5).  In agent/, since kubelet/ (the answer) and cdi/ (what a device needs) do not know each
 * other.
 */
#pragma once

#include "cdi/edits.h"

struct kf_answer;
struct kf_error;

/* How the devices are named to the runtime; several at once are allowed. */
enum kf_grant_way {
	KF_GRANT_ENVVAR = 1,
	KF_GRANT_VOLUME_MOUNTS = 2,
	KF_GRANT_CDI_ANNOTATIONS = 4,
	KF_GRANT_CDI_CRI = 8,
	KF_GRANT_DIRECT = 16, /* ours: device nodes and mounts, for a runtime that has CDI off */
};

struct kf_grant_options {
	unsigned ways;
	int by_index;	       /* deviceIDStrategy=index */
	int pass_device_specs; /* with ENVVAR or VOLUME_MOUNTS */
	int gdrcopy, gds, mofed;
	const char *annotation_prefix; /* NULL: "cdi.k8s.io/" */
};

/* "envvar", "volume-mounts", "cdi-annotations", "cdi-cri": the bit, or 0 for another word. */
unsigned kf_grant_way(const char *word);

/*
 * Append to *ret what a container with these devices gets.  An id may carry a replica's "::k"; a
 * device named twice is given once.
 *
 * 0, or negative: an id is unknown (KF_E_STATE, the sentence names it) or there is no memory; *ret
 * then holds part of an answer and is to be thrown away.
 */
int kf_grant_fill(const struct kf_grant_options *opt, const struct kf_cdi_view *view,
		  const char *const *ids, unsigned n, struct kf_answer *ret, struct kf_error *err);
