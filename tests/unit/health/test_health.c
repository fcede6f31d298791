/* Which devices are well: XID classes, NVIDIA's two variables, the state machine. */
#include <string.h>

#include "kftest.h"

#include "base/error.h"
#include "health/health.h"

#define A  "GPU-a"
#define B  "GPU-b"
#define S  1000u
#define T0 (100 * S) /* when it happens */

/* Two GPUs; A has instances 3 and 5 with one compute instance each, 7 with two. */
struct bed {
	struct kf_gpu gpu[2];
	struct kf_node node;
	struct kf_health health;
};

static int set_up(void **state)
{
	struct bed *b = kf_calloc(1, sizeof(*b));
	static const unsigned id[] = {3, 5, 7};
	unsigned i;

	assert_non_null(b);
	b->node = (struct kf_node){.n_gpus = 2, .gpu = b->gpu};
	snprintf(b->gpu[0].uuid, KF_UUID, A);
	snprintf(b->gpu[1].uuid, KF_UUID, B);
	b->gpu[0].n_instances = 3;
	for (i = 0; i < 3; i++) {
		b->gpu[0].instance[i].id = id[i];
		b->gpu[0].instance[i].n_ci = 1 + (id[i] == 7);
		b->gpu[0].instance[i].ci[1].id = 1;
	}
	assert_int_equal(kf_health_rules_parse(NULL, NULL, &b->health.rules, NULL), 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	kf_health_done(&b->health);
	free(b);
	return 0;
}

static int xid(struct bed *b, unsigned number, unsigned gi, unsigned ci, uint64_t ms)
{
	struct kf_report r = {.gpu = A, .gi = gi, .ci = ci, .kind = KF_REPORT_XID, .xid = number};

	return kf_health_report(&b->health, &r, ms);
}

static int is_well(struct bed *b, const char *gpu, unsigned gi, unsigned ci)
{
	return !kf_health_of(&b->health, gpu, gi, ci);
}

static void marks_exactly_the_compute_instance_that_is_named(void **state)
{
	struct bed *b = *state;

	assert_int_equal(xid(b, 119, 7, 1, T0), KF_HEALTH_CHANGED);
	assert_false(is_well(b, A, 7, 1));
	assert_true(is_well(b, A, 7, 0));
	assert_true(is_well(b, A, 3, 0));
	assert_true(is_well(b, B, KF_NONE, KF_NONE));
	assert_false(is_well(b, A, KF_NONE, KF_NONE)); /* offered as a whole it has that part */
}

static void marks_all_of_a_gpu_instance_or_of_a_gpu_where_no_more_is_named(void **state)
{
	struct bed *b = *state;

	assert_int_equal(xid(b, 119, 7, KF_NONE, T0), KF_HEALTH_CHANGED);
	assert_false(is_well(b, A, 7, 0));
	assert_false(is_well(b, A, 7, 1));
	assert_true(is_well(b, A, 5, 0));
	assert_int_equal(xid(b, 119, KF_NONE, KF_NONE, T0), KF_HEALTH_CHANGED);
	assert_false(is_well(b, A, 5, 0));
	assert_true(is_well(b, B, 5, 0));
}

static void ignores_what_applications_do(void **state)
{
	static const unsigned application[] = {13, 31, 43, 45, 68, 109};
	struct bed *b = *state;
	size_t i;

	for (i = 0; i < sizeof(application) / sizeof(application[0]); i++) {
		assert_int_equal(kf_xid_class(application[i]), KF_FAULT_APPLICATION);
		assert_int_equal(xid(b, application[i], KF_NONE, KF_NONE, T0), 0);
	}
	assert_int_equal(b->health.n, 0);
	assert_int_equal(xid(b, 5000, KF_NONE, KF_NONE, T0), KF_HEALTH_CHANGED);
}

static void a_driver_fault_is_over_after_one_clean_probe_that_began_behind_it(void **state)
{
	struct bed *b = *state;

	xid(b, 119, 3, 0, T0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 - 1), 0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 1), 0);
	assert_false(is_well(b, A, 3, 0));
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + S), KF_HEALTH_CHANGED);
	assert_true(is_well(b, A, 3, 0));
}

static void a_hardware_fault_wants_three_clean_probes_in_a_row(void **state)
{
	struct bed *b = *state;

	xid(b, 48, 3, 0, T0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + S), 0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + S + 1), 0); /* too close */
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 2 * S), 0);
	xid(b, 48, 3, 0, T0 + 2 * S); /* again: they begin anew */
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 3 * S), 0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 4 * S), 0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 5 * S), KF_HEALTH_CHANGED);
	assert_true(is_well(b, A, 3, 0));
}

