/* Which smaller slice would have been enough, and what Prometheus' answers say. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kftest.h"

#include "advise/advise.h"
#include "base/error.h"
#include "shapes.h"

#define GIB 1073741824.0

static struct kf_gpu gpu;
static struct kf_node node = {.n_gpus = 1, .gpu = &gpu};
static const struct kf_advise_options opt = {.margin = .2, .covered = .5};

/* A GPU of that product with one slice, instance 2; "" for none. */
static void given(const char *product, const char *profile)
{
	gpu = (struct kf_gpu){.index = 3, .uuid = "GPU-a", .memory_mib = 81559, .mig_capable = 1};
	gpu.shape = shape_of(product)->shape;
	gpu.n_instances = profile[0] ? 1 : 0;
	gpu.instance[0].id = 2;
	if (profile[0])
		gpu.instance[0].profile = shape_profile(&gpu.shape, profile);
}

static struct kf_usage used(double gib, double sm)
{
	return (struct kf_usage){.pod = "p",
				 .uuid = "GPU-a",
				 .gi = gpu.n_instances ? 2 : KF_NONE,
				 .alone = 1,
				 .memory = gib * GIB,
				 .sm = sm,
				 .covered = 1};
}

static struct kf_advice judged(double gib, double sm)
{
	struct kf_usage u = used(gib, sm);
	struct kf_advice advice;

	kf_advise(&node, &u, &opt, &advice);
	return advice;
}

static void names_the_smallest_slice_that_has_memory_and_sms(void **state)
{
	struct kf_advice a;

	(void)state;
	given("h100-80", "3g.40gb");
	a = judged(4, .1); /* 6 of 60 SMs */
	assert_int_equal(a.verdict, KF_SIZE_SMALLER);
	assert_string_equal(a.from, "3g.40gb");
	assert_string_equal(a.to, "1g.10gb");
	assert_int_equal(a.gpu, 3);
	/* half a GPU against a seventh */
	assert_true(fabs(a.frees - (1. / 2 - 1. / 7)) < 1e-9);
	assert_true(a.memory_spare > .58 && a.memory_spare < .60); /* 4 of 9.75 GiB */
	assert_true(fabs(a.sm_spare - (1 - 6. / 16)) < 1e-9);
	assert_string_equal(judged(15, .1).to, "1g.20gb"); /* memory of two, a quarter of a GPU */
	assert_string_equal(judged(4, .4).to,
			    "2g.20gb"); /* 24 SMs and a fifth: not the 26 of a 1g.20gb */
}

static void keeps_the_margin(void **state)
{
	(void)state;
	given("h100-80", "2g.20gb");
	/* a 1g.10gb has 9.75 GiB: 8.125 and a fifth */
	assert_string_equal(judged(8.12, .1).to, "1g.10gb");
	assert_string_equal(judged(8.13, .1).to, "1g.20gb");
	/* and 16 SMs of 32: 13.3 and a fifth */
	assert_string_equal(judged(1, .41).to, "1g.10gb");
	assert_string_not_equal(judged(1, .42).to, "1g.10gb");
}

static void leaves_alone_what_fits(void **state)
{
	(void)state;
	given("h100-80", "3g.40gb");
	assert_int_equal(judged(30, .1).verdict, KF_SIZE_FITS);
	assert_int_equal(judged(4, .9).verdict, KF_SIZE_FITS);
	given("h100-80", "1g.10gb");
	assert_int_equal(judged(0, 0).verdict, KF_SIZE_FITS);
	assert_true(judged(0, 0).frees == 0);
	given("h100-80", "1g.10gb+me"); /* who has the engines keeps them */
	assert_int_equal(judged(0, 0).verdict, KF_SIZE_FITS);
}

