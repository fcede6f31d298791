/* Shares that MPS holds; see mps.h. */
#include "agent/mps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/log.h"
#include "kubelet/answer.h"
#include "mps/ask.h"

#define LOOK_MS 1000

/* --- which devices --------------------------------------------------------------------------- */

static struct kf_mps_device *find(const struct kf_mps *m, const char *id)
{
	unsigned i;

	for (i = 0; i < m->n; i++)
		if (kf_share_same_device(m->device[i].uuid, id))
			return &m->device[i];
	return NULL;
}

int kf_agent_mps_ready(const void *agent, const char *id)
{
	const struct kf_agent *a = agent;
	const struct kf_mps_device *d = find(&a->mps, id);

	return d && d->ready;
}

static void on_timer(uv_timer_t *timer);

static void want(struct kf_agent *a, const char *uuid)
{
	struct kf_mps *m = &a->mps;
	struct kf_error err = {0};

	if (find(m, uuid))
		return;
	if (kf_grow(&m->device, &m->capacity, m->n + 1, sizeof(m->device[0])) < 0)
		return;
	m->device[m->n] = (struct kf_mps_device){0};
	snprintf(m->device[m->n++].uuid, sizeof(m->device[0].uuid), "%s", uuid);
	if (kf_mps_want(a->set->mps_dir, uuid, &err) < 0)
		kf_log_fail(KF_WARN, "mps", &err, "its shares are not offered until it is");
	if (!uv_is_active((uv_handle_t *)&m->timer))
		uv_timer_start(&m->timer, on_timer, 50, LOOK_MS);
}

/* Every device that a rule of MPS may speak of: a daemon too many does no harm. */
static void want_all(struct kf_agent *a, const struct kf_share_rule *rule)
{
	unsigned o, d;
	char uuid[KF_UUID];

	for (o = 0; o < a->sale.listed.n; o++) {
		const struct kf_offer *offer = &a->sale.listed.offer[o];

		if (strcmp(offer->resource, rule->name) != 0)
			continue;
		for (d = 0; d < offer->n; d++) {
			if (kf_share_replica(offer->device[d].id) != 0)
				continue;
			kf_share_device_id(offer->device[d].id, uuid);
			want(a, uuid);
		}
	}
}

void kf_agent_mps_follow(struct kf_agent *a)
{
	const struct kf_sharing *s = a->set->sharing;
	unsigned i;

	for (i = 0; a->set->mps_dir[0] && s && i < s->n; i++)
		if (s->rule[i].mps)
			want_all(a, &s->rule[i]);
}

/* --- what they say --------------------------------------------------------------------------- */

struct looking {
	struct kf_agent *agent;
	struct kf_mps_device *device;
	unsigned n_slices;
};

/* The hold that a slice is named after: the first of its allocation. */
static const struct kf_hold *hold_of(const struct kf_agent *a, const char *slice)
{
	unsigned i;

	for (i = 0; i < a->holds.n; i++)
		if (a->holds.hold[i].by == KF_HOLD_POD && !strcmp(a->holds.hold[i].sold, slice))
			return &a->holds.hold[i];
	return NULL;
}

static void on_slice(void *ud, const char *name, const char *pod_uid, unsigned clients)
{
	struct looking *l = ud;
	struct kf_error err = {0};

	(void)pod_uid;
	l->n_slices++;
	/* one that still has clients is somebody's, whatever the kubelet says */
	if (hold_of(l->agent, name) || clients)
		return;
	if (kf_mps_remove(l->agent->set->mps_dir, l->device->uuid, name, &err) < 0)
		kf_log_fail(KF_WARN, "mps", &err, "asking again");
}

