/* Text: a builder, quantities, small parsers.  No GPU or Kubernetes words in here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct kf_error;

/*
 * A growing string.  Zeroed is empty.  After a failed allocation it stays empty and `failed` is
 * set, so that a caller appends freely and asks once, by kf_text_take.
 */
struct kf_text {
	char *s;
	size_t n, capacity;
	int failed;
};

void kf_text_add(struct kf_text *t, const char *s);
void kf_text_addn(struct kf_text *t, const char *s, size_t n);
void kf_text_addf(struct kf_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The string, the caller's to free; NULL if memory ran out on the way.  Leaves *t empty. */
char *kf_text_take(struct kf_text *t);
void kf_text_done(struct kf_text *t);

/* A decimal number that fills the whole string and lies in [0, max]: 0, else -1. */
int kf_parse_uint(const char *s, uint64_t max, uint64_t *ret);

/* The whole file, NUL-terminated; refuses one over `limit` bytes.  The caller's to free. */
char *kf_read_file(const char *path, size_t limit, size_t *ret_n, struct kf_error *err);

/*
 * Replace `path` by `n` bytes, atomically: written beside it under a name ending in `.tmp`, then
 * renamed.  `sync` waits for the disk before the rename.
 */
int kf_write_file(const char *path, const char *data, size_t n, unsigned mode, int sync,
		  struct kf_error *err);

/*
 * `path` (which begins with '/') below `root`; NULL, "" and "/" are this machine's own root.  The
 * caller's to free; NULL when there is no memory.
 */
char *kf_under(const char *root, const char *path);

/* Rename `path` to `path`.bad, over one that is there, so that a damaged file can be looked at. */
int kf_set_aside(const char *path, struct kf_error *err);

/* CRC-32 as of Ethernet and zlib: "123456789" gives 0xcbf43926. */
uint32_t kf_crc32(const void *data, size_t n);

/* mkdir -p; existing directories are fine. */
int kf_make_dirs(const char *path, unsigned mode, struct kf_error *err);

/* Is `s` (of n bytes) valid UTF-8 without NUL? */
int kf_is_utf8(const char *s, size_t n);
/* Put '?' for every byte of `s` that is not: of a character cut in the middle, or a stranger's. */
void kf_mend_utf8(char *s);

/* Edit distance of two short names, for "did you mean". */
unsigned kf_distance(const char *a, const char *b);
/* The entry of `names` (ends in NULL) closest to `s`, if it is close enough to suggest; or NULL. */
const char *kf_closest(const char *s, const char *const *names);
