/*
 * One way at a time: from what should be offered to what may be listed now.
 *
 * A device is sold in one way: whole or as replicas, under this name or that.  When the
 * configuration wants another, its ids change, and three things must not happen: that a device is
 * sold both ways at once, that an id in a pod's hands leaves the list, and that an id leaves it
 *while the kubelet may be about to hand it out (1.36 and 1.37 then dereference nil).  So
 *
 *	- the ids of the old way stay listed, as Unhealthy, until no pod holds one and the kubelet
 *has said (GetAllocatableResources) that it hands none of them out;
 *	- until then no id of the new way is on sale for that device, nor for what overlaps with it
 *(the slices of a GPU, the GPU of a slice).
 *
 * What the driver has taken apart (a slice destroyed, a GPU whose mode was changed) is withdrawn
 * before that (withdraw.h) and leaves at once.  A value: who asks the kubelet is sell.c.
 */
#pragma once

#include "kubelet/offer.h"
#include "kubelet/podresources.h"
#include "model/holds.h"
#include "model/node.h"

struct kf_error;

/* An id that is listed as Unhealthy. */
struct kf_sale_mark {
	char resource[KF_RESOURCE_NAME], id[KF_DEVICE_ID];
	unsigned since; /* the listing that first had it so */
	int leaving;	/* it is not wanted any more */
	int held;	/* a pod has it */
	int clear;	/* the kubelet hands it out no more */
};

/* Zeroed is "nothing listed yet". */
struct kf_sale {
	struct kf_offers listed;
	unsigned n_marks;
	struct kf_sale_mark *mark;
	size_t capacity;
	unsigned listing;	  /* counts the changes of `listed` */
	int mig_was[KF_MAX_GPUS]; /* modes at the last listing, to see one change */
	int seen;
};

void kf_sale_done(struct kf_sale *s);

/*
 * Make s->listed from what is wanted, what was listed, and what pods hold under `holds[].sold`.
 * 0, or -1: no memory, *s as it was.
 */
int kf_sale_make(struct kf_sale *s, const struct kf_offers *wanted, const struct kf_node *node,
		 const struct kf_holds *holds, struct kf_error *err);

/* Ids on their way out that no pod holds and of which the kubelet is to be asked. */
unsigned kf_sale_waiting(const struct kf_sale *s);
/* Ids on their way out that a pod holds. */
unsigned kf_sale_held(const struct kf_sale *s);

/*
 * The kubelet's answer, asked when s->listing was `asked`: what it may still hand out.  1 if some
 * id may leave now (make the list again), else 0.
 */
int kf_sale_clear(struct kf_sale *s, const struct kf_podresources_row *row, unsigned n,
		  unsigned asked);
/* There is no kubelet: all may leave. */
void kf_sale_clear_all(struct kf_sale *s);
