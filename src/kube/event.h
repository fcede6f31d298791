/*
 * Events about our Node, such that `kubectl describe node` and `kubectl get events` show them.
 *
 * core/v1 Events in the namespace `default`, the Node's name in place of its uid as the kubelet
 * does it (kubectl looks for both).  The same type, reason and note within ten minutes becomes a
 * count on the first Event; and there is an allowance of 25 at once, then one every ten seconds,
 * beyond which they are counted and dropped.  An Event is news, not state: one that the server
 * does not take is reported once by `trouble` and not tried again.
 */
#pragma once

#include "kube/http.h"

struct kf_events;

#define KF_EVENT_NORMAL	 "Normal"
#define KF_EVENT_WARNING "Warning"

#define KF_EVENT_NOTE_MAX 1024 /* bytes of a note; what is longer is cut and ends in "..." */

/* `trouble` may be NULL. */
int kf_events_new(struct kf_kube *k, const char *node_name,
		  void (*trouble)(void *ud, const struct kf_error *err), void *ud,
		  struct kf_events **ret, struct kf_error *err);
/* To be called before the client is closed.  Events under way are still sent. */
struct kf_events *kf_events_free(struct kf_events *e);
KF_DEFINE_AUTO(struct kf_events, kf_events_free)

#define KF_EVENT_REPEATED 1 /* counted on an earlier Event */
#define KF_EVENT_DROPPED  2 /* over the allowance */

/*
 * Tell.  `reason` is a word in CamelCase ("MigConfigFailed"), `action` what was being done
 * ("Repartition"), `note` a sentence; all are copied.
 * 0 (a new Event), KF_EVENT_REPEATED, KF_EVENT_DROPPED; negative: no memory or the client closes.
 */
int kf_events_tell(struct kf_events *e, const char *type, const char *reason, const char *action,
		   const char *note, struct kf_error *err);

/* Dropped so far. */
unsigned long kf_events_dropped(const struct kf_events *e);
