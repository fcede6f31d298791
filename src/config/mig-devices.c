/* The MIG devices of a GPU as a multiset: what mig-parted compares; see mig-file.h. */
#include <stdio.h>
#include <string.h>

#include "config/mig-file.h"

static void count(struct kf_mig_devices *d, unsigned profile, unsigned slices, unsigned n)
{
	if (profile >= KF_MAX_PROFILES || slices > KF_MAX_CIS)
		d->strange = 1;
	else
		d->count[profile][slices] += n;
}

void kf_mig_devices_of_gpu(const struct kf_gpu *gpu, struct kf_mig_devices *ret)
{
	unsigned i, j;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < gpu->n_instances; i++) {
		const struct kf_instance *gi = &gpu->instance[i];

		if (gi->n_ci == 0)
			ret->strange = 1;
		for (j = 0; j < gi->n_ci; j++)
			count(ret, gi->profile, gi->ci[j].slices, 1);
	}
}

void kf_mig_devices_of_target(const struct kf_shape *shape, const struct kf_gpu_target *t,
			      struct kf_mig_devices *ret)
{
	unsigned i, j;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < t->n; i++) {
		const struct kf_want *w = &t->want[i];
		const struct kf_profile *p = &shape->profile[w->profile];

		if (w->n_ci == 0)
			count(ret, w->profile, p->slices, w->count);
		for (j = 0; j < w->n_ci; j++)
			count(ret, w->profile, p->ci[w->ci[j]].slices, w->count);
	}
}

int kf_mig_devices_equal(const struct kf_mig_devices *a, const struct kf_mig_devices *b)
{
	return !a->strange && !b->strange && !memcmp(a->count, b->count, sizeof(a->count));
}

void kf_mig_device_name(const struct kf_shape *shape, unsigned profile, unsigned slices,
			char out[KF_PROFILE_NAME])
{
	const struct kf_profile *p = &shape->profile[profile];

	if (slices == p->slices)
		snprintf(out, KF_PROFILE_NAME, "%.*s", KF_PROFILE_NAME - 1, p->name);
	else
		snprintf(out, KF_PROFILE_NAME, "%uc.%.*s", slices, KF_PROFILE_NAME - 5, p->name);
}

void kf_mig_devices_text(const struct kf_shape *shape, const struct kf_mig_devices *d, char *out,
			 unsigned size)
{
	char name[KF_PROFILE_NAME];
	unsigned p, c, at = 0;

	snprintf(out, size, d->strange ? "something no configuration names" : "no MIG devices");
	for (p = shape->n; p > 0; p--) {
		for (c = KF_MAX_CIS; c > 0; c--) {
			unsigned n = d->count[p - 1][c];

			if (n == 0 || at >= size)
				continue;
			kf_mig_device_name(shape, p - 1, c, name);
			at += (unsigned)snprintf(out + at, size - at, "%s%ux %s", at ? ", " : "", n,
						 name);
		}
	}
}
