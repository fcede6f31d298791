/*
 * The last good configuration: its name and the geometry it led to, so that after a reboot or a
 * driver reload, which take all instances, the slices come back where they were.
 */
#pragma once

#include "base/own.h"
#include "model/node.h"

struct kf_error;

struct kf_saved_ci {
	unsigned id;
	unsigned profile; /* what creation takes; KF_NONE if the driver did not say */
	unsigned slices;
};

struct kf_saved_instance {
	unsigned id;	  /* GPU instance id, for information: it follows from the start */
	unsigned profile; /* what creation takes */
	unsigned slices, gb;
	char attr[8];
	unsigned start;
	unsigned n_ci;
	struct kf_saved_ci ci[KF_MAX_CIS]; /* by id */
};

struct kf_saved_gpu {
	char uuid[KF_UUID];
	int mig;
	unsigned n;
	struct kf_saved_instance instance[KF_MAX_INSTANCES]; /* by start */
};

struct kf_saved {
	char config[64];
	char source[80]; /* of the file it came from: a hash, opaque here */
	char driver_version[80];
	unsigned n_gpus;
	struct kf_saved_gpu *gpu;
};

struct kf_saved *kf_saved_free(struct kf_saved *s);
KF_DEFINE_AUTO(struct kf_saved, kf_saved_free)

/* The node's geometry under the name of a configuration.  GPUs that cannot be read are left out. */
int kf_saved_make(const struct kf_node *node, const char *config, const char *source,
		  struct kf_saved **ret, struct kf_error *err);
const struct kf_saved_gpu *kf_saved_find(const struct kf_saved *s, const char *uuid);

/* To DIR/saved.json, atomically and to the disk. */
int kf_saved_write(const char *dir, const struct kf_saved *s, struct kf_error *err);

#define KF_SAVED_NONE 1
#define KF_SAVED_BAD  2

/*
 * 0               *ret is the caller's to free
 * KF_SAVED_NONE   nothing was saved
 * KF_SAVED_BAD    it cannot be used: *err says why; it lies beside as saved.json.bad
 * negative        it is there and cannot be read
 */
int kf_saved_read(const char *dir, struct kf_saved **ret, struct kf_error *err);

/* For fuzzing: the n bytes of such a file.  0 or negative. */
int kf_saved_parse(const char *text, size_t n, struct kf_saved **ret, struct kf_error *err);
