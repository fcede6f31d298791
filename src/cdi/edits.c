/* What a container gets; see edits.h. */
#include "cdi/edits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "cdi/files.h"
#include "mig/caps.h"

/*
 * The default directories of the two families of images; glibc finds a library there without
 * ld.so.cache (kubernetes.md 4.3).
 */
static const char *const loader_dirs[] = {
#if defined(__aarch64__)
	"/usr/lib/aarch64-linux-gnu",
#else
	"/usr/lib/x86_64-linux-gnu",
#endif
	"/usr/lib64",
};

#define NVIDIA	 195 /* the major of nvidiactl and nvidia<minor>, fixed */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void kf_edits_done(struct kf_edits *e)
{
	unsigned i;

	for (i = 0; i < e->n_nodes; i++) {
		free(e->node[i].host);
		free(e->node[i].path);
	}
	for (i = 0; i < e->n_mounts; i++) {
		free(e->mount[i].host);
		free(e->mount[i].path);
	}
	for (i = 0; i < e->n_envs; i++)
		free(e->env[i]);
	free(e->node);
	free(e->mount);
	free(e->env);
	*e = (struct kf_edits){0};
}

static int no_memory(struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for what a container gets");
}

static char *host_path(const struct kf_cdi_view *view, const char *path)
{
	return kf_under(view->host_root ? view->host_root : view->root, path);
}

/* Takes `host` and `path`, even when it fails. */
static int add_node(struct kf_edits *e, char *host, char *path, int plain, int major, int minor,
		    struct kf_error *err)
{
	if (!host || !path ||
	    kf_grow(&e->node, &e->nodes_capacity, e->n_nodes + 1, sizeof(*e->node)) < 0) {
		free(host);
		free(path);
		return no_memory(err);
	}
	e->node[e->n_nodes++] = (struct kf_edit_node){
		.host = host, .path = path, .plain = plain, .major = major, .minor = minor};
	return 0;
}

static int add_mount(struct kf_edits *e, char *host, char *path, int socket, struct kf_error *err)
{
	if (!host || !path ||
	    kf_grow(&e->mount, &e->mounts_capacity, e->n_mounts + 1, sizeof(*e->mount)) < 0) {
		free(host);
		free(path);
		return no_memory(err);
	}
	e->mount[e->n_mounts++] =
		(struct kf_edit_mount){.host = host, .path = path, .socket = socket};
	return 0;
}

static int add_env(struct kf_edits *e, const char *text, struct kf_error *err)
{
	if (kf_grow(&e->env, &e->envs_capacity, e->n_envs + 1, sizeof(*e->env)) < 0)
		return no_memory(err);
	e->env[e->n_envs] = kf_strdup(text);
	if (!e->env[e->n_envs])
		return no_memory(err);
	e->n_envs++;
	return 0;
}

/*
 * One device node.  Runtimes look its numbers up on the host, so a node that is not there is named
 * with them when we know its major, and otherwise left out if it may be: a name that the runtime
 * cannot look up keeps the container from starting.
 */
static int add_device(const struct kf_cdi_view *view, const char *path, int major, int minor,
		      int needed, struct kf_edits *e, struct kf_error *err)
{
	kf_auto_mem char *full = kf_under(view->root, path);
	struct stat st;
	int there;

	if (!full)
		return no_memory(err);
	there = stat(full, &st) == 0;
	if (!there && major <= 0 && !needed)
		return 0;
	return add_node(e, host_path(view, path), kf_strdup(path), there && !S_ISCHR(st.st_mode),
			there || major <= 0 ? 0 : major, there || major <= 0 ? 0 : minor, err);
}

static int add_gpu(const struct kf_cdi_view *view, const struct kf_gpu *gpu, struct kf_edits *e,
		   struct kf_error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/nvidia%u", gpu->minor);
	return add_device(view, path, NVIDIA, (int)gpu->minor, 1, e, err);
}

