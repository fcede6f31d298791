/*
 * Requests to the API server, on a uv loop: libcurl's multi interface, one connection for requests
 * (made anew for each burst of them, since an idle TLS connection costs memory) and one for each
 * watch.
 *
 * Requests are carried out one after the other in the order they were made, so that a later patch
 * can never be overtaken by an earlier one.  A 429 or 503 that names a Retry-After (seconds) is
 * tried again up to four times, then becomes the answer; a 401 makes us read or ask for the
 * credentials again, once.  Everything else, a connection that fails included, is the caller's to
 * try again.  All callbacks come from the loop, never from inside a call of this header.
 */
#pragma once

#include <stddef.h>
#include <uv.h>

#include "kube/config.h"

struct kf_error;
struct kf_kube;
struct kf_text;

#define KF_KUBE_BODY_LIMIT (16u << 20)

#define KF_KUBE_JSON  "application/json"
#define KF_KUBE_MERGE "application/merge-patch+json"

/* What came back; borrowed for the callback. */
struct kf_kube_answer {
	const char *method, *path; /* the request's */
	long status;		   /* HTTP; 0 if there was no answer, and err says why */
	const char *body;	   /* NUL-terminated; "" if none */
	size_t n;
	const struct kf_error *err; /* NULL if there was an answer, whatever its status */
};

typedef void (*kf_kube_answer_cb)(void *ud, const struct kf_kube_answer *answer);

/*
 * Open a client.  Takes no connection yet.  `config` is borrowed until kf_kube_close is done.
 * 0 and *ret; negative: KF_E_NOMEM, KF_E_SYSTEM, KF_E_INPUT (libcurl does not take an option).
 */
int kf_kube_open(uv_loop_t *loop, const struct kf_kube_config *config, struct kf_kube **ret,
		 struct kf_error *err);

/*
 * Ask.  `path` begins with a slash and may hold a query; POST, PUT and PATCH get
 * ?fieldManager=kerf. `content_type` and `body` (copied) are NULL where there is no body.
 *
 * 0: cb comes exactly once, later, unless the client is closed or the request forgotten first.
 * negative: no memory, or the client is closing (KF_E_STATE); cb does not come.
 */
int kf_kube_request(struct kf_kube *k, const char *method, const char *path,
		    const char *content_type, const char *body, kf_kube_answer_cb cb, void *ud,
		    struct kf_error *err);

/* Callbacks that would get this `ud` never come; the requests are still made.  For owners that end
 * before their answers do. */
void kf_kube_forget(struct kf_kube *k, const void *ud);

/* Requests not answered yet. */
unsigned kf_kube_pending(const struct kf_kube *k);

/*
 * Close.  No callback of a request comes any more, those in flight are cut off; watches must have
 * been stopped.  `done` comes from the loop when every handle is closed and *k is freed; may be
 * NULL.
 */
void kf_kube_close(struct kf_kube *k, void (*done)(void *ud), void *ud);

/*
 * An answer as a result: 0 for 2xx.  Otherwise -1 and "PATCH /api/v1/nodes/a: 403 Forbidden: nodes
 * "a" is forbidden: ..." from the Status object that came (KF_E_REMOTE, detail is the HTTP status),
 * or what went wrong on the way.
 */
int kf_kube_check(const struct kf_kube_answer *answer, struct kf_error *err);

/*
 * Append one segment of a path, percent-encoded.  Names come from the API and may be hostile:
 * nothing in one can end the segment.  -1 (KF_E_INPUT) for "", "." and "..", and for names over 253
 * bytes.
 */
int kf_kube_segment(struct kf_text *path, const char *name, struct kf_error *err);
/* Append the value of a query parameter, percent-encoded. */
void kf_kube_query(struct kf_text *path, const char *value);

/* "kerf/0.1.0" */
const char *kf_kube_user_agent(void);
