/*
 * Decide and act: from what is and what is wanted to the next thing to do.
 *
 * There is one path through here, taken whenever something changed: the target is matched with the
 * node, a plan is made, and of the plan the first of these is done that is there to do:
 *
 *   1. creates that need no removal           a job at once
 *   2. slices to be destroyed                 withdrawn from the kubelet, then a job
 *   3. steps that wait for pods               told, and looked at again every second
 *   4. nothing                                told, and the geometry saved
 *
 * After each job the node is read again and everything starts anew: what is, counts, not what was
 * planned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/blockers.h"
#include "agent/internal.h"
#include "agent/restore.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "mig/mig.h"

static void on_soon(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	if (a->job || a->gathering)
		a->dirty = 1; /* taken up when that is over */
	else
		kf_agent_gather(a);
}

void kf_agent_mark(struct kf_agent *a)
{
	if (a->stopping)
		return;
	a->dirty = 1;
	if (!uv_is_active((uv_handle_t *)&a->soon))
		uv_timer_start(&a->soon, on_soon, 0, 0);
}

void kf_agent_load_configs(struct kf_agent *a)
{
	struct kf_mig_configs *configs = NULL;
	struct kf_error err = {0};
	int r;

	if (a->set->mig_config[0])
		r = kf_mig_configs_load(a->set->mig_config, &configs, &err);
	else
		r = kf_mig_configs_builtin(&configs, &err);
	if (r < 0) {
		kf_log_fail(KF_ERROR, "config", &err,
			    a->configs ? "the configurations loaded before stay"
				       : "no configuration can be selected until it is mended");
		a->configs_err = err;
		return;
	}
	kf_mig_configs_free(a->configs);
	a->configs = configs;
}

void kf_agent_choose(struct kf_agent *a, const char *config, enum kf_chosen_by by)
{
	if (!strcmp(a->config, config)) {
		if (by == KF_BY_LABEL && a->chosen_by != by && config[0]) {
			a->chosen_by = by;
			kf_agent_mark(a);
		}
		return;
	}
	snprintf(a->config, sizeof(a->config), "%s", config);
	a->chosen_by = config[0] ? by : KF_BY_NOBODY;
	memset(a->setback, 0, sizeof(a->setback));
	kf_target_free(a->target);
	a->target = NULL;
	/* Nobody shall be told of, or evicted for, what is not wanted any more. */
	a->plan = kf_plan_free(a->plan);
	if (config[0])
		kf_log(KF_INFO, "agent", "MIG configuration %s is selected%s", config,
		       by == KF_BY_SAVED ? " again, as it was before the start" : "");
	else
		kf_log(KF_INFO, "agent",
		       "no MIG configuration is selected any more; the slices stay as they are");
	kf_agent_mark(a);
}

/* --- jobs ---------------------------------------------------------------------------------- */

static void count_outcomes(struct kf_agent *a, const struct kf_job *job)
{
	unsigned i;

	for (i = 0; i < job->n_steps; i++) {
		const struct kf_step *step = &job->steps[i];
		char text[160];

		kf_step_text(job->before, step, text, sizeof(text));
		if (job->outcome[i].answer == 0) {
			kf_log(KF_INFO, "mig", "%s: done in %u us", text, job->outcome[i].us);
			a->counts.created += step->kind == KF_STEP_CREATE;
			a->counts.destroyed += step->kind == KF_STEP_DESTROY;
		} else if (job->outcome[i].answer != KF_OUTCOME_SKIPPED) {
			kf_log_fail(KF_WARN, "mig", &job->outcome[i].err,
				    "the other GPUs go on; trying again");
		}
	}
}

/* 1, 2, 4 ... 60 s: soon enough for a client that ends, gentle on a driver that refuses. */
static void set_back(struct kf_setback *s, const struct kf_outcome *out)
{
	s->err = out->err;
	s->is_wait = out->answer > 0;
	s->retry_at_ms = kf_now_ms() + (s->failures < 6 ? 1000u << s->failures : 60000u);
	s->failures++;
}

/*
 * What the job's steps came to on each GPU: done, or why not.  BUSY and PENDING are a matter of
 * waiting; only what the driver refuses outright is a failure.  STALE asks for a new plan at once,
 * unless it is all that came of this one.
 */
static void weigh_outcomes(struct kf_agent *a, const struct kf_job *job)
{
	uint32_t went_on = 0;
	unsigned i;

	a->counts.changes += job->n_steps > 0;
	for (i = 0; i < job->n_steps; i++) {
		const struct kf_outcome *out = &job->outcome[i];
		unsigned gpu = job->steps[i].gpu;

		if (out->answer == KF_OUTCOME_SKIPPED)
			continue;
		if (out->answer == 0) {
			went_on |= 1u << gpu;
			a->setback[gpu] = (struct kf_setback){0};
		} else if (out->answer != KF_MIG_STALE || !(went_on >> gpu & 1)) {
			set_back(&a->setback[gpu], out);
		}
	}
}

