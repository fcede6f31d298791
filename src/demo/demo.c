/* The story of the demo; see demo.h. */
#include "demo/demo.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "config/yaml.h"
#include "demo/article.h"
#include "demo/picture.h"
#include "demo/stage.h"

#define SLICES	  56
#define REMAINING 10
#define PATIENCE  30000 /* ms: what takes milliseconds here may not on a machine under load */

struct tale {
	struct kf_stage stage;
	struct kf_sim_request asks; /* of the article's pod */
	uint64_t begin;
	char kept[REMAINING][KF_DEVICE_ID]; /* what the remaining pods hold */
	unsigned n_kept, n_moved;
	struct kf_error *err;
};

/* A line with the time since the start. */
static void say(struct tale *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct tale *t, const char *fmt, ...)
{
	va_list ap;

	printf("[%6.2f s] ", (double)(uv_hrtime() - t->begin) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static void picture(struct tale *t)
{
	json_t *status = kf_stage_status(&t->stage);

	kf_picture_print(status);
	json_decref(status);
	fflush(stdout);
}

static int expect(struct tale *t, int (*condition)(struct kf_stage *, const void *),
		  const void *arg, const char *what)
{
	if (kf_stage_wait(&t->stage, condition, arg, PATIENCE))
		return 0;
	kf_stage_print_log(&t->stage);
	return kf_fail(t->err, KF_E_TIMEOUT, 0, "%s: not within %d s", what, PATIENCE / 1000);
}

/* --- conditions ---------------------------------------------------------------------------- */

struct amount {
	const char *resource;
	unsigned allocatable;
};

static int offered(struct kf_stage *s, const void *arg)
{
	const struct amount *want = arg;
	struct kf_sim_resource r;

	if (!kf_sim_kubelet_resource(s->kubelet, want->resource, &r))
		return want->allocatable == 0;
	return r.allocatable == want->allocatable;
}

static unsigned count_pods(struct kf_stage *s, enum kf_sim_pod_state state)
{
	const struct kf_sim_pod *p;
	unsigned n = 0;

	for (p = kf_sim_kubelet_pods(s->kubelet); p; p = p->next)
		n += !p->gone && p->state == state;
	return n;
}

static int running(struct kf_stage *s, const void *arg)
{
	return count_pods(s, KF_SIM_POD_RUNNING) == *(const unsigned *)arg;
}

static int state_is(struct kf_stage *s, const void *arg)
{
	char state[64];

	kf_stage_get(s, "labels", "nvidia.com/mig.config.state", state, sizeof(state));
	return !strcmp(state, arg);
}

static int waits_for_pods(struct kf_stage *s, const void *arg)
{
	char reason[1024];

	(void)arg;
	kf_stage_get(s, "annotations", "kerf.dev/mig-config-reason", reason, sizeof(reason));
	return strstr(reason, "waiting for pod") != NULL;
}

/* Does the agent name the pod on every slice that is held? */
static int named(struct kf_stage *s, const void *arg)
{
	json_t *status = kf_stage_status(s), *gpu, *slice, *holder;
	unsigned n = 0;
	size_t g, i;

	json_array_foreach(json_object_get(status, "gpus"), g, gpu)
		json_array_foreach(json_object_get(gpu, "slices"), i, slice)
	{
		const char *pod;

		holder = json_array_get(json_object_get(slice, "holders"), 0);
		pod = json_string_value(json_object_get(holder, "pod"));
		n += pod && pod[0];
	}
	json_decref(status);
	return n == *(const unsigned *)arg;
}

/* Have the GPUs without pods, 3 to 7, the four slices of all-balanced? */
static int free_gpus_done(struct kf_stage *s, const void *arg)
{
	json_t *status = kf_stage_status(s), *gpu;
	unsigned done = 0;
	size_t g;

	(void)arg;
	json_array_foreach(json_object_get(status, "gpus"), g, gpu) done +=
		g >= 3 && json_array_size(json_object_get(gpu, "slices")) == 4;
	json_decref(status);
	return done == 5;
}

/* --- pods ---------------------------------------------------------------------------------- */

/* What the article's manifest asks for: the limits of its container. */
static int read_manifest(struct tale *t)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
	const struct kf_yaml_node *limits, *container;
	const char *name;

	if (kf_yaml_parse(kf_demo_pod, kf_demo_pod_size, "mig-pod.yaml", &y, t->err) < 0)
		return -1;
	container = kf_yaml_get(kf_yaml_get(y->root, "spec"), "containers");
	limits = kf_yaml_get(kf_yaml_get(container ? container->first : NULL, "resources"),
			     "limits");
	if (!limits || !limits->first)
		return kf_fail(t->err, KF_E_INPUT, 0, "mig-pod.yaml: no limits");
	name = limits->first->key;
	snprintf(t->asks.resource, sizeof(t->asks.resource), "%s", name);
	t->asks.count = 1;
	return 0;
}

static int add_pods(struct tale *t, unsigned from, unsigned to)
{
	char name[32];
	unsigned i;

	for (i = from; i <= to; i++) {
		snprintf(name, sizeof(name), "mig-%u", i);
		if (kf_sim_kubelet_add(t->stage.kubelet, name, &t->asks, 1, t->err) < 0)
			return -1;
	}
	return 0;
}

static int different_slices(struct tale *t)
{
	const struct kf_sim_pod *a, *b;
	unsigned same = 0;

	for (a = kf_sim_kubelet_pods(t->stage.kubelet); a; a = a->next)
		for (b = a->next; b; b = b->next)
			same += a->n_devices && b->n_devices && !a->gone && !b->gone &&
				!strcmp(a->device[0].id, b->device[0].id);
	if (same)
		return kf_fail(t->err, KF_E_STATE, 0, "%u pairs of pods share a slice", same);
	return 0;
}

/* --- acts ---------------------------------------------------------------------------------- */

static int act_label(struct tale *t)
{
	struct amount gpus = {"nvidia.com/gpu", 8}, slices = {t->asks.resource, SLICES};
	uint64_t then;

	if (expect(t, offered, &gpus, "8 GPUs offered to the kubelet") < 0)
		return -1;
	say(t, "the agent has registered: the node offers nvidia.com/gpu: 8");
	printf("\n$ kubectl label node " STAGE_NODE " nvidia.com/mig.config=all-1g.5gb\n");
	then = uv_hrtime();
	if (kf_stage_label(&t->stage, "nvidia.com/mig.config", "all-1g.5gb", t->err) < 0 ||
	    expect(t, offered, &slices, "56 slices offered to the kubelet") < 0)
		return -1;
	say(t, "%.0f ms after the label the node offers %s: %d", (double)(uv_hrtime() - then) / 1e6,
	    slices.resource, SLICES);
	return expect(t, state_is, "success", "nvidia.com/mig.config.state=success");
}

static int act_pods(struct tale *t)
{
	const struct kf_sim_pod *last;
	unsigned all = SLICES;

	printf("\n$ kubectl apply -f mig-pod.yaml   # the article's, 57 times: %s: %u\n",
	       t->asks.resource, t->asks.count);
	if (add_pods(t, 1, SLICES + 1) < 0 || expect(t, running, &all, "56 pods running") < 0 ||
	    different_slices(t) < 0)
		return -1;
	last = kf_sim_kubelet_pod(t->stage.kubelet, "mig-57");
	say(t, "56 pods run, each on a slice of its own; mig-57 is Pending: %s",
	    last ? last->why : "");
	picture(t);
	printf("\n$ kubectl delete pod mig-5\n");
	if (kf_sim_kubelet_delete(t->stage.kubelet, "mig-5", t->err) < 0)
		return -1;
	if (expect(t, running, &all, "mig-57 running in place of mig-5") < 0)
		return -1;
	say(t, "mig-57 runs in its place");
	return expect(t, named, &all, "the agent knows whose the slices are");
}

/* All pods end but ten: five on GPU 0, three on GPU 1, two on GPU 2. */
static int thin_out(struct tale *t)
{
	static const unsigned leave[] = {5, 3, 2, 0, 0, 0, 0, 0};
	json_t *status = kf_stage_status(&t->stage), *slice, *holder;
	size_t g, i;

	for (g = 0; g < 8; g++) {
		json_t *gpu = json_array_get(json_object_get(status, "gpus"), g);
		unsigned left = 0;

		json_array_foreach(json_object_get(gpu, "slices"), i, slice)
		{
			const char *pod;

			holder = json_array_get(json_object_get(slice, "holders"), 0);
			pod = json_string_value(json_object_get(holder, "pod"));
			if (pod && left++ >= leave[g])
				kf_sim_kubelet_delete(t->stage.kubelet, pod, NULL);
		}
	}
	json_decref(status);
	return 0;
}

static void remember_slices(struct tale *t)
{
	const struct kf_sim_pod *p;

	t->n_kept = 0;
	for (p = kf_sim_kubelet_pods(t->stage.kubelet); p && t->n_kept < REMAINING; p = p->next)
		if (!p->gone && p->n_devices)
			snprintf(t->kept[t->n_kept++], KF_DEVICE_ID, "%s", p->device[0].id);
}

/* Every pod that is left must still be on the slice it had, and that slice must be there. */
static int check_undisturbed(struct tale *t)
{
	const struct kf_sim_pod *p;
	unsigned i, found;

	for (p = kf_sim_kubelet_pods(t->stage.kubelet); p; p = p->next) {
		if (p->gone || !p->n_devices)
			continue;
		for (i = found = 0; i < t->n_kept; i++)
			found |= !strcmp(t->kept[i], p->device[0].id);
		t->n_moved += !found || p->state != KF_SIM_POD_RUNNING;
	}
	if (t->n_moved)
		return kf_fail(t->err, KF_E_STATE, 0, "%u pods were disturbed", t->n_moved);
	return 0;
}

static int act_relabel(struct tale *t)
{
	unsigned ten = REMAINING;
	char reason[1024];

	printf("\n# 46 pods end; ten go on running on GPUs 0, 1 and 2\n");
	if (thin_out(t) < 0 || expect(t, running, &ten, "ten pods left") < 0 ||
	    expect(t, named, &ten, "the agent sees that the others have ended") < 0)
		return -1;
	remember_slices(t);
	picture(t);
	printf("\n$ kubectl label --overwrite node " STAGE_NODE
	       " nvidia.com/mig.config=all-balanced   # 2x 1g, 2g and 3g on each GPU\n");
	if (kf_stage_label(&t->stage, "nvidia.com/mig.config", "all-balanced", t->err) < 0 ||
	    expect(t, waits_for_pods, NULL, "the Node names the pods that are in the way") < 0)
		return -1;
	kf_stage_get(&t->stage, "annotations", "kerf.dev/mig-config-reason", reason,
		     sizeof(reason));
	say(t, "nvidia.com/mig.config.state=pending: %s", reason);
	if (expect(t, free_gpus_done, NULL, "the GPUs without pods are done") < 0)
		return -1;
	say(t, "the GPUs without pods are done; on the others only free slices moved");
	picture(t);
	return check_undisturbed(t);
}

/* End the pods that the Node names, one by one, and watch the rest follow. */
static int act_follow(struct tale *t)
{
	char reason[1024], name[32];
	unsigned i, ended = 0;

	printf("\n# the pods in the way end, one after the other\n");
	kf_stage_get(&t->stage, "annotations", "kerf.dev/mig-config-reason", reason,
		     sizeof(reason));
	for (i = 1; i <= SLICES + 1; i++) {
		char word[64];

		snprintf(name, sizeof(name), "mig-%u", i);
		snprintf(word, sizeof(word), "pod default/%s", name);
		const char *at = strstr(reason, word);

		if (!at || (at[strlen(word)] != ',' && at[strlen(word)] != ';'))
			continue;
		printf("$ kubectl delete pod %s\n", name);
		kf_sim_kubelet_delete(t->stage.kubelet, name, NULL);
		ended++;
		kf_stage_pause(&t->stage, 300);
	}
	if (expect(t, state_is, "success", "nvidia.com/mig.config.state=success") < 0)
		return -1;
	say(t, "nvidia.com/mig.config.state=success, by itself, after %u pods had ended", ended);
	picture(t);
	return check_undisturbed(t);
}

static void summary(struct tale *t)
{
	json_t *status = kf_stage_status(&t->stage), *counts = json_object_get(status, "counts");
	struct kf_sim_kubelet_counts k;

	kf_sim_kubelet_count(t->stage.kubelet, &k);
	printf("\nSummary (a simulated p4d.24xlarge, the real agent)\n"
	       "    allocations answered          %lu\n"
	       "    GPU instances created         %lld\n"
	       "    GPU instances destroyed       %lld, none of them in use\n"
	       "    pods disturbed                %u\n"
	       "    agent or kubelet restarts     0\n",
	       k.allocated, json_integer_value(json_object_get(counts, "instancesCreated")),
	       json_integer_value(json_object_get(counts, "instancesDestroyed")), t->n_moved);
	json_decref(status);
}

static int play(struct tale *t)
{
	if (read_manifest(t) < 0)
		return -1;
	printf("kerf demo: a simulated p4d.24xlarge (8x A100 40 GB), a stand-in API server and "
	       "kubelet "
	       "that speak the real protocols,\nand the real agent.  No GPU is touched.\n\n");
	if (act_label(t) < 0 || act_pods(t) < 0 || act_relabel(t) < 0 || act_follow(t) < 0)
		return -1;
	summary(t);
	return 0;
}

int kf_demo_run(struct kf_error *err)
{
	struct tale t = {.err = err, .begin = uv_hrtime()};
	int r;

	if (kf_stage_open(&t.stage, "p4d.24xlarge", err) < 0)
		return -1;
	r = play(&t);
	kf_stage_close(&t.stage);
	return r;
}
