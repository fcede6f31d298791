/* The labels of GPUs and of slices; see make.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "labels/make.h"
#include "labels/value.h"

/* A MIG device in the order of the driver: by GPU, then by its index there. */
struct mig {
	const struct kf_gpu *gpu;
	const struct kf_ci *ci;
};

struct migs {
	unsigned n;
	struct mig *at;
	size_t capacity;
};

static const struct kf_share_rule *share_of(const struct make *m, const char *resource)
{
	const struct kf_sharing *rules = m->choices->rules;
	unsigned i;

	if (!rules || m->choices->sharing == KF_SHARING_NONE)
		return NULL;
	for (i = 0; i < rules->n; i++)
		if (!strcmp(rules->rule[i].resource, resource))
			return rules->rule[i].replicas > 1 ? &rules->rule[i] : NULL;
	return NULL;
}

/* Offered under another name, so that the product need not say it. */
static int renamed(const struct kf_share_rule *share)
{
	return share->name[0] && strcmp(share->name, share->resource) != 0;
}

static void put_product(struct make *m, const char *resource, const char *model,
			const char *profile, int shared)
{
	char product[64], tail[64] = "";

	if (profile || shared)
		snprintf(tail, sizeof(tail), "%s%.40s%s", profile ? "-MIG-" : "",
			 profile ? profile : "", shared ? "-SHARED" : "");
	kf_label_clean(model, 63 - strlen(tail), product);
	kf_make_put(m, resource, ".product", "%s%s", product, tail);
}

/* What a GPU and a MIG device have in common; `share` is NULL where it is not shared. */
static void put_base(struct make *m, const char *resource, const struct kf_share_rule *share,
		     unsigned count, const char *model, const char *profile)
{
	static const char *const sharing[] = {"none", "time-slicing", "mps"};

	put_product(m, resource, model, profile, share && !renamed(share));
	kf_make_put(m, resource, ".count", "%u", count);
	kf_make_put(m, resource, ".replicas", "%u", share ? share->replicas : 1);
	kf_make_put(m, resource, ".sharing-strategy", "%s",
		    sharing[share ? m->choices->sharing : 0]);
}

static const char *family(int major, int minor)
{
	switch (major) {
	case 1:
		return "tesla";
	case 2:
		return "fermi";
	case 3:
		return "kepler";
	case 5:
		return "maxwell";
	case 6:
		return "pascal";
	case 7:
		return minor < 5 ? "volta" : "turing";
	case 8:
		return minor < 9 ? "ampere" : "ada-lovelace";
	case 9:
		return "hopper";
	case 10:
	case 12:
		return "blackwell";
	case 13:
		return "rubin";
	default:
		return "undefined";
	}
}

/* One with MIG on is not for sale whole, so it has no replicas. */
void kf_make_gpu(struct make *m, const struct kf_gpu *gpu)
{
	unsigned g, count = 0;

	if (!gpu)
		return;
	for (g = 0; g < m->node->n_gpus; g++)
		count += kf_make_counts(&m->node->gpu[g]) &&
			 !strcmp(m->node->gpu[g].name, gpu->name);
	put_base(m, FULL_GPU, gpu->mig_current ? NULL : share_of(m, FULL_GPU), count, gpu->name,
		 NULL);
	if (gpu->mig_current)
		kf_make_put(m, FULL_GPU, ".replicas", "0");
	if (gpu->memory_mib)
		kf_make_put(m, FULL_GPU, ".memory", "%llu", (unsigned long long)gpu->memory_mib);
	if (gpu->cc_major) {
		kf_make_put(m, FULL_GPU, ".family", "%s", family(gpu->cc_major, gpu->cc_minor));
		kf_make_put(m, FULL_GPU, ".compute.major", "%d", gpu->cc_major);
		kf_make_put(m, FULL_GPU, ".compute.minor", "%d", gpu->cc_minor);
	}
}

