/* nvidia-cuda-mps-control as a daemon: its directory, its loop; see mps.h and daemon.h. */
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

static void hear_signal(struct kf_mps_daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		kf_mps_children_bury(d);
	else
		d->over = 1;
}

int kf_mps_wait(struct kf_mps_daemon *d, int fd)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {d->signals, POLLIN, 0}};

	while (!d->over) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			hear_signal(d);
		if (p[0].revents)
			return 0;
	}
	return -1;
}

/* While a server starts, nobody is served: the daemon waits for it. */
static int one_starts(const struct kf_mps_daemon *d)
{
	unsigned i;

	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid && !d->server[i].ready)
			return 1;
	return 0;
}

static void loop(struct kf_mps_daemon *d)
{
	static struct pollfd p[3 + KF_MPS_SERVERS + KF_MPS_PENDING];
	struct pollfd *of_server = p + 3, *of_pending = of_server + KF_MPS_SERVERS;
	unsigned i;

	while (!d->over) {
		int busy = one_starts(d);

		p[0] = (struct pollfd){d->signals, POLLIN, 0};
		p[1] = (struct pollfd){busy ? -1 : d->listener, POLLIN, 0};
		p[2] = (struct pollfd){busy ? -1 : d->privileged, POLLIN, 0};
		for (i = 0; i < KF_MPS_SERVERS; i++)
			of_server[i] =
				(struct pollfd){d->server[i].pid ? d->server[i].fd : -1, POLLIN, 0};
		for (i = 0; i < d->n_pending; i++)
			of_pending[i] = (struct pollfd){d->pending[i].fd, 0, 0};
		if (poll(p, 3 + KF_MPS_SERVERS + d->n_pending, -1) < 0)
			continue;
		for (i = 0; i < KF_MPS_SERVERS; i++)
			if (d->server[i].pid && of_server[i].revents)
				kf_mps_child_hear(&d->server[i]);
		if (p[0].revents)
			hear_signal(d);
		kf_mps_serve_pending(d);
		for (i = 1; i < 3; i++)
			if (p[i].revents && !d->over && !one_starts(d))
				kf_mps_serve(d, p[i].fd);
	}
}

/* --- start --- */

static int in_pipe(const char *name, char *path, size_t size)
{
	return (size_t)snprintf(path, size, "%s/%s", here.pipe, name) < size ? 0 : -1;
}

/* Written, and held locked: the one daemon of this directory. */
static int write_pid(void)
{
	char path[PATH_MAX];
	int fd;

	if (in_pipe(KF_MPS_PID_FILE, path, sizeof(path)) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		printf("An instance of this daemon is already running\n");
		close(fd);
		return -1;
	}
	return ftruncate(fd, 0) < 0 || dprintf(fd, "%d", (int)getpid()) < 0 ? -1 : 0;
}

static int listen_at(const char *name, unsigned mode)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int on = 1;
	int fd;

	if (in_pipe(name, at.sun_path, sizeof(at.sun_path)) < 0)
		return -1;
	unlink(at.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || chmod(at.sun_path, mode) < 0 ||
	    listen(fd, 128) < 0)
		return -1;
	return fd;
}

static int make_files(void)
{
	char path[PATH_MAX];
	int fd;

	if (in_pipe(KF_MPS_LOG_PIPE, path, sizeof(path)) < 0)
		return -1;
	unlink(path);
	if (mkfifo(path, 0777) < 0 || in_pipe(KF_MPS_LOCK, path, sizeof(path)) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	close(fd);
	here.privileged = listen_at(KF_MPS_PRIVILEGED, 0755);
	here.listener = listen_at(KF_MPS_SOCKET, 0666);
	return here.listener < 0 || here.privileged < 0 ? -1 : 0;
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
	umask(0);
	take_defaults();
	if (kf_make_dirs(here.pipe, 0777, NULL) < 0 ||
	    (here.logs && kf_make_dirs(here.logs, 0755, NULL) < 0) ||
	    kf_mps_log_open(here.logs, "control.log") < 0 || write_pid() < 0 ||
	    watch_signals() < 0 || make_files() < 0)
		return -1;
	kf_mps_log_as("Control");
	kf_mps_log("Starting control daemon using socket %s/" KF_MPS_SOCKET, here.pipe);
	kf_mps_log("To connect CUDA applications to this daemon, set env "
		   "CUDA_MPS_PIPE_DIRECTORY=%s",
		   here.pipe);
	kf_mps_log("CUDA MPS Control binary version: 13000");
	return 0;
}

/* As was seen: the sockets and the lock stay. */
static void clean_up(void)
{
	static const char *const files[] = {KF_MPS_LOG_PIPE, KF_MPS_PID_FILE};
	char path[PATH_MAX];
	unsigned i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (in_pipe(files[i], path, sizeof(path)) == 0)
			unlink(path);
	kf_mps_log("Exit with status 0");
}

/* The parent goes when the child listens: with 0, or with 1 when it could not. */
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

static int detach(int ready)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char ok = 0;

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    write(ready, &ok, 1) < 0)
		return -1;
	close(ready);
	return 0;
}

int kf_mps_daemon(const char *pipe, const char *logs, int foreground, int multiuser)
{
	int ready = -1;

	here.pipe = pipe;
	here.logs = foreground ? NULL : logs;
	here.multiuser = multiuser;
	if (!foreground && in_the_background(&ready) < 0)
		return 1;
	if (begin() < 0) {
		fflush(stdout);
		return 1;
	}
	if (!foreground && detach(ready) < 0)
		return 1;
	loop(&here);
	clean_up();
	return 0;
}
