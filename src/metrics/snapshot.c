/* Values that readers share, and the one place that has the latest of them; see snapshot.h. */
#include "metrics/snapshot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

/* A reading is stale when it is older than so many intervals and a second. */
#define STALE_INTERVALS 3
#define STALE_MS	1000

const unsigned kf_view_bucket_ms[KF_VIEW_BUCKETS - 1] = {50, 100, 250, 500, 1000, 2500, 10000};

const char *kf_absent_text(enum kf_absent why)
{
	static const char *const text[KF_N_ABSENT] = {
		[KF_ABSENT_NOT] = "",
		[KF_ABSENT_MPS] = "mps",
		[KF_ABSENT_SLICE] = "slice",
		[KF_ABSENT_DRIVER] = "driver",
		[KF_ABSENT_PROCESSES] = "processes",
	};

	return text[why];
}

/* --- view and reading ---------------------------------------------------------------------- */

static void free_view(struct kf_view *v)
{
	free(v->gpu);
	free(v->slice);
	free(v->pod);
	free(v->resource);
	free(v->wait);
	free(v->event);
	free(v);
}

struct kf_view *kf_view_new(unsigned n_gpus, unsigned n_slices, unsigned n_pods,
			    unsigned n_resources)
{
	struct kf_view *v = kf_calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->refs = 1;
	v->gpu = kf_calloc(n_gpus, sizeof(*v->gpu));
	v->slice = kf_calloc(n_slices, sizeof(*v->slice));
	v->pod = kf_calloc(n_pods, sizeof(*v->pod));
	v->resource = kf_calloc(n_resources, sizeof(*v->resource));
	if (!v->gpu || !v->slice || !v->pod || !v->resource) {
		free_view(v);
		return NULL;
	}
	return v;
}

struct kf_view *kf_view_free(struct kf_view *v)
{
	if (v && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free_view(v);
	return NULL;
}

static void free_reading(struct kf_reading *r)
{
	free(r->instance);
	free(r->process);
	free(r->pod);
	free(r);
}

struct kf_reading *kf_reading_new(unsigned n_instances, unsigned n_processes, unsigned n_pods)
{
	struct kf_reading *r = kf_calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->refs = 1;
	r->instance = kf_calloc(n_instances, sizeof(*r->instance));
	r->process = kf_calloc(n_processes, sizeof(*r->process));
	r->pod = kf_calloc(n_pods, sizeof(*r->pod));
	if (!r->instance || !r->process || !r->pod) {
		free_reading(r);
		return NULL;
	}
	return r;
}

struct kf_reading *kf_reading_free(struct kf_reading *r)
{
	if (r && __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free_reading(r);
	return NULL;
}

const struct kf_values *kf_reading_instance(const struct kf_reading *r, unsigned gi)
{
	unsigned i;

	for (i = 0; r && i < r->n_instances; i++)
		if (r->instance[i].gi == gi)
			return &r->instance[i].values;
	return NULL;
}

/* --- the hub ------------------------------------------------------------------------------- */

struct kf_hub {
	pthread_mutex_t lock; /* of pointers and numbers: nobody works while holding it */
	struct kf_view *view;
	unsigned n;
	struct kf_reading *reading[KF_MAX_GPUS];
	struct kf_sampler_counts counts;
	unsigned interval_ms;
	uint64_t looked_ms; /* 0: never */
};

struct kf_hub *kf_hub_new(void)
{
	struct kf_hub *hub = kf_calloc(1, sizeof(*hub));

	if (hub)
		pthread_mutex_init(&hub->lock, NULL);
	return hub;
}

struct kf_hub *kf_hub_free(struct kf_hub *hub)
{
	unsigned i;

	if (!hub)
		return NULL;
	kf_view_free(hub->view);
	for (i = 0; i < hub->n; i++)
		kf_reading_free(hub->reading[i]);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
	return NULL;
}

void kf_hub_show(struct kf_hub *hub, struct kf_view *view)
{
	struct kf_view *old;

	pthread_mutex_lock(&hub->lock);
	old = hub->view;
	hub->view = view;
	pthread_mutex_unlock(&hub->lock);
	kf_view_free(old);
}

static struct kf_view *view_ref(struct kf_view *v)
{
	if (v)
		__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
	return v;
}

static struct kf_reading *reading_ref(struct kf_reading *r)
{
	if (r)
		__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

struct kf_view *kf_hub_view(struct kf_hub *hub)
{
	struct kf_view *v;

