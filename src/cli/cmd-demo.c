/* kerf demo: the main job, on a machine that is not there. */
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/cli.h"
#include "demo/demo.h"

/* On a machine with a GPU of its own, look at that as well: read only. */
static void show_own_gpus(void)
{
	if (access("/dev/nvidiactl", F_OK) != 0)
		return;
	printf("\nThis machine has a GPU of its own; `kerf status` says (nothing is changed):\n");
	fflush(stdout);
	execl("/proc/self/exe", "kerf", "status", NULL);
}

static int run(int argc, char **argv)
{
	struct kf_error err = {0};

	(void)argc;
	(void)argv;
	if (kf_demo_run(&err) < 0) {
		kf_prefix(&err, "demo");
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	}
	show_own_gpus();
	return KF_EXIT_OK;
}

const struct kf_command kf_cmd_demo = {
	.name = "demo",
	.summary = "from a node label to 56 pods on slices, on a simulated machine",
	.usage = "usage: kerf demo\n\n"
		 "Needs no GPU and no Kubernetes, and leaves nothing behind.\n",
	.run = run,
};
