/*
 * How well GPUs are connected to each other, as NVIDIA's own allocator judges it (nvidia-stack.md
 * 1.6): where their PCIe paths meet, and 100 for each NVLink between them.  Links through NVSwitch
 * count for no pair, since there all pairs are equal.
 */
#pragma once

#include "model/node.h"

struct kf_nvml;

/* Of a pair; with n NVLinks between them 100 n more. */
enum kf_link {
	KF_LINK_UNKNOWN = 0,
	KF_LINK_SYSTEM = 10,	  /* of different CPUs */
	KF_LINK_NODE = 20,	  /* of one CPU */
	KF_LINK_HOST_BRIDGE = 30, /* of one host bridge */
	KF_LINK_SWITCHES = 40,	  /* over several PCIe switches */
	KF_LINK_SWITCH = 50,	  /* over one */
	KF_LINK_BOARD = 60,	  /* on one board */
	KF_LINK_NVLINK = 100,
};

/*
 * Fill in gpu[].link.  What `before` (may be NULL) has of the same two GPUs is taken over; a GPU
 * that does not answer stays unknown to the others and takes nothing from them.
 */
void kf_nvml_links(const struct kf_nvml *nv, const struct kf_node *before, struct kf_node *node);
