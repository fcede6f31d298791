/* Plans in words and as JSON; the lines themselves are compared by tests/plans. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "kftest.h"
#include "plan/plan.h"
#include "plankit.h"

static void tells_a_plan_as_json(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	kf_auto_mem char *s = NULL;
	json_auto_t *o = NULL, *want = NULL;

	kit_add(kit, "a100-40", "4g.20gb@0!ml/a", "2x3g.20gb");
	plan = kit_plan(kit);
	s = kf_plan_json(&kit->node, plan);
	o = json_loads(s, 0, NULL);
	want = json_pack("{s:[{s:s, s:i, s:s, s:b, s:b, s:s, s:s, s:i},"
			 "    {s:s, s:i, s:s, s:b, s:b, s:s, s:s, s:i, s:s},"
			 "    {s:s, s:i, s:s, s:b, s:b, s:s, s:s, s:i, s:s}], s:i, s:i, s:i}",
			 "steps", "step", "create", "gpu", 0, "uuid", "GPU-0", "early", 1,
			 "blocked", 0, "text", "gpu 0: create 3g.20gb at 4", "profile", "3g.20gb",
			 "start", 4, "step", "destroy", "gpu", 0, "uuid", "GPU-0", "early", 0,
			 "blocked", 1, "text", "gpu 0: destroy 4g.20gb at 0; waits for pod ml/a",
			 "profile", "4g.20gb", "start", 0, "waitsFor", "pod ml/a", "step", "create",
			 "gpu", 0, "uuid", "GPU-0", "early", 0, "blocked", 1, "text",
			 "gpu 0: create 3g.20gb at 0; waits for pod ml/a", "profile", "3g.20gb",
			 "start", 0, "waitsFor", "pod ml/a", "blocked", 2, "kept", 0, "destroyed",
			 0);
	assert_non_null(want);
	if (!json_equal(o, want))
		fail_msg("%s", s);
}

static void tells_a_mode_change_without_a_place(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	kf_auto_mem char *s = NULL;
	json_auto_t *o = NULL;
	json_t *step;

	kit_add(kit, "a100-40", "", "off");
	plan = kit_plan(kit);
	s = kf_plan_json(&kit->node, plan);
	o = json_loads(s, 0, NULL);
	step = json_array_get(json_object_get(o, "steps"), 0);
	assert_string_equal(json_string_value(json_object_get(step, "step")), "mig-off");
	assert_null(json_object_get(step, "profile"));
	assert_null(json_object_get(step, "start"));
}

static void cuts_a_sentence_at_the_end_of_the_buffer(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	char small[12], one = 'x';

	kit_add(kit, "a100-40", "", "1x7g.40gb");
	plan = kit_plan(kit);
	kf_step_text(&kit->node, &plan->step[0], small, sizeof(small));
	assert_string_equal(small, "gpu 0: crea");
	kf_step_text(&kit->node, &plan->step[0], &one, 0);
	assert_int_equal(one, 'x');
}

/* Shared slices can have many holders; each is named once, and what has no room is counted. */
static void counts_the_holders_that_it_cannot_name(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	struct kf_hold h = {.pod_namespace = "machine-learning"};
	const char *names;
	unsigned i;

	kit_add(kit, "a100-40", "7g.40gb@0", "7x1g.5gb");
	snprintf(h.id, sizeof(h.id), "%s", kit->gpu[0].instance[0].ci[0].uuid);
	for (i = 0; i < 40; i++) { /* two containers of each pod */
		snprintf(h.pod_name, sizeof(h.pod_name), "train-%u", i / 2);
		assert_int_equal(kf_holds_add(&kit->holds, &h), 0);
	}
	plan = kit_plan(kit);
	assert_int_equal(plan->n_blocked, 8);
	names = plan->step[0].blocked_by;
	assert_non_null(
		strstr(names, "pod machine-learning/train-0, pod machine-learning/train-1, "));
	assert_null(strstr(strstr(names, "train-0,") + 1, "train-0,"));
	/* What is named and what is counted make 20 pods, said twice for the cut ones at most. */
	for (i = 0; (names = strstr(names, "pod ")); names++)
		i++;
	names = strstr(plan->step[0].blocked_by, " and ");
	assert_non_null(names);
	assert_int_equal(i + (unsigned)atoi(names + 5), 20);
}

static void names_one_holder_whose_name_has_no_room(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	struct kf_hold h = {0};

	kit_add(kit, "a100-40", "7g.40gb@0", "7x1g.5gb");
	snprintf(h.id, sizeof(h.id), "%s", kit->gpu[0].instance[0].ci[0].uuid);
	memset(h.pod_namespace, 'n', sizeof(h.pod_namespace) - 1);
	memset(h.pod_name, 'p', sizeof(h.pod_name) - 1);
	assert_int_equal(kf_holds_add(&kit->holds, &h), 0);
	plan = kit_plan(kit);
	assert_true(plan->step[0].blocked);
	assert_true(plan->step[0].blocked_by[0] != '\0');
}

static void says_when_there_is_no_memory(void **state)
{
	kf_auto(kit_freep) struct kit *kit = kit_new();
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;

	kit_add(kit, "a100-40", "7g.40gb@0!ml/a", "2x3g.20gb/1c+2c");
	plan = kit_plan(kit);
	KF_FOR_EACH_OOM
	{
		kf_auto_mem char *s = kf_plan_text(&kit->node, plan);

		assert_int_equal(s == NULL, kf_alloc_failed());
	}
	KF_FOR_EACH_OOM
	{
		kf_auto_mem char *s = kf_plan_json(&kit->node, plan);

		assert_int_equal(s == NULL, kf_alloc_failed());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_plan_as_json),
		cmocka_unit_test(tells_a_mode_change_without_a_place),
		cmocka_unit_test(cuts_a_sentence_at_the_end_of_the_buffer),
		cmocka_unit_test(counts_the_holders_that_it_cannot_name),
		cmocka_unit_test(names_one_holder_whose_name_has_no_room),
		cmocka_unit_test(says_when_there_is_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
