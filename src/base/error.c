/* Failures as sentences; see error.h. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Control characters would break "one failure, one line" and terminals; foreign text may hold them.
 */
static void tidy(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

static void set(struct kf_error *err, enum kf_error_code code, int detail, const char *fmt,
		va_list ap)
{
	err->code = code;
	err->detail = detail;
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	tidy(err->msg);
}

int kf_fail(struct kf_error *err, enum kf_error_code code, int detail, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	set(err, code, detail, fmt, ap);
	va_end(ap);
	return -1;
}

int kf_fail_errno(struct kf_error *err, int errnum, const char *fmt, ...)
{
	char text[128];
	va_list ap;
	size_t n;

	if (!err)
		return -1;
	va_start(ap, fmt);
	set(err, KF_E_SYSTEM, errnum, fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	/* GNU strerror_r may answer with a static string and leave the buffer alone. */
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s",
		 strerror_r(errnum, text, sizeof(text)));
	return -1;
}

int kf_prefix(struct kf_error *err, const char *fmt, ...)
{
	char tail[sizeof(err->msg)];
	va_list ap;
	size_t n;

	if (!err)
		return -1;
	memcpy(tail, err->msg, sizeof(tail));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %.*s", (int)(sizeof(err->msg) - n), tail);
	tidy(err->msg);
	return -1;
}
