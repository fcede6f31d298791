/* The present geometry as a mig-parted file; see mig.h. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/mig-file.h"

/* GPUs that carry the same, in order of the first. */
struct group {
	int enabled;
	unsigned n, gpu[KF_MAX_GPUS];
	unsigned n_devices;
	struct {
		char name[KF_PROFILE_NAME];
		unsigned count;
	} device[KF_MAX_INSTANCES * KF_MAX_CIS];
};

static void name_devices(const struct kf_gpu *gpu, struct group *g)
{
	struct kf_mig_devices d;
	unsigned p, c;

	kf_mig_devices_of_gpu(gpu, &d);
	for (p = 0; p < gpu->shape.n; p++) {
		for (c = KF_MAX_CIS; c > 0; c--) {
			if (d.count[p][c] == 0)
				continue;
			kf_mig_device_name(&gpu->shape, p, c, g->device[g->n_devices].name);
			g->device[g->n_devices++].count = d.count[p][c];
		}
	}
}

static int sayable(const struct kf_gpu *gpu, struct kf_error *err)
{
	unsigned i;

	for (i = 0; i < gpu->n_instances; i++) {
		const struct kf_instance *gi = &gpu->instance[i];

		if (gi->profile >= gpu->shape.n)
			return kf_fail(err, KF_E_STATE, 0,
				       "gpu %u: GPU instance %u has a profile that the driver "
				       "does not list; no configuration can name it",
				       gpu->index, gi->id);
		if (gi->n_ci == 0)
			return kf_fail(err, KF_E_STATE, 0,
				       "gpu %u: GPU instance %u (%s) has no compute instance; no "
				       "configuration can say so",
				       gpu->index, gi->id, gpu->shape.profile[gi->profile].name);
	}
	return 0;
}

static int same(const struct group *a, const struct group *b)
{
	unsigned i;

	if (a->enabled != b->enabled || a->n_devices != b->n_devices)
		return 0;
	for (i = 0; i < a->n_devices; i++)
		if (a->device[i].count != b->device[i].count ||
		    strcmp(a->device[i].name, b->device[i].name) != 0)
			return 0;
	return 1;
}

static int group_all(const struct kf_node *node, struct group *group, unsigned *n,
		     struct kf_error *err)
{
	unsigned i, j;

	for (i = 0; i < node->n_gpus; i++) {
		struct group g = {.enabled = node->gpu[i].mig_current};

		if (node->gpu[i].state != KF_GPU_OK)
			return kf_fail(err, KF_E_STATE, 0, "gpu %u: %s", i, node->gpu[i].trouble);
		if (sayable(&node->gpu[i], err) < 0)
			return -1;
		if (g.enabled)
			name_devices(&node->gpu[i], &g);
		for (j = 0; j < *n && !same(&group[j], &g); j++)
			;
		if (j == *n)
			group[(*n)++] = g;
		group[j].gpu[group[j].n++] = node->gpu[i].index;
	}
	return 0;
}

/* "all" or "[0, 2]" */
static void add_indices(struct kf_text *t, const struct group *g, unsigned n_gpus, const char *all)
{
	unsigned i;

	if (g->n == n_gpus) {
		kf_text_add(t, all);
		return;
	}
	for (i = 0; i < g->n; i++)
		kf_text_addf(t, "%s%u", i ? ", " : "[", g->gpu[i]);
	kf_text_add(t, "]");
}

static void add_yaml(struct kf_text *t, const struct group *g, unsigned n_gpus)
{
	unsigned i;

	kf_text_add(t, "    - devices: ");
	add_indices(t, g, n_gpus, "all");
	kf_text_addf(t, "\n      mig-enabled: %s\n", g->enabled ? "true" : "false");
	kf_text_addf(t, "      mig-devices:%s\n", g->n_devices ? "" : " {}");
	for (i = 0; i < g->n_devices; i++)
		kf_text_addf(t, "        \"%s\": %u\n", g->device[i].name, g->device[i].count);
}

static void add_json(struct kf_text *t, const struct group *g, unsigned n_gpus)
{
	unsigned i;

	kf_text_add(t, "{\"devices\":");
	add_indices(t, g, n_gpus, "\"all\"");
	kf_text_addf(t, ",\"mig-enabled\":%s,\"mig-devices\":{", g->enabled ? "true" : "false");
	for (i = 0; i < g->n_devices; i++)
		kf_text_addf(t, "%s\"%s\":%u", i ? "," : "", g->device[i].name, g->device[i].count);
	kf_text_add(t, "}}");
}

/* A label is ours to quote: it becomes a key of the file. */
static int check_label(const char *label, struct kf_error *err)
{
	if (!*label || strlen(label) >= KF_MIG_NAME || strpbrk(label, "\"\\\n\r\t"))
		return kf_fail(err, KF_E_INPUT, 0,
			       "'%.80s' cannot name a configuration: 1 to 63 characters, "
			       "no quotes or control characters",
			       label);
	return 0;
}

int kf_mig_export(const struct kf_node *node, const char *label, enum kf_mig_format format,
		  char **ret, struct kf_error *err)
{
	kf_auto_mem struct group *group = kf_calloc(node->n_gpus + 1, sizeof(*group));
	struct kf_text t = {0};
	unsigned i, n = 0;
	char *text;

	if (!group)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to export the geometry");
	if (check_label(label, err) < 0 || group_all(node, group, &n, err) < 0)
		return -1;
	if (n == 0)
		return kf_fail(err, KF_E_STATE, 0, "this node has no GPU to export");
	kf_text_addf(&t,
		     format == KF_MIG_JSON ? "{\"version\":\"v1\",\"mig-configs\":{\"%s\":["
					   : "version: v1\nmig-configs:\n  \"%s\":\n",
		     label);
	for (i = 0; i < n; i++) {
		if (format == KF_MIG_JSON && i)
			kf_text_add(&t, ",");
		(format == KF_MIG_JSON ? add_json : add_yaml)(&t, &group[i], node->n_gpus);
	}
	if (format == KF_MIG_JSON)
		kf_text_add(&t, "]}}\n");
	text = kf_text_take(&t);
	if (!text)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to export the geometry");
	*ret = text;
	return 0;
}
