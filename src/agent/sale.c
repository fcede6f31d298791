/* One way at a time; see sale.h. */
#include "agent/sale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "model/share.h"

void kf_sale_done(struct kf_sale *s)
{
	kf_offers_done(&s->listed);
	free(s->mark);
	*s = (struct kf_sale){0};
}

/* --- looking up ---------------------------------------------------------------------------- */

/* Lists keep their order, so an id stands mostly where it stood: *hint, or else anywhere. */
static const struct kf_offer_device *find_device(const struct kf_offer *offer, const char *id,
						 unsigned *hint)
{
	const struct kf_offer_device *d;

	if (!offer)
		return NULL;
	if (*hint < offer->n && !strcmp(offer->device[*hint].id, id))
		return &offer->device[(*hint)++];
	d = kf_offer_find(offer, id);
	if (d)
		*hint = (unsigned)(d - offer->device) + 1;
	return d;
}

static int is_in(const struct kf_offers *o, const char *resource, const char *id)
{
	unsigned hint = 0;

	return find_device(kf_offers_find(o, resource), id, &hint) != NULL;
}

static int is_mark(const struct kf_sale_mark *m, const char *resource, const char *id)
{
	return !strcmp(m->id, id) && !strcmp(m->resource, resource);
}

/* As find_device: a mark stands mostly behind the one found before. */
static const struct kf_sale_mark *find_mark(const struct kf_sale *s, const char *resource,
					    const char *id, unsigned *hint)
{
	unsigned i;

	if (*hint < s->n_marks && is_mark(&s->mark[*hint], resource, id))
		return &s->mark[(*hint)++];
	for (i = 0; i < s->n_marks; i++)
		if (is_mark(&s->mark[i], resource, id)) {
			*hint = i + 1;
			return &s->mark[i];
		}
	return NULL;
}

static int is_held(const struct kf_holds *holds, const char *resource, const char *id)
{
	unsigned i;

	for (i = 0; i < holds->n; i++)
		if (!strcmp(holds->hold[i].sold, id) && !strcmp(holds->hold[i].resource, resource))
			return 1;
	return 0;
}

/* The GPU that an id is of or on; NULL: it is not there any more. */
static const struct kf_gpu *gpu_of(const struct kf_node *node, const char *id)
{
	struct kf_slice_ref slice;
	char device[KF_UUID];

	kf_share_device_id(id, device);
	if (kf_node_find_slice(node, device, &slice))
		return slice.gpu;
	return kf_node_find_gpu(node, device);
}

/* --- the old way --------------------------------------------------------------------------- */

struct making {
	const struct kf_sale *was;
	const struct kf_offers *wanted;
	const struct kf_node *node;
	const struct kf_holds *holds;
	struct kf_sale next;
	unsigned hint; /* into was->mark */
	int failed;
};

static struct kf_sale_mark *add_mark(struct making *m, const char *resource, const char *id,
				     const struct kf_sale_mark *before)
{
	struct kf_sale *next = &m->next;
	struct kf_sale_mark *mark;

	if (kf_grow(&next->mark, &next->capacity, next->n_marks + 1, sizeof(*mark)) < 0) {
		m->failed = 1;
		return NULL;
	}
	mark = &next->mark[next->n_marks++];
	*mark = (struct kf_sale_mark){.since = m->next.listing,
				      .held = is_held(m->holds, resource, id)};
	snprintf(mark->resource, sizeof(mark->resource), "%s", resource);
	snprintf(mark->id, sizeof(mark->id), "%s", id);
	if (before) {
		mark->since = before->since;
		mark->clear = before->clear;
	}
	return mark;
}

/* Its GPU was taken apart or put together by the driver: that way of selling is over already. */
static int mode_changed(const struct making *m, const struct kf_gpu *gpu)
{
	return m->was->seen && m->was->mig_was[gpu->index % KF_MAX_GPUS] != gpu->mig_current;
}

static void leave_one(struct making *m, const char *resource, const char *id)
{
	const struct kf_gpu *gpu = gpu_of(m->node, id);
	const struct kf_sale_mark *before;
	struct kf_sale_mark *mark;
	int held = is_held(m->holds, resource, id);

	if (!gpu || (!held && mode_changed(m, gpu)))
		return;
	before = find_mark(m->was, resource, id, &m->hint);
	if (!held && before && before->clear)
		return;
	mark = add_mark(m, resource, id, before);
	if (mark)
		mark->leaving = 1;
}

/* What was listed or is held, and is not wanted: marked as leaving, as long as it must stay. */
static void find_leaving(struct making *m)
{
	unsigned o, d, h, hint = 0;

	for (o = 0; o < m->was->listed.n; o++) {
		const struct kf_offer *offer = &m->was->listed.offer[o];
		const struct kf_offer *now = kf_offers_find(m->wanted, offer->resource);

		for (d = 0, hint = 0; d < offer->n; d++)
			if (!find_device(now, offer->device[d].id, &hint))
				leave_one(m, offer->resource, offer->device[d].id);
	}
	for (h = 0; h < m->holds->n; h++) {
		const struct kf_hold *hold = &m->holds->hold[h];

		if (hold->by == KF_HOLD_POD && hold->sold[0] &&
		    !is_in(m->wanted, hold->resource, hold->sold) &&
		    !is_in(&m->was->listed, hold->resource, hold->sold) &&
		    !find_mark(&m->next, hold->resource, hold->sold, &hint))
			leave_one(m, hold->resource, hold->sold);
	}
}

