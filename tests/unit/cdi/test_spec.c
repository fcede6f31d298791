/* The CDI file, to the byte, and what happens to the one before it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cdi/spec.h"
#include "fixture.h"

/* The text with each @ROOT@ replaced. */
static char *with_root(const char *text, const char *root)
{
	struct kf_text t = {0};
	const char *at;

	for (; (at = strstr(text, "@ROOT@")); text = at + 6) {
		kf_text_addn(&t, text, (size_t)(at - text));
		kf_text_add(&t, root);
	}
	kf_text_add(&t, text);
	return kf_text_take(&t);
}

static char *spec_dir(const struct fixture *f)
{
	return kf_under(f->root, "/var/run/cdi");
}

static char *spec_path(const struct fixture *f)
{
	return kf_under(f->root, "/var/run/cdi/" KF_SPEC_FILE);
}

static int write_spec(struct fixture *f, const struct kf_holds *holds, struct kf_error *err)
{
	char *dir = spec_dir(f);
	int r = kf_spec_write(dir, &f->view, holds, NULL, err);

	free(dir);
	return r;
}

static json_t *load_spec(struct fixture *f)
{
	char *path = spec_path(f);
	json_t *root = json_load_file(path, 0, NULL);

	assert_non_null(root);
	free(path);
	return root;
}

/* The edits of a device, borrowed from `root`; NULL if there is no such device. */
static const json_t *edits_of(const json_t *root, const char *name)
{
	const json_t *device;
	size_t i;

	json_array_foreach(json_object_get(root, "devices"), i,
			   device) if (!strcmp(json_string_value(json_object_get(device, "name")),
					       name)) return json_object_get(device,
									     "containerEdits");
	return NULL;
}

static void put_driver(struct fixture *f)
{
	put_devices(f);
	put_library(f, "/usr/lib/x86_64-linux-gnu/libcuda.so." DRIVER, "libcuda.so.1");
	put_library(f, "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so." DRIVER, "libnvidia-ml.so.1");
	put_text(f, "/usr/bin/nvidia-smi", "#!/bin/sh\n");
	read_files(f);
}

static void writes_the_file_to_the_byte(void **state)
{
	struct fixture *f = *state;
	char *path = spec_path(f), *golden = slurp(GOLDEN), *expected, *text;
	struct stat st;

	put_driver(f);
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	text = slurp(path);
	expected = with_root(golden, f->root);
	assert_string_equal(text, expected);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	free(path);
	free(golden);
	free(expected);
	free(text);
}

static void leaves_the_file_alone_when_nothing_changed(void **state)
{
	struct fixture *f = *state;
	char *path = spec_path(f);
	struct stat before, after;

	put_driver(f);
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(write_spec(f, NULL, NULL), KF_SPEC_SAME);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	free(path);
}

static void names_no_host_path_on_the_machine_itself(void **state)
{
	struct fixture *f = *state;
	json_t *root;

	put_driver(f);
	f->view.host_root = "";
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	root = load_spec(f);
	/* then the oldest version does, which every runtime knows */
	assert_string_equal(json_string_value(json_object_get(root, "cdiVersion")), "0.3.0");
	assert_null(json_object_get(
		json_array_get(json_object_get(edits_of(root, GPU_0), "deviceNodes"), 0),
		"hostPath"));
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(json_object_get(root, "containerEdits"),
						       "mounts"),
				       0),
			"hostPath")),
		"/usr/lib/x86_64-linux-gnu/libcuda.so." DRIVER);
	json_decref(root);
}

static void binds_plain_files_that_stand_in_for_devices(void **state)
{
	struct fixture *f = *state;
	const json_t *edits;
	char *host = kf_under(f->root, "/dev/nvidia1");
	json_t *root;

	put_text(f, "/dev/nvidia1", "");
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	root = load_spec(f);
	edits = edits_of(root, GPU_1);
	assert_null(json_object_get(edits, "deviceNodes"));
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(edits, "mounts"), 0), "hostPath")),
		host);
	json_decref(root);
	free(host);
}

