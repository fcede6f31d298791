/* Why a target cannot be had; see diagnose.h.  err->detail is the line of the configuration. */
#include "plan/diagnose.h"

#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

static const char *const engine_name[KF_N_ENGINES] = {
	[KF_ENGINE_DEC] = "video decoders",
	[KF_ENGINE_ENC] = "video encoders",
	[KF_ENGINE_JPG] = "JPEG engines",
	[KF_ENGINE_OFA] = "optical flow engines",
};

/* "2 x 3g.20gb + 1 x 1g.5gb", the caller's to free; NULL without memory. */
static char *list(const struct kf_gpu *gpu, const struct kf_gpu_target *target)
{
	struct kf_text t = {0};
	unsigned w;

	for (w = 0; w < target->n; w++)
		if (target->want[w].count)
			kf_text_addf(&t, "%s%u x %s", t.n ? " + " : "", target->want[w].count,
				     gpu->shape.profile[target->want[w].profile].name);
	return kf_text_take(&t);
}

static int no_fit(const struct kf_gpu *gpu, const struct kf_gpu_target *target,
		  struct kf_error *err, const char *of_what, unsigned need, unsigned have)
{
	kf_auto_mem char *what = list(gpu, target);

	return kf_fail(err, KF_E_INPUT, target->line,
		       "gpu %u (%s): %s do not fit: they need %u %s of %u", gpu->index, gpu->name,
		       what ? what : "these instances", need, of_what, have);
}

static int check_profiles(const struct kf_gpu *gpu, const struct kf_gpu_target *target,
			  unsigned count[KF_MAX_PROFILES], struct kf_error *err)
{
	unsigned w;

	memset(count, 0, KF_MAX_PROFILES * sizeof(*count));
	for (w = 0; w < target->n; w++) {
		const struct kf_want *want = &target->want[w];
		const struct kf_profile *p;
		unsigned max;

		if (want->profile >= gpu->shape.n)
			return kf_fail(err, KF_E_INPUT, target->line,
				       "gpu %u (%s): wants profile %u of the %u that it has",
				       gpu->index, gpu->name, want->profile, gpu->shape.n);
		p = &gpu->shape.profile[want->profile];
		max = p->max < KF_MAX_INSTANCES ? p->max : KF_MAX_INSTANCES;
		/* Each by itself too, so that no sum of them can wrap. */
		if (want->count <= max)
			count[want->profile] += want->count;
		if (want->count > max || count[want->profile] > max)
			return kf_fail(
				err, KF_E_INPUT, target->line,
				"gpu %u (%s): %u x %s do not fit: at most %u of this profile",
				gpu->index, gpu->name,
				want->count > p->max ? want->count : count[want->profile], p->name,
				p->max);
	}
	return 0;
}

static int check_cuts(const struct kf_gpu *gpu, const struct kf_gpu_target *target,
		      struct kf_error *err)
{
	unsigned w, i;

	for (w = 0; w < target->n; w++) {
		const struct kf_want *want = &target->want[w];
		const struct kf_profile *p = &gpu->shape.profile[want->profile];
		unsigned slices = 0;

		for (i = 0; i < want->n_ci && i < KF_MAX_CIS; i++) {
			if (want->ci[i] >= p->n_ci)
				return kf_fail(err, KF_E_INPUT, target->line,
					       "gpu %u (%s): wants compute instance profile %u of "
					       "the %u that %s has",
					       gpu->index, gpu->name, want->ci[i], p->n_ci,
					       p->name);
			slices += p->ci[want->ci[i]].slices;
		}
		if (want->n_ci > KF_MAX_CIS || slices > p->slices)
			return kf_fail(err, KF_E_INPUT, target->line,
				       "gpu %u (%s): %u compute instances of %u slices do not fit "
				       "in one %s, which has %u",
				       gpu->index, gpu->name, want->n_ci, slices, p->name,
				       p->slices);
	}
	return 0;
}

int kf_diagnose_counts(const struct kf_gpu *gpu, const struct kf_gpu_target *target,
		       struct kf_error *err)
{
	unsigned count[KF_MAX_PROFILES];

	if (check_profiles(gpu, target, count, err) < 0)
		return -1;
	return check_cuts(gpu, target, err);
}

/* What all of them need together. */
struct need {
	unsigned slices, units, engine[KF_N_ENGINES];
};

static struct need add_up(const struct kf_shape *shape, const struct kf_gpu_target *target)
{
	struct need need = {0};
	unsigned w, e;

	for (w = 0; w < target->n; w++) {
		const struct kf_profile *p = &shape->profile[target->want[w].profile];
		unsigned count = target->want[w].count;

		need.slices += count * p->slices;
		need.units += count * p->size;
		for (e = 0; e < KF_N_ENGINES; e++)
			need.engine[e] += count * p->engine[e];
	}
	return need;
}

int kf_diagnose_room(const struct kf_gpu *gpu, const struct kf_gpu_target *target, uint32_t closed,
		     struct kf_error *err)
{
	const struct kf_shape *shape = &gpu->shape;
	struct need need = add_up(shape, target);
	kf_auto_mem char *what = NULL;
	unsigned e;

	if (need.slices > shape->slices)
		return no_fit(gpu, target, err, "compute slices", need.slices, shape->slices);
	if (need.units > shape->units)
		return no_fit(gpu, target, err, "memory units", need.units, shape->units);
	for (e = 0; e < KF_N_ENGINES; e++)
		if (need.engine[e] > shape->engine[e])
			return no_fit(gpu, target, err, engine_name[e], need.engine[e],
				      shape->engine[e]);
	what = list(gpu, target);
	return kf_fail(err, KF_E_INPUT, target->line,
		       "gpu %u (%s): %s do not fit: no arrangement of the places where they may "
		       "start has room%s",
		       gpu->index, gpu->name, what ? what : "these instances",
		       closed ? " beside the instance whose profile the driver does not list" : "");
}
