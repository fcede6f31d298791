/* YAML trees: lines, limits, aliases, questions. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"

static struct kf_yaml *read_text(const char *text)
{
	struct kf_yaml *y = NULL;
	struct kf_error err = {0};

	if (kf_yaml_parse(text, strlen(text), "f", &y, &err) < 0)
		fail_msg("%s", err.msg);
	return y;
}

static void refuses(const char *text, size_t n, const char *fragment)
{
	struct kf_yaml *y = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_yaml_parse(text, n, "f", &y, &err), -1);
	assert_null(y);
	assert_int_equal(err.code, KF_E_INPUT);
	if (!strstr(err.msg, fragment))
		fail_msg("'%s' does not say '%s'", err.msg, fragment);
}

static void knows_the_line_of_every_key(void **state)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text("# c\na:\n  b: 1\n\n  c:\n  - x\n"
							     "  - y: |\n      z\nd: ~\n");
	const struct kf_yaml_node *a = kf_yaml_get(y->root, "a"), *c = kf_yaml_get(a, "c");

	assert_int_equal(a->line, 2);
	assert_int_equal(kf_yaml_get(a, "b")->line, 3);
	assert_int_equal(c->line, 5);
	assert_int_equal(c->n, 2);
	assert_int_equal(c->first->line, 6);
	assert_int_equal(c->first->next->line, 7);
	assert_string_equal(kf_yaml_get(c->first->next, "y")->text, "z\n");
	assert_int_equal(kf_yaml_get(y->root, "d")->kind, KF_YAML_NULL);
	assert_null(kf_yaml_get(y->root, "e"));
	assert_null(kf_yaml_get(NULL, "e"));
}

static void reads_json(void **state)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text("{\"a\": [1, true,\n \"2\"]}");
	const struct kf_yaml_node *a = kf_yaml_get(y->root, "a");
	struct kf_error err = {0};
	uint64_t number;
	int yes;

	assert_int_equal(kf_yaml_uint(y, a->first, 9, &number, &err), 0);
	assert_int_equal(number, 1);
	assert_int_equal(kf_yaml_bool(y, a->first->next, &yes, &err), 0);
	assert_int_equal(yes, 1);
	assert_int_equal(kf_yaml_uint(y, a->first->next->next, 9, &number, &err), -1);
	assert_string_equal(err.msg,
			    "f:2: a: wants a number, not the string \"2\"; leave the quotes out");
}

static void follows_aliases_and_merge_keys(void **state)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text("a: &a {x: 1, y: 2}\n"
							     "b:\n  <<: *a\n  x: 3\n"
							     "c: *a\n"
							     "d:\n  <<: [*a, {z: 4}]\n");
	const struct kf_yaml_node *b = kf_yaml_get(y->root, "b"), *d = kf_yaml_get(y->root, "d");

	assert_int_equal(b->n, 2);
	assert_string_equal(kf_yaml_get(b, "x")->text, "3");
	assert_string_equal(kf_yaml_get(b, "y")->text, "2");
	assert_string_equal(kf_yaml_get(kf_yaml_get(y->root, "c"), "x")->text, "1");
	assert_int_equal(kf_yaml_get(y->root, "c")->line, 5);
	assert_int_equal(d->n, 3);
	assert_string_equal(kf_yaml_get(d, "z")->text, "4");
}

static void refuses_what_is_not_one_document_of_text(void **state)
{
	static const struct {
		const char *text;
		const char *fragment;
	} bad[] = {
		{"", "f:1: the file is empty"},
		{"# nothing\n", "is empty"},
		{"~", "is empty"},
		{"a: 1\n---\nb: 2\n", "f:2: a second document"},
		{"a: \xff\n", "f:1: this is not UTF-8"},
		{"a: 1\nb: \xc0\xaf\n", "f:2: this is not UTF-8"},
		{"a:\n\tb: 1\n", "f:2: not YAML: a tab indents this line"},
		{"a: [1\nb: 2\n",
		 "f:2: not YAML: did not find expected ',' or ']' while parsing a flow "
		 "sequence, since line 1"},
		{"a: \"1\nb: 2\n", "unexpected end of stream while scanning a quoted scalar, since "
				   "line 1"},
		{"a: \x01\n", "f:1: not YAML: control characters"},
		{"a: \"\\0\"\n", "f:1: a value holds a NUL"},
		{"a: 1\nb: 2\na: 3\n", "f:3: a: given twice, first in line 1"},
		{"? [1]\n: 2\n", "f:1: a key must be a word"},
		{"\"\": 1\n", "f:1: a key is empty"},
		{"a: *b\n", "f:1: *b: no anchor"},
		{"a: &a [*a]\n", "f:1: *a stands inside"},
		{"a: &a x\n*a : y\n", "f:2: a key must be a word, not an alias"},
		{"a: !secret x\n", "f:1: the tag !secret"},
		{"a: {<<: 3}\n", "f:1: <<: wants a map"},
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i].text, strlen(bad[i].text), bad[i].fragment);
	refuses("a: x\0y\n", 7, "f:1: this is not UTF-8");
}

/* Nine levels of nine aliases: 387 million values if it were written out. */
static void refuses_a_bomb_before_anybody_walks_it(void **state)
{
	struct kf_text t = {0};
	int i, j;

	kf_text_add(&t, "a: &a [x, x, x, x, x, x, x, x, x]\n");
	for (i = 'b'; i < 'j'; i++) {
		kf_text_addf(&t, "%c: &%c [", i, i);
		for (j = 0; j < 9; j++)
			kf_text_addf(&t, "%s*%c", j ? ", " : "", i - 1);
		kf_text_add(&t, "]\n");
	}
	refuses(t.s, t.n, "f:6: aliases expand to more than 100000 values");
	kf_text_done(&t);
}

