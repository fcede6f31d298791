/* Who holds what, from sources none of which is whole. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "kftest.h"

#include "agent/holdings.h"
#include "nodes.h"

static char dir[] = "/tmp/kerf-holdings-XXXXXX";

static struct kf_ledger *open_ledger(void)
{
	struct kf_ledger *ledger = NULL;

	strcpy(dir, "/tmp/kerf-holdings-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(kf_ledger_open(dir, &ledger, NULL), 0);
	return ledger;
}

static void end(struct kf_ledger *ledger)
{
	char command[80];

	kf_ledger_close(ledger);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static void hold(struct kf_ledger *ledger, const char *id, int64_t when)
{
	assert_int_equal(kf_ledger_hold(ledger, "nvidia.com/mig-1g.5gb", &id, 1, when, NULL), 0);
}

static struct kf_pod_row pod_row(const char *id)
{
	struct kf_pod_row row = {.resource = "nvidia.com/mig-1g.5gb",
				 .pod_namespace = "default",
				 .pod = "a",
				 .container = "main"};

	snprintf(row.id, sizeof(row.id), "%s", id);
	return row;
}

static struct kf_checkpoint_row checkpoint_row(const char *id)
{
	return (struct kf_checkpoint_row){.pod_uid = "u1",
					  .container = "main",
					  .resource = "nvidia.com/mig-1g.5gb",
					  .id = id};
}

static void an_allocation_is_held_before_the_kubelet_tells_of_it(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.pods = &none, .checkpoint = &empty, .now_s = 1004};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void an_allocation_that_nobody_names_in_time_is_released(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {
		.pods = &none, .checkpoint = &empty, .now_s = 1000 + KF_HOLDINGS_PATIENCE_S};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_null(kf_holds_find(&holds, "MIG-1"));
	assert_int_equal(kf_ledger_n(ledger), 0);
	kf_holds_done(&holds);
	end(ledger);
}

static void a_pod_that_went_before_it_was_named_is_released_by_a_new_checkpoint(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {
		.pods = &none, .checkpoint = &empty, .now_s = 1000 + KF_HOLDINGS_ADMISSION_S};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), KF_HOLDINGS_STALE);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	from.checkpoint_fresh = 1;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void a_pod_that_was_listed_and_is_gone_frees_its_slice_at_once(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_row row = pod_row("MIG-1");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.pods = &pods, .checkpoint = &empty, .now_s = 1001};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_string_equal(kf_holds_find(&holds, "MIG-1")->pod_name, "a");
	pods.n = 0;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void an_init_container_is_held_by_the_checkpoint_alone(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint_row row = checkpoint_row("MIG-1");
	struct kf_checkpoint checkpoint = {.n = 1, .row = &row};
	struct kf_sources from = {
		.pods = &none, .checkpoint = &checkpoint, .checkpoint_fresh = 1, .now_s = 5000};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_string_equal(kf_holds_find(&holds, "MIG-1")->pod_uid, "u1");
	kf_holds_done(&holds);
	end(ledger);
}

static void an_old_checkpoint_is_asked_for_anew_before_its_word_counts(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint_row row = checkpoint_row("MIG-1");
	struct kf_checkpoint checkpoint = {.n = 1, .row = &row};
	struct kf_sources from = {.pods = &none, .checkpoint = &checkpoint, .now_s = 5000};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), KF_HOLDINGS_STALE);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void nothing_is_released_while_podresources_is_silent(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.checkpoint = &empty, .now_s = 99999};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void pods_of_another_plugin_are_entered_in_the_ledger(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_row row = pod_row("MIG-9");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.pods = &pods, .checkpoint = &empty, .now_s = 1001};
	struct kf_holds holds = {0};

	(void)state;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_non_null(kf_ledger_find(ledger, "MIG-9"));
	assert_non_null(kf_holds_find(&holds, "MIG-9"));
	kf_holds_done(&holds);
	end(ledger);
}

/* Write errors on every file, or no longer. */
static void fill_disk(int full)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? 0 : limit.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_is_held_stays_held_when_the_ledger_cannot_be_written(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_row row = pod_row("MIG-2");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.pods = &pods, .checkpoint = &empty, .now_s = 1001};
	struct kf_holds holds = {0};
	struct kf_error err = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000);
	hold(ledger, "MIG-2", 1000);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	from.now_s = 5000; /* MIG-1 is to be released */
	fill_disk(1);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, &err), -1);
	fill_disk(0);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	assert_non_null(kf_holds_find(&holds, "MIG-2"));
	kf_holds_done(&holds);
	end(ledger);
}

static void an_init_container_of_another_plugins_is_held_before_the_ledger_has_it(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_rows none = {0};
	struct kf_checkpoint_row row = checkpoint_row("MIG-7");
	struct kf_checkpoint checkpoint = {.n = 1, .row = &row};
	struct kf_sources from = {.pods = &none, .checkpoint = &checkpoint, .now_s = 5000};
	struct kf_holds holds = {0};

	(void)state;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), KF_HOLDINGS_STALE);
	assert_string_equal(kf_holds_find(&holds, "MIG-7")->pod_uid, "u1");
	assert_null(kf_ledger_find(ledger, "MIG-7"));
	from.checkpoint_fresh = 1;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_non_null(kf_holds_find(&holds, "MIG-7"));
	assert_non_null(kf_ledger_find(ledger, "MIG-7"));
	kf_holds_done(&holds);
	end(ledger);
}

