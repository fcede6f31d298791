/*
 * List a resource, then watch it.
 *
 * The idea: the caller sees one endless sequence
 *
 *	listing, object(LISTED)..., synced, object(ADDED|MODIFIED|DELETED)..., listing, ...
 *
 * and never a resource version.  What was known before `listing` and was not LISTED before `synced`
 * is gone: the caller compares.  A watch that ends is taken up where it stopped; one that has
 * expired (410) leads to a new listing.  Failures pause 0.8 s, then twice as long each time up to
 * 30 s, 20 % more or less.  Facts: kubernetes.md 5.3.
 *
 * The parser knows no socket: bytes in, events out.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/text.h"

struct kf_error;
struct kf_kube;
struct kf_watch;

/* --- bytes in, events out ------------------------------------------------------------------ */

#define KF_WATCH_OBJECT_LIMIT (16u << 20)

enum kf_watch_type {
	KF_WATCH_LISTED,
	KF_WATCH_ADDED,
	KF_WATCH_MODIFIED,
	KF_WATCH_DELETED,
	KF_WATCH_BOOKMARK, /* never given to `object` of kf_watch_events */
	KF_WATCH_ERROR,	   /* the object is a Status; never given to `object` of kf_watch_events */
};

/* Zeroed is empty. */
struct kf_watch_parser {
	struct kf_text text; /* the event under way */
	size_t scanned;
	unsigned depth;
	unsigned char in_string, escaped, broken;
};

/* One event; `object` is borrowed.  Return non-zero to stop feeding: that is kf_watch_feed's
 * answer. */
typedef int (*kf_watch_event_cb)(void *ud, enum kf_watch_type type, json_t *object);

/*
 * Take n bytes of a watch's body, cut anywhere.  Events that are whole go to cb, in order.
 * 0; whatever positive cb returned; negative with a sentence: not JSON, no type, an unknown type,
 * an object over the limit, no memory.  After a negative answer the parser takes nothing more.
 */
int kf_watch_feed(struct kf_watch_parser *p, const char *bytes, size_t n, kf_watch_event_cb cb,
		  void *ud, struct kf_error *err);
/* Was the stream cut inside an event? */
int kf_watch_midway(const struct kf_watch_parser *p);
void kf_watch_parser_done(struct kf_watch_parser *p);

/* --- on a client --------------------------------------------------------------------------- */

struct kf_watch_events {
	void (*listing)(void *ud);					   /* may be NULL */
	void (*object)(void *ud, enum kf_watch_type type, json_t *object); /* object is borrowed */
	void (*synced)(void *ud);					   /* may be NULL */
	/* Something failed; the sentence ends in what is done ("...; again in 1.6 s").  May be
	 * NULL. */
	void (*trouble)(void *ud, const struct kf_error *err);
};

/* Ask for labels and annotations only (PartialObjectMetadata): less to read and to keep. */
#define KF_WATCH_METADATA 1

/*
 * Start.  `path` is the collection's ("/api/v1/nodes"), `field_selector` as the API writes it
 * ("metadata.name=a") or NULL; both are copied, and `events` is.
 *
 * 0 and *ret; the first event comes from the loop.  negative: no memory, the client is closing.
 */
int kf_watch_start(struct kf_kube *k, const char *path, const char *field_selector, unsigned flags,
		   const struct kf_watch_events *events, void *ud, struct kf_watch **ret,
		   struct kf_error *err);

/* Stop and free; may be called from its own callbacks.  NULL is fine.  No callback comes after it.
 * The memory goes as the loop runs on. */
void kf_watch_stop(struct kf_watch *w);