static void refuses_too_deep_too_many_too_anchored(void **state)
{
	struct kf_text deep = {0}, many = {0}, anchors = {0};
	int i;

	for (i = 0; i < 60; i++)
		kf_text_add(&deep, "[");
	refuses(deep.s, deep.n, "f:1: more than 32 levels deep");
	for (i = 0; i < 100001; i++)
		kf_text_add(&many, "- 1\n");
	refuses(many.s, many.n, "more than 100000 values");
	for (i = 0; i < 300; i++)
		kf_text_addf(&anchors, "- &a%d x\n", i);
	refuses(anchors.s, anchors.n, "f:257: more than 256 anchors");
	kf_text_done(&deep);
	kf_text_done(&many);
	kf_text_done(&anchors);
}

static void refuses_ten_megabytes(void **state)
{
	char path[] = "/tmp/kerf-yaml-XXXXXX";
	int fd = mkstemp(path);
	struct kf_yaml *y = NULL;
	struct kf_error err = {0};

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 10000000), 0);
	close(fd);
	assert_int_equal(kf_yaml_load(path, KF_YAML_BYTES, &y, &err), -1);
	assert_non_null(strstr(err.msg, "is larger than 1048576 bytes"));
	unlink(path);
	assert_int_equal(kf_yaml_load(path, KF_YAML_BYTES, &y, &err), -1);
	assert_non_null(strstr(err.msg, "No such file"));
}

