/* From the agent's values to a view; see shown.h. */
#include "agent/shown.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "model/share.h"

#define OTHER_XIDS 999 /* NVML's "unknown": those that there is no room for */

/* --- XIDs ---------------------------------------------------------------------------------- */

static struct kf_xid_count *need_gpu(struct kf_xid_count *counts, unsigned *n, const char *gpu)
{
	unsigned i;

	for (i = 0; i < *n; i++)
		if (!strcmp(counts[i].gpu, gpu))
			return &counts[i];
	if (*n == KF_MAX_GPUS)
		return NULL;
	counts[*n] = (struct kf_xid_count){0};
	snprintf(counts[*n].gpu, sizeof(counts[*n].gpu), "%s", gpu);
	return &counts[(*n)++];
}

void kf_xid_count(struct kf_xid_count *counts, unsigned *n, const char *gpu, unsigned xid)
{
	struct kf_xid_count *c = need_gpu(counts, n, gpu);
	unsigned i;

	if (!c)
		return;
	c->last = xid;
	if (c->n == KF_VIEW_XIDS - 1)
		for (i = 0; i < c->n && c->at[i].xid != xid; i++)
			if (i + 1 == c->n)
				xid = OTHER_XIDS;
	for (i = 0; i < c->n; i++)
		if (c->at[i].xid == xid) {
			c->at[i].n++;
			return;
		}
	if (c->n < KF_VIEW_XIDS) {
		c->at[c->n].xid = xid;
		c->at[c->n++].n = 1;
	}
}

/* --- GPUs and slices ----------------------------------------------------------------------- */

static enum kf_view_health health_of(const struct kf_shown *from, const char *gpu, unsigned gi,
				     unsigned ci, char *why, unsigned size)
{
	const struct kf_ailment *ill = kf_health_of(from->health, gpu, gi, ci);

	if (!ill || ill->state == KF_HEALTH_WELL)
		return KF_VIEW_WELL;
	if (why)
		kf_ailment_text(ill, why, size);
	return ill->state == KF_HEALTH_FLAPPING ? KF_VIEW_FLAPPING : KF_VIEW_UNWELL;
}

/* Is it sold as replicas?  Then the first of them is listed. */
static enum kf_view_sharing sharing_of(const struct kf_shown *from, const char *id)
{
	char first[KF_SHARE_ID];
	unsigned i;

	snprintf(first, sizeof(first), "%s::0", id);
	for (i = 0; i < from->listed->n; i++)
		if (kf_offer_find(&from->listed->offer[i], first))
			return KF_VIEW_TIME_SLICED;
	return KF_VIEW_WHOLE;
}

static void take_xids(const struct kf_shown *from, struct kf_view_gpu *out)
{
	unsigned i, k;

	for (i = 0; i < from->n_xids; i++) {
		const struct kf_xid_count *c = &from->xids[i];

		if (strcmp(c->gpu, out->uuid) != 0)
			continue;
		out->last_xid = c->last;
		out->n_xids = c->n;
		for (k = 0; k < c->n; k++) {
			out->xid[k].xid = c->at[k].xid;
			out->xid[k].n = c->at[k].n;
		}
	}
}

static void take_gpu(const struct kf_shown *from, const struct kf_gpu *gpu, struct kf_view_gpu *out)
{
	unsigned i;

	out->index = gpu->index;
	out->minor = gpu->minor;
	memcpy(out->uuid, gpu->uuid, sizeof(out->uuid));
	memcpy(out->name, gpu->name, sizeof(out->name));
	memcpy(out->bus_id, gpu->bus_id, sizeof(out->bus_id));
	out->answers = gpu->state == KF_GPU_OK;
	out->mig = gpu->mig_current;
	out->units = gpu->shape.units;
	out->memory_mib = gpu->memory_mib;
	for (i = 0; i < gpu->shape.n; i++)
		if (gpu->shape.profile[i].sm > out->sm)
			out->sm = gpu->shape.profile[i].sm;
	out->sharing = sharing_of(from, gpu->uuid);
	out->health =
		health_of(from, gpu->uuid, KF_NONE, KF_NONE, out->ailment, sizeof(out->ailment));
	if (!out->answers)
		snprintf(out->ailment, sizeof(out->ailment), "%s", gpu->trouble);
	take_xids(from, out);
}

