/* Credentials; see auth.h.  The plugin is a struct run of its own, which may outlive us. */
#include "kube/auth.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/codec.h"
#include "kube/keyfile.h"

#define TOKEN_LIMIT  (64u << 10)
#define OUTPUT_LIMIT (1u << 20)
#define AGAIN_MS     1000 /* a failing plugin is not run more often */
#define MARGIN_S     60	  /* a credential this close to its end is not used any more */

extern char **environ;

struct run {
	uv_process_t process;
	uv_pipe_t out;
	uv_timer_t timer;
	struct kf_text text;
	struct kf_auth *auth;
	int exited, ended, timed_out;
	int unborn; /* there was no memory to try: process is no handle */
	int64_t status;
	int signal;
	unsigned open; /* handles not closed yet */
	char buffer[4096];
};

struct kf_auth {
	uv_loop_t *loop;
	const struct kf_kube_config *config;
	void (*ready)(void *ud);
	void *ud;

	char *token; /* of the file or the plugin */
	char *cert_file, *key_file;
	int cert_fd, key_fd;
	int have;	   /* what is cached is good ... */
	uint64_t until_ms; /* ... until then; 0: for ever */

	struct run *run;
	struct kf_error failed; /* of the last run */
	uint64_t failed_until_ms;

	int closing;
	void (*closed)(void *ud);
	void *closed_ud;
};

static void forget(struct kf_auth *a)
{
	if (a->token)
		explicit_bzero(a->token, strlen(a->token));
	free(a->token);
	a->token = NULL;
	a->have = 0;
}

static void forget_certificate(struct kf_auth *a)
{
	free(a->cert_file);
	free(a->key_file);
	a->cert_file = a->key_file = NULL;
	if (a->cert_fd >= 0)
		close(a->cert_fd);
	if (a->key_fd >= 0)
		close(a->key_fd);
	a->cert_fd = a->key_fd = -1;
}

/* --- token file ------------------------------------------------------------------------------ */

