/* kerf plan, apply, assert, export: the planner by hand, without Kubernetes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "cli/local.h"
#include "plan/plan.h"

static int read_all(struct kf_local *l, int lock)
{
	int status = kf_local_read(l);

	if (status == KF_EXIT_OK)
		status = kf_local_holds(l, lock);
	if (status == KF_EXIT_OK)
		status = kf_local_target(l);
	return status;
}

/* --- plan ---------------------------------------------------------------------------------- */

static int print_plan(const struct kf_local *l, const struct kf_plan *plan)
{
	kf_auto_mem char *text = NULL;
	int json = l->output && (!strcmp(l->output, "json") || !strcmp(l->output, "yaml"));

	text = json ? kf_plan_json(l->node, plan) : kf_plan_text(l->node, plan);
	if (!text)
		return KF_EXIT_FAILED;
	if (json)
		return kf_local_print(l, text);
	fputs(text, stdout);
	return KF_EXIT_OK;
}

static int no_plan(const struct kf_local *l, struct kf_error *err)
{
	kf_mig_configs_locate(l->configs, err);
	return kf_cli_fail(err, KF_EXIT_USAGE);
}

static int plan_once(struct kf_local *l)
{
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	struct kf_error err = {0};
	int answer = kf_plan_make(l->node, l->target, &l->holds, &plan, &err);

	if (answer < 0)
		return no_plan(l, &err);
	if (answer == KF_PLAN_SETTLED) {
		printf("nothing to do: the node is as %s says\n", l->target->name);
		return KF_EXIT_OK;
	}
	return print_plan(l, plan);
}

static int run_plan(int argc, char **argv)
{
	struct kf_local l = {0};
	int status = kf_local_args(&l, argc, argv);

	if (status == KF_EXIT_OK)
		status = read_all(&l, 0);
	if (status == KF_EXIT_OK)
		status = plan_once(&l);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_plan = {
	.name = "plan",
	.summary = "every step to a MIG configuration, and what it would disturb; changes nothing",
	.usage = "usage: kerf plan [-f FILE] [-c NAME] [-o json|yaml]\n\n" KF_LOCAL_USAGE,
	.run = run_plan,
};

/* --- apply --------------------------------------------------------------------------------- */

#define ROUNDS 6 /* modes, then instances, and a stale reading or two */

static unsigned ready_steps(const struct kf_plan *plan, int mode_only, struct kf_step *out)
{
	unsigned i, n = 0;

	for (i = 0; i < plan->n; i++) {
		const struct kf_step *s = &plan->step[i];
		int mode = s->kind == KF_STEP_MODE_ON || s->kind == KF_STEP_MODE_OFF;

		if (!s->blocked && (mode || !mode_only))
			out[n++] = *s;
	}
	return n;
}

/* Print what became of the steps; the first that failed decides. */
static int report(const struct kf_job *job)
{
	int status = KF_EXIT_OK;
	char text[160];
	unsigned i;

	for (i = 0; i < job->n_steps; i++) {
		const struct kf_outcome *out = &job->outcome[i];

		if (out->answer == KF_OUTCOME_SKIPPED)
			continue;
		kf_step_text(job->before, &job->steps[i], text, sizeof(text));
		if (out->answer == 0) {
			printf("%s: done in %.1f ms\n", text, out->us / 1000.0);
			continue;
		}
		fprintf(stderr, "kerf: %s\n", out->err.msg);
		if (status == KF_EXIT_OK)
			status = out->answer > 0 ? KF_EXIT_PENDING : KF_EXIT_FAILED;
	}
	return status;
}

static int carry_out(struct kf_local *l, const struct kf_step *steps, unsigned n, int save)
{
	kf_auto(kf_job_freep) struct kf_job *job = kf_job_new(steps, n, &l->holds);
	unsigned i;

	if (!job)
		return KF_EXIT_FAILED;
	job->set = l->set;
	job->driver = &l->driver;
	job->before = l->node;
	job->files = l->files;
	job->save = save;
	snprintf(job->config, sizeof(job->config), "%s", l->target->name);
	kf_cli_progress(n ? "changing the GPUs" : "reading the GPUs");
	kf_job_run(job);
	kf_cli_progress(NULL);
	for (i = 0; i < job->n_troubles; i++)
		fprintf(stderr, "kerf: %s; going on without\n", job->trouble[i].msg);
	return report(job);
}

/* One round; *more is 1 when there may be more to do after it. */
static int apply_round(struct kf_local *l, int *more)
{
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	kf_auto_mem struct kf_step *steps = NULL;
	struct kf_error err = {0};
	unsigned n;
	int answer = kf_plan_make(l->node, l->target, &l->holds, &plan, &err);

	*more = 0;
	if (answer < 0)
		return no_plan(l, &err);
	if (answer == KF_PLAN_SETTLED)
		return carry_out(l, NULL, 0, 1);
	steps = kf_calloc(plan->n, sizeof(*steps));
	if (!steps)
		return KF_EXIT_FAILED;
	n = ready_steps(plan, l->mode_only, steps);
	if (n == 0) {
		print_plan(l, plan);
		return plan->n_blocked ? KF_EXIT_PENDING : KF_EXIT_OK;
	}
	*more = 1;
	return carry_out(l, steps, n, 0);
}

/* Only the agent can withdraw a slice from the kubelet before it goes: say so where there is one.
 */
static void warn_of_kubelet(const struct kf_local *l)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/kubelet.sock", l->set->kubelet_dir);
	if (access(path, F_OK) == 0)
		fprintf(stderr,
			"kerf: warning: a kubelet runs here (%s): it may give a pod a free slice "
			"that is being destroyed; `kerf agent` and a label rule that out\n",
			path);
}