static void reboot_for_mode(struct kf_agent *a, const struct kf_job *job)
{
	unsigned i;

	for (i = 0; i < job->n_steps && a->set->with_reboot; i++) {
		if (job->outcome[i].answer != KF_MIG_PENDING)
			continue;
		kf_agent_want_reboot(a, &a->setback[job->steps[i].gpu]);
		if (!a->rebooted)
			return;
	}
}

static void on_job_done(struct kf_job *job)
{
	struct kf_agent *a = job->userdata;

	a->job = NULL;
	if (a->stopping) {
		kf_job_free(job);
		return;
	}
	count_outcomes(a, job);
	weigh_outcomes(a, job);
	reboot_for_mode(a, job);
	if (job->save && job->after) {
		struct kf_error err = {0};

		kf_saved_free(a->saved);
		a->saved = NULL;
		if (kf_saved_make(job->after, job->config, "", &a->saved, &err) < 0)
			kf_log_fail(KF_WARN, "state", &err, "it is read again at the next start");
	}
	kf_agent_count_job(a, job);
	kf_agent_take_job(a, job);
	kf_agent_leave_on(a, job);
	kf_agent_time_slices_take(a, job); /* set since what was just found */
	kf_agent_metrics_go_on(a);
	/* Whatever is still there was not destroyed: it may be allocated again until asked for. */
	if (job->n_steps)
		kf_withdraw_set(&a->withdrawals, KF_WITHDRAW_ASKED);
	kf_job_free(job);
	kf_agent_publish(a);
	kf_agent_patch(a);
	kf_agent_listen(a);
	kf_agent_release_now(a);
	kf_agent_mark(a); /* after which what is wanted is read */
}

int kf_agent_launch(struct kf_agent *a)
{
	struct kf_error err = {0};

	a->job_began_ms = kf_now_ms();
	if (kf_job_start(&a->loop, a->job, &err) == 0)
		return 0;
	kf_log_fail(KF_ERROR, "agent", &err, "trying again in 10 s");
	if (a->job->n_steps) /* none of them is taken */
		kf_withdraw_set(&a->withdrawals, KF_WITHDRAW_ASKED);
	a->job = kf_job_free(a->job);
	kf_agent_metrics_go_on(a);
	return -1;
}

void kf_agent_stop_waiting(struct kf_agent *a, unsigned who)
{
	if (!(a->job_waits & who))
		return;
	a->job_waits &= ~who;
	if (!a->job_waits)
		kf_agent_launch(a);
}

void kf_agent_launch_quietly(struct kf_agent *a)
{
	static const struct kf_step as_for = {.kind = KF_STEP_MODE_ON};

	a->job_waits = kf_agent_hush(a, &as_for, 1) ? KF_WAITS_LISTENER : 0;
	if (kf_agent_metrics_hush(a, &as_for, 1))
		a->job_waits |= KF_WAITS_SAMPLER;
	if (!a->job_waits)
		kf_agent_launch(a);
}

int kf_agent_start_job(struct kf_agent *a, const struct kf_step *steps, unsigned n, int save)
{
	struct kf_job *job = kf_job_new(steps, n, &a->holds);

	if (!job) {
		kf_log(KF_ERROR, "agent", "no memory for a driver job; trying again in 10 s");
		return -1;
	}
	job->set = a->set;
	job->driver = &a->driver;
	job->before = a->node;
	job->files = a->files;
	job->caps = a->caps; /* stay where they cannot be read anew */
	job->save = save;
	job->cdi_written = a->cdi_written && !kf_agent_features_due(a);
	job->leaving = a->leaving != KF_STAYING;
	job->leave_cdi = a->neighbours.stance == KF_STANCE_PASSIVE;
	job->started_s = a->started_s;
	snprintf(job->config, sizeof(job->config), "%s", a->config);
	job->done = on_job_done;
	job->userdata = a;
	kf_agent_time_slices_ask(a, job);
	a->job = job;
	a->job_wanted = 0; /* this one reads the GPUs as well */
	a->job_waits = kf_agent_hush(a, steps, n) ? KF_WAITS_LISTENER : 0;
	if (kf_agent_metrics_hush(a, steps, n))
		a->job_waits |= KF_WAITS_SAMPLER;
	return a->job_waits ? 0 : kf_agent_launch(a);
}

