/*
 * Where the API server is and who we are: from inside the cluster, or by a kubeconfig.
 *
 * Facts: kubernetes.md 5.1.  Key material that a kubeconfig carries inline (`-data`) is put into
 * memory files, so that the rest of the code knows paths only and every TLS library that libcurl
 * may be built on can read it; nothing secret is ever written to a disk or a log.
 */
#pragma once

#include <stddef.h>

#include "base/own.h"

struct kf_error;

/* How long we wait for things; kf_kube_times_default() fills it in, tests shorten it. */
struct kf_kube_times {
	unsigned connect_ms;	 /* to a connection, TLS included */
	unsigned request_ms;	 /* to the whole answer of a request; to the header of a watch */
	unsigned silence_ms;	 /* a watch without a byte for so long is dead */
	unsigned backoff_ms;	 /* first pause after a failure; doubles ... */
	unsigned backoff_max_ms; /* ... up to here */
	unsigned token_ms;	 /* a token file is read again after so long */
	unsigned exec_ms;	 /* a credential plugin must answer within */
};

/* A program that prints credentials (`users[].user.exec`). */
struct kf_kube_exec {
	char *version;	  /* client.authentication.k8s.io/v1 or v1beta1 */
	char *command;	  /* with a slash: an absolute path; else searched in PATH */
	char **args;	  /* ends in NULL; command is not among them */
	char **env;	  /* "NAME=VALUE", ends in NULL; added to our own environment */
	char *hint;	  /* installHint, or NULL */
	int cluster_info; /* provideClusterInfo */
};

struct kf_kube_config {
	char *source;	 /* for messages: "in-cluster" or "/path (context x)" */
	char *server;	 /* https://HOST:PORT[/PREFIX] or http://, no slash at the end */
	char *ca_file;	 /* NULL: the system's */
	char *cert_file; /* client certificate, or NULL */
	char *key_file;
	char *tls_server_name; /* the name to verify instead of the server's, or NULL */
	char *proxy_url;       /* NULL: as the environment says */
	int insecure;	       /* do not verify the server */
	char *token;	       /* fixed bearer token; token_file wins over it */
	char *token_file;
	char *username, *password;
	char *namespace; /* "default" if nothing says otherwise */
	struct kf_kube_exec *exec;
	struct kf_kube_times times;
	int fds[3]; /* memory files behind ca_file, cert_file, key_file; -1 if it is a real path */
};

/* kf_kube_config_load: nothing tells where an API server would be; kerf works without one. */
#define KF_KUBE_NOWHERE 1

/*
 * Find the API server.  In this order: `kubeconfig` (the --kubeconfig flag; may be NULL or "");
 * $KUBECONFIG, a list of files merged so that the first to name a thing wins; inside a cluster the
 * service account; ~/.kube/config.  `context` chooses another context than the current one; NULL.
 *
 * 0 and *ret, the caller's to free; KF_KUBE_NOWHERE; negative with the file and line.
 */
int kf_kube_config_load(const char *kubeconfig, const char *context, struct kf_kube_config **ret,
			struct kf_error *err);

/*
 * One kubeconfig from memory.  `name` is its path: it stands in messages, and relative paths in it
 * start at its directory.  Answers like kf_kube_config_load, but never KF_KUBE_NOWHERE.
 */
int kf_kube_config_parse(const char *bytes, size_t n, const char *name, const char *context,
			 struct kf_kube_config **ret, struct kf_error *err);

/*
 * From inside a cluster: $KUBERNETES_SERVICE_HOST and _PORT, and the service account's files in
 * `dir` (NULL: /var/run/secrets/kubernetes.io/serviceaccount).
 * 0; KF_KUBE_NOWHERE if the environment has no server; negative if the files are not there.
 */
int kf_kube_config_in_cluster(const char *dir, struct kf_kube_config **ret, struct kf_error *err);

void kf_kube_times_default(struct kf_kube_times *t);

/* Empty, with default times; NULL without memory. */
struct kf_kube_config *kf_kube_config_new(void);

struct kf_kube_config *kf_kube_config_free(struct kf_kube_config *c);
KF_DEFINE_AUTO(struct kf_kube_config, kf_kube_config_free)
