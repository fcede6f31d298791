/* Text for Prometheus: escapes, both formats, no memory; and the header that chooses. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/expose.h"
#include "metrics/http.h"

static struct kf_counters counters;

static void fill(struct kf_snapshot *snap)
{
	struct kf_reading *r;
	unsigned f;

	*snap = (struct kf_snapshot){.view = kf_view_new(1, 0, 1, 0)};
	snap->view->n_gpus = 1;
	snprintf(snap->view->gpu[0].uuid, KF_UUID, "GPU-x");
	snprintf(snap->view->gpu[0].name, KF_UUID, "a \"b\" \\c\nd \xff");
	r = snap->reading[0] = kf_reading_new(0, 0, 0);
	for (f = 0; f < KF_N_FIELDS; f++)
		r->board.of[f] = NAN;
	r->board.of[KF_FIELD_GPU_TEMP] = 40;
	r->board.of[KF_FIELD_ENERGY] = 12345678901.0;
	kf_counters_default(&counters);
}

static void escapes_labels_and_mends_what_is_no_utf8(void **state)
{
	struct kf_expose_options opt = {.counters = &counters, .hostname = KF_HOSTNAME_NONE};
	struct kf_snapshot snap;
	char *text;

	fill(&snap);
	text = kf_expose(&snap, &opt, NULL);
	assert_non_null(strstr(text, "modelName=\"a \\\"b\\\" \\\\c\\nd ?\"} 40\n"));
	assert_non_null(strstr(text, " 12345678901\n"));
	assert_null(strstr(text, "DCGM_FI_DEV_FB_USED"));
	assert_null(strstr(text, "# EOF"));
	free(text);
	kf_snapshot_done(&snap);
}

static void openmetrics_ends_and_has_counters_without_their_suffix(void **state)
{
	struct kf_expose_options opt = {.counters = &counters, .openmetrics = 1};
	struct kf_snapshot snap;
	size_t n;
	char *text;

	fill(&snap);
	text = kf_expose(&snap, &opt, &n);
	assert_int_equal(n, strlen(text));
	assert_string_equal(text + n - 6, "# EOF\n");
	assert_non_null(
		strstr(text, "# TYPE kerf_allocations counter\nkerf_allocations_total 0\n"));
	assert_non_null(strstr(text, "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION unknown\n"));
	free(text);
	kf_snapshot_done(&snap);
}

static void what_is_stale_is_left_out(void **state)
{
	struct kf_expose_options opt = {.counters = &counters};
	struct kf_snapshot snap;
	char *text;

	fill(&snap);
	snap.stale[0] = 1;
	text = kf_expose(&snap, &opt, NULL);
	assert_null(strstr(text, "DCGM_"));
	assert_non_null(strstr(text, "kerf_gpu_reading_stale{gpu=\"0\",UUID=\"GPU-x\"} 1\n"));
	free(text);
	kf_snapshot_done(&snap);
}

static void without_memory_there_is_no_text_or_a_whole_one(void **state)
{
	struct kf_expose_options opt = {.counters = &counters};
	struct kf_snapshot snap;

	fill(&snap);
	KF_FOR_EACH_OOM
	{
		free(kf_expose(&snap, &opt, NULL));
	}
	kf_snapshot_done(&snap);
}

static void accept_is_weighed(void **state)
{
	static const char prometheus[] =
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		"version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

	assert_int_equal(kf_http_accepts(prometheus, "application/openmetrics-text"), 1000);
	assert_int_equal(kf_http_accepts(prometheus, "text/plain"), 500);
	assert_int_equal(kf_http_accepts(prometheus, "image/png"), 100);
	assert_int_equal(kf_http_accepts("text/*; q=0.25", "text/plain"), 250);
	assert_int_equal(kf_http_accepts("text/plain;q=0", "text/plain"), 0);
	assert_int_equal(kf_http_accepts("", "text/plain"), 0);
	assert_int_equal(kf_http_accepts(",,; q=x, ", "text/plain"), 0);
	assert_int_equal(kf_http_accepts("text/plain;q=nan", "text/plain"), 0);
	assert_int_equal(kf_http_accepts("text/plainer", "text/plain"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_labels_and_mends_what_is_no_utf8),
		cmocka_unit_test(openmetrics_ends_and_has_counters_without_their_suffix),
		cmocka_unit_test(what_is_stale_is_left_out),
		cmocka_unit_test(without_memory_there_is_no_text_or_a_whole_one),
		cmocka_unit_test(accept_is_weighed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
