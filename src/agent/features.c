/*
 * The Node's feature labels, GPU Feature Discovery's: made by the jobs from what they read, and
 * written in the same patch as the state, so that the Node is told once.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/duration.h"
#include "labels/facts.h"
#include "labels/file.h"
#include "labels/labels.h"

char *kf_features_path(const struct kf_settings *set)
{
	const char *file = set->gfd_output_file;

	return kf_asprintf("%s%s", strcmp(set->root, "/") ? set->root : "",
			   file[0] ? file : KF_FEATURES_FILE);
}

int kf_agent_features_due(const struct kf_agent *a)
{
	uint64_t ms;

	return a->set->labels != KF_LABELS_OFF &&
	       kf_duration_parse(a->set->gfd_sleep_interval, &ms) == 0 && ms != UINT64_MAX &&
	       kf_now_ms() - a->features_made_ms >= ms;
}

/* The same labels made again are no news: a quarrel over them goes on as it was. */
static int are_same(const struct kf_labels *a, const struct kf_labels *b)
{
	return a->n == b->n && !memcmp(a->label, b->label, a->n * sizeof(*a->label));
}

void kf_agent_take_hardware(struct kf_agent *a, const struct kf_job *job)
{
	if (job->no_hardware && !a->no_hardware && a->features_seen.n)
		kf_log(KF_INFO, "labels",
		       "there is no driver and no GPU any more: the feature "
		       "labels go");
	a->no_hardware = job->no_hardware;
	if (a->no_hardware)
		kf_labels_done(&a->features);
}

void kf_agent_take_made(struct kf_agent *a, struct kf_labels *made)
{
	if (made->n == 0)
		return;
	a->features_made_ms = kf_now_ms();
	if (are_same(made, &a->features))
		return;
	kf_labels_done(&a->features);
	a->features = *made;
	*made = (struct kf_labels){0};
	a->features_after_ms = 0;
	a->features_told = 0;
}

static enum kf_label_sharing sharing_of(const struct kf_sharing *s)
{
	unsigned i;

	for (i = 0; s && i < s->n; i++)
		if (s->rule[i].mps && !s->rule[i].units.mib)
			return KF_SHARING_MPS;
	return s ? KF_SHARING_TIME_SLICING : KF_SHARING_NONE;
}

/* In the worker: the labels of what the job has read, and the file of them where that is wanted. */
int kf_features_make(const struct kf_settings *set, const struct kf_node *node, int64_t started_s,
		     struct kf_labels *ret, struct kf_error *err)
{
	struct kf_label_choices choices = {
		.strategy = (enum kf_mig_strategy)set->mig_strategy,
		.sharing = sharing_of(set->sharing),
		.rules = set->sharing,
		.timestamp = set->gfd_no_timestamp ? 0 : started_s,
	};
	struct kf_label_facts facts = {0};
	const char *root = strcmp(set->root, "/") ? set->root : "";
	kf_auto_mem char *path = NULL;

	kf_label_facts_read(root, set->gfd_machine_type_file, node, &facts);
	if (kf_labels_make(node, &facts, &choices, ret, err) < 0)
		return -1;
	if (set->labels != KF_LABELS_FILE)
		return kf_labels_add_own(node, &choices, set->node_labels, ret, err);
	path = kf_features_path(set);
	if (!path)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the path of the features file");
	return kf_labels_write(ret, path, err) < 0 ? -1 : 0;
}

/* Between two tries of labels that the server refuses: from here, doubled up to the other. */
#define REFUSED_MS     2000u
#define REFUSED_MAX_MS 600000u
/* The same labels told so often are somebody else's as well: then no more often than this. */
#define CONTESTED    4
#define CONTESTED_MS 60000u

unsigned kf_agent_pause_features(struct kf_agent *a)
{
	unsigned n = a->features_refused++;

	a->features_after_ms = kf_now_ms() + (n < 8 ? REFUSED_MS << n : REFUSED_MAX_MS);
	return a->features_refused;
}

void kf_agent_features_told(struct kf_agent *a)
{
	a->features_refused = 0;
	if (++a->features_told < CONTESTED)
		return;
	a->features_after_ms = kf_now_ms() + CONTESTED_MS;
	if (a->features_told == CONTESTED)
		kf_log(KF_WARN, "labels",
		       "somebody else changes the Node's feature labels (GPU Feature Discovery?): "
		       "writing them once a minute at most; --labels off leaves them to others");
}

/* gpu.present is the operator's, unless we were told to set it. */
static int is_ours(const struct kf_agent *a, const char *key)
{
	return kf_label_is_ours(key) ||
	       (a->set->node_labels & KF_NODE_PRESENT && !strcmp(key, KF_LABEL_PRESENT));
}

/* What the Node has of ours, as the API server showed it last. */
void kf_agent_take_features(struct kf_agent *a, const struct kf_kube_node *node)
{
	unsigned i;

	a->features_seen.n = 0;
	for (i = 0; i < node->n_labels; i++)
		if (is_ours(a, node->labels[i].key))
			kf_labels_set(&a->features_seen, node->labels[i].key,
				      node->labels[i].value);
}

/* The edits from what the Node has to what it shall have; they point into *set and *drop. */
unsigned kf_agent_feature_edits(struct kf_agent *a, struct kf_labels *set, struct kf_labels *drop,
				struct kf_kube_edit **ret)
{
	struct kf_error err = {0};
	unsigned i, n = 0;

	*ret = NULL;
	if (a->set->labels != KF_LABELS_NODE || (a->features.n == 0 && !a->no_hardware) ||
	    kf_now_ms() < a->features_after_ms)
		return 0;
	if (kf_labels_diff(&a->features_seen, &a->features, set, drop, &err) < 0) {
		kf_log_fail(KF_WARN, "labels", &err, "the Node's labels stay as they are");
		return 0;
	}
	if (kf_labels_get(&a->features_seen, KF_LABEL_PRESENT) &&
	    !kf_labels_get(&a->features, KF_LABEL_PRESENT))
		kf_labels_set(drop, KF_LABEL_PRESENT, "true");
	if (set->n + drop->n == 0)
		return 0;
	*ret = kf_calloc(set->n + drop->n, sizeof(**ret));
	for (i = 0; *ret && i < set->n; i++)
		(*ret)[n++] = (struct kf_kube_edit){KF_KUBE_LABEL, set->label[i].key,
						    set->label[i].value};
	for (i = 0; *ret && i < drop->n; i++)
		(*ret)[n++] = (struct kf_kube_edit){KF_KUBE_LABEL, drop->label[i].key, NULL};
	return n;
}
