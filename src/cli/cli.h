/* The commands of the one binary.  Adding a command is one file, cmd-NAME.c, and one row in main.c.
 */
#pragma once

#include <stdio.h>

struct kf_error;

/* Exit statuses, the same for every command: X(NAME, number, what `kerf help` says of it). */
#define KF_EXITS(X)                                                                                \
	X(OK, 0, "done")                                                                           \
	X(FAILED, 1, "tried and failed, for the reason on standard error; doctor: a problem")      \
	X(USAGE, 2, "the command line, or a file that it names, is wrong; nothing was tried")      \
	X(DIFFERS, 3, "assert: the node is not as the configuration says")                         \
	X(PENDING, 4, "apply: what is in use was left alone; the rest is done")

enum kf_exit {
#define X(name, number, text) KF_EXIT_##name = number,
	KF_EXITS(X)
#undef X
};

/*
 * The usage text is all there is to say of the command line: completion and the man page are made
 * from it (words.h).  "[FLAG" in it stands for the agent's flags, which are those of settings.h.
 */
struct kf_command {
	const char *name;
	const char *summary; /* one line for `kerf help` */
	const char *usage;   /* what `kerf help NAME` and `kerf NAME --help` print */
	int (*run)(int argc,
		   char **argv); /* argv[0] is the command's name; answers an exit status */
	int own_help;		 /* it answers --help behind a subcommand by itself */
};

/* The table, in the order of `kerf help`; NULL past the end. */
const struct kf_command *kf_command_at(unsigned i);
/* The heading under which it stands there. */
const char *kf_command_group(unsigned i);
/* NULL if there is none. */
const struct kf_command *kf_command_find(const char *name);

/* "kerf: sentence" on stderr; returns status. */
int kf_cli_fail(const struct kf_error *err, int status);
/* "no command is called 'stauts'; did you mean status?"; KF_EXIT_USAGE. */
int kf_cli_no_command(const char *name);
/* "--help" or "-h": 1, else 0. */
int kf_cli_is_help(const char *argument);
/* May `out` be written in colour?  A terminal, and neither NO_COLOR nor TERM=dumb: 1, else 0. */
int kf_cli_colours(FILE *out);
/*
 * What begins now and may take its time: said on standard error, if that is a terminal, when it has
 * taken a second.  NULL: it is over.  One at a time.
 */
void kf_cli_progress(const char *what);
/* Take -o FORMAT out of the arguments; what is left is another's.  NULL if there is none. */
const char *kf_cli_take_output(int *argc, char **argv);

/* kerf help [COMMAND], kerf help --man: help.c, man.c */
int kf_cli_help(int argc, char **argv);
void kf_cli_list(FILE *out);
int kf_cli_man(FILE *out);
