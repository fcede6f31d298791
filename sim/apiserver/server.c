/* The stand-in API server: start, stop, and which request is whose; see apiserver.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "serve.h"

#define BODY_LIMIT (4u << 20)

void kf_sim_wait(struct kf_sim_api *api, uint64_t until_ms)
{
	struct timespec t = {.tv_sec = (time_t)(until_ms / 1000),
			     .tv_nsec = (long)(until_ms % 1000) * 1000000};

	pthread_cond_timedwait(&api->store.changed, &api->store.lock, &t);
}

/* --- routing --------------------------------------------------------------------------------- */

static void target_done(struct kf_sim_target *t)
{
	free(t->namespace);
	free(t->name);
	free(t->sub);
}

static int kind_of(const char *plural, enum kf_sim_kind *ret)
{
	unsigned i;

	for (i = 0; i < KF_SIM_KINDS; i++)
		if (!strcmp(kf_sim_kinds[i].plural, plural)) {
			*ret = (enum kf_sim_kind)i;
			return 0;
		}
	return -1;
}

/* One piece of a path, moved past; "" at its end. */
static char *piece(const char **path)
{
	size_t n = strcspn(*path, "/");
	char *s = kf_strndup(*path, n);

	*path += n + ((*path)[n] == '/');
	return s;
}

/* "nodes/a/status", "namespaces/default/pods/x/eviction": 0, or -1 for what we do not have. */
static int parse_target(const char *path, struct kf_sim_target *t)
{
	kf_auto_mem char *word = piece(&path);

	if (word && !strcmp(word, "namespaces")) {
		t->namespace = piece(&path);
		free(word);
		word = piece(&path);
	} else {
		t->namespace = kf_strdup("");
	}
	t->name = piece(&path);
	t->sub = piece(&path);
	if (!word || !t->namespace || !t->name || !t->sub || *path)
		return -1;
	if (kind_of(word, &t->kind) < 0)
		return -1;
	/* an object of a namespace needs one, a Node must not have one */
	return *t->namespace ? (kf_sim_kinds[t->kind].namespaced ? 0 : -1)
			     : (kf_sim_kinds[t->kind].namespaced && *t->name ? -1 : 0);
}

static int wants_watch(const struct kf_sim_call *call)
{
	const char *watch = kf_sim_query(call, "watch");

	return watch && (!strcmp(watch, "1") || !strcmp(watch, "true"));
}

static enum MHD_Result route(struct kf_sim_call *call)
{
	static const char prefix[] = "/api/v1/";
	struct kf_sim_target t = {0};
	json_t *discovery = kf_sim_discovery(call->path);
	enum MHD_Result r;

	if (!strcmp(call->path, "/readyz") || !strcmp(call->path, "/healthz") ||
	    !strcmp(call->path, "/livez"))
		return kf_sim_answer_text(call, 200, "ok");
	if (discovery)
		return kf_sim_answer(call, 200, discovery);
	if (strncmp(call->path, prefix, sizeof(prefix) - 1) ||
	    parse_target(call->path + sizeof(prefix) - 1, &t) < 0)
		r = kf_sim_refuse(call, 404, "NotFound", NULL,
				  "the server could not find the requested resource");
	else if (wants_watch(call) && !strcmp(call->method, "GET") && !*t.name)
		r = kf_sim_watch(call, &t);
	else
		r = kf_sim_verb(call, &t);
	target_done(&t);
	return r;
}

