/* The node as JSON: strangers' words, what there is none of, sums of a GPU that is cut, no memory.
 */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "metrics/node.h"

static const struct kf_node_words words = {.version = "1", .wall_ms = 1700000000123};

/* A GPU of 112 SMs with two instances of 16 and 32, whose values are unknown. */
static void fill(struct kf_snapshot *snap)
{
	struct kf_reading *r;
	unsigned f;

	*snap = (struct kf_snapshot){.view = kf_view_new(1, 2, 1, 0)};
	snap->view->n_gpus = 1;
	snap->view->n_slices = 2;
	snap->view->gpu[0].mig = 1;
	snap->view->gpu[0].sm = 112;
	snap->view->slice[0].gi = 1;
	snap->view->slice[0].sm = 16;
	snap->view->slice[1].gi = 2;
	snap->view->slice[1].sm = 32;
	snap->view->slice[0].n_cis = snap->view->slice[1].n_cis = 1;
	r = snap->reading[0] = kf_reading_new(2, 0, 0);
	r->n_instances = 2;
	r->instance[0].gi = 1;
	r->instance[1].gi = 2;
	for (f = 0; f < KF_N_FIELDS; f++)
		r->board.of[f] = r->instance[0].values.of[f] = r->instance[1].values.of[f] = NAN;
}

static void assert_has(const struct kf_snapshot *snap, const char *part, int wanted)
{
	size_t n;
	char *text = kf_node_json(snap, &words, &n);

	assert_non_null(text);
	assert_int_equal(n, strlen(text));
	if (!strstr(text, part) == !!wanted)
		fail_msg("%s: %s", part, text);
	free(text);
}

static void writes_strangers_words_so_that_they_end_nothing(void **state)
{
	struct kf_snapshot snap;

	fill(&snap);
	snap.view->n_pods = 1;
	snap.view->pod[0].slice = KF_NONE;
	snprintf(snap.view->pod[0].name, 64, "</script>\"\\\n\x1b\xff&");
	assert_has(&snap, "\"pod\":\"\\u003c/script\\u003e\\u0022\\u005c\\u000a\\u001b?\\u0026\"",
		   1);
	kf_snapshot_done(&snap);
}

static void writes_null_for_what_there_is_none_of(void **state)
{
	struct kf_snapshot snap;

	fill(&snap);
	assert_has(&snap, "nan", 0);
	assert_has(&snap, "\"powerW\":null", 1);
	kf_snapshot_done(&snap);
}

static void sums_up_a_gpu_that_is_cut(void **state)
{
	struct kf_snapshot snap;
	struct kf_reading *r;

	fill(&snap);
	r = snap.reading[0];
	r->board.of[KF_FIELD_FB_USED] = 7;
	r->instance[0].values.of[KF_FIELD_FB_USED] = 1000;
	r->instance[0].values.of[KF_FIELD_GR_ACTIVE] = 1;
	assert_has(&snap, "\"stale\":false,\"memoryUsedMiB\":null,\"utilisation\":null", 1);
	r->instance[1].values.of[KF_FIELD_FB_USED] = 500;
	r->instance[1].values.of[KF_FIELD_GPU_UTIL] = 50;
	assert_has(&snap, "\"stale\":false,\"memoryUsedMiB\":1500,\"utilisation\":0.286", 1);
	kf_snapshot_done(&snap);
}

static void shows_no_number_of_a_stale_reading(void **state)
{
	struct kf_snapshot snap;

	fill(&snap);
	snap.reading[0]->board.of[KF_FIELD_POWER_USAGE] = 300;
	assert_has(&snap, "\"powerW\":300.0", 1);
	snap.stale[0] = 1;
	assert_has(&snap, "\"powerW\":null", 1);
	kf_snapshot_done(&snap);
}

static void shows_a_node_that_is_not_known_yet(void **state)
{
	struct kf_snapshot snap = {0};

	assert_has(&snap, "{\"version\":\"1\",\"time\":1700000000123,\"intervalMs\":0,\"gpus\":[]}",
		   1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_strangers_words_so_that_they_end_nothing),
		cmocka_unit_test(writes_null_for_what_there_is_none_of),
		cmocka_unit_test(sums_up_a_gpu_that_is_cut),
		cmocka_unit_test(shows_no_number_of_a_stale_reading),
		cmocka_unit_test(shows_a_node_that_is_not_known_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
