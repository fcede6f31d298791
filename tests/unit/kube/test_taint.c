/* Taints of a Node: what is edited, and that nothing else is. */
#include <stdlib.h>
#include <string.h>

#include "kftest.h"

#include "base/error.h"
#include "kube/taint.h"

#define NODE(taints, allocatable)                                                                  \
	"{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[" taints                  \
	"]},\"status\":{\"allocatable\":{" allocatable "}}}"
#define STARTUP "{\"key\":\"kerf.dev/starting\",\"effect\":\"NoSchedule\"}"
#define OTHER	"{\"key\":\"other\",\"value\":\"x\",\"effect\":\"NoExecute\",\"timeAdded\":\"t\"}"
#define OURS	"{\"key\":\"nvidia.com/gpu\",\"value\":\"present\",\"effect\":\"NoSchedule\"}"

static const char *const gpu[] = {"nvidia.com/gpu"};

static struct kf_taint_wish wish(const char *away, int ours_wanted)
{
	struct kf_taint_wish w = {.n = 1, .resources = gpu, .ours_wanted = ours_wanted};

	if (away)
		assert_int_equal(kf_taint_parse(away, &w.away, NULL), 0);
	assert_int_equal(kf_taint_parse("nvidia.com/gpu=present:NoSchedule", &w.ours, NULL), 0);
	return w;
}

static void assert_patch(const char *node, struct kf_taint_wish w, const char *want, int want_waits)
{
	struct kf_error err = {0};
	int waits = -1;
	char *patch = kf_taints_patch(node, strlen(node), &w, &waits, &err);

	if (want)
		assert_string_equal(patch ? patch : err.msg, want);
	else
		assert_null(patch);
	assert_int_equal(err.code, 0);
	assert_int_equal(waits, want_waits);
	free(patch);
}

static void the_startup_taint_stays_until_the_resource_is_allocatable(void **state)
{
	(void)state;
	assert_patch(NODE(OTHER "," STARTUP, "\"nvidia.com/gpu\":\"0\""),
		     wish("kerf.dev/starting", -1), NULL, 1);
	assert_patch(NODE(STARTUP, "\"cpu\":\"4\""), wish("kerf.dev/starting", -1), NULL, 1);
	assert_patch(NODE(OTHER "," STARTUP, "\"nvidia.com/gpu\":\"8\""),
		     wish("kerf.dev/starting", -1),
		     "{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[" OTHER "]}}",
		     0);
}

static void value_and_effect_count_where_they_are_given(void **state)
{
	const char *node = NODE(STARTUP, "\"nvidia.com/gpu\":\"8\"");

	(void)state;
	assert_patch(node, wish("kerf.dev/starting:NoExecute", -1), NULL, 0);
	assert_patch(node, wish("kerf.dev/starting=yes", -1), NULL, 0);
	assert_patch(node, wish("kerf.dev/starting:NoSchedule", -1),
		     "{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[]}}", 0);
}

static void the_taint_of_gpu_nodes_is_added_once_and_taken_away(void **state)
{
	(void)state;
	assert_patch(NODE(OTHER, ""), wish(NULL, 1),
		     "{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[" OTHER
		     "," OURS "]}}",
		     0);
	assert_patch(NODE(OTHER "," OURS, ""), wish(NULL, 1), NULL, 0);
	assert_patch(NODE(OURS "," OTHER, ""), wish(NULL, 0),
		     "{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[" OTHER "]}}",
		     0);
	assert_patch(NODE(OURS, ""), wish(NULL, -1), NULL, 0);
}

static void a_node_without_taints_needs_no_patch(void **state)
{
	(void)state;
	assert_patch("{}", wish("kerf.dev/starting", 0), NULL, 0);
}

static void what_is_no_taint_is_refused(void **state)
{
	static const char *const bad[] = {"", "=v", "k:Never", "k=v:", ":NoSchedule"};
	struct kf_error err = {0};
	struct kf_taint t;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kf_taint_parse(bad[i], &t, &err), -1);
	assert_int_equal(kf_taint_parse("a.b/c=v:NoExecute", &t, &err), 0);
	assert_string_equal(t.key, "a.b/c");
	assert_string_equal(t.value, "v");
	assert_string_equal(t.effect, "NoExecute");
}

static void an_answer_that_is_no_node_is_an_error(void **state)
{
	struct kf_taint_wish w = wish(NULL, 1);
	struct kf_error err = {0};
	int waits;

	(void)state;
	assert_null(kf_taints_patch("<html>", 6, &w, &waits, &err));
	assert_true(err.code != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_startup_taint_stays_until_the_resource_is_allocatable),
		cmocka_unit_test(value_and_effect_count_where_they_are_given),
		cmocka_unit_test(the_taint_of_gpu_nodes_is_added_once_and_taken_away),
		cmocka_unit_test(a_node_without_taints_needs_no_patch),
		cmocka_unit_test(what_is_no_taint_is_refused),
		cmocka_unit_test(an_answer_that_is_no_node_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
