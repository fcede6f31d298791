/* The stand-in kubelet: its start and end, and what a test asks; see standin.h. */
#include "kubelet/standin.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"
#include "inside.h"

/* The kubelet deletes every socket in its directory, and nothing else. */
static void wipe(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		kf_auto_mem char *path = kf_asprintf("%s/%s", directory, e->d_name);

		if (path && e->d_type == DT_SOCK)
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

static int make_parent(const char *path, struct kf_error *err)
{
	kf_auto_mem char *dir = kf_strdup(path);

	if (!dir)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	*strrchr(dir, '/') = '\0';
	return kf_make_dirs(dir, 0755, err);
}

static int listen_lister(struct kf_sim_kubelet *k, struct kf_error *err)
{
	if (k->opt.no_podresources)
		return 0;
	if (make_parent(k->podresources, err) < 0)
		return -1;
	unlink(k->podresources);
	if (kf_grpc_listen(k->loop, k->podresources, NULL, &lister_events, k, &k->lister, err) < 0)
		return -1;
	k->n_open++;
	return 0;
}

static int listen_all(struct kf_sim_kubelet *k, struct kf_error *err)
{
	kf_auto_mem char *path = kf_asprintf("%s/kubelet.sock", k->directory);

	if (!path)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	if (kf_make_dirs(k->directory, 0755, err) < 0)
		return -1;
	wipe(k->directory);
	if (listen_lister(k, err) < 0 ||
	    kf_grpc_listen(k->loop, path, NULL, &registry_events, k, &k->registry, err) < 0)
		return -1;
	k->n_open++;
	return 0;
}

static int set_options(struct kf_sim_kubelet *k, const struct kf_sim_kubelet_options *opt)
{
	k->opt = *opt;
	if (!k->opt.grace_ms)
		k->opt.grace_ms = 5 * 60 * 1000;
	k->directory = kf_strdup(opt->directory);
	k->podresources = opt->podresources
				  ? kf_strdup(opt->podresources)
				  : kf_asprintf("%s/../pod-resources/kubelet.sock", opt->directory);
	return k->directory && k->podresources ? 0 : -1;
}

int kf_sim_kubelet_start(uv_loop_t *loop, const struct kf_sim_kubelet_options *opt,
			 const struct kf_sim_kubelet_events *ev, void *ud,
			 struct kf_sim_kubelet **ret, struct kf_error *err)
{
	struct kf_sim_kubelet *k = kf_calloc(1, sizeof(*k));

	if (!k || set_options(k, opt) < 0) {
		if (k)
			free(k->directory);
		free(k);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a kubelet");
	}
	k->loop = loop;
	k->ev = ev;
	k->ud = ud;
	k->pods_end = &k->pods;
	uv_timer_init(loop, &k->turn);
	k->turn.data = k;
	k->n_open = 1;
	if (listen_all(k, err) < 0) {
		kf_sim_kubelet_stop(k, NULL, NULL);
		return -1;
	}
	*ret = k;
	return 0;
}

/* Everything that a kubelet's process ends with. */
static void hang_up(struct kf_sim_kubelet *k)
{
	struct endpoint *e;

	if (k->registry)
		kf_grpc_listener_stop(kf_take(k->registry), standin_closed, k);
	k->n_held = 0; /* their connections end, and no event tells of it */
	if (k->lister)
		kf_grpc_listener_stop(kf_take(k->lister), standin_closed, k);
	while (k->hellos)
		hello_over(k->hellos);
	admit_forget(k);
	for (e = k->endpoints; e; e = e->next)
		endpoint_close(e);
}

int kf_sim_kubelet_restart(struct kf_sim_kubelet *k, struct kf_error *err)
{
	struct endpoint *e;

	hang_up(k);
	/* Known from the checkpoint, a new kubelet's endpoints are stopped and have no devices. */
	for (e = k->endpoints; e; e = e->next)
		e->list.n = 0;
	return listen_all(k, err);
}

int kf_sim_kubelet_drop_stream(struct kf_sim_kubelet *k, const char *resource, struct kf_error *err)
{
	struct endpoint *e = endpoint_find(k, resource);

	if (!e || !e->stream)
		return kf_fail(err, KF_E_STATE, 0, "no stream of %s is open", resource);
	endpoint_close(e);
	return 0;
}

/* --- questions --- */

const struct kf_sim_pod *kf_sim_kubelet_pods(const struct kf_sim_kubelet *k)
{
	const struct kf_sim_pod *pod = k->pods;

	while (pod && pod->gone)
		pod = pod->next;
	return pod;
}

const struct kf_sim_pod *kf_sim_kubelet_pod(const struct kf_sim_kubelet *k, const char *name)
{
	const struct kf_sim_pod *pod;

	for (pod = k->pods; pod; pod = pod->next)
		if (!pod->gone && !strcmp(pod->name, name))
			return pod;
	return NULL;
}

const struct kf_sim_pod *kf_sim_kubelet_admitting(const struct kf_sim_kubelet *k)
{
	return k->admission.pod;
}

int kf_sim_kubelet_resource(const struct kf_sim_kubelet *k, const char *name,
			    struct kf_sim_resource *ret)
{
	const struct endpoint *e = endpoint_find(k, name);

	if (!e)
		return 0;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->capacity = endpoint_known(e);
	ret->allocatable = endpoint_healthy(e);
	ret->used = requested(k, name);
	return 1;
}

int kf_sim_kubelet_resource_at(const struct kf_sim_kubelet *k, unsigned i,
			       struct kf_sim_resource *ret)
{
	const struct endpoint *e = k->endpoints;

	for (; e && i > 0; i--)
		e = e->next;
	return e ? kf_sim_kubelet_resource(k, e->list.resource, ret) : 0;
}

const struct kf_offer *kf_sim_kubelet_list(const struct kf_sim_kubelet *k, const char *resource)
{
	const struct endpoint *e = endpoint_find(k, resource);

	return e ? &e->list : NULL;
}

void kf_sim_kubelet_count(const struct kf_sim_kubelet *k, struct kf_sim_kubelet_counts *ret)
{
	*ret = k->counts;
}

/* --- the end --- */

void standin_closed(void *kubelet)
{
	struct kf_sim_kubelet *k = kubelet;
	void (*done)(void *ud) = k->done;
	void *ud = k->done_ud;
	struct kf_sim_pod *pod;
	struct endpoint *e;

	if (--k->n_open > 0)
		return;
	while ((pod = k->pods)) {
		k->pods = pod->next;
		pod_free(pod);
	}
	while ((e = k->endpoints)) {
		k->endpoints = e->next;
		endpoint_free(e);
	}
	free(k->directory);
	free(k->podresources);
	free(k);
	if (done)
		done(ud);
}

static void on_turn_closed(uv_handle_t *h)
{
	standin_closed(h->data);
}

void kf_sim_kubelet_stop(struct kf_sim_kubelet *k, void (*done)(void *ud), void *ud)
{
	k->stopping = 1;
	k->done = done;
	k->done_ud = ud;
	hang_up(k);
	uv_close((uv_handle_t *)&k->turn, on_turn_closed);
}
