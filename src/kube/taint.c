/* Taints of our Node; see taint.h. */
#include "kube/taint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/codec.h"

/* --- values -------------------------------------------------------------------------------- */

static int is_effect(const char *s)
{
	return !strcmp(s, "NoSchedule") || !strcmp(s, "PreferNoSchedule") ||
	       !strcmp(s, "NoExecute");
}

int kf_taint_parse(const char *s, struct kf_taint *ret, struct kf_error *err)
{
	const char *effect = strrchr(s, ':');
	size_t whole = effect ? (size_t)(effect - s) : strlen(s);
	const char *equals = memchr(s, '=', whole);
	size_t key = equals ? (size_t)(equals - s) : whole;
	size_t value = equals ? whole - key - 1 : 0;

	*ret = (struct kf_taint){.key = ""};
	if (key == 0 || key >= sizeof(ret->key) || value >= sizeof(ret->value))
		return kf_fail(err, KF_E_INPUT, 0,
			       "'%.80s' is no taint; KEY[=VALUE][:EFFECT] is expected", s);
	if (effect && !is_effect(effect + 1))
		return kf_fail(err, KF_E_INPUT, 0,
			       "'%.80s': the effect of a taint is NoSchedule, PreferNoSchedule or "
			       "NoExecute",
			       s);
	memcpy(ret->key, s, key);
	if (equals)
		memcpy(ret->value, equals + 1, value);
	if (effect)
		strcpy(ret->effect, effect + 1);
	return 0;
}

static const char *text_of(const json_t *map, const char *key)
{
	const char *s = json_string_value(json_object_get(map, key));

	return s ? s : "";
}

/* `any`: what the wanted one leaves open counts as the same. */
static int is_taint(const json_t *taint, const struct kf_taint *wanted, int any)
{
	if (!wanted->key[0] || strcmp(text_of(taint, "key"), wanted->key) != 0)
		return 0;
	if ((!any || wanted->value[0]) && strcmp(text_of(taint, "value"), wanted->value) != 0)
		return 0;
	return (any && !wanted->effect[0]) || !strcmp(text_of(taint, "effect"), wanted->effect);
}

static int are_allocatable(const json_t *node, const struct kf_taint_wish *wish)
{
	const json_t *there = json_object_get(json_object_get(node, "status"), "allocatable");
	unsigned i;

	for (i = 0; i < wish->n; i++) {
		const char *n = json_string_value(json_object_get(there, wish->resources[i]));

		if (!n || strtol(n, NULL, 10) <= 0)
			return 0;
	}
	return wish->n > 0;
}

struct editing {
	json_t *taints; /* as they shall be */
	int changed, has_away, has_ours;
};

static void keep_or_drop(struct editing *e, json_t *taint, const struct kf_taint_wish *wish,
			 int ready)
{
	int away = is_taint(taint, &wish->away, 1);
	int ours = is_taint(taint, &wish->ours, 0);

	e->has_ours |= ours;
	if ((away && ready) || (ours && wish->ours_wanted == 0)) {
		e->changed = 1;
		return;
	}
	e->has_away |= away;
	json_array_append(e->taints, taint);
}

static void edit(struct editing *e, const json_t *node, const struct kf_taint_wish *wish)
{
	json_t *taints = json_object_get(json_object_get(node, "spec"), "taints"), *taint;
	int ready = are_allocatable(node, wish);
	size_t i;

	json_array_foreach(taints, i, taint) keep_or_drop(e, taint, wish, ready);
	if (wish->ours_wanted != 1 || e->has_ours)
		return;
	json_array_append_new(e->taints, json_pack("{s:s,s:s,s:s}", "key", wish->ours.key, "value",
						   wish->ours.value, "effect", wish->ours.effect));
	e->changed = 1;
}

char *kf_taints_patch(const char *text, size_t n, const struct kf_taint_wish *wish, int *waits,
		      struct kf_error *err)
{
	json_auto_t *node = json_loadb(text, n, 0, NULL);
	json_auto_t *taints = json_array();
	json_auto_t *patch = NULL;
	struct editing e = {.taints = taints};
	char *out = NULL;

