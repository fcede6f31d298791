/* Opening the driver library: what is there, what is missing, what it says. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"
#include "nvml/nvml.h"

/* A host root whose driver library is the one of that name beside this program. */
static char *make_root(const char *library)
{
	char path[PATH_MAX], target[PATH_MAX], self[PATH_MAX] = "";
	char *root = strdup("/tmp/kerf-nvml-XXXXXX");

	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/usr/lib64", root);
	assert_int_equal(kf_make_dirs(path, 0755, NULL), 0);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	*strrchr(self, '/') = '\0';
	snprintf(target, sizeof(target), "%.3000s/%s", self, library);
	snprintf(path, sizeof(path), "%s/usr/lib64/libnvidia-ml.so.1", root);
	assert_int_equal(symlink(target, path), 0);
	return root;
}

static void drop_root(char *root)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	assert_int_equal(system(command), 0);
	free(root);
}

static int open_one(const char *library, struct kf_nvml **nv, struct kf_error *err)
{
	char *root = make_root(library);
	int r = kf_nvml_open(root, nv, err);

	drop_root(root);
	return r;
}

static void names_the_symbol_an_old_driver_lacks(void **state)
{
	struct kf_nvml *nv = NULL;
	struct kf_error err = {0};

	assert_int_equal(open_one("libfake-lacks.so", &nv, &err), -1);
	assert_non_null(strstr(err.msg, "has no nvmlGpuInstanceDestroy"));
	assert_int_equal(err.code, KF_E_UNSUPPORTED);
	assert_null(nv);
}

static void calls_that_an_old_driver_lacks_answer_function_not_found(void **state)
{
	struct kf_nvml *nv = NULL;
	struct kf_error err = {0};
	unsigned n;

	assert_int_equal(open_one("libfake-old.so", &nv, &err), 0);
	assert_int_equal(nv->nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
	assert_int_equal(nv->nvmlDeviceGetBrand(NULL, &n), NVML_ERROR_FUNCTION_NOT_FOUND);
	assert_int_equal(nv->nvmlEventSetFree(NULL), NVML_ERROR_FUNCTION_NOT_FOUND);
	kf_nvml_close(nv);
}

static void tells_a_driver_that_is_not_loaded_from_a_failure(void **state)
{
	struct kf_nvml *nv = NULL;
	struct kf_error err = {0};

	assert_int_equal(open_one("libfake-unloaded.so", &nv, &err), KF_NVML_NO_DRIVER);
	assert_non_null(strstr(err.msg, "Driver Not Loaded (NVML 9)"));
}

static void opens_again_after_it_was_closed(void **state)
{
	struct kf_error err = {0};
	int i;

	for (i = 0; i < 3; i++) {
		struct kf_nvml *nv = NULL;

		assert_int_equal(open_one("libfake-old.so", &nv, &err), 0);
		assert_null(kf_nvml_close(nv));
	}
	assert_null(kf_nvml_close(NULL));
}

static void failures_name_what_was_tried_and_the_code(void **state)
{
	struct kf_nvml *nv = NULL;
	struct kf_error err = {0};

	assert_int_equal(open_one("libfake-old.so", &nv, &err), 0);
	assert_int_equal(kf_nvml_fail(&err, nv, NVML_ERROR_IN_USE, "turn on MIG of gpu %d", 0), -1);
	assert_string_equal(err.msg, "turn on MIG of gpu 0: In use by another client (NVML 19)");
	assert_int_equal(err.code, KF_E_DRIVER);
	assert_int_equal(err.detail, 19);
	kf_nvml_close(nv);
}

static void survives_without_memory(void **state)
{
	char *root = make_root("libfake-old.so");

	KF_FOR_EACH_OOM
	{
		struct kf_nvml *nv = NULL;
		struct kf_error err = {0};
		int r = kf_nvml_open(root, &nv, &err);

		if (kf_alloc_failed())
			assert_int_equal(err.code, KF_E_NOMEM);
		else
			assert_int_equal(r, 0);
		kf_nvml_close(nv);
	}
	drop_root(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_symbol_an_old_driver_lacks),
		cmocka_unit_test(calls_that_an_old_driver_lacks_answer_function_not_found),
		cmocka_unit_test(tells_a_driver_that_is_not_loaded_from_a_failure),
		cmocka_unit_test(opens_again_after_it_was_closed),
		cmocka_unit_test(failures_name_what_was_tried_and_the_code),
		cmocka_unit_test(survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
