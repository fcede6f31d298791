/* Get, list, create, patch, delete, evict; the rules are those of the real API server. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "serve.h"

#define WORDS(target) (kf_sim_kinds[(target)->kind])

static enum MHD_Result not_found(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	return kf_sim_refuse(call, 404, "NotFound", NULL, "%s \"%s\" not found", WORDS(t).plural,
			     t->name);
}

/* --- list ------------------------------------------------------------------------------------ */

/* Objects that match, in the order they stand in; `from` and the answer are positions. */
static size_t collect(struct kf_sim_call *call, const struct kf_sim_target *t, size_t from,
		      size_t limit, json_t *items)
{
	struct kf_sim_store *s = &call->api->store;
	const char *selector = kf_sim_query(call, "fieldSelector");
	size_t i;

	for (i = from; i < s->n_objects && json_array_size(items) < limit; i++) {
		const struct kf_sim_object *o = &s->objects[i];

		if (o->kind != t->kind || !kf_sim_selected(o->json, selector) ||
		    (*t->namespace && strcmp(o->namespace, t->namespace)))
			continue;
		json_array_append_new(items, kf_sim_view(call, o->json));
	}
	return i;
}

static enum MHD_Result list(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	const char *limit = kf_sim_query(call, "limit"), *more = kf_sim_query(call, "continue");
	struct kf_sim_store *s = &call->api->store;
	json_t *items = json_array();
	char version[24], kind[32], token[24];
	size_t n = limit && atol(limit) > 0 ? (size_t)atol(limit) : SIZE_MAX;
	size_t next = collect(call, t, more ? (size_t)atol(more) : 0, n, items);
	json_t *json;

	call->api->stats.lists++;
	snprintf(version, sizeof(version), "%lu", s->version);
	snprintf(kind, sizeof(kind), "%sList", WORDS(t).kind);
	json = json_pack("{s:s, s:s, s:{s:s}, s:o}", "kind", kind, "apiVersion", "v1", "metadata",
			 "resourceVersion", version, "items", items);
	if (next < s->n_objects) {
		snprintf(token, sizeof(token), "%zu", next);
		json_object_set_new(json_object_get(json, "metadata"), "continue",
				    json_string(token));
	}
	return kf_sim_answer(call, 200, json);
}

/* --- create ---------------------------------------------------------------------------------- */

static void default_meta(json_t *json, const struct kf_sim_target *t)
{
	json_t *meta = json_object_get(json, "metadata");

	if (*t->namespace && !json_object_get(meta, "namespace"))
		json_object_set_new(meta, "namespace", json_string(t->namespace));
}

static enum MHD_Result check_new(struct kf_sim_call *call, const struct kf_sim_target *t,
				 json_t *json, int *ok)
{
	json_t *meta = json_object_get(json, "metadata");
	const char *name = json_string_value(json_object_get(meta, "name"));
	const char *namespace = json_string_value(json_object_get(meta, "namespace"));

	*ok = 0;
	if (!name || !*name)
		return kf_sim_refuse(call, 422, "Invalid", NULL,
				     "%s \"\" is invalid: "
				     "metadata.name: Required value: name is required",
				     WORDS(t).kind);
	if (*t->namespace && namespace && strcmp(namespace, t->namespace))
		return kf_sim_refuse(call, 400, "BadRequest", NULL,
				     "the namespace of the provided object does not match the "
				     "namespace sent on the request");
	if (kf_sim_find(&call->api->store, t->kind, t->namespace, name))
		return kf_sim_refuse(call, 409, "AlreadyExists", NULL, "%s \"%s\" already exists",
				     WORDS(t).plural, name);
	*ok = 1;
	return MHD_YES;
}

static enum MHD_Result create(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	json_t *json = json_loadb(call->body.s ? call->body.s : "", call->body.n, 0, NULL);
	struct kf_sim_object *o;
	enum MHD_Result result;
	int ok;

	if (!json_is_object(json_object_get(json, "metadata"))) {
		json_decref(json);
		return kf_sim_refuse(call, 400, "BadRequest", NULL,
				     "the object provided is unrecognized");
	}
	result = check_new(call, t, json, &ok);
	if (!ok) {
		json_decref(json);
		return result;
	}
	default_meta(json, t);
	if (kf_sim_add(&call->api->store, t->kind, json, &o) < 0)
		return MHD_NO;
	return kf_sim_answer(call, 201, json_incref(o->json));
}

/* --- patch ----------------------------------------------------------------------------------- */

static int is_label_value(const char *s)
{
	size_t n = s ? strlen(s) : 64, i;

	for (i = 0; n <= 63 && i < n; i++)
		if (!isalnum((unsigned char)s[i]) && (i == 0 || i == n - 1 || !strchr("-_.", s[i])))
			return 0;
	return n <= 63;
}

