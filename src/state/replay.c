/* The ledger as text; see replay.h. */
#include "state/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

#define MAX_LINE (64 << 10) /* a container with every slice of 32 GPUs takes 21 kB */

struct kf_ledger *kf_ledger_blank(void)
{
	struct kf_ledger *l = kf_calloc(1, sizeof(*l));

	if (l)
		l->fd = l->lock = -1;
	return l;
}

/* -- entries ---------------------------------------------------------------------------------- */

int kf_ledger_reserve(struct kf_ledger *l, unsigned n)
{
	return kf_grow(&l->entry, &l->capacity, (size_t)l->n + n, sizeof(*l->entry));
}

int kf_ledger_drop(struct kf_ledger *l, const char *id)
{
	unsigned i;

	for (i = 0; i < l->n; i++) {
		if (strcmp(l->entry[i].id, id) != 0)
			continue;
		memmove(&l->entry[i], &l->entry[i + 1], (l->n - i - 1) * sizeof(*l->entry));
		l->n--;
		return 1;
	}
	return 0;
}

void kf_ledger_put(struct kf_ledger *l, const char *resource, const char *id, int64_t since_s)
{
	struct kf_ledger_entry *e;

	kf_ledger_drop(l, id);
	e = &l->entry[l->n++];
	*e = (struct kf_ledger_entry){.since_s = since_s};
	snprintf(e->id, sizeof(e->id), "%s", id);
	snprintf(e->resource, sizeof(e->resource), "%s", resource);
}

/* -- writing ---------------------------------------------------------------------------------- */

int kf_ledger_is_word(const char *s, size_t size)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (i + 1 >= size || (unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f)
			return 0;
	return i > 0;
}

/* Put the checksum before what was added since `from`, and a newline after it. */
static void seal(struct kf_text *t, size_t from)
{
	char sum[10];

	if (t->failed)
		return;
	snprintf(sum, sizeof(sum), "%08x ", kf_crc32(t->s + from + 9, t->n - from - 9));
	memcpy(t->s + from, sum, 9);
	kf_text_add(t, "\n");
}

void kf_ledger_text_hold(struct kf_text *t, const char *resource, const char *const *ids,
			 unsigned n, int64_t since_s)
{
	size_t from = t->n;
	unsigned i;

	kf_text_addf(t, "00000000 + %lld %s", (long long)since_s, resource);
	for (i = 0; i < n; i++)
		kf_text_addf(t, " %s", ids[i]);
	seal(t, from);
}

void kf_ledger_text_release(struct kf_text *t, const char *id)
{
	size_t from = t->n;

	kf_text_addf(t, "00000000 - %s", id);
	seal(t, from);
}

/* -- reading ---------------------------------------------------------------------------------- */

#define BAD	  (-1)
#define NO_MEMORY (-2)

/* How many ids are there between single blanks?  0 when one of them is none. */
static unsigned count_ids(const char *s)
{
	char id[KF_UUID];
	unsigned n = 0;

	for (;; s++) {
		size_t length = strcspn(s, " ");

		if (length >= sizeof(id))
			return 0;
		memcpy(id, s, length);
		id[length] = '\0';
		if (!kf_ledger_is_word(id, sizeof(id)))
			return 0;
		n++;
		s += length;
		if (!*s)
			return n;
	}
}

static int replay_hold(struct kf_ledger *l, char *rest)
{
	char *since = strsep(&rest, " "), *resource = strsep(&rest, " "), *id;
	unsigned n = rest ? count_ids(rest) : 0;
	uint64_t when;

	if (n == 0 || n > KF_LEDGER_MAX - l->n || kf_parse_uint(since, INT64_MAX, &when) < 0 ||
	    !kf_ledger_is_word(resource, sizeof(l->entry->resource)))
		return BAD;
	if (kf_ledger_reserve(l, n) < 0)
		return NO_MEMORY;
	while ((id = strsep(&rest, " ")))
		kf_ledger_put(l, resource, id, (int64_t)when);
	return 0;
}

/* One line, without its newline.  0, BAD or NO_MEMORY. */
static int replay_line(struct kf_ledger *l, const char *line, size_t n)
{
	char copy[MAX_LINE], *end;
	unsigned long sum;

	if (n < 13 || n >= sizeof(copy) || memchr(line, '\0', n) || line[8] != ' ' ||
	    line[10] != ' ')
		return BAD;
	memcpy(copy, line, n);
	copy[n] = '\0';
	sum = strtoul(copy, &end, 16);
	if (end != copy + 8 || sum != kf_crc32(line + 9, n - 9))
		return BAD;
	if (copy[9] == '+')
		return replay_hold(l, copy + 11);
	if (copy[9] != '-' || !kf_ledger_is_word(copy + 11, sizeof(l->entry->id)))
		return BAD;
	kf_ledger_drop(l, copy + 11);
	return 0;
}

static int starts(const char *data, size_t n, const char *with)
{
	size_t w = strlen(with);

	return !memcmp(data, with, n < w ? n : w);
}

long kf_ledger_replay(struct kf_ledger *l, const char *data, size_t n, struct kf_error *err)
{
	size_t at = strlen(KF_LEDGER_HEAD);
	const char *newline;

	if (!starts(data, n, KF_LEDGER_HEAD)) {
		kf_fail(err, KF_E_INPUT, 0, "it is no ledger of this version");
		return 0;
	}
	if (n < at)
		return 0;
	/* the last line may be cut short, by a crash in the middle of a write */
	while ((newline = memchr(data + at, '\n', n - at))) {
		size_t length = (size_t)(newline - data) - at;
		int r = replay_line(l, data + at, length);

		if (r == NO_MEMORY) {
			kf_fail(err, KF_E_NOMEM, 0, "no memory for the ledger");
			return -1;
		}
		if (r == BAD) {
			kf_fail(err, KF_E_INPUT, 0, "line %u is damaged", l->n_records + 2);
			break;
		}
		l->n_records++;
		at += length + 1;
	}
	return (long)at;
}
