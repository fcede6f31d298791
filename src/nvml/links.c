/* How well GPUs are connected; see links.h. */
#include "nvml/links.h"

#include <string.h>
#include <strings.h>

#include "nvml/nvml.h"

#define MAX_LINKS 18 /* NVML_NVLINK_MAX_LINKS */

/* NVML's levels of nvmlGpuTopologyLevel_t. */
enum { INTERNAL = 0, SINGLE = 10, MULTIPLE = 20, HOST_BRIDGE = 30, NODE = 40, SYSTEM = 50 };

struct surveying {
	const struct kf_nvml *nv;
	struct kf_node *node;
	nvmlDevice_t device[KF_MAX_GPUS];
	int answers[KF_MAX_GPUS];
};

static unsigned pcie_score(const struct surveying *s, unsigned a, unsigned b)
{
	unsigned level;

	if (!s->nv->nvmlDeviceGetTopologyCommonAncestor ||
	    s->nv->nvmlDeviceGetTopologyCommonAncestor(s->device[a], s->device[b], &level) !=
		    NVML_SUCCESS)
		return KF_LINK_UNKNOWN;
	switch (level) {
	case INTERNAL:
		return KF_LINK_BOARD;
	case SINGLE:
		return KF_LINK_SWITCH;
	case MULTIPLE:
		return KF_LINK_SWITCHES;
	case HOST_BRIDGE:
		return KF_LINK_HOST_BRIDGE;
	case NODE:
		return KF_LINK_NODE;
	case SYSTEM:
		return KF_LINK_SYSTEM;
	default:
		return KF_LINK_UNKNOWN;
	}
}

/* Add the NVLinks of GPU a that end at another GPU. */
static void add_nvlinks(struct surveying *s, unsigned a)
{
	const struct kf_nvml *nv = s->nv;
	nvmlPciInfo_t far;
	unsigned link, on, b;

	if (!nv->nvmlDeviceGetNvLinkState || !nv->nvmlDeviceGetNvLinkRemotePciInfo_v2)
		return;
	for (link = 0; link < MAX_LINKS; link++) {
		if (nv->nvmlDeviceGetNvLinkState(s->device[a], link, &on) != NVML_SUCCESS)
			return; /* it has no more, or none at all */
		if (!on || nv->nvmlDeviceGetNvLinkRemotePciInfo_v2(s->device[a], link, &far) !=
				   NVML_SUCCESS)
			continue;
		for (b = 0; b < s->node->n_gpus; b++)
			if (b != a && !strcasecmp(s->node->gpu[b].bus_id, far.busId))
				s->node->gpu[a].link[b] += KF_LINK_NVLINK;
	}
}

static int is_same(const struct kf_node *before, const struct kf_node *node, unsigned g)
{
	return before && g < before->n_gpus && node->gpu[g].uuid[0] &&
	       !strcmp(before->gpu[g].uuid, node->gpu[g].uuid);
}

/* 1 if all that can be known of this GPU's links stands in `before`. */
static int take_over(const struct kf_node *before, struct kf_node *node, unsigned g)
{
	unsigned b;
	int whole = is_same(before, node, g);

	for (b = 0; whole && b < node->n_gpus; b++) {
		if (b == g)
			continue;
		whole = is_same(before, node, b) &&
			(before->gpu[g].link[b] || node->gpu[b].state != KF_GPU_OK);
	}
	if (whole)
		memcpy(node->gpu[g].link, before->gpu[g].link, sizeof(node->gpu[g].link));
	return whole;
}

static void survey(struct surveying *s, unsigned g)
{
	unsigned b;

	for (b = 0; b < s->node->n_gpus; b++)
		if (b != g && s->answers[b])
			s->node->gpu[g].link[b] = (uint16_t)pcie_score(s, g, b);
	add_nvlinks(s, g);
}

void kf_nvml_links(const struct kf_nvml *nv, const struct kf_node *before, struct kf_node *node)
{
	struct surveying s = {.nv = nv, .node = node};
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		s.answers[g] = node->gpu[g].state == KF_GPU_OK &&
			       nv->nvmlDeviceGetHandleByIndex_v2(node->gpu[g].index,
								 &s.device[g]) == NVML_SUCCESS;
	for (g = 0; g < node->n_gpus; g++)
		if (!take_over(before, node, g) && s.answers[g])
			survey(&s, g);
}
