/* Text and small files; see text.h. */
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"

void kf_text_addn(struct kf_text *t, const char *s, size_t n)
{
	if (t->failed)
		return;
	if (kf_grow(&t->s, &t->capacity, t->n + n + 1, 1) < 0) {
		kf_text_done(t);
		t->failed = 1;
		return;
	}
	memcpy(t->s + t->n, s, n);
	t->n += n;
	t->s[t->n] = '\0';
}

void kf_text_add(struct kf_text *t, const char *s)
{
	kf_text_addn(t, s, strlen(s));
}

void kf_text_addf(struct kf_text *t, const char *fmt, ...)
{
	char small[512];
	va_list ap;
	int n;

	if (t->failed)
		return;
	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if ((size_t)n < sizeof(small)) {
		kf_text_addn(t, small, (size_t)n);
		return;
	}
	if (kf_grow(&t->s, &t->capacity, t->n + (size_t)n + 1, 1) < 0) {
		kf_text_done(t);
		t->failed = 1;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->n += (size_t)n;
}

char *kf_text_take(struct kf_text *t)
{
	char *s = t->s;

	if (!s && !t->failed)
		s = kf_strdup("");
	*t = (struct kf_text){0};
	return s;
}

void kf_text_done(struct kf_text *t)
{
	free(t->s);
	*t = (struct kf_text){0};
}

int kf_parse_uint(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		unsigned d = (unsigned)(*s - '0');

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return -1;
		v = v * 10 + d;
	}
	if (v > max)
		return -1;
	*ret = v;
	return 0;
}

char *kf_read_file(const char *path, size_t limit, size_t *ret_n, struct kf_error *err)
{
	kf_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	kf_auto_mem char *buf = NULL;
	size_t n = 0, capacity = 0;

	if (fd < 0)
		goto failed;
	for (;;) {
		ssize_t r;

		if (kf_grow(&buf, &capacity, n + 4096, 1) < 0) {
			kf_fail(err, KF_E_NOMEM, 0, "no memory to read %s", path);
			return NULL;
		}
		r = read(fd, buf + n, capacity - n - 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			goto failed;
		if (r == 0)
			break;
		n += (size_t)r;
		if (n > limit) {
			kf_fail(err, KF_E_INPUT, 0, "%s is larger than %zu bytes", path, limit);
			return NULL;
		}
	}
	buf[n] = '\0';
	if (ret_n)
		*ret_n = n;
	return kf_take(buf);
failed:
	kf_fail_errno(err, errno, "read %s", path);
	return NULL;
}

static int write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t r = write(fd, data, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		data += r;
		n -= (size_t)r;
	}
	return 0;
}

int kf_write_file(const char *path, const char *data, size_t n, unsigned mode, int sync,
		  struct kf_error *err)
{
	kf_auto_mem char *tmp = kf_asprintf("%s.%d.tmp", path, (int)getpid());
	kf_auto_fd int fd = -1;

	if (!tmp)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to write %s", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return kf_fail_errno(err, errno, "create %s", tmp);
	/* fchmod, since the umask took its share of the mode above */
	if (fchmod(fd, mode) < 0 || write_all(fd, data, n) < 0 || (sync && fsync(fd) < 0) ||
	    rename(tmp, path) < 0) {
		int e = errno;

		unlink(tmp);
		return kf_fail_errno(err, e, "write %s", path);
	}
	return 0;
}

char *kf_under(const char *root, const char *path)
{
	size_t n = root ? strlen(root) : 0;

	while (n > 0 && root[n - 1] == '/')
		n--;
	return kf_asprintf("%.*s%s", (int)n, n ? root : "", path);
}

int kf_set_aside(const char *path, struct kf_error *err)
{
	kf_auto_mem char *bad = kf_asprintf("%s.bad", path);

	if (!bad)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to set %s aside", path);
	if (rename(path, bad) < 0)
		return kf_fail_errno(err, errno, "rename %s to %s", path, bad);
	return 0;
}

uint32_t kf_crc32(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t crc = 0xffffffffu;
	int bit;

	/* bit by bit: records are short, a table would be larger than the loop is slow */
	for (; n > 0; n--, p++) {
		crc ^= *p;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

int kf_make_dirs(const char *path, unsigned mode, struct kf_error *err)
{
	kf_auto_mem char *copy = kf_strdup(path);
	struct stat st;
	char *p;

	if (!copy)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to create %s", path);
	for (p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return kf_fail_errno(err, errno, "create directory %s", copy);
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return kf_fail_errno(err, errno, "create directory %s", copy);
	if (stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))
		return kf_fail(err, KF_E_INPUT, 0, "%s is not a directory", copy);
	return 0;
}

/* Bytes that must follow a lead byte, or -1. */
static int follow(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef)
		return 2;
	if (c >= 0xf0 && c <= 0xf4)
		return 3;
	return -1;
}

int kf_is_utf8(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		unsigned char c = (unsigned char)s[i];
		int more = c ? follow(c) : -1;
		unsigned char second = i + 1 < n ? (unsigned char)s[i + 1] : 0;

		if (more < 0 || i + (size_t)more >= n)
			return 0;
		/* overlong forms, surrogates, beyond U+10FFFF */
		if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
		    (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
			return 0;
		for (i++; more > 0; more--, i++)
			if (((unsigned char)s[i] & 0xc0) != 0x80)
				return 0;
	}
	return 1;
}

void kf_mend_utf8(char *s)
{
	while (*s) {
		int more = follow((unsigned char)*s);
		size_t n = more < 0 ? 0 : (size_t)more + 1;

		if (n > 0 && strnlen(s, n) == n && kf_is_utf8(s, n)) {
			s += n;
			continue;
		}
		*s++ = '?';
	}
}

unsigned kf_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), i, j;
	unsigned row[65];

	if (na > 64 || nb > 64)
		return 99;
	for (j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[nb];
}

const char *kf_closest(const char *s, const char *const *names)
{
	unsigned best_off = (unsigned)strlen(s) / 3 + 1;
	const char *best = NULL;

	for (; *names; names++) {
		unsigned off = kf_distance(s, *names);

		if (off <= best_off && (!best || off < best_off)) {
			best = *names;
			best_off = off;
		}
	}
	return best;
}
