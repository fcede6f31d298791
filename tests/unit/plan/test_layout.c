/* The layout of one GPU: equal to brute force, for every layout and every wanted set. */
#include "kftest.h"
#include "plan/plan.h"
#include "shapes.h"
#include "versus.h"

static void check(const char *product, const char *profiles, unsigned samples)
{
	struct versus v = versus_layouts(product, profiles, samples, 0);

	versus_print(product, samples ? "nothing held, and seeded samples" : "nothing held", &v);
	assert_true(v.cases > 0);
	assert_int_equal(v.mismatches, 0);
}

static void equals_brute_force_on_eight_units(void **state)
{
	check("a100-40", NULL, 1);
}

/* Engines differ from Ampere's. */
static void equals_brute_force_on_eight_units_of_hopper(void **state)
{
	check("h200", NULL, 0);
}

/* Drivers before R470 list no +me, those before R525 no double-memory 1g. */
static void equals_brute_force_with_the_profiles_of_older_drivers(void **state)
{
	check("a100-40", "1g 2g 3g 4g 7g", 8);
	check("a100-40", "1g 2g 3g 4g 7g 1g2", 8);
	check("a30", "1g 2g 4g", 8);
	check("rtx6000", "1g 2g 4g", 8);
}

static void equals_brute_force_on_four_units(void **state)
{
	check("a30", NULL, 8);
}

static void equals_brute_force_on_twelve_units(void **state)
{
	check("rtx6000", NULL, 1);
}

static void refuses_a_set_that_no_layout_holds(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	struct kf_geometry now = {0}, goal = {.n = 99};
	uint8_t want[KF_MAX_PROFILES] = {0};
	uint32_t keep = 99;

	want[shape_profile(a100, "3g.20gb")] = 2;
	want[shape_profile(a100, "1g.5gb")] = 1;
	assert_int_equal(kf_plan_layout(a100, &now, 0, want, &goal, &keep), -1);
	want[shape_profile(a100, "3g.20gb")] = 0;
	want[shape_profile(a100, "1g.5gb")] = 8;
	assert_int_equal(kf_plan_layout(a100, &now, 0, want, &goal, &keep), -1);
	assert_int_equal(goal.n, 99);
	assert_int_equal(keep, 99);
}

/* A table from a driver gone mad must not be walked past its end. */
static void survives_a_shape_that_makes_no_sense(void **state)
{
	struct kf_shape shape = shape_of("a100-40")->shape;
	struct kf_geometry now = {0}, goal;
	uint8_t want[KF_MAX_PROFILES] = {1};
	uint32_t keep;

	shape.profile[0].size = 0;
	assert_int_equal(kf_plan_layout(&shape, &now, 0, want, &goal, &keep), -1);
	shape.profile[0].size = 40;
	assert_int_equal(kf_plan_layout(&shape, &now, 0, want, &goal, &keep), -1);
	shape.profile[0].size = 2;
	shape.profile[0].starts = 0xFFFFFFFF;
	assert_int_equal(kf_plan_layout(&shape, &now, 0, want, &goal, &keep), 0);
	shape.units = 32;
	assert_int_equal(kf_plan_layout(&shape, &now, 0, want, &goal, &keep), -1);
	shape.units = 0;
	assert_int_equal(kf_plan_layout(&shape, &now, 0, want, &goal, &keep), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_brute_force_on_eight_units),
		cmocka_unit_test(equals_brute_force_on_eight_units_of_hopper),
		cmocka_unit_test(equals_brute_force_with_the_profiles_of_older_drivers),
		cmocka_unit_test(equals_brute_force_on_four_units),
		cmocka_unit_test(equals_brute_force_on_twelve_units),
		cmocka_unit_test(refuses_a_set_that_no_layout_holds),
		cmocka_unit_test(survives_a_shape_that_makes_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
