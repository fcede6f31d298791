/* The CDI file; see spec.h. */
#include "cdi/spec.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define FILE_LIMIT (8 << 20)

/* The lowest versions that fit (kubernetes.md 4.1): runtimes refuse ones they do not know. */
#define VERSION_BASE	  "0.3.0"
#define VERSION_HOST_PATH "0.5.0" /* deviceNodes[].hostPath, names that start with a digit */

static int no_memory(struct kf_error *err)
{
	/* jansson also refuses text that is not UTF-8, which here can only be a path */
	return kf_fail(err, KF_E_NOMEM, 0,
		       "no memory for the CDI file, or a path in it is not UTF-8");
}

void kf_spec_name(const char *id, char *out, size_t size)
{
	snprintf(out, size, "%s=%s", KF_SPEC_KIND, id);
}

/* -- reading ---------------------------------------------------------------------------------- */

/* "0.5.0" as one number that compares, or -1. */
static long parse_version(const char *s)
{
	unsigned major, minor, patch;
	int end = 0;

	if (sscanf(s, "%3u.%3u.%3u%n", &major, &minor, &patch, &end) != 3 || s[end])
		return -1;
	return (long)major * 1000000 + (long)minor * 1000 + (long)patch;
}

static int check_device(const json_t *device, size_t i, struct kf_error *err)
{
	const char *name = json_string_value(json_object_get(device, "name"));

	if (!name || !*name)
		return kf_fail(err, KF_E_INPUT, 0, "device %zu has no name", i);
	if (!json_object_size(json_object_get(device, "containerEdits")))
		return kf_fail(err, KF_E_INPUT, 0, "device %s has no containerEdits", name);
	return 0;
}

/* The file as a tree, or NULL with a sentence. */
static json_t *parse(const char *text, size_t n, struct kf_error *err)
{
	const char *kind, *version;
	const json_t *device;
	json_error_t why;
	json_t *root;
	size_t i;

	if (n > FILE_LIMIT) {
		kf_fail(err, KF_E_INPUT, 0, "larger than %d bytes", FILE_LIMIT);
		return NULL;
	}
	root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (!root) {
		/* no memory must not look like a bad file, which is set aside; jansson often tells
		 * it by telling nothing */
		kf_fail(err,
			why.text[0] && json_error_code(&why) != json_error_out_of_memory
				? KF_E_INPUT
				: KF_E_NOMEM,
			0, "line %d: %s", why.line, why.text);
		return NULL;
	}
	kind = json_string_value(json_object_get(root, "kind"));
	version = json_string_value(json_object_get(root, "cdiVersion"));
	if (!kind || strcmp(kind, KF_SPEC_KIND) != 0) {
		kf_fail(err, KF_E_INPUT, 0, "its kind is not " KF_SPEC_KIND);
		goto refuse;
	}
	if (!version || parse_version(version) < 0) {
		kf_fail(err, KF_E_INPUT, 0, "it has no cdiVersion");
		goto refuse;
	}
	if (!json_array_size(json_object_get(root, "devices"))) {
		kf_fail(err, KF_E_INPUT, 0, "it has no devices");
		goto refuse;
	}
	json_array_foreach(json_object_get(root, "devices"), i,
			   device) if (check_device(device, i, err) < 0) goto refuse;
	return root;
refuse:
	json_decref(root);
	return NULL;
}

int kf_spec_check(const char *text, size_t n, struct kf_error *err)
{
	json_auto_t *root = parse(text, n, err);

	return root ? 0 : -1;
}

/* -- writing ---------------------------------------------------------------------------------- */

struct writing {
	const struct kf_cdi_view *view;
	const struct kf_holds *holds;
	json_t *devices;
	int host_paths; /* a device node has another path on the host */
	int digits;	/* a name starts with a digit */
	int partial;	/* a device was left out, *err says why */
	long kept; /* version that devices kept from the previous file may need; 0: none kept */
};

