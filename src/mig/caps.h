/*
 * Capability devices: the two nodes under /dev/nvidia-caps that open one slice to a container.
 *
 * Their minor numbers come from /proc/driver/nvidia-caps/mig-minors, a static table of the driver
 * ("gpu0/gi7/ci0/access 67"), or, where that file is not there, from the formula that the table
 * follows (nvml-mig-mps.md 3).  Their major number is dynamic and stands in /proc/devices.
 *
 * A value and a few file system calls; no NVML in here, so that cdi/ may read it as well.
 */
#pragma once

#include <stdint.h>

#include "model/node.h"

struct kf_error;

#define KF_CAPS_GPUS 32 /* GPU minors 0..31 in mig-minors */

struct kf_caps {
	int listed;	/* 1: from mig-minors; 0: the file is absent, minors by formula */
	int caps_major; /* of nvidia-caps; -1 when /proc/devices does not name it */
	int uvm_major;	/* of nvidia-uvm; ditto */
	/* 0 where the table has none: minor 0 is never a capability */
	uint16_t gi[KF_CAPS_GPUS][KF_MAX_INSTANCES];
	uint16_t ci[KF_CAPS_GPUS][KF_MAX_INSTANCES][KF_MAX_CIS];
};

/*
 * Read both files under `root` ("" or "/" for this machine).  Absent files are no failure.
 * 0, or negative: a file is there and cannot be read, or a line of mig-minors is not what it should
 * be (*err names file and line).  *ret is written on success only.
 */
int kf_caps_read(const char *root, struct kf_caps *ret, struct kf_error *err);

/* The minor, or -1 when the driver has none for these numbers.  `gpu` is the minor of the GPU. */
int kf_caps_gi_minor(const struct kf_caps *caps, unsigned gpu, unsigned gi);
int kf_caps_ci_minor(const struct kf_caps *caps, unsigned gpu, unsigned gi, unsigned ci);

/* What may be done about a device node that is missing. */
enum kf_caps_make {
	KF_CAPS_LOOK, /* nothing */
	KF_CAPS_ASK,  /* this machine ("/"): run nvidia-modprobe; another root: nothing */
	KF_CAPS_MAKE, /* KF_CAPS_ASK, then mknod */
};

#define KF_CAPS_ABSENT 1

/*
 * See that the two nodes of a slice are there under root/dev/nvidia-caps, mode 0444, and make them
 * as far as `make` allows.  Blocks while nvidia-modprobe runs: for the worker.
 *
 * 0                they are there
 * KF_CAPS_ABSENT   one is missing and was not to be made
 * negative         making one failed; *err says which and why
 */
int kf_caps_ensure(const struct kf_caps *caps, const char *root, unsigned gpu, unsigned gi,
		   unsigned ci, enum kf_caps_make make, struct kf_error *err);

/*
 * The same for the nodes that every CUDA program needs: nvidiactl, nvidia-uvm, nvidia-uvm-tools and
 * nvidia<minor> of each GPU of `node`.
 */
int kf_caps_ensure_base(const struct kf_caps *caps, const char *root, const struct kf_node *node,
			enum kf_caps_make make, struct kf_error *err);

/* For tests and fuzzing: the text of mig-minors into *ret, whose table must be zeroed. */
int kf_caps_parse_minors(const char *text, struct kf_caps *ret, struct kf_error *err);