static void takes_numbers_and_truth_as_written(void **state)
{
	static const struct {
		const char *text;
		const char *fragment; /* NULL: fine */
	} number[] = {
		{"0", NULL},
		{"100", NULL},
		{"101", "101 is more than 100"},
		{"-1", "-1 is negative"},
		{"010", "octal"},
		{"1.5", "wants a whole number"},
		{"1e2", "wants a whole"},
		{"99999999999999999999999", "is more than 100"},
		{"x", "wants a whole"},
		{"[1]", "wants a plain value, not a list"},
		{"~", "wants a plain value, not nothing"},
	};
	char text[64];
	uint64_t v;
	size_t i;
	int on;

	for (i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
		kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
		struct kf_error err = {0};

		snprintf(text, sizeof(text), "k: %s", number[i].text);
		y = read_text(text);
		assert_int_equal(kf_yaml_uint(y, y->root->first, 100, &v, &err),
				 number[i].fragment ? -1 : 0);
		if (number[i].fragment && !strstr(err.msg, number[i].fragment))
			fail_msg("%s: %s", number[i].text, err.msg);
	}
	for (i = 0; i < 2; i++) {
		kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text(i ? "k: Yes" : "k: off");
		struct kf_error err = {0};

		assert_int_equal(kf_yaml_bool(y, y->root->first, &on, &err), 0);
		assert_int_equal(on, i);
	}
}

static void copies_text_that_fits(void **state)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text("k: four\n");
	struct kf_error err = {0};
	char exact[5], tight[4] = "old";

	assert_int_equal(kf_yaml_copy(y, y->root->first, exact, sizeof(exact), &err), 0);
	assert_string_equal(exact, "four");
	assert_int_equal(kf_yaml_copy(y, y->root->first, tight, sizeof(tight), &err), -1);
	assert_string_equal(err.msg, "f:1: k: is longer than 3 characters");
	assert_string_equal(tight, "old");
}

static void suggests_the_key_that_was_meant(void **state)
{
	static const char *const known[] = {"mig-enabled", "devices", NULL};
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text("mig-enable: true\n");
	kf_auto(kf_yaml_freep) struct kf_yaml *z = read_text("xyzzy: true\n");
	struct kf_error err = {0};

	assert_int_equal(kf_yaml_known(y, y->root, known, &err), -1);
	assert_string_equal(err.msg, "f:1: mig-enable: unknown key; did you mean mig-enabled?");
	assert_int_equal(kf_yaml_known(z, z->root, known, &err), -1);
	assert_string_equal(err.msg, "f:1: xyzzy: unknown key");
}

static void writes_what_it_has_read(void **state)
{
	static const char text[] = "a:\n"
				   "  - 1\n"
				   "  - b: \"1\"\n"
				   "    c: []\n"
				   "  - - x\n"
				   "    - {}\n"
				   "\"yes\": \"no: \\\"\\x0a\"\n"
				   "d: null\n"
				   "e: true\n"
				   "mig-1g.5gb: GPU-1/0\n";
	kf_auto(kf_yaml_freep) struct kf_yaml *y = read_text(text);
	kf_auto(kf_text_done) struct kf_text out = {0};

	kf_yaml_write(y->root, &out);
	assert_string_equal(out.s, text);
}

static void says_so_when_memory_runs_out(void **state)
{
	static const char text[] = "a: &a {x: 1, y: [2, 3]}\nb:\n  <<: *a\n";

	KF_FOR_EACH_OOM
	{
		kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
		struct kf_error err = {0};
		int r = kf_yaml_parse(text, strlen(text), "f", &y, &err);

		if (kf_alloc_failed()) {
			assert_int_equal(r, -1);
			assert_int_equal(err.code, KF_E_NOMEM);
		} else {
			assert_int_equal(r, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_line_of_every_key),
		cmocka_unit_test(reads_json),
		cmocka_unit_test(follows_aliases_and_merge_keys),
		cmocka_unit_test(refuses_what_is_not_one_document_of_text),
		cmocka_unit_test(refuses_a_bomb_before_anybody_walks_it),
		cmocka_unit_test(refuses_too_deep_too_many_too_anchored),
		cmocka_unit_test(refuses_ten_megabytes),
		cmocka_unit_test(takes_numbers_and_truth_as_written),
		cmocka_unit_test(copies_text_that_fits),
		cmocka_unit_test(suggests_the_key_that_was_meant),
		cmocka_unit_test(writes_what_it_has_read),
		cmocka_unit_test(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
