/* What shall go wrong; see fault.h. */
#include "fault.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

void kf_sim_fault_done(struct kf_sim_fault *fault)
{
	free(fault->method);
	free(fault->path);
	free(fault->mentions);
	free(fault->body);
	memset(fault, 0, sizeof(*fault));
}

void kf_sim_faults_done(struct kf_sim_faults *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		kf_sim_fault_done(&f->list[i]);
	free(f->list);
	memset(f, 0, sizeof(*f));
}

static char *copy(json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));

	return s ? kf_strdup(s) : NULL;
}

int kf_sim_fault_add(struct kf_sim_faults *f, json_t *json, struct kf_error *err)
{
	json_t *watch = json_object_get(json, "watch"), *times = json_object_get(json, "times");
	struct kf_sim_fault *x;

	if (!json_object_size(json)) {
		kf_sim_faults_done(f);
		return 0;
	}
	if (kf_grow(&f->list, &f->capacity, f->n + 1, sizeof(*x)) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a fault");
	x = &f->list[f->n];
	x->method = copy(json, "method");
	x->path = copy(json, "path");
	x->mentions = copy(json, "mentions");
	x->body = copy(json, "body");
	x->watch = watch ? json_is_true(watch) : -1;
	x->status = (int)json_integer_value(json_object_get(json, "status"));
	x->retry_after_s = (int)json_integer_value(json_object_get(json, "retryAfter"));
	x->drop = json_is_true(json_object_get(json, "drop"));
	x->hang = json_is_true(json_object_get(json, "hang"));
	x->delay_ms = (unsigned)json_integer_value(json_object_get(json, "delayMs"));
	x->times = times ? (int)json_integer_value(times) : 1;
	if (x->times == 0)
		x->times = -1;
	if (!x->status && !x->drop && !x->hang && !x->body && !x->delay_ms) {
		kf_sim_fault_done(x);
		return kf_fail(err, KF_E_INPUT, 0,
			       "a fault needs one of status, drop, hang, body, delayMs");
	}
	f->n++;
	return 0;
}

static int matches(const struct kf_sim_fault *x, const char *method, const char *path, int watch,
		   const char *sent)
{
	return x->times && (!x->method || !strcmp(x->method, method)) &&
	       (!x->path || !strncmp(path, x->path, strlen(x->path))) &&
	       (x->watch < 0 || x->watch == watch) &&
	       (!x->mentions || (sent && strstr(sent, x->mentions)));
}

int kf_sim_fault_for(struct kf_sim_faults *f, const char *method, const char *path, int watch,
		     const char *sent, struct kf_sim_fault *ret)
{
	size_t i;

	for (i = 0; i < f->n; i++) {
		struct kf_sim_fault *x = &f->list[i];

		if (!matches(x, method, path, watch, sent))
			continue;
		if (x->times > 0)
			x->times--;
		*ret = *x;
		ret->method = ret->path = ret->mentions = NULL;
		ret->body = x->body ? kf_strdup(x->body) : NULL;
		return 1;
	}
	return 0;
}
