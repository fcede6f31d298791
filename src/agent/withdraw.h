/*
 * Devices on their way out: the order in which a slice may be taken away without a pod on it.
 *
 *	ASKED       the kubelet is told that the device is Unhealthy
 *	CLEAR       the kubelet has said (GetAllocatableResources) that it hands it out no more
 *	DESTROYING  the driver is at work; an Allocate for it is refused from here on
 *
 * An Allocate that arrives before DESTROYING wins: the withdrawal is cancelled and the plan made
 * anew.  The id stays in the kubelet's list until the device is gone (kubelet 1.36 and 1.37
 * dereference nil otherwise).  Values only: who asks whom, and when, is reconcile.c's.
 */
#pragma once

#include <stddef.h>

#include "model/node.h"
#include "plan/plan.h"

enum kf_withdraw_state {
	KF_WITHDRAW_NONE,
	KF_WITHDRAW_ASKED,
	KF_WITHDRAW_CLEAR,
	KF_WITHDRAW_DESTROYING
};

struct kf_withdrawal {
	char id[KF_UUID];
	enum kf_withdraw_state state;
	int wanted; /* scratch of kf_withdraw_victims */
};

/* Zeroed is empty. */
struct kf_withdrawals {
	unsigned n;
	struct kf_withdrawal *at;
	size_t capacity;
	int whole_gpus; /* strategy none: who is handed the GPU uses any slice of it */
};

void kf_withdraw_done(struct kf_withdrawals *w);

/*
 * Make the list hold exactly the devices that the plan's steps (the blocked ones left out) destroy:
 * those of instances and compute instances destroyed, and the GPU itself where its mode changes or
 * where `whole_gpus` says so.
 * New ones are ASKED, those there already keep their state, others are let go.
 *
 * 1 if the list changed (publish then), 0 if not, -1 without memory.
 */
int kf_withdraw_victims(struct kf_withdrawals *w, const struct kf_node *node,
			const struct kf_plan *plan);

/* Of a device; a replica's id means its device. */
enum kf_withdraw_state kf_withdraw_state(const struct kf_withdrawals *w, const char *id);
/* Let one go.  1 if it was there and not yet DESTROYING, else 0. */
int kf_withdraw_cancel(struct kf_withdrawals *w, const char *id);
/* All of them reached at least `state`?  1 or 0; an empty list has. */
int kf_withdraw_all(const struct kf_withdrawals *w, enum kf_withdraw_state state);
void kf_withdraw_set(struct kf_withdrawals *w, enum kf_withdraw_state state);
/* What these steps destroy, of what is on the list, is DESTROYING from now on. */
void kf_withdraw_begin(struct kf_withdrawals *w, const struct kf_node *node,
		       const struct kf_step *steps, unsigned n);
