/*
 * The ledger as text: what stands in its lines, and the entries that they add up to.  Inside
 * state/ only.
 *
 *	kerf-ledger 1
 *	1c291ca3 + 1764054456 nvidia.com/mig-1g.5gb MIG-... MIG-...
 *	8e0bba52 - MIG-...
 *
 * The checksum is CRC-32 of the rest of its line, without the newline.
 */
#pragma once

#include "base/text.h"
#include "state/ledger.h"

/* More than the slices of 32 GPUs; a larger ledger is not ours. */
#define KF_LEDGER_MAX 8192

#define KF_LEDGER_HEAD "kerf-ledger 1\n"

struct kf_ledger {
	unsigned n, n_records; /* entries; lines of the file beside its head */
	struct kf_ledger_entry *entry;
	size_t capacity;
	char *path;
	int fd;	  /* for appending; -1 when it must be opened first */
	int lock; /* -1: read only */
	size_t size;
};

/* Append a record. */
void kf_ledger_text_hold(struct kf_text *t, const char *resource, const char *const *ids,
			 unsigned n, int64_t since_s);
void kf_ledger_text_release(struct kf_text *t, const char *id);

/* May this word stand in a record: not empty, shorter than `size`, printable ASCII, no blanks? */
int kf_ledger_is_word(const char *s, size_t size);

/* Room for n more entries: 0 or -1.  After it, put cannot fail. */
int kf_ledger_reserve(struct kf_ledger *l, unsigned n);
void kf_ledger_put(struct kf_ledger *l, const char *resource, const char *id, int64_t since_s);
/* 1 if it was there. */
int kf_ledger_drop(struct kf_ledger *l, const char *id);
