/* The commands of the one binary.  Adding a command is one file, cmd-NAME.c, and one row in main.c.
 */
#pragma once

#include <stdio.h>

struct kf_error;

/* Exit statuses, the same for every command. */
enum kf_exit {
	KF_EXIT_OK = 0,
	KF_EXIT_FAILED = 1,  /* tried and failed; the sentence is on stderr */
	KF_EXIT_USAGE = 2,   /* the command line or a file it names is wrong; nothing was tried */
	KF_EXIT_DIFFERS = 3, /* `assert`: the node is not as the configuration says */
	KF_EXIT_PENDING = 4, /* `apply`: what is in use was left alone; the rest is done */
};

struct kf_command {
	const char *name;
	const char *summary; /* one line for `kerf help` */
	const char *usage;   /* what `kerf help NAME` and `kerf NAME --help` print */
	int (*run)(int argc,
		   char **argv); /* argv[0] is the command's name; answers an exit status */
};

/* "kerf: sentence" on stderr; returns status. */
int kf_cli_fail(const struct kf_error *err, int status);