/* Append to an array; takes `value`, which may be NULL (no memory).  0 or -1. */
static int append(json_t *array, json_t *value)
{
	return value ? json_array_append_new(array, value) : -1;
}

/* Takes `options`, too. */
static int append_mount(json_t *mounts, const char *host, const char *path, json_t *options)
{
	if (!options)
		return -1;
	return append(mounts, json_pack("{s:s, s:s, s:o}", "hostPath", host, "containerPath", path,
					"options", options));
}

static json_t *node_to_json(struct writing *w, const struct kf_edit_node *node)
{
	json_t *j = json_pack("{s:s}", "path", node->path);
	int r = 0;

	if (!j)
		return NULL;
	if (strcmp(node->host, node->path) != 0) {
		w->host_paths = 1;
		r |= json_object_set_new(j, "hostPath", json_string(node->host));
	}
	if (node->major > 0) {
		r |= json_object_set_new(j, "type", json_string("c"));
		r |= json_object_set_new(j, "major", json_integer(node->major));
		r |= json_object_set_new(j, "minor", json_integer(node->minor));
	}
	/* no "m": a container has no business making device nodes */
	r |= json_object_set_new(j, "permissions", json_string("rw"));
	if (r == 0)
		return j;
	json_decref(j);
	return NULL;
}

/* Device nodes, and the plain files that stand in for them, as mounts. */
static int nodes_to_json(struct writing *w, const struct kf_edits *e, json_t *nodes, json_t *mounts)
{
	unsigned i;

	for (i = 0; i < e->n_nodes; i++) {
		const struct kf_edit_node *node = &e->node[i];
		int r;

		if (node->plain)
			r = append_mount(mounts, node->host, node->path,
					 json_pack("[ssss]", "nosuid", "nodev", "rbind",
						   "rprivate"));
		else
			r = append(nodes, node_to_json(w, node));
		if (r < 0)
			return -1;
	}
	return 0;
}

/* NVIDIA's options: nothing in the container writes to the driver's files. */
static int mounts_to_json(const struct kf_edits *e, json_t *mounts)
{
	unsigned i;

	for (i = 0; i < e->n_mounts; i++) {
		json_t *options = e->mount[i].socket ? json_pack("[sssss]", "nosuid", "nodev",
								 "rbind", "rprivate", "noexec")
						     : json_pack("[sssss]", "ro", "nosuid", "nodev",
								 "rbind", "rprivate");

		if (!options ||
		    append_mount(mounts, e->mount[i].host, e->mount[i].path, options) < 0)
			return -1;
	}
	return 0;
}

static int set_if_any(json_t *object, const char *key, json_t *array)
{
	return json_array_size(array) ? json_object_set(object, key, array) : 0;
}

/* containerEdits, or NULL. */
static json_t *edits_to_json(struct writing *w, const struct kf_edits *e)
{
	json_auto_t *env = json_array(), *nodes = json_array(), *mounts = json_array();
	json_t *j = json_object();
	unsigned i;
	int r = env && nodes && mounts && j ? 0 : -1;

	for (i = 0; r == 0 && i < e->n_envs; i++)
		r = append(env, json_string(e->env[i]));
	if (r == 0 && nodes_to_json(w, e, nodes, mounts) == 0 && mounts_to_json(e, mounts) == 0 &&
	    set_if_any(j, "env", env) == 0 && set_if_any(j, "deviceNodes", nodes) == 0 &&
	    set_if_any(j, "mounts", mounts) == 0)
		return j;
	json_decref(j);
	return NULL;
}

static int has_device(const json_t *devices, const char *name)
{
	const json_t *device;
	size_t i;

	json_array_foreach(devices, i,
			   device) if (!strcmp(json_string_value(json_object_get(device, "name")),
					       name)) return 1;
	return 0;
}

