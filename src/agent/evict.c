/*
 * When blocked, evict: pods on slices that a relabel needs gone are asked to end, disruption
 * budgets honoured.  Off unless --when-blocked=evict.
 */
#include <string.h>

#include "agent/blockers.h"
#include "agent/internal.h"
#include "base/clock.h"
#include "base/log.h"

#define EVICT_EVERY_MS 5000

static void on_evicted(void *ud, int result, const struct kf_error *err)
{
	if (result == KF_EVICT_BLOCKED || result < 0)
		kf_log_fail(KF_WARN, "kube", err, "asking again in 5 s");
	else
		kf_agent_count(ud, KF_TALLY_EVICTED);
	if (result < 0)
		kf_agent_count(ud, KF_TALLY_API_ERROR);
}

static int in_the_way(const struct kf_agent *a, const struct kf_kube_pod *pod)
{
	unsigned h;

	for (h = 0; h < a->holds.n; h++) {
		const struct kf_hold *hold = &a->holds.hold[h];

		if (hold->by == KF_HOLD_POD && !strcmp(hold->pod_name, pod->name) &&
		    !strcmp(hold->pod_namespace, pod->namespace) &&
		    kf_blocks(a->node, a->plan, hold))
			return 1;
	}
	return 0;
}

static void on_pods(void *ud, struct kf_kube_pod *const *pods, unsigned n,
		    const struct kf_error *err)
{
	struct kf_agent *a = ud;
	struct kf_error failure = {0};
	unsigned i;

	a->evicting = 0;
	if (err) {
		kf_log_fail(KF_WARN, "kube", err, "evicting nobody for now");
		return;
	}
	for (i = 0; i < n; i++) {
		if (!in_the_way(a, pods[i]) || kf_evict_skip(pods[i]) != KF_EVICT_CAN)
			continue;
		kf_log(KF_INFO, "kube", "evicting pod %s/%s for MIG configuration %s",
		       pods[i]->namespace, pods[i]->name, a->config);
		if (kf_evict(a->kube, pods[i]->namespace, pods[i]->name, pods[i]->uid, -1,
			     on_evicted, a, &failure) < 0)
			kf_log_fail(KF_WARN, "kube", &failure, "asking again in 5 s");
	}
}

void kf_agent_evict(struct kf_agent *a)
{
	struct kf_error err = {0};
	uint64_t now = kf_now_ms();

	if (!a->kube || a->evicting || now < a->evicted_at_ms + EVICT_EVERY_MS)
		return;
	a->evicted_at_ms = now;
	if (kf_pods_list(a->kube, a->set->node_name, on_pods, a, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "evicting nobody for now");
	else
		a->evicting = 1;
}
