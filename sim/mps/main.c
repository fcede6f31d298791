/* The two programs' command lines; see mps.h. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int call(const char *pipe)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if ((size_t)snprintf(at.sun_path, sizeof(at.sun_path), "%s/" KF_MPS_SOCKET, pipe) <
		    sizeof(at.sun_path) &&
	    fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* One command and its answer: 0, or -1 when the daemon is gone. */
static int ask(int fd, const char *line)
{
	static char text[KF_MPS_TEXT];
	const uint32_t who = KF_MPS_UI;
	size_t n = strlen(line);
	ssize_t got;

	if (n > KF_MPS_TEXT - sizeof(who))
		return -1;
	memcpy(text, &who, sizeof(who));
	memcpy(text + sizeof(who), line, n);
	if (kf_mps_say(fd, text, sizeof(who) + n, -1) < 0)
		return -1;
	got = kf_mps_hear(fd, text, sizeof(text), 0, NULL);
	if (got <= 0)
		return -1;
	fwrite(text, 1, text[0] ? (size_t)got : 0, stdout);
	fflush(stdout);
	return 0;
}

int kf_mps_ui(const char *pipe)
{
	kf_auto_fd int fd = call(pipe);
	kf_auto_mem char *line = NULL;
	size_t capacity = 0;
	ssize_t n;

	if (fd < 0) {
		printf("Cannot find MPS control daemon process\n");
		return 1;
	}
	while ((n = getline(&line, &capacity, stdin)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[strspn(line, " \t")] && ask(fd, line) < 0)
			return 1;
	}
	return 0;
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
	return !strcmp(name, "nvidia-cuda-mps-server") ? kf_mps_server(argc, argv)
						       : control(argc, argv);
}
