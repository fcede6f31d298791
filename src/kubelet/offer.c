/* Offers as values; see offer.h. */
#include "kubelet/offer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Copy a name into a field; 0, or -1 when it is empty or does not fit. */
static int fit(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n >= size)
		return -1;
	memcpy(out, s, n + 1);
	return 0;
}

struct kf_offer *kf_offers_need(struct kf_offers *o, const char *resource)
{
	struct kf_offer *offer = (struct kf_offer *)(void *)kf_offers_find(o, resource);

	if (offer)
		return offer;
	if (kf_grow(&o->offer, &o->capacity, o->n + 1, sizeof(o->offer[0])) < 0)
		return NULL;
	offer = &o->offer[o->n];
	*offer = (struct kf_offer){0};
	if (fit(offer->resource, sizeof(offer->resource), resource) < 0)
		return NULL;
	o->n++;
	return offer;
}

const struct kf_offer *kf_offers_find(const struct kf_offers *o, const char *resource)
{
	unsigned i;

	for (i = 0; i < o->n; i++)
		if (!strcmp(o->offer[i].resource, resource))
			return &o->offer[i];
	return NULL;
}

int kf_offer_add(struct kf_offer *offer, const char *id, int healthy, int numa)
{
	struct kf_offer_device *d;

	if (kf_grow(&offer->device, &offer->capacity, offer->n + 1, sizeof(*d)) < 0)
		return -1;
	d = &offer->device[offer->n];
	*d = (struct kf_offer_device){.healthy = healthy, .numa = numa};
	if (fit(d->id, sizeof(d->id), id) < 0)
		return -1;
	offer->n++;
	return 0;
}

const struct kf_offer_device *kf_offer_find(const struct kf_offer *offer, const char *id)
{
	unsigned i;

	for (i = 0; i < offer->n; i++)
		if (!strcmp(offer->device[i].id, id))
			return &offer->device[i];
	return NULL;
}

int kf_offer_copy(const struct kf_offer *from, struct kf_offer *ret)
{
	*ret = (struct kf_offer){0};
	if (kf_grow(&ret->device, &ret->capacity, from->n, sizeof(from->device[0])) < 0)
		return -1;
	memcpy(ret->resource, from->resource, sizeof(ret->resource));
	if (from->n > 0)
		memcpy(ret->device, from->device, from->n * sizeof(from->device[0]));
	ret->n = from->n;
	return 0;
}

int kf_offers_copy(const struct kf_offers *from, struct kf_offers *ret)
{
	unsigned i;

	*ret = (struct kf_offers){0};
	if (kf_grow(&ret->offer, &ret->capacity, from->n, sizeof(from->offer[0])) < 0)
		return -1;
	for (i = 0; i < from->n; i++) {
		if (kf_offer_copy(&from->offer[i], &ret->offer[i]) < 0) {
			kf_offers_done(ret);
			return -1;
		}
		ret->n++;
	}
	return 0;
}

int kf_offer_equal(const struct kf_offer *a, const struct kf_offer *b)
{
	unsigned i;

	if (a->n != b->n || strcmp(a->resource, b->resource) != 0)
		return 0;
	for (i = 0; i < a->n; i++) {
		const struct kf_offer_device *x = &a->device[i], *y = &b->device[i];

		if (strcmp(x->id, y->id) != 0 || !x->healthy != !y->healthy || x->numa != y->numa)
			return 0;
	}
	return 1;
}

int kf_offers_equal(const struct kf_offers *a, const struct kf_offers *b)
{
	unsigned i;

	if (a->n != b->n)
		return 0;
	for (i = 0; i < a->n; i++)
		if (!kf_offer_equal(&a->offer[i], &b->offer[i]))
			return 0;
	return 1;
}

void kf_offer_done(struct kf_offer *offer)
{
	free(offer->device);
	*offer = (struct kf_offer){0};
}

void kf_offers_done(struct kf_offers *o)
{
	unsigned i;

	for (i = 0; i < o->n; i++)
		kf_offer_done(&o->offer[i]);
	free(o->offer);
	*o = (struct kf_offers){0};
}
