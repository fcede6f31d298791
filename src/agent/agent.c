/* The agent: constructed in order, run, and taken down in reverse; see agent.h. */
#include "agent/agent.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "nvml/nvml.h"
#include "state/intent.h"

/* --- timers and signals -------------------------------------------------------------------- */

/* A job reads the GPUs too; behind a driver slower than the poll another would leave no time to
 * decide anything. */
static void on_poll(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	kf_agent_metrics_poll(a);
	kf_agent_neighbours_look(a);
	kf_agent_toolkit_look(a);
	if (!a->job)
		kf_agent_read(a);
}

/* The API server has not shown our Node: what was configured before the start is put back. */
static void on_patience(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	if (!a->label_known)
		kf_agent_config_label(a, NULL);
	if (a->label_known)
		return;
	/* A change that was cut short knows the newer name. */
	if (a->cut_short[0])
		kf_agent_choose(a, a->cut_short, KF_BY_SAVED);
	else if (a->saved && a->saved->config[0])
		kf_agent_choose(a, a->saved->config, KF_BY_SAVED);
}

static void stop(struct kf_agent *a);

static void on_end_signal(uv_signal_t *handle, int signum)
{
	struct kf_agent *a = handle->data;

	kf_log(KF_INFO, "agent", "%s: ending; slices and pods stay as they are",
	       signum == SIGTERM ? "SIGTERM" : "SIGINT");
	stop(a);
}

static void on_hup(uv_signal_t *handle, int signum)
{
	struct kf_agent *a = handle->data;

	(void)signum;
	kf_log(KF_INFO, "agent", "SIGHUP: reading the configurations again");
	kf_agent_config_reload(a);
	kf_agent_load_configs(a);
	kf_agent_metrics_poll(a);
	kf_agent_toolkit_look(a);
	kf_agent_forget_ailments(a);
	memset(a->setback, 0, sizeof(a->setback));
	kf_time_slices_ask_again(&a->time_slices);
	kf_agent_read(a);
}

static void init_handles(struct kf_agent *a)
{
	uv_timer_t *timer[] = {&a->soon,	&a->poll,     &a->wait,	       &a->clear,
			       &a->stale_timer, &a->patience, &a->patch_timer, &a->names,
			       &a->sale_timer,	&a->probe};
	size_t i;

	for (i = 0; i < sizeof(timer) / sizeof(timer[0]); i++) {
		uv_timer_init(&a->loop, timer[i]);
		timer[i]->data = a;
	}
	uv_signal_init(&a->loop, &a->on_term);
	uv_signal_init(&a->loop, &a->on_int);
	uv_signal_init(&a->loop, &a->on_hup);
	a->on_term.data = a->on_int.data = a->on_hup.data = a;
}

static void start_handles(struct kf_agent *a)
{
	uv_signal_start(&a->on_term, on_end_signal, SIGTERM);
	uv_signal_start(&a->on_int, on_end_signal, SIGINT);
	uv_signal_start(&a->on_hup, on_hup, SIGHUP);
	uv_timer_start(&a->poll, on_poll, KF_POLL_MS, KF_POLL_MS);
	uv_timer_start(&a->patience, on_patience, a->kube ? KF_LABEL_PATIENCE_MS : 0, 0);
}

/* --- state on disk ------------------------------------------------------------------------- */

static int open_state(struct kf_agent *a, struct kf_error *err)
{
	kf_auto(kf_intent_freep) struct kf_intent *intent = NULL;
	struct kf_error trouble = {0};
	int answer = kf_ledger_open(a->set->state_dir, &a->ledger, err);

	if (answer < 0)
		return kf_prefix(err, "open the ledger in %s", a->set->state_dir);
	if (answer == KF_LEDGER_DAMAGED)
		kf_log_fail(KF_WARN, "state", err,
			    "the kubelet's checkpoint fills in what is lost");
	answer = kf_saved_read(a->set->state_dir, &a->saved, &trouble);
	if (answer < 0 || answer == KF_SAVED_BAD)
		kf_log_fail(KF_WARN, "state", &trouble, "starting without it");
	if (kf_time_slices_read(&a->time_slices, a->set->state_dir, &trouble) < 0)
		kf_log_fail(KF_WARN, "state", &trouble, "time slices may stay as they were set");
	answer = kf_intent_load(a->set->state_dir, &intent, &trouble);
	if (answer < 0 || answer == KF_INTENT_BAD)
		kf_log_fail(KF_WARN, "state", &trouble, "planning from what the GPUs carry");
	if (answer == 0) {
		snprintf(a->cut_short, sizeof(a->cut_short), "%s", intent->config);
		kf_log(KF_INFO, "state",
		       "a change to MIG configuration %s was cut short after its intent of %u "
		       "steps was written; planning the rest from what the GPUs carry",
		       intent->config, intent->n);
	}
	return 0;
}

/* --- life ---------------------------------------------------------------------------------- */

static int start_kubelet(struct kf_agent *a, struct kf_error *err)
{
	struct kf_kubelet_options opt = {.directory = a->set->kubelet_dir};
	const char *path = a->set->pod_resources;
	char beside[512];

	if (!path[0]) {
		snprintf(beside, sizeof(beside), "%s/../pod-resources/kubelet.sock",
			 a->set->kubelet_dir);
		path = beside;
	}
	if (strcmp(path, "none") != 0 &&
	    kf_podresources_start(&a->loop, path, &a->podresources, err) < 0)
		return -1;
	return kf_kubelet_start(&a->loop, &opt, &kf_agent_kubelet_events, a, &a->kubelet, err);
}

