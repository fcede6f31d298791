/*
 * --pause-operands: what NVIDIA's GPU operator runs on the node lets go of the GPUs around a
 * change.
 *
 * Each operand's DaemonSet selects nodes by a label of its own, nvidia.com/gpu.deploy.NAME=true.
 * NVIDIA's MIG manager sets those to `paused-for-mig-change`, waits for the pods to end, and sets
 * them back; when the wait fails it leaves them, with the node at nothing (nvidia-stack.md 4.4,
 * gpu-operator#2833).  kerf does the same before a step that changes a MIG mode or destroys an
 * instance, and sets them back whatever comes: which ones it has paused stands in an annotation of
 * the Node, written by the same patch, so that an agent that was killed, or started without the
 * switch, sets them back as well.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#define KF_LABEL_DEPLOY	     "nvidia.com/gpu.deploy."
#define KF_ANNOTATION_PAUSED "kerf.dev/paused-operands"
#define KF_PAUSED	     "paused-for-mig-change" /* the MIG manager's value */

enum kf_pause_state {
	KF_PAUSE_NONE,
	KF_PAUSE_ASKING,  /* the patch is on its way */
	KF_PAUSE_WAITING, /* for their pods to end */
	KF_PAUSE_THERE,	  /* they are paused */
	KF_PAUSE_ENDING,  /* the patch that sets them back is on its way */
};

struct kf_pause {
	uv_timer_t timer;
	enum kf_pause_state state;
	unsigned on;	/* operands whose label is `true`, as bits; as the Node has it */
	unsigned ours;	/* that the annotation names */
	unsigned still; /* of them those whose pods are there */
	unsigned failures;
	uint64_t since_ms; /* of WAITING */
	int listing;
};
