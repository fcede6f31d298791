/*
 * The answer to Allocate for one container: what the runtime adds to it.
 *
 * A value of growable arrays; zeroed is empty.  Whatever stands in here is cached by the kubelet
 * for the life of the pod and used again when the container restarts, without asking (see
 * kubernetes.md 1.3), so name nothing that may go away under a running pod.
 *
 * The add functions copy their strings and answer 0, or -1: no memory, or a string is not UTF-8
 * (which a kubelet's protobuf would refuse).
 */
#pragma once

#include <stddef.h>

struct kf_answer_pair {
	char *key, *value;
};

struct kf_answer_mount {
	char *container_path, *host_path;
	int read_only;
};

struct kf_answer_device {
	char *container_path, *host_path;
	char *permissions; /* of "rwm" */
};

struct kf_answer {
	unsigned n_envs, n_mounts, n_devices, n_annotations, n_cdi;
	struct kf_answer_pair *env;
	struct kf_answer_mount *mount;
	struct kf_answer_device *device;
	struct kf_answer_pair *annotation;
	char **cdi; /* "vendor.com/class=name" */
	size_t env_capacity, mount_capacity, device_capacity, annotation_capacity, cdi_capacity;
};

/* An env or annotation whose key is there already is replaced: they are maps on the wire. */
int kf_answer_add_env(struct kf_answer *a, const char *key, const char *value);
int kf_answer_add_annotation(struct kf_answer *a, const char *key, const char *value);
int kf_answer_add_mount(struct kf_answer *a, const char *container_path, const char *host_path,
			int read_only);
int kf_answer_add_device(struct kf_answer *a, const char *container_path, const char *host_path,
			 const char *permissions);
int kf_answer_add_cdi(struct kf_answer *a, const char *name);
/* The value of an env, or NULL. */
const char *kf_answer_env(const struct kf_answer *a, const char *key);
/* Free what it holds and leave it empty. */
void kf_answer_done(struct kf_answer *a);
