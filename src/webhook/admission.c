/* From sizes to units; see admission.h. */
#include "webhook/admission.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "kube/keyfile.h"
#include "webhook/quantity.h"

#define GIB (1ll << 30)
/* A name with a slash, as a piece of a JSON pointer. */
#define ESCAPED_RESOURCE   "nvidia.com~1gpu-memory"
#define ESCAPED_ANNOTATION "kerf.dev~1gpu-memory"

struct rewriting {
	json_t *patch;
	struct kf_text written; /* for the annotation */
	struct kf_error *err;
};

static int refuse(struct rewriting *r, const char *container, const char *amount, const char *why)
{
	kf_fail(r->err, KF_E_INPUT, 0, "container %s: " KF_ADMISSION_RESOURCE ": %.40s %s",
		container, amount, why);
	return KF_ADMISSION_REFUSED;
}

/* The units of an amount, or 0 if it is in units already: 0; KF_ADMISSION_REFUSED. */
static int count(struct rewriting *r, const char *container, const char *amount, int64_t *units)
{
	int64_t n = 0;

	switch (kf_quantity_parse(amount, &n)) {
	case KF_QUANTITY_NEGATIVE:
		return refuse(r, container, amount, "is less than nothing; write at least 1Gi");
	case KF_QUANTITY_FRACTION:
		return refuse(r, container, amount,
			      "is no whole number of bytes; write GiB, as in 1.5Gi");
	case KF_QUANTITY_NONE:
		return refuse(r, container, amount, "is no size; write GiB, as in 4Gi");
	case KF_QUANTITY_LARGE:
	case KF_QUANTITY_WHOLE:
		break;
	}
	if (n == 0)
		return refuse(r, container, amount,
			      "is no memory; write at least 1Gi, or leave it out");
	if (n > KF_ADMISSION_UNITS * GIB)
		return refuse(r, container, amount, "is more than any GPU has; at most 4096Gi");
	*units = n <= KF_ADMISSION_UNITS ? 0 : (n - 1) / GIB + 1;
	return 0;
}

static int replace(struct rewriting *r, const char *path, int64_t units)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)units);
	return json_array_append_new(r->patch, json_pack("{s:s,s:s,s:s}", "op", "replace", "path",
							 path, "value", text));
}

/* An amount may be written without quotes, but the API server has it as text. */
static const char *text_of(const json_t *amount, char out[24])
{
	if (json_is_string(amount))
		return json_string_value(amount);
	if (json_is_integer(amount))
		snprintf(out, 24, "%lld", (long long)json_integer_value(amount));
	else
		snprintf(out, 24, "?");
	return out;
}

/* `which` is limits or requests of the i-th container of `kind`. */
static int rewrite_one(struct rewriting *r, const json_t *container, const char *kind, size_t i,
		       const char *which)
{
	const json_t *amounts = json_object_get(json_object_get(container, "resources"), which);
	const json_t *amount = json_object_get(amounts, KF_ADMISSION_RESOURCE);
	const char *name = json_string_value(json_object_get(container, "name")), *text;
	char path[96], number[24];
	int64_t units;
	int answer;

	if (!amount)
		return 0;
	name = name ? name : "?";
	text = text_of(amount, number);
	answer = count(r, name, text, &units);
	if (answer != 0 || !units)
		return answer;
	snprintf(path, sizeof(path), "/spec/%s/%zu/resources/%s/" ESCAPED_RESOURCE, kind, i, which);
	if (!strcmp(which, "limits"))
		kf_text_addf(&r->written, "%s%s=%s", r->written.n ? "," : "", name, text);
	return replace(r, path, units);
}

static int rewrite_list(struct rewriting *r, const json_t *pod, const char *kind)
{
	const json_t *list = json_object_get(json_object_get(pod, "spec"), kind), *container;
	size_t i;
	int answer;

	json_array_foreach(list, i, container)
	{
		answer = rewrite_one(r, container, kind, i, "limits");
		if (answer == 0)
			answer = rewrite_one(r, container, kind, i, "requests");
		if (answer != 0)
			return answer;
	}
	return 0;
}

