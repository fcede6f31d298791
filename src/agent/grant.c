/* Allocate as a function; see grant.h. */
#include "agent/grant.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "cdi/spec.h"
#include "kubelet/answer.h"

/* Where NVIDIA's runtime looks for devices that are named by mounts. */
#define VOLUME_MOUNTS "/var/run/nvidia-container-devices"

#define MAX_NAME (sizeof(KF_SPEC_KIND) + KF_UUID + 1)

unsigned kf_grant_way(const char *word)
{
	static const struct {
		const char *word;
		enum kf_grant_way way;
	} ways[] = {
		{"envvar", KF_GRANT_ENVVAR},
		{"volume-mounts", KF_GRANT_VOLUME_MOUNTS},
		{"cdi-annotations", KF_GRANT_CDI_ANNOTATIONS},
		{"cdi-cri", KF_GRANT_CDI_CRI},
	};
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(word, ways[i].word))
			return ways[i].way;
	return 0;
}

/* The devices of one Allocate, each once: as UUIDs, and as the runtime is told. */
struct granted {
	unsigned n;
	char (*id)[KF_UUID];
	char (*name)[KF_UUID];
};

static void granted_done(struct granted *g)
{
	free(g->id);
	free(g->name);
}

static int no_memory(struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the answer to Allocate");
}

static int is_known(const struct kf_node *node, const char *id)
{
	struct kf_slice_ref slice;

	return kf_node_find_gpu(node, id) || kf_node_find_slice(node, id, &slice);
}

/* "GPU-x::3" is replica 3 of GPU-x. */
static int add_granted(struct granted *g, const struct kf_grant_options *opt,
		       const struct kf_node *node, const char *id, struct kf_error *err)
{
	const char *replica = strstr(id, "::");
	size_t n = replica ? (size_t)(replica - id) : strlen(id);
	char *uuid = g->id[g->n], *name = g->name[g->n];
	unsigned i;

	if (n == 0 || n >= KF_UUID)
		return kf_fail(err, KF_E_STATE, 0, "device \"%.100s\" is not on this node", id);
	memcpy(uuid, id, n);
	uuid[n] = '\0';
	if (!is_known(node, uuid))
		return kf_fail(err, KF_E_STATE, 0, "device %s is not on this node any more", uuid);
	for (i = 0; i < g->n; i++)
		if (!strcmp(g->id[i], uuid))
			return 0;
	if (!opt->by_index)
		strcpy(name, uuid);
	else if (kf_edits_index_name(node, uuid, name, KF_UUID) < 0)
		return kf_fail(err, KF_E_STATE, 0, "device %s has no index just now", uuid);
	g->n++;
	return 0;
}

/* "a,b,c", each with `prefix`; the caller's to free. */
static char *join(const struct granted *g, const char *prefix)
{
	struct kf_text t = {0};
	unsigned i;

	for (i = 0; i < g->n; i++)
		kf_text_addf(&t, "%s%s%s", i ? "," : "", prefix, g->name[i]);
	return kf_text_take(&t);
}

static int fill_envvar(const struct granted *g, struct kf_answer *ret, struct kf_error *err)
{
	kf_auto_mem char *names = join(g, "");

	if (!names || kf_answer_add_env(ret, "NVIDIA_VISIBLE_DEVICES", names) < 0)
		return no_memory(err);
	return 0;
}

static int fill_volume_mounts(const struct granted *g, struct kf_answer *ret, struct kf_error *err)
{
	char path[sizeof(VOLUME_MOUNTS) + KF_UUID + 1];
	unsigned i;

	if (kf_answer_add_env(ret, "NVIDIA_VISIBLE_DEVICES", VOLUME_MOUNTS) < 0)
		return no_memory(err);
	for (i = 0; i < g->n; i++) {
		snprintf(path, sizeof(path), VOLUME_MOUNTS "/%s", g->name[i]);
		if (kf_answer_add_mount(ret, path, "/dev/null", 0) < 0)
			return no_memory(err);
	}
	return 0;
}

/* A fresh UUID, version 4, so that the keys of two resources in one container do not meet. */
static int make_key(const char *prefix, char *out, size_t size)
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return -1;
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	snprintf(out, size,
		 "%snvidia-device-plugin_%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 prefix ? prefix : "cdi.k8s.io/", r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7],
		 r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
	return 0;
}

static int fill_annotation(const struct kf_grant_options *opt, const struct granted *g,
			   struct kf_answer *ret, struct kf_error *err)
{
	kf_auto_mem char *names = join(g, KF_SPEC_KIND "=");
	char key[320];

	if (make_key(opt->annotation_prefix, key, sizeof(key)) < 0)
		return kf_fail(err, KF_E_SYSTEM, 0, "the kernel gave no random bytes");
	if (!names || kf_answer_add_annotation(ret, key, names) < 0)
		return no_memory(err);
	return 0;
}

static int fill_cri(const struct granted *g, struct kf_answer *ret, struct kf_error *err)
{
	char name[MAX_NAME];
	unsigned i;

	for (i = 0; i < g->n; i++) {
		kf_spec_name(g->name[i], name, sizeof(name));
		if (kf_answer_add_cdi(ret, name) < 0)
			return no_memory(err);
	}
	return 0;
}