static void gives_numbers_to_a_capability_node_that_is_not_there_yet(void **state)
{
	struct fixture *f = *state;
	const json_t *node;
	json_t *root;

	put_device(f, "/dev/nvidia0");
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	root = load_spec(f);
	node = json_array_get(json_object_get(edits_of(root, SLICE_A), "deviceNodes"), 1);
	assert_string_equal(json_string_value(json_object_get(node, "path")),
			    "/dev/nvidia-caps/nvidia-cap66");
	assert_int_equal(json_integer_value(json_object_get(node, "major")), 235);
	assert_int_equal(json_integer_value(json_object_get(node, "minor")), 66);
	json_decref(root);
}

static void hold(struct kf_holds *holds, const char *id)
{
	struct kf_hold h = {.by = KF_HOLD_POD};

	snprintf(h.id, sizeof(h.id), "%s", id);
	assert_int_equal(kf_holds_add(holds, &h), 0);
}

static void keeps_a_held_slice_that_is_gone_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct kf_holds holds = {0};
	json_t *before, *after;

	put_driver(f);
	hold(&holds, SLICE_B);
	assert_int_equal(write_spec(f, &holds, NULL), 0);
	before = load_spec(f);
	f->gpu[0].n_instances = 0;
	assert_int_equal(write_spec(f, &holds, NULL), 0);
	after = load_spec(f);
	assert_null(edits_of(after, SLICE_A));
	assert_true(json_equal(edits_of(before, SLICE_B), edits_of(after, SLICE_B)));
	json_decref(before);
	json_decref(after);

	kf_holds_done(&holds);
	assert_int_equal(write_spec(f, &holds, NULL), 0);
	after = load_spec(f);
	assert_null(edits_of(after, SLICE_B));
	json_decref(after);
}

static void keeps_all_while_a_gpu_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	json_t *root;

	put_driver(f);
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	f->gpu[0].n_instances = 0;
	f->gpu[0].state = KF_GPU_LOST;
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	root = load_spec(f);
	assert_non_null(edits_of(root, GPU_0));
	assert_non_null(edits_of(root, GPU_1));
	assert_non_null(edits_of(root, SLICE_A));
	json_decref(root);
}

static void takes_over_from_nvidias_plugin(void **state)
{
	struct fixture *f = *state;
	struct kf_holds holds = {0};
	json_t *root;

	put_driver(f);
	put_text(f, "/var/run/cdi/" KF_SPEC_FILE,
		 "{\"cdiVersion\":\"0.7.0\",\"kind\":\"" KF_SPEC_KIND "\",\"devices\":["
		 "{\"name\":\"MIG-old\",\"containerEdits\":{\"additionalGids\":[44]}},"
		 "{\"name\":\"MIG-older\",\"containerEdits\":{\"additionalGids\":[44]}}],"
		 "\"containerEdits\":{\"env\":[\"A=b\"]}}");
	hold(&holds, "MIG-old");
	assert_int_equal(write_spec(f, &holds, NULL), 0);
	root = load_spec(f);
	assert_non_null(edits_of(root, "MIG-old"));
	assert_null(edits_of(root, "MIG-older"));
	/* additionalGids need the version that file declared */
	assert_string_equal(json_string_value(json_object_get(root, "cdiVersion")), "0.7.0");
	json_decref(root);
	kf_holds_done(&holds);
}

static void sets_a_file_aside_that_is_none_of_ours(void **state)
{
	static const char *const texts[] = {
		"",
		"nonsense",
		"[]",
		"{}",
		"{\"cdiVersion\":\"0.5.0\",\"kind\":\"other/gpu\",\"devices\":[]}",
		"{\"cdiVersion\":\"five\",\"kind\":\"" KF_SPEC_KIND "\",\"devices\":[]}",
		"{\"cdiVersion\":\"0.5.0\",\"kind\":\"" KF_SPEC_KIND "\",\"devices\":[]}",
		"{\"cdiVersion\":\"0.5.0\",\"kind\":\"" KF_SPEC_KIND "\",\"devices\":[7]}",
		"{\"cdiVersion\":\"0.5.0\",\"kind\":\"" KF_SPEC_KIND
		"\",\"devices\":[{\"name\":\"a\",\"containerEdits\":{}}]}",
	};
	struct fixture *f = *state;
	size_t i;

	put_driver(f);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct kf_error err = {0};
		char *bad = kf_under(f->root, "/var/run/cdi/" KF_SPEC_FILE ".bad"), *text;
		json_t *root;

		put_text(f, "/var/run/cdi/" KF_SPEC_FILE, texts[i]);
		assert_int_equal(write_spec(f, NULL, &err), KF_SPEC_REPLACED);
		assert_non_null(strstr(err.msg, KF_SPEC_FILE));
		text = slurp(bad);
		assert_string_equal(text, texts[i]);
		root = load_spec(f);
		assert_non_null(edits_of(root, SLICE_A));
		json_decref(root);
		free(text);
		free(bad);
	}
}

