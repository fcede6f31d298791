/* Other programs, run to their end. */
#include <signal.h>
#include <string.h>

#include "kftest.h"

#include "base/error.h"
#include "base/own.h"
#include "base/run.h"
#include "base/text.h"

static int shell(const char *script, unsigned ms, struct kf_text *out, struct kf_error *err)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct kf_run run = {.argv = argv, .timeout_ms = ms};

	return kf_run(&run, out, err);
}

static void answers_the_exit_status_and_both_outputs(void **state)
{
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(shell("echo one; echo two >&2; exit 7", 10000, &out, &err), 7);
	assert_string_equal(out.s, "one\ntwo\n");
}

static void has_nothing_to_read(void **state)
{
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(shell("cat", 10000, &out, &err), 0);
	assert_int_equal(out.n, 0);
}

static void gives_the_environment_that_it_was_given(void **state)
{
	static const char *const argv[] = {"/bin/sh", "-c", "echo $A-$HOME", NULL};
	static const char *const env[] = {"A=b", NULL};
	struct kf_run run = {.argv = argv, .env = env, .timeout_ms = 10000};
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_run(&run, &out, &err), 0);
	assert_string_equal(out.s, "b-\n");
}

static void ends_what_takes_too_long_or_lingers_without_output(void **state)
{
	static const char *const scripts[] = {"exec sleep 60", "exec >&- 2>&-; exec sleep 60"};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		kf_auto(kf_text_done) struct kf_text out = {0};
		struct kf_error err = {0};

		assert_true(shell(scripts[i], 50, &out, &err) < 0);
		assert_int_equal(err.code, KF_E_TIMEOUT);
	}
}

static void says_what_could_not_be_started_and_what_died(void **state)
{
	static const char *const argv[] = {"/nonexistent/x", NULL};
	struct kf_run run = {.argv = argv, .timeout_ms = 1000};
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_error err = {0};

	(void)state;
	assert_true(kf_run(&run, &out, &err) < 0);
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
	assert_true(shell("kill -9 $$", 10000, &out, &err) < 0);
	assert_non_null(strstr(err.msg, "signal 9"));
}

static void keeps_64_kib_of_what_never_ends_talking(void **state)
{
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(shell("head -c 1000000 /dev/zero | tr '\\0' x", 10000, &out, &err), 0);
	assert_in_range(out.n, 64u << 10, (64u << 10) + 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_the_exit_status_and_both_outputs),
		cmocka_unit_test(has_nothing_to_read),
		cmocka_unit_test(gives_the_environment_that_it_was_given),
		cmocka_unit_test(ends_what_takes_too_long_or_lingers_without_output),
		cmocka_unit_test(says_what_could_not_be_started_and_what_died),
		cmocka_unit_test(keeps_64_kib_of_what_never_ends_talking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
