/* What is ours on a Node, and what has to change there. */
#include <string.h>

#include "base/error.h"
#include "kftest.h"
#include "labels/labels.h"

static void leaves_alone_what_others_write(void **state)
{
	static const char *const theirs[] = {
		"nvidia.com/gpu.present",
		"nvidia.com/gpu.deploy.device-plugin",
		"nvidia.com/gpu.deploy.count",
		"nvidia.com/gpu.workload.config",
		"nvidia.com/gpu.imex-domain",
		"nvidia.com/mig.config",
		"nvidia.com/mig.config.state",
		"nvidia.com/device-plugin.config",
		"nvidia.com/gpu",
		"nvidia.com/gpux.count",
		"nvidia.com/count",
		"nvidia.com/.count",
		"nvidia.com/mig-.count",
		"nvidia.com/mig-big.count",
		"nvidia.com/mig-1g.5gb",
		"nvidia.com/mig-1g.5gb.colour",
		"nvidia.com/mig-1g.5gb-a-name-much-longer-than-any-profile.count",
		"gpu.count",
		"amd.com/gpu.count",
		"kubernetes.io/hostname",
		"",
	};
	size_t i;

	for (i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
		if (kf_label_is_ours(theirs[i]))
			fail_msg("\"%s\" is somebody else's", theirs[i]);
}

static void knows_the_slices_of_any_profile(void **state)
{
	assert_true(kf_label_is_ours("nvidia.com/mig-1g.5gb.count"));
	assert_true(kf_label_is_ours("nvidia.com/mig-1g.24gb.me.all.engines.copy"));
	assert_true(kf_label_is_ours("nvidia.com/mig-1g.24gb-me.product"));
	assert_true(kf_label_is_ours("nvidia.com/mig-1c.3g.20gb.sharing-strategy"));
	assert_true(kf_label_is_ours("nvidia.com/gpu.slices.gi"));
	assert_true(kf_label_is_ours("nvidia.com/cuda.driver.rev"));
}

static void changes_what_differs_and_drops_what_is_stale(void **state)
{
	struct kf_labels have = {0}, want = {0}, set, drop;
	struct kf_error err = {0};

	kf_labels_set(&have, "nvidia.com/gpu.count", "8");
	kf_labels_set(&have, "nvidia.com/gpu.present", "true");
	kf_labels_set(&have, "nvidia.com/mig-1g.5gb.count", "7");
	kf_labels_set(&have, "nvidia.com/mig.config", "all-1g.5gb");
	kf_labels_set(&have, "nvidia.com/gpu.machine", "p4d.24xlarge");
	kf_labels_set(&want, "nvidia.com/gpu.machine", "p4d.24xlarge");
	kf_labels_set(&want, "nvidia.com/gpu.count", "7");
	kf_labels_set(&want, "nvidia.com/gpu.sharing-strategy", "");
	assert_int_equal(kf_labels_diff(&have, &want, &set, &drop, &err), 0);
	assert_int_equal(set.n, 2);
	assert_string_equal(kf_labels_get(&set, "nvidia.com/gpu.count"), "7");
	assert_string_equal(kf_labels_get(&set, "nvidia.com/gpu.sharing-strategy"), "");
	assert_int_equal(drop.n, 1);
	assert_string_equal(drop.label[0].key, "nvidia.com/mig-1g.5gb.count");
	kf_labels_done(&set);
	kf_labels_done(&drop);
	assert_int_equal(kf_labels_diff(&want, &want, &set, &drop, &err), 0);
	assert_int_equal(set.n + drop.n, 0);
	kf_labels_done(&have);
	kf_labels_done(&want);
}

static void removes_all_of_ours_when_it_goes(void **state)
{
	struct kf_labels have = {0}, want = {0}, set, drop;
	struct kf_error err = {0};

	kf_labels_set(&have, "nvidia.com/gpu.count", "8");
	kf_labels_set(&have, "nvidia.com/gfd.timestamp", "1");
	kf_labels_set(&have, "nvidia.com/gpu.present", "true");
	assert_int_equal(kf_labels_diff(&have, &want, &set, &drop, &err), 0);
	assert_int_equal(set.n, 0);
	assert_int_equal(drop.n, 2);
	kf_labels_done(&drop);
	kf_labels_done(&have);
}

static void keeps_the_list_sorted_and_each_key_once(void **state)
{
	struct kf_labels l = {0};

	kf_labels_set(&l, "b", "1");
	kf_labels_set(&l, "c", "2");
	kf_labels_set(&l, "a", "3");
	kf_labels_set(&l, "b", "4");
	assert_int_equal(l.n, 3);
	assert_string_equal(l.label[0].key, "a");
	assert_string_equal(l.label[1].value, "4");
	assert_string_equal(l.label[2].key, "c");
	assert_null(kf_labels_get(&l, "d"));
	kf_labels_done(&l);
}

static void says_when_there_is_no_memory(void **state)
{
	struct kf_labels have = {0}, want = {0}, set, drop;
	struct kf_error err = {0};

	kf_labels_set(&have, "nvidia.com/gpu.count", "8");
	kf_labels_set(&want, "nvidia.com/gpu.memory", "1");
	KF_FOR_EACH_OOM
	{
		int r = kf_labels_diff(&have, &want, &set, &drop, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		if (r < 0)
			assert_int_equal(err.code, KF_E_NOMEM);
		kf_labels_done(&set);
		kf_labels_done(&drop);
	}
	kf_labels_done(&have);
	kf_labels_done(&want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_alone_what_others_write),
		cmocka_unit_test(knows_the_slices_of_any_profile),
		cmocka_unit_test(changes_what_differs_and_drops_what_is_stale),
		cmocka_unit_test(removes_all_of_ours_when_it_goes),
		cmocka_unit_test(keeps_the_list_sorted_and_each_key_once),
		cmocka_unit_test(says_when_there_is_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