static void removes_the_file_when_there_is_nothing_to_name(void **state)
{
	struct fixture *f = *state;
	char *path = spec_path(f);

	put_driver(f);
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	f->node.n_gpus = 0;
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(write_spec(f, NULL, NULL), KF_SPEC_SAME);
	free(path);
}

static void names_devices_by_index_too_where_asked(void **state)
{
	struct fixture *f = *state;
	struct kf_spec_options opt = {.index_names = 1};
	char *dir = spec_dir(f);
	json_t *root;

	put_driver(f);
	f->view.host_root = "";
	assert_int_equal(kf_spec_write(dir, &f->view, NULL, &opt, NULL), 0);
	root = load_spec(f);
	assert_true(json_equal(edits_of(root, "0:1"), edits_of(root, SLICE_B)));
	assert_true(json_equal(edits_of(root, "1"), edits_of(root, GPU_1)));
	assert_string_equal(json_string_value(json_object_get(root, "cdiVersion")), "0.5.0");
	json_decref(root);
	free(dir);
}

static void leaves_out_a_slice_without_capability_and_says_so(void **state)
{
	struct fixture *f = *state;
	struct kf_error err = {0};
	json_t *root;

	put_driver(f);
	f->caps.ci[0][9][0] = 0;
	assert_int_equal(write_spec(f, NULL, &err), KF_SPEC_PARTIAL);
	assert_non_null(strstr(err.msg, SLICE_B));
	root = load_spec(f);
	assert_non_null(edits_of(root, SLICE_A));
	assert_null(edits_of(root, SLICE_B));
	json_decref(root);
}

static void *failing_malloc(size_t n)
{
	return kf_calloc(1, n);
}

static void says_so_when_memory_runs_out(void **state)
{
	struct fixture *f = *state;
	char *path = spec_path(f), *before, *whole;
	unsigned n_refused = 0;

	put_driver(f);
	assert_int_equal(write_spec(f, NULL, NULL), 0);
	before = slurp(path);
	f->gpu[1].minor = 5;
	assert_int_equal(kf_spec_text(&f->view, NULL, NULL, before, strlen(before), &whole, NULL),
			 0);
	json_set_alloc_funcs(failing_malloc, free);
	KF_FOR_EACH_OOM
	{
		struct kf_error err = {0};
		char *text = NULL;
		int r = kf_spec_text(&f->view, NULL, NULL, before, strlen(before), &text, &err);

		/* jansson gets over some failures by itself, and may call others bad input */
		if (r == 0) {
			assert_string_equal(text, whole);
		} else {
			assert_true(kf_alloc_failed());
			assert_int_equal(r, -1);
			assert_true(err.code != KF_E_NONE);
			assert_null(text);
			n_refused++;
		}
		free(text);
	}
	assert_true(n_refused > 100);
	json_set_alloc_funcs(malloc, free);
	free(before);
	free(whole);
	free(path);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(writes_the_file_to_the_byte),
		WITH_ROOT(leaves_the_file_alone_when_nothing_changed),
		WITH_ROOT(names_no_host_path_on_the_machine_itself),
		WITH_ROOT(binds_plain_files_that_stand_in_for_devices),
		WITH_ROOT(gives_numbers_to_a_capability_node_that_is_not_there_yet),
		WITH_ROOT(keeps_a_held_slice_that_is_gone_as_it_was),
		WITH_ROOT(keeps_all_while_a_gpu_cannot_be_read),
		WITH_ROOT(takes_over_from_nvidias_plugin),
		WITH_ROOT(sets_a_file_aside_that_is_none_of_ours),
		WITH_ROOT(removes_the_file_when_there_is_nothing_to_name),
		WITH_ROOT(names_devices_by_index_too_where_asked),
		WITH_ROOT(leaves_out_a_slice_without_capability_and_says_so),
		WITH_ROOT(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
