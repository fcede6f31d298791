/*
 * Kubeconfig files; see kubeconfig.h and kubernetes.md 5.1.
 *
 * Files are not merged into one: a name is looked for in each in turn, which comes to the same and
 * keeps the file and line of everything, and the directory that relative paths start at.
 * Keys that we do not know are left alone, since other programs keep things of theirs in there;
 * keys that would change who we are and that we do not implement are refused.
 */
#include "kube/kubeconfig.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "kube/keyfile.h"

/* A map of a kubeconfig, and the file it stands in. */
struct place {
	const struct kf_yaml *file;
	const struct kf_yaml_node *map;
};

struct pick {
	struct kf_yaml *const *files;
	unsigned n;
	struct kf_kube_config *config;
	struct kf_error *err;
};

static int no_memory(struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for a kubeconfig");
}

/* The string at `key`; 0 and NULL if it is absent, null or "". */
static int string_at(const struct pick *p, struct place at, const char *key, const char **ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(at.map, key);
	const char *s = NULL;

	*ret = NULL;
	if (!node || node->kind == KF_YAML_NULL)
		return 0;
	if (kf_yaml_string(at.file, node, &s, p->err) < 0)
		return -1;
	if (*s)
		*ret = s;
	return 0;
}

/* A copy of the string at `key`, refused if it could break a header or a command line. */
static int copy_at(const struct pick *p, struct place at, const char *key, char **ret)
{
	const char *s, *c;

	if (string_at(p, at, key, &s) < 0)
		return -1;
	if (!s)
		return 0;
	for (c = s; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return kf_yaml_fail(at.file, kf_yaml_get(at.map, key), p->err,
					    "holds a control character");
	free(*ret);
	*ret = kf_strdup(s);
	return *ret ? 0 : no_memory(p->err);
}

static int bool_at(const struct pick *p, struct place at, const char *key, int *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(at.map, key);

	if (!node || node->kind == KF_YAML_NULL)
		return 0;
	return kf_yaml_bool(at.file, node, ret, p->err);
}

/* Relative paths start at the directory of the file that holds them. */
static char *resolve(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (path[0] == '/' || !slash)
		return kf_strdup(path);
	return kf_asprintf("%.*s/%s", (int)(slash - file), file, path);
}

static int path_at(const struct pick *p, struct place at, const char *key, char **ret)
{
	const char *s;

	if (string_at(p, at, key, &s) < 0)
		return -1;
	if (!s)
		return 0;
	*ret = resolve(at.file->file, s);
	return *ret ? 0 : no_memory(p->err);
}

/* `key`-data if it is there, else the path in `key`: the order of client-go. */
static int key_at(const struct pick *p, struct place at, const char *key, char **ret, int *ret_fd)
{
	kf_auto_mem char *data_key = kf_asprintf("%s-data", key);
	kf_auto_mem char *bytes = NULL;
	const char *s;
	size_t n = 0;

	if (!data_key)
		return no_memory(p->err);
	if (string_at(p, at, data_key, &s) < 0)
		return -1;
	if (!s)
		return path_at(p, at, key, ret);
	if (kf_base64_decode(s, &bytes, &n, p->err) < 0) {
		if (p->err && p->err->code == KF_E_NOMEM)
			return -1;
		return kf_yaml_fail(at.file, kf_yaml_get(at.map, data_key), p->err,
				    "is not base64");
	}
	return kf_keyfile_make(bytes, n, ret_fd, ret, p->err);
}

/* The map `inner` of the entry of `list` whose name is `name`, in the first file that has it. */
static int named(const struct pick *p, const char *list, const char *inner, const char *name,
		 struct place *ret)
{
	unsigned i;

	for (i = 0; i < p->n; i++) {
		const struct kf_yaml_node *all = kf_yaml_get(p->files[i]->root, list);

		if (all && all->kind != KF_YAML_NULL &&
		    kf_yaml_is(p->files[i], all, KF_YAML_LIST, p->err) < 0)
			return -1;
		for (kf_yaml_each(entry, all)) {
			struct place at = {p->files[i], entry};
			const char *s;

			if (kf_yaml_is(at.file, entry, KF_YAML_MAP, p->err) < 0 ||
			    string_at(p, at, "name", &s) < 0)
				return -1;
			if (!s || strcmp(s, name))
				continue;
			ret->file = at.file;
			ret->map = kf_yaml_get(entry, inner);
			if (ret->map && ret->map->kind == KF_YAML_NULL)
				ret->map = NULL;
			return ret->map ? kf_yaml_is(at.file, ret->map, KF_YAML_MAP, p->err) : 0;
		}
	}
	return kf_fail(p->err, KF_E_INPUT, 0, "%s: no entry of %s is named '%s'", p->files[0]->file,
		       list, name);
}

/* --- exec plugin ----------------------------------------------------------------------------- */

static unsigned length(const struct kf_yaml_node *list)
{
	return list && list->kind == KF_YAML_LIST ? list->n : 0;
}

static int list_at(const struct pick *p, struct place at, const char *key,
		   const struct kf_yaml_node **ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(at.map, key);

	*ret = NULL;
	if (!node || node->kind == KF_YAML_NULL)
		return 0;
	*ret = node;
	return kf_yaml_is(at.file, node, KF_YAML_LIST, p->err);
}

static int exec_args(const struct pick *p, struct place at, struct kf_kube_exec *x)
{
	const struct kf_yaml_node *list;
	unsigned n = 0;

	if (list_at(p, at, "args", &list) < 0)
		return -1;
	x->args = kf_calloc(length(list) + 1, sizeof(*x->args));
	if (!x->args)
		return no_memory(p->err);
	for (kf_yaml_each(arg, list)) {
		const char *s;

		if (kf_yaml_string(at.file, arg, &s, p->err) < 0)
			return -1;
		x->args[n] = kf_strdup(s);
		if (!x->args[n++])
			return no_memory(p->err);
	}
	return 0;
}

static int exec_env(const struct pick *p, struct place at, struct kf_kube_exec *x)
{
	const struct kf_yaml_node *list;
	unsigned n = 0;

	if (list_at(p, at, "env", &list) < 0)
		return -1;
	x->env = kf_calloc(length(list) + 1, sizeof(*x->env));
	if (!x->env)
		return no_memory(p->err);
	for (kf_yaml_each(entry, list)) {
		struct place e = {at.file, entry};
		const char *name, *value;

		if (kf_yaml_is(at.file, entry, KF_YAML_MAP, p->err) < 0 ||
		    string_at(p, e, "name", &name) < 0 || string_at(p, e, "value", &value) < 0)
			return -1;
		if (!name || strchr(name, '='))
			return kf_yaml_fail(at.file, entry, p->err,
					    "names no environment variable");
		x->env[n] = kf_asprintf("%s=%s", name, value ? value : "");
		if (!x->env[n++])
			return no_memory(p->err);
	}
	return 0;
}

static int exec_version(const struct pick *p, struct place at, struct kf_kube_exec *x)
{
	if (copy_at(p, at, "apiVersion", &x->version) < 0)
		return -1;
	if (x->version && (!strcmp(x->version, "client.authentication.k8s.io/v1") ||
			   !strcmp(x->version, "client.authentication.k8s.io/v1beta1")))
		return 0;
	return kf_yaml_fail(at.file, at.map, p->err,
			    "apiVersion must be client.authentication.k8s.io/v1 or v1beta1");
}

/* A bare command is searched in PATH; one with a slash is relative to the file. */
static int exec_command(const struct pick *p, struct place at, struct kf_kube_exec *x)
{
	const char *s;

	if (string_at(p, at, "command", &s) < 0)
		return -1;
	if (!s)
		return kf_yaml_fail(at.file, at.map, p->err, "names no command");
	x->command = strchr(s, '/') ? resolve(at.file->file, s) : kf_strdup(s);
	return x->command ? 0 : no_memory(p->err);
}

static int exec_at(const struct pick *p, struct place user)
{
	struct place at = {user.file, kf_yaml_get(user.map, "exec")};
	struct kf_kube_exec *x;

	if (!at.map || at.map->kind == KF_YAML_NULL)
		return 0;
	if (kf_yaml_is(at.file, at.map, KF_YAML_MAP, p->err) < 0)
		return -1;
	x = p->config->exec = kf_calloc(1, sizeof(*x));
	if (!x)
		return no_memory(p->err);
	if (exec_version(p, at, x) < 0 || exec_command(p, at, x) < 0 || exec_args(p, at, x) < 0 ||
	    exec_env(p, at, x) < 0 || copy_at(p, at, "installHint", &x->hint) < 0)
		return -1;
	return bool_at(p, at, "provideClusterInfo", &x->cluster_info);
}

/* --- cluster, user, context ------------------------------------------------------------------ */

/* Only a scheme and an authority that libcurl can take; paths are ours to append. */
static int server_at(const struct pick *p, struct place cluster)
{
	struct kf_kube_config *c = p->config;
	size_t n;

	if (copy_at(p, cluster, "server", &c->server) < 0)
		return -1;
	if (!c->server)
		return kf_yaml_fail(cluster.file, cluster.map, p->err, "names no server");
	n = strlen(c->server);
	while (n && c->server[n - 1] == '/')
		c->server[--n] = '\0';
	if ((strncmp(c->server, "https://", 8) || n == 8) &&
	    (strncmp(c->server, "http://", 7) || n == 7))
		return kf_yaml_fail(cluster.file, kf_yaml_get(cluster.map, "server"), p->err,
				    "must be a URL that begins with https:// or http://");
	if (strpbrk(c->server, " ?#@"))
		return kf_yaml_fail(cluster.file, kf_yaml_get(cluster.map, "server"), p->err,
				    "holds a character that an API server's URL cannot have");
	return 0;
}

static int cluster_at(const struct pick *p, struct place cluster)
{
	struct kf_kube_config *c = p->config;

	if (server_at(p, cluster) < 0 ||
	    key_at(p, cluster, "certificate-authority", &c->ca_file, &c->fds[0]) < 0 ||
	    copy_at(p, cluster, "tls-server-name", &c->tls_server_name) < 0 ||
	    copy_at(p, cluster, "proxy-url", &c->proxy_url) < 0)
		return -1;
	return bool_at(p, cluster, "insecure-skip-tls-verify", &c->insecure);
}

/* What would make us somebody else, or needs a protocol that we do not speak. */
static int refuse_foreign(const struct pick *p, struct place user)
{
	static const char *const keys[] = {
		"as", "as-uid", "as-groups", "as-user-extra", "auth-provider", NULL};
	unsigned i;

	for (i = 0; keys[i]; i++) {
		const struct kf_yaml_node *node = kf_yaml_get(user.map, keys[i]);

		if (node && node->kind != KF_YAML_NULL)
			return kf_yaml_fail(user.file, node, p->err,
					    "kerf does not do that; use a token, a certificate "
					    "or an exec plugin");
	}
	return 0;
}

static int user_at(const struct pick *p, struct place user)
{
	struct kf_kube_config *c = p->config;

	if (refuse_foreign(p, user) < 0 ||
	    key_at(p, user, "client-certificate", &c->cert_file, &c->fds[1]) < 0 ||
	    key_at(p, user, "client-key", &c->key_file, &c->fds[2]) < 0 ||
	    copy_at(p, user, "token", &c->token) < 0 ||
	    path_at(p, user, "tokenFile", &c->token_file) < 0 ||
	    copy_at(p, user, "username", &c->username) < 0 ||
	    copy_at(p, user, "password", &c->password) < 0)
		return -1;
	if (!c->cert_file != !c->key_file)
		return kf_yaml_fail(user.file, user.map, p->err,
				    "has only one of client-certificate and client-key");
	return exec_at(p, user);
}

/* The first file's that has one; NULL with a sentence if none has. */
static const char *current_context(const struct pick *p)
{
	unsigned i;

	for (i = 0; i < p->n; i++) {
		struct place top = {p->files[i], p->files[i]->root};
		const char *name;

		if (string_at(p, top, "current-context", &name) < 0)
			return NULL;
		if (name)
			return name;
	}
	kf_fail(p->err, KF_E_INPUT, 0, "%s: there is no current-context", p->files[0]->file);
	return NULL;
}

static int follow(const struct pick *p, const char *context)
{
	const char *cluster_name, *user_name;
	struct place at, cluster, user;

	if (!context)
		context = current_context(p);
	if (!context)
		return -1;
	if (named(p, "contexts", "context", context, &at) < 0 ||
	    string_at(p, at, "cluster", &cluster_name) < 0 ||
	    string_at(p, at, "user", &user_name) < 0 ||
	    copy_at(p, at, "namespace", &p->config->namespace) < 0)
		return -1;
	if (!cluster_name)
		return kf_fail(p->err, KF_E_INPUT, 0, "%s: context '%s' names no cluster",
			       at.file->file, context);
	if (named(p, "clusters", "cluster", cluster_name, &cluster) < 0 ||
	    cluster_at(p, cluster) < 0)
		return -1;
	if (user_name && (named(p, "users", "user", user_name, &user) < 0 || user_at(p, user) < 0))
		return -1;
	p->config->source = kf_asprintf("%s (context %s)", at.file->file, context);
	return p->config->source ? 0 : no_memory(p->err);
}

int kf_kubeconfig_pick(struct kf_yaml *const *files, unsigned n, const char *context,
		       struct kf_kube_config **ret, struct kf_error *err)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = kf_kube_config_new();
	struct pick p = {files, n, c, err};

	if (!c)
		return no_memory(err);
	if (follow(&p, context && *context ? context : NULL) < 0)
		return -1;
	*ret = kf_take(c);
	return 0;
}
