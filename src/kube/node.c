/* Our Node's labels and annotations; see node.h. */
#include "kube/node.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/client.h"

/* A caller's callback until the answer comes. */
struct asked {
	kf_kube_node_cb cb;
	void *ud;
};

int kf_kube_node_result(const struct kf_kube_answer *answer, struct kf_error *err)
{
	int result = kf_kube_check(answer, err);

	if (result < 0 && answer->status == 409)
		return KF_KUBE_CONFLICT;
	return result < 0 && answer->status == 404 ? KF_KUBE_GONE : result;
}

static void on_answer(void *ud, const struct kf_kube_answer *answer)
{
	const struct asked *asked = ud;
	kf_auto(kf_kube_node_freep) struct kf_kube_node *node = NULL;
	json_auto_t *json = NULL;
	struct kf_error err = {0};
	int result = kf_kube_node_result(answer, &err);

	if (result == 0) {
		json = json_loadb(answer->body, answer->n, 0, NULL);
		result = kf_kube_node_read(json, &node, &err);
		if (result < 0)
			kf_prefix(&err, "%s %s", answer->method, answer->path);
	}
	asked->cb(asked->ud, result, node, &err);
}

char *kf_kube_node_path(const char *name, const char *below, struct kf_error *err)
{
	struct kf_text t = {0};
	char *path;

	kf_text_add(&t, "/api/v1/nodes/");
	if (kf_kube_segment(&t, name, err) < 0) {
		kf_text_done(&t);
		return NULL;
	}
	kf_text_add(&t, below);
	path = kf_text_take(&t);
	if (!path)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	return path;
}

/* What validation.IsValidLabelValue of Kubernetes says. */
static int label_value_is_valid(const char *s)
{
	size_t n = strlen(s), i;

	if (n > 63)
		return 0;
	for (i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && (i == 0 || i == n - 1 || !strchr("-_.", s[i])))
			return 0;
	return 1;
}

static json_t *edits_of(const struct kf_kube_edit *edits, unsigned n, enum kf_kube_edit_what what)
{
	json_t *map = json_object();
	unsigned i;

	for (i = 0; map && i < n; i++)
		if (edits[i].what == what &&
		    json_object_set_new(map, edits[i].key,
					edits[i].value ? json_string(edits[i].value)
						       : json_null()) < 0) {
			json_decref(map); /* no memory: all or nothing */
			return NULL;
		}
	return map;
}

static int check_edits(const struct kf_kube_edit *edits, unsigned n, struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		const char *value = edits[i].value;

		if (value && edits[i].what == KF_KUBE_LABEL && !label_value_is_valid(value))
			return kf_fail(err, KF_E_INPUT, 0,
				       "label %s: '%.80s' cannot be the value of a label",
				       edits[i].key, value);
		/* jansson takes UTF-8 only, and would leave the key out */
		if (value && !kf_is_utf8(value, strlen(value)))
			return kf_fail(err, KF_E_INPUT, 0, "%s: the value is not UTF-8",
				       edits[i].key);
	}
	return 0;
}

static char *patch_of(const struct kf_kube_edit *edits, unsigned n, const char *version)
{
	json_auto_t *labels = edits_of(edits, n, KF_KUBE_LABEL);
	json_auto_t *notes = edits_of(edits, n, KF_KUBE_ANNOTATION);
	json_auto_t *patch = NULL;

	if (!labels || !notes)
		return NULL;
	patch = json_pack("{s:{s:O*,s:O*,s:s*}}", "metadata", "labels",
			  json_object_size(labels) ? labels : NULL, "annotations",
			  json_object_size(notes) ? notes : NULL, "resourceVersion", version);
	return kf_kube_text(patch);
}

static int ask(struct kf_kube *k, const char *method, const char *name, const char *body,
	       kf_kube_node_cb cb, void *ud, struct kf_error *err)
{
	kf_auto_mem char *path = kf_kube_node_path(name, "", err);
	kf_auto_mem struct asked *asked = NULL;
	struct kf_kube_ask request = {method, path, body ? KF_KUBE_MERGE : NULL, body, 0};

	if (!path)
		return -1;
	asked = kf_calloc(1, sizeof(*asked));
	if (!asked)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a request");
	asked->cb = cb;
	asked->ud = ud;
	if (kf_kube_request_for(k, &request, on_answer, asked, ud, err) < 0)
		return -1;
	asked = NULL;
	return 0;
}

int kf_kube_node_patch(struct kf_kube *k, const char *name, const struct kf_kube_edit *edits,
		       unsigned n, const char *version, kf_kube_node_cb cb, void *ud,
		       struct kf_error *err)
{
	kf_auto_mem char *body = NULL;

	if (check_edits(edits, n, err) < 0)
		return -1;
	body = patch_of(edits, n, version);
	if (!body)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a patch");
	return ask(k, "PATCH", name, body, cb, ud, err);
}

int kf_kube_node_get(struct kf_kube *k, const char *name, kf_kube_node_cb cb, void *ud,
		     struct kf_error *err)
{
	return ask(k, "GET", name, NULL, cb, ud, err);
}
