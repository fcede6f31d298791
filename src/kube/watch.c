/*
 * List and watch; see watch.h.
 *
 * One transfer does both in turn.  States: idle (the timer runs: a pause, or none), waiting for
 * credentials, listing, watching.  The timer also guards a watch: what has not sent its header
 * within request_ms, or a byte within silence_ms, is dead.  It runs once per span, not per byte.
 */
#include "kube/watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/page.h"

#define LIMIT_PER_PAGE 100
#define SERVER_MIN_S   300 /* timeoutSeconds is drawn from 300 to 600, so that agents spread */
#define SERVER_SPAN_S  300
#define SHORT_MS       1000 /* a watch that ends in order, but so soon and empty, is a failure */
#define STEADY_MS      5000 /* one that stood so long is no part of a series of failures */

#define AS_METADATA "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
#define AS_METADATA_LIST                                                                           \
	"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

enum state { IDLE, WAITING, LISTING, WATCHING };

struct kf_watch {
	struct kf_kube *kube;
	struct kf_transfer transfer;
	struct kf_watch_parser parser;
	uv_timer_t timer;
	struct kf_waiter waiter;

	char *path, *selector;
	unsigned flags;
	struct kf_watch_events events;
	void *ud;

	enum state state;
	int stopped;
	char *version;	   /* to watch from; NULL: list first */
	char *more;	   /* continue token of a listing under way */
	int begun;	   /* `listing` was told and `synced` not yet */
	int renewed;	   /* credentials were asked for again after a 401 */
	unsigned failures; /* in a row */
	unsigned expiries; /* 410 in a row */
	uint64_t since_ms, heard_ms;
};

/* --- pauses ---------------------------------------------------------------------------------- */

static unsigned draw(unsigned below)
{
	unsigned n = 0;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		n = (unsigned)kf_now_ms();
	return below ? n % below : 0;
}

static unsigned pause_ms(const struct kf_watch *w)
{
	const struct kf_kube_times *t = &w->kube->config->times;
	uint64_t ms = t->backoff_ms;
	unsigned i;

	for (i = 1; i < w->failures && ms < t->backoff_max_ms; i++)
		ms *= 2;
	if (ms > t->backoff_max_ms)
		ms = t->backoff_max_ms;
	return (unsigned)(ms * (80 + draw(41)) / 100);
}

static void on_timer(uv_timer_t *timer);

static void go_on_after(struct kf_watch *w, unsigned ms)
{
	w->state = IDLE;
	uv_timer_start(&w->timer, on_timer, ms, 0);
}

static void trouble(struct kf_watch *w, const struct kf_error *failure)
{
	struct kf_error err = *failure;
	unsigned ms;
	size_t n;

	kf_transfer_stop(&w->transfer);
	if (w->state == WATCHING && w->transfer.status == 200 &&
	    kf_now_ms() - w->since_ms > STEADY_MS)
		w->failures = 0;
	w->failures++;
	ms = pause_ms(w);
	go_on_after(w, ms);
	kf_prefix(&err, "watch %s", w->path);
	n = strlen(err.msg);
	snprintf(err.msg + n, sizeof(err.msg) - n, "; again in %u.%u s", ms / 1000,
		 ms % 1000 / 100);
	if (w->events.trouble)
		w->events.trouble(w->ud, &err);
}

static void list_anew(struct kf_watch *w)
{
	free(w->version);
	free(w->more);
	w->version = w->more = NULL;
}

/* Our version is too old (or the page's token).  Normal life once; a server that goes on saying so
 * must not be asked without a pause. */
static void expired(struct kf_watch *w, const struct kf_error *err)
{
	kf_transfer_stop(&w->transfer);
	list_anew(w);
	if (w->expiries++)
		trouble(w, err);
	else
		go_on_after(w, 0);
}

/* An HTTP status that is not 200, with what the Status object says of it. */
static void refused(struct kf_watch *w, const char *body, size_t n)
{
	struct kf_kube_answer a = {"GET", w->path, w->transfer.status, body, n, NULL};
	struct kf_error err = {0};

	if (a.status == 401 && !w->renewed && kf_auth_renew(w->kube->auth)) {
		w->renewed = 1;
		kf_transfer_stop(&w->transfer);
		go_on_after(w, 0);
		return;
	}
	kf_kube_check(&a, &err);
	if (a.status == 410)
		expired(w, &err);
	else
		trouble(w, &err);
}

/* --- listing --------------------------------------------------------------------------------- */

static int tell_listed(void *ud, json_t *item)
{
	struct kf_watch *w = ud;

	w->events.object(w->ud, KF_WATCH_LISTED, item);
	return w->stopped;
}

static void synced(struct kf_watch *w)
{
	w->begun = 0;
	go_on_after(w, 0);
	if (w->events.synced)
		w->events.synced(w->ud);
}