static int run_apply(int argc, char **argv)
{
	struct kf_local l = {0};
	int status = kf_local_args(&l, argc, argv), more = 1, round;

	if (status == KF_EXIT_OK)
		warn_of_kubelet(&l);
	for (round = 0; status == KF_EXIT_OK && more && round < ROUNDS; round++) {
		status = read_all(&l, 1);
		if (status == KF_EXIT_OK)
			status = apply_round(&l, &more);
	}
	if (status == KF_EXIT_OK)
		printf("the node is as %s says\n", l.target->name);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_apply = {
	.name = "apply",
	.summary = "carry out a MIG configuration here and now, without Kubernetes",
	.usage = "usage: kerf apply [-f FILE] [-c NAME] [-m]\n\n" KF_LOCAL_USAGE
		 "  -m, --mode-only             MIG modes alone, no instances\n\n"
		 "Slices in use are left alone: exit status 4 says that some are in the way.\n"
		 "Where an agent runs, label the Node instead.\n",
	.run = run_apply,
};

/* --- assert, export ------------------------------------------------------------------------ */

static int check(struct kf_local *l)
{
	char why[512];
	int same;

	if (l->valid_only) {
		if (kf_mig_configs_has(l->configs, l->config ? l->config : ""))
			return KF_EXIT_OK;
		fprintf(stderr, "kerf: no configuration is called '%s'\n",
			l->config ? l->config : "");
		return KF_EXIT_FAILED;
	}
	same = l->mode_only ? kf_target_modes_match(l->node, l->target, why, sizeof(why))
			    : kf_target_matches(l->node, l->target, why, sizeof(why));
	if (same) {
		printf("the node is as %s says\n", l->target->name);
		return KF_EXIT_OK;
	}
	fprintf(stderr, "kerf: %s\n", why);
	return KF_EXIT_DIFFERS;
}

static int run_assert(int argc, char **argv)
{
	struct kf_local l = {0};
	int status = kf_local_args(&l, argc, argv);

	if (status == KF_EXIT_OK && !l.valid_only)
		status = kf_local_read(&l);
	if (status == KF_EXIT_OK)
		status = kf_local_target(&l);
	if (status == KF_EXIT_OK)
		status = check(&l);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_assert = {
	.name = "assert",
	.summary = "is the node as a MIG configuration says?  Exit status 0 or 3",
	.usage = "usage: kerf assert [-f FILE] [-c NAME] [-m] [-a]\n\n" KF_LOCAL_USAGE
		 "  -m, --mode-only             MIG modes alone\n"
		 "  -a, --valid-config          only: is there a configuration of that name?\n",
	.run = run_assert,
};

static int run_export(int argc, char **argv)
{
	struct kf_local l = {0};
	kf_auto_mem char *text = NULL;
	struct kf_error err = {0};
	int status = kf_local_args(&l, argc, argv);

	if (status == KF_EXIT_OK)
		status = kf_local_read(&l);
	if (status == KF_EXIT_OK) {
		int json = l.output && !strcmp(l.output, "json");

		if (kf_mig_export(l.node, l.label ? l.label : "current",
				  json ? KF_MIG_JSON : KF_MIG_YAML, &text, &err) < 0)
			status = kf_cli_fail(&err, KF_EXIT_FAILED);
		else
			fputs(text, stdout);
	}
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_export = {
	.name = "export",
	.summary = "the node's present geometry as a MIG configuration file",
	.usage = "usage: kerf export [-l NAME] [-o json|yaml] [--root DIR]\n\n"
		 "  -l, --label NAME            the configuration's name (default: current)\n",
	.run = run_export,
};