static void put_mig(struct make *m, const char *resource, unsigned count, const struct mig *mig)
{
	const struct kf_ci *ci = mig->ci;
	char profile[KF_PROFILE_NAME + 8];

	kf_profile_resource(ci->name, profile, sizeof(profile));
	put_base(m, resource, share_of(m, resource), count, mig->gpu->name,
		 profile + strlen("mig-"));
	if (!ci->sm) /* the driver told no attributes */
		return;
	kf_make_put(m, resource, ".memory", "%llu", (unsigned long long)ci->memory_mib);
	kf_make_put(m, resource, ".multiprocessors", "%u", ci->sm);
	kf_make_put(m, resource, ".slices.gi", "%u", ci->gi_slices);
	kf_make_put(m, resource, ".slices.ci", "%u", ci->ci_slices);
	kf_make_put(m, resource, ".engines.copy", "%u", ci->copy);
	kf_make_put(m, resource, ".engines.decoder", "%u", ci->engine[KF_ENGINE_DEC]);
	kf_make_put(m, resource, ".engines.encoder", "%u", ci->engine[KF_ENGINE_ENC]);
	kf_make_put(m, resource, ".engines.jpeg", "%u", ci->engine[KF_ENGINE_JPG]);
	kf_make_put(m, resource, ".engines.ofa", "%u", ci->engine[KF_ENGINE_OFA]);
}

/* --- strategies ------------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	const struct mig *x = a, *y = b;

	if (x->gpu != y->gpu)
		return x->gpu < y->gpu ? -1 : 1;
	return (x->ci->mig_index > y->ci->mig_index) - (x->ci->mig_index < y->ci->mig_index);
}

static int add_migs_of(const struct kf_gpu *gpu, struct migs *ret)
{
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++) {
			const struct kf_ci *ci = &gpu->instance[i].ci[c];

			if (ci->mig_index == KF_NONE)
				continue;
			if (kf_grow(&ret->at, &ret->capacity, ret->n + 1, sizeof(*ret->at)) < 0)
				return -1;
			ret->at[ret->n++] = (struct mig){gpu, ci};
		}
	return 0;
}

static int find_migs(const struct kf_node *node, struct migs *ret)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (kf_make_counts(&node->gpu[g]) && node->gpu[g].mig_current &&
		    add_migs_of(&node->gpu[g], ret) < 0)
			return -1;
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), by_index);
	return 0;
}

/* Is some GPU with MIG on empty? */
static int any_empty(const struct kf_node *node, const struct migs *migs)
{
	unsigned g, i;

	for (g = 0; g < node->n_gpus; g++) {
		if (!kf_make_counts(&node->gpu[g]) || !node->gpu[g].mig_current)
			continue;
		for (i = 0; i < migs->n && migs->at[i].gpu != &node->gpu[g]; i++)
			;
		if (i == migs->n)
			return 1;
	}
	return 0;
}

/* How many have the profile of migs->at[i]; 0 if an earlier one has it. */
static unsigned count_profile(const struct migs *migs, unsigned i)
{
	unsigned j, count = 0;

	for (j = 0; j < migs->n; j++) {
		if (strcmp(migs->at[j].ci->name, migs->at[i].ci->name) != 0)
			continue;
		if (j < i)
			return 0;
		count++;
	}
	return count;
}

/* Some GPU has MIG on: all must, none empty, with slices of one kind, which then are the GPUs. */
static void put_single(struct make *m, const struct migs *migs)
{
	const struct kf_gpu *gpu = kf_make_first(m->node, 1);

	if (!gpu)
		return;
	if (migs->n && !any_empty(m->node, migs) && !kf_make_first(m->node, 0) &&
	    count_profile(migs, 0) == migs->n) {
		put_mig(m, FULL_GPU, migs->n, &migs->at[0]);
		return;
	}
	put_product(m, FULL_GPU, gpu->name, "INVALID", 0);
	kf_make_put(m, FULL_GPU, ".count", "0");
	kf_make_put(m, FULL_GPU, ".replicas", "0");
	kf_make_put(m, FULL_GPU, ".sharing-strategy", "%s", "");
	kf_make_put(m, FULL_GPU, ".memory", "0");
}

static void put_mixed(struct make *m, const struct migs *migs)
{
	unsigned i, count;

	for (i = 0; i < migs->n; i++) {
		char name[KF_PROFILE_NAME + 8], resource[64];

		count = count_profile(migs, i);
		kf_profile_resource(migs->at[i].ci->name, name, sizeof(name));
		snprintf(resource, sizeof(resource), DOMAIN "%s", name);
		if (count)
			put_mig(m, resource, count, &migs->at[i]);
	}
}

void kf_make_slices(struct make *m)
{
	struct migs migs = {0};

	if (m->choices->strategy == KF_MIG_NONE)
		return;
	kf_make_put(m, DOMAIN, "mig.strategy", "%s",
		    m->choices->strategy == KF_MIG_SINGLE ? "single" : "mixed");
	if (find_migs(m->node, &migs) < 0)
		m->ret->failed = 1;
	else if (m->choices->strategy == KF_MIG_SINGLE)
		put_single(m, &migs);
	else
		put_mixed(m, &migs);
	free(migs.at);
}
