/* One MPS control daemon; see control.h. */
#include "mps/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "mps/wire.h"

/* --- the program ----------------------------------------------------------------------------- */

struct variables {
	char text[5][640];
	char *list[6];
};

/* All that the program gets: NVIDIA's own wrapper hands it as little. */
static void make_variables(const struct kf_mps_control *c, struct variables *v)
{
	const char *sim = getenv("KERF_SIM_DIR");
	unsigned n = 0;

	snprintf(v->text[n++], sizeof(v->text[0]), "CUDA_MPS_PIPE_DIRECTORY=%s", c->pipe);
	snprintf(v->text[n++], sizeof(v->text[0]), "CUDA_MPS_LOG_DIRECTORY=%s", c->log);
	snprintf(v->text[n++], sizeof(v->text[0]), "CUDA_VISIBLE_DEVICES=%s", c->uuid);
	if (c->library[0])
		snprintf(v->text[n++], sizeof(v->text[0]), "LD_LIBRARY_PATH=%s", c->library);
	if (sim)
		snprintf(v->text[n++], sizeof(v->text[0]), "KERF_SIM_DIR=%s", sim);
	v->list[n] = NULL;
	while (n-- > 0)
		v->list[n] = v->text[n];
}

#define MAX_WORDS 8

/* The words of its command line, in another root by way of ourselves. */
static void make_words(const struct kf_mps_control *c, const char *const *words, char **out)
{
	unsigned n = 0;

	if (c->root[0]) {
		out[n++] = (char *)"kerf";
		out[n++] = (char *)"mps";
		out[n++] = (char *)"in";
		out[n++] = (char *)c->root;
	}
	out[n++] = (char *)c->program;
	while (*words && n + 1 < MAX_WORDS)
		out[n++] = (char *)*words++;
	out[n] = NULL;
}

/* Its standard input, output and error; -1 is /dev/null.  The pid, or -1. */
static pid_t run(const struct kf_mps_control *c, const char *const *words, int in, int out)
{
	char *argv[MAX_WORDS];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	struct variables v;
	sigset_t none;
	pid_t pid;
	int r;

	make_variables(c, &v);
	make_words(c, words, argv);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&how);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&files, in, 0);
	else
		posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	r = posix_spawn(&pid, c->root[0] ? "/proc/self/exe" : c->program, &files, &how, argv,
			v.list);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	if (r != 0)
		errno = r;
	return r == 0 ? pid : -1;
}

/* Read to the end, or to the deadline.  0 or -1. */
static int drain(int fd, uint64_t until_ms, struct kf_text *out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buffer[2048];
	uint64_t now;
	ssize_t n;

	for (;;) {
		now = kf_now_ms();
		if (now >= until_ms || poll(&p, 1, (int)(until_ms - now)) == 0)
			return -1;
		n = read(fd, buffer, sizeof(buffer));
		if (n == 0)
			return 0;
		if (n > 0)
			kf_text_addn(out, buffer, (size_t)n);
		else if (errno != EINTR)
			return -1;
	}
}

int kf_mps_control_ask(const struct kf_mps_control *c, const char *commands, struct kf_text *out,
		       struct kf_error *err)
{
	static const char *const words[] = {NULL};
	size_t n = strlen(commands);
	int in[2] = {-1, -1}, back[2] = {-1, -1}, answered = -1;
	pid_t pid = -1;