/* --- withdrawals --------------------------------------------------------------------------- */

#define CLEAR_FIRST_MS 5
#define CLEAR_MS       50 /* the kubelet allows 100 PodResources calls a second, 10 at once */

static void on_clear_timer(uv_timer_t *timer)
{
	kf_agent_ask_clear(timer->data);
}

static void on_allocatable(void *ud, const struct kf_podresources_row *row, unsigned n,
			   const struct kf_error *err)
{
	struct kf_agent *a = ud;
	unsigned i, still = 0;

	a->asking_clear = 0;
	if (a->stopping || a->withdrawals.n == 0)
		return;
	for (i = 0; i < n; i++)
		still += kf_withdraw_state(&a->withdrawals, row[i].id) != KF_WITHDRAW_NONE;
	if (err || still || a->withdrawn_meanwhile) {
		if (err && a->clear_tries++ % 100 == 0)
			kf_log_fail(KF_WARN, "kubelet", err,
				    "nothing is destroyed until it says what it hands out");
		uv_timer_start(&a->clear, on_clear_timer,
			       a->clear_tries++ < 4 ? CLEAR_FIRST_MS : CLEAR_MS, 0);
		return;
	}
	kf_withdraw_set(&a->withdrawals, KF_WITHDRAW_CLEAR);
	kf_agent_mark(a);
}

/* Is there a kubelet that could hand out what we withdraw? */
int kf_agent_kubelet_is_there(const struct kf_agent *a)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/kubelet.sock", a->set->kubelet_dir);
	return a->n_listening > 0 || stat(path, &st) == 0;
}

void kf_agent_ask_clear(struct kf_agent *a)
{
	struct kf_error err = {0};

	if (a->stopping || a->job || a->asking_clear ||
	    kf_withdraw_all(&a->withdrawals, KF_WITHDRAW_CLEAR))
		return;
	if (!kf_agent_kubelet_is_there(a)) {
		kf_withdraw_set(&a->withdrawals, KF_WITHDRAW_CLEAR);
		kf_agent_mark(a);
		return;
	}
	a->withdrawn_meanwhile = 0;
	a->asking_clear =
		a->podresources &&
		kf_podresources_allocatable(a->podresources, on_allocatable, a, &err) == 0;
	if (!a->asking_clear)
		uv_timer_start(&a->clear, on_clear_timer, 1000, 0);
}

/* --- one pass ------------------------------------------------------------------------------ */

static void let_go(struct kf_agent *a)
{
	kf_plan_free(a->plan);
	a->plan = NULL;
	if (a->withdrawals.n == 0)
		return;
	a->withdrawals.n = 0;
	kf_agent_publish(a);
}

static void on_wait_timer(uv_timer_t *timer)
{
	kf_agent_read(timer->data);
}

static void look_again(struct kf_agent *a, uint64_t ms)
{
	uv_timer_start(&a->wait, on_wait_timer, ms, 0);
}

static void say_waiting(struct kf_agent *a)
{
	char holders[900], reason[1024];

	kf_blockers_text(a->node, a->plan, &a->holds, holders, sizeof(holders));
	snprintf(reason, sizeof(reason), "waiting for %s; the rest of %.63s follows as they end",
		 holders, a->config);
	kf_agent_say(a, KF_STATE_PENDING, reason);
}

/*
 * Steps to carry out now, to `out` if it is not NULL: the early ones alone, or all that are not
 * blocked; none of GPUs that pause.
 */
static unsigned select_steps(const struct kf_agent *a, int early_only, struct kf_step *out)
{
	uint64_t now = kf_now_ms();
	unsigned i, n = 0;

	for (i = 0; i < a->plan->n; i++) {
		const struct kf_step *step = &a->plan->step[i];

		if (step->blocked || (early_only && !step->early) ||
		    a->setback[step->gpu].retry_at_ms > now)
			continue;
		if (out)
			out[n] = *step;
		n++;
	}
	return n;
}

static void act(struct kf_agent *a, int early_only)
{
	kf_auto_mem struct kf_step *steps = kf_calloc(a->plan->n, sizeof(*steps));
	unsigned n;

	if (!steps)
		return;
	n = select_steps(a, early_only, steps);
	if (!kf_agent_pause(a, steps, n)) {
		look_again(a, KF_WAIT_MS);
		return;
	}
	if (!early_only)
		kf_withdraw_begin(&a->withdrawals, a->node, steps, n);
	if (kf_agent_start_job(a, steps, n, 0) < 0)
		kf_withdraw_set(&a->withdrawals, KF_WITHDRAW_ASKED);
}

