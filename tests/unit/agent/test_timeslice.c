/* How long time slices are: what the driver is to be asked, and what is remembered. */
#include <string.h>
#include <unistd.h>

#include "kftest.h"

#include "agent/timeslice.h"
#include "base/text.h"

static const struct kf_error refused = {.code = KF_E_DRIVER, .msg = "Not Supported"};

static unsigned due(const struct kf_time_slices *t)
{
	unsigned set;

	return kf_time_slices_due(t, &set);
}

static void the_drivers_own_length_is_nothing_to_ask_for(void **state)
{
	struct kf_time_slices t = {0};

	(void)state;
	assert_int_equal(kf_time_slices_want(&t, "GPU-a", KF_SLICE_DEFAULT), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(due(&t), 0);
	kf_time_slices_done(&t);
}

static void each_length_is_asked_for_once(void **state)
{
	struct kf_time_slices t = {0};
	unsigned set;

	(void)state;
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT);
	kf_time_slices_want(&t, "GPU-b", KF_SLICE_LONG);
	assert_int_equal(kf_time_slices_due(&t, &set), 2);
	assert_int_equal(set, 2);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_SHORT, NULL);
	kf_time_slices_take(&t, "GPU-b", KF_SLICE_LONG, NULL);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT);
	assert_int_equal(due(&t), 0);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_DEFAULT);
	assert_int_equal(kf_time_slices_due(&t, &set), 1);
	assert_int_equal(set, 0);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_DEFAULT, NULL);
	assert_null(kf_time_slices_find(&t, "GPU-a"));
	assert_non_null(kf_time_slices_find(&t, "GPU-b"));
	kf_time_slices_done(&t);
}

static void what_was_wanted_while_the_driver_was_asked_is_due_then(void **state)
{
	struct kf_time_slices t = {0};

	(void)state;
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_MEDIUM);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_SHORT, NULL);
	assert_int_equal(due(&t), 1);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_DEFAULT);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_MEDIUM, NULL);
	assert_int_equal(due(&t), 1);
	kf_time_slices_done(&t);
}

static void a_refusal_is_kept_and_not_repeated_until_there_is_reason_to(void **state)
{
	struct kf_time_slices t = {0};

	(void)state;
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_SHORT, &refused);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT);
	assert_int_equal(due(&t), 0);
	assert_string_equal(kf_time_slices_find(&t, "GPU-a")->err.msg, "Not Supported");
	kf_time_slices_ask_again(&t);
	assert_int_equal(due(&t), 1);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_SHORT, NULL);
	assert_int_equal(kf_time_slices_find(&t, "GPU-a")->err.code, KF_E_NONE);
	kf_time_slices_done(&t);
}

static void a_default_that_cannot_be_put_back_is_still_to_be(void **state)
{
	struct kf_time_slices t = {0};

	(void)state;
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_LONG);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_LONG, NULL);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_DEFAULT);
	kf_time_slices_take(&t, "GPU-a", KF_SLICE_DEFAULT, &refused);
	assert_int_equal(due(&t), 0);
	kf_time_slices_ask_again(&t);
	assert_int_equal(due(&t), 1);
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_LONG);
	assert_int_equal(due(&t), 1);
	kf_time_slices_done(&t);
}

static char *contents(const char *dir)
{
	char path[256];
	size_t n;

	snprintf(path, sizeof(path), "%s/time-slices", dir);
	return kf_read_file(path, 4096, &n, NULL);
}

static void what_was_set_is_remembered_on_disk_and_no_more(void **state)
{
	struct kf_time_slices t = {0}, again = {0};
	char dir[] = "/tmp/kf-slices-XXXXXX", *text;
	struct kf_error err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	kf_time_slices_want(&t, "GPU-a", KF_SLICE_SHORT); /* about to be set */
	kf_time_slices_want(&t, "GPU-b", KF_SLICE_LONG);
	kf_time_slices_take(&t, "GPU-b", KF_SLICE_LONG, NULL);
	kf_time_slices_want(&t, "GPU-b", KF_SLICE_DEFAULT); /* about to be put back */
	assert_int_equal(kf_time_slices_write(&t, dir, &err), 0);
	text = contents(dir);
	assert_string_equal(text, "GPU-a short\nGPU-b long\n");
	free(text);
	assert_int_equal(kf_time_slices_read(&again, dir, &err), 0);
	assert_int_equal(again.n, 2);
	assert_int_equal(due(&again), 0);
	kf_time_slices_want(&again, "GPU-a", KF_SLICE_DEFAULT);
	assert_int_equal(due(&again), 1);
	kf_time_slices_done(&t);
	assert_int_equal(kf_time_slices_write(&t, dir, &err), 0);
	assert_null(contents(dir));
	assert_int_equal(rmdir(dir), 0);
	kf_time_slices_done(&again);
}

static void a_file_that_is_none_is_refused_whole(void **state)
{
	static const char *const bad[] = {"GPU-a", "GPU-a quick\n", "GPU-a short\nx\n",
					  "GPU-a default\n", "\001\002\003"};
	char dir[] = "/tmp/kf-slices-XXXXXX", path[64];
	struct kf_error err = {0};
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/time-slices", dir);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kf_time_slices t = {0};

		assert_int_equal(kf_write_file(path, bad[i], strlen(bad[i]), 0600, 0, &err), 0);
		assert_true(kf_time_slices_read(&t, dir, &err) < 0);
		assert_int_equal(t.n, 0);
	}
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_drivers_own_length_is_nothing_to_ask_for),
		cmocka_unit_test(each_length_is_asked_for_once),
		cmocka_unit_test(what_was_wanted_while_the_driver_was_asked_is_due_then),
		cmocka_unit_test(a_refusal_is_kept_and_not_repeated_until_there_is_reason_to),
		cmocka_unit_test(a_default_that_cannot_be_put_back_is_still_to_be),
		cmocka_unit_test(what_was_set_is_remembered_on_disk_and_no_more),
		cmocka_unit_test(a_file_that_is_none_is_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
