/*
 * The steps: legal when made, fewest removals, stable when planned again, and in the end on the
 * target; for every layout and wanted set, and for random cuts into compute instances.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "brute.h"
#include "kftest.h"
#include "plankit.h"
#include "shapes.h"

/* A seeded generator of our own, so that a failure can be had again anywhere. */
static uint64_t seed = 88172645463325252ull;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 16) % n);
}

static void want_set(struct kit *kit, unsigned gpu, const struct brute_set *set)
{
	struct kf_gpu_target *target = &kit->target.gpu[gpu];
	unsigned p;

	target->n = 0;
	for (p = 0; p < kit->gpu[gpu].shape.n; p++)
		if (set->count[p])
			target->want[target->n++] =
				(struct kf_want){.profile = p, .count = set->count[p]};
}

static uint64_t pairs_of(const struct brute *b, const struct kf_gpu *gpu)
{
	uint64_t pairs = 0;
	unsigned i, p;

	for (i = 0; i < gpu->n_instances; i++)
		for (p = 0; p < b->n_pairs; p++)
			if (b->pair[p].profile == gpu->instance[i].profile &&
			    b->pair[p].start == gpu->instance[i].start)
				pairs |= 1ull << p;
	return pairs;
}

/* The layout, of which each instance is held with a chance of one in `one_in` (0: none). */
static uint64_t set_up(struct kit *kit, const struct brute *b, const struct brute_layout *layout,
		       unsigned one_in)
{
	uint64_t busy = 0;
	unsigned i, p;

	kit_release(kit);
	kit_clear(kit, 0);
	for (i = 0; i < layout->n; i++) {
		const struct kf_instance *in =
			kit_place(kit, 0, layout->at[i].profile, layout->at[i].start);

		if (!one_in || below(one_in))
			continue;
		kit_hold(kit, &in->ci[0]);
		for (p = 0; p < b->n_pairs; p++)
			if (b->pair[p].profile == in->profile && b->pair[p].start == in->start)
				busy |= 1ull << p;
	}
	return busy;
}

static unsigned n_of(const struct kf_plan *plan, enum kf_step_kind kind, int blocked)
{
	unsigned i, n = 0;

	for (i = 0; i < plan->n; i++)
		n += plan->step[i].kind == kind && !plan->step[i].blocked == !blocked;
	return n;
}

/* Early ones first and creates; blocked ones last, with a name; the counts as they are. */
static void check_form(const struct kf_plan *plan)
{
	unsigned i, n_blocked = 0;

	for (i = 0; i < plan->n; i++) {
		const struct kf_step *s = &plan->step[i];

		assert_false(s->early && s->blocked);
		assert_false(s->early && s->kind != KF_STEP_CREATE && s->kind != KF_STEP_CREATE_CI);
		assert_false(i && s->early && !plan->step[i - 1].early);
		assert_false(i && !s->blocked && plan->step[i - 1].blocked);
		assert_int_equal(s->blocked, s->blocked_by[0] != '\0');
		n_blocked += s->blocked != 0;
	}
	assert_int_equal(plan->n_blocked, n_blocked);
	assert_int_equal(plan->n_destroyed, n_of(plan, KF_STEP_DESTROY, 0));
}

/* A create that had to wait for no removal is early: whatever is not, did not fit beside `now`. */
static void check_early(const struct brute *b, uint64_t now, const struct kf_plan *plan)
{
	uint64_t there = now;
	unsigned i, p;

	for (i = 0; i < plan->n; i++) {
		const struct kf_step *s = &plan->step[i];

		if (s->kind != KF_STEP_CREATE || s->blocked)
			continue;
		for (p = 0; b->pair[p].profile != s->profile || b->pair[p].start != s->start;)
			p++;
		assert_int_equal(s->early, brute_fits(b, there, p));
		if (s->early)
			there |= 1ull << p;
	}
}