	*waits = 0;
	if (!node) {
		kf_fail(err, KF_E_PROTOCOL, 0, "the API server's answer is no Node");
		return NULL;
	}
	edit(&e, node, wish);
	*waits = e.has_away;
	if (!e.changed)
		return NULL;
	patch = json_pack("{s:{s:s},s:{s:O}}", "metadata", "resourceVersion",
			  text_of(json_object_get(node, "metadata"), "resourceVersion"), "spec",
			  "taints", taints);
	out = kf_kube_text(patch);
	if (!out)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for the Node's taints");
	return out;
}

/* --- on the API server --------------------------------------------------------------------- */

#define MAX_RESOURCES 32

/* One allocation, which the client frees with its request. */
struct ensuring {
	struct kf_kube *kube;
	struct kf_taint_wish wish;
	const char *resource[MAX_RESOURCES];
	char name[MAX_RESOURCES][64];
	kf_taints_cb cb;
	void *ud;
	int waits;
	char path[1024];
};

static void on_patched(void *ud, const struct kf_kube_answer *answer)
{
	const struct ensuring *e = ud;
	struct kf_error err = {0};
	int result = kf_kube_node_result(answer, &err);

	e->cb(e->ud, result == 0 && e->waits ? KF_TAINTS_WAIT : result, &err);
}

static int send_patch(const struct ensuring *e, const char *patch, struct kf_error *err)
{
	struct kf_kube_ask ask = {"PATCH", e->path, KF_KUBE_MERGE, patch, 0};
	struct ensuring *copy = kf_calloc(1, sizeof(*copy));

	if (!copy)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to change the Node's taints");
	copy->cb = e->cb;
	copy->ud = e->ud;
	copy->waits = e->waits;
	if (kf_kube_request_for(e->kube, &ask, on_patched, copy, e->ud, err) == 0)
		return 0;
	free(copy);
	return -1;
}

static void on_node(void *ud, const struct kf_kube_answer *answer)
{
	struct ensuring *e = ud;
	struct kf_error err = {0};
	kf_auto_mem char *patch = NULL;
	int result = kf_kube_node_result(answer, &err);

	e->wish.resources = e->resource;
	if (result == 0) {
		patch = kf_taints_patch(answer->body, answer->n, &e->wish, &e->waits, &err);
		result = err.code ? -1 : e->waits ? KF_TAINTS_WAIT : 0;
	}
	if (patch && send_patch(e, patch, &err) == 0)
		return;
	e->cb(e->ud, patch ? -1 : result, &err);
}

static int fill(struct ensuring *e, const char *node, struct kf_error *err)
{
	kf_auto_mem char *path = kf_kube_node_path(node, "", err);
	unsigned i;

	if (!path)
		return -1;
	if (e->wish.n > MAX_RESOURCES)
		e->wish.n = MAX_RESOURCES;
	for (i = 0; i < e->wish.n; i++) {
		snprintf(e->name[i], sizeof(e->name[i]), "%s", e->wish.resources[i]);
		e->resource[i] = e->name[i];
	}
	snprintf(e->path, sizeof(e->path), "%s", path);
	return 0;
}

int kf_taints_ensure(struct kf_kube *k, const char *node, const struct kf_taint_wish *wish,
		     kf_taints_cb cb, void *ud, struct kf_error *err)
{
	struct ensuring *e = kf_calloc(1, sizeof(*e));
	struct kf_kube_ask ask = {.method = "GET"};

	if (!e)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to ask for the Node's taints");
	e->kube = k;
	e->wish = *wish;
	e->cb = cb;
	e->ud = ud;
	ask.path = e->path;
	if (fill(e, node, err) == 0 && kf_kube_request_for(k, &ask, on_node, e, ud, err) == 0)
		return 0;
	free(e);
	return -1;
}
