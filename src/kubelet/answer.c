/* The answer to Allocate as a value; see answer.h. */
#include "kubelet/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

/* A copy of a string that protobuf may carry; NULL when it may not, or without memory. */
static char *copy(const char *s)
{
	return kf_is_utf8(s, strlen(s)) ? kf_strdup(s) : NULL;
}

static int set_pair(struct kf_answer_pair *p, const char *key, const char *value)
{
	*p = (struct kf_answer_pair){copy(key), copy(value)};
	if (p->key && p->value)
		return 0;
	free(p->key);
	free(p->value);
	*p = (struct kf_answer_pair){0};
	return -1;
}

static int add_pair(struct kf_answer_pair **array, unsigned *n, size_t *capacity, const char *key,
		    const char *value)
{
	struct kf_answer_pair pair;
	unsigned i;

	for (i = 0; i < *n && strcmp((*array)[i].key, key) != 0; i++)
		;
	if (kf_grow(array, capacity, i + 1, sizeof(pair)) < 0 || set_pair(&pair, key, value) < 0)
		return -1;
	free((*array)[i].key);
	free((*array)[i].value);
	(*array)[i] = pair;
	if (i == *n)
		++*n;
	return 0;
}

int kf_answer_add_env(struct kf_answer *a, const char *key, const char *value)
{
	return add_pair(&a->env, &a->n_envs, &a->env_capacity, key, value);
}

int kf_answer_add_annotation(struct kf_answer *a, const char *key, const char *value)
{
	return add_pair(&a->annotation, &a->n_annotations, &a->annotation_capacity, key, value);
}

int kf_answer_add_mount(struct kf_answer *a, const char *container_path, const char *host_path,
			int read_only)
{
	struct kf_answer_pair paths;

	if (kf_grow(&a->mount, &a->mount_capacity, a->n_mounts + 1, sizeof(a->mount[0])) < 0 ||
	    set_pair(&paths, container_path, host_path) < 0)
		return -1;
	a->mount[a->n_mounts++] = (struct kf_answer_mount){paths.key, paths.value, read_only};
	return 0;
}

int kf_answer_add_device(struct kf_answer *a, const char *container_path, const char *host_path,
			 const char *permissions)
{
	struct kf_answer_pair paths;
	char *mode;

	if (kf_grow(&a->device, &a->device_capacity, a->n_devices + 1, sizeof(a->device[0])) < 0 ||
	    set_pair(&paths, container_path, host_path) < 0)
		return -1;
	mode = copy(permissions);
	if (!mode) {
		free(paths.key);
		free(paths.value);
		return -1;
	}
	a->device[a->n_devices++] = (struct kf_answer_device){paths.key, paths.value, mode};
	return 0;
}

int kf_answer_add_cdi(struct kf_answer *a, const char *name)
{
	char *s;

	if (kf_grow(&a->cdi, &a->cdi_capacity, a->n_cdi + 1, sizeof(a->cdi[0])) < 0)
		return -1;
	s = copy(name);
	if (!s)
		return -1;
	a->cdi[a->n_cdi++] = s;
	return 0;
}

const char *kf_answer_env(const struct kf_answer *a, const char *key)
{
	unsigned i;

	for (i = 0; i < a->n_envs; i++)
		if (!strcmp(a->env[i].key, key))
			return a->env[i].value;
	return NULL;
}

static void pairs_done(struct kf_answer_pair *pair, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		free(pair[i].key);
		free(pair[i].value);
	}
	free(pair);
}

void kf_answer_done(struct kf_answer *a)
{
	unsigned i;

	pairs_done(a->env, a->n_envs);
	pairs_done(a->annotation, a->n_annotations);
	for (i = 0; i < a->n_mounts; i++) {
		free(a->mount[i].container_path);
		free(a->mount[i].host_path);
	}
	free(a->mount);
	for (i = 0; i < a->n_devices; i++) {
		free(a->device[i].container_path);
		free(a->device[i].host_path);
		free(a->device[i].permissions);
	}
	free(a->device);
	for (i = 0; i < a->n_cdi; i++)
		free(a->cdi[i]);
	free(a->cdi);
	*a = (struct kf_answer){0};
}