static void on_event(void *ud, unsigned long number, const char *what, const char *slice,
		     const char *sentence)
{
	struct looking *l = ud;
	const struct kf_hold *hold = slice[0] ? hold_of(l->agent, slice) : NULL;
	int good = !strcmp(what, "recovered");
	char whom[400] = "", note[900];
	struct kf_error err = {0};

	if (number <= l->device->seen)
		return;
	l->device->seen = number;
	if (!l->device->met)
		return;
	if (hold)
		kf_hold_text(hold, whom, sizeof(whom));
	snprintf(note, sizeof(note), "MPS on %s: %s%s%s", l->device->uuid, whom,
		 whom[0] ? ": " : "", sentence);
	kf_log(good ? KF_INFO : KF_WARN, "mps", "%s", note);
	if (l->agent->events &&
	    kf_events_tell(l->agent->events, good ? KF_EVENT_NORMAL : KF_EVENT_WARNING,
			   good ? "MPSRecovered" : "MPSTrouble", "Share", note, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

static int look_at(struct kf_agent *a, struct kf_mps_device *d)
{
	struct looking l = {.agent = a, .device = d};
	struct kf_mps_news news = {.slice = on_slice, .event = on_event, .ud = &l};
	struct kf_error err = {0};
	int answer = kf_mps_look(a->set->mps_dir, d->uuid, &news, &err), was = d->ready;

	if (answer < 0) {
		/* the keeper may have come after us */
		kf_mps_want(a->set->mps_dir, d->uuid, NULL);
		if (a->mps.troubles++ % 60 == 5)
			kf_log_fail(KF_WARN, "mps", &err,
				    "its shares are not offered until it does");
	} else {
		a->mps.troubles = 0;
		d->met = 1;
	}
	d->ready = answer > 0;
	if (d->ready != was)
		kf_log(KF_INFO, "mps", "%s: MPS %s", d->uuid,
		       d->ready ? "takes clients" : "takes no clients just now");
	return d->ready != was;
}

static void on_timer(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;
	int changed = 0;
	unsigned i;

	for (i = 0; i < a->mps.n; i++)
		changed |= look_at(a, &a->mps.device[i]);
	if (changed && !a->stopping)
		kf_agent_publish(a);
}

/* --- allocations ----------------------------------------------------------------------------- */

static uint64_t memory_of(const struct kf_agent *a, const char *uuid)
{
	const struct kf_gpu *gpu = a->node ? kf_node_find_gpu(a->node, uuid) : NULL;
	struct kf_slice_ref slice;

	if (gpu)
		return gpu->memory_mib - gpu->reserved_mib;
	return a->node && kf_node_find_slice(a->node, uuid, &slice) ? slice.ci->memory_mib : 0;
}

/* What n shares of a device are: memory, and SMs in per cent. */
static void measure(const struct kf_share_rule *rule, uint64_t memory_mib, unsigned n,
		    struct kf_mps_wanted *ret)
{
	unsigned count = kf_share_count(rule, memory_mib), percent;

	count = count ? count : 1;
	percent = n * 100 / count;
	ret->percent = percent ? percent : 1;
	ret->bytes = memory_mib / count * n << 20;
	if (!rule->units.mib)
		return;
	ret->bytes = (uint64_t)rule->units.mib * n << 20;
	if (rule->units.sms != KF_SHARE_SMS_BY_MEMORY)
		ret->percent = (unsigned)rule->units.sms;
}

/* The first id by its number, so that the name is the same whatever the order. */
static const char *first_of(const char *const *ids, unsigned n)
{
	const char *first = ids[0];
	unsigned i;

	for (i = 1; i < n; i++)
		if (kf_share_replica(ids[i]) < kf_share_replica(first))
			first = ids[i];
	return first;
}

int kf_agent_mps_grant(struct kf_agent *a, const char *resource, const char *const *ids, unsigned n,
		       struct kf_answer *ret, struct kf_error *err)
{
	const struct kf_share_rule *rule = kf_share_named(a->set->sharing, resource);
	struct kf_mps_wanted wanted = {.pod_uid = ""};
	char uuid[KF_UUID], folder[KF_MPS_FOLDER], inside[KF_SHARE_NAME + 16];
	unsigned i;

	if (!rule || !rule->mps || kf_share_replica(ids[0]) < 0)
		return 0;
	for (i = 1; i < n; i++)
		if (!kf_share_same_device(ids[0], ids[i]))
			return kf_fail(err, KF_E_INPUT, 0,
				       "the container asks for %u of %s, which are of several "
				       "GPUs: MPS holds a share of one; ask for 1",
				       n, resource);
	kf_share_device_id(ids[0], uuid);
	wanted.name = first_of(ids, n);
	measure(rule, memory_of(a, uuid), n, &wanted);
	if (kf_mps_add(a->set->mps_dir, uuid, &wanted, folder, err) < 0)
		return -1;
	/* the place where NVIDIA's plugin puts it */
	snprintf(inside, sizeof(inside), "/mps/%s/pipe", resource);
	if (kf_answer_add_mount(ret, inside, folder, 1) < 0 ||
	    kf_answer_add_env(ret, "CUDA_MPS_PIPE_DIRECTORY", inside) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the answer to Allocate");
	return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

void kf_agent_mps_start(struct kf_agent *a)
{
	uv_timer_init(&a->loop, &a->mps.timer);
	a->mps.timer.data = a;
}

void kf_agent_mps_done(struct kf_agent *a)
{
	free(a->mps.device);
	a->mps.device = NULL;
	a->mps.n = 0;
}
