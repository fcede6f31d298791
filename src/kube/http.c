/* Requests to the API server; see http.h. */
#include "kube/http.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/client.h"

#define TRIES	   5  /* the first included */
#define WAIT_MAX_S 30 /* a longer Retry-After is cut to this */

struct kf_request {
	char *method, *path, *content_type, *body;
	int once;	      /* a 429 or 503 is the answer */
	kf_kube_answer_cb cb; /* NULL: forgotten */
	void *ud;
	void *owned;	   /* freed with the request; NULL: nothing */
	const void *owner; /* who may have it forgotten */
	unsigned tries;
	int renewed; /* credentials were asked for again already */
	struct kf_request *next;
};

const char *kf_kube_user_agent(void)
{
	return "kerf/" KERF_VERSION;
}

/* --- the queue ------------------------------------------------------------------------------- */

static struct kf_request *free_request(struct kf_request *r)
{
	if (!r)
		return NULL;
	free(r->method);
	free(r->path);
	free(r->content_type);
	free(r->body);
	free(r->owned);
	free(r);
	return NULL;
}
KF_DEFINE_AUTO(struct kf_request, free_request)

static void pump(uv_timer_t *t);

static void pump_after(struct kf_kube *k, uint64_t ms)
{
	uv_timer_start(&k->pump, pump, ms, 0);
}

/* The first request has its answer: off the queue, then tell, since the callback may ask again. */
static void answer(struct kf_kube *k, long status, const struct kf_error *err)
{
	kf_auto(free_requestp) struct kf_request *r = k->first;
	size_t n = k->transfer.in.n;
	kf_auto_mem char *body = kf_text_take(&k->transfer.in);
	struct kf_kube_answer a = {.method = r->method,
				   .path = r->path,
				   .status = status,
				   .body = body ? body : "",
				   .n = body ? n : 0,
				   .err = err};

	k->first = r->next;
	if (!k->first)
		k->last = &k->first;
	k->n_pending--;
	k->under_way = 0;
	if (k->first)
		pump_after(k, 0);
	if (r->cb)
		r->cb(r->ud, &a);
}

static void fail_first(struct kf_kube *k, struct kf_error *err)
{
	kf_prefix(err, "%s %s", k->first->method, k->first->path);
	kf_text_done(&k->transfer.in);
	answer(k, 0, err);
}

/* Wait as long as the server asks, and hold back the others: it is overloaded, and order counts. */
static int try_again(struct kf_kube *k, long status, long wait_s)
{
	struct kf_request *r = k->first;

	if (status == 401 && !r->renewed) {
		r->renewed = 1;
		if (!kf_auth_renew(k->auth))
			return 0;
		pump_after(k, 0);
		return 1;
	}
	if ((status != 429 && status != 503) || wait_s <= 0)
		return 0;
	if (r->once || r->tries >= TRIES)
		return 0;
	pump_after(k, (uint64_t)(wait_s < WAIT_MAX_S ? wait_s : WAIT_MAX_S) * 1000);
	return 1;
}

static void on_done(void *ud, const struct kf_error *failure)
{
	struct kf_kube *k = ud;
	struct kf_error err;

	k->under_way = 0;
	if (failure) {
		err = *failure;
		fail_first(k, &err);
	} else if (!try_again(k, k->transfer.status, k->transfer.retry_after_s)) {
		answer(k, k->transfer.status, NULL);
	}
}

static void pump(uv_timer_t *timer)
{
	struct kf_kube *k = timer->data;
	struct kf_request *r = k->first;
	struct kf_transfer_ask ask = {0};
	struct kf_error err = {0};
	int result;

	if (k->closing || k->under_way || !r)
		return;
	result = kf_auth_get(k->auth, &ask.token, &ask.cert_file, &ask.key_file, &err);
	if (result == KF_AUTH_WAIT)
		return; /* credentials_ready goes on */
	ask.method = r->method;
	ask.path = r->path;
	ask.content_type = r->content_type;
	ask.body = r->body;
	ask.timeout_ms = (long)k->config->times.request_ms;
	ask.last = !r->next;
	r->tries++;
	if (result == 0)
		result = kf_transfer_start(&k->transfer, &ask, &err);
	if (result < 0)
		fail_first(k, &err);
	else
		k->under_way = 1;
}

