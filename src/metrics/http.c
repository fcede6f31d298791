/* A small HTTP server on libmicrohttpd; see http.h. */
#include "metrics/http.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/listen.h"
#include "base/own.h"
#include "metrics/login.h"

#define STACK	    (256u << 10)
#define HEAD_BYTES  (16u << 10) /* of a request, with what the server keeps of it */
#define BLOCK_BYTES (32u << 10) /* of an answer, at a time */
#define GZIP_LEAST  1024	/* below it is not worth the header */
#define GZIP_LEVEL  1
#define GZIP_WINDOW 13 /* and 16: with gzip's frame.  8 KiB find what repeats line by line */
#define GZIP_MEMORY 6
#define PER_ADDRESS 16

struct kf_http {
	struct kf_http_options opt;
	char *web_path;
	struct kf_web_config *web;
	struct kf_login *auth;
	struct MHD_Daemon *daemon;
	uint64_t tried; /* the stamp of a web-config that was no good */
	int fd;
	char address[80];
};

/* --- small parsers ------------------------------------------------------------------------- */

/* "q=0.5" among the parameters of one entry: 0 to 1000; 1000 where it is not there. */
static unsigned quality(const char *s, size_t n)
{
	const char *end = s + n;

	for (; s < end; s++) {
		double q;

		if (*s != ';')
			continue;
		for (s++; s < end && *s == ' '; s++)
			;
		if (end - s < 3 || (s[0] != 'q' && s[0] != 'Q') || s[1] != '=')
			continue;
		q = strtod(s + 2, NULL);
		return q <= 0 || q != q ? 0 : q >= 1 ? 1000 : (unsigned)(q * 1000);
	}
	return 1000;
}

unsigned kf_http_accepts(const char *accept, const char *type)
{
	size_t want = strlen(type), family = strcspn(type, "/");
	unsigned best = 0;

	while (*accept) {
		size_t n, name;
		int fits;

		accept += strspn(accept, " ,\t");
		n = strcspn(accept, ",");
		name = strcspn(accept, ",; \t");
		fits = (name == want && !memcmp(accept, type, want)) ||
		       (name == 3 && !memcmp(accept, "*/*", 3)) ||
		       (name == family + 2 && !memcmp(accept, type, family) &&
			!memcmp(accept + family, "/*", 2));
		if (fits && quality(accept, n) > best)
			best = quality(accept, n);
		accept += n;
	}
	return best;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);

	return value ? value : "";
}

/* Is gzip among the encodings, and not with q=0? */
static int takes_gzip(struct MHD_Connection *c)
{
	const char *s = header(c, "Accept-Encoding");

	while (*s) {
		size_t n;

		s += strspn(s, " ,\t");
		n = strcspn(s, ",");
		if (n >= 4 && !strncmp(s, "gzip", 4) && strchr(",; \t", s[4]))
			return quality(s, n) > 0;
		s += n;
	}
	return 0;
}

/* --- answers ------------------------------------------------------------------------------- */

/* A body on its way out, with the time when it must be. */
struct body {
	char *bytes;
	size_t n;
	uint64_t until_ms;
};

/* Pieces, so that one who reads a byte now and then does not keep it for ever. */
static ssize_t read_body(void *ud, uint64_t at, char *out, size_t max)
{
	struct body *b = ud;
	size_t n = b->n - (size_t)at;

	if (kf_now_ms() > b->until_ms)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n > max)
		n = max;
	memcpy(out, b->bytes + at, n);
	return (ssize_t)n;
}

static void free_body(void *ud)
{
	struct body *b = ud;

	free(b->bytes);
	free(b);
}

/* 0 and the body is smaller now, or -1 and as it was. */
static int compress_body(struct kf_http_answer *answer)
{
	z_stream z = {0};
	kf_auto_mem char *out = NULL;
	size_t room;
	int r;

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW + 16, GZIP_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -1;
	room = answer->n / 2;
	out = kf_calloc(room, 1);
	z.next_in = (unsigned char *)answer->body;
	z.avail_in = (unsigned)answer->n;
	z.next_out = (unsigned char *)out;
	z.avail_out = out ? (unsigned)room : 0;
	r = deflate(&z, Z_FINISH);
	room = z.total_out;
	deflateEnd(&z);
	if (r != Z_STREAM_END)
		return -1;
	free(answer->body);
	answer->body = kf_realloc(out, room);
	out = answer->body ? NULL : out;
	if (!answer->body)
		answer->body = kf_take(out);
	answer->n = room;
	return 0;
}

static struct MHD_Response *make_response(struct kf_http_answer *answer)
{
	struct body *b = kf_calloc(1, sizeof(*b));
	struct MHD_Response *r;

	if (!b) {
		free(answer->body);
		return NULL;
	}
	*b = (struct body){answer->body, answer->n, kf_now_ms() + KF_HTTP_LIFE_MS};
	r = MHD_create_response_from_callback(b->n, BLOCK_BYTES, read_body, b, free_body);
	if (!r)
		free_body(b);
	return r;
}

