/*
 * Devices whose shares are held by MPS: which of them are ready, and what a share is.
 *
 * Daemons and gates are not the agent's (mps/holder.h): it asks `kerf mps` for a daemon, sells a
 * device while its daemon takes clients, has a slice made for each allocation, and gives it back
 * when nobody holds the allocation any more.  After a restart it finds all as it was.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "model/node.h"
#include "model/share.h"

/* A GPU or MIG device with a rule that MPS holds. */
struct kf_mps_device {
	char uuid[KF_UUID];
	int ready;
	unsigned long seen; /* number of its last event that was told */
	int met;	    /* its holder has answered once: older events are no news */
};

struct kf_mps {
	uv_timer_t timer;
	unsigned n;
	struct kf_mps_device *device;
	size_t capacity;
	unsigned troubles; /* in a row */
};