static void credentials_ready(void *ud)
{
	struct kf_kube *k = ud;
	struct kf_waiter *w = k->waiters;

	k->waiters = NULL;
	while (w) {
		struct kf_waiter *next = w->next;

		w->next = NULL;
		w->ready(w->ud); /* only starts a timer: see watch.c */
		w = next;
	}
	if (k->first && !k->under_way)
		pump_after(k, 0);
}

static int writes(const char *method)
{
	return !strcmp(method, "POST") || !strcmp(method, "PUT") || !strcmp(method, "PATCH");
}

static char *managed_path(const char *method, const char *path)
{
	if (!writes(method))
		return kf_strdup(path);
	return kf_asprintf("%s%cfieldManager=kerf", path, strchr(path, '?') ? '&' : '?');
}

static struct kf_request *new_request(const struct kf_kube_ask *ask)
{
	kf_auto(free_requestp) struct kf_request *r = kf_calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->method = kf_strdup(ask->method);
	r->path = managed_path(ask->method, ask->path);
	r->content_type = ask->content_type ? kf_strdup(ask->content_type) : NULL;
	r->body = ask->body ? kf_strdup(ask->body) : NULL;
	r->once = ask->once;
	if (!r->method || !r->path || (ask->body && !r->body) ||
	    (ask->content_type && !r->content_type))
		return NULL;
	return kf_take(r);
}

static void enqueue(struct kf_kube *k, struct kf_request *r)
{
	if (!k->first)
		pump_after(k, 0);
	*k->last = r;
	k->last = &r->next;
	k->n_pending++;
}

static struct kf_request *make_request(const struct kf_kube *k, const struct kf_kube_ask *ask,
				       struct kf_error *err)
{
	struct kf_request *r;

	if (k->closing) {
		kf_fail(err, KF_E_STATE, 0, "%s %s: the client is closing", ask->method, ask->path);
		return NULL;
	}
	r = new_request(ask);
	if (!r)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for a request");
	return r;
}

int kf_kube_request(struct kf_kube *k, const char *method, const char *path,
		    const char *content_type, const char *body, kf_kube_answer_cb cb, void *ud,
		    struct kf_error *err)
{
	struct kf_kube_ask ask = {method, path, content_type, body, 0};
	struct kf_request *r = make_request(k, &ask, err);

	if (!r)
		return -1;
	r->cb = cb;
	r->ud = ud;
	r->owner = ud;
	enqueue(k, r);
	return 0;
}

int kf_kube_request_for(struct kf_kube *k, const struct kf_kube_ask *ask, kf_kube_answer_cb cb,
			void *owned, const void *owner, struct kf_error *err)
{
	struct kf_request *r = make_request(k, ask, err);

	if (!r)
		return -1;
	r->cb = cb;
	r->ud = r->owned = owned;
	r->owner = owner;
	enqueue(k, r);
	return 0;
}

void kf_kube_forget(struct kf_kube *k, const void *ud)
{
	struct kf_request *r;

	for (r = k->first; r; r = r->next)
		if (r->owner == ud)
			r->cb = NULL;
}

unsigned kf_kube_pending(const struct kf_kube *k)
{
	return k->n_pending;
}

/* --- open, close ----------------------------------------------------------------------------- */

/*
 * libcurl verifies a certificate against the host of the URL only.  So with tls-server-name that
 * name goes into the URL, the real address behind it by CONNECT_TO, and the Host header says what
 * it would have said.
 */
static int name_server(struct kf_kube *k, struct kf_error *err)
{
	const struct kf_kube_config *c = k->config;
	const char *authority = strstr(c->server, "://") + 3;
	size_t n = strcspn(authority, "/");
	const char *bracket = memchr(authority, ']', n);
	const char *colon = memchr(bracket ? bracket : authority, ':',
				   n - (size_t)((bracket ? bracket : authority) - authority));
	size_t host_n = colon ? (size_t)(colon - authority) : n;
	kf_auto_mem char *port = colon ? kf_strndup(colon, n - host_n) : kf_strdup(":443");
	kf_auto_mem char *to = NULL;

	if (!c->tls_server_name || strncmp(c->server, "https:", 6)) {
		k->base = kf_strdup(c->server);
		return k->base ? 0 : kf_fail(err, KF_E_NOMEM, 0, "no memory for a URL");
	}
	k->base = port ? kf_asprintf("https://%s%s%s", c->tls_server_name, port, authority + n)
		       : NULL;
	to = port ? kf_asprintf("%s%s:%.*s%s", c->tls_server_name, port, (int)host_n, authority,
				port)
		  : NULL;
	k->host_header = kf_asprintf("Host: %.*s", (int)n, authority);
	k->connect_to = to ? curl_slist_append(NULL, to) : NULL;
	if (!k->base || !k->host_header || !k->connect_to)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a URL");
	return 0;
}