/* --- the new way --------------------------------------------------------------------------- */

/* Do the devices of two ids overlap: the same, or a GPU and a slice of it? */
static int overlap(const struct kf_node *node, const char *a, const char *b)
{
	const struct kf_gpu *gpu;
	char x[KF_UUID], y[KF_UUID];

	kf_share_device_id(a, x);
	kf_share_device_id(b, y);
	if (!strcmp(x, y))
		return 1;
	gpu = gpu_of(node, x);
	return gpu && gpu == gpu_of(node, y) && (!strcmp(gpu->uuid, x) || !strcmp(gpu->uuid, y));
}

/* Is its device still sold another way?  `leaving` are the first marks. */
static int is_blocked(const struct making *m, const char *id, unsigned n_leaving)
{
	unsigned i;

	for (i = 0; i < n_leaving; i++) {
		const struct kf_sale_mark *mark = &m->next.mark[i];

		if (i > 0 && kf_share_same_device(mark[-1].id, mark->id))
			continue; /* replicas stand beside each other */
		if (overlap(m->node, mark->id, id))
			return 1;
	}
	return 0;
}

static void list_one(struct making *m, const char *resource, const struct kf_offer_device *d,
		     int healthy)
{
	struct kf_offer *offer = kf_offers_need(&m->next.listed, resource);

	if (!offer || kf_offer_add(offer, d->id, healthy, d->numa) < 0)
		m->failed = 1;
}

static void list_wanted(struct making *m, const struct kf_offer *offer, unsigned n_leaving)
{
	const struct kf_offer *before = kf_offers_find(&m->was->listed, offer->resource);
	unsigned d, hint = 0;

	for (d = 0; d < offer->n; d++) {
		const struct kf_offer_device *one = &offer->device[d];
		int blocked = is_blocked(m, one->id, n_leaving);

		if (blocked && !find_device(before, one->id, &hint) &&
		    !is_held(m->holds, offer->resource, one->id))
			continue;
		list_one(m, offer->resource, one, one->healthy && !blocked);
		if (blocked || !one->healthy)
			add_mark(m, offer->resource, one->id,
				 find_mark(m->was, offer->resource, one->id, &m->hint));
	}
}

static void list_leaving(struct making *m, unsigned n_leaving)
{
	unsigned i;

	for (i = 0; i < n_leaving; i++) {
		const struct kf_sale_mark *mark = &m->next.mark[i];
		const struct kf_gpu *gpu = gpu_of(m->node, mark->id);
		struct kf_offer_device d = {.numa = gpu ? gpu->numa : -1};

		snprintf(d.id, sizeof(d.id), "%s", mark->id);
		list_one(m, mark->resource, &d, 0);
	}
}

static void remember_modes(struct making *m)
{
	unsigned g;

	for (g = 0; g < m->node->n_gpus; g++)
		m->next.mig_was[m->node->gpu[g].index % KF_MAX_GPUS] = m->node->gpu[g].mig_current;
	m->next.seen = 1;
}

int kf_sale_make(struct kf_sale *s, const struct kf_offers *wanted, const struct kf_node *node,
		 const struct kf_holds *holds, struct kf_error *err)
{
	struct making m = {.was = s, .wanted = wanted, .node = node, .holds = holds};
	unsigned o, n_leaving;

	m.next.listing = s->listing + 1;
	find_leaving(&m);
	n_leaving = m.next.n_marks;
	for (o = 0; o < wanted->n; o++)
		list_wanted(&m, &wanted->offer[o], n_leaving);
	list_leaving(&m, n_leaving);
	remember_modes(&m);
	if (m.failed) {
		kf_sale_done(&m.next);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of devices");
	}
	kf_sale_done(s);
	*s = m.next;
	return 0;
}

unsigned kf_sale_waiting(const struct kf_sale *s)
{
	unsigned i, n = 0;

	for (i = 0; i < s->n_marks; i++)
		n += s->mark[i].leaving && !s->mark[i].held && !s->mark[i].clear;
	return n;
}

unsigned kf_sale_held(const struct kf_sale *s)
{
	unsigned i, n = 0;

	for (i = 0; i < s->n_marks; i++)
		n += s->mark[i].leaving && s->mark[i].held;
	return n;
}

static int is_row(const struct kf_podresources_row *row, unsigned n, const struct kf_sale_mark *m)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (!strcmp(row[i].id, m->id) && !strcmp(row[i].resource, m->resource))
			return 1;
	return 0;
}

int kf_sale_clear(struct kf_sale *s, const struct kf_podresources_row *row, unsigned n,
		  unsigned asked)
{
	unsigned i;
	int some = 0;

	for (i = 0; i < s->n_marks; i++) {
		struct kf_sale_mark *m = &s->mark[i];

		/* one that was on sale again since the question is not what the answer is about */
		if (m->clear || m->since > asked || is_row(row, n, m))
			continue;
		m->clear = 1;
		some |= m->leaving;
	}
	return some;
}

void kf_sale_clear_all(struct kf_sale *s)
{
	unsigned i;

	for (i = 0; i < s->n_marks; i++)
		s->mark[i].clear = 1;
}
