/* Nodes for the tests of configurations; see nodes.h. */
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

static const struct {
	const char *product;
	uint32_t pci;
} ids[] = {
	{"a100-40", 0x20B010DE}, {"a100-80", 0x20B210DE}, {"a30", 0x20B710DE},
	{"h100-80", 0x233010DE}, {"h100-94", 0x232110DE}, {"h200", 0x233510DE},
	{"b200", 0x290110DE},	 {"rtx6000", 0x2BB510DE}, {"t4", 0x1EB810DE},
};

static void make_gpu(struct kf_gpu *gpu, unsigned index, const char *product)
{
	int silent = *product == '?';
	size_t i;

	product += silent;
	gpu->index = index;
	snprintf(gpu->name, sizeof(gpu->name), "%s", product);
	snprintf(gpu->uuid, sizeof(gpu->uuid), "GPU-%u", index);
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (!strcmp(ids[i].product, product))
			gpu->pci_device = ids[i].pci;
	gpu->mig_capable = strcmp(product, "t4") != 0;
	if (gpu->mig_capable && !silent)
		gpu->shape = shape_of(product)->shape;
}

struct kf_node *node_of(const char *gpus)
{
	struct kf_node *node = calloc(1, sizeof(*node));
	char product[32];
	int n;

	node->gpu = calloc(KF_MAX_GPUS, sizeof(*node->gpu));
	while (sscanf(gpus, " %31s%n", product, &n) == 1) {
		make_gpu(&node->gpu[node->n_gpus], node->n_gpus, product);
		node->n_gpus++;
		gpus += n;
	}
	return node;
}

void node_add(struct kf_gpu *gpu, const char *profile, const char *cis)
{
	struct kf_instance *gi = &gpu->instance[gpu->n_instances];
	unsigned slices, i;
	int n;

	gpu->mig_current = gpu->mig_pending = 1;
	gi->id = gpu->n_instances++;
	gi->profile = shape_profile(&gpu->shape, profile);
	while (sscanf(cis, " %u%n", &slices, &n) == 1) {
		const struct kf_profile *p = &gpu->shape.profile[gi->profile];
		struct kf_ci *ci = &gi->ci[gi->n_ci];

		ci->id = gi->n_ci++;
		ci->slices = slices;
		for (i = 0; i < p->n_ci; i++)
			if (p->ci[i].slices == slices)
				ci->profile = i;
		cis += n;
	}
}
