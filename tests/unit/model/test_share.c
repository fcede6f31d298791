/* How devices are sold: which rule speaks of which device, ids, names. */
#include <string.h>

#include "kftest.h"

#include "model/share.h"

#define GPU "nvidia.com/gpu"

static struct kf_sharing *rules(void)
{
	struct kf_sharing *s = kf_sharing_new();

	assert_non_null(s);
	return s;
}

static struct kf_share_rule *add(struct kf_sharing *s, const char *resource, unsigned replicas)
{
	struct kf_share_rule *r = kf_sharing_add(s);

	assert_non_null(r);
	strcpy(r->resource, resource);
	strcpy(r->name, resource);
	r->replicas = replicas;
	return r;
}

static void pick(struct kf_share_rule *r, const char *device)
{
	struct kf_share_pick *p = kf_share_rule_add(r);

	assert_non_null(p);
	assert_int_equal(kf_share_pick_parse(device, p), 0);
}

static unsigned replicas(const struct kf_sharing *s, struct kf_share_device d)
{
	const struct kf_share_rule *r = kf_share_of(s, &d);

	return r ? r->replicas : 0;
}

static void a_rule_without_devices_speaks_of_all_of_its_resource(void **state)
{
	kf_auto(kf_sharing_freep) struct kf_sharing *s = rules();

	(void)state;
	add(s, GPU, 10);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "GPU-a", 0, KF_NONE, 0}), 10);
	assert_int_equal(
		replicas(s, (struct kf_share_device){"nvidia.com/mig-1g.5gb", "MIG-a", 0, 0, 0}),
		0);
	assert_int_equal(replicas(NULL, (struct kf_share_device){GPU, "GPU-a", 0, KF_NONE, 0}), 0);
}

static void a_rule_with_devices_leaves_the_others_whole(void **state)
{
	kf_auto(kf_sharing_freep) struct kf_sharing *s = rules();
	struct kf_share_rule *r = add(s, GPU, 4);

	(void)state;
	pick(r, "1");
	pick(r, "2:0");
	pick(r, "GPU-00000000-0000-0000-0000-000000000003");
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "GPU-a", 0, KF_NONE, 0}), 0);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "GPU-b", 1, KF_NONE, 1}), 4);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "MIG-b", 1, 0, 1}), 0);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "MIG-c", 2, 0, 2}), 4);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "MIG-c", 2, 1, 3}), 0);
	assert_int_equal(
		replicas(s,
			 (struct kf_share_device){GPU, "GPU-00000000-0000-0000-0000-000000000003",
						  3, KF_NONE, 4}),
		4);
}

static void a_count_means_the_first_devices(void **state)
{
	kf_auto(kf_sharing_freep) struct kf_sharing *s = rules();

	(void)state;
	add(s, GPU, 3)->first = 2;
	add(s, GPU, 7);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "GPU-a", 0, KF_NONE, 1}), 3);
	assert_int_equal(replicas(s, (struct kf_share_device){GPU, "GPU-a", 0, KF_NONE, 2}), 7);
}

static void the_first_naming_that_matches_counts(void **state)
{
	kf_auto(kf_sharing_freep) struct kf_sharing *s = rules();
	struct kf_share_naming *n = kf_sharing_add_naming(s);

	(void)state;
	*n = (struct kf_share_naming){.pattern = "*A100*", .name = "nvidia.com/a100"};
	n = kf_sharing_add_naming(s);
	*n = (struct kf_share_naming){.mig = 1, .pattern = "1g.*", .name = "nvidia.com/small"};
	assert_string_equal(kf_share_naming(s, 0, "NVIDIA A100-SXM4-40GB"), "nvidia.com/a100");
	assert_null(kf_share_naming(s, 1, "NVIDIA A100-SXM4-40GB"));
	assert_string_equal(kf_share_naming(s, 1, "1g.5gb+me"), "nvidia.com/small");
	assert_null(kf_share_naming(s, 0, "Tesla T4"));
}

