/* kerf: the table of commands. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"

/* kf_cmd_NAME, each in cmd-NAME.c (plan, apply, assert and export share one) */
#define KF_COMMANDS(X)                                                                             \
	X(agent) X(status) X(config) X(labels) X(demo) X(plan) X(apply) X(assert) X(export) X(sim)

#define X(name) extern const struct kf_command kf_cmd_##name;
KF_COMMANDS(X)
#undef X

static const struct kf_command *const commands[] = {
#define X(name) &kf_cmd_##name,
	KF_COMMANDS(X)
#undef X
		NULL,
};

int kf_cli_fail(const struct kf_error *err, int status)
{
	fprintf(stderr, "kerf: %s\n", err->msg);
	return status;
}

static const struct kf_command *find(const char *name)
{
	size_t i;

	for (i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void list(FILE *out)
{
	size_t i;

	fprintf(out, "usage: kerf COMMAND [ARGUMENT...]\n\n");
	for (i = 0; commands[i]; i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\n`kerf help COMMAND` says more of one.\n");
}

static int help(int argc, char **argv)
{
	const struct kf_command *c = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 1 && !c) {
		fprintf(stderr, "kerf: no command is called '%s'; `kerf help` lists them\n",
			argv[1]);
		return KF_EXIT_USAGE;
	}
	if (c)
		fputs(c->usage, stdout);
	else
		list(stdout);
	return KF_EXIT_OK;
}

static int version(void)
{
	printf("kerf %s (%s) %s\n", KERF_VERSION, KERF_COMMIT, KERF_COMPILER);
	return KF_EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct kf_command *c;

	if (argc < 2) {
		list(stderr);
		return KF_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc - 1, argv + 1);
	if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version"))
		return version();
	c = find(argv[1]);
	if (!c) {
		fprintf(stderr, "kerf: no command is called '%s'; `kerf help` lists them\n",
			argv[1]);
		return KF_EXIT_USAGE;
	}
	if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
		fputs(c->usage, stdout);
		return KF_EXIT_OK;
	}
	return c->run(argc - 1, argv + 1);
}
