/* The best layout by trying all; see brute.h. */
#include "brute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *more(void *p, size_t n, size_t size)
{
	/* Powers of two: grow when n is one. */
	if (n & (n - 1))
		return p;
	p = realloc(p, (n ? 2 * n : 1) * size);
	if (!p) {
		fprintf(stderr, "tests/brute.c: no memory\n");
		exit(1);
	}
	return p;
}

static const struct kf_profile *profile_of(const struct brute *b, unsigned pair)
{
	return &b->shape->profile[b->pair[pair].profile];
}

static int overlap(const struct brute *b, unsigned p, unsigned q)
{
	unsigned p_start = b->pair[p].start, p_end = p_start + profile_of(b, p)->size;
	unsigned q_start = b->pair[q].start, q_end = q_start + profile_of(b, q)->size;

	return p_start < q_end && q_start < p_end;
}

/*
 * The driver's rules one after the other: no unit twice, no more of a profile than it counts, no
 * more engines or compute slices than the GPU has.
 */
static int legal(const struct brute *b, uint64_t pairs)
{
	unsigned count[KF_MAX_PROFILES] = {0}, engine[KF_N_ENGINES] = {0}, slices = 0;
	unsigned p, q, e;

	for (p = 0; p < b->n_pairs; p++) {
		if (!(pairs >> p & 1))
			continue;
		for (q = 0; q < p; q++)
			if ((pairs >> q & 1) && overlap(b, p, q))
				return 0;
		if (++count[b->pair[p].profile] > profile_of(b, p)->max)
			return 0;
		slices += profile_of(b, p)->slices;
		for (e = 0; e < KF_N_ENGINES; e++)
			engine[e] += profile_of(b, p)->engine[e];
	}
	for (e = 0; e < KF_N_ENGINES; e++)
		if (engine[e] > b->shape->engine[e])
			return 0;
	return slices <= b->shape->slices;
}

int brute_fits(const struct brute *b, uint64_t pairs, unsigned pair)
{
	return !(pairs >> pair & 1) && legal(b, pairs | 1ull << pair);
}

static void list_pairs(struct brute *b)
{
	unsigned p, start;

	for (p = 0; p < b->shape->n; p++)
		for (start = 0; start < 32; start++) {
			if (!(b->shape->profile[p].starts >> start & 1))
				continue;
			if (b->n_pairs == BRUTE_MAX_PAIRS) {
				fprintf(stderr, "tests/brute.c: too many pairs\n");
				exit(1);
			}
			b->pair[b->n_pairs++] = (struct brute_pair){p, start};
		}
}

static unsigned set_of(struct brute *b, const struct brute_layout *layout)
{
	struct brute_set set = {{0}};
	unsigned i;

	for (i = 0; i < layout->n; i++)
		set.count[layout->at[i].profile]++;
	for (i = 0; i < b->n_sets; i++)
		if (!memcmp(b->set[i].count, set.count, sizeof(set.count)))
			return i;
	b->set = more(b->set, b->n_sets, sizeof(*b->set));
	b->set[b->n_sets] = set;
	return b->n_sets++;
}

static void list_layout(struct brute *b, uint64_t pairs)
{
	struct brute_layout layout = {.pairs = pairs};
	unsigned start, p;

	for (start = 0; start < 32; start++)
		for (p = 0; p < b->n_pairs; p++)
			if ((pairs >> p & 1) && b->pair[p].start == start)
				layout.at[layout.n++] = b->pair[p];
	for (p = 0; p < b->n_pairs; p++)
		layout.creatable += (unsigned)brute_fits(b, pairs, p);
	layout.set = set_of(b, &layout);
	b->layout = more(b->layout, b->n_layouts, sizeof(*b->layout));
	b->layout[b->n_layouts++] = layout;
}

static void list_layouts(struct brute *b, uint64_t pairs, unsigned from)
{
	unsigned p;

	list_layout(b, pairs);
	for (p = from; p < b->n_pairs; p++)
		if (brute_fits(b, pairs, p))
			list_layouts(b, pairs | 1ull << p, p + 1);
}

static int by_set(const void *x, const void *y)
{
	const struct brute_layout *a = x, *b = y;

	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return a->pairs < b->pairs ? -1 : a->pairs > b->pairs;
}

void brute_init(struct brute *b, const struct kf_shape *shape)
{
	unsigned i;

	memset(b, 0, sizeof(*b));
	b->shape = shape;
	list_pairs(b);
	list_layouts(b, 0, 0);
	qsort(b->layout, b->n_layouts, sizeof(*b->layout), by_set);
	for (i = 0; i < b->n_layouts; i++) {
		struct brute_set *set = &b->set[b->layout[i].set];

		if (set->n++ == 0)
			set->first = i;
	}
}

void brute_done(struct brute *b)
{
	free(b->layout);
	free(b->set);
}

static unsigned count(uint64_t pairs)
{
	return (unsigned)__builtin_popcountll(pairs);
}

/* Negative if x is the better goal, positive if y is. */
static int compare(const struct brute_layout *x, const struct brute_layout *y, uint64_t now,
		   uint64_t busy)
{
	unsigned i;
	int d;

	d = (int)count(busy & ~x->pairs) - (int)count(busy & ~y->pairs);
	if (d)
		return d;
	d = (int)count(now & ~busy & ~x->pairs) - (int)count(now & ~busy & ~y->pairs);
	if (d)
		return d;
	d = (int)y->creatable - (int)x->creatable;
	for (i = 0; !d && i < x->n; i++)
		d = (int)x->at[i].start - (int)y->at[i].start;
	for (i = 0; !d && i < x->n; i++)
		d = (int)x->at[i].profile - (int)y->at[i].profile;
	return d;
}

const struct brute_layout *brute_best(const struct brute *b, uint64_t now, uint64_t busy,
				      unsigned set, struct brute_cost *cost)
{
	const struct brute_layout *best = NULL;
	unsigned i;

	for (i = 0; i < b->set[set].n; i++) {
		const struct brute_layout *x = &b->layout[b->set[set].first + i];

		if (!best || compare(x, best, now, busy) < 0)
			best = x;
	}
	if (best) {
		cost->blocked = count(busy & ~best->pairs);
		cost->destroyed = count(now & ~busy & ~best->pairs);
	}
	return best;
}
