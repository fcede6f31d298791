/*
 * Configurations that need no file: made from what the driver lists, as NVIDIA's generator does,
 * and the names of NVIDIA's default file (default-mig.yaml) for GPUs that list nothing yet or that
 * spell a profile otherwise.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/mig-file.h"

/* The plain profile of so many slices with the least memory, or -1. */
static int base_profile(const struct kf_shape *shape, unsigned slices)
{
	unsigned i;
	int best = -1;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];

		if (p->slices == slices && !p->attr[0] &&
		    (best < 0 || p->memory_mib < shape->profile[best].memory_mib))
			best = (int)i;
	}
	return best;
}

/* 7 slices: 2x 1g, 2g, 3g; 4 slices: 2x 1g, 2g.  1, or 0 where nothing like it is known. */
static int balanced(const struct kf_shape *shape, struct kf_gpu_target *t)
{
	unsigned g, most = shape->slices == 7 ? 3 : 2;

	if (shape->slices != 7 && shape->slices != 4)
		return 0;
	for (g = most; g > 0; g--) {
		int p = base_profile(shape, g);

		if (p < 0)
			return 0;
		t->want[t->n++] = (struct kf_want){.profile = (unsigned)p, .count = g == 1 ? 2 : 1};
	}
	return 1;
}

/* all-PROFILE for a profile that the driver lists under exactly this name. */
static int listed(const struct kf_shape *shape, const struct kf_profile_name *name,
		  struct kf_gpu_target *t)
{
	unsigned i;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];

		if (p->slices != name->g || p->gb != name->gb || strcmp(p->attr, name->attr) != 0)
			continue;
		t->want[t->n++] = (struct kf_want){.profile = i, .count = kf_shape_room(shape, i)};
		return 1;
	}
	return 0;
}

/* From the hardware alone.  1, or 0 when this name means nothing for this GPU. */
static int generated(const char *name, const struct kf_gpu *gpu, struct kf_gpu_target *t)
{
	struct kf_profile_name profile;

	*t = (struct kf_gpu_target){.mentioned = 1, .mig = 1};
	if (!strcmp(name, "all-disabled")) {
		t->mig = 0;
		return 1;
	}
	if (!strcmp(name, "all-enabled"))
		return 1;
	if (!strcmp(name, "all-balanced") && gpu->shape.n == 0) {
		t->unknown_shape = 1;
		return 1;
	}
	if (!strcmp(name, "all-balanced"))
		return balanced(&gpu->shape, t);
	if (strncmp(name, "all-", 4) != 0 || kf_profile_name_parse(name + 4, &profile) < 0 ||
	    profile.c > 0)
		return 0;
	return listed(&gpu->shape, &profile, t);
}

/* From NVIDIA's default file.  0 or negative; *t is mentioned if an entry speaks of the GPU. */
static int by_default_file(const struct kf_mig_configs *c, const struct kf_mig_config *config,
			   const struct kf_gpu *gpu, struct kf_gpu_target *t, struct kf_error *err)
{
	unsigned i;

	for (i = 0; config && i < config->n_entries; i++)
		if (kf_mig_entry_matches(&config->entry[i], gpu) &&
		    kf_mig_entry_resolve(c->file, &config->entry[i], gpu, t, err) < 0)
			return -1;
	return 0;
}

/* "all-disabled, all-enabled, all-balanced, all-1g.5gb, ...": what this node understands. */
static void known_names(const struct kf_node *node, struct kf_text *out)
{
	unsigned g, i;

	kf_text_add(out, "all-disabled, all-enabled, all-balanced");
	for (g = 0; g < node->n_gpus; g++) {
		const struct kf_shape *shape = &node->gpu[g].shape;

		for (i = 0; i < shape->n; i++) {
			char name[KF_PROFILE_NAME + 8];
			const char *profile = name + strlen("mig-");

			kf_profile_resource(shape->profile[i].name, name, sizeof(name));
			if (out->failed || !out->s || !strstr(out->s, profile))
				kf_text_addf(out, ", all-%s", profile);
		}
	}
}

static int matches_nothing(const struct kf_mig_config *config, const char *name,
			   const struct kf_node *node, struct kf_error *err)
{
	struct kf_text names = {0};

	known_names(node, &names);
	kf_fail(err, KF_E_INPUT, 0, "built-in configuration '%.80s' %s; there are %s", name,
		config ? "matches no GPU of this node" : "does not exist on this node",
		names.s ? names.s : "others");
	kf_text_done(&names);
	return -1;
}

int kf_mig_builtin_target(const struct kf_mig_configs *c, const char *name,
			  const struct kf_node *node, struct kf_target *t, struct kf_error *err)
{
	const struct kf_mig_config *config = kf_mig_configs_find(c, name);
	unsigned g;

	for (g = 0; g < node->n_gpus; g++) {
		const struct kf_gpu *gpu = &node->gpu[g];
		struct kf_gpu_target *on_it = &t->gpu[g];

		if (!kf_mig_possible(gpu))
			continue;
		if (!generated(name, gpu, on_it)) {
			*on_it = (struct kf_gpu_target){0};
			if (by_default_file(c, config, gpu, on_it, err) < 0)
				return -1;
		}
		if (gpu->state != KF_GPU_OK && on_it->mentioned) {
			on_it->n = 0;
			on_it->unknown_shape = on_it->mig;
		}
	}
	if (strcmp(name, "all-disabled") != 0 && !kf_mig_means_some(node, t))
		return matches_nothing(config, name, node, err);
	return 0;
}
