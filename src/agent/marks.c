/* Marks on our Node besides labels; see marks.h. */
#include "agent/marks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "kube/status.h"

#define WAIT_MS	   1000
#define TROUBLE_MS 10000
#define MAX_OFFERS 32

static int can_tell(const struct kf_agent *a)
{
	return a->kube && a->label_known && !a->stopping && !a->leaving;
}

/* --- taints -------------------------------------------------------------------------------- */

/* Resources of which something is offered: these are to be allocatable before pods may come. */
static unsigned offered(const struct kf_agent *a, const char *out[MAX_OFFERS])
{
	const struct kf_offers *listed = &a->sale.listed;
	unsigned o, d, n = 0;

	for (o = 0; o < listed->n && n < MAX_OFFERS; o++)
		for (d = 0; d < listed->offer[o].n; d++)
			if (listed->offer[o].device[d].healthy) {
				out[n++] = listed->offer[o].resource;
				break;
			}
	return n;
}

/* 1: there are GPUs; 0: there are none, for sure; -1: nobody knows. */
static int has_gpus(const struct kf_agent *a)
{
	if (a->driver_state == KF_DRIVER_ABSENT)
		return 0;
	if (a->driver_state != KF_DRIVER_OK || !a->node)
		return -1;
	return a->node->n_gpus > 0;
}

static void on_timer(uv_timer_t *timer)
{
	kf_agent_taint(timer->data);
}

static void on_taints(void *ud, int result, const struct kf_error *err)
{
	struct kf_agent *a = ud;
	struct kf_marks *m = &a->marks;

	m->asking = 0;
	if (a->stopping)
		return;
	if (result < 0) {
		if (m->said_why_not++ % 60 == 0)
			kf_log_fail(KF_WARN, "kube", err,
				    "the Node's taints stay as they are; trying again");
		kf_agent_count(a, KF_TALLY_API_ERROR);
	}
	if (result != 0 && result != KF_KUBE_GONE)
		uv_timer_start(&m->timer, on_timer, result < 0 ? TROUBLE_MS : WAIT_MS, 0);
	else if (m->again)
		uv_timer_start(&m->timer, on_timer, 0, 0);
	if (result == 0)
		m->said_why_not = 0;
}

void kf_agent_taint(struct kf_agent *a)
{
	struct kf_marks *m = &a->marks;
	const char *resources[MAX_OFFERS];
	struct kf_taint_wish wish = {.away = m->startup, .resources = resources};
	struct kf_error err = {0};

	if (!can_tell(a) || (!m->startup.key[0] && !a->set->gpu_taint))
		return;
	if (m->asking) {
		m->again = 1;
		return;
	}
	m->again = 0;
	wish.n = offered(a, resources);
	wish.ours_wanted = a->set->gpu_taint ? has_gpus(a) : -1;
	kf_taint_parse(KF_GPU_TAINT, &wish.ours, NULL);
	if (kf_taints_ensure(a->kube, a->set->node_name, &wish, on_taints, a, &err) < 0)
		on_taints(a, -1, &err);
	else
		m->asking = 1;
}

/* --- the condition -------------------------------------------------------------------------- */

static void word_health(const struct kf_agent *a, struct kf_condition_told *told)
{
	*told = (struct kf_condition_told){.type = KF_CONDITION_TYPE, .message = a->ailments};
	if (a->driver_state != KF_DRIVER_OK) {
		told->status = "Unknown";
		told->reason = "DriverDoesNotAnswer";
		told->message = a->driver_err.msg;
	} else if (a->ailments[0]) {
		told->status = "False";
		told->reason = "GPUUnhealthy";
	} else {
		told->status = "True";
		told->reason = "GPUsHealthy";
		told->message = "every GPU and slice of this node is well";
	}
}

/* Enough to see that a text is another one. */
static uint32_t sum_of(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static void on_told(void *ud, int result, const struct kf_error *err)
{
	struct kf_agent *a = ud;
	struct kf_marks *m = &a->marks;

	m->telling = 0;
	if (result == 0) {
		m->refused = 0;
		kf_agent_tell_condition(a); /* what has changed since */
		return;
	}
	kf_agent_count(a, KF_TALLY_API_ERROR);
	m->status[0] = '\0';
	if (m->refused++ == 0)
		kf_log_fail(KF_WARN, "kube", err,
			    "the Node has no condition " KF_CONDITION_TYPE
			    "; told again with the next change");
}

void kf_agent_tell_condition(struct kf_agent *a)
{
	struct kf_marks *m = &a->marks;
	struct kf_condition_told told;
	struct kf_error err = {0};
	char now[32];

	/* nodes without NVIDIA's driver are none of ours */
	if (!can_tell(a) || m->telling || !a->set->node_condition ||
	    a->driver_state == KF_DRIVER_UNKNOWN ||
	    (a->driver_state == KF_DRIVER_ABSENT && !m->since[0]))
		return;
	word_health(a, &told);
	if (!strcmp(m->status, told.status) && !strcmp(m->reason, told.reason) &&
	    m->message == sum_of(told.message))
		return;
	kf_wall_seconds(now);
	if (strcmp(m->status, told.status) != 0)
		memcpy(m->since, now, sizeof(now));
	told.now = now;
	told.since = m->since;
	if (kf_status_condition(a->kube, a->set->node_name, &told, on_told, a, &err) < 0) {
		kf_log_fail(KF_WARN, "kube", &err, "the Node's condition stays as it is");
		return;
	}
	m->telling = 1;
	m->message = sum_of(told.message);
	snprintf(m->status, sizeof(m->status), "%s", told.status);
	snprintf(m->reason, sizeof(m->reason), "%s", told.reason);
}

/* --- units of memory ------------------------------------------------------------------------ */

static void on_units(void *ud, int result, const struct kf_error *err)
{
	struct kf_agent *a = ud;

	if (result == 0)
		return;
	kf_agent_count(a, KF_TALLY_API_ERROR);
	a->marks.resource[0] = '\0';
	kf_log_fail(KF_WARN, "kube", err,
		    "the scheduler learns of units taken off sale with the kubelet's next status");
}

void kf_agent_tell_units(struct kf_agent *a, const char *resource, unsigned healthy)
{
	struct kf_marks *m = &a->marks;
	int known = !strcmp(m->resource, resource);
	struct kf_error err = {0};

	/* What grows may wait for the kubelet; it has to have its list first. */
	if (!can_tell(a) || (known && healthy >= m->units)) {
		m->units = healthy;
		return;
	}
	snprintf(m->resource, sizeof(m->resource), "%s", resource);
	m->units = healthy;
	if (known && kf_status_allocatable(a->kube, a->set->node_name, resource, healthy, on_units,
					   a, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the kubelet's next status has it");
}

/* --- life ----------------------------------------------------------------------------------- */

int kf_agent_marks_start(struct kf_agent *a, struct kf_error *err)
{
	uv_timer_init(&a->loop, &a->marks.timer);
	a->marks.timer.data = a;
	if (!a->set->startup_taint[0])
		return 0;
	if (kf_taint_parse(a->set->startup_taint, &a->marks.startup, err) < 0)
		return kf_prefix(err, "--startup-taint");
	return 0;
}