static void take_slice(const struct kf_shown *from, unsigned g, const struct kf_instance *in,
		       const struct kf_ci *ci, struct kf_view_slice *out)
{
	const struct kf_gpu *gpu = &from->node->gpu[g];
	const struct kf_profile *profile =
		in->profile < gpu->shape.n ? &gpu->shape.profile[in->profile] : NULL;

	out->gpu = g;
	out->gi = in->id;
	out->ci = ci->id;
	memcpy(out->uuid, ci->uuid, sizeof(out->uuid));
	memcpy(out->name, ci->name, sizeof(out->name));
	snprintf(out->profile, sizeof(out->profile), "%s", profile ? profile->name : ci->name);
	out->start = in->start;
	out->size = profile ? profile->size : 0;
	out->sm = ci->sm;
	if (!out->sm && profile && ci->profile < profile->n_ci)
		out->sm = profile->ci[ci->profile].sm;
	out->memory_mib = ci->memory_mib ? ci->memory_mib : profile ? profile->memory_mib : 0;
	out->n_cis = in->n_ci;
	out->sharing = sharing_of(from, ci->uuid);
	out->health = health_of(from, gpu->uuid, in->id, ci->id, NULL, 0);
	out->withdrawn = from->withdrawn && from->withdrawn(from->ud, ci->uuid);
}

/* By start; an insertion into those of its GPU that are there already. */
static void insert_slice(struct kf_view *v, unsigned first, const struct kf_view_slice *slice)
{
	unsigned i = v->n_slices++;

	for (; i > first &&
	       (v->slice[i - 1].start > slice->start ||
		(v->slice[i - 1].start == slice->start && v->slice[i - 1].ci > slice->ci));
	     i--)
		v->slice[i] = v->slice[i - 1];
	v->slice[i] = *slice;
}

static void take_slices(const struct kf_shown *from, unsigned g, struct kf_view *v)
{
	const struct kf_gpu *gpu = &from->node->gpu[g];
	unsigned first = v->n_slices, i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++) {
			struct kf_view_slice slice = {0};

			take_slice(from, g, &gpu->instance[i], &gpu->instance[i].ci[c], &slice);
			insert_slice(v, first, &slice);
		}
}

/* --- pods ---------------------------------------------------------------------------------- */

/* Which device a hold is of; 0: of none that is there. */
static int place_of(const struct kf_view *v, const char *id, unsigned *g, unsigned *s)
{
	*s = KF_NONE;
	for (*g = 0; *g < v->n_gpus; (*g)++)
		if (!strcmp(v->gpu[*g].uuid, id))
			return 1;
	for (*s = 0; *s < v->n_slices; (*s)++)
		if (!strcmp(v->slice[*s].uuid, id)) {
			*g = v->slice[*s].gpu;
			return 1;
		}
	return 0;
}

static int is_there(const struct kf_view *v, const struct kf_view_pod *pod)
{
	unsigned i;

	for (i = 0; i < v->n_pods; i++)
		if (v->pod[i].gpu == pod->gpu && v->pod[i].slice == pod->slice &&
		    !strcmp(v->pod[i].name, pod->name) &&
		    !strcmp(v->pod[i].pod_namespace, pod->pod_namespace) &&
		    !strcmp(v->pod[i].container, pod->container) && pod->name[0])
			return 1;
	return 0;
}

static void take_pods(const struct kf_shown *from, struct kf_view *v, unsigned room)
{
	unsigned i;

	for (i = 0; i < from->holds->n; i++) {
		const struct kf_hold *hold = &from->holds->hold[i];
		struct kf_view_pod pod = {0};

		if (hold->by != KF_HOLD_POD || !hold->sold[0] ||
		    !place_of(v, hold->id, &pod.gpu, &pod.slice))
			continue;
		memcpy(pod.pod_namespace, hold->pod_namespace, sizeof(pod.pod_namespace));
		memcpy(pod.name, hold->pod_name, sizeof(pod.name));
		memcpy(pod.uid, hold->pod_uid, sizeof(pod.uid));
		memcpy(pod.container, hold->container, sizeof(pod.container));
		memcpy(pod.resource, hold->resource, sizeof(pod.resource));
		memcpy(pod.sold, hold->sold, sizeof(pod.sold));
		if (is_there(v, &pod))
			continue;
		if (v->n_pods < room)
			v->pod[v->n_pods++] = pod;
		else
			v->counts.pods_dropped++;
	}
}