/* A browser keeps nothing, tells nobody where it was, and takes no type but the one that it is
 * told. */
static void add_policy(struct MHD_Response *r, const char *policy)
{
	MHD_add_response_header(r, "Content-Security-Policy", policy);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

static void add_headers(const struct kf_http *h, struct MHD_Response *r,
			const struct kf_http_answer *answer)
{
	unsigned i;

	if (answer->type)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	if (answer->policy)
		add_policy(r, answer->policy);
	for (i = 0; h->web && i < h->web->n_headers; i++)
		MHD_add_response_header(r, h->web->header[i].name, h->web->header[i].value);
}

static enum MHD_Result send_answer(struct kf_http *h, struct MHD_Connection *c,
				   struct kf_http_answer *answer)
{
	struct MHD_Response *r = answer->response;
	int zipped = 0;
	enum MHD_Result ok;

	if (!r) {
		zipped = answer->n >= GZIP_LEAST && takes_gzip(c) && compress_body(answer) == 0;
		r = make_response(answer);
	}
	if (!r)
		return MHD_NO;
	add_headers(h, r, answer);
	if (!answer->response)
		MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
	if (zipped)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	if (answer->status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
					"Basic realm=\"kerf\", charset=\"UTF-8\"");
	if (answer->status == MHD_HTTP_TOO_MANY_REQUESTS)
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	ok = MHD_queue_response(c, (unsigned)answer->status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result send_text(struct kf_http *h, struct MHD_Connection *c, int status,
				 const char *text)
{
	struct kf_http_answer answer = {.status = status,
					.type = "text/plain; charset=utf-8",
					.body = kf_strdup(text),
					.n = strlen(text)};

	if (!answer.body)
		return MHD_NO;
	return send_answer(h, c, &answer);
}

static enum MHD_Result refuse(struct kf_http *h, struct MHD_Connection *c, int status,
			      const char *text)
{
	if (h->opt.refused)
		h->opt.refused(h->opt.ud);
	return send_text(h, c, status, text);
}

/* --- requests ------------------------------------------------------------------------------ */

/* With a CA in the web-config: 1 if the client has shown what it asks for. */
static int client_is_known(const struct kf_http *h, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info;
	gnutls_session_t session;
	unsigned status = 0, n = 0;

	if (!h->web || !h->web->tls || h->web->client == KF_WEB_NO_CLIENT_CERT)
		return 1;
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	session = info ? info->tls_session : NULL;
	if (!session)
		return 0;
	if (!gnutls_certificate_get_peers(session, &n) || n == 0)
		return h->web->client == KF_WEB_VERIFY_IF_GIVEN;
	return gnutls_certificate_verify_peers2(session, &status) == GNUTLS_E_SUCCESS &&
	       status == 0;
}

static enum kf_login_answer check_user(struct kf_http *h, struct MHD_Connection *c)
{
	enum kf_login_answer answer;
	char *password = NULL, *name;

	if (!h->web || h->web->n_users == 0)
		return KF_LOGIN_YES;
	name = MHD_basic_auth_get_username_password(c, &password);
	answer = kf_login_check(h->auth, h->web, name, password, kf_now_ms());
	if (password)
		gnutls_memset(password, 0, strlen(password));
	MHD_free(name);
	MHD_free(password);
	return answer;
}

static const struct kf_http_route *find_route(const struct kf_http *h, const char *path)
{
	unsigned i;

	for (i = 0; i < h->opt.n_routes; i++)
		if (!strcmp(h->opt.routes[i].path, path))
			return &h->opt.routes[i];
	return NULL;
}

static enum MHD_Result answer_route(struct kf_http *h, struct MHD_Connection *c,
				    const struct kf_http_route *route)
{
	const char *query = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "q");
	struct kf_http_request request = {.path = route->path,
					  .accept = header(c, "Accept"),
					  .query = query ? query : "",
					  .connection = c};
	struct kf_http_answer answer = {.status = MHD_HTTP_OK};

	route->handler(h->opt.ud, &request, &answer);
	if (!answer.body && !answer.response)
		return send_text(h, c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
	return send_answer(h, c, &answer);
}

static enum MHD_Result answer_request(struct kf_http *h, struct MHD_Connection *c, const char *path)
{
	const struct kf_http_route *route = find_route(h, path);

	if (!route || !route->open) {
		if (!client_is_known(h, c))
			return refuse(h, c, MHD_HTTP_FORBIDDEN,
				      "a client certificate is asked for\n");
		switch (check_user(h, c)) {
		case KF_LOGIN_YES:
			break;
		case KF_LOGIN_NO:
			return refuse(h, c, MHD_HTTP_UNAUTHORIZED, "Unauthorized\n");
		case KF_LOGIN_LATER:
			return refuse(h, c, MHD_HTTP_TOO_MANY_REQUESTS,
				      "too many new users in a second\n");
		}
	}
	if (!route)
		return send_text(h, c, MHD_HTTP_NOT_FOUND, "not found\n");
	return answer_route(h, c, route);
}

/* Called for the head first, then for each piece of a body, then without one. */
static enum MHD_Result on_request(void *ud, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *n_data, void **state)
{
	static int seen;
	struct kf_http *h = ud;

	(void)version, (void)data;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return *state ? MHD_NO
			      : refuse(h, c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*n_data) {
		*n_data = 0; /* whatever it is */
		return MHD_YES;
	}
	return answer_request(h, c, path);
}

/* --- life ---------------------------------------------------------------------------------- */

/* libmicrohttpd's own words go nowhere: what matters is told by a status. */
static void be_quiet(void *ud, const char *fmt, va_list ap)
{
	(void)ud, (void)fmt, (void)ap;
}

#define FLAGS                                                                                      \
	(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG)

static struct MHD_Daemon *start_daemon(struct kf_http *h, const struct kf_web_config *web, int fd)
{
	struct MHD_OptionItem tls[5] = {{MHD_OPTION_END, 0, NULL}};
	unsigned n = 0;

	if (web && web->tls) {
		tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, web->cert};
		tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, web->key};
		tls[n++] = (struct MHD_OptionItem){
			MHD_OPTION_HTTPS_PRIORITIES, 0,
			web->tls13_only ? (char *)"NORMAL:-VERS-ALL:+VERS-TLS1.3"
					: (char *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"};
		if (web->client_ca)
			tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0,
							   web->client_ca};
		tls[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	}
	return MHD_start_daemon(FLAGS | (web && web->tls ? MHD_USE_TLS : 0), 0, NULL, NULL,
				on_request, h, MHD_OPTION_EXTERNAL_LOGGER, be_quiet, NULL,
				MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned)KF_HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				(unsigned)PER_ADDRESS, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned)KF_HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)HEAD_BYTES, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
				MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* The listening socket outlives the daemon, which closes its own copy. */
static int serve_by(struct kf_http *h, struct kf_web_config *web, struct kf_error *err)
{
	int fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return kf_fail_errno(err, errno, "serve on %s", h->address);
	h->daemon = start_daemon(h, web, fd);
	if (!h->daemon) {
		close(fd);
		return kf_fail(err, KF_E_INPUT, 0, "serve on %s: %s", h->address,
			       web && web->tls ? "certificate and key cannot be used"
					       : "the server does not start");
	}
	if (h->opt.hush)
		h->opt.hush(h->opt.ud, 0);
	return 0;
}

static void stop_daemon(struct kf_http *h)
{
	if (!h->daemon)
		return;
	if (h->opt.hush)
		h->opt.hush(h->opt.ud, 1);
	MHD_stop_daemon(h->daemon);
	h->daemon = NULL;
}

static int load_web(struct kf_http *h, struct kf_web_config **ret, struct kf_error *err)
{
	*ret = NULL;
	return h->web_path ? kf_web_config_load(h->web_path, ret, err) : 0;
}

int kf_http_start(const struct kf_http_options *opt, char *note, size_t size, struct kf_http **ret,
		  struct kf_error *err)
{
	struct kf_http *h = kf_calloc(1, sizeof(*h));

	if (!h)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a server");
	h->opt = *opt;
	h->fd = -1;
	if (opt->web_config && opt->web_config[0])
		h->web_path = kf_strdup(opt->web_config);
	h->auth = kf_login_new();
	if (!h->auth || (opt->web_config && opt->web_config[0] && !h->web_path)) {
		kf_http_stop(h);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a server");
	}
	if (load_web(h, &h->web, err) < 0 ||
	    kf_listen(opt->listen, h->address, sizeof(h->address), &h->fd, err) < 0 ||
	    serve_by(h, h->web, err) < 0) {
		kf_http_stop(h);
		return -1;
	}
	if (note && size)
		snprintf(note, size, "%s", h->web ? h->web->note : "");
	*ret = h;
	return 0;
}

int kf_http_reload(struct kf_http *h, struct kf_error *err)
{
	struct kf_web_config *web = NULL, *old = h->web;
	uint64_t stamp = h->web_path ? kf_web_config_stamp(h->web_path) : 0;

	if (!h->web_path || stamp == h->web->stamp || stamp == h->tried)
		return 1;
	h->tried = stamp;
	if (load_web(h, &web, err) < 0 || !web)
		return -1;
	stop_daemon(h);
	h->web = web;
	if (serve_by(h, web, err) < 0) {
		h->web = old;
		serve_by(h, old, NULL);
		kf_web_config_free(web);
		return -1;
	}
	kf_login_forget(h->auth);
	kf_web_config_free(old);
	return 0;
}

const char *kf_http_address(const struct kf_http *h)
{
	return h->address;
}

int kf_http_is_tls(const struct kf_http *h)
{
	return h->web && h->web->tls;
}

void kf_http_stop(struct kf_http *h)
{
	if (!h)
		return;
	stop_daemon(h);
	if (h->fd >= 0)
		close(h->fd);
	kf_login_free(h->auth);
	kf_web_config_free(h->web);
	free(h->web_path);
	free(h);
}