static char *trim(char *s)
{
	size_t n = strlen(s);

	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static int usable(const char *token)
{
	if (!*token)
		return 0;
	for (; *token; token++)
		if ((unsigned char)*token <= 0x20 || *token == 0x7f)
			return 0;
	return 1;
}

/* A file that cannot be read now does not take away the token that we have. */
static int read_token(struct kf_auth *a, struct kf_error *err)
{
	size_t n = 0;
	char *s = kf_read_file(a->config->token_file, TOKEN_LIMIT, &n, err);

	if (s && !usable(trim(s))) {
		free(s);
		s = NULL;
		kf_fail(err, KF_E_INPUT, 0, "%s holds no token", a->config->token_file);
	}
	if (!s && !a->token)
		return -1;
	if (s) {
		forget(a);
		a->token = s;
	}
	a->have = 1;
	a->until_ms = kf_now_ms() + a->config->times.token_ms;
	return 0;
}

/* --- exec plugin ----------------------------------------------------------------------------- */

static int keep_certificate(struct kf_auth *a, const struct kf_auth_credential *c,
			    struct kf_error *err)
{
	char *cert = NULL, *key = NULL;
	int cert_fd = -1, key_fd = -1;

	if (!c->cert) {
		forget_certificate(a);
		return 0;
	}
	/* the old files stay open meanwhile, so that the new ones get other names: libcurl tells
	 * connections apart by them */
	if (kf_keyfile_make(c->cert, strlen(c->cert), &cert_fd, &cert, err) < 0)
		return -1;
	if (kf_keyfile_make(c->key, strlen(c->key), &key_fd, &key, err) < 0) {
		close(cert_fd);
		free(cert);
		return -1;
	}
	forget_certificate(a);
	a->cert_file = cert;
	a->key_file = key;
	a->cert_fd = cert_fd;
	a->key_fd = key_fd;
	return 0;
}

static uint64_t end_of(const struct kf_auth_credential *c)
{
	int64_t now_s;
	int32_t us;

	if (!c->expires_s)
		return 0;
	kf_wall(&now_s, &us);
	if (c->expires_s - MARGIN_S <= now_s)
		return kf_now_ms() + AGAIN_MS;
	return kf_now_ms() + (uint64_t)(c->expires_s - MARGIN_S - now_s) * 1000;
}

static int keep(struct kf_auth *a, const struct run *r, struct kf_error *err)
{
	struct kf_auth_credential c = {0};
	int result;

	if (kf_auth_credential_read(r->text.s ? r->text.s : "", r->text.n, a->config->exec->version,
				    &c, err) < 0)
		return -1;
	result = keep_certificate(a, &c, err);
	if (result == 0) {
		forget(a);
		a->token = kf_take(c.token);
		a->until_ms = end_of(&c);
		a->have = 1;
	}
	kf_auth_credential_done(&c);
	return result;
}

static int judge(struct kf_auth *a, const struct run *r, struct kf_error *err)
{
	if (r->timed_out)
		return kf_fail(err, KF_E_TIMEOUT, 0, "gave no answer within %u ms",
			       a->config->times.exec_ms);
	if (r->text.failed)
		return kf_fail(err, KF_E_PROTOCOL, 0,
			       "printed over %u bytes, or there is no memory", OUTPUT_LIMIT);
	if (r->status || r->signal)
		return kf_fail(err, KF_E_REMOTE, (int)r->status,
			       "ended with status %d, signal %d%s%s", (int)r->status, r->signal,
			       a->config->exec->hint ? ": " : "",
			       a->config->exec->hint ? a->config->exec->hint : "");
	return keep(a, r, err);
}

static void fail_run(struct kf_auth *a)
{
	kf_prefix(&a->failed, "credential plugin %s", a->config->exec->command);
	a->failed_until_ms = kf_now_ms() + AGAIN_MS;
}

static void free_auth(struct kf_auth *a)
{
	void (*closed)(void *ud) = a->closed;
	void *ud = a->closed_ud;

	forget(a);
	forget_certificate(a);
	free(a);
	if (closed)
		closed(ud);
}

static void run_closed(uv_handle_t *h)
{
	struct run *r = h->data;
	struct kf_auth *a = r->auth;

	if (--r->open)
		return;
	if (r->text.s)
		explicit_bzero(r->text.s, r->text.n);
	kf_text_done(&r->text);
	explicit_bzero(r->buffer, sizeof(r->buffer));
	free(r);
	a->run = NULL;
	if (a->closing)
		free_auth(a);
	else
		a->ready(a->ud);
}

static void close_run(struct run *r)
{
	if (uv_is_closing((uv_handle_t *)&r->timer))
		return;
	uv_close((uv_handle_t *)&r->timer, run_closed);
	uv_close((uv_handle_t *)&r->out, run_closed);
	if (!r->unborn)
		uv_close((uv_handle_t *)&r->process, run_closed);
}

/* Over when the program has ended and its output too; a killed one's output does not matter. */
static void maybe_over(struct run *r)
{
	struct kf_auth *a = r->auth;

	if (!r->exited || !(r->ended || r->timed_out || a->closing))
		return;
	if (!a->closing && !uv_is_closing((uv_handle_t *)&r->timer) && judge(a, r, &a->failed) < 0)
		fail_run(a);
	close_run(r);
}

static void on_exit_status(uv_process_t *p, int64_t status, int sig)
{
	struct run *r = p->data;

	r->exited = 1;
	r->status = status;
	r->signal = sig;
	maybe_over(r);
}

static void on_time(uv_timer_t *t)
{
	struct run *r = t->data;

	r->timed_out = 1;
	if (!r->exited)
		uv_process_kill(&r->process, SIGKILL);
	maybe_over(r);
}

static void give_buffer(uv_handle_t *h, size_t want, uv_buf_t *buf)
{
	struct run *r = h->data;

	*buf = uv_buf_init(r->buffer, sizeof(r->buffer));
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct run *r = s->data;

	if (n > 0 && r->text.n + (size_t)n > OUTPUT_LIMIT) {
		kf_text_done(&r->text);
		r->text.failed = 1;
	} else if (n > 0) {
		kf_text_addn(&r->text, buf->base, (size_t)n);
	}
	if (n >= 0)
		return;
	r->ended = 1;
	uv_read_stop(s);
	maybe_over(r);
}

/* The cluster, for plugins that ask for it; no key material goes in there. */
static char *exec_info(const struct kf_kube_config *c)
{
	json_auto_t *info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", c->exec->version, "kind",
				      "ExecCredential", "spec", "interactive", 0);
	kf_auto_mem char *text = NULL;

	if (info && c->exec->cluster_info)
		json_object_set_new(json_object_get(info, "spec"), "cluster",
				    json_pack("{s:s, s:b}", "server", c->server,
					      "insecure-skip-tls-verify", c->insecure));
	text = kf_kube_text(info);
	return text ? kf_asprintf("KUBERNETES_EXEC_INFO=%s", text) : NULL;
}

/* Does one of n settings set the variable that `setting` sets? */
static int has_name(char *const *settings, size_t n, const char *setting)
{
	size_t length = strcspn(setting, "="), i;

	for (i = 0; i < n; i++)
		if (!strncmp(settings[i], setting, length) && settings[i][length] == '=')
			return 1;
	return 0;
}

/* The configuration's additions, KUBERNETES_EXEC_INFO (the only element that is the caller's to
 * free), and what else there is in our own environment. */
static char **environment(const struct kf_kube_config *c, char **ret_info)
{
	size_t n = 0, m = 0, i;
	char **all;

	while (environ[n])
		n++;
	while (c->exec->env[m])
		m++;
	all = kf_calloc(n + m + 2, sizeof(*all));
	*ret_info = exec_info(c);
	if (!all || !*ret_info) {
		free(all);
		free(*ret_info);
		*ret_info = NULL;
		return NULL;
	}
	for (i = 0; i < m; i++)
		all[i] = c->exec->env[i];
	all[m++] = *ret_info;
	for (i = 0; i < n; i++)
		if (!has_name(all, m, environ[i]))
			all[m++] = environ[i];
	return all;
}

