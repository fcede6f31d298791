/*
 * A small HTTP server for what is read with GET: metrics, health, later the page.
 *
 * One thread of its own serves all connections without ever blocking on one of them, so that
 * neither a slow reader nor a scrape holds up the agent.  Connections are limited in number, idle
 * time and life; a request has no body and a small head.
 *
 * TLS and basic authentication are those of a Prometheus web-config file (webconfig.h).
 */
#pragma once

#include <stddef.h>

struct kf_error;
struct kf_http;
struct MHD_Connection;
struct MHD_Response;

#define KF_HTTP_CONNECTIONS 32
#define KF_HTTP_IDLE_S	    10
#define KF_HTTP_LIFE_MS	    30000 /* of one answer */

struct kf_http_request {
	const char *path, *accept;	   /* accept: the header, or "" */
	const char *query;		   /* value of ?q= , or "" */
	struct MHD_Connection *connection; /* for a response of the handler's own making */
};

struct kf_http_answer {
	int status;
	const char *type;   /* Content-Type */
	const char *policy; /* Content-Security-Policy; NULL: it is nothing that a browser shows */
	char *body;	    /* malloc's; the server frees it */
	size_t n;
	/* Instead of a body: a response of the handler's own making, which the server takes. */
	struct MHD_Response *response;
};

/* Fills in *ret (which is zeroed).  Called on the server's thread; must not wait for anything. */
typedef void kf_http_handler(void *ud, const struct kf_http_request *request,
			     struct kf_http_answer *ret);

struct kf_http_route {
	const char *path;
	kf_http_handler *handler;
	int open; /* no credentials are asked for */
};

struct kf_http_options {
	const char *listen;	/* "HOST:PORT", ":PORT"; HOST an address, PORT 0: any free one */
	const char *web_config; /* path; NULL or "": neither TLS nor authentication */
	const struct kf_http_route *routes; /* borrowed until kf_http_stop */
	unsigned n_routes;
	void *ud;
	void (*refused)(void *ud); /* a request was refused; may be NULL */
	/* The server stops (1): no connection may be suspended then, or become so; it is there
	 * again (0).  May be NULL. */
	void (*hush)(void *ud, int on);
};

/*
 * Listen and serve.  `note` (of `size` bytes, may be NULL) gets what the web-config asks for and
 * does not come as asked, or "".
 * 0 and *ret; negative: the address is none or taken, or the web-config cannot be read.
 */
int kf_http_start(const struct kf_http_options *opt, char *note, size_t size, struct kf_http **ret,
		  struct kf_error *err);
/*
 * The web-config or one of its certificates has changed: serve by the new ones.  0 done, 1 nothing
 * has changed, negative: it is no good, and the old ones stay in force.
 */
int kf_http_reload(struct kf_http *h, struct kf_error *err);
/* "127.0.0.1:41234", as it is really listened on. */
const char *kf_http_address(const struct kf_http *h);
int kf_http_is_tls(const struct kf_http *h);
void kf_http_stop(struct kf_http *h);

/* How much the client wants `type` ("text/plain") by an Accept header: 0 (not at all) to 1000. */
unsigned kf_http_accepts(const char *accept, const char *type);
