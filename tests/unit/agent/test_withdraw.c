/* Withdrawals, who is in the way, and slices back where they were. */
#include <stdlib.h>
#include <string.h>

#include "kftest.h"

#include "agent/blockers.h"
#include "agent/restore.h"
#include "agent/withdraw.h"
#include "nodes.h"

static struct kf_step destroy_step(const struct kf_node *node, unsigned gpu, unsigned instance)
{
	const struct kf_instance *in = &node->gpu[gpu].instance[instance];

	return (struct kf_step){.kind = KF_STEP_DESTROY,
				.gpu = gpu,
				.gi = in->id,
				.profile = in->profile,
				.start = in->start};
}

static void slices_to_be_destroyed_are_withdrawn_and_blocked_ones_are_not(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_withdrawals w = {0};
	struct kf_step step[2];
	struct kf_plan plan = {.n = 2, .step = step};

	(void)state;
	node_add_seven(node, 0);
	step[0] = destroy_step(node, 0, 1);
	step[1] = destroy_step(node, 0, 2);
	step[1].blocked = 1;
	assert_int_equal(kf_withdraw_victims(&w, node, &plan), 1);
	assert_int_equal(w.n, 1);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-1"), KF_WITHDRAW_ASKED);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-2"), KF_WITHDRAW_NONE);
	assert_int_equal(kf_withdraw_victims(&w, node, &plan), 0);
	kf_withdraw_done(&w);
}

static void planning_again_keeps_how_far_a_withdrawal_has_come(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_withdrawals w = {0};
	struct kf_step step[2];
	struct kf_plan plan = {.n = 1, .step = step};

	(void)state;
	node_add_seven(node, 0);
	step[0] = destroy_step(node, 0, 1);
	step[1] = destroy_step(node, 0, 4);
	kf_withdraw_victims(&w, node, &plan);
	kf_withdraw_set(&w, KF_WITHDRAW_CLEAR);
	plan.n = 2;
	assert_int_equal(kf_withdraw_victims(&w, node, &plan), 1);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-1"), KF_WITHDRAW_CLEAR);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-4"), KF_WITHDRAW_ASKED);
	assert_false(kf_withdraw_all(&w, KF_WITHDRAW_CLEAR));
	kf_withdraw_done(&w);
}

static void an_allocate_cancels_until_destruction_has_begun(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_withdrawals w = {0};
	struct kf_step step[2];
	struct kf_plan plan = {.n = 2, .step = step};

	(void)state;
	node_add_seven(node, 0);
	step[0] = destroy_step(node, 0, 1);
	step[1] = destroy_step(node, 0, 2);
	kf_withdraw_victims(&w, node, &plan);
	kf_withdraw_set(&w, KF_WITHDRAW_CLEAR);
	assert_int_equal(kf_withdraw_cancel(&w, "MIG-0-1"), 1);
	assert_int_equal(kf_withdraw_cancel(&w, "MIG-0-1"), 0);
	kf_withdraw_set(&w, KF_WITHDRAW_DESTROYING);
	assert_int_equal(kf_withdraw_cancel(&w, "MIG-0-2"), 0);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-2"), KF_WITHDRAW_DESTROYING);
	kf_withdraw_done(&w);
}

static void a_mode_change_withdraws_the_whole_gpu(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_withdrawals w = {0};
	struct kf_step step = {.kind = KF_STEP_MODE_ON};
	struct kf_plan plan = {.n = 1, .step = &step};

	(void)state;
	kf_withdraw_victims(&w, node, &plan);
	assert_int_equal(kf_withdraw_state(&w, "GPU-0"), KF_WITHDRAW_ASKED);
	assert_int_equal(kf_withdraw_victims(&w, node, NULL), 1);
	assert_int_equal(w.n, 0);
	kf_withdraw_done(&w);
}

static void only_what_the_steps_destroy_is_refused(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_withdrawals w = {0};
	struct kf_step step[2];
	struct kf_plan plan = {.n = 2, .step = step};

	(void)state;
	node_add_seven(node, 0);
	node_add_seven(node, 1);
	step[0] = destroy_step(node, 0, 1);
	step[1] = destroy_step(node, 1, 1);
	kf_withdraw_victims(&w, node, &plan);
	kf_withdraw_set(&w, KF_WITHDRAW_CLEAR);
	kf_withdraw_begin(&w, node, &step[1], 1); /* GPU 0 pauses */
	assert_int_equal(kf_withdraw_state(&w, "MIG-1-1"), KF_WITHDRAW_DESTROYING);
	assert_int_equal(kf_withdraw_cancel(&w, "MIG-0-1"), 1);
	kf_withdraw_done(&w);
}

static void a_gpu_that_is_handed_out_whole_goes_with_its_slices(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_withdrawals w = {.whole_gpus = 1};
	struct kf_step step;
	struct kf_plan plan = {.n = 1, .step = &step};

	(void)state;
	node_add_seven(node, 0);
	step = destroy_step(node, 0, 1);
	kf_withdraw_victims(&w, node, &plan);
	assert_int_equal(kf_withdraw_state(&w, "MIG-0-1"), KF_WITHDRAW_ASKED);
	assert_int_equal(kf_withdraw_state(&w, "GPU-0"), KF_WITHDRAW_ASKED);
	kf_withdraw_begin(&w, node, &step, 1);
	assert_int_equal(kf_withdraw_cancel(&w, "GPU-0"), 0);
	kf_withdraw_done(&w);
}