static char **arguments(const struct kf_kube_exec *x)
{
	size_t n = 0, i;
	char **all;

	while (x->args[n])
		n++;
	all = kf_calloc(n + 2, sizeof(*all));
	if (!all)
		return NULL;
	all[0] = x->command;
	for (i = 0; i < n; i++)
		all[i + 1] = x->args[i];
	return all;
}

static int spawn(struct kf_auth *a, struct run *r)
{
	const struct kf_kube_config *c = a->config;
	kf_auto_mem char *info = NULL;
	kf_auto_mem char **env = environment(c, &info);
	kf_auto_mem char **args = arguments(c->exec);
	uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
					 {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
					  .data.stream = (uv_stream_t *)&r->out},
					 {.flags = UV_INHERIT_FD, .data.fd = 2}};
	uv_process_options_t options = {.exit_cb = on_exit_status,
					.file = c->exec->command,
					.args = args,
					.env = env,
					.stdio = stdio,
					.stdio_count = 3};

	if (env && args)
		return uv_spawn(a->loop, &r->process, &options);
	r->unborn = 1;
	r->open--;
	return UV_ENOMEM;
}

static int start_run(struct kf_auth *a, struct kf_error *err)
{
	struct run *r = kf_calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to run %s", a->config->exec->command);
	r->auth = a;
	r->open = 3;
	uv_timer_init(a->loop, &r->timer);
	uv_pipe_init(a->loop, &r->out, 0);
	r->timer.data = r->out.data = r->process.data = r;
	a->run = r;
	memset(&a->failed, 0, sizeof(a->failed));
	rc = spawn(a, r);
	if (rc < 0) {
		/* after a failed uv_spawn the handle must be closed all the same */
		kf_fail(&a->failed, KF_E_SYSTEM, -rc, "%s%s%s", uv_strerror(rc),
			a->config->exec->hint ? ": " : "",
			a->config->exec->hint ? a->config->exec->hint : "");
		fail_run(a);
		close_run(r);
		return KF_AUTH_WAIT;
	}
	uv_read_start((uv_stream_t *)&r->out, give_buffer, on_output);
	uv_timer_start(&r->timer, on_time, a->config->times.exec_ms, 0);
	return KF_AUTH_WAIT;
}

/* --- the outside ----------------------------------------------------------------------------- */

int kf_auth_new(uv_loop_t *loop, const struct kf_kube_config *config, void (*ready)(void *ud),
		void *ud, struct kf_auth **ret, struct kf_error *err)
{
	struct kf_auth *a = kf_calloc(1, sizeof(*a));

	if (!a)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for credentials");
	a->loop = loop;
	a->config = config;
	a->ready = ready;
	a->ud = ud;
	a->cert_fd = a->key_fd = -1;
	*ret = a;
	return 0;
}

void kf_auth_close(struct kf_auth *a, void (*closed)(void *ud), void *ud)
{
	a->closing = 1;
	a->closed = closed;
	a->closed_ud = ud;
	if (!a->run) {
		free_auth(a);
		return;
	}
	if (!a->run->exited)
		uv_process_kill(&a->run->process, SIGKILL);
	maybe_over(a->run);
}

static int fresh(const struct kf_auth *a)
{
	return a->have && (!a->until_ms || kf_now_ms() < a->until_ms);
}

static int ask_plugin(struct kf_auth *a, struct kf_error *err)
{
	if (a->run)
		return KF_AUTH_WAIT;
	if (a->failed.code && kf_now_ms() < a->failed_until_ms) {
		if (err)
			*err = a->failed;
		return -1;
	}
	return start_run(a, err);
}

static void show(const struct kf_auth *a, const char **token, const char **cert, const char **key)
{
	*token = a->token ? a->token : a->config->token;
	*cert = a->cert_file ? a->cert_file : a->config->cert_file;
	*key = a->key_file ? a->key_file : a->config->key_file;
}

int kf_auth_get(struct kf_auth *a, const char **token, const char **cert_file,
		const char **key_file, struct kf_error *err)
{
	const struct kf_kube_config *c = a->config;
	int r = 0;

	/* a fixed token or certificate is preferred to a plugin, as client-go does it */
	if (c->token_file && !fresh(a))
		r = read_token(a, err);
	else if (c->exec && !c->token && !c->token_file && !fresh(a))
		r = ask_plugin(a, err);
	if (r == 0)
		show(a, token, cert_file, key_file);
	return r;
}

int kf_auth_renew(struct kf_auth *a)
{
	kf_auto_mem char *old = NULL;

	if (a->config->exec && !a->config->token && !a->config->token_file) {
		forget(a);
		return 1;
	}
	if (!a->config->token_file)
		return 0;
	old = a->token ? kf_strdup(a->token) : NULL;
	if (read_token(a, NULL) < 0)
		return 0;
	return !old || strcmp(old, a->token);
}
