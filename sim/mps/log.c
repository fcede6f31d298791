/* control.log and server.log; in the foreground all of it goes to standard output. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "mps/mps.h"

static int file = -1;
static const char *speaker = "Other";

int kf_mps_log_open(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (!dir || !*dir) {
		file = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return file < 0 ? -1 : 0;
}

void kf_mps_log_as(const char *who)
{
	speaker = who;
}

void kf_mps_log(const char *fmt, ...)
{
	char line[4096], at[32];
	struct timeval now;
	struct tm tm;
	va_list ap;
	int n;

	if (file < 0)
		return;
	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &tm);
	strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "[%s.%03d %s %5d] ", at, (int)(now.tv_usec / 1000),
		     speaker, (int)getpid());
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(file, line, (size_t)n) < 0) {
		/* a full disk: there is nothing to be done about it, and clients matter more */
	}
}