/* --- faults ---------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
	switch (status) {
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "NotFound";
	case 409:
		return "Conflict";
	case 410:
		return "Expired";
	case 429:
		return "TooManyRequests";
	case 503:
		return "ServiceUnavailable";
	default:
		return "InternalError";
	}
}

static void wait_ms(struct kf_sim_api *api, uint64_t ms)
{
	uint64_t until = kf_now_ms() + ms;

	while (!api->stopping && kf_now_ms() < until)
		kf_sim_wait(api, until);
}

static enum MHD_Result fail_as(struct kf_sim_call *call, const struct kf_sim_fault *f)
{
	json_t *json;

	if (f->body)
		return kf_sim_answer_text(call, f->status ? (unsigned)f->status : 200, f->body);
	json = json_pack("{s:s, s:s, s:{}, s:s, s:s, s:s, s:i, s:{}}", "kind", "Status",
			 "apiVersion", "v1", "metadata", "status", "Failure", "message",
			 "as the test wishes", "reason", reason_of(f->status), "code", f->status,
			 "details");
	if (f->retry_after_s)
		json_object_set_new(json_object_get(json, "details"), "retryAfterSeconds",
				    json_integer(f->retry_after_s));
	return kf_sim_answer(call, (unsigned)f->status, json);
}

/* Every request comes through here, under the lock. */
static enum MHD_Result serve(struct kf_sim_call *call)
{
	struct kf_sim_api *api = call->api;
	struct kf_sim_fault f = {0};
	enum MHD_Result r;

	api->stats.requests++;
	if (!kf_sim_fault_for(&api->faults, call->method, call->path, wants_watch(call),
			      call->body.s, &f))
		return route(call);
	wait_ms(api, f.delay_ms);
	if (f.hang)
		wait_ms(api, UINT32_MAX);
	if (f.drop || f.hang)
		r = MHD_NO;
	else if (f.status || f.body)
		r = fail_as(call, &f);
	else
		r = route(call);
	kf_sim_fault_done(&f);
	return r;
}

static int may_come_in(const struct kf_sim_call *call)
{
	const char *shown =
		MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Authorization");

	return !call->api->token ||
	       (shown && !strncmp(shown, "Bearer ", 7) && !strcmp(shown + 7, call->api->token));
}

static enum MHD_Result enter(struct kf_sim_call *call)
{
	struct kf_sim_api *api = call->api;
	enum MHD_Result r;

	pthread_mutex_lock(&api->store.lock);
	if (!strncmp(call->path, "/sim/", 5)) {
		r = kf_sim_control(call);
	} else if (!may_come_in(call)) {
		api->stats.refused++;
		r = kf_sim_refuse(call, 401, "Unauthorized", NULL, "Unauthorized");
	} else {
		r = serve(call);
	}
	pthread_mutex_unlock(&api->store.lock);
	return r;
}

/* --- libmicrohttpd --------------------------------------------------------------------------- */

static enum MHD_Result on_request(void *ud, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_n, void **of_request)
{
	struct kf_sim_call *call = *of_request;

	if (!call) {
		*of_request = call = kf_calloc(1, sizeof(*call));
		if (!call)
			return MHD_NO;
		call->api = ud;
		call->connection = connection;
		return MHD_YES;
	}
	if (*upload_n) {
		if (call->body.n + *upload_n > BODY_LIMIT)
			return MHD_NO;
		kf_text_addn(&call->body, upload, *upload_n);
		*upload_n = 0;
		return MHD_YES;
	}
	call->method = method;
	call->path = url;
	return enter(call);
}

static void on_completed(void *ud, struct MHD_Connection *connection, void **of_request,
			 enum MHD_RequestTerminationCode why)
{
	struct kf_sim_call *call = *of_request;

	if (call)
		kf_text_done(&call->body);
	free(call);
	*of_request = NULL;
}

static int bound_port(struct kf_sim_api *api)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

static struct MHD_Daemon *start_daemon(struct kf_sim_api *api, unsigned short port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
			 MHD_USE_POLL | MHD_USE_ITC | (api->cert ? MHD_USE_TLS : 0);

	return MHD_start_daemon(flags, port, NULL, NULL, on_request, api, MHD_OPTION_SOCK_ADDR, &at,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
				MHD_OPTION_CONNECTION_TIMEOUT, 0u,
				api->cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, api->cert,
				MHD_OPTION_HTTPS_MEM_KEY, api->key, MHD_OPTION_END);
}

/* --- outside --------------------------------------------------------------------------------- */

struct kf_sim_api *kf_sim_api_stop(struct kf_sim_api *api)
{
	if (!api)
		return NULL;
	if (api->daemon) {
		pthread_mutex_lock(&api->store.lock);
		api->stopping = 1;
		pthread_cond_broadcast(&api->store.changed);
		pthread_mutex_unlock(&api->store.lock);
		MHD_stop_daemon(api->daemon);
	}
	kf_sim_faults_done(&api->faults);
	kf_sim_store_done(&api->store);
	free(api->token);
	free(api->url);
	free(api->ca);
	free(api->cert);
	free(api->key);
	free(api);
	return NULL;
}

