/* Events about our Node; see event.h and kubernetes.md 5.6. */
#include "kube/event.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/client.h"
#include "kube/codec.h"

#define EVENTS_PATH   "/api/v1/namespaces/default/events"
#define REMEMBERED    16
#define SAME_MS	      600000u /* ten minutes */
#define ALLOWANCE     25
#define REFILL_MS     10000ul
#define NAME_MAX_NODE 220 /* an object's name has 253 bytes; ours adds a dot and 16 digits */

/* An Event that was sent, for repeats. */
struct sent {
	char *type, *reason, *note; /* NULL: free */
	char *name;
	char first[32];
	unsigned count;
	uint64_t at_ms;
};

struct kf_events {
	struct kf_kube *kube;
	char *node;
	void (*trouble)(void *ud, const struct kf_error *err);
	void *ud;
	struct sent sent[REMEMBERED];
	unsigned long dropped;
	unsigned allowance;
	uint64_t refilled_ms;
	uint64_t serial;
};

static void clear(struct sent *s)
{
	free(s->type);
	free(s->reason);
	free(s->note);
	free(s->name);
	memset(s, 0, sizeof(*s));
}

int kf_events_new(struct kf_kube *k, const char *node_name,
		  void (*trouble)(void *ud, const struct kf_error *err), void *ud,
		  struct kf_events **ret, struct kf_error *err)
{
	kf_auto(kf_events_freep) struct kf_events *e = kf_calloc(1, sizeof(*e));

	if (!e)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for Events");
	e->kube = k;
	e->trouble = trouble;
	e->ud = ud;
	e->allowance = ALLOWANCE;
	e->refilled_ms = kf_now_ms();
	e->node = kf_strdup(node_name);
	if (!e->node)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for Events");
	*ret = kf_take(e);
	return 0;
}

struct kf_events *kf_events_free(struct kf_events *e)
{
	unsigned i;

	if (!e)
		return NULL;
	kf_kube_forget(e->kube, e);
	for (i = 0; i < REMEMBERED; i++)
		clear(&e->sent[i]);
	free(e->node);
	free(e);
	return NULL;
}

unsigned long kf_events_dropped(const struct kf_events *e)
{
	return e->dropped;
}

/* --- the allowance --------------------------------------------------------------------------- */

static int allowed(struct kf_events *e)
{
	uint64_t earned = (kf_now_ms() - e->refilled_ms) / REFILL_MS;

	e->refilled_ms += earned * REFILL_MS;
	e->allowance =
		earned > ALLOWANCE - e->allowance ? ALLOWANCE : e->allowance + (unsigned)earned;
	if (!e->allowance) {
		e->dropped++;
		return 0;
	}
	e->allowance--;
	return 1;
}

/* --- what was told before -------------------------------------------------------------------- */

static struct sent *find(struct kf_events *e, const char *type, const char *reason,
			 const char *note)
{
	unsigned i;

	for (i = 0; i < REMEMBERED; i++) {
		struct sent *s = &e->sent[i];

		if (s->type && kf_now_ms() - s->at_ms < SAME_MS && !strcmp(s->type, type) &&
		    !strcmp(s->reason, reason) && !strcmp(s->note, note))
			return s;
	}
	return NULL;
}

/* A free place, else that of the one longest ago. */
static struct sent *place(struct kf_events *e)
{
	struct sent *oldest = &e->sent[0];
	unsigned i;

	for (i = 0; i < REMEMBERED; i++) {
		if (!e->sent[i].type)
			return &e->sent[i];
		if (e->sent[i].at_ms < oldest->at_ms)
			oldest = &e->sent[i];
	}
	clear(oldest);
	return oldest;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Cut at a character's beginning: what is half a character is no JSON. */
static char *cut(const char *note)
{
	size_t n = strlen(note);

	if (n <= KF_EVENT_NOTE_MAX)
		return kf_strdup(note);
	n = KF_EVENT_NOTE_MAX - 3;
	while (n && ((unsigned char)note[n] & 0xc0) == 0x80)
		n--;
	return kf_asprintf("%.*s...", (int)n, note);
}

/* One on its way. */
struct sending {
	struct kf_events *events;
	char name[]; /* of the Event */
};

/* The server did not take it, or a count came after it had expired there: what follows is news
 * again, and no count on an Event that is not there. */
static void on_answer(void *ud, const struct kf_kube_answer *answer)
{
	const struct sending *sending = ud;
	struct kf_events *e = sending->events;
	struct kf_error err = {0};
	unsigned i;

	if (kf_kube_check(answer, &err) == 0)
		return;
	for (i = 0; i < REMEMBERED; i++)
		if (e->sent[i].name && !strcmp(e->sent[i].name, sending->name))
			clear(&e->sent[i]);
	if (e->trouble)
		e->trouble(e->ud, &err);
}

static int send_about(struct kf_events *e, const struct sent *s, const struct kf_kube_ask *ask,
		      struct kf_error *err)
{
	size_t n = strlen(s->name) + 1;
	kf_auto_mem struct sending *sending = kf_calloc(1, sizeof(*sending) + n);

