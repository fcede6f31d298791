/*
 * Shapes of the MIG-capable products, for tests and benches.
 *
 * A table of our own, from nvml-mig-mps.md 1.1-1.8 (what NVIDIA documents and what was read off
 * real GPUs), and deliberately not the simulator's: the two check each other.
 */
#pragma once

#include "model/profile.h"

/* A product: its shape, and the memory its names are computed from. */
struct shape_entry {
	const char *product;
	uint64_t total_mib;
	struct kf_shape shape;
};

/*
 * The shape of a product: "a100-40", "a100-80", "a30", "h100-80", "h100-94", "h200", "b200",
 * "rtx6000".  Never NULL: fails the program when there is no such product.
 */
const struct shape_entry *shape_of(const char *product);
/* The i-th, or NULL past the last. */
const struct shape_entry *shape_at(unsigned i);
/*
 * The part of a shape that only has these profiles, named as in "1g 2g 1g+me 1g2" (1g2: the
 * double-memory one): counts in the reference are given for such sets.
 */
void shape_subset(const struct kf_shape *shape, const char *names, struct kf_shape *ret);
/* The index of the profile of this name; fails the program when there is none. */
unsigned shape_profile(const struct kf_shape *shape, const char *name);
