/*
 * Who holds what: the slices and GPUs that must not be touched, with the reason in words.
 *
 * Made by the agent from its ledger, the kubelet's checkpoint, PodResources and the processes that
 * the driver lists; read by the planner (busy or not) and by everything that tells.
 */
#pragma once

#include "base/own.h"

enum kf_hold_by { KF_HOLD_POD, KF_HOLD_PROCESS };

struct kf_hold {
	char id[96];	/* MIG-... or GPU-...: never a replica's "::k" */
	char sold[104]; /* what the pod was given, "GPU-...::3"; empty: not this device itself */
	enum kf_hold_by by;
	char resource[64];	/* "nvidia.com/mig-1g.5gb"; empty for a process */
	char pod_namespace[64]; /* empty while not known, and for a process */
	char pod_name[256];
	char pod_uid[64];
	char container[64];
	unsigned pid;
};

struct kf_holds {
	unsigned n;
	struct kf_hold *hold;
	size_t capacity;
};

/* Append a copy; 0 or -1 (no memory). */
int kf_holds_add(struct kf_holds *h, const struct kf_hold *hold);
/* The first hold of this device, or NULL. */
const struct kf_hold *kf_holds_find(const struct kf_holds *h, const char *id);
void kf_holds_done(struct kf_holds *h);
/* "pod ns/name", "a pod (not yet known to the kubelet)", "process 4121". */
void kf_hold_text(const struct kf_hold *h, char *out, unsigned size);
