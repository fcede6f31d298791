/* What becomes of sizes: the table tests/webhook/sizes.txt, and pods of all shapes. */
#include <stdlib.h>
#include <string.h>

#include "kftest.h"

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "webhook/admission.h"
#include "webhook/quantity.h"

#define RESOURCE KF_ADMISSION_RESOURCE

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, 0, &why);

	if (!json)
		fail_msg("%s: %s", text, why.text);
	return json;
}

/* A pod whose one container asks for this amount, as limits and requests. */
static json_t *pod_of(const char *amount)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"main\","
		 "\"resources\":{\"limits\":{\"" RESOURCE "\":%s},\"requests\":{\"" RESOURCE
		 "\":%s}}}]}}",
		 amount, amount);
	return parse(text);
}

static const char *value_at(const json_t *patch, const char *path)
{
	const json_t *op;
	size_t i;

	json_array_foreach(patch, i, op)
	{
		if (!strcmp(json_string_value(json_object_get(op, "path")), path))
			return json_string_value(json_object_get(op, "value"));
	}
	return NULL;
}

static void check(const char *amount, const char *expected)
{
	json_auto_t *pod = pod_of(amount), *patch = NULL;
	struct kf_error err = {0};
	int answer = kf_admission_rewrite(pod, &patch, &err);
	const char *units;

	if (!strcmp(expected, "refused")) {
		if (answer != KF_ADMISSION_REFUSED || !strstr(err.msg, "container main: "))
			fail_msg("%s: answer %d, '%s'", amount, answer, err.msg);
		return;
	}
	if (answer != 0)
		fail_msg("%s is refused: %s", amount, err.msg);
	if (!strcmp(expected, "=")) {
		if (json_array_size(patch) != 0)
			fail_msg("%s is changed", amount);
		return;
	}
	units = value_at(patch, "/spec/containers/0/resources/limits/nvidia.com~1gpu-memory");
	if (!units || strcmp(units, expected) != 0)
		fail_msg("%s becomes %s, not %s", amount, units ? units : "nothing", expected);
	units = value_at(patch, "/spec/containers/0/resources/requests/nvidia.com~1gpu-memory");
	assert_string_equal(units, expected);
}

/* As JSON: what is no short integer stands in quotes. */
static void as_json(const char *amount, char *out, size_t size)
{
	int bare = amount[0] == '"' ||
		   (amount[strspn(amount, "0123456789")] == '\0' && strlen(amount) <= 18);

	snprintf(out, size, bare ? "%s" : "\"%s\"", amount);
}

static void sizes_become_what_the_table_says(void **state)
{
	kf_auto_mem char *text = NULL;
	char path[512], amount[64], json[72], expected[16], *line, *rest = NULL;
	unsigned rows = 0;
	size_t n;

	(void)state;
	snprintf(path, sizeof(path), "%s/tests/webhook/sizes.txt", getenv("KERF_SOURCE"));
	text = kf_read_file(path, 1 << 16, &n, NULL);
	assert_non_null(text);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%63s %15s", amount, expected), 2);
		as_json(amount, json, sizeof(json));
		check(json, expected);
		rows++;
	}
	assert_true(rows > 70);
}

/* --- quantities ---------------------------------------------------------------------------- */

