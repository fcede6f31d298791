/* Is the node as a target wants it?  See mig.h. */
#include <stdio.h>

#include "config/mig-file.h"

static int mode_matches(const struct kf_gpu *gpu, const struct kf_gpu_target *t, char *why,
			unsigned size)
{
	if (gpu->mig_current == t->mig && gpu->mig_pending == t->mig)
		return 1;
	snprintf(why, size, "gpu %u: MIG is %s, wanted %s%s", gpu->index,
		 gpu->mig_current ? "on" : "off", t->mig ? "on" : "off",
		 gpu->mig_current != gpu->mig_pending ? "; a change is pending" : "");
	return 0;
}

static int devices_match(const struct kf_gpu *gpu, const struct kf_gpu_target *t, char *why,
			 unsigned size)
{
	struct kf_mig_devices present, wanted;
	char has[160], wants[160];

	kf_mig_devices_of_gpu(gpu, &present);
	kf_mig_devices_of_target(&gpu->shape, t, &wanted);
	if (!t->unknown_shape && kf_mig_devices_equal(&present, &wanted))
		return 1;
	kf_mig_devices_text(&gpu->shape, &present, has, sizeof(has));
	kf_mig_devices_text(&gpu->shape, &wanted, wants, sizeof(wants));
	snprintf(why, size, "gpu %u: has %s, wants %s", gpu->index, has,
		 t->unknown_shape ? "what only a GPU with MIG on can tell" : wants);
	return 0;
}

static int matches(const struct kf_node *node, const struct kf_target *target, int modes_only,
		   char *why, unsigned size)
{
	unsigned g;

	for (g = 0; g < node->n_gpus && g < target->n_gpus; g++) {
		const struct kf_gpu_target *t = &target->gpu[g];

		if (!t->mentioned)
			continue;
		if (node->gpu[g].state != KF_GPU_OK) {
			snprintf(why, size, "gpu %u does not answer: %s", node->gpu[g].index,
				 node->gpu[g].trouble);
			return 0;
		}
		if (!mode_matches(&node->gpu[g], t, why, size))
			return 0;
		if (!modes_only && t->mig && !devices_match(&node->gpu[g], t, why, size))
			return 0;
	}
	return 1;
}

int kf_target_matches(const struct kf_node *node, const struct kf_target *target, char *why,
		      unsigned size)
{
	return matches(node, target, 0, why, size);
}

int kf_target_modes_match(const struct kf_node *node, const struct kf_target *target, char *why,
			  unsigned size)
{
	return matches(node, target, 1, why, size);
}
