/* A client, a stand-in API server and a loop, for tests that read like sentences. */
#pragma once

#include "kftest.h"

#include <jansson.h>
#include <uv.h>

#include "apiserver/apiserver.h"
#include "base/error.h"
#include "kube/http.h"
#include "kube/watch.h"

struct world {
	uv_loop_t loop;
	uv_timer_t alarm;
	int late;
	struct kf_sim_api *api;
	struct kf_kube_config *config, *open_config;
	struct kf_kube *kube; /* the client under test */
	struct kf_kube *sim;  /* another one, by which the test tells the server what to do */
	char *token;	      /* of the server */
};

/* Short times; options may be NULL.  The clients connect when first used. */
void world_start(struct world *w, const struct kf_sim_api_options *options);
/* Change w->config first, then this. */
void world_reopen(struct world *w);
void world_stop(struct world *w);

/* Run the loop until *flag is `want` or more; the test fails after ten seconds. */
void world_until(struct world *w, const int *flag, int want);
/* Run the loop for so long. */
void world_run_for(struct world *w, unsigned ms);

/* What came back of a request made here and now. */
struct reply {
	int came;
	long status;
	char body[4096];
	struct kf_error err;
};
void world_ask(struct world *w, const char *method, const char *path, const char *type,
	       const char *body, struct reply *ret);
/* Tell the server: "/sim/fault", "{...}". */
void world_tell(struct world *w, const char *path, const char *body);
/* A number out of /sim/stats. */
int world_stat(struct world *w, const char *key);
/* POST an object to the server as it is. */
void world_create(struct world *w, const char *path, const char *json);
void world_patch_node(struct world *w, const char *name, const char *json);
