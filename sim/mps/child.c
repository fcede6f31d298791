/* The servers of a control daemon: started, asked, heard, buried. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "mps/daemon.h"
#include "mps/socket.h"

struct kf_mps_child *kf_mps_child_by_pid(struct kf_mps_daemon *d, pid_t pid)
{
	unsigned i;

	for (i = 0; pid > 0 && i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid == pid)
			return &d->server[i];
	return NULL;
}

struct kf_mps_child *kf_mps_child_any(struct kf_mps_daemon *d)
{
	unsigned i;

	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid)
			return &d->server[i];
	return NULL;
}

int kf_mps_child_say(struct kf_mps_child *c, const char *text, int pass)
{
	return kf_mps_say(c->fd, text, strlen(text), pass);
}

/* In the child: the server's program lies beside ours, and has the user in its environment. */
static void run_server(const struct kf_mps_daemon *d, int fd, uid_t uid)
{
	char path[PATH_MAX] = "", user[16], *slash;
	char *argv[] = {(char *)(uintptr_t) "nvidia-cuda-mps-server", NULL, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	kf_mps_log("Starting new server %d for user %u", (int)getpid(), (unsigned)uid);
	if (dup2(fd, 3) < 0 || readlink("/proc/self/exe", path, sizeof(path) - 32) < 0)
		_exit(127);
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, argv[0]);
	snprintf(user, sizeof(user), "%u", (unsigned)uid);
	setenv(KF_MPS_USER, user, 1);
	setenv(KF_MPS_LOGS, d->logs ? d->logs : "", 1);
	if (d->multiuser)
		argv[1] = (char *)(uintptr_t) "-multiuser-server";
	execv(path, argv);
	_exit(127);
}

static void give_defaults(struct kf_mps_child *c, const struct kf_mps_shares *defaults)
{
	kf_auto(kf_text_done) struct kf_text line = {0};
	unsigned i;

	kf_text_addf(&line, "begin %u ", defaults->percent_x10);
	for (i = 0; i < defaults->memory.n; i++)
		kf_text_addf(&line, "%s%s=%lluM", i ? "," : "", defaults->memory.of[i].device,
			     (unsigned long long)(defaults->memory.of[i].bytes >> 20));
	if (!line.failed)
		kf_mps_child_say(c, line.s, -1);
}

struct kf_mps_child *kf_mps_child_start(struct kf_mps_daemon *d, uid_t uid)
{
	struct kf_mps_child *c = d->server;
	int pair[2];
	pid_t pid;

	while (c < d->server + KF_MPS_SERVERS && c->pid)
		c++;
	if (c == d->server + KF_MPS_SERVERS ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return NULL;
	pid = fork();
	if (pid == 0)
		run_server(d, pair[1], uid);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return NULL;
	}
	*c = (struct kf_mps_child){.pid = pid, .uid = uid, .fd = pair[0]};
	give_defaults(c, &d->defaults);
	return c;
}

void kf_mps_child_end(struct kf_mps_child *c)
{
	if (c->ending)
		return;
	kf_mps_log("Try shutting down server %d, backoff is disabled", (int)c->pid);
	kf_mps_child_say(c, "shutdown", -1);
	c->ending = 1;
}

/* What it tells of itself; else 0: it is an answer. */
static int note(struct kf_mps_child *c, const char *line)
{
	unsigned clients, given;

	if (!strcmp(line, "state ACTIVE")) {
		if (!c->ready)
			kf_mps_log("NEW SERVER %d: Ready", (int)c->pid);
		c->ready = 1;
		return 1;
	}
	if (sscanf(line, "clients %u %u", &clients, &given) == 2) {
		if (given == c->n_given)
			c->n_clients = clients;
		return 1;
	}
	return strncmp(line, "answer ", 7) != 0;
}

void kf_mps_child_hear(struct kf_mps_child *c)
{
	char bytes[256];
	ssize_t n = kf_mps_hear(c->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT, NULL);

	if (n <= 0)
		return; /* its end is told by SIGCHLD */
	bytes[n] = '\0';
	note(c, bytes);
}

void kf_mps_child_ask(struct kf_mps_daemon *d, struct kf_mps_child *c, const char *line,
		      struct kf_text *out)
{
	static char bytes[KF_MPS_TEXT];
	ssize_t n;

	if (kf_mps_child_say(c, line, -1) < 0)
		return;
	do {
		if (!c->pid || kf_mps_wait(d, c->fd) < 0 || !c->pid)
			return;
		n = kf_mps_hear(c->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT, NULL);
		bytes[n > 0 ? n : 0] = '\0';
	} while (n > 0 && note(c, bytes));
	if (n > 7)
		kf_text_add(out, bytes + 7);
}

static void bury(struct kf_mps_daemon *d, struct kf_mps_child *c, int status)
{
	int was_ready = c->ready;

	kf_mps_log("Server %d exited with status %d", (int)c->pid,
		   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	close(c->fd);
	*c = (struct kf_mps_child){0};
	if (!was_ready) /* it could not even start: whoever waits for it waits in vain */
		kf_mps_give_up_pending(d);
}

void kf_mps_children_bury(struct kf_mps_daemon *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct kf_mps_child *c = kf_mps_child_by_pid(d, pid);

		if (c)
			bury(d, c, status);
	}
}
