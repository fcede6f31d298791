/* What the kubelet asks: allocations and preferences; and how its listening comes and goes. */
#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "agent/prefer.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

/* Held under another name, in singleAlias: two pods on one slice is what must not happen. */
static int taken_otherwise(struct kf_agent *a, const char *resource, const char *id,
			   struct kf_error *err)
{
	unsigned i;

	for (i = 0; a->set->single_alias && i < kf_ledger_n(a->ledger); i++) {
		const struct kf_ledger_entry *e = kf_ledger_at(a->ledger, i);

		if (!kf_share_same_device(e->id, id) || !strcmp(e->resource, resource))
			continue;
		return kf_fail(err, KF_E_BUSY, 0,
			       "%s is held as %s by %s%s%s and cannot be given as %s as well; the "
			       "pod will find another once it is created again",
			       id, e->resource, e->pod_name[0] ? e->pod_namespace : "another pod",
			       e->pod_name[0] ? "/" : "", e->pod_name, resource);
	}
	return 0;
}

/* More than one replica in one container: not at all, or of different devices only. */
static int check_replicas(const struct kf_agent *a, const char *resource, const char *const *ids,
			  unsigned n, struct kf_error *err)
{
	const struct kf_share_rule *units = kf_share_units_of(a->set->sharing, resource);
	unsigned i, k;

	if (units)
		return kf_fit_check(units, ids, n, err);
	for (i = 0; i < n; i++) {
		if (kf_share_replica(ids[i]) < 0)
			continue;
		if (n > 1 && a->set->sharing && a->set->sharing->fail_greater_than_one)
			return kf_fail(
				err, KF_E_INPUT, 0,
				"the container asks for %u of %s: they are shares of a "
				"device, more of them give no more of it, and "
				"failRequestsGreaterThanOne refuses such requests; ask for 1",
				n, resource);
		for (k = 0; k < i && a->set->shared_policy == KF_SHARE_MUST_DIFFER; k++)
			if (kf_share_same_device(ids[k], ids[i]))
				return kf_fail(err, KF_E_INPUT, 0,
					       "the container asks for %u of %s, which must be of "
					       "different devices, and there are not so many free",
					       n, resource);
	}
	return 0;
}

static int check(struct kf_agent *a, const char *resource, const char *const *ids, unsigned n,
		 struct kf_error *err)
{
	unsigned i;

	if (check_replicas(a, resource, ids, n, err) < 0)
		return -1;
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

	*opt = (struct kf_grant_options){
		.by_index = set->device_id_strategy == KF_ID_INDEX,
		.pass_device_specs = set->pass_device_specs,
		.annotation_prefix = set->cdi_annotation_prefix,
	};
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
	if (kf_grant_fill(&opt, &view, ids, n, ret, err) == 0)
		return 0;
	if (err->code == KF_E_STATE)
		kf_agent_count(a, KF_TALLY_UNKNOWN_DEVICE);
	return -1;
}

static struct kf_hold *pod_hold(struct kf_holds *holds, const char *sold)
{
	unsigned i;

	for (i = 0; i < holds->n; i++)
		if (holds->hold[i].by == KF_HOLD_POD && !strcmp(holds->hold[i].sold, sold))
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

		kf_share_device_id(ids[i], hold.id);
		snprintf(hold.sold, sizeof(hold.sold), "%s", ids[i]);
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
	    kf_agent_mps_grant(a, resource, ids, n, ret, err) < 0 ||
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
	if (a->set->single_alias || a->withdrawals.n || a->plan ||
	    kf_share_units_of(a->set->sharing, resource))
		kf_agent_mark(a);
	return 0;
}

struct wish {
	struct kf_agent *agent;
	const char *resource;
};

static int to_be_avoided(void *ud, const char *id)
{
	const struct wish *w = ud;

	return kf_withdraw_state(&w->agent->withdrawals, id) != KF_WITHDRAW_NONE ||
	       taken_otherwise(w->agent, w->resource, id, NULL) < 0;
}

static int on_prefer(void *ud, const char *resource, const char *const *available,
		     unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		     const char **out, struct kf_error *err)
{
	struct kf_agent *a = ud;
	const struct kf_share_rule *units = kf_share_units_of(a->set->sharing, resource);
	struct wish wish = {.agent = a, .resource = resource};
	struct kf_preference p = {.node = a->node,
				  .policy = (enum kf_share_policy)a->set->shared_policy,
				  .all = kf_offers_find(&a->sale.listed, resource),
				  .avoid = to_be_avoided,
				  .userdata = &wish};

	if (units)
		return kf_fit_prefer(units, available, n_available, must, n_must, size, out, err);
	if (!a->node)
		return kf_fail(err, KF_E_STATE, 0, "the driver has not been read yet");
	return kf_prefer(&p, available, n_available, must, n_must, size, out, err);
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
	if (!on) /* another plugin may have registered the same name */
		kf_agent_neighbours_look(a);
	kf_agent_mark(a);
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	kf_agent_count(ud, KF_TALLY_KUBELET_ERROR);
	kf_log_fail(KF_WARN, "kubelet", err, "trying again");
}

const struct kf_kubelet_events kf_agent_kubelet_events = {
	.allocate = on_allocate,
	.prefer = on_prefer,
	.registered = on_registered,
	.listening = on_listening,
	.trouble = on_trouble,
};
