/* kerf help: the commands, what they do, and what their exit statuses mean. */
#include <string.h>

#include "cli/cli.h"

static void list_exits(FILE *out)
{
#define X(name, number, text) fprintf(out, "  %d  %s\n", number, text);
	KF_EXITS(X)
#undef X
}

void kf_cli_list(FILE *out)
{
	const struct kf_command *c;
	unsigned i;

	fprintf(out, "kerf cuts NVIDIA GPUs into MIG slices and hands them to Kubernetes pods.\n\n"
		     "usage: kerf COMMAND [ARGUMENT...]\n");
	for (i = 0; (c = kf_command_at(i)); i++) {
		if (!i || strcmp(kf_command_group(i), kf_command_group(i - 1)) != 0)
			fprintf(out, "\n%s:\n", kf_command_group(i));
		fprintf(out, "  %-10s  %s\n", c->name, c->summary);
	}
	fprintf(out, "\nExit status:\n");
	list_exits(out);
	fprintf(out,
		"\n`kerf help COMMAND` says more of one, `kerf version` which kerf this is.\n");
}

int kf_cli_help(int argc, char **argv)
{
	const struct kf_command *c;

	if (argc < 2) {
		kf_cli_list(stdout);
		return KF_EXIT_OK;
	}
	if (!strcmp(argv[1], "--man"))
		return kf_cli_man(stdout);
	c = kf_command_find(argv[1]);
	if (!c)
		return kf_cli_no_command(argv[1]);
	fputs(c->usage, stdout);
	return KF_EXIT_OK;
}