	if (pipe2(in, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0)
		pid = run(c, words, in[0], back[1]);
	if (pid < 0)
		kf_fail(err, KF_E_SYSTEM, errno, "run %s: %s", c->program, strerror(errno));
	close(in[0]);
	close(back[1]);
	/* commands are shorter than a pipe is deep, so this cannot block */
	if (pid > 0 && write(in[1], commands, n) == (ssize_t)n) {
		close(in[1]);
		in[1] = -1;
		answered = drain(back[0], kf_now_ms() + KF_MPS_COMMAND_MS, out);
	}
	if (in[1] >= 0)
		close(in[1]);
	close(back[0]);
	if (pid < 0)
		return -1;
	if (answered < 0) {
		kill(pid, SIGKILL);
		kf_fail(err, KF_E_REMOTE, 0,
			"the MPS control daemon of %s does not answer \"%.60s\" within %d ms",
			c->uuid, commands, KF_MPS_COMMAND_MS);
	}
	waitpid(pid, NULL, 0);
	return answered;
}

/* --- start and stop -------------------------------------------------------------------------- */

static int make_folders(const struct kf_mps_control *c, struct kf_error *err)
{
	if ((mkdir(c->pipe, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(c->log, 0755) < 0 && errno != EEXIST))
		return kf_fail(err, KF_E_SYSTEM, errno, "make the folders %s and %s: %s", c->pipe,
			       c->log, strerror(errno));
	return 0;
}

/* The daemon that was here before us: its pid, or 0. */
static pid_t adopted(const struct kf_mps_control *c)
{
	char path[500], text[32] = "";
	struct kf_text out = {0};
	FILE *file;
	pid_t pid;
	int answers;

	snprintf(path, sizeof(path), "%s/" KF_MPS_PID_FILE, c->pipe);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	pid = (pid_t)strtol(text, NULL, 10);
	if (pid <= 1 || kill(pid, 0) < 0)
		return 0;
	answers = kf_mps_control_ask(c, "get_default_active_thread_percentage\n", &out, NULL) == 0;
	kf_text_done(&out);
	return answers ? pid : 0;
}

static int launch(struct kf_mps_control *c, struct kf_error *err)
{
	static const char *const words[] = {"-f", "-multiuser-server", NULL};
	char path[500];
	int log;

	snprintf(path, sizeof(path), "%s/mps.log", c->log);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log < 0)
		return kf_fail(err, KF_E_SYSTEM, errno, "open %s: %s", path, strerror(errno));
	c->daemon = run(c, words, -1, log);
	close(log);
	if (c->daemon < 0) {
		c->daemon = 0;
		return kf_fail(err, KF_E_SYSTEM, errno, "run %s: %s", c->program, strerror(errno));
	}
	return 0;
}

static unsigned server_of(const struct kf_mps_control *c)
{
	struct kf_text out = {0};
	unsigned pid = 0;

	if (kf_mps_control_ask(c, "get_server_list\n", &out, NULL) == 0 && out.s)
		pid = (unsigned)strtoul(out.s, NULL, 10);
	kf_text_done(&out);
	return pid;
}

/* The server, started if need be: the first client is not to wait 150 ms for it. */
static int find_server(struct kf_mps_control *c, struct kf_error *err)
{
	uint64_t until = kf_now_ms() + KF_MPS_READY_MS;
	struct kf_text out = {0};
	char state[32];
	int asked = 0;

	while (kf_now_ms() < until) {
		if (!kf_mps_control_lives(c))
			return kf_fail(
				err, KF_E_REMOTE, 0,
				"the MPS control daemon of %s ended as it started; %s/mps.log "
				"says why",
				c->uuid, c->log);
		c->server = server_of(c);
		if (c->server && kf_mps_control_state(c, state, err) == 0 &&
		    !strcmp(state, "ACTIVE"))
			return 0;
		if (!c->server && !asked &&
		    kf_mps_control_ask(c, "start_server -uid 0\n", &out, NULL) == 0)
			asked = !out.s || !strstr(out.s, "Cannot");
		kf_text_done(&out);
		poll(NULL, 0, 10);
	}
	return kf_fail(err, KF_E_REMOTE, 0, "the MPS server of %s is not ACTIVE after %d ms",
		       c->uuid, KF_MPS_READY_MS);
}

int kf_mps_control_start(struct kf_mps_control *c, struct kf_error *err)
{
	if (make_folders(c, err) < 0)
		return -1;
	c->server = 0;
	c->daemon = adopted(c);
	if (!c->daemon && launch(c, err) < 0)
		return -1;
	if (find_server(c, err) == 0)
		return 0;
	kf_mps_control_stop(c);
	return -1;
}

/* One that was taken over is not our child: dead, it may stay a zombie until another reaps it. */
static int has_program(pid_t pid)
{
	char path[40], target[8];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, target, sizeof(target)) > 0;
}

int kf_mps_control_lives(struct kf_mps_control *c)
{
	if (c->daemon <= 0)
		return 0;
	if (waitpid(c->daemon, NULL, WNOHANG) == c->daemon || !has_program(c->daemon))
		c->daemon = 0;
	return c->daemon > 0;
}

void kf_mps_control_kill(struct kf_mps_control *c)
{
	if (c->daemon > 0) {
		kill(c->daemon, SIGKILL);
		waitpid(c->daemon, NULL, 0);
	}
	if (c->server)
		kill((pid_t)c->server, SIGKILL);
	c->daemon = 0;
	c->server = 0;
}

void kf_mps_control_stop(struct kf_mps_control *c)
{
	struct kf_text out = {0};
	unsigned i;

	if (c->daemon <= 0)
		return;
	kf_mps_control_ask(c, "quit\n", &out, NULL);
	kf_text_done(&out);
	for (i = 0; i < 100 && kf_mps_control_lives(c); i++)
		poll(NULL, 0, 10);
	if (c->daemon > 0)
		kf_mps_control_kill(c);
	c->daemon = 0;
	c->server = 0;
}

/* --- questions ------------------------------------------------------------------------------- */

int kf_mps_control_limit(const struct kf_mps_control *c, uint64_t bytes, unsigned percent,
			 struct kf_error *err)
{
	struct kf_text out = {0};
	char commands[160], said[24];
	int r;

