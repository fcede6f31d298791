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
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "mps/socket.h"
#include "mps/wire.h"

static struct kf_mps_daemon here;

/* --- servers --- */

struct kf_mps_child *kf_mps_child_by_pid(struct kf_mps_daemon *d, pid_t pid)
{
	unsigned i;

	for (i = 0; pid > 0 && i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid == pid)
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

static void end_server(struct kf_mps_child *c)
{
	if (!c->ending)
		kf_mps_child_say(c, "shutdown", -1);
	c->ending = 1;
}

/* --- connections --- */

static const struct kf_mps_step steps[] = KF_MPS_STEPS;
#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

/* The step at whose answer a client is held until there is a server for it. */
#define GATE_STEP (N_STEPS - 2)

static struct kf_mps_child *live_server(void)
{
	unsigned i;

	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (here.server[i].pid)
			return &here.server[i];
	return NULL;
}

/* A client that was let in and went before its descriptor came is none. */
static void take_back(void)
{
	struct kf_mps_child *server = live_server();

	if (server && server->n_given) {
		server->n_given--;
		server->n_clients--;
	}
}

static void hang_up(struct kf_mps_connection *c)
{
	if (here.asker == c)
		here.asker = NULL;
	if (c->kind == KF_MPS_IS_CLIENT && c->step == GATE_STEP + 1)
		take_back();
	close(c->fd);
	*c = (struct kf_mps_connection){.fd = -1};
}

static void answer(struct kf_mps_connection *c, unsigned bytes)
{
	static const char zeros[KF_MPS_MAX];

	if (bytes && kf_mps_say(c->fd, zeros, bytes, -1) < 0)
		hang_up(c);
}

static uid_t server_uid(const struct kf_mps_connection *c)
{
	return here.multiuser ? getuid() : c->who.uid;
}

/*
 * One user at a time: another one's client waits until the server has no client more; then the
 * server goes, and the next is that user's.
 */
static void admit(struct kf_mps_connection *c)
{
	struct kf_mps_child *server = live_server();

	if (!server) {
		if (!here.quits && !kf_mps_child_start(&here, server_uid(c)))
			hang_up(c);
		return;
	}
	if (server->uid != server_uid(c)) {
		if (!server->n_clients)
			end_server(server);
		return;
	}
	if (!server->ready || server->ending)
		return;
	kf_mps_log("NEW CLIENT %d from user %u: Server already exists", (int)c->who.pid,
		   (unsigned)c->who.uid);
	c->waits = 0;
	c->step++;
	server->n_clients++; /* from now on it is this server's */
	server->n_given++;
	answer(c, steps[GATE_STEP].answer);
}

static void admit_all(void)
{
	unsigned i;

	for (i = 0; i < KF_MPS_CONNECTIONS; i++)
		if (here.connection[i].fd >= 0 && here.connection[i].waits &&
		    here.connection[i].kind == KF_MPS_IS_CLIENT)
			admit(&here.connection[i]);
}

static void hand_over(struct kf_mps_connection *c, int passed)
{
	struct kf_mps_child *server = live_server();
	char line[64];

	snprintf(line, sizeof(line), "client %d %u", (int)c->who.pid, (unsigned)c->who.uid);
	if (server)
		kf_mps_child_say(server, line, passed);
	close(passed);
}

/* A message of a client's: it must be the next step of the handshake, to the byte. */
static void client_step(struct kf_mps_connection *c, ssize_t n, const struct kf_mps_along *along)
{
	const struct kf_mps_step *step = &steps[c->step < N_STEPS ? c->step : N_STEPS - 1];

	if (c->step >= N_STEPS || c->waits || (size_t)n != step->ask ||
	    along->n_passed != step->ask_fds) {
		kf_mps_log("Client %d: unexpected message", (int)c->who.pid);
		if (along->passed >= 0)
			close(along->passed);
		hang_up(c);
		return;
	}
	if (c->step == GATE_STEP) {
		c->waits = 1;
		kf_mps_log("NEW CLIENT %d from user %u: Server is not ready, push client to "
			   "pending list",
			   (int)c->who.pid, (unsigned)c->who.uid);
		admit(c);
		return;
	}
	if (along->passed >= 0)
		hand_over(c, along->passed);
	c->step++;
	answer(c, step->answer);
}

static void reply(struct kf_mps_connection *c, const char *text, size_t n)
{
	c->waits = 0;
	kf_mps_say(c->fd, text, n ? n : 1, -1); /* an empty message would be an end */
}

static void ui_line(struct kf_mps_connection *c, const char *line)
{
	kf_auto(kf_text_done) struct kf_text out = {0};

	if (kf_mps_command(&here, line, &out) == KF_MPS_LATER) {
		c->waits = 1;
		here.asker = c;
		return;
	}
	reply(c, out.s ? out.s : "", out.n);
}

static void hear(struct kf_mps_connection *c)
{
	static char bytes[KF_MPS_TEXT];
	struct kf_mps_along along;
	ssize_t n = kf_mps_hear(c->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT, &along);
	uint32_t who = 0;

	if (n < (ssize_t)sizeof(who)) {
		hang_up(c);
		return;
	}
	bytes[n] = '\0';
	memcpy(&who, bytes, sizeof(who));
	if (c->kind == KF_MPS_UNKNOWN) {
		c->who = along.who;
		c->kind = who == KF_MPS_UI ? KF_MPS_IS_UI : KF_MPS_IS_CLIENT;
		kf_mps_log(c->kind == KF_MPS_IS_UI ? "NEW UI" : "Accepting connection...");
	}
	if (c->kind == KF_MPS_IS_UI)
		ui_line(c, bytes + sizeof(who));
	else
		client_step(c, n, &along);
}

static void take_connection(void)
{
	int fd = accept4(here.listener, NULL, NULL, SOCK_CLOEXEC);
	unsigned i;

	for (i = 0; fd >= 0 && i < KF_MPS_CONNECTIONS; i++)
		if (here.connection[i].fd < 0) {
			here.connection[i] = (struct kf_mps_connection){.fd = fd};
			return;
		}
	if (fd >= 0)
		close(fd);
}

/* --- what servers say --- */

static void hear_server(struct kf_mps_child *c)
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
	} else if (!strncmp(bytes, "answer ", 7) && here.asker && here.asked == c) {
		reply(here.asker, bytes + 7, (size_t)n - 7);
		here.asker = NULL;
	}
}