static int start(struct kf_sim_api *api, const struct kf_sim_api_options *o, struct kf_error *err)
{
	api->budget = -1;
	api->bookmark_ms = o->bookmark_ms ? o->bookmark_ms : 60000;
	if (kf_sim_store_init(&api->store, o->history, err) < 0)
		return -1;
	api->token = o->token ? kf_strdup(o->token) : NULL;
	if (o->tls && kf_sim_certificate(&api->cert, &api->key, err) < 0)
		return -1;
	api->ca = api->cert ? kf_strdup(api->cert) : NULL;
	api->daemon = start_daemon(api, o->port);
	if (!api->daemon)
		return kf_fail_errno(err, errno, "stand-in API server: port %u", o->port);
	api->url = kf_asprintf("%s://127.0.0.1:%d", o->tls ? "https" : "http", bound_port(api));
	return api->url ? 0 : kf_fail(err, KF_E_NOMEM, 0, "no memory for a URL");
}

int kf_sim_api_start(const struct kf_sim_api_options *options, struct kf_sim_api **ret,
		     struct kf_error *err)
{
	kf_auto(kf_sim_api_stopp) struct kf_sim_api *api = kf_calloc(1, sizeof(*api));

	if (!api)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a stand-in API server");
	if (start(api, options, err) < 0)
		return -1;
	*ret = kf_take(api);
	return 0;
}

static int add_node(struct kf_sim_store *s, const char *name)
{
	struct kf_sim_object *o;
	json_t *json;

	if (kf_sim_find(s, KF_SIM_NODES, "", name))
		return -1;
	json = json_pack("{s:{s:s, s:{s:s}}, s:{}, s:{}}", "metadata", "name", name, "labels",
			 "kubernetes.io/hostname", name, "spec", "status");
	return json ? kf_sim_add(s, KF_SIM_NODES, json, &o) : -1;
}

int kf_sim_api_add_node(struct kf_sim_api *api, const char *name, struct kf_error *err)
{
	int r;

	pthread_mutex_lock(&api->store.lock);
	r = add_node(&api->store, name);
	pthread_mutex_unlock(&api->store.lock);
	return r < 0 ? kf_fail(err, KF_E_STATE, 0, "node %s cannot be added", name) : 0;
}

const char *kf_sim_api_url(const struct kf_sim_api *api)
{
	return api->url;
}

const char *kf_sim_api_ca(const struct kf_sim_api *api)
{
	return api->ca;
}

static void add_base64(struct kf_text *t, const char *s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(s), i;

	for (i = 0; i < n; i += 3) {
		unsigned v = (unsigned)(unsigned char)s[i] << 16;
		char out[5] = "====";

		v |= i + 1 < n ? (unsigned)(unsigned char)s[i + 1] << 8 : 0;
		v |= i + 2 < n ? (unsigned char)s[i + 2] : 0;
		out[0] = digits[v >> 18];
		out[1] = digits[v >> 12 & 63];
		if (i + 1 < n)
			out[2] = digits[v >> 6 & 63];
		if (i + 2 < n)
			out[3] = digits[v & 63];
		kf_text_addn(t, out, 4);
	}
}

char *kf_sim_api_kubeconfig(const struct kf_sim_api *api)
{
	struct kf_text t = {0};

	/* without a token kubectl would ask for a user and a password */
	kf_text_addf(&t,
		     "apiVersion: v1\nkind: Config\ncurrent-context: sim\n"
		     "contexts:\n- name: sim\n  context: {cluster: sim, user: sim}\n"
		     "users:\n- name: sim\n  user: {token: %s}\n"
		     "clusters:\n- name: sim\n  cluster:\n    server: %s\n",
		     api->token ? api->token : "anybody", api->url);
	if (api->ca) {
		kf_text_add(&t, "    certificate-authority-data: ");
		add_base64(&t, api->ca);
		kf_text_add(&t, "\n");
	}
	return kf_text_take(&t);
}
