/*
 * Server-sent events: the node as it is, to everybody who listens.
 *
 * A thread of its own makes one text a second, and another soon after kf_live_nudge, while somebody
 * listens, and sleeps else.  All listeners share that text; who is not done with one when the next
 * is there gets the newest afterwards, and who takes nothing for KF_LIVE_SLOW_MS is cut off: a slow
 * reader costs a connection and one old text for so long, and holds up nobody.
 */
#pragma once

#include <stddef.h>

#include "metrics/http.h"

struct kf_error;
struct kf_live;

#define KF_LIVE_LISTENERS 8 /* of KF_HTTP_CONNECTIONS */
#define KF_LIVE_TICK_MS	  1000
#define KF_LIVE_SOON_MS	  200 /* texts are no closer together than this */
#define KF_LIVE_SLOW_MS	  5000
#define KF_LIVE_LIFE_MS	  600000 /* of one stream; a browser asks again */

/* The text of now, in one line, the caller's to free; NULL: none this time.  Called on live's own
 * thread. */
typedef char *kf_live_maker(void *ud, size_t *n);

/* 0 and *ret, or negative: no memory or no thread. */
int kf_live_start(kf_live_maker *make, void *ud, struct kf_live **ret, struct kf_error *err);
/* Something has changed that should be seen soon.  From any thread; waits for nothing. */
void kf_live_nudge(struct kf_live *live);
/* An answer for the request: a stream, or 503 where there are enough of them. */
void kf_live_join(struct kf_live *live, const struct kf_http_request *request,
		  struct kf_http_answer *ret);
/* As kf_http_options.hush: streams end, and new ones begin again. */
void kf_live_hush(struct kf_live *live, int on);
/* After the server's end. */
void kf_live_stop(struct kf_live *live);
