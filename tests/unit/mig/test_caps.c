/* Capability minors and nodes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"
#include "mig/caps.h"

static char root[64];

static int make_root(void **state)
{
	strcpy(root, "/tmp/kerf-caps-XXXXXX");
	assert_non_null(mkdtemp(root));
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void put(const char *dir, const char *name, const char *text)
{
	char *full = kf_under(root, dir), *path = kf_asprintf("%s/%s", full, name);

	assert_int_equal(kf_make_dirs(full, 0755, NULL), 0);
	assert_int_equal(kf_write_file(path, text, strlen(text), 0644, 0, NULL), 0);
	free(full);
	free(path);
}

static void follows_the_formula_without_mig_minors(void **state)
{
	struct kf_caps caps;

	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(caps.listed, 0);
	/* the figures of NVIDIA's MIG guide, nvml-mig-mps.md 3 */
	assert_int_equal(kf_caps_gi_minor(&caps, 0, 1), 12);
	assert_int_equal(kf_caps_ci_minor(&caps, 0, 1, 0), 13);
	assert_int_equal(kf_caps_ci_minor(&caps, 0, 1, 2), 15);
	assert_int_equal(kf_caps_ci_minor(&caps, 31, 14, 6), 4321);
	assert_int_equal(kf_caps_ci_minor(&caps, 31, 14, 7), 4322);
	assert_int_equal(caps.caps_major, -1);
	assert_int_equal(caps.uvm_major, -1);
}

static void believes_mig_minors_before_the_formula(void **state)
{
	struct kf_caps caps;

	put("/proc/driver/nvidia-caps", "mig-minors",
	    "config 1\nmonitor 2\ngpu0/gi7/access 77\ngpu0/gi7/ci0/access 78\n"
	    "gpu99/gi0/access 4000\n");
	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(caps.listed, 1);
	assert_int_equal(kf_caps_gi_minor(&caps, 0, 7), 77);
	assert_int_equal(kf_caps_ci_minor(&caps, 0, 7, 0), 78);
	assert_int_equal(kf_caps_ci_minor(&caps, 0, 7, 1), -1);
	assert_int_equal(kf_caps_gi_minor(&caps, 0, 8), -1);
}

static void answers_no_minor_past_the_table(void **state)
{
	struct kf_caps caps;

	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(kf_caps_gi_minor(&caps, 32, 0), -1);
	assert_int_equal(kf_caps_gi_minor(&caps, 0, 15), -1);
	assert_int_equal(kf_caps_ci_minor(&caps, 0, 0, 8), -1);
	assert_int_equal(kf_caps_ci_minor(&caps, KF_NONE, KF_NONE, KF_NONE), -1);
}

static void refuses_a_line_it_does_not_know_and_names_it(void **state)
{
	static const char *const lines[] = {
		"gpu0/gi0/access",	 "gpu0/gi0/access 0",
		"gpu0/gi0/access 65536", "gpu0/gi0/access 3 4",
		"gpu0/gi0/ci/access 3",	 "hello",
		"gpu-1/gi0/access x",	 "config",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[128];
		struct kf_caps caps = {0};
		struct kf_error err = {0};

		snprintf(text, sizeof(text), "config 1\n%s\n", lines[i]);
		assert_int_equal(kf_caps_parse_minors(text, &caps, &err), -1);
		assert_int_equal(err.code, KF_E_INPUT);
		assert_non_null(strstr(err.msg, "line 2"));
	}
}

static void reads_majors_of_character_devices_only(void **state)
{
	struct kf_caps caps;

	put("/proc", "devices",
	    "Character devices:\n  1 mem\n195 nvidia-frontend\n235 nvidia-caps\n"
	    "511 nvidia-uvm\n\nBlock devices:\n  8 nvidia-caps\n");
	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(caps.caps_major, 235);
	assert_int_equal(caps.uvm_major, 511);
	put("/proc", "devices", "Character devices:\n\nBlock devices:\n  8 nvidia-caps\n");
	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(caps.caps_major, -1);
}