static void a_quantity_is_read_exactly_or_not_at_all(void **state)
{
	static const struct {
		const char *s;
		enum kf_quantity answer;
		int64_t n;
	} rows[] = {
		{"9223372036854775807", KF_QUANTITY_WHOLE, INT64_MAX},
		{"9223372036854775808", KF_QUANTITY_LARGE, INT64_MAX},
		{"7.5Ei", KF_QUANTITY_WHOLE, 15ll << 59},
		{"8Ei", KF_QUANTITY_LARGE, INT64_MAX},
		{"99999999999999999999Ei", KF_QUANTITY_LARGE, INT64_MAX},
		{"999999999999999999999", KF_QUANTITY_NONE, 0},
		{"00000000000000000000000000004Gi", KF_QUANTITY_WHOLE, 4ll << 30},
		{"4.00000000000000000000000000000Gi", KF_QUANTITY_WHOLE, 4ll << 30},
		{"100000000000000000000000000", KF_QUANTITY_LARGE, INT64_MAX},
		{"1e2", KF_QUANTITY_WHOLE, 100},
		{"1E2", KF_QUANTITY_WHOLE, 100},
		{"1e+2", KF_QUANTITY_WHOLE, 100},
		{"100e-2", KF_QUANTITY_WHOLE, 1},
		{"1e-2", KF_QUANTITY_FRACTION, 0},
		{"2E", KF_QUANTITY_WHOLE, 2000000000000000000ll},
		{".5Ki", KF_QUANTITY_WHOLE, 512},
		{"5.", KF_QUANTITY_WHOLE, 5},
		{"1000000000n", KF_QUANTITY_WHOLE, 1},
		{"1u", KF_QUANTITY_FRACTION, 0},
		{"-1", KF_QUANTITY_NEGATIVE, 0},
		{"-1m", KF_QUANTITY_NEGATIVE, 0},
		{"-0", KF_QUANTITY_WHOLE, 0},
		{"0m", KF_QUANTITY_WHOLE, 0},
	};
	static const char *const none[] = {"",	   ".",	  "-",	     "Gi",    "4gi",  "4GiB",
					   "4 Gi", "4B",  "4K",	     "1.2.3", "e3",   "4e",
					   "4i",   "4ei", "--4",     "+-4",   "4Gi ", " 4",
					   "0x10", "4\n", "4e99999", "four",  "1_000"};
	int64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum kf_quantity answer = kf_quantity_parse(rows[i].s, &n);

		if (answer != rows[i].answer)
			fail_msg("%s: %d, not %d", rows[i].s, answer, rows[i].answer);
		if (answer == KF_QUANTITY_WHOLE || answer == KF_QUANTITY_LARGE)
			assert_int_equal(n, rows[i].n);
	}
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (kf_quantity_parse(none[i], &n) != KF_QUANTITY_NONE)
			fail_msg("'%s' is a quantity", none[i]);
}

/* --- pods ---------------------------------------------------------------------------------- */

static void every_container_is_rewritten_and_what_was_written_is_kept(void **state)
{
	json_auto_t *pod = parse(
		"{\"metadata\":{\"annotations\":{\"a\":\"b\"}},\"spec\":{\"containers\":["
		"{\"name\":\"one\",\"resources\":{\"limits\":{\"" RESOURCE "\":\"4Gi\"}}},"
		"{\"name\":\"plain\"},"
		"{\"name\":\"units\",\"resources\":{\"limits\":{\"" RESOURCE "\":\"3\"}}}],"
		"\"initContainers\":[{\"name\":\"first\",\"resources\":{\"limits\":{\"" RESOURCE
		"\":\"500M\",\"cpu\":\"1\"},\"requests\":{\"" RESOURCE "\":\"500M\"}}}]}}");
	json_auto_t *patch = NULL;
	kf_auto_mem char *text = NULL;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_admission_rewrite(pod, &patch, &err), 0);
	text = json_dumps(patch, JSON_COMPACT);
	assert_string_equal(
		text, "[{\"op\":\"replace\",\"path\":\"/spec/containers/0/resources/limits/"
		      "nvidia.com~1gpu-memory\",\"value\":\"4\"},"
		      "{\"op\":\"replace\",\"path\":\"/spec/initContainers/0/resources/limits/"
		      "nvidia.com~1gpu-memory\",\"value\":\"1\"},"
		      "{\"op\":\"replace\",\"path\":\"/spec/initContainers/0/resources/requests/"
		      "nvidia.com~1gpu-memory\",\"value\":\"1\"},"
		      "{\"op\":\"add\",\"path\":\"/metadata/annotations/kerf.dev~1gpu-memory\","
		      "\"value\":\"one=4Gi,first=500M\"}]");
}

static void a_pod_without_annotations_gets_some_and_one_without_sizes_nothing(void **state)
{
	json_auto_t *pod = pod_of("\"4Gi\""), *plain = parse("{\"spec\":{\"containers\":[{}]}}");
	json_auto_t *patch = NULL, *none = NULL;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_admission_rewrite(pod, &patch, &err), 0);
	assert_int_equal(json_array_size(patch), 4);
	assert_string_equal(json_string_value(json_object_get(json_array_get(patch, 2), "path")),
			    "/metadata/annotations");
	assert_string_equal(value_at(patch, "/metadata/annotations/kerf.dev~1gpu-memory"),
			    "main=4Gi");
	assert_int_equal(kf_admission_rewrite(plain, &none, &err), 0);
	assert_int_equal(json_array_size(none), 0);
}

