/*
 * Tell: the kubelet's lists; the Node's label, annotation and Events.
 *
 * The Node's label and annotation are state: what the API server has (as the watch shows it) is
 * compared with what should be there, and patched until it is.  Events are news.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

const char *kf_state_text(enum kf_state state)
{
	static const char *const text[] = {
		[KF_STATE_NONE] = "",
		[KF_STATE_PENDING] = "pending",
		[KF_STATE_SUCCESS] = "success",
		[KF_STATE_FAILED] = "failed",
		[KF_STATE_REBOOTING] = "rebooting",
	};

	return text[state];
}

/* --- the kubelet --------------------------------------------------------------------------- */

static int is_withdrawn(const void *userdata, const char *id)
{
	const struct kf_agent *a = userdata;

	return kf_withdraw_state(&a->withdrawals, id) != KF_WITHDRAW_NONE;
}

static int is_ill(const void *userdata, const char *id)
{
	const struct kf_agent *a = userdata;

	return a->leaving || kf_agent_ailment(a, id) != NULL;
}

void kf_agent_offer_rules(const struct kf_agent *a, struct kf_offer_rules *ret)
{
	*ret = (struct kf_offer_rules){
		.strategy = (enum kf_mig_strategy)a->set->mig_strategy,
		.single_alias = a->set->single_alias,
		.target = a->target,
		.holds = &a->holds,
		.sharing = a->set->sharing,
		.withdrawn = is_withdrawn,
		.mps_ready = kf_agent_mps_ready,
		.ill = is_ill,
		.userdata = a,
	};
}

/* Of memory sold by the unit: what is on sale. */
static void fit(struct kf_agent *a, struct kf_offers *offers)
{
	struct kf_fit f = {.holds = &a->holds, .going = kf_agent_is_going, .userdata = a};
	char before[KF_UUID];
	unsigned i, d, n;

	for (i = 0; i < offers->n; i++) {
		f.rule = kf_share_units_of(a->set->sharing, offers->offer[i].resource);
		if (!f.rule)
			continue;
		memcpy(before, a->fit_block, sizeof(before));
		f.before = before;
		kf_fit_apply(&f, &offers->offer[i], a->fit_block);
		for (d = n = 0; d < offers->offer[i].n; d++)
			n += (unsigned)offers->offer[i].device[d].healthy;
		kf_agent_tell_units(a, offers->offer[i].resource, n);
	}
}

void kf_agent_publish(struct kf_agent *a)
{
	struct kf_offers offers = {0};
	struct kf_offer_rules rules;
	struct kf_error err = {0};

	if (!a->node || !a->kubelet || a->withheld)
		return;
	if (kf_agent_is_passive(a)) {
		kf_kubelet_step_aside(a->kubelet);
		return;
	}
	kf_agent_watch_pods(a);
	kf_agent_mps_follow(a);
	kf_going_prune(&a->going, &a->holds);
	kf_agent_offer_rules(a, &rules);
	if (kf_offers_make(a->node, &rules, &offers, &err) == 0)
		fit(a, &offers);
	if (!err.code && kf_agent_time_slices(a, &offers)) {
		kf_offers_done(&offers);
		return;
	}
	if (err.code || kf_sale_make(&a->sale, &offers, a->node, &a->holds, &err) < 0 ||
	    kf_kubelet_publish(a->kubelet, &a->sale.listed, &err) < 0)
		kf_log_fail(KF_ERROR, "kubelet", &err, "the list published before stays");
	kf_offers_done(&offers);
	kf_agent_sell(a);
	kf_agent_taint(a);
}

/* --- the Node ------------------------------------------------------------------------------ */

