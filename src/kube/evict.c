/* Pods of a node, and their eviction; see evict.h. */
#include "kube/evict.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/client.h"
#include "kube/codec.h"

enum kf_evict_skip kf_evict_skip(const struct kf_kube_pod *pod)
{
	if (pod->mirror || !strcmp(pod->owner, "Node"))
		return KF_EVICT_MIRROR;
	if (!strcmp(pod->phase, "Succeeded") || !strcmp(pod->phase, "Failed"))
		return KF_EVICT_FINISHED;
	if (pod->deleting)
		return KF_EVICT_LEAVING;
	return strcmp(pod->owner, "DaemonSet") ? KF_EVICT_CAN : KF_EVICT_DAEMONSET;
}

const char *kf_evict_skip_text(enum kf_evict_skip why)
{
	static const char *const text[] = {
		[KF_EVICT_CAN] = "",
		[KF_EVICT_MIRROR] = "is a static pod",
		[KF_EVICT_DAEMONSET] = "is a DaemonSet's",
		[KF_EVICT_FINISHED] = "has finished",
		[KF_EVICT_LEAVING] = "is being deleted already",
	};

	return (unsigned)why < sizeof(text) / sizeof(text[0]) ? text[why] : "";
}

/* --- eviction -------------------------------------------------------------------------------- */

struct eviction {
	kf_evict_cb cb;
	void *ud;
	int by_uid;
};

/* The cause of a 429 names the budget; the message alone does not. */
static void name_budget(const struct kf_kube_answer *answer, struct kf_error *err)
{
	json_auto_t *status = json_loadb(answer->body, answer->n, 0, NULL);
	json_t *causes = json_object_get(json_object_get(status, "details"), "causes");
	const char *cause =
		json_string_value(json_object_get(json_array_get(causes, 0), "message"));
	size_t n = strlen(err->msg);

	if (cause)
		snprintf(err->msg + n, sizeof(err->msg) - n, " %.200s", cause);
}

static int judge(const struct eviction *e, const struct kf_kube_answer *answer,
		 struct kf_error *err)
{
	int result = kf_kube_check(answer, err);

	if (result == 0)
		return 0;
	switch (answer->status) {
	case 404:
		return KF_EVICT_GONE;
	case 409: /* the precondition: the name belongs to another pod now */
		return e->by_uid ? KF_EVICT_GONE : -1;
	case 429:
		name_budget(answer, err);
		return KF_EVICT_BLOCKED;
	default:
		return -1;
	}
}

static void on_evicted(void *ud, const struct kf_kube_answer *answer)
{
	const struct eviction *e = ud;
	struct kf_error err = {0};
	int result = judge(e, answer, &err);

	e->cb(e->ud, result, &err);
}

static char *eviction_path(const char *namespace, const char *name, struct kf_error *err)
{
	struct kf_text t = {0};
	int r;

	kf_text_add(&t, "/api/v1/namespaces/");
	r = kf_kube_segment(&t, namespace, err);
	kf_text_add(&t, "/pods/");
	if (r == 0)
		r = kf_kube_segment(&t, name, err);
	kf_text_add(&t, "/eviction");
	if (r < 0) {
		kf_text_done(&t);
		return NULL;
	}
	if (t.failed)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	return kf_text_take(&t);
}

static char *eviction_body(const char *namespace, const char *name, const char *uid, int grace_s)
{
	json_auto_t *options = json_object();
	json_auto_t *body = NULL;

	if (grace_s >= 0)
		json_object_set_new(options, "gracePeriodSeconds", json_integer(grace_s));
	if (uid)
		json_object_set_new(options, "preconditions", json_pack("{s:s}", "uid", uid));
	body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:O}", "apiVersion", "policy/v1", "kind",
			 "Eviction", "metadata", "namespace", namespace, "name", name,
			 "deleteOptions", options);
	return kf_kube_text(body);
}

int kf_evict(struct kf_kube *k, const char *namespace, const char *name, const char *uid,
	     int grace_s, kf_evict_cb cb, void *ud, struct kf_error *err)
{
	kf_auto_mem char *path = eviction_path(namespace, name, err);
	kf_auto_mem char *body = path ? eviction_body(namespace, name, uid, grace_s) : NULL;
	kf_auto_mem struct eviction *e = NULL;
	struct kf_kube_ask ask = {"POST", path, KF_KUBE_JSON, body, 1};

	if (!path)
		return -1;
	e = kf_calloc(1, sizeof(*e));
	if (!e || !body)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to evict %s/%s", namespace, name);
	*e = (struct eviction){cb, ud, uid != NULL};
	if (kf_kube_request_for(k, &ask, on_evicted, e, ud, err) < 0)
		return -1;
	e = NULL;
	return 0;
}

/* --- pods ------------------------------------------------------------------------------------ */

struct listing {
	kf_pods_cb cb;
	void *ud;
};

static void on_pods(void *ud, const struct kf_kube_answer *answer)
{
	const struct listing *l = ud;
	struct kf_kube_pod **pods = NULL;
	struct kf_error err = {0};
	unsigned n = 0;
	int r = kf_kube_check(answer, &err);

	if (r == 0) {
		r = kf_kube_pods_read(answer->body, answer->n, &pods, &n, &err);
		if (r < 0)
			kf_prefix(&err, "%s %s", answer->method, answer->path);
	}
	l->cb(l->ud, pods, n, r < 0 ? &err : NULL);
	kf_kube_pods_free(pods, n);
}

int kf_pods_list(struct kf_kube *k, const char *node_name, kf_pods_cb cb, void *ud,
		 struct kf_error *err)
{
	kf_auto_mem struct listing *l = kf_calloc(1, sizeof(*l));
	kf_auto_mem char *path = NULL;
	struct kf_kube_ask ask = {.method = "GET"};
	struct kf_text t = {0};

	kf_text_add(&t, "/api/v1/pods?fieldSelector=spec.nodeName%3D");
	kf_kube_query(&t, node_name);
	ask.path = path = kf_text_take(&t);
	if (!l || !path)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to list pods");
	*l = (struct listing){cb, ud};
	if (kf_kube_request_for(k, &ask, on_pods, l, ud, err) < 0)
		return -1;
	l = NULL;
	return 0;
}