static int add_caps(const struct kf_cdi_view *view, const struct kf_slice_ref *slice,
		    struct kf_edits *e, struct kf_error *err)
{
	const int minor[] = {
		kf_caps_gi_minor(view->caps, slice->gpu->minor, slice->instance->id),
		kf_caps_ci_minor(view->caps, slice->gpu->minor, slice->instance->id, slice->ci->id),
	};
	char path[64];
	size_t i;

	for (i = 0; i < COUNT(minor); i++) {
		if (minor[i] < 0)
			return kf_fail(err, KF_E_UNSUPPORTED, 0,
				       "%s: the driver has no capability gpu%u/gi%u/ci%u",
				       slice->ci->uuid, slice->gpu->minor, slice->instance->id,
				       slice->ci->id);
		snprintf(path, sizeof(path), "/dev/nvidia-caps/nvidia-cap%d", minor[i]);
		if (add_device(view, path, view->caps->caps_major, minor[i], 1, e, err) < 0)
			return -1;
	}
	return 0;
}

int kf_edits_device(const struct kf_cdi_view *view, const char *id, struct kf_edits *e,
		    struct kf_error *err)
{
	const struct kf_gpu *gpu = kf_node_find_gpu(view->node, id);
	struct kf_slice_ref slice;

	if (!*id)
		return KF_EDITS_UNKNOWN;
	if (gpu)
		return gpu->state == KF_GPU_OK ? add_gpu(view, gpu, e, err) : KF_EDITS_UNKNOWN;
	if (!kf_node_find_slice(view->node, id, &slice) || slice.gpu->state != KF_GPU_OK)
		return KF_EDITS_UNKNOWN;
	if (add_gpu(view, slice.gpu, e, err) < 0)
		return -1;
	return add_caps(view, &slice, e, err);
}

static int add_control(const struct kf_cdi_view *view, struct kf_edits *e, struct kf_error *err)
{
	int uvm = view->caps->uvm_major;

	if (add_device(view, "/dev/nvidiactl", NVIDIA, 255, 1, e, err) < 0 ||
	    add_device(view, "/dev/nvidia-uvm", uvm, 0, 0, e, err) < 0 ||
	    add_device(view, "/dev/nvidia-uvm-tools", uvm, 1, 0, e, err) < 0 ||
	    add_device(view, "/dev/nvidia-modeset", 0, 0, 0, e, err) < 0)
		return -1;
	return 0;
}

/* Under each of its names in each loader directory. */
static int add_library(const struct kf_cdi_view *view, const struct kf_file *f, struct kf_edits *e,
		       struct kf_error *err)
{
	unsigned d, i;

	for (d = 0; d < COUNT(loader_dirs); d++)
		for (i = 0; i < f->n_names; i++)
			if (add_mount(e, host_path(view, f->from),
				      kf_asprintf("%s%s/%s", loader_dirs[d], f->to, f->name[i]), 0,
				      err) < 0)
				return -1;
	return 0;
}

int kf_edits_common(const struct kf_cdi_view *view, struct kf_edits *e, struct kf_error *err)
{
	unsigned i;

	if (add_env(e, "NVIDIA_VISIBLE_DEVICES=void", err) < 0 || add_control(view, e, err) < 0)
		return -1;
	for (i = 0; view->files && i < view->files->n; i++) {
		const struct kf_file *f = &view->files->file[i];

		if (f->kind == KF_FILE_LIBRARY
			    ? add_library(view, f, e, err) < 0
			    : add_mount(e, host_path(view, f->from), kf_strdup(f->to),
					f->kind == KF_FILE_SOCKET, err) < 0)
			return -1;
	}
	return 0;
}

int kf_edits_index_name(const struct kf_node *node, const char *id, char *out, size_t size)
{
	const struct kf_gpu *gpu = kf_node_find_gpu(node, id);
	struct kf_slice_ref slice;

	if (gpu) {
		snprintf(out, size, "%u", gpu->index);
		return 0;
	}
	if (!kf_node_find_slice(node, id, &slice) || slice.ci->mig_index == KF_NONE)
		return -1;
	snprintf(out, size, "%u:%u", slice.gpu->index, slice.ci->mig_index);
	return 0;
}
