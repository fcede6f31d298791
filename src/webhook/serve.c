/* HTTPS by libmicrohttpd; see serve.h. */
#include "webhook/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/listen.h"
#include "base/own.h"
#include "base/text.h"
#include "webhook/admission.h"
#include "webhook/certificate.h"

#define BODY_BYTES  (4u << 20) /* an API server takes objects of 3 MiB */
#define HEAD_BYTES  (32u << 10)
#define CONNECTIONS 128u
#define IDLE_S	    120u /* API servers give up idle connections after 90 s: not at the same time */
#define STACK	    (256u << 10)

struct kf_serve {
	int fd;
	char address[80];
	struct MHD_Daemon *daemon, *before; /* the latter has connections of the old certificate */
};

/* --- answers ------------------------------------------------------------------------------- */

/* Takes `body`. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
			      char *body)
{
	struct MHD_Response *r;
	enum MHD_Result ok;

	if (!body)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", kf_strdup(text));
}

static enum MHD_Result review(struct MHD_Connection *c, const struct kf_text *body)
{
	struct kf_error err = {0};
	char *out = NULL;

	if (body->failed)
		return say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
	if (body->n > BODY_BYTES)
		return say(c, MHD_HTTP_CONTENT_TOO_LARGE, "more than any object has\n");
	if (kf_admission_review(body->s ? body->s : "", body->n, &out, &err) < 0)
		return say(c,
			   err.code == KF_E_NOMEM ? MHD_HTTP_INTERNAL_SERVER_ERROR
						  : MHD_HTTP_BAD_REQUEST,
			   err.msg);
	return answer(c, MHD_HTTP_OK, "application/json", out);
}

/* --- requests ------------------------------------------------------------------------------ */

static enum MHD_Result answer_head(struct MHD_Connection *c, const char *path, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n");
	if (strcmp(path, "/healthz") != 0 && strcmp(path, "/readyz") != 0)
		return say(c, MHD_HTTP_NOT_FOUND, "POST an AdmissionReview to /\n");
	return say(c, MHD_HTTP_OK, "ok\n");
}

/* Called for the head, for each piece of a body, and at its end.  What is beyond the limit is read
 * and dropped, so that the answer is heard. */
static enum MHD_Result on_request(void *ud, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *n_data, void **state)
{
	struct kf_text *body = *state;

	(void)ud, (void)version;
	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		return answer_head(c, path, method);
	if (!body) {
		*state = kf_calloc(1, sizeof(*body));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*n_data == 0)
		return review(c, body);
	if (body->n <= BODY_BYTES)
		kf_text_addn(body, data, *n_data);
	*n_data = 0;
	return MHD_YES;
}

static void on_completed(void *ud, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode how)
{
	(void)ud, (void)c, (void)how;
	if (*state)
		kf_text_done(*state);
	free(*state);
	*state = NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

/* libmicrohttpd's own words go nowhere: what matters is told by a status. */
static void be_quiet(void *ud, const char *fmt, va_list ap)
{
	(void)ud, (void)fmt, (void)ap;
}

#define FLAGS (MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG | MHD_USE_TLS)

/* A server on a copy of the socket, which it closes. */
static struct MHD_Daemon *start_daemon(struct kf_serve *s, const struct kf_certificate *c,
				       struct kf_error *err)
{
	int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	struct MHD_Daemon *daemon;

	if (fd < 0) {
		kf_fail_errno(err, errno, "serve on %s", s->address);
		return NULL;
	}
	daemon = MHD_start_daemon(FLAGS, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER,
				  be_quiet, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
				  MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				  CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
				  MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,
				  MHD_OPTION_HTTPS_MEM_CERT, c->server, MHD_OPTION_HTTPS_MEM_KEY,
				  c->key, MHD_OPTION_HTTPS_PRIORITIES,
				  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_END);
	if (!daemon) {
		close(fd);
		kf_fail(err, KF_E_SYSTEM, 0, "serve on %s: the server does not start", s->address);
	}
	return daemon;
}

int kf_serve_start(const char *listen, const struct kf_certificate *c, struct kf_serve **ret,
		   struct kf_error *err)
{
	struct kf_serve *s = kf_calloc(1, sizeof(*s));

	if (!s)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a server");
	s->fd = -1;
	if (kf_listen(listen, s->address, sizeof(s->address), &s->fd, err) < 0 ||
	    !(s->daemon = start_daemon(s, c, err))) {
		kf_serve_stop(s);
		return -1;
	}
	*ret = s;
	return 0;
}

/* The old server stops accepting and serves what it has, until the certificate after this one. */
int kf_serve_change(struct kf_serve *s, const struct kf_certificate *c, struct kf_error *err)
{
	struct MHD_Daemon *next = start_daemon(s, c, err);
	MHD_socket fd;

	if (!next)
		return -1;
	if (s->before)
		MHD_stop_daemon(s->before);
	fd = MHD_quiesce_daemon(s->daemon);
	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	s->before = s->daemon;
	s->daemon = next;
	return 0;
}

const char *kf_serve_address(const struct kf_serve *s)
{
	return s->address;
}

void kf_serve_stop(struct kf_serve *s)
{
	if (!s)
		return;
	if (s->before)
		MHD_stop_daemon(s->before);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}