static int start(struct kf_agent *a, struct kf_error *err)
{
	struct kf_error trouble = {0};

	init_handles(a);
	kf_agent_neighbours_start(a);
	kf_agent_pause_start(a);
	if (kf_agent_marks_start(a, err) < 0)
		return -1;
	kf_agent_mps_start(a);
	if (open_state(a, err) < 0)
		return -1;
	kf_agent_config_start(a);
	/* What the ledger holds is known before anything is read or written. */
	if (kf_holdings_update(a->ledger, &(struct kf_sources){0}, &a->holds, err) < 0)
		return -1;
	kf_agent_load_configs(a);
	kf_runtime_read(kf_job_root(a->set), &a->runtime);
	if (start_kubelet(a, err) < 0)
		return -1;
	kf_agent_neighbours_look(a);
	kf_agent_toolkit_look(a);
	kf_agent_health_start(a);
	/* Before anything else: the devices of pods that wait to be admitted again. */
	if (kf_agent_start_job(a, NULL, 0, 0) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the first reading of the GPUs");
	/* Neither is worth a node that serves nothing. */
	if (kf_agent_kube_start(a, &trouble) < 0)
		kf_log_fail(KF_ERROR, "kube", &trouble,
			    "serving the kubelet without the API server");
	if (kf_agent_configmap_start(a, &trouble) < 0) {
		a->map_err = trouble;
		kf_agent_config_reload(a);
	}
	if (kf_agent_serve(a, &trouble) < 0)
		kf_log_fail(KF_WARN, "agent", &trouble, "`kerf status` cannot ask this agent");
	if (kf_agent_release_serve(a, &trouble) < 0)
		kf_log_fail(KF_WARN, "agent", &trouble, "`kerf release` cannot ask this agent");
	kf_agent_metrics_start(a);
	start_handles(a);
	return 0;
}

static void close_all(struct kf_agent *a);

static void on_part_stopped(void *ud)
{
	struct kf_agent *a = ud;

	if (--a->n_closing == 0)
		close_all(a);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Kubelet, PodResources and API client are gone: what is left on the loop is ours. */
static void close_all(struct kf_agent *a)
{
	kf_agent_serve_stop(a);
	uv_walk(&a->loop, close_handle, NULL);
}

static void stop(struct kf_agent *a)
{
	if (a->stopping)
		return;
	a->stopping = 1;
	uv_timer_stop(&a->soon);
	uv_timer_stop(&a->poll);
	uv_timer_stop(&a->wait);
	uv_timer_stop(&a->clear);
	uv_timer_stop(&a->stale_timer);
	uv_timer_stop(&a->patience);
	uv_timer_stop(&a->patch_timer);
	uv_timer_stop(&a->names);
	uv_timer_stop(&a->sale_timer);
	uv_timer_stop(&a->config_timer);
	uv_timer_stop(&a->probe);
	uv_timer_stop(&a->marks.timer);
	uv_timer_stop(&a->mps.timer);
	uv_timer_stop(&a->neighbours.timer);
	uv_timer_stop(&a->pause.timer);
	kf_agent_kube_stop(a);
	kf_agent_metrics_stop(a);
	a->n_closing = 1;
	if (a->kubelet) {
		a->n_closing++;
		kf_kubelet_stop(a->kubelet, on_part_stopped, a);
		a->kubelet = NULL;
	}
	if (a->podresources) {
		a->n_closing++;
		kf_podresources_stop(a->podresources, on_part_stopped, a);
		a->podresources = NULL;
	}
	if (a->kube) {
		a->n_closing++;
		kf_kube_close(a->kube, on_part_stopped, a);
		a->kube = NULL;
	}
	a->n_closing += (unsigned)kf_agent_health_stop(a, on_part_stopped);
	on_part_stopped(a);
}

static void done(struct kf_agent *a)
{
	kf_plan_free(a->plan);
	kf_target_free(a->target);
	kf_saved_free(a->saved);
	kf_mig_configs_free(a->configs);
	kf_withdraw_done(&a->withdrawals);
	kf_sale_done(&a->sale);
	kf_agent_mps_done(a);
	kf_time_slices_done(&a->time_slices);
	kf_agent_config_done(a);
	kf_health_done(&a->health);
	kf_holds_done(&a->holds);
	kf_pod_rows_done(&a->pods);
	kf_ledger_close(a->ledger);
	kf_files_free(a->files);
	kf_labels_done(&a->features);
	kf_labels_done(&a->features_seen);
	kf_node_free(a->node);
	kf_nvml_close(a->driver);
	kf_agent_metrics_done(a);
	kf_kube_config_free(a->kube_config);
	free(a);
}

/*
 * One arena for the loop and the one thread beside it, and what is large (a reading of the node)
 * goes back to the system when it is freed: half a MiB that a daemon has no use for.
 */
static void keep_memory_small(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
}

int kf_agent_run(const struct kf_settings *set, struct kf_error *err)
{
	struct kf_agent *a;
	int r;

	/* One driver job at a time is all that libuv's pool is asked for; four stacks are not free.
	 */
	setenv("UV_THREADPOOL_SIZE", "1", 0);
	keep_memory_small();
	signal(SIGPIPE, SIG_IGN);
	a = kf_calloc(1, sizeof(*a));
	if (!a)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the agent");
	a->set = set;
	kf_wall(&a->started_s, &(int32_t){0});
	r = uv_loop_init(&a->loop);
	if (r < 0) {
		free(a);
		return kf_fail(err, KF_E_SYSTEM, -r, "start the loop: %s", uv_strerror(r));
	}
	r = start(a, err);
	if (r < 0)
		stop(a);
	uv_run(&a->loop, UV_RUN_DEFAULT);
	uv_loop_close(&a->loop);
	done(a);
	return r;
}
