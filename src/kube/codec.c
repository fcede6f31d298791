/* JSON from the API server as small values; see codec.h. */
#include "kube/codec.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/page.h"

static char *text(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return kf_strdup(s ? s : "");
}

static void free_pairs(struct kf_kube_pair *pairs, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

/* Values that are no strings are passed over. */
static int read_pairs(json_t *map, struct kf_kube_pair **ret, unsigned *ret_n)
{
	struct kf_kube_pair *pairs = kf_calloc(json_object_size(map), sizeof(*pairs));
	const char *key;
	json_t *value;
	unsigned n = 0;

	if (!pairs)
		return -1;
	json_object_foreach(map, key, value)
	{
		if (!json_is_string(value))
			continue;
		pairs[n].key = kf_strdup(key);
		pairs[n].value = kf_strdup(json_string_value(value));
		n++;
		if (!pairs[n - 1].key || !pairs[n - 1].value) {
			free_pairs(pairs, n);
			return -1;
		}
	}
	*ret = pairs;
	*ret_n = n;
	return 0;
}

static const char *find(const struct kf_kube_pair *pairs, unsigned n, const char *key)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (!strcmp(pairs[i].key, key))
			return pairs[i].value;
	return NULL;
}

const char *kf_kube_node_label(const struct kf_kube_node *n, const char *key)
{
	return find(n->labels, n->n_labels, key);
}

const char *kf_kube_node_annotation(const struct kf_kube_node *n, const char *key)
{
	return find(n->annotations, n->n_annotations, key);
}

/* --- Node ------------------------------------------------------------------------------------ */

struct kf_kube_node *kf_kube_node_free(struct kf_kube_node *n)
{
	if (!n)
		return NULL;
	free(n->name);
	free(n->uid);
	free(n->version);
	free_pairs(n->labels, n->n_labels);
	free_pairs(n->annotations, n->n_annotations);
	free(n);
	return NULL;
}

static int fill_node(struct kf_kube_node *n, json_t *meta)
{
	n->name = text(meta, "name");
	n->uid = text(meta, "uid");
	n->version = text(meta, "resourceVersion");
	n->deleting = json_is_string(json_object_get(meta, "deletionTimestamp"));
	if (!n->name || !n->uid || !n->version)
		return -1;
	if (read_pairs(json_object_get(meta, "labels"), &n->labels, &n->n_labels) < 0)
		return -1;
	return read_pairs(json_object_get(meta, "annotations"), &n->annotations, &n->n_annotations);
}

int kf_kube_node_read(json_t *json, struct kf_kube_node **ret, struct kf_error *err)
{
	kf_auto(kf_kube_node_freep) struct kf_kube_node *n = kf_calloc(1, sizeof(*n));

	if (!n || fill_node(n, json_object_get(json, "metadata")) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a Node");
	if (!*n->name)
		return kf_fail(err, KF_E_PROTOCOL, 0, "a Node came without a name");
	*ret = kf_take(n);
	return 0;
}

/* --- Pod ------------------------------------------------------------------------------------- */

struct kf_kube_pod *kf_kube_pod_free(struct kf_kube_pod *p)
{
	if (!p)
		return NULL;
	free(p->namespace);
	free(p->name);
	free(p->uid);
	free(p->phase);
	free(p->node);
	free(p->owner);
	free(p->deploy);
	free(p);
	return NULL;
}

/* The kind of the owner that controls it; a pod has at most one. */
static char *owner_of(json_t *meta)
{
	size_t i;
	json_t *each;

	json_array_foreach(
		json_object_get(meta, "ownerReferences"), i,
		each) if (json_is_true(json_object_get(each, "controller"))) return text(each,
											 "kind");
	return kf_strdup("");
}

/* By which of the operator's labels it came to this node (nvidia-stack.md 6). */
static char *deploy_of(json_t *spec)
{
	static const char prefix[] = "nvidia.com/gpu.deploy.";
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(spec, "nodeSelector"), key,
			    value) if (!strncmp(key, prefix,
						sizeof(prefix) - 1)) return kf_strdup(key);
	return kf_strdup("");
}

static int fill_pod(struct kf_kube_pod *p, json_t *json)
{
	json_t *meta = json_object_get(json, "metadata");
	json_t *notes = json_object_get(meta, "annotations");

	p->namespace = text(meta, "namespace");
	p->name = text(meta, "name");
	p->uid = text(meta, "uid");
	p->phase = text(json_object_get(json, "status"), "phase");
	p->node = text(json_object_get(json, "spec"), "nodeName");
	p->owner = owner_of(meta);
	p->deploy = deploy_of(json_object_get(json, "spec"));
	p->deleting = json_is_string(json_object_get(meta, "deletionTimestamp"));
	p->mirror = json_object_get(notes, "kubernetes.io/config.mirror") != NULL;
	return p->namespace && p->name && p->uid && p->phase && p->node && p->owner && p->deploy
		       ? 0
		       : -1;
}

int kf_kube_pod_read(json_t *json, struct kf_kube_pod **ret, struct kf_error *err)
{
	kf_auto(kf_kube_pod_freep) struct kf_kube_pod *p = kf_calloc(1, sizeof(*p));

	if (!p || fill_pod(p, json) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a Pod");
	if (!*p->name || !*p->namespace)
		return kf_fail(err, KF_E_PROTOCOL, 0, "a Pod came without a name or a namespace");
	*ret = kf_take(p);
	return 0;
}

struct pods {
	struct kf_kube_pod **pods;
	size_t capacity;
	unsigned n;
	struct kf_error *err;
};

static int add_pod(void *ud, json_t *item)
{
	struct pods *all = ud;

	if (kf_grow(&all->pods, &all->capacity, all->n + 1, sizeof(struct kf_kube_pod *)) < 0)
		return kf_fail(all->err, KF_E_NOMEM, 0, "no memory for a list of pods");
	if (kf_kube_pod_read(item, &all->pods[all->n], all->err) < 0)
		return -1;
	all->n++;
	return 0;
}

void kf_kube_pods_free(struct kf_kube_pod **pods, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		kf_kube_pod_free(pods[i]);
	free(pods);
}

int kf_kube_pods_read(const char *body, size_t n, struct kf_kube_pod ***ret, unsigned *ret_n,
		      struct kf_error *err)
{
	struct pods all = {.err = err};
	struct kf_page page = {0};

	if (kf_page_read(body, n, add_pod, &all, &page, err) < 0) {
		kf_kube_pods_free(all.pods, all.n);
		return -1;
	}
	free(page.version);
	free(page.more);
	*ret = all.pods;
	*ret_n = all.n;
	return 0;
}

char *kf_kube_text(const json_t *json)
{
	size_t n = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
	kf_auto_mem char *text = n ? kf_calloc(1, n + 1) : NULL;

	if (!text || json_dumpb(json, text, n, JSON_COMPACT) != n)
		return NULL;
	return kf_take(text);
}
