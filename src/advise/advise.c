/* Which smaller slice would have been enough; see advise.h. */
#include "advise/advise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0
#define GIB 1073741824.0

/* Of one GPU, what nobody else can have beside this slice. */
static double part_of(const struct kf_shape *shape, const struct kf_profile *p)
{
	double slices = (double)p->slices / shape->slices, units = (double)p->size / shape->units;

	return fmax(slices, units);
}

static const struct kf_gpu *gpu_of(const struct kf_node *node, const char *uuid)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (!strcmp(node->gpu[g].uuid, uuid))
			return &node->gpu[g];
	return NULL;
}

/* The profile of the GPU instance that it is on; NULL: there is none such any more. */
static const struct kf_profile *profile_of(const struct kf_gpu *gpu, unsigned gi)
{
	unsigned i;

	for (i = 0; i < gpu->n_instances; i++)
		if (gpu->instance[i].id == gi && gpu->instance[i].profile != KF_NONE)
			return &gpu->shape.profile[gpu->instance[i].profile];
	return NULL;
}

/* SMs of the whole GPU: those of the largest slice, the driver tells no other number. */
static unsigned all_sms(const struct kf_shape *shape)
{
	unsigned i, most = 0;

	for (i = 0; i < shape->n; i++)
		if (shape->profile[i].sm > most)
			most = shape->profile[i].sm;
	return most;
}

/* What has to fit, margin included. */
struct need {
	double memory, sms;
	const char *attr; /* engines that it was given, it keeps */
};

static int would_do(const struct kf_profile *p, const struct need *need)
{
	return !strcmp(p->attr, need->attr) && (double)p->memory_mib * MIB >= need->memory &&
	       p->sm >= need->sms;
}

/* Of those that would do, the one that leaves others most; NULL: none. */
static const struct kf_profile *smallest(const struct kf_shape *shape, const struct need *need)
{
	const struct kf_profile *best = NULL, *p;
	unsigned i;

	for (i = 0; i < shape->n; i++) {
		p = &shape->profile[i];
		if (would_do(p, need) && (!best || part_of(shape, p) < part_of(shape, best)))
			best = p;
	}
	return best;
}

static void advise_slice(const struct kf_gpu *gpu, const struct kf_profile *now,
			 const struct kf_usage *u, double margin, struct kf_advice *ret)
{
	unsigned sms = now ? now->sm : all_sms(&gpu->shape);
	double part = now ? part_of(&gpu->shape, now) : 1;
	struct need need = {.memory = u->memory * (1 + margin),
			    .sms = u->sm * sms * (1 + margin),
			    .attr = now ? now->attr : ""};
	const struct kf_profile *to = smallest(&gpu->shape, &need);

	ret->verdict = KF_SIZE_FITS;
	if (!to || part_of(&gpu->shape, to) >= part)
		return;
	ret->verdict = KF_SIZE_SMALLER;
	snprintf(ret->to, sizeof(ret->to), "%s", to->name);
	ret->memory_spare = 1 - u->memory / ((double)to->memory_mib * MIB);
	ret->sm_spare = 1 - u->sm * sms / to->sm;
	ret->frees = part - part_of(&gpu->shape, to);
}

/* Memory and time are shared in the same proportion: of both, the one that more is needed of. */
static void advise_share(const struct kf_gpu *gpu, const struct kf_usage *u, double margin,
			 struct kf_advice *ret)
{
	double has = (double)gpu->memory_mib * MIB;
	double need = fmax(u->memory, u->sm * has) * (1 + margin), share;

	ret->verdict = KF_SIZE_FITS;
	ret->gib = (unsigned)fmax(1, ceil(need / GIB));
	share = ret->gib * GIB;
	if (share > has / 2) /* nobody else of that size fits beside it */
		return;
	ret->verdict = KF_SIZE_SHARE;
	ret->memory_spare = 1 - u->memory / share;
	ret->sm_spare = 1 - u->sm * has / share;
	ret->frees = 1 - share / has;
}

/* 1: there is enough to judge by; else ret says what is missing. */
static int is_enough(const struct kf_usage *u, double covered, struct kf_advice *ret)
{
	if (u->absent[0])
		snprintf(ret->why, sizeof(ret->why), "what it uses cannot be told (%s)", u->absent);
	else if (isnan(u->memory) || isnan(u->sm))
		snprintf(ret->why, sizeof(ret->why), "nothing was measured of it yet");
	else if (isnan(u->covered) || u->covered < covered)
		snprintf(ret->why, sizeof(ret->why), "measured for %.0f %% of the window only",
			 isnan(u->covered) ? 0 : floor(u->covered * 100));
	else
		return 1;
	ret->verdict = KF_SIZE_NOT_ENOUGH;
	return 0;
}

void kf_advise(const struct kf_node *node, const struct kf_usage *u,
	       const struct kf_advise_options *opt, struct kf_advice *ret)
{
	const struct kf_gpu *gpu = gpu_of(node, u->uuid);
	const struct kf_profile *now = gpu && u->gi != KF_NONE ? profile_of(gpu, u->gi) : NULL;

	*ret = (struct kf_advice){.verdict = KF_SIZE_ELSEWHERE};
	if (!gpu || (u->gi != KF_NONE && !now))
		return;
	ret->gpu = gpu->index;
	snprintf(ret->from, sizeof(ret->from), "%s", now ? now->name : "GPU");
	if (!u->alone) {
		ret->verdict = KF_SIZE_SHARED;
		return;
	}
	if (!is_enough(u, opt->covered, ret))
		return;
	if (gpu->shape.n > 0) {
		advise_slice(gpu, now, u, opt->margin, ret);
	} else if (gpu->mig_capable) {
		ret->verdict = KF_SIZE_NOT_ENOUGH;
		snprintf(ret->why, sizeof(ret->why),
			 "the driver lists the GPU's slices with MIG on only");
	} else {
		advise_share(gpu, u, opt->margin, ret);
	}
}
