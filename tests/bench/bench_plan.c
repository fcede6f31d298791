/*
 * How long planning one GPU takes: every layout to every wanted set, whole plans (kf_plan_make), on
 * a node of one GPU; alone, and with the holds of a full node of 56 slices to look through.
 *
 * Each case is timed a few times and counts by its fastest, since an interrupt is not ours; one
 * that would be the slowest so far is timed more often before it is believed.  The worst case is
 * the slowest case.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "brute.h"
#include "plan/plan.h"
#include "plankit.h"

#define REPEATS	   3
#define DOUBTS	   50
#define OTHER_PODS 49

struct times {
	double *us;
	size_t n, capacity;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void set_target(struct kit *kit, const struct brute_set *set)
{
	struct kf_gpu_target *target = &kit->target.gpu[0];
	unsigned p;

	target->n = 0;
	for (p = 0; p < kit->gpu[0].shape.n; p++)
		if (set->count[p])
			target->want[target->n++] =
				(struct kf_want){.profile = p, .count = set->count[p]};
}

/* Pods on the slices of seven other GPUs, and on every second one of ours. */
static void set_holds(struct kit *kit)
{
	struct kf_hold other = {.pod_namespace = "ml", .pod_name = "other"};
	unsigned i;

	for (i = 0; i < OTHER_PODS; i++) {
		snprintf(other.id, sizeof(other.id), "MIG-other-%u", i);
		if (kf_holds_add(&kit->holds, &other) < 0)
			exit(1);
	}
	for (i = 0; i < kit->gpu[0].n_instances; i += 2)
		kit_hold(kit, &kit->gpu[0].instance[i].ci[0]);
}

static double time_plan(const struct kit *kit, double worst)
{
	double best = 1e9;
	unsigned i;

	for (i = 0; i < REPEATS || (i < DOUBTS && best > worst); i++) {
		kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
		double start = now_us(), us;

		if (kf_plan_make(&kit->node, &kit->target, &kit->holds, &plan, NULL) < 0)
			exit(1);
		us = now_us() - start;
		if (us < best)
			best = us;
	}
	return best;
}

static int by_size(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void report(const char *product, const char *how, struct times *t)
{
	if (t->n == 0)
		return;
	qsort(t->us, t->n, sizeof(*t->us), by_size);
	printf("{\"what\": \"planning one GPU (%s, %s), worst\", \"value\": %.1f, \"unit\": "
	       "\"us\", "
	       "\"limit\": 50, \"note\": \"%zu plans\"}\n",
	       product, how, t->us[t->n - 1], t->n);
	printf("{\"what\": \"planning one GPU (%s, %s), median\", \"value\": %.1f, "
	       "\"unit\": \"us\"}\n",
	       product, how, t->us[t->n / 2]);
	t->n = 0;
}

static void bench(struct times *t, const char *product, int held)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	struct brute b;
	unsigned i, k, set;
	double worst = 0;

	kit_add(kit, product, "", "");
	brute_init(&b, &kit->gpu[0].shape);
	for (i = 0; i < b.n_layouts; i++) {
		kit_clear(kit, 0);
		kit_release(kit);
		for (k = 0; k < b.layout[i].n; k++)
			kit_place(kit, 0, b.layout[i].at[k].profile, b.layout[i].at[k].start);
		if (held)
			set_holds(kit);
		for (set = 0; set < b.n_sets; set++) {
			set_target(kit, &b.set[set]);
			if (kf_grow(&t->us, &t->capacity, t->n + 1, sizeof(*t->us)) < 0)
				exit(1);
			t->us[t->n] = time_plan(kit, worst);
			if (t->us[t->n] > worst)
				worst = t->us[t->n];
			t->n++;
		}
	}
	report(product, held ? "held" : "free", t);
	brute_done(&b);
}

int main(void)
{
	static const char *const products[] = {"a100-40", "a30", "rtx6000", NULL};
	struct times t = {0};
	unsigned i;

	for (i = 0; products[i]; i++) {
		bench(&t, products[i], 0);
		bench(&t, products[i], 1);
	}
	free(t.us);
	return 0;
}
