/* kerf status: what this node carries and who holds it. */
#include <stdlib.h>
#include <string.h>

#include "agent/status.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/local.h"

/* Without an agent: the driver, and what its ledger and the kubelet's files say of holders. */
static json_t *look(struct kf_local *l, int *status)
{
	struct kf_status_view view = {.source = "driver"};
	struct kf_error ignored = {0};

	*status = kf_local_read(l);
	if (*status != KF_EXIT_OK)
		return NULL;
	if (kf_ledger_peek(l->set->state_dir, &l->ledger, &ignored) >= 0)
		*status = kf_local_holds(l, 0);
	view.node = l->node;
	view.holds = &l->holds;
	view.strategy = (enum kf_mig_strategy)l->set->mig_strategy;
	return kf_status_json(&view);
}

static int show(struct kf_local *l, json_t *json)
{
	kf_auto_mem char *text = NULL;
	unsigned flags = kf_cli_colours(stdout) ? KF_STATUS_COLOUR : 0;

	if (l->output && !strcmp(l->output, "wide"))
		flags |= KF_STATUS_WIDE;
	if (!l->output || !strcmp(l->output, "wide") || !strcmp(l->output, "text")) {
		text = kf_status_text(json, flags);
		if (text)
			fputs(text, stdout);
		return text ? KF_EXIT_OK : KF_EXIT_FAILED;
	}
	text = json_dumps(json, JSON_INDENT(2));
	return text ? kf_local_print(l, text) : KF_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct kf_local l = {0};
	kf_auto_mem char *answer = NULL;
	json_t *json = NULL;
	int status = kf_local_args(&l, argc, argv);

	if (status == KF_EXIT_OK) {
		answer = kf_local_ask(l.set, "agent.sock");
		json = answer ? json_loads(answer, 0, NULL) : NULL;
		if (!json)
			json = look(&l, &status);
		if (json)
			status = show(&l, json);
	}
	json_decref(json);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_status = {
	.name = "status",
	.summary = "GPUs, slices, who holds them, and what is going on",
	.usage = "usage: kerf status [-o json|yaml|wide] [--root DIR] [--state-dir DIR]\n\n"
		 "Asks the agent whose state lies in --state-dir; where none runs, the driver "
		 "itself.\n",
	.run = run,
};
