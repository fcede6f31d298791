/* Who stands in the way of a plan. */
#pragma once

#include <stddef.h>

#include "model/holds.h"
#include "plan/plan.h"

/* Does a blocked step of the plan wait for this hold?  1 or 0. */
int kf_blocks(const struct kf_node *node, const struct kf_plan *plan, const struct kf_hold *hold);

/* "pod default/a, pod default/b, process 4121": each holder once, cut with "..." at the end. */
void kf_blockers_text(const struct kf_node *node, const struct kf_plan *plan,
		      const struct kf_holds *holds, char *out, size_t size);