	snprintf(commands, sizeof(commands),
		 "set_device_pinned_mem_limit %u 0 %lluM\nset_active_thread_percentage %u %u\n",
		 c->server, (unsigned long long)(bytes >> 20), c->server, percent ? percent : 100);
	r = kf_mps_control_ask(c, commands, &out, err);
	/* the percentage is answered by what is now in force; the limit of memory by nothing */
	snprintf(said, sizeof(said), "%u.0", percent ? percent : 100);
	if (r == 0 && (!out.s || !strstr(out.s, said)))
		r = kf_fail(err, KF_E_REMOTE, 0,
			    "the MPS server of %s was asked for %llu MiB and %u %%, and says "
			    "\"%.80s\"",
			    c->uuid, (unsigned long long)(bytes >> 20), percent,
			    out.s ? out.s : "");
	kf_text_done(&out);
	return r;
}

int kf_mps_control_state(struct kf_mps_control *c, char state[32], struct kf_error *err)
{
	struct kf_text out = {0};
	char command[64];
	int r;

	state[0] = '\0';
	snprintf(command, sizeof(command), "get_server_status %u\n", c->server);
	r = kf_mps_control_ask(c, command, &out, err);
	if (r == 0 && out.s)
		snprintf(state, 32, "%.*s", (int)strcspn(out.s, "\n"), out.s);
	if (r == 0 && (!state[0] || strchr(state, ' ')))
		r = kf_fail(err, KF_E_REMOTE, 0, "the MPS server of %s: \"%s\"", c->uuid, state);
	kf_text_done(&out);
	return r;
}

int kf_mps_control_terminate(const struct kf_mps_control *c, pid_t client, struct kf_error *err)
{
	struct kf_text out = {0};
	char command[64];
	int r;

	snprintf(command, sizeof(command), "terminate_client %u %d\n", c->server, (int)client);
	r = kf_mps_control_ask(c, command, &out, err);
	if (r == 0 && (!out.s || out.s[0] != '0'))
		r = kf_fail(err, KF_E_REMOTE, 0,
			    "the MPS server of %s does not end its client %d: \"%.80s\"", c->uuid,
			    (int)client, out.s ? out.s : "");
	kf_text_done(&out);
	return r;
}

/* --- an exchange on behalf of a client -------------------------------------------------------- */

static int open_control(const struct kf_mps_control *c, int deadline_ms)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = deadline_ms / 1000, .tv_usec = deadline_ms % 1000 * 1000};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), on = 1;

	snprintf(name.sun_path, sizeof(name.sun_path), "%.*s/" KF_MPS_SOCKET,
		 (int)sizeof(name.sun_path) - 10, c->pipe);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 &&
	    connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int send_as(int fd, const void *bytes, size_t n, const struct ucred *who)
{
	char room[CMSG_SPACE(sizeof(*who))] __attribute__((aligned(8))) = {0};
	struct iovec part = {(void *)bytes, n};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof(*who));
	memcpy(CMSG_DATA(h), who, sizeof(*who));
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

/* A message that is this word; the descriptor with it to *ret if that is not NULL.  0 or -1. */
static int expect(int fd, const char *word, int *ret)
{
	char bytes[64], room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))]
		__attribute__((aligned(8)));
	struct iovec part = {bytes, sizeof(bytes)};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *h;
	int got = -1, i, fds[4];

	for (h = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL; h; h = CMSG_NXTHDR(&m, h)) {
		int count = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(h), sizeof(int) * (size_t)(count < 4 ? count : 4));
		for (i = 0; i < count && i < 4; i++) {
			if (got < 0)
				got = fds[i];
			else
				close(fds[i]);
		}
	}
	if (n == KF_MPS_WORD_BYTES && !memcmp(bytes, word, KF_MPS_WORD_BYTES) &&
	    (got >= 0) == (ret != NULL)) {
		if (ret)
			*ret = got;
		return 0;
	}
	if (got >= 0)
		close(got);
	return -1;
}

int kf_mps_control_connect(const struct kf_mps_control *c, pid_t pid, uid_t uid, gid_t gid,
			   int deadline_ms, struct kf_error *err)
{
	const struct ucred who = {.pid = pid, .uid = uid, .gid = gid};
	const uint32_t type = KF_MPS_TYPE_CLIENT, got_it = KF_MPS_GOT_IT;
	int fd = open_control(c, deadline_ms), passed = -1;
	const char *step = "connect";

	if (fd >= 0) {
		step = "be greeted";
		if (expect(fd, KF_MPS_HELLO, NULL) == 0) {
			step = "present the client";
			if (send_as(fd, KF_MPS_CREDENTIALS, KF_MPS_WORD_BYTES, &who) == 0 &&
			    send_as(fd, &type, sizeof(type), &who) == 0) {
				step = "be given the server";
				if (expect(fd, KF_MPS_DESCRIPTOR, &passed) == 0)
					send_as(fd, &got_it, sizeof(got_it), &who);
			}
		}
	}
	if (passed < 0)
		kf_fail(err, KF_E_REMOTE, errno, "MPS of %s: could not %s for client %d: %s",
			c->uuid, step, (int)pid, strerror(errno));
	if (fd >= 0)
		close(fd);
	return passed;
}
