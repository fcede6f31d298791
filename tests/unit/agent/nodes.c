/* Nodes for tests; see nodes.h. */
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

struct kf_node *node_of_a100s(unsigned n)
{
	const struct shape_entry *a100 = shape_of("a100-40");
	struct kf_node *node = calloc(1, sizeof(*node));
	unsigned g;

	node->gpu = calloc(n, sizeof(*node->gpu));
	node->n_gpus = n;
	for (g = 0; g < n; g++) {
		struct kf_gpu *gpu = &node->gpu[g];

		gpu->index = g;
		gpu->minor = g;
		gpu->numa = (int)(g / 4);
		snprintf(gpu->uuid, sizeof(gpu->uuid), "GPU-%u", g);
		snprintf(gpu->name, sizeof(gpu->name), "NVIDIA A100-SXM4-40GB");
		gpu->memory_mib = a100->total_mib;
		gpu->mig_capable = gpu->mig_current = gpu->mig_pending = 1;
		gpu->shape = a100->shape;
	}
	return node;
}

struct kf_instance *node_add(struct kf_node *node, unsigned gpu, const char *profile,
			     unsigned start)
{
	struct kf_gpu *g = &node->gpu[gpu];
	struct kf_instance *in = &g->instance[g->n_instances++];
	unsigned index = shape_profile(&g->shape, profile), c;
	const struct kf_profile *p = &g->shape.profile[index];

	in->id = p->size == 8	? 0
		 : p->size == 4 ? 1 + start / 4
		 : p->size == 2 ? 3 + start / 2
				: 7 + start;
	in->profile = index;
	in->start = start;
	in->n_ci = 1;
	for (c = 0; c < p->n_ci; c++)
		if (p->ci[c].slices == p->slices)
			in->ci[0].profile = c;
	in->ci[0].slices = p->slices;
	in->ci[0].size = p->slices;
	snprintf(in->ci[0].uuid, sizeof(in->ci[0].uuid), "MIG-%u-%u", gpu, start);
	memcpy(in->ci[0].name, p->name, sizeof(in->ci[0].name));
	return in;
}

void node_add_seven(struct kf_node *node, unsigned gpu)
{
	unsigned i;

	for (i = 0; i < 7; i++)
		node_add(node, gpu, "1g.5gb", i);
}
