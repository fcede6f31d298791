/* kerf agent: the daemon of a node. */
#include <string.h>

#include "agent/agent.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/cli.h"
#include "config/settings.h"

static void set_up_log(const struct kf_settings *set)
{
	kf_log_setup((enum kf_log_level)set->log_level, (enum kf_log_format)set->log_format);
}

static int print_help(void)
{
	struct kf_text text = {0};
	char *flags;

	kf_settings_help(&text);
	flags = kf_text_take(&text);
	printf("usage: kerf agent [FLAG...]\n\n"
	       "Serve this node: its GPUs and slices to the kubelet, the label "
	       "nvidia.com/mig.config "
	       "carried out.\nEvery flag may also be set by its environment variable.\n\n%s",
	       flags ? flags : "");
	free(flags);
	return KF_EXIT_OK;
}

static int run(int argc, char **argv)
{
	kf_auto(kf_settings_freep) struct kf_settings *set = NULL;
	struct kf_error err = {0};

	if (argc > 1 && !strcmp(argv[1], "--flags"))
		return print_help();
	if (kf_settings_flags(argc, argv, &set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	set_up_log(set);
	kf_agent_name_build(KERF_VERSION, KERF_COMMIT);
	if (kf_agent_run(set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	return KF_EXIT_OK;
}

const struct kf_command kf_cmd_agent = {
	.name = "agent",
	.summary = "serve this node: slices to the kubelet, mig.config labels carried out",
	.usage = "usage: kerf agent [FLAG...]\n\n"
		 "Runs until SIGTERM; SIGHUP reads the configurations again.\n"
		 "`kerf agent --flags` lists the flags with their environment variables and "
		 "defaults.\n",
	.run = run,
};