static int add_named(struct writing *w, const char *name, const json_t *edits, struct kf_error *err)
{
	/* two devices of one name would make it unusable; the driver's UUIDs are unique */
	if (has_device(w->devices, name))
		return 0;
	w->digits |= *name >= '0' && *name <= '9';
	if (append(w->devices, json_pack("{s:s, s:O}", "name", name, "containerEdits", edits)) < 0)
		return no_memory(err);
	return 0;
}

/* One GPU or slice under its UUID, and under its index where that is asked for. */
static int add_device(struct writing *w, const char *id, int index_names, struct kf_error *err)
{
	kf_auto(kf_edits_done) struct kf_edits e = {0};
	int r = kf_edits_device(w->view, id, &e, err);
	json_auto_t *edits = NULL;
	char name[32];

	if (r < 0 && err && err->code == KF_E_UNSUPPORTED) {
		w->partial = 1;
		return 0;
	}
	if (r < 0)
		return -1;
	if (r == KF_EDITS_UNKNOWN)
		return 0;
	edits = edits_to_json(w, &e);
	if (!edits)
		return no_memory(err);
	if (add_named(w, id, edits, err) < 0)
		return -1;
	if (index_names && kf_edits_index_name(w->view->node, id, name, sizeof(name)) == 0)
		return add_named(w, name, edits, err);
	return 0;
}

static int add_devices(struct writing *w, int index_names, struct kf_error *err)
{
	const struct kf_node *node = w->view->node;
	unsigned g, i, c;

	for (g = 0; g < node->n_gpus; g++) {
		const struct kf_gpu *gpu = &node->gpu[g];

		if (add_device(w, gpu->uuid, index_names, err) < 0)
			return -1;
		for (i = 0; i < gpu->n_instances; i++)
			for (c = 0; c < gpu->instance[i].n_ci; c++)
				if (add_device(w, gpu->instance[i].ci[c].uuid, index_names, err) <
				    0)
					return -1;
	}
	return 0;
}

/* While a GPU cannot be read we do not know which slices were on it. */
static int has_unreadable_gpu(const struct kf_node *node)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (node->gpu[g].state != KF_GPU_OK)
			return 1;
	return 0;
}

/* Devices of the previous file that must stay, as they were. */
static int keep_devices(struct writing *w, const json_t *previous, struct kf_error *err)
{
	int all = has_unreadable_gpu(w->view->node);
	json_t *device;
	size_t i;

	json_array_foreach(json_object_get(previous, "devices"), i, device)
	{
		const char *name = json_string_value(json_object_get(device, "name"));

		if (has_device(w->devices, name) ||
		    !(all || (w->holds && kf_holds_find(w->holds, name))))
			continue;
		if (json_array_append(w->devices, device) < 0)
			return no_memory(err);
		w->digits |= *name >= '0' && *name <= '9';
		w->kept = parse_version(json_string_value(json_object_get(previous, "cdiVersion")));
	}
	return 0;
}

/* With a newline at its end.  Not json_dumps: it drops bytes when memory runs out. */
static char *to_text(const json_t *root)
{
	size_t n = root ? json_dumpb(root, NULL, 0, JSON_INDENT(2)) : 0;
	kf_auto_mem char *text = n ? kf_calloc(1, n + 2) : NULL;

	if (!text || json_dumpb(root, text, n, JSON_INDENT(2)) != n)
		return NULL;
	text[n] = '\n';
	return kf_take(text);
}

static int dump(struct writing *w, const char *kept_version, char **ret, struct kf_error *err)
{
	const char *version;
	kf_auto(kf_edits_done) struct kf_edits common = {0};
	json_auto_t *edits = NULL, *root = NULL;

	if (kf_edits_common(w->view, &common, err) < 0)
		return -1;
	edits = edits_to_json(w, &common);
	version = w->host_paths || w->digits ? VERSION_HOST_PATH : VERSION_BASE;
	if (w->kept > parse_version(version))
		version = kept_version;
	root = json_pack("{s:s, s:s, s:O, s:O*}", "cdiVersion", version, "kind", KF_SPEC_KIND,
			 "devices", w->devices, "containerEdits", edits);
	*ret = edits ? to_text(root) : NULL;
	return *ret ? 0 : no_memory(err);
}