static void a_hardware_fault_waits_for_the_recovery_action_to_be_done(void **state)
{
	struct bed *b = *state;
	unsigned i;

	xid(b, 48, 3, 0, T0);
	b->gpu[0].condition.recovery = 1;
	for (i = 1; i < 9; i++)
		kf_health_probe(&b->health, &b->node, T0 + i * S);
	assert_false(is_well(b, A, 3, 0));
	assert_false(is_well(b, A, 5, 0)); /* a reset takes the whole GPU */
	assert_true(is_well(b, B, KF_NONE, KF_NONE));
	b->gpu[0].condition.recovery = 0;
	kf_health_probe(&b->health, &b->node, T0 + 9 * S);
	kf_health_probe(&b->health, &b->node, T0 + 10 * S);
	assert_false(is_well(b, A, 3, 0));
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + 11 * S), KF_HEALTH_CHANGED);
	assert_true(is_well(b, A, KF_NONE, KF_NONE));
}

static void a_driver_that_tells_no_recovery_action_is_judged_by_the_rest(void **state)
{
	struct bed *b = *state;
	unsigned i;

	b->gpu[0].condition.recovery = KF_NONE;
	xid(b, 48, 3, 0, T0);
	for (i = 1; i <= KF_HEALTH_CLEAN; i++)
		kf_health_probe(&b->health, &b->node, T0 + i * S);
	assert_true(is_well(b, A, 3, 0));
}

static void a_gpu_waits_for_its_fabric_unless_mig_is_on(void **state)
{
	struct bed *b = *state;

	b->gpu[0].fabric.waiting = b->gpu[1].fabric.waiting = 1;
	b->gpu[0].mig_current = 1;
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), KF_HEALTH_CHANGED);
	assert_true(is_well(b, A, 3, 0));
	assert_false(is_well(b, B, KF_NONE, KF_NONE));
	b->gpu[1].fabric.waiting = 0;
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0 + S), KF_HEALTH_CHANGED);
	assert_true(is_well(b, B, KF_NONE, KF_NONE));
}

static void a_fresh_ailment_is_probed_at_once_an_old_one_at_leisure(void **state)
{
	struct bed *b = *state;

	assert_false(kf_health_is_urgent(&b->health, T0));
	b->gpu[0].condition.remap_failed = 1;
	kf_health_probe(&b->health, &b->node, T0);
	assert_true(kf_health_is_urgent(&b->health, T0 + S));
	kf_health_probe(&b->health, &b->node, T0 + KF_HEALTH_FRESH_MS);
	assert_false(kf_health_is_urgent(&b->health, T0 + KF_HEALTH_FRESH_MS));
	b->gpu[0].condition.remap_failed = 0;
	kf_health_probe(&b->health, &b->node, T0 + KF_HEALTH_FRESH_MS + S);
	assert_true(kf_health_is_urgent(&b->health, T0 + KF_HEALTH_FRESH_MS + S));
}

static void row_remapping_that_waits_or_failed_takes_its_gpu(void **state)
{
	struct bed *b = *state;
	char text[200];
	unsigned i;

	b->gpu[1].condition.remap_pending = 1;
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), KF_HEALTH_CHANGED);
	assert_false(is_well(b, B, KF_NONE, KF_NONE));
	assert_true(is_well(b, A, KF_NONE, KF_NONE));
	kf_ailment_text(kf_health_of(&b->health, B, KF_NONE, KF_NONE), text, sizeof(text));
	assert_non_null(strstr(text, "row remapping"));
	b->gpu[1].condition.remap_pending = 0;
	for (i = 1; i <= KF_HEALTH_CLEAN; i++)
		kf_health_probe(&b->health, &b->node, T0 + i * S);
	assert_true(is_well(b, B, KF_NONE, KF_NONE));
}

static void a_lost_gpu_is_ill_and_its_silence_is_no_clean_probe_of_its_slices(void **state)
{
	struct bed *b = *state;
	unsigned i;

	xid(b, 119, 3, 0, T0);
	b->gpu[0].state = KF_GPU_LOST;
	for (i = 1; i < 9; i++)
		kf_health_probe(&b->health, &b->node, T0 + i * S);
	assert_false(is_well(b, A, 3, 0));
	assert_false(is_well(b, A, 5, 0));
	b->gpu[0].state = KF_GPU_OK;
	for (i = 9; i < 12; i++)
		kf_health_probe(&b->health, &b->node, T0 + i * S);
	assert_true(is_well(b, A, KF_NONE, KF_NONE));
}