/* May slices be taken from the kubelet?  Not while it cannot tell us that it has let go of them. */
static int may_withdraw(const struct kf_agent *a)
{
	return a->pods_known || !kf_agent_kubelet_is_there(a);
}

/* Tell the kubelet which devices go; those that no longer do are offered again.  0, or -1: the
 * list is not whole. */
static int withdraw(struct kf_agent *a)
{
	const struct kf_plan *plan = may_withdraw(a) ? a->plan : NULL;
	int changed;

	a->withdrawals.whole_gpus = a->set->mig_strategy == KF_MIG_NONE;
	changed = kf_withdraw_victims(&a->withdrawals, a->node, plan);
	if (changed != 0) {
		a->withdrawn_meanwhile = 1;
		kf_agent_publish(a);
	}
	return changed < 0 ? -1 : 0;
}

/* A setback is over where the plan has nothing more to do on that GPU.  Answers the one to tell of:
 * what the driver refuses before what is waited for; NULL: there is none. */
static const struct kf_setback *review_setbacks(struct kf_agent *a)
{
	const struct kf_setback *worst = NULL;
	uint32_t to_do = 0;
	unsigned i;

	for (i = 0; i < a->plan->n; i++)
		to_do |= (uint32_t)!a->plan->step[i].blocked << a->plan->step[i].gpu;
	for (i = 0; i < KF_MAX_GPUS; i++) {
		struct kf_setback *s = &a->setback[i];

		if (!(to_do >> i & 1))
			*s = (struct kf_setback){0};
		else if (s->failures && (!worst || s->is_wait < worst->is_wait))
			worst = s;
	}
	return worst;
}

/* A setback is told until its GPU is through, also while it is tried again. */
static void say_pending(struct kf_agent *a)
{
	const struct kf_setback *s = review_setbacks(a);
	char waits[300];

	if (kf_agent_pause_waits(a, waits, sizeof(waits)))
		kf_agent_say(a, KF_STATE_PENDING, waits);
	else if (s && a->state != KF_STATE_REBOOTING)
		kf_agent_say(a, s->is_wait ? KF_STATE_PENDING : KF_STATE_FAILED, s->err.msg);
	else if (s)
		return;
	else if (a->plan->n_blocked)
		say_waiting(a);
	else if (!may_withdraw(a))
		kf_agent_say(a, KF_STATE_PENDING,
			     "the kubelet's PodResources does not answer, so that nothing can be "
			     "withdrawn safely");
	else
		kf_agent_say(a, KF_STATE_PENDING, "");
}

/* How long until there may be something to do: a pause that ends, or whatever is waited for. */
static uint64_t next_look(const struct kf_agent *a)
{
	uint64_t now = kf_now_ms(), ms = UINT64_MAX;
	unsigned i;

	if (a->plan->n_blocked || select_steps(a, 0, NULL))
		return KF_WAIT_MS;
	for (i = 0; i < KF_MAX_GPUS; i++)
		if (a->setback[i].retry_at_ms > now && a->setback[i].retry_at_ms - now < ms)
			ms = a->setback[i].retry_at_ms - now;
	return ms == UINT64_MAX ? KF_WAIT_MS : ms;
}

/* The plan is there: do the first thing that can be done. */
static void advance(struct kf_agent *a)
{
	int whole = withdraw(a) == 0;

	if (a->plan->n_blocked && a->set->when_blocked == KF_BLOCKED_EVICT)
		kf_agent_evict(a);
	say_pending(a);
	if (select_steps(a, 1, NULL)) {
		act(a, 1);
	} else if (select_steps(a, 0, NULL) && whole && may_withdraw(a) &&
		   kf_withdraw_all(&a->withdrawals, KF_WITHDRAW_CLEAR)) {
		act(a, 0);
	} else {
		a->clear_tries = 0;
		if (a->withdrawals.n)
			kf_agent_ask_clear(a);
		look_again(a, next_look(a));
	}
}

static int same_geometry(const struct kf_saved_gpu *saved, const struct kf_gpu *gpu)
{
	struct kf_geometry g;
	unsigned i, k;

	kf_gpu_geometry(gpu, &g);
	if (!saved || saved->mig != gpu->mig_current || saved->n != g.n)
		return 0;
	for (i = 0; i < g.n; i++) {
		for (k = 0; k < saved->n; k++)
			if (saved->instance[k].start == g.at[i].start &&
			    saved->instance[k].profile == gpu->shape.profile[g.at[i].profile].id)
				break;
		if (k == saved->n)
			return 0;
	}
	return 1;
}

