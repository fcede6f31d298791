/* Objects and history; see store.h. */
#include "store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

const struct kf_sim_kind_words kf_sim_kinds[KF_SIM_KINDS] = {
	[KF_SIM_NODES] = {"nodes", "Node", 0},
	[KF_SIM_PODS] = {"pods", "Pod", 1},
	[KF_SIM_EVENTS] = {"events", "Event", 1},
	[KF_SIM_CONFIGMAPS] = {"configmaps", "ConfigMap", 1},
};

int kf_sim_store_init(struct kf_sim_store *s, unsigned history, struct kf_error *err)
{
	pthread_condattr_t attributes;

	memset(s, 0, sizeof(*s));
	s->history_size = history ? history : 1000;
	s->history = kf_calloc(s->history_size, sizeof(*s->history));
	if (!s->history)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a history");
	s->version = s->forgotten = 1000; /* looks like a cluster with a past */
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return 0;
}

static void free_object(struct kf_sim_object *o)
{
	free(o->namespace);
	free(o->name);
	json_decref(o->json);
}

void kf_sim_store_done(struct kf_sim_store *s)
{
	size_t i;

	if (!s->history)
		return;
	for (i = 0; i < s->n_objects; i++)
		free_object(&s->objects[i]);
	free(s->objects);
	for (i = 0; i < s->history_size; i++)
		json_decref(s->history[i].json);
	free(s->history);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

struct kf_sim_object *kf_sim_find(struct kf_sim_store *s, enum kf_sim_kind kind,
				  const char *namespace, const char *name)
{
	size_t i;

	for (i = 0; i < s->n_objects; i++) {
		struct kf_sim_object *o = &s->objects[i];

		if (o->kind == kind && !strcmp(o->name, name) && !strcmp(o->namespace, namespace))
			return o;
	}
	return NULL;
}

/* --- history --------------------------------------------------------------------------------- */

static void record(struct kf_sim_store *s, enum kf_sim_kind kind, const char *type, json_t *json)
{
	struct kf_sim_change *c = &s->history[s->history_at];

	if (c->json) {
		s->forgotten = c->version;
		json_decref(c->json);
	}
	*c = (struct kf_sim_change){s->version, kind, type, json_deep_copy(json)};
	s->history_at = (s->history_at + 1) % s->history_size;
	if (s->n_history < s->history_size)
		s->n_history++;
	pthread_cond_broadcast(&s->changed);
}

void kf_sim_forget_history(struct kf_sim_store *s)
{
	unsigned i;

	for (i = 0; i < s->history_size; i++) {
		json_decref(s->history[i].json);
		s->history[i].json = NULL;
	}
	s->n_history = s->history_at = 0;
	/* a version of its own, so that even a watch from the latest is too old */
	s->forgotten = ++s->version;
	pthread_cond_broadcast(&s->changed);
}

const struct kf_sim_change *kf_sim_next_change(const struct kf_sim_store *s, enum kf_sim_kind kind,
					       unsigned long version)
{
	unsigned i, from = (s->history_at + s->history_size - s->n_history) % s->history_size;

	for (i = 0; i < s->n_history; i++) {
		const struct kf_sim_change *c = &s->history[(from + i) % s->history_size];

		if (c->kind == kind && c->version > version)
			return c;
	}
	return NULL;
}

/* --- changes --------------------------------------------------------------------------------- */

static void stamp(struct kf_sim_store *s, json_t *meta)
{
	char version[24];

	snprintf(version, sizeof(version), "%lu", ++s->version);
	json_object_set_new(meta, "resourceVersion", json_string(version));
}

static void christen(struct kf_sim_store *s, json_t *meta)
{
	char uid[40], now[32];

	kf_wall_seconds(now);
	snprintf(uid, sizeof(uid), "%08x-0000-4000-8000-%012lx", (unsigned)getpid(), ++s->serial);
	/* unlike the real one: a pod may be the one that the stand-in kubelet has */
	if (!json_string_value(json_object_get(meta, "uid")))
		json_object_set_new(meta, "uid", json_string(uid));
	json_object_set_new(meta, "creationTimestamp", json_string(now));
}

int kf_sim_add(struct kf_sim_store *s, enum kf_sim_kind kind, json_t *json,
	       struct kf_sim_object **ret)
{
	json_t *meta = json_object_get(json, "metadata");
	const char *namespace = json_string_value(json_object_get(meta, "namespace"));
	struct kf_sim_object o = {.kind = kind, .json = json};

	o.namespace = kf_strdup(namespace ? namespace : "");
	o.name = kf_strdup(json_string_value(json_object_get(meta, "name")));
	if (!o.namespace || !o.name ||
	    kf_grow(&s->objects, &s->objects_capacity, s->n_objects + 1, sizeof(o)) < 0) {
		free_object(&o);
		return -1;
	}
	json_object_set_new(json, "kind", json_string(kf_sim_kinds[kind].kind));
	json_object_set_new(json, "apiVersion", json_string("v1"));
	christen(s, meta);
	stamp(s, meta);
	s->objects[s->n_objects] = o;
	*ret = &s->objects[s->n_objects++];
	record(s, kind, "ADDED", json);
	return 0;
}

void kf_sim_replace(struct kf_sim_store *s, struct kf_sim_object *o, json_t *json)
{
	/* as the real one: what changes nothing is no change */
	if (json_equal(o->json, json)) {
		json_decref(json);
		return;
	}
	json_decref(o->json);
	o->json = json;
	stamp(s, json_object_get(json, "metadata"));
	record(s, o->kind, "MODIFIED", json);
}

void kf_sim_remove(struct kf_sim_store *s, struct kf_sim_object *o)
{
	stamp(s, json_object_get(o->json, "metadata"));
	record(s, o->kind, "DELETED", o->json);
	free_object(o);
	*o = s->objects[--s->n_objects];
}

/* --- patches and selectors ------------------------------------------------------------------- */

static json_t *merged(json_t *target, json_t *patch)
{
	json_t *result, *value;
	const char *key;

	if (!json_is_object(patch))
		return json_deep_copy(patch);
	result = json_is_object(target) ? json_copy(target) : json_object();
	json_object_foreach(patch, key, value)
	{
		if (json_is_null(value))
			json_object_del(result, key);
		else
			json_object_set_new(result, key,
					    merged(json_object_get(result, key), value));
	}
	return result;
}

json_t *kf_sim_merged(json_t *target, json_t *patch)
{
	json_auto_t *shallow = merged(target, patch);

	return shallow ? json_deep_copy(shallow) : NULL;
}

/* "a.b.c" of an object; "" if there is no such string. */
static const char *field(json_t *json, const char *path, size_t n)
{
	const char *value;

	while (n) {
		size_t piece = (const char *)memchr(path, '.', n) ? strcspn(path, ".") : n;
		kf_auto_mem char *key = kf_strndup(path, piece);

		json = key ? json_object_get(json, key) : NULL;
		if (piece == n)
			break;
		path += piece + 1;
		n -= piece + 1;
	}
	value = json_string_value(json);
	return value ? value : "";
}

static int term_holds(json_t *json, const char *term, size_t n)
{
	const char *equal = memchr(term, '=', n);
	int negated;
	size_t path_n;
	const char *value, *want;
	size_t want_n;

	if (!equal)
		return 0;
	negated = equal > term && equal[-1] == '!';
	path_n = (size_t)(equal - term) - (size_t)negated;
	want = equal + (equal[1] == '=' ? 2 : 1);
	want_n = (size_t)(term + n - want);
	value = field(json, term, path_n);
	return negated != (strlen(value) == want_n && !memcmp(value, want, want_n));
}

int kf_sim_selected(json_t *json, const char *selector)
{
	while (selector && *selector) {
		size_t n = strcspn(selector, ",");

		if (!term_holds(json, selector, n))
			return 0;
		selector += n + (selector[n] == ',');
	}
	return 1;
}
