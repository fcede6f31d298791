/* Labels for a nodeSelector, of kerf's own and the operator's; see labels.h. */
#include <string.h>

#include "base/error.h"
#include "labels/make.h"

#define OWN "kerf.dev/"

/* `place`: it is the so-manieth GPU that is sold whole. */
static const char *mode_of(const struct make *m, const struct kf_gpu *gpu, unsigned place)
{
	const char *named = kf_share_naming(m->choices->rules, 0, gpu->name);
	struct kf_share_device device = {.resource = named ? named : "nvidia.com/gpu",
					 .id = gpu->uuid,
					 .gpu = gpu->index,
					 .slice = KF_NONE,
					 .place = place};
	const struct kf_share_rule *rule = kf_share_of(m->choices->rules, &device);

	if (gpu->mig_current == 1)
		return "mig";
	return !rule ? "whole" : rule->units.mib ? "memory" : "shared";
}

/* One word for all GPUs, or `mixed`. */
static void put_sale(struct make *m)
{
	const char *mode = NULL;
	unsigned g, place = 0;

	for (g = 0; g < m->node->n_gpus; g++) {
		const char *one = mode_of(m, &m->node->gpu[g], place);

		place += m->node->gpu[g].mig_current != 1;
		if (kf_make_counts(&m->node->gpu[g]))
			mode = !mode || !strcmp(mode, one) ? one : "mixed";
	}
	kf_make_put(m, OWN, "mode", "%s", mode);
}

static unsigned count_slices(const struct kf_node *node, const char *name)
{
	unsigned g, i, c, n = 0;

	for (g = 0; g < node->n_gpus; g++)
		for (i = 0; i < node->gpu[g].n_instances; i++)
			for (c = 0; c < node->gpu[g].instance[i].n_ci; c++)
				n += kf_make_counts(&node->gpu[g]) &&
				     !strcmp(node->gpu[g].instance[i].ci[c].name, name);
	return n;
}

static void put_slices(struct make *m)
{
	unsigned g, i, c;

	for (g = 0; g < m->node->n_gpus; g++)
		for (i = 0; i < m->node->gpu[g].n_instances; i++)
			for (c = 0; c < m->node->gpu[g].instance[i].n_ci; c++) {
				const char *name = m->node->gpu[g].instance[i].ci[c].name;
				char resource[64];

				kf_profile_resource(name, resource, sizeof(resource));
				kf_make_put(m, OWN, resource, "%u", count_slices(m->node, name));
			}
}

int kf_labels_add_own(const struct kf_node *node, const struct kf_label_choices *choices,
		      unsigned which, struct kf_labels *ret, struct kf_error *err)
{
	struct make m = {node, NULL, choices, ret};

	if (kf_make_first(node, -1)) {
		if (which & KF_NODE_PRESENT)
			kf_labels_set(ret, KF_LABEL_PRESENT, "true");
		if (which & KF_NODE_MODE)
			put_sale(&m);
		if (which & KF_NODE_SLICES)
			put_slices(&m);
	}
	if (!ret->failed)
		return 0;
	kf_labels_done(ret);
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the labels of a node");
}