static void tell_event(struct kf_agent *a)
{
	static const struct {
		const char *type, *reason;
	} kind[] = {
		[KF_STATE_PENDING] = {KF_EVENT_NORMAL, "MIGConfigPending"},
		[KF_STATE_SUCCESS] = {KF_EVENT_NORMAL, "MIGConfigApplied"},
		[KF_STATE_FAILED] = {KF_EVENT_WARNING, "MIGConfigFailed"},
		[KF_STATE_REBOOTING] = {KF_EVENT_WARNING, "MIGConfigRebooting"},
	};
	struct kf_error err = {0};
	char note[1200];

	/* "pending" without a reason is over in a moment: no news */
	if (a->state == KF_STATE_NONE || (a->state == KF_STATE_PENDING && !a->reason[0]))
		return;
	snprintf(note, sizeof(note), "MIG configuration %s: %s", a->config,
		 a->reason[0] ? a->reason : "applied");
	kf_agent_news(a, kind[a->state].type, note);
	if (a->events && kf_events_tell(a->events, kind[a->state].type, kind[a->state].reason,
					"Repartition", note, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

void kf_agent_say(struct kf_agent *a, enum kf_state state, const char *why)
{
	char reason[sizeof(a->reason)];

	/* a sentence may be cut, or quote a stranger; the API server takes UTF-8 only */
	snprintf(reason, sizeof(reason), "%s", why);
	kf_mend_utf8(reason);
	if (a->state == state && !strcmp(a->reason, reason))
		return;
	/* Holders may come and go by the hundred; who is waited for is told once a second, since
	 * that is how often a change that waits is looked at. */
	if (a->state == state && state == KF_STATE_PENDING && a->reason[0] &&
	    kf_now_ms() < a->said_at_ms + KF_WAIT_MS)
		return;
	a->said_at_ms = kf_now_ms();
	a->said++;
	a->state = state;
	memcpy(a->reason, reason, sizeof(a->reason));
	if (state != KF_STATE_NONE)
		kf_log(state == KF_STATE_FAILED ? KF_ERROR : KF_INFO, "agent",
		       "MIG configuration %s: %s%s%s", a->config, kf_state_text(state),
		       reason[0] ? ": " : "", reason);
	tell_event(a);
	if (!a->patch_failures) /* a pause, if any, was for what is old now */
		uv_timer_stop(&a->patch_timer);
	kf_agent_patch(a);
}

static void on_patch_timer(uv_timer_t *timer)
{
	kf_agent_patch(timer->data);
}

/* It says no, and will say so the next time; what is busy, slow or away may be better soon. */
static int is_refusal(const struct kf_error *err)
{
	return err->code == KF_E_INPUT || (err->code == KF_E_REMOTE && err->detail / 100 == 4 &&
					   err->detail != 408 && err->detail != 429);
}

/*
 * Tried again after 2 s, and what is refused outright ever later, up to 64 s; of a series the first
 * failures are logged and then fewer and fewer.  Feature labels that are refused pause by
 * themselves, so that they keep no state from the Node.
 */
static void patch_failed(struct kf_agent *a, const struct kf_error *err)
{
	unsigned n = a->patch_failures;

	if (err->code)
		kf_agent_count(a, KF_TALLY_API_ERROR);
	if (a->patch_has_features && is_refusal(err)) {
		if (kf_agent_pause_features(a) < 3)
			kf_log_fail(KF_WARN, "labels", err,
				    "telling the Node the state without the feature labels");
		kf_agent_patch(a);
		return;
	}
	a->patch_failures++;
	if (err->code && !(a->patch_failures & n))
		kf_log_fail(KF_WARN, "kube", err, "telling the Node again");
	uv_timer_start(&a->patch_timer, on_patch_timer,
		       !is_refusal(err) ? 2000
		       : n < 5		? 2000u << n
					: 64000,
		       0);
}

/* State and reason of the configuration, where they differ; without a selection they are not ours
 * to remove: NVIDIA's manager leaves them as well. */
static unsigned state_edits(struct kf_agent *a, struct kf_kube_edit edit[2])
{
	const char *state = kf_state_text(a->state);

	if (a->state == KF_STATE_NONE && !a->config[0])
		return 0;
	if (!strcmp(a->seen_state, state) && !strcmp(a->seen_reason, a->reason))
		return 0;
	edit[0] = (struct kf_kube_edit){KF_KUBE_LABEL, KF_LABEL_STATE, state[0] ? state : NULL};
	edit[1] = (struct kf_kube_edit){KF_KUBE_ANNOTATION, KF_ANNOTATION_REASON,
					a->reason[0] ? a->reason : NULL};
	return 2;
}

static void on_patched(void *ud, int result, const struct kf_kube_node *node,
		       const struct kf_error *err)
{
	static const struct kf_error gone = {0};
	struct kf_agent *a = ud;
	struct kf_kube_edit edit[2];
	const char *state, *reason;

	a->patching = 0;
	if (result != 0) {
		patch_failed(a, result < 0 ? err : &gone);
		return;
	}
	a->patch_failures = 0;
	state = kf_kube_node_label(node, KF_LABEL_STATE);
	reason = kf_kube_node_annotation(node, KF_ANNOTATION_REASON);
	snprintf(a->seen_state, sizeof(a->seen_state), "%s", state ? state : "");
	snprintf(a->seen_reason, sizeof(a->seen_reason), "%s", reason ? reason : "");
	kf_agent_take_features(a, node);
	kf_agent_take_health(a, node);
	if (a->patch_has_features)
		kf_agent_features_told(a);
	kf_agent_reboot_if_told(a);
	/* taken, and not there: a webhook's doing, with which we do not race */
	if (a->said == a->patch_said && state_edits(a, edit))
		uv_timer_start(&a->patch_timer, on_patch_timer, KF_POLL_MS, 0);
	kf_agent_patch(a);
}

static void send_patch(struct kf_agent *a, const struct kf_kube_edit *edit, unsigned n)
{
	struct kf_error err = {0};

	if (n == 0)
		return;
	if (kf_kube_node_patch(a->kube, a->set->node_name, edit, n, NULL, on_patched, a, &err) == 0)
		a->patching = 1;
	else
		patch_failed(a, &err);
}

void kf_agent_patch(struct kf_agent *a)
{
	struct kf_labels set = {0}, drop = {0};
	struct kf_kube_edit *features, *edit, state[3];
	unsigned n, m;

	/* Before the Node has been seen we do not know what is selected, so there is nothing to
	 * say. */
	if (!a->kube || !a->label_known || a->patching || a->stopping || a->leaving ||
	    uv_is_active((uv_handle_t *)&a->patch_timer))
		return;
	n = kf_agent_feature_edits(a, &set, &drop, &features);
	m = state_edits(a, state);
	m += kf_agent_health_edit(a, &state[m]);
	edit = kf_calloc(n + m, sizeof(*edit));
	a->patch_has_features = n > 0;
	a->patch_said = a->said;
	if (edit) {
		memcpy(edit, state, m * sizeof(*edit));
		if (n)
			memcpy(edit + m, features, n * sizeof(*edit));
		send_patch(a, edit, n + m);
	}
	free(edit);
	free(features);
	kf_labels_done(&set);
	kf_labels_done(&drop);
}

static void take_node(struct kf_agent *a, const struct kf_kube_node *node)
{
	const char *config = kf_kube_node_label(node, KF_LABEL_CONFIG);
	const char *plugin = kf_kube_node_label(node, KF_LABEL_PLUGIN);
	const char *state = kf_kube_node_label(node, KF_LABEL_STATE);
	const char *reason = kf_kube_node_annotation(node, KF_ANNOTATION_REASON);

	snprintf(a->seen_state, sizeof(a->seen_state), "%s", state ? state : "");
	snprintf(a->seen_reason, sizeof(a->seen_reason), "%s", reason ? reason : "");
	reason = kf_kube_node_annotation(node, KF_ANNOTATION_CONFIG);
	if (!a->config_patching)
		snprintf(a->told_config, sizeof(a->told_config), "%s", reason ? reason : "");
	if (!a->label_known)
		a->rebooted = !strcmp(a->seen_state, kf_state_text(KF_STATE_REBOOTING));
	a->label_known = 1;
	uv_timer_stop(&a->patience);
	kf_agent_neighbours_take(a, node);
	kf_agent_pause_take(a, node);
	kf_agent_take_features(a, node);
	kf_agent_config_label(a, plugin ? plugin : "");
	kf_agent_config_tell(a);
	kf_agent_take_health(a, node);
	kf_agent_choose(a, config ? config : "", KF_BY_LABEL);
	kf_agent_patch(a);
	kf_agent_taint(a);
	kf_agent_tell_condition(a);
	if (kf_kube_node_annotation(node, KF_ANNOTATION_REMOVE))
		kf_agent_leave(a);
}

static void on_object(void *ud, enum kf_watch_type type, json_t *object)
{
	kf_auto(kf_kube_node_freep) struct kf_kube_node *node = NULL;
	struct kf_agent *a = ud;
	struct kf_error err = {0};

	if (type == KF_WATCH_DELETED) {
		kf_log(KF_WARN, "kube", "Node %s is gone; the slices stay as they are",
		       a->set->node_name);
		return;
	}
	if (kf_kube_node_read(object, &node, &err) < 0) {
		kf_log_fail(KF_WARN, "kube", &err, "ignoring it");
		return;
	}
	if (!strcmp(node->name, a->set->node_name))
		take_node(a, node);
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	kf_agent_count(ud, KF_TALLY_API_ERROR);
	kf_log(KF_WARN, "kube", "%s", err->msg);
}

int kf_agent_kube_start(struct kf_agent *a, struct kf_error *err)
{
	static const struct kf_watch_events events = {.object = on_object, .trouble = on_trouble};
	char selector[300];
	int answer;

	if (!a->set->node_name[0])
		return 0;
	answer = kf_kube_config_load(a->set->kubeconfig, NULL, &a->kube_config, err);
	if (answer == KF_KUBE_NOWHERE)
		return 0;
	if (answer < 0 || kf_kube_open(&a->loop, a->kube_config, &a->kube, err) < 0)
		return -1;
	snprintf(selector, sizeof(selector), "metadata.name=%s", a->set->node_name);
	if (kf_events_new(a->kube, a->set->node_name, on_trouble, a, &a->events, err) < 0)
		return -1;
	return kf_watch_start(a->kube, "/api/v1/nodes", selector, KF_WATCH_METADATA, &events, a,
			      &a->watch, err);
}

void kf_agent_kube_stop(struct kf_agent *a)
{
	kf_watch_stop(a->watch);
	kf_watch_stop(a->pods_watch);
	kf_watch_stop(a->map_watch);
	a->watch = a->pods_watch = a->map_watch = NULL;
	kf_going_done(&a->going);
	if (a->kube)
		kf_kube_forget(a->kube, a);
	a->events = kf_events_free(a->events);
}
