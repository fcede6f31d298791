/* What the kubelet asks: allocations and preferences; and how its listening comes and goes. */
#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

/* Held under another name, in singleAlias: two pods on one slice is what must not happen. */
static int taken_otherwise(struct kf_agent *a, const char *resource, const char *id,
			   struct kf_error *err)
{
	const struct kf_ledger_entry *e;

	if (!a->set->single_alias)
		return 0;
	e = kf_ledger_find(a->ledger, id);
	if (!e || !strcmp(e->resource, resource))
		return 0;
	return kf_fail(err, KF_E_BUSY, 0,
		       "%s is held as %s by %s%s%s and cannot be given as %s as well; the pod will "
		       "find another once it is created again",
		       id, e->resource, e->pod_name[0] ? e->pod_namespace : "another pod",
		       e->pod_name[0] ? "/" : "", e->pod_name, resource);
}

static int check(struct kf_agent *a, const char *resource, const char *const *ids, unsigned n,
		 struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (kf_withdraw_state(&a->withdrawals, ids[i]) == KF_WITHDRAW_DESTROYING) {
			a->counts.refused_withdrawn++;
			return kf_fail(
				err, KF_E_BUSY, 0,
				"%s is being destroyed for MIG configuration %s; the pod will find "
				"another device once it is created again",
				ids[i], a->config);
		}
		if (taken_otherwise(a, resource, ids[i], err) < 0)
			return -1;
	}
	return 0;
}

static void cancel_withdrawals(struct kf_agent *a, const char *const *ids, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!kf_withdraw_cancel(&a->withdrawals, ids[i]))
			continue;
		a->counts.cancelled++;
		kf_log(KF_INFO, "kubelet",
		       "%s was handed to a pod while it was being withdrawn; it stays", ids[i]);
	}
}

static void grant_options(const struct kf_agent *a, struct kf_grant_options *opt)
{
	const struct kf_settings *set = a->set;
	unsigned listed = set->device_list_strategy;

	*opt = (struct kf_grant_options){.by_index = set->device_id_strategy == KF_ID_INDEX};
	if (listed & KF_LIST_ENVVAR)
		opt->ways |= KF_GRANT_ENVVAR;
	if (listed & KF_LIST_VOLUME_MOUNTS)
		opt->ways |= KF_GRANT_VOLUME_MOUNTS;
	if (listed & KF_LIST_CDI_ANNOTATIONS)
		opt->ways |= KF_GRANT_CDI_ANNOTATIONS;
	if (listed & KF_LIST_CDI_CRI)
		opt->ways |= KF_GRANT_CDI_CRI;
	if (opt->ways)
		return;
	if (set->cdi == KF_CDI_DEVICES || (set->cdi == KF_CDI_AUTO && a->runtime.cdi == KF_CDI_OFF))
		opt->ways = KF_GRANT_DIRECT;
	else
		opt->ways = KF_GRANT_CDI_CRI;
}

static int fill(struct kf_agent *a, const char *const *ids, unsigned n, struct kf_answer *ret,
		struct kf_error *err)
{
	struct kf_grant_options opt;
	struct kf_cdi_view view = {.root = kf_job_root(a->set),
				   .host_root = kf_job_host_root(a->set),
				   .node = a->node,
				   .caps = &a->caps,
				   .files = a->files};

	if (!a->node)
		return kf_fail(err, KF_E_STATE, 0, "the driver has not been read yet");
	grant_options(a, &opt);
	return kf_grant_fill(&opt, &view, ids, n, ret, err);
}

static struct kf_hold *pod_hold(struct kf_holds *holds, const char *id)
{
	unsigned i;

	for (i = 0; i < holds->n; i++)
		if (holds->hold[i].by == KF_HOLD_POD && !strcmp(holds->hold[i].id, id))
			return &holds->hold[i];
	return NULL;
}

/*
 * Held from now on, for a pod that is not known yet; one that had it before is gone.  Without
 * memory the next gathering has it.
 */
static void note_holds(struct kf_agent *a, const char *resource, const char *const *ids, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct kf_hold hold = {.by = KF_HOLD_POD}, *old = pod_hold(&a->holds, ids[i]);

		snprintf(hold.id, sizeof(hold.id), "%s", ids[i]);
		snprintf(hold.resource, sizeof(hold.resource), "%s", resource);
		if (old)
			*old = hold;
		else
			kf_holds_add(&a->holds, &hold);
	}
}

/* The kubelet does not say for whom; once it has the pod on its list, the ledger can. */
static void on_names(uv_timer_t *timer)
{
	kf_agent_mark(timer->data);
}

static int on_allocate(void *ud, const char *resource, const char *const *ids, unsigned n,
		       struct kf_answer *ret, struct kf_error *err)
{
	struct kf_agent *a = ud;
	int64_t now;
	int32_t us;

