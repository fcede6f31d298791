/* nvidia-cuda-mps-control -d: see mps.h and daemon.h. */
#include "mps/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "mps/wire.h"

static struct kf_mps_daemon here;

/* --- the loop --- */

static void hear_signal(void)
{
	struct signalfd_siginfo info;

	if (read(here.signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		kf_mps_children_bury(&here);
	else
		here.quits = 2;
}

/* One that is held waits for the end of another's question. */
static struct pollfd of_interest(struct kf_mps_connection *c)
{
	if (!here.asker)
		c->held = 0;
	return (struct pollfd){c->fd, c->held ? 0 : POLLIN, 0};
}

/* quits: 1, when the clients are gone; 2, at once. */
static int is_over(void)
{
	unsigned i, left = 0;

	if (!here.quits)
		return 0;
	for (i = 0; i < KF_MPS_SERVERS; i++) {
		if (!here.server[i].pid)
			continue;
		if (here.quits == 2 || !here.server[i].n_clients)
			kf_mps_child_end(&here.server[i]);
		left++;
	}
	return !left;
}

static void loop(void)
{
	static struct pollfd p[2 + KF_MPS_SERVERS + KF_MPS_CONNECTIONS];
	struct pollfd *of_server = p + 2, *of_connection = of_server + KF_MPS_SERVERS;
	unsigned i;

	while (!is_over()) {
		p[0] = (struct pollfd){here.listener, POLLIN, 0};
		p[1] = (struct pollfd){here.signals, POLLIN, 0};
		for (i = 0; i < KF_MPS_SERVERS; i++)
			of_server[i] = (struct pollfd){here.server[i].pid ? here.server[i].fd : -1,
						       POLLIN, 0};
		for (i = 0; i < KF_MPS_CONNECTIONS; i++)
			of_connection[i] = of_interest(&here.connection[i]);
		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
			continue;
		for (i = 0; i < KF_MPS_SERVERS; i++)
			if (here.server[i].pid && of_server[i].revents)
				kf_mps_child_hear(&here, &here.server[i]);
		if (p[1].revents)
			hear_signal();
		for (i = 0; i < KF_MPS_CONNECTIONS; i++)
			if (here.connection[i].fd >= 0 && of_connection[i].revents)
				kf_mps_connection_hear(&here, &here.connection[i]);
		if (p[0].revents)
			kf_mps_connection_take(&here);
		kf_mps_connections_admit(&here);
	}
}

/* --- start --- */

static int in_pipe(const char *name, char *path, size_t size)
{
	return (size_t)snprintf(path, size, "%s/%s", here.pipe, name) < size ? 0 : -1;
}

/* The one daemon of this directory. */
static int lock_directory(void)
{
	char path[PATH_MAX];
	int fd;

	if (in_pipe(KF_MPS_LOCK, path, sizeof(path)) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -1;
}

static int listen_here(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int on = 1;

	if (in_pipe(KF_MPS_SOCKET, at.sun_path, sizeof(at.sun_path)) < 0)
		return -1;
	unlink(at.sun_path);
	here.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (here.listener < 0 ||
	    setsockopt(here.listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(here.listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    chmod(at.sun_path, 0666) < 0 || listen(here.listener, 128) < 0)
		return -1;
	return 0;
}

static void write_pid(void)
{
	char path[PATH_MAX], text[16];
	int n = snprintf(text, sizeof(text), "%d", (int)getpid());

	if (in_pipe(KF_MPS_PID_FILE, path, sizeof(path)) == 0)
		kf_write_file(path, text, (size_t)n, 0644, 0, NULL);
}

static void take_defaults(void)
{
	const char *memory = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
	const char *share = getenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE");

	here.defaults.percent_x10 = 1000;
	if (memory)
		kf_mps_limits_parse(memory, &here.defaults.memory);
	if (share)
		kf_mps_percent_parse(share, &here.defaults.percent_x10);
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	here.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return here.signals;
}

static int begin(void)
{
	unsigned i;

	for (i = 0; i < KF_MPS_CONNECTIONS; i++)
		here.connection[i].fd = -1;
	take_defaults();
	if (kf_make_dirs(here.pipe, 0777, NULL) < 0 || kf_make_dirs(here.logs, 0755, NULL) < 0 ||
	    kf_mps_log_open(here.logs, "control.log", "Control") < 0)
		return -1;
	if (lock_directory() < 0) {
		fprintf(stderr, "An instance of this daemon is already running\n");
		return -1;
	}
	if (watch_signals() < 0 || listen_here() < 0)
		return -1;
	write_pid();
	kf_mps_log("Starting control daemon using socket %s/" KF_MPS_SOCKET, here.pipe);
	kf_mps_log("To connect CUDA applications to this daemon, set env "
		   "CUDA_MPS_PIPE_DIRECTORY=%s",
		   here.pipe);
	return 0;
}

static void clean_up(void)
{
	static const char *const files[] = {KF_MPS_SOCKET, KF_MPS_PID_FILE, KF_MPS_LOCK};
	char path[PATH_MAX];
	unsigned i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (in_pipe(files[i], path, sizeof(path)) == 0)
			unlink(path);
	kf_mps_log("Exit");
}

/* The parent goes when the child listens: 0, or 1 when it could not. */
static int in_the_background(int *ready)
{
	int pair[2];
	char ok = 1;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid > 0) {
		close(pair[1]);
		_exit(read(pair[0], &ok, 1) == 1 ? ok : 1);
	}
	close(pair[0]);
	setsid();
	*ready = pair[1];
	return 0;
}

int kf_mps_daemon(const char *pipe, const char *logs, int foreground, int multiuser)
{
	int ready = -1, null;
	const char ok = 0;

	here.pipe = pipe;
	here.logs = logs;
	here.multiuser = multiuser;
	if (!foreground && in_the_background(&ready) < 0)
		return 1;
	if (begin() < 0)
		return 1;
	if (!foreground) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
		    write(ready, &ok, 1) < 0)
			return 1;
		close(ready);
	}
	loop();
	clean_up();
	return 0;
}
