/* kerf release: have the agent let go of the GPUs while something else needs them for itself. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/release.h"
#include "base/error.h"
#include "base/own.h"
#include "cli/local.h"

/* A change of slices that is under way is carried out first. */
#define PATIENCE_MS 60000

/* A connection that holds the agent still, or -1 and errno: no agent is there. */
static int ask(const struct kf_settings *set)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	kf_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/" KF_RELEASE_SOCKET, set->state_dir);

	if (n < 0 || (size_t)n >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	n = fd;
	fd = -1;
	return n;
}

/* Until it says that it has let go. */
static int wait_for_word(int fd, struct kf_error *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char word[16];
	int n = poll(&p, 1, PATIENCE_MS);

	if (n < 0)
		return kf_fail_errno(err, errno, "wait for the agent");
	if (n == 0)
		return kf_fail(err, KF_E_TIMEOUT, 0,
			       "the agent did not let go of the GPUs in %d s: its log says what "
			       "it is at",
			       PATIENCE_MS / 1000);
	if (read(fd, word, sizeof(word)) <= 0)
		return kf_fail(err, KF_E_STATE, 0, "the agent ended meanwhile");
	return 0;
}

/* The command's exit status, as a shell has it. */
static int carry_out(char **command)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		execvp(command[0], command);
		fprintf(stderr, "kerf: run %s: %s\n", command[0], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return KF_EXIT_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until a signal ends us, or the agent is gone. */
static int hold(int fd)
{
	char word[16];

	printf("released; nothing of kerf has a GPU open until this ends (Ctrl-C)\n");
	fflush(stdout);
	while (read(fd, word, sizeof(word)) > 0)
		;
	fprintf(stderr, "kerf: the agent has ended\n");
	return KF_EXIT_FAILED;
}

/* Where the command of `kerf release -- COMMAND` begins; argc is cut there. */
static char **take_command(int *argc, char **argv)
{
	int i;

	for (i = 1; i < *argc; i++)
		if (!strcmp(argv[i], "--")) {
			*argc = i;
			argv[i] = NULL;
			return argv[i + 1] ? &argv[i + 1] : NULL;
		}
	return NULL;
}

static int run(int argc, char **argv)
{
	char **command = take_command(&argc, argv);
	struct kf_local l = {0};
	struct kf_error err = {0};
	int status = kf_local_args(&l, argc, argv);
	kf_auto_fd int fd = -1;

	if (status == KF_EXIT_OK) {
		fd = ask(l.set);
		if (fd < 0) {
			kf_fail_errno(&err, errno, "no agent is running on %s", l.set->state_dir);
			status = kf_cli_fail(&err, command ? KF_EXIT_OK : KF_EXIT_FAILED);
		} else if (wait_for_word(fd, &err) < 0) {
			status = kf_cli_fail(&err, KF_EXIT_FAILED);
		} else if (!command) {
			status = hold(fd);
		}
	}
	if (status == KF_EXIT_OK && command)
		status = carry_out(command);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_release = {
	.name = "release",
	.summary = "let go of the GPUs while something else resets one",
	.usage = "usage: kerf release [--state-dir DIR] [-- COMMAND [ARGUMENT...]]\n\n"
		 "The agent closes the driver, carries out COMMAND, and opens it again when that "
		 "has "
		 "ended.\n"
		 "Without a COMMAND it stays closed until this ends.  What the kubelet has listed "
		 "stays "
		 "so:\n"
		 "cordon the node, and have no pod on the GPU.\n\n"
		 "  kerf release -- nvidia-smi --gpu-reset -i 3\n\n"
		 "The exit status is that of COMMAND.\n",
	.run = run,
};