	kf_wall(&now, &us);
	/* The ledger comes before the answer: what a pod has been told is never forgotten. */
	if (check(a, resource, ids, n, err) < 0 || fill(a, ids, n, ret, err) < 0 ||
	    kf_ledger_hold(a->ledger, resource, ids, n, now, err) < 0) {
		a->counts.refused++;
		kf_log_fail(KF_WARN, "kubelet", err, "the allocation is refused");
		return -1;
	}
	a->counts.allocated++;
	cancel_withdrawals(a, ids, n);
	note_holds(a, resource, ids, n);
	if (!uv_is_active((uv_handle_t *)&a->names))
		uv_timer_start(&a->names, on_names, KF_NAMES_MS, 0);
	if (a->set->single_alias || a->withdrawals.n || a->plan)
		kf_agent_mark(a);
	return 0;
}

/* One device that may be chosen. */
struct choice {
	const char *id;
	unsigned gpu; /* index; KF_MAX_GPUS when the node does not have it */
	int taken;
	int avoid; /* we would refuse it, or it is on its way out: the kubelet does not know yet */
};

static unsigned gpu_of(const struct kf_node *node, const char *id)
{
	const struct kf_gpu *gpu = kf_node_find_gpu(node, id);
	struct kf_slice_ref ref;

	if (!gpu && kf_node_find_slice(node, id, &ref))
		gpu = ref.gpu;
	return gpu ? gpu->index % KF_MAX_GPUS : KF_MAX_GPUS;
}

/* Devices of each GPU that are given away: all that it has but those that are to be chosen from. */
static void count_given(const struct kf_node *node, const struct choice *choice, unsigned n,
			int given[KF_MAX_GPUS + 1])
{
	unsigned g, i;

	memset(given, 0, (KF_MAX_GPUS + 1) * sizeof(*given));
	for (g = 0; g < node->n_gpus; g++)
		for (i = 0; i < node->gpu[g].n_instances; i++)
			given[node->gpu[g].index % KF_MAX_GPUS] +=
				(int)node->gpu[g].instance[i].n_ci;
	for (i = 0; i < n; i++)
		given[choice[i].gpu]--;
}

static int better(const struct choice *a, const struct choice *b, const int *given)
{
	if (a->avoid != b->avoid)
		return a->avoid < b->avoid;
	if (given[a->gpu] != given[b->gpu])
		return given[a->gpu] < given[b->gpu];
	if (a->gpu != b->gpu)
		return a->gpu < b->gpu;
	return strcmp(a->id, b->id) < 0;
}

static void take(struct choice *choice, unsigned n, const char *id, int *given)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (!choice[i].taken && !strcmp(choice[i].id, id)) {
			choice[i].taken = 1;
			given[choice[i].gpu]++;
		}
}

/*
 * NVIDIA's default, "distributed": the GPU with fewest of its devices given away comes first, those
 * picked in this call counted; ties go to the lower GPU, so that the answer is the same each time.
 */
static int pick(struct choice *choice, unsigned n, const char *const *must, unsigned n_must,
		unsigned size, const char **out, int *given)
{
	unsigned picked, i;

	for (picked = 0; picked < n_must && picked < size; picked++) {
		out[picked] = must[picked];
		take(choice, n, must[picked], given);
	}
	for (; picked < size; picked++) {
		struct choice *best = NULL;

		for (i = 0; i < n; i++)
			if (!choice[i].taken && (!best || better(&choice[i], best, given)))
				best = &choice[i];
		if (!best)
			return -1;
		out[picked] = best->id;
		best->taken = 1;
		given[best->gpu]++;
	}
	return 0;
}

static int to_be_avoided(struct kf_agent *a, const char *resource, const char *id)
{
	return kf_withdraw_state(&a->withdrawals, id) != KF_WITHDRAW_NONE ||
	       taken_otherwise(a, resource, id, NULL) < 0;
}

static int on_prefer(void *ud, const char *resource, const char *const *available,
		     unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		     const char **out, struct kf_error *err)
{
	struct kf_agent *a = ud;
	kf_auto_mem struct choice *choice = kf_calloc(n_available, sizeof(*choice));
	int given[KF_MAX_GPUS + 1];
	unsigned i;

	if (!a->node)
		return kf_fail(err, KF_E_STATE, 0, "the driver has not been read yet");
	if (!choice)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to choose among %u devices",
			       n_available);
	for (i = 0; i < n_available; i++)
		choice[i] = (struct choice){.id = available[i],
					    .gpu = gpu_of(a->node, available[i]),
					    .avoid = to_be_avoided(a, resource, available[i])};
	count_given(a->node, choice, n_available, given);
	if (pick(choice, n_available, must, n_must, size, out, given) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "%u devices are wanted of %u", size,
			       n_available);
	return 0;
}

static void on_registered(void *ud, const char *resource)
{
	(void)ud;
	kf_log(KF_INFO, "kubelet", "%s is registered", resource);
}

static void on_listening(void *ud, const char *resource, int on)
{
	struct kf_agent *a = ud;

	kf_log(KF_DEBUG, "kubelet", "the kubelet %s the list of %s",
	       on ? "reads" : "no longer reads", resource);
	if (on)
		a->n_listening++;
	else if (a->n_listening)
		a->n_listening--;
	kf_agent_mark(a);
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	(void)ud;
	kf_log_fail(KF_WARN, "kubelet", err, "trying again");
}

const struct kf_kubelet_events kf_agent_kubelet_events = {
	.allocate = on_allocate,
	.prefer = on_prefer,
	.registered = on_registered,
	.listening = on_listening,
	.trouble = on_trouble,
};
