/* The journal of a change; see intent.h. */
#include "state/intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "state/file.h"

#define NAME	  "intent.json"
#define WHAT	  "intent 1"
#define MAX_STEPS 4096 /* 32 GPUs x (15 destroys + 15 creates + modes), and room */
#define MAX_TEXT  1024

struct kf_intent *kf_intent_free(struct kf_intent *i)
{
	unsigned s;

	if (!i)
		return NULL;
	for (s = 0; s < i->n; s++)
		free(i->step[s].text);
	free(i->step);
	free(i);
	return NULL;
}

struct kf_intent *kf_intent_new(const char *config, const char *source, int64_t now_s)
{
	struct kf_intent *i = kf_calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	snprintf(i->config, sizeof(i->config), "%s", config);
	snprintf(i->source, sizeof(i->source), "%s", source ? source : "");
	i->since_s = now_s;
	return i;
}

int kf_intent_add(struct kf_intent *i, const char *gpu, const char *text)
{
	struct kf_intent_step *step;

	if (kf_grow(&i->step, &i->capacity, i->n + 1, sizeof(*i->step)) < 0)
		return -1;
	step = &i->step[i->n];
	step->text = kf_strndup(text, MAX_TEXT - 1);
	if (!step->text)
		return -1;
	snprintf(step->gpu, sizeof(step->gpu), "%s", gpu);
	i->n++;
	return 0;
}

static int append(json_t *array, json_t *value)
{
	return value ? json_array_append_new(array, value) : -1;
}

int kf_intent_begin(const char *dir, const struct kf_intent *i, struct kf_error *err)
{
	json_auto_t *steps = json_array(), *root = NULL;
	unsigned s;

	for (s = 0; s < i->n; s++)
		if (append(steps, json_pack("{s:s, s:s}", "gpu", i->step[s].gpu, "step",
					    i->step[s].text)) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory to note what will be done");
	root = json_pack("{s:s, s:s, s:s, s:I, s:O}", "kerf", WHAT, "config", i->config, "source",
			 i->source, "since", (json_int_t)i->since_s, "steps", steps);
	return kf_state_store(dir, NAME, root, err);
}

int kf_intent_end(const char *dir, struct kf_error *err)
{
	return kf_state_remove(dir, NAME, err);
}

static int read_step(const json_t *from, struct kf_intent *i, struct kf_error *err)
{
	char gpu[KF_UUID], text[MAX_TEXT];

	if (kf_state_string(from, "gpu", gpu, sizeof(gpu), err) < 0 ||
	    kf_state_string(from, "step", text, sizeof(text), err) < 0)
		return -1;
	if (kf_intent_add(i, gpu, text) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the steps of a change");
	return 0;
}

int kf_intent_parse(const char *text, size_t n, struct kf_intent **ret, struct kf_error *err)
{
	json_auto_t *root = kf_state_parse(text, n, WHAT, err);
	const json_t *steps = json_object_get(root, "steps");
	kf_auto(kf_intent_freep) struct kf_intent *i = NULL;
	json_int_t since;
	size_t s;

	if (!root)
		return -1;
	if (!json_is_array(steps) || json_array_size(steps) > MAX_STEPS)
		return kf_fail(err, KF_E_INPUT, 0, "steps is missing or no list of up to %d",
			       MAX_STEPS);
	i = kf_intent_new("", "", 0);
	if (!i)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the journal of a change");
	if (kf_state_string(root, "config", i->config, sizeof(i->config), err) < 0 ||
	    kf_state_string(root, "source", i->source, sizeof(i->source), err) < 0 ||
	    kf_state_uint(root, "since", INT64_MAX, &since, err) < 0)
		return -1;
	i->since_s = since;
	for (s = 0; s < json_array_size(steps); s++)
		if (read_step(json_array_get(steps, s), i, err) < 0)
			return kf_prefix(err, "step %zu", s + 1);
	*ret = kf_take(i);
	return 0;
}

int kf_intent_load(const char *dir, struct kf_intent **ret, struct kf_error *err)
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
	r = kf_intent_parse(text, n, ret, err);
	free(text);
	if (r == 0 || err->code == KF_E_NOMEM)
		return r;
	return kf_state_refuse(dir, NAME, err);
}