/* Ill at `ms`, well a second later. */
static void fall_and_rise(struct bed *b, uint64_t ms)
{
	assert_int_equal(xid(b, 119, 3, 0, ms), KF_HEALTH_CHANGED);
	kf_health_probe(&b->health, &b->node, ms + S);
}

static void a_device_that_flaps_stays_down_until_told_to_look_again(void **state)
{
	struct bed *b = *state;
	unsigned i;

	for (i = 0; i < KF_HEALTH_FALLS; i++) {
		fall_and_rise(b, T0 + i * 10 * S);
		assert_true(is_well(b, A, 3, 0));
	}
	fall_and_rise(b, T0 + 60 * S);
	assert_int_equal(kf_health_of(&b->health, A, 3, 0)->state, KF_HEALTH_FLAPPING);
	for (i = 0; i < 9; i++)
		kf_health_probe(&b->health, &b->node, T0 + 2 * KF_HEALTH_WINDOW_MS + i * S);
	assert_false(is_well(b, A, 3, 0));
	assert_true(is_well(b, A, 5, 0));
	assert_false(kf_health_is_urgent(&b->health, T0 + 62 * S));
	assert_int_equal(kf_health_forget(&b->health), KF_HEALTH_CHANGED);
	assert_true(is_well(b, A, 3, 0));
}

static void faults_that_are_far_apart_are_no_flapping(void **state)
{
	struct bed *b = *state;
	unsigned i;

	for (i = 0; i < 10; i++) {
		fall_and_rise(b, T0 + i * (KF_HEALTH_WINDOW_MS / KF_HEALTH_FALLS + S));
		assert_true(is_well(b, A, 3, 0));
	}
}

static void repeated_reports_of_one_fault_are_one_fall(void **state)
{
	struct bed *b = *state;
	unsigned i;

	xid(b, 119, 3, 0, T0);
	for (i = 0; i < 10000; i++)
		assert_int_equal(xid(b, 119, 3, 0, T0 + i), 0);
	assert_int_equal(b->health.n, 1);
	kf_health_probe(&b->health, &b->node, T0 + 60 * S);
	assert_true(is_well(b, A, 3, 0));
}

static void an_ailment_goes_with_its_slice_and_with_its_gpu(void **state)
{
	struct bed *b = *state;

	xid(b, 48, 3, 0, T0);
	b->gpu[0].n_instances = 0;
	kf_health_probe(&b->health, &b->node, T0 + 1);
	assert_int_equal(b->health.n, 0);
	xid(b, 48, KF_NONE, KF_NONE, T0);
	b->node.gpu = &b->gpu[1];
	b->node.n_gpus = 1;
	kf_health_probe(&b->health, &b->node, T0 + 1);
	assert_int_equal(b->health.n, 0);
}

static void what_is_over_and_told_is_forgotten_when_its_falls_have_no_weight(void **state)
{
	struct bed *b = *state;

	fall_and_rise(b, T0);
	kf_health_probe(&b->health, &b->node, T0 + KF_HEALTH_WINDOW_MS - 1);
	assert_int_equal(b->health.n, 1);
	kf_health_probe(&b->health, &b->node, T0 + KF_HEALTH_WINDOW_MS);
	assert_int_equal(b->health.n, 0);
}

static void a_worse_fault_takes_over(void **state)
{
	struct bed *b = *state;

	xid(b, 119, 3, 0, T0);
	assert_int_equal(xid(b, 48, 3, 0, T0 + 1), 0);
	xid(b, 120, 3, 0, T0 + 2);
	assert_non_null(strstr(kf_health_of(&b->health, A, 3, 0)->reason, "XID 48"));
	kf_health_probe(&b->health, &b->node, T0 + 2 * S);
	assert_false(is_well(b, A, 3, 0));
}

/* --- the two variables --------------------------------------------------------------------- */

static void assert_counts(const char *disable, const char *enable, unsigned number, int counts)
{
	struct kf_health_rules rules;

	assert_int_equal(kf_health_rules_parse(disable, enable, &rules, NULL), 0);
	assert_int_equal(!kf_health_ignores(&rules, number), counts);
}

