/* The servers of a control daemon: started, told, heard, buried. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
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

/* In the child: the server's program lies beside ours. */
static void run_server(const struct kf_mps_daemon *d, int fd, uid_t uid)
{
	char path[PATH_MAX] = "", user[16], *slash;
	char *argv[] = {(char *)"nvidia-cuda-mps-server", (char *)(uintptr_t)d->logs, user, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, 3) < 0 || readlink("/proc/self/exe", path, sizeof(path) - 32) < 0)
		_exit(127);
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "nvidia-cuda-mps-server");
	snprintf(user, sizeof(user), "%u", (unsigned)uid);
	execv(path, argv);
	_exit(127);
}

static void give_defaults(struct kf_mps_child *c, const struct kf_mps_shares *defaults)
{
	kf_auto(kf_text_done) struct kf_text line = {0};
	unsigned i;

	kf_text_addf(&line, "begin %u ", defaults->percent_x10);
	for (i = 0; i < defaults->memory.n; i++)
		kf_text_addf(&line, "%s%s=%llu", i ? "," : "", defaults->memory.of[i].device,
			     (unsigned long long)defaults->memory.of[i].bytes);
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
	*c = (struct kf_mps_child){.pid = pid, .uid = uid, .fd = pair[0], .state = "INITIALIZING"};
	give_defaults(c, &d->defaults);
	kf_mps_log("Starting new server %d for user %u", (int)pid, (unsigned)uid);
	return c;
}

void kf_mps_child_end(struct kf_mps_child *c)
{
	if (!c->ending)
		kf_mps_child_say(c, "shutdown", -1);
	c->ending = 1;
}

/* A question whose asker went meanwhile has its answer come all the same, before the next one's. */
static void hear_answer(struct kf_mps_daemon *d, struct kf_mps_child *c, const char *text, size_t n)
{
	if (c->unwanted)
		c->unwanted--;
	else if (d->asker && d->asked == c)
		kf_mps_reply(d, text, n);
}

void kf_mps_child_hear(struct kf_mps_daemon *d, struct kf_mps_child *c)
{
	static char bytes[KF_MPS_TEXT];
	ssize_t n = kf_mps_hear(c->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT, NULL);
	unsigned clients, given;

	if (n <= 0)
		return; /* its end is told by SIGCHLD */
	bytes[n] = '\0';
	if (!strncmp(bytes, "state ", 6)) {
		snprintf(c->state, sizeof(c->state), "%.15s", bytes + 6);
		if (!c->ready && !strcmp(c->state, "ACTIVE"))
			kf_mps_log("NEW SERVER %d: Ready", (int)c->pid);
		c->ready |= !strcmp(c->state, "ACTIVE");
	} else if (sscanf(bytes, "clients %u %u", &clients, &given) == 2) {
		if (given == c->n_given)
			c->n_clients = clients;
	} else if (!strncmp(bytes, "answer ", 7)) {
		hear_answer(d, c, bytes + 7, (size_t)n - 7);
	}
}

static void bury(struct kf_mps_daemon *d, struct kf_mps_child *c, int status)
{
	static const char gone[] = "The server is gone\n";
	int was_ready = c->ready;

	kf_mps_log("Server %d exited with status %d", (int)c->pid, WEXITSTATUS(status));
	if (d->asker && d->asked == c)
		kf_mps_reply(d, gone, sizeof(gone) - 1);
	close(c->fd);
	*c = (struct kf_mps_child){0};
	if (!was_ready) /* it could not even start: whoever waits for it waits in vain */
		kf_mps_connections_give_up(d);
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
