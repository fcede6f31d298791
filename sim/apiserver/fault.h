/*
 * What shall go wrong: asked for over HTTP, for tests in any language.
 *
 * POST /sim/fault    {"method": "PATCH", "path": "/api/v1/nodes", "watch": false, ...}
 *	Requests of this method (any if left out) whose path begins so, watches only or no watches
 *	if "watch" is given, with "mentions" somewhere in what they send, get one of
 *	  "status": 429, "retryAfter": 1    a Status of that code (retryAfter: the header, seconds)
 *	  "drop": true                      the connection closed without an answer
 *	  "hang": true                      nothing at all, until the server ends or the client goes
 *	  "body": "text"                    200 and this instead of JSON
 *	and before that wait "delayMs".  "times": so many requests (left out: once; 0: from now on).
 *	{} takes all faults back.
 * POST /sim/watches  {"do": "end"}      every open watch ends in order
 *	"drop"      its connection is cut          "garbage"   it sends what is no JSON
 *	"midway"    it ends inside an event        "expire"    it gets an ERROR event 410
 *	"error"     an ERROR event 500             "bookmark"  a bookmark at once
 *	"stall"     it stays open and silent for ever, bookmarks included
 *	An order that comes before a watch has obeyed the last one takes its place.
 * POST /sim/expire   {}                   every version up to now is too old (410) for new watches
 * POST /sim/budget   {"allowed": 1}       so many more evictions are allowed; negative: any number
 * POST /sim/token    {"token": "x"}       only this one is good from now on; null: any
 * GET  /sim/stats    {"requests": n, "watches": n, "lists": n, "open": n, "refused": n,
 *		    "bookmarks": n}
 */
#pragma once

#include <jansson.h>

#include "base/text.h"

struct kf_error;

struct kf_sim_fault {
	char *method, *path, *mentions, *body;
	int watch; /* 1 only watches, 0 no watches, -1 either */
	int status, retry_after_s, drop, hang;
	unsigned delay_ms;
	int times; /* left; negative: for ever */
};

struct kf_sim_faults {
	struct kf_sim_fault *list;
	size_t n, capacity;
};

/* Take what /sim/fault was sent. 0, or negative: it makes no sense. */
int kf_sim_fault_add(struct kf_sim_faults *f, json_t *json, struct kf_error *err);
void kf_sim_faults_done(struct kf_sim_faults *f);
/*
 * The fault for this request, whose body is `sent` (or NULL), counted down: 1 and *ret with copies
 * (kf_sim_fault_done), 0 for none.
 */
int kf_sim_fault_for(struct kf_sim_faults *f, const char *method, const char *path, int watch,
		     const char *sent, struct kf_sim_fault *ret);
void kf_sim_fault_done(struct kf_sim_fault *fault);
