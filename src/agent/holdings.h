/*
 * Who holds what, from all that know: our ledger, PodResources, the kubelet's checkpoint, and the
 * processes that the driver lists.
 *
 * No source is whole.  The ledger knows of an allocation first and of its end never; PodResources
 * omits ordinary init containers; the checkpoint keeps pods that have ended until the kubelet
 * writes it anew (any list of ours makes it do so).  A device is free when none of them names it.
 */
#pragma once

#include <stdint.h>

#include "kubelet/checkpoint.h"
#include "kubelet/podresources.h"
#include "model/holds.h"
#include "model/node.h"
#include "state/ledger.h"

/* Between our answer to Allocate and the kubelet's entry of it: milliseconds, so this is ample. */
#define KF_HOLDINGS_ADMISSION_S 5
/* An allocation that no source of the kubelet's has named by then has failed in its admission. */
#define KF_HOLDINGS_PATIENCE_S 30

/* Rows of PodResources, copied: the callback's strings do not live on. */
struct kf_pod_row {
	char resource[64], id[KF_UUID];
	char pod_namespace[64], pod[256], container[64];
};

struct kf_pod_rows {
	unsigned n;
	struct kf_pod_row *row;
	size_t capacity;
};

/* Copy the rows whose resource is NVIDIA's; 0 or -1 (no memory). */
int kf_pod_rows_take(struct kf_pod_rows *rows, const struct kf_podresources_row *from, unsigned n);
void kf_pod_rows_done(struct kf_pod_rows *rows);

struct kf_sources {
	const struct kf_node *node;		/* for processes; may be NULL */
	const struct kf_pod_rows *pods;		/* NULL: PodResources does not answer */
	const struct kf_checkpoint *checkpoint; /* NULL: not readable */
	int checkpoint_fresh;			/* written after the last pod ended */
	/* An Allocate has come since `pods` were asked for: what they say of a device that nobody
	 * has named yet may be of its holder before. */
	int overtaken;
	int64_t now_s;
};

#define KF_HOLDINGS_STALE 1

/*
 * Bring the ledger up to date with the sources and put all holds in the place of *ret.
 *
 * Allocations that a source names and the ledger does not know are entered; those that no source
 * names any more are released (never while PodResources or the checkpoint is silent).
 *
 * 0                   done
 * KF_HOLDINGS_STALE   done; some device is named by an old checkpoint alone: have it written anew
 *                     and ask again before taking its word
 * negative            no memory, or the ledger could not be written; *ret is as it was, so that
 *                     nothing new may be destroyed by it
 */
int kf_holdings_update(struct kf_ledger *ledger, const struct kf_sources *from,
		       struct kf_holds *ret, struct kf_error *err);