static void free_kube(struct kf_kube *k)
{
	void (*done)(void *ud) = k->done;
	void *ud = k->ud;

	free(k->base);
	free(k->host_header);
	curl_slist_free_all(k->connect_to);
	free(k);
	curl_global_cleanup();
	if (done)
		done(ud);
}

void kf_kube_one_closed(struct kf_kube *k)
{
	if (!--k->n_open)
		free_kube(k);
}

static void auth_closed(void *ud)
{
	kf_kube_one_closed(ud);
}

static void pump_closed(uv_handle_t *h)
{
	kf_kube_one_closed(h->data);
}

static int start(struct kf_kube *k, struct kf_error *err)
{
	if (name_server(k, err) < 0 || kf_loop_open(k, err) < 0)
		return -1;
	if (kf_auth_new(k->loop, k->config, credentials_ready, k, &k->auth, err) < 0) {
		kf_kube_close(k, NULL, NULL);
		return 1;
	}
	k->n_open++;
	return 0;
}

int kf_kube_open(uv_loop_t *loop, const struct kf_kube_config *config, struct kf_kube **ret,
		 struct kf_error *err)
{
	struct kf_kube *k = kf_calloc(1, sizeof(*k));
	int r;

	if (!k || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(k);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an API client");
	}
	k->loop = loop;
	k->config = config;
	k->last = &k->first;
	k->transfer.kube = k;
	k->transfer.limit = KF_KUBE_BODY_LIMIT;
	k->transfer.done = on_done;
	k->transfer.ud = k;
	r = start(k, err);
	if (r < 0)
		free_kube(k);
	if (r)
		return -1;
	uv_timer_init(loop, &k->pump);
	k->pump.data = k;
	k->n_open++;
	*ret = k;
	return 0;
}

void kf_kube_close(struct kf_kube *k, void (*done)(void *ud), void *ud)
{
	k->closing = 1;
	k->done = done;
	k->ud = ud;
	while (k->first) {
		struct kf_request *r = k->first;

		k->first = r->next;
		free_request(r);
	}
	kf_transfer_done(&k->transfer);
	assert(!k->transfers); /* a watch was not stopped */
	k->waiters = NULL;
	kf_loop_close(k);
	if (k->pump.data)
		uv_close((uv_handle_t *)&k->pump, pump_closed);
	if (k->auth)
		kf_auth_close(k->auth, auth_closed, k);
}

/* --- answers and paths ----------------------------------------------------------------------- */

static const char *status_word(long status)
{
	static const struct {
		long status;
		const char *word;
	} words[] = {{400, "Bad Request"},
		     {401, "Unauthorized"},
		     {403, "Forbidden"},
		     {404, "Not Found"},
		     {409, "Conflict"},
		     {410, "Gone"},
		     {422, "Unprocessable Entity"},
		     {429, "Too Many Requests"},
		     {500, "Internal Server Error"},
		     {503, "Service Unavailable"},
		     {504, "Gateway Timeout"}};
	unsigned i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].status == status)
			return words[i].word;
	return "unexpected";
}

int kf_kube_check(const struct kf_kube_answer *a, struct kf_error *err)
{
	json_auto_t *status = NULL;
	const char *message;

	if (a->err) {
		if (err)
			*err = *a->err;
		return -1;
	}
	if (a->status >= 200 && a->status < 300)
		return 0;
	status = json_loadb(a->body, a->n, 0, NULL);
	message = json_string_value(json_object_get(status, "message"));
	return kf_fail(err, KF_E_REMOTE, (int)a->status, "%s %s: %ld %s%s%.300s", a->method,
		       a->path, a->status, status_word(a->status), message ? ": " : "",
		       message ? message : "");
}

static void encode(struct kf_text *t, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c))
			kf_text_addn(t, s, 1);
		else
			kf_text_addf(t, "%%%02X", c);
	}
}

int kf_kube_segment(struct kf_text *path, const char *name, struct kf_error *err)
{
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > 253)
		return kf_fail(err, KF_E_INPUT, 0, "'%.64s' is not a name of an object", name);
	encode(path, name);
	return 0;
}

void kf_kube_query(struct kf_text *path, const char *value)
{
	encode(path, value);
}