static void says_that_a_node_is_missing_and_makes_none_unasked(void **state)
{
	char *path = kf_under(root, "/dev/nvidia-caps/nvidia-cap66");
	struct kf_caps caps;

	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_LOOK, NULL), KF_CAPS_ABSENT);
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_ASK, NULL), KF_CAPS_ABSENT);
	assert_int_equal(access(path, F_OK), -1);
	put("/dev/nvidia-caps", "nvidia-cap66", "");
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_LOOK, NULL), KF_CAPS_ABSENT);
	put("/dev/nvidia-caps", "nvidia-cap67", "");
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_LOOK, NULL), 0);
	free(path);
}

static void names_what_is_lacking_to_make_a_node(void **state)
{
	struct kf_error err = {0};
	struct kf_caps caps;

	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_MAKE, &err), -1);
	assert_non_null(strstr(err.msg, "/proc/devices"));
	assert_int_equal(kf_caps_ensure(&caps, root, 0, 99, 0, KF_CAPS_MAKE, &err), -1);
	assert_int_equal(err.code, KF_E_UNSUPPORTED);
}

static void makes_nodes_with_the_numbers_of_the_driver(void **state)
{
	char *path = kf_under(root, "/dev/nvidia-caps/nvidia-cap67");
	struct kf_error err = {0};
	struct kf_caps caps;
	struct stat st;
	int r;

	put("/proc", "devices", "Character devices:\n235 nvidia-caps\n511 nvidia-uvm\n");
	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	r = kf_caps_ensure(&caps, root, 0, 7, 0, KF_CAPS_MAKE, &err);
	if (r < 0 && err.code == KF_E_SYSTEM && err.detail == EPERM) {
		print_message("mknod is not permitted here\n");
		free(path);
		skip();
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(major(st.st_rdev), 235);
	assert_int_equal(minor(st.st_rdev), 67);
	free(path);
}

static void makes_the_nodes_that_every_program_needs(void **state)
{
	char *path = kf_under(root, "/dev/nvidia3");
	struct kf_gpu gpu[2] = {{.minor = 3}, {.minor = 4, .state = KF_GPU_LOST}};
	struct kf_node node = {.n_gpus = 2, .gpu = gpu};
	struct kf_error err = {0};
	struct kf_caps caps;
	struct stat st;
	int r;

	put("/proc", "devices", "Character devices:\n511 nvidia-uvm\n");
	assert_int_equal(kf_caps_read(root, &caps, NULL), 0);
	assert_int_equal(kf_caps_ensure_base(&caps, root, &node, KF_CAPS_LOOK, NULL),
			 KF_CAPS_ABSENT);
	r = kf_caps_ensure_base(&caps, root, &node, KF_CAPS_MAKE, &err);
	if (r < 0 && err.code == KF_E_SYSTEM && err.detail == EPERM) {
		print_message("mknod is not permitted here\n");
		free(path);
		skip();
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(major(st.st_rdev), 195);
	assert_int_equal(minor(st.st_rdev), 3);
	assert_int_equal(kf_caps_ensure_base(&caps, root, &node, KF_CAPS_LOOK, NULL), 0);
	free(path);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(follows_the_formula_without_mig_minors),
		WITH_ROOT(believes_mig_minors_before_the_formula),
		WITH_ROOT(answers_no_minor_past_the_table),
		WITH_ROOT(refuses_a_line_it_does_not_know_and_names_it),
		WITH_ROOT(reads_majors_of_character_devices_only),
		WITH_ROOT(says_that_a_node_is_missing_and_makes_none_unasked),
		WITH_ROOT(names_what_is_lacking_to_make_a_node),
		WITH_ROOT(makes_nodes_with_the_numbers_of_the_driver),
		WITH_ROOT(makes_the_nodes_that_every_program_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
