/* A node at one instant; see node.h. */
#include "model/node.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/target.h"

struct kf_node *kf_node_free(struct kf_node *node)
{
	if (node) {
		free(node->gpu);
		free(node);
	}
	return NULL;
}

struct kf_target *kf_target_free(struct kf_target *t)
{
	if (t) {
		free(t->gpu);
		free(t);
	}
	return NULL;
}

int kf_pci_address(const char *bus_id, char out[32])
{
	size_t i, n = strlen(bus_id);

	if (n < 12 || n > 31)
		return -1;
	for (; n > 12 && *bus_id == '0'; n--) /* NVML's domain has eight digits, sysfs's four */
		bus_id++;
	snprintf(out, 32, "%s", bus_id);
	for (i = 0; out[i]; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
	return 0;
}

void kf_gpu_geometry(const struct kf_gpu *gpu, struct kf_geometry *ret)
{
	unsigned i, j;

	ret->n = 0;
	for (i = 0; i < gpu->n_instances; i++) {
		struct kf_placed p;

		if (gpu->instance[i].profile == KF_NONE)
			continue;
		p.profile = (uint8_t)gpu->instance[i].profile;
		p.start = (uint8_t)gpu->instance[i].start;
		for (j = ret->n; j > 0 && ret->at[j - 1].start > p.start; j--)
			ret->at[j] = ret->at[j - 1];
		ret->at[j] = p;
		ret->n++;
	}
}

int kf_node_find_slice(const struct kf_node *node, const char *uuid, struct kf_slice_ref *ret)
{
	unsigned g, i, c;

	for (g = 0; g < node->n_gpus; g++) {
		const struct kf_gpu *gpu = &node->gpu[g];

		for (i = 0; i < gpu->n_instances; i++) {
			const struct kf_instance *instance = &gpu->instance[i];

			for (c = 0; c < instance->n_ci; c++) {
				if (strcmp(instance->ci[c].uuid, uuid) != 0)
					continue;
				ret->gpu = gpu;
				ret->instance = instance;
				ret->ci = &instance->ci[c];
				return 1;
			}
		}
	}
	return 0;
}

const struct kf_gpu *kf_node_find_gpu(const struct kf_node *node, const char *uuid)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (!strcmp(node->gpu[g].uuid, uuid))
			return &node->gpu[g];
	return NULL;
}