int kf_spec_text(const struct kf_cdi_view *view, const struct kf_holds *holds,
		 const struct kf_spec_options *opt, const char *previous, size_t n, char **ret,
		 struct kf_error *err)
{
	json_auto_t *devices = json_array(), *before = NULL;
	struct writing w = {.view = view, .holds = holds, .devices = devices};
	char *text = NULL;

	if (!devices)
		return no_memory(err);
	if (previous && !(before = parse(previous, n, err)))
		return -1;
	if (add_devices(&w, opt && opt->index_names, err) < 0 ||
	    (before && keep_devices(&w, before, err) < 0))
		return -1;
	if (!json_array_size(devices))
		return KF_SPEC_EMPTY;
	if (dump(&w, json_string_value(json_object_get(before, "cdiVersion")), &text, err) < 0)
		return -1;
	*ret = text;
	return w.partial ? KF_SPEC_PARTIAL : 0;
}

/* -- the file --------------------------------------------------------------------------------- */

/* 0; KF_SPEC_REPLACED when what was there is of no use and now lies aside. */
static int read_previous(const char *path, char **ret, size_t *n, struct kf_error *err)
{
	struct kf_error why = {0};
	kf_auto_mem char *text = kf_read_file(path, FILE_LIMIT, n, &why);

	if (!text && why.code == KF_E_SYSTEM && (why.detail == ENOENT || why.detail == ENOTDIR))
		return 0;
	if (!text && why.code != KF_E_INPUT) {
		if (err)
			*err = why;
		return -1;
	}
	if (text && kf_spec_check(text, *n, &why) == 0) {
		*ret = kf_take(text);
		return 0;
	}
	if (why.code == KF_E_NOMEM)
		return no_memory(err);
	if (kf_set_aside(path, err) < 0)
		return -1;
	kf_fail(err, KF_E_INPUT, 0, "%s is no CDI file of ours: %s; set aside and written anew",
		path, why.msg);
	return KF_SPEC_REPLACED;
}

static int remove_file(const char *path, struct kf_error *err)
{
	if (unlink(path) == 0)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return KF_SPEC_SAME;
	return kf_fail_errno(err, errno, "remove %s", path);
}

static int replace(const char *dir, const char *path, const char *text, const char *previous,
		   size_t n, struct kf_error *err)
{
	if (previous && strlen(text) == n && !memcmp(text, previous, n))
		return KF_SPEC_SAME;
	if (kf_make_dirs(dir, 0755, err) < 0)
		return -1;
	/* not to the disk: the file is made anew at each start */
	return kf_write_file(path, text, strlen(text), 0644, 0, err);
}

int kf_spec_write(const char *dir, const struct kf_cdi_view *view, const struct kf_holds *holds,
		  const struct kf_spec_options *opt, struct kf_error *err)
{
	kf_auto_mem char *path = kf_asprintf("%s/%s", dir, KF_SPEC_FILE);
	kf_auto_mem char *previous = NULL, *text = NULL;
	struct kf_error spare;
	int read, r, partial;
	size_t n = 0;

	if (!path)
		return no_memory(err);
	if (!err)
		err = &spare;
	read = read_previous(path, &previous, &n, err);
	if (read < 0)
		return read;
	partial = kf_spec_text(view, holds, opt, previous, n, &text, err);
	if (partial < 0)
		return partial;
	r = text ? replace(dir, path, text, previous, n, err) : remove_file(path, err);
	if (r >= 0 && partial == KF_SPEC_PARTIAL)
		return KF_SPEC_PARTIAL;
	return r == 0 ? read : r;
}
