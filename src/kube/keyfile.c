/* Key material from memory as a path; see keyfile.h. */
#include "kube/keyfile.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Padding is counted, so that "QQ" and "QQ=" are refused as "QQ==" is meant. */
static int decode(const char *text, char *out, size_t *ret_n)
{
	uint32_t bits = 0;
	unsigned have = 0, pad = 0;
	size_t n = 0, n_digits = 0;

	for (; *text; text++) {
		int v;

		if (isspace((unsigned char)*text))
			continue;
		n_digits++;
		if (*text == '=') {
			pad++;
			continue;
		}
		v = value_of(*text);
		if (v < 0 || pad)
			return -1;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (char)(bits >> have & 0xff);
		}
	}
	if (n_digits % 4 || pad > 2)
		return -1;
	*ret_n = n;
	return 0;
}

int kf_base64_decode(const char *text, char **ret, size_t *ret_n, struct kf_error *err)
{
	kf_auto_mem char *out = kf_calloc(strlen(text) / 4 * 3 + 4, 1);

	if (!out)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to decode base64");
	if (decode(text, out, ret_n) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "this is not base64");
	*ret = kf_take(out);
	return 0;
}

char *kf_base64_encode(const char *bytes, size_t n)
{
	const unsigned char *in = (const unsigned char *)bytes;
	char *out = kf_calloc((n + 2) / 3 * 4 + 1, 1);
	size_t i, k, at = 0;

	for (i = 0; out && i < n; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;

		bits |= i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0;
		bits |= i + 2 < n ? in[i + 2] : 0;
		for (k = 0; k < 4; k++)
			out[at++] = i + k > n ? '=' : digits[bits >> (18 - 6 * k) & 63];
	}
	return out;
}

static int write_all(int fd, const char *bytes, size_t n, struct kf_error *err)
{
	while (n) {
		ssize_t r = write(fd, bytes, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return kf_fail_errno(err, errno, "write a memory file");
		bytes += r;
		n -= (size_t)r;
	}
	return 0;
}

int kf_keyfile_make(const char *bytes, size_t n, int *ret_fd, char **ret_path, struct kf_error *err)
{
	int fd = memfd_create("kerf-key", MFD_CLOEXEC);
	char *path;

	if (fd < 0)
		return kf_fail_errno(err, errno, "make a memory file");
	if (write_all(fd, bytes, n, err) < 0) {
		close(fd);
		return -1;
	}
	path = kf_asprintf("/proc/self/fd/%d", fd);
	if (!path) {
		close(fd);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a path");
	}
	*ret_path = path;
	*ret_fd = fd;
	return 0;
}
