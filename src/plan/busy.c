/*
 * What must not be touched, and in whose name.
 *
 * A pod holds a MIG device by its UUID, or the whole GPU by the GPU's; a process is known from the
 * driver.  A hold on the GPU while MIG is on covers each of its instances: CUDA gives such a
 * container the first one it finds.
 */
#include <stdio.h>
#include <string.h>

#include "plan/diff.h"

void kf_names_init(struct kf_names *names, char *out, unsigned size)
{
	*names = (struct kf_names){.out = out, .size = size};
	out[0] = '\0';
}

static int named(const struct kf_names *names, const char *name)
{
	const char *at = names->out;
	size_t n = strlen(name);

	while ((at = strstr(at, name))) {
		if ((at == names->out || at[-1] == ' ') && (at[n] == '\0' || at[n] == ','))
			return 1;
		at++;
	}
	return 0;
}

void kf_names_add(struct kf_names *names, const char *name)
{
	const unsigned room_for_more = sizeof(" and 4294967295 more");
	size_t n = strlen(names->out);

	if (named(names, name))
		return;
	if (names->n_left_out || n + strlen(name) + 2 + room_for_more > names->size) {
		names->n_left_out++;
		return;
	}
	snprintf(names->out + n, names->size - n, "%s%s", n ? ", " : "", name);
}

void kf_names_done(struct kf_names *names)
{
	size_t n = strlen(names->out);

	if (names->n_left_out)
		snprintf(names->out + n, names->size - n, n ? " and %u more" : "%u holders",
			 names->n_left_out);
}

static unsigned n_listed(const struct kf_gpu *gpu, const struct kf_instance *instance)
{
	unsigned i, n = 0;

	for (i = 0; i < gpu->n_listed; i++)
		n += gpu->process[i].gi == instance->id;
	return n;
}

static int has_process(const struct kf_gpu *gpu, const struct kf_instance *instance,
		       const struct kf_ci *ci)
{
	unsigned i;

	for (i = 0; i < gpu->n_listed; i++)
		if (gpu->process[i].gi == instance->id &&
		    (gpu->process[i].ci == ci->id || gpu->process[i].ci == KF_NONE))
			return 1;
	/* More processes than the driver listed: any of them may be on this one. */
	return instance->n_processes > n_listed(gpu, instance);
}

int kf_busy_ci(const struct kf_holds *holds, const struct kf_gpu *gpu,
	       const struct kf_instance *instance, const struct kf_ci *ci)
{
	return has_process(gpu, instance, ci) || kf_holds_find(holds, ci->uuid) ||
	       kf_holds_find(holds, gpu->uuid);
}

int kf_busy_instance(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance)
{
	unsigned c;

	if (instance->n_processes || n_listed(gpu, instance) || kf_holds_find(holds, gpu->uuid))
		return 1;
	for (c = 0; c < instance->n_ci; c++)
		if (kf_holds_find(holds, instance->ci[c].uuid))
			return 1;
	return 0;
}

int kf_busy_gpu(const struct kf_holds *holds, const struct kf_gpu *gpu)
{
	unsigned i;

	if (gpu->n_processes || gpu->n_listed || kf_holds_find(holds, gpu->uuid))
		return 1;
	for (i = 0; i < gpu->n_instances; i++)
		if (kf_busy_instance(holds, gpu, &gpu->instance[i]))
			return 1;
	return 0;
}

/* Containers of one pod may share a device: was it named for an earlier hold of it? */
static int is_repeated(const struct kf_holds *holds, unsigned at)
{
	const struct kf_hold *h = &holds->hold[at];
	unsigned i;

	for (i = 0; i < at; i++) {
		const struct kf_hold *e = &holds->hold[i];

		if (!strcmp(e->id, h->id) && e->by == h->by && e->pid == h->pid &&
		    !strcmp(e->pod_name, h->pod_name) &&
		    !strcmp(e->pod_namespace, h->pod_namespace) && !strcmp(e->pod_uid, h->pod_uid))
			return 1;
	}
	return 0;
}

/* 1 if it named any. */
static int name_holds(const struct kf_holds *holds, const char *id, struct kf_names *names)
{
	char text[sizeof(((struct kf_hold *)0)->pod_name) +
		  sizeof(((struct kf_hold *)0)->pod_namespace) + 8];
	unsigned i;
	int any = 0;

	for (i = 0; i < holds->n; i++) {
		if (strcmp(holds->hold[i].id, id) != 0 || is_repeated(holds, i))
			continue;
		kf_hold_text(&holds->hold[i], text, sizeof(text));
		kf_names_add(names, text);
		any = 1;
	}
	return any;
}

/*
 * Processes on one compute instance, on one instance (ci NULL) or on the whole GPU (instance NULL);
 * `total` is what the driver counts there.
 */
static void name_processes(const struct kf_gpu *gpu, const struct kf_instance *instance,
			   const struct kf_ci *ci, unsigned total, struct kf_names *names)
{
	unsigned i, n = 0;
	char text[32];

	for (i = 0; i < gpu->n_listed; i++) {
		const struct kf_process *p = &gpu->process[i];

		if (instance && p->gi != instance->id)
			continue;
		if (ci && p->ci != ci->id && p->ci != KF_NONE)
			continue;
		snprintf(text, sizeof(text), "process %u", p->pid);
		kf_names_add(names, text);
		n++;
	}
	if (n == 0 && total > 0)
		kf_names_add(names, total == 1 ? "a process" : "processes");
}

/* A pod's processes are the pod's, so they are named only where no pod is. */
void kf_busy_name_ci(const struct kf_holds *holds, const struct kf_gpu *gpu,
		     const struct kf_instance *instance, const struct kf_ci *ci,
		     struct kf_names *names)
{
	int any = name_holds(holds, gpu->uuid, names);

	any |= name_holds(holds, ci->uuid, names);
	if (!any)
		name_processes(gpu, instance, ci, instance->n_processes, names);
}

void kf_busy_name_instance(const struct kf_holds *holds, const struct kf_gpu *gpu,
			   const struct kf_instance *instance, struct kf_names *names)
{
	int any = name_holds(holds, gpu->uuid, names);
	unsigned c;

	for (c = 0; c < instance->n_ci; c++)
		any |= name_holds(holds, instance->ci[c].uuid, names);
	if (!any)
		name_processes(gpu, instance, NULL, instance->n_processes, names);
}

void kf_busy_name_gpu(const struct kf_holds *holds, const struct kf_gpu *gpu,
		      struct kf_names *names)
{
	int any = name_holds(holds, gpu->uuid, names);
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++)
			any |= name_holds(holds, gpu->instance[i].ci[c].uuid, names);
	if (!any)
		name_processes(gpu, NULL, NULL, gpu->n_processes, names);
}
