/* After a reboot or a driver reload: the slices back where they were, under their old UUIDs. */
#pragma once

#include "plan/plan.h"
#include "state/saved.h"

/*
 * Where the plan creates, on a GPU without instances, just the instances that `saved` remembers of
 * it, put them at the saved places and in the order of the saved ids.  Ids and MIG UUIDs follow
 * from the place, so that pods find the device again that they were given.  Other steps stay.
 * Answers the number of GPUs concerned.
 */
unsigned kf_restore_places(const struct kf_node *node, const struct kf_saved *saved,
			   struct kf_plan *plan);
