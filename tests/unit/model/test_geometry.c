/* Which layouts are legal, and where the driver would place, against NVIDIA's own figures. */
#include <stdlib.h>
#include <string.h>

#include "kftest.h"
#include "model/geometry.h"
#include "shapes.h"

struct counts {
	unsigned layouts, maximal;
};

/* Every non-empty legal set of placed instances, each once: in rising order of (profile, start). */
static void enumerate(const struct kf_shape *shape, struct kf_geometry *g, unsigned from,
		      struct counts *counts)
{
	unsigned pair;

	if (g->n) {
		counts->layouts++;
		counts->maximal += kf_geometry_creatable(shape, g) == 0;
		assert_true(kf_geometry_legal(shape, g));
	}
	for (pair = from; pair < shape->n * 32; pair++) {
		struct kf_placed p = {(uint8_t)(pair / 32), (uint8_t)(pair % 32)};

		if (!kf_geometry_fits(shape, g, p))
			continue;
		g->at[g->n++] = p;
		enumerate(shape, g, pair + 1, counts);
		g->n--;
	}
}

static void check_counts(const char *product, const char *profiles, unsigned layouts,
			 unsigned maximal)
{
	struct kf_geometry g = {0};
	struct counts counts = {0};
	struct kf_shape subset;

	shape_subset(&shape_of(product)->shape, profiles, &subset);
	enumerate(&subset, &g, 0, &counts);
	if (counts.layouts != layouts || counts.maximal != maximal)
		fail_msg("%s {%s}: %u layouts, %u maximal", product, profiles, counts.layouts,
			 counts.maximal);
}

/* nvml-mig-mps.md 1.9; the 19 are well known from NVIDIA's guide. */
static void has_as_many_layouts_as_the_driver(void **state)
{
	static const char *const parts[] = {"a100-40", "a100-80", "h100-80", "h100-94",
					    "h200",    "b200",	  NULL};
	unsigned i;

	for (i = 0; parts[i]; i++) {
		check_counts(parts[i], "1g 2g 3g 4g 7g", 297, 19);
		check_counts(parts[i], "1g 2g 3g 4g 7g 1g2", 722, 78);
		check_counts(parts[i], "1g 2g 3g 4g 7g 1g2 1g+me", 2318, 239);
	}
	check_counts("a30", "1g 2g 4g", 25, 5);
	check_counts("a30", "1g 2g 4g 1g+me 2g+me", 75, 17);
	check_counts("rtx6000", "1g 2g 4g", 25, 5);
}

/* Creates one after the other and compares where they land; "3g.20gb@-": there is no room. */
static void check_default(const char *product, const char *creates)
{
	const struct kf_shape *shape = &shape_of(product)->shape;
	char list[128], *rest = list, *name;
	struct kf_geometry g = {0};

	assert_true(strlen(creates) < sizeof(list));
	strcpy(list, creates);
	while ((name = strsep(&rest, " "))) {
		const char *at = strchr(name, '@');
		int want = at && at[1] != '-' ? atoi(at + 1) : -1, start;
		unsigned p;

		name[strcspn(name, "@")] = '\0';
		p = shape_profile(shape, name);
		start = kf_geometry_default_start(shape, &g, p);
		if (start != want)
			fail_msg("%s: %s at %d, not %d", creates, name, start, want);
		if (start >= 0)
			g.at[g.n++] = (struct kf_placed){(uint8_t)p, (uint8_t)start};
	}
}

static void places_where_nvidias_guide_says(void **state)
{
	check_default("a100-40", "1g.5gb@6 1g.5gb@4 2g.10gb@0 3g.20gb@-");
	check_default("a100-40", "3g.20gb@4 1g.5gb@0 2g.10gb@2 1g.5gb@1");
	check_default("a100-40", "2g.10gb@4 1g.5gb@6 1g.5gb@0 1g.5gb@1 1g.5gb@2 1g.5gb@3");
	check_default("a100-40", "1g.5gb@6 2g.10gb@4 4g.20gb@0");
	check_default("a100-40", "3g.20gb@4 4g.20gb@0");
	check_default("h100-80", "1g.10gb@6 1g.10gb@4 1g.10gb@5");
	check_default("a100-40", "7g.40gb@0 1g.5gb@-");
}