static int annotate(struct rewriting *r, const json_t *pod)
{
	const json_t *there = json_object_get(json_object_get(pod, "metadata"), "annotations");

	if (json_array_size(r->patch) == 0)
		return 0;
	if (!json_is_object(there) &&
	    json_array_append_new(r->patch, json_pack("{s:s,s:s,s:{}}", "op", "add", "path",
						      "/metadata/annotations", "value")) < 0)
		return -1;
	if (r->written.n == 0)
		return 0;
	return json_array_append_new(r->patch,
				     json_pack("{s:s,s:s,s:s}", "op", "add", "path",
					       "/metadata/annotations/" ESCAPED_ANNOTATION, "value",
					       r->written.s));
}

int kf_admission_rewrite(const json_t *pod, json_t **ret, struct kf_error *err)
{
	struct rewriting r = {.patch = json_array(), .err = err};
	int answer = r.patch ? 0 : -1;

	if (!json_is_array(json_object_get(json_object_get(pod, "spec"), "containers"))) {
		json_decref(r.patch);
		return kf_fail(err, KF_E_INPUT, 0, "this is no pod: it has no spec.containers");
	}
	if (answer == 0)
		answer = rewrite_list(&r, pod, "containers");
	if (answer == 0)
		answer = rewrite_list(&r, pod, "initContainers");
	if (answer == 0)
		answer = r.written.failed ? -1 : annotate(&r, pod);
	kf_text_done(&r.written);
	if (answer == 0) {
		*ret = r.patch;
		return 0;
	}
	json_decref(r.patch);
	return answer < 0 ? kf_fail(err, KF_E_NOMEM, 0, "no memory for a patch") : answer;
}

/* --- the envelope -------------------------------------------------------------------------- */

static int is_pod_creation(const json_t *request)
{
	const char *operation = json_string_value(json_object_get(request, "operation"));
	const json_t *kind = json_object_get(request, "kind");
	const char *name = json_string_value(json_object_get(kind, "kind"));
	const char *sub = json_string_value(json_object_get(request, "subResource"));

	return operation && !strcmp(operation, "CREATE") && name && !strcmp(name, "Pod") &&
	       (!sub || !*sub);
}

/* "response" with a patch, or without one where that is empty. */
static json_t *allow(const char *uid, const json_t *patch)
{
	kf_auto_mem char *bytes = NULL, *encoded = NULL;

	if (json_array_size(patch) == 0)
		return json_pack("{s:s,s:b}", "uid", uid, "allowed", 1);
	bytes = json_dumps(patch, JSON_COMPACT);
	if (bytes)
		encoded = kf_base64_encode(bytes, strlen(bytes));
	if (!encoded)
		return NULL;
	return json_pack("{s:s,s:b,s:s,s:s}", "uid", uid, "allowed", 1, "patchType", "JSONPatch",
			 "patch", encoded);
}

static json_t *respond(const json_t *request, const char *uid)
{
	json_auto_t *patch = NULL;
	struct kf_error err = {0};
	int answer = 0;

	if (is_pod_creation(request))
		answer = kf_admission_rewrite(json_object_get(request, "object"), &patch, &err);
	if (answer == 0)
		return allow(uid, patch);
	return json_pack("{s:s,s:b,s:{s:s,s:s,s:i,s:s}}", "uid", uid, "allowed", 0, "status",
			 "status", "Failure", "reason", answer > 0 ? "Invalid" : "InternalError",
			 "code", answer > 0 ? 422 : 500, "message", err.msg);
}

int kf_admission_review(const char *body, size_t n, char **ret, struct kf_error *err)
{
	json_error_t why;
	json_auto_t *review = json_loadb(body, n, 0, &why), *answer = NULL;
	const json_t *request = json_object_get(review, "request");
	const char *version = json_string_value(json_object_get(review, "apiVersion"));
	const char *uid = json_string_value(json_object_get(request, "uid"));

	if (!review)
		return kf_fail(err, KF_E_PROTOCOL, 0, "this is not JSON: %s", why.text);
	if (!version || strcmp(version, "admission.k8s.io/v1") != 0 || !uid)
		return kf_fail(err, KF_E_PROTOCOL, 0,
			       "this is no AdmissionReview of admission.k8s.io/v1 with a request");
	answer = json_pack("{s:s,s:s,s:o}", "apiVersion", version, "kind", "AdmissionReview",
			   "response", respond(request, uid));
	*ret = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	return *ret ? 0 : kf_fail(err, KF_E_NOMEM, 0, "no memory for an answer");
}