static void names_who_is_in_the_way_once_and_nobody_whose_name_is_alike(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_hold hold[] = {
		{.id = "MIG-0-1", .pod_namespace = "default", .pod_name = "ab"},
		{.id = "MIG-0-2", .pod_namespace = "default", .pod_name = "ab"},
		{.id = "MIG-0-3", .pod_namespace = "default", .pod_name = "a"},
	};
	struct kf_holds holds = {.n = 3, .hold = hold};
	struct kf_step step[2];
	struct kf_plan plan = {.n = 2, .n_blocked = 2, .step = step};
	char text[256];

	(void)state;
	node_add_seven(node, 0);
	step[0] = destroy_step(node, 0, 1);
	step[1] = destroy_step(node, 0, 2);
	step[0].blocked = step[1].blocked = 1;
	kf_blockers_text(node, &plan, &holds, text, sizeof(text));
	assert_string_equal(text, "pod default/ab");
	assert_false(kf_blocks(node, &plan, &hold[2]));
}

static struct kf_step create_step(const struct kf_node *node, unsigned profile, unsigned start)
{
	const struct kf_profile *p = &node->gpu[0].shape.profile[profile];
	struct kf_step step = {
		.kind = KF_STEP_CREATE, .profile = profile, .start = start, .n_ci = 1};
	unsigned c;

	for (c = 0; c < p->n_ci; c++)
		if (p->ci[c].slices == p->slices)
			step.cis[0] = (uint8_t)c;
	return step;
}

static void slices_come_back_where_they_were(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *before = node_of_a100s(1);
	kf_auto(kf_node_freep) struct kf_node *after = node_of_a100s(1);
	kf_auto(kf_saved_freep) struct kf_saved *saved = NULL;
	struct kf_step step[2];
	struct kf_plan plan = {.n = 2, .step = step};
	unsigned one, two;

	(void)state;
	one = node_add(before, 0, "1g.5gb", 6)->profile;
	two = node_add(before, 0, "2g.10gb", 2)->profile;
	assert_int_equal(kf_saved_make(before, "custom", "", &saved, NULL), 0);
	step[0] = create_step(after, one, 0);
	step[1] = create_step(after, two, 4);
	assert_int_equal(kf_restore_places(after, saved, &plan), 1);
	assert_int_equal(step[0].profile, two);
	assert_int_equal(step[0].start, 2);
	assert_int_equal(step[1].profile, one);
	assert_int_equal(step[1].start, 6);
}

static void slices_come_back_where_they_were_also_when_the_mode_is_gone(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *before = node_of_a100s(1);
	kf_auto(kf_node_freep) struct kf_node *after = node_of_a100s(1);
	kf_auto(kf_saved_freep) struct kf_saved *saved = NULL;
	struct kf_step step[2] = {{.kind = KF_STEP_MODE_ON}};
	struct kf_plan plan = {.n = 2, .step = step};
	unsigned one;

	(void)state;
	one = node_add(before, 0, "1g.5gb", 6)->profile;
	assert_int_equal(kf_saved_make(before, "custom", "", &saved, NULL), 0);
	after->gpu[0].mig_current = after->gpu[0].mig_pending = 0;
	step[1] = create_step(after, one, 0);
	assert_int_equal(kf_restore_places(after, saved, &plan), 1);
	assert_int_equal(step[0].kind, KF_STEP_MODE_ON);
	assert_int_equal(step[1].start, 6);
}

static void another_geometry_than_the_saved_one_is_left_to_the_planner(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *before = node_of_a100s(1);
	kf_auto(kf_node_freep) struct kf_node *after = node_of_a100s(1);
	kf_auto(kf_saved_freep) struct kf_saved *saved = NULL;
	struct kf_step step[1];
	struct kf_plan plan = {.n = 1, .step = step};
	unsigned one;

	(void)state;
	one = node_add(before, 0, "1g.5gb", 6)->profile;
	node_add(before, 0, "2g.10gb", 2);
	assert_int_equal(kf_saved_make(before, "custom", "", &saved, NULL), 0);
	step[0] = create_step(after, one, 0);
	assert_int_equal(kf_restore_places(after, saved, &plan), 0);
	assert_int_equal(step[0].start, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_to_be_destroyed_are_withdrawn_and_blocked_ones_are_not),
		cmocka_unit_test(planning_again_keeps_how_far_a_withdrawal_has_come),
		cmocka_unit_test(an_allocate_cancels_until_destruction_has_begun),
		cmocka_unit_test(a_mode_change_withdraws_the_whole_gpu),
		cmocka_unit_test(only_what_the_steps_destroy_is_refused),
		cmocka_unit_test(a_gpu_that_is_handed_out_whole_goes_with_its_slices),
		cmocka_unit_test(names_who_is_in_the_way_once_and_nobody_whose_name_is_alike),
		cmocka_unit_test(slices_come_back_where_they_were),
		cmocka_unit_test(slices_come_back_where_they_were_also_when_the_mode_is_gone),
		cmocka_unit_test(another_geometry_than_the_saved_one_is_left_to_the_planner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