static void what_is_no_pod_is_said_and_harmless(void **state)
{
	static const char *const bad[] = {"{}", "[]", "{\"spec\":{}}", "{\"spec\":[]}",
					  "{\"spec\":{\"containers\":{}}}"};
	static const char *const odd[] = {
		"{\"spec\":{\"containers\":[1,null,\"x\",[]]}}",
		"{\"spec\":{\"containers\":[{\"resources\":[]}],\"initContainers\":7}}",
		"{\"metadata\":7,\"spec\":{\"containers\":[{\"resources\":{\"limits\":\"4Gi\"}}]}}",
	};
	struct kf_error err = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_auto_t *pod = parse(bad[i]), *patch = NULL;

		assert_true(kf_admission_rewrite(pod, &patch, &err) < 0);
	}
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_auto_t *pod = parse(odd[i]), *patch = NULL;

		assert_int_equal(kf_admission_rewrite(pod, &patch, &err), 0);
		assert_int_equal(json_array_size(patch), 0);
	}
	check("null", "refused");
	check("1.5", "refused");
	check("{}", "refused");
}

/* --- reviews ------------------------------------------------------------------------------- */

static json_t *review(const char *kind, const char *operation, const char *amount)
{
	json_auto_t *asked = json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s,s:s},s:s,s:o}}", "apiVersion",
				       "admission.k8s.io/v1", "kind", "AdmissionReview", "request",
				       "uid", "u-1", "kind", "group", "", "version", "v1", "kind",
				       kind, "operation", operation, "object", pod_of(amount));
	kf_auto_mem char *body = json_dumps(asked, 0), *out = NULL;
	struct kf_error err = {0};
	json_t *answer;

	assert_int_equal(kf_admission_review(body, strlen(body), &out, &err), 0);
	answer = parse(out);
	assert_string_equal(json_string_value(json_object_get(answer, "kind")), "AdmissionReview");
	return answer;
}

static void a_review_is_answered_with_a_patch_or_a_sentence(void **state)
{
	json_auto_t *yes = review("Pod", "CREATE", "\"4Gi\"");
	json_auto_t *no = review("Pod", "CREATE", "\"-4Gi\"");
	json_t *r = json_object_get(yes, "response");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(r, "uid")), "u-1");
	assert_true(json_is_true(json_object_get(r, "allowed")));
	assert_string_equal(json_string_value(json_object_get(r, "patchType")), "JSONPatch");
	r = json_object_get(no, "response");
	assert_true(json_is_false(json_object_get(r, "allowed")));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(r, "status"), "message")),
		"container main: nvidia.com/gpu-memory: -4Gi is less than nothing; write at least "
		"1Gi");
}

static void what_is_not_a_pod_being_made_is_allowed_as_it_is(void **state)
{
	json_auto_t *other = review("ConfigMap", "CREATE", "\"4Gi\"");
	json_auto_t *update = review("Pod", "UPDATE", "\"-4Gi\"");
	json_t *r = json_object_get(other, "response");

	(void)state;
	assert_true(json_is_true(json_object_get(r, "allowed")));
	assert_null(json_object_get(r, "patch"));
	r = json_object_get(update, "response");
	assert_true(json_is_true(json_object_get(r, "allowed")));
}

static void what_is_no_review_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"apiVersion\":\"admission.k8s.io/v1\"}",
		"{\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{}}",
		"{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"request\":{\"uid\":\"u\"}}",
		"{\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":7}}",
	};
	struct kf_error err = {0};
	char *out = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(kf_admission_review(bad[i], strlen(bad[i]), &out, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_become_what_the_table_says),
		cmocka_unit_test(a_quantity_is_read_exactly_or_not_at_all),
		cmocka_unit_test(every_container_is_rewritten_and_what_was_written_is_kept),
		cmocka_unit_test(a_pod_without_annotations_gets_some_and_one_without_sizes_nothing),
		cmocka_unit_test(what_is_no_pod_is_said_and_harmless),
		cmocka_unit_test(a_review_is_answered_with_a_patch_or_a_sentence),
		cmocka_unit_test(what_is_not_a_pod_being_made_is_allowed_as_it_is),
		cmocka_unit_test(what_is_no_review_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
