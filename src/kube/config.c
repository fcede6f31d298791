/* Where the API server is; see config.h. */
#include "kube/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"
#include "kube/kubeconfig.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define MAX_FILES	16 /* of $KUBECONFIG */

static int no_memory(struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the API server's configuration");
}

void kf_kube_times_default(struct kf_kube_times *t)
{
	*t = (struct kf_kube_times){
		.connect_ms = 10000,
		.request_ms = 30000,
		.silence_ms = 180000, /* bookmarks come about once a minute */
		.backoff_ms = 800,
		.backoff_max_ms = 30000,
		.token_ms = 60000, /* the kubelet rewrites a token at 80 % of its life */
		.exec_ms = 30000,
	};
}

struct kf_kube_config *kf_kube_config_new(void)
{
	struct kf_kube_config *c = kf_calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fds[0] = c->fds[1] = c->fds[2] = -1;
	kf_kube_times_default(&c->times);
	return c;
}

static void free_list(char **list)
{
	unsigned i;

	for (i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static void free_exec(struct kf_kube_exec *x)
{
	if (!x)
		return;
	free(x->version);
	free(x->command);
	free(x->hint);
	free_list(x->args);
	free_list(x->env);
	free(x);
}

/* Secrets do not stay behind in freed memory. */
static void free_secret(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

struct kf_kube_config *kf_kube_config_free(struct kf_kube_config *c)
{
	unsigned i;

	if (!c)
		return NULL;
	for (i = 0; i < 3; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	free(c->source);
	free(c->server);
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->tls_server_name);
	free(c->proxy_url);
	free_secret(c->token);
	free(c->token_file);
	free(c->username);
	free_secret(c->password);
	free(c->namespace);
	free_exec(c->exec);
	free(c);
	return NULL;
}

static int default_namespace(struct kf_kube_config *c, struct kf_error *err)
{
	if (!c->namespace)
		c->namespace = kf_strdup("default");
	return c->namespace ? 0 : no_memory(err);
}

/* --- in cluster ------------------------------------------------------------------------------ */

static int account_files(struct kf_kube_config *c, const char *dir, struct kf_error *err)
{
	kf_auto_mem char *path = kf_asprintf("%s/namespace", dir);
	size_t n = 0;

	c->ca_file = kf_asprintf("%s/ca.crt", dir);
	c->token_file = kf_asprintf("%s/token", dir);
	if (!path || !c->ca_file || !c->token_file)
		return no_memory(err);
	if (access(c->token_file, R_OK) < 0 || access(c->ca_file, R_OK) < 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "in-cluster: %s: token or ca.crt cannot be read; is the service "
			       "account's token mounted?",
			       dir);
	/* the namespace file is a convenience; without it "default" does */
	c->namespace = kf_read_file(path, 512, &n, NULL);
	return default_namespace(c, err);
}

int kf_kube_config_in_cluster(const char *dir, struct kf_kube_config **ret, struct kf_error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = NULL;
	uint64_t number;

	if (!host || !*host || !port || !*port)
		return KF_KUBE_NOWHERE;
	if (strpbrk(host, "/ ?#@") || kf_parse_uint(port, 65535, &number) < 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "KUBERNETES_SERVICE_HOST='%s' and KUBERNETES_SERVICE_PORT='%s' are "
			       "no address",
			       host, port);
	c = kf_kube_config_new();
	if (!c)
		return no_memory(err);
	/* an IPv6 address needs its brackets in a URL */
	c->server =
		kf_asprintf(strchr(host, ':') && *host != '[' ? "https://[%s]:%s" : "https://%s:%s",
			    host, port);
	c->source = kf_strdup("in-cluster");
	if (!c->server || !c->source)
		return no_memory(err);
	if (account_files(c, dir ? dir : SERVICE_ACCOUNT, err) < 0)
		return -1;
	*ret = kf_take(c);
	return 0;
}

/* --- kubeconfig ------------------------------------------------------------------------------ */

static int pick(struct kf_yaml *const *files, unsigned n, const char *context,
		struct kf_kube_config **ret, struct kf_error *err)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = NULL;

	if (kf_kubeconfig_pick(files, n, context, &c, err) < 0 || default_namespace(c, err) < 0)
		return -1;
	*ret = kf_take(c);
	return 0;
}

int kf_kube_config_parse(const char *bytes, size_t n, const char *name, const char *context,
			 struct kf_kube_config **ret, struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_parse(bytes, n, name, &y, err) < 0)
		return -1;
	return pick(&y, 1, context, ret, err);
}

static int load_one(const char *path, const char *context, struct kf_kube_config **ret,
		    struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_load(path, KF_YAML_BYTES, &y, err) < 0)
		return -1;
	return pick(&y, 1, context, ret, err);
}

/* Load those of a colon list that exist; client-go passes over the others, too. */
static int load_files(char *list, struct kf_yaml **files, unsigned *n, struct kf_error *err)
{
	char *save = NULL, *path;

	for (path = strtok_r(list, ":", &save); path; path = strtok_r(NULL, ":", &save)) {
		if (access(path, F_OK) < 0)
			continue;
		if (*n == MAX_FILES)
			return kf_fail(err, KF_E_INPUT, 0, "$KUBECONFIG names over %d files",
				       MAX_FILES);
		if (kf_yaml_load(path, KF_YAML_BYTES, &files[*n], err) < 0)
			return -1;
		++*n;
	}
	if (!*n)
		return kf_fail(err, KF_E_INPUT, 0, "$KUBECONFIG names no file that exists");
	return 0;
}

static int load_list(const char *list, const char *context, struct kf_kube_config **ret,
		     struct kf_error *err)
{
	kf_auto_mem char *copy = kf_strdup(list);
	struct kf_yaml *files[MAX_FILES] = {0};
	unsigned n = 0, i;
	int r;

	if (!copy)
		return no_memory(err);
	r = load_files(copy, files, &n, err);
	if (r == 0)
		r = pick(files, n, context, ret, err);
	for (i = 0; i < n; i++)
		kf_yaml_free(files[i]);
	return r;
}

static int load_home(const char *context, struct kf_kube_config **ret, struct kf_error *err)
{
	const char *home = getenv("HOME");
	kf_auto_mem char *path = home && *home ? kf_asprintf("%s/.kube/config", home) : NULL;

	if (!path || access(path, F_OK) < 0)
		return KF_KUBE_NOWHERE;
	return load_one(path, context, ret, err);
}

int kf_kube_config_load(const char *kubeconfig, const char *context, struct kf_kube_config **ret,
			struct kf_error *err)
{
	const char *list = getenv("KUBECONFIG");
	int r;

	if (kubeconfig && *kubeconfig)
		return load_one(kubeconfig, context, ret, err);
	if (list && *list)
		return load_list(list, context, ret, err);
	r = kf_kube_config_in_cluster(NULL, ret, err);
	if (r != KF_KUBE_NOWHERE)
		return r;
	return load_home(context, ret, err);
}
