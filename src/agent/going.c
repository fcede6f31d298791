/* Pods on their way out; see going.h. */
#include "agent/going.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/log.h"
#include "kube/codec.h"

/* --- the value ----------------------------------------------------------------------------- */

static struct kf_going_pod *find(struct kf_going *g, const char *namespace, const char *name,
				 const char *uid)
{
	unsigned i;

	for (i = 0; i < g->n; i++)
		if (!strcmp(g->pod[i].uid, uid) && !strcmp(g->pod[i].name, name) &&
		    !strcmp(g->pod[i].namespace, namespace))
			return &g->pod[i];
	return NULL;
}

int kf_going_add(struct kf_going *g, const char *namespace, const char *name, const char *uid)
{
	struct kf_going_pod *pod = find(g, namespace, name, uid);

	if (pod) {
		pod->seen = 1;
		pod->gone = 0;
		return 0;
	}
	if (kf_grow(&g->pod, &g->capacity, g->n + 1, sizeof(*pod)) < 0)
		return -1;
	pod = &g->pod[g->n++];
	*pod = (struct kf_going_pod){.seen = 1};
	snprintf(pod->namespace, sizeof(pod->namespace), "%s", namespace);
	snprintf(pod->name, sizeof(pod->name), "%s", name);
	snprintf(pod->uid, sizeof(pod->uid), "%s", uid);
	return 1;
}

int kf_going_gone(struct kf_going *g, const char *namespace, const char *name, const char *uid)
{
	struct kf_going_pod *pod = find(g, namespace, name, uid);

	if (pod)
		pod->gone = 1;
	return pod != NULL;
}

void kf_going_list(struct kf_going *g)
{
	unsigned i;

	for (i = 0; i < g->n; i++)
		g->pod[i].seen = 0;
}

void kf_going_listed(struct kf_going *g)
{
	unsigned i;

	for (i = 0; i < g->n; i++)
		g->pod[i].gone |= !g->pod[i].seen;
}

static int is_its(const struct kf_going_pod *pod, const struct kf_hold *hold)
{
	if (hold->by != KF_HOLD_POD || strcmp(hold->pod_name, pod->name) != 0 ||
	    strcmp(hold->pod_namespace, pod->namespace) != 0)
		return 0;
	return !hold->pod_uid[0] || !pod->uid[0] || !strcmp(hold->pod_uid, pod->uid);
}

int kf_going_has(const struct kf_going *g, const struct kf_hold *hold)
{
	unsigned i;

	for (i = 0; i < g->n; i++)
		if (is_its(&g->pod[i], hold))
			return 1;
	return 0;
}

void kf_going_prune(struct kf_going *g, const struct kf_holds *holds)
{
	unsigned i, h, kept = 0;

	for (i = 0; i < g->n; i++) {
		for (h = 0; h < holds->n && !is_its(&g->pod[i], &holds->hold[h]); h++)
			;
		if (!g->pod[i].gone || h < holds->n)
			g->pod[kept++] = g->pod[i];
	}
	g->n = kept;
}

void kf_going_done(struct kf_going *g)
{
	free(g->pod);
	*g = (struct kf_going){0};
}

/* --- the watch ------------------------------------------------------------------------------ */

int kf_agent_is_going(const void *agent, const struct kf_hold *hold)
{
	const struct kf_agent *a = agent;

	return kf_going_has(&a->going, hold);
}

static void on_listing(void *ud)
{
	struct kf_agent *a = ud;

	kf_going_list(&a->going);
}

static int has_ended(const struct kf_kube_pod *pod)
{
	return pod->deleting || !strcmp(pod->phase, "Succeeded") || !strcmp(pod->phase, "Failed");
}

static void on_object(void *ud, enum kf_watch_type type, json_t *object)
{
	kf_auto(kf_kube_pod_freep) struct kf_kube_pod *pod = NULL;
	struct kf_agent *a = ud;
	struct kf_error err = {0};
	int news = 0;

	if (kf_kube_pod_read(object, &pod, &err) < 0) {
		kf_log_fail(KF_WARN, "kube", &err, "the pod is passed over");
		return;
	}
	if (type == KF_WATCH_DELETED)
		news = kf_going_gone(&a->going, pod->namespace, pod->name, pod->uid);
	else if (has_ended(pod))
		news = kf_going_add(&a->going, pod->namespace, pod->name, pod->uid) > 0;
	if (!news || a->stopping)
		return;
	kf_agent_publish(a); /* at once: the scheduler hears of it, too */
	kf_agent_mark(a);    /* and look who holds what */
}

static void on_synced(void *ud)
{
	struct kf_agent *a = ud;

	kf_going_listed(&a->going);
	kf_agent_mark(a);
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	(void)ud;
	kf_log(KF_WARN, "kube", "%s", err->msg);
}

static int sells_units(const struct kf_sharing *s)
{
	unsigned i;

	for (i = 0; s && i < s->n; i++)
		if (s->rule[i].units.mib)
			return 1;
	return 0;
}

void kf_agent_watch_pods(struct kf_agent *a)
{
	static const struct kf_watch_events events = {.listing = on_listing,
						      .object = on_object,
						      .synced = on_synced,
						      .trouble = on_trouble};
	int wanted = a->kube && !a->stopping && sells_units(a->set->sharing);
	struct kf_error err = {0};
	char selector[300];

	if (wanted == (a->pods_watch != NULL))
		return;
	if (!wanted) {
		kf_watch_stop(a->pods_watch);
		a->pods_watch = NULL;
		kf_going_done(&a->going);
		return;
	}
	snprintf(selector, sizeof(selector), "spec.nodeName=%s", a->set->node_name);
	if (kf_watch_start(a->kube, "/api/v1/pods", selector, 0, &events, a, &a->pods_watch, &err) <
	    0)
		kf_log_fail(KF_WARN, "kube", &err,
			    "what pods on their way out hold stays on sale until they are gone");
}
