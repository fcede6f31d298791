/* What mig.c reads and mig-target.c matches; only for the files of this folder. */
#pragma once

#include <stdint.h>

#include "config/mig.h"

#define KF_MIG_NAME 64 /* a label's value has at most 63 characters */

/* device-filter: 0xDDDDVVVV, with :0xSSSSWWWW also the subsystem. */
struct kf_mig_filter {
	uint32_t device, subsystem;
	int has_subsystem;
};

/* "1c.3g.20gb: 6" */
struct kf_mig_count {
	struct kf_profile_name name;
	char text[KF_PROFILE_NAME]; /* as the file spells it */
	unsigned count;		    /* MIG devices on each GPU */
	unsigned line;
};

struct kf_mig_entry {
	unsigned line;
	unsigned n_filters; /* 0: any model */
	struct kf_mig_filter *filter;
	int all; /* devices: all */
	unsigned n_devices;
	unsigned *device; /* else these indices */
	int mig_enabled;
	unsigned n_counts;
	struct kf_mig_count *count;
	size_t filters_room, devices_room, counts_room;
};

struct kf_mig_config {
	char name[KF_MIG_NAME];
	unsigned line;
	unsigned n_entries;
	struct kf_mig_entry *entry;
	size_t entries_room;
};

struct kf_mig_configs {
	char *file;
	int builtin;
	unsigned n;
	struct kf_mig_config *config;
	size_t room;
};

/* The bytes of default-mig.yaml, compiled in. */
extern const char kf_default_mig[];
extern const unsigned kf_default_mig_size;

const struct kf_mig_config *kf_mig_configs_find(const struct kf_mig_configs *c, const char *name);

/* Can the GPU do MIG, as far as we know?  One that has never answered might. */
int kf_mig_possible(const struct kf_gpu *gpu);
/*
 * For the check that a configuration means some GPU here: 1 if `t` speaks of one that answers, or
 * if no GPU that can do MIG answers and it speaks of any.
 */
int kf_mig_means_some(const struct kf_node *node, const struct kf_target *t);

/* Does an entry speak of this GPU: filter and devices?  1 or 0. */
int kf_mig_entry_matches(const struct kf_mig_entry *e, const struct kf_gpu *gpu);
/*
 * What one entry asks of one GPU that it speaks of.  `file` is for messages.
 * 0: *ret is filled in; 1: this GPU is passed over, *ret untouched; negative: *err.
 */
int kf_mig_entry_resolve(const char *file, const struct kf_mig_entry *e, const struct kf_gpu *gpu,
			 struct kf_gpu_target *ret, struct kf_error *err);
#define KF_MIG_PASSED_OVER 1

/* The most instances of one profile that an empty GPU of this shape holds. */
unsigned kf_shape_room(const struct kf_shape *shape, unsigned profile);

/* kf_mig_configs_target for the built-in set; *t has the node's number of GPUs, nothing mentioned.
 */
int kf_mig_builtin_target(const struct kf_mig_configs *c, const char *name,
			  const struct kf_node *node, struct kf_target *t, struct kf_error *err);

/* MIG devices of a GPU by profile and compute slices, however they share GPU instances. */
struct kf_mig_devices {
	unsigned count[KF_MAX_PROFILES][KF_MAX_CIS + 1];
	int strange; /* something that no configuration can ask for */
};

void kf_mig_devices_of_gpu(const struct kf_gpu *gpu, struct kf_mig_devices *ret);
void kf_mig_devices_of_target(const struct kf_shape *shape, const struct kf_gpu_target *t,
			      struct kf_mig_devices *ret);
int kf_mig_devices_equal(const struct kf_mig_devices *a, const struct kf_mig_devices *b);
/* "1c.3g.20gb" */
void kf_mig_device_name(const struct kf_shape *shape, unsigned profile, unsigned slices,
			char out[KF_PROFILE_NAME]);
/* "3x 2g.10gb, 1x 1g.5gb" or "no MIG devices" */
void kf_mig_devices_text(const struct kf_shape *shape, const struct kf_mig_devices *d, char *out,
			 unsigned size);