	pthread_mutex_lock(&hub->lock);
	v = view_ref(hub->view);
	pthread_mutex_unlock(&hub->lock);
	return v;
}

/* The place of this GPU's reading; hub->n if it has none. */
static unsigned find(const struct kf_hub *hub, const char *uuid)
{
	unsigned i;

	for (i = 0; i < hub->n; i++)
		if (!strcmp(hub->reading[i]->uuid, uuid))
			break;
	return i;
}

struct kf_reading *kf_hub_reading(struct kf_hub *hub, const char *uuid)
{
	struct kf_reading *r = NULL;
	unsigned i;

	pthread_mutex_lock(&hub->lock);
	i = find(hub, uuid);
	if (i < hub->n)
		r = reading_ref(hub->reading[i]);
	pthread_mutex_unlock(&hub->lock);
	return r;
}

/* A place for one more: a free one, or that of a GPU that the view does not have any more. */
static unsigned make_place(struct kf_hub *hub)
{
	unsigned i, g;

	if (hub->n < KF_MAX_GPUS) {
		hub->reading[hub->n] = NULL;
		return hub->n++;
	}
	for (i = 0; i < hub->n; i++) {
		for (g = 0; hub->view && g < hub->view->n_gpus; g++)
			if (!strcmp(hub->view->gpu[g].uuid, hub->reading[i]->uuid))
				break;
		if (!hub->view || g == hub->view->n_gpus)
			return i;
	}
	return 0;
}

void kf_hub_tell(struct kf_hub *hub, struct kf_reading *reading)
{
	struct kf_reading *old;
	unsigned i;

	pthread_mutex_lock(&hub->lock);
	i = find(hub, reading->uuid);
	if (i == hub->n)
		i = make_place(hub);
	old = hub->reading[i];
	hub->reading[i] = reading;
	pthread_mutex_unlock(&hub->lock);
	kf_reading_free(old);
}

void kf_hub_take(struct kf_hub *hub, struct kf_snapshot *ret)
{
	uint64_t now = kf_now_ms();
	unsigned g;

	*ret = (struct kf_snapshot){0};
	pthread_mutex_lock(&hub->lock);
	ret->view = view_ref(hub->view);
	ret->counts = hub->counts;
	ret->interval_ms = hub->interval_ms;
	for (g = 0; ret->view && g < ret->view->n_gpus && g < KF_MAX_GPUS; g++) {
		unsigned i = find(hub, ret->view->gpu[g].uuid);
		uint64_t patience = (uint64_t)STALE_INTERVALS * hub->interval_ms + STALE_MS;

		if (i < hub->n)
			ret->reading[g] = reading_ref(hub->reading[i]);
		ret->stale[g] = !ret->reading[g] || ret->reading[g]->at_ms + patience < now;
	}
	pthread_mutex_unlock(&hub->lock);
}

void kf_snapshot_done(struct kf_snapshot *snap)
{
	unsigned g;

	for (g = 0; g < KF_MAX_GPUS; g++)
		kf_reading_free(snap->reading[g]);
	kf_view_free(snap->view);
	*snap = (struct kf_snapshot){0};
}

void kf_hub_looked(struct kf_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	hub->looked_ms = kf_now_ms();
	pthread_mutex_unlock(&hub->lock);
}

uint64_t kf_hub_idle_ms(struct kf_hub *hub)
{
	uint64_t ms;

	pthread_mutex_lock(&hub->lock);
	ms = hub->looked_ms ? kf_now_ms() - hub->looked_ms : UINT64_MAX;
	pthread_mutex_unlock(&hub->lock);
	return ms;
}

void kf_hub_set_interval(struct kf_hub *hub, unsigned ms)
{
	pthread_mutex_lock(&hub->lock);
	hub->interval_ms = ms;
	pthread_mutex_unlock(&hub->lock);
}

void kf_hub_count(struct kf_hub *hub, const struct kf_sampler_counts *more)
{
	pthread_mutex_lock(&hub->lock);
	hub->counts.reads += more->reads;
	hub->counts.failed_reads += more->failed_reads;
	hub->counts.hung_calls += more->hung_calls;
	hub->counts.scrapes += more->scrapes;
	hub->counts.refused_scrapes += more->refused_scrapes;
	pthread_mutex_unlock(&hub->lock);
}