/* Two slices of one GPU name its node twice. */
static int has_path(const struct kf_answer *a, const char *path)
{
	unsigned i;

	for (i = 0; i < a->n_devices; i++)
		if (!strcmp(a->device[i].container_path, path))
			return 1;
	for (i = 0; i < a->n_mounts; i++)
		if (!strcmp(a->mount[i].container_path, path))
			return 1;
	return 0;
}

static int add_nodes(const struct kf_edits *e, struct kf_answer *ret, struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < e->n_nodes; i++) {
		const struct kf_edit_node *node = &e->node[i];
		int r;

		if (has_path(ret, node->path))
			continue;
		if (node->plain)
			r = kf_answer_add_mount(ret, node->path, node->host, 0);
		else
			r = kf_answer_add_device(ret, node->path, node->host, "rw");
		if (r < 0)
			return no_memory(err);
	}
	return 0;
}

static int add_mounts_and_envs(const struct kf_edits *e, struct kf_answer *ret,
			       struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < e->n_mounts; i++)
		if (kf_answer_add_mount(ret, e->mount[i].path, e->mount[i].host,
					!e->mount[i].socket) < 0)
			return no_memory(err);
	for (i = 0; i < e->n_envs; i++) {
		char key[64];
		const char *equals = strchr(e->env[i], '=');

		snprintf(key, sizeof(key), "%.*s", (int)(equals - e->env[i]), e->env[i]);
		if (kf_answer_add_env(ret, key, equals + 1) < 0)
			return no_memory(err);
	}
	return 0;
}

/* Nodes of the devices and of control; `all`: the driver's files and environment, too. */
static int fill_direct(const struct kf_cdi_view *view, const struct granted *g, int all,
		       struct kf_answer *ret, struct kf_error *err)
{
	kf_auto(kf_edits_done) struct kf_edits e = {0};
	unsigned i;

	if (kf_edits_common(view, &e, err) < 0)
		return -1;
	for (i = 0; i < g->n; i++) {
		int r = kf_edits_device(view, g->id[i], &e, err);

		if (r == KF_EDITS_UNKNOWN)
			return kf_fail(err, KF_E_STATE, 0, "the GPU of device %s cannot be read",
				       g->id[i]);
		if (r < 0)
			return r;
	}
	if (add_nodes(&e, ret, err) < 0)
		return -1;
	return all ? add_mounts_and_envs(&e, ret, err) : 0;
}

static int fill_flags(const struct kf_grant_options *opt, struct kf_answer *ret,
		      struct kf_error *err)
{
	if ((opt->gdrcopy && kf_answer_add_env(ret, "NVIDIA_GDRCOPY", "enabled") < 0) ||
	    (opt->gds && kf_answer_add_env(ret, "NVIDIA_GDS", "enabled") < 0) ||
	    (opt->mofed && kf_answer_add_env(ret, "NVIDIA_MOFED", "enabled") < 0))
		return no_memory(err);
	return 0;
}

/*
 * KERF_DEVICES: the UUIDs, for a container that wants to know what it was given.  By CDI it is told
 * nothing else of it: NVIDIA_VISIBLE_DEVICES is "void" there, and CUDA sees what it may open.
 */
static int fill_devices(const struct granted *g, struct kf_answer *ret, struct kf_error *err)
{
	struct kf_text t = {0};
	kf_auto_mem char *value = NULL;
	unsigned i;

	for (i = 0; i < g->n; i++)
		kf_text_addf(&t, "%s%s", i ? "," : "", g->id[i]);
	value = kf_text_take(&t);
	if (!value || kf_answer_add_env(ret, "KERF_DEVICES", value) < 0)
		return no_memory(err);
	return 0;
}

static int fill(const struct kf_grant_options *opt, const struct kf_cdi_view *view,
		const struct granted *g, struct kf_answer *ret, struct kf_error *err)
{
	unsigned ways = opt->ways, by_name = KF_GRANT_ENVVAR | KF_GRANT_VOLUME_MOUNTS;

	if (fill_flags(opt, ret, err) < 0 || fill_devices(g, ret, err) < 0)
		return -1;
	if (ways & KF_GRANT_CDI_ANNOTATIONS && fill_annotation(opt, g, ret, err) < 0)
		return -1;
	if (ways & KF_GRANT_CDI_CRI && fill_cri(g, ret, err) < 0)
		return -1;
	if (ways & KF_GRANT_DIRECT && fill_direct(view, g, 1, ret, err) < 0)
		return -1;
	/* the last one wins: NVIDIA's order, envvar then volume-mounts, over our "void" */
	if (ways & KF_GRANT_ENVVAR && fill_envvar(g, ret, err) < 0)
		return -1;
	if (ways & KF_GRANT_VOLUME_MOUNTS && fill_volume_mounts(g, ret, err) < 0)
		return -1;
	if (ways & by_name && opt->pass_device_specs && fill_direct(view, g, 0, ret, err) < 0)
		return -1;
	return 0;
}

int kf_grant_fill(const struct kf_grant_options *opt, const struct kf_cdi_view *view,
		  const char *const *ids, unsigned n, struct kf_answer *ret, struct kf_error *err)
{
	kf_auto(granted_done) struct granted g = {0};
	unsigned i;

	g.id = kf_calloc(n, sizeof(*g.id));
	g.name = kf_calloc(n, sizeof(*g.name));
	if (!g.id || !g.name)
		return no_memory(err);
	for (i = 0; i < n; i++)
		if (add_granted(&g, opt, view->node, ids[i], err) < 0)
			return -1;
	return fill(opt, view, &g, ret, err);
}