static void a_whole_gpu_is_the_largest_slice(void **state)
{
	struct kf_advice a;

	(void)state;
	given("h100-80", "");
	a = judged(30, .3); /* 39.6 of 132 SMs, 47.5 with the margin */
	assert_string_equal(a.from, "GPU");
	assert_string_equal(a.to, "3g.40gb");
	assert_true(fabs(a.frees - .5) < 1e-9);
	assert_int_equal(judged(70, .3).verdict, KF_SIZE_FITS);
}

static void a_gpu_that_cannot_be_cut_is_shared_by_memory(void **state)
{
	struct kf_advice a;

	(void)state;
	given("h100-80", "");
	gpu.shape.n = 0;
	gpu.mig_capable = 0;
	gpu.memory_mib = 16384;
	a = judged(3, .1);
	assert_int_equal(a.verdict, KF_SIZE_SHARE);
	assert_int_equal(a.gib, 4); /* 3.6 */
	assert_true(fabs(a.frees - .75) < 1e-9);
	assert_true(fabs(a.memory_spare - .25) < 1e-9);
	assert_int_equal(judged(1, .25).gib, 5); /* its time is worth more than its memory */
	assert_int_equal(judged(7, .1).verdict, KF_SIZE_FITS);
	assert_int_equal(judged(0, 0).gib, 1);
}

static void says_what_is_not_known(void **state)
{
	struct kf_usage u;
	struct kf_advice a;

	(void)state;
	given("h100-80", "3g.40gb");
	u = used(1, .1);
	u.covered = .49;
	kf_advise(&node, &u, &opt, &a);
	assert_int_equal(a.verdict, KF_SIZE_NOT_ENOUGH);
	assert_string_equal(a.why, "measured for 49 % of the window only");
	u.covered = 1;
	u.sm = NAN;
	kf_advise(&node, &u, &opt, &a);
	assert_int_equal(a.verdict, KF_SIZE_NOT_ENOUGH);
	strcpy(u.absent, "driver");
	kf_advise(&node, &u, &opt, &a);
	assert_string_equal(a.why, "what it uses cannot be told (driver)");
	u.alone = 0;
	kf_advise(&node, &u, &opt, &a);
	assert_int_equal(a.verdict, KF_SIZE_SHARED);
	gpu.shape.n = 0; /* an A100 with MIG off */
	gpu.n_instances = 0;
	assert_int_equal(judged(1, .1).verdict, KF_SIZE_NOT_ENOUGH);
}

static void pods_elsewhere_are_no_business_of_this_node(void **state)
{
	struct kf_usage u;
	struct kf_advice a;

	(void)state;
	given("h100-80", "3g.40gb");
	u = used(1, .1);
	u.gi = 9; /* a slice that is gone */
	kf_advise(&node, &u, &opt, &a);
	assert_int_equal(a.verdict, KF_SIZE_ELSEWHERE);
	u = used(1, .1);
	strcpy(u.uuid, "GPU-b");
	kf_advise(&node, &u, &opt, &a);
	assert_int_equal(a.verdict, KF_SIZE_ELSEWHERE);
}

static void knows_what_a_gpu_costs(void **state)
{
	(void)state;
	assert_true(fabs(kf_price_of_gpu("p5.48xlarge") - 6.88) < 1e-9);
	assert_true(fabs(kf_price_of_gpu("p4d.24xlarge") / 7 - .392) < .001);
	assert_true(kf_price_of_gpu("PowerEdge XE9680") == 0);
}

/* --- answers of Prometheus ----------------------------------------------------------------- */

#define KEY		   "\"namespace\":\"n\",\"pod\":\"p\",\"UUID\":\"GPU-a\",\"GPU_I_ID\":\"2\""
#define ROW(labels, value) "{\"metric\":{" labels "},\"value\":[1.5,\"" value "\"]}"
#define ANSWER(rows)                                                                               \
	"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" rows "]}}"

static int reads(enum kf_series which, const char *text, struct kf_usages *u)
{
	struct kf_error err = {0};

	return kf_series_read(which, text, strlen(text), u, &err);
}

