/* Files and paths of base/text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"

static void assert_under(const char *root, const char *expected)
{
	char *s = kf_under(root, "/dev/null");

	assert_string_equal(s, expected);
	free(s);
}

static void puts_a_path_below_a_root(void **state)
{
	assert_under(NULL, "/dev/null");
	assert_under("", "/dev/null");
	assert_under("/", "/dev/null");
	assert_under("///", "/dev/null");
	assert_under("/host", "/host/dev/null");
	assert_under("/host/", "/host/dev/null");
	assert_under("rel", "rel/dev/null");
}

static void computes_the_usual_checksum(void **state)
{
	assert_int_equal(kf_crc32("123456789", 9), 0xcbf43926);
	assert_int_equal(kf_crc32("", 0), 0);
}

static void replaces_a_file_and_sets_one_aside(void **state)
{
	char dir[] = "/tmp/kerf-file-XXXXXX", path[64], bad[64], command[64];
	struct kf_error err = {0};
	struct stat st;
	char *text;
	size_t n;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	snprintf(bad, sizeof(bad), "%s/f.bad", dir);
	assert_int_equal(kf_write_file(path, "old", 3, 0640, 1, NULL), 0);
	assert_int_equal(kf_set_aside(path, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(kf_write_file(path, "a\0b", 3, 0604, 0, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0604);
	text = kf_read_file(path, 3, &n, NULL);
	assert_int_equal(n, 3);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	assert_null(kf_read_file(path, 2, &n, &err));
	assert_int_equal(err.code, KF_E_INPUT);
	text = kf_read_file(bad, 10, NULL, NULL);
	assert_string_equal(text, "old");
	free(text);
	assert_int_equal(kf_set_aside("/tmp/kerf-no-such-file", &err), -1);
	assert_int_equal(err.detail, ENOENT);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_a_path_below_a_root),
		cmocka_unit_test(computes_the_usual_checksum),
		cmocka_unit_test(replaces_a_file_and_sets_one_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
