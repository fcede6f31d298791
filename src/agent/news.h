/*
 * What has happened lately, as sentences for the page and `kerf top`: what the agent tells the
 * Node's Events, steps that were carried out, XIDs, and pods that come and go.
 */
#pragma once

#include "base/error.h"
#include "metrics/snapshot.h"

/* The latest KF_VIEW_EVENTS, in a ring.  Zeroed is empty. */
struct kf_news {
	unsigned n, next;
	struct kf_view_event at[KF_VIEW_EVENTS];
};

/* `text` is cut to fit, and mended where it is no UTF-8. */
void kf_news_add(struct kf_news *news, int warning, const char *text);
/* The pods that `now` has and `before` (may be NULL: then none is news) has not, and the other way
 * round. */
void kf_news_add_pods(struct kf_news *news, const struct kf_view *before,
		      const struct kf_view *now);
/* Into view->event, the oldest first.  0, or -1: no memory, and there are none. */
int kf_news_show(const struct kf_news *news, struct kf_view *view, struct kf_error *err);