static int is_saved(const struct kf_agent *a)
{
	unsigned g;

	if (!a->saved || strcmp(a->saved->config, a->config) != 0)
		return 0;
	for (g = 0; g < a->node->n_gpus; g++)
		if (a->node->gpu[g].state == KF_GPU_OK &&
		    !same_geometry(kf_saved_find(a->saved, a->node->gpu[g].uuid), &a->node->gpu[g]))
			return 0;
	return 1;
}

/* A GPU that does not answer cannot be said to be as configured. */
static int say_silent_gpus(struct kf_agent *a)
{
	char reason[512];
	unsigned g;

	for (g = 0; g < a->node->n_gpus; g++) {
		const struct kf_gpu *gpu = &a->node->gpu[g];

		if (gpu->state == KF_GPU_OK || !a->target->gpu[g].mentioned)
			continue;
		snprintf(reason, sizeof(reason),
			 "gpu %u does not answer (%s); it follows when it does", g, gpu->trouble);
		kf_agent_say(a, KF_STATE_PENDING, reason);
		return 1;
	}
	return 0;
}

static void settled(struct kf_agent *a)
{
	let_go(a);
	if (say_silent_gpus(a))
		return;
	memset(a->setback, 0, sizeof(a->setback));
	uv_timer_stop(&a->wait);
	kf_agent_say(a, KF_STATE_SUCCESS, "");
	if (!is_saved(a))
		kf_agent_start_job(a, NULL, 0, 1);
}

static void cannot(struct kf_agent *a, const struct kf_error *err)
{
	let_go(a);
	uv_timer_stop(&a->wait);
	kf_agent_say(a, KF_STATE_FAILED, err->msg);
}

static int make_target(struct kf_agent *a, struct kf_error *err)
{
	struct kf_target *target = NULL;

	if (!a->configs)
		return kf_fail(err, KF_E_INPUT, 0, "%s", a->configs_err.msg);
	if (kf_mig_configs_target(a->configs, a->config, a->node, &target, err) < 0)
		return -1;
	kf_target_free(a->target);
	a->target = target;
	return 0;
}

static void leave_alone(struct kf_agent *a)
{
	let_go(a);
	kf_agent_say(a, KF_STATE_NONE, "");
}

static void pursue(struct kf_agent *a)
{
	struct kf_plan *plan = NULL;
	struct kf_error err = {0};
	int answer;

	if (a->driver_state != KF_DRIVER_OK) {
		let_go(a);
		kf_agent_say(a, KF_STATE_PENDING, a->driver_err.msg);
		return;
	}
	if (kf_agent_is_passive(a)) {
		let_go(a);
		kf_agent_say(a, KF_STATE_PENDING, a->neighbours.why);
		return;
	}
	if (make_target(a, &err) < 0) {
		cannot(a, &err);
		return;
	}
	answer = kf_plan_make(a->node, a->target, &a->holds, &plan, &err);
	kf_agent_count(a, answer == KF_PLAN_SETTLED ? KF_TALLY_SETTLED
			  : answer < 0		    ? KF_TALLY_IMPOSSIBLE
						    : KF_TALLY_PLAN);
	if (answer == KF_PLAN_SETTLED) {
		settled(a);
	} else if (answer < 0) {
		kf_mig_configs_locate(a->configs, &err);
		cannot(a, &err);
	} else {
		if (a->saved && !strcmp(a->saved->config, a->config))
			kf_restore_places(a->node, a->saved, plan);
		kf_plan_free(a->plan);
		a->plan = plan;
		advance(a);
	}
}

static int all_answer(const struct kf_agent *a)
{
	unsigned g;

	if (a->driver_state != KF_DRIVER_OK)
		return 0;
	for (g = 0; g < a->node->n_gpus; g++)
		if (a->node->gpu[g].state != KF_GPU_OK)
			return 0;
	return 1;
}

/* A hiccup of the driver shall not cost more than itself. */
static void look_at_the_silent(struct kf_agent *a)
{
	if (all_answer(a)) {
		a->quick_looks = 0;
	} else if (a->quick_looks > 0) {
		a->quick_looks--;
		look_again(a, KF_WAIT_MS);
	}
}

void kf_agent_reconcile(struct kf_agent *a)
{
	if (a->job || a->stopping || a->driver_state == KF_DRIVER_UNKNOWN ||
	    kf_agent_is_released(a))
		return;
	if (a->leaving)
		let_go(a);
	else if (a->config[0])
		pursue(a);
	else
		leave_alone(a);
	look_at_the_silent(a);
	/* Holders and target count for what is offered; publishing what is there does nothing. */
	kf_agent_publish(a);
	kf_agent_show(a);
	kf_agent_pause_review(a);
	if (a->dirty)
		kf_agent_mark(a);
}
