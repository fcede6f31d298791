/*
 * The stage of `kerf demo`: a simulated machine, a stand-in API server and kubelet in this process,
 * and the real agent as a process of its own.  Everything lies in one temporary directory.
 */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "apiserver/apiserver.h"
#include "kubelet/standin.h"

#define STAGE_NODE "p4d"

struct kf_stage {
	char dir[64];	/* of everything */
	char self[512]; /* this program */
	uv_loop_t loop;
	uv_timer_t tick; /* so that waiting wakes up now and then */
	struct kf_sim_api *api;
	struct kf_sim_kubelet *kubelet;
	int agent; /* its pid */
	void (*on_pod)(void *ud, const struct kf_sim_pod *pod);
	void *ud;
};

/* Set the stage for `machine`; 0, or negative with everything taken down again. */
int kf_stage_open(struct kf_stage *s, const char *machine, struct kf_error *err);
/* End what was started, by id, and remove the directory. */
void kf_stage_close(struct kf_stage *s);

/* Run the loop until `condition` answers 1, at most `ms`: 1, or 0 when time ran out. */
int kf_stage_wait(struct kf_stage *s, int (*condition)(struct kf_stage *s, const void *arg),
		  const void *arg, unsigned ms);
/* Run the loop for so long, for readers. */
void kf_stage_pause(struct kf_stage *s, unsigned ms);

/* What `kubectl label node p4d KEY=VALUE` does. */
int kf_stage_label(struct kf_stage *s, const char *key, const char *value, struct kf_error *err);
/* A label or annotation of the Node; "" if it has none. */
void kf_stage_get(struct kf_stage *s, const char *what, const char *key, char *out, size_t size);
/* What `kerf status -o json` would show, asked of the agent; the caller's to json_decref, or NULL.
 */
json_t *kf_stage_status(struct kf_stage *s);
/* Print the end of the agent's log, for when something went wrong. */
void kf_stage_print_log(const struct kf_stage *s);
