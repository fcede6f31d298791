/* Prometheus' web-config file; see webconfig.h. */
#include "metrics/webconfig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"

#define PEM_BYTES (256u << 10)

struct kf_web_config *kf_web_config_free(struct kf_web_config *w)
{
	if (!w)
		return NULL;
	free(w->cert);
	if (w->key)
		memset(w->key, 0, strlen(w->key));
	free(w->key);
	free(w->client_ca);
	free(w);
	return NULL;
}

/* One load of it. */
struct load {
	const struct kf_yaml *y;
	struct kf_web_config *w;
	const char *path; /* NULL: files that it names are not read */
	struct kf_error *err;
};

/* `name` as seen from the folder of the file. */
static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	if (name[0] == '/' || !slash)
		return kf_strdup(name);
	return kf_asprintf("%.*s/%s", (int)(slash - path), path, name);
}

static int read_pem(struct load *l, const struct kf_yaml_node *node, char **ret)
{
	kf_auto_mem char *path = NULL;
	const char *name;

	if (kf_yaml_string(l->y, node, &name, l->err) < 0)
		return -1;
	if (!l->path)
		return 0;
	path = beside(l->path, name);
	if (!path)
		return kf_fail(l->err, KF_E_NOMEM, 0, "no memory for the web-config");
	free(*ret);
	*ret = kf_read_file(path, PEM_BYTES, NULL, l->err);
	return *ret ? 0 : kf_yaml_fail(l->y, node, l->err, "%s", l->err ? l->err->msg : "");
}

static int read_client_auth(struct load *l, const struct kf_yaml_node *node)
{
	static const struct {
		const char *name;
		enum kf_web_client client;
	} known[] = {
		{"NoClientCert", KF_WEB_NO_CLIENT_CERT},
		{"VerifyClientCertIfGiven", KF_WEB_VERIFY_IF_GIVEN},
		{"RequireAndVerifyClientCert", KF_WEB_REQUIRE_AND_VERIFY},
	};
	const char *text;
	unsigned i;

	if (kf_yaml_string(l->y, node, &text, l->err) < 0)
		return -1;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(text, known[i].name)) {
			l->w->client = known[i].client;
			return 0;
		}
	return kf_yaml_fail(l->y, node, l->err,
			    "'%.40s' is none of NoClientCert, VerifyClientCertIfGiven, "
			    "RequireAndVerifyClientCert",
			    text);
}

static int read_min_version(struct load *l, const struct kf_yaml_node *node)
{
	const char *text;

	if (kf_yaml_string(l->y, node, &text, l->err) < 0)
		return -1;
	if (strcmp(text, "TLS12") != 0 && strcmp(text, "TLS13") != 0)
		return kf_yaml_fail(l->y, node, l->err, "'%.20s' is neither TLS12 nor TLS13", text);
	l->w->tls13_only = !strcmp(text, "TLS13");
	return 0;
}

static void note(struct load *l, const struct kf_yaml_node *node)
{
	size_t n = strlen(l->w->note);

	snprintf(l->w->note + n, sizeof(l->w->note) - n, "%s%s", n ? ", " : "", node->key);
}

static int read_tls(struct load *l, const struct kf_yaml_node *map)
{
	static const char *const known[] = {"cert_file",	 "key_file",
					    "client_ca_file",	 "client_auth_type",
					    "min_version",	 "cipher_suites",
					    "curve_preferences", "prefer_server_cipher_suites",
					    "max_version",	 NULL};
	int r = kf_yaml_is(l->y, map, KF_YAML_MAP, l->err);

	if (r < 0 || kf_yaml_known(l->y, map, known, l->err) < 0)
		return -1;
	for (kf_yaml_each(node, map)) {
		if (!strcmp(node->key, "cert_file"))
			r = read_pem(l, node, &l->w->cert);
		else if (!strcmp(node->key, "key_file"))
			r = read_pem(l, node, &l->w->key);
		else if (!strcmp(node->key, "client_ca_file"))
			r = read_pem(l, node, &l->w->client_ca);
		else if (!strcmp(node->key, "client_auth_type"))
			r = read_client_auth(l, node);
		else if (!strcmp(node->key, "min_version"))
			r = read_min_version(l, node);
		else
			note(l, node);
		if (r < 0)
			return -1;
	}
	if (!kf_yaml_get(map, "cert_file") || !kf_yaml_get(map, "key_file"))
		return kf_yaml_fail(l->y, map, l->err, "wants cert_file and key_file");
	if (l->w->client != KF_WEB_NO_CLIENT_CERT && !kf_yaml_get(map, "client_ca_file"))
		return kf_yaml_fail(l->y, map, l->err,
				    "client_auth_type wants a client_ca_file to verify by");
	l->w->tls = 1;
	return 0;
}

/* "$2y$10$" and 53 characters. */
static int is_bcrypt(const char *s)
{
	unsigned cost;

	if (strlen(s) != 60 || s[0] != '$' || s[1] != '2' || !strchr("aby", s[2]) || s[3] != '$' ||
	    s[6] != '$' || s[4] < '0' || s[4] > '9' || s[5] < '0' || s[5] > '9')
		return 0;
	cost = (unsigned)(s[4] - '0') * 10 + (unsigned)(s[5] - '0');
	return cost >= 4 && cost <= KF_WEB_COST;
}

