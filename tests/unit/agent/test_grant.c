/* What Allocate answers, for each way of naming devices to a runtime. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cdi/fixture.h"
#include "agent/grant.h"
#include "base/error.h"
#include "kubelet/answer.h"

static void grant(struct fixture *f, const struct kf_grant_options *opt, const char *const *ids,
		  unsigned n, struct kf_answer *ret)
{
	struct kf_error err = {0};

	assert_int_equal(kf_grant_fill(opt, &f->view, ids, n, ret, &err), 0);
}

static const struct kf_answer_device *find_device(const struct kf_answer *a, const char *path)
{
	unsigned i;

	for (i = 0; i < a->n_devices; i++)
		if (!strcmp(a->device[i].container_path, path))
			return &a->device[i];
	return NULL;
}

static const struct kf_answer_mount *find_mount(const struct kf_answer *a, const char *path)
{
	unsigned i;

	for (i = 0; i < a->n_mounts; i++)
		if (!strcmp(a->mount[i].container_path, path))
			return &a->mount[i];
	return NULL;
}

static void knows_nvidias_words(void **state)
{
	assert_int_equal(kf_grant_way("envvar"), KF_GRANT_ENVVAR);
	assert_int_equal(kf_grant_way("volume-mounts"), KF_GRANT_VOLUME_MOUNTS);
	assert_int_equal(kf_grant_way("cdi-annotations"), KF_GRANT_CDI_ANNOTATIONS);
	assert_int_equal(kf_grant_way("cdi-cri"), KF_GRANT_CDI_CRI);
	assert_int_equal(kf_grant_way("cdi"), 0);
}

static void names_cdi_devices_and_nothing_else(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_CRI, .pass_device_specs = 1};
	const char *const ids[] = {SLICE_A, GPU_1};
	struct kf_answer a = {0};

	grant(*state, &opt, ids, 2, &a);
	assert_int_equal(a.n_cdi, 2);
	assert_string_equal(a.cdi[0], "k8s.device-plugin.nvidia.com/gpu=" SLICE_A);
	assert_string_equal(a.cdi[1], "k8s.device-plugin.nvidia.com/gpu=" GPU_1);
	assert_int_equal(a.n_mounts + a.n_devices + a.n_annotations, 0);
	assert_int_equal(a.n_envs, 1);
	assert_string_equal(kf_answer_env(&a, "KERF_DEVICES"), SLICE_A "," GPU_1);
	kf_answer_done(&a);
}

static void annotates_under_a_key_of_its_own_each_time(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_ANNOTATIONS};
	const char *const ids[] = {SLICE_A, SLICE_B};
	struct kf_answer a = {0};

	grant(*state, &opt, ids, 2, &a);
	grant(*state, &opt, ids, 2, &a);
	assert_int_equal(a.n_annotations, 2);
	assert_string_equal(a.annotation[0].value, "k8s.device-plugin.nvidia.com/gpu=" SLICE_A
						   ",k8s.device-plugin.nvidia.com/gpu=" SLICE_B);
	assert_memory_equal(a.annotation[0].key, "cdi.k8s.io/nvidia-device-plugin_", 32);
	assert_int_equal(strlen(a.annotation[0].key), 32 + 36);
	assert_int_equal(a.annotation[0].key[32 + 14], '4');
	kf_answer_done(&a);
}

static void names_devices_by_environment_as_nvidias_plugin(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_ENVVAR, .gds = 1};
	const char *const ids[] = {SLICE_B, SLICE_A};
	struct kf_answer a = {0};

	grant(*state, &opt, ids, 2, &a);
	assert_string_equal(kf_answer_env(&a, "NVIDIA_VISIBLE_DEVICES"), SLICE_B "," SLICE_A);
	assert_string_equal(kf_answer_env(&a, "NVIDIA_GDS"), "enabled");
	assert_null(kf_answer_env(&a, "NVIDIA_MOFED"));
	assert_int_equal(a.n_devices, 0);
	kf_answer_done(&a);
}

static void names_devices_by_mounts_as_nvidias_plugin(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_ENVVAR | KF_GRANT_VOLUME_MOUNTS};
	const char *const ids[] = {SLICE_A};
	struct kf_answer a = {0};
	const struct kf_answer_mount *mount;

	grant(*state, &opt, ids, 1, &a);
	assert_string_equal(kf_answer_env(&a, "NVIDIA_VISIBLE_DEVICES"),
			    "/var/run/nvidia-container-devices");
	mount = find_mount(&a, "/var/run/nvidia-container-devices/" SLICE_A);
	assert_non_null(mount);
	assert_string_equal(mount->host_path, "/dev/null");
	kf_answer_done(&a);
}

static void passes_device_nodes_when_told_to(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_ENVVAR, .pass_device_specs = 1};
	const char *const ids[] = {SLICE_A, SLICE_B};
	struct fixture *f = *state;
	struct kf_answer a = {0};

	put_devices(f);
	f->view.host_root = "";
	grant(f, &opt, ids, 2, &a);
	assert_string_equal(find_device(&a, "/dev/nvidia0")->host_path, "/dev/nvidia0");
	assert_string_equal(find_device(&a, "/dev/nvidia-caps/nvidia-cap85")->permissions, "rw");
	/* three control nodes, one GPU though two slices are on it, two capabilities a slice */
	assert_int_equal(a.n_devices, 3 + 1 + 4);
	assert_int_equal(a.n_mounts, 0);
	assert_string_equal(kf_answer_env(&a, "NVIDIA_VISIBLE_DEVICES"), SLICE_A "," SLICE_B);
	kf_answer_done(&a);
}

