/* Units of GPU memory; see fit.h. */
#include "agent/fit.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* --- what is on sale ----------------------------------------------------------------------- */

/* Units stand mostly in the order in which they were given: *hint, or else anywhere. */
static const struct kf_hold *hold_of(const struct kf_fit *fit, const char *id, unsigned *hint)
{
	const struct kf_holds *h = fit->holds;
	unsigned i, k;

	for (i = 0; i < h->n; i++) {
		k = (*hint + i) % h->n;
		if (!strcmp(h->hold[k].sold, id) && !strcmp(h->hold[k].resource, fit->rule->name)) {
			*hint = k + 1;
			return &h->hold[k];
		}
	}
	return NULL;
}

/* Free, or taken away while its pod ends: 1 or 0. */
static int is_free(const struct kf_fit *fit, struct kf_offer_device *d, unsigned *hint)
{
	const struct kf_hold *hold = hold_of(fit, d->id, hint);

	if (hold && fit->going && fit->going(fit->userdata, hold))
		d->healthy = 0;
	return !hold && d->healthy;
}

/* The units of one GPU, from `at`: how many there are, *ret_free of them. */
static unsigned count_block(const struct kf_fit *fit, struct kf_offer *offer, unsigned at,
			    unsigned *hint, unsigned *ret_free)
{
	unsigned i;

	*ret_free = 0;
	for (i = at; i < offer->n; i++) {
		if (!kf_share_same_device(offer->device[i].id, offer->device[at].id))
			break;
		*ret_free += (unsigned)is_free(fit, &offer->device[i], hint);
	}
	return i - at;
}

static void withhold_others(const struct kf_fit *fit, struct kf_offer *offer, const char *chosen)
{
	unsigned i, hint = 0;

	for (i = 0; i < offer->n; i++) {
		struct kf_offer_device *d = &offer->device[i];

		if (!kf_share_same_device(d->id, chosen) && is_free(fit, d, &hint))
			d->healthy = 0;
	}
}

void kf_fit_apply(const struct kf_fit *fit, struct kf_offer *offer, char chosen[KF_UUID])
{
	unsigned at, n, n_free, best = 0, hint = 0;
	int is_before;

	chosen[0] = '\0';
	for (at = 0; at < offer->n; at += n) {
		n = count_block(fit, offer, at, &hint, &n_free);
		is_before = fit->before && kf_share_same_device(offer->device[at].id, fit->before);
		if (n_free > best || (n_free && n_free == best && is_before)) {
			best = n_free;
			kf_share_device_id(offer->device[at].id, chosen);
		}
	}
	if (fit->rule->units.fit == KF_SHARE_TOTAL)
		chosen[0] = '\0';
	else
		withhold_others(fit, offer, chosen);
}

/* --- what a container gets ----------------------------------------------------------------- */

static unsigned count_of(const char *const *ids, unsigned n, const char *id)
{
	unsigned i, count = 0;

	for (i = 0; i < n; i++)
		count += (unsigned)kf_share_same_device(ids[i], id);
	return count;
}

/* An id of the GPU to take from; NULL: none has so many. */
static const char *best_block(const char *const *ids, unsigned n, unsigned size)
{
	const char *best = NULL;
	unsigned i, count, least = 0;

	for (i = 0; i < n; i++) {
		if (i > 0 && kf_share_same_device(ids[i - 1], ids[i]))
			continue;
		count = count_of(ids, n, ids[i]);
		if (count >= size && (!best || count < least)) {
			best = ids[i];
			least = count;
		}
	}
	return best;
}

static int refuse(const struct kf_share_rule *rule, const char *const *ids, unsigned n,
		  unsigned size, struct kf_error *err)
{
	unsigned i, count, largest = 0;

	for (i = 0; i < n; i++) {
		count = count_of(ids, n, ids[i]);
		largest = count > largest ? count : largest;
	}
	return kf_fail(
		err, KF_E_BUSY, 0,
		"the container asks for %u of %s, and no GPU has so many free: the most is "
		"%u, of %u on the node; the pod will fit once others end, or on another node",
		size, rule->name, largest, n);
}

static int is_among(const char *const *ids, unsigned n, const char *id)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (!strcmp(ids[i], id))
			return 1;
	return 0;
}

int kf_fit_prefer(const struct kf_share_rule *rule, const char *const *available,
		  unsigned n_available, const char *const *must, unsigned n_must, unsigned size,
		  const char **out, struct kf_error *err)
{
	const char *from = n_must ? must[0] : best_block(available, n_available, size);
	unsigned i, n = 0;

	for (; n < n_must && n < size; n++)
		out[n] = must[n];
	for (i = 0; from && i < n_available && n < size; i++)
		if (kf_share_same_device(available[i], from) &&
		    !is_among(must, n_must, available[i]))
			out[n++] = available[i];
	return n == size ? 0 : refuse(rule, available, n_available, size, err);
}

int kf_fit_check(const struct kf_share_rule *rule, const char *const *ids, unsigned n,
		 struct kf_error *err)
{
	unsigned i;

	for (i = 1; i < n; i++)
		if (!kf_share_same_device(ids[0], ids[i]))
			return kf_fail(err, KF_E_BUSY, 0,
				       "the container asks for %u of %s, and no GPU has so many "
				       "free; the pod will fit once others end, or on another node",
				       n, rule->name);
	return 0;
}