static void a_star_stands_for_any_text(void **state)
{
	static const struct {
		const char *pattern, *s;
		int matches;
	} at[] = {
		{"*", "", 1},
		{"*", "a", 1},
		{"", "", 1},
		{"", "a", 0},
		{"a*c", "abbc", 1},
		{"a*c", "abbcd", 0},
		{"*ab*ab", "abab", 1},
		{"*ab*ab", "xab", 0},
		{"a.c", "abc", 0},
		{"a*", "ba", 0},
		{"*b", "abab", 1},
		{"**", "x", 1},
		{"a*b*c", "aXbYbZc", 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (kf_share_glob(at[i].pattern, at[i].s) != at[i].matches)
			fail_msg("'%s' against '%s'", at[i].pattern, at[i].s);
}

static void an_id_is_its_device_and_a_replica(void **state)
{
	char id[KF_UUID];

	(void)state;
	kf_share_device_id("GPU-a::12", id);
	assert_string_equal(id, "GPU-a");
	kf_share_device_id("MIG-GPU-a/3/0", id);
	assert_string_equal(id, "MIG-GPU-a/3/0");
	assert_int_equal(kf_share_replica("GPU-a::12"), 12);
	assert_int_equal(kf_share_replica("GPU-a"), -1);
	assert_int_equal(kf_share_replica("GPU-a::"), -1);
	assert_int_equal(kf_share_replica("GPU-a::x"), -1);
	assert_true(kf_share_same_device("GPU-a::1", "GPU-a"));
	assert_false(kf_share_same_device("GPU-a::1", "GPU-ab::1"));
}

static void a_device_is_named_in_the_forms_of_nvidia(void **state)
{
	static const char *const bad[] = {"",	  "-1",	   "0:",	  ":0",		"0:1:2",
					  "GPU-", "gpu-1", "GPU0",	  "MIG-xyz12",	"0x1",
					  "1.5",  "all",   "99999999999", "GPU-0123::1"};
	struct kf_share_pick p;
	size_t i;

	(void)state;
	assert_int_equal(kf_share_pick_parse("3", &p), 0);
	assert_int_equal(p.by, KF_SHARE_BY_GPU);
	assert_int_equal(p.gpu, 3);
	assert_int_equal(kf_share_pick_parse("3:11", &p), 0);
	assert_int_equal(p.by, KF_SHARE_BY_SLICE);
	assert_int_equal(p.slice, 11);
	assert_int_equal(kf_share_pick_parse("MIG-GPU-0123-45/3/0", &p), 0);
	assert_string_equal(p.uuid, "MIG-GPU-0123-45/3/0");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (kf_share_pick_parse(bad[i], &p) == 0)
			fail_msg("'%s' names no device", bad[i]);
}

static void the_first_entry_that_names_a_gpu_has_its_time_slice(void **state)
{
	kf_auto(kf_sharing_freep) struct kf_sharing *s = kf_sharing_new();
	struct kf_share_timing *t;

	(void)state;
	assert_int_equal(kf_share_time_slice(NULL, 0, "GPU-a"), KF_SLICE_DEFAULT);
	assert_int_equal(kf_share_time_slice(s, 0, "GPU-a"), KF_SLICE_DEFAULT);
	s->time_slice = KF_SLICE_MEDIUM;
	t = kf_sharing_add_timing(s);
	*t = (struct kf_share_timing){.gpu = {.by = KF_SHARE_BY_GPU, .gpu = 2},
				      .length = KF_SLICE_LONG};
	t = kf_sharing_add_timing(s);
	*t = (struct kf_share_timing){.gpu = {.by = KF_SHARE_BY_UUID, .uuid = "GPU-c"},
				      .length = KF_SLICE_SHORT};
	assert_int_equal(kf_share_time_slice(s, 0, "GPU-a"), KF_SLICE_MEDIUM);
	assert_int_equal(kf_share_time_slice(s, 2, "GPU-c"), KF_SLICE_LONG);
	assert_int_equal(kf_share_time_slice(s, 3, "GPU-c"), KF_SLICE_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_without_devices_speaks_of_all_of_its_resource),
		cmocka_unit_test(a_rule_with_devices_leaves_the_others_whole),
		cmocka_unit_test(a_count_means_the_first_devices),
		cmocka_unit_test(the_first_naming_that_matches_counts),
		cmocka_unit_test(a_star_stands_for_any_text),
		cmocka_unit_test(an_id_is_its_device_and_a_replica),
		cmocka_unit_test(a_device_is_named_in_the_forms_of_nvidia),
		cmocka_unit_test(the_first_entry_that_names_a_gpu_has_its_time_slice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
