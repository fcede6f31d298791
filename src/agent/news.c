/* What has happened lately; see news.h. */
#include "agent/news.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

/* With more pods than these comparing each with each is not worth it. */
#define COMPARED 256

void kf_news_add(struct kf_news *news, int warning, const char *text)
{
	struct kf_view_event *e = &news->at[news->next];

	e->wall_ms = kf_wall_ms();
	e->warning = warning;
	snprintf(e->text, sizeof(e->text), "%s", text);
	kf_mend_utf8(e->text);
	news->next = (news->next + 1) % KF_VIEW_EVENTS;
	if (news->n < KF_VIEW_EVENTS)
		news->n++;
}

/* --- pods ---------------------------------------------------------------------------------- */

static const char *device_of(const struct kf_view *v, const struct kf_view_pod *pod)
{
	return pod->slice == KF_NONE ? v->gpu[pod->gpu].uuid : v->slice[pod->slice].uuid;
}

static int has_pod(const struct kf_view *v, const struct kf_view_pod *pod, const char *device)
{
	unsigned i;

	for (i = 0; i < v->n_pods; i++)
		if (!strcmp(v->pod[i].name, pod->name) &&
		    !strcmp(v->pod[i].pod_namespace, pod->pod_namespace) &&
		    !strcmp(v->pod[i].container, pod->container) &&
		    !strcmp(device_of(v, &v->pod[i]), device))
			return 1;
	return 0;
}

static void add_pod(struct kf_news *news, const struct kf_view *v, const struct kf_view_pod *pod,
		    const char *verb)
{
	const struct kf_view_slice *slice = pod->slice == KF_NONE ? NULL : &v->slice[pod->slice];
	char text[sizeof(news->at[0].text)];

	if (slice)
		snprintf(text, sizeof(text), "pod %.63s/%.100s %s %s at %u of gpu %u",
			 pod->pod_namespace, pod->name, verb, slice->name, slice->start,
			 v->gpu[pod->gpu].index);
	else
		snprintf(text, sizeof(text), "pod %.63s/%.100s %s gpu %u", pod->pod_namespace,
			 pod->name, verb, v->gpu[pod->gpu].index);
	kf_news_add(news, 0, text);
}

/* Those of `a` that `b` has not.  A pod without a name yet is none that could be spoken of. */
static void add_differing(struct kf_news *news, const struct kf_view *a, const struct kf_view *b,
			  const char *verb)
{
	unsigned i;

	for (i = 0; i < a->n_pods; i++)
		if (a->pod[i].name[0] && !has_pod(b, &a->pod[i], device_of(a, &a->pod[i])))
			add_pod(news, a, &a->pod[i], verb);
}

void kf_news_add_pods(struct kf_news *news, const struct kf_view *before, const struct kf_view *now)
{
	if (!before || before->n_pods > COMPARED || now->n_pods > COMPARED)
		return;
	add_differing(news, before, now, "leaves");
	add_differing(news, now, before, "has");
}

int kf_news_show(const struct kf_news *news, struct kf_view *view, struct kf_error *err)
{
	unsigned i, first = (news->next + KF_VIEW_EVENTS - news->n) % KF_VIEW_EVENTS;

	if (news->n == 0)
		return 0;
	view->event = kf_calloc(news->n, sizeof(*view->event));
	if (!view->event)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for recent events");
	for (i = 0; i < news->n; i++)
		view->event[i] = news->at[(first + i) % KF_VIEW_EVENTS];
	view->n_events = news->n;
	return 0;
}