/* The first label that is not one, or NULL. */
static const char *bad_label(json_t *json)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(json_object_get(json, "metadata"), "labels"), key,
			    value) if (!is_label_value(json_string_value(value))) return key;
	return NULL;
}

static int conflicts(json_t *patch, const struct kf_sim_object *o)
{
	const char *want = json_string_value(
		json_object_get(json_object_get(patch, "metadata"), "resourceVersion"));

	return want &&
	       strcmp(want, json_string_value(json_object_get(json_object_get(o->json, "metadata"),
							      "resourceVersion"))) != 0;
}

/* What nobody may change stays. */
static void keep_identity(json_t *json, const struct kf_sim_object *o)
{
	static const char *const keys[] = {"name", "namespace", "uid", "resourceVersion",
					   "creationTimestamp"};
	json_t *old = json_object_get(o->json, "metadata");
	unsigned i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(old, keys[i]))
			json_object_set(json_object_get(json, "metadata"), keys[i],
					json_object_get(old, keys[i]));
}

static enum MHD_Result apply(struct kf_sim_call *call, const struct kf_sim_target *t,
			     struct kf_sim_object *o, json_t *patch)
{
	json_t *json;
	const char *bad;

	if (conflicts(patch, o))
		return kf_sim_refuse(call, 409, "Conflict", NULL,
				     "Operation cannot be fulfilled on %s \"%s\": the object has "
				     "been modified; please apply your changes to the latest "
				     "version and try again",
				     WORDS(t).plural, t->name);
	json = kf_sim_merged(o->json, patch);
	if (!json)
		return MHD_NO;
	bad = bad_label(json);
	if (bad) {
		enum MHD_Result r = kf_sim_refuse(
			call, 422, "Invalid", NULL,
			"%s \"%s\" is invalid: metadata.labels: Invalid value: \"%s\"",
			WORDS(t).kind, t->name, bad);

		json_decref(json);
		return r;
	}
	keep_identity(json, o);
	kf_sim_replace(&call->api->store, o, json);
	return kf_sim_answer(call, 200, json_incref(o->json));
}

static const char *type_of(const json_t *condition)
{
	const char *type = json_string_value(json_object_get(condition, "type"));

	return type ? type : "";
}

/* A strategic patch has conditions by their type: put into *patch what comes of old and new. */
static void merge_conditions(json_t *patch, const struct kf_sim_object *o)
{
	json_t *status = json_object_get(patch, "status");
	json_t *news = json_object_get(status, "conditions"), *one, *old;
	json_t *all =
		json_deep_copy(json_object_get(json_object_get(o->json, "status"), "conditions"));
	size_t i, k;

	if (!json_is_array(news)) {
		json_decref(all);
		return;
	}
	all = all ? all : json_array();
	json_array_foreach(news, i, one)
	{
		json_array_foreach(all, k, old) if (!strcmp(type_of(old), type_of(one)))
			json_array_remove(all, k--);
		if (!json_object_get(one, "$patch"))
			json_array_append(all, one);
	}
	json_object_set_new(status, "conditions", all);
}

static enum MHD_Result patch(struct kf_sim_call *call, const struct kf_sim_target *t,
			     struct kf_sim_object *o)
{
	const char *type =
		MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Content-Type");
	json_auto_t *json = NULL;

	/* for maps, and lists but for conditions, the two come to the same */
	if (!type || (strcmp(type, "application/merge-patch+json") &&
		      strcmp(type, "application/strategic-merge-patch+json")))
		return kf_sim_refuse(call, 415, "UnsupportedMediaType", NULL,
				     "the body of the request was in an unknown format");
	json = json_loadb(call->body.s ? call->body.s : "", call->body.n, 0, NULL);
	if (!json_is_object(json))
		return kf_sim_refuse(call, 400, "BadRequest", NULL, "error decoding patch");
	if (!strcmp(type, "application/strategic-merge-patch+json"))
		merge_conditions(json, o);
	return apply(call, t, o, json);
}

/* --- delete, evict --------------------------------------------------------------------------- */

static json_int_t grace_of(json_t *options, const struct kf_sim_object *o)
{
	json_t *own =
		json_object_get(json_object_get(o->json, "spec"), "terminationGracePeriodSeconds");
	json_t *asked = json_object_get(options, "gracePeriodSeconds");

	return asked ? json_integer_value(asked) : own ? json_integer_value(own) : 30;
}

