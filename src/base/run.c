/* Running other programs; see run.h. */
#include "base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#define MOST_BYTES (64u << 10)

extern char **environ;

/* A thread may have signals blocked that the program wants.  0, or an errno. */
static int spawn(const struct kf_run *run, int out, pid_t *ret)
{
	char *const *env = run->env ? (char *const *)run->env : environ;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none, pipe;
	int r;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	posix_spawnattr_init(&how);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setsigdefault(&how, &pipe);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(ret, run->argv[0], &files, &how, (char *const *)run->argv, env);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* To the end: 0; -1: not in time. */
static int drain(int fd, uint64_t until_ms, struct kf_text *out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buffer[2048];
	ssize_t n;

	for (;;) {
		uint64_t now = kf_now_ms();

		if (now >= until_ms || poll(&p, 1, (int)(until_ms - now)) == 0)
			return -1;
		n = read(fd, buffer, sizeof(buffer));
		if (n == 0)
			return 0;
		if (n > 0 && out->n < MOST_BYTES)
			kf_text_addn(out, buffer, (size_t)n);
		else if (n < 0 && errno != EINTR)
			return -1;
	}
}

/* What has closed its output may still linger: it is not waited for longer than its time. */
static int reap(pid_t pid, uint64_t until_ms, int *status)
{
	while (waitpid(pid, status, WNOHANG) == 0) {
		if (kf_now_ms() >= until_ms)
			return -1;
		poll(NULL, 0, 1);
	}
	return 0;
}

int kf_run(const struct kf_run *run, struct kf_text *out, struct kf_error *err)
{
	uint64_t until_ms = kf_now_ms() + run->timeout_ms;
	kf_auto_fd int from = -1;
	int ends[2], status = 0, r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return kf_fail_errno(err, errno, "make a pipe for %s", run->argv[0]);
	from = ends[0];
	r = spawn(run, ends[1], &pid);
	close(ends[1]);
	if (r != 0)
		return kf_fail_errno(err, r, "start %s", run->argv[0]);
	if (drain(from, until_ms, out) < 0 || reap(pid, until_ms, &status) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return kf_fail(err, KF_E_TIMEOUT, 0, "%s did not end within %u ms", run->argv[0],
			       run->timeout_ms);
	}
	if (!WIFEXITED(status))
		return kf_fail(err, KF_E_SYSTEM, 0, "%s was ended by signal %d", run->argv[0],
			       WTERMSIG(status));
	return WEXITSTATUS(status);
}