static void a_list_that_an_allocate_overtook_says_nothing_of_that_device(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_row row = pod_row("MIG-1");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {
		.pods = &pods, .checkpoint = &empty, .overtaken = 1, .now_s = 1000};
	struct kf_holds holds = {0};

	(void)state;
	hold(ledger, "MIG-1", 1000); /* pod a is gone, another has it now */
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_string_equal(kf_holds_find(&holds, "MIG-1")->pod_name, "");
	from.overtaken = 0;
	pods.n = 0; /* and the kubelet has not entered it yet */
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	kf_holds_done(&holds);
	end(ledger);
}

static void a_replica_of_nvidias_plugin_holds_what_it_is_a_share_of(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_pod_row row = pod_row("MIG-1::3");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint_row written = checkpoint_row("MIG-2::0");
	struct kf_checkpoint checkpoint = {.n = 1, .row = &written};
	struct kf_sources from = {.pods = &pods, .checkpoint = &checkpoint, .now_s = 1001};
	struct kf_holds holds = {0};

	(void)state;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), KF_HOLDINGS_STALE);
	assert_non_null(kf_holds_find(&holds, "MIG-1"));
	assert_non_null(kf_holds_find(&holds, "MIG-2"));
	kf_holds_done(&holds);
	end(ledger);
}

static void what_nvidias_other_plugins_hand_out_is_not_ours(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	struct kf_checkpoint_row row = {.pod_uid = "u1",
					.container = "main",
					.resource = "nvidia.com/hostdev",
					.id = "a nic, 0000:03:00.0"};
	struct kf_checkpoint checkpoint = {.n = 1, .row = &row};
	struct kf_sources from = {.checkpoint = &checkpoint, .now_s = 1001};
	struct kf_holds holds = {0};

	(void)state;
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_int_equal(holds.n, 0);
	assert_int_equal(kf_ledger_n(ledger), 0);
	kf_holds_done(&holds);
	end(ledger);
}

static void a_process_holds_the_slice_it_runs_on(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_pod_rows none = {0};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.node = node, .pods = &none, .checkpoint = &empty};
	struct kf_holds holds = {0};

	(void)state;
	node_add_seven(node, 0);
	node->gpu[0].n_listed = 1;
	node->gpu[0].process[0] =
		(struct kf_process){.pid = 4121, .gi = node->gpu[0].instance[2].id, .ci = 0};
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_int_equal(holds.n, 1);
	assert_int_equal(kf_holds_find(&holds, "MIG-0-2")->pid, 4121);
	kf_holds_done(&holds);
	end(ledger);
}

static void a_pod_with_a_whole_gpu_in_mig_mode_holds_all_its_slices(void **state)
{
	struct kf_ledger *ledger = open_ledger();
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_pod_row row = pod_row("GPU-0");
	struct kf_pod_rows pods = {.n = 1, .row = &row};
	struct kf_checkpoint empty = {0};
	struct kf_sources from = {.node = node, .pods = &pods, .checkpoint = &empty};
	struct kf_holds holds = {0};

	(void)state;
	node_add_seven(node, 0);
	assert_int_equal(kf_holdings_update(ledger, &from, &holds, NULL), 0);
	assert_int_equal(holds.n, 8);
	assert_non_null(kf_holds_find(&holds, "MIG-0-6"));
	kf_holds_done(&holds);
	end(ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_allocation_is_held_before_the_kubelet_tells_of_it),
		cmocka_unit_test(an_allocation_that_nobody_names_in_time_is_released),
		cmocka_unit_test(
			a_pod_that_went_before_it_was_named_is_released_by_a_new_checkpoint),
		cmocka_unit_test(a_pod_that_was_listed_and_is_gone_frees_its_slice_at_once),
		cmocka_unit_test(an_init_container_is_held_by_the_checkpoint_alone),
		cmocka_unit_test(an_old_checkpoint_is_asked_for_anew_before_its_word_counts),
		cmocka_unit_test(nothing_is_released_while_podresources_is_silent),
		cmocka_unit_test(pods_of_another_plugin_are_entered_in_the_ledger),
		cmocka_unit_test(what_is_held_stays_held_when_the_ledger_cannot_be_written),
		cmocka_unit_test(
			an_init_container_of_another_plugins_is_held_before_the_ledger_has_it),
		cmocka_unit_test(a_list_that_an_allocate_overtook_says_nothing_of_that_device),
		cmocka_unit_test(a_replica_of_nvidias_plugin_holds_what_it_is_a_share_of),
		cmocka_unit_test(what_nvidias_other_plugins_hand_out_is_not_ours),
		cmocka_unit_test(a_process_holds_the_slice_it_runs_on),
		cmocka_unit_test(a_pod_with_a_whole_gpu_in_mig_mode_holds_all_its_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