static void gives_everything_directly_where_cdi_is_off(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_DIRECT};
	const char *const ids[] = {SLICE_A};
	struct fixture *f = *state;
	struct kf_answer a = {0};
	const struct kf_answer_mount *mount;

	put_devices(f);
	put_library(f, "/usr/lib64/libcuda.so." DRIVER, "libcuda.so.1");
	read_files(f);
	grant(f, &opt, ids, 1, &a);
	assert_int_equal(a.n_cdi, 0);
	assert_string_equal(kf_answer_env(&a, "NVIDIA_VISIBLE_DEVICES"), "void");
	assert_non_null(find_device(&a, "/dev/nvidia-caps/nvidia-cap66"));
	assert_null(find_device(&a, "/dev/nvidia-caps/nvidia-cap84"));
	mount = find_mount(&a, "/usr/lib64/libcuda.so.1");
	assert_non_null(mount);
	assert_int_equal(mount->read_only, 1);
	assert_non_null(find_mount(&a, "/usr/lib/x86_64-linux-gnu/libcuda.so.1"));
	kf_answer_done(&a);
}

static void gives_a_device_once_however_often_it_is_named(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_CRI};
	const char *const ids[] = {GPU_1 "::0", GPU_1 "::7", GPU_1};
	struct kf_answer a = {0};

	grant(*state, &opt, ids, 3, &a);
	assert_string_equal(kf_answer_env(&a, "KERF_DEVICES"), GPU_1);
	assert_int_equal(a.n_cdi, 1);
	assert_string_equal(a.cdi[0], "k8s.device-plugin.nvidia.com/gpu=" GPU_1);
	kf_answer_done(&a);
}

static void names_by_index_when_told_to(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_CRI | KF_GRANT_ENVVAR,
					     .by_index = 1};
	const char *const ids[] = {SLICE_B, GPU_1};
	struct kf_answer a = {0};

	grant(*state, &opt, ids, 2, &a);
	assert_string_equal(a.cdi[0], "k8s.device-plugin.nvidia.com/gpu=0:1");
	assert_string_equal(kf_answer_env(&a, "NVIDIA_VISIBLE_DEVICES"), "0:1,1");
	kf_answer_done(&a);
}

static void refuses_a_device_that_is_gone_and_names_it(void **state)
{
	static const char *const gone[] = {"MIG-gone", "", "::3"};
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_CRI};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < 3; i++) {
		struct kf_answer a = {0};
		struct kf_error err = {0};

		assert_int_equal(kf_grant_fill(&opt, &f->view, &gone[i], 1, &a, &err), -1);
		assert_int_equal(err.code, KF_E_STATE);
		assert_non_null(strstr(err.msg, gone[i]));
		kf_answer_done(&a);
	}
}

static void says_so_when_memory_runs_out(void **state)
{
	const struct kf_grant_options opt = {.ways = KF_GRANT_CDI_CRI | KF_GRANT_CDI_ANNOTATIONS |
						     KF_GRANT_ENVVAR | KF_GRANT_VOLUME_MOUNTS |
						     KF_GRANT_DIRECT,
					     .pass_device_specs = 1,
					     .gdrcopy = 1};
	const char *const ids[] = {SLICE_A, GPU_1};
	struct fixture *f = *state;

	put_devices(f);
	KF_FOR_EACH_OOM
	{
		struct kf_answer a = {0};
		struct kf_error err = {0};
		int r = kf_grant_fill(&opt, &f->view, ids, 2, &a, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(err.code, r ? KF_E_NOMEM : KF_E_NONE);
		kf_answer_done(&a);
	}
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_nvidias_words),
		WITH_ROOT(names_cdi_devices_and_nothing_else),
		WITH_ROOT(annotates_under_a_key_of_its_own_each_time),
		WITH_ROOT(names_devices_by_environment_as_nvidias_plugin),
		WITH_ROOT(names_devices_by_mounts_as_nvidias_plugin),
		WITH_ROOT(passes_device_nodes_when_told_to),
		WITH_ROOT(gives_everything_directly_where_cdi_is_off),
		WITH_ROOT(gives_a_device_once_however_often_it_is_named),
		WITH_ROOT(names_by_index_when_told_to),
		WITH_ROOT(refuses_a_device_that_is_gone_and_names_it),
		WITH_ROOT(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