/* --- what waits ---------------------------------------------------------------------------- */

static void take_steps(const struct kf_shown *from, struct kf_view *v, unsigned room)
{
	unsigned i;

	for (i = 0; i < from->plan->n && v->n_waits < room; i++) {
		const struct kf_step *step = &from->plan->step[i];
		struct kf_view_wait *wait = &v->wait[v->n_waits];

		if (!step->blocked)
			continue;
		wait->gpu = step->gpu;
		kf_step_text(from->node, step, wait->text, sizeof(wait->text));
		v->n_waits++;
	}
}

static int take_waits(const struct kf_shown *from, struct kf_view *v)
{
	int has_plan = from->plan && from->node;
	unsigned room = has_plan ? from->plan->n_blocked : 0;

	if (has_plan) {
		v->steps_blocked = from->plan->n_blocked;
		v->steps_open = from->plan->n - from->plan->n_blocked;
	}
	room += from->waits && from->waits[0];
	if (room == 0)
		return 0;
	room = room < KF_VIEW_WAITS ? room : KF_VIEW_WAITS;
	v->wait = kf_calloc(room, sizeof(*v->wait));
	if (!v->wait)
		return -1;
	if (from->waits && from->waits[0]) {
		v->wait[0].gpu = KF_NONE;
		snprintf(v->wait[0].text, sizeof(v->wait[0].text), "%s", from->waits);
		v->n_waits = 1;
	}
	if (has_plan)
		take_steps(from, v, room);
	return 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

static unsigned count_slices(const struct kf_node *node)
{
	unsigned g, i, n = 0;

	for (g = 0; node && g < node->n_gpus; g++)
		for (i = 0; i < node->gpu[g].n_instances; i++)
			n += node->gpu[g].instance[i].n_ci;
	return n;
}

static void take_resources(const struct kf_shown *from, struct kf_view *v)
{
	unsigned i, d;

	for (i = 0; i < from->listed->n; i++) {
		const struct kf_offer *offer = &from->listed->offer[i];
		struct kf_view_resource *r = &v->resource[v->n_resources++];

		memcpy(r->name, offer->resource, sizeof(r->name));
		for (d = 0; d < offer->n; d++)
			*(offer->device[d].healthy ? &r->healthy : &r->unhealthy) += 1;
	}
}

static void take_words(const struct kf_shown *from, struct kf_view *v)
{
	snprintf(v->hostname, sizeof(v->hostname), "%s", from->hostname ? from->hostname : "");
	snprintf(v->config, sizeof(v->config), "%s", from->config ? from->config : "");
	snprintf(v->state, sizeof(v->state), "%s", from->state ? from->state : "");
	snprintf(v->reason, sizeof(v->reason), "%s", from->reason ? from->reason : "");
	if (from->node)
		snprintf(v->driver_version, sizeof(v->driver_version), "%s",
			 from->node->driver_version);
}

int kf_shown_view(const struct kf_shown *from, struct kf_view **ret, struct kf_error *err)
{
	unsigned n_gpus = from->node ? from->node->n_gpus : 0, g;
	unsigned room = from->holds->n < KF_VIEW_PODS ? from->holds->n : KF_VIEW_PODS;
	struct kf_view *v = kf_view_new(n_gpus, count_slices(from->node), room, from->listed->n);

	if (!v)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a view of the node");
	v->made_ms = kf_now_ms();
	v->epoch = from->epoch;
	v->driver_up = from->driver_up;
	v->ready = from->ready;
	v->counts = *from->counts;
	take_words(from, v);
	for (g = 0; g < n_gpus; g++) {
		take_gpu(from, &from->node->gpu[g], &v->gpu[v->n_gpus++]);
		take_slices(from, g, v);
	}
	take_pods(from, v, room);
	take_resources(from, v);
	if (take_waits(from, v) < 0) {
		kf_view_free(v);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for what waits");
	}
	*ret = v;
	return 0;
}
