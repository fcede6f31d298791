/* Secret and configuration; see keep.h. */
#include "webhook/keep.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "kube/keyfile.h"
#include "webhook/certificate.h"

#define AUTHORITY "ca.crt"
#define SERVER	  "tls.crt"
#define KEY	  "tls.key"

/* One value of a Secret, decoded; NULL: it is not there, or is no base64. */
static char *value_of(const json_t *secret, const char *key)
{
	const char *text = json_string_value(json_object_get(json_object_get(secret, "data"), key));
	struct kf_error ignored;
	char *bytes = NULL;
	size_t n;

	if (!text || kf_base64_decode(text, &bytes, &n, &ignored) < 0)
		return NULL;
	return bytes;
}

int kf_keep_read(const json_t *secret, const char *names, struct kf_certificate **ret,
		 struct kf_error *err)
{
	kf_auto_mem char *authority = value_of(secret, AUTHORITY);
	kf_auto_mem char *server = value_of(secret, SERVER);
	kf_auto_mem char *key = value_of(secret, KEY);
	struct kf_error ignored;
	int answer;

	*ret = NULL;
	if (!authority || !server || !key) {
		kf_fail(err, KF_E_INPUT, 0, "there is no certificate in it yet");
		return KF_CERTIFICATE_UNFIT;
	}
	answer = kf_certificate_read(authority, server, key, names, ret, err);
	if (answer == KF_CERTIFICATE_UNFIT)
		kf_certificate_read(authority, server, key, "", ret, &ignored);
	return answer;
}

static int put(json_t *data, const char *key, const char *text)
{
	kf_auto_mem char *encoded = kf_base64_encode(text, strlen(text));

	return encoded ? json_object_set_new(data, key, json_string(encoded)) : -1;
}

char *kf_keep_secret_patch(const json_t *secret, const struct kf_certificate *c)
{
	const char *version = json_string_value(
		json_object_get(json_object_get(secret, "metadata"), "resourceVersion"));
	json_auto_t *patch = json_pack("{s:{s:s},s:{}}", "metadata", "resourceVersion",
				       version ? version : "", "data");
	json_t *data = json_object_get(patch, "data");

	if (!data || put(data, AUTHORITY, c->authority) < 0 || put(data, SERVER, c->server) < 0 ||
	    put(data, KEY, c->key) < 0)
		return NULL;
	return json_dumps(patch, JSON_COMPACT);
}

int kf_keep_is_trusted(const json_t *configuration, const char *authority)
{
	const json_t *list = json_object_get(configuration, "webhooks"), *webhook;
	kf_auto_mem char *encoded = kf_base64_encode(authority, strlen(authority));
	size_t i;

	json_array_foreach(list, i, webhook)
	{
		const json_t *client = json_object_get(webhook, "clientConfig");
		const char *bundle = json_string_value(json_object_get(client, "caBundle"));

		if (!bundle || !encoded || strcmp(bundle, encoded) != 0)
			return 0;
	}
	return json_array_size(list) > 0;
}

char *kf_keep_trust_patch(const json_t *configuration, const char *authority)
{
	const json_t *list = json_object_get(configuration, "webhooks"), *webhook;
	kf_auto_mem char *encoded = kf_base64_encode(authority, strlen(authority));
	json_auto_t *patch = json_pack("{s:[]}", "webhooks");
	json_t *out = json_object_get(patch, "webhooks");
	size_t i;

	if (!out || !encoded)
		return NULL;
	json_array_foreach(list, i, webhook)
	{
		const char *name = json_string_value(json_object_get(webhook, "name"));

		if (name &&
		    json_array_append_new(out, json_pack("{s:s,s:{s:s}}", "name", name,
							 "clientConfig", "caBundle", encoded)) < 0)
			return NULL;
	}
	return json_dumps(patch, JSON_COMPACT);
}
