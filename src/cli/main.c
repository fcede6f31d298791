/* kerf: the table of commands. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/cli.h"

/* X(group, NAME): kf_cmd_NAME, each in cmd-NAME.c (plan, apply, assert and export share one) */
#define KF_COMMANDS(X)                                                                             \
	X("On a node", agent)                                                                      \
	X("On a node", status)                                                                     \
	X("On a node", top)                                                                        \
	X("On a node", doctor)                                                                     \
	X("On a node", labels)                                                                     \
	X("On a node", advise)                                                                     \
	X("On a node", mps)                                                                        \
	X("On a node", release)                                                                    \
	X("MIG configurations, by hand", plan)                                                     \
	X("MIG configurations, by hand", apply)                                                    \
	X("MIG configurations, by hand", assert)                                                   \
	X("MIG configurations, by hand", export)                                                   \
	X("In a cluster", remove)                                                                  \
	X("In a cluster", webhook)                                                                 \
	X("Files", config)                                                                         \
	X("Files", completion)                                                                     \
	X("Without a GPU", demo)                                                                   \
	X("Without a GPU", sim)

#define X(group, name) extern const struct kf_command kf_cmd_##name;
KF_COMMANDS(X)
#undef X

static const struct {
	const char *group;
	const struct kf_command *command;
} rows[] = {
#define X(group, name) {group, &kf_cmd_##name},
	KF_COMMANDS(X)
#undef X
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct kf_command *kf_command_at(unsigned i)
{
	return i < N_ROWS ? rows[i].command : NULL;
}

const char *kf_command_group(unsigned i)
{
	return i < N_ROWS ? rows[i].group : "";
}

const struct kf_command *kf_command_find(const char *name)
{
	size_t i;

	for (i = 0; i < N_ROWS; i++)
		if (!strcmp(rows[i].command->name, name))
			return rows[i].command;
	return NULL;
}

int kf_cli_fail(const struct kf_error *err, int status)
{
	fprintf(stderr, "kerf: %s\n", err->msg);
	return status;
}

int kf_cli_no_command(const char *name)
{
	const char *names[N_ROWS + 3] = {"help", "version"}, *close;
	size_t i;

	for (i = 0; i < N_ROWS; i++)
		names[i + 2] = rows[i].command->name;
	close = kf_closest(name, names);
	fprintf(stderr, "kerf: no command is called '%s'; ", name);
	if (close)
		fprintf(stderr, "did you mean %s?  ", close);
	fprintf(stderr, "`kerf help` lists them\n");
	return KF_EXIT_USAGE;
}

int kf_cli_colours(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return !(no && no[0]) && terminal && strcmp(terminal, "dumb") != 0 && isatty(fileno(out));
}

static char progress[160];
static volatile sig_atomic_t n_progress; /* its bytes */

static void on_alarm(int signum)
{
	(void)signum;
	if (write(STDERR_FILENO, progress, (size_t)n_progress) < 0)
		return; /* nobody reads it then */
}

void kf_cli_progress(const char *what)
{
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

	alarm(0);
	if (!what || !isatty(STDERR_FILENO))
		return;
	n_progress = snprintf(progress, sizeof(progress), "kerf: %.120s...\n", what);
	sigaction(SIGALRM, &act, NULL);
	alarm(1);
}

const char *kf_cli_take_output(int *argc, char **argv)
{
	const char *output = NULL;
	int i, kept = 0;

	for (i = 0; i < *argc; i++) {
		if ((!strcmp(argv[i], "-o") || !strcmp(argv[i], "--output")) && i + 1 < *argc)
			output = argv[++i];
		else if (!strncmp(argv[i], "--output=", 9))
			output = argv[i] + 9;
		else if (!strncmp(argv[i], "-o", 2) && argv[i][2])
			output = argv[i] + 2;
		else
			argv[kept++] = argv[i];
	}
	*argc = kept;
	return output;
}

static int version(void)
{
	printf("kerf %s (%s) %s\n", KERF_VERSION, KERF_COMMIT, KERF_COMPILER);
	return KF_EXIT_OK;
}

int kf_cli_is_help(const char *argument)
{
	return !strcmp(argument, "--help") || !strcmp(argument, "-h");
}

/* Is help asked for: `kerf config --help`, `kerf config show --help`? */
static int wants_help(const struct kf_command *c, int argc, char **argv)
{
	return (argc > 1 && kf_cli_is_help(argv[1])) ||
	       (argc > 2 && !c->own_help && kf_cli_is_help(argv[2]));
}

int main(int argc, char **argv)
{
	const struct kf_command *c;

	if (argc < 2) {
		kf_cli_list(stderr);
		return KF_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || kf_cli_is_help(argv[1]))
		return kf_cli_help(argc - 1, argv + 1);
	if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version"))
		return version();
	c = kf_command_find(argv[1]);
	if (!c)
		return kf_cli_no_command(argv[1]);
	if (wants_help(c, argc - 1, argv + 1)) {
		fputs(c->usage, stdout);
		return KF_EXIT_OK;
	}
	return c->run(argc - 1, argv + 1);
}
