/* From a node to what the kubelet is offered; see offers.h. */
#include "agent/offers.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define PLAIN "nvidia.com/gpu"

void kf_slice_resource(const char *name, char *out, unsigned size)
{
	char tail[48];

	kf_profile_resource(name, tail, sizeof(tail));
	snprintf(out, size, "nvidia.com/%s", tail);
}

#define MAX_NAMES 64 /* products and profiles of one node */

/* Offers in the making. */
struct making {
	const struct kf_node *node;
	const struct kf_offer_rules *rules;
	struct kf_offers *offers;
	int some_mig;		    /* a GPU is in MIG mode */
	char only[KF_PROFILE_NAME]; /* single: the one profile; empty: there is none */
	int failed;
	/* devices so far of each resource, as they are called when not shared */
	unsigned n_names;
	struct {
		char resource[64];
		unsigned n;
	} name[MAX_NAMES];
};

/* The so-manieth device of this resource that is. */
static unsigned place_of(struct making *m, const char *resource)
{
	unsigned i;

	for (i = 0; i < m->n_names; i++)
		if (!strcmp(m->name[i].resource, resource))
			return m->name[i].n++;
	if (i < MAX_NAMES) {
		snprintf(m->name[i].resource, sizeof(m->name[i].resource), "%s", resource);
		m->name[i].n = 1;
		m->n_names++;
	}
	return 0;
}

static unsigned unwell(const struct making *m, const struct kf_gpu *gpu, const char *id)
{
	unsigned bits = gpu->state == KF_GPU_OK ? 0 : KF_UNWELL_LOST;

	if (m->rules->withdrawn && m->rules->withdrawn(m->rules->userdata, id))
		bits |= KF_UNWELL_WITHDRAWN;
	if (m->rules->ill && m->rules->ill(m->rules->userdata, id))
		bits |= KF_UNWELL_ILL;
	return bits;
}

/* Held, but not as this resource: then it is not to be had as this resource. */
static unsigned taken(const struct making *m, const char *id, const char *resource)
{
	unsigned i;

	for (i = 0; m->rules->holds && i < m->rules->holds->n; i++) {
		const struct kf_hold *h = &m->rules->holds->hold[i];

		if (h->by == KF_HOLD_POD && !strcmp(h->id, id) && strcmp(h->resource, resource))
			return KF_UNWELL_TAKEN;
	}
	return 0;
}

static void add_one(struct making *m, const char *resource, const char *id, int numa, int healthy)
{
	struct kf_offer *offer = kf_offers_need(m->offers, resource);

	if (!offer || kf_offer_add(offer, id, healthy, numa) < 0)
		m->failed = 1;
}

/*
 * Offer a device, whole or as its replicas or, by its memory, as units; `aliased`: under another
 * name as well.
 */
static void add(struct making *m, struct kf_share_device *device, int numa, unsigned bits,
		int aliased, uint64_t memory_mib)
{
	const struct kf_share_rule *rule;
	const char *name = device->resource;
	char id[KF_SHARE_ID];
	unsigned k;

	device->place = place_of(m, device->resource);
	rule = kf_share_of(m->rules->sharing, device);
	if (rule)
		name = rule->name;
	if (rule && rule->mps && m->rules->mps_ready &&
	    !m->rules->mps_ready(m->rules->userdata, device->id))
		bits |= KF_UNWELL_NO_MPS;
	if (aliased)
		bits |= taken(m, device->id, name);
	if (!rule)
		add_one(m, name, device->id, numa, bits == 0);
	for (k = 0; rule && k < kf_share_count(rule, memory_mib); k++) {
		snprintf(id, sizeof(id), "%s::%u", device->id, k);
		add_one(m, name, id, numa, bits == 0);
	}
}

/* The profile that all slices of the target have, or "". */
static void target_profile(const struct kf_node *node, const struct kf_target *target,
			   char out[KF_PROFILE_NAME])
{
	unsigned g, w;

	out[0] = '\0';
	for (g = 0; target && g < target->n_gpus && g < node->n_gpus; g++) {
		const struct kf_gpu_target *t = &target->gpu[g];

		for (w = 0; t->mentioned && w < t->n; w++) {
			const struct kf_want *want = &t->want[w];
			const char *name = node->gpu[g].shape.profile[want->profile].name;

			if (want->count == 0)
				continue;
			if (want->n_ci > 1 || (out[0] && strcmp(out, name))) {
				out[0] = '\0';
				return;
			}
			snprintf(out, KF_PROFILE_NAME, "%s", name);
		}
	}
}