static int fits(const struct kf_shape *shape, const struct kf_geometry *g, const char *name,
		unsigned start)
{
	struct kf_placed p = {(uint8_t)shape_profile(shape, name), (uint8_t)start};

	return kf_geometry_fits(shape, g, p);
}

static void put(const struct kf_shape *shape, struct kf_geometry *g, const char *name,
		unsigned start)
{
	g->at[g->n++] = (struct kf_placed){(uint8_t)shape_profile(shape, name), (uint8_t)start};
}

static void refuses_a_start_that_is_not_listed(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	struct kf_geometry g = {0};

	assert_false(fits(a100, &g, "1g.5gb", 7));
	assert_false(fits(a100, &g, "2g.10gb", 1));
	assert_false(fits(a100, &g, "2g.10gb", 6));
	assert_true(fits(a100, &g, "1g.10gb", 6));
	assert_false(fits(a100, &g, "4g.20gb", 4));
}

static void refuses_two_over_one_unit(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	struct kf_geometry g = {0};

	put(a100, &g, "3g.20gb", 4);
	assert_false(fits(a100, &g, "1g.5gb", 6));
	assert_false(fits(a100, &g, "7g.40gb", 0));
	assert_true(fits(a100, &g, "1g.5gb", 3));
	put(a100, &g, "1g.5gb", 6);
	assert_false(kf_geometry_legal(a100, &g));
}

static void gives_the_only_optical_flow_engine_once(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	const struct kf_shape *a30 = &shape_of("a30")->shape;
	struct kf_geometry g = {0};

	put(a100, &g, "1g.5gb+me", 0);
	assert_false(fits(a100, &g, "1g.5gb+me", 1));
	assert_true(fits(a100, &g, "1g.5gb", 1));
	g.n = 0;
	put(a30, &g, "2g.12gb+me", 0);
	assert_false(fits(a30, &g, "1g.6gb+me", 2));
	assert_true(fits(a30, &g, "1g.6gb", 2));
}

static void lets_nothing_but_engineless_siblings_beside_me_all(void **state)
{
	const struct kf_shape *rtx = &shape_of("rtx6000")->shape;
	struct kf_geometry g = {0};

	put(rtx, &g, "1g.24gb+me.all", 0);
	assert_false(fits(rtx, &g, "1g.24gb", 3));
	assert_false(fits(rtx, &g, "2g.48gb+gfx", 6));
	assert_true(fits(rtx, &g, "1g.24gb-me", 3));
	assert_true(fits(rtx, &g, "2g.48gb-me", 6));
}

static void allows_counts_up_to_the_drivers_and_the_engines(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	uint8_t count[KF_MAX_PROFILES] = {0};

	assert_true(kf_shape_allows(a100, count));
	count[shape_profile(a100, "1g.5gb")] = 7;
	assert_true(kf_shape_allows(a100, count));
	count[shape_profile(a100, "1g.5gb")] = 8;
	assert_false(kf_shape_allows(a100, count));
	memset(count, 0, sizeof(count));
	count[shape_profile(a100, "1g.5gb+me")] = 1;
	assert_true(kf_shape_allows(a100, count));
	count[shape_profile(a100, "7g.40gb")] = 1; /* both want the one OFA */
	assert_false(kf_shape_allows(a100, count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_as_many_layouts_as_the_driver),
		cmocka_unit_test(places_where_nvidias_guide_says),
		cmocka_unit_test(refuses_a_start_that_is_not_listed),
		cmocka_unit_test(refuses_two_over_one_unit),
		cmocka_unit_test(gives_the_only_optical_flow_engine_once),
		cmocka_unit_test(lets_nothing_but_engineless_siblings_beside_me_all),
		cmocka_unit_test(allows_counts_up_to_the_drivers_and_the_engines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
