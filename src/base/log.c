/* The log of a program; see log.h. */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum kf_log_level threshold = KF_INFO;
static enum kf_log_format shape = KF_LOG_LOGFMT;

static const char *const level_name[] = {"debug", "info", "warn", "error"};

void kf_log_setup(enum kf_log_level least, enum kf_log_format format)
{
	threshold = least;
	shape = format;
}

/* Quote for both formats: backslash, quote and control characters are what they agree on. */
static size_t quote(char *out, size_t size, const char *s)
{
	size_t n = 0;

	for (; *s && n + 7 < size; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return n;
}

static void stamp(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void kf_log(enum kf_log_level level, const char *at, const char *fmt, ...)
{
	char msg[1024], quoted[1600], line[2048], when[40];
	va_list ap;
	int n;

	if (level < threshold)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	quote(quoted, sizeof(quoted), msg);
	stamp(when, sizeof(when));
	if (shape == KF_LOG_JSON)
		n = snprintf(line, sizeof(line),
			     "{\"time\":\"%s\",\"level\":\"%s\",\"at\":\"%s\",\"msg\":\"%s\"}\n",
			     when, level_name[level], at, quoted);
	else
		n = snprintf(line, sizeof(line), "time=%s level=%-5s at=%s msg=\"%s\"\n", when,
			     level_name[level], at, quoted);
	/* One write a line, so that lines of several processes on one pipe stay whole. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void kf_log_fail(enum kf_log_level level, const char *at, const struct kf_error *err,
		 const char *what)
{
	kf_log(level, at, "%s; %s", err->msg, what);
}
