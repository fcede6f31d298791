/* Another device plugin, and a toolkit that is too generous; see neighbours.h. */
#include "agent/neighbours.h"

#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "base/log.h"
#include "doctor/doctor.h"

#define WHILE_PASSIVE_MS 1000

static void tell(struct kf_agent *a, const char *type, const char *reason, const char *note)
{
	struct kf_error err = {0};

	kf_agent_news(a, type, note);
	if (kf_events_tell(a->events, type, reason, "Register", note, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

/* Once the Node is known, so that an Event has something to be about. */
void kf_agent_neighbours_tell(struct kf_agent *a)
{
	struct kf_neighbours *n = &a->neighbours;

	if (!a->events || !a->label_known || a->stopping)
		return;
	if (n->news && n->stance == KF_STANCE_PASSIVE)
		tell(a, KF_EVENT_WARNING, "OtherDevicePlugin", n->why);
	else if (n->news)
		tell(a, KF_EVENT_NORMAL, "OtherDevicePluginGone",
		     "no other device plugin serves this node's GPUs any more: kerf does");
	if (n->toolkit_news)
		tell(a, KF_EVENT_WARNING, "ToolkitGivesAllGPUs", n->toolkit);
	n->news = n->toolkit_news = 0;
}

/* --- another plugin ------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer)
{
	kf_agent_neighbours_look(timer->data);
}

/* 1: another one serves, and a sentence says which; 0: none does. */
static int find_other(const struct kf_agent *a, char *why, size_t size)
{
	char sockets[300];

	if (a->set->beside == KF_BESIDE_TAKE)
		return 0;
	if (kf_doctor_rivals(a->set->kubelet_dir, sockets, sizeof(sockets)) > 0)
		snprintf(why, size,
			 "another device plugin serves %.200s: kerf offers nothing and changes no "
			 "slice until it is gone; then it begins by itself (--beside=take does not "
			 "wait)",
			 sockets);
	else if (a->neighbours.auto_mode)
		snprintf(why, size,
			 "this is a node of EKS Auto Mode (" KF_LABEL_COMPUTE "=" KF_AUTO_MODE
			 "), which has a device plugin built in: kerf offers nothing and changes "
			 "no slice");
	else
		return 0;
	return 1;
}

static void become_passive(struct kf_agent *a, const char *why)
{
	struct kf_neighbours *n = &a->neighbours;

	n->news |= n->stance != KF_STANCE_PASSIVE;
	n->stance = KF_STANCE_PASSIVE;
	snprintf(n->why, sizeof(n->why), "%s", why);
	kf_log(KF_WARN, "kubelet", "%s", why);
	kf_sale_done(&a->sale);
	kf_agent_publish(a);
	kf_agent_mark(a);
}

/* The other one may have written its own CDI file over ours: first of all that is made anew. */
static void wake(struct kf_agent *a)
{
	struct kf_neighbours *n = &a->neighbours;

	n->stance = KF_STANCE_WAKING;
	n->news = 1;
	n->why[0] = '\0';
	uv_timer_stop(&n->timer);
	kf_log(KF_INFO, "kubelet", "no other device plugin serves this node's GPUs any more");
	a->cdi_written = 0;
	kf_agent_read(a);
}

void kf_agent_neighbours_look(struct kf_agent *a)
{
	struct kf_neighbours *n = &a->neighbours;
	char why[sizeof(n->why)];

	if (a->stopping)
		return;
	if (find_other(a, why, sizeof(why))) {
		if (n->stance != KF_STANCE_PASSIVE || strcmp(n->why, why) != 0)
			become_passive(a, why);
		if (!uv_is_active((uv_handle_t *)&n->timer))
			uv_timer_start(&n->timer, on_timer, WHILE_PASSIVE_MS, WHILE_PASSIVE_MS);
	} else if (n->stance == KF_STANCE_PASSIVE) {
		wake(a);
	}
	kf_agent_neighbours_tell(a);
}

int kf_agent_is_passive(const struct kf_agent *a)
{
	return a->neighbours.stance != KF_STANCE_SERVING;
}

void kf_agent_neighbours_read(struct kf_agent *a, const struct kf_job *job)
{
	if (a->neighbours.stance == KF_STANCE_WAKING && !job->leave_cdi)
		a->neighbours.stance = KF_STANCE_SERVING;
}

void kf_agent_neighbours_take(struct kf_agent *a, const struct kf_kube_node *node)
{
	const char *compute = kf_kube_node_label(node, KF_LABEL_COMPUTE);
	int before = a->neighbours.auto_mode;

	a->neighbours.auto_mode = compute && !strcmp(compute, KF_AUTO_MODE);
	if (a->neighbours.auto_mode != before)
		kf_agent_neighbours_look(a);
	kf_agent_neighbours_tell(a);
}

/* --- the toolkit --------------------------------------------------------------------------- */

void kf_agent_toolkit_look(struct kf_agent *a)
{
	struct kf_neighbours *n = &a->neighbours;
	char file[200], said[sizeof(n->toolkit)] = "";

	if (kf_doctor_toolkit_accepts(kf_job_root(a->set), file, sizeof(file)) == 1)
		snprintf(said, sizeof(said),
			 "a pod that asks for no GPU sees all of them when its image or its own "
			 "environment says NVIDIA_VISIBLE_DEVICES=all: set " KF_TOOLKIT_KEY
			 " = false in %s; %s",
			 file,
			 a->set->device_list_strategy & KF_LIST_ENVVAR
				 ? "before that, have kerf use another --device-list-strategy than "
				   "envvar"
				 : "what kerf hands out does not need it");
	if (!strcmp(said, n->toolkit))
		return;
	if (said[0])
		kf_log(KF_WARN, "toolkit", "%s", said);
	else
		kf_log(KF_INFO, "toolkit",
		       "NVIDIA_VISIBLE_DEVICES of unprivileged containers is not accepted any "
		       "more");
	memcpy(n->toolkit, said, sizeof(said));
	n->toolkit_news = said[0] != '\0';
	kf_agent_neighbours_tell(a);
}

/* --- life ---------------------------------------------------------------------------------- */

void kf_agent_neighbours_start(struct kf_agent *a)
{
	uv_timer_init(&a->loop, &a->neighbours.timer);
	a->neighbours.timer.data = a;
}