static void listed(struct kf_watch *w)
{
	size_t n = w->transfer.in.n;
	kf_auto_mem char *body = kf_text_take(&w->transfer.in);
	struct kf_page page = {0};
	struct kf_error err = {0};
	int r;

	if (w->transfer.status != 200) {
		refused(w, body ? body : "", n);
		return;
	}
	if (!w->more && w->events.listing && !w->begun)
		w->events.listing(w->ud);
	if (w->stopped)
		return;
	w->begun = 1;
	r = kf_page_read(body ? body : "", n, tell_listed, w, &page, &err);
	if (r > 0)
		return; /* stopped by a callback */
	if (r < 0) {
		list_anew(w);
		trouble(w, &err);
		return;
	}
	w->renewed = 0;
	list_anew(w);
	w->more = page.more;
	if (w->more) {
		free(page.version);
		go_on_after(w, 0);
		return;
	}
	w->version = page.version;
	synced(w);
}

/* --- watching -------------------------------------------------------------------------------- */

/* Every event moves the version on; a bookmark does nothing else. */
static int keep_version(struct kf_watch *w, json_t *object)
{
	const char *version = json_string_value(
		json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
	char *copy = version && *version ? kf_strdup(version) : NULL;

	if (!copy)
		return -1;
	free(w->version);
	w->version = copy;
	return 0;
}

/* A Status in the stream: 410 is normal life, the rest is trouble. */
static void status_event(struct kf_watch *w, json_t *status)
{
	json_int_t code = json_integer_value(json_object_get(status, "code"));
	const char *message = json_string_value(json_object_get(status, "message"));
	struct kf_error err = {0};

	kf_fail(&err, KF_E_REMOTE, (int)code, "the server ended it with %d: %.300s", (int)code,
		message ? message : "no message");
	if (code == 410)
		expired(w, &err);
	else
		trouble(w, &err);
}

static int on_event(void *ud, enum kf_watch_type type, json_t *object)
{
	struct kf_watch *w = ud;
	struct kf_error err = {0};

	if (type == KF_WATCH_ERROR) {
		status_event(w, object);
		return 1;
	}
	if (keep_version(w, object) < 0) {
		kf_fail(&err, KF_E_PROTOCOL, 0, "an object came without a resourceVersion");
		list_anew(w);
		trouble(w, &err);
		return 1;
	}
	w->failures = w->expiries = 0;
	if (type != KF_WATCH_BOOKMARK)
		w->events.object(w->ud, type, object);
	return w->stopped || w->state != WATCHING;
}

static void on_bytes(void *ud)
{
	struct kf_watch *w = ud;
	size_t n = w->transfer.in.n;
	kf_auto_mem char *bytes = NULL;
	struct kf_error err = {0};

	w->heard_ms = kf_now_ms();
	/* pages, and what comes with an error, are read when whole */
	if (w->state != WATCHING || w->transfer.status != 200) {
		w->transfer.bytes = NULL;
		return;
	}
	w->renewed = 0;
	bytes = kf_text_take(&w->transfer.in);
	if (bytes && kf_watch_feed(&w->parser, bytes, n, on_event, w, &err) < 0)
		trouble(w, &err);
}

/* The server has ended the watch; that is what timeoutSeconds is for. */
static void ended(struct kf_watch *w)
{
	struct kf_error err = {0};

	if (w->transfer.status != 200) {
		size_t n = w->transfer.in.n;
		kf_auto_mem char *body = kf_text_take(&w->transfer.in);

		refused(w, body ? body : "", n);
	} else if (kf_watch_midway(&w->parser)) {
		kf_fail(&err, KF_E_PROTOCOL, 0, "ended in the middle of an event");
		trouble(w, &err);
	} else if (!w->transfer.total && kf_now_ms() - w->since_ms < SHORT_MS) {
		kf_fail(&err, KF_E_PROTOCOL, 0, "ended at once");
		trouble(w, &err);
	} else {
		go_on_after(w, 0);
	}
}

static void on_done(void *ud, const struct kf_error *failure)
{
	struct kf_watch *w = ud;

	if (failure)
		trouble(w, failure);
	else if (w->state == LISTING)
		listed(w);
	else
		ended(w);
}

/* --- asking ---------------------------------------------------------------------------------- */

static char *list_path(const struct kf_watch *w)
{
	struct kf_text t = {0};

	kf_text_addf(&t, "%s?limit=%d", w->path, LIMIT_PER_PAGE);
	if (w->selector) {
		kf_text_add(&t, "&fieldSelector=");
		kf_kube_query(&t, w->selector);
	}
	if (w->more) {
		kf_text_add(&t, "&continue=");
		kf_kube_query(&t, w->more);
	}
	return kf_text_take(&t);
}

static char *watch_path(const struct kf_watch *w)
{
	struct kf_text t = {0};

	kf_text_addf(&t, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=",
		     w->path, SERVER_MIN_S + draw(SERVER_SPAN_S + 1));
	kf_kube_query(&t, w->version);
	if (w->selector) {
		kf_text_add(&t, "&fieldSelector=");
		kf_kube_query(&t, w->selector);
	}
	return kf_text_take(&t);
}

static int ask(struct kf_watch *w, struct kf_error *err)
{
	int listing = !w->version;
	kf_auto_mem char *path = listing ? list_path(w) : watch_path(w);
	struct kf_transfer_ask a = {.method = "GET", .path = path};
	int r;

	if (!path)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	r = kf_auth_get(w->kube->auth, &a.token, &a.cert_file, &a.key_file, err);
	if (r == KF_AUTH_WAIT) {
		w->state = WAITING;
		w->waiter.next = w->kube->waiters;
		w->kube->waiters = &w->waiter;
		return 0;
	}
	if (r < 0)
		return -1;
	if (w->flags & KF_WATCH_METADATA)
		a.accept = listing ? AS_METADATA_LIST : AS_METADATA;
	a.timeout_ms = listing ? (long)w->kube->config->times.request_ms : 0;
	w->transfer.bytes = on_bytes;
	if (kf_transfer_start(&w->transfer, &a, err) < 0)
		return -1;
	w->state = listing ? LISTING : WATCHING;
	w->since_ms = w->heard_ms = kf_now_ms();
	kf_watch_parser_done(&w->parser);
	return 0;
}

/* How long the watch may be silent from now on; 0: it has been for too long. */
static unsigned patience_ms(const struct kf_watch *w)
{
	const struct kf_kube_times *t = &w->kube->config->times;
	uint64_t quiet = kf_now_ms() - w->heard_ms;
	uint64_t span = w->transfer.total ? t->silence_ms : t->request_ms;
	long code = 0;

	/* the header may have come without a byte of body behind it: nothing has happened yet */
	curl_easy_getinfo(w->transfer.easy, CURLINFO_RESPONSE_CODE, &code);
	if (code)
		span = t->silence_ms;
	return quiet >= span ? 0 : (unsigned)(span - quiet);
}

static void guard(struct kf_watch *w)
{
	struct kf_error err = {0};
	unsigned ms = patience_ms(w);

	if (ms) {
		uv_timer_start(&w->timer, on_timer, ms, 0);
		return;
	}
	kf_fail(&err, KF_E_TIMEOUT, 0, "nothing came for %llu ms",
		(unsigned long long)(kf_now_ms() - w->heard_ms));
	trouble(w, &err);
}

static void on_timer(uv_timer_t *timer)
{
	struct kf_watch *w = timer->data;
	struct kf_error err = {0};

	if (w->state == WATCHING) {
		guard(w);
	} else if (w->state == IDLE) {
		if (ask(w, &err) < 0)
			trouble(w, &err);
		else if (w->state == WATCHING)
			uv_timer_start(&w->timer, on_timer, patience_ms(w), 0);
	}
}

static void credentials_ready(void *ud)
{
	struct kf_watch *w = ud;

	if (!w->stopped)
		go_on_after(w, 0);
}

/* --- start, stop ----------------------------------------------------------------------------- */

static void free_watch(struct kf_watch *w)
{
	kf_watch_parser_done(&w->parser);
	free(w->path);
	free(w->selector);
	free(w->version);
	free(w->more);
	free(w);
}

static void timer_closed(uv_handle_t *h)
{
	free_watch(h->data);
}

static struct kf_watch *new_watch(const char *path, const char *selector)
{
	struct kf_watch *w = kf_calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->path = kf_strdup(path);
	w->selector = selector ? kf_strdup(selector) : NULL;
	if (w->path && (!selector || w->selector))
		return w;
	free_watch(w);
	return NULL;
}

int kf_watch_start(struct kf_kube *k, const char *path, const char *field_selector, unsigned flags,
		   const struct kf_watch_events *events, void *ud, struct kf_watch **ret,
		   struct kf_error *err)
{
	struct kf_watch *w;

	if (k->closing)
		return kf_fail(err, KF_E_STATE, 0, "watch %s: the client is closing", path);
	w = new_watch(path, field_selector);
	if (!w)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to watch %s", path);
	w->kube = k;
	w->flags = flags;
	w->events = *events;
	w->ud = ud;
	w->transfer.kube = k;
	w->transfer.limit = KF_WATCH_OBJECT_LIMIT;
	w->transfer.done = on_done;
	w->transfer.ud = w;
	w->waiter.ready = credentials_ready;
	w->waiter.ud = w;
	uv_timer_init(k->loop, &w->timer);
	w->timer.data = w;
	go_on_after(w, 0);
	*ret = w;
	return 0;
}

static void wait_no_more(struct kf_watch *w)
{
	struct kf_waiter **at;

	for (at = &w->kube->waiters; *at; at = &(*at)->next)
		if (*at == &w->waiter) {
			*at = w->waiter.next;
			return;
		}
}

void kf_watch_stop(struct kf_watch *w)
{
	if (!w || w->stopped)
		return;
	w->stopped = 1;
	wait_no_more(w);
	kf_transfer_done(&w->transfer);
	uv_close((uv_handle_t *)&w->timer, timer_closed);
}
