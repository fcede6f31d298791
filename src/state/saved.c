/* The last good configuration; see saved.h. */
#include "state/saved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "state/file.h"

#define NAME "saved.json"
#define WHAT "saved 1"

struct kf_saved *kf_saved_free(struct kf_saved *s)
{
	if (s) {
		free(s->gpu);
		free(s);
	}
	return NULL;
}

/* -- from the node ---------------------------------------------------------------------------- */

static void copy_instance(const struct kf_shape *shape, const struct kf_instance *from,
			  struct kf_saved_instance *to)
{
	const struct kf_profile *profile = &shape->profile[from->profile];
	unsigned c;

	to->id = from->id;
	to->profile = profile->id;
	to->slices = profile->slices;
	to->gb = profile->gb;
	memcpy(to->attr, profile->attr, sizeof(to->attr));
	to->start = from->start;
	for (c = 0; c < from->n_ci && c < KF_MAX_CIS; c++) {
		const struct kf_ci *ci = &from->ci[c];
		unsigned at = to->n_ci++;

		for (; at > 0 && to->ci[at - 1].id > ci->id; at--)
			to->ci[at] = to->ci[at - 1];
		to->ci[at].id = ci->id;
		to->ci[at].slices = ci->slices;
		to->ci[at].profile =
			ci->profile < profile->n_ci ? profile->ci[ci->profile].id : KF_NONE;
	}
}

static int by_start(const void *a, const void *b)
{
	const struct kf_saved_instance *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void copy_gpu(const struct kf_gpu *from, struct kf_saved_gpu *to)
{
	unsigned i;

	snprintf(to->uuid, sizeof(to->uuid), "%s", from->uuid);
	to->mig = from->mig_current;
	for (i = 0; i < from->n_instances && to->n < KF_MAX_INSTANCES; i++)
		/* one that no listed profile fits could not be made again */
		if (from->instance[i].profile < from->shape.n)
			copy_instance(&from->shape, &from->instance[i], &to->instance[to->n++]);
	qsort(to->instance, to->n, sizeof(*to->instance), by_start);
}

static struct kf_saved *make_empty(unsigned n_gpus, struct kf_error *err)
{
	struct kf_saved *s = kf_calloc(1, sizeof(*s));

	if (s)
		s->gpu = kf_calloc(n_gpus, sizeof(*s->gpu));
	if (s && s->gpu)
		return s;
	kf_saved_free(s);
	kf_fail(err, KF_E_NOMEM, 0, "no memory for the saved geometry");
	return NULL;
}

int kf_saved_make(const struct kf_node *node, const char *config, const char *source,
		  struct kf_saved **ret, struct kf_error *err)
{
	struct kf_saved *s = make_empty(node->n_gpus, err);
	unsigned g;

	if (!s)
		return -1;
	snprintf(s->config, sizeof(s->config), "%s", config);
	snprintf(s->source, sizeof(s->source), "%s", source ? source : "");
	snprintf(s->driver_version, sizeof(s->driver_version), "%s", node->driver_version);
	for (g = 0; g < node->n_gpus; g++)
		if (node->gpu[g].state == KF_GPU_OK)
			copy_gpu(&node->gpu[g], &s->gpu[s->n_gpus++]);
	*ret = s;
	return 0;
}

const struct kf_saved_gpu *kf_saved_find(const struct kf_saved *s, const char *uuid)
{
	unsigned g;

	for (g = 0; g < s->n_gpus; g++)
		if (!strcmp(s->gpu[g].uuid, uuid))
			return &s->gpu[g];
	return NULL;
}

/* -- to JSON ---------------------------------------------------------------------------------- */

/* Append to an array; takes `value`, which may be NULL (no memory).  0 or -1. */
static int append(json_t *array, json_t *value)
{
	return value ? json_array_append_new(array, value) : -1;
}

static json_t *instance_to_json(const struct kf_saved_instance *from)
{
	json_auto_t *cis = json_array();
	unsigned c;

	for (c = 0; c < from->n_ci; c++) {
		const struct kf_saved_ci *ci = &from->ci[c];

		if (append(cis, json_pack("{s:I, s:I, s:I}", "id", (json_int_t)ci->id, "profile",
					  (json_int_t)ci->profile, "slices",
					  (json_int_t)ci->slices)) < 0)
			return NULL;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:I, s:O}", "id", (json_int_t)from->id,
			 "profile", (json_int_t)from->profile, "slices", (json_int_t)from->slices,
			 "gb", (json_int_t)from->gb, "attr", from->attr, "start",
			 (json_int_t)from->start, "ci", cis);
}

static json_t *gpu_to_json(const struct kf_saved_gpu *from)
{
	json_auto_t *instances = json_array();
	unsigned i;

	for (i = 0; i < from->n; i++)
		if (append(instances, instance_to_json(&from->instance[i])) < 0)
			return NULL;
	return json_pack("{s:s, s:I, s:O}", "uuid", from->uuid, "mig", (json_int_t)from->mig,
			 "instances", instances);
}

