/* Memory from one place; see alloc.h. */
#include "base/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long countdown = -1;
static int failed;

static int refuse(void)
{
	if (countdown < 0)
		return 0;
	if (countdown-- > 0)
		return 0;
	failed = 1;
	errno = ENOMEM;
	return 1;
}

void kf_alloc_fail_after(long n)
{
	countdown = n;
	failed = 0;
}

int kf_alloc_failed(void)
{
	return failed;
}

void *kf_calloc(size_t n, size_t size)
{
	if (refuse())
		return NULL;
	/* calloc(0) may answer NULL, which callers would take for a failure */
	return calloc(n ? n : 1, size ? size : 1);
}

int kf_grow(void *array, size_t *capacity, size_t need, size_t size)
{
	size_t n = *capacity ? *capacity : 8;
	void *old, *new;

	if (need <= *capacity)
		return 0;
	while (n < need)
		n = n > SIZE_MAX / 2 ? need : n * 2;
	if (n > SIZE_MAX / size || refuse())
		return -1;
	memcpy(&old, array, sizeof(old));
	new = realloc(old, n * size);
	if (!new)
		return -1;
	memset((char *)new + *capacity *size, 0, (n - *capacity) * size);
	memcpy(array, &new, sizeof(new));
	*capacity = n;
	return 0;
}

void *kf_realloc(void *p, size_t size)
{
	return refuse() ? NULL : realloc(p, size ? size : 1);
}

char *kf_strdup(const char *s)
{
	return refuse() ? NULL : strdup(s);
}

char *kf_strndup(const char *s, size_t n)
{
	return refuse() ? NULL : strndup(s, n);
}

char *kf_asprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	if (refuse())
		return NULL;
	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}
