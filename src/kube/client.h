/* The inside of struct kf_kube, for the files of this folder. */
#pragma once

#include <curl/curl.h>
#include <uv.h>

#include "kube/auth.h"
#include "kube/http.h"
#include "kube/transfer.h"

struct kf_request; /* http.c */
struct kf_socket;  /* loop.c */

/* Told when credentials that were waited for may be had. */
struct kf_waiter {
	void (*ready)(void *ud);
	void *ud;
	struct kf_waiter *next;
};

struct kf_kube {
	uv_loop_t *loop;
	const struct kf_kube_config *config;
	struct kf_auth *auth;
	struct kf_waiter *waiters; /* watches */

	/* loop.c */
	CURLM *multi;
	uv_timer_t curl_timer;
	struct kf_transfer *transfers; /* those under way */

	/* http.c */
	struct kf_transfer transfer;	  /* of requests; one handle, used again and again */
	uv_timer_t pump;		  /* takes up the next request; waits for Retry-After */
	struct kf_request *first, **last; /* the first one is under way or waits */
	int under_way;
	unsigned n_pending;

	char *base;		       /* the server, by the name that its certificate has */
	struct curl_slist *connect_to; /* the address behind that name, or NULL */
	char *host_header;	       /* "Host: ..." if base is not the server's own name */

	int closing;
	unsigned n_open; /* handles, and the credentials, not closed yet */
	void (*done)(void *ud);
	void *ud;
};

/* A request of this folder's own helpers. */
struct kf_kube_ask {
	const char *method, *path, *content_type, *body;
	int once; /* no second try on 429 and 503: the caller wants that answer */
};

/*
 * kf_kube_request for them.  Takes `owned` on success: cb gets it, and it is freed with the
 * request, whether cb came or not.  `owner` is what kf_kube_forget knows the request by.
 */
int kf_kube_request_for(struct kf_kube *k, const struct kf_kube_ask *ask, kf_kube_answer_cb cb,
			void *owned, const void *owner, struct kf_error *err);

/* node.c: "/api/v1/nodes/NAME" and what stands below; the caller's to free.  NULL: *err. */
char *kf_kube_node_path(const char *name, const char *below, struct kf_error *err);
/* As kf_kube_check; KF_KUBE_CONFLICT and KF_KUBE_GONE for 409 and 404 (node.h), and *err as well.
 */
int kf_kube_node_result(const struct kf_kube_answer *answer, struct kf_error *err);

/* loop.c: libcurl on the loop. */
int kf_loop_open(struct kf_kube *k, struct kf_error *err);
void kf_loop_close(struct kf_kube *k); /* uv handles still have to close: n_open */
/* One of those that n_open counts is closed; the last frees k. */
void kf_kube_one_closed(struct kf_kube *k);
