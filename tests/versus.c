/* The planner's layouts against brute force; see versus.h. */
#include "versus.h"

#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "shapes.h"

/* A seeded generator of our own, so that a failure can be had again anywhere. */
static uint32_t random_bits(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static uint64_t pair_bit(const struct brute *b, unsigned profile, unsigned start)
{
	unsigned i;

	for (i = 0; i < b->n_pairs; i++)
		if (b->pair[i].profile == profile && b->pair[i].start == start)
			return 1ull << i;
	return 0;
}

static void print_layout(const struct brute *b, const char *what, uint64_t pairs, uint64_t busy)
{
	unsigned i;

	printf(" %s {", what);
	for (i = 0; i < b->n_pairs; i++)
		if (pairs >> i & 1)
			printf(" %s@%u%s", b->shape->profile[b->pair[i].profile].name,
			       b->pair[i].start, busy >> i & 1 ? "!" : "");
	printf(" }");
}

static void complain(struct versus *v, const struct brute *b, const struct brute_layout *now,
		     uint64_t busy, const struct brute_layout *best, uint64_t got)
{
	if (v->mismatches++ >= 5)
		return;
	printf("mismatch:");
	print_layout(b, "now", now->pairs, busy);
	print_layout(b, "brute force", best->pairs, 0);
	print_layout(b, "planner", got, 0);
	printf("\n");
}

static void compare(struct versus *v, const struct brute *b, const struct brute_layout *now,
		    uint32_t busy, unsigned set)
{
	struct kf_geometry geometry = {.n = now->n}, goal;
	uint64_t busy_pairs = 0, got = 0;
	const struct brute_layout *best;
	struct brute_cost cost;
	uint32_t keep;
	unsigned i;
	int r;

	for (i = 0; i < now->n; i++) {
		geometry.at[i].profile = (uint8_t)now->at[i].profile;
		geometry.at[i].start = (uint8_t)now->at[i].start;
		if (busy >> i & 1)
			busy_pairs |= pair_bit(b, now->at[i].profile, now->at[i].start);
	}
	best = brute_best(b, now->pairs, busy_pairs, set, &cost);
	r = kf_plan_layout(b->shape, &geometry, busy, b->set[set].count, &goal, &keep);
	for (i = 0; r == 0 && i < goal.n; i++)
		got |= pair_bit(b, goal.at[i].profile, goal.at[i].start);
	for (i = 0; r == 0 && i < now->n; i++)
		if ((keep >> i & 1) !=
		    !!(best->pairs & pair_bit(b, now->at[i].profile, now->at[i].start)))
			r = -1;
	v->cases++;
	if (r < 0 || got != best->pairs)
		complain(v, b, now, busy_pairs, best, got);
}

struct versus versus_layouts(const char *product, const char *profiles, unsigned samples,
			     int every_busy)
{
	struct kf_shape shape = shape_of(product)->shape;
	struct versus v = {0};
	struct brute b;
	unsigned i, set, k;

	if (profiles)
		shape_subset(&shape, profiles, &shape);
	brute_init(&b, &shape);
	for (i = 0; i < b.n_layouts; i++) {
		uint32_t all = (1u << b.layout[i].n) - 1;

		for (set = 0; set < b.n_sets; set++) {
			for (k = 0; k <= (every_busy ? all : 0); k++)
				compare(&v, &b, &b.layout[i], k, set);
			for (k = 0; k < samples; k++)
				compare(&v, &b, &b.layout[i], random_bits() & all, set);
		}
	}
	printf("%s: %u layouts, %u wanted sets\n", product, b.n_layouts, b.n_sets);
	brute_done(&b);
	return v;
}

void versus_print(const char *product, const char *what, const struct versus *v)
{
	printf("%s: %lu plans (%s) against brute force, %lu mismatches\n", product, v->cases, what,
	       v->mismatches);
	fflush(stdout);
}
