/*
 * Leaving: what kerf has written is taken back, on a node that it is removed from.
 *
 * The annotation kerf.dev/remove on our Node asks for it (`kerf remove` puts it there, and with it
 * the chart's hook before an uninstall, while the agents and their rights are still there).  Then
 * every device is listed as Unhealthy, the CDI file keeps what pods hold and nothing else, and the
 * Node loses condition, taint, labels, annotations, and last, with them, the one that asked: who
 * put it there sees that it is done.  From then on nothing is written any more, but the CDI file as
 * pods end, until the agent ends; one that starts anew begins anew.
 *
 * Slices stay as they are, and so do device nodes: running containers go on, and can restart.
 */
#include <stdlib.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/log.h"
#include "kube/status.h"

#define AGAIN_MS 2000

static void take_back_condition(struct kf_agent *a);

static void on_again(uv_timer_t *timer)
{
	take_back_condition(timer->data);
}

static void again(struct kf_agent *a, const struct kf_error *err)
{
	kf_log_fail(KF_WARN, "kube", err, "trying again to take back what is on the Node");
	uv_timer_start(&a->clear, on_again, AGAIN_MS, 0); /* nothing is withdrawn now */
}

static void on_patched(void *ud, int result, const struct kf_kube_node *node,
		       const struct kf_error *err)
{
	struct kf_agent *a = ud;

	(void)node;
	if (a->stopping)
		return;
	if (result < 0) {
		again(a, err);
		return;
	}
	a->leaving = KF_LEFT;
	kf_log(KF_INFO, "agent",
	       "nothing of kerf is on the Node any more; serving containers that restart until "
	       "the agent is ended");
}

/* Labels and annotations, and with them what asked for all this. */
static void take_back_labels(struct kf_agent *a)
{
	static const char *const notes[] = {KF_ANNOTATION_REASON, KF_ANNOTATION_HEALTH,
					    KF_ANNOTATION_CONFIG, KF_ANNOTATION_REMOVE};
	unsigned i, n = 0, n_notes = sizeof(notes) / sizeof(notes[0]);
	unsigned n_labels = a->set->labels == KF_LABELS_NODE ? a->features_seen.n : 0;
	kf_auto_mem struct kf_kube_edit *edit = kf_calloc(n_labels + n_notes + 1, sizeof(*edit));
	struct kf_error err = {0};

	if (!edit) {
		kf_fail(&err, KF_E_NOMEM, 0, "no memory for the Node's labels");
		again(a, &err);
		return;
	}
	for (i = 0; i < n_labels; i++)
		edit[n++] =
			(struct kf_kube_edit){KF_KUBE_LABEL, a->features_seen.label[i].key, NULL};
	if (a->seen_state[0] && a->config[0])
		edit[n++] = (struct kf_kube_edit){KF_KUBE_LABEL, KF_LABEL_STATE, NULL};
	for (i = 0; i < n_notes; i++)
		edit[n++] = (struct kf_kube_edit){KF_KUBE_ANNOTATION, notes[i], NULL};
	if (kf_kube_node_patch(a->kube, a->set->node_name, edit, n, NULL, on_patched, a, &err) < 0)
		again(a, &err);
}

static void on_taints(void *ud, int result, const struct kf_error *err)
{
	static const struct kf_error moved = {.msg = "the Node has changed meanwhile"};
	struct kf_agent *a = ud;

	if (a->stopping)
		return;
	if (result < 0 || result == KF_KUBE_CONFLICT)
		again(a, result < 0 ? err : &moved);
	else
		take_back_labels(a);
}

/* The startup taint is the operator's, and gone or waited for; that of GPU nodes is ours. */
static void take_back_taint(struct kf_agent *a)
{
	struct kf_taint_wish wish = {.ours_wanted = 0};
	struct kf_error err = {0};

	if (!a->set->gpu_taint) {
		take_back_labels(a);
		return;
	}
	kf_taint_parse(KF_GPU_TAINT, &wish.ours, NULL);
	if (kf_taints_ensure(a->kube, a->set->node_name, &wish, on_taints, a, &err) < 0)
		again(a, &err);
}

static void on_condition(void *ud, int result, const struct kf_error *err)
{
	struct kf_agent *a = ud;

	if (a->stopping)
		return;
	if (result < 0)
		again(a, err);
	else
		take_back_taint(a);
}

static void take_back_condition(struct kf_agent *a)
{
	static const struct kf_condition_told gone = {.type = KF_CONDITION_TYPE};
	struct kf_error err = {0};

	if (!a->set->node_condition)
		take_back_taint(a);
	else if (kf_status_condition(a->kube, a->set->node_name, &gone, on_condition, a, &err) < 0)
		again(a, &err);
}

void kf_agent_leave(struct kf_agent *a)
{
	if (a->leaving == KF_LEFT) /* asked once more */
		take_back_labels(a);
	if (a->leaving)
		return;
	kf_log(KF_INFO, "agent",
	       "annotation " KF_ANNOTATION_REMOVE
	       ": nothing is offered any more, and what kerf has "
	       "written is taken back; slices and pods stay as they are");
	a->leaving = KF_LEAVING;
	kf_agent_publish(a);
	kf_agent_read(a); /* a job that has the CDI file keep what is held alone */
}

void kf_agent_leave_on(struct kf_agent *a, const struct kf_job *job)
{
	if (a->leaving != KF_LEAVING || !job->leaving)
		return;
	a->leaving = KF_LEAVING_NODE;
	take_back_condition(a);
}