static void bury(struct kf_mps_child *c, int status)
{
	static const char gone[] = "The server is gone\n";

	kf_mps_log("Server %d exited with status %d", (int)c->pid, WEXITSTATUS(status));
	if (here.asker && here.asked == c) {
		reply(here.asker, gone, sizeof(gone) - 1);
		here.asker = NULL;
	}
	close(c->fd);
	if (!c->ready) { /* it could not even start: whoever waits for it waits in vain */
		unsigned i;

		for (i = 0; i < KF_MPS_CONNECTIONS; i++)
			if (here.connection[i].fd >= 0 && here.connection[i].waits &&
			    here.connection[i].kind == KF_MPS_IS_CLIENT)
				hang_up(&here.connection[i]);
	}
	*c = (struct kf_mps_child){0};
}

static void hear_signal(void)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(here.signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD) {
		here.quits = 2;
		return;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct kf_mps_child *c = kf_mps_child_by_pid(&here, pid);

		if (c)
			bury(c, status);
	}
}

/* --- the loop --- */

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
			end_server(&here.server[i]);
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
			of_connection[i] = (struct pollfd){here.connection[i].fd, POLLIN, 0};
		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
			continue;
		for (i = 0; i < KF_MPS_SERVERS; i++)
			if (here.server[i].pid && of_server[i].revents)
				hear_server(&here.server[i]);
		if (p[1].revents)
			hear_signal();
		for (i = 0; i < KF_MPS_CONNECTIONS; i++)
			if (here.connection[i].fd >= 0 && of_connection[i].revents)
				hear(&here.connection[i]);
		if (p[0].revents)
			take_connection();
		admit_all();
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
