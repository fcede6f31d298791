/* CUDA's devices; see spot.h. */
#include "cuda/spot.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/caps.h"

static int has_node(const char *dev, const char *format, unsigned number)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/", dev);

	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	snprintf(path + n, sizeof(path) - (size_t)n, format, number);
	return access(path, F_OK) == 0;
}

static int is_there(struct kf_sim_state *s, const char *dev, const struct kf_sim_spot *at)
{
	const struct kf_sim_now *now = kf_sim_now(s, at->gpu);
	unsigned minor = s->machine.gpu[at->gpu].minor;

	if (now->lost || !has_node(dev, "nvidia%u", minor))
		return 0;
	if (at->gi == KF_SIM_NONE)
		return !now->mig_current;
	return now->gi[at->gi].used && now->gi[at->gi].ci[at->ci].used &&
	       has_node(dev, "nvidia-caps/nvidia-cap%u",
			kf_sim_cap_minor(minor, at->gi, KF_SIM_NONE)) &&
	       has_node(dev, "nvidia-caps/nvidia-cap%u", kf_sim_cap_minor(minor, at->gi, at->ci));
}

static void add(struct kf_sim_spots *list, const struct kf_sim_spot *at)
{
	if (list->n < KF_SIM_SPOTS)
		list->at[list->n++] = *at;
}

/* Of one GPU: itself, or its slices. */
static void add_gpu(struct kf_sim_state *s, const char *dev, unsigned gpu, int slices,
		    struct kf_sim_spots *ret)
{
	struct kf_sim_spot at = {gpu, KF_SIM_NONE, KF_SIM_NONE};

	if (!slices) {
		if (is_there(s, dev, &at))
			add(ret, &at);
		return;
	}
	for (at.gi = 0; at.gi < KF_MAX_INSTANCES; at.gi++)
		for (at.ci = 0; at.ci < KF_MAX_CIS; at.ci++)
			if (is_there(s, dev, &at))
				add(ret, &at);
}

/* Slices first: where there is one, it is what CUDA sees. */
static void all(struct kf_sim_state *s, const char *dev, struct kf_sim_spots *ret)
{
	unsigned gpu;

	for (gpu = 0; gpu < s->machine.n_gpus; gpu++)
		add_gpu(s, dev, gpu, 1, ret);
	for (gpu = 0; gpu < s->machine.n_gpus; gpu++)
		add_gpu(s, dev, gpu, 0, ret);
}

/* The one that a name means, or NULL. */
static const struct kf_sim_spot *find(struct kf_sim_state *s, const char *name,
				      const struct kf_sim_spots *among)
{
	unsigned i;
	char *end;
	long v;

	if (!strncmp(name, "GPU-", 4) || !strncmp(name, "MIG-", 4)) {
		for (i = 0; i < among->n; i++)
			if (kf_sim_spot_is(s, &among->at[i], name))
				return &among->at[i];
		return NULL;
	}
	v = strtol(name, &end, 10);
	return end != name && !*end && v >= 0 && v < (long)among->n ? &among->at[v] : NULL;
}

static int is_in(const struct kf_sim_spots *list, const struct kf_sim_spot *at)
{
	unsigned i;

	for (i = 0; i < list->n; i++)
		if (!memcmp(&list->at[i], at, sizeof(*at)))
			return 1;
	return 0;
}

static int pick(struct kf_sim_state *s, const char *names, const struct kf_sim_spots *among,
		struct kf_sim_spots *ret)
{
	char copy[2048], *rest = NULL, *one;

	snprintf(copy, sizeof(copy), "%s", names);
	for (one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		const struct kf_sim_spot *at;

		one += strspn(one, " ");
		one[strcspn(one, " ")] = '\0';
		at = find(s, one, among);
		if (!at)
			break;
		if (is_in(ret, at))
			return -1;
		add(ret, at);
	}
	return 0;
}

int kf_sim_spots_see(struct kf_sim_state *s, const char *dev, const char *names,
		     const struct kf_sim_spots *base, struct kf_sim_spots *ret)
{
	struct kf_sim_spots among = {0};
	unsigned i;

	for (i = 0; base && i < base->n; i++)
		if (is_there(s, dev, &base->at[i]))
			add(&among, &base->at[i]);
	if (!base)
		all(s, dev, &among);
	ret->n = 0;
	if (names && pick(s, names, &among, ret) < 0)
		return -1;
	if (!names)
		*ret = among;
	for (i = 0; i < ret->n; i++)
		if (ret->at[i].gi != KF_SIM_NONE) {
			ret->at[0] = ret->at[i];
			ret->n = 1;
		}
	return 0;
}

const char *kf_sim_spot_uuid(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	if (at->gi == KF_SIM_NONE)
		return s->machine.gpu[at->gpu].uuid;
	return kf_sim_now(s, at->gpu)->gi[at->gi].ci[at->ci].uuid;
}

int kf_sim_spot_is(struct kf_sim_state *s, const struct kf_sim_spot *at, const char *uuid)
{
	return strlen(uuid) > 4 && !strncasecmp(kf_sim_spot_uuid(s, at), uuid, strlen(uuid));
}

const struct kf_sim_product *kf_sim_spot_product(struct kf_sim_state *s,
						 const struct kf_sim_spot *at)
{
	return &s->machine.product[s->machine.gpu[at->gpu].product];
}

static const struct kf_profile *profile(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	const struct kf_sim_gi *gi = &kf_sim_now(s, at->gpu)->gi[at->gi];

	return &kf_sim_spot_product(s, at)->shape.profile[gi->profile];
}

void kf_sim_spot_name(struct kf_sim_state *s, const struct kf_sim_spot *at, char *out, size_t size)
{
	const struct kf_sim_product *product = kf_sim_spot_product(s, at);

	if (at->gi == KF_SIM_NONE)
		snprintf(out, size, "%s", product->name);
	else
		snprintf(out, size, "%s MIG %s", product->name, profile(s, at)->name);
}

/* Volta, Turing and the A100's Ampere have 64 cores in each, the others 128. */
static unsigned whole_sm(const struct kf_sim_product *product)
{
	int few = product->cc_major == 7 || (product->cc_major == 8 && product->cc_minor == 0);

	return product->cores / (few ? 64 : 128);
}

unsigned kf_sim_spot_slices(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	return kf_sim_now(s, at->gpu)->gi[at->gi].ci[at->ci].size;
}

unsigned kf_sim_spot_sm(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	const struct kf_profile *p;
	unsigned i;

	if (at->gi == KF_SIM_NONE)
		return whole_sm(kf_sim_spot_product(s, at));
	p = profile(s, at);
	for (i = 0; i < p->n_ci; i++)
		if (p->ci[i].id == kf_sim_now(s, at->gpu)->gi[at->gi].ci[at->ci].profile)
			return p->ci[i].sm;
	return p->sm;
}

uint64_t kf_sim_spot_mib(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	const struct kf_sim_product *product = kf_sim_spot_product(s, at);

	if (at->gi != KF_SIM_NONE)
		return profile(s, at)->memory_mib;
	return product->memory_mib - product->reserved_kib / 1024;
}

uint64_t kf_sim_spot_free_mib(struct kf_sim *sim, const struct kf_sim_spot *at)
{
	uint64_t all_mib = kf_sim_spot_mib(sim->state, at), used = 0;
	unsigned i;

	for (i = 0; i < sim->state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, i);

		if (p && p->gpu == at->gpu && (at->gi == KF_SIM_NONE || p->gi == at->gi))
			used += p->memory_mib;
	}
	return used < all_mib ? all_mib - used : 0;
}
