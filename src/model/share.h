/*
 * How GPUs and slices are sold: each to one container, or each as several replicas.
 *
 * Rules come from a configuration file; a device asks them by what it is, and is told how many
 * replicas it has and under which resource name.  Values only.
 *
 * A replica's id is its device's id with "::k" behind it, k from 0, as NVIDIA's plugin has it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "model/node.h"

#define KF_SHARE_NAME	  64   /* a resource name, NUL included: Kubernetes allows 63 */
#define KF_SHARE_ID	  104  /* a device's id and "::k" behind it */
#define KF_SHARE_REPLICAS 1000 /* of one device; lists are sent whole, at most 4 MiB of them */
#define KF_SHARE_ARTICLE  10   /* replicas where a file names none: what the article promises */

/* Two replicas in one container. */
enum kf_share_policy {
	KF_SHARE_DISTRIBUTED, /* of the least used GPU first, so different ones if it can be */
	KF_SHARE_PACKED,      /* of the most used GPU first */
	KF_SHARE_MUST_DIFFER, /* of different devices, or the container is refused */
};

/* An entry of a `devices` list. */
enum kf_share_by { KF_SHARE_BY_GPU, KF_SHARE_BY_SLICE, KF_SHARE_BY_UUID };
struct kf_share_pick {
	enum kf_share_by by;
	unsigned gpu, slice; /* NVML's indices: 0, and 0:1 */
	char uuid[KF_UUID];
};

/* Where the units of one container, which come from one device, may be had. */
enum kf_share_fit {
	KF_SHARE_EXACT, /* only of the device with most of them free, so that what fits the node's
			   number fits a device; what lies elsewhere is not on sale meanwhile */
	KF_SHARE_TOTAL, /* of all; the number may then promise what no device has */
};

#define KF_SHARE_SMS_BY_MEMORY -1

/* A device sold by its memory: each replica is a unit of it. */
struct kf_share_units {
	unsigned mib;	   /* of one unit; 0: replicas are a number, not memory */
	unsigned keep_mib; /* of each device, not sold */
	enum kf_share_fit fit;
	int sms; /* percent of them for a slice, 0: all, or KF_SHARE_SMS_BY_MEMORY */
};

struct kf_share_rule {
	char resource[KF_SHARE_NAME]; /* whose devices: their name when they are not shared */
	char name[KF_SHARE_NAME];     /* what the replicas are called */
	unsigned replicas;	      /* of each device, from 2; see kf_share_count */
	struct kf_share_units units;
	unsigned first;	  /* only so many devices, the first ones; 0: no such limit */
	unsigned n_picks; /* only these; 0: all */
	struct kf_share_pick *pick;
	size_t capacity;
	int mps;       /* each share is held by MPS; else they only take turns */
	unsigned line; /* in the file */
	int assumed;   /* `replicas` is not in the file */
};

/* Other names for products and profiles; the first that matches counts. */
struct kf_share_naming {
	int mig; /* the pattern is for a profile, not for a product */
	char pattern[KF_UUID];
	char name[KF_SHARE_NAME];
};

/* How long one process has a GPU before the next has its turn; the numbers are nvidia-smi's. */
enum kf_time_slice { KF_SLICE_DEFAULT, KF_SLICE_SHORT, KF_SLICE_MEDIUM, KF_SLICE_LONG };

/* Of one GPU, by KF_SHARE_BY_GPU or _UUID. */
struct kf_share_timing {
	struct kf_share_pick gpu;
	enum kf_time_slice length;
};

struct kf_sharing {
	int fail_greater_than_one; /* a container may have one replica only */
	unsigned n;
	struct kf_share_rule *rule;
	size_t capacity;
	unsigned n_namings;
	struct kf_share_naming *naming;
	size_t naming_capacity;
	enum kf_time_slice time_slice; /* of the GPUs that `timing` does not name */
	unsigned n_timings;
	struct kf_share_timing *timing;
	size_t timing_capacity;
};

struct kf_sharing *kf_sharing_new(void); /* no rules; NULL: no memory */
struct kf_sharing *kf_sharing_free(struct kf_sharing *s);
KF_DEFINE_AUTO(struct kf_sharing, kf_sharing_free)
/* Append a zeroed rule, pick or naming.  NULL: no memory; the pointer is good until the next. */
struct kf_share_rule *kf_sharing_add(struct kf_sharing *s);
struct kf_share_pick *kf_share_rule_add(struct kf_share_rule *rule);
struct kf_share_naming *kf_sharing_add_naming(struct kf_sharing *s);
struct kf_share_timing *kf_sharing_add_timing(struct kf_sharing *s);

/* What the rules ask of a device. */
struct kf_share_device {
	const char *resource; /* its name when it is not shared */
	const char *id;
	unsigned gpu;	/* NVML's index */
	unsigned slice; /* of the MIG device on it; KF_NONE for a whole GPU */
	unsigned place; /* it is the so-manieth device of its resource, from 0 */
};

/*
 * The rule that shares this device, or NULL: it is sold whole.  The first that speaks of it counts.
 * `s` may be NULL.
 */
const struct kf_share_rule *kf_share_of(const struct kf_sharing *s,
					const struct kf_share_device *device);

/* The replicas of a device with so much memory: the rule's number, or its units, which may be 0. */
unsigned kf_share_count(const struct kf_share_rule *rule, uint64_t memory_mib);
/* The rule under whose name replicas or units are sold, or NULL.  `s` may be NULL. */
const struct kf_share_rule *kf_share_named(const struct kf_sharing *s, const char *name);
/* The rule that sells units of memory under this name, or NULL.  `s` may be NULL. */
const struct kf_share_rule *kf_share_units_of(const struct kf_sharing *s, const char *name);

/* How long time slices are to be on this GPU while it is shared.  `s` may be NULL. */
enum kf_time_slice kf_share_time_slice(const struct kf_sharing *s, unsigned gpu, const char *uuid);
/* "default", "short", "medium", "long" */
const char *kf_time_slice_text(enum kf_time_slice length);

/* The name that the file gives to a product or, with `mig`, a profile; NULL: the usual one. */
const char *kf_share_naming(const struct kf_sharing *s, int mig, const char *what);

/* Does `*` in the pattern, standing for any text, make it `s`?  1 or 0. */
int kf_share_glob(const char *pattern, const char *s);

/* "GPU-x" from "GPU-x" and "GPU-x::3". */
void kf_share_device_id(const char *id, char out[KF_UUID]);
/* The k of "::k", or -1: it is no replica. */
int kf_share_replica(const char *id);
/* Two ids of one device?  1 or 0. */
int kf_share_same_device(const char *a, const char *b);

/*
 * Parse an entry of `devices`: "0" (a GPU), "0:1" (a slice), "GPU-...", "MIG-...",
 * "MIG-GPU-.../gi/ci".  0, or -1: it is none.
 */
int kf_share_pick_parse(const char *s, struct kf_share_pick *ret);