static void check_pair(struct kit *kit, const struct brute *b, const struct brute_layout *now,
		       uint64_t busy, unsigned set)
{
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	const struct brute_layout *best;
	struct brute_cost cost;

	want_set(kit, 0, &b->set[set]);
	plan = kit_plan(kit);
	assert_int_equal(plan == NULL, now->set == set);
	if (!plan)
		return;
	best = brute_best(b, now->pairs, busy, set, &cost);
	check_form(plan);
	check_early(b, now->pairs, plan);
	assert_int_equal(plan->n_destroyed, cost.destroyed);
	assert_int_equal(n_of(plan, KF_STEP_DESTROY, 1), cost.blocked);
	assert_int_equal(plan->n_kept, __builtin_popcountll(now->pairs & best->pairs));
	assert_int_equal(plan->n_kept + n_of(plan, KF_STEP_CREATE, 0) +
				 n_of(plan, KF_STEP_CREATE, 1),
			 best->n);
	kit_apply_all(kit, plan);
	assert_true((pairs_of(b, kit->gpu) & busy) == busy);
	kit_expect_waiting(kit);
	kit_release(kit);
	kit_settle(kit);
	assert_true(cost.blocked || pairs_of(b, kit->gpu) == best->pairs);
}

/* Every layout and wanted set, with nothing held (one_in 0) or with random holds. */
static void check_all(const char *product, unsigned one_in)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	unsigned long n = 0;
	struct brute b;
	unsigned i, set;

	kit_add(kit, product, "", "");
	brute_init(&b, &kit->gpu[0].shape);
	for (i = 0; i < b.n_layouts; i++)
		for (set = 0; set < b.n_sets; set++, n++) {
			uint64_t busy = set_up(kit, &b, &b.layout[i], one_in);

			check_pair(kit, &b, &b.layout[i], busy, set);
		}
	printf("%s: %lu plans carried out, %s\n", product, n,
	       one_in ? "random holds" : "nothing held");
	brute_done(&b);
}

static void every_step_is_legal_and_leads_to_the_target(void **state)
{
	check_all("a100-40", 0);
	check_all("a30", 0);
	check_all("rtx6000", 0);
}

static void holds_are_waited_for_and_nothing_thrashes(void **state)
{
	check_all("a100-40", 3);
	check_all("a30", 2);
	check_all("rtx6000", 3);
}

/* Random cuts: wanted ones, and those that are there, with holes and holds. */

static void random_cut(const struct kf_profile *p, struct kf_want *want)
{
	unsigned left = p->slices;

	want->n_ci = 0;
	if (below(2))
		return;
	while (left && (want->n_ci == 0 || below(6))) {
		unsigned ci = below(p->n_ci);

		if (p->ci[ci].slices > left)
			continue;
		left -= p->ci[ci].slices;
		want->ci[want->n_ci++] = (uint8_t)ci;
	}
}

static void random_target(struct kit *kit, unsigned gpu, const struct brute *b)
{
	const struct brute_set *set = &b->set[below(b->n_sets)];
	struct kf_gpu_target *target = &kit->target.gpu[gpu];
	unsigned p, left;

	target->n = 0;
	for (p = 0; p < kit->gpu[gpu].shape.n; p++)
		for (left = set->count[p]; left;) {
			struct kf_want *want = &target->want[target->n++];

			*want = (struct kf_want){.profile = p, .count = 1 + below(left)};
			left -= want->count;
			random_cut(&kit->gpu[gpu].shape.profile[p], want);
		}
}

static void random_now(struct kit *kit, unsigned gpu, const struct brute *b)
{
	const struct brute_layout *layout = &b->layout[below(b->n_layouts)];
	unsigned i, c;

	kit_clear(kit, gpu);
	for (i = 0; i < layout->n; i++) {
		struct kf_instance *in =
			kit_place(kit, gpu, layout->at[i].profile, layout->at[i].start);

		if (below(2)) {
			in->n_ci = 0;
			for (c = 0; c < below(8); c++)
				kit_cut(kit, gpu, in,
					below(kit->gpu[gpu].shape.profile[in->profile].n_ci));
		}
		for (c = 0; c < in->n_ci; c++)
			if (!below(4))
				kit_hold(kit, &in->ci[c]);
	}
}

