/*
 * One exchange with the API server: an easy handle of libcurl on the loop.
 *
 * What arrives is kept in `in` and told after libcurl has returned, so that a callback may do
 * anything: start, stop, close.
 */
#pragma once

#include <curl/curl.h>

#include "base/text.h"

struct kf_error;
struct kf_kube;

struct kf_transfer {
	struct kf_kube *kube;
	size_t limit; /* of `in`; more is a failure */
	/* Bytes have come into `in`; the callee empties it.  NULL: they gather until done. */
	void (*bytes)(void *ud);
	/* It is over; err is NULL if the server ended it in order. */
	void (*done)(void *ud, const struct kf_error *err);
	void *ud;

	struct kf_text in;
	long status;		  /* HTTP, from the first byte or done on */
	long retry_after_s;	  /* from the header, at done; 0 if there was none */
	unsigned long long total; /* bytes of this exchange so far */

	CURL *easy; /* NULL until first started */
	struct curl_slist *headers;
	struct kf_transfer *next;
	int active, told, over_limit, finished;
	CURLcode result;
	char text[CURL_ERROR_SIZE];
};

struct kf_transfer_ask {
	const char *method, *path;
	const char *accept;	  /* NULL: application/json */
	const char *content_type; /* with a body */
	const char *body;	  /* borrowed until it is over */
	const char *token, *cert_file, *key_file;
	long timeout_ms; /* for all of it; 0: none */
	int last;	 /* the connection closes behind it */
};

/* Fill in t->kube and the callbacks first.  0, or negative and nothing will come. */
int kf_transfer_start(struct kf_transfer *t, const struct kf_transfer_ask *ask,
		      struct kf_error *err);
/* Nothing comes any more; fine if nothing is under way. */
void kf_transfer_stop(struct kf_transfer *t);
/* Stop, and give the memory back. */
void kf_transfer_done(struct kf_transfer *t);

/* loop.c: libcurl has something to tell about a transfer; tells it. */
void kf_transfer_settle(struct kf_kube *k);
