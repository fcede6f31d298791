/* One exchange with the API server; see transfer.h. */
#include "kube/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/client.h"

static size_t on_bytes(char *bytes, size_t size, size_t n, void *ud)
{
	struct kf_transfer *t = ud;

	t->total += n;
	if (t->in.n + n > t->limit) {
		t->over_limit = 1;
		return 0;
	}
	kf_text_addn(&t->in, bytes, n);
	return t->in.failed ? 0 : n;
}

/* libcurl 7.88 opens sockets that programs we start would inherit. */
static curl_socket_t open_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *a)
{
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* --- setting up ------------------------------------------------------------------------------ */

/* The first option that libcurl does not take is the one to name. */
struct setup {
	CURL *easy;
	const char *failed;
};

#define SET(s, option, value)                                                                      \
	do {                                                                                       \
		if (!(s)->failed && curl_easy_setopt((s)->easy, option, value) != CURLE_OK)        \
			(s)->failed = #option;                                                     \
	} while (0)

/* What stays the same for the life of the handle. */
static void set_always(struct setup *s, struct kf_transfer *t)
{
	const struct kf_kube_config *c = t->kube->config;

	SET(s, CURLOPT_PRIVATE, t);
	SET(s, CURLOPT_WRITEFUNCTION, on_bytes);
	SET(s, CURLOPT_WRITEDATA, t);
	SET(s, CURLOPT_ERRORBUFFER, t->text);
	SET(s, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(s, CURLOPT_USERAGENT, kf_kube_user_agent());
	SET(s, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(s, CURLOPT_PATH_AS_IS, 1L); /* names are escaped already; no second opinion */
	SET(s, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* a connection for each watch */
	SET(s, CURLOPT_SSL_ENABLE_ALPN, 0L);
	SET(s, CURLOPT_BUFFERSIZE, 8192L);
	SET(s, CURLOPT_CONNECTTIMEOUT_MS, (long)c->times.connect_ms);
	SET(s, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(s, CURLOPT_TCP_KEEPIDLE, 30L);
	SET(s, CURLOPT_TCP_KEEPINTVL, 10L);
	if (c->proxy_url)
		SET(s, CURLOPT_PROXY, c->proxy_url);
	if (t->kube->connect_to)
		SET(s, CURLOPT_CONNECT_TO, t->kube->connect_to);
}

static void set_tls(struct setup *s, const struct kf_kube_config *c)
{
	SET(s, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->insecure) {
		SET(s, CURLOPT_SSL_VERIFYPEER, 0L);
		SET(s, CURLOPT_SSL_VERIFYHOST, 0L);
	} else if (c->ca_file) {
		SET(s, CURLOPT_CAINFO, c->ca_file);
		SET(s, CURLOPT_CAPATH, NULL); /* the cluster's own, not the world's as well */
	}
}

static void set_credentials(struct setup *s, const struct kf_kube_config *c,
			    const struct kf_transfer_ask *ask)
{
	if (ask->cert_file) {
		SET(s, CURLOPT_SSLCERT, ask->cert_file);
		SET(s, CURLOPT_SSLKEY, ask->key_file);
	}
	if (c->username && !ask->token) {
		SET(s, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(s, CURLOPT_USERNAME, c->username);
		SET(s, CURLOPT_PASSWORD, c->password ? c->password : "");
	}
}

static void set_method(struct setup *s, const struct kf_transfer_ask *ask)
{
	if (ask->body) {
		SET(s, CURLOPT_POST, 1L);
		SET(s, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(ask->body));
		SET(s, CURLOPT_POSTFIELDS, ask->body);
	} else {
		SET(s, CURLOPT_POSTFIELDS, NULL);
		SET(s, CURLOPT_HTTPGET, 1L);
	}
	SET(s, CURLOPT_CUSTOMREQUEST, strcmp(ask->method, "GET") ? ask->method : NULL);
	SET(s, CURLOPT_TIMEOUT_MS, ask->timeout_ms);
	SET(s, CURLOPT_FORBID_REUSE, ask->last ? 1L : 0L);
}

static int add_header(struct kf_transfer *t, const char *name, const char *value)
{
	kf_auto_mem char *line = kf_asprintf("%s%s", name, value);
	struct curl_slist *longer = line ? curl_slist_append(t->headers, line) : NULL;

	if (line)
		explicit_bzero(line, strlen(line));
	if (!longer)
		return -1;
	t->headers = longer;
	return 0;
}

static void drop_headers(struct kf_transfer *t)
{
	struct curl_slist *h;

	for (h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* one of them is the token */
	curl_slist_free_all(t->headers);
	t->headers = NULL;
}

static int make_headers(struct kf_transfer *t, const struct kf_transfer_ask *ask)
{
	drop_headers(t);
	if (add_header(t, "Accept: ", ask->accept ? ask->accept : KF_KUBE_JSON) < 0)
		return -1;
	if (t->kube->host_header && add_header(t, t->kube->host_header, "") < 0)
		return -1;
	if (ask->body && (add_header(t, "Content-Type: ", ask->content_type) < 0 ||
			  add_header(t, "Expect:", "") < 0)) /* spares a round trip */
		return -1;
	return ask->token ? add_header(t, "Authorization: Bearer ", ask->token) : 0;
}

/* An easy handle with everything but the address and the headers. */
static int prepare(struct kf_transfer *t, const struct kf_transfer_ask *ask, struct kf_error *err)
{
	struct setup s = {0};

	if (!t->easy)
		t->easy = curl_easy_init();
	else
		curl_easy_reset(t->easy);
	if (!t->easy)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for libcurl");
	s.easy = t->easy;
	set_always(&s, t);
	set_tls(&s, t->kube->config);
	set_credentials(&s, t->kube->config, ask);
	set_method(&s, ask);
	SET(&s, CURLOPT_HTTPHEADER, t->headers);
	if (s.failed)
		return kf_fail(err, KF_E_UNSUPPORTED, 0, "this libcurl does not take %s", s.failed);
	return 0;
}

static void clear(struct kf_transfer *t)
{
	kf_text_done(&t->in);
	t->in.failed = 0;
	t->status = 0;
	t->retry_after_s = 0;
	t->total = 0;
	t->told = t->over_limit = t->finished = 0;
	t->text[0] = '\0';
}

int kf_transfer_start(struct kf_transfer *t, const struct kf_transfer_ask *ask,
		      struct kf_error *err)
{
	kf_auto_mem char *url = kf_asprintf("%s%s", t->kube->base, ask->path);

	clear(t);
	if (!url || make_headers(t, ask) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a request");
	if (prepare(t, ask, err) < 0)
		return -1;
	if (curl_easy_setopt(t->easy, CURLOPT_URL, url) != CURLE_OK ||
	    curl_multi_add_handle(t->kube->multi, t->easy) != CURLM_OK)
		return kf_fail(err, KF_E_NOMEM, 0, "libcurl does not take the request");
	t->active = 1;
	t->next = t->kube->transfers;
	t->kube->transfers = t;
	return 0;
}

void kf_transfer_stop(struct kf_transfer *t)
{
	struct kf_transfer **at;

	if (!t->active)
		return;
	for (at = &t->kube->transfers; *at != t; at = &(*at)->next)
		;
	*at = t->next;
	t->active = 0;
	curl_multi_remove_handle(t->kube->multi, t->easy);
}

void kf_transfer_done(struct kf_transfer *t)
{
	kf_transfer_stop(t);
	if (t->easy)
		curl_easy_cleanup(t->easy);
	t->easy = NULL;
	drop_headers(t);
	clear(t);
}

/* --- what came ------------------------------------------------------------------------------- */

static int explain(struct kf_transfer *t, struct kf_error *err)
{
	const char *server = t->kube->config->server;
	const char *text = t->text[0] ? t->text : curl_easy_strerror(t->result);
	long errnum = 0;

	if (t->over_limit)
		return kf_fail(err, KF_E_PROTOCOL, 0, "%s: answered with over %zu bytes", server,
			       t->limit);
	if (t->in.failed || t->result == CURLE_OUT_OF_MEMORY)
		return kf_fail(err, KF_E_NOMEM, 0, "%s: no memory for the answer", server);
	if (t->result == CURLE_OPERATION_TIMEDOUT)
		return kf_fail(err, KF_E_TIMEOUT, 0, "%s: %s", server, text);
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &errnum);
	if (errnum)
		return kf_fail(err, KF_E_SYSTEM, (int)errnum, "%s: %s", server, text);
	return kf_fail(err, KF_E_PROTOCOL, 0, "%s: %s", server, text);
}

static void finish(struct kf_transfer *t)
{
	struct kf_error err = {0};
	curl_off_t wait = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK)
		t->retry_after_s = wait > 3600 ? 3600 : (long)wait;
	if (t->result != CURLE_OK)
		explain(t, &err);
	kf_transfer_stop(t);
	drop_headers(t);
	t->done(t->ud, t->result == CURLE_OK ? NULL : &err);
}

static void collect(struct kf_kube *k)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(k->multi, &left))) {
		struct kf_transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		t->finished = 1;
		t->result = m->data.result;
	}
}

/* One thing to tell, told; 0 if there was none. */
static int tell_one(struct kf_kube *k)
{
	struct kf_transfer *t;

	for (t = k->transfers; t; t = t->next) {
		if (t->in.n && t->bytes) {
			curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
			t->bytes(t->ud);
			return 1;
		}
		if (t->finished) {
			finish(t);
			return 1;
		}
	}
	return 0;
}

void kf_transfer_settle(struct kf_kube *k)
{
	collect(k);
	/* any callback may have stopped any transfer, or closed the client: look again each time */
	while (!k->closing && tell_one(k))
		;
}
