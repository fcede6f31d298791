/* The two programs' command lines; see mps.h. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "core/find.h"
#include "mps/mps.h"
#include "mps/socket.h"
#include "mps/wire.h"

int kf_mps_machine(struct kf_sim *sim)
{
	char own[PATH_MAX] = "", dir[sizeof(sim->dir)];
	struct kf_error err = {0};

	if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	if (kf_sim_find(own, dir, sizeof(dir)) < 0) {
		fprintf(stderr, "no simulated machine: KERF_SIM_DIR is not set\n");
		return -1;
	}
	if (kf_sim_open(dir, sim, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", err.msg);
	return -1;
}

/* One command line at a time; where there is no lock file, as before a gate, there is no lock. */
static int lock(const char *pipe)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/" KF_MPS_LOCK, pipe);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -1;
}

static int call(const char *pipe, const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if ((size_t)snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", pipe, name) <
		    sizeof(at.sun_path) &&
	    fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int introduce(int fd)
{
	const uint32_t caller = KF_MPS_UI;
	char word[sizeof(KF_MPS_HELL)];

	if (kf_mps_hear(fd, word, sizeof(word), 0, NULL) != sizeof(word) ||
	    kf_mps_say(fd, KF_MPS_CRED, sizeof(KF_MPS_CRED), -1) < 0)
		return -1;
	return kf_mps_say(fd, &caller, sizeof(caller), -1);
}

/* The length and the text, with a newline and its NUL behind it. */
static int send_command(int fd, const char *line)
{
	char text[KF_MPS_TEXT];
	uint64_t length;
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (n < 0 || (size_t)n >= sizeof(text))
		return -1;
	length = (uint64_t)n + 1;
	if (kf_mps_say(fd, &length, sizeof(length), -1) < 0)
		return -1;
	return kf_mps_say(fd, text, length, -1);
}

/* All commands are on their way before the first output is read. */
static int send_commands(int fd)
{
	kf_auto_mem char *line = NULL;
	const uint64_t end = 0;
	size_t capacity = 0;

	while (getline(&line, &capacity, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[strspn(line, " \t")] && send_command(fd, line) < 0)
			return -1;
	}
	return kf_mps_say(fd, &end, sizeof(end), -1);
}

/* Each is four bytes and the text; one whose first byte is 1 is the end. */
static int print_outputs(int fd)
{
	static char text[KF_MPS_TEXT];
	ssize_t n;

	while ((n = kf_mps_hear(fd, text, sizeof(text), 0, NULL)) >= 4 && !text[0])
		printf("%.*s\n", (int)n - 4, text + 4);
	return n >= 4 ? 0 : 1;
}

int kf_mps_ui(const char *pipe)
{
	kf_auto_fd int fd = call(pipe, KF_MPS_PRIVILEGED);

	if (fd < 0)
		fd = call(pipe, KF_MPS_SOCKET);
	if (fd < 0) {
		printf("Cannot find MPS control daemon process\n");
		return 1;
	}
	if (lock(pipe) < 0 || introduce(fd) < 0 || send_commands(fd) < 0) {
		fprintf(stderr, "Cannot send command to MPS control daemon process\n");
		return 1;
	}
	return print_outputs(fd);
}

static const char *directory(const char *variable, const char *or_else)
{
	const char *named = getenv(variable);

	return named && *named ? named : or_else;
}

static int control(int argc, char **argv)
{
	const char *pipe = directory("CUDA_MPS_PIPE_DIRECTORY", KF_MPS_DEFAULT_PIPE);
	const char *logs = directory("CUDA_MPS_LOG_DIRECTORY", KF_MPS_DEFAULT_LOG);
	int i, daemon = 0, foreground = 0, multiuser = 0;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-d"))
			daemon = 1;
		else if (!strcmp(argv[i], "-f"))
			foreground = 1;
		else if (!strcmp(argv[i], "-multiuser-server"))
			multiuser = 1;
		else {
			printf("Unknown option: %s\n", argv[i]);
			return 1;
		}
	}
	if (daemon || foreground)
		return kf_mps_daemon(pipe, logs, foreground, multiuser);
	return kf_mps_ui(pipe);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	name = name ? name + 1 : argv[0];
	return !strcmp(name, "nvidia-cuda-mps-server") ? kf_mps_server() : control(argc, argv);
}