	if (!sending)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an Event");
	sending->events = e;
	memcpy(sending->name, s->name, n);
	if (kf_kube_request_for(e->kube, ask, on_answer, sending, e, err) < 0)
		return -1;
	sending = NULL;
	return 0;
}

static json_t *event_json(const struct kf_events *e, const struct sent *s, const char *action)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:s, "
			 "s:{s:s, s:s}, s:s, s:s, s:i, s:s, s:s}",
			 "apiVersion", "v1", "kind", "Event", "metadata", "name", s->name,
			 "namespace", "default", "involvedObject", "apiVersion", "v1", "kind",
			 "Node", "name", e->node, "uid", e->node, "type", s->type, "reason",
			 s->reason, "message", s->note, "action", action, "source", "component",
			 "kerf", "host", e->node, "firstTimestamp", s->first, "lastTimestamp",
			 s->first, "count", 1, "reportingComponent", "kerf", "reportingInstance",
			 e->node);
}

static int post(struct kf_events *e, const struct sent *s, const char *action, struct kf_error *err)
{
	json_auto_t *json = event_json(e, s, action);
	kf_auto_mem char *body = kf_kube_text(json);
	struct kf_kube_ask ask = {"POST", EVENTS_PATH, KF_KUBE_JSON, body, 0};

	if (!body)
		return kf_fail(err, KF_E_INPUT, 0, "%s: the note is not UTF-8", s->reason);
	return send_about(e, s, &ask, err);
}

static int repeat(struct kf_events *e, struct sent *s, struct kf_error *err)
{
	kf_auto_mem char *path = kf_asprintf("%s/%s", EVENTS_PATH, s->name);
	kf_auto_mem char *body = NULL;
	struct kf_kube_ask ask = {.method = "PATCH", .content_type = KF_KUBE_MERGE};
	char now[32];

	kf_wall_seconds(now);
	body = kf_asprintf("{\"count\":%u,\"lastTimestamp\":\"%s\"}", s->count + 1, now);
	if (!path || !body)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an Event");
	s->count++;
	s->at_ms = kf_now_ms();
	if (!allowed(e))
		return KF_EVENT_DROPPED; /* the next count says it */
	ask.path = path;
	ask.body = body;
	return send_about(e, s, &ask, err) < 0 ? -1 : KF_EVENT_REPEATED;
}

/* Unique: the time, and a number for those within one microsecond. */
static char *name_of(struct kf_events *e)
{
	int64_t s;
	int32_t us;

	kf_wall(&s, &us);
	return kf_asprintf("%.*s.%016llx", NAME_MAX_NODE, e->node,
			   (unsigned long long)s * 1000000000 + (unsigned long long)us * 1000 +
				   e->serial++ % 1000);
}

static int fill(struct kf_events *e, struct sent *s, const char *type, const char *reason,
		char *note)
{
	s->note = note;
	s->type = kf_strdup(type);
	s->reason = kf_strdup(reason);
	s->name = name_of(e);
	s->count = 1;
	s->at_ms = kf_now_ms();
	kf_wall_seconds(s->first);
	return s->type && s->reason && s->name ? 0 : -1;
}

int kf_events_tell(struct kf_events *e, const char *type, const char *reason, const char *action,
		   const char *note, struct kf_error *err)
{
	kf_auto_mem char *short_note = cut(note);
	struct sent *s = short_note ? find(e, type, reason, short_note) : NULL;

	if (s)
		return repeat(e, s, err);
	if (!short_note)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an Event");
	if (!allowed(e))
		return KF_EVENT_DROPPED;
	s = place(e);
	if (fill(e, s, type, reason, kf_take(short_note)) < 0) {
		clear(s);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an Event");
	}
	if (post(e, s, action, err) < 0) {
		clear(s);
		return -1;
	}
	return 0;
}
