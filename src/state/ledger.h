/*
 * The ledger: which devices were handed out, on disk before the kubelet hears of it.
 *
 * DIR/ledger is appended to, one line a record, each with its checksum; it is rewritten when most
 * of it is history.  Appends are one write(2) and not fsynced: they survive our death, and the
 * kubelet's checkpoint backs what a power cut takes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "model/node.h"

struct kf_error;
struct kf_ledger;

struct kf_ledger_entry {
	char id[KF_UUID];
	char resource[64];
	int64_t since_s; /* when it was handed out, seconds since 1970 */
	int seen;	 /* a kubelet source has named its pod since this program started */
	char pod_namespace[64];
	char pod_name[256];
	char pod_uid[64];
	char container[64];
};

struct kf_ledger *kf_ledger_close(struct kf_ledger *l);
KF_DEFINE_AUTO(struct kf_ledger, kf_ledger_close)

#define KF_LEDGER_DAMAGED 1

/*
 * Open or make DIR/ledger (and DIR).  One program at a time: DIR/lock is held till close.  A last
 * record cut short, as a crash leaves it, is dropped.
 *
 * 0                   done
 * KF_LEDGER_DAMAGED   opened with the records before the damage; *err says where it begins, and the
 *                     file as it was lies beside as ledger.bad
 * negative            *err; code KF_E_BUSY when another program has it
 */
int kf_ledger_open(const char *dir, struct kf_ledger **ret, struct kf_error *err);

/*
 * Read it beside a running agent: no lock, nothing written; holds and releases stay in memory.  A
 * directory without a ledger is an empty one.
 */
int kf_ledger_peek(const char *dir, struct kf_ledger **ret, struct kf_error *err);

/*
 * Record that the n ids were handed out under `resource`: all or none.  An id that is there already
 * starts anew.  The strings must not be those of an entry of l, which moves.  Negative: nothing was
 * recorded, so do not answer Allocate.
 */
int kf_ledger_hold(struct kf_ledger *l, const char *resource, const char *const *ids, unsigned n,
		   int64_t now_s, struct kf_error *err);

/* Forget an id; unknown ones are fine.  Negative: still there. */
int kf_ledger_release(struct kf_ledger *l, const char *id, struct kf_error *err);

/* Who holds it, once known; kept in memory only.  NULL fields stay.  0, or -1: no such id. */
int kf_ledger_note(struct kf_ledger *l, const char *id, const char *pod_namespace,
		   const char *pod_name, const char *pod_uid, const char *container);

/* Entries in the order of being handed out; valid until the next hold or release. */
unsigned kf_ledger_n(const struct kf_ledger *l);
const struct kf_ledger_entry *kf_ledger_at(const struct kf_ledger *l, unsigned i);
const struct kf_ledger_entry *kf_ledger_find(const struct kf_ledger *l, const char *id);

/*
 * For tests and fuzzing: the records in n bytes, into l, which kf_ledger_blank made.
 * Answers the number of bytes that are good; *err is set when what follows is more than a torn
 * tail (0 otherwise in err->code).  -1: no memory.
 */
struct kf_ledger *kf_ledger_blank(void);
long kf_ledger_replay(struct kf_ledger *l, const char *data, size_t n, struct kf_error *err);
