/*
 * What a node offers to the kubelet: resources, each a list of devices.  A value.
 *
 * Made by the agent from a node, published by kubelet.h, replaced whole.  Order matters to nobody
 * but a reader: two offers are equal when they hold the same devices in the same order.
 */
#pragma once

#include <stddef.h>

#define KF_RESOURCE_NAME 64  /* "nvidia.com/mig-1g.10gb.me.shared" and room, NUL included */
#define KF_DEVICE_ID	 104 /* a MIG UUID and "::12" behind it; the kubelet's own advice is 63 */

struct kf_offer_device {
	char id[KF_DEVICE_ID];
	int healthy;
	int numa; /* -1: none */
};

struct kf_offer {
	char resource[KF_RESOURCE_NAME];
	unsigned n;
	struct kf_offer_device *device;
	size_t capacity;
};

/* Zeroed is "nothing offered". */
struct kf_offers {
	unsigned n;
	struct kf_offer *offer;
	size_t capacity;
};

/*
 * The offer of this resource, added empty when it is not there yet.  NULL: no memory, or the name
 * is empty or too long.  The pointer is good until the next offer is added.
 */
struct kf_offer *kf_offers_need(struct kf_offers *o, const char *resource);
/* The offer of this resource, or NULL. */
const struct kf_offer *kf_offers_find(const struct kf_offers *o, const char *resource);
/* Append a device; 0, or -1: no memory, or the id is empty or too long. */
int kf_offer_add(struct kf_offer *offer, const char *id, int healthy, int numa);
/* The device with this id, or NULL. */
const struct kf_offer_device *kf_offer_find(const struct kf_offer *offer, const char *id);

/* A deep copy into *ret (whose old content is not looked at); 0, or -1 (no memory; *ret empty). */
int kf_offer_copy(const struct kf_offer *from, struct kf_offer *ret);
int kf_offers_copy(const struct kf_offers *from, struct kf_offers *ret);
/* 1 or 0. */
int kf_offer_equal(const struct kf_offer *a, const struct kf_offer *b);
int kf_offers_equal(const struct kf_offers *a, const struct kf_offers *b);
/* Free what it holds and leave it empty. */
void kf_offer_done(struct kf_offer *offer);
void kf_offers_done(struct kf_offers *o);