static void disabled_and_enabled_xids_have_nvidias_documented_meaning(void **state)
{
	(void)state;
	assert_counts("", "", 79, 1);
	assert_counts("", "", 31, 0);
	assert_counts("79, 80", "", 79, 0);
	assert_counts("79,80", "", 48, 1);
	assert_counts("79,80", "", 31, 0); /* added to the six, not instead of them */
	assert_counts("xids", "", 79, 0);
	assert_counts("ALL", "", 79, 0);
	assert_counts("", "31", 31, 1);
	assert_counts("", "31", 13, 0);
	assert_counts("", "all", 13, 1);
	assert_counts("79", "79", 79, 1); /* enabled wins */
	assert_counts("79", "all", 79, 1);
	assert_counts("all", "48", 48,
		      1); /* NVIDIA's comment; its code stops before it gets there */
	assert_counts("all", "48", 79, 0);
	assert_counts("xids", "", 5000, 0);
}

static void with_all_disabled_nothing_else_is_checked_either(void **state)
{
	struct kf_report ecc = {.gpu = A, .gi = KF_NONE, .ci = KF_NONE, .kind = KF_REPORT_ECC};
	struct bed *b = *state;

	assert_int_equal(kf_health_report(&b->health, &ecc, T0), KF_HEALTH_CHANGED);
	kf_health_forget(&b->health);
	b->gpu[0].condition.recovery = 1;
	kf_health_rules_parse("all", "", &b->health.rules, NULL);
	assert_int_equal(kf_health_report(&b->health, &ecc, T0), 0);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), 0);
	assert_true(kf_health_is_off(&b->health.rules));
	kf_health_rules_parse("xids", "", &b->health.rules, NULL);
	assert_false(kf_health_is_off(&b->health.rules));
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), KF_HEALTH_CHANGED);
}

static void a_word_that_is_no_xid_is_named_and_the_others_count(void **state)
{
	struct kf_health_rules rules;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_health_rules_parse("79,xid80,48", "", &rules, &err), KF_HEALTH_ODD);
	assert_non_null(strstr(err.msg, "xid80"));
	assert_true(kf_health_ignores(&rules, 79));
	assert_true(kf_health_ignores(&rules, 48));
	assert_int_equal(kf_health_rules_parse("", "1024", &rules, &err), KF_HEALTH_ODD);
}

static void lives_with_every_failed_allocation(void **state)
{
	struct bed *b = *state;

	kf_alloc_fail_after(0);
	assert_int_equal(xid(b, 48, 3, 0, T0), -1);
	kf_alloc_fail_after(0);
	b->gpu[1].condition.remap_failed = 1;
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), -1);
	kf_alloc_fail_after(-1);
	assert_int_equal(kf_health_probe(&b->health, &b->node, T0), KF_HEALTH_CHANGED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(marks_exactly_the_compute_instance_that_is_named),
		CASE(marks_all_of_a_gpu_instance_or_of_a_gpu_where_no_more_is_named),
		CASE(ignores_what_applications_do),
		CASE(a_driver_fault_is_over_after_one_clean_probe_that_began_behind_it),
		CASE(a_hardware_fault_wants_three_clean_probes_in_a_row),
		CASE(a_hardware_fault_waits_for_the_recovery_action_to_be_done),
		CASE(a_driver_that_tells_no_recovery_action_is_judged_by_the_rest),
		CASE(a_gpu_waits_for_its_fabric_unless_mig_is_on),
		CASE(a_fresh_ailment_is_probed_at_once_an_old_one_at_leisure),
		CASE(row_remapping_that_waits_or_failed_takes_its_gpu),
		CASE(a_lost_gpu_is_ill_and_its_silence_is_no_clean_probe_of_its_slices),
		CASE(a_device_that_flaps_stays_down_until_told_to_look_again),
		CASE(faults_that_are_far_apart_are_no_flapping),
		CASE(repeated_reports_of_one_fault_are_one_fall),
		CASE(an_ailment_goes_with_its_slice_and_with_its_gpu),
		CASE(what_is_over_and_told_is_forgotten_when_its_falls_have_no_weight),
		CASE(a_worse_fault_takes_over),
		cmocka_unit_test(disabled_and_enabled_xids_have_nvidias_documented_meaning),
		CASE(with_all_disabled_nothing_else_is_checked_either),
		cmocka_unit_test(a_word_that_is_no_xid_is_named_and_the_others_count),
		CASE(lives_with_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
