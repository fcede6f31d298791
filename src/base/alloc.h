/*
 * Memory from one place, so that a test can make the n-th request fail.
 *
 * All answers are malloc's: release them with free().
 */
#pragma once

#include <stddef.h>

void *kf_calloc(size_t n, size_t size);
/* Grow *array, of *capacity elements of `size` bytes, to hold at least `need`; 0 or -1 (no memory,
 * the array as it was).  New elements are zeroed. */
int kf_grow(void *array, size_t *capacity, size_t need, size_t size);
/* realloc; NULL leaves the old block as it was. */
void *kf_realloc(void *p, size_t size);
char *kf_strdup(const char *s);
char *kf_strndup(const char *s, size_t n);
/* printf into new memory; NULL when there is none. */
char *kf_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * For tests: let n requests pass, fail the next one, then go on as before; negative switches the
 * countdown off.  kf_alloc_failed says whether the failure has happened since.
 */
void kf_alloc_fail_after(long n);
int kf_alloc_failed(void);