int kf_saved_write(const char *dir, const struct kf_saved *s, struct kf_error *err)
{
	json_auto_t *gpus = json_array(), *root = NULL;
	unsigned g;

	for (g = 0; g < s->n_gpus; g++)
		if (append(gpus, gpu_to_json(&s->gpu[g])) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory to save the geometry");
	root = json_pack("{s:s, s:s, s:s, s:s, s:O}", "kerf", WHAT, "config", s->config, "source",
			 s->source, "driverVersion", s->driver_version, "gpus", gpus);
	return kf_state_store(dir, NAME, root, err);
}

/* -- from JSON -------------------------------------------------------------------------------- */

static int read_number(const json_t *object, const char *key, json_int_t max, unsigned *ret,
		       struct kf_error *err)
{
	json_int_t v;

	if (kf_state_uint(object, key, max, &v, err) < 0)
		return -1;
	*ret = (unsigned)v;
	return 0;
}

/* An array of at most `max` elements: its length into *n. */
static int read_length(const json_t *array, const char *what, unsigned max, unsigned *n,
		       struct kf_error *err)
{
	if (!json_is_array(array) || json_array_size(array) > max)
		return kf_fail(err, KF_E_INPUT, 0, "%s is missing or no list of up to %u", what,
			       max);
	*n = (unsigned)json_array_size(array);
	return 0;
}

static int read_ci(const json_t *from, struct kf_saved_ci *to, struct kf_error *err)
{
	if (read_number(from, "id", KF_MAX_CIS - 1, &to->id, err) < 0 ||
	    read_number(from, "profile", KF_NONE, &to->profile, err) < 0 ||
	    read_number(from, "slices", 64, &to->slices, err) < 0)
		return -1;
	return 0;
}

static int read_instance(const json_t *from, struct kf_saved_instance *to, struct kf_error *err)
{
	const json_t *cis = json_object_get(from, "ci");
	unsigned c;

	if (read_number(from, "id", KF_NONE, &to->id, err) < 0 ||
	    read_number(from, "profile", KF_NONE, &to->profile, err) < 0 ||
	    read_number(from, "slices", 64, &to->slices, err) < 0 ||
	    read_number(from, "gb", 1 << 20, &to->gb, err) < 0 ||
	    kf_state_string(from, "attr", to->attr, sizeof(to->attr), err) < 0 ||
	    read_number(from, "start", 31, &to->start, err) < 0 ||
	    read_length(cis, "ci", KF_MAX_CIS, &to->n_ci, err) < 0)
		return -1;
	for (c = 0; c < to->n_ci; c++)
		if (read_ci(json_array_get(cis, c), &to->ci[c], err) < 0)
			return kf_prefix(err, "compute instance %u", c);
	return 0;
}

static int read_gpu(const json_t *from, struct kf_saved_gpu *to, struct kf_error *err)
{
	const json_t *instances = json_object_get(from, "instances");
	unsigned i, mig;

	if (kf_state_string(from, "uuid", to->uuid, sizeof(to->uuid), err) < 0 ||
	    read_number(from, "mig", 1, &mig, err) < 0 ||
	    read_length(instances, "instances", KF_MAX_INSTANCES, &to->n, err) < 0)
		return -1;
	to->mig = (int)mig;
	for (i = 0; i < to->n; i++)
		if (read_instance(json_array_get(instances, i), &to->instance[i], err) < 0)
			return kf_prefix(err, "instance %u", i);
	return 0;
}

int kf_saved_parse(const char *text, size_t n, struct kf_saved **ret, struct kf_error *err)
{
	json_auto_t *root = kf_state_parse(text, n, WHAT, err);
	const json_t *gpus = json_object_get(root, "gpus");
	kf_auto(kf_saved_freep) struct kf_saved *s = NULL;
	unsigned n_gpus = 0, g;

	if (!root || read_length(gpus, "gpus", KF_MAX_GPUS, &n_gpus, err) < 0 ||
	    !(s = make_empty(n_gpus, err)))
		return -1;
	s->n_gpus = n_gpus;
	if (kf_state_string(root, "config", s->config, sizeof(s->config), err) < 0 ||
	    kf_state_string(root, "source", s->source, sizeof(s->source), err) < 0 ||
	    kf_state_string(root, "driverVersion", s->driver_version, sizeof(s->driver_version),
			    err) < 0)
		return -1;
	for (g = 0; g < n_gpus; g++)
		if (read_gpu(json_array_get(gpus, g), &s->gpu[g], err) < 0)
			return kf_prefix(err, "GPU %u", g);
	*ret = kf_take(s);
	return 0;
}

int kf_saved_read(const char *dir, struct kf_saved **ret, struct kf_error *err)
{
	struct kf_error spare;
	char *text = NULL;
	size_t n;
	int r;

	if (!err)
		err = &spare;
	r = kf_state_fetch(dir, NAME, &text, &n, err);
	if (r != 0)
		return r;
	r = kf_saved_parse(text, n, ret, err);
	free(text);
	if (r == 0 || err->code == KF_E_NOMEM)
		return r;
	return kf_state_refuse(dir, NAME, err);
}
