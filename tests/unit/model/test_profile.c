/* Names, memory figures and the matching of profiles, on the products' own tables. */
#include <string.h>

#include "kftest.h"
#include "model/profile.h"
#include "shapes.h"

static void names_the_memory_of_every_product_as_nvidia_does(void **state)
{
	const struct shape_entry *e;
	unsigned i, p;

	for (i = 0; (e = shape_at(i)); i++)
		for (p = 0; p < e->shape.n; p++) {
			const struct kf_profile *profile = &e->shape.profile[p];

			if (kf_profile_gb(profile->memory_mib, e->total_mib) != profile->gb)
				fail_msg("%s %s: %u", e->product, profile->name,
					 kf_profile_gb(profile->memory_mib, e->total_mib));
		}
}

/* Figures of products that have no table of their own in shapes.c. */
static void names_the_memory_of_other_products(void **state)
{
	static const struct {
		uint64_t instance, total;
		unsigned gb;
	} cases[] = {
		{4864, 40536, 5},    {20096, 40536, 20},  /* A100-40 under R450 */
		{22784, 97871, 24},  {46592, 97871, 48},  /* GH200-96 */
		{46592, 189471, 47}, {22528, 189471, 23}, /* GB200 */
		{20992, 183359, 23},			  /* B200 with early firmware: 20.50 GiB */
		{17920, 147456, 18}, {36096, 147456, 36}, /* GH200-144 */
		{0, 40960, 0},	     {4864, 0, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (kf_profile_gb(cases[i].instance, cases[i].total) != cases[i].gb)
			fail_msg("%llu of %llu MiB: %u, not %u",
				 (unsigned long long)cases[i].instance,
				 (unsigned long long)cases[i].total,
				 kf_profile_gb(cases[i].instance, cases[i].total), cases[i].gb);
}

static void reads_every_name_it_writes(void **state)
{
	const struct shape_entry *e;
	unsigned i, p;

	for (i = 0; (e = shape_at(i)); i++)
		for (p = 0; p < e->shape.n; p++) {
			struct kf_profile_name name;

			assert_int_equal(kf_profile_name_parse(e->shape.profile[p].name, &name), 0);
			assert_int_equal(name.c, 0);
			assert_int_equal(kf_shape_find(&e->shape, &name), p);
		}
}

static void takes_names_apart(void **state)
{
	static const struct {
		const char *s;
		unsigned c, g, gb;
		const char *attr;
	} cases[] = {
		{"1g.5gb", 0, 1, 5, ""},
		{"7g.141gb", 0, 7, 141, ""},
		{"1c.3g.20gb", 1, 3, 20, ""},
		{"1g.5gb+me", 0, 1, 5, "+me"},
		{"1g.5gb.me", 0, 1, 5, "+me"},
		{"1g.24gb-me", 0, 1, 24, "-me"},
		{"1g.24gb+me.all", 0, 1, 24, "+me.all"},
		{"1g.24gb.me.all", 0, 1, 24, "+me.all"},
		{"1c.2g.48gb+gfx", 1, 2, 48, "+gfx"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kf_profile_name name;

		if (kf_profile_name_parse(cases[i].s, &name) < 0)
			fail_msg("refused %s", cases[i].s);
		assert_int_equal(name.c, cases[i].c);
		assert_int_equal(name.g, cases[i].g);
		assert_int_equal(name.gb, cases[i].gb);
		assert_string_equal(name.attr, cases[i].attr);
	}
}

static void refuses_what_is_no_name(void **state)
{
	static const char *const cases[] = {
		"",
		"g.5gb",
		"1g",
		"1g.5",
		"1g.gb",
		"0g.5gb",
		"0c.1g.5gb",
		"1g.5gb ",
		" 1g.5gb",
		"1g.5gb+",
		"1g.5gb+you",
		"1g.5gb+ME",
		"1g.5gb..me",
		"1g.5gb+me+",
		"-1g.5gb",
		"1c.1c.1g.5gb",
		"1234567g.5gb",
		"1g.1234567gb",
		"1g.5gb+me.all.",
		"1g.5GB",
		"1g.5gb.gfx.all",
		"all",
		"1g.5gb+me,gfx",
		"c.1g.5gb",
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kf_profile_name name = {.g = 77};

		if (kf_profile_name_parse(cases[i], &name) != -1)
			fail_msg("took %s", cases[i]);
		assert_int_equal(name.g, 77);
	}
}

static int find(const struct kf_shape *shape, const char *s)
{
	struct kf_profile_name name;

	assert_int_equal(kf_profile_name_parse(s, &name), 0);
	return kf_shape_find(shape, &name);
}

static void finds_a_profile_under_its_older_name(void **state)
{
	const struct kf_shape *b200 = &shape_of("b200")->shape;

	assert_int_equal(find(b200, "1g.24gb"), find(b200, "1g.23gb"));
	assert_int_equal(find(b200, "1g.24gb+me"), find(b200, "1g.23gb+me"));
	assert_int_equal(find(b200, "1g.47gb"), find(b200, "1g.45gb"));
	assert_int_equal(find(&shape_of("a100-80")->shape, "3g.39gb"),
			 find(&shape_of("a100-80")->shape, "3g.40gb"));
}

static void keeps_profiles_of_other_memory_apart(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;
	const struct kf_shape *rtx = &shape_of("rtx6000")->shape;

	assert_int_equal(find(a100, "1g.5gb"), 0);
	assert_string_equal(a100->profile[find(a100, "1g.10gb")].name, "1g.10gb");
	assert_int_equal(find(a100, "1g.20gb"), -1);
	assert_int_equal(find(a100, "1g.6gb"), -1);
	assert_int_equal(find(a100, "2g.5gb"), -1);
	assert_int_equal(find(a100, "2g.10gb+me"), -1);
	assert_string_equal(rtx->profile[find(rtx, "1g.24gb.me")].name, "1g.24gb+me");
	assert_string_equal(rtx->profile[find(rtx, "1g.24gb.me.all")].name, "1g.24gb+me.all");
	assert_string_equal(rtx->profile[find(rtx, "1g.24gb-me")].name, "1g.24gb-me");
}

static void finds_a_profile_by_the_drivers_id(void **state)
{
	const struct kf_shape *a100 = &shape_of("a100-40")->shape;

	assert_string_equal(a100->profile[kf_shape_by_id(a100, 19)].name, "1g.5gb");
	assert_string_equal(a100->profile[kf_shape_by_id(a100, 0)].name, "7g.40gb");
	assert_int_equal(kf_shape_by_id(a100, 4), -1);
}

static void names_resources_as_nvidia_does(void **state)
{
	char out[KF_PROFILE_NAME + 4], small[6];

	kf_profile_resource("1g.5gb", out, sizeof(out));
	assert_string_equal(out, "mig-1g.5gb");
	kf_profile_resource("1g.5gb+me", out, sizeof(out));
	assert_string_equal(out, "mig-1g.5gb.me");
	kf_profile_resource("1c.2g.48gb+me.all", out, sizeof(out));
	assert_string_equal(out, "mig-1c.2g.48gb.me.all");
	kf_profile_resource("1g.24gb-me", out, sizeof(out));
	assert_string_equal(out, "mig-1g.24gb-me");
	kf_profile_resource("1g.24gb+gfx", small, sizeof(small));
	assert_int_equal(small[5], '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_memory_of_every_product_as_nvidia_does),
		cmocka_unit_test(names_the_memory_of_other_products),
		cmocka_unit_test(reads_every_name_it_writes),
		cmocka_unit_test(takes_names_apart),
		cmocka_unit_test(refuses_what_is_no_name),
		cmocka_unit_test(finds_a_profile_under_its_older_name),
		cmocka_unit_test(keeps_profiles_of_other_memory_apart),
		cmocka_unit_test(finds_a_profile_by_the_drivers_id),
		cmocka_unit_test(names_resources_as_nvidia_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