static int read_users(struct load *l, const struct kf_yaml_node *map)
{
	struct kf_web_config *w = l->w;

	if (kf_yaml_is(l->y, map, KF_YAML_MAP, l->err) < 0)
		return -1;
	for (kf_yaml_each(node, map)) {
		const char *hash;

		if (w->n_users == KF_WEB_USERS)
			return kf_yaml_fail(l->y, node, l->err, "more than %d users", KF_WEB_USERS);
		if (!node->key[0] || strlen(node->key) >= sizeof(w->user[0].name) ||
		    strchr(node->key, ':'))
			return kf_yaml_fail(l->y, node, l->err, "is no name of a user");
		if (kf_yaml_string(l->y, node, &hash, l->err) < 0)
			return -1;
		if (!is_bcrypt(hash))
			return kf_yaml_fail(l->y, node, l->err,
					    "a bcrypt hash of cost 4 to %d is expected: htpasswd "
					    "-nBC 10 NAME",
					    KF_WEB_COST);
		snprintf(w->user[w->n_users].name, sizeof(w->user[0].name), "%s", node->key);
		snprintf(w->user[w->n_users++].hash, sizeof(w->user[0].hash), "%s", hash);
	}
	return 0;
}

/* Printable, so that it cannot begin another header. */
static int is_header_text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
			return 0;
	return 1;
}

static int read_headers(struct load *l, const struct kf_yaml_node *map)
{
	static const char *const known[] = {"Strict-Transport-Security", "X-Content-Type-Options",
					    "X-Frame-Options",		 "X-XSS-Protection",
					    "Content-Security-Policy",	 NULL};
	struct kf_web_config *w = l->w;

	if (kf_yaml_is(l->y, map, KF_YAML_MAP, l->err) < 0 ||
	    kf_yaml_known(l->y, map, known, l->err) < 0)
		return -1;
	for (kf_yaml_each(node, map)) {
		const char *value;

		if (kf_yaml_string(l->y, node, &value, l->err) < 0)
			return -1;
		if (!is_header_text(value) || strlen(value) >= sizeof(w->header[0].value))
			return kf_yaml_fail(l->y, node, l->err,
					    "at most 511 printable characters are expected");
		snprintf(w->header[w->n_headers].name, sizeof(w->header[0].name), "%s", node->key);
		snprintf(w->header[w->n_headers++].value, sizeof(w->header[0].value), "%s", value);
	}
	return 0;
}

static int read_http(struct load *l, const struct kf_yaml_node *map)
{
	static const char *const known[] = {"http2", "headers", NULL};
	const struct kf_yaml_node *headers = kf_yaml_get(map, "headers");

	if (kf_yaml_is(l->y, map, KF_YAML_MAP, l->err) < 0 ||
	    kf_yaml_known(l->y, map, known, l->err) < 0)
		return -1;
	return headers ? read_headers(l, headers) : 0;
}

static int read_all(struct load *l)
{
	static const char *const known[] = {"tls_server_config", "http_server_config",
					    "basic_auth_users", NULL};
	const struct kf_yaml_node *root = l->y->root, *part;

	if (!root || root->kind == KF_YAML_NULL)
		return 0;
	if (kf_yaml_is(l->y, root, KF_YAML_MAP, l->err) < 0 ||
	    kf_yaml_known(l->y, root, known, l->err) < 0)
		return -1;
	if ((part = kf_yaml_get(root, "tls_server_config")) && read_tls(l, part) < 0)
		return -1;
	if ((part = kf_yaml_get(root, "http_server_config")) && read_http(l, part) < 0)
		return -1;
	if ((part = kf_yaml_get(root, "basic_auth_users")) && read_users(l, part) < 0)
		return -1;
	return 0;
}

/* --- stamps -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t sum, const char *path)
{
	struct stat st;
	uint64_t seen[4] = {0};

	if (stat(path, &st) == 0) {
		seen[0] = st.st_ino;
		seen[1] = (uint64_t)st.st_size;
		seen[2] = (uint64_t)st.st_mtim.tv_sec;
		seen[3] = (uint64_t)st.st_mtim.tv_nsec;
	}
	return sum * 1000003u + kf_crc32(seen, sizeof(seen));
}

static uint64_t stamp_of(const struct kf_yaml *y, const char *path)
{
	static const char *const files[] = {"cert_file", "key_file", "client_ca_file"};
	uint64_t sum = mix(1, path);
	unsigned i;

	for (i = 0; y && i < 3; i++) {
		const struct kf_yaml_node *tls =
			y->root ? kf_yaml_get(y->root, "tls_server_config") : NULL;
		const struct kf_yaml_node *node = kf_yaml_get(tls, files[i]);
		kf_auto_mem char *file =
			node && node->kind == KF_YAML_SCALAR ? beside(path, node->text) : NULL;

		if (file)
			sum = mix(sum, file);
	}
	return sum;
}

uint64_t kf_web_config_stamp(const char *path)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;

	if (kf_yaml_load(path, KF_YAML_BYTES, &y, NULL) < 0)
		y = NULL;
	return stamp_of(y, path);
}

int kf_web_config_load(const char *path, struct kf_web_config **ret, struct kf_error *err)
{
	kf_auto(kf_web_config_freep) struct kf_web_config *w = kf_calloc(1, sizeof(*w));
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
	struct load l = {.w = w, .path = path, .err = err};

	if (!w)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the web-config");
	if (kf_yaml_load(path, KF_YAML_BYTES, &y, err) < 0)
		return -1;
	l.y = y;
	w->stamp = stamp_of(y, path);
	if (read_all(&l) < 0)
		return -1;
	*ret = kf_take(w);
	return 0;
}

int kf_web_config_check(const char *text, size_t n, const char *name, struct kf_error *err)
{
	kf_auto(kf_web_config_freep) struct kf_web_config *w = kf_calloc(1, sizeof(*w));
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
	struct load l = {.w = w, .err = err};

	if (!w)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the web-config");
	if (kf_yaml_parse(text, n, name, &y, err) < 0)
		return -1;
	l.y = y;
	return read_all(&l);
}