/* The profile that all slices of the node have, or "". */
static void present_profile(const struct kf_node *node, char out[KF_PROFILE_NAME])
{
	unsigned g, i, c;

	out[0] = '\0';
	for (g = 0; g < node->n_gpus; g++)
		for (i = 0; i < node->gpu[g].n_instances; i++)
			for (c = 0; c < node->gpu[g].instance[i].n_ci; c++) {
				const char *name = node->gpu[g].instance[i].ci[c].name;

				if (out[0] && strcmp(out, name)) {
					out[0] = '\0';
					return;
				}
				snprintf(out, KF_PROFILE_NAME, "%s", name);
			}
}

static void add_slice(struct making *m, const struct kf_gpu *gpu, const struct kf_ci *ci)
{
	const char *named = kf_share_naming(m->rules->sharing, 1, ci->name);
	int aliased = m->rules->strategy == KF_MIG_SINGLE && m->rules->single_alias;
	unsigned bits = unwell(m, gpu, ci->uuid);
	struct kf_share_device device = {
		.id = ci->uuid,
		.gpu = gpu->index,
		/* a slice that has no index yet is none of those that a file can name */
		.slice = ci->mig_index == KF_NONE ? KF_NONE - 1 : ci->mig_index};
	char own[64];

	if (!ci->uuid[0]) /* the driver has not made it a MIG device yet */
		return;
	kf_slice_resource(ci->name, own, sizeof(own));
	if (m->rules->strategy == KF_MIG_SINGLE && strcmp(ci->name, m->only) != 0)
		bits |= KF_UNWELL_MIXED_UP;
	if (m->rules->strategy == KF_MIG_SINGLE) {
		device.resource = named ? named : PLAIN;
		add(m, &device, gpu->numa, bits, aliased, ci->memory_mib);
	}
	if (m->rules->strategy == KF_MIG_MIXED || aliased) {
		device.resource = named && !aliased ? named : own;
		add(m, &device, gpu->numa, bits, aliased, ci->memory_mib);
	}
}

static void add_whole(struct making *m, const struct kf_gpu *gpu)
{
	const char *named = kf_share_naming(m->rules->sharing, 0, gpu->name);
	unsigned bits = unwell(m, gpu, gpu->uuid);
	struct kf_share_device device = {.resource = named ? named : PLAIN,
					 .id = gpu->uuid,
					 .gpu = gpu->index,
					 .slice = KF_NONE};

	if (m->rules->strategy == KF_MIG_SINGLE && m->some_mig)
		bits |= KF_UNWELL_MIXED_UP;
	add(m, &device, gpu->numa, bits, 0, gpu->memory_mib - gpu->reserved_mib);
}

static void add_gpu(struct making *m, const struct kf_gpu *gpu)
{
	int as_slices = m->rules->strategy != KF_MIG_NONE && gpu->mig_current;
	unsigned i, c;

	if (!gpu->uuid[0])
		return;
	if (!as_slices)
		add_whole(m, gpu);
	for (i = 0; as_slices && i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++)
			add_slice(m, gpu, &gpu->instance[i].ci[c]);
}

static void survey(struct making *m)
{
	unsigned g;

	for (g = 0; g < m->node->n_gpus; g++)
		m->some_mig |= m->node->gpu[g].mig_current;
	target_profile(m->node, m->rules->target, m->only);
	if (!m->only[0])
		present_profile(m->node, m->only);
}

int kf_offers_make(const struct kf_node *node, const struct kf_offer_rules *rules,
		   struct kf_offers *ret, struct kf_error *err)
{
	struct kf_offers offers = {0};
	struct making m = {.node = node, .rules = rules, .offers = &offers};
	unsigned g;

	survey(&m);
	for (g = 0; g < node->n_gpus; g++)
		add_gpu(&m, &node->gpu[g]);
	if (m.failed) {
		kf_offers_done(&offers);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of devices");
	}
	*ret = offers;
	return 0;
}

void kf_offers_trouble(const struct kf_node *node, const struct kf_offer_rules *rules, char *out,
		       unsigned size)
{
	struct making m = {.node = node, .rules = rules};
	unsigned g, whole = 0;

	out[0] = '\0';
	survey(&m);
	if (rules->strategy != KF_MIG_SINGLE || !m.some_mig)
		return;
	for (g = 0; g < node->n_gpus; g++)
		whole += !node->gpu[g].mig_current;
	if (!m.only[0])
		snprintf(out, size,
			 "migStrategy single needs slices of one profile on the node and this one "
			 "has several: all of them are held back");
	else if (whole)
		snprintf(out, size,
			 "migStrategy single needs every GPU cut or none: %u without MIG are held "
			 "back, slices of %s are offered",
			 whole, m.only);
}