static void fills_in_what_is_known_of_each_pod(void **state)
{
	struct kf_usages u = {0};

	(void)state;
	assert_int_equal(
		reads(KF_SERIES_DEVICE,
		      ANSWER(ROW(KEY ",\"sharing\":\"exclusive\"", "100") "," ROW(
			      "\"namespace\":\"n\",\"pod\":\"q\",\"UUID\":\"GPU-a\",\"sharing\":"
			      "\"time-slicing\"",
			      "50")),
		      &u),
		0);
	assert_int_equal(u.n, 2);
	assert_int_equal(u.usage[0].gi, 2);
	assert_true(u.usage[0].alone && !u.usage[1].alone && u.usage[1].gi == KF_NONE);
	assert_true(u.usage[0].memory_has == 100 && isnan(u.usage[0].memory));
	reads(KF_SERIES_MEMORY, ANSWER(ROW(KEY, "60") "," ROW("\"pod\":\"x\"", "1")), &u);
	reads(KF_SERIES_SM, ANSWER(ROW(KEY, "0.25")), &u);
	reads(KF_SERIES_COVERED, ANSWER(ROW(KEY, "40")), &u);
	reads(KF_SERIES_ABSENT, ANSWER(ROW(KEY ",\"reason\":\"mps\"", "1")), &u);
	assert_int_equal(u.n, 2);
	assert_true(u.usage[0].memory == 60 && u.usage[0].sm == .25);
	assert_true(fabs(u.usage[0].covered - .4) < 1e-9);
	assert_string_equal(u.usage[0].absent, "mps");
	assert_true(isnan(u.usage[1].memory));
	kf_usages_done(&u);
}

static void passes_over_what_makes_no_sense(void **state)
{
	struct kf_usages u = {0};

	(void)state;
	assert_int_equal(reads(KF_SERIES_DEVICE,
			       ANSWER(ROW(KEY, "NaN") "," ROW(KEY, "12x") "," ROW(
				       KEY, "-1") ","
						  "{},7," ROW("\"namespace\":\"n\"", "1")),
			       &u),
			 0);
	assert_int_equal(u.n, 0);
	kf_usages_done(&u);
}

static void refuses_what_is_no_answer(void **state)
{
	const char *refusal = "{\"status\":\"error\",\"error\":\"parse error\"}";
	struct kf_usages u = {0};
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(reads(KF_SERIES_DEVICE, "<html>", &u), -1);
	assert_int_equal(reads(KF_SERIES_DEVICE, "{}", &u), -1);
	assert_int_equal(kf_series_read(KF_SERIES_SM, refusal, strlen(refusal), &u, &err), -1);
	assert_int_equal(err.code, KF_E_REMOTE);
	assert_string_equal(err.msg, "parse error");
}

static void asks_for_the_window(void **state)
{
	char query[200];

	(void)state;
	kf_series_query(KF_SERIES_COVERED, 86400, query, sizeof(query));
	assert_string_equal(query, "count_over_time(kerf_pod_memory_used_bytes[86400s:864000ms])");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_smallest_slice_that_has_memory_and_sms),
		cmocka_unit_test(keeps_the_margin),
		cmocka_unit_test(leaves_alone_what_fits),
		cmocka_unit_test(a_whole_gpu_is_the_largest_slice),
		cmocka_unit_test(a_gpu_that_cannot_be_cut_is_shared_by_memory),
		cmocka_unit_test(says_what_is_not_known),
		cmocka_unit_test(pods_elsewhere_are_no_business_of_this_node),
		cmocka_unit_test(knows_what_a_gpu_costs),
		cmocka_unit_test(fills_in_what_is_known_of_each_pod),
		cmocka_unit_test(passes_over_what_makes_no_sense),
		cmocka_unit_test(refuses_what_is_no_answer),
		cmocka_unit_test(asks_for_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
