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

/* Offers in the making. */
struct making {
	const struct kf_node *node;
	const struct kf_offer_rules *rules;
	struct kf_offers *offers;
	int some_mig;		    /* a GPU is in MIG mode */
	char only[KF_PROFILE_NAME]; /* single: the one profile; empty: there is none */
	int failed;
};

static void add(struct making *m, const char *resource, const char *id, int numa, unsigned unwell)
{
	struct kf_offer *offer = kf_offers_need(m->offers, resource);

	if (!offer || kf_offer_add(offer, id, unwell == 0, numa) < 0)
		m->failed = 1;
}

static unsigned unwell(const struct making *m, const struct kf_gpu *gpu, const char *id)
{
	unsigned bits = gpu->state == KF_GPU_OK ? 0 : KF_UNWELL_LOST;

	if (m->rules->withdrawn && m->rules->withdrawn(m->rules->userdata, id))
		bits |= KF_UNWELL_WITHDRAWN;
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
	unsigned bits = unwell(m, gpu, ci->uuid);
	char own[64];

	if (!ci->uuid[0]) /* the driver has not made it a MIG device yet */
		return;
	kf_slice_resource(ci->name, own, sizeof(own));
	if (m->rules->strategy == KF_MIG_MIXED) {
		add(m, own, ci->uuid, gpu->numa, bits);
		return;
	}
	if (strcmp(ci->name, m->only) != 0)
		bits |= KF_UNWELL_MIXED_UP;
	if (!m->rules->single_alias) {
		add(m, PLAIN, ci->uuid, gpu->numa, bits);
		return;
	}
	add(m, PLAIN, ci->uuid, gpu->numa, bits | taken(m, ci->uuid, PLAIN));
	add(m, own, ci->uuid, gpu->numa, bits | taken(m, ci->uuid, own));
}

static void add_gpu(struct making *m, const struct kf_gpu *gpu)
{
	int as_slices = m->rules->strategy != KF_MIG_NONE && gpu->mig_current;
	unsigned i, c;

	if (!gpu->uuid[0])
		return;
	if (!as_slices) {
		unsigned bits = unwell(m, gpu, gpu->uuid);

		if (m->rules->strategy == KF_MIG_SINGLE && m->some_mig)
			bits |= KF_UNWELL_MIXED_UP;
		add(m, PLAIN, gpu->uuid, gpu->numa, bits);
		return;
	}
	for (i = 0; i < gpu->n_instances; i++)
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