/* A pod on a node is only marked: the kubelet ends it, then deletes it with grace 0. */
static void end_object(struct kf_sim_store *s, struct kf_sim_object *o, json_t *options)
{
	const char *node =
		json_string_value(json_object_get(json_object_get(o->json, "spec"), "nodeName"));
	json_int_t grace = grace_of(options, o);
	json_t *json;
	char now[32];

	if (o->kind != KF_SIM_PODS || !node || !*node || grace == 0) {
		kf_sim_remove(s, o);
		return;
	}
	json = json_deep_copy(o->json);
	kf_wall_seconds(now);
	json_object_set_new(json_object_get(json, "metadata"), "deletionTimestamp",
			    json_string(now));
	json_object_set_new(json_object_get(json, "metadata"), "deletionGracePeriodSeconds",
			    json_integer(grace));
	kf_sim_replace(s, o, json);
}

static int other_uid(json_t *options, const struct kf_sim_object *o)
{
	const char *want = json_string_value(
		json_object_get(json_object_get(options, "preconditions"), "uid"));

	return want && strcmp(want, json_string_value(json_object_get(
					    json_object_get(o->json, "metadata"), "uid"))) != 0;
}

static enum MHD_Result uid_conflict(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	return kf_sim_refuse(call, 409, "Conflict", NULL,
			     "Operation cannot be fulfilled on %s \"%s\": the UID in the "
			     "precondition does not match the UID in record",
			     WORDS(t).plural, t->name);
}

static enum MHD_Result delete_it(struct kf_sim_call *call, const struct kf_sim_target *t,
				 struct kf_sim_object *o)
{
	const char *grace = kf_sim_query(call, "gracePeriodSeconds");
	json_auto_t *options = json_loadb(call->body.s ? call->body.s : "", call->body.n, 0, NULL);

	if (!options)
		options = json_object();
	if (grace)
		json_object_set_new(options, "gracePeriodSeconds", json_integer(atoi(grace)));
	if (other_uid(options, o))
		return uid_conflict(call, t);
	end_object(&call->api->store, o, options);
	return kf_sim_answer(call, 200,
			     json_pack("{s:s, s:s, s:s}", "kind", "Status", "apiVersion", "v1",
				       "status", "Success"));
}

static enum MHD_Result evict(struct kf_sim_call *call, const struct kf_sim_target *t,
			     struct kf_sim_object *o)
{
	json_auto_t *json = json_loadb(call->body.s ? call->body.s : "", call->body.n, 0, NULL);
	const char *kind = json_string_value(json_object_get(json, "kind"));
	json_t *options = json_object_get(json, "deleteOptions");

	if (!kind || strcmp(kind, "Eviction"))
		return kf_sim_refuse(call, 400, "BadRequest", NULL, "this is no Eviction");
	if (other_uid(options, o))
		return uid_conflict(call, t);
	if (call->api->budget == 0)
		return kf_sim_refuse(call, 429, "TooManyRequests",
				     "The disruption budget stand-in needs 1 healthy pods and has "
				     "1 currently",
				     "Cannot evict pod as it would violate the pod's disruption "
				     "budget.");
	if (call->api->budget > 0)
		call->api->budget--;
	end_object(&call->api->store, o, options);
	return kf_sim_answer(call, 201,
			     json_pack("{s:s, s:s, s:s}", "kind", "Status", "apiVersion", "v1",
				       "status", "Success"));
}

/* --- which ----------------------------------------------------------------------------------- */

static enum MHD_Result on_object(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	struct kf_sim_object *o = kf_sim_find(&call->api->store, t->kind, t->namespace, t->name);
	int plain = !*t->sub || !strcmp(t->sub, "status");

	if (!o)
		return not_found(call, t);
	if (!strcmp(call->method, "POST") && !strcmp(t->sub, "eviction") && t->kind == KF_SIM_PODS)
		return evict(call, t, o);
	if (plain && !strcmp(call->method, "GET"))
		return kf_sim_answer(call, 200, kf_sim_view(call, o->json));
	if (plain && !strcmp(call->method, "PATCH"))
		return patch(call, t, o);
	if (!*t->sub && !strcmp(call->method, "DELETE"))
		return delete_it(call, t, o);
	return kf_sim_refuse(call, 405, "MethodNotAllowed", NULL,
			     "the server does not allow this method on the requested resource");
}

enum MHD_Result kf_sim_verb(struct kf_sim_call *call, const struct kf_sim_target *t)
{
	if (*t->name)
		return on_object(call, t);
	if (!strcmp(call->method, "GET"))
		return list(call, t);
	if (!strcmp(call->method, "POST") && (*t->namespace || !WORDS(t).namespaced))
		return create(call, t);
	return kf_sim_refuse(call, 405, "MethodNotAllowed", NULL,
			     "the server does not allow this method on the requested resource");
}
