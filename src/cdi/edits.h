/*
 * What a container gets: device nodes, mounts, environment.  One value from which the CDI file is
 * written and, where the runtime has CDI off, the plain Allocate answer is made.
 */
#pragma once

#include <stddef.h>

#include "base/own.h"
#include "model/node.h"

struct kf_caps;
struct kf_error;
struct kf_files;

/* Everything that a device's edits depend on; all borrowed. */
struct kf_cdi_view {
	/* Where we read: "" or "/", a host root mounted elsewhere, or a simulated machine's. */
	const char *root;
	/*
	 * The same directory as the container runtime sees it: what host paths begin with.  NULL:
	 * as `root`.  An agent in a container with the host's root at /host has root "/host" and
	 * host_root "".
	 */
	const char *host_root;
	const struct kf_node *node;
	const struct kf_caps *caps;
	const struct kf_files *files; /* NULL: none */
};

struct kf_edit_node {
	char *host; /* path as the runtime sees it */
	char *path; /* in the container */
	int plain;  /* no device but a plain file (a simulated machine of an ordinary user): it is
		     * bind-mounted, since no runtime makes a device of it */
	int major, minor; /* major > 0: the node is not there yet, and these are its numbers */
};

struct kf_edit_mount {
	char *host;
	char *path;
	int socket; /* noexec and writable; else read only */
};

struct kf_edits {
	unsigned n_nodes, n_mounts, n_envs;
	struct kf_edit_node *node;
	struct kf_edit_mount *mount;
	char **env; /* "KEY=value" */
	size_t nodes_capacity, mounts_capacity, envs_capacity;
};

void kf_edits_done(struct kf_edits *e);

#define KF_EDITS_UNKNOWN 1

/*
 * What one device adds: node of the GPU, and for a slice its two capability nodes.  `id` is a UUID
 * (GPU-..., MIG-...).  Appends to *e, which on failure holds part of it.
 *
 * 0                  done
 * KF_EDITS_UNKNOWN   the node has no such device, or its GPU cannot be read
 * negative           no memory, or the driver has no capability of these numbers
 */
int kf_edits_device(const struct kf_cdi_view *view, const char *id, struct kf_edits *e,
		    struct kf_error *err);

/*
 * What is needed once, whatever the devices: control nodes, driver files, and
 * NVIDIA_VISIBLE_DEVICES=void, which keeps an installed NVIDIA runtime out of it.
 */
int kf_edits_common(const struct kf_cdi_view *view, struct kf_edits *e, struct kf_error *err);

/* "3" or "3:1" (GPU index, MIG index), NVIDIA's deviceIDStrategy=index.  0, or -1 if unknown. */
int kf_edits_index_name(const struct kf_node *node, const char *id, char *out, size_t size);
