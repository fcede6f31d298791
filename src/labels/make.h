/* What the makers of labels share; for the files of this folder. */
#pragma once

#include "labels/facts.h"
#include "labels/labels.h"

#define DOMAIN	 "nvidia.com/"
#define FULL_GPU DOMAIN "gpu"

struct make {
	const struct kf_node *node;
	const struct kf_label_facts *facts;
	const struct kf_label_choices *choices;
	struct kf_labels *ret;
};

/* Set the label `prefix``suffix`. */
void kf_make_put(struct make *m, const char *prefix, const char *suffix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A GPU that is there, as far as we know: 1 or 0. */
int kf_make_counts(const struct kf_gpu *gpu);
/* The first that counts, with MIG on (1), off (0) or either (-1); NULL if there is none. */
const struct kf_gpu *kf_make_first(const struct kf_node *node, int mig);

/* gpu.* of a GPU and those of its model; NULL does nothing. */
void kf_make_gpu(struct make *m, const struct kf_gpu *gpu);
/* What the strategy adds: mig.strategy, and the slices as gpu.* or mig-PROFILE.*. */
void kf_make_slices(struct make *m);