static unsigned n_held(const struct kit *kit)
{
	struct kf_slice_ref ref;
	unsigned i, n = 0;

	for (i = 0; i < kit->holds.n; i++)
		n += (unsigned)kf_node_find_slice(&kit->node, kit->holds.hold[i].id, &ref);
	return n;
}

static void compute_instances_converge_too(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	unsigned round, g, n_waiting = 0;
	struct brute b;

	kit_add(kit, "a100-40", "", "");
	kit_add(kit, "a100-40", "", "");
	brute_init(&b, &kit->gpu[0].shape);
	for (round = 0; round < 20000; round++) {
		kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
		unsigned held;

		kit_release(kit);
		for (g = 0; g < 2; g++) {
			random_now(kit, g, &b);
			random_target(kit, g, &b);
		}
		held = n_held(kit);
		plan = kit_plan(kit);
		if (plan) {
			check_form(plan);
			n_waiting += plan->n_blocked > 0;
			kit_apply_all(kit, plan);
		}
		assert_int_equal(n_held(kit), held);
		kit_expect_waiting(kit);
		kit_release(kit);
		kit_settle(kit);
	}
	printf("%u random nodes, %u of them with something to wait for\n", round, n_waiting);
	assert_true(n_waiting > round / 4);
	brute_done(&b);
}

/* Figures that no driver should tell must not lead outside of anything, nor to a destroy. */
static void leaves_alone_what_makes_no_sense(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	struct kf_gpu *gpu = kit_add(kit, "a100-40", "1g.5gb@0 3g.20gb@4", "7x1g.5gb");
	unsigned i;

	gpu->instance[1].start = 200;
	gpu->instance[1].ci[0].start = 4000;
	gpu->instance[1].ci[0].slices = 70000;
	gpu->instance[0].ci[0].slices = 0xFFFFFFFF;
	gpu->instance[0].ci[0].start = 31;
	plan = kit_plan(kit);
	for (i = 0; plan && i < plan->n; i++)
		assert_int_not_equal(plan->step[i].kind, KF_STEP_DESTROY);
}

static void refuses_more_than_a_gpu_can_number(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	struct kf_gpu *gpu = kit_add(kit, "a100-40", "", "7x1g.5gb");
	static const unsigned counts[] = {16, 256, 263, 65536, 0xFFFFFFFF};
	struct kf_plan *plan = NULL;
	unsigned i;

	gpu->shape.profile[0].max = 0xFFFFFFFF;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct kf_error err = {0};

		kit->target.gpu[0].want[0].count = counts[i];
		assert_int_equal(kf_plan_make(&kit->node, &kit->target, &kit->holds, &plan, &err),
				 -1);
		assert_int_equal(err.code, KF_E_INPUT);
		assert_int_equal(err.detail, kit->target.gpu[0].line);
	}
	assert_null(plan);
}

static void says_when_there_is_no_memory(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();

	kit_add(kit, "a100-40", "7g.40gb@0", "7x1g.5gb");
	kit_add(kit, "a100-40", "7g.40gb@0!ml/a", "2x3g.20gb");
	KF_FOR_EACH_OOM
	{
		kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
		struct kf_error err = {0};
		int r = kf_plan_make(&kit->node, &kit->target, &kit->holds, &plan, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(plan == NULL, kf_alloc_failed());
		assert_int_equal(err.code, kf_alloc_failed() ? KF_E_NOMEM : KF_E_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_is_legal_and_leads_to_the_target),
		cmocka_unit_test(holds_are_waited_for_and_nothing_thrashes),
		cmocka_unit_test(compute_instances_converge_too),
		cmocka_unit_test(leaves_alone_what_makes_no_sense),
		cmocka_unit_test(refuses_more_than_a_gpu_can_number),
		cmocka_unit_test(says_when_there_is_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
