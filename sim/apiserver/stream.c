/*
 * Watches: a thread each, which sleeps until the history has something for it, an order came, or
 * a bookmark or its end is due.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "serve.h"

struct watch {
	struct kf_sim_call call; /* for the view; its body is not used */
	enum kf_sim_kind kind;
	char *namespace, *selector;
	unsigned long version, order_serial;
	uint64_t end_ms, bookmark_ms;
	int bookmarks, stalled, ending;
	char *text; /* still to be sent */
	size_t n, sent;
};

/* Comes from libmicrohttpd without the lock as a rule, but under it when a server that is stopping
 * does not take the response any more. */
static void free_watch(void *ud)
{
	struct watch *w = ud;

	w->call.api->stats.open--;
	free(w->namespace);
	free(w->selector);
	free(w->text);
	free(w);
}

static void say(struct watch *w, char *text)
{
	free(w->text);
	w->text = text;
	w->n = text ? strlen(text) : 0;
	w->sent = 0;
}

/* Takes object. */
static void say_event(struct watch *w, const char *type, json_t *object)
{
	json_auto_t *event = json_pack("{s:s, s:o}", "type", type, "object", object);
	kf_auto_mem char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

	say(w, text ? kf_asprintf("%s\n", text) : NULL);
}

static void say_bookmark(struct watch *w)
{
	char version[24];

	w->call.api->stats.bookmarks++;
	snprintf(version, sizeof(version), "%lu", w->call.api->store.version);
	w->version = w->call.api->store.version;
	w->bookmark_ms = kf_now_ms() + w->call.api->bookmark_ms;
	say_event(w, "BOOKMARK",
		  json_pack("{s:s, s:s, s:{s:s}}", "kind", kf_sim_kinds[w->kind].kind, "apiVersion",
			    "v1", "metadata", "resourceVersion", version));
}

static void say_status(struct watch *w, int code, const char *reason)
{
	say_event(w, "ERROR",
		  json_pack("{s:s, s:s, s:{}, s:s, s:s, s:s, s:i}", "kind", "Status", "apiVersion",
			    "v1", "metadata", "status", "Failure", "message",
			    code == 410 ? "too old resource version" : "etcd is on holiday",
			    "reason", reason, "code", code));
	w->ending = 1;
}

/* An order, once for each watch; the answer is what the reader returns, or 0: go on. */
static ssize_t obey(struct watch *w)
{
	struct kf_sim_api *api = w->call.api;

	if (w->order_serial == api->order_serial)
		return 0;
	w->order_serial = api->order_serial;
	switch (api->order) {
	case KF_SIM_ORDER_END:
		return MHD_CONTENT_READER_END_OF_STREAM;
	case KF_SIM_ORDER_DROP:
		return MHD_CONTENT_READER_END_WITH_ERROR;
	case KF_SIM_ORDER_GARBAGE:
		say(w, kf_strdup("<html>502 Bad Gateway</html>\n"));
		break;
	case KF_SIM_ORDER_MIDWAY:
		say(w, kf_strdup("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"na"));
		w->ending = 1;
		break;
	case KF_SIM_ORDER_EXPIRE:
		say_status(w, 410, "Expired");
		break;
	case KF_SIM_ORDER_ERROR:
		say_status(w, 500, "InternalError");
		break;
	case KF_SIM_ORDER_BOOKMARK:
		say_bookmark(w);
		break;
	case KF_SIM_ORDER_STALL:
		w->stalled = 1;
		break;
	case KF_SIM_ORDER_NONE:
		break;
	}
	return 0;
}

static int is_for(const struct watch *w, const struct kf_sim_change *c)
{
	json_t *meta = json_object_get(c->json, "metadata");
	const char *namespace = json_string_value(json_object_get(meta, "namespace"));

	return kf_sim_selected(c->json, w->selector) &&
	       (!*w->namespace || (namespace && !strcmp(namespace, w->namespace)));
}

/* The next thing to send, if there is one now. */
static void look(struct watch *w)
{
	const struct kf_sim_change *c;

	while (!w->text && (c = kf_sim_next_change(&w->call.api->store, w->kind, w->version))) {
		w->version = c->version;
		if (is_for(w, c))
			say_event(w, c->type, kf_sim_view(&w->call, c->json));
	}
	if (!w->text && w->bookmarks && kf_now_ms() >= w->bookmark_ms)
		say_bookmark(w);
}

/* 0: w->text is there; else what the reader returns.  Under the lock. */
static ssize_t wait_for_text(struct watch *w)
{
	struct kf_sim_api *api = w->call.api;

	for (;;) {
		ssize_t r = obey(w);

		if (r || w->text)
			return r;
		if (api->stopping)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		if (w->ending || (!w->stalled && kf_now_ms() >= w->end_ms))
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (!w->stalled)
			look(w);
		if (w->text)
			return 0;
		kf_sim_wait(api, w->stalled		      ? kf_now_ms() + 1000
				 : w->bookmark_ms < w->end_ms ? w->bookmark_ms
							      : w->end_ms);
	}
}

static ssize_t read_more(void *ud, uint64_t at, char *out, size_t room)
{
	struct watch *w = ud;
	ssize_t r = 0;
	size_t n;

	if (!w->text) {
		pthread_mutex_lock(&w->call.api->store.lock);
		r = wait_for_text(w);
		pthread_mutex_unlock(&w->call.api->store.lock);
	}
	if (r)
		return r;
	n = w->n - w->sent < room ? w->n - w->sent : room;
	memcpy(out, w->text + w->sent, n);
	w->sent += n;
	if (w->sent == w->n)
		say(w, NULL);
	return (ssize_t)n;
}

static struct watch *new_watch(struct kf_sim_call *call, const struct kf_sim_target *t,
			       unsigned long version)
{
	const char *selector = kf_sim_query(call, "fieldSelector");
	const char *seconds = kf_sim_query(call, "timeoutSeconds");
	const char *bookmarks = kf_sim_query(call, "allowWatchBookmarks");
	struct watch *w = kf_calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->call = *call;
	w->kind = t->kind;
	w->namespace = kf_strdup(t->namespace);
	w->selector = kf_strdup(selector ? selector : "");
	w->version = version;
	w->order_serial = call->api->order_serial;
	w->end_ms = kf_now_ms() +
		    (seconds && atol(seconds) > 0 ? (uint64_t)atol(seconds) * 1000 : 1800000u);
	w->bookmarks = bookmarks && strcmp(bookmarks, "true") == 0;
	w->bookmark_ms = w->bookmarks ? kf_now_ms() + call->api->bookmark_ms : w->end_ms;
	call->api->stats.open++;
	call->api->stats.watches++;
	return w;
}

enum MHD_Result kf_sim_watch(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	const char *from = kf_sim_query(call, "resourceVersion");
	struct kf_sim_store *s = &call->api->store;
	unsigned long version = from && *from ? strtoul(from, NULL, 10) : s->version;
	struct MHD_Response *r;
	struct watch *w;
	enum MHD_Result result;

	if (version < s->forgotten)
		return kf_sim_refuse(call, 410, "Expired", NULL,
				     "too old resource version: %lu (%lu)", version, s->forgotten);
	w = new_watch(call, t, version);
	if (!w)
		return MHD_NO;
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_more, w, free_watch);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "application/json");
	result = MHD_queue_response(call->connection, 200, r);
	MHD_destroy_response(r);
	return result;
}
