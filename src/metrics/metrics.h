/*
 * What is measured and how it is had: hub, sampler and server together.
 *
 * The agent shows views and pauses the sampler; all else goes on by itself, on two threads that the
 * agent's loop never waits for.
 */
#pragma once

#include "metrics/expose.h"
#include "metrics/http.h"
#include "metrics/sampler.h"

struct kf_error;
struct kf_metrics;

struct kf_metrics_options {
	const char *listen;		 /* as for kf_http_start */
	const char *web_config;		 /* ditto */
	int page;			 /* serve it as well */
	struct kf_expose_options expose; /* `counters` is taken from `sampler`'s */
	struct kf_sampler_options sampler;
	/* The agent's loop is alive: 1 or 0.  Called on the server's thread. */
	int (*alive)(void *ud);
	void *ud;
};

/* Listen, serve, measure.  `note` as for kf_http_start.  0 and *ret, or negative. */
int kf_metrics_start(const struct kf_metrics_options *opt, char *note, size_t size,
		     struct kf_metrics **ret, struct kf_error *err);
/* Takes the view, as kf_hub_show; those who look at the page see it soon. */
void kf_metrics_show(struct kf_metrics *m, struct kf_view *view);
/* The node as JSON (node.h), the caller's to free; NULL: no memory.  From any thread; somebody
 * looks, so readings become quick. */
char *kf_metrics_node_json(struct kf_metrics *m, size_t *ret_n);
struct kf_hub *kf_metrics_hub(struct kf_metrics *m);
struct kf_sampler *kf_metrics_sampler(struct kf_metrics *m);
const char *kf_metrics_address(const struct kf_metrics *m);
/* As kf_http_reload. */
int kf_metrics_reload(struct kf_metrics *m, struct kf_error *err);
/* End.  1: a thread hangs in the driver still and is left behind with what it uses; 0: all is gone.
 */
int kf_metrics_stop(struct kf_metrics *m);
