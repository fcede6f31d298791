/* What a credential plugin prints; see auth.h and kubernetes.md 5.1. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "kube/auth.h"

static void free_secret(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void kf_auth_credential_done(struct kf_auth_credential *c)
{
	free_secret(c->token);
	free(c->cert);
	free_secret(c->key);
	memset(c, 0, sizeof(*c));
}

/* RFC 3339 in UTC, as Kubernetes writes times; fractions are cut off. */
static int64_t seconds(const char *text)
{
	struct tm tm = {0};
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	return end && (*end == 'Z' || *end == '.') ? (int64_t)timegm(&tm) : 0;
}

static int copy(json_t *status, const char *key, char **ret)
{
	const char *s = json_string_value(json_object_get(status, key));

	if (!s || !*s)
		return 0;
	*ret = kf_strdup(s);
	return *ret ? 0 : -1;
}

/* A token goes into a header line. */
static int fit_for_header(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7f)
			return 0;
	return 1;
}

static int take(json_t *root, struct kf_auth_credential *c, struct kf_error *err)
{
	json_t *status = json_object_get(root, "status");

	if (copy(status, "token", &c->token) < 0 ||
	    copy(status, "clientCertificateData", &c->cert) < 0 ||
	    copy(status, "clientKeyData", &c->key) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a credential");
	if (!c->cert != !c->key)
		return kf_fail(err, KF_E_PROTOCOL, 0, "has a certificate or a key, but not both");
	if (!c->token && !c->cert)
		return kf_fail(err, KF_E_PROTOCOL, 0, "has neither a token nor a certificate");
	if (!fit_for_header(c->token))
		return kf_fail(err, KF_E_PROTOCOL, 0, "the token holds a blank or worse");
	c->expires_s = seconds(json_string_value(json_object_get(status, "expirationTimestamp")));
	return 0;
}

int kf_auth_credential_read(const char *bytes, size_t n, const char *version,
			    struct kf_auth_credential *ret, struct kf_error *err)
{
	json_auto_t *root = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
	const char *kind = json_string_value(json_object_get(root, "kind"));
	const char *is = json_string_value(json_object_get(root, "apiVersion"));
	struct kf_auth_credential c = {0};

	if (!root || !kind || strcmp(kind, "ExecCredential"))
		return kf_fail(err, KF_E_PROTOCOL, 0, "printed no ExecCredential");
	if (!is || strcmp(is, version))
		return kf_fail(err, KF_E_PROTOCOL, 0, "answered in %s, but %s was asked for",
			       is ? is : "no apiVersion", version);
	if (take(root, &c, err) < 0) {
		kf_auth_credential_done(&c);
		return -1;
	}
	*ret = c;
	return 0;
}
