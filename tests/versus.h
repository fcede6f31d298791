/* The planner's layouts against brute force, for the quick test and the exhaustive one. */
#pragma once

#include "brute.h"

struct versus {
	unsigned long cases, mismatches;
};

/*
 * All layouts of a product (of these of its profiles, named as for shape_subset; NULL: all) as they
 * may be now, with all wanted sets: with nothing held, and `samples` random choices of held
 * instances each; or, if `every_busy`, with every choice of them. Prints the first mismatches.
 */
struct versus versus_layouts(const char *product, const char *profiles, unsigned samples,
			     int every_busy);
/* "a100-40: 296832 plans (nothing held) against brute force, 0 mismatches" on stdout. */
void versus_print(const char *product, const char *what, const struct versus *v);
